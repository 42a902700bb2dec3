#include "worker/worker_legs.h"

#include "worker/worker_wishes.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int worker_legs_open(struct worker_legs *legs, const struct letter *letter,
		     struct worker_wishes *wishes, struct why *why)
{
	legs->letter = letter;
	legs->wishes = wishes;
	legs->asked = calloc(letter->legs_count + 1, sizeof(*legs->asked));
	return legs->asked ? 0 : why_set(why, "worker: no memory");
}

void worker_legs_free(struct worker_legs *legs)
{
	free(legs->asked);
	*legs = (struct worker_legs){.asked = NULL};
}

int worker_legs_keep(void *arg, uint32_t index, const int fds[2])
{
	const struct worker_legs *legs = arg;
	struct link_message message = {
	    .type = LINK_KEEP, .number = index, .fds = {fds[0], fds[1]}, .fd_count = 2};
	return link_send(legs->wishes->link, &message);
}

void worker_legs_release(void *arg, uint32_t index)
{
	const struct worker_legs *legs = arg;
	struct link_message message = {.type = LINK_RELEASE, .number = index};
	worker_wishes_say(legs->wishes, &message);
}

static int compare_legs(const void *index, const void *legs)
{
	uint32_t a = *(const uint32_t *)index, b = ((const struct letter_legs *)legs)->index;
	return (a > b) - (a < b);
}

/* They are in the order of their indexes. */
bool worker_legs_find(void *arg, uint32_t index, int fds[2])
{
	struct worker_legs *legs = arg;
	const struct letter *letter = legs->letter;
	const struct letter_legs *found =
	    bsearch(&index, letter->legs, letter->legs_count, sizeof(*letter->legs), compare_legs);
	if (!found)
		return false;
	legs->asked[found - letter->legs] = true;
	for (int side = 0; side < 2; side++) {
		fds[side] = found->fds[side];
		fcntl(fds[side], F_SETFD, FD_CLOEXEC);
	}
	return true;
}

void worker_legs_close_unasked(struct worker_legs *legs)
{
	for (size_t i = 0; i < legs->letter->legs_count; i++) {
		const struct letter_legs *unasked = &legs->letter->legs[i];
		if (legs->asked[i])
			continue;
		close(unasked->fds[0]);
		close(unasked->fds[1]);
		worker_legs_release(legs, unasked->index);
	}
}
