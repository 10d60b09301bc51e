# all, check, torture, fuzz, install, uninstall, clean, bench. Installing compiles nothing: run `make` first.

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
MANDIR = $(PREFIX)/share/man
BASHDIR = $(PREFIX)/share/bash-completion/completions
ZSHDIR = $(PREFIX)/share/zsh/site-functions
FISHDIR = $(PREFIX)/share/fish/vendor_completions.d
DESTDIR =
CARGO = cargo
# Seconds for each target of `make fuzz`, and which: all of them, if none is named.
FUZZ_SECONDS = 60
FUZZ_TARGETS = $(notdir $(basename $(wildcard tests/fuzz/targets/*.rs)))

all:
	$(CARGO) build --release --locked

check:
	$(CARGO) test --locked

# Every fault at every place; the number is that of the histories in tests/crash.rs. Takes long.
torture:
	EGOAT_TORTURE=20 $(CARGO) test --release --locked

# New inputs go to target/fuzz/corpus. What breaks a property goes to tests/fuzz/artifacts; mended, it is a seed. There is
# no unsafe code for a sanitizer to watch, and without one any toolchain does. Needs a compiler of C++.
fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || \
	    { echo 'cargo-fuzz is missing: cargo install cargo-fuzz --locked' >&2; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
	    echo "== $$target"; \
	    mkdir -p target/fuzz/corpus/$$target; \
	    $(CARGO) fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none $$target \
	        target/fuzz/corpus/$$target tests/fuzz/seeds/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 || exit 1; \
	done

bench:
	$(CARGO) bench --locked --bench figures --bench transfer

install:
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7 \
	    $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR)
	install -m 755 target/release/egoat $(DESTDIR)$(BINDIR)/egoat
	install -m 644 man/egoat.1 $(DESTDIR)$(MANDIR)/man1/egoat.1
	install -m 644 man/egoat-files.5 $(DESTDIR)$(MANDIR)/man5/egoat-files.5
	install -m 644 man/egoat-protocol.7 $(DESTDIR)$(MANDIR)/man7/egoat-protocol.7
	install -m 644 src/cli/completions/egoat.bash $(DESTDIR)$(BASHDIR)/egoat
	install -m 644 src/cli/completions/_egoat $(DESTDIR)$(ZSHDIR)/_egoat
	install -m 644 src/cli/completions/egoat.fish $(DESTDIR)$(FISHDIR)/egoat.fish

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/egoat $(DESTDIR)$(MANDIR)/man1/egoat.1 \
	    $(DESTDIR)$(MANDIR)/man5/egoat-files.5 $(DESTDIR)$(MANDIR)/man7/egoat-protocol.7 \
	    $(DESTDIR)$(BASHDIR)/egoat $(DESTDIR)$(ZSHDIR)/_egoat $(DESTDIR)$(FISHDIR)/egoat.fish

clean:
	$(CARGO) clean

.PHONY: all check torture fuzz bench install uninstall clean
