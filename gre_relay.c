/*
 * A batch is received with one system call, looked up under one reader's entry of the table, and
 * sent with one system call. Packets are rewritten where they lie. Under load there is no other
 * system call and no allocation; poll only when idle.
 */
#include "gre_relay.h"

#include "capture/capture_gre.h"
#include "gre/gre_hold.h"
#include "gre/gre_socket.h"
#include "host/log.h"
#include "host/monotonic.h"
#include "host/thread.h"
#include "wire/gre_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BATCH = 64,
	PACKET_MAX = 65536, /* IP reassembles before a raw socket sees it */
	SENDS_MAX = BATCH + GRE_HOLD_ALL,
};

/* Ancillary data of one packet to be sent: source address and type of service. */
struct ancillary {
	_Alignas(struct cmsghdr)
	    uint8_t octets[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

struct send {
	uint32_t source;
	struct sockaddr_in to;
	struct iovec iov;
	struct ancillary ancillary;
	callid_ref call;
	enum callid_side from;
	uint32_t client_addr;
	uint8_t tos;
	const uint8_t *lent; /* to be given back to the hold once sent, or NULL */
};

/* What outlives the process. */
struct counts {
	_Atomic uint64_t received, sent, drops[REASON_PACKET_COUNT];
};

struct gre_relay {
	struct callid_db *db;
	struct capture *capture;
	struct gre_socket sockets;
	int wake_fd;
	pthread_t thread;
	bool started, dump;
	_Atomic bool stop;
	_Atomic size_t early_max;

	/* the GRE thread's own */
	struct gre_hold *hold;
	uint64_t hold_generation; /* of the table when the held packets were judged last */
	uint8_t *buffers;	  /* BATCH times PACKET_MAX */
	struct iovec in_iovs[BATCH];
	struct mmsghdr in[BATCH];
	struct send *sends;  /* SENDS_MAX */
	struct mmsghdr *out; /* SENDS_MAX, out[i] sends sends[i] */
	size_t send_count;
	struct gre_held early[BATCH]; /* of the batch at hand, to be held */
	size_t early_count;
	uint64_t now;
	bool shown; /* somebody wants to see packets of the batch at hand */

	struct kept *kept;	/* NULL: the counters are the heap's */
	struct counts *counted; /* the GRE thread's to write */
};

/* A packet as received: what the IP header says, and the GRE packet behind it. */
struct packet {
	struct callid_key key;
	uint8_t tos;
	uint16_t ip_length, length;
	uint8_t *octets;
	/* what was found for it; call 0: nothing */
	callid_ref call;
	uint32_t client_addr;
	bool rewritten;
};

static void count(_Atomic uint64_t *counter, uint64_t more)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

static void drop(struct gre_relay *relay, enum reason_packet reason)
{
	count(&relay->counted->drops[reason], 1);
}

static void drop_of_call(struct gre_relay *relay, enum reason_packet reason, callid_ref call,
			 enum callid_side from)
{
	drop(relay, reason);
	callid_db_count_drop(relay->db, call, from);
}

/* ---- for those who want to see packets ---- */

static void show_in(struct gre_relay *relay, const struct packet *packet)
{
	const struct capture_gre gre = {
	    .call = packet->call,
	    .client_addr = packet->call ? packet->client_addr : packet->key.peer_addr,
	};
	size_t header = packet->ip_length - packet->length;
	const struct capture_received received = {
	    .octets = packet->octets - header,
	    .length = packet->ip_length,
	    .header = packet->rewritten ? header : 0,
	    .call_id = packet->key.call_id,
	};
	capture_gre_in(relay->capture, &gre, &received);
}

/* Outside the table: octets of the batch lie where they were received until the next one. */
static void show_received(struct gre_relay *relay, const struct packet *packets, size_t count)
{
	for (size_t i = 0; relay->shown && i < count; i++)
		show_in(relay, &packets[i]);
}

static void show_sent(struct gre_relay *relay, size_t first, size_t count)
{
	for (size_t i = first; relay->shown && i < first + count; i++) {
		const struct send *send = &relay->sends[i];
		uint32_t destination = ntohl(send->to.sin_addr.s_addr);
		const struct capture_gre gre = {
		    .call = send->call,
		    .client_addr = send->client_addr,
		    .source = send->source,
		    .destination = destination,
		    .tos = send->tos,
		};
		capture_gre_out(relay->capture, &gre, send->iov.iov_base, send->iov.iov_len);
	}
}

/* ---- one packet ---- */

static void dump(const char *direction, uint32_t from, uint32_t to, const uint8_t *octets,
		 size_t length)
{
	char title[96], source[INET_ADDRSTRLEN], destination[INET_ADDRSTRLEN];
	inet_ntop(AF_INET, &(struct in_addr){htonl(from)}, source, sizeof(source));
	inet_ntop(AF_INET, &(struct in_addr){htonl(to)}, destination, sizeof(destination));
	snprintf(title, sizeof(title), "GRE %s, %s -> %s, %zu octets", direction, source,
		 destination, length);
	log_dump(title, octets, length);
}

/* False: dropped, and counted. The kernel has checked the IP header's checksum and put fragments
 * together. */
static bool parse(struct gre_relay *relay, uint8_t *octets, size_t length, struct packet *packet)
{
	struct iphdr ip;
	if (length < sizeof(ip)) {
		drop(relay, REASON_TRUNCATED);
		return false;
	}
	memcpy(&ip, octets, sizeof(ip));
	size_t header = ip.ihl * 4U, total = ntohs(ip.tot_len);
	if (header < sizeof(ip) || total < header || total > length) {
		drop(relay, REASON_TRUNCATED);
		return false;
	}
	*packet = (struct packet){
	    .key = {.proxy_addr = ntohl(ip.daddr), .peer_addr = ntohl(ip.saddr)},
	    .tos = ip.tos,
	    .ip_length = (uint16_t)total,
	    .length = (uint16_t)(total - header),
	    .octets = octets + header,
	};
	if (relay->dump)
		dump("in", packet->key.peer_addr, packet->key.proxy_addr, packet->octets,
		     packet->length);
	enum gre_answer answer =
	    gre_wire_check(packet->octets, packet->length, &packet->key.call_id);
	if (answer != GRE_OK && relay->shown)
		show_in(relay, packet);
	if (answer != GRE_OK)
		drop(relay, answer == GRE_TRUNCATED ? REASON_TRUNCATED : REASON_NOT_ENHANCED);
	return answer == GRE_OK;
}

/* The socket's own type of service is 0: most packets need none told, and parsing it costs the
 * kernel a twentieth of a packet. */
static void set_ancillary(struct msghdr *header, uint32_t source, uint8_t tos)
{
	struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(source)};
	int tos_value = tos;

	struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
	cmsg->cmsg_level = IPPROTO_IP;
	cmsg->cmsg_type = IP_PKTINFO;
	cmsg->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
	header->msg_controllen = CMSG_SPACE(sizeof(info));
	if (tos == 0)
		return;
	header->msg_controllen += CMSG_SPACE(sizeof(tos_value));
	cmsg = CMSG_NXTHDR(header, cmsg);
	cmsg->cmsg_level = IPPROTO_IP;
	cmsg->cmsg_type = IP_TOS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(tos_value));
	memcpy(CMSG_DATA(cmsg), &tos_value, sizeof(tos_value));
}

/* A packet that has found its way. */
struct outgoing {
	uint8_t *octets;
	uint16_t length;
	uint8_t tos;
	const uint8_t *lent; /* as in struct send */
};

/* The peer of the call's client leg: who sent the packet, or to whom it goes. */
static uint32_t client_of(const struct callid_key *key, const struct callid_route *route)
{
	return route->from == CALLID_CLIENT ? key->peer_addr : route->peer_addr;
}

static void queue_send(struct gre_relay *relay, const struct callid_key *key,
		       const struct callid_route *route, struct outgoing outgoing)
{
	uint8_t *octets = outgoing.octets;
	struct send *send = &relay->sends[relay->send_count];
	struct msghdr *header = &relay->out[relay->send_count].msg_hdr;

	gre_wire_set_call_id(octets, route->call_id);
	send->source = route->proxy_addr;
	send->to.sin_addr.s_addr = htonl(route->peer_addr);
	send->iov = (struct iovec){octets, outgoing.length};
	send->call = route->call;
	send->from = route->from;
	send->client_addr = client_of(key, route);
	send->tos = outgoing.tos;
	send->lent = outgoing.lent;
	set_ancillary(header, route->proxy_addr, outgoing.tos);
	relay->send_count++;
}

static void note_route(struct packet *packet, const struct callid_route *route, bool rewritten)
{
	packet->call = route->call;
	packet->client_addr = client_of(&packet->key, route);
	packet->rewritten = rewritten;
}

static void route_packet(struct gre_relay *relay, struct packet *packet)
{
	struct callid_route route;
	switch (callid_db_route(relay->db, &packet->key, packet->ip_length, relay->now, &route)) {
	case CALLID_ROUTE:
		note_route(packet, &route, true);
		queue_send(relay, &packet->key, &route,
			   (struct outgoing){packet->octets, packet->length, packet->tos, NULL});
		break;
	case CALLID_HELD:
		note_route(packet, &route, false);
		relay->early[relay->early_count++] = (struct gre_held){
		    .key = packet->key,
		    .route = route,
		    .since = relay->now,
		    .tos = packet->tos,
		    .length = packet->length,
		    .ip_length = packet->ip_length,
		    .octets = packet->octets,
		};
		break;
	case CALLID_NONE:
		drop(relay,
		     callid_db_is_shown(relay->db, packet->key.proxy_addr, packet->key.call_id)
			 ? REASON_WRONG_SOURCE
			 : REASON_NO_CALL);
		break;
	}
}

/* ---- held packets ---- */

static enum gre_hold_fate judge(void *arg, struct gre_held *held)
{
	struct gre_relay *relay = arg;
	struct callid_route route;
	enum callid_answer answer =
	    callid_db_route(relay->db, &held->key, held->ip_length, relay->now, &route);

	if (answer == CALLID_ROUTE && route.call == held->route.call) {
		queue_send(relay, &held->key, &route,
			   (struct outgoing){held->octets, held->length, held->tos, held->octets});
		return GRE_HOLD_LEND;
	}
	if (answer == CALLID_HELD && relay->now - held->since < GRE_HOLD_MS)
		return GRE_HOLD_KEEP;
	drop_of_call(relay, REASON_EARLY, held->route.call, held->route.from);
	return GRE_HOLD_DROP;
}

/* Within the read-side entry of the packets that follow, so that none of them overtakes a held one.
 */
static void judge_held(struct gre_relay *relay)
{
	uint64_t oldest = gre_hold_oldest(relay->hold);
	uint64_t generation = callid_db_generation(relay->db);

	if (oldest == 0 ||
	    (generation == relay->hold_generation && relay->now - oldest < GRE_HOLD_MS))
		return;
	relay->hold_generation = generation;
	gre_hold_sweep(relay->hold, judge, relay);
}

/* Copies need memory, so they are made outside the table. A release that comes in between wakes us
 * again. */
static void hold_early(struct gre_relay *relay)
{
	gre_hold_set_max(relay->hold,
			 atomic_load_explicit(&relay->early_max, memory_order_relaxed));
	for (size_t i = 0; i < relay->early_count; i++) {
		const struct gre_held *early = &relay->early[i];
		if (gre_hold_add(relay->hold, early))
			continue;
		callid_db_read_begin(relay->db);
		drop_of_call(relay, REASON_EARLY, early->route.call, early->route.from);
		callid_db_read_end(relay->db);
	}
	relay->early_count = 0;
}

/* ---- batches ---- */

static void send_batch(struct gre_relay *relay)
{
	size_t done = 0;
	for (size_t i = 0; relay->dump && i < relay->send_count; i++) {
		const struct send *send = &relay->sends[i];
		dump("out", send->source, ntohl(send->to.sin_addr.s_addr), send->iov.iov_base,
		     send->iov.iov_len);
	}
	while (done < relay->send_count) {
		int sent = sendmmsg(relay->sockets.send_fd, relay->out + done,
				    (unsigned)(relay->send_count - done), MSG_DONTWAIT);
		if (sent > 0) {
			show_sent(relay, done, (size_t)sent);
			done += (size_t)sent;
			count(&relay->counted->sent, (uint64_t)sent);
		} else if (errno != EINTR) {
			/* The error is the first packet's: it alone is lost. */
			const struct send *lost = &relay->sends[done++];
			enum reason_packet reason =
			    errno == EMSGSIZE ? REASON_TOO_LARGE : REASON_SEND_ERROR;
			callid_db_read_begin(relay->db);
			drop_of_call(relay, reason, lost->call, lost->from);
			callid_db_read_end(relay->db);
		}
	}
	for (size_t i = 0; i < relay->send_count; i++) {
		if (relay->sends[i].lent)
			gre_hold_give_back(relay->hold, relay->sends[i].lent);
	}
	relay->send_count = 0;
}

static void relay_batch(struct gre_relay *relay, size_t received)
{
	struct packet packets[BATCH];
	size_t good = 0;

	relay->now = monotonic_ms();
	relay->shown = capture_is_on(relay->capture);
	count(&relay->counted->received, received);
	for (size_t i = 0; i < received; i++) {
		good +=
		    parse(relay, relay->in_iovs[i].iov_base, relay->in[i].msg_len, &packets[good]);
	}
	callid_db_read_begin(relay->db);
	judge_held(relay);
	for (size_t i = 0; i < good; i++)
		route_packet(relay, &packets[i]);
	callid_db_read_end(relay->db);
	show_received(relay, packets, good);
	hold_early(relay);
	send_batch(relay);
}

static void wait_for_work(struct gre_relay *relay)
{
	struct pollfd fds[] = {{relay->sockets.receive_fd, POLLIN, 0}, {relay->wake_fd, POLLIN, 0}};
	uint64_t oldest = gre_hold_oldest(relay->hold), now = monotonic_ms(), ignored;
	int timeout = -1;

	if (oldest != 0)
		timeout = now - oldest < GRE_HOLD_MS ? (int)(GRE_HOLD_MS - (now - oldest)) : 0;
	poll(fds, 2, timeout);
	if (fds[1].revents && read(relay->wake_fd, &ignored, sizeof(ignored)) < 0)
		return; /* somebody else's wake-up: nothing is lost */
}

static void *run(void *arg)
{
	struct gre_relay *relay = arg;
	while (!atomic_load_explicit(&relay->stop, memory_order_acquire)) {
		int received =
		    recvmmsg(relay->sockets.receive_fd, relay->in, BATCH, MSG_DONTWAIT, NULL);
		if (received <= 0)
			wait_for_work(relay);
		if (received > 0 || gre_hold_count(relay->hold) > 0)
			relay_batch(relay, received > 0 ? (size_t)received : 0);
	}
	return NULL;
}

/* ---- birth and death ---- */

/* In the control thread: held packets may go now, or never. */
static void on_table_change(void *arg, callid_ref call, enum callid_event event)
{
	struct gre_relay *relay = arg;
	uint64_t one = 1;
	(void)call;
	if ((event == CALLID_RELEASED || event == CALLID_ENDED) &&
	    write(relay->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

static void prepare_messages(struct gre_relay *relay)
{
	for (size_t i = 0; i < BATCH; i++) {
		relay->in_iovs[i] = (struct iovec){relay->buffers + i * PACKET_MAX, PACKET_MAX};
		relay->in[i].msg_hdr =
		    (struct msghdr){.msg_iov = &relay->in_iovs[i], .msg_iovlen = 1};
	}
	for (size_t i = 0; i < SENDS_MAX; i++) {
		struct send *send = &relay->sends[i];
		send->to.sin_family = AF_INET;
		relay->out[i].msg_hdr = (struct msghdr){
		    .msg_name = &send->to,
		    .msg_namelen = sizeof(send->to),
		    .msg_iov = &send->iov,
		    .msg_iovlen = 1,
		    .msg_control = send->ancillary.octets,
		    .msg_controllen = sizeof(send->ancillary.octets),
		};
	}
}

static int find_memory(struct gre_relay *relay, struct kept *kept)
{
	relay->kept = kept;
	relay->counted = kept ? kept_section(kept, KEPT_GRE, sizeof(*relay->counted), 1)
			      : calloc(1, sizeof(*relay->counted));
	relay->hold = gre_hold_new(kept);
	return relay->counted && relay->hold ? 0 : -1;
}

struct gre_relay *gre_relay_open(const struct gre_relay_config *config, struct why *why)
{
	struct gre_relay *relay = calloc(1, sizeof(*relay));
	struct gre_socket sockets = config->sockets ? *config->sockets : GRE_SOCKET_NONE;
	if (!relay) {
		why_set(why, "GRE relay: no memory");
		gre_socket_close(&sockets);
		return NULL;
	}
	relay->db = config->db;
	relay->capture = config->capture;
	relay->early_max = GRE_HOLD_ALL;
	relay->sockets = sockets;
	relay->dump = log_wants(LOG_LEVEL_DUMP);
	relay->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	relay->sends = calloc(SENDS_MAX, sizeof(*relay->sends));
	relay->out = calloc(SENDS_MAX, sizeof(*relay->out));
	relay->buffers = mmap(NULL, (size_t)BATCH * PACKET_MAX, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (relay->buffers == MAP_FAILED)
		relay->buffers = NULL;
	if (find_memory(relay, config->kept) != 0 || relay->wake_fd < 0 || !relay->sends ||
	    !relay->out || !relay->buffers) {
		why_set(why, "GRE relay: %s", strerror(errno));
		goto failed;
	}
	if (!config->sockets && gre_socket_open(&relay->sockets, why) != 0)
		goto failed;
	if (relay->sockets.receive_buffer < GRE_RECEIVE_BUFFER)
		log_warning("the GRE receive buffer is %zu KiB instead of %d, bursts may be lost: "
			    "raise the sysctl net.core.rmem_max to %d",
			    relay->sockets.receive_buffer / 1024, GRE_RECEIVE_BUFFER / 1024,
			    GRE_RECEIVE_BUFFER);
	prepare_messages(relay);
	callid_db_observe(relay->db, on_table_change, relay);
	/* What the process before has held may have been released since. */
	on_table_change(relay, 0, CALLID_RELEASED);
	return relay;
failed:
	gre_relay_close(relay);
	return NULL;
}

void gre_relay_set_early_max(struct gre_relay *relay, size_t max)
{
	atomic_store_explicit(&relay->early_max, max, memory_order_relaxed);
}

int gre_relay_start(struct gre_relay *relay, struct why *why)
{
	int error = thread_start(&relay->thread, run, relay);
	if (error != 0)
		return why_set(why, "GRE thread: %s", strerror(error));
	relay->started = true;
	return 0;
}

void gre_relay_close(struct gre_relay *relay)
{
	if (!relay)
		return;
	if (relay->started) {
		atomic_store_explicit(&relay->stop, true, memory_order_release);
		on_table_change(relay, 0, CALLID_ENDED);
		pthread_join(relay->thread, NULL);
	}
	gre_socket_close(&relay->sockets);
	if (relay->wake_fd >= 0)
		close(relay->wake_fd);
	gre_hold_free(relay->hold);
	if (relay->buffers)
		munmap(relay->buffers, (size_t)BATCH * PACKET_MAX);
	if (!relay->kept)
		free(relay->counted);
	free(relay->sends);
	free(relay->out);
	free(relay);
}

void gre_relay_totals(const struct gre_relay *relay, struct gre_totals *totals)
{
	totals->received = atomic_load_explicit(&relay->counted->received, memory_order_relaxed);
	totals->sent = atomic_load_explicit(&relay->counted->sent, memory_order_relaxed);
	for (int i = 0; i < REASON_PACKET_COUNT; i++)
		totals->drops[i] =
		    atomic_load_explicit(&relay->counted->drops[i], memory_order_relaxed);
}
