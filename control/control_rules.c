/*
 * A record a place, which is rewritten with each configuration: figures move to where their rule is
 * then. A worker that dies in the midst of that loses some.
 */
#include "control/control_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the section KEPT_RULES. */
struct record {
	uint64_t key; /* of the text; 0: none */
	uint64_t allowed, refused;
};

struct control_rules {
	struct kept *kept; /* NULL: the records are the heap's */
	struct record *records;
	size_t count; /* that are used */
	unsigned generation;
};

struct control_rules *control_rules_new(struct kept *kept)
{
	struct control_rules *rules = calloc(1, sizeof(*rules));
	if (!rules)
		return NULL;
	rules->kept = kept;
	rules->records =
	    kept ? kept_section(kept, KEPT_RULES, sizeof(*rules->records), CONTROL_RULES_MAX)
		 : calloc(CONTROL_RULES_MAX, sizeof(*rules->records));
	if (!rules->records) {
		int error = errno;
		free(rules);
		errno = error;
		return NULL;
	}
	while (rules->count < CONTROL_RULES_MAX && rules->records[rules->count].key != 0)
		rules->count++;
	return rules;
}

void control_rules_free(struct control_rules *rules)
{
	if (rules && !rules->kept)
		free(rules->records);
	free(rules);
}

/* ---- keys: FNV-1a; who writes the configuration is nobody's enemy ---- */

static uint64_t add_text(uint64_t key, const char *text)
{
	do
		key = (key ^ (uint8_t)*text) * UINT64_C(0x100000001B3);
	while (*text++ != '\0');
	return key;
}

enum { RULE, COMMAND };

static uint64_t key_start(int kind)
{
	return UINT64_C(0xCBF29CE484222325) + (uint64_t)kind;
}

static uint64_t key_of_rule(const struct acl_rule *rule)
{
	return add_text(key_start(RULE), rule->text) | 1;
}

static uint64_t key_of_command(const struct acl_cmd_words *command)
{
	uint64_t key = key_start(COMMAND);
	for (size_t i = 0; i < command->count; i++)
		key = add_text(key, command->words[i]);
	return key | 1;
}

static int by_key(const void *a, const void *b)
{
	uint64_t first = ((const struct record *)a)->key, second = ((const struct record *)b)->key;
	return (first > second) - (first < second);
}

/* ---- a configuration ---- */

static void add(struct record *record, const struct record *more)
{
	record->allowed += more->allowed;
	record->refused += more->refused;
}

/* Sorted, and equal ones as one. */
static void sort(struct control_rules *rules)
{
	struct record *records = rules->records;
	size_t count = 0;
	qsort(records, rules->count, sizeof(*records), by_key);
	for (size_t i = 0; i < rules->count; i++) {
		if (count > 0 && records[count - 1].key == records[i].key)
			add(&records[count - 1], &records[i]);
		else
			records[count++] = records[i];
	}
	memset(records + count, 0, (rules->count - count) * sizeof(*records));
	rules->count = count;
}

/* Of equal ones the first is who decides, and takes it all. */
static void carry_over(struct control_rules *rules, struct record *next, size_t count)
{
	sort(rules);
	for (size_t i = 0; i < count; i++) {
		struct record *was =
		    bsearch(&next[i], rules->records, rules->count, sizeof(*next), by_key);
		if (!was)
			continue;
		next[i].allowed = was->allowed;
		next[i].refused = was->refused;
		was->allowed = was->refused = 0;
	}
}

void control_rules_use(struct control_rules *rules, const struct acl *acl,
		       const struct acl_cmd_words *commands, size_t command_count)
{
	size_t count = acl->count + command_count;
	if (count > CONTROL_RULES_MAX)
		count = CONTROL_RULES_MAX;
	size_t octets = (count + 1) * sizeof(struct record);
	struct record *next = calloc(1, octets);

	rules->generation++;
	for (size_t i = 0; next && i < count; i++)
		next[i].key = i < acl->count ? key_of_rule(&acl->rules[i])
					     : key_of_command(&commands[i - acl->count]);
	if (next)
		carry_over(rules, next, count);
	memset(rules->records, 0, rules->count * sizeof(*next));
	rules->count = 0;
	if (next && (!rules->kept || kept_provide(rules->kept, rules->records, octets) == 0)) {
		memcpy(rules->records, next, count * sizeof(*next));
		rules->count = count;
	}
	free(next);
}

unsigned control_rules_generation(const struct control_rules *rules)
{
	return rules->generation;
}

/* ---- connections ---- */

static struct record *record_at(struct control_rules *rules, unsigned generation, size_t place)
{
	return generation == rules->generation && place < rules->count ? &rules->records[place]
								       : NULL;
}

void control_rules_count(struct control_rules *rules, unsigned generation, size_t place)
{
	struct record *record = record_at(rules, generation, place);
	if (record)
		record->allowed++;
}

void control_rules_count_refused(struct control_rules *rules, unsigned generation, size_t place)
{
	struct record *record = record_at(rules, generation, place);
	if (record)
		record->refused++;
}

uint64_t control_rules_allowed(const struct control_rules *rules, size_t place)
{
	return place < rules->count ? rules->records[place].allowed : 0;
}

uint64_t control_rules_refused(const struct control_rules *rules, size_t place)
{
	return place < rules->count ? rules->records[place].refused : 0;
}
