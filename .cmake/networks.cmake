# Looks for what the transports over TCP and TLS need, for the build and, installed beside brookConfig.cmake, for those who use the package.
# brook does not need them: who has none gets no target brook::tcp or brook::tls, and <brook/tcp.hpp> or <brook/tls.hpp> does not compile there.
#   in    -DBROOK_TCP=OFF, -DBROOK_TLS=OFF: not even where it is found; or -DASIO_INCLUDE_DIR=<folder of asio.hpp>, -DOPENSSL_ROOT_DIR=<prefix>
#   out   brook_networks: those for which everything was found, of tcp (Asio) and tls (Asio and OpenSSL 3); brook_asio_include
set(brook_networks)
option(BROOK_TCP "Offer brook::tcp where Asio is found" ON)
option(BROOK_TLS "Offer brook::tls where Asio and OpenSSL are found" ON)
if(BROOK_TCP OR BROOK_TLS)
  find_path(ASIO_INCLUDE_DIR asio/io_context.hpp DOC "Folder of asio.hpp, standalone Asio")
  mark_as_advanced(ASIO_INCLUDE_DIR)
  if(ASIO_INCLUDE_DIR)
    set(brook_asio_include "${ASIO_INCLUDE_DIR}")
    if(BROOK_TCP)
      list(APPEND brook_networks tcp)
    endif()
    if(BROOK_TLS)
      find_package(OpenSSL 3 QUIET)
      if(OpenSSL_FOUND)
        list(APPEND brook_networks tls)
      endif()
    endif()
  endif()
endif()

# brook_use_network(TARGET NETWORK): what a program over that network needs beside brook::brook.
function(brook_use_network target network)
  target_link_libraries(${target} INTERFACE brook::brook)
  target_include_directories(${target} SYSTEM INTERFACE "${brook_asio_include}")
  target_compile_definitions(${target} INTERFACE ASIO_STANDALONE)
  if(network STREQUAL "tls")
    target_link_libraries(${target} INTERFACE OpenSSL::SSL OpenSSL::Crypto)
  endif()
endfunction()
