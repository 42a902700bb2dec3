/*
 * The socket that receives takes all enhanced GRE there is, so that packets from another address
 * than the server's are seen. The one that sends is connected to the server, as the system tells of
 * ICMP errors only there; those that may pass (no route for the moment) it keeps to itself.
 */
#include "doctor/doctor_call.h"

#include "doctor/doctor_addr.h"
#include "host/monotonic.h"
#include "wire/probe_wire.h"
#include "wire/result_wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* Where both of pptpd's programs write to. */
static const char server_log[] = "on the server: journalctl -t pptpd -t pppd -e";
static const char on_the_way[] =
    "on each firewall in between: nft insert rule inet filter forward ip protocol gre accept";

enum { REPEAT_MS = 500, CLEAR_MS = 2000, PACKET_ROOM = 65536 };

struct call {
	struct doctor_report *report;
	const struct doctor_call_config *config;
	struct doctor_talk *talk;
	int fd; /* sends */
	uint16_t own_id, server_id;
	uint32_t magic, sent; /* packets; each has its number, and the LCP identifier of it */
	uint64_t began_ns;
	double first_ms, answer_ms; /* 0: not yet */
	bool requested;		    /* the server's own Configure-Request came */
	uint32_t stranger; /* who sent a packet with our ID, if not the server; 0: nobody */
	int send_error, icmp_error; /* errno; 0: none */
	bool hung_up, lost;	    /* by the server: the call, the control connection */
	uint8_t result;		    /* of its Call-Disconnect-Notify */
};

static double now_ms(const struct call *call)
{
	return (double)(monotonic_ns() - call->began_ns) / 1e6;
}

/* ---- the control connection ---- */

static void tell_no_reply(struct call *call, enum doctor_talk_answer answer)
{
	const struct doctor_call_config *config = call->config;
	call->lost = answer != DOCTOR_TALK_SILENT;
	if (answer == DOCTOR_TALK_SILENT)
		doctor_report_error(call->report,
				    "%s: our Outgoing-Call-Request is not answered within %u s",
				    config->name, config->timeout_s);
	else
		doctor_report_error(call->report, "%s: closed after our Outgoing-Call-Request",
				    config->name);
	doctor_report_why(call->report, "it takes control connections, but no calls");
	doctor_report_mend(call->report, "%s", server_log);
}

static bool request(struct call *call)
{
	uint8_t octets[PROBE_MESSAGE_MAX];
	const uint8_t *message;
	size_t length = probe_wire_call(octets, call->own_id, call->own_id);

	doctor_talk_send(call->talk, octets, length);
	enum doctor_talk_answer answer = doctor_talk_expect(
	    call->talk, call->config->timeout_s * 1000, PPTP_OUTGOING_CALL_REPLY, &message);
	if (answer != DOCTOR_TALK_OK) {
		tell_no_reply(call, answer);
		return false;
	}
	call->server_id = pptp_wire_at12(message);
	uint8_t result = pptp_wire_result(message);
	if (result == PPTP_RESULT_OK)
		return true;
	doctor_report_error(call->report, "%s: refuses the call: result %u, %s, %s",
			    call->config->name, result,
			    result_wire_text(PPTP_OUTGOING_CALL_REPLY, result, "unknown"),
			    result_wire_error_text(probe_wire_error(message), "unknown"));
	doctor_report_why(call->report, "it will refuse clients' calls as well: often all its "
					"lines are taken");
	doctor_report_mend(call->report, "%s", server_log);
	return false;
}

/* What has come meanwhile. Whoever sends faster than we read is left at the end. */
static void listen_to_control(struct call *call, uint64_t end)
{
	const uint8_t *message;
	uint16_t type;
	enum doctor_talk_answer answer;
	while ((answer = doctor_talk_receive(call->talk, 0, &message, &type)) == DOCTOR_TALK_OK &&
	       monotonic_ms() < end) {
		if (type == PPTP_CALL_DISCONNECT_NOTIFY &&
		    pptp_wire_at12(message) == call->server_id) {
			call->hung_up = true;
			call->result = pptp_wire_result(message);
		}
	}
	call->lost = answer == DOCTOR_TALK_ENDED || answer == DOCTOR_TALK_LIES;
}

static void clear(struct call *call)
{
	uint8_t octets[PPTP_ANSWER_MAX];
	const uint8_t *message;
	if (call->hung_up || call->lost)
		return;
	size_t length = pptp_wire_make_call_clear(octets, call->own_id);
	doctor_talk_send(call->talk, octets, length);
	enum doctor_talk_answer answer =
	    doctor_talk_expect(call->talk, CLEAR_MS, PPTP_CALL_DISCONNECT_NOTIFY, &message);
	call->lost = answer == DOCTOR_TALK_ENDED || answer == DOCTOR_TALK_LIES;
	if (answer != DOCTOR_TALK_SILENT)
		return;
	doctor_report_note(call->report, "%s: our Call-Clear-Request is not answered",
			   call->config->name);
	doctor_report_why(call->report, "it may keep the call's line taken for a while");
	doctor_report_mend(call->report, "on the server: pgrep -a pppd");
}

/* ---- packets ---- */

static int connect_sender(struct call *call)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(call->config->addr)};
	return connect(call->fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : errno;
}

static void send_one(struct call *call)
{
	uint8_t octets[PROBE_PACKET_MAX];
	size_t length = probe_wire_configure(octets, call->server_id, call->sent,
					     (uint8_t)(call->sent + 1), call->magic);
	call->sent++;
	if (send(call->fd, octets, length, 0) >= 0)
		return;
	/* An ICMP error of an earlier packet is told once, to whoever calls next. */
	if (errno == ENOPROTOOPT || errno == EHOSTUNREACH || errno == ECONNREFUSED ||
	    errno == ENETUNREACH)
		call->icmp_error = errno;
	else
		call->send_error = errno;
}

static void hear_icmp(struct call *call)
{
	int error = 0;
	socklen_t size = sizeof(error);
	if (getsockopt(call->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
		call->icmp_error = error;
}

static bool is_answered(const struct call *call, const struct probe_packet *packet)
{
	bool answer = packet->lcp == PROBE_LCP_ANSWER && packet->identifier >= 1 &&
		      packet->identifier <= call->sent;
	return answer || (packet->has_ack && packet->ack < call->sent);
}

static void take_packet(struct call *call, uint32_t source, const uint8_t *octets, size_t length)
{
	struct probe_packet packet;
	if (!probe_wire_read_packet(octets, length, &packet) || packet.call_id != call->own_id)
		return;
	if (source != call->config->addr) {
		call->stranger = source;
		return;
	}
	if (call->first_ms == 0)
		call->first_ms = now_ms(call);
	call->requested |= packet.lcp == PROBE_LCP_REQUEST;
	if (call->answer_ms == 0 && is_answered(call, &packet))
		call->answer_ms = now_ms(call);
}

static void take_packets(struct call *call, uint64_t end)
{
	static uint8_t octets[PACKET_ROOM];
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	ssize_t got;
	while (monotonic_ms() < end &&
	       (got = recvfrom(call->config->sockets->receive_fd, octets, sizeof(octets), 0,
			       (struct sockaddr *)&from, &size)) > 0) {
		size_t header = (size_t)(octets[0] & 0x0F) * 4;
		if ((size_t)got > header)
			take_packet(call, ntohl(from.sin_addr.s_addr), octets + header,
				    (size_t)got - header);
		size = sizeof(from);
	}
}

/* Until both ways are proved, the server hangs up, or the time is over. */
static void exchange(struct call *call)
{
	uint64_t end = monotonic_ms() + call->config->timeout_s * 1000, next = 0;
	/* It may have hung up in the same breath in which it replied. */
	listen_to_control(call, end);
	while (call->answer_ms == 0 && !call->hung_up && !call->lost && call->icmp_error == 0) {
		uint64_t now = monotonic_ms();
		if (now >= end)
			return;
		if (now >= next) {
			send_one(call);
			next = now + REPEAT_MS;
		}
		struct pollfd wait[] = {
		    {.fd = call->config->sockets->receive_fd, .events = POLLIN},
		    {.fd = call->talk->fd, .events = POLLIN},
		    {.fd = call->fd, .events = POLLIN},
		};
		uint64_t until = next < end ? next : end;
		if (poll(wait, 3, until > now ? (int)(until - now) : 0) <= 0)
			continue;
		take_packets(call, end);
		if (wait[1].revents)
			listen_to_control(call, end);
		if (wait[2].revents)
			hear_icmp(call);
	}
}

/* ---- what it means ---- */

static void tell_one_way(struct call *call)
{
	const char *name = call->config->name;
	doctor_report_error(call->report,
			    "%s: GRE comes from it, but ours does not reach it: protocol 47 is "
			    "dropped between here and there",
			    name);
	doctor_report_why(call->report,
			  "%s calls connect, and end after half a minute without having carried "
			  "anything",
			  call->requested ? "it asks by LCP and hears nothing of us:"
					  : "it sends packets, but does not answer ours:");
	doctor_report_mend(call->report, "%s", on_the_way);
}

static void tell_nothing(struct call *call)
{
	doctor_report_error(call->report,
			    "%s: no GRE comes from it within %u s: protocol 47 is "
			    "dropped on the way back, or on both ways",
			    call->config->name, call->config->timeout_s);
	doctor_report_why(call->report,
			  "the call is up there, so it should send; whether our packets reach it "
			  "cannot be told without an answer");
	doctor_report_mend(call->report, "%s", on_the_way);
}

static void tell_hung_up(struct call *call)
{
	const char *name = call->config->name;
	if (call->hung_up)
		doctor_report_error(
		    call->report, "%s: hangs up before a packet comes: result %u, %s", name,
		    call->result,
		    result_wire_text(PPTP_CALL_DISCONNECT_NOTIFY, call->result, "unknown"));
	else
		doctor_report_error(call->report,
				    "%s: ends the control connection before a packet "
				    "comes",
				    name);
	doctor_report_why(call->report,
			  "often its pppd does not start, or its own firewall lets no "
			  "protocol 47 out");
	doctor_report_mend(call->report, "%s", server_log);
}

static void tell_stranger(struct call *call)
{
	char addr[DOCTOR_ADDR_TEXT];
	doctor_report_error(call->report, "%s: its GRE comes from another address, %s",
			    call->config->name, doctor_addr_text(call->stranger, addr));
	doctor_report_why(call->report,
			  "packets belong to a call only from the address that was dialled; they "
			  "are dropped");
	doctor_report_mend(call->report, "pptpproxy --doctor-call -p %s", addr);
}

static void tell_blocked_here(struct call *call)
{
	doctor_report_error(call->report, "%s: this host does not let our GRE out: %s",
			    call->config->name, strerror(call->send_error));
	doctor_report_why(call->report, "no packet of a call leaves; a rule of its own firewall, "
					"most likely");
	doctor_report_mend(call->report, "%s",
			   call->config->gre->out[0] ? call->config->gre->out : "nft list ruleset");
}

static void tell_icmp(struct call *call)
{
	bool unknown = call->icmp_error == ENOPROTOOPT;
	doctor_report_error(call->report, "%s: our GRE is answered by ICMP: %s", call->config->name,
			    unknown ? "protocol unreachable" : strerror(call->icmp_error));
	doctor_report_why(call->report, unknown ? "nobody there takes protocol 47"
						: "a firewall on the way refuses protocol 47");
	doctor_report_mend(call->report, "%s", unknown ? server_log : on_the_way);
}

/* What is wrong further on is not seen before that is mended; it was counted as it was told. */
static void tell_blocked_as_told(struct call *call)
{
	doctor_report_note(call->report,
			   "%s: no call gets through, as this host's firewall drops GRE, see above",
			   call->config->name);
	doctor_report_why(call->report, "whether GRE passes on the way is seen only once it passes "
					"here");
	doctor_report_mend(call->report, "%s", call->config->gre->dropped);
}

static void conclude(struct call *call)
{
	if (call->answer_ms > 0)
		doctor_report_ok(call->report,
				 "%s: GRE goes both ways: the first packet after %.1f ms, ours "
				 "answered after %.1f ms",
				 call->config->name, call->first_ms, call->answer_ms);
	else if (call->config->gre_blocked)
		tell_blocked_as_told(call);
	else if (call->send_error != 0)
		tell_blocked_here(call);
	else if (call->icmp_error != 0)
		tell_icmp(call);
	else if (call->first_ms > 0)
		tell_one_way(call);
	else if (call->stranger != 0)
		tell_stranger(call);
	else if (call->hung_up || call->lost)
		tell_hung_up(call);
	else
		tell_nothing(call);
}

bool doctor_call_make(struct doctor_report *report, struct doctor_talk *talk,
		      const struct doctor_call_config *config)
{
	struct call call = {
	    .report = report, .config = config, .talk = talk, .fd = config->sockets->send_fd};
	char addr[DOCTOR_ADDR_TEXT];
	uint32_t random[2] = {(uint32_t)monotonic_ns(), (uint32_t)getpid()};

	if (getrandom(random, sizeof(random), GRND_NONBLOCK) < 0)
		random[0] ^= random[1] << 16;
	call.own_id = (uint16_t)(random[0] % 0xFFFF + 1);
	call.magic = random[1];
	if (request(&call)) {
		call.began_ns = monotonic_ns();
		int error = connect_sender(&call);
		if (error != 0) {
			doctor_report_error(report, "%s: packets cannot be sent there: %s",
					    config->name, strerror(error));
			doctor_report_why(report,
					  "calls are set up, but nothing passes through them");
			doctor_report_mend(report, "ip route get %s",
					   doctor_addr_text(config->addr, addr));
		} else {
			exchange(&call);
			conclude(&call);
		}
		clear(&call);
	}
	return !call.lost;
}
