#include "host/sandbox.h"

#include "host/sanitized.h"
#include "host/user.h"
#include "tests/unit/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char directory[] = "/tmp/test_sandbox.XXXXXX";
static char path[64], other_path[64];
static int lacks; /* found by set_up, in a child */
static int landlock_version;

static void enter_with(const char *const *readable, size_t count)
{
	struct why why = {""};
	const struct sandbox_config config = {
	    .readable = readable, .readable_count = count, .report_fd = child_report_fd};
	if (sandbox_enter(&config, &why) < 0)
		CHILD_FAIL("%s", why.text);
}

static void enter(void)
{
	enter_with(NULL, 0);
}

static int put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

static void ask_what_is_lacking(void)
{
	struct why why;
	const struct sandbox_config config = {.report_fd = -1};
	_exit(sandbox_enter(&config, &why) & 0x7f);
}

static int set_up(void **state)
{
	struct child child;
	(void)state;
	if (!mkdtemp(directory) || chmod(directory, 0755) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/file", directory);
	snprintf(other_path, sizeof(other_path), "%s/other", directory);
	child_run(&child, ask_what_is_lacking);
	if (!WIFEXITED(child.status))
		return -1;
	lacks = WEXITSTATUS(child.status);
	landlock_version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	return put(path, "mine") == 0 && put(other_path, "other") == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	unlink(other_path);
	return rmdir(directory);
}

#define NEEDS_FILTER()                                                                             \
	do {                                                                                       \
		if (lacks & SANDBOX_LACKS_CALLS)                                                   \
			CHILD_SKIP("this kernel has no filters of system calls");                  \
	} while (0)

#define NEEDS_LANDLOCK(version)                                                                    \
	do {                                                                                       \
		if (landlock_version < (version))                                                  \
			CHILD_SKIP("this kernel has no Landlock of version %d", version);          \
	} while (0)

static void what_is_lacking_is_told(void **state)
{
	(void)state;
	int expected = landlock_version < 1 ? SANDBOX_LACKS_FILES : 0;
	if (prctl(PR_GET_SECCOMP) < 0)
		expected |= SANDBOX_LACKS_CALLS;
	assert_int_equal(lacks, expected);
}

/* ---- what must go on ---- */

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int stream_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHILD_CHECK(fd >= 0);
	return fd;
}

/* As the keeper hands it over. */
static int listener(struct sockaddr_in *at)
{
	socklen_t size = sizeof(*at);
	int fd = stream_socket();
	*at = loopback(0);
	CHILD_CHECK(bind(fd, (struct sockaddr *)at, size) == 0 && listen(fd, 8) == 0);
	CHILD_CHECK(getsockname(fd, (struct sockaddr *)at, &size) == 0);
	return fd;
}

static void talk_over(int client, int server)
{
	char octets[8];
	int waiting = -1, one = 1;
	struct iovec out = {"hello", 5}, in = {octets, sizeof(octets)};
	struct mmsghdr sent = {.msg_hdr = {.msg_iov = &out, .msg_iovlen = 1}};
	struct mmsghdr received = {.msg_hdr = {.msg_iov = &in, .msg_iovlen = 1}};

	CHILD_CHECK(setsockopt(client, IPPROTO_TCP, 1, &one, sizeof(one)) == 0);
	CHILD_CHECK(setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) == 0);
	CHILD_CHECK(send(client, "ping", 4, MSG_NOSIGNAL) == 4);
	CHILD_CHECK(recv(server, octets, sizeof(octets), MSG_PEEK) == 4);
	CHILD_CHECK(ioctl(server, SIOCINQ, &waiting) == 0 && waiting == 4);
	CHILD_CHECK(ioctl(client, SIOCOUTQ, &waiting) == 0);
	CHILD_CHECK(recv(server, octets, sizeof(octets), 0) == 4);
	CHILD_CHECK(sendmmsg(server, &sent, 1, 0) == 1);
	CHILD_CHECK(recvmmsg(client, &received, 1, 0, NULL) == 1 && received.msg_len == 5);
	CHILD_CHECK(sendmsg(server, &sent.msg_hdr, 0) == 5 &&
		    recvmsg(client, &received.msg_hdr, 0) == 5);
	CHILD_CHECK(shutdown(client, SHUT_WR) == 0 && read(server, octets, 1) == 0);
}

static void relay_tcp(void)
{
	struct sockaddr_in at;
	int listening = listener(&at);
	enter();
	int client = stream_socket();
	CHILD_CHECK(fcntl(client, F_SETFL, fcntl(client, F_GETFL)) == 0);
	CHILD_CHECK(connect(client, (struct sockaddr *)&at, sizeof(at)) == 0);
	int server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	CHILD_CHECK(server >= 0);
	talk_over(client, server);
	close(client);
	close(server);
}

static void other_sockets(void)
{
	struct ifaddrs *interfaces;
	struct sockaddr_in any = loopback(0);
	int pair[2];
	enter();
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHILD_CHECK(udp >= 0 && bind(udp, (struct sockaddr *)&any, sizeof(any)) == 0);
	CHILD_CHECK(socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP) >= 0 || errno == EAFNOSUPPORT);
	CHILD_CHECK(bind(stream_socket(), (struct sockaddr *)&any, sizeof(any)) == 0);
	CHILD_CHECK(getifaddrs(&interfaces) == 0 && interfaces);
	freeifaddrs(interfaces);
	CHILD_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	openlog("test_sandbox", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	closelog();
}

static void *count_up(void *number)
{
	char *large = malloc(1 << 20);
	CHILD_CHECK(large);
	memset(large, 1, 1 << 20);
	free(large);
	pthread_setname_np(pthread_self(), "counting");
	++*(int *)number;
	return number;
}

static void threads(void)
{
	int number = 0;
	pthread_t thread;
	enter();
	for (int i = 0; i < 8; i++) {
		CHILD_CHECK(pthread_create(&thread, NULL, count_up, &number) == 0);
		CHILD_CHECK(pthread_join(thread, NULL) == 0);
	}
	CHILD_CHECK(number == 8);
	CHILD_CHECK(pthread_kill(pthread_self(), 0) == 0);
	/* libc must be told that it is to go on with the older one. */
	CHILD_CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
}

static void on_timer(evutil_socket_t fd, short what, void *number)
{
	(void)fd;
	(void)what;
	++*(int *)number;
}

static void on_name(int error, char type, int count, int ttl, void *addresses, void *base)
{
	(void)error, (void)type, (void)count, (void)ttl, (void)addresses;
	event_base_loopbreak(base);
}

static void ignore_text(int is_warning, const char *text)
{
	(void)is_warning, (void)text;
}

static void event_loop(void)
{
	static const struct timeval soon = {.tv_usec = 1000}, late = {.tv_sec = CHILD_SECONDS};
	int number = 0;
	enter();
	struct event_base *base = event_base_new();
	CHILD_CHECK(base);
	CHILD_CHECK(event_base_once(base, -1, EV_TIMEOUT, on_timer, &number, &soon) == 0);
	struct event *ended = evsignal_new(base, SIGTERM, on_timer, &number);
	CHILD_CHECK(event_add(ended, NULL) == 0);
	raise(SIGTERM);
	while (number < 2)
		CHILD_CHECK(event_base_loop(base, EVLOOP_ONCE) == 0);
	event_free(ended);

	/* A name server that does not answer, or refuses. */
	evdns_set_log_fn(ignore_text);
	struct evdns_base *dns = evdns_base_new(base, 0);
	CHILD_CHECK(dns);
	evdns_base_resolv_conf_parse(dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	evdns_base_clear_nameservers_and_suspend(dns);
	CHILD_CHECK(evdns_base_nameserver_ip_add(dns, "127.0.0.1:1") == 0);
	evdns_base_resume(dns);
	evdns_base_set_option(dns, "timeout", "0.1");
	evdns_base_set_option(dns, "attempts", "1");
	CHILD_CHECK(evdns_base_resolve_ipv4(dns, "a.example", 0, on_name, base));
	CHILD_CHECK(event_base_loopexit(base, &late) == 0);
	CHILD_CHECK(event_base_dispatch(base) == 0);
	evdns_base_free(dns, 0);
	event_base_free(base);
}

static void files(void)
{
	struct tm tm;
	struct stat status;
	time_t now = time(NULL);
	int log = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	enter();
	CHILD_CHECK(write(log, "more", 4) == 4);
	FILE *hosts = fopen("/etc/hosts", "re");
	CHILD_CHECK(hosts && getc(hosts) >= 0);
	fclose(hosts);
	CHILD_CHECK(access("/etc/resolv.conf", F_OK) != 0 ||
		    open("/etc/resolv.conf", O_RDONLY) >= 0);
	CHILD_CHECK(localtime_r(&now, &tm));
	CHILD_CHECK(open("/dev/urandom", O_RDONLY | O_CLOEXEC) >= 0);
	CHILD_CHECK(stat("/etc/hosts", &status) == 0);
}

static void memory_and_clocks(void)
{
	struct timespec now, short_while = {.tv_nsec = 1000};
	struct rlimit limit;
	int kept = memfd_create("kept", MFD_CLOEXEC);
	CHILD_CHECK(kept >= 0 && ftruncate(kept, 1 << 20) == 0);
	enter();
	char *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, kept, 0);
	CHILD_CHECK(map != MAP_FAILED);
	map[0] = 1;
	CHILD_CHECK(mprotect(map, 1 << 20, PROT_READ) == 0 && munmap(map, 1 << 20) == 0);
	CHILD_CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0 &&
		    nanosleep(&short_while, NULL) == 0);
	CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void check_goes_on(void (*body)(void))
{
	struct child child;
	child_run(&child, body);
	child_assert_good(&child);
	assert_string_equal(child.said, "");
	assert_string_equal(child.reported, "");
}

static void tcp_goes_on(void **state)
{
	(void)state;
	check_goes_on(relay_tcp);
}

static void other_sockets_go_on(void **state)
{
	(void)state;
	check_goes_on(other_sockets);
}

static void threads_go_on(void **state)
{
	(void)state;
	NEEDS_FILTER();
	check_goes_on(threads);
}

static void event_loop_goes_on(void **state)
{
	(void)state;
	check_goes_on(event_loop);
}

static void files_go_on(void **state)
{
	(void)state;
	check_goes_on(files);
}

static void memory_and_clocks_go_on(void **state)
{
	(void)state;
	check_goes_on(memory_and_clocks);
}

static void become_nobody_first(void)
{
	struct user user;
	struct why why = {""};
	if (user_find(NULL, &user, &why) != 0 || user_become(&user, &why) != 0)
		CHILD_FAIL("%s", why.text);
	threads();
}

static void it_goes_on_as_another_user(void **state)
{
	(void)state;
	NEEDS_FILTER();
	check_goes_on(become_nobody_first);
}

/* At the end of a program the sanitizer looks for leaks, from a process of its own; were a call of
 * that one forbidden, the program would wait for it for ever. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
static void look_for_leaks(void)
{
	enter();
	__lsan_do_recoverable_leak_check();
}
#endif

static void leaks_are_looked_for(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__)
	struct child child;
	child_run(&child, look_for_leaks);
	if (child.status != 0)
		fail_msg("status %#x: %s", (unsigned)child.status, child.said);
#else
	CHILD_SKIP("only the address sanitizer looks for leaks");
#endif
}

/* ---- what must not ---- */

static void call_execve(void)
{
	execl("/bin/true", "true", NULL);
}

static void call_fork(void)
{
	if (fork() == 0)
		_exit(0);
}

static void open_to_write(void)
{
	open(path, O_WRONLY | O_CLOEXEC);
}

#ifdef SYS_open
static void open_as_of_old(void)
{
	syscall(SYS_open, path, O_WRONLY);
}
#endif

static void open_to_read_and_write(void)
{
	open(path, O_RDWR | O_CLOEXEC);
}

static void open_to_make(void)
{
	open("/tmp/made", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
}

static void open_to_cut(void)
{
	open(path, O_RDONLY | O_TRUNC | O_CLOEXEC);
}

static void packet_socket(void)
{
	socket(AF_PACKET, SOCK_RAW, 0);
}

static void raw_socket(void)
{
	socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_GRE);
}

static void raw_tcp_socket(void)
{
	socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
}

static void ping_socket(void)
{
	socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
}

static void netfilter_socket(void)
{
	socket(AF_NETLINK, SOCK_RAW, 12);
}

static void foreign_level(void)
{
	int one = 1;
	setsockopt(STDERR_FILENO, 263, 1, &one, sizeof(one));
}

static void terminal_input(void)
{
	ioctl(STDERR_FILENO, TIOCSTI, "x");
}

static void owner_of_a_descriptor(void)
{
	fcntl(STDERR_FILENO, F_SETOWN, getppid());
}

static void trace_the_parent(void)
{
	ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static void kill_the_parent(void)
{
	kill(getppid(), 0);
}

static void kill_a_parents_thread(void)
{
	syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static void become_another(void)
{
	syscall(SYS_setuid, getuid());
}

static void load_ebpf(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY};
	syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static void mount_something(void)
{
	mount("none", "/tmp", "tmpfs", 0, NULL);
}

static void leave_the_namespace(void)
{
	unshare(CLONE_NEWUSER);
}

static void executable_memory(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void memory_made_executable(void)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static void mute_the_teller(void)
{
	signal(SIGSYS, SIG_IGN);
}

static void raise_a_limit(void)
{
	struct rlimit limit = {100, 100};
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void dumpable(void)
{
	prctl(PR_SET_DUMPABLE, 1);
}

static void remove_a_file(void)
{
	unlink(path);
}

static void unknown_call(void)
{
	syscall(100000);
}

static void enter_once_more(void)
{
	enter();
}

static void (*forbidden)(void);

static void enter_and_do_what_is_forbidden(void)
{
	enter();
	forbidden();
}

static void check_line(const struct child *child, long number, const char *name)
{
	char expected[100];
	snprintf(expected, sizeof(expected),
		 name ? "forbidden system call %ld (%s)\n" : "forbidden system call %ld\n", number,
		 name);
	assert_string_equal(child->said, expected);
	assert_string_equal(child->reported, expected);
}

static void check_died(const struct child *child)
{
	if (!WIFSIGNALED(child->status) || WTERMSIG(child->status) != SIGSYS)
		fail_msg("status %#x, said \"%s\"", (unsigned)child->status, child->said);
}

#define CALL(number) number, &#number[strlen("SYS_")]

static void forbidden_calls_are_told_and_deadly(void **state)
{
	(void)state;
	/* A sanitizer's runtime makes some of them itself. */
	enum { ALWAYS, PLAIN };
	const struct {
		void (*call)(void);
		int when;
		long number;
		const char *name;
	} rows[] = {
	    {call_execve, ALWAYS, CALL(SYS_execve)},
	    {call_fork, PLAIN, CALL(SYS_clone)},
	    {open_to_write, PLAIN, CALL(SYS_openat)},
#ifdef SYS_open
	    {open_as_of_old, PLAIN, CALL(SYS_open)},
#endif
	    {open_to_read_and_write, PLAIN, CALL(SYS_openat)},
	    {open_to_make, PLAIN, CALL(SYS_openat)},
	    {open_to_cut, PLAIN, CALL(SYS_openat)},
	    {packet_socket, ALWAYS, CALL(SYS_socket)},
	    {raw_socket, ALWAYS, CALL(SYS_socket)},
	    {raw_tcp_socket, ALWAYS, CALL(SYS_socket)},
	    {ping_socket, ALWAYS, CALL(SYS_socket)},
	    {netfilter_socket, ALWAYS, CALL(SYS_socket)},
	    {foreign_level, ALWAYS, CALL(SYS_setsockopt)},
	    {terminal_input, ALWAYS, CALL(SYS_ioctl)},
	    {owner_of_a_descriptor, ALWAYS, CALL(SYS_fcntl)},
	    {trace_the_parent, PLAIN, CALL(SYS_ptrace)},
	    {kill_the_parent, ALWAYS, CALL(SYS_kill)},
	    {kill_a_parents_thread, ALWAYS, CALL(SYS_tgkill)},
	    {become_another, ALWAYS, CALL(SYS_setuid)},
	    {load_ebpf, ALWAYS, CALL(SYS_bpf)},
	    {mount_something, ALWAYS, CALL(SYS_mount)},
	    {leave_the_namespace, ALWAYS, CALL(SYS_unshare)},
	    {executable_memory, PLAIN, CALL(SYS_mmap)},
	    {memory_made_executable, PLAIN, CALL(SYS_mprotect)},
	    {mute_the_teller, PLAIN, CALL(SYS_rt_sigaction)},
	    {raise_a_limit, PLAIN, CALL(SYS_prlimit64)},
	    {dumpable, PLAIN, CALL(SYS_prctl)},
#ifdef SYS_unlink
	    {remove_a_file, PLAIN, CALL(SYS_unlink)},
#else
	    {remove_a_file, PLAIN, CALL(SYS_unlinkat)},
#endif
	    {enter_once_more, PLAIN, CALL(SYS_prctl)},
	    {unknown_call, ALWAYS, 100000, NULL},
	};
	struct child child;
	NEEDS_FILTER();
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (sanitized && rows[i].when == PLAIN)
			continue;
		forbidden = rows[i].call;
		child_run(&child, enter_and_do_what_is_forbidden);
		check_died(&child);
		check_line(&child, rows[i].number, rows[i].name);
	}
}

static int gate[2];
static sigset_t blocked;

static void *pass_the_gate(void *unused)
{
	char octet;
	CHILD_CHECK(read(gate[0], &octet, 1) == 1);
	call_execve();
	return unused;
}

static pthread_t start_behind_the_gate(void)
{
	pthread_t thread;
	sigset_t before;
	CHILD_CHECK(pipe(gate) == 0);
	pthread_sigmask(SIG_BLOCK, &blocked, &before);
	CHILD_CHECK(pthread_create(&thread, NULL, pass_the_gate, NULL) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return thread;
}

static void earlier_thread(void)
{
	pthread_t thread = start_behind_the_gate();
	enter();
	CHILD_CHECK(write(gate[1], "g", 1) == 1);
	pthread_join(thread, NULL);
}

static void later_thread(void)
{
	enter();
	pthread_t thread = start_behind_the_gate();
	CHILD_CHECK(write(gate[1], "g", 1) == 1);
	pthread_join(thread, NULL);
}

static void other_threads_die_too(void **state)
{
	(void)state;
	struct child child;
	NEEDS_FILTER();
	/* As the GRE thread has it. */
	sigfillset(&blocked);
	sigdelset(&blocked, SIGSYS);
	child_run(&child, earlier_thread);
	check_died(&child);
	check_line(&child, CALL(SYS_execve));
	child_run(&child, later_thread);
	check_died(&child);
	check_line(&child, CALL(SYS_execve));

	sigaddset(&blocked, SIGSYS);
	child_run(&child, later_thread);
	check_died(&child);
	assert_string_equal(child.said, "");
}

static void nobody_reads(void)
{
	int ends[2];
	char octets[4096] = "";
	CHILD_CHECK(pipe2(ends, O_NONBLOCK) == 0);
	while (write(ends[1], octets, sizeof(octets)) > 0)
		;
	CHILD_CHECK(fcntl(ends[1], F_SETFL, 0) == 0);
	dup2(ends[1], STDERR_FILENO);
	enter();
	call_execve();
}

static void whoever_does_not_read_holds_nobody(void **state)
{
	(void)state;
	struct child child;
	NEEDS_FILTER();
	child_run(&child, nobody_reads);
	check_died(&child);
	assert_non_null(strstr(child.reported, "(execve)"));
}

static void nobody_to_report_to(void)
{
	child_report_fd = -1;
	enter();
	call_execve();
}

static void standard_error_alone(void)
{
	child_report_fd = STDERR_FILENO;
	enter();
	call_execve();
}

static void line_is_told_once(void **state)
{
	(void)state;
	char expected[100];
	struct child child;
	NEEDS_FILTER();
	snprintf(expected, sizeof(expected), "forbidden system call %d (execve)\n", SYS_execve);
	child_run(&child, nobody_to_report_to);
	assert_string_equal(child.said, expected);
	child_run(&child, standard_error_alone);
	assert_string_equal(child.said, expected);
}

/* ---- files ---- */

static bool is_kept_out(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EACCES;
}

static void look_around(void)
{
	enter();
	CHILD_CHECK(is_kept_out(path, O_RDONLY));
	CHILD_CHECK(is_kept_out(directory, O_RDONLY | O_DIRECTORY));
	CHILD_CHECK(is_kept_out("/", O_RDONLY | O_DIRECTORY));
	CHILD_CHECK(is_kept_out("/tmp", O_RDONLY | O_DIRECTORY));
	CHILD_CHECK(geteuid() != 0 || is_kept_out("/root", O_RDONLY | O_DIRECTORY));
	CHILD_CHECK(sanitized || is_kept_out("/proc/self/maps", O_RDONLY));
	CHILD_CHECK(sanitized || is_kept_out("/usr/bin/env", O_RDONLY));
	CHILD_CHECK(!is_kept_out("/etc/passwd", O_RDONLY));
}

static void other_files_are_out_of_reach(void **state)
{
	(void)state;
	NEEDS_LANDLOCK(1);
	check_goes_on(look_around);
}

static void *look_around_in_a_thread(void *unused)
{
	CHILD_CHECK(is_kept_out(path, O_RDONLY));
	return unused;
}

static void look_around_later(void)
{
	pthread_t thread;
	enter();
	CHILD_CHECK(pthread_create(&thread, NULL, look_around_in_a_thread, NULL) == 0);
	CHILD_CHECK(pthread_join(thread, NULL) == 0);
}

static void later_threads_are_kept_out_too(void **state)
{
	(void)state;
	NEEDS_LANDLOCK(1);
	check_goes_on(look_around_later);
}

static void read_one_file(void)
{
	const char *const readable[] = {path};
	enter_with(readable, 1);
	CHILD_CHECK(!is_kept_out(path, O_RDONLY));
	CHILD_CHECK(is_kept_out(other_path, O_RDONLY));
}

static void read_a_directory(void)
{
	const char *const readable[] = {directory};
	enter_with(readable, 1);
	CHILD_CHECK(!is_kept_out(path, O_RDONLY) && !is_kept_out(other_path, O_RDONLY));
	CHILD_CHECK(!is_kept_out(directory, O_RDONLY | O_DIRECTORY));
	CHILD_CHECK(is_kept_out("/tmp", O_RDONLY | O_DIRECTORY));
}

static void more_can_be_made_readable(void **state)
{
	(void)state;
	NEEDS_LANDLOCK(1);
	check_goes_on(read_one_file);
	check_goes_on(read_a_directory);
}

static void read_what_is_missing(void)
{
	struct why why = {""};
	const char *const readable[] = {path, "/nonexistent/file"};
	const struct sandbox_config config = {
	    .readable = readable, .readable_count = 2, .report_fd = -1};
	CHILD_CHECK(sandbox_enter(&config, &why) == -1);
	CHILD_CHECK(strcmp(why.text, "sandbox: /nonexistent/file cannot be made readable: "
				     "No such file or directory") == 0);
}

static void missing_path_is_named(void **state)
{
	(void)state;
	NEEDS_LANDLOCK(1);
	check_goes_on(read_what_is_missing);
}

static void expect_new(const char *name)
{
	char text[8] = "";
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	CHILD_CHECK(fd >= 0 && read(fd, text, 3) == 3 && strcmp(text, "new") == 0);
	close(fd);
}

static int go[2], done[2];
static char target[80], newer[80];

/* Whoever replaces them is outside. */
static void replace_when_told(void)
{
	char octet;
	alarm(CHILD_SECONDS);
	close(go[1]);
	CHILD_CHECK(read(go[0], &octet, 1) == 1);
	CHILD_CHECK(put(newer, "new") == 0 && rename(newer, target) == 0);
	CHILD_CHECK(put("/etc/newer", "new") == 0 && rename("/etc/newer", "/etc/hosts") == 0);
	CHILD_CHECK(write(done[1], "d", 1) == 1);
	_exit(0);
}

/* /etc is one of our own, from which links lead elsewhere, as with systemd-resolved. One stays a
 * link, and what it leads to is replaced; the other becomes a file. */
static void replace_behind_a_link(void)
{
	char octet;
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", "/etc", "tmpfs", 0, NULL) != 0)
		_exit(77);
	CHILD_CHECK(put(target, "old") == 0 && symlink(target, "/etc/resolv.conf") == 0);
	CHILD_CHECK(symlink(target, "/etc/hosts") == 0);
	CHILD_CHECK(pipe(go) == 0 && pipe(done) == 0);
	if (fork() == 0)
		replace_when_told();
	close(done[1]);
	enter();
	CHILD_CHECK(write(go[1], "g", 1) == 1 && read(done[0], &octet, 1) == 1);
	expect_new("/etc/resolv.conf");
	expect_new("/etc/hosts");
}

static void replaced_files_are_readable(void **state)
{
	(void)state;
	struct child child;
	CHILD_NEEDS_ROOT();
	NEEDS_LANDLOCK(1);
	snprintf(target, sizeof(target), "%s/resolv.conf", directory);
	snprintf(newer, sizeof(newer), "%s/newer", directory);
	child_run(&child, replace_behind_a_link);
	unlink(target);
	if (WIFEXITED(child.status) && WEXITSTATUS(child.status) == 77)
		CHILD_SKIP("no mount namespace of our own");
	child_assert_good(&child);
}

static void bind_a_port(void)
{
	struct sockaddr_in at = loopback(0);
	socklen_t size = sizeof(at);
	int free_one = stream_socket();
	CHILD_CHECK(bind(free_one, (struct sockaddr *)&at, size) == 0);
	CHILD_CHECK(getsockname(free_one, (struct sockaddr *)&at, &size) == 0);
	close(free_one);
	enter();
	CHILD_CHECK(bind(stream_socket(), (struct sockaddr *)&at, size) == -1 && errno == EACCES);
}

static void ports_are_somebody_elses_to_bind(void **state)
{
	(void)state;
	NEEDS_LANDLOCK(4);
	check_goes_on(bind_a_port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_lacking_is_told),
	    cmocka_unit_test(tcp_goes_on),
	    cmocka_unit_test(other_sockets_go_on),
	    cmocka_unit_test(threads_go_on),
	    cmocka_unit_test(event_loop_goes_on),
	    cmocka_unit_test(files_go_on),
	    cmocka_unit_test(memory_and_clocks_go_on),
	    cmocka_unit_test(it_goes_on_as_another_user),
	    cmocka_unit_test(leaks_are_looked_for),
	    cmocka_unit_test(forbidden_calls_are_told_and_deadly),
	    cmocka_unit_test(other_threads_die_too),
	    cmocka_unit_test(whoever_does_not_read_holds_nobody),
	    cmocka_unit_test(line_is_told_once),
	    cmocka_unit_test(other_files_are_out_of_reach),
	    cmocka_unit_test(later_threads_are_kept_out_too),
	    cmocka_unit_test(more_can_be_made_readable),
	    cmocka_unit_test(missing_path_is_named),
	    cmocka_unit_test(replaced_files_are_readable),
	    cmocka_unit_test(ports_are_somebody_elses_to_bind),
	};
	return cmocka_run_group_tests_name("sandbox", tests, set_up, tear_down) != 0;
}
