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
#include <brook/replication/message.hpp>

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

    void begin(request wanted, std::chrono::nanoseconds now);

    /// `is_kept`: whatever is thrown, it is here, and ends as any other.
    void begin(request wanted, std::chrono::nanoseconds now, bool& is_kept);

    /// Those whose time has come.
    void try_due(std::chrono::nanoseconds now);

    void expect_all() noexcept;

    /// An answer has come, from another broker or this one.
    void take_answer(std::uint64_t number, std::int32_t from, answer_status status, bytes body, std::chrono::nanoseconds now);

    /// Of a partition of which there is a copy here: it shows more, or may not be waited for any more.
    void progressed(const partition_id& which, std::chrono::nanoseconds now);

    /// Another one leads a partition, or the same one anew: what was asked of the one before is asked at once.
    void led_anew(const partition_id& which, std::chrono::nanoseconds now) noexcept;

    /// This broker has appended what one of its own requests asks for: from here on the outcome may be unknown.
    void note_appended(std::uint64_t number) noexcept;

    /// The broker closes. What begins from here on ends at once.
    void end_all();

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

    void try_again_at(entry& one, std::chrono::nanoseconds when) noexcept;

    /// Where one is too early the first of its producer's may be lost on its way.
    void hurry_front(const entry& behind, std::chrono::nanoseconds when) noexcept;

    /// Sends it to who leads now. May end it.
    void try_one(std::size_t i, std::chrono::nanoseconds now);

    /// Tells it, if the copy here shows it or has had its time.
    void try_acknowledged(std::size_t i, std::chrono::nanoseconds now);

    void end_acknowledged(std::size_t i);

    /// Of copies: the answer may end the request.
    void serve(const entry& one, std::chrono::nanoseconds now);

    void send(entry& one, std::int32_t leader);

    [[nodiscard]] failure give_reason(const entry& one) const;

    void end(std::size_t i, const failure& why, offset first = -1, std::int64_t timestamp = 0, bytes result = {});

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

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/request_board.hpp>
#endif
