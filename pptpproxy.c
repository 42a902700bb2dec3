/*
 * pptpproxy: birth and death of everything, in order. Decides nothing.
 *
 * main thread = control thread: one libevent loop. The GRE thread and the log's writer are started
 * and ended from here.
 */
#include "control_relay.h"
#include "fastpath/fastpath.h"
#include "gre_relay.h"
#include "host/background.h"
#include "host/file.h"
#include "host/instance.h"
#include "host/limits.h"
#include "host/log.h"
#include "host/names.h"
#include "options.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many callbacks may run before sockets are looked at again: a busy connection does not keep
 * others waiting. */
enum { CALLBACKS_A_TURN = 64 };

enum { CONFIG_MAX = 1 << 20 }; /* octets of a configuration file */

enum { SIGNALS = 3 };

struct program {
	struct options options;
	size_t descriptors;
	int instance_fd;
	struct event_base *base;
	struct names *names;
	struct kept *kept;
	struct callid_db *db;
	struct gre_relay *gre;
	struct control_relay *control;
	struct fastpath *fastpath;
	struct event *signals[SIGNALS], *instance;
	bool log_open, pid_written, ending;
};

/* ---- signals ---- */

static void on_all_closed(void *arg)
{
	struct program *program = arg;
	event_base_loopbreak(program->base);
}

static void on_end(evutil_socket_t number, short what, void *arg)
{
	struct program *program = arg;
	(void)what;
	if (program->ending)
		return;
	program->ending = true;
	log_info("%s: ending", number == SIGINT ? "SIGINT" : "SIGTERM");
	if (!program->control) { /* still waiting for names */
		event_base_loopbreak(program->base);
		return;
	}
	control_relay_shut_down(program->control, on_all_closed, program);
}

static void on_hangup(evutil_socket_t number, short what, void *arg)
{
	struct program *program = arg;
	(void)number;
	(void)what;
	log_reopen();
	names_reload(program->names);
	log_info("SIGHUP: %sresolver's configuration read anew",
		 program->options.log_file ? "log reopened, " : "");
}

static void on_instance(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	(void)arg;
	instance_turn_away(fd);
}

static int open_instance(struct program *program, struct why *why)
{
	program->instance_fd = instance_open(program->options.control, why);
	if (program->instance_fd < 0)
		return -1;
	program->instance = event_new(program->base, program->instance_fd,
				      EV_READ | EV_ET | EV_PERSIST, on_instance, NULL);
	if (!program->instance || event_add(program->instance, NULL) != 0)
		return why_set(why, "control socket %s: no memory", program->options.control);
	return 0;
}

static int open_signals(struct program *program, struct why *why)
{
	static const struct {
		int number;
		event_callback_fn callback;
	} handlers[SIGNALS] = {{SIGTERM, on_end}, {SIGINT, on_end}, {SIGHUP, on_hangup}};

	for (int i = 0; i < SIGNALS; i++) {
		program->signals[i] =
		    evsignal_new(program->base, handlers[i].number, handlers[i].callback, program);
		if (!program->signals[i] || event_add(program->signals[i], NULL) != 0)
			return why_set(why, "%s: cannot be handled", strsignal(handlers[i].number));
	}
	return 0;
}

/* ---- birth, in order ---- */

static int find_commands(struct program *program, struct why *why)
{
	for (size_t i = 0; i < program->options.command_count; i++) {
		if (acl_cmd_find(&program->options.commands[i], why) != 0)
			return -1;
	}
	return 0;
}

static int open_log(struct program *program, struct why *why)
{
	const struct options *options = &program->options;
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
	program->log_open = true;
	return 0;
}

static int open_base(struct program *program, struct why *why)
{
	struct event_config *config = event_config_new();
	if (config) {
		/* Edge-triggered, as input that is only peeked at stays readable; early close, to
		 * tell a cut message from a slow one. */
		event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1 |
							  EV_FEATURE_EARLY_CLOSE);
		/* Fewer system calls: changes wait for the loop's next turn. A descriptor that is
		 * duplicated into another process must not be closed in the same turn as its event
		 * is deleted: the system would keep watching it, and nobody could take it out. */
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK |
						  EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
		event_config_set_max_dispatch_interval(config, NULL, CALLBACKS_A_TURN, 0);
		program->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	return program->base
		   ? 0
		   : why_set(why, "event loop: the system offers none that is edge-triggered");
}

static int open_control(struct program *program, struct why *why)
{
	const struct options *options = &program->options;
	struct control_relay_config config = {
	    .base = program->base,
	    .db = program->db,
	    .names = program->names,
	    .pairs = options->pairs,
	    .pair_count = options->pair_count,
	    .acl = &options->acl,
	    .commands = options->commands,
	    .command_count = options->command_count,
	    .acl_any = options->acl_any,
	    .acl_timeout_s = options->acl_timeout_s,
	    .acl_parallel = options->acl_parallel,
	    .connect_timeout_s = options->connect_timeout_s,
	    .handshake_timeout_s = options->handshake_timeout_s,
	    .keepalive_s = options->keepalive_s,
	    .descriptors = program->descriptors,
	};
	program->control = control_relay_open(&config, why);
	return program->control ? 0 : -1;
}

struct addresses {
	uint32_t *listen, *peers;
	size_t listen_count, peer_count;
};

static void note_address(void *arg, uint32_t addr, bool ours)
{
	struct addresses *addresses = arg;
	if (ours)
		addresses->listen[addresses->listen_count++] = addr;
	else
		addresses->peers[addresses->peer_count++] = addr;
}

static int open_fastpath(struct program *program, struct why *why)
{
	const struct options *options = &program->options;
	struct addresses addresses = {
	    .listen = calloc(options->pair_count, sizeof(uint32_t)),
	    .peers = calloc(options->pair_count * NAMES_ADDRESSES_MAX, sizeof(uint32_t)),
	};
	int result = -1;

	if (options->fastpath != FASTPATH_OFF && options->log_level == LOG_LEVEL_DUMP)
		log_info("no fast path: with -e all packets are to be seen");
	if (!addresses.listen || !addresses.peers) {
		why_set(why, "fast path: no memory");
	} else {
		control_relay_addresses(program->control, note_address, &addresses);
		struct fastpath_config config = {
		    .db = program->db,
		    .mode = options->log_level == LOG_LEVEL_DUMP ? FASTPATH_OFF : options->fastpath,
		    .interfaces = options->interfaces,
		    .interface_count = options->interface_count,
		    .listen_addrs = addresses.listen,
		    .listen_count = addresses.listen_count,
		    .peer_addrs = addresses.peers,
		    .peer_count = addresses.peer_count,
		};
		result = fastpath_open(&program->fastpath, &config, why);
	}
	free(addresses.listen);
	free(addresses.peers);
	return result;
}

/* Nobody else has it yet: it ends with the process. */
static struct kept *open_kept(struct why *why)
{
	int fd = kept_create(why);
	if (fd < 0)
		return NULL;
	struct kept *kept = kept_open(fd, why);
	close(fd);
	return kept;
}

static int open_all(struct program *program, struct why *why)
{
	const struct options *options = &program->options;

	program->descriptors = limits_raise_descriptors();
	if (!options->foreground && background_begin(why) != 0)
		return -1;
	if (open_log(program, why) != 0 || find_commands(program, why) != 0)
		return -1;
	if (open_base(program, why) != 0 || open_instance(program, why) != 0)
		return -1;
	program->names = names_new(program->base, why);
	program->kept = open_kept(why);
	if (!program->kept)
		return -1;
	program->db = callid_db_new(program->kept);
	if (!program->db)
		return why_set(why, "table of calls: no memory");
	if (!program->names)
		return -1;
	/* Before the first connection, so that the system never answers GRE with ICMP. */
	struct gre_relay_config gre = {.db = program->db, .kept = program->kept};
	program->gre = gre_relay_open(&gre, why);
	if (!program->gre || open_signals(program, why) != 0 || open_control(program, why) != 0 ||
	    open_fastpath(program, why) != 0 || gre_relay_start(program->gre, why) != 0)
		return -1;
	if (options->pid_file && background_pid_file_write(options->pid_file, why) != 0)
		return -1;
	program->pid_written = options->pid_file != NULL;
	return 0;
}

static void tell_ready(const struct program *program)
{
	const struct options *options = &program->options;
	size_t pairs = control_relay_pairs(program->control);

	if (options->acl.count == 0 && options->command_count == 0)
		log_warning("no access rules (-a, -x): any source may connect");
	log_info("ready: %s, pid %ld, %zu %s", options_version, (long)getpid(), pairs,
		 pairs == 1 ? "pair" : "pairs");
}

/* ---- death, in order; any half-born state ---- */

static void tell_totals(const struct program *program)
{
	struct gre_totals totals;
	struct callid_totals table;
	callid_db_totals(program->db, &table);
	log_info("table of calls: %zu calls, %zu call IDs in quarantine", table.calls,
		 table.closing);
	gre_relay_totals(program->gre, &totals);
	log_info("GRE packets: %llu received, %llu sent", (unsigned long long)totals.received,
		 (unsigned long long)totals.sent);
	if (program->fastpath)
		log_info("GRE packets carried by the fast path: %llu",
			 (unsigned long long)fastpath_carried(program->fastpath));
	for (int i = 0; i < GRE_DROPS; i++) {
		if (totals.drops[i] > 0)
			log_info("GRE packets dropped: %llu: %s",
				 (unsigned long long)totals.drops[i],
				 gre_relay_drop_name((enum gre_drop)i));
	}
}

static void close_all(struct program *program)
{
	if (program->pid_written)
		background_pid_file_remove(program->options.pid_file);
	for (int i = 0; i < SIGNALS; i++) {
		if (program->signals[i])
			event_free(program->signals[i]);
	}
	if (program->instance)
		event_free(program->instance);
	control_relay_close(program->control);
	gre_relay_close(program->gre);
	fastpath_close(program->fastpath);
	names_free(program->names);
	callid_db_free(program->db);
	kept_close(program->kept);
	if (program->base)
		event_base_free(program->base);
	libevent_global_shutdown();
	if (program->instance_fd >= 0)
		instance_close(program->instance_fd, program->options.control);
	log_close();
	options_clear(&program->options);
}

static int fail(struct program *program, const struct why *why)
{
	/* In the foreground the log is standard output, and whoever reads it sees standard error
	 * too. */
	if (program->log_open && (program->options.log_file || !program->options.foreground))
		log_error("%s", why->text);
	fprintf(stderr, "pptpproxy: %s\n", why->text);
	close_all(program);
	return EXIT_FAILURE;
}

/* By a signal. Whoever waits for the background to be ready hears why it will not be. */
static int end_early(struct program *program)
{
	if (!program->options.foreground)
		fputs("pptpproxy: ended by a signal before it was ready\n", stderr);
	log_info("stopped");
	close_all(program);
	return EXIT_SUCCESS;
}

static int run(struct program *program)
{
	struct why why;
	sigset_t none;

	/* Whoever started us may have blocked some. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (background_standard_descriptors(&why) != 0 || open_all(program, &why) != 0 ||
	    background_ready(&why) != 0) {
		return program->ending ? end_early(program) : fail(program, &why);
	}
	tell_ready(program);
	if (event_base_dispatch(program->base) != 0 || !program->ending) {
		why_set(&why, "the event loop failed");
		return fail(program, &why);
	}
	tell_totals(program);
	log_info("stopped");
	close_all(program);
	return EXIT_SUCCESS;
}

/* A file that cannot be read keeps nobody from --help. */
static enum options_answer read_options(struct options *options, int argc, char **argv,
					struct why *why)
{
	struct options_file file = {.path = options_config(argc, argv), .text = ""};
	struct why unread;
	if (!file.path)
		return options_parse(options, argc, argv, NULL, why);
	char *text = file_read(file.path, CONFIG_MAX, &file.length, &unread);
	if (text)
		file.text = text;
	enum options_answer answer = options_parse(options, argc, argv, &file, why);
	free(text);
	if (!text && answer != OPTIONS_HELP && answer != OPTIONS_VERSION) {
		*why = unread;
		return OPTIONS_BAD;
	}
	return answer;
}

int main(int argc, char **argv)
{
	static struct program program = {.instance_fd = -1};
	struct why why, no_log;

	switch (read_options(&program.options, argc, argv, &why)) {
	case OPTIONS_CHECK:
		if (find_commands(&program, &why) != 0)
			return fail(&program, &why);
		puts("OK");
		break;
	case OPTIONS_HELP:
		fputs(options_help, stdout);
		break;
	case OPTIONS_VERSION:
		puts(options_version);
		break;
	case OPTIONS_BAD:
		if (program.options.log_file && !program.options.check)
			open_log(&program, &no_log);
		return fail(&program, &why);
	case OPTIONS_RUN:
		return run(&program);
	}
	options_clear(&program.options);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
