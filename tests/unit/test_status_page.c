/*
 * The page as it comes, without its script: what the tables say, and that nobody's text is anything
 * else than text.
 */
#include "status/status_page.h"

#include "tests/unit/a_snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *page;

static int tear_down(void **state)
{
	free(page);
	page = NULL;
	return a_snapshot_tear_down(state);
}

static void write_it(void)
{
	free(page);
	page = a_snapshot_written(status_page_write);
}

static void assert_there(const char *part)
{
	if (!strstr(page, part))
		fail_msg("no '%s' in:\n%s", part, page);
}

static size_t count_of(const char *part)
{
	size_t count = 0;
	for (const char *at = page; (at = strstr(at, part)); at++)
		count++;
	return count;
}

static void every_part_is_filled(void **state)
{
	(void)state;
	write_it();
	assert_null(strstr(page, "<!--"));
	assert_there("<title>pptpproxy</title>");
	assert_there(
	    "<p id=\"whose\">3.0.0, up 1 d 01 h; worker 101 for 1 min 01 s; fast path</p>");
	assert_there("<span id=\"when\">2023-11-14 22:13:20 UTC</span>");
	assert_there(
	    "<dt>Packets received</dt><dd><span>1,234,567</span><small>560 dropped</small>");
	assert_there("<span>no such call</span><small>its call ID names no call at that address of "
		     "ours</small></th><td class=\"number\"><span>560</span>");
	assert_there("<td><span>192.0.2.0/24</span></td><td><span>address</span></td><td "
		     "class=\"number\"><span>990</span></td><td class=\"number\"><span></span>");
	assert_there("<td><span>command</span></td><td class=\"number\"><span>0</span></td><td "
		     "class=\"number\"><span>17</span>");
	assert_string_equal(page + strlen(page) - 8, "</html>\n");
}

static void a_call_has_both_sides(void **state)
{
	(void)state;
	write_it();
	assert_int_equal(count_of("data-label=\"Call\""), 3);
	assert_there("<span>12:49750</span>");
	assert_there("<span>192.0.2.1:40000</span><small>ID 49750, sees 7</small>");
	assert_there("<span>198.51.100.7:1723</span><small>ID 300, sees 9</small>");
	assert_there("class=\"number silent\"><span>silent, 12 s</span>");
	assert_int_equal(count_of("silent, "), 1);
	assert_there("<span>99</span><small>2 dropped</small>");
	assert_there(
	    "<td data-label=\"Octets from the server\" class=\"number\"><span>999 B</span>");
	/* the second one waits for its Reply */
	assert_there("<span>13:49751</span><small>being set up</small>");
	assert_there("<small>ID 49751</small>");
	assert_there("<small>ID not known yet, sees 10</small>");
	assert_int_equal(count_of("<span>never</span>"), 2);
}

static void pairs_tell_their_last_error(void **state)
{
	(void)state;
	write_it();
	assert_there("class=\"up\"><span>up</span>");
	assert_there("class=\"down\"><span>down</span>");
	assert_there(
	    "<span>connect to 198.51.100.8:1723: Connection refused</span><small>1 min 05 s "
	    "ago</small>");
}

static void nobodys_text_is_markup(void **state)
{
	static const char evil[] = "<script>\"'&</script>";
	(void)state;
	write_it();
	size_t tags = count_of("<"), quotes = count_of("\"");
	strcpy(a_snapshot_figures.pairs[0].listen, evil);
	strcpy(a_snapshot_figures.pairs[0].peer, evil);
	strcpy(a_snapshot_figures.pairs[1].last_error, evil);
	strcpy(a_snapshot_figures.rules[0].text, evil);
	strcpy(a_snapshot_figures.calls[0].name, evil);
	write_it();
	assert_int_equal(count_of("<"), tags);
	assert_int_equal(count_of("\""), quotes);
	assert_int_equal(count_of("&lt;script&gt;&quot;&#39;&amp;&lt;/script&gt;"), 5);
}

static void nothing_is_said_to_be_nothing(void **state)
{
	(void)state;
	a_snapshot_figures.call_count = a_snapshot_figures.rule_count =
	    a_snapshot_figures.pair_count = 0;
	write_it();
	assert_there("<td colspan=\"10\">No calls.</td>");
	assert_there("<td colspan=\"9\">No pairs.</td>");
	assert_there("<td colspan=\"4\">None: any source may connect.</td>");
}

static void too_many_calls_are_cut(void **state)
{
	(void)state;
	snapshot_clear(&a_snapshot_figures);
	a_snapshot_make(&a_snapshot_figures, STATUS_PAGE_CALLS_MAX);
	write_it();
	assert_int_equal(count_of("data-label=\"Call\""), STATUS_PAGE_CALLS_MAX);
	assert_null(strstr(page, "left_out"));
	snapshot_clear(&a_snapshot_figures);
	a_snapshot_make(&a_snapshot_figures, STATUS_PAGE_CALLS_MAX + 1234);
	write_it();
	assert_int_equal(count_of("data-label=\"Call\""), STATUS_PAGE_CALLS_MAX);
	assert_there("1,234 more calls are not shown here");
}

static void script_and_style_are_within(void **state)
{
	size_t length;
	(void)state;
	const char *script = status_page_script(&length);
	assert_memory_equal(script, "/*\n * The status page", 21);
	assert_int_equal(strlen(script), length);
	const char *style = status_page_style(&length);
	assert_memory_equal(style, "/* The status page", 18);
	assert_int_equal(strlen(style), length);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(every_part_is_filled, a_snapshot_set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_call_has_both_sides, a_snapshot_set_up, tear_down),
	    cmocka_unit_test_setup_teardown(pairs_tell_their_last_error, a_snapshot_set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(nobodys_text_is_markup, a_snapshot_set_up, tear_down),
	    cmocka_unit_test_setup_teardown(nothing_is_said_to_be_nothing, a_snapshot_set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(too_many_calls_are_cut, a_snapshot_set_up, tear_down),
	    cmocka_unit_test(script_and_style_are_within),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
