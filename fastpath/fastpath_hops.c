/*
 * All but the table of wanted hops is the hop thread's alone, so there is no lock: nobody waits for
 * the kernel's configuration lock but he.
 */
#include "fastpath/fastpath_hops.h"

#include "fastpath/fastpath_record.h"
#include "fastpath/fastpath_wanted.h"
#include "host/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

struct hop {
	uint32_t proxy_addr, peer_addr;
	bool wanted;
	bool stale;	  /* to be asked for; in the list */
	uint32_t gateway; /* neighbour that it leads to, once known */
	TAILQ_ENTRY(hop) in_stale;
};

struct fastpath_hops {
	struct fastpath_hop *records; /* by number */
	struct fastpath_netlink *netlink;
	struct fastpath_ports *ports;
	struct fastpath_wanted_table *table; /* a worker may write there whatever he likes */
	struct hop *of;			     /* FASTPATH_HOPS; those below used have been wanted */
	uint32_t used;
	TAILQ_HEAD(, hop) stale;
	int poll_fd, stop_fd;
	pthread_t thread;
	bool started, stop;
};

/* ---- records ---- */

static uint32_t number_of(const struct fastpath_hops *hops, const struct hop *hop)
{
	return (uint32_t)(hop - hops->of);
}

/* All but the sequence number, which comes first. */
static void write_record(struct fastpath_hops *hops, const struct hop *hop,
			 const struct fastpath_hop *now)
{
	struct fastpath_hop *record = &hops->records[number_of(hops, hop)];
	const size_t first = offsetof(struct fastpath_hop, ifindex);
	fastpath_record_begin(&record->seq);
	memcpy((char *)record + first, (const char *)now + first, sizeof(*now) - first);
	fastpath_record_end(&record->seq);
}

/* To be asked for, but in use meanwhile. */
static void doubt(struct fastpath_hops *hops, struct hop *hop)
{
	if (!hop->stale)
		TAILQ_INSERT_TAIL(&hops->stale, hop, in_stale);
	hop->stale = true;
}

static void clear(struct fastpath_hops *hops, struct hop *hop)
{
	static const struct fastpath_hop none;
	write_record(hops, hop, &none);
}

/* Packets go the raw way until it has been asked for. */
static void distrust(struct fastpath_hops *hops, struct hop *hop)
{
	clear(hops, hop);
	doubt(hops, hop);
}

static void forget(struct fastpath_hops *hops, struct hop *hop)
{
	clear(hops, hop);
	if (hop->stale)
		TAILQ_REMOVE(&hops->stale, hop, in_stale);
	*hop = (struct hop){0};
}

/* ---- what workers want ---- */

/* The one reading of an entry: what is done is done with the copy. */
static uint64_t read_entry(const struct fastpath_wanted_hop *entry, uint32_t *ask)
{
	*ask = __atomic_load_n(&entry->ask, __ATOMIC_ACQUIRE);
	return __atomic_load_n(&entry->pair, __ATOMIC_RELAXED);
}

static void want(struct fastpath_hops *hops, struct hop *hop, uint64_t pair)
{
	hop->wanted = true;
	hop->proxy_addr = (uint32_t)(pair >> 32);
	hop->peer_addr = (uint32_t)pair;
	if (number_of(hops, hop) >= hops->used)
		hops->used = number_of(hops, hop) + 1;
}

static void look_at(struct fastpath_hops *hops, uint32_t number)
{
	struct hop *hop = &hops->of[number];
	uint32_t ask;
	uint64_t pair = read_entry(&hops->table->hops[number], &ask);
	uint64_t served = (uint64_t)hop->proxy_addr << 32 | hop->peer_addr;

	if (!hop->wanted || pair != served) {
		forget(hops, hop);
		if (pair != 0) {
			want(hops, hop, pair);
			doubt(hops, hop);
		}
	}
	__atomic_store_n(&hops->table->hops[number].answer, ask, __ATOMIC_RELEASE);
}

static uint64_t take_bits(uint64_t *bits)
{
	if (__atomic_load_n(bits, __ATOMIC_RELAXED) == 0)
		return 0;
	return __atomic_exchange_n(bits, 0, __ATOMIC_ACQ_REL);
}

static void look_at_changed(struct fastpath_hops *hops)
{
	for (uint32_t group = 0; group < FASTPATH_WANTED_GROUPS; group++) {
		uint64_t words = take_bits(&hops->table->groups[group]);
		for (; words != 0; words &= words - 1) {
			uint32_t word = group * 64 + (uint32_t)__builtin_ctzll(words);
			uint64_t changed = take_bits(&hops->table->changed[word]);
			for (; changed != 0; changed &= changed - 1)
				look_at(hops, word * 64 + (uint32_t)__builtin_ctzll(changed));
		}
	}
}

/* The record of a number whose answer is given is that pair's: it stays in use. */
static void go_on_with(struct fastpath_hops *hops, uint32_t number)
{
	const struct fastpath_wanted_hop *entry = &hops->table->hops[number];
	struct hop *hop = &hops->of[number];
	uint32_t ask, answer = __atomic_load_n(&entry->answer, __ATOMIC_ACQUIRE);
	uint64_t pair = read_entry(entry, &ask);
	if (ask == 0 && pair == 0)
		return;
	if (ask != answer || pair == 0) {
		look_at(hops, number);
		return;
	}
	want(hops, hop, pair);
	if (hops->records[number].seq & 1)
		clear(hops, hop);
	doubt(hops, hop);
}

/* ---- the hop thread ---- */

static bool concerns(const struct hop *hop, enum fastpath_change change, uint32_t addr,
		     unsigned prefix)
{
	if (change == FASTPATH_CHANGE_ROUTE)
		return prefix == 0 || (hop->peer_addr ^ addr) >> (32 - prefix) == 0;
	return change != FASTPATH_CHANGE_NEIGHBOUR || hop->gateway == addr;
}

static void on_change(void *arg, enum fastpath_change change, uint32_t addr, unsigned prefix)
{
	struct fastpath_hops *hops = arg;
	/* Mostly all is as it was with a neighbour, and with a link that none of ours is. */
	bool harmless = change == FASTPATH_CHANGE_NEIGHBOUR;

	if (change == FASTPATH_CHANGE_LINK || change == FASTPATH_CHANGE_ALL)
		harmless = !fastpath_ports_refresh(hops->ports) && change == FASTPATH_CHANGE_LINK;
	for (uint32_t i = 0; i < hops->used; i++) {
		struct hop *hop = &hops->of[i];
		if (!hop->wanted || !concerns(hop, change, addr, prefix))
			continue;
		if (harmless)
			doubt(hops, hop);
		else
			distrust(hops, hop);
	}
}

/* The record of the way that the host would take now; ifindex 0 where we cannot. */
static struct fastpath_hop ask(struct fastpath_hops *hops, uint32_t proxy_addr, uint32_t peer_addr,
			       struct fastpath_next *next)
{
	struct fastpath_hop record = {0};
	struct fastpath_link link;

	if (!fastpath_netlink_route(hops->netlink, proxy_addr, peer_addr, next))
		return record;
	int port = fastpath_ports_find(hops->ports, next->ifindex, &link);
	if (port < 0 || !link.up)
		return record;
	enum fastpath_neighbour state = fastpath_netlink_neighbour(
	    hops->netlink, next->ifindex, next->gateway, record.destination_mac);
	/* A lost one is looked for by the packets that go the raw way. */
	if (state == FASTPATH_NEIGHBOUR_NONE || state == FASTPATH_NEIGHBOUR_OLD)
		fastpath_netlink_kick(hops->netlink, next->ifindex, next->gateway);
	if (state == FASTPATH_NEIGHBOUR_NONE || state == FASTPATH_NEIGHBOUR_LOST)
		return record;
	unsigned mtu = next->mtu > 0 && next->mtu < link.mtu ? next->mtu : link.mtu;
	record.ifindex = next->ifindex;
	record.port = (uint32_t)port;
	record.mtu = mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)mtu;
	record.sends_native = link.sends_native;
	record.ttl = (uint8_t)next->ttl;
	memcpy(record.source_mac, link.mac, FASTPATH_MAC);
	return record;
}

static bool differs(const struct fastpath_hop *a, const struct fastpath_hop *b)
{
	return a->ifindex != b->ifindex || a->port != b->port || a->mtu != b->mtu ||
	       a->sends_native != b->sends_native || a->ttl != b->ttl ||
	       memcmp(a->destination_mac, b->destination_mac, 2 * FASTPATH_MAC) != 0;
}

/* False: none is stale. */
static bool resolve_one(struct fastpath_hops *hops)
{
	struct fastpath_next next = {0};
	struct hop *hop = TAILQ_FIRST(&hops->stale);
	if (!hop)
		return false;
	TAILQ_REMOVE(&hops->stale, hop, in_stale);
	hop->stale = false;
	struct fastpath_hop record = ask(hops, hop->proxy_addr, hop->peer_addr, &next);
	hop->gateway = next.gateway;
	if (differs(&record, &hops->records[number_of(hops, hop)]))
		write_record(hops, hop, &record);
	return true;
}

static void *run(void *arg)
{
	struct fastpath_hops *hops = arg;
	struct epoll_event event;

	for (uint32_t i = 0; i < FASTPATH_HOPS; i++)
		go_on_with(hops, i);
	while (!__atomic_load_n(&hops->stop, __ATOMIC_ACQUIRE)) {
		fastpath_netlink_news(hops->netlink, on_change, hops);
		look_at_changed(hops);
		if (!resolve_one(hops))
			epoll_wait(hops->poll_fd, &event, 1, -1);
	}
	return NULL;
}

/* ---- birth and death ---- */

static int watch(struct fastpath_hops *hops, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};
	return epoll_ctl(hops->poll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int watch_all(struct fastpath_hops *hops, int wake_fd)
{
	int news[2], count = fastpath_netlink_fds(hops->netlink, news);
	hops->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	hops->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hops->poll_fd < 0 || hops->stop_fd < 0 || watch(hops, hops->stop_fd, EPOLLIN) != 0)
		return -1;
	for (int i = 0; i < count; i++) {
		if (watch(hops, news[i], EPOLLIN) != 0)
			return -1;
	}
	/* By its edges, and never read: whoever shares it could have a reader wait. */
	return watch(hops, wake_fd, EPOLLIN | EPOLLET);
}

static int start(struct fastpath_hops *hops, struct why *why)
{
	int error = thread_start(&hops->thread, run, hops);
	if (error != 0)
		return why_set(why, "hop thread: %s", strerror(error));
	hops->started = true;
	return 0;
}

static int open_all(struct fastpath_hops *hops, const int fds[static 2], struct why *why)
{
	hops->table = fastpath_wanted_map(fds[0]);
	hops->of = calloc(FASTPATH_HOPS, sizeof(*hops->of));
	if (!hops->table || !hops->of || watch_all(hops, fds[1]) != 0)
		return why_set(why, "next hops: %s", strerror(errno));
	return start(hops, why);
}

struct fastpath_hops *fastpath_hops_open(struct fastpath_hop *records,
					 struct fastpath_netlink *netlink,
					 struct fastpath_ports *ports, const int fds[static 2],
					 struct why *why)
{
	struct fastpath_hops *hops = calloc(1, sizeof(*hops));
	if (!hops) {
		why_set(why, "no memory");
		return NULL;
	}
	hops->records = records;
	hops->netlink = netlink;
	hops->ports = ports;
	hops->poll_fd = hops->stop_fd = -1;
	TAILQ_INIT(&hops->stale);
	if (open_all(hops, fds, why) != 0) {
		fastpath_hops_close(hops);
		return NULL;
	}
	return hops;
}

static void stop(struct fastpath_hops *hops)
{
	uint64_t one = 1;
	__atomic_store_n(&hops->stop, true, __ATOMIC_RELEASE);
	if (write(hops->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(hops->thread, NULL);
}

void fastpath_hops_close(struct fastpath_hops *hops)
{
	if (!hops)
		return;
	if (hops->started)
		stop(hops);
	if (hops->poll_fd >= 0)
		close(hops->poll_fd);
	if (hops->stop_fd >= 0)
		close(hops->stop_fd);
	fastpath_wanted_unmap(hops->table);
	free(hops->of);
	free(hops);
}
