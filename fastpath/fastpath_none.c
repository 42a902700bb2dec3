/*
 * Stands for the whole fast path where the program is built without it (make WITH_FASTPATH=no).
 */
#include "fastpath/fastpath.h"

#include "host/log.h"

int fastpath_open(struct fastpath **fastpath, const struct fastpath_config *config, struct why *why)
{
	*fastpath = NULL;
	if (config->mode == FASTPATH_OFF)
		return 0;
	if (config->mode != FASTPATH_AUTO || config->interface_count > 0)
		return why_set(why, "fast path: this program was built without it");
	log_warning("no fast path: this program was built without it");
	return 0;
}

uint64_t fastpath_carried(const struct fastpath *fastpath)
{
	(void)fastpath;
	return 0;
}

void fastpath_close(struct fastpath *fastpath)
{
	(void)fastpath;
}
