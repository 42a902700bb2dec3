/*
 * loopback: the far ends of a unit's TCP connections, all in 127.0.0.0/8. What does not come about
 * within LOOPBACK_DEADLINE_MS fails the case.
 *
 * Descriptors made here are closed by loopback_close, or all that are left by loopback_close_all.
 */
#ifndef TESTS_UNIT_LOOPBACK_H
#define TESTS_UNIT_LOOPBACK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOOPBACK_DEADLINE_MS = 20000 };

struct sockaddr_in loopback_address(uint8_t host, uint16_t port); /* 127.0.0.host */
int loopback_socket(void);
int loopback_bind(uint8_t host, uint16_t port); /* port 0: any; refuses until it listens */
int loopback_listen(uint8_t host, uint16_t port);
int loopback_listen_silent(uint8_t host); /* its queue is full: it answers nobody */
int loopback_connect(uint8_t from, uint8_t to, uint16_t port);
int loopback_accept(int listener);
int loopback_take(int listener); /* accepted, and the caller's to close */
void loopback_close(int fd);
void loopback_reset(int fd); /* closes with a reset */
void loopback_close_all(void);

uint16_t loopback_port(int fd);	   /* its own */
uint16_t loopback_free_port(void); /* that nobody has at any address */

void loopback_wait(int fd, short events);
bool loopback_is(int fd, short events); /* now */
size_t loopback_waiting(int fd);	/* octets that have come */
bool loopback_has_ended(int fd);	/* with nothing before the end */
void loopback_send(int fd, const uint8_t *octets, size_t length);

/* Exactly these octets have come, or come yet, and none behind them. */
void loopback_hear(int fd, const uint8_t *octets, size_t length);

#endif
