/*
 * gre_send: IP packets with enhanced GRE (RFC 2637 section 4.1) as odd as the command line asks,
 * sent by libnet.
 *
 * For tests: source addresses that are not ours, wrong fields, fragments, floods. Bounded: at most
 * COUNT packets and SECONDS seconds. Prints how many packets went out; ends 1 with a sentence if
 * something is wrong with the words or the system refuses.
 */
#include <errno.h>
#include <getopt.h>
#include <libnet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	PAYLOAD_MAX = 65000,
	HEADER_MAX = 16,
	FLAG_K = 0x2000,
	FLAG_S = 0x1000,
	FLAG_A = 0x0080,
	VERSION_1 = 0x0001,
	PROTOCOL_GRE = 47,
	PROTOCOL_ENHANCED = 0x880B,
	SECONDS_MAX = 60,
};

static const char usage[] =
    "usage: gre_send -s SOURCE -d DESTINATION -c CALL_ID [options]\n"
    "  -q SEQ       sequence number, one more with each packet\n"
    "  -a ACK       acknowledgement number\n"
    "  -l OCTETS    length of the payload (0)\n"
    "  -p TEXT      begin of the payload; the rest is 0xA5\n"
    "  -T TOS       type of service octet (0)\n"
    "  -D           with DF\n"
    "  -t TTL       (64)\n"
    "  -n COUNT     packets (1)\n"
    "  -r RATE      packets a second at most (as fast as they go)\n"
    "  -w SECONDS   stop after that long (10; at most 60)\n"
    "  -i           each packet has the next call ID\n"
    "  -f OCTETS    in IP fragments with so much data each, a multiple of 8\n"
    "  -o FLAGS     the first 16 bits as they are\n"
    "  -P PROTOCOL  GRE's protocol type (0x880b)\n"
    "  -L LENGTH    GRE's payload length, whatever it is\n"
    "  -C OCTETS    cut the packet behind so many octets of GRE\n"
    "  -B TEXT      this text behind the payload, which no length tells of\n";

struct job {
	uint32_t source_be, destination_be;
	long call_id, seq, ack, payload, tos, ttl, count, rate, seconds, fragment, flags, protocol,
	    length, cut;
	bool df, next_id;
	const char *text, *trailing;
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "gre_send: %s: %s\n", what, why);
	exit(1);
}

static long number(const char *word, long max)
{
	char *end;
	errno = 0;
	long value = strtol(word, &end, 0);
	if (errno || end == word || *end || value < 0 || value > max)
		fail(word, "is no number in its range");
	return value;
}

static uint32_t address(const char *word)
{
	struct in_addr addr_be;
	if (inet_pton(AF_INET, word, &addr_be) != 1)
		fail(word, "is no IPv4 address");
	return addr_be.s_addr;
}

static void take(struct job *job, int option)
{
	switch (option) {
	case 's':
		job->source_be = address(optarg);
		break;
	case 'd':
		job->destination_be = address(optarg);
		break;
	case 'c':
		job->call_id = number(optarg, UINT16_MAX);
		break;
	case 'q':
		job->seq = number(optarg, UINT32_MAX);
		break;
	case 'a':
		job->ack = number(optarg, UINT32_MAX);
		break;
	case 'l':
		job->payload = number(optarg, PAYLOAD_MAX);
		break;
	case 'p':
		job->text = optarg;
		break;
	case 'T':
		job->tos = number(optarg, UINT8_MAX);
		break;
	case 'D':
		job->df = true;
		break;
	case 't':
		job->ttl = number(optarg, UINT8_MAX);
		break;
	case 'n':
		job->count = number(optarg, 100000000);
		break;
	case 'r':
		job->rate = number(optarg, 100000000);
		break;
	case 'w':
		job->seconds = number(optarg, SECONDS_MAX);
		break;
	case 'i':
		job->next_id = true;
		break;
	case 'f':
		job->fragment = number(optarg, UINT16_MAX) & ~7L;
		break;
	case 'o':
		job->flags = number(optarg, UINT16_MAX);
		break;
	case 'P':
		job->protocol = number(optarg, UINT16_MAX);
		break;
	case 'L':
		job->length = number(optarg, UINT16_MAX);
		break;
	case 'C':
		job->cut = number(optarg, UINT16_MAX);
		break;
	case 'B':
		job->trailing = optarg;
		break;
	default:
		fputs(usage, stderr);
		exit(1);
	}
}

static size_t put(uint8_t *out, uint32_t value, size_t octets)
{
	for (size_t i = 0; i < octets; i++)
		out[i] = (uint8_t)(value >> 8 * (octets - 1 - i));
	return octets;
}

/* The octets behind the IP header; returns how many. */
static size_t build(const struct job *job, long packet, uint8_t *out)
{
	long flags =
	    FLAG_K | VERSION_1 | (job->seq >= 0 ? FLAG_S : 0) | (job->ack >= 0 ? FLAG_A : 0);
	size_t at = 0;

	at += put(out + at, (uint32_t)(job->flags >= 0 ? job->flags : flags), 2);
	at += put(out + at, (uint32_t)job->protocol, 2);
	at += put(out + at, (uint32_t)(job->length >= 0 ? job->length : job->payload), 2);
	at += put(out + at, (uint32_t)(job->call_id + (job->next_id ? packet : 0)) & UINT16_MAX, 2);
	if (job->seq >= 0)
		at += put(out + at, (uint32_t)(job->seq + packet), 4);
	if (job->ack >= 0)
		at += put(out + at, (uint32_t)job->ack, 4);
	memset(out + at, 0xA5, (size_t)job->payload);
	memcpy(out + at, job->text, strnlen(job->text, (size_t)job->payload));
	at += (size_t)job->payload;
	memcpy(out + at, job->trailing, strlen(job->trailing));
	at += strlen(job->trailing);
	return job->cut >= 0 && (size_t)job->cut < at ? (size_t)job->cut : at;
}

/* One IP packet, or one fragment of one. The system fills in an identification of 0. */
static int send_one(libnet_t *net, const struct job *job, uint16_t id, uint16_t fragment,
		    const uint8_t *octets, size_t length)
{
	libnet_clear_packet(net);
	if (libnet_build_ipv4((uint16_t)(LIBNET_IPV4_H + length), (uint8_t)job->tos, id, fragment,
			      (uint8_t)job->ttl, PROTOCOL_GRE, 0, job->source_be,
			      job->destination_be, octets, (uint32_t)length, net, 0) < 0)
		fail("libnet", libnet_geterror(net));
	return libnet_write(net);
}

static int send_packet(libnet_t *net, const struct job *job, long packet, const uint8_t *octets,
		       size_t length)
{
	uint16_t df = job->df ? 0x4000 : 0, id = (uint16_t)(packet + 1);
	if (job->fragment == 0)
		return send_one(net, job, 0, df, octets, length);
	for (size_t at = 0; at < length; at += (size_t)job->fragment) {
		size_t rest = length - at;
		bool last = rest <= (size_t)job->fragment;
		uint16_t field = (uint16_t)(df | (last ? 0 : 0x2000) | at / 8);
		if (send_one(net, job, id, field, octets + at,
			     last ? rest : (size_t)job->fragment) < 0)
			return -1;
	}
	return 0;
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void wait_until(double when)
{
	double left = when - now();
	struct timespec time = {.tv_sec = (time_t)left,
				.tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
	if (left > 0)
		nanosleep(&time, NULL);
}

/* Errors are only counted: a flood meets full queues. */
static long send_all(libnet_t *net, const struct job *job)
{
	static uint8_t octets[HEADER_MAX + PAYLOAD_MAX + 1024];
	double start = now();
	long sent = 0;

	for (long packet = 0; packet < job->count; packet++) {
		double time = now();
		if (time - start > (double)job->seconds)
			break;
		if (job->rate > 0)
			wait_until(start + (double)packet / (double)job->rate);
		if (send_packet(net, job, packet, octets, build(job, packet, octets)) >= 0)
			sent++;
		else if (job->count == 1)
			fail("libnet", libnet_geterror(net));
	}
	return sent;
}

int main(int argc, char **argv)
{
	struct job job = {
	    .call_id = -1,
	    .seq = -1,
	    .ack = -1,
	    .ttl = 64,
	    .count = 1,
	    .seconds = 10,
	    .flags = -1,
	    .protocol = PROTOCOL_ENHANCED,
	    .length = -1,
	    .cut = -1,
	    .text = "",
	    .trailing = "",
	};
	char why[LIBNET_ERRBUF_SIZE];
	int option;

	while ((option = getopt(argc, argv, "s:d:c:q:a:l:p:T:Dt:n:r:w:if:o:P:L:C:B:")) != -1)
		take(&job, option);
	if (optind < argc || !job.source_be || !job.destination_be || job.call_id < 0 ||
	    strlen(job.trailing) > 1024) {
		fputs(usage, stderr);
		return 1;
	}
	libnet_t *net = libnet_init(LIBNET_RAW4, NULL, why);
	if (!net)
		fail("libnet", why);
	printf("%ld\n", send_all(net, &job));
	libnet_destroy(net);
	return 0;
}
