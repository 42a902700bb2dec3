/*
 * A pair that dials itself would take descriptors until none is left, and so would a circle of
 * pairs, so both are errors at the start; a name may come to mean us later, so each dial asks
 * again.
 */
#include "control/control_listen.h"

#include "host/log.h"
#include "host/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, KEEPALIVE_UNTIL_KNOWN_S = 60 };

struct listener {
	struct control_listen *all;
	const struct pair *pair;
	struct pair_endpoint listen;		  /* resolved: numeric */
	uint32_t peer_addrs[NAMES_ADDRESSES_MAX]; /* as they were at the start */
	size_t peer_count;
	struct names_query *listen_query, *peer_query;
	struct evconnlistener *event; /* NULL: not bound */
	bool ignored, visited;
};

struct control_listen {
	struct control_listen_config config;
	struct pair *pairs;
	struct listener *listeners;
	size_t count, unresolved;
	bool failed, closed;
	unsigned users; /* of the memory */
	struct why why;
};

/* ---- names ---- */

/* Whoever waits for them runs the event base, which others may keep busy: EVLOOP_ONCE might never
 * end. */
static void one_is_resolved(struct control_listen *all)
{
	if (--all->unresolved == 0 && event_base_loopexit(all->config.base, NULL) != 0)
		event_base_loopbreak(all->config.base); /* no memory for the gentler way */
}

/* Takes the address that an earlier process had. */
static bool recall(struct listener *listener, const char *failure)
{
	const struct control_listen_config *config = &listener->all->config;
	char name[PAIR_TEXT_MAX], addr[INET_ADDRSTRLEN];
	struct in_addr addr_be;

	pair_endpoint_text(&listener->pair->listen, name);
	if (!config->known || !config->known(config->open_socket_arg, name, &listener->listen.addr))
		return false;
	listener->listen.numeric = true;
	addr_be.s_addr = htonl(listener->listen.addr);
	inet_ntop(AF_INET, &addr_be, addr, sizeof(addr));
	log_warning("%s; the address that it had, %s, is used", failure, addr);
	return true;
}

static void on_listen_name(void *arg, const uint32_t *addresses, size_t count, const char *failure)
{
	struct listener *listener = arg;
	struct control_listen *all = listener->all;
	struct why why;

	listener->listen_query = NULL;
	one_is_resolved(all);
	if (count > 1)
		log_warning("listen address '%s' is %zu addresses: the first one is used",
			    listener->listen.word, count);
	if (count > 0) {
		listener->listen.addr = addresses[0];
		listener->listen.numeric = true;
		return;
	}
	why_set(&why, "listen address '%s': %s", listener->listen.word, failure);
	if (recall(listener, why.text) || all->failed)
		return;
	all->failed = true;
	all->why = why;
}

static void on_peer_name(void *arg, const uint32_t *addresses, size_t count, const char *failure)
{
	struct listener *listener = arg;

	listener->peer_query = NULL;
	one_is_resolved(listener->all);
	for (size_t i = 0; i < count; i++) {
		if (pair_addr_is_hosts(addresses[i]))
			listener->peer_addrs[listener->peer_count++] = addresses[i];
	}
	if (count == 0)
		log_warning("peer '%s': %s; it is tried again with each connection",
			    listener->pair->peer.word, failure);
}

static int ask_names(struct listener *listener)
{
	struct names *names = listener->all->config.names;
	if (!listener->listen.numeric) {
		listener->listen_query =
		    names_resolve(names, listener->listen.word, on_listen_name, listener);
		if (!listener->listen_query)
			return -1;
		listener->all->unresolved++;
	}
	if (listener->pair->peer.numeric) {
		listener->peer_addrs[0] = listener->pair->peer.addr;
		listener->peer_count = 1;
		return 0;
	}
	listener->peer_query =
	    names_resolve(names, listener->pair->peer.word, on_peer_name, listener);
	if (!listener->peer_query)
		return -1;
	listener->all->unresolved++;
	return 0;
}

static int resolve(struct control_listen *all, struct why *why)
{
	for (size_t i = 0; i < all->count; i++) {
		if (ask_names(&all->listeners[i]) != 0)
			return why_set(why, "names: no memory");
	}
	while (all->unresolved > 0) {
		if (event_base_dispatch(all->config.base) != 0 ||
		    (all->unresolved > 0 && event_base_got_break(all->config.base)))
			return why_set(why, "ended while it was looking up names");
	}
	if (all->failed)
		*why = all->why;
	return all->failed ? -1 : 0;
}

/* ---- conflicts and circles ---- */

static void ignore_conflicts(struct control_listen *all)
{
	for (size_t i = 1; i < all->count; i++) {
		struct listener *later = &all->listeners[i];
		for (size_t k = 0; k < i && !later->ignored; k++) {
			const struct listener *earlier = &all->listeners[k];
			char text[PAIR_TEXT_MAX], other[PAIR_TEXT_MAX], peer[PAIR_TEXT_MAX];
			if (earlier->ignored || !pair_conflict(&earlier->listen, &later->listen))
				continue;
			later->ignored = true;
			log_warning("pair %s,%s ignored: its listen address conflicts with that of "
				    "an earlier pair, %s",
				    pair_endpoint_text(&later->pair->listen, text),
				    pair_endpoint_text(&later->pair->peer, peer),
				    pair_endpoint_text(&earlier->pair->listen, other));
		}
	}
}

static bool is_local(uint32_t addr)
{
	struct ifaddrs *interfaces, *at;
	bool found = addr >> 24 == IN_LOOPBACKNET;

	if (found || getifaddrs(&interfaces) != 0)
		return found;
	for (at = interfaces; at && !found; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET)
			continue;
		found = ntohl(((const struct sockaddr_in *)(const void *)at->ifa_addr)
				  ->sin_addr.s_addr) == addr;
	}
	freeifaddrs(interfaces);
	return found;
}

static bool arrives(const struct listener *at, uint32_t addr, uint16_t port)
{
	/* Asking the system costs; a port or an address of its own often answers already. */
	return !at->ignored && port == at->listen.port &&
	       pair_arrives(&at->listen, addr, port,
			    at->listen.addr == INADDR_ANY && is_local(addr));
}

static bool dials(const struct listener *from, const struct listener *to)
{
	for (size_t i = 0; i < from->peer_count; i++) {
		if (arrives(to, from->peer_addrs[i], from->pair->peer.port))
			return true;
	}
	return false;
}

/* Whether a dial that starts at `at` can arrive at `goal`. */
static bool leads_to(struct control_listen *all, struct listener *at, const struct listener *goal)
{
	at->visited = true;
	for (size_t i = 0; i < all->count; i++) {
		struct listener *next = &all->listeners[i];
		if (!dials(at, next))
			continue;
		if (next == goal || (!next->visited && leads_to(all, next, goal)))
			return true;
	}
	return false;
}

static void forget_visits(struct control_listen *all)
{
	for (size_t i = 0; i < all->count; i++)
		all->listeners[i].visited = false;
}

static int find_circles(struct control_listen *all, struct why *why)
{
	for (size_t i = 0; i < all->count; i++) {
		struct listener *start = &all->listeners[i];
		char listen[PAIR_TEXT_MAX], peer[PAIR_TEXT_MAX];
		if (start->ignored)
			continue;
		forget_visits(all);
		if (!leads_to(all, start, start))
			continue;
		why_set(why, "pair %s,%s would dial itself%s",
			pair_endpoint_text(&start->pair->listen, listen),
			pair_endpoint_text(&start->pair->peer, peer),
			dials(start, start) ? "" : " by way of other pairs");
		if (!all->config.known)
			return -1;
		log_warning("%s", why->text); /* each dial asks again */
	}
	return 0;
}

bool control_listen_forbidden(void *loop_check, uint32_t addr, uint16_t port)
{
	struct listener *dialling = loop_check;
	struct control_listen *all = dialling->all;

	for (size_t i = 0; i < all->count; i++) {
		struct listener *reached = &all->listeners[i];
		if (!arrives(reached, addr, port))
			continue;
		forget_visits(all);
		return reached == dialling || leads_to(all, reached, dialling);
	}
	return false;
}

/* ---- sockets ---- */

static void on_accept(struct evconnlistener *event, evutil_socket_t fd, struct sockaddr *from,
		      int length, void *arg)
{
	struct listener *listener = arg;
	struct control_listen_config *config = &listener->all->config;
	const struct sockaddr_in *peer = (const void *)from;
	struct control_socket client = {
	    .fd = fd,
	    .peer = {ntohl(peer->sin_addr.s_addr), ntohs(peer->sin_port)},
	};
	(void)event;
	(void)length;
	if (listener->listen.addr != INADDR_ANY)
		client.proxy =
		    (struct control_address){listener->listen.addr, listener->listen.port};
	config->accepted(config->arg, listener->pair, listener, &client);
}

static void on_accept_error(struct evconnlistener *event, void *arg)
{
	struct listener *listener = arg;
	struct control_listen_config *config = &listener->all->config;
	const char *reason = strerror(errno);
	(void)event;
	control_listen_pause(listener->all, true);
	config->exhausted(config->arg, reason);
}

int control_listen_bind(uint32_t addr, uint16_t port, const char *name, struct why *why)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(addr),
	};
	int one = 1;

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return why_set(why, "listen on %s: %s", name, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* What is accepted gets the size of the buffers with it, which must be set before. */
	control_leg_tune(fd, KEEPALIVE_UNTIL_KNOWN_S);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	why_set(why, "listen on %s: %s%s", name, strerror(errno),
		errno == EADDRNOTAVAIL ? " (no address of this host)"
		: errno == EADDRINUSE  ? " (another program has the port)"
		: errno == EACCES      ? " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
				       : "");
	close(fd);
	return -1;
}

static int open_socket(const struct listener *listener, const char *name, struct why *why)
{
	const struct control_listen_config *config = &listener->all->config;
	const struct pair_endpoint *at = &listener->listen;
	return config->open_socket
		   ? config->open_socket(config->open_socket_arg, at->addr, at->port, name, why)
		   : control_listen_bind(at->addr, at->port, name, why);
}

static int start_listener(struct listener *listener, struct why *why)
{
	const struct control_listen_config *config = &listener->all->config;
	unsigned close_too = config->open_socket ? 0 : LEV_OPT_CLOSE_ON_FREE;
	char text[PAIR_TEXT_MAX], peer[PAIR_TEXT_MAX];

	pair_endpoint_text(&listener->pair->listen, text);
	int fd = open_socket(listener, text, why);
	if (fd < 0 && !listener->pair->listen.numeric && recall(listener, why->text))
		fd = open_socket(listener, text, why);
	if (fd < 0)
		return -1;
	control_leg_tune(fd, config->keepalive_s);
	listener->event =
	    evconnlistener_new(config->base, on_accept, listener,
			       LEV_OPT_DISABLED | LEV_OPT_CLOSE_ON_EXEC | close_too, 0, fd);
	if (!listener->event) {
		why_set(why, "listen on %s: %s", text, strerror(errno));
		if (close_too)
			close(fd);
		return -1;
	}
	evconnlistener_set_error_cb(listener->event, on_accept_error);
	log_debug("listening on %s for %s", text, pair_endpoint_text(&listener->pair->peer, peer));
	return 0;
}

bool control_listen_has(const struct control_listen *all, uint32_t addr, uint16_t port)
{
	for (size_t i = 0; i < all->count; i++) {
		const struct listener *listener = &all->listeners[i];
		if (listener->event && listener->listen.addr == addr &&
		    listener->listen.port == port)
			return true;
	}
	return false;
}

bool control_listen_ignores(const struct control_listen *all, uint32_t place)
{
	return place < all->count && all->listeners[place].ignored;
}

size_t control_listen_pairs(const struct control_listen *all)
{
	size_t bound = 0;
	for (size_t i = 0; i < all->count; i++)
		bound += all->listeners[i].event != NULL;
	return bound;
}

void control_listen_addresses(const struct control_listen *all, control_listen_address *told,
			      void *arg)
{
	for (size_t i = 0; i < all->count; i++) {
		const struct listener *listener = &all->listeners[i];
		if (!listener->event)
			continue;
		told(arg, listener->listen.addr, true);
		for (size_t j = 0; j < listener->peer_count; j++)
			told(arg, listener->peer_addrs[j], false);
	}
}

void control_listen_pause(struct control_listen *all, bool paused)
{
	for (size_t i = 0; i < all->count; i++) {
		struct evconnlistener *event = all->listeners[i].event;
		if (event && paused)
			evconnlistener_disable(event);
		else if (event)
			evconnlistener_enable(event);
	}
}

/* ---- birth and death ---- */

static struct control_listen *new_listeners(const struct control_listen_config *config)
{
	struct control_listen *all = calloc(1, sizeof(*all));
	if (!all)
		return NULL;
	all->config = *config;
	all->listeners = calloc(config->pair_count, sizeof(*all->listeners));
	all->pairs = calloc(config->pair_count, sizeof(*all->pairs));
	if (!all->listeners || !all->pairs) {
		control_listen_close(all);
		return NULL;
	}
	all->count = config->pair_count;
	for (size_t i = 0; i < all->count; i++) {
		all->pairs[i] = config->pairs[i];
		all->pairs[i].place = (uint32_t)i;
		all->listeners[i].all = all;
		all->listeners[i].pair = &all->pairs[i];
		all->listeners[i].listen = all->pairs[i].listen;
	}
	return all;
}

struct control_listen *control_listen_open(const struct control_listen_config *config,
					   struct why *why)
{
	struct control_listen *all = new_listeners(config);
	if (!all) {
		why_set(why, "listeners: no memory");
		return NULL;
	}
	if (resolve(all, why) != 0)
		goto failed;
	ignore_conflicts(all);
	if (find_circles(all, why) != 0)
		goto failed;
	for (size_t i = 0; i < all->count; i++) {
		if (!all->listeners[i].ignored && start_listener(&all->listeners[i], why) != 0)
			goto failed;
	}
	return all;
failed:
	control_listen_close(all);
	return NULL;
}

static void free_if_over(struct control_listen *all)
{
	if (!all->closed || all->users > 0)
		return;
	free(all->listeners);
	free(all->pairs);
	free(all);
}

void control_listen_use(void *loop_check, bool used)
{
	struct control_listen *all = ((struct listener *)loop_check)->all;
	all->users += used ? 1 : -1U;
	free_if_over(all);
}

void control_listen_close(struct control_listen *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count; i++) {
		struct listener *listener = &all->listeners[i];
		names_cancel(listener->listen_query);
		names_cancel(listener->peer_query);
		listener->listen_query = listener->peer_query = NULL;
		if (listener->event)
			evconnlistener_free(listener->event);
		listener->event = NULL;
	}
	all->closed = true;
	free_if_over(all);
}

int control_listen_check(const struct pair *pairs, size_t count, struct why *why)
{
	const struct control_listen_config config = {.pairs = pairs, .pair_count = count};
	struct control_listen *all = new_listeners(&config);
	if (!all)
		return why_set(why, "listeners: no memory");
	for (size_t i = 0; i < count; i++) {
		struct listener *listener = &all->listeners[i];
		listener->ignored = !listener->listen.numeric;
		listener->peer_addrs[0] = listener->pair->peer.addr;
		listener->peer_count = listener->pair->peer.numeric ? 1 : 0;
	}
	int result = find_circles(all, why);
	control_listen_close(all);
	return result;
}

void control_listen_warn(const struct pair *pairs, size_t count)
{
	const struct control_listen_config config = {.pairs = pairs, .pair_count = count};
	struct control_listen *all = new_listeners(&config);
	if (all)
		ignore_conflicts(all);
	control_listen_close(all);
}
