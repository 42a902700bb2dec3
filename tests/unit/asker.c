#include "tests/unit/asker.h"

#include <event2/event.h>
#include <stddef.h>

static struct acl_ask *asker;
static struct event_base *base;
static enum asker_says answer;
static struct asker_asked asked;

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	if (answer == ASKER_YES)
		acl_ask_answered(asker, (uint32_t)(uintptr_t)arg, ACL_ALLOW, 0, "yes said yes");
	else
		acl_ask_answered(asker, (uint32_t)(uintptr_t)arg, ACL_DENY, 1, "no: exit status 1");
}

static void on_ask(void *arg, uint32_t number, const struct acl_ask_client *client)
{
	const struct timeval at_once = {0, 0};
	(void)arg;
	asked.questions++;
	asked.last = *client;
	if (answer != ASKER_NOTHING)
		event_base_once(base, -1, EV_TIMEOUT, on_due, (void *)(uintptr_t)number, &at_once);
}

static void on_cancel(void *arg, uint32_t number)
{
	(void)arg, (void)number;
	asked.cancelled++;
}

struct acl_ask *asker_open(struct event_base *event_base, enum asker_says says)
{
	const struct acl_ask_config config = {.ask = on_ask, .cancel = on_cancel};
	asker_close();
	base = event_base;
	answer = says;
	asked = (struct asker_asked){0};
	return asker = acl_ask_new(&config);
}

void asker_close(void)
{
	acl_ask_free(asker);
	asker = NULL;
}

struct asker_asked asker_asked(void)
{
	return asked;
}
