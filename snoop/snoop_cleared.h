/*
 * snoop_cleared: calls that we have cleared ourselves, of which PACs still owe us an answer: the
 * record's ring of them.
 *
 * call_snoop's own. Thread: control thread.
 */
#ifndef SNOOP_CLEARED_H
#define SNOOP_CLEARED_H

#include "snoop/snoop_own.h"

/* The PAC of this side has been sent a Call-Clear-Request for the call. */
void snoop_cleared_remember(struct call_snoop *snoop, const struct snoop_call *call,
			    enum callid_side pac, uint64_t now);

/* It has assigned the ID anew, so it has done with the call that had it before. */
void snoop_cleared_forget(struct call_snoop *snoop, enum callid_side pac, uint16_t own,
			  uint64_t now);

/* Which one is looked for: the one with this ID of its own, with this one shown, any. */
typedef bool snoop_cleared_is(const struct call_snoop_cleared *cleared, uint16_t id);
snoop_cleared_is snoop_cleared_is_own, snoop_cleared_is_shown, snoop_cleared_is_any;

/* The oldest one that is still waited for, or NULL. */
struct call_snoop_cleared *snoop_cleared_find(const struct call_snoop *snoop, enum callid_side pac,
					      uint64_t now, snoop_cleared_is *wanted, uint16_t id);

/* Changes it, within the transaction; a zero value: it is not waited for any more. */
void snoop_cleared_set(struct call_snoop *snoop, struct call_snoop_cleared *cleared,
		       struct call_snoop_cleared value);

#endif
