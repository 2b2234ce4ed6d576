# Zacas: compare and swap of 32, 64 and 128 bits, as bits (binutils 2.40 does
# not know them). Unpriv. "Zacas". rd is compared and receives the old value.
#include "test.h"
        .macro  amocas.w rd, rs2, rs1
        .insn   r AMO, 2, 0x14, \rd, \rs1, \rs2
        .endm
        .macro  amocas.d rd, rs2, rs1
        .insn   r AMO, 3, 0x14, \rd, \rs1, \rs2
        .endm
        .macro  amocas.d.aqrl rd, rs2, rs1
        .insn   r AMO, 3, 0x17, \rd, \rs1, \rs2
        .endm
        .macro  amocas.q rd, rs2, rs1
        .insn   r AMO, 4, 0x14, \rd, \rs1, \rs2
        .endm
#define CAS(op, memory, compare, swap, old, new)                              \
        T la a1, cell ; li a2, memory ; sd a2, 0(a1) ; li a0, compare ;       \
        li a2, swap ; op a0, a2, a1 ; IS(a0, old) ld a0, 0(a1) ; IS(a0, new)

TEST_BEGIN
CAS(amocas.d, 5, 5, 9, 5, 9)
CAS(amocas.d, 5, 6, 9, 5, 5)
CAS(amocas.d, 0x8000000000000000, 0, 9, 0x8000000000000000, 0x8000000000000000)
CAS(amocas.d.aqrl, -1, -1, 0, -1, 0)
# 32 bits: upper register halves are ignored, the old value extends its sign
CAS(amocas.w, 0x1111111180000000, 0xffffffff80000000, 9, 0xffffffff80000000, 0x1111111100000009)
CAS(amocas.w, 0x1111111180000000, 0x0000000080000000, 9, 0xffffffff80000000, 0x1111111100000009)
CAS(amocas.w, 0x1111111180000000, 0x2222222280000000, 9, 0xffffffff80000000, 0x1111111100000009)
CAS(amocas.w, 0x1111111180000000, 0x0000000080000001, 9, 0xffffffff80000000, 0x1111111180000000)
# the destination and the swapped value may be one register
T la a1, cell ; li a2, 3 ; sd a2, 0(a1) ; li a0, 3 ; amocas.d a0, a0, a1 ; IS(a0, 3) ld a0, 0(a1) ; IS(a0, 3)
# --- 128 bits, in even register pairs: a0,a1 against memory; a2,a3 into it
#define PAIR(m0, m1, c0, c1, n0, n1)                                          \
        T la a4, cell ; li a2, m0 ; sd a2, 0(a4) ; li a2, m1 ; sd a2, 8(a4) ; \
        li a0, c0 ; li a1, c1 ; li a2, 77 ; li a3, 88 ; amocas.q a0, a2, a4 ; \
        IS(a0, m0) IS(a1, m1) ld a0, 0(a4) ; IS(a0, n0) ld a0, 8(a4) ; IS(a0, n1)
PAIR(1, 2, 1, 2, 77, 88)
PAIR(1, 2, 1, 3, 1, 2)
PAIR(1, 2, 0, 2, 1, 2)
PAIR(-1, 0x8000000000000000, -1, 0x8000000000000000, 77, 88)
# x0 as the pair to store is a pair of zeroes
T la a4, cell ; li a0, 77 ; li a1, 88 ; amocas.q a0, x0, a4 ; IS(a0, 77) ld a0, 0(a4) ; IS(a0, 0) ld a0, 8(a4) ; IS(a0, 0)
# --- odd registers of a pair are reserved; misalignment traps
#define TRAPS(cause, insn...)                                                 \
        T la a5, 2f ; csrw mtvec, a5 ; la a4, cell ;                          \
1:      insn ; j fail ; .balign 4 ; 2: csrr a0, mcause ; IS(a0, cause)        \
        csrr a0, mepc ; la a3, 1b ; bne a0, a3, fail ;                        \
        la a5, unexpected_trap ; csrw mtvec, a5 ;
TRAPS(2, amocas.q a1, a2, a4)
TRAPS(2, amocas.q a0, a3, a4)
# --- x0 as rd compares with zero and drops the old value. (QEMU 10 drops it into its
#     temporary for x0, which is wrong until its block of code ends: hence fence.i.)
T la a1, cell ; sd x0, 0(a1) ; li a2, 4 ; amocas.d x0, a2, a1 ; fence.i ; ld a0, 0(a1) ; IS(a0, 4)
T la a1, cell ; li a2, 5 ; amocas.d x0, a2, a1 ; fence.i ; ld a0, 0(a1) ; IS(a0, 4)
T la a4, cell ; sd x0, 0(a4) ; li a2, 5 ; li a3, 6 ; amocas.q x0, a2, a4 ; fence.i ; IS(x0, 0) ld a0, 0(a4) ; IS(a0, 5) ld a0, 8(a4) ; IS(a0, 6)
TEST_END

        .data
        .balign 64
cell:   .dword 0, 0
