# A: misaligned AMOs and SC trap as store/AMO, LR as load, and change nothing
# (Unpriv. "A"; Priv. "Machine Cause Register" for the causes). The misaligned
# cause (6 or 4) is what Isoform gives; an access fault (7 or 5) is as lawful.
#
# QEMU 10 deviates: with one hart it performs AMOs as a load and a store and so
# reports the load's cause, and an SC that has no reservation fails before its
# address is looked at.
#include "test.h"

#define MISALIGNED(cause1, cause2, insn...)                                     \
        T la a4, 2f ; csrw mtvec, a4 ; la a1, cell + 1 ; li a2, 1 ;           \
1:      insn ; j fail ; .balign 4 ; 2: csrr a0, mcause ;                      \
        li a3, cause1 ; beq a0, a3, 3f ; li a3, cause2 ; bne a0, a3, fail ;   \
3:      csrr a0, mtval ; bne a0, a1, fail ;                                   \
        csrr a0, mepc ; la a3, 1b ; bne a0, a3, fail ;                        \
        la a4, unexpected_trap ; csrw mtvec, a4 ;

TEST_BEGIN
MISALIGNED(6, 7, amoadd.w a0, a2, (a1))
MISALIGNED(6, 7, amoadd.d a0, a2, (a1))
MISALIGNED(6, 7, amoswap.d a0, a2, (a1))
MISALIGNED(6, 7, amomaxu.w a0, a2, (a1))
MISALIGNED(4, 5, lr.w a0, (a1))
MISALIGNED(4, 5, lr.d a0, (a1))
MISALIGNED(6, 7, sc.w a0, a2, (a1))
MISALIGNED(6, 7, sc.d a0, a2, (a1))
T la a1, cell ; ld a0, 0(a1) ; IS(a0, 1000) ld a0, 8(a1) ; IS(a0, 2000)
TEST_END

        .data
        .balign 64
cell:   .dword 1000, 2000
