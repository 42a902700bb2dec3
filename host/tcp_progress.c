/*
 * Linux tells octets acknowledged and octets received (RFC 4898), and what lies in the two queues.
 * The first and the last do not come in one answer, so they are asked for until nothing has come in
 * between. A FIN counts as an octet where it does at all: not in the receive queue.
 */
#include "host/tcp_progress.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* As tcpi_state has them. */
enum state {
	FIN_WAIT1 = 4,
	FIN_WAIT2 = 5,
	TIME_WAIT = 6,
	CLOSED = 7,
	CLOSE_WAIT = 8,
	LAST_ACK = 9,
	CLOSING = 11,
};

static bool is_one_of(unsigned state, unsigned states)
{
	return states >> state & 1;
}

static bool fin_received(unsigned state)
{
	return is_one_of(state, 1 << CLOSE_WAIT | 1 << LAST_ACK | 1 << CLOSING | 1 << TIME_WAIT);
}

static bool fin_sent(unsigned state)
{
	return is_one_of(state, 1 << FIN_WAIT1 | 1 << FIN_WAIT2 | 1 << LAST_ACK | 1 << CLOSING |
				    1 << TIME_WAIT);
}

static int ask(int fd, struct tcp_info *info)
{
	socklen_t length = sizeof(*info);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &length) != 0)
		return -1;
	if (length >= offsetof(struct tcp_info, tcpi_segs_out)) /* before Linux 4.2 */
		return 0;
	errno = EOPNOTSUPP;
	return -1;
}

static bool same(const struct tcp_info *a, const struct tcp_info *b)
{
	return a->tcpi_bytes_acked == b->tcpi_bytes_acked &&
	       a->tcpi_bytes_received == b->tcpi_bytes_received && a->tcpi_state == b->tcpi_state;
}

int tcp_progress_get(int fd, struct tcp_progress *progress)
{
	struct tcp_info before, info;
	int waiting_out, waiting_in;

	if (ask(fd, &info) != 0)
		return -1;
	do {
		before = info;
		if (ioctl(fd, SIOCOUTQ, &waiting_out) != 0 ||
		    ioctl(fd, SIOCINQ, &waiting_in) != 0 || ask(fd, &info) != 0)
			return -1;
	} while (!same(&before, &info));
	*progress = (struct tcp_progress){
	    .sent = info.tcpi_bytes_acked + (unsigned)waiting_out - fin_sent(info.tcpi_state),
	    .taken =
		info.tcpi_bytes_received - (unsigned)waiting_in - fin_received(info.tcpi_state),
	    .over = info.tcpi_state == CLOSED,
	    .shut = fin_sent(info.tcpi_state),
	};
	return 0;
}
