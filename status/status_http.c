/*
 * evhttp parses and writes; what it has no bounds for is done here: how many connections there are,
 * and how long each may take in all. For that each connection's bufferevent has one more reference,
 * ours, by which it can be cut while evhttp has it, and counted until evhttp has let go of it.
 *
 * Where memory lacks as it takes a connection, evhttp of libevent 2.1.12 can die, and the worker
 * with it: the next one goes on with all calls. (A server of our own would not; it would be one.)
 */
#include "status/status_http.h"

#include "host/log.h"
#include "host/monotonic.h"
#include "status/snapshot.h"
#include "status/status_json.h"
#include "status/status_metrics.h"
#include "status/status_page.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
	BACKLOG = 16,
	TICK_MS = 200,	 /* how often connections are looked at, while there are any */
	PAUSE_MS = 1000, /* before accept is tried again */
};

#define NOT_TAKEN "others have not taken their answers yet"

struct client {
	struct bufferevent *bev; /* NULL: free */
	uint64_t began;
	struct evhttp_request *request; /* whose figures are being made; NULL: none is */
	const char *type;		/* of them */
	struct status_making making;
};

struct status_http {
	struct status_http_config config;
	struct evhttp *evhttp;
	struct evconnlistener *listener; /* evhttp's */
	struct event *tick, *again;
	struct status_maker *maker;
	struct client clients[STATUS_HTTP_CLIENTS];
};

/* ---- connections ---- */

/* evhttp takes its callbacks out when it lets go. */
static bool is_over(const struct client *client)
{
	bufferevent_data_cb read;
	bufferevent_event_cb event;
	bufferevent_getcb(client->bev, &read, NULL, &event, NULL);
	return !read && !event && bufferevent_getfd(client->bev) >= 0;
}

/* A request that has not been answered is ours, even where its connection has gone; an answer ends
 * it. */
static void let_go(struct client *client)
{
	struct evhttp_request *request = client->request;
	status_maker_cancel(&client->making);
	client->request = NULL;
	if (request)
		evhttp_send_reply(request, HTTP_SERVUNAVAIL, NULL, NULL);
	bufferevent_decref(client->bev);
	client->bev = NULL;
}

/* evhttp finds that it has ended. */
static void cut(struct client *client)
{
	shutdown(bufferevent_getfd(client->bev), SHUT_RDWR);
	let_go(client);
}

/* Whether there are any left. */
static bool look_after(struct status_http *http, uint64_t now)
{
	bool any = false;
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		struct client *client = &http->clients[i];
		if (client->bev && is_over(client))
			let_go(client);
		else if (client->bev && now - client->began >= STATUS_HTTP_PATIENCE_MS)
			cut(client);
		any = any || client->bev;
	}
	return any;
}

static void tick_later(struct status_http *http)
{
	const struct timeval after = {.tv_usec = TICK_MS * 1000};
	if (!event_pending(http->tick, EV_TIMEOUT, NULL))
		event_add(http->tick, &after);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct status_http *http = arg;
	(void)fd, (void)what;
	if (look_after(http, monotonic_ms()))
		tick_later(http);
}

/* The oldest gives way: who does not go on would else keep others out. */
static struct client *make_room(struct status_http *http)
{
	struct client *oldest = &http->clients[0];
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		struct client *client = &http->clients[i];
		if (!client->bev)
			return client;
		if (client->began < oldest->began)
			oldest = client;
	}
	cut(oldest);
	return oldest;
}

/* evhttp wants one for a connection that it has accepted, and sets its descriptor. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	struct status_http *http = arg;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!bev)
		return NULL;
	look_after(http, monotonic_ms());
	bufferevent_incref(bev);
	*make_room(http) = (struct client){.bev = bev, .began = monotonic_ms()};
	tick_later(http);
	return bev;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct status_http *http = arg;
	(void)fd, (void)what;
	evconnlistener_enable(http->listener);
}

/* The system has no descriptor or no memory; it would say so again at once. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct status_http *http = arg;
	const struct timeval after = {.tv_sec = PAUSE_MS / 1000};
	if (event_add(http->again, &after) == 0)
		evconnlistener_disable(listener);
}

static size_t octets_waiting(const struct status_http *http)
{
	size_t all = status_maker_octets(http->maker);
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		struct bufferevent *bev = http->clients[i].bev;
		if (bev)
			all += evbuffer_get_length(bufferevent_get_output(bev));
	}
	return all;
}

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

/* HTTP/1.0 knows no Host; no browser speaks it. */
static bool is_asked_of_us(struct evhttp_request *request)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
	const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
	const struct evkeyval *header;

	if (host && !is_ours(host))
		return false;
	for (header = headers->tqh_first; header; header = header->next.tqe_next) {
		if (strcasecmp(header->key, "Host") == 0 && !is_ours(header->value))
			return false;
	}
	return true;
}

/* ---- what is asked ---- */

/* Others may have come to wait since it was asked. */
static int look(void *arg, struct snapshot *snapshot, struct why *why)
{
	const struct status_http *http = arg;
	if (octets_waiting(http) > STATUS_HTTP_WAITING_MAX)
		return why_set(why, NOT_TAKEN);
	return http->config.look(http->config.arg, snapshot, why);
}

static int write_json(struct evbuffer *out, const struct snapshot *snapshot, size_t *calls)
{
	if (status_json_all(out, snapshot, calls) != 0)
		return -1;
	return *calls == snapshot->call_count ? evbuffer_add(out, "\n", 1) : 0;
}

static int add_script(struct evbuffer *out)
{
	size_t length;
	const char *script = status_page_script(&length);
	return evbuffer_add_reference(out, script, length, NULL, NULL);
}

static int add_style(struct evbuffer *out)
{
	size_t length;
	const char *style = status_page_style(&length);
	return evbuffer_add_reference(out, style, length, NULL, NULL);
}

static int add_health(struct evbuffer *out)
{
	return evbuffer_add(out, "ok\n", 3);
}

/* Figures, or what is always the same. */
static const struct place {
	const char *path, *type;
	struct status_writer figures;
	int (*add)(struct evbuffer *out);
} places[] = {
    {"/", "text/html; charset=utf-8", {.whole = status_page_write}, NULL},
    {"/page.js", "text/javascript; charset=utf-8", {0}, add_script},
    {"/page.css", "text/css; charset=utf-8", {0}, add_style},
    {"/calls.json", "application/json", {.piece = write_json}, NULL},
    {"/metrics", STATUS_METRICS_TYPE, {.whole = status_metrics_all}, NULL},
    {"/healthz", "text/plain; charset=utf-8", {0}, add_health},
};

static const struct place *find_place(struct evhttp_request *request)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	for (size_t i = 0; path && i < sizeof(places) / sizeof(*places); i++) {
		if (strcmp(places[i].path, path) == 0)
			return &places[i];
	}
	return NULL;
}

/* ---- answers ---- */

/* The page takes nothing from elsewhere, is shown within nothing, and is kept nowhere. */
static int add_headers(struct evhttp_request *request, const char *type, size_t length)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	char octets[24];
	const char *const all[][2] = {
	    {"Content-Type", type},
	    {"Content-Length", octets},
	    {"Connection", "close"},
	    {"Cache-Control", "no-store"},
	    {"Content-Security-Policy",
	     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
	     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	    {"Cross-Origin-Resource-Policy", "same-origin"},
	    {"Referrer-Policy", "no-referrer"},
	    {"X-Content-Type-Options", "nosniff"},
	    {"X-Frame-Options", "DENY"},
	};
	snprintf(octets, sizeof(octets), "%zu", length);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (evhttp_add_header(headers, all[i][0], all[i][1]) != 0)
			return -1;
	}
	return 0;
}

static void tell(struct evhttp_request *request, int code)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	char *addr = NULL, path[128];
	uint16_t port = 0;
	if (!connection || !log_wants(LOG_LEVEL_DEBUG))
		return;
	const char *uri = evhttp_request_get_uri(request);
	evhttp_connection_get_peer(connection, &addr, &port);
	log_debug("status page: %s asks for '%s': %d", addr ? addr : "?",
		  log_escape(path, sizeof(path), uri ? uri : "", uri ? strlen(uri) : 0), code);
}

/* body: drained, or NULL. */
static void answer(struct evhttp_request *request, int code, const char *type,
		   struct evbuffer *body)
{
	size_t length = body ? evbuffer_get_length(body) : 0;
	bool head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
	if (body && add_headers(request, type, length) != 0) {
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	tell(request, code);
	/* A client that has said all may have shut his side: that is no reason to cut the answer.
	 */
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct bufferevent *bev = connection ? evhttp_connection_get_bufferevent(connection) : NULL;
	evhttp_send_reply(request, code, NULL, head ? NULL : body);
	if (bev)
		bufferevent_disable(bev, EV_READ);
}

static void refuse(struct evhttp_request *request, int code, const char *sentence)
{
	struct evbuffer *body = evbuffer_new();
	if (body && evbuffer_add_printf(body, "%s\n", sentence) > 0)
		answer(request, code, "text/plain; charset=utf-8", body);
	else
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
	if (body)
		evbuffer_free(body);
}

static void on_made(void *arg, struct evbuffer *text, const struct why *why)
{
	struct client *client = arg;
	struct evhttp_request *request = client->request;
	client->request = NULL;
	if (text)
		answer(request, HTTP_OK, client->type, text);
	else
		refuse(request, HTTP_SERVUNAVAIL, why->text);
}

static struct client *client_of(struct status_http *http, struct evhttp_request *request)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	const struct bufferevent *bev = evhttp_connection_get_bufferevent(connection);
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		if (http->clients[i].bev == bev)
			return &http->clients[i];
	}
	return NULL;
}

static void give_figures(struct status_http *http, struct evhttp_request *request,
			 const struct place *place)
{
	struct client *client = client_of(http, request);
	if (!client || client->request) {
		refuse(request, HTTP_SERVUNAVAIL, "others came later");
		return;
	}
	client->request = request;
	client->type = place->type;
	status_maker_begin(http->maker, &client->making, &place->figures, on_made, client);
}

static void give_what_stands(struct evhttp_request *request, const struct place *place)
{
	struct evbuffer *body = evbuffer_new();
	if (body && place->add(body) == 0)
		answer(request, HTTP_OK, place->type, body);
	else
		refuse(request, HTTP_SERVUNAVAIL, "no memory");
	if (body)
		evbuffer_free(body);
}

static void on_request(struct evhttp_request *request, void *arg)
{
	struct status_http *http = arg;
	enum evhttp_cmd_type method = evhttp_request_get_command(request);
	const struct place *place = find_place(request);

	if (!is_asked_of_us(request)) {
		refuse(request, 403, "ask by address, or by the name localhost");
	} else if (!place) {
		refuse(request, HTTP_NOTFOUND, "nothing is here");
	} else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
		refuse(request, HTTP_BADMETHOD, "GET and HEAD only");
	} else if (octets_waiting(http) > STATUS_HTTP_WAITING_MAX) {
		refuse(request, HTTP_SERVUNAVAIL, NOT_TAKEN);
	} else if (place->add) {
		give_what_stands(request, place);
	} else {
		give_figures(http, request, place);
	}
}

/* ---- birth and death ---- */

static int listen_on(struct status_http *http)
{
	struct evconnlistener *listener = evconnlistener_new(
	    http->config.base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, BACKLOG, http->config.fd);
	if (!listener)
		return -1;
	if (!evhttp_bind_listener(http->evhttp, listener)) {
		evconnlistener_free(listener);
		return -1;
	}
	http->listener = listener;
	evconnlistener_set_error_cb(listener, on_accept_error);
	return 0;
}

static int open_evhttp(struct status_http *http)
{
	http->evhttp = evhttp_new(http->config.base);
	http->tick = evtimer_new(http->config.base, on_tick, http);
	http->again = evtimer_new(http->config.base, on_again, http);
	http->maker = status_maker_new(http->config.base, look, http);
	if (!http->evhttp || !http->tick || !http->again || !http->maker)
		return -1;
	evhttp_set_timeout(http->evhttp, STATUS_HTTP_PATIENCE_MS / 1000);
	evhttp_set_max_headers_size(http->evhttp, STATUS_HTTP_HEAD_MAX);
	evhttp_set_max_body_size(http->evhttp, STATUS_HTTP_BODY_MAX);
	/* All that it knows, so that it is we who refuse them. */
	evhttp_set_allowed_methods(http->evhttp, 0xffff);
	evhttp_set_bevcb(http->evhttp, on_connection, http);
	evhttp_set_gencb(http->evhttp, on_request, http);
	return listen_on(http);
}

struct status_http *status_http_open(const struct status_http_config *config, struct why *why)
{
	struct status_http *http = calloc(1, sizeof(*http));
	if (http) {
		http->config = *config;
		if (open_evhttp(http) == 0)
			return http;
	}
	status_http_close(http);
	why_set(why, "status page: no memory");
	return NULL;
}

void status_http_close(struct status_http *http)
{
	if (!http)
		return;
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		if (http->clients[i].bev)
			let_go(&http->clients[i]);
	}
	if (http->evhttp)
		evhttp_free(http->evhttp);
	status_maker_free(http->maker);
	if (http->tick)
		event_free(http->tick);
	if (http->again)
		event_free(http->again);
	free(http);
}
