/// \file support/disguised_record.hpp
/// Records that say who wrote them, and whose every word looks like a published frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

namespace brook::test {

/// Who wrote a record, and the how-many-eth of his it is. It is the record's key, one word, which as a frame word would
/// be a published frame; so would each word of the value. A recovery that guesses will guess wrong.
struct disguised_record {
    std::uint32_t sequence = 0;    ///< below 2^20, from 0 up for each writer of each generation
    std::uint32_t writer = 0;      ///< below 16
    std::uint32_t generation = 0;  ///< below 2^16
    std::uint32_t size = 0;        ///< of the value, below 2^16

    bool operator==(const disguised_record&) const = default;

    /// As a frame: a size from 48 up, positive, a multiple of 8; attributes; extension.
    [[nodiscard]] constexpr std::uint64_t word() const noexcept {
        return std::uint64_t{8 * (sequence + 6)} | std::uint64_t{writer & 15} << 27 |
               std::uint64_t{size & 0xffff} << 32 | std::uint64_t{generation & 0xffff} << 48;
    }

    [[nodiscard]] static constexpr disguised_record of(std::uint64_t word) noexcept {
        disguised_record record;
        record.sequence = (static_cast<std::uint32_t>(word) & 0x07ff'ffff) / 8 - 6;
        record.writer = static_cast<std::uint32_t>(word >> 27) & 15;
        record.size = static_cast<std::uint32_t>(word >> 32) & 0xffff;
        record.generation = static_cast<std::uint32_t>(word >> 48);
        return record;
    }

    void write_value(std::byte* to) const noexcept {
        std::uint32_t at = 0;
        for (; at + 8 <= size; at += 8) {
            store(to + at, value_word(at / 8));
        }
        if (at != size) {
            const std::uint64_t pretence = value_word(at / 8);
            std::memcpy(to + at, &pretence, size - at);
        }
    }

    /// A key of its writer's few, in which a later record takes an earlier one's place.
    static constexpr std::uint32_t shared_keys = 4;
    [[nodiscard]] constexpr std::uint8_t shared_key() const noexcept { return static_cast<std::uint8_t>(writer * shared_keys + sequence % shared_keys); }

    [[nodiscard]] bool is_value(bytes value) const noexcept {
        if (value.size() != size) {
            return false;
        }
        std::uint32_t at = 0;
        for (; at + 8 <= size; at += 8) {
            if (load<std::uint64_t>(value.data() + at) != value_word(at / 8)) {
                return false;
            }
        }
        const std::uint64_t pretence = value_word(at / 8);
        return at == size || std::memcmp(value.data() + at, &pretence, size - at) == 0;
    }

private:
    /// A lone data frame of a size that leads into the middle of other frames.
    [[nodiscard]] constexpr std::uint64_t value_word(std::uint32_t index) const noexcept {
        return format::frame_word::published(format::frame_header_size + 8 * ((sequence + index) & 7),
                                             format::attribute::lone)
            .raw();
    }
};

inline constexpr std::uint32_t disguised_key_size = sizeof(std::uint64_t);

/// The record that these bytes are; nothing when they are none, or not exactly as they were written. One that shares its key has
/// its word in front of its value.
[[nodiscard]] inline std::optional<disguised_record> recognize(bytes key, bytes value) noexcept {
    if (key.size() == 1 && value.size() >= disguised_key_size) {
        const auto record = disguised_record::of(load<std::uint64_t>(value.data()));
        const bool is_one = record.word() == load<std::uint64_t>(value.data()) && load<std::uint8_t>(key.data()) == record.shared_key();
        return is_one && record.is_value(value.subspan(disguised_key_size)) ? std::optional{record} : std::nullopt;
    }
    if (key.size() != disguised_key_size) {
        return std::nullopt;
    }
    const auto record = disguised_record::of(load<std::uint64_t>(key.data()));
    return record.word() == load<std::uint64_t>(key.data()) && record.is_value(value) ? std::optional{record}
                                                                                        : std::nullopt;
}

namespace detail {

template <class Write>
[[nodiscard]] offset append_one(storage::log& log, const format::record_sizes& sizes, failure& why, const Write& write) {
    const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes));
    storage::claim taken;
    if (!log.take(format::frame_length(size), 1, taken, why)) {
        return -1;
    }
    write(format::lay_out_lone(taken.data, sizes));
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.attributes = format::lone_attributes(sizes);
    header.count = sizes.key;
    header.base_timestamp = taken.first;
    log.publish(taken, header);
    return taken.first;
}

}  // namespace detail

/// Appends one record as a frame of its own. Returns its offset, or -1. `hesitate` is called while the claim is open.
template <class Hesitate>
[[nodiscard]] offset append_lone(storage::log& log, const disguised_record& record, failure& why, const Hesitate& hesitate) {
    return detail::append_one(log, {disguised_key_size, record.size, 0}, why, [&](const format::lone_layout& body) {
        store(body.key, record.word());
        record.write_value(body.value);
        hesitate();
    });
}

/// The same with a key that others of its writer have, too.
[[nodiscard]] inline offset append_sharing_key(storage::log& log, const disguised_record& record, failure& why) {
    return detail::append_one(log, {1, disguised_key_size + record.size, 0}, why, [&](const format::lone_layout& body) {
        store(body.key, record.shared_key());
        store(body.value, record.word());
        record.write_value(body.value + disguised_key_size);
    });
}

[[nodiscard]] inline offset append_lone(storage::log& log, const disguised_record& record, failure& why) {
    return append_lone(log, record, why, [] {});
}

/// Appends all of them as one batch. Returns the first one's offset, or -1.
[[nodiscard]] inline offset append_batch(storage::log& log, std::span<const disguised_record> records, failure& why) {
    std::uint64_t size = format::frame_header_size;
    for (const auto& record : records) {
        size += format::entry_bytes({disguised_key_size, record.size, 0});
    }
    storage::claim taken;
    const auto count = static_cast<std::uint32_t>(records.size());
    if (!log.take(format::frame_length(static_cast<std::uint32_t>(size)), count, taken, why)) {
        return -1;
    }
    std::byte* at = taken.data + format::frame_header_size;
    for (const auto& record : records) {
        const format::entry_layout entry = format::lay_out_entry(at, {disguised_key_size, record.size, 0});
        store(entry.key, record.word());
        record.write_value(entry.value);
        at = entry.end;
    }
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.count = count;
    header.base_timestamp = taken.first;
    log.publish(taken, header);
    return taken.first;
}

/// A record that was found, and where.
struct found_record {
    offset at;
    disguised_record record;
    std::uint32_t epoch;  ///< of the leadership, or local history, it was appended in
};

/// Reads a log from an offset to its end, checksums and contents included. A record that is not one of ours is `why`.
inline void read_from(storage::log& log, offset from, std::vector<found_record>& found, failure& why) {
    found.clear();
    storage::log_reader reader = log.reader();
    reader.seek(from);
    std::vector<storage::record_range> ranges;
    for (;;) {
        ranges.clear();
        if (why = reader.fetch(1'000, true, ranges); why || ranges.empty()) {
            return;
        }
        for (const auto& range : ranges) {
            for (position at = range.begin; at < range.end;) {
                const format::frame_header header = format::load_header(range.frame(at));
                const format::frame_word word = format::word_of(header);
                format::record_walk records{header, range.frame(at)};
                format::record_slice slice;
                while (word.kind() == format::frame_kind::data && records.next(slice)) {
                    if (slice.offset() < range.first || slice.offset() >= range.last) {
                        continue;
                    }
                    const auto record = recognize(slice.key(), slice.value());
                    if (!record) {
                        why = {errc::corrupt_record, "offset " + std::to_string(slice.offset()) + " holds what nobody sent"};
                        return;
                    }
                    found.push_back({slice.offset(), *record, header.leader_epoch});
                }
                at += word.length();
            }
        }
    }
}

inline void read_all(storage::log& log, std::vector<found_record>& found, failure& why) { read_from(log, log.log_start_offset(), found, why); }

}  // namespace brook::test
