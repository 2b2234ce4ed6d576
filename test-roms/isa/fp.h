/* Tables for floating point: one row is one operation under all five rounding
 * modes, each chosen statically (while frm says another mode) and dynamically.
 *
 * Operands and results are bit patterns. A table begins with FF, FI, IF (by
 * the kinds of source and destination: float or integer) and ends with TABLE_END:
 *
 *     FF(fadd.d, fa1, fa2)
 *     SAME(flags, a, b, c, result)                      one result in all modes
 *     ROW(flags, a, b, c, rne, rtz, rdn, rup, rmm)      one set of flags
 *     ROWF(flags x 5, a, b, c, rne, rtz, rdn, rup, rmm)
 *     TABLE_END
 *
 * Before including this file define OPERAND_LOAD (flh, flw or fld), and
 * RESULT_LOAD (lh, lw, ld) with RESULT_MOVE (fmv.x.h, ...) for float results. */
#include "test.h"

#define NX 1
#define UF 2
#define OF 4
#define DZ 8
#define NV 16

        .macro  CHECK_ROW index, move, load
        frflags a2
        lbu     a3, (2 + \index)(s0)
        bne     a2, a3, fail
        .ifnb   \move
        \move   a0, fa0
        .endif
        \load   a3, (32 + 8 * \index)(s0)
        bne     a0, a3, fail
        fsflags x0
        .endm

        # rd is fa0, or a0 for integer results; args are the sources
        .macro  RUN_TABLE op, operand, rd, move, load, args:vararg
        .text
        la      s0, table_\@
1:      lhu     gp, 0(s0)
        beqz    gp, 2f
        \operand fa1, 8(s0)
        \operand fa2, 16(s0)
        \operand fa3, 24(s0)
        ld      a1, 8(s0)
        fscsr   x0
        RUN_MODE 0, rne, \op, \rd, "\move", \load, \args
        RUN_MODE 1, rtz, \op, \rd, "\move", \load, \args
        RUN_MODE 2, rdn, \op, \rd, "\move", \load, \args
        RUN_MODE 3, rup, \op, \rd, "\move", \load, \args
        RUN_MODE 4, rmm, \op, \rd, "\move", \load, \args
        addi    s0, s0, 72
        j       1b
2:
        .data
        .balign 8
table_\@:
        .endm

        .macro  RUN_MODE index, mode, op, rd, move, load, args:vararg
        fsrmi   (\index + 1) % 5
        \op     \rd, \args, \mode
        CHECK_ROW \index, \move, \load
        fsrmi   \index
        \op     \rd, \args, dyn
        CHECK_ROW \index, \move, \load
        .endm

#define FF(op, args...) RUN_TABLE op, OPERAND_LOAD, fa0, RESULT_MOVE, RESULT_LOAD, args
#define IF(op)          RUN_TABLE op, OPERAND_LOAD, fa0, RESULT_MOVE, RESULT_LOAD, a1
#define FI(op)          RUN_TABLE op, OPERAND_LOAD, a0, , ld, fa1

#define ROWF(f0, f1, f2, f3, f4, a, b, c, r0, r1, r2, r3, r4)                 \
        .hword __LINE__ ; .byte f0, f1, f2, f3, f4, 0 ;                       \
        .dword a, b, c, r0, r1, r2, r3, r4
#define ROW(f, a, b, c, r0, r1, r2, r3, r4)                                   \
        ROWF(f, f, f, f, f, a, b, c, r0, r1, r2, r3, r4)
#define SAME(f, a, b, c, r) ROWF(f, f, f, f, f, a, b, c, r, r, r, r, r)
#define TABLE_END .dword 0 ; .text
