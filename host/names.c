/*
 * names: the questions that wait for each name, what the hosts file says, and evdns for the rest.
 *
 * evdns_getaddrinfo would read the hosts file too, but what it has started can only be ended by way
 * of the event loop, so freeing it in any state leaks or calls back into freed memory. Plain
 * requests do not have that trap: evdns_base_free drops those that wait, silently. A reply that is
 * already on its way to its callback even then cannot be called back, though. So what evdns gets as
 * the argument is a number, not a pointer; a number that nobody has given out lately is ignored.
 */
#include "host/names.h"

#include "host/log.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

/* Four tries, a second apart, each with the next name server, and then what is left for a late
 * answer: evdns repeats a question with the same ID, so an answer to an earlier try counts. */
#define TRY_SECONDS "1"
#define TRIES	    "4"
/* Silence; and what evdns makes of "server failure", which it takes for silence. */
#define NO_ANSWER "the name servers give no answer"
static const struct timeval patience = {.tv_sec = 5};

struct names_query {
	TAILQ_ENTRY(names_query) entry;
	struct name *name;
	struct event *answer; /* fires when the answer is due: at once, or when patience ends */
	const char *failure;  /* or NULL */
	names_done *done;
	void *arg;
};

struct name {
	SLIST_ENTRY(name) entry;
	struct names *names;
	uintptr_t request; /* what evdns was asked for it, or 0 */
	TAILQ_HEAD(, names_query) queries;
	uint32_t addresses[NAMES_ADDRESSES_MAX]; /* the last good answer */
	size_t count;
	char word[NAME_WORD_MAX + 1]; /* without a dot at the end */
	bool absolute;		      /* there was one: no search domains */
};

struct host {
	uint32_t addr;
	char word[];
};

struct names {
	LIST_ENTRY(names) entry;
	struct event_base *base;
	struct evdns_base *dns;
	const char *hosts_path, *resolv_path;
	struct host **hosts;
	size_t host_count;
	SLIST_HEAD(, name) list;
};

static LIST_HEAD(, names) alive = LIST_HEAD_INITIALIZER(alive);
static uintptr_t last_request;

/* The hosts file. */

static void hosts_clear(struct names *names)
{
	for (size_t i = 0; i < names->host_count; i++)
		free(names->hosts[i]);
	free(names->hosts);
	names->hosts = NULL;
	names->host_count = 0;
}

static void hosts_add(struct names *names, uint32_t addr, const char *word)
{
	size_t size = strlen(word) + 1;
	struct host *host = malloc(sizeof(*host) + size);
	struct host **hosts =
	    realloc(names->hosts, (names->host_count + 1) * sizeof(*names->hosts));
	if (hosts)
		names->hosts = hosts;
	if (!host || !hosts) {
		free(host);
		return;
	}
	host->addr = addr;
	memcpy(host->word, word, size);
	hosts[names->host_count++] = host;
}

static void hosts_load(struct names *names)
{
	FILE *file = fopen(names->hosts_path, "re");
	char *line = NULL;
	size_t size = 0;
	if (!file)
		return;
	while (getline(&line, &size, file) >= 0) {
		static const char blank[] = " \t\r\n";
		struct in_addr addr_be;
		char *rest = NULL;
		line[strcspn(line, "#")] = '\0';
		char *word = strtok_r(line, blank, &rest);
		if (!word || inet_pton(AF_INET, word, &addr_be) != 1)
			continue;
		while ((word = strtok_r(NULL, blank, &rest)))
			hosts_add(names, ntohl(addr_be.s_addr), word);
	}
	free(line);
	fclose(file);
}

/* Answers. */

static void query_free(struct names_query *query)
{
	TAILQ_REMOVE(&query->name->queries, query, entry);
	if (query->answer)
		event_free(query->answer);
	free(query);
}

static void on_answer_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct names_query *query = arg;
	names_done *done = query->done;
	void *done_arg = query->arg;
	const char *failure = query->failure;

	/* Copied, because done may free the whole resolver. */
	uint32_t addresses[NAMES_ADDRESSES_MAX];
	size_t count = query->name->count;
	memcpy(addresses, query->name->addresses, sizeof(addresses));
	query_free(query);
	done(done_arg, addresses, count, failure);
}

static void finish(struct name *name, const char *failure)
{
	struct names_query *query;
	TAILQ_FOREACH(query, &name->queries, entry)
	{
		query->failure = failure;
		event_active(query->answer, EV_TIMEOUT, 0);
	}
}

static void add_address(struct name *name, uint32_t addr)
{
	for (size_t i = 0; i < name->count; i++)
		if (name->addresses[i] == addr)
			return;
	if (name->count < NAMES_ADDRESSES_MAX)
		name->addresses[name->count++] = addr;
}

static bool answer_from_hosts(struct name *name)
{
	const struct names *names = name->names;
	bool found = false;
	for (size_t i = 0; i < names->host_count; i++) {
		if (strcasecmp(names->hosts[i]->word, name->word) != 0)
			continue;
		if (!found)
			name->count = 0;
		found = true;
		add_address(name, names->hosts[i]->addr);
	}
	return found;
}

static const char *failure_text(int error, int count)
{
	switch (error) {
	case DNS_ERR_NONE:
		return count > 0 ? NULL : "it has no IPv4 address";
	case DNS_ERR_NODATA:
		return "it has no IPv4 address";
	case DNS_ERR_NOTEXIST:
		return "there is no such name";
	case DNS_ERR_TIMEOUT:
		return NO_ANSWER;
	case DNS_ERR_REFUSED:
		return "the name server refuses to answer";
	default:
		return "the name server failed";
	}
}

static struct name *name_by_request(uintptr_t request)
{
	struct names *names;
	struct name *name;
	LIST_FOREACH(names, &alive, entry)
	{
		SLIST_FOREACH(name, &names->list, entry)
		{
			if (name->request == request)
				return name;
		}
	}
	return NULL;
}

static void on_dns_reply(int error, char type, int count, int ttl, void *addresses, void *arg)
{
	(void)ttl;
	struct name *name = name_by_request((uintptr_t)arg);
	if (!name)
		return;
	name->request = 0;

	if (type != DNS_IPv4_A)
		count = 0;
	const char *failure = failure_text(error, count);
	if (!failure) {
		const uint8_t *octets = addresses;
		name->count = 0;
		for (int i = 0; i < count; i++) {
			uint32_t addr_be;
			memcpy(&addr_be, octets + (size_t)i * sizeof(addr_be), sizeof(addr_be));
			add_address(name, ntohl(addr_be));
		}
	}
	finish(name, failure);
}

/* Asks for a name that nobody asks for at the moment. */
static void ask(struct name *name)
{
	struct in_addr addr_be;
	struct names *names = name->names;
	if (inet_pton(AF_INET, name->word, &addr_be) == 1) {
		name->count = 0;
		add_address(name, ntohl(addr_be.s_addr));
		finish(name, NULL);
	} else if (answer_from_hosts(name)) {
		finish(name, NULL);
	} else if (!names->dns || evdns_base_count_nameservers(names->dns) == 0) {
		/* evdns would keep the question until somebody adds a server. */
		finish(name, "no name server is configured");
	} else {
		name->request = ++last_request;
		int flags = name->absolute ? DNS_QUERY_NO_SEARCH : 0;
		if (!evdns_base_resolve_ipv4(names->dns, name->word, flags, on_dns_reply,
					     (void *)name->request)) {
			name->request = 0;
			finish(name, "the question could not be sent");
		}
	}
}

/* Questions. */

static struct name *name_get(struct names *names, const char *word)
{
	struct name *name;
	size_t length = strlen(word);
	bool absolute = length > 0 && word[length - 1] == '.';
	if (absolute)
		length--;
	if (length > NAME_WORD_MAX)
		return NULL;
	SLIST_FOREACH(name, &names->list, entry)
	{
		if (name->absolute == absolute && strlen(name->word) == length &&
		    strncasecmp(name->word, word, length) == 0)
			return name;
	}

	name = calloc(1, sizeof(*name));
	if (!name)
		return NULL;
	name->names = names;
	name->absolute = absolute;
	memcpy(name->word, word, length);
	TAILQ_INIT(&name->queries);
	SLIST_INSERT_HEAD(&names->list, name, entry);
	return name;
}

struct names_query *names_resolve(struct names *names, const char *word, names_done *done,
				  void *arg)
{
	struct name *name = name_get(names, word);
	struct names_query *query = name ? calloc(1, sizeof(*query)) : NULL;
	if (!query)
		return NULL;
	query->name = name;
	query->failure = NO_ANSWER;
	query->done = done;
	query->arg = arg;
	TAILQ_INSERT_TAIL(&name->queries, query, entry);

	query->answer = evtimer_new(names->base, on_answer_due, query);
	if (!query->answer || evtimer_add(query->answer, &patience) < 0) {
		query_free(query);
		return NULL;
	}
	if (name->request == 0)
		ask(name);
	return query;
}

void names_cancel(struct names_query *query)
{
	/* What evdns was asked goes on: its answer is the next one's last good answer. */
	if (query)
		query_free(query);
}

/* Life. */

static void tell_evdns(int is_warning, const char *text)
{
	(void)is_warning;
	log_debug("resolver: %s", text);
}

static void configure(struct names *names)
{
	hosts_clear(names);
	hosts_load(names);
	if (names->dns)
		evdns_base_free(names->dns, 0);
	names->dns = evdns_base_new(names->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!names->dns)
		return;
	evdns_base_resolv_conf_parse(names->dns,
				     DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC |
					 DNS_OPTION_NAMESERVERS_NO_DEFAULT,
				     names->resolv_path);
	evdns_base_set_option(names->dns, "timeout", TRY_SECONDS);
	evdns_base_set_option(names->dns, "attempts", TRIES);
}

struct names *names_new_from(struct event_base *base, const char *hosts, const char *resolv_conf,
			     struct why *why)
{
	struct names *names = calloc(1, sizeof(*names));
	if (!names) {
		why_set(why, "no memory for the resolver");
		return NULL;
	}
	names->base = base;
	names->hosts_path = hosts;
	names->resolv_path = resolv_conf;
	SLIST_INIT(&names->list);
	LIST_INSERT_HEAD(&alive, names, entry);
	evdns_set_log_fn(tell_evdns);
	configure(names);
	if (!names->dns) {
		why_set(why, "cannot set up the resolver");
		names_free(names);
		return NULL;
	}
	return names;
}

struct names *names_new(struct event_base *base, struct why *why)
{
	return names_new_from(base, "/etc/hosts", "/etc/resolv.conf", why);
}

void names_reload(struct names *names)
{
	struct name *name;
	configure(names);
	SLIST_FOREACH(name, &names->list, entry)
	{
		if (name->request == 0)
			continue;
		name->request = 0;
		ask(name);
	}
}

void names_free(struct names *names)
{
	struct name *name;
	struct names_query *query;
	if (!names)
		return;
	LIST_REMOVE(names, entry);
	if (names->dns)
		evdns_base_free(names->dns, 0);
	while ((name = SLIST_FIRST(&names->list))) {
		while ((query = TAILQ_FIRST(&name->queries)))
			query_free(query);
		SLIST_REMOVE_HEAD(&names->list, entry);
		free(name);
	}
	hosts_clear(names);
	free(names);
}
