#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pair parsed(const char *text)
{
	struct pair pair;
	struct why why = {""};
	if (pair_parse(text, &pair, &why) < 0)
		fail_msg("%s: %s", text, why.text);
	return pair;
}

static void parses(const char *text, const char *listen, const char *peer)
{
	struct pair pair = parsed(text);
	char out[PAIR_TEXT_MAX];
	assert_string_equal(pair_endpoint_text(&pair.listen, out), listen);
	assert_string_equal(pair_endpoint_text(&pair.peer, out), peer);
}

static void good_pairs(void **state)
{
	(void)state;
	parses("10.0.0.1", "0.0.0.0:1723", "10.0.0.1:1723");
	parses("10.0.0.1:1724", "0.0.0.0:1723", "10.0.0.1:1724");
	parses("pptp.mycorp.com", "0.0.0.0:1723", "pptp.mycorp.com:1723");
	parses("192.168.0.1,pptp.mycorp.com:99", "192.168.0.1:1723", "pptp.mycorp.com:99");
	parses("192.168.0.1:1,10.0.0.1:65535", "192.168.0.1:1", "10.0.0.1:65535");
	parses("inside.example:1800,10.0.0.1", "inside.example:1800", "10.0.0.1:1723");
	parses("0.0.0.0:1800,10.0.0.1", "0.0.0.0:1800", "10.0.0.1:1723");
	parses("a_b-c.example.", "0.0.0.0:1723", "a_b-c.example.:1723");
	parses("3com", "0.0.0.0:1723", "3com:1723");
	parses("240.0.0.1", "0.0.0.0:1723", "240.0.0.1:1723");
}

static void addresses_are_told_from_names(void **state)
{
	(void)state;
	struct pair pair = parsed("1.2.3.4,server.example");
	assert_true(pair.listen.numeric);
	assert_int_equal(pair.listen.addr, 0x01020304);
	assert_false(pair.peer.numeric);
	assert_int_equal(pair.peer.addr, 0);
	pair = parsed("9.8.7.6");
	assert_true(pair.listen.numeric);
	assert_int_equal(pair.listen.addr, 0);
	assert_int_equal(pair.peer.addr, 0x09080706);
}

/* Each is refused with a sentence that has this in it. */
static const char *const bad[][2] = {
    {"", "peer address is missing"},
    {",", "listen address is missing"},
    {"1.2.3.4,", "peer address is missing"},
    {",1.2.3.4", "listen address is missing"},
    {":1723", "peer address is missing"},
    {":1723,1.2.3.4", "listen address is missing"},
    {"1.2.3.4,5.6.7.8,9.9.9.9", "'1.2.3.4,5.6.7.8,9.9.9.9' has more than two parts"},
    {"1.2.3.4,5.6.7.8,", "more than two parts"},
    {",,", "more than two parts"},
    {"1.2.3.4:0", "port '0'"},
    {"1.2.3.4:65536", "port '65536'"},
    {"1.2.3.4:x", "port 'x'"},
    {"1.2.3.4:", "port ''"},
    {"1.2.3.4:+1", "port '+1'"},
    {"1.2.3.4:-1", "port '-1'"},
    {"1.2.3.4: 80", "port ' 80'"},
    {"1.2.3.4:80x", "port '80x'"},
    {"1.2.3.4:4294967377", "port '4294967377'"},
    {"1.2.3.4:080000", "port '080000'"},
    {"1.2.3.4:000080", "port '000080'"},
    {"1.2.3.4:80:90", "port '80:90'"},
    {"1.2.3.4:99999,5.6.7.8", "port '99999'"},
    {"10.0.0.256", "'10.0.0.256' is not an IPv4 address"},
    {"10.1", "'10.1' is not an IPv4 address"},
    {"1.2.3.4.5", "'1.2.3.4.5' is not an IPv4 address"},
    {"010.1.1.1", "'010.1.1.1' is not an IPv4 address"},
    {"1.2.3.4.", "'1.2.3.4.' is not an IPv4 address"},
    {".", "'.' is not an IPv4 address"},
    {"167772161", "'167772161' is not an IPv4 address"},
    {"10.0.0.300,1.2.3.4", "'10.0.0.300' is not an IPv4 address"},
    {"0.0.0.0", "cannot be 0.0.0.0"},
    {"1.2.3.4,0.0.0.0:80", "cannot be 0.0.0.0"},
    {"0.1.2.3", "'0.1.2.3' is not the address of one host"},
    {"0.0.0.1:80", "'0.0.0.1' is not the address of one host"},
    {"0.255.255.255,1.2.3.4", "'0.255.255.255' is not the address of one host"},
    {"224.0.0.1", "'224.0.0.1' is not the address of one host"},
    {"239.255.255.255", "'239.255.255.255' is not the address of one host"},
    {"255.255.255.255", "'255.255.255.255' is not the address of one host"},
    {"224.0.0.1,1.2.3.4", "'224.0.0.1' is not the address of one host"},
    {"[::1]", "'[::1]': IPv6 is not supported"},
    {"[::1]:1723,1.2.3.4", "'[::1]:1723': IPv6 is not supported"},
    {"fe80::1", "'fe80::1': IPv6 is not supported"},
    {"fe80::1%eth0", "'fe80::1%eth0': IPv6 is not supported"},
    {"::", "'::': IPv6 is not supported"},
    {"2001:db8:0:0:0:0:0:1", "'2001:db8:0:0:0:0:0:1': IPv6 is not supported"},
    {"two words", "'two words' is neither"},
    {"a..b", "'a..b' is neither"},
    {".a", "'.a' is neither"},
    {"-d", "'-d' is neither"},
    {"a-.b", "'a-.b' is neither"},
    {"a/24", "'a/24' is neither"},
    {"n\xc3\xa4me", "is neither"},
};

static void bad_pairs_name_the_word(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pair pair;
		struct why why = {""};
		if (pair_parse(bad[i][0], &pair, &why) != -1)
			fail_msg("'%s' was taken", bad[i][0]);
		if (!strstr(why.text, bad[i][1]))
			fail_msg("'%s': \"%s\" lacks \"%s\"", bad[i][0], why.text, bad[i][1]);
	}
}

/* A name of labels of 63 octets, cut to length. */
static char *long_name(size_t length)
{
	char *name = calloc(1, length + 1);
	memset(name, 'a', length);
	for (size_t i = 63; i < length; i += 64)
		name[i] = '.';
	return name;
}

static void long_words(void **state)
{
	(void)state;
	struct pair pair;
	struct why why;
	char text[2000];
	char *longest = long_name(PAIR_WORD_MAX), *too_long = long_name(PAIR_WORD_MAX + 1);

	snprintf(text, sizeof(text), "%s:65535,%s:65535", longest, longest);
	assert_int_equal(pair_parse(text, &pair, &why), 0);
	assert_string_equal(pair.listen.word, longest);
	assert_string_equal(pair.peer.word, longest);
	char out[PAIR_TEXT_MAX];
	assert_int_equal(strlen(pair_endpoint_text(&pair.peer, out)), PAIR_WORD_MAX + 6);

	assert_int_equal(pair_parse(too_long, &pair, &why), -1);
	assert_non_null(strstr(why.text, "neither"));
	memset(too_long, 'a', 64);
	assert_int_equal(pair_parse(too_long, &pair, &why), -1);
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(pair_parse(text, &pair, &why), -1);
	assert_non_null(strstr(why.text, "too long"));
	free(longest);
	free(too_long);
}

static bool conflict(const char *a, const char *b)
{
	struct pair first = parsed(a), second = parsed(b);
	bool answer = pair_conflict(&first.listen, &second.listen);
	assert_int_equal(answer, pair_conflict(&second.listen, &first.listen));
	return answer;
}

static void conflicts(void **state)
{
	(void)state;
	assert_true(conflict("10.0.0.1,1.1.1.1", "10.0.0.1,2.2.2.2"));
	assert_false(conflict("10.0.0.1,1.1.1.1", "10.0.0.2,1.1.1.1"));
	assert_false(conflict("10.0.0.1:1,1.1.1.1", "10.0.0.1:2,1.1.1.1"));
	assert_true(conflict("1.1.1.1", "10.0.0.1,2.2.2.2"));
	assert_true(conflict("1.1.1.1", "name.example,2.2.2.2"));
	assert_true(conflict("1.1.1.1", "2.2.2.2"));
	assert_false(conflict("1.1.1.1", "10.0.0.1:1724,2.2.2.2"));
	assert_true(conflict("Name.example,1.1.1.1", "name.Example,2.2.2.2"));
	assert_false(conflict("a.example,1.1.1.1", "b.example,2.2.2.2"));
	/* Whether it is one is known only once the name has been resolved. */
	assert_false(conflict("a.example,1.1.1.1", "10.0.0.1,2.2.2.2"));
}

static void arrival(void **state)
{
	(void)state;
	struct pair any = parsed("1.1.1.1"), one = parsed("10.0.0.1:99,1.1.1.1");
	assert_true(pair_arrives(&any.listen, 0x7f000001, 1723, true));
	assert_false(pair_arrives(&any.listen, 0x7f000001, 1724, true));
	assert_false(pair_arrives(&any.listen, 0x01010101, 1723, false));
	assert_true(pair_arrives(&one.listen, 0x0a000001, 99, true));
	assert_false(pair_arrives(&one.listen, 0x0a000001, 1723, true));
	assert_false(pair_arrives(&one.listen, 0x0a000002, 99, true));
	struct pair named = parsed("a.example:99,1.1.1.1");
	assert_false(pair_arrives(&named.listen, 0, 99, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_pairs),
	    cmocka_unit_test(addresses_are_told_from_names),
	    cmocka_unit_test(bad_pairs_name_the_word),
	    cmocka_unit_test(long_words),
	    cmocka_unit_test(conflicts),
	    cmocka_unit_test(arrival),
	};
	return cmocka_run_group_tests_name("pair", tests, NULL, NULL) != 0;
}
