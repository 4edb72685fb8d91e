/// \file brook/storage/compaction_output.hpp
/// The segment that a compaction writes: what it keeps of one or several others.
/// Floor 2, storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Writes records with the offsets that they have always had, gathered into batches that tell which offsets they leave out,
/// and in between fillers for what nothing is left of. Nothing covers offsets of two leader epochs, so that a position is
/// still known by its offset and epoch.
///
/// Nobody sees the file before `commit`: it has a name that an opening removes.
///
/// Threads   confined.
/// Cost      1 MiB of memory, and one write a MiB; a batch is copied once on the way.
class compaction_output {
public:
    compaction_output(segment_directory& files, offset base)
        : files_{files},
          base_{base},
          log_temporary_{files.path() + '/' + segment_name(base) + ".compacted.log.tmp"},
          index_temporary_{files.path() + '/' + segment_name(base) + ".compacted.index.tmp"} {}

    compaction_output(const compaction_output&) = delete;
    compaction_output& operator=(const compaction_output&) = delete;
    ~compaction_output();

    /// Where a record comes from.
    struct origin {
        bool is_append_time = false;
        unsigned codec = format::codec_none;  ///< what was compressed is compressed again,
        std::size_t batch_bytes = 0;          ///< with as much beside it as it was
    };

    /// Errors    what the disk said.
    [[nodiscard]] failure create();

    // ---- frame by frame: begin_frame, what is kept of it, end_frame ----

    /// What comes is of the frame at this offset, of this leader epoch.
    [[nodiscard]] failure begin_frame(offset at, std::uint32_t epoch);

    /// `compacted_at`: the batch_detail's, of a tombstone.
    [[nodiscard]] failure keep(const format::record_slice& record, const origin& from, std::uint32_t compacted_at);

    /// All of it, as it is. `uncompressed`: how large it is when it has been decoded.
    [[nodiscard]] failure keep_whole(const frame_view& frame, std::uint32_t uncompressed);

    /// It has tombstones of that time: known to `keep`, but not to `keep_whole`. 0: they have not been compacted yet.
    void note_tombstones(std::uint32_t compacted_at) noexcept;

    void end_frame(offset end) noexcept { reached_ = end; }

    // ---- as a whole ----

    /// Bytes that it has as yet, but for the batch that is open.
    [[nodiscard]] std::uint64_t size() const noexcept { return flushed_ + buffer_.size() + entries_.size(); }
    [[nodiscard]] offset reached() const noexcept { return reached_; }
    [[nodiscard]] std::uint32_t epoch() const noexcept { return epoch_; }

    /// A state to which it can return.
    struct mark {
        std::uint64_t end = 0;
        offset reached = 0;
        std::uint32_t epoch = 0;
        std::uint32_t most_uncompressed = 0;
        std::uint32_t oldest_tombstones = 0;
    };
    [[nodiscard]] failure set_mark(mark& here);

    /// Forgets what came behind a mark.
    void return_to(const mark& there) noexcept;

    /// Brings it to the disk, whole, and gives it the name by which it counts: from then on it stands for its range, and an
    /// opening puts it in its place if nobody else has.
    ///
    /// `sealed_at`: the footer's.
    /// Returns   null, and `why`: nothing has changed, unless `is_unsure`: it may have that name, and the log must not be
    ///           compacted any more until it is opened again.
    [[nodiscard]] std::unique_ptr<segment> commit(std::int64_t sealed_at, failure& why, bool& is_unsure);

private:
    static constexpr std::size_t write_size = mib;
    static constexpr std::size_t first_room = 256 * kib;
    static constexpr std::size_t batch_size = 16 * kib;  // a look-up by offset walks half of one
    static constexpr std::size_t compressed_batch_size = 64 * kib;
    static constexpr std::uint64_t largest_file = gib * std::uint64_t{2} - 2 * mib;  // positions have 31 bits

    [[nodiscard]] failure refuse(std::error_code code, const std::string& what) const { return {code, files_.name().text() + ": compaction: " + what}; }
    [[nodiscard]] static std::uint32_t size_of(bytes some) noexcept { return static_cast<std::uint32_t>(some.size()); }
    [[nodiscard]] std::int64_t tombstones_since() const noexcept { return std::int64_t{oldest_tombstones_} * 1'000'000'000; }

    void discard() noexcept;

    /// True when the name is gone for sure.
    [[nodiscard]] bool take_back(const std::string& path, const std::string& path_of_index) noexcept;

    void forget_batch() noexcept;

    /// Offsets up to `end` belong to what was kept before it; to a filler where that is nothing.
    [[nodiscard]] failure close_batch(offset end);

    /// Where that makes it smaller; in place.
    void compress(std::byte* content, std::size_t size, format::frame_header& header);

    [[nodiscard]] failure write_seal(offset end);

    /// Room for a frame at the end of the buffer, zero.
    [[nodiscard]] std::byte* take(std::uint32_t size);

    /// The header of the frame that was taken last, whose rest is in place.
    [[nodiscard]] failure put(std::byte* frame, format::frame_header header);

    [[nodiscard]] failure flush();

    /// What is left to write, the header last.
    [[nodiscard]] failure write_rest(position used, position seal, offset end, std::int64_t sealed_at);

    /// Derived: without it look-ups walk.
    void write_index(position used);

    segment_directory& files_;
    offset base_;
    std::string log_temporary_;
    std::string index_temporary_;
    std::unique_ptr<os::file> file_;
    std::uint64_t seed_ = 0;
    std::vector<std::byte> buffer_;     // what comes behind
    std::uint64_t flushed_ = 0;         // this position
    std::uint64_t highest_ = 0;         // up to where something was written that was forgotten
    std::vector<index_slot> slots_;
    std::vector<std::byte> packed_;

    offset covered_ = 0;                // offsets below it have been written,
    offset reached_ = 0;                // and below this one decided
    std::uint32_t epoch_ = 0;
    origin origin_;                     // of the batch that is open
    std::int64_t base_timestamp_ = 0;
    std::int64_t largest_delta_ = 0;
    bool has_tombstone_ = false;        // as old as
    std::uint32_t compacted_at_ = 0;
    std::vector<format::record_detail> details_;  // one a record; empty: no batch is open
    std::vector<std::byte> entries_;

    std::uint32_t most_uncompressed_ = 0;
    std::uint32_t oldest_tombstones_ = 0;  // s since 1970; 0: none
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/compaction_output.hpp>
#endif
