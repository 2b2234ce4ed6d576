/* Floating-point kernels, in double precision; the checksum is the bits of a result.
 * Built with -ffp-contract=off, so that a multiply-add is one where it is written, and
 * the result the same on any machine. */
#include "bench.h"

static u64 bits(double x)
{
	union { double x; u64 bits; } of = { x };
	return of.bits;
}

/* Five bodies that attract each other: divisions and square roots in a chain. */
struct body {
	double at[3], speed[3], mass;
};

static void step(struct body *body, int count, double time)
{
	for (int i = 0; i < count; i++)
		for (int j = i + 1; j < count; j++) {
			double way[3], square = 0.01;
			for (int k = 0; k < 3; k++) {
				way[k] = body[i].at[k] - body[j].at[k];
				square += way[k] * way[k];
			}
			double pull = time / (square * __builtin_sqrt(square));
			for (int k = 0; k < 3; k++) {
				body[i].speed[k] -= way[k] * body[j].mass * pull;
				body[j].speed[k] += way[k] * body[i].mass * pull;
			}
		}
	for (int i = 0; i < count; i++)
		for (int k = 0; k < 3; k++)
			body[i].at[k] += time * body[i].speed[k];
}

u64 nbody(u64 repeat)
{
	enum { BODIES = 5 };
	static struct body body[BODIES];
	for (int i = 0; i < BODIES; i++)
		body[i] = (struct body){
			.at = { i * 3.5, 1.0 - i * 0.75, i * i * 0.125 },
			.speed = { 0.1 * i, 0.3 - 0.05 * i, 0.01 * i },
			.mass = i ? 0.02 * i : 40.0,
		};
	while (repeat--)
		step(body, BODIES, 0.001);
	double energy = 0;
	for (int i = 0; i < BODIES; i++)
		for (int k = 0; k < 3; k++)
			energy += 0.5 * body[i].mass * body[i].speed[k] * body[i].speed[k];
	return bits(energy);
}

/* Matrices multiplied with fused multiply-adds. */
u64 product(u64 repeat)
{
	enum { N = 48 };
	static double a[N][N], b[N][N], c[N][N];
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = (i * 7 + j * 3) % 11 * 0.3;
			b[i][j] = (i * 5 - j) % 13 * 0.7;
		}
	double trace = 0;
	while (repeat--) {
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				double sum = 0;
				for (int k = 0; k < N; k++)
					sum = __builtin_fma(a[i][k], b[k][j], sum);
				c[i][j] = sum;
			}
		for (int i = 0; i < N; i++) {
			trace += c[i][i];
			a[i][N - 1 - i] = c[i][i] * 0.001;
		}
	}
	return bits(trace);
}

/* The Mandelbrot set: short chains, compares that end a loop. */
u64 mandelbrot(u64 repeat)
{
	enum { WIDTH = 64, LIMIT = 200 };
	u64 total = 0;
	for (u64 round = 0; round < repeat; round++)
		for (int row = 0; row < WIDTH; row++)
			for (int column = 0; column < WIDTH; column++) {
				double re = -2.1 + column * (2.8 / WIDTH), im = -1.2 + row * (2.4 / WIDTH);
				double x = 0, y = 0;
				im += (double)(round % 8) * 0.001;
				u32 n = 0;
				for (; n < LIMIT && x * x + y * y <= 4.0; n++) {
					double next = x * x - y * y + re;
					y = 2.0 * x * y + im;
					x = next;
				}
				total += n;
			}
	return total;
}

/* A fast Fourier transform of 1024 points and its inverse: butterflies over a table. */
enum { POINTS = 1024 };
struct complex {
	double re, im;
};

/* cos and sin of a small angle, by their series; each doubling squares the rotation. */
static struct complex turn(u32 part)
{
	double angle = 6.283185307179586 * part / POINTS / 1024, square = angle * angle;
	struct complex by = { 1.0 - square * 0.5, angle - angle * square / 6.0 };
	for (int i = 0; i < 10; i++)
		by = (struct complex){ by.re * by.re - by.im * by.im, 2.0 * by.re * by.im };
	return by;
}

static void transform(struct complex *x, const struct complex *turns, double sign)
{
	for (u32 i = 0, j = 0; i < POINTS; i++) {
		if (i < j) {
			struct complex swapped = x[i];
			x[i] = x[j];
			x[j] = swapped;
		}
		u32 bit = POINTS >> 1;
		for (; j & bit; bit >>= 1)
			j ^= bit;
		j |= bit;
	}
	for (u32 half = 1; half < POINTS; half *= 2)
		for (u32 start = 0; start < POINTS; start += 2 * half)
			for (u32 k = 0; k < half; k++) {
				struct complex by = turns[k * (POINTS / 2 / half)];
				struct complex *low = &x[start + k], *high = low + half;
				double im = by.im * sign;
				double re_part = high->re * by.re - high->im * im;
				double im_part = high->re * im + high->im * by.re;
				*high = (struct complex){ low->re - re_part, low->im - im_part };
				*low = (struct complex){ low->re + re_part, low->im + im_part };
			}
}

u64 fft(u64 repeat)
{
	static struct complex x[POINTS], turns[POINTS / 2];
	for (u32 i = 0; i < POINTS / 2; i++)
		turns[i] = turn(i);
	for (u32 i = 0; i < POINTS; i++)
		x[i] = (struct complex){ (i * 37 % 101) * 0.01, 0 };
	while (repeat--) {
		transform(x, turns, 1.0);
		transform(x, turns, -1.0);
		for (u32 i = 0; i < POINTS; i++) {
			x[i].re *= 1.0 / POINTS;
			x[i].im *= 1.0 / POINTS;
		}
	}
	return bits(x[5].re + x[77].im);
}
