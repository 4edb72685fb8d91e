/// \file brook/engine/replicated_lane.hpp
/// One producer's records on their way to the leader of one replicated partition.
/// Floor 5, engine. Source: Kafka's Sender and RecordAccumulator (KIP-98), also for how many batches may be on their way at once.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/core.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/batch_body.hpp>
#include <brook/engine/batch_compression.hpp>
#include <brook/engine/embedded.hpp>
#include <brook/engine/gathering.hpp>
#include <brook/engine/pending.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/os/thread.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/producer_table.hpp>

namespace brook::inline BROOK_ABI::engine {

class replicated_lane;

/// Some records of one partition that go to its leader together, and what became of them.
///
/// Threads   shared; what it holds is set once, before `is_known`.
class replicated_batch final : public pending_delivery, public broker_room::produce_request {
public:
    explicit replicated_batch(std::shared_ptr<replicated_lane> lane) noexcept : lane_{std::move(lane)} {}

    [[nodiscard]] failure wait(appended& done) override;
    void settle(const failure& why, offset first, std::int64_t timestamp) noexcept override;

    [[nodiscard]] bool is_known() const noexcept { return is_known_.load(std::memory_order_acquire); }

private:
    friend class replicated_lane;

    [[nodiscard]] appended record(std::uint32_t index) const noexcept {
        return {first_ < 0 ? -1 : first_ + index, timestamp_ + (details_.empty() ? 0 : details_[index].time_delta)};
    }

    std::shared_ptr<replicated_lane> lane_;
    std::uint32_t count_ = 0;
    std::vector<format::record_detail> details_;
    format::frame_header header_{};  // until it is sent
    offset first_ = -1;
    std::int64_t timestamp_ = 0;
    std::shared_ptr<failed_delivery> failed_;
    std::error_code code_;  // of the failure, also where there is no memory to say more
    bool is_settled_ = false;      // under the lane's lock: what became of it is here, and told when it is its turn
    std::uint64_t charged_ = 0;    // likewise: what it takes of the lane's memory
    std::atomic<bool> is_known_{false};
};

struct lane_options {
    broker_room::replicated_acks acks = broker_room::replicated_acks::all;
    std::size_t batch_size = 16 * kib;
    std::chrono::nanoseconds linger{};
    std::chrono::nanoseconds delivery_timeout{};
    batch_compression compression{};
    callback<void(std::int32_t, const appended&, std::error_code)> on_delivery{};
};

/// Up to sixteen batches are on their way at once, and records gather meanwhile. They are numbered, so that they stand in the log in the order of the
/// sends, and a batch that was sent twice, to two leaders perhaps, is there once: a leader takes none before the one that was sent before it
/// [enable.idempotence, which is Kafka's default; max.in.flight.requests.per.connection]. They are told of in that order, too, one after the other.
///
/// Where one fails, whether it is there may be unknown, and those behind it stand or fall by that. What comes next is numbered anew, under another
/// id, and goes when all of them are settled.
///
/// Threads   shared.
class replicated_lane final : public std::enable_shared_from_this<replicated_lane> {
public:
    replicated_lane(embedded_topic topic, std::int32_t partition, lane_options options)
        : topic_{std::move(topic)},
          platform_{topic_.platform()},
          log_{topic_.log(partition)},
          id_{topic_.state()->meta.id, partition},
          options_{std::move(options)},
          largest_frame_{find_largest_frame()},
          producer_{storage::producer_table::new_id(platform_)} {}

    [[nodiscard]] std::int32_t partition() const noexcept { return id_.number; }

    /// Returns   the batch that the record is in, and its place there.
    template <class WriteKey, class WriteValue>
    [[nodiscard]] std::shared_ptr<replicated_batch> send(const format::record_sizes& sizes, const std::optional<std::int64_t>& given, const WriteKey& write_key,
                                                         const WriteValue& write_value, bytes headers, std::uint32_t& index, failure& why) {
        const std::uint64_t size = format::entry_bytes(sizes);
        if (batch_body::frame_bytes_of(size) > largest_frame()) {
            why = too_large(batch_body::frame_bytes_of(size));
            return nullptr;
        }
        if (why = wait_for_room(size); why) {
            return nullptr;
        }
        std::shared_ptr<replicated_batch> batch;
        {
            const std::scoped_lock guard{mutex_};
            const std::optional<std::int64_t> not_given;
            const auto& timestamp = log_.options().is_append_time ? not_given : given;
            if (!body_.empty() && (body_.record_bytes() + size > options_.batch_size || body_.frame_bytes_with(size) > largest_frame() || body_.count() == batch_body::most_records ||
                                   !body_.spans(timestamp))) {
                close_body();
            }
            body_.add(sizes, timestamp, write_key, write_value, headers, [&] {
                current_ = std::make_shared<replicated_batch>(shared_from_this());
                const auto now = platform_.monotonic();
                close_at_ = moment_after(now, options_.linger);
                current_->deadline = moment_after(now, options_.delivery_timeout);
                return platform_.now().time_since_epoch().count();
            });
            queued_bytes_ += size;
            current_->charged_ += size;
            batch = current_;
            index = body_.count() - 1;
            if (body_.record_bytes() >= options_.batch_size) {
                close_body();
            }
        }
        go_on();
        return batch;
    }

    /// A batch of `count` records that `write_body` lays out in `size` bytes: all of it or nothing.
    template <class WriteBody>
    [[nodiscard]] std::shared_ptr<replicated_batch> send_batch(std::uint64_t size, std::uint32_t count, const WriteBody& write_body, failure& why) {
        const std::uint64_t whole = format::frame_header_size + format::extension::bytes_each + size;
        if (whole > largest_frame()) {
            why = too_large(whole);
            return nullptr;
        }
        if (why = wait_for_room(size); why) {
            return nullptr;
        }
        auto batch = std::make_shared<replicated_batch>(shared_from_this());
        std::optional<packed_body> packed;
        if (options_.compression) {
            packed.emplace(static_cast<std::size_t>(size), write_body, options_.compression);
        }
        const std::int64_t time = platform_.now().time_since_epoch().count();
        if (packed && packed->is_there()) {
            lay_out(*batch, packed->size(), packed->codec(), count, 0, time, [&](std::byte* to) { packed->write_to(to); });
        } else {
            lay_out(*batch, static_cast<std::size_t>(size), 0, count, 0, time, write_body);
        }
        batch->deadline = moment_after(platform_.monotonic(), options_.delivery_timeout);
        {
            const std::scoped_lock guard{mutex_};
            if (!body_.empty()) {
                close_body();
            }
            queue_.push_back(batch);
            batch->charged_ = batch->frame.size();
            queued_bytes_ += batch->charged_;
        }
        go_on();
        return batch;
    }

    /// Sends what has gathered, waits until all of it is settled.
    /// Returns   the first failure that nobody has asked for; illegal_state inside of on_delivery: what is told there is not settled before that returns.
    [[nodiscard]] failure flush() {
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

    /// Sends what has lingered long enough.
    /// Returns   when there is more.
    std::optional<std::chrono::nanoseconds> run_due(std::chrono::nanoseconds now) {
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

    /// Sends what has gathered.
    void close_now() {
        {
            const std::scoped_lock guard{mutex_};
            if (!body_.empty()) {
                close_body();
            }
        }
        go_on();
    }

    [[nodiscard]] std::uint32_t changes() const {
        const auto core = topic_.core();
        return core && core->cluster() != nullptr ? core->cluster()->changes() : 0;
    }

    /// False: nothing will change any more.
    [[nodiscard]] bool await(std::uint32_t seen, std::chrono::nanoseconds until) const {
        const auto core = topic_.core();
        if (!core || core->is_closed()) {
            return false;
        }
        core->cluster()->await(seen, until);
        return true;
    }

    [[nodiscard]] failure fail_closed() const { return {errc::closed, log_.name().text() + ": its broker was closed before this record was acknowledged; whether it is there shows later"}; }

    /// This thread is in an on_delivery of this lane: until it returns nothing more of the lane is told.
    [[nodiscard]] bool is_telling_here() const noexcept { return teller_.load(std::memory_order_relaxed) == os::this_thread(); }

    [[nodiscard]] failure fail_telling() const {
        return {errc::illegal_state, log_.name().text() + ": inside of on_delivery nothing is waited for that the same producer has sent there: it goes when on_delivery returns"};
    }

    /// The board knows the deadline, and settles at that; a while behind it nobody waits any more, whatever has become of the board.
    [[nodiscard]] std::chrono::nanoseconds patience_of(const replicated_batch& batch) const noexcept { return moment_after(batch.deadline, std::chrono::seconds{5}); }
    [[nodiscard]] bool is_over(std::chrono::nanoseconds when) const noexcept { return platform_.monotonic() >= when; }
    [[nodiscard]] failure fail_late() const { return {errc::timed_out, log_.name().text() + ": this broker has not got to it; whether it is there shows later"}; }

    /// What became of a batch is told once all before it are: by this thread, or by the one that tells of those just now.
    void settled(replicated_batch& batch, const failure& why, offset first, std::int64_t timestamp) noexcept {
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

private:
    static constexpr std::uint64_t buffer_memory = 32 * mib;  // Kafka's buffer.memory

    static constexpr std::size_t most_in_flight = storage::producer_state::most_remembered;  // of each that is asked for again it is known where it is, unless its log was opened meanwhile

    /// By what one failed that was sent before this one, if any did.
    [[nodiscard]] std::error_code failure_before(const replicated_batch& batch) {
        const std::scoped_lock guard{mutex_};
        std::error_code found = failed_;
        for (std::size_t i = 0; !found && i < in_flight_.size() && in_flight_[i].get() != &batch; ++i) {
            found = in_flight_[i]->is_settled_ ? in_flight_[i]->code_ : std::error_code{};
        }
        return found;
    }

    /// The first that is on its way, if it is settled; else nobody tells any more.
    [[nodiscard]] std::shared_ptr<replicated_batch> next_to_tell() noexcept {
        const std::scoped_lock guard{mutex_};
        is_telling_ = !in_flight_.empty() && in_flight_.front()->is_settled_;
        return is_telling_ ? in_flight_.front() : nullptr;
    }

    void tell(const replicated_batch& batch) noexcept {
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

    /// It is not on its way any more.
    void leave(replicated_batch& batch) noexcept {
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

    void tell_of(const std::exception& thrown) const noexcept {
        try {
            const failure said = failure_of(thrown);
            topic_.state()->shared->report({said.code, log_.name().text() + ": an on_delivery threw: " + said.text});
        } catch (const std::exception&) {
            // Not even that.
        }
    }

    [[nodiscard]] std::uint64_t largest_frame() const noexcept { return largest_frame_; }

    [[nodiscard]] std::uint64_t find_largest_frame() const {
        const std::uint64_t in_datagram = topic_.open_core()->cluster()->largest_frame();
        return in_datagram < log_.largest_frame() ? in_datagram : log_.largest_frame();
    }

    [[nodiscard]] failure too_large(std::uint64_t size) const {
        const bool is_segment = largest_frame_ == log_.largest_frame();
        return {errc::record_too_large, log_.name().text() + ": " + std::to_string(size) + " bytes with their frame, and " + (is_segment ? "a segment" : "a datagram of the transport") +
                                            " holds " + std::to_string(largest_frame_) + (is_segment ? "; raise the topic's segment_bytes, or send less at once" : "; send less at once")};
    }

    /// Waits while too much is on its way.
    [[nodiscard]] failure wait_for_room(std::uint64_t size) {
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

    /// Under the lock.
    void close_body() {
        body_.finish();
        const packed_body packed{body_, options_.compression};
        current_->details_.clear();
        lay_out(*current_, packed.size(), packed.codec(), body_.count(), body_.extension(), body_.base_timestamp(), [&](std::byte* to) { packed.write_to(to); });
        current_->details_ = body_.clear();
        queue_.push_back(std::move(current_));
    }

    template <class WriteBody>
    void lay_out(replicated_batch& batch, std::size_t body, std::uint16_t codec, std::uint32_t count, std::uint16_t extension, std::int64_t time, const WriteBody& write_body) const {
        const std::size_t size = format::frame_header_size + format::extension::bytes_each + body;
        batch.frame.assign(align_up(size, std::size_t{8}), std::byte{0});
        write_body(batch.frame.data() + format::frame_header_size + format::extension::bytes_each);
        batch.count_ = count;
        batch.header_.size = static_cast<std::int32_t>(size);
        batch.header_.attributes = codec;
        batch.header_.extension = static_cast<std::uint16_t>(extension | format::extension::producer);
        batch.header_.base_timestamp = time;
        batch.header_.count = count;
        batch.acks = options_.acks;
    }

    /// Sends what may go, one after the other.
    void go_on() {
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

    void hand_over(const std::shared_ptr<replicated_batch>& next) noexcept {
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

    embedded_topic topic_;
    os::platform& platform_;
    storage::log& log_;
    broker_room::partition_id id_;
    lane_options options_;
    const std::uint64_t largest_frame_;
    uncollected_failures failures_;

    std::atomic<const void*> teller_{nullptr};  // the thread that calls on_delivery just now

    std::mutex mutex_;  // guards what follows
    std::int64_t producer_;
    std::int64_t next_sequence_ = 0;
    batch_body body_;                              // of `current_`
    std::shared_ptr<replicated_batch> current_;
    std::chrono::nanoseconds close_at_{};
    std::deque<std::shared_ptr<replicated_batch>> queue_;
    std::deque<std::shared_ptr<replicated_batch>> in_flight_;  // in the order of their numbers
    bool is_sending_ = false;
    bool is_telling_ = false;
    std::error_code failed_;   // of the first of those that were on their way; none: nothing else goes before the others are settled
    std::uint64_t queued_bytes_ = 0;
};

inline failure replicated_batch::wait(appended& done) {
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

inline void replicated_batch::settle(const failure& why, offset first, std::int64_t timestamp) noexcept { lane_->settled(*this, why, first, timestamp); }

}  // namespace brook::inline BROOK_ABI::engine
