/*
 * Not evhttp: of libevent 2.1.12 it dies where memory lacks as a connection is accepted, and it has
 * no bounds for their number, nor for the time that one takes in all. Of HTTP little is needed: a
 * head is read, an answer written, the connection closed.
 *
 * A client: its head comes -> answered: what else comes is thrown away -> all is written: FIN, so
 * that nothing unread resets the connection before he has read the answer -> his end, or the
 * deadline.
 */
#include "status/status_http.h"

#include "host/log.h"
#include "host/monotonic.h"
#include "status/snapshot.h"
#include "status/status_json.h"
#include "status/status_metrics.h"
#include "status/status_page.h"
#include "status/status_request.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BACKLOG = 16,
	TICK_MS = 200,	  /* how often deadlines are looked at, while there are clients */
	PAUSE_MS = 1000,  /* before accept is tried again */
	LINGER_MS = 2000, /* for a client's end, once he has been answered */
	PATH_TOLD = 128,
};

struct client {
	struct status_http *http;
	struct bufferevent *bev; /* NULL: free */
	uint64_t began, until;
	struct in_addr addr_be; /* for the log */
	bool answered, ended;	/* ended: nothing comes any more */
};

struct status_http {
	struct status_http_config config;
	struct evconnlistener *listener;
	struct event *tick, *again;
	struct client clients[STATUS_HTTP_CLIENTS];
};

/* ---- what is asked ---- */

static int write_page(struct evbuffer *out, const struct snapshot *snapshot)
{
	return status_page_write(out, snapshot);
}

static int write_json(struct evbuffer *out, const struct snapshot *snapshot)
{
	return status_json_all(out, snapshot) == 0 ? evbuffer_add(out, "\n", 1) : -1;
}

static int write_script(struct evbuffer *out, const struct snapshot *snapshot)
{
	size_t length;
	const char *script = status_page_script(&length);
	(void)snapshot;
	return evbuffer_add_reference(out, script, length, NULL, NULL);
}

static int write_style(struct evbuffer *out, const struct snapshot *snapshot)
{
	size_t length;
	const char *style = status_page_style(&length);
	(void)snapshot;
	return evbuffer_add_reference(out, style, length, NULL, NULL);
}

static int write_health(struct evbuffer *out, const struct snapshot *snapshot)
{
	(void)snapshot;
	return evbuffer_add(out, "ok\n", 3);
}

static const struct place {
	const char *path, *type;
	bool figures; /* needs a snapshot */
	int (*write)(struct evbuffer *, const struct snapshot *);
} places[] = {
    {"/", "text/html; charset=utf-8", true, write_page},
    {"/page.js", "text/javascript; charset=utf-8", false, write_script},
    {"/page.css", "text/css; charset=utf-8", false, write_style},
    {"/calls.json", "application/json", true, write_json},
    {"/metrics", STATUS_METRICS_TYPE, true, status_metrics_all},
    {"/healthz", "text/plain; charset=utf-8", false, write_health},
};

static const struct place *find_place(const char *path)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (strcmp(places[i].path, path) == 0)
			return &places[i];
	}
	return NULL;
}

static int write_figures(const struct status_http *http, const struct place *place,
			 struct evbuffer *out, struct why *why)
{
	struct snapshot snapshot = {0};
	int result = place->figures ? http->config.look(http->config.arg, &snapshot, why) : 0;
	if (result == 0 && place->write(out, &snapshot) != 0)
		result = why_set(why, "no memory");
	snapshot_clear(&snapshot);
	return result;
}

/* ---- clients ---- */

static void let_go(struct client *client)
{
	bufferevent_free(client->bev);
	client->bev = NULL;
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
	let_go(oldest);
	return oldest;
}

static size_t octets_waiting(const struct status_http *http)
{
	size_t all = 0;
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		struct bufferevent *bev = http->clients[i].bev;
		if (bev)
			all += evbuffer_get_length(bufferevent_get_output(bev));
	}
	return all;
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
	uint64_t now = monotonic_ms();
	bool any = false;
	(void)fd, (void)what;
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		struct client *client = &http->clients[i];
		if (client->bev && now >= client->until)
			let_go(client);
		any = any || client->bev;
	}
	if (any)
		tick_later(http);
}

/* ---- answers ---- */

static const char *reason_phrase(int code)
{
	switch (code) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Service Unavailable";
	}
}

/* The page takes nothing from elsewhere, is shown within nothing, and is kept nowhere. */
static int add_head(struct evbuffer *out, int code, const char *type, size_t length)
{
	time_t now = time(NULL);
	struct tm parts;
	char date[40] = "";
	if (gmtime_r(&now, &parts))
		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
	return evbuffer_add_printf(
		   out,
		   "HTTP/1.1 %d %s\r\n"
		   "Date: %s\r\n"
		   "%s"
		   "Content-Type: %s\r\n"
		   "Content-Length: %zu\r\n"
		   "Connection: close\r\n"
		   "Cache-Control: no-store\r\n"
		   "Content-Security-Policy: default-src 'none'; script-src 'self'; "
		   "style-src 'self'; connect-src 'self'; base-uri 'none'; "
		   "form-action 'none'; frame-ancestors 'none'\r\n"
		   "Cross-Origin-Resource-Policy: same-origin\r\n"
		   "Referrer-Policy: no-referrer\r\n"
		   "X-Content-Type-Options: nosniff\r\n"
		   "X-Frame-Options: DENY\r\n"
		   "\r\n",
		   code, reason_phrase(code), date, code == 405 ? "Allow: GET, HEAD\r\n" : "", type,
		   length) > 0
		   ? 0
		   : -1;
}

static void tell(const struct client *client, const struct status_request *request, int code)
{
	char path[PATH_TOLD], addr[INET_ADDRSTRLEN];
	const char *asked = request->path ? request->path : "";
	if (!log_wants(LOG_LEVEL_DEBUG))
		return;
	log_debug("status page: %s asks for '%s': %d",
		  inet_ntop(AF_INET, &client->addr_be, addr, sizeof(addr)),
		  log_escape(path, sizeof(path), asked, strlen(asked)), code);
}

/* Whole or not at all: without memory the client is let go of. */
static void send_answer(struct client *client, const struct status_request *request, int code,
			const char *type, struct evbuffer *body)
{
	struct evbuffer *whole = evbuffer_new();
	bool good = whole && add_head(whole, code, type, evbuffer_get_length(body)) == 0 &&
		    (request->head_only || evbuffer_add_buffer(whole, body) == 0);
	client->answered = true;
	client->until = monotonic_ms() + STATUS_HTTP_PATIENCE_MS;
	tell(client, request, code);
	if (!good || bufferevent_write_buffer(client->bev, whole) != 0)
		let_go(client);
	if (whole)
		evbuffer_free(whole);
}

static void refuse(struct client *client, const struct status_request *request, int code,
		   const char *sentence)
{
	struct evbuffer *body = evbuffer_new();
	if (body && evbuffer_add_printf(body, "%s\n", sentence) > 0)
		send_answer(client, request, code, "text/plain; charset=utf-8", body);
	else
		let_go(client);
	if (body)
		evbuffer_free(body);
}

static void give(struct client *client, const struct status_request *request,
		 const struct place *place)
{
	struct evbuffer *body = evbuffer_new();
	struct why why = {"no memory"};
	if (body && write_figures(client->http, place, body, &why) == 0)
		send_answer(client, request, 200, place->type, body);
	else
		refuse(client, request, 503, why.text);
	if (body)
		evbuffer_free(body);
}

static void answer(struct client *client, const struct status_request *request)
{
	if (request->wrong) {
		refuse(client, request, request->code, request->wrong);
		return;
	}
	const struct place *place = find_place(request->path);
	if (!place)
		refuse(client, request, 404, "nothing is here");
	else if (!request->head_only && strcmp(request->method, "GET") != 0)
		refuse(client, request, 405, "GET and HEAD only");
	else if (octets_waiting(client->http) > STATUS_HTTP_WAITING_MAX)
		refuse(client, request, 503, "others have not taken their answers yet");
	else
		give(client, request, place);
}

/* ---- what comes ---- */

static void take_head(struct client *client, struct evbuffer *in, size_t length)
{
	char head[STATUS_HTTP_HEAD_MAX + 1];
	struct status_request request = {.method = NULL};
	evbuffer_remove(in, head, length);
	head[length] = '\0';
	status_request_read(head, length, &request);
	answer(client, &request);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct client *client = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t length = evbuffer_get_length(in);
	if (!client->answered) {
		struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
		if (end.pos >= 0 && end.pos <= STATUS_HTTP_HEAD_MAX)
			take_head(client, in, (size_t)end.pos);
		else if (length >= STATUS_HTTP_HEAD_MAX)
			refuse(client, &(struct status_request){.method = NULL}, 431,
			       "too long a head");
		else
			return;
	}
	if (client->bev)
		evbuffer_drain(in, evbuffer_get_length(in));
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct client *client = arg;
	if (!client->answered)
		return;
	if (client->ended) {
		let_go(client);
		return;
	}
	shutdown(bufferevent_getfd(bev), SHUT_WR);
	client->until = monotonic_ms() + LINGER_MS;
}

/* He may have closed his side only, and wait for the rest of his answer. */
static void on_end(struct bufferevent *bev, short what, void *arg)
{
	struct client *client = arg;
	client->ended = true;
	if ((what & BEV_EVENT_ERROR) || evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		let_go(client);
}

static void on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
		      int from_length, void *arg)
{
	struct status_http *http = arg;
	struct bufferevent *bev =
	    bufferevent_socket_new(http->config.base, fd, BEV_OPT_CLOSE_ON_FREE);
	(void)listener, (void)from_length;
	if (!bev) {
		close(fd);
		return;
	}
	struct client *client = make_room(http);
	uint64_t now = monotonic_ms();
	*client = (struct client){
	    .http = http,
	    .bev = bev,
	    .began = now,
	    .until = now + STATUS_HTTP_PATIENCE_MS,
	    .addr_be = ((const struct sockaddr_in *)(const void *)from)->sin_addr,
	};
	bufferevent_setcb(bev, on_read, on_written, on_end, client);
	if (bufferevent_enable(bev, EV_READ | EV_WRITE) != 0)
		let_go(client);
	tick_later(http);
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

/* ---- birth and death ---- */

static int open_all(struct status_http *http)
{
	struct event_base *base = http->config.base;
	http->tick = evtimer_new(base, on_tick, http);
	http->again = evtimer_new(base, on_again, http);
	if (!http->tick || !http->again)
		return -1;
	http->listener = evconnlistener_new(base, on_client, http, LEV_OPT_CLOSE_ON_EXEC, BACKLOG,
					    http->config.fd);
	if (!http->listener)
		return -1;
	evconnlistener_set_error_cb(http->listener, on_accept_error);
	return 0;
}

struct status_http *status_http_open(const struct status_http_config *config, struct why *why)
{
	struct status_http *http = calloc(1, sizeof(*http));
	if (http) {
		http->config = *config;
		if (open_all(http) == 0)
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
	if (http->listener)
		evconnlistener_free(http->listener);
	for (int i = 0; i < STATUS_HTTP_CLIENTS; i++) {
		if (http->clients[i].bev)
			let_go(&http->clients[i]);
	}
	if (http->tick)
		event_free(http->tick);
	if (http->again)
		event_free(http->again);
	free(http);
}
