/*
 * What the two halves of the fast path share: the maps' names and records. Included by the eBPF
 * half, too, so it uses integers only.
 *
 * The user half writes records through mmap while packets pass, so each that is written more than
 * once has a sequence number: odd while it is written. The eBPF half takes a record for nothing
 * where the number is odd or differs afterwards; on machines that reorder loads (not x86) it may
 * miss that in the moment of a change, and send a packet the old way or a wrong one. A value in
 * network order ends in _be.
 */
#ifndef FASTPATH_SHARED_H
#define FASTPATH_SHARED_H

#include <stdint.h>

/* Of all that follows, of the table of wanted hops, and of the letter: one more with each change.
 */
enum { FASTPATH_LAYOUT = 1 };

enum {
	FASTPATH_LOCALS = 64, /* addresses of ours that calls use */
	FASTPATH_IDS = 65536, /* routes an address of ours, indexed by call ID */
	FASTPATH_HOPS = 65536,
	FASTPATH_PORTS = 64,	     /* interfaces */
	FASTPATH_COUNTS_CALLS = 256, /* a chunk of the counters */
	FASTPATH_COUNTS_CHUNKS = 4096,
};

/* A way changes from the raw sockets to here only behind a gap, so that it overtakes nothing that
 * the raw way still has; or where it has had no packet that must go there for a while. */
#define FASTPATH_GAP_NS	 1000000ULL
#define FASTPATH_HOLD_NS 100000000ULL

struct fastpath_setup {	  /* one record */
	uint64_t jiffies; /* when fastpath_clock ran */
	uint32_t local_count;
	/* One more than used: a pointer that walks along them may not leave the record. */
	uint32_t locals_be[FASTPATH_LOCALS + 1];
};

/* The way of packets to (our address, call ID). One cache line. */
struct fastpath_route {
	uint32_t seq;
	uint32_t peer_be;		    /* whence they must come; 0: no route */
	uint32_t source_be, destination_be; /* new */
	uint16_t call_id_be;		    /* new */
	uint16_t from;			    /* enum callid_side */
	uint32_t slot;			    /* of the call, for its counters */
	uint32_t hop, back;    /* the next hop; the one towards the peer, whence it must come */
	uint64_t raw_until_ns; /* CLOCK_MONOTONIC: on the raw way until a gap reaches it; 0: not */
	uint64_t raw_at_most_ns; /* or until this, where nothing must go there */
	uint64_t unused[2];
};

enum { FASTPATH_MAC = 6 };

/* Where packets leave, and how. */
struct fastpath_hop {
	uint32_t seq;
	uint32_t ifindex; /* 0: none, or not known at the moment */
	uint32_t port;
	uint16_t mtu;
	uint8_t sends_native; /* the interface takes frames from native XDP */
	uint8_t ttl;	      /* of what leaves */
	uint8_t destination_mac[FASTPATH_MAC], source_mac[FASTPATH_MAC];
	uint32_t unused2;
};

/* One call's packets that one CPU has carried. One cache line. */
struct fastpath_counts {
	struct {
		uint64_t packets, octets; /* from the IP header on */
		uint64_t seen_jiffies;	  /* 0: none */
	} from[2];
	uint64_t unused[2];
};

_Static_assert(sizeof(struct fastpath_setup) == 16 + 4 * FASTPATH_LOCALS, "both halves agree");
_Static_assert(sizeof(struct fastpath_route) == 64, "both halves agree");
_Static_assert(sizeof(struct fastpath_hop) == 32, "both halves agree");
_Static_assert(sizeof(struct fastpath_counts) == 64, "both halves agree");

#endif
