/*
 * fastpath_letter: the keeper's half of the fast path as it goes over an exec: descriptors, which
 * are inherited, and what is known of them. Octets; read by the program that comes next, which may
 * be another version.
 *
 * Its head, up to fds, is the same for ever, so that any version can close what it cannot use. The
 * rest is as FASTPATH_LAYOUT says.
 */
#ifndef FASTPATH_LETTER_H
#define FASTPATH_LETTER_H

#include "fastpath/fastpath.h"

#include <net/if.h>
#include <stdbool.h>

#define FASTPATH_LETTER_MAGIC 0x46504C31U

/* Positions of descriptors, behind those that workers are given. */
enum {
	FASTPATH_LETTER_SETUP = FASTPATH_GIVEN_FDS,
	FASTPATH_LETTER_LOCALS,
	FASTPATH_LETTER_HOPS,
	FASTPATH_LETTER_COUNTERS,
	FASTPATH_LETTER_PORTS,
	FASTPATH_LETTER_GENERIC, /* programs */
	FASTPATH_LETTER_NATIVE,
	FASTPATH_LETTER_LINKS, /* attachments; FASTPATH_PORTS of them */
	FASTPATH_LETTER_FDS = FASTPATH_LETTER_LINKS + FASTPATH_PORTS,
};

struct fastpath_letter {
	uint32_t magic, layout;
	uint32_t fd_count, size;	  /* of fds; of the letter, in octets */
	int32_t fds[FASTPATH_LETTER_FDS]; /* -1: none */

	uint32_t cpus;
	uint32_t locals[FASTPATH_LOCALS]; /* as in struct fastpath_given */
	struct fastpath_clock clock;
	uint64_t object; /* fingerprint of the eBPF half that is attached */
	uint32_t port_count;
	uint8_t native, named;
	struct {
		uint32_t ifindex;
		char name[IF_NAMESIZE];
		uint8_t gone;
	} ports[FASTPATH_PORTS];
};

#endif
