/// \file brook/broker/answers.hpp
/// Answers to whoever asked this broker: at once, or once what was appended is committed.
/// Floor 4, broker. Source: Kafka's DelayedProduce.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <brook/broker/cluster_request.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/request_board.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Another broker is written to; this one's own requests end on its board.
///
/// Threads   confined, to whoever holds the member's lock.
class answers {
public:
    answers(std::int32_t self, departures& out, request_board& own) noexcept : self_{self}, out_{out}, own_{own} {}

    void give(const answer_to& to, answer_status status, bytes body, std::chrono::nanoseconds now) {
        if (to.node == self_) {
            own_.take_answer(to.number, self_, status, body, now);
            return;
        }
        if (!out_.fits(body.size())) {
            refuse(to, answer_status::done, {errc::record_too_large, "the answer has " + std::to_string(body.size()) + " bytes, and a datagram of the transport does not hold them"}, now);
            return;
        }
        datagram::part part;
        part.kind = datagram::part_kind::answer;
        part.number = to.number;
        part.code = static_cast<std::uint32_t>(status);
        out_.add(to.node, part, body);
    }

    void give_elsewhere(const answer_to& to, std::chrono::nanoseconds now) { give(to, answer_status::elsewhere, {}, now); }

    /// `status`: done, or not_now.
    void refuse(const answer_to& to, answer_status status, const failure& why, std::chrono::nanoseconds now) {
        std::vector<std::byte> body;
        answer_codec::put(body, why);
        if (status == answer_status::done) {
            answer_codec::put_appended(body, -1, 0);
        }
        give(to, status, body, now);
    }

    void give_appended(const answer_to& to, offset first, std::int64_t timestamp, std::chrono::nanoseconds now) {
        std::vector<std::byte> body;
        answer_codec::put(body, {});
        answer_codec::put_appended(body, first, timestamp);
        give(to, answer_status::done, body, now);
    }

    // ---- of what was appended to a partition that this broker leads ----

    /// It stands in the log: a request of this broker's own may have been done from now on, whatever becomes of it.
    void note_appended(const answer_to& to) noexcept {
        if (to.node == self_) {
            own_.note_appended(to.number);
        }
    }

    void give_when_committed(hosted_partition& of, hosted_partition::waiting_ack ack, std::chrono::nanoseconds now) {
        if (ack.end <= of.machine.high_watermark()) {
            give(ack, now);
            return;
        }
        of.waiting_epoch = of.machine.epoch();
        std::size_t place = of.waiting.size();
        while (place > 0 && of.waiting[place - 1].end > ack.end) {
            --place;
        }
        insert_at(of.waiting, place, std::move(ack));
    }

    /// The partition's high watermark may have grown, or its lead may have gone.
    void progressed(hosted_partition& of, std::chrono::nanoseconds now) {
        if (of.waiting.empty()) {
            return;
        }
        const bool leads_on = of.machine.is_leader() && of.machine.epoch() == of.waiting_epoch;
        std::size_t done = 0;
        for (; done < of.waiting.size(); ++done) {
            const hosted_partition::waiting_ack& ack = of.waiting[done];
            if (leads_on && ack.end > of.machine.high_watermark()) {
                break;
            }
            if (leads_on) {
                give(ack, now);
            } else {
                give_elsewhere(ack.to, now);  // whether it is committed the next leader knows
            }
        }
        of.waiting.erase(of.waiting.begin(), of.waiting.begin() + static_cast<std::ptrdiff_t>(done));
    }

    /// The partition goes.
    void refuse_waiting(const hosted_partition& of, const failure& why, std::chrono::nanoseconds now) {
        for (const hosted_partition::waiting_ack& ack : of.waiting) {
            refuse(ack.to, answer_status::done, why, now);
        }
    }

private:
    void give(const hosted_partition::waiting_ack& ack, std::chrono::nanoseconds now) {
        if (ack.body.empty()) {
            give_appended(ack.to, ack.first, ack.timestamp, now);
        } else {
            give(ack.to, answer_status::done, ack.body, now);
        }
    }

    const std::int32_t self_;
    departures& out_;
    request_board& own_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
