/// \file brook/storage/bodies/segment_doubt.hpp
/// The functions that segment_doubt.hpp declares.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
#include <brook/storage/segment_doubt.hpp>

namespace brook::inline BROOK_ABI::storage::detail {

BROOK_INLINE bool comparison::see(bytes piece) noexcept {
    compare(piece, at_ < first_.size() ? first_.data() + at_ : nullptr, first_.size());
    compare(piece, memory_.frame(at_), memory_.search_end());
    is_same_ = is_same_ && std::all_of(piece.begin(), piece.end(), [](std::byte one) { return one == std::byte{0}; });  // stand behind it
    at_ += static_cast<position>(piece.size());
    return is_same_;
}

BROOK_INLINE void comparison::compare(bytes& piece, const std::byte* wanted, std::size_t end) noexcept {
    const std::size_t left = end > at_ ? end - at_ : 0;
    const std::size_t size = left < piece.size() ? left : piece.size();
    is_same_ = is_same_ && (size == 0 || std::memcmp(piece.data(), wanted, size) == 0);
    piece = piece.subspan(size);
    at_ += static_cast<position>(size);
}

}  // namespace brook::inline BROOK_ABI::storage::detail

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE std::error_code compare_with_disk(const os::file& file, const mapped_segment& memory, position from, position end) {
    if (from >= end) {
        return {};
    }
    detail::comparison compared{memory, from};
    const auto code = file.read_from_disk(from, end - from, compared);
    return !code && !compared.is_same() ? std::make_error_code(std::errc::io_error) : code;
}

BROOK_INLINE bool disk_has(const mapped_segment& memory, position from) {
    const position page = from / page_size * page_size;
    return !compare_with_disk(memory.log_file(), memory, 0, page < page_size ? page : page_size) &&
           !compare_with_disk(memory.log_file(), memory, page, memory.readable());
}

}  // namespace brook::inline BROOK_ABI::storage

namespace brook::inline BROOK_ABI::storage::detail {

BROOK_INLINE std::error_code compare_copy(const os::file& copy, bytes first, const mapped_segment& memory, position end) {
    comparison compared{memory, 0, first};
    const auto code = copy.read_from_disk(0, end, compared);
    if (code) {
        return code == std::errc::not_supported ? std::error_code{} : code;
    }
    return compared.is_same() ? std::error_code{} : std::make_error_code(std::errc::io_error);
}

}  // namespace brook::inline BROOK_ABI::storage::detail

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE failure move_to_new_file(segment_directory& files, const mapped_segment& memory, offset base, position end) {
    const std::string temporary = files.log_path(base) + ".tmp";
    files.discard(temporary);
    failure why;
    static_cast<void>(files.admits(end, "a segment", why, false));
    std::error_code code;
    auto copy = files.platform().open(temporary, os::open_mode::create, code);
    if (copy) {
        code = copy->allocate(0, end);
    }
    os::file_identity id;
    if (copy && !code) {
        code = copy->identity(id);
    }
    std::vector<std::byte> first(end < page_size ? end : page_size);
    if (copy && !code) {
        copy_bytes(first.data(), memory.data(), first.size());
        store(first.data() + format::doubt_at, std::uint64_t{0});
        store(first.data() + format::writer_at, format::make_writer(id.boot_id, id.device, id.inode, id.birth_time_ns));
        code = copy->write_at(0, first);
    }
    if (copy && !code && end > page_size) {
        code = copy->write_at(page_size, bytes{memory.frame(page_size), end - page_size});
    }
    if (copy && !code) {
        code = copy->sync();
    }
    if (copy && !code) {
        code = detail::compare_copy(*copy, first, memory, end);
    }
    if (copy && !code) {
        code = files.platform().rename_over(temporary, files.log_path(base));
    }
    if (code) {
        files.discard(temporary);
        return {code, files.name().text() + ": cannot copy " + files.log_path(base) + ", of which a sync has failed, to a new file; see to the disk, make room, and open again"};
    }
    return files.sync_names();
}

BROOK_INLINE failure settle_doubt(segment_directory& files, offset base, position from, position end, segment_pin& pin, doubt_outcome& became) {
    const auto is_on_disk = [&] {
        rewrite(pin->data());  // the header, too
        return !pin->log_file().sync() && disk_has(*pin, from);
    };
    if (pin->doubt() == doubt::is_syncing && is_on_disk()) {
        pin->set_doubt(doubt::none);
        return {};
    }
    pin->set_doubt(doubt::has_failed);
    const position used = align_up(end + format::frame_header_size, page_size);
    const position kept = used > pin->search_end() ? used : pin->search_end();
    if (became.not_moved = move_to_new_file(files, *pin, base, kept < pin->readable() ? kept : pin->readable()); became.not_moved) {
        return {};
    }
    failure why;
    segment_pin moved = files.open(files.log_path(base), files.index_path(base), why);
    if (!moved) {
        return why;
    }
    moved->set_doubt(doubt::none);
    pin = std::move(moved);
    became.is_moved = true;
    return {};
}

}  // namespace brook::inline BROOK_ABI::storage
