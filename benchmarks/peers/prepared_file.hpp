/// \file peers/prepared_file.hpp
/// Files that find their pages ready. brook's upkeep prepares a busy topic's segments ahead of the writer, so whoever else
/// writes through a mapping gets the same here: disk space, zeros written 1 MiB at a time, all of it in the page cache.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

namespace brook::bench {

/// Writes zeros from `begin` up to `end`, into a file that may exist. Whatever was there before `begin` stays.
inline void prepare_file(const std::string& path, std::uint64_t begin, std::uint64_t end) {
    constexpr std::uint64_t chunk = std::uint64_t{1} << 20;
    const std::vector<std::byte> zeros(chunk);
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool is_good = file >= 0;
    for (std::uint64_t at = begin; is_good && at < end;) {
        const std::uint64_t piece = std::min(end - at, chunk - at % chunk);
        is_good = ::pwrite(file, zeros.data(), piece, static_cast<off_t>(at)) == static_cast<ssize_t>(piece);
        at += piece;
    }
    const int why = errno;
    if (file >= 0) {
        ::close(file);
    }
    if (!is_good) {
        throw std::system_error{why, std::system_category(), "preparing " + path};
    }
}

}  // namespace brook::bench
