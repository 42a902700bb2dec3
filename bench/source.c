/*
 * One round: a source and a sink in two network namespaces, a middle box between them. The source
 * is an eBPF program run on live frames (BPF_PROG_TEST_RUN), which is several times as fast as a
 * packet socket; the sink looks at every packet. Prints what was sent, came right and came wrong
 * within the window, and what was wrong at all.
 *
 *   source -o DIRECTORY -f NETNS:IF -t NETNS:IF -k xdp|tc -r ROWS -d up|down -m MAC [-u]
 *          -p PAYLOAD -w WARM_MS -s WINDOW_MS -c CPU
 *
 * -o  where source.bpf.o and sink.bpf.o are       -m  the middle box's address towards the source
 * -f, -t  where packets enter, where they arrive  -u  they arrive as they were sent
 * -r  a file with a line for each call: client's address, the proxy's towards the client, the
 * proxy's towards the server, server's; the call IDs that the client sends, the server receives,
 * the server sends, the client receives
 */
#include "rows.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, DRAIN_MS = 300, DRAIN_STEP_MS = 10 };

/* A network device of another namespace. */
struct place {
	int netns;
	unsigned index;
	struct ether_addr mac;
};

struct terms {
	const char *objects, *rows;
	struct place from, to;
	struct ether_addr middle;
	bool tc, down, unchanged;
	int payload, warm_ms, window_ms, cpu;
};

struct run {
	struct bpf_object *source, *sink;
	struct sent_row *sent_rows;
	struct expected_row *expected_rows;
	__u32 rows;
	int payload, cpu, sent_fd, tally_fd;
	_Atomic bool stop;
};

struct counts {
	double at;
	__u64 sent, right, wrong;
};

/* ---- places ---- */

static void enter(const struct place *place)
{
	if (setns(place->netns, CLONE_NEWNET) != 0)
		err(1, "setns");
}

/* "/run/netns/NAME:IF" */
static struct place place_of(char *word)
{
	struct place place;
	struct ifreq request = {0};
	char *colon = strrchr(word, ':');
	if (!colon)
		errx(1, "%s: no device", word);
	*colon = '\0';
	place.netns = open(word, O_RDONLY | O_CLOEXEC);
	if (place.netns < 0)
		err(1, "%s", word);
	enter(&place);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", colon + 1);
	place.index = if_nametoindex(colon + 1);
	if (fd < 0 || place.index == 0 || ioctl(fd, SIOCGIFHWADDR, &request) != 0)
		err(1, "%s", colon + 1);
	memcpy(&place.mac, request.ifr_hwaddr.sa_data, sizeof(place.mac));
	close(fd);
	return place;
}

/* ---- rows ---- */

static __u16 checksum(const void *octets, size_t length)
{
	__u16 word;
	__u32 sum = 0;
	for (size_t i = 0; i < length; i += 2) {
		memcpy(&word, (const char *)octets + i, sizeof(word));
		sum += word;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

struct addressed {
	struct in_addr source, destination;
	unsigned call_id;
};

static void make_sent(struct sent_row *row, const struct terms *terms, const struct addressed *in,
		      __u32 number)
{
	struct ether_header eth = {.ether_type = htons(ETHERTYPE_IP)};
	struct iphdr ip = {
	    .version = 4,
	    .ihl = 5,
	    .ttl = 64,
	    .protocol = IPPROTO_GRE,
	    .tot_len = htons((uint16_t)(HEADERS - sizeof(eth) + (size_t)terms->payload)),
	    .saddr = in->source.s_addr,
	    .daddr = in->destination.s_addr,
	};
	uint16_t gre[6] = {htons(0x3001), htons(0x880b), htons((uint16_t)terms->payload),
			   htons((uint16_t)in->call_id)};
	uint32_t sequence = htonl(number);

	memcpy(eth.ether_dhost, &terms->middle, sizeof(eth.ether_dhost));
	memcpy(eth.ether_shost, &terms->from.mac, sizeof(eth.ether_shost));
	ip.check = checksum(&ip, sizeof(ip));
	memcpy(&gre[4], &sequence, sizeof(sequence));
	memcpy(row->octets, &eth, sizeof(eth));
	memcpy(row->octets + sizeof(eth), &ip, sizeof(ip));
	memcpy(row->octets + sizeof(eth) + sizeof(ip), gre, sizeof(gre));
}

static void read_line(const char *line, bool down, struct addressed *in, struct addressed *out)
{
	char text[4][16];
	struct in_addr client, inner, outer, server;
	unsigned client_sends, server_receives, server_sends, client_receives;
	if (sscanf(line, "%15s %15s %15s %15s %u %u %u %u", text[0], text[1], text[2], text[3],
		   &client_sends, &server_receives, &server_sends, &client_receives) != 8 ||
	    !inet_aton(text[0], &client) || !inet_aton(text[1], &inner) ||
	    !inet_aton(text[2], &outer) || !inet_aton(text[3], &server))
		errx(1, "not a row: %s", line);
	*in = down ? (struct addressed){server, outer, server_sends}
		   : (struct addressed){client, inner, client_sends};
	*out = down ? (struct addressed){inner, client, client_receives}
		    : (struct addressed){outer, server, server_receives};
}

static void swap_rows(struct addressed *one, struct addressed *other)
{
	struct addressed kept = *one;
	*one = *other;
	*other = kept;
}

/* In random order, lest the middle box's memory is walked in the order in which it was filled. */
static void read_rows(struct run *run, const struct terms *terms)
{
	static struct addressed in[ROWS_MAX], out[ROWS_MAX];
	char line[160];
	FILE *file = fopen(terms->rows, "re");
	if (!file)
		err(1, "%s", terms->rows);
	while (run->rows < ROWS_MAX && fgets(line, sizeof(line), file)) {
		read_line(line, terms->down, &in[run->rows], &out[run->rows]);
		run->rows++;
	}
	fclose(file);
	if (run->rows == 0)
		errx(1, "%s: no rows", terms->rows);
	srandom(1);
	for (__u32 i = run->rows - 1; i > 0; i--) {
		__u32 other = (__u32)random() % (i + 1);
		swap_rows(&in[i], &in[other]);
		swap_rows(&out[i], &out[other]);
	}
	for (__u32 i = 0; i < run->rows; i++) {
		const struct addressed *right = terms->unchanged ? &in[i] : &out[i];
		make_sent(&run->sent_rows[i], terms, &in[i], i);
		run->expected_rows[i] = (struct expected_row){
		    .source = right->source.s_addr,
		    .destination = right->destination.s_addr,
		    .call_id = htons((uint16_t)right->call_id),
		};
	}
}

/* ---- programs ---- */

static struct bpf_object *open_object(const struct terms *terms, const char *name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", terms->objects, name);
	struct bpf_object *object = bpf_object__open(path);
	if (!object)
		err(1, "%s", path);
	return object;
}

static void set_constant(struct bpf_object *object, const void *value, size_t size)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	if (!map || bpf_map__set_initial_value(map, value, size) != 0)
		err(1, "constants of %s", bpf_object__name(object));
}

static int map_of(struct bpf_object *object, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(object, name);
	if (fd < 0)
		errx(1, "no map %s", name);
	return fd;
}

static int program_of(struct bpf_object *object, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(object, name));
}

static void *map_memory(struct bpf_object *object, const char *name, size_t size)
{
	void *memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map_of(object, name), 0);
	if (memory == MAP_FAILED)
		err(1, "%s", name);
	return memory;
}

static void load_programs(struct run *run, const struct terms *terms, __u32 rows)
{
	struct sink_terms sink = {
	    .rows = rows,
	    .ip_length = htons((uint16_t)(HEADERS - 14 + terms->payload)),
	    .gre_length = htons((uint16_t)terms->payload),
	};
	memcpy(sink.mac, terms->unchanged ? &terms->middle : &terms->to.mac, sizeof(sink.mac));
	run->source = open_object(terms, "source.bpf.o");
	run->sink = open_object(terms, "sink.bpf.o");
	set_constant(run->source, &rows, sizeof(rows));
	set_constant(run->sink, &sink, sizeof(sink));
	if (bpf_object__load(run->source) != 0 || bpf_object__load(run->sink) != 0)
		err(1, "loading");
	memcpy(map_memory(run->source, "rows", ROWS_MAX * sizeof(*run->sent_rows)), run->sent_rows,
	       rows * sizeof(*run->sent_rows));
	memcpy(map_memory(run->sink, "expected", ROWS_MAX * sizeof(*run->expected_rows)),
	       run->expected_rows, rows * sizeof(*run->expected_rows));
	run->sent_fd = map_of(run->source, "sent");
	run->tally_fd = map_of(run->sink, "tally");
}

static void attach_sink(struct run *run, const struct terms *terms)
{
	enter(&terms->to);
	if (!terms->tc) {
		if (bpf_xdp_attach((int)terms->to.index, program_of(run->sink, "sink_xdp"),
				   XDP_FLAGS_DRV_MODE, NULL) != 0)
			err(1, "attaching the sink");
		return;
	}
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)terms->to.index,
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_of(run->sink, "sink_tc"));
	if (bpf_tc_hook_create(&hook) != 0 || bpf_tc_attach(&hook, &options) != 0)
		err(1, "attaching the sink");
}

static void detach_sink(const struct terms *terms)
{
	enter(&terms->to);
	if (!terms->tc) {
		bpf_xdp_detach((int)terms->to.index, XDP_FLAGS_DRV_MODE, NULL);
		return;
	}
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)terms->to.index,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	bpf_tc_hook_destroy(&hook);
}

/* The map of ways out looks for the device in the namespace of who fills it. */
static void aim_source(struct run *run, const struct terms *terms)
{
	__u32 zero = 0;
	enter(&terms->from);
	if (bpf_map_update_elem(map_of(run->source, "way_out"), &zero, &terms->from.index,
				BPF_ANY) != 0)
		err(1, "way out");
}

/* ---- the round ---- */

static void on_signal(int number)
{
	(void)number; /* it only interrupts the system call */
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		err(1, "CPU %d", cpu);
}

static void *send_packets(void *arg)
{
	static char packet[4096];
	struct run *run = arg;
	int program = program_of(run->source, "source");

	pin(run->cpu);
	while (!run->stop) {
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet,
			    .data_size_in = (__u32)(HEADERS + run->payload), .repeat = 1 << 30,
			    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
		if (bpf_prog_test_run_opts(program, &options) != 0 && errno != EINTR)
			err(1, "BPF_PROG_TEST_RUN");
	}
	return NULL;
}

static struct counts count(const struct run *run)
{
	static struct sink_tally each[1024];
	struct counts counts = {0};
	struct timespec now;
	__u32 zero = 0;
	int cpus = libbpf_num_possible_cpus();

	if (cpus < 0 || cpus > 1024 ||
	    bpf_map_lookup_elem(run->sent_fd, &zero, &counts.sent) != 0 ||
	    bpf_map_lookup_elem(run->tally_fd, &zero, each) != 0)
		errx(1, "counters");
	clock_gettime(CLOCK_MONOTONIC, &now);
	counts.at = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
	for (int i = 0; i < cpus; i++) {
		counts.right += each[i].right;
		counts.wrong += each[i].wrong;
	}
	return counts;
}

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static void stop_source(struct run *run, pthread_t thread)
{
	struct timespec soon;
	run->stop = true;
	do {
		pthread_kill(thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_nsec += 5000000;
		soon.tv_sec += soon.tv_nsec / 1000000000;
		soon.tv_nsec %= 1000000000;
	} while (pthread_timedjoin_np(thread, NULL, &soon) != 0);
}

/* What is still on its way belongs to this round. */
static struct counts drain(const struct run *run)
{
	struct counts before = count(run), now;
	for (int waited = 0; waited < DRAIN_MS; waited += DRAIN_STEP_MS) {
		pause_ms(DRAIN_STEP_MS);
		now = count(run);
		if (now.right + now.wrong == before.right + before.wrong)
			break;
		before = now;
	}
	return count(run);
}

static void print_wrong(const struct run *run)
{
	static const char *const faults[] = {
	    [FAULT_NONE] = "none",
	    [FAULT_SHORT] = "too short",
	    [FAULT_MAC] = "Ethernet address",
	    [FAULT_IP_HEADER] = "IP header",
	    [FAULT_CHECKSUM] = "IP checksum",
	    [FAULT_GRE] = "GRE header",
	    [FAULT_ROW] = "sequence number",
	    [FAULT_ADDRESS] = "IP address",
	    [FAULT_CALL_ID] = "call ID",
	};
	struct sink_wrong last;
	__u32 zero = 0;
	if (bpf_map_lookup_elem(map_of(run->sink, "wrong"), &zero, &last) != 0)
		return;
	printf("fault=%s octets=", faults[last.fault]);
	for (int i = 0; i < HEADERS; i++)
		printf("%02x", last.octets[i]);
	printf("\n");
}

static void measure(struct run *run, const struct terms *terms)
{
	pthread_t thread;
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGUSR1, &action, NULL);
	if (pthread_create(&thread, NULL, send_packets, run) != 0)
		errx(1, "no thread");
	pause_ms(terms->warm_ms);
	struct counts first = count(run);
	pause_ms(terms->window_ms);
	struct counts last = count(run);
	stop_source(run, thread);
	struct counts end = drain(run);
	printf("seconds=%.6f sent=%llu right=%llu wrong=%llu sent_in_all=%llu right_in_all=%llu\n",
	       last.at - first.at, last.sent - first.sent, last.right - first.right, end.wrong,
	       end.sent, end.right);
	if (end.wrong > 0)
		print_wrong(run);
}

static struct terms read_words(int argc, char **argv)
{
	struct terms terms = {.payload = 64, .warm_ms = 50, .window_ms = 200};
	const struct ether_addr *mac;
	int option;
	while ((option = getopt(argc, argv, "o:f:t:k:r:d:m:up:w:s:c:")) != -1) {
		switch (option) {
		case 'o':
			terms.objects = optarg;
			break;
		case 'f':
			terms.from = place_of(optarg);
			break;
		case 't':
			terms.to = place_of(optarg);
			break;
		case 'k':
			terms.tc = strcmp(optarg, "tc") == 0;
			break;
		case 'r':
			terms.rows = optarg;
			break;
		case 'd':
			terms.down = strcmp(optarg, "down") == 0;
			break;
		case 'm':
			mac = ether_aton(optarg);
			if (!mac)
				errx(1, "%s: no Ethernet address", optarg);
			terms.middle = *mac;
			break;
		case 'u':
			terms.unchanged = true;
			break;
		case 'p':
			terms.payload = atoi(optarg);
			break;
		case 'w':
			terms.warm_ms = atoi(optarg);
			break;
		case 's':
			terms.window_ms = atoi(optarg);
			break;
		case 'c':
			terms.cpu = atoi(optarg);
			break;
		default:
			exit(2);
		}
	}
	return terms;
}

int main(int argc, char **argv)
{
	static struct sent_row sent_rows[ROWS_MAX];
	static struct expected_row expected_rows[ROWS_MAX];
	struct run run = {.sent_rows = sent_rows, .expected_rows = expected_rows};
	struct terms terms = read_words(argc, argv);

	run.payload = terms.payload;
	run.cpu = terms.cpu;
	read_rows(&run, &terms);
	load_programs(&run, &terms, run.rows);
	attach_sink(&run, &terms);
	aim_source(&run, &terms);
	measure(&run, &terms);
	detach_sink(&terms);
	return 0;
}
