#!/bin/sh
# Proves the CUDA backend on a real GPU, in under ten minutes and without a network.
#   tools/gpu_check.sh pack        here, with a network: puts what travels into gpu_check/
#   tools/gpu_check.sh run [TABLE] there, with nvcc, CMake, ninja and Python 3.12: builds the backend for this card's
#                                  architecture, installs the carried wheels, and writes the table
set -eu
cd "$(dirname "$0")/.."
carried=gpu_check

pack() {
    wheel=$(ls -t dist/xllama-*-manylinux*.whl | head -1)
    rm -rf "$carried"
    mkdir -p "$carried/wheels"
    python=$(command -v .venv/bin/python || command -v python3)
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$carried/wheels" ./models
    "$python" -m pip download --quiet --only-binary=:all: --python-version 3.12 --dest "$carried/wheels" \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --find-links "$carried/wheels" "$wheel" xllama-models gguf wheel pip
    cp -r vendor/llama.cpp/ggml "$carried/ggml"
    cp vendor/llama.cpp/LICENSE "$carried/LICENSE"
    rm -rf "$carried"/ggml/src/ggml-*/ && cp -r vendor/llama.cpp/ggml/src/ggml-cuda "$carried/ggml/src/"
    du -sh "$carried"
}

run() {
    table=${1:-gpu_check.md}
    venv=$(mktemp -d)
    python3.12 -m venv "$venv"
    pip="$venv/bin/python -m pip install --quiet --no-index --find-links $carried/wheels"
    $pip wheel
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
    "$venv/bin/python" cmake/make_backend_wheel.py cuda "$venv/wheels" --local --architectures "$capability" \
        --llama-cpp "$PWD/$carried" --parallel "$(nproc)"
    $pip --find-links "$venv/wheels" xllama-cuda13 xllama-models gguf
    "$venv/bin/xllama" doctor
    "$venv/bin/python" tools/gpu_check.py --device cuda:0 --table "$table"
    cat "$table"
}

case "${1:-}" in
    pack) pack ;;
    run) shift; run "$@" ;;
    *) sed -n '2,5s/^# //p' "$0"; exit 2 ;;
esac
