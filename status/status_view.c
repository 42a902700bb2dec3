#include "status/status_view.h"

#include "status/status_figure.h"
#include "status/status_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

static size_t count_octets(const char *text, char octet)
{
	size_t count = 0;
	for (; (text = strchr(text, octet)); text++)
		count++;
	return count;
}

/* Each line has as many fields as the first one. */
static bool split(struct status_fields *lines)
{
	char *at = lines->text;
	for (size_t row = 0; row <= lines->rows; row++) {
		for (size_t column = 0; column < lines->columns; column++) {
			char end = column + 1 < lines->columns ? '\t' : '\n';
			lines->fields[row * lines->columns + column] = at;
			at += strcspn(at, "\t\n");
			if (*at != end)
				return false;
			*at++ = '\0';
		}
	}
	return *at == '\0';
}

int status_view_parse(struct status_fields *lines, char *text)
{
	size_t first = strcspn(text, "\n"), all = count_octets(text, '\n');

	*lines = (struct status_fields){.text = text};
	errno = EPROTO;
	if (all > 0) {
		text[first] = '\0';
		lines->columns = count_octets(text, '\t') + 1;
		text[first] = '\n';
		lines->rows = all - 1;
		lines->fields = calloc(all, lines->columns * sizeof(*lines->fields));
		if (!lines->fields)
			errno = ENOMEM;
		else if (split(lines))
			return 0;
		else
			errno = EPROTO;
	}
	int reason = errno;
	status_view_clear(lines);
	errno = reason;
	return -1;
}

void status_view_clear(struct status_fields *lines)
{
	free(lines->fields);
	free(lines->text);
	*lines = (struct status_fields){0};
}

const char *status_view_field(const struct status_fields *lines, size_t row, const char *name)
{
	for (size_t column = 0; column < lines->columns; column++) {
		if (strcmp(lines->fields[column], name) == 0)
			return lines->fields[(row + 1) * lines->columns + column];
	}
	return "-";
}

/* UINT64_MAX: it is none. */
static uint64_t number_of(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' ? value : UINT64_MAX;
}

static uint64_t number(const struct status_fields *lines, size_t row, const char *name)
{
	return number_of(status_view_field(lines, row, name));
}

uint64_t status_view_figure(const struct status_fields *totals, const char *figure)
{
	for (size_t row = 0; row < totals->rows; row++) {
		if (strcmp(status_view_field(totals, row, "figure"), figure) == 0) {
			uint64_t value = number(totals, row, "value");
			return value == UINT64_MAX ? 0 : value;
		}
	}
	return 0;
}

/* ---- rates ---- */

/* A second's share of what has come between two looks. */
static uint64_t rate(uint64_t now, uint64_t old, uint64_t ms)
{
	if (now == UINT64_MAX || old == UINT64_MAX || now < old || ms == 0)
		return 0;
	return (uint64_t)((double)(now - old) * 1000 / (double)ms + 0.5);
}

/* ---- cells ---- */

struct cells {
	char **at;
	size_t count, room;
	bool failed; /* no memory */
};

static void add(struct cells *cells, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct cells *cells, const char *format, ...)
{
	va_list values;
	if (cells->failed)
		return;
	va_start(values, format);
	cells->failed =
	    cells->count == cells->room || vasprintf(&cells->at[cells->count], format, values) < 0;
	va_end(values);
	cells->count += !cells->failed;
}

static void add_octets(struct cells *cells, uint64_t octets)
{
	char text[STATUS_FIGURE];
	add(cells, "%s", octets == UINT64_MAX ? "-" : status_figure_octets(octets, text));
}

static void add_age(struct cells *cells, uint64_t ms)
{
	char text[STATUS_FIGURE];
	add(cells, "%s", ms == UINT64_MAX ? "-" : status_figure_time(ms, text));
}

/* ---- calls ---- */

/* Calls of an earlier look, in the order of their names. */
struct entry {
	const char *name;
	size_t row;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* NULL where there are none, or no memory: there are no rates then. */
static struct entry *sort_calls(const struct status_fields *calls)
{
	struct entry *entries = calls && calls->rows ? calloc(calls->rows, sizeof(*entries)) : NULL;
	if (!entries)
		return NULL;
	for (size_t row = 0; row < calls->rows; row++)
		entries[row] = (struct entry){status_view_field(calls, row, "call"), row};
	qsort(entries, calls->rows, sizeof(*entries), by_name);
	return entries;
}

/* What the call had sent when it was looked at before; UINT64_MAX: it was not there. */
static uint64_t old_octets(const struct status_fields *calls, const struct entry *entries,
			   const char *name, const char *field)
{
	const struct entry key = {.name = name};
	const struct entry *found =
	    entries ? bsearch(&key, entries, calls->rows, sizeof(key), by_name) : NULL;
	return found ? number(calls, found->row, field) : UINT64_MAX;
}

/* As a script finds them; and of two looks, whose rates are what one watches for. */
static const struct status_column call_columns[] = {
    {"CALL", false, 0, 0},   {"CLIENT", false, 1, 0},	  {"PORT", true, 11, 0},
    {"SERVER", false, 2, 0}, {"CLIENT ID", true, 9, 0},	  {"SERVER ID", true, 9, 0},
    {"AGE", true, 3, 0},     {"WAY", false, 8, 0},	  {"CLIENT SENT", true, 4, 0},
    {"PACKETS", true, 6, 0}, {"CLIENT RATE", true, 5, 0}, {"SERVER SENT", true, 4, 0},
    {"PACKETS", true, 6, 0}, {"SERVER RATE", true, 5, 0}, {"DROPPED", true, 7, 0},
    {"NOTE", false, 0, 0},
};
static const struct status_column watched_columns[] = {
    {"CALL", false, 0, 0},   {"CLIENT", false, 1, 0},	  {"PORT", true, 11, 0},
    {"SERVER", false, 3, 0}, {"CLIENT ID", true, 9, 0},	  {"SERVER ID", true, 9, 0},
    {"AGE", true, 4, 0},     {"WAY", false, 8, 0},	  {"CLIENT SENT", true, 5, 0},
    {"PACKETS", true, 6, 0}, {"CLIENT RATE", true, 2, 0}, {"SERVER SENT", true, 5, 0},
    {"PACKETS", true, 6, 0}, {"SERVER RATE", true, 2, 0}, {"DROPPED", true, 7, 0},
    {"NOTE", false, 0, 0},
};
enum { CALL_COLUMNS = sizeof(call_columns) / sizeof(call_columns[0]) };

/* The server's port only where it is not the usual one. */
static int address_length(const char *address, const char *usual)
{
	const char *colon = strrchr(address, ':');
	return (int)(colon && (!usual || strcmp(colon, usual) == 0) ? (size_t)(colon - address)
								    : strlen(address));
}

static void add_id(struct cells *cells, const char *own, const char *seen)
{
	if (strcmp(own, seen) == 0 || strcmp(seen, "-") == 0)
		add(cells, "%s", own);
	else
		add(cells, "%s>%s", own, seen);
}

/* "server silent 12 s": short, as columns go for it. */
static void add_note(struct cells *cells, const struct status_fields *calls, size_t row)
{
	static const char *const sides[] = {"client", "server"};
	static const char *const silent[] = {"client_silent", "server_silent"};
	static const char *const last[] = {"client_last_ms", "server_last_ms"};
	char text[3 * STATUS_FIGURE] = "", age[STATUS_FIGURE] = "";
	size_t used = 0;

	for (int side = 0; side < 2; side++) {
		uint64_t ms = number(calls, row, last[side]);
		if (strcmp(status_view_field(calls, row, silent[side]), "yes") != 0)
			continue;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s",
					 used > 0 ? ", " : "", sides[side],
					 ms == UINT64_MAX ? "not heard yet" : "silent ");
		if (ms != UINT64_MAX)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s",
						 status_figure_time(ms, age));
	}
	if (strcmp(status_view_field(calls, row, "state"), "reserved") == 0)
		snprintf(text, sizeof(text), "being set up");
	add(cells, "%s", text);
}

struct call_view {
	const struct status_fields *calls;
	const struct status_before *before; /* NULL: none */
	const struct entry *old;
};

static void add_sent(struct cells *cells, const struct call_view *view, size_t row,
		     const char *const fields[static 2])
{
	uint64_t octets = number(view->calls, row, fields[0]);
	add_octets(cells, octets);
	add(cells, "%s", status_view_field(view->calls, row, fields[1]));
	if (!view->before) {
		add(cells, "%s", "");
		return;
	}
	uint64_t old = old_octets(view->before->calls, view->old,
				  status_view_field(view->calls, row, "call"), fields[0]);
	char text[STATUS_FIGURE];
	add(cells, "%s", status_figure_rate(8 * rate(octets, old, view->before->ms), text));
}

static void add_call(struct cells *cells, const struct call_view *view, size_t row)
{
	static const char *const client_fields[] = {"client_octets", "client_packets"};
	static const char *const server_fields[] = {"server_octets", "server_packets"};
	const struct status_fields *calls = view->calls;
	const char *client = status_view_field(calls, row, "client"),
		   *server = status_view_field(calls, row, "server");
	uint64_t drops[] = {number(calls, row, "client_drops"), number(calls, row, "server_drops")};
	int length = address_length(client, NULL);

	add(cells, "%s", status_view_field(calls, row, "call"));
	add(cells, "%.*s", length, client);
	add(cells, "%s", client[length] == ':' ? client + length + 1 : "-");
	add(cells, "%.*s", address_length(server, ":1723"), server);
	add_id(cells, status_view_field(calls, row, "client_id"),
	       status_view_field(calls, row, "server_sees"));
	add_id(cells, status_view_field(calls, row, "server_id"),
	       status_view_field(calls, row, "client_sees"));
	add_age(cells, number(calls, row, "age_ms"));
	add(cells, "%s", status_view_field(calls, row, "way"));
	add_sent(cells, view, row, client_fields);
	add_sent(cells, view, row, server_fields);
	if (drops[0] == UINT64_MAX || drops[1] == UINT64_MAX)
		add(cells, "-");
	else
		add(cells, "%" PRIu64, drops[0] + drops[1]);
	add_note(cells, calls, row);
}

/* ---- pairs and totals ---- */

static const struct status_column pair_columns[] = {
    {"LISTENS ON", false, 0, 0}, {"SERVER", false, 1, 0},     {"STATE", false, 0, 0},
    {"CALLS", true, 3, 0},	 {"CONNECTIONS", true, 4, 0}, {"CLIENTS", true, 7, 0},
    {"ANSWERED", true, 6, 0},	 {"FAILED", true, 5, 0},      {"LAST ERROR", false, 0, 20},
};
enum { PAIR_COLUMNS = sizeof(pair_columns) / sizeof(pair_columns[0]) };

static void add_pair(struct cells *cells, const struct status_fields *pairs, size_t row)
{
	static const char *const fields[] = {"listen",	    "peer",	"state",     "calls",
					     "connections", "accepted", "connected", "failed"};
	char age[STATUS_FIGURE];
	const char *error = status_view_field(pairs, row, "last_error");
	uint64_t ms = number(pairs, row, "last_error_ms");

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		add(cells, "%s", status_view_field(pairs, row, fields[i]));
	if (ms == UINT64_MAX)
		add(cells, "%s", strcmp(error, "-") == 0 ? "" : error);
	else
		add(cells, "%s, %s ago", error, status_figure_time(ms, age));
}

static const struct status_column total_columns[] = {{"FIGURE", false, 0, 0},
						     {"VALUE", true, 0, 0}};
enum { TOTAL_COLUMNS = sizeof(total_columns) / sizeof(total_columns[0]) };

static void add_total(struct cells *cells, const struct status_fields *totals, size_t row)
{
	const char *unit = status_view_field(totals, row, "unit");
	add(cells, "%s", status_view_field(totals, row, "figure"));
	if (strcmp(unit, "ms") == 0)
		add_age(cells, number(totals, row, "value"));
	else
		add(cells, "%s", status_view_field(totals, row, "value"));
}

/* ---- a table ---- */

static void add_row(struct cells *cells, const struct call_view *calls,
		    const struct status_fields *lines, const struct status_column *columns,
		    size_t row)
{
	if (columns == call_columns || columns == watched_columns)
		add_call(cells, calls, row);
	else if (columns == pair_columns)
		add_pair(cells, lines, row);
	else
		add_total(cells, lines, row);
}

static int write_table(FILE *out, struct status_table *table, const struct status_fields *lines,
		       const struct status_before *before, size_t width)
{
	struct entry *old = before ? sort_calls(before->calls) : NULL;
	const struct call_view calls = {.calls = lines, .before = before, .old = old};
	struct cells cells = {.room = lines->rows * table->column_count};
	int result = -1;

	cells.at = calloc(cells.room + 1, sizeof(*cells.at));
	cells.failed = !cells.at;
	for (size_t row = 0; row < lines->rows && !cells.failed; row++)
		add_row(&cells, &calls, lines, table->columns, row);
	table->cells = cells.at;
	table->row_count = lines->rows;
	if (!cells.failed)
		result = status_table_write(out, table, width);
	while (cells.count > 0)
		free(cells.at[--cells.count]);
	free(cells.at);
	free(old);
	return result;
}

static void write_line(FILE *out, const char *text, size_t width)
{
	size_t length = strlen(text);
	bool cut = width > 0 && length > width;
	status_table_print(out, text, cut ? width - 1 : length);
	fputs(cut ? "~\n" : "\n", out);
}

int status_view_write(FILE *out, const char *what, const struct status_fields *lines,
		      const struct status_before *before, size_t width)
{
	struct status_table table = {.columns = total_columns, .column_count = TOTAL_COLUMNS};
	if (lines->rows == 0) {
		char none[32];
		snprintf(none, sizeof(none), "no %s", what);
		write_line(out, none, width);
		return 0;
	}
	if (strcmp(what, "calls") == 0)
		table = (struct status_table){.columns = before ? watched_columns : call_columns,
					      .column_count = CALL_COLUMNS};
	else if (strcmp(what, "pairs") == 0)
		table =
		    (struct status_table){.columns = pair_columns, .column_count = PAIR_COLUMNS};
	return write_table(out, &table, lines, before, width);
}

/* ---- what is above it ---- */

static uint64_t sum_of_rates(const struct status_looks *looks, const struct entry *old,
			     const char *field)
{
	uint64_t sum = 0;
	for (size_t row = 0; row < looks->calls->rows; row++) {
		const char *name = status_view_field(looks->calls, row, "call");
		sum += rate(number(looks->calls, row, field),
			    old_octets(looks->old_calls, old, name, field), looks->ms);
	}
	return sum;
}

static uint64_t packets_of(const struct status_fields *totals)
{
	return status_view_figure(totals, "packets received") +
	       status_view_figure(totals, "packets carried by the fast path");
}

static uint64_t dropped_of(const struct status_fields *totals)
{
	uint64_t sum = 0;
	for (size_t row = 0; row < totals->rows; row++) {
		const char *figure = status_view_field(totals, row, "figure");
		uint64_t value = number(totals, row, "value");
		if (strstr(figure, "packets dropped") == figure && value != UINT64_MAX)
			sum += value;
	}
	return sum;
}

static void write_rates(FILE *out, const struct status_looks *looks, size_t width)
{
	char line[256], sent[2][STATUS_FIGURE];
	struct entry *old = sort_calls(looks->old_calls);
	status_figure_rate(8 * sum_of_rates(looks, old, "client_octets"), sent[0]);
	status_figure_rate(8 * sum_of_rates(looks, old, "server_octets"), sent[1]);
	free(old);
	snprintf(line, sizeof(line),
		 "clients send %s, servers %s; %" PRIu64 " packets/s, %" PRIu64 " dropped/s",
		 sent[0], sent[1],
		 rate(packets_of(looks->totals), packets_of(looks->old_totals), looks->ms),
		 rate(dropped_of(looks->totals), dropped_of(looks->old_totals), looks->ms));
	write_line(out, line, width);
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

void status_view_head(FILE *out, const struct status_looks *looks, size_t width)
{
	const struct status_fields *totals = looks->totals;
	char line[256], up[STATUS_FIGURE];
	uint64_t connections = status_view_figure(totals, "connections"),
		 calls = status_view_figure(totals, "calls"), packets = packets_of(totals);

	status_figure_time(status_view_figure(totals, "up"), up);
	snprintf(line, sizeof(line),
		 "up %s; %" PRIu64 " connection%s, %" PRIu64 " call%s; %" PRIu64
		 " packet%s received, %" PRIu64 " dropped",
		 up, connections, plural(connections), calls, plural(calls), packets,
		 plural(packets), dropped_of(totals));
	write_line(out, line, width);
	if (looks->old_totals)
		write_rates(out, looks, width);
	else
		write_line(out, "", width);
}
