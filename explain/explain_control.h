/*
 * explain_control: control connections, from TCP packets: who opened and who closed them, their two
 * streams. What their messages say is explain_message's. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_CONTROL_H
#define EXPLAIN_EXPLAIN_CONTROL_H

#include "explain/explain_case.h"

/* A whole TCP packet. Of a connection with port 1723, of a known one, or with a PPTP message at the
 * start of its octets; others are passed over. */
void explain_control_take(struct explain_case *all, const struct explain_packet *packet);

/* Nothing more comes. */
void explain_control_end(struct explain_case *all, struct explain_control *control);

void explain_control_free(struct explain_control *control); /* NULL is fine */

#endif
