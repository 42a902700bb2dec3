#include "explain/explain_words.h"

#include "explain/explain_events.h"
#include "explain/explain_index.h"
#include "explain/explain_ppp.h"
#include "wire/pptp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void numbers(void **state)
{
	(void)state;
	char count[EXPLAIN_COUNT_MAX], address[EXPLAIN_ADDRESS_MAX];
	assert_string_equal(explain_words_count(0, count), "0");
	assert_string_equal(explain_words_count(999, count), "999");
	assert_string_equal(explain_words_count(1000, count), "1,000");
	assert_string_equal(explain_words_count(1234567, count), "1,234,567");
	assert_string_equal(explain_words_count(UINT64_MAX, count), "18,446,744,073,709,551,615");
	assert_string_equal(explain_words_address(0xFFFFFFFF, address), "255.255.255.255");
	assert_string_equal(explain_words_address(0x0A010203, address), "10.1.2.3");
}

static void results(void **state)
{
	(void)state;
	char out[EXPLAIN_RESULT_MAX];
#define RESULT(type, result, error) explain_words_result(type, result, error, out)
	assert_string_equal(RESULT(PPTP_START_REPLY, 1, 0), "accepted");
	assert_string_equal(RESULT(PPTP_START_REPLY, 5, 9), "protocol version not supported");
	assert_string_equal(RESULT(PPTP_START_REPLY, 6, 0), "result 6, which means nothing");
	assert_string_equal(RESULT(PPTP_OUTGOING_CALL_REPLY, 2, 4), "general error: no resource");
	assert_string_equal(RESULT(PPTP_OUTGOING_CALL_REPLY, 2, 200), "general error 200");
	assert_string_equal(RESULT(PPTP_OUTGOING_CALL_REPLY, 2, 0), "general error 0");
	assert_string_equal(RESULT(PPTP_OUTGOING_CALL_REPLY, 7, 0),
			    "prohibited by its administrator");
	assert_string_equal(RESULT(PPTP_CALL_DISCONNECT_NOTIFY, 1, 0), "lost carrier");
	assert_string_equal(RESULT(PPTP_STOP_REQUEST, 2, 4), "protocol version not supported");
	assert_string_equal(RESULT(PPTP_ECHO_REQUEST, 1, 0), "result 1, which means nothing");
	assert_string_equal(RESULT(999, 1, 0), "result 1, which means nothing");
}

static void quotes(void **state)
{
	(void)state;
	char out[20];
#define QUOTE(text) explain_words_quote((const uint8_t *)(text), sizeof(text) - 1, out, sizeof(out))
	assert_string_equal(QUOTE(""), "\"\"");
	assert_string_equal(QUOTE("plain ~"), "\"plain ~\"");
	assert_string_equal(QUOTE("a\"b\\c"), "\"a\\\"b\\\\c\"");
	assert_string_equal(QUOTE("\x1b\0\x7f"), "\"\\x1b\\x00\\x7f\"");
	assert_string_equal(QUOTE("\xc3\xa4"), "\"\\xc3\\xa4\"");
	assert_string_equal(QUOTE("exactly so long"), "\"exactly so lon...\"");
	assert_string_equal(QUOTE("as much as does"), "\"as much as doe...\"");
	assert_string_equal(QUOTE("\n\n\n\n"), "\"\\x0a\\x0a\\x0a...\"");
}

/* Of every length, with the least room there may be. */
static void quotes_stay_within(void **state)
{
	(void)state;
	uint8_t octets[64];
	memset(octets, 0xFF, sizeof(octets));
	for (size_t size = 8; size < 64; size++) {
		for (size_t length = 0; length < sizeof(octets); length++) {
			char *out = malloc(size);
			assert_non_null(out);
			explain_words_quote(octets, length, out, size);
			assert_in_range(strlen(out), 2, size - 1);
			free(out);
		}
	}
}

static char *wrap(const char *first, const char *text)
{
	static char buffer[1024];
	FILE *out = fmemopen(buffer, sizeof(buffer), "w");
	assert_non_null(out);
	explain_words_wrap(out, first, text);
	fclose(out);
	return buffer;
}

static void wrapping(void **state)
{
	(void)state;
	assert_string_equal(wrap("- ", "short"), "- short\n");
	assert_string_equal(wrap("", ""), "\n");
	assert_string_equal(
	    wrap("  1. ", "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggggg "
			  "12345 next"),
	    "  1. aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggggg 12345\n"
	    "     next\n");
	char longer[101];
	memset(longer, 'x', 100);
	longer[100] = '\0';
	assert_int_equal(strlen(wrap("> ", longer)), 103);
}

static void events(void **state)
{
	(void)state;
	struct explain_events all = {0};
	enum { MANY = 100 };
	explain_events_add(&all, 1, "same");
	explain_events_add(&all, 2, "same");
	assert_int_equal(all.count, 1);
	assert_int_equal(all.first->times, 2);
	assert_int_equal(all.first->time_us, 1);
	assert_int_equal(all.first->last_us, 2);
	for (int i = 1; i < MANY; i++)
		explain_events_add(&all, i, "%d", i);
	assert_int_equal(all.count, EXPLAIN_EVENTS_FIRST + EXPLAIN_EVENTS_LAST);
	assert_int_equal(all.left_out, MANY - EXPLAIN_EVENTS_FIRST - EXPLAIN_EVENTS_LAST);
	assert_string_equal(all.middle->text, "31");
	assert_string_equal(all.middle->next->text, "84");
	assert_string_equal(all.last->text, "99");
	char longer[2 * EXPLAIN_EVENT_TEXT_MAX];
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	explain_events_add(&all, MANY, "%s", longer);
	assert_int_equal(strlen(all.last->text), EXPLAIN_EVENT_TEXT_MAX - 1);
	explain_events_clear(&all);
	assert_null(all.first);
}

static void the_index(void **state)
{
	(void)state;
	enum { MANY = 10000 };
	struct explain_index index;
	struct explain_node *nodes = calloc(2 * MANY, sizeof(*nodes));
	assert_non_null(nodes);
	assert_int_equal(explain_index_init(&index), 0);
	for (uint32_t i = 0; i < 2 * MANY; i++)
		explain_index_add(&index, &nodes[i], (struct explain_key){i % MANY, 1, 2});
	assert_int_equal(index.count, 2 * MANY);
	assert_in_range(index.size, MANY, 4 * MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		struct explain_node *node =
		    explain_index_find(&index, (struct explain_key){i, 1, 2});
		assert_ptr_equal(node, &nodes[MANY + i]);
		assert_ptr_equal(explain_index_before(node), &nodes[i]);
		assert_null(explain_index_before(&nodes[i]));
		explain_index_del(&index, node);
		explain_index_del(&index, node);
		assert_ptr_equal(explain_index_find(&index, (struct explain_key){i, 1, 2}),
				 &nodes[i]);
	}
	assert_int_equal(index.count, MANY);
	assert_null(explain_index_find(&index, (struct explain_key){1, 2, 1}));
	assert_null(explain_index_find(&index, (struct explain_key){1, 1, 3}));
	explain_index_clear(&index);
	free(nodes);
}

/* PPP's header, in each form that RFC 1661 allows. */
static void ppp_headers(void **state)
{
	(void)state;
	static const char *const names[] = {"one", "other"};
	static const struct {
		const char *octets;
		size_t length;
		uint64_t plain, encrypted;
		unsigned echoes;
	} frames[] = {
	    {"\xFF\x03\x00\x21x", 5, 1, 0, 0},
	    {"\x00\x21x", 3, 2, 0, 0},
	    {"\xFF\x03\x21x", 4, 3, 0, 0},
	    {"\x21x", 2, 4, 0, 0},
	    {"\x57", 1, 5, 0, 0},
	    {"\xFD", 1, 5, 1, 0},
	    {"\x00\xFD", 2, 5, 2, 0},
	    {"\xC0\x21\x09\x01\x00\x08zzzz", 10, 5, 2, 1},
	    {"\xFF\x03\xC0\x21\x09\x01\x00\x04", 8, 5, 2, 2},
	    /* Cut in the capture behind its header; a length that is a lie. */
	    {"\xC0\x21\x09\x01\x00\xFF", 6, 5, 2, 3},
	    {"\xC0\x21\x09\x01\x00\x03", 6, 5, 2, 3},
	    /* No protocol, no header. */
	    {"", 0, 5, 2, 3},
	    {"\xFF\x03", 2, 5, 2, 3},
	    {"\xC0", 1, 5, 2, 3},
	    {"\xC0\x21\x09\x01\x00", 5, 5, 2, 3},
	    {"\x80\x99\x01\x01\x00\x04", 6, 5, 2, 3},
	};
	struct explain_ppp ppp;
	struct explain_events events = {0};
	explain_ppp_begin(&ppp);
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		uint8_t *copy = malloc(frames[i].length ? frames[i].length : 1);
		assert_non_null(copy);
		memcpy(copy, frames[i].octets, frames[i].length);
		const struct explain_frame frame = {
		    .end = 1, .octets = copy, .length = frames[i].length};
		explain_ppp_take(&ppp, &frame, names, &events);
		if (ppp.plain[1] != frames[i].plain || ppp.encrypted[1] != frames[i].encrypted ||
		    ppp.echo_requests[1] != frames[i].echoes)
			fail_msg("frame %zu", i);
		free(copy);
	}
	assert_null(events.first);
}

/* It says that there is more than the capture has. */
static void ppp_text_that_is_cut(void **state)
{
	(void)state;
	static const char *const names[] = {"one", "other"};
	static const uint8_t octets[] = "\xC0\x21\x05\x01\x00\xFFthe end of it";
	struct explain_events events = {0};
	struct explain_ppp ppp;
	const struct explain_frame frame = {.octets = octets, .length = 6 + 7};
	explain_ppp_begin(&ppp);
	explain_ppp_take(&ppp, &frame, names, &events);
	assert_string_equal(ppp.reason, "\"the end\"");
	explain_events_clear(&events);
}

/* Every control packet of every protocol, cut at every place. */
static void ppp_cut_anywhere(void **state)
{
	(void)state;
	static const uint16_t protocols[] = {0xC021, 0xC023, 0xC223, 0xC227,
					     0x80FD, 0x8021, 0x8057};
	static const char *const names[] = {"one", "other"};
	uint8_t whole[24] = {0, 0, 0, 1, 0, 22, 4, 6, 'a', 'b', 'c', 'd', 3, 6, 1, 2, 3, 4};
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		struct explain_events events = {0};
		struct explain_ppp ppp;
		explain_ppp_begin(&ppp);
		whole[0] = (uint8_t)(protocols[i] >> 8);
		whole[1] = (uint8_t)protocols[i];
		for (uint8_t code = 0; code < 20; code++) {
			for (size_t length = 0; length <= sizeof(whole); length++) {
				uint8_t *copy = malloc(length ? length : 1);
				assert_non_null(copy);
				whole[2] = code;
				memcpy(copy, whole, length);
				const struct explain_frame frame = {.octets = copy,
								    .length = length};
				explain_ppp_take(&ppp, &frame, names, &events);
				free(copy);
			}
		}
		explain_events_clear(&events);
	}
}

static void methods(void **state)
{
	(void)state;
	assert_string_equal(explain_ppp_auth_name(0xC023, 0), "PAP");
	assert_string_equal(explain_ppp_auth_name(0xC227, 0), "EAP");
	assert_string_equal(explain_ppp_auth_name(0xC223, 5), "CHAP-MD5");
	assert_string_equal(explain_ppp_auth_name(0xC223, 0x80), "MS-CHAP");
	assert_string_equal(explain_ppp_auth_name(0xC223, 0x81), "MS-CHAPv2");
	assert_string_equal(explain_ppp_auth_name(0xC223, 9), "CHAP");
	assert_null(explain_ppp_auth_name(0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(results),
	    cmocka_unit_test(quotes),
	    cmocka_unit_test(quotes_stay_within),
	    cmocka_unit_test(wrapping),
	    cmocka_unit_test(events),
	    cmocka_unit_test(the_index),
	    cmocka_unit_test(ppp_headers),
	    cmocka_unit_test(ppp_text_that_is_cut),
	    cmocka_unit_test(ppp_cut_anywhere),
	    cmocka_unit_test(methods),
	};
	return cmocka_run_group_tests_name("explain_words", tests, NULL, NULL) != 0;
}
