/* Linux's system calls for riscv64, without a C library: the few that are used here.
 * Numbers and structures are the kernel's (include/uapi). */
#ifndef SYSTEM_H
#define SYSTEM_H

#include "../bench/bench.h"

long system(u64 a, u64 b, u64 c, u64 d, u64 e, u64 number);

enum {
	SYS_OPENAT = 56, SYS_CLOSE = 57, SYS_PIPE2 = 59, SYS_READ = 63, SYS_WRITE = 64,
	SYS_PREAD64 = 67, SYS_PWRITE64 = 68, SYS_FSYNC = 82, SYS_EXIT = 93,
	SYS_SOCKET = 198, SYS_CONNECT = 203, SYS_SHUTDOWN = 210,
	SYS_CLOCK_GETTIME = 113, SYS_KILL = 129, SYS_SIGACTION = 134, SYS_REBOOT = 142,
	SYS_GETPID = 172, SYS_GETPPID = 173, SYS_MUNMAP = 215, SYS_CLONE = 220, SYS_EXECVE = 221,
	SYS_MMAP = 222, SYS_MPROTECT = 226, SYS_MADVISE = 233, SYS_FLUSH_ICACHE = 259,
	SYS_WAIT4 = 260,
};

enum { PROT_RW = 3, PROT_RWX = 7, MAP_PRIVATE_ANONYMOUS = 0x22, MADV_NOHUGEPAGE = 15 };
enum { SIGUSR1 = 10, SIGCHLD = 17, CLOCK_MONOTONIC = 1 };

static inline long call0(u64 number) { return system(0, 0, 0, 0, 0, number); }
static inline long call1(u64 number, u64 a) { return system(a, 0, 0, 0, 0, number); }
static inline long call3(u64 number, u64 a, u64 b, u64 c) { return system(a, b, c, 0, 0, number); }

/* Ends this process. */
static inline void __attribute__((noreturn)) leave(int status)
{
	for (;;)
		call1(SYS_EXIT, (u64)status);
}

/* Where this program lies in the file system. */
#define PROGRAM "/bench"

/* Fresh private memory that is not made of huge pages, readable, writable and `more`. */
static inline u8 *fresh(u64 size, u64 protection)
{
	register u64 a0 __asm__("a0") = 0;
	register u64 a1 __asm__("a1") = size;
	register u64 a2 __asm__("a2") = protection;
	register u64 a3 __asm__("a3") = MAP_PRIVATE_ANONYMOUS;
	register u64 a4 __asm__("a4") = (u64)-1;
	register u64 a5 __asm__("a5") = 0;
	register u64 a7 __asm__("a7") = SYS_MMAP;
	__asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
	if ((i64)a0 < 0)
		leave(100);
	call3(SYS_MADVISE, a0, size, MADV_NOHUGEPAGE);
	return (u8 *)a0;
}

/* A child that is a copy of this process; 0 in the child. */
static inline long fork(void) { return system(SIGCHLD, 0, 0, 0, 0, SYS_CLONE); }

/* The exit status of a child that ended. */
static inline int wait(long child)
{
	int status = -1;
	system((u64)child, (u64)&status, 0, 0, 0, SYS_WAIT4);
	return status >> 8 & 255;
}

/* os.c, selfmodify.c, parallel.c, io.c */
u64 syscalls(u64 repeat), faults(u64 repeat), forks(u64 repeat), execs(u64 repeat),
	pipes(u64 repeat), signals(u64 repeat);
u64 rewrite(u64 repeat), generate(u64 repeat);
u64 parallel(u64 repeat);
u64 reads(u64 repeat), writes(u64 repeat), random_reads(u64 repeat), random_writes(u64 repeat);
u64 sends(u64 repeat), receives(u64 repeat);

/* The first of the two ports of the host that connections go to. */
void set_port(u64 port);

#endif
