# The SBOM and the licences of what is compiled in are installed into the wheel's folder .dist-info (cmake/sbom.py). They
# are made of what Ninja has recorded. A wheel for others is not finished without them.
function(xlc_install_sbom)
  if(NOT SKBUILD_METADATA_DIR OR NOT CMAKE_GENERATOR STREQUAL "Ninja")
    message(STATUS "xllama: no SBOM; it needs scikit-build-core and Ninja")
    return()
  endif()
  set(libraries "$<TARGET_FILE:_native>")
  set(options "")
  if(XLC_PORTABLE)
    xlc_targets_of(ggml-cpu cpu_targets)
    foreach(target IN ITEMS ggml ggml-base ${cpu_targets})
      list(APPEND libraries "$<TARGET_FILE:${target}>")
    endforeach()
    set(options --strict --sysroot "${XLC_SYSROOT}")
  elseif(XLC_ZIG)
    set(options --strict --zig "${XLC_ZIG}/package/ziglang/lib")
  endif()
  set(command
    "${CMAKE_COMMAND}" -E env "XLC_NINJA=${CMAKE_MAKE_PROGRAM}"
    "${Python_EXECUTABLE}" "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/sbom.py" "${SKBUILD_METADATA_DIR}" ${libraries}
    --build "${CMAKE_BINARY_DIR}" --llama-cpp "${XLC_LLAMA_CPP_DIR}" --nanobind "${nanobind_DIR}/.." ${options}
    --version "${SKBUILD_PROJECT_VERSION_FULL}" --compiler "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  list(TRANSFORM command REPLACE "(.+)" "[==[\\1]==]")
  string(JOIN " " command ${command})
  install(CODE "
    execute_process(COMMAND ${command} RESULT_VARIABLE failed)
    if(failed AND \"${options}\" MATCHES strict)
      message(FATAL_ERROR \"xllama: the SBOM could not be written\")
    endif()")
endfunction()
