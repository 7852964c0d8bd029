"""Runs a target of targets.py under libFuzzer's search, guided by what our Python code reaches; needs atheris.

python tests/fuzzing/with_atheris.py TARGET [LIBFUZZER_ARGUMENT ...]
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import atheris

TESTS = Path(__file__).resolve().parents[1]


def find_sources() -> str:
    """Let Python find our packages in src/ itself; return the folder of the extension.

    An installation in place has a finder of its own for them, whose modules atheris does not instrument.
    """
    extension = importlib.util.find_spec("xlc_core._native")
    if extension is None or extension.origin is None:
        raise SystemExit("the extension is not built")
    for name in [name for name in sys.modules if name.partition(".")[0] == "xlc_core"]:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]
    sys.path[:0] = [str(TESTS), str(TESTS.parent / "src")]
    return str(Path(extension.origin).parent)


folder = find_sources()
with atheris.instrument_imports(include=["xlc_core", "fuzzing"]):
    import xlc_core

    xlc_core.__path__.append(folder)
    from fuzzing.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
