#include "status/status_table.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BETWEEN = 2 };

struct layout {
	bool shown[STATUS_TABLE_COLUMNS_MAX];
	size_t width[STATUS_TABLE_COLUMNS_MAX];
	size_t limit; /* of a line; SIZE_MAX: none */
};

static const char *cell(const struct status_table *table, size_t row, size_t column)
{
	return table->cells[row * table->column_count + column];
}

/* A column is shown if it says something, or if there is nothing that any could say. */
static void measure(const struct status_table *table, struct layout *layout)
{
	for (size_t column = 0; column < table->column_count; column++) {
		size_t widest = 0;
		for (size_t row = 0; row < table->row_count; row++) {
			size_t length = strlen(cell(table, row, column));
			widest = length > widest ? length : widest;
		}
		size_t title = strlen(table->columns[column].title);
		layout->shown[column] = widest > 0 || table->row_count == 0;
		layout->width[column] = widest > title ? widest : title;
	}
}

static size_t width_of(const struct status_table *table, const struct layout *layout)
{
	size_t width = 0;
	for (size_t column = 0; column < table->column_count; column++) {
		if (layout->shown[column])
			width += layout->width[column] + (width > 0 ? BETWEEN : 0);
	}
	return width;
}

/* The columns that may be cut, as wide as there is room for, the last one first to be cut. */
static void shrink(const struct status_table *table, struct layout *layout)
{
	for (size_t column = table->column_count; column-- > 0;) {
		size_t width = width_of(table, layout), least = table->columns[column].least;
		size_t *is = &layout->width[column];
		if (width <= layout->limit)
			return;
		size_t too_much = width - layout->limit;
		if (layout->shown[column] && least > 0 && *is > least)
			*is = *is > least + too_much ? *is - too_much : least;
	}
}

/* Those that matter least. False: all that are left stay. */
static bool leave_some_out(const struct status_table *table, struct layout *layout)
{
	unsigned rank = 0;
	for (size_t column = 0; column < table->column_count; column++) {
		if (layout->shown[column] && table->columns[column].rank > rank)
			rank = table->columns[column].rank;
	}
	for (size_t column = 0; column < table->column_count; column++) {
		if (rank > 0 && table->columns[column].rank == rank)
			layout->shown[column] = false;
	}
	return rank > 0;
}

static char safe(char octet)
{
	return octet < ' ' || octet > '~' ? '?' : octet;
}

static void put(char *at, const char *text, size_t width, bool right)
{
	size_t length = strlen(text);
	bool cut = length > width;
	length = cut ? width : length;
	at += right ? width - length : 0;
	for (size_t i = 0; i < length; i++)
		at[i] = safe(text[i]);
	if (cut)
		at[width - 1] = '~';
}

/* line has room for all columns that are shown. */
static void write_row(FILE *out, char *line, const struct status_table *table,
		      const struct layout *layout, size_t row)
{
	size_t length = width_of(table, layout), at = 0;

	memset(line, ' ', length);
	for (size_t column = 0; column < table->column_count; column++) {
		const struct status_column *is = &table->columns[column];
		if (!layout->shown[column])
			continue;
		put(line + at, row == SIZE_MAX ? is->title : cell(table, row, column),
		    layout->width[column], is->right);
		at += layout->width[column] + BETWEEN;
	}
	while (length > 0 && line[length - 1] == ' ')
		length--;
	if (length > layout->limit) {
		length = layout->limit;
		line[length - 1] = '~';
	}
	fwrite(line, 1, length, out);
	fputc('\n', out);
}

int status_table_write(FILE *out, const struct status_table *table, size_t width)
{
	struct layout whole = {.limit = width > 0 ? width : SIZE_MAX}, layout;

	assert(table->column_count <= STATUS_TABLE_COLUMNS_MAX);
	measure(table, &whole);
	/* From the whole width each time: what has gone makes room for what was cut. */
	do {
		layout = whole;
		shrink(table, &layout);
	} while (width_of(table, &layout) > layout.limit && leave_some_out(table, &whole));
	char *line = malloc(width_of(table, &layout) + 1);
	if (!line)
		return -1;
	write_row(out, line, table, &layout, SIZE_MAX);
	for (size_t row = 0; row < table->row_count; row++)
		write_row(out, line, table, &layout, row);
	free(line);
	return 0;
}

void status_table_print(FILE *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		fputc(text[i] == '\n' || text[i] == '\t' ? text[i] : safe(text[i]), out);
}
