# make            ./pptpproxy, optimized, self-sufficient
# make check      the tests that need no root
# make lint       floors, format, manual page, two compilers with -Werror
# make install    PREFIX, DESTDIR; make uninstall undoes it
#
# B is where objects go: `make B=build/asan CFLAGS=... LDFLAGS=...` builds a variant beside the plain one.

PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR  ?= $(PREFIX)/share/man
INSTALL ?= install
B       ?= build/plain
PROGRAM ?= pptpproxy
CFLAGS  ?= -O2 -g

WARNINGS     = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
override CFLAGS   += -std=gnu11 $(WARNINGS) -pthread
override CPPFLAGS += -D_GNU_SOURCE -I.
override LDFLAGS  += -pthread
LDLIBS       = -levent_core -levent_extra -lpcap

sources := pptpproxy.c options.c pair.c acl.c acl_cmd.c acl_cmd_words.c \
	control_relay.c control_listen.c control_conn.c control_dial.c control_leg.c call_snoop.c \
	callid_db.c callid_index.c gre_relay.c gre_hold.c gre_socket.c \
	wire/pptp_wire.c wire/gre_wire.c \
	$(addprefix host/,why.c log.c log_queue.c names.c instance.c background.c limits.c)

# A unit test links its module and what that stands on, nothing else.
host_log := host/why.o host/log.o host/log_queue.o
unit_why        := host/why.o
unit_log        := $(host_log)
unit_names      := host/names.o $(host_log)
unit_instance   := host/instance.o host/why.o
unit_background := host/background.o host/why.o
unit_pair       := pair.o host/why.o
unit_acl        := acl.o host/why.o
unit_acl_cmd    := acl_cmd.o acl_cmd_words.o acl.o $(host_log)
unit_options    := options.o pair.o acl.o acl_cmd_words.o host/why.o
unit_pptp_wire  := wire/pptp_wire.o
unit_gre_wire   := wire/gre_wire.o
unit_callid_db  := callid_db.o callid_index.o
unit_call_snoop := call_snoop.o callid_db.o callid_index.o wire/pptp_wire.o
units := $(patsubst unit_%,%,$(filter unit_%,$(.VARIABLES)))

quiet = @echo '  $(1)	$@';
ifdef V
quiet =
endif

.PHONY: all check lint format install uninstall clean units fuzzers tools
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAM)

$(PROGRAM): $(sources:%.c=$(B)/%.o)
	$(call quiet,LD)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

.SECONDEXPANSION:
$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $$(addprefix $(B)/,$$(unit_$$*))
	$(call quiet,LD)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

units: $(units:%=$(B)/tests/unit/test_%)

# Test tools are the same in every variant.
build/tests/ppp_end: $(wildcard tests/ppp_end/*.[ch])
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARNINGS) -o $@ $(filter %.c,$^)

build/tests/gre_send: tests/tools/gre_send.c
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARNINGS) $(shell libnet-config --cflags --defines) -o $@ $< $(shell libnet-config --libs)

tools: build/tests/ppp_end build/tests/gre_send

clean:
	rm -rf build pptpproxy

-include $(shell find $(B) -name '*.d' 2>/dev/null)
