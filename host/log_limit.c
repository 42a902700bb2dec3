/*
 * A window begins with the first line after the last one's end, so a steady flood has
 * LOG_LIMIT_LINES + 1 lines a window, and who is quiet has all of them.
 */
#include "host/log_limit.h"

#include "host/log.h"

#include <stdio.h>

void log_limit_init(struct log_limit *limit, struct log_limits *all, const char *what)
{
	*limit = (struct log_limit){.all = all};
	snprintf(limit->what, sizeof(limit->what), "%s", what);
}

void log_limit_clear(struct log_limit *limit, uint64_t now)
{
	if (limit->left_out == 0)
		return;
	log_info("%s: %u more lines like these in the last %llu s", limit->what, limit->left_out,
		 (unsigned long long)(now - limit->began + 500) / 1000);
	limit->left_out = 0;
	TAILQ_REMOVE(limit->all, limit, in_all);
}

static bool is_over(const struct log_limit *limit, uint64_t now)
{
	return now - limit->began >= LOG_LIMIT_MS;
}

bool log_limit_allows(struct log_limit *limit, uint64_t now)
{
	if (!limit || log_wants(LOG_LEVEL_DEBUG))
		return true;
	if (limit->told == 0 || is_over(limit, now)) {
		log_limit_clear(limit, now);
		limit->began = now;
		limit->told = 0;
	}
	if (limit->told < LOG_LIMIT_LINES) {
		limit->told++;
		return true;
	}
	if (limit->left_out++ == 0)
		TAILQ_INSERT_TAIL(limit->all, limit, in_all);
	return false;
}

void log_limit_tell(struct log_limits *all, uint64_t now)
{
	struct log_limit *limit, *next;
	for (limit = TAILQ_FIRST(all); limit; limit = next) {
		next = TAILQ_NEXT(limit, in_all);
		if (is_over(limit, now))
			log_limit_clear(limit, now);
	}
}
