/*
 * explain_message: what a control message tells of its connection and of its calls (RFC 2637
 * section 2). Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_MESSAGE_H
#define EXPLAIN_EXPLAIN_MESSAGE_H

#include "explain/explain_case.h"

extern const char *const explain_message_end_names[EXPLAIN_ENDS]; /* "client", "server" */

struct explain_message_place {
	struct explain_case *all;
	struct explain_control *control;
	enum explain_end end; /* who sent it */
	int64_t time_us;
};

/* One that pptp_wire_parse called WIRE_OK. */
void explain_message_take(const struct explain_message_place *place, const uint8_t *message,
			  const struct pptp_header *header);

#endif
