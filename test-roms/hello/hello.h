/* Isoform's built-in guest: what its parts share.
 *
 *   start.S     the first instructions, trap entry, guarded calls
 *   trap.c      what happens on a trap: interrupts and caught faults
 *   board.c     the devices: UART, PLIC, CLINT, RTC, finisher
 *   print.c     printf
 *   line.c      reading a line from a person
 *   fdt.c       a reader for flattened device trees, which trusts nothing
 *   machine.c   what the device tree says about this machine
 *   commands.c  the prompt's commands
 *   main.c      greeting and prompt
 */
#ifndef HELLO_H
#define HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* --- control and status registers ------------------------------------- */

#define csr_read(csr)                                               \
	({ u64 v_; __asm__ volatile("csrr %0, " #csr : "=r"(v_)); v_; })
#define csr_write(csr, value)                                       \
	__asm__ volatile("csrw " #csr ", %0" ::"r"((u64)(value)) : "memory")
#define csr_set(csr, bits)                                          \
	__asm__ volatile("csrs " #csr ", %0" ::"r"((u64)(bits)) : "memory")
#define csr_clear(csr, bits)                                        \
	__asm__ volatile("csrc " #csr ", %0" ::"r"((u64)(bits)) : "memory")

#define MSTATUS_MIE (1u << 3)   /* interrupts are on */
#define MIE_MSIE    (1u << 3)   /* software interrupts: another hart calls */
#define MIE_MEIE    (1u << 11)  /* external interrupts: a device calls */

/* --- start.S ----------------------------------------------------------- */

/* Run action(argument) on hart 0. True if it returned, false if it trapped;
 * then last_trap says how. */
bool guarded(void (*action)(u64), u64 argument);
extern volatile u64 guard_active;
extern char guard_escape[], sleep_forever[];

/* --- trap.c ------------------------------------------------------------ */

struct trap {
	u64 cause, epc, tval;
};
extern struct trap last_trap;
const char *cause_name(u64 mcause);

/* --- board.c ----------------------------------------------------------- */

void board_init(void);
void uart_put(char c);
int uart_get(void);              /* next character; sleeps until there is one */
void external_interrupt(void);
void wake_hart(u64 hart);        /* send it a software interrupt */
void quiet_hart(u64 hart);       /* take that interrupt back */
u64 wall_clock_ns(void);         /* nanoseconds since 1970 */
void finish(u32 code) __attribute__((noreturn));
#define FINISH_POWEROFF 0x5555
#define FINISH_REBOOT   0x7777

/* --- print.c ----------------------------------------------------------- */

void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- line.c ------------------------------------------------------------ */

#define LINE_MAX 128
void read_line(const char *prompt, char line[LINE_MAX]);

/* --- fdt.c ------------------------------------------------------------- */

#define FDT_MAX_DEPTH 12
enum fdt_kind { FDT_BEGIN, FDT_PROP, FDT_END, FDT_DONE, FDT_BROKEN };
struct fdt {
	const u8 *strings, *strings_end; /* property names */
	const u8 *at, *end;              /* rest of the structure block */
	int depth;
};
struct fdt_item {
	enum fdt_kind kind;
	const char *name;                /* of the node or property */
	const u8 *value;                 /* of the property */
	u32 len;
	int depth;                       /* 1 for the root and its properties */
};
bool fdt_open(struct fdt *fdt, const void *blob);
struct fdt_item fdt_next(struct fdt *fdt);
u32 fdt_u32(const u8 *bytes);
u64 fdt_cells(const u8 *bytes, u32 cells);
bool fdt_is_text(const struct fdt_item *prop);

/* --- machine.c --------------------------------------------------------- */

struct device {
	const char *name, *compatible;
	u64 address, size;
	u32 interrupt;                   /* 0: none */
};
struct machine {
	bool known;                      /* there is a device tree we can read */
	const void *dtb;
	const char *model, *isa, *mmu, *bootargs;
	u32 harts;
	u64 timebase;                    /* ticks of `time` a second */
	struct device memory;
	struct device devices[32];
	u32 device_count;
};
extern struct machine machine;
void machine_read(const void *dtb);

/* --- commands.c, main.c -------------------------------------------------- */

void run_command(char *line);
void show_machine(void);
bool text_equal(const char *a, const char *b);
bool text_starts(const char *text, const char *start);
void say_hello(u64 hart);

#endif
