/* Programs that write code and run it, as just-in-time compilers do. */
#include "system.h"

typedef u64 (*function)(u64);

/* addi a0, a0, constant (I-type, Unpriv. 2.4.1), and its return, jalr x0, 0(ra). */
static u32 add(u32 constant) { return constant << 20 | 10 << 15 | 10 << 7 | 0x13; }
enum { RETURN = 0x8067, FLUSH_THREAD = 1 };

static void flush(const u32 *from, const u32 *to)
{
	call3(SYS_FLUSH_ICACHE, (u64)from, (u64)to, FLUSH_THREAD);
}

/* One function whose first instruction changes before each call. */
u64 rewrite(u64 repeat)
{
	u32 *code = (u32 *)fresh(4096, PROT_RWX);
	u64 sum = 0;
	code[1] = RETURN;
	while (repeat--) {
		code[0] = add((u32)repeat & 1023);
		__asm__ volatile("fence.i" ::: "memory");
		sum = ((function)code)(sum);
	}
	return sum;
}

/* Functions of 32 instructions written one after another into 64 KiB, over and over;
 * each is called a hundred times. */
u64 generate(u64 repeat)
{
	enum { LENGTH = 32, SIZE = 65536 };
	u32 *code = (u32 *)fresh(SIZE, PROT_RWX), *at = code;
	u64 sum = 0;
	while (repeat--) {
		u32 *start = at;
		for (; at < start + LENGTH - 1; at++)
			*at = add((u32)(repeat + (u64)(at - code)) & 255);
		*at++ = RETURN;
		flush(start, at);
		for (int i = 0; i < 100; i++)
			sum = ((function)start)(sum);
		if (at == code + SIZE / 4)
			at = code;
	}
	return sum;
}
