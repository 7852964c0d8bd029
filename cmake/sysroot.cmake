# A toolchain file: the machine's GCC, or its GCC for another kind of machine, with an older C library and C++ library to
# link (cmake/make_wheel.py).
#   cmake --toolchain cmake/sysroot.cmake -DXLC_SYSROOT=<folder> -DXLC_TRIPLE=aarch64-linux-gnu
# GCC's own C++ headers are used. Functions that they need and the older libraries do not have come from libstdc++.a and
# cmake/older_functions.c.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES XLC_SYSROOT XLC_TRIPLE)
set(CMAKE_SYSROOT "${XLC_SYSROOT}")
string(REGEX MATCH "^[^-]+" processor "${XLC_TRIPLE}")
if(NOT processor STREQUAL CMAKE_HOST_SYSTEM_PROCESSOR)
  set(CMAKE_SYSTEM_NAME Linux)
  set(CMAKE_SYSTEM_PROCESSOR "${processor}")
  set(CMAKE_C_COMPILER "${XLC_TRIPLE}-gcc")
  set(CMAKE_CXX_COMPILER "${XLC_TRIPLE}-g++")
  # Such a GCC looks into a folder of its own for the C library's headers, before it looks into the sysroot.
  foreach(language IN ITEMS C CXX)
    string(REPLACE "CXX" "c++" name "${language}")
    string(TOLOWER "${name}" name)
    execute_process(COMMAND "${CMAKE_COMMAND}" -E env LC_ALL=C "${CMAKE_${language}_COMPILER}"
                            "--sysroot=${XLC_SYSROOT}" -E -v -x ${name} /dev/null
                    OUTPUT_QUIET ERROR_VARIABLE shown COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX REPLACE ".*search starts here:\n|End of search list.*" "" shown "${shown}")
    string(REGEX MATCHALL "/[^\n]+" folders "${shown}")
    set(CMAKE_${language}_FLAGS_INIT "-nostdinc")
    foreach(folder IN LISTS folders)
      file(REAL_PATH "${folder}" folder)
      if(NOT folder MATCHES "/${XLC_TRIPLE}/include$")
        string(APPEND CMAKE_${language}_FLAGS_INIT " -isystem ${folder}")
      endif()
    endforeach()
  endforeach()
endif()
# GCC looks for libraries in the machine's folders first.
set(folders "")
foreach(folder IN ITEMS xllama usr/lib/${XLC_TRIPLE} lib/${XLC_TRIPLE})
  string(APPEND folders " -L${XLC_SYSROOT}/${folder}")
endforeach()
foreach(kind IN ITEMS EXE SHARED MODULE)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT "${folders} -Wl,--exclude-libs,libstdc++.a:libxllama_older.a")
endforeach()
