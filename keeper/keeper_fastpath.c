#include "keeper/keeper_fastpath.h"

#include "fastpath/fastpath_keeper.h"
#include "host/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 4096 }; /* more interfaces than that there are not */

struct addresses {
	uint32_t of[ADDRESSES_MAX];
	size_t count;
};

struct keeper_fastpath {
	struct fastpath_keeper *keeper; /* NULL: none */
	bool tried;
	struct addresses listen, peers;
};

struct keeper_fastpath *keeper_fastpath_new(void)
{
	return calloc(1, sizeof(struct keeper_fastpath));
}

void keeper_fastpath_close(struct keeper_fastpath *fastpath)
{
	if (!fastpath)
		return;
	fastpath_keeper_close(fastpath->keeper);
	free(fastpath);
}

void keeper_fastpath_note(struct keeper_fastpath *fastpath, const struct link_message *message)
{
	struct addresses *addresses = message->number ? &fastpath->listen : &fastpath->peers;
	if (addresses->count < ADDRESSES_MAX)
		addresses->of[addresses->count++] = message->addr;
}

static struct fastpath_keeper_config configure(const struct keeper_fastpath *fastpath,
					       const struct options *options)
{
	return (struct fastpath_keeper_config){
	    .mode = options->log_level == LOG_LEVEL_DUMP ? FASTPATH_OFF : options->fastpath,
	    .interfaces = options->interfaces,
	    .interface_count = options->interface_count,
	    .listen_addrs = fastpath->listen.of,
	    .listen_count = fastpath->listen.count,
	    .peer_addrs = fastpath->peers.of,
	    .peer_count = fastpath->peers.count,
	};
}

/* What is given, in a file without a name. */
static int write_given(const struct fastpath_given *given)
{
	int fd = memfd_create("pptpproxy fast path", 0);
	if (fd < 0 || write(fd, given, sizeof(*given)) == sizeof(*given))
		return fd;
	close(fd);
	return -1;
}

/* At first there are two descriptors; room that was made for an earlier worker comes by a letter.
 */
static void answer_with(const struct fastpath_given *given, struct link_message *answer)
{
	int fd = write_given(given);
	if (fd < 0)
		return;
	answer->fds[0] = fd;
	answer->fds[1] = given->fds[FASTPATH_GIVEN_WANTED];
	answer->fds[2] = given->fds[FASTPATH_GIVEN_WAKE];
	answer->fd_count = 3;
}

int keeper_fastpath_open(struct keeper_fastpath *fastpath, const struct options *options,
			 struct link_message *answer, struct why *why)
{
	const struct fastpath_keeper_config config = configure(fastpath, options);
	struct fastpath_given given;

	*answer = (struct link_message){.type = LINK_FASTPATH};
	if (!fastpath->tried && fastpath_keeper_open(&fastpath->keeper, &config, why) != 0)
		return -1;
	fastpath->tried = true;
	if (fastpath->keeper) {
		fastpath_keeper_give(fastpath->keeper, &given);
		answer_with(&given, answer);
	}
	return 0;
}

void keeper_fastpath_grant(struct keeper_fastpath *fastpath, const struct link_message *message,
			   struct link_message *answer)
{
	const struct fastpath_request request = {
	    .room = message->count[0], .at = message->count[1], .addr = message->addr};
	int fd = fastpath->keeper ? fastpath_keeper_grant(fastpath->keeper, &request) : -1;

	*answer = *message;
	answer->type = LINK_GRANTED;
	answer->fds[0] = fd;
	answer->fd_count = fd >= 0;
}

int keeper_fastpath_give(struct keeper_fastpath *fastpath)
{
	struct fastpath_given given;
	if (!fastpath->keeper)
		return -1;
	fastpath_keeper_give(fastpath->keeper, &given);
	for (int i = 0; i < FASTPATH_GIVEN_FDS; i++) {
		if (given.fds[i] >= 0)
			fcntl(given.fds[i], F_SETFD, 0);
	}
	return write_given(&given);
}

int keeper_fastpath_describe(struct keeper_fastpath *fastpath, struct letter *letter,
			     struct why *why)
{
	if (!fastpath->keeper)
		return 0;
	letter->fastpath = malloc(sizeof(struct fastpath_letter));
	if (!letter->fastpath)
		return why_set(why, "fast path: no memory");
	letter->fastpath_length = sizeof(struct fastpath_letter);
	fastpath_keeper_describe(fastpath->keeper,
				 (struct fastpath_letter *)(void *)letter->fastpath);
	return 0;
}

void keeper_fastpath_resume(struct keeper_fastpath *fastpath)
{
	struct why why;
	if (!fastpath->keeper || fastpath_keeper_resume(fastpath->keeper, &why) == 0)
		return;
	log_error("fast path: %s", why.text);
	fastpath_keeper_close(fastpath->keeper);
	fastpath->keeper = NULL;
}

void keeper_fastpath_adopt(struct keeper_fastpath *fastpath, const struct letter *letter,
			   const struct options *options)
{
	const struct fastpath_keeper_config config = configure(fastpath, options);
	struct why why;
	if (!letter->fastpath)
		return;
	if (fastpath_keeper_adopt(&fastpath->keeper, letter->fastpath, letter->fastpath_length,
				  &config, &why) != 0)
		log_warning("%s; it is attached anew", why.text);
	fastpath->tried = fastpath->keeper != NULL;
}
