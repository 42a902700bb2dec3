/*
 * The metrics that a few figures make: samples, types, no series twice, and none for a call.
 */
#include "status/status_metrics.h"

#include "tests/unit/a_snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text;

static int tear_down(void **state)
{
	free(text);
	text = NULL;
	return a_snapshot_tear_down(state);
}

static void write_them(void)
{
	free(text);
	text = a_snapshot_written(status_metrics_all);
}

static void assert_line(const char *line)
{
	size_t length = strlen(line);
	const char *at = text;
	/* A whole one. */
	while ((at = strstr(at, line)) && ((at > text && at[-1] != '\n') || at[length] != '\n'))
		at++;
	if (!at)
		fail_msg("no line '%s' in:\n%s", line, text);
}

static void figures_are_there(void **state)
{
	(void)state;
	write_them();
	assert_line("pptpproxy_build_info{version=\"3.0.0\"} 1");
	assert_line("pptpproxy_start_time_seconds 1699909938.500");
	assert_line("pptpproxy_worker_start_time_seconds 1699999939.000");
	assert_line("pptpproxy_workers_started_total 2");
	assert_line("pptpproxy_fastpath_active 1");
	assert_line("pptpproxy_capturing 0");
	assert_line("pptpproxy_connections 5");
	assert_line("pptpproxy_connections_half_open 1");
	assert_line("pptpproxy_calls 3");
	assert_line("pptpproxy_calls_reserved 1");
	assert_line("pptpproxy_calls_silent{side=\"client\"} 1");
	assert_line("pptpproxy_calls_silent{side=\"server\"} 0");
	assert_line("pptpproxy_packets_received_total 1234567");
	assert_line("pptpproxy_packet_drops_total{reason=\"no such call\"} 560");
	assert_line("pptpproxy_message_drops_total{reason=\"mismatched ID\"} 3");
	assert_line("pptpproxy_connections_refused_total{reason=\"acl\"} 41");
	assert_line("pptpproxy_connections_ended_total{reason=\"client closed\"} 900");
	assert_line("pptpproxy_rule_allowed_total{rule=\"1\",kind=\"acl\",text=\"192.0.2.0/24\"} "
		    "990");
	assert_line(
	    "pptpproxy_rule_refused_total{rule=\"2\",kind=\"command\",text=\"/etc/pptp/allow "
	    "'two words'\"} 17");
	assert_null(strstr(text, "pptpproxy_rule_refused_total{rule=\"1\""));
	assert_line("# TYPE pptpproxy_calls gauge");
	assert_line("# TYPE pptpproxy_calls_opened_total counter");
}

static void pairs_are_numbered(void **state)
{
	(void)state;
	a_snapshot_figures.pairs[1] = a_snapshot_figures.pairs[0]; /* the same words twice */
	a_snapshot_figures.pairs[1].state = SNAPSHOT_IGNORED;
	write_them();
#define FIRST "{pair=\"1\",listen=\"0.0.0.0:1723\",peer=\"inside.example.com:1723\"}"
	assert_line("pptpproxy_pair_up" FIRST " 1");
	assert_line("pptpproxy_pair_dials_failed_total" FIRST " 9");
	assert_null(strstr(text, "pptpproxy_pair_up{pair=\"2\""));
	a_snapshot_figures.pairs[0].state = SNAPSHOT_DOWN;
	a_snapshot_figures.pairs[1].state = SNAPSHOT_UNTRIED;
	write_them();
	assert_line("pptpproxy_pair_up" FIRST " 0");
	assert_null(strstr(text, "pptpproxy_pair_up{pair=\"2\""));
}

static void labels_are_escaped(void **state)
{
	(void)state;
	strcpy(a_snapshot_figures.rules[0].text, "a\"} 1\nb\\\xff");
	write_them();
	assert_line("pptpproxy_rule_allowed_total{rule=\"1\",kind=\"acl\","
		    "text=\"a\\\"} 1\\nb\\\\\xef\xbf\xbd\"} 990");
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t split_series(char *copy, char **lines, size_t max)
{
	size_t count = 0;
	for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
		char *value = strrchr(line, ' ');
		if (line[0] == '#' && strncmp(line, "# TYPE", 6) != 0)
			continue;
		assert_true(count < max);
		*value = '\0';
		lines[count++] = line;
	}
	return count;
}

static void no_series_is_there_twice(void **state)
{
	char *lines[256];
	(void)state;
	a_snapshot_figures.pairs[1] = a_snapshot_figures.pairs[0];
	a_snapshot_figures.rules[1] = a_snapshot_figures.rules[0];
	write_them();
	size_t count = split_series(text, lines, 256);
	qsort(lines, count, sizeof(*lines), compare_lines);
	for (size_t i = 1; i < count; i++)
		assert_string_not_equal(lines[i - 1], lines[i]);
}

static void calls_make_no_series(void **state)
{
	char *lines[256];
	size_t counts[2];
	(void)state;
	for (int i = 0; i < 2; i++) {
		write_them();
		counts[i] = split_series(text, lines, 256);
		snapshot_clear(&a_snapshot_figures);
		a_snapshot_make(&a_snapshot_figures, 500);
	}
	assert_int_equal(counts[0], counts[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(figures_are_there, a_snapshot_set_up, tear_down),
	    cmocka_unit_test_setup_teardown(pairs_are_numbered, a_snapshot_set_up, tear_down),
	    cmocka_unit_test_setup_teardown(labels_are_escaped, a_snapshot_set_up, tear_down),
	    cmocka_unit_test_setup_teardown(no_series_is_there_twice, a_snapshot_set_up, tear_down),
	    cmocka_unit_test_setup_teardown(calls_make_no_series, a_snapshot_set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
