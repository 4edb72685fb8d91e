/// \file brook/engine/bodies/replicated_lane.hpp
/// The functions that replicated_lane.hpp declares.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <brook/broker/cluster.hpp>
#include <brook/broker/core.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/batch_compression.hpp>
#include <brook/engine/gathering.hpp>
#include <brook/engine/pending.hpp>
#include <brook/engine/replicated_lane.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/os/thread.hpp>
#include <brook/storage/producer_table.hpp>

namespace brook::inline BROOK_ABI::engine {

BROOK_INLINE failure replicated_lane::flush() {
    close_now();
    if (is_telling_here()) {
        return fail_telling();
    }
    for (;;) {
        const std::uint32_t seen = changes();
        {
            const std::scoped_lock guard{mutex_};
            if (queue_.empty() && in_flight_.empty() && body_.empty()) {
                break;
            }
        }
        if (!await(seen, platform_.monotonic() + std::chrono::seconds{1})) {
            break;  // whoever is left has been told that the broker is closed
        }
        go_on();  // what there was no memory for
    }
    return failures_.take_first();
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> replicated_lane::run_due(std::chrono::nanoseconds now) {
    std::optional<std::chrono::nanoseconds> next;
    {
        const std::scoped_lock guard{mutex_};
        if (!body_.empty() && options_.linger.count() > 0) {
            if (now >= close_at_) {
                close_body();
            } else {
                next = close_at_;
            }
        }
    }
    go_on();
    return next;
}

BROOK_INLINE void replicated_lane::close_now() {
    {
        const std::scoped_lock guard{mutex_};
        if (!body_.empty()) {
            close_body();
        }
    }
    go_on();
}

BROOK_INLINE std::uint32_t replicated_lane::changes() const {
    const auto core = topic_.core();
    return core && core->cluster() != nullptr ? core->cluster()->changes() : 0;
}

BROOK_INLINE bool replicated_lane::await(std::uint32_t seen, std::chrono::nanoseconds until) const {
    const auto core = topic_.core();
    if (!core || core->is_closed()) {
        return false;
    }
    core->cluster()->await(seen, until);
    return true;
}

BROOK_INLINE failure replicated_lane::fail_telling() const {
    return {errc::illegal_state, log_.name().text() + ": inside of on_delivery nothing is waited for that the same producer has sent there: it goes when on_delivery returns"};
}

BROOK_INLINE void replicated_lane::settled(replicated_batch& batch, const failure& why, offset first, std::int64_t timestamp) noexcept {
    batch.first_ = first;
    batch.timestamp_ = timestamp;
    batch.code_ = why.code;
    try {
        if (const std::error_code earlier = why.code == errc::out_of_order_sequence_number ? failure_before(batch) : std::error_code{}) {
            batch.code_ = earlier;
            batch.failed_ = std::make_shared<failed_delivery>(failure{earlier, log_.name().text() + ": the batch that was sent before it failed by that, and it does not go without; " + why.text});
        } else if (why) {
            batch.failed_ = std::make_shared<failed_delivery>(why);
        }
        if (why) {
            failures_.add(batch.failed_);
        }
    } catch (const std::exception&) {
        // No memory to say why: its deliveries have the code.
    }
    {
        const std::scoped_lock guard{mutex_};
        batch.is_settled_ = true;
        if (is_telling_) {
            return;
        }
        is_telling_ = true;
    }
    while (const std::shared_ptr<replicated_batch> next = next_to_tell()) {
        tell(*next);
        next->is_known_.store(true, std::memory_order_release);
        leave(*next);
    }
    try {
        go_on();
    } catch (const std::exception&) {
        // What is left is sent with the next record, or by a flush.
    }
}

BROOK_INLINE std::error_code replicated_lane::failure_before(const replicated_batch& batch) {
    const std::scoped_lock guard{mutex_};
    std::error_code found = failed_;
    for (std::size_t i = 0; !found && i < in_flight_.size() && in_flight_[i].get() != &batch; ++i) {
        found = in_flight_[i]->is_settled_ ? in_flight_[i]->code_ : std::error_code{};
    }
    return found;
}

BROOK_INLINE std::shared_ptr<replicated_batch> replicated_lane::next_to_tell() noexcept {
    const std::scoped_lock guard{mutex_};
    is_telling_ = !in_flight_.empty() && in_flight_.front()->is_settled_;
    return is_telling_ ? in_flight_.front() : nullptr;
}

BROOK_INLINE void replicated_lane::tell(const replicated_batch& batch) noexcept {
    if (!options_.on_delivery) {
        return;
    }
    const struct telling {
        std::atomic<const void*>& who;
        explicit telling(std::atomic<const void*>& by) noexcept : who{by} { who.store(os::this_thread(), std::memory_order_relaxed); }
        ~telling() { who.store(nullptr, std::memory_order_relaxed); }
    } here{teller_};
    for (std::uint32_t i = 0; i < batch.count_; ++i) {
        try {
            options_.on_delivery(partition(), batch.code_ ? appended{} : batch.record(i), batch.code_);
        } catch (const std::exception& thrown) {
            tell_of(thrown);  // the user's own, and the others are told all the same
        }
    }
}

BROOK_INLINE void replicated_lane::leave(replicated_batch& batch) noexcept {
    const std::scoped_lock guard{mutex_};
    queued_bytes_ -= batch.charged_;
    batch.frame = {};
    in_flight_.pop_front();
    if (!in_flight_.empty()) {
        in_flight_.front()->follows_another.store(false, std::memory_order_release);
    }
    failed_ = failed_ ? failed_ : batch.code_;
    if (failed_ && in_flight_.empty()) {
        producer_ = storage::producer_table::new_id(platform_);  // what comes next does not follow what may be there or not
        next_sequence_ = 0;
        failed_ = {};
    }
}

BROOK_INLINE void replicated_lane::tell_of(const std::exception& thrown) const noexcept {
    try {
        const failure said = failure_of(thrown);
        topic_.state()->shared->report({said.code, log_.name().text() + ": an on_delivery threw: " + said.text});
    } catch (const std::exception&) {
        // Not even that.
    }
}

BROOK_INLINE std::uint64_t replicated_lane::find_largest_frame() const {
    const std::uint64_t in_datagram = topic_.open_core()->cluster()->largest_frame();
    return in_datagram < log_.largest_frame() ? in_datagram : log_.largest_frame();
}

BROOK_INLINE failure replicated_lane::too_large(std::uint64_t size) const {
    const bool is_segment = largest_frame_ == log_.largest_frame();
    return {errc::record_too_large, log_.name().text() + ": " + std::to_string(size) + " bytes with their frame, and " + (is_segment ? "a segment" : "a datagram of the transport") +
                                        " holds " + std::to_string(largest_frame_) + (is_segment ? "; raise the topic's segment_bytes, or send less at once" : "; send less at once")};
}

BROOK_INLINE failure replicated_lane::wait_for_room(std::uint64_t size) {
    const auto begun = platform_.monotonic();
    for (;;) {
        const std::uint32_t seen = changes();
        {
            const std::scoped_lock guard{mutex_};
            if (queued_bytes_ == 0 || queued_bytes_ + size <= buffer_memory) {
                return {};
            }
        }
        if (platform_.monotonic() - begun >= options_.delivery_timeout) {
            return {errc::timed_out, log_.name().text() + ": " + std::to_string(buffer_memory) + " bytes are on their way to its leader already; nothing was sent"};
        }
        if (is_telling_here()) {
            return fail_telling();
        }
        if (!await(seen, moment_after(begun, options_.delivery_timeout))) {
            return fail_closed();
        }
    }
}

BROOK_INLINE void replicated_lane::close_body() {
    body_.finish();
    const packed_body packed{body_, options_.compression};
    current_->details_.clear();
    lay_out(*current_, packed.size(), packed.codec(), body_.count(), body_.extension(), body_.base_timestamp(), [&](std::byte* to) { packed.write_to(to); });
    current_->details_ = body_.clear();
    queue_.push_back(std::move(current_));
}

BROOK_INLINE void replicated_lane::go_on() {
    for (;;) {
        std::shared_ptr<replicated_batch> next;
        {
            const std::scoped_lock guard{mutex_};
            if (is_sending_ || failed_ || in_flight_.size() == most_in_flight) {
                return;  // whoever sends, or tells, looks again
            }
            if (queue_.empty() && !body_.empty() && options_.linger.count() == 0) {
                close_body();
            }
            if (queue_.empty()) {
                return;
            }
            in_flight_.push_back(queue_.front());
            queue_.pop_front();
            next = in_flight_.back();
            is_sending_ = true;
            next->follows_another.store(in_flight_.size() > 1, std::memory_order_release);
            format::store_stamp(next->frame.data() + format::frame_header_size, {producer_, 0, next_sequence_});
            next_sequence_ += next->count_;
            format::store_wire(next->frame.data(), next->header_);
        }
        hand_over(next);
        const std::scoped_lock guard{mutex_};
        is_sending_ = false;
    }
}

BROOK_INLINE void replicated_lane::hand_over(const std::shared_ptr<replicated_batch>& next) noexcept {
    failure why{errc::closed, {}};  // to be said also where there is no memory to say more
    try {
        if (const auto core = topic_.core(); core && !core->is_closed()) {
            core->cluster()->produce(id_, next);
            return;
        }
        why = fail_closed();
    } catch (const std::exception&) {
        // As it is.
    }
    next->settle(why, -1, 0);
}

BROOK_INLINE failure replicated_batch::wait(appended& done) {
    if (!is_known()) {
        lane_->close_now();
    }
    while (!is_known()) {
        const std::uint32_t seen = lane_->changes();
        if (is_known()) {
            break;
        }
        if (lane_->is_telling_here()) {
            return lane_->fail_telling();
        }
        const auto latest = lane_->patience_of(*this);
        if (lane_->is_over(latest)) {
            return lane_->fail_late();
        }
        if (!lane_->await(seen, latest) && !is_known()) {
            return lane_->fail_closed();
        }
    }
    if (failed_) {
        return failed_->wait(done);
    }
    if (code_) {
        return {code_, {}};
    }
    if (done.at <= gathered_batch::mark_of(0)) {
        done = record(static_cast<std::uint32_t>(gathered_batch::mark_of(0) - done.at));
    }
    return {};
}

}  // namespace brook::inline BROOK_ABI::engine
