#include "acl/acl_ask.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

struct acl_ask_check {
	TAILQ_ENTRY(acl_ask_check) in_checks;
	struct acl_ask *ask;
	uint32_t number;
	acl_ask_done *done;
	void *arg;
};

struct acl_ask {
	struct acl_ask_config config;
	uint32_t last_number;
	TAILQ_HEAD(, acl_ask_check) checks; /* in the order in which most are answered */
};

struct acl_ask *acl_ask_new(const struct acl_ask_config *config)
{
	struct acl_ask *ask = calloc(1, sizeof(*ask));
	if (!ask)
		return NULL;
	ask->config = *config;
	TAILQ_INIT(&ask->checks);
	return ask;
}

void acl_ask_free(struct acl_ask *ask)
{
	assert(!ask || TAILQ_EMPTY(&ask->checks));
	free(ask);
}

struct acl_ask_check *acl_ask_start(struct acl_ask *ask, const struct acl_ask_client *client,
				    acl_ask_done *done, void *arg)
{
	struct acl_ask_check *check = calloc(1, sizeof(*check));
	if (!check)
		return NULL;
	*check = (struct acl_ask_check){
	    .ask = ask, .number = ++ask->last_number, .done = done, .arg = arg};
	TAILQ_INSERT_TAIL(&ask->checks, check, in_checks);
	ask->config.ask(ask->config.arg, check->number, client);
	return check;
}

static void forget(struct acl_ask_check *check)
{
	TAILQ_REMOVE(&check->ask->checks, check, in_checks);
	free(check);
}

void acl_ask_cancel(struct acl_ask_check *check)
{
	if (!check)
		return;
	check->ask->config.cancel(check->ask->config.arg, check->number);
	forget(check);
}

void acl_ask_answered(struct acl_ask *ask, uint32_t number, enum acl_answer answer, size_t which,
		      const char *why)
{
	struct acl_ask_check *check;
	TAILQ_FOREACH(check, &ask->checks, in_checks)
	{
		if (check->number != number)
			continue;
		acl_ask_done *done = check->done;
		void *arg = check->arg;
		forget(check);
		done(arg, answer, which, why);
		return;
	}
}
