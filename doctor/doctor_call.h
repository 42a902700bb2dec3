/*
 * doctor_call: a call up to the first LCP packet back, which proves that protocol 47 gets through,
 * and each way for itself:
 *
 *   from the server   any packet of the call
 *   to the server     an answer to our LCP Configure-Request, or an acknowledgement of the packet
 *                     that it came in; the server's own Configure-Request proves nothing here
 *
 * Waits; thread: main. RFC 2637 sections 2.7, 4; RFC 1661.
 */
#ifndef DOCTOR_DOCTOR_CALL_H
#define DOCTOR_DOCTOR_CALL_H

#include "doctor/doctor_firewall.h"
#include "doctor/doctor_report.h"
#include "doctor/doctor_talk.h"
#include "gre/gre_socket.h"

#include <stdbool.h>

struct doctor_call_config {
	const char *name;   /* of the server, for findings */
	uint32_t addr;	    /* its */
	unsigned timeout_s; /* for the reply, and for packets */
	const struct doctor_firewall_gre *gre;
	bool gre_blocked; /* this host's firewall drops the call's packets, and it is told */
	struct gre_socket *sockets; /* open, the caller's; ours alone: what comes in is taken out */
};

/* On a control connection that is started. False: that has ended. */
bool doctor_call_make(struct doctor_report *report, struct doctor_talk *talk,
		      const struct doctor_call_config *config);

#endif
