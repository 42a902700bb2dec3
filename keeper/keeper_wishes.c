#include "keeper/keeper_wishes.h"

#include "host/log.h"
#include "host/monotonic.h"
#include "keeper/keeper_change.h"
#include "keeper/keeper_commands.h"
#include "keeper/keeper_fastpath.h"
#include "keeper/keeper_hold.h"
#include "keeper/keeper_life.h"
#include "keeper/keeper_own.h"

#include <stdio.h>
#include <unistd.h>

enum { TOLD_AGAIN_MS = 60000 }; /* that a connection is not kept */

/* ---- sockets ---- */

/* A name may be any address. */
static bool is_ours(const struct options *options, const struct link_message *wish)
{
	const struct pair_endpoint *stats = &options->stats;
	if (stats->port != 0 && stats->port == wish->port && stats->addr == wish->addr)
		return true;
	for (size_t i = 0; i < options->pair_count; i++) {
		const struct pair_endpoint *listen = &options->pairs[i].listen;
		if (listen->port == wish->port && (!listen->numeric || listen->addr == wish->addr))
			return true;
	}
	return false;
}

static size_t listeners_of(const struct options *options)
{
	return options->pair_count + (options->stats.port != 0);
}

static bool may_listen(const struct keeper *keeper, const struct link_message *wish)
{
	/* While the configuration changes there are the sockets of both. */
	const struct options *now = keeper_options(keeper), *wanted = &keeper->wanted.options;
	bool has_room =
	    keeper_hold_listens(keeper->hold, wish->addr, wish->port) ||
	    keeper_hold_listeners(keeper->hold) < listeners_of(now) + listeners_of(wanted);
	return has_room && (is_ours(now, wish) || is_ours(wanted, wish));
}

static void on_listen(struct keeper *keeper, const struct link_message *wish)
{
	struct link_message answer = {
	    .type = LINK_LISTENING, .addr = wish->addr, .port = wish->port};
	struct why why;
	int fd = -1;
	if (may_listen(keeper, wish))
		fd = keeper_hold_listen(keeper->hold, wish->addr, wish->port, wish->text, &why);
	else
		why_set(&why, "listen on %.300s: the configuration has no such pair", wish->text);
	if (fd >= 0) {
		answer.fds[0] = fd;
		answer.fd_count = 1;
	} else {
		snprintf(answer.text, sizeof(answer.text), "%s", why.text);
	}
	keeper_life_say(keeper, &answer);
}

/* With no number left for them the system cuts descriptors off. */
static void on_keep(struct keeper *keeper, const struct link_message *message)
{
	uint64_t now = monotonic_ms();
	if (message->fd_count == 2 && keeper_hold_keep(keeper->hold, message->number, message->fds))
		return;
	for (unsigned i = 0; message->fd_count != 2 && i < message->fd_count; i++)
		close(message->fds[i]);
	if (keeper->unkept_told != 0 && now - keeper->unkept_told < TOLD_AGAIN_MS)
		return;
	keeper->unkept_told = now;
	log_warning("calls of a connection would not outlive the worker: too few descriptors");
}

/* ---- fast path, captures ---- */

static void on_addresses_known(struct keeper *keeper)
{
	struct link_message answer;
	struct why why;
	if (keeper->fastpath_asked)
		return;
	keeper->fastpath_asked = true;
	bool is_there =
	    keeper_fastpath_open(keeper->fastpath, keeper_options(keeper), &answer, &why) == 0;
	if (!is_there && !keeper->announced && !keeper->upgraded) {
		keeper_give_up(keeper, &why);
		return;
	}
	if (!is_there)
		log_error("%s", why.text);
	keeper_life_say(keeper, &answer);
	if (answer.fd_count > 0)
		close(answer.fds[0]);
}

static void on_want(struct keeper *keeper, const struct link_message *request)
{
	struct link_message answer;
	keeper_fastpath_grant(keeper->fastpath, request, &answer);
	keeper_life_say(keeper, &answer);
}

static void on_capture(struct keeper *keeper)
{
	struct link_message answer;
	keeper_capture_give(&keeper->capture, keeper_options(keeper), &answer);
	keeper_life_say(keeper, &answer);
}

/* ---- all of them ---- */

void keeper_wishes_hear(void *arg, const struct link_message *message)
{
	struct keeper *keeper = arg;
	switch (message->type) {
	case LINK_READY:
		keeper_life_ready(keeper, message);
		break;
	case LINK_FAILED:
		keeper_life_failed(keeper, message);
		break;
	case LINK_KEEP:
		on_keep(keeper, message);
		return;
	case LINK_RELEASE:
		keeper_hold_release(keeper->hold, message->number);
		break;
	case LINK_LISTEN:
		on_listen(keeper, message);
		break;
	case LINK_UNLISTEN:
		keeper_hold_unlisten(keeper->hold, message->addr, message->port);
		break;
	case LINK_CHECK:
		keeper_commands_check(keeper->commands, message);
		break;
	case LINK_CANCEL:
		keeper_commands_cancel(keeper->commands, message->number);
		break;
	case LINK_CHANGED:
		keeper_change_answered(keeper, message);
		break;
	case LINK_ADDRESS:
		keeper_fastpath_note(keeper->fastpath, message);
		break;
	case LINK_FASTPATH:
		on_addresses_known(keeper);
		break;
	case LINK_WANT:
		on_want(keeper, message);
		break;
	case LINK_CAPTURE:
		on_capture(keeper);
		break;
	default:
		break;
	}
	for (unsigned i = 0; i < message->fd_count; i++)
		close(message->fds[i]); /* none is expected */
}
