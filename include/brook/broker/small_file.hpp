/// \file brook/broker/small_file.hpp
/// Small files that are written once, whole, and read whole: broker.meta, topic.meta.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::broker_room {

inline constexpr std::size_t small_file_max = 64 * 1024;

inline constexpr std::string_view broker_meta_kind = "brook-broker";
inline constexpr std::uint32_t broker_meta_version = 1;

/// Throws what went wrong with a path, unless nothing did.
inline void check(std::error_code code, const std::string& what) {
    if (code) {
        throw_error(code, what);
    }
}

/// Under its name, whole and on the disk, or not at all. Its directory must be synced by the caller.
/// Errors    the system's, with the path.
inline void write_small_file(os::platform& platform, const std::string& path, std::string_view text) {
    const std::string temporary = path + ".tmp";
    static_cast<void>(platform.remove(temporary));  // left by a process that died here
    std::error_code code;
    const auto file = platform.open(temporary, os::open_mode::create, code);
    check(code, "cannot create " + temporary);
    check(file->write_at(0, as_bytes(text)), "cannot write " + temporary);
    check(file->sync(), "cannot sync " + temporary);
    check(platform.rename_to_new(temporary, path), "cannot rename " + temporary + " to " + path);
}

/// Errors    the system's, with the path; corrupt_record when it is too large to be what it should be.
[[nodiscard]] inline std::string read_small_file(os::platform& platform, const std::string& path,
                                                 os::open_mode mode = os::open_mode::read_write) {
    std::error_code code;
    const auto file = platform.open(path, mode, code);
    check(code, "cannot open " + path);
    std::uint64_t size = 0;
    check(file->size(size), "cannot read " + path);
    if (size > small_file_max) {
        throw_error(errc::corrupt_record, path + ": " + std::to_string(size) + " bytes; such a file has a few hundred");
    }
    std::string text(static_cast<std::size_t>(size), '\0');
    check(file->read_at(0, as_mutable_bytes(text)), "cannot read " + path);
    return text;
}

}  // namespace brook::inline BROOK_ABI::broker_room
