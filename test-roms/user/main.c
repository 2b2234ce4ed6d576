/* Works to measure with, as one program: `bench WORD...` does the works whose names or
 * groups are the words and prints "work: GROUP NAME CHECKSUM NANOSECONDS" for each. A
 * word that is a number is the first port of the host for what follows. As the first
 * process of a machine it then powers it off.
 *
 * Built with -DNATIVE it is an ordinary program of the host, with the portable works:
 * their checksums must be the same there. */
#ifdef NATIVE
#include "../bench/bench.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#else
#include "system.h"
#endif

struct work {
	const char *group, *name;
	u64 (*one)(u64);
	u64 (*two)(u64, u64);
	u64 size, repeat;
};

#define WORK(group, name, repeat) { #group, #name, name, NULL, 0, repeat }
#define SIZED(group, name, size, steps) { #group, #name "-" #size, NULL, name, size, steps }

static const struct work works[] = {
	WORK(integer, sort, 600),
	WORK(integer, sha, 8000),
	WORK(integer, table, 32000),
	WORK(integer, matrix, 32000),
	WORK(integer, state, 160000),
	WORK(integer, list, 800000),
	WORK(integer, interpret, 500),
	WORK(integer, fib, 3000),
	WORK(integer, strings, 36000),
	WORK(float, nbody, 600000),
	WORK(float, product, 800),
	WORK(float, mandelbrot, 120),
	WORK(float, fft, 1200),
	SIZED(memory, chase, 4, 2000000),
	SIZED(memory, chase, 16, 2000000),
	SIZED(memory, chase, 64, 2000000),
	SIZED(memory, scatter, 4, 2000000),
	SIZED(memory, scatter, 16, 2000000),
	SIZED(memory, scatter, 64, 2000000),
#ifndef NATIVE
	WORK(kernel, syscalls, 1000000),
	WORK(kernel, faults, 80),
	WORK(kernel, forks, 1000),
	WORK(kernel, execs, 500),
	WORK(kernel, pipes, 15000),
	WORK(kernel, signals, 80000),
	WORK(rewriting, rewrite, 120000),
	WORK(rewriting, generate, 30000),
	WORK(harts, parallel, 2000),
	WORK(disk, reads, 8),
	WORK(disk, writes, 4),
	WORK(scattered, random_reads, 20000),
	WORK(scattered, random_writes, 20000),
	WORK(network, sends, 1000),
	WORK(network, receives, 1000),
#endif
};

#ifdef NATIVE

static u64 nanoseconds(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (u64)time.tv_sec * 1000000000u + (u64)time.tv_nsec;
}

static bool same(const char *a, const char *b) { return strcmp(a, b) == 0; }

static void print(const struct work *work, u64 sum, u64 time)
{
	printf("work: %s %s %016llx %llu\n", work->group, work->name, (unsigned long long)sum,
	       (unsigned long long)time);
}

#else

static u64 nanoseconds(void)
{
	u64 time[2] = { 0, 0 };
	call3(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, (u64)time, 0);
	return time[0] * 1000000000u + time[1];
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static char *put(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
	return at;
}

static char *put_number(char *at, u64 value, u64 base, int digits)
{
	char reversed[20];
	int count = 0;
	for (; value || count < digits; value /= base)
		reversed[count++] = "0123456789abcdef"[value % base];
	while (count)
		*at++ = reversed[--count];
	return at;
}

static void print(const struct work *work, u64 sum, u64 time)
{
	char line[128], *at = put(line, "work: ");
	at = put(put(at, work->group), " ");
	at = put(put(at, work->name), " ");
	at = put(put_number(at, sum, 16, 16), " ");
	at = put(put_number(at, time, 10, 1), "\n");
	call3(SYS_WRITE, 1, (u64)line, (u64)(at - line));
}

/* The number that a word is; 0 where it is none. */
static u64 number(const char *word)
{
	u64 value = 0;
	for (; *word >= '0' && *word <= '9'; word++)
		value = value * 10 + (u64)(*word - '0');
	return *word ? 0 : value;
}

#endif

static void perform(const char *word)
{
#ifndef NATIVE
	if (number(word))
		set_port(number(word));
#endif
	for (u64 i = 0; i < sizeof works / sizeof works[0]; i++) {
		const struct work *work = &works[i];
		if (!same(work->group, word) && !same(work->name, word))
			continue;
		u64 start = nanoseconds();
		u64 sum = work->one ? work->one(work->repeat) : work->two(work->size, work->repeat);
		print(work, sum, nanoseconds() - start);
	}
}

#ifdef NATIVE

int main(int count, char **words)
{
	for (int i = 1; i < count; i++)
		perform(words[i]);
	return 0;
}

#else

/* reboot(2)'s two magic numbers, and the command that switches the machine off. */
enum { MAGIC = 0xfee1dead, MAGIC2 = 672274793, POWER_OFF = 0x4321fedc };

void start(const u64 *stack)
{
	const char *const *words = (const char *const *)(stack + 1);
	for (u64 i = 1; i < stack[0]; i++)
		perform(words[i]);
	if (call0(SYS_GETPID) == 1)
		call3(SYS_REBOOT, MAGIC, MAGIC2, POWER_OFF);
	leave(0);
}

#endif
