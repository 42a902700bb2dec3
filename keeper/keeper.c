/*
 * What the keeper does is short, and it waits for nobody, but for a second at most for its log, so
 * that a worker that has died is replaced at once.
 */
#include "keeper/keeper.h"

#include "host/background.h"
#include "host/limits.h"
#include "host/log.h"
#include "host/readiness.h"
#include "keeper/keeper_change.h"
#include "keeper/keeper_commands.h"
#include "keeper/keeper_fastpath.h"
#include "keeper/keeper_hold.h"
#include "keeper/keeper_life.h"
#include "keeper/keeper_own.h"
#include "keeper/keeper_upgrade.h"
#include "keeper/keeper_worker.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- for all pieces ---- */

void keeper_give_up(struct keeper *keeper, const struct why *failure)
{
	keeper->failure = *failure;
	keeper->failed = true;
	event_base_loopbreak(keeper->base);
}

void keeper_tell_supervisor(struct keeper *keeper, const char *trouble)
{
	char status[sizeof(struct why) + 64];
	if (keeper->change_again)
		return;
	snprintf(status, sizeof(status), "%u %s%s%s", keeper->pairs,
		 keeper->pairs == 1 ? "pair" : "pairs", trouble ? "; " : "",
		 trouble ? trouble : "");
	readiness_ready(keeper->ready_fd, status);
	keeper->ready_fd = -1;
}

int keeper_fill_letter(struct keeper *keeper, struct letter *letter, struct why *why)
{
	*letter = LETTER_NONE;
	letter->keeper = (long)getpid();
	letter->descriptors = keeper->descriptors;
	letter->log = keeper->log.file;
	letter->user = keeper->user;
	return configuration_tell(&keeper->configuration, keeper->argv, letter, why) != 0 ||
		       keeper_hold_tell(keeper->hold, letter, why) != 0
		   ? -1
		   : 0;
}

void keeper_warn_of_page(const struct options *options)
{
	enum { LOOPBACK = 127 };
	char text[PAIR_TEXT_MAX];
	if (options->stats.port != 0 && options->stats.addr >> 24 != LOOPBACK)
		log_warning("status page on %s, which is no loopback address: whoever reaches it "
			    "sees all calls",
			    pair_endpoint_text(&options->stats, text));
}

/* ---- signals ---- */

void keeper_hear_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void on_end(evutil_socket_t number, short what, void *arg)
{
	struct keeper *keeper = arg;
	(void)what;
	if (keeper->state == KEEPER_ENDING)
		return;
	log_info("%s: ending", number == SIGINT ? "SIGINT" : "SIGTERM");
	readiness_stopping();
	bool was_running = keeper->state == KEEPER_RUNNING;
	keeper->state = KEEPER_ENDING;
	if (keeper_worker_pid(keeper->worker) == 0 && !keeper->announced && !keeper->upgraded)
		event_base_loopbreak(keeper->base);
	else if (was_running)
		keeper_life_end(keeper);
}

static void on_hangup(evutil_socket_t number, short what, void *arg)
{
	(void)number, (void)what;
	keeper_change_asked(arg);
}

static void on_usr2(evutil_socket_t number, short what, void *arg)
{
	(void)number, (void)what;
	keeper_upgrade_asked(arg);
}

static int open_signals(struct keeper *keeper, struct why *why)
{
	static const struct {
		int number;
		event_callback_fn callback;
	} handlers[KEEPER_SIGNALS] = {
	    {SIGTERM, on_end}, {SIGINT, on_end}, {SIGHUP, on_hangup}, {SIGUSR2, on_usr2}};

	for (int i = 0; i < KEEPER_SIGNALS; i++) {
		keeper->signals[i] =
		    evsignal_new(keeper->base, handlers[i].number, handlers[i].callback, keeper);
		if (!keeper->signals[i] || event_add(keeper->signals[i], NULL) != 0)
			return why_set(why, "%s: cannot be handled", strsignal(handlers[i].number));
	}
	keeper_hear_signals();
	return 0;
}

/* ---- birth ---- */

static int open_base(struct keeper *keeper, struct why *why)
{
	keeper->base = event_base_new();
	return keeper->base ? 0 : why_set(why, "event loop: %s", strerror(errno));
}

static int open_hold(struct keeper *keeper, const struct letter *letter, struct why *why)
{
	const char *control = keeper_options(keeper)->control;
	keeper->hold =
	    letter ? keeper_hold_adopt(control, letter, why) : keeper_hold_open(control, why);
	return keeper->hold ? 0 : -1;
}

static void on_command_answer(void *arg, const struct link_message *message)
{
	struct keeper *keeper = arg;
	keeper_life_say(keeper, message);
}

static int open_all(struct keeper *keeper, const struct letter *letter, struct why *why)
{
	const struct options *options = keeper_options(keeper);

	keeper->descriptors = limits_raise_descriptors();
	if (keeper->ready_fd >= 0 && readiness_take_descriptor(keeper->ready_fd, why) != 0)
		return -1;
	if (!letter && !options->foreground && background_begin(why) != 0)
		return -1;
	if (keeper_log_open(&keeper->log, options, why) != 0 || open_base(keeper, why) != 0 ||
	    keeper_upgrade_open(keeper, why) != 0 || open_hold(keeper, letter, why) != 0)
		return -1;
	/* Of a second start the hold says that one runs, which has this file. */
	if (!letter && keeper_capture_check(&keeper->capture, options, why) != 0)
		return -1;
	if (letter)
		keeper->user = letter->user;
	else if (user_find(options->user, &keeper->user, why) != 0)
		return -1;
	keeper->commands =
	    keeper_commands_new(keeper->base, &keeper->user, on_command_answer, keeper);
	if (!keeper->commands)
		return why_set(why, "access commands: no memory");
	keeper->fastpath = keeper_fastpath_new();
	if (!keeper->fastpath)
		return why_set(why, "fast path: no memory");
	if (letter)
		keeper_fastpath_adopt(keeper->fastpath, letter, options);
	if (keeper_life_open(keeper, why) != 0 ||
	    keeper_commands_prepare(keeper->commands, &keeper->configuration.options, why) != 0 ||
	    open_signals(keeper, why) != 0)
		return -1;
	keeper_commands_use(keeper->commands);
	if (!letter)
		return keeper_life_start(keeper, why);
	keeper_life_start_again(keeper);
	return 0;
}

/* ---- death; any half-born state ---- */

static void close_all(struct keeper *keeper)
{
	keeper_upgrade_close(keeper);
	keeper_commands_free(keeper->commands);
	keeper_life_close(keeper);
	keeper_fastpath_close(keeper->fastpath);
	if (keeper->pid_written)
		background_pid_file_remove(keeper_options(keeper)->pid_file);
	for (int i = 0; i < KEEPER_SIGNALS; i++) {
		if (keeper->signals[i])
			event_free(keeper->signals[i]);
	}
	if (keeper->base)
		event_base_free(keeper->base);
	libevent_global_shutdown();
	keeper_hold_close(keeper->hold);
	keeper_capture_close(&keeper->capture);
	keeper_log_close(&keeper->log);
	configuration_clear(&keeper->wanted);
	configuration_clear(&keeper->configuration);
}

/* In the foreground the log is standard output, and whoever reads it sees standard error too. */
static int fail(struct keeper *keeper, const struct why *why)
{
	const struct options *options = keeper_options(keeper);
	if (keeper->log.open && (options->log_file || !options->foreground))
		log_error("%s", why->text);
	fprintf(stderr, "pptpproxy: %s\n", why->text);
	close_all(keeper);
	return EXIT_FAILURE;
}

int keeper_run(char **argv, struct configuration *configuration, const struct letter *letter)
{
	struct keeper keeper = {
	    .argv = argv,
	    .configuration = *configuration,
	    .log = KEEPER_LOG_NONE,
	    .capture = KEEPER_CAPTURE_NONE,
	    .trial_letter = -1,
	    .ready_fd = letter ? -1 : configuration->options.ready_fd,
	    .upgraded = letter != NULL,
	    .pid_written = letter && configuration->options.pid_file,
	};
	struct why why;

	keeper.log.file = letter ? letter->log : -1;
	signal(SIGPIPE, SIG_IGN);
	if (background_standard_descriptors(&why) != 0 || open_all(&keeper, letter, &why) != 0) {
		if (letter)
			keeper_upgrade_open_again(&keeper, letter, &why);
		return fail(&keeper, &why);
	}
	if (event_base_dispatch(keeper.base) != 0)
		return fail(&keeper, why_set(&why, "the event loop failed") ? &why : &why);
	if (keeper.failed)
		return fail(&keeper, &keeper.failure);
	if (!keeper.announced && !keeper_options(&keeper)->foreground)
		fputs("pptpproxy: ended by a signal before it was ready\n", stderr);
	log_info("stopped");
	close_all(&keeper);
	return EXIT_SUCCESS;
}
