/// \file brook/storage/log.hpp
/// One partition: an ordered, immutable, append-only sequence of records on memory-mapped segment files.
/// Floor 2, storage. Start here: this header puts the others of the room together.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/frame_repair.hpp>
#include <brook/storage/log_cut.hpp>
#include <brook/storage/log_options.hpp>
#include <brook/storage/log_parts.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/log_upkeep.hpp>
#include <brook/storage/open_claims.hpp>
#include <brook/storage/producer_table.hpp>
#include <brook/storage/recovery_report.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/time_index.hpp>
#include <brook/storage/transaction_table.hpp>
#include <brook/storage/wire_append.hpp>

namespace brook::inline BROOK_ABI::storage {

/// A partition's log. Its parts: the appender claims and publishes, the prefix tells how far it has come, durability
/// brings it to the disk, readers read it in place, and upkeep works ahead of the writers and behind them. Of a replicated one
/// `wire_append` takes what its replica appends, and `log_cut` lets go of what a majority does not have. What all of them need is in `log_parts`,
/// with the locks in their order.
///
/// Threads   shared.
/// Lifetime  after `close` every call says closed, after `end_deleted` that the topic was deleted; memory that readers pinned stays.
class log {
public:
    /// Opens the partition in `files`, or begins it, after whatever happened to it.
    /// `transactions`: how those ended that it has parts of.
    /// Errors    `why`: what recovery could not do. Damage that leaves the rest readable is in the report instead.
    [[nodiscard]] static std::unique_ptr<log> open(segment_directory files, log_options options, event_count& events,
                                                   event_count& upkeep, failure& why, const transaction_table* transactions = nullptr);

    log(const log&) = delete;
    log& operator=(const log&) = delete;
    ~log() { close(); }

    [[nodiscard]] const partition_name& name() const noexcept { return parts_.files.name(); }
    /// Its directory.
    [[nodiscard]] const std::string& path() const noexcept { return parts_.files.path(); }
    [[nodiscard]] const log_options& options() const noexcept { return parts_.options; }
    [[nodiscard]] os::platform& platform() const noexcept { return parts_.files.platform(); }
    [[nodiscard]] const recovery_report& report() const noexcept { return report_; }

    // ---- appending ----

    /// The hot path: take a claim, write the body behind the frame header, publish.
    [[nodiscard]] bool try_take(std::uint32_t length, std::uint32_t offsets, claim& taken) noexcept {
        return parts_.appends.try_take(length, offsets, taken);
    }
    [[nodiscard]] bool take(std::uint32_t length, std::uint32_t offsets, claim& taken, failure& why) {
        if (!parts_.appends.take(length, offsets, taken, why)) [[unlikely]] {
            why = parts_.judged(std::move(why));
            return false;
        }
        return true;
    }
    [[gnu::always_inline]] std::uint64_t publish(const claim& taken, format::frame_word word, std::int64_t base_timestamp, std::uint32_t count) noexcept {
        return parts_.appends.publish(taken, word, base_timestamp, leader_epoch(), count);
    }
    void publish(const claim& taken, const format::frame_header& header) noexcept {
        publish(taken, format::word_of(header), header.base_timestamp, header.count);
    }
    void abandon(const claim& taken, std::uint32_t offsets) noexcept { parts_.appends.abandon(taken, offsets, leader_epoch()); }
    [[nodiscard]] std::uint32_t largest_frame() const noexcept { return parts_.appends.largest_frame(); }

    /// Held around claim and publication where records must be in the order of something else: append time.
    class ordered_section {
    public:
        /// Time of the record to be appended: never before the last one's.
        ordered_section(log& of, std::int64_t now) : guard_{of.parts_.order_mutex} {
            of.parts_.last_append_time = now > of.parts_.last_append_time ? now : of.parts_.last_append_time;
            time = of.parts_.last_append_time;
        }
        std::int64_t time;

    private:
        std::scoped_lock<std::mutex> guard_;
    };

    /// What is remembered of a producer that numbers its records, or will be from now on.
    ///
    /// Errors    nullptr, and `why`: closed, forked, or what the disk said.
    /// Cost      the first one of a partition writes the checkpoint: a partition without any is not searched for them.
    [[nodiscard]] std::shared_ptr<producer_state> producer(std::int64_t id, failure& why);

    // ---- transactions ----

    /// Readers of committed records may have to wait from where the log ends now: a transaction appends behind. It ends by
    /// the offset that `began` gets.
    ///
    /// Errors    closed; what the disk said.
    /// Cost      the first one of a partition writes the checkpoint, which says so from then on.
    [[nodiscard]] failure begin_transactional(offset& began);

    /// Whether it may have parts of transactions.
    [[nodiscard]] bool has_transactions() const noexcept { return parts_.has_transactions(); }

    /// It has been decided, and told: wakes who waits in front of it.
    void end_transactional(offset began);

    /// How far readers of committed records get: up to the first transaction that is not decided [last stable offset].
    [[nodiscard]] offset last_stable_offset();

    /// In which records are appended. Of a replicated log, in which its last record was.
    [[nodiscard]] std::uint32_t leader_epoch() const noexcept { return parts_.leader_epoch(); }

    /// Whether the log has the frame that ends at `end`, was appended in this leader epoch, and has this checksum; of what has been
    /// compacted the epoch is all that can be asked for, and it is enough, since an epoch has each offset once.
    [[nodiscard]] bool has_frame(offset end, std::uint32_t epoch, std::uint64_t checksum);

    /// Claims for a user to write in place. `pin` keeps the memory.
    [[nodiscard]] bool take_open(std::uint32_t length, claim& taken, segment_pin& pin, open_claims::id& id, failure& why);
    template <class Finish>
    [[nodiscard]] bool settle(open_claims::id id, const Finish& finish) {
        return !parts_.appends.is_forked() && parts_.claims.settle(id, finish);  // a child's claims are its parent's
    }
    [[nodiscard]] std::optional<open_claims::info> oldest_claim() const { return parts_.claims.oldest(); }

    /// Seals the active segment and goes on in a new one.
    [[nodiscard]] failure roll();

    // ---- how far ----

    /// Offset of the first record that can be read.
    [[nodiscard]] offset log_start_offset() const noexcept { return parts_.log_start_offset(); }

    /// Offset after the last record that readers can see.
    [[nodiscard]] offset log_end_offset() { return parts_.log_end_offset(); }

    /// How far readers get: of a replicated log up to its high watermark.
    [[nodiscard]] offset readable_end() { return parts_.readable_end(); }

    /// The first offset that is not on a majority, as far as this log has been told; of a log that is not replicated, its end.
    [[nodiscard]] offset high_watermark() { return readable_end(); }

    /// Everything below survives the loss of power.
    [[nodiscard]] offset durable_offset() const noexcept { return parts_.durable_offset(); }

    /// Waits for what the topic's flush policy promises of the record at `at`.
    [[nodiscard]] failure wait_acknowledged(offset at, std::optional<std::chrono::nanoseconds> deadline = std::nullopt) {
        return parts_.options.flush_messages == 0 ? failure{} : wait_durable(acknowledged_by(at), deadline);
    }

    /// The durable offset at which the record at `at` counts as acknowledged. flush_messages 1: its own sync; 100: at
    /// most 99 acknowledged records are not synced.
    [[nodiscard]] offset acknowledged_by(offset at) const noexcept { return at + 2 - parts_.options.flush_messages; }

    /// Waits until everything below `end` is on the disk.
    /// Errors    claim_open when this thread itself holds a claim in front of it; partition_failed; closed; illegal_state when it is
    ///           cut meanwhile, and `end` was not on a majority; or, of a replicated log, when it ends in front of it.
    [[nodiscard]] failure wait_durable(offset end, std::optional<std::chrono::nanoseconds> deadline = std::nullopt) {
        return parts_.wait_durable(end, parts_.durable.cuts(), deadline);
    }

    [[nodiscard]] failure sync() { return parts_.sync(); }
    /// Whether this thread holds a claim in front of `end`: then it must not wait for what is behind.
    [[nodiscard]] bool holds_claim_before(offset end) const { return parts_.claims.held_here_before(end); }

    // ---- reading ----

    /// Of a replicated log: up to its high watermark.
    [[nodiscard]] log_reader reader() noexcept { return log_reader{parts_.source}; }

    /// The leader epoch of the last record in front of `end`: with it a position can be told from one in a history that was
    /// cut. nullopt where there is no record, or no intact one.
    [[nodiscard]] std::optional<std::uint32_t> epoch_before(offset end);

    /// Where what was appended in this leader epoch or an earlier one ends. Never behind that: where a damaged frame hides it, in front of
    /// what is damaged.
    ///
    /// Cost      a look-up for each halving of the log; none of a replicated one.
    /// Source    Kafka's OffsetsForLeaderEpoch (KIP-101).
    [[nodiscard]] offset end_of_epoch(std::uint32_t epoch);

    /// True in a child of the process that opened it: nothing there may wait for a lock, which a thread of the parent may have held.
    [[nodiscard]] bool is_forked() const noexcept { return parts_.appends.is_forked(); }

    [[nodiscard]] bool is_closed() const noexcept { return parts_.is_closed(); }

    /// Why it is closed: its broker is, or its topic was deleted.
    [[nodiscard]] failure refusal() const { return parts_.refusal(); }

    void expect_reader() noexcept { parts_.appends.expect_waiter(); }

    /// Offset of the first record whose timestamp is at or after `time`; nullopt when there is none.
    [[nodiscard]] std::optional<offset> offset_for_time(std::int64_t time, failure& why);

    /// What has been published, in the segments that are there.
    ///
    /// Cost      the first call reads the header of each segment that was sealed before the log was opened.
    [[nodiscard]] std::uint64_t size_bytes(failure& why) { return upkeep_.size_bytes(why); }

    /// The oldest segment that could go: when it was sealed, and its bytes. nullopt: there is none that is sealed and on the disk.
    using oldest_segment = log_upkeep::oldest_segment;
    [[nodiscard]] std::optional<oldest_segment> oldest(failure& why) { return upkeep_.oldest(why); }

    /// Lets it go, whatever the policy says.
    [[nodiscard]] failure drop_oldest() { return upkeep_.drop_oldest(); }

    /// What its files take of the disk: also what is taken ahead, a spare, and what is deleted and has not gone yet.
    ///
    /// Cost      a system call a file.
    [[nodiscard]] std::uint64_t disk_bytes(failure& why);

    // ---- deleting ----

    /// Lets go of the records in front of `before`, which are synced first. Whole segments go at once, the rest of a segment
    /// with it. Readers go on with what they hold.
    ///
    /// Errors    offset_out_of_range (behind the log end offset, or the high watermark of a replicated log), closed, and what the disk said. Where the start could not be
    ///           written down for sure the records are there until the log is closed, and may be gone when it is opened again; where a
    ///           file could not be removed the next opening tries again.
    /// Source    Kafka's DeleteRecords (KIP-107).
    [[nodiscard]] failure delete_records(offset before);

    // ---- a replicated log: its replica appends, and says how far it is on a majority. Nobody else appends, or takes claims ----

    /// The end of what is on a majority: readers get there. It only grows, and stays within the log.
    void set_high_watermark(offset to);

    /// A leader's append. `frame` is in wire form; its base offset, leader epoch and, with `now`, its time are filled in, and it is in wire
    /// form again, so that it may be sent on. With `now` the log stamps its records: it is never before the last one's.
    ///
    /// Requires  that the caller holds no producer_state's lock: what the frame says of its producer is noted here; and that records
    ///           which the log stamps have no times of their own [time deltas].
    /// Errors    corrupt_record: that is no such frame. illegal_state: an epoch below the last one's, claims that are open. record_too_large,
    ///           closed, partition_failed, what the disk said. Nothing has been appended then.
    /// Cost      hashes the frame and walks its records, then copies it.
    [[nodiscard]] failure append_new(mutable_bytes frame, std::uint32_t epoch, const std::optional<std::int64_t>& now, offset& first);

    /// A follower's: frames in wire form, one behind the other, each of which begins where the log ends. They keep their offsets, epochs and
    /// times. One that was compacted where it comes from, and begins in front of the end, is taken from there on. `end`: where the log ends then, also where it stops early.
    ///
    /// Requires  as append_new.
    /// Errors    corrupt_record: a frame is not what was sent, or not the next one; and as append_new.
    [[nodiscard]] failure append_copy(bytes frames, offset& end) { return appending_.append_copy(frames, end); }

    /// Puts frames behind `into`, in wire form: from the one that holds `from` on, those that end at or in front of `until`, up to
    /// `most_bytes`, but one at least where there is one. Also what lies behind the high watermark.
    ///
    /// Errors    offset_out_of_range, corrupt_record (with the place), what the disk said: where nothing could be put there.
    [[nodiscard]] failure read_frames(offset from, offset until, std::size_t most_bytes, std::vector<std::byte>& into);

    /// Looks at everything from `from` on that is on a majority, whether or not it has been read before: what is damaged is put behind
    /// `found`. `reached`: how far it has come, when `most_bytes` have been looked at; the high watermark at the end.
    ///
    /// Errors    what the disk said, closed.
    [[nodiscard]] failure find_damage(offset from, std::uint64_t most_bytes, std::vector<offset_range>& found, offset& reached);

    /// Whether a reader has met damage since the last look.
    [[nodiscard]] bool take_damage() noexcept { return parts_.source.take_damage(); }

    /// Puts frames, in wire form, in the place of damaged ones: all of a range that find_damage has found. On the disk when this returns.
    ///
    /// Errors    corrupt_record: they are not what was sent, or not all of one range. illegal_state: nothing is damaged there, or nothing
    ///           intact follows in the segment. record_too_large: what was there took other bytes, and they do not fit.
    ///           Where they cannot be synced the log takes no more appends.
    [[nodiscard]] failure repair(bytes frames);

    /// In which leader epochs the records of a replicated log were appended, and where each begins. It ends with last_epoch(); empty where
    /// there are no records.
    ///
    /// Errors    `why`, beside what is known: corrupt_record, where an epoch begins cannot be told, since what stands there is damaged. The
    ///           log must not lead as long as it is so.
    [[nodiscard]] format::epoch_history epochs(failure& why);

    /// Of its last record; of a log without any, of what was in front.
    [[nodiscard]] std::uint32_t last_epoch() const noexcept { return leader_epoch(); }

    /// Cuts everything from `to` on: it was never on a majority, and another leader has something else there. When this returns it is gone
    /// from the disk, too; who is killed, or powered off, in between comes to a log that ends at `to`, or has not been cut. Readers
    /// in front of `to` go on, and find what is appended next. What is cut is kept nowhere.
    ///
    /// `gives_up`: `to` may be below the high watermark: all agree that what was on a majority is lost. Readers may hold views of that, which
    /// stay as they are: what is to be left of its segment is copied into a new one, in memory meanwhile; who is killed in between comes to
    /// a log that may end in front of `to`.
    ///
    /// Errors    illegal_state: `to` is below the high watermark, or the start; behind the end, or not between two frames; claims are open.
    ///           corrupt_record: what stands in front of `to`, and would have to be moved, is damaged; nothing is cut then.
    ///           Where the disk refuses in the middle of it the log takes no more appends, and the next opening brings it to its end.
    [[nodiscard]] failure truncate(offset to, bool gives_up = false) { return cut_.truncate(to, gives_up); }

    /// Lets go of everything, and goes on, empty, at an offset that is not below the high watermark: what lies between is nowhere any more.
    /// Crashes as in truncate. `epoch`: of what was in front of it, where that is known. `gives_up`: at any offset, as in truncate.
    ///
    /// Errors    illegal_state: `at` is below the high watermark; claims are open. What the disk said, as in truncate.
    [[nodiscard]] failure start_anew(offset at, std::uint32_t epoch = 0, bool gives_up = false) { return cut_.start_anew(at, epoch, gives_up); }

    // ---- upkeep: one thread at a time ----

    using upkeep_result = log_upkeep::upkeep_result;
    using upkeep_notes = log_upkeep::upkeep_notes;
    [[nodiscard]] upkeep_notes& notes() noexcept { return upkeep_.notes(); }

    /// The shortest time after which something becomes due that nobody tells of; nullopt: there is none. For upkeep.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> shortest_age() const noexcept { return upkeep_.shortest_age(); }

    /// From here on what stands at or behind `limit` is not compacted, whatever else allows it: in a log that has to be told, or has
    /// parts of transactions. Until then nothing in it is.
    void limit_compaction(offset limit) noexcept { upkeep_.limit_compaction(limit); }
    [[nodiscard]] offset compaction_limit() const noexcept { return upkeep_.compaction_limit(); }

    /// Offset after the last one that was claimed; records may not have been published yet in front of it.
    [[nodiscard]] offset claimed_end_offset() const { return parts_.claimed_end_offset(); }

    /// Where the active segment begins: what lies in front of it is sealed.
    [[nodiscard]] offset active_base() const { return parts_.segments.last()->base; }

    /// Works ahead of the writers (disk space and populated pages, if no append waits for the disk; the next segment) and behind them (names, syncs of what
    /// was sealed, footers, the checkpoint). `until`: what was appended there or behind it need not be compacted in this pass.
    upkeep_result upkeep(std::chrono::nanoseconds now, offset until = largest_offset) { return upkeep_.upkeep(now, until); }

    /// Stops appends, lets those that are under way finish, and lets go of the files. Waits for no user: a slot that is
    /// still open becomes a filler, and is cut off from the file.
    void close() noexcept { end(false); }

    // ---- the topic's deletion ----

    /// The files are about to be renamed away, or, with false, have not been after all. What cannot be done for that reason says
    /// that the topic was deleted.
    void expect_deletion(bool is_expected) noexcept { parts_.life.expect_deletion(is_expected); }

    /// The same as `close` once the topic is deleted: nothing is written any more, and every call says so from then on.
    void end_deleted() noexcept { end(true); }

private:
    void end(bool is_deleted) noexcept;

    /// What closing leaves to the next opening where there is no memory: an end does not fail.
    template <class Work>
    static void if_memory_allows(const Work& work) noexcept {
        try {
            work();
        } catch (const std::bad_alloc&) {
            // The next opening does it, or reads more.
        }
    }

    /// Without memory it is the code alone.
    [[nodiscard]] failure reason_to_end(bool is_deleted) const noexcept;

    log(segment_directory files, log_options options, event_count& events, event_count& upkeep, const transaction_table* transactions)
        : parts_{std::move(files), options, events, upkeep, transactions} {}

    [[nodiscard]] failure recover();

    // ---- a replicated log ----

    void start_replicated();

    /// In front of a close.
    void write_producers() noexcept;

    [[nodiscard]] std::shared_ptr<time_index> times_of(segment& home);

    /// Waits for the claims of appends that are under way.
    void drain();

    log_parts parts_;
    recovery_report report_;
    wire_append appending_{parts_};
    log_upkeep upkeep_{parts_};
    log_cut cut_{parts_, appending_, upkeep_};
    std::mutex open_transactions_mutex_;     // guards them
    std::vector<offset> open_transactions_;  // where the log ended when each began to append
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/log.hpp>
#endif
