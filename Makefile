# Everything a person needs: `make help` lists it.

PREFIX ?= /usr/local
# What is slow to build or to fetch lives here, outside the clone, and is shared by clones.
BERTH_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/berth
DEMO ?=
# Where the trials keep their results.
ACCURACY ?= $(BERTH_CACHE)/accuracy
ACCURACY_UNIFIED ?= $(ACCURACY)-unified
# Of each client whose memory make bench-load measures: some 6 min each.
BENCH_REQUESTS ?= 30000000

TARGET := $(or $(CARGO_TARGET_DIR),target)/release

PROGRAMS := berth berth-agent berth-aggregator berth-loadgen refmodel scanner

# What builds images, and where they are meant to go: registry.example/team, say.
ENGINE ?= docker
REGISTRY ?=
comma := ,
IMAGES := agent aggregator loadgen refmodel scanner cli
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
IMAGE_NAMES := $(foreach target,$(IMAGES),$(if $(REGISTRY),$(REGISTRY)/)berth-$(target):$(VERSION))

.PHONY: help build demo test soak tools accuracy accuracy-soak accuracy-tools accuracy-unified bench-load images \
	cluster cluster-down cluster-tools cluster-images lint doc install uninstall clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build every program, optimised
	cargo build --release --workspace --bins --locked

demo: build ## Watch Berth do its main job on this machine; flags in DEMO="--scanners 2"
	$(TARGET)/berth demo $(DEMO)

test: tools cluster-tools cluster-images ## Run every test
	PATH="$(BERTH_CACHE)/tools:$$PATH" cargo test --workspace --locked

soak: cluster-tools cluster-images ## The long waits: 100 s of history, 5 min without API server, all stories
	BERTH_HISTORY_SECONDS=105 cargo test --locked --release --package berth --test system
	BERTH_STORIES=1 cargo test --locked --release --package berth-cli --test demo
	BERTH_HISTORY_SECONDS=105 BERTH_OUTAGE_SECONDS=300 cargo test --locked --package berth --test cluster -- faults

tools: ## Fetch what the tests need beside Rust, into the cache folder
	tests/tools.sh "$(BERTH_CACHE)/tools"

accuracy: build ## Measure what is detected in 2.5 h of trials; goes on where it was stopped; as root on Linux
	$(TARGET)/accuracy run --dir "$(ACCURACY)" --tools "$$(tests/scenarios/tools.sh "$(BERTH_CACHE)")" \
		--perf "$$(tests/scenarios/perf.sh "$(BERTH_CACHE)")"
	$(TARGET)/accuracy score --report --dir "$(ACCURACY)" \
	    $(if $(wildcard $(ACCURACY_UNIFIED)/*.json),--unified "$(ACCURACY_UNIFIED)") --svg docs/accuracy.svg >docs/accuracy.md.new
	mv docs/accuracy.md.new docs/accuracy.md

accuracy-soak: build ## Watch 60 quiet models with nothing beside them for 31 min, 30 h of models; make accuracy shows it; as root on Linux
	$(TARGET)/accuracy soak --dir "$(ACCURACY)"

accuracy-unified: build ## Run the trials' short form on cgroups v2 alone, in a virtual machine; make accuracy shows it
	tests/scenarios/unified.sh "$(BERTH_CACHE)" "$(TARGET)" "$(ACCURACY_UNIFIED)"

accuracy-tools: ## Fetch the programs that the trials use, into the cache folder
	@tests/scenarios/tools.sh "$(BERTH_CACHE)" >/dev/null
	@tests/scenarios/perf.sh "$(BERTH_CACHE)" >/dev/null

bench-load: build ## Measure what a request costs the load generator, beside hey, oha and wrk; BENCH_REQUESTS=0 for a short run
	cargo bench --locked --package berth-loadgen --bench load -- "$$(tests/bench-tools.sh "$(BERTH_CACHE)/bench")" \
		"$(abspath $(TARGET))/berth" $(BENCH_REQUESTS)

images: ## Build every image, to push or to load into kind: make images ENGINE=podman REGISTRY=registry.example/me
	@for image in $(IMAGE_NAMES); do \
	    target=$${image##*berth-} && \
	    BUILDAH_LAYERS=true $(ENGINE) build --target $${target%:*} --tag $$image . || exit; \
	done
	@echo "Next, $(if $(REGISTRY),push them:,load them into kind$(comma) or name a REGISTRY to push them to:)" >&2
	@for image in $(IMAGE_NAMES); do \
	    echo "    $(if $(REGISTRY),$(ENGINE) push,kind load docker-image) $$image" >&2; \
	done

cluster: cluster-tools cluster-images ## Start a real Kubernetes of two nodes on this machine, as root on Linux
	BERTH_CACHE="$(BERTH_CACHE)" cargo run --quiet --locked --package berth-kit --example berth-cluster up

cluster-down: ## End it, and leave nothing
	BERTH_CACHE="$(BERTH_CACHE)" cargo run --quiet --locked --package berth-kit --example berth-cluster down

cluster-tools: ## Build Kubernetes for the tests and for make cluster, into the cache folder
	@tests/cluster/tools.sh "$(BERTH_CACHE)" >/dev/null

cluster-images: ## Build this tree's images for the tests and for make cluster, into the cache folder
	@tests/cluster/images.sh "$(BERTH_CACHE)" >/dev/null

lint: ## Formatting and lints, as the gate wants them
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc: ## Build the documentation, and fail on a broken link
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

install: build ## Put the programs below PREFIX
	@test -n "$(PREFIX)" || { echo 'make install: PREFIX is empty; leave it out for /usr/local' >&2; exit 2; }
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -s -m 0755 $(addprefix $(TARGET)/,$(PROGRAMS)) "$(DESTDIR)$(PREFIX)/bin"
	ln -sf berth "$(DESTDIR)$(PREFIX)/bin/kubectl-berth"

uninstall: ## Take them away again
	rm -f $(addprefix "$(DESTDIR)$(PREFIX)/bin"/,$(PROGRAMS) kubectl-berth)

clean: ## Remove what was built here
	cargo clean
