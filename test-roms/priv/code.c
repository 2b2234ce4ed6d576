/* Code that changes: rewritten and run again, through another mapping, under the feet
 * of the code that runs, across pages, and by remapping. After fence.i (or sfence.vma
 * for mappings) the new code is what runs. Unpriv. "Zifencei". */
#include "priv.h"

#define WINDOW 0x40000000ul
#define LI_A0(n) ((u32)(n) << 20 | 0x513)
#define ADD_A0(n) ((u32)(n) << 20 | 0x50513)
#define RET 0x8067u
#define ECALL 0x73u

static u32 code[4096] __attribute__((aligned(4096)));
static u64 *root;

static u64 call(const void *function)
{
	return ((u64(*)(void))function)();
}

static void rewrite(void)
{
	code[1] = RET;
	for (u32 n = 0; n < 1000; n++) {
		code[0] = LI_A0(n);
		fence_i();
		CHECK(call(code) == n);
	}
	/* many places of one page, each run before and after */
	for (u32 round = 0; round < 3; round++) {
		for (u32 i = 0; i < 1024; i += 2) {
			code[i] = LI_A0((i + round) & 0x7ff);
			code[i + 1] = RET;
		}
		fence_i();
		for (u32 i = 0; i < 1024; i += 2)
			CHECK(call(code + i) == ((i + round) & 0x7ff));
	}
	/* a data write into a page of code must not cost the code its meaning */
	for (u32 n = 0; n < 1000; n++) {
		code[1000] = n;
		code[0] = LI_A0(n & 0x7ff);
		fence_i();
		CHECK(call(code) == (n & 0x7ff) && code[1000] == n);
	}
	/* bytes, one by one */
	code[0] = LI_A0(1);
	fence_i();
	CHECK(call(code) == 1);
	((volatile u8 *)code)[3] = 0x02;                /* li a0, 0x20 + ... */
	fence_i();
	CHECK(call(code) == 0x21);
	/* by an AMO and by SC too */
	__atomic_fetch_add(&code[0], 1u << 20, __ATOMIC_SEQ_CST);
	fence_i();
	CHECK(call(code) == 0x22);
}

/* A function that overwrites the instruction it is about to reach. */
u64 walking(u64 n);
__asm__(".text\n.option push\n.option norvc\n.balign 4096\n"
	"walking:\n  slli t0, a0, 20\n  addi t1, zero, 0x513\n  or t0, t0, t1\n"
	"  la t2, 1f\n  sw t0, 0(t2)\n  fence.i\n"
	"1: nop\n  ret\n.option pop\n");

static void underfoot(void)
{
	for (u64 n = 0; n < 2000; n++)
		CHECK(walking(n & 0x7ff) == (n & 0x7ff));
}

/* Written at one address, run at another, and under two mappings at once. */
static void aliases(void)
{
	csr_write(menvcfg, 0);
	root = new_table();
	*pte_of(root, 3, 0x80000000, 2) = PTE_TO(0x80000000) | PTE_RWX;
	*pte_of(root, 3, WINDOW, 0) = PTE_TO(code) | PTE_RX;
	*pte_of(root, 3, WINDOW + PAGE, 0) = PTE_TO(code) | PTE_RX;
	*pte_of(root, 3, WINDOW + 2 * PAGE, 0) = PTE_TO(code + 1024) | PTE_RX;
	csr_write(satp, SATP(SV39, 0, root));
	sfence();
	code[1] = ECALL;
	for (u32 n = 0; n < 500; n++) {
		code[0] = LI_A0(n);
		fence_i();
		CHECK(runs_into(S, WINDOW) == ECALL_S && m_trap.value == n);
		CHECK(runs_into(S, WINDOW + PAGE) == ECALL_S && m_trap.value == n);
	}
	/* position matters: auipc sees the virtual address */
	code[0] = 0x517;
	fence_i();
	CHECK(runs_into(S, WINDOW) == ECALL_S && m_trap.value == WINDOW);
	CHECK(runs_into(S, WINDOW + PAGE) == ECALL_S && m_trap.value == WINDOW + PAGE);

	/* an instruction across two pages; each half changes alone */
	volatile u16 *last = (u16 *)code + 2047, *first = (u16 *)(code + 1024);
	*last = 0x0513;
	first[1] = ECALL;
	first[2] = 0;
	for (u32 n = 0; n < 100; n++) {
		*first = (u16)(n << 4);
		fence_i();
		CHECK(runs_into(S, WINDOW + 2 * PAGE - 2) == ECALL_S && m_trap.value == n);
		*last = 0x0593;                         /* li a1: a0 stays 0 */
		fence_i();
		CHECK(runs_into(S, WINDOW + 2 * PAGE - 2) == ECALL_S && m_trap.value == 0);
		*last = 0x0513;
	}
	/* remapped: the same address, other code, no fence.i but sfence.vma */
	code[0] = LI_A0(1), code[1] = ECALL;
	code[2048] = LI_A0(2), code[2049] = ECALL;
	fence_i();
	for (u32 n = 0; n < 100; n++) {
		*pte_of(root, 3, WINDOW, 0) = PTE_TO(code) | PTE_RX;
		sfence();
		CHECK(runs_into(S, WINDOW) == ECALL_S && m_trap.value == 1);
		*pte_of(root, 3, WINDOW, 0) = PTE_TO(code + 2048) | PTE_RX;
		sfence();
		CHECK(runs_into(S, WINDOW) == ECALL_S && m_trap.value == 2);
	}
	csr_write(satp, 0);
}

void test_main(void)
{
	rewrite();
	underfoot();
	aliases();
}
