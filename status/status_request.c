#include "status/status_request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

/* ---- whom it is asked of ---- */

static bool is_number(const char *text, size_t length)
{
	return strspn(text, "0123456789") == length;
}

static bool is_address(const char *text, size_t length, int family)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr addr;
	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	return inet_pton(family, copy, &addr) == 1;
}

/* host[:port], an address of version 6 in brackets. The port is whose way to us it was: a tunnel's
 * may be another. */
static bool is_ours(const char *host)
{
	static const char name[] = "localhost";
	size_t length = strcspn(host, ":");
	if (host[0] == '[') {
		const char *end = strchr(host, ']');
		const char *port = end ? end + 1 : host;
		bool good_end = end && (*port == '\0' ||
					(*port == ':' && is_number(port + 1, strlen(port + 1))));
		return good_end && is_address(host + 1, (size_t)(end - host - 1), AF_INET6);
	}
	if (host[length] == ':' && !is_number(host + length + 1, strlen(host + length + 1)))
		return false;
	return (length == sizeof(name) - 1 && strncasecmp(host, name, length) == 0) ||
	       is_address(host, length, AF_INET);
}

/* ---- a head ---- */

static void blame(struct status_request *request, int code, const char *wrong)
{
	if (request->wrong)
		return;
	request->code = code;
	request->wrong = wrong;
}

/* Cuts the text at the first of these and returns what follows; NULL: there is none. */
static char *cut_at(char *text, const char *separator)
{
	char *at = strstr(text, separator);
	if (!at)
		return NULL;
	*at = '\0';
	return at + strlen(separator);
}

static void read_target(char *target, struct status_request *request)
{
	static const char scheme[] = "http://";
	if (strncasecmp(target, scheme, sizeof(scheme) - 1) == 0) {
		char *host = target + sizeof(scheme) - 1;
		size_t length = strcspn(host, "/?");
		char first = host[length];
		host[length] = '\0';
		if (!is_ours(host))
			blame(request, 403, "ask by address, or by the name localhost");
		host[length] = first;
		target = host + length;
	}
	target[strcspn(target, "?")] = '\0';
	request->path = target;
}

static void read_first_line(char *line, struct status_request *request)
{
	char *target = cut_at(line, " "), *version = target ? cut_at(target, " ") : NULL;
	request->method = line;
	if (!version || !*line) {
		blame(request, 400, "no request of HTTP/1.1");
		return;
	}
	request->head_only = strcmp(line, "HEAD") == 0;
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		blame(request, 505, "HTTP/1.1 only");
	read_target(target, request);
}

/* Of other fields nothing matters here. Where there is a Host it must be good, whichever it is. */
static void read_field(char *line, struct status_request *request)
{
	char *value = cut_at(line, ":");
	if (!value || !*line || strpbrk(line, " \t")) {
		blame(request, 400, "a header that is none");
		return;
	}
	if (strcasecmp(line, "Host") != 0)
		return;
	value += strspn(value, " \t");
	for (size_t length = strlen(value); length > 0 && strchr(" \t", value[length - 1]);
	     length--)
		value[length - 1] = '\0';
	if (!is_ours(value))
		blame(request, 403, "ask by address, or by the name localhost");
}

void status_request_read(char *head, size_t length, struct status_request *request)
{
	*request = (struct status_request){.method = NULL};
	if (strlen(head) != length) {
		blame(request, 400, "a zero octet");
		return;
	}
	char *rest = cut_at(head, "\r\n");
	read_first_line(head, request);
	while (rest) {
		char *line = rest;
		rest = cut_at(line, "\r\n");
		read_field(line, request);
	}
}
