/*
 * A timer of no time fires behind the loop's next look at its descriptors, with which that takes
 * out those whose events have been deleted by then. But callbacks of that same turn may come before
 * the timer's, and bury more: these are left for the next time.
 */
#include "control/control_graves.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct control_graves {
	struct event turn;
	int *fds;
	size_t count, room;
	size_t due; /* how many of them were buried before the timer was added */
};

static void close_first(struct control_graves *graves, size_t count)
{
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		close(graves->fds[i]);
	graves->count -= count;
	memmove(graves->fds, graves->fds + count, graves->count * sizeof(*graves->fds));
}

static void add_timer(struct control_graves *graves)
{
	struct timeval at_once = {0};
	graves->due = graves->count;
	event_add(&graves->turn, &at_once);
}

static void on_turn(evutil_socket_t none, short what, void *arg)
{
	struct control_graves *graves = arg;
	(void)none;
	(void)what;
	close_first(graves, graves->due);
	if (graves->count > 0)
		add_timer(graves);
}

struct control_graves *control_graves_new(struct event_base *base)
{
	struct control_graves *graves = calloc(1, sizeof(*graves));
	if (graves)
		evtimer_assign(&graves->turn, base, on_turn, graves);
	return graves;
}

void control_graves_free(struct control_graves *graves)
{
	if (!graves)
		return;
	event_del(&graves->turn);
	close_first(graves, graves->count);
	free(graves->fds);
	free(graves);
}

/* 0, or -1: no memory. */
static int dig(struct control_graves *graves)
{
	size_t room = graves->room ? 2 * graves->room : 64;
	int *fds = realloc(graves->fds, room * sizeof(*fds));
	if (!fds)
		return -1;
	graves->fds = fds;
	graves->room = room;
	return 0;
}

void control_graves_bury(struct control_graves *graves, int fd)
{
	if (graves->count == graves->room && dig(graves) != 0) {
		close(fd);
		return;
	}
	graves->fds[graves->count++] = fd;
	if (graves->count == 1)
		add_timer(graves);
}
