/* What kernels to measure with share. A kernel is portable C: it runs bare (rom.c), as
 * a program on Linux (../user), and natively, where its checksums come from. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

/* Keeps the compiler from carrying memory over a point. */
#define BARRIER() __asm__ volatile("" ::: "memory")

/* Knuth's MMIX generator; the high bits are the good ones. */
static inline u64 next_random(u64 *state)
{
	return *state = *state * 6364136223846793005u + 1442695040888963407u;
}

/* integer.c */
u64 sieve(u64 repeat), list(u64 repeat), matrix(u64 repeat), state(u64 repeat), fib(u64 repeat),
	crc(u64 repeat), sort(u64 repeat), sha(u64 repeat), table(u64 repeat),
	interpret(u64 repeat), strings(u64 repeat);

/* float.c */
u64 nbody(u64 repeat), product(u64 repeat), mandelbrot(u64 repeat), fft(u64 repeat);

/* chase.c: the size is in MiB, at most 64. */
u64 chase(u64 size, u64 steps), scatter(u64 size, u64 steps);

#endif
