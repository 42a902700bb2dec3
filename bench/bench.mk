# What `sudo ./tools/bench` runs. Part of the Makefile above it.

build/bench/%.bpf.o: bench/%.bpf.c bench/rows.h Makefile
	@mkdir -p $(@D)
	$(call quiet,BPF)$(clang_bpf) -c -o $@ $<

build/bench/%: bench/%.c bench/rows.h wire/bytes.h Makefile
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(LANGUAGE) $(WARNINGS) -O2 -g -o $@ $< -lbpf

bench: $(patsubst %.c,build/%,$(filter-out %.bpf.c,$(wildcard bench/*.c))) $(patsubst %.c,build/%.o,$(wildcard bench/*.bpf.c))
