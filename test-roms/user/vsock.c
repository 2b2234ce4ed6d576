/* Both ends of AF_VSOCK: `vsock call PORT` connects to the host, sends ten MiB and expects
 * them back; `vsock serve PORT` gives one connection back what it sends, to its end. */
#include "system.h"

enum {
	AF_VSOCK = 40, SOCK_STREAM = 1, SHUT_WR = 1, SYS_BIND = 200, SYS_LISTEN = 201, SYS_ACCEPT = 202,
	PIECE = 65536, BYTES = 10 << 20,
};
#define VMADDR_CID_HOST 2u
#define VMADDR_CID_ANY 0xffffffffu

/* struct sockaddr_vm */
struct address { u16 family, reserved; u32 port, cid, rest; };

static u8 piece[PIECE], expected[PIECE];

/* A socket on which `what` was done with an address; 1 byte of exit status says where it
 * failed. */
static u64 socket_with(u64 what, u32 cid, u32 port)
{
	struct address address = { AF_VSOCK, 0, port, cid, 0 };
	long fd = call3(SYS_SOCKET, AF_VSOCK, SOCK_STREAM, 0);
	if (fd < 0)
		leave(10);
	if (call3(what, (u64)fd, (u64)&address, sizeof address) < 0)
		leave(11);
	return (u64)fd;
}

static void write_all(u64 fd, const u8 *bytes, u64 count)
{
	while (count) {
		long written = call3(SYS_WRITE, fd, (u64)bytes, count);
		if (written <= 0)
			leave(12);
		bytes += written;
		count -= (u64)written;
	}
}

/* The next bytes of a stream in which each that is lost or doubled shows. */
static void fill(u8 *bytes, u64 count, u64 *state)
{
	for (u64 i = 0; i < count; i++)
		bytes[i] = (u8)(next_random(state) >> 56);
}

static void send_all(u64 fd)
{
	u64 state = 1;
	for (u64 at = 0; at < BYTES; at += PIECE) {
		fill(piece, PIECE, &state);
		write_all(fd, piece, PIECE);
	}
	if (call3(SYS_SHUTDOWN, fd, SHUT_WR, 0) < 0)
		leave(13);
	leave(0);
}

static void call(u32 port)
{
	u64 fd = socket_with(SYS_CONNECT, VMADDR_CID_HOST, port), state = 1, total = 0;
	long child = fork();
	if (child == 0)
		send_all(fd);
	for (;;) {
		long count = call3(SYS_READ, fd, (u64)piece, PIECE);
		if (count < 0)
			leave(14);
		if (count == 0)
			break;
		fill(expected, (u64)count, &state);
		for (long i = 0; i < count; i++)
			if (piece[i] != expected[i])
				leave(15);
		total += (u64)count;
	}
	if (total != BYTES)
		leave(16);
	leave(wait(child));
}

static void serve(u32 port)
{
	u64 listener = socket_with(SYS_BIND, VMADDR_CID_ANY, port);
	if (call3(SYS_LISTEN, listener, 1, 0) < 0)
		leave(17);
	long fd = call3(SYS_ACCEPT, listener, 0, 0);
	if (fd < 0)
		leave(18);
	for (;;) {
		long count = call3(SYS_READ, (u64)fd, (u64)piece, PIECE);
		if (count < 0)
			leave(19);
		if (count == 0)
			break;
		write_all((u64)fd, piece, (u64)count);
	}
	leave(0);
}

void start(const u64 *stack)
{
	const char *const *words = (const char *const *)(stack + 1);
	u32 port = 0;
	if (stack[0] != 3)
		leave(20);
	for (const char *digit = words[2]; *digit; digit++)
		port = port * 10 + (u32)(*digit - '0');
	if (words[1][0] == 'c')
		call(port);
	serve(port);
}
