/*
 * fastpath_mapped: the memory of an eBPF map, which is mapped in whole pages. Thread: any.
 */
#ifndef FASTPATH_MAPPED_H
#define FASTPATH_MAPPED_H

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static inline size_t fastpath_mapped_size(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (size + page - 1) / page * page;
}

/* So many octets of the map with this descriptor, or NULL with errno. */
static inline void *fastpath_mapped_open(int fd, size_t size)
{
	void *memory =
	    mmap(NULL, fastpath_mapped_size(size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

static inline void fastpath_mapped_close(void *memory, size_t size) /* NULL is fine */
{
	if (memory)
		munmap(memory, fastpath_mapped_size(size));
}

#endif
