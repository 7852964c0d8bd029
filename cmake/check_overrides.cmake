# Checks what the overrides expect of llama.cpp's source, without configuring or compiling it:
#   cmake [-DXLC_LLAMA_CPP_DIR=<folder>] [-DXLC_REPORT=ON] -P cmake/check_overrides.cmake
cmake_minimum_required(VERSION 3.21...3.30)

get_filename_component(root "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
if(NOT XLC_LLAMA_CPP_DIR)
  set(XLC_LLAMA_CPP_DIR "${root}/vendor/llama.cpp")
endif()
get_filename_component(XLC_LLAMA_CPP_DIR "${XLC_LLAMA_CPP_DIR}" ABSOLUTE)
set(XLC_OVERRIDES_DIR "${root}/src/xlc_core/native/overrides")

include("${CMAKE_CURRENT_LIST_DIR}/overrides.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/expectations.cmake")
xlc_require_expectations()
