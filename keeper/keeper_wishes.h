/*
 * keeper_wishes: what the worker says and wants, by the link.
 *
 * It reads what strangers send, so it may be theirs by now: it is given what the configuration has,
 * and nothing that it says takes more than so much.
 *
 * One of the keeper's pieces, see keeper_own.h. Thread: main.
 */
#ifndef KEEPER_WISHES_H
#define KEEPER_WISHES_H

#include "keeper/link.h"

/* arg: the keeper. As keeper_worker's received. */
void keeper_wishes_hear(void *arg, const struct link_message *message);

#endif
