/*
 * control_rules: how many connections each access rule and each access command has let in, and how
 * many each command has not. A rule refuses nobody: it matches or does not.
 *
 * Rules are known by their text, so a rule keeps its figure over a reload that has it again, and as
 * the figures lie in the kept memory, over workers and versions; of equal ones the first. Where a
 * rule and a command are both needed, both have let it in.
 *
 * Places: the rules in their order, then the commands in theirs. Thread: control thread.
 */
#ifndef CONTROL_RULES_H
#define CONTROL_RULES_H

#include "acl.h"
#include "acl_cmd.h"
#include "host/kept.h"

#include <stddef.h>
#include <stdint.h>

enum { CONTROL_RULES_MAX = 65536 }; /* further ones are not counted */

struct control_rules;

struct control_rules *control_rules_new(struct kept *kept); /* kept NULL: the heap. NULL: errno */
void control_rules_free(struct control_rules *rules);	    /* NULL is fine */

/* These are the configuration's from now on; read during the call only. Without memory nothing is
 * counted. */
void control_rules_use(struct control_rules *rules, const struct acl *acl,
		       const struct acl_cmd_words *commands, size_t command_count);

/* Which configuration it is: places are those of one. */
unsigned control_rules_generation(const struct control_rules *rules);

/* A connection was let in. Of another generation: nobody's. */
void control_rules_count(struct control_rules *rules, unsigned generation, size_t place);

/* A command was asked, and did not let it in. */
void control_rules_count_refused(struct control_rules *rules, unsigned generation, size_t place);

uint64_t control_rules_refused(const struct control_rules *rules, size_t place);
uint64_t control_rules_allowed(const struct control_rules *rules, size_t place);

#endif
