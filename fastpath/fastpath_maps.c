/*
 * The eBPF object lies within the program, so that one file is all there is to install. Once it is
 * loaded, descriptors are all that is left of it, so that they may come from a letter as well.
 */
#include "fastpath/fastpath_maps.h"

#include "fastpath/fastpath_mapped.h"
#include "host/log.h"
#include "host/monotonic.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

__asm__(".section .rodata\n"
	".balign 8\n"
	"fastpath_object: .incbin \"" FASTPATH_OBJECT "\"\n"
	"fastpath_object_end:\n"
	".previous\n");
extern const char fastpath_object[], fastpath_object_end[];

enum { PROGRAMS = 2 }; /* generic, native */

struct fastpath_maps {
	uint32_t cpus;
	struct fastpath_clock clock;
	int setup_fd, locals_fd, hops_fd, counters_fd, ports_fd;
	int program_fds[PROGRAMS];
	struct fastpath_setup *setup;
	struct fastpath_hop *hops;
	uint32_t locals[FASTPATH_LOCALS], local_count; /* addresses */
	int routes_fds[FASTPATH_LOCALS], counts_fds[FASTPATH_COUNTS_CHUNKS];
};

static int say(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[512];
	if (level == LIBBPF_DEBUG || !log_wants(LOG_LEVEL_DEBUG))
		return 0;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("%s", text);
	return 0;
}

/* Of the eBPF half, as FNV-1a. */
static uint64_t fingerprint(void)
{
	uint64_t hash = UINT64_C(0xCBF29CE484222325);
	for (const char *octet = fastpath_object; octet < fastpath_object_end; octet++)
		hash = (hash ^ (uint8_t)*octet) * UINT64_C(0x100000001B3);
	return hash;
}

/* ---- descriptors ---- */

static const struct {
	const char *name;
	int position; /* in a letter */
	size_t offset;
} named_maps[] = {
    {"setup", FASTPATH_LETTER_SETUP, offsetof(struct fastpath_maps, setup_fd)},
    {"locals", FASTPATH_LETTER_LOCALS, offsetof(struct fastpath_maps, locals_fd)},
    {"hops", FASTPATH_LETTER_HOPS, offsetof(struct fastpath_maps, hops_fd)},
    {"counters", FASTPATH_LETTER_COUNTERS, offsetof(struct fastpath_maps, counters_fd)},
    {"ports", FASTPATH_LETTER_PORTS, offsetof(struct fastpath_maps, ports_fd)},
};
enum { MAPS = sizeof(named_maps) / sizeof(named_maps[0]) };

static int *map_fd(struct fastpath_maps *maps, int number)
{
	return (int *)((char *)maps + named_maps[number].offset);
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static struct fastpath_maps *new_maps(struct why *why)
{
	struct fastpath_maps *maps = calloc(1, sizeof(*maps));
	if (!maps) {
		why_set(why, "no memory");
		return NULL;
	}
	for (int i = 0; i < MAPS; i++)
		*map_fd(maps, i) = -1;
	for (int i = 0; i < PROGRAMS; i++)
		maps->program_fds[i] = -1;
	for (int i = 0; i < FASTPATH_LOCALS; i++)
		maps->routes_fds[i] = -1;
	for (int i = 0; i < FASTPATH_COUNTS_CHUNKS; i++)
		maps->counts_fds[i] = -1;
	return maps;
}

static int map_all(struct fastpath_maps *maps, struct why *why)
{
	maps->setup = fastpath_mapped_open(maps->setup_fd, sizeof(*maps->setup));
	maps->hops = fastpath_mapped_open(maps->hops_fd, FASTPATH_HOPS * sizeof(*maps->hops));
	if (!maps->setup || !maps->hops)
		return why_set(why, "its maps cannot be mapped: %s", strerror(errno));
	return 0;
}

static int make_array(size_t record, uint32_t records)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "pptpproxy", sizeof(uint32_t), (uint32_t)record,
			      records, &options);
}

static uint32_t counts_a_chunk(const struct fastpath_maps *maps)
{
	return FASTPATH_COUNTS_CALLS * maps->cpus;
}

/* An array of records of its own, put into a map of maps. */
static int add_inner(int outer_fd, uint32_t at, size_t record, uint32_t records)
{
	int fd = make_array(record, records);
	if (fd >= 0 && bpf_map_update_elem(outer_fd, &at, &fd, BPF_ANY) != 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* ---- room ---- */

static bool is_elsewhere(const struct fastpath_maps *maps, uint32_t at, uint32_t addr)
{
	for (uint32_t i = 0; i < maps->local_count; i++) {
		if (i != at && maps->locals[i] == addr)
			return true;
	}
	return false;
}

int fastpath_maps_routes(struct fastpath_maps *maps, uint32_t at, uint32_t addr)
{
	if (addr == 0 || at >= FASTPATH_LOCALS || at > maps->local_count) {
		errno = EINVAL;
		return -1;
	}
	/* The eBPF half would find the first one only. */
	if (is_elsewhere(maps, at, addr)) {
		errno = EEXIST;
		return -1;
	}
	if (maps->routes_fds[at] < 0)
		maps->routes_fds[at] =
		    add_inner(maps->locals_fd, at, sizeof(struct fastpath_route), FASTPATH_IDS);
	if (maps->routes_fds[at] < 0)
		return -1;
	maps->locals[at] = addr;
	__atomic_store_n(&maps->setup->locals_be[at], htonl(addr), __ATOMIC_RELEASE);
	if (at == maps->local_count)
		__atomic_store_n(&maps->setup->local_count, ++maps->local_count, __ATOMIC_RELEASE);
	return maps->routes_fds[at];
}

int fastpath_maps_counts(struct fastpath_maps *maps, uint32_t chunk)
{
	if (chunk >= FASTPATH_COUNTS_CHUNKS) {
		errno = EINVAL;
		return -1;
	}
	if (maps->counts_fds[chunk] < 0)
		maps->counts_fds[chunk] = add_inner(
		    maps->counters_fd, chunk, sizeof(struct fastpath_counts), counts_a_chunk(maps));
	return maps->counts_fds[chunk];
}

struct fastpath_hop *fastpath_maps_hops(struct fastpath_maps *maps)
{
	return maps->hops;
}

/* ---- programs and ports ---- */

int fastpath_maps_program(const struct fastpath_maps *maps, bool native)
{
	return maps->program_fds[native];
}

int fastpath_maps_set_port(struct fastpath_maps *maps, uint32_t port, unsigned ifindex)
{
	return bpf_map_update_elem(maps->ports_fd, &port, &ifindex, BPF_ANY) == 0 ? 0 : -1;
}

bool fastpath_maps_has_port(const struct fastpath_maps *maps, uint32_t port)
{
	unsigned ifindex;
	return bpf_map_lookup_elem(maps->ports_fd, &port, &ifindex) == 0;
}

/* ---- the object ---- */

static int duplicate(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int program_fd(const struct bpf_object *object, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(object, name));
}

/* Those that are there already are used. An error, or 0. */
static int reuse_maps(struct fastpath_maps *maps, struct bpf_object *object)
{
	for (int i = 0; i < MAPS; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, named_maps[i].name);
		if (*map_fd(maps, i) >= 0 && bpf_map__reuse_fd(map, *map_fd(maps, i)) != 0)
			return errno;
	}
	return 0;
}

/* The kernel wants to see one of the arrays that counters will have. An error, or 0. */
static int load_with_pattern(struct fastpath_maps *maps, struct bpf_object *object)
{
	int pattern = make_array(sizeof(struct fastpath_counts), counts_a_chunk(maps));
	if (pattern < 0)
		return errno;
	int error =
	    -bpf_map__set_inner_map_fd(bpf_object__find_map_by_name(object, "counters"), pattern);
	if (error == 0)
		error = -bpf_object__load(object);
	close(pattern);
	return error;
}

static int take_descriptors(struct fastpath_maps *maps, const struct bpf_object *object,
			    struct why *why)
{
	close_all(maps->program_fds, PROGRAMS);
	maps->program_fds[false] = duplicate(program_fd(object, "fastpath_generic"));
	maps->program_fds[true] = duplicate(program_fd(object, "fastpath_native"));
	bool all = maps->program_fds[0] >= 0 && maps->program_fds[1] >= 0;
	for (int i = 0; i < MAPS; i++) {
		int *fd = map_fd(maps, i);
		if (*fd < 0)
			*fd =
			    duplicate(bpf_object__find_map_fd_by_name(object, named_maps[i].name));
		all = all && *fd >= 0;
	}
	return all ? 0 : why_set(why, "its descriptors: %s", strerror(errno));
}

/* The kernel counts time in ticks, of which it tells the length, but not the number. */
static int set_clock(struct fastpath_maps *maps, int clock_program, struct why *why)
{
	enum { TRIES = 10 }; /* to read both within a tick */
	struct fastpath_clock *clock = &maps->clock;
	uint8_t frame[64] = {0};
	struct timespec tick;
	uint64_t before = 0, took = UINT64_MAX;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame));

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	clock->tick_ns = (uint64_t)tick.tv_sec * 1000000000 + (uint64_t)tick.tv_nsec;
	for (int i = 0; i < TRIES && took > clock->tick_ns; i++) {
		before = monotonic_ns();
		int error = bpf_prog_test_run_opts(clock_program, &options);
		if (error != 0)
			return why_set(why, "its clock cannot be read: %s", strerror(-error));
		took = monotonic_ns() - before;
	}
	/* The tick may have begun that long ago; a packet must not seem to come from the future. */
	clock->ns = before - clock->tick_ns;
	clock->jiffies = maps->setup->jiffies;
	return 0;
}

static int load_object(struct fastpath_maps *maps, struct bpf_object *object, struct why *why)
{
	int error = reuse_maps(maps, object);
	if (error == 0)
		error = load_with_pattern(maps, object);
	if (error == EPERM)
		return why_set(why, "it needs root, or CAP_BPF and CAP_NET_ADMIN");
	if (error != 0)
		return why_set(why, "the kernel does not load it: %s", strerror(error));
	bool fresh = !maps->setup;
	if (take_descriptors(maps, object, why) != 0 || (fresh && map_all(maps, why) != 0))
		return -1;
	return fresh ? set_clock(maps, program_fd(object, "fastpath_clock"), why) : 0;
}

static int load(struct fastpath_maps *maps, struct why *why)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "pptpproxy");
	libbpf_set_print(say);
	struct bpf_object *object = bpf_object__open_mem(
	    fastpath_object, (size_t)(fastpath_object_end - fastpath_object), &options);
	if (!object)
		return why_set(why, "its eBPF object cannot be opened: %s", strerror(errno));
	int result = load_object(maps, object, why);
	bpf_object__close(object);
	return result;
}

/* ---- birth and death ---- */

struct fastpath_maps *fastpath_maps_open(struct why *why)
{
	int cpus = libbpf_num_possible_cpus();
	struct fastpath_maps *maps = new_maps(why);
	if (!maps)
		return NULL;
	maps->cpus = cpus < 1 ? 1 : (uint32_t)cpus;
	if (cpus < 1)
		why_set(why, "the number of CPUs is not known: %s", strerror(-cpus));
	if (cpus < 1 || load(maps, why) != 0) {
		fastpath_maps_close(maps);
		return NULL;
	}
	return maps;
}

void fastpath_maps_close(struct fastpath_maps *maps)
{
	if (!maps)
		return;
	fastpath_mapped_close(maps->setup, sizeof(*maps->setup));
	fastpath_mapped_close(maps->hops, FASTPATH_HOPS * sizeof(*maps->hops));
	for (int i = 0; i < MAPS; i++)
		close_all(map_fd(maps, i), 1);
	close_all(maps->program_fds, PROGRAMS);
	close_all(maps->routes_fds, FASTPATH_LOCALS);
	close_all(maps->counts_fds, FASTPATH_COUNTS_CHUNKS);
	free(maps);
}

/* ---- others' ---- */

void fastpath_maps_give(const struct fastpath_maps *maps, struct fastpath_given *given)
{
	*given = (struct fastpath_given){
	    .layout = FASTPATH_LAYOUT,
	    .cpus = maps->cpus,
	    .clock = maps->clock,
	};
	memcpy(given->locals, maps->locals, sizeof(given->locals));
	for (int i = 0; i < FASTPATH_GIVEN_FDS; i++)
		given->fds[i] = -1;
	memcpy(given->fds + FASTPATH_GIVEN_ROUTES, maps->routes_fds, sizeof(maps->routes_fds));
	memcpy(given->fds + FASTPATH_GIVEN_COUNTS, maps->counts_fds, sizeof(maps->counts_fds));
}

void fastpath_maps_describe(const struct fastpath_maps *maps, struct fastpath_letter *letter)
{
	int32_t *fds = letter->fds;
	for (int i = 0; i < MAPS; i++)
		fds[named_maps[i].position] =
		    *(const int *)((const char *)maps + named_maps[i].offset);
	fds[FASTPATH_LETTER_GENERIC] = maps->program_fds[false];
	fds[FASTPATH_LETTER_NATIVE] = maps->program_fds[true];
	memcpy(fds + FASTPATH_GIVEN_ROUTES, maps->routes_fds, sizeof(maps->routes_fds));
	memcpy(fds + FASTPATH_GIVEN_COUNTS, maps->counts_fds, sizeof(maps->counts_fds));
	memcpy(letter->locals, maps->locals, sizeof(letter->locals));
	letter->cpus = maps->cpus;
	letter->clock = maps->clock;
	letter->object = fingerprint();
}

/* Each position is left empty. */
static void take_fds(int *to, int32_t *from, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		to[i] = from[i];
		from[i] = -1;
	}
}

static void take_from_letter(struct fastpath_maps *maps, struct fastpath_letter *letter)
{
	int32_t *fds = letter->fds;
	for (int i = 0; i < MAPS; i++)
		take_fds(map_fd(maps, i), &fds[named_maps[i].position], 1);
	take_fds(&maps->program_fds[false], &fds[FASTPATH_LETTER_GENERIC], 1);
	take_fds(&maps->program_fds[true], &fds[FASTPATH_LETTER_NATIVE], 1);
	take_fds(maps->routes_fds, fds + FASTPATH_GIVEN_ROUTES, FASTPATH_LOCALS);
	take_fds(maps->counts_fds, fds + FASTPATH_GIVEN_COUNTS, FASTPATH_COUNTS_CHUNKS);
	memcpy(maps->locals, letter->locals, sizeof(maps->locals));
	maps->cpus = letter->cpus;
	maps->clock = letter->clock;
	while (maps->local_count < FASTPATH_LOCALS && maps->locals[maps->local_count] != 0)
		maps->local_count++;
}

struct fastpath_maps *fastpath_maps_adopt(struct fastpath_letter *letter, bool *changed,
					  struct why *why)
{
	struct fastpath_maps *maps = new_maps(why);
	*changed = letter->object != fingerprint();
	if (!maps)
		return NULL;
	take_from_letter(maps, letter);
	if (map_all(maps, why) != 0 || (*changed && load(maps, why) != 0)) {
		fastpath_maps_close(maps);
		return NULL;
	}
	return maps;
}
