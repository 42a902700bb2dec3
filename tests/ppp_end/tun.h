/* A TUN device of this process. */
#ifndef PPP_END_TUN_H
#define PPP_END_TUN_H

#include <net/if.h>
#include <stdint.h>

/* Make a device called name ("ppp%d": the first free one). Writes the real name. Returns the
 * descriptor (non-blocking), or -1 with errno. It disappears when the descriptor is closed. */
int tun_open(char name[IFNAMSIZ]);

/* Point-to-point addresses in host order, MTU, up. Returns 0, or -1 with errno. */
int tun_up(const char *name, uint32_t local, uint32_t remote, int mtu);
int tun_down(const char *name);

#endif
