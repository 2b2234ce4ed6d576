# Zicbom, Zicbop, Zicboz, Zawrs, Zihintpause, Zifencei: what manages caches and
# waiting. Unpriv. "CMO", "Zawrs", "Zihintpause", "Zifencei". The block is 64 bytes.
#include "test.h"
        .macro  CBO kind, rs1           # 0 inval, 1 clean, 2 flush, 4 zero
        .insn   i MISC_MEM, 2, x0, \rs1, \kind
        .endm
        .macro  PREFETCH kind, offset, rs1  # 0 instruction, 1 read, 3 write
        .insn   i OP_IMM, 6, x0, \rs1, \offset + \kind
        .endm

TEST_BEGIN
# --- cbo.zero clears the 64-byte block that holds the address, and only it
T la a1, block + 17 ; CBO 4, a1 ; la a1, block ; li a2, 64 ; li a0, 0
1:      ld a3, 0(a1) ; or a0, a0, a3 ; addi a1, a1, 8 ; addi a2, a2, -8 ; bnez a2, 1b ; IS(a0, 0)
T la a1, block ; ld a0, -8(a1) ; IS(a0, 0xaaaaaaaaaaaaaaaa) ld a0, 64(a1) ; IS(a0, 0xaaaaaaaaaaaaaaaa)
# --- clean, flush and inval leave what was written (memory here is coherent)
T la a1, block ; li a0, 0x55 ; sd a0, 0(a1) ; CBO 1, a1 ; ld a0, 0(a1) ; IS(a0, 0x55)
T la a1, block + 63 ; CBO 2, a1 ; la a1, block ; ld a0, 0(a1) ; IS(a0, 0x55)
# --- prefetches never trap, wherever they point
T la a1, block ; PREFETCH 0, 0, a1 ; PREFETCH 1, 32, a1 ; PREFETCH 3, -32, a1
T li a1, -64 ; PREFETCH 0, 0, a1 ; PREFETCH 1, 0, a1 ; PREFETCH 3, 0, a1
T li a1, 0x8000000000000000 ; PREFETCH 3, 0x7e0, a1
# --- cbo.zero outside memory is a store access fault
T la a5, 2f ; csrw mtvec, a5 ; li a1, 8
1:      CBO 4, a1 ; j fail
        .balign 4
2:      csrr a0, mcause ; IS(a0, 7) csrr a0, mepc ; la a3, 1b ; bne a0, a3, fail
        la a5, unexpected_trap ; csrw mtvec, a5
# --- hints and waits: pause; wrs.nto and wrs.sto end, with a reservation or without
T .insn i MISC_MEM, 0, x0, x0, 0x010
T wrs.sto
T la a1, block ; lr.d a0, (a1) ; sc.d a0, a0, (a1) ; wrs.nto
T la a1, block ; lr.w a0, (a1) ; wrs.sto
# --- fence.i: code that was just written is what runs, over and over
T li a2, 100
1:      la a1, patch ; slli a0, a2, 20 ; li a3, 0x00000513 ; or a0, a0, a3  # addi a0, x0, a2
        sw a0, 0(a1) ; fence.i ; jal ra, patch ; bne a0, a2, fail ; addi a2, a2, -1 ; bnez a2, 1b
# --- the same, with the patched instruction in the loop's own straight line
T li a2, 100
1:      la a1, 2f ; slli a0, a2, 20 ; li a3, 0x00000513 ; or a0, a0, a3
        sw a0, 0(a1) ; fence.i
2:      nop ; bne a0, a2, fail ; addi a2, a2, -1 ; bnez a2, 1b
# --- reserved fm and other fields of fence.i are ignored
T .word 0xfff5108f
# --- a fault of cbo.zero names the address in rs1, not the block's (Unpriv. "CMO",
#     cbo.zero; QEMU 10 gives the block's)
T csrr a0, mtval ; IS(a0, 8)
TEST_END
        .balign 64
patch:  nop
        ret

        .data
        .balign 64
        .fill   64, 1, 0xaa
block:  .fill   64, 1, 0xaa
        .fill   64, 1, 0xaa
