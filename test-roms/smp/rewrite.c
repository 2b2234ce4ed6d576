/* Code that is rewritten while others run it. Each hart has pages of code whose blocks
 * call each other round and round, and changes one instruction of it at a time; all harts
 * run all pages. Each block adds its version to a sum, so a result tells which versions
 * ran: after the fence, none older than what was published before it. First few pages,
 * often changed; then more than a small cache of translated code has room for. */
#include "smp.h"

#define BLOCKS 8
#define PAGES  72
#define LAPS   700
/* Words between blocks: far enough apart that no two are one piece of code. */
#define APART    100

struct page {
	u32 code[1024];
} __attribute__((aligned(4096)));

static struct page pages[PAGES];
/* The sum of one lap: of all versions ever written, and of those published. */
static struct {
	u64 announced, published;
} CACHE_LINE state[PAGES];

/* addi a0, a0, n; jal t0, over words; addi a1, a1, -1; bnez a1, over words; ret */
#define ADD_A0(n)   ((u32)(n) << 20 | 0x50513)
#define DEC_A1      0xfff58593u
#define RET         0x8067u
static u32 jal_t0(int words)
{
	u32 by = (u32)words * 4;
	return (by >> 20 & 1) << 31 | (by >> 1 & 0x3ff) << 21 | (by >> 11 & 1) << 20 |
	       (by >> 12 & 0xff) << 12 | 5 << 7 | 0x6f;
}
static u32 bnez_a1(int words)
{
	u32 by = (u32)words * 4;
	return (by >> 12 & 1) << 31 | (by >> 5 & 0x3f) << 25 | 11 << 15 | 1 << 12 |
	       (by >> 1 & 0xf) << 8 | (by >> 11 & 1) << 7 | 0x63;
}

static u64 sum_of(const struct page *page, u64 laps)
{
	register u64 a0 __asm__("a0") = 0;
	register u64 a1 __asm__("a1") = laps;
	__asm__ volatile("jalr %2" : "+r"(a0), "+r"(a1) : "r"(page->code) : "ra", "t0", "memory");
	return a0;
}

static void write_page(struct page *page)
{
	for (int block = 0; block < BLOCKS; block++) {
		u32 *at = page->code + block * APART;
		at[0] = ADD_A0(0);
		at[1] = jal_t0(APART - 1);
	}
	/* The last one is short of the page's end, and goes round. */
	u32 *last = page->code + BLOCKS * APART;
	last[0] = DEC_A1;
	last[1] = bnez_a1(-BLOCKS * APART - 1);
	last[2] = RET;
}

static void rewrite(u64 page, u64 version)
{
	static u64 versions[PAGES][BLOCKS];
	u64 *block = &versions[page][version % BLOCKS];
	u64 sum = state[page].announced + version - *block;
	*block = version;
	store_release(&state[page].announced, sum);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	store_relaxed(&pages[page].code[version % BLOCKS * APART], ADD_A0(version));
	fence_i();
	CHECK(sum_of(&pages[page], 3) == 3 * sum);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	store_release(&state[page].published, sum);
}

static void run(u64 page)
{
	u64 oldest = load_acquire(&state[page].published);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	fence_i();
	u64 sum = sum_of(&pages[page], LAPS);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	u64 newest = load_acquire(&state[page].announced);
	CHECK(sum >= LAPS * oldest);
	CHECK(sum <= LAPS * newest);
}

/* All harts run some pages, and rewrite those that are theirs before each turn. */
static void all(u64 hart, u64 pages, u64 first, u64 last)
{
	for (u64 version = first; version <= last; version++) {
		for (u64 page = hart; page < pages; page += HARTS)
			rewrite(page, version);
		for (u64 page = 0; page < pages; page++)
			run((hart + page) % pages);
	}
}

void hart_main(u64 hart)
{
	for (u64 page = hart; page < PAGES; page += HARTS)
		write_page(&pages[page]);
	barrier();
	all(hart, HARTS, 1, 200);
	all(hart, PAGES, 201, 210);
	barrier();
	/* All is quiet: the last versions, exactly. */
	fence_i();
	for (u64 page = 0; page < PAGES; page++)
		CHECK(sum_of(&pages[page], LAPS) == LAPS * state[page].published);
	barrier();
}
