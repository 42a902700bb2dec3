/*
 * Each thing is asked for as the start would, and let go of at once.
 */
#include "doctor/doctor_host.h"

#include "fastpath/fastpath_keeper.h"
#include "gre/gre_socket.h"
#include "host/capture_file.h"
#include "host/instance.h"
#include "host/limits.h"
#include "host/user.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A connection has two; these are the rest, and what a sensible host can serve at once. */
enum { DESCRIPTORS_ELSE = 64, DESCRIPTORS_FEW = 1024 };

pid_t doctor_host_instance(struct doctor_report *report, const struct options *options)
{
	static char word[DOCTOR_REPORT_WORD];
	pid_t pid;
	if (!instance_find(options->control, &pid))
		return 0;
	doctor_report_note(report, "an instance runs already, pid %ld (control socket %s)",
			   (long)pid, options->control);
	doctor_report_why(report,
			  "it is left alone; a second one with this control socket does not start");
	doctor_report_mend(report, "pptpproxy --control %s --show pairs",
			   doctor_report_word(options->control, word));
	return pid;
}

/* ---- rights ---- */

static void look_at_user(struct doctor_report *report, const struct options *options)
{
	static char word[DOCTOR_REPORT_WORD];
	struct user user;
	struct why why;
	if (user_find(options->user, &user, &why) != 0) {
		doctor_report_error(report, "the worker's user: %s", why.text);
		doctor_report_why(report, "root's rights could not be given up: it does not start");
		if (geteuid() == 0)
			doctor_report_mend(
			    report,
			    "useradd --system --no-create-home --shell "
			    "/usr/sbin/nologin %s",
			    doctor_report_word(options->user ? options->user : "pptpproxy", word));
		else
			doctor_report_mend(report, "sudo pptpproxy --doctor");
		return;
	}
	if (geteuid() != 0 || options->user || strcmp(user.name, "nobody") != 0) {
		doctor_report_ok(report, "the worker's user: %s", user.name);
		return;
	}
	doctor_report_note(report, "the worker's user is nobody, as there is no user pptpproxy");
	doctor_report_why(report, "other programs may use nobody as well");
	doctor_report_mend(report,
			   "useradd --system --no-create-home --shell /usr/sbin/nologin pptpproxy");
}

static void look_at_buffer(struct doctor_report *report, const struct gre_socket *sockets)
{
	if (sockets->receive_buffer >= GRE_RECEIVE_BUFFER) {
		doctor_report_ok(report, "raw GRE sockets, with %zu octets for what waits",
				 sockets->receive_buffer);
		return;
	}
	doctor_report_note(report, "the GRE receive buffer is %zu octets, %d are wanted",
			   sockets->receive_buffer, GRE_RECEIVE_BUFFER);
	doctor_report_why(report, "packets that come in a burst are lost");
	doctor_report_mend(report, "sysctl -w net.core.rmem_max=%d", GRE_RECEIVE_BUFFER);
}

void doctor_host_mend_rights(struct doctor_report *report, bool root)
{
	if (!root)
		doctor_report_mend(report, "sudo pptpproxy --doctor");
	else
		doctor_report_mend(report,
				   "on the container's host: podman run --cap-add NET_RAW IMAGE");
}

static void tell_no_socket(struct doctor_report *report, const struct why *why)
{
	doctor_report_error(report, "packets cannot come and go: %s", why->text);
	doctor_report_why(report, "calls' packets come and go by raw sockets: it does not start");
	doctor_host_mend_rights(report, geteuid() == 0);
}

bool doctor_host_rights(struct doctor_report *report, const struct options *options)
{
	struct gre_socket sockets;
	struct why why;
	bool opened = gre_socket_open(&sockets, &why) == 0;
	if (opened)
		look_at_buffer(report, &sockets);
	else
		tell_no_socket(report, &why);
	gre_socket_close(&sockets);
	look_at_user(report, options);
	return opened;
}

/* ---- descriptors ---- */

void doctor_host_limits(struct doctor_report *report, const struct options *options)
{
	size_t limit = limits_raise_descriptors();
	size_t other = DESCRIPTORS_ELSE + options->pair_count +
		       2 * (options->command_count ? options->acl_parallel : 0);
	size_t wanted = options->max_connections ? 2 * (size_t)options->max_connections + other
						 : DESCRIPTORS_FEW;
	size_t room = limit > other ? (limit - other) / 2 : 0;
	if (limit >= wanted) {
		doctor_report_ok(report, "descriptors for %zu connections", room);
		return;
	}
	doctor_report_warning(report, "descriptors for %zu connections only", room);
	doctor_report_why(report,
			  options->max_connections
			      ? "--max-connections %u is more than that"
			      : "who comes when there is none left has to wait",
			  options->max_connections);
	doctor_report_mend(report, "ulimit -n %zu", wanted);
}

/* ---- files ---- */

static const char *directory_of(const char *path, char directory[static PATH_MAX])
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", path);
	snprintf(directory, PATH_MAX, "%s", dirname(copy));
	return directory;
}

/* NULL, or what is wrong with it. */
static const char *look_at_path(const char *path)
{
	char directory[PATH_MAX];
	struct stat status;
	if (stat(directory_of(path, directory), &status) != 0)
		return strerror(errno);
	if (!S_ISDIR(status.st_mode))
		return strerror(ENOTDIR);
	bool there = faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0;
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return strerror(EISDIR);
	if (faccessat(AT_FDCWD, there ? path : directory, W_OK, AT_EACCESS) != 0)
		return strerror(errno);
	return NULL;
}

/* Only a directory that is not there is mended by making it; else it is to be seen. */
static void mend_path(struct doctor_report *report, const char *path)
{
	static char word[DOCTOR_REPORT_WORD];
	char directory[PATH_MAX];
	struct stat status;
	bool missing = stat(directory_of(path, directory), &status) != 0 && errno == ENOENT;
	doctor_report_mend(report, "%s %s", missing ? "install -d" : "ls -la",
			   doctor_report_word(directory, word));
}

static void look_at_file(struct doctor_report *report, const char *what, const char *path)
{
	const char *wrong = path ? look_at_path(path) : NULL;
	if (!path)
		return;
	if (!wrong) {
		doctor_report_ok(report, "%s %s can be written", what, path);
		return;
	}
	doctor_report_error(report, "%s %s cannot be written: %s", what, path, wrong);
	doctor_report_why(report, "it does not start without it");
	mend_path(report, path);
}

/* It has more to say than whether it can be written. A running instance may be what writes it: not
 * a second one, but what takes its place, can go on there. */
static void look_at_capture(struct doctor_report *report, const char *path, bool runs)
{
	struct why why;
	if (!path)
		return;
	if ((runs ? capture_file_check(path, &why) : capture_file_check_free(path, NULL, &why)) ==
	    0) {
		doctor_report_ok(report, "capture file %s can be made", path);
		return;
	}
	doctor_report_error(report, "the capture cannot begin: %s", why.text);
	doctor_report_why(report, "it does not start without it");
	mend_path(report, path);
}

void doctor_host_files(struct doctor_report *report, const struct options *options, pid_t instance)
{
	/* In the background the working directory is the root. */
	look_at_file(report, "log file", options->log_file);
	look_at_file(report, "pid file", options->pid_file);
	look_at_file(report, "control socket",
		     options->control[0] != '@' ? options->control : NULL);
	look_at_capture(report, options->capture, instance != 0);
}

/* ---- the fast path ---- */

struct seen {
	char text[256];
	size_t length;
	bool any_ethernet, any_native;
};

static void on_interface(void *arg, const char *interface, bool ethernet, bool native)
{
	struct seen *seen = arg;
	seen->any_ethernet |= ethernet;
	seen->any_native |= ethernet && native;
	if (seen->length < sizeof(seen->text))
		seen->length +=
		    (size_t)snprintf(seen->text + seen->length, sizeof(seen->text) - seen->length,
				     "%s%s: %s", seen->length ? ", " : "", interface,
				     !ethernet ? "no Ethernet"
				     : native  ? "native"
					       : "generic");
}

/* Where it is only wished for, what the interfaces are shows why. */
static void mend_fastpath(struct doctor_report *report, const struct options *options)
{
	static char word[DOCTOR_REPORT_WORD];
	char text[PAIR_TEXT_MAX];
	if (geteuid() != 0)
		doctor_report_mend(report, "sudo pptpproxy --doctor");
	else if (options->fastpath == FASTPATH_AUTO || options->pair_count == 0)
		doctor_report_mend(report, "ip -details link show");
	else if (options->config)
		doctor_report_mend(report, "pptpproxy --doctor --fastpath auto -c %s",
				   doctor_report_word(options->config, word));
	else
		doctor_report_mend(report, "pptpproxy --doctor --fastpath auto -p %s",
				   pair_endpoint_text(&options->pairs[0].peer, text));
}

static void tell_none(struct doctor_report *report, const struct options *options,
		      const char *reason)
{
	if (options->fastpath == FASTPATH_OFF) {
		doctor_report_ok(report, "fast path: off, and there is none to be had: %s", reason);
		return;
	}
	if (options->fastpath == FASTPATH_AUTO)
		doctor_report_note(report, "no fast path is to be had: %s", reason);
	else
		doctor_report_error(report, "the fast path that is asked for is not to be had: %s",
				    reason);
	doctor_report_why(report, options->fastpath == FASTPATH_AUTO
				      ? "calls work all the same, by the raw sockets"
				      : "it does not start");
	mend_fastpath(report, options);
}

static void tell_fastpath(struct doctor_report *report, const struct options *options,
			  const struct seen *seen)
{
	if (!seen->any_ethernet)
		tell_none(report, options, seen->text);
	else if (options->fastpath == FASTPATH_NATIVE && !seen->any_native)
		tell_none(report, options, "no interface takes frames from native XDP");
	else
		doctor_report_ok(report, "fast path: %s (%s)",
				 options->fastpath == FASTPATH_OFF
				     ? "off; --fastpath auto would have it"
				     : "can be had",
				 seen->text);
}

/* Addresses of the pairs, ours and the servers': what is not known is left out. */
static size_t gather(const struct options *options, const struct doctor_pair *pairs, uint32_t *ours,
		     uint32_t *peers, size_t *peer_count)
{
	size_t count = 0;
	for (size_t i = 0; i < options->pair_count; i++) {
		if (pairs[i].listens)
			ours[count++] = pairs[i].listen_addr;
		for (size_t k = 0; k < pairs[i].way_count; k++)
			peers[(*peer_count)++] = pairs[i].ways[k].addr;
	}
	return count;
}

void doctor_host_fastpath(struct doctor_report *report, const struct options *options,
			  const struct doctor_pair *pairs)
{
	uint32_t *ours = calloc(options->pair_count + 1, sizeof(*ours));
	uint32_t *peers = calloc(options->pair_count + 1, NAMES_ADDRESSES_MAX * sizeof(*peers));
	struct fastpath_keeper_config config = {
	    .mode = options->fastpath,
	    .interfaces = options->interfaces,
	    .interface_count = options->interface_count,
	    .listen_addrs = ours,
	    .peer_addrs = peers,
	};
	struct seen seen = {.text = ""};
	struct why why;
	if (pairs && ours && peers) {
		config.listen_count = gather(options, pairs, ours, peers, &config.peer_count);
		if (fastpath_keeper_probe(&config, on_interface, &seen, &why) == 0)
			tell_fastpath(report, options, &seen);
		else
			tell_none(report, options, why.text);
	}
	free(ours);
	free(peers);
}
