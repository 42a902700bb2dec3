#include "host/log_line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	STAMP_MAX = 48, /* of any year that there is */
	HEAD_MAX = 1 + STAMP_MAX + 16,
};

/* "2026-01-31T12:00:00.123 ": the part that lasts a second is made once in that second. */
static size_t put_stamp(char *out)
{
	static _Thread_local struct {
		time_t at;
		size_t length;
		char text[STAMP_MAX];
	} second = {.at = -1};
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != second.at) {
		struct tm tm;
		localtime_r(&now.tv_sec, &tm);
		second.length = strftime(second.text, STAMP_MAX, "%Y-%m-%dT%H:%M:%S.", &tm);
		second.at = now.tv_sec;
	}
	long ms = now.tv_nsec / 1000000;
	char rest[] = {(char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
		       ' '};
	memcpy(out, second.text, second.length);
	memcpy(out + second.length, rest, sizeof(rest));
	return second.length + sizeof(rest);
}

static size_t put_head(char out[static HEAD_MAX], unsigned how, enum log_level level)
{
	static const char *const names[] = {
	    [LOG_LEVEL_ERROR] = "error: ", [LOG_LEVEL_WARNING] = "warning: ",
	    [LOG_LEVEL_INFO] = "",	   [LOG_LEVEL_DEBUG] = "",
	    [LOG_LEVEL_DUMP] = "",
	};
	size_t length = 0;
	if (how & LOG_LINE_PRIORITY)
		out[length++] = (char)('0' + level);
	if (how & LOG_LINE_STAMPED)
		length += put_stamp(out + length);
	return (size_t)(stpcpy(out + length, names[level]) - out);
}

void log_line_begin(struct log_line *line, unsigned how, enum log_level level)
{
	line->length = put_head(line->text, how, level);
}

void log_line_format(struct log_line *line, const char *format, va_list args)
{
	size_t room = LOG_LINE_MAX - line->length;
	int length = vsnprintf(line->text + line->length, room + 1, format, args);
	if (length < 0)
		length = 0;
	if ((size_t)length > room) {
		line->length = LOG_LINE_MAX;
		memcpy(line->text + line->length - 3, "...", 3);
	} else {
		line->length += (size_t)length;
	}
	for (size_t i = 0; i < line->length; i++)
		if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
			line->text[i] = '?';
	line->text[line->length++] = '\n';
}

void log_line_set(struct log_line *line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line_format(line, format, args);
	va_end(args);
}

size_t log_line_put_octets(char *out, unsigned how, const uint8_t *octets, size_t offset,
			   size_t count)
{
	size_t length = 0;
	if (how & LOG_LINE_PRIORITY)
		out[length++] = '0' + LOG_LEVEL_DUMP;
	length += (size_t)sprintf(out + length, "    %04zx ", offset);
	for (size_t i = 0; i < LOG_LINE_OCTETS; i++) {
		const char *gap = i == LOG_LINE_OCTETS / 2 ? " " : "";
		if (i < count)
			length += (size_t)sprintf(out + length, "%s %02x", gap, octets[offset + i]);
		else
			length += (size_t)sprintf(out + length, "%s   ", gap);
	}
	length += (size_t)sprintf(out + length, "  ");
	for (size_t i = 0; i < count; i++) {
		uint8_t octet = octets[offset + i];
		out[length++] = octet >= ' ' && octet < 0x7f ? (char)octet : '.';
	}
	out[length++] = '\n';
	return length;
}
