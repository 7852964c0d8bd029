"""Fill a folder with CUDA's compiler, headers and libraries from NVIDIA's wheels, as CMake expects a toolkit.

The wheels have libraries such as libcudart.so.13 only; the linker also wants names without numbers, and a libcuda.so,
which comes with the driver of a machine that has a card.

    python cmake/cuda_tools.py FOLDER
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sysroot import fill_whole

PACKAGES = (
    *("nvidia-cuda-nvcc==13.5.37", "nvidia-nvvm==13.5.37", "nvidia-cuda-crt==13.5.37", "nvidia-cuda-runtime==13.5.37"),
    *("nvidia-cuda-cccl==13.3.5.0.6", "nvidia-cublas==13.10.0.20"),
)
LIBRARIES = ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13")
# The driver's functions that ggml calls.
DRIVER = (
    *("cuDeviceGet", "cuDeviceGetAttribute", "cuGetErrorString", "cuMemAddressFree", "cuMemAddressReserve"),
    *("cuMemCreate", "cuMemGetAllocationGranularity", "cuMemMap", "cuMemRelease", "cuMemSetAccess", "cuMemUnmap"),
)


class CudaTools:
    """The folder's parts, as CMake wants them."""

    def __init__(self, folder: Path) -> None:
        """Fill the folder, whole or not at all, if it does not have these packages."""
        self.root = folder / "nvidia" / "cu13"
        self.nvcc = self.root / "bin" / "nvcc"
        fill_whole(folder, ".xllama-cuda-tools", "\n".join((*PACKAGES, *LIBRARIES, *DRIVER)), self._fill)

    @staticmethod
    def _fill(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*pip, "--target", str(folder), *PACKAGES], check=True)
        libraries = folder / "nvidia" / "cu13" / "lib"
        for name in LIBRARIES:
            (libraries / name.removesuffix(".13")).symlink_to(name)
        (libraries / "stubs").mkdir(exist_ok=True)
        source = "".join(f"void {function}(void) {{}}\n" for function in DRIVER)
        stub = [*("gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-x", "c", "-"), "-o"]
        subprocess.run([*stub, str(libraries / "stubs" / "libcuda.so")], input=source, text=True, check=True)


if __name__ == "__main__":
    CudaTools(Path(sys.argv[1]).resolve())
