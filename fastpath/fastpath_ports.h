/*
 * fastpath_ports: the interfaces that the fast path is attached to.
 *
 * Attached by links that the kernel takes away with the keeper's process, whatever its end but an
 * exec that they are to outlive. An XDP program that is there already is left alone. Thread: opened
 * and closed by the keeper's main thread, and described while there is no hop thread; else the hop
 * thread's alone.
 */
#ifndef FASTPATH_PORTS_H
#define FASTPATH_PORTS_H

#include "fastpath/fastpath_keeper.h"
#include "fastpath/fastpath_maps.h"
#include "fastpath/fastpath_netlink.h"

struct fastpath_ports;

/* Finds the interfaces, attaches, and tells the log where. None at all, or a named one missing, is
 * NULL with a sentence in why. */
struct fastpath_ports *fastpath_ports_open(const struct fastpath_keeper_config *config,
					   struct fastpath_maps *maps,
					   struct fastpath_netlink *netlink, struct why *why);
void fastpath_ports_close(struct fastpath_ports *ports); /* NULL is fine */

/* Of each interface that fastpath_ports_open would attach to. */
typedef void fastpath_ports_seen(void *arg, const struct fastpath_link *link);
/* Attaches nothing. 0, or -1 with a sentence as fastpath_ports_open. */
int fastpath_ports_look(const struct fastpath_keeper_config *config,
			struct fastpath_netlink *netlink, fastpath_ports_seen *seen, void *arg,
			struct why *why);

/* Into a letter whose descriptors are all -1. */
void fastpath_ports_describe(const struct fastpath_ports *ports, struct fastpath_letter *letter);

/* Goes on from a letter: descriptors that are taken over become -1 in it. changed: the eBPF half is
 * another one now, and takes the place of what is attached. NULL with a sentence in why. */
struct fastpath_ports *fastpath_ports_adopt(struct fastpath_letter *letter, bool changed,
					    struct fastpath_maps *maps,
					    struct fastpath_netlink *netlink, struct why *why);

/* The interface's number among the ports and what is known of it; -1: not attached. */
int fastpath_ports_find(const struct fastpath_ports *ports, unsigned ifindex,
			struct fastpath_link *link);

/* Asks for their state anew. Whether anything that matters to packets has changed. */
bool fastpath_ports_refresh(struct fastpath_ports *ports);

#endif
