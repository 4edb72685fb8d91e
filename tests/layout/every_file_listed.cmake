# cmake -DWHAT=… -DDIRECTORY=… -DPATTERN=… -DLISTED=a;b -P every_file_listed.cmake
# Fails when a file below DIRECTORY that matches PATTERN is not LISTED: it would neither be built nor installed, silently.
file(GLOB_RECURSE found RELATIVE "${DIRECTORY}" "${DIRECTORY}/${PATTERN}")
if(NOT found)
  message(FATAL_ERROR "No ${PATTERN} below ${DIRECTORY}: this check looks in the wrong place.")
endif()
list(REMOVE_ITEM found ${LISTED})
if(found)
  list(JOIN found "\n  " report)
  message(FATAL_ERROR "Not listed in ${WHAT}:\n  ${report}")
endif()
