/// \file brook/broker/transaction_record.hpp
/// The record that decides a transaction, as bytes.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Where a transaction ends in one partition: what must be there for it to be committed.
struct transaction_end {
    format::topic_id topic{};
    std::int32_t partition = 0;
    std::uint32_t leader_epoch = 0;  ///< of its last frame there,
    offset end = 0;                  ///< which ends at this offset,
    std::uint64_t checksum = 0;      ///< and has this checksum
};

/// Tells that the transaction of this producer id and epoch is committed, and those of the epochs before it that are not
/// among the aborted. It is true as long as every partition reaches the end that it names: what of a transaction was lost
/// with the power takes the rest with it.
///
/// A judgement commits nothing new: it was made when a broker found, after a loss of power, that some do not.
///
/// A record of __transaction_state. Its key is {i64 producer id, transactional id}, its value
///
///     u16 epoch, u16 1 for a judgement, u32 aborted, u32 ends, u32 zero | aborted × u16, zeros up to 8 |
///     ends × {topic id 16, i32 partition, u32 leader epoch, i64 end, u64 checksum} | state
struct transaction_record {
    std::int64_t producer_id = 0;
    std::uint16_t epoch = 0;
    std::vector<std::uint16_t> aborted;  ///< epochs that have left something in a log
    std::vector<transaction_end> ends;
    std::string state;                   ///< the application's
    bool is_judgement = false;

    [[nodiscard]] std::size_t key_size(std::string_view transactional_id) const noexcept { return sizeof producer_id + transactional_id.size(); }
    [[nodiscard]] std::size_t value_size() const noexcept { return state_at(aborted.size(), ends.size()) + state.size(); }

    void write_key(std::byte* to, std::string_view transactional_id) const noexcept {
        store(to, producer_id);
        copy_bytes(to + sizeof producer_id, transactional_id.data(), transactional_id.size());
    }

    /// Requires  room for value_size(), zero.
    void write_value(std::byte* to) const noexcept {
        store(to, std::uint64_t{epoch} | std::uint64_t{is_judgement ? 1u : 0u} << 16 | static_cast<std::uint64_t>(aborted.size()) << 32);
        store(to + 8, static_cast<std::uint64_t>(ends.size()));
        copy_bytes(to + fixed_size, aborted.data(), aborted.size() * sizeof(std::uint16_t));
        std::byte* at = to + ends_at(aborted.size());
        for (const transaction_end& one : ends) {
            store(at, one.topic);
            store(at + 16, one.partition);
            store(at + 20, one.leader_epoch);
            store(at + 24, one.end);
            store(at + 32, one.checksum);
            at += end_size;
        }
        copy_bytes(at, state.data(), state.size());
    }

    /// nullopt: nobody wrote that.
    [[nodiscard]] static std::optional<transaction_record> decode(bytes key, bytes value, std::string_view& transactional_id) {
        if (key.size() < sizeof producer_id || value.size() < fixed_size) {
            return std::nullopt;
        }
        transaction_record read;
        read.producer_id = load<std::int64_t>(key.data());
        transactional_id = as_text(key.subspan(sizeof producer_id));
        read.epoch = load<std::uint16_t>(value.data());
        read.is_judgement = load<std::uint16_t>(value.data() + 2) != 0;
        const std::size_t aborted_count = load<std::uint32_t>(value.data() + 4);
        const std::size_t end_count = load<std::uint32_t>(value.data() + 8);
        const std::size_t state_begin = state_at(aborted_count, end_count);  // 2^32 of each are no overflow
        if (state_begin > value.size()) {
            return std::nullopt;
        }
        for (std::size_t i = 0; i < aborted_count; ++i) {
            read.aborted.push_back(load<std::uint16_t>(value.data() + fixed_size + i * sizeof(std::uint16_t)));
        }
        const std::byte* at = value.data() + ends_at(aborted_count);
        for (std::size_t i = 0; i < end_count; ++i, at += end_size) {
            read.ends.push_back({load<format::topic_id>(at), load<std::int32_t>(at + 16), load<std::uint32_t>(at + 20), load<offset>(at + 24),
                                 load<std::uint64_t>(at + 32)});
        }
        read.state = as_text(value.subspan(state_begin));
        return read;
    }

private:
    static constexpr std::size_t fixed_size = 16;
    static constexpr std::size_t end_size = 40;

    [[nodiscard]] static constexpr std::size_t ends_at(std::size_t aborted) noexcept {
        return fixed_size + align_up(aborted * sizeof(std::uint16_t), std::size_t{8});
    }
    [[nodiscard]] static constexpr std::size_t state_at(std::size_t aborted, std::size_t ends) noexcept { return ends_at(aborted) + ends * end_size; }
};

}  // namespace brook::inline BROOK_ABI::broker_room
