#include "worker/worker_page.h"

#include "control_relay.h"
#include "status/status_http.h"
#include "worker/worker_listen.h"

#include <stddef.h>

static int open_server(struct worker_page *page, struct worker_page_server *server,
		       const struct pair_endpoint *at, struct why *why)
{
	const struct worker_page_config *here = &page->config;
	struct status_http_config config = {
	    .base = here->base, .look = here->look, .arg = here->arg};
	char text[PAIR_TEXT_MAX];
	if (at->port == 0)
		return 0;
	pair_endpoint_text(at, text);
	if (control_relay_listens(here->control, at->addr, at->port))
		return why_set(
		    why,
		    "status page on %.300s: a pair listens there so far: take it out first, "
		    "then reload again",
		    text);
	server->at = *at;
	config.fd = worker_listen_get(here->listen, at->addr, at->port, text, why);
	if (config.fd < 0)
		return -1;
	server->http = status_http_open(&config, why);
	return server->http ? 0 : -1;
}

static void close_server(struct worker_page_server *server)
{
	status_http_close(server->http);
	*server = (struct worker_page_server){.http = NULL};
}

static bool is_at(const struct worker_page_server *server, uint32_t addr, uint16_t port)
{
	return server->at.port != 0 && server->at.addr == addr && server->at.port == port;
}

int worker_page_open(struct worker_page *page, const struct worker_page_config *config,
		     const struct pair_endpoint *at, struct why *why)
{
	page->config = *config;
	return open_server(page, &page->now, at, why);
}

void worker_page_close(struct worker_page *page)
{
	close_server(&page->now);
	close_server(&page->next);
}

int worker_page_prepare(struct worker_page *page, const struct pair_endpoint *at, struct why *why)
{
	page->changes = at->port != page->now.at.port || at->addr != page->now.at.addr;
	return page->changes ? open_server(page, &page->next, at, why) : 0;
}

void worker_page_use(struct worker_page *page)
{
	if (page->changes) {
		close_server(&page->now);
		page->now = page->next;
		page->next = (struct worker_page_server){.http = NULL};
	}
	page->changes = false;
}

void worker_page_forget(struct worker_page *page)
{
	close_server(&page->next);
	page->changes = false;
}

bool worker_page_is_at(const struct worker_page *page, uint32_t addr, uint16_t port)
{
	return is_at(&page->now, addr, port);
}

bool worker_page_will_be_at(const struct worker_page *page, uint32_t addr, uint16_t port)
{
	return is_at(page->changes ? &page->next : &page->now, addr, port);
}
