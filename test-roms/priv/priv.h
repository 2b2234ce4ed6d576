/* The vocabulary of the privileged tests.
 *
 * A probe is a few instructions in assembly that end in ecall. A test runs a
 * probe in some mode and says what must happen: it RUNS to its end with a result,
 * or FAULTS at its first instruction with a cause and an xtval. */
#ifndef PRIV_H
#define PRIV_H

#include "rt.h"

/* Where a probe lies for code in U-mode: tests of paging map the image a second
 * time, with the U bit, this far from where it is. */
static u64 user_view;

#define PROBE(name, instructions)                                             \
	extern const char name[];                                             \
	__asm__(".text\n.balign 4\n" #name ":\n" instructions "\necall\n")

static inline u64 seen_from(enum mode mode, const void *probe)
{
	return (u64)probe + (mode == U ? user_view : 0);
}

static inline bool runs(enum mode mode, const void *probe, u64 a0, u64 a1)
{
	return run_in(mode, (void *)seen_from(mode, probe), a0, a1) == ECALL_U + (u64)mode;
}

static inline bool faults(enum mode mode, const void *probe, u64 a0, u64 cause, u64 tval)
{
	u64 entry = seen_from(mode, probe);
	return run_in(mode, (void *)entry, a0, 0x55) == cause && m_trap.epc == entry &&
	       m_trap.tval == tval && (m_trap.status & MSTATUS_MPP) == MPP(mode);
}

/* The probe comes to its ecall, with `result` in a0. */
#define RUNS(mode, probe, a0, result) CHECK(runs(mode, probe, a0, 0x55) && m_trap.value == (u64)(result))
/* Its first instruction traps into M-mode, precisely. */
#define FAULTS(mode, probe, a0, cause, tval) CHECK(faults(mode, probe, a0, cause, tval))
/* A jump to `address` traps there. */
#define FETCH_FAULTS(mode, address, cause)                                    \
	CHECK(runs_into(mode, address) == (cause) && m_trap.epc == (address) && m_trap.tval == (address))
static inline u64 runs_into(enum mode mode, u64 address)
{
	return run_in(mode, (void *)address, 0, 0);
}

/* The usual accesses: a0 is the address and becomes what was read; stores store
 * a1, which is 0x55. */
PROBE(load_b, "lb a0, (a0)");
PROBE(load_h, "lh a0, (a0)");
PROBE(load_w, "lw a0, (a0)");
PROBE(load_d, "ld a0, (a0)");
PROBE(store_b, "sb a1, (a0)");
PROBE(store_h, "sh a1, (a0)");
PROBE(store_w, "sw a1, (a0)");
PROBE(store_d, "sd a1, (a0)");
PROBE(amo_d, "amoadd.d a0, a1, (a0)");
PROBE(lr_d, "lr.d a0, (a0)");
PROBE(nothing, "nop");

/* The instruction bits at a probe's start, as xtval reports them. */
static inline u64 bits_of(const void *probe)
{
	u32 low = *(const u16 *)probe;
	return (low & 3) == 3 ? low | (u32) * ((const u16 *)probe + 1) << 16 : low;
}
#define ILLEGAL_IN(mode, probe) FAULTS(mode, probe, 0, ILLEGAL, bits_of(probe))

#endif
