/*
 * letter: what the keeper gives to a process that it executes: a worker, its own next image, or a
 * trial of that: the configuration, and which descriptor is what. The descriptors themselves are
 * inherited.
 *
 * Text in a file without a name, whose number stands in the environment. A line that the reader
 * does not know is an error, so a letter is understood whole or not at all.
 *
 *   pptpproxy letter 1
 *   descriptors 20000
 *   raw 5 6
 *   listener 3232235777 1723 9 inside.example.com:1723
 *   legs 17 21 22
 *   word 9
 *   --nofork
 *   end
 *
 * Thread: main.
 */
#ifndef KEEPER_LETTER_H
#define KEEPER_LETTER_H

#include "host/user.h"
#include "host/why.h"

#include <stddef.h>
#include <stdint.h>

enum letter_to {
	LETTER_TO_NOBODY,
	LETTER_TO_WORKER,
	LETTER_TO_KEEPER, /* after an upgrade */
	LETTER_TO_TRIAL,  /* could you be the keeper? */
};

struct letter_listener {
	uint32_t addr; /* host byte order */
	uint16_t port;
	int fd;
	char *name; /* as the user has it, with its port; NULL: not known */
};

/* Of a connection that has a call; index: of its record in the kept memory. */
struct letter_legs {
	uint32_t index;
	int fds[2]; /* the client's, the server's */
};

struct letter {
	enum letter_to to;
	long keeper;	    /* its pid */
	unsigned again;	    /* how often a keeper's next image has been tried in vain */
	size_t descriptors; /* the limit */
	struct user user;   /* whom a worker becomes */
	/* -1: none */
	int kept, raw_receive, raw_send, instance, link, log;
	int given; /* of the fast path, to a worker */
	struct letter_listener *listeners;
	size_t listener_count;
	struct letter_legs *legs;
	size_t legs_count;
	char **words; /* of the command line; NULL-terminated */
	size_t word_count;
	char *config; /* the configuration file's text, NULL: none */
	size_t config_length;
	char *config_path;
	char *fastpath; /* what that room has written for itself, NULL: none */
	size_t fastpath_length;
};

#define LETTER_NONE                                                                                \
	((struct letter){.kept = -1,                                                               \
			 .raw_receive = -1,                                                        \
			 .raw_send = -1,                                                           \
			 .instance = -1,                                                           \
			 .link = -1,                                                               \
			 .log = -1,                                                                \
			 .given = -1})

/* A descriptor that is inherited over exec, or -1 with why set. */
int letter_write(const struct letter *letter, struct why *why);

/* The environment's entry for this letter ("PPTPPROXY_LETTER=7"). */
enum { LETTER_ENTRY_MAX = 40 };
char *letter_entry(int fd, char out[static LETTER_ENTRY_MAX]);

/* Reads the letter that the environment names (once more after a while where there is no memory),
 * closes it and takes it out of the environment. 0
 * with *letter, whose role is LETTER_TO_NOBODY where there is none; -1 with a sentence. */
int letter_receive(struct letter *letter, struct why *why);

/* The same of a letter that came as a descriptor, which is closed. */
int letter_read(int fd, struct letter *letter, struct why *why);

void letter_clear(struct letter *letter); /* frees; the descriptors in it are left alone */

#endif
