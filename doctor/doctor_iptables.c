#include "doctor/doctor_iptables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the text ---- */

static enum doctor_hook find_hook(const char *chain)
{
	static const struct {
		const char *name;
		enum doctor_hook hook;
	} hooks[] = {
	    {"PREROUTING", DOCTOR_HOOK_PREROUTING},
	    {"INPUT", DOCTOR_HOOK_INPUT},
	    {"OUTPUT", DOCTOR_HOOK_OUTPUT},
	    {"POSTROUTING", DOCTOR_HOOK_POSTROUTING},
	};
	for (size_t i = 0; i < sizeof(hooks) / sizeof(*hooks); i++) {
		if (strcmp(chain, hooks[i].name) == 0)
			return hooks[i].hook;
	}
	return DOCTOR_HOOK_NONE;
}

static struct doctor_chain *find_chain(struct doctor_rules *rules, const char *table,
				       const char *name)
{
	for (size_t i = 0; i < rules->chain_count; i++) {
		struct doctor_chain *chain = &rules->chains[i];
		if (strcmp(chain->table, table) == 0 && strcmp(chain->name, name) == 0)
			return chain;
	}
	return NULL;
}

struct reader {
	struct doctor_rules *rules;
	char table[DOCTOR_TARGET_MAX]; /* "" before the first one */
};

static bool add_chain(const struct reader *reader, const char *line)
{
	const char *table = reader->table;
	char name[DOCTOR_TARGET_MAX], policy[16];
	if (sscanf(line, ":%63s %15s", name, policy) != 2)
		return true;
	struct doctor_chain *chain = doctor_rules_add_chain(reader->rules, table, name);
	if (!chain)
		return false;
	chain->hook = find_hook(name);
	chain->nat = strcmp(table, "nat") == 0;
	chain->drops = strcmp(policy, "DROP") == 0;
	return true;
}

static bool add_rule(const struct reader *reader, const char *line)
{
	struct doctor_rules *rules = reader->rules;
	const char *table = reader->table;
	char name[DOCTOR_TARGET_MAX];
	if (sscanf(line, "-A %63s", name) != 1)
		return true;
	struct doctor_chain *chain = find_chain(rules, table, name);
	rules->tracks |=
	    strstr(line, "state ") || strstr(line, "-m conntrack") || strcmp(table, "nat") == 0;
	return !chain || doctor_rules_add(chain, line);
}

static bool read_line(void *arg, const char *line)
{
	struct reader *reader = arg;
	if (line[0] == ':')
		return add_chain(reader, line);
	if (line[0] != '*')
		return add_rule(reader, line);
	snprintf(reader->table, sizeof(reader->table), "%s", line + 1);
	return true;
}

static void read_rule(const char *rule, const struct doctor_packet *packet, bool notrack,
		      struct doctor_effect *effect);

bool doctor_iptables_parse(struct doctor_rules *rules, const char *text)
{
	struct reader reader = {.rules = rules};
	rules->read = read_rule;
	return doctor_rules_lines(text, read_line, &reader);
}

bool doctor_iptables_is_nft(const char *text)
{
	return strstr(text, "iptables-nft-save") || strstr(text, "(nf_tables)");
}

/* ---- a rule ---- */

struct cursor {
	char *words[DOCTOR_WORDS_MAX];
	char kinds[DOCTOR_WORDS_MAX];
	size_t count, at;
	const struct doctor_packet *packet;
	bool notrack;
	struct doctor_effect *effect;
	bool some, negated;
};

static const char *take(struct cursor *cursor)
{
	return cursor->at < cursor->count ? cursor->words[cursor->at++] : "";
}

static void require(struct cursor *cursor, bool holds)
{
	if (holds == cursor->negated)
		cursor->effect->matches = false;
}

static void take_protocol(struct cursor *cursor)
{
	const struct doctor_packet *packet = cursor->packet;
	const char *value = take(cursor);
	bool gre = packet->protocol == DOCTOR_GRE;
	require(cursor, doctor_rules_has_name(value, gre ? "gre" : "tcp", '\0') ||
			    doctor_rules_has_number(value, packet->protocol) ||
			    strcmp(value, "all") == 0);
}

static void take_addr(struct cursor *cursor, bool local)
{
	uint32_t addr = local ? cursor->packet->local_addr : cursor->packet->addr;
	bool understood;
	const char *value = take(cursor);
	if (addr == 0)
		cursor->some = true;
	else
		require(cursor, doctor_rules_has_addr(value, addr, &understood));
}

static void take_port(struct cursor *cursor, bool local)
{
	uint16_t port = local ? cursor->packet->local_port : cursor->packet->port;
	const char *value = take(cursor);
	if (cursor->packet->protocol != DOCTOR_TCP)
		cursor->effect->matches = false;
	else
		require(cursor, port ? doctor_rules_has_number(value, port)
				     : doctor_rules_has_any_port(value));
}

static void take_interface(struct cursor *cursor, bool in)
{
	const char *value = take(cursor), *name = cursor->packet->interface;
	if (in != cursor->packet->in)
		require(cursor, false);
	else if (name[0])
		require(cursor, doctor_rules_has_name(value, name, '+'));
	else if (strcmp(value, "lo") == 0)
		require(cursor, false);
	else
		cursor->some = true;
}

static void take_state(struct cursor *cursor)
{
	const char *state = cursor->notrack		  ? "UNTRACKED"
			    : cursor->packet->established ? "ESTABLISHED"
							  : "NEW";
	require(cursor, doctor_rules_has_name(take(cursor), state, '\0'));
}

static void take_target(struct cursor *cursor, bool jump)
{
	static const struct {
		const char *name;
		enum doctor_verdict verdict;
	} targets[] = {
	    {"ACCEPT", DOCTOR_ACCEPT}, {"DROP", DOCTOR_DROP},	       {"REJECT", DOCTOR_DROP},
	    {"RETURN", DOCTOR_RETURN}, {"DNAT", DOCTOR_STEAL},	       {"REDIRECT", DOCTOR_STEAL},
	    {"TPROXY", DOCTOR_STEAL},  {"LOG", DOCTOR_GOES_ON},	       {"NFLOG", DOCTOR_GOES_ON},
	    {"MARK", DOCTOR_GOES_ON},  {"CONNMARK", DOCTOR_GOES_ON},   {"TCPMSS", DOCTOR_GOES_ON},
	    {"SNAT", DOCTOR_GOES_ON},  {"MASQUERADE", DOCTOR_GOES_ON}, {"TOS", DOCTOR_GOES_ON},
	    {"DSCP", DOCTOR_GOES_ON},  {"CHECKSUM", DOCTOR_GOES_ON},   {"NFQUEUE", DOCTOR_ANYTHING},
	    {"CT", DOCTOR_GOES_ON},    {"NOTRACK", DOCTOR_GOES_ON},
	};
	struct doctor_effect *effect = cursor->effect;
	const char *name = take(cursor);

	effect->verdict = jump ? DOCTOR_JUMP : DOCTOR_GOTO;
	snprintf(effect->target, sizeof(effect->target), "%s", name);
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		if (strcmp(name, targets[i].name) == 0)
			effect->verdict = targets[i].verdict;
	}
	effect->notrack = strcmp(name, "NOTRACK") == 0;
	for (; strcmp(name, "CT") == 0 && cursor->at < cursor->count; cursor->at++) {
		effect->notrack |= strcmp(cursor->words[cursor->at], "--notrack") == 0;
		effect->helper |= strcmp(cursor->words[cursor->at], "--helper") == 0 &&
				  cursor->at + 1 < cursor->count &&
				  strcmp(cursor->words[cursor->at + 1], "pptp") == 0;
	}
	cursor->at = cursor->count; /* what follows says how, not whether */
}

/* Matches that only announce options, which are looked at for themselves. */
static bool is_plain_match(const char *name)
{
	static const char *const plain[] = {"tcp",     "conntrack", "state",
					    "comment", "multiport", "addrtype"};
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		if (strcmp(name, plain[i]) == 0)
			return true;
	}
	return false;
}

static void take_unknown(struct cursor *cursor)
{
	cursor->effect->certain = false;
	while (cursor->at < cursor->count && cursor->words[cursor->at][0] != '-' &&
	       strcmp(cursor->words[cursor->at], "!") != 0)
		cursor->at++;
}

static void take_match(struct cursor *cursor)
{
	const char *name = take(cursor);
	if (strcmp(name, "udp") == 0 || strcmp(name, "icmp") == 0)
		cursor->effect->matches = false;
	else if (!is_plain_match(name))
		cursor->effect->certain = false;
}

static void take_option(struct cursor *cursor)
{
	const char *word = take(cursor);
	bool in = cursor->packet->in;

	cursor->negated = strcmp(word, "!") == 0;
	if (cursor->negated)
		word = take(cursor);
	if (strcmp(word, "-A") == 0 || strcmp(word, "--comment") == 0)
		take(cursor);
	else if (strcmp(word, "-p") == 0)
		take_protocol(cursor);
	else if (strcmp(word, "-s") == 0 || strcmp(word, "-d") == 0)
		take_addr(cursor, (word[1] == 'd') == in);
	else if (strcmp(word, "-i") == 0 || strcmp(word, "-o") == 0)
		take_interface(cursor, word[1] == 'i');
	else if (strcmp(word, "--dport") == 0 || strcmp(word, "--dports") == 0)
		take_port(cursor, in);
	else if (strcmp(word, "--sport") == 0 || strcmp(word, "--sports") == 0)
		take_port(cursor, !in);
	else if (strcmp(word, "--state") == 0 || strcmp(word, "--ctstate") == 0)
		take_state(cursor);
	else if (strcmp(word, "--dst-type") == 0 && in)
		require(cursor, doctor_rules_has_name(take(cursor), "LOCAL", '\0'));
	else if (strcmp(word, "-m") == 0)
		take_match(cursor);
	else if (strcmp(word, "-j") == 0 || strcmp(word, "-g") == 0)
		take_target(cursor, word[1] == 'j');
	else
		take_unknown(cursor);
}

static void read_rule(const char *rule, const struct doctor_packet *packet, bool notrack,
		      struct doctor_effect *effect)
{
	struct cursor cursor = {.packet = packet, .notrack = notrack, .effect = effect};
	char copy[DOCTOR_RULE_MAX];

	*effect = (struct doctor_effect){.matches = true, .certain = true};
	if (strlen(rule) < sizeof(copy))
		cursor.count = doctor_rules_split(rule, copy, cursor.words, cursor.kinds);
	if (strlen(rule) >= sizeof(copy) || cursor.count == DOCTOR_WORDS_MAX) {
		doctor_rules_give_up(effect);
		return;
	}
	while (cursor.at < cursor.count && effect->matches)
		take_option(&cursor);
	if (cursor.some)
		doctor_rules_favour(effect);
}
