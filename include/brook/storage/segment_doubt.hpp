/// \file brook/storage/segment_doubt.hpp
/// Whether the disk has what memory shows of a segment, and what becomes of one of which nobody knows.
/// Floor 2, storage.
#pragma once

#include <cstddef>
#include <system_error>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

namespace detail {

/// Compares a file, as it is read, with what a segment shows in memory from a position on, and its beginning with `first` where that is told.
class comparison final : public os::piece_reader {
public:
    comparison(const mapped_segment& memory, position from, bytes first = {}) noexcept : memory_{memory}, at_{from}, first_{first} {}

    [[nodiscard]] BROOK_INLINE bool see(bytes piece) noexcept override;

    [[nodiscard]] bool is_same() const noexcept { return is_same_; }

private:
    /// What lies in front of `end`.
    void compare(bytes& piece, const std::byte* wanted, std::size_t end) noexcept;

    const mapped_segment& memory_;
    position at_;
    bytes first_;
    bool is_same_ = true;
};

}  // namespace detail

/// Whether the disk has what the file shows in memory, from `from` on. Nobody stores there meanwhile.
///
/// Requires  that a sync has just succeeded: of what is dirty nothing can be said. `from` is a multiple of 4096.
/// Errors    not_supported: nobody can tell. io_error: it has something else.
/// Cost      opens the file once more, and allocates once.
[[nodiscard]] BROOK_INLINE std::error_code compare_with_disk(const os::file& file, const mapped_segment& memory, position from, position end);

/// Whether the disk has what a segment shows in memory: its header, and all of it from `from` on. False where nobody can tell.
///
/// Requires  as compare_with_disk.
[[nodiscard]] BROOK_INLINE bool disk_has(const mapped_segment& memory, position from);

namespace detail {

/// That the disk has a copy. Where nobody can tell, what its sync said has to do: it was the first one of fresh pages.
[[nodiscard]] BROOK_INLINE std::error_code compare_copy(const os::file& copy, bytes first, const mapped_segment& memory, position end);

}  // namespace detail

/// Puts what a segment shows in memory, up to `end`, into a new file, and that in the place of the old one: on fresh pages, which no sync has
/// failed to write. It counts when it is on the disk, whole. Who has the old file mapped keeps it.
///
/// Errors    what the disk said. The old file stands, and stays in doubt, unless it was the last step that failed; then the new one may.
[[nodiscard]] BROOK_INLINE failure move_to_new_file(segment_directory& files, const mapped_segment& memory, offset base, position end);

/// What has become of a segment that was in doubt.
struct doubt_outcome {
    bool is_moved = false;  ///< it goes on in a new file
    failure not_moved;      ///< it has to, and cannot: it stays in doubt
};

/// Settles the doubt of a segment whose frames end at `end`, in the boot that it was written in. `from` on it may not be on the disk.
///
/// A sync of the segment has failed, or was under way when the process died. Its pages may pass for clean and not be on the disk, and a file
/// system that takes their blocks for written by now never brings them there, however often they are made dirty, and calls each sync a
/// success. Where it is certain that one has failed the segment goes into a new file; else it does when the disk has something else than
/// memory after a sync, or nobody can tell. Killed at any instruction, the segment is in doubt as before, and this is done again. Where there
/// is no doubt nothing is written again: a write-back that failed with nobody told is told to the next sync of a file that is opened behind
/// it (errseq_sample in the kernel's lib/errseq.c).
///
/// Errors    the new file cannot be opened. `pin` is the segment's memory, and is another when it has been moved.
[[nodiscard]] BROOK_INLINE failure settle_doubt(segment_directory& files, offset base, position from, position end, segment_pin& pin, doubt_outcome& became);

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/segment_doubt.hpp>
#endif
