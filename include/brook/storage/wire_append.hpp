/// \file brook/storage/wire_append.hpp
/// Appending frames in wire form: a leader's own, and what a follower is sent.
/// Floor 2, storage.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/log_parts.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Appends frames that come in wire form to a replicated log.
///
/// Where each leader epoch begins is noted before its first frame is published.
///
/// Threads   shared: one thread appends at a time, under the lock of the order.
class wire_append {
public:
    explicit wire_append(log_parts& parts) noexcept : parts_{parts} {}

    /// log::append_new.
    [[nodiscard]] failure append_new(mutable_bytes frame, std::uint32_t epoch, const std::optional<std::int64_t>& now, offset& first);

    /// log::append_copy.
    [[nodiscard]] failure append_copy(bytes frames, offset& end);

    /// What was cut out with the rest of its segment. The log ends at `to` then.
    ///
    /// Requires  the lock of the order.
    [[nodiscard]] failure append_again(bytes kept, offset to);

    /// Where a replicated log ends, for the one who appends to it. Another thread that syncs may be about to publish a mark, in front of which
    /// what is published behind it does not show: it is waited for, since it takes no longer than that thread is kept from running.
    [[nodiscard]] offset settled_end();
    static constexpr int most_turns = 1'000'000;  // where time stands still
    static constexpr std::chrono::seconds most_patience{1};

private:
    /// A frame in wire form that begins where the log ends.
    [[nodiscard]] failure append_wire(bytes frame);

    log_parts& parts_;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/wire_append.hpp>
#endif
