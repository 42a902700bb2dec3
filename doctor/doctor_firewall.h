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

/* gre_out: the command that has protocol 47 leave by the first chain that drops it, or may; "": by
 * what can be seen, none does. */
void doctor_firewall_look(struct doctor_report *report, const struct doctor_pair *pairs,
			  size_t count, char gre_out[static DOCTOR_MEND_TEXT]);

/* What the programs print; NULL: not to be had. */
struct doctor_firewall_texts {
	char *nft, *iptables; /* which may be of rules in nftables, or legacy */
	char *iptables_legacy;
};

/* The same of texts that the caller has. */
void doctor_firewall_judge(struct doctor_report *report, const struct doctor_firewall_texts *texts,
			   const struct doctor_pair *pairs, size_t count,
			   char gre_out[static DOCTOR_MEND_TEXT]);

#endif
