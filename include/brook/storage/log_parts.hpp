/// \file brook/storage/log_parts.hpp
/// What the faces of a log have in common: its parts, its locks, and how far it goes.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/checkpoint_keeper.hpp>
#include <brook/storage/durability.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/log_epochs.hpp>
#include <brook/storage/log_life.hpp>
#include <brook/storage/log_options.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/open_claims.hpp>
#include <brook/storage/producer_memory.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/transaction_table.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Belongs to a log, which is told what may be asked of it in log.hpp. Here is what several of its faces need: who appends, who cuts, who looks after it.
///
/// Threads   shared; what a lock guards stands beside it.
struct log_parts {
    log_parts(segment_directory in, const log_options& with, event_count& events, event_count& upkeep, const transaction_table* transactions)
        : files{std::move(in)},
          options{with},
          appends{files, segments, events, upkeep, with.segment_bytes,
                  with.flush_messages > 0 ? log_room::for_each_sync : with.promises_durability() ? log_room::for_upkeep : log_room::for_speed},
          durable{files, appends, prefix, events},
          source{files, segments, life, transactions},
          kept{files, with.is_replicated ? &epochs : nullptr} {}
    log_parts(const log_parts&) = delete;
    log_parts& operator=(const log_parts&) = delete;

    log_life life;
    segment_directory files;
    const log_options options;
    segment_chain segments;
    appender appends;
    published_prefix prefix;
    durability durable;
    segment_source source;
    log_epochs epochs{source};
    open_claims claims;
    producer_memory producers{files.platform()};
    std::atomic<std::uint32_t> last_epoch{0};  // in which records are appended; of a replicated log, in which its last one was

    // ---- locks, in the order in which they are taken ----

    std::mutex order_mutex;  // guards last_append_time, and the order of appends that need one: all of a replicated log
    std::int64_t last_append_time = 0;
    std::mutex upkeep_mutex;  // guards the checkpoint, and all of log_upkeep: that is one thread at a time, and closing waits for it
    checkpoint_keeper kept;
    std::shared_mutex cut_mutex;  // of a replicated log: who reads behind the high watermark keeps it from being cut meanwhile
    std::mutex times_mutex;       // guards each segment's time index

    // ---- who it is ----

    [[nodiscard]] const partition_name& name() const noexcept { return files.name(); }
    [[nodiscard]] os::platform& platform() const noexcept { return files.platform(); }
    [[nodiscard]] bool is_closed() const noexcept { return life.is_over(); }
    /// Why it is closed: its broker is, or its topic was deleted.
    [[nodiscard]] failure refusal() const { return life.refusal(name().topic, name().text()); }
    [[nodiscard]] failure judged(failure why) const { return life.judged(std::move(why), name().topic); }
    [[nodiscard]] failure forked() const { return {errc::forked, name().text() + ": its broker belongs to the parent of this process"}; }

    [[nodiscard]] failure check_replicated() const {
        if (appends.is_forked()) {
            return forked();
        }
        if (is_closed()) {
            return refusal();
        }
        return options.is_replicated ? failure{} : failure{errc::illegal_state, name().text() + ": is not replicated"};
    }

    // ---- how far ----

    [[nodiscard]] std::uint32_t leader_epoch() const noexcept { return last_epoch.load(std::memory_order_relaxed); }
    [[nodiscard]] offset log_start_offset() const noexcept { return segments.start(); }
    [[nodiscard]] offset log_end_offset() { return prefix.advance().next; }
    [[nodiscard]] offset readable_end() { return options.is_replicated ? source.limit() : log_end_offset(); }
    [[nodiscard]] offset high_watermark() { return readable_end(); }
    [[nodiscard]] offset durable_offset() const noexcept { return durable.durable_offset(); }
    [[nodiscard]] offset claimed_end_offset() const {
        const segment& active = *segments.last();
        return active.base + static_cast<offset>(tail_word{active.tail.load(std::memory_order_acquire)}.records());
    }

    /// Waits until everything below `end` is on the disk. `cuts`: as they were when there was something below it.
    [[nodiscard]] failure wait_durable(offset end, std::uint32_t cuts, std::optional<std::chrono::nanoseconds> deadline) {
        if (durable_offset() >= end) {
            return {};
        }
        if (claims.held_here_before(end)) {
            return {errc::claim_open, name().text() + ": this thread holds a claim in front of offset " + std::to_string(end) +
                                          "; commit it or let it go before you wait"};
        }
        for (;;) {
            const bool is_there = !options.is_replicated || end <= claimed_end_offset();  // behind the look at the cuts
            failure why = is_there ? durable.wait(end, cuts, deadline) : durable.was_cut(end);
            if (why.code != errc::illegal_state || end > readable_end()) {
                return judged(std::move(why));
            }
            cuts = durable.cuts();  // what was cut lies behind it
        }
    }

    [[nodiscard]] failure sync() {
        const std::uint32_t cuts = durable.cuts();  // before the end: what is cut in between will not come
        return wait_durable(log_end_offset(), cuts, std::nullopt);
    }

    // ---- reading ----

    /// Also of what is not on a majority yet.
    [[nodiscard]] log_reader whole_reader() noexcept {
        log_reader made{source};
        made.read_uncommitted_tail(true);
        return made;
    }

    /// As long as it is held nothing is cut.
    [[nodiscard]] std::shared_lock<std::shared_mutex> keep_uncut() {
        return options.is_replicated ? std::shared_lock{cut_mutex} : std::shared_lock<std::shared_mutex>{};
    }

    // ---- the checkpoint ----

    /// Has it say, before the first of its kind is appended, that there may be such frames.
    [[nodiscard]] failure flag(std::uint32_t which) {
        if ((kept.flags() & which) != 0) {
            return {};
        }
        const std::scoped_lock guard{upkeep_mutex};
        if (is_closed()) {
            return refusal();  // and its files may be another's
        }
        return judged(kept.flag(which));
    }

    [[nodiscard]] bool has_transactions() const noexcept { return (kept.flags() & format::checkpoint_flag::transactions) != 0; }

    /// Requires  upkeep's lock.
    [[nodiscard]] failure save_checkpoint() {
        const log_place place = durable.synced_place();
        return kept.save(place, durable_offset(), log_start_offset(), options.is_replicated ? std::optional{high_watermark()} : std::nullopt);
    }

    // ---- segments ----

    /// Its files are gone, or are going.
    void let_go(segment& gone) {
        if (const segment_pin pin = gone.pin()) {
            pin->is_gone.store(true, std::memory_order_release);
        }
        gone.release();
        const std::scoped_lock guard{times_mutex};
        gone.times.reset();
    }
};

}  // namespace brook::inline BROOK_ABI::storage
