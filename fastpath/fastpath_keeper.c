/*
 * The parts, in order, and the letter's fate.
 */
#include "fastpath/fastpath_keeper.h"

#include "fastpath/fastpath_hops.h"
#include "fastpath/fastpath_maps.h"
#include "fastpath/fastpath_netlink.h"
#include "fastpath/fastpath_ports.h"
#include "fastpath/fastpath_wanted.h"
#include "host/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fastpath_keeper {
	struct fastpath_maps *maps;
	struct fastpath_netlink *netlink;
	struct fastpath_ports *ports;
	int wanted_fds[2]; /* the table's and the eventfd; -1: none */
	struct fastpath_hops *hops;
};

/* ---- birth and death ---- */

static struct fastpath_keeper *new_keeper(void)
{
	struct fastpath_keeper *keeper = calloc(1, sizeof(*keeper));
	if (keeper)
		keeper->wanted_fds[0] = keeper->wanted_fds[1] = -1;
	return keeper;
}

static int start_hops(struct fastpath_keeper *keeper, struct why *why)
{
	keeper->hops = fastpath_hops_open(fastpath_maps_hops(keeper->maps), keeper->netlink,
					  keeper->ports, keeper->wanted_fds, why);
	return keeper->hops ? 0 : -1;
}

static int open_all(struct fastpath_keeper *keeper, const struct fastpath_keeper_config *config,
		    struct why *why)
{
	keeper->maps = fastpath_maps_open(why);
	if (!keeper->maps)
		return -1;
	keeper->netlink = fastpath_netlink_open(why);
	if (!keeper->netlink)
		return -1;
	keeper->ports = fastpath_ports_open(config, keeper->maps, keeper->netlink, why);
	if (!keeper->ports ||
	    fastpath_wanted_make(&keeper->wanted_fds[0], &keeper->wanted_fds[1], why) != 0)
		return -1;
	return start_hops(keeper, why);
}

int fastpath_keeper_open(struct fastpath_keeper **out, const struct fastpath_keeper_config *config,
			 struct why *why)
{
	struct why reason;
	*out = NULL;
	if (config->mode == FASTPATH_OFF)
		return 0;
	struct fastpath_keeper *keeper = new_keeper();
	if (!keeper)
		return why_set(why, "fast path: no memory");
	if (open_all(keeper, config, &reason) != 0) {
		fastpath_keeper_close(keeper);
		if (config->mode != FASTPATH_AUTO || config->interface_count > 0)
			return why_set(why, "fast path: %s", reason.text);
		log_warning("no fast path: %s", reason.text);
		return 0;
	}
	*out = keeper;
	return 0;
}

struct seer {
	fastpath_keeper_seen *seen;
	void *arg;
};

static void on_link(void *arg, const struct fastpath_link *link)
{
	const struct seer *seer = arg;
	seer->seen(seer->arg, link->name, link->ethernet, link->sends_native);
}

int fastpath_keeper_probe(const struct fastpath_keeper_config *config, fastpath_keeper_seen *seen,
			  void *arg, struct why *why)
{
	struct seer seer = {seen, arg};
	struct fastpath_maps *maps = fastpath_maps_open(why);
	struct fastpath_netlink *netlink = maps ? fastpath_netlink_open(why) : NULL;
	int result = netlink ? fastpath_ports_look(config, netlink, on_link, &seer, why) : -1;
	fastpath_netlink_close(netlink);
	fastpath_maps_close(maps);
	return result;
}

void fastpath_keeper_close(struct fastpath_keeper *keeper)
{
	if (!keeper)
		return;
	fastpath_hops_close(keeper->hops);
	for (int i = 0; i < 2; i++) {
		if (keeper->wanted_fds[i] >= 0)
			close(keeper->wanted_fds[i]);
	}
	fastpath_ports_close(keeper->ports);
	fastpath_netlink_close(keeper->netlink);
	fastpath_maps_close(keeper->maps);
	free(keeper);
}

/* ---- for workers ---- */

void fastpath_keeper_give(const struct fastpath_keeper *keeper, struct fastpath_given *given)
{
	fastpath_maps_give(keeper->maps, given);
	given->fds[FASTPATH_GIVEN_WANTED] = keeper->wanted_fds[0];
	given->fds[FASTPATH_GIVEN_WAKE] = keeper->wanted_fds[1];
}

int fastpath_keeper_grant(struct fastpath_keeper *keeper, const struct fastpath_request *request)
{
	switch (request->room) {
	case FASTPATH_ROOM_ROUTES:
		return fastpath_maps_routes(keeper->maps, request->at, request->addr);
	case FASTPATH_ROOM_COUNTS:
		return fastpath_maps_counts(keeper->maps, request->at);
	}
	errno = EINVAL;
	return -1;
}

/* ---- over an exec ---- */

static void set_inherited(const struct fastpath_letter *letter, bool inherited)
{
	for (int i = 0; i < FASTPATH_LETTER_FDS; i++) {
		if (letter->fds[i] >= 0)
			fcntl(letter->fds[i], F_SETFD, inherited ? 0 : FD_CLOEXEC);
	}
}

static void write_letter(const struct fastpath_keeper *keeper, struct fastpath_letter *letter)
{
	*letter = (struct fastpath_letter){
	    .magic = FASTPATH_LETTER_MAGIC,
	    .layout = FASTPATH_LAYOUT,
	    .fd_count = FASTPATH_LETTER_FDS,
	    .size = sizeof(*letter),
	};
	for (int i = 0; i < FASTPATH_LETTER_FDS; i++)
		letter->fds[i] = -1;
	letter->fds[FASTPATH_GIVEN_WANTED] = keeper->wanted_fds[0];
	letter->fds[FASTPATH_GIVEN_WAKE] = keeper->wanted_fds[1];
	fastpath_maps_describe(keeper->maps, letter);
	fastpath_ports_describe(keeper->ports, letter);
}

void fastpath_keeper_describe(struct fastpath_keeper *keeper, struct fastpath_letter *letter)
{
	fastpath_hops_close(keeper->hops);
	keeper->hops = NULL;
	write_letter(keeper, letter);
	set_inherited(letter, true);
}

int fastpath_keeper_resume(struct fastpath_keeper *keeper, struct why *why)
{
	struct fastpath_letter letter;
	write_letter(keeper, &letter);
	set_inherited(&letter, false);
	return start_hops(keeper, why);
}

static void close_letter(struct fastpath_letter *letter)
{
	for (uint32_t i = 0; i < letter->fd_count; i++) {
		if (letter->fds[i] >= 0)
			close(letter->fds[i]);
	}
}

/* A copy that can be closed, with as many descriptors as both the letter and we know of; those that
 * only the letter knows of are closed. NULL: it is none. */
static struct fastpath_letter *read_letter(const void *octets, size_t size)
{
	const size_t head = offsetof(struct fastpath_letter, fds);
	const struct fastpath_letter *from = octets;
	struct fastpath_letter *letter;

	if (size < head || from->magic != FASTPATH_LETTER_MAGIC ||
	    from->fd_count > (size - head) / sizeof(from->fds[0]))
		return NULL;
	letter = calloc(1, sizeof(*letter));
	if (!letter)
		return NULL;
	for (uint32_t i = FASTPATH_LETTER_FDS; i < from->fd_count; i++) {
		if (from->fds[i] >= 0)
			close(from->fds[i]);
	}
	memcpy(letter, from, size < sizeof(*letter) ? size : sizeof(*letter));
	if (letter->fd_count > FASTPATH_LETTER_FDS)
		letter->fd_count = FASTPATH_LETTER_FDS;
	if (from->size != size)
		letter->layout = 0; /* cut: the head is all that is good */
	return letter;
}

static int adopt_all(struct fastpath_keeper *keeper, struct fastpath_letter *letter,
		     struct why *why)
{
	bool changed;
	if (letter->layout != FASTPATH_LAYOUT || letter->size != sizeof(*letter))
		return why_set(why, "the other version's maps are laid out in another way");
	set_inherited(letter, false);
	memcpy(keeper->wanted_fds, &letter->fds[FASTPATH_GIVEN_WANTED], sizeof(keeper->wanted_fds));
	letter->fds[FASTPATH_GIVEN_WANTED] = letter->fds[FASTPATH_GIVEN_WAKE] = -1;
	keeper->maps = fastpath_maps_adopt(letter, &changed, why);
	if (!keeper->maps)
		return -1;
	keeper->netlink = fastpath_netlink_open(why);
	if (!keeper->netlink)
		return -1;
	keeper->ports = fastpath_ports_adopt(letter, changed, keeper->maps, keeper->netlink, why);
	if (!keeper->ports)
		return -1;
	if (changed)
		log_info("fast path: its eBPF programs are replaced by this version's");
	return start_hops(keeper, why);
}

int fastpath_keeper_adopt(struct fastpath_keeper **out, const void *octets, size_t size,
			  const struct fastpath_keeper_config *config, struct why *why)
{
	struct why reason;
	*out = NULL;
	struct fastpath_letter *letter = read_letter(octets, size);
	struct fastpath_keeper *keeper = new_keeper();
	int result = 0;

	if (!letter || !keeper)
		result = why_set(&reason, letter ? "no memory" : "the letter cannot be read");
	else if (config->mode != FASTPATH_OFF)
		result = adopt_all(keeper, letter, &reason);
	if (letter)
		close_letter(letter); /* what nobody has taken over */
	free(letter);
	if (result == 0 && config->mode != FASTPATH_OFF) {
		*out = keeper;
		return 0;
	}
	fastpath_keeper_close(keeper);
	return result == 0 ? 0 : why_set(why, "fast path: %s", reason.text);
}
