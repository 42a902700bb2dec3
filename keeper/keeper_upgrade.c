#include "keeper/keeper_upgrade.h"

#include "host/kept.h"
#include "host/log.h"
#include "keeper/keeper_commands.h"
#include "keeper/keeper_fastpath.h"
#include "keeper/keeper_life.h"
#include "keeper/keeper_own.h"
#include "keeper/keeper_spawn.h"
#include "keeper/keeper_trial.h"
#include "keeper/keeper_worker.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	HAND_OVER_S = 2,   /* for the worker to leave off */
	LOG_CLOSE_MS = 50, /* packets wait meanwhile */
	AGAIN_MAX = 100,   /* times that a next image is tried, AGAIN_MS after each other */
	AGAIN_MS = 100,
};

/* The image that runs now, whatever has become of its file since. */
#define OWN_IMAGE "/proc/self/exe"

/* ---- the trial ---- */

static void end_trial(struct keeper *keeper)
{
	keeper->trial = NULL;
	if (keeper->trial_letter >= 0)
		close(keeper->trial_letter);
	keeper->trial_letter = -1;
}

static void refuse_upgrade(const char *reason)
{
	log_error("SIGUSR2: no upgrade: %s", reason);
}

static void on_trial_done(void *arg, const char *failure)
{
	struct keeper *keeper = arg;
	end_trial(keeper);
	if (failure) {
		char reason[PATH_MAX + sizeof(struct why)];
		snprintf(reason, sizeof(reason), "%s: %s", keeper->path, failure);
		refuse_upgrade(reason);
		return;
	}
	if (keeper->state != KEEPER_RUNNING || !keeper_worker_is_ready(keeper->worker)) {
		refuse_upgrade("the worker is not ready, or ends");
		return;
	}
	log_flush(); /* now, as a slow reader is waited for while packets still go on */
	keeper->state = KEEPER_HANDING_OVER;
	keeper_life_tell(keeper, LINK_HAND_OVER);
	keeper_worker_kill_in(keeper->worker, HAND_OVER_S);
}

static int begin_trial(struct keeper *keeper, struct why *why)
{
	struct letter letter;
	int result = keeper_fill_letter(keeper, &letter, why);
	letter.to = LETTER_TO_TRIAL;
	keeper->trial_letter = result == 0 ? letter_write(&letter, why) : -1;
	letter_clear(&letter);
	if (keeper->trial_letter < 0)
		return -1;
	keeper->trial = keeper_trial_start(keeper->base, keeper->path, keeper->trial_letter,
					   on_trial_done, keeper, why);
	if (keeper->trial)
		return 0;
	end_trial(keeper);
	return -1;
}

void keeper_upgrade_asked(struct keeper *keeper)
{
	struct why why;
	if (keeper->state != KEEPER_RUNNING || keeper->trial || keeper->changing ||
	    !keeper_worker_is_ready(keeper->worker))
		refuse_upgrade("something else is under way");
	else if (keeper->path[0] == '\0')
		refuse_upgrade("where our program file is cannot be found out (/proc)");
	else if (begin_trial(keeper, &why) != 0)
		refuse_upgrade(why.text);
}

/* ---- the exec ---- */

static void become_next_image(struct keeper *keeper)
{
	struct letter letter;
	struct why why;
	int fd = -1;

	keeper_commands_cancel_all(keeper->commands);
	if (keeper_fill_letter(keeper, &letter, &why) == 0) {
		letter.to = LETTER_TO_KEEPER;
		fd = keeper_fastpath_describe(keeper->fastpath, &letter, &why) == 0
			 ? letter_write(&letter, &why)
			 : -1;
	}
	bool described = letter.fastpath != NULL;
	letter_clear(&letter);
	if (fd >= 0) {
		log_close_within(LOG_CLOSE_MS);
		if (keeper->change_again)
			kill(getpid(), SIGHUP);
		int error = keeper_spawn_in_place(keeper->path, keeper->argv, fd);
		close(fd);
		keeper_log_resume(&keeper->log, keeper_options(keeper));
		why_set(&why, "%.300s: %s", keeper->path, strerror(error));
	}
	if (described)
		keeper_fastpath_resume(keeper->fastpath);
	keeper_hear_signals();
	refuse_upgrade(why.text);
	keeper->state = KEEPER_RUNNING;
	keeper_life_start_again(keeper);
}

static void on_next_image(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *keeper = arg;
	(void)fd, (void)what;
	if (keeper->state != KEEPER_ENDING) {
		become_next_image(keeper);
		return;
	}
	keeper_hear_signals();
	if (!keeper_life_start_for_farewell(keeper, false))
		event_base_loopbreak(keeper->base);
}

/* Signals wait until the next image can handle them: by default they would end it. One that has
 * come already, and lies in the event loop's queue, would be lost with that: so a turn later. */
void keeper_upgrade_execute_soon(struct keeper *keeper)
{
	const struct timeval at_once = {0};
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (event_add(keeper->next_image, &at_once) != 0)
		become_next_image(keeper);
}

/* ---- birth and death ---- */

static void find_path(struct keeper *keeper)
{
	ssize_t length = readlink("/proc/self/exe", keeper->path, sizeof(keeper->path) - 1);
	keeper->path[length > 0 ? length : 0] = '\0';
}

int keeper_upgrade_open(struct keeper *keeper, struct why *why)
{
	find_path(keeper);
	keeper->next_image = evtimer_new(keeper->base, on_next_image, keeper);
	return keeper->next_image ? 0 : why_set(why, "event loop: %s", strerror(errno));
}

void keeper_upgrade_close(struct keeper *keeper)
{
	if (keeper->trial)
		keeper_trial_cancel(keeper->trial);
	end_trial(keeper);
	if (keeper->next_image)
		event_free(keeper->next_image);
}

/* ---- in the next image ---- */

void keeper_upgrade_again(char **argv, const struct letter *letter, const struct why *failure)
{
	const struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};
	struct letter next = *letter;
	struct why why;

	if (++next.again > AGAIN_MAX)
		return;
	log_error("%s; it is tried again", failure->text);
	log_close();
	nanosleep(&pause, NULL);
	int fd = letter_write(&next, &why);
	if (fd < 0)
		return;
	keeper_spawn_in_place(OWN_IMAGE, argv, fd);
	close(fd);
}

/* What has been taken over of the letter is given on. */
void keeper_upgrade_open_again(struct keeper *keeper, const struct letter *letter,
			       const struct why *failure)
{
	struct letter next = *letter;
	struct why why;

	next.log = keeper->log.file;
	if (keeper->fastpath) {
		next.fastpath = NULL;
		next.fastpath_length = 0;
		keeper_fastpath_describe(keeper->fastpath, &next, &why);
	}
	keeper_upgrade_again(keeper->argv, &next, failure);
	if (keeper->fastpath)
		free(next.fastpath);
}

int keeper_upgrade_try(const struct letter *letter)
{
	struct configuration configuration = {0};
	struct why why;
	bool good = kept_readable(letter->kept, &why) &&
		    configuration_receive(&configuration, letter, &why) == OPTIONS_RUN &&
		    keeper_log_try(&configuration.options, &why);
	if (!good)
		fprintf(stderr, "pptpproxy: %s\n", why.text);
	configuration_clear(&configuration);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
