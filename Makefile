# The whole interface for a developer. `make demo` and `make test` need Python >= 3.10, make and a
# package index, and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EUDS := $(BIN)/euds
DEMO := demo
export HF_HUB_OFFLINE = 1

.PHONY: setup demo demo-prove test test-oldest check audit bench bench-prove bench-speed bench-faults bench-fuzz docs format clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	$(EUDS) models get smollm2-135m minilm-l6
	$(EUDS) data --fetch
	touch $@

# The tests of the Ray engine; it is large, and nothing else needs it.
$(VENV)/.ray: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[ray]"
	touch $@

demo: setup  ## the main job, on real data with real models
	$(EUDS) data bbc-news --rows 1500 -o $(DEMO)/bbc-news.jsonl
	$(EUDS) data tweets --rows 1000 -o $(DEMO)/tweets.jsonl
	$(EUDS) run $(DEMO)/bbc-news.jsonl --task topic --keep 0.16 --out $(DEMO)/bbc-news
	$(EUDS) run $(DEMO)/tweets.jsonl --task sentiment --keep 0.16 --out $(DEMO)/tweets
	$(EUDS) prove $(DEMO)/bbc-news.jsonl --test 0.25 --task topic --keep 0.16 \
		--rules auto,igse,length --trainer probe --seeds 10 --out $(DEMO)/proof

demo-prove: setup  ## the same question with fine-tuning; says how long it will take before it starts
	$(EUDS) data bbc-news --rows 1500 -o $(DEMO)/bbc-news.jsonl
	$(EUDS) prove $(DEMO)/bbc-news.jsonl --test 0.25 --task topic --keep 0.16 \
		--rules auto,igse,length --seeds 3 --train-tokens 64 --out $(DEMO)/proof-fine-tuned

test: setup $(VENV)/.ray
	@# A process of its own: Ray ends the one that it lives in when it loses its cluster.
	$(BIN)/python scripts/test_ray.py -q -m "not slow"
	$(BIN)/python -m pytest -m "not slow" --ignore=tests/scoring/engines/test_ray.py -n 2 --dist worksteal

# The oldest version of everything that pyproject.toml allows.
OLDEST := .venv-oldest
test-oldest: $(OLDEST)/.ready  ## reading and models with the oldest packages that are allowed
	$(OLDEST)/bin/python -m pytest -m "not slow" -n 2 tests/models tests/reading

$(OLDEST)/.ready: pyproject.toml scripts/oldest_pins.py constraints.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints.txt tomli
	$(OLDEST)/bin/python scripts/oldest_pins.py > $(OLDEST)/pins.txt
	$(OLDEST)/bin/python -m pip install --quiet --constraint $(OLDEST)/pins.txt --editable ".[all]" \
		pytest pytest-timeout pytest-xdist hypothesis
	$(OLDEST)/bin/euds models get smollm2-135m minilm-l6
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/cli_page.py --check
	$(BIN)/python scripts/tree_page.py --check
	$(BIN)/python benchmarks/proofs_page.py --check
	$(BIN)/python benchmarks/speed_page.py --check
	$(BIN)/python benchmarks/labelled_pages.py --check
	$(BIN)/python benchmarks/automatic_page.py --check
	$(BIN)/python benchmarks/ray_page.py --check
	$(BIN)/python benchmarks/cascade_page.py --check
	$(BIN)/python benchmarks/fuzz_page.py --check
	$(BIN)/python benchmarks/trust_pages.py --check
	$(BIN)/python benchmarks/many_rows_page.py --check
	$(BIN)/python benchmarks/unusable_page.py --check

audit: setup  ## the pinned packages against databases of known vulnerabilities; 2 = could not be checked
	$(BIN)/python scripts/audit.py

bench: setup $(VENV)/.ray  ## everything that takes longer: slow tests, then each claim of the documents
	$(BIN)/python -m pytest -m slow
	$(BIN)/python benchmarks/coverage.py
	$(BIN)/python benchmarks/certificate.py
	$(BIN)/python benchmarks/regime.py
	$(BIN)/python benchmarks/labelled_pages.py
	$(BIN)/python benchmarks/near_duplicates.py
	$(BIN)/python benchmarks/replay_tolerances.py
	$(BIN)/python benchmarks/cascade.py
	$(BIN)/python benchmarks/cascade_page.py
	$(BIN)/python benchmarks/stability.py
	$(MAKE) bench-faults
	$(MAKE) bench-fuzz
	$(MAKE) bench-speed
	$(MAKE) bench-prove

bench-faults: setup  ## every kind of fault many times, at random moments
	$(BIN)/python benchmarks/faults.py
	$(BIN)/python benchmarks/trust_pages.py

bench-fuzz: setup  ## changed and hostile bytes to everything that reads files
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group fuzz
	$(BIN)/python benchmarks/fuzz.py
	$(BIN)/python benchmarks/fuzz_page.py

bench-prove: setup  ## the protocol on real data and stress pools; resumable, says the hours first
	$(BIN)/python benchmarks/proofs.py
	$(BIN)/python benchmarks/proofs_page.py
	$(BIN)/python benchmarks/unusable.py
	$(BIN)/python benchmarks/automatic.py
	$(BIN)/python benchmarks/automatic.py --fine-tune
	$(BIN)/python benchmarks/automatic_page.py

bench-speed: setup $(VENV)/.ray  ## against plain loops, peers and the machine's arithmetic; nothing else may run
	$(BIN)/python -m pip install --quiet --no-deps --target build/peers \
		lmppl==0.3.2 data-selection==1.0.3 nltk regex joblib tqdm
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/speed_training.py
	$(BIN)/python benchmarks/rows.py
	$(BIN)/python benchmarks/many_rows.py
	$(BIN)/python benchmarks/many_rows_page.py
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/early_stop.py
	$(BIN)/python benchmarks/speed_page.py
	$(BIN)/python benchmarks/ray_engine.py
	$(BIN)/python benchmarks/ray_page.py

docs: setup  ## write docs/cli.md from the commands, and the tree of docs/architecture.md
	$(BIN)/python scripts/cli_page.py
	$(BIN)/python scripts/tree_page.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OLDEST) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
