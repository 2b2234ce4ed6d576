/* Traps: causes, precise xepc and xtval, delegation, the stacks in mstatus, vectored
 * mode, traps in trap handlers, and the switches that make S-mode instructions
 * trap. Priv. "Machine-Level ISA" and "Supervisor-Level ISA". */
#include "priv.h"

PROBE(call, "ecall");
PROBE(breaks, "ebreak");
PROBE(breaks_c, "c.ebreak");
PROBE(ones, ".word 0xffffffff");
PROBE(zeroes, ".hword 0");
PROBE(reserved_load, ".insn i LOAD, 7, a0, a1, 0");
PROBE(reserved_op, ".insn r OP, 1, 2, a0, a1, a1");
PROBE(reserved_system, ".insn r SYSTEM, 0, 0x7f, x0, x0, x1");
PROBE(do_mret, "mret");
PROBE(do_sret, "sret");
PROBE(do_wfi, "wfi");
PROBE(do_sfence, "sfence.vma");
PROBE(read_satp, "csrr a0, satp");
PROBE(write_satp, "csrw satp, zero");
PROBE(misaligned_jump, "jr a0");

static u64 words[4] __attribute__((aligned(16)));
#define NOWHERE 0x40ul          /* no memory and no device there on either board */

static void causes(void)
{
	FAULTS(M, call, 0, ECALL_M, 0);
	FAULTS(S, call, 0, ECALL_S, 0);
	FAULTS(U, call, 0, ECALL_U, 0);
	CHECK(run_in(M, breaks, 0, 0) == BREAKPOINT && m_trap.epc == (u64)breaks);
	CHECK(run_in(U, breaks_c, 0, 0) == BREAKPOINT && m_trap.epc == (u64)breaks_c);
	ILLEGAL_IN(M, ones);
	ILLEGAL_IN(U, ones);
	ILLEGAL_IN(M, zeroes);
	ILLEGAL_IN(S, reserved_load);
	ILLEGAL_IN(S, reserved_op);
	ILLEGAL_IN(M, reserved_system);
	FAULTS(M, load_b, NOWHERE, LOAD_ACCESS, NOWHERE);
	FAULTS(U, load_d, NOWHERE, LOAD_ACCESS, NOWHERE);
	FAULTS(M, store_w, NOWHERE, STORE_ACCESS, NOWHERE);
	FAULTS(M, amo_d, NOWHERE, STORE_ACCESS, NOWHERE);
	FAULTS(M, lr_d, NOWHERE, LOAD_ACCESS, NOWHERE);
	FETCH_FAULTS(M, NOWHERE, FETCH_ACCESS);
	FETCH_FAULTS(U, NOWHERE, FETCH_ACCESS);
	/* physical addresses have 56 bits: far ones are nowhere, not aliases of RAM */
	FAULTS(M, load_b, 1ul << 56 | 0x80000000, LOAD_ACCESS, 1ul << 56 | 0x80000000);
	FAULTS(M, store_b, 1ul << 63 | 0x80000000, STORE_ACCESS, 1ul << 63 | 0x80000000);
	FAULTS(M, load_d, -8ul, LOAD_ACCESS, -8ul);
	/* jalr clears bit 0, and two-byte alignment is enough with C */
	CHECK(run_in(M, misaligned_jump, (u64)call + 1, 0) == ECALL_M && m_trap.epc == (u64)call);
}

static void misaligned_data(void)
{
	u64 at = (u64)words;
	words[0] = 0x8877665544332211, words[1] = 0x00ffeeddccbbaa99;
	RUNS(M, load_h, at + 1, 0x3322);
	RUNS(U, load_w, at + 2, 0x66554433);
	RUNS(U, load_w, at + 5, 0xffffffff99887766);
	RUNS(S, load_d, at + 3, 0xbbaa998877665544);
	RUNS(S, store_h, at + 7, at + 7);
	CHECK(words[0] == 0x5577665544332211 && words[1] == 0x00ffeeddccbbaa00);
	RUNS(U, store_w, at + 5, at + 5);
	CHECK(words[0] == 0x0000555544332211 && (words[1] & 0xff) == 0);
	RUNS(M, store_d, at + 1, at + 1);
	CHECK(words[0] == 0x0000000000005511 && (words[1] & 0xff) == 0);
}

static void stacks(void)
{
	/* into M: MPP says where from, MPIE what MIE was, MIE is off */
	csr_set(mstatus, MSTATUS_MPIE);
	CHECK(run_in(U, call, 0, 0) == ECALL_U);
	CHECK((m_trap.status & (MSTATUS_MPP | MSTATUS_MPIE | MSTATUS_MIE)) == (MPP(U) | MSTATUS_MPIE));
	csr_clear(mstatus, MSTATUS_MPIE);
	CHECK(run_in(S, call, 0, 0) == ECALL_S);
	CHECK((m_trap.status & (MSTATUS_MPP | MSTATUS_MPIE | MSTATUS_MIE)) == MPP(S));
	CHECK(run_in(M, call, 0, 0) == ECALL_M);
	CHECK((m_trap.status & MSTATUS_MPP) == MPP(M));

	/* mret: MPP becomes U, MPIE becomes 1 */
	TEST();
	u64 after;
	csr_write(mstatus, (csr_read(mstatus) & ~MSTATUS_MIE & ~MSTATUS_MPIE) | MPP(M));
	__asm__ volatile("la %0, 1f\n csrw mepc, %0\n mret\n.balign 4\n1: csrr %0, mstatus" : "=&r"(after));
	CHECK((after & MSTATUS_MPP) == MPP(U) && after & MSTATUS_MPIE && !(after & MSTATUS_MIE));

	/* sret in M-mode: to SPP, SIE from SPIE; SPP becomes U, SPIE 1, MPRV 0 */
	TEST();
	csr_write(sepc, (u64)read_satp);
	csr_set(mstatus, MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_MPRV | MPP(M));
	csr_clear(mstatus, MSTATUS_SIE);
	CHECK(run_in(M, do_sret, 0, 0) == ECALL_S);
	after = m_trap.status;
	CHECK(!(after & MSTATUS_SPP) && after & MSTATUS_SPIE && after & MSTATUS_SIE);
	CHECK(!(after & MSTATUS_MPRV));
	csr_clear(mstatus, MSTATUS_SIE | MSTATUS_SPIE);
}

#define DELEGATED(mode, probe, a0, cause_, tval_)                             \
	CHECK(run_in(mode, probe, a0, 0x55) == ECALL_S && s_trap.cause == (cause_) && \
	      s_trap.epc == (u64)probe && s_trap.tval == (tval_) &&           \
	      (s_trap.status >> 8 & 1) == (mode))

static void delegation(void)
{
	csr_write(stvec, (u64)s_handler);
	csr_write(medeleg, 1 << ILLEGAL | 1 << LOAD_ACCESS | 1 << STORE_ACCESS | 1 << FETCH_ACCESS |
			   1 << ECALL_U | 1 << BREAKPOINT);
	DELEGATED(U, ones, 0, ILLEGAL, 0xffffffff);
	DELEGATED(S, zeroes, 0, ILLEGAL, 0);
	DELEGATED(U, call, 0, ECALL_U, 0);
	DELEGATED(U, load_w, NOWHERE, LOAD_ACCESS, NOWHERE);
	DELEGATED(S, store_w, NOWHERE, STORE_ACCESS, NOWHERE);
	CHECK(run_in(S, (void *)NOWHERE, 0, 0) == ECALL_S && s_trap.cause == FETCH_ACCESS &&
	      s_trap.epc == NOWHERE && s_trap.tval == NOWHERE);
	CHECK(run_in(U, breaks, 0, 0) == ECALL_S && s_trap.cause == BREAKPOINT && s_trap.epc == (u64)breaks);
	/* what is not delegated, and what happens in M, goes to M */
	FAULTS(S, call, 0, ECALL_S, 0);
	ILLEGAL_IN(M, ones);
	FAULTS(M, load_w, NOWHERE, LOAD_ACCESS, NOWHERE);
	/* a delegated trap leaves M's registers alone, and takes SIE to SPIE */
	csr_set(mstatus, MSTATUS_SIE);
	csr_clear(mstatus, MSTATUS_SPIE);
	DELEGATED(U, ones, 0, ILLEGAL, 0xffffffff);
	CHECK((s_trap.status & (MSTATUS_SIE | MSTATUS_SPIE)) == MSTATUS_SPIE);
	csr_clear(mstatus, MSTATUS_SIE | MSTATUS_SPIE);
	csr_write(medeleg, 0);
}

/* A handler in S-mode that traps itself: a second sepc replaces the first, and a
 * careful handler has saved it. U executes an illegal instruction; the handler
 * notes sepc, executes ebreak, and its second entry reports both. */
extern const char nesting_handler[];
__asm__(".text\n.balign 4\nnesting_handler:\n"
	"  csrr  t0, scause\n  li t1, 3\n  beq t0, t1, 1f\n"
	"  csrr  a0, sepc\n  csrr a1, sstatus\n"
	"nested_break: .option push\n .option norvc\n ebreak\n .option pop\n"
	"1: la    t0, nested_break\n  csrr t1, sepc\n  sub a2, t0, t1\n"
	"  csrr  t2, sstatus\n  andi t2, t2, 0x100\n  andi a1, a1, 0x100\n"
	"  slli  a1, a1, 1\n  or t2, t2, a1\n  add t2, t2, a2\n"
	"  la    t0, nested_report\n  sd t2, 0(t0)\n  ecall\n"
	".bss\n.balign 8\nnested_report: .space 8\n.text\n");
extern volatile u64 nested_report;

static void nested(void)
{
	csr_write(stvec, (u64)nesting_handler);
	csr_write(medeleg, 1 << ILLEGAL | 1 << BREAKPOINT);
	CHECK(run_in(U, ones, 0, 0) == ECALL_S && m_trap.value == (u64)ones);
	CHECK(nested_report == 0x100);  /* SPP: first U, then S; sepc was the ebreak's */
	csr_write(medeleg, 0);
}

/* Vectors: sixteen jumps, each to a stub that knows its number. In S-mode the stub
 * reports by ecall; in M-mode it stores the number, masks interrupts and returns. */
extern const char s_vectors[], m_vectors[];
__asm__(".text\n.balign 256\n.option push\n.option norvc\n"
	".globl s_vectors\ns_vectors:\n"
	".set n, 0\n.rept 16\n j s_stub + 8 * n\n .set n, n + 1\n.endr\n"
	".balign 256\nm_vectors:\n"
	".set n, 0\n.rept 16\n j m_stub + 8 * n\n .set n, n + 1\n.endr\n"
	"s_stub:\n.set n, 0\n.rept 16\n li a0, n\n ecall\n .set n, n + 1\n.endr\n"
	"m_stub:\n.set n, 0\n.rept 16\n li t0, n\n j 1f\n .set n, n + 1\n.endr\n"
	"1: csrw mie, zero\n la t1, m_vector_hit\n sd t0, 0(t1)\n mret\n"
	".option pop\n.bss\n.balign 8\nm_vector_hit: .space 8\n.text\n");
extern volatile u64 m_vector_hit;
PROBE(spin, "1: j 1b");

static void vectored(void)
{
	csr_write(stvec, (u64)s_vectors | 1);
	csr_write(medeleg, 1 << ILLEGAL);
	csr_write(mideleg, 1 << SSI | 1 << STI | 1 << SEI);
	CHECK(run_in(U, ones, 0, 0) == ECALL_S && m_trap.value == 0);   /* exceptions: base */
	for (u32 irq = SSI; irq <= SEI; irq += 4) {
		csr_write(mie, 1 << irq);
		csr_write(mip, 1 << irq);
		CHECK(run_in(U, spin, 0, 0) == ECALL_S && m_trap.value == irq);
		CHECK(csr_read(scause) == IRQ(irq) && csr_read(sepc) == (u64)spin);
	}
	csr_write(mideleg, 0);
	csr_write(medeleg, 0);

	u64 mtvec = csr_read(mtvec);
	csr_write(mtvec, (u64)m_vectors | 1);
	for (u32 irq = SSI; irq <= SEI; irq += 4) {
		m_vector_hit = 99;
		csr_write(mip, 1 << irq);
		csr_write(mie, 1 << irq);
		__asm__ volatile("csrsi mstatus, 8\n nop\n csrci mstatus, 8" ::: "t0", "t1", "memory");
		CHECK(m_vector_hit == irq && csr_read(mcause) == IRQ(irq));
	}
	csr_write(mtvec, mtvec);
	csr_write(mip, 0);
	csr_write(mie, 0);
}

static void switches(void)
{
	csr_set(mstatus, MSTATUS_TSR | MSTATUS_TVM | MSTATUS_TW);
	RUNS(M, do_sfence, 1, 1);
	RUNS(M, read_satp, 1, 0);
	csr_clear(mstatus, MSTATUS_TSR | MSTATUS_TVM | MSTATUS_TW);
	RUNS(S, read_satp, 1, 0);
	RUNS(S, do_sfence, 1, 1);
	/* wfi ends when an enabled interrupt is pending, even if it cannot be taken */
	csr_write(mie, 1 << SSI);
	csr_write(mip, 1 << SSI);
	csr_write(mideleg, 1 << SSI);
	csr_clear(mstatus, MSTATUS_SIE);
	RUNS(S, do_wfi, 1, 1);
	RUNS(M, do_wfi, 1, 1);
	csr_write(mideleg, 0);
	csr_write(mip, 0);
	csr_write(mie, 0);
}

/* Instructions that a mode or a switch forbids. xtval holds their bits (Sstvala);
 * QEMU 10 leaves in it whatever the last illegal instruction was. */
static void forbidden(void)
{
	csr_set(mstatus, MSTATUS_TSR | MSTATUS_TVM | MSTATUS_TW);
	for (int pass = 0; pass < 2; pass++) {
		bool exact = pass;      /* the second time, look at xtval as well */
#define FORBIDDEN(mode, probe)                                                \
	CHECK(run_in(mode, probe, 0, 0) == ILLEGAL && m_trap.epc == (u64)probe && \
	      (!exact || m_trap.tval == bits_of(probe)))
		FORBIDDEN(S, do_sret);
		FORBIDDEN(S, read_satp);
		FORBIDDEN(S, write_satp);
		FORBIDDEN(S, do_sfence);
		FORBIDDEN(S, do_wfi);
		FORBIDDEN(U, do_wfi);
		FORBIDDEN(S, do_mret);
		FORBIDDEN(U, do_mret);
		FORBIDDEN(U, do_sret);
		FORBIDDEN(U, do_sfence);
	}
	csr_clear(mstatus, MSTATUS_TSR | MSTATUS_TVM | MSTATUS_TW);
}

void test_main(void)
{
	causes();
	misaligned_data();
	stacks();
	delegation();
	nested();
	vectored();
	switches();
	forbidden();
}
