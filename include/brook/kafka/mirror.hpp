/// \file brook/kafka/mirror.hpp
/// A topic carried between this process and a cluster, record by record, for as long as it takes.
/// Edge of floor 6, kafka. Source: Kafka's MirrorMaker 2 (KIP-382); the outbox pattern.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <brook/broker/topic_meta.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/kafka/administration.hpp>
#include <brook/kafka/broker.hpp>
#include <brook/kafka/mirror_down.hpp>
#include <brook/kafka/mirror_options.hpp>
#include <brook/kafka/mirror_up.hpp>
#include <brook/kafka/mirror_work.hpp>
#include <brook/kafka/topic.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// Carries all records of a topic to another one, and those that come, until it goes: a local topic up to a cluster, an outbox that bears with
/// outages, or a cluster's topic down into a local one, where it can be read in place, and made a table of.
///
///     brook::kafka::mirror up{local_orders, cluster_orders, {.name = "edge-7"}};
///     brook::kafka::mirror early{local_orders, cluster, "orders", {.name = "edge-7"}};  // the cluster may come later
///     brook::kafka::mirror down{cluster_prices, local_prices, {.name = "edge-7"}};
///
/// Keys, values, headers, partitions and the order in each are the same on both sides, and timestamps, to the millisecond, where the topic
/// that they come to does not stamp itself. Offsets are not. Both topics have the same number of partitions.
///
/// After a restart, a kill or an outage of whatever length it goes on where it stopped, of its own accord:
///   up     Exactly once, for consumers with isolation_level read_committed: each transaction has records and how far they are (a committed
///          offset of the group "brook-mirror-<name>"), and both count or none. Who reads uncommitted records also sees attempts that were aborted.
///          The cluster forgets that offset when nothing was carried for offsets.retention.minutes, a week by default; then what the local broker has
///          noted counts, and a kill between the two may have let one batch come twice.
///          What the local topic has lost with the power after it was carried cannot be called back: then it stops, offset_out_of_range. A
///          local topic with flush_messages 1 loses nothing.
///   down   Exactly once: a record's number with the local producer "brook-mirror-<name>" is its offset in the cluster, and what is there
///          already is not appended again. Records of transactions that were aborted do not come. A topic that was deleted and made again counts
///          from 0: then it stops, offset_out_of_range, unless that one has come further by then, and it cannot be told.
/// Nobody else writes to the topic that it fills under its name. Should another mirror of the same name begin, that one goes on, and this one
/// ends with producer_fenced.
///
/// Back-pressure is where records wait anyway: upward in the local topic, as long as its retention keeps them; downward in the cluster.
/// What was forgotten there before it was carried is counted as `skipped`.
///
/// Threads   shared, but for moving it.
/// Cost      a thread; upward a transaction for each batch; downward what an idempotent producer costs.
/// Lifetime  its destructor stops it. Goes before both brokers, or stops with closed.
class mirror {
public:
    /// Up.
    /// Errors    invalid_config: no name, or topics with different numbers of partitions.
    template <class Key, class Value>
    mirror(const topic<Key, Value, brook::broker>& from, const topic<Key, Value, broker>& to, mirror_options options) {
        require_legal(options, from, to);
        begin(std::make_unique<mirror_up<Key, Value>>(from, detail::access::engine(to), std::move(options)));
    }

    /// Up, to a topic of this name that need not be there as yet, nor its cluster: it waits until both are, and looks then whether the topic has as many
    /// partitions. Meanwhile `progress` says that it is waiting, why, and how much waits with it.
    /// Errors    invalid_config: no name; invalid_topic; schema_mismatch, where this broker object has opened the topic with other types; closed.
    template <class Key, class Value>
    mirror(const topic<Key, Value, brook::broker>& from, const broker& cluster, std::string_view to, mirror_options options) {
        require_legal(options, from.name());
        broker_room::require_valid_topic_name(to);
        const std::shared_ptr<administration> admin = detail::access::core(cluster);
        admin->of()->require_types(std::string{to}, detail::schema_of<Key>(), detail::schema_of<Value>());
        begin(std::make_unique<mirror_up<Key, Value>>(from, admin, std::string{to}, std::move(options)));
    }

    /// Down.
    template <class Key, class Value>
    mirror(const topic<Key, Value, broker>& from, const topic<Key, Value, brook::broker>& to, mirror_options options) {
        require_legal(options, from, to);
        begin(std::make_unique<mirror_down>(detail::access::engine(from), detail::access::engine(to), std::move(options)));
    }

    mirror(mirror&&) noexcept = default;
    mirror& operator=(mirror&&) noexcept = default;

    [[nodiscard]] mirror_progress progress() const { return work_->progress(); }

    /// Ends it, where it is: within the time of the operation in hand. What was in hand is carried by the next one of its name.
    void stop() noexcept { work_->stop(); }

private:
    void begin(std::unique_ptr<mirror_work> work) {
        work_ = std::move(work);
        work_->start();
    }

    static void require_legal(const mirror_options& options, const std::string& from) {
        const auto refuse = [&](const char* rule) { throw_error(errc::invalid_config, "mirror '" + options.name + "' of topic '" + from + "': " + rule); };
        if (options.name.empty()) {
            refuse("it needs a name, under which its progress is kept");
        }
        if (options.batch_records < 1 || options.linger.count() < 0 || options.retry_backoff.count() < 0) {
            refuse("batch_records is 1 or more, linger and retry_backoff are not negative");
        }
    }

    template <class From, class To>
    static void require_legal(const mirror_options& options, const From& from, const To& to) {
        require_legal(options, from.name());
        require_as_many(options.name, from.name(), from.partition_count(), to.name(), to.partition_count());
    }

    std::unique_ptr<mirror_work> work_;
};

}  // namespace brook::inline BROOK_ABI::kafka
