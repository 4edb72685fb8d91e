/// \file brook/kafka/transaction.hpp
/// Records to a cluster's topics, and how far a consumer has read: all of it or nothing.
/// Edge of floor 6, kafka. Source: KIP-98, KIP-447.
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
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/client/codec.hpp>
#include <brook/client/partitioner.hpp>
#include <brook/client/record.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/transaction.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/consumer.hpp>
#include <brook/kafka/refusal.hpp>
#include <brook/kafka/sender.hpp>
#include <brook/kafka/topic.hpp>
#include <brook/os/posix.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// A transactional producer of librdkafka's: one transaction at a time.
///
/// Threads   confined; one that transactions of several threads use is under its seat's mutex.
class transactional_producer {
public:
    /// Fences whoever has the id, and ends what it had begun.
    /// Errors    invalid_config; timed_out, authentication_failed.
    /// `gives_up`: from when it is true nothing is waited for any more; null: never.
    transactional_producer(std::shared_ptr<cluster> of, const transaction_options& options, const std::atomic<bool>* gives_up = nullptr)
        : cluster_{std::move(of)}, id_{options.transactional_id}, gives_up_{gives_up} {
        settings with{*cluster_};
        with.set("transactional.id", options.transactional_id);
        const int timeout = milliseconds_of(options.transaction_timeout);
        with.set("transaction.timeout.ms", timeout < 1'000 ? 1'000 : timeout);
        if (timeout < 60'000) {
            with.set("socket.timeout.ms", timeout < 1'000 ? 1'000 : timeout);  // librdkafka: not longer than a transaction, nor a message
            with.set("delivery.timeout.ms", timeout < 1'000 ? 1'000 : timeout);
        } else {
            with.set("delivery.timeout.ms", timeout);
        }
        with.set("linger.ms", "5");
        sender::set_compression(with, options.compression_type, options.compression_level, text());
        with.set(cluster_->options.properties);
        with.set(cluster_->options.producer_properties);
        rd_kafka_conf_set_events(with.get(), RD_KAFKA_EVENT_ERROR);
        rd_kafka_conf_set_background_event_cb(with.get(), [](rd_kafka_t* handle, rd_kafka_event_t* raw, void* opaque) {
            const owned_event event{raw};
            if (rd_kafka_event_type(raw) == RD_KAFKA_EVENT_ERROR) {
                static_cast<client*>(opaque)->note(handle, rd_kafka_event_error(raw), rd_kafka_event_error_string(raw));
            }
        });
        client_ = std::make_unique<client>(cluster_, RD_KAFKA_PRODUCER, std::move(with));
        again("it cannot begin", [this](int slice) { return rd_kafka_init_transactions(client_->get(), slice); });
    }
    transactional_producer(const transactional_producer&) = delete;
    transactional_producer& operator=(const transactional_producer&) = delete;
    ~transactional_producer() {
        topics_.clear();
        static_cast<void>(rd_kafka_purge(client_->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT));  // what was not committed does not count
    }

    void begin() {
        raise(rd_kafka_begin_transaction(client_->get()), "it cannot begin");
        is_open_ = true;
    }

    [[nodiscard]] bool is_open() const noexcept { return is_open_; }

    /// It can begin no other: a newer one has its id, or what it lost cannot be made good.
    [[nodiscard]] bool is_dead() const noexcept { return is_dead_; }

    /// Errors    record_too_large; invalid_config for a time before 1970; producer_fenced; what librdkafka says.
    void send(const topic_state& to, const outgoing_record& record) {
        refuse_time(to, record);
        rd_kafka_topic_t* const topic = topic_of(to.name);
        for (;;) {
            const rd_kafka_resp_err_t code = produce(client_->get(), topic, record, 0, nullptr);
            if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
                return;
            }
            if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                raise_code(code, to.text() + ", partition " + std::to_string(record.partition));
            }
            static_cast<void>(rd_kafka_flush(client_->get(), 100));
        }
    }

    /// `group`: of a consumer, or made from a name.
    void send_offsets(const rd_kafka_topic_partition_list_t* next, const rd_kafka_consumer_group_metadata_t* group) {
        again("offsets cannot be sent with it", [&](int slice) { return rd_kafka_send_offsets_to_transaction(client_->get(), next, group, slice); });
    }

    /// Errors    transaction_aborted: nothing of it counts. producer_fenced: nor does it, unless the answer to this commit was lost before another
    ///           one was begun. timed_out: whether it counts shows later; the cluster was not reached in time.
    void commit() {
        again("it cannot be committed", [this](int slice) { return rd_kafka_commit_transaction(client_->get(), slice); }, true);
        is_open_ = false;
    }

    void abort() {
        if (!is_open_) {
            return;
        }
        again("it cannot be aborted", [this](int slice) { return rd_kafka_abort_transaction(client_->get(), slice); });
        is_open_ = false;
    }

    [[nodiscard]] const std::shared_ptr<cluster>& of() const noexcept { return cluster_; }
    [[nodiscard]] const std::string& id() const noexcept { return id_; }
    [[nodiscard]] std::string text() const { return "transaction '" + id_ + '\''; }

private:
    /// Until it is done, or cannot be, or default_api_timeout is over: then, with `may_count`, whatever was said last, it is timed_out.
    template <class Once>
    void again(const char* what, const Once& once, bool may_count = false) {
        for (const deadline end{cluster_->options.default_api_timeout};;) {
            const auto left = end.left();
            const std::chrono::nanoseconds most = std::chrono::seconds{1};
            owned_error error{once(milliseconds_of(left < most ? left : most))};
            if (!error) {
                return;
            }
            if (const failure refused = client_->take_refused()) {
                is_dead_ = true;
                throw_error(refused.code, text() + ": " + what + ": " + refused.text);
            }
            if (const failure fatal = why_dead()) {  // waiting on would end at the deadline, and no sooner
                is_dead_ = true;
                throw_error(fatal.code, text() + ": " + what + ": " + fatal.text);
            }
            if (rd_kafka_error_txn_requires_abort(error.get()) != 0) {
                raise_aborted(error.release(), what);
            }
            if (rd_kafka_error_is_retriable(error.get()) == 0 || end.is_over() || (gives_up_ != nullptr && gives_up_->load())) {
                const bool is_silence = administration::is_silence(rd_kafka_error_code(error.get()));
                if (may_count && rd_kafka_error_is_retriable(error.get()) != 0) {
                    is_dead_ = true;  // nobody knows where it stands
                    const failure why = is_silence ? unanswered(what) : refusal(error.release(), text() + ": " + what);
                    throw_error(errc::timed_out, why.text + "; whether it counts shows later");
                }
                if (is_silence && end.is_over()) {
                    is_dead_ = true;
                    unanswered(what).raise();
                }
                raise(error.release(), what);
            }
            administration::pause(std::chrono::milliseconds{10});
        }
    }

    [[nodiscard]] failure unanswered(const char* what) const { return client_->unanswered(text() + ": " + what, cluster_->options.default_api_timeout); }

    /// What librdkafka says of itself; success: nothing.
    [[nodiscard]] failure why_dead() const {
        std::array<char, 512> reason{};
        const rd_kafka_resp_err_t code = rd_kafka_fatal_error(client_->get(), reason.data(), reason.size());
        return code == RD_KAFKA_RESP_ERR_NO_ERROR ? failure{} : refusal(code, "it is given up", reason.data());
    }

    [[noreturn]] void raise_aborted(rd_kafka_error_t* error, const char* what) {
        const failure why = refusal(error, text() + ": " + what);
        is_open_ = true;
        try {
            abort();
        } catch (const brook::error& thrown) {
            is_dead_ = true;
            cluster_->report(failure{thrown});
        }
        const errc code = why.code == errc::producer_fenced ? errc::producer_fenced : errc::transaction_aborted;
        throw_error(code, why.text + "; nothing of it counts");
    }

    void raise(rd_kafka_error_t* error, const char* what) {
        if (error == nullptr) {
            return;
        }
        is_dead_ = is_dead_ || rd_kafka_error_is_fatal(error) != 0 || rd_kafka_error_is_retriable(error) != 0;  // in time: nobody knows where it stands
        const failure why = refusal(error, text() + ": " + what);
        why.raise();
    }

    void raise_code(rd_kafka_resp_err_t code, const std::string& what) {
        std::array<char, 512> fatal{};
        if (code == RD_KAFKA_RESP_ERR__FATAL) {
            code = rd_kafka_fatal_error(client_->get(), fatal.data(), fatal.size());
            is_dead_ = true;
        }
        if (code == RD_KAFKA_RESP_ERR__STATE) {  // librdkafka takes no records where the transaction can only be aborted
            throw_error(errc::transaction_aborted, text() + ": " + what + ": it can only be aborted by now; nothing of it counts");
        }
        refusal(code, text() + ": " + what, fatal.data()).raise();
    }

    /// Kafka has none before 1970.
    void refuse_time(const topic_state& to, const outgoing_record& record) const {
        if (record.time && milliseconds_of(*record.time) < 0) {
            throw_error(errc::invalid_config, text() + ": " + to.text() + ", partition " + std::to_string(record.partition) + ": Kafka has no timestamps before 1970");
        }
    }

    [[nodiscard]] rd_kafka_topic_t* topic_of(const std::string& name) {
        for (const auto& [known, topic] : topics_) {
            if (known == name) {
                return topic.get();
            }
        }
        topics_.emplace_back(name, client_->topic(name));
        return topics_.back().second.get();
    }

    const std::shared_ptr<cluster> cluster_;
    const std::string id_;
    const std::atomic<bool>* const gives_up_;
    std::unique_ptr<client> client_;
    std::vector<std::pair<std::string, owned_topic>> topics_;  // go before it
    std::atomic<bool> is_open_{false};
    std::atomic<bool> is_dead_{false};
};

/// The transactional producer of an id, kept from one transaction to the next.
///
/// Threads   shared; what the mutex guards under it.
struct transaction_seat {
    explicit transaction_seat(std::string of) : id{std::move(of)} {}

    const std::string id;
    std::atomic<std::uint64_t> turn{0};  ///< which transaction of the id is open; changed under the mutex
    std::mutex mutex;                    ///< guards what follows; held by whoever uses the producer, so that nothing of one gets into the next
    std::chrono::nanoseconds timeout{};
    std::shared_ptr<transactional_producer> producer{};
};

/// One transaction. Made by kafka::broker::begin_transaction, ended by `commit`, else aborted.
///
/// What is sent goes to the cluster at once, and counts when `commit` has returned: consumers with isolation_level read_committed see all of it
/// or nothing. Where the time is over while it commits the error is timed_out, and whether it counts shows later: by the offsets that
/// were to be committed with it, or by who begins one under its id, which waits until this one is decided.
///
/// Threads   confined.
class transaction {
    template <class Key>
    using key_argument = typename detail::codec<Key>::argument_type;
    template <class Value>
    using value_argument = typename detail::codec<Value>::argument_type;

public:
    transaction(transaction&& other) noexcept
        : seat_{std::move(other.seat_)}, producer_{std::move(other.producer_)}, turn_{other.turn_}, is_ended_{std::exchange(other.is_ended_, true)}, stuck_{std::move(other.stuck_)} {}
    transaction& operator=(transaction&& other) noexcept {
        if (this != &other) {
            abort_quietly();
            seat_ = std::move(other.seat_);
            producer_ = std::move(other.producer_);
            turn_ = other.turn_;
            is_ended_ = std::exchange(other.is_ended_, true);
            stuck_ = std::move(other.stuck_);
        }
        return *this;
    }
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;

    /// Aborts it, if it has not been committed.
    ~transaction() { abort_quietly(); }

    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, key_argument<Key> key, value_argument<Value> value)
        requires(!std::is_same_v<Key, no_key>)
    {
        send_value<Key, Value>(to, detail::serialized<Key>{key}, value, nullptr, {}, {});
    }
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, key_argument<Key> key, tombstone_t)
        requires(!std::is_same_v<Key, no_key>)
    {
        send_bytes<Key, Value>(to, detail::serialized<Key>{key}, std::nullopt, nullptr, {}, {});
    }
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, value_argument<Value> value)
        requires std::is_same_v<Key, no_key>
    {
        send_value<Key, Value>(to, detail::serialized<Key>{no_key{}}, value, nullptr, {}, {});
    }
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, const std::type_identity_t<record<Key, Value>>& record) {
        refuse_sequence(record.sequence);
        send_value<Key, Value>(to, detail::serialized<Key>{record.key}, record.value, &record.headers, record.timestamp, record.partition);
    }
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, const std::type_identity_t<record<Key, tombstone_t>>& record)
        requires(!std::is_same_v<Key, no_key>)
    {
        refuse_sequence(record.sequence);
        send_bytes<Key, Value>(to, detail::serialized<Key>{record.key}, std::nullopt, &record.headers, record.timestamp, record.partition);
    }

    /// Commits with it what this consumer has read so far, for its group. After an abort the consumer goes back by `seek_to_committed`.
    /// Errors    illegal_state without a group, or for a consumer of another cluster; invalid_config with enable_auto_commit;
    ///           illegal_generation, or transaction_aborted, when the group has put the consumer out meanwhile.
    template <class Key, class Value>
    void commit_offsets(consumer<Key, Value, broker>& read) {
        reader& from = read.untyped();
        const std::scoped_lock guard{mutex()};
        transactional_producer& by = open();
        if (from.cluster()->of() != by.of()) {
            throw_error(errc::illegal_state, "consumer of " + from.what() + ": it is of another cluster than the transaction");
        }
        const owned_list next = from.read_so_far();
        if (next->cnt == 0) {
            return;
        }
        const std::unique_ptr<rd_kafka_consumer_group_metadata_t, destroyer<rd_kafka_consumer_group_metadata_destroy>> group{
            rd_kafka_consumer_group_metadata(from.handle_owner()->get())};
        by.send_offsets(next.get(), group.get());
    }

    /// Kafka keeps no state beside its offsets.
    void set_state(std::string_view state) = delete;

    void commit() {
        const std::scoped_lock guard{mutex()};
        transactional_producer& by = open();
        is_ended_ = true;
        by.commit();
    }

    /// Nothing of it counts.
    void abort() {
        if (is_ended_) {
            return;
        }
        const std::scoped_lock guard{mutex()};
        if (is_ours()) {
            is_ended_ = true;
            producer_->abort();
        }
    }

    /// By kafka::broker::begin_transaction.
    transaction(std::shared_ptr<transaction_seat> seat, std::shared_ptr<transactional_producer> producer, std::uint64_t turn) noexcept
        : seat_{std::move(seat)}, producer_{std::move(producer)}, turn_{turn} {}

private:
    struct stuck {
        std::string topic;
        std::unique_ptr<sticky_partitioner> sticky;
    };
    static constexpr std::uint32_t sticky_bytes = 16 * kib;

    /// Of its id: who holds it and looks whether the turn is still this one's keeps it.
    [[nodiscard]] std::mutex& mutex() const {
        if (!seat_) {
            throw_error(errc::illegal_state, "this transaction has ended, or been moved from");
        }
        return seat_->mutex;
    }

    [[nodiscard]] bool is_ours() const noexcept { return seat_ && seat_->turn.load() == turn_; }

    [[nodiscard]] transactional_producer& open() const {
        if (!seat_ || is_ended_) {
            throw_error(errc::illegal_state, "this transaction has ended, or been moved from");
        }
        if (!is_ours()) {
            throw_error(errc::producer_fenced, "transaction '" + seat_->id + "': another one has been begun under its id, and nothing of this one counts");
        }
        producer_->of()->require_open(producer_->text());
        return *producer_;
    }

    void refuse_sequence(std::optional<std::int64_t> sequence) const {
        if (sequence) {
            throw_error(errc::invalid_config, open().text() + ": a record has a sequence, which transactions do not look at; leave it out");
        }
    }

    template <class Key, class Value>
    void send_value(const topic<Key, Value, broker>& to, const detail::serialized<Key>& key, value_argument<Value> value, const std::vector<header>* headers,
                    std::optional<timestamp> time, std::optional<std::int32_t> partition) {
        const detail::serialized<Value> value_bytes{value};
        send_bytes<Key, Value>(to, key, value_bytes.view(), headers, time, partition);
    }

    template <class Key, class Value>
    void send_bytes(const topic<Key, Value, broker>& to, const detail::serialized<Key>& key, std::optional<bytes> value, const std::vector<header>* headers,
                    std::optional<timestamp> time, std::optional<std::int32_t> partition) {
        const topic_state& topic = *detail::access::engine(to);
        outgoing_record record{.value = value, .headers = headers, .time = time};
        if constexpr (!std::is_same_v<Key, no_key>) {
            record.key = key.view();
            record.partition = partition ? *partition : partition_for_key(key.view(), topic.partition_count);
        } else {
            static_cast<void>(key);
            record.partition = partition ? *partition : sticky_of(topic).choose(static_cast<std::uint32_t>(value ? value->size() : 0));
        }
        if (record.partition < 0 || record.partition >= topic.partition_count) {
            throw_error(errc::unknown_topic_or_partition, topic.text() + ": there is no partition " + std::to_string(record.partition));
        }
        const std::scoped_lock guard{mutex()};
        open().send(topic, record);
    }

    [[nodiscard]] sticky_partitioner& sticky_of(const topic_state& topic) {
        for (const stuck& known : stuck_) {
            if (known.topic == topic.name) {
                return *known.sticky;
            }
        }
        stuck_.push_back({topic.name, std::make_unique<sticky_partitioner>(topic.partition_count, sticky_bytes, os::posix().random())});
        return *stuck_.back().sticky;
    }

    void abort_quietly() noexcept {
        if (is_ended_ || !is_ours()) {
            return;
        }
        try {
            abort();
        } catch (const std::exception& thrown) {
            producer_->of()->report(failure_of(thrown));
        }
    }

    std::shared_ptr<transaction_seat> seat_;
    std::shared_ptr<transactional_producer> producer_;
    std::uint64_t turn_ = 0;
    bool is_ended_ = false;
    std::vector<stuck> stuck_;
};

}  // namespace brook::inline BROOK_ABI::kafka
