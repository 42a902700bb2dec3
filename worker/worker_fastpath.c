#include "worker/worker_fastpath.h"

#include "host/log.h"
#include "worker/worker_wishes.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- room ---- */

static void want_room(void *arg, const struct fastpath_request *request)
{
	struct worker_fastpath *fastpath = arg;
	struct link_message message = {
	    .type = LINK_WANT,
	    .count = {request->room, request->at},
	    .addr = request->addr,
	};
	if (link_send(fastpath->wishes->link, &message) != 0)
		fastpath_granted(fastpath->fastpath, request, -1);
}

void worker_fastpath_granted(struct worker_fastpath *fastpath, const struct link_message *message)
{
	const struct fastpath_request request = {
	    .room = message->count[0], .at = message->count[1], .addr = message->addr};
	int fd = message->fd_count > 0 ? message->fds[0] : -1;
	fastpath_granted(fastpath->fastpath, &request, fd);
	if (fd >= 0)
		close(fd);
}

/* ---- birth and death ---- */

static void tell_address(void *arg, uint32_t addr, bool ours)
{
	struct link_message message = {.type = LINK_ADDRESS, .number = ours, .addr = addr};
	worker_wishes_say(arg, &message);
}

static int read_given(int fd, struct fastpath_given *given, struct why *why)
{
	ssize_t got = pread(fd, given, sizeof(*given), 0);
	return got == sizeof(*given) ? 0 : why_set(why, "fast path: it cannot be read");
}

/* The first worker has the keeper open it, as only now are the addresses known. */
static int ask_for_fastpath(const struct worker_fastpath_config *config,
			    struct fastpath_given *given, bool *is_there, struct why *why)
{
	const struct link_message wish = {.type = LINK_FASTPATH};
	struct link_message answer;
	control_relay_addresses(config->control, tell_address, config->wishes);
	if (worker_wishes_ask(config->wishes, &wish, &answer, why) != 0)
		return -1;
	*is_there = answer.fd_count == 3;
	if (!*is_there)
		return 0;
	int result = read_given(answer.fds[0], given, why);
	close(answer.fds[0]);
	given->fds[FASTPATH_GIVEN_WANTED] = answer.fds[1];
	given->fds[FASTPATH_GIVEN_WAKE] = answer.fds[2];
	return result;
}

static void close_given(const struct fastpath_given *given)
{
	for (int i = 0; i < FASTPATH_GIVEN_FDS; i++) {
		if (given->fds[i] >= 0)
			close(given->fds[i]);
	}
}

static int use_given(struct worker_fastpath *fastpath, const struct worker_fastpath_config *here,
		     const struct fastpath_given *given, struct why *why)
{
	struct fastpath_config config = {
	    .db = here->db,
	    .given = given,
	    .want = want_room,
	    .want_arg = fastpath,
	    .carried = kept_section(here->kept, KEPT_FASTPATH, sizeof(uint64_t), 1),
	};
	if (!config.carried)
		return why_set(why, "fast path: %s", strerror(errno));
	if (fastpath_open(&fastpath->fastpath, &config, why) != 0)
		return -1;
	fastpath_restore(fastpath->fastpath);
	return 0;
}

int worker_fastpath_open(struct worker_fastpath *fastpath,
			 const struct worker_fastpath_config *config, struct why *why)
{
	const struct options *options = config->options;
	struct fastpath_given given;
	bool is_there = config->given >= 0;
	int result;

	fastpath->wishes = config->wishes;
	if (options->fastpath == FASTPATH_OFF)
		return 0;
	if (options->log_level == LOG_LEVEL_DUMP) {
		log_info("no fast path: with -e all packets are to be seen");
		return 0;
	}
	if (is_there)
		result = read_given(config->given, &given, why);
	else
		result = ask_for_fastpath(config, &given, &is_there, why);
	if (result != 0 || !is_there)
		return result;
	result = use_given(fastpath, config, &given, why);
	close_given(&given);
	return result;
}

void worker_fastpath_close(struct worker_fastpath *fastpath)
{
	fastpath_close(fastpath->fastpath);
	fastpath->fastpath = NULL;
}
