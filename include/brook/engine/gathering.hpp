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
        batch_handle batch;            ///< null: it was not gathered,
        std::uint32_t index = 0;
        std::optional<offset> known{};  ///< since it is there already: here, or where nobody knows any more (-1),
        failure why;                   ///< or since its number does not follow
    };

    /// Batches that became full: the one before the record, and the one with it.
    using filled = std::array<batch_handle, 2>;

    /// `numbers`: where the producer's numbers for this partition come from; null: it has none.
    gathering(embedded_topic topic, std::int32_t partition, std::size_t batch_size, numbering* numbers = nullptr)
        : topic_{std::move(topic)}, log_{topic_.log(partition)}, batch_size_{batch_size}, numbers_{numbers} {}

    /// True when a record can be gathered at all: in a batch it takes some bytes more than alone.
    [[nodiscard]] bool has_room_for(const format::record_sizes& sizes) const noexcept {
        return frame_bytes(1, format::entry_bytes(sizes)) <= log_.largest_frame();
    }

    /// Adds a record; `make_batch` gives a new batch where one begins. What the writers throw passes through; `full` has
    /// been filled in by then. `sequence`: its number, if it has one of its own.
    ///
    /// Requires  has_room_for(sizes).
    template <class WriteKey, class WriteValue, class MakeBatch>
    [[nodiscard]] added add(const format::record_sizes& sizes, std::optional<std::int64_t> timestamp, std::optional<std::int64_t> sequence,
                            const WriteKey& write_key,
                            const WriteValue& write_value, bytes headers, std::chrono::nanoseconds linger, const MakeBatch& make_batch, filled& full) {
        const std::scoped_lock guard{mutex_};
        added place;
        if (numbers_ != nullptr && !follows(sequence, place)) {
            return place;
        }
        const auto size = static_cast<std::size_t>(format::entry_bytes(sizes));
        if (log_.options().is_append_time) {
            timestamp.reset();  // the log's own time counts
        }
        if (count_ > 0 && (body_.size() + size > batch_size_ || frame_bytes(count_ + 1, body_.size() + size) > log_.largest_frame() ||
                           count_ == most_in_batch || !delta_of(timestamp) || (sequence && *sequence != first_sequence_ + count_))) {
            full[0] = append();
        }
        const std::size_t before = body_.size();
        if (before == 0) {
            body_.reserve(batch_size_);
        }
        body_.resize(before + size);
        const format::entry_layout layout = format::lay_out_entry(body_.data() + before, sizes);
        try {
            write_key(layout.key);
            write_value(layout.value);
            if (count_ == 0) {
                batch_ = make_batch();
                base_timestamp_ = topic_.platform().now().time_since_epoch().count();
                if (!delta_of(timestamp)) {
                    base_timestamp_ = *timestamp;  // centuries away
                }
                deadline_ = topic_.platform().monotonic() + linger;
            }
            note_detail(timestamp, sizes.headers);
        } catch (...) {
            body_.resize(before);
            throw;
        }
        copy_bytes(layout.headers, headers.data(), headers.size());
        if (count_ == 0 && numbers_ != nullptr) {
            first_sequence_ = *sequence;
        }
        place.batch = batch_;
        place.index = count_++;
        if (body_.size() >= batch_size_) {
            full[1] = append();
        }
        return place;
    }

    /// Appends what has been gathered, if it is this batch (null: whichever there is).
    [[nodiscard]] batch_handle close(const gathered_batch* batch) {
        const std::scoped_lock guard{mutex_};
        return count_ > 0 && (batch == nullptr || batch == batch_.get()) ? append() : nullptr;
    }

    /// Appends the batch if it has lingered long enough; else says until when it may.
    [[nodiscard]] batch_handle close_due(std::chrono::nanoseconds now, std::optional<std::chrono::nanoseconds>& deadline) {
        const std::scoped_lock guard{mutex_};
        if (count_ > 0 && now >= deadline_) {
            return append();
        }
        deadline = count_ > 0 ? std::optional{deadline_} : std::nullopt;
        return nullptr;
    }

private:
    static constexpr std::uint32_t most_in_batch = (1u << 24) - 1;  // what one claim takes

    /// Gives the record its number; false when it is there already, or does not follow.
    [[nodiscard]] bool follows(std::optional<std::int64_t>& sequence, added& place) const {
        const std::int64_t last = count_ > 0 ? first_sequence_ + count_ - 1 : numbers_->last_sequence();
        if (!sequence) {
            sequence = last + 1;
        }
        if (*sequence > last) {
            place.why = numbers_->check_order(*sequence, last);
            return !place.why;
        }
        if (count_ > 0 && *sequence >= first_sequence_) {
            place.batch = batch_;  // it is on its way
            place.index = static_cast<std::uint32_t>(*sequence - first_sequence_);
        } else {
            place.known = numbers_->find(*sequence).value_or(-1);
        }
        return false;
    }

    /// At most: not every batch has details.
    [[nodiscard]] static constexpr std::uint64_t frame_bytes(std::uint32_t count, std::uint64_t body) noexcept {
        return format::frame_header_size + format::extension::bytes_each + std::uint64_t{count} * sizeof(format::record_detail) + body;
    }

    /// From the batch's time to this one; nullopt when the number does not hold it.
    [[nodiscard]] std::optional<std::int64_t> delta_of(std::optional<std::int64_t> timestamp) const noexcept {
        std::int64_t delta = 0;
        const bool is_too_far = timestamp && __builtin_sub_overflow(*timestamp, base_timestamp_, &delta);
        return is_too_far ? std::nullopt : std::optional{delta};
    }

    /// A record whose time is not the batch's, or that has headers, gives every record of the batch a detail.
    void note_detail(std::optional<std::int64_t> timestamp, std::uint32_t headers) {
        const std::int64_t delta = *delta_of(timestamp);
        if (details_.empty() && delta == 0 && headers == 0) {
            return;
        }
        fill_details(count_);
        details_.push_back({delta, count_, headers});
    }

    void fill_details(std::uint32_t count) {
        while (details_.size() < count) {
            details_.push_back({0, static_cast<std::uint32_t>(details_.size()), 0});
        }
    }

    [[nodiscard]] batch_handle append() {
        const bool has_details = !details_.empty();
        if (has_details) {
            fill_details(count_);
        }
        const std::size_t detail_bytes = has_details ? format::extension::bytes_each + details_.size() * sizeof(format::record_detail) : 0;
        const auto write_body = [&](std::byte* to) {
            if (has_details) {
                store(to, std::uint64_t{count_ - 1});
                store(to + sizeof(std::uint64_t), largest_delta());
                copy_bytes(to + format::extension::bytes_each, details_.data(), details_.size() * sizeof(format::record_detail));
            }
            copy_bytes(to + detail_bytes, body_.data(), body_.size());
        };
        if (log_.options().is_append_time) {
            base_timestamp_ = topic_.platform().now().time_since_epoch().count();
        }
        appended done;
        failure why;
        const auto append_from = [&](const batch_origin* origin) {
            return embedded_topic::append_batch(log_, detail_bytes + body_.size(), count_, has_details ? format::extension::detail : std::uint16_t{0},
                                                base_timestamp_, write_body, done, why, origin);
        };
        const bool is_done = numbers_ == nullptr ? append_from(nullptr)
                                                 : numbers_->append_once(first_sequence_, count_, done, why, [&](const batch_origin& origin) { return append_from(&origin); });
        batch_->resolve(done, count_, std::move(details_), is_done ? nullptr : std::make_shared<failed_delivery>(std::move(why)));
        body_.clear();
        details_.clear();
        count_ = 0;
        return std::move(batch_);
    }

    [[nodiscard]] std::int64_t largest_delta() const noexcept {
        std::int64_t largest = details_.front().time_delta;
        for (const auto& detail : details_) {
            largest = detail.time_delta > largest ? detail.time_delta : largest;
        }
        return largest;
    }

    embedded_topic topic_;
    storage::log& log_;
    std::size_t batch_size_;
    numbering* numbers_;

    std::mutex mutex_;  // guards everything below; held while a batch is appended, so that batches keep their order
    batch_handle batch_;
    std::vector<std::byte> body_;
    std::vector<format::record_detail> details_;  // empty, or one for each record so far
    std::uint32_t count_ = 0;
    std::int64_t base_timestamp_ = 0;
    std::int64_t first_sequence_ = 0;
    std::chrono::nanoseconds deadline_{};
};

}  // namespace brook::inline BROOK_ABI::engine
