/*
 * The eBPF object lies within the program, so that one file is all there is to install. Maps are
 * mapped into memory: adding and removing a call is a few stores, no system call.
 */
#include "fastpath/fastpath_maps.h"

#include "host/log.h"
#include "host/monotonic.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
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

struct fastpath_maps {
	struct bpf_object *object;
	int cpus;
	uint64_t clock_ns, tick_ns; /* the time of setup->jiffies, and how long one is */
	int locals_fd, counters_fd, ports_fd;
	struct fastpath_setup *setup;
	struct fastpath_hop *hops;
	struct fastpath_route *routes[FASTPATH_LOCALS];
	unsigned used[FASTPATH_LOCALS]; /* of these */
	/* of one chunk: FASTPATH_COUNTS_CALLS for each CPU */
	struct fastpath_counts *counts[FASTPATH_COUNTS_CHUNKS];
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

/* ---- memory ---- */

static size_t pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (size + page - 1) / page * page;
}

static void *map_memory(int fd, size_t size)
{
	void *memory = mmap(NULL, pages(size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

static void unmap_memory(void *memory, size_t size)
{
	if (memory)
		munmap(memory, pages(size));
}

static int make_array(size_t record, uint32_t records)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "pptpproxy", sizeof(uint32_t), (uint32_t)record,
			      records, &options);
}

/* An array of records of its own, put into a map of maps, which keeps it. */
static void *add_inner(int outer_fd, uint32_t at, size_t record, uint32_t records)
{
	int fd = make_array(record, records);
	if (fd < 0)
		return NULL;
	void *memory = map_memory(fd, record * records);
	if (memory && bpf_map_update_elem(outer_fd, &at, &fd, BPF_ANY) != 0) {
		unmap_memory(memory, record * records);
		memory = NULL;
	}
	close(fd);
	return memory;
}

/* A new one, else one whose address has no route any more. */
static uint32_t free_local(const struct fastpath_maps *maps)
{
	uint32_t at = maps->setup->local_count;
	if (at == FASTPATH_LOCALS) {
		for (at = 0; at < FASTPATH_LOCALS && maps->used[at] > 0;)
			at++;
	}
	return at;
}

struct fastpath_route *fastpath_maps_routes(struct fastpath_maps *maps, uint32_t addr)
{
	struct fastpath_setup *setup = maps->setup;
	uint32_t at = 0;

	while (at < setup->local_count && setup->locals_be[at] != htonl(addr))
		at++;
	if (at < setup->local_count)
		return maps->routes[at];
	at = free_local(maps);
	if (at == FASTPATH_LOCALS) {
		errno = ENOSPC;
		return NULL;
	}
	if (!maps->routes[at])
		maps->routes[at] =
		    add_inner(maps->locals_fd, at, sizeof(struct fastpath_route), FASTPATH_IDS);
	if (!maps->routes[at])
		return NULL;
	__atomic_store_n(&setup->locals_be[at], htonl(addr), __ATOMIC_RELEASE);
	if (at == setup->local_count)
		__atomic_store_n(&setup->local_count, at + 1, __ATOMIC_RELEASE);
	return maps->routes[at];
}

void fastpath_maps_use(struct fastpath_maps *maps, const struct fastpath_route *route, bool used)
{
	for (uint32_t at = 0; at < maps->setup->local_count; at++) {
		if (route >= maps->routes[at] && route < maps->routes[at] + FASTPATH_IDS)
			maps->used[at] += used ? 1 : -1U;
	}
}

struct fastpath_hop *fastpath_maps_hops(struct fastpath_maps *maps)
{
	return maps->hops;
}

/* ---- counters ---- */

static uint32_t counts_a_chunk(const struct fastpath_maps *maps)
{
	return FASTPATH_COUNTS_CALLS * (uint32_t)maps->cpus;
}

int fastpath_maps_count_from_zero(struct fastpath_maps *maps, uint32_t slot)
{
	uint32_t chunk = slot / FASTPATH_COUNTS_CALLS;
	if (chunk >= FASTPATH_COUNTS_CHUNKS) {
		errno = ENOSPC;
		return -1;
	}
	if (!maps->counts[chunk]) {
		struct fastpath_counts *counts =
		    add_inner(maps->counters_fd, chunk, sizeof(*counts), counts_a_chunk(maps));
		__atomic_store_n(&maps->counts[chunk], counts, __ATOMIC_RELEASE);
		return counts ? 0 : -1;
	}
	struct fastpath_counts *counts = maps->counts[chunk] + slot % FASTPATH_COUNTS_CALLS;
	for (int cpu = 0; cpu < maps->cpus; cpu++)
		memset(counts + cpu * FASTPATH_COUNTS_CALLS, 0, sizeof(*counts));
	return 0;
}

static uint64_t relaxed(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static uint64_t time_of(const struct fastpath_maps *maps, uint64_t jiffies)
{
	int64_t ticks = (int64_t)(jiffies - maps->setup->jiffies);
	return maps->clock_ns + (uint64_t)(ticks * (int64_t)maps->tick_ns);
}

void fastpath_maps_counts(const struct fastpath_maps *maps, uint32_t slot,
			  struct fastpath_sum from[static 2])
{
	const struct fastpath_counts *counts =
	    __atomic_load_n(&maps->counts[slot / FASTPATH_COUNTS_CALLS], __ATOMIC_ACQUIRE);
	for (int side = 0; side < 2; side++) {
		const struct fastpath_counts *at = counts + slot % FASTPATH_COUNTS_CALLS;
		uint64_t seen = 0;
		from[side] = (struct fastpath_sum){0};
		for (int cpu = 0; counts && cpu < maps->cpus; cpu++, at += FASTPATH_COUNTS_CALLS) {
			from[side].packets += relaxed(&at->from[side].packets);
			from[side].octets += relaxed(&at->from[side].octets);
			if (relaxed(&at->from[side].seen_jiffies) > seen)
				seen = relaxed(&at->from[side].seen_jiffies);
		}
		from[side].seen_ns = seen ? time_of(maps, seen) : 0;
	}
}

/* ---- the object ---- */

static int program_fd(const struct fastpath_maps *maps, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(maps->object, name));
}

int fastpath_maps_program(const struct fastpath_maps *maps, bool native)
{
	return program_fd(maps, native ? "fastpath_native" : "fastpath_generic");
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

static int map_fd(const struct fastpath_maps *maps, const char *name)
{
	return bpf_object__find_map_fd_by_name(maps->object, name);
}

static int load(struct fastpath_maps *maps, struct why *why)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "pptpproxy");
	maps->cpus = libbpf_num_possible_cpus();
	maps->object = bpf_object__open_mem(
	    fastpath_object, (size_t)(fastpath_object_end - fastpath_object), &options);
	if (maps->cpus < 1 || !maps->object)
		return why_set(why, "its eBPF object cannot be opened: %s", strerror(errno));
	/* The kernel wants to see one of the arrays that counters will have. */
	int pattern = make_array(sizeof(struct fastpath_counts), counts_a_chunk(maps));
	int error = pattern < 0 ? errno : 0;
	if (error == 0)
		error = -bpf_map__set_inner_map_fd(
		    bpf_object__find_map_by_name(maps->object, "counters"), pattern);
	if (error == 0)
		error = -bpf_object__load(maps->object);
	if (pattern >= 0)
		close(pattern);
	if (error == EPERM)
		return why_set(why, "it needs root, or CAP_BPF and CAP_NET_ADMIN");
	if (error != 0)
		return why_set(why, "the kernel does not load it: %s", strerror(error));
	return 0;
}

/* The kernel counts time in ticks, of which it tells the length, but not the number. */
static int set_clock(struct fastpath_maps *maps, struct why *why)
{
	enum { TRIES = 10 }; /* to read both within a tick */
	uint8_t frame[64] = {0};
	struct timespec tick;
	uint64_t before = 0, took = UINT64_MAX;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame));

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	maps->tick_ns = (uint64_t)tick.tv_sec * 1000000000 + (uint64_t)tick.tv_nsec;
	for (int i = 0; i < TRIES && took > maps->tick_ns; i++) {
		before = monotonic_ns();
		int error = bpf_prog_test_run_opts(program_fd(maps, "fastpath_clock"), &options);
		if (error != 0)
			return why_set(why, "its clock cannot be read: %s", strerror(-error));
		took = monotonic_ns() - before;
	}
	/* The tick may have begun that long ago; a packet must not seem to come from the future. */
	maps->clock_ns = before - maps->tick_ns;
	return 0;
}

static int map_all(struct fastpath_maps *maps, struct why *why)
{
	maps->locals_fd = map_fd(maps, "locals");
	maps->counters_fd = map_fd(maps, "counters");
	maps->ports_fd = map_fd(maps, "ports");
	maps->setup = map_memory(map_fd(maps, "setup"), sizeof(*maps->setup));
	maps->hops = map_memory(map_fd(maps, "hops"), FASTPATH_HOPS * sizeof(*maps->hops));
	if (!maps->setup || !maps->hops)
		return why_set(why, "its maps cannot be mapped: %s", strerror(errno));
	return set_clock(maps, why);
}

struct fastpath_maps *fastpath_maps_open(struct why *why)
{
	struct fastpath_maps *maps = calloc(1, sizeof(*maps));
	if (!maps) {
		why_set(why, "no memory");
		return NULL;
	}
	libbpf_set_print(say);
	if (load(maps, why) != 0 || map_all(maps, why) != 0) {
		fastpath_maps_close(maps);
		return NULL;
	}
	return maps;
}

void fastpath_maps_close(struct fastpath_maps *maps)
{
	if (!maps)
		return;
	for (int i = 0; i < FASTPATH_LOCALS; i++)
		unmap_memory(maps->routes[i], FASTPATH_IDS * sizeof(*maps->routes[i]));
	for (int i = 0; i < FASTPATH_COUNTS_CHUNKS; i++)
		unmap_memory(maps->counts[i], counts_a_chunk(maps) * sizeof(*maps->counts[i]));
	unmap_memory(maps->setup, sizeof(*maps->setup));
	unmap_memory(maps->hops, FASTPATH_HOPS * sizeof(*maps->hops));
	bpf_object__close(maps->object);
	free(maps);
}
