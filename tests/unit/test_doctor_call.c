/*
 * A call to a server that sends without end: here it answers in the place of doctor_talk, and of
 * the system where packets are received.
 */
#include "doctor/doctor_call.h"

#include "host/monotonic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SERVER = 0x7F000001, ENDLESS_S = 30 };

static bool floods_control, floods_packets;

/* The call is accepted: only the fields that a client looks at. */
static const uint8_t reply[32] = {[9] = PPTP_OUTGOING_CALL_REPLY, [13] = 7, [16] = PPTP_RESULT_OK};
static const uint8_t error_notify[40];

bool doctor_talk_send(struct doctor_talk *talk, const uint8_t *octets, size_t length)
{
	(void)talk, (void)octets, (void)length;
	return true;
}

enum doctor_talk_answer doctor_talk_expect(struct doctor_talk *talk, unsigned ms, uint16_t type,
					   const uint8_t **message)
{
	(void)talk, (void)ms;
	*message = reply;
	return type == PPTP_OUTGOING_CALL_REPLY ? DOCTOR_TALK_OK : DOCTOR_TALK_SILENT;
}

enum doctor_talk_answer doctor_talk_receive(struct doctor_talk *talk, unsigned ms,
					    const uint8_t **message, uint16_t *type)
{
	(void)talk, (void)ms;
	*message = error_notify;
	*type = PPTP_WAN_ERROR_NOTIFY;
	return floods_control ? DOCTOR_TALK_OK : DOCTOR_TALK_SILENT;
}

/* An IP header, and what is no packet of ours. */
ssize_t __wrap_recvfrom(int fd, void *octets, size_t size, int flags, void *from, void *length);
ssize_t __wrap_recvfrom(int fd, void *octets, size_t size, int flags, void *from, void *length)
{
	(void)fd, (void)size, (void)flags, (void)from, (void)length;
	memset(octets, 0, 40);
	*(uint8_t *)octets = 0x45;
	return floods_packets ? 40 : -1;
}

/* What is said of a call to it. */
static char *call(void)
{
	static char said[4096];
	char *text;
	size_t length;
	int ends[2];
	struct doctor_report report = {.out = open_memstream(&text, &length)};
	struct doctor_talk talk = {.fd = -1};
	struct gre_socket sockets = GRE_SOCKET_NONE;
	const struct doctor_firewall_gre gre = {.out = ""};
	struct doctor_call_config config = {
	    .name = "it", .addr = SERVER, .timeout_s = 1, .gre = &gre, .sockets = &sockets};

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
	assert_int_equal(write(ends[1], "", 1), 1); /* never read: there is always more */
	sockets.receive_fd = ends[0];
	sockets.send_fd = socket(AF_INET, SOCK_DGRAM, 0);
	talk.fd = ends[0];
	assert_true(doctor_call_make(&report, &talk, &config));
	close(sockets.send_fd);
	close(ends[0]);
	close(ends[1]);
	fclose(report.out);
	snprintf(said, sizeof(said), "%s", text);
	free(text);
	return said;
}

static void a_flood_of_messages_ends_with_the_time(void **state)
{
	(void)state;
	uint64_t began = monotonic_ms();
	floods_control = true;
	floods_packets = false;
	call();
	assert_true(monotonic_ms() - began < 1000 * ENDLESS_S);
}

static void a_flood_of_packets_ends_with_the_time(void **state)
{
	(void)state;
	uint64_t began = monotonic_ms();
	floods_control = false;
	floods_packets = true;
	call();
	assert_true(monotonic_ms() - began < 1000 * ENDLESS_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_flood_of_messages_ends_with_the_time),
	    cmocka_unit_test(a_flood_of_packets_ends_with_the_time),
	};
	alarm(2 * ENDLESS_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
