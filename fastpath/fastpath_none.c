/*
 * Stands for the whole fast path where the program is built without it (make WITH_FASTPATH=no).
 */
#include "fastpath/fastpath.h"
#include "fastpath/fastpath_keeper.h"

#include "host/log.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

/* ---- the keeper's half ---- */

int fastpath_keeper_open(struct fastpath_keeper **keeper,
			 const struct fastpath_keeper_config *config, struct why *why)
{
	*keeper = NULL;
	if (config->mode == FASTPATH_OFF)
		return 0;
	if (config->mode != FASTPATH_AUTO || config->interface_count > 0)
		return why_set(why, "fast path: this program was built without it");
	log_warning("no fast path: this program was built without it");
	return 0;
}

int fastpath_keeper_probe(const struct fastpath_keeper_config *config, fastpath_keeper_seen *seen,
			  void *arg, struct why *why)
{
	(void)config;
	(void)seen;
	(void)arg;
	return why_set(why, "this program was built without it");
}

void fastpath_keeper_close(struct fastpath_keeper *keeper)
{
	(void)keeper;
}

void fastpath_keeper_give(const struct fastpath_keeper *keeper, struct fastpath_given *given)
{
	(void)keeper;
	*given = (struct fastpath_given){.layout = 0};
	for (int i = 0; i < FASTPATH_GIVEN_FDS; i++)
		given->fds[i] = -1;
}

int fastpath_keeper_grant(struct fastpath_keeper *keeper, const struct fastpath_request *request)
{
	(void)keeper;
	(void)request;
	errno = ENOTSUP;
	return -1;
}

void fastpath_keeper_describe(struct fastpath_keeper *keeper, struct fastpath_letter *letter)
{
	(void)keeper;
	*letter = (struct fastpath_letter){.magic = 0};
}

int fastpath_keeper_resume(struct fastpath_keeper *keeper, struct why *why)
{
	(void)keeper;
	(void)why;
	return 0;
}

/* Of another build, which had one. */
int fastpath_keeper_adopt(struct fastpath_keeper **keeper, const void *octets, size_t size,
			  const struct fastpath_keeper_config *config, struct why *why)
{
	const struct fastpath_letter *letter = octets;
	const size_t head = offsetof(struct fastpath_letter, fds);
	*keeper = NULL;
	for (size_t i = 0; size >= head && letter->magic == FASTPATH_LETTER_MAGIC &&
			   i < letter->fd_count && i < (size - head) / sizeof(letter->fds[0]);
	     i++) {
		if (letter->fds[i] >= 0)
			close(letter->fds[i]);
	}
	return config->mode == FASTPATH_OFF
		   ? 0
		   : why_set(why, "fast path: this program was built without it");
}

/* ---- the worker's half ---- */

int fastpath_open(struct fastpath **fastpath, const struct fastpath_config *config, struct why *why)
{
	(void)config;
	*fastpath = NULL;
	return why_set(why, "fast path: this program was built without it");
}

void fastpath_restore(struct fastpath *fastpath)
{
	(void)fastpath;
}

void fastpath_granted(struct fastpath *fastpath, const struct fastpath_request *request, int fd)
{
	(void)fastpath;
	(void)request;
	(void)fd;
}

uint64_t fastpath_carried(const struct fastpath *fastpath)
{
	(void)fastpath;
	return 0;
}

uint64_t fastpath_carrying(const struct fastpath *fastpath)
{
	(void)fastpath;
	return 0;
}

bool fastpath_has(const struct fastpath *fastpath, callid_ref call)
{
	(void)fastpath;
	(void)call;
	return false;
}

void fastpath_close(struct fastpath *fastpath)
{
	(void)fastpath;
}
