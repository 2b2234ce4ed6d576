/* One kernel as a bare program: KERNEL names the function, REPEAT says how often,
 * EXPECT is the checksum it must come to. */
#include "rt.h"

u64 KERNEL(u64 repeat);

void test_main(void)
{
	csr_set(mstatus, MSTATUS_FS);
	CHECK(KERNEL(REPEAT) == EXPECT);
}
