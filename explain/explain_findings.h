/*
 * explain_findings: what looks wrong in a case, with its likely cause, as sentences. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_FINDINGS_H
#define EXPLAIN_EXPLAIN_FINDINGS_H

#include "explain/explain_case.h"

enum {
	EXPLAIN_FINDINGS_MAX = 100, /* that are told */
	EXPLAIN_LABEL_MAX = 40,
	EXPLAIN_STRAYS_TOLD = 5, /* one by one: a capture from the middle may have very many */
};

struct explain_findings { /* all zero: none */
	char *texts[EXPLAIN_FINDINGS_MAX];
	size_t count;	   /* of texts */
	uint64_t left_out; /* beyond the limit */
	uint64_t strays;   /* calls that nobody saw begin, and nothing explains */
};

/* The case as a whole, explain_legs_match done. */
void explain_findings_look(struct explain_findings *findings, const struct explain_case *all);
void explain_findings_clear(struct explain_findings *findings);

/* For those who look at a part of it. */
void explain_findings_add(struct explain_findings *findings, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "Call 1.2", "Stray call 3": what a finding begins with. */
const char *explain_findings_label(const struct explain_call *call,
				   char out[static EXPLAIN_LABEL_MAX]);

/* Up to when the call was there: its end, or the capture's. */
int64_t explain_findings_until(const struct explain_case *all, const struct explain_call *call);

#endif
