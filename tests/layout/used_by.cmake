# Builds and runs tests/layout/find_package, a project of somebody else, in one of two ways.
#   WAY = find_package      brook installed into a fresh prefix, which must name nothing of the machine it was made on
#   WAY = add_subdirectory  brook's sources as part of the project
cmake_minimum_required(VERSION 3.24)

function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    message(FATAL_ERROR "${what} (${WAY}):\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE "${SCRATCH}")
set(options "-DCMAKE_CXX_COMPILER=${COMPILER}" -DCMAKE_BUILD_TYPE=Debug)
if(XXHASH)
  list(APPEND options "-DXXHASH_INCLUDE_DIR=${XXHASH}")
endif()
if(WAY STREQUAL "find_package")
  run("Installing failed" "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${SCRATCH}/prefix")
  file(GLOB_RECURSE installed "${SCRATCH}/prefix/*.cmake")
  if(NOT installed)
    message(FATAL_ERROR "No package files were installed.")
  endif()
  foreach(file IN LISTS installed)
    file(STRINGS "${file}" lines)
    foreach(line IN LISTS lines)
      foreach(place IN ITEMS "${ROOT}" "${BUILD}" "${SCRATCH}" "/usr/" "${XXHASH}")
        string(FIND "${line}" "${place}" at)
        if(place AND NOT at EQUAL -1)
          message(FATAL_ERROR "A path of this machine is in the installed package:\n  ${file}: ${line}")
        endif()
      endforeach()
    endforeach()
  endforeach()
  file(RENAME "${SCRATCH}/prefix" "${SCRATCH}/moved")  # a package may be moved after it was made
  list(APPEND options "-DCMAKE_PREFIX_PATH=${SCRATCH}/moved")
else()
  list(APPEND options "-DBROOK_SOURCE=${ROOT}")
endif()

run("Configuring a project that uses brook failed"
    "${CMAKE_COMMAND}" -S "${ROOT}/tests/layout/find_package" -B "${SCRATCH}/build" -G "${GENERATOR}" ${options})
set(targets all)
if(WAY STREQUAL "add_subdirectory")
  set(targets uses_brook)  # the programs with networks and Kafka are compiled the other way; their targets are looked at in both
endif()
run("Building a project that uses brook failed" "${CMAKE_COMMAND}" --build "${SCRATCH}/build" --parallel 2 --target ${targets})
run("A program that uses brook failed" "${SCRATCH}/build/uses_brook" "${SCRATCH}/data")
file(REMOVE_RECURSE "${SCRATCH}")
