/*
 * Whose rules they are is seen by the names of tables and chains: firewalld has a table of its own
 * (with iptables: chains for its zones), ufw the chains "ufw-...".
 */
#include "doctor/doctor_mend.h"

#include "doctor/doctor_addr.h"
#include "doctor/doctor_nft.h"
#include "doctor/doctor_report.h"

#include <stdio.h>
#include <string.h>

enum { CONDITION = 96, NAME = 64, QUOTED = 4 * DOCTOR_TARGET_MAX + 16 };

static bool is_nft(const struct doctor_rules *rules)
{
	return strcmp(rules->program, "nft") == 0;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* A name for a shell: iptables lets a chain be called "a;id". The longest one fits; so each
 * command that is made of names alone does. */
static char *quoted(const char *name, char out[static QUOTED])
{
	char word[DOCTOR_REPORT_WORD];
	snprintf(out, QUOTED, "%s", doctor_report_word(name, word));
	return out;
}

/* "inet filter": the family is one of few words. */
static char *quoted_table(const char *table, char out[static QUOTED])
{
	char name[QUOTED];
	const char *blank = strchr(table, ' ');
	int family = blank ? (int)(blank - table) + 1 : 0;
	snprintf(out, QUOTED, "%.*s%s", family, table, quoted(table + family, name));
	return out;
}

static bool has_chain(const struct doctor_rules *rules, const char *table, const char *name)
{
	for (size_t i = 0; i < rules->chain_count; i++) {
		if (strcmp(rules->chains[i].table, table) == 0 &&
		    strcmp(rules->chains[i].name, name) == 0)
			return true;
	}
	return false;
}

/* ---- nft and iptables ---- */

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

static void pass_plain(const struct doctor_rules *rules, const struct doctor_chain *chain,
		       const struct doctor_packet *packet, char out[static DOCTOR_MEND_TEXT])
{
	char condition[CONDITION], table[QUOTED], name[QUOTED];
	if (is_nft(rules)) {
		nft_condition(packet, condition);
		snprintf(out, DOCTOR_MEND_TEXT, "nft insert rule %s %s %s accept",
			 quoted_table(chain->table, table), quoted(chain->name, name), condition);
	} else {
		iptables_condition(packet, condition);
		snprintf(out, DOCTOR_MEND_TEXT, "%s -t %s -I %s %s -j ACCEPT", rules->program,
			 quoted_table(chain->table, table), quoted(chain->name, name), condition);
	}
}

/* ---- firewalld ---- */

struct place {
	char option[QUOTED + 16]; /* " --zone=public"; "": the default zone */
	bool first;		  /* only what comes before its other rules helps */
};

static bool is_firewalld(const struct doctor_rules *rules, const struct doctor_chain *chain)
{
	return is_nft(rules) ? strcmp(chain->table, "inet firewalld") == 0
			     : has_chain(rules, chain->table, "INPUT_ZONES");
}

/* "filter_IN_public_deny" or "IN_public_deny": in the zone public, and before its other rules;
 * "filter_OUT_policy_mine": in the policy mine. */
static bool read_place(const char *chain, struct place *place)
{
	static const char *const parts[] = {"_pre", "_log", "_deny", "_allow", "_post"};
	char name[NAME], word[QUOTED];
	const char *at = begins(chain, "filter_") ? chain + strlen("filter_") : chain;
	if (begins(at, "IN_"))
		at += strlen("IN_");
	else if (begins(at, "OUT_policy_"))
		at += strlen("OUT_");
	else
		return false;
	bool policy = begins(at, "policy_");
	snprintf(name, sizeof(name), "%s", at + (policy ? strlen("policy_") : 0));
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		size_t length = strlen(name), part = strlen(parts[i]);
		if (length <= part || strcmp(name + length - part, parts[i]) != 0)
			continue;
		name[length - part] = '\0';
		place->first = i <= 2;
		break;
	}
	snprintf(place->option, sizeof(place->option), " --%s=%s", policy ? "policy" : "zone",
		 quoted(name, word));
	return true;
}

/* Older versions refuse at the end of the base chain what no zone has taken: the zone cannot be
 * seen then. */
static bool find_place(const struct doctor_judgement *judgement, struct place *place)
{
	*place = (struct place){.first = false};
	if (read_place(judgement->holder->name, place))
		return true;
	return strcmp(judgement->holder->name, "filter_INPUT") == 0 ||
	       strcmp(judgement->holder->name, "INPUT") == 0;
}

static bool pass_by_firewalld(const struct doctor_rules *rules,
			      const struct doctor_judgement *judgement,
			      const struct doctor_packet *packet, char out[static DOCTOR_MEND_TEXT])
{
	struct place place;
	char what[CONDITION];
	bool gre = packet->protocol == DOCTOR_GRE;
	uint16_t port = packet->in ? packet->local_port : packet->port;

	/* It has no word for connections that are up: it lets them pass by itself. */
	if (!is_firewalld(rules, judgement->holder) || packet->established ||
	    !find_place(judgement, &place))
		return false;
	if (place.first && gre)
		snprintf(what, sizeof(what), "'rule priority=-32768 protocol value=gre accept'");
	else if (place.first)
		snprintf(what, sizeof(what),
			 "'rule priority=-32768 port port=%u protocol=tcp accept'", port);
	else if (gre)
		snprintf(what, sizeof(what), "gre");
	else
		snprintf(what, sizeof(what), "%u/tcp", port);
	snprintf(out, DOCTOR_MEND_TEXT,
		 "firewall-cmd --permanent%s --add-%s=%s && firewall-cmd --reload", place.option,
		 place.first ? "rich-rule"
		 : gre	     ? "protocol"
			     : "port",
		 what);
	return true;
}

/* ---- ufw ---- */

static bool is_ufw(const struct doctor_rules *rules, const struct doctor_judgement *judgement)
{
	const struct doctor_chain *holder = judgement->holder;
	if (is_nft(rules) || strcmp(holder->table, "filter") != 0)
		return false;
	return begins(holder->name, "ufw-") ||
	       (!judgement->rule && has_chain(rules, holder->table, "ufw-user-input"));
}

/* What stands before the user's rules is a file's. So is what of connections that are up passes:
 * ufw has no word for these. */
static void pass_by_file(const struct doctor_packet *packet, char out[static DOCTOR_MEND_TEXT])
{
	char condition[CONDITION];
	iptables_condition(packet, condition);
	snprintf(out, DOCTOR_MEND_TEXT,
		 "sed -i '/^# End required lines/a -A ufw-before-%s %s -j ACCEPT' "
		 "/etc/ufw/before.rules && ufw reload",
		 packet->in ? "input" : "output", condition);
}

static bool pass_by_ufw(const struct doctor_rules *rules, const struct doctor_judgement *judgement,
			const struct doctor_packet *packet, char out[static DOCTOR_MEND_TEXT])
{
	const char *holder = judgement->holder->name;
	const char *first = begins(holder, "ufw-user-") ? "prepend " : "";
	char addr[DOCTOR_ADDR_TEXT];

	if (!is_ufw(rules, judgement))
		return false;
	if (packet->established || begins(holder, "ufw-before-") ||
	    strcmp(holder, "ufw-not-local") == 0)
		pass_by_file(packet, out);
	else if (packet->protocol == DOCTOR_GRE)
		snprintf(out, DOCTOR_MEND_TEXT, "ufw %sallow %s proto gre from any to any", first,
			 packet->in ? "in" : "out");
	else if (packet->in)
		snprintf(out, DOCTOR_MEND_TEXT, "ufw %sallow %u/tcp", first, packet->local_port);
	else
		snprintf(out, DOCTOR_MEND_TEXT, "ufw %sallow out proto tcp to %s port %u", first,
			 doctor_addr_text(packet->addr, addr), packet->port);
	return true;
}

/* ---- all ---- */

void doctor_mend_pass(const struct doctor_rules *rules, const struct doctor_judgement *judgement,
		      const struct doctor_packet *packet, char out[static DOCTOR_MEND_TEXT])
{
	if (!pass_by_firewalld(rules, judgement, packet, out) &&
	    !pass_by_ufw(rules, judgement, packet, out))
		pass_plain(rules, judgement->chain, packet, out);
}

/* Of any of its tables, where iptables keeps them: which of its settings made the rule is not told
 * by the chain. */
static bool is_of_firewalld(const struct doctor_rules *rules, const struct doctor_chain *chain)
{
	return is_firewalld(rules, chain) ||
	       (!is_nft(rules) && has_chain(rules, chain->table, "PREROUTING_ZONES"));
}

/* Whether a shell and iptables read the words of a rule alike, but for the quotes around them. */
static bool can_quote(const char *rule)
{
	return strchr(rule, '\'') == NULL && strchr(rule, '\\') == NULL;
}

/* iptables has no handles: the rule's own words with another letter, each quoted. False: it does
 * not fit, or cannot be said. */
static bool delete_by_words(const struct doctor_rules *rules, const struct doctor_chain *chain,
			    const char *rule, char out[static DOCTOR_MEND_TEXT])
{
	char copy[DOCTOR_RULE_MAX], kinds[DOCTOR_WORDS_MAX], word[DOCTOR_REPORT_WORD];
	char *words[DOCTOR_WORDS_MAX], table[QUOTED];

	if (strlen(rule) >= sizeof(copy) || !can_quote(rule))
		return false;
	size_t count = doctor_rules_split(rule, copy, words, kinds);
	if (count == DOCTOR_WORDS_MAX)
		return false;
	int length = snprintf(out, DOCTOR_MEND_TEXT, "%s -t %s -D", rules->program,
			      quoted_table(chain->table, table));
	for (size_t i = 1; i < count && length < DOCTOR_MEND_TEXT; i++) {
		if (kinds[i] == '{')
			return false;
		length += snprintf(out + length, (size_t)(DOCTOR_MEND_TEXT - length), " %s",
				   doctor_report_word(words[i], word));
	}
	return length < DOCTOR_MEND_TEXT;
}

void doctor_mend_delete(const struct doctor_rules *rules, const struct doctor_chain *chain,
			const char *rule, char out[static DOCTOR_MEND_TEXT])
{
	unsigned long handle = doctor_nft_handle(rule);
	char table[QUOTED], name[QUOTED];
	if (is_of_firewalld(rules, chain))
		snprintf(out, DOCTOR_MEND_TEXT,
			 "firewall-cmd --list-all-zones; firewall-cmd --list-all-policies");
	else if (is_nft(rules) && handle != 0)
		snprintf(out, DOCTOR_MEND_TEXT, "nft delete rule %s %s handle %lu",
			 quoted_table(chain->table, table), quoted(chain->name, name), handle);
	else if (is_nft(rules) || !delete_by_words(rules, chain, rule, out))
		doctor_mend_show(rules, chain, out);
}

void doctor_mend_show(const struct doctor_rules *rules, const struct doctor_chain *chain,
		      char out[static DOCTOR_MEND_TEXT])
{
	char table[QUOTED], name[QUOTED];
	quoted_table(chain->table, table);
	quoted(chain->name, name);
	if (is_nft(rules))
		snprintf(out, DOCTOR_MEND_TEXT, "nft -a list chain %s %s", table, name);
	else
		snprintf(out, DOCTOR_MEND_TEXT, "%s -t %s -vnL %s --line-numbers", rules->program,
			 table, name);
}

void doctor_mend_untrack(const struct doctor_rules *rules, char out[static DOCTOR_MEND_TEXT])
{
	if (is_nft(rules))
		snprintf(out, DOCTOR_MEND_TEXT,
			 "nft 'add table ip pptpproxy; "
			 "add chain ip pptpproxy untracked_in "
			 "{ type filter hook prerouting priority raw; }; "
			 "add rule ip pptpproxy untracked_in ip protocol gre notrack; "
			 "add chain ip pptpproxy untracked_out "
			 "{ type filter hook output priority raw; }; "
			 "add rule ip pptpproxy untracked_out ip protocol gre notrack'");
	else
		snprintf(out, DOCTOR_MEND_TEXT,
			 "%s -t raw -A PREROUTING -p gre -j CT --notrack && "
			 "%s -t raw -A OUTPUT -p gre -j CT --notrack",
			 rules->program, rules->program);
}
