#include "keeper/keeper_log.h"

#include "host/log.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- ours ---- */

static int open_log(struct keeper_log *log, const struct options *options, struct why *why)
{
	struct log_config config = {
	    .target = options->log_file	    ? LOG_TO_FILE
		      : options->foreground ? LOG_TO_STDOUT
					    : LOG_TO_SYSLOG,
	    .path = options->log_file,
	    .level = options->log_level,
	    .name = "pptpproxy",
	};
	if (log_open(&config, why) != 0)
		return -1;
	log->open = true;
	return 0;
}

static bool is_same(const struct options *a, const struct options *b)
{
	return strcmp(a->log_file ? a->log_file : "", b->log_file ? b->log_file : "") == 0 &&
	       a->log_level == b->log_level;
}

/* ---- the worker's ---- */

static void close_file(int *file)
{
	if (*file >= 0)
		close(*file);
	*file = -1;
}

/* The worker's own descriptor of the same file, *file, which is closed; -1: none. */
static int open_workers_log(int *file, const struct options *options, struct why *why)
{
	int next = -1;
	if (options->log_file && (next = log_open_file(options->log_file, why)) < 0)
		return -1;
	close_file(file);
	*file = next;
	if (next >= 0)
		fcntl(next, F_SETFD, 0);
	return 0;
}

/* ---- both ---- */

/* After an upgrade there is a file that is open, whatever has become of its name. */
int keeper_log_open(struct keeper_log *log, const struct options *options, struct why *why)
{
	if (open_log(log, options, why) == 0 && open_workers_log(&log->file, options, why) == 0)
		return 0;
	if (log->file < 0)
		return -1;
	struct log_config as_before = {
	    .target = LOG_TO_DESCRIPTOR,
	    .fd = fcntl(log->file, F_DUPFD_CLOEXEC, 0),
	    .level = options->log_level,
	    .name = "pptpproxy",
	};
	struct why reason = *why;
	log_close();
	if (log_open(&as_before, why) != 0)
		return -1;
	log->open = true;
	log_warning("%s: the file from before the upgrade goes on", reason.text);
	return 0;
}

void keeper_log_close(struct keeper_log *log)
{
	log_close();
	close_file(&log->file);
	close_file(&log->wanted);
}

void keeper_log_resume(struct keeper_log *log, const struct options *options)
{
	struct why no_log;
	open_log(log, options, &no_log);
}

int keeper_log_reopen(struct keeper_log *log, const struct options *options)
{
	struct why why;
	log_reopen();
	return open_workers_log(&log->file, options, &why) == 0 ? log->file : -1;
}

/* ---- another configuration ---- */

int keeper_log_prepare(struct keeper_log *log, const struct options *wanted, struct why *why)
{
	return open_workers_log(&log->wanted, wanted, why);
}

void keeper_log_use(struct keeper_log *log, const struct options *was, const struct options *is)
{
	struct why why;
	int file = log->file;
	log->file = log->wanted;
	log->wanted = file;
	if (is_same(was, is))
		return;
	log_close();
	log->open = false;
	if (open_log(log, is, &why) != 0)
		log_error("%s", why.text);
}

void keeper_log_forget(struct keeper_log *log)
{
	close_file(&log->wanted);
}

bool keeper_log_try(const struct options *options, struct why *why)
{
	int file = -1;
	bool can = open_workers_log(&file, options, why) == 0;
	close_file(&file);
	return can;
}
