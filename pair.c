#include "pair.h"

#include "host/name_word.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What ends up in a sentence: enough of a long word to know it by. */
#define WORD "'%.100s'"

enum { ENDPOINT_TEXT_MAX = PAIR_WORD_MAX + 16 };

static bool is_all(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

static bool is_multicast(uint32_t addr)
{
	return addr >> 28 == 0xe;
}

bool pair_addr_is_hosts(uint32_t addr)
{
	return addr >> 24 != 0 && !is_multicast(addr) && addr != INADDR_BROADCAST;
}

/* Only good enough to tell the user about IPv6 instead of about a bad port. */
static bool looks_like_ipv6(const char *text)
{
	const char *colon = strchr(text, ':');
	return text[0] == '[' || strstr(text, "::") ||
	       (colon && strchr(colon + 1, ':') && is_all(text, "0123456789abcdefABCDEF:"));
}

static int parse_port(const char *text, uint16_t *port, struct why *why)
{
	unsigned long value = 0;
	size_t length = strlen(text);
	if (length > 0 && length <= 5 && is_all(text, "0123456789"))
		value = strtoul(text, NULL, 10);
	if (value < 1 || value > UINT16_MAX)
		return why_set(why, "port " WORD " is not a number from 1 to 65535", text);
	*port = (uint16_t)value;
	return 0;
}

static int parse_word(const char *word, struct pair_endpoint *endpoint, struct why *why)
{
	struct in_addr addr_be;
	if (inet_pton(AF_INET, word, &addr_be) == 1) {
		endpoint->numeric = true;
		endpoint->addr = ntohl(addr_be.s_addr);
		if (endpoint->addr != INADDR_ANY && !pair_addr_is_hosts(endpoint->addr))
			return why_set(why, WORD " is not the address of one host", word);
	} else if (is_all(word, "0123456789.")) {
		return why_set(why, WORD " is not an IPv4 address", word);
	} else if (!name_word_valid(word)) {
		return why_set(why, WORD " is neither an IPv4 address nor a host name", word);
	}
	strcpy(endpoint->word, word);
	return 0;
}

static int parse_endpoint(const char *what, char *text, struct pair_endpoint *endpoint,
			  struct why *why)
{
	*endpoint = (struct pair_endpoint){.port = PAIR_PORT_DEFAULT};
	if (looks_like_ipv6(text))
		return why_set(why, WORD ": IPv6 is not supported", text);
	char *colon = strchr(text, ':');
	if (colon)
		*colon = '\0';
	if (*text == '\0')
		return why_set(why, "the %s address is missing", what);
	if (colon && parse_port(colon + 1, &endpoint->port, why) < 0)
		return -1;
	return parse_word(text, endpoint, why);
}

int pair_parse(const char *text, struct pair *pair, struct why *why)
{
	/* Longer than two names and two ports is no pair; the copy is cut at its comma and colons.
	 */
	char copy[2 * ENDPOINT_TEXT_MAX];
	if (strlen(text) >= sizeof(copy))
		return why_set(why, WORD "... is too long for a pair", text);
	strcpy(copy, text);

	char *comma = strchr(copy, ',');
	if (!comma) {
		*pair = (struct pair){
		    .listen = {.word = "0.0.0.0", .numeric = true, .port = PAIR_PORT_DEFAULT}};
	} else {
		*comma = '\0';
		if (strchr(comma + 1, ','))
			return why_set(why,
				       WORD " has more than two parts; it should be "
					    "[listenAddress[:port],]peerAddress[:port]",
				       text);
		if (parse_endpoint("listen", copy, &pair->listen, why) < 0)
			return -1;
	}
	if (parse_endpoint("peer", comma ? comma + 1 : copy, &pair->peer, why) < 0)
		return -1;
	if (pair->peer.numeric && pair->peer.addr == INADDR_ANY)
		return why_set(why, "the peer address cannot be 0.0.0.0");
	return 0;
}

int pair_address_parse(const char *text, struct pair_endpoint *endpoint, struct why *why)
{
	char copy[ENDPOINT_TEXT_MAX];
	if (strlen(text) >= sizeof(copy))
		return why_set(why, WORD "... is too long for an address", text);
	strcpy(copy, text);
	if (parse_endpoint("listen", copy, endpoint, why) < 0)
		return -1;
	if (!endpoint->numeric)
		return why_set(why, WORD " is not an IPv4 address", endpoint->word);
	return strchr(text, ':') ? 0 : why_set(why, "the port is missing");
}

static bool is_wildcard(const struct pair_endpoint *endpoint)
{
	return endpoint->numeric && endpoint->addr == INADDR_ANY;
}

bool pair_conflict(const struct pair_endpoint *a, const struct pair_endpoint *b)
{
	if (a->port != b->port)
		return false;
	if (is_wildcard(a) || is_wildcard(b))
		return true;
	if (a->numeric && b->numeric)
		return a->addr == b->addr;
	return a->numeric == b->numeric && strcasecmp(a->word, b->word) == 0;
}

bool pair_arrives(const struct pair_endpoint *listen, uint32_t addr, uint16_t port,
		  bool addr_is_local)
{
	if (listen->port != port)
		return false;
	if (is_wildcard(listen))
		return addr_is_local;
	return listen->numeric && listen->addr == addr;
}

char *pair_endpoint_text(const struct pair_endpoint *endpoint, char out[static PAIR_TEXT_MAX])
{
	snprintf(out, PAIR_TEXT_MAX, "%s:%u", endpoint->word, endpoint->port);
	return out;
}
