/// \file brook/storage/segment_listing.hpp
/// Which segments a directory has: those with a name, and those that were about to get one.
/// Floor 2, storage.
#pragma once

#include <string>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/quarantine.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_names.hpp>
#include <brook/storage/segment_summary.hpp>

namespace brook::inline BROOK_ABI::storage {

/// The segments that a directory has, once each has its name.
///
/// A process may have died between what made a file count and the rename that gives it its name: of a compaction's output, which stands for
/// the files that it was made from, and of a spare that a roll has taken. That is brought to its end, and what never had a name that counts goes.
///
/// Threads   confined.
class segment_listing {
public:
    segment_listing(segment_directory& files, quarantine& aside) noexcept : files_{files}, aside_{aside} {}

    /// Their base offsets, ascending.
    /// Errors    corrupt_record: a spare holds the newest records perhaps, and cannot be read. What the system said.
    [[nodiscard]] failure find(std::vector<offset>& bases);

private:
    [[nodiscard]] failure list();

    /// What a compaction has made, and has not got the place of what it was made from: the process died in between. It was on
    /// the disk, whole, before it had this name; what it was made from may be there, or a part of it.
    [[nodiscard]] failure settle_swaps();

    /// A spare with a base offset is the newest segment: the process died between the roll and the rename.
    [[nodiscard]] failure settle_spare();

    static constexpr const char* advice = "; restore it from a copy, or move it away to go on without them";

    /// Whether anything was ever claimed in it.
    [[nodiscard]] failure look_into_spare(const std::string& path, bool& is_used);

    [[nodiscard]] failure write_base(const std::string& path, offset base);

    /// In the boot that it was stored in a base offset is whole, so that it has rotted. In another it may never have got to
    /// the disk, and then nothing behind it was durable.
    [[nodiscard]] failure refuse_rotten_base(const std::string& path, const os::file& file, const segment_summary& summary) const;

    segment_directory& files_;
    quarantine& aside_;
    std::vector<offset> bases_;  // of the files with a name, ascending
    std::vector<swap_range> swaps_;
    std::vector<std::string> swap_indexes_;
    bool has_spare_ = false;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/segment_listing.hpp>
#endif
