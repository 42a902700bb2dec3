#include "status/status_text.h"

#include <event2/buffer.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* ---- pieces ---- */

static void flush(struct status_text *text)
{
	if (text->used > 0 && evbuffer_add(text->out, text->piece, text->used) != 0)
		text->failed = true;
	text->used = 0;
}

void status_text_octets(struct status_text *text, const char *octets, size_t length)
{
	while (length > 0) {
		size_t room = sizeof(text->piece) - text->used;
		size_t some = length < room ? length : room;
		memcpy(text->piece + text->used, octets, some);
		text->used += some;
		octets += some;
		length -= some;
		if (text->used == sizeof(text->piece))
			flush(text);
	}
}

void status_text_begin(struct status_text *text, struct evbuffer *out)
{
	text->out = out;
	text->failed = false;
	text->used = 0;
}

int status_text_end(struct status_text *text)
{
	flush(text);
	return text->failed ? -1 : 0;
}

/* ---- plain ---- */

void status_text_add(struct status_text *text, const char *words)
{
	status_text_octets(text, words, strlen(words));
}

void status_text_number(struct status_text *text, uint64_t number)
{
	char digits[20], *at = digits + sizeof(digits);
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	status_text_octets(text, at, (size_t)(digits + sizeof(digits) - at));
}

void status_text_seconds(struct status_text *text, uint64_t ms)
{
	char rest[] = {'.', (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10),
		       (char)('0' + ms % 10)};
	status_text_number(text, ms / 1000);
	status_text_octets(text, rest, sizeof(rest));
}

void status_text_addr(struct status_text *text, uint32_t addr)
{
	for (int shift = 24; shift >= 0; shift -= 8) {
		status_text_number(text, addr >> shift & 0xff);
		if (shift > 0)
			status_text_octets(text, ".", 1);
	}
}

/* ---- escaped ---- */

static bool is_continued(const unsigned char *at, int count)
{
	for (int i = 1; i <= count; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return false; /* a NUL, too */
	}
	return true;
}

/* How many octets the character has; 0: it is none (RFC 3629, section 4). */
static size_t character(const unsigned char *at)
{
	unsigned char first = at[0], second = first < 0x80 ? 0 : at[1];
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return is_continued(at, 1) ? 2 : 0;
	if (first >= 0xe0 && first <= 0xef) {
		bool longer = first == 0xe0 && second < 0xa0;
		bool surrogate = first == 0xed && second > 0x9f;
		return !longer && !surrogate && is_continued(at, 2) ? 3 : 0;
	}
	if (first >= 0xf0 && first <= 0xf4) {
		bool longer = first == 0xf0 && second < 0x90;
		bool beyond = first == 0xf4 && second > 0x8f;
		return !longer && !beyond && is_continued(at, 3) ? 4 : 0;
	}
	return 0;
}

/* What stands for this octet; NULL: itself. */
typedef const char *escape(unsigned char octet, char room[static 8]);

static void add_escaped(struct status_text *text, const char *words, escape *with)
{
	const unsigned char *at = (const void *)words;
	char room[8];
	while (*at) {
		size_t length = character(at);
		const char *instead = length == 0   ? REPLACEMENT
				      : length == 1 ? with(*at, room)
						    : NULL;
		if (instead)
			status_text_add(text, instead);
		else
			status_text_octets(text, (const char *)at, length);
		at += length > 0 ? length : 1;
	}
}

static const char *escape_json(unsigned char octet, char room[static 8])
{
	static const char digits[] = "0123456789abcdef";
	if (octet == '"')
		return "\\\"";
	if (octet == '\\')
		return "\\\\";
	if (octet >= 0x20)
		return NULL;
	memcpy(room, "\\u00", 4);
	room[4] = digits[octet >> 4];
	room[5] = digits[octet & 0xf];
	room[6] = '\0';
	return room;
}

static const char *escape_html(unsigned char octet, char room[static 8])
{
	(void)room;
	switch (octet) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return octet < 0x20 || octet == 0x7f ? REPLACEMENT : NULL;
	}
}

static const char *escape_label(unsigned char octet, char room[static 8])
{
	(void)room;
	return octet == '\\' ? "\\\\" : octet == '"' ? "\\\"" : octet == '\n' ? "\\n" : NULL;
}

void status_text_json(struct status_text *text, const char *words)
{
	status_text_octets(text, "\"", 1);
	add_escaped(text, words, escape_json);
	status_text_octets(text, "\"", 1);
}

void status_text_html(struct status_text *text, const char *words)
{
	add_escaped(text, words, escape_html);
}

void status_text_label(struct status_text *text, const char *words)
{
	add_escaped(text, words, escape_label);
}
