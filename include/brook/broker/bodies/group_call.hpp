/// \file brook/broker/bodies/group_call.hpp
/// The functions that group_call.hpp declares.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/assignor.hpp>
#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void group_codec::put(writer& to, const std::vector<group_place>& places) {
    to.put(static_cast<std::uint32_t>(places.size()));
    for (const group_place& one : places) {
        to.put(one.topic);
        to.put(one.partition);
    }
}

BROOK_INLINE std::vector<group_place> group_codec::take_places(reader& from) {
    std::vector<group_place> places;
    for (std::uint32_t left = from.take_count(20); left > 0; --left) {
        const auto topic = from.take<format::topic_id>();
        places.push_back({topic, from.take<std::int32_t>()});
    }
    return places;
}

BROOK_INLINE void group_codec::put(writer& to, const committed_position& one) {
    to.put(one.topic);
    to.put(one.partition);
    to.put(one.next);
    to.put(one.leader_epoch);
    to.put_text(one.metadata);
}

BROOK_INLINE committed_position group_codec::take_position(reader& from) {
    committed_position one;
    one.topic = from.take<format::topic_id>();
    one.partition = from.take<std::int32_t>();
    one.next = from.take<offset>();
    one.leader_epoch = from.take<std::int32_t>();
    one.metadata = from.take_text();
    return one;
}

BROOK_INLINE void group_codec::put(writer& to, const std::vector<committed_position>& positions) {
    to.put(static_cast<std::uint32_t>(positions.size()));
    for (const committed_position& one : positions) {
        put(to, one);
    }
}

BROOK_INLINE std::vector<committed_position> group_codec::take_positions(reader& from) {
    std::vector<committed_position> positions;
    for (std::uint32_t left = from.take_count(position_bytes); left > 0; --left) {
        positions.push_back(take_position(from));
    }
    return positions;
}

BROOK_INLINE void group_codec::put(writer& to, const std::vector<group_topic>& topics) {
    to.put(static_cast<std::uint32_t>(topics.size()));
    for (const group_topic& one : topics) {
        to.put(one.id);
        to.put_text(one.name);
        to.put(one.partitions);
    }
}

BROOK_INLINE std::vector<group_topic> group_codec::take_topics(reader& from) {
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

BROOK_INLINE void group_codec::put(writer& to, const member_options& options) {
    to.put_text(options.instance_id);
    to.put(std::int64_t{options.max_poll_interval.count()});
    to.put(std::int64_t{options.session_timeout.count()});
    to.put_text(options.assignor->name());
}

BROOK_INLINE member_options group_codec::take_options(reader& from, failure& why) {
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

BROOK_INLINE void group_codec::put(writer& to, const group_description& told) {
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

BROOK_INLINE group_description group_codec::take_description(reader& from) {
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

}  // namespace brook::inline BROOK_ABI::broker_room
