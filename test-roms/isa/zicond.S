# Zicond: czero.eqz and czero.nez, as bits (binutils 2.40 does not know them).
# Unpriv. "Zicond".
#include "test.h"
        .macro  czero.eqz rd, rs1, rs2
        .insn   r OP, 5, 7, \rd, \rs1, \rs2
        .endm
        .macro  czero.nez rd, rs1, rs2
        .insn   r OP, 7, 7, \rd, \rs1, \rs2
        .endm
TEST_BEGIN
RR(czero.eqz, 0, 5, 0)
RR(czero.eqz, 5, 5, 1)
RR(czero.eqz, -1, -1, 0x8000000000000000)
RR(czero.eqz, 0, 0, 1)
RR(czero.nez, 5, 5, 0)
RR(czero.nez, 0, 5, 1)
RR(czero.nez, 0, -1, 0x100000000)
T li a0, 7 ; czero.eqz a0, a0, a0 ; IS(a0, 7)
T li a0, 7 ; czero.nez a0, a0, a0 ; IS(a0, 0)
T li a0, 7 ; czero.eqz a0, a0, x0 ; IS(a0, 0)
TEST_END
