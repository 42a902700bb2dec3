/*
 * why: one sentence that says why something failed, carried from where it is known to where it is
 * told.
 *
 * Pure; any thread, each with a struct of its own.
 */
#ifndef HOST_WHY_H
#define HOST_WHY_H

struct why {
	char text[320]; /* always terminated; longer sentences are cut */
};

/* Writes the sentence and returns -1, so that a failing function can end with `return
 * why_set(...)`. errno is kept. */
int why_set(struct why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
