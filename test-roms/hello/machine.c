/* What machine is this? The device tree knows. One pass collects what the
 * greeting and `info` show. */
#include "hello.h"

struct machine machine;

/* What is known of a node while its properties go by. They come before its
 * children, and `reg` counts in cells that the parent has declared. */
struct node {
	const char *name, *compatible, *type;
	const u8 *reg;
	u32 reg_len, interrupt;
	u32 address_cells, size_cells;   /* for the children */
};

bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

bool text_starts(const char *text, const char *start)
{
	while (*start)
		if (*text++ != *start++)
			return false;
	return true;
}

static void note_property(struct node *node, const struct fdt_item *prop)
{
	const char *name = prop->name;
	const char *text = fdt_is_text(prop) ? (const char *)prop->value : NULL;
	if (text_equal(name, "compatible"))
		node->compatible = text;
	else if (text_equal(name, "device_type"))
		node->type = text;
	else if (text_equal(name, "reg"))
		node->reg = prop->value, node->reg_len = prop->len;
	else if (prop->len >= 4 && text_equal(name, "interrupts"))
		node->interrupt = fdt_u32(prop->value);
	else if (prop->len == 4 && text_equal(name, "#address-cells"))
		node->address_cells = fdt_u32(prop->value);
	else if (prop->len == 4 && text_equal(name, "#size-cells"))
		node->size_cells = fdt_u32(prop->value);
	else if (prop->len == 4 && text_equal(name, "timebase-frequency") && fdt_u32(prop->value))
		machine.timebase = fdt_u32(prop->value);
	else if (text && prop->depth == 1 && text_equal(name, "model"))
		machine.model = text;
	else if (text && text_equal(name, "riscv,isa"))
		machine.isa = text;
	else if (text && text_equal(name, "mmu-type"))
		machine.mmu = text;
	else if (text && text_equal(name, "bootargs"))
		machine.bootargs = text;
}

/* A node is complete: note it if it is a hart, memory or a device. */
static void note_node(const struct node *node, const struct node *parent)
{
	if (node->type && text_equal(node->type, "cpu")) {
		machine.harts++;
		return;
	}
	u32 address = parent->address_cells, size = parent->size_cells;
	if (!node->reg || address > 2 || size > 2 || node->reg_len < 4 * (address + size))
		return;
	struct device device = {
		.name = node->name,
		.compatible = node->compatible,
		.address = fdt_cells(node->reg, address),
		.size = fdt_cells(node->reg + 4 * address, size),
		.interrupt = node->interrupt,
	};
	if (node->type && text_equal(node->type, "memory")) {
		if (!machine.memory.size)
			machine.memory = device;
	} else if (node->compatible && machine.device_count < ARRAY_LEN(machine.devices)) {
		machine.devices[machine.device_count++] = device;
	}
}

void machine_read(const void *dtb)
{
	struct node path[FDT_MAX_DEPTH + 1] = { 0 };
	struct fdt fdt;
	machine.dtb = dtb;
	machine.timebase = 10000000; /* virt's, should the tree not say */
	if (!fdt_open(&fdt, dtb))
		return;
	for (;;) {
		struct fdt_item item = fdt_next(&fdt);
		struct node *node = &path[item.depth];
		if (item.kind == FDT_BEGIN)
			*node = (struct node){ .name = item.name, .address_cells = 2, .size_cells = 1 };
		else if (item.kind == FDT_PROP)
			note_property(node, &item);
		else if (item.kind == FDT_END)
			note_node(node, &path[item.depth - 1]);
		else
			break;
		machine.known |= item.kind == FDT_END && item.depth == 1; /* the root closed */
	}
}
