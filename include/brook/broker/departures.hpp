/// \file brook/broker/departures.hpp
/// What leaves the lock of a cluster's member: to be sent, told, reported and done once it is free.
/// Floor 4, broker.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/transport.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Gathers, under the lock, what has to be done without it. Whoever held the lock takes all of it along and does it: so nobody who is sent to,
/// told or called finds the lock taken, and a slow receiver keeps nobody waiting for it.
///
/// Threads   confined, to whoever holds the member's lock. What `take` gave belongs to who took it.
/// Cost      a message is copied once, into the datagram that it leaves in.
class departures {
public:
    /// A datagram on its way, but for its header.
    struct letter {
        std::int32_t to = replication::no_node;
        std::vector<std::byte> bytes;
    };

    /// A request has ended, and who made it is to be told.
    struct completion {
        std::shared_ptr<produce_request> batch;         // of a batch; else
        callback<void(const failure&, bytes)> done{};
        failure why;
        offset first = -1;
        std::int64_t timestamp = 0;
        std::vector<std::byte> result{};

        void tell() const {
            if (batch) {
                batch->settle(why, first, timestamp);
            } else {
                done(why, result);
            }
        }
    };

    /// A call of a group, to be carried out when the lock is free: it may wait for others, and appends.
    struct group_request {
        answer_to to;
        std::vector<std::byte> body;
    };

    /// All that was gathered.
    struct load {
        std::vector<group_request> calls;
        std::vector<letter> letters;
        std::vector<completion> told;
        std::vector<failure> problems;
        std::vector<failure> announced;  ///< has begun to be so, and is said by the member for as long as it is
        std::vector<std::unique_ptr<hosted_partition>> gone;  ///< nobody has touched them any more
        format::topic_id cluster{};   ///< for the letters' headers
        bool has_changed = false;     ///< somebody may wait for what has happened
        bool wants_upkeep = false;
        bool wants_sync = false;
        bool is_sooner = false;       ///< something is due before the member's thread would look again

        /// Whom there is to tell or to call, apart from what is only sent. That somebody may wait for it goes along.
        void take_rest(load& from) noexcept {
            calls.swap(from.calls);
            told.swap(from.told);
            problems.swap(from.problems);
            announced.swap(from.announced);
            has_changed = std::exchange(from.has_changed, false);
        }
        [[nodiscard]] bool has_rest() const noexcept { return !calls.empty() || !told.empty() || !problems.empty() || !announced.empty(); }
    };

    static constexpr std::chrono::nanoseconds never = std::chrono::nanoseconds::max();

    /// `network` lives as long as this.
    explicit departures(const transport& network) noexcept : network_{network} {}

    /// Requires  that every replica that was touched has been settled.
    [[nodiscard]] load take(const format::topic_id& cluster) noexcept {
        load leaving;
        leaving.letters = std::exchange(letters_, {});
        leaving.told = std::exchange(completions_, {});
        leaving.problems = std::exchange(problems_, {});
        leaving.announced = std::exchange(announced_, {});
        leaving.calls = std::exchange(calls_, {});
        leaving.gone = std::exchange(gone_, {});
        leaving.cluster = cluster;
        leaving.has_changed = std::exchange(has_changed_, false) || !leaving.told.empty();
        leaving.wants_upkeep = std::exchange(wants_upkeep_, false);
        leaving.wants_sync = std::exchange(wants_sync_, false);
        leaving.is_sooner = soonest_ < planned_;
        planned_ = std::min(planned_, soonest_);
        soonest_ = never;
        return leaving;
    }

    // ---- to other brokers ----

    /// Frames that go into one datagram, with all that surrounds them, in bytes.
    [[nodiscard]] std::size_t largest_frame() const noexcept { return network_.largest_datagram() - overhead; }

    /// Whether a datagram holds a request or an answer with such a body.
    [[nodiscard]] bool fits(std::size_t body) const noexcept { return datagram::header_size + datagram::part_bytes(body) <= network_.largest_datagram(); }

    void send(std::int32_t to, const partition_id& of, const replication::message& said) {
        datagram::part part;
        part.kind = datagram::part_kind::replica;
        part.partition = of;
        add(to, part, replication::message::fixed_size + said.frames.size(), [&](std::vector<std::byte>& into) { said.encode(into); });
    }

    /// A request or an answer, whose body of `size` bytes `write` appends.
    template <class Write>
    void add(std::int32_t to, const datagram::part& part, std::size_t size, const Write& write) {
        datagram::add(letter_to(to, size), part, write);
    }

    void add(std::int32_t to, const datagram::part& part, bytes body) {
        add(to, part, body.size(), [&](std::vector<std::byte>& into) {
            const std::size_t at = into.size();
            into.resize(at + body.size());
            copy_bytes(into.data() + at, body.data(), body.size());
        });
    }

    /// Something was thrown, and a letter may be half written; calls were asked of what is unsure now. As if they had been lost: whoever sent them asks again.
    void drop_letters() noexcept {
        letters_.clear();
        calls_.clear();
    }

    // ---- inside of this broker ----

    /// Returns   where it is kept, valid until the next call.
    completion& tell(completion one) {
        completions_.push_back(std::move(one));
        return completions_.back();
    }
    void report(failure why) { problems_.push_back(std::move(why)); }
    void announce(failure why) { announced_.push_back(std::move(why)); }
    void carry_out(const answer_to& to, bytes call) { calls_.push_back({to, {call.begin(), call.end()}}); }
    void let_go(std::unique_ptr<hosted_partition>&& one) { gone_.push_back(std::move(one)); }
    void note_change() noexcept { has_changed_ = true; }
    void want_upkeep() noexcept { wants_upkeep_ = true; }
    void want_sync() noexcept { wants_sync_ = true; }

    // ---- when the member's thread has to look again ----

    void expect(std::optional<std::chrono::nanoseconds> due) noexcept {
        if (due && *due < soonest_) {
            soonest_ = *due;
        }
    }

    /// Something that was expected is due.
    [[nodiscard]] bool is_due(std::chrono::nanoseconds now) const noexcept { return planned_ <= now; }

    /// What was planned has been done: the caller says next what is expected from here on.
    void plan_anew() noexcept { planned_ = never; }

    [[nodiscard]] std::chrono::nanoseconds next_due() const noexcept { return std::min(planned_, soonest_); }

private:
    static constexpr std::size_t overhead = datagram::header_size + 32 + replication::message::fixed_size + 64;  // of frames in a datagram, at most

    /// The latest to this node, where there is room for a part with such a body; else a new one.
    [[nodiscard]] std::vector<std::byte>& letter_to(std::int32_t node, std::size_t body) {
        const std::size_t wanted = datagram::part_bytes(body);
        for (std::size_t i = letters_.size(); i-- > 0;) {
            if (letters_[i].to == node) {
                if (letters_[i].bytes.size() + wanted <= network_.largest_datagram()) {
                    return letters_[i].bytes;
                }
                break;
            }
        }
        letters_.push_back({node, {}});
        datagram::begin(letters_.back().bytes);
        return letters_.back().bytes;
    }

    const transport& network_;
    std::vector<letter> letters_;
    std::vector<completion> completions_;
    std::vector<failure> problems_;
    std::vector<failure> announced_;
    std::vector<group_request> calls_;
    std::vector<std::unique_ptr<hosted_partition>> gone_;
    bool has_changed_ = false;
    bool wants_upkeep_ = false;
    bool wants_sync_ = false;
    std::chrono::nanoseconds planned_ = never;  // when the thread looks again by itself
    std::chrono::nanoseconds soonest_ = never;  // when somebody that was touched has to be looked at
};

}  // namespace brook::inline BROOK_ABI::broker_room
