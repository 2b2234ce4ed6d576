/* ACLINT's SSWI device: a word for each hart, which raises that hart's SSIP when 1 is
 * written and always reads as 0. On the `virt` board at 0x02f00000 (QEMU has it there
 * with aclint=on). RISC-V ACLINT specification, "SSWI". */
#include "priv.h"

#define SSWI 0x02f00000ul

PROBE(spin, "1: j 1b");
PROBE(raise_own, "sw a1, (a0)\n 1: j 1b");

void test_main(void)
{
	csr_write(mip, 0);
	CHECK(read32(SSWI) == 0);
	CHECK(!(csr_read(mip) & 1 << SSI));
	write32(SSWI, 0xfffffffe);              /* only bit 0 counts */
	CHECK(!(csr_read(mip) & 1 << SSI));
	write32(SSWI, 1);
	CHECK(csr_read(mip) & 1 << SSI);        /* an edge, kept in SSIP */
	CHECK(read32(SSWI) == 0);
	write32(SSWI, 0);                       /* which only the hart clears */
	CHECK(csr_read(mip) & 1 << SSI);
	csr_write(mip, 0);
	CHECK(!(csr_read(mip) & 1 << SSI));

	csr_write(mideleg, 1 << SSI);
	csr_write(mie, 1 << SSI);
	csr_write(stvec, (u64)s_handler);
	write32(SSWI, 1);
	CHECK(run_in(U, spin, 0, 0) == ECALL_S && s_trap.cause == IRQ(SSI));
	csr_write(mip, 0);
	csr_set(mstatus, MSTATUS_SIE);
	CHECK(run_in(S, raise_own, SSWI, 1) == ECALL_S && s_trap.cause == IRQ(SSI));
	CHECK(s_trap.epc >= (u64)raise_own + 4 || s_trap.epc == (u64)raise_own + 2);
}
