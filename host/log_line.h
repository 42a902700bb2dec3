/*
 * log_line: one line of the log as text: what stands at its head, then the message, without control
 * characters. Internal to log.
 *
 * Knows no queue and no outside; of the system it asks the time. Threads: any, each with a line of
 * its own.
 */
#ifndef HOST_LOG_LINE_H
#define HOST_LOG_LINE_H

#include "host/log.h"

#include <stdarg.h>

/* What stands before a message, besides the level's name. */
enum {
	LOG_LINE_STAMPED = 1,  /* the time */
	LOG_LINE_PRIORITY = 2, /* the level as a digit, which the sink takes off again */
};

struct log_line {
	char text[LOG_LINE_MAX + 1]; /* the newline is counted in, no NUL */
	size_t length;
};

/* The head; how: LOG_LINE_*. Then one of the next two, once. */
void log_line_begin(struct log_line *line, unsigned how, enum log_level level);
/* The message and a newline; what is too long is cut and ends in "...". */
void log_line_format(struct log_line *line, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void log_line_set(struct log_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- a dump's lines ---- */

enum {
	LOG_LINE_OCTETS = 16,	   /* that a line shows */
	LOG_LINE_OCTETS_TEXT = 96, /* room for it */
};

/* The line of count octets from offset on, 1 to LOG_LINE_OCTETS; its length, the newline counted
 * in. */
size_t log_line_put_octets(char *out, unsigned how, const uint8_t *octets, size_t offset,
			   size_t count);

#endif
