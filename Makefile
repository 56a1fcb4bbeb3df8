# Everything a person needs: `make help` lists it.

PREFIX ?= /usr/local
# What is slow to build or to fetch lives here, outside the clone, and is shared by clones.
BERTH_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/berth
DEMO ?=

TARGET := $(or $(CARGO_TARGET_DIR),target)/release

PROGRAMS := berth berth-agent berth-aggregator berth-loadgen refmodel scanner

.PHONY: help build demo test soak tools cluster cluster-down cluster-tools lint doc install uninstall clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build every program, optimised
	cargo build --release --workspace --bins --locked

demo: build ## Watch Berth do its main job on this machine; flags in DEMO="--scanners 2"
	$(TARGET)/berth demo $(DEMO)

test: tools cluster-tools ## Run every test
	PATH="$(BERTH_CACHE)/tools:$$PATH" cargo test --workspace --locked

soak: ## The long waits: a restart with 100 s of history, and every story of the demonstration
	BERTH_HISTORY_SECONDS=105 cargo test --locked --release --package berth --test system
	BERTH_STORIES=1 cargo test --locked --release --package berth-cli --test demo

tools: ## Fetch what the tests need beside Rust, into the cache folder
	tests/tools.sh "$(BERTH_CACHE)/tools"

cluster: cluster-tools ## Start a real Kubernetes of two nodes on this machine, as root on Linux
	BERTH_CACHE="$(BERTH_CACHE)" cargo run --quiet --locked --package berth-kit --example berth-cluster up

cluster-down: ## End it, and leave nothing
	BERTH_CACHE="$(BERTH_CACHE)" cargo run --quiet --locked --package berth-kit --example berth-cluster down

cluster-tools: ## Build Kubernetes for the tests and for make cluster, into the cache folder
	@tests/cluster/tools.sh "$(BERTH_CACHE)"

lint: ## Formatting and lints, as the gate wants them
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc: ## Build the documentation, and fail on a broken link
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

install: build ## Put the programs below PREFIX
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -s -m 0755 $(addprefix $(TARGET)/,$(PROGRAMS)) "$(DESTDIR)$(PREFIX)/bin"
	ln -sf berth "$(DESTDIR)$(PREFIX)/bin/kubectl-berth"

uninstall: ## Take them away again
	rm -f $(addprefix "$(DESTDIR)$(PREFIX)/bin"/,$(PROGRAMS) kubectl-berth)

clean: ## Remove what was built here
	cargo clean
