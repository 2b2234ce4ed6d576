/* HTIF's console, as the proxy kernel drives it: what is typed comes back, until
 * a full stop. After an exclamation mark, nothing typed for a tenth of a second is
 * taken for the end of input, which HTIF has no word for: it must find the program
 * running, and nothing answered. */
#include "rt.h"

#define CONSOLE 1ul
enum { READ = 0, WRITE = 1 };
#define HAS_INPUT 0x100
#define TENTH 1000000 /* of a second, in ticks of `time` */

extern volatile u64 tohost, fromhost;

/* Returns once the host has taken it: the verdict goes the same way. */
static void command(u64 what, u64 payload)
{
	tohost = CONSOLE << 56 | what << 48 | payload;
	while (tohost)
		;
}

/* The character; 0 if none comes within `patience`. */
static u8 read_character(u64 patience)
{
	u64 begun = csr_read(time), answer;

	while (!(answer = fromhost))
		if (csr_read(time) - begun > patience)
			return 0;
	fromhost = 0;
	CHECK(answer >> 48 == (CONSOLE << 8 | READ) && (answer & 0xffffff00) == HAS_INPUT);
	return (u8)answer;
}

void test_main(u64 hart, u64 dtb)
{
	u64 patience = ~0ul;
	u8 c;

	(void)hart, (void)dtb;
	do {
		command(READ, 0);
		c = read_character(patience);
		command(WRITE, c ? c : '?');
		if (c == '!')
			patience = TENTH;
	} while (c && c != '.');
}
