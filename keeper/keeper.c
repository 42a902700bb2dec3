/*
 * What the keeper does is short, and it waits for nobody, but for a second at most for its log, so
 * that a worker that has died is replaced at once.
 */
#include "keeper/keeper.h"

#include "host/background.h"
#include "host/kept.h"
#include "host/limits.h"
#include "host/log.h"
#include "host/monotonic.h"
#include "host/readiness.h"
#include "host/user.h"
#include "keeper/keeper_capture.h"
#include "keeper/keeper_commands.h"
#include "keeper/keeper_fastpath.h"
#include "keeper/keeper_hold.h"
#include "keeper/keeper_spawn.h"
#include "keeper/keeper_trial.h"
#include "keeper/keeper_worker.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	FAREWELL_S = 5,	 /* for the worker to end; it takes a second at most itself */
	HAND_OVER_S = 2, /* for it to leave off */
	AGAIN_MAX = 100, /* times that a next image is tried, AGAIN_MS after each other */
	AGAIN_MS = 100,
	SIGNALS = 4,
	TOLD_AGAIN_MS = 60000, /* that a connection is not kept */
};

/* The image that runs now, whatever has become of its file since. */
#define OWN_IMAGE "/proc/self/exe"

enum state { RUNNING, HANDING_OVER, ENDING };

struct keeper {
	char **argv;
	char path[PATH_MAX]; /* of our program file; "": not known */
	struct user user;    /* whom commands become */
	struct configuration configuration;
	struct configuration wanted; /* told to the worker, which has not answered yet */
	bool changing, change_again;
	size_t descriptors;
	/* Descriptors for workers, -1: none; of the wanted configuration. */
	int log_file, wanted_log_file;
	struct keeper_capture capture;
	bool log_open, pid_written, announced, upgraded, failed;
	int ready_fd;			   /* who started us waits there; -1: nobody */
	unsigned pairs;			   /* that the worker serves */
	uint64_t unkept_told;		   /* when; 0: never */
	bool end_told, last_chance;	   /* at the end: to the worker; it is the second one */
	bool failure_told, fastpath_asked; /* by this worker */
	enum state state;
	struct event_base *base;
	struct event *signals[SIGNALS], *restart, *next_image;
	struct keeper_hold *hold;
	struct keeper_worker *worker;
	struct keeper_commands *commands;
	struct keeper_fastpath *fastpath;
	struct keeper_trial *trial;
	int trial_letter;
	struct why failure;
};

static const struct options *options_of(const struct keeper *keeper)
{
	return &keeper->configuration.options;
}

static void give_up(struct keeper *keeper)
{
	keeper->failed = true;
	event_base_loopbreak(keeper->base);
}

/* That all is well, unless a change of the configuration is still to come, whose end is told.
 * trouble: what people should know besides, or NULL. */
static void tell_supervisor(struct keeper *keeper, const char *trouble)
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

/* ---- the log ---- */

static int open_log(struct keeper *keeper, const struct options *options, struct why *why)
{
	struct log_config config = {
	    .target = options->log_file	    ? LOG_TO_FILE
		      : options->foreground ? LOG_TO_STDOUT
					    : LOG_TO_SYSLOG,
	    .path = options->log_file,
	    .level = options->log_level,
	    .name = "pptpproxy",
	};
	if (log_open(&config, why) != 0)
		return -1;
	keeper->log_open = true;
	return 0;
}

/* The worker's own descriptor of the same file, *file, which is closed; -1: none. */
static int open_workers_log(int *file, const struct options *options, struct why *why)
{
	int next = -1;
	if (options->log_file && (next = log_open_file(options->log_file, why)) < 0)
		return -1;
	if (*file >= 0)
		close(*file);
	*file = next;
	if (next >= 0)
		fcntl(next, F_SETFD, 0);
	return 0;
}

/* ---- the worker's life ---- */

static int write_letter(struct keeper *keeper, const struct configuration *configuration,
			struct letter *letter, struct why *why)
{
	*letter = LETTER_NONE;
	letter->keeper = (long)getpid();
	letter->descriptors = keeper->descriptors;
	letter->log = keeper->log_file;
	letter->user = keeper->user;
	return configuration_tell(configuration, keeper->argv, letter, why) != 0 ||
		       keeper_hold_tell(keeper->hold, letter, why) != 0
		   ? -1
		   : 0;
}

static int start_worker(struct keeper *keeper, struct why *why)
{
	struct letter letter;
	int result = write_letter(keeper, &keeper->configuration, &letter, why);
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

static void start_again(struct keeper *keeper)
{
	struct why why;
	keeper->end_told = false;
	if (start_worker(keeper, &why) == 0)
		return;
	log_error("%s", why.text);
	if (keeper->state == ENDING)
		event_base_loopbreak(keeper->base);
	else
		start_later(keeper, 1);
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	start_again(arg);
}

/* What is not heard might be waited for. */
static void say(struct keeper *keeper, const struct link_message *message)
{
	if (keeper_worker_send(keeper->worker, message) == 0)
		return;
	if (errno == ESRCH || errno == EPIPE || errno == ECONNRESET)
		return; /* it has died */
	log_error("worker %ld cannot be told: %s; it is killed",
		  (long)keeper_worker_pid(keeper->worker), strerror(errno));
	keeper_worker_kill(keeper->worker);
}

static void tell_worker(struct keeper *keeper, enum link_type type)
{
	struct link_message message = {.type = type};
	say(keeper, &message);
}

static void end_worker(struct keeper *keeper)
{
	keeper->end_told = true;
	tell_worker(keeper, LINK_END);
	keeper_worker_kill_in(keeper->worker, FAREWELL_S);
}

static void tell_death(pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_error("worker %ld died: signal %d (%s)", (long)pid, WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
	else
		log_error("worker %ld died: exit status %d", (long)pid, WEXITSTATUS(status));
}

/* Whoever was to say farewell has died before it had, or was ending for a successor. */
static bool start_for_farewell(struct keeper *keeper, bool orderly)
{
	if ((orderly && keeper->end_told) || keeper->last_chance ||
	    keeper_hold_legs(keeper->hold) == 0)
		return false;
	keeper->last_chance = true;
	start_again(keeper);
	keeper_worker_kill_in(keeper->worker, FAREWELL_S);
	return true;
}

static void become_next_image_soon(struct keeper *keeper);
static void forget_change(struct keeper *keeper);

static void on_worker_ended(void *arg, pid_t pid, int status, bool was_ready)
{
	struct keeper *keeper = arg;
	bool orderly = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	keeper_commands_cancel_all(keeper->commands);
	if (keeper->changing) {
		forget_change(keeper);
		keeper->change_again = true;
	}
	if (keeper->state == ENDING || (keeper->failure.text[0] && !keeper->announced)) {
		if (!orderly && keeper->state == ENDING && was_ready)
			tell_death(pid, status);
		if (keeper->state == ENDING && was_ready && start_for_farewell(keeper, orderly))
			return;
		keeper->failed = keeper->state != ENDING;
		event_base_loopbreak(keeper->base);
		return;
	}
	if (!orderly || keeper->state != HANDING_OVER)
		tell_death(pid, status);
	if (keeper->state == HANDING_OVER) {
		become_next_image_soon(keeper);
		return;
	}
	unsigned pause = keeper_worker_pause_s(keeper->worker);
	if (pause == 0) {
		start_again(keeper);
		return;
	}
	log_warning("the next worker starts in %u s", pause);
	readiness_status("no worker; the next one is about to start");
	start_later(keeper, pause);
}

/* ---- what the worker says ---- */

/* It reads what strangers send, so it may be theirs by now: it is given what the configuration has,
 * and nothing that it says takes more than so much. */

static void warn_of_page(const struct options *options)
{
	enum { LOOPBACK = 127 };
	char text[PAIR_TEXT_MAX];
	if (options->stats.port != 0 && options->stats.addr >> 24 != LOOPBACK)
		log_warning("status page on %s, which is no loopback address: whoever reaches it "
			    "sees all calls",
			    pair_endpoint_text(&options->stats, text));
}

static void announce(struct keeper *keeper, const struct link_message *message)
{
	const struct options *options = options_of(keeper);
	struct why why;

	keeper->announced = true;
	if (keeper->upgraded) {
		log_info("upgraded: %s, pid %ld: %u connections, %u calls go on", options_version,
			 (long)getpid(), message->count[0], message->count[1]);
		return;
	}
	if ((options->pid_file && background_pid_file_write(options->pid_file, &why) != 0)) {
		keeper->failure = why;
		give_up(keeper);
		return;
	}
	keeper->pid_written = options->pid_file != NULL;
	if (background_ready(&why) != 0) {
		keeper->failure = why;
		give_up(keeper);
		return;
	}
	if (keeper->configuration.open_to_all)
		log_warning("no access rules (-a, -x): any source may connect");
	warn_of_page(options);
	log_info("ready: %s, pid %ld, %u %s", options_version, (long)getpid(), message->number,
		 message->number == 1 ? "pair" : "pairs");
}

static void begin_change(struct keeper *keeper);

static void on_ready(struct keeper *keeper, const struct link_message *message)
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
	if (keeper->state == ENDING)
		end_worker(keeper);
	else if (keeper->change_again)
		begin_change(keeper);
	else if (!keeper->failed)
		tell_supervisor(keeper, NULL);
}

static void on_failed(struct keeper *keeper, const struct link_message *message)
{
	if (keeper->failure_told || keeper_worker_is_ready(keeper->worker))
		return;
	keeper->failure_told = true;
	if (keeper->announced || keeper->upgraded)
		log_error("%s", message->text);
	else
		why_set(&keeper->failure, "%s", message->text);
}

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
	const struct options *now = options_of(keeper), *wanted = &keeper->wanted.options;
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
	say(keeper, &answer);
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

static void on_addresses_known(struct keeper *keeper)
{
	struct link_message answer;
	struct why why;
	if (keeper->fastpath_asked)
		return;
	keeper->fastpath_asked = true;
	bool is_there =
	    keeper_fastpath_open(keeper->fastpath, options_of(keeper), &answer, &why) == 0;
	if (!is_there && !keeper->announced && !keeper->upgraded) {
		keeper->failure = why;
		give_up(keeper);
		return;
	}
	if (!is_there)
		log_error("%s", why.text);
	say(keeper, &answer);
	if (answer.fd_count > 0)
		close(answer.fds[0]);
}

static void on_want(struct keeper *keeper, const struct link_message *request)
{
	struct link_message answer;
	keeper_fastpath_grant(keeper->fastpath, request, &answer);
	say(keeper, &answer);
}

static void on_capture(struct keeper *keeper)
{
	struct link_message answer;
	keeper_capture_give(&keeper->capture, options_of(keeper), &answer);
	say(keeper, &answer);
}

static void on_changed(struct keeper *keeper, const struct link_message *message);

static void on_message(void *arg, const struct link_message *message)
{
	struct keeper *keeper = arg;
	switch (message->type) {
	case LINK_READY:
		on_ready(keeper, message);
		break;
	case LINK_FAILED:
		on_failed(keeper, message);
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
		on_changed(keeper, message);
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

static void on_command_answer(void *arg, const struct link_message *message)
{
	struct keeper *keeper = arg;
	say(keeper, message);
}

/* ---- a new configuration ---- */

static bool differ(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") != 0;
}

static bool differ_interfaces(const struct options *now, const struct options *wanted)
{
	if (now->interface_count != wanted->interface_count)
		return true;
	for (size_t i = 0; i < now->interface_count; i++) {
		if (differ(now->interfaces[i], wanted->interfaces[i]))
			return true;
	}
	return false;
}

/* What only a new start can change. NULL: nothing of that has changed. */
static const char *fixed_option(const struct options *now, const struct options *wanted)
{
	return now->foreground != wanted->foreground	 ? "nofork"
	       : differ(now->pid_file, wanted->pid_file) ? "pid-file"
	       : differ(now->control, wanted->control)	 ? "control"
	       : differ(now->user, wanted->user)	 ? "user"
	       : now->fastpath != wanted->fastpath	 ? "fastpath"
	       : differ_interfaces(now, wanted)		 ? "fastpath-interface"
							 : NULL;
}

static int read_wanted(struct keeper *keeper, struct why *why)
{
	int argc = 0;
	while (keeper->argv[argc])
		argc++;
	if (configuration_read(&keeper->wanted, argc, keeper->argv, why) != OPTIONS_RUN)
		return -1;
	const char *fixed = fixed_option(options_of(keeper), &keeper->wanted.options);
	return fixed ? why_set(why, "%s: it needs a new start", fixed) : 0;
}

/* The letter holds the words and the file only. */
static int send_wanted(struct keeper *keeper, struct why *why)
{
	struct letter letter = LETTER_NONE;
	struct link_message message = {.type = LINK_CHANGE};
	letter.to = LETTER_TO_WORKER;
	letter.descriptors = keeper->descriptors;
	int fd = configuration_tell(&keeper->wanted, keeper->argv, &letter, why) == 0
		     ? letter_write(&letter, why)
		     : -1;
	letter_clear(&letter);
	if (fd < 0)
		return -1;
	message.fds[message.fd_count++] = fd;
	if (keeper->wanted_log_file >= 0)
		message.fds[message.fd_count++] = keeper->wanted_log_file;
	int result = keeper_worker_send(keeper->worker, &message);
	/* It has died, which will be noticed; its successor is told then. */
	if (result != 0 && (errno == EPIPE || errno == ECONNRESET))
		result = 0;
	if (result != 0)
		why_set(why, "the worker cannot be told: %s", strerror(errno));
	close(fd);
	return result;
}

static void forget_change(struct keeper *keeper)
{
	keeper->changing = false;
	configuration_clear(&keeper->wanted);
	keeper_commands_forget(keeper->commands);
	if (keeper->wanted_log_file >= 0)
		close(keeper->wanted_log_file);
	keeper->wanted_log_file = -1;
}

static void refuse_change(struct keeper *keeper, const char *reason)
{
	struct why trouble;
	log_error("SIGHUP: the configuration stays as it was: %s", reason);
	why_set(&trouble, "the last SIGHUP changed nothing: %s", reason);
	tell_supervisor(keeper, trouble.text);
	forget_change(keeper);
}

/* All that can fail comes before the worker hears of it. */
static void begin_change(struct keeper *keeper)
{
	struct options *wanted = &keeper->wanted.options;
	struct why why;
	keeper->change_again = false;
	keeper->changing = true;
	if (read_wanted(keeper, &why) != 0 ||
	    open_workers_log(&keeper->wanted_log_file, wanted, &why) != 0 ||
	    keeper_capture_check(&keeper->capture, wanted, &why) != 0 ||
	    keeper_commands_prepare(keeper->commands, wanted, &why) != 0 ||
	    send_wanted(keeper, &why) != 0)
		refuse_change(keeper, why.text);
}

static void use_log(struct keeper *keeper, const struct options *was, const struct options *is)
{
	struct why why;
	if (!differ(was->log_file, is->log_file) && was->log_level == is->log_level)
		return;
	log_close();
	keeper->log_open = false;
	if (open_log(keeper, is, &why) != 0)
		log_error("%s", why.text);
}

static void use_wanted(struct keeper *keeper)
{
	struct configuration was = keeper->configuration;
	int log_file = keeper->log_file;

	keeper->configuration = keeper->wanted;
	keeper->log_file = keeper->wanted_log_file;
	keeper_commands_use(keeper->commands);
	keeper_capture_begin(&keeper->capture);
	use_log(keeper, &was.options, options_of(keeper));
	const struct pair_endpoint *page = &options_of(keeper)->stats;
	if (page->addr != was.options.stats.addr || page->port != was.options.stats.port)
		warn_of_page(options_of(keeper));
	keeper->wanted = was;
	keeper->wanted_log_file = log_file;
	forget_change(keeper);
}

static void on_changed(struct keeper *keeper, const struct link_message *message)
{
	if (!keeper->changing)
		return;
	if (message->text[0]) {
		refuse_change(keeper, message->text);
	} else {
		use_wanted(keeper);
		log_info("SIGHUP: new configuration in use, %u %s", message->number,
			 message->number == 1 ? "pair" : "pairs");
		keeper->pairs = message->number;
		tell_supervisor(keeper, NULL);
	}
	if (keeper->change_again)
		begin_change(keeper);
}

/* Log rotation must not depend on a good configuration file. */
static void reopen_log(struct keeper *keeper)
{
	struct link_message message = {.type = LINK_LOG};
	struct why why;

	log_reopen();
	if (open_workers_log(&keeper->log_file, options_of(keeper), &why) == 0 &&
	    keeper->log_file >= 0) {
		message.fds[0] = keeper->log_file;
		message.fd_count = 1;
	}
	say(keeper, &message);
}

static void on_hangup(evutil_socket_t number, short what, void *arg)
{
	struct keeper *keeper = arg;
	(void)number, (void)what;
	if (keeper->state != RUNNING) {
		keeper->change_again = true;
		return;
	}
	readiness_reloading();
	reopen_log(keeper);
	if (!keeper->configuration.file)
		tell_supervisor(keeper, NULL);
	else if (keeper->changing || !keeper_worker_is_ready(keeper->worker))
		keeper->change_again = true;
	else
		begin_change(keeper);
}

/* ---- upgrade ---- */

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
	if (keeper->state != RUNNING || !keeper_worker_is_ready(keeper->worker)) {
		refuse_upgrade("the worker is not ready, or ends");
		return;
	}
	keeper->state = HANDING_OVER;
	tell_worker(keeper, LINK_HAND_OVER);
	keeper_worker_kill_in(keeper->worker, HAND_OVER_S);
}

static int begin_trial(struct keeper *keeper, struct why *why)
{
	struct letter letter;
	int result = write_letter(keeper, &keeper->configuration, &letter, why);
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

static void on_upgrade(evutil_socket_t number, short what, void *arg)
{
	struct keeper *keeper = arg;
	struct why why;
	(void)number, (void)what;
	if (keeper->state != RUNNING || keeper->trial || keeper->changing ||
	    !keeper_worker_is_ready(keeper->worker))
		refuse_upgrade("something else is under way");
	else if (keeper->path[0] == '\0')
		refuse_upgrade("where our program file is cannot be found out (/proc)");
	else if (begin_trial(keeper, &why) != 0)
		refuse_upgrade(why.text);
}

static void hear_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_next_image(struct keeper *keeper)
{
	struct letter letter;
	struct why why;
	int fd = -1;

	keeper_commands_cancel_all(keeper->commands);
	if (write_letter(keeper, &keeper->configuration, &letter, &why) == 0) {
		letter.to = LETTER_TO_KEEPER;
		fd = keeper_fastpath_describe(keeper->fastpath, &letter, &why) == 0
			 ? letter_write(&letter, &why)
			 : -1;
	}
	bool described = letter.fastpath != NULL;
	letter_clear(&letter);
	if (fd >= 0) {
		log_close();
		if (keeper->change_again)
			kill(getpid(), SIGHUP);
		int error = keeper_spawn_in_place(keeper->path, keeper->argv, fd);
		close(fd);
		struct why no_log;
		open_log(keeper, options_of(keeper), &no_log);
		why_set(&why, "%.300s: %s", keeper->path, strerror(error));
	}
	if (described)
		keeper_fastpath_resume(keeper->fastpath);
	hear_signals();
	refuse_upgrade(why.text);
	keeper->state = RUNNING;
	start_again(keeper);
}

static void on_next_image(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *keeper = arg;
	(void)fd, (void)what;
	if (keeper->state != ENDING) {
		become_next_image(keeper);
		return;
	}
	hear_signals();
	if (!start_for_farewell(keeper, false))
		event_base_loopbreak(keeper->base);
}

/* Signals wait until the next image can handle them: by default they would end it. One that has
 * come already, and lies in the event loop's queue, would be lost with that: so a turn later. */
static void become_next_image_soon(struct keeper *keeper)
{
	const struct timeval at_once = {0};
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (event_add(keeper->next_image, &at_once) != 0)
		become_next_image(keeper);
}

/* ---- the end ---- */

static void on_end(evutil_socket_t number, short what, void *arg)
{
	struct keeper *keeper = arg;
	(void)what;
	if (keeper->state == ENDING)
		return;
	log_info("%s: ending", number == SIGINT ? "SIGINT" : "SIGTERM");
	readiness_stopping();
	bool was_running = keeper->state == RUNNING;
	keeper->state = ENDING;
	if (keeper_worker_pid(keeper->worker) == 0 && !keeper->announced && !keeper->upgraded)
		event_base_loopbreak(keeper->base);
	else if (was_running)
		end_worker(keeper);
}

/* ---- birth ---- */

static int open_signals(struct keeper *keeper, struct why *why)
{
	static const struct {
		int number;
		event_callback_fn callback;
	} handlers[SIGNALS] = {
	    {SIGTERM, on_end}, {SIGINT, on_end}, {SIGHUP, on_hangup}, {SIGUSR2, on_upgrade}};

	for (int i = 0; i < SIGNALS; i++) {
		keeper->signals[i] =
		    evsignal_new(keeper->base, handlers[i].number, handlers[i].callback, keeper);
		if (!keeper->signals[i] || event_add(keeper->signals[i], NULL) != 0)
			return why_set(why, "%s: cannot be handled", strsignal(handlers[i].number));
	}
	/* Whoever started us may have blocked some. */
	hear_signals();
	return 0;
}

static int open_base(struct keeper *keeper, struct why *why)
{
	keeper->base = event_base_new();
	if (keeper->base)
		keeper->restart = evtimer_new(keeper->base, on_restart, keeper);
	if (keeper->restart)
		keeper->next_image = evtimer_new(keeper->base, on_next_image, keeper);
	return keeper->next_image ? 0 : why_set(why, "event loop: %s", strerror(errno));
}

static void find_path(struct keeper *keeper)
{
	ssize_t length = readlink("/proc/self/exe", keeper->path, sizeof(keeper->path) - 1);
	keeper->path[length > 0 ? length : 0] = '\0';
}

static int open_hold(struct keeper *keeper, const struct letter *letter, struct why *why)
{
	const char *control = options_of(keeper)->control;
	keeper->hold =
	    letter ? keeper_hold_adopt(control, letter, why) : keeper_hold_open(control, why);
	return keeper->hold ? 0 : -1;
}

/* After an upgrade there is a file that is open, whatever has become of its name. */
static int open_logs(struct keeper *keeper, const struct letter *letter, struct why *why)
{
	const struct options *options = options_of(keeper);
	if (open_log(keeper, options, why) == 0 &&
	    open_workers_log(&keeper->log_file, options, why) == 0)
		return 0;
	if (!letter || keeper->log_file < 0)
		return -1;
	struct log_config as_before = {
	    .target = LOG_TO_DESCRIPTOR,
	    .fd = fcntl(keeper->log_file, F_DUPFD_CLOEXEC, 0),
	    .level = options->log_level,
	    .name = "pptpproxy",
	};
	struct why reason = *why;
	log_close();
	if (log_open(&as_before, why) != 0)
		return -1;
	keeper->log_open = true;
	log_warning("%s: the file from before the upgrade goes on", reason.text);
	return 0;
}

static int open_all(struct keeper *keeper, const struct letter *letter, struct why *why)
{
	const struct options *options = options_of(keeper);
	const struct keeper_worker_events events = {
	    .received = on_message, .ended = on_worker_ended, .arg = keeper};

	keeper->descriptors = limits_raise_descriptors();
	if (keeper->ready_fd >= 0 && readiness_take_descriptor(keeper->ready_fd, why) != 0)
		return -1;
	if (!letter && !options->foreground && background_begin(why) != 0)
		return -1;
	find_path(keeper);
	if (open_logs(keeper, letter, why) != 0 ||
	    (!letter && keeper_capture_check(&keeper->capture, options, why) != 0))
		return -1;
	if (open_base(keeper, why) != 0 || open_hold(keeper, letter, why) != 0)
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
	keeper->worker = keeper_worker_new(keeper->base, &events, why);
	if (!keeper->worker ||
	    keeper_commands_prepare(keeper->commands, &keeper->configuration.options, why) != 0 ||
	    open_signals(keeper, why) != 0)
		return -1;
	keeper_commands_use(keeper->commands);
	if (!letter)
		return start_worker(keeper, why);
	start_again(keeper);
	return 0;
}

/* ---- death; any half-born state ---- */

static void close_all(struct keeper *keeper)
{
	if (keeper->trial)
		keeper_trial_cancel(keeper->trial);
	end_trial(keeper);
	keeper_commands_free(keeper->commands);
	keeper_worker_free(keeper->worker);
	keeper_fastpath_close(keeper->fastpath);
	if (keeper->pid_written)
		background_pid_file_remove(options_of(keeper)->pid_file);
	for (int i = 0; i < SIGNALS; i++) {
		if (keeper->signals[i])
			event_free(keeper->signals[i]);
	}
	if (keeper->restart)
		event_free(keeper->restart);
	if (keeper->next_image)
		event_free(keeper->next_image);
	if (keeper->base)
		event_base_free(keeper->base);
	libevent_global_shutdown();
	keeper_hold_close(keeper->hold);
	keeper_capture_close(&keeper->capture);
	log_close();
	if (keeper->log_file >= 0)
		close(keeper->log_file);
	if (keeper->wanted_log_file >= 0)
		close(keeper->wanted_log_file);
	configuration_clear(&keeper->wanted);
	configuration_clear(&keeper->configuration);
}

/* In the foreground the log is standard output, and whoever reads it sees standard error too. */
static int fail(struct keeper *keeper, const struct why *why)
{
	const struct options *options = options_of(keeper);
	if (keeper->log_open && (options->log_file || !options->foreground))
		log_error("%s", why->text);
	fprintf(stderr, "pptpproxy: %s\n", why->text);
	close_all(keeper);
	return EXIT_FAILURE;
}

void keeper_again(char **argv, const struct letter *letter, const struct why *failure)
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
static void open_again(struct keeper *keeper, const struct letter *letter,
		       const struct why *failure)
{
	struct letter next = *letter;
	struct why why;

	next.log = keeper->log_file;
	if (keeper->fastpath) {
		next.fastpath = NULL;
		next.fastpath_length = 0;
		keeper_fastpath_describe(keeper->fastpath, &next, &why);
	}
	keeper_again(keeper->argv, &next, failure);
	if (keeper->fastpath)
		free(next.fastpath);
}

int keeper_run(char **argv, struct configuration *configuration, const struct letter *letter)
{
	struct keeper keeper = {
	    .argv = argv,
	    .configuration = *configuration,
	    .log_file = letter ? letter->log : -1,
	    .wanted_log_file = -1,
	    .capture = KEEPER_CAPTURE_NONE,
	    .trial_letter = -1,
	    .ready_fd = letter ? -1 : configuration->options.ready_fd,
	    .upgraded = letter != NULL,
	    .pid_written = letter && configuration->options.pid_file,
	};
	struct why why;

	signal(SIGPIPE, SIG_IGN);
	if (background_standard_descriptors(&why) != 0 || open_all(&keeper, letter, &why) != 0) {
		if (letter)
			open_again(&keeper, letter, &why);
		return fail(&keeper, &why);
	}
	if (event_base_dispatch(keeper.base) != 0)
		return fail(&keeper, why_set(&why, "the event loop failed") ? &why : &why);
	if (keeper.failed)
		return fail(&keeper, &keeper.failure);
	if (!keeper.announced && !options_of(&keeper)->foreground)
		fputs("pptpproxy: ended by a signal before it was ready\n", stderr);
	log_info("stopped");
	close_all(&keeper);
	return EXIT_SUCCESS;
}

static bool can_open_log(const struct options *options, struct why *why)
{
	int file = -1;
	bool can = open_workers_log(&file, options, why) == 0;
	if (file >= 0)
		close(file);
	return can;
}

int keeper_try(const struct letter *letter)
{
	struct configuration configuration = {0};
	struct why why;
	bool good = kept_readable(letter->kept, &why) &&
		    configuration_receive(&configuration, letter, &why) == OPTIONS_RUN &&
		    can_open_log(&configuration.options, &why);
	if (!good)
		fprintf(stderr, "pptpproxy: %s\n", why.text);
	configuration_clear(&configuration);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
