/*
 * Whole captures that nobody should send, or that are hard to tell: what is a lie is passed over,
 * what is not known is not claimed, and what is too much is counted.
 */
#include "explain/explain_case.h"
#include "tests/unit/a_capture.h"
#include "wire/bytes.h"
#include "wire/pptp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TCP = 6, GRE = 47, ICMP = 1, UDP = 17, MORE = 0x2000 };

#define ADD_IP(end, protocol, ...)                                                                 \
	do {                                                                                       \
		const uint8_t packet[] = {__VA_ARGS__};                                            \
		frames_add_ip(&frames, end, protocol, 0, packet, sizeof(packet));                  \
	} while (0)

static void lcp_up(void)
{
	up();
	PPP(C, LCP, 1, MAGIC_C);
	PPP(S, LCP, 1, MAGIC_S);
	PPP(S, LCP, 2, MAGIC_C);
	PPP(C, LCP, 2, MAGIC_S);
}

/* TCP. */

static void tcp_that_is_none(void **state)
{
	(void)state;
	uint8_t tcp[20] = {0x9C, 0x40, 0x06, 0xBB, [12] = 0x40};
	frames_add_ip(&frames, C, TCP, 0, tcp, 10);
	frames_add_ip(&frames, C, TCP, 0, tcp, sizeof(tcp));
	tcp[12] = 0x60;
	frames_add_ip(&frames, C, TCP, 0, tcp, sizeof(tcp));
	EXPECT("There is no PPTP in this capture.");
}

static void tcp_of_others(void **state)
{
	(void)state;
	frames.port[S] = 80;
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	frames_add_tcp(&frames, C, FRAMES_ACK, "GET / HTTP/1.1\r\n", 16);
	frames_add_tcp(&frames, C, FRAMES_ACK, "\0\x10\0\1\x1a\x2b", 6);
	ADD_IP(C, UDP, 0, 0);
	EXPECT("There is no PPTP in this capture.");
}

/* From the middle, on other ports: whoever sends this is known by what it is. */
static void check_client(int end, uint16_t type, const char *client)
{
	char text[64];
	begin_anew();
	frames.port[S] = 50000;
	frames_add_message(&frames, end, type, 5, 7, 1);
	snprintf(text, sizeof(text), "Control connection 1: client %s,", client);
	EXPECT(text);
	EXPECT("it began before the capture");
}

static void who_dialled(void **state)
{
	(void)state;
	static const char client[] = "10.1.0.10:40000", server[] = "10.2.0.10:50000";
	check_client(C, PPTP_START_REQUEST, client);
	check_client(S, PPTP_START_REPLY, client);
	check_client(C, PPTP_OUTGOING_CALL_REQUEST, client);
	check_client(S, PPTP_OUTGOING_CALL_REPLY, client);
	/* Nothing else tells: the higher port. */
	check_client(C, PPTP_CALL_CLEAR_REQUEST, server);
	check_client(S, PPTP_CALL_CLEAR_REQUEST, server);
}

static void who_dialled_by_port(void **state)
{
	(void)state;
	frames_add_tcp(&frames, S, FRAMES_ACK, NULL, 0);
	EXPECT("client 10.1.0.10:40000, server 10.2.0.10:1723");
	begin_anew();
	frames_add_tcp(&frames, S, FRAMES_SYN | FRAMES_ACK, NULL, 0);
	EXPECT("client 10.1.0.10:40000, server 10.2.0.10:1723");
	EXPECT("server takes it");
}

static void ends_within_one_host(void **state)
{
	(void)state;
	frames.address[S] = frames.address[C];
	frames_open(&frames);
	EXPECT("1 control connection, 0 calls");
	EXPECT("client 10.1.0.10:40000, server 10.1.0.10:1723");
	EXPECT("messages: 1 of the client, 1 of the server");
}

static void every_kind_of_end(void **state)
{
	(void)state;
	up();
	frames_add_tcp(&frames, S, FRAMES_FIN | FRAMES_ACK, NULL, 0);
	frames_add_tcp(&frames, S, FRAMES_FIN | FRAMES_ACK, NULL, 0);
	EXPECT("server closes the connection (FIN) messages");
	frames_add_tcp(&frames, C, FRAMES_FIN | FRAMES_ACK, NULL, 0);
	frames_add_tcp(&frames, C, FRAMES_RST, NULL, 0);
	frames_add_tcp(&frames, C, FRAMES_RST, NULL, 0);
	EXPECT("client closes the connection (FIN) messages");
	EXPECT("ended: the server closes its control connection");
}

static void a_reset_within_a_close(void **state)
{
	(void)state;
	up();
	frames_add_tcp(&frames, S, FRAMES_FIN | FRAMES_ACK, NULL, 0);
	frames_add_tcp(&frames, S, FRAMES_RST, NULL, 0);
	EXPECT("server closes the connection (FIN)");
	EXPECT("server resets the connection (RST) messages");
}

/* A second SYN is another connection, but only if it has another number. */
static void syns(void **state)
{
	(void)state;
	frames_open(&frames);
	frames.sequence[C] += 5000;
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	EXPECT("2 control connections, 0 calls");
	/* From the middle on, then from the start. */
	begin_anew();
	frames_add_message(&frames, C, PPTP_ECHO_REQUEST, 0, 0, 0);
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	EXPECT("2 control connections, 0 calls");
}

static void more_connections_than_can_be_told(void **state)
{
	(void)state;
	for (uint32_t i = 0; i <= EXPLAIN_CONTROLS_MAX; i++) {
		frames.address[C] = i;
		frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	}
	EXPECT("20000 control connections, 0 calls");
	EXPECT("The capture has more connections or calls than can be told: 1 packets and messages "
	       "are "
	       "left out.");
}

static void more_calls_than_can_be_told(void **state)
{
	(void)state;
	frames_open(&frames);
	for (int i = 0; i <= EXPLAIN_CALLS_MAX; i++)
		frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, (uint16_t)i, 0, 0);
	frames_add_message(&frames, S, PPTP_OUTGOING_CALL_REPLY, 1, 60000, 1);
	EXPECT("1 control connection, 50000 calls");
	EXPECT("2 packets and messages are left out.");
}

/* GRE. */

static void gre_that_is_none(void **state)
{
	(void)state;
	ADD_IP(C, GRE, 0x30, 0x01, 0x88, 0x0B);
	ADD_IP(C, GRE, 0x30, 0x01, 0x88, 0x0B, 0, 0, 0, 5, 0, 0);
	EXPECT("0 control connections, 0 calls");
	EXPECT("2 GRE packets lie about their length, from 10.1.0.10 first: a broken sender.");
}

static void packets_that_lie_about_their_length(void **state)
{
	(void)state;
	up();
	ADD_IP(S, GRE, 0x30, 0x01, 0x88, 0x0B, 0, 9, 0, 5, 0, 0, 0, 1, 0xFF, 3, 0xC0, 0x21);
	EXPECT("1 GRE packet lies about its length, from 10.2.0.10: a broken sender. No receiver "
	       "takes that.");
	EXPECT_NO("in the capture, before");
	EXPECT_NO("not whole in the capture");
	/* The capture has less of it than was there, but knows how much that was. */
	frames.snaplen = 14 + 20 + 12;
	ADD_IP(C, GRE, 0x30, 0x01, 0x88, 0x0B, 0, 4, 0, 7, 0, 0, 0, 1, 0xFF, 3, 0xC0, 0x21);
	EXPECT("1 GRE packet lies");
	EXPECT("1 packet of it is not whole in the capture");
	frames.snaplen -= 2;
	ADD_IP(C, GRE, 0x30, 0x01, 0x88, 0x0B, 0, 4, 0, 7, 0, 0, 0, 1, 0xFF, 3, 0xC0, 0x21);
	EXPECT("1 packet is cut in the capture, before its header or message ends");
	EXPECT("1 GRE packet lies");
}

static void more_strays_than_can_be_told(void **state)
{
	(void)state;
	for (int i = 0; i < EXPLAIN_STRAYS_MAX + 7; i++) {
		frames.id[S] = (uint16_t)i;
		PPP(C, LCP, 9, MAGIC_C);
	}
	EXPECT("7 packets and messages are left out.");
	EXPECT("995 more stray calls are of no control connection either.");
}

/* Which of the two would be the other direction of the third? */
static void strays_that_cannot_be_paired(void **state)
{
	(void)state;
	PPP(C, LCP, 1, MAGIC_C);
	frames.id[S] = 8;
	PPP(C, LCP, 1, MAGIC_C);
	PPP(S, LCP, 1, MAGIC_S);
	EXPECT("Stray call 3: IDs: not known of 10.2.0.10, 5 of 10.1.0.10");
}

/* What was there long before, or both ways, is another call that had the same ID. */
static void strays_that_are_not_adopted(void **state)
{
	(void)state;
	PPP(C, LCP, 1, MAGIC_C);
	frames.ms += 6000;
	up();
	PPP(C, LCP, 1, MAGIC_C);
	EXPECT("client sends 1 ");
	EXPECT("Stray call 1: IDs: ");
	begin_anew();
	PPP(C, LCP, 1, MAGIC_C);
	PPP(S, LCP, 1, MAGIC_S);
	up();
	EXPECT("Stray call 1: IDs: 5 of 10.1.0.10, 7 of 10.2.0.10");
	EXPECT("no GRE packets");
}

static void id_used_again(void **state)
{
	(void)state;
	lcp_up();
	frames_add_message(&frames, C, PPTP_CALL_CLEAR_REQUEST, 5, 0, 0);
	frames_call(&frames);
	PPP(C, LCP, 9, MAGIC_C);
	PPP(S, LCP, 10, MAGIC_C);
	EXPECT("Call 1.1: IDs: client 5, server 7");
	EXPECT("client sends 2 92");
	EXPECT("Call 1.2: IDs: client 5, server 7");
	EXPECT("client sends 1 46");
}

/* ICMP. */

static void icmp_of_others(void **state)
{
	(void)state;
	uint8_t icmp[36] = {3, 2, [8] = 0x45, [17] = 47};
	bytes_put32(icmp + 20, FRAMES_SERVER_ADDRESS);
	bytes_put32(icmp + 24, FRAMES_CLIENT_ADDRESS);
	bytes_put16(icmp + 34, 5);
	lcp_up();
	frames_add_ip(&frames, C, ICMP, 0, icmp, 20);
	frames_add_ip(&frames, C, ICMP, 0, icmp, 35);
	static const struct {
		size_t at;
		uint8_t octet;
	} lies[] = {{0, 8}, {8, 0x65}, {8, 0x44}, {8, 0x4F}, {17, 6}, {35, 99}};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint8_t lie[36];
		memcpy(lie, icmp, sizeof(lie));
		lie[lies[i].at] = lies[i].octet;
		frames_add_ip(&frames, C, ICMP, 0, lie, sizeof(lie));
	}
	EXPECT("Nothing looks wrong.");
	frames_add_ip(&frames, C, ICMP, 0, icmp, sizeof(icmp));
	EXPECT("ICMP protocol unreachable (1 times)");
	icmp[1] = 9;
	frames_add_ip(&frames, C, ICMP, 0, icmp, sizeof(icmp));
	EXPECT("ICMP administratively prohibited, 2 times");
	icmp[1] = 10;
	frames_add_ip(&frames, C, ICMP, 0, icmp, sizeof(icmp));
	EXPECT("ICMP administratively prohibited, 3 times");
}

/* Fragments that are missing, of what is of no interest. */
static void fragments_of_others(void **state)
{
	(void)state;
	static const uint8_t zeros[16] = {0};
	lcp_up();
	frames_add_ip(&frames, C, TCP, MORE, zeros, 8);
	frames.identification++;
	frames_add_ip(&frames, C, UDP, MORE, zeros, 8);
	frames.identification++;
	frames_add_ip(&frames, C, GRE, MORE, zeros, 16);
	frames.identification++;
	frames_add_ip(&frames, C, GRE, 2, zeros, 16);
	frames.identification++;
	const uint8_t other[16] = {0x30, 0x01, 0x88, 0x0B, 0, 52, 0, 99};
	frames_add_ip(&frames, C, GRE, MORE, other, 16);
	EXPECT("Nothing looks wrong.");
}

/* PPP. */

static void packets_above_the_mru(void **state)
{
	(void)state;
	uint8_t packet[1600] = {0x00, 0xFD};
	lcp_up();
	frames_add_gre(&frames, C, packet, 1506);
	EXPECT("Nothing looks wrong.");
	frames_add_gre(&frames, C, packet, 1507);
	EXPECT("client sends packets of up to 1505 octets, though server takes 1500 (its MRU)");
}

static void one_end_alone_asks(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 3; i++)
		PPP(S, LCP, 1, MAGIC_S);
	PPP(C, LCP, 9, MAGIC_C);
	EXPECT("client sends GRE, but never answers LCP of server (3 requests)");
}

static void nobody_asks(void **state)
{
	(void)state;
	up();
	PPP(C, LCP, 9, MAGIC_C);
	PPP(S, LCP, 9, MAGIC_C);
	EXPECT("Nothing looks wrong.");
}

static void chap_without_lcp(void **state)
{
	(void)state;
	lcp_up();
	PPP(S, CHAP, 1, "");
	PPP(C, CHAP, 2, "\xFF");
	PPP(S, CHAP, 9, "");
	PPP(S, CHAP, 4, "");
	EXPECT("CHAP: server asks, as \"\"");
	EXPECT("authentication fails: the server refuses \"\". Name or password");
}

static void errors_of_ms_chap(void **state)
{
	(void)state;
	static const struct {
		const char *said, *words;
	} errors[] = {
	    {"E=646", "(not at this hour)"},	       {"E=647", "(account disabled)"},
	    {"E=648 R", "(password expired)"},	       {"E=649", "(no permission to dial in)"},
	    {"E=709", "(password cannot be changed)"},
	};
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		begin_anew();
		lcp_up();
		frames_add_ppp(&frames, S, CHAP, 4, errors[i].said, strlen(errors[i].said));
		EXPECT(errors[i].words);
	}
	PPP(S, CHAP, 4, "E=12345678 R=0");
	EXPECT("the server refuses client: \"E=12345678 R=0\". Its account is not allowed to");
	PPP(S, CHAP, 4, "E");
	EXPECT("the server refuses client: \"E\". Name or password");
}

static void pap_without_words(void **state)
{
	(void)state;
	lcp_up();
	PPP(C, PAP, 1, "");
	PPP(C, PAP, 1,
	    "\x09"
	    "ab");
	PPP(S, PAP, 2, "");
	PPP(S, PAP, 9, "");
	EXPECT("PAP: client says that it is \"ab\"");
	EXPECT("PAP: server good, it knows \"ab\"");
}

static void protocols_that_are_not_known(void **state)
{
	(void)state;
	lcp_up();
	PPP(C, LCP, 8, "\x80\x21");
	PPP(C, LCP, 8, "\x80\x57");
	PPP(C, LCP, 8, "\x80\x99");
	PPP(C, LCP, 8, "\x80");
	PPP(C, IPCP, 8, "\x80\x21");
	PPP(C, CCP, 9, "");
	PPP(C, LCP, 14, "");
	PPP(C, LCP, 7, "");
	EXPECT("client does not know IPCP (Protocol-Reject)");
	EXPECT("client does not know IPV6CP");
	EXPECT("client does not know 0x8099");
	EXPECT("Nothing looks wrong.");
}

static void layers_end_alone(void **state)
{
	(void)state;
	lcp_up();
	PPP(S, CCP, 5, "");
	PPP(S, CCP, 5, "");
	PPP(S, LCP, 5, "bye");
	PPP(S, LCP, 5, "bye");
	PPP(C, LCP, 5, "");
	EXPECT("server terminates CCP 0.013 server terminates LCP: \"bye\" 0.015 client terminates "
	       "LCP");
}

static void options_that_are_lies(void **state)
{
	(void)state;
	up();
	PPP(C, LCP, 1, "\x05\x07\x11\x22\x33\x44");
	PPP(C, LCP, 1, "\x05\x01\x11\x22\x33\x44");
	PPP(S, LCP, 2, "\x01\x03\x05\x03\x03\x05\x05\x03\x00");
	PPP(S, LCP, 1, "\x05");
	PPP(C, LCP, 2, "\x03\x04\xC2\x23");
	EXPECT("LCP up, server wants CHAP");
}

/* Messages. */

static void messages_for_no_call(void **state)
{
	(void)state;
	frames_open(&frames);
	frames_add_message(&frames, S, PPTP_INCOMING_CALL_CONNECTED, 9, 0, 0);
	frames_add_message(&frames, S, PPTP_WAN_ERROR_NOTIFY, 9, 0, 0);
	frames_add_message(&frames, C, PPTP_CALL_CLEAR_REQUEST, 9, 0, 0);
	EXPECT("client hangs up, ID 9, which no call has");
}

static void errors_of_the_line(void **state)
{
	(void)state;
	uint8_t message[40] = {0, 40, 0, 1, 0x1A, 0x2B, 0x3C, 0x4D, 0, PPTP_WAN_ERROR_NOTIFY};
	up();
	bytes_put16(message + 12, 5);
	bytes_put32(message + 16, 3);
	bytes_put32(message + 36, 0xFFFFFFFF);
	frames_add_tcp(&frames, S, FRAMES_ACK, message, sizeof(message));
	EXPECT("server counts errors of its line: CRC 3, alignment 4294967295");
}

static void ids_of_accel_ppp(void **state)
{
	(void)state;
	frames.id[C] = 0x0102;
	up();
	frames_call(&frames);
	frames_add_message(&frames, S, PPTP_CALL_DISCONNECT_NOTIFY, 0x0201, 0, 1);
	frames.id[C] = 0x0304;
	frames.id[S] = 8;
	frames_call(&frames);
	frames_add_message(&frames, S, PPTP_CALL_DISCONNECT_NOTIFY, 0x0304, 0, 3);
	EXPECT("ended: server ends it: lost carrier");
	EXPECT("ended: server ends it: shut down by its administrator");
}

static void a_reply_that_nobody_asked_for(void **state)
{
	(void)state;
	up();
	frames_add_message(&frames, S, PPTP_OUTGOING_CALL_REPLY, 7, 5, 1);
	frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, 6, 0, 0);
	frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REPLY, 7, 6, 1);
	EXPECT("1 control connection, 4 calls");
	EXPECT("Call 1.2: IDs: client 5, server 7 0.007 the request for it, ID 5, is not in the "
	       "capture");
	EXPECT("Call 1.4: IDs: client 7, server 6");
}

static void a_call_again_after_a_refusal(void **state)
{
	(void)state;
	frames_open(&frames);
	frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, 5, 0, 0);
	frames_add_message(&frames, S, PPTP_OUTGOING_CALL_REPLY, 0, 5, 7);
	frames_call(&frames);
	frames_add_tcp(&frames, C, FRAMES_FIN | FRAMES_ACK, NULL, 0);
	EXPECT("Call 1.1: the server refuses it: prohibited by its administrator.");
	EXPECT("Call 1.2: IDs: client 5, server 7");
	EXPECT_NO("the same ID was used");
}

/* Times. */

static void a_clock_that_goes_back(void **state)
{
	(void)state;
	frames.ms = 10000;
	frames_open(&frames);
	frames.ms = 0;
	frames_call(&frames);
	EXPECT("file: 7 packets in 0.004 s");
	EXPECT("-10.000 client asks for a call, ID 5");
}

static void a_time_that_is_none(void **state)
{
	(void)state;
	frames_open(&frames);
	/* The first packet's header: seconds, microseconds. */
	memset(frames.octets + 24, 0xFF, 8);
	EXPECT("file: 5 packets in 1600000000.004 s, from 1970-01-01 00:00:00 UTC on");
}

/* Legs. */

/* The same handshake by three: which two belong together nobody knows. */
static void three_that_look_the_same(void **state)
{
	(void)state;
	struct frames outer[2];
	for (int i = 0; i < 2; i++) {
		frames.port[C] = (uint16_t)(40000 + i);
		frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
		frames_add_tcp(&frames, S, FRAMES_SYN | FRAMES_ACK, NULL, 0);
		frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
		outer[i] = frames;
	}
	frames.address[C] = 0x0A020001;
	frames_open(&frames);
	frames.address[C] = FRAMES_CLIENT_ADDRESS;
	for (int i = 0; i < 2; i++) {
		frames.port[C] = (uint16_t)(40000 + i);
		memcpy(frames.sequence, outer[i].sequence, sizeof(frames.sequence));
		frames_add_message(&frames, S, PPTP_START_REPLY, 0, 0, 1);
	}
	EXPECT("3 control connections, 0 calls");
	/* The two handshakes cross, so neither lies within the other. */
	EXPECT_NO("another leg of");
}

/* One direction of PPP is enough to know a call by. */
static void check_legs_by(int end, const char *magic)
{
	begin_anew();
	up();
	frames_add_ppp(&frames, end, LCP, 1, magic, 6);
	frames_add_ppp(&frames, !end, LCP, 9, magic, 6);
	frames.address[C] = 0x0A020001;
	frames.id[C] = 50;
	frames.sequence[C] = frames.sequence[S] = 77777;
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	frames_add_tcp(&frames, S, FRAMES_SYN | FRAMES_ACK, NULL, 0);
	frames_call(&frames);
	frames_add_ppp(&frames, end, LCP, 1, magic, 6);
	EXPECT("Call 1.1: IDs: client 5, server 7 the same call as 2.1, on the leg of the client");
}

static void legs_by_one_direction(void **state)
{
	(void)state;
	check_legs_by(C, MAGIC_C);
	check_legs_by(S, MAGIC_S);
}

/* A proxy between: client - 10.1.0.1, 10.2.0.1 - server. */
static void on_leg(int leg)
{
	frames.address[C] = leg == 1 ? FRAMES_CLIENT_ADDRESS : 0x0A020001;
	frames.address[S] = leg == 1 ? 0x0A010001 : FRAMES_SERVER_ADDRESS;
	frames.id[C] = leg == 1 ? 5 : 500;
	frames.id[S] = leg == 1 ? 700 : 7;
	frames.sequence[C] = leg == 1 ? 1000 : 500000;
	frames.sequence[S] = leg == 1 ? 2000 : 600000;
}

/* Start messages, one pair within the other; both legs then stand behind them. */
static void open_legs(uint8_t result, uint32_t sequence[2][2])
{
	on_leg(1);
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	sequence[0][C] = frames.sequence[C];
	on_leg(2);
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	frames_add_message(&frames, S, PPTP_START_REPLY, 0, 0, result);
	memcpy(sequence[1], frames.sequence, sizeof(sequence[1]));
	on_leg(1);
	frames.sequence[C] = sequence[0][C];
	frames_add_message(&frames, S, PPTP_START_REPLY, 0, 0, result);
	memcpy(sequence[0], frames.sequence, sizeof(sequence[0]));
}

static void go_to_leg(int leg, uint32_t sequence[2][2])
{
	on_leg(leg);
	memcpy(frames.sequence, sequence[leg - 1], sizeof(frames.sequence));
}

static void refused_on_both_legs(void **state)
{
	(void)state;
	uint32_t sequence[2][2];
	open_legs(4, sequence);
	EXPECT("2. Control connection 1: the server 10.1.0.1 refuses it: not authorized.");
	EXPECT_NO(" 3. ");
}

static void a_call_that_both_legs_refuse(void **state)
{
	(void)state;
	uint32_t sequence[2][2];
	open_legs(1, sequence);
	for (int leg = 1; leg <= 2; leg++) {
		go_to_leg(leg, sequence);
		frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, frames.id[C], 0, 0);
		frames_add_message(&frames, S, PPTP_OUTGOING_CALL_REPLY, 0, frames.id[C], 4);
	}
	EXPECT("2. Call 1.1: the server refuses it: busy.");
	EXPECT_NO(" 3. ");
}

static void silent_on_both_legs(void **state)
{
	(void)state;
	uint32_t sequence[2][2];
	open_legs(1, sequence);
	for (int leg = 1; leg <= 2; leg++) {
		go_to_leg(leg, sequence);
		frames_call(&frames);
	}
	frames.ms += 10000;
	frames_add_message(&frames, C, PPTP_ECHO_REQUEST, 0, 0, 0);
	EXPECT("2. Call 1.1: neither client nor server sends GRE");
	EXPECT_NO(" 3. ");
}

/* One leg has a call more, or they say something else: which is which cannot be told. */
static void legs_that_differ(void **state)
{
	(void)state;
	uint32_t sequence[2][2];
	open_legs(1, sequence);
	for (int leg = 1; leg <= 2; leg++) {
		go_to_leg(leg, sequence);
		frames_call(&frames);
		frames_add_ppp(&frames, C, LCP, 1, leg == 1 ? MAGIC_C : MAGIC_S, 6);
	}
	EXPECT("another leg of control connection 2");
	EXPECT_NO("the same call as");
	frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, 9, 0, 0);
	EXPECT_NO("the same call as");
}

/* What answers before it was asked is no leg of this. */
static void one_after_the_other(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		frames.port[C]++;
		frames_open(&frames);
	}
	EXPECT_NO("another leg of");
}

static void a_stray_that_explains_nothing(void **state)
{
	(void)state;
	up();
	PPP(C, LCP, 1, MAGIC_C);
	PPP(C, LCP, 1, MAGIC_C);
	frames.address[S] = 0x0A020063;
	frames.id[C] = 77;
	PPP(S, LCP, 1, MAGIC_S);
	frames.address[C] = 0x0A010063;
	PPP(S, LCP, 1, MAGIC_S);
	EXPECT("Call 1.1: client sends GRE (2 packets), server never does: protocol 47 is blocked");
}

/* As capture.c does when a connection's first message comes after the capture's start. */
static void make_up_beginning(void)
{
	uint32_t now = frames.ms;
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	frames.ms = now;
	frames_add_tcp(&frames, S, FRAMES_SYN | FRAMES_ACK, NULL, 0);
	frames.ms = now;
	frames_add_tcp(&frames, C, FRAMES_ACK, NULL, 0);
	frames.ms = now;
}

static void pass_on(int count)
{
	for (int i = 0; i < count; i++) {
		PPP(C, LCP, 9, MAGIC_C);
		PPP(S, LCP, 10, MAGIC_S);
	}
}

static void a_capture_that_began_during_a_call(void **state)
{
	(void)state;
	pass_on(3);
	make_up_beginning();
	frames_add_message(&frames, C, PPTP_CALL_CLEAR_REQUEST, 5, 0, 0);
	frames_add_message(&frames, S, PPTP_CALL_DISCONNECT_NOTIFY, 7, 0, 4);
	EXPECT("1 of 1 control connections began before the capture");
	EXPECT("it began before the capture messages: 1 of the client, 1 of the server");
	EXPECT("Stray call 1: IDs: 5 of 10.1.0.10, 7 of 10.2.0.10 of control connection 1");
	EXPECT("client hangs up");
	EXPECT("ended: client hangs up");
	EXPECT_NO("opens the connection");
	EXPECT_NO("which no call");
	EXPECT_NO("is of no call");
	EXPECT_NO(" 2. ");
}

static void ids_of_accel_ppp_in_the_middle(void **state)
{
	(void)state;
	frames.id[C] = 0x0102;
	pass_on(1);
	frames_add_message(&frames, S, PPTP_CALL_DISCONNECT_NOTIFY, 0x0201, 0, 1);
	EXPECT("ended: server ends it: lost carrier");
	begin_anew();
	frames.id[C] = 0x0102;
	pass_on(1);
	frames_add_message(&frames, S, PPTP_CALL_DISCONNECT_NOTIFY, 0x0102, 0, 1);
	EXPECT("ended: server ends it: lost carrier");
	frames_add_message(&frames, C, PPTP_CALL_CLEAR_REQUEST, 99, 0, 0);
	EXPECT("client hangs up, ID 99, which no call in the capture has");
}

static void a_beginning_that_is_none_and_no_message(void **state)
{
	(void)state;
	make_up_beginning();
	frames.ms += 6000;
	frames_add_tcp(&frames, C, FRAMES_FIN | FRAMES_ACK, NULL, 0);
	EXPECT("Nothing looks wrong.");
}

/* What has been a SYN says what it says, whatever comes next. */
static void a_true_beginning_stays_one(void **state)
{
	(void)state;
	make_up_beginning();
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	EXPECT("client opens the connection");
	EXPECT_NO("began before");
	begin_anew();
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	frames_add_tcp(&frames, S, FRAMES_SYN | FRAMES_ACK, NULL, 0);
	frames_add_message(&frames, C, PPTP_CALL_CLEAR_REQUEST, 5, 0, 0);
	EXPECT("client opens the connection");
	EXPECT("client hangs up, ID 5, which no call has");
	EXPECT_NO("began before");
}

static void adopted_and_alone(void **state)
{
	(void)state;
	frames_open(&frames);
	frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, 5, 0, 0);
	PPP(C, LCP, 1, MAGIC_C);
	PPP(C, LCP, 1, MAGIC_C);
	frames_add_message(&frames, S, PPTP_OUTGOING_CALL_REPLY, 7, 5, 1);
	EXPECT("1. Call 1.1: client sends GRE (2 packets), server never does");
	EXPECT_NO("Stray call");
}

static void more_findings_than_can_be_told(void **state)
{
	(void)state;
	frames_open(&frames);
	for (uint16_t i = 0; i < 110; i++) {
		frames.id[C] = frames.id[S] = i;
		frames_call(&frames);
		PPP(C, LCP, 1, MAGIC_C);
		PPP(C, LCP, 1, MAGIC_C);
	}
	EXPECT("100. Call 1.100: client sends GRE");
	EXPECT("... and 10 more of that kind");
}

static void too_early_to_complain(void **state)
{
	(void)state;
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	EXPECT("Nothing looks wrong.");
	frames_add_tcp(&frames, S, FRAMES_SYN | FRAMES_ACK, NULL, 0);
	EXPECT("Nothing looks wrong.");
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	EXPECT("Nothing looks wrong.");
	frames.ms += 6000;
	frames_add_message(&frames, C, PPTP_ECHO_REQUEST, 0, 0, 0);
	EXPECT("never replies to the Start-Control-Connection-Request");
}

static void given_up_at_once(void **state)
{
	(void)state;
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	frames.ms += 6000;
	frames_add_tcp(&frames, C, FRAMES_RST, NULL, 0);
	EXPECT("10.2.0.10 never answers (1 SYN)");
}

static void two_calls_of_one_connection_are_no_legs(void **state)
{
	(void)state;
	lcp_up();
	frames.id[C] = 6;
	frames.id[S] = 8;
	frames_call(&frames);
	PPP(C, LCP, 1, MAGIC_C);
	PPP(S, LCP, 1, MAGIC_S);
	EXPECT_NO("the same call as");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(tcp_that_is_none),
	    CASE(tcp_of_others),
	    CASE(who_dialled),
	    CASE(who_dialled_by_port),
	    CASE(ends_within_one_host),
	    CASE(every_kind_of_end),
	    CASE(a_reset_within_a_close),
	    CASE(syns),
	    CASE(more_connections_than_can_be_told),
	    CASE(more_calls_than_can_be_told),
	    CASE(gre_that_is_none),
	    CASE(packets_that_lie_about_their_length),
	    CASE(more_strays_than_can_be_told),
	    CASE(strays_that_cannot_be_paired),
	    CASE(strays_that_are_not_adopted),
	    CASE(id_used_again),
	    CASE(icmp_of_others),
	    CASE(fragments_of_others),
	    CASE(packets_above_the_mru),
	    CASE(one_end_alone_asks),
	    CASE(nobody_asks),
	    CASE(chap_without_lcp),
	    CASE(errors_of_ms_chap),
	    CASE(pap_without_words),
	    CASE(protocols_that_are_not_known),
	    CASE(layers_end_alone),
	    CASE(options_that_are_lies),
	    CASE(messages_for_no_call),
	    CASE(errors_of_the_line),
	    CASE(ids_of_accel_ppp),
	    CASE(a_reply_that_nobody_asked_for),
	    CASE(a_call_again_after_a_refusal),
	    CASE(a_clock_that_goes_back),
	    CASE(a_time_that_is_none),
	    CASE(three_that_look_the_same),
	    CASE(legs_by_one_direction),
	    CASE(refused_on_both_legs),
	    CASE(a_call_that_both_legs_refuse),
	    CASE(silent_on_both_legs),
	    CASE(legs_that_differ),
	    CASE(one_after_the_other),
	    CASE(a_stray_that_explains_nothing),
	    CASE(a_capture_that_began_during_a_call),
	    CASE(ids_of_accel_ppp_in_the_middle),
	    CASE(a_beginning_that_is_none_and_no_message),
	    CASE(a_true_beginning_stays_one),
	    CASE(adopted_and_alone),
	    CASE(more_findings_than_can_be_told),
	    CASE(too_early_to_complain),
	    CASE(given_up_at_once),
	    CASE(two_calls_of_one_connection_are_no_legs),
	};
	return cmocka_run_group_tests_name("explain_odd", tests, NULL, NULL) != 0;
}
