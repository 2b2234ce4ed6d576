/* What tests in C share: verdicts, CSRs, other modes, page tables, harts.
 *
 * As in the assembly tests, a test's number is the line it stands on. C code here
 * is built without FP registers and never uses gp, which holds the number. */
#ifndef RT_H
#define RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

/* --- verdicts (start.S) -------------------------------------------------- */

void pass(void) __attribute__((noreturn));
void fail(void) __attribute__((noreturn));
void finish(u64 number) __attribute__((noreturn));

/* Everything that goes wrong from here on is this line's failure. */
#define TEST() __asm__ volatile("li gp, %0" ::"i"(__LINE__) : "memory")
#define CHECK(condition)                                                      \
	do {                                                                  \
		TEST();                                                       \
		if (!(condition))                                             \
			fail();                                               \
	} while (0)

/* --- CSRs ------------------------------------------------------------------ */

#define STR_(x) #x
#define STR(x) STR_(x)
#define csr_read(csr)                                                         \
	({ u64 v_; __asm__ volatile("csrr %0, " STR(csr) : "=r"(v_)::"memory"); v_; })
#define csr_write(csr, value)                                                 \
	__asm__ volatile("csrw " STR(csr) ", %0" ::"r"((u64)(value)) : "memory")
#define csr_set(csr, bits)                                                    \
	__asm__ volatile("csrs " STR(csr) ", %0" ::"r"((u64)(bits)) : "memory")
#define csr_clear(csr, bits)                                                  \
	__asm__ volatile("csrc " STR(csr) ", %0" ::"r"((u64)(bits)) : "memory")
#define csr_swap(csr, value)                                                  \
	({ u64 v_; __asm__ volatile("csrrw %0, " STR(csr) ", %1"              \
				    : "=r"(v_) : "r"((u64)(value)) : "memory"); v_; })
/* Write, and see what the WARL field made of it. */
#define csr_try(csr, value) ({ csr_write(csr, value); csr_read(csr); })

#define MSTATUS_SIE  (1ul << 1)
#define MSTATUS_MIE  (1ul << 3)
#define MSTATUS_SPIE (1ul << 5)
#define MSTATUS_UBE  (1ul << 6)
#define MSTATUS_MPIE (1ul << 7)
#define MSTATUS_SPP  (1ul << 8)
#define MSTATUS_VS   (3ul << 9)
#define MSTATUS_MPP  (3ul << 11)
#define MSTATUS_FS   (3ul << 13)
#define MSTATUS_MPRV (1ul << 17)
#define MSTATUS_SUM  (1ul << 18)
#define MSTATUS_MXR  (1ul << 19)
#define MSTATUS_TVM  (1ul << 20)
#define MSTATUS_TW   (1ul << 21)
#define MSTATUS_TSR  (1ul << 22)
#define MSTATUS_UXL  (3ul << 32)
#define MSTATUS_SXL  (3ul << 34)
#define MSTATUS_SD   (1ul << 63)
#define MPP(mode)    ((u64)(mode) << 11)

#define MENVCFG_CBIE  (3ul << 4)
#define MENVCFG_CBCFE (1ul << 6)
#define MENVCFG_CBZE  (1ul << 7)
#define MENVCFG_ADUE  (1ul << 61)
#define MENVCFG_PBMTE (1ul << 62)
#define MENVCFG_STCE  (1ul << 63)

enum { FETCH_MISALIGNED = 0, FETCH_ACCESS, ILLEGAL, BREAKPOINT, LOAD_MISALIGNED,
       LOAD_ACCESS, STORE_MISALIGNED, STORE_ACCESS, ECALL_U, ECALL_S, ECALL_M = 11,
       FETCH_PAGE, LOAD_PAGE, STORE_PAGE = 15 };
#define IRQ(number) (1ul << 63 | (number))
enum { SSI = 1, MSI = 3, STI = 5, MTI = 7, SEI = 9, MEI = 11 };

/* --- other modes (modes.S) --------------------------------------------------- */

enum mode { U = 0, S = 1, M = 3 };

struct trap {
	u64 cause, epc, tval, status, value; /* value: a0 when the trap was taken */
};
extern volatile struct trap m_trap;          /* the last trap that ended a run_in */
extern volatile struct trap s_trap;          /* the last one that s_handler saw */

/* Run code at `entry` in `mode` with a0 and a1 until a trap arrives in M-mode;
 * gives mcause. Code that is done executes ecall. Interrupts are as MPIE says. */
u64 run_in(enum mode mode, const void *entry, u64 a0, u64 a1);

/* An stvec handler: notes the trap in s_trap, then executes ecall in S-mode. */
void s_handler(void);

/* --- page tables (tables.c) ---------------------------------------------------- */

#define PAGE 4096ul
enum { PTE_V = 1, PTE_R = 2, PTE_W = 4, PTE_X = 8, PTE_U = 16, PTE_G = 32, PTE_A = 64, PTE_D = 128 };
#define PTE_RW  (PTE_V | PTE_R | PTE_W | PTE_A | PTE_D)
#define PTE_RX  (PTE_V | PTE_R | PTE_X | PTE_A | PTE_D)
#define PTE_RWX (PTE_RW | PTE_X)
#define PTE_N    (1ul << 63)
#define PTE_NC   (1ul << 61)
#define PTE_IO   (2ul << 61)
enum { SV39 = 8, SV48 = 9, SV57 = 10 };

/* The PTE for `address` at `level` (0 = 4 KiB, 1 = 2 MiB, ...), in the tree of
 * `levels` levels at `root`; missing tables above it are made. */
volatile u64 *pte_of(u64 *root, int levels, u64 address, int level);
u64 *new_table(void);
#define PTE_TO(physical) (((u64)(physical) >> 12) << 10)
#define SATP(mode, asid, root) ((u64)(mode) << 60 | (u64)(asid) << 44 | (u64)(root) >> 12)

static inline void sfence(void) { __asm__ volatile("sfence.vma" ::: "memory"); }
static inline void fence_i(void) { __asm__ volatile("fence.i" ::: "memory"); }

/* --- memory ---------------------------------------------------------------------- */

static inline u32 read32(u64 at) { return *(volatile u32 *)at; }
static inline void write32(u64 at, u32 v) { *(volatile u32 *)at = v; }
static inline u64 read64(u64 at) { return *(volatile u64 *)at; }
static inline void write64(u64 at, u64 v) { *(volatile u64 *)at = v; }

/* --- harts ------------------------------------------------------------------------ */

extern volatile u64 hart_gate;               /* write 1 to let the other harts in */
static inline void open_gate(void)
{
	__atomic_store_n((u64 *)&hart_gate, 1, __ATOMIC_RELEASE);
}

#endif
