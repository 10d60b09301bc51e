# all, check, check-window, check-net, torture, soak, fuzz, bench, deb, rpm, check-deb, check-install, check-reproducible, check-systems, install, uninstall, clean.
# Installing compiles nothing: run `make` first.

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
MANDIR = $(PREFIX)/share/man
BASHDIR = $(PREFIX)/share/bash-completion/completions
ZSHDIR = $(PREFIX)/share/zsh/site-functions
FISHDIR = $(PREFIX)/share/fish/vendor_completions.d
UNITDIR = $(PREFIX)/lib/systemd
SYSUSERSDIR = $(PREFIX)/lib/sysusers.d
APPDIR = $(PREFIX)/share/applications
ICONDIR = $(PREFIX)/share/icons/hicolor/scalable/apps
SYSCONFDIR = /etc
SUDOERSDIR = $(SYSCONFDIR)/sudoers.d
DESTDIR =
CARGO = cargo
# Where cargo builds, by its own variable.
TARGET = $(or $(CARGO_TARGET_DIR),target)
# Seconds for each target of `make fuzz`, and which: all of them, if none is named.
FUZZ_SECONDS = 60
FUZZ_TARGETS = $(notdir $(basename $(wildcard tests/fuzz/targets/*.rs)))

# Keeps the paths of this machine out of the program, so that the same sources give the same bytes in every folder.
# RUSTFLAGS in the environment takes the place of these flags.
REMAP = --config "build.rustflags = ['--remap-path-prefix=$(CURDIR)=egoat', \
    '--remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo']"

all:
	$(CARGO) build --release --locked $(REMAP)

# All tests that need neither a network of their own nor a minute of waiting. Most wait for processes and for time, so more
# run at once than there are cores.
check:
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-6} $(CARGO) test --locked

# The page of `egoat window` in a browser: two nodes and two browsers on this machine. Needs node, npm and chromium; what npm
# installs lands in the folder where cargo builds. Without them nothing is tested, which is an error if CI is set.
WINDOW = $(abspath $(TARGET))/window
check-window:
	@for tool in node npm chromium; do command -v $$tool >/dev/null || { \
	    echo "$$tool is missing: apt-get install nodejs npm chromium" >&2; test -z "$$CI"; exit; }; done; \
	$(CARGO) build --locked && mkdir -p $(WINDOW) && cp tests/window/browser/*.mjs tests/window/browser/*.json $(WINDOW) && \
	cd $(WINDOW) && { cmp -s package-lock.json installed.json || \
	    { npm ci --ignore-scripts --no-audit --no-fund && cp package-lock.json installed.json; }; } && \
	EGOAT=$(abspath $(TARGET))/debug/egoat node run.mjs

# Those that do: network namespaces, which need root, and limits that are a minute long.
check-net:
	$(CARGO) test --locked --test network --test hostile --test messages -- --ignored

# Every fault at every place; the number is that of the histories in tests/store/crash.rs. Takes long.
torture:
	EGOAT_TORTURE=20 $(CARGO) test --release --locked
	tests/package/check-reproducible

# Four nodes in a bad network, killed and stopped for this many seconds. It prints EGOAT_SEED, which repeats its decisions.
SOAK_SECONDS = 1200
soak:
	EGOAT_SOAK=$(SOAK_SECONDS) $(CARGO) test --locked --test soak -- --nocapture

# New inputs go to target/fuzz/corpus. What breaks a property goes to tests/fuzz/artifacts; mended, it is a seed. There is
# no unsafe code for a sanitizer to watch, and without one any toolchain does. Needs a compiler of C++.
fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || \
	    { echo 'cargo-fuzz is missing: cargo install cargo-fuzz --locked' >&2; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
	    echo "== $$target"; \
	    mkdir -p $(TARGET)/fuzz/corpus/$$target; \
	    $(CARGO) fuzz run --fuzz-dir tests/fuzz --target-dir $(TARGET)/fuzz --sanitizer none $$target \
	        $(TARGET)/fuzz/corpus/$$target tests/fuzz/seeds/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 || exit 1; \
	done

bench:
	$(CARGO) bench --locked $(REMAP) --bench figures --bench transfer

# Packages of what `make` has built, in target/debian and target/generate-rpm. The maintainer is whoever builds: DEBFULLNAME
# and DEBEMAIL, as for the tools of Debian.
MAINTAINER = $(or $(DEBFULLNAME),$(shell id -un)) <$(or $(DEBEMAIL),$(shell id -un)@$(shell uname -n))>
deb: all
	@$(CARGO) deb --version >/dev/null 2>&1 || \
	    { echo 'cargo-deb is missing: cargo install cargo-deb --locked' >&2; exit 1; }
	rm -f $(TARGET)/debian/egoat_*.deb
	sed 's/^ -- .*>  / -- $(MAINTAINER)  /' src/package/changelog | gzip -9n >$(TARGET)/release/changelog.Debian.gz
	$(CARGO) deb --no-build --no-strip --locked --maintainer "$(MAINTAINER)"

rpm: all
	@$(CARGO) generate-rpm --version >/dev/null 2>&1 || \
	    { echo 'cargo-generate-rpm is missing: cargo install cargo-generate-rpm --locked' >&2; exit 1; }
	$(CARGO) generate-rpm

# Installs the package in a fresh Debian of its own, uses it there, and removes it. Takes minutes, and needs root.
check-deb: deb
	tests/package/check-deb $(TARGET)/debian/egoat_*.deb

# What `make install` and the scripts of the Debian package do, in a place of their own. Needs root, and the tools of Debian
# for units.
check-install: all
	tests/package/check-install

# Builds twice, in two places.
check-reproducible:
	tests/package/check-reproducible

# Needs rustup, musl-tools, gcc-i686-linux-gnu, gcc-s390x-linux-gnu, qemu-user-static, gcc-mingw-w64-x86-64, wine.
check-systems:
	tests/package/check-systems

# For the node of the machine, `systemd-sysusers` then makes the user and the group egoat, and `systemctl daemon-reload` has
# systemd see the units. Packages do both by themselves. With a PREFIX of its own, systemd-sysusers takes the path of the file.
install:
	@test -e $(TARGET)/release/egoat || { echo '$(TARGET)/release/egoat is missing: run make first,' \
	    'and give CARGO_TARGET_DIR=DIR to both, if sudo or the like has lost it' >&2; exit 1; }
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7 \
	    $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR) \
	    $(DESTDIR)$(UNITDIR)/system $(DESTDIR)$(UNITDIR)/user $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(SUDOERSDIR) \
	    $(DESTDIR)$(APPDIR) $(DESTDIR)$(ICONDIR)
	install -m 755 $(TARGET)/release/egoat $(DESTDIR)$(BINDIR)/egoat
	install -m 644 man/egoat.1 $(DESTDIR)$(MANDIR)/man1/egoat.1
	install -m 644 man/egoat-system.1 $(DESTDIR)$(MANDIR)/man1/egoat-system.1
	install -m 644 man/egoat-files.5 $(DESTDIR)$(MANDIR)/man5/egoat-files.5
	install -m 644 man/egoat-protocol.7 $(DESTDIR)$(MANDIR)/man7/egoat-protocol.7
	install -m 644 src/cli/completions/egoat.bash $(DESTDIR)$(BASHDIR)/egoat
	install -m 644 src/cli/completions/_egoat $(DESTDIR)$(ZSHDIR)/_egoat
	install -m 644 src/cli/completions/egoat.fish $(DESTDIR)$(FISHDIR)/egoat.fish
	sed 's,/usr/bin/,$(BINDIR)/,' src/package/egoat-system >$(DESTDIR)$(BINDIR)/egoat-system
	chmod 755 $(DESTDIR)$(BINDIR)/egoat-system
	sed 's,/usr/bin/,$(BINDIR)/,' src/package/egoat.sudoers >$(DESTDIR)$(SUDOERSDIR)/egoat
	chmod 440 $(DESTDIR)$(SUDOERSDIR)/egoat
	install -m 644 src/package/egoat.sysusers $(DESTDIR)$(SYSUSERSDIR)/egoat.conf
	sed 's,/usr/bin/,$(BINDIR)/,' src/package/egoat.service >$(DESTDIR)$(UNITDIR)/system/egoat.service
	chmod 644 $(DESTDIR)$(UNITDIR)/system/egoat.service
	sed 's,/usr/bin/,$(BINDIR)/,' src/package/egoat.user.service >$(DESTDIR)$(UNITDIR)/user/egoat.service
	chmod 644 $(DESTDIR)$(UNITDIR)/user/egoat.service
	sed 's,/usr/bin/,$(BINDIR)/,' src/package/egoat.desktop >$(DESTDIR)$(APPDIR)/egoat.desktop
	chmod 644 $(DESTDIR)$(APPDIR)/egoat.desktop
	install -m 644 src/ui/window/page/icon.svg $(DESTDIR)$(ICONDIR)/egoat.svg

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/egoat $(DESTDIR)$(BINDIR)/egoat-system \
	    $(DESTDIR)$(SYSUSERSDIR)/egoat.conf $(DESTDIR)$(SUDOERSDIR)/egoat \
	    $(DESTDIR)$(MANDIR)/man1/egoat.1 $(DESTDIR)$(MANDIR)/man1/egoat-system.1 \
	    $(DESTDIR)$(MANDIR)/man5/egoat-files.5 $(DESTDIR)$(MANDIR)/man7/egoat-protocol.7 \
	    $(DESTDIR)$(BASHDIR)/egoat $(DESTDIR)$(ZSHDIR)/_egoat $(DESTDIR)$(FISHDIR)/egoat.fish \
	    $(DESTDIR)$(UNITDIR)/system/egoat.service $(DESTDIR)$(UNITDIR)/user/egoat.service \
	    $(DESTDIR)$(APPDIR)/egoat.desktop $(DESTDIR)$(ICONDIR)/egoat.svg

clean:
	$(CARGO) clean

.PHONY: all check check-window check-net torture soak fuzz bench deb rpm check-deb check-install check-reproducible \
    check-systems install uninstall clean
