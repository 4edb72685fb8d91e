# Looks for the libraries of the codecs, for the build and, installed beside brookConfig.cmake, for those who use the package.
# brook does not need them: who has none gets none, and <brook/lz4.hpp> or <brook/zstd.hpp> does not compile there.
#   in    -DBROOK_LZ4=OFF, -DBROOK_ZSTD=OFF: not even where it is found; or -DLZ4_INCLUDE_DIR=, -DLZ4_LIBRARY=, -DZSTD_INCLUDE_DIR=, -DZSTD_LIBRARY=
#   out   brook_codecs: those that were found, of lz4 and zstd; brook_lz4_include, brook_lz4_library, and so for zstd
set(brook_codecs)
foreach(codec IN ITEMS lz4 zstd)
  string(TOUPPER ${codec} name)
  option(BROOK_${name} "Link ${codec} where it is found" ON)
  if(BROOK_${name})
    find_path(${name}_INCLUDE_DIR ${codec}.h DOC "Folder of ${codec}.h")
    find_library(${name}_LIBRARY ${codec} DOC "The library of ${codec}")
    mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)
    if(${name}_INCLUDE_DIR AND ${name}_LIBRARY)
      list(APPEND brook_codecs ${codec})
      set(brook_${codec}_include "${${name}_INCLUDE_DIR}")
      set(brook_${codec}_library "${${name}_LIBRARY}")
    endif()
  endif()
endforeach()
