/*
 * talk: what a fake client and a fake server say to each other through the proxy, whose event loop
 * is stage.h's. Whatever is said has to come to the other end as it was, and nothing else with it.
 */
#ifndef TESTS_UNIT_TALK_H
#define TESTS_UNIT_TALK_H

#include <stdint.h>

struct talk {
	int client, server; /* the far ends */
};

void talk_say(int fd, uint16_t type);
void talk_pass(int from, int to, uint16_t type);

/* The client's request brings us to that listener of the server's, which hears it. */
void talk_ask(struct talk *talk, int listener);
void talk_connect(struct talk *talk, int listener); /* and the server's reply */
void talk_call(const struct talk *talk, uint16_t client_id, uint16_t server_id); /* opens it */

/* Both ends hear that this, the only call, and the connection end, and then a FIN. */
void talk_hear_farewell(const struct talk *talk, uint16_t client_id, uint16_t server_id);

#endif
