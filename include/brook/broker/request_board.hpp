/// \file brook/broker/request_board.hpp
/// What users of this broker want of partitions' leaders, sent again and again until it is answered or too late.
/// Floor 4, broker. Source: Kafka's NetworkClient, with one request for each thing that is wanted.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/storage/log_life.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// The requests that have not ended.
///
/// A request goes to who leads its partition at that moment, this broker itself perhaps, and goes again, with the same number, when there is no
/// answer, or one that says "elsewhere" or "not now". It ends once: with an answer that is done, or at its deadline. Who leads has to know
/// repetitions by what they say: batches by their producer's numbers, calls of groups by the request's number, topics
/// by their ids. Who makes himself known to the controller does so twice at no harm.
///
/// Who sends with acks::all reads what he has sent: an acknowledgement of another broker's waits until the copy that is here shows the batch. It
/// waits for an election timeout at most, and not beyond the batch's deadline, since the batch is committed; and where a copy was late, nobody
/// waits for it until it has caught up.
///
/// Threads   confined, to whoever holds the member's lock.
/// Cost      O(requests) for an answer; a batch is copied into its datagram each time that it goes.
class request_board {
public:
    struct request {
        request_kind kind = request_kind::produce;
        partition_id target;
        std::vector<std::byte> body;             // of all but produce
        std::shared_ptr<produce_request> batch;  // of produce
        callback<void(const failure&, bytes)> done{};  // of all but produce; called without the lock
        std::chrono::nanoseconds deadline{};
    };

    /// Where requests go.
    ///
    /// Threads   called under the member's lock.
    class route {
    public:
        /// no_node: nobody is known to, or the partition is not here yet.
        [[nodiscard]] virtual std::int32_t leader_of(const partition_id& which) const noexcept = 0;

        /// That one says that it does not lead it.
        virtual void doubt_leader(const partition_id& which, std::int32_t node, std::chrono::nanoseconds now) = 0;

        /// The topic's name, where it was deleted; else null.
        [[nodiscard]] virtual const std::string* deleted_topic_of(const partition_id& which) const noexcept = 0;

        /// Up to where this broker's own copy shows what is committed; nullopt: it is not to be waited for, since it is not here, follows nobody, or is late.
        [[nodiscard]] virtual std::optional<offset> shown_here(const partition_id& which) const noexcept = 0;

        /// Somebody has waited in vain until the copy shows what is below `end`: it is late until it does.
        virtual void note_late(const partition_id& which, offset end) noexcept = 0;

        /// For messages.
        [[nodiscard]] virtual std::string name_of(const partition_id& which) const = 0;

        /// This broker leads: it does what is asked, and answers as it would another broker, perhaps before these return.
        virtual void append_own(const answer_to& to, const partition_id& target, replicated_acks acks, bool follows_another, std::vector<std::byte>& frame,
                                std::chrono::nanoseconds now) = 0;
        virtual void serve_own(const answer_to& to, request_kind kind, bytes body, std::chrono::nanoseconds now) = 0;

    protected:
        ~route() = default;
    };

    request_board(std::int32_t self, std::chrono::nanoseconds election_timeout, departures& out, route& by) noexcept
        : self_{self}, election_timeout_{election_timeout}, out_{out}, route_{by} {}

    /// Requests get numbers above this one, a session's: above those of any life before, whose answers, and copies of what was asked, may still be on their way.
    void number_from(std::uint64_t session) noexcept { last_number_ = std::max(last_number_, session); }

    void begin(request wanted, std::chrono::nanoseconds now) {
        bool is_kept = false;
        begin(std::move(wanted), now, is_kept);
    }

    /// `is_kept`: whatever is thrown, it is here, and ends as any other.
    void begin(request wanted, std::chrono::nanoseconds now, bool& is_kept) {
        entry made;
        made.wanted = std::move(wanted);
        made.number = ++last_number_;
        entries_.push_back(std::move(made));
        is_kept = true;
        if (has_ended_) {
            end(entries_.size() - 1, {errc::closed, "the broker is closed; nothing was written"});
            return;
        }
        try_one(entries_.size() - 1, now);
    }

    /// Those whose time has come.
    void try_due(std::chrono::nanoseconds now) {
        for (std::size_t i = 0; i < entries_.size();) {
            const std::uint64_t number = entries_[i].number;
            if (entries_[i].next_try <= now || entries_[i].wanted.deadline <= now) {
                try_one(i, now);
            }
            i += i < entries_.size() && entries_[i].number == number ? 1u : 0u;
        }
    }

    void expect_all() noexcept {
        for (const entry& one : entries_) {
            out_.expect(std::min(one.next_try, one.wanted.deadline));
        }
    }

    /// An answer has come, from another broker or this one.
    void take_answer(std::uint64_t number, std::int32_t from, answer_status status, bytes body, std::chrono::nanoseconds now) {
        std::size_t i = 0;
        while (i < entries_.size() && entries_[i].number != number) {
            ++i;
        }
        if (i == entries_.size() || entries_[i].acknowledged) {
            return;  // told already
        }
        entry& one = entries_[i];
        if (status == answer_status::elsewhere) {
            if (from == one.asked) {
                try_again_at(one, now + election_timeout_ / 50);
                route_.doubt_leader(one.wanted.target, from, now);
            }
            return;
        }
        replication::byte_reader read{body};
        failure why = answer_codec::take(read);
        if (!read.is_whole()) {
            return;
        }
        if (status == answer_status::not_now) {
            const bool is_early = one.wanted.batch && why.code == errc::out_of_order_sequence_number;
            one.last = std::move(why);
            try_again_at(one, now + election_timeout_ / 20);
            if (is_early) {
                hurry_front(one, now + election_timeout_ / 20);
            }
            return;
        }
        if (one.wanted.batch) {
            const auto first = read.take<offset>();
            const auto timestamp = read.take<std::int64_t>();
            if (!why && first >= 0 && one.wanted.batch->acks == replicated_acks::all) {
                const std::byte* const frame = one.wanted.batch->frame.data();
                one.acknowledged = acknowledgement{first, first + format::offsets_taken(format::load_header(frame), frame), timestamp,
                                                   std::min(one.wanted.deadline, now + election_timeout_)};
                ++acknowledged_;
                try_acknowledged(i, now);
                return;
            }
            end(i, why, first, timestamp);
        } else {
            end(i, why, -1, 0, read.rest());
        }
    }

    /// Of a partition of which there is a copy here: it shows more, or may not be waited for any more.
    void progressed(const partition_id& which, std::chrono::nanoseconds now) {
        for (std::size_t i = 0; acknowledged_ > 0 && i < entries_.size();) {
            const std::uint64_t number = entries_[i].number;
            if (entries_[i].acknowledged && entries_[i].wanted.target == which) {
                try_acknowledged(i, now);
            }
            i += i < entries_.size() && entries_[i].number == number ? 1u : 0u;
        }
    }

    /// Another one leads a partition, or the same one anew: what was asked of the one before is asked at once.
    void led_anew(const partition_id& which, std::chrono::nanoseconds now) noexcept {
        for (entry& one : entries_) {
            if (one.wanted.target == which && !one.acknowledged) {
                try_again_at(one, now);
            }
        }
    }

    /// This broker has appended what one of its own requests asks for: from here on the outcome may be unknown.
    void note_appended(std::uint64_t number) noexcept {
        for (entry& one : entries_) {
            if (one.number == number) {
                one.handed_to = self_;
            }
        }
    }

    /// The broker closes. What begins from here on ends at once.
    void end_all() {
        has_ended_ = true;
        while (!entries_.empty()) {
            if (entries_.back().acknowledged) {
                end_acknowledged(entries_.size() - 1);
                continue;
            }
            const bool is_open = entries_.back().handed_to != replication::no_node;
            end(entries_.size() - 1, {errc::closed, std::string{"the broker was closed before it was acknowledged"} +
                                                        (is_open ? "; whether it is there shows later" : "; nothing was written")});
        }
    }

private:
    static constexpr std::size_t produce_overhead = sizeof(format::topic_id) + sizeof(std::int32_t) + sizeof(replicated_acks) + sizeof(std::uint8_t) + sizeof(std::uint32_t);  // around a frame

    struct acknowledgement {
        offset first = -1;
        offset end = -1;
        std::int64_t timestamp = 0;
        std::chrono::nanoseconds until{};  // then it is told in any case
    };

    struct entry {
        request wanted;
        std::uint64_t number = 0;
        std::chrono::nanoseconds next_try{};
        std::int32_t asked = replication::no_node;
        std::int32_t handed_to = replication::no_node;  // the latest that was sent it, or has appended it: whether it is done he knows
        failure last;                                   // why it did not go when it was tried last
        std::optional<acknowledgement> acknowledged;    // it is committed, and waits for the copy that is here
    };

    void try_again_at(entry& one, std::chrono::nanoseconds when) noexcept {
        one.next_try = when;
        out_.expect(when);
    }

    /// Where one is too early the first of its producer's may be lost on its way.
    void hurry_front(const entry& behind, std::chrono::nanoseconds when) noexcept {
        for (entry& one : entries_) {
            if (one.wanted.batch && !one.acknowledged && one.wanted.target == behind.wanted.target && !one.wanted.batch->follows_another.load(std::memory_order_acquire) &&
                format::load_stamp(one.wanted.batch->frame.data()).id == format::load_stamp(behind.wanted.batch->frame.data()).id) {
                if (one.next_try > when) {
                    try_again_at(one, when);
                }
                return;
            }
        }
    }

    /// Sends it to who leads now. May end it.
    void try_one(std::size_t i, std::chrono::nanoseconds now) {
        entry& one = entries_[i];
        if (one.acknowledged) {
            try_acknowledged(i, now);
            return;
        }
        if (now >= one.wanted.deadline) {
            end(i, give_reason(one));
            return;
        }
        if (const std::string* const name = route_.deleted_topic_of(one.wanted.target)) {
            end(i, storage::deleted_topic(*name));
            return;
        }
        const std::int32_t leader = route_.leader_of(one.wanted.target);
        one.asked = leader;
        one.next_try = now + (leader == replication::no_node ? election_timeout_ / 20 : election_timeout_ / 2);
        out_.expect(std::min(one.next_try, one.wanted.deadline));
        if (leader == replication::no_node) {
            return;
        }
        if (leader == self_) {
            serve(one, now);
        } else if (const std::size_t size = one.wanted.batch ? produce_overhead + one.wanted.batch->frame.size() : one.wanted.body.size(); !out_.fits(size)) {
            end(i, {errc::record_too_large, route_.name_of(one.wanted.target) + ": " + std::to_string(size) + " bytes are asked of its leader, and a datagram of the transport does not hold them; ask for less at once"});
        } else {
            send(one, leader);
        }
    }

    /// Tells it, if the copy here shows it or has had its time.
    void try_acknowledged(std::size_t i, std::chrono::nanoseconds now) {
        entry& one = entries_[i];
        const std::optional<offset> shown = route_.shown_here(one.wanted.target);
        if (shown && *shown < one.acknowledged->end) {
            if (now < one.acknowledged->until) {
                try_again_at(one, one.acknowledged->until);
                return;
            }
            route_.note_late(one.wanted.target, one.acknowledged->end);
        }
        end_acknowledged(i);
    }

    void end_acknowledged(std::size_t i) {
        const acknowledgement done = *entries_[i].acknowledged;
        end(i, {}, done.first, done.timestamp);
        --acknowledged_;
    }

    /// Of copies: the answer may end the request.
    void serve(const entry& one, std::chrono::nanoseconds now) {
        const answer_to to{self_, one.number};
        if (one.wanted.batch) {
            std::vector<std::byte> frame = one.wanted.batch->frame;
            route_.append_own(to, partition_id{one.wanted.target}, one.wanted.batch->acks, one.wanted.batch->follows_another.load(std::memory_order_acquire), frame, now);
        } else {
            const std::vector<std::byte> body = one.wanted.body;
            route_.serve_own(to, one.wanted.kind, body, now);
        }
    }

    void send(entry& one, std::int32_t leader) {
        one.handed_to = leader;
        datagram::part part;
        part.kind = datagram::part_kind::request;
        part.number = one.number;
        part.code = static_cast<std::uint32_t>(one.wanted.kind);
        if (!one.wanted.batch) {
            out_.add(leader, part, one.wanted.body);
            return;
        }
        out_.add(leader, part, produce_overhead + one.wanted.batch->frame.size(), [&](std::vector<std::byte>& into) {
            replication::byte_writer to{into};
            to.put(one.wanted.target.topic);
            to.put(one.wanted.target.number);
            to.put(one.wanted.batch->acks);
            to.put(static_cast<std::uint8_t>(one.wanted.batch->follows_another.load(std::memory_order_acquire)));
            to.put_bytes(one.wanted.batch->frame);
        });
    }

    [[nodiscard]] failure give_reason(const entry& one) const {
        const bool has_leader = route_.leader_of(one.wanted.target) != replication::no_node;
        if (one.handed_to != replication::no_node) {
            return {errc::timed_out, route_.name_of(one.wanted.target) + ": its leader, broker " + std::to_string(one.handed_to) +
                                         ", was sent it and has not acknowledged it in time; whether it is there shows later" +
                                         (one.last ? ". When it answered last it would not take it as yet: " + one.last.text : std::string{})};
        }
        if (one.last) {
            return one.last;
        }
        return {errc::not_leader_or_follower, route_.name_of(one.wanted.target) + (has_leader ? ": its leader was not found in time; nothing was written"
                                                                                              : ": no leader was known in time, as where no majority of its replicas can be reached; nothing was written")};
    }

    void end(std::size_t i, const failure& why, offset first = -1, std::int64_t timestamp = 0, bytes result = {}) {
        departures::completion told;  // what may be refused memory comes first
        told.why = why;
        told.first = first;
        told.timestamp = timestamp;
        told.result.assign(result.begin(), result.end());
        departures::completion& kept = out_.tell(std::move(told));
        kept.batch = std::move(entries_[i].wanted.batch);
        kept.done = std::move(entries_[i].wanted.done);
        entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(i));
    }

    const std::int32_t self_;
    const std::chrono::nanoseconds election_timeout_;
    departures& out_;
    route& route_;
    std::vector<entry> entries_;  // by number
    std::uint64_t last_number_ = 0;
    bool has_ended_ = false;
    std::size_t acknowledged_ = 0;  // of the entries those that are
};

}  // namespace brook::inline BROOK_ABI::broker_room
