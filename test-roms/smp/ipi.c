/* Harts that call each other by CLINT software interrupts: ping-pong with wfi, round
 * robin, code that hart 0 rewrites and the others fetch after fence.i, mappings that
 * hart 0 changes and the others see after sfence.vma. */
#include "smp.h"

static u64 ball CACHE_LINE, answered CACHE_LINE;

/* Two harts: each move is seen when its interrupt is. */
static void ping_pong(u64 hart)
{
	for (u64 move = 0; move < 1000 && hart < 2; move++) {
		if (move % 2 == hart) {
			CHECK(load_relaxed(&ball) == move);
			store_relaxed(&ball, move + 1);
			send_ipi(1 - hart);
		} else {
			wait_for_ipi(hart);
			CHECK(load_relaxed(&ball) == move + 1);
		}
	}
	barrier();
}

/* All harts in a ring. */
static void round_robin(u64 hart)
{
	if (hart == 0)
		store_relaxed(&ball, 0);
	barrier();
	for (u64 lap = 0; lap < 100; lap++) {
		if (hart || lap)
			wait_for_ipi(hart);
		CHECK(load_relaxed(&ball) == lap * HARTS + hart);
		store_relaxed(&ball, lap * HARTS + hart + 1);
		send_ipi((hart + 1) % HARTS);
	}
	if (hart == 0)
		wait_for_ipi(0);
	barrier();
}

/* Hart 0 does something, interrupts the rest, and waits until all have reacted. */
static void call_all(void)
{
	store_relaxed(&answered, 0);
	for (u64 other = 1; other < HARTS; other++)
		send_ipi(other);
	while (load_acquire(&answered) != HARTS - 1)
		pause();
}

static u32 code[1024] __attribute__((aligned(4096)));
static u64 expected CACHE_LINE;
#define LI_A0(n) ((u32)(n) << 20 | 0x513)
#define RET 0x8067u

static void rewritten_code(u64 hart)
{
	u64 (*function)(void) = (u64(*)(void))code;
	for (u64 n = 1; n <= 500; n++) {
		if (hart == 0) {
			code[0] = LI_A0(n);
			code[1] = RET;
			store_relaxed(&expected, n);
			fence_i();
			call_all();
			CHECK(function() == n);
		} else {
			wait_for_ipi(hart);
			fence_i();
			CHECK(function() == load_relaxed(&expected));
			fetch_add(&answered, 1);
		}
	}
	barrier();
}

/* While one instruction changes between two values, harts that run it without any
 * fence see one or the other (four aligned bytes do not tear). */
static void racing_code(u64 hart)
{
	u64 (*function)(void) = (u64(*)(void))code;
	if (hart == 0) {
		code[0] = LI_A0(1);
		fence_i();
	}
	barrier();
	fence_i();
	for (u64 n = 0; n < 3000; n++) {
		if (hart == 0) {
			__atomic_store_n(&code[0], LI_A0(n & 1 ? 1 : 2), __ATOMIC_RELAXED);
		} else {
			u64 value = function();
			CHECK(value == 1 || value == 2);
		}
	}
	barrier();
}

/* Shootdown: a page of the window moves, and every hart reads the new one. */
#define WINDOW 0x40000000ul
static u64 pages[2][512] __attribute__((aligned(4096)));
static u64 *root;

static u64 read_in_s_mode(u64 address)
{
	u64 value;
	csr_clear(mstatus, MSTATUS_MPP);
	csr_set(mstatus, MPP(S));
	__asm__ volatile("csrs mstatus, %1\n ld %0, (%2)\n csrc mstatus, %1"
			 : "=&r"(value) : "r"(MSTATUS_MPRV), "r"(address) : "memory");
	return value;
}

static void shootdown(u64 hart)
{
	if (hart == 0) {
		root = new_table();
		pages[0][0] = 100, pages[1][0] = 101;
		*pte_of(root, 3, WINDOW, 0) = PTE_TO(pages[0]) | PTE_RW;
		*pte_of(root, 3, 0x80000000, 2) = PTE_TO(0x80000000) | PTE_RWX;
	}
	barrier();
	csr_write(satp, SATP(SV39, 0, root));
	sfence();
	CHECK(read_in_s_mode(WINDOW) == 100);
	barrier();
	for (u64 n = 1; n <= 500; n++) {
		if (hart == 0) {
			*pte_of(root, 3, WINDOW, 0) = PTE_TO(pages[n & 1]) | PTE_RW;
			store_relaxed(&expected, 100 + (n & 1));
			sfence();
			call_all();
		} else {
			wait_for_ipi(hart);
			sfence();
			CHECK(read_in_s_mode(WINDOW) == load_relaxed(&expected));
			fetch_add(&answered, 1);
		}
	}
	csr_write(satp, 0);
	barrier();
}

void hart_main(u64 hart)
{
	ping_pong(hart);
	round_robin(hart);
	rewritten_code(hart);
	racing_code(hart);
	shootdown(hart);
}
