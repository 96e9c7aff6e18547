# What a developer or a curious person does with this checkout.  "make help" lists it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/installed
PLAYBOOK := PATH=$(CURDIR)/$(RUN):$$PATH CONTAINERS_CONF=$(CURDIR)/molecule/containers.conf \
	ansible-playbook --inventory inventories/lab

.PHONY: help venv demo scope scope-down test lint unit policy image integration interop molecule restore faults security docs bench clean

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

scope: venv ## the whole scope in containers, from one playbook, and a file through it
	@tests/lab/packages.sh containers
	@$(PLAYBOOK) molecule/shared/create.yml
	@$(PLAYBOOK) molecule/shared/prepare.yml
	@$(PLAYBOOK) playbooks/site.yml
	@$(RUN)/python -m tests.lab.scope_transfer $(ARGS)

scope-down: venv ## remove the containers of the scope
	@$(PLAYBOOK) molecule/shared/destroy.yml

test: ## everything that CI runs, the slowest part last
	@$(MAKE) --jobs=2 --output-sync=target lint unit policy
	@tests/lab/packages.sh containers
	@$(MAKE) --jobs=3 image integration interop
	@$(MAKE) molecule

lint: venv ## types, style, layers, documentation in step with the code
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports --no-cache
	$(RUN)/python -m tests.lab.reference --check
	$(RUN)/yamllint --strict .
	PATH=$(CURDIR)/$(RUN):$$PATH $(RUN)/ansible-lint

unit: venv ## tests of what is pure
	PATH=$(CURDIR)/$(RUN):$$PATH $(RUN)/python -m pytest tests/unit --numprocesses=auto

policy: venv ## what holds for all roles, playbooks and inventories; mistakes in an inventory
	@tests/lab/packages.sh
	PATH=$(CURDIR)/$(RUN):$$PATH $(RUN)/python -m pytest tests/policy tests/playbooks --numprocesses=auto

# These mostly wait for other programs, so four processes suit two processors.
integration: venv ## tests with a real broker and a real SFTP server
	@tests/lab/packages.sh
	CI=1 $(RUN)/python -m pytest tests/integration --numprocesses=4 --dist=worksteal --durations=10

interop: venv ## tests beside the real sr3 (metpx-sr3, installed into a venv of its own)
	@tests/lab/packages.sh
	CI=1 $(RUN)/python -m pytest tests/interop --durations=5

# Mostly waits for downloads, so "make test" builds it beside other tests.
image:
	@tests/lab/packages.sh containers
	@molecule/image/build.sh > /dev/null

molecule: venv ## the scope in containers: converge, idempotence, specification, on one host and on nine
	@tests/lab/packages.sh containers
	PATH=$(CURDIR)/$(RUN):$$PATH tests/lab/scenarios.sh

restore: venv ## the scope on one host: backed up, lost, restored; a user goes on as before
	@tests/lab/packages.sh containers
	PATH=$(CURDIR)/$(RUN):$$PATH tests/lab/timed.sh "backup and restore" tests/lab/restore.sh

# Writes its results into docs/failures.md and docs/failures-one-host.md.
faults: venv ## as "make molecule", with the faults that take minutes; a table
	@tests/lab/packages.sh containers
	CI=1 $(RUN)/python -m pytest tests/integration --faults -m faults
	PATH=$(CURDIR)/$(RUN):$$PATH SARRA_FAULTS=true SARRA_FAULTS_REPORT=$(CURDIR)/docs/failures-one-host.md \
		tests/lab/timed.sh "faults on one host" molecule test -s single
	PATH=$(CURDIR)/$(RUN):$$PATH SARRA_FAULTS=true SARRA_FAULTS_REPORT=$(CURDIR)/docs/failures.md \
		tests/lab/timed.sh "faults on nine hosts" molecule test -s default

# Needs the containers of "make scope"; the quick audits are in "make molecule", too.  A run of
# everything writes its result into docs/security.
security: venv ## audit the scope in containers with ssh-audit, testssl.sh, lynis, nmap, as hostile users; a table
	@tests/lab/packages.sh containers audit
	CONTAINERS_CONF=$(CURDIR)/molecule/containers.conf PATH=$(CURDIR)/$(RUN):$$PATH $(RUN)/python -m pytest \
		tests/scope --ansible-inventory inventories/lab --security --destructive --rate-seconds 60 \
		$(or $(ARGS),--security-report docs/security/last-run.md)

docs: venv ## write manual pages and the reference anew from the code
	$(RUN)/python -m tests.lab.reference

bench: venv ## measure everything beside its peers, into docs/benchmarks; ARGS="--quick" tries it
	@tests/lab/packages.sh
	@$(RUN)/python -m pip install --quiet --group bench
	@$(RUN)/python -m bench $(ARGS)

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
