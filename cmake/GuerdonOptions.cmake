# Warnings, sanitizers and the compiler cache: for the top-level build only, so that a project which adds guerdon as a
# subdirectory keeps its own.
option(GUERDON_SANITIZE "AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(GUERDON_BUILD_FUZZERS "Fuzz targets as libFuzzer programs (needs clang)" OFF)
option(GUERDON_WERROR "Warnings are errors" ${PROJECT_IS_TOP_LEVEL})

add_library(guerdon_options INTERFACE)
if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
  endif()
  # -O2 without debug information: half the build time of RelWithDebInfo, same speed.
  set(CMAKE_CXX_FLAGS_RELEASE "-O2")
  if(GUERDON_SANITIZE)
    set(CMAKE_CXX_FLAGS_RELEASE "-O1") # compiles in two thirds of the time
  endif()
  # GUERDON_CHECK is always on, and assert is not used; NDEBUG is for LibTorch's headers.
  add_compile_definitions($<$<CONFIG:Release>:NDEBUG>)
  target_compile_options(guerdon_options INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers)
  if(GUERDON_WERROR)
    target_compile_options(guerdon_options INTERFACE -Werror)
  endif()
  if(GUERDON_SANITIZE)
    target_compile_options(guerdon_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                                                     -fno-omit-frame-pointer)
    target_link_options(guerdon_options INTERFACE -fsanitize=address,undefined)
  endif()
  if(GUERDON_BUILD_FUZZERS)
    target_compile_options(guerdon_options INTERFACE -fsanitize=fuzzer-no-link)
  endif()
  find_program(GUERDON_CCACHE ccache)
  if(GUERDON_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # Without the sloppiness and -fpch-preprocess, ccache stores nothing that uses CMake's precompiled header.
    set(CMAKE_CXX_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env "CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime"
        "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" "CCACHE_NOHASHDIR=1" ${GUERDON_CCACHE})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
    endif()
  endif()
  find_program(GUERDON_LLD ld.lld)
  if(GUERDON_LLD)
    add_link_options(-fuse-ld=lld)
  endif()
endif()
