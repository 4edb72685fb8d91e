/// \file brook/storage/bodies/segment_directory.hpp
/// The functions that segment_directory.hpp declares.
#pragma once

#include <array>
#include <cstddef>
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
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_names.hpp>
#include <brook/storage/segment_summary.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE bool segment_directory::admits(std::uint64_t bytes, const std::string& what, failure& why, bool is_asked) const {
    if (budget_ == nullptr) {
        return true;
    }
    if (!heeds_budget_ || !is_asked) {
        budget_->note(bytes);
        return true;
    }
    why = budget_->admit(bytes);
    if (why) {
        why.text = name_->text() + ": no disk space for " + what + ": " + why.text;
    }
    return !why;
}

BROOK_INLINE segment_pin segment_directory::create(std::optional<offset> base, std::uint32_t capacity, std::uint32_t first_bytes, failure& why,
                                                   bool is_unlimited) {
    const std::string stem = path_ + '/' + (base ? segment_name(*base) : std::string{"spare"});
    discard(stem + ".log.tmp");
    discard(stem + ".index");  // an index without its log is nobody's
    const std::uint32_t window = first_bytes < capacity ? first_bytes : capacity;
    const bool is_admitted = admits(window + index_file_bytes(capacity), "a segment", why, !is_unlimited);
    segment_pin made = is_admitted ? write_new(stem, base, capacity, window, why) : nullptr;
    if (!made) {
        discard(stem + ".log.tmp");
        discard(stem + ".index");
    }
    return made;
}

BROOK_INLINE failure segment_directory::name_spare(offset base) {
    const std::string from = path_ + "/spare";
    const std::string to = path_ + '/' + segment_name(base);
    if (const auto code = platform_->rename_to_new(from + ".log", to + ".log")) {
        if (code != std::errc::no_such_file_or_directory) {
            return {code, name_->text() + ": cannot rename " + from + ".log to " + to + ".log"};
        }
    } else {
        discard(to + ".index");  // an index whose log was not there is nobody's
    }
    if (const auto code = platform_->rename_to_new(from + ".index", to + ".index"); code && code != std::errc::no_such_file_or_directory) {
        return {code, name_->text() + ": cannot rename " + from + ".index to " + to + ".index"};
    }
    return sync_names();
}

BROOK_INLINE failure segment_directory::put_in_place(const swap_range& range, const std::vector<offset>& bases) {
    std::uint64_t bytes = 0;
    const auto looked = platform_->disk_bytes(swap_path(range), bytes);
    const bool is_in_place = looked == std::errc::no_such_file_or_directory;  // then what has its name must stay
    if (looked && !is_in_place) {
        return {looked, name_->text() + ": cannot look at " + swap_path(range)};
    }
    for (const offset base : bases) {
        if (failure why = is_in_place ? failure{} : remove(base)) {
            return why;
        }
    }
    if (failure why = sync_names()) {
        return why;  // they might be back, beside what stands for them
    }
    const std::string from = swap_path(range);
    const std::string to = log_path(range.base);
    if (platform_->rename_to_new(from + ".index", index_path(range.base)) == std::errc::file_exists) {  // made by who came just before
        discard(index_path(range.base));
        static_cast<void>(platform_->rename_to_new(from + ".index", index_path(range.base)));  // derived: without it look-ups walk
    }
    if (const auto code = platform_->rename_to_new(from, to); code && code != std::errc::no_such_file_or_directory) {
        return {code, name_->text() + ": cannot rename " + from + " to " + to};
    }
    return sync_names();
}

BROOK_INLINE bool segment_directory::take_for_recycling(offset base) {
    discard(recycled_path());
    if (platform_->rename_to_new(log_path(base), recycled_path())) {
        return false;
    }
    discard(index_path(base));
    return true;
}

BROOK_INLINE segment_pin segment_directory::recycle(std::uint32_t capacity, failure& why) {
    const std::string path = recycled_path();
    if (const auto code = platform_->sync_directory(path_)) {  // zeros must not come back under the old name
        return refuse(why, code, "cannot sync " + path_);
    }
    std::error_code code;
    auto log = platform_->open(path, os::open_mode::read_write, code);
    if (log) {
        code = log->allocate(0, capacity);  // what was behind its end has been given back
    }
    static constexpr std::array<std::byte, 256 * 1024> zeros{};
    for (std::uint64_t at = 0; !code && at < capacity;) {
        const auto size = static_cast<std::size_t>(capacity - at < zeros.size() ? capacity - at : zeros.size());
        code = log->write_at(at, bytes{zeros}.first(size));
        at += size;
    }
    if (code) {
        return refuse(why, code, "cannot clear " + path);
    }
    discard(path_ + "/spare.index");
    segment_pin made = finish_new(path_ + "/spare", path, std::nullopt, capacity, capacity, std::move(log), why);
    if (!made) {
        discard(path);
        discard(path_ + "/spare.index");
    }
    return made;
}

BROOK_INLINE void segment_directory::discard_spare() noexcept {
    discard(path_ + "/spare.log");
    discard(path_ + "/spare.index");
}

BROOK_INLINE segment_pin segment_directory::open(const std::string& log_path, const std::string& index_path, failure& why) {
    segment_summary summary;
    std::unique_ptr<os::file> log = open_summary(log_path, summary, why);
    if (!log) {
        return nullptr;
    }
    std::uint64_t size = 0;
    if (const auto code = log->size(size)) {
        return refuse(why, code, "cannot read the size of " + log_path);
    }
    std::error_code code;
    auto log_map = log->map(summary.birth.capacity, code);
    if (!log_map) {
        return refuse(why, code, "cannot map " + log_path);
    }
    std::unique_ptr<os::mapping> index_map;
    std::unique_ptr<os::file> index = open_index(index_path, summary.birth.capacity, index_map);
    const auto readable = static_cast<position>(size < summary.birth.capacity ? size : summary.birth.capacity);
    position zeros_from = readable;
    if (code = find_zeros(*log, zeros_from); code) {
        return refuse(why, code, "cannot read " + log_path);
    }
    auto opened = std::make_shared<mapped_segment>(name_, std::string{log_path}, std::move(log), std::move(index), std::move(log_map), std::move(index_map),
                                                   summary.birth, readable);
    const auto kept = align_up(std::uint64_t{zeros_from} + format::frame_header_size, std::uint64_t{4096});  // as far as closing leaves the disk space
    opened->set_search_end(kept < readable ? static_cast<position>(kept) : readable);
    return opened;
}

BROOK_INLINE std::unique_ptr<os::file> segment_directory::open_summary(const std::string& log_path, segment_summary& summary, failure& why) {
    std::error_code code;
    auto file = platform_->open(log_path, os::open_mode::read_write, code);
    if (!file) {
        refuse(why, code, "cannot open " + log_path);
        return nullptr;
    }
    std::array<std::byte, format::segment_header_size> raw{};
    std::uint64_t size = 0;
    code = file->size(size);
    if (!code && size >= raw.size()) {
        code = file->read_at(0, raw);
    }
    if (code) {
        refuse(why, code, "cannot read " + log_path);
        return nullptr;
    }
    why = summarize(bytes{raw}.first(size < raw.size() ? 0 : raw.size()), log_path, *name_, summary);
    return why ? nullptr : std::move(file);
}

BROOK_INLINE failure segment_directory::sign(mapped_segment& segment, const partition_name& name) {
    os::file_identity id;
    if (const auto code = segment.log_file().identity(id)) {
        return {code, name.text() + ": cannot read the identity of " + segment.path()};
    }
    store(segment.data() + format::writer_at, format::make_writer(id.boot_id, id.device, id.inode, id.birth_time_ns));
    return {};
}

BROOK_INLINE void segment_directory::set_base(mapped_segment& segment, offset base) noexcept {
    const auto plus_one = static_cast<std::uint64_t>(base) + 1;
    atomic_at<std::uint64_t>(segment.data() + format::base_check_at)
        .store(format::base_check(segment.seed(), plus_one), std::memory_order_relaxed);
    atomic_at<std::uint64_t>(segment.data() + format::base_at).store(plus_one, std::memory_order_release);
}

BROOK_INLINE failure segment_directory::remove(offset base) {
    discard(index_path(base));
    const std::string path = log_path(base);
    const auto code = platform_->remove(path);
    return code && code != std::errc::no_such_file_or_directory ? failure{code, name_->text() + ": cannot remove " + path} : failure{};
}

BROOK_INLINE failure segment_directory::sync_names() const {
    const auto code = platform_->sync_directory(path_);
    return code ? failure{code, name_->text() + ": cannot sync " + path_} : failure{};
}

BROOK_INLINE void segment_directory::discard(const std::string& path) noexcept {
    static_cast<void>(platform_->remove(path));  // missing is what we want; anything else shows at the next use of the name
}

BROOK_INLINE std::error_code segment_directory::find_zeros(const os::file& file, position& end) {
    std::array<std::byte, 32 * 1024> raw;
    while (end > 0) {
        const auto size = end < raw.size() ? end : static_cast<position>(raw.size());
        if (const auto code = file.read_at(end - size, mutable_bytes{raw}.first(size))) {
            return code;
        }
        if (raw[0] != std::byte{0} || std::memcmp(raw.data(), raw.data() + 1, size - 1) != 0) {  // not all alike, and zero
            for (position left = size; raw[left - 1] == std::byte{0}; --left) {
                --end;
            }
            return {};
        }
        end -= size;
    }
    return {};
}

BROOK_INLINE std::unique_ptr<os::file> segment_directory::open_index(const std::string& path, std::uint32_t capacity,
                                                                     std::unique_ptr<os::mapping>& map) {
    std::error_code code;
    const std::uint64_t size = index_file_bytes(capacity);
    auto index = platform_->open(path, os::open_mode::read_write, code);
    if (!index && code == std::errc::no_such_file_or_directory) {
        index = platform_->open(path, os::open_mode::create, code);
    }
    std::uint64_t before = 0;
    std::array<std::byte, sizeof(doubt)> first{};
    store(first.data(), doubt::is_syncing);
    if (index && !index->size(before) && (before >= first.size() || !index->write_at(0, first)) && !index->allocate(0, size)) {
        map = index->map(size, code);
    }
    return map ? std::move(index) : nullptr;
}

BROOK_INLINE bool segment_directory::is_left_over(const std::string& log_path, std::optional<offset> base) {
    segment_summary summary;
    failure unreadable;
    std::array<std::byte, sizeof(std::uint64_t)> first_word{};
    const auto file = open_summary(log_path, summary, unreadable);
    return file && summary.base == base && summary.is_spare == !base && !file->read_at(format::segment_header_size, first_word) &&
           load<std::uint64_t>(first_word.data()) == 0;
}

BROOK_INLINE segment_pin segment_directory::refuse(failure& why, std::error_code code, const std::string& what) const {
    why = {code, name_->text() + ": " + what};
    return nullptr;
}

BROOK_INLINE segment_pin segment_directory::write_new(const std::string& stem, std::optional<offset> base, std::uint32_t capacity,
                                                      std::uint32_t window, failure& why) {
    std::error_code code;
    const std::string temporary = stem + ".log.tmp";
    auto log = platform_->open(temporary, os::open_mode::create, code);
    if (!log) {
        return refuse(why, code, "cannot create " + temporary);
    }
    if (code = log->allocate(0, window); code) {
        return refuse(why, code, std::string{"cannot take "} + std::to_string(window) + " bytes of disk for " + temporary);
    }
    return finish_new(stem, temporary, base, capacity, window, std::move(log), why);
}

BROOK_INLINE segment_pin segment_directory::finish_new(const std::string& stem, const std::string& temporary, std::optional<offset> base,
                                                       std::uint32_t capacity, std::uint32_t window, std::unique_ptr<os::file> log, failure& why) {
    std::error_code code;
    const auto birth = format::make_birth(platform_->random(), capacity, name_->topic_id, name_->number);
    std::array<std::byte, format::segment_header_size> header{};
    store(header.data(), birth);
    if (base) {
        const auto plus_one = static_cast<std::uint64_t>(*base) + 1;
        store(header.data() + format::base_at, plus_one);
        store(header.data() + format::base_check_at, format::base_check(birth.seed, plus_one));
    }
    if (code = log->write_at(0, header); code) {
        return refuse(why, code, "cannot write " + temporary);
    }
    const std::uint64_t index_bytes = index_file_bytes(capacity);
    auto index = platform_->open(stem + ".index", os::open_mode::create, code);
    if (!index) {
        return refuse(why, code, "cannot create " + stem + ".index");
    }
    if (code = index->allocate(0, index_bytes); code) {
        return refuse(why, code, std::string{"cannot take "} + std::to_string(index_bytes) + " bytes of disk for " + stem + ".index");
    }
    auto log_map = log->map(capacity, code);
    if (!log_map) {
        return refuse(why, code, "cannot map " + temporary);
    }
    auto index_map = index->map(index_bytes, code);
    if (!index_map) {
        return refuse(why, code, "cannot map " + stem + ".index");
    }
    auto made = std::make_shared<mapped_segment>(name_, stem + ".log", std::move(log), std::move(index), std::move(log_map),
                                                 std::move(index_map), birth, window);
    if (why = sign(*made, *name_); why) {
        return nullptr;
    }
    // The order of R5: the header on the disk, then the name, then the directory. Only then may anything rely on it.
    if (code = made->log_file().sync(); code) {
        return refuse(why, code, "cannot sync " + temporary);
    }
    code = platform_->rename_to_new(temporary, stem + ".log");
    if (code == std::errc::file_exists && is_left_over(stem + ".log", base)) {
        discard(stem + ".log");
        code = platform_->rename_to_new(temporary, stem + ".log");
    }
    if (code) {
        return refuse(why, code, "cannot rename " + temporary + " to " + stem + ".log");
    }
    if (code = platform_->sync_directory(path_); code) {
        discard(stem + ".log");
        return refuse(why, code, "cannot sync " + path_);
    }
    return made;
}

}  // namespace brook::inline BROOK_ABI::storage
