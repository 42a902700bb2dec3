/*
 * worker_own: what the worker's pieces share. Nobody else includes it.
 *
 *   worker            birth, death, the main loop; what the keeper says
 *    |- worker_rooms      the rooms below, in order
 *    '- worker_change     a configuration, the first and another
 *
 * The other pieces know no worker. Objects: worker_wishes, _listen, _legs, _page, _fastpath,
 * _drops, _capture with _tap, _ask; questions of all rooms: _status, _totals. Thread: control
 * thread.
 */
#ifndef WORKER_OWN_H
#define WORKER_OWN_H

#include "keeper/configuration.h"
#include "keeper/letter.h"
#include "worker/worker_drops.h"
#include "worker/worker_fastpath.h"
#include "worker/worker_legs.h"
#include "worker/worker_listen.h"
#include "worker/worker_page.h"
#include "worker/worker_wishes.h"

#include <stdbool.h>

struct event;
struct event_base;

struct worker {
	const struct letter *letter;
	struct configuration *configuration; /* others have pointers into it; NULL: not read yet */
	struct event_base *base;
	struct worker_wishes wishes;
	struct worker_listen listen;
	struct worker_legs legs;

	/* worker_rooms's, in their order of birth */
	struct kept *kept;
	struct names *names;
	struct worker_past *past; /* in the kept memory */
	struct callid_db *db;
	struct worker_capture *captures;
	struct gre_relay *gre;
	struct acl_ask *ask;
	struct worker_drops drops;
	struct event *drops_tick;
	struct control_relay *control;
	struct worker_fastpath fastpath;
	struct worker_page page;
	struct worker_ask *callers; /* at the control socket */

	/* worker_change's */
	bool changing; /* the next configuration is half in use */

	/* what the keeper has said */
	int change, change_log; /* descriptors of a letter and of the log that it wants; or -1 */
	bool end, hand_over, alone;
	bool ending, closed; /* what has become of that */
};

static inline const struct options *worker_options(const struct worker *worker)
{
	return &worker->configuration->options;
}

#endif
