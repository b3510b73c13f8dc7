# LibTorch as the imported targets torch_cpu and c10.
#
# The wheel's own TorchConfig.cmake demands a CUDA toolkit when the wheel was built with CUDA, even for a program that only
# uses the CPU; so the two libraries and the headers are located here (docs/decisions/0004-torch-targets.md). Searched:
# GUERDON_TORCH_DIR (cache variable or environment; the folder that holds include/ and lib/), guerdon_torch_default (.deps/torch
# from scripts/setup.sh, or what an installed guerdon was built with), CMAKE_PREFIX_PATH, and the torch package of python3.
set(GUERDON_TORCH_DIR "" CACHE PATH "LibTorch: the folder that holds include/ and lib/")
find_path(GUERDON_TORCH_INCLUDE ATen/ATen.h HINTS ${GUERDON_TORCH_DIR} $ENV{GUERDON_TORCH_DIR} ${guerdon_torch_default} PATH_SUFFIXES include)
if(NOT GUERDON_TORCH_INCLUDE)
  find_package(Python3 COMPONENTS Interpreter QUIET)
  if(Python3_FOUND)
    execute_process(
      COMMAND ${Python3_EXECUTABLE} -c
              "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
      OUTPUT_VARIABLE guerdon_python_torch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    find_path(GUERDON_TORCH_INCLUDE ATen/ATen.h HINTS ${guerdon_python_torch} PATH_SUFFIXES include)
  endif()
endif()
if(NOT GUERDON_TORCH_INCLUDE)
  message(FATAL_ERROR "LibTorch was not found. Run scripts/setup.sh, or set GUERDON_TORCH_DIR to a folder that holds "
                      "include/ and lib/ (site-packages/torch of a Python will do).")
endif()
get_filename_component(guerdon_torch_root ${GUERDON_TORCH_INCLUDE} DIRECTORY)
set(GUERDON_TORCH_LIB ${guerdon_torch_root}/lib)

foreach(library c10 torch_cpu)
  if(NOT TARGET ${library})
    add_library(${library} SHARED IMPORTED GLOBAL)
    set_target_properties(${library} PROPERTIES
      IMPORTED_LOCATION ${GUERDON_TORCH_LIB}/lib${library}.so
      INTERFACE_INCLUDE_DIRECTORIES "${GUERDON_TORCH_INCLUDE};${GUERDON_TORCH_INCLUDE}/torch/csrc/api/include"
      INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
        "${GUERDON_TORCH_INCLUDE};${GUERDON_TORCH_INCLUDE}/torch/csrc/api/include"
      INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1")
    if(library STREQUAL torch_cpu)
      set_property(TARGET torch_cpu PROPERTY INTERFACE_LINK_LIBRARIES c10)
    endif()
  endif()
endforeach()
