# Everything runs in .venv, made by the first target that needs it.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo lab test chaos bench bench-peers install doctor clean

demo: install  ## a lens in the terminal, and an interactive page
	$(BIN)/interp demo

lab: install  ## JupyterLab on the first demo notebook
	$(BIN)/jupyter lab demo_notebooks/01_first_lens.ipynb

doctor: install
	$(BIN)/interp doctor

test: .venv/test js/node_modules/.made  ## everything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd js && $(NPM) run check && $(NPM) test && $(NPM) run build
	$(BIN)/python -m pytest

chaos: .venv/test  ## a few thousand jobs while everything that can end is ended; see RELIABILITY.md
	$(BIN)/python -m tests.chaos.chaos --jobs 3000 --seed 1

bench: .venv/bench  ## speed beside the peers; see benchmarks/README.md
	$(BIN)/python -m benchmarks

bench-peers: .venv/bench  ## the same work by other libraries, each in an environment of its own under .peers
	$(BIN)/python -m benchmarks.peers

install: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'torch>=2.7,<2.14'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	touch $@

.venv/test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,test]'
	touch $@

.venv/bench: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,test,bench]'
	touch $@

# npm of the environment, so that no Node need be installed.
NPM = PATH="$(CURDIR)/$(BIN):$$PATH" npm

js/node_modules/.made: js/package.json js/package-lock.json .venv/test
	cd js && $(NPM) ci --no-audit --no-fund
	touch $@

clean:
	rm -rf .venv js/node_modules widgets/interp_widgets/static/*.js widgets/interp_widgets/static/*.css
