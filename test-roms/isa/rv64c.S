# C: every compressed form of RV64 (Zca and Zcd), written with its own mnemonic so
# that the assembler has no choice. Unpriv. "C".
#include "test.h"

/* a0 = op a0, imm and the like: a is in the register first */
#define CI(op, result, a, imm)   T li a0, a ; op a0, imm ; IS(a0, result)
#define CR(op, result, a, b)     T li a0, a ; li a1, b ; op a0, a1 ; IS(a0, result)

TEST_BEGIN
        li      a0, 3 << 13
        csrs    mstatus, a0
# --- quadrant 1: immediates
CI(c.addi,  31, 0, 31)
CI(c.addi,  -32, 0, -32)
CI(c.addi,  0x8000000000000000, 0x7fffffffffffffff, 1)
CI(c.addiw, 0xffffffff80000000, 0x7fffffff, 1)
CI(c.addiw, -1, 0x1234567800000000, -1)
CI(c.addiw, 0xffffffff80000001, 0x180000001, 0)
T c.li a0, -32 ; IS(a0, -32)
T c.li a0, 31 ; IS(a0, 31)
T c.lui a0, 1 ; IS(a0, 0x1000)
T c.lui a0, 0xfffe0 ; IS(a0, 0xfffffffffffe0000)
T c.lui a0, 31 ; IS(a0, 0x1f000)
T mv s1, sp ; li sp, 0x1000 ; c.addi16sp sp, 496 ; mv a0, sp ; mv sp, s1 ; IS(a0, 0x11f0)
T mv s1, sp ; li sp, 0x1000 ; c.addi16sp sp, -512 ; mv a0, sp ; mv sp, s1 ; IS(a0, 0xe00)
T mv s1, sp ; li sp, 0x1000 ; c.addi4spn a0, sp, 4 ; mv sp, s1 ; IS(a0, 0x1004)
T mv s1, sp ; li sp, 0x1000 ; c.addi4spn a0, sp, 1020 ; mv sp, s1 ; IS(a0, 0x13fc)
CI(c.srli,  1, 0x8000000000000000, 63)
CI(c.srli,  0x0800000000000000, 0x8000000000000000, 4)
CI(c.srai,  -1, 0x8000000000000000, 63)
CI(c.srai,  0xf800000000000000, 0x8000000000000000, 4)
CI(c.slli,  0x8000000000000000, 1, 63)
CI(c.slli,  0x100, 1, 8)
CI(c.andi,  0xfffffffffffffff0, -1, -16)
CI(c.andi,  31, -1, 31)
# --- quadrants 1 and 2: registers
CR(c.add,  3, 1, 2)
CR(c.mv,   2, 1, 2)
CR(c.sub,  -1, 1, 2)
CR(c.xor,  0x0ff0, 0xff00, 0xf0f0)
CR(c.or,   0xfff0, 0xff00, 0xf0f0)
CR(c.and,  0xf000, 0xff00, 0xf0f0)
CR(c.addw, 0xffffffff80000000, 0x7fffffff, 1)
CR(c.subw, 0x7fffffff, 0xffffffff80000000, 1)
T c.nop ; .hword 0x0005 ; li a0, 5 ; c.addi a0, 0 ; IS(a0, 5)
# registers beyond the eight of the short forms
T li t3, 4 ; li s10, 5 ; c.add t3, s10 ; c.mv s11, t3 ; c.addi s11, -1 ; IS(s11, 8)
# --- loads and stores
T la a1, data ; c.lw a0, 0(a1) ; IS(a0, 0xffffffff89abcdef)
T la a1, data - 124 ; c.lw a0, 124(a1) ; IS(a0, 0xffffffff89abcdef)
T la a1, data - 60 ; c.lw a0, 64(a1) ; IS(a0, 0x01234567)
T la a1, data ; c.ld a0, 0(a1) ; IS(a0, 0x0123456789abcdef)
T la a1, data - 248 ; c.ld a0, 248(a1) ; IS(a0, 0x0123456789abcdef)
T la a1, data - 56 ; c.ld a0, 64(a1) ; IS(a0, 0xfedcba9876543210)
T la a1, scratch - 124 ; li a0, 0x1122334455667788 ; c.sw a0, 124(a1) ; ld a0, 124(a1) ; IS(a0, 0xaaaaaaaa55667788)
T la a1, scratch - 248 ; li a0, 0x1122334455667788 ; c.sd a0, 248(a1) ; ld a0, 248(a1) ; IS(a0, 0x1122334455667788)
T mv s1, sp ; la sp, data - 252 ; c.lwsp a0, 252(sp) ; mv sp, s1 ; IS(a0, 0xffffffff89abcdef)
T mv s1, sp ; la sp, data - 504 ; c.ldsp a0, 504(sp) ; mv sp, s1 ; IS(a0, 0x0123456789abcdef)
T mv s1, sp ; la sp, scratch - 252 ; li s10, 0x99 ; c.swsp s10, 252(sp) ; lwu a0, 252(sp) ; mv sp, s1 ; IS(a0, 0x99)
T mv s1, sp ; la sp, scratch - 504 ; li s10, -7 ; c.sdsp s10, 504(sp) ; ld a0, 504(sp) ; mv sp, s1 ; IS(a0, -7)
T la a1, data - 248 ; c.fld fa0, 248(a1) ; fmv.x.d a0, fa0 ; IS(a0, 0x0123456789abcdef)
T la a1, scratch - 248 ; c.fsd fa0, 248(a1) ; ld a0, 248(a1) ; IS(a0, 0x0123456789abcdef)
T mv s1, sp ; la sp, data - 496 ; c.fldsp ft11, 504(sp) ; mv sp, s1 ; fmv.x.d a0, ft11 ; IS(a0, 0xfedcba9876543210)
T mv s1, sp ; la sp, scratch - 504 ; c.fsdsp ft11, 504(sp) ; ld a0, 504(sp) ; mv sp, s1 ; IS(a0, 0xfedcba9876543210)
# --- control
#define C_TAKEN(op, a)     T li a0, a ; op a0, 1f ; c.j 9f ; 1:
#define C_NOT_TAKEN(op, a) T li a0, a ; op a0, 9f
C_TAKEN(c.beqz, 0)
C_NOT_TAKEN(c.beqz, 0x100000000)
C_TAKEN(c.bnez, 0x100000000)
C_NOT_TAKEN(c.bnez, 0)
T c.j 1f ; 2: c.j 3f ; 9: j fail ; 1: li a0, 0 ; c.beqz a0, 2b ; 3:
T la a1, 1f ; c.jr a1 ; j fail ; 1:
T la a1, 1f ; c.jalr a1 ; 2: j fail ; 1: la a0, 2b ; bne a0, ra, fail
T la ra, 1f ; c.jalr ra ; 2: j fail ; 1: la a0, 2b ; bne a0, ra, fail
T la a1, 1f + 1 ; c.jr a1 ; j fail ; 1:
T jal a0, 1f ; 2: c.nop ; c.nop ; 1: la a1, 2b ; bne a0, a1, fail
# a 32-bit instruction at an address that is only 2-aligned
T .balign 4 ; c.nop ; .option push ; .option norvc ; lui a0, 0x12345 ; addi a0, a0, 0x678 ; .option pop ; c.nop ; IS(a0, 0x12345678)
# targets at 2 mod 4 are fine with C; the link counts 2 or 4 bytes
T .balign 4 ; c.nop ; 1: auipc a1, 0 ; la a0, 1b ; bne a0, a1, fail
# --- c.ebreak and the defined illegal instruction (all zeroes) trap at their pc
#define TRAPS(cause, insn...)                                                 \
        T la a4, 2f ; csrw mtvec, a4 ; j 1f ; .balign 4 ; c.nop ;             \
1:      insn ; j fail ; .balign 4 ; 2: csrr a0, mcause ; IS(a0, cause)        \
        csrr a0, mepc ; la a3, 1b ; bne a0, a3, fail ;                        \
        la a4, unexpected_trap ; csrw mtvec, a4 ;
TRAPS(3, c.ebreak)
TRAPS(2, .hword 0)
# reserved encodings: c.addiw x0; c.lwsp x0; c.ldsp x0; c.addi16sp 0; c.lui a0, 0; c.jr x0
TRAPS(2, .hword 0x2001)
TRAPS(2, .hword 0x4002)
TRAPS(2, .hword 0x6002)
TRAPS(2, .hword 0x6101)
TRAPS(2, .hword 0x6501)
TRAPS(2, .hword 0x8002)
# reserved: c.addi4spn with immediate 0 and a register
TRAPS(2, .hword 0x0008)
# misa.C on: mepc holds 2-aligned addresses and clears bit 0
T li a0, 0x80000003 ; csrw mepc, a0 ; csrr a0, mepc ; IS(a0, 0x80000002)
TEST_END
9:      j       fail

        .data
        .balign 8
        .space  512
data:   .dword  0x0123456789abcdef, 0xfedcba9876543210
        .space  512
        .balign 8
scratch: .dword 0xaaaaaaaaaaaaaaaa, 0
