/*
 * snoop_calls: one connection's calls, and how they are found: by the ID that a side assigned
 * ("own"), or by the one that it was shown for the other's. A call is here and in the table, or in
 * neither.
 *
 * call_snoop's own. Thread: control thread.
 */
#ifndef SNOOP_CALLS_H
#define SNOOP_CALLS_H

#include "snoop/snoop_own.h"

/* NULL: none of this connection. */
struct snoop_call *snoop_calls_find_own(const struct call_snoop *snoop, enum callid_side side,
					uint16_t id);
struct snoop_call *snoop_calls_find_shown(const struct call_snoop *snoop, enum callid_side side,
					  uint16_t id);

/* A Request of caller's. NULL with ENOSPC or ENOMEM; events may have been told of its end. */
struct snoop_call *snoop_calls_reserve(struct call_snoop *snoop, enum callid_side caller,
				       uint16_t caller_id, bool incoming, uint64_t now);

/* Its Reply. 0, or -1 with ENOSPC or ENOMEM: the call is then to be ended. */
int snoop_calls_open(struct call_snoop *snoop, struct snoop_call *call, uint16_t callee_id,
		     uint64_t now);

/* One that the table has already. The contract is call_snoop_adopt's: it has no work but this. */
int snoop_calls_adopt(struct call_snoop *snoop, callid_ref ref, const struct callid_info *info);

/* Ends it, tells events, remembers its IDs, and frees it. */
void snoop_calls_end(struct call_snoop *snoop, struct snoop_call *call, uint64_t now,
		     const char *reason);

/* Frees it; it goes on in the table. */
void snoop_calls_forget(struct call_snoop *snoop, struct snoop_call *call);

/* Whether the side knew a call by this ID that has ended, not long ago. */
bool snoop_calls_names_ended(const struct call_snoop *snoop, enum callid_side side, uint16_t id);

#endif
