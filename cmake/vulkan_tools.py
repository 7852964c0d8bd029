"""Fill a folder with what compiles ggml's Vulkan backend: shader compiler, headers, and a library to link.

An older shader compiler leaves out what newer cards compute with: cooperative matrices, dot products of integers, and
bfloat16. These packages of Debian 13 are checked by their sha256. Its compiler runs on older systems too, because its
C library comes with it.

    python cmake/vulkan_tools.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from sysroot import download, fill_whole, unpack

PACKAGES = {
    "pool/main/s/shaderc/glslc_2025.2-1_amd64.deb": "e05374965709159303041b104d4a26022d6ac5eb8296450364d66ae864a20367",
    "pool/main/s/shaderc/libshaderc1_2025.2-1_amd64.deb": (
        "2a67c8f784c65e1aa0d251819c020917405b490fbb543c6a73a52a631e476463"
    ),
    "pool/main/v/vulkan-loader/libvulkan-dev_1.4.309.0-1_amd64.deb": (
        "8d329d465e16168afff58b1bd0dd6db46aac2cc3f56054a481b25a04e90b345a"
    ),
    "pool/main/v/vulkan-loader/libvulkan1_1.4.309.0-1_amd64.deb": (
        "f47da79cd140264fe21cceb08bc87a71bc7fec05819e4a421f3f518d21101a37"
    ),
    "pool/main/s/spirv-headers/spirv-headers_1.6.1+1.4.309.0-1_all.deb": (
        "dc18db866d63680351c40ac6b6bece34cb52da64a7799ce1cc4f16f6bff4d064"
    ),
    "pool/main/g/glibc/libc6_2.41-12+deb13u5_amd64.deb": (
        "b59b0625cd1a791375d40dab23a4d5d3d0641e3d0a773501becdc3725b7f99cf"
    ),
    "pool/main/g/gcc-14/libstdc++6_14.2.0-19_amd64.deb": (
        "ab1fa05837aa7a92aae748fd07a18a35f7d18bb4a71c4724fe2bbf0e32089de0"
    ),
    "pool/main/g/gcc-14/libgcc-s1_14.2.0-19_amd64.deb": (
        "3c71917b490d1a17aed43196a2787a256ecf060526cdb20216a74bedc061b150"
    ),
}
LIBRARIES = "usr/lib/x86_64-linux-gnu"
HEADERS = ("vulkan", "vk_video", "spirv")
GLSLC = """#!/bin/sh
# Debian 13's glslc with its own C library.
here=$(dirname "$0")/tree/usr
exec "$here/lib64/ld-linux-x86-64.so.2" --library-path "$here/lib/x86_64-linux-gnu" "$here/bin/glslc" "$@"
"""


class VulkanTools:
    """The folder's parts, as CMake wants them."""

    def __init__(self, folder: Path) -> None:
        """Fill the folder, whole or not at all, if it does not have these packages."""
        self.glslc = folder / "glslc"
        self.headers = folder / "include"
        self.library = folder / "tree" / LIBRARIES / "libvulkan.so"
        self.spirv = folder / "tree" / "usr" / "share" / "cmake" / "SPIRV-Headers"
        wanted = "".join(f"{name} {sha256}\n" for name, sha256 in PACKAGES.items()) + GLSLC
        fill_whole(folder, ".xllama-vulkan-tools", wanted, self._fill)

    @staticmethod
    def _fill(folder: Path) -> None:
        for name, sha256 in PACKAGES.items():
            print(f"fetching {name}", flush=True)
            unpack(download(name, sha256), folder / "tree")
        # Nothing else of usr/include: the C headers are the sysroot's.
        (folder / "include").mkdir()
        for name in HEADERS:
            (folder / "include" / name).symlink_to(Path("..", "tree", "usr", "include", name))
        (folder / "glslc").write_text(GLSLC)
        (folder / "glslc").chmod(0o755)


if __name__ == "__main__":
    VulkanTools(Path(sys.argv[1]).resolve())
