/* Two processes with the same work: with two harts it takes the time of one. */
#include "system.h"

u64 parallel(u64 repeat)
{
	enum { PROCESSES = 2 };
	long children[PROCESSES];
	u64 sum = 0;
	for (int i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		if (children[i] == 0)
			leave((int)((fib(repeat) + sha(repeat) + matrix(repeat)) & 127));
	}
	for (int i = 0; i < PROCESSES; i++)
		sum = sum * 256 + (u64)wait(children[i]);
	return sum;
}
