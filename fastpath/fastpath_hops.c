/*
 * The lock is held for look-ups and scans of this memory, never across a question to the host, so
 * the control thread does not wait for the kernel's configuration lock.
 */
#include "fastpath/fastpath_hops.h"

#include "callid_index.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

struct hop {
	struct callid_node node;
	uint32_t proxy_addr, peer_addr;
	unsigned users;
	bool stale; /* to be asked for; in the list */
	/* neighbour that it leads to, once known */
	unsigned ifindex;
	uint32_t gateway;
	TAILQ_ENTRY(hop) in_stale;
	TAILQ_ENTRY(hop) in_free;
};

struct fastpath_hops {
	struct fastpath_hop *records; /* by number; the hop thread writes them */
	struct fastpath_netlink *netlink;
	struct fastpath_ports *ports;
	int wake_fd;
	pthread_t thread;
	bool started, stop;

	pthread_mutex_t lock; /* of what follows */
	struct callid_index index;
	struct hop *of; /* FASTPATH_HOPS; those below used have been */
	uint32_t used;
	TAILQ_HEAD(, hop) stale, free;
};

/* ---- under the lock ---- */

static uint32_t number_of(const struct fastpath_hops *hops, const struct hop *hop)
{
	return (uint32_t)(hop - hops->of);
}

static uint32_t hash_of(uint32_t proxy_addr, uint32_t peer_addr)
{
	uint64_t key = (uint64_t)proxy_addr << 32 | peer_addr;
	return (uint32_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

/* All but the sequence number, which comes first. */
static void write_record(struct fastpath_hops *hops, const struct hop *hop,
			 const struct fastpath_hop *now)
{
	struct fastpath_hop *record = &hops->records[number_of(hops, hop)];
	const size_t first = offsetof(struct fastpath_hop, ifindex);
	fastpath_maps_write_begin(&record->seq);
	memcpy((char *)record + first, (const char *)now + first, sizeof(*now) - first);
	fastpath_maps_write_end(&record->seq);
}

/* To be asked for, but in use meanwhile. */
static void doubt(struct fastpath_hops *hops, struct hop *hop)
{
	if (!hop->stale)
		TAILQ_INSERT_TAIL(&hops->stale, hop, in_stale);
	hop->stale = true;
}

/* Packets go the raw way until it has been asked for. */
static void distrust(struct fastpath_hops *hops, struct hop *hop)
{
	static const struct fastpath_hop none;
	write_record(hops, hop, &none);
	doubt(hops, hop);
}

static bool concerns(const struct hop *hop, enum fastpath_change change, uint32_t addr,
		     unsigned prefix)
{
	if (change == FASTPATH_CHANGE_ROUTE)
		return prefix == 0 || (hop->peer_addr ^ addr) >> (32 - prefix) == 0;
	return change != FASTPATH_CHANGE_NEIGHBOUR || hop->gateway == addr;
}

static struct hop *find(struct fastpath_hops *hops, uint32_t proxy_addr, uint32_t peer_addr)
{
	uint32_t hash = hash_of(proxy_addr, peer_addr);
	for (struct callid_node *node = callid_index_first(&hops->index, hash); node;
	     node = node->next) {
		struct hop *hop = (struct hop *)node;
		if (hop->proxy_addr == proxy_addr && hop->peer_addr == peer_addr)
			return hop;
	}
	return NULL;
}

static struct hop *add(struct fastpath_hops *hops, uint32_t proxy_addr, uint32_t peer_addr)
{
	struct hop *hop = TAILQ_FIRST(&hops->free);
	if (hop)
		TAILQ_REMOVE(&hops->free, hop, in_free);
	else if (hops->used < FASTPATH_HOPS)
		hop = &hops->of[hops->used++];
	else
		return NULL;
	*hop = (struct hop){
	    .node.hash = hash_of(proxy_addr, peer_addr),
	    .proxy_addr = proxy_addr,
	    .peer_addr = peer_addr,
	};
	callid_index_add(&hops->index, &hop->node);
	return hop;
}

/* ---- the hop thread ---- */

static void on_change(void *arg, enum fastpath_change change, uint32_t addr, unsigned prefix)
{
	struct fastpath_hops *hops = arg;
	/* Mostly all is as it was with a neighbour, and with a link that none of ours is. */
	bool harmless = change == FASTPATH_CHANGE_NEIGHBOUR;

	if (change == FASTPATH_CHANGE_LINK || change == FASTPATH_CHANGE_ALL)
		harmless = !fastpath_ports_refresh(hops->ports) && change == FASTPATH_CHANGE_LINK;
	pthread_mutex_lock(&hops->lock);
	for (uint32_t i = 0; i < hops->used; i++) {
		struct hop *hop = &hops->of[i];
		if (hop->users == 0 || !concerns(hop, change, addr, prefix))
			continue;
		if (harmless)
			doubt(hops, hop);
		else
			distrust(hops, hop);
	}
	pthread_mutex_unlock(&hops->lock);
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
	pthread_mutex_lock(&hops->lock);
	struct hop *hop = TAILQ_FIRST(&hops->stale);
	if (!hop) {
		pthread_mutex_unlock(&hops->lock);
		return false;
	}
	TAILQ_REMOVE(&hops->stale, hop, in_stale);
	hop->stale = false;
	uint32_t proxy_addr = hop->proxy_addr, peer_addr = hop->peer_addr;
	pthread_mutex_unlock(&hops->lock);

	struct fastpath_hop record = ask(hops, proxy_addr, peer_addr, &next);

	pthread_mutex_lock(&hops->lock);
	if (hop->users > 0 && hop->proxy_addr == proxy_addr && hop->peer_addr == peer_addr) {
		hop->ifindex = next.ifindex;
		hop->gateway = next.gateway;
		if (differs(&record, &hops->records[number_of(hops, hop)]))
			write_record(hops, hop, &record);
	}
	pthread_mutex_unlock(&hops->lock);
	return true;
}

static void *run(void *arg)
{
	struct fastpath_hops *hops = arg;
	int news[2], count = fastpath_netlink_fds(hops->netlink, news);
	uint64_t ignored;

	while (!__atomic_load_n(&hops->stop, __ATOMIC_ACQUIRE)) {
		fastpath_netlink_news(hops->netlink, on_change, hops);
		if (resolve_one(hops))
			continue;
		struct pollfd fds[] = {{hops->wake_fd, POLLIN, 0},
				       {news[0], POLLIN, 0},
				       {count > 1 ? news[1] : -1, POLLIN, 0}};
		poll(fds, 3, -1);
		if (fds[0].revents && read(hops->wake_fd, &ignored, sizeof(ignored)) < 0)
			continue; /* somebody else's wake-up: nothing is lost */
	}
	return NULL;
}

/* ---- the control thread ---- */

static void wake(struct fastpath_hops *hops)
{
	uint64_t one = 1;
	if (write(hops->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

int fastpath_hops_get(struct fastpath_hops *hops, uint32_t proxy_addr, uint32_t peer_addr)
{
	pthread_mutex_lock(&hops->lock);
	struct hop *hop = find(hops, proxy_addr, peer_addr);
	bool made = !hop && (hop = add(hops, proxy_addr, peer_addr));
	if (hop)
		hop->users++;
	if (made)
		distrust(hops, hop);
	pthread_mutex_unlock(&hops->lock);
	if (made)
		wake(hops);
	return hop ? (int)number_of(hops, hop) : -1;
}

void fastpath_hops_put(struct fastpath_hops *hops, int number)
{
	struct hop *hop = &hops->of[number];
	pthread_mutex_lock(&hops->lock);
	if (--hop->users == 0) {
		distrust(hops, hop);
		TAILQ_REMOVE(&hops->stale, hop, in_stale);
		hop->stale = false;
		callid_index_del(&hops->index, &hop->node);
		TAILQ_INSERT_TAIL(&hops->free, hop, in_free);
	}
	pthread_mutex_unlock(&hops->lock);
}

/* ---- birth and death ---- */

static int start(struct fastpath_hops *hops, struct why *why)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int error = pthread_create(&hops->thread, NULL, run, hops);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return why_set(why, "hop thread: %s", strerror(error));
	hops->started = true;
	return 0;
}

struct fastpath_hops *fastpath_hops_open(struct fastpath_maps *maps,
					 struct fastpath_netlink *netlink,
					 struct fastpath_ports *ports, struct why *why)
{
	struct fastpath_hops *hops = calloc(1, sizeof(*hops));
	if (!hops) {
		why_set(why, "no memory");
		return NULL;
	}
	hops->records = fastpath_maps_hops(maps);
	hops->netlink = netlink;
	hops->ports = ports;
	pthread_mutex_init(&hops->lock, NULL);
	TAILQ_INIT(&hops->stale);
	TAILQ_INIT(&hops->free);
	hops->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	hops->of = calloc(FASTPATH_HOPS, sizeof(*hops->of));
	if (hops->wake_fd < 0 || !hops->of || callid_index_init(&hops->index) != 0) {
		why_set(why, "next hops: %s", strerror(errno));
		fastpath_hops_close(hops);
		return NULL;
	}
	if (start(hops, why) != 0) {
		fastpath_hops_close(hops);
		return NULL;
	}
	return hops;
}

void fastpath_hops_close(struct fastpath_hops *hops)
{
	if (!hops)
		return;
	if (hops->started) {
		__atomic_store_n(&hops->stop, true, __ATOMIC_RELEASE);
		wake(hops);
		pthread_join(hops->thread, NULL);
	}
	if (hops->wake_fd >= 0)
		close(hops->wake_fd);
	callid_index_clear(&hops->index);
	free(hops->of);
	pthread_mutex_destroy(&hops->lock);
	free(hops);
}
