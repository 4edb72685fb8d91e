/// \file brook/broker/group_router.hpp
/// A member's side: what consumers of this broker want of their groups, asked of whichever broker coordinates them.
/// Floor 4, broker. Source: Kafka's FindCoordinator and Heartbeat.
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
#include <brook/broker/group_service.hpp>
#include <brook/broker/request_outcome.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Asks by `ask`, which sends a call's bytes to the coordinator, again and again for at most that long, and throws when there is no answer; or by
/// `begin`, which does the same and has whoever wants to know look for the outcome.
///
/// Threads   shared.
class group_router final : public group_service {
public:
    using ask_coordinator = callback<std::vector<std::byte>(std::vector<std::byte>, std::chrono::nanoseconds)>;

    using tell_coordinator = callback<void(std::vector<std::byte>)>;

    /// Told when there is an answer, or none in time. Where nobody else does the cluster's work it does what there is to do.
    using begin_inquiry = callback<void(const std::vector<std::byte>&, const std::shared_ptr<request_outcome>&)>;

    /// `tell` does the same as `ask`, and nobody waits for an answer. `look` gives answers that have come a chance to be seen, waiting for that long at most.
    /// `epoch`: in which the coordinator leads, as far as this broker knows.
    group_router(shared_state& shared, ask_coordinator ask, tell_coordinator tell, begin_inquiry begin, callback<void(std::chrono::nanoseconds)> look, callback<std::uint32_t()> epoch,
                 std::chrono::nanoseconds patience)
        : shared_{shared}, ask_{std::move(ask)}, tell_{std::move(tell)}, begin_{std::move(begin)}, look_{std::move(look)}, epoch_{std::move(epoch)}, patience_{patience} {}

    [[nodiscard]] group_seat join(std::string_view name, const member_options& options, std::vector<group_topic> topics, group_inquiries* later = nullptr) override {
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

    void subscribe(std::string_view name, group::member_id member, std::vector<group_topic> topics, group_inquiries* later = nullptr) override {
        call one{group_call::subscribe, name, member};
        group_codec::put(one.to, topics);
        static_cast<void>(ask(one, later));
    }

    void leave(std::string_view name, group::member_id member) override {
        forget(member);
        call one{group_call::leave, name, member};
        tell_(std::move(one.body));  // should it get lost, its broker does not say any more that it lives
    }

    /// As far as its coordinator has told: a heartbeat says so when it has put it out.
    [[nodiscard]] bool is_member(std::string_view, group::member_id member) override {
        const std::scoped_lock guard{mutex_};
        const seat_state* const one = find(member);
        if (one == nullptr || one->is_gone) {
            forget_locked(member);
            return false;
        }
        return true;
    }

    [[nodiscard]] bool has_instance(std::string_view name, std::string_view instance, group_inquiries* later = nullptr) override {
        call one{group_call::has_instance, name, 0};
        one.to.put_text(instance);
        const std::vector<std::byte> answer = ask(one, later);
        return replication::byte_reader{answer}.take<std::uint32_t>() != 0;
    }

    [[nodiscard]] std::vector<group_place> to_release(std::string_view name, group::member_id member, group_inquiries* later = nullptr) override {
        call one{group_call::to_release, name, member};
        const std::vector<std::byte> answer = ask(one, later);
        replication::byte_reader from{answer};
        return group_codec::take_places(from);
    }

    void release(std::string_view name, group::member_id member, const std::vector<group_place>& places, group_inquiries* later = nullptr) override {
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

    [[nodiscard]] std::vector<group_place> take(std::string_view name, group::member_id member, bool& awaits_more, group_inquiries* later = nullptr) override {
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

    [[nodiscard]] failure commit(std::string_view name, group::member_id member, const std::vector<committed_position>& positions, group_inquiries* later = nullptr) override {
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

    [[nodiscard]] std::optional<committed_position> committed(std::string_view name, const format::topic_id& topic, std::int32_t partition, group_inquiries* later = nullptr) override {
        call one{group_call::committed, name, 0};
        one.to.put(topic);
        one.to.put(partition);
        const std::vector<std::byte> answer = ask(one, later);
        replication::byte_reader from{answer};
        const bool is_there = from.take<std::uint32_t>() != 0;
        committed_position found = group_codec::take_position(from);
        return is_there ? std::optional{std::move(found)} : std::nullopt;
    }

    [[nodiscard]] std::vector<std::string> names() override {
        const call one{group_call::names, "", 0};
        const std::vector<std::byte> answer = ask(one);
        replication::byte_reader from{answer};
        std::vector<std::string> all;
        for (std::uint32_t left = from.take_count(4); left > 0; --left) {
            all.push_back(from.take_text());
        }
        return all;
    }

    [[nodiscard]] group_description describe(std::string_view name, const std::vector<topic_handle>&) override {
        const call one{group_call::describe, name, 0};
        const std::vector<std::byte> answer = ask(one);
        replication::byte_reader from{answer};
        return group_codec::take_description(from);
    }

    [[nodiscard]] failure remove(std::string_view name) override { return ask_as_loner(group_call::remove, name, {}); }

    [[nodiscard]] failure reset(std::string_view name, const std::vector<committed_position>& positions) override {
        return ask_as_loner(group_call::reset, name, positions);
    }

    // ---- heartbeats ----

    /// What this broker says for some of its members.
    struct heartbeat {
        std::vector<std::byte> body;
        std::vector<group::member_id> of;  ///< in its order
    };

    /// For all of them, as many at once as any network takes.
    [[nodiscard]] std::vector<heartbeat> beats() {
        return for_all_seats(group_call::beat, [](replication::byte_writer& to, const seat_state& seat) {
            to.put_text(seat.group);
            to.put(seat.seat.id);
            to.put(seat.seat.shared->polls.load(std::memory_order_acquire));
        });
    }

    /// That they all leave, since their broker closes.
    [[nodiscard]] std::vector<heartbeat> departures() {
        return for_all_seats(group_call::depart, [](replication::byte_writer& to, const seat_state& seat) {
            to.put_text(seat.group);
            to.put(seat.seat.id);
        });
    }

    /// What the coordinator said to one of them.
    void take_beat(const std::vector<group::member_id>& of, bytes answer) {
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

private:
    static constexpr std::size_t most_asked = 32 * kib;  // of a call that can be several, in bytes: each network takes a datagram of 64 KiB

    struct seat_state {
        std::string group;
        group_seat seat;
        std::vector<group_place> places;  // that its consumer has been told
        std::uint64_t changes = 0;        // as its coordinator counts them
        bool is_gone = false;             // its coordinator does not know it any more
    };

    struct call {
        explicit call(group_call asked) : what{asked} { to.put(static_cast<std::uint32_t>(what)); }
        call(group_call asked, std::string_view group, group::member_id member) : call{asked} {
            to.put_text(group);
            to.put(member);
        }
        call(const call&) = delete;
        call& operator=(const call&) = delete;

        group_call what;
        std::vector<std::byte> body;
        replication::byte_writer to{body};
    };

    template <class Write>
    [[nodiscard]] std::vector<heartbeat> for_all_seats(group_call what, const Write& write) {
        const std::scoped_lock guard{mutex_};
        std::vector<heartbeat> all;
        for (std::size_t i = 0; i < seats_.size();) {
            heartbeat one;
            std::vector<std::byte> said;
            for (; i < seats_.size() && said.size() < most_asked; ++i) {
                replication::byte_writer to{said};
                write(to, seats_[i]);
                one.of.push_back(seats_[i].seat.id);
            }
            replication::byte_writer whole{one.body};
            whole.put(static_cast<std::uint32_t>(what));
            whole.put(static_cast<std::uint32_t>(one.of.size()));
            one.body.insert(one.body.end(), said.begin(), said.end());
            all.push_back(std::move(one));
        }
        return all;
    }

    [[nodiscard]] std::vector<std::byte> ask(const call& one, group_inquiries* later = nullptr) {
        if (later == nullptr) {
            return ask_(one.body, patience_);
        }
        if (!later->is_empty()) {
            look_({});
        }
        return later->ask(one.body, static_cast<std::uint32_t>(one.what), one.what == group_call::committed, [&](const auto& told) { begin_(one.body, told); });
    }

    [[nodiscard]] failure ask_quietly(const call& one, group_inquiries* later = nullptr) {
        try {
            static_cast<void>(ask(one, later));
            return {};
        } catch (const error& why) {
            return failure{why};
        }
    }

    /// Of who is no member: in the order of their numbers, since a coordinator does not carry out what comes behind a later one; and as something new where
    /// another coordinator has come meanwhile, which cannot know what the former one has done.
    [[nodiscard]] failure ask_as_loner(group_call what, std::string_view name, const std::vector<committed_position>& positions) {
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

    [[nodiscard]] seat_state* find(group::member_id member) noexcept {
        for (seat_state& one : seats_) {
            if (one.seat.id == member) {
                return &one;
            }
        }
        return nullptr;
    }

    void forget(group::member_id member) {
        const std::scoped_lock guard{mutex_};
        forget_locked(member);
    }
    void forget_locked(group::member_id member) {
        for (std::size_t i = seats_.size(); i-- > 0;) {
            if (seats_[i].seat.id == member) {
                erase_at(seats_, i);
            }
        }
    }

    shared_state& shared_;
    ask_coordinator ask_;
    tell_coordinator tell_;
    begin_inquiry begin_;
    callback<void(std::chrono::nanoseconds)> look_;
    callback<std::uint32_t()> epoch_;
    std::chrono::nanoseconds patience_;
    std::recursive_mutex loner_mutex_;  // held while one commits who is no member, and by who is told of something meanwhile and commits
    std::mutex mutex_;        // guards the seats
    std::vector<seat_state> seats_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
