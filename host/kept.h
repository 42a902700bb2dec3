/*
 * kept: memory that outlives its writer: what the next process needs to go on where this one
 * stopped, orderly or not, at whatever instruction.
 *
 * A file in memory (memfd) of a fixed size, mapped shared; the descriptor is handed on to the next
 * process. It holds sections, each an array of records of its owner's. Pages that nobody has
 * touched cost nothing.
 *
 * Several changes that belong together are a transaction: what is about to be changed is copied
 * into an undo log within the memory first (kept_save). Whoever opens the memory puts back what a
 * dead writer had saved and not committed. The argument: a process dies between two instructions;
 * all that it stored before then is in the memory, nothing that it would have stored after, as
 * processors take interrupts precisely and memory is coherent. So the compiler alone could reorder
 * stores, and the fences in here keep it from that. A copy is whole before the log's length says
 * that it is there, the length says so before the caller changes anything, and the one store of a
 * length of 0 commits. Putting back twice what was put back already changes nothing, so dying over
 * that does no harm either.
 *
 * One writer of transactions: the control thread. Other threads may write single words of their
 * own, which no kept_save may cover. Knows no PPTP.
 */
#ifndef HOST_KEPT_H
#define HOST_KEPT_H

#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the header and of all records: to be raised with every change of any. */
enum { KEPT_VERSION = 3 };

/* Octets of address space, and of memory at most: for the greatest numbers of records. */
#define KEPT_SIZE ((size_t)1 << 31)

/* What the log holds. One control message changes the records of three calls at most, a few of
 * them twice, and its connection's: 16 copies of 128 octets would do. */
enum { KEPT_LOG_MAX = 4096 };

/* Whose a section is. */
enum kept_id {
	KEPT_TABLE,	   /* callid_db: how much there is of the next */
	KEPT_CALLS,	   /* callid_db */
	KEPT_CONTROL,	   /* control_relay: how much there is of the next, and totals */
	KEPT_CONNECTIONS,  /* control_conn */
	KEPT_GRE,	   /* gre_relay: totals */
	KEPT_HELD,	   /* gre_hold: packets that wait */
	KEPT_HELD_OCTETS,  /* gre_hold: their octets */
	KEPT_FASTPATH,	   /* worker: packets that the fast path has carried */
	KEPT_COUNTS,	   /* control_relay: what has become of connections and messages */
	KEPT_PAIRS,	   /* control_pairs */
	KEPT_RULES,	   /* control_rules */
	KEPT_WORKERS,	   /* worker: since when there have been any, and how many */
	KEPT_SECTIONS = 32 /* room for others' */
};

struct kept;

/* A new, empty memory: its descriptor (CLOEXEC), or -1 with a sentence. */
int kept_create(struct why *why);

/* Whether it is such a memory, of this version. Changes nothing in it. */
bool kept_readable(int fd, struct why *why);

/* Maps it, and puts back what a dead writer left half done. fd stays the caller's, and may be
 * closed. NULL with a sentence. */
struct kept *kept_open(int fd, struct why *why);
void kept_close(struct kept *kept); /* unmaps; NULL is fine */

/* The section's records: on a page's boundary, zero at first, the same memory again in the next
 * process. NULL with errno: EINVAL where it was made with other sizes, ENOSPC where there is no
 * room. */
void *kept_section(struct kept *kept, enum kept_id id, size_t record_size, size_t records);

/* Asks the system for these octets of a section before they are written to, as it kills a process
 * that writes where it has none to give. 0, or -1 with errno. */
int kept_provide(struct kept *kept, void *octets, size_t length);

/*
 * A transaction. None may be open at kept_begin. kept_save: these octets are about to change; to be
 * called before each change, more than once if need be. Outside a transaction it does nothing: a
 * single store needs none. With kept NULL all of them do nothing.
 */
void kept_begin(struct kept *kept);
void kept_save(struct kept *kept, const void *octets, size_t length);
void kept_commit(struct kept *kept);
bool kept_is_open(const struct kept *kept);

/* Puts itself between two stores, so that the compiler leaves them in order. */
static inline void kept_fence(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif
