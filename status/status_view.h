/*
 * status_view: what status_lines has written, for eyes: fields back out of the lines, human units,
 * a table.
 *
 * The lines come from another process, which may be of another version: fields are found by their
 * names, unknown ones are left out, those that are missing are "-".
 */
#ifndef STATUS_STATUS_VIEW_H
#define STATUS_STATUS_VIEW_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct status_fields {
	char *text;	      /* the struct's own */
	char **fields;	      /* into it; the first row are the names */
	size_t columns, rows; /* rows: without the names */
};

/* Takes text over in any case. 0; or -1 with errno, and *lines empty: EPROTO where it is no such
 * text. */
int status_view_parse(struct status_fields *lines, char *text);
void status_view_clear(struct status_fields *lines);

/* A field of a row, or "-". */
const char *status_view_field(const struct status_fields *lines, size_t row, const char *name);

/* Of totals: the value of a figure, 0 where there is none. */
uint64_t status_view_figure(const struct status_fields *totals, const char *figure);

/* An earlier look at the calls, and how long ago that was: rates are told then. */
struct status_before {
	const struct status_fields *calls;
	uint64_t ms;
};

/* As status_table_write, but "no calls" where there are none. before: NULL, or of calls: then rates
 * stay longer than sums where there is little room. */
int status_view_write(FILE *out, const char *what, const struct status_fields *lines,
		      const struct status_before *before, size_t width);

/* What --watch has above its table, two lines; with before NULL without rates. */
struct status_looks {
	const struct status_fields *totals, *calls;	    /* now */
	const struct status_fields *old_totals, *old_calls; /* NULL: none yet */
	uint64_t ms;					    /* between the two */
};
void status_view_head(FILE *out, const struct status_looks *looks, size_t width);

#endif
