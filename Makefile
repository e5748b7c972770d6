# The two commands of the README, and a developer's. Everything lives in .venv; nothing else is touched, except that
# libGL (which OpenCV, and so MediaPipe, needs) is installed with the system's package manager where it is missing, and
# for `make test`, by root on Debian alone, Node.js and Chromium.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SHELL  := /bin/bash
CAMPAIGNS := scripts/mutate scripts/mutation scripts/kill_test scripts/killing

# A processor without AVX-512: other kernels compute there, some of them without channels last or bfloat16.
OLDER  := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2

# Tests run in so many processes; a process that has none left takes from another (the modules stay together). What was
# skipped is told with its reason at the end.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal -rs

# What the page is built of; what it is built into is inside the wheel.
PAGE   := src/signloom/apps/web/index.html
PAGE_OF := web/package-lock.json web/index.html web/vite.config.ts $(shell find web/src web/public -type f)

.PHONY: demo test check bench format clean web
demo: $(VENV)/.ready  ## the whole tour on a corpus it makes itself
	$(BIN)/signloom demo

test: $(VENV)/.ready  ## every test but those that need a GPU
	if scripts/browser_tools; then $(MAKE) web || test -z "$$CI"; fi  # without the page its tests say so, and the rest goes on
	$(PYTEST) -m "not gpu" --ignore tests/web --durations=25
	$(BIN)/python -m pytest -m "not gpu" -rs tests/web  # by themselves: a browser that computes wants the machine
	$(OLDER) $(PYTEST) -m "not gpu and not slow" tests/models tests/training/test_trainer.py tests/pipelines/test_bench.py

web: $(PAGE)  ## the page of `signloom serve`; needs Node.js 20.19 or later

$(PAGE): $(PAGE_OF)
	cd web && npm ci --loglevel error --ignore-scripts && npm run --silent build
	rm -rf $(@D) && cp -r web/dist $(@D)
	touch $@

check: $(VENV)/.ready  ## format, lint, types, layers: seconds
	$(BIN)/ruff format --check src tests $(CAMPAIGNS)
	$(BIN)/ruff check src tests $(CAMPAIGNS)
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready  ## measure speed on this machine
	$(BIN)/signloom bench

format: $(VENV)/.ready
	$(BIN)/ruff format src tests $(CAMPAIGNS)
	$(BIN)/ruff check --fix src tests $(CAMPAIGNS)

$(VENV)/.ready: pyproject.toml constraints.txt Makefile
	@scripts/system_libraries
	test -x $(BIN)/python || $(PYTHON) scripts/make_venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	scripts/install_torch $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps rtmlib==0.0.16  # what it asks for would bring a second OpenCV
	scripts/get_networks $(BIN)/python
	touch $@

clean:
	rm -rf $(VENV)
