/*
 * worker_page: the status page's server, and its successor at another address while the
 * configuration changes.
 *
 * Thread: control thread.
 */
#ifndef WORKER_PAGE_H
#define WORKER_PAGE_H

#include "host/why.h"
#include "pair.h"

#include <stdbool.h>
#include <stdint.h>

struct control_relay;
struct event_base;
struct snapshot;
struct status_http;
struct worker_listen;

/* Pointers outlive it. */
struct worker_page_config {
	struct event_base *base;
	struct worker_listen *listen;
	const struct control_relay *control; /* where it listens no page can be */
	/* Fills the snapshot as it is now, for snapshot_clear. 0, or -1 with a sentence. */
	int (*look)(void *arg, struct snapshot *snapshot, struct why *why);
	void *arg;
};

struct worker_page_server {
	struct pair_endpoint at;  /* port 0: there is none */
	struct status_http *http; /* NULL: not open yet */
};

/* All zero: there is none. */
struct worker_page {
	struct worker_page_config config;
	struct worker_page_server now, next;
	bool changes; /* the next one is at another address, or there is to be none */
};

/* The first one; at port 0 there is none. 0, or -1 with a sentence. */
int worker_page_open(struct worker_page *page, const struct worker_page_config *config,
		     const struct pair_endpoint *at, struct why *why);
void worker_page_close(struct worker_page *page); /* in any state */

/* Another configuration has it there: 0, or -1 with a sentence. Then that one is used, or
 * forgotten. */
int worker_page_prepare(struct worker_page *page, const struct pair_endpoint *at, struct why *why);
void worker_page_use(struct worker_page *page);
void worker_page_forget(struct worker_page *page);

/* Whether it is at this address; whether it will be once what was prepared is used. */
bool worker_page_is_at(const struct worker_page *page, uint32_t addr, uint16_t port);
bool worker_page_will_be_at(const struct worker_page *page, uint32_t addr, uint16_t port);

#endif
