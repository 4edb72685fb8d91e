/// \file brook/storage/log_options.hpp
/// How one partition keeps its records.
/// Floor 2, storage.
#pragma once

#include <chrono>
#include <cstdint>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/compaction.hpp>
#include <brook/storage/disk_budget.hpp>
#include <brook/storage/retention.hpp>

namespace brook::inline BROOK_ABI::storage {

/// How one partition keeps its records.
struct log_options {
    std::uint32_t segment_bytes = 64 * mib;    ///< capacity of new segments
    std::int64_t flush_messages = 0;           ///< at most this many acknowledged records less one are not synced; 0: no promise
    std::chrono::nanoseconds flush_interval{};  ///< upkeep syncs what is older; 0: only sealed segments
    retention_policy retention{};
    compaction_policy compaction{};
    compaction_turn* turn = nullptr;           ///< goes with compaction: the memory for keys
    bool awaits_compaction_limit = false;      ///< somebody says how far: limit_compaction
    disk_budget* budget = nullptr;             ///< counts what all logs together take of the disk; null: nobody does
    bool heeds_budget = true;                  ///< and is refused by it when that is too much
    bool reuses_segments = false;              ///< a deleted segment's file may become the next spare
    bool is_append_time = false;               ///< the log stamps its records itself, in the order of their offsets
    std::chrono::nanoseconds producer_id_expiration = std::chrono::hours{24};  ///< producers without a name are forgotten then
    bool is_replicated = false;                ///< one of several that are alike: readers stop at the high watermark, and it may be cut behind it

    [[nodiscard]] bool promises_durability() const noexcept { return flush_messages > 0 || flush_interval.count() > 0; }
};

}  // namespace brook::inline BROOK_ABI::storage
