/* Page tables of LEVELS levels (3: Sv39, 4: Sv48, 5: Sv57): permissions, superpages,
 * malformed entries, SUM, MXR and MPRV, canonical addresses, accesses and
 * instructions that cross pages, sfence.vma. Priv. "Supervisor-Level ISA". */
#include "priv.h"

#define MODE (SV39 + LEVELS - 3)
#define SHIFT(level) (12 + 9 * (level))
/* A window of test addresses, with an index of its own at every level. */
#define TOP    (5ul << SHIFT(LEVELS - 1))
#define WINDOW (TOP | 6ul << SHIFT(LEVELS - 2) | 7ul << SHIFT(1))
/* The same in the upper half, where kernels live. */
#define HIGH   (~0ul << (SHIFT(LEVELS) - 1) | WINDOW)

static u8 page_a[PAGE] __attribute__((aligned(4096)));
static u8 page_b[PAGE] __attribute__((aligned(4096)));
static u64 *root;

PROBE(do_sfence, "sfence.vma");
PROBE(jump, "jalr a0\n mv a0, a0");

static volatile u64 *leaf(u64 address) { return pte_of(root, LEVELS, address, 0); }

static void map(u64 address, const void *page, u64 flags)
{
	*leaf(address) = PTE_TO(page) | flags;
	sfence();
}

static void set_up(void)
{
	csr_write(menvcfg, 0);          /* reset leaves it as it likes */
	root = new_table();
	/* the image where it is for S, and a second view of it for U */
	u64 image = 2ul << 30;
	user_view = 1ul << 30;
	*pte_of(root, LEVELS, image, 2) = PTE_TO(image) | PTE_RWX;
	*pte_of(root, LEVELS, image + user_view, 2) = PTE_TO(image) | PTE_RWX | PTE_U;
	write64((u64)page_a, 0x1111);
	write64((u64)page_b, 0x2222);
	csr_write(satp, SATP(MODE, 0, root));
	sfence();
}

/* Code for the fetch tests: li a0, 77; ecall. */
static void put_code(void *page)
{
	u32 *code = page;
	code[0] = 0x04d00513;
	code[1] = 0x00000073;
	fence_i();
}

#define ALLOWS_FETCH(mode, address)                                           \
	CHECK(runs_into(mode, address) == ECALL_U + (u64)(mode) && m_trap.value == 77 && \
	      m_trap.epc == (address) + 4)

static void permissions(void)
{
	static const u8 kinds[] = { PTE_R, PTE_R | PTE_W, PTE_X, PTE_R | PTE_X, PTE_R | PTE_W | PTE_X };
	put_code(page_a);
	for (u32 i = 0; i < sizeof kinds; i++)
		for (int user = 0; user < 2; user++) {
			u64 kind = kinds[i] | (user ? PTE_U : 0);
			enum mode mode = user ? U : S;
			map(WINDOW, page_a, PTE_V | PTE_A | PTE_D | kind);
			if (kind & PTE_R)
				RUNS(mode, load_w, WINDOW + 8, 0);
			else
				FAULTS(mode, load_w, WINDOW + 8, LOAD_PAGE, WINDOW + 8);
			if (kind & PTE_W)
				RUNS(mode, store_w, WINDOW + 16, WINDOW + 16);
			else
				FAULTS(mode, store_w, WINDOW + 16, STORE_PAGE, WINDOW + 16);
			if (kind & PTE_W)
				RUNS(mode, amo_d, WINDOW + 24, read64((u64)page_a + 24) - 0x55);
			else
				FAULTS(mode, amo_d, WINDOW + 24, STORE_PAGE, WINDOW + 24);
			if (kind & PTE_X)
				ALLOWS_FETCH(mode, WINDOW);
			else
				FETCH_FAULTS(mode, WINDOW, FETCH_PAGE);
			/* and the other mode: U never, S never for code */
			if (!user)
				FAULTS(U, load_w, WINDOW + 8, LOAD_PAGE, WINDOW + 8);
			else
				FAULTS(S, load_w, WINDOW + 8, LOAD_PAGE, WINDOW + 8);
			FETCH_FAULTS(user ? S : U, WINDOW, FETCH_PAGE);
		}
}

static void sum_mxr_mprv(void)
{
	put_code(page_a);
	map(WINDOW, page_a, PTE_RWX | PTE_U);
	csr_set(mstatus, MSTATUS_SUM);
	RUNS(S, load_w, WINDOW, 0x04d00513);
	RUNS(S, store_w, WINDOW + 8, WINDOW + 8);
	FETCH_FAULTS(S, WINDOW, FETCH_PAGE);    /* SUM is for data only */
	csr_clear(mstatus, MSTATUS_SUM);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);

	map(WINDOW, page_a, PTE_V | PTE_X | PTE_A);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	csr_set(mstatus, MSTATUS_MXR);
	RUNS(S, load_w, WINDOW, 0x04d00513);
	FAULTS(S, store_w, WINDOW, STORE_PAGE, WINDOW);
	csr_clear(mstatus, MSTATUS_MXR);
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);

	/* MPRV: M loads and stores as MPP would; its fetches stay physical */
	map(WINDOW, page_b, PTE_RW);
	TEST();
	u64 value;
	csr_clear(mstatus, MSTATUS_MPP);
	csr_set(mstatus, MPP(S));
	csr_set(mstatus, MSTATUS_MPRV);
	value = *(volatile u64 *)WINDOW;
	csr_clear(mstatus, MSTATUS_MPRV);
	CHECK(value == 0x2222);
	/* with MPP = U it may not; a trap into M does not clear MPRV, and MPP is M then */
	extern const char mprv_load[], mprv_trap[];
	u64 cause, tval, mtvec = csr_read(mtvec);
	csr_write(mtvec, (u64)mprv_trap);
	csr_clear(mstatus, MSTATUS_MPP);
	__asm__ volatile("li t0, 0x20000\n csrs mstatus, t0\n.globl mprv_load\n.balign 4\n"
			 "mprv_load: ld t1, (%2)\n li t1, 0\n.balign 4\n.globl mprv_trap\n"
			 "mprv_trap: csrc mstatus, t0\n csrr %0, mcause\n csrr %1, mtval\n"
			 : "=&r"(cause), "=&r"(tval) : "r"(WINDOW) : "t0", "t1", "memory");
	csr_write(mtvec, mtvec);
	CHECK(cause == LOAD_PAGE && tval == WINDOW && csr_read(mepc) == (u64)mprv_load);
	/* mret to less than M clears MPRV */
	csr_set(mstatus, MSTATUS_MPRV);
	CHECK(run_in(S, nothing, 0, 0) == ECALL_S && !(m_trap.status & MSTATUS_MPRV));
}

static void malformed(void)
{
	static const u64 bad[] = {
		PTE_RW & ~PTE_V,
		PTE_V | PTE_W | PTE_A | PTE_D,                  /* W without R is reserved */
		PTE_V | PTE_W | PTE_X | PTE_A | PTE_D,
		PTE_V,                                          /* a pointer at the last level */
		PTE_RW | 1ul << 54, PTE_RW | 1ul << 60,         /* reserved bits */
		PTE_RW | PTE_NC,                                /* Svpbmt is not enabled */
	};
	for (u32 i = 0; i < sizeof bad / sizeof *bad; i++) {
		map(WINDOW, page_a, bad[i]);
		FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
		FAULTS(S, store_w, WINDOW, STORE_PAGE, WINDOW);
		FETCH_FAULTS(S, WINDOW, FETCH_PAGE);
	}
	map(WINDOW, (void *)0x80000000, PTE_RW | PTE_N);        /* NAPOT of no known size */
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	/* pointers: A, D, U and the upper bits are reserved in them */
	volatile u64 *pointer = pte_of(root, LEVELS, WINDOW, 1);
	u64 good = *pointer;
	static const u64 bits[] = { PTE_A, PTE_D, PTE_U, 1ul << 59, PTE_N, PTE_NC };
	map(WINDOW, page_b, PTE_RW);
	RUNS(S, load_w, WINDOW, 0x2222);
	for (u32 i = 0; i < sizeof bits / sizeof *bits; i++) {
		*pointer = good | bits[i];
		sfence();
		FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	}
	*pointer = good;
	/* a page where there is no memory: access faults at the address */
	map(WINDOW, (void *)0x10000, PTE_RWX);
	FAULTS(S, load_w, WINDOW + 4, LOAD_ACCESS, WINDOW + 4);
	FAULTS(S, store_w, WINDOW + 4, STORE_ACCESS, WINDOW + 4);
	FETCH_FAULTS(S, WINDOW, FETCH_ACCESS);
}

static void superpages(void)
{
	put_code(page_b);
	for (int level = 1; level < LEVELS; level++) {
		u64 size = 1ul << SHIFT(level), base = (u64)page_b & ~(size - 1);
		u64 address = TOP | 3ul << SHIFT(LEVELS - 2);
		if (level == LEVELS - 1)
			address = 9ul << SHIFT(level);
		else if (level < LEVELS - 2)
			address |= 2ul << SHIFT(level);
		volatile u64 *pte = pte_of(root, LEVELS, address, level);
		u64 at = address + ((u64)page_b - base);
		*pte = PTE_TO(base) | PTE_RWX;
		sfence();
		RUNS(S, load_w, at, 0x04d00513);
		RUNS(S, store_w, at + 16, at + 16);
		ALLOWS_FETCH(S, at);
		FAULTS(U, load_w, address, LOAD_PAGE, address);
		*pte = PTE_TO(base | PAGE) | PTE_RWX;           /* misaligned for its size */
		sfence();
		FAULTS(S, load_w, at, LOAD_PAGE, at);
		FETCH_FAULTS(S, at, FETCH_PAGE);
		*pte = 0;
		sfence();
		FAULTS(S, load_w, at, LOAD_PAGE, at);
	}
}

static void canonical(void)
{
	put_code(page_a);
	map(HIGH, page_a, PTE_RWX);
	RUNS(S, load_w, HIGH, 0x04d00513);
	ALLOWS_FETCH(S, HIGH);
	u64 wrong[] = { HIGH ^ 1ul << 63, HIGH ^ 1ul << SHIFT(LEVELS), WINDOW ^ 1ul << 63, WINDOW ^ 1ul << SHIFT(LEVELS) };
	map(WINDOW, page_a, PTE_RWX);
	for (u32 i = 0; i < 4; i++) {
		FAULTS(S, load_w, wrong[i], LOAD_PAGE, wrong[i]);
		FAULTS(S, store_w, wrong[i], STORE_PAGE, wrong[i]);
		FETCH_FAULTS(S, wrong[i], FETCH_PAGE);
	}
	/* the last and the first address of all */
	FAULTS(S, load_d, -4ul, LOAD_PAGE, -4ul);
	FAULTS(U, load_b, -1ul, LOAD_PAGE, -1ul);
}

static void crossing(void)
{
	u64 edge = WINDOW + PAGE;
	map(WINDOW, page_a, PTE_RWX);
	map(edge, page_b, PTE_RWX);
	write64((u64)page_a + PAGE - 8, 0x8877665544332211);
	write64((u64)page_b, 0x00ffeeddccbbaa99);
	RUNS(S, load_d, edge - 3, 0xddccbbaa99887766);
	RUNS(S, load_w, edge - 2, 0xffffffffaa998877);
	RUNS(S, load_h, edge - 1, 0xffffffffffff9988);
	RUNS(S, store_d, edge - 3, edge - 3);
	CHECK(read64((u64)page_a + PAGE - 8) == 0x0000555544332211);
	CHECK(read64((u64)page_b) == 0x00ffee0000000000);
	/* the fault names the part that fails, and nothing has been stored */
	map(edge, page_b, 0);
	FAULTS(S, load_d, edge - 3, LOAD_PAGE, edge);
	FAULTS(S, store_d, edge - 3, STORE_PAGE, edge);
	CHECK(read64((u64)page_a + PAGE - 8) == 0x0000555544332211);
	map(edge, page_b, PTE_V | PTE_R | PTE_A);
	FAULTS(S, store_w, edge - 1, STORE_PAGE, edge);
	map(WINDOW, page_a, 0);
	map(edge, page_b, PTE_RWX);
	FAULTS(S, load_d, edge - 3, LOAD_PAGE, edge - 3);
	FAULTS(S, store_d, edge - 3, STORE_PAGE, edge - 3);
	CHECK(read64((u64)page_b) == 0x00ffee0000000000);

	/* an instruction of four bytes, two on each page: li a0, 77; ecall */
	map(WINDOW, page_a, PTE_RWX);
	*(volatile u16 *)(page_a + PAGE - 2) = 0x0513;
	*(volatile u16 *)page_b = 0x04d0;
	*(volatile u16 *)(page_b + 2) = 0x0073;
	*(volatile u16 *)(page_b + 4) = 0;
	fence_i();
	CHECK(runs_into(S, edge - 2) == ECALL_S && m_trap.value == 77 && m_trap.epc == edge + 2);
	/* its second page alone decides too; the fault is the instruction's, xtval the page's */
	map(edge, page_b, PTE_RW);
	CHECK(runs_into(S, edge - 2) == FETCH_PAGE && m_trap.epc == edge - 2 && m_trap.tval == edge);
	map(edge, page_b, PTE_RWX | PTE_U);
	CHECK(runs_into(S, edge - 2) == FETCH_PAGE && m_trap.epc == edge - 2 && m_trap.tval == edge);
	/* a compressed instruction at the edge needs its own page only (c.ebreak) */
	*(volatile u16 *)(page_a + PAGE - 2) = 0x9002;
	fence_i();
	CHECK(runs_into(S, edge - 2) == BREAKPOINT && m_trap.epc == edge - 2);
	/* and the second page may change under it: li a0, 77 becomes li a0, 78 */
	*(volatile u16 *)(page_a + PAGE - 2) = 0x0513;
	write64((u64)page_a, 0x0000007304e0);
	fence_i();
	map(edge, page_a, PTE_RWX);
	CHECK(runs_into(S, edge - 2) == ECALL_S && m_trap.value == 78 && m_trap.epc == edge + 2);
}

static void fences(void)
{
	write64((u64)page_a, 0x1111);
	write64((u64)page_b, 0x2222);
	/* a new mapping is seen after a fence of any kind that names it */
	map(WINDOW, page_a, PTE_RW);
	RUNS(S, load_w, WINDOW, 0x1111);
	*leaf(WINDOW) = PTE_TO(page_b) | PTE_RW;
	__asm__ volatile("sfence.vma %0, zero" ::"r"(WINDOW) : "memory");
	RUNS(S, load_w, WINDOW, 0x2222);
	*leaf(WINDOW) = PTE_TO(page_a) | PTE_RW;
	__asm__ volatile("sfence.vma zero, %0" ::"r"(0ul) : "memory");
	RUNS(S, load_w, WINDOW, 0x1111);
	*leaf(WINDOW) = 0;
	__asm__ volatile("sfence.vma %0, %1" ::"r"(WINDOW), "r"(0ul) : "memory");
	FAULTS(S, load_w, WINDOW, LOAD_PAGE, WINDOW);
	/* the same address in two address spaces, told apart by ASID or by root */
	u64 *first = root, *second = new_table();
	for (u32 i = 0; i < 512; i++)
		second[i] = root[i];
	second[TOP >> SHIFT(LEVELS - 1) & 511] = 0;
	map(WINDOW, page_a, PTE_RW);
	root = second;
	map(WINDOW, page_b, PTE_RW);
	for (u32 round = 0; round < 10; round++) {
		csr_write(satp, SATP(MODE, 1, first));
		RUNS(S, load_w, WINDOW, 0x1111);
		csr_write(satp, SATP(MODE, 2, second));
		RUNS(S, load_w, WINDOW, 0x2222);
	}
	/* global: one entry for all address spaces */
	root = first;
	map(WINDOW, page_b, PTE_RW | PTE_G);
	csr_write(satp, SATP(MODE, 1, first));
	RUNS(S, load_w, WINDOW, 0x2222);
	/* bare: addresses are physical at once */
	csr_write(satp, 0);
	FAULTS(S, load_w, WINDOW, LOAD_ACCESS, WINDOW);
	csr_write(satp, SATP(MODE, 1, first));
	RUNS(S, load_w, WINDOW, 0x2222);
}

/* A table where there is no memory: the walk's access fault has the type of the access
 * that wanted it ("Virtual Address Translation Process", step 2). QEMU 10 says page
 * fault. */
static void void_table(void)
{
	*pte_of(root, LEVELS, WINDOW, 1) = PTE_TO(0x10000) | PTE_V;
	sfence();
	FAULTS(S, load_w, WINDOW + 4, LOAD_ACCESS, WINDOW + 4);
	FAULTS(S, store_w, WINDOW + 4, STORE_ACCESS, WINDOW + 4);
	FETCH_FAULTS(S, WINDOW, FETCH_ACCESS);
}

void test_main(void)
{
	set_up();
	permissions();
	sum_mxr_mprv();
	malformed();
	superpages();
	canonical();
	crossing();
	fences();
	void_table();
}
