# make            ./pptpproxy, optimized, self-sufficient
# make check      the units, without root all but the fast path's; `sudo ./tools/check` runs all tests
# make lint       floors, names, warnings of two compilers, format, manual page
# make coverage   how much of parsers, table and snoop their tests run
# make format     formats the C files
# make bench      what `sudo ./tools/bench` runs; needs clang and libbpf
# make install    PREFIX, DESTDIR; make uninstall undoes it
# make deb        a Debian package, in build/deb
#
# Objects go to $(B). A variant of everything lives beside the plain one: `make asan`, `make tsan`; V=1 shows commands.

PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR  ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
INSTALL ?= install
PROGRAM ?= pptpproxy
CFLAGS  ?= -O2 -g

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
LANGUAGE = -std=gnu11 -D_GNU_SOURCE -I. -pthread
LDLIBS   = -levent_core -levent_extra -lpcap -lcap-ng -lseccomp
LIBNET   = -D_DEFAULT_SOURCE $(shell libnet-config --cflags --defines 2>/dev/null)
LIBNET_LIBS = $(shell libnet-config --libs 2>/dev/null)

# WITH_FASTPATH=no: without clang, libbpf, libmnl.
WITH_FASTPATH ?= yes
ifeq ($(WITH_FASTPATH),yes)
B ?= build/plain
fastpath := $(addprefix fastpath/fastpath,.c _memory.c _wanted.c \
	_keeper.c _maps.c _ports.c _hops.c _netlink.c)
LDLIBS += -lbpf -lmnl
else
B ?= build/no-fastpath
fastpath := fastpath/fastpath_none.c
endif

rooms := host wire acl callid snoop capture control gre fastpath options keeper status explain doctor worker

explain := $(addprefix explain/explain,.c _blame_ppp.c _blame_ways.c _case.c _control.c _events.c _findings.c _fragments.c \
	_index.c _legs.c _link.c _message.c _ppp.c _ppp_auth.c _ppp_layer.c _story.c _stream.c _way.c _words.c)

doctor := $(addprefix doctor/doctor,.c _call.c _command.c _firewall.c _host.c _iptables.c _kernel.c _mend.c _net.c _nft.c _report.c _rules.c \
	_server.c _sockets.c _talk.c)

callid := callid_db.c $(addprefix callid/callid_,index.c restore.c slots.c space.c ways.c)

snoop := call_snoop.c $(addprefix snoop/snoop_,calls.c cleared.c)

control := control_relay.c $(addprefix control/control,_conn.c _conn_access.c _conn_calls.c _conn_end.c _conn_kept.c \
	_conn_log.c _conn_pass.c _conn_request.c _dial.c _graves.c _kept.c _leg.c _listen.c _pairs.c _pump.c _restore.c \
	_rules.c _silence.c _sources.c)

gre := gre_relay.c gre/gre_hold.c gre/gre_socket.c

options := options.c $(addprefix options/options_,check.c file.c help.c take.c)

keeper := $(addprefix keeper/keeper,.c _capture.c _change.c _commands.c _fastpath.c _hold.c _life.c _log.c \
	_spawn.c _trial.c _upgrade.c _wishes.c _worker.c) \
	$(addprefix keeper/,configuration.c letter.c link.c)

status := status/snapshot.c $(addprefix status/status_,ask.c call.c figure.c http.c json.c lines.c maker.c metrics.c page.c \
	query.c show.c table.c text.c view.c watch.c)

host := $(addprefix host/,background.c capture_file.c command.c file.c instance.c kept.c limits.c log.c log_limit.c \
	log_line.c log_queue.c log_sink.c names.c process.c readiness.c sandbox.c sandbox_calls.c sandbox_files.c tcp_progress.c user.c why.c)

sources := pptpproxy.c pair.c acl.c acl_cmd.c $(addprefix acl/acl_,ask.c cmd_process.c cmd_words.c) reason.c \
	$(addprefix wire/,gre_wire.c pptp_wire.c probe_wire.c result_wire.c) \
	$(addprefix capture/capture,.c _conn.c _gre.c _queue.c _sink.c _tap.c _wire.c) \
	$(addprefix worker/worker,.c _ask.c _capture.c _change.c _drops.c _fastpath.c _legs.c _listen.c _page.c _rooms.c \
	_status.c _tap.c _totals.c _wishes.c) \
	$(callid) $(control) $(doctor) $(explain) $(fastpath) $(gre) $(host) $(keeper) $(options) $(snoop) $(status)

quiet = @echo '  $(1)	$@';
ifdef V
quiet =
endif

.PHONY: all deb units fuzzers tools bench asan tsan check coverage coverage_programs lint format install uninstall clean
.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:

all: $(PROGRAM)

# Linked anew where it was last linked from other objects: with and without the fast path there are two sets.
linked_from := build/$(subst /,-,$(PROGRAM)).from
ifneq ($(shell cat $(linked_from) 2>/dev/null),$(B))
.PHONY: $(PROGRAM)
endif
$(PROGRAM): $(sources:%.c=$(B)/%.o)
	$(call quiet,LD)$(CC) -pthread $(LDFLAGS) -o $@ $^ $(LDLIBS)
	@echo $(B) >$(linked_from)

# The eBPF half lies within the program.
fastpath_object := build/bpf/fastpath.bpf.o
# clang's BPF target does not look where Debian has the headers of this machine.
# v2, as 32-bit registers spill in a way that the verifier allows only with CAP_PERFMON.
clang_bpf = clang -O2 -g -target bpf -mcpu=v2 -ffreestanding -Wall -Wextra -I. -I/usr/include/$(shell $(CC) -dumpmachine)
compile_ebpf = $(call quiet,BPF)$(clang_bpf) -c -o $@ $<
build/bpf/%.bpf.o: fastpath/%.bpf.c fastpath/fastpath_shared.h wire/gre_wire.h Makefile
	@mkdir -p $(@D)
	$(compile_ebpf)
$(B)/fastpath/fastpath_maps.o: $(fastpath_object)
$(B)/fastpath/fastpath_maps.o: CPPFLAGS += -DFASTPATH_OBJECT='"$(fastpath_object)"'

# The status page lies within it, too.
$(B)/status/status_page.o: $(addprefix status/page,.html .js .css)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(LANGUAGE) $(WARNINGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

format:
	clang-format -i $(wildcard *.[ch] $(rooms:%=%/*.[ch]) bench/*.[ch] tests/*/*.[ch])

include tests/tests.mk bench/bench.mk

# ---- installing ----

# man/NAME.8 goes to man8/NAME.8
pages := $(foreach page,$(notdir $(wildcard man/*.[1-9])),man$(subst .,,$(suffix $(page)))/$(page))

install: $(PROGRAM)
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(addprefix $(DESTDIR)$(MANDIR)/,$(sort $(dir $(pages))))
	$(INSTALL) -m 755 $(PROGRAM) $(DESTDIR)$(SBINDIR)/pptpproxy
	$(foreach page,$(pages),$(INSTALL) -m 644 man/$(notdir $(page)) $(DESTDIR)$(MANDIR)/$(page) && ) true
	$(INSTALL) -m 644 packaging/completion/pptpproxy.bash $(DESTDIR)$(BASHDIR)/pptpproxy
	$(INSTALL) -m 644 packaging/completion/_pptpproxy $(DESTDIR)$(ZSHDIR)/_pptpproxy

uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/pptpproxy $(addprefix $(DESTDIR)$(MANDIR)/,$(pages)) \
		$(DESTDIR)$(BASHDIR)/pptpproxy $(DESTDIR)$(ZSHDIR)/_pptpproxy

# Debian's own kind of package, in build/deb.
deb:
	@tools/deb

clean:
	rm -rf build pptpproxy

-include $(sources:%.c=$(B)/%.d) $(units:%=$(B)/tests/unit/test_%.d) $(conn:%.o=$(B)/%.d)
