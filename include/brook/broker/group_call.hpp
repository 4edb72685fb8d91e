/// \file brook/broker/group_call.hpp
/// What brokers of a cluster ask each other about groups, as bytes.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// What is asked. A call: u32 what, text group, u64 member, then what each of them says. Where what is committed changes for who is no member, there is
/// the epoch in which the coordinator leads behind all that: in another one it is not carried out, since an earlier coordinator may have done it.
enum class group_call : std::uint32_t {
    join = 1,   ///< options, topics -> u64 changes
    subscribe,  ///< topics -> nothing
    leave,      ///< -> nothing
    is_member,  ///< -> u32
    has_instance,  ///< text -> u32
    to_release,    ///< -> places
    release,       ///< places -> nothing
    take,          ///< -> u32 awaits more, places: all that it has
    commit,        ///< positions, of who is no member u32 epoch -> nothing
    committed,     ///< topic id, i32 partition -> u32 whether, position
    names,         ///< -> texts
    describe,      ///< -> description
    remove,        ///< u32 epoch -> nothing
    reset,         ///< positions, u32 epoch -> nothing
    depart,        ///< of the members of a broker that closes: u32 count, each text group, u64 member -> nothing
    beat,          ///< of the members of a broker: u32 count, each text group, u64 member, u64 polls -> each u32 whether it is one, u64 changes
};

/// Whether a call asks what groups have committed, or are, and changes nothing.
[[nodiscard]] constexpr bool is_question(group_call what) noexcept { return what == group_call::committed || what == group_call::names || what == group_call::describe; }

/// Writes and reads the parts of calls.
struct group_codec {
    using writer = replication::byte_writer;
    using reader = replication::byte_reader;

    static void put(writer& to, const std::vector<group_place>& places);
    [[nodiscard]] static std::vector<group_place> take_places(reader& from);

    static constexpr std::chrono::milliseconds shortest_poll_interval{1};
    static constexpr std::size_t position_bytes = 36;  // and its metadata

    static void put(writer& to, const committed_position& one);
    [[nodiscard]] static committed_position take_position(reader& from);

    static void put(writer& to, const std::vector<committed_position>& positions);
    [[nodiscard]] static std::vector<committed_position> take_positions(reader& from);

    static void put(writer& to, const std::vector<group_topic>& topics);
    [[nodiscard]] static std::vector<group_topic> take_topics(reader& from);

    static void put(writer& to, const member_options& options);
    /// Errors    `why`: invalid_config, for an assignor of a user's own: its code is elsewhere.
    [[nodiscard]] static member_options take_options(reader& from, failure& why);

    static void put(writer& to, const group_description& told);
    [[nodiscard]] static group_description take_description(reader& from);
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/group_call.hpp>
#endif
