#include "acl.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD "'%.100s'"

static bool parse_address(const char *text, uint32_t *addr)
{
	struct in_addr addr_be;
	if (inet_pton(AF_INET, text, &addr_be) != 1)
		return false;
	*addr = ntohl(addr_be.s_addr);
	return true;
}

/* A prefix length without leading zeros, or a dotted mask. */
static bool parse_mask(const char *text, uint32_t *mask)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || text[digits])
		return parse_address(text, mask);
	if (digits > 2 || (digits == 2 && text[0] == '0'))
		return false;
	unsigned long bits = strtoul(text, NULL, 10);
	if (bits > 32)
		return false;
	*mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
	return true;
}

static int parse_rule(const char *text, struct acl_rule *rule, struct why *why)
{
	*rule = (struct acl_rule){.mask = UINT32_MAX};
	if (strchr(text, ':'))
		return why_set(why, WORD ": IPv6 is not supported", text);
	if (strlen(text) >= sizeof(rule->text))
		return why_set(why, WORD " is not an address, subnet/mask or subnet/length", text);
	strcpy(rule->text, text);

	char subnet[sizeof(rule->text)];
	strcpy(subnet, text);
	char *slash = strchr(subnet, '/');
	if (slash)
		*slash = '\0';
	if (!parse_address(subnet, &rule->subnet))
		return why_set(why, "subnet " WORD " is not an IPv4 address", subnet);
	if (slash && !parse_mask(slash + 1, &rule->mask))
		return why_set(why,
			       "mask " WORD " is neither an IPv4 mask nor a length from 0 to 32",
			       slash + 1);
	return 0;
}

int acl_add(struct acl *acl, const char *text, struct why *why)
{
	struct acl_rule rule;
	if (parse_rule(text, &rule, why) < 0)
		return -1;
	struct acl_rule *rules = realloc(acl->rules, (acl->count + 1) * sizeof(*rules));
	if (!rules)
		return why_set(why, "no memory for the rule " WORD, text);
	rules[acl->count++] = rule;
	acl->rules = rules;
	return 0;
}

void acl_clear(struct acl *acl)
{
	free(acl->rules);
	*acl = (struct acl){0};
}

enum acl_answer acl_match(const struct acl *acl, uint32_t addr, const struct acl_rule **rule)
{
	for (size_t i = 0; i < acl->count; i++) {
		const struct acl_rule *at = &acl->rules[i];
		if ((addr & at->mask) != (at->subnet & at->mask))
			continue;
		if (rule)
			*rule = at;
		return ACL_ALLOW;
	}
	return ACL_DENY;
}
