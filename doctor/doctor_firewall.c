/*
 * A chain that drops is told for each kind of packet with the first that it would drop, and once
 * more where that packet's command would not mend it for another.
 */
#include "doctor/doctor_firewall.h"

#include "doctor/doctor_addr.h"
#include "doctor/doctor_command.h"
#include "doctor/doctor_iptables.h"
#include "doctor/doctor_nft.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Kinds of packets, in the order in which a call needs them. */
enum kind {
	CLIENT_CONNECTS, /* TCP's first, in */
	CLIENT_TALKS,	 /* later ones, in and out */
	CLIENT_HEARS,
	SERVER_CALLED, /* TCP's first, out */
	SERVER_TALKS,
	SERVER_HEARS,
	GRE_IN,
	GRE_OUT,
	KINDS
};

enum { TOLD_MAX = 128, COMMAND_MS = 10000 };

struct firewall {
	struct doctor_report *report;
	const struct doctor_rules *rules;
	struct {
		enum kind kind;
		enum doctor_fate fate;
		char mend[DOCTOR_MEND_TEXT];
	} told[TOLD_MAX];
	size_t told_count;
	unsigned found;
	struct doctor_firewall_gre *gre; /* "": not yet */
	bool gre_blocked;		 /* a packet of what is asked for is dropped */
	bool tracked;			 /* a GRE packet goes by connection tracking */
};

/* ---- words ---- */

static void name_chain(const struct firewall *firewall, const struct doctor_chain *chain, char *out,
		       size_t size)
{
	snprintf(out, size, "%s table %s, chain %s:", firewall->rules->program, chain->table,
		 chain->name);
}

/* Without what nft adds for us. */
static void name_rule(const struct doctor_judgement *judgement, char *out, size_t size)
{
	const char *rule = judgement->rule ? judgement->rule : "its policy";
	const char *handle = strstr(rule, " # handle ");
	size_t length = handle ? (size_t)(handle - rule) : strlen(rule);
	snprintf(out, size, "%.*s", (int)length, rule);
}

static void name_packet(enum kind kind, const struct doctor_packet *packet, char *out, size_t size)
{
	char addr[DOCTOR_ADDR_TEXT];
	const char *other = packet->addr ? doctor_addr_text(packet->addr, addr) : "clients";
	switch (kind) {
	case CLIENT_CONNECTS:
		snprintf(out, size, "TCP connections of clients to port %u", packet->local_port);
		break;
	case CLIENT_TALKS:
	case SERVER_TALKS:
		snprintf(out, size, "what comes by TCP connections of %s", other);
		break;
	case CLIENT_HEARS:
	case SERVER_HEARS:
		snprintf(out, size, "what goes by TCP connections to %s", other);
		break;
	case SERVER_CALLED:
		snprintf(out, size, "TCP connections to %s port %u", other, packet->port);
		break;
	case GRE_IN:
		snprintf(out, size, "GRE (protocol 47) from %s", other);
		break;
	case GRE_OUT:
		snprintf(out, size, "GRE (protocol 47) to %s", other);
		break;
	case KINDS:
		break;
	}
}

static const char *consequence(enum kind kind)
{
	switch (kind) {
	case CLIENT_CONNECTS:
	case CLIENT_TALKS:
	case CLIENT_HEARS:
		return "clients cannot connect";
	case SERVER_CALLED:
	case SERVER_TALKS:
	case SERVER_HEARS:
		return "the server cannot be reached, and clients' connections are closed";
	default:
		return "calls are set up, but nothing passes through them, and they end";
	}
}

/* ---- findings ---- */

/* What one command mends is told once. */
static bool is_told(struct firewall *firewall, enum kind kind, enum doctor_fate fate,
		    const char *mend)
{
	for (size_t i = 0; i < firewall->told_count; i++) {
		if (firewall->told[i].kind == kind && firewall->told[i].fate == fate &&
		    strcmp(firewall->told[i].mend, mend) == 0)
			return true;
	}
	if (firewall->told_count == TOLD_MAX)
		return true;
	firewall->told[firewall->told_count].kind = kind;
	firewall->told[firewall->told_count].fate = fate;
	snprintf(firewall->told[firewall->told_count++].mend, DOCTOR_MEND_TEXT, "%s", mend);
	return false;
}

/* Talking needs one rule in each direction, whoever talks. */
static enum kind same_mending(enum kind kind)
{
	if (kind == SERVER_TALKS)
		return CLIENT_TALKS;
	return kind == SERVER_HEARS ? CLIENT_HEARS : kind;
}

static void mend_judged(const struct firewall *firewall, const struct doctor_packet *packet,
			const struct doctor_judgement *judgement,
			char mend[static DOCTOR_MEND_TEXT])
{
	if (judgement->fate == DOCTOR_MAY_DROP)
		doctor_mend_show(firewall->rules, judgement->holder, mend);
	else if (judgement->fate == DOCTOR_STOLEN)
		doctor_mend_delete(firewall->rules, judgement->holder, judgement->rule, mend);
	else
		doctor_mend_pass(firewall->rules, judgement, packet, mend);
}

static void tell(struct firewall *firewall, enum kind kind, const struct doctor_packet *packet,
		 const struct doctor_judgement *judgement)
{
	struct doctor_report *report = firewall->report;
	char chain[192], rule[256], what[96], mend[DOCTOR_MEND_TEXT];

	mend_judged(firewall, packet, judgement, mend);
	if (is_told(firewall, same_mending(kind), judgement->fate, mend))
		return;
	firewall->found++;
	name_chain(firewall, judgement->chain, chain, sizeof(chain));
	name_rule(judgement, rule, sizeof(rule));
	name_packet(kind, packet, what, sizeof(what));
	if (judgement->fate == DOCTOR_MAY_DROP) {
		doctor_report_note(report, "%s may drop %s: %s", chain, what, rule);
		doctor_report_why(report,
				  "not all of its conditions are understood here; --doctor-call "
				  "shows whether calls pass");
	} else if (judgement->fate == DOCTOR_STOLEN) {
		doctor_report_error(report, "%s sends elsewhere %s: %s", chain, what, rule);
		doctor_report_why(report, "they never come to pptpproxy");
	} else {
		doctor_report_error(report, "%s drops %s: %s", chain, what, rule);
		doctor_report_why(report, "%s", consequence(kind));
	}
	doctor_report_mend(report, "%s", mend);
	if (kind == GRE_OUT && judgement->fate != DOCTOR_STOLEN && !firewall->gre->out[0])
		doctor_mend_pass(firewall->rules, judgement, packet, firewall->gre->out);
}

/* Whether it was told or not: the server's finding points to what was told. */
static void note_gre(struct firewall *firewall, const struct doctor_packet *packet,
		     const struct doctor_judgement *judgement)
{
	if (packet->protocol != DOCTOR_GRE || judgement->fate != DOCTOR_DROPS)
		return;
	firewall->gre_blocked = true;
	if (!firewall->gre->dropped[0])
		doctor_mend_pass(firewall->rules, judgement, packet, firewall->gre->dropped);
}

static void ask(struct firewall *firewall, enum kind kind, const struct doctor_packet *packet)
{
	static const enum doctor_hook order[] = {DOCTOR_HOOK_INGRESS, DOCTOR_HOOK_PREROUTING,
						 DOCTOR_HOOK_INPUT, DOCTOR_HOOK_OUTPUT,
						 DOCTOR_HOOK_POSTROUTING};
	bool notrack = false;
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		for (size_t k = 0; k < firewall->rules->chain_count; k++) {
			const struct doctor_chain *chain = &firewall->rules->chains[k];
			if (chain->hook != order[i] || !doctor_rules_concerns(chain, packet))
				continue;
			/* Of a connection only the first packet comes by a nat chain. */
			if (chain->nat && packet->established)
				continue;
			struct doctor_judgement judgement =
			    doctor_rules_judge(firewall->rules, chain, packet, notrack);
			notrack = judgement.notrack;
			if (judgement.fate != DOCTOR_PASSES)
				tell(firewall, kind, packet, &judgement);
			note_gre(firewall, packet, &judgement);
		}
	}
	if (packet->protocol == DOCTOR_GRE && !notrack)
		firewall->tracked = true;
}

/* ---- questions ---- */

static void ask_tcp(struct firewall *firewall, enum kind first, struct doctor_packet packet)
{
	packet.protocol = DOCTOR_TCP;
	packet.in = first == CLIENT_CONNECTS;
	ask(firewall, first, &packet);
	packet.established = true;
	packet.in = true;
	ask(firewall, first + 1, &packet);
	packet.in = false;
	ask(firewall, first + 2, &packet);
}

static void ask_gre(struct firewall *firewall, struct doctor_packet packet)
{
	packet.protocol = DOCTOR_GRE;
	packet.local_port = packet.port = 0;
	packet.in = true;
	ask(firewall, GRE_IN, &packet);
	packet.in = false;
	ask(firewall, GRE_OUT, &packet);
}

static void ask_for_clients(struct firewall *firewall, uint32_t addr, uint16_t port)
{
	struct doctor_packet packet = {.local_addr = addr, .local_port = port};
	ask_tcp(firewall, CLIENT_CONNECTS, packet);
	ask_gre(firewall, packet);
}

static void ask_for_server(struct firewall *firewall, struct doctor_way *way, uint16_t port)
{
	struct doctor_packet packet = {
	    .addr = way->addr, .port = port, .local_addr = way->local_addr};
	strncpy(packet.interface, way->interface, sizeof(packet.interface) - 1);
	ask_tcp(firewall, SERVER_CALLED, packet);
	firewall->gre_blocked = false;
	ask_gre(firewall, packet);
	way->gre_blocked |= firewall->gre_blocked;
}

static void ask_all(struct firewall *firewall, struct doctor_pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct doctor_pair *pair = &pairs[i];
		if (pair->listens)
			ask_for_clients(firewall, pair->listen_addr, pair->pair->listen.port);
		for (size_t k = 0; k < pair->way_count; k++) {
			if (pair->ways[k].there)
				ask_for_server(firewall, &pair->ways[k], pair->pair->peer.port);
		}
	}
	if (count == 0)
		ask_for_clients(firewall, 0, PAIR_PORT_DEFAULT);
}

/* ---- connection tracking ---- */

/* The rule of a chain that gives our control connections to the helper, or NULL. */
static const char *find_helper(const struct doctor_rules *rules, const struct doctor_chain *chain,
			       const struct doctor_packet *packet)
{
	for (size_t i = 0; i < chain->rule_count; i++) {
		struct doctor_effect effect = {0};
		rules->read(chain->rules[i], packet, false, &effect);
		if (effect.matches && effect.helper)
			return chain->rules[i];
	}
	return NULL;
}

static void look_for_helper(struct firewall *firewall, const struct doctor_packet *packet)
{
	char chain[192], mend[DOCTOR_MEND_TEXT];
	/* In nft a rule names the helper by an object, which says what it helps. */
	if (strcmp(firewall->rules->program, "nft") == 0 && !firewall->rules->pptp_helper)
		return;
	for (size_t i = 0; i < firewall->rules->chain_count; i++) {
		const struct doctor_chain *at = &firewall->rules->chains[i];
		const char *rule = find_helper(firewall->rules, at, packet);
		if (!rule)
			continue;
		doctor_mend_delete(firewall->rules, at, rule, mend);
		if (is_told(firewall, KINDS, DOCTOR_STOLEN, mend))
			continue;
		firewall->found++;
		name_chain(firewall, at, chain, sizeof(chain));
		doctor_report_warning(
		    firewall->report,
		    "%s gives our control connections to the kernel's PPTP helper", chain);
		doctor_report_why(
		    firewall->report,
		    "with NAT it rewrites call IDs a second time, and packets go astray");
		doctor_report_mend(firewall->report, "%s", mend);
	}
}

static void look_for_helpers(struct firewall *firewall, const struct doctor_pair *pairs,
			     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct doctor_packet in = {
		    .in = true, .protocol = DOCTOR_TCP, .local_port = pairs[i].pair->listen.port};
		struct doctor_packet out = {.protocol = DOCTOR_TCP,
					    .port = pairs[i].pair->peer.port};
		look_for_helper(firewall, &in);
		look_for_helper(firewall, &out);
	}
}

static void tell_tracked(const struct firewall *firewall)
{
	char mend[DOCTOR_MEND_TEXT];
	doctor_mend_untrack(firewall->rules, mend);
	doctor_report_note(firewall->report, "connection tracking follows GRE packets");
	doctor_report_why(
	    firewall->report,
	    "it costs time for each packet, and its table can fill; the manual's HOST "
	    "FIREWALL has the rules that keep it away");
	doctor_report_mend(firewall->report, "%s", mend);
}

/* ---- all programs ---- */

/* mend: shows the rules, or has them be seen. */
static void tell_unseen(struct doctor_report *report, const char *reason, const char *mend)
{
	doctor_report_note(report, "firewall rules could not be looked at: %s", reason);
	doctor_report_why(report, "there may be some that drop calls");
	doctor_report_mend(report, "%s", mend);
}

/* Rules that were parsed; cleared here. */
static void judge(struct firewall *firewall, struct doctor_rules *rules, bool good,
		  struct doctor_pair *pairs, size_t count)
{
	firewall->rules = rules;
	firewall->tracked = false;
	if (!good) {
		tell_unseen(firewall->report, "no memory", "free -h");
	} else {
		ask_all(firewall, pairs, count);
		look_for_helpers(firewall, pairs, count);
		if (rules->tracks && firewall->tracked)
			tell_tracked(firewall);
	}
	doctor_rules_clear(rules);
}

static void judge_iptables(struct firewall *firewall, const char *program, const char *text,
			   struct doctor_pair *pairs, size_t count)
{
	struct doctor_rules rules = {.program = program};
	bool good = doctor_iptables_parse(&rules, text);
	judge(firewall, &rules, good, pairs, count);
}

void doctor_firewall_judge(struct doctor_report *report, const struct doctor_firewall_texts *texts,
			   struct doctor_pair *pairs, size_t count, struct doctor_firewall_gre *gre)
{
	struct firewall firewall = {.report = report, .gre = gre};
	struct doctor_rules rules = {0};
	*gre = (struct doctor_firewall_gre){.out = ""};
	bool in_nft = texts->iptables && doctor_iptables_is_nft(texts->iptables);

	if (texts->nft) {
		bool good = doctor_nft_parse(&rules, texts->nft, in_nft ? texts->iptables : NULL);
		judge(&firewall, &rules, good, pairs, count);
	}
	/* Where there is only one kind of iptables, both print the same. */
	if (texts->iptables && (in_nft || !texts->iptables_legacy))
		judge_iptables(&firewall, "iptables", texts->iptables, pairs, count);
	if (texts->iptables_legacy)
		judge_iptables(&firewall, "iptables-legacy", texts->iptables_legacy, pairs, count);
	if (firewall.found == 0 && (texts->nft || texts->iptables || texts->iptables_legacy))
		doctor_report_ok(report, "lets calls pass");
}

static char *ask_program(struct doctor_report *report, const char *const *words)
{
	struct why why;
	char *text, line[128] = "";
	for (size_t i = 0; words[i]; i++)
		snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s", i ? " " : "",
			 words[i]);
	if (doctor_command_run(words, COMMAND_MS, &text, &why) == DOCTOR_COMMAND_FAILED)
		tell_unseen(report, why.text, line);
	return text;
}

void doctor_firewall_look(struct doctor_report *report, struct doctor_pair *pairs, size_t count,
			  struct doctor_firewall_gre *gre)
{
	static const char *const nft[] = {"nft", "-a", "-s", "list", "ruleset", NULL};
	static const char *const iptables[] = {"iptables-save", NULL};
	static const char *const legacy[] = {"iptables-legacy-save", NULL};

	doctor_report_section(report, "Firewall of this host");
	*gre = (struct doctor_firewall_gre){.out = ""};
	if (geteuid() != 0) {
		tell_unseen(report, "it needs root", "sudo pptpproxy --doctor");
		return;
	}
	struct doctor_firewall_texts texts = {
	    .nft = ask_program(report, nft),
	    .iptables = ask_program(report, iptables),
	    .iptables_legacy = ask_program(report, legacy),
	};
	doctor_firewall_judge(report, &texts, pairs, count, gre);
	if (!texts.nft && !texts.iptables && !texts.iptables_legacy)
		tell_unseen(report, "neither nft nor iptables-save is here",
			    "on Debian: apt-get install nftables");
	free(texts.nft);
	free(texts.iptables);
	free(texts.iptables_legacy);
}
