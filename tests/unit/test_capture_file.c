/*
 * Files of packets: what libpcap reads back, whole records in a write, and the place that they
 * have.
 */
#include "host/capture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRATCH_FILE "x.pcap"
#include "tests/unit/scratch.h"

static char older[64];
static struct why why;

static int set_up(void **state)
{
	if (scratch_set_up(state) != 0)
		return -1;
	snprintf(older, sizeof(older), "%s/x.pcap.1", directory);
	return 0;
}

/* With one packet of that octet. */
static void make(uint8_t octet)
{
	int fd = capture_file_create(path, NULL, &why);
	assert_true(fd >= 0);
	struct capture_file *file = capture_file_open(fd);
	assert_non_null(file);
	assert_int_equal(capture_file_add(file, 1700000000123456, &octet, 1), 0);
	assert_int_equal(capture_file_size(file), 24 + 16 + 1);
	capture_file_close(file);
}

/* The first packet's octet; -1: there is no such file. */
static int octet_in(const char *name)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *octets;
	pcap_t *pcap = pcap_open_offline(name, error);
	if (!pcap)
		return -1;
	assert_int_equal(pcap_datalink(pcap), DLT_RAW);
	assert_int_equal(pcap_next_ex(pcap, &header, &octets), 1);
	assert_int_equal(header->ts.tv_sec, 1700000000);
	assert_int_equal(header->ts.tv_usec, 123456);
	assert_int_equal(header->caplen, 1);
	int octet = octets[0];
	assert_int_equal(pcap_next_ex(pcap, &header, &octets), PCAP_ERROR_BREAK);
	pcap_close(pcap);
	return octet;
}

static void libpcap_reads_it(void **state)
{
	struct stat status;
	(void)state;
	make(42);
	assert_int_equal(octet_in(path), 42);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void older_one_is_kept(void **state)
{
	(void)state;
	make(1);
	make(2);
	assert_int_equal(octet_in(path), 2);
	assert_int_equal(octet_in(older), 1);
	make(3);
	assert_int_equal(octet_in(path), 3);
	assert_int_equal(octet_in(older), 2);
}

/* A program that starts again and again does not throw captures away. */
static void empty_one_is_replaced(void **state)
{
	(void)state;
	make(1);
	capture_file_close(capture_file_open(capture_file_create(path, NULL, &why)));
	assert_int_equal(octet_in(older), 1);
	close(capture_file_create(path, NULL, &why));
	make(2);
	assert_int_equal(octet_in(path), 2);
	assert_int_equal(octet_in(older), 1);
}

static void what_another_writes_is_his(void **state)
{
	(void)state;
	make(1);
	int fd = capture_file_create(path, NULL, &why), copy = dup(fd);
	const struct capture_file_id his = capture_file_id(fd);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(capture_file_create(path, NULL, &why), -1);
		assert_non_null(strstr(why.text, "another process writes a capture to it"));
		assert_non_null(strstr(why.text, path));
		assert_int_equal(capture_file_check_free(path, NULL, &why), -1);
		assert_int_equal(capture_file_check(path, &why), 0);
		assert_int_equal(capture_file_check_free(path, &his, &why), 0);
		if (i == 0)
			close(fd); /* the copy is another process's */
	}
	assert_int_equal(octet_in(older), 1);
	close(copy);
}

static void ones_own_is_rotated_while_it_is_written(void **state)
{
	(void)state;
	int fd = capture_file_create(path, NULL, &why);
	const struct capture_file_id mine = capture_file_id(fd);
	struct capture_file *file = capture_file_open(fd);
	uint8_t octet = 7;
	assert_int_equal(capture_file_add(file, 1700000000123456, &octet, 1), 0);
	assert_int_equal(capture_file_flush(file), 0);
	assert_int_equal(capture_file_check(path, &why), 0);
	assert_int_equal(capture_file_check_free(path, NULL, &why), -1);
	assert_int_equal(capture_file_check_free(path, &mine, &why), 0);
	int next = capture_file_create(path, &mine, &why);
	assert_true(next >= 0);
	/* The next one is not the one before. */
	assert_int_equal(capture_file_check_free(path, &mine, &why), -1);
	capture_file_close(file);
	assert_int_equal(octet_in(older), 7);
	close(next);
	assert_int_equal(capture_file_check_free(path, NULL, &why), 0);
}

/* What others do after the new file is there, and before it is locked. */
static void (*meanwhile)(void);

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, void *value);

int __wrap_fcntl(int fd, int command, void *value)
{
	if (command == F_OFD_SETLK && meanwhile)
		meanwhile();
	return __real_fcntl(fd, command, value);
}

static void another_makes_room(void)
{
	assert_int_equal(rename(path, older), 0);
}

static void another_takes_the_place(void)
{
	meanwhile = NULL;
	close(capture_file_create(path, NULL, &why));
}

static void one_whose_place_is_gone_is_refused(void **state)
{
	void (*const others[])(void) = {another_makes_room, another_takes_the_place};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		meanwhile = others[i];
		assert_int_equal(capture_file_create(path, NULL, &why), -1);
		meanwhile = NULL;
		assert_non_null(strstr(why.text, "another process writes a capture to it"));
	}
	close(capture_file_create(path, NULL, &why)); /* the next one has it */
	assert_int_equal(capture_file_check_free(path, NULL, &why), 0);
}

static int looker = -1;

static void another_looks(void)
{
	looker = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(looker, LOCK_SH | LOCK_NB), 0);
	assert_int_equal(capture_file_check_free(path, NULL, &why), 0);
}

static void who_looks_leaves_it_lockable(void **state)
{
	(void)state;
	meanwhile = another_looks;
	int fd = capture_file_create(path, NULL, &why);
	meanwhile = NULL;
	assert_true(fd >= 0 && looker >= 0);
	close(looker);
	assert_int_equal(capture_file_check_free(path, NULL, &why), -1);
	close(fd);
}

static void refuse(const char *sentence)
{
	assert_int_equal(capture_file_check(path, &why), -1);
	assert_non_null(strstr(why.text, sentence));
	assert_non_null(strstr(why.text, path));
	assert_int_equal(capture_file_create(path, NULL, &why), -1);
	assert_non_null(strstr(why.text, sentence));
}

static void what_is_no_capture_stays(void **state)
{
	FILE *other = fopen(path, "w");
	(void)state;
	fputs("root:x:0:0:root:/root:/bin/bash\n", other);
	fclose(other);
	refuse("it is there, and no capture");
	assert_int_equal(access(older, F_OK), -1);
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	refuse("it is a symbolic link");
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	refuse("it is there, and no file");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0700), 0);
	refuse("it is there, and no file");
}

/* Notes of somebody's, say. */
static void older_that_is_no_capture_stays(void **state)
{
	char line[32] = "";
	(void)state;
	make(1);
	FILE *other = fopen(older, "w");
	fputs("precious notes\n", other);
	fclose(other);
	refuse("x.pcap.1: it is there, and no capture");
	assert_int_equal(octet_in(path), 1);
	other = fopen(older, "r");
	assert_non_null(fgets(line, sizeof(line), other));
	assert_string_equal(line, "precious notes\n");
	fclose(other);
	unlink(path); /* nothing to move yet, but there will be */
	refuse("x.pcap.1: it is there, and no capture");
	unlink(older);
	assert_int_equal(mkdir(older, 0700), 0);
	refuse("x.pcap.1: it is there, and no file");
	rmdir(older);
	assert_int_equal(symlink("/etc/passwd", older), 0); /* it is the name that is replaced */
	make(1);
	make(2);
	assert_int_equal(octet_in(older), 1);
	unlink(path);
	unlink(older);
	fclose(fopen(older, "w"));
	make(2);
	make(3);
	assert_int_equal(octet_in(older), 2);
}

static void directory_is_missing(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "%s/none/x.pcap", directory);
	refuse(strerror(ENOENT));
	snprintf(path, sizeof(path), "%s/x.pcap", directory);
	assert_int_equal(capture_file_check(path, &why), 0);
	assert_int_equal(access(path, F_OK), -1); /* it was only a question */
}

/* A socket that keeps bounds tells what one write has had. */
static void whole_records_in_a_write(void **state)
{
	enum { PACKETS = 40 };
	static uint8_t packet[20000], got[1 << 20];
	int ends[2], size = 8 << 20;
	size_t records = 0;
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	struct capture_file *file = capture_file_open(ends[0]);
	for (size_t i = 0; i < PACKETS; i++) {
		assert_int_equal(capture_file_add(file, i, packet, sizeof(packet) - i), 0);
		ssize_t length = recv(ends[1], got, sizeof(got), MSG_DONTWAIT);
		size_t at = records == 0 ? 24 : 0;
		for (; length > 0 && at < (size_t)length; records++) {
			uint32_t octets;
			memcpy(&octets, got + at + 8, sizeof(octets));
			assert_int_equal(octets, sizeof(packet) - records);
			at += 16 + octets;
		}
		if (length > 0)
			assert_int_equal(at, length);
	}
	assert_true(records >= PACKETS / 2);
	capture_file_close(file);
	close(ends[1]);
}

static void full_disk(void **state)
{
	uint8_t octet = 1;
	(void)state;
	struct capture_file *file = capture_file_open(open("/dev/full", O_WRONLY | O_CLOEXEC));
	assert_non_null(file);
	assert_int_equal(capture_file_add(file, 1, &octet, 1), 0);
	errno = 0;
	assert_int_equal(capture_file_flush(file), -1);
	assert_int_equal(errno, ENOSPC);
	capture_file_close(file);
}

/* What a failed write has left of it is taken away, and nothing follows. */
static void full_disk_leaves_no_half_packet(void **state)
{
	static uint8_t packet[1000];
	struct rlimit before, limit;
	struct stat status;
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 24 + 2 * 1016 + 500;
	struct capture_file *file = capture_file_open(capture_file_create(path, NULL, &why));
	assert_non_null(file);
	assert_int_equal(capture_file_add(file, 1, packet, sizeof(packet)), 0);
	assert_int_equal(capture_file_flush(file), 0);
	assert_int_equal(capture_file_add(file, 2, packet, sizeof(packet)), 0);
	assert_int_equal(capture_file_add(file, 3, packet, sizeof(packet)), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	errno = 0;
	assert_int_equal(capture_file_flush(file), -1);
	assert_int_equal(errno, EFBIG);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(capture_file_packets(file), 2);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 24 + 2 * 1016 + 500);
	capture_file_cut(file);
	capture_file_close(file);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 24 + 2 * 1016);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(libpcap_reads_it, set_up, scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(what_another_writes_is_his, set_up,
					    scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(ones_own_is_rotated_while_it_is_written, set_up,
					    scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(older_one_is_kept, set_up, scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(empty_one_is_replaced, set_up, scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(one_whose_place_is_gone_is_refused, set_up,
					    scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(who_looks_leaves_it_lockable, set_up,
					    scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(what_is_no_capture_stays, set_up,
					    scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(older_that_is_no_capture_stays, set_up,
					    scratch_tear_down_all),
	    cmocka_unit_test_setup_teardown(directory_is_missing, set_up, scratch_tear_down_all),
	    cmocka_unit_test(whole_records_in_a_write),
	    cmocka_unit_test(full_disk),
	    cmocka_unit_test_setup_teardown(full_disk_leaves_no_half_packet, set_up,
					    scratch_tear_down_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
