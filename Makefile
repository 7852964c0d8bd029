# Every target creates a virtual environment in .venv if it does not exist. It needs Python ≥ 3.10, a C++17 compiler and
# pip's package index, which also provides CMake and Ninja if they are not installed.

PYTHON ?= python3
VENV ?= .venv
# The framework of `make demo`: langchain or llamaindex.
FRAMEWORK ?= langchain
BIN := $(VENV)/bin
STAMP := $(VENV)/.built
NATIVE_SOURCES := $(shell find src/xlc_core/native cmake -type f) CMakeLists.txt pyproject.toml vendor/pin.ini

.PHONY: demo docs wheel wheel-aarch64 wheel-windows wheel-again sdist wheel-vulkan wheel-cuda wheel-test wheel-test-aarch64 wheel-test-windows test test-vulkan test-convert test-beside test-frameworks test-ray soak fuzz fuzz-coverage asan tsan check tidy format stubs pictures pin clean

# A wheel in dist/ that was made from these sources is installed in seconds. Without one, the project is built.
demo:
	@$(PYTHON) cmake/install_wheel.py $(VENV) || $(MAKE) --no-print-directory $(STAMP)
	$(BIN)/python examples/rag_$(FRAMEWORK).py

# One wheel for all x86-64 Linux processors, in dist/ (docs/building.md). The tools for it are in build/wheel/tools.
wheel:
	$(PYTHON) cmake/make_wheel.py

# The same for aarch64 Linux, compiled on this machine; needs Debian's g++-aarch64-linux-gnu.
wheel-aarch64:
	$(PYTHON) cmake/make_wheel.py --target aarch64

# The same for x86-64 Windows, compiled on Linux; needs Python 3.12 or newer.
wheel-windows:
	$(PYTHON) cmake/make_windows_wheel.py

# Builds it again in another folder, without ccache, and compares the bytes.
wheel-again:
	$(PYTHON) cmake/check_reproducible.py

# The Vulkan backend as a wheel of its own, beside that one (docs/gpus.md).
wheel-vulkan:
	$(PYTHON) cmake/make_backend_wheel.py vulkan

# The CUDA backend, for the cards of ARCHITECTURES; hours on two cores. No card is needed.
ARCHITECTURES ?= 90
wheel-cuda:
	$(PYTHON) cmake/make_backend_wheel.py cuda --architectures '$(ARCHITECTURES)'

# The source distribution, in dist/. `cmake/make_sdist.py --with-llama-cpp` makes one that builds without a network.
sdist:
	$(PYTHON) cmake/make_sdist.py

# Installs and uses it on other systems and processors; as root, with debootstrap and qemu-user-static.
wheel-test:
	build/wheel/tools/bin/python cmake/test_wheel.py

# The same for aarch64, under QEMU as a whole. MODEL is a chat model's file.
wheel-test-aarch64:
	build/wheel/tools/bin/python cmake/test_wheel.py --target aarch64 $(if $(MODEL),--model $(MODEL))

# The wheel for Windows, under Wine (Debian 12: wine64). MODEL is a chat model's file.
wheel-test-windows:
	$(PYTHON) cmake/test_windows_wheel.py $(if $(MODEL),--model $(MODEL))

test: $(STAMP)
	$(BIN)/python -m pytest --durations=25 --durations-min=1

# Both wheels of dist/ on a Vulkan driver: the first card, or Mesa's software driver (Debian: mesa-vulkan-drivers).
VULKAN_VENV := build/wheel/test-vulkan
test-vulkan:
	test -x $(VULKAN_VENV)/bin/python || $(PYTHON) -m venv $(VULKAN_VENV)
	$(VULKAN_VENV)/bin/python -m pip install --quiet --force-reinstall --no-deps --no-index --find-links dist xllama xllama-vulkan
	$(VULKAN_VENV)/bin/python -m pip install --quiet --find-links dist 'xllama[langchain]' xllama-vulkan ./models \
		gguf pytest pytest-asyncio pytest-timeout
	GGML_VK_VISIBLE_DEVICES=$${GGML_VK_VISIBLE_DEVICES-0} $(VULKAN_VENV)/bin/python -m pytest --timeout 1800 tests/vulkan

# The tests that need torch.
test-convert: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[test,convert]'
	$(BIN)/python -m pytest tests/models/test_convert.py

# Beside other packages with llama.cpp in one process; pip builds one of them, which takes ten minutes.
test-beside: $(STAMP)
	$(BIN)/python -m pip install --quiet xllamacpp llama-cpp-python
	$(BIN)/python -m pytest tests/reliability/test_beside_others.py

# Packages that cannot be installed beside all others, each group in an environment of its own; ONLY names one.
test-frameworks: $(STAMP)
	$(BIN)/python cmake/test_frameworks.py $(if $(ONLY),--only $(ONLY))

# Jobs and the server on Ray, with clusters of several nodes on this machine.
test-ray:
	$(MAKE) --no-print-directory test-frameworks ONLY=ray

# All kinds of requests for ten minutes, and thousands of constrained and refused ones.
soak: $(STAMP)
	$(BIN)/python -m pytest -m soak --timeout 3600

# The tests of what runs in threads or reads foreign bytes, with AddressSanitizer and UBSan, or with ThreadSanitizer.
asan tsan: $(STAMP)
	$(BIN)/python cmake/sanitize.py $@

# Hostile files, then hostile requests, for so many minutes each, from this seed; prints tables (docs/reliability.md).
SEED ?= 1
MINUTES ?= 10
fuzz: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m attacks.hostile_files --seed $(SEED) --minutes $(MINUTES)
	$(BIN)/python tests/attacks/fuzz_requests.py --seed $(SEED) --minutes $(MINUTES)

# A search for inputs that parsers of ours do not survive, for so many minutes each (tests/fuzzing/README.md).
fuzz-coverage: $(STAMP)
	$(BIN)/python -m pip install --quiet 'atheris>=3'
	$(BIN)/python cmake/fuzz_coverage.py --minutes $(MINUTES)

# Static checks: style, types, whether generated files are up to date, plain English, docstrings, and clang-tidy.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy cmake/test_frameworks.py
	git ls-files -co --exclude-standard 'src/*.c' 'src/*.cpp' 'src/*.h' | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/python cmake/make_stub.py --check
	$(BIN)/python cmake/make_kwargs.py --check
	$(BIN)/python benchmarks/results.py --check
	$(BIN)/python cmake/make_pictures.py --check
	$(BIN)/python cmake/check_words.py
	$(BIN)/python cmake/check_docstrings.py
	$(BIN)/python cmake/tidy.py

# The documentation site, in build/docs (mkdocs.yml). Every warning is an error: a dead link, a name without its page.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

# clang-tidy on our C++, with the checks of .clang-tidy.
tidy: $(STAMP)
	$(BIN)/python cmake/tidy.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files -co --exclude-standard 'src/*.c' 'src/*.cpp' 'src/*.h' | xargs $(BIN)/clang-format -i

stubs: $(STAMP)
	$(BIN)/python cmake/make_stub.py
	$(BIN)/python cmake/make_kwargs.py

# All pictures of the documents: plots, diagrams, a terminal, and the server's page in Debian's chromium.
pictures: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[demo,server]' ./models 'selenium>=4.20'
	$(BIN)/python cmake/make_pictures.py
	$(BIN)/python cmake/make_pictures.py terminal
	PYTHONPATH=tests $(BIN)/python cmake/make_pictures.py page

# Moves the pin of llama.cpp as far as it goes, and reports (vendor/README.md).
pin:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python cmake/move_pin.py --package $(PACKAGE) --version $(VERSION)
	touch $(STAMP)

# Built in place: Python files are used from src/, and objects are kept in build/ for the next time.
$(STAMP): $(NATIVE_SOURCES) models/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	rm -f $(VENV)/.wheel
	$(BIN)/python -m pip install --editable '.[test,check]' ./models
	touch $@

clean:
	rm -rf build $(VENV) vendor/llama.cpp
