/*
 * One look-up, then one address after another. A single timer serves the deadline of the address at
 * hand, and gets failures that are known at once out of the caller's way.
 */
#include "control/control_dial.h"

#include "host/log.h"
#include "host/monotonic.h"
#include "host/names.h"
#include "host/why.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct control_dial {
	struct control_dial_config config;
	const struct pair_endpoint *endpoint;
	control_dial_done *done;
	void *arg;
	struct names_query *query;
	uint32_t addresses[NAMES_ADDRESSES_MAX];
	size_t count, next;
	int fd;
	struct event connected, timer;
	struct why why;	 /* of the last failure */
	char label[700]; /* copied */
};

static void forget_socket(struct control_dial *dial)
{
	if (dial->fd < 0)
		return;
	event_del(&dial->connected);
	close(dial->fd);
	dial->fd = -1;
}

void control_dial_cancel(struct control_dial *dial)
{
	if (!dial)
		return;
	names_cancel(dial->query);
	forget_socket(dial);
	event_del(&dial->timer);
	free(dial);
}

static void succeed(struct control_dial *dial)
{
	control_dial_done *done = dial->done;
	void *arg = dial->arg;
	struct control_socket server = {
	    .fd = dial->fd,
	    .peer = {dial->addresses[dial->next - 1], dial->endpoint->port},
	};
	event_del(&dial->connected);
	dial->fd = -1;
	control_dial_cancel(dial);
	done(arg, &server, NULL);
}

static void fail(struct control_dial *dial)
{
	control_dial_done *done = dial->done;
	void *arg = dial->arg;
	struct why why = dial->why;

	control_dial_cancel(dial);
	done(arg, NULL, why.text);
}

static void set_timer(struct control_dial *dial, unsigned seconds)
{
	struct timeval after = {.tv_sec = seconds};
	event_add(&dial->timer, &after);
}

static void say_why(struct control_dial *dial, uint32_t addr, const char *reason)
{
	char text[INET_ADDRSTRLEN];
	inet_ntop(AF_INET, &(struct in_addr){htonl(addr)}, text, sizeof(text));
	why_set(&dial->why, "%s:%u: %s", text, dial->endpoint->port, reason);
}

static void on_connected(evutil_socket_t fd, short what, void *arg);

/* 0: under way. */
static int dial_address(struct control_dial *dial, uint32_t addr)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET,
	    .sin_port = htons(dial->endpoint->port),
	    .sin_addr.s_addr = htonl(addr),
	};
	if (dial->config.forbidden(dial->config.forbidden_arg, addr, dial->endpoint->port)) {
		say_why(dial, addr, "that would come back to this pair");
		return -1;
	}
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		say_why(dial, addr, strerror(errno));
		return -1;
	}
	control_leg_tune(fd, dial->config.keepalive_s);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS) {
		say_why(dial, addr, strerror(errno));
		close(fd);
		return -1;
	}
	if (event_assign(&dial->connected, dial->config.base, fd, EV_READ | EV_WRITE, on_connected,
			 dial) != 0 ||
	    event_add(&dial->connected, NULL) != 0) {
		say_why(dial, addr, "no memory");
		close(fd);
		return -1;
	}
	dial->fd = fd;
	set_timer(dial, dial->config.connect_timeout_s);
	return 0;
}

static void dial_next(struct control_dial *dial)
{
	while (dial->next < dial->count) {
		if (dial_address(dial, dial->addresses[dial->next++]) == 0)
			return;
	}
	fail(dial);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct control_dial *dial = arg;
	int error = 0;
	socklen_t length = sizeof(error);

	/* An error makes it readable, too. */
	if (what & EV_READ)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error != 0) {
		say_why(dial, dial->addresses[dial->next - 1], strerror(error));
		forget_socket(dial);
		dial_next(dial);
		return;
	}
	succeed(dial);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct control_dial *dial = arg;
	(void)fd;
	(void)what;
	if (dial->fd >= 0) {
		char reason[48];
		snprintf(reason, sizeof(reason), "no answer in %u s",
			 dial->config.connect_timeout_s);
		say_why(dial, dial->addresses[dial->next - 1], reason);
		forget_socket(dial);
	}
	dial_next(dial);
}

static void on_names(void *arg, const uint32_t *addresses, size_t count, const char *failure)
{
	struct control_dial *dial = arg;
	dial->query = NULL;
	if (count == 0)
		why_set(&dial->why, "%s: %s", dial->endpoint->word, failure);
	else if (failure && log_limit_allows(dial->config.lines, monotonic_ms()))
		log_info("%s: peer '%s': %s; its last good answer serves", dial->label,
			 dial->endpoint->word, failure);
	for (size_t i = 0; i < count; i++) {
		if (pair_addr_is_hosts(addresses[i]))
			dial->addresses[dial->count++] = addresses[i];
		else
			say_why(dial, addresses[i], "that is not the address of one host");
	}
	dial_next(dial);
}

struct control_dial *control_dial_start(const struct control_dial_config *config,
					const struct pair_endpoint *endpoint,
					control_dial_done *done, void *arg)
{
	struct control_dial *dial = calloc(1, sizeof(*dial));
	if (!dial)
		return NULL;
	dial->config = *config;
	snprintf(dial->label, sizeof(dial->label), "%s", config->label);
	dial->endpoint = endpoint;
	dial->done = done;
	dial->arg = arg;
	dial->fd = -1;
	evtimer_assign(&dial->timer, config->base, on_timer, dial);
	if (endpoint->numeric) {
		dial->addresses[0] = endpoint->addr;
		dial->count = 1;
		if (dial_address(dial, dial->addresses[dial->next++]) != 0)
			set_timer(dial, 0);
	} else {
		dial->query = names_resolve(config->names, endpoint->word, on_names, dial);
		if (!dial->query) {
			free(dial);
			return NULL;
		}
	}
	return dial;
}
