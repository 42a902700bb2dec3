/*
 * fastpath_netlink: what the host says about routes, neighbours and interfaces (rtnetlink,
 * netdev's generic netlink), one question and its answer at a time, and news of changes.
 *
 * A question may wait for the kernel's configuration lock. Thread: one at a time, the caller's
 * business. IPv4, host byte order.
 */
#ifndef FASTPATH_NETLINK_H
#define FASTPATH_NETLINK_H

#include "host/why.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

enum { FASTPATH_NETLINK_MAC = 6 };

struct fastpath_netlink;

struct fastpath_netlink *fastpath_netlink_open(struct why *why);
void fastpath_netlink_close(struct fastpath_netlink *netlink); /* NULL is fine */

struct fastpath_next {
	unsigned ifindex;
	uint32_t gateway; /* the neighbour: the destination itself where it is on the link */
	unsigned mtu;	  /* of the route; 0: the interface's */
	unsigned ttl;	  /* of the route, or the host's */
};

/* The way that the host sends packets from source (0: any) to destination. False: none, or none
 * that is an interface and an IPv4 neighbour. */
bool fastpath_netlink_route(struct fastpath_netlink *netlink, uint32_t source, uint32_t destination,
			    struct fastpath_next *next);

enum fastpath_neighbour {
	FASTPATH_NEIGHBOUR_NONE, /* unknown to the host */
	FASTPATH_NEIGHBOUR_LOST, /* not answering, or not yet */
	FASTPATH_NEIGHBOUR_OLD,	 /* usable, but it should be asked again */
	FASTPATH_NEIGHBOUR_GOOD,
};

enum fastpath_neighbour fastpath_netlink_neighbour(struct fastpath_netlink *netlink,
						   unsigned ifindex, uint32_t addr,
						   uint8_t mac[static FASTPATH_NETLINK_MAC]);

/* Has the host look for the neighbour as if it sent him a packet. */
void fastpath_netlink_kick(struct fastpath_netlink *netlink, unsigned ifindex, uint32_t addr);

struct fastpath_link {
	unsigned ifindex, mtu;
	char name[IF_NAMESIZE];
	uint8_t mac[FASTPATH_NETLINK_MAC];
	bool ethernet, loopback, up; /* up: and running */
	bool sends_native; /* takes frames from native XDP; true where the kernel cannot tell */
};

/* False: no such interface. */
bool fastpath_netlink_link(struct fastpath_netlink *netlink, unsigned ifindex,
			   struct fastpath_link *link);

/* Changes since fastpath_netlink_open. */
enum fastpath_change {
	FASTPATH_CHANGE_ROUTE,	   /* of packets to addr/prefix */
	FASTPATH_CHANGE_NEIGHBOUR, /* addr */
	FASTPATH_CHANGE_LINK,	   /* some interface */
	FASTPATH_CHANGE_ALL,	   /* rules, addresses, or news were lost */
};
typedef void fastpath_netlink_change(void *arg, enum fastpath_change change, uint32_t addr,
				     unsigned prefix);

int fastpath_netlink_fds(const struct fastpath_netlink *netlink, int fds[static 2]);

/* Tells what has come on these descriptors; never waits. */
void fastpath_netlink_news(struct fastpath_netlink *netlink, fastpath_netlink_change *told,
			   void *arg);

#endif
