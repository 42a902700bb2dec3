/*
 * sandbox_files: one Landlock domain, in which everything is handled that this kernel can handle,
 * and a few places may be read.
 *
 * Raw system calls, as libc has no functions for them. Numbers and flags that older headers lack
 * stand here; what an older kernel does not know is left out of the question.
 */
#include "host/sandbox_files.h"

#include "host/sanitized.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * What may be read. Directories rather than files, as a file is often replaced by another of the
 * same name, which a rule for the first would not know. In /etc that is the hosts file, resolv.conf
 * and localtime; what must not be read there, its mode keeps from our user.
 */
static const char *const usual[] = {
    "/etc",
    /* Where resolv.conf points to, made anew by whoever keeps it. */
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/connman",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    /* malloc asks how many processors there are. */
    "/sys/devices/system/cpu",
};

/* These may be links to anywhere. */
static const char *const links[] = {"/etc/hosts", "/etc/resolv.conf", "/etc/localtime"};

/* A sanitizer looks into /proc/self/maps, and reads programs and libraries to name functions. */
static const char *const sanitizers[] = {"/proc", "/usr", "/lib", "/lib64"};

/* struct landlock_ruleset_attr as it has become; older kernels know its beginning. */
struct ruleset {
	uint64_t files, net, scoped;
};
struct net_rule {
	uint64_t allowed, port;
};

enum {
	RULE_NET_PORT = 2,
	RIGHT_BIND_TCP = 1 << 0,
	SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,
	SCOPE_SIGNAL = 1 << 1,
};

static const uint64_t right_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
		      rights_of_version_1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
		      right_refer = 1 << 13, right_truncate = 1 << 14, right_ioctl_dev = 1 << 15;

static uint64_t rights_of(int version)
{
	uint64_t rights = rights_of_version_1;
	/* It writes its reports wherever the environment says. */
	if (sanitized)
		return right_read;
	if (version >= 2)
		rights |= right_refer;
	if (version >= 3)
		rights |= right_truncate;
	if (version >= 5)
		rights |= right_ioctl_dev;
	return rights;
}

static int new_ruleset(int version)
{
	struct ruleset ruleset = {.files = rights_of(version)};
	size_t size = sizeof(ruleset.files);
	if (version >= 4) {
		ruleset.net = RIGHT_BIND_TCP;
		size += sizeof(ruleset.net);
	}
	if (version >= 6) {
		ruleset.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
		size += sizeof(ruleset.scoped);
	}
	return (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
}

/* -1 with errno, ENOENT among others where there is no such path. */
static int allow_reading(int ruleset, const char *path)
{
	struct stat status;
	struct landlock_path_beneath_attr rule = {.allowed_access = right_read};
	int result = -1;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return -1;
	if (fstat(rule.parent_fd, &status) == 0) {
		if (!S_ISDIR(status.st_mode))
			rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
		result = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
				      &rule, 0);
	}
	int saved = errno;
	close(rule.parent_fd);
	errno = saved;
	return result;
}

/* Those that are missing are no harm: distributions differ. */
static void allow_those_there(int ruleset, const char *const *paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		allow_reading(ruleset, paths[i]);
}

static void allow_where_it_leads(int ruleset, const char *link)
{
	char target[PATH_MAX], copy[PATH_MAX];
	if (!realpath(link, target))
		return;
	strcpy(copy, target);
	const char *directory = dirname(copy);
	/* Everything would be too much. */
	allow_reading(ruleset, strcmp(directory, "/") == 0 ? target : directory);
}

static void allow_own_directory(int ruleset)
{
	allow_where_it_leads(ruleset, "/proc/self/exe");
}

/* Listeners are bound by somebody else; port 0 is whichever the system chooses. */
static int allow_any_free_port(int ruleset)
{
	struct net_rule rule = {.allowed = RIGHT_BIND_TCP, .port = 0};
	return (int)syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int add_rules(int ruleset, int version, const char *const *readable, size_t count,
		     struct why *why)
{
	allow_those_there(ruleset, usual, COUNT(usual));
	for (size_t i = 0; i < COUNT(links); i++)
		allow_where_it_leads(ruleset, links[i]);
	if (sanitized) {
		allow_those_there(ruleset, sanitizers, COUNT(sanitizers));
		allow_own_directory(ruleset);
	}
	for (size_t i = 0; i < count; i++) {
		if (allow_reading(ruleset, readable[i]) != 0)
			return why_set(why, "sandbox: %.200s cannot be made readable: %s",
				       readable[i], strerror(errno));
	}
	if (version >= 4 && allow_any_free_port(ruleset) != 0)
		return why_set(why, "sandbox: Landlock's rule for ports: %s", strerror(errno));
	return 0;
}

int sandbox_files_enter(const char *const *readable, size_t count, struct why *why)
{
	/* Not in the kernel, not switched on, or kept from us by a container's filter. */
	int version =
	    (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return 1;
	/* $TZ may name a file that is none of the above. */
	tzset();

	int ruleset = new_ruleset(version);
	if (ruleset < 0)
		return why_set(why, "sandbox: Landlock: %s", strerror(errno));
	int result = add_rules(ruleset, version, readable, count, why);
	if (result == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		result = why_set(why, "sandbox: Landlock: %s", strerror(errno));
	close(ruleset);
	return result;
}
