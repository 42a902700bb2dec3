# Units, fuzzers, variants with sanitizers, coverage, and the tools of the network tests. Part of the Makefile above it.

# A unit test links its module and what that stands on, nothing else.
log   := host/why.o $(addprefix host/log,.o _line.o _queue.o _sink.o)
table := $(callid:.c=.o) host/kept.o host/why.o
capture := $(addprefix capture/capture,.o _conn.o _gre.o _queue.o _sink.o _wire.o) host/capture_file.o host/file.o
leg   := control/control_leg.o control/control_graves.o host/tcp_progress.o host/kept.o host/why.o
far   := tests/unit/loopback.o
stage := tests/unit/stage.o $(far) host/names.o $(log)
conn  := $(addprefix control/control,_conn.o _conn_access.o _conn_calls.o _conn_end.o _conn_kept.o _conn_log.o _conn_pass.o _conn_request.o \
	_sources.o _pairs.o _rules.o _dial.o _pump.o _kept.o) acl/acl_cmd_words.o reason.o host/log_limit.o $(leg) $(snoop:.c=.o) $(table) \
	$(capture) wire/pptp_wire.o acl/acl_ask.o acl.o pair.o tests/unit/asker.o tests/unit/talk.o $(stage)
unit_why          := host/why.o
unit_kept         := host/kept.o host/why.o tests/unit/stepping.o
unit_log          := $(log)
unit_log_limit    := host/log_limit.o $(stage)
unit_names        := host/names.o $(log)
unit_instance     := host/instance.o host/why.o
unit_background   := host/background.o host/why.o
unit_readiness    := host/readiness.o host/why.o
unit_pair         := pair.o host/why.o
unit_acl_ask      := acl/acl_ask.o
unit_file         := host/file.o host/why.o
unit_options_file := options/options_file.o host/why.o
unit_acl          := acl.o tests/unit/no_memory.o host/why.o
unit_acl_cmd      := acl_cmd.o acl/acl_cmd_process.o acl/acl_cmd_words.o acl.o host/command.o host/user.o tests/unit/no_memory.o $(log)
understood        := $(options:.c=.o) pair.o acl.o acl/acl_cmd_words.o status/status_call.o host/why.o
unit_options      := $(understood) tests/unit/no_memory.o
unit_pptp_wire    := wire/pptp_wire.o
unit_gre_wire     := wire/gre_wire.o
unit_callid_index := callid/callid_index.o tests/unit/no_memory.o
unit_callid_space := callid/callid_space.o callid/callid_index.o tests/unit/no_memory.o
unit_callid_db    := $(table) tests/unit/no_memory.o
unit_call_model   := $(snoop:.c=.o) reason.o $(table) wire/pptp_wire.o
unit_call_snoop   := $(unit_call_model) tests/unit/no_memory.o
unit_tcp_progress := host/tcp_progress.o $(far)
unit_control_sources := control/control_sources.o callid/callid_index.o host/log_limit.o $(stage)
unit_control_leg  := $(leg) $(far)
unit_control_pump := control/control_pump.o reason.o host/log_limit.o $(leg) $(snoop:.c=.o) $(table) $(capture) wire/pptp_wire.o $(log) $(far)
unit_control_dial := control/control_dial.o host/log_limit.o $(leg) pair.o $(stage)
unit_control_conn := $(conn)
unit_control_relay := control_relay.o control/control_restore.o control/control_silence.o control/control_listen.o $(conn)
unit_control_silence := control/control_silence.o host/log_limit.o $(table) $(stage)
unit_control_pairs := control/control_pairs.o pair.o host/kept.o host/why.o
unit_control_rules := control/control_rules.o acl.o acl/acl_cmd_words.o host/kept.o host/why.o
unit_control_kept := $(unit_control_relay)
unit_control_restore := $(unit_control_relay)
unit_control_graves := control/control_graves.o
unit_control_listen := control/control_listen.o $(leg) pair.o $(stage)
unit_limits       := host/limits.o
unit_command      := host/command.o host/user.o host/why.o
unit_user         := host/user.o host/why.o
unit_process      := host/process.o host/why.o
unit_sandbox      := host/sandbox.o host/sandbox_files.o host/sandbox_calls.o host/user.o host/why.o
unit_capture_wire  := capture/capture_wire.o
unit_capture_queue := capture/capture_queue.o
unit_capture       := $(capture) $(table)
unit_capture_file  := host/capture_file.o host/file.o host/why.o
unit_gre_hold     := gre/gre_hold.o host/kept.o host/why.o
unit_gre_relay    := $(gre:.c=.o) reason.o $(table) $(capture) wire/gre_wire.o $(log)
unit_keeper_capture := keeper/keeper_capture.o host/capture_file.o host/file.o host/why.o
unit_keeper_hold  := keeper/keeper_hold.o keeper/letter.o gre/gre_socket.o host/instance.o control/control_listen.o $(leg) pair.o $(stage)
unit_keeper_log   := keeper/keeper_log.o $(log)
unit_keeper_worker := $(addprefix keeper/,keeper_worker.o keeper_spawn.o letter.o link.o) host/why.o
unit_keeper_trial := $(addprefix keeper/,keeper_trial.o keeper_spawn.o letter.o) $(log)
unit_keeper_commands := keeper/keeper_commands.o pair.o acl_cmd.o acl/acl_cmd_process.o acl/acl_cmd_words.o acl.o host/command.o host/user.o $(log)
unit_worker_status := worker/worker_status.o status/snapshot.o fastpath/fastpath_none.o $(gre:.c=.o) wire/gre_wire.o \
	$(options:.c=.o) acl/acl_cmd_words.o status/status_call.o $(unit_control_relay)
unit_worker_listen := $(addprefix worker/worker_,listen.o legs.o wishes.o) keeper/link.o host/why.o
unit_worker_page  := $(addprefix worker/worker_,page.o listen.o wishes.o) keeper/link.o pair.o host/why.o
unit_worker_drops := worker/worker_drops.o reason.o $(stage)
unit_configuration := keeper/configuration.o keeper/letter.o host/file.o $(understood)
unit_explain      := $(explain:.c=.o) tests/unit/frames.o wire/pptp_wire.o wire/result_wire.o wire/gre_wire.o host/why.o
unit_explain_odd  := $(unit_explain)
unit_explain_memory := $(unit_explain) tests/unit/no_memory.o
unit_explain_link := explain/explain_link.o
unit_explain_fragments := explain/explain_fragments.o explain/explain_index.o
unit_explain_stream := explain/explain_stream.o wire/pptp_wire.o
unit_explain_way  := explain/explain_way.o
unit_explain_words := $(addprefix explain/explain_,words.o events.o index.o ppp.o ppp_auth.o ppp_layer.o) wire/result_wire.o
unit_letter       := keeper/letter.o host/why.o
unit_link         := keeper/link.o
unit_status_ask   := status/status_ask.o host/instance.o host/why.o
figures := status/snapshot.o status/status_text.o reason.o
unit_status_text    := status/status_text.o
unit_status_maker   := status/status_maker.o host/why.o status/status_json.o tests/unit/a_snapshot.o $(figures)
unit_status_json    := status/status_json.o tests/unit/a_snapshot.o $(figures)
unit_status_metrics := status/status_metrics.o tests/unit/a_snapshot.o $(figures)
unit_status_figure  := status/status_figure.o
unit_status_page    := status/status_page.o status/status_figure.o tests/unit/a_snapshot.o $(figures)
unit_status_http    := $(addprefix status/status_,http.o figure.o maker.o page.o metrics.o json.o) tests/unit/a_snapshot.o $(figures) $(far) $(log)
unit_status_call  := status/status_call.o
unit_status_query := status/status_query.o host/instance.o host/why.o
unit_status_table := status/status_table.o
unit_status_view  := status/status_view.o status/status_figure.o status/status_table.o status/status_lines.o status/snapshot.o reason.o
unit_result_wire  := wire/result_wire.o wire/pptp_wire.o
unit_probe_wire   := wire/probe_wire.o wire/result_wire.o wire/pptp_wire.o wire/gre_wire.o
unit_doctor_kernel := doctor/doctor_kernel.o doctor/doctor_sockets.o doctor/doctor_report.o
unit_doctor_report := doctor/doctor_report.o
unit_doctor_call  := doctor/doctor_call.o doctor/doctor_report.o $(unit_probe_wire)
unit_doctor_command := doctor/doctor_command.o host/command.o host/user.o host/why.o
unit_doctor_mend := $(addprefix doctor/doctor_,mend.o rules.o nft.o iptables.o report.o)
unit_doctor_firewall := doctor/doctor_firewall.o $(unit_doctor_mend) $(unit_doctor_report) $(unit_doctor_command)
ifeq ($(WITH_FASTPATH),yes)
unit_fastpath_golden  := fastpath/fastpath_maps.o fastpath/fastpath_memory.o $(log)
unit_fastpath_maps    := fastpath/fastpath_maps.o $(log)
unit_fastpath_memory  := fastpath/fastpath_memory.o $(unit_fastpath_maps)
unit_fastpath_netlink := fastpath/fastpath_netlink.o host/why.o
unit_fastpath_ports   := $(addprefix fastpath/fastpath_,ports.o maps.o netlink.o) $(log)
unit_fastpath_wanted  := fastpath/fastpath_wanted.o callid/callid_index.o host/why.o
unit_fastpath_hops    := fastpath/fastpath_hops.o fastpath/fastpath_wanted.o $(unit_fastpath_ports) callid/callid_index.o
unit_fastpath         := $(sort $(addprefix fastpath/fastpath,.o _memory.o _keeper.o) $(unit_fastpath_hops) $(table))
endif
units := $(sort $(patsubst unit_%,%,$(filter unit_%,$(.VARIABLES))))

fuzz_pair          := pair.c host/why.c
fuzz_acl           := acl.c host/why.c
fuzz_acl_cmd_split := acl/acl_cmd_words.c host/why.c
fuzz_options       := $(options) pair.c acl.c acl/acl_cmd_words.c status/status_call.c host/why.c
fuzz_stream        := $(snoop) reason.c $(callid) host/kept.c host/why.c wire/pptp_wire.c
fuzz_gre           := wire/gre_wire.c
fuzz_letter        := keeper/letter.c host/why.c
fuzz_explain       := $(explain) wire/pptp_wire.c wire/result_wire.c wire/gre_wire.c host/why.c
fuzz_status_view   := $(addprefix status/status_,view.c figure.c table.c call.c)
fuzz_probe         := wire/probe_wire.c wire/result_wire.c wire/pptp_wire.c wire/gre_wire.c
fuzz_rules         := doctor/doctor_rules.c doctor/doctor_nft.c doctor/doctor_iptables.c doctor/doctor_mend.c doctor/doctor_report.c
fuzzers := $(sort $(patsubst fuzz_%,%,$(filter fuzz_%,$(.VARIABLES))))

$(B)/tests/unit/test_gre_relay.o: CPPFLAGS += $(LIBNET)
$(B)/tests/unit/test_gre_relay: LDLIBS += $(LIBNET_LIBS) -Wl,--wrap=sendmmsg
steps := send recv shutdown close kept_begin kept_save kept_commit control_leg_take control_leg_write callid_db_release
no_memory := malloc calloc realloc aligned_alloc tsearch strdup strndup asprintf
$(addprefix $(B)/tests/unit/test_,acl acl_cmd call_snoop callid_db callid_index callid_space explain_memory options): LDLIBS += $(no_memory:%=-Wl,--wrap=%)
$(addprefix $(B)/tests/unit/test_,control_relay control_restore keeper_worker status_http status_query worker_status): LDLIBS += \
	-Wl,--wrap=clock_gettime
$(B)/tests/unit/test_control_leg: LDLIBS += -Wl,--wrap=recv
$(B)/tests/unit/test_control_kept: LDLIBS += $(steps:%=-Wl,--wrap=%)
$(B)/tests/unit/test_capture_file: LDLIBS += -Wl,--wrap=fcntl
$(B)/tests/unit/test_doctor_call: LDLIBS += -Wl,--wrap=recvfrom
$(B)/tests/unit/test_link: LDLIBS += -Wl,--wrap=sendmsg,--wrap=recvmsg
$(B)/tests/unit/test_call_model: LDLIBS += -Wl,--wrap=getrandom
$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $$(addprefix $(B)/,$$(unit_$$*))
	$(call quiet,LD)$(CC) -pthread $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

units: $(units:%=$(B)/tests/unit/test_%)

# The tools of the network tests are the same in every variant.
build/tests/ppp_end: $(wildcard tests/ppp_end/*.[ch])
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(LANGUAGE) $(WARNINGS) -O2 -g -o $@ $(filter %.c,$^)

build/tests/gre_send: tests/tools/gre_send.c
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(LANGUAGE) $(WARNINGS) -O2 -g $(LIBNET) -o $@ $< $(LIBNET_LIBS)

build/tests/fail_nth.so: tests/tools/fail_nth.c
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(LANGUAGE) $(WARNINGS) -O2 -g -fPIC -shared -o $@ $<

ifeq ($(WITH_FASTPATH),yes)
build/tests/%.bpf.o: tests/tools/%.bpf.c Makefile
	@mkdir -p $(@D)
	$(compile_ebpf)
tools: build/tests/xdp_pass.bpf.o
endif

# What the benchmarks, and tests of many connections, run beside the program.
bench_tools := build/bench/sessions

$(bench_tools): build/%: %.c
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(LANGUAGE) $(WARNINGS) -O2 -g -o $@ $<

tools: build/tests/ppp_end build/tests/gre_send build/tests/fail_nth.so $(bench_tools)

sanitize = -O1 -g -fno-omit-frame-pointer -fsanitize=$(1)
variant = +@$(MAKE) --no-print-directory B=build/$@ PROGRAM=build/$@/pptpproxy \
	CFLAGS='$(call sanitize,$(1)) $(3)' LDFLAGS='-fsanitize=$(1) $(2)' build/$@/pptpproxy units
# Static: as shared libraries the two do not agree on a file for reports, and the second one's go to standard error,
# which a daemon has not. (clang does so anyway.)
asan:
	$(call variant,address$(comma)undefined,$(if $(findstring clang,$(CC)),,-static-libasan -static-libubsan))
# The fast path's fence orders what another program reads, which this sanitizer does not see.
tsan:
	$(call variant,thread,,-Wno-tsan)
comma := ,

build/fuzz/%: tests/fuzz/fuzz_%.c $$(fuzz_$$*) $(wildcard *.h $(rooms:%=%/*.h))
	@mkdir -p $(@D)
	$(call quiet,FUZZ)clang $(LANGUAGE) $(call sanitize,fuzzer$(comma)address$(comma)undefined) \
		-fno-sanitize-recover=all -o $@ $(filter %.c,$^) $(FUZZ_LIBS)
build/fuzz/explain: FUZZ_LIBS := -lpcap
build/coverage/replay_explain: FUZZ_LIBS := -lpcap

fuzzers: $(fuzzers:%=build/fuzz/%)

# ---- coverage ----

# Of what needs no network: parsers, table, snoop. tests/coverage says how much must be covered.
covered_units := $(filter options options_file pair acl acl_cmd names pptp_wire gre_wire probe_wire result_wire explain% \
	callid_index callid_space callid_db call_snoop call_model,$(units))
covered = build/coverage/tests/unit/test_
covered_objects = $(1:%.c=build/coverage/%.o)

coverage: coverage_programs
	@tests/coverage

coverage_programs:
	+@$(MAKE) --no-print-directory B=build/coverage CFLAGS='-O0 -g --coverage' LDFLAGS=--coverage \
		$(covered_units:%=$(covered)%) $(fuzzers:%=build/coverage/replay_%)

build/coverage/replay_%: build/coverage/tests/fuzz/fuzz_%.o build/coverage/tests/fuzz/replay.o \
		$$(call covered_objects,$$(fuzz_$$*))
	$(call quiet,LD)$(CC) -pthread --coverage -o $@ $^ $(FUZZ_LIBS)

# ---- all that needs no network ----

check: $(PROGRAM) units
	@CMOCKA_MESSAGE_OUTPUT=TAP tests/run -j 2 $(units:%=$(B)/tests/unit/test_%)

lint: $(PROGRAM)
	@tests/run tests/lint
