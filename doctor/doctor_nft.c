/*
 * A rule is read word by word. What is not known makes it uncertain, and the next word is looked
 * at: conditions stand before the verdict, and a rule has one verdict.
 */
#include "doctor/doctor_nft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the text ---- */

static bool is_ours(const char *family)
{
	return strcmp(family, "ip") == 0 || strcmp(family, "inet") == 0 ||
	       strcmp(family, "netdev") == 0;
}

static enum doctor_hook find_hook(const char *line)
{
	static const struct {
		const char *name;
		enum doctor_hook hook;
	} hooks[] = {
	    {" hook ingress ", DOCTOR_HOOK_INGRESS},
	    {" hook prerouting ", DOCTOR_HOOK_PREROUTING},
	    {" hook input ", DOCTOR_HOOK_INPUT},
	    {" hook output ", DOCTOR_HOOK_OUTPUT},
	    {" hook postrouting ", DOCTOR_HOOK_POSTROUTING},
	};
	for (size_t i = 0; i < sizeof(hooks) / sizeof(*hooks); i++) {
		if (strstr(line, hooks[i].name))
			return hooks[i].hook;
	}
	return DOCTOR_HOOK_NONE; /* forward, and what is not known */
}

struct reader {
	struct doctor_rules *rules;
	char table[DOCTOR_TARGET_MAX * 2]; /* "" outside of one of ours */
	struct doctor_chain *chain;	   /* NULL outside of one */
	const char *iptables;		   /* doctor_nft_parse */
	unsigned depth;			   /* of braces that are open at the line's beginning */
};

static void read_chain_head(struct doctor_chain *chain, const char *line)
{
	chain->hook = find_hook(line);
	chain->nat = strncmp(line, "type nat ", 9) == 0;
	chain->drops = strstr(line, "policy drop;") != NULL;
}

/* "# Table `nat' contains incompatible base-chains, use 'nft' tool to list them." */
static bool is_shared(const char *iptables, const char *table)
{
	char words[DOCTOR_TARGET_MAX + 32];
	snprintf(words, sizeof(words), "Table `%s' contains incompatible", table);
	return strstr(iptables, words) != NULL;
}

/* "*filter" on a line of its own, and nothing else is in it. nft itself says whose a table is only
 * where it has rules that it cannot print without iptables. */
static bool is_listed(const char *iptables, const char *table)
{
	size_t length = strlen(table);
	for (const char *at = iptables; at && *at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (*at == '*' && strncmp(at + 1, table, length) == 0 &&
		    (at[1 + length] == '\n' || at[1 + length] == '\0'))
			return !is_shared(iptables, table);
	}
	return false;
}

static bool read_opening(struct reader *reader, const char *line)
{
	char family[16], name[DOCTOR_TARGET_MAX];
	if (reader->depth == 0) {
		reader->table[0] = '\0';
		if (sscanf(line, "table %15s %63s", family, name) != 2 || !is_ours(family))
			return true;
		snprintf(reader->table, sizeof(reader->table), "%s %s", family, name);
		if (strcmp(family, "ip") == 0 && is_listed(reader->iptables, name))
			reader->table[0] = '\0';
	} else if (reader->depth == 1 && reader->table[0] &&
		   sscanf(line, "chain %63s", name) == 1) {
		reader->chain = doctor_rules_add_chain(reader->rules, reader->table, name);
		return reader->chain != NULL;
	}
	return true;
}

static bool tracks(const char *rule)
{
	return strstr(rule, "ct ") != NULL || strstr(rule, "masquerade") || strstr(rule, "snat") ||
	       strstr(rule, "dnat") || strstr(rule, "redirect");
}

static bool read_line(void *arg, const char *line)
{
	struct reader *reader = arg;
	if (line[0] == '#')
		return true;
	size_t length = strcspn(line, "#");
	while (length > 0 && line[length - 1] == ' ')
		length--;
	bool opens = length > 0 && line[length - 1] == '{';

	if (strcmp(line, "}") == 0) {
		reader->depth -= reader->depth > 0;
		if (reader->depth <= 1)
			reader->chain = NULL;
		return true;
	}
	if (opens) {
		bool good = read_opening(reader, line);
		reader->depth++;
		return good;
	}
	if (reader->depth == 2 && reader->table[0] && strncmp(line, "type \"pptp\"", 11) == 0)
		reader->rules->pptp_helper = true;
	if (!reader->chain || reader->depth != 2 || length == 0)
		return true;
	if (strncmp(line, "type ", 5) == 0 && strstr(line, " hook ")) {
		read_chain_head(reader->chain, line);
		return true;
	}
	if (strncmp(line, "comment ", 8) == 0)
		return true;
	reader->rules->tracks |= tracks(line);
	return doctor_rules_add(reader->chain, line);
}

static void read_rule(const char *rule, const struct doctor_packet *packet, bool notrack,
		      struct doctor_effect *effect);

bool doctor_nft_parse(struct doctor_rules *rules, const char *text, const char *iptables)
{
	struct reader reader = {.rules = rules, .iptables = iptables};
	rules->program = "nft";
	rules->read = read_rule;
	return doctor_rules_lines(text, read_line, &reader);
}

unsigned long doctor_nft_handle(const char *rule)
{
	const char *at = rule, *last = NULL;
	while ((at = strstr(at, "# handle ")) != NULL)
		last = at += strlen("# handle ");
	return last ? strtoul(last, NULL, 10) : 0;
}

/* ---- a rule ---- */

struct cursor {
	char *words[DOCTOR_WORDS_MAX];
	char kinds[DOCTOR_WORDS_MAX];
	size_t count, at;
	const struct doctor_packet *packet;
	bool notrack;
	struct doctor_effect *effect;
	bool some; /* a condition was taken in the packet's favour */
};

/* How a value compares with what the packet has. */
enum answer { NO, YES, UNKNOWN, SOME };
typedef enum answer compare(const struct cursor *cursor, const char *value);

static const char *peek(const struct cursor *cursor)
{
	return cursor->at < cursor->count ? cursor->words[cursor->at] : "";
}

static const char *take(struct cursor *cursor)
{
	return cursor->at < cursor->count ? cursor->words[cursor->at++] : "";
}

static bool takes(struct cursor *cursor, const char *word)
{
	if (strcmp(peek(cursor), word) != 0 || cursor->kinds[cursor->at] != 0)
		return false;
	cursor->at++;
	return true;
}

static void conclude(struct cursor *cursor, enum answer answer)
{
	if (answer == NO)
		cursor->effect->matches = false;
	if (answer == UNKNOWN)
		cursor->effect->certain = false;
	if (answer == SOME)
		cursor->some = true;
}

/* The verdict among these words, from at on. */
static bool take_verdict(struct cursor *cursor)
{
	static const struct {
		const char *word;
		enum doctor_verdict verdict;
	} verdicts[] = {
	    {"accept", DOCTOR_ACCEPT},	  {"drop", DOCTOR_DROP},     {"reject", DOCTOR_DROP},
	    {"queue", DOCTOR_ANYTHING},	  {"return", DOCTOR_RETURN}, {"jump", DOCTOR_JUMP},
	    {"goto", DOCTOR_GOTO},	  {"dnat", DOCTOR_STEAL},    {"redirect", DOCTOR_STEAL},
	    {"tproxy", DOCTOR_STEAL},	  {"snat", DOCTOR_GOES_ON},  {"masquerade", DOCTOR_GOES_ON},
	    {"continue", DOCTOR_GOES_ON},
	};
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++) {
		if (!takes(cursor, verdicts[i].word))
			continue;
		cursor->effect->verdict = verdicts[i].verdict;
		if (verdicts[i].verdict == DOCTOR_JUMP || verdicts[i].verdict == DOCTOR_GOTO)
			snprintf(cursor->effect->target, DOCTOR_TARGET_MAX, "%s", take(cursor));
		cursor->at = cursor->count;
		return true;
	}
	return false;
}

/* "established : accept, 22 : jump x": the verdict of the element that the packet has. */
static void take_map(struct cursor *cursor, compare *is)
{
	char copy[DOCTOR_RULE_MAX];
	bool literal = cursor->at < cursor->count && cursor->kinds[cursor->at] == '{';
	char *save = NULL;

	snprintf(copy, sizeof(copy), "%s", take(cursor));
	cursor->at = cursor->count;
	if (!literal) {
		cursor->effect->verdict = DOCTOR_ANYTHING;
		return;
	}
	for (char *element = strtok_r(copy, ",", &save); element;
	     element = strtok_r(NULL, ",", &save)) {
		char key[128], verdict[32], target[DOCTOR_TARGET_MAX] = "";
		if (sscanf(element, " %127s : %31s %63s", key, verdict, target) < 2)
			continue;
		enum answer answer = is(cursor, key);
		if (answer == NO)
			continue;
		struct cursor inner = {
		    .words = {verdict, target}, .count = 2, .effect = cursor->effect};
		conclude(cursor, answer);
		if (!take_verdict(&inner))
			cursor->effect->verdict = DOCTOR_ANYTHING;
		return;
	}
	cursor->effect->matches = false;
}

static bool is_concatenation(const struct cursor *cursor)
{
	return strcmp(peek(cursor), ".") == 0;
}

/* A condition's operator and value, behind the field. */
static void take_condition(struct cursor *cursor, compare *is)
{
	static const char *const others[] = {"<", ">", "<=", ">=", "&", "|"};
	if (is_concatenation(cursor)) {
		while (cursor->at < cursor->count && cursor->kinds[cursor->at] != '{' &&
		       peek(cursor)[0] != '@')
			cursor->at++;
		if (cursor->at > 0 && strcmp(cursor->words[cursor->at - 1], "vmap") == 0)
			cursor->effect->verdict = DOCTOR_ANYTHING;
		cursor->at++;
		conclude(cursor, UNKNOWN);
		return;
	}
	if (takes(cursor, "vmap")) {
		take_map(cursor, is);
		return;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		if (takes(cursor, others[i])) {
			take(cursor);
			conclude(cursor, UNKNOWN);
			return;
		}
	}
	bool negated = takes(cursor, "!=");
	const char *value = take(cursor);
	enum answer answer = value[0] == '@' ? UNKNOWN : is(cursor, value);
	if (negated && (answer == YES || answer == NO))
		answer = answer == YES ? NO : YES;
	conclude(cursor, answer);
}

/* ---- comparisons ---- */

static enum answer yes(bool holds)
{
	return holds ? YES : NO;
}

static enum answer unknown(const struct cursor *cursor, const char *value)
{
	(void)cursor;
	(void)value;
	return UNKNOWN;
}

static enum answer is_protocol(const struct cursor *cursor, const char *value)
{
	bool gre = cursor->packet->protocol == DOCTOR_GRE;
	return yes(doctor_rules_has_name(value, gre ? "gre" : "tcp", '\0') ||
		   doctor_rules_has_number(value, cursor->packet->protocol));
}

static enum answer is_port(const struct cursor *cursor, const char *value, bool local)
{
	const struct doctor_packet *packet = cursor->packet;
	uint16_t port = local ? packet->local_port : packet->port;
	if (packet->protocol != DOCTOR_TCP)
		return NO;
	if (port == 0)
		return yes(doctor_rules_has_any_port(value));
	return yes(doctor_rules_has_number(value, port));
}

static enum answer is_source_port(const struct cursor *cursor, const char *value)
{
	return is_port(cursor, value, !cursor->packet->in);
}

static enum answer is_destination_port(const struct cursor *cursor, const char *value)
{
	return is_port(cursor, value, cursor->packet->in);
}

static enum answer is_addr(const struct cursor *cursor, const char *value, bool local)
{
	uint32_t addr = local ? cursor->packet->local_addr : cursor->packet->addr;
	bool understood;
	if (addr == 0)
		return SOME;
	if (doctor_rules_has_addr(value, addr, &understood))
		return YES;
	return understood ? NO : UNKNOWN;
}

static enum answer is_source(const struct cursor *cursor, const char *value)
{
	return is_addr(cursor, value, !cursor->packet->in);
}

static enum answer is_destination(const struct cursor *cursor, const char *value)
{
	return is_addr(cursor, value, cursor->packet->in);
}

static enum answer is_interface(const struct cursor *cursor, const char *value)
{
	const char *name = cursor->packet->interface;
	if (name[0])
		return yes(doctor_rules_has_name(value, name, '*'));
	/* Others' packets do not come by the loopback. */
	return strcmp(value, "lo") == 0 || strcmp(value, "\"lo\"") == 0 ? NO : SOME;
}

/* Each direction of GRE is new to connection tracking: without its helper it does not know that
 * they belong together. */
static enum answer is_state(const struct cursor *cursor, const char *value)
{
	const char *state = cursor->notrack		  ? "untracked"
			    : cursor->packet->established ? "established"
							  : "new";
	return yes(doctor_rules_has_name(value, state, '\0'));
}

/* Nobody translates what is for us; of other flags nothing is known. */
static enum answer is_status(const struct cursor *cursor, const char *value)
{
	(void)cursor;
	return strcmp(value, "dnat") == 0 || strcmp(value, "snat") == 0 ? NO : UNKNOWN;
}

static enum answer is_ipv4(const struct cursor *cursor, const char *value)
{
	(void)cursor;
	return yes(doctor_rules_has_name(value, "ipv4", '\0'));
}

static enum answer is_local(const struct cursor *cursor, const char *value)
{
	return cursor->packet->in ? yes(doctor_rules_has_name(value, "local", '\0')) : UNKNOWN;
}

/* ---- expressions and statements ---- */

static void take_ip(struct cursor *cursor)
{
	const char *field = take(cursor);
	if (strcmp(field, "protocol") == 0)
		take_condition(cursor, is_protocol);
	else if (strcmp(field, "saddr") == 0)
		take_condition(cursor, is_source);
	else if (strcmp(field, "daddr") == 0)
		take_condition(cursor, is_destination);
	else
		take_condition(cursor, unknown);
}

static void take_transport(struct cursor *cursor)
{
	const char *field = take(cursor);
	if (cursor->packet->protocol != DOCTOR_TCP)
		conclude(cursor, NO);
	if (strcmp(field, "dport") == 0)
		take_condition(cursor, is_destination_port);
	else if (strcmp(field, "sport") == 0)
		take_condition(cursor, is_source_port);
	else
		take_condition(cursor, unknown);
}

static void take_meta(struct cursor *cursor)
{
	const char *field = take(cursor);
	if (takes(cursor, "set"))
		take(cursor);
	else if (strcmp(field, "l4proto") == 0)
		take_condition(cursor, is_protocol);
	else if (strcmp(field, "nfproto") == 0)
		take_condition(cursor, is_ipv4);
	else
		take_condition(cursor, unknown);
}

static void take_ct(struct cursor *cursor)
{
	const char *field = take(cursor);
	if (takes(cursor, "set")) {
		cursor->effect->helper |=
		    strcmp(field, "helper") == 0 && cursor->packet->protocol == DOCTOR_TCP;
		take(cursor);
	} else {
		take_condition(cursor, strcmp(field, "state") == 0    ? is_state
				       : strcmp(field, "status") == 0 ? is_status
								      : unknown);
	}
}

/* "fib daddr type local", "fib saddr . iif oif missing" */
static void take_fib(struct cursor *cursor)
{
	if (takes(cursor, "daddr") && takes(cursor, "type")) {
		take_condition(cursor, is_local);
		return;
	}
	take(cursor);
	while (takes(cursor, "."))
		take(cursor);
	take(cursor);
	take_condition(cursor, unknown);
}

static void take_counter(struct cursor *cursor)
{
	if (takes(cursor, "name"))
		take(cursor);
	else if (takes(cursor, "packets"))
		for (int i = 0; i < 3; i++)
			take(cursor); /* "5 bytes 9" */
}

static void take_log(struct cursor *cursor)
{
	while (takes(cursor, "prefix") || takes(cursor, "level") || takes(cursor, "group") ||
	       takes(cursor, "flags") || takes(cursor, "snaplen") ||
	       takes(cursor, "queue-threshold"))
		take(cursor);
}

static bool take_other_protocol(struct cursor *cursor)
{
	static const char *const others[] = {"udp", "icmp", "icmpv6", "ip6",  "sctp",	"dccp",
					     "esp", "ah",   "comp",   "igmp", "udplite"};
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		if (takes(cursor, others[i])) {
			conclude(cursor, NO);
			return true;
		}
	}
	if (!takes(cursor, "gre"))
		return false;
	conclude(cursor, cursor->packet->protocol == DOCTOR_GRE ? UNKNOWN : NO);
	take(cursor);
	take_condition(cursor, unknown);
	return true;
}

static bool take_interface(struct cursor *cursor)
{
	bool in = takes(cursor, "iifname") || takes(cursor, "iif");
	if (!in && !takes(cursor, "oifname") && !takes(cursor, "oif"))
		return false;
	if (in == cursor->packet->in) {
		take_condition(cursor, is_interface);
		return true;
	}
	conclude(cursor, NO); /* where packets come in, none goes out */
	take_condition(cursor, unknown);
	return true;
}

static bool take_statement(struct cursor *cursor)
{
	if (takes(cursor, "counter"))
		take_counter(cursor);
	else if (takes(cursor, "log"))
		take_log(cursor);
	else if (takes(cursor, "comment"))
		take(cursor);
	else if (takes(cursor, "notrack"))
		cursor->effect->notrack = true;
	else
		return false;
	return true;
}

static void take_any(struct cursor *cursor)
{
	if (takes(cursor, "#"))
		cursor->at = cursor->count;
	else if (takes(cursor, "ip"))
		take_ip(cursor);
	else if (takes(cursor, "tcp") || takes(cursor, "th"))
		take_transport(cursor);
	else if (takes(cursor, "meta"))
		take_meta(cursor);
	else if (takes(cursor, "ct"))
		take_ct(cursor);
	else if (takes(cursor, "fib"))
		take_fib(cursor);
	else if (!take_interface(cursor) && !take_other_protocol(cursor) &&
		 !take_statement(cursor) && !take_verdict(cursor)) {
		take(cursor);
		conclude(cursor, UNKNOWN);
	}
}

static void read_rule(const char *rule, const struct doctor_packet *packet, bool notrack,
		      struct doctor_effect *effect)
{
	struct cursor cursor = {.packet = packet, .notrack = notrack, .effect = effect};
	char copy[DOCTOR_RULE_MAX];

	*effect = (struct doctor_effect){.matches = true, .certain = true};
	if (strlen(rule) >= sizeof(copy)) {
		doctor_rules_give_up(effect);
		return;
	}
	cursor.count = doctor_rules_split(rule, copy, cursor.words, cursor.kinds);
	while (cursor.at < cursor.count && effect->matches)
		take_any(&cursor);
	if (cursor.count == DOCTOR_WORDS_MAX)
		doctor_rules_give_up(effect);
	if (cursor.some)
		doctor_rules_favour(effect);
}
