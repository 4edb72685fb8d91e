/// \file brook/broker/datagram.hpp
/// What travels between two brokers: messages of their replicas and requests of their users, several in one datagram.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/message.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// A datagram: this header, then parts.
///
///     at  size  field
///      0    8   checksum    XXH3-64 of the rest
///      8    4   magic       "brkd"
///     12    4   version     1
///     16    4   from        the sender's number
///     20    4   to          the receiver's
///     24   16   cluster     the cluster's id; zeros while the sender does not know it
///     40        parts
///
/// A part: u32 size of what follows its first eight bytes, u32 kind; a replica's message has topic id, i32 partition and four zero bytes in
/// front of it; a request u64 number, u32 kind, four zero bytes; an answer u64 number, u32 status, four zero bytes. Parts begin at multiples of 8.
struct datagram {
    static constexpr std::size_t header_size = 40;
    static constexpr std::uint32_t magic = 0x646b7262;
    static constexpr std::uint32_t version = 1;

    enum class part_kind : std::uint32_t { replica = 1, request, answer };

    struct part {
        part_kind kind = part_kind::replica;
        partition_id partition{};   ///< replica
        std::uint64_t number = 0;   ///< request, answer
        std::uint32_t code = 0;     ///< request: what is wanted; answer: how it went
        bytes body{};
    };

    /// Bytes that a part takes, with a body of this size.
    [[nodiscard]] static constexpr std::size_t part_bytes(std::size_t body) noexcept { return align_up(8 + 24 + body, std::size_t{8}); }

    static void begin(std::vector<std::byte>& to) { to.assign(header_size, std::byte{0}); }

    /// Appends a part whose body `write` appends.
    template <class Write>
    static void add(std::vector<std::byte>& to, const part& what, const Write& write) {
        const std::size_t at = to.size();
        to.resize(at + 32, std::byte{0});
        if (what.kind == part_kind::replica) {
            store(to.data() + at + 8, what.partition.topic);
            store(to.data() + at + 24, what.partition.number);
        } else {
            store(to.data() + at + 8, what.number);
            store(to.data() + at + 16, what.code);
        }
        write(to);
        store(to.data() + at, static_cast<std::uint32_t>(to.size() - at - 8));
        store(to.data() + at + 4, what.kind);
        to.resize(align_up(to.size(), std::size_t{8}), std::byte{0});
    }

    static void finish(std::vector<std::byte>& whole, std::int32_t from, std::int32_t to, const format::topic_id& cluster) noexcept {
        store(whole.data() + 8, magic);
        store(whole.data() + 12, version);
        store(whole.data() + 16, from);
        store(whole.data() + 20, to);
        store(whole.data() + 24, cluster);
        store(whole.data(), format::hash(bytes{whole}.subspan(8)));
    }

    /// What its header says.
    struct heading {
        std::int32_t from = 0;
        std::int32_t to = 0;
        format::topic_id cluster{};
    };

    /// nullopt: it is not as it was sent, or none.
    [[nodiscard]] static std::optional<heading> read(bytes whole) noexcept {
        if (whole.size() < header_size || load<std::uint32_t>(whole.data() + 8) != magic || load<std::uint32_t>(whole.data() + 12) != version ||
            load<std::uint64_t>(whole.data()) != format::hash(whole.subspan(8))) {
            return std::nullopt;
        }
        return heading{load<std::int32_t>(whole.data() + 16), load<std::int32_t>(whole.data() + 20), load<format::topic_id>(whole.data() + 24)};
    }

    /// Whether what was read is of `cluster`, from `from` to `to`. Zeros know every cluster.
    [[nodiscard]] static bool counts(const heading& said, std::int32_t from, std::int32_t to, const format::topic_id& cluster) noexcept {
        return said.from == from && said.to == to && (said.cluster == cluster || said.cluster == format::topic_id{} || cluster == format::topic_id{});
    }

    /// The parts, one after the other; false: there is no further one that is whole.
    [[nodiscard]] static bool next(bytes& rest, part& found) noexcept {
        if (rest.size() < 32) {
            return false;
        }
        const auto size = load<std::uint32_t>(rest.data());
        const auto kind = load<std::uint32_t>(rest.data() + 4);
        if (size < 24 || size > rest.size() - 8 || kind < 1 || kind > 3) {
            return false;
        }
        found.kind = static_cast<part_kind>(kind);
        if (found.kind == part_kind::replica) {
            found.partition.topic = load<format::topic_id>(rest.data() + 8);
            found.partition.number = load<std::int32_t>(rest.data() + 24);
        } else {
            found.number = load<std::uint64_t>(rest.data() + 8);
            found.code = load<std::uint32_t>(rest.data() + 16);
        }
        found.body = rest.subspan(32, size - 24);
        const std::size_t whole = align_up(8 + std::size_t{size}, std::size_t{8});
        rest = rest.subspan(whole < rest.size() ? whole : rest.size());
        return true;
    }
};

}  // namespace brook::inline BROOK_ABI::broker_room
