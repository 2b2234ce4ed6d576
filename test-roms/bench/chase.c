/* Memory beyond caches and TLBs. */
#include "bench.h"

enum { LINE = 64, LARGEST = 64 };
static u64 lines[((u64)LARGEST << 20) / 8] __attribute__((aligned(4096)));
#define NEXT(index) lines[(u64)(index) * (LINE / 8)]

/* A ring of all cache lines in random order (Sattolo), followed: each load waits for
 * the last. */
u64 chase(u64 size, u64 steps)
{
	u64 count = (size << 20) / LINE, random = 7, at = 0;
	for (u64 i = 0; i < count; i++)
		NEXT(i) = i;
	for (u64 i = count - 1; i > 0; i--) {
		u64 other = (next_random(&random) >> 33) % i, swapped = NEXT(i);
		NEXT(i) = NEXT(other);
		NEXT(other) = swapped;
	}
	while (steps--)
		at = NEXT(at);
	return at;
}

/* Words read and written at random: nothing waits. */
u64 scatter(u64 size, u64 steps)
{
	u64 count = (size << 20) / 8, random = 7, sum = 0;
	for (u64 i = 0; i < count; i += 512)
		lines[i] = i;
	while (steps--) {
		u64 *word = &lines[(next_random(&random) >> 20) % count];
		sum += *word;
		*word = sum;
	}
	return sum;
}
