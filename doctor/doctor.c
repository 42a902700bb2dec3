#include "doctor/doctor.h"

#include "doctor/doctor_firewall.h"
#include "doctor/doctor_host.h"
#include "doctor/doctor_kernel.h"
#include "doctor/doctor_net.h"
#include "doctor/doctor_report.h"
#include "doctor/doctor_server.h"
#include "gre/gre_socket.h"
#include "host/user.h"

#include <stdlib.h>
#include <unistd.h>

struct doctor {
	const struct options *options;
	struct doctor_report report;
	struct doctor_pair *pairs;
	struct gre_socket sockets; /* for calls */
	bool root;		   /* who started this is */
	bool can_call;
	struct doctor_firewall_gre gre;
};

static void look_at_host(struct doctor *doctor)
{
	struct doctor_report *report = &doctor->report;
	const struct options *options = doctor->options;

	doctor_report_section(report, "Host");
	pid_t instance = doctor_host_instance(report, options);
	doctor->can_call = doctor_host_rights(report, options);
	doctor_host_limits(report, options);
	doctor_host_files(report, options, instance);
	doctor->pairs = doctor_net_resolve(report, options);
	doctor_net_ports(report, options, doctor->pairs, instance);
	if (doctor->pairs)
		doctor_net_routes(report, doctor->pairs, options->pair_count);
	doctor_report_section(report, "Kernel");
	doctor_kernel_look(report, instance);
	if (doctor->pairs)
		doctor_host_fastpath(report, options, doctor->pairs);
	doctor_firewall_look(report, doctor->pairs, doctor->pairs ? options->pair_count : 0,
			     &doctor->gre);
}

static void tell_no_user(struct doctor_report *report, const struct why *why, const char *mend)
{
	doctor_report_error(report, "root's rights cannot be given up: %s", why->text);
	doctor_report_why(report, "the worker could not give them up either: it does not start");
	doctor_report_mend(report, "%s", mend);
}

/* For the worker's user, or another where there is none. */
static void give_up_rights(struct doctor *doctor)
{
	struct user user;
	struct why why;
	if (geteuid() != 0)
		return;
	if (user_find(doctor->options->user, &user, &why) != 0 && user_find(NULL, &user, &why) != 0)
		tell_no_user(
		    &doctor->report, &why,
		    "useradd --system --no-create-home --shell /usr/sbin/nologin pptpproxy");
	else if (user_become(&user, &why) != 0)
		tell_no_user(&doctor->report, &why,
			     "on the container's host: podman run --cap-add "
			     "SETUID,SETGID,NET_RAW IMAGE");
}

/* Several pairs may lead to one server. */
static bool was_called(const struct doctor *doctor, size_t pair, size_t way)
{
	const struct doctor_pair *pairs = doctor->pairs;
	for (size_t i = 0; i <= pair; i++) {
		size_t count = i < pair ? pairs[i].way_count : way;
		for (size_t k = 0; k < count; k++) {
			if (pairs[i].ways[k].addr == pairs[pair].ways[way].addr &&
			    pairs[i].pair->peer.port == pairs[pair].pair->peer.port)
				return true;
		}
	}
	return false;
}

static void call_servers(struct doctor *doctor)
{
	struct doctor_server_config config = {
	    .timeout_s = doctor->options->connect_timeout_s,
	    .sockets = doctor->sockets.send_fd >= 0 ? &doctor->sockets : NULL,
	    .gre = &doctor->gre,
	};
	doctor_report_section(&doctor->report, "Servers");
	if (doctor->options->doctor_call && !config.sockets) {
		doctor_report_note(&doctor->report, "no call is made, for want of raw GRE sockets");
		doctor_report_why(&doctor->report,
				  "whether protocol 47 passes is seen only by its packets");
		doctor_host_mend_rights(&doctor->report, doctor->root);
	}
	for (size_t i = 0; i < doctor->options->pair_count; i++) {
		const struct doctor_pair *pair = &doctor->pairs[i];
		for (size_t k = 0; k < pair->way_count; k++) {
			if (pair->ways[k].there && !was_called(doctor, i, k))
				doctor_server_call(&doctor->report, &pair->ways[k],
						   pair->pair->peer.port, &config);
		}
	}
}

static void tell_no_pair(struct doctor_report *report)
{
	doctor_report_note(report, "no pair was given");
	doctor_report_why(report, "ports, routes and servers were not looked at");
	doctor_report_mend(report, "pptpproxy --doctor -p SERVER");
}

unsigned doctor_run(const struct options *options)
{
	struct doctor doctor = {
	    .options = options,
	    .report = {.out = stdout},
	    .root = geteuid() == 0,
	    .sockets = GRE_SOCKET_NONE,
	};
	struct why why;

	look_at_host(&doctor);
	/* Where it fails now, call_servers says that there is none. */
	if (options->doctor_call && doctor.can_call)
		gre_socket_open(&doctor.sockets, &why);
	give_up_rights(&doctor);
	if (doctor.pairs)
		call_servers(&doctor);
	else if (options->pair_count == 0)
		tell_no_pair(&doctor.report);
	unsigned wrong = doctor_report_end(&doctor.report);
	gre_socket_close(&doctor.sockets);
	free(doctor.pairs);
	return wrong;
}
