/// \file brook/broker/group_call.hpp
/// What brokers of a cluster ask each other about groups, as bytes.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/assignor.hpp>
#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
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

    static void put(writer& to, const std::vector<group_place>& places) {
        to.put(static_cast<std::uint32_t>(places.size()));
        for (const group_place& one : places) {
            to.put(one.topic);
            to.put(one.partition);
        }
    }
    [[nodiscard]] static std::vector<group_place> take_places(reader& from) {
        std::vector<group_place> places;
        for (std::uint32_t left = from.take_count(20); left > 0; --left) {
            const auto topic = from.take<format::topic_id>();
            places.push_back({topic, from.take<std::int32_t>()});
        }
        return places;
    }

    static constexpr std::chrono::milliseconds shortest_poll_interval{1};
    static constexpr std::size_t position_bytes = 36;  // and its metadata

    static void put(writer& to, const committed_position& one) {
        to.put(one.topic);
        to.put(one.partition);
        to.put(one.next);
        to.put(one.leader_epoch);
        to.put_text(one.metadata);
    }
    [[nodiscard]] static committed_position take_position(reader& from) {
        committed_position one;
        one.topic = from.take<format::topic_id>();
        one.partition = from.take<std::int32_t>();
        one.next = from.take<offset>();
        one.leader_epoch = from.take<std::int32_t>();
        one.metadata = from.take_text();
        return one;
    }

    static void put(writer& to, const std::vector<committed_position>& positions) {
        to.put(static_cast<std::uint32_t>(positions.size()));
        for (const committed_position& one : positions) {
            put(to, one);
        }
    }
    [[nodiscard]] static std::vector<committed_position> take_positions(reader& from) {
        std::vector<committed_position> positions;
        for (std::uint32_t left = from.take_count(position_bytes); left > 0; --left) {
            positions.push_back(take_position(from));
        }
        return positions;
    }

    static void put(writer& to, const std::vector<group_topic>& topics) {
        to.put(static_cast<std::uint32_t>(topics.size()));
        for (const group_topic& one : topics) {
            to.put(one.id);
            to.put_text(one.name);
            to.put(one.partitions);
        }
    }
    [[nodiscard]] static std::vector<group_topic> take_topics(reader& from) {
        std::vector<group_topic> topics;
        for (std::uint32_t left = from.take_count(24); left > 0; --left) {
            group_topic one;
            one.id = from.take<format::topic_id>();
            one.name = from.take_text();
            one.partitions = from.take<std::int32_t>();
            if (one.partitions < 1 || one.partitions > topic_meta::most_partitions) {
                from.refuse();  // nobody sent that
                return {};
            }
            topics.push_back(std::move(one));
        }
        return topics;
    }

    static void put(writer& to, const member_options& options) {
        to.put_text(options.instance_id);
        to.put(std::int64_t{options.max_poll_interval.count()});
        to.put(std::int64_t{options.session_timeout.count()});
        to.put_text(options.assignor->name());
    }
    /// Errors    `why`: invalid_config, for an assignor of a user's own: its code is elsewhere.
    [[nodiscard]] static member_options take_options(reader& from, failure& why) {
        member_options options;
        options.instance_id = from.take_text();
        options.max_poll_interval = std::chrono::nanoseconds{from.take<std::int64_t>()};
        options.session_timeout = std::chrono::nanoseconds{from.take<std::int64_t>()};
        if (options.max_poll_interval < shortest_poll_interval) {
            options.max_poll_interval = shortest_poll_interval;  // a coordinator that looks again after an eighth of it does nothing else
        }
        if (options.session_timeout.count() < 0) {
            options.session_timeout = {};
        }
        const std::string name = from.take_text();
        for (const auto& known : {assignors::range(), assignors::round_robin(), assignors::cooperative_sticky()}) {
            if (known->name() == name) {
                options.assignor = known;
            }
        }
        if (!options.assignor) {
            why = {errc::invalid_config, "the assignor '" + name + "' is a program's own, and the group's coordinator is another broker, which does not have it; use one of brook's"};
        }
        return options;
    }

    static void put(writer& to, const group_description& told) {
        to.put_text(told.group_id);
        to.put(static_cast<std::uint32_t>(told.state));
        to.put(told.generation);
        to.put_text(told.assignor);
        to.put(static_cast<std::uint32_t>(told.members.size()));
        for (const auto& one : told.members) {
            to.put_text(one.id);
            to.put_text(one.group_instance_id);
            to.put(std::uint32_t{one.is_away ? 1u : 0u});
            to.put(static_cast<std::uint32_t>(one.assignment.size()));
            for (const auto& [topic, number] : one.assignment) {
                to.put_text(topic);
                to.put(number);
            }
        }
        to.put(static_cast<std::uint32_t>(told.partitions.size()));
        for (const auto& one : told.partitions) {
            to.put_text(one.topic);
            to.put(one.number);
            to.put(one.committed.value_or(-1));
            to.put_text(one.metadata);
            to.put(one.log_end_offset);
            to.put(one.lag);
        }
    }
    [[nodiscard]] static group_description take_description(reader& from) {
        group_description told;
        told.group_id = from.take_text();
        told.state = static_cast<group_state>(from.take<std::uint32_t>());
        told.generation = from.take<std::int32_t>();
        told.assignor = from.take_text();
        for (std::uint32_t members = from.take_count(16); members > 0; --members) {
            group_description::member one;
            one.id = from.take_text();
            one.group_instance_id = from.take_text();
            one.is_away = from.take<std::uint32_t>() != 0;
            for (std::uint32_t left = from.take_count(8); left > 0; --left) {
                std::string topic = from.take_text();
                one.assignment.emplace_back(std::move(topic), from.take<std::int32_t>());
            }
            told.members.push_back(std::move(one));
        }
        for (std::uint32_t left = from.take_count(36); left > 0; --left) {
            group_description::partition one;
            one.topic = from.take_text();
            one.number = from.take<std::int32_t>();
            if (const auto committed = from.take<offset>(); committed >= 0) {
                one.committed = committed;
            }
            one.metadata = from.take_text();
            one.log_end_offset = from.take<offset>();
            one.lag = from.take<std::int64_t>();
            told.partitions.push_back(std::move(one));
        }
        return told;
    }
};

}  // namespace brook::inline BROOK_ABI::broker_room
