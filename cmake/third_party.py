"""The projects of others that are compiled in: how their files are recognised, their licences and versions.

cmake/sbom.py finds which of them a build really has. A licence that no file of its own holds is the comment of a source
file with these words in it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["PROJECTS", "Project"]


class Project(NamedTuple):
    """One project. Paths begin with the name of a tree that cmake/sbom.py knows, such as llama.cpp/."""

    name: str
    # Its files begin with one of these patterns. The first project that has a file is the file's.
    files: str
    licence: str
    # Files with licence texts: patterns, the first that exists is taken. After a "#" are the words of a comment.
    texts: tuple[str, ...] = ()
    # A file, and a pattern whose group is the version.
    version: tuple[str, str] | None = None
    purl: str = ""
    # Part of the compiler or system: its licence makes an exception for programs that it compiles.
    toolchain: bool = False


# llama.cpp's list of where its copies of other projects come from.
_ORIGINS = "llama.cpp/scripts/sync_vendor.py"


def _vendored(folder: str, origin: str, licence: str, text: str, version: str, in_file: str = "") -> Project:
    """Return a project of llama.cpp's vendor/. Its version is in a file of the folder, or in the list of origins."""
    inside = f"llama.cpp/vendor/{folder}/"
    found = (f"{inside}{in_file}" if in_file else _ORIGINS, version)
    name = origin.split("/")[1]
    return Project(name, re.escape(inside), licence, (f"{inside}{text}",), found, f"pkg:github/{origin.lower()}")


PROJECTS = (
    Project("xllama", r"xllama/src/|build/", ""),
    _vendored(
        "cpp-httplib", "yhirose/cpp-httplib", "MIT", "LICENSE", r'CPPHTTPLIB_VERSION "([\d.]+)"', in_file="httplib.h"
    ),
    _vendored(
        "nlohmann",
        "nlohmann/json",
        "MIT",
        "../../licenses/LICENSE-jsonhpp",
        r"version (\d+\.\d+\.\d+)",
        in_file="json.hpp",
    ),
    _vendored(
        "miniaudio",
        "mackron/miniaudio",
        "Unlicense OR MIT-0",
        "miniaudio.h#This software is available as a choice of the following licenses",
        r"miniaudio - v([\d.]+)",
        in_file="miniaudio.h",
    ),
    _vendored(
        "stb",
        "nothings/stb",
        "MIT OR Unlicense",
        "stb_image.h#This software is available under 2 licenses",
        r"stb_image - v([\d.]+)",
        in_file="stb_image.h",
    ),
    _vendored(
        "sheredom",
        "sheredom/subprocess.h",
        "Unlicense",
        "subprocess.h#This is free and unencumbered software",
        r"sheredom/subprocess\.h/(\w+)/",
    ),
    _vendored("hash/xxhash", "Cyan4973/xxHash", "BSD-2-Clause", "LICENSE", r'XXHASH_COMMIT += "(\w+)"'),
    _vendored(
        "hash/sha1", "clibs/sha1", "LicenseRef-Public-Domain", "sha1.h#100% Public Domain", r'SHA1_COMMIT += "(\w+)"'
    ),
    _vendored("hash/sha256", "jb55/sha256.c", "LicenseRef-Public-Domain", "LICENSE", r'SHA256_COMMIT += "(\w+)"'),
    _vendored("hash/rotate-bits", "jb55/rotate-bits.h", "MIT", "LICENSE.md", r'ROTATE_BITS_COMMIT += "(\w+)"'),
    Project(
        "llamafile",
        r"llama\.cpp/ggml/src/ggml-cpu/llamafile/",
        "MIT",
        ("llama.cpp/ggml/src/ggml-cpu/llamafile/sgemm.cpp#Permission is hereby granted",),
        purl="pkg:github/mozilla-ai/llamafile",
    ),
    Project(
        "llama.cpp",
        r"llama\.cpp/(?!vendor/)|llama\.cpp/vendor/hash/[^/]+$",
        "MIT",
        ("llama.cpp/LICENSE", "llama.cpp/gguf-py/LICENSE"),
        purl="pkg:github/ggml-org/llama.cpp",
    ),
    Project(
        "nanobind",
        r"nanobind/(include|src|cmake)/",
        "BSD-3-Clause",
        ("nanobind/../nanobind-*.dist-info/licenses/LICENSE",),
        ("nanobind/__init__.py", r'__version__ = "([\w.]+)"'),
        "pkg:pypi/nanobind",
    ),
    Project(
        "robin-map",
        r"nanobind/ext/robin_map/",
        "MIT",
        ("nanobind/ext/robin_map/include/tsl/robin_map.h#Permission is hereby granted",),
        purl="pkg:github/Tessil/robin-map",
    ),
    Project(
        "Vulkan-Headers",
        r"vulkan/tree/usr/include/(vulkan|vk_video)/",
        "Apache-2.0 OR MIT",
        ("vulkan/tree/usr/share/doc/libvulkan-dev/copyright",),
        ("xllama/cmake/vulkan_tools.py", r"libvulkan-dev_([\d.]+)"),
        "pkg:github/khronosgroup/vulkan-headers",
    ),
    Project(
        "SPIRV-Headers",
        r"vulkan/tree/usr/include/spirv/",
        "MIT",
        ("vulkan/tree/usr/share/doc/spirv-headers/copyright",),
        ("xllama/cmake/vulkan_tools.py", r"spirv-headers_[\d.]+\+([\d.]+)"),
        "pkg:github/khronosgroup/spirv-headers",
    ),
    Project(
        "CCCL",
        r"cuda/include/cccl/",
        "Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSD-3-Clause",
        ("cuda/cccl/LICENSE",),
        ("xllama/cmake/cuda_tools.py", r"nvidia-cuda-cccl==([\d.]+)"),
        "pkg:pypi/nvidia-cuda-cccl",
    ),
    Project(
        "CUDA toolkit",
        r"cuda/",
        "LicenseRef-NVIDIA-Proprietary",
        ("cuda/../../nvidia_cuda_runtime-*.dist-info/licenses/License.txt",),
        ("xllama/cmake/cuda_tools.py", r"nvidia-cuda-runtime==([\d.]+)"),
        toolchain=True,
    ),
    Project(
        "mingw-w64",
        r"zig/libc/",
        "ZPL-2.1 AND LicenseRef-Public-Domain",
        ("zig/libc/mingw/COPYING",),
        toolchain=True,
    ),
    Project(
        "LLVM runtime libraries",
        r"zig/lib(cxx|cxxabi|unwind)/",
        "Apache-2.0 WITH LLVM-exception",
        ("zig/libcxx/LICENSE.TXT",),
        toolchain=True,
    ),
    Project(
        "Zig",
        r"zig/",
        "MIT AND Apache-2.0 WITH LLVM-exception",
        ("zig/../LICENSE",),
        ("xllama/cmake/zig_tools.py", r"ziglang==([\d.]+)"),
        toolchain=True,
    ),
    Project(
        "GCC runtime libraries",
        r"\S+/include/(\S+/)?c\+\+/|\S+/lib\d*/gcc\S*/include",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
        ("/usr/share/doc/gcc-*-base/copyright|/usr/share/licenses/libstdc++*/COPYING.RUNTIME",),
        toolchain=True,
    ),
    Project(
        "LLVM runtime libraries",
        r"\S+/lib/(llvm-\d+/lib/)?clang/\S+/include/",
        "Apache-2.0 WITH LLVM-exception",
        toolchain=True,
    ),
    Project(
        "CPython",
        r"\S+/include/([^/]+-linux-gnu/)?python3",
        "Python-2.0.1",
        ("python/LICENSE.txt|/usr/share/doc/python3.*/copyright",),
        toolchain=True,
    ),
    Project(
        "Linux",
        r"(sysroot/usr|/usr)/include/(x86_64-linux-gnu/|aarch64-linux-gnu/)?(linux|asm|asm-generic)/",
        "GPL-2.0-only WITH Linux-syscall-note",
        ("sysroot/usr/share/doc/linux-libc-dev/copyright|/usr/share/doc/linux-libc-dev/copyright",),
        toolchain=True,
    ),
    Project(
        "GNU C Library",
        r"sysroot/usr/include/|/usr/include/((x86_64|aarch64)-linux-gnu/)?((sys|bits|gnu|arpa|net|netinet|rpc)/|[^/]+\.h$)",
        "LGPL-2.1-or-later",
        ("sysroot/usr/share/doc/libc6/copyright|/usr/share/doc/libc6/copyright",),
        toolchain=True,
    ),
)
