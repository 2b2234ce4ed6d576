/* Litmus tests: outcomes that the memory model (RVWMO) forbids must not occur. Harts
 * 0 to 3 run through arrays of independent instances side by side, as fast as they
 * can; what they saw is judged when all are done. Unpriv. "RVWMO". */
#include "smp.h"

#define INSTANCES 2000
#define REPEATS 5

/* The two locations of an instance lie in different cache lines. */
static struct { u64 x CACHE_LINE; u64 y CACHE_LINE; } at[INSTANCES];
static u64 seen[4][2][INSTANCES];

#define LOAD(to, from)  __asm__ volatile("ld %0, %1" : "=r"(to) : "m"(from) : "memory")
#define STORE(to, from) __asm__ volatile("sd %1, %0" : "=m"(to) : "r"(from) : "memory")
#define FENCE(p, s)     __asm__ volatile("fence " #p ", " #s ::: "memory")

static void clear(u64 hart)
{
	for (u64 i = hart; i < INSTANCES; i += HARTS) {
		at[i].x = at[i].y = 0;
		for (int h = 0; h < 4; h++)
			seen[h][0][i] = seen[h][1][i] = 0;
	}
	barrier();
}

/* Message passing: who sees the flag sees the message. */
static void message_passing(u64 hart)
{
	clear(hart);
	for (u64 i = 0; i < INSTANCES; i++) {
		u64 flag, message;
		if (hart == 0) {
			STORE(at[i].x, 1ul);
			FENCE(w, w);
			STORE(at[i].y, 1ul);
		} else if (hart < 4) {
			LOAD(flag, at[i].y);
			FENCE(r, r);
			LOAD(message, at[i].x);
			seen[hart][0][i] = flag, seen[hart][1][i] = message;
		}
	}
	barrier();
	for (u64 i = 0; i < INSTANCES; i++)
		for (int h = 1; h < 4; h++)
			CHECK(!(seen[h][0][i] == 1 && seen[h][1][i] == 0));
	barrier();
}

/* The same with an AMO that releases and an LR that acquires. */
static void release_acquire(u64 hart)
{
	clear(hart);
	for (u64 i = 0; i < INSTANCES; i++) {
		u64 flag, message;
		if (hart == 0) {
			STORE(at[i].x, 1ul);
			__asm__ volatile("amoswap.d.rl zero, %0, (%1)" ::"r"(1), "r"(&at[i].y) : "memory");
		} else if (hart < 4) {
			__asm__ volatile("lr.d.aq %0, (%1)" : "=r"(flag) : "r"(&at[i].y) : "memory");
			LOAD(message, at[i].x);
			seen[hart][0][i] = flag, seen[hart][1][i] = message;
		}
	}
	barrier();
	for (u64 i = 0; i < INSTANCES; i++)
		for (int h = 1; h < 4; h++)
			CHECK(!(seen[h][0][i] == 1 && seen[h][1][i] == 0));
	barrier();
}

/* Store buffering: with full fences, two harts cannot both miss the other's store. */
static void store_buffering(u64 hart, bool by_amo)
{
	clear(hart);
	for (u64 i = 0; i < INSTANCES; i++) {
		u64 value;
		if (hart > 1)
			break;
		u64 *mine = hart ? &at[i].y : &at[i].x, *other = hart ? &at[i].x : &at[i].y;
		if (by_amo) {
			__asm__ volatile("amoswap.d.aqrl zero, %0, (%1)" ::"r"(1), "r"(mine) : "memory");
			__asm__ volatile("lr.d.aqrl %0, (%1)" : "=r"(value) : "r"(other) : "memory");
		} else {
			STORE(*mine, 1ul);
			FENCE(rw, rw);
			LOAD(value, *other);
		}
		seen[hart][0][i] = value;
	}
	barrier();
	for (u64 i = 0; i < INSTANCES; i++)
		CHECK(seen[0][0][i] == 1 || seen[1][0][i] == 1);
	barrier();
}

/* Load buffering: stores that follow loads by a fence cannot feed each other. */
static void load_buffering(u64 hart)
{
	clear(hart);
	for (u64 i = 0; i < INSTANCES && hart < 2; i++) {
		u64 value;
		u64 *mine = hart ? &at[i].y : &at[i].x, *other = hart ? &at[i].x : &at[i].y;
		LOAD(value, *mine);
		FENCE(r, w);
		STORE(*other, 1ul);
		seen[hart][0][i] = value;
	}
	barrier();
	for (u64 i = 0; i < INSTANCES; i++)
		CHECK(!(seen[0][0][i] == 1 && seen[1][0][i] == 1));
	barrier();
}

/* Independent reads of independent writes: two observers agree on the order. */
static void independent_reads(u64 hart)
{
	clear(hart);
	for (u64 i = 0; i < INSTANCES; i++) {
		u64 first, second;
		if (hart < 2) {
			STORE(*(hart ? &at[i].y : &at[i].x), 1ul);
		} else if (hart < 4) {
			LOAD(first, *(hart == 2 ? &at[i].x : &at[i].y));
			FENCE(rw, rw);
			LOAD(second, *(hart == 2 ? &at[i].y : &at[i].x));
			seen[hart][0][i] = first, seen[hart][1][i] = second;
		}
	}
	barrier();
	for (u64 i = 0; i < INSTANCES; i++)
		CHECK(!(seen[2][0][i] && !seen[2][1][i] && seen[3][0][i] && !seen[3][1][i]));
	barrier();
}

/* Coherence: two loads of one location never go back in time. */
static void coherence(u64 hart)
{
	clear(hart);
	for (u64 i = 1; i <= INSTANCES; i++) {
		u64 older, newer;
		if (hart == 0) {
			STORE(at[0].x, i);
		} else {
			LOAD(older, at[0].x);
			LOAD(newer, at[0].x);
			CHECK(older <= newer);
		}
	}
	barrier();
}

void hart_main(u64 hart)
{
	for (int repeat = 0; repeat < REPEATS; repeat++) {
		message_passing(hart);
		release_acquire(hart);
		store_buffering(hart, false);
		store_buffering(hart, true);
		load_buffering(hart);
		independent_reads(hart);
		coherence(hart);
	}
}
