#include "doctor/doctor_mend.h"

#include "doctor/doctor_addr.h"
#include "doctor/doctor_nft.h"

#include <stdio.h>
#include <string.h>

enum { CONDITION = 96 };

static bool is_nft(const struct doctor_rules *rules)
{
	return strcmp(rules->program, "nft") == 0;
}

static void nft_condition(const struct doctor_packet *packet, char out[static CONDITION])
{
	char addr[DOCTOR_ADDR_TEXT];
	if (packet->protocol == DOCTOR_GRE)
		snprintf(out, CONDITION, "ip protocol gre");
	else if (packet->established)
		snprintf(out, CONDITION, "ct state established,related");
	else if (packet->in)
		snprintf(out, CONDITION, "tcp dport %u", packet->local_port);
	else
		snprintf(out, CONDITION, "ip daddr %s tcp dport %u",
			 doctor_addr_text(packet->addr, addr), packet->port);
}

static void iptables_condition(const struct doctor_packet *packet, char out[static CONDITION])
{
	char addr[DOCTOR_ADDR_TEXT];
	if (packet->protocol == DOCTOR_GRE)
		snprintf(out, CONDITION, "-p gre");
	else if (packet->established)
		snprintf(out, CONDITION, "-m conntrack --ctstate ESTABLISHED,RELATED");
	else if (packet->in)
		snprintf(out, CONDITION, "-p tcp --dport %u", packet->local_port);
	else
		snprintf(out, CONDITION, "-p tcp -d %s --dport %u",
			 doctor_addr_text(packet->addr, addr), packet->port);
}

void doctor_mend_pass(const struct doctor_rules *rules, const struct doctor_chain *chain,
		      const struct doctor_packet *packet, char out[static DOCTOR_MEND_TEXT])
{
	char condition[CONDITION];
	if (is_nft(rules)) {
		nft_condition(packet, condition);
		snprintf(out, DOCTOR_MEND_TEXT, "nft insert rule %s %s %s accept", chain->table,
			 chain->name, condition);
	} else {
		iptables_condition(packet, condition);
		snprintf(out, DOCTOR_MEND_TEXT, "%s -t %s -I %s %s -j ACCEPT", rules->program,
			 chain->table, chain->name, condition);
	}
}

/* iptables has no handles: the rule's own words with another letter. */
bool doctor_mend_delete(const struct doctor_rules *rules, const struct doctor_chain *chain,
			const char *rule, char out[static DOCTOR_MEND_TEXT])
{
	unsigned long handle = doctor_nft_handle(rule);
	if (is_nft(rules) && handle != 0)
		snprintf(out, DOCTOR_MEND_TEXT, "nft delete rule %s %s handle %lu", chain->table,
			 chain->name, handle);
	else if (!is_nft(rules))
		snprintf(out, DOCTOR_MEND_TEXT, "%s -t %s -D %s", rules->program, chain->table,
			 rule + strlen("-A "));
	return !is_nft(rules) || handle != 0;
}
