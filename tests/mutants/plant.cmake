# Plants the bugs of mutants.cmake: copies each header that one of them names to ${brook_mutated}, with all of them in it,
# each behind its switch. Whoever looks there before include/ compiles all mutants at once; at run time BROOK_MUTANT in
# the environment turns one on, and without it the library is what it is.
set(brook_mutated "${CMAKE_CURRENT_BINARY_DIR}/include")
set(brook_mutants "")        # every name
set(brook_mutated_files "")  # every header that has one

function(brook_count text part result)
  set(count 0)
  string(LENGTH "${part}" length)
  string(FIND "${text}" "${part}" at)
  while(NOT at EQUAL -1)
    math(EXPR count "${count} + 1")
    math(EXPR at "${at} + ${length}")
    string(SUBSTRING "${text}" ${at} -1 text)
    string(FIND "${text}" "${part}" at)
  endwhile()
  set(${result} ${count} PARENT_SCOPE)
endfunction()

# brook_mutant(NAME FILE header FIND text REPLACE text CAUGHT_BY kind test-or-program [arguments] [HANGS]), or, for a
# bug in a place that another mutant has already, brook_mutant(NAME WITH other CAUGHT_BY ...); see mutants.cmake.
function(brook_mutant name)
  cmake_parse_arguments(PARSE_ARGV 1 mutant "HANGS" "WITH;FILE;FIND;REPLACE" "CAUGHT_BY")
  if(mutant_UNPARSED_ARGUMENTS OR NOT mutant_CAUGHT_BY)
    message(FATAL_ERROR "Mutant ${name}: CAUGHT_BY is needed, and what is not told in mutants.cmake is not known: ${mutant_UNPARSED_ARGUMENTS}")
  elseif(name IN_LIST brook_mutants)
    message(FATAL_ERROR "Mutant ${name}: there is one of that name already.")
  elseif(mutant_WITH)
    set(mutant_REPLACE "${replace_${mutant_WITH}}")
  endif()
  string(FIND "${mutant_REPLACE}" "BROOK_MUTANT(${name})" switch)
  if(switch EQUAL -1)
    message(FATAL_ERROR "Mutant ${name}: what replaces has no BROOK_MUTANT(${name}).")
  endif()
  list(APPEND brook_mutants ${name})
  set(brook_mutants "${brook_mutants}" PARENT_SCOPE)
  set(caught_by_${name} "${mutant_CAUGHT_BY}" PARENT_SCOPE)
  set(hangs_${name} "${mutant_HANGS}" PARENT_SCOPE)
  if(mutant_WITH)
    return()
  endif()

  string(MAKE_C_IDENTIFIER "${mutant_FILE}" file)
  set(source "${PROJECT_SOURCE_DIR}/include/brook/${mutant_FILE}")
  if(NOT mutant_FILE IN_LIST brook_mutated_files)
    file(READ "${source}" text_${file})
    list(APPEND brook_mutated_files ${mutant_FILE})
    set(brook_mutated_files "${brook_mutated_files}" PARENT_SCOPE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")  # an edited header is planted again
  endif()
  brook_count("${text_${file}}" "${mutant_FIND}" count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "Mutant ${name}: its place is ${count} times in include/brook/${mutant_FILE}, and has to be there once, "
                        "untouched by other mutants. The header has changed: say in tests/mutants/mutants.cmake where the bug goes now.\n${mutant_FIND}")
  endif()
  # First a word that is nowhere, so that no mutant looks for its place in what another one has brought.
  string(REPLACE "${mutant_FIND}" "<<mutant ${name}>>" text_${file} "${text_${file}}")

  set(text_${file} "${text_${file}}" PARENT_SCOPE)
  set(replace_${name} "${mutant_REPLACE}" PARENT_SCOPE)
  set(file_${name} "${mutant_FILE}" PARENT_SCOPE)
endfunction()

# Writes what has changed, so that only that is compiled again.
function(brook_write path text)
  file(WRITE "${path}.new" "${text}")
  configure_file("${path}.new" "${path}" COPYONLY)
endfunction()

function(brook_write_mutated)
  foreach(name IN LISTS brook_mutants)
    if(NOT DEFINED file_${name})
      continue()  # planted with another
    endif()
    string(MAKE_C_IDENTIFIER "${file_${name}}" file)
    string(REPLACE "<<mutant ${name}>>" "${replace_${name}}" text_${file} "${text_${file}}")
  endforeach()
  foreach(header IN LISTS brook_mutated_files)
    string(MAKE_C_IDENTIFIER "${header}" file)
    string(REPLACE "#pragma once" "#pragma once\n#include <brook/mutants.hpp>" text_${file} "${text_${file}}")
    brook_write("${brook_mutated}/brook/${header}" "${text_${file}}")
  endforeach()
  list(JOIN brook_mutants ",\n    " enumerators)
  list(JOIN brook_mutants "\", \"" names)
  configure_file(mutants.hpp.in "${brook_mutated}/brook/mutants.hpp" @ONLY)
endfunction()
