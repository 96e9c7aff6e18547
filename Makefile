# What a developer or a curious person does with this checkout.  "make help" lists it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: help venv demo test lint unit integration interop docs bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## make .venv with the package and the developers' tools

$(STAMP): pyproject.toml
	@tests/lab/packages.sh
	python3 -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(RUN)/python -m pip install --quiet --editable . --group dev
	@touch $@

demo: venv ## see a file cross: private broker and SFTP server, two users' ends, one machine
	@tests/lab/packages.sh
	@$(RUN)/python -m tests.lab.demo $(ARGS)

test: lint unit integration interop ## everything that CI runs, the slowest part last

lint: venv ## types, style, layers, documentation in step with the code
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports --no-cache
	$(RUN)/python -m tests.lab.reference --check

unit: venv ## tests of what is pure
	$(RUN)/python -m pytest tests/unit

integration: venv ## tests with a real broker and a real SFTP server
	@tests/lab/packages.sh
	CI=1 $(RUN)/python -m pytest tests/integration --durations=10

interop: venv ## tests beside the real sr3 (metpx-sr3, installed into a venv of its own)
	@tests/lab/packages.sh
	CI=1 $(RUN)/python -m pytest tests/interop --durations=5

docs: venv ## write manual pages and the reference anew from the code
	$(RUN)/python -m tests.lab.reference

bench: venv ## measure posts/s, small files/s and MB/s beside sr3 and sftp
	@tests/lab/packages.sh
	@$(RUN)/python -m bench.run

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
