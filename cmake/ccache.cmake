# Uses ccache if it is installed and the user has not chosen another launcher. With base_dir and without hash_dir, a
# fresh clone in another folder can use the cache of an earlier one.
find_program(XLC_CCACHE ccache)
option(XLC_USE_CCACHE "compile through ccache when it is installed" ON)
if(XLC_CCACHE AND XLC_USE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_CURRENT_SOURCE_DIR} CCACHE_NOHASHDIR=1
               CCACHE_SLOPPINESS=time_macros ${XLC_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  message(STATUS "xllama: compiling through ${XLC_CCACHE}")
endif()

# __FILE__ relative to the source folder, in unity builds too: nothing of the machine's folders in the module, and
# ccache finds what a clone in another folder has compiled.
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang" AND NOT MSVC)
  add_compile_options("-fmacro-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/=")
endif()
