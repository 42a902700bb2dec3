/*
 * doctor_firewall: asks the host's firewall, as nft and iptables show it, what becomes of calls:
 * TCP and protocol 47, in and out, clients and servers; connection tracking's helper for PPTP.
 * doctor_rules.h tells how far its answers can be trusted. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_FIREWALL_H
#define DOCTOR_DOCTOR_FIREWALL_H

#include "doctor/doctor_mend.h"
#include "doctor/doctor_net.h"
#include "doctor/doctor_report.h"

/* About protocol 47: commands for the first chain there is; "": by what can be seen, none. */
struct doctor_firewall_gre {
	char out[DOCTOR_MEND_TEXT];	/* has it leave, where it is dropped, or may be */
	char dropped[DOCTOR_MEND_TEXT]; /* lets it pass, either way, where it is dropped */
};

/* Tells the ways, too, whether it is dropped there. */
void doctor_firewall_look(struct doctor_report *report, struct doctor_pair *pairs, size_t count,
			  struct doctor_firewall_gre *gre);

/* What the programs print; NULL: not to be had. */
struct doctor_firewall_texts {
	char *nft, *iptables; /* which may be of rules in nftables, or legacy */
	char *iptables_legacy;
};

/* The same of texts that the caller has. */
void doctor_firewall_judge(struct doctor_report *report, const struct doctor_firewall_texts *texts,
			   struct doctor_pair *pairs, size_t count,
			   struct doctor_firewall_gre *gre);

#endif
