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
#include <brook/core/types.hpp>
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

    [[nodiscard]] BROOK_INLINE group_seat join(std::string_view name, const member_options& options, std::vector<group_topic> topics, group_inquiries* later = nullptr) override;

    BROOK_INLINE void subscribe(std::string_view name, group::member_id member, std::vector<group_topic> topics, group_inquiries* later = nullptr) override;

    BROOK_INLINE void leave(std::string_view name, group::member_id member) override;

    /// As far as its coordinator has told: a heartbeat says so when it has put it out.
    [[nodiscard]] BROOK_INLINE bool is_member(std::string_view, group::member_id member) override;

    [[nodiscard]] BROOK_INLINE bool has_instance(std::string_view name, std::string_view instance, group_inquiries* later = nullptr) override;

    [[nodiscard]] BROOK_INLINE std::vector<group_place> to_release(std::string_view name, group::member_id member, group_inquiries* later = nullptr) override;

    BROOK_INLINE void release(std::string_view name, group::member_id member, const std::vector<group_place>& places, group_inquiries* later = nullptr) override;

    [[nodiscard]] BROOK_INLINE std::vector<group_place> take(std::string_view name, group::member_id member, bool& awaits_more, group_inquiries* later = nullptr) override;

    [[nodiscard]] BROOK_INLINE failure commit(std::string_view name, group::member_id member, const std::vector<committed_position>& positions, group_inquiries* later = nullptr) override;

    [[nodiscard]] BROOK_INLINE std::optional<committed_position> committed(std::string_view name, const format::topic_id& topic, std::int32_t partition, group_inquiries* later = nullptr) override;

    [[nodiscard]] BROOK_INLINE std::vector<std::string> names() override;

    [[nodiscard]] BROOK_INLINE group_description describe(std::string_view name, const std::vector<topic_handle>&) override;

    [[nodiscard]] failure remove(std::string_view name) override { return ask_as_loner(group_call::remove, name, {}); }

    [[nodiscard]] BROOK_INLINE failure reset(std::string_view name, const std::vector<committed_position>& positions) override;

    // ---- heartbeats ----

    /// What this broker says for some of its members.
    struct heartbeat {
        std::vector<std::byte> body;
        std::vector<group::member_id> of;  ///< in its order
    };

    /// For all of them, as many at once as any network takes.
    [[nodiscard]] std::vector<heartbeat> beats();

    /// That they all leave, since their broker closes.
    [[nodiscard]] std::vector<heartbeat> departures();

    /// What the coordinator said to one of them.
    void take_beat(const std::vector<group::member_id>& of, bytes answer);

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
        call(group_call asked, std::string_view group, group::member_id member);
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

    [[nodiscard]] std::vector<std::byte> ask(const call& one, group_inquiries* later = nullptr);

    [[nodiscard]] failure ask_quietly(const call& one, group_inquiries* later = nullptr);

    /// Of who is no member: in the order of their numbers, since a coordinator does not carry out what comes behind a later one; and as something new where
    /// another coordinator has come meanwhile, which cannot know what the former one has done.
    [[nodiscard]] failure ask_as_loner(group_call what, std::string_view name, const std::vector<committed_position>& positions);

    [[nodiscard]] seat_state* find(group::member_id member) noexcept;

    void forget(group::member_id member);
    void forget_locked(group::member_id member);

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

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/group_router.hpp>
#endif
