/*
 * why: keeps the sentence printable, because words from a command line end up in it.
 */
#include "host/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int why_set(struct why *why, const char *format, ...)
{
	int saved = errno;
	va_list args;
	va_start(args, format);
	if (vsnprintf(why->text, sizeof(why->text), format, args) < 0)
		why->text[0] = '\0';
	va_end(args);

	for (char *at = why->text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';

	errno = saved;
	return -1;
}
