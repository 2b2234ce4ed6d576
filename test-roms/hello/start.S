# Where the machine begins: every hart arrives at _start, in M-mode, with its id
# in a0 and the address of the device tree in a1. There is no stack yet, and
# memory that the image does not cover holds nothing in particular.

        .equ    MAX_HARTS, 64
        .equ    STACK_SHIFT, 13         # 8 KiB a hart

        .section .text.start, "ax", @progbits
        .globl  _start
_start:
        csrw    mie, zero               # no interrupts until we can take them
        la      t0, trap_entry
        csrw    mtvec, t0
        csrr    s0, mhartid
        mv      s1, a1
        li      t0, MAX_HARTS
        bgeu    s0, t0, sleep_forever   # no stack for this one

        la      sp, stacks
        addi    t0, s0, 1
        slli    t0, t0, STACK_SHIFT
        add     sp, sp, t0

        bnez    s0, wait_for_zero
        la      t0, __bss_start         # C expects zeroed globals
        la      t1, __bss_end
1:      bgeu    t0, t1, 2f
        sd      zero, 0(t0)
        addi    t0, t0, 8
        j       1b
2:      fence   rw, w                   # first the zeroes, then the word
        la      t0, ready
        sd      s0, 0(t0)               # hart 0 opens the gate by writing 0
        mv      a0, s1
        call    hello_main
        j       sleep_forever

wait_for_zero:                          # the others wait until .bss is clean
        la      t0, ready
3:      ld      t1, 0(t0)
        bnez    t1, 3b
        fence   r, rw
        mv      a0, s0
        call    hart_main

        .globl  sleep_forever
sleep_forever:
        wfi
        j       sleep_forever

# Traps. The handler in C gets the saved registers and may change them, and the
# return address too: that is how guarded() below gets out of a fault.

        .equ    FRAME, 18 * 8
        .balign 4
trap_entry:
        addi    sp, sp, -FRAME
        sd      ra,  0*8(sp)
        sd      t0,  1*8(sp)
        sd      t1,  2*8(sp)
        sd      t2,  3*8(sp)
        sd      t3,  4*8(sp)
        sd      t4,  5*8(sp)
        sd      t5,  6*8(sp)
        sd      t6,  7*8(sp)
        sd      a0,  8*8(sp)
        sd      a1,  9*8(sp)
        sd      a2, 10*8(sp)
        sd      a3, 11*8(sp)
        sd      a4, 12*8(sp)
        sd      a5, 13*8(sp)
        sd      a6, 14*8(sp)
        sd      a7, 15*8(sp)
        csrr    a0, mcause
        csrr    a1, mepc
        csrr    a2, mtval
        call    trap                    # returns where to go on
        csrw    mepc, a0
        ld      ra,  0*8(sp)
        ld      t0,  1*8(sp)
        ld      t1,  2*8(sp)
        ld      t2,  3*8(sp)
        ld      t3,  4*8(sp)
        ld      t4,  5*8(sp)
        ld      t5,  6*8(sp)
        ld      t6,  7*8(sp)
        ld      a0,  8*8(sp)
        ld      a1,  9*8(sp)
        ld      a2, 10*8(sp)
        ld      a3, 11*8(sp)
        ld      a4, 12*8(sp)
        ld      a5, 13*8(sp)
        ld      a6, 14*8(sp)
        ld      a7, 15*8(sp)
        addi    sp, sp, FRAME
        mret

# bool guarded(void (*action)(u64), u64 argument)
# Runs action(argument) on hart 0; true if it came back, false if it trapped.
# What the callee must preserve is remembered first, so that the trap handler
# can abandon the action by returning to guard_escape.

        .globl  guarded
guarded:
        la      t0, guard_frame
        sd      sp,  0*8(t0)
        sd      ra,  1*8(t0)
        sd      s0,  2*8(t0)
        sd      s1,  3*8(t0)
        sd      s2,  4*8(t0)
        sd      s3,  5*8(t0)
        sd      s4,  6*8(t0)
        sd      s5,  7*8(t0)
        sd      s6,  8*8(t0)
        sd      s7,  9*8(t0)
        sd      s8, 10*8(t0)
        sd      s9, 11*8(t0)
        sd      s10, 12*8(t0)
        sd      s11, 13*8(t0)
        li      t1, 1
        sd      t1, guard_active, t2
        mv      t0, a0
        mv      a0, a1
        jalr    t0
        li      a0, 1
        j       1f
        .globl  guard_escape
guard_escape:
        li      a0, 0
1:      sd      zero, guard_active, t2
        la      t0, guard_frame
        ld      sp,  0*8(t0)
        ld      ra,  1*8(t0)
        ld      s0,  2*8(t0)
        ld      s1,  3*8(t0)
        ld      s2,  4*8(t0)
        ld      s3,  5*8(t0)
        ld      s4,  6*8(t0)
        ld      s5,  7*8(t0)
        ld      s6,  8*8(t0)
        ld      s7,  9*8(t0)
        ld      s8, 10*8(t0)
        ld      s9, 11*8(t0)
        ld      s10, 12*8(t0)
        ld      s11, 13*8(t0)
        ret

        .data
        .balign 8
ready:  .dword  1                       # not in .bss, which is still to be cleared

        .bss
        .balign 16
guard_frame:
        .space  14 * 8
        .globl  guard_active
guard_active:
        .space  8

        .section .bss.stacks, "aw", @nobits
        .balign 16
stacks: .space  MAX_HARTS << STACK_SHIFT
