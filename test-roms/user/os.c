/* What a program asks of the kernel, and what that costs: each `repeat` times. The
 * checksums count what must have happened. */
#include "system.h"

u64 syscalls(u64 repeat)
{
	u64 sum = 0;
	while (repeat--)
		sum += (u64)call0(SYS_GETPPID) + 1;
	return sum;
}

/* Pages touched for the first time: 1024 a turn, given back after it. */
u64 faults(u64 repeat)
{
	enum { PAGES = 1024, PAGE = 4096 };
	u64 sum = 0;
	while (repeat--) {
		u8 *memory = fresh(PAGES * PAGE, PROT_RW);
		for (u64 i = 0; i < PAGES; i++)
			memory[i * PAGE] = (u8)i;
		for (u64 i = 0; i < PAGES; i++)
			sum += memory[i * PAGE];
		call3(SYS_MUNMAP, (u64)memory, PAGES * PAGE, 0);
	}
	return sum;
}

u64 forks(u64 repeat)
{
	u64 sum = 0;
	while (repeat--) {
		long child = fork();
		if (child == 0)
			leave(3);
		sum += (u64)wait(child);
	}
	return sum;
}

u64 execs(u64 repeat)
{
	const char *words[] = { PROGRAM, "nothing", NULL }, *none[] = { NULL };
	u64 sum = 0;
	while (repeat--) {
		long child = fork();
		if (child == 0) {
			call3(SYS_EXECVE, (u64)PROGRAM, (u64)words, (u64)none);
			leave(99);
		}
		sum += (u64)wait(child) + 1;
	}
	return sum;
}

/* A byte sent to another process and back: two switches a turn. */
u64 pipes(u64 repeat)
{
	int to[2], from[2];
	u64 sum = 0;
	u8 byte = 0;
	call3(SYS_PIPE2, (u64)to, 0, 0);
	call3(SYS_PIPE2, (u64)from, 0, 0);
	long child = fork();
	if (child == 0) {
		call1(SYS_CLOSE, (u64)to[1]);
		while (call3(SYS_READ, (u64)to[0], (u64)&byte, 1) == 1) {
			byte++;
			call3(SYS_WRITE, (u64)from[1], (u64)&byte, 1);
		}
		leave(0);
	}
	while (repeat--) {
		call3(SYS_WRITE, (u64)to[1], (u64)&byte, 1);
		call3(SYS_READ, (u64)from[0], (u64)&byte, 1);
		sum += byte;
	}
	for (int end = 0; end < 2; end++) {
		call1(SYS_CLOSE, (u64)to[end]);
		call1(SYS_CLOSE, (u64)from[end]);
	}
	return sum + (u64)wait(child);
}

static volatile u64 caught;

static void catch(int signal)
{
	caught += (u64)signal;
}

/* A signal to oneself, handled before the call returns. */
u64 signals(u64 repeat)
{
	struct { void (*handler)(int); u64 flags, mask; } action = { catch, 0, 0 };
	u64 self = (u64)call0(SYS_GETPID);
	caught = 0;
	system(SIGUSR1, (u64)&action, 0, sizeof action.mask, 0, SYS_SIGACTION);
	while (repeat--)
		call3(SYS_KILL, self, SIGUSR1, 0);
	return caught;
}
