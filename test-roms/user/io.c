/* What devices are asked for: a disk (/dev/vda) past the page cache, and connections to
 * the host, whose other ends the measurement holds. The checksums count bytes. */
#include "system.h"

enum { MIB = 1 << 20, DISK_BYTES = 256 * MIB, PIECE = 4096 };
enum { AT_FDCWD = -100, O_RDWR = 2, O_DIRECT = 0x4000, AF_INET = 2, SOCK_STREAM = 1, SHUT_WR = 1 };
/* The host as user networks have it, and the first of its two ports. */
enum { HOST = 0x0a000202 };
static u64 first_port;

void set_port(u64 port) { first_port = port; }

static u64 disk(void)
{
	long fd = system((u64)AT_FDCWD, (u64)"/dev/vda", O_RDWR | O_DIRECT, 0, 0, SYS_OPENAT);
	if (fd < 0)
		leave(101);
	return (u64)fd;
}

/* The whole disk, a MiB at a time, `repeat` times. */
static u64 sequential(u64 repeat, u64 how)
{
	u8 *memory = fresh(MIB, PROT_RW);
	u64 fd = disk(), sum = 0;
	for (u64 i = 0; i < MIB; i++)
		memory[i] = (u8)(i * 7 + 1);
	while (repeat--)
		for (u64 at = 0; at < DISK_BYTES; at += MIB)
			sum += (u64)system(fd, (u64)memory, MIB, at, 0, how);
	call1(SYS_FSYNC, fd);
	call1(SYS_CLOSE, fd);
	call3(SYS_MUNMAP, (u64)memory, MIB, 0);
	return sum;
}

u64 reads(u64 repeat) { return sequential(repeat, SYS_PREAD64); }
u64 writes(u64 repeat) { return sequential(repeat, SYS_PWRITE64); }

/* Pieces of 4 KiB all over the disk. */
static u64 scattered(u64 repeat, u64 how)
{
	u8 *memory = fresh(PIECE, PROT_RW);
	u64 fd = disk(), sum = 0, seed = 1;
	memory[0] = 1;
	while (repeat--) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		u64 at = (seed >> 33) % (DISK_BYTES / PIECE) * PIECE;
		sum += (u64)system(fd, (u64)memory, PIECE, at, 0, how);
	}
	call1(SYS_FSYNC, fd);
	call1(SYS_CLOSE, fd);
	call3(SYS_MUNMAP, (u64)memory, PIECE, 0);
	return sum;
}

u64 random_reads(u64 repeat) { return scattered(repeat, SYS_PREAD64); }
u64 random_writes(u64 repeat) { return scattered(repeat, SYS_PWRITE64); }

static u64 connected(u64 port)
{
	struct {
		u16 family;
		u8 port[2], address[4], zero[8];
	} to = { AF_INET, { (u8)(port >> 8), (u8)port }, { HOST >> 24, HOST >> 16 & 255, HOST >> 8 & 255, HOST & 255 }, { 0 } };
	long fd = call3(SYS_SOCKET, AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || call3(SYS_CONNECT, (u64)fd, (u64)&to, sizeof to) < 0)
		leave(102);
	return (u64)fd;
}

/* So many MiB to the first port; over when the other end says that it has all. */
u64 sends(u64 repeat)
{
	enum { BUFFER = 256 << 10 };
	u8 *memory = fresh(BUFFER, PROT_RW);
	u64 fd = connected(first_port), sum = 0;
	memory[0] = 1;
	for (u64 left = repeat * MIB; left;) {
		long sent = call3(SYS_WRITE, fd, (u64)memory, left < BUFFER ? left : BUFFER);
		if (sent <= 0)
			leave(103);
		sum += (u64)sent;
		left -= (u64)sent;
	}
	call3(SYS_SHUTDOWN, fd, SHUT_WR, 0);
	call3(SYS_READ, fd, (u64)memory, 1);
	call1(SYS_CLOSE, fd);
	return sum;
}

/* So many MiB from the second port. */
u64 receives(u64 repeat)
{
	enum { BUFFER = 256 << 10 };
	u8 *memory = fresh(BUFFER, PROT_RW);
	u64 fd = connected(first_port + 1), sum = 0;
	for (u64 left = repeat * MIB; left;) {
		long got = call3(SYS_READ, fd, (u64)memory, left < BUFFER ? left : BUFFER);
		if (got <= 0)
			leave(104);
		sum += (u64)got;
		left -= (u64)got;
	}
	call1(SYS_CLOSE, fd);
	return sum;
}
