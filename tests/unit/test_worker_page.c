/*
 * Where the status page is, and will be, while the configuration changes. Its server and the relay
 * are this unit's; the sockets are of a letter, so no keeper is asked.
 */
#include "worker/worker_page.h"

#include "control_relay.h"
#include "status/status_http.h"
#include "worker/worker_listen.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ADDR = 0x7f000001, HERE = 8080, THERE = 8081, PAIRS = 1723, SOCKETS = 3 };

static struct status_http {
	int fd;
	bool open;
} servers[SOCKETS];
static size_t opened;
static bool fails;

static const struct pair_endpoint
    here = {.word = "127.0.0.1", .numeric = true, .addr = ADDR, .port = HERE},
    there = {.word = "127.0.0.1", .numeric = true, .addr = ADDR, .port = THERE},
    pairs = {.word = "127.0.0.1", .numeric = true, .addr = ADDR, .port = PAIRS}, nowhere;
static struct letter_listener listeners[SOCKETS];
static char names[SOCKETS][PAIR_TEXT_MAX];
static struct worker_listen sockets;
static struct worker_page page;
static struct why why;

/* ---- those who are not here ---- */

struct status_http *status_http_open(const struct status_http_config *config, struct why *reason)
{
	if (fails) {
		why_set(reason, "status page: no memory");
		return NULL;
	}
	servers[opened] = (struct status_http){.fd = config->fd, .open = true};
	return &servers[opened++];
}

void status_http_close(struct status_http *http)
{
	if (http)
		http->open = false;
}

bool control_relay_listens(const struct control_relay *relay, uint32_t addr, uint16_t port)
{
	(void)relay;
	return addr == ADDR && port == PAIRS;
}

/* ---- the stage ---- */

static int set_up(void **state)
{
	const struct pair_endpoint *all[SOCKETS] = {&here, &there, &pairs};
	struct letter letter = LETTER_NONE;
	(void)state;
	for (int i = 0; i < SOCKETS; i++)
		listeners[i] =
		    (struct letter_listener){.addr = all[i]->addr,
					     .port = all[i]->port,
					     .fd = open("/dev/null", O_RDWR),
					     .name = pair_endpoint_text(all[i], names[i])};
	letter.listeners = listeners;
	letter.listener_count = SOCKETS;
	opened = 0;
	fails = false;
	sockets = (struct worker_listen){.count = 0};
	page = (struct worker_page){.changes = false};
	return worker_listen_open(&sockets, &letter, NULL, &why);
}

static int tear_down(void **state)
{
	(void)state;
	worker_page_close(&page);
	worker_listen_free(&sockets);
	for (int i = 0; i < SOCKETS; i++)
		close(listeners[i].fd);
	return 0;
}

static int begin(const struct pair_endpoint *at)
{
	const struct worker_page_config config = {.listen = &sockets};
	return worker_page_open(&page, &config, at, &why);
}

static bool is_at(const struct pair_endpoint *at)
{
	return worker_page_is_at(&page, at->addr, at->port);
}

static bool will_be_at(const struct pair_endpoint *at)
{
	return worker_page_will_be_at(&page, at->addr, at->port);
}

/* ---- cases ---- */

static void there_may_be_none(void **state)
{
	(void)state;
	assert_int_equal(begin(&nowhere), 0);
	assert_int_equal(opened, 0);
	assert_false(is_at(&nowhere) || will_be_at(&nowhere) || is_at(&here));
}

static void it_has_its_socket(void **state)
{
	(void)state;
	assert_int_equal(begin(&here), 0);
	assert_true(is_at(&here) && will_be_at(&here) && servers[0].open);
	assert_int_equal(servers[0].fd, listeners[0].fd);
	worker_page_close(&page);
	assert_false(servers[0].open);
}

static void it_stays_where_it_is(void **state)
{
	(void)state;
	begin(&here);
	assert_int_equal(worker_page_prepare(&page, &here, &why), 0);
	worker_page_use(&page);
	assert_int_equal(opened, 1);
	assert_true(is_at(&here) && servers[0].open);
}

static void it_moves(void **state)
{
	(void)state;
	begin(&here);
	assert_int_equal(worker_page_prepare(&page, &there, &why), 0);
	assert_true(servers[0].open && servers[1].open); /* both, until one is used */
	assert_true(is_at(&here) && will_be_at(&there) && !will_be_at(&here));
	worker_page_use(&page);
	assert_true(!servers[0].open && servers[1].open);
	assert_true(is_at(&there) && will_be_at(&there) && !is_at(&here));
}

static void it_does_not_move_after_all(void **state)
{
	(void)state;
	begin(&here);
	assert_int_equal(worker_page_prepare(&page, &there, &why), 0);
	worker_page_forget(&page);
	assert_true(servers[0].open && !servers[1].open);
	assert_true(is_at(&here) && will_be_at(&here) && !will_be_at(&there));
	worker_page_use(&page); /* nothing is left to be used */
	assert_true(is_at(&here) && servers[0].open);
}

static void it_goes(void **state)
{
	(void)state;
	begin(&here);
	assert_int_equal(worker_page_prepare(&page, &nowhere, &why), 0);
	assert_true(is_at(&here) && !will_be_at(&here)); /* so a pair may have its socket */
	worker_page_use(&page);
	assert_false(servers[0].open || is_at(&here));
}

static void a_pair_is_there(void **state)
{
	(void)state;
	begin(&here);
	assert_int_equal(worker_page_prepare(&page, &pairs, &why), -1);
	assert_string_equal(why.text, "status page on 127.0.0.1:1723: a pair listens there so far: "
				      "take it out first, then reload again");
	worker_page_forget(&page);
	assert_true(is_at(&here) && servers[0].open);
	assert_int_equal(opened, 1);
}

static void a_server_that_cannot_be(void **state)
{
	(void)state;
	begin(&here);
	fails = true;
	assert_int_equal(worker_page_prepare(&page, &there, &why), -1);
	worker_page_forget(&page);
	assert_true(is_at(&here) && will_be_at(&here) && servers[0].open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(there_may_be_none, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(it_has_its_socket, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(it_stays_where_it_is, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(it_moves, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(it_does_not_move_after_all, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(it_goes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_pair_is_there, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_server_that_cannot_be, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
