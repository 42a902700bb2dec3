/*
 * fastpath: established calls' packets carried in the kernel, by XDP, before the network stack sees
 * them.
 *
 * It only accelerates: whatever it does not know for certain goes to the raw sockets (gre_relay),
 * which stay complete without it. It follows the table as an observer and adds its counters to
 * those of the table; the table need not know of it.
 *
 *   fastpath.bpf.c     the eBPF half          fastpath_ports     interfaces, attached
 *   fastpath_shared.h  both halves' records   fastpath_hops      next hops, kept right
 *   fastpath_maps      loaded, as memory      fastpath_netlink   what the host says
 *
 * Thread: control thread; a thread of its own (the hop thread) follows routes, neighbours and
 * links. RFC 2637 section 4. IPv4, Ethernet. Host byte order.
 */
#ifndef FASTPATH_H
#define FASTPATH_H

#include "callid_db.h"
#include "host/why.h"

enum fastpath_mode { FASTPATH_OFF, FASTPATH_AUTO, FASTPATH_NATIVE, FASTPATH_GENERIC };

struct fastpath_config {
	struct callid_db *db; /* outlives the fast path */
	enum fastpath_mode mode;
	/* Interfaces to attach to; none: those found from the addresses. */
	const char *const *interfaces;
	size_t interface_count;
	const uint32_t *listen_addrs; /* 0: any address of ours */
	size_t listen_count;
	const uint32_t *peer_addrs; /* of servers */
	size_t peer_count;
};

struct fastpath;

/* 0 with *fastpath, which is NULL where the mode is off, or auto and there is none to be had (the
 * log says why); -1 with a sentence in why. Before the first call. */
int fastpath_open(struct fastpath **fastpath, const struct fastpath_config *config,
		  struct why *why);

uint64_t fastpath_carried(const struct fastpath *fastpath); /* packets of calls that have ended */

/* Detaches. The table must not change or be asked any more: it still knows this observer. NULL is
 * fine. */
void fastpath_close(struct fastpath *fastpath);

#endif
