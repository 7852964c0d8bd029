"""The machines that have a portable wheel, as data (cmake/make_wheel.py and cmake/test_wheel.py).

Debian's names of packages and their sha256 are of Debian 11, which no longer changes. A target that is compiled on
another kind of machine also takes one of Python's headers from a package, of Debian 12: that of the machine's own
Python describes the wrong processor.
"""

from __future__ import annotations

import platform
from typing import NamedTuple

__all__ = ["TARGETS", "Target", "target_of"]


class Target(NamedTuple):
    """A kind of machine.

    Attributes:
        name: its processor, as Python's platform.machine(), CMake and wheels write it.
        debian: the same as Debian writes it.
        triple: as GCC's programs and Debian's folders are named.
        policy: the wheel's tag, whose limits cmake/sysroot.py keeps.
        most_bytes: what the wheel may weigh.
        packages: Debian packages with the libraries and headers to compile against, and their sha256.
        pyconfig: the machine's description in Python's headers, in them, or empty for that of the Python that builds.
        n_cpu_libraries: how many CPU libraries the wheel has.
        processors: QEMU's processors that the wheel is tried on, and the CPU library that each has to get.
    """

    name: str
    debian: str
    triple: str
    policy: str
    most_bytes: int
    packages: dict[str, str]
    pyconfig: str
    n_cpu_libraries: int
    processors: dict[str, str]

    @property
    def is_native(self) -> bool:
        """Whether this machine is of the kind."""
        return platform.machine() == self.name

    def program(self, name: str) -> str:
        """Return the name of a program of GCC that works for the target."""
        return name if self.is_native else f"{self.triple}-{name}"


_X86_64 = Target(
    name="x86_64",
    debian="amd64",
    triple="x86_64-linux-gnu",
    policy="manylinux_2_28_x86_64",
    most_bytes=20 * 2**20,
    packages={
        "pool/main/g/gcc-10/libgcc-s1_10.2.1-6_amd64.deb": (
            "e478f2709d8474165bb664de42e16950c391f30eaa55bc9b3573281d83a29daf"
        ),
        "pool/main/g/gcc-10/libstdc++6_10.2.1-6_amd64.deb": (
            "5c155c58935870bf3b4bfe769116841c0d286a74f59eccfd5645693ac23f06b1"
        ),
        "pool/main/g/glibc/libc6_2.31-13+deb11u11_amd64.deb": (
            "05f7264da867b37f4c5ce49266b558ea1e81e05a9464f623152fca70f3550282"
        ),
        "pool/main/g/glibc/libc6-dev_2.31-13+deb11u11_amd64.deb": (
            "e7f7b45d9c5cfcf37609f0b6efd3c645272c812144703af89dfd32218fcb0fd3"
        ),
        "pool/main/l/linux/linux-libc-dev_5.10.223-1_amd64.deb": (
            "e3be603bd12377bb90fcfb0f2048ca3a81c886e49d6f09945b82159d1c54f7b2"
        ),
    },
    pyconfig="",
    n_cpu_libraries=14,
    # QEMU's emulation has AVX2 but not AVX-512.
    processors={"Nehalem": "sse42", "SandyBridge": "sandybridge", "Haswell": "haswell", "Skylake-Server": "haswell"},
)

_AARCH64 = Target(
    name="aarch64",
    debian="arm64",
    triple="aarch64-linux-gnu",
    policy="manylinux_2_28_aarch64",
    most_bytes=20 * 2**20,
    packages={
        "pool/main/g/gcc-10/libgcc-s1_10.2.1-6_arm64.deb": (
            "e2fcdb378d3c1ad1bcb64d4fb6b37aab44011152beca12a4944f435a2582df1f"
        ),
        "pool/main/g/gcc-10/libstdc++6_10.2.1-6_arm64.deb": (
            "7869aa540cc46e9f3d4267d5bde2af0e5b429a820c1d6f1a4cfccfe788c31890"
        ),
        "pool/main/g/glibc/libc6_2.31-13+deb11u11_arm64.deb": (
            "baaa9aa184e2f21738c5819055e6740cc5b22f198e3f416e33f82b40ff6933d8"
        ),
        "pool/main/g/glibc/libc6-dev_2.31-13+deb11u11_arm64.deb": (
            "28d478134722dcd4b0bd2045a199301d18713bf95947b9fce66634e7aeacab2e"
        ),
        "pool/main/l/linux/linux-libc-dev_5.10.223-1_arm64.deb": (
            "8b6374a64412d33eac61d74f77b8f932da4b8a707ea8a614791e2a35b8917618"
        ),
        "pool/main/p/python3.11/libpython3.11-dev_3.11.2-6+deb12u8_arm64.deb": (
            "454a191a37dd86674c309691904be69d499f060e643c1f8efc8b82078967cd48"
        ),
    },
    pyconfig="usr/include/aarch64-linux-gnu/python3.11/pyconfig.h",
    n_cpu_libraries=6,  # two more need -march=armv9.2-a, which GCC knows since 13
    processors={"cortex-a53": "armv8.0_1", "neoverse-n1": "armv8.2_2", "max": "armv8.6_2"},
)

TARGETS = {target.name: target for target in (_X86_64, _AARCH64)}


def target_of(wheel: str) -> str:
    """Return the kind of machine that a wheel's name says, or ``windows``; of others this machine's."""
    if wheel.endswith("-win_amd64.whl"):
        return "windows"
    return next((name for name in TARGETS if wheel.endswith(f"_{name}.whl")), platform.machine())
