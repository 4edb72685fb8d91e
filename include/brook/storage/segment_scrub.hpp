/// \file brook/storage/segment_scrub.hpp
/// One segment walked frame by frame without touching it, also while it is written.
/// Floor 2, storage. What the states mean is told in brook/storage/README.md; recovery.hpp acts on the same ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/file_window.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/verify_report.hpp>

namespace brook::inline BROOK_ABI::storage {

/// A place where the next frame should stand, and does not. What it amounts to depends on what is durable: the partition
/// decides (partition_scrub.hpp).
struct log_break {
    enum class kind {
        gap,          ///< claims that were not published, before a frame that verifies
        open_claims,  ///< claims that were not published, and nothing behind them
        corrupt,      ///< not what was written
        unreadable,   ///< the file system gave an error
        malformed,    ///< a frame that verifies, and contradicts itself
    };
    kind what = kind::gap;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    offset first = 0;
    std::optional<offset> last;        ///< of the frame that stands behind it, if one was found
    std::uint64_t records_before = 0;  ///< in this segment
    std::string why;                   ///< of what is unreadable or malformed
};

/// What a walk through one segment found.
struct scrubbed_segment {
    segment_report report;
    std::vector<log_break> breaks;  ///< in the order of the file
    offset evidence = 0;            ///< everything below was on the disk: by the frame at
    position evidence_at = 0;
    std::uint64_t first_wrong_slot = 0;  ///< position in the index file
    unsigned undecoded_codec = 0;          ///< of the first batch whose codec this process lacks,
    std::uint64_t first_undecoded = 0;     ///< which begins here,
    std::uint64_t first_undecoded_end = 0;  ///< and ends here
    std::optional<read_failure> healed;  ///< a read failed and went well when it was repeated
    bool has_stopped = false;            ///< the visitor had enough
    bool is_given_up = false;            ///< so much is wrong that the rest was not looked at
};

/// Walks a segment from its first frame to the end of what is published.
///
/// Whoever writes it meanwhile is not disturbed, and does not disturb: frames are published by their first word, so a
/// frame that does not verify is read again, its word first; and what changes between two looks is in progress.
///
/// Threads   confined.
/// Cost      reads the file once; searching beyond damage hashes at most some times the file's size. Memory for the
///           largest frame, compressed and not, and 8 bytes a page of the file.
class segment_scrub {
public:
    segment_scrub(const os::file& file, const partition_name& name, const segment_summary& summary, offset base, const scrub_rules& rules,
                  scrubbed_segment& into) noexcept
        : file_{file}, window_{file}, name_{name}, summary_{summary}, base_{base}, rules_{rules}, into_{into}, next_{base} {}

    void walk();

    /// Compares the index with the frames that have been walked. An index is derived: what is wrong in it is harmless.
    void check_index(const os::file& index);

private:
    enum class seen { nothing, frame, corrupt, unreadable };

    static constexpr std::size_t most_breaks = 1'000;     // then the segment is given up: somebody else has to look
    static constexpr unsigned most_bad_pages = 64;        // each may take a disk seconds
    static constexpr std::uint64_t hashed_per_byte = 8;   // in searches: a file of nothing but fake frames ends it
    static constexpr int most_looks = 16;                 // at a gap that changes each time: somebody writes

    // ---- one frame ----

    /// True when the file has bytes up to `end`, by now.
    [[nodiscard]] bool exists(std::uint64_t end);

    /// Looks at `at` for a frame with a base offset of `low` to `high`. A frame that does not verify is read again.
    [[nodiscard]] seen look_at(std::uint64_t at, offset low, offset high);

    [[nodiscard]] seen look_once(std::uint64_t at, offset low, offset high);

    [[nodiscard]] offset highest_base() const noexcept;

    // ---- frames that verify ----

    void accept();

    void walk_records(format::frame_word word, std::uint32_t taken);

    void walk_records(const format::frame_header& header, const std::byte* frame, format::frame_word word, std::uint32_t taken);

    void add_malformed(format::frame_word word, std::uint32_t taken, const char* wrong);

    /// What can be told of a batch without its codec.
    void count_undecoded(format::frame_word word) noexcept;

    void count(const format::record_slice& record) noexcept;

    void count_times(timestamp earliest, timestamp latest) noexcept;

    [[nodiscard]] bool show(const format::record_slice& record) const;

    /// The slots that an appender notes for a frame (mapped_segment::note).
    void expect_slots(position at, std::uint32_t length);

    void check_footer(std::uint64_t seal);

    // ---- places without a frame ----

    struct gap {
        std::uint64_t end = 0;        ///< where something stands that is neither zero nor a marked claim
        std::uint64_t dirty_end = 0;  ///< end of the last claim that left a mark
        bool has_end = false;
        bool is_unreadable = false;
    };

    /// Zeros are stepped over one by one, marked claims whole, if no frame stands within, as an opening does (claim_gap.hpp; PROTOCOL, "What nobody can imitate").
    [[nodiscard]] gap measure_gap();

    /// A file that was cut short may end within a header.
    void look_at_rest(std::uint64_t from, gap& hole);

    /// A writer that claims where zeros have been stepped over makes its payload look like something. Then the next look
    /// finds its mark first, and something else behind; what a look finds again, at the same place, was not of its making.
    void pass_gap();

    /// Goes on at the next frame that verifies, if there is one.
    void pass_damage(log_break::kind what);

    [[nodiscard]] bool find_frame(std::uint64_t from, std::uint64_t until = std::numeric_limits<std::uint64_t>::max());

    /// Searching beyond damage has its price, and who made the file may have meant to raise it.
    [[nodiscard]] bool has_searched_enough() const noexcept { return hashed_ > hashed_per_byte * size_ || bad_pages_ > most_bad_pages; }

    void add_break(log_break found);

    const os::file& file_;
    file_window window_;
    const partition_name& name_;
    const segment_summary& summary_;
    offset base_;
    const scrub_rules& rules_;
    scrubbed_segment& into_;
    std::uint64_t at_ = format::segment_header_size;
    offset next_;
    std::uint64_t size_ = 0;
    bool goes_on_ = true;
    const std::byte* frame_ = nullptr;  // the frame that was looked at last, in the window
    format::frame_header header_{};
    std::uint64_t found_at_ = 0;
    std::uint64_t hashed_ = 0;  // in vain
    unsigned bad_pages_ = 0;
    std::vector<std::uint64_t> decoded_;  // the frame that was compressed last
    std::vector<index_slot> expected_;  // by the page that they are for; at 0: not known
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/segment_scrub.hpp>
#endif
