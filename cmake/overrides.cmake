# How files of ours take the place of llama.cpp's, and how the build notices that what they rely on has moved.
#
#   xlc_override(<target> <upstream file> <our file> [WITH <file>...] [EXPECT <regex> <count> ...])
#     compiles our file into llama.cpp's target instead of the upstream file, with the files after WITH beside it.
#     The upstream file is named from llama.cpp's root, ours from src/xlc_core/native/overrides.
#   xlc_expect(<upstream file> <regex> <count> ...)
#     says for a file that is compiled as it is what our code relies on.
#   xlc_require_expectations()
#     stops with the name of every file and pattern that no longer holds.
#
# Each pattern must occur exactly as often as its count says. A pattern cannot contain a semicolon.
# cmake/expectations.cmake has the declarations; `cmake -P cmake/check_overrides.cmake` checks them without
# configuring anything (then xlc_override only checks).

# Our files see native/ and llama.cpp's root, so that "common/sampling.cpp" is the upstream file and never the file
# that includes it, and the private headers of llama and ggml.
function(xlc_override target upstream ours)
  cmake_parse_arguments(PARSE_ARGV 3 args "" "" "WITH;EXPECT")
  if(args_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "xllama: xlc_override(${target} ${upstream}): unknown arguments ${args_UNPARSED_ARGUMENTS}")
  endif()
  xlc_expect("${upstream}" ${args_EXPECT})
  if(CMAKE_SCRIPT_MODE_FILE)
    return()
  endif()

  xlc_targets_of(${target} targets)
  foreach(each IN LISTS targets)
    xlc_replace_source(${each} "${upstream}" "${ours}" "${args_WITH}")
  endforeach()
endfunction()

# The targets of one of llama.cpp's libraries. ggml-cpu is several in a portable build: ggml-cpu-haswell and so on.
function(xlc_targets_of library result)
  set(targets ${library})
  if(XLC_PORTABLE AND library STREQUAL "ggml-cpu")
    get_property(targets DIRECTORY "${XLC_LLAMA_CPP_DIR}/ggml/src" PROPERTY BUILDSYSTEM_TARGETS)
    list(FILTER targets INCLUDE REGEX "^ggml-cpu-")
    list(FILTER targets EXCLUDE REGEX "-feats$")
    get_property(left_out GLOBAL PROPERTY XLC_LEFT_OUT_VARIANTS) # cmake/portable.cmake
    list(REMOVE_ITEM targets ${left_out})
  endif()
  set(${result} ${targets} PARENT_SCOPE)
endfunction()

function(xlc_replace_source target upstream ours beside)
  get_target_property(sources ${target} SOURCES)
  get_target_property(folder ${target} SOURCE_DIR)
  get_filename_component(wanted "${XLC_LLAMA_CPP_DIR}/${upstream}" ABSOLUTE)
  set(kept "")
  set(found FALSE)
  foreach(source IN LISTS sources)
    get_filename_component(path "${source}" ABSOLUTE BASE_DIR "${folder}")
    if(path STREQUAL wanted)
      set(found TRUE)
    else()
      list(APPEND kept "${source}")
    endif()
  endforeach()
  if(NOT found)
    xlc_moved("${upstream}" "is not among the sources of the target ${target}")
    return()
  endif()
  list(TRANSFORM beside PREPEND "${XLC_OVERRIDES_DIR}/")
  set(own "${XLC_OVERRIDES_DIR}/${ours}" ${beside})
  set_target_properties(${target} PROPERTIES SOURCES "${kept};${own}")
  get_filename_component(native "${XLC_OVERRIDES_DIR}" DIRECTORY)
  # Alone in their translation units: what they define for the included file is for that file only.
  set_source_files_properties(${own} TARGET_DIRECTORY ${target} PROPERTIES
    SKIP_UNITY_BUILD_INCLUSION ON
    INCLUDE_DIRECTORIES "${native};${XLC_LLAMA_CPP_DIR};${XLC_LLAMA_CPP_DIR}/src;${XLC_LLAMA_CPP_DIR}/ggml/src")
endfunction()

function(xlc_expect upstream)
  set(path "${XLC_LLAMA_CPP_DIR}/${upstream}")
  if(NOT EXISTS "${path}")
    xlc_moved("${upstream}" "does not exist")
    return()
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${path}")
  file(READ "${path}" text)
  # Occurrences are counted by what is left when each has become one character that no source has.
  string(ASCII 1 mark)
  set(index 1)
  while(index LESS ARGC)
    set(pattern "${ARGV${index}}")
    math(EXPR index "${index} + 1")
    set(count "${ARGV${index}}")
    math(EXPR index "${index} + 1")
    if(NOT count MATCHES "^[0-9]+$")
      message(FATAL_ERROR "xllama: ${upstream}: '${count}' is not the count of a pattern")
    endif()
    string(REPLACE "\n" "\\n" shown "${pattern}")
    string(REGEX REPLACE "${pattern}" "${mark}" marked "${text}")
    string(REGEX REPLACE "[^${mark}]+" "" marks "${marked}")
    string(LENGTH "${marks}" n)
    if(n EQUAL count)
      xlc_holds("${upstream}" "has ${count} × ${shown}")
    else()
      xlc_moved("${upstream}" "has ${n} instead of ${count} × ${shown}")
    endif()
  endwhile()
endfunction()

function(xlc_holds upstream fact)
  if(XLC_REPORT)
    message("holds  ${upstream} ${fact}")
  endif()
  set_property(GLOBAL APPEND_STRING PROPERTY XLC_HELD "|")
endfunction()

function(xlc_moved upstream fact)
  if(XLC_REPORT)
    message("MOVED  ${upstream} ${fact}")
  endif()
  set_property(GLOBAL APPEND_STRING PROPERTY XLC_MOVED "\n  ${upstream} ${fact}")
endfunction()

function(xlc_require_expectations)
  get_property(moved GLOBAL PROPERTY XLC_MOVED)
  if(moved)
    message(FATAL_ERROR "xllama: this llama.cpp is not as xllama's overrides expect it:${moved}\n"
                        "Take the pinned release, or see vendor/README.md about moving the pin.")
  endif()
  get_property(held GLOBAL PROPERTY XLC_HELD)
  string(LENGTH "${held}" n)
  message(STATUS "xllama: llama.cpp is as the overrides expect it (${n} expectations)")
endfunction()
