/*
 * explain_blame_ppp: what looks wrong with a call's PPP: LCP without answers, a name that is
 * refused, encryption that does not come about. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_BLAME_PPP_H
#define EXPLAIN_EXPLAIN_BLAME_PPP_H

#include "explain/explain_findings.h"

void explain_blame_ppp_look(struct explain_findings *findings, const struct explain_case *all,
			    const struct explain_call *call);

#endif
