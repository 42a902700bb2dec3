/*
 * explain_blame_ways: what looks wrong with a call's GRE packets: a direction that is missing,
 * wrong IDs and addresses, losses, silences, fragments, ICMP. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_BLAME_WAYS_H
#define EXPLAIN_EXPLAIN_BLAME_WAYS_H

#include "explain/explain_findings.h"

void explain_blame_ways_look(struct explain_findings *findings, const struct explain_case *all,
			     const struct explain_call *call);

/* Is it told that packets of this end cease while the other one goes on, on either leg? */
bool explain_blame_ways_ceases(const struct explain_case *all, const struct explain_call *call,
			       enum explain_end end);

#endif
