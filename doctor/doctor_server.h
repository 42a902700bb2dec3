/*
 * doctor_server: calls a server as a client would: a control connection, who it is, an echo, on
 * request a call (doctor_call), the orderly end. Waits; thread: main.
 */
#ifndef DOCTOR_DOCTOR_SERVER_H
#define DOCTOR_DOCTOR_SERVER_H

#include "doctor/doctor_firewall.h"
#include "doctor/doctor_net.h"
#include "doctor/doctor_report.h"
#include "gre/gre_socket.h"

struct doctor_server_config {
	unsigned timeout_s;	    /* of each step; --connect-timeout */
	struct gre_socket *sockets; /* for a call; NULL: none is made */
	const struct doctor_firewall_gre *gre;
};

void doctor_server_call(struct doctor_report *report, const struct doctor_way *way, uint16_t port,
			const struct doctor_server_config *config);

#endif
