/// \file brook/storage/segment_erase.hpp
/// A segment ends here: nothing is left behind, in memory, in its index, and on the disk.
/// Floor 2, storage.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <system_error>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_doubt.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Where the last word behind `at` that is not zero ends, or the file, if that was cut within one; `at` where all of them are.
[[nodiscard]] inline position find_dirty_end(const mapped_segment& memory, position at) noexcept {
    position dirty_end = at;
    const position end = memory.search_end();
    position here = at;
    for (; here < end && end - here >= 8; here += 8) {
        if (load<std::uint64_t>(memory.frame(here)) != 0) {
            dirty_end = here + 8;
        }
    }
    for (; here < end; ++here) {
        if (*memory.frame(here) != std::byte{0}) {
            dirty_end = here + 1;
        }
    }
    return dirty_end;
}

/// Leaves nothing of a segment from `at` on, in memory: no frame, no footer, no slot of its index.
/// Returns   the end of what was there.
///
/// Threads   readers may look at the word at `at` meanwhile, and at nothing behind it.
inline position erase_behind(mapped_segment& memory, position at) noexcept {
    const position dirty_end = find_dirty_end(memory, at);
    if (dirty_end - at >= 8) {
        atomic_at<std::uint64_t>(memory.frame(at)).store(0, std::memory_order_release);
        std::memset(memory.frame(at + 8), 0, dirty_end - at - 8);
    } else {
        std::memset(memory.frame(at), 0, dirty_end - at);  // a file that was cut there has no readers yet
    }
    store(memory.data() + format::footer_at, std::array<std::byte, sizeof(format::segment_footer)>{});
    memory.forget_behind(at);
    return dirty_end;
}

/// Brings to the disk that a segment ends at `at`. Also where there was nothing to erase: it may have been erased by a recovery that was
/// killed before it had synced.
///
/// Requires  that it was erased there, in memory.
[[nodiscard]] inline failure sync_erased(const segment_directory& files, mapped_segment& memory, position at) {
    // Zeros that could not be written pass for clean then, and the disk may have the old tail, also where a recovery
    // before this one erased it: who comes next, in this boot, would take them for what is there. Written again, they
    // are dirty, and the next sync brings them to the disk, or fails, too. Not stored, since a hole may be among
    // them, and the disk full.
    const auto write_again = [&]() -> std::error_code {
        static constexpr std::array<std::byte, page_size> zeros{};
        for (position here = at; here < memory.readable();) {
            const position end = align_up(here + 1, page_size) < memory.readable() ? align_up(here + 1, page_size) : memory.readable();
            const auto code = memory.log_file().write_at(here, bytes{zeros}.first(end - here));
            if (code && code != std::errc::no_space_on_device) {  // a hole has no old tail
                return code;
            }
            here = end;
        }
        return memory.log_file().write_at(format::footer_at, bytes{zeros}.first(sizeof(format::segment_footer)));
    };
    const bool was_in_doubt = memory.doubt() != doubt::none;  // by a recovery, perhaps, that was killed before it had written them again
    auto code = memory.sync();
    if (!code && was_in_doubt && !disk_has(memory, at)) {
        code = write_again();
        code = code ? code : memory.sync();
    }
    if (!code) {
        return {};
    }
    static_cast<void>(write_again());
    return {code, files.name().text() + ": cannot sync " + memory.path() + " after cutting it"};
}

}  // namespace brook::inline BROOK_ABI::storage
