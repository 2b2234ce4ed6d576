# RV64I: every instruction of the base integer set, at the edges of its operands.
# Unpriv. chapters 2 (RV32I) and 4 (RV64I).
#include "test.h"
#define MIN64 0x8000000000000000
#define MAX64 0x7fffffffffffffff
#define MIN32 0xffffffff80000000
#define MAX32 0x000000007fffffff

TEST_BEGIN
# --- addition and subtraction wrap
RR(add,  0, 0, 0)
RR(add,  3, 1, 2)
RR(add,  MIN64, MAX64, 1)
RR(add,  MAX64, MIN64, -1)
RR(add,  0, MIN64, MIN64)
RR(add,  0x80000000, MAX32, 1)
RR(sub,  -1, 1, 2)
RR(sub,  MAX64, MIN64, 1)
RR(sub,  MIN64, 0, MIN64)
RI(addi, 2047, 0, 2047)
RI(addi, -2048, 0, -2048)
RI(addi, MIN64, MAX64, 1)
RI(addi, 0x7ffffffffffff800, MIN64, -2048)
# --- the W forms work on 32 bits and extend the sign
RR(addw, MIN32, MAX32, 1)
RR(addw, 0, 0xffffffff, 1)
RR(addw, 3, 0xdead000000000001, 0xbeef000000000002)
RR(subw, MAX32, MIN32, 1)
RR(subw, -1, 0x100000000, 1)
RI(addiw, MIN32, MAX32, 1)
RI(addiw, -1, 0xffffffff, 0)
RI(addiw, 0x12345678, 0xabcd000012345678, 0)
RI(addiw, MAX32, MIN32, -1)
# --- logic; immediates extend the sign
RR(and,  0x0f000f000f000f00, 0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f)
RR(or,   0xff0fff0fff0fff0f, 0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f)
RR(xor,  0xf00ff00ff00ff00f, 0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f)
RI(andi, 0xff00ff00ff00f800, 0xff00ff00ff00ff00, -2048)
RI(andi, 0x700, 0xff00ff00ff00ff00, 0x7ff)
RI(ori,  -1, 0, -1)
RI(ori,  0xff00ff00ff00ff0f, 0xff00ff00ff00ff00, 0x00f)
RI(xori, 0x00ff00ff00ff00ff, 0xff00ff00ff00ff00, -1)
RI(xori, 0xff00ff00ff00fff0, 0xff00ff00ff00ff00, 0x0f0)
# --- shifts use the low 6 (5 for W) bits of the amount
RR(sll,  0x2, 1, 1)
RR(sll,  MIN64, 1, 63)
RR(sll,  1, 1, 64)
RR(sll,  0x8000, 1, 0xffffffffffffffcf)
RR(srl,  1, MIN64, 63)
RR(srl,  MIN64, MIN64, 64)
RR(srl,  0x7fffffffffffffff, -1, 1)
RR(sra,  -1, MIN64, 63)
RR(sra,  0xc000000000000000, MIN64, 1)
RR(sra,  0x3fffffffffffffff, MAX64, 1)
RR(sra,  MIN64, MIN64, 0x40)
RI(slli, MIN64, 1, 63)
RI(slli, 0x123456789abcdef0, 0xf123456789abcdef, 4)
RI(srli, 1, MIN64, 63)
RI(srli, 0x0f123456789abcde, 0xf123456789abcdef, 4)
RI(srai, -1, MIN64, 63)
RI(srai, 0xff123456789abcde, 0xf123456789abcdef, 4)
RI(srai, 1, 1, 0)
RR(sllw, MIN32, 1, 31)
RR(sllw, 1, 1, 32)
RR(sllw, 0, 0x80000000, 1)
RR(sllw, 0x10, 0xffffffff00000001, 0xe4)
RR(srlw, 1, 0x80000000, 31)
RR(srlw, MIN32, MIN32, 32)
RR(srlw, 0x7fffffff, -1, 1)
RR(srlw, 0x00123456, 0xffffffff12345678, 8)
RR(sraw, -1, 0x80000000, 31)
RR(sraw, 0xffffffffc0000000, 0x80000000, 1)
RR(sraw, 0x00123456, 0xffffffff12345678, 8)
RR(sraw, MIN32, 0x80000000, 0x20)
RI(slliw, MIN32, 1, 31)
RI(slliw, 0x23456780, 0xf12345678, 4)
RI(srliw, 1, 0x80000000, 31)
RI(srliw, MIN32, 0x180000000, 0)
RI(srliw, 0x08000000, 0xffffffff80000000, 4)
RI(sraiw, -1, 0x80000000, 31)
RI(sraiw, 0xfffffffff8000000, 0x80000000, 4)
RI(sraiw, 0x07ffffff, 0xffffffff7fffffff, 4)
# --- comparison
RR(slt,  1, -1, 0)
RR(slt,  0, 0, -1)
RR(slt,  1, MIN64, MAX64)
RR(slt,  0, 5, 5)
RR(sltu, 0, -1, 0)
RR(sltu, 1, 0, -1)
RR(sltu, 0, MIN64, MAX64)
RR(sltu, 0, 5, 5)
RI(slti, 1, -2049, -2048)
RI(slti, 0, 2047, 2047)
RI(slti, 1, MIN64, 0)
RI(sltiu, 1, 5, -1)
RI(sltiu, 0, -1, -1)
RI(sltiu, 1, 0xfffffffffffff7ff, -2048)
RI(sltiu, 1, 0, 1)
# --- upper immediates
T lui a0, 0x80000 ; IS(a0, MIN32)
T lui a0, 0x7ffff ; IS(a0, 0x7ffff000)
T lui a0, 0 ; IS(a0, 0)
T auipc a0, 0 ; auipc a1, 0 ; sub a0, a1, a0 ; IS(a0, 4)
T auipc a0, 0x80000 ; auipc a1, 0 ; sub a0, a0, a1 ; IS(a0, 0xffffffff7ffffffc)
T auipc a0, 0x7ffff ; auipc a1, 0 ; sub a0, a0, a1 ; IS(a0, 0x7fffeffc)
# --- x0 stays zero
T addi x0, x0, 5 ; IS(x0, 0)
T la a1, data ; ld x0, 0(a1) ; IS(x0, 0)
T lui x0, 0x12345 ; IS(x0, 0)
T jal x0, 1f ; j fail ; 1: IS(x0, 0)
# --- branches
TAKEN(beq, 0, 0)
TAKEN(beq, MIN64, MIN64)
NOT_TAKEN(beq, 0, 0x100000000)
TAKEN(bne, 0, 0x100000000)
NOT_TAKEN(bne, -1, -1)
TAKEN(blt, -1, 0)
TAKEN(blt, MIN64, MAX64)
NOT_TAKEN(blt, 0, -1)
NOT_TAKEN(blt, 3, 3)
TAKEN(bge, 3, 3)
TAKEN(bge, MAX64, MIN64)
NOT_TAKEN(bge, MIN64, MAX64)
TAKEN(bltu, 0, -1)
TAKEN(bltu, MAX64, MIN64)
NOT_TAKEN(bltu, MIN64, MAX64)
NOT_TAKEN(bltu, 3, 3)
TAKEN(bgeu, -1, 0)
TAKEN(bgeu, 3, 3)
NOT_TAKEN(bgeu, 0, MIN64)
# --- jumps: the link is the next instruction; jalr clears bit 0 of the target
T jal a0, 1f ; 2: j fail ; 1: la a1, 2b ; bne a0, a1, fail
T la a1, 1f ; jalr a0, 0(a1) ; 2: j fail ; 1: la a1, 2b ; bne a0, a1, fail
T la a1, 1f ; jalr a0, 1(a1) ; j fail ; 1:
T la a1, 1f - 2047 ; jalr a0, 2047(a1) ; j fail ; 1:
T la a1, 1f + 2048 ; jalr a0, -2048(a1) ; j fail ; 1:
T la a1, 1f ; jalr a1, 0(a1) ; 2: j fail ; 1: la a0, 2b ; bne a0, a1, fail
T li a0, 0 ; li a1, 10 ; 1: addi a0, a0, 3 ; addi a1, a1, -1 ; bnez a1, 1b ; IS(a0, 30)
# --- loads extend by sign or zero
LD(lb,  -1, 0, data)
LD(lb,  0x01, 1, data)
LD(lb,  -0x80, 2, data)
LD(lbu, 0xff, 0, data)
LD(lbu, 0x80, 2, data)
LD(lh,  0x01ff, 0, data)
LD(lh,  0x7f80, 2, data)
LD(lh,  -0x7ff0, 4, data)
LD(lhu, 0x8010, 4, data)
LD(lw,  0x7f8001ff, 0, data)
LD(lw,  0xfffffffff0de8010, 4, data)
LD(lwu, 0xf0de8010, 4, data)
LD(ld,  0xf0de80107f8001ff, 0, data)
LD(ld,  0x0123456789abcdef, 8, data)
LD(ld,  0xf0de80107f8001ff, -8, data + 8)
# --- stores write their width and nothing else
ST(sb, ld, 0x1122334455667788, 0xaaaaaaaaaaaaaa88, 0, scratch)
ST(sh, ld, 0x1122334455667788, 0xaaaaaaaaaaaa7788, 8, scratch)
ST(sw, ld, 0x1122334455667788, 0xaaaaaaaa55667788, 16, scratch)
ST(sd, ld, 0x1122334455667788, 0x1122334455667788, 24, scratch)
T la a1, scratch + 39 ; li a2, 0x55 ; sb a2, -4(a1) ; lw a0, -7(a1) ; IS(a0, 0x55aaaaaa)
T la a1, scratch + 40 ; li a2, 0x1234 ; sh a2, 6(a1) ; ld a0, 0(a1) ; IS(a0, 0x1234aaaaaaaaaaaa)
T la a1, scratch + 48 ; li a2, -1 ; sw a2, 4(a1) ; ld a0, 0(a1) ; IS(a0, 0xffffffffaaaaaaaa)
# a load sees the store before it, at any overlap
T la a1, scratch + 56 ; sd zero, 0(a1) ; li a2, 0x80 ; sb a2, 3(a1) ; lw a0, 0(a1) ; IS(a0, 0xffffffff80000000)
T la a1, scratch + 56 ; li a2, 0x0123456789abcdef ; sd a2, 0(a1) ; lhu a0, 2(a1) ; IS(a0, 0x89ab)
# --- fences of every kind are legal, reserved ones too
T fence ; fence r, w ; fence.tso ; fence iorw, iorw ; .word 0x0000000f ; .word 0x0ff08f8f & ~0x7000
# --- hints (writes to x0) change nothing
T li a0, 7 ; slti x0, a0, 9 ; sll x0, a0, a0 ; auipc x0, 1 ; addiw x0, a0, 1 ; IS(a0, 7)
TEST_END

        .data
        .balign 8
data:   .byte 0xff, 0x01, 0x80, 0x7f, 0x10, 0x80, 0xde, 0xf0
        .dword 0x0123456789abcdef
        .balign 64
scratch: .fill 64, 1, 0xaa
