# Everything that can be done here; each target makes what it needs first.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2

FUZZ_S ?= 600

.PHONY: demo test lint format bench conformance faults fuzz run venv docs locale clean

venv: .venv/made

# Made anew when dependencies or pins change; an interrupted one is never taken for whole.
.venv/made: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: venv
	$(BIN)/socmon demo

test: venv lint
	tests/needs
	$(BIN)/pytest -n $(JOBS) --dist worksteal

# The feed's acceptance list: a row a fault, with the processes, signals and mounts that its test used.
faults: venv
	tests/needs
	SOCMON_FAULTS=1 $(BIN)/pytest -q -n $(JOBS) --dist worksteal tests/feed -k test_fault_

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv
	$(BIN)/python bench/ssh_bruteforce/run.py
	$(BIN)/python -m bench.ssh_speed.run
	$(BIN)/python -m bench.udp_burst.run
	$(BIN)/python -m bench.capture.run
	$(BIN)/python -m bench.packets.run
	$(BIN)/python -m bench.engine.run
	$(BIN)/python -m bench.regex.run
	$(BIN)/python -m bench.bounded.run
	$(BIN)/python -m bench.end_to_end.run
	$(BIN)/python -m bench.rule_cache.run
	$(BIN)/python -m bench.feed_soak.run
	$(BIN)/python -m bench.feed_throughput.run

conformance: venv
	$(BIN)/python -m bench.conformance.run

# atheris is no part of the environment: it has no wheel for every Python, and without it inputs are changed at random.
fuzz: venv
	-$(BIN)/python -m pip install --quiet --only-binary :all: 'atheris>=3,<4'
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_S)

run: venv
	@test -n "$(CONFIG)" || { echo "say which configuration: make run CONFIG=/path/to/config.yaml" >&2; exit 2; }
	$(BIN)/socmon -c "$(CONFIG)" run

docs: venv
	$(BIN)/python docs/generate.py
	$(BIN)/python dashboards/generate.py

# After a change of socmon.po, whose keys are the English texts; tests/test_i18n.py says which are missing.
locale: venv
	$(BIN)/pybabel --quiet compile --domain socmon --directory socmon/locale

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/data
