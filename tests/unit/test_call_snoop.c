/*
 * The calls of one control connection, as scripts: what comes in, from whom, and what the other
 * side gets to see. Messages are named by type and IDs here; their octets are test_pptp_wire's.
 */
#include "call_snoop.h"
#include "tests/unit/no_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { IDS = 65536, CROWD = 256 };

static const enum callid_side CLIENT = CALLID_CLIENT, SERVER = CALLID_SERVER;

/*   client          proxy               server
 *   10.0.0.2 -- 10.0.0.1 | 192.0.2.1 -- 192.0.2.2
 */
static const struct callid_leg legs[2] = {{0x0A000001, 0x0A000002}, {0xC0000201, 0xC0000202}};

static struct callid_db *db;
static struct call_snoop *snoop;

/* ---- what the events told ---- */

static struct {
	unsigned opened, ended;
	callid_ref opened_call;
	struct callid_info ended_info;
	char text[128]; /* of the last step, "opened; ended: disconnected: result 4; " */
} events;

static void on_opened(void *arg, callid_ref call)
{
	assert_ptr_equal(arg, &events);
	events.opened++;
	events.opened_call = call;
	strcat(events.text, "opened; ");
}

static void on_ended(void *arg, const struct callid_info *info, const char *reason)
{
	assert_ptr_equal(arg, &events);
	events.ended++;
	events.ended_info = *info;
	size_t used = strlen(events.text);
	snprintf(events.text + used, sizeof(events.text) - used, "ended: %s; ", reason);
}

static const struct call_snoop_events event_functions = {on_opened, on_ended};

static int set_up(void **state)
{
	(void)state;
	memset(&events, 0, sizeof(events));
	db = callid_db_new(NULL);
	snoop = call_snoop_new(db, legs, 12, &event_functions, &events);
	return db && snoop ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	call_snoop_end(snoop, 1, "test over");
	call_snoop_free(snoop);
	callid_db_free(db);
	return 0;
}

/* ---- messages ---- */

/* IDs that others have taken: each ID below CROWD, on both legs, so that none of them is kept. */
static void crowd(void)
{
	for (int side = 0; side < 2; side++) {
		for (uint32_t id = 0; id < CROWD; id++) {
			struct callid_request request = {
			    .legs = {legs[0], legs[1]},
			    .caller = (enum callid_side)side,
			    .caller_id = (uint16_t)id,
			};
			uint16_t shown;
			assert_int_not_equal(callid_db_reserve(db, &request, 1, &shown), 0);
			assert_int_equal(shown, id);
		}
	}
}

struct fields {
	uint16_t type;
	uint16_t at12, at14;
	uint8_t result;
};

/* Everything that is no ID and no result is filled with a pattern, which must survive. */
static size_t make(uint8_t out[static PPTP_MESSAGE_MAX], const struct fields *fields)
{
	const struct pptp_shape *shape = pptp_wire_shape(fields->type);
	size_t length = shape ? shape->length : 21;
	for (size_t i = 0; i < length; i++)
		out[i] = (uint8_t)(i * 7 + 3);
	out[0] = 0;
	out[1] = (uint8_t)length;
	out[2] = 0;
	out[3] = 1;
	memcpy(out + 4, "\x1A\x2B\x3C\x4D", 4);
	out[8] = (uint8_t)(fields->type >> 8);
	out[9] = (uint8_t)fields->type;
	if (!shape)
		return length;
	if (shape->at12 != PPTP_ID_NONE)
		pptp_wire_set12(out, fields->at12);
	if (shape->at14 != PPTP_ID_NONE)
		pptp_wire_set14(out, fields->at14);
	if (shape->result_at)
		out[shape->result_at] = fields->result;
	return length;
}

static struct fields fields_of(const uint8_t *message, size_t length)
{
	struct pptp_header header;
	const char *why = NULL;
	if (pptp_wire_parse(message, length, &header, &why) != WIRE_OK || header.length != length)
		fail_msg("a message that does not parse: %s", why);
	const struct pptp_shape *shape = pptp_wire_shape(header.type);
	return (struct fields){
	    .type = header.type,
	    .at12 = shape->at12 != PPTP_ID_NONE ? pptp_wire_at12(message) : 0,
	    .at14 = shape->at14 != PPTP_ID_NONE ? pptp_wire_at14(message) : 0,
	    .result = pptp_wire_result(message),
	};
}

/* ---- scripts ---- */

/*
 * In a script an ID below CROWD is taken elsewhere, so never shown as it is. S1, S2, ... stand for
 * what is shown to the server, C1, C2, ... to the client: bound where a message that comes out
 * holds one first, the same from then on.
 */
enum {
	VARIABLE = 0x10000,
	S1 = VARIABLE,
	S2,
	S3,
	C1,
	C2,
	C3,
	VARIABLES_END,
	SWAPPED = 0x20000, /* a variable's value, its octets swapped */
	STRAY = 0x4321,	   /* names no call */
};

#define START_RQ   PPTP_START_REQUEST
#define START_RP   PPTP_START_REPLY
#define STOP_RQ	   PPTP_STOP_REQUEST
#define STOP_RP	   PPTP_STOP_REPLY
#define ECHO_RQ	   PPTP_ECHO_REQUEST
#define ECHO_RP	   PPTP_ECHO_REPLY
#define OUT_RQ	   PPTP_OUTGOING_CALL_REQUEST
#define OUT_RP	   PPTP_OUTGOING_CALL_REPLY
#define IN_RQ	   PPTP_INCOMING_CALL_REQUEST
#define IN_RP	   PPTP_INCOMING_CALL_REPLY
#define IN_CN	   PPTP_INCOMING_CALL_CONNECTED
#define CLEAR	   PPTP_CALL_CLEAR_REQUEST
#define DISCONNECT PPTP_CALL_DISCONNECT_NOTIFY
#define WAN_ERROR  PPTP_WAN_ERROR_NOTIFY
#define LINK_INFO  PPTP_SET_LINK_INFO

struct row {
	enum callid_side from;
	uint16_t type;
	struct {
		uint32_t at12, at14;
		uint8_t result;
	} in;
	enum snoop_verdict verdict;
	struct {
		uint32_t at12, at14;
	} out;
	size_t calls; /* afterwards */
	const char *told;
};

#define FROM_CLIENT CALLID_CLIENT
#define FROM_SERVER CALLID_SERVER
/* We end the call with these two IDs of its ends (NONE: not assigned yet), who hear of it by those.
 */
#define BY_US ((enum callid_side)2)
enum { NONE = 0x30000 };
#define PASS SNOOP_PASS
#define DROP SNOOP_DROP
#define TAKE SNOOP_TAKE

/* clang-format off */

/* The client is the PNS, the server the PAC, as nearly always. Mirrored: the other way round. */
static const struct row an_outgoing_call[] = {
    /* from        message     its IDs, result   what the other side sees */
    {FROM_CLIENT,  START_RQ,   {0, 0, 0},   PASS, {0, 0},   0, ""},
    {FROM_SERVER,  START_RP,   {0, 0, 1},   PASS, {0, 0},   0, ""},
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  PASS, {9, 0},   1, ""},
    {FROM_SERVER,  LINK_INFO,  {S1, 0, 0},  PASS, {7, 0},   1, ""},
    {FROM_SERVER,  WAN_ERROR,  {S1, 0, 0},  PASS, {7, 0},   1, ""},
    {FROM_CLIENT,  WAN_ERROR,  {C1, 0, 0},  PASS, {9, 0},   1, ""},
    {FROM_CLIENT,  ECHO_RQ,    {0, 0, 0},   PASS, {0, 0},   1, ""},
    {FROM_SERVER,  ECHO_RP,    {0, 0, 1},   PASS, {0, 0},   1, ""},
    {FROM_CLIENT,  CLEAR,      {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  DISCONNECT, {9, 0, 4},   PASS, {C1, 0},  0, "ended: disconnected: result 4; "},
    {FROM_CLIENT,  STOP_RQ,    {0, 0, 0},   PASS, {0, 0},   0, ""},
    {FROM_SERVER,  STOP_RP,    {0, 0, 1},   PASS, {0, 0},   0, ""},
};

/* The server calls. Mirrored: the client is the PAC and calls. */
static const struct row an_incoming_call[] = {
    {FROM_SERVER,  START_RQ,   {0, 0, 0},   PASS, {0, 0},   0, ""},
    {FROM_CLIENT,  START_RP,   {0, 0, 1},   PASS, {0, 0},   0, ""},
    {FROM_SERVER,  IN_RQ,      {9, 0, 0},   PASS, {C1, 0},  1, ""},
    {FROM_CLIENT,  IN_RP,      {7, C1, 1},  PASS, {S1, 9},  1, "opened; "},
    {FROM_SERVER,  IN_CN,      {S1, 0, 0},  PASS, {7, 0},   1, ""},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  PASS, {9, 0},   1, ""},
    {FROM_SERVER,  WAN_ERROR,  {S1, 0, 0},  PASS, {7, 0},   1, ""},
    {FROM_SERVER,  ECHO_RQ,    {0, 0, 0},   PASS, {0, 0},   1, ""},
    {FROM_CLIENT,  ECHO_RP,    {0, 0, 1},   PASS, {0, 0},   1, ""},
    {FROM_CLIENT,  CLEAR,      {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  DISCONNECT, {9, 0, 1},   PASS, {C1, 0},  0, "ended: disconnected: result 1; "},
    {FROM_SERVER,  STOP_RQ,    {0, 0, 0},   PASS, {0, 0},   0, ""},
    {FROM_CLIENT,  STOP_RP,    {0, 0, 1},   PASS, {0, 0},   0, ""},
};

static const struct row a_call_before_its_reply[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_CLIENT,  CLEAR,      {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  LINK_INFO,  {S1, 0, 0},  PASS, {7, 0},   1, ""},
    {FROM_SERVER,  WAN_ERROR,  {S1, 0, 0},  PASS, {7, 0},   1, ""},
    {FROM_SERVER,  CLEAR,      {S1, 0, 0},  DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  DISCONNECT, {7, 0, 3},   PASS, {S1, 0},  0, "ended: disconnected: result 3; "},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  DROP, {0, 0},   0, ""},
};

static const struct row several_calls[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  IN_RQ,      {5, 0, 0},   PASS, {C3, 0},  3, ""},
    {FROM_SERVER,  OUT_RP,     {20, S2, 1}, PASS, {C2, 8},  3, "opened; "},
    {FROM_CLIENT,  IN_RP,      {6, C3, 1},  PASS, {S3, 5},  3, "opened; "},
    {FROM_SERVER,  OUT_RP,     {10, S1, 1}, PASS, {C1, 7},  3, "opened; "},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  PASS, {10, 0},  3, ""},
    {FROM_CLIENT,  LINK_INFO,  {C2, 0, 0},  PASS, {20, 0},  3, ""},
    {FROM_CLIENT,  LINK_INFO,  {C3, 0, 0},  PASS, {5, 0},   3, ""},
    {FROM_SERVER,  LINK_INFO,  {S1, 0, 0},  PASS, {7, 0},   3, ""},
    {FROM_SERVER,  LINK_INFO,  {S2, 0, 0},  PASS, {8, 0},   3, ""},
    {FROM_SERVER,  IN_CN,      {S3, 0, 0},  PASS, {6, 0},   3, ""},
    {FROM_CLIENT,  CLEAR,      {8, 0, 0},   PASS, {S2, 0},  3, ""},
    {FROM_SERVER,  DISCONNECT, {20, 0, 4},  PASS, {C2, 0},  2, "ended: disconnected: result 4; "},
    {FROM_CLIENT,  LINK_INFO,  {C2, 0, 0},  DROP, {0, 0},   2, ""},
    {FROM_CLIENT,  CLEAR,      {8, 0, 0},   DROP, {0, 0},   2, ""},
    {FROM_SERVER,  DISCONNECT, {10, 0, 4},  PASS, {C1, 0},  1, "ended: disconnected: result 4; "},
    {FROM_SERVER,  LINK_INFO,  {S3, 0, 0},  PASS, {6, 0},   1, ""},
    {FROM_SERVER,  DISCONNECT, {5, 0, 2},   PASS, {C3, 0},  0, "ended: disconnected: result 2; "},
};

/* Both sides choose 7; and one side's number is what the other is shown for another call. */
static const struct row equal_ids[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {7, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_SERVER,  IN_RQ,      {8, 0, 0},   PASS, {C2, 0},  2, ""},
    {FROM_CLIENT,  IN_RP,      {8, C2, 1},  PASS, {S2, 8},  2, "opened; "},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  PASS, {7, 0},   2, ""},
    {FROM_SERVER,  LINK_INFO,  {S1, 0, 0},  PASS, {7, 0},   2, ""},
    {FROM_CLIENT,  LINK_INFO,  {C2, 0, 0},  PASS, {8, 0},   2, ""},
    {FROM_SERVER,  LINK_INFO,  {S2, 0, 0},  PASS, {8, 0},   2, ""},
    /* The client calls with the number that it is shown for the first call. */
    {FROM_CLIENT,  OUT_RQ,     {C1, 0, 0},  PASS, {C1, 0},  3, ""},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  PASS, {7, 0},   3, ""},
    {FROM_CLIENT,  CLEAR,      {C1, 0, 0},  PASS, {C1, 0},  3, ""},
};

/* Nobody else is there: every ID stays what it is, 0 too. */
static const struct row ids_that_are_kept[] = {
    {FROM_CLIENT,  OUT_RQ,     {1000, 0, 0},    PASS, {1000, 0},    1, ""},
    {FROM_SERVER,  OUT_RP,     {1000, 1000, 1}, PASS, {1000, 1000}, 1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {0xFFFF, 0, 0},  PASS, {0xFFFF, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {0xFFFE, 0xFFFF, 1}, PASS, {0xFFFE, 0xFFFF}, 2, "opened; "},
    {FROM_CLIENT,  CLEAR,      {1000, 0, 0},    PASS, {1000, 0},    2, ""},
    {FROM_SERVER,  DISCONNECT, {1000, 0, 4},    PASS, {1000, 0},    1,
	"ended: disconnected: result 4; "},
};

static const struct row id_zero[] = {
    {FROM_CLIENT,  OUT_RQ,     {0, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  LINK_INFO,  {S1, 0, 0},  PASS, {0, 0},   1, ""},
    {FROM_SERVER,  OUT_RP,     {0, S1, 1},  PASS, {C1, 0},  1, "opened; "},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  PASS, {0, 0},   1, ""},
    {FROM_CLIENT,  LINK_INFO,  {0, 0, 0},   DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  CLEAR,      {0, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  DISCONNECT, {0, 0, 4},   PASS, {C1, 0},  0, "ended: disconnected: result 4; "},
};

/* A number used again means that its old call is dead, in any state; that is no error. */
static const struct row a_callers_id_used_again[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S2, 0},  1,
	"ended: replaced: its call ID came in a new request; "},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  DROP, {0, 0},   1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S2, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S3, 0},  1,
	"ended: replaced: its call ID came in a new request; "},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  DROP, {0, 0},   1, ""},
    {FROM_SERVER,  LINK_INFO,  {S2, 0, 0},  DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  CLEAR,      {7, 0, 0},   PASS, {S3, 0},  1, ""},
};

static const struct row a_callees_id_used_again[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  2, "opened; "},
    {FROM_SERVER,  OUT_RP,     {9, S2, 1},  PASS, {C2, 8},  1,
	"ended: replaced: its call ID came in a new reply; opened; "},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  LINK_INFO,  {C2, 0, 0},  PASS, {9, 0},   1, ""},
    /* In a Request of the other kind, too. */
    {FROM_SERVER,  IN_RQ,      {9, 0, 0},   PASS, {C3, 0},  1,
	"ended: replaced: its call ID came in a new request; "},
    {FROM_CLIENT,  LINK_INFO,  {C2, 0, 0},  DROP, {0, 0},   1, ""},
};

/* A refusal's own ID means nothing: it passes as it is. */
static const struct row refusals[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},      PASS, {S1, 0},     1, ""},
    {FROM_SERVER,  OUT_RP,     {STRAY, S1, 2}, PASS, {STRAY, 7},  0, "ended: refused: result 2; "},
    {FROM_SERVER,  OUT_RP,     {STRAY, S1, 2}, DROP, {0, 0},      0, ""},
    {FROM_SERVER,  IN_RQ,      {9, 0, 0},      PASS, {C1, 0},     1, ""},
    {FROM_CLIENT,  IN_RP,      {0, C1, 3},     PASS, {0, 9},      0, "ended: refused: result 3; "},
    {FROM_CLIENT,  IN_RP,      {0, C1, 3},     DROP, {0, 0},      0, ""},
    /* Result 0 is none of the RFC's, and certainly no yes. */
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},      PASS, {S2, 0},     1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S2, 0},     PASS, {9, 7},      0, "ended: refused: result 0; "},
    /* First yes, then no. */
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},      PASS, {S3, 0},     1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S3, 1},     PASS, {C2, 7},     1, "opened; "},
    {FROM_SERVER,  OUT_RP,     {9, S3, 5},     PASS, {9, 7},      0, "ended: refused: result 5; "},
};

static const struct row a_second_reply[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, ""},
    {FROM_SERVER,  OUT_RP,     {10, S1, 1}, DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  PASS, {9, 0},   1, ""},
};

/* A Reply must come from the callee, and be of its Request's kind. */
static const struct row replies_that_answer_nothing[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},      PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  IN_RP,      {9, S1, 1},     DROP, {0, 0},   1, ""},
    {FROM_SERVER,  IN_RP,      {9, S1, 2},     DROP, {0, 0},   1, ""},
    {FROM_SERVER,  OUT_RP,     {9, 7, 1},      DROP, {0, 0},   1, ""},
    {FROM_SERVER,  OUT_RP,     {9, STRAY, 1},  DROP, {0, 0},   1, ""},
    {FROM_SERVER,  OUT_RP,     {9, STRAY, 2},  DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  OUT_RP,     {9, S1, 1},     DROP, {0, 0},   1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},     PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  OUT_RP,     {7, C1, 1},     DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  IN_RP,      {7, C1, 1},     DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  IN_RP,      {7, C1, 2},     DROP, {0, 0},   1, ""},
};

/* Whose number a Call-Disconnect-Notify holds: the PAC's (RFC 2637), the PNS's (accel-ppp), that
 * one byte-swapped (accel-ppp), or anything where there is only one call. */
static const struct row disconnect_by_the_pacs_id[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    /* The server's own for its second call is what it is shown for the first: own goes first. */
    {FROM_SERVER,  OUT_RP,     {S1, S2, 1}, PASS, {S1, 8},  2, "opened; "},
    {FROM_SERVER,  DISCONNECT, {S1, 0, 3},  PASS, {S1, 0},  1, "ended: disconnected: result 3; "},
    {FROM_SERVER,  LINK_INFO,  {S1, 0, 0},  PASS, {7, 0},   1, ""},
    {FROM_SERVER,  LINK_INFO,  {S2, 0, 0},  DROP, {0, 0},   1, ""},
};
static const struct row disconnect_by_the_pnss_id[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {10, S2, 1}, PASS, {C2, 8},  2, "opened; "},
    {FROM_SERVER,  DISCONNECT, {S2, 0, 3},  PASS, {C2, 0},  1, "ended: disconnected: result 3; "},
    {FROM_SERVER,  LINK_INFO,  {S1, 0, 0},  PASS, {7, 0},   1, ""},
};
static const struct row disconnect_by_the_pnss_id_swapped[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {0x1234, 0, 0}, PASS, {0x1234, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {10, 0x1234, 1}, PASS, {C2, 0x1234}, 2, "opened; "},
    {FROM_SERVER,  DISCONNECT, {0x3412, 0, 3},  PASS, {C2, 0}, 1,
	"ended: disconnected: result 3; "},
    {FROM_SERVER,  LINK_INFO,  {S1, 0, 0},  PASS, {7, 0},   1, ""},
};
static const struct row disconnect_of_the_only_call[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {10, S2, 1}, PASS, {C2, 8},  2, "opened; "},
    /* Of two it could be either: it must not be passed on. */
    {FROM_SERVER,  DISCONNECT, {STRAY, 0, 3}, DROP, {0, 0}, 2, ""},
    {FROM_SERVER,  DISCONNECT, {9, 0, 3},   PASS, {C1, 0},  1, "ended: disconnected: result 3; "},
    {FROM_SERVER,  DISCONNECT, {STRAY, 0, 3}, PASS, {C2, 0}, 0, "ended: disconnected: result 3; "},
    {FROM_SERVER,  DISCONNECT, {10, 0, 3},  DROP, {0, 0},   0, ""},
};

/* Said twice: the call that is left is not the one that is meant. */
static const struct row disconnect_said_twice[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {10, S2, 1}, PASS, {C2, 8},  2, "opened; "},
    {FROM_SERVER,  DISCONNECT, {9, 0, 3},   PASS, {C1, 0},  1, "ended: disconnected: result 3; "},
    {FROM_SERVER,  DISCONNECT, {9, 0, 3},   DROP, {0, 0},   1, ""},
    {FROM_SERVER,  DISCONNECT, {S1, 0, 3},  DROP, {0, 0},   1, ""},
    {FROM_SERVER,  DISCONNECT, {10, 0, 3},  PASS, {C2, 0},  0, "ended: disconnected: result 3; "},
};

/* We end one of two calls; what comes about it later reaches nobody. */
static const struct row ended_by_us[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {10, S2, 1}, PASS, {C2, 8},  2, "opened; "},
    {BY_US,        0,          {7, 9, 0},   PASS, {C1, S1}, 1, "ended: by us; "},
    {FROM_CLIENT,  LINK_INFO,  {C1, 0, 0},  DROP, {0, 0},   1, ""},
    {FROM_SERVER,  WAN_ERROR,  {S1, 0, 0},  DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  CLEAR,      {7, 0, 0},   DROP, {0, 0},   1, ""},
    {FROM_SERVER,  DISCONNECT, {9, 0, 1},   TAKE, {0, 0},   1, ""},
    {FROM_SERVER,  DISCONNECT, {9, 0, 1},   DROP, {0, 0},   1, ""},
    {FROM_CLIENT,  LINK_INFO,  {C2, 0, 0},  PASS, {10, 0},  1, ""},
    {FROM_SERVER,  DISCONNECT, {10, 0, 4},  PASS, {C2, 0},  0, "ended: disconnected: result 4; "},
};
/* The PAC's answer, by whichever ID; what is left over is nobody's. */
static const struct row ended_by_us_notified_by_the_pnss_id[] = {
    {FROM_CLIENT,  OUT_RQ,     {0x1234, 0, 0},  PASS, {0x1234, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, 0x1234, 1},  PASS, {C1, 0x1234}, 1, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {10, S2, 1}, PASS, {C2, 8},  2, "opened; "},
    {FROM_CLIENT,  OUT_RQ,     {11, 0, 0},  PASS, {S3, 0},  3, ""},
    {BY_US,        0,          {0x1234, 9, 0}, PASS, {C1, 0x1234}, 2, "ended: by us; "},
    {FROM_SERVER,  DISCONNECT, {0x1234, 0, 1}, TAKE, {0, 0}, 2, ""},
    {FROM_SERVER,  DISCONNECT, {0x1234, 0, 1}, DROP, {0, 0}, 2, ""},
    {BY_US,        0,          {11, NONE, 0}, PASS, {NONE, S3}, 1, "ended: by us; "},
    {FROM_SERVER,  DISCONNECT, {STRAY, 0, 1}, TAKE, {0, 0}, 1, ""},
    {FROM_SERVER,  DISCONNECT, {STRAY, 0, 1}, PASS, {C2, 0}, 0, "ended: disconnected: result 1; "},
};
/* The PAC's own ID of the one call is what it is shown for the other. */
static const struct row ended_by_us_with_equal_ids[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {S2, S1, 1}, PASS, {S2, 7},  2, "opened; "},
    {FROM_SERVER,  OUT_RP,     {10, S2, 1}, PASS, {C2, 8},  2, "opened; "},
    {BY_US,        0,          {7, S2, 0},  PASS, {S2, S1}, 1, "ended: by us; "},
    {FROM_SERVER,  DISCONNECT, {S2, 0, 1},  TAKE, {0, 0},   1, ""},
    {FROM_SERVER,  DISCONNECT, {S2, 0, 1},  PASS, {C2, 0},  0, "ended: disconnected: result 1; "},
};
/* A PAC that does not answer, and uses its ID again: that is an answer, too. */
static const struct row ended_by_us_and_used_again[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {BY_US,        0,          {7, 9, 0},   PASS, {C1, S1}, 0, "ended: by us; "},
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S2, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S2, 1},  PASS, {C2, 7},  1, "opened; "},
    {FROM_SERVER,  DISCONNECT, {9, 0, 1},   PASS, {C2, 0},  0, "ended: disconnected: result 1; "},
};
static const struct row ended_by_us_and_asked_anew[] = {
    {FROM_SERVER,  IN_RQ,      {5, 0, 0},   PASS, {C1, 0},  1, ""},
    {FROM_CLIENT,  IN_RP,      {6, C1, 1},  PASS, {S1, 5},  1, "opened; "},
    {BY_US,        0,          {6, 5, 0},   PASS, {C1, S1}, 0, "ended: by us; "},
    {FROM_SERVER,  IN_RQ,      {5, 0, 0},   PASS, {C2, 0},  1, ""},
    {FROM_CLIENT,  IN_RP,      {6, C2, 1},  PASS, {S2, 5},  1, "opened; "},
    {FROM_SERVER,  DISCONNECT, {5, 0, 1},   PASS, {C2, 0},  0, "ended: disconnected: result 1; "},
};
/* The PAC says yes while we end the call: the Reply goes no further, but tells its ID. */
static const struct row ended_by_us_before_its_reply[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_CLIENT,  OUT_RQ,     {8, 0, 0},   PASS, {S2, 0},  2, ""},
    {FROM_SERVER,  OUT_RP,     {10, S2, 1}, PASS, {C2, 8},  2, "opened; "},
    {BY_US,        0,          {7, NONE, 0}, PASS, {NONE, S1}, 1, "ended: by us; "},
    {FROM_SERVER,  OUT_RP,     {S2, S1, 1}, DROP, {0, 0},   1, ""},
    {FROM_SERVER,  DISCONNECT, {S2, 0, 1},  TAKE, {0, 0},   1, ""},
    {FROM_CLIENT,  OUT_RQ,     {11, 0, 0},  PASS, {S3, 0},  2, ""},
    {BY_US,        0,          {11, NONE, 0}, PASS, {NONE, S3}, 1, "ended: by us; "},
    {FROM_SERVER,  OUT_RP,     {0, S3, 2},  DROP, {0, 0},   1, ""},
};
/* The PAC asked itself, so it has heard a refusal, and answers nothing. */
static const struct row ended_by_us_before_the_pnss_reply[] = {
    {FROM_SERVER,  IN_RQ,      {5, 0, 0},   PASS, {C1, 0},  1, ""},
    {BY_US,        0,          {NONE, 5, 0}, PASS, {C1, NONE}, 0, "ended: by us; "},
    {FROM_CLIENT,  IN_RP,      {6, C1, 1},  DROP, {0, 0},   0, ""},
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C2, 7},  1, "opened; "},
    {FROM_SERVER,  DISCONNECT, {STRAY, 0, 1}, PASS, {C2, 0}, 0, "ended: disconnected: result 1; "},
};

/* With two calls there; each ID names none, or one in another role. */
static const struct row ids_that_name_no_call[] = {
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_SERVER,  OUT_RP,     {9, S1, 1},  PASS, {C1, 7},  1, "opened; "},
    {FROM_SERVER,  IN_RQ,      {11, 0, 0},  PASS, {C2, 0},  2, ""},
    {FROM_CLIENT,  IN_RP,      {12, C2, 1}, PASS, {S2, 11}, 2, "opened; "},
    {FROM_CLIENT,  CLEAR,      {STRAY, 0, 0}, DROP, {0, 0}, 2, ""},
    {FROM_CLIENT,  CLEAR,      {9, 0, 0},   DROP, {0, 0},   2, ""},
    {FROM_CLIENT,  CLEAR,      {C1, 0, 0},  DROP, {0, 0},   2, ""},
    {FROM_CLIENT,  CLEAR,      {S1, 0, 0},  DROP, {0, 0},   2, ""},
    {FROM_SERVER,  CLEAR,      {7, 0, 0},   DROP, {0, 0},   2, ""},
    {FROM_SERVER,  CLEAR,      {STRAY, 0, 0}, DROP, {0, 0}, 2, ""},
    {FROM_CLIENT,  LINK_INFO,  {STRAY, 0, 0}, DROP, {0, 0}, 2, ""},
    {FROM_CLIENT,  LINK_INFO,  {7, 0, 0},   DROP, {0, 0},   2, ""},
    {FROM_CLIENT,  LINK_INFO,  {9, 0, 0},   DROP, {0, 0},   2, ""},
    {FROM_CLIENT,  LINK_INFO,  {S1, 0, 0},  DROP, {0, 0},   2, ""},
    {FROM_SERVER,  LINK_INFO,  {STRAY, 0, 0}, DROP, {0, 0}, 2, ""},
    {FROM_SERVER,  LINK_INFO,  {9, 0, 0},   DROP, {0, 0},   2, ""},
    {FROM_SERVER,  LINK_INFO,  {C1, 0, 0},  DROP, {0, 0},   2, ""},
    {FROM_SERVER,  WAN_ERROR,  {STRAY, 0, 0}, DROP, {0, 0}, 2, ""},
    {FROM_CLIENT,  WAN_ERROR,  {STRAY, 0, 0}, DROP, {0, 0}, 2, ""},
    {FROM_SERVER,  IN_CN,      {STRAY, 0, 0}, DROP, {0, 0}, 2, ""},
    {FROM_SERVER,  IN_CN,      {11, 0, 0},  DROP, {0, 0},   2, ""},
    {FROM_CLIENT,  IN_CN,      {STRAY, 0, 0}, DROP, {0, 0}, 2, ""},
    {FROM_SERVER,  DISCONNECT, {STRAY, 0, 4}, DROP, {0, 0}, 2, ""},
    {FROM_CLIENT,  DISCONNECT, {STRAY, 0, 4}, DROP, {0, 0}, 2, ""},
    {FROM_CLIENT,  OUT_RP,     {9, STRAY, 1}, DROP, {0, 0}, 2, ""},
    {FROM_CLIENT,  IN_RP,      {9, STRAY, 1}, DROP, {0, 0}, 2, ""},
};

/* Types that the RFC does not define; the numbers in them are nobody's. */
static const struct row unknown_types[] = {
    {FROM_CLIENT,  0,          {0, 0, 0},   PASS, {0, 0},   0, ""},
    {FROM_SERVER,  16,         {0, 0, 0},   PASS, {0, 0},   0, ""},
    {FROM_CLIENT,  OUT_RQ,     {7, 0, 0},   PASS, {S1, 0},  1, ""},
    {FROM_CLIENT,  99,         {0, 0, 0},   PASS, {0, 0},   1, ""},
    {FROM_SERVER,  0x0107,     {0, 0, 0},   PASS, {0, 0},   1, ""},
    {FROM_SERVER,  0xFFFF,     {0, 0, 0},   PASS, {0, 0},   1, ""},
};

#define SCRIPT(name, crowded) {#name, name, COUNT(name), crowded}
static const struct script {
	const char *name;
	const struct row *rows;
	size_t count;
	bool crowded;
} scripts[] = {
    SCRIPT(an_outgoing_call, true),
    SCRIPT(an_incoming_call, true),
    SCRIPT(a_call_before_its_reply, true),
    SCRIPT(several_calls, true),
    SCRIPT(equal_ids, true),
    SCRIPT(ids_that_are_kept, false),
    SCRIPT(id_zero, true),
    SCRIPT(a_callers_id_used_again, true),
    SCRIPT(a_callees_id_used_again, true),
    SCRIPT(refusals, true),
    SCRIPT(a_second_reply, true),
    SCRIPT(replies_that_answer_nothing, true),
    SCRIPT(disconnect_by_the_pacs_id, true),
    SCRIPT(disconnect_by_the_pnss_id, true),
    SCRIPT(disconnect_by_the_pnss_id_swapped, true),
    SCRIPT(disconnect_of_the_only_call, true),
    SCRIPT(disconnect_said_twice, true),
    SCRIPT(ended_by_us, true),
    SCRIPT(ended_by_us_notified_by_the_pnss_id, true),
    SCRIPT(ended_by_us_with_equal_ids, true),
    SCRIPT(ended_by_us_and_used_again, true),
    SCRIPT(ended_by_us_and_asked_anew, true),
    SCRIPT(ended_by_us_before_its_reply, true),
    SCRIPT(ended_by_us_before_the_pnss_reply, true),
    SCRIPT(ids_that_name_no_call, true),
    SCRIPT(unknown_types, true),
};
/* clang-format on */

static int32_t variables[VARIABLES_END - VARIABLE];

static uint16_t value_of(uint32_t symbol)
{
	if (symbol < VARIABLE)
		return (uint16_t)symbol;
	assert_true(variables[symbol - VARIABLE] >= 0);
	return (uint16_t)variables[symbol - VARIABLE];
}

/* What came out must be this ID; a variable that has no value takes this one. */
static bool matches(uint32_t symbol, uint16_t value)
{
	if (symbol >= VARIABLE && variables[symbol - VARIABLE] < 0) {
		bool is_new = value >= CROWD;
		bool is_servers = symbol <= S3;
		for (int i = is_servers ? 0 : C1 - S1; i < (is_servers ? C1 - S1 : C3 - S1 + 1);
		     i++)
			is_new = is_new && variables[i] != value;
		variables[symbol - VARIABLE] = value;
		return is_new;
	}
	return value_of(symbol) == value;
}

/* Which ID each end hears is in the last two octets of a refusal, else where a call's ID is. */
static bool is_told(const struct snoop_answer *answer, uint32_t symbol)
{
	struct pptp_header header;
	const char *why;
	assert_int_equal(pptp_wire_parse(answer->octets, answer->length, &header, &why), WIRE_OK);
	assert_int_equal(header.length, answer->length);
	bool is_refusal = header.type == OUT_RP || header.type == IN_RP;
	assert_int_equal(is_refusal, symbol == NONE);
	return is_refusal || matches(symbol, pptp_wire_at12(answer->octets));
}

static void play_our_end(const struct script *script, size_t number, bool mirrored)
{
	const struct row *row = &script->rows[number];
	uint32_t symbol = mirrored ? row->in.at14 : row->in.at12;
	struct snoop_answer answer[2];

	callid_ref call = call_snoop_find(snoop, symbol == NONE ? -1 : value_of(symbol));
	events.text[0] = '\0';
	if (call)
		call_snoop_end_one(snoop, call, 1, "by us", answer);
	if (!call || call_snoop_calls(snoop) != row->calls || strcmp(events.text, row->told) != 0 ||
	    !is_told(&answer[mirrored], row->out.at12) ||
	    !is_told(&answer[!mirrored], row->out.at14))
		fail_msg("%s%s, row %zu: %s, %zu calls", script->name,
			 mirrored ? " (mirrored)" : "", number, events.text,
			 call_snoop_calls(snoop));
}

static void play_row(const struct script *script, size_t number, bool mirrored)
{
	const struct row *row = &script->rows[number];
	if (row->from == BY_US) {
		play_our_end(script, number, mirrored);
		return;
	}
	enum callid_side from = mirrored ? callid_other(row->from) : row->from;
	struct fields in = {row->type, value_of(row->in.at12), value_of(row->in.at14),
			    row->in.result};
	uint8_t message[PPTP_MESSAGE_MAX], want[PPTP_MESSAGE_MAX];
	struct snoop_step step;

	/* On the heap and just as long, for the sanitizers. */
	size_t length = make(message, &in);
	uint8_t *octets = malloc(length);
	memcpy(octets, message, length);
	memset(&step, 0xA5, sizeof(step));
	events.text[0] = '\0';
	call_snoop_message(snoop, from, octets, length, 1, &step);
	memcpy(message, octets, length);
	free(octets);

	const char *where = mirrored ? " (mirrored)" : "";
	if (step.verdict != row->verdict)
		fail_msg("%s%s, row %zu: verdict %d, %s", script->name, where, number, step.verdict,
			 step.reason ? step.reason : "no reason");
	assert_int_equal(step.verdict == SNOOP_DROP, step.reason != NULL);
	assert_int_equal(step.answer[0].length, 0);
	assert_int_equal(step.answer[1].length, 0);
	if (strcmp(events.text, row->told) != 0)
		fail_msg("%s%s, row %zu: told \"%s\"", script->name, where, number, events.text);
	if (call_snoop_calls(snoop) != row->calls)
		fail_msg("%s%s, row %zu: %zu calls", script->name, where, number,
			 call_snoop_calls(snoop));
	if (step.verdict != SNOOP_PASS)
		return;
	call_snoop_written(snoop, from);

	const struct pptp_shape *shape = pptp_wire_shape(row->type);
	bool has12 = shape && shape->at12 != PPTP_ID_NONE;
	bool has14 = shape && shape->at14 != PPTP_ID_NONE;
	if ((has12 && !matches(row->out.at12, pptp_wire_at12(message))) ||
	    (has14 && !matches(row->out.at14, pptp_wire_at14(message))))
		fail_msg("%s%s, row %zu: IDs %u, %u", script->name, where, number,
			 pptp_wire_at12(message), pptp_wire_at14(message));
	/* Nothing else has changed. */
	make(want, &in);
	if (has12)
		memcpy(want + 12, message + 12, 2);
	if (has14)
		memcpy(want + 14, message + 14, 2);
	assert_memory_equal(message, want, length);
}

/* ---- over the end of a process ---- */

static struct kept *kept;
static int kept_fd = -1;

static void adopt(void *arg, callid_ref call, const struct callid_info *info)
{
	(void)arg;
	if (info->connection == 12)
		assert_int_equal(call_snoop_adopt(snoop, call, info), 0);
}

/* As another process does; the first time there is nothing to go on from. */
static void go_on(void)
{
	struct why why;
	if (kept)
		call_snoop_leave(snoop);
	else
		call_snoop_free(snoop);
	callid_db_free(db);
	kept_close(kept);
	if (kept_fd < 0)
		kept_fd = kept_create(&why);
	kept = kept_open(kept_fd, &why);
	assert_non_null(kept);
	db = callid_db_new(kept);
	snoop = call_snoop_new(db, legs, 12, &event_functions, &events);
	struct call_snoop_record *record = kept_section(kept, KEPT_CONTROL, sizeof(*record), 1);
	call_snoop_keep(snoop, kept, record, false);
	callid_db_each(db, adopt, NULL);
}

static void forget_kept(void)
{
	kept_close(kept);
	kept = NULL;
	close(kept_fd);
	kept_fd = -1;
}

static void play_with_restarts(const struct script *script, bool mirrored)
{
	set_up(NULL);
	go_on();
	if (script->crowded)
		crowd();
	memset(variables, -1, sizeof(variables));
	for (size_t i = 0; i < script->count; i++) {
		play_row(script, i, mirrored);
		go_on();
	}
	tear_down(NULL);
	forget_kept();
}

static void play(const struct script *script, bool mirrored)
{
	set_up(NULL);
	if (script->crowded)
		crowd();
	memset(variables, -1, sizeof(variables));
	for (size_t i = 0; i < script->count; i++)
		play_row(script, i, mirrored);
	tear_down(NULL);
}

static void scripted_exchanges(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++)
		play(&scripts[i], false);
}

/* The same with client and server in each other's place. */
static void scripted_exchanges_mirrored(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++)
		play(&scripts[i], true);
}

/* With another process behind each message. */
static void scripted_exchanges_with_restarts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		play_with_restarts(&scripts[i], false);
		play_with_restarts(&scripts[i], true);
	}
}

static void the_scripts_pass_each_type(void **state)
{
	(void)state;
	bool passes[PPTP_TYPE_MAX + 1] = {false};
	for (size_t i = 0; i < COUNT(scripts); i++) {
		for (size_t j = 0; j < scripts[i].count; j++) {
			const struct row *row = &scripts[i].rows[j];
			if (row->type <= PPTP_TYPE_MAX && row->verdict == SNOOP_PASS)
				passes[row->type] = true;
		}
	}
	for (int type = 1; type <= PPTP_TYPE_MAX; type++)
		assert_true(passes[type]);
}

/* ---- single messages ---- */

static struct snoop_step send(enum callid_side from, struct fields in, struct fields *out)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	struct snoop_step step;
	size_t length = make(message, &in);
	events.text[0] = '\0';
	call_snoop_message(snoop, from, message, length, 1, &step);
	if (out)
		*out = fields_of(message, length);
	return step;
}

static struct fields passed(enum callid_side from, struct fields in)
{
	struct fields out;
	struct snoop_step step = send(from, in, &out);
	if (step.verdict != SNOOP_PASS)
		fail_msg("type %u dropped: %s", in.type, step.reason);
	return out;
}

static void check_answer(const struct snoop_answer *answer, struct fields want)
{
	if (want.type == 0) {
		assert_int_equal(answer->length, 0);
		return;
	}
	assert_int_not_equal(answer->length, 0);
	struct fields got = fields_of(answer->octets, answer->length);
	assert_int_equal(got.type, want.type);
	assert_int_equal(got.at12, want.at12);
	assert_int_equal(got.at14, want.at14);
	assert_int_equal(got.result, want.result);
}

static const struct fields nothing = {0};

/* ---- no ID is left ---- */

static callid_ref *fill_ids_shown_to(enum callid_side side)
{
	callid_ref *calls = calloc(IDS, sizeof(*calls));
	for (uint32_t id = 0; id < IDS; id++) {
		struct callid_request request = {
		    .legs = {legs[0], legs[1]},
		    .caller = callid_other(side),
		    .caller_id = (uint16_t)id,
		};
		uint16_t shown;
		calls[id] = callid_db_reserve(db, &request, 1, &shown);
		assert_int_not_equal(calls[id], 0);
	}
	return calls;
}

/* The Request goes no further; its sender hears no from us. */
static void a_request_without_a_free_id_is_refused(void **state)
{
	(void)state;
	static const struct {
		uint16_t request;
		struct fields refusal;
	} cases[] = {
	    {OUT_RQ, {.type = OUT_RP, .at12 = 0, .at14 = 7, .result = 2}},
	    {IN_RQ, {.type = IN_RP, .at12 = 0, .at14 = 7, .result = 2}},
	};
	for (size_t i = 0; i < 4; i++) {
		enum callid_side from = i % 2 ? CLIENT : SERVER, to = callid_other(from);
		set_up(NULL);
		callid_ref *calls = fill_ids_shown_to(to);
		struct snoop_step step =
		    send(from, (struct fields){.type = cases[i / 2].request, .at12 = 7}, NULL);
		assert_int_equal(step.verdict, SNOOP_DROP);
		assert_int_equal(step.kind, REASON_NO_ID);
		assert_string_equal(step.reason, "none is free, call refused");
		check_answer(&step.answer[from], cases[i / 2].refusal);
		check_answer(&step.answer[to], nothing);
		assert_int_equal(call_snoop_calls(snoop), 0);
		assert_string_equal(events.text, "");
		/* One goes, and there is room again. */
		callid_db_end(db, calls[99], 1, NULL);
		struct fields out =
		    passed(from, (struct fields){.type = cases[i / 2].request, .at12 = 7});
		assert_int_equal(out.at12, 99);
		free(calls);
		tear_down(NULL);
	}
}

/* Whoever asks, and whatever for; calls that end make room. */
static void a_request_beyond_the_limit_is_refused(void **state)
{
	(void)state;
	call_snoop_set_max(snoop, 2);
	passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 1});
	passed(SERVER, (struct fields){.type = IN_RQ, .at12 = 2});
	for (int side = 0; side < 2; side++) {
		enum callid_side from = (enum callid_side)side;
		struct snoop_step step =
		    send(from, (struct fields){.type = OUT_RQ, .at12 = 7}, NULL);
		assert_int_equal(step.verdict, SNOOP_DROP);
		assert_int_equal(step.kind, REASON_MESSAGE_LIMIT);
		assert_string_equal(step.reason,
				    "more than 2 calls on one connection (--max-calls)");
		check_answer(&step.answer[from],
			     (struct fields){.type = OUT_RP, .at14 = 7, .result = 2});
		check_answer(&step.answer[callid_other(from)], nothing);
		assert_int_equal(call_snoop_calls(snoop), 2);
	}
	/* One that replaces its own is none more. */
	passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 1});
	call_snoop_set_max(snoop, 3);
	passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 3});
	call_snoop_end(snoop, 1, "over");
	passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7});
	call_snoop_set_max(snoop, 0);
	for (uint16_t id = 100; id < 200; id++)
		passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = id});
}

/* The callee has said yes: it is told that the call is over, the caller that there is none. */
static void a_reply_without_a_free_id_is_refused(void **state)
{
	(void)state;
	static const struct {
		uint16_t request, reply;
		struct fields to_caller;
		uint16_t to_callee;
		uint8_t to_callee_result;
	} cases[] = {
	    {OUT_RQ, OUT_RP, {.type = OUT_RP, .at14 = 7, .result = 2}, CLEAR, 0},
	    {IN_RQ, IN_RP, {.type = IN_RP, .at14 = 7, .result = 2}, DISCONNECT, 3},
	};
	for (size_t i = 0; i < 4; i++) {
		enum callid_side caller = i % 2 ? CLIENT : SERVER, callee = callid_other(caller);
		set_up(NULL);
		callid_ref *calls = fill_ids_shown_to(caller);
		struct fields request = {.type = cases[i / 2].request, .at12 = 7};
		uint16_t shown = passed(caller, request).at12;
		struct snoop_step step = send(
		    callee, (struct fields){cases[i / 2].reply, 9, shown, PPTP_RESULT_OK}, NULL);
		assert_int_equal(step.verdict, SNOOP_DROP);
		assert_int_equal(step.kind, REASON_NO_ID);
		assert_string_equal(step.reason, "none is free, call refused");
		check_answer(&step.answer[caller], cases[i / 2].to_caller);
		check_answer(&step.answer[callee],
			     (struct fields){.type = cases[i / 2].to_callee,
					     .at12 = shown,
					     .result = cases[i / 2].to_callee_result});
		assert_string_equal(events.text, "ended: no call ID; ");
		assert_int_equal(events.opened, 0);
		assert_int_equal(call_snoop_calls(snoop), 0);
		call_snoop_written(snoop, callee);
		free(calls);
		tear_down(NULL);
	}
}

/* ---- the way behind a Reply ---- */

static enum callid_answer packet_from(enum callid_side side, uint16_t call_id, size_t octets,
				      uint64_t now)
{
	struct callid_key key = {legs[side].proxy_addr, legs[side].peer_addr, call_id};
	struct callid_route route;
	callid_db_read_begin(db);
	enum callid_answer answer = callid_db_route(db, &key, octets, now, &route);
	callid_db_read_end(db);
	return answer;
}

static void the_callees_way_waits_until_the_reply_is_written(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		enum callid_side caller = (enum callid_side)side, callee = callid_other(caller);
		set_up(NULL);
		uint16_t to_callee =
		    passed(caller, (struct fields){.type = OUT_RQ, .at12 = 7}).at12;
		call_snoop_written(snoop, caller);
		assert_int_equal(packet_from(callee, to_callee, 1, 1), CALLID_HELD);
		uint16_t to_caller =
		    passed(callee, (struct fields){OUT_RP, 9, to_callee, PPTP_RESULT_OK}).at12;
		/* The way caller -> callee is open before the Reply is written. */
		assert_int_equal(packet_from(caller, to_caller, 1, 1), CALLID_ROUTE);
		assert_int_equal(packet_from(callee, to_callee, 1, 1), CALLID_HELD);
		/* What the caller sends in the meantime has nothing to do with it. */
		passed(caller, (struct fields){.type = ECHO_RQ});
		call_snoop_written(snoop, caller);
		assert_int_equal(packet_from(callee, to_callee, 1, 1), CALLID_HELD);
		call_snoop_written(snoop, callee);
		assert_int_equal(packet_from(callee, to_callee, 1, 1), CALLID_ROUTE);
		call_snoop_written(snoop, callee);
		assert_int_equal(packet_from(callee, to_callee, 1, 1), CALLID_ROUTE);
		tear_down(NULL);
	}
}

/* The process ends between a Reply's passing and its having been written. */
static void a_reply_that_the_next_process_writes(void **state)
{
	(void)state;
	set_up(NULL);
	go_on();
	uint16_t to_server = passed(CLIENT, (struct fields){.type = IN_RQ, .at12 = 7}).at12;
	passed(SERVER, (struct fields){IN_RP, 9, to_server, PPTP_RESULT_OK});
	go_on();
	assert_int_equal(packet_from(SERVER, to_server, 1, 1), CALLID_HELD);
	call_snoop_written(snoop, CLIENT);
	assert_int_equal(packet_from(SERVER, to_server, 1, 1), CALLID_HELD);
	call_snoop_written(snoop, SERVER);
	assert_int_equal(packet_from(SERVER, to_server, 1, 1), CALLID_ROUTE);
	go_on();
	assert_int_equal(packet_from(SERVER, to_server, 1, 1), CALLID_ROUTE);
	tear_down(NULL);
	forget_kept();
}

/* Whichever allocation it is that fails: what is half there ends with the connection's calls. */
static void a_call_that_there_is_no_memory_to_adopt(void **state)
{
	(void)state;
	unsigned failed = 0;
	uint16_t to_server = passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7}).at12;
	passed(SERVER, (struct fields){OUT_RP, 9, to_server, PPTP_RESULT_OK});
	callid_ref call = events.opened_call;
	struct callid_info info;
	assert_true(callid_db_get(db, call, &info));
	for (int result = -1, tries = 0; result != 0; tries++) {
		struct call_snoop *next = call_snoop_new(db, legs, 12, &event_functions, &events);
		no_memory_in = tries;
		result = call_snoop_adopt(next, call, &info);
		no_memory_in = -1;
		failed += result != 0;
		call_snoop_leave(next);
	}
	assert_int_equal(failed, 5); /* the call, and its four IDs */
	struct call_snoop *last = call_snoop_new(db, legs, 12, &event_functions, &events);
	no_memory_in = 2;
	assert_int_equal(call_snoop_adopt(last, call, &info), -1);
	assert_int_equal(call_snoop_calls(last), 1);
	call_snoop_end(last, 1, "no memory");
	assert_int_equal(events.ended, 1);
	assert_false(callid_db_get(db, call, &info));
	call_snoop_free(last);
}

/* What it knew before it was kept is in its record. */
static void a_connection_that_becomes_kept(void **state)
{
	(void)state;
	struct call_snoop_record record;
	memset(&record, 0xA5, sizeof(record));
	uint16_t s1 = passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7}).at12;
	passed(SERVER, (struct fields){OUT_RP, 9, s1, PPTP_RESULT_OK});
	passed(SERVER, (struct fields){.type = DISCONNECT, .at12 = 9, .result = 4});
	call_snoop_keep(snoop, NULL, &record, true);
	assert_int_equal(record.ended[CLIENT].count, 2);
	assert_int_equal(record.ended[SERVER].count, 2);
	assert_int_equal(record.ended[SERVER].ids[0], 9);
	assert_int_equal(record.ended[SERVER].ids[1], s1);
}

/* The call ends between its Reply's passing and its having been written. */
static void a_reply_written_after_its_call_has_ended(void **state)
{
	(void)state;
	uint16_t to_server = passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7}).at12;
	passed(SERVER, (struct fields){OUT_RP, 9, to_server, PPTP_RESULT_OK});
	passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7});
	assert_int_equal(events.ended, 1);
	call_snoop_written(snoop, SERVER);
	assert_int_equal(packet_from(SERVER, to_server, 1, 1), CALLID_NONE);
}

/* ---- other connections ---- */

/* Each other's IDs are nobody's: a client cannot end another's call. */
static void another_connections_ids_name_no_call(void **state)
{
	(void)state;
	struct call_snoop *first = snoop;
	struct call_snoop *second = call_snoop_new(db, legs, 13, &event_functions, &events);
	uint16_t s1 = passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7}).at12;
	uint16_t c1 = passed(SERVER, (struct fields){OUT_RP, 9, s1, PPTP_RESULT_OK}).at12;

	snoop = second;
	/* The same own IDs are another call, shown under other numbers. */
	uint16_t s2 = passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7}).at12;
	assert_int_not_equal(s1, s2);
	assert_int_equal(send(SERVER, (struct fields){OUT_RP, 9, s1, PPTP_RESULT_OK}, NULL).verdict,
			 SNOOP_DROP);
	uint16_t c2 = passed(SERVER, (struct fields){OUT_RP, 9, s2, PPTP_RESULT_OK}).at12;
	assert_int_not_equal(c1, c2);
	assert_int_equal(send(CLIENT, (struct fields){.type = LINK_INFO, .at12 = c1}, NULL).verdict,
			 SNOOP_DROP);
	assert_int_equal(send(SERVER, (struct fields){.type = LINK_INFO, .at12 = s1}, NULL).verdict,
			 SNOOP_DROP);
	struct fields out =
	    passed(SERVER, (struct fields){.type = DISCONNECT, .at12 = 9, .result = 4});
	assert_int_equal(out.at12, c2);
	assert_int_equal(call_snoop_calls(second), 0);
	assert_int_equal(call_snoop_calls(first), 1);
	call_snoop_free(second);
	snoop = first;
}

/* ---- events ---- */

static void the_end_is_told_with_the_counters(void **state)
{
	(void)state;
	uint16_t s1 = passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7}).at12;
	uint16_t c1 = passed(SERVER, (struct fields){OUT_RP, 9, s1, PPTP_RESULT_OK}).at12;
	call_snoop_written(snoop, SERVER);
	assert_int_equal(events.opened, 1);
	struct callid_info info;
	assert_true(callid_db_get(db, events.opened_call, &info));
	for (int i = 0; i < 5; i++)
		packet_from(SERVER, s1, 100, 2000);
	packet_from(CLIENT, c1, 60, 3000);

	passed(SERVER, (struct fields){.type = DISCONNECT, .at12 = 9, .result = 4});
	assert_int_equal(events.ended, 1);
	assert_int_equal(events.ended_info.connection, 12);
	assert_true(events.ended_info.open);
	assert_int_equal(events.ended_info.caller, CLIENT);
	assert_int_equal(events.ended_info.id[CLIENT], 7);
	assert_int_equal(events.ended_info.id[SERVER], 9);
	assert_int_equal(events.ended_info.shown[CLIENT], c1);
	assert_int_equal(events.ended_info.shown[SERVER], s1);
	assert_int_equal(events.ended_info.from[SERVER].packets, 5);
	assert_int_equal(events.ended_info.from[SERVER].octets, 500);
	assert_int_equal(events.ended_info.from[SERVER].seen_at, 2000);
	assert_int_equal(events.ended_info.from[CLIENT].packets, 1);
	assert_int_equal(events.ended_info.from[CLIENT].octets, 60);
	assert_false(callid_db_get(db, events.opened_call, &info));
}

static void ending_the_connection_ends_each_call(void **state)
{
	(void)state;
	for (uint16_t id = 1; id <= 50; id++) {
		uint16_t shown = passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = id}).at12;
		if (id % 2)
			passed(SERVER, (struct fields){OUT_RP, id, shown, PPTP_RESULT_OK});
	}
	events.text[0] = '\0';
	struct callid_totals totals;
	while (call_snoop_calls(snoop) > 1) {
		events.text[0] = '\0';
		uint16_t last = (uint16_t)(51 - call_snoop_calls(snoop));
		/* By hand, for the order; then the last two at once. */
		if (call_snoop_calls(snoop) == 2)
			break;
		passed(CLIENT, (struct fields){.type = DISCONNECT, .at12 = last, .result = 1});
	}
	call_snoop_end(snoop, 77, "the client closed");
	assert_string_equal(events.text, "ended: the client closed; ended: the client closed; ");
	assert_int_equal(events.ended, 50);
	assert_int_equal(call_snoop_calls(snoop), 0);
	callid_db_totals(db, &totals);
	assert_int_equal(totals.calls, 0);
	assert_int_equal(totals.closing, 75);
	callid_db_expire(db, 77 + CALLID_QUARANTINE_MS);
	callid_db_totals(db, &totals);
	assert_int_equal(totals.closing, 0);
	call_snoop_end(snoop, 78, "again");
	assert_int_equal(events.ended, 50);
	call_snoop_free(NULL);
}

/* ---- farewell ---- */

static struct {
	enum callid_side to;
	struct fields fields;
} said[32];
static size_t said_count;

static void say(enum callid_side to, const uint8_t *message, size_t length)
{
	assert_true(said_count < COUNT(said));
	said[said_count].to = to;
	said[said_count].fields = fields_of(message, length);
	if (said[said_count].fields.type == STOP_RQ)
		said[said_count].fields.result = message[12];
	said_count++;
}

static void say_all(void)
{
	uint8_t message[PPTP_ANSWER_MAX];
	size_t length;
	said_count = 0;
	for (int side = 0; side < 2; side++) {
		while ((length = call_snoop_farewell(snoop, (enum callid_side)side, message)) > 0)
			say((enum callid_side)side, message, length);
		assert_int_equal(call_snoop_farewell(snoop, (enum callid_side)side, message), 0);
	}
}

static void check_said(size_t number, enum callid_side to, uint16_t type, uint16_t at12,
		       uint16_t at14)
{
	assert_true(number < said_count);
	assert_int_equal(said[number].to, to);
	assert_int_equal(said[number].fields.type, type);
	assert_int_equal(said[number].fields.at12, at12);
	assert_int_equal(said[number].fields.at14, at14);
	static const uint8_t results[PPTP_TYPE_MAX + 1] = {
	    [STOP_RQ] = 3, [DISCONNECT] = 3, [OUT_RP] = 2, [IN_RP] = 2};
	assert_int_equal(said[number].fields.result, results[type]);
}

/* RFC 2637 wants a Reply; the caller could not know the call by the callee's ID. */
static void a_disconnect_instead_of_a_reply_refuses_the_call(void **state)
{
	(void)state;
	static const uint16_t requests[] = {OUT_RQ, IN_RQ}, replies[] = {OUT_RP, IN_RP};
	for (int i = 0; i < 4; i++) {
		enum callid_side caller = (enum callid_side)(i % 2), callee = callid_other(caller);
		set_up(NULL);
		uint16_t shown =
		    passed(caller, (struct fields){.type = requests[i / 2], .at12 = 7}).at12;
		struct fields in = {.type = DISCONNECT, .at12 = shown, .result = 4};
		uint8_t message[PPTP_MESSAGE_MAX];
		struct snoop_step step;
		events.text[0] = '\0';
		call_snoop_message(snoop, callee, message, make(message, &in), 1, &step);
		assert_int_equal(step.verdict, SNOOP_DROP);
		check_answer(&step.answer[caller],
			     (struct fields){.type = replies[i / 2], .at14 = 7, .result = 2});
		assert_int_equal(step.answer[callee].length, 0);
		assert_string_equal(events.text, "ended: disconnected: result 4; ");
		assert_int_equal(call_snoop_calls(snoop), 0);
		tear_down(NULL);
	}
}

/* ---- one call's end, by our word ---- */

static void ending(int32_t client_id, struct snoop_answer answer[2])
{
	callid_ref call = call_snoop_find(snoop, client_id);
	assert_int_not_equal(call, 0);
	call_snoop_end_one(snoop, call, 1, "by us", answer);
}

/* As octets: what the PNS and the PAC of an outgoing and of an incoming call are told. */
static void each_role_is_told_of_our_end(void **state)
{
	(void)state;
	static const uint8_t clear[16] = {0, 16, 0, 1, 0x1A, 0x2B, 0x3C, 0x4D, 0, 12, 0, 0, 0, 7};
	static const uint8_t disconnect[148] = {0, 148, 0, 1, 0x1A, 0x2B, 0x3C, 0x4D,
						0, 13,	0, 0, 0,    9,	  3};
	static const uint8_t out_refusal[32] = {0, 32, 0, 1, 0x1A, 0x2B, 0x3C, 0x4D, 0,
						8, 0,  0, 0, 0,	   0,	 7,    2,    4};
	static const uint8_t in_refusal[24] = {0,  24, 0, 1, 0x1A, 0x2B, 0x3C, 0x4D, 0,
					       10, 0,  0, 0, 0,	   0,	 7,    2,    4};
	static const struct {
		uint16_t request, reply;
		struct {
			const uint8_t *octets;
			size_t length;
		} open[2], reserved[2]; /* to the caller, to the callee */
	} cases[] = {
	    {OUT_RQ,
	     OUT_RP,
	     {{disconnect, sizeof(disconnect)}, {clear, sizeof(clear)}},
	     {{out_refusal, sizeof(out_refusal)}, {clear, sizeof(clear)}}},
	    /* The callee, a PNS, is shown the 7; the caller, a PAC, the 9. */
	    {IN_RQ, IN_RP, {{NULL, 0}, {NULL, 0}}, {{in_refusal, sizeof(in_refusal)}, {NULL, 0}}},
	};
	for (size_t i = 0; i < 8; i++) {
		enum callid_side caller = (enum callid_side)(i & 1), callee = callid_other(caller);
		bool opened = i & 2, incoming = i & 4;
		uint8_t clear_9[16], disconnect_7[148];
		struct snoop_answer answer[2];
		memcpy(clear_9, clear, sizeof(clear));
		memcpy(disconnect_7, disconnect, sizeof(disconnect));
		clear_9[13] = 9;
		disconnect_7[13] = 7;

		set_up(NULL);
		passed(caller, (struct fields){.type = cases[incoming].request, .at12 = 7});
		if (opened)
			passed(callee, (struct fields){cases[incoming].reply, 9, 7, 1});
		ending(caller == CLIENT ? 7 : opened ? 9 : -1, answer);
		const uint8_t *to_caller = opened ? cases[incoming].open[0].octets
						  : cases[incoming].reserved[0].octets,
			      *to_callee = cases[incoming].open[1].octets;
		size_t caller_length = opened ? cases[incoming].open[0].length
					      : cases[incoming].reserved[0].length,
		       callee_length = cases[incoming].open[1].length;
		if (incoming && opened) {
			to_caller = clear_9;
			caller_length = sizeof(clear_9);
		}
		if (incoming) {
			to_callee = disconnect_7;
			callee_length = sizeof(disconnect_7);
		}
		assert_int_equal(answer[caller].length, caller_length);
		assert_memory_equal(answer[caller].octets, to_caller, caller_length);
		assert_int_equal(answer[callee].length, callee_length);
		assert_memory_equal(answer[callee].octets, to_callee, callee_length);
		assert_int_equal(events.ended, 1);
		assert_int_equal(packet_from(callee, 7, 1, 1), CALLID_NONE);
		tear_down(NULL);
	}
}

static void calls_are_found_by_the_clients_id(void **state)
{
	(void)state;
	struct callid_info info;
	assert_int_equal(call_snoop_find(snoop, 7), 0);
	assert_int_equal(call_snoop_find(snoop, -1), 0);
	passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 7});
	assert_int_equal(call_snoop_find(snoop, -1), 0);
	uint16_t shown = passed(SERVER, (struct fields){.type = IN_RQ, .at12 = 5}).at12;
	assert_true(callid_db_get(db, call_snoop_find(snoop, 7), &info));
	assert_int_equal(info.id[CLIENT], 7);
	assert_true(callid_db_get(db, call_snoop_find(snoop, -1), &info));
	assert_int_equal(info.id[SERVER], 5);
	assert_int_equal(call_snoop_find(snoop, 5), 0);
	assert_int_equal(call_snoop_unassigned(snoop), 1);
	/* Of two it might be either. */
	passed(SERVER, (struct fields){.type = IN_RQ, .at12 = 6});
	assert_int_equal(call_snoop_find(snoop, -1), 0);
	assert_int_equal(call_snoop_unassigned(snoop), 2);
	passed(CLIENT, (struct fields){IN_RP, 8, shown, PPTP_RESULT_OK});
	assert_true(callid_db_get(db, call_snoop_find(snoop, -1), &info));
	assert_int_equal(info.id[SERVER], 6);
	assert_true(callid_db_get(db, call_snoop_find(snoop, 8), &info));
	assert_int_equal(info.id[SERVER], 5);
}

static enum snoop_verdict disconnected_at(uint16_t id, uint64_t now)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	struct snoop_step step;
	struct fields in = {.type = DISCONNECT, .at12 = id, .result = 1};
	call_snoop_message(snoop, SERVER, message, make(message, &in), now, &step);
	return step.verdict;
}

/* Who has not answered for half a minute means something else. */
static void an_answer_is_not_waited_for_for_ever(void **state)
{
	(void)state;
	struct snoop_answer answer[2];
	for (int late = 0; late < 2; late++) {
		set_up(NULL);
		for (uint16_t id = 1; id <= 2; id++) {
			passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = id});
			passed(SERVER, (struct fields){OUT_RP, (uint16_t)(20 + id), id, 1});
		}
		ending(1, answer);
		assert_int_equal(disconnected_at(STRAY, late ? 30001 : 30000),
				 late ? SNOOP_PASS : SNOOP_TAKE);
		assert_int_equal(call_snoop_calls(snoop), late ? 0 : 1);
		tear_down(NULL);
	}
}

/* Of more than are remembered the first ones count as any ended call. */
static void many_answers_are_waited_for(void **state)
{
	(void)state;
	enum { MANY = CALL_SNOOP_CLEARED_KEPT + 2 };
	struct snoop_answer answer[2];
	for (uint16_t id = 0; id < MANY; id++) {
		passed(CLIENT, (struct fields){.type = OUT_RQ, .at12 = 100 + id});
		passed(SERVER, (struct fields){OUT_RP, 200 + id, 100 + id, PPTP_RESULT_OK});
	}
	for (uint16_t id = 0; id < MANY; id++)
		ending(100 + id, answer);
	for (uint16_t id = 2; id < MANY; id++)
		assert_int_equal(disconnected_at(200 + id, 2), SNOOP_TAKE);
	assert_int_equal(disconnected_at(200, 2), SNOOP_DROP);
}

static void farewell_without_calls(void **state)
{
	(void)state;
	say_all();
	assert_int_equal(said_count, 2);
	check_said(0, CLIENT, STOP_RQ, 0, 0);
	check_said(1, SERVER, STOP_RQ, 0, 0);
}

/* Each end hears what its peer would have said: the PNS a Call-Disconnect-Notify, the PAC a
 * Call-Clear-Request, and a caller that still waits for it a refusing Reply. */
static void farewell_to_each_role(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		enum callid_side pns = (enum callid_side)side, pac = callid_other(pns);
		uint16_t to_pac[4], to_pns[4];
		set_up(NULL);
		crowd();
		/* Outgoing, open; outgoing, pending; incoming, open; incoming, pending. */
		to_pac[0] = passed(pns, (struct fields){.type = OUT_RQ, .at12 = 1}).at12;
		to_pns[0] = passed(pac, (struct fields){OUT_RP, 2, to_pac[0], 1}).at12;
		to_pac[1] = passed(pns, (struct fields){.type = OUT_RQ, .at12 = 3}).at12;
		to_pns[2] = passed(pac, (struct fields){.type = IN_RQ, .at12 = 4}).at12;
		to_pac[2] = passed(pns, (struct fields){IN_RP, 5, to_pns[2], 1}).at12;
		to_pns[3] = passed(pac, (struct fields){.type = IN_RQ, .at12 = 6}).at12;

		say_all();
		assert_int_equal(said_count, 10);
		size_t n = pns == CLIENT ? 0 : 5, c = pns == CLIENT ? 5 : 0;
		check_said(n + 0, pns, DISCONNECT, to_pns[0], 0);
		check_said(n + 1, pns, OUT_RP, 0, 3);
		check_said(n + 2, pns, DISCONNECT, to_pns[2], 0);
		check_said(n + 3, pns, DISCONNECT, to_pns[3], 0);
		check_said(n + 4, pns, STOP_RQ, 0, 0);
		check_said(c + 0, pac, CLEAR, to_pac[0], 0);
		check_said(c + 1, pac, CLEAR, to_pac[1], 0);
		check_said(c + 2, pac, CLEAR, to_pac[2], 0);
		check_said(c + 3, pac, IN_RP, 0, 6);
		check_said(c + 4, pac, STOP_RQ, 0, 0);
		/* It only says; nothing has changed. */
		assert_int_equal(call_snoop_calls(snoop), 4);
		tear_down(NULL);
	}
}

/* ---- a random run against a model ---- */

/*
 * Three connections, two of them between the same addresses, the third with another client at the
 * same server; messages of every type with IDs that are right, nearly right and wrong. The model
 * knows calls as a flat list, and of the table only which IDs are taken or resting.
 */
enum { CONNECTIONS = 3, CALLS_MAX = 24, SPACES = 2 };

struct model_call {
	bool live, open, incoming;
	enum callid_side caller;
	uint16_t own[2], shown[2];
};

struct resting {
	int space;
	uint16_t id;
	uint64_t since;
};

static struct {
	uint64_t seed;
	uint64_t random;
	uint64_t now;
	struct call_snoop *snoops[CONNECTIONS];
	struct model_call calls[CONNECTIONS][CALLS_MAX];
	enum { FREE, LIVE, RESTING } ids[SPACES][IDS];
	struct resting rests[1 << 16]; /* a ring */
	uint32_t first_rest, end_rest;
	struct {
		uint16_t ids[16]; /* a ring: by which that side knew calls that have ended */
		unsigned count;
	} gone[CONNECTIONS][2];
	size_t live, resting;
	unsigned opened, ended;
} model;

static const struct callid_leg model_legs[CONNECTIONS][2] = {
    {{0x0A000001, 0x0A000002}, {0xC0000201, 0xC0000202}},
    {{0x0A000001, 0x0A000003}, {0xC0000201, 0xC0000202}},
    {{0x0A000001, 0x0A000002}, {0xC0000201, 0xC0000202}},
};

/* All three show their clients IDs from one address of ours, and their server from another. */
static int space_of(int connection, enum callid_side side)
{
	(void)connection;
	return side;
}

static uint32_t draw(uint32_t below)
{
	model.random ^= model.random << 13;
	model.random ^= model.random >> 7;
	model.random ^= model.random << 17;
	return (uint32_t)(model.random >> 20) % below;
}

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("seed %llu, line %d: %s", (unsigned long long)model.seed,         \
				 __LINE__, #condition);                                            \
	} while (0)

static bool has_own(const struct model_call *call, enum callid_side side)
{
	return call->live && (call->open || side == call->caller);
}

static bool has_shown(const struct model_call *call, enum callid_side side)
{
	return call->live && (call->open || side != call->caller);
}

static struct model_call *model_own(int connection, enum callid_side side, uint16_t id)
{
	for (int i = 0; i < CALLS_MAX; i++) {
		struct model_call *call = &model.calls[connection][i];
		if (has_own(call, side) && call->own[side] == id)
			return call;
	}
	return NULL;
}

static struct model_call *model_shown(int connection, enum callid_side side, uint16_t id)
{
	for (int i = 0; i < CALLS_MAX; i++) {
		struct model_call *call = &model.calls[connection][i];
		if (has_shown(call, side) && call->shown[side] == id)
			return call;
	}
	return NULL;
}

static struct model_call *model_only(int connection)
{
	struct model_call *only = NULL;
	unsigned count = 0;
	for (int i = 0; i < CALLS_MAX; i++) {
		if (model.calls[connection][i].live) {
			only = &model.calls[connection][i];
			count++;
		}
	}
	return count == 1 ? only : NULL;
}

static size_t model_count(int connection)
{
	size_t count = 0;
	for (int i = 0; i < CALLS_MAX; i++)
		count += model.calls[connection][i].live;
	return count;
}

static void model_gone(int connection, int side, uint16_t id)
{
	model.gone[connection][side].ids[model.gone[connection][side].count++ % 16] = id;
}

static bool model_is_gone(int connection, enum callid_side side, uint16_t id)
{
	for (unsigned i = 0; i < 16 && i < model.gone[connection][side].count; i++) {
		if (model.gone[connection][side].ids[i] == id)
			return true;
	}
	return false;
}

static void model_end(int connection, struct model_call *call)
{
	for (int side = 0; side < 2; side++) {
		if (has_own(call, (enum callid_side)side))
			model_gone(connection, side, call->own[side]);
		if (has_shown(call, (enum callid_side)side))
			model_gone(connection, side, call->shown[side]);
		if (!has_shown(call, (enum callid_side)side))
			continue;
		int space = space_of(connection, (enum callid_side)side);
		model.ids[space][call->shown[side]] = RESTING;
		model.rests[model.end_rest++ % COUNT(model.rests)] =
		    (struct resting){space, call->shown[side], model.now};
		model.resting++;
	}
	call->live = false;
	model.live--;
	model.ended++;
}

static void model_expire(void)
{
	callid_db_expire(db, model.now);
	while (model.first_rest != model.end_rest) {
		struct resting *rest = &model.rests[model.first_rest % COUNT(model.rests)];
		if (model.now - rest->since < CALLID_QUARANTINE_MS)
			return;
		model.ids[rest->space][rest->id] = FREE;
		model.first_rest++;
		model.resting--;
	}
}

/* An ID that was shown first now: kept where it was free, else another, free and not 0. */
static void model_show(int connection, enum callid_side side, uint16_t preferred, uint16_t shown)
{
	int space = space_of(connection, side);
	if (model.ids[space][preferred] == FREE) {
		EXPECT(shown == preferred);
	} else {
		EXPECT(shown != 0);
		EXPECT(model.ids[space][shown] == FREE);
	}
	model.ids[space][shown] = LIVE;
}

/* ---- what must come of a message ---- */

struct prediction {
	bool pass;
	bool new12; /* the ID that is shown there is chosen now, for... */
	struct model_call *call;
	uint16_t at12, at14;
	bool ends;
};

static struct prediction predict_request(int connection, enum callid_side from,
					 const struct fields *in)
{
	struct model_call *dead = model_own(connection, from, in->at12), *call;
	if (dead)
		model_end(connection, dead);
	for (call = model.calls[connection]; call->live; call++)
		assert_true(call < model.calls[connection] + CALLS_MAX - 1);
	*call = (struct model_call){.live = true, .incoming = in->type == IN_RQ, .caller = from};
	call->own[from] = in->at12;
	model.live++;
	return (struct prediction){.pass = true, .new12 = true, .call = call};
}

static struct prediction predict_reply(int connection, enum callid_side from,
				       const struct fields *in)
{
	struct model_call *call = model_shown(connection, from, in->at14);
	if (!call || call->caller == from || call->incoming != (in->type == IN_RP))
		return (struct prediction){.pass = false};
	struct prediction yes = {.pass = true, .call = call, .at14 = call->own[call->caller]};
	if (in->result != 1) {
		yes.at12 = in->at12;
		yes.ends = true;
		return yes;
	}
	if (call->open) {
		yes.pass = call->own[from] == in->at12;
		yes.at12 = call->shown[call->caller];
		return yes;
	}
	struct model_call *dead = model_own(connection, from, in->at12);
	if (dead)
		model_end(connection, dead);
	call->open = true;
	call->own[from] = in->at12;
	model.opened++;
	yes.new12 = true;
	return yes;
}

static struct prediction predict_disconnect(int connection, enum callid_side from,
					    const struct fields *in)
{
	enum callid_side to = callid_other(from);
	uint16_t swapped = (uint16_t)(in->at12 << 8 | in->at12 >> 8);
	struct model_call *call = model_own(connection, from, in->at12);
	if (!call)
		call = model_shown(connection, from, in->at12);
	if (!call && model_is_gone(connection, from, in->at12))
		return (struct prediction){.pass = false};
	if (!call)
		call = model_shown(connection, from, swapped);
	if (!call)
		call = model_only(connection);
	if (!call)
		return (struct prediction){.pass = false};
	if (!has_shown(call, to))
		return (struct prediction){.pass = false, .call = call, .ends = true};
	return (struct prediction){
	    .pass = true, .call = call, .at12 = call->shown[to], .ends = true};
}

static struct prediction predict(int connection, enum callid_side from, const struct fields *in)
{
	enum callid_side to = callid_other(from);
	struct model_call *call;
	switch (in->type) {
	case OUT_RQ:
	case IN_RQ:
		return predict_request(connection, from, in);
	case OUT_RP:
	case IN_RP:
		return predict_reply(connection, from, in);
	case DISCONNECT:
		return predict_disconnect(connection, from, in);
	case CLEAR:
		call = model_own(connection, from, in->at12);
		return (struct prediction){
		    .pass = call, .call = call, .at12 = call ? call->shown[to] : 0};
	case IN_CN:
	case WAN_ERROR:
	case LINK_INFO:
		call = model_shown(connection, from, in->at12);
		return (struct prediction){
		    .pass = call, .call = call, .at12 = call ? call->own[to] : 0};
	default:
		return (struct prediction){.pass = true};
	}
}

/* ---- one step ---- */

/* Half of the time one that names a call in this or another role, or on another connection. */
static uint16_t draw_id(int connection)
{
	const struct model_call *call =
	    &model.calls[draw(8) ? connection : (int)draw(CONNECTIONS)][draw(CALLS_MAX)];
	switch (draw(8)) {
	case 0:
	case 1:
		return (uint16_t)draw(12);
	case 2:
		return (uint16_t)draw(IDS);
	case 3:
	case 4:
		return call->own[draw(2)];
	case 5: {
		uint16_t id = call->shown[draw(2)];
		return (uint16_t)(id << 8 | id >> 8);
	}
	default:
		return call->shown[draw(2)];
	}
}

static uint16_t draw_type(int connection)
{
	static const uint16_t setting_up[] = {OUT_RQ, IN_RQ, OUT_RP, IN_RP, OUT_RP, IN_RP};
	uint16_t type = draw(2) ? setting_up[draw(COUNT(setting_up))] : (uint16_t)draw(17);
	bool is_request = type == OUT_RQ || type == IN_RQ;
	return is_request && model_count(connection) >= CALLS_MAX - 2 ? DISCONNECT : type;
}

static void check_ways(int connection, const struct model_call *call)
{
	const struct callid_leg *leg = model_legs[connection];
	for (int i = 0; i < 2; i++) {
		enum callid_side side = (enum callid_side)i, other = callid_other(side);
		if (!has_shown(call, side))
			continue;
		struct callid_key key = {leg[side].proxy_addr, leg[side].peer_addr,
					 call->shown[side]};
		struct callid_route route;
		callid_db_read_begin(db);
		enum callid_answer answer = callid_db_route(db, &key, 1, model.now, &route);
		callid_db_read_end(db);
		EXPECT(answer == (call->open ? CALLID_ROUTE : CALLID_HELD));
		EXPECT(route.proxy_addr == leg[other].proxy_addr);
		EXPECT(route.peer_addr == leg[other].peer_addr);
		EXPECT(route.call_id == call->own[other]);
		EXPECT(route.from == side);
		EXPECT(model.ids[space_of(connection, side)][call->shown[side]] == LIVE);
	}
}

/* No two live calls of a space share an ID. */
static void check_all(void)
{
	static uint8_t users[SPACES][IDS];
	memset(users, 0, sizeof(users));
	for (int c = 0; c < CONNECTIONS; c++) {
		for (int i = 0; i < CALLS_MAX; i++) {
			const struct model_call *call = &model.calls[c][i];
			check_ways(c, call);
			for (int side = 0; side < 2; side++) {
				if (has_shown(call, (enum callid_side)side))
					EXPECT(++users[space_of(c, (enum callid_side)side)]
						      [call->shown[side]] == 1);
			}
		}
	}
}

static void check_outcome(int connection, enum callid_side from, const struct fields *in,
			  struct prediction *want, const uint8_t *message)
{
	const struct pptp_shape *shape = pptp_wire_shape(in->type);
	uint8_t expected[PPTP_MESSAGE_MAX];
	size_t length = make(expected, in);
	if (want->new12) {
		enum callid_side to = callid_other(from);
		uint16_t shown = pptp_wire_at12(message);
		model_show(connection, to, in->at12, shown);
		want->call->shown[to] = want->at12 = shown;
	}
	if (shape && shape->at12 != PPTP_ID_NONE)
		pptp_wire_set12(expected, want->at12);
	if (shape && shape->at14 != PPTP_ID_NONE)
		pptp_wire_set14(expected, want->at14);
	EXPECT(memcmp(expected, message, length) == 0);
}

static void random_step(void)
{
	int connection = (int)draw(CONNECTIONS);
	enum callid_side from = draw(2) ? CLIENT : SERVER;
	struct fields in = {
	    .type = draw_type(connection),
	    .at12 = draw_id(connection),
	    .at14 = draw_id(connection),
	    .result = draw(8) ? 1 : (uint8_t)draw(8),
	};
	uint8_t message[PPTP_MESSAGE_MAX];
	struct snoop_step step;
	size_t length = make(message, &in);

	model.now += draw(200);
	if (draw(40) == 0)
		model_expire();
	struct prediction want = predict(connection, from, &in);
	events.text[0] = '\0';
	call_snoop_message(model.snoops[connection], from, message, length, model.now, &step);
	EXPECT(step.verdict == (want.pass ? SNOOP_PASS : SNOOP_DROP));
	EXPECT((step.reason == NULL) == want.pass);
	for (int side = 0; side < 2; side++) {
		bool refused =
		    want.ends && !want.pass && (enum callid_side)side == want.call->caller;
		EXPECT((step.answer[side].length > 0) == refused);
	}
	if (want.ends && !want.pass)
		model_end(connection, want.call);
	if (want.pass) {
		check_outcome(connection, from, &in, &want, message);
		call_snoop_written(model.snoops[connection], from);
		if (want.ends)
			model_end(connection, want.call);
		else if (want.call)
			check_ways(connection, want.call);
	}

	struct callid_totals totals;
	callid_db_totals(db, &totals);
	EXPECT(totals.calls == model.live);
	EXPECT(totals.closing == model.resting);
	EXPECT(call_snoop_calls(model.snoops[connection]) == model_count(connection));
	EXPECT(events.opened == model.opened);
	EXPECT(events.ended == model.ended);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* SNOOP_SEED and SNOOP_STEPS repeat a run, or make it longer. */
static void a_random_run_agrees_with_the_model(void **state)
{
	(void)state;
	uint64_t steps = number_from("SNOOP_STEPS", 200000);
	memset(&model, 0, sizeof(model));
	model.seed = number_from("SNOOP_SEED", (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid());
	model.random = model.seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
	model.now = 1;
	for (int i = 0; i < CONNECTIONS; i++) {
		model.snoops[i] =
		    call_snoop_new(db, model_legs[i], (uint64_t)i, &event_functions, &events);
		assert_non_null(model.snoops[i]);
	}
	for (uint64_t i = 0; i < steps; i++) {
		random_step();
		if (i % 1000 == 0)
			check_all();
		/* Now and then a connection goes. */
		if (draw(2000) == 0) {
			int connection = (int)draw(CONNECTIONS);
			events.text[0] = '\0';
			for (int c = 0; c < CALLS_MAX; c++) {
				if (model.calls[connection][c].live)
					model_end(connection, &model.calls[connection][c]);
			}
			call_snoop_end(model.snoops[connection], model.now, "");
			EXPECT(call_snoop_calls(model.snoops[connection]) == 0);
			call_snoop_free(model.snoops[connection]);
			model.snoops[connection] =
			    call_snoop_new(db, model_legs[connection], (uint64_t)connection,
					   &event_functions, &events);
			memset(model.gone[connection], 0, sizeof(model.gone[connection]));
		}
	}
	/* It was no idle run. */
	if (steps >= 1000)
		EXPECT(model.opened > steps / 100 && model.ended > steps / 100);
	for (int i = 0; i < CONNECTIONS; i++) {
		events.text[0] = '\0';
		call_snoop_end(model.snoops[i], model.now, "");
		call_snoop_free(model.snoops[i]);
	}
	callid_db_expire(db, model.now + CALLID_QUARANTINE_MS);
	struct callid_totals totals;
	callid_db_totals(db, &totals);
	EXPECT(totals.calls == 0 && totals.closing == 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(scripted_exchanges),
	    cmocka_unit_test(scripted_exchanges_mirrored),
	    cmocka_unit_test(scripted_exchanges_with_restarts),
	    cmocka_unit_test(the_scripts_pass_each_type),
	    cmocka_unit_test(a_request_without_a_free_id_is_refused),
	    CASE(a_request_beyond_the_limit_is_refused),
	    cmocka_unit_test(a_reply_without_a_free_id_is_refused),
	    cmocka_unit_test(the_callees_way_waits_until_the_reply_is_written),
	    CASE(a_reply_written_after_its_call_has_ended),
	    cmocka_unit_test(a_reply_that_the_next_process_writes),
	    CASE(a_connection_that_becomes_kept),
	    CASE(a_call_that_there_is_no_memory_to_adopt),
	    CASE(another_connections_ids_name_no_call),
	    CASE(the_end_is_told_with_the_counters),
	    CASE(ending_the_connection_ends_each_call),
	    cmocka_unit_test(a_disconnect_instead_of_a_reply_refuses_the_call),
	    cmocka_unit_test(each_role_is_told_of_our_end),
	    CASE(calls_are_found_by_the_clients_id),
	    cmocka_unit_test(an_answer_is_not_waited_for_for_ever),
	    CASE(many_answers_are_waited_for),
	    CASE(farewell_without_calls),
	    cmocka_unit_test(farewell_to_each_role),
	    CASE(a_random_run_agrees_with_the_model),
	};
	return cmocka_run_group_tests_name("call_snoop", tests, NULL, NULL) != 0;
}
