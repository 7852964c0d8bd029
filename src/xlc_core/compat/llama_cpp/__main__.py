"""Run a program that was written for llama-cpp-python: ``python -m xlc_core.compat.llama_cpp program …``."""

from __future__ import annotations

import runpy
import sys

from xlc_core.compat.llama_cpp import install


def main() -> None:
    """Run the module that the command line names, with the arguments after it."""
    if len(sys.argv) < 2:
        sys.exit("write: python -m xlc_core.compat.llama_cpp module [arguments], such as steadytext --help")
    install()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
