#include "doctor/doctor_server.h"

#include "doctor/doctor_addr.h"
#include "doctor/doctor_call.h"
#include "doctor/doctor_talk.h"
#include "host/log.h"
#include "host/monotonic.h"
#include "wire/probe_wire.h"
#include "wire/result_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { STOP_MS = 2000, NAME_ROOM = 4 * PROBE_NAME + 1 };

static const char server_log[] = "on the server: journalctl -t pptpd -e";

struct server {
	struct doctor_report *report;
	const struct doctor_server_config *config;
	const struct doctor_way *way;
	uint16_t port;
	char name[DOCTOR_ADDR_TEXT + 8]; /* "203.0.113.10:1723" */
	struct doctor_talk talk;
};

static unsigned step_ms(const struct server *server)
{
	return server->config->timeout_s * 1000;
}

static double since_ms(uint64_t began_ns)
{
	return (double)(monotonic_ns() - began_ns) / 1e6;
}

/* ---- what goes wrong ---- */

static void tell_unreached(const struct server *server, int error)
{
	struct doctor_report *report = server->report;
	const char *name = server->name;
	char addr[DOCTOR_ADDR_TEXT];

	doctor_addr_text(server->way->addr, addr);
	if (error == ECONNREFUSED) {
		doctor_report_error(report, "%s: connection refused", name);
		doctor_report_why(report, "nothing listens there, or a firewall says so");
		doctor_report_mend(report, "on the server: systemctl start pptpd");
	} else if (error == ETIMEDOUT) {
		doctor_report_error(report, "%s: no answer within %u s", name,
				    server->config->timeout_s);
		doctor_report_why(
		    report, "the host is down, or a firewall on the way drops TCP to that port");
		doctor_report_mend(report, "ping -c 3 %s", addr);
	} else {
		doctor_report_error(report, "%s: cannot be reached: %s", name, strerror(error));
		doctor_report_why(report, "connections of this pair's clients are closed");
		doctor_report_mend(report, "ip route get %s", addr);
	}
}

static void tell_unanswered(const struct server *server, enum doctor_talk_answer answer,
			    const char *question)
{
	struct doctor_report *report = server->report;
	const struct doctor_talk *talk = &server->talk;
	if (answer == DOCTOR_TALK_LIES) {
		doctor_report_error(report, "%s: what comes is not PPTP: %s", server->name,
				    talk->why);
		doctor_report_why(report, "another service has that port");
		doctor_report_mend(report, "on the server: ss -ltnp sport = :%u", server->port);
	} else if (answer == DOCTOR_TALK_ENDED) {
		doctor_report_error(report, "%s: closed after our %s%s%s", server->name, question,
				    talk->error ? ": " : "",
				    talk->error ? strerror(talk->error) : "");
		doctor_report_why(report,
				  "the server does not want this address: its list of who may "
				  "connect, or another service has that port");
		doctor_report_mend(report, "%s", server_log);
	} else {
		doctor_report_error(report, "%s: our %s is not answered within %u s", server->name,
				    question, server->config->timeout_s);
		doctor_report_why(report, "the server hangs, or another service has that port");
		doctor_report_mend(report, "on the server: systemctl restart pptpd");
	}
}

/* ---- steps; each false: there is no use in going on ---- */

static bool reach(struct server *server)
{
	uint64_t began = monotonic_ns();
	int error =
	    doctor_talk_open(&server->talk, server->way->addr, server->port, step_ms(server));
	if (error != 0) {
		tell_unreached(server, error);
		return false;
	}
	doctor_report_ok(server->report, "%s: connected in %.1f ms", server->name, since_ms(began));
	return true;
}

static bool judge_started(const struct server *server, const struct probe_started *started)
{
	struct doctor_report *report = server->report;
	char host[NAME_ROOM], vendor[NAME_ROOM];

	log_escape(host, sizeof(host), started->host, PROBE_NAME);
	log_escape(vendor, sizeof(vendor), started->vendor, PROBE_NAME);
	if (started->result != PPTP_RESULT_OK) {
		doctor_report_error(
		    report, "%s: refuses the control connection: result %u, %s%s%s", server->name,
		    started->result, result_wire_text(PPTP_START_REPLY, started->result, "unknown"),
		    started->error ? ", " : "",
		    started->error ? result_wire_error_text(started->error, "unknown") : "");
		doctor_report_why(report, "it will refuse clients that come by this host as well");
		doctor_report_mend(report, "%s", server_log);
		return false;
	}
	doctor_report_ok(report,
			 "%s: PPTP %u.%u, host '%s', vendor '%s', firmware %u, framing %s%s%s",
			 server->name, started->version >> 8, started->version & 0xFF, host, vendor,
			 started->firmware, started->async ? "asynchronous" : "",
			 started->async && started->sync ? " and " : "",
			 started->sync	  ? "synchronous"
			 : started->async ? ""
					  : "none");
	return true;
}

static bool start(struct server *server)
{
	uint8_t request[PROBE_MESSAGE_MAX];
	const uint8_t *message;
	struct probe_started started;
	size_t length = probe_wire_start(request, "", "pptpproxy --doctor");

	doctor_talk_send(&server->talk, request, length);
	enum doctor_talk_answer answer =
	    doctor_talk_expect(&server->talk, step_ms(server), PPTP_START_REPLY, &message);
	if (answer != DOCTOR_TALK_OK) {
		tell_unanswered(server, answer, "Start-Control-Connection-Request");
		return false;
	}
	probe_wire_read_started(message, &started);
	return judge_started(server, &started);
}

static bool echo(struct server *server)
{
	uint8_t request[PROBE_MESSAGE_MAX];
	const uint8_t *message = NULL;
	char addr[DOCTOR_ADDR_TEXT];
	uint32_t identifier = 0;
	uint64_t began = monotonic_ns();

	if (getrandom(&identifier, sizeof(identifier), GRND_NONBLOCK) < 0)
		identifier = (uint32_t)began;
	size_t length = probe_wire_echo(request, identifier);
	doctor_talk_send(&server->talk, request, length);
	enum doctor_talk_answer answer =
	    doctor_talk_expect(&server->talk, step_ms(server), PPTP_ECHO_REPLY, &message);
	if (answer != DOCTOR_TALK_OK) {
		tell_unanswered(server, answer, "Echo-Request");
		return false;
	}
	if (probe_wire_identifier(message) != identifier) {
		doctor_report_warning(server->report, "%s: its Echo-Reply is for another request",
				      server->name);
		doctor_report_why(server->report, "clients that keep count end their calls");
		doctor_report_mend(server->report,
				   "tcpdump -ni %s -c 20 -w echo.pcap host %s and tcp port %u",
				   server->way->interface[0] ? server->way->interface : "any",
				   doctor_addr_text(server->way->addr, addr), server->port);
		return true;
	}
	doctor_report_ok(server->report, "%s: Echo-Reply in %.1f ms", server->name,
			 since_ms(began));
	return true;
}

static void stop(struct server *server)
{
	enum { REASON_NONE = 1 };
	uint8_t request[PPTP_ANSWER_MAX];
	const uint8_t *message;
	size_t length = pptp_wire_make_stop(request, REASON_NONE);

	/* Some close at once; that is an end as well. */
	if (!doctor_talk_send(&server->talk, request, length) ||
	    doctor_talk_expect(&server->talk, STOP_MS, PPTP_STOP_REPLY, &message) !=
		DOCTOR_TALK_SILENT)
		return;
	doctor_report_note(server->report,
			   "%s: our Stop-Control-Connection-Request is not answered", server->name);
	doctor_report_why(server->report, "it may take the connection for one that is up");
	doctor_report_mend(server->report, "on the server: ss -tnp state established sport = :%u",
			   server->port);
}

void doctor_server_call(struct doctor_report *report, const struct doctor_way *way, uint16_t port,
			const struct doctor_server_config *config)
{
	struct server server = {
	    .report = report, .config = config, .way = way, .port = port, .talk = {.fd = -1}};
	char addr[DOCTOR_ADDR_TEXT];

	snprintf(server.name, sizeof(server.name), "%s:%u", doctor_addr_text(way->addr, addr),
		 port);
	if (reach(&server) && start(&server) && echo(&server)) {
		bool goes_on = true;
		if (config->sockets) {
			const struct doctor_call_config call = {.name = server.name,
								.addr = way->addr,
								.timeout_s = config->timeout_s,
								.gre = config->gre,
								.gre_blocked = way->gre_blocked,
								.sockets = config->sockets};
			goes_on = doctor_call_make(report, &server.talk, &call);
		}
		if (goes_on)
			stop(&server);
	}
	doctor_talk_close(&server.talk);
}
