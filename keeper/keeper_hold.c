#include "keeper/keeper_hold.h"

#include "control/control_listen.h"
#include "host/instance.h"
#include "host/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Left free, so that the next worker can be started however many legs the last one had kept. */
enum { DESCRIPTORS_FREE = 16 };

struct listener {
	uint32_t addr;
	uint16_t port;
	int fd;
	char *name; /* as the user has it; NULL: not known */
};

struct legs {
	int fds[2]; /* -1: none */
};

struct keeper_hold {
	char *control;
	int instance, kept;
	struct gre_socket raw;
	struct listener *listeners;
	size_t listener_count;
	struct legs *legs; /* by index */
	size_t legs_room, legs_count;
};

static void inherit(int fd)
{
	fcntl(fd, F_SETFD, 0);
}

/* ---- legs ---- */

static void close_legs(struct legs *legs)
{
	for (int side = 0; side < 2; side++) {
		if (legs->fds[side] >= 0)
			close(legs->fds[side]);
		legs->fds[side] = -1;
	}
}

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

/* To close anything else might take long, or its octets might be ours. */
static bool is_leg(int fd)
{
	return socket_option(fd, SO_DOMAIN) == AF_INET && socket_option(fd, SO_TYPE) == SOCK_STREAM;
}

/* The system hands out the lowest number that is free. */
static bool leaves_some_free(int fd)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	       (rlim_t)fd + DESCRIPTORS_FREE < limit.rlim_cur;
}

static bool make_room(struct keeper_hold *hold, uint32_t index)
{
	size_t room = hold->legs_room ? hold->legs_room : 64;
	if (index < hold->legs_room)
		return true;
	while (room <= index)
		room *= 2;
	struct legs *legs = reallocarray(hold->legs, room, sizeof(*legs));
	if (!legs)
		return false;
	for (size_t i = hold->legs_room; i < room; i++)
		legs[i] = (struct legs){{-1, -1}};
	hold->legs = legs;
	hold->legs_room = room;
	return true;
}

static bool put_legs(struct keeper_hold *hold, uint32_t index, struct legs legs)
{
	if (index >= KEEPER_HOLD_LEGS_MAX || !make_room(hold, index)) {
		close_legs(&legs);
		return false;
	}
	keeper_hold_release(hold, index);
	hold->legs[index] = legs;
	hold->legs_count++;
	return true;
}

bool keeper_hold_keep(struct keeper_hold *hold, uint32_t index, const int fds[2])
{
	struct legs legs = {{fds[0], fds[1]}};
	for (int side = 0; side < 2; side++) {
		if (!is_leg(fds[side]) || !leaves_some_free(fds[side])) {
			close_legs(&legs);
			return false;
		}
	}
	return put_legs(hold, index, legs);
}

void keeper_hold_release(struct keeper_hold *hold, uint32_t index)
{
	if (index >= hold->legs_room || hold->legs[index].fds[0] < 0)
		return;
	close_legs(&hold->legs[index]);
	hold->legs_count--;
}

size_t keeper_hold_legs(const struct keeper_hold *hold)
{
	return hold->legs_count;
}

/* ---- listeners ---- */

static struct listener *find_listener(const struct keeper_hold *hold, uint32_t addr, uint16_t port)
{
	for (size_t i = 0; i < hold->listener_count; i++) {
		struct listener *listener = &hold->listeners[i];
		if (listener->addr == addr && listener->port == port)
			return listener;
	}
	return NULL;
}

/* Without memory it keeps the name that it has. */
static void name_listener(struct listener *listener, const char *name)
{
	char *copy = name ? strdup(name) : NULL;
	if (!copy)
		return;
	free(listener->name);
	listener->name = copy;
}

static int add_listener(struct keeper_hold *hold, uint32_t addr, uint16_t port, int fd,
			const char *name)
{
	struct listener *listeners =
	    reallocarray(hold->listeners, hold->listener_count + 1, sizeof(*listeners));
	if (!listeners)
		return -1;
	hold->listeners = listeners;
	struct listener *added = &listeners[hold->listener_count++];
	*added = (struct listener){.addr = addr, .port = port, .fd = fd};
	name_listener(added, name);
	return 0;
}

bool keeper_hold_listens(const struct keeper_hold *hold, uint32_t addr, uint16_t port)
{
	return find_listener(hold, addr, port) != NULL;
}

size_t keeper_hold_listeners(const struct keeper_hold *hold)
{
	return hold->listener_count;
}

/* Which one another at this address cannot be bound beside. */
static const struct listener *find_in_the_way(const struct keeper_hold *hold, uint32_t addr,
					      uint16_t port)
{
	for (size_t i = 0; i < hold->listener_count; i++) {
		const struct listener *listener = &hold->listeners[i];
		if (listener->port == port && (listener->addr == INADDR_ANY || addr == INADDR_ANY))
			return listener;
	}
	return NULL;
}

int keeper_hold_listen(struct keeper_hold *hold, uint32_t addr, uint16_t port, const char *name,
		       struct why *why)
{
	struct listener *there = find_listener(hold, addr, port);
	if (there) {
		name_listener(there, name);
		return there->fd;
	}
	if (find_in_the_way(hold, addr, port))
		return why_set(why,
			       "listen on %.300s: the configuration so far listens on this port at "
			       "%s: it needs a new start",
			       name, addr == INADDR_ANY ? "one address" : "all addresses");
	int fd = control_listen_bind(addr, port, name, why);
	if (fd < 0)
		return -1;
	inherit(fd);
	if (add_listener(hold, addr, port, fd, name) != 0) {
		close(fd);
		return why_set(why, "listen on %.300s: no memory", name);
	}
	return fd;
}

void keeper_hold_unlisten(struct keeper_hold *hold, uint32_t addr, uint16_t port)
{
	struct listener *listener = find_listener(hold, addr, port);
	if (!listener)
		return;
	close(listener->fd);
	free(listener->name);
	*listener = hold->listeners[--hold->listener_count];
}

/* ---- letters ---- */

int keeper_hold_tell(const struct keeper_hold *hold, struct letter *letter, struct why *why)
{
	letter->instance = hold->instance;
	letter->kept = hold->kept;
	letter->raw_receive = hold->raw.receive_fd;
	letter->raw_send = hold->raw.send_fd;
	letter->listeners = calloc(hold->listener_count + 1, sizeof(*letter->listeners));
	letter->legs = calloc(hold->legs_count + 1, sizeof(*letter->legs));
	if (!letter->listeners || !letter->legs)
		return why_set(why, "a new process cannot be told what to do: no memory");
	for (size_t i = 0; i < hold->listener_count; i++) {
		const struct listener *listener = &hold->listeners[i];
		letter->listeners[letter->listener_count++] =
		    (struct letter_listener){listener->addr, listener->port, listener->fd,
					     listener->name ? strdup(listener->name) : NULL};
	}
	for (uint32_t i = 0; i < hold->legs_room; i++) {
		const int *fds = hold->legs[i].fds;
		if (fds[0] >= 0)
			letter->legs[letter->legs_count++] =
			    (struct letter_legs){i, {fds[0], fds[1]}};
	}
	return 0;
}

/* All that can fail, so that a hold that cannot be had has taken over nothing. */
static int make_room_for(struct keeper_hold *hold, const struct letter *letter, struct why *why)
{
	hold->listeners = calloc(letter->listener_count + 1, sizeof(*hold->listeners));
	if (!hold->listeners)
		return why_set(why, "listeners: no memory");
	for (size_t i = 0; i < letter->legs_count; i++) {
		uint32_t index = letter->legs[i].index;
		if (index < KEEPER_HOLD_LEGS_MAX && !make_room(hold, index))
			return why_set(why, "connections: no memory");
	}
	return 0;
}

static int adopt(struct keeper_hold *hold, const struct letter *letter, struct why *why)
{
	if (make_room_for(hold, letter, why) != 0)
		return -1;
	hold->instance = letter->instance;
	hold->kept = letter->kept;
	hold->raw = (struct gre_socket){
	    .receive_fd = letter->raw_receive,
	    .send_fd = letter->raw_send,
	};
	for (size_t i = 0; i < letter->legs_count; i++) {
		const struct letter_legs *legs = &letter->legs[i];
		put_legs(hold, legs->index, (struct legs){{legs->fds[0], legs->fds[1]}});
	}
	for (size_t i = 0; i < letter->listener_count; i++) {
		const struct letter_listener *listener = &letter->listeners[i];
		struct listener *added = &hold->listeners[hold->listener_count++];
		*added = (struct listener){
		    .addr = listener->addr, .port = listener->port, .fd = listener->fd};
		name_listener(added, listener->name);
	}
	return 0;
}

/* ---- birth and death ---- */

static struct keeper_hold *new_hold(const char *control, struct why *why)
{
	struct keeper_hold *hold = calloc(1, sizeof(*hold));
	if (!hold) {
		why_set(why, "keeper: no memory");
		return NULL;
	}
	hold->instance = hold->kept = -1;
	hold->raw = GRE_SOCKET_NONE;
	hold->control = strdup(control);
	if (hold->control)
		return hold;
	why_set(why, "keeper: no memory");
	keeper_hold_close(hold);
	return NULL;
}

static int open_all(struct keeper_hold *hold, struct why *why)
{
	hold->instance = instance_open(hold->control, why);
	if (hold->instance < 0)
		return -1;
	hold->kept = kept_create(why);
	/* Before the first connection, so that the system never answers GRE with ICMP. */
	if (hold->kept < 0 || gre_socket_open(&hold->raw, why) != 0)
		return -1;
	inherit(hold->instance);
	inherit(hold->kept);
	inherit(hold->raw.receive_fd);
	inherit(hold->raw.send_fd);
	return 0;
}

struct keeper_hold *keeper_hold_open(const char *control, struct why *why)
{
	struct keeper_hold *hold = new_hold(control, why);
	if (hold && open_all(hold, why) != 0) {
		keeper_hold_close(hold);
		return NULL;
	}
	return hold;
}

struct keeper_hold *keeper_hold_adopt(const char *control, const struct letter *letter,
				      struct why *why)
{
	struct keeper_hold *hold = new_hold(control, why);
	if (hold && adopt(hold, letter, why) != 0) {
		keeper_hold_close(hold);
		return NULL;
	}
	return hold;
}

void keeper_hold_close(struct keeper_hold *hold)
{
	if (!hold)
		return;
	for (size_t i = 0; i < hold->legs_room; i++)
		close_legs(&hold->legs[i]);
	for (size_t i = 0; i < hold->listener_count; i++) {
		close(hold->listeners[i].fd);
		free(hold->listeners[i].name);
	}
	free(hold->legs);
	free(hold->listeners);
	gre_socket_close(&hold->raw);
	if (hold->kept >= 0)
		close(hold->kept);
	if (hold->control)
		instance_close(hold->instance, hold->control);
	free(hold->control);
	free(hold);
}
