/// \file brook/storage/segment_directory.hpp
/// A partition's directory: how its files are made, opened, renamed and removed.
/// Floor 2, storage.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/disk_budget.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_names.hpp>
#include <brook/storage/segment_summary.hpp>

namespace brook::inline BROOK_ABI::storage {

/// The files of one partition.
///
/// Threads   shared, as far as no two calls work on the same file.
/// Errors    failures are returned, with the path in the text; nothing is left behind by a failed creation.
class segment_directory {
public:
    segment_directory(os::platform& platform, std::string path, partition_name name)
        : platform_{&platform}, path_{std::move(path)}, name_{std::make_shared<const partition_name>(std::move(name))} {}

    /// From here on what its files take is counted; null: nobody does.
    void count_in(disk_budget* budget) noexcept { budget_ = budget; }

    /// And from here on it is asked for.
    void heed_budget() noexcept { heeds_budget_ = true; }

    /// Whether a file may take so many bytes of the disk more. `is_asked`: else they are counted alone.
    [[nodiscard]] bool admits(std::uint64_t bytes, const std::string& what, failure& why, bool is_asked = true) const;

    [[nodiscard]] os::platform& platform() const noexcept { return *platform_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const partition_name& name() const noexcept { return *name_; }
    [[nodiscard]] std::string log_path(offset base) const { return path_ + '/' + segment_name(base) + ".log"; }
    [[nodiscard]] std::string index_path(offset base) const { return path_ + '/' + segment_name(base) + ".index"; }

    /// Makes a segment that nothing refers to yet: its header and its name are on the disk when this returns.
    /// A spare (`base` absent) is called spare.log until the roll that takes it.
    /// `is_unlimited`: the budget is not asked.
    [[nodiscard]] segment_pin create(std::optional<offset> base, std::uint32_t capacity, std::uint32_t first_bytes, failure& why, bool is_unlimited = false);

    /// Gives a taken spare its name. Never over a file that is there already. May be called again after a failure: what
    /// it had renamed by then is no longer there under its old name.
    [[nodiscard]] failure name_spare(offset base);

    [[nodiscard]] std::string swap_path(const swap_range& range) const { return path_ + '/' + swap_name(range); }

    /// Gives what a compaction has made its place: the files go that it was made from, and then it takes the name of the first.
    /// `bases`: of those files. May be called again after a failure, or a death.
    [[nodiscard]] failure put_in_place(const swap_range& range, const std::vector<offset>& bases);

    /// Takes a deleted segment's file away from its name, to be made into a spare by `recycle`. Until then an opening removes it.
    /// False, and nothing has changed: that cannot be done.
    [[nodiscard]] bool take_for_recycling(offset base);

    /// Makes the file that was taken into a spare of this capacity: as a new one would be, but for its pages, which are in memory, and
    /// its space on the disk, which it has. Its bytes are of another life, so all of them become zero, and are on the disk as such,
    /// before it has a name that counts; and it has a new seed.
    /// Cost      writes it whole, and syncs it.
    [[nodiscard]] segment_pin recycle(std::uint32_t capacity, failure& why);

    void discard_spare() noexcept;

    /// Maps a segment that is on the disk. An index that is missing is made anew, and does without where it cannot be.
    [[nodiscard]] segment_pin open(const std::string& log_path, const std::string& index_path, failure& why);

    /// Reads and checks a segment's header without mapping it.
    /// Errors    corrupt_record when it is not this partition's segment, unsupported_version, or the system's.
    [[nodiscard]] std::unique_ptr<os::file> open_summary(const std::string& log_path, segment_summary& summary, failure& why);

    /// Says who appends from now on: before the first append, so that a kill is never taken for a power loss.
    [[nodiscard]] static failure sign(mapped_segment& segment, const partition_name& name);

    /// Stores the base offset of a spare: the moment that makes it part of the log.
    static void set_base(mapped_segment& segment, offset base) noexcept;

    [[nodiscard]] static constexpr std::uint64_t index_file_bytes(std::uint32_t capacity) noexcept {
        return align_up(std::uint64_t{index_slots(capacity)} * sizeof(index_slot), std::uint64_t{4096});
    }

    /// Takes a segment's files away. What readers have mapped stays readable to them.
    [[nodiscard]] failure remove(offset base);

    /// The names of its files are on the disk.
    [[nodiscard]] failure sync_names() const;

    void discard(const std::string& path) noexcept;

private:
    /// Moves `end` back to where a file's last zeros begin. By reads, which take no disk space for holes.
    [[nodiscard]] static std::error_code find_zeros(const os::file& file, position& end);

    /// The index is derived: without one, look-ups walk the segment. What a lost one said of doubt is not known: a new one says that first, so that
    /// one that was not made to its end has it, or not even room for it.
    [[nodiscard]] std::unique_ptr<os::file> open_index(const std::string& path, std::uint32_t capacity, std::unique_ptr<os::mapping>& map);

    /// True for what a creation left that failed behind its rename, and could not even remove the file: this very segment,
    /// without a frame.
    [[nodiscard]] bool is_left_over(const std::string& log_path, std::optional<offset> base);

    segment_pin refuse(failure& why, std::error_code code, const std::string& what) const;

    [[nodiscard]] segment_pin write_new(const std::string& stem, std::optional<offset> base, std::uint32_t capacity,
                                        std::uint32_t window, failure& why);

    [[nodiscard]] std::string recycled_path() const { return path_ + "/recycled.log.tmp"; }

    /// Gives a file of zeros its header, its index, and its name.
    [[nodiscard]] segment_pin finish_new(const std::string& stem, const std::string& temporary, std::optional<offset> base, std::uint32_t capacity,
                                         std::uint32_t window, std::unique_ptr<os::file> log, failure& why);

    os::platform* platform_;
    disk_budget* budget_ = nullptr;
    bool heeds_budget_ = false;
    std::string path_;
    std::shared_ptr<const partition_name> name_;  // of each segment, too: what was read outlives us
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/segment_directory.hpp>
#endif
