/// \file brook/storage/recovery.hpp
/// Opening a partition after whatever happened to it: killed, powered off, damaged.
/// Floor 2, storage. The protocol is told in brook/storage/README.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI {

/// Records that are on the disk's conscience: they were there, and what stands in their place is not them.
struct damage {
    std::string file;
    std::uint64_t begin = 0;  ///< bytes [begin, end) of the file
    std::uint64_t end = 0;
    offset first = 0;  ///< offsets [first, last) are lost
    offset last = 0;
};

/// What opening a partition found and did. Nothing that a caller was told is durable is ever dropped in silence: it is
/// here, under `damages`, and reading it gives an error.
struct recovery_report {
    std::uint64_t scanned_bytes = 0;        ///< what lay above the evidence and was verified
    std::uint64_t filled_gaps = 0;          ///< claims of a killed process with published records behind them
    std::uint64_t erased_bytes = 0;         ///< claims of a killed process at the very end
    std::uint64_t cut_bytes = 0;            ///< after a power loss: what was not durable and did not arrive whole
    std::uint64_t finished_rolls = 0;       ///< segments that were sealed and had no successor yet
    std::uint64_t moved_segments = 0;       ///< put into new files, since a sync of the old one had failed, or nobody knows how it ended
    bool power_may_have_gone = false;       ///< some segment was last written in another boot, or copied from elsewhere
    std::vector<std::string> quarantined;   ///< files that hold what was cut, kept for a person to look at
    std::vector<damage> damages;
};

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::storage {

inline constexpr std::uint32_t page_size = 4096;
inline constexpr std::uint32_t first_window = 64 * kib;

/// A partition as recovery leaves it. The last segment takes appends.
struct recovered_log {
    std::vector<std::unique_ptr<segment>> segments;
    format::checkpoint checkpoint;     ///< its durable_offset is the strongest evidence that was seen
    std::size_t first_unsynced = 0;    ///< segments from here on may have bytes that are not on the disk
    position append_at = 0;
    offset end = 0;
    failure not_moved;                 ///< a segment is in doubt, and there is no new file for it: the log can be read, and no more
    recovery_report report;
};

/// Where the last word behind `at` that is not zero ends, or the file, if that was cut within one; `at` where all of them are.
[[nodiscard]] inline position find_dirty_end(const mapped_segment& memory, position at) noexcept {
    position dirty_end = at;
    const position end = memory.search_end();
    position here = at;
    for (; here < end && end - here >= 8; here += 8) {
        if (load<std::uint64_t>(memory.frame(here)) != 0) {
            dirty_end = here + 8;
        }
    }
    for (; here < end; ++here) {
        if (*memory.frame(here) != std::byte{0}) {
            dirty_end = here + 1;
        }
    }
    return dirty_end;
}

/// Leaves nothing of a segment from `at` on, in memory: no frame, no footer, no slot of its index.
/// Returns   the end of what was there.
///
/// Threads   readers may look at the word at `at` meanwhile, and at nothing behind it.
inline position erase_behind(mapped_segment& memory, position at) noexcept {
    const position dirty_end = find_dirty_end(memory, at);
    if (dirty_end - at >= 8) {
        atomic_at<std::uint64_t>(memory.frame(at)).store(0, std::memory_order_release);
        std::memset(memory.frame(at + 8), 0, dirty_end - at - 8);
    } else {
        std::memset(memory.frame(at), 0, dirty_end - at);  // a file that was cut there has no readers yet
    }
    store(memory.data() + format::footer_at, std::array<std::byte, sizeof(format::segment_footer)>{});
    memory.forget_behind(at);
    return dirty_end;
}

/// Whether the disk has what a segment shows in memory: its header, and all of it from `from` on. False where nobody can tell.
///
/// Requires  as compare_with_disk.
[[nodiscard]] inline bool disk_has(const mapped_segment& memory, position from) {
    const position page = from / page_size * page_size;
    return !segment_directory::compare_with_disk(memory.log_file(), memory, 0, page < page_size ? page : page_size) &&
           !segment_directory::compare_with_disk(memory.log_file(), memory, page, memory.readable());
}

/// Brings to the disk that a segment ends at `at`. Also where there is nothing to erase: it may have been erased by a recovery that was
/// killed before it had synced.
[[nodiscard]] inline failure sync_erased(const segment_directory& files, mapped_segment& memory, position at) {
    // Zeros that could not be written pass for clean then, and the disk may have the old tail, also where a recovery
    // before this one erased it: who comes next, in this boot, would take them for what is there. Written again, they
    // are dirty, and the next sync brings them to the disk, or fails, too. Not stored, since a hole may be among
    // them, and the disk full.
    const auto write_again = [&]() -> std::error_code {
        static constexpr std::array<std::byte, page_size> zeros{};
        for (position here = at; here < memory.readable();) {
            const position end = align_up(here + 1, page_size) < memory.readable() ? align_up(here + 1, page_size) : memory.readable();
            const auto code = memory.log_file().write_at(here, bytes{zeros}.first(end - here));
            if (code && code != std::errc::no_space_on_device) {  // a hole has no old tail
                return code;
            }
            here = end;
        }
        return load<std::uint64_t>(memory.data() + format::footer_at) == 0
                   ? memory.log_file().write_at(format::footer_at, bytes{zeros}.first(sizeof(format::segment_footer)))
                   : std::error_code{};
    };
    const bool was_in_doubt = memory.doubt() != doubt::none;  // by a recovery, perhaps, that was killed before it had written them again
    auto code = memory.sync();
    if (!code && was_in_doubt && !disk_has(memory, at)) {
        code = write_again();
        code = code ? code : memory.sync();
    }
    if (!code) {
        return {};
    }
    static_cast<void>(write_again());
    return {code, files.name().text() + ": cannot sync " + memory.path() + " after cutting it"};
}

/// Finds the end of a log and makes it whole. Killed at any instruction, it starts over and comes to the same result.
///
/// Two cases, told apart by who wrote a segment last (boot, device, inode, birth time):
///
/// - The same boot and file: only the process died, the page cache is whole. Every published frame stays. A gap before
///   a published frame, however many claims it was, becomes one filler; a gap at the end is erased.
///   Nothing in a payload can imitate a frame: a claimer's first store into its range is the mark, everybody else stays
///   out, and the range was zero, so the first non-zero word of a gap is the first word of a frame.
/// - Otherwise power may have gone, and with it any page that was not synced. Frames below the durable evidence are
///   there, or rotten; above it the log ends at the first frame that does not verify, and what lies beyond is cut.
///
/// In the first case a segment may be in doubt: a sync of it has failed, or the process died in one. What memory shows of it may never reach
/// the disk in this file, so it goes on in another.
///
/// A replicated log is one of several that are alike. What is missing in it others have, so it is cut where something is missing that
/// it need not have, and no offset is filled, nor passed over; and its leader epochs are its leaders'. A truncation that was begun is
/// brought to its end, in either case.
///
/// Threads   confined; nobody else has the partition open.
/// Cost      reads what lies above the evidence, and makes no use of the rest.
class recovery {
public:
    recovery(segment_directory& files, std::uint32_t segment_bytes, bool is_replicated = false) noexcept
        : files_{files}, segment_bytes_{segment_bytes}, is_replicated_{is_replicated} {}

    [[nodiscard]] failure run(recovered_log& log) {
        log_ = &log;
        if (failure why = find_files()) {
            return why;
        }
        if (failure why = scan_segments()) {
            return why;
        }
        return open_end();
    }

private:
    // ---- what there is ----

    [[nodiscard]] failure find_files() {
        if (failure why = list()) {
            return why;
        }
        if (failure why = settle_swaps()) {
            return why;
        }
        if (failure why = settle_spare()) {
            return why;
        }
        failure unreadable;
        const auto saved = files_.read_checkpoint(unreadable);
        if (unreadable) {
            return unreadable;
        }
        if (saved) {
            log_->checkpoint = *saved;
            if (saved->is_cutting()) {
                if (failure why = take_away_cut()) {
                    return why;
                }
            } else if (bases_.empty()) {
                return {errc::corrupt_record, files_.name().text() + ": " + files_.path() +
                                                  " has a checkpoint and no segment; restore the .log files from a copy, or move the checkpoint away, too, "
                                                  "to begin again at offset 0"};
            }
        }
        if (!saved && !bases_.empty()) {
            log_->checkpoint.flags |= format::checkpoint_flag::producers;  // nobody can say that there are none
        }
        const offset start = log_->checkpoint.log_start_offset;
        if (!bases_.empty() && bases_.front() > start) {
            lose(files_.log_path(start), 0, 0, start, bases_.front());
        }
        raise_evidence(start);  // only what was on the disk was ever deleted
        const auto before = static_cast<offset>(log_->checkpoint.segment_base);
        while (first_scanned_ + 1 < bases_.size() && bases_[first_scanned_ + 1] <= before) {
            ++first_scanned_;
        }
        for (std::size_t i = 0; i < first_scanned_; ++i) {
            log_->segments.push_back(std::make_unique<segment>(bases_[i]));
            log_->segments.back()->is_synced = true;
        }
        log_->first_unsynced = first_scanned_;
        return {};
    }

    /// A truncation has begun: what it was to cut is in no evidence any more, and the segments behind it go. The newest goes first. Nothing
    /// of it is kept: that it has to go is not inferred, it was decided, and is on the disk.
    [[nodiscard]] failure take_away_cut() {
        format::checkpoint& told = log_->checkpoint;
        if (failure why = write_again(told)) {
            return why;
        }
        cut_at_ = told.cut_to();
        told.durable_offset = told.durable_offset < cut_at_ ? told.durable_offset : cut_at_;
        const bool is_all = told.log_start_offset >= cut_at_;  // it begins anew there
        for (std::size_t i = bases_.size(); i-- > 0;) {
            if (is_all ? bases_[i] != cut_at_ : bases_[i] >= cut_at_) {  // where one begins there the seal in front of it may be cut
                if (failure why = files_.remove(bases_[i])) {
                    return why;
                }
                erase_at(bases_, i);
            }
        }
        const auto code = files_.platform().sync_directory(files_.path());
        return code ? failure{code, files_.name().text() + ": cannot sync " + files_.path()} : failure{};
    }

    /// Before anything goes by what it says: the process that wrote it may have been told that it is not on the disk, and this one sees it in
    /// memory.
    [[nodiscard]] failure write_again(format::checkpoint& told) {
        ++told.sequence;
        return files_.write_checkpoint(told);
    }

    [[nodiscard]] failure list() {
        std::vector<os::directory_entry> entries;
        if (const auto code = files_.platform().list(files_.path(), entries)) {
            return {code, files_.name().text() + ": cannot list " + files_.path()};
        }
        for (const auto& entry : entries) {
            if (entry.name.ends_with(".tmp")) {
                files_.discard(files_.path() + '/' + entry.name);  // never had a name that counts
            } else if (const auto base = parse_segment_name(entry.name, ".log")) {
                insert_at(bases_, count_before(bases_.size(), [&](std::size_t i) { return bases_[i] < *base; }), *base);
            } else if (const auto range = parse_swap_name(entry.name)) {
                swaps_.push_back(*range);
            } else if (entry.name.ends_with(".swap.index")) {
                swap_indexes_.push_back(files_.path() + '/' + entry.name);
            } else if (entry.name == "spare.log") {
                has_spare_ = true;
            }
        }
        return {};
    }

    /// What a compaction has made, and has not got the place of what it was made from: the process died in between. It was on
    /// the disk, whole, before it had this name; what it was made from may be there, or a part of it.
    [[nodiscard]] failure settle_swaps() {
        for (const swap_range& range : swaps_) {
            const std::string path = files_.swap_path(range);
            segment_summary summary;
            failure unreadable;
            const auto file = files_.open_summary(path, summary, unreadable);
            if (unreadable && unreadable.code != errc::corrupt_record) {
                return unreadable;
            }
            bool stands = file && summary.is_compacted() && summary.base == range.base && summary.has_footer && summary.footer.end_offset == range.end;
            std::vector<offset> replaced;
            for (std::size_t i = 0; i < bases_.size() && bases_[i] < range.end; ++i) {
                const bool is_within = bases_[i] >= range.base;
                if (!is_within && i + 1 < bases_.size() && bases_[i + 1] <= range.base) {
                    continue;
                }
                segment_summary of_it;
                static_cast<void>(files_.open_summary(files_.log_path(bases_[i]), of_it, unreadable));
                if (unreadable && unreadable.code != errc::corrupt_record) {
                    return unreadable;
                }
                // One that reaches in from in front, or out behind, is of a later compaction, and this one was given up.
                stands = stands && !(of_it.has_footer && of_it.footer.end_offset > (is_within ? range.end : range.base));
                if (is_within) {
                    replaced.push_back(bases_[i]);
                }
            }
            if (!stands) {
                if (failure why = quarantine(path)) {
                    return why;
                }
                continue;
            }
            if (failure why = files_.put_in_place(range, replaced)) {
                return why;
            }
            for (const offset base : replaced) {
                erase_at(bases_, count_before(bases_.size(), [&](std::size_t i) { return bases_[i] < base; }));
            }
            insert_at(bases_, count_before(bases_.size(), [&](std::size_t i) { return bases_[i] < range.base; }), range.base);
        }
        for (const std::string& left : swap_indexes_) {
            files_.discard(left);  // those that belong to something have another name by now
        }
        return {};
    }

    /// A spare with a base offset is the newest segment: the process died between the roll and the rename.
    [[nodiscard]] failure settle_spare() {
        if (!has_spare_) {
            return {};
        }
        segment_summary summary;
        failure unreadable;
        const std::string path = files_.path() + "/spare.log";
        const auto file = files_.open_summary(path, summary, unreadable);
        if (unreadable && unreadable.code != errc::corrupt_record) {
            return unreadable;  // it may hold the newest records
        }
        bool is_used = false;
        if (failure why = look_into_spare(path, is_used)) {
            return why;
        }
        if (file && summary.is_spare && !is_used) {
            files_.discard_spare();
            return {};
        }
        // Its header was on the disk before it was called spare.log, and it may hold what was told to be durable.
        if (!file && is_used) {
            return {errc::corrupt_record, files_.name().text() + ": " + path + " has no valid header at position 0, and perhaps the newest records behind it" + advice};
        }
        if (file && !summary.base && is_used) {
            summary.base = base_by_first_frame(*file, summary);
            if (failure why = summary.base ? write_base(path, *summary.base) : refuse_rotten_base(path, *file, summary)) {
                return why;
            }
        }
        if (file && summary.base && (bases_.empty() || bases_.back() < *summary.base)) {
            if (failure why = files_.name_spare(*summary.base)) {
                return why;
            }
            bases_.push_back(*summary.base);
            return {};
        }
        return quarantine(path);
    }

    static constexpr const char* advice = "; restore it from a copy, or move it away to go on without them";

    /// Whether anything was ever claimed in it.
    [[nodiscard]] failure look_into_spare(const std::string& path, bool& is_used) {
        std::error_code code;
        const auto file = files_.platform().open(path, os::open_mode::read_only, code);
        std::uint64_t size = 0;
        std::array<std::byte, 8> first_word{};
        if (!code) {
            code = file->size(size);
        }
        if (!code && size >= format::segment_header_size + first_word.size()) {
            code = file->read_at(format::segment_header_size, first_word);
        }
        is_used = load<std::uint64_t>(first_word.data()) != 0;
        return code ? failure{code, files_.name().text() + ": cannot read " + path} : failure{};
    }

    [[nodiscard]] failure write_base(const std::string& path, offset base) {
        failure why;
        if (const auto pin = files_.open(path, files_.path() + "/spare.index", why)) {
            segment_directory::set_base(*pin, base);
        }
        return why;
    }

    /// In the boot that it was stored in a base offset is whole, so that it has rotted. In another it may never have got to
    /// the disk, and then nothing behind it was durable.
    [[nodiscard]] failure refuse_rotten_base(const std::string& path, const os::file& file, const segment_summary& summary) const {
        std::error_code unknown;
        const bool is_of_this_boot = segment_directory::same_identity(summary, file, unknown);
        if (unknown) {
            return {unknown, files_.name().text() + ": cannot read the identity of " + path};
        }
        return is_of_this_boot ? failure{errc::corrupt_record, files_.name().text() + ": " + path +
                                                                   " does not say where it begins, and perhaps holds the newest records" + advice}
                               : failure{};
    }

    // ---- segment by segment ----

    struct scan_state {
        mapped_segment* memory = nullptr;
        offset base = 0;
        position at = format::segment_header_size;
        offset next = 0;
        bool is_sealed = false;
        bool is_cut = false;           ///< by a power loss: nothing after it counts
        bool ends_in_damage = false;
    };

    [[nodiscard]] failure scan_segments() {
        if (!bases_.empty() && bases_.back() > last_base) {
            return no_more_offsets(bases_.back());
        }
        offset next = bases_.empty() ? 0 : bases_[first_scanned_];
        for (std::size_t i = first_scanned_; i < bases_.size(); ++i) {
            if (bases_[i] < next) {
                return {errc::corrupt_record, files_.name().text() + ": " + files_.log_path(bases_[i]) + " begins before offset " +
                                                  std::to_string(next) + ", where the segment before it ends; one of them is a stranger"};
            }
            if (bases_[i] > next) {
                lose(files_.log_path(next), 0, 0, next, bases_[i]);
                if (!log_->segments.empty()) {
                    log_->segments.back()->ends_in_damage = true;
                }
            }
            bool goes_on = true;
            if (failure why = scan_one(i, next, goes_on)) {
                return why;
            }
            end_ = next;
            if (!goes_on) {
                break;
            }
        }
        return {};
    }

    [[nodiscard]] failure scan_one(std::size_t i, offset& next, bool& goes_on) {
        const offset base = bases_[i];
        const bool is_last = i + 1 == bases_.size();
        failure why;
        segment_summary summary;
        segment_pin pin;
        bool same_identity = false;
        if (const auto file = files_.open_summary(files_.log_path(base), summary, why)) {
            std::error_code unknown;
            same_identity = segment_directory::same_identity(summary, *file, unknown);
            if (unknown) {
                return {unknown, files_.name().text() + ": cannot read the identity of " + files_.log_path(base)};
            }
            if (summary.base && *summary.base == base) {
                pin = files_.open(files_.log_path(base), files_.index_path(base), why);
            } else if (!summary.base && !same_identity) {
                // A spare that was taken and named, whose base offset was not on the disk, or not whole, when the power went.
                // Its name was; if it is not the right one, no frame verifies behind it.
                pin = files_.open(files_.log_path(base), files_.index_path(base), why);
                if (pin) {
                    segment_directory::set_base(*pin, base);
                }
            } else {
                why = {errc::corrupt_record, ""};
            }
        }
        if (why.code && why.code != errc::corrupt_record) {
            return why;
        }
        if (!pin) {
            return pass_unreadable(i, next);
        }
        raise_evidence(summary.has_footer ? summary.footer.end_offset : 0);
        scan_state scan{pin.get(), base, format::segment_header_size, base};
        start_at_checkpoint(scan);
        const position from = scan.at;
        if (failure failed = same_identity ? mend(scan, i) : believe_evidence(scan, i)) {
            return failed;
        }
        if (same_identity && pin->doubt() != doubt::none) {
            if (failure failed = settle_doubt(scan, from, pin)) {
                return failed;
            }
        }
        log_->report.power_may_have_gone |= !same_identity;
        log_->report.scanned_bytes += scan.at - format::segment_header_size;
        if (scan.ends_in_damage && is_last) {
            lose_rest(scan);
        }
        next = scan.next;
        if (scan.is_cut && !is_last) {
            if (failure failed = quarantine_from(i + 1)) {
                return failed;
            }
        }
        // Signed only once nothing beyond the cut is left: killed before that, the next recovery must cut again, and not
        // take what lies beyond for the work of this boot.
        if (!same_identity) {
            if (const auto code = scan.is_cut ? files_.platform().sync_directory(files_.path()) : std::error_code{}) {
                return {code, files_.name().text() + ": cannot sync " + files_.path()};  // names, too, may be a killed recovery's work
            }
            pin->set_doubt(doubt::none);  // what memory shows came from the disk
            if (failure unsigned_ = segment_directory::sign(*pin, files_.name())) {
                return unsigned_;
            }
        }
        const position claimed_end = scan.is_sealed ? scan.at - format::frame_header_size : scan.at;  // a seal is not claimed
        auto opened = std::make_unique<segment>(base, pin, tail_word{static_cast<std::uint64_t>(next - base), claimed_end}.sealed());
        opened->ends_in_damage = scan.ends_in_damage;
        log_->segments.push_back(std::move(opened));
        is_open_ = !scan.is_sealed && !scan.ends_in_damage;
        log_->append_at = scan.at;
        goes_on = !scan.is_cut;
        if (!scan.is_cut && !scan.is_sealed && !is_last && bases_[i + 1] >= next) {  // else it is a stranger, and refused
            lose(files_.log_path(base), scan.at, pin->readable(), next, bases_[i + 1]);
            log_->segments.back()->ends_in_damage = true;
            next = bases_[i + 1];
        }
        return {};
    }

    /// A file without a valid header: damage, since a segment has its name only after its header is on the disk. Between
    /// two segments its offsets are known, and lost; at the end nobody can tell where the log should go on.
    [[nodiscard]] failure pass_unreadable(std::size_t i, offset& next) {
        const offset base = bases_[i];
        if (i + 1 == bases_.size()) {
            return {errc::corrupt_record, files_.name().text() + ": " + files_.log_path(base) +
                                              " has no valid header at position 0; restore it from a copy, or move it away to go on without it"};
        }
        lose(files_.log_path(base), 0, 0, base, bases_[i + 1]);
        log_->segments.push_back(std::make_unique<segment>(base));
        log_->segments.back()->ends_in_damage = true;
        log_->segments.back()->is_synced = true;  // there is nothing to sync
        is_open_ = false;
        next = bases_[i + 1];
        return {};
    }

    /// Begins where everything before is on the disk, if the checkpoint's place is reached by walking there: a checkpoint
    /// that is newer than the segment (one of them came from a copy) points at nothing, or between two frames.
    void start_at_checkpoint(scan_state& scan) const noexcept {
        const format::checkpoint& from = log_->checkpoint;
        if (from.segment_base != scan.base || from.segment_offset <= scan.base || (is_cutting() && from.segment_offset > cut_at_) || from.segment_position > scan.memory->readable()) {
            return;
        }
        const auto at = static_cast<position>(from.segment_position);
        const walk_start start = find_start(*scan.memory, scan.base, from.segment_offset - 1, at);
        scan_state reached{scan.memory, scan.base, start.at, start.next};
        frame_view found;
        while (reached.at < at && look_next(reached, found) == look::frame) {
            reached.at = found.end();
            reached.next += found.offsets_taken();
        }
        if (reached.at == at && reached.next == from.segment_offset) {
            scan = reached;
        }
    }

    // ---- the same boot: the process died ----

    [[nodiscard]] failure mend(scan_state& scan, std::size_t i) {
        bool knows_evidence = false;
        const auto find_evidence = [&]() -> failure {
            failure why = knows_evidence ? failure{} : gather_evidence(scan, i);
            knows_evidence = true;
            return why;
        };
        for (;;) {
            if (is_cut_here(scan, i)) {
                return cut_as_told(scan);
            }
            frame_view found;
            switch (look_next(scan, found)) {
                case look::frame:
                    accept(scan, found);
                    if (scan.is_sealed) {
                        return {};
                    }
                    break;
                case look::corrupt:
                    if (is_replicated_ && i + 1 == bases_.size() && !find_frame(*scan.memory, scan.at + format::frame_alignment, scan.next, found)) {
                        if (failure why = find_evidence()) {
                            return why;
                        }
                        if (!was_relied_upon(scan)) {
                            return cut(scan);
                        }
                    }
                    if (!step_over_damage(scan)) {
                        return {};
                    }
                    break;
                case look::nothing: {
                    const gap hole = measure_gap(scan);
                    if (hole.is_whole && !hole.has_end) {
                        return erase_end(scan, hole);
                    }
                    if (failure why = find_evidence()) {
                        return why;
                    }
                    // No prefix passes a claim that is open: what is missing below the evidence had been published.
                    const bool was_claimed = hole.is_whole && !was_relied_upon(scan);
                    if (is_replicated_ && was_claimed && format::load_header(scan.memory->frame(hole.end)).base_offset != scan.next) {
                        return cut(scan);  // else a mark of the log's own was claimed there
                    }
                    if (!(was_claimed && fill(scan, hole.end)) && !step_over_damage(scan)) {
                        return {};
                    }
                    break;
                }
            }
        }
    }

    /// Whether what comes was on the disk, or is on a majority.
    [[nodiscard]] bool was_relied_upon(const scan_state& scan) const noexcept {
        return log_->checkpoint.durable_offset > scan.next || (is_replicated_ && log_->checkpoint.high_watermark > scan.next);
    }

    struct gap {
        position end = 0;        ///< where the next published frame stands
        position dirty_end = 0;  ///< end of the last claim that left a mark
        bool has_end = false;
        bool is_whole = true;    ///< nothing in it but zeros and marked claims: claims that were never published
    };

    /// Zeros are stepped over one by one, marked claims whole. Anything else was a published frame, and is damaged.
    [[nodiscard]] static gap measure_gap(const scan_state& scan) noexcept {
        gap hole{scan.at, scan.at};
        const position end = scan.memory->search_end();
        const position last = end < format::frame_header_size ? 0 : end - format::frame_header_size;
        for (position at = scan.at; at <= last;) {
            const format::frame_word word = scan.memory->word(at);
            if (word.is_published()) {
                hole.end = at;
                hole.has_end = true;
                return hole;
            }
            if (word.is_empty()) {
                at += format::frame_alignment;
                continue;
            }
            const std::uint32_t length = word.claimed_length();
            if (word.raw() != format::frame_word::claimed(length).raw() || length % format::frame_alignment != 0 ||
                length < format::frame_header_size || length > scan.memory->capacity() - at) {
                hole.is_whole = false;
                return hole;
            }
            at += length;
            hole.dirty_end = at < scan.memory->readable() ? at : scan.memory->readable();
        }
        return hole;
    }

    /// One filler over the gap before the published frame at `end`. Marked first, as any claimer does.
    [[nodiscard]] bool fill(scan_state& scan, position end) {
        mapped_segment& memory = *scan.memory;
        std::byte* const data = memory.frame(scan.at);
        if (!format::verifies(memory.seed(), end, memory.readable(), memory.frame(end)) || end - scan.at < format::frame_header_size) {
            return false;
        }
        const offset after = format::load_header(memory.frame(end)).base_offset;
        if (after < scan.next || after - scan.next > memory.capacity()) {
            return false;
        }
        const std::uint32_t length = end - scan.at;
        const auto word = atomic_at<std::uint64_t>(data);
        word.store(format::frame_word::claimed(length).raw(), std::memory_order_seq_cst);
        format::frame_header header{};
        const auto published = format::frame_word::published(length, format::attributes_of(format::frame_kind::filler));
        header.size = static_cast<std::int32_t>(length);
        header.attributes = published.attributes();
        header.base_offset = scan.next;
        header.count = static_cast<std::uint32_t>(after - scan.next);
        header.leader_epoch = is_replicated_ ? 0 : log_->checkpoint.leader_epoch;
        header.checksum = format::checksum_of(memory.seed(), scan.at, header, data);
        format::store_behind_word(data, header);
        word.store(published.raw(), std::memory_order_release);
        ++log_->report.filled_gaps;
        return true;  // the walk meets the filler next
    }

    /// Nobody was told of these offsets: they are free again. One mark over all of it, the body, then the mark.
    [[nodiscard]] failure erase_end(scan_state& scan, const gap& hole) {
        if (hole.dirty_end <= scan.at) {
            return {};
        }
        std::byte* const data = scan.memory->frame(scan.at);
        const std::uint32_t length = hole.dirty_end - scan.at;
        const auto word = atomic_at<std::uint64_t>(data);
        word.store(format::frame_word::claimed(align_up(length, format::frame_alignment)).raw(), std::memory_order_seq_cst);
        for (position at = 8; at + 8 <= length; at += 8) {
            const auto cell = atomic_at<std::uint64_t>(data + at);
            if (cell.load(std::memory_order_relaxed) != 0) {
                cell.store(0, std::memory_order_relaxed);
            }
        }
        word.store(0, std::memory_order_release);
        log_->report.erased_bytes += length;
        return {};
    }

    /// A sync of the segment has failed, or was under way when the process died. Its pages may pass for clean and not be on the disk, and a file
    /// system that takes their blocks for written by now never brings them there, however often they are made dirty, and calls each sync a
    /// success. Where it is certain that one has failed the segment goes into a new file; else it does when the disk has something else than
    /// memory after a sync, or nobody can tell. Killed at any instruction, the segment is in doubt as before, and this is done again. Where there
    /// is no doubt nothing is written again: a write-back that failed with nobody told is told to the next sync of a file that is opened behind
    /// it (errseq_sample in the kernel's lib/errseq.c).
    [[nodiscard]] failure settle_doubt(scan_state& scan, position from, segment_pin& pin) {
        const auto is_on_disk = [&] {
            rewrite(pin->data());  // the header, too
            return !pin->log_file().sync() && disk_has(*pin, from);
        };
        if (pin->doubt() == doubt::is_syncing && is_on_disk()) {
            pin->set_doubt(doubt::none);
            return {};
        }
        pin->set_doubt(doubt::has_failed);
        const position used = align_up(scan.at + format::frame_header_size, page_size);
        const position kept = used > pin->search_end() ? used : pin->search_end();
        if (failure why = files_.move_to_new_file(*pin, scan.base, kept < pin->readable() ? kept : pin->readable())) {
            log_->not_moved = log_->not_moved ? std::move(log_->not_moved) : std::move(why);
            return {};
        }
        failure why;
        segment_pin moved = files_.open(files_.log_path(scan.base), files_.index_path(scan.base), why);
        if (!moved) {
            return why;
        }
        moved->set_doubt(doubt::none);
        pin = std::move(moved);
        scan.memory = pin.get();
        ++log_->report.moved_segments;
        return {};
    }

    // ---- another boot: power may have gone ----

    [[nodiscard]] failure believe_evidence(scan_state& scan, std::size_t i) {
        for (;;) {
            if (is_cut_here(scan, i)) {
                return cut_as_told(scan);
            }
            frame_view found;
            if (look_next(scan, found) == look::frame) {
                accept(scan, found);
                if (scan.is_sealed) {
                    return {};
                }
                continue;
            }
            if (failure why = gather_evidence(scan, i)) {
                return why;
            }
            if (log_->checkpoint.durable_offset <= scan.next) {
                return cut(scan);
            }
            if (!step_over_damage(scan)) {
                return {};
            }
        }
    }

    /// The highest durable offset that anything beyond a bad frame tells of.
    /// Errors    a segment is there and cannot be looked at: nobody knows what it tells.
    [[nodiscard]] failure gather_evidence(const scan_state& scan, std::size_t i) {
        gather_evidence(*scan.memory, scan.at + format::frame_alignment, scan.next);
        for (std::size_t later = i + 1; later < bases_.size(); ++later) {
            segment_summary summary;
            failure why;
            const std::string path = files_.log_path(bases_[later]);
            if (files_.open_summary(path, summary, why)) {
                raise_evidence(summary.has_footer ? summary.footer.end_offset : 0);
                if (const auto pin = files_.open(path, files_.index_path(bases_[later]), why)) {
                    gather_evidence(*pin, format::segment_header_size, bases_[later]);
                }
            }
            if (why && why.code != errc::corrupt_record) {
                return why;
            }
        }
        return {};
    }

    void gather_evidence(const mapped_segment& memory, position from, offset next) {
        frame_view found;
        while (find_frame(memory, from, next, found)) {
            if (found.kind() == format::frame_kind::evidence) {
                raise_evidence(found.header.base_timestamp);
            }
            from = found.end();
        }
    }

    void raise_evidence(offset durable) noexcept {
        durable = is_cutting() && durable > cut_at_ ? cut_at_ : durable;  // of what is to go nothing is missed
        if (durable > log_->checkpoint.durable_offset && durable <= largest_offset) {
            log_->checkpoint.durable_offset = durable;
        }
    }

    // ---- a truncation that had begun ----

    [[nodiscard]] bool is_cutting() const noexcept { return cut_at_ >= 0; }
    [[nodiscard]] bool is_cut_here(const scan_state& scan, std::size_t i) const noexcept {
        return is_cutting() && i + 1 == bases_.size() && scan.next >= cut_at_;
    }

    [[nodiscard]] failure cut_as_told(scan_state& scan) {
        scan.is_cut = true;
        log_->report.cut_bytes += erase_behind(*scan.memory, scan.at) - scan.at;
        return sync_erased(files_, *scan.memory, scan.at);
    }

    /// The log ends here. What verifies beyond is copied aside, everything beyond is erased, and that is on the disk
    /// before the first new append: bytes of the old tail must never look like records of the new one.
    [[nodiscard]] failure cut(scan_state& scan) {
        scan.is_cut = true;
        mapped_segment& memory = *scan.memory;
        const position dirty_end = find_dirty_end(memory, scan.at);
        // Positions that readers kept are of another history from now on, also where nothing is left of the one that they
        // are of: pages that never arrived leave no trace. Of a replicated log they are in front of the high watermark, and its leaders
        // have the epochs.
        log_->checkpoint.leader_epoch += is_replicated_ ? 0 : 1;
        ++log_->checkpoint.sequence;
        if (failure why = files_.write_checkpoint(log_->checkpoint)) {
            return why;
        }
        frame_view found;
        position saved_end = scan.at;
        for (position from = scan.at; find_frame(memory, from, scan.next, found); from = found.end()) {
            saved_end = found.end();
        }
        if (saved_end > scan.at) {
            if (failure why = copy_aside(scan, saved_end)) {
                return why;
            }
        }
        erase_behind(memory, scan.at);
        if (failure why = sync_erased(files_, memory, scan.at)) {
            return why;
        }
        log_->report.cut_bytes += dirty_end - scan.at;
        return {};
    }

    /// Under a name of its own, unless a recovery that was killed behind this has made the same copy: one that was killed
    /// while it erased has left less here than it had kept.
    [[nodiscard]] failure copy_aside(const scan_state& scan, position end) {
        const bytes tail{scan.memory->frame(scan.at), end - scan.at};
        const std::string stem = files_.path() + '/' + segment_name(scan.base) + '-' + std::to_string(scan.at);
        std::string path = stem + ".quarantine";
        std::error_code code;
        auto file = files_.platform().open(path, os::open_mode::create, code);
        for (int attempt = 1; code == std::errc::file_exists && attempt < 1'000; ++attempt) {
            if (file = find_copy(path, tail); file) {
                code.clear();
                break;
            }
            path = stem + '.' + std::to_string(attempt) + ".quarantine";
            file = files_.platform().open(path, os::open_mode::create, code);
        }
        if (file && !code) {
            code = file->write_at(0, tail);
        }
        if (file && !code) {
            code = file->sync();
        }
        if (file && !code) {
            code = files_.platform().sync_directory(files_.path());
        }
        if (code) {
            if (file) {
                files_.discard(path);
            }
            return {code, files_.name().text() + ": cannot keep what is cut in " + path + "; make room and open again"};
        }
        log_->report.quarantined.push_back(path);
        return {};
    }

    /// The file, if it holds these very bytes.
    [[nodiscard]] std::unique_ptr<os::file> find_copy(const std::string& path, bytes tail) const {
        std::error_code code;
        auto file = files_.platform().open(path, os::open_mode::read_write, code);
        std::uint64_t size = 0;
        if (!file || file->size(size) || size != tail.size()) {
            return nullptr;
        }
        std::vector<std::byte> copy(tail.size());
        return !file->read_at(0, copy) && std::memcmp(copy.data(), tail.data(), tail.size()) == 0 ? std::move(file) : nullptr;
    }

    [[nodiscard]] failure quarantine_from(std::size_t i) {
        for (; i < bases_.size(); ++i) {
            if (failure why = quarantine(files_.log_path(bases_[i]))) {
                return why;
            }
        }
        return {};
    }

    [[nodiscard]] failure quarantine(const std::string& path) {
        for (int attempt = 0;; ++attempt) {
            const std::string kept = path + (attempt == 0 ? "" : std::string{"."} + std::to_string(attempt)) + ".quarantine";
            const auto code = files_.platform().rename_to_new(path, kept);
            if (code == std::errc::file_exists && attempt < 1'000) {
                continue;
            }
            if (code) {
                return {code, files_.name().text() + ": cannot rename " + path + " to " + kept};
            }
            log_->report.quarantined.push_back(kept);
            is_checkpoint_stale_ = true;
            // Its name may be given again: the old file must not come back under it.
            if (const auto unsynced = files_.platform().sync_directory(files_.path())) {
                return {unsynced, files_.name().text() + ": cannot sync " + files_.path()};
            }
            return {};
        }
    }

    // ---- both ----

    /// The next frame, if it was written there. One whose offsets a segment cannot count was not, whatever its checksum says.
    [[nodiscard]] static look look_next(const scan_state& scan, frame_view& found) noexcept {
        const look seen = look_at(*scan.memory, scan.at, scan.next, trust::verify, found);
        const bool is_counted = scan.next - scan.base <= most_offsets_in_front;
        return seen != look::frame || is_counted ? seen : look::corrupt;
    }

    void accept(scan_state& scan, const frame_view& found) {
        scan.memory->note(found.at, found.end() - found.at, static_cast<std::uint32_t>(scan.next - scan.base));
        scan.next += found.offsets_taken();
        scan.at = found.end();
        scan.is_sealed = found.kind() == format::frame_kind::seal;
        if (!is_replicated_ && found.header.leader_epoch > log_->checkpoint.leader_epoch) {
            log_->checkpoint.leader_epoch = found.header.leader_epoch;  // the checkpoint was lost
        }
        if (found.kind() == format::frame_kind::evidence) {
            raise_evidence(found.header.base_timestamp);
        }
    }

    /// Goes on at the next frame that verifies; false when none does: the rest of the segment is lost.
    [[nodiscard]] bool step_over_damage(scan_state& scan) {
        frame_view found;
        if (!find_frame(*scan.memory, scan.at + format::frame_alignment, scan.next, found) || found.header.base_offset - scan.base > most_offsets_in_front ||
            (is_cutting() && found.header.base_offset > cut_at_)) {
            scan.ends_in_damage = true;
            return false;
        }
        lose(scan.memory->path(), scan.at, found.at, scan.next, found.header.base_offset);
        scan.at = found.at;
        scan.next = found.header.base_offset;
        return true;
    }

    /// Nothing intact follows, in this segment or any other. That a record was there is certain, how many is what the
    /// bad frame says, if it can be read: their offsets are not given again.
    void lose_rest(scan_state& scan) {
        const mapped_segment& memory = *scan.memory;
        offset end = scan.next + 1;
        frame_view bad;
        if (look_at(memory, scan.at, scan.next, trust::written_here, bad) == look::frame && bad.offsets_taken() > 1 &&
            bad.offsets_taken() < bad.end() - bad.at) {
            end = scan.next + bad.offsets_taken();
        }
        if (end < log_->checkpoint.durable_offset) {
            end = log_->checkpoint.durable_offset;
        }
        end = is_cutting() ? cut_at_ : end;
        lose(memory.path(), scan.at, memory.readable(), scan.next, end);
        scan.next = end;
    }

    void lose(const std::string& file, std::uint64_t begin, std::uint64_t end, offset first, offset last) {
        log_->report.damages.push_back({file, begin, end, first, last});
    }

    // ---- the end of the log ----

    [[nodiscard]] failure open_end() {
        offset end = !log_->segments.empty() ? end_ : is_cutting() ? cut_at_ : 0;
        const auto durable = static_cast<offset>(log_->checkpoint.durable_offset);
        if (durable > end) {  // evidence of records that no file has
            if (log_->report.damages.empty() || log_->report.damages.back().last != durable) {
                lose(log_->segments.empty() ? files_.path() : files_.log_path(log_->segments.back()->base), 0, 0, end, durable);
            }
            if (!log_->segments.empty()) {
                log_->segments.back()->ends_in_damage = true;
            }
            end = durable;
            is_open_ = false;
        }
        if (log_->segments.empty() || !is_open_ || end - log_->segments.back()->base > most_offsets_in_front) {
            if (failure why = begin_segment(end)) {
                return why;
            }
        } else {
            segment& last = *log_->segments.back();
            last.pin()->written_from.store(log_->append_at, std::memory_order_relaxed);  // of no other: what lies behind damage is not ours
            last.tail.store(tail_word{static_cast<std::uint64_t>(end - last.base), log_->append_at}.raw(), std::memory_order_relaxed);
            last.allocated = align_up(log_->append_at, page_size);
        }
        log_->end = end;
        for (std::size_t i = 0; i + 1 < log_->segments.size(); ++i) {
            log_->segments[i]->next.store(log_->segments[i + 1].get(), std::memory_order_relaxed);
        }
        if (is_cutting()) {
            log_->checkpoint.cut_plus_one = 0;  // once nothing of it is left, on the disk
            is_checkpoint_stale_ = true;
        }
        if (is_checkpoint_stale_ || log_->checkpoint.sequence == 0) {  // 0: none yet; it also says that segments must exist
            ++log_->checkpoint.sequence;
            return files_.write_checkpoint(log_->checkpoint);
        }
        return {};
    }

    [[nodiscard]] failure no_more_offsets(offset base) const {
        return {errc::corrupt_record, files_.name().text() + ": no segment begins at offset " + std::to_string(base) +
                                          ", behind which there are no more; restore the .log files from a copy"};
    }

    [[nodiscard]] failure begin_segment(offset base) {
        if (base > last_base) {
            return no_more_offsets(base);
        }
        failure why;
        segment_pin pin = files_.create(base, segment_bytes_, first_window, why);
        if (!pin) {
            return why;
        }
        pin->written_from.store(format::segment_header_size, std::memory_order_relaxed);
        if (!log_->segments.empty()) {
            ++log_->report.finished_rolls;
        }
        auto made = std::make_unique<segment>(base, pin, tail_word{0, format::segment_header_size});
        made->allocated = pin->readable();
        made->ready.store(made->allocated - format::frame_header_size, std::memory_order_relaxed);
        log_->segments.push_back(std::move(made));
        log_->append_at = format::segment_header_size;
        return {};
    }

    segment_directory& files_;
    std::uint32_t segment_bytes_;
    bool is_replicated_;
    offset end_ = 0;      // of what was scanned
    offset cut_at_ = -1;  // a truncation that was begun cuts there; -1: none was
    recovered_log* log_ = nullptr;
    std::vector<offset> bases_;  // of the files with a name, ascending
    std::vector<swap_range> swaps_;
    std::vector<std::string> swap_indexes_;
    std::size_t first_scanned_ = 0;
    bool has_spare_ = false;
    bool is_open_ = false;  // the last segment can take appends
    bool is_checkpoint_stale_ = false;
};

}  // namespace brook::inline BROOK_ABI::storage
