#include "host/names.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_S = 20 };

static struct event_base *base;
static struct names *names;
static char directory[] = "/tmp/test_names.XXXXXX";
static char hosts_path[64], resolv_path[64];

/* A name server of our own, in the same event loop. */

static struct evdns_server_port *server;
static unsigned asked;	    /* questions so far */
static bool server_is_down; /* it takes questions and does not answer */
static bool server_refuses; /* that is its answer to everything */

static void answer(struct evdns_server_request *request, void *arg)
{
	(void)arg;
	const char *name = request->questions[0]->name;
	uint8_t addresses[20][4];
	int count = 0, error = 0;
	asked++;
	for (int i = 0; i < 20; i++)
		memcpy(addresses[i], (uint8_t[]){192, 0, 2, (uint8_t)(i + 1)}, 4);
	if (strcasecmp(name, "two.example") == 0) {
		memcpy(addresses[1], addresses[0], 4);
		count = 3;
	} else if (strcasecmp(name, "many.example") == 0) {
		count = 20;
	} else if (strcasecmp(name, "short.search.example") == 0) {
		count = 1;
	} else if (strcasecmp(name, "empty.example") != 0) {
		error = DNS_ERR_NOTEXIST;
	}
	if (server_refuses)
		error = DNS_ERR_REFUSED;
	if (server_is_down || strcasecmp(name, "silent.example") == 0) {
		evdns_server_request_drop(request);
		return;
	}
	if (count > 0 && !error)
		evdns_server_request_add_a_reply(request, name, count, addresses, 60);
	evdns_server_request_respond(request, error);
}

static uint16_t server_open(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	server = evdns_add_server_port_with_base(base, fd, 0, answer, NULL);
	assert_non_null(server);
	return ntohs(address.sin_port);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int set_up(void **state)
{
	(void)state;
	struct why why;
	char text[200];
	base = event_base_new();
	asked = 0;
	server_is_down = server_refuses = false;
	write_file(hosts_path, "# none\n"
			       "127.0.0.1 localhost\n"
			       "10.0.0.1\tInside.example inside # a comment with.name\n"
			       "10.0.0.2 other inside.EXAMPLE\n"
			       "::1 inside.example six.example\n"
			       "10.0.0.300 broken.example\n");
	snprintf(text, sizeof(text),
		 "options timeout:30 attempts:9\nnameserver 127.0.0.1:%u\nsearch search.example\n",
		 server_open());
	write_file(resolv_path, text);
	names = names_new_from(base, hosts_path, resolv_path, &why);
	return names ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	names_free(names);
	names = NULL;
	evdns_close_server_port(server);
	/* What evdns still has to give back, it gives back from the loop. */
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_free(base);
	return 0;
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(hosts_path, sizeof(hosts_path), "%s/hosts", directory);
	snprintf(resolv_path, sizeof(resolv_path), "%s/resolv.conf", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(hosts_path);
	unlink(resolv_path);
	return rmdir(directory);
}

/* Questions. */

struct result {
	int calls;
	uint32_t addresses[NAMES_ADDRESSES_MAX];
	size_t count;
	char failure[100]; /* empty: none */
	bool free_names;   /* the callback does it */
};

static void on_done(void *arg, const uint32_t *addresses, size_t count, const char *failure)
{
	struct result *result = arg;
	result->calls++;
	result->count = count;
	memcpy(result->addresses, addresses, count * sizeof(*addresses));
	snprintf(result->failure, sizeof(result->failure), "%s", failure ? failure : "");
	if (result->free_names) {
		names_free(names);
		names = NULL;
	}
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(bool *)arg = true;
}

/* Turns the loop until *value has reached what is wanted. */
static void wait_until(const int *value, int wanted)
{
	bool late = false;
	struct event *timer = evtimer_new(base, give_up, &late);
	evtimer_add(timer, &(struct timeval){.tv_sec = DEADLINE_S});
	while (*value < wanted && !late)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(timer);
	assert_false(late);
}

static struct result ask(const char *name)
{
	struct result result = {0};
	assert_non_null(names_resolve(names, name, on_done, &result));
	assert_int_equal(result.calls, 0);
	wait_until(&result.calls, 1);
	return result;
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Cases. */

static void address_is_its_own_answer(void **state)
{
	(void)state;
	struct result result = ask("10.1.2.3");
	assert_int_equal(result.count, 1);
	assert_int_equal(result.addresses[0], 0x0a010203);
	assert_string_equal(result.failure, "");
	assert_int_equal(asked, 0);
}

static void hosts_file_comes_first(void **state)
{
	(void)state;
	struct result result = ask("inside.example");
	assert_int_equal(result.count, 2);
	assert_int_equal(result.addresses[0], 0x0a000001);
	assert_int_equal(result.addresses[1], 0x0a000002);
	assert_string_equal(result.failure, "");
	result = ask("INSIDE");
	assert_int_equal(result.count, 1);
	result = ask("inside.example.");
	assert_int_equal(result.count, 2);
	assert_int_equal(asked, 0);
	assert_int_equal(ask("six.example").count, 0);
	assert_int_equal(ask("broken.example").count, 0);
	assert_int_equal(ask("comment").count, 0);
	assert_true(asked > 0);
}

static void answers_of_the_server(void **state)
{
	(void)state;
	struct result result = ask("two.example");
	assert_int_equal(result.count, 2);
	assert_int_equal(result.addresses[0], 0xc0000201);
	assert_int_equal(result.addresses[1], 0xc0000203);
	assert_string_equal(result.failure, "");
	result = ask("many.example");
	assert_int_equal(result.count, NAMES_ADDRESSES_MAX);
	assert_int_equal(result.addresses[15], 0xc0000210);
	result = ask("absent.example");
	assert_int_equal(result.count, 0);
	assert_string_equal(result.failure, "there is no such name");
	result = ask("empty.example.");
	assert_int_equal(result.count, 0);
	assert_string_equal(result.failure, "it has no IPv4 address");
}

static void search_domain(void **state)
{
	(void)state;
	assert_int_equal(ask("short").count, 1);
	assert_int_equal(ask("short.").count, 0);
}

static void last_good_answer_serves(void **state)
{
	(void)state;
	assert_int_equal(ask("two.example").count, 2);
	server_refuses = true;
	struct result result = ask("two.example");
	assert_int_equal(result.count, 2);
	assert_int_equal(result.addresses[1], 0xc0000203);
	assert_string_equal(result.failure, "the name server refuses to answer");
	assert_int_equal(ask("many.example").count, 0);
	server_refuses = false;
	assert_string_equal(ask("two.example").failure, "");
}

static void silent_server_costs_five_seconds(void **state)
{
	(void)state;
	assert_int_equal(ask("two.example").count, 2);
	server_is_down = true;
	double start = now();
	struct result known = {0}, unknown = {0};
	names_resolve(names, "two.example", on_done, &known);
	names_resolve(names, "silent.example", on_done, &unknown);
	wait_until(&known.calls, 1);
	wait_until(&unknown.calls, 1);
	assert_true(now() - start > 2 && now() - start < 7);
	assert_int_equal(known.count, 2);
	assert_string_equal(known.failure, "the name servers give no answer");
	assert_int_equal(unknown.count, 0);
	assert_string_equal(unknown.failure, "the name servers give no answer");
	/* And it is asked again as soon as it is back. */
	server_is_down = false;
	assert_string_equal(ask("two.example").failure, "");
}

/* evdns asks 64 questions at a time, so the rest would wait for those who wait in vain. */
static void many_silent_names_cost_no_more(void **state)
{
	(void)state;
	enum { NAMES = 150 };
	static struct result results[NAMES];
	char name[32];
	memset(results, 0, sizeof(results));
	server_is_down = true;
	double start = now();
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		names_resolve(names, name, on_done, &results[i]);
	}
	for (int i = 0; i < NAMES; i++)
		wait_until(&results[i].calls, 1);
	assert_true(now() - start < 7);
}

static void restart(const char *resolv_conf)
{
	struct why why;
	names_free(names);
	names = names_new_from(base, hosts_path, resolv_conf, &why);
	assert_non_null(names);
}

static void without_a_server_the_answer_is_no_at_once(void **state)
{
	(void)state;
	double start = now();
	write_file(resolv_path, "# nothing\n");
	restart(resolv_path);
	assert_string_equal(ask("two.example").failure, "no name server is configured");
	assert_int_equal(ask("inside.example").count, 2);
	restart("/nonexistent/resolv.conf");
	assert_string_equal(ask("two.example").failure, "no name server is configured");
	assert_int_equal(ask("inside.example").count, 2);
	assert_int_equal(ask("10.0.0.7").count, 1);
	assert_true(now() - start < 2);
}

static void without_a_hosts_file(void **state)
{
	(void)state;
	unlink(hosts_path);
	restart(resolv_path);
	assert_int_equal(ask("two.example").count, 2);
}

static void one_question_for_all_who_wait(void **state)
{
	(void)state;
	struct result results[5] = {{0}};
	for (int i = 0; i < 5; i++)
		names_resolve(names, i % 2 ? "two.example" : "TWO.example", on_done, &results[i]);
	for (int i = 0; i < 5; i++) {
		wait_until(&results[i].calls, 1);
		assert_int_equal(results[i].count, 2);
	}
	assert_int_equal(asked, 1);
}

static void cancelled_query_is_not_called(void **state)
{
	(void)state;
	struct result cancelled = {0}, other = {0};
	names_cancel(NULL);
	struct names_query *query = names_resolve(names, "two.example", on_done, &cancelled);
	names_cancel(query);
	query = names_resolve(names, "inside.example", on_done, &cancelled);
	names_resolve(names, "two.example", on_done, &other);
	names_cancel(query);
	wait_until(&other.calls, 1);
	assert_int_equal(other.count, 2);
	assert_int_equal(ask("absent.example").count, 0);
	assert_int_equal(cancelled.calls, 0);
}

static void freed_with_pending_queries(void **state)
{
	(void)state;
	struct result result = {0};
	names_resolve(names, "two.example", on_done, &result);
	names_resolve(names, "silent.example", on_done, &result);
	names_resolve(names, "short", on_done, &result);
	names_resolve(names, "inside.example", on_done, &result);
	names_cancel(names_resolve(names, "many.example", on_done, &result));
	names_free(names);
	names = NULL;
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(result.calls, 0);
}

static void freed_by_a_callback(void **state)
{
	(void)state;
	struct result first = {.free_names = true}, second = {0};
	names_resolve(names, "two.example", on_done, &first);
	names_resolve(names, "two.example", on_done, &second);
	names_resolve(names, "silent.example", on_done, &second);
	wait_until(&first.calls, 1);
	assert_int_equal(first.count, 2);
	assert_int_equal(second.calls, 0);
}

/* Stops the loop with evdns's answers to many questions on their way to their callbacks. */
static void freed_with_answers_on_their_way(void **state)
{
	(void)state;
	struct result result = {0};
	char name[32];
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		names_resolve(names, name, on_done, &result);
	}
	for (int turn = 0; turn < 3; turn++)
		event_base_loop(base, EVLOOP_ONCE);
	names_free(names);
	names = NULL;
	int calls = result.calls;
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(result.calls, calls);
}

static void reload_reads_both_files(void **state)
{
	(void)state;
	struct result waiting = {0};
	assert_int_equal(ask("two.example").count, 2);
	names_resolve(names, "silent.example", on_done, &waiting);
	write_file(hosts_path, "10.9.9.9 fresh.example silent.example\n");
	write_file(resolv_path, "# nothing\n");
	names_reload(names);
	/* Whoever waits gets what the new files say. */
	wait_until(&waiting.calls, 1);
	assert_int_equal(waiting.count, 1);
	assert_int_equal(waiting.addresses[0], 0x0a090909);
	assert_int_equal(ask("fresh.example").count, 1);
	assert_string_equal(ask("inside.example").failure, "no name server is configured");
	/* What was known is not forgotten. */
	struct result result = ask("two.example");
	assert_int_equal(result.count, 2);
	assert_string_equal(result.failure, "no name server is configured");
}

static void words_that_can_be_names(void **state)
{
	(void)state;
	char label[70], name[300];
	static const char *const good[] = {"a",	 "a.b",	     "A-b.c_d",	   "3com.example",
					   "_x", "1.2.3.4a", "a.example.", "xn--a"};
	static const char *const bad[] = {"",	    "a..b", ".a", ".",	    "a b",   "a/b",
					  "a:1",    "-a",   "a-", "a.-b.c", "1.2.3", "12",
					  "1.2.3.", "a..",  "[",  "a,b",    "a\n",   "\xc3\xa4"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!name_word_valid(good[i]))
			fail_msg("'%s' is refused", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (name_word_valid(bad[i]))
			fail_msg("'%s' is taken", bad[i]);
	memset(label, 'a', sizeof(label));
	label[63] = '\0';
	assert_true(name_word_valid(label));
	snprintf(name, sizeof(name), "%s.%s.%s.%.61s", label, label, label, label);
	assert_int_equal(strlen(name), 253);
	assert_true(name_word_valid(name));
	strcat(name, "a");
	assert_false(name_word_valid(name));
	strcpy(label + 63, "a");
	assert_false(name_word_valid(label));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(address_is_its_own_answer),
	    CASE(hosts_file_comes_first),
	    CASE(answers_of_the_server),
	    CASE(search_domain),
	    CASE(last_good_answer_serves),
	    CASE(silent_server_costs_five_seconds),
	    CASE(many_silent_names_cost_no_more),
	    CASE(without_a_server_the_answer_is_no_at_once),
	    CASE(without_a_hosts_file),
	    CASE(one_question_for_all_who_wait),
	    CASE(cancelled_query_is_not_called),
	    CASE(freed_with_pending_queries),
	    CASE(freed_by_a_callback),
	    CASE(freed_with_answers_on_their_way),
	    CASE(reload_reads_both_files),
	    cmocka_unit_test(words_that_can_be_names),
	};
	return cmocka_run_group_tests_name("names", tests, make_directory, remove_directory) != 0;
}
