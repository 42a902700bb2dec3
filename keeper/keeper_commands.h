/*
 * keeper_commands: the access commands, asked for the worker: it names a client, never a command.
 *
 * A new configuration's commands are asked from then on; what has begun ends with the old ones.
 * Thread: main.
 */
#ifndef KEEPER_COMMANDS_H
#define KEEPER_COMMANDS_H

#include "keeper/link.h"
#include "options.h"

struct keeper_commands;

/* An answer for the worker. */
typedef void keeper_commands_answer(void *arg, const struct link_message *message);

/* as: whom they become, outlives this. NULL: no memory. */
struct keeper_commands *keeper_commands_new(struct event_base *base, const struct user *as,
					    keeper_commands_answer *answer, void *arg);
void keeper_commands_free(struct keeper_commands *commands); /* NULL is fine */

/* Those of these options, whose commands are taken out of them, but for keeper_commands_use they
 * are not asked yet. 0, or -1 with a sentence. */
int keeper_commands_prepare(struct keeper_commands *commands, struct options *options,
			    struct why *why);
void keeper_commands_use(struct keeper_commands *commands);    /* those prepared, from now on */
void keeper_commands_forget(struct keeper_commands *commands); /* they are not wanted after all */

/* A LINK_CHECK, a LINK_CANCEL. */
void keeper_commands_check(struct keeper_commands *commands, const struct link_message *message);
void keeper_commands_cancel(struct keeper_commands *commands, uint32_t number);

void keeper_commands_cancel_all(struct keeper_commands *commands); /* whoever asked has died */

#endif
