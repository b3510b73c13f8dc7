# Installs the build into a fresh prefix and uses it from outside: the program, a small project, the examples. Each project
# brings its own tests (add_test), which are run.
set(WORK ${BUILD}/consumer)
set(PREFIX ${WORK}/prefix)
file(REMOVE_RECURSE ${WORK})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${command}\nended with ${result}:\n${output}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX})
run(${PREFIX}/bin/guerdon version)
run(${PREFIX}/bin/guerdon doctor --threads 1) # opens the installed upper half, and LibTorch

if(CCACHE)
  set(launcher -DCMAKE_CXX_COMPILER_LAUNCHER=${CCACHE})
endif()
file(GLOB projects ${SOURCE}/examples/*/CMakeLists.txt)
foreach(file ${SOURCE}/tests/consumer/program/CMakeLists.txt ${projects})
  get_filename_component(project ${file} DIRECTORY)
  get_filename_component(name ${project} NAME)
  message(STATUS "${name}")
  run(${CMAKE_COMMAND} -S ${project} -B ${WORK}/${name} -G ${GENERATOR} -DCMAKE_BUILD_TYPE=Release
      -DCMAKE_PREFIX_PATH=${PREFIX} -DCMAKE_CXX_COMPILER=${COMPILER} ${launcher})
  run(${CMAKE_COMMAND} --build ${WORK}/${name})
  run(${CMAKE_CTEST_COMMAND} --test-dir ${WORK}/${name} --output-on-failure --no-tests=error)
endforeach()
file(REMOVE_RECURSE ${WORK})
