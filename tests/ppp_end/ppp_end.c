/* ppp_end: the PPP end that the tests put behind pptp and pptpd where the kernel has no PPP.
 *
 * Speaks HDLC-framed PPP on standard input and output (a terminal or pty, made raw, or a socket)
 * and moves IP packets between it and a TUN device. LCP and IPCP without authentication; either
 * side of a call. pptpd starts it with pppd's words ("115200 10.8.0.1:10.9.0.1 ipparam ..."), of
 * which it takes the addresses and passes over the rest.
 *
 * It lives from the first Configure-Request until either end closes the link, or the line hangs
 * up. Its log has a line "up device=... local=... remote=..." and a last one "end reason=...".
 * Exit status: 0 closed in order, 1 could not work, 3 line hung up, 4 negotiation or echo failed.
 */
#include "hdlc.h"
#include "ppp.h"
#include "tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_READ = 65536,
	OUT_SIZE = 65536,
	OUT_ENOUGH = 16384, /* of unsent octets: no more is read from the device */
	FLUSH_MS = 500,	    /* for the last words of a link */
	EXIT_FAULT = 1,
	EXIT_HANGUP = 3,
	EXIT_LINK = 4,
};

_Static_assert((int)OUT_ENOUGH + (int)HDLC_ENCODED_MAX < (int)OUT_SIZE, "room for one more frame");

struct end {
	struct ppp ppp;
	struct hdlc_in in;
	struct hdlc_counts sent;
	uint64_t
	    dropped; /* frames that found no room on the line, packets that the device refused */
	uint8_t out[OUT_SIZE];
	size_t out_start, out_len;
	char device[IFNAMSIZ];
	int tun_fd, signal_fd, log_fd;
	int64_t began;
};

static struct end end = {.tun_fd = -1, .signal_fd = -1, .log_fd = STDERR_FILENO};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[400];
	int at = snprintf(line, sizeof(line), "ppp_end[%d] ", (int)getpid());
	va_list args;

	va_start(args, format);
	at += vsnprintf(line + at, sizeof(line) - (size_t)at - 1, format, args);
	va_end(args);
	if (at > (int)sizeof(line) - 2)
		at = (int)sizeof(line) - 2;
	line[at++] = '\n';
	/* One write a line: several of us may share the file. A full pipe loses the line. */
	if (write(end.log_fd, line, (size_t)at) < 0)
		return;
}

__attribute__((noreturn)) static void give_up(const char *what)
{
	say("cannot %s: %s", what, strerror(errno));
	exit(EXIT_FAULT);
}

static void address_text(char text[INET_ADDRSTRLEN], uint32_t address)
{
	struct in_addr in = {htonl(address)};

	inet_ntop(AF_INET, &in, text, INET_ADDRSTRLEN);
}

/* The line */

static void line_flush(void)
{
	while (end.out_len > 0) {
		ssize_t n = write(STDOUT_FILENO, end.out + end.out_start, end.out_len);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR && end.ppp.end_reason == NULL)
				end.ppp.end_reason = "hangup";
			return;
		}
		end.out_start += (size_t)n;
		end.out_len -= (size_t)n;
	}
	end.out_start = 0;
}

static void line_send(struct ppp *ppp, uint16_t protocol, const uint8_t *payload, size_t len)
{
	uint8_t frame[4 + PPP_PAYLOAD_MAX] = {0xff, 0x03, (uint8_t)(protocol >> 8),
					      (uint8_t)protocol};
	/* LCP must get through before the maps are agreed upon, and after. */
	uint32_t accm = protocol == PPP_LCP ? 0xffffffff : ppp->send_accm;

	if (end.out_start + end.out_len + HDLC_ENCODED_MAX > OUT_SIZE) {
		memmove(end.out, end.out + end.out_start, end.out_len);
		end.out_start = 0;
	}
	if (end.out_len + HDLC_ENCODED_MAX > OUT_SIZE) {
		end.dropped++;
		return;
	}
	memcpy(frame + 4, payload, len);
	end.out_len += hdlc_encode(end.out + end.out_start + end.out_len, frame, 4 + len, accm);
	end.sent.frames++;
	end.sent.octets += 4 + len;
}

static void line_frame(void *user, const uint8_t *frame, size_t len)
{
	(void)user;
	ppp_input(&end.ppp, frame, len, now_ms());
}

static void line_read(void)
{
	static uint8_t data[LINE_READ];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data));

	if (n > 0)
		hdlc_feed(&end.in, data, (size_t)n, line_frame, NULL);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		end.ppp.end_reason = end.ppp.end_reason ? end.ppp.end_reason : "hangup";
}

static void line_open(int fd)
{
	struct termios mode;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		give_up("use standard input and output");
	if (!isatty(fd))
		return;
	if (tcgetattr(fd, &mode) < 0)
		give_up("read the terminal's mode");
	cfmakeraw(&mode);
	mode.c_cflag |= CLOCAL | CREAD;
	if (tcsetattr(fd, TCSANOW, &mode) < 0)
		give_up("make the terminal raw");
}

/* The device */

static void device_send(struct ppp *ppp, const uint8_t *packet, size_t len)
{
	(void)ppp;
	if (write(end.tun_fd, packet, len) < 0)
		end.dropped++;
}

static void device_read(void)
{
	uint8_t packet[PPP_PAYLOAD_MAX];

	while (end.out_len < OUT_ENOUGH) {
		ssize_t n = read(end.tun_fd, packet, sizeof(packet));

		if (n <= 0)
			return;
		line_send(&end.ppp, PPP_IP, packet, (size_t)n);
	}
}

static void device_up(struct ppp *ppp)
{
	char local[INET_ADDRSTRLEN], remote[INET_ADDRSTRLEN];
	int mtu = ppp->mtu < ppp->peer_mru ? ppp->mtu : ppp->peer_mru;

	if (tun_up(end.device, ppp->local, ppp->remote, mtu) < 0)
		give_up("set up the device");
	address_text(local, ppp->local);
	address_text(remote, ppp->remote);
	say("up device=%s local=%s remote=%s mtu=%d after=%lldms", end.device, local, remote, mtu,
	    (long long)(now_ms() - end.began));
}

static void device_down(struct ppp *ppp)
{
	(void)ppp;
	tun_down(end.device);
	say("down device=%s", end.device);
}

/* Words */

static const char usage[] =
    "usage: ppp_end [options] [words as for pppd]\n"
    "  --local ADDRESS, --remote ADDRESS  default: as the peer says; pppd's LOCAL:REMOTE too\n"
    "  --tun NAME          default: ppp0, ppp1 ...\n"
    "  --mtu N             128 to 1500, default 1400\n"
    "  --restart MS        between two Configure-Requests, default 3000\n"
    "  --tries N           of them, default 10\n"
    "  --echo-interval MS  send LCP echo requests, default 0: none\n"
    "  --echo-failures N   unanswered ones that end the link, default 3\n"
    "  --log FILE          appended to, default standard error\n";

__attribute__((noreturn)) static void bad_word(const char *word)
{
	fprintf(stderr, "ppp_end: bad value: %s\n%s", word, usage);
	exit(EXIT_FAULT);
}

static int number(const char *word, int low, int high)
{
	char *rest;
	long value = strtol(word, &rest, 10);

	if (*word == '\0' || *rest != '\0' || value < low || value > high)
		bad_word(word);
	return (int)value;
}

static uint32_t address(const char *word)
{
	struct in_addr in;

	if (inet_pton(AF_INET, word, &in) != 1)
		bad_word(word);
	return ntohl(in.s_addr);
}

static void log_open(const char *file)
{
	/* Non-blocking: the file may be a pipe that nobody reads any more. */
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);

	if (fd < 0) {
		fprintf(stderr, "ppp_end: %s: %s\n", file, strerror(errno));
		exit(EXIT_FAULT);
	}
	end.log_fd = fd;
}

/* pppd's words: of all that pptpd passes, only LOCAL:REMOTE concerns us. */
static void pppd_word(char *word)
{
	char *colon = strchr(word, ':');
	struct in_addr in;

	if (colon == NULL)
		return;
	*colon = '\0';
	if (inet_pton(AF_INET, word, &in) == 1)
		end.ppp.want_local = ntohl(in.s_addr);
	if (inet_pton(AF_INET, colon + 1, &in) == 1)
		end.ppp.want_remote = ntohl(in.s_addr);
}

static void read_words(int argc, char **argv)
{
	enum { LOCAL = 1, REMOTE, TUN, MTU, RESTART, TRIES, ECHO_INTERVAL, ECHO_FAILURES, LOG };
	static const struct option options[] = {
	    {"local", required_argument, NULL, LOCAL},
	    {"remote", required_argument, NULL, REMOTE},
	    {"tun", required_argument, NULL, TUN},
	    {"mtu", required_argument, NULL, MTU},
	    {"restart", required_argument, NULL, RESTART},
	    {"tries", required_argument, NULL, TRIES},
	    {"echo-interval", required_argument, NULL, ECHO_INTERVAL},
	    {"echo-failures", required_argument, NULL, ECHO_FAILURES},
	    {"log", required_argument, NULL, LOG},
	    {0},
	};
	struct ppp *ppp = &end.ppp;
	int which;

	while ((which = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (which == LOCAL)
			ppp->want_local = address(optarg);
		else if (which == REMOTE)
			ppp->want_remote = address(optarg);
		else if (which == TUN && strlen(optarg) < IFNAMSIZ)
			strcpy(end.device, optarg);
		else if (which == MTU)
			ppp->mtu = (uint16_t)number(optarg, 128, PPP_MRU_DEFAULT);
		else if (which == RESTART)
			ppp->restart_ms = number(optarg, 10, 60000);
		else if (which == TRIES)
			ppp->tries = number(optarg, 1, 10000);
		else if (which == ECHO_INTERVAL)
			ppp->echo_interval_ms = number(optarg, 0, 600000);
		else if (which == ECHO_FAILURES)
			ppp->echo_failures = number(optarg, 1, 1000);
		else if (which == LOG)
			log_open(optarg);
		else
			bad_word(which == '?' ? argv[optind - 1] : optarg);
	}
	for (; optind < argc; optind++)
		pppd_word(argv[optind]);
}

/* Life */

static void signals_open(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	end.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (end.signal_fd < 0)
		give_up("wait for signals");
}

static void signal_read(void)
{
	struct signalfd_siginfo info;

	if (read(end.signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP || end.ppp.lcp.state == CP_CLOSING)
		end.ppp.end_reason = end.ppp.end_reason ? end.ppp.end_reason : "hangup";
	else
		ppp_stop(&end.ppp, now_ms());
}

static void run(void)
{
	while (end.ppp.end_reason == NULL) {
		int wait = ppp_tick(&end.ppp, now_ms());
		bool thirsty = end.ppp.network && end.out_len < OUT_ENOUGH;

		line_flush();

		struct pollfd fds[] = {
		    {.fd = STDIN_FILENO, .events = POLLIN},
		    {.fd = end.out_len > 0 ? STDOUT_FILENO : -1, .events = POLLOUT},
		    {.fd = thirsty ? end.tun_fd : -1, .events = POLLIN},
		    {.fd = end.signal_fd, .events = POLLIN},
		};

		if (end.ppp.end_reason != NULL)
			break;
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), wait) < 0 && errno != EINTR)
			give_up("poll");
		if (fds[3].revents)
			signal_read();
		if (fds[0].revents)
			line_read();
		if (fds[2].revents && end.ppp.network)
			device_read();
	}
}

/* The Terminate-Ack is still on its way when all else is over. */
static void last_words(void)
{
	int64_t until = now_ms() + FLUSH_MS;

	line_flush();
	while (end.out_len > 0 && strcmp(end.ppp.end_reason, "hangup") != 0) {
		struct pollfd line = {.fd = STDOUT_FILENO, .events = POLLOUT};
		int64_t left = until - now_ms();

		if (left <= 0 || poll(&line, 1, (int)left) <= 0 || !(line.revents & POLLOUT))
			return;
		line_flush();
	}
}

int main(int argc, char **argv)
{
	const char *reason;

	end.ppp = (struct ppp){
	    .mtu = 1400,
	    .restart_ms = 3000,
	    .tries = 10,
	    .echo_failures = 3,
	    .send = line_send,
	    .receive = device_send,
	    .up = device_up,
	    .down = device_down,
	};
	strcpy(end.device, "ppp%d");
	read_words(argc, argv);
	end.began = now_ms();
	hdlc_init();
	signals_open();
	line_open(STDIN_FILENO);
	line_open(STDOUT_FILENO);
	end.tun_fd = tun_open(end.device);
	if (end.tun_fd < 0)
		give_up("make a TUN device");

	ppp_start(&end.ppp, end.began);
	run();
	last_words();
	reason = end.ppp.end_reason;
	say("end reason=%s in=%llu/%llu bad=%llu out=%llu/%llu dropped=%llu after=%lldms", reason,
	    (unsigned long long)end.in.counts.frames, (unsigned long long)end.in.counts.octets,
	    (unsigned long long)end.in.counts.bad, (unsigned long long)end.sent.frames,
	    (unsigned long long)end.sent.octets, (unsigned long long)end.dropped,
	    (long long)(now_ms() - end.began));
	if (strcmp(reason, "closed") == 0 || strcmp(reason, "peer-closed") == 0)
		return 0;
	return strcmp(reason, "hangup") == 0 ? EXIT_HANGUP : EXIT_LINK;
}
