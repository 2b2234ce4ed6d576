/* Isoform's built-in guest: a program on a bare machine, without firmware and
 * without an operating system. It greets, looks at the machine, and answers a
 * few commands. */
#include "hello.h"

static void greet(void)
{
	print("\n"
	      "  Hello from Isoform's built-in guest: RISC-V code on a bare machine.\n"
	      "  It found this around itself:\n\n");
	show_machine();
	print("\n  Type help to see what it can do, poweroff to leave.\n\n");
}

void hello_main(const void *dtb)
{
	board_init();
	machine_read(dtb);
	greet();
	for (;;) {
		char line[LINE_MAX];
		read_line("isoform> ", line);
		run_command(line);
	}
}

/* The other harts sleep until hart 0 calls them with a software interrupt. They
 * leave interrupts off: wfi wakes all the same, and no handler is needed. */
void hart_main(u64 hart)
{
	csr_write(mie, MIE_MSIE);
	for (;;) {
		__asm__ volatile("wfi");
		if (csr_read(mip) & MIE_MSIE) {
			quiet_hart(hart);
			say_hello(hart);
		}
	}
}
