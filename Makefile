# `make` or `make help` lists what can be made.

PREFIX ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
CARGO ?= cargo
DEBUG_BINARY := target/debug/interlink-cri
RELEASE_BINARY := target/release/interlink-cri
# What `make fuzz` runs, and for how long each; no TARGET is all of them. Also what `make portable` builds for.
TARGET ?=
FUZZ_SECONDS ?= 60
# How long each campaign of `make chaos` takes. CHAOS_SEED repeats one.
CHAOS_SECONDS ?= 900

.DEFAULT_GOAL := help
.PHONY: help deps build release test lint audit coverage demo demo-volumes bench bench-short soak fuzz chaos model install uninstall \
	portable deb rpm tarball dist package-lint package-check package-try clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Install what a build needs (C++ compiler, cmake) where it is missing
	@./packaging/install-deps.sh

# Build, test, lint and demo share one profile, so that the gRPC C core (minutes) is compiled once.
build: deps ## Build for development
	$(CARGO) build --locked

release: deps ## Build for installation: target/release/interlink-cri
	$(CARGO) build --locked --release

test: deps ## Run all tests; no network beyond loopback
	$(CARGO) test --locked

lint: deps ## Check format, lints, and the dependencies' licences and sources
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	./packaging/cargo-deny.sh bans licenses sources

audit: deps ## Look for advisories against the dependencies; fetches the list of them
	./packaging/cargo-deny.sh advisories

coverage: deps ## Print which share of the lines the tests run
	./packaging/coverage.sh

demo: build ## Run two pods through a daemon of its own, and leave nothing behind
	@./examples/demo.sh $(DEBUG_BINARY)

demo-volumes: build ## Run a pod that mounts a ConfigMap, a Secret and a service account token
	@./examples/demo-volumes.sh $(DEBUG_BINARY)

bench: release ## Measure, and print the figures
	$(CARGO) bench --locked --bench conversion
	$(CARGO) bench --locked --bench load

bench-short: deps ## Run all measurements with few pods and the development build, to see that they work
	BENCH_PODS=40 BENCH_CALLS=60 BENCH_REST=2 BENCH_JOBS=60 BENCH_LOGS=20 BENCH_LOG_SECONDS=3 \
		$(CARGO) bench --locked --profile dev --bench load

soak: release ## Let pods come and go for SOAK_SECONDS (600), and watch the memory
	$(CARGO) bench --locked --bench soak

chaos: deps ## Kill, and commit faults, for CHAOS_SECONDS (900) in each of three campaigns
	CHAOS_SECONDS=$(CHAOS_SECONDS) $(CARGO) test --locked --test chaos -- --nocapture --test-threads 1

model: deps ## Explore all interleavings of the submission protocol, deeper than `make test` (20 min, 7 GB)
	MODEL_DEEP=1 $(CARGO) test --release --locked --test protocol -- --nocapture

fuzz: deps ## Look for inputs that break a promise (TARGET=..., FUZZ_SECONDS=60)
	FUZZ_SECONDS=$(FUZZ_SECONDS) ./fuzz/run.sh $(TARGET)

# Built by whoever may; installed by root: `make release && sudo make install`.
$(RELEASE_BINARY):
	$(MAKE) release

install: $(RELEASE_BINARY) ## Install below $(DESTDIR)$(PREFIX)
	install -D -m 0755 $(RELEASE_BINARY) $(DESTDIR)$(PREFIX)/bin/interlink-cri
	install -D -m 0644 packaging/interlink-cri.service $(DESTDIR)$(UNITDIR)/interlink-cri.service
	sed -i 's|@BINDIR@|$(PREFIX)/bin|' $(DESTDIR)$(UNITDIR)/interlink-cri.service
	install -d $(DESTDIR)$(PREFIX)/share/doc/interlink-cri
	sed 's|@BINDIR@|$(PREFIX)/bin|' packaging/systemd/kubelet.service.d/interlink-node-view.conf \
		>$(DESTDIR)$(PREFIX)/share/doc/interlink-cri/interlink-node-view.conf
	install -D -m 0644 packaging/config.toml.sample \
		$(DESTDIR)$(PREFIX)/share/doc/interlink-cri/config.toml.sample
	test -e $(DESTDIR)$(SYSCONFDIR)/interlink-cri/config.toml || \
		install -D -m 0640 packaging/config.toml.sample \
			$(DESTDIR)$(SYSCONFDIR)/interlink-cri/config.toml
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(RELEASE_BINARY) completions bash \
		>$(DESTDIR)$(PREFIX)/share/bash-completion/completions/interlink-cri

uninstall: ## Remove what install installed; configuration and state stay
	rm -f $(DESTDIR)$(PREFIX)/bin/interlink-cri
	rm -f $(DESTDIR)$(UNITDIR)/interlink-cri.service
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/interlink-cri
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/interlink-cri

# Packages have one build in common: `make deb rpm tarball` compiles once. packaging/README.md tells
# more. NATIVE=1 takes the compilers and the glibc of this machine.
PACKAGED := target/package/bin/interlink-cri
STAGED := target/package/root.staged
SOURCES := Cargo.toml Cargo.lock build.rs $(shell find build src proto -type f)
NATIVE ?=
# What a portable program runs on: 2.28 is that of RHEL 8.
GLIBC ?= 2.28
PORTABLE_TARGET := $(or $(TARGET),$(shell uname -m)-unknown-linux-gnu)
# The machine that is built for, where it is not this one.
FOREIGN := $(filter-out $(shell uname -m),$(firstword $(subst -, ,$(PORTABLE_TARGET))))
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
KIND := $(if $(NATIVE),,$(PORTABLE_TARGET) $(GLIBC))

# Changes when another kind is wanted than the one that is there.
target/package/kind: FORCE
	@mkdir -p $(@D)
	@echo '$(KIND)' | cmp -s - $@ || echo '$(KIND)' >$@
FORCE:

$(PACKAGED): $(SOURCES) packaging/build.sh packaging/zig.txt target/package/kind
	./packaging/install-deps.sh $(if $(NATIVE),tarball,portable $(FOREIGN))
	./packaging/build.sh $(KIND)
	./packaging/check-binary.sh $@ $(if $(NATIVE),any,$(GLIBC))

$(STAGED): $(PACKAGED) $(wildcard packaging/* packaging/systemd/*/* docs/*) CHANGELOG.md README.md
	./packaging/stage.sh
	touch $@

portable: $(PACKAGED) ## Build for all distributions since RHEL 8 (TARGET=..., GLIBC=2.28): target/package/bin

deb: $(STAGED) ## Make a Debian package, and one of its debug symbols: target/package/*.deb
	./packaging/install-deps.sh deb
	./packaging/deb/build.sh

rpm: $(STAGED) ## Make an RPM, and one of its debug symbols: target/package/*.rpm
	./packaging/install-deps.sh rpm
	./packaging/rpm/build.sh

tarball: $(STAGED) ## Make a tarball with install.sh: target/package/*.tar.gz
	./packaging/tarball.sh

dist: deb rpm tarball ## Make all packages, lint them, and write target/package/SHA256SUMS
	./packaging/lint.sh
	cd target/package && sha256sum *[-_]$(VERSION)-*.deb *-$(VERSION)-*.rpm *-$(VERSION)-*.tar.gz >SHA256SUMS
	cat target/package/SHA256SUMS

package-lint: ## Run lintian and rpmlint, where they are installed, over what was packaged
	./packaging/lint.sh

package-check: build ## Pack the development build twice, and look at what comes out
	./packaging/check.sh $(DEBUG_BINARY)

package-try: build ## Install, upgrade and purge the deb and the rpm under a systemd of their own (root, debootstrap)
	./packaging/try.sh $(DEBUG_BINARY) deb
	./packaging/try.sh $(DEBUG_BINARY) rpm

clean: ## Remove everything that was built
	$(CARGO) clean
