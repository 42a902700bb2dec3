#include "host/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRATCH_FILE "control"
#include "tests/unit/scratch.h"

static char abstract_name[64];
static struct why why;

static int set_up(void **state)
{
	snprintf(abstract_name, sizeof(abstract_name), "@test_instance.%ld", (long)getpid());
	return scratch_set_up(state);
}

static int opened(const char *name)
{
	why.text[0] = '\0';
	int fd = instance_open(name, &why);
	if (fd < 0)
		fail_msg("%s: %s", name, why.text);
	return fd;
}

static void refused(const char *name, const char *sentence)
{
	why.text[0] = '\0';
	assert_int_equal(instance_open(name, &why), -1);
	if (!strstr(why.text, sentence))
		fail_msg("\"%s\" lacks \"%s\"", why.text, sentence);
}

/* Whether somebody can connect to it. */
static bool answers(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(address.sun_path, name);
	socklen_t length =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + (name[0] != '@'));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	int result = connect(fd, (struct sockaddr *)&address, length);
	close(fd);
	return result == 0;
}

static void check_descriptor(int fd)
{
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(accept(fd, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
}

static void abstract_socket(void **state)
{
	(void)state;
	char sentence[200];
	int fd = opened(abstract_name);
	check_descriptor(fd);
	assert_true(answers(abstract_name));
	snprintf(sentence, sizeof(sentence), "already running as pid %ld (control socket %s)",
		 (long)getpid(), abstract_name);
	refused(abstract_name, sentence);
	instance_close(fd, abstract_name);
	assert_false(answers(abstract_name));
	instance_close(opened(abstract_name), abstract_name);
	instance_close(-1, abstract_name);
}

static void path_socket(void **state)
{
	(void)state;
	struct stat status;
	char sentence[200];
	mode_t before = umask(0);
	int fd = opened(path);
	assert_int_equal(umask(before), 0);
	check_descriptor(fd);
	assert_int_equal(stat(path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0600);
	snprintf(sentence, sizeof(sentence), "already running as pid %ld (control socket %s)",
		 (long)getpid(), path);
	refused(path, sentence);
	assert_true(answers(path));
	instance_close(fd, path);
	assert_int_equal(access(path, F_OK), -1);
}

static void another_process_is_named(void **state)
{
	(void)state;
	char sentence[200], octet;
	int ready[2], stay[2];
	assert_int_equal(pipe(ready) + pipe(stay), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(stay[1]);
		if (instance_open(abstract_name, &why) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		_exit(read(stay[0], &octet, 1) != 0);
	}
	close(stay[0]);
	assert_int_equal(read(ready[0], &octet, 1), 1);
	snprintf(sentence, sizeof(sentence), "as pid %ld ", (long)pid);
	refused(abstract_name, sentence);
	close(stay[1]);
	close(ready[0]);
	close(ready[1]);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	instance_close(opened(abstract_name), abstract_name);
}

static void stale_file_is_replaced(void **state)
{
	(void)state;
	struct stat before, after;
	close(opened(path));
	assert_int_equal(stat(path, &before), 0);
	assert_false(answers(path));
	int fd = opened(path);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_mode & 07777, 0600);
	assert_true(answers(path));
	instance_close(fd, path);
}

static void other_file_is_left_alone(void **state)
{
	(void)state;
	char text[8] = "";
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "mine", 4), 4);
	close(fd);
	refused(path, "/control: there is a file that is not a socket");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof(text)), 4);
	close(fd);
	assert_string_equal(text, "mine");
	unlink(path);
	assert_int_equal(symlink("/nonexistent", path), 0);
	refused(path, "/control");
	assert_int_equal(unlink(path), 0);
}

static void one_that_runs_is_found(void **state)
{
	(void)state;
	const char *const names[] = {abstract_name, path};
	pid_t pid = 1;
	for (size_t i = 0; i < 2; i++) {
		assert_false(instance_find(names[i], &pid));
		assert_int_equal(pid, 0);
		int fd = opened(names[i]);
		assert_true(instance_find(names[i], &pid));
		assert_int_equal(pid, getpid());
		assert_true(instance_find(names[i], &pid)); /* and is still there */
		instance_close(fd, names[i]);
		assert_false(instance_find(names[i], &pid));
	}
	assert_false(instance_find("", &pid));
}

static void bad_names(void **state)
{
	(void)state;
	char name[200];
	refused("", "a name is missing");
	refused("@", "a name is missing");
	refused("/nonexistent/control", "/nonexistent/control: No such file or directory");
	/* The longest that fits, and one more. */
	memset(name, 'x', sizeof(name));
	name[0] = '@';
	name[108] = '\0';
	instance_close(opened(name), name);
	name[108] = 'x';
	name[109] = '\0';
	refused(name, "longer than 108 octets");
	name[0] = '/';
	name[108] = '\0';
	refused(name, "longer than 107 octets");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(abstract_socket),		cmocka_unit_test(path_socket),
	    cmocka_unit_test(another_process_is_named), cmocka_unit_test(stale_file_is_replaced),
	    cmocka_unit_test(other_file_is_left_alone), cmocka_unit_test(bad_names),
	    cmocka_unit_test(one_that_runs_is_found),
	};
	return cmocka_run_group_tests_name("instance", tests, set_up, scratch_tear_down) != 0;
}
