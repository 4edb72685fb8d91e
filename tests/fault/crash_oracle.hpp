/// \file fault/crash_oracle.hpp
/// What a partition must hold after a crash, told by those who were appending when it came.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/segment_directory.hpp>

#include "support/disguised_record.hpp"
#include "support/log_anatomy.hpp"

namespace brook::test {

/// What one writer says of himself, in memory that survives him: before each call what he is about to append, after it
/// where it went.
struct writer_progress {
    static constexpr std::uint32_t most = 256;

    std::atomic<std::uint32_t> begun{0};
    std::atomic<std::uint32_t> acked{0};
    std::array<std::uint64_t, most> words{};
    std::array<offset, most> offsets{};
};

enum class crash { kill, power_loss };

struct outcome {
    std::string problem;  ///< empty: as it must be
    bool whole = false;   ///< a call that had not returned has taken effect
    bool absent = false;  ///< one that had not returned has not
    bool lost = false;    ///< acknowledged records are gone, as the topic's flush policy allows after a power loss
    std::uint64_t compacted = 0;  ///< records that are left out, since a later one has their key
    std::uint64_t fillers = 0;
    std::uint64_t erased_bytes = 0;
    std::uint64_t finished_rolls = 0;
};

/// Of a log that was opened: where it begins and ends, and whether of each shared key the last record is enough.
struct log_extent {
    offset start = 0;
    offset end = 0;
    bool is_compacted = false;
};

/// What all of them say, and what they were told is durable, committed and deleted.
struct progress {
    static constexpr std::size_t writer_count = 4;

    std::array<writer_progress, writer_count> writers;
    std::atomic<offset> durable{0};
    std::atomic<offset> commit_begun{-1};
    std::atomic<offset> commit_acked{-1};
    std::atomic<offset> deletion_begun{0};  ///< records in front of it may be gone, but not in front of any other place
    std::atomic<offset> deletion_acked{0};
    std::atomic<std::uint32_t> topic_begun{0};  ///< a topic beside is being made, odd, or deleted; even
    std::atomic<std::uint32_t> topic_acked{0};
    std::atomic<bool> is_done{false};

    /// Changes with each answer that anybody was given.
    [[nodiscard]] std::uint64_t answers() const noexcept {
        auto sum = static_cast<std::uint64_t>(durable.load() + commit_acked.load() + deletion_acked.load()) + topic_acked.load();
        for (const auto& writer : writers) {
            sum += writer.acked.load();
        }
        return sum;
    }

    /// Holds the records that were found against what was sent.
    [[nodiscard]] std::string compare(std::span<const found_record> found, crash kind, const log_extent& of, outcome& result) const {
        std::array<std::uint32_t, writer_count> count{};
        std::array<std::uint32_t, writer_count> superseded{};  // a bit for each shared key of which a later record is due
        if (std::string problem = check_start(of.start, result); !problem.empty()) {
            return problem;
        }
        for (std::size_t i = 0; i < count.size(); ++i) {
            while (count[i] < writers[i].acked.load() && writers[i].offsets[count[i]] < of.start) {
                ++count[i];
            }
        }
        offset next = of.start;
        for (const auto& [at, record, epoch] : found) {
            if (at < next || at >= of.end) {
                return "offset " + std::to_string(at) + " where " + std::to_string(next) + " or later was due";
            }
            next = at + 1;
            if (record.writer >= count.size()) {
                return "offset " + std::to_string(at) + ": a writer that does not exist";
            }
            const writer_progress& writer = writers[record.writer];
            std::uint32_t& sequence = count[record.writer];
            for (; of.is_compacted && sequence < record.sequence; ++sequence) {
                superseded[record.writer] |= 1u << sequence % disguised_record::shared_keys;
                ++result.compacted;
            }
            superseded[record.writer] &= ~(1u << record.sequence % disguised_record::shared_keys);
            if (record.sequence != sequence) {
                return "writer " + std::to_string(record.writer) + ": record " + std::to_string(record.sequence) +
                       " where " + std::to_string(sequence) + " was due";
            }
            if (sequence >= writer.begun.load() || record.word() != writer.words[sequence]) {
                return "offset " + std::to_string(at) + ": never sent";
            }
            if (sequence < writer.acked.load() && writer.offsets[sequence] != at) {
                return "writer " + std::to_string(record.writer) + ": record " + std::to_string(sequence) + " was at " +
                       std::to_string(writer.offsets[sequence]) + ", now it is at " + std::to_string(at);
            }
            ++sequence;
        }
        for (std::size_t i = 0; i < count.size(); ++i) {
            const writer_progress& writer = writers[i];
            const std::uint32_t acked = writer.acked.load();
            const std::uint32_t begun = writer.begun.load();
            for (std::uint32_t lost = count[i]; lost < acked; ++lost) {
                if (kind == crash::kill || writer.offsets[lost] < of.end) {
                    return "writer " + std::to_string(i) + ": record " + std::to_string(lost) + " of " +
                           std::to_string(acked) + " acknowledged is lost";
                }
            }
            if (superseded[i] != 0) {
                return "writer " + std::to_string(i) + ": the last record of a key is left out";
            }
            if (count[i] > acked && count[i] != begun) {
                return "writer " + std::to_string(i) + ": half a batch";
            }
            result.lost |= count[i] < acked;
            result.whole |= begun > acked && count[i] == begun;
            result.absent |= begun > acked && count[i] <= acked;
        }
        if (of.end < durable.load()) {
            return "ends at offset " + std::to_string(of.end) + ", and " + std::to_string(durable.load()) + " was durable";
        }
        return {};
    }

private:
    [[nodiscard]] std::string check_start(offset start, outcome& result) const {
        const offset acked = deletion_acked.load();
        const offset begun = deletion_begun.load();
        if (start < acked || start > begun) {
            return "begins at offset " + std::to_string(start) + ", and was deleted up to " + std::to_string(acked) + ", or is being, up to " +
                   std::to_string(begun);
        }
        result.whole |= begun != acked && start == begun;
        result.absent |= begun != acked && start == acked;
        return {};
    }
};

/// An open partition, with what it needs around it.
class open_partition {
public:
    open_partition(os::platform& platform, const std::string& path, storage::log_options options)
        : events_{platform}, upkeep_{platform} {
        storage::segment_directory files{platform, path, {"t", {}, 0}};
        log_ = storage::log::open(std::move(files), options, events_, upkeep_, why);
    }
    [[nodiscard]] explicit operator bool() const noexcept { return log_ != nullptr; }
    [[nodiscard]] storage::log& operator*() const noexcept { return *log_; }
    [[nodiscard]] storage::log* operator->() const noexcept { return log_.get(); }

    failure why;

private:
    storage::event_count events_;
    storage::event_count upkeep_;
    std::unique_ptr<storage::log> log_;
};

/// Opens what a crash left, checks it against what the writers said, appends to it, closes it, and opens it again.
class crash_oracle {
public:
    crash_oracle(const progress& told, storage::log_options options) : told_{told}, options_{options} {}

    [[nodiscard]] outcome judge(os::platform& platform, const std::string& path, crash kind) {
        outcome result;
        result.problem = examine(platform, path, kind, result);
        return result;
    }

private:
    static constexpr std::uint32_t later_writer = 9;

    [[nodiscard]] std::string examine(os::platform& platform, const std::string& path, crash kind, outcome& result) {
        failure why;
        std::size_t survivors = 0;
        {
            const open_partition log{platform, path, options_};
            if (!log) {
                return "open: " + log.why.text;
            }
            const recovery_report& report = log->report();
            result.fillers = report.filled_gaps;
            result.erased_bytes = report.erased_bytes;
            result.finished_rolls = report.finished_rolls;
            if (!report.damages.empty()) {
                return "damage where nothing was damaged: " + report.damages.front().file + ", offsets " +
                       std::to_string(report.damages.front().first) + " to " + std::to_string(report.damages.front().last);
            }
            if (kind == crash::kill && (report.cut_bytes != 0 || !report.quarantined.empty())) {
                return "cut " + std::to_string(report.cut_bytes) + " bytes although the process was only killed";
            }
            read_all(*log, found_, why);
            if (why) {
                return "read: " + why.text;
            }
            if (std::string problem = told_.compare(found_, kind, extent_of(*log), result); !problem.empty()) {
                return problem;
            }
            if (std::string problem = options_.compaction.is_on ? compact(*log, kind) : ""; !problem.empty()) {
                return problem;
            }
            survivors = found_.size();
            if (std::string problem = go_on(*log, result.lost); !problem.empty()) {
                return problem;
            }
        }
        const log_anatomy closed = dissect(path);
        if (!closed.problem.empty()) {
            return "after close: " + closed.problem;
        }
        if (!closed.is_whole()) {
            return "after close: not everything was mended";
        }
        const open_partition again{platform, path, options_};
        if (!again) {
            return "second open: " + again.why.text;
        }
        const recovery_report& report = again->report();
        if (report.filled_gaps + report.erased_bytes + report.cut_bytes + report.damages.size() != 0) {
            return "second open: found more to mend";
        }
        read_all(*again, found_, why);
        if (why || found_.size() != survivors + later_.size() || again->log_end_offset() != closed.end) {
            return "second open: " + std::to_string(found_.size()) + " records, not " +
                   std::to_string(survivors + later_.size()) + "; " + why.text;
        }
        return {};
    }

    [[nodiscard]] log_extent extent_of(storage::log& log) const { return {log.log_start_offset(), log.log_end_offset(), options_.compaction.is_on}; }

    /// Ends, or does again, what the crash may have interrupted.
    [[nodiscard]] std::string compact(storage::log& log, crash kind) {
        failure why;
        for (int i = 1, left = 100; left > 0; ++i, --left) {
            const auto done = log.upkeep(std::chrono::hours{i});
            if (done.why) {
                return "compaction after the crash: " + done.why.text;
            }
            left = done.has_more ? left : std::min(left, 3);
        }
        read_all(log, found_, why);
        outcome later;
        const std::string problem = why ? why.text : told_.compare(found_, kind, extent_of(log), later);
        return problem.empty() ? "" : "after another compaction: " + problem;
    }

    /// Appends after the crash and reads it back: a lone record, a batch, and one that crosses a page.
    [[nodiscard]] std::string go_on(storage::log& log, bool has_lost) {
        later_ = {{0, later_writer, 0, 40}, {1, later_writer, 0, 0}, {2, later_writer, 0, 9}, {3, later_writer, 0, 700}};
        failure why;
        const offset end = log.log_end_offset();
        const offset first = append_lone(log, later_[0], why);
        const offset batch = why ? -1 : append_batch(log, std::span{later_}.subspan(1, 2), why);
        const offset last = why ? -1 : append_lone(log, later_[3], why);
        if (why || first != end || batch != end + 1 || last != end + 3) {
            return "append after the crash: at offset " + std::to_string(first) + ", the end was " + std::to_string(end) + "; " +
                   why.text;
        }
        std::vector<found_record> all;
        read_all(log, all, why);
        if (why || all.size() != found_.size() + later_.size()) {
            return "read after the crash: " + std::to_string(all.size()) + " records; " + why.text;
        }
        for (std::size_t i = 0; i < all.size(); ++i) {
            const bool is_old = i < found_.size();
            const disguised_record& expected = is_old ? found_[i].record : later_[i - found_.size()];
            const offset at = is_old ? found_[i].at : end + static_cast<offset>(i - found_.size());
            if (all[i].at != at || !(all[i].record == expected)) {
                return "read after the crash: offset " + std::to_string(all[i].at) + " is not what it was";
            }
            if (!is_old && has_lost && all[i].epoch == 0) {
                return "offsets that readers may have seen are given again, and the epoch is the same";
            }
        }
        return {};
    }

    const progress& told_;
    storage::log_options options_;
    std::vector<found_record> found_;
    std::vector<disguised_record> later_;
};

}  // namespace brook::test
