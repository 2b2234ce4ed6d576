# Guests that have lost their way, and never come to a verdict: whoever runs them must
# stay alive, idle where nothing can happen, and be able to say what the guest does.
#
#   WILD_JUMP  jumps where there is no memory; the trap vector points there as well
#   WILD_SATP  turns on paging with a root that is nowhere, and drops to S-mode
#   WILD_LOOP  traps on the first instruction of its own trap handler
        .section .text.init, "ax", @progbits
        .globl  _start
_start:
#if defined WILD_JUMP
        li      a0, 0xdead0000
        csrw    mtvec, a0
        jr      a0
#elif defined WILD_SATP
        li      a0, -1
        csrw    pmpaddr0, a0
        li      a0, 0x1f
        csrw    pmpcfg0, a0
        la      a0, handler
        csrw    mtvec, a0
        li      a0, 8 << 60 | 0xfffffffffff
        csrw    satp, a0
        sfence.vma
        li      a0, 1 << 11             # mstatus.MPP = S
        csrw    mstatus, a0
        csrw    mepc, a0
        mret
        .balign 4
handler:
        mret                            # and try again
#elif defined WILD_LOOP
        la      a0, handler
        csrw    mtvec, a0
        .balign 4
handler:
        .word   0
#endif
