# Zfh and Zfhmin: half precision without rounding. Boxing, moves, loads and stores,
# widening, and the operations that select. Unpriv. "Zfh and Zfhmin".
#include "fp_bits.h"

#define BOX(x)   (0xffffffffffff0000 | (x))
#define SBOX(x)  (0xffffffff00000000 | (x))
#define ONE      0x3c00
#define TWO      0x4000
#define INF      0x7c00
#define QNAN     0x7e00
#define SNAN     0x7c01
#define NEG(x)   ((x) ^ 0x8000)

TEST_BEGIN
        li      a0, 3 << 13
        csrs    mstatus, a0
        fscsr   x0
# --- Zfhmin: moves, loads and stores, conversions between the formats
FI1(fmv.x.h, 0xffffffffffff8001, 0, 0x1234567890ab8001)
FI1(fmv.x.h, ONE, 0, ONE)
T li a1, 0x1234567890ab8001 ; fmv.h.x fa0, a1 ; fmv.x.d a0, fa0 ; IS(a0, BOX(0x8001))
T la a2, scratch ; li a1, 0x55555555aaaa3c00 ; sd a1, 0(a2) ; flh fa0, 0(a2) ; fmv.x.d a0, fa0 ; IS(a0, BOX(ONE))
T la a2, scratch ; SET(fa1, a1, 0x1234567890abcdef) fsh fa1, 2(a2) ; ld a0, 0(a2) ; IS(a0, 0x55555555cdef3c00)
FF1(fcvt.s.h, SBOX(0x3f800000), 0, BOX(ONE))
FF1(fcvt.s.h, SBOX(0x33800000), 0, BOX(1))
FF1(fcvt.s.h, SBOX(0xff800000), 0, BOX(NEG(INF)))
FF1(fcvt.s.h, SBOX(0x7fc00000), 0, BOX(0xfe55))
FF1(fcvt.s.h, SBOX(0x7fc00000), NV, BOX(SNAN))
FF1(fcvt.s.h, SBOX(0x7fc00000), 0, ONE)
FF1(fcvt.s.h, SBOX(0x7fc00000), 0, SBOX(ONE))
FF1(fcvt.d.h, 0x3ff0000000000000, 0, BOX(ONE))
FF1(fcvt.d.h, 0x3e70000000000000, 0, BOX(1))
FF1(fcvt.d.h, 0x7ff8000000000000, NV, BOX(SNAN))
FF1(fcvt.h.s, BOX(ONE), 0, SBOX(0x3f800000))
FF1(fcvt.h.s, BOX(QNAN), 0, 0x3f800000)
# --- Zfh
FF2(fadd.h,   BOX(TWO), 0, BOX(ONE), BOX(ONE))
FF2(fadd.h,   BOX(QNAN), 0, SBOX(ONE), BOX(ONE))
FF2(fsgnj.h,  BOX(NEG(ONE)), 0, BOX(ONE), BOX(NEG(0)))
FF2(fsgnjn.h, BOX(ONE), 0, BOX(ONE), BOX(NEG(SNAN)))
FF2(fsgnjx.h, BOX(ONE), 0, BOX(NEG(ONE)), BOX(NEG(0)))
FF2(fsgnj.h,  BOX(QNAN), 0, ONE, BOX(ONE))
FF2(fmin.h,   BOX(NEG(0)), 0, BOX(0), BOX(NEG(0)))
FF2(fmax.h,   BOX(0), 0, BOX(NEG(0)), BOX(0))
FF2(fmin.h,   BOX(ONE), NV, BOX(SNAN), BOX(ONE))
FF2(fmax.h,   BOX(QNAN), 0, BOX(QNAN), BOX(NEG(QNAN)))
FI2(feq.h,    1, 0, BOX(0), BOX(NEG(0)))
FI2(feq.h,    0, NV, BOX(SNAN), BOX(ONE))
FI2(flt.h,    1, 0, BOX(NEG(ONE)), BOX(ONE))
FI2(flt.h,    0, NV, BOX(QNAN), BOX(ONE))
FI2(fle.h,    1, 0, BOX(ONE), BOX(ONE))
FI1(fclass.h, 1 << 0, 0, BOX(NEG(INF)))
FI1(fclass.h, 1 << 1, 0, BOX(NEG(ONE)))
FI1(fclass.h, 1 << 2, 0, BOX(0x83ff))
FI1(fclass.h, 1 << 3, 0, BOX(0x8000))
FI1(fclass.h, 1 << 4, 0, BOX(0))
FI1(fclass.h, 1 << 5, 0, BOX(1))
FI1(fclass.h, 1 << 6, 0, BOX(0x0400))
FI1(fclass.h, 1 << 7, 0, BOX(INF))
FI1(fclass.h, 1 << 8, 0, BOX(SNAN))
FI1(fclass.h, 1 << 9, 0, BOX(0xfe01))
FI1(fclass.h, 1 << 9, 0, SBOX(ONE))
TEST_END

        .data
        .balign 8
scratch: .dword 0
