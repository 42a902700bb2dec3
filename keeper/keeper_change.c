#include "keeper/keeper_change.h"

#include "host/log.h"
#include "host/readiness.h"
#include "keeper/keeper_commands.h"
#include "keeper/keeper_life.h"
#include "keeper/keeper_own.h"
#include "keeper/keeper_worker.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- what is wanted ---- */

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
	const char *fixed = fixed_option(keeper_options(keeper), &keeper->wanted.options);
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
	if (keeper->log.wanted >= 0)
		message.fds[message.fd_count++] = keeper->log.wanted;
	int result = keeper_worker_send(keeper->worker, &message);
	/* It has died, which will be noticed; its successor is told then. */
	if (result != 0 && (errno == EPIPE || errno == ECONNRESET))
		result = 0;
	if (result != 0)
		why_set(why, "the worker cannot be told: %s", strerror(errno));
	close(fd);
	return result;
}

/* ---- from begin to end ---- */

static void forget_change(struct keeper *keeper)
{
	keeper->changing = false;
	configuration_clear(&keeper->wanted);
	keeper_commands_forget(keeper->commands);
	keeper_log_forget(&keeper->log);
}

static void refuse_change(struct keeper *keeper, const char *reason)
{
	struct why trouble;
	log_error("SIGHUP: the configuration stays as it was: %s", reason);
	why_set(&trouble, "the last SIGHUP changed nothing: %s", reason);
	keeper_tell_supervisor(keeper, trouble.text);
	forget_change(keeper);
}

/* All that can fail comes before the worker hears of it. */
void keeper_change_begin(struct keeper *keeper)
{
	struct options *wanted = &keeper->wanted.options;
	struct why why;
	keeper->change_again = false;
	keeper->changing = true;
	if (read_wanted(keeper, &why) != 0 || keeper_log_prepare(&keeper->log, wanted, &why) != 0 ||
	    keeper_capture_check(&keeper->capture, wanted, &why) != 0 ||
	    keeper_commands_prepare(keeper->commands, wanted, &why) != 0 ||
	    send_wanted(keeper, &why) != 0)
		refuse_change(keeper, why.text);
}

static void use_wanted(struct keeper *keeper)
{
	struct configuration was = keeper->configuration;

	keeper->configuration = keeper->wanted;
	keeper_commands_use(keeper->commands);
	keeper_capture_begin(&keeper->capture);
	keeper_log_use(&keeper->log, &was.options, keeper_options(keeper));
	const struct pair_endpoint *page = &keeper_options(keeper)->stats;
	if (page->addr != was.options.stats.addr || page->port != was.options.stats.port)
		keeper_warn_of_page(keeper_options(keeper));
	keeper->wanted = was;
	forget_change(keeper);
}

void keeper_change_answered(struct keeper *keeper, const struct link_message *message)
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
		keeper_tell_supervisor(keeper, NULL);
	}
	if (keeper->change_again)
		keeper_change_begin(keeper);
}

void keeper_change_lost(struct keeper *keeper)
{
	if (!keeper->changing)
		return;
	forget_change(keeper);
	keeper->change_again = true;
}

/* ---- SIGHUP ---- */

/* Log rotation must not depend on a good configuration file. */
static void reopen_log(struct keeper *keeper)
{
	struct link_message message = {.type = LINK_LOG};

	message.fds[0] = keeper_log_reopen(&keeper->log, keeper_options(keeper));
	message.fd_count = message.fds[0] >= 0;
	keeper_life_say(keeper, &message);
}

void keeper_change_asked(struct keeper *keeper)
{
	if (keeper->state != KEEPER_RUNNING) {
		keeper->change_again = true;
		return;
	}
	readiness_reloading();
	reopen_log(keeper);
	if (!keeper->configuration.file)
		keeper_tell_supervisor(keeper, NULL);
	else if (keeper->changing || !keeper_worker_is_ready(keeper->worker))
		keeper->change_again = true;
	else
		keeper_change_begin(keeper);
}
