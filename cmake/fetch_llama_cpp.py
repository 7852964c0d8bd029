"""Fill a folder with the pinned source of llama.cpp (vendor/pin.ini).

Run by CMake when the folder is empty or holds an earlier pin. pip downloads the source distribution and checks its
sha256, so that its indexes, proxies, certificates and cache count. To learn the name and version of what it has
downloaded, pip asks the distribution's build backend, which may need compilers and other packages: it gets a backend
that only reads the PKG-INFO of the distribution, so that no foreign code runs. vendor/README.md says more.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

PIN = Path(__file__).parent.parent / "vendor" / "pin.ini"
STAMP = ".xllama-pin"
# The build backends that packages with llama.cpp in them name. pip calls this one function of them.
BACKENDS = ("setuptools/build_meta.py", "scikit_build_core/build.py")
BACKEND = """\
import os, shutil

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    with open("PKG-INFO", encoding="utf-8") as file:
        fields = dict(line.split(": ", 1) for line in file.read().split("\\n\\n")[0].splitlines() if ": " in line)
    name = fields["Name"].replace("-", "_") + "-" + fields["Version"] + ".dist-info"
    os.makedirs(os.path.join(metadata_directory, name))
    shutil.copy("PKG-INFO", os.path.join(metadata_directory, name, "METADATA"))
    return name
"""


class Pin(NamedTuple):
    """A source distribution and the folder of llama.cpp in it."""

    package: str
    version: str
    sha256: str
    folder: str

    @property
    def requirement(self) -> str:
        """The requirement that pip downloads."""
        return f"{self.package}=={self.version}"

    @property
    def stamp(self) -> str:
        """The mark of a fetched folder; cmake/llama_cpp.cmake builds the same text."""
        return f"{self.requirement} sha256:{self.sha256}\n"


def read_pin(path: Path = PIN) -> Pin:
    """Return what the pin file says."""
    parser = configparser.ConfigParser()
    parser.read_string(path.read_text(encoding="utf-8"))
    section = parser["llama.cpp"]
    return Pin(section["package"], section["version"], section["sha256"], section["folder"])


def download(requirement: str, folder: Path) -> Path:
    """Let pip fetch the source distribution of a requirement, which may have a hash; return the archive's path."""
    backends = folder / "backends"
    for name in BACKENDS:
        module = backends / name
        module.parent.mkdir(parents=True)
        module.write_text(BACKEND, encoding="utf-8")
        (module.parent / "__init__.py").touch()
    listed = folder / "requirements.txt"
    listed.write_text(requirement + "\n", encoding="utf-8")
    archives = folder / "archives"
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"),
        *("-r", str(listed), "-d", str(archives), "--quiet", "--disable-pip-version-check"),
    ]
    path = os.pathsep.join(filter(None, [str(backends), os.environ.get("PYTHONPATH")]))
    # The second variable keeps the real setuptools, which is hidden now, out of Python's own distutils.
    environment = {**os.environ, "PYTHONPATH": path, "SETUPTOOLS_USE_DISTUTILS": "stdlib"}
    subprocess.run(command, check=True, env=environment)
    (archive,) = archives.iterdir()
    return archive


def unpack(archive: Path, pin: Pin, target: Path) -> None:
    """Put the archive's llama.cpp tree at target, whole or not at all, in the place of an earlier one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".llama.cpp-", dir=target.parent))
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _, found, inside = member.name.partition(f"/{pin.folder}/")
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
            raise ValueError(f"{archive.name} has no {pin.folder}")
        (staging / STAMP).write_text(pin.stamp, encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def main() -> int:
    """Download and unpack the tree. Return the exit status."""
    target = Path(sys.argv[1])
    pin = read_pin()
    try:
        with tempfile.TemporaryDirectory() as folder:
            unpack(download(f"{pin.requirement} --hash=sha256:{pin.sha256}", Path(folder)), pin, target)
    except subprocess.CalledProcessError as error:
        print(f"xllama: pip could not download {pin.requirement}", file=sys.stderr)
        return error.returncode or 1
    except (OSError, ValueError, tarfile.TarError) as error:
        print(f"xllama: could not unpack llama.cpp: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
