/* CSRs: who may touch which, and what their WARL fields make of any value.
 * Priv. "Control and Status Registers", "Machine-Level ISA". */
#include "priv.h"

PROBE(read_mstatus, "csrr a0, mstatus");
PROBE(read_mhartid, "csrr a0, mhartid");
PROBE(read_sstatus, "csrr a0, sstatus");
PROBE(read_satp, "csrr a0, satp");
PROBE(write_mhartid, "csrw mhartid, a0");
PROBE(set_mhartid, "csrrs a0, mhartid, a1");
PROBE(set_none_mhartid, "csrrs a0, mhartid, x0");
PROBE(clear_none_mhartid, "csrrci a0, mhartid, 0");
PROBE(write_time, "csrw 0xc01, a0");
PROBE(read_nowhere, "csrr a0, 0x1ff");
PROBE(read_nowhere_m, "csrr a0, 0x3ff");
PROBE(read_mstatush, "csrr a0, 0x310");
PROBE(read_cycleh, "csrr a0, 0xc80");
PROBE(read_pmpcfg1, "csrr a0, 0x3a1");
PROBE(read_pmpcfg2, "csrr a0, 0x3a2");
PROBE(write_sscratch, "csrrw a0, sscratch, a0");

static void access_rights(void)
{
	RUNS(M, read_mhartid, 1, 0);
	ILLEGAL_IN(M, write_mhartid);
	ILLEGAL_IN(M, set_mhartid);
	RUNS(M, set_none_mhartid, 1, 0);        /* no write, so no trap */
	RUNS(M, clear_none_mhartid, 1, 0);
	ILLEGAL_IN(M, write_time);
	ILLEGAL_IN(M, read_nowhere);
	ILLEGAL_IN(M, read_nowhere_m);
	ILLEGAL_IN(M, read_mstatush);           /* RV32's upper halves do not exist */
	ILLEGAL_IN(M, read_cycleh);
	ILLEGAL_IN(M, read_pmpcfg1);            /* RV64 has the even ones */
	RUNS(M, read_pmpcfg2, 1, 0);
	ILLEGAL_IN(S, read_mstatus);
	ILLEGAL_IN(U, read_mstatus);
	ILLEGAL_IN(U, read_sstatus);
	ILLEGAL_IN(U, read_satp);
	RUNS(S, read_satp, 1, 0);
	csr_write(sscratch, 77);
	RUNS(S, write_sscratch, 88, 77);
	CHECK(csr_read(sscratch) == 88);
}

static void identity(void)
{
	u64 misa = csr_read(misa);
	CHECK(misa >> 62 == 2);                 /* MXL: 64 bits */
	CHECK(misa >> ('i' - 'a') & 1);
	CHECK(misa >> ('m' - 'a') & 1);
	CHECK(misa >> ('a' - 'a') & 1);
	CHECK(misa >> ('c' - 'a') & 1);
	CHECK(misa >> ('s' - 'a') & 1);
	CHECK(misa >> ('u' - 'a') & 1);
	CHECK((misa >> 26 & 0xfffffffff) == 0);
	csr_write(misa, -1ul);
	CHECK(csr_read(misa) == misa);          /* nothing that is off can be turned on */
	TEST();
	csr_read(mvendorid);
	csr_read(marchid);
	csr_read(mimpid);
	csr_read(0xf15);                        /* mconfigptr */
}

static void mstatus_fields(void)
{
	u64 before = csr_read(mstatus);
	CHECK((before & MSTATUS_UXL) == 2ul << 32 && (before & MSTATUS_SXL) == 2ul << 34);
	CHECK((csr_try(mstatus, before | MSTATUS_VS) & MSTATUS_VS) == 0); /* no vectors */
	csr_write(mstatus, before & ~MSTATUS_MPP);
	CHECK((csr_try(mstatus, (before & ~MSTATUS_MPP) | MPP(2)) & MSTATUS_MPP) != MPP(2));
	CHECK((csr_try(mstatus, before | MPP(3)) & MSTATUS_MPP) == MPP(3));
	CHECK((csr_try(mstatus, before & ~MSTATUS_MPP) & MSTATUS_MPP) == MPP(0));
	CHECK(csr_try(mstatus, before | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR) & MSTATUS_TSR);
	csr_write(mstatus, before);
	CHECK((csr_try(mstatus, before | MSTATUS_FS) & MSTATUS_SD) != 0);
	CHECK((csr_try(mstatus, before & ~MSTATUS_FS) & MSTATUS_SD) == 0);
	CHECK((csr_try(mstatus, before | MSTATUS_SD) & MSTATUS_SD) == 0); /* SD is read only */

	/* sstatus is a window: what it does not show, it does not change */
	csr_write(mstatus, before & ~(MSTATUS_MPIE | MSTATUS_MPP | MSTATUS_TVM));
	u64 hidden = csr_read(mstatus);
	csr_write(sstatus, ~MSTATUS_UXL);
	const u64 window = MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM |
			   MSTATUS_MXR | MSTATUS_SD | MSTATUS_UBE | MSTATUS_VS | MSTATUS_UXL;
	CHECK(((csr_read(mstatus) ^ hidden) & ~window) == 0);
	CHECK((csr_read(sstatus) & (MSTATUS_MPP | MSTATUS_MIE | MSTATUS_SXL)) == 0);
	csr_write(mstatus, before);
	CHECK((csr_read(sstatus) & MSTATUS_UXL) == 2ul << 32);
}

static void trap_setup(void)
{
	u64 mtvec = csr_read(mtvec);
	CHECK(csr_try(mtvec, 0x80000101) == 0x80000101);
	CHECK((csr_try(mtvec, 0x80000102) & 2) == 0);   /* modes 2 and 3 are reserved */
	CHECK((csr_try(mtvec, 0x80000103) & 2) == 0);
	csr_write(mtvec, mtvec);
	CHECK(csr_try(stvec, 0x80000204) == 0x80000204);
	CHECK((csr_try(stvec, 0x80000206) & 2) == 0);

	CHECK(csr_try(mcause, IRQ(7)) == IRQ(7));
	CHECK(csr_try(scause, IRQ(5)) == IRQ(5));
	CHECK(csr_try(mscratch, 0x0123456789abcdef) == 0x0123456789abcdef);
	CHECK(csr_try(mtval, -1ul) == -1ul);
	CHECK(csr_try(stval, 0x8000000000000001) == 0x8000000000000001);
	CHECK(csr_try(mepc, 0x80000002) == 0x80000002);
	CHECK(csr_try(sepc, 0xffffffff80000002) == 0xffffffff80000002);
}

static void delegation(void)
{
	const u64 delegable = 1 << FETCH_ACCESS | 1 << ILLEGAL | 1 << BREAKPOINT | 1 << LOAD_MISALIGNED |
			      1 << LOAD_ACCESS | 1 << STORE_MISALIGNED | 1 << STORE_ACCESS | 1 << ECALL_U |
			      1 << ECALL_S | 1 << FETCH_PAGE | 1 << LOAD_PAGE | 1 << STORE_PAGE;
	u64 medeleg = csr_try(medeleg, -1ul);
	CHECK((medeleg & delegable) == delegable);
	CHECK((medeleg & 1 << 14) == 0);
	csr_write(medeleg, 0);
	CHECK(csr_read(medeleg) == 0);

	CHECK((csr_try(mideleg, -1ul) & 0xbbb) == (1 << SSI | 1 << STI | 1 << SEI));
	csr_write(mideleg, 0);
	CHECK((csr_try(mie, -1ul) & 0xfff) == 0xaaa);
	CHECK(csr_read(sie) == 0);                      /* shows what is delegated */
	csr_write(mideleg, 1 << SSI);
	CHECK(csr_read(sie) == 1 << SSI);
	csr_write(sie, 0);
	CHECK((csr_read(mie) & 0xfff) == (0xaaa & ~(1 << SSI)));
	csr_write(mie, 0);

	/* M writes SSIP, STIP and SEIP; the machine's own bits belong to devices */
	csr_write(mip, 0);
	CHECK((csr_read(mip) & 0x333) == 0);
	CHECK((csr_try(mip, -1ul) & 0xb3b) == (1 << SSI | 1 << STI | 1 << SEI));
	CHECK(csr_read(sip) == 1 << SSI);
	csr_write(sip, 0);
	CHECK((csr_read(mip) & 0x333) == (1 << STI | 1 << SEI));
	csr_write(mideleg, 1 << SSI | 1 << STI | 1 << SEI);
	csr_write(sip, 0);                              /* STIP, SEIP: not for S to clear */
	CHECK(csr_read(sip) == (1 << STI | 1 << SEI));
	csr_write(mip, 0);
	csr_write(mideleg, 0);
}

static void address_translation(void)
{
	CHECK(csr_try(satp, SATP(SV39, 0, 0x80000000)) == SATP(SV39, 0, 0x80000000));
	/* an unsupported mode: the whole write has no effect */
	CHECK(csr_try(satp, SATP(7, 0, 0x90000000)) == SATP(SV39, 0, 0x80000000));
	CHECK(csr_try(satp, SATP(15, 0, 0x90000000)) == SATP(SV39, 0, 0x80000000));
	CHECK(csr_try(satp, SATP(SV48, 0, 0x80001000)) == SATP(SV48, 0, 0x80001000));
	CHECK(csr_try(satp, SATP(SV57, 0, 0x80001000)) == SATP(SV57, 0, 0x80001000));
	CHECK(csr_try(satp, 0) == 0);
}

static void environment(void)
{
	CHECK((csr_try(menvcfg, MENVCFG_STCE) & MENVCFG_STCE) != 0);
	CHECK((csr_try(menvcfg, MENVCFG_PBMTE) & MENVCFG_PBMTE) != 0);
	CHECK((csr_try(menvcfg, MENVCFG_CBCFE | MENVCFG_CBZE) & 0xf0) == 0xc0);
	CHECK((csr_try(menvcfg, MENVCFG_CBIE) & MENVCFG_CBIE) == MENVCFG_CBIE);
	csr_write(menvcfg, 0);
	CHECK(csr_read(menvcfg) == 0);
	CHECK(csr_try(mcounteren, 7) == 7);
	CHECK(csr_try(scounteren, 7) == 7);
	CHECK((csr_try(mcountinhibit, 7) & 7) == 5);    /* time is not a counter of the hart */
	csr_write(mcountinhibit, 0);
	csr_write(mcounteren, 0);
	csr_write(scounteren, 0);
	TEST();
	csr_write(0xb03, 0);                            /* mhpmcounter3 and mhpmevent3 exist */
	csr_write(0x323, 0);
}

static void where_qemu_deviates(void)
{
	/* all 29 event counters exist, if only as zeroes; QEMU 10 has sixteen */
	TEST();
	csr_read(0xb1f);
	csr_read(0x33f);
	/* "medeleg[11] is read-only zero"; QEMU 10 stores it */
	CHECK((csr_try(medeleg, -1ul) & 1 << ECALL_M) == 0);
	csr_write(medeleg, 0);
	/* without H there are no VS interrupts; QEMU 10 stores their bits */
	CHECK((csr_try(mideleg, -1ul) & 0x444) == 0);
	csr_write(mideleg, 0);
	/* UXL is WARL, and 128 bits cannot be; QEMU 10 stores any value */
	csr_set(sstatus, MSTATUS_UXL);
	CHECK((csr_read(sstatus) & MSTATUS_UXL) == 2ul << 32);
	/* the low bit of xepc is always zero; QEMU 10 stores it */
	CHECK(csr_try(sepc, 0x80000003) == 0x80000002);
}

void test_main(void)
{
	access_rights();
	identity();
	mstatus_fields();
	trap_setup();
	delegation();
	address_translation();
	environment();
	where_qemu_deviates();
}
