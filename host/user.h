/*
 * user: whom to become once root's rights are not needed any more, and becoming it for good.
 */
#ifndef HOST_USER_H
#define HOST_USER_H

#include "host/why.h"

#include <sys/types.h>

enum { USER_NAME_MAX = 255 }; /* octets; a longer name is no user's */

struct user {
	uid_t uid;
	gid_t gid;
	char name[USER_NAME_MAX + 1];
};

/*
 * Looks up whom to become. name NULL: "pptpproxy" if there is such a user, else "nobody". A process
 * that is not root stays who it is, so for it only its own name will do.
 *
 * -1 with a sentence in why: "user 'foo': no such user"; "--user foo: only root can become another
 * user"; a user that is root itself is refused, too. It asks the system's user database, which may
 * read files and talk to other processes. Thread: main.
 */
int user_find(const char *name, struct user *user, struct why *why);

/*
 * Becomes that user for good: its group and no other, all capabilities gone (effective, permitted,
 * inheritable, ambient; those that programs may ever get, too, if the process may drop these), and
 * no program that it executes can gain anything (PR_SET_NO_NEW_PRIVS). Then asks the system whether
 * it is so, and tries to become root again, which must fail. Without root it keeps its groups,
 * which are those that somebody chose for it; capabilities go all the same.
 *
 * -1 with a sentence in why that names the user and the step: the process is then something in
 * between, and must end.
 *
 * Call it while there is no other thread (asserted): the kernel changes only the one that asks.
 * From then on the process is not dumpable (see prctl, PR_SET_DUMPABLE): it leaves no core file
 * unless fs.suid_dumpable says so, /proc/PID/ belongs to root, and neither a debugger nor another
 * process of the same user can look into it or get its descriptors; root can. The next execve
 * undoes that. PR_SET_PDEATHSIG is undone: process_follow_parent comes after it.
 */
int user_become(const struct user *user, struct why *why);

/*
 * The same between fork (or vfork) and execve: nothing but system calls, so safe in a child of a
 * process with threads, and where the child still shares its parent's memory. 0, or -1 with errno:
 * _exit, do not execute.
 */
int user_become_in_child(const struct user *user);

#endif
