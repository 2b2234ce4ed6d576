/* What a TLB miss costs: loads a page and a cache line apart, over PAGES pages of
 * 4 KiB under Sv39 in S-mode. With PAGES far beyond any TLB every load misses it;
 * with few pages every load hits, and the difference between the two programs is
 * the price. LOADS loads, three instructions each, in four per turn of the loop. */
#include "rt.h"

#define WINDOW 0x40000000ul             /* virtual: one gigapage below the image */
#define TARGET 0x80400000ul             /* physical: 4 MiB into RAM, above the image */

u64 walk(u64 pages, u64 loads);

/* a0 = pages (a power of two), a1 = loads. t0 = offset, wraps by mask. */
__asm__(".globl walk\n"
	"walk:   slli  t1, a0, 12\n"
	"        addi  t1, t1, -1\n"            /* mask */
	"        li    t2, 0x40000000\n"
	"        li    t3, 4096 + 64\n"
	"        li    t0, 0\n"
	"        li    a2, 0\n"
	"1:"
	".rept 4\n"
	"        and   t4, t0, t1\n"
	"        add   t4, t4, t2\n"
	"        ld    t5, 0(t4)\n"
	"        add   a2, a2, t5\n"
	"        add   t0, t0, t3\n"
	".endr\n"
	"        addi  a1, a1, -4\n"
	"        bnez  a1, 1b\n"
	"        mv    a0, a2\n"
	"        ecall\n");

void test_main(void)
{
	u64 *root = new_table();
	*pte_of(root, 3, 0x80000000, 2) = PTE_TO(0x80000000) | PTE_RWX;
	for (u64 page = 0; page < PAGES; page++)
		*pte_of(root, 3, WINDOW + page * PAGE, 0) = PTE_TO(TARGET + page * PAGE) | PTE_RW;
	csr_write(satp, SATP(SV39, 0, root));
	sfence();
	CHECK(run_in(S, walk, PAGES, LOADS) == ECALL_S);
	CHECK(m_trap.value == 0);       /* fresh memory is zero, and so its sum */
}
