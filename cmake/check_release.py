"""Check that what is in dist/ is the release that the changelog and the tag name (RELEASE.md).

    python cmake/check_release.py [--untagged]

The version is written by hand, not made from tags: archives and shallow clones do not have tags, a tag that comes later
would change the bytes of a wheel, and wheels of backends require the exact version. So the tag is checked instead.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import source_digest

ROOT = Path(__file__).resolve().parents[1]


def git(*words: str) -> str:
    """Return what Git prints."""
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.rstrip()


def version_faults(root: Path, version: str) -> list[str]:
    """Return where another version is written, or the changelog does not have a date for it."""
    lines = []
    if f'\n__version__ = "{version}"\n' not in (root / "src" / "xlc_core" / "__init__.py").read_text("utf-8"):
        lines.append(f"src/xlc_core/__init__.py: __version__ is not {version}")
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    if not re.search(rf"(?m)^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog):
        lines.append(f"CHANGELOG.md: there is no section [{version}] with a date")
    return lines


def file_faults(root: Path, version: str) -> list[str]:
    """Return what is missing in dist/, or was made from other sources."""
    dist = root / "dist"
    wheels = sorted(dist.glob(f"xllama-{version}-*.whl"))
    lines = [] if wheels else [f"dist/: there is no wheel of {version}"]
    wanted = source_digest.of_checkout(root)
    lines += [f"{path.name}: made from other sources" for path in wheels if source_digest.of_wheel(path) != wanted]
    if not (dist / f"xllama-{version}.tar.gz").exists():
        lines.append(f"dist/: there is no source distribution of {version}")
    known = {*wheels, dist / f"xllama-{version}.tar.gz", *dist.glob("xllama_models-*.whl")}
    known |= set(dist.glob(f"xllama_*-{version}-*.whl"))  # backends
    strangers = sorted(path.name for path in dist.glob("*") if path not in known)
    return lines + [f"dist/{name}: does not belong to {version}" for name in strangers]


def tag_faults(version: str, untagged: bool) -> list[str]:
    """Return what Git has to say: changes that are not committed, and a tag that is missing or elsewhere."""
    lines = [f"not committed: {line}" for line in git("status", "--porcelain").splitlines()]
    tags = git("tag", "--points-at", "HEAD").split()
    if f"v{version}" not in tags and not untagged:
        lines.append(f"this commit does not have the tag v{version}")
    if untagged and f"v{version}" in git("tag", "--list").split():
        lines.append(f"the tag v{version} exists already")
    return lines


def main() -> None:
    """Check, and say what is wrong."""
    found = re.search(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"))
    version = found.group(1) if found else ""
    faults = version_faults(ROOT, version) + file_faults(ROOT, version) + tag_faults(version, "--untagged" in sys.argv)
    print(*faults or [f"dist/ is the release {version}"], sep="\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
