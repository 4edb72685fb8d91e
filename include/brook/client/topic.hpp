/// \file brook/client/topic.hpp
/// Handles to a topic and to its partitions.
/// Floor 6, client.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/client/codec.hpp>
#include <brook/client/serde.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/embedded.hpp>

namespace brook::inline BROOK_ABI {

namespace detail {

template <class Broker>
using engine_t = typename engine_of<Broker>::type;

/// Lets the client room reach what stands behind a typed handle, and nobody else.
struct access {
    template <class Handle>
    [[nodiscard]] static const auto& engine(const Handle& handle) noexcept {
        return handle.topic_;
    }

    /// Errors    closed.
    template <class Broker>
    [[nodiscard]] static const auto& core(const Broker& broker) {
        return broker.open_core();
    }
};

template <class T>
[[nodiscard]] broker_room::schema schema_of() {
    return {std::string{codec<T>::schema()}, codec<T>::fingerprint()};
}

}  // namespace detail

class partition;

/// The partitions of a broker type.
template <class Broker>
struct partition_of {
    using type = partition;
};

/// One partition of a topic: an ordered, immutable, append-only log.
///
/// Threads   shared. A handle: copies mean the same partition.
/// Lifetime  may outlive its broker; then every call but `number` and `topic` throws closed. When its topic is deleted they throw
///           unknown_topic_or_partition, also where there is another topic of that name.
/// Errors    closed, unknown_topic_or_partition, and what each function names.
class partition {
public:
    /// 0 to the topic's number of partitions, less one.
    [[nodiscard]] std::int32_t number() const noexcept { return number_; }

    /// The name of its topic.
    [[nodiscard]] const std::string& topic() const noexcept { return topic_.name(); }

    /// Offset of the first record that can be read.
    offset log_start_offset() const { return log().log_start_offset(); }

    /// Offset after the last record that can be read: where everything before has been published. A record whose send
    /// has returned may still stand behind one of another thread that has not. Of a replicated topic: the high watermark, as far as this
    /// broker knows.
    offset log_end_offset() const { return log().readable_end(); }

    /// The broker that leads it, as far as this one knows; -1: nobody does just now. Of a topic that is not replicated: this broker's node_id.
    [[nodiscard]] int leader() const { return replication().leader; }

    /// Who leads, who decides, how far this broker's replica is.
    [[nodiscard]] replication_state replication() const {
        const auto core = topic_.open_core();
        if (broker_room::cluster* const cluster = core->cluster()) {
            if (auto found = cluster->state_of(id())) {
                return *std::move(found);
            }
        }
        replication_state alone;
        alone.leader_epoch = log().leader_epoch();
        alone.log_end_offset = log().log_end_offset();
        if (const auto& meta = topic_.state()->meta; meta.is_replicated()) {  // its replica is just about to begin
            const auto& replicas = meta.replicas[static_cast<std::size_t>(number_)];
            alone.replicas.assign(replicas.begin(), replicas.end());
            alone.high_watermark = log().high_watermark();
            return alone;
        }
        alone.leader = core->node_id();
        alone.is_leader = true;
        alone.replicas = {core->node_id()};
        alone.in_sync = alone.replicas;
        alone.high_watermark = alone.log_end_offset;
        return alone;
    }

    /// Has another of its replicas lead, once that has everything: some milliseconds without appends. To be called on the broker that leads.
    /// Errors    not_leader_or_follower, which says why: it does not lead, another hand-over is under way, or that one is no replica, does not follow, has
    ///           not caught up or has no room.
    void transfer_leadership(int to) const { raise(cluster().transfer(id(), to)); }

    /// An operator's word that replicas which do not answer are lost for good: this one leads by the votes of those that do, whatever the others had.
    /// What was acknowledged may be gone then, and replicas that come back cut what is not there; broker.health() of each says so.
    /// It goes on when a majority answers, with empty directories perhaps, and takes to be said again where it does not in one and a half times
    /// election_timeout. The cluster's own topics follow it, where they have no leader.
    /// Source    Kafka's unclean leader election, for one partition and once.
    void force_unclean_leader() const { cluster().force_unclean(id()); }

    /// How far a consumer with isolation_level read_committed gets: up to the first transaction that is not decided.
    offset last_stable_offset() const { return log().last_stable_offset(); }

    /// Everything below it survives the loss of power. The word durable is used for nothing less.
    offset durable_offset() const { return log().durable_offset(); }

    /// Offset of the first record with this timestamp or a later one; nullopt when there is none.
    /// Cost      the first look-up walks the segments that it meets, later ones only what is new.
    std::optional<offset> offset_for_time(timestamp time) const {
        failure why;
        const auto found = log().offset_for_time(time.time_since_epoch().count(), why);
        raise(why);
        return found;
    }

    /// Bytes of log that it has, from the log start offset's segment on.
    /// Cost      the first call reads the header of each segment that was sealed before the broker was opened. May wait for upkeep.
    [[nodiscard]] std::uint64_t size_bytes() const {
        failure why;
        const std::uint64_t found = log().size_bytes(why);
        raise(why);
        return found;
    }

    /// What its files take of the disk, as du(1) counts: with what is taken ahead, and a spare segment.
    /// Cost      a system call a file.
    [[nodiscard]] std::uint64_t disk_bytes() const {
        failure why;
        const std::uint64_t found = log().disk_bytes(why);
        raise(why);
        return found;
    }

    /// Waits until everything that can be read now is on the disk.
    /// Errors    partition_failed: a sync failed, and the partition takes no more writes until it is opened again.
    void sync() const { raise(log().sync()); }

    /// Seals the active segment and goes on in a new one.
    void roll() const { raise(log().roll()); }

    /// Lets go of the records in front of `before`: readers find nothing below it from then on, and the files that hold nothing
    /// else are removed. What is kept is synced first. Consumers go on with what they hold.
    ///
    /// Errors    offset_out_of_range: `before` is behind the log end offset; and what the disk said.
    /// Source    Kafka's DeleteRecords (KIP-107).
    void delete_records(offset before) const {
        if (log().options().is_replicated) {
            throw_error(errc::invalid_config, log().name().text() + ": it is replicated, and in this version records of it go by retention alone");
        }
        raise(log().delete_records(before));
    }

    /// What opening it found and did.
    [[nodiscard]] recovery_report recovery() const { return log().report(); }

    [[nodiscard]] bool operator==(const partition& other) const noexcept {
        return topic_.state() == other.topic_.state() && number_ == other.number_;
    }

    partition(engine::embedded_topic topic, std::int32_t number) : topic_{std::move(topic)}, number_{number} {
        static_cast<void>(topic_.log(number));  // throws where there is no such partition
    }

private:
    friend struct detail::access;

    [[nodiscard]] broker_room::partition_id id() const { return {topic_.state()->meta.id, number_}; }

    [[nodiscard]] broker_room::cluster& cluster() const {
        broker_room::cluster* const found = topic_.open_core()->cluster();
        if (found == nullptr) {
            throw_error(errc::invalid_config, log().name().text() + ": it is not replicated: its broker is alone");
        }
        return *found;
    }

    [[nodiscard]] storage::log& log() const {
        storage::log& log = topic_.log(number_);
        if (log.is_closed()) {
            log.refusal().raise();
        }
        return log;
    }

    static void raise(const failure& why) {
        if (why) {
            why.raise();
        }
    }

    engine::embedded_topic topic_;
    std::int32_t number_;
};

/// A topic of typed records: what producers and consumers are made from.
///
/// Threads   shared. A handle: copies mean the same topic.
/// Lifetime  may outlive its broker; then what is made from it throws closed; and unknown_topic_or_partition when it is deleted.
template <class Key, class Value, class Broker = broker>
class topic {
    static_assert(detail::check_key<Key>() && detail::check_readable<Value>());

public:
    using key_type = Key;
    using value_type = Value;
    using broker_type = Broker;

    [[nodiscard]] const std::string& name() const noexcept { return topic_.name(); }
    [[nodiscard]] std::int32_t partition_count() const noexcept { return topic_.partition_count(); }

    /// Errors    unknown_topic_or_partition.
    [[nodiscard]] brook::partition partition(std::int32_t number) const { return {topic_, number}; }

    [[nodiscard]] std::vector<brook::partition> partitions() const {
        std::vector<brook::partition> all;
        for (std::int32_t number = 0; number < partition_count(); ++number) {
            all.push_back(partition(number));
        }
        return all;
    }

    /// Bytes of log in all partitions; see partition::size_bytes.
    [[nodiscard]] std::uint64_t size_bytes() const {
        std::uint64_t all = 0;
        for (std::int32_t number = 0; number < partition_count(); ++number) {
            all += partition(number).size_bytes();
        }
        return all;
    }

    /// What the files of all partitions take of the disk; see partition::disk_bytes.
    [[nodiscard]] std::uint64_t disk_bytes() const {
        std::uint64_t all = 0;
        for (std::int32_t number = 0; number < partition_count(); ++number) {
            all += partition(number).disk_bytes();
        }
        return all;
    }

    explicit topic(typename detail::engine_t<Broker>::topic handle) noexcept : topic_{std::move(handle)} {}

private:
    friend struct detail::access;
    typename detail::engine_t<Broker>::topic topic_;
};

}  // namespace brook::inline BROOK_ABI
