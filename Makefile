# Two commands matter to a newcomer: `make demo` and `make test`.

.PHONY: demo test bench soak prepare toolchain

CARGO ?= cargo
PEERS := tests/interop/prepare
FUZZ_SECONDS ?= 600
FILL_SECONDS ?= 600

## Builds and starts a throw-away system on loopback. Ctrl-C ends it.
demo:
	@echo "== building posthouse (release; a few minutes the first time)"
	$(CARGO) build --release --locked -p posthouse
	@echo "== starting the demo"
	@exec target/release/posthouse demo $(DEMO)

## Installs what the tests need and runs all of them.
test: prepare
	@echo "== format"
	$(CARGO) fmt --all --check
	@echo "== clippy, warnings denied"
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@echo "== tidy: floors, names, headers"
	$(CARGO) xtask tidy
	@if $(CARGO) deny --version >/dev/null 2>&1; then echo "== licences"; $(CARGO) deny --offline check licenses bans sources; fi
	@echo "== tests"
	$(CARGO) build --locked --workspace
	tests/run

## Measures us beside the peers; see docs/performance.md.
bench: prepare
	$(CARGO) build --release --locked -p posthouse -p posthouse-load -p interop
	target/release/bench $(BENCH)

## The long forms of the crash tests, ten minutes of filling at full speed, then each fuzzer for FUZZ_SECONDS; hours.
soak: prepare
	POSTHOUSE_KILLS=500 POSTHOUSE_SEEDS=10000 POSTHOUSE_MONTHS=300 POSTHOUSE_MESSAGES=1000000 POSTHOUSE_STEPS=2000 PROPTEST_CASES=20000 tests/run
	@echo "== filling for $(FILL_SECONDS) s: no commit over 500 ms, one in a thousand at most 60 ms"
	FILL_KEEP_GB=16 FILL_VERDICT=1 $(CARGO) run --release --locked -p engine --example fill -- 64 10000 $(FILL_SECONDS)
	fuzz/run all $(FUZZ_SECONDS)

prepare: toolchain
	@$(PEERS)

# A minimal rustup profile lacks these two.
toolchain:
	@$(CARGO) fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@$(CARGO) clippy --version >/dev/null 2>&1 || rustup component add clippy
