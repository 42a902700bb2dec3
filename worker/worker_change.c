#include "worker/worker_change.h"

#include "control_relay.h"
#include "gre_relay.h"
#include "host/log.h"
#include "worker/worker_own.h"
#include "worker/worker_rooms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- pieces ---- */

void worker_change_free(struct configuration *configuration)
{
	if (configuration)
		configuration_clear(configuration);
	free(configuration);
}

struct configuration *worker_change_read(const struct letter *letter, struct why *why)
{
	struct configuration *configuration = calloc(1, sizeof(*configuration));
	if (!configuration) {
		why_set(why, "configuration: no memory");
		return NULL;
	}
	if (configuration_receive(configuration, letter, why) == OPTIONS_RUN)
		return configuration;
	worker_change_free(configuration);
	return NULL;
}

int worker_change_open_log(const struct options *options, int file, struct why *why)
{
	struct log_config config = {
	    .target = options->log_file	    ? LOG_TO_DESCRIPTOR
		      : options->foreground ? LOG_TO_STDOUT
					    : LOG_TO_SYSLOG,
	    .fd = file,
	    .level = options->log_level,
	    .name = "pptpproxy",
	};
	return log_open(&config, why);
}

/* ---- another one ---- */

/* Closing a log may take a second, where nobody reads it. */
static void use_log(struct worker *worker, const struct options *was)
{
	const struct options *is = worker_options(worker);
	const char *old_file = was->log_file ? was->log_file : "",
		   *file = is->log_file ? is->log_file : "";
	int fd = worker->change_log;
	struct why why;

	if (strcmp(old_file, file) == 0 && was->log_level == is->log_level)
		return;
	worker->change_log = -1;
	if (*old_file && *file && was->log_level == is->log_level) {
		log_replace(fd);
		return;
	}
	log_close();
	if (worker_change_open_log(is, fd, &why) != 0)
		log_error("%s", why.text);
}

/* What is in use then, or NULL with a sentence. */
static struct configuration *use_letter(struct worker *worker, int fd, struct why *why)
{
	struct control_relay_config config;
	struct letter letter;
	struct configuration *next =
	    letter_read(fd, &letter, why) == 0 ? worker_change_read(&letter, why) : NULL;
	letter_clear(&letter);
	if (!next)
		return NULL;
	worker_rooms_configure_control(worker, &next->options, &config);
	if (worker_page_prepare(&worker->page, &next->options.stats, why) == 0 &&
	    control_relay_change(worker->control, &config, why) == 0) {
		gre_relay_set_early_max(worker->gre, next->options.max_early_packets);
		worker_page_use(&worker->page);
		return next;
	}
	worker_page_forget(&worker->page);
	worker_change_free(next);
	return NULL;
}

void worker_change_use(struct worker *worker)
{
	struct link_message message = {.type = LINK_CHANGED};
	struct configuration *was = worker->configuration, *next;
	struct why why;
	int fd = worker->change;

	worker->change = -1;
	worker->changing = true;
	next = use_letter(worker, fd, &why);
	worker->changing = false;
	if (next)
		message.number = (uint32_t)control_relay_pairs(worker->control);
	else
		snprintf(message.text, sizeof(message.text), "%s", why.text);
	/* At once: what is asked of the keeper from now on is asked by the new rules. */
	worker_wishes_say(&worker->wishes, &message);
	if (next) {
		worker->configuration = next;
		use_log(worker, &was->options);
		worker_rooms_use_capture(worker);
		worker_change_free(was);
	}
	/* The old configuration's, or those of one that was refused. */
	worker_rooms_drop_sockets(worker);
	if (worker->change_log >= 0)
		close(worker->change_log);
	worker->change_log = -1;
}
