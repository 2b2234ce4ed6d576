# Zcb: the further 16-bit forms, as bits, since binutils 2.40 has no names for them.
# Unpriv. "Zcb". Formats CLB, CSB, CLH, CSH, CU and CA; registers x8 (s0) to x15 (a5).
#include "test.h"

/* rd', rs1', rs2' are register numbers minus 8 */
#define C_LBU(rd, rs1, imm)  .hword 0x8000 | (rs1) << 7 | ((imm) & 1) << 6 | ((imm) >> 1 & 1) << 5 | (rd) << 2
#define C_LHU(rd, rs1, imm)  .hword 0x8400 | (rs1) << 7 | ((imm) >> 1 & 1) << 5 | (rd) << 2
#define C_LH(rd, rs1, imm)   .hword 0x8440 | (rs1) << 7 | ((imm) >> 1 & 1) << 5 | (rd) << 2
#define C_SB(rs2, rs1, imm)  .hword 0x8800 | (rs1) << 7 | ((imm) & 1) << 6 | ((imm) >> 1 & 1) << 5 | (rs2) << 2
#define C_SH(rs2, rs1, imm)  .hword 0x8c00 | (rs1) << 7 | ((imm) >> 1 & 1) << 5 | (rs2) << 2
#define C_ZEXT_B(rd)         .hword 0x9c61 | (rd) << 7
#define C_SEXT_B(rd)         .hword 0x9c65 | (rd) << 7
#define C_ZEXT_H(rd)         .hword 0x9c69 | (rd) << 7
#define C_SEXT_H(rd)         .hword 0x9c6d | (rd) << 7
#define C_ZEXT_W(rd)         .hword 0x9c71 | (rd) << 7
#define C_NOT(rd)            .hword 0x9c75 | (rd) << 7
#define C_MUL(rd, rs2)       .hword 0x9c41 | (rd) << 7 | (rs2) << 2
#define A0 2
#define A1 3
#define S0 0
#define A5 7

TEST_BEGIN
T la a1, data ; C_LBU(A0, A1, 0) ; IS(a0, 0xff)
T la a1, data ; C_LBU(A0, A1, 1) ; IS(a0, 0x01)
T la a1, data ; C_LBU(A0, A1, 2) ; IS(a0, 0x80)
T la a1, data ; C_LBU(A0, A1, 3) ; IS(a0, 0x7f)
T la a1, data ; C_LHU(A0, A1, 0) ; IS(a0, 0x01ff)
T la a1, data + 2 ; C_LHU(A0, A1, 2) ; IS(a0, 0x8010)
T la a1, data ; C_LH(A0, A1, 2) ; IS(a0, 0x7f80)
T la a1, data + 2 ; C_LH(A0, A1, 2) ; IS(a0, -0x7ff0)
T la s0, data ; C_LBU(A5, S0, 0) ; IS(a5, 0xff)
T la a1, scratch ; li a0, 0x1234 ; C_SB(A0, A1, 3) ; ld a0, 0(a1) ; IS(a0, 0xaaaaaaaa34aaaaaa)
T la a1, scratch ; li a0, 0x5678 ; C_SH(A0, A1, 0) ; ld a0, 0(a1) ; IS(a0, 0xaaaaaaaa34aa5678)
T la a1, scratch ; li a0, 0x9abc ; C_SH(A0, A1, 2) ; ld a0, 0(a1) ; IS(a0, 0xaaaaaaaa9abc5678)
T li a0, -1 ; C_ZEXT_B(A0) ; IS(a0, 0xff)
T li a0, 0x1280 ; C_SEXT_B(A0) ; IS(a0, -0x80)
T li a0, -1 ; C_ZEXT_H(A0) ; IS(a0, 0xffff)
T li a0, 0x128000 ; C_SEXT_H(A0) ; IS(a0, -0x8000)
T li a0, -1 ; C_ZEXT_W(A0) ; IS(a0, 0xffffffff)
T li a0, 0x0123456789abcdef ; C_NOT(A0) ; IS(a0, 0xfedcba9876543210)
T li a0, -3 ; li a1, 7 ; C_MUL(A0, A1) ; IS(a0, -21)
T li s0, 5 ; C_MUL(S0, S0) ; IS(s0, 25)
TEST_END

        .data
        .balign 8
data:   .byte 0xff, 0x01, 0x80, 0x7f, 0x10, 0x80, 0xde, 0xf0
scratch: .fill 8, 1, 0xaa
