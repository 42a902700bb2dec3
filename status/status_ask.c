#include "status/status_ask.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	DEADLINE_S = 10, /* for the request and the reading of its answer */
	AT_ONCE = 16,	 /* callers accepted before others' turn */
	LINE_MAX_OCTETS = 512,
};

struct status_caller {
	LIST_ENTRY(status_caller) in_callers;
	struct status_ask *ask;
	int fd;
	uid_t uid;
	bool owner; /* root, or who started us */
	struct event event, deadline;
	struct evbuffer *answer; /* NULL: not yet */
	void (*gone)(void *arg); /* NULL: nobody makes an answer */
	void *gone_arg;
	char request[STATUS_ASK_REQUEST_MAX];
	size_t length;
};

struct status_ask {
	struct status_ask_config config;
	uid_t starter; /* who has the socket listen */
	struct event event;
	LIST_HEAD(, status_caller) callers;
	size_t count;
};

/* ---- a caller's life ---- */

static void forget(struct status_caller *caller)
{
	if (caller->gone)
		caller->gone(caller->gone_arg);
	event_del(&caller->event);
	event_del(&caller->deadline);
	if (caller->answer)
		evbuffer_free(caller->answer);
	LIST_REMOVE(caller, in_callers);
	caller->ask->count--;
	if (caller->fd >= 0)
		close(caller->fd);
	free(caller);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	forget(arg);
}

/* ---- the answer ---- */

/* The event is there for who has only done with writing, too: he still reads. That he goes later is
 * found out when he is answered, or at his deadline. */
static void on_closed(evutil_socket_t fd, short what, void *arg)
{
	struct status_caller *caller = arg;
	struct pollfd both = {.fd = fd};
	(void)what;
	if (poll(&both, 1, 0) == 1 && both.revents & (POLLHUP | POLLERR))
		forget(caller);
	else
		event_del(&caller->event);
}

/* Where the event cannot be had it is as if he had done with writing. */
void status_ask_wait(struct status_caller *caller, void (*gone)(void *arg), void *arg)
{
	caller->gone = gone;
	caller->gone_arg = arg;
	event_del(&caller->event);
	if (event_assign(&caller->event, caller->ask->config.base, caller->fd,
			 EV_CLOSED | EV_PERSIST, on_closed, caller) == 0)
		event_add(&caller->event, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct status_caller *caller = arg;
	(void)what;
	if (evbuffer_write(caller->answer, fd) < 0 && errno != EAGAIN && errno != EINTR)
		forget(caller);
	else if (evbuffer_get_length(caller->answer) == 0)
		forget(caller);
}

/* What he does not take at once he may read until his deadline. */
static void send_answer(struct status_caller *caller)
{
	event_del(&caller->event);
	if (event_assign(&caller->event, caller->ask->config.base, caller->fd,
			 EV_WRITE | EV_PERSIST, on_writable, caller) != 0 ||
	    event_add(&caller->event, NULL) != 0) {
		forget(caller);
		return;
	}
	on_writable(caller->fd, EV_WRITE, caller);
}

void status_ask_answer(struct status_caller *caller, struct evbuffer *answer)
{
	assert(!caller->answer);
	caller->gone = NULL;
	caller->answer = evbuffer_new();
	if (!caller->answer ||
	    evbuffer_add_printf(caller->answer, STATUS_ASK_OK "%zu\n",
				evbuffer_get_length(answer)) < 0 ||
	    evbuffer_add_buffer(caller->answer, answer) != 0)
		forget(caller);
	else
		send_answer(caller);
}

/* A line fits into a socket that nothing was sent on. */
static void tell(int fd, const char *line)
{
	char text[LINE_MAX_OCTETS];
	int length = snprintf(text, sizeof(text), "%s\n", line);
	if ((size_t)length >= sizeof(text))
		length = sizeof(text) - 1;
	text[length - 1] = '\n';
	if (send(fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		/* He has gone. */
	}
}

void status_ask_refuse(struct status_caller *caller, const char *format, ...)
{
	char line[LINE_MAX_OCTETS];
	va_list values;
	va_start(values, format);
	vsnprintf(line, sizeof(line), format, values);
	va_end(values);
	tell(caller->fd, line);
	caller->gone = NULL;
	forget(caller);
}

int status_ask_take(struct status_caller *caller)
{
	int fd = caller->fd;
	caller->fd = -1;
	forget(caller);
	return fd;
}

/* ---- the request ---- */

static bool is_printable(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return true;
}

/* Splits at blanks. Their number, or more than STATUS_ASK_WORDS_MAX. */
static size_t split(char *line, char *words[static STATUS_ASK_WORDS_MAX])
{
	size_t count = 0;
	char *rest = NULL;
	for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		if (count < STATUS_ASK_WORDS_MAX)
			words[count] = word;
		count++;
	}
	return count;
}

static void handle(struct status_caller *caller, size_t length)
{
	const struct status_ask_config *config = &caller->ask->config;
	const struct status_verb *verb = config->verbs;
	char line[STATUS_ASK_REQUEST_MAX], *words[STATUS_ASK_WORDS_MAX];

	if (!is_printable(caller->request, length)) {
		status_ask_refuse(caller, "bad request: not printable");
		return;
	}
	memcpy(line, caller->request, length);
	line[length] = '\0';
	size_t count = split(line, words);
	if (count == 0 || count > STATUS_ASK_WORDS_MAX) {
		status_ask_refuse(caller, "bad request: %s words", count == 0 ? "no" : "too many");
		return;
	}
	while (verb->name && strcmp(verb->name, words[0]) != 0)
		verb++;
	if (verb->name)
		verb->asked(config->arg, caller, words, count);
	else
		status_ask_refuse(caller, "unknown request '%s'", words[0]);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct status_caller *caller = arg;
	(void)what;
	ssize_t got = recv(fd, caller->request + caller->length,
			   sizeof(caller->request) - caller->length, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		forget(caller);
		return;
	}
	caller->length += (size_t)got;
	const char *end = memchr(caller->request, '\n', caller->length);
	if (end)
		handle(caller, (size_t)(end - caller->request));
	else if (caller->length == sizeof(caller->request))
		status_ask_refuse(caller, "bad request: longer than %d octets",
				  STATUS_ASK_REQUEST_MAX);
}

/* ---- who asks ---- */

static bool is_owner(const struct status_ask *ask, uid_t uid)
{
	return uid == 0 || uid == ask->starter;
}

static bool may_ask(const struct status_ask *ask, int fd, uid_t *uid)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
		return false;
	*uid = who.uid;
	return is_owner(ask, who.uid) || who.uid == geteuid();
}

bool status_ask_is_owner(const struct status_caller *caller)
{
	return caller->owner;
}

uid_t status_ask_uid(const struct status_caller *caller)
{
	return caller->uid;
}

/* -1: no memory. */
static int take_in(struct status_ask *ask, int fd, uid_t uid)
{
	const struct timeval deadline = {.tv_sec = DEADLINE_S};
	struct status_caller *caller = calloc(1, sizeof(*caller));
	if (!caller)
		return -1;
	caller->ask = ask;
	caller->fd = fd;
	caller->uid = uid;
	caller->owner = is_owner(ask, uid);
	LIST_INSERT_HEAD(&ask->callers, caller, in_callers);
	ask->count++;
	event_assign(&caller->event, ask->config.base, fd, EV_READ | EV_PERSIST, on_readable,
		     caller);
	evtimer_assign(&caller->deadline, ask->config.base, on_deadline, caller);
	if (event_add(&caller->event, NULL) != 0 || event_add(&caller->deadline, &deadline) != 0)
		forget(caller);
	return 0;
}

static void greet(struct status_ask *ask, int fd)
{
	uid_t uid;
	if (!may_ask(ask, fd, &uid))
		tell(fd, STATUS_ASK_NOT_ALLOWED);
	else if (ask->count >= STATUS_ASK_CALLERS_MAX)
		tell(fd, "busy: too many ask at once");
	else if (take_in(ask, fd, uid) == 0)
		return;
	close(fd);
}

/* Edge-triggered: without a descriptor to spare callers wait until the next one comes. */
static void on_callers(evutil_socket_t fd, short what, void *arg)
{
	struct status_ask *ask = arg;
	(void)what;
	for (int i = 0; i < AT_ONCE; i++) {
		int caller = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (caller < 0)
			return;
		greet(ask, caller);
	}
	event_active(&ask->event, EV_READ, 0);
}

/* ---- birth and death ---- */

struct status_ask *status_ask_open(const struct status_ask_config *config, struct why *why)
{
	struct status_ask *ask = calloc(1, sizeof(*ask));
	struct ucred starter = {.uid = geteuid()};
	socklen_t size = sizeof(starter);

	if (!ask)
		goto failed;
	/* Of a listening socket it tells who called listen. */
	getsockopt(config->fd, SOL_SOCKET, SO_PEERCRED, &starter, &size);
	ask->config = *config;
	ask->starter = starter.uid;
	LIST_INIT(&ask->callers);
	if (event_assign(&ask->event, config->base, config->fd, EV_READ | EV_ET | EV_PERSIST,
			 on_callers, ask) == 0 &&
	    event_add(&ask->event, NULL) == 0)
		return ask;
failed:
	free(ask);
	why_set(why, "control socket: no memory");
	return NULL;
}

void status_ask_close(struct status_ask *ask)
{
	if (!ask)
		return;
	while (!LIST_EMPTY(&ask->callers))
		forget(LIST_FIRST(&ask->callers));
	event_del(&ask->event);
	free(ask);
}
