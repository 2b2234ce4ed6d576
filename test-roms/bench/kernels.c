/* Loops to measure with. One program is one kernel: KERNEL names the function,
 * REPEAT says how often, EXPECT is the checksum it must come to (the same code
 * gives it on any machine). Each runs some hundred million instructions. */
#include "rt.h"

#define BARRIER() __asm__ volatile("" ::: "memory")

static u8 memory[128 * 1024] __attribute__((aligned(64)));

/* Byte stores with growing strides, then a sum. */
u64 sieve(u64 repeat)
{
	const u64 size = 65536;
	u64 primes = 0;
	while (repeat--) {
		for (u64 i = 0; i < size; i++)
			memory[i] = 1;
		for (u64 i = 2; i * i < size; i++)
			if (memory[i])
				for (u64 j = i * i; j < size; j += i)
					memory[j] = 0;
		for (u64 i = 2; i < size; i++)
			primes += memory[i];
		BARRIER();
	}
	return primes;
}

/* A linked list searched, reversed, and searched again: loads wait on loads. */
struct node {
	struct node *next;
	u64 key, value;
};

static struct node *reverse(struct node *list)
{
	struct node *before = NULL;
	while (list) {
		struct node *next = list->next;
		list->next = before;
		before = list;
		list = next;
	}
	return before;
}

u64 list(u64 repeat)
{
	enum { LENGTH = 256 };
	struct node *nodes = (struct node *)memory, *head = nodes;
	u64 random = 12345, sum = 0;
	for (u64 i = 0; i < LENGTH; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		nodes[i] = (struct node){ i + 1 < LENGTH ? &nodes[i + 1] : NULL, random >> 57, i };
	}
	for (u64 round = 0; round < repeat; round++) {
		struct node *at = head;
		while (at && at->key != (round & 127))
			at = at->next;
		sum += at ? at->value : 1;
		head = reverse(head);
		for (at = head; at && at->value != (round & 255); at = at->next)
			;
		sum = sum * 3 + (at ? at->key : 1);
	}
	return sum;
}

/* Small integer matrices: multiply and mix. */
u64 matrix(u64 repeat)
{
	enum { N = 24 };
	static short a[N][N], b[N][N];
	static int c[N][N];
	u64 sum = 0;
	for (int i = 0; i < N * N; i++) {
		a[i / N][i % N] = (short)(i * 7 + 3);
		b[i / N][i % N] = (short)(i * 5 - 100);
	}
	for (u64 round = 0; round < repeat; round++) {
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				int total = 0;
				for (int k = 0; k < N; k++) {
					int product = a[i][k] * b[k][j];
					total += (product >> 2 & 15) * (product >> 5 & 127);
				}
				c[i][j] = total;
			}
		for (int i = 0; i < N * N; i++)
			sum += (u64)c[i / N][i % N];
		a[round / N % N][round % N]++;
	}
	return sum;
}

/* A scanner of numbers, a branch for each character that nobody can predict. */
enum state { START, SIGN, INTEGER, FRACTION, EXPONENT, EXPONENT_SIGN, SCIENTIFIC, INVALID, STATES };

static bool is_digit(u8 c) { return c >= '0' && c <= '9'; }

static enum state step(enum state state, u8 c)
{
	switch (state) {
	case START:
		return is_digit(c) ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? FRACTION : INVALID;
	case SIGN:
		return is_digit(c) ? INTEGER : c == '.' ? FRACTION : INVALID;
	case INTEGER:
		return is_digit(c) ? INTEGER : c == '.' ? FRACTION : INVALID;
	case FRACTION:
		return is_digit(c) ? FRACTION : c == 'e' || c == 'E' ? EXPONENT : INVALID;
	case EXPONENT:
		return c == '+' || c == '-' ? EXPONENT_SIGN : INVALID;
	case EXPONENT_SIGN:
	case SCIENTIFIC:
		return is_digit(c) ? SCIENTIFIC : INVALID;
	default:
		return INVALID;
	}
}

u64 state(u64 repeat)
{
	static const char text[] = "5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,"
				   "5.500e+3,-.123e-2,-87e+832,+0.6e-12,T0.3e-1F,-T.T++Tq,1T3.4e4z,";
	u64 seen[STATES] = { 0 }, sum = 0;
	for (u32 i = 0; i < 1024; i++)
		memory[i] = (u8)text[i % (sizeof text - 1)];
	for (u64 round = 0; round < repeat; round++) {
		enum state state = START;
		for (u32 i = 0; i < 1024; i++) {
			if (memory[i] == ',') {
				seen[state]++;
				state = START;
			} else {
				state = step(state, memory[i]);
			}
		}
		memory[round & 1023] ^= (round & 7) == 0;
	}
	for (u32 i = 0; i < STATES; i++)
		sum = sum * 31 + seen[i];
	return sum;
}

/* Calls and returns. */
static __attribute__((noinline)) u64 fibonacci(u64 n)
{
	u64 result = n;
	if (n >= 2)
		result = fibonacci(n - 1) + fibonacci(n - 2);
	BARRIER(); /* keeps the recursion: GCC would unroll most of it */
	return result;
}

u64 fib(u64 repeat)
{
	u64 sum = 0;
	while (repeat--)
		sum += fibonacci(20);
	return sum;
}

/* CRC-16 bit by bit: shifts and data-dependent branches. */
u64 crc(u64 repeat)
{
	u64 crc = 0;
	for (u64 i = 0; i < 256; i++)
		memory[i] = (u8)(i * 37);
	while (repeat--)
		for (u64 i = 0; i < 256; i++) {
			crc ^= memory[i];
			for (int bit = 0; bit < 8; bit++)
				crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
		}
	return crc;
}

void test_main(void)
{
	CHECK(KERNEL(REPEAT) == EXPECT);
}
