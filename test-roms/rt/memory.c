/* What GCC calls on its own account, even in a freestanding program. */
#include <stddef.h>

void *memset(void *to, int value, size_t count)
{
	for (char *at = to; count; count--)
		*at++ = (char)value;
	return to;
}

void *memcpy(void *to, const void *from, size_t count)
{
	const char *source = from;
	for (char *at = to; count; count--)
		*at++ = *source++;
	return to;
}
