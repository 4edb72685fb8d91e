/// \file brook/broker/transaction_part.hpp
/// What a transaction has in one partition, and what of an id's transactions may not be on the disk.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <brook/broker/topic_state.hpp>
#include <brook/core/config.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// A partition that a transaction has appended to.
struct transaction_part {
    topic_handle topic;
    std::int32_t partition = 0;
    offset began = 0;                // the log's token
    offset end = -1;                 // of its last frame; -1: none was appended yet
    std::uint32_t leader_epoch = 0;
    std::uint64_t checksum = 0;

    [[nodiscard]] storage::log& log() const { return topic->partition(partition); }

    /// Its topic was deleted: then it is asked for nothing.
    [[nodiscard]] bool is_gone() const noexcept { return topic->is_deleted(); }
};

/// Where the transactions of one id end, a part for each partition, as far as that may not be on the disk.
///
/// Threads   confined.
class unsynced_parts {
public:
    [[nodiscard]] const std::vector<transaction_part>& all() const noexcept { return parts_; }

    /// Makes room, so that so many `note` take no memory.
    void reserve(std::size_t more) { parts_.reserve(parts_.size() + more); }

    void note(const transaction_part& part) {
        for (transaction_part& known : parts_) {
            if (&known.log() == &part.log()) {
                known.end = part.end > known.end ? part.end : known.end;
                return;
            }
        }
        if (part.end >= 0) {
            parts_.push_back(part);
        }
    }

    void forget_durable() noexcept {
        for (std::size_t i = parts_.size(); i-- > 0;) {
            if (parts_[i].is_gone() || parts_[i].end <= parts_[i].log().durable_offset()) {
                erase_at(parts_, i);
            }
        }
    }

private:
    std::vector<transaction_part> parts_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
