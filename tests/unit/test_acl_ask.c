/*
 * Who waits for whose answer: numbers, cancelled questions, answers that come too late or twice.
 */
#include "acl/acl_ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ASKED_MAX = 8 };

static struct acl_ask *ask;
static struct {
	uint32_t number;
	struct acl_ask_client client;
} asked[ASKED_MAX];
static size_t asked_count;
static uint32_t cancelled;

struct waiter {
	unsigned answers;
	enum acl_answer answer;
	size_t which;
	char why[32];
};

static void on_ask(void *arg, uint32_t number, const struct acl_ask_client *client)
{
	assert_ptr_equal(arg, &asked);
	assert_true(asked_count < ASKED_MAX);
	asked[asked_count].number = number;
	asked[asked_count++].client = *client;
}

static void on_cancel(void *arg, uint32_t number)
{
	assert_ptr_equal(arg, &asked);
	cancelled = number;
}

static void on_done(void *arg, enum acl_answer answer, size_t which, const char *why)
{
	struct waiter *waiter = arg;
	waiter->answers++;
	waiter->answer = answer;
	waiter->which = which;
	strncpy(waiter->why, why, sizeof(waiter->why) - 1);
}

static int set_up(void **state)
{
	const struct acl_ask_config config = {on_ask, on_cancel, &asked};
	(void)state;
	asked_count = 0;
	cancelled = 0;
	ask = acl_ask_new(&config);
	return ask ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	acl_ask_free(ask);
	return 0;
}

static struct acl_ask_check *start(struct waiter *waiter)
{
	const struct acl_ask_client client = {.connection = 12, .pair = 3, .addr = 0x0A000002};
	struct acl_ask_check *check = acl_ask_start(ask, &client, on_done, waiter);
	assert_non_null(check);
	return check;
}

static void an_answer_reaches_who_asked(void **state)
{
	(void)state;
	struct waiter first = {0}, second = {0};
	start(&first);
	start(&second);
	assert_int_equal(asked_count, 2);
	assert_int_equal(asked[1].client.connection, 12);
	assert_int_equal(asked[1].client.pair, 3);
	assert_int_equal(asked[1].client.addr, 0x0A000002);
	acl_ask_answered(ask, asked[1].number, ACL_ALLOW, 3, "true said yes");
	assert_int_equal(first.answers, 0);
	assert_int_equal(second.answers, 1);
	assert_int_equal(second.answer, ACL_ALLOW);
	assert_int_equal(second.which, 3);
	assert_string_equal(second.why, "true said yes");
	acl_ask_answered(ask, asked[0].number, ACL_ERROR, 0, "no");
	assert_int_equal(first.answer, ACL_ERROR);
}

static void an_answer_counts_once(void **state)
{
	(void)state;
	struct waiter waiter = {0};
	start(&waiter);
	acl_ask_answered(ask, asked[0].number, ACL_DENY, 0, "no");
	acl_ask_answered(ask, asked[0].number, ACL_ALLOW, 0, "yes");
	acl_ask_answered(ask, asked[0].number + 1, ACL_ALLOW, 0, "yes");
	assert_int_equal(waiter.answers, 1);
	assert_int_equal(waiter.answer, ACL_DENY);
}

static void who_has_gone_is_not_told(void **state)
{
	(void)state;
	struct waiter gone = {0}, waiter = {0};
	acl_ask_cancel(start(&gone));
	assert_int_equal(cancelled, asked[0].number);
	start(&waiter);
	assert_int_not_equal(asked[1].number, asked[0].number);
	acl_ask_answered(ask, asked[0].number, ACL_ALLOW, 0, "yes");
	acl_ask_answered(ask, asked[1].number, ACL_ALLOW, 0, "yes");
	assert_int_equal(gone.answers, 0);
	assert_int_equal(waiter.answers, 1);
	acl_ask_cancel(NULL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(an_answer_reaches_who_asked),
	    CASE(an_answer_counts_once),
	    CASE(who_has_gone_is_not_told),
	};
	return cmocka_run_group_tests_name("acl_ask", tests, NULL, NULL);
}
