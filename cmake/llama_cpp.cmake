# llama.cpp behind one target, xlc_llama_cpp: its engine library, static, nothing of its programs.

set(XLC_PINNED_LLAMA_CPP_DIR "${CMAKE_CURRENT_SOURCE_DIR}/vendor/llama.cpp")
set(XLC_LLAMA_CPP_DIR "${XLC_PINNED_LLAMA_CPP_DIR}" CACHE PATH
    "llama.cpp's source; the default is filled from the pinned release (vendor/README.md)")

# The pin is what fetch_llama_cpp.py marks a folder with.
set(pin_file "${CMAKE_CURRENT_SOURCE_DIR}/vendor/pin.ini")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${pin_file}")
foreach(key IN ITEMS package version sha256)
  file(STRINGS "${pin_file}" line REGEX "^${key} = ")
  string(REGEX REPLACE "^${key} = " "" pin_${key} "${line}")
endforeach()
set(pin "${pin_package}==${pin_version} sha256:${pin_sha256}")
set(stamp "")
if(EXISTS "${XLC_LLAMA_CPP_DIR}/.xllama-pin")
  file(STRINGS "${XLC_LLAMA_CPP_DIR}/.xllama-pin" stamp)
endif()

# A Git checkout is left alone, wherever it is.
if(NOT stamp STREQUAL pin AND XLC_LLAMA_CPP_DIR STREQUAL XLC_PINNED_LLAMA_CPP_DIR
   AND NOT EXISTS "${XLC_LLAMA_CPP_DIR}/.git")
  message(STATUS "xllama: fetching llama.cpp into ${XLC_LLAMA_CPP_DIR}: ${pin}")
  execute_process(
    COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/fetch_llama_cpp.py "${XLC_LLAMA_CPP_DIR}"
    RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "xllama: llama.cpp's source could not be fetched; the lines above say why. Either make "
                        "PyPI reachable for pip and build again, or unpack llama.cpp yourself and build with "
                        "-C cmake.define.XLC_LLAMA_CPP_DIR=/path/to/llama.cpp")
  endif()
  set(stamp "${pin}")
endif()
if(NOT EXISTS "${XLC_LLAMA_CPP_DIR}/CMakeLists.txt")
  message(FATAL_ERROR "xllama: ${XLC_LLAMA_CPP_DIR} does not hold llama.cpp")
endif()
set(XLC_LLAMA_CPP_IS_PINNED TRUE)
if(NOT stamp STREQUAL pin)
  set(XLC_LLAMA_CPP_IS_PINNED FALSE)
  message(WARNING "xllama: ${XLC_LLAMA_CPP_DIR} is not the pinned llama.cpp (${pin}). xllama is tested with that one "
                  "only; sessions saved by this build are for this build.")
endif()

# llama.cpp and ggml would ask Git for their commit, and get xllama's: the same sources would not make the same module.
set(LLAMA_BUILD_NUMBER 0)
set(LLAMA_BUILD_COMMIT "another-source")
if(XLC_LLAMA_CPP_IS_PINNED)
  set(LLAMA_BUILD_COMMIT "${pin_package}-${pin_version}")
endif()
set(GGML_BUILD_COMMIT "${LLAMA_BUILD_COMMIT}")
set(GIT_EXE FALSE) # ggml's program, which find_program leaves as it is
# Only the libraries are wanted; everything that a program of llama.cpp's would pull in is off.
set(BUILD_SHARED_LIBS OFF)
set(LLAMA_BUILD_COMMON ON)
set(LLAMA_BUILD_TOOLS ON)
set(LLAMA_BUILD_SERVER ON)
set(LLAMA_BUILD_TESTS OFF)
set(LLAMA_BUILD_EXAMPLES OFF)
set(LLAMA_BUILD_APP OFF)
set(LLAMA_BUILD_UI OFF)
set(LLAMA_USE_PREBUILT_UI OFF)
set(LLAMA_OPENSSL OFF)
set(LLAMA_TOOLS_INSTALL OFF)
# ggml's own thread pools instead of OpenMP: every thread that computes (a generation loop and a retrieval worker
# per engine) would get an OpenMP team of its own, and when these together outnumber the processors, libgomp lets
# its threads sleep at every barrier. It halved the speed of generation here (docs/building.md).
set(GGML_OPENMP OFF CACHE BOOL "compute with OpenMP")
set(GGML_CCACHE OFF) # cmake/ccache.cmake has chosen the launcher
option(GGML_NATIVE "optimise for this machine's processor; XLC_PORTABLE is for wheels that travel" ON)
if(XLC_PORTABLE)
  xlc_add_portable_ggml()
endif()
add_subdirectory("${XLC_LLAMA_CPP_DIR}" llama.cpp EXCLUDE_FROM_ALL SYSTEM)

# Some of its files are replaced by ours (native/overrides/README.md), and whatever ours rely on is checked.
set(XLC_OVERRIDES_DIR "${CMAKE_CURRENT_SOURCE_DIR}/src/xlc_core/native/overrides")
include("${CMAKE_CURRENT_LIST_DIR}/overrides.cmake")
if(XLC_PORTABLE)
  xlc_leave_out_newer_variants()
endif()
include("${CMAKE_CURRENT_LIST_DIR}/expectations.cmake")
xlc_require_expectations()

# Assertions of its C code throw (native/support/abort_guard.h).
xlc_targets_of(ggml-cpu cpu_targets)
foreach(target ggml-base ${cpu_targets})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:C,GNU,Clang,AppleClang>:-fexceptions>)
endforeach()
target_compile_definitions(llama-common PRIVATE LLAMA_USE_LLGUIDANCE)

# For the presets asan and tsan. Checks of each access to a member make files that are full of JSON compile for minutes;
# where such an access is wrong, AddressSanitizer sees it too. With all checks, products of matrices take most of a
# test's time: ThreadSanitizer sees the threads and barriers of ggml-cpu, but not each number that it computes with. Our
# own kernels are treated in the same way (CMakeLists.txt).
option(XLC_FEWER_CHECKS "leave the sanitizers' checks out of llama.cpp where they cost most" OFF)
if(XLC_FEWER_CHECKS AND CMAKE_CXX_FLAGS MATCHES "sanitize=thread")
  get_target_property(sources ggml-cpu SOURCES)
  get_target_property(folder ggml-cpu SOURCE_DIR)
  list(FILTER sources INCLUDE REGEX "(quants|repack|vec|ops|sgemm|mmq|tiled-kernel)\\.(c|cpp)$")
  list(TRANSFORM sources PREPEND "${folder}/" REGEX "^[^/]")
  set_property(SOURCE ${sources} TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=thread -O2)
elseif(XLC_FEWER_CHECKS)
  target_compile_options(ggml-cpu PRIVATE -fno-sanitize=undefined -O2)
  foreach(target llama-common server-context mtmd)
    target_compile_options(${target} PRIVATE -fno-sanitize=null,vptr,alignment,object-size)
  endforeach()
endif()

add_library(xlc_llama_cpp INTERFACE)
target_include_directories(xlc_llama_cpp SYSTEM INTERFACE
  "${XLC_LLAMA_CPP_DIR}/tools/server" "${XLC_LLAMA_CPP_DIR}/tools/mtmd" "${XLC_LLAMA_CPP_DIR}" "${XLC_LLAMA_CPP_DIR}/src"
  "${XLC_LLAMA_CPP_DIR}/vendor")
target_link_libraries(xlc_llama_cpp INTERFACE server-context)

# One translation unit for several files: their headers cost more than their code (docs/building.md has figures).
set_target_properties(llama-common server-context mtmd PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
set_source_files_properties("${XLC_LLAMA_CPP_DIR}/common/json.cpp" # specialises what its header instantiates
  TARGET_DIRECTORY llama-common PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
set_source_files_properties( # refuses to share a unit with mtmd's internal headers
  "${XLC_LLAMA_CPP_DIR}/tools/mtmd/mtmd-helper-gen.cpp"
  TARGET_DIRECTORY mtmd PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
