/*
 * A rule matches its own subnet, and nothing that differs from it in a bit of the mask; written out
 * as subnet/mask it is the same rule.
 */
#include "acl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

static void check_rule(const struct acl *acl, const char *text)
{
	const struct acl_rule *rule = &acl->rules[0], *matched = NULL;
	assert(acl->count == 1 && strcmp(rule->text, text) == 0);
	assert(acl_match(acl, rule->subnet, &matched) == ACL_ALLOW && matched == rule);
	assert(acl_match(acl, rule->subnet ^ ~rule->mask, NULL) == ACL_ALLOW);
	for (uint32_t bit = 1; bit; bit <<= 1) {
		enum acl_answer expected = rule->mask & bit ? ACL_DENY : ACL_ALLOW;
		assert(acl_match(acl, rule->subnet ^ bit, NULL) == expected);
	}
}

static void put_address(char out[static 16], uint32_t addr)
{
	snprintf(out, 16, "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255, addr & 255);
}

static void check_written(const struct acl_rule *rule)
{
	struct acl acl = {0};
	struct why why;
	char subnet[16], mask[16], text[40];
	put_address(subnet, rule->subnet);
	put_address(mask, rule->mask);
	snprintf(text, sizeof(text), "%s/%s", subnet, mask);
	assert(acl_add(&acl, text, &why) == 0);
	assert(acl.rules[0].subnet == rule->subnet && acl.rules[0].mask == rule->mask);
	acl_clear(&acl);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	struct acl acl = {0};
	struct why why = {""};
	char *text = strndup((const char *)octets, length);
	if (!text)
		abort();
	if (acl_add(&acl, text, &why) == 0) {
		check_rule(&acl, text);
		check_written(&acl.rules[0]);
	} else {
		assert(acl.count == 0 && why.text[0] != '\0');
	}
	acl_clear(&acl);
	free(text);
	return 0;
}
