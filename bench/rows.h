/*
 * What source.c and its eBPF programs share: one row for each call and direction. The packet's
 * sequence number is the row's number, which no middle box changes, so the sink knows what each
 * packet must be.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <linux/types.h>

enum {
	HEADERS = 14 + 20 + 12, /* Ethernet, IP, enhanced GRE with a sequence number */
	ROWS_MAX = 65536,
};

/* The headers of a packet as it goes towards the middle box, and two octets of its payload: written
 * as whole words, which is what makes the source quick. */
struct sent_row {
	union {
		__u8 octets[HEADERS];
		__u64 words[6];
	};
};

/* What must come out. In network order. An array map spaces its values by multiples of eight
 * octets. */
struct expected_row {
	__be32 source, destination;
	__be16 call_id;
	__u16 pad[3];
};

/* What holds for all rows. */
struct sink_terms {
	__u32 rows;
	__be16 ip_length, gre_length;
	__u16 mac[3];
};

struct sink_tally {
	__u64 right, wrong;
};

enum sink_fault {
	FAULT_NONE,
	FAULT_SHORT,
	FAULT_MAC,
	FAULT_IP_HEADER,
	FAULT_CHECKSUM,
	FAULT_GRE,
	FAULT_ROW,
	FAULT_ADDRESS,
	FAULT_CALL_ID,
};

/* The last packet that was wrong. */
struct sink_wrong {
	__u32 fault;
	__u8 octets[HEADERS];
	__u8 pad[2];
};

#endif
