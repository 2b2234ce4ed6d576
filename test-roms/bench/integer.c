/* Integer kernels to measure with: each does its work `repeat` times and gives a
 * checksum, the same on any machine. */
#include "bench.h"

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

/* Numbers sorted by halves: swaps and comparisons that nobody can predict. */
static void quicksort(u32 *from, u32 *to)
{
	while (to - from > 12) {
		u32 pivot = from[(to - from) / 2], *low = from, *high = to - 1;
		while (low <= high) {
			while (*low < pivot)
				low++;
			while (*high > pivot)
				high--;
			if (low <= high) {
				u32 swapped = *low;
				*low++ = *high;
				*high-- = swapped;
			}
		}
		quicksort(from, high + 1);
		from = low;
	}
	for (u32 *at = from + 1; at < to; at++) {
		u32 key = *at, *hole = at;
		for (; hole > from && hole[-1] > key; hole--)
			*hole = hole[-1];
		*hole = key;
	}
}

u64 sort(u64 repeat)
{
	enum { COUNT = 16384 };
	u32 *keys = (u32 *)memory;
	u64 random = 1, sum = 0;
	while (repeat--) {
		for (u32 i = 0; i < COUNT; i++)
			keys[i] = (u32)(next_random(&random) >> 32);
		quicksort(keys, keys + COUNT);
		for (u32 i = 0; i < COUNT; i += 64)
			sum = sum * 31 + keys[i];
	}
	return sum;
}

/* SHA-256 (FIPS 180-4) of 4 KiB, over and over: rotations, sums, a table. */
static const u32 sha_rounds[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u32 rotate(u32 x, int by) { return x >> by | x << (32 - by); }

static void sha_block(u32 hash[8], const u8 *block)
{
	u32 w[64], v[8];
	for (int i = 0; i < 16; i++)
		w[i] = (u32)block[4 * i] << 24 | (u32)block[4 * i + 1] << 16 |
		       (u32)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
	for (int i = 0; i < 8; i++)
		v[i] = hash[i];
	for (int i = 0; i < 64; i++) {
		u32 a = v[0], e = v[4];
		u32 first = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
			    ((e & v[5]) ^ (~e & v[6])) + sha_rounds[i] + w[i];
		u32 second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
			     ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
		for (int k = 7; k > 0; k--)
			v[k] = v[k - 1];
		v[4] += first;
		v[0] = first + second;
	}
	for (int i = 0; i < 8; i++)
		hash[i] += v[i];
}

u64 sha(u64 repeat)
{
	u32 hash[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	for (u64 i = 0; i < 4096; i++)
		memory[i] = (u8)(i * 61 + 7);
	while (repeat--)
		for (u64 i = 0; i < 4096; i += 64)
			sha_block(hash, memory + i);
	return (u64)hash[0] << 32 | hash[7];
}

/* Words counted in a table with open addressing: hash, probe, compare. */
u64 table(u64 repeat)
{
	enum { SLOTS = 4096 };
	struct slot { u64 key, count; } *slots = (struct slot *)memory;
	u64 random = 99, sum = 0;
	for (u32 i = 0; i < SLOTS; i++)
		slots[i] = (struct slot){ 0, 0 };
	while (repeat--)
		for (u32 i = 0; i < 4096; i++) {
			u64 key = next_random(&random) % 3001 + 1;
			u64 at = key * 0x9e3779b97f4a7c15u >> 52;
			while (slots[at].key && slots[at].key != key)
				at = (at + 1) % SLOTS;
			slots[at].key = key;
			sum += ++slots[at].count;
		}
	return sum;
}

/* A machine with a stack, interpreted: one indirect jump for each of its words. The
 * program counts the steps of Collatz's sequence from each number down to 1. */
enum word { PUSH, DUP, ADD, MUL, SHR, ODD, JUMP_ZERO, JUMP, DROP, INC_STEPS, DEC, SAME_ONE, END };

static u64 execute(const short *program, u64 limit)
{
	u64 stack[16], steps = 0, *top = stack;
	*top = limit;
	for (const short *at = program;;) {
		switch ((enum word)*at++) {
		case PUSH: *++top = (u64)*at++; break;
		case DUP: top[1] = *top; top++; break;
		case ADD: top--; *top += top[1]; break;
		case MUL: top--; *top *= top[1]; break;
		case SHR: *top >>= 1; break;
		case ODD: *top &= 1; break;
		case DEC: --*top; break;
		case SAME_ONE: *top = *top == 1; break;
		case DROP: top--; break;
		case INC_STEPS: steps++; break;
		case JUMP: at = program + *at; break;
		case JUMP_ZERO: at = *top-- ? at + 1 : program + *at; break;
		case END: return steps;
		}
	}
}

u64 interpret(u64 repeat)
{
	static const short program[] = {
		/*  0 */ DUP, JUMP_ZERO, 28,
		/*  3 */ DUP,
		/*  4 */ DUP, SAME_ONE, JUMP_ZERO, 12,
		/*  8 */ DROP, DEC, JUMP, 0,
		/* 12 */ INC_STEPS, DUP, ODD, JUMP_ZERO, 25,
		/* 17 */ PUSH, 3, MUL, PUSH, 1, ADD, JUMP, 4,
		/* 25 */ SHR, JUMP, 4,
		/* 28 */ END,
	};
	u64 sum = 0;
	while (repeat--) {
		sum += execute(program, 300);
		BARRIER();
	}
	return sum;
}

/* Text searched, measured, compared and copied, a byte at a time. */
static u64 length(const u8 *text)
{
	const u8 *at = text;
	while (*at)
		at++;
	return (u64)(at - text);
}

static int compare(const u8 *a, const u8 *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a - *b;
}

static u8 *copy(u8 *to, const u8 *from)
{
	while ((*to = *from))
		to++, from++;
	return to;
}

static u64 occurrences(const u8 *text, const u8 *word)
{
	u64 count = 0;
	for (; *text; text++) {
		u64 i = 0;
		while (word[i] && text[i] == word[i])
			i++;
		count += word[i] == 0;
	}
	return count;
}

u64 strings(u64 repeat)
{
	static const u8 words[8][12] = { "ant", "antler", "bee", "beetle", "cat", "cattle", "dog", "dogma" };
	u64 random = 5, sum = 0;
	while (repeat--) {
		u8 *end = memory;
		for (u32 i = 0; i < 512; i++) {
			const u8 *word = words[next_random(&random) >> 61];
			if (compare(word, words[i % 8]) < 0)
				sum++;
			end = copy(end, word);
			*end++ = ' ';
		}
		*end = 0;
		sum = sum * 7 + length(memory) + occurrences(memory, words[3]);
		BARRIER();
	}
	return sum;
}
