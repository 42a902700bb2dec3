/*
 * doctor_mend: commands that change a host's firewall, for nft and iptables.
 *
 * Each writes one line for a shell into out. Pure. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_MEND_H
#define DOCTOR_DOCTOR_MEND_H

#include "doctor/doctor_rules.h"

enum { DOCTOR_MEND_TEXT = 768 };

/* Has packets like this one accepted in a chain. */
void doctor_mend_pass(const struct doctor_rules *rules, const struct doctor_chain *chain,
		      const struct doctor_packet *packet, char out[static DOCTOR_MEND_TEXT]);

/* Takes a rule out of its chain. False: its text does not say which one it is. */
bool doctor_mend_delete(const struct doctor_rules *rules, const struct doctor_chain *chain,
			const char *rule, char out[static DOCTOR_MEND_TEXT]);

#endif
