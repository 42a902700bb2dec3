#include "acl.h"

#include "tests/unit/no_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static enum acl_answer ask(const char *rule, uint32_t addr)
{
	struct acl acl = {0};
	struct why why = {""};
	if (acl_add(&acl, rule, &why) < 0)
		fail_msg("%s: %s", rule, why.text);
	enum acl_answer answer = acl_match(&acl, addr, NULL);
	acl_clear(&acl);
	return answer;
}

static void prefix_lengths(void **state)
{
	(void)state;
	assert_int_equal(ask("10.0.0.0/8", 0x0a000000), ACL_ALLOW);
	assert_int_equal(ask("10.0.0.0/8", 0x0affffff), ACL_ALLOW);
	assert_int_equal(ask("10.0.0.0/8", 0x0b000000), ACL_DENY);
	assert_int_equal(ask("10.0.0.0/8", 0x09ffffff), ACL_DENY);
	assert_int_equal(ask("10.0.0.0/9", 0x0a7fffff), ACL_ALLOW);
	assert_int_equal(ask("10.0.0.0/9", 0x0a800000), ACL_DENY);
	assert_int_equal(ask("10.0.0.1/32", 0x0a000001), ACL_ALLOW);
	assert_int_equal(ask("10.0.0.1/32", 0x0a000000), ACL_DENY);
	assert_int_equal(ask("10.0.0.1/0", 0xffffffff), ACL_ALLOW);
	assert_int_equal(ask("10.0.0.1/0", 0), ACL_ALLOW);
}

static void dotted_masks_of_any_bits(void **state)
{
	(void)state;
	/* The manual's "everyone". */
	assert_int_equal(ask("255.255.255.255/0.0.0.0", 0x01020304), ACL_ALLOW);
	assert_int_equal(ask("192.168.0.0/255.255.255.0", 0xc0a800fe), ACL_ALLOW);
	assert_int_equal(ask("192.168.0.0/255.255.255.0", 0xc0a801fe), ACL_DENY);
	/* Only the last octet counts. */
	assert_int_equal(ask("0.0.0.7/0.0.0.255", 0x01020307), ACL_ALLOW);
	assert_int_equal(ask("0.0.0.7/0.0.0.255", 0x01020306), ACL_DENY);
	assert_int_equal(ask("10.0.5.0/255.0.255.0", 0x0a630501), ACL_ALLOW);
	assert_int_equal(ask("10.0.5.0/255.0.255.0", 0x0a630601), ACL_DENY);
	/* What the mask hides of the subnet does not count. */
	assert_int_equal(ask("192.168.0.77/255.255.255.0", 0xc0a80001), ACL_ALLOW);
}

static void bare_address(void **state)
{
	(void)state;
	assert_int_equal(ask("10.1.2.3", 0x0a010203), ACL_ALLOW);
	assert_int_equal(ask("10.1.2.3", 0x0a010202), ACL_DENY);
}

static void first_match_is_told(void **state)
{
	(void)state;
	struct acl acl = {0};
	struct why why;
	const struct acl_rule *rule = NULL;
	assert_int_equal(acl_match(&acl, 0x0a000001, &rule), ACL_DENY);
	assert_int_equal(acl_add(&acl, "192.168.0.0/16", &why), 0);
	assert_int_equal(acl_add(&acl, "10.0.0.0/255.0.0.0", &why), 0);
	assert_int_equal(acl_add(&acl, "10.0.0.1", &why), 0);
	assert_int_equal(acl.count, 3);
	assert_int_equal(acl_match(&acl, 0x0a000001, &rule), ACL_ALLOW);
	assert_string_equal(rule->text, "10.0.0.0/255.0.0.0");
	assert_int_equal(acl_match(&acl, 0xc0a80001, NULL), ACL_ALLOW);
	assert_int_equal(acl_match(&acl, 0xc0a90001, NULL), ACL_DENY);
	acl_clear(&acl);
	assert_int_equal(acl.count, 0);
	acl_clear(&acl);
}

static const char *const bad[][2] = {
    {"", "subnet ''"},
    {"/8", "subnet ''"},
    {"10.0.0.0/", "mask ''"},
    {"10.0.0.0/33", "mask '33'"},
    {"10.0.0.0/-1", "mask '-1'"},
    {"10.0.0.0/+8", "mask '+8'"},
    {"10.0.0.0/08", "mask '08'"},
    {"10.0.0.0/8 ", "mask '8 '"},
    {"10.0.0.0/ 8", "mask ' 8'"},
    {"10.0.0.0/100", "mask '100'"},
    {"10.0.0.0/4294967304", "mask '4294967304'"},
    {"10.0.0.0/255.0.0", "mask '255.0.0'"},
    {"10.0.0.0/255.0.0.256", "mask '255.0.0.256'"},
    {"10.0.0.0/255.0.0.0/8", "mask '255.0.0.0/8'"},
    {"10.0.0.0/8/8", "mask '8/8'"},
    {"10.0.0/8", "subnet '10.0.0'"},
    {"10.0.0.256", "subnet '10.0.0.256'"},
    {"10", "subnet '10'"},
    {"host.example", "subnet 'host.example'"},
    {" 10.0.0.1", "subnet ' 10.0.0.1'"},
    {"fe80::1/64", "'fe80::1/64': IPv6 is not supported"},
    {"a-name-that-is-longer-than-any-rule-can-be.example", "is not an address"},
};

static void bad_rules_name_the_word(void **state)
{
	(void)state;
	struct acl acl = {0};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct why why = {""};
		if (acl_add(&acl, bad[i][0], &why) != -1)
			fail_msg("'%s' was taken", bad[i][0]);
		if (!strstr(why.text, bad[i][1]))
			fail_msg("'%s': \"%s\" lacks \"%s\"", bad[i][0], why.text, bad[i][1]);
		assert_int_equal(acl.count, 0);
	}
	acl_clear(&acl);
}

static void without_memory_the_others_stay(void **state)
{
	(void)state;
	struct acl acl = {0};
	struct why why = {""};
	assert_int_equal(acl_add(&acl, "10.0.0.0/8", &why), 0);
	no_memory_in = 0;
	assert_int_equal(acl_add(&acl, "11.0.0.0/8", &why), -1);
	assert_string_equal(why.text, "no memory for the rule '11.0.0.0/8'");
	assert_int_equal(acl.count, 1);
	assert_int_equal(acl_match(&acl, 0x0a000001, NULL), ACL_ALLOW);
	assert_int_equal(acl_match(&acl, 0x0b000001, NULL), ACL_DENY);
	acl_clear(&acl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(prefix_lengths),
	    cmocka_unit_test(dotted_masks_of_any_bits),
	    cmocka_unit_test(bare_address),
	    cmocka_unit_test(first_match_is_told),
	    cmocka_unit_test(bad_rules_name_the_word),
	    cmocka_unit_test(without_memory_the_others_stay),
	};
	return cmocka_run_group_tests_name("acl", tests, NULL, NULL) != 0;
}
