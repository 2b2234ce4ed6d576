# A: LR/SC and the AMOs at 32 and 64 bits. Unpriv. chapter "A".
#include "test.h"
#define MIN64 0x8000000000000000
#define MIN32 0xffffffff80000000

/* old value and new memory content after op.<w|d> with every ordering suffix;
 * `load` reads memory back */
#define AMO1(op, load, memory, operand, old, new)                             \
        la a1, cell ; li a2, memory ; sd a2, 0(a1) ; li a2, operand ;         \
        op a0, a2, (a1) ; IS(a0, old) load a0, 0(a1) ; IS(a0, new)
#define AMO(op, load, memory, operand, old, new)                              \
        T AMO1(op, load, memory, operand, old, new)                           \
        AMO1(op.aq, load, memory, operand, old, new)                          \
        AMO1(op.rl, load, memory, operand, old, new)                          \
        AMO1(op.aqrl, load, memory, operand, old, new)

TEST_BEGIN
# --- 64 bits
AMO(amoswap.d, ld, 0x1111, 0x2222, 0x1111, 0x2222)
AMO(amoadd.d,  ld, -1, 1, -1, 0)
AMO(amoadd.d,  ld, 0x7fffffffffffffff, 1, 0x7fffffffffffffff, MIN64)
AMO(amoxor.d,  ld, 0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0xff00ff00ff00ff00, 0xf0f0f0f0f0f0f0f0)
AMO(amoand.d,  ld, 0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0xff00ff00ff00ff00, 0x0f000f000f000f00)
AMO(amoor.d,   ld, 0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0xff00ff00ff00ff00, 0xfff0fff0fff0fff0)
AMO(amomin.d,  ld, 1, -1, 1, -1)
AMO(amomin.d,  ld, MIN64, 5, MIN64, MIN64)
AMO(amomax.d,  ld, 1, -1, 1, 1)
AMO(amomax.d,  ld, MIN64, 5, MIN64, 5)
AMO(amominu.d, ld, 1, -1, 1, 1)
AMO(amominu.d, ld, MIN64, 5, MIN64, 5)
AMO(amomaxu.d, ld, 1, -1, 1, -1)
AMO(amomaxu.d, ld, MIN64, 5, MIN64, MIN64)
# --- 32 bits: the old value extends its sign, the neighbour stays, only the
#     operand's low half counts
AMO(amoswap.w, ld, 0x1111111180000000, 0x2222222233333333, MIN32, 0x1111111133333333)
AMO(amoadd.w,  ld, 0x11111111ffffffff, 0x2222222200000001, -1, 0x1111111100000000)
AMO(amoadd.w,  ld, 0x111111117fffffff, 1, 0x7fffffff, 0x1111111180000000)
AMO(amoxor.w,  ld, 0x11111111ff00ff00, 0xffffffff0ff00ff0, 0xffffffffff00ff00, 0x11111111f0f0f0f0)
AMO(amoand.w,  ld, 0x11111111ff00ff00, 0x000000000ff00ff0, 0xffffffffff00ff00, 0x111111110f000f00)
AMO(amoor.w,   ld, 0x11111111ff00ff00, 0xffffffff0ff00ff0, 0xffffffffff00ff00, 0x11111111fff0fff0)
AMO(amomin.w,  ld, 0x1111111100000001, 0x00000000ffffffff, 1, 0x11111111ffffffff)
AMO(amomin.w,  ld, 0x1111111180000000, 0xffffffff00000005, MIN32, 0x1111111180000000)
AMO(amomax.w,  ld, 0x1111111100000001, 0x00000000ffffffff, 1, 0x1111111100000001)
AMO(amomax.w,  ld, 0x1111111180000000, 5, MIN32, 0x1111111100000005)
AMO(amominu.w, ld, 0x1111111100000001, -1, 1, 0x1111111100000001)
AMO(amominu.w, ld, 0x1111111180000000, 0xffffffff00000005, MIN32, 0x1111111100000005)
AMO(amomaxu.w, ld, 0x1111111100000001, 0x00000000ffffffff, 1, 0x11111111ffffffff)
AMO(amomaxu.w, ld, 0x1111111180000000, 0xffffffff00000005, MIN32, 0x1111111180000000)
# destination and sources may coincide, and the result may be dropped
T la a1, cell ; li a2, 5 ; sd a2, 0(a1) ; li a2, 3 ; amoadd.d a2, a2, (a1) ; IS(a2, 5) ld a0, 0(a1) ; IS(a0, 8)
T la a1, cell ; amoswap.d a1, a1, (a1) ; IS(a1, 8) la a1, cell ; ld a0, 0(a1) ; bne a0, a1, fail
T la a1, cell ; li a2, 9 ; amoswap.d x0, a2, (a1) ; ld a0, 0(a1) ; IS(a0, 9)
# the upper word of a doubleword is a cell of its own
T la a1, cell ; li a2, 0x11 ; sd a2, 0(a1) ; addi a1, a1, 4 ; li a2, 0x22 ; amoadd.w a0, a2, (a1) ; IS(a0, 0) ld a0, -4(a1) ; IS(a0, 0x2200000011)

# --- LR/SC: a pair with nothing between succeeds in the end (it may fail now and then)
T       la a1, cell ; li a2, 0x111111117fffffff ; sd a2, 0(a1)
1:      lr.d a0, (a1) ; addi a2, a0, 1 ; sc.d a3, a2, (a1) ; bnez a3, 1b
        IS(a0, 0x111111117fffffff) ld a0, 0(a1) ; IS(a0, 0x1111111180000000)
T
1:      lr.w.aq a0, (a1) ; addi a2, a0, 1 ; sc.w.rl a3, a2, (a1) ; bnez a3, 1b
        IS(a0, MIN32) ld a0, 0(a1) ; IS(a0, 0x1111111180000001)
# --- an SC without a reservation fails with a non-zero code and does not store
T la a1, cell ; li a2, 7 ; sd a2, 0(a1) ; lr.d a0, (a1) ; li a2, 8 ; sc.d a3, a2, (a1) ; sc.d a3, a2, (a1) ; beqz a3, fail
T la a1, cell ; li a2, 7 ; sd a2, 0(a1) ; sc.d a3, a2, (a1) ; li a2, 8 ; sc.d a3, a2, (a1) ; beqz a3, fail ; ld a0, 0(a1) ; IS(a0, 7)
# --- a failed SC, too, ends the reservation
T la a1, cell ; la a2, other ; lr.d a0, (a1) ; sc.d a3, a2, (a2) ; li a2, 9 ; sc.d a3, a2, (a1) ; beqz a3, fail
# --- an SC to another address than the LR's fails here: the cells are 4 KiB apart,
#     farther than any reservation set of the boards this runs on
T la a1, cell ; la a2, other ; sd zero, 0(a2) ; lr.d a0, (a1) ; li a3, 1 ; sc.d a4, a3, (a2) ; beqz a4, fail ; ld a0, 0(a2) ; IS(a0, 0)
# --- the second LR replaces the first reservation
T la a1, cell ; la a2, other ; lr.d a0, (a1) ; lr.d a0, (a2) ; li a3, 1 ; sc.d a4, a3, (a1) ; beqz a4, fail
# --- SC to x0 must still store
T
        la a1, cell ; li a2, 1 ; sd a2, 0(a1) ; li a4, 100
1:      lr.d a0, (a1) ; addi a0, a0, 1 ; sc.d x0, a0, (a1) ; ld a0, 0(a1) ; addi a4, a4, -1 ; beqz a4, fail ; li a5, 1 ; beq a0, a5, 1b
# --- fetch-and-increment by LR/SC a thousand times (the constrained loop of the manual)
T       la a1, cell ; sd zero, 0(a1) ; li a4, 1000
1:      lr.d a0, (a1) ; addi a0, a0, 1 ; sc.d a3, a0, (a1) ; bnez a3, 1b
        addi a4, a4, -1 ; bnez a4, 1b ; ld a0, 0(a1) ; IS(a0, 1000)
TEST_END

        .data
        .balign 64
cell:   .dword 0
        .balign 4096
other:  .dword 0
