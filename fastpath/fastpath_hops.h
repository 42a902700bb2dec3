/*
 * fastpath_hops: next hops: for each (our address, peer's address) the interface and the MAC
 * addresses that packets leave by, as the host would choose them.
 *
 * Calls refer to hops by number. A thread of its own, the hop thread, asks the host and follows its
 * news: what a change may concern is unusable at once, and asked for anew. A neighbour that the
 * host has grown unsure of is kicked, as no packet of ours passes the host to do it.
 *
 * Thread: control thread.
 */
#ifndef FASTPATH_HOPS_H
#define FASTPATH_HOPS_H

#include "fastpath/fastpath_maps.h"
#include "fastpath/fastpath_netlink.h"
#include "fastpath/fastpath_ports.h"

struct fastpath_hops;

/* Starts the thread. netlink and ports are the thread's until fastpath_hops_close. NULL with a
 * sentence in why. */
struct fastpath_hops *fastpath_hops_open(struct fastpath_maps *maps,
					 struct fastpath_netlink *netlink,
					 struct fastpath_ports *ports, struct why *why);
void fastpath_hops_close(struct fastpath_hops *hops); /* NULL is fine */

/* The number of the hop from our address to the peer's, which lasts until as many
 * fastpath_hops_put; or -1, where there are FASTPATH_HOPS others or no memory. */
int fastpath_hops_get(struct fastpath_hops *hops, uint32_t proxy_addr, uint32_t peer_addr);
void fastpath_hops_put(struct fastpath_hops *hops, int hop);

#endif
