#include "status/status_watch.h"

#include "host/monotonic.h"
#include "status/status_query.h"
#include "status/status_table.h"
#include "status/status_view.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { EACH_MS = 1000 };

#define ENTER "\033[?1049h\033[?25l" /* alternate screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"

static volatile sig_atomic_t over, resized;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		over = 1;
}

/* ---- looks ---- */

struct look {
	struct status_fields totals, calls,
	    table; /* table: what is shown, unless that is one of them */
	uint64_t at;
};

static void forget(struct look *look)
{
	status_view_clear(&look->totals);
	status_view_clear(&look->calls);
	status_view_clear(&look->table);
}

static int ask(const struct status_show *show, const char *what, struct status_fields *lines,
	       struct why *why)
{
	char request[64];
	snprintf(request, sizeof(request), "show %s\n", what);
	char *answer = status_query(show->control, request, why);
	if (!answer)
		return -1;
	if (status_view_parse(lines, answer) == 0)
		return 0;
	return why_set(why, "control socket %s: answer not understood: %s", show->control,
		       strerror(errno));
}

/* 0, or -1 with a sentence and *look empty. */
static int look_now(const struct status_show *show, struct look *look, struct why *why)
{
	*look = (struct look){.at = monotonic_ms()};
	if (ask(show, "totals", &look->totals, why) == 0 &&
	    ask(show, "calls", &look->calls, why) == 0 &&
	    (strcmp(show->what, "pairs") != 0 || ask(show, "pairs", &look->table, why) == 0))
		return 0;
	forget(look);
	return -1;
}

static const struct status_fields *shown(const struct status_show *show, const struct look *look)
{
	return strcmp(show->what, "calls") == 0	   ? &look->calls
	       : strcmp(show->what, "totals") == 0 ? &look->totals
						   : &look->table;
}

/* ---- what is shown ---- */

/* The page as it would be on a screen of any height; NULL: no memory. before: NULL, none yet. */
static char *compose(const struct status_show *show, const struct look *now,
		     const struct look *before, size_t width)
{
	uint64_t ms = before ? now->at - before->at : 0;
	struct status_looks looks = {
	    .totals = &now->totals,
	    .calls = &now->calls,
	    .old_totals = before ? &before->totals : NULL,
	    .old_calls = before ? &before->calls : NULL,
	    .ms = ms,
	};
	struct status_before old = {.calls = looks.old_calls, .ms = ms};
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	status_view_head(out, &looks, width);
	int result =
	    status_view_write(out, show->what, shown(show, now), before ? &old : NULL, width);
	if (fclose(out) == 0 && result == 0)
		return text;
	free(text);
	return NULL;
}

static size_t count_lines(const char *text)
{
	size_t count = 0;
	for (; (text = strchr(text, '\n')); text++)
		count++;
	return count;
}

/* As many lines as there is room for; the last one tells of the others. */
static void draw(const char *text, size_t rows)
{
	size_t lines = count_lines(text), room = lines > rows ? rows - 1 : lines;
	fputs("\033[H", stdout);
	for (size_t i = 0; i < room; i++) {
		size_t length = strcspn(text, "\n");
		/* Without a newline behind the last row, which would scroll. */
		printf("%s%.*s\033[K", i > 0 ? "\r\n" : "", (int)length, text);
		text += length + 1;
	}
	if (lines > room)
		printf("%s%zu more lines\033[K", room > 0 ? "\r\n" : "", lines - room);
	fputs("\033[J", stdout);
}

static int show_one(const struct status_show *show, const struct look *now,
		    const struct look *before)
{
	size_t rows = 0, width = status_show_width(&rows);
	char *text = compose(show, now, before, width);
	if (!text)
		return 0; /* the next one will do */
	if (width > 0)
		draw(text, rows);
	else
		printf("%s\n", text);
	free(text);
	return fflush(stdout);
}

static int show_sentence(const char *sentence)
{
	if (status_show_width(NULL) > 0)
		printf("\033[H%s\033[K\033[J", sentence);
	else
		printf("%s\n\n", sentence);
	return fflush(stdout);
}

/* ---- the terminal ---- */

struct screen {
	bool keys; /* standard input is a terminal: it tells of each key */
	struct termios before;
	sigset_t open; /* for waiting: no signal of ours is blocked */
};

/* A background job's question about the terminal stops it, and so would its look at the keys. */
static bool is_in_foreground(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO); /* -1: it is not the one that decides that */
	return group <= 0 || group == getpgrp();
}

static bool take_keys(struct termios *before)
{
	if (tcgetattr(STDIN_FILENO, before) != 0)
		return false;
	struct termios raw = *before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* nobody would put the screen back */
	while (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) {
		if (errno != EINTR || over)
			return false;
	}
	return true;
}

static void enter(struct screen *screen)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t ours;

	sigemptyset(&ours);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaction(numbers[i], &action, NULL);
		sigaddset(&ours, numbers[i]);
	}
	/* In the background this stops until the foreground or a signal comes, so none is blocked.
	 */
	screen->keys = status_show_width(NULL) > 0 && take_keys(&screen->before);
	sigprocmask(SIG_BLOCK, &ours, &screen->open);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigdelset(&screen->open, numbers[i]);
	if (status_show_width(NULL) > 0 && !over)
		fputs(ENTER, stdout);
}

static void leave(const struct screen *screen)
{
	if (screen->keys && is_in_foreground())
		tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
	if (status_show_width(NULL) > 0)
		fputs(LEAVE, stdout);
	fflush(stdout);
}

static void take_key(void)
{
	char key;
	ssize_t got = read(STDIN_FILENO, &key, 1);
	if (got == 1 && (key == 'q' || key == 'Q'))
		over = 1;
	else if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
		over = 1; /* the terminal is gone */
}

/* Until that time, or until there is something to do before it. */
static void wait_until(struct screen *screen, uint64_t due)
{
	struct pollfd input = {.events = POLLIN};
	for (uint64_t now; !over && !resized && (now = monotonic_ms()) < due;) {
		struct timespec left = {.tv_sec = (time_t)((due - now) / 1000),
					.tv_nsec = (long)((due - now) % 1000 * 1000000)};
		input.fd = screen->keys && is_in_foreground() ? STDIN_FILENO : -1;
		if (ppoll(&input, 1, &left, &screen->open) == 1 && is_in_foreground())
			take_key();
	}
}

/* ---- all of it ---- */

static int watch(const struct status_show *show, struct screen *screen, struct look *now)
{
	struct look before = {0};
	struct why why;
	bool is_there = true, has_before = false;
	int result = 0;

	for (;;) {
		result = is_there ? show_one(show, now, has_before ? &before : NULL)
				  : show_sentence(why.text);
		if (result != 0)
			break;
		wait_until(screen, now->at + EACH_MS);
		if (over)
			break;
		if (resized) { /* the same once more, at its new width */
			resized = 0;
			continue;
		}
		if (has_before)
			forget(&before);
		before = *now;
		has_before = is_there;
		is_there = look_now(show, now, &why) == 0;
	}
	if (has_before)
		forget(&before);
	return result;
}

int status_watch_run(const struct status_show *show, struct why *why)
{
	struct screen screen = {0};
	struct look now;

	if (look_now(show, &now, why) != 0)
		return -1;
	enter(&screen);
	int result = over ? 0 : watch(show, &screen, &now), reason = errno;
	leave(&screen);
	forget(&now);
	return result == 0 ? 0 : why_set(why, "standard output: %s", strerror(reason));
}
