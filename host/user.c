/*
 * user: the change itself is raw system calls in an order that matters, the same for a process and
 * for a child that may use nothing else. Whether it came true is asked by way of libcap-ng, so that
 * what checks is not what changed.
 */
#include "host/user.h"

#include "host/sanitized.h"

#include <assert.h>
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where user IDs once had 16 bits, the calls of the plain names still take such. */
#ifdef SYS_setresuid32
enum { SETGROUPS = SYS_setgroups32, SETRESGID = SYS_setresgid32, SETRESUID = SYS_setresuid32 };
#else
enum { SETGROUPS = SYS_setgroups, SETRESGID = SYS_setresgid, SETRESUID = SYS_setresuid };
#endif

enum { CAPABILITIES_MAX = 64, PASSWD_OCTETS_MAX = 1 << 20 };

/* ---- whom ---- */

typedef int passwd_getter(const void *key, struct passwd *entry, char *buffer, size_t size,
			  struct passwd **found);

static int get_by_name(const void *key, struct passwd *entry, char *buffer, size_t size,
		       struct passwd **found)
{
	return getpwnam_r(key, entry, buffer, size, found);
}

static int get_by_uid(const void *key, struct passwd *entry, char *buffer, size_t size,
		      struct passwd **found)
{
	return getpwuid_r(*(const uid_t *)key, entry, buffer, size, found);
}

static int take_entry(const struct passwd *entry, struct user *user)
{
	if (!entry || strlen(entry->pw_name) > USER_NAME_MAX)
		return ENOENT;
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	strcpy(user->name, entry->pw_name);
	return 0;
}

/* 0, ENOENT or what else the database failed with. */
static int look_up(passwd_getter *get, const void *key, struct user *user)
{
	int error = ERANGE;
	for (size_t size = 1024; error == ERANGE && size <= PASSWD_OCTETS_MAX; size *= 2) {
		struct passwd entry, *found = NULL;
		char *buffer = malloc(size);
		if (!buffer)
			return ENOMEM;
		error = get(key, &entry, buffer, size, &found);
		if (error == 0)
			error = take_entry(found, user);
		free(buffer);
	}
	/* "Not found" has many names, see getpwnam(3). */
	return error == ESRCH || error == EBADF || error == EPERM ? ENOENT : error;
}

static int look_up_name(const char *name, struct user *user, struct why *why)
{
	int error = strlen(name) > USER_NAME_MAX ? ENOENT : look_up(get_by_name, name, user);
	if (error == ENOENT)
		return why_set(why, "user '%.100s': no such user", name);
	return error == 0 ? 0 : why_set(why, "user '%.100s': %s", name, strerror(error));
}

static void stay(struct user *user)
{
	uid_t uid = geteuid();
	if (look_up(get_by_uid, &uid, user) != 0)
		snprintf(user->name, sizeof(user->name), "%lu", (unsigned long)uid);
	user->uid = uid;
	user->gid = getegid();
}

int user_find(const char *name, struct user *user, struct why *why)
{
	struct why unused;
	if (name && look_up_name(name, user, why) != 0)
		return -1;
	if (geteuid() != 0) {
		if (name && user->uid != geteuid())
			return why_set(why, "--user %.100s: only root can become another user",
				       name);
		stay(user);
		return 0;
	}
	if (!name && look_up_name("pptpproxy", user, &unused) != 0 &&
	    look_up_name("nobody", user, why) != 0)
		return -1;
	if (user->uid == 0)
		return why_set(why, "user '%.100s': is root, whose rights are to be given up",
			       user->name);
	return 0;
}

/* ---- the change; system calls only ---- */

static bool holds(const struct __user_cap_data_struct *sets)
{
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (sets[i].effective || sets[i].permitted || sets[i].inheritable)
			return true;
	return false;
}

/* First of all, as it takes a capability itself. Who has it not keeps the set, which is of no use
 * without new privileges. */
static void drop_bounding(void)
{
	for (unsigned long i = 0; i < CAPABILITIES_MAX; i++)
		prctl(PR_CAPBSET_DROP, i, 0UL, 0UL, 0UL);
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};
	/* The ambient ones go with the inheritable ones. */
	if (syscall(SYS_capset, &header, sets) != 0 || syscall(SYS_capget, &header, sets) != 0)
		return -1;
	if (!holds(sets))
		return 0;
	errno = EPERM;
	return -1;
}

/* Root's rights are out of reach if an attempt to get them back fails, for whatever reason. */
static int try_to_return(const struct user *user)
{
	if (user->uid != 0 && syscall(SETRESUID, -1, 0, -1) != 0)
		return 0;
	errno = EPERM;
	return -1;
}

/* NULL, or the step that failed, with errno. */
static const char *change(const struct user *user)
{
	bool root = geteuid() == 0;

	drop_bounding();
	if (root && syscall(SETGROUPS, 1, &user->gid) != 0)
		return "setting its groups";
	if (syscall(SETRESGID, user->gid, user->gid, user->gid) != 0)
		return "setting its group";
	if (syscall(SETRESUID, user->uid, user->uid, user->uid) != 0)
		return "setting its ID";
	if (drop_capabilities() != 0)
		return "giving up capabilities";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0)
		return "giving up new privileges";
	if (try_to_return(user) != 0)
		return "root's rights are not given up";
	return NULL;
}

int user_become_in_child(const struct user *user)
{
	return change(user) ? -1 : 0;
}

/* ---- whether it came true ---- */

static bool is_alone(void)
{
	struct stat status;
	/* The directory's links are two and one a thread. */
	return sanitized || stat("/proc/self/task", &status) != 0 || status.st_nlink <= 3;
}

static bool may_drop_bounding(void)
{
	return capng_get_caps_process() == 0 &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
}

static bool has_capability(bool with_bounding)
{
	if (capng_get_caps_process() != 0)
		return true;
	for (unsigned i = 0; i < CAPABILITIES_MAX; i++) {
		if (capng_have_capability(CAPNG_EFFECTIVE, i) ||
		    capng_have_capability(CAPNG_PERMITTED, i) ||
		    capng_have_capability(CAPNG_INHERITABLE, i) ||
		    capng_have_capability(CAPNG_AMBIENT, i) ||
		    (with_bounding && capng_have_capability(CAPNG_BOUNDING_SET, i)))
			return true;
	}
	return false;
}

static bool has_ids(const struct user *user)
{
	uid_t real, effective, saved;
	gid_t real_group, effective_group, saved_group;
	return getresuid(&real, &effective, &saved) == 0 && real == user->uid &&
	       effective == user->uid && saved == user->uid &&
	       getresgid(&real_group, &effective_group, &saved_group) == 0 &&
	       real_group == user->gid && effective_group == user->gid && saved_group == user->gid;
}

static bool has_other_groups(const struct user *user)
{
	gid_t only;
	int count = getgroups(1, &only); /* -1: more than one */
	return count < 0 || (count == 1 && only != user->gid);
}

int user_become(const struct user *user, struct why *why)
{
	bool root = geteuid() == 0, without_bounding = may_drop_bounding();

	assert(is_alone());
	const char *failed = change(user);
	if (failed)
		return why_set(why, "cannot become user '%.100s': %s: %s", user->name, failed,
			       strerror(errno));
	if (!has_ids(user))
		failed = "some ID is another one's";
	else if (root && has_other_groups(user))
		failed = "other groups are left";
	else if (has_capability(without_bounding))
		failed = "capabilities are left";
	else if (prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) != 1)
		failed = "new privileges are not given up";
	return failed ? why_set(why, "cannot become user '%.100s': %s", user->name, failed) : 0;
}
