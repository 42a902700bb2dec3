/*
 * Rules as nft and iptables-save print them, and what becomes of calls: first rule by rule, then
 * whole rulesets and what is said of them. The tables are the documentation of what is understood.
 */
#include "doctor/doctor_firewall.h"

#include "doctor/doctor_iptables.h"
#include "doctor/doctor_nft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { SERVER = 0x0A02000A, OURS = 0x0A020001 }; /* 10.2.0.10, 10.2.0.1 by "outside" */

/* The packets of a call that come in, and those that go out, in the order of the tables' letters.
 */
static const struct doctor_packet packets_in[] = {
    {.in = true, .protocol = DOCTOR_TCP, .local_port = 1723},
    {.in = true, .protocol = DOCTOR_TCP, .local_port = 1723, .established = true},
    {.in = true,
     .protocol = DOCTOR_TCP,
     .port = 1723,
     .addr = SERVER,
     .local_addr = OURS,
     .interface = "outside",
     .established = true},
    {.in = true, .protocol = DOCTOR_GRE},
    {.in = true,
     .protocol = DOCTOR_GRE,
     .addr = SERVER,
     .local_addr = OURS,
     .interface = "outside"},
};
static const struct doctor_packet packets_out[] = {
    {.protocol = DOCTOR_TCP,
     .port = 1723,
     .addr = SERVER,
     .local_addr = OURS,
     .interface = "outside"},
    {.protocol = DOCTOR_TCP, .local_port = 1723, .established = true},
    {.protocol = DOCTOR_GRE},
    {.protocol = DOCTOR_GRE, .addr = SERVER, .local_addr = OURS, .interface = "outside"},
};

/* What becomes of each: Passes, Drops, May be dropped, Stolen. */
static void judged(const struct doctor_rules *rules, const char *expected, const char *of)
{
	const struct doctor_chain *chain = &rules->chains[0];
	bool in = chain->hook == DOCTOR_HOOK_INPUT || chain->hook == DOCTOR_HOOK_PREROUTING;
	size_t count = in ? COUNT(packets_in) : COUNT(packets_out);
	char got[COUNT(packets_in) + 1] = "";
	for (size_t i = 0; i < count; i++) {
		const struct doctor_packet *packet = in ? &packets_in[i] : &packets_out[i];
		assert_true(doctor_rules_concerns(chain, packet));
		got[i] = "PMDS"[doctor_rules_judge(rules, chain, packet, false).fate];
	}
	if (strcmp(got, expected) != 0)
		fail_msg("%s: %s, expected %s", of, got, expected);
}

struct row {
	const char *rule, *expected;
};

/* In an input chain that accepts: client's first, later, server's later; GRE of both. */
static const struct row nft_input[] = {
    {"drop", "DDDDD"},
    {"accept", "PPPPP"},
    {"counter packets 5 bytes 9 drop", "DDDDD"},
    {"log prefix \"drop accept \" level info drop comment \"of all\"", "DDDDD"},
    {"reject with icmp port-unreachable", "DDDDD"},
    {"log prefix \"x\"", "PPPPP"},
    {"ip protocol gre drop", "PPPDD"},
    {"ip protocol 47 drop", "PPPDD"},
    {"ip protocol != tcp drop", "PPPDD"},
    {"meta l4proto { tcp, gre } drop", "DDDDD"},
    {"meta l4proto gre counter drop", "PPPDD"},
    {"meta l4proto 50-100 drop", "PPPPP"},
    {"meta nfproto ipv6 drop", "PPPPP"},
    {"tcp dport 1723 drop", "DDPPP"},
    {"tcp dport { 22, 1700-1800 } drop", "DDPPP"},
    {"tcp dport != 1723 drop", "PPDPP"}, /* the system chooses ours towards a server */
    {"tcp sport 1723 drop", "PPDPP"},
    {"tcp dport 22 drop", "PPPPP"},
    {"tcp dport 1024-65535 drop", "DDDPP"},
    {"th dport 1723 drop", "DDPPP"},
    {"udp dport 1723 drop", "PPPPP"},
    {"icmp type echo-request drop", "PPPPP"},
    {"ip6 saddr ::1 drop", "PPPPP"},
    {"ct state invalid drop", "PPPPP"},
    {"ct state established,related drop", "PDDPP"},
    {"ct state != established drop", "DPPDD"},
    {"ct state vmap { invalid : drop, established : accept, new : drop }", "DPPDD"},
    {"tcp dport vmap { 22 : accept, 1723 : drop }", "DDPPP"},
    {"iifname vmap { \"lo\" : accept, \"outside\" : drop }", "PPDPD"},
    {"tcp dport vmap @ports", "MMMPP"},
    {"ip saddr . tcp dport { 10.2.0.10 . 1723 } drop", "MMMMM"},
    {"ip saddr . tcp sport vmap { 10.2.0.10 . 1723 : drop }", "MMMMM"},
    {"ip saddr 10.2.0.0/24 drop", "PPDPD"},
    {"ip saddr 10.2.0.5-10.2.0.10 drop", "PPDPD"},
    {"ip saddr { 10.9.0.1, 10.2.0.10 } drop", "PPDPD"},
    {"ip saddr != 10.2.0.10 drop", "PPPPP"}, /* of clients only some */
    {"ip saddr @bad drop", "MMMMM"},
    {"ip daddr 10.2.0.1 drop", "PPDPD"},
    {"ip ttl 1 drop", "MMMMM"},
    {"iifname \"outside\" drop", "PPDPD"},
    {"iifname \"out*\" drop", "PPDPD"},
    {"iifname \"lo\" drop", "PPPPP"},
    {"oifname \"outside\" drop", "PPPPP"},
    {"limit rate over 10/second burst 5 packets drop", "MMMMM"},
    {"tcp flags syn / fin,syn,rst,ack tcp dport 1723 drop", "MMPPP"},
    {"tcp flags & (fin | syn) != syn ct state new drop", "MPPPP"},
    {"gre protocol 34827 drop", "PPPMM"},
    {"meta mark 0x00000001 drop", "MMMMM"},
    {"ct status dnat drop", "PPPPP"},
    {"ct status snat,dnat drop", "MMMMM"},
    {"meta mark set 0x00000001 drop", "DDDDD"},
    {"fib daddr type local drop", "DDDDD"},
    {"fib saddr . iif oif missing drop", "MMMMM"},
    {"queue to 0", "MMMMM"},
    {"ip protocol gre notrack", "PPPPP"},
    {"something new drop", "MMMMM"},
    {"jump nowhere", "MMMMM"},
    {"jump dropping", "DDDDD"},
    {"tcp dport 1723 jump dropping", "DDPPP"},
    {"goto returning", "PPPPP"},
    {"jump endless", "MMMMM"},
    {"jump unsure", "MMMMM"},
    {"jump may_leave", "MMMMM"},
    {"tcp dport 1723 redirect to :99", "SSPPP"},
};

/* In an input chain that drops. */
static const struct row nft_closed[] = {
    {"log", "DDDDD"},
    {"tcp dport 1723 accept", "PPDDD"},
    {"ip saddr 192.0.2.0/24 tcp dport 1723 accept", "PPDDD"}, /* it means to let some in */
    {"ip saddr 10.2.0.10 accept", "PPPPP"},
    {"iifname \"inside\" accept", "PPDPD"},
    {"iifname \"lo\" accept", "DDDDD"},
    {"ct state established,related accept", "DPPDD"},
    {"limit rate 5/second accept", "MMMMM"},
    {"goto returning", "DDDDD"},
    {"return", "DDDDD"},
    {"ip protocol gre accept", "DDDPP"},
};

/* In an output chain that accepts: server's first, client's later; GRE to both. */
static const struct row nft_output[] = {
    {"tcp dport 1723 drop", "DPPP"},
    {"tcp sport 1723 drop", "PDPP"},
    {"ip daddr 10.2.0.10 drop", "DPPD"},
    {"ip saddr 10.2.0.1 drop", "DPPD"},
    {"oifname \"outside\" drop", "DPPD"},
    {"iifname \"outside\" drop", "PPPP"},
    {"ip protocol gre drop", "PPDD"},
    {"ct state established accept", "PPPP"},
    {"masquerade", "PPPP"},
};

static void nft_rows(const char *head, const struct row *rows, size_t count)
{
	char text[2048];
	for (size_t i = 0; i < count; i++) {
		struct doctor_rules rules = {0};
		snprintf(text, sizeof(text),
			 "table inet filter { # handle 1\n"
			 "\tset bad {\n\t\ttype ipv4_addr\n\t\telements = { 10.2.0.10,\n"
			 "\t\t\t     10.2.0.11 }\n\t}\n"
			 "\tchain base { # handle 2\n\t\t%s\n\t\t%s # handle 3\n\t}\n"
			 "\tchain dropping {\n\t\tdrop\n\t}\n"
			 "\tchain returning {\n\t\treturn\n\t\tdrop\n\t}\n"
			 "\tchain endless {\n\t\tjump endless\n\t}\n"
			 "\tchain unsure {\n\t\tmeta mark 1 drop\n\t}\n"
			 "\tchain may_leave {\n\t\tmeta mark 1 return\n\t\tdrop\n\t}\n"
			 "}\n",
			 head, rows[i].rule);
		assert_true(doctor_nft_parse(&rules, text, NULL));
		assert_int_equal(rules.chain_count, 6);
		judged(&rules, rows[i].expected, rows[i].rule);
		assert_int_equal(doctor_nft_handle(rules.chains[0].rules[0]), 3);
		doctor_rules_clear(&rules);
	}
}

static void rules_of_nft(void **state)
{
	(void)state;
	nft_rows("type filter hook input priority filter; policy accept;", nft_input,
		 COUNT(nft_input));
	nft_rows("type filter hook input priority filter; policy drop;", nft_closed,
		 COUNT(nft_closed));
	nft_rows("type filter hook output priority filter; policy accept;", nft_output,
		 COUNT(nft_output));
}

static const struct row iptables_input[] = {
    {"-j DROP", "DDDDD"},
    {"-j ACCEPT", "PPPPP"},
    {"-p gre -j DROP", "PPPDD"},
    {"-p 47 -j REJECT --reject-with icmp-port-unreachable", "PPPDD"},
    {"! -p tcp -j DROP", "PPPDD"},
    {"-p tcp -m tcp --dport 1723 -j DROP", "DDPPP"},
    {"-p tcp -m tcp --dport 1700:1800 -j DROP", "DDPPP"},
    {"-p tcp -m tcp ! --dport 1723 -j DROP", "PPDPP"},
    {"-p tcp -m multiport --dports 22,1723 -j DROP", "DDPPP"},
    {"-p tcp -m tcp --sport 1723 -j DROP", "PPDPP"},
    {"-p udp -m udp --dport 1723 -j DROP", "PPPPP"},
    {"-s 10.2.0.0/24 -j DROP", "PPDPD"},
    {"! -s 10.2.0.0/24 -j DROP", "PPPPP"},
    {"-d 10.2.0.1/32 -j DROP", "PPDPD"},
    {"-i outside -j DROP", "PPDPD"},
    {"-i out+ -j DROP", "PPDPD"},
    {"-i lo -j DROP", "PPPPP"},
    {"-m conntrack --ctstate INVALID -j DROP", "PPPPP"},
    {"-m state --state RELATED,ESTABLISHED -j DROP", "PDDPP"},
    {"-m comment --comment \"-j ACCEPT\" -j DROP", "DDDDD"},
    {"-m limit --limit 5/sec -j DROP", "MMMMM"},
    {"-m addrtype --dst-type LOCAL -j DROP", "DDDDD"},
    {"-p gre -m set --match-set bad src -j DROP", "PPPMM"},
    {"-p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP", "MMMPP"},
    {"-j LOG --log-prefix \"x -j DROP\"", "PPPPP"},
    {"-j dropping", "DDDDD"},
    {"-g returning", "PPPPP"},
    {"-j nowhere", "MMMMM"},
    {"-p tcp -m tcp --dport 1723 -j REDIRECT --to-ports 99", "SSPPP"},
};

static const struct row iptables_closed[] = {
    {"-j LOG", "DDDDD"},
    {"-p tcp -m tcp --dport 1723 -j ACCEPT", "PPDDD"},
    {"-s 192.0.2.0/24 -p tcp -m tcp --dport 1723 -j ACCEPT", "PPDDD"},
    {"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "DPPDD"},
    {"-p gre -j ACCEPT", "DDDPP"},
    {"-i lo -j ACCEPT", "DDDDD"},
};

static void iptables_rows(const char *policy, const struct row *rows, size_t count)
{
	char text[1024];
	for (size_t i = 0; i < count; i++) {
		struct doctor_rules rules = {.program = "iptables"};
		snprintf(text, sizeof(text),
			 "# Generated by iptables-save v1.8.9\n*filter\n:INPUT %s [1:2]\n"
			 ":dropping - [0:0]\n:returning - [0:0]\n"
			 "-A INPUT %s\n-A dropping -j DROP\n-A returning -j RETURN\n"
			 "-A returning -j DROP\nCOMMIT\n",
			 policy, rows[i].rule);
		assert_true(doctor_iptables_parse(&rules, text));
		assert_int_equal(rules.chain_count, 3);
		judged(&rules, rows[i].expected, rows[i].rule);
		doctor_rules_clear(&rules);
	}
}

static void rules_of_iptables(void **state)
{
	(void)state;
	iptables_rows("ACCEPT", iptables_input, COUNT(iptables_input));
	iptables_rows("DROP", iptables_closed, COUNT(iptables_closed));
}

/* ---- whole rulesets ---- */

static struct pair pair_of_words(void)
{
	return (struct pair){
	    .listen = {.word = "0.0.0.0", .numeric = true, .port = 1723},
	    .peer = {.word = "10.2.0.10", .numeric = true, .addr = SERVER, .port = 1723}};
}

/* Without the lines that say why: those are prose. */
static struct doctor_firewall_gre gre;
static bool gre_blocked;   /* on the way to the first */
static size_t servers = 1; /* of the pair, at one port */

static char *said_of(const struct doctor_firewall_texts *texts)
{
	static char result[8192];
	char *text = NULL;
	size_t length;
	struct pair words = pair_of_words();
	struct doctor_pair pair = {
	    .pair = &words,
	    .listens = true,
	    .ways =
		{{.addr = SERVER, .there = true, .local_addr = OURS, .interface = "outside"},
		 {.addr = SERVER + 1, .there = true, .local_addr = OURS, .interface = "outside"}},
	    .way_count = servers,
	};
	struct doctor_report report = {.out = open_memstream(&text, &length)};

	assert_non_null(report.out);
	doctor_firewall_judge(&report, texts, &pair, 1, &gre);
	gre_blocked = pair.ways[0].gre_blocked;
	fclose(report.out);
	result[0] = '\0';
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		line += strspn(line, " ");
		if (strncmp(line, "why:", 4) != 0)
			snprintf(result + strlen(result), sizeof(result) - strlen(result), "%s\n",
				 line);
	}
	free(text);
	return result;
}

static char nothing[] = "";

static void no_rules_let_calls_pass(void **state)
{
	(void)state;
	assert_string_equal(said_of(&(struct doctor_firewall_texts){.nft = nothing}),
			    "ok       lets calls pass\n");
	assert_string_equal(said_of(&(struct doctor_firewall_texts){.iptables_legacy = nothing}),
			    "ok       lets calls pass\n");
	assert_string_equal(said_of(&(struct doctor_firewall_texts){.nft = NULL}), "");
}

static char closed[] = "table inet filter { # handle 1\n"
		       "	chain input { # handle 1\n"
		       "		type filter hook input priority filter; policy drop;\n"
		       "		iifname \"lo\" accept # handle 4\n"
		       "	}\n"
		       "	chain forward { # handle 2\n"
		       "		type filter hook forward priority filter; policy drop;\n"
		       "	}\n"
		       "	chain output { # handle 3\n"
		       "		type filter hook output priority filter; policy accept;\n"
		       "		ip daddr 10.2.0.10 ip protocol gre drop # handle 5\n"
		       "	}\n"
		       "}\n"
		       "table ip6 filter { # handle 2\n"
		       "	chain input { # handle 1\n"
		       "		type filter hook input priority filter; policy drop;\n"
		       "	}\n"
		       "}\n";

static void each_drop_has_its_mending(void **state)
{
	(void)state;
	assert_string_equal(
	    said_of(&(struct doctor_firewall_texts){.nft = closed}),
	    "error    nft table inet filter, chain input: drops TCP connections of clients to port "
	    "1723: its policy\n"
	    "mend: nft insert rule inet filter input tcp dport 1723 accept\n"
	    "error    nft table inet filter, chain input: drops what comes by TCP connections of "
	    "clients: its policy\n"
	    "mend: nft insert rule inet filter input ct state established,related accept\n"
	    "error    nft table inet filter, chain input: drops GRE (protocol 47) from clients: "
	    "its "
	    "policy\n"
	    "mend: nft insert rule inet filter input ip protocol gre accept\n"
	    "error    nft table inet filter, chain output: drops GRE (protocol 47) to 10.2.0.10: "
	    "ip "
	    "daddr 10.2.0.10 ip protocol gre drop\n"
	    "mend: nft insert rule inet filter output ip protocol gre accept\n");
	assert_string_equal(gre.out, "nft insert rule inet filter output ip protocol gre accept");
	assert_string_equal(gre.dropped,
			    "nft insert rule inet filter input ip protocol gre accept");
	assert_true(gre_blocked);
}

/* A command that names one of two servers mends nothing for the other; nor is one that may be
 * unreachable all there is to say. */
static void each_of_two_servers_is_told(void **state)
{
	(void)state;
	struct doctor_firewall_texts texts = {
	    .nft = (char[]){"table inet filter {\n\tchain output {\n\t\ttype filter hook output "
			    "priority filter; policy drop;\n\t\tip protocol gre accept\n\t\tct "
			    "state established accept\n\t}\n}\n"}};
	servers = 2;
	const char *said = said_of(&texts);
	assert_non_null(strstr(
	    said,
	    "error    nft table inet filter, chain output: drops TCP connections to 10.2.0.10 "
	    "port 1723: its policy\n"
	    "mend: nft insert rule inet filter output ip daddr 10.2.0.10 tcp dport 1723 accept\n"
	    "error    nft table inet filter, chain output: drops TCP connections to 10.2.0.11 "
	    "port 1723: its policy\n"
	    "mend: nft insert rule inet filter output ip daddr 10.2.0.11 tcp dport 1723 accept\n"));
	texts.nft = (char[]){"table inet filter {\n\tchain output {\n\t\ttype filter hook output "
			     "priority filter; policy accept;\n\t\tip daddr 10.2.0.10 ip protocol "
			     "gre meta mark 1 drop\n\t\tip daddr 10.2.0.11 ip protocol gre "
			     "drop\n\t}\n}\n"};
	said = said_of(&texts);
	servers = 1;
	assert_non_null(strstr(said, "chain output: may drop GRE (protocol 47) to 10.2.0.10: "));
	assert_false(gre_blocked);
	assert_non_null(strstr(said, "chain output: drops GRE (protocol 47) to 10.2.0.11: "));
}

static char tracking[] = "table ip raw {\n"
			 "	chain pre {\n"
			 "		type filter hook prerouting priority raw; policy accept;\n"
			 "		%s\n"
			 "	}\n"
			 "	chain out {\n"
			 "		type filter hook output priority raw; policy accept;\n"
			 "		%s\n"
			 "	}\n"
			 "	chain in {\n"
			 "		type filter hook input priority filter; policy drop;\n"
			 "		ct state established,untracked accept\n"
			 "		tcp dport 1723 accept\n"
			 "		ip protocol gre accept\n"
			 "	}\n"
			 "}\n";

static void tracking_of_packets_is_noted(void **state)
{
	(void)state;
	char text[1024];
	const char *notrack = "ip protocol gre notrack";
	struct doctor_firewall_texts texts = {.nft = text};
	snprintf(text, sizeof(text), tracking, notrack, notrack);
	assert_string_equal(said_of(&texts), "ok       lets calls pass\n");
	snprintf(text, sizeof(text), tracking, notrack, "counter");
	assert_non_null(strstr(said_of(&texts), "note     connection tracking follows GRE"));
}

/* What notrack took out of tracking is "untracked" for a later chain, whatever its place in the
 * text. */
static void untracked_packets_are_not_new(void **state)
{
	(void)state;
	char text[1024];
	struct doctor_firewall_texts texts = {.nft = text};
	snprintf(
	    text, sizeof(text),
	    "table ip t {\n\tchain in {\n\t\ttype filter hook input priority 0; policy "
	    "accept;\n\t\tip protocol gre ct state %s drop\n\t}\n\tchain pre {\n\t\ttype filter "
	    "hook prerouting priority raw; policy accept;\n\t\tip protocol gre notrack\n\t}\n}\n",
	    "new");
	assert_null(strstr(said_of(&texts), "drops"));
	memcpy(strstr(text, "state new") + 6, "untracked drop", 15);
	strcpy(strstr(text, "drop") + 4, "\n\t}\n\tchain pre {\n\t\ttype filter hook prerouting "
					 "priority raw; policy accept;\n\t\tip protocol gre "
					 "notrack\n\t}\n}\n");
	assert_non_null(strstr(said_of(&texts), "drops GRE"));
}

static char helper[] =
    "table ip filter { # handle 1\n"
    "	ct helper vpn { # handle 2\n"
    "		type \"pptp\" protocol tcp\n"
    "		l3proto ip\n"
    "	}\n"
    "	chain pre { # handle 1\n"
    "		type filter hook prerouting priority filter; policy accept;\n"
    "		tcp dport 1723 ct helper set \"vpn\" # handle 7\n"
    "	}\n"
    "}\n";

static void the_kernels_helper_is_found(void **state)
{
	(void)state;
	struct doctor_firewall_texts texts = {.nft = helper};
	const char *said = said_of(&texts);
	assert_non_null(strstr(said, "warning  nft table ip filter, chain pre: gives our control "
				     "connections to the kernel's PPTP helper\n"
				     "mend: nft delete rule ip filter pre handle 7\n"));
	texts = (struct doctor_firewall_texts){
	    .iptables = (char[]){"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp "
				 "--dport 1723 -j CT --helper pptp\nCOMMIT\n"}};
	assert_non_null(strstr(said_of(&texts),
			       "mend: iptables -t raw -D PREROUTING -p tcp -m tcp --dport 1723 -j "
			       "CT --helper pptp\n"));
	/* another one's */
	memcpy(strstr(helper, "\"pptp\""), "\"sane\"", 6);
	texts = (struct doctor_firewall_texts){.nft = helper};
	said = said_of(&texts);
	assert_non_null(strstr(said, "note     connection tracking follows GRE packets\n"));
	assert_non_null(strstr(said, "ok       lets calls pass\n"));
	assert_null(strstr(said, "warning"));
}

/* As firewalld and ufw write them, shortened. */
static char firewalld[] =
    "table inet firewalld {\n"
    "	chain filter_INPUT {\n"
    "		type filter hook input priority filter + 10; policy accept;\n"
    "		ct state { established, related } accept\n"
    "		ct status dnat accept\n"
    "		iifname \"lo\" accept\n"
    "		ct state invalid drop\n"
    "		jump filter_INPUT_ZONES\n"
    "		reject with icmpx admin-prohibited\n"
    "	}\n"
    "	chain filter_INPUT_ZONES {\n"
    "		iifname \"inside\" goto filter_IN_internal\n"
    "		goto filter_IN_public\n"
    "	}\n"
    "	chain filter_IN_internal {\n"
    "		jump filter_IN_internal_allow\n"
    "		meta l4proto { icmp, ipv6-icmp } accept\n"
    "	}\n"
    "	chain filter_IN_internal_allow {\n"
    "		tcp dport 1723 accept\n"
    "	}\n"
    "	chain filter_IN_public {\n"
    "		jump filter_IN_public_allow\n"
    "		meta l4proto { icmp, ipv6-icmp } accept\n"
    "		reject with icmpx admin-prohibited\n"
    "	}\n"
    "	chain filter_IN_public_allow {\n"
    "		tcp dport 22 accept\n"
    "		tcp dport 1723 accept\n"
    "	}\n"
    "}\n";
static char ufw[] =
    "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:ufw-before-input - [0:0]\n"
    ":ufw-not-local - [0:0]\n:ufw-user-input - [0:0]\n:ufw-logging-deny - [0:0]\n"
    "-A INPUT -j ufw-before-input\n"
    "-A ufw-before-input -i lo -j ACCEPT\n"
    "-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    "-A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny\n"
    "-A ufw-before-input -m conntrack --ctstate INVALID -j DROP\n"
    "-A ufw-before-input -p icmp -m icmp --icmp-type 3 -j ACCEPT\n"
    "-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT\n"
    "-A ufw-before-input -j ufw-not-local\n"
    "-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT\n"
    "-A ufw-before-input -j ufw-user-input\n"
    "-A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW] \"\n"
    "-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN\n"
    "-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny\n"
    "-A ufw-not-local -j DROP\n"
    "-A ufw-user-input -p tcp -m tcp --dport 1723 -j ACCEPT\n"
    "COMMIT\n";

/* Both let in TCP 1723, and not protocol 47. */
static void usual_firewalls(void **state)
{
	(void)state;
	struct doctor_firewall_texts texts = {.nft = firewalld};
	const char *said = said_of(&texts);
	assert_non_null(strstr(said,
			       "error    nft table inet firewalld, chain filter_INPUT: drops GRE "
			       "(protocol 47) from clients: reject with icmpx "
			       "admin-prohibited\n"
			       "mend: firewall-cmd --permanent --zone=public "
			       "--add-protocol=gre && firewall-cmd --reload\n"
			       "note     connection tracking follows GRE packets\n"
			       "mend: nft 'add table"));
	texts = (struct doctor_firewall_texts){.iptables = ufw};
	assert_string_equal(
	    said_of(&texts),
	    "error    iptables table filter, chain INPUT: drops GRE (protocol 47) "
	    "from clients: its policy\n"
	    "mend: ufw allow in proto gre from any to any\n"
	    "note     connection tracking follows GRE packets\n"
	    "mend: iptables -t raw -A PREROUTING -p gre -j CT --notrack && iptables "
	    "-t raw -A OUTPUT -p gre -j CT --notrack\n");
}

/* nft warns that iptables has a table only above one that it cannot print by itself. */
static char in_nft[] = "table ip filter { # handle 1\n"
		       "	chain INPUT { # handle 1\n"
		       "		type filter hook input priority filter; policy drop;\n"
		       "	}\n"
		       "}\n";
static char in_nft_too[] = "table ip filters { # handle 1\n"
			   "	chain INPUT { # handle 1\n"
			   "		type filter hook input priority filter; policy drop;\n"
			   "	}\n"
			   "}\n"
			   "table inet filter { # handle 2\n"
			   "	chain INPUT { # handle 1\n"
			   "		type filter hook input priority filter; policy drop;\n"
			   "	}\n"
			   "}\n";
static char of_iptables[] = "# Generated by iptables-save v1.8.9 (nf_tables) on Sat\n*filter\n"
			    ":INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
static char legacy[] = "# Generated by iptables-save v1.8.9 on Sat\n*mangle\n"
		       ":PREROUTING ACCEPT [0:0]\n-A PREROUTING -p gre -j DROP\nCOMMIT\n";

/* Each by the program that prints it, and none twice. */
static void three_programs(void **state)
{
	(void)state;
	struct doctor_firewall_texts texts = {.nft = in_nft, .iptables = of_iptables};
	const char *said = said_of(&texts);
	assert_null(strstr(said, "nft"));
	assert_non_null(strstr(said, "mend: iptables -t filter -I INPUT -p gre -j ACCEPT\n"));
	texts = (struct doctor_firewall_texts){.nft = in_nft_too, .iptables = of_iptables};
	said = said_of(&texts);
	assert_non_null(strstr(said, "nft insert rule ip filters INPUT"));
	assert_non_null(strstr(said, "nft insert rule inet filter INPUT"));
	texts = (struct doctor_firewall_texts){
	    .nft = in_nft,
	    .iptables =
		(char[]){"# Table `filter' contains incompatible base-chains, use 'nft' tool "
			 "to list them.\n# Generated by iptables-save v1.8.9 (nf_tables) on "
			 "Sat\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"}};
	assert_non_null(strstr(said_of(&texts), "nft insert rule ip filter INPUT"));
	texts = (struct doctor_firewall_texts){.nft = in_nft};
	assert_non_null(strstr(said_of(&texts), "nft insert rule ip filter INPUT"));
	texts = (struct doctor_firewall_texts){.iptables = legacy, .iptables_legacy = legacy};
	assert_string_equal(said_of(&texts),
			    "error    iptables-legacy table mangle, chain PREROUTING: drops GRE "
			    "(protocol 47) from clients: -A PREROUTING -p gre -j DROP\n"
			    "mend: iptables-legacy -t mangle -I PREROUTING -p gre -j ACCEPT\n");
	texts = (struct doctor_firewall_texts){.iptables = legacy};
	assert_non_null(strstr(said_of(&texts), "mend: iptables -t mangle -I PREROUTING"));
}

static void a_redirection_is_deleted(void **state)
{
	(void)state;
	struct doctor_firewall_texts texts = {
	    .nft = (char[]){"table ip nat { # handle 1\n\tchain pre { # handle 1\n\t\ttype nat "
			    "hook prerouting priority dstnat; policy accept;\n\t\ttcp dport 1723 "
			    "dnat to 10.2.0.10 # handle 5\n\t}\n}\n"}};
	const char *said = said_of(&texts);
	assert_non_null(strstr(said, "error    nft table ip nat, chain pre: sends elsewhere TCP "
				     "connections of clients to port 1723: tcp dport 1723 dnat to "
				     "10.2.0.10\n"
				     "mend: nft delete rule ip nat pre handle 5\n"));
}

/* Cut or strange text must not end us: whoever may write rules is root, but kernels change. */
static void any_text_is_survived(void **state)
{
	(void)state;
	char *const texts[] = {closed, helper, tracking, in_nft, of_iptables, legacy};
	for (size_t i = 0; i < COUNT(texts); i++) {
		for (size_t length = strlen(texts[i]); length > 0; length--) {
			char *cut = strndup(texts[i], length);
			said_of(&(struct doctor_firewall_texts){.nft = cut});
			said_of(&(struct doctor_firewall_texts){.iptables = cut});
			free(cut);
		}
	}
	static char odd[] = "table ip t {\n\tchain c {\n\t\ttype filter hook input priority 0; "
			    "policy drop;\n\t\tfib\n\t\tip\n\t\tct\n\t\ttcp dport vmap {\n\t\ttcp "
			    "dport { 1,, }\n\t\tcounter packets\n\t\tip saddr .\n\t\t\"\n\t\tlog "
			    "prefix\n\t\tjump\n\t\tlimit\n\t\tfib saddr .\n\t}\n}\n}\n";
	said_of(&(struct doctor_firewall_texts){.nft = odd});
}

/* Each chain jumps eight times to the next one. */
static void chains_that_multiply_are_left(void **state)
{
	(void)state;
	struct doctor_rules rules = {.program = "iptables"};
	char text[4096] = "*filter\n:INPUT ACCEPT [0:0]\n", line[64];
	for (int i = 0; i < 15; i++) {
		snprintf(line, sizeof(line), ":c%d - [0:0]\n", i);
		strcat(text, line);
	}
	strcat(text, "-A INPUT -j c0\n");
	for (int i = 0; i < 8 * 14; i++) {
		snprintf(line, sizeof(line), "-A c%d -j c%d\n", i / 8, i / 8 + 1);
		strcat(text, line);
	}
	assert_true(doctor_iptables_parse(&rules, text));
	judged(&rules, "MMMMM", "8^14 ways");
	doctor_rules_clear(&rules);
}

static void a_rule_too_long_is_not_understood(void **state)
{
	(void)state;
	struct doctor_rules rules = {.program = "iptables"};
	char *text;
	assert_true(asprintf(&text, "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT %05000d -j DROP\n", 0) >
		    0);
	assert_true(doctor_iptables_parse(&rules, text));
	judged(&rules, "MMMMM", "5000 octets");
	doctor_rules_clear(&rules);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rules_of_nft),
	    cmocka_unit_test(rules_of_iptables),
	    cmocka_unit_test(no_rules_let_calls_pass),
	    cmocka_unit_test(each_drop_has_its_mending),
	    cmocka_unit_test(each_of_two_servers_is_told),
	    cmocka_unit_test(tracking_of_packets_is_noted),
	    cmocka_unit_test(untracked_packets_are_not_new),
	    cmocka_unit_test(the_kernels_helper_is_found),
	    cmocka_unit_test(usual_firewalls),
	    cmocka_unit_test(three_programs),
	    cmocka_unit_test(a_redirection_is_deleted),
	    cmocka_unit_test(any_text_is_survived),
	    cmocka_unit_test(chains_that_multiply_are_left),
	    cmocka_unit_test(a_rule_too_long_is_not_understood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
