/* PMP: NAPOT and TOR regions, priorities, locks, what M ignores and what it does not,
 * page walks and MPRV under PMP. The regions are of 4 KiB and more, so that a machine
 * with a coarse grain passes as well. Priv. "Physical Memory Protection". */
#include "priv.h"

enum { OFF = 0, TOR = 8, NAPOT = 24, R = 1, W = 2, X = 4, LOCK = 0x80 };

static u8 pages[8 * PAGE] __attribute__((aligned(32768)));
#define AT(page) ((u64)pages + (page) * PAGE)

static void set_config(u32 entry, u32 config)
{
	u32 shift = entry % 8 * 8;
	u64 old, byte = 0xfful << shift;
	if (entry < 8) {
		old = csr_read(pmpcfg0);
		csr_write(pmpcfg0, (old & ~byte) | (u64)config << shift);
	} else {
		old = csr_read(pmpcfg2);
		csr_write(pmpcfg2, (old & ~byte) | (u64)config << shift);
	}
	sfence();
}
static u32 config_of(u32 entry)
{
	return (entry < 8 ? csr_read(pmpcfg0) >> entry * 8 : csr_read(pmpcfg2) >> (entry - 8) * 8) & 0xff;
}
#define NAPOT_AT(base, size) (((base) | ((size) / 2 - 1)) >> 2)

/* The default: everything for everyone, in the last entry, so that the others win. */
static void open_last(void)
{
	csr_write(pmpaddr15, -1ul);
	set_config(15, NAPOT | R | W | X);
	for (u32 entry = 0; entry < 15; entry++)
		set_config(entry, OFF);
}

static void registers(void)
{
	CHECK((csr_try(pmpaddr1, 0x20000400) & ~0x3fful) == 0x20000400);
	CHECK((config_of(1) & 0x60) == 0);
}

static void regions(void)
{
	csr_write(pmpaddr0, NAPOT_AT(AT(1), PAGE));
	set_config(0, NAPOT | R);
	RUNS(S, load_w, AT(1), 0);
	RUNS(U, load_w, AT(2) - 4, 0);
	FAULTS(S, store_w, AT(1), STORE_ACCESS, AT(1));
	FAULTS(U, amo_d, AT(1) + 8, STORE_ACCESS, AT(1) + 8);
	FETCH_FAULTS(S, AT(1), FETCH_ACCESS);
	RUNS(S, store_w, AT(2), AT(2));
	RUNS(S, store_w, AT(1) - 4, AT(1) - 4);
	RUNS(M, store_w, AT(1), AT(1));                 /* not locked: M does not care */
	set_config(0, NAPOT | X);
	FAULTS(S, load_b, AT(1), LOAD_ACCESS, AT(1));
	FAULTS(S, lr_d, AT(1), LOAD_ACCESS, AT(1));
	set_config(0, NAPOT);
	FAULTS(U, load_b, AT(2) - 1, LOAD_ACCESS, AT(2) - 1);
	/* an access that is only partly inside fails, whatever the rest may */
	CHECK(run_in(U, load_d, AT(1) - 4, 0) == LOAD_ACCESS);
	CHECK(run_in(U, store_d, AT(2) - 4, 0) == STORE_ACCESS);

	/* NAPOT over two and four pages */
	csr_write(pmpaddr0, NAPOT_AT(AT(4), 4 * PAGE));
	sfence();
	FAULTS(U, load_b, AT(4), LOAD_ACCESS, AT(4));
	FAULTS(U, load_b, AT(8) - 1, LOAD_ACCESS, AT(8) - 1);
	RUNS(U, load_b, AT(4) - 1, 0);

	/* TOR: from the address before (inclusive) to this one (exclusive) */
	csr_write(pmpaddr0, AT(2) >> 2);
	csr_write(pmpaddr1, AT(4) >> 2);
	set_config(0, OFF);
	set_config(1, TOR | R);
	RUNS(U, load_w, AT(2), 0x55);
	FAULTS(U, store_w, AT(2), STORE_ACCESS, AT(2));
	FAULTS(U, store_w, AT(4) - 4, STORE_ACCESS, AT(4) - 4);
	RUNS(U, store_w, AT(2) - 4, AT(2) - 4);
	RUNS(U, store_w, AT(4), AT(4));
	csr_write(pmpaddr0, AT(4) >> 2);                /* an empty range matches nothing */
	sfence();
	RUNS(U, store_w, AT(2), AT(2));
	/* entry 0 as TOR begins at address 0: it has the image in it */
	csr_write(pmpaddr0, AT(1) >> 2);
	set_config(0, TOR | R | X);
	FAULTS(S, store_w, AT(0), STORE_ACCESS, AT(0));
	RUNS(S, load_w, AT(0), 0);
	set_config(0, OFF);
	set_config(1, OFF);

	/* the lowest matching entry decides, not the kindest */
	csr_write(pmpaddr3, NAPOT_AT(AT(4), 4 * PAGE));
	csr_write(pmpaddr2, NAPOT_AT(AT(5), PAGE));
	set_config(3, NAPOT);
	set_config(2, NAPOT | R | W);
	RUNS(U, store_w, AT(5), AT(5));
	FAULTS(U, load_w, AT(4), LOAD_ACCESS, AT(4));
	set_config(3, NAPOT | R | W | X);
	set_config(2, NAPOT);
	FAULTS(U, load_w, AT(5), LOAD_ACCESS, AT(5));
	RUNS(U, load_w, AT(4), 0x55);
	/* no match at all: S and U have nothing, M everything */
	open_last();
	set_config(2, NAPOT);           /* somewhere: QEMU 10 treats "no entries at all" apart */
	set_config(15, OFF);
	FETCH_FAULTS(U, (u64)nothing, FETCH_ACCESS);
	RUNS(M, load_w, AT(4), 0x55);
	open_last();
}

static void translation(void)
{
	/* a page table that S may not read: access faults of the access's own type */
	u64 *root = new_table();
	const u64 window = 0x40000000;
	*pte_of(root, 3, 0x80000000, 2) = PTE_TO(0x80000000) | PTE_RWX;
	*pte_of(root, 3, window, 0) = PTE_TO(AT(1)) | PTE_RWX;
	u64 table = (u64)pte_of(root, 3, window, 0) & ~(PAGE - 1);
	csr_write(satp, SATP(SV39, 0, root));
	csr_write(pmpaddr0, NAPOT_AT(table, PAGE));
	set_config(0, NAPOT);
	FAULTS(S, load_w, window, LOAD_ACCESS, window);
	FAULTS(S, store_w, window, STORE_ACCESS, window);
	FETCH_FAULTS(S, window, FETCH_ACCESS);
	/* a page that the tables allow and PMP does not */
	csr_write(pmpaddr0, NAPOT_AT(AT(1), PAGE));
	set_config(0, NAPOT | R);
	RUNS(S, load_w, window, 0x55);
	FAULTS(S, store_w, window + 8, STORE_ACCESS, window + 8);
	set_config(0, NAPOT | R | W | X);
	RUNS(S, store_w, window + 8, window + 8);
	csr_write(satp, 0);
	/* MPRV: M's data accesses are S's to PMP as well */
	set_config(0, NAPOT);
	extern const char mprv_load[], mprv_trap[];
	u64 cause, mtvec = csr_read(mtvec);
	csr_write(mtvec, (u64)mprv_trap);
	csr_clear(mstatus, MSTATUS_MPP);
	__asm__ volatile("li t0, 0x20000\n csrs mstatus, t0\n.globl mprv_load\n.balign 4\n"
			 "mprv_load: ld t1, (%1)\n li t1, 0\n.balign 4\n.globl mprv_trap\n"
			 "mprv_trap: csrc mstatus, t0\n csrr %0, mcause\n"
			 : "=&r"(cause) : "r"(AT(1)) : "t0", "t1", "memory");
	csr_write(mtvec, mtvec);
	CHECK(cause == LOAD_ACCESS && csr_read(mepc) == (u64)mprv_load);
	set_config(0, OFF);
}

static void locks(void)
{
	/* a locked entry binds M, and cannot be changed until reset */
	csr_write(pmpaddr4, NAPOT_AT(AT(6), PAGE));
	set_config(4, LOCK | NAPOT | R);
	RUNS(M, load_w, AT(6), 0);
	FAULTS(M, store_w, AT(6), STORE_ACCESS, AT(6));
	set_config(4, OFF);
	CHECK(config_of(4) == (LOCK | NAPOT | R));
	u64 address = csr_read(pmpaddr4);
	CHECK(csr_try(pmpaddr4, 0) == address);
	/* locking a TOR entry locks the address below it, which is its base */
	csr_write(pmpaddr6, AT(2) >> 2);
	csr_write(pmpaddr7, AT(3) >> 2);
	set_config(7, LOCK | TOR | R);
	CHECK(csr_try(pmpaddr6, 0) == AT(2) >> 2);
	CHECK(csr_try(pmpaddr7, 0) == AT(3) >> 2);
	set_config(6, NAPOT | R);                       /* its configuration is free, though */
	CHECK(config_of(6) == (NAPOT | R));
	set_config(6, OFF);
	FAULTS(M, store_w, AT(2), STORE_ACCESS, AT(2));
}

void test_main(void)
{
	open_last();
	registers();
	regions();
	translation();
	locks();
	/* pmpaddr holds bits 55..2 of an address; QEMU 10 stores 64 bits */
	CHECK(csr_try(pmpaddr10, -1ul) >> 54 == 0);
}
