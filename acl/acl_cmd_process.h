/*
 * acl_cmd_process: one command that runs. Its output goes to the log, at its deadline its group is
 * killed, its end is told. Internal to acl_cmd; knows no check.
 *
 *   spawned -> (deadline, or abandoned: killed) -> reaped
 *
 * A group is only ever killed before its leader has been reaped: until then its number cannot be
 * anyone else's. Thread: the one that runs the event base.
 */
#ifndef ACL_CMD_PROCESS_H
#define ACL_CMD_PROCESS_H

#include "acl_cmd.h"

#include <stdbool.h>
#include <sys/queue.h>

struct acl_cmd_process;

/* What all processes of a runner have in common; the runner makes it, TAILQ_INIT included. */
struct acl_cmd_processes {
	struct event_base *base;
	unsigned timeout_s;    /* deadline of each, from its start */
	const struct user *as; /* as in struct acl_cmd_config */
	/* One is gone, its status is -1 where somebody else has taken it; arg is NULL if it was
	 * abandoned. It may start others and abandon others; reaping goes on behind it, so it calls
	 * neither acl_cmd_process_reap_all nor _end_all, and frees nothing of this. */
	void (*ended)(void *ended_arg, void *arg, int status, bool expired);
	void *ended_arg;
	TAILQ_HEAD(, acl_cmd_process) all;
	size_t running; /* abandoned ones among them */
};

/* What is to be run, and for whom. */
struct acl_cmd_order {
	const struct acl_cmd_words *words; /* outlive the process */
	char *address;			   /* one more word */
	char *const *environment;
	const char *label; /* heads each line of output; needed until it ends or is abandoned */
	void *arg;	   /* for ended */
};

/* 0, or an errno: nothing runs, and nothing will be told. */
int acl_cmd_process_start(struct acl_cmd_processes *processes, const struct acl_cmd_order *order,
			  struct acl_cmd_process **started);

/* Kills it; it counts as running until the system has given back its status. */
void acl_cmd_process_abandon(struct acl_cmd_process *process);

/* After SIGCHLD: tells of those that have ended. */
void acl_cmd_process_reap_all(struct acl_cmd_processes *processes);

/* Kills all; their end is not told. */
void acl_cmd_process_end_all(struct acl_cmd_processes *processes);

#endif
