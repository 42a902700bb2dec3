/*
 * What a simple program would do: one raw socket, one packet a system call. It chooses no source
 * address, carries no DSCP, counts nothing, and knows its calls from a file (see source.c).
 *
 *   naive_relay ROWS
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS_MAX = 16, IDS = 65536 };

struct way {
	in_addr_t to;
	uint16_t call_id_be;
	bool known;
};

struct peer {
	in_addr_t address;
	struct way *ways; /* by the call ID in packets from this peer */
};

static struct peer peers[PEERS_MAX];
static size_t peer_count;

static struct peer *find_peer(in_addr_t address)
{
	for (size_t i = 0; i < peer_count; i++) {
		if (peers[i].address == address)
			return &peers[i];
	}
	return NULL;
}

static void add_way(const char *from, unsigned call_id, const char *to, unsigned new_id)
{
	struct peer *peer = find_peer(inet_addr(from));
	if (!peer) {
		if (peer_count == PEERS_MAX)
			errx(1, "too many peers");
		peer = &peers[peer_count++];
		peer->address = inet_addr(from);
		peer->ways = calloc(IDS, sizeof(*peer->ways));
		if (!peer->ways)
			err(1, "memory");
	}
	peer->ways[call_id & 0xffff] = (struct way){inet_addr(to), htons((uint16_t)new_id), true};
}

static void read_rows(const char *path)
{
	char client[16], inner[16], outer[16], server[16];
	unsigned client_sends, server_receives, server_sends, client_receives;
	FILE *file = fopen(path, "re");
	if (!file)
		err(1, "%s", path);
	while (fscanf(file, "%15s %15s %15s %15s %u %u %u %u", client, inner, outer, server,
		      &client_sends, &server_receives, &server_sends, &client_receives) == 8) {
		add_way(client, client_sends, server, server_receives);
		add_way(server, server_sends, client, client_receives);
	}
	fclose(file);
}

static void relay(int fd)
{
	static uint8_t packet[65536];
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct iphdr ip;
	uint16_t call_id;

	for (;;) {
		ssize_t length = recvfrom(fd, packet, sizeof(packet), 0, NULL, NULL);
		if (length < (ssize_t)sizeof(ip) + 8)
			continue;
		memcpy(&ip, packet, sizeof(ip));
		uint8_t *gre = packet + ip.ihl * 4;
		memcpy(&call_id, gre + 6, sizeof(call_id));
		const struct peer *peer = find_peer(ip.saddr);
		const struct way *way = peer ? &peer->ways[ntohs(call_id)] : NULL;
		if (!way || !way->known)
			continue;
		memcpy(gre + 6, &way->call_id_be, sizeof(way->call_id_be));
		to.sin_addr.s_addr = way->to;
		sendto(fd, gre, (size_t)(length - ip.ihl * 4), 0, (struct sockaddr *)&to,
		       sizeof(to));
	}
}

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_GRE), size = 4 << 20;
	if (argc != 2)
		errx(1, "usage: naive_relay ROWS");
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		err(1, "raw socket");
	read_rows(argv[1]);
	printf("ready\n");
	fflush(stdout);
	relay(fd);
}
