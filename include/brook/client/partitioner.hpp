/// \file brook/client/partitioner.hpp
/// Which partition a record goes to: the key's hash decides, and records without a key stick to one for a while.
/// Floor 6, client. Source: Kafka's Utils.murmur2, BuiltInPartitioner; KIP-480, KIP-794.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

/// Kafka's hash of a key, bit for bit: 32-bit MurmurHash2 with Kafka's seed.
///
/// Not librdkafka's default, which is CRC-32: there, set `partitioner=murmur2_random` to find the same partitions.
[[nodiscard]] inline std::int32_t murmur2(bytes key) noexcept {
    constexpr std::uint32_t multiplier = 0x5bd1e995;
    const std::byte* at = key.data();
    std::size_t left = key.size();

    std::uint32_t hash = 0x9747b28cu ^ static_cast<std::uint32_t>(left);
    for (; left >= 4; at += 4, left -= 4) {
        std::uint32_t word = load<std::uint32_t>(at);
        word *= multiplier;
        word ^= word >> 24;
        word *= multiplier;
        hash *= multiplier;
        hash ^= word;
    }
    if (left != 0) {
        for (std::size_t i = 0; i < left; ++i) {
            hash ^= std::to_integer<std::uint32_t>(at[i]) << (8 * i);
        }
        hash *= multiplier;
    }
    hash ^= hash >> 13;
    hash *= multiplier;
    hash ^= hash >> 15;
    return static_cast<std::int32_t>(hash);
}

/// Kafka's way from a hash to a number that is not negative: the sign bit is dropped, not the sign.
[[nodiscard]] constexpr std::int32_t to_positive(std::int32_t hash) noexcept { return hash & 0x7fffffff; }

/// Equal keys, one partition, in brook and in every Kafka client that has Kafka's default partitioner.
///
/// Requires  count > 0.
[[nodiscard]] inline std::int32_t partition_for_key(bytes key, std::int32_t count) noexcept {
    BROOK_ASSERT(count > 0);
    return to_positive(murmur2(key)) % count;
}

/// Chooses for records without a key: one partition until `batch_size` bytes went to it, then another, at random.
///
/// Batches come out full that way, where a partition per record would make many small ones (KIP-480). The record that
/// reaches `batch_size` still goes to the old partition, as do those of threads that chose while the next was drawn.
///
/// Threads   shared.
/// Cost      one relaxed fetch_add; nothing for a single partition.
class sticky_partitioner {
public:
    static constexpr std::int32_t max_partitions = 1 << 24;

    /// The same seed gives the same choices, as long as one thread asks.
    ///
    /// Requires  0 < count <= max_partitions, batch_size > 0.
    sticky_partitioner(std::int32_t count, std::uint32_t batch_size, std::uint64_t seed) noexcept
        : count_{count}, batch_size_{batch_size}, random_{seed} {
        BROOK_ASSERT(count > 0 && count <= max_partitions);
        BROOK_ASSERT(batch_size > 0);
        state_.store(state_of(below(static_cast<std::uint32_t>(count_))), std::memory_order_relaxed);
    }

    /// The partition for the next record, which takes `record_bytes`.
    [[nodiscard]] std::int32_t choose(std::uint32_t record_bytes) noexcept {
        if (count_ == 1) {
            return 0;
        }
        const std::uint64_t before = state_.fetch_add(record_bytes, std::memory_order_relaxed);  // publishes nothing
        const auto partition = static_cast<std::uint32_t>(before >> bytes_bits);
        const std::uint64_t bytes_before = before & bytes_mask;
        if (bytes_before < batch_size_ && bytes_before + record_bytes >= batch_size_) {
            move_on(partition);  // exactly one caller crosses the line
        }
        return static_cast<std::int32_t>(partition);
    }

private:
    // The word is partition | bytes. 40 bits of bytes: 256 callers with 4 GiB each can overshoot before it carries.
    static constexpr int bytes_bits = 40;
    static constexpr std::uint64_t bytes_mask = (std::uint64_t{1} << bytes_bits) - 1;

    static constexpr std::uint64_t state_of(std::uint32_t partition) noexcept {
        return std::uint64_t{partition} << bytes_bits;
    }

    void move_on(std::uint32_t from) noexcept {
        const std::uint32_t drawn = below(static_cast<std::uint32_t>(count_ - 1));
        state_.store(state_of(drawn < from ? drawn : drawn + 1), std::memory_order_relaxed);
    }

    /// Source  SplitMix64 (Steele, Lea, Flood 2014): a counter and a mix, so that one fetch_add makes it shared.
    std::uint32_t below(std::uint32_t limit) noexcept {
        constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;
        std::uint64_t mixed = random_.fetch_add(golden, std::memory_order_relaxed) + golden;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
        mixed ^= mixed >> 31;
        return static_cast<std::uint32_t>(((mixed >> 32) * limit) >> 32);
    }

    const std::int32_t count_;
    const std::uint32_t batch_size_;
    std::atomic<std::uint64_t> random_;
    alignas(cache_line) std::atomic<std::uint64_t> state_{0};
};

}  // namespace brook::inline BROOK_ABI
