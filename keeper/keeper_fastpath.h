/*
 * keeper_fastpath: the fast path's half that the keeper has, as the worker's messages and letters
 * want it.
 *
 * Opened when the first worker knows the addresses, and kept for all that follow. Thread: main.
 */
#ifndef KEEPER_FASTPATH_H
#define KEEPER_FASTPATH_H

#include "keeper/letter.h"
#include "keeper/link.h"
#include "options.h"

struct keeper_fastpath;

struct keeper_fastpath *keeper_fastpath_new(void);	      /* NULL: no memory */
void keeper_fastpath_close(struct keeper_fastpath *fastpath); /* NULL is fine */

/* LINK_ADDRESS: one that calls will use. */
void keeper_fastpath_note(struct keeper_fastpath *fastpath, const struct link_message *message);

/* LINK_FASTPATH: attaches, unless it is there or was tried before, and makes the answer, of whose
 * descriptors the first is the caller's, to be closed when it is said; the others stay this
 * module's. -1 with a sentence: it was asked for by name and is not to be had. */
int keeper_fastpath_open(struct keeper_fastpath *fastpath, const struct options *options,
			 struct link_message *answer, struct why *why);

/* LINK_WANT: makes the answer, whose descriptor stays this module's. */
void keeper_fastpath_grant(struct keeper_fastpath *fastpath, const struct link_message *request,
			   struct link_message *answer);

/* For a worker's letter: a descriptor, the letter's, to be closed when that is written; -1: there
 * is no fast path. */
int keeper_fastpath_give(struct keeper_fastpath *fastpath);

/* Over an exec. 0, or -1 with a sentence. */
int keeper_fastpath_describe(struct keeper_fastpath *fastpath, struct letter *letter,
			     struct why *why);
void keeper_fastpath_resume(struct keeper_fastpath *fastpath); /* it failed */
void keeper_fastpath_adopt(struct keeper_fastpath *fastpath, const struct letter *letter,
			   const struct options *options);

#endif
