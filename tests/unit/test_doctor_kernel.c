#include "doctor/doctor_kernel.h"

#include "doctor/doctor_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* How many notes there are of these modules. */
static unsigned noted(const char *modules, const char *name)
{
	char *text;
	size_t length;
	struct doctor_report report = {.out = open_memstream(&text, &length)};
	doctor_kernel_modules(&report, modules);
	fclose(report.out);
	assert_true(!name || strstr(text, name));
	free(text);
	return report.counts[DOCTOR_NOTE];
}

static void modules_are_found_by_their_whole_names(void **state)
{
	(void)state;
	assert_int_equal(noted("", NULL), 0);
	assert_int_equal(
	    noted("ip_gre 1 0 - Live 0\npptpx 1 0 - Live 0\nnf_conntrack_pptpx 1 0\n", NULL), 0);
	assert_int_equal(noted("a 1 0 - Live 0\npptp 1 0 - Live 0\nb 1 0\n", "module pptp is"), 1);
	assert_int_equal(noted("nf_nat_pptp 1 0", "helper is loaded: nf_nat_pptp\n"), 1);
	assert_int_equal(noted("nf_nat_pptp 1 0", "mend: modprobe -r nf_nat_pptp\n"), 1);
	assert_int_equal(noted("nf_conntrack_pptp 1 0", "helper is loaded: nf_conntrack_pptp\n"),
			 1);
	assert_int_equal(noted("nf_conntrack_pptp 1 0", "mend: modprobe -r nf_conntrack_pptp\n"),
			 1);
	/* One loads the other: one thing. */
	assert_int_equal(
	    noted("nf_conntrack_pptp 1 1 nf_nat_pptp\nnf_nat_pptp 1 0\n", "loaded: nf_nat_pptp\n"),
	    1);
	assert_int_equal(noted("pptp 1 0\nnf_nat_pptp 1 0\n", "modprobe -r pptp"), 2);
}

static int listening(uint32_t addr, uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static void who_listens_is_found(void **state)
{
	(void)state;
	unsigned long inodes[DOCTOR_SOCKETS_MAX];
	char name[DOCTOR_SOCKETS_NAME];
	uint16_t port;
	int fd = listening(INADDR_LOOPBACK, &port);

	assert_int_equal(doctor_sockets_listening(INADDR_LOOPBACK, port, inodes), 1);
	assert_int_equal(doctor_sockets_owner(inodes[0], name), getpid());
	assert_non_null(strstr("test_doctor_kernel", name));
	assert_true(doctor_sockets_has(getpid(), inodes[0]));
	assert_false(doctor_sockets_has(1, inodes[0]));
	/* Where both cannot be had, and elsewhere. */
	assert_int_equal(doctor_sockets_listening(INADDR_ANY, port, inodes), 1);
	assert_int_equal(doctor_sockets_listening(INADDR_LOOPBACK + 1, port, inodes), 0);
	close(fd);
	assert_int_equal(doctor_sockets_listening(INADDR_LOOPBACK, port, inodes), 0);
	assert_int_equal(doctor_sockets_owner(0, name), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(modules_are_found_by_their_whole_names),
	    cmocka_unit_test(who_listens_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
