# What a contributor does, one target each. The work itself is in tests/src; `make help` lists the targets.

# Which cluster (test, demo) and how images are compiled (release, dev).
NAME    ?= test
PROFILE ?= release

CLUSTER := cargo run --quiet --package vibectl-tests --bin cluster --
IMAGES  := cargo run --quiet --package vibectl-tests --bin images --

# Tools are built once and kept outside the repository; tests/src/cache.rs finds the same folder.
CACHE := $(or $(VIBECTL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vibectl)
DENY  := $(CACHE)/tools/cargo-deny-0.20.2
FUZZ  := $(CACHE)/tools/cargo-fuzz-0.13.2

.DEFAULT_GOAL := help
# Calls that `make bench` counts for each row; WRITE=1 puts the tables into docs/benchmarks.md.
CALLS ?= 3000

.PHONY: help demo demo-down bench memory soak fuzz tools cluster-up cluster-down cluster-status images load definitions fmt lint check test test-cluster test-rest

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  %-16s %s\n", $$1, $$2}'

demo: ## Show the whole idea: cluster, chart, a proxy, a token, calls (or your cluster, by KUBECONFIG)
	cargo run --quiet --package vibectl-tests --bin demo

demo-down: ## Take away what demo left running
	cargo run --quiet --package vibectl-tests --bin demo -- down

bench: images ## Compare with the Python original and other gateways in one run; WRITE=1 renews docs/benchmarks.md
	@command -v nginx > /dev/null || { apt-get update -qq && \
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light; } || \
		{ echo 'run this as root: apt-get install nginx-light' >&2; exit 1; }
	cargo build --profile tools --package vibectl-tests --bin bench
	target/tools/bench --install
	taskset -c 1 target/tools/bench --server target/$(shell uname -m)-unknown-linux-gnu/release/vibectl-server \
		--calls $(CALLS) $(if $(WRITE),--write)

advisories: $(DENY)/bin/cargo-deny ## Judge dependencies by the RustSec database, where it can be reached
	$(DENY)/bin/cargo-deny --config .cargo/deny.toml --log-level error check advisories

memory: images ## Measure what idle connections and unread streams cost in memory (docs/benchmarks.md)
	cargo build --profile tools --package vibectl-tests --bin memory
	taskset -c 1 target/tools/memory --server target/$(shell uname -m)-unknown-linux-gnu/release/vibectl-server

SOAK_SECONDS ?= 7200

soak: images ## Call the server in every way for SOAK_SECONDS (two hours), and look whether anything grows
	cargo build --profile tools --package vibectl-tests --bin soak
	taskset -c 1 target/tools/soak --server target/$(shell uname -m)-unknown-linux-gnu/release/vibectl-server --seconds $(SOAK_SECONDS)

# Which target of fuzz/, and for how long.
TARGET  ?= token
FUZZ_SECONDS ?= 60

fuzz: $(FUZZ)/bin/cargo-fuzz ## Fuzz TARGET (token, config, sse, openai, ...) for FUZZ_SECONDS; needs a nightly compiler
	mkdir -p fuzz/target/corpus/$(TARGET)
	PATH="$(FUZZ)/bin:$$PATH" cargo +nightly fuzz run $(TARGET) fuzz/target/corpus/$(TARGET) fuzz/corpus/$(TARGET) -- -max_total_time=$(FUZZ_SECONDS) -max_len=8192

tools: ## Build the tools that tests need: Kubernetes, helm, cert-manager, Pebble, h2spec (once; minutes)
	$(CLUSTER) tools

cluster-up: ## Start a one-node Kubernetes; NAME=test (default) or demo
	$(CLUSTER) up --name $(NAME)

cluster-down: ## Stop it and delete everything but its logs
	$(CLUSTER) down --name $(NAME)

cluster-status: ## Tell which clusters run
	$(CLUSTER) status

images: ## Build dist/images/*.tar; PROFILE=release (default) or dev
	$(IMAGES) --profile $(PROFILE)

load: images ## Build the images and import them into the cluster NAME
	$(CLUSTER) load --name $(NAME) dist/images/*.tar

definitions: ## Renew what is generated from the API types: crds/, the chart's copy, docs/api.md
	cargo run --quiet --package vibectl-operator --bin crdgen

fmt: ## Format the code
	cargo fmt --all
	gofmt -w tests/cluster tests/cert-manager

lint: ## Judge format and style
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo clippy --workspace --test cluster -- --deny warnings
	test -z "$$(gofmt -l tests/cluster tests/cert-manager)"

check: lint $(DENY)/bin/cargo-deny ## Lint, and judge dependencies
	$(DENY)/bin/cargo-deny --config .cargo/deny.toml --log-level error check bans licenses sources

# Debian packages that tests need beside those of the cluster: virtual environments for the released client and for sslyze, a
# TLS scanner, a DNS server and its client. Installed in one go when one is missing; none of them may start a daemon of its own.
TEST_PACKAGES := python3-venv testssl.sh bind9 bind9-dnsutils

# Tests at a time, in each of two lanes. They wait for kubelets, timers and peers most of the time: one more than there are
# processors pays, and two more on the cluster.
TEST_THREADS ?= $(shell expr $$(nproc) + 1)
CLUSTER_TEST_THREADS ?= $(shell expr $$(nproc) + 2)

test: ## Run every test; starts the test cluster unless KUBECONFIG is set
	@if ! { python3 -c 'import ensurepip, venv' && command -v testssl && command -v nsupdate && test -x /usr/sbin/named; } > /dev/null 2>&1; then \
		apt-get update -qq && \
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 $(TEST_PACKAGES) || \
		{ echo 'run this as root: apt-get install python3 $(TEST_PACKAGES)' >&2; exit 1; }; fi
	$(CLUSTER) up
	cargo test --workspace --no-run
	cargo test --workspace --test cluster --no-run
	$(MAKE) --jobs=2 --keep-going test-cluster test-rest

# The suite that shares one cluster and one operator.
test-cluster:
	RUST_TEST_THREADS=$(CLUSTER_TEST_THREADS) cargo test --workspace --test cluster

# Everything else.
test-rest:
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --workspace

$(DENY)/bin/cargo-deny:
	cargo install --locked --root $(DENY) cargo-deny@0.20.2

$(FUZZ)/bin/cargo-fuzz:
	cargo install --locked --root $(FUZZ) cargo-fuzz@0.13.2
