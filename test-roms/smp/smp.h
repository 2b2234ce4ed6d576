/* What tests with several harts share. Every hart runs hart_main; hart 0 decides. */
#ifndef SMP_H
#define SMP_H

#include "rt.h"

#define load_acquire(at)         __atomic_load_n(at, __ATOMIC_ACQUIRE)
#define store_release(at, value) __atomic_store_n(at, value, __ATOMIC_RELEASE)
#define load_relaxed(at)         __atomic_load_n(at, __ATOMIC_RELAXED)
#define store_relaxed(at, value) __atomic_store_n(at, value, __ATOMIC_RELAXED)
#define fetch_add(at, value)     __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST)

#define CACHE_LINE __attribute__((aligned(64)))

/* Zihintpause's pause, which is a fence without effect elsewhere: whoever simulates
 * more harts than the host has cores can let another one run. */
static inline void pause(void) { __asm__ volatile(".4byte 0x0100000f"); }

/* All harts arrive before any leaves. */
static inline void barrier(void)
{
	static u64 arrived CACHE_LINE, round CACHE_LINE;
	u64 now = load_acquire(&round);
	if (fetch_add(&arrived, 1) == HARTS - 1) {
		store_relaxed(&arrived, 0);
		store_release(&round, now + 1);
	} else {
		while (load_acquire(&round) == now)
			pause();
	}
}

void hart_main(u64 hart);

/* Hart 0 lets the others in, and its verdict is the program's; a failure of any
 * hart is the program's at once. */
void test_main(u64 hart)
{
	if (hart == 0)
		open_gate();
	else if (hart >= HARTS)
		for (;;)
			__asm__ volatile("wfi");
	hart_main(hart);
	barrier();
	while (hart != 0)
		__asm__ volatile("wfi");
}

/* CLINT: software interrupts to harts. Interrupts stay masked in mstatus; wfi wakes
 * on what mie enables all the same. */
#define MSIP(hart) (0x02000000ul + 4 * (hart))
static inline void send_ipi(u64 hart)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	write32(MSIP(hart), 1);
}
static inline void wait_for_ipi(u64 hart)
{
	csr_write(mie, 1 << MSI);
	while (!(csr_read(mip) & 1 << MSI))
		__asm__ volatile("wfi");
	write32(MSIP(hart), 0);
	while (csr_read(mip) & 1 << MSI)
		;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
