/// \file brook/broker/bodies/group_router.hpp
/// The functions that group_router.hpp declares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/broker/group_router.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/os/platform.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE group_seat group_router::join(std::string_view name, const member_options& options, std::vector<group_topic> topics,
                                           group_inquiries* later) {
    group_seat seat;
    seat.id = later == nullptr ? 0 : later->joining;
    while (seat.id == 0) {
        seat.id = shared_.platform.random() >> 1;  // a number that nobody has
    }
    if (later != nullptr) {
        later->joining = seat.id;  // whether the coordinator has taken it in shows later: asked again it is the same member
    }
    seat.shared = std::make_shared<membership>();
    call one{group_call::join, name, seat.id};
    group_codec::put(one.to, options);
    group_codec::put(one.to, topics);
    const std::vector<std::byte> answer = ask(one, later);
    replication::byte_reader from{answer};
    const auto changes = from.take<std::uint64_t>();
    {
        const std::scoped_lock guard{mutex_};
        seats_.push_back({std::string{name}, seat, {}, changes, false});
    }
    if (later != nullptr) {
        later->joining = 0;
    }
    shared_.upkeep.notify();  // it says from now on that the member lives
    return seat;
}

BROOK_INLINE void group_router::subscribe(std::string_view name, group::member_id member, std::vector<group_topic> topics, group_inquiries* later) {
    call one{group_call::subscribe, name, member};
    group_codec::put(one.to, topics);
    static_cast<void>(ask(one, later));
}

BROOK_INLINE void group_router::leave(std::string_view name, group::member_id member) {
    forget(member);
    call one{group_call::leave, name, member};
    tell_(std::move(one.body));  // should it get lost, its broker does not say any more that it lives
}

BROOK_INLINE bool group_router::is_member(std::string_view, group::member_id member) {
    const std::scoped_lock guard{mutex_};
    const seat_state* const one = find(member);
    if (one == nullptr || one->is_gone) {
        forget_locked(member);
        return false;
    }
    return true;
}

BROOK_INLINE bool group_router::has_instance(std::string_view name, std::string_view instance, group_inquiries* later) {
    call one{group_call::has_instance, name, 0};
    one.to.put_text(instance);
    const std::vector<std::byte> answer = ask(one, later);
    return replication::byte_reader{answer}.take<std::uint32_t>() != 0;
}

BROOK_INLINE std::vector<group_place> group_router::to_release(std::string_view name, group::member_id member, group_inquiries* later) {
    call one{group_call::to_release, name, member};
    const std::vector<std::byte> answer = ask(one, later);
    replication::byte_reader from{answer};
    return group_codec::take_places(from);
}

BROOK_INLINE void group_router::release(std::string_view name, group::member_id member, const std::vector<group_place>& places,
                                        group_inquiries* later) {
    {
        const std::scoped_lock guard{mutex_};
        if (seat_state* const held = find(member)) {
            for (const group_place& place : places) {
                for (std::size_t i = held->places.size(); i-- > 0;) {
                    if (held->places[i] == place) {
                        erase_at(held->places, i);
                    }
                }
            }
        }
    }
    call one{group_call::release, name, member};
    group_codec::put(one.to, places);
    static_cast<void>(ask(one, later));
}

BROOK_INLINE std::vector<group_place> group_router::take(std::string_view name, group::member_id member, bool& awaits_more, group_inquiries* later) {
    call one{group_call::take, name, member};
    const std::vector<std::byte> answer = ask(one, later);
    replication::byte_reader from{answer};
    awaits_more = from.take<std::uint32_t>() != 0;
    const std::vector<group_place> all = group_codec::take_places(from);
    std::vector<group_place> taken;
    const std::scoped_lock guard{mutex_};
    seat_state* const held = find(member);
    for (const group_place& place : all) {
        bool is_held = held == nullptr;
        for (std::size_t i = 0; !is_held && i < held->places.size(); ++i) {
            is_held = held->places[i] == place;
        }
        if (!is_held) {
            held->places.push_back(place);
            taken.push_back(place);
        }
    }
    return taken;
}

BROOK_INLINE failure group_router::commit(std::string_view name, group::member_id member, const std::vector<committed_position>& positions,
                                          group_inquiries* later) {
    if (positions.empty()) {
        return {};
    }
    if (later != nullptr) {
        call one{group_call::commit, name, member};
        group_codec::put(one.to, positions);
        if (member == 0) {
            one.to.put(epoch_());
        }
        return ask_quietly(one, later);
    }
    for (std::size_t i = 0; i < positions.size();) {
        std::vector<committed_position> some;
        for (std::size_t size = 0; i < positions.size() && (some.empty() || size + positions[i].metadata.size() < most_asked); ++i) {
            size += group_codec::position_bytes + positions[i].metadata.size();
            some.push_back(positions[i]);
        }
        failure why;
        if (member == 0) {
            why = ask_as_loner(group_call::commit, name, some);
        } else {
            call one{group_call::commit, name, member};
            group_codec::put(one.to, some);
            why = ask_quietly(one);
        }
        if (why) {
            return why;
        }
    }
    return {};
}

BROOK_INLINE std::optional<committed_position> group_router::committed(std::string_view name, const format::topic_id& topic, std::int32_t partition,
                                                                       group_inquiries* later) {
    call one{group_call::committed, name, 0};
    one.to.put(topic);
    one.to.put(partition);
    const std::vector<std::byte> answer = ask(one, later);
    replication::byte_reader from{answer};
    const bool is_there = from.take<std::uint32_t>() != 0;
    committed_position found = group_codec::take_position(from);
    return is_there ? std::optional{std::move(found)} : std::nullopt;
}

BROOK_INLINE std::vector<std::string> group_router::names() {
    const call one{group_call::names, "", 0};
    const std::vector<std::byte> answer = ask(one);
    replication::byte_reader from{answer};
    std::vector<std::string> all;
    for (std::uint32_t left = from.take_count(4); left > 0; --left) {
        all.push_back(from.take_text());
    }
    return all;
}

BROOK_INLINE group_description group_router::describe(std::string_view name, const std::vector<topic_handle>&) {
    const call one{group_call::describe, name, 0};
    const std::vector<std::byte> answer = ask(one);
    replication::byte_reader from{answer};
    return group_codec::take_description(from);
}

BROOK_INLINE failure group_router::reset(std::string_view name, const std::vector<committed_position>& positions) {
    return ask_as_loner(group_call::reset, name, positions);
}

BROOK_INLINE auto group_router::beats() -> std::vector<heartbeat> {
    return for_all_seats(group_call::beat, [](replication::byte_writer& to, const seat_state& seat) {
        to.put_text(seat.group);
        to.put(seat.seat.id);
        to.put(seat.seat.shared->polls.load(std::memory_order_acquire));
    });
}

BROOK_INLINE auto group_router::departures() -> std::vector<heartbeat> {
    return for_all_seats(group_call::depart, [](replication::byte_writer& to, const seat_state& seat) {
        to.put_text(seat.group);
        to.put(seat.seat.id);
    });
}

BROOK_INLINE void group_router::take_beat(const std::vector<group::member_id>& of, bytes answer) {
    bool is_news = false;
    {
        const std::scoped_lock guard{mutex_};
        replication::byte_reader from{answer};
        for (const group::member_id member : of) {
            const bool is_member = from.take<std::uint32_t>() != 0;
            const auto changes = from.take<std::uint64_t>();
            seat_state* const one = find(member);
            if (!from.is_whole() || one == nullptr) {
                continue;
            }
            if (!is_member || changes != one->changes) {
                one->is_gone = one->is_gone || !is_member;
                one->changes = changes;
                one->seat.shared->changes.fetch_add(1, std::memory_order_release);
                is_news = true;
            }
        }
    }
    if (is_news) {
        shared_.readers.notify();  // who sleeps in a poll has something to settle
    }
}

BROOK_INLINE group_router::call::call(group_call asked, std::string_view group, group::member_id member) : call{asked} {
    to.put_text(group);
    to.put(member);
}

BROOK_INLINE std::vector<std::byte> group_router::ask(const call& one, group_inquiries* later) {
    if (later == nullptr) {
        return ask_(one.body, patience_);
    }
    if (!later->is_empty()) {
        look_({});
    }
    return later->ask(one.body, static_cast<std::uint32_t>(one.what), one.what == group_call::committed, [&](const auto& told) { begin_(one.body, told); });
}

BROOK_INLINE failure group_router::ask_quietly(const call& one, group_inquiries* later) {
    try {
        static_cast<void>(ask(one, later));
        return {};
    } catch (const error& why) {
        return failure{why};
    }
}

BROOK_INLINE failure group_router::ask_as_loner(group_call what, std::string_view name, const std::vector<committed_position>& positions) {
    std::unique_lock one_at_a_time{loner_mutex_, std::try_to_lock};
    while (!one_at_a_time.owns_lock()) {  // who has it may wait for what this thread does, where that is one of the broker's own
        look_(std::chrono::milliseconds{1});
        static_cast<void>(one_at_a_time.try_lock());
    }
    const auto begun = shared_.platform.monotonic();
    for (bool is_first = true;; is_first = false) {
        call one{what, name, 0};
        if (what != group_call::remove) {
            group_codec::put(one.to, positions);
        }
        one.to.put(epoch_());
        try {
            static_cast<void>(ask_(one.body, begun + patience_ - shared_.platform.monotonic()));
            return {};
        } catch (const error& why) {
            if (why.code() == errc::group_id_not_found && !is_first) {
                return {};  // the former one has
            }
            if (why.code() != errc::coordinator_not_available || shared_.platform.monotonic() - begun >= patience_) {
                return failure{why};
            }
        }
    }
}

BROOK_INLINE auto group_router::find(group::member_id member) noexcept -> seat_state* {
    for (seat_state& one : seats_) {
        if (one.seat.id == member) {
            return &one;
        }
    }
    return nullptr;
}

BROOK_INLINE void group_router::forget(group::member_id member) {
    const std::scoped_lock guard{mutex_};
    forget_locked(member);
}

BROOK_INLINE void group_router::forget_locked(group::member_id member) {
    for (std::size_t i = seats_.size(); i-- > 0;) {
        if (seats_[i].seat.id == member) {
            erase_at(seats_, i);
        }
    }
}

}  // namespace brook::inline BROOK_ABI::broker_room
