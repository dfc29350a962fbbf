# The whole interface for a developer. `make demo` and `make test` need Python >= 3.10, make and a
# package index, and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EUDS := $(BIN)/euds
DEMO := demo
export HF_HUB_OFFLINE = 1

.PHONY: setup demo test check bench docs format clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	$(EUDS) models get smollm2-135m minilm-l6
	$(EUDS) data --fetch
	touch $@

demo: setup  ## the main job, on real data with real models
	$(EUDS) data bbc-news -o $(DEMO)/bbc-news.jsonl
	$(EUDS) data tweets --rows 3000 -o $(DEMO)/tweets.jsonl
	$(EUDS) run $(DEMO)/bbc-news.jsonl --task topic --keep 0.16 --out $(DEMO)/bbc-news
	$(EUDS) run $(DEMO)/tweets.jsonl --task sentiment --keep 0.16 --out $(DEMO)/tweets

test: setup
	$(BIN)/python -m pytest -m "not slow"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/cli_page.py --check

bench: setup  ## everything that takes longer: slow tests, then each claim of the documents
	$(BIN)/python -m pytest -m slow
	$(BIN)/python benchmarks/rows.py

docs: setup  ## write docs/cli.md from the commands
	$(BIN)/python scripts/cli_page.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
