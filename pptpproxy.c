/*
 * pptpproxy: what this process is: the keeper, a worker of his, or a question that is answered at
 * once. Decides nothing else.
 */
#include "capture/capture_tap.h"
#include "control/control_listen.h"
#include "doctor/doctor.h"
#include "explain/explain.h"
#include "host/file.h"
#include "host/log.h"
#include "host/user.h"
#include "keeper/configuration.h"
#include "keeper/keeper.h"
#include "keeper/keeper_capture.h"
#include "keeper/keeper_upgrade.h"
#include "keeper/letter.h"
#include "status/status_show.h"
#include "worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int say_what_is_bad(const struct options *options, const struct why *why)
{
	struct why no_log;
	const struct log_config log = {
	    .target = LOG_TO_FILE, .path = options->log_file, .level = LOG_LEVEL_INFO};
	if (options->log_file && !options->check && !options->asks && !options->doctor &&
	    log_open(&log, &no_log) == 0) {
		log_error("%s", why->text);
		log_close();
	}
	fprintf(stderr, "pptpproxy: %s\n", why->text);
	return EXIT_FAILURE;
}

/* An answer that did not get out is none. The status that this leaves. */
static int finish(int status)
{
	bool failed = fflush(stdout) != 0;
	if (!failed && !ferror(stdout))
		return status;
	/* It was an earlier flush that failed: why, another one tells, if that still fails. */
	errno = failed ? errno : EIO;
	if (!failed && fputc('\n', stdout) != EOF)
		fflush(stdout);
	fprintf(stderr, "pptpproxy: standard output: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

static int say(const char *text)
{
	fputs(text, stdout);
	return finish(EXIT_SUCCESS);
}

static int check_files(const struct options *options, struct why *why)
{
	if (options->log_file && file_check_append(options->log_file) != 0)
		return why_set(why, "cannot open log file %.200s: %s", options->log_file,
			       strerror(errno));
	if (options->pid_file && file_check_new(options->pid_file) != 0)
		return why_set(why, "cannot write pid file %.200s: %s", options->pid_file,
			       strerror(errno));
	return keeper_capture_check(NULL, options, why);
}

/* What a start would find wrong, but for what only binding and asking for names can tell. */
static int check(const struct options *options)
{
	struct user user;
	struct why why;
	if (user_find(options->user, &user, &why) != 0 ||
	    control_listen_check(options->pairs, options->pair_count, &why) != 0 ||
	    check_files(options, &why) != 0)
		return say_what_is_bad(options, &why);
	/* No log is open: on standard error. */
	control_listen_warn(options->pairs, options->pair_count);
	return say("OK\n");
}

/* What a running instance is asked for. */
static int ask(const struct options *options)
{
	const struct status_show show = {.control = options->control,
					 .what = options->show,
					 .json = options->json,
					 .watch = options->watch};
	struct why why;
	int result = options->show ? status_show_print(&show, &why)
				   : status_show_end(options->control, options->end_call, &why);
	if (result != 0)
		fprintf(stderr, "pptpproxy: %s\n", why.text);
	return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int tap(const struct options *options)
{
	const struct capture_tap_config config = {
	    .control = options->control,
	    .what = options->tap,
	    .path = options->capture,
	    .limit = (uint64_t)options->capture_limit_mib << 20,
	};
	struct capture_tap_figures figures;
	struct why why;
	int result = capture_tap_run(&config, &figures, &why);
	if (result != 0)
		fprintf(stderr, "pptpproxy: %s\n", why.text);
	if (result != 0 && figures.packets > 0)
		fprintf(stderr, "pptpproxy: %llu packets captured, how many were lost is unknown\n",
			(unsigned long long)figures.packets);
	else if (result == 0)
		fprintf(stderr, "pptpproxy: %llu packets captured, %llu lost\n",
			(unsigned long long)figures.packets, (unsigned long long)figures.lost);
	return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int explain(const struct options *options)
{
	struct why why;
	FILE *progress = isatty(STDERR_FILENO) ? stderr : NULL;
	if (explain_files(options->explain, options->explain_count, stdout, progress, &why) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "pptpproxy: %s\n", why.text);
	return EXIT_FAILURE;
}

/* As whoever typed this wants it. */
static int start(int argc, char **argv)
{
	struct configuration configuration;
	struct why why;
	int status = EXIT_FAILURE;

	switch (configuration_read(&configuration, argc, argv, &why)) {
	case OPTIONS_RUN:
		return keeper_run(argv, &configuration, NULL);
	case OPTIONS_CHECK:
		status = check(&configuration.options);
		break;
	case OPTIONS_SHOW:
	case OPTIONS_END:
		status = ask(&configuration.options);
		break;
	case OPTIONS_TAP:
		status = tap(&configuration.options);
		break;
	case OPTIONS_EXPLAIN:
		status = explain(&configuration.options);
		break;
	case OPTIONS_DOCTOR:
		status = finish(doctor_run(&configuration.options) ? EXIT_FAILURE : EXIT_SUCCESS);
		break;
	case OPTIONS_HELP:
		status = say(options_help);
		break;
	case OPTIONS_VERSION:
		printf("%s\n", options_version);
		status = finish(EXIT_SUCCESS);
		break;
	case OPTIONS_BAD:
		status = say_what_is_bad(&configuration.options, &why);
		break;
	}
	configuration_clear(&configuration);
	return status;
}

static int go_on(char **argv, const struct letter *letter)
{
	struct configuration configuration;
	struct why why;
	if (configuration_receive(&configuration, letter, &why) == OPTIONS_RUN)
		return keeper_run(argv, &configuration, letter);
	keeper_upgrade_again(argv, letter, &why);
	int status = say_what_is_bad(&configuration.options, &why);
	configuration_clear(&configuration);
	return status;
}

int main(int argc, char **argv)
{
	static struct letter letter;
	struct why why;
	int status = EXIT_FAILURE;

	if (letter_receive(&letter, &why) != 0) {
		fprintf(stderr, "pptpproxy: %s\n", why.text);
		return EXIT_FAILURE;
	}
	switch (letter.to) {
	case LETTER_TO_NOBODY:
		status = start(argc, argv);
		break;
	case LETTER_TO_WORKER:
		status = worker_run(&letter);
		break;
	case LETTER_TO_KEEPER:
		status = go_on(argv, &letter);
		break;
	case LETTER_TO_TRIAL:
		status = keeper_upgrade_try(&letter);
		break;
	}
	letter_clear(&letter);
	return status;
}
