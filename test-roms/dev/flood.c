/* Prints more than anybody's buffers hold, first on the serial port as a driver does
 * that waits for the transmitter, then through HTIF's proxied write. A reader that is
 * slow must get all of it. The last line says whether the port was ever busy: whoever
 * runs this on the host's time sees there that the hart was not stopped for the line. */
#include "rt.h"

#define UART 0x10000000ul
enum { THR = 0, LSR = 5 };
#define LSR_THRE 0x20

#define SYS_WRITE 64ul
#define PART 4096

extern volatile u64 tohost, fromhost;

static u8 text[PART];

static bool print(u8 c)
{
	bool busy = false;

	while (!(*(volatile u8 *)(UART + LSR) & LSR_THRE))
		busy = true;
	*(volatile u8 *)(UART + THR) = c;
	return busy;
}

static void host_write(const void *at, u64 length)
{
	volatile u64 call[8] __attribute__((aligned(64))) = { SYS_WRITE, 1, (u64)at, length };

	tohost = (u64)call;
	while (!fromhost)
		;
	fromhost = 0;
	CHECK(call[0] == length);
}

void test_main(u64 hart, u64 dtb)
{
	bool busy = false;

	(void)hart, (void)dtb;
	for (u64 i = 0; i < PARTS * PART; i++)
		busy |= print('a' + i % 23);
	for (u64 i = 0; i < PARTS; i++) {
		for (u64 j = 0; j < PART; j++)
			text[j] = 'a' + (i * PART + j) % 23;
		host_write(text, PART);
	}
	host_write(busy ? "\nbusy\n" : "\nfree\n", 6);
}
