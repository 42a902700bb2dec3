/*
 * One worker at a time. It is replaced at once when it dies, unless that would be for ever.
 */
#include "keeper/keeper_life.h"

#include "host/background.h"
#include "host/log.h"
#include "host/readiness.h"
#include "keeper/keeper_change.h"
#include "keeper/keeper_commands.h"
#include "keeper/keeper_fastpath.h"
#include "keeper/keeper_hold.h"
#include "keeper/keeper_own.h"
#include "keeper/keeper_upgrade.h"
#include "keeper/keeper_wishes.h"
#include "keeper/keeper_worker.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAREWELL_S = 5 }; /* for the worker to end; it takes a second at most itself */

/* ---- it is told ---- */

/* What is not heard might be waited for. */
void keeper_life_say(struct keeper *keeper, const struct link_message *message)
{
	if (keeper_worker_send(keeper->worker, message) == 0)
		return;
	if (errno == ESRCH || errno == EPIPE || errno == ECONNRESET)
		return; /* it has died */
	log_error("worker %ld cannot be told: %s; it is killed",
		  (long)keeper_worker_pid(keeper->worker), strerror(errno));
	keeper_worker_kill(keeper->worker);
}

void keeper_life_tell(struct keeper *keeper, enum link_type type)
{
	struct link_message message = {.type = type};
	keeper_life_say(keeper, &message);
}

void keeper_life_end(struct keeper *keeper)
{
	keeper->end_told = true;
	keeper_life_tell(keeper, LINK_END);
	keeper_worker_kill_in(keeper->worker, FAREWELL_S);
}

/* ---- it starts ---- */

int keeper_life_start(struct keeper *keeper, struct why *why)
{
	struct letter letter;
	int result = keeper_fill_letter(keeper, &letter, why);
	keeper->failure_told = keeper->fastpath_asked = false;
	keeper_capture_begin(&keeper->capture);
	if (result == 0) {
		letter.given = keeper_fastpath_give(keeper->fastpath);
		result = keeper_worker_start(keeper->worker, &letter, why);
	}
	if (letter.given >= 0)
		close(letter.given);
	letter_clear(&letter);
	return result;
}

static void start_later(struct keeper *keeper, unsigned seconds)
{
	struct timeval after = {.tv_sec = seconds};
	if (event_add(keeper->restart, &after) != 0)
		event_active(keeper->restart, EV_TIMEOUT, 0); /* too soon rather than never */
}

void keeper_life_start_again(struct keeper *keeper)
{
	struct why why;
	keeper->end_told = false;
	if (keeper_life_start(keeper, &why) == 0)
		return;
	log_error("%s", why.text);
	if (keeper->state == KEEPER_ENDING)
		event_base_loopbreak(keeper->base);
	else
		start_later(keeper, 1);
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	keeper_life_start_again(arg);
}

/* Whoever was to say farewell has died before it had, or was ending for a successor. */
bool keeper_life_start_for_farewell(struct keeper *keeper, bool orderly)
{
	if ((orderly && keeper->end_told) || keeper->last_chance ||
	    keeper_hold_legs(keeper->hold) == 0)
		return false;
	keeper->last_chance = true;
	keeper_life_start_again(keeper);
	keeper_worker_kill_in(keeper->worker, FAREWELL_S);
	return true;
}

/* ---- it is ready, or cannot be ---- */

static void announce(struct keeper *keeper, const struct link_message *message)
{
	const struct options *options = keeper_options(keeper);
	struct why why;

	keeper->announced = true;
	if (keeper->upgraded) {
		log_info("upgraded: %s, pid %ld: %u connections, %u calls go on", options_version,
			 (long)getpid(), message->count[0], message->count[1]);
		return;
	}
	if ((options->pid_file && background_pid_file_write(options->pid_file, &why) != 0)) {
		keeper_give_up(keeper, &why);
		return;
	}
	keeper->pid_written = options->pid_file != NULL;
	if (background_ready(&why) != 0) {
		keeper_give_up(keeper, &why);
		return;
	}
	if (keeper->configuration.open_to_all)
		log_warning("no access rules (-a, -x): any source may connect");
	keeper_warn_of_page(options);
	log_info("ready: %s, pid %ld, %u %s", options_version, (long)getpid(), message->number,
		 message->number == 1 ? "pair" : "pairs");
}

void keeper_life_ready(struct keeper *keeper, const struct link_message *message)
{
	if (keeper_worker_is_ready(keeper->worker))
		return;
	keeper_worker_note_ready(keeper->worker);
	if (keeper->announced)
		log_info("worker %ld goes on: %u connections, %u calls",
			 (long)keeper_worker_pid(keeper->worker), message->count[0],
			 message->count[1]);
	else
		announce(keeper, message);
	keeper->pairs = message->number;
	if (keeper->state == KEEPER_ENDING)
		keeper_life_end(keeper);
	else if (keeper->change_again)
		keeper_change_begin(keeper);
	else if (!keeper->failed)
		keeper_tell_supervisor(keeper, NULL);
}

void keeper_life_failed(struct keeper *keeper, const struct link_message *message)
{
	if (keeper->failure_told || keeper_worker_is_ready(keeper->worker))
		return;
	keeper->failure_told = true;
	if (keeper->announced || keeper->upgraded)
		log_error("%s", message->text);
	else
		why_set(&keeper->failure, "%s", message->text);
}

/* ---- it has ended ---- */

static void tell_death(pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_error("worker %ld died: signal %d (%s)", (long)pid, WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
	else
		log_error("worker %ld died: exit status %d", (long)pid, WEXITSTATUS(status));
}

static void on_worker_ended(void *arg, pid_t pid, int status, bool was_ready)
{
	struct keeper *keeper = arg;
	bool orderly = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	keeper_commands_cancel_all(keeper->commands);
	keeper_change_lost(keeper);
	if (keeper->state == KEEPER_ENDING || (keeper->failure.text[0] && !keeper->announced)) {
		if (!orderly && keeper->state == KEEPER_ENDING && was_ready)
			tell_death(pid, status);
		if (keeper->state == KEEPER_ENDING && was_ready &&
		    keeper_life_start_for_farewell(keeper, orderly))
			return;
		keeper->failed = keeper->state != KEEPER_ENDING;
		event_base_loopbreak(keeper->base);
		return;
	}
	if (!orderly || keeper->state != KEEPER_HANDING_OVER)
		tell_death(pid, status);
	if (keeper->state == KEEPER_HANDING_OVER) {
		keeper_upgrade_execute_soon(keeper);
		return;
	}
	unsigned pause = keeper_worker_pause_s(keeper->worker);
	if (pause == 0) {
		keeper_life_start_again(keeper);
		return;
	}
	log_warning("the next worker starts in %u s", pause);
	readiness_status("no worker; the next one is about to start");
	start_later(keeper, pause);
}

/* ---- birth and death ---- */

int keeper_life_open(struct keeper *keeper, struct why *why)
{
	const struct keeper_worker_events events = {
	    .received = keeper_wishes_hear, .ended = on_worker_ended, .arg = keeper};
	keeper->restart = evtimer_new(keeper->base, on_restart, keeper);
	if (!keeper->restart)
		return why_set(why, "event loop: %s", strerror(errno));
	keeper->worker = keeper_worker_new(keeper->base, &events, why);
	return keeper->worker ? 0 : -1;
}

void keeper_life_close(struct keeper *keeper)
{
	keeper_worker_free(keeper->worker);
	if (keeper->restart)
		event_free(keeper->restart);
}
