/*
 * A middle box that only redirects, both ways between two devices, until its standard input ends.
 *
 *   redirect OBJECT IF1 IF2
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned device(const char *name)
{
	unsigned index = if_nametoindex(name);
	if (index == 0)
		err(1, "%s", name);
	return index;
}

/* The object is loaded once for each way: each has its own way out. */
static void redirect(const char *path, unsigned in, unsigned out)
{
	uint32_t zero = 0;
	struct bpf_object *object = bpf_object__open(path);
	if (!object || bpf_object__load(object) != 0)
		err(1, "%s", path);
	int map = bpf_object__find_map_fd_by_name(object, "way_out");
	if (bpf_map_update_elem(map, &zero, &out, BPF_ANY) != 0)
		err(1, "way out");
	int program = bpf_program__fd(bpf_object__find_program_by_name(object, "redirect"));
	if (bpf_xdp_attach((int)in, program, XDP_FLAGS_DRV_MODE, NULL) != 0)
		err(1, "attaching to device %u", in);
}

int main(int argc, char **argv)
{
	char ignored[64];
	if (argc != 4)
		errx(1, "usage: redirect OBJECT IF1 IF2");
	unsigned one = device(argv[2]), other = device(argv[3]);
	redirect(argv[1], one, other);
	redirect(argv[1], other, one);
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0)
		;
	bpf_xdp_detach((int)one, XDP_FLAGS_DRV_MODE, NULL);
	bpf_xdp_detach((int)other, XDP_FLAGS_DRV_MODE, NULL);
	return 0;
}
