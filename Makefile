SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TOOLS := .venv-tools
PEERS ?= .venv-peers
ARGS ?=
SUITE ?= default
MARK_default := not slow and not interop
MARK_all :=
# Two thread pools that spin on the same cores run at a fraction of the speed.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export PYTHONDONTWRITEBYTECODE ?= 1

##@ Use
.PHONY: help setup demo reports serve
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Build .venv with everything (minutes and 7 GB the first time, nothing after)

$(VENV)/.ready: requirements/dev.txt requirements/torch.txt pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Kohort needs Python 3.11 or later; this is %s. Choose another: make PYTHON=python3.11 setup" % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python cannot make virtual environments here; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e clients/python -e .
	@touch $@

demo: setup ## Train on real heart patients, export, sample: the whole journey in one command
	$(BIN)/python -m examples.demo $(ARGS)

reports: setup ## Train on three real tables, evaluate, write the report pages to out/reports (ARGS="--tables heart")
	$(BIN)/python -m examples.reports $(ARGS)

serve: setup ## Start the server on loopback (port 50051, metrics on 9464, data in ./var)
	$(BIN)/python -m server $(ARGS)

##@ Check
.PHONY: test lint types verify-proto interop release-check drill ci
test: setup ## Run the tests (SUITE=all adds slow, interop and the checks; ARGS="-k name" picks some)
	$(BIN)/python -m pytest -m "$(MARK_$(SUITE))" $(ARGS)

lint: setup ## Style, imports between rooms, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

types: setup ## mypy --strict on every package
	$(BIN)/mypy

verify-proto: setup $(TOOLS)/.ready ## The generated code is fresh, the contract unbroken
	@rm -rf build/proto && mkdir -p build/proto
	$(TOOLS)/bin/python tools/generate.py build/proto
	@diff -r -x __init__.py -x __pycache__ build/proto/kohort/v1 clients/python/kohort/v1 || { echo "The stubs are stale: run 'make proto'." >&2; exit 1; }
	@for image in protos/baseline/*.binpb; do $(BIN)/buf breaking --against $$image; done
	@echo "stubs fresh, contract compatible with every baseline"

interop: setup ## Clients in four languages against the real server (needs Go, a JDK, Maven, Node; skips what is missing)
	$(BIN)/python -m pytest -m interop $(ARGS)

release-check: setup $(TOOLS)/.ready ## Build wheel, jars, Go module and Node package into dist/ and check each
	$(BIN)/python tools/release_check.py $(ARGS)

drill: setup ## Two front ends, three workers and their stores in network namespaces, broken while they work (root; ARGS="--times 10")
	$(BIN)/python -m tests.drill.run $(ARGS)

ci: ## What CI runs
	./.ci/run

##@ Change
.PHONY: format proto lock wheelhouse docs dashboards bench bench-clients bench-evaluation bench-quality bench-scale bench-train clean
format: setup ## Format Python and protos
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	$(BIN)/buf format -w

proto: setup $(TOOLS)/.ready ## Generate the stubs from protos/ (Go's where Go is)
	$(TOOLS)/bin/python tools/generate.py
	@if command -v go > /dev/null; then cd clients/go && ../../$(BIN)/buf generate --template buf.gen.go.yaml; \
	 else echo "no Go here: clients/go is as it was" >&2; fi
	$(BIN)/python tools/reference.py

$(TOOLS)/.ready: tools/protoc.txt tools/lock.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -r tools/protoc.txt -r tools/lock.txt
	@touch $@

lock: $(TOOLS)/.ready ## Resolve the dependencies anew
	online="--extra postgres --extra s3 --extra otel --extra arrow --extra local"; \
	for set in dev:--all-extras serve:"$$online" \
	    work:"$$online --extra train --extra evaluate --extra ray -c requirements/dev.txt"; do \
	  $(TOOLS)/bin/uv pip compile pyproject.toml clients/python/pyproject.toml $${set#*:} \
	    --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --quiet \
	    --excludes requirements/excludes.txt -o requirements/$${set%%:*}.txt; done

wheelhouse: ## All wheels of an installation without a network, with their hashes, in dist/wheelhouse (SET=work: for training, too)
	PYTHON=$(PYTHON) tools/wheelhouse.sh dist/wheelhouse $(SET)

docs: setup ## Write the generated pages of docs/
	$(BIN)/python tools/reference.py

dashboards: setup ## Write Grafana's dashboards (deploy/grafana/dashboards) from tools/dashboards
	$(BIN)/python -m tools.dashboards

bench: setup ## The design's numbers as ratios in one run, a quarter of an hour (ARGS="--quick"); writes benchmarks/RESULTS.md
	@$(MAKE) $(PEERS)/.ready || echo "without peers: their environment could not be made" >&2
	PEERS=$(PEERS) $(BIN)/python -m benchmarks.run $(ARGS)

bench-clients: setup ## Rows per second in each language (ARGS="--rows 100000"); writes docs/clients.md
	$(BIN)/python -m benchmarks.clients $(ARGS)

bench-evaluation: setup ## What an evaluation of 50,000 rows costs, part by part (ARGS="--threads 1")
	$(BIN)/python -m benchmarks.evaluation $(ARGS)

bench-quality: setup $(PEERS)/.ready ## Generators beside their peers; hours, resumable (ARGS="--seeds 1 --tables heart"); writes docs/benchmarks.md
	PEERS=$(PEERS) nice -n 10 $(BIN)/python -m benchmarks.quality run $(ARGS)

bench-scale: setup ## 1 to 8 workers, claims, events and watchers on both databases, ten minutes (ARGS="--quick"); writes docs/operations.md
	$(BIN)/python -m benchmarks.scale $(ARGS)

bench-train: setup ## Training beside ctgan: steps, encoding, quality at equal epochs; resumable (ARGS="--only steps")
	$(BIN)/python -m benchmarks.training run $(ARGS)

# torchvision and torchaudio come with the peers' dependencies and break the import where they do not fit torch.
$(PEERS)/.ready: requirements/peers.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/peers.txt
	$(PEERS)/bin/python -c 'import mostlyai.engine' 2> /dev/null || $(PEERS)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio
	$(PEERS)/bin/python -c 'import mostlyai.engine, ctgan, sdv'
	@touch $@

clean: ## Remove what was built, demo output and local data (not .venv)
	rm -rf build dist clients/java/target clients/java/example/target clients/node/node_modules clients/node/protos var out/*.csv out/*.kohort out/*.png .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
