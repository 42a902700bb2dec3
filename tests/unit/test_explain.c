/*
 * Whole captures in, stories out: what a person reads, fault by fault.
 */
#include "explain/explain.h"

#include "tests/unit/a_capture.h"
#include "wire/bytes.h"
#include "wire/pptp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Both ends ask and agree. */
static void negotiate(uint16_t protocol, const void *client, size_t client_length,
		      const void *server, size_t server_length)
{
	frames_add_ppp(&frames, C, protocol, 1, client, client_length);
	frames_add_ppp(&frames, S, protocol, 1, server, server_length);
	frames_add_ppp(&frames, S, protocol, 2, client, client_length);
	frames_add_ppp(&frames, C, protocol, 2, server, server_length);
}

#define NEGOTIATE(protocol, client, server)                                                        \
	negotiate(protocol, client, sizeof(client) - 1, server, sizeof(server) - 1)

#define MRU_1400  "\x01\x04\x05\x78"
#define AUTH_V2	  "\x03\x05\xC2\x23\x81"
#define AUTH_PAP  "\x03\x04\xC0\x23"
#define AUTH_EAP  "\x03\x04\xC2\x27"
#define MPPE_128  "\x12\x06\x01\x00\x00\x40"
#define ADDRESS_C "\x03\x06\x0A\x09\x00\x01"
#define ADDRESS_S "\x03\x06\x0A\x08\x00\x01"

static void lcp_up(void)
{
	up();
	NEGOTIATE(LCP, MRU_1400 MAGIC_C, MRU_1400 MAGIC_S AUTH_V2);
}

/* What is encrypted, one each way. */
static void data(int count)
{
	for (int i = 0; i < count; i++) {
		frames_add_gre(&frames, C, "\x00\xFD\x90\x00xxxx", 8);
		frames_add_gre(&frames, S, "\x00\xFD\x90\x00yyyyyy", 10);
	}
}

static void close_all(void)
{
	frames_add_tcp(&frames, C, FRAMES_FIN | FRAMES_ACK, NULL, 0);
	frames_add_tcp(&frames, S, FRAMES_FIN | FRAMES_ACK, NULL, 0);
}

static void a_good_call(void **state)
{
	(void)state;
	lcp_up();
	CHALLENGE("vpn");
	RESPONSE("alice");
	PPP(S, CHAP, 3, "S=0123 M=welcome");
	NEGOTIATE(CCP, MPPE_128, MPPE_128);
	NEGOTIATE(IPCP, ADDRESS_C, ADDRESS_S);
	NEGOTIATE(IPV6CP, "", "");
	data(3);
	PPP(C, LCP, 9, MAGIC_C);
	PPP(S, LCP, 10, MAGIC_S);
	PPP(C, LCP, 5, "User request");
	PPP(S, LCP, 6, "");
	frames_add_message(&frames, C, PPTP_CALL_CLEAR_REQUEST, 5, 0, 0);
	frames_add_message(&frames, S, PPTP_CALL_DISCONNECT_NOTIFY, 7, 0, 4);
	frames_add_message(&frames, C, PPTP_STOP_REQUEST, 0, 0, 1);
	frames_add_message(&frames, S, PPTP_STOP_REPLY, 0, 0, 1);
	close_all();
	EXPECT("1 control connection, 1 call");
	EXPECT("Control connection 1: client 10.1.0.10:40000, server 10.2.0.10:1723 "
	       "0.000 client opens the connection 0.001 server takes it "
	       "0.003 client introduces itself: host \"here\", vendor "
	       "\"\\\"x\\\"\\x0a\\x1b[31m\\xff\", firmware 0, PPTP 1.0");
	EXPECT("server replies, accepted: host \"there\"");
	EXPECT("Call 1.1: IDs: client 5, server 7 0.005 client asks for a call, ID 5 "
	       "0.006 server: connected, ID 7 "
	       "0.010 LCP up, client takes 1400 octets, server takes 1400 octets, server wants "
	       "MS-CHAPv2 "
	       "0.011 MS-CHAPv2: server asks, as \"vpn\" 0.012 MS-CHAPv2: client answers, as "
	       "\"alice\" 0.013 MS-CHAPv2: server good, it knows \"alice\" "
	       "0.017 CCP up: MPPE 128 bits, stateless "
	       "0.021 IPCP up: client is 10.9.0.1, server is 10.8.0.1 0.025 IPV6CP up "
	       "0.034 client terminates LCP: \"User request\"");
	EXPECT("client hangs up");
	EXPECT("server ends it: as requested");
	EXPECT("client sends 14 637 0 0 0");
	EXPECT("in them: 0 packets of the network in the clear, 6 encrypted or compressed");
	EXPECT("LCP echoes: 1 of client (1 answered), 0 of server");
	EXPECT("ended: client hangs up");
	EXPECT("client asks for the end: no reason given");
	EXPECT("server agrees to the end: done");
	EXPECT("Nothing looks wrong.");
}

/* GRE. */

static void no_gre_of_the_client(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 12; i++)
		PPP(S, LCP, 1, MAGIC_S);
	EXPECT(
	    "1. Call 1.1: server sends GRE (12 packets), client never does: protocol 47 is blocked "
	    "between 10.1.0.10 and 10.2.0.10, on the client's side of where this was captured.");
	EXPECT_NO(" 2. Call");
}

static void no_gre_of_the_server(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 12; i++)
		PPP(C, LCP, 1, MAGIC_C);
	EXPECT("client sends GRE (12 packets), server never does: protocol 47 is blocked between "
	       "10.2.0.10 and 10.1.0.10, on the server's side");
}

static void one_packet_may_be_under_way(void **state)
{
	(void)state;
	up();
	PPP(C, LCP, 1, MAGIC_C);
	EXPECT("Nothing looks wrong.");
}

static void no_gre_at_all(void **state)
{
	(void)state;
	up();
	EXPECT("Nothing looks wrong.");
	frames.ms += 10000;
	close_all();
	EXPECT("neither client nor server sends GRE: the capture has no protocol 47 at all.");
	EXPECT("no GRE packets up for 10.");
}

static void no_gre_of_one_of_two(void **state)
{
	(void)state;
	lcp_up();
	frames.id[C] = 6;
	frames.id[S] = 8;
	frames_call(&frames);
	frames.ms += 10000;
	close_all();
	EXPECT("Call 1.2: neither client nor server sends GRE: protocol 47 is blocked between "
	       "10.1.0.10 and 10.2.0.10, on both sides");
}

static void the_wrong_call_id(void **state)
{
	(void)state;
	up();
	PPP(C, LCP, 1, MAGIC_C);
	PPP(C, LCP, 1, MAGIC_C);
	frames.id[C] = 99;
	PPP(S, LCP, 1, MAGIC_S);
	EXPECT("server sends GRE with the wrong call ID: 99, which nobody assigned; the client "
	       "assigned 5. The client drops it.");
	EXPECT("Calls that no message in the capture begins Stray call 1: IDs: not known of "
	       "10.2.0.10, 99 of 10.1.0.10");
	EXPECT_NO("is of no call");
}

static void its_own_call_id(void **state)
{
	(void)state;
	up();
	PPP(S, LCP, 1, MAGIC_S);
	PPP(S, LCP, 1, MAGIC_S);
	frames.id[S] = frames.id[C];
	PPP(C, LCP, 1, MAGIC_C);
	EXPECT(
	    "client sends GRE with the wrong call ID: 5, which is its own; the server assigned 7.");
}

static void another_address(void **state)
{
	(void)state;
	up();
	PPP(C, LCP, 1, MAGIC_C);
	frames.address[S] = 0x0A020063;
	PPP(S, LCP, 1, MAGIC_S);
	frames.ms += 10000;
	frames.address[S] = FRAMES_SERVER_ADDRESS;
	close_all();
	EXPECT("GRE for the client comes from 10.2.0.99, not from 10.2.0.10, to which the control "
	       "connection goes");
}

static void strays(void **state)
{
	(void)state;
	PPP(S, LCP, 1, MAGIC_S);
	PPP(C, LCP, 1, MAGIC_C);
	PPP(C, LCP, 2, MAGIC_S);
	PPP(S, LCP, 2, MAGIC_C);
	EXPECT("0 control connections, 0 calls, and GRE of calls without one");
	EXPECT("Stray call 1: IDs: 7 of 10.2.0.10, 5 of 10.1.0.10 its control connection is not in "
	       "the capture: it began before that, or takes another way 0.003 LCP up");
	EXPECT("10.2.0.10 sends 2");
	EXPECT("Nothing looks wrong.");
}

static void a_stray_with_one_direction(void **state)
{
	(void)state;
	PPP(S, LCP, 1, MAGIC_S);
	PPP(S, LCP, 2, MAGIC_C);
	EXPECT_NO("its control connection is not in the capture");
	EXPECT("Stray call 1: GRE from 10.2.0.10 to 10.1.0.10 with ID 5 (2 packets) is of no call "
	       "whose control connection is in the capture");
}

static void nothing_at_all(void **state)
{
	(void)state;
	EXPECT("there is no packet in this capture");
	EXPECT_NO("1970");
	EXPECT_NO("Nothing looks wrong");
}

static void a_packet_before_its_message(void **state)
{
	(void)state;
	frames_open(&frames);
	frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, 5, 0, 0);
	PPP(C, LCP, 1, MAGIC_C);
	frames_add_message(&frames, S, PPTP_OUTGOING_CALL_REPLY, 7, 5, 1);
	PPP(C, LCP, 1, MAGIC_C);
	PPP(S, LCP, 1, MAGIC_S);
	EXPECT("client sends 2 ");
	EXPECT("Nothing looks wrong.");
}

static void losses_and_disorder(void **state)
{
	(void)state;
	lcp_up();
	data(100);
	frames.gre_sequence[C] += 10;
	data(1);
	for (int i = 0; i < 12; i++) {
		frames.gre_sequence[S] += 1;
		frames_add_gre(&frames, S, "\x00\xFD", 2);
		frames.gre_sequence[S] -= 2;
		frames_add_gre(&frames, S, "\x00\xFD", 2);
		frames.gre_sequence[S] += 1;
	}
	EXPECT("client sends 103 4,145 10 0 0");
	EXPECT("server sends 127 ");
	EXPECT("10 of 113 packets from client to server are lost (8.8 %) before they get here");
	EXPECT("12 of 127 packets from server to client overtake one another (9.4 %)");
	EXPECT_NO(" 3. Call");
}

static void twice(void **state)
{
	(void)state;
	lcp_up();
	for (int i = 0; i < 20; i++) {
		frames_add_gre(&frames, C, "\x00\xFD", 2);
		frames.gre_sequence[C]--;
		frames_add_gre(&frames, C, "\x00\xFD", 2);
	}
	EXPECT("20 of 42 packets from client to server are there twice");
}

static void a_sequence_that_jumps(void **state)
{
	(void)state;
	lcp_up();
	frames.gre_sequence[C] += 1000000;
	data(1);
	frames.gre_sequence[C] = 0;
	data(1);
	EXPECT("its sequence numbers jump 2 times");
	EXPECT("Nothing looks wrong.");
}

static void silences(void **state)
{
	(void)state;
	lcp_up();
	data(1);
	for (int i = 0; i < 8; i++) {
		frames.ms += 1000;
		frames_add_gre(&frames, C, "\x00\xFD", 2);
	}
	data(1);
	EXPECT("server is silent from 0.012 s to 8.022 s (8.0 s), while client sends 9 packets.");
	EXPECT_NO(" 2. Call");
	for (int i = 0; i < 8; i++) {
		frames.ms += 1000;
		frames_add_gre(&frames, S, "\x00\xFD", 2);
	}
	EXPECT(
	    "client is silent from 8.021 s to 16.030 s (8.0 s), while server sends 9 packets, and "
	    "does not come back, though the control connection is up: protocol 47 is blocked "
	    "between 10.1.0.10 and 10.2.0.10, on the client's side of where this was captured, or "
	    "PPP hangs there.");
}

static void silent_and_gone(void **state)
{
	(void)state;
	lcp_up();
	data(1);
	for (int i = 0; i < 8; i++) {
		frames.ms += 1000;
		frames_add_gre(&frames, C, "\x00\xFD", 2);
		if (i == 0)
			frames_add_message(&frames, C, PPTP_ECHO_REQUEST, 0, 0, 0);
	}
	EXPECT("server is silent from 0.012 s to 8.021 s (8.0 s), while client sends 8 packets, "
	       "and does not come back: its way was cut, or it is gone.");
	EXPECT_NO("protocol 47");
}

static void silent_from_the_middle(void **state)
{
	(void)state;
	data(1);
	for (int i = 0; i < 8; i++) {
		frames.ms += 1000;
		frames_add_gre(&frames, C, "\x00\xFD", 2);
	}
	EXPECT("and does not come back: its way was cut, or it is gone.");
}

static void quiet_on_both_sides_is_no_silence(void **state)
{
	(void)state;
	lcp_up();
	data(1);
	frames.ms += 60000;
	data(1);
	EXPECT("Nothing looks wrong.");
}

static void fragments(void **state)
{
	(void)state;
	uint8_t packet[64] = {0x30, 0x01, 0x88, 0x0B, 0, 52, 0, 7, 0, 0, 0, 9, 0, 0xFD};
	lcp_up();
	data(1);
	frames.identification = 77;
	frames_add_ip(&frames, C, 47, 0x2000, packet, 32);
	frames_add_ip(&frames, C, 47, 4, packet + 32, 32);
	EXPECT("client sends 4 ");
	EXPECT("1 packets from client to server come in fragments (up to 84 octets)");
	frames.identification = 78;
	frames_add_ip(&frames, C, 47, 0x2000, packet, 32);
	EXPECT("fragments of 1 packets from client to server never all come");
}

static void add_unreachable(uint8_t code, uint16_t mtu)
{
	uint8_t icmp[8 + 20 + 8] = {3, code, [8] = 0x45, [8 + 9] = 47};
	bytes_put16(icmp + 6, mtu);
	bytes_put32(icmp + 8 + 12, FRAMES_SERVER_ADDRESS);
	bytes_put32(icmp + 8 + 16, FRAMES_CLIENT_ADDRESS);
	bytes_put32(icmp + 28, 0x3001880B);
	bytes_put16(icmp + 34, frames.id[C]);
	frames_add_ip(&frames, C, 1, 0, icmp, sizeof(icmp));
}

static void icmp(void **state)
{
	(void)state;
	lcp_up();
	add_unreachable(2, 0);
	EXPECT("10.1.0.10 answers GRE of the server with ICMP protocol unreachable (1 times)");
	add_unreachable(13, 0);
	EXPECT("10.1.0.10 rejects GRE of the server (ICMP administratively prohibited, 2 times)");
	add_unreachable(4, 1396);
	EXPECT("packets of the server are too large (ICMP, 3 times; it takes 1396 octets)");
	add_unreachable(1, 0);
	EXPECT("10.1.0.10 says that the client cannot be reached (ICMP code 1, 4 times)");
}

static void other_gre(void **state)
{
	(void)state;
	const uint8_t plain[] = {0x00, 0x00, 0x08, 0x00, 0x45, 0x00, 0x00, 0x00};
	frames_add_ip(&frames, C, 47, 0, plain, sizeof(plain));
	EXPECT("1 GRE packet is not PPTP's (not enhanced GRE)");
	EXPECT("There is no PPTP in this capture.");
}

/* PPP. */

static void no_answer_to_lcp(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 10; i++) {
		PPP(C, LCP, 1, MAGIC_C);
		PPP(S, LCP, 1, MAGIC_S);
	}
	EXPECT("both ends send LCP requests (10 and 10) and neither answers");
}

static void no_answer_to_the_client(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 10; i++) {
		PPP(C, LCP, 1, MAGIC_C);
		PPP(S, LCP, 1, MAGIC_S);
		PPP(C, LCP, 2, MAGIC_S);
	}
	EXPECT("server sends GRE, but never answers LCP of client (10 requests), and acknowledges "
	       "nothing: packets from 10.1.0.10 to 10.2.0.10 are lost behind where this was "
	       "captured");
	const uint8_t ack[] = {0x20, 0x81, 0x88, 0x0B, 0, 0, 0, 5, 0, 0, 0, 9};
	frames_add_ip(&frames, S, 47, 0, ack, sizeof(ack));
	EXPECT(
	    "server never answers LCP of client (10 requests), though it acknowledges its packets");
}

static void a_looped_line(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 3; i++) {
		PPP(C, LCP, 1, MAGIC_C);
		PPP(S, LCP, 1, MAGIC_C);
	}
	EXPECT("the line is looped back");
}

static void lcp_without_agreement(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 4; i++) {
		PPP(C, LCP, 1, MAGIC_C);
		PPP(S, LCP, 3, MRU_1400);
		PPP(S, LCP, 1, MAGIC_S AUTH_PAP);
		PPP(C, LCP, 4, AUTH_PAP);
	}
	EXPECT("client rejects authentication (4 times, until");
	EXPECT("LCP does not come up in 4 and 4 requests");
}

static void lcp_anew(void **state)
{
	(void)state;
	lcp_up();
	NEGOTIATE(LCP, "\x05\x06\x99\x99\x99\x99", MAGIC_S);
	EXPECT("client begins LCP anew");
	EXPECT("0.014 LCP up");
}

/* Its answer may have been lost. */
static void a_request_again_is_not_anew(void **state)
{
	(void)state;
	lcp_up();
	PPP(C, LCP, 1, MRU_1400 MAGIC_C);
	PPP(S, LCP, 2, MRU_1400 MAGIC_C);
	EXPECT_NO("anew");
	EXPECT("Nothing looks wrong.");
}

static void a_wrong_password(void **state)
{
	(void)state;
	lcp_up();
	CHALLENGE("vpn");
	RESPONSE("al\x1b[1mice");
	PPP(S, CHAP, 4, "E=691 R=1 C=00 V=3 M=Access denied");
	EXPECT(
	    "MS-CHAPv2: server refuses \"al\\x1b[1mice\": \"E=691 R=1 C=00 V=3 M=Access denied\" "
	    "(name or password is wrong)");
	EXPECT(
	    "MS-CHAPv2 fails: the server refuses \"al\\x1b[1mice\": \"E=691 R=1 C=00 V=3 M=Access "
	    "denied\". Name or password is wrong, or unknown there");
	PPP(S, CHAP, 4, "E=648 R=0");
	EXPECT("(password expired)");
	EXPECT("Its account is not allowed to, see the number.");
}

static void pap(void **state)
{
	(void)state;
	up();
	NEGOTIATE(LCP, MAGIC_C, MAGIC_S AUTH_PAP);
	PPP(C, PAP, 1,
	    "\x03"
	    "bob"
	    "\x06"
	    "sesame");
	PPP(S, PAP, 3,
	    "\x04"
	    "Nope");
	EXPECT("PAP: client says that it is \"bob\"");
	EXPECT("PAP: server refuses \"bob\": \"Nope\"");
	EXPECT("PAP fails: the server refuses \"bob\": \"Nope\".");
	EXPECT_NO("sesame");
	PPP(S, PAP, 2,
	    "\x02"
	    "ok");
	EXPECT("PAP: server good, it knows \"bob\"");
	EXPECT("Nothing looks wrong.");
}

static void eap(void **state)
{
	(void)state;
	up();
	NEGOTIATE(LCP, MAGIC_C, MAGIC_S AUTH_EAP);
	PPP(S, EAP, 1, "\x01");
	PPP(C, EAP, 2,
	    "\x01"
	    "carol");
	frames.ms += 6000;
	close_all();
	EXPECT("EAP: client says that it is \"carol\"");
	EXPECT("the server does not say whether it accepts \"carol\" (EAP)");
	PPP(S, EAP, 4, "");
	EXPECT("EAP fails: the server refuses \"carol\". Name");
	PPP(S, EAP, 3, "");
	EXPECT("EAP: server good, it knows \"carol\"");
}

static void no_encryption(void **state)
{
	(void)state;
	lcp_up();
	PPP(S, CCP, 1, MPPE_128);
	PPP(C, LCP, 8,
	    "\x80\xFD"
	    "\x01\x01\x00\x0A" MPPE_128);
	EXPECT("client does not know CCP (Protocol-Reject)");
	EXPECT("Nothing looks wrong.");
	PPP(S, LCP, 5, "");
	EXPECT(
	    "the server asks for encryption (MPPE 128 bits, stateless), the client refuses it, and "
	    "PPP ends");
}

static void encryption_is_required(void **state)
{
	(void)state;
	lcp_up();
	PPP(C, CCP, 4, MPPE_128);
	PPP(S, LCP, 5, "MPPE required but peer refused");
	EXPECT("client rejects MPPE");
	EXPECT(
	    "the server ends PPP, as it requires encryption (MPPE) and gets none: \"MPPE required "
	    "but peer refused\". The client does not offer it");
}

static void many_resets(void **state)
{
	(void)state;
	lcp_up();
	for (int i = 0; i < 10; i++)
		PPP(C, CCP, 14, "");
	EXPECT("10 CCP Reset-Requests");
}

static void encryption_differs(void **state)
{
	(void)state;
	lcp_up();
	NEGOTIATE(CCP, "\x12\x06\x00\x00\x00\x20", "\x12\x06\x01\x00\x00\x80");
	EXPECT("CCP up: to client MPPE 40 bits, stateful, to server MPPE 56 bits, stateless");
}

static void no_address(void **state)
{
	(void)state;
	lcp_up();
	for (int i = 0; i < 5; i++) {
		PPP(C, IPCP, 1, ADDRESS_C);
		PPP(S, IPCP, 3, "\x03\x06\0\0\0\0");
	}
	EXPECT("IPCP does not come up (5 requests of the client, 0 of the server)");
}

static void no_echo_of_the_server(void **state)
{
	(void)state;
	lcp_up();
	for (int i = 0; i < 5; i++)
		PPP(C, LCP, 9, MAGIC_C);
	EXPECT("the server never answers the 5 LCP Echo-Requests of the client.");
}

/* HACKING.md: of two faults of which one brings the other only the first is told. */
static void no_echo_of_an_end_that_is_cut_off(void **state)
{
	(void)state;
	lcp_up();
	data(1);
	for (int i = 0; i < 8; i++) {
		frames.ms += 1000;
		PPP(C, LCP, 9, MAGIC_C);
	}
	EXPECT("1. Call 1.1: server is silent from 0.012 s to 8.020 s");
	EXPECT_NO("Echo-Requests of the client.");
	EXPECT_NO(" 2. Call");
}

/* Control connections. */

static void nobody_there(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
		frames.sequence[C]--;
	}
	EXPECT("1 control connection, 0 calls");
	EXPECT("Control connection 1: 10.2.0.10 never answers (3 SYN): it is not reachable, or TCP "
	       "port 1723 is blocked on the way.");
}

static void nobody_listens(void **state)
{
	(void)state;
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	frames_add_tcp(&frames, S, FRAMES_RST | FRAMES_ACK, NULL, 0);
	EXPECT(
	    "Control connection 1: 10.2.0.10 refuses it (RST): nothing listens on port 1723 there");
}

static void open_tcp(void)
{
	frames_add_tcp(&frames, C, FRAMES_SYN, NULL, 0);
	frames_add_tcp(&frames, S, FRAMES_SYN | FRAMES_ACK, NULL, 0);
	frames_add_tcp(&frames, C, FRAMES_ACK, NULL, 0);
}

static void a_silent_client(void **state)
{
	(void)state;
	open_tcp();
	close_all();
	EXPECT("the client connects, but never sends a Start-Control-Connection-Request");
}

static void a_silent_server(void **state)
{
	(void)state;
	open_tcp();
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	frames.ms += 6000;
	close_all();
	EXPECT("10.2.0.10 takes the connection, but never replies to the "
	       "Start-Control-Connection-Request");
}

static void a_refused_connection(void **state)
{
	(void)state;
	open_tcp();
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	frames_add_message(&frames, S, PPTP_START_REPLY, 0, 0, 4);
	EXPECT("server replies, not authorized: host");
	EXPECT("Control connection 1: the server 10.2.0.10 refuses it: not authorized.");
}

static void a_start_reply_of_zero_is_none(void **state)
{
	(void)state;
	open_tcp();
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	frames_add_message(&frames, S, PPTP_START_REPLY, 0, 0, 0);
	EXPECT("server replies, result 0, which means nothing: host");
	EXPECT("Nothing looks wrong.");
}

static void no_pptp(void **state)
{
	(void)state;
	open_tcp();
	frames_add_tcp(&frames, C, FRAMES_ACK, "GET / HTTP/1.0\r\n\r\n", 18);
	EXPECT("what the client sends is no PPTP: length above 1024");
	EXPECT("Control connection 1: what the client 10.1.0.10 sends is no PPTP");
}

static void echoes(void **state)
{
	(void)state;
	frames_open(&frames);
	frames_add_message(&frames, C, PPTP_ECHO_REQUEST, 0, 0, 0);
	frames_add_message(&frames, S, PPTP_ECHO_REPLY, 0, 0, 1);
	EXPECT("echoes: 1 of the client (1 answered), 0 of the server (0 answered)");
	frames_add_message(&frames, C, PPTP_ECHO_REQUEST, 0, 0, 0);
	frames.ms += 60000;
	frames_add_message(&frames, C, PPTP_ECHO_REQUEST, 0, 0, 0);
	EXPECT("Echo-Requests of the client get no reply from 0.007 s on (2 of them): the server "
	       "hangs, or is no more reachable.");
}

static void a_refused_call(void **state)
{
	(void)state;
	frames_open(&frames);
	frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, 5, 0, 0);
	frames_add_message(&frames, S, PPTP_OUTGOING_CALL_REPLY, 7, 5, 4);
	EXPECT("server refuses the call: busy");
	EXPECT("Call 1.1: the server refuses it: busy.");
}

static void a_call_without_answer(void **state)
{
	(void)state;
	frames_open(&frames);
	frames_add_message(&frames, C, PPTP_OUTGOING_CALL_REQUEST, 5, 0, 0);
	EXPECT("Nothing looks wrong.");
	frames.ms += 6000;
	close_all();
	EXPECT("Call 1.1: the server never answers the request for it.");
	EXPECT("never answered, and ended: the client closes its control connection");
}

static void an_incoming_call(void **state)
{
	(void)state;
	frames_open(&frames);
	frames_add_message(&frames, S, PPTP_INCOMING_CALL_REQUEST, 7, 0, 0);
	frames_add_message(&frames, C, PPTP_INCOMING_CALL_REPLY, 5, 7, 1);
	frames_add_message(&frames, S, PPTP_INCOMING_CALL_CONNECTED, 5, 0, 0);
	frames_add_message(&frames, S, PPTP_WAN_ERROR_NOTIFY, 5, 0, 0);
	frames_add_message(&frames, S, PPTP_SET_LINK_INFO, 5, 0, 0);
	PPP(S, LCP, 1, MAGIC_S);
	EXPECT(
	    "server asks for an incoming call, ID 7 0.006 client: accepted, ID 5 0.007 server: the "
	    "incoming call is connected 0.008 server counts errors of its line: none");
	EXPECT("server sends 1 ");
}

static void calls_that_end_oddly(void **state)
{
	(void)state;
	up();
	frames_add_message(&frames, S, PPTP_CALL_DISCONNECT_NOTIFY, 0x0500, 0, 1);
	EXPECT("server ends it: lost carrier");
	frames_call(&frames);
	frames_call(&frames);
	EXPECT("ended: the same ID was used for a new one");
	frames_add_message(&frames, S, PPTP_CALL_DISCONNECT_NOTIFY, 0x1234, 0, 2);
	EXPECT("server ends it: general error 0, ID 4660, which no call has");
	frames_add_tcp(&frames, S, FRAMES_RST, NULL, 0);
	EXPECT("server resets the connection (RST)");
	EXPECT("ended: the server resets its control connection");
}

static void an_unknown_message(void **state)
{
	(void)state;
	uint8_t message[12] = {0, 12, 0, 1, 0x1A, 0x2B, 0x3C, 0x4D, 0, 99};
	frames_open(&frames);
	frames_add_tcp(&frames, C, FRAMES_ACK, message, sizeof(message));
	EXPECT("client sends a message of type 99, which the RFC does not know");
}

static void from_the_middle(void **state)
{
	(void)state;
	frames_add_tcp(&frames, C, FRAMES_ACK, NULL, 0);
	frames_add_message(&frames, S, PPTP_OUTGOING_CALL_REPLY, 7, 5, 1);
	PPP(S, LCP, 1, MAGIC_S);
	PPP(C, LCP, 1, MAGIC_C);
	EXPECT("it began before the capture");
	EXPECT("the request for it, ID 5, is not in the capture");
	EXPECT("1 of 1 control connections began before the capture");
	EXPECT("server sends 1 ");
}

static void another_port(void **state)
{
	(void)state;
	frames.port[S] = 5000;
	frames_open(&frames);
	EXPECT("Control connection 1: client 10.1.0.10:40000, server 10.2.0.10:5000");
	EXPECT("server replies, accepted");
}

static void ports_used_again(void **state)
{
	(void)state;
	up();
	close_all();
	frames.sequence[C] += 100000;
	frames.sequence[S] += 100000;
	up();
	EXPECT("2 control connections, 2 calls");
}

static void octets_that_are_missing(void **state)
{
	(void)state;
	frames_open(&frames);
	frames.sequence[C] += 168;
	frames_add_message(&frames, C, PPTP_ECHO_REQUEST, 0, 0, 0);
	frames_add_message(&frames, S, PPTP_ECHO_REPLY, 0, 0, 1);
	EXPECT("168 octets from the client are not in the capture");
	EXPECT("echoes: 1 of the client (1 answered)");
	EXPECT("168 octets from the client are not in the capture: messages may be missing");
}

static void sent_again(void **state)
{
	(void)state;
	frames_open(&frames);
	frames.sequence[C] -= 156;
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	EXPECT("messages: 1 of the client, 1 of the server");
	EXPECT("TCP segments sent again: 1 of the client, 0 of the server");
}

/* Two legs. */

static void on_leg(int leg)
{
	/* client - 10.1.0.1 proxy 10.2.0.1 - server */
	frames.address[C] = leg == 1 ? FRAMES_CLIENT_ADDRESS : 0x0A020001;
	frames.address[S] = leg == 1 ? 0x0A010001 : FRAMES_SERVER_ADDRESS;
	frames.port[C] = leg == 1 ? 40000 : 50000;
	frames.id[C] = leg == 1 ? 5 : 500;
	frames.id[S] = leg == 1 ? 700 : 7;
	frames.gre_sequence[C] = frames.gre_sequence[S] = 0;
	frames.sequence[C] = leg == 1 ? 1000 : 500000;
	frames.sequence[S] = leg == 1 ? 2000 : 600000;
}

/* Both handshakes, one within the other. */
static void open_legs(void)
{
	struct frames outer;
	on_leg(1);
	open_tcp();
	frames_add_message(&frames, C, PPTP_START_REQUEST, 0, 0, 0);
	outer = frames;
	on_leg(2);
	frames_open(&frames);
	frames_call(&frames);
	on_leg(1);
	memcpy(frames.sequence, outer.sequence, sizeof(outer.sequence));
	frames_add_message(&frames, S, PPTP_START_REPLY, 0, 0, 1);
	frames_call(&frames);
}

static void two_legs(void **state)
{
	(void)state;
	open_legs();
	NEGOTIATE(LCP, MAGIC_C, MAGIC_S);
	on_leg(2);
	NEGOTIATE(LCP, MAGIC_C, MAGIC_S);
	EXPECT("another leg of control connection 2");
	EXPECT(
	    "Call 1.1: IDs: client 5, server 700 the same call as 2.1, on the leg of the client");
	EXPECT(
	    "Call 2.1: IDs: client 500, server 7 the same call as 1.1, on the leg of the server");
	EXPECT("Nothing looks wrong.");
}

static void lost_between_two_legs(void **state)
{
	(void)state;
	open_legs();
	for (int i = 0; i < 4; i++)
		PPP(C, LCP, 1, MAGIC_C);
	EXPECT("Call 2.1: IDs: client 500, server 7 the same call as 1.1");
	EXPECT("1. Call 2.1: 4 GRE packets of the client arrive on the other leg and none leaves "
	       "here");
	EXPECT_NO(" 2. Call");
	on_leg(2);
	PPP(S, LCP, 1, MAGIC_S);
	PPP(S, LCP, 1, MAGIC_S);
	EXPECT(
	    "Call 1.1: 2 GRE packets of the server arrive on the other leg and none leaves here: "
	    "what is between the legs, at 10.1.0.1, does not carry them.");
	EXPECT(
	    "Call 2.1: 4 GRE packets of the client arrive on the other leg and none leaves here: "
	    "what is between the legs, at 10.2.0.1, does not carry them.");
}

/* So many each way on a leg, with these sequence numbers, from this time on. */
static void on_leg_at(int leg, uint32_t ms, uint32_t number)
{
	on_leg(leg);
	frames.ms = ms;
	frames.gre_sequence[C] = frames.gre_sequence[S] = number;
}

static void a_wrong_password_on_both_legs(void **state)
{
	(void)state;
	open_legs();
	for (int leg = 1; leg <= 2; leg++) {
		on_leg(leg);
		NEGOTIATE(LCP, MAGIC_C, MAGIC_S AUTH_V2);
		PPP(S, CHAP, 4, "E=691 R=0");
	}
	EXPECT("1. Call 1.1: MS-CHAPv2 fails: the server refuses client: \"E=691 R=0\".");
	EXPECT_NO(" 2. Call");
}

static void less_on_the_second_leg(void **state)
{
	(void)state;
	open_legs();
	on_leg_at(1, 100, 0);
	data(50);
	frames.gre_sequence[C] += 10;
	data(50);
	on_leg_at(2, 100, 0);
	data(30);
	frames.gre_sequence[C] += 6;
	data(14);
	frames.gre_sequence[C] += 10;
	data(50);
	EXPECT("Call 1.1: 10 of 110 packets from client to server are lost (9.1 %) before they get "
	       "here");
	EXPECT("Call 2.1: 6 of 110 packets from client to server are lost (5.5 %) between the two "
	       "legs");
	EXPECT_NO(" 3. Call");
}

static void cut_between_two_legs(void **state)
{
	(void)state;
	open_legs();
	for (uint32_t second = 0; second < 10; second++) {
		on_leg_at(1, 1000 * second + 100, second);
		data(1);
		on_leg_at(2, 1000 * second + 200, second);
		if (second < 2)
			data(1);
		else
			frames_add_gre(&frames, S, "\x00\xFD", 2);
	}
	EXPECT(
	    "1. Call 2.1: GRE of the client goes on arriving on the other leg until 9.100 s, and "
	    "leaves here until 1.200 s only: what is between the legs, at 10.2.0.1, does not "
	    "carry it any more.");
	EXPECT_NO(" 2. Call");
}

/* On both legs, as nothing comes to the first. */
static void cut_before_two_legs(void **state)
{
	(void)state;
	open_legs();
	for (uint32_t second = 0; second < 10; second++) {
		for (int leg = 1; leg <= 2; leg++) {
			on_leg_at(leg, 1000 * second + 100 * (uint32_t)leg, second);
			if (second < 2)
				data(1);
			else
				frames_add_gre(&frames, S, "\x00\xFD", 2);
		}
	}
	EXPECT(
	    "1. Call 1.1: client is silent from 1.100 s to 9.200 s (8.1 s), while server sends 9 "
	    "packets, and does not come back, though the control connection is up: protocol 47 is "
	    "blocked between 10.1.0.10 and 10.1.0.1, on the client's side of where this was "
	    "captured, or PPP hangs there.");
	EXPECT_NO(" 2. Call");
}

/* PPP is judged on the client's leg, the silence on the server's. */
static void no_echo_of_a_server_cut_off_behind_two_legs(void **state)
{
	(void)state;
	open_legs();
	for (uint32_t second = 0; second < 10; second++) {
		for (int leg = 1; leg <= 2; leg++) {
			on_leg_at(leg, 1000 * second + 100 * (uint32_t)leg, second);
			if (second == 0)
				NEGOTIATE(LCP, MAGIC_C, MAGIC_S);
			else
				PPP(C, LCP, 9, MAGIC_C);
		}
	}
	EXPECT("1. Call 2.1: server is silent from 0.202 s to 9.200 s (9.0 s)");
	EXPECT("protocol 47 is blocked between 10.2.0.10 and 10.2.0.1, on the server's side");
	EXPECT_NO(" 2. Call");
}

static void many_silences(void **state)
{
	(void)state;
	lcp_up();
	for (int i = 0; i < 5; i++) {
		frames_add_gre(&frames, S, "\x00\xFD", 2);
		for (int packet = 0; packet < 4; packet++) {
			frames.ms += 2000;
			frames_add_gre(&frames, C, "\x00\xFD", 2);
		}
	}
	frames_add_gre(&frames, S, "\x00\xFD", 2);
	EXPECT("server is silent 2 more times.");
}

static void twice_on_both_legs(void **state)
{
	(void)state;
	open_legs();
	for (int leg = 1; leg <= 2; leg++) {
		on_leg(leg);
		for (int i = 0; i < 20; i++) {
			data(1);
			frames.gre_sequence[C]--;
			frames_add_gre(&frames, C, "\x00\xFD", 2);
		}
	}
	EXPECT("Call 1.1: 20 of 40 packets from client to server are there twice");
	EXPECT_NO("Call 2.1: 20 of");
}

static void wrong_both_ways(void **state)
{
	(void)state;
	up();
	frames.id[C] = 98;
	frames.id[S] = 99;
	PPP(C, LCP, 1, MAGIC_C);
	PPP(S, LCP, 1, MAGIC_S);
	frames.ms += 10000;
	close_all();
	EXPECT("client sends GRE with the wrong call ID: 99, which nobody assigned");
	EXPECT("server sends GRE with the wrong call ID: 98, which nobody assigned");
	EXPECT_NO(" 3. ");
}

/* Files. */

static void cut_short(void **state)
{
	(void)state;
	up();
	frames.length -= 10;
	EXPECT("The file is cut short, this is the story up to there: truncated dump file");
	EXPECT("Call 1.1: IDs: client 5, server not known");
}

static void cut_by_snaplen(void **state)
{
	(void)state;
	up();
	frames.snaplen = 60;
	PPP(C, LCP, 1, MAGIC_C MRU_1400 AUTH_V2 MPPE_128);
	frames_add_message(&frames, C, PPTP_SET_LINK_INFO, 7, 0, 0);
	EXPECT("1 packet of it is not whole in the capture");
	EXPECT("1 packet is cut in the capture, before its header or message ends: capture with");
}

static void other_frames(void **state)
{
	(void)state;
	const uint8_t arp[42] = {[12] = 8, [13] = 6}, bad[34] = {[12] = 8, [14] = 0x41};
	frames_add(&frames, arp, sizeof(arp));
	frames_add(&frames, bad, sizeof(bad));
	frames_add(&frames, bad, 10);
	EXPECT("file: 3 packets in 0.002 s, from 2020-09-13 12:26:40 UTC on");
	EXPECT("1 of them is no IPv4.");
	EXPECT("2 of them are cut within, or before, the IP header, or no good IP.");
}

static int read_file(const void *octets, size_t length, struct why *why)
{
	FILE *out = fopen("/dev/null", "w");
	FILE *file = fmemopen((void *)octets, length, "r");
	assert_non_null(out);
	assert_non_null(file);
	int answer = explain_open_file(file, "file", out, NULL, why);
	fclose(out);
	return answer;
}

enum { FILE_HEADER = 24, RECORD_HEADER = 16 };

/* The frames in two files, the first of each so many in the one and the others in the other. */
static void write_split(char paths[2][32], size_t each, size_t in_first)
{
	FILE *files[2];
	size_t count = 0, at = FILE_HEADER;
	for (int i = 0; i < 2; i++) {
		strcpy(paths[i], "/tmp/test_explain.XXXXXX");
		files[i] = fdopen(mkstemp(paths[i]), "w");
		assert_non_null(files[i]);
		fwrite(frames.octets, 1, FILE_HEADER, files[i]);
	}
	while (at < frames.length) {
		uint32_t length = bytes_get32(frames.octets + at + 8);
		fwrite(frames.octets + at, 1, RECORD_HEADER + length,
		       files[count++ % each >= in_first]);
		at += RECORD_HEADER + length;
	}
	fclose(files[0]);
	fclose(files[1]);
}

static char *story_of(char *const *paths, size_t count, int expected)
{
	char *text = NULL;
	size_t length;
	struct why why = {""};
	FILE *out = open_memstream(&text, &length);
	assert_int_equal(explain_files(paths, count, out, NULL, &why), expected);
	fclose(out);
	if (expected == 0)
		return text;
	free(text);
	return strdup(why.text);
}

/* All but its first line, which names the files, and the spaces where that was wrapped. */
static const char *rest_of(const char *story)
{
	return strstr(story, "\n1 control connection");
}

/* A rotated capture, in the wrong order; and two that were taken at once. */
static void several_files_are_one_story(void **state)
{
	static const size_t splits[][2] = {{1000, 8}, {2, 1}};
	char paths[2][32], expected[128];
	(void)state;
	up();
	data(20);
	close_all();
	char *whole = frames_story(&frames);
	assert_non_null(rest_of(whole));
	for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
		write_split(paths, splits[i][0], splits[i][1]);
		char *const order[] = {paths[1], paths[0], paths[0]};
		char *story = story_of(order, 2, 0);
		snprintf(expected, sizeof(expected), "%s, %s: ", paths[1], paths[0]);
		assert_memory_equal(story, expected, strlen(expected));
		assert_non_null(rest_of(story));
		assert_string_equal(rest_of(story), rest_of(whole));
		free(story);
		story = story_of(order, 3, -1);
		snprintf(expected, sizeof(expected), "cannot explain %s: it is named twice",
			 paths[0]);
		assert_string_equal(story, expected);
		free(story);
		unlink(paths[0]);
		story = story_of(order, 2, -1);
		snprintf(expected, sizeof(expected), "cannot explain %s: No such file or directory",
			 paths[0]);
		assert_string_equal(story, expected);
		free(story);
		unlink(paths[1]);
	}
	free(whole);
}

static void three_files(void **state)
{
	char paths[2][32], more[2][32], expected[128];
	(void)state;
	up();
	write_split(paths, 2, 1);
	write_split(more, 1, 0);
	char *const order[] = {paths[0], paths[1], more[0]};
	char *story = story_of(order, 3, 0);
	snprintf(expected, sizeof(expected), "%s and 2 other files: ", paths[0]);
	assert_memory_equal(story, expected, strlen(expected));
	free(story);
	for (int i = 0; i < 2; i++) {
		unlink(paths[i]);
		unlink(more[i]);
	}
}

/* The other one is told of to its end. */
static void one_of_several_is_cut_short(void **state)
{
	char paths[2][32];
	(void)state;
	up();
	data(20);
	write_split(paths, 1000, 8);
	assert_int_equal(truncate(paths[0], FILE_HEADER + RECORD_HEADER + 60), 0);
	char *const order[] = {paths[0], paths[1]};
	char *story = story_of(order, 2, 0), *at = strstr(story, "The file is cut short");
	assert_non_null(at);
	assert_non_null(strstr(at, paths[0]));
	assert_null(strstr(at, paths[1]));
	free(story);
	unlink(paths[0]);
	unlink(paths[1]);
}

static void no_capture(void **state)
{
	(void)state;
	static char nowhere_path[] = "/nonexistent", root_path[] = "/";
	char *nowhere = nowhere_path, *root = root_path;
	struct why why;
	assert_int_equal(read_file("this is no capture file", 23, &why), -1);
	assert_string_equal(why.text, "cannot explain file: it is no capture: unknown file format");
	assert_int_equal(explain_files(&nowhere, 1, stdout, NULL, &why), -1);
	assert_string_equal(why.text, "cannot explain /nonexistent: No such file or directory");
	assert_int_equal(explain_files(&root, 1, stdout, NULL, &why), -1);
	assert_non_null(strstr(why.text, "cannot explain /: "));
	frames_clear(&frames);
	frames_begin(&frames, 105);
	assert_int_equal(read_file(frames.octets, frames.length, &why), -1);
	assert_string_equal(
	    why.text, "cannot explain file: frames of link type 105 (IEEE802_11) are not known");
}

static void a_story_that_cannot_be_written(void **state)
{
	(void)state;
	struct why why;
	FILE *full = fopen("/dev/full", "w");
	FILE *file = fmemopen(frames.octets, frames.length, "r");
	assert_non_null(full);
	assert_int_equal(explain_open_file(file, "file", full, NULL, &why), -1);
	assert_string_equal(why.text, "cannot write the story of file: No space left on device");
	fclose(full);
}

static void every_line_fits(void **state)
{
	(void)state;
	lcp_up();
	CHALLENGE("vpn");
	RESPONSE("alice");
	PPP(S, CHAP, 4, "E=691 R=1 C=00 V=3 M=Access denied");
	frames.gre_sequence[C] += 10;
	data(20);
	close_all();
	char *story = frames_story(&frames);
	for (char *line = strtok(story, "\n"); line; line = strtok(NULL, "\n"))
		if (strlen(line) > 80)
			fail_msg("%s", line);
	free(story);
}

static void many_events(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 100; i++) {
		PPP(C, LCP, 8, "\x80\xFD");
		PPP(C, LCP, 8, "\x00\xFD");
	}
	PPP(C, LCP, 5, "the end");
	EXPECT("... and 155 events that are left out here ...");
	EXPECT("client terminates LCP: \"the end\"");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_good_call),
	    CASE(no_gre_of_the_client),
	    CASE(no_gre_of_the_server),
	    CASE(one_packet_may_be_under_way),
	    CASE(no_gre_at_all),
	    CASE(no_gre_of_one_of_two),
	    CASE(the_wrong_call_id),
	    CASE(its_own_call_id),
	    CASE(another_address),
	    CASE(strays),
	    CASE(a_stray_with_one_direction),
	    CASE(nothing_at_all),
	    CASE(a_packet_before_its_message),
	    CASE(losses_and_disorder),
	    CASE(twice),
	    CASE(a_sequence_that_jumps),
	    CASE(silences),
	    CASE(silent_and_gone),
	    CASE(silent_from_the_middle),
	    CASE(quiet_on_both_sides_is_no_silence),
	    CASE(fragments),
	    CASE(icmp),
	    CASE(other_gre),
	    CASE(no_answer_to_lcp),
	    CASE(no_answer_to_the_client),
	    CASE(a_looped_line),
	    CASE(lcp_without_agreement),
	    CASE(lcp_anew),
	    CASE(a_request_again_is_not_anew),
	    CASE(a_wrong_password),
	    CASE(pap),
	    CASE(eap),
	    CASE(no_encryption),
	    CASE(encryption_is_required),
	    CASE(many_resets),
	    CASE(encryption_differs),
	    CASE(no_address),
	    CASE(no_echo_of_the_server),
	    CASE(no_echo_of_an_end_that_is_cut_off),
	    CASE(nobody_there),
	    CASE(nobody_listens),
	    CASE(a_silent_client),
	    CASE(a_silent_server),
	    CASE(a_refused_connection),
	    CASE(a_start_reply_of_zero_is_none),
	    CASE(no_pptp),
	    CASE(echoes),
	    CASE(a_refused_call),
	    CASE(a_call_without_answer),
	    CASE(an_incoming_call),
	    CASE(calls_that_end_oddly),
	    CASE(an_unknown_message),
	    CASE(from_the_middle),
	    CASE(another_port),
	    CASE(ports_used_again),
	    CASE(octets_that_are_missing),
	    CASE(sent_again),
	    CASE(two_legs),
	    CASE(lost_between_two_legs),
	    CASE(a_wrong_password_on_both_legs),
	    CASE(less_on_the_second_leg),
	    CASE(cut_between_two_legs),
	    CASE(cut_before_two_legs),
	    CASE(no_echo_of_a_server_cut_off_behind_two_legs),
	    CASE(many_silences),
	    CASE(twice_on_both_legs),
	    CASE(wrong_both_ways),
	    CASE(cut_short),
	    CASE(cut_by_snaplen),
	    CASE(other_frames),
	    CASE(several_files_are_one_story),
	    CASE(three_files),
	    CASE(one_of_several_is_cut_short),
	    CASE(no_capture),
	    CASE(a_story_that_cannot_be_written),
	    CASE(every_line_fits),
	    CASE(many_events),
	};
	return cmocka_run_group_tests_name("explain", tests, NULL, NULL) != 0;
}
