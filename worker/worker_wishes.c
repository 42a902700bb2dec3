#include "worker/worker_wishes.h"

#include "acl/acl_ask.h"

#include <event2/event.h>

void worker_wishes_say(const struct worker_wishes *wishes, const struct link_message *message)
{
	link_send(wishes->link, message);
}

/* ---- an answer that is waited for ---- */

/* Without memory at once, else with the turn. */
static void stop_waiting(struct worker_wishes *wishes)
{
	if (event_base_loopexit(wishes->base, NULL) != 0)
		event_base_loopbreak(wishes->base);
}

void worker_wishes_answered(struct worker_wishes *wishes, const struct link_message *message)
{
	wishes->answer = *message;
	wishes->answered = true;
	stop_waiting(wishes);
}

int worker_wishes_ask(struct worker_wishes *wishes, const struct link_message *wish,
		      struct link_message *answer, struct why *why)
{
	wishes->answered = false;
	worker_wishes_say(wishes, wish);
	while (!wishes->answered) {
		if (event_base_dispatch(wishes->base) != 0 ||
		    (!wishes->answered && event_base_got_break(wishes->base)))
			return why_set(why, "ended while it waited for the keeper");
	}
	*answer = wishes->answer;
	return 0;
}

/* ---- others ---- */

void worker_wishes_command(void *arg, uint32_t number, const struct acl_ask_client *client)
{
	struct link_message message = {
	    .type = LINK_CHECK,
	    .number = number,
	    .check =
		{
		    .connection = client->connection,
		    .pair = client->pair,
		    .client_addr = client->addr,
		    .client_port = client->port,
		    .listen_addr = client->listen_addr,
		    .listen_port = client->listen_port,
		},
	};
	worker_wishes_say(arg, &message);
}

void worker_wishes_cancel_command(void *arg, uint32_t number)
{
	struct link_message message = {.type = LINK_CANCEL, .number = number};
	worker_wishes_say(arg, &message);
}

void worker_wishes_capture(void *arg)
{
	struct link_message message = {.type = LINK_CAPTURE};
	worker_wishes_say(arg, &message);
}
