/*
 * Workers that die: a process with a whole control_relay is killed at every step that it takes, and
 * the next one goes on, until that is killed, too. Both far ends must get exactly what the other
 * one has said: no message cut, doubled, lost or overtaken, no call ID changed.
 *
 * This process is the far ends, and the keeper. Steps are what tests.mk has --wrap catch: a
 * worker can be killed before and behind each. Other deaths come by a timer, wherever it goes off.
 */
#include "control_relay.h"

#include "host/names.h"
#include "tests/unit/loopback.h"
#include "tests/unit/message.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIENT CALLID_CLIENT
#define SERVER CALLID_SERVER

enum { DEATHS = 3, EXPECTED_MAX = 1 << 21, HELD = 4, BLOCKED = 700, STRAY = 0x4321 };

/* What workers look at; shared with them. */
struct orders {
	_Atomic bool armed;
	_Atomic long steps_left;  /* then the worker dies; negative: never */
	_Atomic long nanoseconds; /* from its first step on, then it dies; 0: never */
	_Atomic long steps;	  /* that workers have taken while armed */
	_Atomic bool asked[HELD]; /* by the worker, at its start, for these descriptors */
};
static struct orders *orders;

/* ---- the worker ---- */

static bool is_worker, impatient; /* impatient: without any time for the handshake */
static int keeper_end;		  /* the worker's end of the pipe to the keeper */
static int kept_fd = -1;
static int held[HELD][2];
static struct pair pair;

enum word { WORD_READY, WORD_KEEP, WORD_RELEASE, WORD_ENDED };
struct said {
	enum word word;
	uint32_t index;
};

static void start_timer(void)
{
	static bool started;
	timer_t timer;
	struct itimerspec after = {.it_value.tv_nsec = orders->nanoseconds};
	if (started || orders->nanoseconds == 0)
		return;
	started = true;
	if (timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0) /* a SIGALRM */
		timer_settime(timer, 0, &after, NULL);
}

static void step(void)
{
	int before = errno;
	if (!is_worker || !orders->armed)
		return;
	orders->steps++;
	start_timer();
	if (orders->steps_left >= 0 && orders->steps_left-- == 0)
		kill(getpid(), SIGKILL);
	errno = before;
}

#define WRAP(type, name, parameters, arguments)                                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		step();                                                                            \
		type result = __real_##name arguments;                                             \
		step();                                                                            \
		return result;                                                                     \
	}
#define WRAP_VOID(name, parameters, arguments)                                                     \
	void __real_##name parameters;                                                             \
	void __wrap_##name parameters;                                                             \
	void __wrap_##name parameters                                                              \
	{                                                                                          \
		step();                                                                            \
		__real_##name arguments;                                                           \
		step();                                                                            \
	}

WRAP(ssize_t, send, (int fd, const void *octets, size_t length, int flags),
     (fd, octets, length, flags))
WRAP(ssize_t, recv, (int fd, void *octets, size_t length, int flags), (fd, octets, length, flags))
WRAP(int, shutdown, (int fd, int how), (fd, how))
WRAP(int, close, (int fd), (fd))
WRAP_VOID(kept_begin, (struct kept * kept), (kept))
WRAP_VOID(kept_save, (struct kept * kept, const void *octets, size_t length),
	  (kept, octets, length))
WRAP_VOID(kept_commit, (struct kept * kept), (kept))
WRAP_VOID(control_leg_take, (struct control_leg * leg, size_t length), (leg, length))
WRAP(int, control_leg_write, (struct control_leg * leg, const uint8_t *octets, size_t length),
     (leg, octets, length))
WRAP_VOID(callid_db_release, (struct callid_db * db, callid_ref call), (db, call))

static void tell_keeper(enum word word, uint32_t index, const int fds[2])
{
	struct said said = {word, index};
	struct iovec iov = {&said, sizeof(said)};
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fds) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, 2 * sizeof(int));
	}
	if (sendmsg(keeper_end, &header, 0) != sizeof(said))
		_exit(4);
}

static int on_keep(void *arg, uint32_t index, const int fds[2])
{
	(void)arg;
	tell_keeper(WORD_KEEP, index, fds);
	return 0;
}

static void on_release(void *arg, uint32_t index)
{
	(void)arg;
	step();
	tell_keeper(WORD_RELEASE, index, NULL);
	step();
}

static bool give_fds(void *arg, uint32_t index, int fds[2])
{
	(void)arg;
	orders->asked[index] = true;
	for (int side = 0; side < 2; side++) {
		fds[side] =
		    held[index][side] >= 0 ? fcntl(held[index][side], F_DUPFD_CLOEXEC, 0) : -1;
	}
	return fds[0] >= 0 && fds[1] >= 0;
}

/* The operator's word, as a client's ID. */
static void on_order(evutil_socket_t fd, short what, void *arg)
{
	uint16_t id;
	struct why told;
	(void)what;
	if (read(fd, &id, sizeof(id)) != sizeof(id))
		_exit(6);
	step();
	control_relay_end_call(arg, 1, id, 0, &told);
	step();
	tell_keeper(WORD_ENDED, 0, NULL);
}

/* As the program's. */
static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static void work(void)
{
	static const struct acl acl;
	struct why why;
	is_worker = true;
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO); /* where the log goes */
	struct event_base *base = make_base();
	struct kept *kept = kept_open(kept_fd, &why);
	struct callid_db *db = kept ? callid_db_new(kept) : NULL;
	if (!db)
		_exit(2);
	struct control_relay_config config = {
	    .base = base,
	    .db = db,
	    .names = names_new(base, &why),
	    .pairs = &pair,
	    .pair_count = 1,
	    .acl = &acl,
	    .connect_timeout_s = 20,
	    .handshake_timeout_s = impatient ? 0 : 20,
	    .keepalive_s = 60,
	    .descriptors = 1000,
	    .keeping = {kept, on_keep, on_release, give_fds, NULL},
	};
	struct control_relay *relay = control_relay_open(&config, &why);
	if (!relay)
		_exit(3);
	event_add(event_new(base, keeper_end, EV_READ | EV_PERSIST, on_order, relay), NULL);
	tell_keeper(WORD_READY, 0, NULL);
	event_base_dispatch(base);
	_exit(5);
}

/* ---- the keeper ---- */

static int keeper_fd, worker_fd = -1; /* its pidfd */
static pid_t worker;
static bool ready;
static unsigned deaths, releases;
static long next_steps, next_nanoseconds;

struct far {
	int fd;
	size_t expected_length, got;
	uint8_t *expected;
	uint8_t *to_say; /* not said yet */
	size_t to_say_length;
	bool ended, reads;
};
static struct far far[2];
static unsigned losses;
static bool hurries;	 /* workers behind the first one are impatient */
static bool may_be_lost; /* the connection, as it is not kept yet */
static int ordered = -1; /* the call that a worker has been told to end, and has not said so */
static int listener = -1;

static void start_worker(void)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	keeper_fd = ends[0];
	keeper_end = ends[1];
	ready = false;
	memset(orders->asked, 0, sizeof(orders->asked));
	orders->steps_left = deaths < DEATHS ? next_steps : -1;
	orders->nanoseconds = deaths < DEATHS ? next_nanoseconds : 0;
	worker = fork();
	assert_true(worker >= 0);
	if (worker == 0) {
		close(keeper_fd);
		for (int side = 0; side < 2; side++) {
			if (far[side].fd >= 0)
				close(far[side].fd);
		}
		close(listener);
		impatient = hurries && deaths > 0;
		work();
	}
	close(keeper_end);
	worker_fd = (int)syscall(SYS_pidfd_open, worker, 0);
	assert_true(worker_fd >= 0);
}

static void drop_held(uint32_t index)
{
	for (int side = 0; side < 2; side++) {
		if (held[index][side] >= 0)
			close(held[index][side]);
		held[index][side] = -1;
	}
}

/* Of connections that had ended; the word of it was never said. */
static void drop_unasked(void)
{
	for (uint32_t index = 0; index < HELD; index++) {
		if (held[index][0] < 0 || orders->asked[index])
			continue;
		drop_held(index);
		releases++;
	}
}

static void pass_order(void)
{
	uint16_t id = (uint16_t)ordered;
	/* One that has just died is noticed later. */
	if (ordered >= 0 && ready)
		send(keeper_fd, &id, sizeof(id), MSG_NOSIGNAL);
}

/* False: nothing more is there. */
static bool hear_worker(void)
{
	struct said said;
	struct iovec iov = {&said, sizeof(said)};
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(2 * sizeof(int))];
	struct msghdr header = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control),
	};
	if (recvmsg(keeper_fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(said))
		return false;
	assert_in_range(said.index, 0, HELD - 1);
	switch (said.word) {
	case WORD_READY:
		ready = true;
		drop_unasked();
		pass_order();
		break;
	case WORD_KEEP:
		drop_held(said.index);
		memcpy(held[said.index], CMSG_DATA(CMSG_FIRSTHDR(&header)), 2 * sizeof(int));
		break;
	case WORD_RELEASE:
		drop_held(said.index);
		releases++;
		break;
	case WORD_ENDED:
		ordered = -1;
		break;
	}
	return true;
}

static void bury_worker(void)
{
	int status;
	assert_int_equal(waitpid(worker, &status, 0), worker);
	if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGALRM))
		fail_msg("the worker ended by itself, status %#x, after %ld steps", status,
			 next_steps);
	while (hear_worker())
		;
	close(keeper_fd);
	close(worker_fd);
	worker_fd = -1;
}

/* ---- the far ends ---- */

static void hear_far(int side)
{
	static uint8_t octets[65536];
	ssize_t got = recv(far[side].fd, octets, sizeof(octets), MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		if (got < 0 && !may_be_lost)
			fail_msg("%s: %s, after %ld steps",
				 callid_side_name((enum callid_side)side), strerror(errno),
				 next_steps);
		far[side].ended = true;
		return;
	}
	size_t at = far[side].got;
	if (at + (size_t)got > far[side].expected_length)
		fail_msg("%s got %zd octets too many, behind %zu; after %ld steps, %u deaths",
			 callid_side_name((enum callid_side)side),
			 (ssize_t)(at + (size_t)got - far[side].expected_length),
			 far[side].expected_length, next_steps, deaths);
	if (memcmp(octets, far[side].expected + at, (size_t)got) != 0)
		fail_msg("%s got other octets, behind %zu; after %ld steps, %u deaths",
			 callid_side_name((enum callid_side)side), at, next_steps, deaths);
	far[side].got += (size_t)got;
}

static void say_rest(int side)
{
	struct far *mine = &far[side];
	ssize_t sent =
	    send(mine->fd, mine->to_say, mine->to_say_length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent <= 0)
		return;
	mine->to_say_length -= (size_t)sent;
	memmove(mine->to_say, mine->to_say + sent, mine->to_say_length);
}

static void turn(void)
{
	struct pollfd fds[4] = {{keeper_fd, POLLIN, 0}, {worker_fd, POLLIN, 0}};
	for (int side = 0; side < 2; side++) {
		const struct far *mine = &far[side];
		bool reads = mine->reads && !mine->ended;
		fds[2 + side] = (struct pollfd){mine->fd, 0, 0};
		if (reads)
			fds[2 + side].events |= POLLIN;
		if (mine->to_say_length > 0)
			fds[2 + side].events |= POLLOUT;
		if (fds[2 + side].events == 0)
			fds[2 + side].fd = -1;
	}
	if (poll(fds, 4, LOOPBACK_DEADLINE_MS) == 0)
		fail_msg("nothing happens, after %ld steps, %u deaths; client %zu of %zu, server "
			 "%zu of %zu",
			 next_steps, deaths, far[0].got, far[0].expected_length, far[1].got,
			 far[1].expected_length);
	for (int side = 0; side < 2; side++) {
		if (fds[2 + side].revents & POLLOUT)
			say_rest(side);
		if (fds[2 + side].revents & (POLLIN | POLLHUP | POLLERR) && far[side].reads)
			hear_far(side);
	}
	if (fds[1].revents) {
		bury_worker();
		deaths++;
		start_worker();
	} else if (fds[0].revents) {
		hear_worker();
	}
}

static bool lost(void)
{
	return may_be_lost && (far[CLIENT].ended || far[SERVER].ended);
}

#define UNTIL(condition)                                                                           \
	while (!(condition) && !lost())                                                            \
	turn()

static bool all_heard(int side)
{
	return far[side].got == far[side].expected_length;
}

/* passes: the other end is to get it as it is. */
static void say_octets(int side, const uint8_t *octets, size_t length, bool passes)
{
	struct far *mine = &far[side], *other = &far[!side];
	memcpy(mine->to_say + mine->to_say_length, octets, length);
	mine->to_say_length += length;
	assert_true(other->expected_length + length <= EXPECTED_MAX);
	if (passes) {
		memcpy(other->expected + other->expected_length, octets, length);
		other->expected_length += length;
	}
}

static void say(int side, uint16_t type, uint16_t at12, uint16_t at14)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	size_t length = message_make_of_call(message, type, at12, at14);
	say_octets(side, message, length, true);
}

static void say_in_vain(int side, uint16_t type, uint16_t at12)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	size_t length = message_make_of_call(message, type, at12, 0);
	say_octets(side, message, length, false);
}

/* Each another one. */
static size_t make_echo(uint8_t *message)
{
	static uint32_t number;
	size_t length = message_make(message, PPTP_ECHO_REQUEST);
	number++;
	memcpy(message + 12, &number, sizeof(number));
	return length;
}

static void say_echo(int side)
{
	uint8_t message[32];
	say_octets(side, message, make_echo(message), true);
}

/* ---- a run ---- */

static int set_up(void **state)
{
	(void)state;
	orders =
	    mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int side = 0; side < 2; side++) {
		far[side].expected = malloc(EXPECTED_MAX);
		far[side].to_say = malloc(EXPECTED_MAX);
	}
	return orders == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (worker_fd >= 0) { /* the case failed */
		kill(worker, SIGKILL);
		waitpid(worker, NULL, 0);
		worker_fd = -1;
	}
	for (int side = 0; side < 2; side++) {
		free(far[side].expected);
		free(far[side].to_say);
	}
	munmap(orders, sizeof(*orders));
	loopback_close_all();
	return 0;
}

static void reset_far(int side)
{
	struct far *mine = &far[side];
	*mine = (struct far){
	    .fd = -1, .expected = mine->expected, .to_say = mine->to_say, .reads = true};
}

static void connect_both(void)
{
	far[CLIENT].fd = loopback_connect(1, 3, pair.listen.port);
	say(CLIENT, PPTP_START_REQUEST, 0, 0);
	say_rest(CLIENT);
	far[SERVER].fd = loopback_accept(listener);
	UNTIL(all_heard(SERVER));
	say(SERVER, PPTP_START_REPLY, 0, 0);
	UNTIL(all_heard(CLIENT));
}

static void call(uint16_t client_id, uint16_t server_id)
{
	say(CLIENT, PPTP_OUTGOING_CALL_REQUEST, client_id, 0);
	UNTIL(all_heard(SERVER));
	say(SERVER, PPTP_OUTGOING_CALL_REPLY, server_id, client_id);
	UNTIL(all_heard(CLIENT));
}

static void start_first_worker(void)
{
	char text[64];
	struct why why;

	memset(held, 0xFF, sizeof(held));
	orders->armed = false;
	orders->steps = 0;
	deaths = releases = 0;
	ordered = -1;
	reset_far(CLIENT);
	reset_far(SERVER);
	kept_fd = kept_create(&why);
	listener = loopback_listen(2, 0);
	snprintf(text, sizeof(text), "127.0.0.3:%u,127.0.0.2:%u", loopback_free_port(),
		 loopback_port(listener));
	assert_int_equal(pair_parse(text, &pair, &why), 0);
	start_worker();
	UNTIL(ready);
}

static void begin_connection(void)
{
	start_first_worker();
	connect_both();
}

/* A worker with a connection that has a call, and so is kept. */
static void begin(void)
{
	begin_connection();
	call(7, 9);
	orders->armed = true;
}

static void end_worker(struct callid_totals *totals)
{
	struct why why;
	kill(worker, SIGKILL);
	bury_worker();
	struct kept *kept = kept_open(kept_fd, &why);
	struct callid_db *db = callid_db_new(kept);
	callid_db_totals(db, totals);
	callid_db_free(db);
	kept_close(kept);
	close(kept_fd);
	for (uint32_t i = 0; i < HELD; i++)
		drop_held(i);
	loopback_close_all();
}

/* Both ends go, and all is let go of. */
static void end(size_t ended_ways)
{
	struct callid_totals totals;

	assert_int_equal(shutdown(far[CLIENT].fd, SHUT_WR), 0);
	UNTIL(far[SERVER].ended);
	assert_int_equal(shutdown(far[SERVER].fd, SHUT_WR), 0);
	UNTIL(far[CLIENT].ended && releases > 0);
	/* Whoever dies behind the release has nothing left to go on with. */
	assert_true(all_heard(CLIENT) && all_heard(SERVER));
	end_worker(&totals);
	assert_int_equal(totals.calls, 0);
	assert_int_equal(totals.closing, ended_ways);
}

/* All kinds of messages, both ways, joined and cut. */
static void talk(void)
{
	uint8_t echo[32];

	begin();
	size_t length = make_echo(echo);
	say_echo(CLIENT);
	say(CLIENT, PPTP_OUTGOING_CALL_REQUEST, 8, 0);
	say(CLIENT, PPTP_SET_LINK_INFO, 9, 0);
	say_in_vain(CLIENT, PPTP_CALL_CLEAR_REQUEST, 77);
	say_octets(CLIENT, echo, 5, true);
	far[SERVER].expected_length -= 5; /* it comes whole */
	say_echo(SERVER);
	say(SERVER, PPTP_WAN_ERROR_NOTIFY, 7, 0);
	UNTIL(all_heard(SERVER) && all_heard(CLIENT));
	say(SERVER, PPTP_OUTGOING_CALL_REPLY, 20, 8);
	say_echo(SERVER);
	far[SERVER].expected_length += 5;
	say_octets(CLIENT, echo + 5, length - 5, true);
	say_echo(CLIENT);
	UNTIL(all_heard(SERVER) && all_heard(CLIENT));
	/* The same ID again: the first call is dead, and its ID rests. */
	say(SERVER, PPTP_CALL_DISCONNECT_NOTIFY, 9, 0);
	say(CLIENT, PPTP_CALL_CLEAR_REQUEST, 8, 0);
	say_echo(CLIENT);
	UNTIL(all_heard(SERVER) && all_heard(CLIENT));
	say(SERVER, PPTP_CALL_DISCONNECT_NOTIFY, 20, 0);
	say_in_vain(SERVER, PPTP_CALL_DISCONNECT_NOTIFY, 20);
	say_echo(SERVER);
	say(CLIENT, PPTP_INCOMING_CALL_REQUEST, 30, 0);
	UNTIL(all_heard(SERVER) && all_heard(CLIENT));
	say(SERVER, PPTP_INCOMING_CALL_REPLY, 31, 30);
	UNTIL(all_heard(CLIENT));
	say(CLIENT, PPTP_INCOMING_CALL_CONNECTED, 31, 0);
	UNTIL(all_heard(SERVER));
	end(6);
}

static void hear_from_us(int side, const uint8_t *octets, size_t length)
{
	struct far *mine = &far[side];
	memcpy(mine->expected + mine->expected_length, octets, length);
	mine->expected_length += length;
}

/* One of two calls is ended by an operator: each end is told once. The server's answer names
 * nothing; whoever had forgotten that it was asked for would take it for the other call's end. */
static void talk_of_our_end(void)
{
	uint8_t octets[PPTP_ANSWER_MAX];

	begin();
	orders->armed = false;
	call(8, 20);
	orders->armed = true;
	hear_from_us(CLIENT, octets, pptp_wire_make_call_disconnect(octets, 20));
	hear_from_us(SERVER, octets, pptp_wire_make_call_clear(octets, 8));
	ordered = 8;
	pass_order();
	UNTIL(all_heard(SERVER) && all_heard(CLIENT) && ordered < 0);
	say_in_vain(SERVER, PPTP_CALL_DISCONNECT_NOTIFY, STRAY);
	say_in_vain(CLIENT, PPTP_CALL_CLEAR_REQUEST, 8);
	say_echo(SERVER);
	say_echo(CLIENT);
	say(CLIENT, PPTP_SET_LINK_INFO, 9, 0);
	UNTIL(all_heard(SERVER) && all_heard(CLIENT));
	end(4);
}

/* More than all buffers hold waits for an end that does not read; then it reads. */
static void talk_blocked(void)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	uint32_t number;

	begin();
	orders->armed = false;
	far[SERVER].reads = false;
	for (number = 0; number < BLOCKED; number++) {
		size_t length = message_make(message, PPTP_ECHO_REQUEST);
		memset(message, (int)number, sizeof(message));
		message_make(message, PPTP_ECHO_REQUEST);
		memset(message + length, (int)number, sizeof(message) - length);
		message[0] = PPTP_MESSAGE_MAX >> 8;
		message[1] = 0;
		message[9] = 99; /* unknown types pass as they are */
		memcpy(message + 12, &number, sizeof(number));
		say_octets(CLIENT, message, sizeof(message), true);
	}
	/* Its legs' buffers are full when ours is, and nothing moves any more. */
	for (size_t before = 0; before != far[CLIENT].to_say_length;) {
		before = far[CLIENT].to_say_length;
		struct pollfd can = {far[CLIENT].fd, POLLOUT, 0};
		if (before > 0 && poll(&can, 1, 200) == 1)
			say_rest(CLIENT);
	}
	orders->armed = true;
	far[SERVER].reads = true;
	say_echo(SERVER);
	UNTIL(all_heard(SERVER) && all_heard(CLIENT));
	end(2);
}

/* The first call of a connection. It may be lost, but only as a whole: both ends hear of it, having
 * got nothing wrong, and no call is left. */
static void become_kept(void)
{
	struct callid_totals totals;

	begin_connection();
	orders->armed = may_be_lost = true;
	call(7, 9);
	if (!lost()) {
		may_be_lost = false;
		end(2);
		return;
	}
	while (!(ready && far[CLIENT].ended && far[SERVER].ended))
		turn();
	may_be_lost = false;
	end_worker(&totals);
	assert_int_equal(totals.calls, 0);
	losses++;
}

/* A client that does not wait for the server's Start-Control-Connection-Reply. That lies in the
 * socket before the worker may die; whoever has handled it must not wait for another one. */
static void call_early(void)
{
	int status;

	start_first_worker();
	far[CLIENT].fd = loopback_connect(1, 3, pair.listen.port);
	say(CLIENT, PPTP_START_REQUEST, 0, 0);
	say(CLIENT, PPTP_OUTGOING_CALL_REQUEST, 7, 0);
	say_rest(CLIENT);
	far[SERVER].fd = loopback_accept(listener);
	UNTIL(all_heard(SERVER));
	kill(worker, SIGSTOP);
	assert_int_equal(waitpid(worker, &status, WUNTRACED), worker);
	say(SERVER, PPTP_START_REPLY, 0, 0);
	say_rest(SERVER);
	orders->armed = true;
	kill(worker, SIGCONT);
	UNTIL(all_heard(CLIENT));
	say(SERVER, PPTP_OUTGOING_CALL_REPLY, 9, 7);
	UNTIL(all_heard(CLIENT));
	say_echo(CLIENT);
	say_echo(SERVER);
	UNTIL(all_heard(SERVER) && all_heard(CLIENT));
	end(2);
}

/* ---- cases ---- */

static long steps_of(void run(void))
{
	next_steps = -1;
	next_nanoseconds = 0;
	run();
	assert_int_equal(deaths, 0);
	return orders->steps;
}

static void death_at_every_step(void **state)
{
	(void)state;
	long steps = steps_of(talk);
	assert_true(steps > 200);
	long survived = 0; /* as octets come joined in other ways, one run has fewer steps */
	for (long i = 0; i < steps; i++) {
		next_steps = i;
		talk();
		survived += deaths == 0;
	}
	assert_in_range(survived, 0, steps / 5);
}

/* Too many steps for each of them: a few hundred, spread, and others in each run. */
static void death_while_an_end_does_not_read(void **state)
{
	(void)state;
	long steps = steps_of(talk_blocked) * 4 / 5;
	for (int i = 0; i < 12; i++) {
		next_steps = random() % steps;
		talk_blocked();
		assert_true(deaths > 0);
	}
}

static void death_while_we_end_a_call(void **state)
{
	(void)state;
	long steps = steps_of(talk_of_our_end);
	assert_true(steps > 50);
	for (long i = 0; i < steps; i++) {
		next_steps = i;
		talk_of_our_end();
	}
}

static void death_while_a_connection_becomes_kept(void **state)
{
	(void)state;
	long steps = steps_of(become_kept);
	losses = 0;
	for (long i = 0; i < steps; i++) {
		next_steps = i;
		become_kept();
	}
	/* Before it is kept there are few steps. */
	assert_in_range(losses, 1, steps / 3);
}

static void death_behind_the_handshake_that_a_call_came_before(void **state)
{
	(void)state;
	hurries = true;
	long steps = steps_of(call_early);
	for (long i = 0; i < steps; i++) {
		next_steps = i;
		call_early();
	}
	hurries = false;
}

static void death_at_any_time(void **state)
{
	(void)state;
	unsigned all = 0;
	next_steps = -1;
	for (int i = 0; i < 150; i++) {
		next_nanoseconds = 1 + random() % 1500000;
		talk();
		all += deaths;
	}
	assert_true(all > 30);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(death_at_every_step),
	    CASE(death_while_an_end_does_not_read),
	    CASE(death_while_we_end_a_call),
	    CASE(death_while_a_connection_becomes_kept),
	    CASE(death_behind_the_handshake_that_a_call_came_before),
	    CASE(death_at_any_time),
	};
	unsigned seed = (unsigned)getpid();
	print_message("# seed %u\n", seed);
	srandom(seed);
	return cmocka_run_group_tests_name("control_kept", tests, NULL, NULL) != 0;
}
