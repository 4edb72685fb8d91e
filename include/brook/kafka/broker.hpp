/// \file brook/kafka/broker.hpp
/// A Kafka cluster as users see it: topics made and found by type.
/// Edge of floor 6, kafka.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/client/broker.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/topic.hpp>
#include <brook/client/transaction.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/administration.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/consumer.hpp>
#include <brook/kafka/options.hpp>
#include <brook/kafka/producer.hpp>
#include <brook/kafka/topic.hpp>
#include <brook/kafka/transaction.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// A Kafka cluster, as brook::broker is a directory.
///
/// Its destructor closes it: handles may outlive it, and say closed; what producers have in hand they still bring to an end.
///
/// Threads   shared, but for moving it.
class broker {
public:
    /// Asks nobody as yet: what cannot be reached is told by the first call that needs it.
    ///
    /// `bootstrap_servers`: "host:9092", or several, with commas [bootstrap.servers].
    /// Errors    invalid_config: there is no address in it.
    explicit broker(std::string bootstrap_servers, broker_options options = {})
        : admin_{std::make_shared<administration>(std::make_shared<cluster>(std::move(bootstrap_servers), std::move(options)))} {}

    broker(broker&&) noexcept = default;
    broker& operator=(broker&& other) noexcept {
        if (this != &other) {
            close();
            admin_ = std::move(other.admin_);
            seats_ = std::move(other.seats_);
        }
        return *this;
    }
    broker(const broker&) = delete;
    broker& operator=(const broker&) = delete;
    ~broker() { close(); }

    /// Makes a topic, or opens one that agrees. What `options` leave out the cluster says: retention above all, a week mostly.
    ///
    /// Errors    invalid_topic, invalid_config; topic_already_exists when an option is given that it was not made with; closed; timed_out, when
    ///           nobody answers in default_api_timeout; authentication_failed. schema_mismatch, where this broker object has opened it with
    ///           other types: the cluster knows of none.
    template <class Key, class Value>
    brook::topic<Key, Value, broker> create_topic(std::string_view name, topic_options options = {}) {
        if constexpr (std::is_same_v<Key, no_key>) {
            if (options.cleanup_policy.value_or(cleanup_policy::delete_) != cleanup_policy::delete_) {
                throw_error(errc::invalid_config, std::string{"topic '"} + std::string{name} + "': what has no key cannot be compacted; leave cleanup_policy out, or give it a key");
            }
        }
        const std::string text{name};
        return handle<Key, Value>(text, admin()->create(text, options));
    }

    /// Opens a topic that exists: a typo creates nothing, whatever auto.create.topics.enable says.
    ///
    /// Errors    unknown_topic_or_partition, and as create_topic; options that are given must agree.
    template <class Key, class Value>
    brook::topic<Key, Value, broker> topic(std::string_view name, topic_options options = {}) const {
        const std::string text{name};
        return handle<Key, Value>(text, admin()->find(text, options));
    }

    /// Deletes a topic, in its own time: the cluster answers when it has begun.
    /// Errors    unknown_topic_or_partition; what the cluster says.
    void delete_topic(std::string_view name) { admin()->remove(std::string{name}); }

    /// The names of all topics but internal ones, sorted.
    [[nodiscard]] std::vector<std::string> topics() const { return admin()->names(); }

    // ---- groups ----

    [[nodiscard]] std::vector<std::string> groups() const { return admin()->groups(); }

    /// A group as it is now; its generation is not told (-1).
    /// Errors    group_id_not_found.
    [[nodiscard]] group_description group(std::string_view group_id) const { return admin()->group(std::string{group_id}); }

    /// Forgets all that a group has committed.
    /// Errors    non_empty_group, group_id_not_found.
    void delete_group(std::string_view group_id) { admin()->remove_group(std::string{group_id}); }

    /// Has a group without members go on elsewhere in a topic: `to` is asked for each partition, and gives the next offset to
    /// read, which is brought into what the partition has.
    /// Errors    non_empty_group; what `to` throws.
    template <class Key, class Value, class To>
    void reset_group_offsets(std::string_view group_id, const brook::topic<Key, Value, broker>& topic, const To& to) {
        std::vector<offset> next;
        for (const partition& one : topic.partitions()) {
            const offset wanted = to(one);
            const offset first = one.log_start_offset();
            const offset end = one.log_end_offset();
            next.push_back(wanted < first ? first : wanted > end ? end : wanted);
        }
        admin()->reset_group(std::string{group_id}, topic.name(), next);
    }

    // ---- transactions ----

    /// Begins a transaction: records to any topics of this cluster, and offsets that were read, all of it or nothing. Whoever had begun one
    /// under its id is fenced.
    ///
    /// Errors    invalid_config without a transactional_id; timed_out, authentication_failed; closed.
    /// Cost      the first of an id makes a handle of librdkafka's, which the others use.
    [[nodiscard]] transaction begin_transaction(const transaction_options& options) const {
        if (options.transactional_id.empty()) {
            throw_error(errc::invalid_config, "a transactional_id has 1 byte or more");
        }
        if (options.transaction_timeout.count() <= 0) {
            throw_error(errc::invalid_config, "transaction '" + options.transactional_id + "': transaction_timeout is more than 0");
        }
        const auto cluster = admin()->of();
        cluster->require_open("transaction '" + options.transactional_id + '\'');
        const auto seat = seats_->of(options.transactional_id);
        const std::scoped_lock guard{seat->mutex};
        const std::uint64_t turn = ++seat->turn;  // an older one has none of it from here on
        if (seat->producer && seat->producer->is_open() && !seat->producer->is_dead()) {
            seat->producer->abort();
        }
        if (!seat->producer || seat->producer->is_dead() || seat->timeout != options.transaction_timeout) {
            seat->producer.reset();
            seat->producer = std::make_shared<transactional_producer>(cluster, options);
            seat->timeout = options.transaction_timeout;
        }
        seat->producer->begin();
        return transaction{seat, seat->producer, turn};
    }

    /// A cluster keeps no state with a transactional id.
    [[nodiscard]] std::string transaction_state(std::string_view transactional_id) const = delete;

    /// What went wrong that no caller was told of: lost connections, messages of librdkafka's. The latest 64.
    [[nodiscard]] broker_health health() const { return admin()->of()->health(); }

    /// What the destructor does. Every call after it throws closed.
    void close() noexcept {
        if (admin_) {
            admin_->of()->is_closed.store(true);
            const std::scoped_lock guard{seats_->mutex};
            seats_->all.clear();
        }
    }

private:
    friend struct detail::access;

    struct seats {
        [[nodiscard]] std::shared_ptr<transaction_seat> of(const std::string& id) {
            const std::scoped_lock guard{mutex};
            for (const auto& one : all) {
                if (one->id == id) {
                    return one;
                }
            }
            all.push_back(std::make_shared<transaction_seat>(id));
            return all.back();
        }

        std::mutex mutex;
        std::vector<std::shared_ptr<transaction_seat>> all;
    };

    [[nodiscard]] const std::shared_ptr<administration>& admin() const {
        if (!admin_) {
            throw_error(errc::closed, "this broker was moved from");
        }
        return admin_;
    }

    /// For the client room, which asks each broker for what is behind it.
    [[nodiscard]] const std::shared_ptr<administration>& open_core() const {
        admin()->of()->require_open("this broker");
        return admin_;
    }

    template <class Key, class Value>
    [[nodiscard]] brook::topic<Key, Value, broker> handle(const std::string& name, const topic_description& found) const {
        admin_->of()->require_types(name, detail::schema_of<Key>(), detail::schema_of<Value>());
        return brook::topic<Key, Value, broker>{std::make_shared<const topic_state>(topic_state{admin_, name, found.partitions})};
    }

    std::shared_ptr<administration> admin_;
    std::shared_ptr<seats> seats_ = std::make_shared<seats>();
};

}  // namespace brook::inline BROOK_ABI::kafka
