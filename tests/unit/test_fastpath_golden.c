/*
 * The eBPF half itself, both of its programs, by BPF_PROG_TEST_RUN: the table of
 * tests/golden/packets.txt, and what becomes of good packets while routes and hops are in doubt.
 */
#include "fastpath/fastpath_maps.h"
#include "fastpath/fastpath_memory.h"
#include "fastpath/fastpath_record.h"

#include "tests/unit/own_net.h"
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <ctype.h>
#include <linux/bpf.h>
#include <netinet/ip.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

enum {
	FRAME_MAX = 1600,
	FRAMES_MAX = 4, /* of one row */
	ROWS_MAX = 256,
	ETHERNET = 14,
	CLIENT_ID = 0x0A0B,
	SERVER_ID = 0x0C0D,
	SHOWN_TO_CLIENT = 0xF1F2,
	SHOWN_TO_SERVER = 0xE1E2,
	SLOT = 300, /* beyond the first chunk of counters */
	PORT_INSIDE = 3,
	PORT_OUTSIDE = 5,
	HOP_CLIENT = 7,
	HOP_SERVER = 9,
	CLIENT = 0, /* as enum callid_side */
	SERVER = 1,
};

struct frame {
	int from;
	size_t length;
	uint8_t octets[FRAME_MAX];
};

struct row {
	char title[160];
	bool fast;
	size_t in_count, out_count;
	struct frame in[FRAMES_MAX], out[FRAMES_MAX];
};

static struct row table[ROWS_MAX];
static size_t rows;

static struct fastpath_maps *maps;
static struct fastpath_memory *memory;
static struct fastpath_route *way[2]; /* of packets from each side */
static struct fastpath_hop *hop[2];   /* towards each side */
static unsigned ifindex[2];

/* ---- the table ---- */

static void read_word(struct frame *frame, const char *word)
{
	size_t start = frame->length, times = 1;
	const char *star = strchr(word, '*');
	for (; isxdigit((unsigned char)word[0]); word += 2) {
		unsigned octet;
		assert_int_equal(sscanf(word, "%2x", &octet), 1);
		frame->octets[frame->length++] = (uint8_t)octet;
	}
	size_t size = frame->length - start;
	if (star)
		times = (size_t)atoi(star + 1);
	assert_true(start + size * times <= FRAME_MAX);
	for (size_t i = 1; i < times; i++, frame->length += size)
		memcpy(frame->octets + frame->length, frame->octets + start, size);
}

static void read_frame(struct frame *frame, char *words)
{
	char *word, *rest = words;
	*frame = (struct frame){0};
	while ((word = strsep(&rest, " \n")) != NULL) {
		if (*word)
			read_word(frame, word);
	}
}

static void read_in(struct row *row, char *words)
{
	struct frame *frame = &row->in[row->in_count++];
	char *side = strsep(&words, " ");
	assert_true(row->in_count <= FRAMES_MAX);
	read_frame(frame, words);
	frame->from = strcmp(side, "client") == 0 ? CLIENT : SERVER;
}

static void read_line(char *line)
{
	struct row *row = &table[rows == 0 ? 0 : rows - 1];
	char *words = line, *keyword = strsep(&words, " \n");
	if (strcmp(keyword, "row") == 0) {
		assert_true(rows < ROWS_MAX);
		words[strcspn(words, "\n")] = '\0';
		snprintf(table[rows++].title, sizeof(row->title), "%s", words);
	} else if (strcmp(keyword, "in") == 0) {
		read_in(row, words);
	} else if (strcmp(keyword, "out") == 0) {
		assert_true(row->out_count < FRAMES_MAX);
		read_frame(&row->out[row->out_count++], words);
	} else if (strcmp(keyword, "fast") == 0) {
		row->fast = true;
	}
}

static int read_table(void **state)
{
	static char line[4 * FRAME_MAX];
	FILE *file = fopen("tests/golden/packets.txt", "re");
	(void)state;
	if (!file) {
		print_message("# tests/golden/packets.txt: %s\n", strerror(errno));
		return -1;
	}
	while (fgets(line, sizeof(line), file))
		read_line(line);
	fclose(file);
	return 0;
}

static const struct row *find_row(const char *title)
{
	for (size_t i = 0; i < rows; i++) {
		if (strcmp(table[i].title, title) == 0)
			return &table[i];
	}
	fail_msg("no row is called \"%s\"", title);
	return NULL;
}

/* ---- one call ---- */

static void fill_hop(int side, uint32_t number, uint32_t port, uint16_t mtu)
{
	const uint8_t *theirs = side == CLIENT ? own_net_client_mac : own_net_server_mac;
	const uint8_t *ours = side == CLIENT ? own_net_inside_mac : own_net_outside_mac;
	hop[side] = &fastpath_maps_hops(maps)[number];
	*hop[side] = (struct fastpath_hop){
	    .ifindex = ifindex[side],
	    .port = port,
	    .mtu = mtu,
	    .sends_native = 1,
	    .ttl = 64,
	};
	memcpy(hop[side]->destination_mac, theirs, FASTPATH_MAC);
	memcpy(hop[side]->source_mac, ours, FASTPATH_MAC);
}

static void fill_routes(void)
{
	way[CLIENT] = &fastpath_memory_routes(memory, OWN_NET_INSIDE)[SHOWN_TO_CLIENT];
	way[SERVER] = &fastpath_memory_routes(memory, OWN_NET_OUTSIDE)[SHOWN_TO_SERVER];
	*way[CLIENT] = (struct fastpath_route){
	    .peer_be = htonl(OWN_NET_CLIENT),
	    .source_be = htonl(OWN_NET_OUTSIDE),
	    .destination_be = htonl(OWN_NET_SERVER),
	    .call_id_be = htons(SERVER_ID),
	    .from = CLIENT,
	    .slot = SLOT,
	    .hop = HOP_SERVER,
	    .back = HOP_CLIENT,
	};
	*way[SERVER] = (struct fastpath_route){
	    .peer_be = htonl(OWN_NET_SERVER),
	    .source_be = htonl(OWN_NET_INSIDE),
	    .destination_be = htonl(OWN_NET_CLIENT),
	    .call_id_be = htons(CLIENT_ID),
	    .from = SERVER,
	    .slot = SLOT,
	    .hop = HOP_CLIENT,
	    .back = HOP_SERVER,
	};
}

static bool make_room(struct why *why)
{
	static struct fastpath_given given;
	if (fastpath_maps_routes(maps, 0, OWN_NET_INSIDE) < 0 ||
	    fastpath_maps_routes(maps, 1, OWN_NET_OUTSIDE) < 0 ||
	    fastpath_maps_counts(maps, SLOT / FASTPATH_COUNTS_CALLS) < 0)
		return false;
	fastpath_maps_give(maps, &given);
	memory = fastpath_memory_open(&given, NULL, NULL, why);
	return memory != NULL;
}

static int set_up(void **state)
{
	struct why why = {""};
	(void)state;
	if (own_net_lacks[0])
		return 0;
	maps = fastpath_maps_open(&why);
	if (!maps || !make_room(&why))
		return OWN_NET_CANNOT(&why);
	ifindex[CLIENT] = if_nametoindex("inside");
	ifindex[SERVER] = if_nametoindex("outside");
	if (fastpath_maps_set_port(maps, PORT_INSIDE, ifindex[CLIENT]) != 0 ||
	    fastpath_maps_set_port(maps, PORT_OUTSIDE, ifindex[SERVER]) != 0)
		return -1;
	fill_hop(CLIENT, HOP_CLIENT, PORT_INSIDE, OWN_NET_MTU_INSIDE);
	fill_hop(SERVER, HOP_SERVER, PORT_OUTSIDE, OWN_NET_MTU_OUTSIDE);
	fill_routes();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fastpath_memory_close(memory);
	memory = NULL;
	fastpath_maps_close(maps);
	maps = NULL;
	return 0;
}

/* ---- running it ---- */

static unsigned run(const struct frame *in, unsigned by, bool native, struct frame *out)
{
	struct xdp_md context = {.data_end = (uint32_t)in->length, .ingress_ifindex = by};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in->octets,
		    .data_size_in = (uint32_t)in->length, .data_out = out->octets,
		    .data_size_out = sizeof(out->octets), .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .repeat = 1);
	if (bpf_prog_test_run_opts(fastpath_maps_program(maps, native), &options) != 0)
		fail_msg("BPF_PROG_TEST_RUN: %s", strerror(errno));
	out->length = options.data_size_out;
	return options.retval;
}

static void forget_doubts(void)
{
	way[CLIENT]->raw_until_ns = way[SERVER]->raw_until_ns = 0;
}

struct counts {
	struct fastpath_sum from[2];
};

static struct counts counts_now(void)
{
	struct counts counts;
	fastpath_memory_counts(memory, SLOT, counts.from);
	return counts;
}

static uint64_t packets_of(const struct counts *counts)
{
	return counts->from[CLIENT].packets + counts->from[SERVER].packets;
}

static void expect_passed(const struct frame *in, const struct frame *out, unsigned verdict)
{
	assert_int_equal(verdict, XDP_PASS);
	assert_int_equal(out->length, in->length);
	assert_memory_equal(out->octets, in->octets, in->length);
}

static uint16_t ip_sum(const uint8_t *header)
{
	uint32_t sum = 0;
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)header[i] << 8 | header[i + 1];
	while (sum >> 16)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)sum;
}

/* Without IP identification, DF and, once it has been found right, the checksum. */
static struct frame comparable(const struct frame *frame)
{
	struct frame plain = *frame;
	uint8_t *header = plain.octets + ETHERNET;
	assert_int_equal(ip_sum(header), 0xFFFF);
	header[4] = header[5] = header[10] = header[11] = 0;
	header[6] &= 0xBF;
	return plain;
}

/* Octets behind the IP packet stay as they are. */
static void expect_carried(const struct row *row, const struct frame *carried, unsigned verdict)
{
	const struct frame *in = &row->in[0];
	struct frame left = comparable(carried), *out = &left;
	struct frame wanted = comparable(&row->out[0]), *expected = &wanted;
	assert_int_equal(carried->octets[ETHERNET + 6] & 0x40, 0); /* DF */
	assert_int_equal(verdict, XDP_REDIRECT);
	assert_int_equal(out->length, in->length);
	assert_memory_equal(out->octets, expected->octets, expected->length);
	assert_memory_equal(out->octets + expected->length, in->octets + expected->length,
			    in->length - expected->length);
}

static void expect_counted(const struct row *row, const struct counts *before)
{
	int from = row->in[0].from;
	struct counts after = counts_now();
	assert_int_equal(packets_of(&after), packets_of(before) + 1);
	assert_int_equal(after.from[from].packets, before->from[from].packets + 1);
	assert_int_equal(after.from[from].octets,
			 before->from[from].octets + row->out[0].length - ETHERNET);
	assert_true(after.from[from].seen_ns >= before->from[from].seen_ns);
	assert_true(after.from[from].seen_ns != 0);
}

static void try_row(const struct row *row, bool native)
{
	struct frame out;
	for (size_t i = 0; i < row->in_count; i++) {
		const struct frame *in = &row->in[i];
		struct counts before = counts_now();
		forget_doubts();
		unsigned verdict = run(in, ifindex[in->from], native, &out);
		if (row->fast) {
			expect_carried(row, &out, verdict);
			expect_counted(row, &before);
			continue;
		}
		expect_passed(in, &out, verdict);
		struct counts after = counts_now();
		assert_int_equal(packets_of(&after), packets_of(&before));
	}
}

static void try_table(bool native)
{
	assert_true(rows > 50);
	for (size_t i = 0; i < rows; i++) {
		/* A failed assertion does not say which row. */
		print_message("# row %s\n", table[i].title);
		assert_true(table[i].in_count > 0 && (!table[i].fast || table[i].out_count == 1));
		try_row(&table[i], native);
	}
}

static void golden_native(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	try_table(true);
}

static void golden_generic(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	try_table(false);
}

/* ---- doubts ---- */

static const char GOOD[] = "data with a sequence number"; /* a row that is carried */

static unsigned try_by(unsigned by, bool native)
{
	struct frame out;
	const struct row *row = find_row(GOOD);
	unsigned verdict = run(&row->in[0], by, native, &out);
	if (verdict == XDP_PASS)
		expect_passed(&row->in[0], &out, verdict);
	return verdict;
}

static unsigned try_good(void)
{
	return try_by(ifindex[CLIENT], true);
}

/* Packets that are fragmented further on must not be taken for each other's parts. */
static void own_identifications(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	enum { PACKETS = 100, AT = ETHERNET + 4 };
	static struct frame out[PACKETS];
	const struct frame *in = &find_row(GOOD)->in[0];
	for (int i = 0; i < PACKETS; i++) {
		assert_int_equal(run(in, ifindex[CLIENT], true, &out[i]), XDP_REDIRECT);
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(out[i].octets + AT, out[j].octets + AT, 2);
	}
}

/* The kernel takes a port away with its interface, before its news are read. */
static void port_that_has_gone(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct counts before = counts_now();
	hop[SERVER]->port = PORT_OUTSIDE + 1;
	assert_int_equal(try_good(), XDP_PASS);
	assert_true(way[CLIENT]->raw_until_ns != 0);
	struct counts after = counts_now();
	assert_int_equal(packets_of(&after), packets_of(&before));
	hop[SERVER]->port = PORT_OUTSIDE;
	forget_doubts();
	assert_int_equal(try_good(), XDP_REDIRECT);
}

static void other_interface(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_int_equal(try_by(ifindex[SERVER], true), XDP_PASS);
	forget_doubts();
	assert_int_equal(try_by(if_nametoindex("lo"), true), XDP_PASS);
	forget_doubts();
	assert_int_equal(try_good(), XDP_REDIRECT);
}

static void unresolved_hops(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	for (int side = 0; side < 2; side++) {
		uint32_t before = hop[side]->ifindex;
		forget_doubts();
		hop[side]->ifindex = 0;
		assert_int_equal(try_good(), XDP_PASS);
		assert_true(way[CLIENT]->raw_until_ns != 0);
		hop[side]->ifindex = before;
		forget_doubts();
		assert_int_equal(try_good(), XDP_REDIRECT);
	}
}

static void records_being_written(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	uint32_t *const seqs[] = {&way[CLIENT]->seq, &hop[CLIENT]->seq, &hop[SERVER]->seq};
	for (int i = 0; i < 3; i++) {
		forget_doubts();
		fastpath_record_begin(seqs[i]);
		assert_int_equal(try_good(), XDP_PASS);
		fastpath_record_end(seqs[i]);
		forget_doubts();
		assert_int_equal(try_good(), XDP_REDIRECT);
	}
}

static void removed_route(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	way[CLIENT]->peer_be = 0;
	assert_int_equal(try_good(), XDP_PASS);
	way[CLIENT]->peer_be = htonl(OWN_NET_CLIENT);
	assert_int_equal(try_good(), XDP_REDIRECT);
}

/* Where the way out takes no frames from native XDP, only native XDP cannot. */
static void way_out_without_native(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	hop[SERVER]->sends_native = 0;
	assert_int_equal(try_by(ifindex[CLIENT], true), XDP_PASS);
	forget_doubts();
	assert_int_equal(try_by(ifindex[CLIENT], false), XDP_REDIRECT);
}

static void no_counters(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	way[CLIENT]->slot = 1000000;
	assert_int_equal(try_good(), XDP_PASS);
}

/* ---- from the raw way to here ---- */

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void only_behind_a_gap(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	const uint64_t second = 1000000000U;
	/* Packets of a moment ago are still on the raw way. */
	way[CLIENT]->raw_until_ns = way[CLIENT]->raw_at_most_ns = now_ns() + second;
	assert_int_equal(try_good(), XDP_PASS);
	/* Each packet that comes within the gap makes it start anew. */
	uint64_t before = now_ns();
	way[CLIENT]->raw_until_ns = before + FASTPATH_GAP_NS / 2;
	if (try_good() == XDP_PASS)
		assert_true(way[CLIENT]->raw_until_ns >= before + FASTPATH_GAP_NS);
	/* The gap is over. */
	way[CLIENT]->raw_until_ns = now_ns();
	assert_int_equal(try_good(), XDP_REDIRECT);
	assert_int_equal(way[CLIENT]->raw_until_ns, 0);
	/* There never was one, but nothing had to go there for long. */
	way[CLIENT]->raw_until_ns = now_ns() + second;
	way[CLIENT]->raw_at_most_ns = now_ns();
	assert_int_equal(try_good(), XDP_REDIRECT);
}

static bool makes_wait(const char *title)
{
	struct frame out;
	forget_doubts();
	run(&find_row(title)->in[0], ifindex[CLIENT], true, &out);
	return way[CLIENT]->raw_until_ns != 0;
}

/* Those right behind a packet of the raw way do not overtake it. */
static void what_makes_others_wait(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_true(makes_wait("larger than the way to the server takes"));
	assert_true(makes_wait("a first fragment alone"));
	assert_true(makes_wait("with the reserved flag of IP"));
	assert_true(makes_wait("to everybody's MAC address"));
	assert_true(makes_wait("two fragments, the first of which holds the whole payload"));
	/* A stranger cannot slow a call down. */
	assert_false(makes_wait("from a stranger"));
	assert_false(makes_wait("a payload length one too long"));
	assert_false(makes_wait("a wrong IP checksum"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(golden_native),	  CASE(golden_generic),	       CASE(other_interface),
	    CASE(unresolved_hops),	  CASE(records_being_written), CASE(removed_route),
	    CASE(way_out_without_native), CASE(no_counters),	       CASE(only_behind_a_gap),
	    CASE(what_makes_others_wait), CASE(own_identifications),   CASE(port_that_has_gone),
	};
	own_net_enter_for_xdp();
	return cmocka_run_group_tests(cases, read_table, NULL);
}
