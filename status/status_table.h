/*
 * status_table: cells as a table that fits a width: which columns there are, how wide each is.
 *
 * Pure but for the stream that it writes to. Nothing in a cell is trusted: what is not printable
 * ASCII is written as '?'.
 */
#ifndef STATUS_STATUS_TABLE_H
#define STATUS_STATUS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct status_column {
	const char *title;
	bool right;    /* aligned: numbers */
	unsigned rank; /* of those that do not fit the greatest go first, together; 0: stays */
	size_t
	    least; /* its cells are cut to so many octets before another column goes; 0: none is */
};

struct status_table {
	const struct status_column *columns;
	size_t column_count; /* at most STATUS_TABLE_COLUMNS_MAX */
	char *const *cells;  /* row by row, column_count each, none NULL */
	size_t row_count;
};

enum { STATUS_TABLE_COLUMNS_MAX = 24 };

/*
 * Writes titles and rows, a line each, two blanks between columns and none at the end. width 0:
 * everything, as wide as it is. Else cells are cut where their column allows it, columns that do
 * not fit are left out, by their rank, and a line that is still too wide is cut. What is cut has a
 * '~' at its end. A column without any text in its rows is left out in any case. 0, or -1: no
 * memory, and nothing was written.
 */
int status_table_write(FILE *out, const struct status_table *table, size_t width);

/* Writes the text with '?' for what is not printable ASCII, but tabs and newlines. */
void status_table_print(FILE *out, const char *text, size_t length);

#endif
