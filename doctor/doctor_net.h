/*
 * doctor_net: the pairs' addresses: names, ports of ours, ways to the servers.
 *
 * Thread: main. Host byte order.
 */
#ifndef DOCTOR_DOCTOR_NET_H
#define DOCTOR_DOCTOR_NET_H

#include "doctor/doctor_report.h"
#include "host/names.h"
#include "options.h"

#include <net/if.h>
#include <sys/types.h>

/* The way to a server's address. */
struct doctor_way {
	uint32_t addr;
	bool there;		     /* the host has a route */
	uint32_t local_addr;	     /* that it sends from */
	char interface[IF_NAMESIZE]; /* "": not known */
	bool gre_blocked; /* this host drops its GRE, or ours to it: doctor_firewall_look */
};

struct doctor_pair {
	const struct pair *pair;
	bool listens;	      /* its listen address is known, and no other pair has it */
	uint32_t listen_addr; /* 0: any */
	struct doctor_way ways[NAMES_ADDRESSES_MAX];
	size_t way_count;
};

/* Has the names resolved and tells which are not. The result has one for each of the options' pairs
 * and is the caller's to free; NULL: no memory, or there is no pair. */
struct doctor_pair *doctor_net_resolve(struct doctor_report *report, const struct options *options);

/* Whether the ports can be had, the status page's, too. pairs: NULL if there is none. instance: the
 * pid of an instance that runs; 0: none. */
void doctor_net_ports(struct doctor_report *report, const struct options *options,
		      const struct doctor_pair *pairs, pid_t instance);

/* Routes to the servers; fills the ways. */
void doctor_net_routes(struct doctor_report *report, struct doctor_pair *pairs, size_t count);

#endif
