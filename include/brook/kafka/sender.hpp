/// \file brook/kafka/sender.hpp
/// What a producer does once its records are bytes: hand them to librdkafka, tell what became of each.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/client/producer.hpp>
#include <brook/client/record.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/pending.hpp>
#include <brook/engine/sender.hpp>
#include <brook/format/record.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/refusal.hpp>
#include <brook/kafka/topic.hpp>
#include <brook/os/thread.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// A record as bytes.
struct outgoing_record {
    std::int32_t partition = 0;
    std::optional<bytes> key{};    ///< nullopt: none
    std::optional<bytes> value{};  ///< nullopt: a tombstone
    const std::vector<header>* headers = nullptr;
    const std::vector<format::header_slice>* header_slices = nullptr;  ///< the same, of a record that was read
    std::optional<timestamp> time{};                                   ///< nullopt: now
};

/// Hands a record to librdkafka, which copies it.
///
/// Returns   librdkafka's code.
/// Errors    no memory.
[[nodiscard]] inline rd_kafka_resp_err_t produce(rd_kafka_t* by, rd_kafka_topic_t* to, const outgoing_record& record, int flags, void* opaque) {
    static const std::byte nothing{};  // an empty text is not null
    const auto place = [](const std::optional<bytes>& data) { return !data ? nullptr : data->data() != nullptr ? data->data() : &nothing; };
    const auto size = [](const std::optional<bytes>& data) { return data ? data->size() : 0; };
    void* const value = const_cast<std::byte*>(place(record.value));  // with F_COPY it is only read
    const void* const key = place(record.key);
    const bool has_headers = (record.headers != nullptr && !record.headers->empty()) || (record.header_slices != nullptr && !record.header_slices->empty());
    if (!has_headers && !record.time) [[likely]] {
        return rd_kafka_produce(to, record.partition, flags | RD_KAFKA_MSG_F_COPY, value, size(record.value), key, size(record.key), opaque) == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR
                                                                                                                                       : rd_kafka_last_error();
    }

    if (record.time && milliseconds_of(*record.time) < 0) {
        return RD_KAFKA_RESP_ERR__INVALID_ARG;  // Kafka has no times before 1970
    }
    std::unique_ptr<rd_kafka_headers_t, destroyer<rd_kafka_headers_destroy>> headers;
    const auto add = [&headers](std::string_view name, const std::optional<bytes>& data) {
        return rd_kafka_header_add(headers.get(), name.data(), static_cast<ssize_t>(name.size()), !data ? nullptr : data->data() != nullptr ? data->data() : &nothing,
                                   data ? static_cast<ssize_t>(data->size()) : 0);
    };
    if (has_headers) {
        headers.reset(rd_kafka_headers_new(8));
        if (record.headers != nullptr) {
            for (const auto& one : *record.headers) {
                if (const auto code = add(one.name, one.value ? std::optional{as_bytes(*one.value)} : std::nullopt); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                    return code;
                }
            }
        } else {
            for (const auto& one : *record.header_slices) {
                if (const auto code = add(one.name, one.value); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                    return code;
                }
            }
        }
    }
    std::array<rd_kafka_vu_t, 8> parts{};
    std::size_t count = 0;
    const auto part = [&](rd_kafka_vtype_t type) -> auto& {
        parts[count].vtype = type;
        return parts[count++].u;
    };
    part(RD_KAFKA_VTYPE_RKT).rkt = to;
    part(RD_KAFKA_VTYPE_PARTITION).i32 = record.partition;
    part(RD_KAFKA_VTYPE_MSGFLAGS).i = flags | RD_KAFKA_MSG_F_COPY;
    part(RD_KAFKA_VTYPE_OPAQUE).ptr = opaque;
    part(RD_KAFKA_VTYPE_VALUE).mem = {value, size(record.value)};
    if (record.key) {
        part(RD_KAFKA_VTYPE_KEY).mem = {const_cast<void*>(key), size(record.key)};
    }
    if (record.time) {
        const std::int64_t time = milliseconds_of(*record.time);
        part(RD_KAFKA_VTYPE_TIMESTAMP).i64 = time > 0 ? time : 1;  // librdkafka takes 0 for now; what is before 1970 was refused
    }
    if (headers) {
        part(RD_KAFKA_VTYPE_HEADERS).headers = headers.get();
    }
    const owned_error error{rd_kafka_produceva(by, parts.data(), count)};
    if (error) {
        return rd_kafka_error_code(error.get());
    }
    static_cast<void>(headers.release());  // they are the message's now
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

class sender;

/// What became of one record. A delivery's half.
class outcome final : public engine::pending_delivery {
public:
    [[nodiscard]] failure wait(engine::appended& done) override;

private:
    friend class sender;
    friend class outcome_block;

    std::atomic<std::uint32_t> is_known_{0};
    engine::appended at_;                              // set before it is known
    std::shared_ptr<engine::failed_delivery> failed_;  // so is this; null: acknowledged
    class outcome_block* block_ = nullptr;
};

/// Outcomes of records that were sent one after the other; one allocation for all of them. Keeps itself until all are known.
class outcome_block {
public:
    static constexpr std::size_t size = 64;

    [[nodiscard]] static std::shared_ptr<outcome_block> make(const std::shared_ptr<sender>& of) {
        auto made = std::make_shared<outcome_block>();
        made->of_ = of;
        for (auto& one : made->all_) {
            one.block_ = made.get();
        }
        made->self_ = made;
        return made;
    }

private:
    friend class outcome;
    friend class sender;

    void let_go(std::uint32_t count) noexcept {
        if (open_.fetch_sub(count, std::memory_order_acq_rel) == count) {
            const auto last = std::move(self_);  // may be the last one
        }
    }

    std::array<outcome, size> all_;
    std::atomic<std::uint32_t> open_{size};
    std::weak_ptr<sender> of_;  // which closes when all are known
    std::shared_ptr<outcome_block> self_;
};

/// A producer's untyped half. Ends with `close`.
///
/// Threads   shared.
/// Cost      a handle of librdkafka's: some threads, a connection a broker. A send: a copy, a lock, an allocation of librdkafka's.
class sender final : public std::enable_shared_from_this<sender> {
public:
    /// Errors    invalid_config, unsupported_compression_type, closed.
    [[nodiscard]] static std::shared_ptr<sender> make(std::shared_ptr<const topic_state> to, const producer_options& options) {
        auto made = std::shared_ptr<sender>{new sender{std::move(to), options}};
        made->start(options);
        return made;
    }

    sender(const sender&) = delete;
    sender& operator=(const sender&) = delete;
    ~sender() = default;

    [[nodiscard]] const topic_state& topic() const noexcept { return *to_; }

    /// What goes wrong is in what it gives, and told by the next flush.
    [[nodiscard]] engine::sent send(const outgoing_record& record) {
        if (record.partition < 0 || record.partition >= to_->partition_count) [[unlikely]] {
            return refuse(record.partition, {errc::unknown_topic_or_partition, to_->text() + ": there is no partition " + std::to_string(record.partition)});
        }
        const entry inside{sending_};
        if (is_closed_.load(std::memory_order_seq_cst) || cluster_->is_closed.load(std::memory_order_relaxed)) [[unlikely]] {
            return refuse(record.partition, {errc::closed, to_->text() + ": the producer, or its broker, is closed"});
        }
        const std::shared_ptr<outcome> slot = take_slot();
        const auto number = static_cast<std::size_t>(record.partition);
        counts_[number].sent.fetch_add(1, std::memory_order_relaxed);
        const int blocks = calling_back_.load(std::memory_order_relaxed) == os::this_thread() ? 0 : RD_KAFKA_MSG_F_BLOCK;
        const rd_kafka_resp_err_t code = produce(client_->get(), topic_.get(), record, blocks, slot.get());
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) [[unlikely]] {
            settle(*slot, record.partition, {}, why_refused(code, record));
        }
        return {{}, slot};
    }

    /// Waits until everything that was sent before is known; gives the first failure that nobody asked for.
    [[nodiscard]] failure flush() {
        if (failure why = refuse_own_thread("flush")) {
            return why;
        }
        std::vector<std::uint64_t> wanted;
        for (std::int32_t i = 0; i < to_->partition_count; ++i) {
            wanted.push_back(counts_[static_cast<std::size_t>(i)].sent.load(std::memory_order_relaxed));
        }
        for (const auto client = alive(); client != nullptr;) {
            const bool is_empty = rd_kafka_flush(client->get(), 50) == RD_KAFKA_RESP_ERR_NO_ERROR;
            bool is_done = true;
            for (std::size_t i = 0; i < wanted.size(); ++i) {
                is_done = is_done && counts_[i].known.load(std::memory_order_acquire) >= wanted[i];
            }
            if (is_done || is_empty) {
                break;
            }
        }
        return uncollected_.take_first();
    }

    /// Flushes; what is sent afterwards fails. In delivery_timeout and 10 s it is through, whatever the cluster does.
    [[nodiscard]] failure close() {
        if (failure why = refuse_own_thread("close")) {
            return why;
        }
        if (is_closed_.exchange(true, std::memory_order_seq_cst)) {
            return uncollected_.take_first();
        }
        const auto client = alive();
        for (const deadline end{longest_}; rd_kafka_flush(client->get(), 100) != RD_KAFKA_RESP_ERR_NO_ERROR;) {
            if (!end.is_over()) {
                continue;
            }
            // librdkafka should have said so by itself
            static_cast<void>(rd_kafka_purge(client->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT));
        }
        while (sending_.load(std::memory_order_seq_cst) != 0) {  // who came before is_closed
            static_cast<void>(rd_kafka_flush(client->get(), 10));
        }
        while (rd_kafka_flush(client->get(), 100) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        }
        release();
        return uncollected_.take_first();
    }

    void report(const failure& why) noexcept { cluster_->report(why); }

    void wait_for(outcome& one) {
        while (one.is_known_.load(std::memory_order_acquire) == 0) {
            const auto client = is_lingering_ ? alive() : nullptr;
            if (client != nullptr) {
                static_cast<void>(rd_kafka_flush(client->get(), 20));  // lingering ends, as long as this lasts
            } else {
                one.is_known_.wait(0, std::memory_order_acquire);
            }
        }
    }

    [[nodiscard]] failure refuse_own_thread(const char* what) const {
        return calling_back_.load(std::memory_order_relaxed) != os::this_thread()
                   ? failure{}
                   : failure{errc::illegal_state, to_->text() + ": " + what + " was called by the producer's own on_delivery, which it would wait for"};
    }

private:
    struct entry {
        explicit entry(std::atomic<std::uint32_t>& of) noexcept : count{of} { count.fetch_add(1, std::memory_order_seq_cst); }
        entry(const entry&) = delete;
        entry& operator=(const entry&) = delete;
        ~entry() { count.fetch_sub(1, std::memory_order_release); }
        std::atomic<std::uint32_t>& count;
    };

    struct counts {
        std::atomic<std::uint64_t> sent{0};
        std::atomic<std::uint64_t> known{0};
    };

    sender(std::shared_ptr<const topic_state> to, const producer_options& options)
        : to_{std::move(to)}, cluster_{to_->cluster->of()}, counts_{std::make_unique<counts[]>(static_cast<std::size_t>(to_->partition_count))},
          on_delivery_{options.on_delivery}, longest_{options.delivery_timeout + std::chrono::seconds{10}}, is_lingering_{options.linger.count() > 0} {}

    void start(const producer_options& options) {
        const auto require = [this](bool condition, const char* rule) {
            if (!condition) {
                throw_error(errc::invalid_config, "producer of " + to_->text() + ": " + rule);
            }
        };
        cluster_->require_open("producer of " + to_->text());
        require(options.batch_size >= 1 && options.batch_size <= std::int64_t{gib}, "batch_size is 1 byte to 1 GiB");
        require(options.linger.count() >= 0, "linger is not negative");
        require(options.delivery_timeout >= options.linger, "delivery_timeout is at least linger");
        require(options.name.empty() && !options.dense_sequences, "Kafka has no producers with a name, whose numbers outlive them, and no dense_sequences; "
                                                                  "a transaction with a transactional_id does what they are for");
        settings with{*cluster_};
        with.set("acks", options.acks == brook::acks::all ? "all" : options.acks == brook::acks::leader ? "1" : "0");
        with.set("enable.idempotence", options.acks == brook::acks::all || options.enable_idempotence ? "true" : "false");
        with.set("batch.size", options.batch_size);
        with.set("linger.ms", std::to_string(std::chrono::duration<double, std::milli>{options.linger}.count()));
        with.set("delivery.timeout.ms", milliseconds_of(options.delivery_timeout));
        set_compression(with, options.compression_type, options.compression_level, "producer of " + to_->text());
        with.set(cluster_->options.properties);
        with.set(cluster_->options.producer_properties);
        rd_kafka_conf_set_events(with.get(), RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
        rd_kafka_conf_set_background_event_cb(with.get(), on_event);
        client_ = std::make_shared<client>(cluster_, RD_KAFKA_PRODUCER, std::move(with), this);
        topic_ = client_->topic(to_->name);
    }

public:
    static void set_compression(settings& with, compression type, std::optional<int> level, const std::string& what) {
        if (type == compression::user6 || type == compression::user7) {
            throw_error(errc::unsupported_compression_type, what + ": a Kafka cluster has no codecs of its users'; it has lz4 and zstd");
        }
        with.set("compression.type", std::string{to_string(type)});
        if (level && type != compression::none) {
            with.set("compression.level", *level);
        }
    }

private:
    void release() {
        std::shared_ptr<client> last;  // goes without the lock
        const std::scoped_lock guard{mutex_};
        if (block_) {
            block_->let_go(static_cast<std::uint32_t>(outcome_block::size - used_));
            block_.reset();
        }
        topic_.reset();
        client_.swap(last);
    }

    [[nodiscard]] std::shared_ptr<client> alive() const {
        const std::scoped_lock guard{mutex_};
        return client_;
    }

    [[nodiscard]] std::shared_ptr<outcome> take_slot() {
        const std::scoped_lock guard{mutex_};
        if (!block_ || used_ == outcome_block::size) {
            block_ = outcome_block::make(shared_from_this());
            used_ = 0;
        }
        return {block_, &block_->all_[used_++]};
    }

    /// Fails what was not even handed over.
    [[nodiscard]] engine::sent refuse(std::int32_t partition, failure why) {
        auto failed = std::make_shared<engine::failed_delivery>(std::move(why));
        uncollected_.add(failed);
        tell(partition, {}, failed->why().code);
        return {{}, failed};
    }

    [[nodiscard]] failure why_refused(rd_kafka_resp_err_t code, const outgoing_record& record) const {
        const std::string what = place(record.partition);
        if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
            std::array<char, 32> most{};
            std::size_t length = most.size();
            static_cast<void>(rd_kafka_conf_get(rd_kafka_conf(client_->get()), "message.max.bytes", most.data(), &length));
            const std::size_t bytes = (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
            return {errc::record_too_large, what + ": a record of " + std::to_string(bytes) + " bytes; message.max.bytes is " + most.data() +
                                                ", to be raised by a property, and by max.message.bytes of the topic"};
        }
        if (code == RD_KAFKA_RESP_ERR__INVALID_ARG && record.time && milliseconds_of(*record.time) < 0) {
            return {errc::invalid_config, what + ": Kafka has no timestamps before 1970"};
        }
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            return {errc::illegal_state, what + ": the producer's queue is full, and its own on_delivery, which called, empties it"};
        }
        return refusal_of(code, what);
    }

    [[nodiscard]] failure refusal_of(rd_kafka_resp_err_t code, const std::string& what) const {
        std::array<char, 512> text{};
        if (code == RD_KAFKA_RESP_ERR__FATAL) {
            code = rd_kafka_fatal_error(client_->get(), text.data(), text.size());
        }
        return refusal(code, what, text.data());
    }

    [[nodiscard]] std::string place(std::int32_t partition) const { return to_->text() + ", partition " + std::to_string(partition); }

    // ---- what librdkafka tells, on its thread ----

    static void on_event(rd_kafka_t* handle, rd_kafka_event_t* raw, void* opaque) {
        const owned_event event{raw};
        auto* const by = static_cast<client*>(opaque);
        auto* const self = static_cast<sender*>(by->owner());
        try {
            switch (rd_kafka_event_type(raw)) {
                case RD_KAFKA_EVENT_DR: self->learn(raw); break;
                case RD_KAFKA_EVENT_ERROR: by->note(handle, rd_kafka_event_error(raw), rd_kafka_event_error_string(raw)); break;
                default: break;
            }
        } catch (...) {  // no memory: it must not pass through C
            self->cluster_->report_caught();
        }
    }

    void learn(rd_kafka_event_t* event) {
        calling_back_.store(os::this_thread(), std::memory_order_relaxed);
        while (const rd_kafka_message_t* const message = rd_kafka_event_message_next(event)) {
            auto& slot = *static_cast<outcome*>(message->_private);
            const std::int64_t time = rd_kafka_message_timestamp(message, nullptr);
            const engine::appended at{message->offset < 0 ? -1 : message->offset, time_of(time < 0 ? 0 : time).time_since_epoch().count()};
            try {
                settle(slot, message->partition, at, message->err != RD_KAFKA_RESP_ERR_NO_ERROR ? why_failed(*message) : failure{});
            } catch (...) {  // what on_delivery throws of one record; the others of this event are told of theirs
                cluster_->report_caught();
            }
        }
        calling_back_.store(nullptr, std::memory_order_relaxed);
    }

    /// F40: each ends in one of acknowledged, failed, unknown, and what may be there is never reported as failed.
    [[nodiscard]] failure why_failed(const rd_kafka_message_t& message) const {
        try {
            failure why = refusal_of(message.err, place(message.partition));
            if (rd_kafka_message_status(&message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED) {
                why.text += "; it may be there, or not: whether it is shows later";
                why.code = errc::timed_out;
            } else if (why.code == errc::timed_out) {
                why.text += "; it was never sent, and nothing was written";
                why.code = errc::not_leader_or_follower;
            }
            return why;
        } catch (const std::bad_alloc&) {  // no memory for a text
            return {errc::timed_out, {}};
        }
    }

    /// Whatever happens in it, the outcome is known afterwards.
    void settle(outcome& slot, std::int32_t partition, const engine::appended& at, failure why) {
        const std::error_code code = why.code;
        std::exception_ptr thrown;
        slot.at_ = at;
        try {
            if (why) {
                slot.failed_ = untold_;  // should there be no memory for the next line
                slot.failed_ = std::make_shared<engine::failed_delivery>(std::move(why));
                uncollected_.add(slot.failed_);
            }
            tell(partition, slot.at_, code);
        } catch (...) {
            thrown = std::current_exception();
        }
        outcome_block& block = *slot.block_;
        slot.is_known_.store(1, std::memory_order_release);
        slot.is_known_.notify_all();
        counts_[static_cast<std::size_t>(partition)].known.fetch_add(1, std::memory_order_release);
        block.let_go(1);
        if (thrown) {
            std::rethrow_exception(thrown);
        }
    }

    void tell(std::int32_t partition, const engine::appended& at, std::error_code code) {
        if (on_delivery_) {
            on_delivery_(record_metadata{partition, at.at, timestamp{std::chrono::nanoseconds{at.at >= 0 ? at.timestamp : 0}}}, code);
        }
    }

    const std::shared_ptr<const topic_state> to_;
    const std::shared_ptr<cluster> cluster_;
    const std::unique_ptr<counts[]> counts_;  // of each partition
    const callback<void(const record_metadata&, std::error_code)> on_delivery_;
    const std::chrono::nanoseconds longest_;
    const bool is_lingering_;
    std::atomic<bool> is_closed_{false};
    std::atomic<std::uint32_t> sending_{0};  // sends that are under way
    std::atomic<const void*> calling_back_{nullptr};  // the thread that is in on_delivery
    engine::uncollected_failures uncollected_;
    const std::shared_ptr<engine::failed_delivery> untold_ =
        std::make_shared<engine::failed_delivery>(failure{errc::timed_out, "it may be there, or not: there was no memory to tell what became of it"});
    mutable std::mutex mutex_;               // guards what follows
    std::shared_ptr<client> client_;         // null: closed
    owned_topic topic_;                      // goes before it
    std::shared_ptr<outcome_block> block_;   // of the records to come
    std::size_t used_ = 0;                   // of it
};

inline failure outcome::wait(engine::appended& done) {
    if (is_known_.load(std::memory_order_acquire) == 0) {
        if (const auto of = block_->of_.lock()) {
            if (failure why = of->refuse_own_thread("get")) {
                return why;
            }
            of->wait_for(*this);
        } else if (is_known_.load(std::memory_order_acquire) == 0) {
            return {errc::timed_out, "it may be there, or not: its producer has gone without a word"};
        }
    }
    if (failed_) {
        return failed_->wait(done);
    }
    done = at_;
    return {};
}

}  // namespace brook::inline BROOK_ABI::kafka
