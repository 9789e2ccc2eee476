# make bench SUITE=mnist ARGS="--profile full --seeds 0"   each target makes the environment first if it is missing
SUITE   ?= quickstart
ARGS    ?=
RESULTS ?= results
PUBLISHED ?= results/published
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
EXTRA   :=
PROJECT  = --editable ".$(EXTRA)"
PIP     := $(BIN)/pip install --disable-pip-version-check --constraint constraints.txt
# uv does pip's work in a third of the time, and shows how far it is. It does not read pip's configuration: what further
# places of packages that names is passed on, unless uv has settings of its own. Where pip has another main index, or uv
# cannot be had or does not get through, pip does it.
FROM_PIP = echo $${PIP_$(2)-$$($(BIN)/pip config get install.$(1) 2>&- || $(BIN)/pip config get global.$(1) 2>&-)}
UV       = UV_SYSTEM_CERTS=$${UV_SYSTEM_CERTS-1} UV_INDEX_STRATEGY=$${UV_INDEX_STRATEGY-unsafe-best-match} \
           UV_EXTRA_INDEX_URL="$${UV_EXTRA_INDEX_URL-$$($(call FROM_PIP,extra-index-url,EXTRA_INDEX_URL))}" \
           UV_FIND_LINKS="$${UV_FIND_LINKS-$$($(call FROM_PIP,find-links,FIND_LINKS) | tr ' ' ,)}" \
           $(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt
OWN_INDEX = $(BIN)/pip config list | grep -Eq '\.(index-url|no-index)='
# Python keeps what it compiled, also where a container asks it not to: each process would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL: # two targets would make the environment at once
.PHONY: help bench report board ui speed gpu-proof test test-all test-fast fuzz lint docs dist clean-env

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed $(VENV)/.installed-dev: pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "gan_bench needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) -V 2>&1); name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making the environment in $(VENV) (a few minutes, about 6 GB: torch with CUDA)"
	$(PYTHON) -m venv $(VENV)
	@if $(OWN_INDEX) || ! { $(PIP) --quiet uv && $(UV) $(PROJECT); }; then $(PIP) $(PROJECT); fi
	@touch $(MADE)

$(VENV)/.installed: MADE = $@
$(VENV)/.installed-dev: MADE = $(VENV)/.installed $@
$(VENV)/.installed-dev: EXTRA = [dev]

bench: $(VENV)/.installed ## run a suite: make bench SUITE=mnist ARGS="--seeds 0"
	@exec $(BIN)/gan-bench run "$(SUITE)" --results "$(RESULTS)" $(ARGS)

report: $(VENV)/.installed ## make the tables again from the records
	@exec $(BIN)/gan-bench report "$(RESULTS)" $(ARGS)

board: $(VENV)/.installed ## put published results on a static page: make board PUBLISHED=results/published
	@exec $(BIN)/gan-bench board $(PUBLISHED) --out board $(ARGS)

ui: $(VENV)/.installed ## serve the MLflow page of the results
	@exec $(BIN)/gan-bench ui --results "$(RESULTS)" $(ARGS)

speed: $(VENV)/.installed-dev ## measure the training loops against an article-style loop
	$(BIN)/python benchmarks/speed/training.py --out "$(RESULTS)"/speed $(ARGS)
	$(BIN)/python benchmarks/speed/ways.py --out "$(RESULTS)"/speed

gpu-proof: $(VENV)/.installed-dev ## on a GPU: tests, speed, the suite mnist, all in one folder, within 25 minutes
	$(BIN)/python benchmarks/speed/gpu_proof.py --out "$(RESULTS)"/gpu-proof $(ARGS)

test: $(VENV)/.installed-dev ## run the tests on all cores
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal $(ARGS)

test-all: $(VENV)/.installed-dev ## run the tests, those that take long too
	GAN_BENCH_SLOW=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal $(ARGS)

test-fast: $(VENV)/.installed-dev ## run the unit tests alone
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal tests/unit $(ARGS)

fuzz: $(VENV)/.installed-dev ## feed damaged and hostile input to every reader: make fuzz ARGS="--seconds 3600"
	$(BIN)/python tests/fuzz.py $(ARGS)

lint: $(VENV)/.installed-dev ## format check, ruff, mypy --strict, import floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev ## write the generated pages, then build the documentation in site/
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

dist: $(VENV)/.installed-dev ## build the wheel and the source distribution in dist/
	$(BIN)/hatchling build

clean-env: ## remove the environment
	rm -rf $(VENV)
