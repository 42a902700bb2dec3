/*
 * fastpath_hops: next hops: for each (our address, peer's address) that a worker wants
 * (fastpath_wanted.h) the interface and the MAC addresses that packets leave by, as the host would
 * choose them.
 *
 * A thread of its own, the hop thread, asks the host and follows its news: what a change may
 * concern is unusable at once, and asked for anew. A neighbour that the host has grown unsure of is
 * kicked, as no packet of ours passes the host to do it.
 *
 * Thread: the keeper's main thread.
 */
#ifndef FASTPATH_HOPS_H
#define FASTPATH_HOPS_H

#include "fastpath/fastpath_netlink.h"
#include "fastpath/fastpath_ports.h"
#include "fastpath/fastpath_shared.h"

struct fastpath_hops;

/* Starts the thread. records (FASTPATH_HOPS of them), netlink and ports are the thread's until
 * fastpath_hops_close. fds are the table's and the eventfd of fastpath_wanted_make, and stay the
 * caller's; where the table is in use, and so are its records, packets go on while all are asked
 * for again. NULL with a sentence in why. */
struct fastpath_hops *fastpath_hops_open(struct fastpath_hop *records,
					 struct fastpath_netlink *netlink,
					 struct fastpath_ports *ports, const int fds[static 2],
					 struct why *why);

/* Leaves the records as they are, for whoever goes on. NULL is fine. */
void fastpath_hops_close(struct fastpath_hops *hops);

#endif
