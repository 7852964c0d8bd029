# A toolchain file: Zig compiles for x86-64 Windows on Linux (cmake/make_windows_wheel.py).
#   cmake --toolchain cmake/windows.cmake -DXLC_ZIG=<folder of cmake/zig_tools.py>
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES XLC_ZIG)
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR AMD64)
set(CMAKE_C_COMPILER "${XLC_ZIG}/windows-cc")
set(CMAKE_CXX_COMPILER "${XLC_ZIG}/windows-c++")
set(CMAKE_RC_COMPILER "${XLC_ZIG}/rc")
set(CMAKE_AR "${XLC_ZIG}/ar")
set(CMAKE_RANLIB "${XLC_ZIG}/ranlib")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# Nothing for a debugger, whose files name the folders of the machine.
foreach(kind IN ITEMS EXE SHARED MODULE)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT "-s")
endforeach()
