/// \file support/topics.hpp
/// What the benchmarks send, and topics in the state that a measurement needs.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <brook/brook.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>

#include "support/bench.hpp"

namespace brook::bench {

/// A value of so many bytes: trivially copyable, read in place.
template <std::size_t Bytes>
struct payload {
    static_assert(Bytes % sizeof(std::uint32_t) == 0);
    std::array<std::uint32_t, Bytes / sizeof(std::uint32_t)> words;
};

/// A power of two of different values, to be sent in turn.
template <std::size_t Bytes>
[[nodiscard]] std::vector<payload<Bytes>> payloads(std::size_t count = 64) {
    std::vector<payload<Bytes>> made(count);
    std::uint32_t word = seed;
    for (auto& value : made) {
        for (auto& one : value.words) {
            one = word = word * 1'664'525u + 1'013'904'223u;
        }
    }
    return made;
}

/// What reading a record adds to the result: its offset, the first and the last word of its value.
template <std::size_t Bytes>
[[nodiscard]] std::uint64_t looked_at(offset at, const payload<Bytes>& value) noexcept {
    return static_cast<std::uint64_t>(at) + (std::uint64_t{value.words.front()} << 16) + value.words.back();
}

/// The same of values alone, where several writers share the offsets.
template <std::size_t Bytes>
[[nodiscard]] std::uint64_t looked_at(const payload<Bytes>& value) noexcept {
    return looked_at(0, value);
}

/// Bytes that a lone record takes in a segment.
[[nodiscard]] constexpr std::uint64_t frame_bytes(std::uint64_t key, std::uint64_t value) noexcept {
    return (format::frame_header_size + ((key + 7) / 8 * 8) + value + 7) / 8 * 8;
}

/// A topic of one partition whose active segment is whole: disk space taken, zeros written, every page in memory. It is
/// what upkeep gives a busy topic before the writer gets there. Here it is brought about by hand, so that no upkeep runs
/// beside the measurement: a burst makes the topic look busy, upkeep prepares a spare segment, and a roll takes it.
template <class Key, class Value>
class prepared_topic {
public:
    prepared_topic(const std::string& directory, std::uint64_t segment_bytes, const char* name = "measured")
        : directory_{directory},
          broker_{directory_.path(), {.maintenance = maintenance::manual}},
          topic_{broker_.template create_topic<Key, Value>(name, {.segment_bytes = static_cast<std::int64_t>(segment_bytes)})},
          partition_{topic_.partition(0)} {
        prepare(name, segment_bytes);
    }

    [[nodiscard]] brook::broker& broker() noexcept { return broker_; }
    [[nodiscard]] const brook::topic<Key, Value>& topic() const noexcept { return topic_; }
    [[nodiscard]] const brook::partition& partition() const noexcept { return partition_; }

    /// Offset of the first record of the prepared segment.
    [[nodiscard]] offset begin() const noexcept { return begin_; }

    /// Records, or batches, of that many bytes each that the segment holds.
    [[nodiscard]] static std::uint64_t room(std::uint64_t segment_bytes, std::uint64_t each) noexcept {
        return (segment_bytes - format::segment_header_size - 2 * format::frame_header_size) / each;
    }

    /// No file has been made since: what was measured stayed in the prepared segment.
    [[nodiscard]] bool has_not_rolled() const { return log_files() == files_; }

    /// Reads all records since then.
    /// Returns   the sum of what `look` gives for each; `count` grows by their number, and offsets are checked to be dense.
    template <class Look>
    [[nodiscard]] std::uint64_t read_back(std::uint64_t& count, const Look& look) {
        consumer reader{topic_, {.max_poll_records = 10'000}};
        reader.seek(partition_, begin_);
        std::uint64_t sum = 0;
        for (offset next = begin_; !reader.caught_up();) {
            const auto batch = reader.poll(std::chrono::seconds{0});
            for (const auto& one : batch) {
                if (one.offset() != next++) {
                    throw std::runtime_error{"offsets are not dense"};
                }
                sum += look(one);
                ++count;
            }
        }
        return sum;
    }

private:
    void prepare(const char* name, std::uint64_t segment_bytes) {
        const std::string spare = directory_ / ("topics/" + std::string{name} + "/0/spare.log");
        const std::uint64_t burst = segment_bytes / 8 < (8u << 20) ? segment_bytes / 8 : 8u << 20;
        folder_ = directory_ / ("topics/" + std::string{name} + "/0");
        producer sender{topic_};
        for (int attempt = 0; attempt < 50 && !std::filesystem::exists(spare); ++attempt) {
            broker_.maintain();
            for (std::uint64_t sent = 0; sent < burst; sent += sizeof(Value) + format::frame_header_size) {
                send_one(sender);
            }
            broker_.maintain();
        }
        if (!std::filesystem::exists(spare)) {
            throw std::runtime_error{"upkeep has prepared no spare segment: nothing fair can be measured"};
        }
        partition_.roll();
        begin_ = partition_.log_end_offset();
        files_ = log_files();
    }

    static void send_one(producer<Key, Value>& sender) {
        static const Value value{};
        if constexpr (std::is_same_v<Key, no_key>) {
            sender.send(value);
        } else {
            sender.send(Key{}, value);
        }
    }

    [[nodiscard]] std::size_t log_files() const {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator{folder_}) {
            count += entry.path().extension() == ".log" ? 1u : 0u;
        }
        return count;
    }

    scratch_directory directory_;
    brook::broker broker_;
    brook::topic<Key, Value> topic_;
    brook::partition partition_;
    std::string folder_;
    offset begin_ = 0;
    std::size_t files_ = 0;
};

}  // namespace brook::bench
