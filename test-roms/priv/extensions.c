/* Sv39 with its extensions: Svade and Svadu (A and D bits), Svnapot, Svpbmt, Svinval,
 * and the cache-block permissions of menvcfg and senvcfg. Priv. "Svadu", "Svnapot",
 * "Svpbmt", "Svinval"; Unpriv. "CMO". */
#include "priv.h"

__asm__(".option arch, +svinval");

#define WINDOW 0x40000000ul
#define ADUE   MENVCFG_ADUE

static u8 pages[16 * PAGE] __attribute__((aligned(65536)));
static u64 *root;

PROBE(fetch_here, "li a0, 77");
PROBE(cross_load, "ld a0, -4(a0)");
PROBE(do_sinval, "sinval.vma a0, zero");
PROBE(do_inval_ir, "sfence.inval.ir");
PROBE(do_w_inval, "sfence.w.inval");
PROBE(cbo_inval, ".insn i MISC_MEM, 2, x0, a0, 0");
PROBE(cbo_clean, ".insn i MISC_MEM, 2, x0, a0, 1");
PROBE(cbo_flush, ".insn i MISC_MEM, 2, x0, a0, 2");
PROBE(cbo_zero, ".insn i MISC_MEM, 2, x0, a0, 4");

static volatile u64 *leaf(u64 address) { return pte_of(root, 3, address, 0); }

static void map(u64 address, const void *page, u64 flags)
{
	*leaf(address) = PTE_TO(page) | flags;
	sfence();
}

static void set_up(void)
{
	csr_write(menvcfg, 0);
	csr_write(senvcfg, 0);
	root = new_table();
	user_view = 1ul << 30;
	*pte_of(root, 3, 0x80000000, 2) = PTE_TO(0x80000000) | PTE_RWX;
	*pte_of(root, 3, 0x80000000 + user_view, 2) = PTE_TO(0x80000000) | PTE_RWX | PTE_U;
	csr_write(satp, SATP(SV39, 0, root));
	sfence();
	u32 *code = (u32 *)pages;
	code[0] = 0x04d00513;                   /* li a0, 77; ecall */
	code[1] = 0x00000073;
	fence_i();
}

#define FLAGS_ARE(flags) CHECK((*leaf(WINDOW) & 0x3ff) == (flags))

/* ADUE clear: a missing A, or a missing D at a store, is a page fault. */
static void svade(void)
{
	csr_clear(menvcfg, ADUE);
	const u64 rwx = PTE_V | PTE_R | PTE_W | PTE_X;
	map(WINDOW, pages, rwx);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	FAULTS(S, store_w, WINDOW + 8, STORE_PAGE, WINDOW + 8);
	FETCH_FAULTS(S, WINDOW, FETCH_PAGE);
	FLAGS_ARE(rwx);
	map(WINDOW, pages, rwx | PTE_A);
	RUNS(S, load_w, WINDOW, 0x04d00513);
	CHECK(runs_into(S, WINDOW) == ECALL_S && m_trap.value == 77);
	FAULTS(S, store_w, WINDOW + 8, STORE_PAGE, WINDOW + 8);
	FAULTS(S, amo_d, WINDOW + 8, STORE_PAGE, WINDOW + 8);
	RUNS(S, lr_d, WINDOW + 8, 0);
	FLAGS_ARE(rwx | PTE_A);
	map(WINDOW, pages, rwx | PTE_D);
	FAULTS(S, store_w, WINDOW + 8, STORE_PAGE, WINDOW + 8);
	map(WINDOW, pages, rwx | PTE_A | PTE_D);
	RUNS(S, store_w, WINDOW + 8, WINDOW + 8);
	FLAGS_ARE(rwx | PTE_A | PTE_D);
}

/* ADUE set: the hardware sets them. */
static void svadu(void)
{
	const u64 rwx = PTE_V | PTE_R | PTE_W | PTE_X;
	csr_set(menvcfg, ADUE);
	map(WINDOW, pages, rwx);
	RUNS(S, load_w, WINDOW, 0x04d00513);
	FLAGS_ARE(rwx | PTE_A);
	RUNS(S, store_w, WINDOW + 8, WINDOW + 8);       /* no fence between: D is set all the same */
	FLAGS_ARE(rwx | PTE_A | PTE_D);
	map(WINDOW, pages, rwx);
	CHECK(runs_into(S, WINDOW) == ECALL_S && m_trap.value == 77);
	FLAGS_ARE(rwx | PTE_A);
	map(WINDOW, pages, rwx);
	RUNS(S, amo_d, WINDOW + 16, read64((u64)pages + 16) - 0x55);
	FLAGS_ARE(rwx | PTE_A | PTE_D);
	/* an access that is refused sets nothing */
	map(WINDOW, pages, PTE_V | PTE_R);
	FAULTS(S, store_w, WINDOW, STORE_PAGE, WINDOW);
	FLAGS_ARE(PTE_V | PTE_R);
	map(WINDOW, pages, rwx | PTE_U);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	FLAGS_ARE(rwx | PTE_U);
	RUNS(U, load_w, WINDOW, 0x04d00513);
	FLAGS_ARE(rwx | PTE_U | PTE_A);
	csr_clear(menvcfg, ADUE);
}

static void svnapot(void)
{
	/* 64 KiB: ppn[3:0] = 1000; the low bits of the page come from the address */
	for (u64 page = 0; page < 16; page++) {
		write32((u64)pages + page * PAGE + 32, (u32)(1000 + page));
		*leaf(WINDOW + page * PAGE) = PTE_TO((u64)pages | 0x8000) | PTE_RW | PTE_N;
	}
	sfence();
	for (u64 page = 0; page < 16; page++)
		RUNS(S, load_w, WINDOW + page * PAGE + 32, 1000 + page);
	RUNS(S, store_w, WINDOW + 15 * PAGE + 36, WINDOW + 15 * PAGE + 36);
	CHECK(read32((u64)pages + 15 * PAGE + 36) == 0x55);
	/* other sizes are reserved, and so is N in superpages */
	map(WINDOW, (void *)((u64)pages | 0x4000), PTE_RW | PTE_N);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	map(WINDOW, (void *)((u64)pages | 0x1000), PTE_RW | PTE_N);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
}

static void svpbmt(void)
{
	csr_set(menvcfg, MENVCFG_PBMTE);
	sfence();
	map(WINDOW, pages, PTE_RW | PTE_NC);
	RUNS(S, load_w, WINDOW, 0x04d00513);
	map(WINDOW, pages, PTE_RW | PTE_IO);
	RUNS(S, load_w, WINDOW, 0x04d00513);
	volatile u64 *pointer = pte_of(root, 3, WINDOW, 1);
	u64 good = *pointer;
	map(WINDOW, pages, PTE_RW);
	*pointer = good | PTE_NC;                       /* and reserved in pointers */
	sfence();
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	*pointer = good;
	csr_clear(menvcfg, MENVCFG_PBMTE);
	map(WINDOW, pages, PTE_RW | PTE_NC);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
}

static void svinval(void)
{
	map(WINDOW, pages, PTE_RW);
	RUNS(S, load_w, WINDOW + 32, 1000);
	*leaf(WINDOW) = PTE_TO(pages + PAGE) | PTE_RW;
	RUNS(S, do_w_inval, WINDOW, WINDOW);
	RUNS(S, do_sinval, WINDOW, WINDOW);
	RUNS(S, do_inval_ir, WINDOW, WINDOW);
	RUNS(S, load_w, WINDOW + 32, 1001);
	CHECK(run_in(U, (void *)seen_from(U, do_sinval), 0, 0) == ILLEGAL);
	csr_set(mstatus, MSTATUS_TVM);
	CHECK(run_in(S, do_sinval, 0, 0) == ILLEGAL);
	RUNS(S, do_w_inval, WINDOW, WINDOW);            /* TVM is about the middle one only */
	csr_clear(mstatus, MSTATUS_TVM);
}

/* Cache operations below M need the permission of every mode above. */
static void cache_blocks(void)
{
	map(WINDOW, pages + PAGE, PTE_RW | PTE_U);
	csr_set(mstatus, MSTATUS_SUM);
	write64((u64)pages + PAGE + 64, 1);
	CHECK(run_in(S, cbo_zero, WINDOW, 0) == ILLEGAL);
	CHECK(run_in(S, cbo_clean, WINDOW, 0) == ILLEGAL);
	CHECK(run_in(S, cbo_flush, WINDOW, 0) == ILLEGAL);
	CHECK(run_in(S, cbo_inval, WINDOW, 0) == ILLEGAL);
	csr_set(menvcfg, MENVCFG_CBIE | MENVCFG_CBCFE | MENVCFG_CBZE);
	RUNS(S, cbo_zero, WINDOW + 64, WINDOW + 64);
	CHECK(read64((u64)pages + PAGE + 64) == 0);
	RUNS(S, cbo_clean, WINDOW + 64, WINDOW + 64);
	RUNS(S, cbo_flush, WINDOW + 64, WINDOW + 64);
	RUNS(S, cbo_inval, WINDOW + 64, WINDOW + 64);
	CHECK(run_in(U, (void *)seen_from(U, cbo_zero), WINDOW, 0) == ILLEGAL);
	CHECK(run_in(U, (void *)seen_from(U, cbo_clean), WINDOW, 0) == ILLEGAL);
	csr_set(senvcfg, MENVCFG_CBIE | MENVCFG_CBCFE | MENVCFG_CBZE);
	RUNS(U, cbo_zero, WINDOW + 64, WINDOW + 64);
	RUNS(U, cbo_flush, WINDOW + 64, WINDOW + 64);
	RUNS(U, cbo_inval, WINDOW + 64, WINDOW + 64);
	/* they translate like stores, or like any access that is allowed */
	map(WINDOW, pages + PAGE, PTE_V | PTE_R | PTE_A | PTE_U);
	RUNS(U, cbo_clean, WINDOW + 64, WINDOW + 64);
	FAULTS(U, cbo_zero, WINDOW + 64, STORE_PAGE, WINDOW + 64);
	map(WINDOW, pages + PAGE, 0);
	FAULTS(U, cbo_clean, WINDOW, STORE_PAGE, WINDOW);
	FAULTS(U, cbo_zero, WINDOW, STORE_PAGE, WINDOW);
	csr_clear(mstatus, MSTATUS_SUM);
}

void test_main(void)
{
	set_up();
	svade();
	svadu();
	svnapot();
	svpbmt();
	svinval();
	cache_blocks();
	/* across a page, both entries get their A bit */
	csr_set(menvcfg, ADUE);
	map(WINDOW, pages, PTE_V | PTE_R);
	map(WINDOW + PAGE, pages + PAGE, PTE_V | PTE_R);
	CHECK(runs(S, cross_load, WINDOW + PAGE, 0));
	CHECK(*leaf(WINDOW) & PTE_A && *leaf(WINDOW + PAGE) & PTE_A);
	RUNS(S, fetch_here, 0, 77);
	csr_clear(menvcfg, ADUE);
	/* the fourth memory type is reserved and faults; QEMU 10 takes it */
	csr_set(menvcfg, MENVCFG_PBMTE);
	map(WINDOW, pages, PTE_RW | PTE_NC | PTE_IO);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	/* U may not fence at all; QEMU 10 lets it order invalidations */
	CHECK(run_in(U, (void *)seen_from(U, do_w_inval), 0, 0) == ILLEGAL);
	CHECK(run_in(U, (void *)seen_from(U, do_inval_ir), 0, 0) == ILLEGAL);
}
