#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRATCH_FILE "file"
#include "tests/unit/scratch.h"

enum { MAX = 10000 };

static int remove_file(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void write_file(const char *text, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	close(fd);
}

static void write_octets(size_t count)
{
	char text[2 * MAX];
	assert_in_range(count, 0, sizeof(text));
	for (size_t i = 0; i < count; i++)
		text[i] = (char)(i * 7);
	write_file(text, count);
}

/* Whether it is read as write_octets wrote it. */
static void check_octets(size_t count)
{
	struct why why;
	size_t length = 12345;
	write_octets(count);
	char *text = file_read(path, MAX, &length, &why);
	assert_non_null(text);
	assert_int_equal(length, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(text[i], (char)(i * 7));
	assert_int_equal(text[count], '\0');
	free(text);
	unlink(path);
}

/* It says no and names the path and the reason. */
static void check_refused(const char *name, const char *reason)
{
	struct why why = {""};
	char sentence[sizeof(why.text)];
	size_t length = 12345;
	assert_null(file_read(name, MAX, &length, &why));
	assert_int_equal(length, 0);
	snprintf(sentence, sizeof(sentence), "cannot read %s: %s", name, reason);
	assert_string_equal(why.text, sentence);
}

static void all_octets_are_read(void **state)
{
	(void)state;
	static const size_t counts[] = {0, 1, 4094, 4095, 4096, 4097, 8191, 8192, MAX - 1, MAX};
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		check_octets(counts[i]);
}

static void file_without_a_size_is_read(void **state)
{
	(void)state;
	struct why why;
	size_t length;
	char *text = file_read("/proc/self/status", 1 << 20, &length, &why);
	assert_non_null(text);
	assert_int_equal(strlen(text), length);
	assert_non_null(strstr(text, "Pid:"));
	free(text);
}

static void link_is_followed(void **state)
{
	(void)state;
	struct why why;
	size_t length;
	assert_int_equal(symlink("/proc/self/stat", path), 0);
	char *text = file_read(path, MAX, &length, &why);
	assert_non_null(text);
	free(text);
}

static void too_large_is_refused(void **state)
{
	(void)state;
	write_octets(MAX + 1);
	check_refused(path, "it is larger than 10000 octets");
	unlink(path);
	write_octets(2 * MAX);
	check_refused(path, "it is larger than 10000 octets");
}

static void what_is_not_there_is_refused(void **state)
{
	(void)state;
	check_refused(path, "No such file or directory");
	check_refused("", "No such file or directory");
}

static void directory_is_refused(void **state)
{
	(void)state;
	check_refused(directory, "it is not a regular file");
}

static void fifo_is_refused_without_waiting(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	/* Somebody waits for a writer? Then let it be seen. */
	alarm(20);
	check_refused(path, "it is not a regular file");
	alarm(0);
}

static void device_is_refused(void **state)
{
	(void)state;
	check_refused("/dev/zero", "it is not a regular file");
}

static void socket_is_refused(void **state)
{
	(void)state;
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(name.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	check_refused(path, "No such device or address");
	close(fd);
}

static void check_answers(const char *name, int new_error, int append_error)
{
	errno = 0;
	assert_int_equal(file_check_new(name), new_error ? -1 : 0);
	assert_true(!new_error || errno == new_error);
	assert_int_equal(file_check_append(name), append_error ? -1 : 0);
	assert_true(!append_error || errno == append_error);
}

static void what_could_be_written_is_told(void **state)
{
	char other[80];
	(void)state;
	check_answers(path, 0, 0);
	assert_int_equal(access(path, F_OK), -1); /* it was only a question */
	write_octets(1);
	check_answers(path, 0, 0);
	snprintf(other, sizeof(other), "%s/none", path);
	check_answers(other, ENOTDIR, ENOTDIR);
	snprintf(other, sizeof(other), "%s/none/file", directory);
	check_answers(other, ENOENT, ENOENT);
	check_answers(directory, EISDIR, EISDIR);
	assert_int_equal(chdir(directory), 0);
	check_answers("no_slash", 0, 0);
	assert_int_equal(chdir("/"), 0);
	/* One that others may look at and not write to. */
	bool root = geteuid() == 0;
	assert_int_equal(chmod(directory, 0555), 0);
	assert_int_equal(chmod(path, 0444), 0);
	if (root)
		assert_int_equal(setresuid(65534, 65534, 0), 0);
	check_answers(path, EACCES, EACCES);
	snprintf(other, sizeof(other), "%s/other", directory);
	check_answers(other, EACCES, EACCES);
	if (root)
		assert_int_equal(setresuid(0, 0, 0), 0);
	chmod(directory, 0700);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(all_octets_are_read, remove_file),
	    cmocka_unit_test(file_without_a_size_is_read),
	    cmocka_unit_test_teardown(link_is_followed, remove_file),
	    cmocka_unit_test_teardown(too_large_is_refused, remove_file),
	    cmocka_unit_test(what_is_not_there_is_refused),
	    cmocka_unit_test(directory_is_refused),
	    cmocka_unit_test_teardown(fifo_is_refused_without_waiting, remove_file),
	    cmocka_unit_test(device_is_refused),
	    cmocka_unit_test_teardown(socket_is_refused, remove_file),
	    cmocka_unit_test_teardown(what_could_be_written_is_told, remove_file),
	};
	return cmocka_run_group_tests_name("file", tests, scratch_set_up, scratch_tear_down) != 0;
}
