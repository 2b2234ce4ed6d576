/* Harts that work on the same words: nothing is lost, whatever they use. */
#include "smp.h"

#define ROUNDS 20000

/* --- counters ---------------------------------------------------------------- */

static u64 sum_d CACHE_LINE, sum_lrsc CACHE_LINE, sum_mixed CACHE_LINE, sum_cas CACHE_LINE;
static u32 sum_w[2] CACHE_LINE;         /* neighbours in one doubleword */
static u64 toggled CACHE_LINE, largest CACHE_LINE, bits CACHE_LINE;

static inline u64 add_lrsc(u64 *at, u64 n)
{
	u64 old, new, failed;
	__asm__ volatile("1: lr.d.aqrl %0, (%3)\n add %1, %0, %4\n sc.d.rl %2, %1, (%3)\n bnez %2, 1b"
			 : "=&r"(old), "=&r"(new), "=&r"(failed) : "r"(at), "r"(n) : "memory");
	return old;
}

static void counters(u64 hart)
{
	for (u64 i = 1; i <= ROUNDS; i++) {
		fetch_add(&sum_d, 1);
		fetch_add(&sum_w[hart & 1], 1);
		add_lrsc(&sum_lrsc, 1);
		if (i & 1)
			add_lrsc(&sum_mixed, hart + 1);
		else
			fetch_add(&sum_mixed, hart + 1);
		u64 seen = load_relaxed(&sum_cas);
		while (!__atomic_compare_exchange_n(&sum_cas, &seen, seen + i, false,
						    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			;
		__asm__ volatile("amomaxu.d zero, %0, (%1)" ::"r"(i * HARTS + hart), "r"(&largest) : "memory");
		__asm__ volatile("amoxor.d zero, %0, (%1)" ::"r"(1ul << hart), "r"(&toggled) : "memory");
		__asm__ volatile("amoor.d zero, %0, (%1)" ::"r"(1ul << (8 * hart + i % 8)), "r"(&bits) : "memory");
	}
	barrier();
	CHECK(sum_d == HARTS * ROUNDS);
	CHECK(sum_w[0] == (HARTS + 1) / 2 * ROUNDS && sum_w[1] == HARTS / 2 * ROUNDS);
	CHECK(sum_lrsc == HARTS * ROUNDS);
	CHECK(sum_mixed == HARTS * (HARTS + 1) / 2 * ROUNDS);
	CHECK(sum_cas == HARTS * (ROUNDS * (ROUNDS + 1ul) / 2));
	CHECK(largest == ROUNDS * HARTS + HARTS - 1);
	CHECK(toggled == 0);
	CHECK(bits == (HARTS == 8 ? -1ul : (1ul << (8 * HARTS)) - 1));
	barrier();
}

/* --- locks guard plain variables ------------------------------------------------ */

static u32 swap_lock CACHE_LINE;
static u32 next_ticket CACHE_LINE, serving CACHE_LINE;
static u64 guarded[4] CACHE_LINE;

static void locks(void)
{
	for (u64 i = 0; i < ROUNDS / 10; i++) {
		while (__atomic_exchange_n(&swap_lock, 1, __ATOMIC_ACQUIRE))
			while (load_relaxed(&swap_lock))
				pause();
		for (int n = 0; n < 4; n++)
			guarded[n]++;
		CHECK(guarded[0] == guarded[3]);
		store_release(&swap_lock, 0);
	}
	barrier();
	for (u64 i = 0; i < ROUNDS / 200; i++) {
		u32 ticket = __atomic_fetch_add(&next_ticket, 1, __ATOMIC_RELAXED);
		while (load_acquire(&serving) != ticket)
			pause();
		for (int n = 3; n >= 0; n--)
			guarded[n]++;
		store_release(&serving, ticket + 1);
	}
	barrier();
	for (int n = 0; n < 4; n++)
		CHECK(guarded[n] == HARTS * (ROUNDS / 10 + ROUNDS / 200));
	barrier();
}

/* --- a reservation that another hart's store breaks -------------------------------- */

static u64 cell CACHE_LINE, reserved CACHE_LINE, stored CACHE_LINE;

static void reservations(u64 hart)
{
	for (u64 round = 1; round <= 200; round++) {
		if (hart == 0) {
			u64 old, failed;
			__asm__ volatile("lr.d %0, (%1)" : "=r"(old) : "r"(&cell) : "memory");
			store_release(&reserved, round);
			while (load_acquire(&stored) != round)
				pause();
			__asm__ volatile("sc.d %0, %2, (%1)" : "=r"(failed) : "r"(&cell), "r"(-1ul) : "memory");
			CHECK(failed);
			CHECK(load_relaxed(&cell) == round && old == round - 1);
		} else if (hart == 1) {
			while (load_acquire(&reserved) != round)
				pause();
			store_relaxed(&cell, round);
			store_release(&stored, round);
		}
	}
	barrier();
}

/* --- aligned accesses do not tear ---------------------------------------------------- */

static u64 whole CACHE_LINE;

static void tearing(u64 hart)
{
	const u64 pattern = 0x0101010101010101;
	for (u64 i = 0; i < ROUNDS; i++) {
		u64 seen = load_relaxed(&whole);
		CHECK(seen % pattern == 0 && seen / pattern < 2 * HARTS);
		store_relaxed(&whole, pattern * (2 * hart + (i & 1)));
	}
	barrier();
}

void hart_main(u64 hart)
{
	counters(hart);
	locks();
	reservations(hart);
	tearing(hart);
}
