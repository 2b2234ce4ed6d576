# Timers interrupt before exactly the instruction that their time names, however
# shortly before they are armed. Where an instruction takes a nanosecond and nothing
# traps or waits, minstret is the clock, and `time`, at 10 MHz, is minstret / 100.
# The timers are stimecmp ("Sstc") and the ACLINT's mtimecmp; each is armed from 2 to
# 150 ticks ahead, which is less and more than a hart runs at a time.
#include "test.h"

#define MTIMECMP    0x02004000
#define STIE        (1 << 5)
#define MTIE        (1 << 7)
#define LONGEST     150

/* Has one of `enable` come when `arm` has set a timer for the tick in s0. */
#define EXACT(enable, arm...)                                                 \
        T li s1, 2 ; la a0, 2f ; csrw mtvec, a0 ;                             \
1:      csrr a0, time ; add s0, a0, s1 ;                                      \
        arm ; li a0, enable ; csrw mie, a0 ; csrsi mstatus, 8 ; j . ;         \
        .balign 4 ;                                                           \
2:      csrr a1, minstret ; csrr a2, time ; csrw mie, zero ;                  \
        li a0, 100 ; mul a0, s0, a0 ; bne a0, a1, fail ; bne a2, s0, fail ;   \
        addi s1, s1, 1 ; li a0, LONGEST ; bleu s1, a0, 1b ;                   \
        la a0, unexpected_trap ; csrw mtvec, a0

TEST_BEGIN
# the clock is the one that the rest relies on
T csrr a0, minstret ; csrr a1, time ; li a2, 100 ; divu a0, a0, a2 ; sub a1, a1, a0 ; li a2, 1 ; bgtu a1, a2, fail
T li a0, 1 ; slli a0, a0, 63 ; csrs menvcfg, a0   # STCE
EXACT(STIE, csrw stimecmp, s0)
EXACT(MTIE, li a0, MTIMECMP ; sd s0, (a0))
TEST_END
