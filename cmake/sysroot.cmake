# A toolchain file: the machine's GCC, with an older C library and C++ library to link (cmake/make_wheel.py).
#   cmake --toolchain cmake/sysroot.cmake -DXLC_SYSROOT=<folder>
# GCC's own C++ headers are used. Functions that they need and the older libraries do not have come from libstdc++.a and
# cmake/older_functions.c.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES XLC_SYSROOT)
set(CMAKE_SYSROOT "${XLC_SYSROOT}")
# GCC looks for libraries in the machine's folders first.
set(folders "")
foreach(folder IN ITEMS xllama usr/lib/x86_64-linux-gnu lib/x86_64-linux-gnu)
  string(APPEND folders " -L${XLC_SYSROOT}/${folder}")
endforeach()
foreach(kind IN ITEMS EXE SHARED MODULE)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT "${folders} -Wl,--exclude-libs,libstdc++.a:libxllama_older.a")
endforeach()
