/*
 * doctor_mend: commands about a host's firewall: nft's or iptables', or, where firewalld or ufw
 * keep the rules, theirs: what others change in those is gone with the next reload.
 *
 * Each writes one line for a shell into out: text of rules is quoted in it. Pure. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_MEND_H
#define DOCTOR_DOCTOR_MEND_H

#include "doctor/doctor_rules.h"

enum { DOCTOR_MEND_TEXT = 768 };

/* Has packets like this one, which the judgement says are dropped, accepted. */
void doctor_mend_pass(const struct doctor_rules *rules, const struct doctor_judgement *judgement,
		      const struct doctor_packet *packet, char out[static DOCTOR_MEND_TEXT]);

/* Takes a rule out of its chain. Shows the chain where the rule cannot be named in a command, and
 * firewalld's settings where one of them has made it. */
void doctor_mend_delete(const struct doctor_rules *rules, const struct doctor_chain *chain,
			const char *rule, char out[static DOCTOR_MEND_TEXT]);

/* Shows a chain. */
void doctor_mend_show(const struct doctor_rules *rules, const struct doctor_chain *chain,
		      char out[static DOCTOR_MEND_TEXT]);

/* Has connection tracking pass over protocol 47. */
void doctor_mend_untrack(const struct doctor_rules *rules, char out[static DOCTOR_MEND_TEXT]);

#endif
