/*
 * The walk through chains, and words.
 */
#include "doctor/doctor_rules.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEPTH_MAX = 16, /* of chains that jump to chains, as the kernel has it */
	/* Rules that are looked at for one packet: chains may jump to many others, which do so,
	   too. */
	STEPS_MAX = 200000,
};

/* ---- chains ---- */

struct doctor_chain *doctor_rules_add_chain(struct doctor_rules *rules, const char *table,
					    const char *name)
{
	struct doctor_chain *chains =
	    realloc(rules->chains, (rules->chain_count + 1) * sizeof(*chains));
	if (!chains)
		return NULL;
	rules->chains = chains;
	struct doctor_chain *chain = &chains[rules->chain_count];
	*chain = (struct doctor_chain){.table = strdup(table), .name = strdup(name)};
	rules->chain_count++;
	return chain->table && chain->name ? chain : NULL;
}

bool doctor_rules_add(struct doctor_chain *chain, const char *rule)
{
	char **rules = realloc(chain->rules, (chain->rule_count + 1) * sizeof(*rules));
	if (!rules)
		return false;
	chain->rules = rules;
	rules[chain->rule_count] = strdup(rule);
	return rules[chain->rule_count] && ++chain->rule_count > 0;
}

void doctor_rules_clear(struct doctor_rules *rules)
{
	for (size_t i = 0; i < rules->chain_count; i++) {
		struct doctor_chain *chain = &rules->chains[i];
		for (size_t k = 0; k < chain->rule_count; k++)
			free(chain->rules[k]);
		free(chain->rules);
		free(chain->table);
		free(chain->name);
	}
	free(rules->chains);
	*rules = (struct doctor_rules){0};
}

bool doctor_rules_lines(const char *text, doctor_rules_line *take, void *reader)
{
	while (*(text += strspn(text, " \t\n"))) {
		size_t length = strcspn(text, "\n");
		char *line = strndup(text, length);
		bool good = line && take(reader, line);
		free(line);
		if (!good)
			return false;
		text += length;
	}
	return true;
}

/* ---- a packet's way ---- */

struct walk {
	const struct doctor_rules *rules;
	const struct doctor_packet *packet;
	const char *table;
	bool notrack;
	unsigned depth, steps;
	bool maybe_accepted, maybe_dropped;
	const char *rule; /* that dropped it for certain, or the first that may */
};

static const struct doctor_chain *find_chain(const struct walk *walk, const char *name)
{
	for (size_t i = 0; i < walk->rules->chain_count; i++) {
		const struct doctor_chain *chain = &walk->rules->chains[i];
		if (strcmp(chain->name, name) == 0 && strcmp(chain->table, walk->table) == 0)
			return chain;
	}
	return NULL;
}

static void doubt(struct walk *walk, const char *rule)
{
	if (!walk->maybe_dropped)
		walk->rule = rule;
	walk->maybe_dropped = true;
}

/* certain: the packet comes to this rule, and it matches; else this is one of its possible ways,
 * whose end is noted. */
static void note_drop(struct walk *walk, const char *rule, bool certain)
{
	if (certain)
		walk->rule = rule;
	else
		doubt(walk, rule);
}

static enum doctor_verdict walk_chain(struct walk *walk, const struct doctor_chain *chain,
				      bool certain);

static enum doctor_verdict follow(struct walk *walk, const char *name, const char *rule,
				  bool certain)
{
	const struct doctor_chain *chain = find_chain(walk, name);
	if (!chain || walk->depth == DEPTH_MAX) {
		walk->maybe_accepted = true;
		doubt(walk, rule);
		return DOCTOR_GOES_ON;
	}
	walk->depth++;
	enum doctor_verdict end = walk_chain(walk, chain, certain);
	walk->depth--;
	return end;
}

/* Where a rule that matches leads, for whoever comes to it. */
static enum doctor_verdict obey(struct walk *walk, const struct doctor_effect *effect,
				const char *rule, bool certain)
{
	enum doctor_verdict end;
	switch (effect->verdict) {
	case DOCTOR_ACCEPT:
		walk->maybe_accepted |= !certain;
		return DOCTOR_ACCEPT;
	case DOCTOR_DROP:
		note_drop(walk, rule, certain);
		return DOCTOR_DROP;
	case DOCTOR_STEAL:
		walk->rule = certain ? rule : walk->rule;
		return DOCTOR_STEAL;
	case DOCTOR_ANYTHING:
		walk->maybe_accepted = true;
		doubt(walk, rule);
		return DOCTOR_GOES_ON;
	case DOCTOR_JUMP:
		return follow(walk, effect->target, rule, certain);
	case DOCTOR_GOTO:
		end = follow(walk, effect->target, rule, certain);
		return end == DOCTOR_GOES_ON ? DOCTOR_RETURN : end;
	case DOCTOR_RETURN:
	case DOCTOR_GOES_ON:
		break;
	}
	return effect->verdict;
}

/* How the chain ends for whoever comes into it: GOES_ON, ACCEPT, DROP or STEAL. certain: the packet
 * does. */
static enum doctor_verdict walk_chain(struct walk *walk, const struct doctor_chain *chain,
				      bool certain)
{
	bool here = true; /* it has surely not left the chain yet */
	for (size_t i = 0; i < chain->rule_count; i++) {
		struct doctor_effect effect = {0};
		const char *rule = chain->rules[i];
		if (++walk->steps > STEPS_MAX) {
			walk->maybe_accepted = true;
			doubt(walk, rule);
			return DOCTOR_GOES_ON;
		}
		walk->rules->read(rule, walk->packet, walk->notrack, &effect);
		if (!effect.matches)
			continue;
		walk->notrack |= effect.notrack;
		bool sure = here && effect.certain;
		enum doctor_verdict end = obey(walk, &effect, rule, certain && sure);
		if (end == DOCTOR_RETURN && !sure && effect.verdict == DOCTOR_RETURN)
			here = false;
		if (end == DOCTOR_GOES_ON || !sure)
			continue;
		return end == DOCTOR_RETURN ? DOCTOR_GOES_ON : end;
	}
	return DOCTOR_GOES_ON;
}

bool doctor_rules_concerns(const struct doctor_chain *chain, const struct doctor_packet *packet)
{
	switch (chain->hook) {
	case DOCTOR_HOOK_INGRESS:
	case DOCTOR_HOOK_PREROUTING:
	case DOCTOR_HOOK_INPUT:
		return packet->in;
	case DOCTOR_HOOK_OUTPUT:
	case DOCTOR_HOOK_POSTROUTING:
		return !packet->in;
	case DOCTOR_HOOK_NONE:
		break;
	}
	return false;
}

const struct doctor_chain *doctor_rules_holder(const struct doctor_rules *rules, const char *rule)
{
	for (size_t i = 0; i < rules->chain_count; i++) {
		const struct doctor_chain *chain = &rules->chains[i];
		for (size_t k = 0; k < chain->rule_count; k++) {
			if (chain->rules[k] == rule)
				return chain;
		}
	}
	return NULL;
}

struct doctor_judgement doctor_rules_judge(const struct doctor_rules *rules,
					   const struct doctor_chain *chain,
					   const struct doctor_packet *packet, bool notrack)
{
	struct walk walk = {
	    .rules = rules, .packet = packet, .table = chain->table, .notrack = notrack};
	struct doctor_judgement judgement = {.chain = chain};
	/* Of a device's chain the packet may not come by at all. */
	bool certain = chain->hook != DOCTOR_HOOK_INGRESS;

	enum doctor_verdict end = walk_chain(&walk, chain, certain);
	if (end == DOCTOR_GOES_ON && chain->drops) {
		note_drop(&walk, NULL, certain);
		end = DOCTOR_DROP;
	}
	judgement.rule = walk.rule;
	judgement.holder = walk.rule ? doctor_rules_holder(rules, walk.rule) : chain;
	judgement.notrack = walk.notrack;
	if (end == DOCTOR_STEAL && certain)
		judgement.fate = DOCTOR_STOLEN;
	else if (end == DOCTOR_DROP && certain)
		judgement.fate = walk.maybe_accepted ? DOCTOR_MAY_DROP : DOCTOR_DROPS;
	else
		judgement.fate = walk.maybe_dropped ? DOCTOR_MAY_DROP : DOCTOR_PASSES;
	return judgement;
}

/* ---- what a rule does ---- */

/* Who lets in some means to; who keeps out some keeps out others than ours. */
void doctor_rules_favour(struct doctor_effect *effect)
{
	if (effect->verdict == DOCTOR_DROP || effect->verdict == DOCTOR_STEAL ||
	    effect->verdict == DOCTOR_RETURN)
		effect->matches = false;
	else if (effect->verdict != DOCTOR_ACCEPT)
		effect->certain = false;
}

void doctor_rules_give_up(struct doctor_effect *effect)
{
	effect->certain = false;
	effect->verdict = DOCTOR_ANYTHING;
}

/* ---- words ---- */

/* The end of what began with a quote or a brace, or of a plain word. */
static const char *word_end(const char *at, char kind)
{
	unsigned depth = 0;
	if (kind == '"')
		return at + strcspn(at, "\"");
	if (kind == 0)
		return at + strcspn(at, " \t");
	for (; *at; at++) {
		depth += *at == '{';
		if (*at == '}' && depth-- == 0)
			break;
	}
	return at;
}

size_t doctor_rules_split(const char *rule, char *copy, char *words[static DOCTOR_WORDS_MAX],
			  char kinds[static DOCTOR_WORDS_MAX])
{
	size_t count = 0;
	for (const char *at = rule + strspn(rule, " \t"); *at && count < DOCTOR_WORDS_MAX;
	     at += strspn(at, " \t")) {
		char kind = *at == '"' || *at == '{' ? *at : 0;
		at += kind != 0;
		const char *end = word_end(at, kind);
		kinds[count] = kind;
		words[count++] = copy;
		memcpy(copy, at, (size_t)(end - at));
		copy += end - at;
		*copy++ = '\0';
		at = end + (kind != 0 && *end);
	}
	return count;
}

/* The next element of a list with commas, without blanks around it; false: no more. */
static bool next_element(const char **at, char *out, size_t size)
{
	*at += strspn(*at, ", \t");
	size_t length = strcspn(*at, ",");
	if (**at == '\0')
		return false;
	snprintf(out, size, "%.*s", (int)length, *at);
	for (size_t end = strlen(out); end > 0 && isspace((unsigned char)out[end - 1]); end--)
		out[end - 1] = '\0';
	*at += length;
	return true;
}

bool doctor_rules_has_number(const char *value, unsigned number)
{
	char element[64];
	while (next_element(&value, element, sizeof(element))) {
		char *rest;
		unsigned long from = strtoul(element, &rest, 10), to = from;
		if (rest == element)
			continue;
		if (*rest == '-' || *rest == ':')
			to = strtoul(rest + 1, NULL, 10);
		if (number >= from && number <= to)
			return true;
	}
	return false;
}

bool doctor_rules_has_any_port(const char *value)
{
	/* Linux's, unless told otherwise; rules that let in such ports name a wide range. */
	return doctor_rules_has_number(value, 32768) && doctor_rules_has_number(value, 60999);
}

static bool read_addr(const char *text, uint32_t *addr)
{
	struct in_addr parsed;
	if (inet_pton(AF_INET, text, &parsed) != 1)
		return false;
	*addr = ntohl(parsed.s_addr);
	return true;
}

/* 10.0.0.0/8, 10.0.0.1, 10.0.0.1-10.0.0.9 */
static bool read_range(char *text, uint32_t *from, uint32_t *to)
{
	char *slash = strchr(text, '/'), *dash = strchr(text, '-');
	if (slash)
		*slash = '\0';
	if (dash)
		*dash = '\0';
	if (!read_addr(text, from))
		return false;
	*to = *from;
	if (dash)
		return read_addr(dash + 1, to);
	if (slash) {
		unsigned long bits = strtoul(slash + 1, NULL, 10);
		uint32_t hosts = bits >= 32 ? 0 : 0xFFFFFFFFU >> bits;
		*from &= ~hosts;
		*to = *from | hosts;
	}
	return true;
}

bool doctor_rules_has_addr(const char *value, uint32_t addr, bool *understood)
{
	char element[64];
	uint32_t from, to;
	*understood = true;
	while (next_element(&value, element, sizeof(element))) {
		if (!read_range(element, &from, &to))
			*understood = false;
		else if (addr >= from && addr <= to)
			return true;
	}
	return false;
}

bool doctor_rules_has_name(const char *value, const char *name, char wildcard)
{
	char element[64];
	while (next_element(&value, element, sizeof(element))) {
		char *text = element;
		size_t length = strlen(text);
		if (length > 1 && text[0] == '"' && text[length - 1] == '"') {
			text[--length] = '\0';
			text++, length--;
		}
		bool open = length > 0 && text[length - 1] == wildcard;
		if (open ? strncmp(text, name, length - 1) == 0 : strcmp(text, name) == 0)
			return true;
	}
	return false;
}
