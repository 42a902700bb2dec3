/*
 * Nothing is sent but questions for names: a UDP socket that is connected tells the route without a
 * packet, and a TCP socket that is bound but does not listen takes nobody in.
 */
#include "doctor/doctor_net.h"

#include "control/control_listen.h"
#include "doctor/doctor_addr.h"
#include "doctor/doctor_sockets.h"

#include <errno.h>
#include <event2/event.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Octets that a call's packet has before PPP's: IP, enhanced GRE, PPP with encryption. */
enum { OVERHEAD = 20 + 16 + 4, MTU_USUAL = 1500 };

/* ---- names ---- */

struct question {
	struct doctor_pair *pair;
	bool of_peer;
	struct asking *asking;
};

struct asking {
	struct event_base *base;
	struct doctor_report *report;
	struct names *names;
	size_t waits;
	bool complete; /* every question could be asked */
};

static void tell_unresolved(struct doctor_report *report, const struct question *question,
			    const char *failure)
{
	const struct pair *pair = question->pair->pair;
	const char *word = question->of_peer ? pair->peer.word : pair->listen.word;
	if (question->of_peer) {
		doctor_report_error(report, "peer '%s' does not resolve: %s", word, failure);
		doctor_report_why(report,
				  "it is asked for with each connection; until it has an address "
				  "clients' connections are closed");
	} else {
		doctor_report_error(report, "listen address '%s' does not resolve: %s", word,
				    failure);
		doctor_report_why(report, "without it the program does not start");
	}
	doctor_report_mend(report, "getent ahostsv4 %s", word);
}

static void on_name(void *arg, const uint32_t *addresses, size_t count, const char *failure)
{
	struct question *question = arg;
	struct doctor_report *report = question->asking->report;
	struct doctor_pair *pair = question->pair;

	if (--question->asking->waits == 0)
		event_base_loopexit(question->asking->base, NULL);
	if (count == 0) {
		tell_unresolved(report, question, failure);
	} else if (question->of_peer) {
		char first[DOCTOR_ADDR_TEXT];
		for (; pair->way_count < count; pair->way_count++)
			pair->ways[pair->way_count].addr = addresses[pair->way_count];
		doctor_report_ok(report, "%s is %s%s", pair->pair->peer.word,
				 doctor_addr_text(addresses[0], first),
				 count > 1 ? " and others" : "");
	} else {
		pair->listens = true;
		pair->listen_addr = addresses[0];
	}
}

static bool ask(struct asking *asking, struct question *question)
{
	const struct pair *pair = question->pair->pair;
	const struct pair_endpoint *end = question->of_peer ? &pair->peer : &pair->listen;
	question->asking = asking;
	if (end->numeric)
		return true;
	if (!names_resolve(asking->names, end->word, on_name, question))
		return false;
	asking->waits++;
	return true;
}

/* Names are asked for all at once: they may take seconds each. */
static bool ask_all(struct asking *asking, struct doctor_pair *pairs, size_t count)
{
	struct question *questions = calloc(2 * count, sizeof(*questions));
	bool complete = questions != NULL;
	for (size_t i = 0; complete && i < 2 * count; i++) {
		questions[i].pair = &pairs[i / 2];
		questions[i].of_peer = i % 2 == 1;
		complete = ask(asking, &questions[i]);
	}
	if (asking->waits > 0)
		event_base_dispatch(asking->base);
	names_free(asking->names); /* cancels what is left, before its memory goes */
	asking->names = NULL;
	free(questions);
	return complete;
}

static void tell_unasked(struct doctor_report *report)
{
	doctor_report_error(report, "names cannot be asked for: no memory");
	doctor_report_why(report, "without their addresses it does not start");
	doctor_report_mend(report, "free -h");
}

static void resolve(struct doctor_report *report, struct doctor_pair *pairs, size_t count)
{
	struct why why;
	struct asking asking = {.base = event_base_new(), .report = report};
	bool complete = false;

	asking.names = asking.base ? names_new(asking.base, &why) : NULL;
	if (asking.names)
		complete = ask_all(&asking, pairs, count);
	if (!complete)
		tell_unasked(report);
	if (asking.base)
		event_base_free(asking.base);
}

static bool has_names(const struct options *options)
{
	for (size_t i = 0; i < options->pair_count; i++) {
		if (!options->pairs[i].listen.numeric || !options->pairs[i].peer.numeric)
			return true;
	}
	return false;
}

static void take_numeric(struct doctor_pair *pair, const struct pair *words)
{
	pair->pair = words;
	pair->listens = words->listen.numeric;
	pair->listen_addr = words->listen.addr;
	if (words->peer.numeric) {
		pair->ways[0].addr = words->peer.addr;
		pair->way_count = 1;
	}
}

struct doctor_pair *doctor_net_resolve(struct doctor_report *report, const struct options *options)
{
	struct doctor_pair *pairs = calloc(options->pair_count + 1, sizeof(*pairs));
	doctor_report_section(report, "Names");
	if (!pairs || options->pair_count == 0) {
		free(pairs);
		return NULL;
	}
	for (size_t i = 0; i < options->pair_count; i++)
		take_numeric(&pairs[i], &options->pairs[i]);
	if (has_names(options))
		resolve(report, pairs, options->pair_count);
	return pairs;
}

/* ---- ports ---- */

static int try_port(uint32_t addr, uint16_t port)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr)};
	int on = 1, error = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
		error = errno;
	close(fd);
	return error;
}

struct place {
	char name[PAIR_TEXT_MAX + 16]; /* as in findings */
	uint32_t addr;
	uint16_t port;
};

static void tell_taken(struct doctor_report *report, const struct place *place, pid_t instance)
{
	unsigned long inodes[DOCTOR_SOCKETS_MAX];
	char command[DOCTOR_SOCKETS_NAME];
	size_t count = doctor_sockets_listening(place->addr, place->port, inodes);

	for (size_t i = 0; i < count; i++) {
		pid_t owner = doctor_sockets_owner(inodes[i], command);
		if (instance != 0 && (owner == 0 || doctor_sockets_has(instance, inodes[i]))) {
			doctor_report_ok(report, "%s: taken by the running instance (pid %ld)",
					 place->name, (long)instance);
			return;
		}
		if (owner == 0)
			continue;
		doctor_report_error(report, "%s: taken by %s (pid %ld)", place->name, command,
				    (long)owner);
		doctor_report_why(report, "two programs cannot listen there: it does not start");
		doctor_report_mend(report, "kill %ld", (long)owner);
		return;
	}
	doctor_report_error(report, "%s: taken by another program", place->name);
	doctor_report_why(report, "two programs cannot listen there: it does not start");
	doctor_report_mend(report, "ss -ltnp sport = :%u", place->port);
}

static void look_at_place(struct doctor_report *report, const struct place *place, pid_t instance)
{
	char addr[DOCTOR_ADDR_TEXT];
	int error = try_port(place->addr, place->port);

	if (error == 0) {
		doctor_report_ok(report, "%s: free", place->name);
	} else if (error == EADDRINUSE) {
		tell_taken(report, place, instance);
	} else if (error == EADDRNOTAVAIL) {
		doctor_report_error(report, "%s: no address of this host", place->name);
		doctor_report_why(report, "nobody can reach it here: it does not start");
		doctor_report_mend(report, "ip address add %s/32 dev lo",
				   doctor_addr_text(place->addr, addr));
	} else if (error == EACCES) {
		doctor_report_error(report, "%s: ports below 1024 are not for this user",
				    place->name);
		doctor_report_why(report, "it does not start");
		doctor_report_mend(report, "sudo pptpproxy --doctor");
	} else {
		doctor_report_error(report, "%s: cannot be bound: %s", place->name,
				    strerror(error));
		doctor_report_why(report, "it does not start");
		doctor_report_mend(report, "journalctl -k -n 20");
	}
}

static void look_at_port(struct doctor_report *report, const struct doctor_pair *pair,
			 pid_t instance)
{
	struct place place = {.addr = pair->listen_addr, .port = pair->pair->listen.port};
	pair_endpoint_text(&pair->pair->listen, place.name);
	look_at_place(report, &place, instance);
}

static void look_at_page(struct doctor_report *report, const struct options *options,
			 pid_t instance)
{
	struct place place = {.addr = options->stats.addr, .port = options->stats.port};
	char text[PAIR_TEXT_MAX];
	if (place.port == 0)
		return;
	snprintf(place.name, sizeof(place.name), "status page, %s",
		 pair_endpoint_text(&options->stats, text));
	look_at_place(report, &place, instance);
}

/* The pair before it that has its place, or NULL. */
static const struct pair *find_conflict(const struct options *options, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (pair_conflict(&options->pairs[i].listen, &options->pairs[at].listen))
			return &options->pairs[i];
	}
	return NULL;
}

void doctor_net_ports(struct doctor_report *report, const struct options *options,
		      const struct doctor_pair *pairs, pid_t instance)
{
	struct why why;
	char name[PAIR_TEXT_MAX], peer[PAIR_TEXT_MAX], other[PAIR_TEXT_MAX];

	doctor_report_section(report, "Ports");
	for (size_t i = 0; pairs && i < options->pair_count; i++) {
		const struct pair *before = find_conflict(options, i);
		pair_endpoint_text(&options->pairs[i].listen, name);
		if (before) {
			doctor_report_warning(
			    report,
			    "pair %s,%s ignored: its listen address conflicts with that of an "
			    "earlier pair, %s",
			    name, pair_endpoint_text(&options->pairs[i].peer, peer),
			    pair_endpoint_text(&before->listen, other));
			doctor_report_why(
			    report,
			    "all its clients are led to that pair's server: it needs an address "
			    "or a port of its own");
			doctor_report_mend(report, "ip -4 -brief address");
		} else if (pairs[i].listens) {
			look_at_port(report, &pairs[i], instance);
		}
	}
	look_at_page(report, options, instance);
	if (control_listen_check(options->pairs, options->pair_count, &why) != 0) {
		doctor_report_error(report, "a circle of pairs: %s", why.text);
		doctor_report_why(report, "it would dial itself, so it does not start");
		doctor_report_mend(report, "ip -4 -brief address");
	}
}

/* ---- routes ---- */

static void find_interface(struct doctor_way *way)
{
	struct ifaddrs *all, *at;
	if (getifaddrs(&all) != 0)
		return;
	for (at = all; at; at = at->ifa_next) {
		const struct sockaddr_in *has = (const void *)at->ifa_addr;
		if (has && has->sin_family == AF_INET &&
		    ntohl(has->sin_addr.s_addr) == way->local_addr)
			/* without an address's label, "eth0:1" */
			snprintf(way->interface, sizeof(way->interface), "%.*s",
				 (int)strcspn(at->ifa_name, ":"), at->ifa_name);
	}
	freeifaddrs(all);
}

/* 0, or an errno. */
static int find_way(struct doctor_way *way, int *mtu)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(PAIR_PORT_DEFAULT),
				 .sin_addr.s_addr = htonl(way->addr)};
	struct sockaddr_in from = {.sin_family = AF_INET};
	socklen_t length = sizeof(from), mtu_length = sizeof(*mtu);
	int error = 0;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*mtu = MTU_USUAL;
	if (fd < 0)
		return errno;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&from, &length) != 0)
		error = errno;
	else
		getsockopt(fd, IPPROTO_IP, IP_MTU, mtu, &mtu_length);
	close(fd);
	way->there = error == 0;
	way->local_addr = ntohl(from.sin_addr.s_addr);
	if (way->there)
		find_interface(way);
	return error;
}

static void look_at_way(struct doctor_report *report, struct doctor_way *way)
{
	char addr[DOCTOR_ADDR_TEXT], local[DOCTOR_ADDR_TEXT];
	int mtu, error = find_way(way, &mtu);

	doctor_addr_text(way->addr, addr);
	doctor_addr_text(way->local_addr, local);
	if (error != 0) {
		doctor_report_error(report, "%s: no route: %s", addr, strerror(error));
		doctor_report_why(report, "neither control connections nor packets reach it");
		doctor_report_mend(report, "ip route get %s", addr);
		return;
	}
	doctor_report_ok(report, "%s: from %s%s%s, MTU %d", addr, local,
			 way->interface[0] ? " by " : "", way->interface, mtu);
	if (mtu < MTU_USUAL) {
		doctor_report_note(report, "%s: MTU %d on the way: larger packets go in fragments",
				   addr, mtu);
		doctor_report_why(report, "fragments cost time, and some firewalls drop them");
		doctor_report_mend(report, "on the server: echo mtu %d >>/etc/ppp/pptpd-options",
				   mtu > 2 * OVERHEAD ? mtu - OVERHEAD : OVERHEAD);
	}
}

/* One with that address before it, or NULL. */
static const struct doctor_way *find_earlier(const struct doctor_pair *pairs, size_t pair,
					     size_t way)
{
	for (size_t i = 0; i <= pair; i++) {
		size_t count = i < pair ? pairs[i].way_count : way;
		for (size_t k = 0; k < count; k++) {
			if (pairs[i].ways[k].addr == pairs[pair].ways[way].addr)
				return &pairs[i].ways[k];
		}
	}
	return NULL;
}

void doctor_net_routes(struct doctor_report *report, struct doctor_pair *pairs, size_t count)
{
	doctor_report_section(report, "Routes");
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < pairs[i].way_count; k++) {
			const struct doctor_way *earlier = find_earlier(pairs, i, k);
			if (earlier)
				pairs[i].ways[k] = *earlier;
			else
				look_at_way(report, &pairs[i].ways[k]);
		}
	}
}
