/* Traps: device interrupts, and faults that somebody is prepared for. */
#include "hello.h"

struct trap last_trap;

static const char *const exceptions[] = {
	[0] = "instruction address misaligned",
	[1] = "instruction access fault",
	[2] = "illegal instruction",
	[3] = "breakpoint",
	[4] = "load address misaligned",
	[5] = "load access fault",
	[6] = "store/AMO address misaligned",
	[7] = "store/AMO access fault",
	[8] = "environment call from U-mode",
	[9] = "environment call from S-mode",
	[11] = "environment call from M-mode",
	[12] = "instruction page fault",
	[13] = "load page fault",
	[15] = "store/AMO page fault",
};

/* mcause in words; Priv. "Machine Cause Register". */
const char *cause_name(u64 mcause)
{
	if ((i64)mcause < 0)
		return "interrupt";
	if (mcause < ARRAY_LEN(exceptions) && exceptions[mcause])
		return exceptions[mcause];
	return "unknown exception";
}

#define INTERRUPT(number) (1ull << 63 | (number))

/* Called by trap_entry with the trap's registers; returns where to go on. */
u64 trap(u64 mcause, u64 mepc, u64 mtval)
{
	if (mcause == INTERRUPT(11)) {
		external_interrupt();
		return mepc;
	}
	if ((i64)mcause >= 0 && guard_active && csr_read(mhartid) == 0) {
		last_trap = (struct trap){ mcause, mepc, mtval };
		return (u64)guard_escape;
	}
	print("\nhart %lu: %s (mcause %lx, mepc %lx, mtval %lx) that nobody expected\n",
	      csr_read(mhartid), cause_name(mcause), mcause, mepc, mtval);
	return (u64)sleep_forever;
}
