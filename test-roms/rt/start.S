# Entry and exit of every test program.
#
# Harts start here in M-mode with a0 = hart id and a1 = device tree. Hart 0
# runs test_main(hartid, dtb); the others wait for `hart_gate` to become
# non-zero (programs with several harts open it) and then run it as well.
#
# The verdict travels two ways, so that a program runs unchanged on a board with
# HTIF (`tohost`, riscv-isa-sim's protocol: (number << 1) | 1, number 0 = pass)
# and on one with the test finisher at 0x100000 (0x5555 = pass,
# number << 16 | 0x3333 = fail). `gp` holds the number of the running test,
# which is its line in the source file.

        .section .text.init, "ax", @progbits
        .globl  _start
_start:
        la      t0, 1f                  # a machine without PMP traps here: skip
        csrw    mtvec, t0
        li      t0, -1                  # one NAPOT entry over everything, RWX,
        csrw    pmpaddr0, t0            # because without a match S and U get nothing
        li      t0, 0x1f
        csrw    pmpcfg0, t0
        .balign 4
1:      la      t0, unexpected_trap
        csrw    mtvec, t0
        csrw    mie, zero
        csrr    a0, mhartid
        li      gp, 1
        bnez    a0, 3f

        la      t0, __bss_start         # nobody zeroes .bss for a bare program
        la      t1, __bss_end
2:      bgeu    t0, t1, 4f
        sd      zero, 0(t0)
        addi    t0, t0, 8
        j       2b

3:      la      t0, hart_gate
        ld      t0, 0(t0)
        beqz    t0, 3b
        fence   r, rw
4:      li      t0, 8                   # MAX_HARTS: there is no stack for more
        bgeu    a0, t0, park
        la      sp, stacks
        addi    t0, a0, 1
        slli    t0, t0, 14
        add     sp, sp, t0
        call    test_main
        # fall through: returning from test_main is a pass

        .globl  pass
pass:   li      a0, 0
        j       finish

        # A trap that no test asked for fails the test that runs.
        .balign 4
        .globl  unexpected_trap
unexpected_trap:
        .globl  fail
fail:   andi    a0, gp, 255             # an exit status has eight bits, and 0 is a pass:
        seqz    a0, a0                  # a multiple of 256 reports the next number
        add     a0, a0, gp

        # finish(number): report and stop this machine.
        .globl  finish
finish: la      t0, park                # an absent finisher must not trap again
        csrw    mtvec, t0
        slli    t1, a0, 1
        ori     t1, t1, 1
        fence   rw, w
        la      t0, tohost
        sd      t1, 0(t0)
        li      t2, 0x10000             # HTIF hosts poll: give them time
1:      addi    t2, t2, -1
        bnez    t2, 1b
        li      t0, 0x100000
        li      t1, 0x5555
        beqz    a0, 2f
        li      t1, 0x3333
        slli    a0, a0, 16
        or      t1, t1, a0
2:      sw      t1, 0(t0)
        .balign 4
        .globl  park
park:   j       park

        .section .tohost, "aw", @progbits
        .balign 64
        .globl  tohost
tohost: .dword  0
        .size   tohost, 8
        .balign 64
        .globl  fromhost
fromhost: .dword 0
        .size   fromhost, 8

        .data
        .balign 64
        .globl  hart_gate               # in .data: hart 0 clears .bss while the rest look
hart_gate: .dword 0

        .bss
        .balign 16
        .globl  stacks
stacks: .space  8 * 16384
