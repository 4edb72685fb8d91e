/// \file brook/storage/recovery.hpp
/// Opening a partition after whatever happened to it: killed, powered off, damaged.
/// Floor 2, storage. The protocol is told in brook/storage/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/storage/checkpoint_file.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/quarantine.hpp>
#include <brook/storage/recovered_log.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_scan.hpp>

namespace brook::inline BROOK_ABI::storage {

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
    recovery(segment_directory& files, std::uint32_t segment_bytes, bool is_replicated = false)
        : files_{files}, segment_bytes_{segment_bytes}, is_replicated_{is_replicated} {}

    [[nodiscard]] failure run(recovered_log& log);

private:
    // ---- what there is ----

    [[nodiscard]] failure find_files();

    /// A truncation has begun: what it was to cut is in no evidence any more, and the segments behind it go. The newest goes first. Nothing
    /// of it is kept: that it has to go is not inferred, it was decided, and is on the disk.
    [[nodiscard]] failure take_away_cut();

    /// Before anything goes by what it says: the process that wrote it may have been told that it is not on the disk, and this one sees it in
    /// memory.
    [[nodiscard]] failure write_again(format::checkpoint& told);

    // ---- segment by segment ----

    [[nodiscard]] failure scan_segments();

    [[nodiscard]] failure scan_one(std::size_t i, offset& next, bool& goes_on);

    /// A file without a valid header: damage, since a segment has its name only after its header is on the disk. Between
    /// two segments its offsets are known, and lost; at the end nobody can tell where the log should go on.
    [[nodiscard]] failure pass_unreadable(std::size_t i, offset& next);

    // ---- the same boot: the process died ----

    [[nodiscard]] failure mend(segment_scan& scan, std::size_t i);

    /// Whether what comes was on the disk, or is on a majority.
    [[nodiscard]] bool was_relied_upon(const segment_scan& scan) const noexcept;

    // ---- another boot: power may have gone ----

    [[nodiscard]] failure believe_evidence(segment_scan& scan, std::size_t i);

    /// Of anything beyond a bad frame.
    [[nodiscard]] failure gather_evidence(const segment_scan& scan, std::size_t i);

    void raise_evidence(offset durable) noexcept;

    // ---- a truncation that had begun ----

    [[nodiscard]] bool is_cutting() const noexcept { return cut_at_ >= 0; }
    [[nodiscard]] bool is_cut_here(const segment_scan& scan, std::size_t i) const noexcept;

    [[nodiscard]] failure cut_as_told(segment_scan& scan);

    /// The log ends here. What verifies beyond is copied aside, everything beyond is erased, and that is on the disk
    /// before the first new append: bytes of the old tail must never look like records of the new one.
    [[nodiscard]] failure cut(segment_scan& scan);

    [[nodiscard]] failure quarantine_from(std::size_t i);

    // ---- both ----

    void accept(segment_scan& scan, const frame_view& found);

    /// Goes on at the next frame that verifies; false when none does: the rest of the segment is lost.
    [[nodiscard]] bool step_over_damage(segment_scan& scan);

    /// Nothing intact follows, in this segment or any other. That a record was there is certain, how many is what the
    /// bad frame says, if it can be read: their offsets are not given again.
    void lose_rest(segment_scan& scan);

    void lose(const std::string& file, std::uint64_t begin, std::uint64_t end, offset first, offset last);

    // ---- the end of the log ----

    [[nodiscard]] failure open_end();

    segment_directory& files_;
    checkpoint_file checkpoint_{files_};
    quarantine aside_{files_};
    std::uint32_t segment_bytes_;
    bool is_replicated_;
    offset end_ = 0;      // of what was scanned
    offset cut_at_ = -1;  // a truncation that was begun cuts there; -1: none was
    recovered_log* log_ = nullptr;
    std::vector<offset> bases_;  // of the files with a name, ascending
    std::size_t first_scanned_ = 0;
    bool is_open_ = false;  // the last segment can take appends
    bool is_checkpoint_stale_ = false;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/recovery.hpp>
#endif
