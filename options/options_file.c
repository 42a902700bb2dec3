#include "options/options_file.h"

#include <string.h>

#define BLANKS		" \t"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

static bool is_blank(char octet)
{
	return octet == ' ' || octet == '\t';
}

/* The octets of the next line, without its end, and *length of them; NULL at the end of the text.
 */
static const char *cut_line(struct options_reader *reader, size_t *length)
{
	const struct options_file *file = reader->file;
	/* Whoever writes carriage returns may begin with this. */
	if (reader->at == 0 && file->length >= strlen(BYTE_ORDER_MARK) &&
	    memcmp(file->text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
		reader->at = strlen(BYTE_ORDER_MARK);
	if (reader->at >= file->length)
		return NULL;
	const char *line = file->text + reader->at;
	const char *end = memchr(line, '\n', file->length - reader->at);
	*length = end ? (size_t)(end - line) : file->length - reader->at;
	reader->at += *length + (end != NULL);
	reader->number++;
	if (*length > 0 && line[*length - 1] == '\r')
		--*length;
	return line;
}

/* In comments, too: a lone carriage return may be meant to end one, and what follows it be lost. */
static int check_text(const char *line, size_t length, struct why *why)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char octet = (unsigned char)line[i];
		if ((octet < ' ' && octet != '\t') || octet == 0x7f)
			return why_set(why, "the octet 0x%02x is no text", octet);
	}
	return 0;
}

static int copy_line(struct options_reader *reader, const char *line, size_t length,
		     struct why *why)
{
	if (length > OPTIONS_FILE_LINE_MAX) {
		why_set(why, "it is longer than %d octets", OPTIONS_FILE_LINE_MAX);
		return options_file_blame(reader->file, reader->number, why);
	}
	if (check_text(line, length, why) < 0)
		return options_file_blame(reader->file, reader->number, why);
	memcpy(reader->line, line, length);
	reader->line[length] = '\0';
	return 0;
}

int options_file_next(struct options_reader *reader, struct why *why)
{
	for (;;) {
		size_t length;
		const char *line = cut_line(reader, &length);
		if (!line)
			return 0;
		if (copy_line(reader, line, length, why) < 0)
			return -1;
		reader->name = reader->line + strspn(reader->line, BLANKS);
		if (*reader->name != '\0' && *reader->name != '#')
			break;
	}
	reader->rest = reader->name + strcspn(reader->name, BLANKS);
	if (*reader->rest != '\0')
		*reader->rest++ = '\0';
	return 1;
}

/* Where the comment starts, or the text ends. */
static char *find_comment(char *text, bool quotes)
{
	bool behind_blank = true;
	char quote = '\0';
	for (; *text; text++) {
		if (*text == '#' && behind_blank)
			break;
		behind_blank = !quote && is_blank(*text);
		if (!quotes)
			continue;
		if (*text == '\\' && quote != '\'' && text[1])
			text++;
		else if (quote ? *text == quote : *text == '\'' || *text == '"')
			quote = quote ? '\0' : *text;
	}
	return text;
}

char *options_file_value(char *rest, bool quotes)
{
	rest += strspn(rest, BLANKS);
	char *end = find_comment(rest, quotes);
	while (end > rest && is_blank(end[-1]))
		end--;
	*end = '\0';
	return rest;
}

int options_file_blame(const struct options_file *file, unsigned number, struct why *why)
{
	struct why reason = *why;
	return why_set(why, "%.80s line %u: %s", file->path, number, reason.text);
}
