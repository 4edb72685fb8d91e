/// \file brook/transport/stream.hpp
/// What a connection is spoken over does in steps, and why a connection ends.
/// Edge of floor 3, transport. Needs Asio.
#pragma once

#include <string>
#include <system_error>

#include <asio/ip/tcp.hpp>

#include <brook/core/config.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

using tcp = asio::ip::tcp;

/// How far one step of a stream has come.
enum class step {
    done,
    want_read,   ///< go on when there is something to read
    want_write,  ///< go on when there is room to write
    failed,      ///< for good; the stream says why
};

/// Why a connection ends.
struct ending {
    refusal why = refusal::lost;
    std::string text{};
    std::error_code code{};  // the system's own, where it is that
};

enum class role { dials, accepts };

}  // namespace brook::inline BROOK_ABI::transport_room
