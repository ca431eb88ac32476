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
# Without rustc (in the PATH of sudo, say) the one that was built before.
STATIC = $(if $(HOST),target/$(HOST)/release/umoci,$(firstword $(wildcard target/*/release/umoci)))
MANPAGES = $(wildcard man/*.1)

# Where it was built must not show in the program. (A path with a space in it cannot be a part of RUSTFLAGS.)
CARGO_HOME ?= $(HOME)/.cargo
REMAP = $(if $(word 3,$(CURDIR) $(CARGO_HOME)),,--remap-path-prefix=$(CURDIR)=umoci --remap-path-prefix=$(CARGO_HOME)=cargo)

.PHONY: all static check test generated demo reproducible bench built install uninstall clean

all: static

# One file that runs anywhere. The explicit target keeps the flag away from proc macros, which cannot be static.
static:
	@test -n "$(HOST)" || { echo "needs rustc (https://rustup.rs) in PATH" >&2; exit 1; }
	RUSTFLAGS="$(RUSTFLAGS) $(REMAP) -C target-feature=+crt-static" \
		$(CARGO) build --locked --release --bin umoci --target $(HOST)

check:
	CARGO="$(CARGO)" hack/check.sh

test:
	$(CARGO) test --locked

# The manual pages and completions, after a change of the command line or of man/parts/.
generated:
	UPDATE_GENERATED=1 $(CARGO) test --locked --bin umoci generated

demo: static
	hack/demo.sh $(STATIC)

# Builds twice in different places, which takes minutes.
reproducible:
	hack/reproducible.sh

bench: static
	benches/run.py $(STATIC) $(GROUPS)

# Builds only what is missing: root need not have the compiler, and leaves no files in target/.
built:
	@test -x "$(STATIC)" || $(MAKE) static

install: built
	install -D -m 0755 $(STATIC) $(DESTDIR)$(BINDIR)/umoci
	install -d -m 0755 $(DESTDIR)$(MANDIR)/man1
	install -m 0644 $(MANPAGES) $(DESTDIR)$(MANDIR)/man1/
	install -D -m 0644 completions/umoci.bash $(DESTDIR)$(BASHDIR)/umoci
	install -D -m 0644 completions/_umoci $(DESTDIR)$(ZSHDIR)/_umoci
	install -D -m 0644 completions/umoci.fish $(DESTDIR)$(FISHDIR)/umoci.fish

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/umoci $(patsubst man/%,$(DESTDIR)$(MANDIR)/man1/%,$(MANPAGES))
	rm -f $(DESTDIR)$(BASHDIR)/umoci $(DESTDIR)$(ZSHDIR)/_umoci $(DESTDIR)$(FISHDIR)/umoci.fish

clean:
	$(CARGO) clean
	rm -rf demo
