/*
 * Rules that drop, whoever keeps them, and the command that lets calls pass. The table is the
 * documentation; that nft's and iptables' commands do so is seen in tests/net/test_doctor.py.
 */
#include "doctor/doctor_mend.h"

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

enum { SERVER = 0x0A02000A };

enum which { CLIENT, TALK, SERVER_DIALLED, GRE_IN, GRE_OUT };

static const struct doctor_packet packets[] = {
    [CLIENT] = {.in = true, .protocol = DOCTOR_TCP, .local_port = 1723},
    [TALK] = {.in = true, .protocol = DOCTOR_TCP, .local_port = 1723, .established = true},
    [SERVER_DIALLED] = {.protocol = DOCTOR_TCP, .port = 1724, .addr = SERVER},
    [GRE_IN] = {.in = true, .protocol = DOCTOR_GRE},
    [GRE_OUT] = {.protocol = DOCTOR_GRE, .addr = SERVER},
};

struct row {
	const char *rules; /* what is behind the frame, see below */
	enum which packet;
	const char *command;
};

/* The command for the first chain that drops the packet. */
static void mended(struct doctor_rules *rules, const struct row *row)
{
	char command[DOCTOR_MEND_TEXT] = "nothing is dropped";
	const struct doctor_packet *packet = &packets[row->packet];
	for (size_t i = 0; i < rules->chain_count; i++) {
		const struct doctor_chain *chain = &rules->chains[i];
		if (!doctor_rules_concerns(chain, packet))
			continue;
		struct doctor_judgement judgement = doctor_rules_judge(rules, chain, packet, false);
		if (judgement.fate != DOCTOR_DROPS)
			continue;
		doctor_mend_pass(rules, &judgement, packet, command);
		break;
	}
	if (strcmp(command, row->command) != 0)
		fail_msg("%s\n%s\nexpected %s", row->rules, command, row->command);
	doctor_rules_clear(rules);
}

/* ---- firewalld ---- */

#define RELOAD " && firewall-cmd --reload"

/* Behind base chains, as firewalld 1.x names them; a zone's chain for what comes by any interface.
 */
static const struct row firewalld[] = {
    {"\tchain filter_IN_public {\n\t\treject with icmpx admin-prohibited\n\t}\n", GRE_IN,
     "firewall-cmd --permanent --zone=public --add-protocol=gre" RELOAD},
    {"\tchain filter_IN_public {\n\t\tdrop\n\t}\n", CLIENT,
     "firewall-cmd --permanent --zone=public --add-port=1723/tcp" RELOAD},
    /* What a zone denies comes before what it allows. */
    {"\tchain filter_IN_public {\n\t\tjump filter_IN_public_deny\n\t}\n"
     "\tchain filter_IN_public_deny {\n\t\tip protocol gre drop\n\t}\n",
     GRE_IN,
     "firewall-cmd --permanent --zone=public "
     "--add-rich-rule='rule priority=-32768 protocol value=gre accept'" RELOAD},
    {"\tchain filter_IN_public {\n\t\tjump filter_IN_public_pre\n\t}\n"
     "\tchain filter_IN_public_pre {\n\t\ttcp dport 1723 drop\n\t}\n",
     CLIENT,
     "firewall-cmd --permanent --zone=public "
     "--add-rich-rule='rule priority=-32768 port port=1723 protocol=tcp accept'" RELOAD},
    {"\tchain filter_IN_public {\n\t\tjump filter_IN_public_post\n\t}\n"
     "\tchain filter_IN_public_post {\n\t\tip protocol gre drop\n\t}\n",
     GRE_IN, "firewall-cmd --permanent --zone=public --add-protocol=gre" RELOAD},
    {"\tchain filter_IN_public {\n\t\tjump filter_IN_policy_any-to-us\n\t}\n"
     "\tchain filter_IN_policy_any-to-us {\n\t\tdrop\n\t}\n",
     GRE_IN, "firewall-cmd --permanent --policy=any-to-us --add-protocol=gre" RELOAD},
    {"\tchain filter_OUT_policy_us-to-any {\n\t\tdrop\n\t}\n", GRE_OUT,
     "firewall-cmd --permanent --policy=us-to-any --add-protocol=gre" RELOAD},
    {"\tchain filter_OUT_policy_us-to-any {\n\t\tdrop\n\t}\n", SERVER_DIALLED,
     "firewall-cmd --permanent --policy=us-to-any --add-port=1724/tcp" RELOAD},
    /* Before 1.0 the base chain refuses what no zone has taken. */
    {"\tchain filter_IN_public {\n\t\ttcp dport 22 accept\n\t}\n", GRE_IN,
     "firewall-cmd --permanent --add-protocol=gre" RELOAD},
    /* It has no words for these. */
    {"\tchain filter_IN_public {\n\t\tdrop\n\t}\n", TALK,
     "nft insert rule inet firewalld filter_INPUT ct state established,related accept"},
    {"\tchain filter_OUT {\n\t}\n\tchain mangle_PREROUTING {\n\t\ttype filter hook prerouting "
     "priority mangle; policy drop;\n\t}\n\tchain filter_IN_public {\n\t\taccept\n\t}\n",
     GRE_IN, "nft insert rule inet firewalld mangle_PREROUTING ip protocol gre accept"},
};

static void firewalld_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(firewalld); i++) {
		struct doctor_rules rules = {0};
		char text[2048];
		snprintf(text, sizeof(text),
			 "table inet firewalld {\n\tchain filter_INPUT {\n"
			 "\t\ttype filter hook input priority filter + 10; policy accept;\n"
			 "\t\tjump filter_INPUT_ZONES\n\t\treject\n\t}\n"
			 "\tchain filter_INPUT_ZONES {\n\t\tgoto filter_IN_public\n\t}\n"
			 "\tchain filter_OUTPUT {\n"
			 "\t\ttype filter hook output priority filter + 10; policy accept;\n"
			 "\t\tjump filter_OUT_policy_us-to-any\n\t}\n%s}\n",
			 firewalld[i].rules);
		assert_true(doctor_nft_parse(&rules, text, NULL));
		mended(&rules, &firewalld[i]);
	}
}

/* Its chains with iptables. */
static const struct row firewalld_iptables[] = {
    {"-A IN_public -j IN_public_deny\n-A IN_public_deny -p gre -j DROP\n", GRE_IN,
     "firewall-cmd --permanent --zone=public "
     "--add-rich-rule='rule priority=-32768 protocol value=gre accept'" RELOAD},
    {"-A INPUT -j REJECT --reject-with icmp-host-prohibited\n", CLIENT,
     "firewall-cmd --permanent --add-port=1723/tcp" RELOAD},
};

/* ---- ufw ---- */

static const struct row ufw[] = {
    {"", GRE_IN, "ufw allow in proto gre from any to any"},
    {"", CLIENT, "ufw allow 1723/tcp"},
    {"", GRE_OUT, "ufw allow out proto gre from any to any"},
    {"", SERVER_DIALLED, "ufw allow out proto tcp to 10.2.0.10 port 1724"},
    {"-A INPUT -j ufw-reject-input\n-A ufw-reject-input -j REJECT\n", GRE_IN,
     "ufw allow in proto gre from any to any"},
    /* Of the user's rules the first one counts. */
    {"-A ufw-user-input -p gre -j DROP\n", GRE_IN,
     "ufw prepend allow in proto gre from any to any"},
    {"-A ufw-user-input -p tcp -m tcp --dport 1723 -j REJECT\n", CLIENT,
     "ufw prepend allow 1723/tcp"},
    /* What comes before these is a file's. */
    {"-A ufw-before-input -p gre -j DROP\n", GRE_IN,
     "sed -i '/^# End required lines/a -A ufw-before-input -p gre -j ACCEPT' "
     "/etc/ufw/before.rules && ufw reload"},
    {"", TALK,
     "sed -i '/^# End required lines/a -A ufw-before-input -m conntrack --ctstate "
     "ESTABLISHED,RELATED -j ACCEPT' /etc/ufw/before.rules && ufw reload"},
    /* Somebody's own, outside of ufw. */
    {"-A INPUT -p gre -j DROP\n", GRE_IN, "iptables -t filter -I INPUT -p gre -j ACCEPT"},
};

static void iptables_rows(const char *chains, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct doctor_rules rules = {.program = "iptables"};
		char text[2048];
		snprintf(text, sizeof(text), "*filter\n%s%sCOMMIT\n", chains, rows[i].rules);
		assert_true(doctor_iptables_parse(&rules, text));
		mended(&rules, &rows[i]);
	}
}

static void others_with_iptables_are_told(void **state)
{
	(void)state;
	iptables_rows(":INPUT ACCEPT [0:0]\n:INPUT_ZONES - [0:0]\n:IN_public - [0:0]\n"
		      ":IN_public_deny - [0:0]\n-A INPUT -j INPUT_ZONES\n"
		      "-A INPUT_ZONES -g IN_public\n",
		      firewalld_iptables, COUNT(firewalld_iptables));
	iptables_rows(":INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\n:ufw-before-input - [0:0]\n"
		      ":ufw-user-input - [0:0]\n:ufw-reject-input - [0:0]\n"
		      "-A INPUT -j ufw-before-input\n-A INPUT -j ufw-user-input\n",
		      ufw, COUNT(ufw));
}

/* The chain that has it, not the base chain that led there; and a rule that is too long. */
static void a_rule_is_deleted_where_it_stands(void **state)
{
	(void)state;
	char command[DOCTOR_MEND_TEXT], text[4096];
	struct doctor_rules rules = {0};
	assert_true(
	    doctor_nft_parse(&rules,
			     "table ip nat {\n\tchain pre {\n\t\ttype nat hook prerouting "
			     "priority dstnat; policy accept;\n\t\tjump vpn # handle 3\n\t}\n"
			     "\tchain vpn {\n\t\ttcp dport 1723 redirect to :99 # handle 5\n"
			     "\t}\n}\n",
			     NULL));
	struct doctor_judgement judgement =
	    doctor_rules_judge(&rules, &rules.chains[0], &packets[CLIENT], false);
	assert_int_equal(judgement.fate, DOCTOR_STOLEN);
	doctor_mend_delete(&rules, judgement.holder, judgement.rule, command);
	assert_string_equal(command, "nft delete rule ip nat vpn handle 5");
	doctor_mend_delete(&rules, judgement.holder, "tcp dport 1723 redirect to :99", command);
	assert_string_equal(command, "nft -a list chain ip nat vpn");
	doctor_rules_clear(&rules);

	rules.program = "iptables";
	snprintf(text, sizeof(text),
		 "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m comment "
		 "--comment \"%01000d\" -j REDIRECT\n",
		 0);
	assert_true(doctor_iptables_parse(&rules, text));
	doctor_mend_delete(&rules, &rules.chains[0], rules.chains[0].rules[0], command);
	assert_string_equal(command, "iptables -t nat -vnL PREROUTING --line-numbers");
	doctor_rules_clear(&rules);
}

/* The rule of a shell's metacharacters, and what is to be pasted. */
static const struct row strange[] = {
    {"-A INPUT -m comment --comment \"pptp $(id)\" -j DROP", GRE_IN,
     "iptables -t filter -D INPUT -m comment --comment 'pptp $(id)' -j DROP"},
    {"-A INPUT -p gre -m comment --comment `id` -j DROP", GRE_IN,
     "iptables -t filter -D INPUT -p gre -m comment --comment '`id`' -j DROP"},
    {"-A INPUT ! -i lo -j a;id", GRE_IN, "iptables -t filter -D INPUT '!' -i lo -j 'a;id'"},
    /* Whose text cannot be told from iptables' own escapes. */
    {"-A INPUT -m comment --comment \"a \\\" b\" -j DROP", GRE_IN,
     "iptables -t filter -vnL INPUT --line-numbers"},
};

static void text_of_rules_is_quoted(void **state)
{
	(void)state;
	char command[DOCTOR_MEND_TEXT];
	struct doctor_chain chain = {.table = (char[]){"filter"}, .name = (char[]){"INPUT"}};
	struct doctor_rules rules = {.program = "iptables", .chains = &chain, .chain_count = 1};
	for (size_t i = 0; i < COUNT(strange); i++) {
		doctor_mend_delete(&rules, &chain, strange[i].rules, command);
		assert_string_equal(command, strange[i].command);
	}
	struct doctor_judgement judgement = {
	    .fate = DOCTOR_DROPS, .chain = &chain, .holder = &chain};
	chain.name = (char[]){"a;id"};
	doctor_mend_show(&rules, &chain, command);
	assert_string_equal(command, "iptables -t filter -vnL 'a;id' --line-numbers");
	doctor_mend_pass(&rules, &judgement, &packets[GRE_IN], command);
	assert_string_equal(command, "iptables -t filter -I 'a;id' -p gre -j ACCEPT");
	rules.program = "nft";
	chain.table = (char[]){"inet $x"};
	doctor_mend_show(&rules, &chain, command);
	assert_string_equal(command, "nft -a list chain inet '$x' 'a;id'");
	doctor_mend_delete(&rules, &chain, "drop # handle 5", command);
	assert_string_equal(command, "nft delete rule inet '$x' 'a;id' handle 5");
	doctor_mend_pass(&rules, &judgement, &packets[GRE_IN], command);
	assert_string_equal(command, "nft insert rule inet '$x' 'a;id' ip protocol gre accept");
	chain.table = (char[]){"inet firewalld"};
	chain.name = (char[]){"filter_IN_a;id"};
	doctor_mend_pass(&rules, &judgement, &packets[GRE_IN], command);
	assert_string_equal(command,
			    "firewall-cmd --permanent --zone='a;id' --add-protocol=gre" RELOAD);
}

/* What it has made comes back with its next reload. */
static void firewalld_takes_its_rules_back_itself(void **state)
{
	(void)state;
	static const char settings[] =
	    "firewall-cmd --list-all-zones; firewall-cmd --list-all-policies";
	char command[DOCTOR_MEND_TEXT];
	struct doctor_chain chains[] = {
	    {.table = (char[]){"inet firewalld"}, .name = (char[]){"nat_PRE_public_allow"}},
	    {.table = (char[]){"nat"}, .name = (char[]){"PRE_public_allow"}},
	    {.table = (char[]){"nat"}, .name = (char[]){"PREROUTING_ZONES"}},
	};
	struct doctor_rules rules = {
	    .program = "nft", .chains = chains, .chain_count = COUNT(chains)};
	doctor_mend_delete(&rules, &chains[0], "redirect to :99 # handle 5", command);
	assert_string_equal(command, settings);
	rules.program = "iptables";
	doctor_mend_delete(&rules, &chains[1], "-A PRE_public_allow -j REDIRECT", command);
	assert_string_equal(command, settings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(firewalld_is_told),
	    cmocka_unit_test(others_with_iptables_are_told),
	    cmocka_unit_test(a_rule_is_deleted_where_it_stands),
	    cmocka_unit_test(text_of_rules_is_quoted),
	    cmocka_unit_test(firewalld_takes_its_rules_back_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
