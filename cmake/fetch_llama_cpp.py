"""Fill a folder with llama.cpp's source from the pinned, hash-checked release in vendor/requirements.txt.

Run by CMake when the folder is empty; needs only pip. The release is a source distribution of
llama-cpp-python, which carries the whole tree of llama.cpp (vendor/README.md says why).
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).parent.parent / "vendor" / "requirements.txt"
TREE = "vendor/llama.cpp/"


def download(folder: Path) -> Path:
    """Let pip fetch and check the archive; return its path."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"),
        *("--require-hashes", "-r", str(REQUIREMENTS), "-d", str(folder), "--quiet"),
        "--disable-pip-version-check",
    ]
    # pip asks the archive's build backend for its metadata. Ours is the same backend, so where it is
    # installed already (as in a build environment) a second isolated environment is a minute saved.
    if importlib.util.find_spec("scikit_build_core"):
        command.append("--no-build-isolation")
    subprocess.run(command, check=True)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def unpack(archive: Path, target: Path) -> None:
    """Put the archive's llama.cpp tree at target, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".llama.cpp-", dir=target.parent))
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _, found, inside = member.name.partition("/" + TREE)
                if not found or not inside:
                    continue
                destination = staging / inside
                if not destination.resolve().is_relative_to(staging.resolve()):
                    raise ValueError(f"{archive.name} holds a path outside its tree: {member.name}")
                if member.isdir():
                    destination.mkdir(parents=True, exist_ok=True)
                elif member.isfile():
                    destination.parent.mkdir(parents=True, exist_ok=True)
                    source = tar.extractfile(member)
                    assert source is not None
                    with source, destination.open("wb") as out:
                        shutil.copyfileobj(source, out)
        if not (staging / "CMakeLists.txt").exists():
            raise ValueError(f"{archive.name} has no {TREE}")
        if target.exists():
            target.rmdir()  # empty, or CMake would not have asked
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def main() -> int:
    """Download and unpack; the exit status says whether the tree is there."""
    target = Path(sys.argv[1])
    try:
        with tempfile.TemporaryDirectory() as folder:
            unpack(download(Path(folder)), target)
    except subprocess.CalledProcessError as error:
        print(f"xllama: pip could not download {REQUIREMENTS.read_text().split()[0]}", file=sys.stderr)
        return error.returncode or 1
    except (OSError, ValueError, tarfile.TarError) as error:
        print(f"xllama: could not unpack llama.cpp: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
