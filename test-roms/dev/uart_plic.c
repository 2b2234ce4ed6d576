/* The UART's interrupt through the PLIC, on the `virt` board: a 16550A at 0x10000000
 * with interrupt 10, a PLIC at 0x0c000000 whose contexts are M and S of each hart,
 * in turn. Characters go round by the UART's loopback, so nothing is printed.
 * RISC-V PLIC specification; the 16550's data sheet. */
#include "priv.h"

#define UART 0x10000000ul
enum { RBR = 0, THR = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, SCR = 7 };
#define IER_RX 1
#define IER_THRE 2
#define IIR_NONE 1
#define IIR_THRE 2
#define IIR_RX 4
#define IIR_TIMEOUT 12
#define MCR_LOOP 0x10

#define PLIC 0x0c000000ul
#define IRQ_UART 10u
#define PRIORITY(source)    (PLIC + 4 * (source))
#define PENDING             (PLIC + 0x1000)
#define ENABLE(context)     (PLIC + 0x2000 + 0x80 * (context))
#define THRESHOLD(context)  (PLIC + 0x200000 + 0x1000 * (context))
#define CLAIM(context)      (PLIC + 0x200004 + 0x1000 * (context))
enum { M_CONTEXT = 0, S_CONTEXT = 1 };

static u8 in(u32 reg) { return *(volatile u8 *)(UART + reg); }
static void out(u32 reg, u8 value) { *(volatile u8 *)(UART + reg) = value; }

PROBE(spin, "1: j 1b");

/* QEMU 10 looks at a changed enable bit only when it next has a reason to. */
static void enable(u32 context, u32 sources)
{
	write32(ENABLE(context), sources);
	write32(THRESHOLD(context), read32(THRESHOLD(context)));
}

static bool pending(u32 irq) { return csr_read(mip) >> irq & 1; }

static void registers(void)
{
	out(IER, 0);
	out(FCR, 7);
	out(LCR, 3);
	out(SCR, 0x5a);
	CHECK(in(SCR) == 0x5a);
	out(LCR, 0x83);                                 /* DLAB: the divisor */
	out(DLL, 12);
	out(DLM, 1);
	CHECK(in(DLL) == 12 && in(DLM) == 1);
	out(LCR, 3);
	CHECK(in(LCR) == 3 && in(IER) == 0);
	out(IER, 0xf0);
	CHECK(in(IER) == 0);
	out(IER, 0);
	CHECK((in(LSR) & 0x60) == 0x60);                /* transmitter empty */
	CHECK((in(IIR) & 0xcf) == (0xc0 | IIR_NONE));   /* FIFOs on, no interrupt */
}

static void plic(void)
{
	write32(PRIORITY(IRQ_UART), 1);
	CHECK(read32(PRIORITY(IRQ_UART)) == 1);
	write32(PRIORITY(0), 7);
	CHECK(read32(PRIORITY(0)) == 0);                /* there is no source 0 */
	enable(M_CONTEXT, -1u);
	CHECK(read32(ENABLE(M_CONTEXT)) & 1u << IRQ_UART);
	enable(M_CONTEXT, 1u << IRQ_UART);
	write32(THRESHOLD(M_CONTEXT), 0);
	CHECK(read32(CLAIM(M_CONTEXT)) == 0);           /* nothing to claim */
	CHECK(!pending(MEI));

	out(IER, IER_THRE);                             /* the transmitter is empty: now */
	CHECK(read32(PENDING) >> IRQ_UART & 1);
	CHECK(pending(MEI) && !pending(SEI));
	csr_write(mip, 0);
	CHECK(pending(MEI));                            /* MEIP is the PLIC's alone */
	write32(THRESHOLD(M_CONTEXT), 1);               /* not above the threshold */
	CHECK(!pending(MEI));
	write32(THRESHOLD(M_CONTEXT), 0);
	write32(PRIORITY(IRQ_UART), 0);                 /* priority 0: never */
	CHECK(!pending(MEI));
	write32(PRIORITY(IRQ_UART), 3);
	CHECK(pending(MEI));
	enable(M_CONTEXT, 0);
	CHECK(!pending(MEI));
	enable(M_CONTEXT, 1u << IRQ_UART);

	csr_write(mie, 1 << MEI);
	CHECK(run_in(S, spin, 0, 0) == IRQ(MEI) && m_trap.epc == (u64)spin);
	CHECK(read32(CLAIM(M_CONTEXT)) == IRQ_UART);
	CHECK(!pending(MEI));                           /* claimed: quiet, though the line is up */
	CHECK(!(read32(PENDING) >> IRQ_UART & 1));
	CHECK(read32(CLAIM(M_CONTEXT)) == 0);
	CHECK((in(IIR) & 15) == IIR_THRE);              /* reading IIR takes it back */
	CHECK((in(IIR) & 15) == IIR_NONE);
	write32(CLAIM(M_CONTEXT), 11);                  /* completing another one: no effect */
	write32(CLAIM(M_CONTEXT), IRQ_UART);
	CHECK(!pending(MEI));
	csr_write(mie, 0);

	/* the S context raises SEIP, which adds to what software wrote */
	enable(M_CONTEXT, 0);
	enable(S_CONTEXT, 1u << IRQ_UART);
	write32(THRESHOLD(S_CONTEXT), 2);
	out(IER, 0);
	out(IER, IER_THRE);
	CHECK(pending(SEI) && !pending(MEI));
	csr_write(mip, 0);
	CHECK(pending(SEI));
	csr_write(mideleg, 1 << SEI);
	csr_write(mie, 1 << SEI);
	csr_write(stvec, (u64)s_handler);
	CHECK(run_in(U, spin, 0, 0) == ECALL_S && s_trap.cause == IRQ(SEI));
	CHECK(read32(CLAIM(S_CONTEXT)) == IRQ_UART);
	CHECK(!pending(SEI));
	csr_set(mip, 1 << SEI);
	CHECK(pending(SEI));
	csr_clear(mip, 1 << SEI);
	CHECK(!pending(SEI));
	CHECK((in(IIR) & 15) == IIR_THRE);
	write32(CLAIM(S_CONTEXT), IRQ_UART);
	CHECK(!pending(SEI));
	csr_write(mideleg, 0);
	csr_write(mie, 0);
	out(IER, 0);
}

static void loopback(void)
{
	enable(S_CONTEXT, 0);
	enable(M_CONTEXT, 1u << IRQ_UART);
	out(FCR, 7);
	out(MCR, MCR_LOOP);
	CHECK(!(in(LSR) & 1));
	out(IER, IER_RX);
	out(THR, 'A');
	while (!(in(LSR) & 1))
		;
	while (!pending(MEI))                           /* the FIFO may wait for its timeout */
		;
	u8 identity = in(IIR) & 15;
	CHECK(identity == IIR_RX || identity == IIR_TIMEOUT);
	CHECK(in(RBR) == 'A');
	CHECK(!(in(LSR) & 1) && (in(IIR) & 15) == IIR_NONE);
	CHECK(read32(CLAIM(M_CONTEXT)) == IRQ_UART);
	write32(CLAIM(M_CONTEXT), IRQ_UART);
	CHECK(!pending(MEI));
	/* sixteen characters fit, in order */
	for (u8 c = 'a'; c < 'a' + 16; c++)
		out(THR, c);
	for (u8 c = 'a'; c < 'a' + 16; c++) {
		while (!(in(LSR) & 1))
			;
		CHECK(in(RBR) == c);
	}
	out(THR, 'x');                                  /* and a reset FIFO is empty */
	while (!(in(LSR) & 1))
		;
	out(FCR, 3);
	CHECK(!(in(LSR) & 1));
	out(IER, 0);
	out(MCR, 0);
}

void test_main(void)
{
	registers();
	plic();
	loopback();
	/* no source 0 to enable either; QEMU 10 stores the bit */
	write32(ENABLE(M_CONTEXT), 1);
	CHECK(read32(ENABLE(M_CONTEXT)) == 0);
	/* and disabling is seen at once */
	write32(ENABLE(M_CONTEXT), 1u << IRQ_UART);
	out(IER, IER_THRE);
	CHECK(pending(MEI));
	write32(ENABLE(M_CONTEXT), 0);
	CHECK(!pending(MEI));
	/* a level that is still up when its interrupt is complete is pending again */
	enable(M_CONTEXT, 1u << IRQ_UART);
	CHECK(read32(CLAIM(M_CONTEXT)) == IRQ_UART);
	write32(CLAIM(M_CONTEXT), IRQ_UART);
	CHECK(pending(MEI));
}
