/// \file support/compressed.hpp
/// Compressed frames made by hand, and a codec of a user's own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/lz4.hpp>
#include <brook/zstd.hpp>

namespace brook::test {

/// Runs of one byte: how many, which. Counts what it is asked for.
class run_codec final : public compression_codec {
public:
    static constexpr int id = 6;
    mutable std::atomic<int> decoded{0};
    mutable std::atomic<int> last_level{0};

    [[nodiscard]] std::string_view name() const noexcept override { return "runs"; }
    [[nodiscard]] int least_level() const noexcept override { return 1; }
    [[nodiscard]] int most_level() const noexcept override { return 3; }
    [[nodiscard]] std::size_t bound(std::size_t size) const noexcept override { return 2 * size; }
    [[nodiscard]] std::size_t compress(bytes from, mutable_bytes to, std::optional<int> level) const noexcept override {
        last_level = level.value_or(-1);
        std::size_t written = 0;
        for (std::size_t at = 0; at < from.size();) {
            std::size_t run = 1;
            while (run < 255 && at + run < from.size() && from[at + run] == from[at]) {
                ++run;
            }
            if (written + 2 > to.size()) {
                return 0;
            }
            to[written] = static_cast<std::byte>(run);
            to[written + 1] = from[at];
            written += 2;
            at += run;
        }
        return written;
    }
    [[nodiscard]] bool decompress(bytes from, mutable_bytes to) const override {
        ++decoded;
        std::size_t made = 0;
        for (std::size_t at = 0; at + 2 <= from.size(); at += 2) {
            const auto run = static_cast<std::size_t>(from[at]);
            if (run == 0 || run > to.size() - made) {
                return false;
            }
            std::memset(to.data() + made, static_cast<int>(from[at + 1]), run);
            made += run;
        }
        return made == to.size() && from.size() % 2 == 0;
    }
};
inline const run_codec runs{};
inline const codec_registration runs_are_known{run_codec::id, runs};

/// The frame that stands in a log for this one, which is not compressed.
[[nodiscard]] inline std::vector<std::byte> deflated(const std::vector<std::byte>& frame, unsigned codec, std::optional<int> level = std::nullopt) {
    format::frame_header header = format::load_header(frame.data());
    const std::size_t front = format::frame_header_size + format::extension_bytes(header.extension);
    const bytes inside{frame.data() + front, static_cast<std::size_t>(header.size) - front};
    const compression_codec& by = *format::find_codec(codec);
    std::vector<std::byte> made(front + format::compressed_prefix + by.bound(inside.size()));
    const std::size_t size = by.compress(inside, mutable_bytes{made}.subspan(front + format::compressed_prefix), level);
    made.resize(size == 0 ? 0 : front + format::compressed_prefix + size);
    if (made.empty()) {
        return made;
    }
    std::memcpy(made.data(), frame.data(), front);
    store(made.data() + front, std::uint64_t{inside.size()});
    header.size = static_cast<std::int32_t>(made.size());
    header.attributes = static_cast<std::uint16_t>(header.attributes | codec);
    store(made.data(), header);
    return made;
}

/// An uncompressed frame of a batch whose records have these values; with `times`, each its own detail.
[[nodiscard]] inline std::vector<std::byte> batch_frame(const std::vector<std::string_view>& values, std::int64_t base_timestamp,
                                                        const std::vector<std::int64_t>& times = {}) {
    const bool has_details = !times.empty();
    std::size_t size = format::frame_header_size + (has_details ? format::extension::bytes_each + values.size() * sizeof(format::record_detail) : 0);
    for (const auto value : values) {
        size += format::entry_bytes({format::null_size, static_cast<std::uint32_t>(value.size()), 0});
    }
    std::vector<std::byte> frame(size);
    std::byte* at = frame.data() + format::frame_header_size;
    if (has_details) {
        std::int64_t largest = times.front() - base_timestamp;
        std::byte* detail = at + format::extension::bytes_each;
        for (std::size_t i = 0; i < times.size(); ++i) {
            const std::int64_t delta = times[i] - base_timestamp;
            largest = delta > largest ? delta : largest;
            store(detail, format::record_detail{delta, static_cast<std::uint32_t>(i), 0});
            detail += sizeof(format::record_detail);
        }
        store(at, std::uint64_t{values.size() - 1});
        store(at + 8, largest);
        at = detail;
    }
    for (const auto value : values) {
        const auto layout = format::lay_out_entry(at, {format::null_size, static_cast<std::uint32_t>(value.size()), 0});
        copy_bytes(layout.value, value.data(), value.size());
        at = layout.end;
    }
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.extension = has_details ? format::extension::detail : std::uint16_t{0};
    header.count = static_cast<std::uint32_t>(values.size());
    header.base_timestamp = base_timestamp;
    store(frame.data(), header);
    return frame;
}

}  // namespace brook::test
