/// \file brook/engine/sender.hpp
/// What a producer does once its records are bytes: append or gather, acknowledge, remember what failed.
/// Floor 5, engine.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
#include <brook/engine/numbering.hpp>
#include <brook/engine/pending.hpp>
#include <brook/engine/replicated_lane.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/producer_table.hpp>

namespace brook::inline BROOK_ABI::engine {

/// What `send` knows when it returns.
struct sent {
    appended done;
    std::shared_ptr<pending_delivery> pending;  ///< null: nothing to wait for
};

struct sender_options {
    bool waits_for_sync = true;  ///< acks other than none
    bool waits_for_replicas = true;  ///< acks all; of a replicated topic
    std::size_t batch_size = 16 * kib;
    std::chrono::nanoseconds linger{};
    std::chrono::nanoseconds delivery_timeout{};
    bool is_idempotent = false;  ///< its records are numbered, and those that are there already are not appended again,
    std::string name{};          ///< under this name, if it has one
    bool are_sequences_dense = false;
    batch_compression compression{};
    callback<void(std::int32_t, const appended&, std::error_code)> on_delivery{};
};

/// A producer's untyped half; deliveries keep it alive as long as they wait.
///
/// Threads   shared.
/// Cost      with linger 0, on a topic without flush_messages: the append, and nothing else.
class embedded_sender final : public broker_room::timed_work,
                              public batch_owner,
                              public std::enable_shared_from_this<embedded_sender> {
public:
    [[nodiscard]] static std::shared_ptr<embedded_sender> make(embedded_topic topic, sender_options options) {
        auto made = std::shared_ptr<embedded_sender>{new embedded_sender{std::move(topic), std::move(options)}};
        made->start();
        return made;
    }

    [[nodiscard]] const embedded_topic& topic() const noexcept { return topic_; }

    /// `sequence`: the record's number, where it brings one of its own.
    template <class WriteKey, class WriteValue>
    [[nodiscard, gnu::always_inline]] sent send(std::int32_t partition, format::record_sizes sizes, std::optional<std::int64_t> timestamp,
                            std::optional<std::int64_t> sequence, const WriteKey& write_key, const WriteValue& write_value, bytes headers) {
        if (static_cast<std::size_t>(partition) < logs_.size() && !is_special_.load(std::memory_order_relaxed)) [[likely]] {
            storage::log& log = *logs_[static_cast<std::size_t>(partition)];
            const std::int64_t time = timestamp ? *timestamp : platform_.now().time_since_epoch().count();
            storage::claim taken;
            if (log.try_take(embedded_topic::length_of(format::lone_frame_size(sizes)), 1, taken)) [[likely]] {
                embedded_topic::fill(log, taken, sizes, 0, time, write_key, write_value, headers);
                return {{taken.first, time}, nullptr};
            }
        }
        return send_specially(partition, sizes, timestamp, sequence, write_key, write_value, headers);
    }

    /// One batch of `count` records whose bodies `write_body` lays out: all of it or nothing.
    template <class WriteBody>
    [[nodiscard]] sent send_batch(std::int32_t partition, std::uint64_t body_size, std::uint32_t count, const WriteBody& write_body) {
        if (static_cast<std::size_t>(partition) >= logs_.size() || is_closed_.load(std::memory_order_relaxed)) [[unlikely]] {
            return refuse(partition, count);
        }
        appended done;
        failure why;
        if (!replicated_.empty()) {
            return acknowledge_batch(partition, replicated_[static_cast<std::size_t>(partition)]->send_batch(body_size, count, write_body, why), 0, std::move(why), count);
        }
        const std::int64_t time = platform_.now().time_since_epoch().count();
        storage::log& log = *logs_[static_cast<std::size_t>(partition)];
        const auto append = [&](std::size_t size, std::uint16_t codec, const auto& write) {
            const bool is_done = append_behind(partition, std::nullopt, count, done, why, [&](const batch_origin* origin) {
                return embedded_topic::append_batch(log, size, count, 0, time, write, done, why, origin, codec);
            });
            return is_done ? acknowledge(partition, done, count) : fail(partition, std::move(why), count);
        };
        if (options_.compression && fits(log, body_size)) [[unlikely]] {
            const packed_body packed{static_cast<std::size_t>(body_size), write_body, options_.compression};
            if (packed.is_there()) {
                return append(packed.size(), packed.codec(), [&](std::byte* to) { packed.write_to(to); });
            }
        }
        return append(static_cast<std::size_t>(body_size), 0, write_body);
    }

    /// Whether its records are numbered.
    [[nodiscard]] bool is_idempotent() const noexcept { return options_.is_idempotent; }

    /// The largest of its sequences that a partition has; -1: none.
    /// Requires  is_idempotent().
    [[nodiscard]] std::int64_t last_sequence(std::int32_t partition) const { return lanes_[static_cast<std::size_t>(partition)].numbers->last_sequence(); }

    /// Appends what has been gathered for a partition.
    void close_gathered(std::int32_t partition) {
        if (is_gathering()) {
            finish(lanes_[static_cast<std::size_t>(partition)].gathered->close(nullptr));
        }
    }

    /// Errors    closed.
    void require_open() const {
        if (is_closed_.load(std::memory_order_relaxed)) {
            closed().raise();
        }
    }

    /// A record that has been appended elsewhere (a slot): what its delivery waits for.
    [[nodiscard]] sent acknowledge(std::int32_t partition, const appended& done, std::uint32_t count) {
        if (promises_durability_) [[unlikely]] {
            note_sent(partition, last_of(*logs_[static_cast<std::size_t>(partition)], done, count));
        }
        if (options_.on_delivery) [[unlikely]] {
            for (std::uint32_t i = 0; i < count; ++i) {
                tell_when_acknowledged(partition, {done.at >= 0 ? done.at + i : done.at, done.timestamp});
            }
        }
        return {done, sync_of(partition)};
    }

    [[nodiscard]] sent fail(std::int32_t partition, failure why, std::uint32_t count = 1);

    /// Appends everything that was gathered, waits until all that was sent is acknowledged.
    /// Returns   the first failure that nobody asked for.
    [[nodiscard]] failure flush();

    /// Flushes, and refuses what comes after.
    [[nodiscard]] failure close();

    BROOK_INLINE std::optional<std::chrono::nanoseconds> run_due(std::chrono::nanoseconds now) override;

    void close_batch(std::int32_t partition, const gathered_batch& batch) override {
        finish(lanes_[static_cast<std::size_t>(partition)].gathered->close(&batch));
    }

private:
    static constexpr std::uint64_t least_alone = 512;  // bytes of a record that is compressed by itself: of less there is little to gain
    static constexpr std::chrono::milliseconds answer_pause{1};  // between looks at what has become durable

    /// A record that on_delivery has not been told of.
    struct unanswered {
        std::int32_t partition;
        appended done;
        offset last;  // see last_of
        std::error_code code;
    };

    /// What there is for each partition, where sending is more than appending.
    struct lane {
        std::unique_ptr<numbering> numbers;      // null: its records have none
        std::unique_ptr<gathering> gathered;     // null: linger 0
        std::shared_ptr<pending_delivery> sync;  // where syncs are waited for
        std::atomic<offset> last_sent{-1};       // likewise
    };

    /// Waits for the sync that a record's topic promises.
    class sync_wait final : public pending_delivery {
    public:
        sync_wait(const embedded_sender& sender, std::int32_t partition) noexcept
            : topic_{sender.topic_}, timeout_{sender.options_.delivery_timeout}, partition_{partition} {}

        [[nodiscard]] BROOK_INLINE failure wait(appended& done) override;

    private:
        embedded_topic topic_;
        std::chrono::nanoseconds timeout_;
        std::int32_t partition_;
    };

    /// The last of what was sent. Of a repetition of which nobody knows where it is: what stands behind it in any case.
    [[nodiscard]] static offset last_of(storage::log& log, const appended& done, std::uint32_t count);

    [[nodiscard]] static std::optional<std::chrono::nanoseconds> deadline_after(os::platform& platform, std::chrono::nanoseconds timeout);

    embedded_sender(embedded_topic topic, sender_options options);

    [[nodiscard]] bool is_gathering() const noexcept { return options_.linger.count() > 0; }

    /// Errors    closed.
    void start();

    /// Of a replicated topic: its records go to leaders, and are numbered in any case.
    void start_lanes(broker_room::core& core);

    [[nodiscard]] sent acknowledge_batch(std::int32_t partition, std::shared_ptr<replicated_batch> batch, std::uint32_t index, failure why, std::uint32_t count = 1) {
        if (!batch) {
            return fail(partition, std::move(why), count);
        }
        if (!options_.waits_for_sync) {
            return {appended{}, nullptr};  // nobody waits, and nobody knows where it will be
        }
        return {appended{gathered_batch::mark_of(index), 0}, std::move(batch)};
    }

    /// Finds out where the producer stands in each partition, and puts those aside that had its name before.
    void begin_numbers() {
        const std::scoped_lock one_after_the_other{topic_.state()->producers_mutex};  // of two that begin now the later fences the other everywhere
        const std::int64_t id = options_.name.empty() ? storage::producer_table::new_id(platform_) : storage::producer_table::id_of(options_.name);
        std::uint16_t latest = 0;
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            failure why;
            auto state = logs_[i]->producer(id, why);
            if (!state) {
                why.raise();
            }
            {
                const std::scoped_lock guard{state->lock};
                latest = state->epoch() > latest ? state->epoch() : latest;
            }
            lanes_[i].numbers = std::make_unique<numbering>(*logs_[i], std::move(state), options_.are_sequences_dense);
        }
        for (auto& one : lanes_) {
            one.numbers->take_over(static_cast<std::uint16_t>(latest + 1));  // after 65,535 comes 0: another one than before is all that matters
        }
    }

    /// Appends by `append`, which is given the origin to tell, or null; what is there already is not appended again.
    template <class Append>
    [[nodiscard]] bool append_numbered(std::int32_t partition, std::optional<std::int64_t> sequence, std::uint32_t count, appended& done, failure& why,
                                       const Append& append) {
        if (!is_idempotent()) {
            return append(nullptr);
        }
        return lanes_[static_cast<std::size_t>(partition)].numbers->append_once(sequence, count, done, why,
                                                                                [&](const batch_origin& origin) { return append(&origin); });
    }

    /// Numbers, and nothing else that is special: as the fast path of `send`, in the producer's order.
    template <class WriteKey, class WriteValue>
    [[nodiscard, gnu::always_inline]] bool try_send_numbered(std::int32_t partition, const format::record_sizes& sizes, std::optional<std::int64_t> timestamp,
                                                            std::optional<std::int64_t> sequence, const WriteKey& write_key, const WriteValue& write_value,
                                                            bytes headers, appended& done) {
        storage::log& log = *logs_[static_cast<std::size_t>(partition)];
        done.timestamp = timestamp ? *timestamp : platform_.now().time_since_epoch().count();
        return lanes_[static_cast<std::size_t>(partition)].numbers->try_append_next(sequence, done.at, [&](const batch_origin& origin) __attribute__((always_inline)) {
            storage::claim taken;
            if (!log.try_take(embedded_topic::length_of(format::lone_frame_size(sizes, format::extension::producer)), 1, taken)) [[unlikely]] {
                return false;
            }
            embedded_topic::fill(log, taken, sizes, 0, done.timestamp, write_key, write_value, headers, &origin);
            done.at = taken.first;
            return true;
        });
    }

    /// The same behind what has been gathered for the partition.
    template <class Append>
    [[nodiscard]] bool append_behind(std::int32_t partition, std::optional<std::int64_t> sequence, std::uint32_t count, appended& done, failure& why,
                                     const Append& append) {
        if (!is_gathering()) {
            return append_numbered(partition, sequence, count, done, why, append);
        }
        bool is_done = false;
        batch_handle before;
        try {
            lanes_[static_cast<std::size_t>(partition)].gathered->close_then(
                before, [&] { is_done = append_numbered(partition, sequence, count, done, why, append); });
        } catch (...) {
            finish(before);
            throw;
        }
        finish(before);
        return is_done;
    }

    /// What takes more than a claim at hand: disk space, a new segment, append time, numbers, gathering, acknowledgements
    /// to come; a partition that is not there, a closed producer.
    template <class WriteKey, class WriteValue>
    [[gnu::noinline]] sent send_specially(std::int32_t partition, format::record_sizes sizes, std::optional<std::int64_t> timestamp,
                                          std::optional<std::int64_t> sequence, const WriteKey& write_key, const WriteValue& write_value, bytes headers) {
        if (static_cast<std::size_t>(partition) >= logs_.size() || is_closed_.load(std::memory_order_relaxed)) {
            return refuse(partition);
        }
        if (!replicated_.empty()) {
            std::uint32_t index = 0;
            failure why;
            auto batch = replicated_[static_cast<std::size_t>(partition)]->send(sizes, timestamp, write_key, write_value, headers, index, why);
            if (batch && index == 0 && is_gathering()) {
                topic_.shared().upkeep.notify();  // it sleeps until the next deadline that it knows of
            }
            return acknowledge_batch(partition, std::move(batch), index, std::move(why));
        }
        appended done;
        if (is_numbered_ && try_send_numbered(partition, sizes, timestamp, sequence, write_key, write_value, headers, done)) [[likely]] {
            return {done, nullptr};
        }
        if (options_.compression && !is_gathering() && format::entry_bytes(sizes) >= least_alone &&
            fits(*logs_[static_cast<std::size_t>(partition)], sizeof(format::record_detail) + format::extension::bytes_each + format::entry_bytes(sizes))) {
            return send_packed(partition, sizes, timestamp, sequence, write_key, write_value, headers);
        }
        if (is_gathering() && lanes_[static_cast<std::size_t>(partition)].gathered->has_room_for(sizes)) {
            return gather(partition, sizes, timestamp, sequence, write_key, write_value, headers);
        }
        if (logs_.front()->options().is_append_time) {
            timestamp.reset();  // the log's own time counts
        }
        failure why;
        const std::int64_t time = timestamp ? *timestamp : platform_.now().time_since_epoch().count();
        const bool is_done = append_behind(partition, sequence, 1, done, why, [&](const batch_origin* origin) {
            return embedded_topic::append(*logs_[static_cast<std::size_t>(partition)], sizes, time, write_key, write_value, headers, done, why, origin);
        });
        if (!is_done) {
            return fail(partition, std::move(why));
        }
        return acknowledge(partition, done, 1);
    }

    /// Whether a segment holds such a body uncompressed, with a producer's stamp: no other is compressed.
    [[nodiscard]] static bool fits(const storage::log& log, std::uint64_t body) noexcept {
        return body + format::frame_header_size + format::extension::bytes_each <= log.largest_frame();
    }

    /// One record that is large enough to be compressed by itself: a batch of one where that makes it smaller, else a lone one.
    template <class WriteKey, class WriteValue>
    [[nodiscard]] sent send_packed(std::int32_t partition, const format::record_sizes& sizes, const std::optional<std::int64_t>& timestamp,
                                   const std::optional<std::int64_t>& sequence, const WriteKey& write_key, const WriteValue& write_value, bytes headers) {
        storage::log& log = *logs_[static_cast<std::size_t>(partition)];
        const std::optional<std::int64_t> of_batch;
        batch_body body;
        body.add(sizes, of_batch, write_key, write_value, headers,
                 [&] { return timestamp && !log.options().is_append_time ? *timestamp : platform_.now().time_since_epoch().count(); });
        body.finish();
        appended done;
        failure why;
        const packed_body packed{body, options_.compression};
        const std::byte* const key = body.records().data() + format::entry_size;
        const std::byte* const value = key + align_up(sizes.key_bytes(), std::uint64_t{8});
        const bool is_done = append_behind(partition, sequence, 1, done, why, [&](const batch_origin* origin) {
            if (packed.codec() == format::codec_none) {
                return embedded_topic::append(
                    log, sizes, body.base_timestamp(), [&](std::byte* to) { copy_bytes(to, key, sizes.key_bytes()); },
                    [&](std::byte* to) { copy_bytes(to, value, sizes.value_bytes()); }, headers, done, why, origin);
            }
            return embedded_topic::append_batch(log, packed.size(), 1, body.extension(), body.base_timestamp(), [&](std::byte* to) { packed.write_to(to); }, done, why,
                                                origin, packed.codec());
        });
        return is_done ? acknowledge(partition, done, 1) : fail(partition, std::move(why));
    }

    [[nodiscard]] failure closed() const { return {errc::closed, "topic '" + topic_.name() + "': this producer is closed"}; }

    [[nodiscard]] sent refuse(std::int32_t partition, std::uint32_t count = 1);

    // ---- gathering ----

    template <class WriteKey, class WriteValue>
    [[nodiscard]] sent gather(std::int32_t partition, const format::record_sizes& sizes, std::optional<std::int64_t> timestamp,
                              std::optional<std::int64_t> sequence, const WriteKey& write_key, const WriteValue& write_value, bytes headers) {
        const auto make_batch = [&] { return std::make_shared<gathered_batch>(weak_from_this(), partition, sync_of(partition)); };
        gathering::filled full;
        gathering::added added;
        std::optional<gathering::unneeded> skipped;
        if (is_idempotent()) {
            skipped.emplace();
        }
        try {
            added = lanes_[static_cast<std::size_t>(partition)].gathered->add(sizes, timestamp, sequence, write_key, write_value, headers, options_.linger,
                                                                              make_batch, full, skipped ? &*skipped : nullptr);
        } catch (...) {
            finish(full[0]);
            throw;
        }
        for (const batch_handle& appended : full) {
            if (appended) {
                finish(appended);
            }
        }
        if (!added.batch) [[unlikely]] {
            return skipped->why ? fail(partition, std::move(skipped->why)) : acknowledge(partition, {skipped->known, 0}, 1);
        }
        if (added.index == 0 && !full[1]) {
            topic_.shared().upkeep.notify();  // it sleeps until the next deadline that it knows of
        }
        return {appended{gathered_batch::mark_of(added.index), 0}, std::move(added.batch)};
    }

    /// Tells whom it concerns that a batch has been appended, or has not; null: there was none.
    void finish(const batch_handle& batch) {
        if (!batch) {
            return;
        }
        if (batch->failed()) {
            failures_.add(batch->failed());
        } else if (promises_durability_) {
            note_sent(batch->partition(), batch->record(batch->count() - 1).at);
        }
        if (!options_.on_delivery) {
            return;
        }
        for (std::uint32_t i = 0; i < batch->count(); ++i) {
            if (batch->failed()) {
                options_.on_delivery(batch->partition(), appended{}, batch->failed()->why().code);
            } else {
                tell_when_acknowledged(batch->partition(), batch->record(i));
            }
        }
    }

    // ---- acknowledging ----

    [[nodiscard]] std::shared_ptr<pending_delivery> sync_of(std::int32_t partition) const {
        return waits_for_sync_ ? lanes_[static_cast<std::size_t>(partition)].sync : nullptr;
    }

    void note_sent(std::int32_t partition, offset at) noexcept {
        topic_.shared().note_unsynced();
        if (!waits_for_sync_) {
            return;
        }
        auto& last = lanes_[static_cast<std::size_t>(partition)].last_sent;
        for (offset before = last.load(std::memory_order_relaxed);
             before < at && !last.compare_exchange_weak(before, at, std::memory_order_release, std::memory_order_relaxed);) {
        }
    }

    void tell_when_acknowledged(std::int32_t partition, const appended& done);

    /// Calls on_delivery for what has become durable since. True while some wait.
    bool answer() { return answer(-1, -1, {}); }

    /// The same, and with `why` for what else was sent to the partition, up to `last`.
    bool answer(std::int32_t partition, offset last, const failure& why);

    /// The partitions with records that on_delivery has not been told of, each with its last one.
    [[nodiscard]] std::vector<unanswered> unanswered_ends();

    embedded_topic topic_;
    sender_options options_;
    os::platform& platform_;
    std::vector<storage::log*> logs_;      // one a partition
    std::atomic<bool> is_special_{false};  // sending is more than appending;
    bool is_numbered_ = false;             // by numbers alone
    bool promises_durability_ = false;
    bool waits_for_sync_ = false;
    std::atomic<bool> is_closed_{false};
    uncollected_failures failures_;
    std::vector<std::shared_ptr<replicated_lane>> replicated_;  // one a partition; empty: the topic is not replicated
    std::vector<lane> lanes_;              // one a partition; empty: linger 0, and no sync is waited for
    std::recursive_mutex telling_mutex_;   // held while upkeep calls on_delivery: flush waits for that
    std::mutex unanswered_mutex_;          // guards the records that on_delivery waits for
    std::vector<unanswered> unanswered_;
};

class table_partition;

/// Everything that the client room asks of the embedded engine.
struct embedded {
    using topic = embedded_topic;
    using sender = embedded_sender;
    using reader = storage::log_reader;
    using range = storage::record_range;
    using table_partition = engine::table_partition;  // brook/engine/table_partition.hpp
    static constexpr bool claims_in_place = true;
};

}  // namespace brook::inline BROOK_ABI::engine

template <>
struct brook::engine_of<brook::broker> {
    using type = brook::engine::embedded;
};

#if !BROOK_SEPARATE_COMPILATION
#include <brook/engine/bodies/sender.hpp>
#endif
