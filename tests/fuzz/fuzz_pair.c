/*
 * Whatever pair_parse takes, it writes down so that it would take it again as the same pair; what
 * it does not take, it explains.
 */
#include "pair.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length);

static void check_same(const struct pair_endpoint *a, const struct pair_endpoint *b)
{
	assert(strcmp(a->word, b->word) == 0);
	assert(a->numeric == b->numeric);
	assert(a->addr == b->addr);
	assert(a->port == b->port);
}

static void check_taken(const struct pair *pair)
{
	struct pair again;
	struct why why;
	char listen[PAIR_TEXT_MAX], peer[PAIR_TEXT_MAX], text[2 * PAIR_TEXT_MAX + 1];
	snprintf(text, sizeof(text), "%s,%s", pair_endpoint_text(&pair->listen, listen),
		 pair_endpoint_text(&pair->peer, peer));
	assert(pair_parse(text, &again, &why) == 0);
	check_same(&pair->listen, &again.listen);
	check_same(&pair->peer, &again.peer);

	assert(pair->listen.port != 0 && pair->peer.port != 0);
	assert(pair_conflict(&pair->listen, &again.listen));
	if (pair->peer.numeric) {
		assert(pair->peer.addr != 0);
		assert(pair_arrives(&pair->peer, pair->peer.addr, pair->peer.port, false));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length)
{
	struct pair pair;
	struct why why = {""};
	char *text = strndup((const char *)octets, length);
	if (!text)
		abort();
	if (pair_parse(text, &pair, &why) == 0)
		check_taken(&pair);
	else
		assert(why.text[0] != '\0');
	free(text);
	return 0;
}
