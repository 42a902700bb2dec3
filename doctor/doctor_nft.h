/*
 * doctor_nft: what `nft -a -s list ruleset` prints -> chains, and what a rule of it does with a
 * packet. Plain text and not JSON, which an nft for small systems cannot print.
 *
 * Pure. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_NFT_H
#define DOCTOR_DOCTOR_NFT_H

#include "doctor/doctor_rules.h"

/* Into *rules, which doctor_rules_clear clears in every case. False: no memory. Tables of families
 * that IPv4 does not come by are left out. So are those of family ip that iptables
 * has whole: what iptables-save printed, where it keeps its rules in nftables; else NULL. */
bool doctor_nft_parse(struct doctor_rules *rules, const char *text, const char *iptables);

/* A rule's handle, behind "# handle", or 0. */
unsigned long doctor_nft_handle(const char *rule);

#endif
