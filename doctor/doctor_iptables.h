/*
 * doctor_iptables: what iptables-save prints -> chains, and what a rule of it does with a packet.
 *
 * Pure. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_IPTABLES_H
#define DOCTOR_DOCTOR_IPTABLES_H

#include "doctor/doctor_rules.h"

/* Into *rules, which doctor_rules_clear clears in every case; the program's name is for whoever
 * calls to set. False: no memory. */
bool doctor_iptables_parse(struct doctor_rules *rules, const char *text);

/* Whether the text is of the iptables that keeps its rules in nftables: nft shows them as well. */
bool doctor_iptables_is_nft(const char *text);

#endif
