# Everything that a person or the build server runs, by name. `make` alone lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where rustup puts a toolchain, also in a shell that has not been told.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

CARGO ?= cargo
CC ?= cc
DATA ?= demo-data
SECONDS ?= 60
# Steps of the build server that were skipped before the tests.
ALSO_SKIPPED ?= 0

# What needs a server of PostgreSQL, each test a private one: stores and shop. As `test` builds it, so that nothing is built twice.
ON_POSTGRES = $(CARGO) test --workspace --features factum/cli --locked --test it -- postgres inbox outbox standby at_once

.PHONY: help demo test sim partners chaos check fmt lint docs bench torture kernel books fuzz sabotage postgres postgres18 postgres-long \
	clean-demo tools

help: ## list the targets
	@echo "make <target>"
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/  \1: \2/p' $(MAKEFILE_LIST)

demo: tools ## build the shop and run it on real orders, into ./demo-data; AGAIN=1 replaces an earlier demo unasked
	@$(CARGO) build --release --locked -p shop
	@$(CARGO) run --quiet --release --locked -p shop -- demo --data "$(DATA)" $(if $(AGAIN),--again)

test: tools ## run all tests; the last line adds them up
	@mkdir -p target; status=0; \
	$(CARGO) test --workspace --features factum/cli --locked --no-fail-fast 2>&1 | tee target/test.log || status=$$?; \
	awk -v skipped="$(ALSO_SKIPPED)" '/^test result:/ { passed += $$4; failed += $$6; skipped += $$8 } \
		END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit (passed + failed == 0) }' \
		target/test.log || status=1; \
	exit $$status

sim: tools ## a whole node in simulation: 2,000 seeds; SEED=n replays one with its trace, FACTUM_SEEDS=n runs more
	@FACTUM_SEED="$(SEED)" $(CARGO) test --quiet --locked -p factum-testing --test sim \
		a_node_keeps_its_promises -- --nocapture

books: tools ## the shop's books in full: both files, run in both ways, in 20 orders of delivery, by the month, 20 kills; FILE=path of the large cut
	@test -n "$(FILE)" || { echo "say where the cut 2010-12 to 2011-06 is: make books FILE=path (docs/importing.md)" >&2; exit 1; }
	@SHOP_LARGE_FILE="$(abspath $(FILE))" FACTUM_KILLS=20 FACTUM_SEEDS=20 $(CARGO) test --release --locked -p shop \
		-- --include-ignored --nocapture --test-threads 1 books:: known_totals months kill

partners: tools ## a provider and a carrier that misbehave: 20 seeds of 2,000 orders, half an hour; SEED=n replays one
	@FACTUM_SEED="$(SEED)" FACTUM_SEEDS=$${FACTUM_SEEDS:-20} FACTUM_ORDERS=$${FACTUM_ORDERS:-2000} \
		$(CARGO) test --quiet --release --locked -p shop --test it misbehaving -- --nocapture

chaos: tools ## everything goes wrong around a shop: 20,000 orders, 100 kills, within an hour; SEED=n draws the same faults, ORDERS=n
	@$(CARGO) run --quiet --release --locked -p shop -- chaos --orders $${ORDERS:-20000} --limit 30m \
		$(if $(SEED),--seed $(SEED))

kernel: tools ## kills, power cuts, failing system calls and full disks, in full: needs root, strace and ext4
	@FACTUM_KILLS=200 FACTUM_CUTS=50 FACTUM_CASES=1000 FACTUM_CYCLES=10 FACTUM_REQUIRE=power,strace,full \
		$(CARGO) test --locked -p factum --test kernel

check: fmt lint docs test ## all that must hold before a commit: format, clippy, docs, tests

fmt: tools ## check the format (`cargo fmt` changes it)
	@$(CARGO) fmt --all --check

lint: tools ## clippy on everything, a warning is an error
	@$(CARGO) clippy --workspace --features factum/cli --all-targets --locked -- -D warnings

docs: tools ## build the documentation, a broken link is an error
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

bench: tools ## measure, with rivals: a table, and one JSON line a figure below bench/results
	@$(CARGO) run --release --locked -p bench --features rivals -- --json "bench/results/$$(date +%Y%m%d-%H%M%S).jsonl"

torture: tools ## the log under 100,000 crashes and 20,000 errors, every flipped bit and every cut
	@FACTUM_SCALE=full $(CARGO) test --release --locked -p factum-log --test torture -- --nocapture

fuzz: tools ## fuzz each decoder for SECONDS (60), from the corpus in crates/factum-testing/fuzz and shop/fuzz
	@cargo fuzz --version >/dev/null 2>&1 && cargo +nightly --version >/dev/null 2>&1 || { \
		echo "fuzzing needs a nightly toolchain and cargo-fuzz:" \
			"rustup toolchain install nightly && cargo install cargo-fuzz" >&2; exit 1; }
	@fuzz() { \
		cargo +nightly fuzz build; \
		for target in "$${@:2}"; do \
			mkdir -p "fuzz/target/corpus/$$target"; \
			ASAN_OPTIONS=quarantine_size_mb=1:malloc_context_size=0 cargo +nightly fuzz run "$$target" \
				"fuzz/target/corpus/$$target" "fuzz/corpus/$$target" -- -max_total_time=$(SECONDS) \
				-malloc_limit_mb="$$1" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1; \
		done; \
	}; \
	(cd crates/factum-testing; fuzz 64 frames recovery envelope cells); \
	(cd shop; fuzz 1024 files bodies)

sabotage: tools ## plant known bugs one by one: the check named for each must find it
	@CARGO="$(CARGO)" crates/factum-testing/sabotage

postgres: tools ## stores and shop on PostgreSQL as it is installed, and on 18
	@$(ON_POSTGRES)
	@$(MAKE) postgres18

postgres18: tools ## stores and shop on PostgreSQL 18, which is fetched into target/engines
	@FACTUM_POSTGRES="$$(.ci/postgres18)" && export FACTUM_POSTGRES && $(ON_POSTGRES)

postgres-long: tools ## an import on PostgreSQL through 100 crashes, cuts and kills, 20 take-overs, a million events; half an hour; FILE=path of the large cut
	@FACTUM_KILLS=100 FACTUM_OVERS=20 $(CARGO) test --workspace --features factum/cli --locked --test it -- --nocapture --test-threads 1 \
		postgres::an_import
	@$(CARGO) test --workspace --features factum/cli --locked --test it -- --ignored a_million_events
	@test -z "$(FILE)" || SHOP_LARGE_FILE="$(abspath $(FILE))" $(CARGO) test --workspace --features factum/cli --locked --test it \
		-- --ignored --nocapture the_shop_of_seven_months

clean-demo: ## delete the demo's data
	@rm -rf -- "$(DATA)"

tools:
	@CARGO="$(CARGO)" CC="$(CC)" .ci/toolchain
