/// \file brook/storage/log.hpp
/// One partition: an ordered, immutable, append-only sequence of records on memory-mapped segment files.
/// Floor 2, storage. Start here: this header puts the others of the room together.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/compaction.hpp>
#include <brook/storage/durability.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/log_life.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/open_claims.hpp>
#include <brook/storage/producer_memory.hpp>
#include <brook/storage/producer_table.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/recovery.hpp>
#include <brook/storage/retention.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/time_index.hpp>

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

    [[nodiscard]] bool promises_durability() const noexcept { return flush_messages > 0 || flush_interval.count() > 0; }
};

/// A partition's log. Its parts: the appender claims and publishes, the prefix tells how far it has come, durability
/// brings it to the disk, readers read it in place, and upkeep works ahead of the writers and behind them.
///
/// Threads   shared.
/// Lifetime  after `close` every call says closed, after `end_deleted` that the topic was deleted; memory that readers pinned stays.
class log {
public:
    /// Opens the partition in `files`, or begins it, after whatever happened to it.
    /// `transactions`: how those ended that it has parts of.
    /// Errors    `why`: what recovery could not do. Damage that leaves the rest readable is in the report instead.
    [[nodiscard]] static std::unique_ptr<log> open(segment_directory files, log_options options, event_count& events,
                                                   event_count& upkeep, failure& why, const transaction_table* transactions = nullptr) {
        std::unique_ptr<log> opened{new log{std::move(files), options, events, upkeep, transactions}};
        why = opened->recover();
        return why ? nullptr : std::move(opened);
    }

    log(const log&) = delete;
    log& operator=(const log&) = delete;
    ~log() { close(); }

    [[nodiscard]] const partition_name& name() const noexcept { return files_.name(); }
    /// Its directory.
    [[nodiscard]] const std::string& path() const noexcept { return files_.path(); }
    [[nodiscard]] const log_options& options() const noexcept { return options_; }
    [[nodiscard]] os::platform& platform() const noexcept { return files_.platform(); }
    [[nodiscard]] const recovery_report& report() const noexcept { return report_; }

    // ---- appending ----

    /// The hot path: take a claim, write the body behind the frame header, publish.
    [[nodiscard]] bool try_take(std::uint32_t length, std::uint32_t offsets, claim& taken) noexcept {
        return appends_.try_take(length, offsets, taken);
    }
    [[nodiscard]] bool take(std::uint32_t length, std::uint32_t offsets, claim& taken, failure& why) {
        if (!appends_.take(length, offsets, taken, why)) [[unlikely]] {
            why = life_.judged(std::move(why), name().topic);
            return false;
        }
        return true;
    }
    [[gnu::always_inline]] std::uint64_t publish(const claim& taken, format::frame_word word, std::int64_t base_timestamp, std::uint32_t count) noexcept {
        return appends_.publish(taken, word, base_timestamp, leader_epoch_, count);
    }
    void publish(const claim& taken, const format::frame_header& header) noexcept {
        publish(taken, format::word_of(header), header.base_timestamp, header.count);
    }
    void abandon(const claim& taken, std::uint32_t offsets) noexcept { appends_.abandon(taken, offsets, leader_epoch_); }
    [[nodiscard]] std::uint32_t largest_frame() const noexcept { return appends_.largest_frame(); }

    /// Held around claim and publication where records must be in the order of something else: append time.
    class ordered_section {
    public:
        /// Time of the record to be appended: never before the last one's.
        ordered_section(log& of, std::int64_t now) : guard_{of.order_mutex_} {
            of.last_append_time_ = now > of.last_append_time_ ? now : of.last_append_time_;
            time = of.last_append_time_;
        }
        std::int64_t time;

    private:
        std::scoped_lock<std::mutex> guard_;
    };

    /// What is remembered of a producer that numbers its records, or will be from now on.
    ///
    /// Errors    nullptr, and `why`: closed, forked, or what the disk said.
    /// Cost      the first one of a partition writes the checkpoint: a partition without any is not searched for them.
    [[nodiscard]] std::shared_ptr<producer_state> producer(std::int64_t id, failure& why) {
        if (is_closed()) {
            why = refusal();
            return nullptr;
        }
        if (appends_.is_forked()) {
            why = {errc::forked, name().text() + ": its broker belongs to the parent of this process"};
            return nullptr;
        }
        why = flag(format::checkpoint_flag::producers);
        return why ? nullptr : producers_.table().find_or_add(id);
    }

    // ---- transactions ----

    /// Readers of committed records may have to wait from where the log ends now: a transaction appends behind. It ends by
    /// the offset that `began` gets.
    ///
    /// Errors    closed; what the disk said.
    /// Cost      the first one of a partition writes the checkpoint, which says so from then on.
    [[nodiscard]] failure begin_transactional(offset& began) {
        if (failure why = flag(format::checkpoint_flag::transactions)) {
            return why;
        }
        const std::scoped_lock guard{open_transactions_mutex_};
        began = log_end_offset();
        open_transactions_.push_back(began);
        return {};
    }

    /// Whether it may have parts of transactions.
    [[nodiscard]] bool has_transactions() const noexcept { return (flags_.load(std::memory_order_acquire) & format::checkpoint_flag::transactions) != 0; }

    /// It has been decided, and told: wakes who waits in front of it.
    void end_transactional(offset began) {
        {
            const std::scoped_lock guard{open_transactions_mutex_};
            for (offset& one : open_transactions_) {
                if (one == began) {
                    one = open_transactions_.back();
                    open_transactions_.pop_back();
                    break;
                }
            }
        }
        appends_.wake();
    }

    /// How far readers of committed records get: up to the first transaction that is not decided [last stable offset].
    [[nodiscard]] offset last_stable_offset() {
        const std::scoped_lock guard{open_transactions_mutex_};  // before the look: who begins to append behind it is seen, then
        offset stable = log_end_offset();
        for (const offset began : open_transactions_) {
            stable = began < stable ? began : stable;
        }
        return stable;
    }

    [[nodiscard]] std::uint32_t leader_epoch() const noexcept { return leader_epoch_; }

    /// Whether the log has the frame that ends at `end`, was appended in this leader epoch, and has this checksum; of what has been
    /// compacted the epoch is all that can be asked for, and it is enough, since an epoch has each offset once.
    [[nodiscard]] bool has_frame(offset end, std::uint32_t epoch, std::uint64_t checksum) {
        if (const offset start = log_start_offset(); end <= start || end > log_end_offset()) {
            return end <= start;
        }
        log_reader looking = reader();
        frame_view found;
        return looking.find(end - 1, found) && found.header.leader_epoch == epoch &&
               (looking.is_in_compacted() || (found.header.base_offset + found.offsets_taken() == end && found.header.checksum == checksum));
    }

    /// Claims for a user to write in place. `pin` keeps the memory.
    [[nodiscard]] bool take_open(std::uint32_t length, claim& taken, segment_pin& pin, open_claims::id& id, failure& why) {
        if (!take(length, 1, taken, why)) {
            return false;
        }
        pin = taken.home->pin();
        const auto added = claims_.add(taken, pin, platform().monotonic());
        if (!added) {
            abandon(taken, 1);
            why = refusal();
            return false;
        }
        id = *added;
        return true;
    }
    template <class Finish>
    [[nodiscard]] bool settle(open_claims::id id, const Finish& finish) {
        return !appends_.is_forked() && claims_.settle(id, finish);  // a child's claims are its parent's
    }
    [[nodiscard]] std::optional<open_claims::info> oldest_claim() const { return claims_.oldest(); }

    /// Seals the active segment and goes on in a new one.
    [[nodiscard]] failure roll() { return life_.judged(appends_.roll(), name().topic); }

    // ---- how far ----

    /// Offset of the first record that can be read.
    [[nodiscard]] offset log_start_offset() const noexcept { return segments_.start(); }

    /// Offset after the last record that readers can see.
    [[nodiscard]] offset log_end_offset() { return prefix_.advance().next; }

    /// Everything below it survives the loss of power.
    [[nodiscard]] offset durable_offset() const noexcept { return durability_.durable_offset(); }

    /// Waits for what the topic's flush policy promises of the record at `at`.
    [[nodiscard]] failure wait_acknowledged(offset at, std::optional<std::chrono::nanoseconds> deadline = std::nullopt) {
        return options_.flush_messages == 0 ? failure{} : wait_durable(acknowledged_by(at), deadline);
    }

    /// The durable offset at which the record at `at` counts as acknowledged. flush_messages 1: its own sync; 100: at
    /// most 99 acknowledged records are not synced.
    [[nodiscard]] offset acknowledged_by(offset at) const noexcept { return at + 2 - options_.flush_messages; }

    /// Waits until everything below `end` is on the disk.
    /// Errors    claim_open when this thread itself holds a claim in front of it; partition_failed; closed.
    [[nodiscard]] failure wait_durable(offset end, std::optional<std::chrono::nanoseconds> deadline = std::nullopt) {
        if (durable_offset() >= end) {
            return {};
        }
        if (claims_.held_here_before(end)) {
            return {errc::claim_open, name().text() + ": this thread holds a claim in front of offset " + std::to_string(end) +
                                          "; commit it or let it go before you wait"};
        }
        return life_.judged(durability_.wait(end, deadline), name().topic);
    }

    [[nodiscard]] failure sync() { return wait_durable(log_end_offset()); }

    /// Whether this thread holds a claim in front of `end`: then it must not wait for what is behind.
    [[nodiscard]] bool holds_claim_before(offset end) const { return claims_.held_here_before(end); }

    // ---- reading ----

    [[nodiscard]] log_reader reader() noexcept { return log_reader{source_}; }

    /// The leader epoch of the last record in front of `end`: with it a position can be told from one in a history that was
    /// cut. nullopt where there is no record, or no intact one.
    [[nodiscard]] std::optional<std::uint32_t> epoch_before(offset end) {
        return end > log_start_offset() && end <= log_end_offset() ? reader().epoch_at(end - 1) : std::nullopt;
    }

    /// Where what was appended in this leader epoch or an earlier one ends.
    ///
    /// Cost      a look-up for each halving of the log.
    /// Source    Kafka's OffsetsForLeaderEpoch (KIP-101).
    [[nodiscard]] offset end_of_epoch(std::uint32_t epoch) {
        offset low = log_start_offset();
        offset high = log_end_offset();
        while (low < high) {
            const offset middle = low + (high - low) / 2;
            const auto there = reader().epoch_at(middle);
            if (there.value_or(0) <= epoch) {  // what cannot be read is not thought to be newer
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    /// True in a child of the process that opened it: nothing there may wait for a lock, which a thread of the parent may have held.
    [[nodiscard]] bool is_forked() const noexcept { return appends_.is_forked(); }

    [[nodiscard]] bool is_closed() const noexcept { return life_.is_over(); }

    /// Why it is closed: its broker is, or its topic was deleted.
    [[nodiscard]] failure refusal() const { return life_.refusal(name().topic, name().text()); }

    void expect_reader() noexcept { appends_.expect_waiter(); }

    /// Offset of the first record whose timestamp is at or after `time`; nullopt when there is none.
    [[nodiscard]] std::optional<offset> offset_for_time(std::int64_t time, failure& why) {
        std::vector<segment*> all = segments_.all();
        for (std::size_t i = 0; i < all.size(); ++i) {
            segment& home = *all[i];
            const segment_pin pin = source_.pin(home, why);
            if (home.is_replaced.load(std::memory_order_acquire)) {  // compacted meanwhile: from the beginning, with what is there now
                why = {};
                all = segments_.all();
                i = static_cast<std::size_t>(-1);
                continue;
            }
            if (segment* const next = home.next.load(std::memory_order_acquire); next != nullptr && next->base <= log_start_offset()) {
                why = {};  // deleted, now or just before
                continue;
            }
            if (!pin) {
                return std::nullopt;
            }
            bool is_corrupt = false;
            if (const auto found = times_of(home)->find(*pin, home.base, log_start_offset(), time, is_corrupt, why); found || why) {
                return found;
            }
            if (is_corrupt) {
                why = {errc::corrupt_record, name().text() + ": " + pin->path() + " is damaged; look-ups by time cannot pass it"};
                return std::nullopt;
            }
        }
        return std::nullopt;
    }

    /// What has been published, in the segments that are there.
    ///
    /// Cost      the first call reads the header of each segment that was sealed before the log was opened.
    [[nodiscard]] std::uint64_t size_bytes(failure& why) {
        if (appends_.is_forked()) {
            why = {errc::forked, name().text() + ": its broker belongs to the parent of this process"};
            return 0;
        }
        const std::scoped_lock guard{upkeep_mutex_};
        const std::uint64_t found = is_closed() ? 0 : static_cast<std::uint64_t>(retention_.bytes_of(segments_.all(), finished_, why));
        why = life_.judged(std::move(why), name().topic);
        return found;
    }

    /// The oldest segment that could go: when it was sealed, and its bytes. nullopt: there is none that is sealed and on the disk.
    struct oldest_segment {
        std::int64_t sealed_at;
        std::int64_t bytes;
    };
    [[nodiscard]] std::optional<oldest_segment> oldest(failure& why) {
        const std::scoped_lock guard{upkeep_mutex_};
        if (is_closed() || finished_ == 0 || segments_.first()->base >= producers_.needed_from(durable_offset())) {
            return std::nullopt;
        }
        segment& first = *segments_.first();
        why = life_.judged(retention_.look_up(first), name().topic);
        return why ? std::nullopt
                   : std::optional{oldest_segment{first.sealed_at.load(std::memory_order_relaxed), std::int64_t{first.used.load(std::memory_order_relaxed)}}};
    }

    /// Lets it go, whatever the policy says.
    [[nodiscard]] failure drop_oldest() {
        const std::scoped_lock guard{upkeep_mutex_};
        if (is_closed() || finished_ == 0) {
            return {};
        }
        failure why = move_start(segments_.at(1)->base);
        return life_.judged(why ? std::move(why) : drop_deleted(), name().topic);
    }

    /// What its files take of the disk: also what is taken ahead, a spare, and what is deleted and has not gone yet.
    ///
    /// Cost      a system call a file.
    [[nodiscard]] std::uint64_t disk_bytes(failure& why) {
        std::uint64_t all = 0;
        std::vector<os::directory_entry> entries;
        if (const auto code = platform().list(files_.path(), entries)) {
            why = life_.judged({code, name().text() + ": cannot list " + files_.path()}, name().topic);
            return 0;
        }
        for (const auto& entry : entries) {
            std::uint64_t bytes = 0;
            const std::string path = files_.path() + '/' + entry.name;
            if (const auto code = platform().disk_bytes(path, bytes); code && code != std::errc::no_such_file_or_directory) {
                why = life_.judged({code, name().text() + ": cannot look at " + path}, name().topic);
            }
            all += bytes;
        }
        return all;
    }

    // ---- deleting ----

    /// Lets go of the records in front of `before`, which are synced first. Whole segments go at once, the rest of a segment
    /// with it. Readers go on with what they hold.
    ///
    /// Errors    offset_out_of_range (behind the log end offset), closed, and what the disk said. Where the start could not be
    ///           written down for sure the records are there until the log is closed, and may be gone when it is opened again; where a
    ///           file could not be removed the next opening tries again.
    /// Source    Kafka's DeleteRecords (KIP-107).
    [[nodiscard]] failure delete_records(offset before) {
        if (appends_.is_forked()) {
            return {errc::forked, name().text() + ": its broker belongs to the parent of this process"};
        }
        if (before < 0 || before > log_end_offset()) {
            return {errc::offset_out_of_range, name().text() + ": records in front of offset " + std::to_string(before) + " cannot be deleted; it ends at " +
                                                   std::to_string(log_end_offset())};
        }
        if (failure why = wait_durable(before)) {
            return why;  // a log must not end before it begins
        }
        const std::scoped_lock guard{upkeep_mutex_};
        if (is_closed()) {
            return refusal();
        }
        failure why = move_start(before);
        return life_.judged(why ? std::move(why) : drop_deleted(), name().topic);
    }

    // ---- upkeep: one thread at a time ----

    struct upkeep_result {
        bool is_busy = false;  ///< appends are coming in: look again soon
        bool has_more = false;  ///< of what is due: look again at once
        failure why;           ///< what could not be done; nothing promised is lost by it
    };

    /// What whoever looks after the log remembers from one look to the next: kept here, used by them alone.
    struct upkeep_notes {
        offset end = 0;    ///< where the log ended
        std::string told;  ///< the error that has been reported, and that it still has
    };
    [[nodiscard]] upkeep_notes& notes() noexcept { return notes_; }

    /// The shortest time after which something becomes due that nobody tells of; nullopt: there is none. For upkeep.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> shortest_age() const noexcept {
        const auto& age = options_.retention.age;
        const auto& awaited = compaction_.awaited();
        return !awaited || (age && *age < *awaited) ? age : awaited;
    }

    /// From here on what stands at or behind `limit` is not compacted, whatever else allows it: in a log that has to be told, or has
    /// parts of transactions. Until then nothing in it is.
    void limit_compaction(offset limit) noexcept { compaction_limit_.store(limit, std::memory_order_release); }
    [[nodiscard]] offset compaction_limit() const noexcept {
        return options_.awaits_compaction_limit || has_transactions() ? compaction_limit_.load(std::memory_order_acquire) : largest_offset;
    }

    /// Offset after the last one that was claimed; records may not have been published yet in front of it.
    [[nodiscard]] offset claimed_end_offset() const {
        const segment& active = *segments_.last();
        return active.base + static_cast<offset>(tail_word{active.tail.load(std::memory_order_acquire)}.records());
    }

    /// Where the active segment begins: what lies in front of it is sealed.
    [[nodiscard]] offset active_base() const { return segments_.last()->base; }

    /// Works ahead of the writers (disk space, populated pages, the next segment) and behind them (names, syncs of what
    /// was sealed, footers, the checkpoint). `until`: what was appended there or behind it need not be compacted in this pass.
    upkeep_result upkeep(std::chrono::nanoseconds now, offset until = largest_offset) {
        upkeep_result result;
        if (appends_.is_forked()) {
            return result;  // without the lock, which some other thread of the parent may have held
        }
        const std::scoped_lock guard{upkeep_mutex_};
        if (is_closed()) {
            return result;
        }
        const std::uint64_t rate = measure_rate(now);
        result.is_busy = rate > 0;
        result.why = appends_.name_taken_spare();
        failure ahead;
        if (!result.why && rate >= mib) {  // below that the writer's own steps, from 64 KiB up, cost it nothing
            ahead = work_ahead(rate);  // without room for it what follows is needed all the more
        }
        if (!result.why && durability_.sync_sealed()) {
            result.is_busy = true;
        }
        if (!result.why) {
            result.why = finish_synced();
        }
        if (!result.why) {
            producers_.look_after(now, options_.producer_id_expiration, segments_, appends_, durable_offset());
        }
        if (!result.why && is_flush_due(now)) {
            result.why = sync();
        }
        if (!result.why) {
            result.why = retain(now, result.has_more);
        }
        if (result.why) {
            compaction_.stop();  // another log's may be of use
        } else if (options_.compaction.is_on) {
            result.why = compact(now, until, result.has_more);
        }
        result.has_more = result.has_more && !result.why;
        if (!result.why) {
            result.why = durability_.sync_failure();
        }
        if (!result.why) {
            result.why = std::move(ahead);
        }
        result.why = life_.judged(std::move(result.why), name().topic);
        return result;
    }

    /// Stops appends, lets those that are under way finish, and lets go of the files. Waits for no user: a slot that is
    /// still open becomes a filler, and is cut off from the file.
    void close() noexcept { end(false); }

    // ---- the topic's deletion ----

    /// The files are about to be renamed away, or, with false, have not been after all. What cannot be done for that reason says
    /// that the topic was deleted.
    void expect_deletion(bool is_expected) noexcept { life_.expect_deletion(is_expected); }

    /// The same as `close` once the topic is deleted: nothing is written any more, and every call says so from then on.
    void end_deleted() noexcept { end(true); }

private:
    void end(bool is_deleted) noexcept {
        if (appends_.is_forked()) {
            compaction_.forget();
        }
        if (!life_.end(is_deleted) || appends_.is_forked()) {
            return;  // a child lets go of nothing: the files are its parent's
        }
        if (segments_.count() == 0) {
            return;  // it did not open
        }
        if (!is_deleted) {
            write_producers();
        }
        appends_.stop(append_state::closed, is_deleted ? refusal() : failure{errc::closed, name().text() + ": closed"});
        const std::scoped_lock guard{upkeep_mutex_};
        claims_.close([this](const claim& taken) { abandon(taken, 1); });
        drain();
        if (options_.promises_durability() && !is_deleted) {
            static_cast<void>(durability_.wait(prefix_.advance().next));  // who waits is told; nobody else was promised
        }
        claims_.detach();
        compaction_.stop();
        appends_.discard_spare();
        if (is_deleted) {
            source_.close();
            for (segment* const gone : segments_.all()) {
                let_go(*gone);
            }
            return;
        }
        static_cast<void>(appends_.name_taken_spare());  // else recovery does it
        give_space_back();
        static_cast<void>(save_checkpoint());  // else recovery reads more
        source_.close();
        for (std::size_t i = 0; i < segments_.count(); ++i) {
            segments_.at(i)->release();
        }
    }

    log(segment_directory files, log_options options, event_count& events, event_count& upkeep, const transaction_table* transactions)
        : files_{std::move(files)},
          options_{options},
          appends_{files_, segments_, events, upkeep, options.segment_bytes, options.promises_durability()},
          durability_{files_, appends_, prefix_, events},
          source_{files_, segments_, life_, transactions} {}

    [[nodiscard]] failure recover() {
        files_.count_in(options_.budget);
        recovered_log found;
        if (failure why = recovery{files_, options_.segment_bytes}.run(found)) {
            return why;
        }
        report_ = std::move(found.report);
        checkpoint_ = found.checkpoint;
        leader_epoch_ = checkpoint_.leader_epoch;
        const offset first = found.segments.front()->base;
        const offset start = checkpoint_.log_start_offset > first ? checkpoint_.log_start_offset : first;
        segment* const unsynced = found.segments[found.first_unsynced].get();
        segments_.adopt(std::move(found.segments), start);
        prefix_.start({segments_.last(), found.append_at, found.end});
        durability_.start(checkpoint_.durable_offset, unsynced);
        finished_ = found.first_unsynced;
        last_end_ = found.append_at;
        last_durable_ = checkpoint_.durable_offset;
        last_segment_ = segments_.last();
        if ((checkpoint_.flags & format::checkpoint_flag::producers) != 0) {
            if (failure why = producers_.recall(reader(), segments_)) {
                return why;
            }
            checkpoint_.flags &= producers_.table().empty() ? ~format::checkpoint_flag::producers : ~0u;
        }
        flags_.store(checkpoint_.flags, std::memory_order_release);
        appends_.start();
        retention_.start();
        compaction_.start(checkpoint_.compacted_offset);
        if (options_.heeds_budget) {
            files_.heed_budget();  // not before: what is there can always be opened
        }
        not_removed_ = drop_deleted();  // was deleted by a process that died before it had removed the files
        return {};
    }

    /// Has the checkpoint say, before the first of its kind is appended, that there may be such frames.
    [[nodiscard]] failure flag(std::uint32_t which) {
        if ((flags_.load(std::memory_order_acquire) & which) != 0) {
            return {};
        }
        const std::scoped_lock guard{upkeep_mutex_};
        if (is_closed()) {
            return refusal();  // and its files may be another's
        }
        failure why = rewrite_checkpoint([&](format::checkpoint& changed) { changed.flags |= which; });
        flags_.store(checkpoint_.flags, std::memory_order_release);
        return life_.judged(std::move(why), name().topic);
    }

    /// Writes the checkpoint with a change to it. Where that fails it counts as it was.
    template <class Change>
    [[nodiscard]] failure rewrite_checkpoint(const Change& change) {
        format::checkpoint changed = checkpoint_;
        changed.sequence += 1;
        change(changed);
        failure why = files_.write_checkpoint(changed);
        if (!why) {
            checkpoint_ = changed;
        }
        return why;
    }

    /// In front of a close.
    void write_producers() noexcept {
        try {
            const std::scoped_lock guard{upkeep_mutex_};
            producers_.write(segments_, appends_, durable_offset());
        } catch (const std::exception&) {
            // No memory for it: the next opening reads more.
        }
    }

    [[nodiscard]] std::shared_ptr<time_index> times_of(segment& home) {
        const std::scoped_lock guard{times_mutex_};
        if (!home.times) {
            home.times = std::make_shared<time_index>();
        }
        return home.times;
    }

    /// Bytes per second that were claimed since the last look.
    [[nodiscard]] std::uint64_t measure_rate(std::chrono::nanoseconds now) noexcept {
        segment* const home = segments_.last();
        const position end = tail_word{home->tail.load(std::memory_order_relaxed)}.end();
        const std::uint64_t bytes = home == last_segment_ ? end - last_end_ : std::uint64_t{end} + options_.segment_bytes - last_end_;
        const std::int64_t elapsed = (now - last_look_).count();
        last_segment_ = home;
        last_end_ = end;
        last_look_ = now;
        return elapsed <= 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(elapsed));
    }

    [[nodiscard]] failure work_ahead(std::uint64_t rate) {
        const tail_word tail{last_segment_->tail.load(std::memory_order_relaxed)};
        const std::uint64_t ahead = rate / 5 < mib ? rate / 5 : rate / 5 < 64 * mib ? rate / 5 : 64 * mib;
        const std::uint64_t target = tail.end() + ahead;
        const std::uint64_t left = options_.segment_bytes - tail.end();
        if (failure why = appends_.prepare(static_cast<position>(target < options_.segment_bytes ? target : options_.segment_bytes), mib)) {
            return why;
        }
        const bool fills_soon = left < 2 * rate && options_.segment_bytes > first_window;
        return fills_soon && appends_.wants_spare() ? appends_.prepare_spare() : failure{};
    }

    /// What is sealed and synced gets its footer, gives unused space back, and is let go of.
    [[nodiscard]] failure finish_synced() {
        bool has_finished = false;
        for (; finished_ + 1 < segments_.count() && segments_.at(finished_)->is_synced.load(std::memory_order_acquire); ++finished_) {
            segment& home = *segments_.at(finished_);
            if (const segment_pin pin = home.pin()) {
                const tail_word tail{home.tail.load(std::memory_order_relaxed)};
                const offset end = segments_.at(finished_ + 1)->base;
                const std::int64_t now = retention_.stamp(finished_ > 0 ? segments_.at(finished_ - 1) : nullptr);
                if (!home.ends_in_damage.load(std::memory_order_relaxed)) {
                    store(pin->data() + format::footer_at, format::make_footer(pin->seed(), end, tail.end(), now));
                    punch_behind(*pin, tail.end() + format::frame_header_size);  // behind the seal
                }
                pin->written_from.store(pin->capacity(), std::memory_order_release);
                retention_.note_birth(home);
                home.sealed_at.store(now, std::memory_order_relaxed);
                home.used.store(tail.end() + format::frame_header_size, std::memory_order_relaxed);
            }
            home.release();
            has_finished = true;
        }
        return has_finished ? save_checkpoint() : failure{};
    }

    /// Lets go of what the policy does not keep, and of what was deleted. A part of it is enough: the next look goes on.
    [[nodiscard]] failure retain(std::chrono::nanoseconds now, bool& has_more) {
        failure why;
        const offset start = retention_.due(options_.retention, finished_, most_dropped, now, why);
        if (!why) {
            why = move_start(start);
        }
        if (!why) {
            const std::size_t before = finished_;
            why = drop_deleted(options_.reuses_segments);
            has_more |= before - finished_ == most_dropped;
        }
        if (!why) {
            why = std::exchange(not_removed_, {});
        }
        if (!why && is_active_expired()) {
            why = appends_.roll(true);
            has_more |= !why;
        }
        return why;
    }
    static constexpr std::size_t most_dropped = 64;  // in one look: removing a file takes the disk a while

    /// On the disk before a file goes: else a log whose files were removed would pass for one that has lost them.
    [[nodiscard]] failure move_start(offset start) {
        if (start <= log_start_offset()) {
            return {};
        }
        if (failure why = appends_.name_taken_spare()) {
            return why;  // else the files that have names might all go
        }
        failure why = rewrite_checkpoint([&](format::checkpoint& moved) {
            moved.log_start_offset = start;
            moved.durable_offset = durable_offset();  // not below the start
        });
        if (!why) {
            segments_.begin_at(start);
        }
        return why;
    }

    /// Removes the files of segments that lie below the start, up to the one that tells of the partition's producers: until the
    /// next one tells of them, repetitions of what was deleted are known by it.
    /// `may_reuse`: one of them may become the next spare.
    [[nodiscard]] failure drop_deleted(bool may_reuse = false) {
        failure first = compaction_.settle();
        if (first) {
            return first;  // a file that stands for others must not come back when they have gone
        }
        const std::vector<segment*> all = segments_.drop(finished_ < most_dropped ? finished_ : most_dropped, producers_.needed_from(durable_offset()));
        finished_ -= all.size();
        for (segment* const gone : all) {
            const bool is_large = may_reuse && gone->used.load(std::memory_order_relaxed) > options_.segment_bytes / 2;
            let_go(*gone);
            if (is_large && appends_.wants_spare() && source_.take_file(*gone)) {
                may_reuse = false;
                if (segment_pin spare = files_.recycle(options_.segment_bytes, first)) {
                    appends_.adopt_spare(std::move(spare));
                }
                continue;
            }
            if (failure why = files_.remove(gone->base); why && !first) {
                first = std::move(why);  // the next opening tries again
            }
        }
        if (!all.empty()) {
            appends_.wake_upkeep();  // there may be room now for who was refused
        }
        return first;
    }

    /// Its files are gone, or are going.
    void let_go(segment& gone) {
        if (const segment_pin pin = gone.pin()) {
            pin->is_gone.store(true, std::memory_order_release);
        }
        gone.release();
        const std::scoped_lock guard{times_mutex_};
        gone.times.reset();
    }

    /// Begins or goes on to compact the log, for a slice.
    [[nodiscard]] failure compact(std::chrono::nanoseconds now, offset until, bool& has_more) {
        failure why;
        if (!compaction_.is_running()) {
            const offset durable = durable_offset();  // before the limit: what was durable then, and is a transaction's, has set it
            const offset decided = compaction_limit();
            const compaction::situation at{finished_, decided < durable ? decided : durable, producers_.needed_from(durable), joined_within(), until, now};
            switch (compaction_.consider(options_.compaction, options_.segment_bytes, *options_.turn, at, why)) {
                case compaction::verdict::nothing: return why;
                case compaction::verdict::roll: why = appends_.roll(true); has_more |= !why; return why;
                case compaction::verdict::begun: break;
            }
        }
        why = compaction_.step(
            compaction_slice, now, [this](const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept { replace(old, std::move(made)); },
            [this](offset compacted) { return rewrite_checkpoint([&](format::checkpoint& changed) { changed.compacted_offset = compacted; }); });
        has_more |= !why;
        return why;
    }
    static constexpr std::uint64_t compaction_slice = mib;

    [[nodiscard]] std::optional<std::chrono::nanoseconds> joined_within() const noexcept {
        return options_.retention.age ? std::optional{*options_.retention.age / 8} : std::nullopt;
    }

    /// Readers go on in what is left of these segments.
    void replace(const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept {
        segments_.replace(old, std::move(made));
        for (segment* const gone : old) {
            let_go(*gone);
        }
        finished_ -= old.size() - 1;
    }

    /// Nothing in the active segment has been kept for less than the policy says, or all of it has been deleted. Then it is
    /// sealed, so that it can go.
    [[nodiscard]] bool is_active_expired() {
        segment& active = *segments_.last();
        if (tail_word{active.tail.load(std::memory_order_relaxed)}.records() == 0) {
            return false;
        }
        const bool is_deleted = log_start_offset() > active.base && log_start_offset() >= log_end_offset();
        return is_deleted || (options_.retention.age && retention_.is_old(active, *options_.retention.age));
    }

    /// Who waits for a sync makes it; this is for records that nobody waits for. While the durable offset moves from one
    /// look to the next, somebody does.
    [[nodiscard]] bool is_flush_due(std::chrono::nanoseconds now) {
        if (!options_.promises_durability()) {
            return false;
        }
        const offset durable = durable_offset();
        const offset unsynced = log_end_offset() - durable;
        const bool has_moved = std::exchange(last_durable_, durable) != durable;
        if (unsynced <= 0 || has_moved) {
            unsynced_since_ = now;
        }
        return unsynced > 0 && ((options_.flush_messages > 0 && unsynced >= options_.flush_messages && !has_moved) ||
                                (options_.flush_interval.count() > 0 && now - unsynced_since_ >= options_.flush_interval));
    }

    [[nodiscard]] failure save_checkpoint() {
        const log_place place = durability_.synced_place();
        if (place.home == nullptr || (durable_offset() == checkpoint_.durable_offset && place.home->base == static_cast<offset>(checkpoint_.segment_base) &&
                                      place.next == static_cast<offset>(checkpoint_.segment_offset))) {
            return {};
        }
        return rewrite_checkpoint([&](format::checkpoint& saved) {
            saved.durable_offset = durable_offset();
            saved.log_start_offset = log_start_offset();
            saved.high_watermark = durable_offset();  // one replica: it has what it has synced
            saved.segment_base = place.home->base;
            saved.segment_position = place.at;
            saved.segment_offset = place.next;
        });
    }

    /// Waits for the claims of appends that are under way.
    void drain() {
        for (log_place before = prefix_.advance();;) {
            const segment_pin pin = before.home->pin();
            if (!pin || (before.home == segments_.last() && before.at >= appends_.claimed().end())) {
                return;
            }
            const bool was_published = pin->word(before.at).is_published();
            const log_place now = prefix_.advance();
            const bool has_moved = now.home != before.home || now.at != before.at;
            if (was_published && !has_moved) {
                return;  // sealed, and there was no room for the next segment
            }
            if (!has_moved) {
                platform().yield();
            }
            before = now;
        }
    }

    void give_space_back() {
        segment& last = *segments_.last();
        if (const segment_pin pin = last.pin()) {
            punch_behind(*pin, tail_word{last.tail.load(std::memory_order_relaxed)}.end() + format::frame_header_size);
        }
    }

    /// The disk space behind `end`: the file keeps its size, so that nothing is pulled from under a mapping.
    static void punch_behind(mapped_segment& memory, position end) {
        const position from = align_up(end, page_size);
        if (from < memory.readable()) {
            if (from < memory.search_end()) {
                memory.set_search_end(from);
            }
            static_cast<void>(memory.log_file().punch(from, memory.readable() - from));  // it stays taken; nothing else
        }
        if (os::file* const index = memory.index_file()) {
            const std::uint64_t used = align_up(std::uint64_t{index_slots(end)} * sizeof(index_slot), std::uint64_t{page_size});
            const std::uint64_t size = segment_directory::index_file_bytes(memory.capacity());
            if (used < size) {
                static_cast<void>(index->punch(used, size - used));
            }
        }
    }

    log_life life_;
    segment_directory files_;
    log_options options_;
    recovery_report report_;
    segment_chain segments_;
    appender appends_;
    published_prefix prefix_;
    durability durability_;
    segment_source source_;
    open_claims claims_;
    std::uint32_t leader_epoch_ = 0;

    std::mutex order_mutex_;  // guards last_append_time_, and the order of appends that need one
    std::int64_t last_append_time_ = 0;
    std::mutex times_mutex_;  // guards the making of each segment's time index

    producer_memory producers_{files_.platform()};

    std::atomic<std::uint32_t> flags_{0};      // the checkpoint's
    std::atomic<offset> compaction_limit_{0};
    std::mutex open_transactions_mutex_;       // guards them
    std::vector<offset> open_transactions_;    // where the log ended when each began to append

    std::mutex upkeep_mutex_;  // guards what follows: upkeep is one thread at a time, and closing waits for it
    format::checkpoint checkpoint_;
    retention retention_{files_, segments_};
    compaction compaction_{files_, segments_, source_, retention_};
    std::size_t finished_ = 0;  // segments before it have their footer
    failure not_removed_;       // what the opening could not remove, until upkeep has told it
    segment* last_segment_ = nullptr;
    position last_end_ = 0;
    std::chrono::nanoseconds last_look_{};
    std::chrono::nanoseconds unsynced_since_{};
    offset last_durable_ = 0;
    upkeep_notes notes_;
};

}  // namespace brook::inline BROOK_ABI::storage
