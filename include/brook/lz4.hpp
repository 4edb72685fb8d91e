/// \file brook/lz4.hpp
/// LZ4 for batches: include it in one file of the program, and link lz4 (CMake does, where it has found it).
/// Not part of brook/brook.hpp, so that a program which does not compress needs no library for it.
/// It is known before main() begins; objects of namespace scope that compress or read before that include it in their own file.
///
///     brook::producer producer{topic, {.linger = 5ms, .compression_type = brook::compression::lz4}};
#pragma once

#include <lz4.h>
#include <lz4hc.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/thread_kept.hpp>
#include <brook/format/codec.hpp>

namespace brook::inline BROOK_ABI::detail {

/// LZ4's block format, without the frame that its command line tool writes around it.
///
/// Levels 0 to 2 are LZ4 as it is; 3 to 12 are LZ4 HC's own levels: smaller, slower to write, as fast to read; a negative one is the
/// acceleration: faster and larger.
///
/// Threads   shared.
/// Cost      of a level from 3 on, 256 KiB for each thread that compresses, kept until it ends.
class lz4_codec final : public compression_codec {
public:
    constexpr lz4_codec() noexcept = default;

    [[nodiscard]] std::string_view name() const noexcept override { return "lz4"; }
    [[nodiscard]] int least_level() const noexcept override { return -65'537; }
    [[nodiscard]] int most_level() const noexcept override { return LZ4HC_CLEVEL_MAX; }

    [[nodiscard]] std::size_t bound(std::size_t size) const noexcept override {
        return size <= LZ4_MAX_INPUT_SIZE ? static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(size))) : 0;
    }

    [[nodiscard]] std::size_t compress(bytes from, mutable_bytes to, std::optional<int> level) const noexcept override {
        if (from.size() > LZ4_MAX_INPUT_SIZE) {
            return 0;
        }
        const int size = static_cast<int>(from.size());
        const int room = static_cast<int>(std::min(to.size(), most_int));
        const int wanted = level.value_or(0);
        int written = 0;
        if (wanted < LZ4HC_CLEVEL_MIN) {
            written = LZ4_compress_fast(text(from), text(to), size, room, wanted < 0 ? -wanted : 1);
        } else if (const thread_kept<LZ4_streamHC_t> state; state) {
            written = LZ4_compress_HC_extStateHC(state.get(), text(from), text(to), size, room, wanted);
        }
        return written > 0 ? static_cast<std::size_t>(written) : 0;
    }

    [[nodiscard]] bool decompress(bytes from, mutable_bytes to) const override {
        if (from.size() > most_int || to.size() > most_int) {
            return false;
        }
        const int made = LZ4_decompress_safe(text(from), text(to), static_cast<int>(from.size()), static_cast<int>(to.size()));
        return made >= 0 && static_cast<std::size_t>(made) == to.size();
    }

private:
    static constexpr auto most_int = static_cast<std::size_t>(std::numeric_limits<int>::max());

    [[nodiscard]] static const char* text(bytes raw) noexcept { return as_text(raw).data(); }
    [[nodiscard]] static char* text(mutable_bytes raw) noexcept { return as_mutable_text(raw); }
};

inline constexpr lz4_codec lz4{};

/// In each file that includes this, and once in the program.
inline const bool has_lz4 = format::register_codec(format::codec_lz4, lz4);

}  // namespace brook::inline BROOK_ABI::detail
