#include "worker/worker_listen.h"

#include "pair.h"
#include "worker/worker_wishes.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct worker_listening {
	uint32_t addr;
	uint16_t port;
	int fd;
	char name[PAIR_TEXT_MAX]; /* "": not known */
};

/* ---- the list ---- */

static struct worker_listening *find(const struct worker_listen *listen, uint32_t addr,
				     uint16_t port)
{
	for (size_t i = 0; i < listen->count; i++) {
		struct worker_listening *listening = &listen->sockets[i];
		if (listening->addr == addr && listening->port == port)
			return listening;
	}
	return NULL;
}

static void set_name(struct worker_listening *listening, const char *name)
{
	snprintf(listening->name, sizeof(listening->name), "%s", name ? name : "");
}

static int add(struct worker_listen *listen, uint32_t addr, uint16_t port, int fd, const char *name)
{
	struct worker_listening *listening =
	    reallocarray(listen->sockets, listen->count + 1, sizeof(*listening));
	if (!listening)
		return -1;
	listen->sockets = listening;
	listening += listen->count++;
	*listening = (struct worker_listening){.addr = addr, .port = port, .fd = fd};
	set_name(listening, name);
	return 0;
}

bool worker_listen_address(const struct worker_listen *listen, const char *name, uint32_t *addr)
{
	for (size_t i = 0; i < listen->count; i++) {
		if (strcmp(listen->sockets[i].name, name) != 0)
			continue;
		*addr = listen->sockets[i].addr;
		return true;
	}
	return false;
}

/* ---- birth and death ---- */

int worker_listen_open(struct worker_listen *listen, const struct letter *letter,
		       struct worker_wishes *wishes, struct why *why)
{
	listen->wishes = wishes;
	for (size_t i = 0; i < letter->listener_count; i++) {
		const struct letter_listener *listener = &letter->listeners[i];
		if (add(listen, listener->addr, listener->port, listener->fd, listener->name) != 0)
			return why_set(why, "worker: no memory");
	}
	return 0;
}

void worker_listen_free(struct worker_listen *listen)
{
	free(listen->sockets);
	*listen = (struct worker_listen){.sockets = NULL};
}

/* ---- the keeper's part ---- */

int worker_listen_get(struct worker_listen *listen, uint32_t addr, uint16_t port, const char *name,
		      struct why *why)
{
	struct link_message wish = {.type = LINK_LISTEN, .addr = addr, .port = port}, answer;
	struct worker_listening *there = find(listen, addr, port);
	if (there && strcmp(there->name, name) == 0)
		return there->fd;
	snprintf(wish.text, sizeof(wish.text), "%s", name);
	if (worker_wishes_ask(listen->wishes, &wish, &answer, why) != 0)
		return -1;
	if (answer.fd_count == 0)
		return why_set(why, "%s", answer.text);
	int fd = answer.fds[0];
	if (there) { /* the keeper had to hear of its new name only */
		set_name(there, name);
		close(fd);
		return there->fd;
	}
	if (add(listen, addr, port, fd, name) == 0)
		return fd;
	close(fd);
	return why_set(why, "listen on %s: no memory", name);
}

static void unlisten(struct worker_listen *listen, struct worker_listening *listening)
{
	struct link_message message = {
	    .type = LINK_UNLISTEN, .addr = listening->addr, .port = listening->port};
	close(listening->fd);
	*listening = listen->sockets[--listen->count];
	worker_wishes_say(listen->wishes, &message);
}

void worker_listen_drop(struct worker_listen *listen,
			bool (*is_used)(void *arg, uint32_t addr, uint16_t port), void *arg)
{
	/* The event base takes a descriptor out in its next turn only, and while the keeper has a
	 * duplicate nobody else does. */
	if (event_base_loopexit(listen->wishes->base, NULL) != 0)
		return; /* no memory: they stay until the next change */
	event_base_dispatch(listen->wishes->base);
	for (size_t i = listen->count; i-- > 0;) {
		struct worker_listening *listening = &listen->sockets[i];
		if (!is_used(arg, listening->addr, listening->port))
			unlisten(listen, listening);
	}
}
