/* Reading a line: what is typed is echoed, and can be corrected.
 *
 *   Backspace  rubs out a character      Ctrl-U  the whole line
 *   Ctrl-W     rubs out a word           Ctrl-C  gives up the line
 *   Up         brings the last line back
 */
#include "hello.h"

#define CTRL(letter) ((letter) & 0x1f)

static char last[LINE_MAX];

static u32 rub_out(u32 length)
{
	print("\b \b");
	return length - 1;
}

/* The final letter of an escape sequence (ESC [ ... letter), the start of which
 * has been read already; 0 if it is none we know. */
static int escape_sequence(void)
{
	if (uart_get() != '[')
		return 0;
	int c;
	do
		c = uart_get();
	while (c >= 0x20 && c < 0x40);
	return c;
}

static u32 recall(char line[LINE_MAX], u32 length)
{
	while (length)
		length = rub_out(length);
	for (; last[length]; length++) {
		line[length] = last[length];
		uart_put(last[length]);
	}
	return length;
}

static void remember(const char line[LINE_MAX])
{
	for (u32 i = 0; line[0] && i < LINE_MAX; i++)
		last[i] = line[i];
}

void read_line(const char *prompt, char line[LINE_MAX])
{
	u32 length = 0;
	print("%s", prompt);
	for (;;) {
		int c = uart_get();
		if (c == '\r' || c == '\n') {
			print("\n");
			line[length] = 0;
			remember(line);
			return;
		} else if (c == 0x7f || c == '\b') {
			if (length)
				length = rub_out(length);
		} else if (c == CTRL('U')) {
			while (length)
				length = rub_out(length);
		} else if (c == CTRL('W')) {
			while (length && line[length - 1] == ' ')
				length = rub_out(length);
			while (length && line[length - 1] != ' ')
				length = rub_out(length);
		} else if (c == CTRL('C')) {
			print("^C\n%s", prompt);
			length = 0;
		} else if (c == 0x1b) {
			if (escape_sequence() == 'A')
				length = recall(line, length);
		} else if (c >= ' ' && c < 0x7f && length < LINE_MAX - 1) {
			line[length++] = (char)c;
			uart_put((char)c);
		}
	}
}
