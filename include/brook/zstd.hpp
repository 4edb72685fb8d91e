/// \file brook/zstd.hpp
/// Zstandard for batches: include it in one file of the program, and link zstd (CMake does, where it has found it).
/// Not part of brook/brook.hpp, so that a program which does not compress needs no library for it.
/// It is known before main() begins; objects of namespace scope that compress or read before that include it in their own file.
///
///     brook::producer producer{topic, {.linger = 5ms, .compression_type = brook::compression::zstd, .compression_level = 6}};
#pragma once

#include <zstd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <string_view>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/thread_kept.hpp>
#include <brook/format/codec.hpp>

namespace brook::inline BROOK_ABI::detail {

/// One Zstandard frame (RFC 8878) that says its content's size, with a window of 8 MiB at most, without a dictionary. Levels
/// are the library's own.
///
/// Threads   shared.
/// Cost      a context for each thread that compresses, and one for each that reads: some 100 KiB for small batches, up to
///           some 10 MiB for the levels up to 19, up to 100 MiB beyond. Kept until the thread ends.
class zstd_codec final : public compression_codec {
public:
    constexpr zstd_codec() noexcept = default;

    [[nodiscard]] std::string_view name() const noexcept override { return "zstd"; }
    [[nodiscard]] int least_level() const noexcept override { return ZSTD_minCLevel(); }
    [[nodiscard]] int most_level() const noexcept override { return ZSTD_maxCLevel(); }
    [[nodiscard]] std::size_t bound(std::size_t size) const noexcept override { return ZSTD_compressBound(size); }

    [[nodiscard]] std::size_t compress(bytes from, mutable_bytes to, std::optional<int> level) const noexcept override {
        const thread_kept<compressing> kept;
        if (!kept || kept->context == nullptr) {
            return 0;
        }
        ZSTD_CCtx* const context = kept->context;
        const int wanted = level.value_or(ZSTD_CLEVEL_DEFAULT);
        std::size_t written = 0;
        if (wanted <= most_level_of_window) {
            written = ZSTD_compressCCtx(context, to.data(), to.size(), from.data(), from.size(), wanted);
        } else {
            ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
            ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, wanted);
            ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, static_cast<int>(most_window_log));
            written = ZSTD_compress2(context, to.data(), to.size(), from.data(), from.size());
            ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
        }
        return ZSTD_isError(written) != 0 ? 0 : written;
    }

    [[nodiscard]] bool decompress(bytes from, mutable_bytes to) const override {
        if (!is_within_bounds(from, to.size())) {
            return false;
        }
        const thread_kept<reading> kept;
        if (!kept || kept->context == nullptr) {
            throw std::bad_alloc{};
        }
        return ZSTD_decompressDCtx(kept->context, to.data(), to.size(), from.data(), from.size()) == to.size();
    }

private:
    static constexpr unsigned most_window_log = 23;
    static constexpr int most_level_of_window = 19;  // no level up to here has a larger window

    struct compressing {
        ZSTD_CCtx* context = ZSTD_createCCtx();
        compressing() noexcept = default;
        compressing(const compressing&) = delete;
        compressing& operator=(const compressing&) = delete;
        ~compressing() { ZSTD_freeCCtx(context); }
    };
    struct reading {
        ZSTD_DCtx* context = ZSTD_createDCtx();
        reading() noexcept = default;
        reading(const reading&) = delete;
        reading& operator=(const reading&) = delete;
        ~reading() { ZSTD_freeDCtx(context); }
    };

    /// One frame and nothing else, of that content size; its window within ours, and no dictionary. The library has functions for
    /// the first two alone that may be linked dynamically.
    ///
    /// Source    RFC 8878, 3.1.1.1.
    [[nodiscard]] static bool is_within_bounds(bytes from, std::size_t size) noexcept {
        if (from.size() < 6 || load<std::uint32_t>(from.data()) != ZSTD_MAGICNUMBER || ZSTD_getFrameContentSize(from.data(), from.size()) != size ||
            ZSTD_findFrameCompressedSize(from.data(), from.size()) != from.size()) {
            return false;
        }
        const auto descriptor = load<std::uint8_t>(from.data() + 4);
        const bool has_dictionary = (descriptor & 0x03) != 0;
        const bool is_single_segment = (descriptor & 0x20) != 0;
        std::uint64_t window = size;
        if (!is_single_segment) {
            const auto raw = load<std::uint8_t>(from.data() + 5);
            window = std::uint64_t{1} << (10 + (raw >> 3));
            window += window / 8 * (raw & 7);
        }
        return !has_dictionary && window <= std::uint64_t{1} << most_window_log;
    }
};

inline constexpr zstd_codec zstd{};

/// In each file that includes this, and once in the program.
inline const bool has_zstd = format::register_codec(format::codec_zstd, zstd);

}  // namespace brook::inline BROOK_ABI::detail
