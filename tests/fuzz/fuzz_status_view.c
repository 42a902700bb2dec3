/*
 * What an instance says is not trusted: any text is no such text, or becomes tables of printable
 * lines that are no wider than the terminal. The first two octets are its width, and what the text
 * is about.
 */
#include "status/status_call.h"
#include "status/status_view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

static void check_lines(const char *text, size_t length, size_t width)
{
	size_t column = 0;
	for (size_t i = 0; i < length; i++) {
		assert(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
		column = text[i] == '\n' ? 0 : column + 1;
		assert(width == 0 || column <= width);
	}
	assert(column == 0);
}

static void write_all(const char *what, const struct status_fields *fields, size_t width)
{
	const struct status_before before = {.calls = fields, .ms = 1000};
	const struct status_looks looks = {.totals = fields,
					   .calls = fields,
					   .old_totals = fields,
					   .old_calls = fields,
					   .ms = 1000};
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		abort();
	status_view_head(out, &looks, width);
	if (status_view_write(out, what, fields, width % 2 ? &before : NULL, width) != 0)
		abort();
	fclose(out);
	check_lines(text, length, width);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	static const char *const whats[] = {"calls", "pairs", "totals"};
	struct status_fields fields;
	uint64_t connection;
	int32_t client_id;
	if (length < 2)
		return 0;
	char *text = malloc(length - 1);
	if (!text)
		abort();
	memcpy(text, octets + 2, length - 2);
	text[length - 2] = '\0';
	if (status_call_parse(text, &connection, &client_id))
		assert(client_id >= STATUS_CALL_UNASSIGNED && client_id <= UINT16_MAX);
	if (status_view_parse(&fields, text) != 0)
		return 0;
	write_all(whats[octets[1] % 3], &fields, octets[0]);
	status_view_clear(&fields);
	return 0;
}
