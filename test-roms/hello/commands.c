/* The commands of the prompt: one function each, and the table of them. */
#include "hello.h"

/* --- words and numbers --------------------------------------------------- */

/* The first word at `text`, which it ends; *rest is what follows. */
static char *word(char *text, char **rest)
{
	while (*text == ' ')
		text++;
	char *end = text;
	while (*end && *end != ' ')
		end++;
	*rest = *end ? end + 1 : end;
	*end = 0;
	return text;
}

/* A number, 0x for hexadecimal; false if `text` is none. */
static bool number(const char *text, u64 *value)
{
	u32 base = text_starts(text, "0x") ? 16 : 10;
	if (base == 16)
		text += 2;
	if (!*text)
		return false;
	for (*value = 0; *text; text++) {
		u32 digit = *text >= 'a' ? (u32)(*text - 'a') + 10 : (u32)(*text - '0');
		if (digit >= base)
			return false;
		*value = *value * base + digit;
	}
	return true;
}

/* --- what machine this is -------------------------------------------------- */

static void print_size(u64 bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB" };
	u32 unit = 0;
	while (unit < ARRAY_LEN(units) - 1 && bytes >= 1024 && bytes % 1024 == 0)
		bytes /= 1024, unit++;
	print("%lu %s", bytes, units[unit]);
}

/* ISA strings have grown long: break the line before an underscore. */
static void print_isa(const char *isa)
{
	u32 column = 0;
	for (; *isa; isa++) {
		u32 length = 1;
		while (isa[length] && isa[length] != '_')
			length++;
		if (*isa == '_' && column + length > 64) {
			print("\n           ");
			column = 0;
		}
		uart_put(*isa);
		column++;
	}
	print("\n");
}

void show_machine(void)
{
	if (!machine.known) {
		print("  no device tree that can be read\n");
		return;
	}
	print("  machine  %s\n", machine.model ? machine.model : "(nameless)");
	print("  harts    %u%s%s\n", machine.harts, machine.mmu ? ", " : "",
	      machine.mmu ? machine.mmu : "");
	print("  isa      ");
	print_isa(machine.isa ? machine.isa : "(not said)");
	print("  memory   ");
	print_size(machine.memory.size);
	print(" at 0x%lx\n", machine.memory.address);
	print("  devices  %u, timer at %lu kHz\n", machine.device_count, machine.timebase / 1000);
}

static void command_info(char *arguments)
{
	(void)arguments;
	show_machine();
	if (machine.bootargs)
		print("  bootargs %s\n", machine.bootargs);
	print("\n  address      size        irq  device\n");
	for (u32 i = 0; i < machine.device_count; i++) {
		const struct device *device = &machine.devices[i];
		print("  0x%-10lx 0x%-9lx ", device->address, device->size);
		if (device->interrupt)
			print("%3u", device->interrupt);
		else
			print("  -");
		print("  %s\n", device->compatible);
	}
}

static void print_value(const struct fdt_item *prop)
{
	if (fdt_is_text(prop)) {
		const char *text = (const char *)prop->value;
		print(" = \"");
		for (u32 i = 0; i + 1 < prop->len; i++) {
			if (text[i])
				uart_put(text[i]);
			else
				print("\", \"");
		}
		print("\"");
	} else if (prop->len % 4 == 0 && prop->len) {
		print(" = <");
		for (u32 i = 0; i < prop->len; i += 4)
			print("%s0x%x", i ? " " : "", fdt_u32(prop->value + i));
		print(">");
	} else if (prop->len) {
		print(" = [");
		for (u32 i = 0; i < prop->len; i++)
			print("%s%02x", i ? " " : "", prop->value[i]);
		print("]");
	}
	print(";\n");
}

static void command_dt(char *arguments)
{
	(void)arguments;
	struct fdt fdt;
	if (!fdt_open(&fdt, machine.dtb)) {
		print("no device tree\n");
		return;
	}
	for (;;) {
		struct fdt_item item = fdt_next(&fdt);
		int indent = item.depth - (item.kind != FDT_PROP);
		for (int i = 0; i < indent; i++)
			print("  ");
		if (item.kind == FDT_BEGIN)
			print("%s {\n", *item.name ? item.name : "/");
		else if (item.kind == FDT_END)
			print("}\n");
		else if (item.kind == FDT_PROP)
			print("%s", item.name), print_value(&item);
		else if (item.kind == FDT_DONE)
			return;
		else {
			print("(the tree is damaged from here on)\n");
			return;
		}
	}
}

/* --- time -------------------------------------------------------------------- */

/* Civil date of a day counted from 1970-01-01, in years that begin in March. */
static void print_date(u64 day)
{
	u64 shifted = day + 719468, era = shifted / 146097, of_era = shifted % 146097;
	u64 year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	u64 of_year = of_era - (365 * year + year / 4 - year / 100);
	u64 month = (5 * of_year + 2) / 153;
	u64 of_month = of_year - (153 * month + 2) / 5 + 1;
	month = month < 10 ? month + 3 : month - 9;
	print("%lu-%02lu-%02lu", year + era * 400 + (month <= 2), month, of_month);
}

static void command_time(char *arguments)
{
	(void)arguments;
	u64 ticks = csr_read(time), seconds = wall_clock_ns() / 1000000000;
	print("up    %lu.%03lu s (time = %lu)\n", ticks / machine.timebase,
	      ticks % machine.timebase * 1000 / machine.timebase, ticks);
	print("clock ");
	print_date(seconds / 86400);
	print(" %02lu:%02lu:%02lu UTC\n", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
}

/* --- the hart ------------------------------------------------------------------ */

static void command_csr(char *arguments)
{
	(void)arguments;
#define SHOW(csr) print("  %-9s %016lx\n", #csr, csr_read(csr))
	SHOW(mhartid);
	SHOW(mvendorid);
	SHOW(marchid);
	SHOW(mimpid);
	SHOW(misa);
	SHOW(mstatus);
	SHOW(mtvec);
	SHOW(mie);
	SHOW(mip);
	SHOW(medeleg);
	SHOW(mideleg);
	SHOW(mscratch);
	SHOW(mcycle);
	SHOW(minstret);
#undef SHOW
	print("  misa spells rv64");
	for (u32 letter = 0; letter < 26; letter++)
		if (csr_read(misa) >> letter & 1)
			uart_put((char)('a' + letter));
	print("\n");
}

/* --- memory ---------------------------------------------------------------------- */

static volatile u8 peeked;
static void peek(u64 address) { peeked = *(volatile u8 *)address; }

static void show_trap(void)
{
	print("  mcause %lu (%s)\n  mepc   0x%lx\n  mtval  0x%lx\n", last_trap.cause,
	      cause_name(last_trap.cause), last_trap.epc, last_trap.tval);
}

static void command_mem(char *arguments)
{
	u64 address, count = 64;
	char *rest;
	if (!number(word(arguments, &rest), &address)) {
		print("mem ADDRESS [BYTES]: for instance mem 0x80000000\n");
		return;
	}
	number(word(rest, &rest), &count);
	for (u64 at = 0; at < count && at < 4096; at += 16) {
		u8 bytes[16];
		for (u32 i = 0; i < 16; i++) {
			if (!guarded(peek, address + at + i)) {
				print("  cannot read there:\n");
				show_trap();
				return;
			}
			bytes[i] = peeked;
		}
		print("  %016lx ", address + at);
		for (u32 i = 0; i < 16; i++)
			print("%s%02x", i == 8 ? "  " : " ", bytes[i]);
		print("  ");
		for (u32 i = 0; i < 16; i++)
			uart_put(bytes[i] >= ' ' && bytes[i] <= '~' ? (char)bytes[i] : '.');
		print("\n");
	}
}

/* --- work --------------------------------------------------------------------------- */

#define SIEVE_SIZE 1000000
static u8 composite[SIEVE_SIZE];

static u32 count_primes(void)
{
	u32 primes = 0;
	for (u32 i = 0; i < SIEVE_SIZE; i++)
		composite[i] = 0;
	for (u32 i = 2; i < SIEVE_SIZE; i++) {
		if (composite[i])
			continue;
		primes++;
		for (u64 multiple = (u64)i * i; multiple < SIEVE_SIZE; multiple += i)
			composite[multiple] = 1;
	}
	return primes;
}

static void command_sieve(char *arguments)
{
	(void)arguments;
	u64 ticks = csr_read(time), instructions = csr_read(minstret);
	u32 primes = 0, rounds = 0;
	do {
		primes = count_primes();
		rounds++;
	} while (rounds < 20 && csr_read(time) - ticks < machine.timebase);
	ticks = csr_read(time) - ticks;
	instructions = csr_read(minstret) - instructions;
	u64 microseconds = ticks * 1000000 / machine.timebase;
	print("%u primes below %u, %u times over:\n", primes, SIEVE_SIZE, rounds);
	print("%lu instructions in %lu ms", instructions, microseconds / 1000);
	if (microseconds)
		print(" = %lu MIPS", instructions / microseconds);
	print("\n");
}

/* --- traps -------------------------------------------------------------------------- */

static void do_illegal(u64 unused) { (void)unused; __asm__ volatile(".word 0"); }
static void do_break(u64 unused) { (void)unused; __asm__ volatile("ebreak"); }
static void do_call(u64 unused) { (void)unused; __asm__ volatile("ecall"); }
static void do_store(u64 address) { *(volatile u8 *)address = 0; }
static void do_jump(u64 address) { ((void (*)(void))address)(); }
static void do_atomic(u64 address)
{
	__asm__ volatile("amoadd.w zero, zero, (%0)" ::"r"(address) : "memory");
}

static const struct {
	const char *name;
	void (*action)(u64);
	u64 argument;
} traps[] = {
	{ "illegal", do_illegal, 0 },      { "break", do_break, 0 },
	{ "call", do_call, 0 },            { "load", peek, 0x40 },
	{ "store", do_store, 0x40 },       { "jump", do_jump, 0x40 },
	{ "misaligned", do_atomic, (u64)composite + 1 },
};

static void command_trap(char *arguments)
{
	char *rest, *name = word(arguments, &rest);
	for (u32 i = 0; i < ARRAY_LEN(traps); i++) {
		if (!text_equal(name, traps[i].name))
			continue;
		if (guarded(traps[i].action, traps[i].argument))
			print("  nothing happened\n");
		else
			show_trap();
		return;
	}
	print("trap KIND, where KIND is one of");
	for (u32 i = 0; i < ARRAY_LEN(traps); i++)
		print(" %s", traps[i].name);
	print("\n");
}

/* --- the other harts -------------------------------------------------------------------- */

static volatile u64 greeted;

/* Runs on the hart that was woken. */
void say_hello(u64 hart)
{
	print("  hart %lu: hello\n", hart);
	__atomic_store_n(&greeted, hart, __ATOMIC_RELEASE);
}

static void command_harts(char *arguments)
{
	(void)arguments;
	print("  hart 0: hello, and I call the others\n");
	for (u64 hart = 1; hart < machine.harts; hart++) {
		u64 start = csr_read(time);
		wake_hart(hart);
		while (__atomic_load_n(&greeted, __ATOMIC_ACQUIRE) != hart)
			if (csr_read(time) - start > machine.timebase) {
				print("  hart %lu does not answer\n", hart);
				break;
			}
	}
	greeted = 0;
}

/* --- the end ----------------------------------------------------------------------------- */

static void command_poweroff(char *arguments)
{
	(void)arguments;
	print("goodbye\n");
	finish(FINISH_POWEROFF);
}

static void command_reboot(char *arguments)
{
	(void)arguments;
	finish(FINISH_REBOOT);
}

/* --- the table ----------------------------------------------------------------------------- */

static void command_help(char *arguments);

static const struct {
	const char *name, *usage, *about;
	void (*run)(char *arguments);
} commands[] = {
	{ "help", "help", "show this list", command_help },
	{ "info", "info", "the machine and its devices", command_info },
	{ "dt", "dt", "print the device tree", command_dt },
	{ "time", "time", "how long it runs, and the clock on the wall", command_time },
	{ "csr", "csr", "control and status registers of this hart", command_csr },
	{ "mem", "mem ADDRESS [BYTES]", "show memory", command_mem },
	{ "sieve", "sieve", "look for primes, and say how fast", command_sieve },
	{ "trap", "trap KIND", "provoke a trap and show what the hart says", command_trap },
	{ "harts", "harts", "wake the other harts, to say hello", command_harts },
	{ "reboot", "reboot", "start again", command_reboot },
	{ "poweroff", "poweroff", "switch the machine off", command_poweroff },
};

static void command_help(char *arguments)
{
	(void)arguments;
	for (u32 i = 0; i < ARRAY_LEN(commands); i++)
		print("  %-20s %s\n", commands[i].usage, commands[i].about);
}

void run_command(char *line)
{
	char *arguments, *name = word(line, &arguments);
	if (!*name)
		return;
	for (u32 i = 0; i < ARRAY_LEN(commands); i++)
		if (text_equal(name, commands[i].name)) {
			commands[i].run(arguments);
			return;
		}
	print("no command %s; help lists what there is\n", name);
}
