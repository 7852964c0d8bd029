# One build for every x86-64 or aarch64 processor (docs/building.md): ggml as shared libraries next to the module, with one CPU
# library for each kind of processor. The module loads the best one when it is imported (native/support/backends.h).
option(XLC_PORTABLE "compile the arithmetic for many processors and choose when the module is imported" OFF)

# Adds ggml before llama.cpp does, which takes the targets that exist.
macro(xlc_add_portable_ggml)
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$")
    message(FATAL_ERROR "xllama: XLC_PORTABLE is for x86-64 and aarch64 Linux; "
                        "this is ${CMAKE_SYSTEM_PROCESSOR} ${CMAKE_SYSTEM_NAME}")
  endif()
  # As cmake/ccache.cmake, for the relative paths that ccache makes of names in these folders: compiled with it or
  # without, a file has the same name.
  file(RELATIVE_PATH from_build "${CMAKE_BINARY_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
  add_compile_options("-fmacro-prefix-map=${from_build}=" "-fmacro-prefix-map=${CMAKE_BINARY_DIR}/=")
  set(BUILD_SHARED_LIBS ON)
  set(GGML_BACKEND_DL ON)
  set(GGML_CPU_ALL_VARIANTS ON)
  set(GGML_NATIVE OFF)
  set(GGML_LLAMAFILE ON) # as llama.cpp sets it for its own ggml
  add_subdirectory("${XLC_LLAMA_CPP_DIR}/ggml" ggml EXCLUDE_FROM_ALL SYSTEM)
  set(BUILD_SHARED_LIBS OFF)
endmacro()

# ggml has CPU libraries for processors that an older compiler does not know, and depends on all of them. Such a library
# becomes empty here, and is not among the targets of xlc_targets_of(ggml-cpu), which are installed.
function(xlc_leave_out_newer_variants)
  include(CheckCXXCompilerFlag)
  xlc_targets_of(ggml-cpu cpu_targets)
  set(left_out "")
  foreach(target IN LISTS cpu_targets)
    get_target_property(options ${target} COMPILE_OPTIONS)
    if(NOT options MATCHES "-march=[^;]+")
      continue()
    endif()
    set(flag "${CMAKE_MATCH_0}")
    string(MAKE_C_IDENTIFIER "XLC_COMPILER_KNOWS_${flag}" known)
    check_cxx_compiler_flag("${flag}" ${known})
    if(NOT ${known})
      message(STATUS "xllama: ${target} is left out: this compiler does not know ${flag}")
      file(WRITE "${CMAKE_BINARY_DIR}/left_out.c" "typedef int left_out;\n")
      set_target_properties(${target} PROPERTIES
        SOURCES "${CMAKE_BINARY_DIR}/left_out.c" COMPILE_OPTIONS "" LINK_LIBRARIES "")
      list(APPEND left_out ${target})
    endif()
  endforeach()
  set_property(GLOBAL PROPERTY XLC_LEFT_OUT_VARIANTS "${left_out}")
endfunction()

# The libraries as files of a wheel: no symbolic links, as a wheel cannot hold them, and names of their own. Another
# package's libggml-base.so that was loaded earlier would be taken for ours. They are linked with the run path that they
# keep: CMake would first write the build folder's there, and its length would stay visible.
function(xlc_install_portable_ggml folder)
  set_target_properties(ggml PROPERTIES OUTPUT_NAME xllama-ggml)
  set_target_properties(ggml-base PROPERTIES OUTPUT_NAME xllama-ggml-base)
  xlc_targets_of(ggml-cpu cpu_targets)
  foreach(library IN ITEMS ggml ggml-base ${cpu_targets})
    foreach(property IN ITEMS VERSION SOVERSION PUBLIC_HEADER)
      set_property(TARGET ${library} PROPERTY ${property})
    endforeach()
    set_target_properties(${library} PROPERTIES INSTALL_RPATH "$ORIGIN" BUILD_WITH_INSTALL_RPATH ON)
    install(TARGETS ${library} LIBRARY DESTINATION ${folder})
  endforeach()
  set_target_properties(_native PROPERTIES INSTALL_RPATH "$ORIGIN" BUILD_WITH_INSTALL_RPATH ON)
  xlc_export_only(ggml-base exports_ggml.map)
  foreach(library IN LISTS cpu_targets)
    xlc_export_only(${library} exports_cpu.map)
  endforeach()
endfunction()

# Other libraries see the symbols of the map only, and calls inside a library stay inside.
function(xlc_export_only library map)
  set(path "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${map}")
  target_link_options(${library} PRIVATE "LINKER:--version-script=${path}" "LINKER:-Bsymbolic")
  set_property(TARGET ${library} APPEND PROPERTY LINK_DEPENDS "${path}")
endfunction()
