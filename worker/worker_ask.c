#include "worker/worker_ask.h"

#include "control_relay.h"
#include "status/status_ask.h"
#include "status/status_call.h"
#include "status/status_json.h"
#include "status/status_lines.h"
#include "status/status_maker.h"
#include "worker/worker_tap.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

struct worker_ask {
	struct worker_ask_config config;
	struct status_maker *maker;
	struct status_ask *callers;
};

/* ---- show ---- */

static const struct view {
	const char *name;
	struct status_writer text, json;
} views[] = {
    {"calls", {.piece = status_lines_calls}, {.piece = status_json_calls}},
    {"pairs", {.whole = status_lines_pairs}, {.whole = status_json_pairs}},
    {"totals", {.whole = status_lines_totals}, {.whole = status_json_totals}},
    {0},
};

/* A caller who waits for figures. */
struct showing {
	struct status_making making;
	struct status_caller *caller;
};

static void on_gone(void *arg)
{
	struct showing *showing = arg;
	status_maker_cancel(&showing->making);
	free(showing);
}

static void on_made(void *arg, struct evbuffer *text, const struct why *why)
{
	struct showing *showing = arg;
	if (text)
		status_ask_answer(showing->caller, text);
	else
		status_ask_refuse(showing->caller, "%s", why->text);
	free(showing);
}

static void answer_with(struct worker_ask *ask, struct status_caller *caller,
			const struct status_writer *writer)
{
	struct showing *showing = calloc(1, sizeof(*showing));
	if (!showing) {
		status_ask_refuse(caller, "no memory");
		return;
	}
	showing->caller = caller;
	status_ask_wait(caller, on_gone, showing);
	status_maker_begin(ask->maker, &showing->making, writer, on_made, showing);
}

static void on_show(void *arg, struct status_caller *caller, char *const *words, size_t count)
{
	const struct view *view = views;
	bool json = count == 3 && strcmp(words[2], "json") == 0;

	while (count > 1 && view->name && strcmp(view->name, words[1]) != 0)
		view++;
	if (count < 2 || !view->name || (count > 2 && !json))
		status_ask_refuse(caller, "bad request: show calls|pairs|totals [json]");
	else
		answer_with(arg, caller, json ? &view->json : &view->text);
}

/* ---- end ---- */

static void on_end(void *arg, struct status_caller *caller, char *const *words, size_t count)
{
	struct worker_ask *ask = arg;
	uint64_t connection;
	int32_t client_id;
	struct why told;
	struct evbuffer *answer;

	if (count != 2 || !status_call_parse(words[1], &connection, &client_id)) {
		status_ask_refuse(caller, "bad request: end CALL, as in --show calls: 12:49750");
		return;
	}
	/* First what it takes to say so, as an end cannot be taken back. */
	answer = evbuffer_new();
	if (!answer || evbuffer_expand(answer, sizeof(told.text) + 1) != 0)
		status_ask_refuse(caller, "no memory");
	else if (control_relay_end_call(ask->config.control, connection, client_id,
					status_ask_uid(caller), &told) != 0)
		status_ask_refuse(caller, "%s: %s", words[1], told.text);
	else if (evbuffer_add_printf(answer, "%s\n", told.text) >= 0)
		status_ask_answer(caller, answer);
	else
		status_ask_refuse(caller, "no memory, but %s", told.text);
	if (answer)
		evbuffer_free(answer);
}

/* ---- tap ---- */

static void on_tap(void *arg, struct status_caller *caller, char *const *words, size_t count)
{
	struct worker_ask *ask = arg;
	/* By default the worker's user is nobody, whom others may be, too. */
	if (!status_ask_is_owner(caller))
		status_ask_refuse(caller,
				  "not allowed: only root and who started pptpproxy may tap");
	else if (count != 2)
		status_ask_refuse(caller, "bad request: tap CALL|CLIENT|all");
	else
		worker_tap_start(ask->config.taps, caller, words[1]);
}

/* ---- birth and death ---- */

static const struct status_verb verbs[] = {
    {"show", on_show},
    {"end", on_end},
    {"tap", on_tap},
    {0},
};

struct worker_ask *worker_ask_open(const struct worker_ask_config *config, struct why *why)
{
	struct worker_ask *ask = calloc(1, sizeof(*ask));
	if (!ask)
		goto failed;
	ask->config = *config;
	ask->maker = status_maker_new(config->base, config->look, config->arg);
	if (!ask->maker)
		goto failed;
	const struct status_ask_config callers = {
	    .base = config->base, .fd = config->fd, .verbs = verbs, .arg = ask};
	ask->callers = status_ask_open(&callers, why);
	if (ask->callers)
		return ask;
	worker_ask_close(ask);
	return NULL;
failed:
	free(ask);
	why_set(why, "control socket: no memory");
	return NULL;
}

void worker_ask_close(struct worker_ask *ask)
{
	if (!ask)
		return;
	status_ask_close(ask->callers);
	status_maker_free(ask->maker);
	free(ask);
}
