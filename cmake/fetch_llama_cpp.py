"""Fill a folder with llama.cpp's source from the pinned, hash-checked release in vendor/requirements.txt.

CMake runs it if the folder is empty; it only needs pip. The release is a source distribution of
llama-cpp-python, which contains the whole tree of llama.cpp (vendor/README.md says why).
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
    """Fetch and check the archive with pip. Return its path."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"),
        *("--require-hashes", "-r", str(REQUIREMENTS), "-d", str(folder), "--quiet"),
        "--disable-pip-version-check",
    ]
    # pip asks the archive's build backend for its metadata. We use the same backend. If it is installed already, as in
    # a build environment, we save the minute of setting up a second isolated environment.
    if importlib.util.find_spec("scikit_build_core"):
        command.append("--no-build-isolation")
    subprocess.run(command, check=True)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def unpack(archive: Path, target: Path) -> None:
    """Put the archive's llama.cpp tree at target. An incomplete tree never appears there."""
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
            target.rmdir()  # it is empty, since CMake only calls this for an empty folder
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def main() -> int:
    """Download and unpack the tree. Return the exit status."""
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
