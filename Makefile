# KubeChain: the commands that always work. `make` prints what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?=
UV ?= $(shell command -v uv || echo .tools/bin/uv)
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= kubechain:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/kubechain/__init__.py)
# Without the compiled files every process of the tests would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup check types layers quick-tests test cluster-test node-test demo bench format generate lock parts clean \
  image deploy-operator undeploy-operator

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## Install the program and everything its development needs into .venv

$(VENV)/.ready: requirements.lock pyproject.toml
	@[ -x "$(UV)" ] || [ "$(UV)" != .tools/bin/uv ] || tools/install-uv .tools 0.13.9 $(PYTHON)
	@[ -x $(BIN)/python ] || { python=$(or $(PYTHON),$$(tools/choose-python $(UV))) && \
	  $(UV) venv --quiet --python $$python $(VENV); }
	@echo "setup: installing locked dependencies into $(VENV)"
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "setup: done. The program is $(BIN)/kubechain"

check: setup ## Format, lint, types, layers, unit and contract tests: a minute and a half
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(MAKE) --no-print-directory -j 3 types layers quick-tests

types:
	@$(BIN)/mypy

layers:
	@$(BIN)/lint-imports > .lint-imports.out || { cat .lint-imports.out; exit 1; }; rm -f .lint-imports.out

quick-tests:
	@$(BIN)/pytest -q -n 4 -m "not cluster and not slow" tests/unit tests/house tests/contract \
	  --ignore tests/contract/test_kubectl.py

parts: setup ## Fetch the real parts that the tests run against; Kubernetes and Helm are built, once, in 15 minutes
	@$(BIN)/python -m tests.parts.kubectl
	@$(BIN)/python -m tests.parts.node
	@$(BIN)/python -m tests.parts.mcpservers
	@$(BIN)/python -m tests.parts.localmodel
	@$(BIN)/python -m tests.parts.apiserver
	@$(BIN)/python -m tests.parts.helm
	@$(BIN)/python -m tests.parts.kuberouter
	@$(BIN)/python -m tests.parts.podman
	@nice $(BIN)/python -m tests.parts.machine

test: check parts ## Everything: check, then stories, crashes, the installed program; then again on a real Kubernetes, and on a node
	@$(BIN)/pytest -q -n 4 tests/contract/test_kubectl.py
	@$(BIN)/pytest -q -n 3 -m "slow and not cluster" tests/unit tests/contract
	@$(BIN)/pytest -q -n 3 -m "not cluster" tests/parts tests/story tests/crash tests/chaos tests/fuzz tests/e2e \
	  tests/deploy tests/replicas
	@$(ON_KUBERNETES)
	@$(ON_A_NODE)

# Each worker starts a cluster of its own (half a gigabyte), and deletes it with the last test.
ON_KUBERNETES = KUBECHAIN_REQUIRE_APISERVER=1 CI=true $(BIN)/pytest -q -n 2 -m cluster tests

# Skipped, with the reason, where no node can run: without root, or without cgroup v1.
ON_A_NODE = CI=true $(BIN)/pytest -q -m machine tests/machine

cluster-test: setup ## The contract, the stories and the crashes on a real Kubernetes API server (built once)
	@$(BIN)/python -m tests.parts.apiserver
	@$(ON_KUBERNETES)

node-test: setup ## Our image on a real node, with kubelet and containerd: needs root, installs packages of Debian
	@$(BIN)/python -m tests.parts.machine
	@$(ON_A_NODE)

demo: setup ## The main job, no key needed: an agent carries a task to its answer and survives kill -9
	@$(BIN)/kubechain demo

bench: setup ## KubeChain beside its peers, 40 minutes (BENCH=--quick: 5); `python -m bench.turn`: one turn taken apart
	@$(BIN)/python -m bench $(BENCH)

format: setup ## Format the code and fix what can be fixed
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix .

image: ## Build the container image with docker, podman or buildah (IMAGE=name:tag, BASE=another base image)
	@deploy/image/build $(IMAGE)

deploy-operator: setup image ## Build the image, and put the operator on the cluster of kubectl's current context
	@deploy/up $(IMAGE)

undeploy-operator: ## Take the operator off that cluster; the kinds and their objects stay
	@deploy/down

generate: setup ## Write what is generated from the code: deploy/, docs/reference.md, docs/commands.md
	@$(BIN)/python -m kubechain.resources.crd deploy/crds
	@$(BIN)/python -m kubechain.deploying.kustomize deploy
	@$(BIN)/python -m kubechain.deploying.chart deploy/chart/kubechain
	@$(BIN)/python -m kubechain.deploying.reference_page docs/reference.md
	@$(BIN)/python -m kubechain.cli.commands_page docs/commands.md

LOCKED := --constraint requirements.lock --universal --generate-hashes --no-emit-index-url --no-header \
  --python-version 3.11

lock: ## Resolve the dependencies anew into requirements.lock
	@$(UV) pip compile --quiet pyproject.toml --all-extras --group dev --universal --generate-hashes \
	  --no-emit-index-url --no-header --python-version 3.11 --output-file requirements.lock
	@$(UV) pip compile --quiet pyproject.toml --all-extras $(LOCKED) --output-file deploy/image/requirements.lock
	@echo hatchling | $(UV) pip compile --quiet - $(LOCKED) --output-file deploy/image/build.lock

clean: ## Remove what the other commands made in this folder
	@rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
