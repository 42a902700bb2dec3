/*
 * explain_legs: calls that stand in a capture twice, since it was taken at a proxy, or at a router
 * that translates addresses: once on the client's side, once on the server's.
 *
 * A proxy changes addresses and IDs, never what PPP says: the magic numbers of LCP tell. Where a
 * call has none, the introductions of both ends do, if one handshake lies within the other and no
 * third one looks the same. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_LEGS_H
#define EXPLAIN_EXPLAIN_LEGS_H

#include "explain/explain_case.h"

/* Sets explain_call.twin and explain_control.twin. 0, or -1 with errno: none is found then. */
int explain_legs_match(struct explain_case *all);

/* Of two legs, is it the client's? Of one alone it is, too. */
bool explain_legs_is_first(const struct explain_call *call);

#endif
