/// \file brook/client/slot.hpp
/// A record that its owner writes in place.
/// Floor 6, client. Source: Aeron's tryClaim (BufferClaim: commit, abort).
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <brook/client/delivery.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/engine/open_slot.hpp>

namespace brook::inline BROOK_ABI {

/// Bytes inside the segment itself, the value of a record to be. Write them, then `commit`; a slot that is dropped
/// leaves a gap that no consumer sees.
///
/// Consumers stop in front of an open slot, and so do flush and durable acknowledgements: hold it briefly. On topics
/// with flush_messages or append time, of replicated topics, and of idempotent producers, the slot is a buffer, appended at commit.
///
/// Threads   confined.
/// Lifetime  may outlive producer and broker: then its bytes reach nobody, and `commit` says closed.
class slot {
public:
    [[nodiscard]] std::byte* data() const noexcept { return open_ ? open_->value().data() : nullptr; }
    [[nodiscard]] std::size_t size() const noexcept { return open_ ? open_->value().size() : 0; }

    /// Makes it a record. Once; afterwards the slot is empty.
    /// Errors    illegal_state when it is empty; the rest in the delivery: closed, or what appending said.
    delivery commit() {
        const auto open = std::exchange(open_, nullptr);
        if (!open) {
            throw_error(errc::illegal_state, "this slot has been committed, or moved from");
        }
        return {open->partition(), open->commit()};
    }

    /// By producer::claim.
    explicit slot(std::unique_ptr<engine::open_slot> open) noexcept : open_{std::move(open)} {}

private:
    std::unique_ptr<engine::open_slot> open_;  // empty once committed or moved from
};

}  // namespace brook::inline BROOK_ABI
