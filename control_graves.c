/*
 * A timer of no time fires behind the loop's next look at its descriptors.
 */
#include "control_graves.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <unistd.h>

struct control_graves {
	struct event turn;
	int *fds;
	size_t count, room;
};

static void empty(evutil_socket_t none, short what, void *arg)
{
	struct control_graves *graves = arg;
	(void)none;
	(void)what;
	while (graves->count > 0)
		close(graves->fds[--graves->count]);
}

struct control_graves *control_graves_new(struct event_base *base)
{
	struct control_graves *graves = calloc(1, sizeof(*graves));
	if (graves)
		evtimer_assign(&graves->turn, base, empty, graves);
	return graves;
}

void control_graves_free(struct control_graves *graves)
{
	if (!graves)
		return;
	event_del(&graves->turn);
	empty(-1, 0, graves);
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
	struct timeval at_once = {0};
	if (graves->count == graves->room && dig(graves) != 0) {
		close(fd);
		return;
	}
	if (graves->count == 0)
		event_add(&graves->turn, &at_once);
	graves->fds[graves->count++] = fd;
}
