# Everything that a user or a contributor runs. `make help` lists it.
#
# What the targets install goes to .cache/ in this folder (the ClickHouse engine) or comes from the system's package
# manager (real exporters for the end-to-end tests); each says what it does before it does it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(CURDIR)/.cache
ENGINE := $(CACHE)/engine
ENGINE_PYTHON := $(ENGINE)/bin/python
# The documentation's site builder; a version of its own, so that a new one never breaks the pages by itself.
MDBOOK_VERSION := 0.5.4
MDBOOK := $(CACHE)/mdbook/$(MDBOOK_VERSION)/bin/mdbook
# Where real captures of other projects may lie; they are checked when they are there and never copied.
HELIOS_CAPTURES ?= $(CURDIR)/../shared/captures
# Which benchmarks `make bench` runs; BENCHMARKS.md lists them.
SUITE ?= micro

export HELIOS_ENGINE_PYTHON := $(ENGINE_PYTHON)
export HELIOS_CAPTURES

.PHONY: help all build test lint torture demo bench ci engine engine-test components test-collectors dashboards dashboards-test alerts test-alerts exporters captures fuzz-smoke fuzz docs docs-generated site clean
.PHONY: helm-lint helm-unittest chart-docs kube-components test-kubernetes test-runbooks test-samples measure-runbooks docker-build print-images static
.PHONY: lab test-lab
.PHONY: console test-dashboards demo-dashboards

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

all: lint test build ## lint, test and build

build: ## build the release binaries, target/release/helios and helios-operator
	cargo build --release --locked -p helios -p helios-runbooks $(addprefix --bin ,$(IMAGES))

# Programs for tests, with the features of `make test`: after it nothing is compiled a second time.
DEBUG_BUILD := cargo build --workspace --all-features --bins --tests --locked

test: engine-test exporters ## run every test: unit, property, end to end with the ClickHouse engine and real exporters
	cargo test --workspace --all-features --locked
	cd tools/clickhouse-http && $(ENGINE_PYTHON) -m pytest -q
	$(MAKE) --no-print-directory dashboards-test alerts captures

captures: ## hold `helios decode` against real captures, where they are present
	@if [ -f "$(HELIOS_CAPTURES)/check.py" ]; then \
	    $(DEBUG_BUILD); \
	    helios="$${CARGO_TARGET_DIR:-target}/debug/helios"; \
	    echo "captures: sums and first records (check.py)"; \
	    python3 "$(HELIOS_CAPTURES)/check.py" --helios "$$helios"; \
	    echo "captures: every field that their publishers read"; \
	    python3 tools/compare-captures.py --helios "$$helios" "$(HELIOS_CAPTURES)"; \
	else \
	    echo "captures: none at $(HELIOS_CAPTURES) (set HELIOS_CAPTURES), 0 ran"; \
	fi

fuzz-smoke: ## every fuzz target for 30 s; installs a nightly toolchain and cargo-fuzz for this user where they are missing
	tools/fuzz.sh 30

fuzz: ## every fuzz target for an hour in all
	tools/fuzz.sh 514

lint: ## formatting, clippy, licences, advisories and sources of dependencies, documentation links
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --locked --quiet
	@if command -v cargo-deny >/dev/null; then cargo deny --log-level error check; \
	else echo "lint: cargo-deny is not installed (cargo install --locked cargo-deny): licences not checked"; fi

torture: engine ## the long form of the tests of loss and doubling (about 20 minutes); KILLS, SEED, FAULT_SEEDS, IDLE_CONNECTIONS and BLOCK_ROWS change it
	tools/torture.sh

demo: engine ## build, send flows of all protocols over loopback, show them from ClickHouse; DEMO_SECONDS, DEMO_RATE, DEMO_KEEP=1 change it
	cargo build --release --locked
	tools/demo.sh

bench: ## run one SUITE of benchmarks: micro (the default), e2e, sweep, clickhouse, peers, memory, start, netbox
	tools/bench/run.sh $(SUITE)

ci: ## the tests, as continuous integration runs them
	bash .ci/run

engine: ## install the ClickHouse engine for trials and tests into .cache/engine
	tools/clickhouse-http/install.sh $(ENGINE)

engine-test: ## the same, with what its own tests need
	tools/clickhouse-http/install.sh $(ENGINE) --test

# What renders the chart: PyYAML in a folder of its own.
CHART_PYTHON := $(CACHE)/chart/bin/python
$(CHART_PYTHON): tools/chart/requirements.txt
	python3 -m venv $(CACHE)/chart
	$(CACHE)/chart/bin/python -m pip install -q --disable-pip-version-check -r tools/chart/requirements.txt
	touch $@

helm-lint: $(CHART_PYTHON) ## lint the chart with every tier and storage, check its schema and README against values.yaml
	tools/components/install.sh helm
	$(CHART_PYTHON) tools/chart/lint.py

helm-unittest: $(CHART_PYTHON) ## test what the chart renders: values, objects, network policies, sizes, Argo CD's templates (3 minutes)
	tools/components/install.sh helm
	$(DEBUG_BUILD)
	cd tools/chart && HELIOS=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/helios $(CHART_PYTHON) -m unittest -q

chart-docs: $(CHART_PYTHON) ## regenerate the chart's values.schema.json and README.md from its values.yaml
	tools/components/install.sh helm
	$(CHART_PYTHON) tools/chart/generate.py

kube-components: ## build kube-apiserver, its controllers, kubectl and helm with Go; etcd from Debian (15 minutes, once)
	tools/components/install.sh kubernetes

# The tests of runbooks have targets of their own. KUBE_TESTS=test_thanos runs one module.
KUBE_TESTS ?= $(filter-out test_runbook% test_samples,$(basename $(notdir $(wildcard tools/kube/test_*.py))))

test-kubernetes: $(CHART_PYTHON) kube-components ## install, upgrade and remove the chart on a real API server with simulated nodes, by docs/kubernetes.md too; the Prometheus Operator, Prometheus, Thanos, Argo CD (30 minutes)
	tools/components/install.sh metrics gitops
	$(DEBUG_BUILD)
	cd tools/kube && HELIOS=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/helios $(CHART_PYTHON) -W ignore -m unittest -v $(KUBE_TESTS)

test-runbooks: kube-components engine ## hold runbooks and their operator against a real API server, devices over gNMI, Alertmanager and ClickHouse (20 minutes)
	tools/components/install.sh gnmic alertmanager
	$(DEBUG_BUILD)
	cd tools/kube && python3 -m unittest -v test_runbooks test_runbook_faults test_runbook_servers

test-samples: kube-components engine ## run the ten sample runbooks on the lab: dry, forward with flows and metrics as witnesses, failing, undone (30 minutes)
	tools/components/install.sh lab
	cargo build --release --locked -p helios -p helios-practice
	$(DEBUG_BUILD)
	cd tools/kube && python3 -m unittest -v test_samples

measure-runbooks: kube-components ## memory and API requests of an idle runbook operator, and the time to the first gNMI Set (10 minutes)
	tools/components/install.sh gnmic
	cargo build --release --locked -p helios-runbooks
	$(DEBUG_BUILD)
	cd tools/kube && HELIOS_OPERATOR=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/release/helios-operator python3 measure_runbooks.py

# As in the reference: REGISTRY=ghcr.io/your-org/helios make docker-build. Several platforms need a builder that can: docker buildx create --use.
REGISTRY ?= ghcr.io/helios
VERSION ?= 0.1.0
PLATFORMS ?= linux/amd64,linux/arm64
IMAGES := helios helios-operator
# Sources come into the image's build without their repository. Twelve characters, as build.rs asks git for.
COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)

docker-build: ## build the images of all programs for PLATFORMS; PUSH=1 pushes them to REGISTRY
	for image in $(IMAGES); do docker buildx build --platform $(PLATFORMS) --target $$image --build-arg HELIOS_COMMIT=$(COMMIT) $(if $(PUSH),--push --sbom=true --provenance=mode=max) -t $(REGISTRY)/$$image:$(VERSION) .; done

print-images:
	@echo $(IMAGES)

# As the Dockerfile builds them: zig is C compiler and linker for both platforms, and brings musl.
STATIC_TARGETS ?= x86_64-unknown-linux-musl
ZIG := $(CACHE)/zig/bin
$(ZIG)/cargo-zigbuild: tools/static-requirements.txt
	python3 -m venv $(CACHE)/zig
	$(ZIG)/python -m pip install -q --disable-pip-version-check -r tools/static-requirements.txt
	touch $@

static: $(ZIG)/cargo-zigbuild ## build the static (musl) release binaries of STATIC_TARGETS, run them in an empty, read-only root as nonroot (20 minutes)
	for target in $(STATIC_TARGETS); do \
	    rustup target list --installed | grep -qx "$$target" || rustup target add "$$target"; \
	    PATH="$(ZIG):$$PATH" cargo zigbuild --release --locked --target "$$target" -p helios -p helios-runbooks $(addprefix --bin ,$(IMAGES)); \
	    tools/static.sh $(foreach image,$(IMAGES),"$${CARGO_TARGET_DIR:-target}/$$target/release/$(image)"); \
	done

components: ## install gnmic, snmp_exporter, blackbox_exporter (built with Go into ~/.cache/helios), prometheus and snmpd (Debian packages)
	tools/components/install.sh

test-collectors: components ## run the real collectors with collectors/ and alerts/ against five devices, four of them simulated (8 minutes, more where they are built first)
	@mkdir -p $(CACHE)
	[ -x $(CACHE)/components/bin/python ] || python3 -m venv $(CACHE)/components
	$(CACHE)/components/bin/python -m pip install -q --disable-pip-version-check -r tools/components/requirements.txt
	$(DEBUG_BUILD)
	$(CACHE)/components/bin/python tools/components/check.py

dashboards: ## write dashboards/*/*.json again from tools/dashboards
	cd tools/dashboards && python3 -m helios_dashboards

dashboards-test: ## hold dashboards/ against their code, the schema, the recording rules and each other (a second, Python alone)
	cd tools/dashboards && python3 -m unittest -q tests.test_structure

alerts: exporters ## check alert and recording rules, run their tests, hold them against their pages (promtool; minutes)
	tools/alerts/check.py
	tools/alerts/calm.py

test-alerts: alerts ## the same; FlowRateAnomaly on weeks of traffic; the real Alertmanager with deploy/alertmanager (10 minutes)
	tools/components/install.sh alerts
	tools/alerts/notify.py
	tools/alerts/anomaly.py

lab: engine ## run the whole system on loopback around a network to practise on, with the dashboards; LAB_DEVICES, LAB_NETWORK change it (docs/lab.md)
	@if command -v node >/dev/null; then $(MAKE) --no-print-directory console; else echo "lab: Node.js 20 is not installed: no dashboards"; fi
	tools/components/install.sh lab
	cargo build --release --locked -p helios -p helios-practice
	tools/lab up

test-lab: engine ## run the lab, hold gNMI, SNMP and flows against each other, switch every fault (15 minutes)
	tools/components/install.sh lab
	cargo build --release --locked -p helios -p helios-practice
	@mkdir -p $(CACHE)
	[ -x $(CACHE)/components/bin/python ] || python3 -m venv $(CACHE)/components
	$(CACHE)/components/bin/python -m pip install -q --disable-pip-version-check -r tools/components/requirements.txt
	$(CACHE)/components/bin/python tools/lab-test.py

console: ## install the console's packages (npm, 470 MB) and build it; needs Node.js 20
	cd console && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --silent; } && npx tsc --noEmit && node build.mjs

# The lab listens on loopback alone. DASHBOARDS_HELIOS is the binary that receives the flows.
DASHBOARDS_HELIOS ?= $(or $(CARGO_TARGET_DIR),target)/release/helios

test-dashboards: engine components dashboards-test console ## every query of every dashboard on real engines, every dashboard in Chromium (15 minutes)
	[ -x "$(DASHBOARDS_HELIOS)" ] || cargo build --release --locked
	command -v chromium >/dev/null || apt-get install --yes --quiet chromium
	cd console && npm test
	HELIOS_BINARY="$(abspath $(DASHBOARDS_HELIOS))" tools/dashboards/test.sh

demo-dashboards: engine console ## the dashboards over simulated exporters, in the console on loopback; FAULTS="link-down errors bgp cpu unreachable" breaks something
	[ -x "$(DASHBOARDS_HELIOS)" ] || cargo build --release --locked
	cd tools/dashboards && DEMO_HELIOS="$(abspath $(DASHBOARDS_HELIOS))" python3 -m lab.start --console 3000 $(FAULTS:%=--fault %)

exporters: ## install the real exporters and decoders that the end-to-end tests use (Debian packages)
	tools/exporters.sh

docs: docs-generated site ## regenerate the pages that follow from the code, build the site (.cache/docs/site), check every link

docs-generated: ## regenerate helios.example.yaml and the pages of docs/ that follow from the code
	UPDATE_EXPECT=1 cargo test -p helios -p helios-sink -p helios-runbooks --all-features --locked -- docs:: up_to_date generated

site: $(MDBOOK) ## build the site from the pages as they are, check every link
	tools/book.sh $(MDBOOK) $(CACHE)/docs

$(MDBOOK):
	@echo "docs: installing mdbook $(MDBOOK_VERSION) into $(CACHE)/mdbook (minutes, once)"
	cargo install --locked --quiet mdbook@$(MDBOOK_VERSION) --no-default-features --features search --root $(CACHE)/mdbook/$(MDBOOK_VERSION)

clean: ## remove everything built or installed in this folder
	rm -rf target .cache
