/// \file brook/client/delivery.hpp
/// What becomes of a record that was sent.
/// Floor 6, client.
#pragma once

#include <cstdint>
#include <system_error>
#include <utility>

#include <brook/client/record.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/sender.hpp>

namespace brook::inline BROOK_ABI {

/// What `send` gives: where the record is, as soon as that is known. It may be dropped; a failure that nobody asked for
/// is then thrown by the producer's next `flush` or `close`.
///
/// Threads   confined.
/// Lifetime  its own: it may outlive the producer and the broker.
class delivery {
public:
    delivery(std::int32_t partition, engine::sent sent) noexcept : partition_{partition}, sent_{std::move(sent)} {}

    /// Waits for what the producer's `acks` and the topic's flush policy ask: nothing, or a sync. A gathered record's
    /// batch is closed first.
    /// Errors    thrown: what sending or syncing said.
    record_metadata get() {
        if (const failure why = wait()) {
            why.raise();
        }
        return metadata();
    }

    /// The same for who cannot have exceptions. On failure the offset is -1 unless the record has been appended.
    record_metadata get(std::error_code& code) {
        code = wait().code;
        return metadata();
    }

private:
    [[nodiscard]] failure wait() {
        failure why;
        if (sent_.pending && !(why = sent_.pending->wait(sent_.done))) {
            sent_.pending.reset();
        }
        return why;
    }

    [[nodiscard]] record_metadata metadata() const noexcept {
        const bool is_known = sent_.done.at >= 0;
        return {partition_, is_known ? sent_.done.at : -1, timestamp{std::chrono::nanoseconds{is_known ? sent_.done.timestamp : 0}}};
    }

    std::int32_t partition_;
    engine::sent sent_;
};

}  // namespace brook::inline BROOK_ABI
