#include "doctor/doctor_kernel.h"

#include "doctor/doctor_sockets.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ---- */

/* -1: there is none. */
static long setting(const char *name)
{
	char path[128];
	long value;
	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	FILE *file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

static void look_at_helper(struct doctor_report *report)
{
	if (setting("netfilter/nf_conntrack_helper") != 1)
		return;
	doctor_report_warning(report,
			      "the kernel gives each connection to port 1723 to its PPTP helper");
	doctor_report_why(report,
			  "with NAT it rewrites call IDs a second time, and packets go astray");
	doctor_report_mend(report, "sysctl -w net.netfilter.nf_conntrack_helper=0");
}

/* ---- the filter of sources ---- */

/* Interfaces that the host has a default route by. */
static size_t find_defaults(char names[][IF_NAMESIZE], size_t max)
{
	FILE *file = fopen("/proc/net/route", "re");
	char line[256], name[IF_NAMESIZE];
	unsigned destination, mask;
	size_t count = 0;

	while (file && count < max && fgets(line, sizeof(line), file)) {
		/* Its first line has titles, which are no numbers. */
		if (sscanf(line, "%15s %x %*x %*x %*d %*d %*d %x", name, &destination, &mask) ==
			3 &&
		    destination == 0 && mask == 0)
			snprintf(names[count++], IF_NAMESIZE, "%s", name);
	}
	if (file)
		fclose(file);
	return count;
}

/* As sysctl wants it: "eth0.7" has a dot that is none of a setting's. */
static void name_for_sysctl(const char *interface, char out[static IF_NAMESIZE])
{
	snprintf(out, IF_NAMESIZE, "%s", interface);
	for (char *at = out; *at; at++)
		*at = *at == '.' ? '/' : *at;
}

static bool is_strict(const char *interface)
{
	char name[64];
	snprintf(name, sizeof(name), "ipv4/conf/%s/rp_filter", interface);
	long own = setting(name), all = setting("ipv4/conf/all/rp_filter");
	return (own > all ? own : all) == 1; /* the larger one counts; 2 is loose */
}

/* With one way out, what comes back comes by it. */
static void look_at_source_filter(struct doctor_report *report)
{
	enum { DEFAULTS = 16 };
	char names[DEFAULTS][IF_NAMESIZE];
	char name[IF_NAMESIZE];
	size_t count = find_defaults(names, DEFAULTS);
	bool several = false;

	for (size_t i = 1; i < count; i++)
		several |= strcmp(names[i], names[0]) != 0;
	for (size_t i = 0; several && i < count; i++) {
		if (!is_strict(names[i]))
			continue;
		name_for_sysctl(names[i], name);
		doctor_report_warning(
		    report, "%s drops what comes by another way than answers go (rp_filter)",
		    names[i]);
		doctor_report_why(report,
				  "there are default routes by several interfaces: packets of some "
				  "clients are lost");
		doctor_report_mend(report, "sysctl -w net.ipv4.conf.%s.rp_filter=2", name);
	}
}

/* ---- modules ---- */

static bool has_module(const char *modules, const char *name)
{
	size_t length = strlen(name);
	for (const char *at = modules; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		if (strncmp(at, name, length) == 0 && at[length] == ' ')
			return true;
	}
	return false;
}

/* Loaded, it touches nothing yet: rules give it connections, or, up to Linux 5.19, a setting
 * (look_at_helper), which was on by default up to 4.6. nf_nat_pptp has nf_conntrack_pptp loaded,
 * and takes it along when it goes. */
static void note_helper(struct doctor_report *report, const char *modules)
{
	const char *name = has_module(modules, "nf_nat_pptp") ? "nf_nat_pptp" : "nf_conntrack_pptp";
	if (!has_module(modules, name))
		return;
	doctor_report_note(report, "the kernel's PPTP helper is loaded: %s", name);
	doctor_report_why(
	    report, "it does nothing until a rule, or before Linux 6.0 a setting, gives it our "
		    "control connections: with NAT it then rewrites call IDs a second time");
	doctor_report_mend(report, "modprobe -r %s", name);
}

void doctor_kernel_modules(struct doctor_report *report, const char *modules)
{
	if (has_module(modules, "pptp")) {
		doctor_report_note(report, "the kernel module pptp is loaded");
		doctor_report_why(report, "another program ends PPTP calls on this host");
		doctor_report_mend(report, "modprobe -r pptp");
	}
	note_helper(report, modules);
}

/* A kernel without modules has no list. */
static void look_at_modules(struct doctor_report *report)
{
	enum { MODULES_MAX = 1 << 20 };
	FILE *file = fopen("/proc/modules", "re");
	char *modules = file ? calloc(1, MODULES_MAX) : NULL;
	if (modules) {
		modules[fread(modules, 1, MODULES_MAX - 1, file)] = '\0';
		doctor_kernel_modules(report, modules);
	}
	if (file)
		fclose(file);
	free(modules);
}

/* ---- others who take protocol 47 ---- */

static void look_at_sockets(struct doctor_report *report, pid_t instance)
{
	unsigned long inodes[DOCTOR_SOCKETS_MAX];
	char name[DOCTOR_SOCKETS_NAME];
	pid_t last = 0;
	size_t count = doctor_sockets_gre(inodes);

	for (size_t i = 0; i < count; i++) {
		if (instance != 0 && doctor_sockets_has(instance, inodes[i]))
			continue;
		pid_t owner = doctor_sockets_owner(inodes[i], name);
		if (owner == last || owner == 0)
			continue;
		last = owner;
		doctor_report_note(report, "%s (pid %ld) takes GRE packets of this host as well",
				   name, (long)owner);
		doctor_report_why(report,
				  "each of them gets every packet; if it ends calls itself, their "
				  "IDs may be the same as ours");
		doctor_report_mend(report, "kill %ld", (long)owner);
	}
}

void doctor_kernel_look(struct doctor_report *report, pid_t instance)
{
	look_at_helper(report);
	look_at_source_filter(report);
	look_at_modules(report);
	look_at_sockets(report, instance);
}
