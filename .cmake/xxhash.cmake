# Looks for xxhash.h, for the build and, installed beside brookConfig.cmake, for those who use the package.
#   in    a target xxHash::xxhash, or -DXXHASH_INCLUDE_DIR=<folder of xxhash.h>, or the usual places
#   out   brook_xxhash_include: the folder, empty when there is none of version 0.8; brook_xxhash_advice: what to do then
set(brook_xxhash_advice "install xxHash (Debian, Ubuntu: libxxhash-dev; Fedora: xxhash-devel; Arch, Homebrew: xxhash) or give -DXXHASH_INCLUDE_DIR=<folder of xxhash.h>")
set(brook_xxhash_include)
if(TARGET xxHash::xxhash)
  set(brook_xxhash_include "$<TARGET_PROPERTY:xxHash::xxhash,INTERFACE_INCLUDE_DIRECTORIES>")
else()
  find_path(XXHASH_INCLUDE_DIR xxhash.h DOC "Folder of xxhash.h")
  mark_as_advanced(XXHASH_INCLUDE_DIR)
  if(EXISTS "${XXHASH_INCLUDE_DIR}/xxhash.h")
    file(STRINGS "${XXHASH_INCLUDE_DIR}/xxhash.h" brook_xxhash_minor REGEX "define +XXH_VERSION_MINOR +[0-9]+")
    string(REGEX REPLACE ".*[^0-9]" "" brook_xxhash_minor "${brook_xxhash_minor}")
    if(brook_xxhash_minor GREATER_EQUAL 8)  # XXH3 has its final form since 0.8.0
      set(brook_xxhash_include "${XXHASH_INCLUDE_DIR}")
    endif()
  endif()
endif()
