/*
 * acl: address rules: parse, match, explain. Pure; any thread as long as nobody adds meanwhile.
 *
 * An address matches a rule where (address & mask) == (subnet & mask). Masks may have any bits, not
 * only leading ones.
 */
#ifndef ACL_H
#define ACL_H

#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum acl_answer { ACL_ALLOW, ACL_DENY, ACL_ERROR }; /* an error denies */

struct acl_rule {
	uint32_t subnet, mask; /* host byte order */
	char text[40];	       /* as given, for the log */
};

struct acl {
	struct acl_rule *rules;
	size_t count;
};

/* Adds "10.0.0.0/255.0.0.0", "10.0.0.0/8" or "10.1.2.3" (a mask of all ones). 0, or -1 with a
 * sentence in why. */
int acl_add(struct acl *acl, const char *text, struct why *why);
void acl_clear(struct acl *acl);

/* ACL_ALLOW with the first rule that matches in *rule (may be NULL), or ACL_DENY. Empty lists match
 * nothing: whether that means everyone is the caller's policy. */
enum acl_answer acl_match(const struct acl *acl, uint32_t addr, const struct acl_rule **rule);

#endif
