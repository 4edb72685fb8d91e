/// \file brook/broker/bodies/request_board.hpp
/// The functions that request_board.hpp declares.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/request_board.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/storage/log_life.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void request_board::begin(request wanted, std::chrono::nanoseconds now) {
    bool is_kept = false;
    begin(std::move(wanted), now, is_kept);
}

BROOK_INLINE void request_board::begin(request wanted, std::chrono::nanoseconds now, bool& is_kept) {
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

BROOK_INLINE void request_board::try_due(std::chrono::nanoseconds now) {
    for (std::size_t i = 0; i < entries_.size();) {
        const std::uint64_t number = entries_[i].number;
        if (entries_[i].next_try <= now || entries_[i].wanted.deadline <= now) {
            try_one(i, now);
        }
        i += i < entries_.size() && entries_[i].number == number ? 1u : 0u;
    }
}

BROOK_INLINE void request_board::expect_all() noexcept {
    for (const entry& one : entries_) {
        out_.expect(std::min(one.next_try, one.wanted.deadline));
    }
}

BROOK_INLINE void request_board::take_answer(std::uint64_t number, std::int32_t from, answer_status status, bytes body, std::chrono::nanoseconds now) {
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

BROOK_INLINE void request_board::progressed(const partition_id& which, std::chrono::nanoseconds now) {
    for (std::size_t i = 0; acknowledged_ > 0 && i < entries_.size();) {
        const std::uint64_t number = entries_[i].number;
        if (entries_[i].acknowledged && entries_[i].wanted.target == which) {
            try_acknowledged(i, now);
        }
        i += i < entries_.size() && entries_[i].number == number ? 1u : 0u;
    }
}

BROOK_INLINE void request_board::led_anew(const partition_id& which, std::chrono::nanoseconds now) noexcept {
    for (entry& one : entries_) {
        if (one.wanted.target == which && !one.acknowledged) {
            try_again_at(one, now);
        }
    }
}

BROOK_INLINE void request_board::note_appended(std::uint64_t number) noexcept {
    for (entry& one : entries_) {
        if (one.number == number) {
            one.handed_to = self_;
        }
    }
}

BROOK_INLINE void request_board::end_all() {
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

BROOK_INLINE void request_board::try_again_at(entry& one, std::chrono::nanoseconds when) noexcept {
    one.next_try = when;
    out_.expect(when);
}

BROOK_INLINE void request_board::hurry_front(const entry& behind, std::chrono::nanoseconds when) noexcept {
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

BROOK_INLINE void request_board::try_one(std::size_t i, std::chrono::nanoseconds now) {
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

BROOK_INLINE void request_board::try_acknowledged(std::size_t i, std::chrono::nanoseconds now) {
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

BROOK_INLINE void request_board::end_acknowledged(std::size_t i) {
    const acknowledgement done = *entries_[i].acknowledged;
    end(i, {}, done.first, done.timestamp);
    --acknowledged_;
}

BROOK_INLINE void request_board::serve(const entry& one, std::chrono::nanoseconds now) {
    const answer_to to{self_, one.number};
    if (one.wanted.batch) {
        std::vector<std::byte> frame = one.wanted.batch->frame;
        route_.append_own(to, partition_id{one.wanted.target}, one.wanted.batch->acks, one.wanted.batch->follows_another.load(std::memory_order_acquire), frame, now);
    } else {
        const std::vector<std::byte> body = one.wanted.body;
        route_.serve_own(to, one.wanted.kind, body, now);
    }
}

BROOK_INLINE void request_board::send(entry& one, std::int32_t leader) {
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

BROOK_INLINE failure request_board::give_reason(const entry& one) const {
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

BROOK_INLINE void request_board::end(std::size_t i, const failure& why, offset first, std::int64_t timestamp, bytes result) {
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

}  // namespace brook::inline BROOK_ABI::broker_room
