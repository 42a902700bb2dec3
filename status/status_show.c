#include "status/status_show.h"

#include "status/status_query.h"
#include "status/status_table.h"
#include "status/status_view.h"
#include "status/status_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH = 80, HEIGHT = 24, REQUEST_MAX = 128 };

/* 0: it does not say. */
static size_t number_in(const char *variable)
{
	const char *text = getenv(variable);
	unsigned long value = text ? strtoul(text, NULL, 10) : 0;
	return value < 10000 ? value : 0;
}

size_t status_show_width(size_t *rows)
{
	struct winsize size = {0};
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
	size_t width = size.ws_col, height = size.ws_row;

	if (!known && !isatty(STDOUT_FILENO))
		return 0;
	if (width == 0)
		width = number_in("COLUMNS");
	if (height == 0)
		height = number_in("LINES");
	if (rows)
		*rows = height > 0 ? height : HEIGHT;
	return width > 0 ? width : WIDTH;
}

static int finish(struct why *why)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return why_set(why, "standard output: %s", strerror(errno));
}

static int print_table(const struct status_show *show, char *answer, struct why *why)
{
	struct status_fields lines;
	if (status_view_parse(&lines, answer) != 0)
		return why_set(why, "control socket %s: answer not understood: %s", show->control,
			       strerror(errno));
	int result = status_view_write(stdout, show->what, &lines, NULL, status_show_width(NULL));
	status_view_clear(&lines);
	return result == 0 ? finish(why) : why_set(why, "no memory");
}

/* To a program as it is; to a terminal nothing that would move it. */
static void print_json(const char *answer)
{
	if (status_show_width(NULL) > 0)
		status_table_print(stdout, answer, strlen(answer));
	else
		fputs(answer, stdout);
	fputc('\n', stdout);
}

int status_show_print(const struct status_show *show, struct why *why)
{
	char request[REQUEST_MAX];
	if (show->watch)
		return status_watch_run(show, why);
	snprintf(request, sizeof(request), "show %s%s\n", show->what, show->json ? " json" : "");
	char *answer = status_query(show->control, request, why);
	if (!answer)
		return -1;
	if (!show->json)
		return print_table(show, answer, why);
	print_json(answer);
	free(answer);
	return finish(why);
}

int status_show_end(const char *control, const char *call, struct why *why)
{
	char request[REQUEST_MAX];
	snprintf(request, sizeof(request), "end %s\n", call);
	char *answer = status_query(control, request, why);
	if (!answer)
		return -1;
	status_table_print(stdout, answer, strlen(answer));
	free(answer);
	return finish(why);
}
