# A toolchain file: Zig compiles for macOS on arm64 on Linux (cmake/check_macos.py). It has no frameworks of Apple's.
#   cmake --toolchain cmake/macos.cmake -DXLC_ZIG=<folder of cmake/zig_tools.py>
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES XLC_ZIG)
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(CMAKE_C_COMPILER "${XLC_ZIG}/macos-cc")
set(CMAKE_CXX_COMPILER "${XLC_ZIG}/macos-c++")
set(CMAKE_AR "${XLC_ZIG}/ar")
set(CMAKE_RANLIB "${XLC_ZIG}/ranlib")
set(CMAKE_INSTALL_NAME_TOOL "${CMAKE_COMMAND}") # what it would do is for installing
set(CMAKE_OSX_SYSROOT "" CACHE STRING "")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
foreach(option IN ITEMS GGML_METAL GGML_ACCELERATE GGML_BLAS GGML_NATIVE)
  set(${option} OFF CACHE BOOL "")
endforeach()
