/* Interrupts: CLINT's msip and mtimecmp, priorities, masks and delegation, wfi.
 * Priv. "Machine Interrupt Registers"; the CLINT of QEMU's boards at 0x02000000. */
#include "priv.h"

#define MSIP     0x02000000ul
#define MTIMECMP 0x02004000ul
#define MTIME    0x0200bff8ul
#define BIT(irq) (1ul << (irq))

PROBE(spin, "1: j 1b");
PROBE(do_wfi, "wfi");
PROBE(set_sie, "csrsi sstatus, 2\n nop\n nop");
PROBE(raise_ssi, "csrsi sip, 2\n nop\n nop");

static void timer_off(void) { write64(MTIMECMP, -1ul); }

static void sources(void)
{
	timer_off();
	write32(MSIP, 0);
	csr_write(mip, 0);
	CHECK((csr_read(mip) & (BIT(MSI) | BIT(MTI))) == 0);
	write32(MSIP, 1);
	CHECK(csr_read(mip) & BIT(MSI));
	write32(MSIP, 0);
	CHECK(!(csr_read(mip) & BIT(MSI)));
	write32(MSIP, 0xfffffffe);                      /* only bit 0 counts */
	CHECK(!(csr_read(mip) & BIT(MSI)) && read32(MSIP) == 0);
	write64(MTIMECMP, 0);
	CHECK(csr_read(mip) & BIT(MTI));
	csr_write(mip, 0);                              /* not by writing mip */
	CHECK(csr_read(mip) & BIT(MTI));
	timer_off();
	CHECK(!(csr_read(mip) & BIT(MTI)));
	/* mtime and the time CSR are one clock */
	u64 before = read64(MTIME), time = csr_read(time), after = read64(MTIME);
	CHECK(before <= time && time <= after);
	CHECK(read32(MTIME + 4) == (u32)(read64(MTIME) >> 32));
	/* a timer in the future becomes pending when its time has come */
	u64 due = csr_read(time) + 20000;
	write64(MTIMECMP, due);
	CHECK(!(csr_read(mip) & BIT(MTI)) || csr_read(time) >= due);
	while (!(csr_read(mip) & BIT(MTI)))
		;
	CHECK(csr_read(time) >= due);
	/* mtimecmp in halves */
	write32(MTIMECMP + 4, -1u);
	CHECK(!(csr_read(mip) & BIT(MTI)));
	timer_off();
}

/* With everything pending, M-mode takes them in the order MSI, MTI, SEI, SSI, STI. */
static void priorities(void)
{
	static const u8 order[] = { MSI, MTI, SEI, SSI, STI };
	write32(MSIP, 1);
	write64(MTIMECMP, 0);
	csr_write(mip, BIT(SSI) | BIT(STI) | BIT(SEI));
	csr_write(mie, -1ul);
	csr_set(mstatus, MSTATUS_MPIE);
	for (u32 i = 0; i < sizeof order; i++) {
		CHECK(run_in(M, spin, 0, 0) == IRQ(order[i]) && m_trap.epc == (u64)spin && m_trap.tval == 0);
		csr_set(mstatus, MSTATUS_MPIE);
		csr_clear(mie, BIT(order[i]));
	}
	RUNS(M, nothing, 1, 1);                         /* nothing is left */
	/* the same order among the delegated, and M's come first from S-mode */
	csr_write(mideleg, BIT(SSI) | BIT(STI) | BIT(SEI));
	csr_write(stvec, (u64)s_handler);
	csr_write(mie, -1ul);
	csr_clear(mstatus, MSTATUS_MPIE);
	csr_set(mstatus, MSTATUS_SIE);
	for (u32 i = 0; i < 2; i++) {
		CHECK(run_in(S, spin, 0, 0) == IRQ(order[i]));
		csr_clear(mie, BIT(order[i]));
	}
	for (u32 i = 2; i < sizeof order; i++) {
		CHECK(run_in(S, spin, 0, 0) == ECALL_S && s_trap.cause == IRQ(order[i]));
		CHECK(s_trap.epc == (u64)spin && (s_trap.status & (MSTATUS_SIE | MSTATUS_SPIE)) == MSTATUS_SPIE);
		csr_set(mstatus, MSTATUS_SIE);
		csr_clear(mie, BIT(order[i]));
	}
	csr_clear(mstatus, MSTATUS_SIE);
	csr_write(mideleg, 0);
	csr_write(mip, 0);
	write32(MSIP, 0);
	timer_off();
}

/* Who is interrupted, by MIE, SIE, mode and delegation. */
static void masks(void)
{
	csr_write(mie, BIT(SSI) | BIT(MSI));
	write32(MSIP, 1);
	csr_clear(mstatus, MSTATUS_MPIE);
	RUNS(M, nothing, 1, 1);                         /* M with MIE clear: no */
	CHECK(run_in(S, spin, 0, 0) == IRQ(MSI));       /* lower modes: always */
	CHECK(run_in(U, spin, 0, 0) == IRQ(MSI));
	write32(MSIP, 0);

	csr_write(mip, BIT(SSI));
	csr_write(mideleg, BIT(SSI));
	csr_clear(mstatus, MSTATUS_SIE);
	csr_set(mstatus, MSTATUS_MPIE);
	RUNS(M, nothing, 1, 1);                         /* delegated: never in M */
	csr_clear(mstatus, MSTATUS_MPIE);
	RUNS(S, nothing, 1, 1);                         /* S with SIE clear: no */
	CHECK(run_in(U, spin, 0, 0) == ECALL_S && s_trap.cause == IRQ(SSI) && s_trap.epc == (u64)spin);
	/* setting SIE takes a pending interrupt before the next instruction */
	csr_clear(mstatus, MSTATUS_SIE);
	CHECK(run_in(S, set_sie, 0, 0) == ECALL_S && s_trap.cause == IRQ(SSI) &&
	      s_trap.epc == (u64)set_sie + 4);
	/* and so does raising one while SIE is set */
	csr_write(mip, 0);
	csr_set(mstatus, MSTATUS_SIE);
	CHECK(run_in(S, raise_ssi, 0, 0) == ECALL_S && s_trap.cause == IRQ(SSI) &&
	      s_trap.epc == (u64)raise_ssi + 4);
	csr_clear(mstatus, MSTATUS_SIE);
	csr_write(mideleg, 0);
	csr_write(mip, 0);
}

static void waiting(void)
{
	/* wfi in M, interrupts off: it ends when the timer is pending, and goes on */
	csr_write(mie, BIT(MTI));
	csr_clear(mstatus, MSTATUS_MPIE | MSTATUS_MIE);
	u64 due = csr_read(time) + 20000;
	write64(MTIMECMP, due);
	do
		__asm__ volatile("wfi");
	while (csr_read(time) < due);
	CHECK(csr_read(mip) & BIT(MTI));
	/* wfi in S, interrupted by M's timer: xepc is the instruction after */
	write64(MTIMECMP, csr_read(time) + 20000);
	u64 cause = run_in(S, do_wfi, 0, 0);
	CHECK(cause == IRQ(MTI) || cause == ECALL_S);   /* wfi may end early */
	CHECK(m_trap.epc == (u64)do_wfi + 4);
	timer_off();
	csr_write(mie, 0);
}

void test_main(void)
{
	sources();
	priorities();
	masks();
	waiting();
}
