# What there is to do with this project. `make help` lists it.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help venv demo sandbox test lint bench lock clean

help: ## List these targets
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 12

venv: $(VENV)/.done ## Make .venv, from nothing but Python 3.11 or newer

demo: venv ## Play the tour: deploy, sync, use, destroy, in a sandbox
	@$(BIN)/python -m sandbox demo

sandbox: venv ## Open a shell in a sandbox: a whole cloud on this machine
	@$(BIN)/python -m sandbox shell || true  # its last command may have failed, which is no fault here

test: lint $(VENV)-awscli/.done ## Run linters and all tests; TESTS=tests/unit runs some
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=term $(TESTS)

lint: venv ## Run ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: venv ## Measure sync beside the engine alone
	@$(BIN)/python -m benchmarks

lock: venv ## Pin the newest versions that requirements*.in allow, with hashes
	$(BIN)/python -m uv --version > /dev/null 2>&1 || $(BIN)/pip install --quiet uv==0.13.9
	for name in requirements requirements-dev requirements-awscli; do \
	  $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --no-header --no-strip-extras \
	    --generate-hashes --upgrade $$name.in --output-file $$name.txt || exit 1; done

clean: ## Remove what the other targets made here
	rm -rf $(VENV) $(VENV)-awscli .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.done: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@echo "Making $(VENV), which takes a minute or two"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# The AWS CLI, one of the clients that the tests hold the written files against. It wants versions
# of its own, hence an environment of its own.
$(VENV)-awscli/.done: requirements-awscli.txt
	@$(PYTHON) -m venv --clear $(VENV)-awscli
	@$(VENV)-awscli/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
