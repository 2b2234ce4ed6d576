# F and D: everything that is not rounding. NaN boxing, the canonical NaN,
# sign injection, minimum and maximum, comparison, classification, moves, loads
# and stores, and the fcsr. Registers are filled and read with all their 64 bits.
#include "fp_bits.h"

#define BOX(x)   (0xffffffff00000000 | (x))
#define ONE      0x3f800000
#define TWO      0x40000000
#define INF      0x7f800000
#define QNAN     0x7fc00000
#define SNAN     0x7f800001
#define NEG(x)   ((x) ^ 0x80000000)
#define DONE     0x3ff0000000000000
#define DTWO     0x4000000000000000
#define DINF     0x7ff0000000000000
#define DQNAN    0x7ff8000000000000
#define DSNAN    0x7ff0000000000001
#define DNEG(x)  ((x) ^ 0x8000000000000000)

TEST_BEGIN
        li      a0, 3 << 13             # mstatus.FS: FP is off at reset
        csrs    mstatus, a0
        fscsr   x0
# --- NaN boxing: a single that is not boxed reads as the canonical NaN (Unpriv.
#     "NaN Boxing of Narrower Values"), and narrow results are boxed
FF2(fadd.s,   BOX(TWO), 0, BOX(ONE), BOX(ONE))
FF2(fadd.s,   BOX(QNAN), 0, ONE, BOX(ONE))
FF2(fadd.s,   BOX(QNAN), 0, BOX(ONE), 0xfffffffe00000000 | ONE)
FF2(fmul.s,   BOX(QNAN), 0, DONE, BOX(ONE))
FF2(fsgnj.s,  BOX(QNAN), 0, ONE, BOX(ONE))
FF2(fsgnj.s,  BOX(ONE), 0, BOX(NEG(ONE)), NEG(ONE))
FF2(fsgnjn.s, BOX(NEG(QNAN)), 0, ONE, BOX(ONE))
FF2(fmin.s,   BOX(ONE), 0, ONE, BOX(ONE))
FF1(fsqrt.s,  BOX(QNAN), 0, ONE)
FF1(fcvt.d.s, DQNAN, 0, ONE)
FF1(fcvt.d.s, DONE, 0, BOX(ONE))
FI1(fclass.s, 0x200, 0, ONE)
FI2(feq.s,    0, 0, ONE, ONE)
FI2(fle.s,    0, NV, ONE, BOX(ONE))
FI1(fcvt.w.s, 0x7fffffff, NV, ONE)
FI1(fmv.x.w,  ONE, 0, ONE)
FI1(fmv.x.w,  0xffffffff80000000, 0, 0x80000000)
T li a1, 0x1234567880000001 ; fmv.w.x fa0, a1 ; fmv.x.d a0, fa0 ; IS(a0, BOX(0x80000001))
T SET(fa1, a1, 0x123456783f800000) la a2, scratch ; fsw fa1, 0(a2) ; lwu a0, 0(a2) ; IS(a0, ONE)
T la a2, scratch ; li a1, 0x11111111bf800000 ; sd a1, 0(a2) ; flw fa0, 0(a2) ; fmv.x.d a0, fa0 ; IS(a0, BOX(NEG(ONE)))
T SET(fa1, a1, 0x0123456789abcdef) la a2, scratch ; fsd fa1, 8(a2) ; ld a0, 8(a2) ; IS(a0, 0x0123456789abcdef)
T la a2, scratch ; fld fa0, 8(a2) ; fmv.x.d a0, fa0 ; IS(a0, 0x0123456789abcdef)
# moving a signalling NaN about does not disturb it
T la a2, scratch ; li a1, DSNAN ; sd a1, 0(a2) ; fsflags x0 ; fld fa0, 0(a2) ; fsgnj.d fa1, fa0, fa0 ; fsd fa1, 8(a2) ; ld a0, 8(a2) ; IS(a0, DSNAN) FLAGS(0)

# integers of 32 bits are exact in a double
FI_D(fcvt.d.w, 0xc1e0000000000000, 0x1234567880000000)
FI_D(fcvt.d.w, DNEG(DONE), 0xffffffff)
FI_D(fcvt.d.wu, 0x41efffffffe00000, 0xffffffff)
FI_D(fcvt.d.wu, 0x41e0000000000000, 0xffffffff80000000)

# --- sign injection
FF2(fsgnj.s,  BOX(NEG(ONE)), 0, BOX(ONE), BOX(NEG(0)))
FF2(fsgnjn.s, BOX(ONE), 0, BOX(ONE), BOX(NEG(0)))
FF2(fsgnjx.s, BOX(ONE), 0, BOX(NEG(ONE)), BOX(NEG(0)))
FF2(fsgnjx.s, BOX(NEG(SNAN)), 0, BOX(SNAN), BOX(NEG(0)))
FF2(fsgnj.d,  DNEG(DSNAN), 0, DSNAN, DNEG(0))
FF2(fsgnjn.d, DNEG(DSNAN), 0, DSNAN, 0)
FF2(fsgnjx.d, DONE, 0, DNEG(DONE), DNEG(DONE))

# --- minimum and maximum: -0 is less than +0, a NaN loses, a signalling one tells
FF2(fmin.s, BOX(ONE), 0, BOX(ONE), BOX(TWO))
FF2(fmax.s, BOX(TWO), 0, BOX(ONE), BOX(TWO))
FF2(fmin.s, BOX(NEG(0)), 0, BOX(0), BOX(NEG(0)))
FF2(fmin.s, BOX(NEG(0)), 0, BOX(NEG(0)), BOX(0))
FF2(fmax.s, BOX(0), 0, BOX(0), BOX(NEG(0)))
FF2(fmax.s, BOX(0), 0, BOX(NEG(0)), BOX(0))
FF2(fmin.s, BOX(ONE), 0, BOX(QNAN), BOX(ONE))
FF2(fmax.s, BOX(ONE), 0, BOX(ONE), BOX(QNAN))
FF2(fmin.s, BOX(ONE), NV, BOX(SNAN), BOX(ONE))
FF2(fmax.s, BOX(ONE), NV, BOX(ONE), BOX(SNAN))
FF2(fmax.s, BOX(QNAN), 0, BOX(NEG(QNAN)), BOX(QNAN))
FF2(fmin.s, BOX(QNAN), NV, BOX(SNAN), BOX(SNAN))
FF2(fmin.s, BOX(NEG(INF)), 0, BOX(INF), BOX(NEG(INF)))
FF2(fmin.d, DNEG(DTWO), 0, DONE, DNEG(DTWO))
FF2(fmax.d, DONE, 0, DONE, DNEG(DTWO))
FF2(fmin.d, DNEG(0), 0, 0, DNEG(0))
FF2(fmax.d, 0, 0, DNEG(0), 0)
FF2(fmin.d, DONE, NV, DSNAN, DONE)
FF2(fmax.d, DONE, 0, DONE, DQNAN)
FF2(fmax.d, DQNAN, NV, DNEG(DQNAN), DSNAN)

# --- comparison: feq is quiet about quiet NaNs, flt and fle are not
FI2(feq.s, 1, 0, BOX(0), BOX(NEG(0)))
FI2(feq.s, 0, 0, BOX(QNAN), BOX(QNAN))
FI2(feq.s, 0, NV, BOX(SNAN), BOX(ONE))
FI2(flt.s, 1, 0, BOX(NEG(ONE)), BOX(ONE))
FI2(flt.s, 0, 0, BOX(NEG(0)), BOX(0))
FI2(flt.s, 0, NV, BOX(QNAN), BOX(ONE))
FI2(fle.s, 1, 0, BOX(0), BOX(NEG(0)))
FI2(fle.s, 1, 0, BOX(NEG(INF)), BOX(INF))
FI2(fle.s, 0, NV, BOX(ONE), BOX(SNAN))
FI2(feq.d, 1, 0, DONE, DONE)
FI2(feq.d, 0, 0, DQNAN, DONE)
FI2(feq.d, 0, NV, DSNAN, DONE)
FI2(flt.d, 1, 0, DNEG(DTWO), DNEG(DONE))
FI2(flt.d, 0, 0, DNEG(DONE), DNEG(DTWO))
FI2(flt.d, 0, NV, DONE, DQNAN)
FI2(fle.d, 1, 0, DONE, DONE)
FI2(fle.d, 0, NV, DQNAN, DQNAN)

# --- classification
FI1(fclass.s, 1 << 0, 0, BOX(NEG(INF)))
FI1(fclass.s, 1 << 1, 0, BOX(NEG(ONE)))
FI1(fclass.s, 1 << 2, 0, BOX(0x807fffff))
FI1(fclass.s, 1 << 3, 0, BOX(0x80000000))
FI1(fclass.s, 1 << 4, 0, BOX(0))
FI1(fclass.s, 1 << 5, 0, BOX(1))
FI1(fclass.s, 1 << 6, 0, BOX(0x00800000))
FI1(fclass.s, 1 << 7, 0, BOX(INF))
FI1(fclass.s, 1 << 8, 0, BOX(SNAN))
FI1(fclass.s, 1 << 9, 0, BOX(0xffc00001))
FI1(fclass.d, 1 << 0, 0, DNEG(DINF))
FI1(fclass.d, 1 << 1, 0, DNEG(DONE))
FI1(fclass.d, 1 << 2, 0, 0x800fffffffffffff)
FI1(fclass.d, 1 << 3, 0, DNEG(0))
FI1(fclass.d, 1 << 4, 0, 0)
FI1(fclass.d, 1 << 5, 0, 1)
FI1(fclass.d, 1 << 6, 0, 0x0010000000000000)
FI1(fclass.d, 1 << 7, 0, DINF)
FI1(fclass.d, 1 << 8, 0, 0xfff0000000000001)
FI1(fclass.d, 1 << 9, 0, DQNAN)

# --- widening is exact; NaNs become canonical
FF1(fcvt.d.s, 0x36a0000000000000, 0, BOX(1))
FF1(fcvt.d.s, DNEG(DINF), 0, BOX(NEG(INF)))
FF1(fcvt.d.s, DQNAN, 0, BOX(0xffc12345))
FF1(fcvt.d.s, DQNAN, NV, BOX(SNAN))
# --- flags accumulate, and only the named CSR changes them
T fscsr x0 ; SET(fa1, a1, DONE) SET(fa2, a1, 0) fdiv.d fa0, fa1, fa2 ; FLAGS(DZ)
T SET(fa1, a1, DSNAN) fadd.d fa0, fa1, fa1 ; FLAGS(DZ | NV)
T li a1, 0xff ; fscsr a1 ; frcsr a0 ; IS(a0, 0xff)
T li a1, -1 ; fscsr a1 ; frcsr a0 ; IS(a0, 0xff)
T fsflags a0, x0 ; IS(a0, 0x1f) frcsr a0 ; IS(a0, 0xe0)
T fsrmi a0, 3 ; IS(a0, 7) frcsr a0 ; IS(a0, 0x60)
T li a1, -1 ; fsrm a1 ; frrm a0 ; IS(a0, 7)
T fsflagsi 0x15 ; frflags a0 ; IS(a0, 0x15)
T csrrci a0, fflags, 5 ; frflags a0 ; IS(a0, 0x10)

# --- traps. A reserved rounding mode is an illegal instruction, statically (5, 6)
#     and dynamically (frm 5, 6, 7), and does nothing else
#define ILLEGAL(insn...)                                                      \
        T la a4, 2f ; csrw mtvec, a4 ; fsflags x0 ;                           \
1:      insn ; j fail ; .balign 4 ; 2: csrr a0, mcause ; IS(a0, 2)            \
        csrr a0, mepc ; la a3, 1b ; bne a0, a3, fail ;                        \
        la a4, unexpected_trap ; csrw mtvec, a4 ;
        fscsr x0
        SET(fa1, a1, DONE)
        SET(fa0, a1, 0x1111)
ILLEGAL(.insn r OP_FP, 5, 0x01, fa0, fa1, fa1)
ILLEGAL(.insn r OP_FP, 6, 0x01, fa0, fa1, fa1)
        fsrmi   5
ILLEGAL(fadd.d fa0, fa1, fa1, dyn)
        fsrmi   7
ILLEGAL(fmul.s fa0, fa1, fa1, dyn)
ILLEGAL(fcvt.w.d a0, fa1, dyn)
T fmv.x.d a0, fa0 ; IS(a0, 0x1111)
# a static mode does not care about frm, and what does not round does not look
T fadd.d fa0, fa1, fa1, rne ; fmv.x.d a0, fa0 ; IS(a0, DTWO)
T fsgnj.d fa0, fa1, fa1 ; feq.d a0, fa1, fa1 ; IS(a0, 1)
T fclass.d a0, fa1 ; IS(a0, 1 << 6)
        fscsr   x0
# --- mstatus.FS: off is illegal for all of it, CSRs too; what writes makes dirty
        li      a5, 3 << 13
        csrc    mstatus, a5
#undef ILLEGAL
#define ILLEGAL(insn...)                                                      \
        T la a4, 2f ; csrw mtvec, a4 ;                                        \
1:      insn ; j fail ; .balign 4 ; 2: csrr a0, mcause ; IS(a0, 2)            \
        csrr a0, mepc ; la a3, 1b ; bne a0, a3, fail ;                        \
        la a4, unexpected_trap ; csrw mtvec, a4 ;
        la      a1, scratch
ILLEGAL(fadd.d fa0, fa1, fa1)
ILLEGAL(fld fa0, 0(a1))
ILLEGAL(fsw fa0, 0(a1))
ILLEGAL(fmv.x.d a0, fa0)
ILLEGAL(csrr a0, fcsr)
ILLEGAL(csrw frm, x0)
ILLEGAL(csrr a0, fflags)
#define FS_IS(state)  csrr a0, mstatus ; srli a0, a0, 13 ; andi a0, a0, 3 ; IS(a0, state)
#define SD_IS(bit)    csrr a0, mstatus ; srli a0, a0, 63 ; IS(a0, bit)
T csrr a0, mstatus ; srli a0, a0, 63 ; IS(a0, 0)
/* Set FS to Clean, execute, and see whether it became Dirty. */
#define DIRTIES(insn...)                                                      \
        T csrc mstatus, a5 ; li a0, 2 << 13 ; csrs mstatus, a0 ; insn ; FS_IS(3) SD_IS(1)
DIRTIES(fadd.d fa0, fa1, fa1)
DIRTIES(fld fa0, 0(a1))
DIRTIES(fmv.w.x fa0, x0)
DIRTIES(fsgnj.s fa0, fa1, fa1)
DIRTIES(fcvt.d.l fa0, x0)
DIRTIES(fsrmi 1)
DIRTIES(csrw fcsr, x0)
T csrc mstatus, a5 ; li a0, 2 << 13 ; csrs mstatus, a0 ; fsd fa0, 0(a1) ; FS_IS(2) SD_IS(0)
T fmv.x.d a0, fa0 ; FS_IS(2)
# an instruction that sets a flag and writes no FP register must dirty as well
# (Priv. "Extension Context Status": fcsr belongs to that state; QEMU 10 leaves Clean)
T fsflags x0 ; SET(fa1, a0, DSNAN) csrc mstatus, a5 ; li a0, 2 << 13 ; csrs mstatus, a0 ; feq.d a0, fa1, fa1 ; FS_IS(3)
T fsflags x0 ; SET(fa1, a0, 0x3fe0000000000000) csrc mstatus, a5 ; li a0, 2 << 13 ; csrs mstatus, a0 ; fcvt.w.d a0, fa1 ; FS_IS(3)
TEST_END

        .data
        .balign 8
scratch: .dword 0, 0
