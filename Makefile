# SPDX-License-Identifier: Apache-2.0
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man1

HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
STATIC = target/$(HOST)/release/umoci
MANPAGES = $(wildcard man/*.1)

.PHONY: all static check test generated demo bench install uninstall clean

all: static

# One file that runs anywhere. The explicit target keeps the flag away from proc macros, which cannot be static.
static:
	@test -n "$(HOST)" || { echo "needs rustc (https://rustup.rs) in PATH" >&2; exit 1; }
	RUSTFLAGS="$(RUSTFLAGS) -C target-feature=+crt-static" \
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

bench: static
	benches/run.sh $(STATIC)

install: static
	install -D -m 0755 $(STATIC) $(BINDIR)/umoci
ifneq ($(MANPAGES),)
	install -d -m 0755 $(MANDIR)
	install -m 0644 $(MANPAGES) $(MANDIR)/
endif

uninstall:
	rm -f $(BINDIR)/umoci $(patsubst man/%,$(MANDIR)/%,$(MANPAGES))

clean:
	$(CARGO) clean
	rm -rf demo
