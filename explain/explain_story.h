/*
 * explain_story: a case as text for people, EXPLAIN_WIDTH columns wide. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_STORY_H
#define EXPLAIN_EXPLAIN_STORY_H

#include "explain/explain_case.h"
#include "explain/explain_findings.h"

#include <stdio.h>

/* What is to be said of the file itself. */
struct explain_story_file {
	const char *name;
	const char *broken; /* why it could not be read to its end, or NULL */
	uint64_t frames;    /* as many as it has */
	uint64_t other;	    /* that are no IPv4 */
	uint64_t bad;	    /* cut, or not what they claim */
	int64_t start_s;    /* the first one's time, seconds since 1970 */
	int64_t length_us;
};

void explain_story_tell(FILE *out, const struct explain_story_file *file,
			const struct explain_case *all, const struct explain_findings *findings);

#endif
