#include "host/user.h"

#include "host/sanitized.h"
#include "tests/unit/child.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

enum { NOBODY = 65534 };

static const struct user nobody = {.uid = NOBODY, .gid = NOBODY, .name = "nobody"};

/* ---- what a process is, as the kernel tells it ---- */

static void read_all(const char *path, char *text, size_t size)
{
	size_t length = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHILD_CHECK(fd >= 0);
	while ((n = read(fd, text + length, size - 1 - length)) > 0)
		length += (size_t)n;
	text[length] = '\0';
	close(fd);
}

/* Whether /proc/PID/status has this line; blanks at the end do not count. */
static bool has_line(const char *status, const char *line)
{
	const char *at = strstr(status, line);
	if (!at || (at != status && at[-1] != '\n'))
		return false;
	at += strlen(line);
	return at[strspn(at, " ")] == '\n';
}

#define NO_CAPABILITY(set) set ":\t0000000000000000"

static const char *const given_up[] = {
    NO_CAPABILITY("CapInh"), NO_CAPABILITY("CapPrm"), NO_CAPABILITY("CapEff"),
    NO_CAPABILITY("CapAmb"), "NoNewPrivs:\t1",
};

static const char *const of_nobody[] = {
    "Uid:\t65534\t65534\t65534\t65534",
    "Gid:\t65534\t65534\t65534\t65534",
    "Groups:\t65534",
    NO_CAPABILITY("CapBnd"),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *first_missing(const char *status, const char *const *lines, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!has_line(status, lines[i]))
			return lines[i];
	return NULL;
}

static void check_lines(const char *const *lines, size_t count)
{
	char status[CHILD_TEXT_MAX];
	read_all("/proc/self/status", status, sizeof(status));
	const char *missing = first_missing(status, lines, count);
	if (missing)
		CHILD_FAIL("no \"%s\" in\n%s", missing, status);
}

/* Raw, as libc would have all threads do it, and a sanitizer's own one has not given up anything.
 */
static void check_no_way_back(void)
{
	CHILD_CHECK(syscall(SYS_setuid, 0) != 0 && syscall(SYS_setresuid, 0, 0, 0) != 0);
	CHILD_CHECK(syscall(SYS_setresuid, -1, 0, -1) != 0);
	CHILD_CHECK(syscall(SYS_setgid, 0) != 0 && syscall(SYS_setresgid, -1, 0, -1) != 0);
	CHILD_CHECK(syscall(SYS_setgroups, 0, NULL) != 0);
}

static void become(const struct user *user)
{
	struct why why = {""};
	if (user_become(user, &why) != 0)
		CHILD_FAIL("%s", why.text);
}

static void take_groups(void)
{
	const gid_t groups[] = {4, 24, 27};
	CHILD_CHECK(setgroups(COUNT(groups), groups) == 0);
}

/* ---- becoming ---- */

static void root_becomes_nobody(void)
{
	struct user user;
	struct why why;
	take_groups();
	CHILD_CHECK(user_find("nobody", &user, &why) == 0);
	CHILD_CHECK(user.uid == NOBODY && strcmp(user.name, "nobody") == 0);
	become(&user);
	check_lines(of_nobody, COUNT(of_nobody));
	check_lines(given_up, COUNT(given_up));
	check_no_way_back();
	CHILD_CHECK(prctl(PR_GET_DUMPABLE) != 1);
}

static void becoming_nobody(void **state)
{
	(void)state;
	struct child child;
	CHILD_NEEDS_ROOT();
	child_run(&child, root_becomes_nobody);
	child_assert_good(&child);
}

/* Inheritable capabilities and those kept over a change of user would come along otherwise. */
static void root_with_kept_capabilities(void)
{
	CHILD_CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
	capng_get_caps_process();
	CHILD_CHECK(capng_update(CAPNG_ADD, CAPNG_INHERITABLE, CAP_NET_RAW) == 0);
	CHILD_CHECK(capng_apply(CAPNG_SELECT_CAPS) == 0);
	CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) == 0);
	become(&nobody);
	check_lines(of_nobody, COUNT(of_nobody));
	check_lines(given_up, COUNT(given_up));
}

static void kept_capabilities_go_too(void **state)
{
	(void)state;
	struct child child;
	CHILD_NEEDS_ROOT();
	child_run(&child, root_with_kept_capabilities);
	child_assert_good(&child);
}

static void command_of_nobody(void)
{
	take_groups();
	CHILD_CHECK(user_become_in_child(&nobody) == 0);
	check_no_way_back();
	execl("/bin/cat", "cat", "/proc/self/status", NULL);
}

/* Where status is read by the program itself: an execve could have given something back. */
static void command_runs_as_nobody(void **state)
{
	(void)state;
	struct child child;
	int ends[2];
	char status[CHILD_TEXT_MAX];
	CHILD_NEEDS_ROOT();
	assert_int_equal(pipe(ends), 0);
	int before = dup(STDOUT_FILENO);
	fflush(stdout);
	dup2(ends[1], STDOUT_FILENO);
	close(ends[1]);
	child_run(&child, command_of_nobody);
	dup2(before, STDOUT_FILENO);
	close(before);
	child_read(ends[0], status);
	child_assert_good(&child);
	assert_ptr_equal(first_missing(status, of_nobody, COUNT(of_nobody)), NULL);
	assert_ptr_equal(first_missing(status, given_up, COUNT(given_up)), NULL);
}

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* As the keeper does for a command: a child of a process with threads. */
static void fork_beside_a_thread(void)
{
	pthread_t thread;
	int status;
	CHILD_CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
	pid_t pid = vfork();
	if (pid == 0)
		_exit(user_become_in_child(&nobody) == 0 && geteuid() == NOBODY ? 0 : 126);
	CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHILD_CHECK(geteuid() == 0);
}

static void child_of_a_process_with_threads(void **state)
{
	(void)state;
	struct child child;
	CHILD_NEEDS_ROOT();
	if (sanitized)
		CHILD_SKIP("a sanitizer does not stand for vfork");
	child_run(&child, fork_beside_a_thread);
	child_assert_good(&child);
}

static void become_beside_a_thread(void)
{
	pthread_t thread;
	struct rlimit none = {0, 0};
	struct why why;
	setrlimit(RLIMIT_CORE, &none);
	CHILD_CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
	user_become(&nobody, &why);
}

static void threads_are_a_mistake(void **state)
{
	(void)state;
	struct child child;
	CHILD_NEEDS_ROOT();
	if (sanitized)
		CHILD_SKIP("a sanitizer has threads of its own");
	child_run(&child, become_beside_a_thread);
	assert_true(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGABRT);
	assert_non_null(strstr(child.said, "is_alone"));
}

/* ---- without root ---- */

static void stay_with(int capability)
{
	take_groups();
	CHILD_CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
	CHILD_CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHILD_CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	capng_clear(CAPNG_SELECT_CAPS);
	if (capability >= 0)
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE,
			      (unsigned)capability, -1);
	CHILD_CHECK(capng_apply(CAPNG_SELECT_CAPS) == 0);
	if (capability >= 0)
		CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0);
}

static const char *const who_stays[] = {
    "Uid:\t65534\t65534\t65534\t65534",
    "Gid:\t65534\t65534\t65534\t65534",
    "Groups:\t4 24 27",
};

static void stay_and_give_up(void)
{
	struct user user;
	struct why why = {""};
	CHILD_CHECK(user_find(NULL, &user, &why) == 0);
	CHILD_CHECK(user.uid == NOBODY && strcmp(user.name, "nobody") == 0);
	become(&user);
	check_lines(who_stays, COUNT(who_stays));
	check_lines(given_up, COUNT(given_up));
	check_no_way_back();
}

static void nobody_with_a_capability(void)
{
	stay_with(CAP_NET_RAW);
	stay_and_give_up();
}

static void nobody_without(void)
{
	stay_with(-1);
	stay_and_give_up();
}

static void nobody_of_no_name(void)
{
	struct user user;
	struct why why;
	CHILD_CHECK(setresuid(54321, 54321, 54321) == 0);
	CHILD_CHECK(user_find(NULL, &user, &why) == 0);
	CHILD_CHECK(user.uid == 54321 && user.gid == 0 && strcmp(user.name, "54321") == 0);
	become(&user);
}

static void without_root_it_stays_who_it_is(void **state)
{
	(void)state;
	struct child child;
	CHILD_NEEDS_ROOT();
	child_run(&child, nobody_with_a_capability);
	child_assert_good(&child);
	child_run(&child, nobody_without);
	child_assert_good(&child);
	child_run(&child, nobody_of_no_name);
	child_assert_good(&child);
}

static void check_refused(const char *name, const char *sentence)
{
	struct user user;
	struct why why = {""};
	CHILD_CHECK(user_find(name, &user, &why) == -1);
	if (strcmp(why.text, sentence) != 0)
		CHILD_FAIL("\"%s\"", why.text);
}

static void nobody_wants_more(void)
{
	struct user user;
	struct why why;
	if (geteuid() == 0)
		stay_with(-1);
	check_refused("root", "--user root: only root can become another user");
	check_refused("daemon", "--user daemon: only root can become another user");
	check_refused("no_such_user", "user 'no_such_user': no such user");
	CHILD_CHECK(geteuid() != NOBODY || user_find("nobody", &user, &why) == 0);
}

static void without_root_another_name_is_refused(void **state)
{
	(void)state;
	struct child child;
	child_run(&child, nobody_wants_more);
	child_assert_good(&child);
}

/* ---- whom ---- */

static void root_asks(void)
{
	char name[USER_NAME_MAX + 100];
	check_refused("no_such_user", "user 'no_such_user': no such user");
	check_refused("", "user '': no such user");
	check_refused("root", "user 'root': is root, whose rights are to be given up");
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	struct user user;
	struct why why;
	CHILD_CHECK(user_find(name, &user, &why) == -1);
	CHILD_CHECK(strstr(why.text, "xxx': no such user"));
}

static void bad_names_are_named(void **state)
{
	(void)state;
	struct child child;
	CHILD_NEEDS_ROOT();
	child_run(&child, root_asks);
	child_assert_good(&child);
}

/* Mounts a file with this text over another. */
static bool cover(const char *path, const char *text)
{
	char cover_path[] = "/tmp/test_user.XXXXXX";
	int fd = mkstemp(cover_path);
	CHILD_CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	CHILD_CHECK(fchmod(fd, 0644) == 0 && close(fd) == 0);
	bool mounted = mount(cover_path, path, NULL, MS_BIND, NULL) == 0;
	unlink(cover_path);
	return mounted;
}

/* In a mount namespace with another list of users, and nobody else who knows any: systemd has a
 * nobody for those who have none. */
static void use_passwd(const char *text)
{
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    !cover("/etc/passwd", text))
		_exit(77);
	if (access("/etc/nsswitch.conf", F_OK) == 0)
		CHILD_CHECK(cover("/etc/nsswitch.conf", "passwd: files\n"));
}

#define LINE_OF_NOBODY "nobody:x:65534:65534::/:/bin/false\n"

static void of_its_own(void)
{
	struct user user;
	struct why why;
	use_passwd(LINE_OF_NOBODY "pptpproxy:x:1234:4321::/:/bin/false\n");
	CHILD_CHECK(user_find(NULL, &user, &why) == 0);
	CHILD_CHECK(user.uid == 1234 && user.gid == 4321 && strcmp(user.name, "pptpproxy") == 0);
	CHILD_CHECK(user_find("nobody", &user, &why) == 0 && user.uid == NOBODY);
}

static void of_nobody_else(void)
{
	struct user user;
	struct why why;
	use_passwd(LINE_OF_NOBODY);
	CHILD_CHECK(user_find(NULL, &user, &why) == 0);
	CHILD_CHECK(user.uid == NOBODY && strcmp(user.name, "nobody") == 0);
}

static void of_none(void)
{
	use_passwd("root:x:0:0::/root:/bin/sh\n");
	check_refused(NULL, "user 'nobody': no such user");
}

static void default_user(void **state)
{
	(void)state;
	struct child child;
	CHILD_NEEDS_ROOT();
	child_run(&child, of_its_own);
	if (WIFEXITED(child.status) && WEXITSTATUS(child.status) == 77)
		CHILD_SKIP("no mount namespace of our own");
	child_assert_good(&child);
	child_run(&child, of_nobody_else);
	child_assert_good(&child);
	child_run(&child, of_none);
	child_assert_good(&child);
}

/* ---- where it cannot be done ---- */

static void check_cannot(const struct user *user, const char *sentence)
{
	struct why why = {""};
	CHILD_CHECK(user_become(user, &why) == -1);
	if (strcmp(why.text, sentence) != 0)
		CHILD_FAIL("\"%s\"", why.text);
}

static void root_without(unsigned capability)
{
	capng_get_caps_process();
	capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED, capability);
	CHILD_CHECK(capng_apply(CAPNG_SELECT_CAPS) == 0);
}

static void without_setuid(void)
{
	root_without(CAP_SETUID);
	check_cannot(&nobody,
		     "cannot become user 'nobody': setting its ID: Operation not permitted");
}

static void without_setgid(void)
{
	root_without(CAP_SETGID);
	check_cannot(&nobody,
		     "cannot become user 'nobody': setting its groups: Operation not permitted");
	CHILD_CHECK(user_become_in_child(&nobody) == -1 && errno == EPERM);
}

static void without_setpcap(void)
{
	root_without(CAP_SETPCAP);
	become(&nobody);
	check_lines(given_up, COUNT(given_up));
}

static void root_again(void)
{
	const struct user root = {.name = "root"};
	check_cannot(&root, "cannot become user 'root': root's rights are not given up: "
			    "Operation not permitted");
	CHILD_CHECK(user_become_in_child(&root) == -1);
}

static void refusals_are_told(void **state)
{
	(void)state;
	static void (*const bodies[])(void) = {without_setuid, without_setgid, without_setpcap,
					       root_again};
	struct child child;
	CHILD_NEEDS_ROOT();
	for (size_t i = 0; i < COUNT(bodies); i++) {
		child_run(&child, bodies[i]);
		child_assert_good(&child);
	}
}

/* ---- where the system says that it has done it, and has not ---- */

static void pretend(int call, struct scmp_arg_cmp *argument)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	CHILD_CHECK(filter && seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) == 0);
	CHILD_CHECK(seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(0), call, argument ? 1 : 0,
					   argument) == 0);
	CHILD_CHECK(seccomp_load(filter) == 0);
	seccomp_release(filter);
}

static void groups_stay(void)
{
	take_groups();
	pretend(SCMP_SYS(setgroups), NULL);
	check_cannot(&nobody, "cannot become user 'nobody': other groups are left");
}

static void group_stays(void)
{
	pretend(SCMP_SYS(setresgid), NULL);
	check_cannot(&nobody, "cannot become user 'nobody': some ID is another one's");
}

static void uid_stays(void)
{
	pretend(SCMP_SYS(setresuid), NULL);
	check_cannot(&nobody, "cannot become user 'nobody': root's rights are not given up: "
			      "Operation not permitted");
}

static void capabilities_stay(void)
{
	pretend(SCMP_SYS(capset), NULL);
	CHILD_CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
	check_cannot(&nobody, "cannot become user 'nobody': giving up capabilities: "
			      "Operation not permitted");
}

static void bounds_stay(void)
{
	struct scmp_arg_cmp drop = {.op = SCMP_CMP_EQ, .datum_a = PR_CAPBSET_DROP};
	pretend(SCMP_SYS(prctl), &drop);
	check_cannot(&nobody, "cannot become user 'nobody': capabilities are left");
}

static void new_privileges_stay(void)
{
	struct scmp_arg_cmp set = {.op = SCMP_CMP_EQ, .datum_a = PR_SET_NO_NEW_PRIVS};
	pretend(SCMP_SYS(prctl), &set);
	check_cannot(&nobody, "cannot become user 'nobody': new privileges are not given up");
}

static void lies_are_found_out(void **state)
{
	(void)state;
	static void (*const bodies[])(void) = {groups_stay,	  group_stays, uid_stays,
					       capabilities_stay, bounds_stay, new_privileges_stay};
	struct child child;
	CHILD_NEEDS_ROOT();
	for (size_t i = 0; i < COUNT(bodies); i++) {
		child_run(&child, bodies[i]);
		child_assert_good(&child);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(becoming_nobody),
	    cmocka_unit_test(kept_capabilities_go_too),
	    cmocka_unit_test(command_runs_as_nobody),
	    cmocka_unit_test(child_of_a_process_with_threads),
	    cmocka_unit_test(threads_are_a_mistake),
	    cmocka_unit_test(without_root_it_stays_who_it_is),
	    cmocka_unit_test(without_root_another_name_is_refused),
	    cmocka_unit_test(bad_names_are_named),
	    cmocka_unit_test(default_user),
	    cmocka_unit_test(refusals_are_told),
	    cmocka_unit_test(lies_are_found_out),
	};
	return cmocka_run_group_tests_name("user", tests, NULL, NULL) != 0;
}
