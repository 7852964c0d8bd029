# llama.cpp behind one target, xlc_llama_cpp: its engine library, static, nothing of its programs.

set(XLC_LLAMA_CPP_DIR "${CMAKE_CURRENT_SOURCE_DIR}/vendor/llama.cpp" CACHE PATH
    "llama.cpp's source; filled from the pinned release when it is empty (vendor/README.md)")

if(NOT EXISTS "${XLC_LLAMA_CPP_DIR}/CMakeLists.txt")
  message(STATUS "xllama: fetching llama.cpp into ${XLC_LLAMA_CPP_DIR}")
  execute_process(
    COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/fetch_llama_cpp.py "${XLC_LLAMA_CPP_DIR}"
    RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "xllama: llama.cpp's source could not be fetched; the lines above say why. Either make "
                        "PyPI reachable for pip and build again, or unpack llama.cpp yourself and build with "
                        "-C cmake.define.XLC_LLAMA_CPP_DIR=/path/to/llama.cpp")
  endif()
endif()

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
option(GGML_NATIVE "optimise for this machine's processor; turn off for wheels that travel" ON)
add_subdirectory("${XLC_LLAMA_CPP_DIR}" llama.cpp EXCLUDE_FROM_ALL SYSTEM)

# Some of its files are replaced by ours, under the same headers:
# - log.cpp, whose thread writes to the process's stdout and stderr and does not survive a fork;
# - llguidance.cpp, which links a Rust library; ours calls that of the installed wheel (native/constraints/);
# - sampling.cpp, speculative.cpp and server-context.cpp, which ours include, so that tokens that a grammar forces
#   are drafted (native/overrides/drafting.h), and work of ours gets at the slots (native/overrides/slots.h);
# - common.cpp, which ours includes, so that rejected drafts leave no wrong recurrent state behind;
# - reasoning-budget.cpp, which ours includes, so that thinking can be ended from another thread;
# - ggml-cpu.c, which ours includes, so that threads give way to other programs where they wait for each other;
# - amx/mmq.cpp, which ours includes, so that GCC 12 does not leave out most of the tiles' configuration;
# - llama-model.cpp, which ours includes, so that embedding computes no logits (native/overrides/logits.h);
# - jina-bert-v2.cpp, which ours includes, so that rerankers keep their pooler;
# - llama-vocab.cpp, which ours includes, so that WordPiece reads Korean and Indic scripts as BERT does, and long words
#   do not overflow the stack (native/overrides/regex_split.h).
set(native "${CMAKE_CURRENT_SOURCE_DIR}/src/xlc_core/native")
function(xlc_replace_sources target)
  cmake_parse_arguments(PARSE_ARGV 1 args "" "" "DROP;ADD")
  get_target_property(sources ${target} SOURCES)
  list(REMOVE_ITEM sources ${args_DROP})
  list(TRANSFORM args_ADD PREPEND "${native}/overrides/")
  set_target_properties(${target} PROPERTIES SOURCES "${sources};${args_ADD}")
  target_include_directories(${target} PRIVATE "${native}" "$<TARGET_PROPERTY:${target},SOURCE_DIR>")
endfunction()
set(ggml_cpu "${XLC_LLAMA_CPP_DIR}/ggml/src/ggml-cpu/ggml-cpu.c")
file(STRINGS "${ggml_cpu}" barriers REGEX "int n_passed = ")
list(LENGTH barriers n_barriers)
if(NOT n_barriers EQUAL 1) # what overrides/ggml_cpu.c tells a barrier by
  message(FATAL_ERROR "xllama: ${ggml_cpu} waits otherwise than this version of xllama knows; take the pinned release")
endif()
xlc_replace_sources(ggml-cpu
  DROP ggml-cpu/ggml-cpu.c ggml-cpu/amx/mmq.cpp
  ADD ggml_cpu.c ggml_amx_mmq.cpp)
xlc_replace_sources(llama-common
  DROP common.cpp log.cpp llguidance.cpp reasoning-budget.cpp sampling.cpp speculative.cpp
  ADD common_common.cpp common_log.cpp common_reasoning_budget.cpp common_sampling.cpp common_speculative.cpp)
xlc_replace_sources(llama
  DROP llama-model.cpp llama-vocab.cpp "${XLC_LLAMA_CPP_DIR}/src/models/jina-bert-v2.cpp"
  ADD jina_bert_v2.cpp llama_model.cpp llama_vocab.cpp regex_split.cpp)
set_source_files_properties("${native}/overrides/jina_bert_v2.cpp" "${native}/overrides/llama_model.cpp"
                            "${native}/overrides/llama_vocab.cpp" "${native}/overrides/regex_split.cpp"
                            TARGET_DIRECTORY llama PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
target_include_directories(llama PRIVATE "${XLC_LLAMA_CPP_DIR}/ggml/src")
xlc_replace_sources(server-context DROP server-context.cpp ADD server_context.cpp)
target_compile_definitions(llama-common PRIVATE LLAMA_USE_LLGUIDANCE)

add_library(xlc_llama_cpp INTERFACE)
target_include_directories(xlc_llama_cpp SYSTEM INTERFACE
  "${XLC_LLAMA_CPP_DIR}/tools/server" "${XLC_LLAMA_CPP_DIR}/tools/mtmd" "${XLC_LLAMA_CPP_DIR}" "${XLC_LLAMA_CPP_DIR}/src"
  "${XLC_LLAMA_CPP_DIR}/vendor")
target_link_libraries(xlc_llama_cpp INTERFACE server-context)

# One translation unit for several files: their headers cost more than their code (docs/building.md has figures).
set_target_properties(llama-common server-context mtmd PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
set_source_files_properties("${XLC_LLAMA_CPP_DIR}/common/json.cpp" # specialises what its header instantiates
  TARGET_DIRECTORY llama-common PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
set_source_files_properties( # refuse to share a unit with mtmd's internal headers
  "${XLC_LLAMA_CPP_DIR}/tools/mtmd/mtmd-helper.cpp" "${XLC_LLAMA_CPP_DIR}/tools/mtmd/mtmd-helper-gen.cpp"
  TARGET_DIRECTORY mtmd PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
