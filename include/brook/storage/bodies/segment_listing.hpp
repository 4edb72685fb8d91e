/// \file brook/storage/bodies/segment_listing.hpp
/// The functions that segment_listing.hpp declares.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_listing.hpp>
#include <brook/storage/segment_names.hpp>
#include <brook/storage/segment_summary.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE failure segment_listing::find(std::vector<offset>& bases) {
    failure why = list();
    why = why ? std::move(why) : settle_swaps();
    why = why ? std::move(why) : settle_spare();
    bases = std::move(bases_);
    return why;
}

BROOK_INLINE failure segment_listing::list() {
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

BROOK_INLINE failure segment_listing::settle_swaps() {
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
            if (failure why = aside_.put_away(path)) {
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

BROOK_INLINE failure segment_listing::settle_spare() {
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
        std::error_code unread;
        summary.base = base_by_first_frame(*file, summary, unread);
        if (unread) {
            return {unread, files_.name().text() + ": cannot read " + path};
        }
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
    return aside_.put_away(path);
}

BROOK_INLINE failure segment_listing::look_into_spare(const std::string& path, bool& is_used) {
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

BROOK_INLINE failure segment_listing::write_base(const std::string& path, offset base) {
    failure why;
    if (const auto pin = files_.open(path, files_.path() + "/spare.index", why)) {
        segment_directory::set_base(*pin, base);
    }
    return why;
}

BROOK_INLINE failure segment_listing::refuse_rotten_base(const std::string& path, const os::file& file, const segment_summary& summary) const {
    std::error_code unknown;
    const bool is_of_this_boot = same_identity(summary, file, unknown);
    if (unknown) {
        return {unknown, files_.name().text() + ": cannot read the identity of " + path};
    }
    return is_of_this_boot ? failure{errc::corrupt_record, files_.name().text() + ": " + path +
                                                               " does not say where it begins, and perhaps holds the newest records" + advice}
                           : failure{};
}

}  // namespace brook::inline BROOK_ABI::storage
