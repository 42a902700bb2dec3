/*
 * Somebody who is asked about access commands, and answers from the event loop, or never.
 */
#ifndef ASKER_H
#define ASKER_H

#include "acl/acl_ask.h"

struct event_base;

enum asker_says { ASKER_YES, ASKER_NO, ASKER_NOTHING };

/* One at a time. */
struct acl_ask *asker_open(struct event_base *base, enum asker_says says);
void asker_close(void); /* any state */

struct asker_asked {
	unsigned questions, cancelled;
	struct acl_ask_client last;
};
struct asker_asked asker_asked(void);

#endif
