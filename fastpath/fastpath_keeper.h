/*
 * fastpath_keeper: the half of the fast path that needs rights and outlives the worker: the eBPF
 * half, loaded and attached, the memory that a worker writes, the hop thread, which follows routes,
 * neighbours and links. fastpath.h draws the room.
 *
 * The worker is not trusted. Requests are checked here; of the memory that he can write, the keeper
 * reads the table of wanted hops only, see fastpath_wanted.h. What he can do with all of it is send
 * packets of his own to whom he likes by the ports, and have the host ask for neighbours.
 *
 * Over an exec of the keeper: fastpath_keeper_describe, exec, fastpath_keeper_adopt. Meanwhile
 * packets go on.
 *
 * Thread: the keeper's main thread, beside the hop thread, which is started here.
 */
#ifndef FASTPATH_KEEPER_H
#define FASTPATH_KEEPER_H

#include "fastpath/fastpath.h"
#include "fastpath/fastpath_letter.h"

#include <stdbool.h>

struct fastpath_keeper_config {
	enum fastpath_mode mode;
	/* Interfaces to attach to; none: those found from the addresses. */
	const char *const *interfaces;
	size_t interface_count;
	const uint32_t *listen_addrs; /* 0: any address of ours */
	size_t listen_count;
	const uint32_t *peer_addrs; /* of servers */
	size_t peer_count;
};

struct fastpath_keeper;

/* 0 with *keeper, which is NULL where the mode is off, or auto and there is none to be had (the log
 * says why); -1 with a sentence in why. Attached afterwards; nothing passes before a worker adds
 * routes. */
int fastpath_keeper_open(struct fastpath_keeper **keeper,
			 const struct fastpath_keeper_config *config, struct why *why);

/* Of each interface that it would use: whether it can, and whether by native XDP. */
typedef void fastpath_keeper_seen(void *arg, const char *interface, bool ethernet, bool native);

/* Whether fastpath_keeper_open can be hoped for, whatever the mode: the eBPF half is loaded and let
 * go of again, interfaces are looked at; nothing is attached. 0, or -1 with a sentence. */
int fastpath_keeper_probe(const struct fastpath_keeper_config *config, fastpath_keeper_seen *seen,
			  void *arg, struct why *why);

/* Detaches, and ends the hop thread. NULL is fine. */
void fastpath_keeper_close(struct fastpath_keeper *keeper);

/* What a worker needs at his start. The descriptors stay the keeper's (and close at an exec); one
 * worker at a time has them. */
void fastpath_keeper_give(const struct fastpath_keeper *keeper, struct fastpath_given *given);

/* The descriptor of what is asked for, made where it is not there yet; it stays the keeper's, and
 * later workers are given it. -1 with errno: EINVAL a request that makes no sense, EEXIST another
 * place has that address. */
int fastpath_keeper_grant(struct fastpath_keeper *keeper, const struct fastpath_request *request);

/* ---- over an exec ---- */

/* Ends the hop thread, so that nothing changes any more, and has all descriptors outlive an exec.
 * Right before it: what the host changes meanwhile is found out afterwards. */
void fastpath_keeper_describe(struct fastpath_keeper *keeper, struct fastpath_letter *letter);

/* Undoes that, where the exec failed. 0, or -1 with a sentence in why: it must be closed then. */
int fastpath_keeper_resume(struct fastpath_keeper *keeper, struct why *why);

/*
 * Goes on from a letter of so many octets (aligned as by malloc). As it was attached: of the
 * configuration only the mode counts, and of this whether it is off. Where this program's eBPF half
 * differs from the one that is attached, it takes its place, without a gap. 0 with *keeper, NULL
 * where the mode is off; -1 with a sentence in why where the letter is of another layout, or the
 * kernel refuses. Where there is no *keeper afterwards, all is detached and closed;
 * fastpath_keeper_open may begin anew, and a worker who was given the old one's memory writes to no
 * effect.
 */
int fastpath_keeper_adopt(struct fastpath_keeper **keeper, const void *letter, size_t size,
			  const struct fastpath_keeper_config *config, struct why *why);

#endif
