/*
 * keeper_log: the keeper's own log, and the descriptor of the same file that its workers have.
 *
 * Thread: main.
 */
#ifndef KEEPER_LOG_H
#define KEEPER_LOG_H

#include "host/why.h"
#include "options.h"

#include <stdbool.h>

struct keeper_log {
	/* Descriptors for workers, which stay open over an exec; -1: none. The wanted one is of a
	 * configuration that is not in use yet. */
	int file, wanted;
	bool open; /* the keeper's own: somebody may read it */
};

#define KEEPER_LOG_NONE ((struct keeper_log){.file = -1, .wanted = -1})

/* 0, or -1 with a sentence. log->file is from before an upgrade, and serves the keeper, too, if the
 * options' file cannot be opened any more; -1: there was nothing before. */
int keeper_log_open(struct keeper_log *log, const struct options *options, struct why *why);
void keeper_log_close(struct keeper_log *log); /* in any state */

/* Opens ours, which was closed for an exec that failed. What is wrong with it stays untold. */
void keeper_log_resume(struct keeper_log *log, const struct options *options);

/* The file has been moved away. The worker's new descriptor, which stays ours; -1: it has no file,
 * or goes on with the one that it has. */
int keeper_log_reopen(struct keeper_log *log, const struct options *options);

/* Another configuration: opens what its workers are to have, 0, or -1 with a sentence. Then it is
 * used, or forgotten; to forget is right after use, too. */
int keeper_log_prepare(struct keeper_log *log, const struct options *wanted, struct why *why);
void keeper_log_use(struct keeper_log *log, const struct options *was, const struct options *is);
void keeper_log_forget(struct keeper_log *log);

/* Whether the file could be opened; nothing stays open. Else a sentence. */
bool keeper_log_try(const struct options *options, struct why *why);

#endif
