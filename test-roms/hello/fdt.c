/* A reader for flattened device trees (Devicetree Specification, chapter 5).
 *
 * The blob comes from outside, so nothing in it is believed: every offset and
 * length is checked against the block it must lie in, names must end inside
 * their block, and nesting has a limit. A tree that breaks a rule reads as
 * FDT_BROKEN, never as an access outside the blob. */
#include "hello.h"

#define MAGIC     0xd00dfeedu
#define MAX_TOTAL (1u << 20)

enum { TOKEN_BEGIN = 1, TOKEN_END = 2, TOKEN_PROP = 3, TOKEN_NOP = 4, TOKEN_DONE = 9 };

/* Big-endian, at any alignment. */
u32 fdt_u32(const u8 *bytes)
{
	return (u32)bytes[0] << 24 | (u32)bytes[1] << 16 | (u32)bytes[2] << 8 | bytes[3];
}

/* A number of one or two cells. */
u64 fdt_cells(const u8 *bytes, u32 cells)
{
	u64 number = 0;
	for (u32 i = 0; i < cells; i++)
		number = number << 32 | fdt_u32(bytes + 4 * i);
	return number;
}

bool fdt_open(struct fdt *fdt, const void *blob)
{
	const u8 *header = blob;
	if (!header || (u64)header & 3 || fdt_u32(header) != MAGIC)
		return false;
	u32 total = fdt_u32(header + 4);
	u32 structure = fdt_u32(header + 8), strings = fdt_u32(header + 12);
	u32 compatible_with = fdt_u32(header + 24);
	u32 strings_size = fdt_u32(header + 32), structure_size = fdt_u32(header + 36);
	if (total > MAX_TOTAL || compatible_with > 17)
		return false;
	if (structure > total || structure_size > total - structure || structure & 3)
		return false;
	if (strings > total || strings_size > total - strings)
		return false;
	fdt->at = header + structure;
	fdt->end = fdt->at + structure_size;
	fdt->strings = header + strings;
	fdt->strings_end = fdt->strings + strings_size;
	fdt->depth = 0;
	return true;
}

/* The string at `from`, or NULL if it does not end before `end`. */
static const char *text_within(const u8 *from, const u8 *end)
{
	for (const u8 *at = from; at < end; at++)
		if (!*at)
			return (const char *)from;
	return NULL;
}

static u64 left(const struct fdt *fdt)
{
	return (u64)(fdt->end - fdt->at);
}

/* Step over `bytes` and the padding to the next token; false past the end. */
static bool skip(struct fdt *fdt, u64 bytes)
{
	bytes = (bytes + 3) & ~3ull;
	if (bytes > left(fdt))
		return false;
	fdt->at += bytes;
	return true;
}

static struct fdt_item broken(struct fdt *fdt)
{
	fdt->at = fdt->end; /* and it stays so */
	return (struct fdt_item){ .kind = FDT_BROKEN };
}

static struct fdt_item begin_node(struct fdt *fdt)
{
	const char *name = text_within(fdt->at, fdt->end);
	u64 length = 0;
	if (!name || fdt->depth == FDT_MAX_DEPTH)
		return broken(fdt);
	while (name[length])
		length++;
	if (!skip(fdt, length + 1))
		return broken(fdt);
	fdt->depth++;
	return (struct fdt_item){ .kind = FDT_BEGIN, .name = name, .depth = fdt->depth };
}

static struct fdt_item property(struct fdt *fdt)
{
	if (left(fdt) < 8 || fdt->depth == 0)
		return broken(fdt);
	u32 length = fdt_u32(fdt->at), name_offset = fdt_u32(fdt->at + 4);
	fdt->at += 8;
	const u8 *value = fdt->at;
	if (name_offset >= (u64)(fdt->strings_end - fdt->strings) || !skip(fdt, length))
		return broken(fdt);
	const char *name = text_within(fdt->strings + name_offset, fdt->strings_end);
	if (!name)
		return broken(fdt);
	return (struct fdt_item){ .kind = FDT_PROP, .name = name, .value = value,
				  .len = length, .depth = fdt->depth };
}

/* The next thing in the tree. After FDT_DONE or FDT_BROKEN there is nothing more. */
struct fdt_item fdt_next(struct fdt *fdt)
{
	while (left(fdt) >= 4) {
		u32 token = fdt_u32(fdt->at);
		fdt->at += 4;
		switch (token) {
		case TOKEN_BEGIN:
			return begin_node(fdt);
		case TOKEN_PROP:
			return property(fdt);
		case TOKEN_END:
			if (fdt->depth == 0)
				return broken(fdt);
			return (struct fdt_item){ .kind = FDT_END, .depth = fdt->depth-- };
		case TOKEN_NOP:
			continue;
		case TOKEN_DONE:
			return (struct fdt_item){ .kind = FDT_DONE };
		default:
			return broken(fdt);
		}
	}
	return broken(fdt);
}

/* Whether a property looks like strings: printable, each ended, none empty. */
bool fdt_is_text(const struct fdt_item *prop)
{
	bool empty = true;
	for (u32 i = 0; i < prop->len; i++) {
		u8 c = prop->value[i];
		if (c ? c < ' ' || c > '~' : empty)
			return false;
		empty = !c;
	}
	return prop->len && !prop->value[prop->len - 1];
}
