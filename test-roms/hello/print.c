/* A printf of the useful size: %c %s %d %u %x with l, a width, 0 and -. */
#include <stdarg.h>
#include "hello.h"

struct field {
	int width;
	bool zeroes, left;
};

static void pad(char with, int count)
{
	while (count-- > 0)
		uart_put(with);
}

static void print_text(const char *text, struct field field)
{
	int length = 0;
	while (text[length])
		length++;
	if (!field.left)
		pad(' ', field.width - length);
	for (int i = 0; i < length; i++)
		uart_put(text[i]);
	if (field.left)
		pad(' ', field.width - length);
}

static void print_number(u64 number, u32 base, bool negative, struct field field)
{
	char digits[24];
	int at = sizeof digits;
	digits[--at] = 0;
	do {
		digits[--at] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	int length = (int)sizeof digits - 1 - at;
	if (field.zeroes) {
		if (negative)
			uart_put('-');
		pad('0', field.width - length - negative);
		field.width = 0;
	} else if (negative) {
		digits[--at] = '-';
	}
	print_text(digits + at, field);
}

void print(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			uart_put(*format);
			continue;
		}
		struct field field = { 0 };
		bool is_long = false;
		for (format++;; format++) {
			if (*format == '0' && !field.width)
				field.zeroes = true;
			else if (*format == '-')
				field.left = true;
			else if (*format >= '0' && *format <= '9')
				field.width = field.width * 10 + (*format - '0');
			else if (*format == 'l')
				is_long = true;
			else
				break;
		}
		if (*format == 'c') {
			uart_put((char)va_arg(args, int));
		} else if (*format == 's') {
			print_text(va_arg(args, const char *), field);
		} else if (*format == 'd') {
			i64 value = is_long ? va_arg(args, long) : va_arg(args, int);
			print_number(value < 0 ? -(u64)value : (u64)value, 10, value < 0, field);
		} else if (*format == 'u' || *format == 'x') {
			u64 value = is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned);
			print_number(value, *format == 'x' ? 16 : 10, false, field);
		} else if (*format == '%') {
			uart_put('%');
		} else {
			break; /* an end after %, or a letter we do not know */
		}
	}
	va_end(args);
}
