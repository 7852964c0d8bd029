"""Install the wheel for Windows in a Python for Windows under Wine, without an index, and use it (docs/building.md).

    python3 cmake/test_windows_wheel.py [--cache FOLDER] [--model FILE] [WHEEL]

Needs Debian 12's package wine64. The Python is made once, in the cache folder (cmake/wine_python.py); each run installs
into an environment of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from make_windows_wheel import TAG
from test_wheel import MODEL, kept_model, newest_wheel
from wheel_tools import BUILD, ROOT
from wine_python import VERSION, WINE, WinePython
from zig_tools import Zig

EXTRAS = "demo,server"
# pip asks the Python that it runs in which requirements apply. It gets Windows' answers.
FETCH = f"""import sys
from pip._vendor.packaging import markers
here = markers.default_environment()
there = {{"os_name": "nt", "sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"}}
there |= {{"python_version": "{VERSION}", "python_full_version": "{VERSION}.0"}}
markers.default_environment = lambda: here | there
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def fill_house(wheel: Path, house: Path) -> None:
    """Fill a folder with the wheel and all that it requires."""
    models = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", house, ROOT / "models"]
    subprocess.run(models, check=True)
    where = ["--platform=win_amd64", f"--python-version={VERSION}", "--only-binary=:all:", "--find-links", house]
    fetch = [sys.executable, "-c", FETCH, "download", "--quiet", "--dest", house, *where]
    subprocess.run([*fetch, f"xllama[{EXTRAS}] @ {wheel.as_uri()}"], check=True)


def main() -> None:
    """Install and check; the first failure ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", nargs="?", type=Path, help="by default the newest of dist/")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "xllama-wheel-test")
    parser.add_argument("--model", type=Path, help="the chat model's file, which is kept in the cache folder")
    given = parser.parse_args()
    if not WINE.exists():
        sys.exit(f"{WINE} is missing: apt-get install --no-install-recommends wine64")
    wheel = given.wheel or newest_wheel(TAG, "make wheel-windows")
    models = kept_model(given.cache.resolve(), given.model)
    start = time.monotonic()
    python = WinePython(given.cache / "windows", Zig(BUILD / "zig"))
    with tempfile.TemporaryDirectory() as name:
        house, site = Path(name, "house"), Path(name, "site")
        fill_house(wheel.resolve(), house)
        install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-compile", "--find-links", f"Z:{house}"]
        python.run(*install, "--target", f"Z:{site}", f"xllama[{EXTRAS}]")
        smoke = ROOT / "cmake" / "wheel_smoke.py"
        where = {"PYTHONPATH": f"Z:{site}", "XLLAMA_CACHE": f"Z:{models}"}
        python.run(f"Z:{smoke}", "module", f"Z:{models / f'{MODEL}.gguf'}", "--all", **where)
        for demo in ("langchain", "llamaindex"):
            python.run(f"Z:{ROOT / 'examples' / f'rag_{demo}.py'}", **where)
    print(f"Windows, under Wine: all is well, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
