#include "doctor/doctor_sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TCP_LISTEN_STATE = 10, PROTOCOL_GRE = 47 };

struct row {
	uint32_t addr; /* host byte order */
	unsigned port, state;
	unsigned long inode;
};

typedef bool wanted(const struct row *row, uint32_t addr, uint16_t port);

/* "0: 0100007F:06BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 INODE ..." */
static bool read_row(const char *line, struct row *row)
{
	unsigned addr_be;
	if (sscanf(line, " %*u: %8x:%4x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", &addr_be,
		   &row->port, &row->state, &row->inode) != 4)
		return false;
	row->addr = ntohl(addr_be);
	return true;
}

static size_t gather(const char *table, wanted *is_wanted, uint32_t addr, uint16_t port,
		     unsigned long inodes[static DOCTOR_SOCKETS_MAX])
{
	FILE *file = fopen(table, "re");
	char line[512];
	struct row row;
	size_t count = 0;

	while (file && count < DOCTOR_SOCKETS_MAX && fgets(line, sizeof(line), file)) {
		if (read_row(line, &row) && is_wanted(&row, addr, port))
			inodes[count++] = row.inode;
	}
	if (file)
		fclose(file);
	return count;
}

static bool listens_there(const struct row *row, uint32_t addr, uint16_t port)
{
	return row->state == TCP_LISTEN_STATE && row->port == port &&
	       (row->addr == addr || row->addr == 0 || addr == 0);
}

static bool is_gre(const struct row *row, uint32_t addr, uint16_t port)
{
	(void)addr;
	(void)port;
	return row->port == PROTOCOL_GRE; /* of raw sockets the protocol stands there */
}

size_t doctor_sockets_listening(uint32_t addr, uint16_t port,
				unsigned long inodes[static DOCTOR_SOCKETS_MAX])
{
	return gather("/proc/net/tcp", listens_there, addr, port, inodes);
}

size_t doctor_sockets_gre(unsigned long inodes[static DOCTOR_SOCKETS_MAX])
{
	return gather("/proc/net/raw", is_gre, 0, 0, inodes);
}

bool doctor_sockets_has(pid_t pid, unsigned long inode)
{
	char path[320], target[64], is[64];
	struct dirent *entry;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	snprintf(target, sizeof(target), "socket:[%lu]", inode);
	DIR *directory = opendir(path);
	while (directory && !found && (entry = readdir(directory)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%ld/fd/%s", (long)pid, entry->d_name);
		ssize_t length = readlink(path, is, sizeof(is) - 1);
		is[length > 0 ? length : 0] = '\0';
		found = strcmp(is, target) == 0;
	}
	if (directory)
		closedir(directory);
	return found;
}

static void read_name(pid_t pid, char name[static DOCTOR_SOCKETS_NAME])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	FILE *file = fopen(path, "re");
	if (!file || !fgets(name, DOCTOR_SOCKETS_NAME, file))
		snprintf(name, DOCTOR_SOCKETS_NAME, "?");
	name[strcspn(name, "\n")] = '\0';
	if (file)
		fclose(file);
}

pid_t doctor_sockets_owner(unsigned long inode, char name[static DOCTOR_SOCKETS_NAME])
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	pid_t owner = 0;

	while (directory && (entry = readdir(directory)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid > 0 && (owner == 0 || pid < owner) && doctor_sockets_has(pid, inode))
			owner = pid;
	}
	if (directory)
		closedir(directory);
	if (owner != 0)
		read_name(owner, name);
	return owner;
}
