/// \file brook/engine/gathering.hpp
/// Records that linger: gathered per partition, appended as one batch.
/// Floor 5, engine. Source: Kafka's RecordAccumulator (linger.ms, batch.size).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/engine/batch_body.hpp>
#include <brook/engine/batch_compression.hpp>
#include <brook/engine/embedded.hpp>
#include <brook/engine/numbering.hpp>
#include <brook/engine/pending.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>

namespace brook::inline BROOK_ABI::engine {

class gathered_batch;

/// Who gathers: asked to append a batch when somebody waits for one of its records.
class batch_owner {
public:
    virtual ~batch_owner() = default;
    virtual void close_batch(std::int32_t partition, const gathered_batch& batch) = 0;
};

/// Some records of one partition on their way into the log together, and what became of them. One object a batch: its
/// deliveries share it.
///
/// Threads   shared; what it holds is set once, before `is_known`.
class gathered_batch final : public pending_delivery {
public:
    /// `sync`, where the topic promises one, is waited for once the batch is appended.
    gathered_batch(std::weak_ptr<batch_owner> owner, std::int32_t partition, std::shared_ptr<pending_delivery> sync) noexcept
        : owner_{std::move(owner)}, sync_{std::move(sync)}, partition_{partition} {}

    /// Stands for a record in `appended::at` until its offset is known.
    [[nodiscard]] static constexpr offset mark_of(std::uint32_t index) noexcept { return -2 - offset{index}; }

    [[nodiscard]] failure wait(appended& done) override {
        if (!is_known()) {
            if (const auto owner = owner_.lock()) {
                owner->close_batch(partition_, *this);
            }
        }
        if (!is_known()) {
            return {errc::closed, "the record's producer went while its broker was closing; whether it was appended shows at the next open"};
        }
        if (failed_) {
            return failed_->wait(done);
        }
        if (done.at <= mark_of(0)) {
            done = record(static_cast<std::uint32_t>(mark_of(0) - done.at));
        }
        return sync_ ? sync_->wait(done) : failure{};
    }

    [[nodiscard]] bool is_known() const noexcept { return is_known_.load(std::memory_order_acquire); }

    // ---- once it is known ----

    [[nodiscard]] std::int32_t partition() const noexcept { return partition_; }
    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
    [[nodiscard]] const std::shared_ptr<failed_delivery>& failed() const noexcept { return failed_; }
    [[nodiscard]] appended record(std::uint32_t index) const noexcept {
        return {first_.at + index, first_.timestamp + (details_.empty() ? 0 : details_[index].time_delta)};
    }

    void resolve(const appended& first, std::uint32_t count, std::vector<format::record_detail> details,
                 std::shared_ptr<failed_delivery> failed) noexcept {
        first_ = first;
        count_ = count;
        details_ = std::move(details);
        failed_ = std::move(failed);
        is_known_.store(true, std::memory_order_release);
    }

private:
    std::weak_ptr<batch_owner> owner_;
    std::shared_ptr<pending_delivery> sync_;
    std::int32_t partition_;
    appended first_;
    std::uint32_t count_ = 0;
    std::vector<format::record_detail> details_;
    std::shared_ptr<failed_delivery> failed_;
    std::atomic<bool> is_known_{false};
};

using batch_handle = std::shared_ptr<gathered_batch>;

/// The place where one partition's records are gathered. Records that give no timestamp get the batch's, which is when
/// its first record came: at most `linger` before they did.
///
/// Threads   shared. Batches that were appended are handed back, so that callbacks run outside the lock.
class gathering {
public:
    struct added {
        batch_handle batch;  ///< null: it was not gathered, and `unneeded` says why
        std::uint32_t index = 0;
    };

    /// Of a record with a number: why it is not gathered.
    struct unneeded {
        offset known = -1;  ///< it is there already: here, or where nobody knows any more (-1)
        failure why;        ///< its number does not follow
    };

    /// Batches that became full: the one before the record, and the one with it.
    using filled = std::array<batch_handle, 2>;

    /// `numbers`: where the producer's numbers for this partition come from; null: it has none.
    gathering(embedded_topic topic, std::int32_t partition, std::size_t batch_size, numbering* numbers = nullptr, const batch_compression& compression = {})
        : topic_{std::move(topic)}, log_{topic_.log(partition)}, batch_size_{batch_size}, numbers_{numbers}, compression_{compression} {}

    /// True when a record can be gathered at all: in a batch it takes some bytes more than alone.
    [[nodiscard]] bool has_room_for(const format::record_sizes& sizes) const noexcept {
        return batch_body::frame_bytes_of(format::entry_bytes(sizes)) <= log_.largest_frame();
    }

    /// Adds a record; `make_batch` gives a new batch where one begins. What the writers throw passes through; `full` has
    /// been filled in by then. `sequence`: its number, if it has one of its own; `skipped`: there where the producer numbers.
    ///
    /// Requires  has_room_for(sizes).
    template <class WriteKey, class WriteValue, class MakeBatch>
    [[nodiscard]] added add(const format::record_sizes& sizes, const std::optional<std::int64_t>& given, std::optional<std::int64_t> sequence,
                            const WriteKey& write_key,
                            const WriteValue& write_value, bytes headers, std::chrono::nanoseconds linger, const MakeBatch& make_batch, filled& full,
                            unneeded* skipped) {
        const std::scoped_lock guard{mutex_};
        added place;
        if (numbers_ != nullptr && !follows(sequence, place, *skipped)) {
            return place;
        }
        const std::uint64_t size = format::entry_bytes(sizes);
        const std::optional<std::int64_t> not_given;
        const auto& timestamp = log_.options().is_append_time ? not_given : given;  // else the log's own time counts
        if (!body_.empty() && (body_.record_bytes() + size > batch_size_ || body_.frame_bytes_with(size) > log_.largest_frame() ||
                               body_.count() == batch_body::most_records || !body_.spans(timestamp) || (sequence && *sequence != first_sequence_ + body_.count()))) {
            full[0] = append();
        }
        if (body_.empty()) {
            body_.reserve(batch_size_);
        }
        body_.add(sizes, timestamp, write_key, write_value, headers, [&] {
            batch_ = make_batch();
            deadline_ = topic_.platform().monotonic() + linger;
            return topic_.platform().now().time_since_epoch().count();
        });
        if (body_.count() == 1 && numbers_ != nullptr) {
            first_sequence_ = *sequence;
        }
        place.batch = batch_;
        place.index = body_.count() - 1;
        if (body_.record_bytes() >= batch_size_) {
            full[1] = append();
        }
        return place;
    }

    /// Appends what has been gathered, if it is this batch (null: whichever there is).
    [[nodiscard]] batch_handle close(const gathered_batch* batch) {
        const std::scoped_lock guard{mutex_};
        return !body_.empty() && (batch == nullptr || batch == batch_.get()) ? append() : nullptr;
    }

    /// Appends what has been gathered, then calls `act`, and lets nobody gather between: what `act` appends stands, and is
    /// numbered, behind it. `before` is filled in when `act` is called, whatever it throws.
    template <class Act>
    void close_then(batch_handle& before, const Act& act) {
        const std::scoped_lock guard{mutex_};
        before = body_.empty() ? nullptr : append();
        act();
    }

    /// Appends the batch if it has lingered long enough; else says until when it may.
    [[nodiscard]] batch_handle close_due(std::chrono::nanoseconds now, std::optional<std::chrono::nanoseconds>& deadline) {
        const std::scoped_lock guard{mutex_};
        if (!body_.empty() && now >= deadline_) {
            return append();
        }
        deadline = !body_.empty() ? std::optional{deadline_} : std::nullopt;
        return nullptr;
    }

private:
    /// Gives the record its number; false when it is there already, or does not follow.
    [[nodiscard]] bool follows(std::optional<std::int64_t>& sequence, added& place, unneeded& skipped) const {
        const std::int64_t last = !body_.empty() ? first_sequence_ + body_.count() - 1 : numbers_->last_sequence();
        if (!sequence) {
            sequence = last + 1;
        }
        if (*sequence > last) {
            skipped.why = numbers_->check_order(*sequence, last);
            return !skipped.why;
        }
        if (!body_.empty() && *sequence >= first_sequence_) {
            place.batch = batch_;  // it is on its way
            place.index = static_cast<std::uint32_t>(*sequence - first_sequence_);
        } else {
            const auto known = numbers_->find(*sequence);
            skipped.known = known.value_or(-1);
            skipped.why = known ? failure{} : numbers_->passed_over(*sequence, last + 1);
        }
        return false;
    }

    [[nodiscard]] batch_handle append() {
        body_.finish();
        if (log_.options().is_append_time) {
            body_.set_base_timestamp(topic_.platform().now().time_since_epoch().count());
        }
        appended done;
        failure why;
        const std::uint32_t count = body_.count();
        const packed_body packed{body_, compression_};
        const auto append_from = [&](const batch_origin* origin) {
            return embedded_topic::append_batch(log_, packed.size(), count, body_.extension(), body_.base_timestamp(),
                                                [&](std::byte* to) { packed.write_to(to); }, done, why, origin, packed.codec());
        };
        const bool is_done = numbers_ == nullptr ? append_from(nullptr)
                                                 : numbers_->append_once(first_sequence_, count, done, why, [&](const batch_origin& origin) { return append_from(&origin); });
        batch_->resolve(done, count, body_.clear(), is_done ? nullptr : std::make_shared<failed_delivery>(std::move(why)));
        return std::move(batch_);
    }

    embedded_topic topic_;
    storage::log& log_;
    std::size_t batch_size_;
    numbering* numbers_;
    batch_compression compression_;

    std::mutex mutex_;  // guards everything below; held while a batch is appended, so that batches keep their order
    batch_handle batch_;
    batch_body body_;
    std::int64_t first_sequence_ = 0;
    std::chrono::nanoseconds deadline_{};
};

}  // namespace brook::inline BROOK_ABI::engine
