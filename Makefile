# all, check, torture, install, uninstall, clean, bench. Installing compiles nothing: run `make` first.

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
MANDIR = $(PREFIX)/share/man
DESTDIR =
CARGO = cargo

all:
	$(CARGO) build --release --locked

check:
	$(CARGO) test --locked

# Every fault at every place; the number is that of the histories in tests/crash.rs. Takes long.
torture:
	EGOAT_TORTURE=20 $(CARGO) test --release --locked

bench:
	$(CARGO) bench --locked --bench figures --bench transfer

install:
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7
	install -m 755 target/release/egoat $(DESTDIR)$(BINDIR)/egoat
	install -m 644 man/egoat.1 $(DESTDIR)$(MANDIR)/man1/egoat.1
	install -m 644 man/egoat-files.5 $(DESTDIR)$(MANDIR)/man5/egoat-files.5
	install -m 644 man/egoat-protocol.7 $(DESTDIR)$(MANDIR)/man7/egoat-protocol.7

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/egoat $(DESTDIR)$(MANDIR)/man1/egoat.1 \
	    $(DESTDIR)$(MANDIR)/man5/egoat-files.5 $(DESTDIR)$(MANDIR)/man7/egoat-protocol.7

clean:
	$(CARGO) clean

.PHONY: all check torture bench install uninstall clean
