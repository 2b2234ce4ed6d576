/* Counters: they count, can be written and stopped, and are shown to lower modes by
 * mcounteren and scounteren. Sstc: stimecmp. Priv. "Machine Counters", "Sstc". */
#include "priv.h"

PROBE(read_cycle, "csrr a0, cycle");
PROBE(read_time, "csrr a0, time");
PROBE(read_instret, "csrr a0, instret");
PROBE(read_hpm3, "csrr a0, 0xc03");
PROBE(write_stimecmp, "csrw 0x14d, a0");
PROBE(read_stimecmp, "csrr a0, 0x14d");
PROBE(wait_here, "1: j 1b");

#define STIMECMP 0x14d

static void counting(void)
{
	u64 cycles = csr_read(mcycle), instructions = csr_read(minstret);
	for (volatile int i = 0; i < 1000; i++)
		;
	CHECK(csr_read(mcycle) > cycles);
	CHECK(csr_read(minstret) >= instructions + 4000);
	CHECK(csr_read(cycle) > cycles && csr_read(instret) > instructions);
	csr_write(minstret, 1ul << 40);
	CHECK(csr_read(minstret) - (1ul << 40) < 1ul << 39);
	csr_write(mcycle, 1ul << 41);
	CHECK(csr_read(mcycle) - (1ul << 41) < 1ul << 39);
	csr_write(mcountinhibit, 5);
	cycles = csr_read(mcycle), instructions = csr_read(minstret);
	CHECK(csr_read(mcycle) == cycles && csr_read(minstret) == instructions);
	csr_write(minstret, 1234);                      /* still writable */
	CHECK(csr_read(minstret) == 1234);
	csr_write(mcountinhibit, 0);
	CHECK(csr_read(mcycle) != cycles);
	u64 time = csr_read(time);
	while (csr_read(time) == time)
		;
	CHECK(csr_read(time) > time);
}

static void visibility(void)
{
	static const struct { const void *probe; u64 bit; } counters[] = {
		{ read_cycle, 1 }, { read_time, 2 }, { read_instret, 4 }, { read_hpm3, 8 },
	};
	for (u32 i = 0; i < 4; i++) {
		const void *probe = counters[i].probe;
		u64 bit = counters[i].bit;
		csr_write(mcounteren, 0);
		csr_write(scounteren, 0);
		ILLEGAL_IN(S, probe);
		ILLEGAL_IN(U, probe);
		csr_write(scounteren, bit);
		ILLEGAL_IN(S, probe);
		ILLEGAL_IN(U, probe);
		csr_write(mcounteren, bit);
		CHECK(runs(S, probe, 0, 0));
		CHECK(runs(U, probe, 0, 0));
		csr_write(scounteren, ~bit);
		CHECK(runs(S, probe, 0, 0));
		ILLEGAL_IN(U, probe);
		CHECK(runs(M, probe, 0, 0));
	}
}

static void sstc(void)
{
	csr_write(menvcfg, 0);
	csr_write(mcounteren, 2);
	ILLEGAL_IN(S, write_stimecmp);
	csr_write(menvcfg, MENVCFG_STCE);
	csr_write(mcounteren, 0);
	ILLEGAL_IN(S, write_stimecmp);
	csr_write(mcounteren, 2);
	ILLEGAL_IN(U, read_stimecmp);
	csr_write(STIMECMP, -1ul);
	RUNS(S, read_stimecmp, 0, -1ul);
	CHECK(!(csr_read(mip) & 1 << STI));
	csr_write(mip, 1 << STI);                       /* STIP is stimecmp's now */
	CHECK(!(csr_read(mip) & 1 << STI));
	RUNS(S, write_stimecmp, 1, 1);                  /* long past */
	CHECK(csr_read(mip) & 1 << STI);
	csr_write(mip, 0);
	CHECK(csr_read(mip) & 1 << STI);
	CHECK(csr_try(STIMECMP, -1ul) == -1ul && !(csr_read(mip) & 1 << STI));

	/* a timer interrupt that comes while S spins, delegated to S */
	csr_write(stvec, (u64)s_handler);
	csr_write(mideleg, 1 << STI);
	csr_write(mie, 1 << STI);
	u64 due = csr_read(time) + 10000;
	csr_write(STIMECMP, due);
	csr_set(mstatus, MSTATUS_SIE);
	CHECK(run_in(S, wait_here, 0, 0) == ECALL_S && s_trap.cause == IRQ(STI));
	CHECK(csr_read(time) >= due && s_trap.epc == (u64)wait_here);
	/* U takes it whatever SIE says; S does not with SIE clear, nor does M ever */
	csr_clear(mstatus, MSTATUS_SIE);
	RUNS(S, nothing, 1, 1);
	RUNS(M, nothing, 1, 1);
	CHECK(run_in(U, wait_here, 0, 0) == ECALL_S && s_trap.cause == IRQ(STI));
	/* STCE off: STIP is software's again */
	csr_write(mie, 0);
	csr_write(menvcfg, 0);
	csr_write(mip, 0);
	CHECK(!(csr_read(mip) & 1 << STI));
	csr_write(mip, 1 << STI);
	CHECK(csr_read(mip) & 1 << STI);
	csr_write(mip, 0);
	csr_write(mideleg, 0);
}

void test_main(void)
{
	counting();
	visibility();
	sstc();
}
