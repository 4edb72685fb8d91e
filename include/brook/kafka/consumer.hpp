/// \file brook/kafka/consumer.hpp
/// Reads typed records from a cluster's topics, alone or as a member of a group.
/// Edge of floor 6, kafka.
#pragma once

#include <chrono>
#include <concepts>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <brook/client/consumer.hpp>
#include <brook/client/topic_pattern.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/reader.hpp>
#include <brook/kafka/records.hpp>
#include <brook/kafka/topic.hpp>

namespace brook::inline BROOK_ABI {

/// Reads the partitions of a cluster's topics of one type: as the embedded one does, but for what brook/kafka.hpp lists.
///
/// Threads   confined, but for `wakeup`.
/// Lifetime  leaves its group when it dies, without a commit. Records outlive it, and keep librdkafka's handle.
template <class Key, class Value>
class consumer<Key, Value, kafka::broker> {
    static_assert(detail::check_key<Key>() && detail::check_readable<Value>());

    using topic_type = topic<Key, Value, kafka::broker>;
    using partition = kafka::partition;
    using options_type = kafka::consumer_options;

public:
    /// Errors    invalid_config, closed.
    explicit consumer(const topic_type& from, options_type options = {}) : consumer{std::span{&from, 1}, std::move(options)} {}
    consumer(std::initializer_list<topic_type> from, options_type options = {}) : consumer{std::span{from.begin(), from.size()}, std::move(options)} {}
    explicit consumer(std::span<const topic_type> from, options_type options = {}) {
        require_some(from);
        make(detail::access::engine(from.front())->cluster, std::move(options));
        subscribe(from);
    }

    /// The same with options that were written for the embedded broker, without a rebalance_listener: its partitions are others.
    /// Errors    invalid_config also for a listener.
    template <std::same_as<brook::consumer_options> Options>
    consumer(const topic_type& from, const Options& options) : consumer{from, translated(options)} {}

    /// Reads the topics of this cluster that match, now and later. Without a group_id in a group of its own, which is nowhere remembered.
    /// Errors    invalid_config, closed.
    template <std::same_as<kafka::broker> Broker>
    consumer(const Broker& broker, topic_pattern from, options_type options = {}) {
        make(detail::access::core(broker), std::move(options));
        subscribe(std::move(from));
    }

    // ---- what to read ----

    /// Reads all partitions of these topics of one cluster, from the next poll on, in place of what it read before.
    /// Errors    closed; invalid_config for none, or for topics of two clusters.
    void subscribe(const topic_type& from) { subscribe(std::span{&from, 1}); }
    void subscribe(std::initializer_list<topic_type> from) { subscribe(std::span{from.begin(), from.size()}); }
    void subscribe(std::span<const topic_type> from) {
        require_some(from);
        std::vector<std::shared_ptr<const kafka::topic_state>> topics;
        for (const auto& one : from) {
            topics.push_back(detail::access::engine(one));
            if (topics.back()->cluster != reader_->cluster()) {
                throw_error(errc::invalid_config, "consumer of topic '" + one.name() + "': its topics are of two clusters");
            }
        }
        reader_->subscribe(std::move(topics));
    }

    /// Reads all topics of its cluster that match, now and later; there may be none as yet.
    void subscribe(topic_pattern from) { reader_->subscribe(from); }

    /// Reads these partitions alone, whoever else does: a consumer that is assigned to is no member of its group.
    /// Errors    schema_mismatch; invalid_config for a partition of another broker, also of the same cluster.
    void assign(std::span<const partition> chosen) {
        std::vector<partition> wanted;
        for (const auto& one : chosen) {
            if (one.state()->cluster != reader_->cluster()) {
                throw_error(errc::invalid_config, "topic '" + one.topic() + "': this handle is another broker's");
            }
            one.state()->cluster->of()->require_types(one.topic(), detail::schema_of<Key>(), detail::schema_of<Value>());
            bool is_there = false;  // named twice is read once
            for (const auto& other : wanted) {
                is_there = is_there || other == one;
            }
            if (!is_there) {
                wanted.push_back(one);
            }
        }
        reader_->assign(std::move(wanted));
    }
    void assign(std::initializer_list<partition> chosen) { assign(std::span{chosen.begin(), chosen.size()}); }

    /// What it reads now. Of a group's member: empty before its first poll, and each poll may change it.
    [[nodiscard]] std::vector<partition> assignment() const { return reader_->assignment(); }

    // ---- reading ----

    /// Waits until there are records, or `wakeup`; gives up to max_poll_records of them. Where the cluster cannot be reached it goes on trying,
    /// and broker.health() says so.
    ///
    /// Errors    thrown, once everything before it has been given: unknown_topic_or_partition; offset_out_of_range with auto_offset_reset none;
    ///           corrupt_record; authentication_failed; fenced_instance_id; inconsistent_group_protocol; closed; what its rebalance_listener throws.
    [[nodiscard]] records<Key, Value, kafka::broker> poll() { return records<Key, Value, kafka::broker>{reader_->poll(std::nullopt)}; }

    /// The same, for at most this long; 0 looks once. An empty batch is not the end: `caught_up` is.
    template <class Rep, class Period>
    [[nodiscard]] records<Key, Value, kafka::broker> poll(std::chrono::duration<Rep, Period> longest) {
        return records<Key, Value, kafka::broker>{reader_->poll(saturated(longest))};
    }

    /// True when it has been assigned partitions, and everything readable of them has been handed out.
    /// Cost      where polls have seen the ends, a round trip: more may have come since.
    [[nodiscard]] bool caught_up() { return reader_->caught_up(); }

    /// Makes a poll that waits, or the next one, return at once. Any thread may call it; remembered until a poll sees it.
    void wakeup() noexcept { reader_->wakeup(); }

    /// Polls give none of its records, until `resume`. Its position stays.
    void pause(const partition& which) { reader_->pause(which); }
    void resume(const partition& which) { reader_->resume(which); }

    // ---- where ----

    /// Offset of the next record that a poll will give.
    /// Errors    no_offset before the first poll, unless it was sought; unknown_topic_or_partition when not assigned.
    [[nodiscard]] offset position(const partition& which) { return reader_->position(which); }

    /// Goes to an offset. One that the partition does not have goes by auto_offset_reset.
    void seek(const partition& which, offset wanted) { reader_->seek(which, wanted); }
    void seek_to_beginning() { reader_->seek_all(kafka::administration::at_beginning); }
    void seek_to_end() { reader_->seek_all(kafka::administration::at_end); }

    /// In each partition to the first record at or after this time, to the millisecond, or to the end where there is none.
    void seek_to_time(timestamp time) {
        const std::int64_t wanted = kafka::milliseconds_of(time);
        reader_->seek_all(wanted < 0 ? 0 : wanted);
    }

    // ---- committing ----

    /// Commits, for its group, everything that polls have given so far. Where members are sharing out anew, it waits until the others have come.
    /// Errors    illegal_state without a group; illegal_generation when the group has put it out, or takes longer than default_api_timeout to share out;
    ///           coordinator_not_available; timed_out, when the cluster does not answer in default_api_timeout; closed.
    void commit() { reader_->commit(); }

    /// Commits one partition's position: the offset of the last record done plus one.
    /// Errors    as commit(), and unknown_topic_or_partition, offset_out_of_range, offset_metadata_too_large.
    void commit(const partition& which, offset next, std::string metadata = {}) { reader_->commit(which, next, metadata); }

    /// Goes back, in each partition that it reads, to where its group has committed, else by auto_offset_reset.
    void seek_to_committed() { reader_->seek_to_committed(); }

    /// What its group has committed for a partition; nullopt when nothing.
    [[nodiscard]] std::optional<offset> committed(const partition& which) const {
        const auto found = reader_->committed(which);
        return found ? std::optional{found->first} : std::nullopt;
    }

    /// What was given to that commit besides; empty when nothing.
    [[nodiscard]] std::string committed_metadata(const partition& which) const {
        const auto found = reader_->committed(which);
        return found ? found->second : std::string{};
    }

    /// Used by kafka::transaction::commit_offsets.
    [[nodiscard]] kafka::reader& untyped() noexcept { return *reader_; }

private:
    void make(std::shared_ptr<kafka::administration> cluster, options_type options) {
        reader_ = std::make_unique<kafka::reader>(std::move(cluster), std::move(options));
        reader_->require_legal();
    }

    static void require_some(std::span<const topic_type> from) {
        if (from.empty()) {
            throw_error(errc::invalid_config, "a consumer reads one topic or more; name them, or give a pattern");
        }
    }

    [[nodiscard]] static options_type translated(const brook::consumer_options& from) {
        const auto& listener = from.rebalance_listener;
        if (listener.on_partitions_assigned || listener.on_partitions_revoked || listener.on_partitions_lost) {
            throw_error(errc::invalid_config, "a consumer of a Kafka cluster has a listener of its own partitions: brook::kafka::consumer_options");
        }
        options_type to;
        to.group_id = from.group_id;
        to.group_instance_id = from.group_instance_id;
        to.max_poll_interval = from.max_poll_interval;
        to.session_timeout = from.session_timeout;
        to.partition_assignment_strategy = from.partition_assignment_strategy;
        to.auto_offset_reset = from.auto_offset_reset;
        to.isolation_level = from.isolation_level;
        to.max_poll_records = from.max_poll_records;
        to.enable_auto_commit = from.enable_auto_commit;
        to.check_crcs = from.check_crcs;
        return to;
    }

    template <class Rep, class Period>
    [[nodiscard]] static std::chrono::nanoseconds saturated(std::chrono::duration<Rep, Period> longest) {
        constexpr auto most = std::chrono::nanoseconds::max();
        if (longest <= longest.zero()) {
            return std::chrono::nanoseconds{0};
        }
        return std::chrono::duration<double>{longest} >= std::chrono::duration<double>{most} ? most : std::chrono::ceil<std::chrono::nanoseconds>(longest);
    }

    std::unique_ptr<kafka::reader> reader_;  // librdkafka's callbacks have its address
};

/// Options in a variable; those in braces are the cluster's own anyway.
template <class Key, class Value, std::same_as<consumer_options> Options>
consumer(const topic<Key, Value, kafka::broker>&, const Options&) -> consumer<Key, Value, kafka::broker>;

}  // namespace brook::inline BROOK_ABI
