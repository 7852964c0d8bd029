"""Fill a folder with the C library, C++ library and headers of an older Linux, to link with (cmake/sysroot.cmake).

A library that is linked on a new Linux does not load on an older one, because it asks for newer versions of functions.
Packages of Debian 11, which are checked by their sha256 (cmake/wheel_targets.py), have glibc 2.31 and GCC 10's
libstdc++. Their libraries are replaced by ones that have the functions of glibc 2.28 and GCC 8 only
(cmake/older_library.py), as manylinux_2_28 allows. GCC's own headers and libstdc++.a need a few more, which
cmake/older_functions.c has.

    python cmake/sysroot.py FOLDER [TARGET]
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from older_library import make_older
from wheel_targets import TARGETS, Target

# The second has releases that the first has no more.
MIRRORS = ("http://deb.debian.org/debian", "http://archive.debian.org/debian")
STAMP = ".xllama-sysroot"
# The newest versions that manylinux_2_28 allows.
LIMITS = {"GLIBC": "GLIBC_2.28", "GLIBCXX": "GLIBCXX_3.4.24", "CXXABI": "CXXABI_1.3.11"}
LIBRARIES = ("libc.so.6", "libm.so.6", "libpthread.so.0", "libstdc++.so.6")
FUNCTIONS = Path(__file__).with_name("older_functions.c")
# The linker finds the files by their names: the second is beside GCC, the others are in the sysroot.
LIBSTDCXX = "INPUT ( libstdc++.so.6 libstdc++.a libxllama_older.a )\n"


def stamp(target: Target) -> str:
    """Return the mark of a folder that was filled by this program for a target."""
    sources = [Path(__file__), Path(__file__).with_name("older_library.py"), FUNCTIONS]
    sums = [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
    return "".join(f"{line}\n" for line in [*sums, target.triple, *target.packages.values()])


def download(name: str, sha256: str) -> bytes:
    """Return a package of one of the mirrors."""
    failures = []
    for mirror in MIRRORS:
        try:
            with urllib.request.urlopen(f"{mirror}/{name}", timeout=60) as response:
                content: bytes = response.read()
        except (OSError, urllib.error.URLError) as error:
            failures.append(f"{mirror}: {error}")
            continue
        found = hashlib.sha256(content).hexdigest()
        if found == sha256:
            return content
        failures.append(f"{mirror}: the sha256 is {found}")
    raise OSError(f"{name} could not be fetched: {'; '.join(failures)}")


def data_of(package: bytes) -> tarfile.TarFile:
    """Return the files of a Debian package, which is an archive of ar's kind with a tar in it."""
    if not package.startswith(b"!<arch>\n"):
        raise ValueError("not a Debian package")
    at = 8
    while at < len(package):
        name = package[at : at + 16].rstrip(b" /").decode()
        size = int(package[at + 48 : at + 58])
        at += 60
        if name.startswith("data.tar"):
            return tarfile.open(fileobj=io.BytesIO(package[at : at + size]))
        at += size + size % 2
    raise ValueError("the Debian package has no data")


def unpack(package: bytes, folder: Path) -> None:
    """Unpack a Debian package. Links to an absolute path become links inside the folder."""
    with data_of(package) as tar:
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)
        for member in tar:
            target = folder / member.name
            if not Path(os.path.normpath(target)).is_relative_to(folder):
                raise ValueError(f"the Debian package has a path outside its tree: {member.name}")
            if member.issym() and member.linkname.startswith("/"):
                member.linkname = os.path.relpath(folder / member.linkname[1:], target.parent)
            tar.extract(member, folder)


def make_libraries_older(folder: Path, target: Target) -> None:
    """Replace the libraries, and add the functions and the linker's script."""
    for name in LIBRARIES:
        (library,) = [path for path in folder.glob(f"**/{name}") if "lib64" not in path.parts]
        older = library.with_name(f".{name}")
        make_older(library, LIMITS, older, target.program("gcc"))
        library.unlink()
        older.rename(library)
    own = folder / "xllama"
    own.mkdir()
    (own / "libstdc++.so").write_text(LIBSTDCXX)
    compiled = own / "older.o"
    command: list[str | Path] = [
        target.program("gcc"),
        "-O2",
        "-fPIC",
        f"--sysroot={folder}",
        "-c",
        "-o",
        compiled,
        FUNCTIONS,
    ]
    subprocess.run(command, check=True)
    subprocess.run([target.program("ar"), "rcs", own / "libxllama_older.a", compiled], check=True)


def fill_whole(folder: Path, mark: str, wanted: str, fill_it: Callable[[Path], None]) -> None:
    """Fill a folder, whole or not at all, if its file ``mark`` does not say that it has what is wanted."""
    if (folder / mark).exists() and (folder / mark).read_text() == wanted:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        fill_it(staging)
        (staging / mark).write_text(wanted)
        shutil.rmtree(folder, ignore_errors=True)
        staging.chmod(0o755)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def fetch_and_make_older(target: Target, folder: Path) -> None:
    """Unpack the target's packages, and make their libraries older."""
    for name, sha256 in target.packages.items():
        print(f"fetching {name}", flush=True)
        unpack(download(name, sha256), folder)
    make_libraries_older(folder, target)


def fill(folder: Path, target: Target) -> None:
    """Fill the folder, whole or not at all, if it does not have the target's packages."""
    fill_whole(folder, STAMP, stamp(target), functools.partial(fetch_and_make_older, target))


if __name__ == "__main__":
    fill(Path(sys.argv[1]).resolve(), TARGETS[(sys.argv[2:] or ["x86_64"])[0]])
