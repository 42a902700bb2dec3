#include "keeper/keeper_commands.h"

#include "acl_cmd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* What one configuration says. */
struct generation {
	struct acl_cmd *runner; /* NULL: there are no commands */
	struct acl_cmd_words *words;
	size_t count;
	char (*peers)[PAIR_TEXT_MAX]; /* by the pair's place */
	size_t pair_count;
	size_t checks;
	bool retired;
};

struct check {
	TAILQ_ENTRY(check) in_checks;
	struct keeper_commands *commands;
	struct generation *generation;
	uint32_t number;
	struct acl_cmd_check *asked;
};

struct keeper_commands {
	struct event_base *base;
	const struct user *as;
	keeper_commands_answer *answer;
	void *arg;
	struct generation *generation, *next; /* next: prepared */
	TAILQ_HEAD(, check) checks;
};

/* ---- generations ---- */

static void free_generation(struct generation *generation)
{
	if (!generation)
		return;
	acl_cmd_free(generation->runner);
	for (size_t i = 0; i < generation->count; i++)
		acl_cmd_words_free(&generation->words[i]);
	free(generation->words);
	free(generation->peers);
	free(generation);
}

static void free_if_over(struct generation *generation)
{
	if (generation && generation->retired && generation->checks == 0)
		free_generation(generation);
}

static int open_runner(struct keeper_commands *commands, struct generation *generation,
		       const struct options *options, struct why *why)
{
	struct acl_cmd_config config = {
	    .commands = generation->words,
	    .count = generation->count,
	    .timeout_s = options->acl_timeout_s,
	    .parallel = options->acl_parallel,
	    .waiting_max = options->max_waiting_checks,
	    .as = commands->as,
	};
	if (generation->count == 0)
		return 0;
	generation->runner = acl_cmd_new(commands->base, &config, why);
	return generation->runner ? 0 : -1;
}

static struct generation *new_generation(struct keeper_commands *commands, struct options *options,
					 struct why *why)
{
	struct generation *generation = calloc(1, sizeof(*generation));
	if (generation)
		generation->peers = calloc(options->pair_count, sizeof(*generation->peers));
	if (!generation || !generation->peers) {
		free_generation(generation);
		why_set(why, "no memory for the external commands");
		return NULL;
	}
	generation->pair_count = options->pair_count;
	for (size_t i = 0; i < options->pair_count; i++)
		pair_endpoint_text(&options->pairs[i].peer, generation->peers[i]);
	generation->words = options->commands;
	generation->count = options->command_count;
	options->commands = NULL;
	options->command_count = 0;
	if (open_runner(commands, generation, options, why) != 0) {
		free_generation(generation);
		return NULL;
	}
	return generation;
}

int keeper_commands_prepare(struct keeper_commands *commands, struct options *options,
			    struct why *why)
{
	keeper_commands_forget(commands);
	commands->next = new_generation(commands, options, why);
	return commands->next ? 0 : -1;
}

void keeper_commands_use(struct keeper_commands *commands)
{
	if (!commands->next)
		return;
	if (commands->generation)
		commands->generation->retired = true;
	free_if_over(commands->generation);
	commands->generation = commands->next;
	commands->next = NULL;
}

void keeper_commands_forget(struct keeper_commands *commands)
{
	free_generation(commands->next);
	commands->next = NULL;
}

/* ---- checks ---- */

static void tell(struct keeper_commands *commands, uint32_t number, enum acl_answer answer,
		 size_t which, const char *why)
{
	struct link_message message = {
	    .type = LINK_CHECKED,
	    .number = number,
	    .answer = (int)answer,
	    .count = {(uint32_t)which},
	};
	snprintf(message.text, sizeof(message.text), "%s", why);
	commands->answer(commands->arg, &message);
}

static void free_check(struct check *check)
{
	struct generation *generation = check->generation;
	TAILQ_REMOVE(&check->commands->checks, check, in_checks);
	free(check);
	generation->checks--;
	free_if_over(generation);
}

static void on_done(void *arg, enum acl_answer said, size_t which, const char *why)
{
	struct check *check = arg;
	tell(check->commands, check->number, said, which, why);
	free_check(check);
}

enum { ADDRESS_TEXT = INET_ADDRSTRLEN + sizeof(":65535") };

static void put_address(char out[static ADDRESS_TEXT], uint32_t addr, uint16_t port)
{
	struct in_addr addr_be = {htonl(addr)};
	char text[INET_ADDRSTRLEN];
	inet_ntop(AF_INET, &addr_be, text, sizeof(text));
	snprintf(out, ADDRESS_TEXT, "%s:%u", text, port);
}

static struct acl_cmd_check *ask(struct check *check, const struct link_check *about)
{
	const struct generation *generation = check->generation;
	char client[ADDRESS_TEXT], listen[ADDRESS_TEXT], label[PAIR_TEXT_MAX + ADDRESS_TEXT + 32];
	const char *peer = generation->peers[about->pair];

	put_address(client, about->client_addr, about->client_port);
	put_address(listen, about->listen_addr, about->listen_port);
	snprintf(label, sizeof(label), "#%llu %s -> %s", (unsigned long long)about->connection,
		 client, peer);
	struct acl_cmd_client who = {
	    .addr = about->client_addr,
	    .client = client,
	    .listen = listen,
	    .peer = peer,
	    .label = label,
	};
	return acl_cmd_start(generation->runner, &who, on_done, check);
}

void keeper_commands_check(struct keeper_commands *commands, const struct link_message *message)
{
	struct generation *generation = commands->generation;
	if (!generation || !generation->runner || message->check.pair >= generation->pair_count) {
		tell(commands, message->number, ACL_ERROR, 0, "there is no command to ask");
		return;
	}
	struct check *check = calloc(1, sizeof(*check));
	if (!check) {
		tell(commands, message->number, ACL_ERROR, 0, "no memory");
		return;
	}
	*check = (struct check){
	    .commands = commands, .generation = generation, .number = message->number};
	TAILQ_INSERT_TAIL(&commands->checks, check, in_checks);
	generation->checks++;
	check->asked = ask(check, &message->check);
	if (!check->asked) {
		tell(commands, message->number, ACL_ERROR, 0, "no memory");
		free_check(check);
	}
}

static void cancel(struct check *check)
{
	acl_cmd_cancel(check->asked);
	free_check(check);
}

void keeper_commands_cancel(struct keeper_commands *commands, uint32_t number)
{
	struct check *check;
	TAILQ_FOREACH(check, &commands->checks, in_checks)
	{
		if (check->number == number) {
			cancel(check);
			return;
		}
	}
}

void keeper_commands_cancel_all(struct keeper_commands *commands)
{
	while (!TAILQ_EMPTY(&commands->checks))
		cancel(TAILQ_FIRST(&commands->checks));
}

/* ---- birth and death ---- */

struct keeper_commands *keeper_commands_new(struct event_base *base, const struct user *as,
					    keeper_commands_answer *answer, void *arg)
{
	struct keeper_commands *commands = calloc(1, sizeof(*commands));
	if (!commands)
		return NULL;
	commands->base = base;
	commands->as = as;
	commands->answer = answer;
	commands->arg = arg;
	TAILQ_INIT(&commands->checks);
	return commands;
}

void keeper_commands_free(struct keeper_commands *commands)
{
	if (!commands)
		return;
	keeper_commands_cancel_all(commands);
	keeper_commands_forget(commands);
	free_generation(commands->generation);
	free(commands);
}
