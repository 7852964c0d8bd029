"""Install a wheel of dist/ that was made from these sources. Without one, `make demo` builds.

    python cmake/install_wheel.py VENV

Exits with 1, and says why, if the project has to be built.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import venv
from pathlib import Path

import source_digest
from wheel_targets import target_of

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"


def newest_wheels(folder: Path) -> list[Path]:
    """Return the wheels of a folder that are for this kind of machine, newest first."""
    wheels = [path for path in folder.glob("xllama-*.whl") if target_of(path.name) == platform.machine()]
    return sorted(wheels, key=lambda path: path.stat().st_mtime, reverse=True)


def find(folder: Path, wanted: str) -> tuple[Path | None, str]:
    """Return the wheel that has the digest, if there is one, and a line that says what was found."""
    wheels = newest_wheels(folder)
    for wheel in wheels:
        if source_digest.of_wheel(wheel) == wanted:
            return wheel, f"using {folder.name}/{wheel.name}, made from these sources"
    if wheels:
        return None, f"{folder.name}/{wheels[0].name} was made from other sources (`make wheel` makes it again)"
    return None, f"there is no wheel in {folder.name}/ (`make wheel` makes one)"


def pip(environment: Path, *arguments: str) -> int:
    """Run the environment's pip; return its exit status."""
    return subprocess.run([environment / "bin" / "python", "-m", "pip", *arguments], check=False).returncode


def install(wheel: Path, environment: Path) -> str:
    """Install the wheel and what the demos need, if they are not there; return what went wrong."""
    mark = environment / ".wheel"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == digest:
        return ""
    mark.unlink(missing_ok=True)
    if not (environment / "bin" / "python").exists():
        venv.create(environment, with_pip=True, upgrade_deps=True)
    if pip(environment, "install", "--quiet", "--no-deps", "--force-reinstall", str(wheel)):
        return "it is not for this system"
    if pip(environment, "install", "--quiet", f"xllama[demo] @ {wheel.as_uri()}", str(ROOT / "models")):
        return "what the demos require could not be installed"
    mark.write_text(digest)
    return ""


def main() -> None:
    """Install, or say why not."""
    environment = Path(sys.argv[1]).resolve()
    if (environment / ".built").exists():
        sys.exit("the project is built in place, and stays so")
    wheel, line = find(DIST, source_digest.of_checkout())
    print(line, flush=True)
    failure = install(wheel, environment) if wheel else "so the project is built"
    if failure:
        sys.exit(failure)


if __name__ == "__main__":
    main()
