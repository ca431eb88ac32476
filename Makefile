# SPDX-License-Identifier: Apache-2.0
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d

HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Without rustc (in the PATH of sudo, say) the one that was built before.
STATIC = $(if $(HOST),$(TARGET)/$(HOST)/release/umoci,$(shell ls -t "$(TARGET)"/*/release/umoci 2>/dev/null | head -n 1))
# What is installed. Who sets it has built it: nothing is built then.
PROGRAM = $(STATIC)
SOURCES = Cargo.toml Cargo.lock src
MANPAGES = $(notdir $(wildcard man/*.1))

# Where it was built must not show in the program. (A path with a space in it cannot be a part of RUSTFLAGS.)
CARGO_HOME ?= $(HOME)/.cargo
REMAP = $(if $(word 3,$(CURDIR) $(CARGO_HOME)),,--remap-path-prefix=$(CURDIR)=umoci --remap-path-prefix=$(CARGO_HOME)=cargo)

.PHONY: all static check release-check test generated demo bench built install uninstall clean

all: static

# One file that runs anywhere. The explicit target keeps the flag away from proc macros, which cannot be static.
# It is younger than its sources afterwards, even where cargo finds that it need not be made again.
static:
	@test -n "$(HOST)" || { echo "needs rustc (https://rustup.rs) in PATH" >&2; exit 1; }
	RUSTFLAGS="$(RUSTFLAGS) $(REMAP) -C target-feature=+crt-static" \
		$(CARGO) build --locked --release --bin umoci --target $(HOST)
	@touch "$(STATIC)"

check:
	CARGO="$(CARGO)" hack/check.sh

# What packagers do with a release; builds the program twice in different places, which takes minutes.
release-check:
	CARGO="$(CARGO)" hack/release-check.sh

test:
	$(CARGO) test --locked

# Manual pages, completions and what the tests expect to be printed, after a change of the command line or of man/parts/.
generated:
	UPDATE_GENERATED=1 $(CARGO) test --locked --bin umoci generated
	UPDATE_GENERATED=1 $(CARGO) test --locked --test it golden

demo: static
	hack/demo.sh "$(STATIC)"

bench: built
	benches/run.py "$(PROGRAM)" $(GROUPS)

# Builds only what is missing or older than its sources: root need not have the compiler, and leaves no files in target/.
ifeq ($(origin PROGRAM),file)
built:
	@test -x "$(PROGRAM)" && test -z "$$(find $(SOURCES) -newer "$(PROGRAM)")" || $(MAKE) static
else
built:
	@test -x "$(PROGRAM)" || { echo "there is no program $(PROGRAM)" >&2; exit 1; }
endif

install: built
	install -D -m 0755 "$(PROGRAM)" "$(DESTDIR)$(BINDIR)/umoci"
	install -d -m 0755 "$(DESTDIR)$(MANDIR)/man1"
	install -m 0644 $(MANPAGES:%=man/%) "$(DESTDIR)$(MANDIR)/man1/"
	install -D -m 0644 completions/umoci.bash "$(DESTDIR)$(BASHDIR)/umoci"
	install -D -m 0644 completions/_umoci "$(DESTDIR)$(ZSHDIR)/_umoci"
	install -D -m 0644 completions/umoci.fish "$(DESTDIR)$(FISHDIR)/umoci.fish"

uninstall:
	rm -f "$(DESTDIR)$(BINDIR)/umoci" $(MANPAGES:%="$(DESTDIR)$(MANDIR)/man1/%")
	rm -f "$(DESTDIR)$(BASHDIR)/umoci" "$(DESTDIR)$(ZSHDIR)/_umoci" "$(DESTDIR)$(FISHDIR)/umoci.fish"

clean:
	$(CARGO) clean
	rm -rf demo
