/* Page tables for tests: Priv. "Sv39", "Sv48", "Sv57". */
#include "rt.h"

#define TABLES 64
static u64 tables[TABLES][512] __attribute__((aligned(4096)));
static u32 used;

u64 *new_table(void)
{
	if (used == TABLES)
		fail();
	return tables[used++];
}

volatile u64 *pte_of(u64 *root, int levels, u64 address, int level)
{
	u64 *table = root;
	for (int at = levels - 1;; at--) {
		volatile u64 *pte = &table[address >> (12 + 9 * at) & 511];
		if (at == level)
			return pte;
		if (!(*pte & PTE_V))
			*pte = PTE_TO(new_table()) | PTE_V;
		table = (u64 *)(*pte >> 10 << 12);
	}
}
