/* A TUN device of this process, set up by the old ioctls, which need no library. */
#include "tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int tun_open(char name[IFNAMSIZ])
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	memcpy(request.ifr_name, name, IFNAMSIZ);
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	memcpy(name, request.ifr_name, IFNAMSIZ);
	return fd;
}

static int ask(const char *name, unsigned long what, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result, saved;

	if (fd < 0)
		return -1;
	memcpy(request->ifr_name, name, IFNAMSIZ);
	result = ioctl(fd, what, request);
	saved = errno;
	close(fd);
	errno = saved;
	return result;
}

static int set_address(const char *name, unsigned long what, uint32_t address)
{
	struct ifreq request = {0};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};

	memcpy(&request.ifr_addr, &in, sizeof(in));
	return ask(name, what, &request);
}

static int set_up(const char *name, int up)
{
	struct ifreq request = {0};

	if (ask(name, SIOCGIFFLAGS, &request) < 0)
		return -1;
	request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
	return ask(name, SIOCSIFFLAGS, &request);
}

int tun_up(const char *name, uint32_t local, uint32_t remote, int mtu)
{
	struct ifreq request = {.ifr_mtu = mtu};

	if (ask(name, SIOCSIFMTU, &request) < 0 || set_address(name, SIOCSIFADDR, local) < 0 ||
	    set_address(name, SIOCSIFDSTADDR, remote) < 0 ||
	    set_address(name, SIOCSIFNETMASK, INADDR_NONE) < 0)
		return -1;
	return set_up(name, 1);
}

int tun_down(const char *name)
{
	return set_up(name, 0);
}
