/*
 * pair: where to listen and whom to dial: [listenAddress[:port],]peerAddress[:port].
 *
 * Pure, any thread. Names are kept as words here; control_relay resolves them.
 */
#ifndef PAIR_H
#define PAIR_H

#include "host/why.h"

#include <stdbool.h>
#include <stdint.h>

enum { PAIR_WORD_MAX = 253, PAIR_PORT_DEFAULT = 1723 };

struct pair_endpoint {
	char word[PAIR_WORD_MAX + 1]; /* as given: a dotted address or a host name */
	bool numeric;		      /* the word is an address, and addr is it */
	uint32_t addr;		      /* host byte order; 0.0.0.0 where not numeric */
	uint16_t port;		      /* 1 to 65535, host byte order */
};

struct pair {
	struct pair_endpoint listen; /* 0.0.0.0 unless given */
	struct pair_endpoint peer;
	uint32_t place; /* among all, from 0; set by whoever has them all */
};

/* Returns 0, or -1 with a sentence that names the bad word. */
int pair_parse(const char *text, struct pair *pair, struct why *why);

/* ADDRESS:PORT, neither of which may be missing, and no name. Returns 0, or -1 with a sentence. */
int pair_address_parse(const char *text, struct pair_endpoint *endpoint, struct why *why);

/* Whether an address can be that of one host: not 0.0.0.0/8 (which the system takes for itself),
 * multicast or broadcast. */
bool pair_addr_is_hosts(uint32_t addr);

/* Whether two listen endpoints cannot be had at once: same port, and the same address or a wildcard
 * on either side. */
bool pair_conflict(const struct pair_endpoint *a, const struct pair_endpoint *b);

/* Whether dialling addr:port would arrive at this listen endpoint; addr_is_local: addr is one of
 * this host's own. */
bool pair_arrives(const struct pair_endpoint *listen, uint32_t addr, uint16_t port,
		  bool addr_is_local);

enum { PAIR_TEXT_MAX = PAIR_WORD_MAX + sizeof(":65535") };
char *pair_endpoint_text(const struct pair_endpoint *endpoint, char out[static PAIR_TEXT_MAX]);

#endif
