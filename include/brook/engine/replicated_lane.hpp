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
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
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

    [[nodiscard]] BROOK_INLINE failure wait(appended& done) override;
    inline void settle(const failure& why, offset first, std::int64_t timestamp) noexcept override;

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
    [[nodiscard]] failure flush();

    /// Sends what has lingered long enough.
    /// Returns   when there is more.
    std::optional<std::chrono::nanoseconds> run_due(std::chrono::nanoseconds now);

    /// Sends what has gathered.
    void close_now();

    [[nodiscard]] std::uint32_t changes() const;

    /// False: nothing will change any more.
    [[nodiscard]] bool await(std::uint32_t seen, std::chrono::nanoseconds until) const;

    [[nodiscard]] failure fail_closed() const { return {errc::closed, log_.name().text() + ": its broker was closed before this record was acknowledged; whether it is there shows later"}; }

    /// This thread is in an on_delivery of this lane: until it returns nothing more of the lane is told.
    [[nodiscard]] bool is_telling_here() const noexcept { return teller_.load(std::memory_order_relaxed) == os::this_thread(); }

    [[nodiscard]] failure fail_telling() const;

    /// The board knows the deadline, and settles at that; a while behind it nobody waits any more, whatever has become of the board.
    [[nodiscard]] std::chrono::nanoseconds patience_of(const replicated_batch& batch) const noexcept { return moment_after(batch.deadline, std::chrono::seconds{5}); }
    [[nodiscard]] bool is_over(std::chrono::nanoseconds when) const noexcept { return platform_.monotonic() >= when; }
    [[nodiscard]] failure fail_late() const { return {errc::timed_out, log_.name().text() + ": this broker has not got to it; whether it is there shows later"}; }

    /// What became of a batch is told once all before it are: by this thread, or by the one that tells of those just now.
    void settled(replicated_batch& batch, const failure& why, offset first, std::int64_t timestamp) noexcept;

private:
    static constexpr std::uint64_t buffer_memory = 32 * mib;  // Kafka's buffer.memory

    static constexpr std::size_t most_in_flight = storage::producer_state::most_remembered;  // of each that is asked for again it is known where it is, unless its log was opened meanwhile

    /// By what one failed that was sent before this one, if any did.
    [[nodiscard]] std::error_code failure_before(const replicated_batch& batch);

    /// The first that is on its way, if it is settled; else nobody tells any more.
    [[nodiscard]] std::shared_ptr<replicated_batch> next_to_tell() noexcept;

    void tell(const replicated_batch& batch) noexcept;

    /// It is not on its way any more.
    void leave(replicated_batch& batch) noexcept;

    void tell_of(const std::exception& thrown) const noexcept;

    [[nodiscard]] std::uint64_t largest_frame() const noexcept { return largest_frame_; }

    [[nodiscard]] std::uint64_t find_largest_frame() const;

    [[nodiscard]] failure too_large(std::uint64_t size) const;

    /// Waits while too much is on its way.
    [[nodiscard]] failure wait_for_room(std::uint64_t size);

    /// Under the lock.
    void close_body();

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
    void go_on();

    void hand_over(const std::shared_ptr<replicated_batch>& next) noexcept;

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

inline void replicated_batch::settle(const failure& why, offset first, std::int64_t timestamp) noexcept { lane_->settled(*this, why, first, timestamp); }

}  // namespace brook::inline BROOK_ABI::engine

#if !BROOK_SEPARATE_COMPILATION
#include <brook/engine/bodies/replicated_lane.hpp>
#endif
