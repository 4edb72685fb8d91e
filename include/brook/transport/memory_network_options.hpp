/// \file brook/transport/memory_network_options.hpp
/// What a memory_network can be told, what it can be made to do wrong, and what it counts.
/// Edge of floor 3, transport.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI {

/// How a network is made.
struct memory_network_options {
    /// Of two manual networks with one seed, told the same in the same order, each datagram meets the same fate.
    std::uint64_t seed = 1;

    /// Nothing comes until somebody calls `deliver`, time is what one says it is, and no thread is started. For simulations.
    bool manual = false;

    /// What waits on its way to one node, because it is delayed or the node is paused. What is beyond is lost.
    std::size_t queue_count = 16'384;
    std::size_t queue_bytes = std::size_t{64} << 20;

    std::size_t largest_datagram = std::size_t{4} << 20;  ///< in bytes; at least 64 KiB

    os::platform* platform = nullptr;  ///< null: this system. For time and sleep; outlives the network
};

/// What befalls datagrams. Rates are from 0, never, to 1, always; each datagram, and each copy of it, is decided on its own.
/// Datagrams from one node to another keep their order unless `reorder` says otherwise, however they are delayed.
struct memory_network_faults {
    double drop = 0;       ///< it is lost
    double duplicate = 0;  ///< it comes twice
    double reorder = 0;    ///< it waits for up to `reorder_within` more, and what is sent meanwhile may overtake it
    double corrupt = 0;    ///< one to four of its bytes are changed; its size is not

    std::chrono::nanoseconds delay_min{0};  ///< each is on its way for a time between these two
    std::chrono::nanoseconds delay_max{0};
    std::chrono::nanoseconds reorder_within = std::chrono::milliseconds{1};
};

/// What became of the datagrams so far. Each one that was sent, and each second copy, ends as one of these:
///
///     sent + duplicated = delivered + dropped + cut + unreachable + overflowed + oversized + under_way
struct memory_network_statistics {
    std::uint64_t sent = 0;
    std::uint64_t delivered = 0;    ///< told to a receiver, which may not have returned yet
    std::uint64_t dropped = 0;      ///< by the rate of that name
    std::uint64_t cut = 0;          ///< met a cut, or an isolated node
    std::uint64_t unreachable = 0;  ///< nobody runs there; or sent by who does not run, or to itself
    std::uint64_t overflowed = 0;   ///< beyond queue_count or queue_bytes; or there was no memory for it
    std::uint64_t oversized = 0;    ///< larger than largest_datagram
    std::uint64_t under_way = 0;    ///< delayed or kept: not decided yet

    std::uint64_t duplicated = 0;
    std::uint64_t reordered = 0;
    std::uint64_t corrupted = 0;
    std::uint64_t delayed = 0;
    std::uint64_t kept = 0;  ///< came to a paused node

    bool operator==(const memory_network_statistics&) const = default;
};

namespace transport_room {

/// Errors    invalid_config.
inline void check(const memory_network_options& options) {
    if (options.largest_datagram < std::size_t{64} * 1024) {
        throw_error(errc::invalid_config, "memory_network_options: largest_datagram is less than 64 KiB");
    }
}

/// Errors    invalid_config.
inline void check(const memory_network_faults& faults) {
    for (const double rate : {faults.drop, faults.duplicate, faults.reorder, faults.corrupt}) {
        if (!(rate >= 0 && rate <= 1)) {  // also what is not a number
            throw_error(errc::invalid_config, "memory_network_faults: a rate is not from 0 to 1");
        }
    }
    constexpr std::chrono::nanoseconds longest = std::chrono::hours{24};
    if (faults.delay_min < std::chrono::nanoseconds{0} || faults.delay_max < faults.delay_min || faults.delay_max > longest) {
        throw_error(errc::invalid_config, "memory_network_faults: delays are from 0 to a day, delay_min no longer than delay_max");
    }
    if (faults.reorder_within <= std::chrono::nanoseconds{0} || faults.reorder_within > longest) {
        throw_error(errc::invalid_config, "memory_network_faults: reorder_within is more than 0, up to a day");
    }
}

}  // namespace transport_room

}  // namespace brook::inline BROOK_ABI
