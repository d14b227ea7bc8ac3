# `make` alone lists the targets. Each sets up what it needs first (.ci/setup), so any of them may be the first.

# One target directory for everything, absolute because guests are built from their own folder. Tests look for guests there.
export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))

# What `make test` hands on to cargo: `make test ONLY='-- bell'`.
ONLY ?=

# The directory of modules that `make run` serves.
MODULES ?= modules

# Guests are another workspace for another machine: what speaks of the host's build would spoil theirs.
FOR_GUESTS := cd guests && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_RUSTFLAGS -u CARGO_BUILD_TARGET cargo
IN_GUESTS := --locked --workspace --target-dir $(CARGO_TARGET_DIR)/guests
AS_COMPONENTS := --release --target wasm32-wasip2
BUILT_GUESTS := $(CARGO_TARGET_DIR)/guests/wasm32-wasip2/release

EXAMPLES := $(notdir $(wildcard guests/examples/*))

.DEFAULT_GOAL := help
.PHONY: help setup run test conformance versions lint check audit docs guests modules hostile bench bench/peers clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z\/]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## Check what a build needs; install or name what is missing
	@.ci/setup

run: setup modules ## Build everything and start the host on ./modules, with a sample event log
	@cargo build --locked -p projectionist
	@$(CARGO_TARGET_DIR)/debug/projectionist run --sample --modules $(MODULES)

test: setup guests ## Run all tests, of the host and of the guests
	cargo test --locked --workspace $(ONLY)
	$(FOR_GUESTS) test $(IN_GUESTS) --exclude test-guests $(ONLY)

conformance: setup guests ## Run the tests that tests/CONFORMANCE.md promises, and count what is shown
	@.ci/conformance

versions: setup guests ## Switch versions under readers, and kill the host at every step of it
	cargo test --locked -p projectionist --test integration -- version

lint: ## Check formatting, and that clippy has nothing to say
	@.ci/setup lint
	cargo fmt --all --check
	cd guests && cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(FOR_GUESTS) clippy $(IN_GUESTS) --all-targets -- -D warnings

check: lint audit docs ## Do all that CI does
	@.ci/tests

audit: setup ## Check licences, bans and sources of dependencies; advisories when their database can be reached
	@.ci/audit

docs: setup ## Check that the README's transcript is what one sees, and that the API docs build
	@.ci/transcript
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps -p subscription
	RUSTDOCFLAGS='-D warnings' $(FOR_GUESTS) doc --locked --no-deps -p projectionist-sdk --target-dir $(CARGO_TARGET_DIR)/guests

guests: setup ## Build all guests as components: the examples and those that misbehave for the tests
	$(FOR_GUESTS) build $(IN_GUESTS) $(AS_COMPONENTS) --lib --examples

modules: setup ## Build the example guests and put what changed into ./modules; a running host reloads them
	@$(FOR_GUESTS) build $(IN_GUESTS) $(AS_COMPONENTS) --exclude test-guests --lib
	@mkdir -p $(MODULES)
	@for name in $(EXAMPLES); do \
		cmp -s $(BUILT_GUESTS)/$$name.wasm $(MODULES)/$$name.wasm && continue; \
		cp $(BUILT_GUESTS)/$$name.wasm $(MODULES)/.$$name.new && \
		mv $(MODULES)/.$$name.new $(MODULES)/$$name.wasm && \
		echo "$(MODULES)/$$name.wasm is new" || exit 1; \
	done

hostile: setup guests ## Let hostile guests loose beside a working one, and show what caught each and that nobody else noticed
	@rm -rf $(CARGO_TARGET_DIR)/hostile
	cargo test --locked -p projectionist --test integration -- hostile:: $(HOSTILE_ARGUMENTS)
	@.ci/hostile-table $(CARGO_TARGET_DIR)/hostile

bench/peers: ## Install the listeners that the benchmark compares with where they are there: Node's and Python's
	@.ci/peers

bench: setup modules ## Measure everything against what is possible (builds for release first); WORKLOAD=accounts EVENTS=n RUNS=n
	cargo run --locked --release -p bench

clean: ## Remove what was built; ./modules and the event log stay
	cargo clean
