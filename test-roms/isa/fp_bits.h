/* Rows for floating point operations that do not round: full 64-bit registers
 * in and out, and the flags. */
#include "test.h"
#define NX 1
#define UF 2
#define OF 4
#define DZ 8
#define NV 16


#define SET(freg, xreg, value) li xreg, value ; fmv.d.x freg, xreg ;
#define FLAGS(f) frflags a0 ; IS(a0, f)
/* float result = op a, b */
#define FF2(op, result, flags, a, b)                                          \
        T SET(fa1, a1, a) SET(fa2, a1, b) fsflags x0 ; op fa0, fa1, fa2 ;     \
        fmv.x.d a0, fa0 ; IS(a0, result) FLAGS(flags)
#define FF1(op, result, flags, a)                                             \
        T SET(fa1, a1, a) fsflags x0 ; op fa0, fa1 ; fmv.x.d a0, fa0 ;        \
        IS(a0, result) FLAGS(flags)
/* integer result = op a, b */
#define FI2(op, result, flags, a, b)                                          \
        T SET(fa1, a1, a) SET(fa2, a1, b) fsflags x0 ; op a0, fa1, fa2 ;      \
        IS(a0, result) FLAGS(flags)
#define FI1(op, result, flags, a)                                             \
        T SET(fa1, a1, a) fsflags x0 ; op a0, fa1 ; IS(a0, result) FLAGS(flags)
/* double result = op integer */
#define FI_D(op, result, a)                                                   \
        T li a1, a ; fsflags x0 ; op fa0, a1 ; fmv.x.d a0, fa0 ;              \
        IS(a0, result) FLAGS(0)
