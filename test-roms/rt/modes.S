# Visits to other privilege modes that always come back.

        .text
        .balign 4
        .globl  run_in
run_in: la      t0, home
        sd      ra,   0(t0)
        sd      sp,   8(t0)
        sd      s0,  16(t0)
        sd      s1,  24(t0)
        sd      s2,  32(t0)
        sd      s3,  40(t0)
        sd      s4,  48(t0)
        sd      s5,  56(t0)
        sd      s6,  64(t0)
        sd      s7,  72(t0)
        sd      s8,  80(t0)
        sd      s9,  88(t0)
        sd      s10, 96(t0)
        sd      s11, 104(t0)
        csrr    t1, mtvec
        sd      t1, 112(t0)
        sd      gp, 120(t0)
        la      t1, back
        csrw    mtvec, t1
        li      t1, 3 << 11             # mstatus.MPP = mode
        csrc    mstatus, t1
        slli    a0, a0, 11
        csrs    mstatus, a0
        csrw    mepc, a1
        mv      a0, a2
        mv      a1, a3
        mret

        .balign 4
back:   la      t0, m_trap              # everything but a0 may be forgotten
        sd      a0, 32(t0)
        csrr    t1, mepc
        sd      t1, 8(t0)
        csrr    t1, mtval
        sd      t1, 16(t0)
        csrr    t1, mstatus
        sd      t1, 24(t0)
        csrr    a0, mcause
        sd      a0, 0(t0)
        la      t0, home
        ld      ra,   0(t0)
        ld      sp,   8(t0)
        ld      s0,  16(t0)
        ld      s1,  24(t0)
        ld      s2,  32(t0)
        ld      s3,  40(t0)
        ld      s4,  48(t0)
        ld      s5,  56(t0)
        ld      s6,  64(t0)
        ld      s7,  72(t0)
        ld      s8,  80(t0)
        ld      s9,  88(t0)
        ld      s10, 96(t0)
        ld      s11, 104(t0)
        ld      t1, 112(t0)
        csrw    mtvec, t1
        ld      gp, 120(t0)
        ret

        .balign 4
        .globl  s_handler
s_handler:
        la      t0, s_trap
        sd      a0, 32(t0)
        csrr    t1, scause
        sd      t1, 0(t0)
        csrr    t1, sepc
        sd      t1, 8(t0)
        csrr    t1, stval
        sd      t1, 16(t0)
        csrr    t1, sstatus
        sd      t1, 24(t0)
        ecall

        .bss
        .balign 16
home:   .space  128
        .globl  m_trap
m_trap: .space  40
        .globl  s_trap
s_trap: .space  40
