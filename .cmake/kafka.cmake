# Looks for what the engine on a Kafka cluster needs, for the build and, installed beside brookConfig.cmake, for those who use the package.
# brook does not need it: who has none gets no target brook::kafka, and <brook/kafka.hpp> does not compile there.
#   in    -DBROOK_KAFKA=OFF: not even where it is found; or -DRDKAFKA_INCLUDE_DIR=<folder of librdkafka/rdkafka.h> -DRDKAFKA_LIBRARY=<librdkafka.so>
#   out   brook_has_kafka
option(BROOK_KAFKA "Offer brook::kafka where librdkafka is found" ON)
set(brook_has_kafka FALSE)
if(BROOK_KAFKA)
  find_path(RDKAFKA_INCLUDE_DIR librdkafka/rdkafka.h DOC "Folder of librdkafka/rdkafka.h")
  find_library(RDKAFKA_LIBRARY rdkafka DOC "librdkafka, 2.0 or newer")
  mark_as_advanced(RDKAFKA_INCLUDE_DIR RDKAFKA_LIBRARY)
  if(RDKAFKA_INCLUDE_DIR AND RDKAFKA_LIBRARY)
    file(STRINGS "${RDKAFKA_INCLUDE_DIR}/librdkafka/rdkafka.h" brook_rdkafka_version REGEX "^#define RD_KAFKA_VERSION +0x0*[2-9]")
    if(brook_rdkafka_version)
      set(brook_has_kafka TRUE)
    endif()
  endif()
endif()

# brook_use_kafka(TARGET): what a program with a cluster needs beside brook::brook.
function(brook_use_kafka target)
  target_link_libraries(${target} INTERFACE brook::brook "${RDKAFKA_LIBRARY}")
  target_include_directories(${target} SYSTEM INTERFACE "${RDKAFKA_INCLUDE_DIR}")
endfunction()
