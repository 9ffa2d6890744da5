# Two commands: `make demo` solves a PDE, `make test` checks everything. Both set up .venv first, with
# the versions in .ci/constraints.txt. `make test-newest` and `make test-oldest` check everything with
# the newest and the oldest versions that pyproject.toml allows; `make lock` writes .ci/constraints.txt.
# `make docs` builds the documentation; `make notebooks` executes the worked examples that it shows.
# `make faults` kills, corrupts and starves runs for a few minutes, `make faults FAULTS=full` longer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEWEST := .venv-newest
OLDEST := .venv-oldest
KNOWN := .ci/constraints.txt
FAULTS ?= quick
SEED ?= 0
# A test file stays in one process, so that what its tests share is made once.
PYTEST = -m pytest -n auto --dist loadfile

.PHONY: demo test faults test-newest test-oldest lock lint docs notebooks clean

demo: $(VENV)/installed
	$(BIN)/ddopt run examples/poisson2d.toml

test: $(VENV)/installed
	$(BIN)/python $(PYTEST)

faults: $(VENV)/installed
	$(BIN)/python -m tests.faults --budget $(FAULTS) --seed $(SEED)

test-newest: $(NEWEST)/bin/python
	$(NEWEST)/bin/pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
	$(NEWEST)/bin/python $(PYTEST)

# The lower bounds that pyproject.toml gives; what those packages need in turn is the newest.
test-oldest: $(OLDEST)/bin/python
	$(PYTHON) .ci/floors.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/pip install --quiet --editable '.[dev]' --constraint $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python $(PYTEST)

# The known-good set is the newest that the tests have passed with. Make it with the oldest Python that
# is supported: others have these versions too. The CUDA packages are left to torch, which names them.
lock: test-newest
	echo '# The known-good versions, written by `make lock`. The CUDA packages follow from torch.' > $(KNOWN)
	$(NEWEST)/bin/pip list --format freeze --exclude-editable --exclude pip --exclude setuptools \
	| grep -viE '^(nvidia|cuda|triton)' | sed 's/+.*//' >> $(KNOWN)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation, in build/site; `python -m http.server -d build/site` shows it with its search. A
# link that leads nowhere, or any other warning, is an error.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Needed where a source in examples/notebooks has changed. With PINA, neurodiffeq and torchphysics in
# .venv the page on other libraries runs them; without, their cells fail.
notebooks: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[notebook]'
	$(BIN)/python docs/execute.py

$(VENV)/installed: pyproject.toml $(KNOWN) | $(BIN)/python
	@$(BIN)/pip install --quiet --editable '.[dev]' --constraint $(KNOWN) || { \
	echo 'Not every version in $(KNOWN) can be had here: the newest in the ranges of pyproject.toml are taken.' >&2; \
	$(BIN)/pip install --quiet --editable '.[dev]'; }
	touch $@

%/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, this is {sys.version}"'
	$(PYTHON) -m venv $*

clean:
	rm -rf .venv* build runs *.egg-info
