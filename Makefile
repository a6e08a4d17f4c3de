# make demo | test | test-slow | lint | docs | setup | clean
#
# Variables: PYTHON         interpreter that makes the environment (3.9 to 3.14), default python3
#            VENV           where the environment is, default .venv
#            TORCH_INDEX_URL  also look for torch here, e.g. PyTorch's own CPU or CUDA index (INSTALL.md)

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX_URL ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed

# Every pip run below, also the ones of tools/install_detectron2.py, keeps to the recorded versions.
export PIP_CONSTRAINT := requirements.txt

# Threads that wait give the processor away: others may be at work on it, and tests are many small steps.
export OMP_WAIT_POLICY ?= PASSIVE

CHECK_PYTHON := import sys; v = sys.version_info[:2]; sys.exit(None if (3, 9) <= v <= (3, 14) else \
	"error: Python %d.%d is not supported, 3.9 to 3.14 are: make setup PYTHON=python3.11" % v)

.PHONY: setup demo test test-slow lint docs clean

setup: $(STAMP)

$(STAMP): requirements.txt setup.py tools/install_detectron2.py
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) here: make setup PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q setuptools wheel
	$(PIP) install $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) torch torchvision
	$(PIP) install -q -r requirements.txt
	$(PY) tools/install_detectron2.py
	$(PIP) install -q --no-build-isolation --editable .
	@touch $@
	@echo "The environment is ready: $(VENV)"

demo: setup
	$(PY) demo/track_video.py --config-file configs/SiamRPN/siamrpn_lite.yaml \
		--input demo/cups.mp4 --init-box "$$(head -n 1 demo/cups_groundtruth_0.txt)" \
		--init-box "$$(head -n 1 demo/cups_groundtruth_1.txt)" \
		--gt demo/cups_groundtruth_0.txt --output output/demo

test: setup
	$(PY) -m pytest -m "not slow" -n 2 --dist loadfile --max-worker-restart 0 --durations=10

test-slow: setup
	$(PY) -m pytest -m slow --durations=10

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

# The site of the documents, in build/site/.
docs: setup
	$(PIP) install -q --no-build-isolation --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "The site is ready: build/site/index.html"

# Keeps the environment and output/.
clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
