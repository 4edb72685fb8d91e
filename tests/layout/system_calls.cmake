# Only include/brook/os calls the operating system. Everything else is handed a brook::os::platform, so that a test can
# hand in one that fails, forgets or lies; a call made elsewhere is a fault that no test can ever inject, and a clock
# that no test can turn. Comments and texts in quotes are not looked at.
cmake_minimum_required(VERSION 3.24)

set(includes
  "sys/[a-z_]+\\.h|linux/[a-z_]+\\.h|asm/[a-z_]+\\.h|(fcntl|unistd|pthread|dirent|poll|sched|signal|spawn|stdio|time|dlfcn)\\.h"
  "ctime|csignal|cstdio|fstream|filesystem|iostream|condition_variable|semaphore|latch|barrier|future|random")
list(JOIN includes "|" includes)
set(include_rule "^ *# *include *<(${includes})>")

# Names that mean one thing wherever they stand, unless something other than `::` or a space stands before them …
set(calls
  mmap munmap mremap msync madvise mincore mlock
  fsync fdatasync syncfs sync_file_range fallocate posix_fallocate posix_fadvise ftruncate pread pwrite preadv pwritev
  openat renameat renameat2 unlinkat mkdirat fstat fstatat statx statfs fstatfs opendir readdir fdopendir
  flock fcntl ioctl syscall fork vfork getpid gettid getrandom kill
  clock_gettime gettimeofday nanosleep clock_nanosleep usleep sched_yield
  fopen fdopen pthread_[a-z_]+)
list(JOIN calls "|" calls)
set(call_rule "(^|[^A-Za-z0-9_.>:])(::|std::)?(${calls}) *\\(")

# … names that brook uses too, and that are system calls when `::` leads …
set(global_rule "(^|[^A-Za-z0-9_>]) *::(open|close|read|write|lseek|stat|lstat|rename|unlink|remove|mkdir|rmdir|link|time|sleep|poll|access|truncate|sync) *\\(")

# … and what the standard library makes of them.
set(standard_rule "(system_clock|steady_clock|high_resolution_clock|utc_clock|file_clock)::now|sleep_(for|until)|this_thread::yield|std::(basic_)?[io]?fstream|std::FILE|(^|[^A-Za-z0-9_])FILE *\\*|std::filesystem|std::random_device|std::time *\\(|std::condition_variable")

set(strays)
file(GLOB_RECURSE headers RELATIVE "${ROOT}/include/brook" "${ROOT}/include/brook/*.hpp")
if(NOT headers)
  message(FATAL_ERROR "No headers in ${ROOT}/include/brook: this check looks in the wrong place.")
endif()
foreach(header IN LISTS headers)
  if(header MATCHES "^os/")
    continue()
  endif()
  file(READ "${ROOT}/include/brook/${header}" text)
  string(REGEX REPLACE "[][;]" " " text "${text}")                 # they mean something to CMake's lists
  string(REGEX REPLACE "\\\\\n" " \n" text "${text}")
  string(REGEX REPLACE "\\\\[\"\\\\]|'\"'" " " text "${text}")      # \" and \\ and '"'
  string(REGEX REPLACE "\"[^\"\n]*\"" "\"\"" text "${text}")
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REGEX REPLACE "/\\*([^*]|\\*[^/])*\\*/" "" text "${text}")
  string(REGEX REPLACE "\n" ";" lines "${text}")
  set(number 0)
  foreach(line IN LISTS lines)
    math(EXPR number "${number} + 1")
    if(line MATCHES "${include_rule}" OR line MATCHES "${call_rule}" OR line MATCHES "${global_rule}" OR line MATCHES "${standard_rule}")
      string(STRIP "${line}" line)
      list(APPEND strays "${header}:${number}: ${line}")
    endif()
  endforeach()
endforeach()
if(strays)
  list(JOIN strays "\n  " report)
  message(FATAL_ERROR "Only the os room calls the system; ask the platform one was handed (brook/os/platform.hpp), "
                      "or no test can make this fail, forget or lie:\n  ${report}")
endif()
