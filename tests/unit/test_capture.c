/*
 * Who sees what: filters, streams of messages and their positions, packets before and after, files
 * one after the other, slow writers, and calls that are watched meanwhile.
 */
#include "capture/capture_conn.h"
#include "capture/capture_gre.h"

#include "host/capture_file.h"
#include "wire/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	CLIENT = 0x0a010002,
	OTHER_CLIENT = 0x0a010003,
	INSIDE = 0x0a010001,
	OUTSIDE = 0x0a020001,
	SERVER = 0x0a020002,
	PACKETS_MAX = 64,
	FIN = 1,
	SYN = 2,
	PSH = 8,
	ACK = 16,
	MESSAGE = PSH | ACK,
};

static struct callid_db *db;
static struct capture *capture;
static callid_ref calls[2]; /* of CLIENT on connection 1, of OTHER_CLIENT on connection 2 */
static struct capture_conn conns[2];
static struct {
	int full, ended, call_ended, error;
	struct capture_sink *give; /* gets a file when it is full; NULL: none does */
	int fds[4];
} heard;

static callid_ref reserve(uint32_t client, uint64_t connection)
{
	const struct callid_request request = {
	    .legs = {{INSIDE, client}, {OUTSIDE, SERVER}},
	    .caller = CALLID_CLIENT,
	    .caller_id = 5,
	    .connection = connection,
	};
	uint16_t shown;
	return callid_db_reserve(db, &request, 1, &shown);
}

static struct capture_conn conn_of(uint32_t client, uint64_t number)
{
	return (struct capture_conn){
	    .capture = capture,
	    .number = number,
	    .legs = {{.proxy_addr = INSIDE,
		      .peer_addr = client,
		      .proxy_port = 1723,
		      .peer_port = 40001},
		     {.proxy_addr = OUTSIDE,
		      .peer_addr = SERVER,
		      .proxy_port = 40002,
		      .peer_port = 1723}},
	};
}

static int set_up(void **state)
{
	struct why why;
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	db = callid_db_new(NULL);
	capture = capture_new(db, &why);
	memset(&heard, 0, sizeof(heard));
	calls[0] = reserve(CLIENT, 1);
	calls[1] = reserve(OTHER_CLIENT, 2);
	conns[0] = conn_of(CLIENT, 1);
	conns[1] = conn_of(OTHER_CLIENT, 2);
	return capture ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	capture_free(capture);
	callid_db_free(db);
	return 0;
}

/* ---- sinks ---- */

static void on_full(void *arg)
{
	(void)arg;
	if (heard.give)
		capture_next(heard.give, dup(heard.fds[heard.full]));
	heard.full++;
}

static void on_call_ended(void *arg)
{
	(void)arg;
	heard.call_ended++;
}

static void on_ended(void *arg, int error)
{
	(void)arg;
	heard.ended++;
	heard.error = error;
}

static const struct capture_events events = {
    .full = on_full, .call_ended = on_call_ended, .ended = on_ended};

static struct capture_sink *start(struct capture_filter filter, int fd)
{
	const struct capture_sink_config config = {.filter = filter, .events = &events};
	struct why why;
	struct capture_sink *sink = capture_start(capture, &config, &why);
	assert_non_null(sink);
	if (fd >= 0)
		capture_next(sink, dup(fd));
	return sink;
}

static int file(void)
{
	int fd = memfd_create("capture", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

#define UNTIL(condition)                                                                           \
	while (!(condition)) {                                                                     \
		struct pollfd waiting = {.fd = capture_wake_fd(capture), .events = POLLIN};        \
		assert_int_equal(poll(&waiting, 1, 10000), 1);                                     \
		capture_attend(capture);                                                           \
	}

/* ---- what a file holds ---- */

struct seen {
	uint32_t source, destination;
	uint8_t protocol, flags;
	uint32_t seq, ack;
	size_t length; /* behind TCP's header, or IP's */
	uint8_t octets[256];
};

static struct {
	size_t count;
	struct seen packets[PACKETS_MAX];
} seen;

static struct seen take_apart(const u_char *octets, size_t length)
{
	struct seen packet = {
	    .source = bytes_get32(octets + 12),
	    .destination = bytes_get32(octets + 16),
	    .protocol = octets[9],
	};
	size_t head = 20;
	assert_int_equal(bytes_get16(octets + 2), length);
	if (packet.protocol == 6) {
		packet.seq = bytes_get32(octets + 24);
		packet.ack = bytes_get32(octets + 28);
		packet.flags = octets[33];
		head += octets[32] >> 4 << 2;
	}
	packet.length = length - head;
	memcpy(packet.octets, octets + head, packet.length < 256 ? packet.length : 256);
	return packet;
}

static void read_file(int fd)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *octets;
	lseek(fd, 0, SEEK_SET);
	pcap_t *pcap = pcap_fopen_offline(fdopen(fd, "r"), error);
	assert_non_null(pcap);
	seen.count = 0;
	while (pcap_next_ex(pcap, &header, &octets) == 1) {
		assert_true(seen.count < PACKETS_MAX);
		seen.packets[seen.count++] = take_apart(octets, header->caplen);
	}
	pcap_close(pcap);
}

/* ---- messages ---- */

static void say(int which, enum callid_side side, enum capture_direction direction,
		const char *text)
{
	capture_conn_message(&conns[which], side, direction, (const uint8_t *)text, strlen(text));
}

static void expect_segment(size_t at, uint32_t source, uint32_t destination, unsigned flags,
			   const char *text)
{
	assert_true(at < seen.count);
	const struct seen *packet = &seen.packets[at];
	assert_int_equal(packet->protocol, 6);
	assert_int_equal(packet->source, source);
	assert_int_equal(packet->destination, destination);
	assert_int_equal(packet->flags, flags);
	assert_int_equal(packet->length, strlen(text));
	assert_memory_equal(packet->octets, text, strlen(text));
}

/* Segments at these places follow on each other in one direction. */
static void expect_follows(size_t at, size_t next)
{
	const struct seen *packet = &seen.packets[at];
	uint32_t more = packet->length + (packet->flags & (SYN | FIN) ? 1 : 0);
	assert_int_equal(seen.packets[next].seq, packet->seq + more);
}

static void expect_acknowledges(size_t at, size_t other)
{
	const struct seen *packet = &seen.packets[other];
	uint32_t more = packet->length + (packet->flags & (SYN | FIN) ? 1 : 0);
	assert_int_equal(seen.packets[at].ack, packet->seq + more);
}

static void streams_begin_go_on_and_end(void **state)
{
	int fd = file();
	struct capture_sink *sink = start((struct capture_filter){.what = CAPTURE_ALL}, fd);
	(void)state;
	say(0, CALLID_CLIENT, CAPTURE_IN, "request");
	say(0, CALLID_SERVER, CAPTURE_OUT, "rewritten");
	say(0, CALLID_SERVER, CAPTURE_IN, "reply");
	say(0, CALLID_CLIENT, CAPTURE_OUT, "reply too");
	capture_conn_end(&conns[0]);
	capture_stop(sink, NULL);
	read_file(fd);
	assert_int_equal(seen.count, 6 + 4 + 6);
	expect_segment(0, CLIENT, INSIDE, SYN, "");
	expect_segment(1, INSIDE, CLIENT, SYN | ACK, "");
	expect_segment(2, CLIENT, INSIDE, ACK, "");
	expect_segment(3, OUTSIDE, SERVER, SYN, "");
	expect_segment(4, SERVER, OUTSIDE, SYN | ACK, "");
	expect_segment(5, OUTSIDE, SERVER, ACK, "");
	expect_segment(6, CLIENT, INSIDE, MESSAGE, "request");
	expect_segment(7, OUTSIDE, SERVER, MESSAGE, "rewritten");
	expect_segment(8, SERVER, OUTSIDE, MESSAGE, "reply");
	expect_segment(9, INSIDE, CLIENT, MESSAGE, "reply too");
	expect_segment(10, INSIDE, CLIENT, FIN | ACK, "");
	expect_segment(11, CLIENT, INSIDE, FIN | ACK, "");
	expect_segment(12, INSIDE, CLIENT, ACK, "");
	expect_follows(0, 2);
	expect_follows(0, 6);
	expect_follows(6, 11);
	expect_follows(1, 9);
	expect_follows(9, 10);
	expect_follows(10, 12);
	expect_follows(3, 7);
	expect_follows(4, 8);
	expect_acknowledges(1, 0);
	expect_acknowledges(2, 1);
	expect_acknowledges(8, 7);
	expect_acknowledges(9, 6);
	expect_acknowledges(11, 10);
	expect_acknowledges(12, 11);
}

static void whoever_closed_first(void **state)
{
	int fd = file();
	struct capture_sink *sink = start((struct capture_filter){.what = CAPTURE_ALL}, fd);
	(void)state;
	say(0, CALLID_CLIENT, CAPTURE_IN, "request");
	conns[0].legs[CALLID_CLIENT].peer_closed = true;
	capture_conn_end(&conns[0]);
	capture_stop(sink, NULL);
	read_file(fd);
	assert_int_equal(seen.count, 6 + 1 + 6);
	expect_segment(7, CLIENT, INSIDE, FIN | ACK, "");
	expect_segment(8, INSIDE, CLIENT, FIN | ACK, "");
	expect_segment(9, CLIENT, INSIDE, ACK, "");
	expect_segment(10, OUTSIDE, SERVER, FIN | ACK, "");
	expect_follows(6, 7);
	expect_follows(7, 9);
	expect_acknowledges(8, 7);
	expect_acknowledges(9, 8);
}

/* What nobody saw is in the positions all the same. */
static void one_that_comes_later_sees_a_beginning(void **state)
{
	int early = file(), late = file();
	struct capture_sink *first = start((struct capture_filter){.what = CAPTURE_ALL}, early),
			    *second;
	uint32_t seq;
	(void)state;
	say(0, CALLID_CLIENT, CAPTURE_IN, "first");
	say(0, CALLID_CLIENT, CAPTURE_IN, "second");
	second = start((struct capture_filter){.what = CAPTURE_ALL}, late);
	say(0, CALLID_CLIENT, CAPTURE_IN, "third");
	capture_stop(first, NULL);
	say(0, CALLID_CLIENT, CAPTURE_IN, "fourth");
	capture_stop(second, NULL);
	say(0, CALLID_CLIENT, CAPTURE_IN, "fifth");
	read_file(early);
	assert_int_equal(seen.count, 9);
	expect_follows(6, 7);
	expect_follows(7, 8);
	seq = seen.packets[8].seq;
	read_file(late);
	assert_int_equal(seen.count, 8);
	expect_segment(0, CLIENT, INSIDE, SYN, "");
	expect_segment(6, CLIENT, INSIDE, MESSAGE, "third");
	expect_segment(7, CLIENT, INSIDE, MESSAGE, "fourth");
	expect_follows(0, 6);
	expect_follows(6, 7);
	assert_int_equal(seen.packets[6].seq, seq);
}

/* ---- packets ---- */

static uint8_t raw[] = {0x45, 0, 0, 20 + 12, 0,	   1, 0,    0,	  64, 47, 0,	0,    10, 1, 0, 2,
			10,   1, 0, 1,	     0x30, 1, 0x88, 0x0b, 0,  0,  0x22, 0x22, 0,  0, 0, 7};

static void show_packet(int which)
{
	uint32_t client = which == 0 ? CLIENT : OTHER_CLIENT;
	const struct capture_gre gre = {.call = calls[which],
					.client_addr = client,
					.source = OUTSIDE,
					.destination = SERVER,
					.tos = 0xb8};
	const struct capture_received received = {
	    .octets = raw, .length = sizeof(raw), .header = 20, .call_id = 0x1111};
	capture_gre_in(capture, &gre, &received);
	capture_gre_out(capture, &gre, raw + 20, sizeof(raw) - 20);
}

static void show_stray(uint32_t from)
{
	const struct capture_gre gre = {.client_addr = from};
	const struct capture_received received = {.octets = raw, .length = sizeof(raw)};
	capture_gre_in(capture, &gre, &received);
}

static void packets_are_as_on_each_side(void **state)
{
	int fd = file();
	struct capture_sink *sink = start((struct capture_filter){.what = CAPTURE_ALL}, fd);
	struct capture_figures figures;
	(void)state;
	assert_true(capture_is_on(capture));
	show_packet(0);
	show_stray(CLIENT);
	capture_stop(sink, &figures);
	assert_false(capture_is_on(capture));
	assert_int_equal(figures.seen, 3);
	assert_int_equal(figures.lost, 0);
	show_packet(0); /* to nobody */
	read_file(fd);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.packets[0].source, CLIENT);
	assert_int_equal(seen.packets[0].destination, INSIDE);
	assert_int_equal(bytes_get16(seen.packets[0].octets + 6), 0x1111); /* as it came */
	assert_int_equal(bytes_get32(seen.packets[0].octets + 8), 7);
	assert_int_equal(seen.packets[1].source, OUTSIDE);
	assert_int_equal(seen.packets[1].destination, SERVER);
	assert_int_equal(bytes_get16(seen.packets[1].octets + 6), 0x2222); /* as it went */
	assert_int_equal(bytes_get16(seen.packets[2].octets + 6), 0x2222); /* as it lies there */
}

static size_t count_seen(struct capture_filter filter)
{
	int fd = file();
	struct capture_sink *sink = start(filter, fd);
	for (int which = 0; which < 2; which++) {
		conns[which] = conn_of(which == 0 ? CLIENT : OTHER_CLIENT, 1 + (uint64_t)which);
		show_packet(which);
		say(which, CALLID_CLIENT, CAPTURE_IN, "message");
	}
	show_stray(CLIENT);
	show_stray(SERVER);
	capture_stop(sink, NULL);
	read_file(fd);
	return seen.count;
}

static void filters(void **state)
{
	enum { MESSAGE_AND_BEGINNING = 7, PACKET = 2 };
	(void)state;
	assert_int_equal(count_seen((struct capture_filter){.what = CAPTURE_ALL}),
			 2 * (PACKET + MESSAGE_AND_BEGINNING) + 2);
	assert_int_equal(
	    count_seen((struct capture_filter){.what = CAPTURE_CLIENT, .client_addr = CLIENT}),
	    PACKET + MESSAGE_AND_BEGINNING + 1);
	assert_int_equal(count_seen((struct capture_filter){.what = CAPTURE_CLIENT,
							    .client_addr = OTHER_CLIENT}),
			 PACKET + MESSAGE_AND_BEGINNING);
	assert_int_equal(count_seen((struct capture_filter){
			     .what = CAPTURE_CALL, .call = calls[1], .connection = 2}),
			 PACKET + MESSAGE_AND_BEGINNING);
}

/* ---- the table ---- */

static bool is_watched(callid_ref call)
{
	struct callid_info info;
	assert_true(callid_db_get(db, call, &info));
	return info.watched;
}

static void calls_are_watched_meanwhile(void **state)
{
	struct capture_sink *all, *one, *client;
	(void)state;
	assert_false(is_watched(calls[0]));
	one = start(
	    (struct capture_filter){.what = CAPTURE_CALL, .call = calls[0], .connection = 1}, -1);
	assert_true(is_watched(calls[0]));
	assert_false(is_watched(calls[1]));
	all = start((struct capture_filter){.what = CAPTURE_ALL}, -1);
	assert_true(is_watched(calls[1]));
	capture_stop(one, NULL);
	assert_true(is_watched(calls[0]));
	client = start((struct capture_filter){.what = CAPTURE_CLIENT, .client_addr = CLIENT}, -1);
	capture_stop(all, NULL);
	assert_true(is_watched(calls[0]));
	assert_false(is_watched(calls[1]));
	assert_true(is_watched(reserve(CLIENT, 3))); /* a new one */
	assert_false(is_watched(reserve(OTHER_CLIENT, 4)));
	capture_stop(client, NULL);
	assert_false(is_watched(calls[0]));
}

static void end_of_the_call_is_told(void **state)
{
	struct capture_sink *sink = start(
	    (struct capture_filter){.what = CAPTURE_CALL, .call = calls[0], .connection = 1}, -1);
	(void)state;
	callid_db_end(db, calls[1], 2, NULL);
	assert_int_equal(heard.call_ended, 0);
	callid_db_end(db, calls[0], 2, NULL);
	UNTIL(heard.call_ended == 1);
	capture_stop(sink, NULL);
}

/* ---- files ---- */

static void next_file_when_one_is_full(void **state)
{
	const struct capture_sink_config config = {
	    .filter = {.what = CAPTURE_ALL},
	    .limit = CAPTURE_FILE_RECORD_MAX + 24 + 2 * (16 + sizeof(raw)),
	    .events = &events,
	};
	struct capture_figures figures;
	struct why why;
	int first = file();
	(void)state;
	heard.give = capture_start(capture, &config, &why);
	assert_non_null(heard.give);
	for (int i = 0; i < 4; i++)
		heard.fds[i] = file();
	show_packet(0);
	show_packet(0); /* they wait for the first file */
	capture_next(heard.give, dup(first));
	UNTIL(heard.full == 1);
	show_packet(0);
	show_packet(0);
	UNTIL(heard.full == 2);
	capture_stop(heard.give, &figures);
	assert_int_equal(figures.seen, 8);
	size_t count = 0;
	read_file(first);
	assert_int_equal(seen.count, 3); /* the third begins below the limit */
	count += seen.count;
	for (int i = 0; i < heard.full; i++) {
		read_file(heard.fds[i]);
		count += seen.count;
	}
	assert_int_equal(count, 8);
}

static void full_disk_is_told_once(void **state)
{
	struct capture_sink *sink = start((struct capture_filter){.what = CAPTURE_ALL}, -1);
	(void)state;
	capture_next(sink, open("/dev/full", O_WRONLY | O_CLOEXEC));
	UNTIL(heard.ended == 1);
	assert_int_equal(heard.error, ENOSPC);
	show_packet(0);
	capture_attend(capture);
	assert_int_equal(heard.ended, 1);
	capture_stop(sink, NULL);
}

/* Reads as pcap does, and returns what the last record tells. */
static uint32_t read_stream(int fd, size_t *packets)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *octets;
	uint32_t lost = UINT32_MAX;
	pcap_t *pcap = pcap_fopen_offline(fdopen(fd, "r"), error);
	assert_non_null(pcap);
	for (*packets = 0; pcap_next_ex(pcap, &header, &octets) == 1;) {
		if (header->caplen == 0)
			lost = header->len;
		else
			++*packets;
	}
	pcap_close(pcap);
	return lost;
}

/* Nobody waits for one who does not read; he hears in the end what he has missed. */
static void slow_reader_loses_packets(void **state)
{
	static uint8_t large[60000];
	const struct capture_gre gre = {.call = calls[0], .client_addr = CLIENT};
	const struct capture_sink_config config = {
	    .filter = {.what = CAPTURE_ALL}, .events = &events, .tells_lost = true};
	struct capture_figures figures;
	struct why why;
	size_t packets, count = 0;
	int ends[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct capture_sink *sink = capture_start(capture, &config, &why);
	capture_next(sink, ends[0]);
	do {
		capture_gre_out(capture, &gre, large, sizeof(large));
		count++;
		capture_figures(sink, &figures);
	} while (figures.lost < 3);
	capture_finish(sink);
	assert_int_equal(read_stream(ends[1], &packets), 3);
	assert_int_equal(packets, count - 3);
	UNTIL(heard.ended == 1);
	assert_int_equal(heard.error, 0);
	capture_stop(sink, &figures);
	assert_int_equal(figures.seen, count - 3);
}

static void reader_goes_away(void **state)
{
	int ends[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct capture_sink *sink = start((struct capture_filter){.what = CAPTURE_ALL}, ends[0]);
	close(ends[0]);
	close(ends[1]);
	show_packet(0);
	UNTIL(heard.ended == 1);
	assert_int_equal(heard.error, EPIPE);
	capture_stop(sink, NULL);
}

/* One who does not read does not hold up the end either. */
static void stop_does_not_wait_for_ever(void **state)
{
	static uint8_t large[60000];
	const struct capture_gre gre = {.call = calls[0], .client_addr = CLIENT};
	struct capture_figures figures;
	int ends[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct capture_sink *sink = start((struct capture_filter){.what = CAPTURE_ALL}, ends[0]);
	close(ends[0]);
	for (int i = 0; i < 100; i++)
		capture_gre_out(capture, &gre, large, sizeof(large));
	capture_stop(sink, &figures);
	assert_true(figures.lost > 50);
	assert_int_equal(figures.seen + figures.lost, 100);
	close(ends[1]);
}

static struct capture_figures last;

static void on_stopped(void *arg, const struct capture_figures *figures)
{
	(void)arg;
	last = *figures;
}

/* At an upgrade packets wait meanwhile: a reader who is stopped must not cost a second. */
static void end_hurries_and_counts_what_has_left(void **state)
{
	static uint8_t large[60000];
	static const struct capture_events told = {.stopped = on_stopped};
	const struct capture_gre gre = {.call = calls[0], .client_addr = CLIENT};
	const struct capture_sink_config config = {
	    .filter = {.what = CAPTURE_ALL}, .events = &told, .tells_lost = true};
	struct timespec begin, end;
	struct why why;
	int ends[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	capture_next(capture_start(capture, &config, &why), ends[0]);
	for (int i = 0; i < 100; i++)
		capture_gre_out(capture, &gre, large, sizeof(large));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	capture_free(capture);
	clock_gettime(CLOCK_MONOTONIC, &end);
	capture = NULL;
	assert_in_range(
	    (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000, 0, 700);
	assert_true(last.lost > 50);
	assert_int_equal(last.seen + last.lost, 100);
	close(ends[1]);
}

/* Packets that a failed write has had are not counted as written. */
static void full_disk_has_nothing(void **state)
{
	struct capture_sink *sink = start((struct capture_filter){.what = CAPTURE_ALL}, -1);
	struct capture_figures figures;
	(void)state;
	show_packet(0);
	capture_next(sink, open("/dev/full", O_WRONLY | O_CLOEXEC));
	UNTIL(heard.ended == 1);
	capture_stop(sink, &figures);
	assert_int_equal(figures.seen, 0);
	assert_int_equal(figures.lost, 2);
}

/* The file has what waits, and so says the count. */
static void end_counts_what_it_writes(void **state)
{
	static const struct capture_events told = {.stopped = on_stopped};
	const struct capture_sink_config config = {.filter = {.what = CAPTURE_ALL},
						   .events = &told};
	struct why why;
	int fd = file();
	(void)state;
	capture_next(capture_start(capture, &config, &why), dup(fd));
	show_packet(0);
	show_packet(0);
	capture_free(capture);
	capture = NULL;
	read_file(fd);
	assert_int_equal(seen.count, 4);
	assert_int_equal(last.seen, 4);
	assert_int_equal(last.lost, 0);
}

static void so_many_sinks(void **state)
{
	struct capture_sink *sinks[CAPTURE_SINKS_MAX];
	const struct capture_sink_config config = {.events = &events};
	struct why why;
	(void)state;
	for (int i = 0; i < CAPTURE_SINKS_MAX; i++)
		sinks[i] = start((struct capture_filter){.what = CAPTURE_ALL}, -1);
	assert_null(capture_start(capture, &config, &why));
	assert_string_equal(why.text, "there are 8 captures already");
	capture_stop(sinks[3], NULL);
	sinks[3] = start((struct capture_filter){.what = CAPTURE_ALL}, -1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(streams_begin_go_on_and_end),
	    CASE(whoever_closed_first),
	    CASE(one_that_comes_later_sees_a_beginning),
	    CASE(packets_are_as_on_each_side),
	    CASE(filters),
	    CASE(calls_are_watched_meanwhile),
	    CASE(end_of_the_call_is_told),
	    CASE(next_file_when_one_is_full),
	    CASE(full_disk_is_told_once),
	    CASE(slow_reader_loses_packets),
	    CASE(reader_goes_away),
	    CASE(stop_does_not_wait_for_ever),
	    CASE(end_hurries_and_counts_what_has_left),
	    CASE(full_disk_has_nothing),
	    CASE(end_counts_what_it_writes),
	    CASE(so_many_sinks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
