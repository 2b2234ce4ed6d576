/* The devices of the `virt` board, at the addresses QEMU made customary. The
 * device tree names them too (see `info`); a program that wants to speak before
 * it has read the tree needs to know them by heart. */
#include "hello.h"

/* NS16550A: a UART with one-byte registers. */
#define UART 0x10000000ul
#define UART_IRQ 10
enum { UART_RBR = 0, UART_THR = 0, UART_IER = 1, UART_FCR = 2, UART_LCR = 3, UART_LSR = 5 };
#define IER_RECEIVED 1  /* interrupt when a character has arrived */
#define FCR_ON_CLEAR 7  /* FIFOs on, both cleared */
#define LCR_8N1      3
#define LSR_RECEIVED 0x01
#define LSR_CAN_SEND 0x20

/* PLIC: brings device interrupts to harts. Context 0 is hart 0 in M-mode. */
#define PLIC           0x0c000000ul
#define PLIC_PRIORITY  (PLIC + 4 * UART_IRQ)
#define PLIC_ENABLE    (PLIC + 0x2000)
#define PLIC_THRESHOLD (PLIC + 0x200000)
#define PLIC_CLAIM     (PLIC + 0x200004)

/* CLINT: a word for each hart; writing 1 interrupts it. */
#define CLINT_MSIP(hart) (0x02000000ul + 4 * (hart))

/* Goldfish RTC: nanoseconds in two halves; reading the low one latches the high. */
#define RTC_LOW  0x00101000ul
#define RTC_HIGH 0x00101004ul

/* Test finisher: one word ends or restarts the machine. */
#define FINISHER 0x00100000ul

static inline u8 read8(u64 address) { return *(volatile u8 *)address; }
static inline void write8(u64 address, u8 value) { *(volatile u8 *)address = value; }
static inline u32 read32(u64 address) { return *(volatile u32 *)address; }
static inline void write32(u64 address, u32 value) { *(volatile u32 *)address = value; }

/* Characters between the interrupt that brings them and the reader: a ring
 * with one writer (the handler) and one reader, both on hart 0. */
static volatile char ring[256];
static volatile u8 ring_head, ring_tail;

void board_init(void)
{
	write8(UART + UART_LCR, LCR_8N1);
	write8(UART + UART_FCR, FCR_ON_CLEAR);
	write8(UART + UART_IER, IER_RECEIVED);

	write32(PLIC_PRIORITY, 1);
	write32(PLIC_ENABLE, 1u << UART_IRQ);
	write32(PLIC_THRESHOLD, 0);

	csr_write(mie, MIE_MEIE);
	csr_set(mstatus, MSTATUS_MIE);
}

void uart_put(char c)
{
	if (c == '\n')
		uart_put('\r');
	while (!(read8(UART + UART_LSR) & LSR_CAN_SEND))
		;
	write8(UART + UART_THR, (u8)c);
}

void external_interrupt(void)
{
	u32 source = read32(PLIC_CLAIM);
	if (source == UART_IRQ)
		while (read8(UART + UART_LSR) & LSR_RECEIVED) {
			char c = (char)read8(UART + UART_RBR);
			if ((u8)(ring_head + 1) != ring_tail) /* full: the rest is lost */
				ring[ring_head++] = c;
		}
	if (source)
		write32(PLIC_CLAIM, source);
}

int uart_get(void)
{
	for (;;) {
		/* Between looking and sleeping no interrupt may slip through: with
		 * interrupts off, wfi still wakes on one, and it is taken after. */
		csr_clear(mstatus, MSTATUS_MIE);
		if (ring_head != ring_tail)
			break;
		__asm__ volatile("wfi");
		csr_set(mstatus, MSTATUS_MIE);
	}
	int c = (u8)ring[ring_tail++];
	csr_set(mstatus, MSTATUS_MIE);
	return c;
}

void wake_hart(u64 hart) { write32(CLINT_MSIP(hart), 1); }
void quiet_hart(u64 hart) { write32(CLINT_MSIP(hart), 0); }

u64 wall_clock_ns(void)
{
	u64 low = read32(RTC_LOW);
	return (u64)read32(RTC_HIGH) << 32 | low;
}

void finish(u32 code)
{
	write32(FINISHER, code);
	for (;;)
		__asm__ volatile("wfi");
}
