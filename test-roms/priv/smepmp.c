/* Smepmp: mseccfg.RLB, MMWP and MML, and the truth table of MML. Priv. "Smepmp". */
#include "priv.h"

enum { TOR = 8, NAPOT = 24, R = 1, W = 2, X = 4, L = 0x80 };
#define MSECCFG 0x747
#define MML  1
#define MMWP 2
#define RLB  4

static u8 page[PAGE] __attribute__((aligned(4096)));
#define AT ((u64)page)
#define NAPOT_AT(base, size) (((base) | ((size) / 2 - 1)) >> 2)

/* Entry 0 is the page under test. Entry 1 is off and gives the base of entry 2, which
 * is the image's code; entry 3 is all that follows, the image's data. */
enum { TEST_PAGE = 0, CODE = 2, DATA = 3, DEVICES = 4 };
static void set_config(u32 entry, u64 config)
{
	u64 shift = entry * 8;
	csr_write(pmpcfg0, (csr_read(pmpcfg0) & ~(0xfful << shift)) | config << shift);
	sfence();
}
static u32 config_of(u32 entry) { return csr_read(pmpcfg0) >> entry * 8 & 0xff; }

extern char tohost[];           /* the first page behind the code */

/* What each mode may do to the page, as bits R, W, X. */
static u32 allowed(enum mode mode)
{
	u32 rights = 0;
	if (run_in(mode, load_w, AT, 0) != LOAD_ACCESS)
		rights |= R;
	if (run_in(mode, store_w, AT + 8, 0) != STORE_ACCESS)
		rights |= W;
	if (run_in(mode, page, 0, 0) != FETCH_ACCESS)
		rights |= X;
	return rights;
}

static void truth_table(void)
{
	/* config: rights of M, rights of S and U */
	static const u8 table[][3] = {
		{ 0, 0, 0 },
		{ X, 0, X },
		{ W, R | W, R },
		{ W | X, R | W, R | W },
		{ R, 0, R },
		{ R | X, 0, R | X },
		{ R | W, 0, R | W },
		{ R | W | X, 0, R | W | X },
		{ L, 0, 0 },
		{ L | X, X, 0 },
		{ L | W, X, X },
		{ L | W | X, R | X, X },
		{ L | R, R, 0 },
		{ L | R | X, R | X, 0 },
		{ L | R | W, R | W, 0 },
		{ L | R | W | X, R, R },
	};
	for (u32 i = 0; i < sizeof table / sizeof *table; i++) {
		set_config(TEST_PAGE, NAPOT | table[i][0]);
		CHECK(config_of(TEST_PAGE) == (u32)(NAPOT | table[i][0]));
		CHECK(allowed(M) == table[i][1]);
		CHECK(allowed(U) == table[i][2]);
		CHECK(allowed(S) == table[i][2]);
	}
}

void test_main(void)
{
	*(volatile u32 *)page = 0x00000073;             /* ecall */
	fence_i();
	csr_write(pmpcfg0, 0);
	csr_write(pmpaddr0, NAPOT_AT(AT, PAGE));
	csr_write(pmpaddr1, 0x80000000 >> 2);
	csr_write(pmpaddr2, (u64)tohost >> 2);
	csr_write(pmpaddr3, -1ul);
	set_config(TEST_PAGE, NAPOT | R | W | X);
	csr_write(pmpaddr4, NAPOT_AT(0, 0x80000000));   /* to report the verdict */
	set_config(DEVICES, NAPOT | R | W);
	set_config(CODE, TOR | R | X);
	set_config(DATA, TOR | R | W);
	CHECK(csr_read(MSECCFG) == 0);

	/* RLB lets locked entries change */
	csr_write(MSECCFG, RLB);
	CHECK(csr_read(MSECCFG) == RLB);
	set_config(TEST_PAGE, L | NAPOT | R);
	CHECK(config_of(TEST_PAGE) == (L | NAPOT | R));
	CHECK(allowed(M) == R);
	set_config(TEST_PAGE, NAPOT | R);
	CHECK(config_of(TEST_PAGE) == (NAPOT | R));
	CHECK(allowed(M) == (R | W | X));

	/* MMWP: what no entry matches is forbidden to M too; sticky */
	set_config(DEVICES, L | NAPOT | R | W);
	set_config(CODE, L | TOR | R | X);
	set_config(DATA, L | TOR | R | W);
	set_config(TEST_PAGE, 0);
	CHECK(allowed(M) == (R | W));                   /* DATA matches */
	csr_write(MSECCFG, RLB | MMWP);
	CHECK(csr_read(MSECCFG) == (RLB | MMWP));
	csr_write(MSECCFG, RLB);
	CHECK(csr_read(MSECCFG) == (RLB | MMWP));

	/* MML: L now means "rule for M only". The image is M's and shared code:
	 * L|W|X = M reads and executes, S and U execute; W|X = data for all. */
	set_config(TEST_PAGE, NAPOT);
	set_config(CODE, L | TOR | R | X);
	__asm__ volatile("csrs 0x747, %0" ::"r"(MML));
	CHECK(csr_read(MSECCFG) == (RLB | MMWP | MML));
	set_config(CODE, L | TOR | W | X);
	set_config(DATA, TOR | W | X);
	truth_table();
}
