# minstret counts every instruction exactly once: those that jump, those that are
# compressed or fused, a CSR read not before it is done, and a trap's instruction not
# at all (except that ecall and ebreak do not retire either). Priv. "Hardware
# Performance Monitor". QEMU counts like this with -icount only.
#include "test.h"

/* Execute n instructions between two reads: the difference is n + 1, for the
 * first read itself retires between them. */
#define COUNT(n, insns...)                                                    \
        T csrr s0, minstret ; insns ; csrr s1, minstret ; sub a0, s1, s0 ; IS(a0, (n) + 1)

TEST_BEGIN
COUNT(0)
COUNT(1, nop)
COUNT(5, nop ; nop ; nop ; nop ; nop)
COUNT(1, j 1f ; 1:)
COUNT(2, li a0, 0 ; beqz a0, 1f ; nop ; 1:)
COUNT(3, li a0, 0 ; bnez a0, 1f ; nop ; 1:)
COUNT(201, li a0, 100 ; 1: addi a0, a0, -1 ; bnez a0, 1b)
COUNT(4, auipc a0, 0 ; addi a0, a0, 16 ; jr a0 ; nop ; nop)
COUNT(3, ld a0, tohost ; fence)
COUNT(1, fence.i)
# a trapping instruction does not retire; csrr handlers and mret do
T la a0, handler ; csrw mtvec, a0
COUNT(4, ecall)
COUNT(4, .word 0xffffffff)
T la a0, unexpected_trap ; csrw mtvec, a0
# a write takes effect when its instruction has retired: the next one reads the value
# itself (Priv. "Hardware Performance Monitor"; QEMU 10 adds one)
T li a0, 1000 ; csrw minstret, a0 ; csrr a1, minstret ; IS(a1, 1000)
TEST_END
        .balign 4
handler:
        csrr    t0, mepc
        addi    t0, t0, 4
        csrw    mepc, t0
        mret
