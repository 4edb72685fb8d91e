/// \file brook/replication/ballot.hpp
/// What a replica has promised: its epoch, its vote, and who votes.
/// Floor 3, replication.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/replication/message.hpp>

namespace brook::inline BROOK_ABI::replication {

[[nodiscard]] inline bool contains(const std::vector<std::int32_t>& nodes, std::int32_t node) noexcept { return std::find(nodes.begin(), nodes.end(), node) != nodes.end(); }

/// Who decides, from an offset of the log on. A change counts from when it is in a log, committed or not (Raft's thesis, 4.1).
struct voter_set {
    offset at = -1;            ///< of the record that says so; -1: what the partition began with
    std::uint32_t epoch = 0;   ///< of that record
    std::vector<std::int32_t> nodes;

    static constexpr std::size_t most = 64;  ///< voters of a partition

    /// Whether these can decide: one or more, each named once by its number, and no more than a partition has.
    [[nodiscard]] static bool is_possible(const std::vector<std::int32_t>& nodes) noexcept {
        for (std::size_t i = 0; i < nodes.size() && i < most; ++i) {
            if (nodes[i] < 0 || std::find(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(i), nodes[i]) != nodes.begin() + static_cast<std::ptrdiff_t>(i)) {
                return false;
            }
        }
        return !nodes.empty() && nodes.size() <= most;
    }

    /// Whether a log can have a record that says so.
    [[nodiscard]] bool is_possible() const noexcept { return at >= -1 && at <= largest_offset && epoch <= message::largest_epoch && is_possible(nodes); }

    [[nodiscard]] bool has(std::int32_t node) const noexcept { return contains(nodes, node); }
    [[nodiscard]] std::size_t majority() const noexcept { return nodes.size() / 2 + 1; }

    bool operator==(const voter_set&) const = default;

    /// What a leader tells whom it has begin anew: the record may be gone.
    ///
    ///     at  size  field
    ///      0    8   at
    ///      8    4   epoch
    ///     12    4   count
    ///     16   4 n  nodes
    void encode(std::vector<std::byte>& to) const {
        const std::size_t begin = to.size();
        to.resize(begin + 16 + nodes.size() * 4);
        std::byte* data = to.data() + begin;
        store(data, at);
        store(data + 8, epoch);
        store(data + 12, static_cast<std::uint32_t>(nodes.size()));
        for (const std::int32_t node : nodes) {
            store(data + 16, node);
            data += 4;
        }
    }

    /// nullopt: nobody said that.
    [[nodiscard]] static std::optional<voter_set> decode(bytes from) {
        if (from.size() < 16 + 4 || from.size() > 16 + 4 * most || from.size() != 16 + std::size_t{load<std::uint32_t>(from.data() + 12)} * 4) {
            return std::nullopt;
        }
        voter_set found{load<offset>(from.data()), load<std::uint32_t>(from.data() + 8), {}};
        for (std::size_t at = 16; at < from.size(); at += 4) {
            found.nodes.push_back(load<std::int32_t>(from.data() + at));
        }
        return found.is_possible() ? std::optional{std::move(found)} : std::nullopt;
    }
};

/// What a replica has promised others. It is on the disk before anything that relies on it is said.
struct ballot {
    std::uint32_t epoch = 0;
    std::int32_t voted_for = no_node;  ///< in that epoch
    bool is_suspect = false;           ///< its log may lack what it had told of, or it may have voted: its word does not count until it has caught up
    bool is_blank = false;             ///< it is a suspect that remembers nothing: neither what it had, nor whom it voted for, nor who votes
    std::vector<voter_set> voters{};   ///< oldest first, never empty, most_sets at most

    static constexpr std::size_t most_sets = 256;  ///< one is committed before the next; only elections that may lose something name voters without waiting

    bool operator==(const ballot&) const = default;
};

}  // namespace brook::inline BROOK_ABI::replication
