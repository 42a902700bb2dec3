/*
 * doctor_sockets: whose sockets there are in this network namespace. Without root other users'
 * processes are not seen. Thread: main.
 */
#ifndef DOCTOR_DOCTOR_SOCKETS_H
#define DOCTOR_DOCTOR_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { DOCTOR_SOCKETS_MAX = 64 };

/* Inodes of TCP sockets that listen where addr (0: any):port would. How many, DOCTOR_SOCKETS_MAX at
 * most. */
size_t doctor_sockets_listening(uint32_t addr, uint16_t port,
				unsigned long inodes[static DOCTOR_SOCKETS_MAX]);

/* The same of raw sockets for protocol 47. */
size_t doctor_sockets_gre(unsigned long inodes[static DOCTOR_SOCKETS_MAX]);

/* Who has it open: the one of the lowest pid, and its command's name; 0: not seen. */
enum { DOCTOR_SOCKETS_NAME = 16 };
pid_t doctor_sockets_owner(unsigned long inode, char name[static DOCTOR_SOCKETS_NAME]);

/* Whether this process has it open; false where that cannot be seen. */
bool doctor_sockets_has(pid_t pid, unsigned long inode);

#endif
