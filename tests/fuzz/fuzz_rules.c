/*
 * Any text, taken for what nft or iptables-save prints: it is read, packets go through the chains
 * to an end, and commands come of it. The first octet says whose text it is.
 */
#include "doctor/doctor_iptables.h"
#include "doctor/doctor_mend.h"
#include "doctor/doctor_nft.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

/* One packet and one chain: an end by too many rules takes its time. */
static void judge_one(const struct doctor_rules *rules, unsigned which)
{
	static const struct doctor_packet packets[] = {
	    {.in = true, .protocol = DOCTOR_TCP, .local_port = 1723},
	    {.in = true, .protocol = DOCTOR_GRE, .addr = 0x0A02000A, .interface = "outside"},
	    {.protocol = DOCTOR_TCP, .port = 1723, .addr = 0x0A02000A, .established = true},
	};
	const struct doctor_packet *packet = &packets[which % 3];
	char command[DOCTOR_MEND_TEXT];
	for (size_t i = 0; i < rules->chain_count; i++) {
		const struct doctor_chain *chain = &rules->chains[i];
		if (!doctor_rules_concerns(chain, packet))
			continue;
		struct doctor_judgement judgement = doctor_rules_judge(rules, chain, packet, false);
		assert(judgement.chain == chain);
		assert(judgement.fate != DOCTOR_STOLEN || judgement.rule);
		assert(judgement.holder && (judgement.rule || judgement.holder == chain));
		doctor_mend_pass(rules, &judgement, packet, command);
		if (judgement.rule)
			doctor_mend_delete(rules, judgement.holder, judgement.rule, command);
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	struct doctor_rules rules = {.program = "iptables"};
	if (length == 0)
		return 0;
	char *text = strndup((const char *)octets + 1, length - 1);
	if (!text)
		abort();
	bool good = octets[0] & 1 ? doctor_nft_parse(&rules, text, octets[0] & 2 ? text : NULL)
				  : doctor_iptables_parse(&rules, text);
	assert(good);
	judge_one(&rules, octets[0] >> 2);
	doctor_rules_clear(&rules);
	free(text);
	return 0;
}
