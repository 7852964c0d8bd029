"""Install the wheel on other Linux systems without a network, and use it there on several processors.

    python cmake/test_wheel.py [--target aarch64] [--cache FOLDER] [--systems bookworm,trixie] [--model FILE]
                               [--processors Nehalem,Haswell] [WHEEL]

Needs root rights, debootstrap and qemu-user-static. The systems are made once, in the cache folder. Each has Python and
pip and nothing else: no compiler, no library of this machine. Everything is installed from a folder. The host's
processor runs all checks of cmake/wheel_smoke.py and the demos; emulated processors run the short ones.

A system for another kind of machine runs under QEMU as a whole, the installation too. Linux 6.7 or newer starts its
programs with QEMU in the test's own namespace only; nothing is registered on this machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from wheel_targets import TARGETS, Target

ROOT = Path(__file__).resolve().parents[1]
MIRROR = "http://deb.debian.org/debian"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
MOST_SECONDS = 30.0
# Flags of /proc/cpuinfo that the libraries need; the best library comes last.
NEEDS = {
    "x64": "",
    "sse42": "sse4_2",
    "haswell": "avx2 fma f16c bmi2",
    "alderlake": "avx2 fma f16c bmi2 avx_vnni",
    "skylakex": "avx512f avx512cd avx512vl avx512dq avx512bw",
    "cascadelake": "avx512f avx512cd avx512vl avx512dq avx512bw avx512_vnni",
    "icelake": "avx512f avx512vl avx512bw avx512_vnni avx512vbmi",
    "zen4": "avx512f avx512vl avx512bw avx512_vnni avx512vbmi avx512_bf16",
    "sapphirerapids": "avx512f avx512vl avx512bw avx512_vnni avx512vbmi avx512_bf16 amx_tile amx_int8",
}
MODEL = "smollm2-135m-instruct"
# xllamacpp, another llama.cpp that ours is tried beside, needs this library of the system. Ours does not.
OPENMP = Path("/usr/lib/x86_64-linux-gnu/libgomp.so.1")
# Runs in namespaces of its own: without a network, and with mounts that vanish with it.
ENTER = """set -eu
mount -t proc proc "$1/proc"; mount -t tmpfs tmpfs "$1/mnt"; mkdir "$1/mnt/house" "$1/mnt/xllama" "$1/mnt/models"
mount --bind "$2" "$1/mnt/house"; mount --bind "$3" "$1/mnt/xllama"; mount --bind "$4" "$1/mnt/models"
mount --rbind /dev "$1/dev"
"""
# For this machine's own processor: QEMU for others of its kind, and a library for xllamacpp.
ENTER_NATIVE = """cp "$5" "$1/mnt/qemu"; mkdir "$1/mnt/lib"; cp "$6" "$1/mnt/lib/"; shift 6; exec "$@"
"""
# For another kind of machine: the kernel starts its programs with QEMU, in this namespace (Debian's qemu-user-static
# says how to recognise them).
ENTER_FOREIGN = """mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
cat "$5" > /proc/sys/fs/binfmt_misc/register; shift 5; exec "$@"
"""


# Runs a program, which may take so many seconds of a processor: other programs do not count.
TIMED = """import resource, subprocess, sys, time
start = time.monotonic()
subprocess.run(sys.argv[2:], check=True)
used = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
print(f"installed in {time.monotonic() - start:.0f} s, {used:.0f} s of a processor", flush=True)
sys.exit(used > float(sys.argv[1]))
"""


def run(*command: str | Path, **options: object) -> None:
    """Run a program; stop if it fails."""
    print("+", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True, **options)  # type: ignore[call-overload]


def newest_wheel(platform: str, command: str) -> Path:
    """Return the newest wheel of dist/ whose tag ends so; without one, stop and name the command that makes it."""
    wheels = sorted((ROOT / "dist").glob(f"xllama-*-{platform}.whl"), key=lambda path: path.stat().st_mtime)
    return wheels[-1] if wheels else sys.exit(f"dist/ has no wheel for {platform}; run `{command}`")


def make_system(name: str, cache: Path, target: Target) -> Path:
    """Return the root folder of a system, made if it is not there."""
    system = cache / (name if target.is_native else f"{name}-{target.debian}")
    if not system.exists():
        staging = cache / f".{system.name}"
        shutil.rmtree(staging, ignore_errors=True)
        options = ["--variant=minbase", "--include=python3,python3-pip,python3-venv"]
        options += [] if target.is_native else ["--foreign", f"--arch={target.debian}"]
        run("debootstrap", *options, name, staging, MIRROR)
        if not target.is_native:
            unpack_packages(staging)
        staging.rename(system)
    return system


def unpack_packages(system: Path) -> None:
    """Unpack what debootstrap has fetched. The packages' own scripts, which would run in the system, do not run.

    Of what they would make, pip needs a folder and the list of certificates, which it reads even without a network.
    """
    for package in sorted((system / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, system], check=True)
    if (system / "proc").is_symlink():  # debootstrap's, to the machine's own
        (system / "proc").unlink()
    for folder in ("mnt", "proc"):
        (system / folder).mkdir(exist_ok=True)
    certificates = sorted((system / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = system / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text() for path in certificates))


def fill_house(wheel: Path, python: str, cache: Path, target: Target) -> Path:
    """Return a folder with the wheel and all that it and the demos require, for one version of Python."""
    house = cache / f"house-{target.name}-{python}"
    house.mkdir(parents=True, exist_ok=True)
    filled = house / wheel.name
    if filled.exists() and filled.read_bytes() == wheel.read_bytes():
        return house
    for old in house.glob("xllama*.whl"):
        old.unlink()
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", house, ROOT / "models")
    platforms = [f"--platform=manylinux_2_{minor}_{target.name}" for minor in range(35, 4, -1)]
    platforms += [f"--platform=manylinux{year}_{target.name}" for year in (2014, 2010, 1)]
    fetch: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary=:all:",
        "--dest",
        house,
    ]
    fetch += [f"--python-version={python}", *platforms, "--find-links", house]
    extra, others = ("demo,server", ["xllamacpp"]) if target.is_native else ("langchain,llamaindex", ["xllama-models"])
    run(*fetch, f"xllama[{extra}] @ {wheel.as_uri()}", *others)
    return house


def kept_model(cache: Path, given: Path | None) -> Path:
    """Return the folder of the model's file, to which a given one is copied; stop without a file."""
    models = cache / "models"
    if given:
        models.mkdir(parents=True, exist_ok=True)
        shutil.copy(given, models / f"{MODEL}.gguf")
    if not (models / f"{MODEL}.gguf").exists():
        sys.exit(f"--model is missing: `xllama models pull {MODEL}` fetches it and says where it is")
    return models


def fetch_model(wheel: Path, cache: Path, target: Target, given: Path | None) -> Path:
    """Return a folder with the model. The wheel, installed on this machine too, fetches it if it is not there."""
    venv, models = cache / "venv", cache / "models"
    if target.is_native and not given and not (models / f"{MODEL}.gguf").exists():
        run(sys.executable, "-m", "venv", "--clear", venv)
        run(venv / "bin" / "pip", "install", "--quiet", wheel)
        run(venv / "bin" / "xllama", "models", "pull", MODEL, env={**os.environ, "XLLAMA_CACHE": str(models)})
    return kept_model(cache, given)


def host_library() -> str:
    """Return the library that this machine's processor has to get."""
    flags = set(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split())
    return [name for name, needed in NEEDS.items() if flags.issuperset(needed.split())][-1]


class System:
    """A system that can be entered."""

    def __init__(self, root: Path, house: Path, models: Path, target: Target) -> None:
        """Remember the folders, which are mounted for each command."""
        self.root, self.house, self.models, self.target = root, house, models, target

    def enter(self, script: str) -> None:
        """Run a script of the shell in the system."""
        paths = [self.root, self.house, ROOT, self.models]
        if self.target.is_native:
            spaces, prepare = ["--mount", "--net"], ENTER_NATIVE
            paths += [Path(shutil.which(qemu_of(self.target)) or ""), OPENMP]
        else:
            spaces, prepare = ["--user", "--map-root-user", "--mount", "--net", "--pid", "--fork"], ENTER_FOREIGN
            paths += [Path(f"/usr/lib/binfmt.d/qemu-{self.target.name}.conf")]
        command: list[str | Path] = ["unshare", *spaces, "sh", "-c", ENTER + prepare, "sh", *paths]
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "XLLAMA_CACHE": "/mnt/models",
            "HOME": "/mnt",
            "LANG": "C.UTF-8",
        }
        run(*command, "chroot", self.root, "sh", "-euc", script, env=environment)


def qemu_of(target: Target) -> str:
    """Return QEMU's program for a target."""
    return f"qemu-{target.name}-static"


def check_on(system: System, processors: list[str]) -> None:
    """Install the wheel in a system and use it on all processors."""
    target = system.target
    pip = "/mnt/venv/bin/pip install --quiet --no-index --find-links /mnt/house"
    smoke = "/mnt/venv/bin/python /mnt/xllama/cmake/wheel_smoke.py"
    model = f"/mnt/models/{MODEL}.gguf"
    lines = ["python3 -m venv /mnt/venv"]
    if target.is_native:
        lines += [
            f"python3 -c '{TIMED}' {MOST_SECONDS} {pip} 'xllama[langchain]'",
            f"{pip} 'xllama[demo,server]' xllamacpp",
            f"{smoke} {host_library()} {model} --all",
            f"LD_LIBRARY_PATH=/mnt/lib {smoke} {host_library()} {model} --beside",
            *(f"/mnt/venv/bin/python /mnt/xllama/examples/rag_{name}.py" for name in ("langchain", "llamaindex")),
        ]
    else:
        lines += [
            f"{pip} --no-compile 'xllama[langchain,llamaindex]' xllama-models",
            "/mnt/venv/bin/python -c 'from xlc_langchain import ChatXLlama; from xlc_llamaindex import XLlama'",
        ]
    qemu = "/mnt/qemu " if target.is_native else ""
    lines += [f"QEMU_CPU={processor} {qemu}{smoke} {target.processors[processor]} {model}" for processor in processors]
    system.enter("\n".join(lines))


def main() -> None:
    """Check one system after the other; the first failure ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", nargs="?", type=Path, help="by default the newest of dist/")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "xllama-wheel-test")
    parser.add_argument("--target", choices=TARGETS, default="x86_64", help="the kind of machine that the wheel is for")
    parser.add_argument("--systems", default=",".join(PYTHONS))
    parser.add_argument("--processors", help="by default all that cmake/wheel_targets.py has")
    parser.add_argument("--model", type=Path, help="the chat model's file, if it is not to be fetched")
    arguments = parser.parse_args()
    target = TARGETS[arguments.target]
    for tool in ("debootstrap", qemu_of(target)):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install debootstrap qemu-user-static")
    wheel = arguments.wheel or newest_wheel(target.policy, "make wheel" if target.is_native else "make wheel-aarch64")
    named = target.processors if arguments.processors is None else arguments.processors.split(",")
    processors = [name for name in named if name]
    start = time.monotonic()
    models = fetch_model(wheel.resolve(), arguments.cache, target, arguments.model)
    for name in arguments.systems.split(","):
        system = System(
            make_system(name, arguments.cache, target),
            fill_house(wheel.resolve(), PYTHONS[name], arguments.cache, target),
            models,
            target,
        )
        check_on(system, processors)
        print(f"{name}: all is well, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
