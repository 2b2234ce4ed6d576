/* Garbage into every register of every device of the `virt` board (but the finisher,
 * which would end the test): whatever becomes of the devices, RAM that no device was
 * told about stays as it is, and the hart goes on. */
#include "rt.h"

static const struct { u64 base, size; } devices[] = {
	{ 0x02000000, 0x10000 },                /* CLINT */
	{ 0x0c000000, 0x4000 },                 /* PLIC: priorities, pending, enables */
	{ 0x0c200000, 0x10000 },                /* PLIC: contexts */
	{ 0x10000000, 0x8 },                    /* UART */
	{ 0x00101000, 0x24 },                   /* RTC */
	{ 0x10001000, 0x8000 },                 /* virtio-mmio */
};

static u64 canary[4096];

static u64 next(void)
{
	static u64 state = 0x9e3779b97f4a7c15;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* One access of a random width; a device may refuse with an access fault. */
static void poke(u64 address, u64 value)
{
	switch (next() % 8) {
	case 0: *(volatile u8 *)address = (u8)value; break;
	case 1: *(volatile u16 *)(address & ~1ul) = (u16)value; break;
	case 2: *(volatile u64 *)(address & ~7ul) = value; break;
	case 3: (void)*(volatile u8 *)address; break;
	case 4: (void)read32(address & ~3ul); break;
	case 5: (void)read64(address & ~7ul); break;
	default: write32(address & ~3ul, (u32)value); break;
	}
}

/* Skips the access that faults: it is a load or store of two or four bytes. */
extern const char skip[];
__asm__(".text\n.balign 4\nskip: csrw mscratch, t0\n csrr t0, mepc\n lhu t0, (t0)\n"
	" andi t0, t0, 3\n addi t0, t0, -3\n seqz t0, t0\n slli t0, t0, 1\n addi t0, t0, 2\n"
	" csrw sscratch, t1\n csrr t1, mepc\n add t0, t0, t1\n csrw mepc, t0\n"
	" csrr t1, sscratch\n csrr t0, mscratch\n mret\n");

void test_main(void)
{
	for (u32 i = 0; i < 4096; i++)
		canary[i] = i * 0x0101010101010101ul;
	u64 mtvec = csr_read(mtvec);
	csr_write(mtvec, (u64)skip);
	for (u32 i = 0; i < 100000; i++) {
		u64 which = next() % (sizeof devices / sizeof *devices);
		/* values that are often small, and addresses that are never in RAM */
		u64 value = next() >> next() % 64;
		if (value >> 31 & 1)
			value &= 0x7fffffff7fffffff;
		poke(devices[which].base + next() % devices[which].size, value);
	}
	csr_write(mtvec, mtvec);
	for (u32 i = 0; i < 4096; i++)
		CHECK(canary[i] == i * 0x0101010101010101ul);
}
