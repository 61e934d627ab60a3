# Two commands: `make listen` hears sound live, `make test` checks everything. Both set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
ARGS ?=

.PHONY: listen test check lock clean

listen: $(VENV)/.base portaudio
	@$(BIN)/acula-edge listen --or-demo $(ARGS)

test: check
	$(BIN)/python -m pytest

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	$(if $(UV),$(UV) venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))

# $(1): a lock in requirements/. The project itself is installed in place, without its dependencies.
define install
	$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode -r $(1),$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(1))
	$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .,$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .)
endef

$(VENV)/.base: requirements/base.txt pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) (once)"
	$(call install,requirements/base.txt)
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml | $(BIN)/python
	$(call install,requirements/test.txt)
	@touch $@ $(VENV)/.base

# The microphone needs PortAudio. macOS and Windows wheels carry it; Debian and Ubuntu package it.
.PHONY: portaudio
portaudio:
	@if [ "$$(uname)" = Linux ] && ! ldconfig -p 2>/dev/null | grep -q libportaudio; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing PortAudio"; apt-get update -qq && apt-get install -y -qq libportaudio2 >/dev/null; \
	  else echo "for the microphone: sudo apt-get install libportaudio2 (recordings work without it)"; fi; fi

lock: pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate --no-header pyproject.toml -o requirements/base.txt
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate --no-header --extra test pyproject.toml -o requirements/test.txt

clean:
	rm -rf $(VENV) dist build
