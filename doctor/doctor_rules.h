/*
 * doctor_rules: a host firewall's rules, as far as they judge packets: chains that are read from
 * what nft or iptables-save prints, and what becomes of a packet in them.
 *
 * Three answers, not two: a condition that is not understood may hold or not, and what follows from
 * it is said to be so. An address or interface that the packet is not known to have is taken in the
 * packet's favour: whoever lets in some and keeps out others means it so.
 *
 * Pure: text in, an answer out. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_RULES_H
#define DOCTOR_DOCTOR_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DOCTOR_TCP = 6, DOCTOR_GRE = 47 };

struct doctor_packet {
	bool in;		   /* comes to this host; else it leaves it */
	uint8_t protocol;	   /* DOCTOR_TCP or DOCTOR_GRE */
	uint16_t local_port, port; /* of TCP; the other end's is port; 0: any */
	uint32_t local_addr, addr; /* 0: not known; the other end's is addr */
	char interface[16];	   /* "": not known */
	bool established;	   /* a packet of a TCP connection that is up; else the first */
};

enum doctor_hook {
	DOCTOR_HOOK_NONE, /* reached from other chains only */
	DOCTOR_HOOK_INGRESS,
	DOCTOR_HOOK_PREROUTING,
	DOCTOR_HOOK_INPUT,
	DOCTOR_HOOK_OUTPUT,
	DOCTOR_HOOK_POSTROUTING,
};

enum doctor_verdict {
	DOCTOR_GOES_ON,
	DOCTOR_ACCEPT,
	DOCTOR_DROP,
	DOCTOR_JUMP,
	DOCTOR_GOTO,
	DOCTOR_RETURN,
	DOCTOR_STEAL,	 /* sent elsewhere: dnat, redirect, tproxy */
	DOCTOR_ANYTHING, /* not understood */
};

enum { DOCTOR_TARGET_MAX = 64 };

/* What a rule does with a packet. */
struct doctor_effect {
	bool matches; /* or may */
	bool certain;
	enum doctor_verdict verdict;
	bool notrack;
	bool helper;			/* gives it to connection tracking's helper */
	char target[DOCTOR_TARGET_MAX]; /* of JUMP and GOTO */
};

/* notrack: an earlier rule has taken it out of connection tracking. */
typedef void doctor_rules_read(const char *rule, const struct doctor_packet *packet, bool notrack,
			       struct doctor_effect *effect);

struct doctor_chain {
	char *table; /* "inet filter"; of iptables "filter" */
	char *name;
	enum doctor_hook hook;
	bool nat;
	bool drops; /* its policy */
	char **rules;
	size_t rule_count;
};

struct doctor_rules {
	const char *program; /* that changes them: "nft", "iptables", "iptables-legacy" */
	doctor_rules_read *read;
	struct doctor_chain *chains;
	size_t chain_count;
	bool tracks;	  /* something in it has connections tracked */
	bool pptp_helper; /* there is an object for that helper */
};

/* ---- made by the readers ---- */

/* Each: false: no memory. The chain stays the rules', until the next one is added. */
struct doctor_chain *doctor_rules_add_chain(struct doctor_rules *rules, const char *table,
					    const char *name);
bool doctor_rules_add(struct doctor_chain *chain, const char *rule);
void doctor_rules_clear(struct doctor_rules *rules);

/* Hands out each line that is not empty, without its end and the blanks before it. False: no
 * memory, or the reader said so. */
typedef bool doctor_rules_line(void *reader, const char *line);
bool doctor_rules_lines(const char *text, doctor_rules_line *take, void *reader);

/* ---- asked ---- */

enum doctor_fate { DOCTOR_PASSES, DOCTOR_MAY_DROP, DOCTOR_DROPS, DOCTOR_STOLEN };

struct doctor_judgement {
	enum doctor_fate fate;
	const struct doctor_chain *chain;  /* a base chain, the one that begins it */
	const struct doctor_chain *holder; /* the one that has the rule that decides it */
	const char *rule;		   /* that decides it, NULL: the base chain's policy */
	bool notrack;			   /* the packet is not tracked from here on */
};

/* Whether packets of this direction come by the chain. */
bool doctor_rules_concerns(const struct doctor_chain *chain, const struct doctor_packet *packet);

/* The chain that has this very rule, or NULL. */
const struct doctor_chain *doctor_rules_holder(const struct doctor_rules *rules, const char *rule);

/* What becomes of the packet in a base chain. */
struct doctor_judgement doctor_rules_judge(const struct doctor_rules *rules,
					   const struct doctor_chain *chain,
					   const struct doctor_packet *packet, bool notrack);

/* ---- for the readers: words of rules ---- */

enum { DOCTOR_WORDS_MAX = 128, DOCTOR_RULE_MAX = 4096 };

/* What a rule does of which a condition was taken in the packet's favour. */
void doctor_rules_favour(struct doctor_effect *effect);
/* What is to be thought of one that is too long: its verdict may be in what is not seen. */
void doctor_rules_give_up(struct doctor_effect *effect);

/* Splits a rule: at blanks, but "..." and { ... } are one word, without quotes or braces. kinds has
 * '"', '{' or 0. What does not fit is left out: the count is then DOCTOR_WORDS_MAX. words point
 * into copy, which has room for the rule. */
size_t doctor_rules_split(const char *rule, char *copy, char *words[static DOCTOR_WORDS_MAX],
			  char kinds[static DOCTOR_WORDS_MAX]);

/* A condition's value, single, A-B (or A:B) or a list with commas, each or none may have it. */
bool doctor_rules_has_number(const char *value, unsigned number);
/* Whether a port that the system chooses is in it. */
bool doctor_rules_has_any_port(const char *value);
/* *understood is false where an address in it is not understood as such. */
bool doctor_rules_has_addr(const char *value, uint32_t addr, bool *understood);
/* Names are compared as a whole, or up to the wildcard ('*' or '+') at the value's end. */
bool doctor_rules_has_name(const char *value, const char *name, char wildcard);

#endif
