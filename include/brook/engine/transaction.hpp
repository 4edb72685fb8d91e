/// \file brook/engine/transaction.hpp
/// A transaction's untyped half: records gathered per partition, appended at the end, made to count by one record.
/// Floor 5, engine. Source: Kafka's TransactionManager (KIP-98).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/transaction_coordinator.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/batch_body.hpp>
#include <brook/engine/batch_compression.hpp>
#include <brook/engine/embedded.hpp>
#include <brook/engine/pending.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::engine {

/// Keeps what is sent in memory until it is committed, so that readers wait for nobody and an abort leaves nothing. Of a
/// partition that gets more than `most_kept` bytes the first part is appended before: then readers wait in front of it.
///
/// Threads   confined.
/// Lifetime  may outlive its broker, and then ends without a trace.
class embedded_transaction {
public:
    static constexpr std::size_t most_kept = std::size_t{mib};

    embedded_transaction(const std::shared_ptr<broker_room::core>& core, std::string_view transactional_id, std::chrono::nanoseconds timeout,
                         compression type = compression::none, const std::optional<int>& level = std::nullopt)
        : core_{core}, compression_type_{type}, compression_level_{level}, handle_{begin(*core, transactional_id, timeout, type, level)} {}

    embedded_transaction(const embedded_transaction&) = delete;
    embedded_transaction& operator=(const embedded_transaction&) = delete;
    ~embedded_transaction() { abort(); }

    [[nodiscard]] const std::string& transactional_id() const noexcept { return handle_->transactional_id(); }

    /// Errors    unknown_topic_or_partition, also for a topic that was deleted: the transaction is open as before. What was sent to it
    ///           before its deletion has gone with it.
    template <class WriteKey, class WriteValue>
    void send(const embedded_topic& topic, std::int32_t partition, const format::record_sizes& sizes, const std::optional<std::int64_t>& given,
              const WriteKey& write_key, const WriteValue& write_value, bytes headers) {
        require_open();
        topic.state()->require_there();
        topic_lanes& there = lanes_of(topic);
        lane& to = lane_of(there, partition);
        const std::uint64_t size = format::entry_bytes(sizes);
        if (batch_body::frame_bytes_of(size) > to.log->largest_frame()) {
            throw_error(errc::record_too_large, to.log->name().text() + ": " + std::to_string(size) + " bytes, and a segment holds " +
                                                    std::to_string(to.log->largest_frame()) + " with their frame; raise the topic's segment_bytes or send less at once");
        }
        const std::optional<std::int64_t> not_given;
        const auto& timestamp = to.log->options().is_append_time ? not_given : given;  // else the log's own time counts
        if (!to.body.empty() && (to.body.record_bytes() + size > most_kept || to.body.frame_bytes_with(size) > to.log->largest_frame() ||
                                 to.body.count() == batch_body::most_records || !to.body.spans(timestamp))) {
            append_or_abort(there, to);
        }
        to.body.add(sizes, timestamp, write_key, write_value, headers, [&] { return topic.platform().now().time_since_epoch().count(); });
    }

    /// The broker that it is of, while that lives.
    [[nodiscard]] std::shared_ptr<broker_room::core> core() const noexcept { return core_.lock(); }

    /// In place of what it was to commit for these partitions before.
    void commit_offsets(broker_room::group_commit commit) {
        require_open();
        for (auto& known : commits_) {
            if (known.group == commit.group && known.member == commit.member) {
                merge(known.positions, std::move(commit.positions));
                return;
            }
        }
        commits_.push_back(std::move(commit));
    }

    void set_state(std::string state) {
        require_open();
        state_ = std::move(state);
    }

    /// Errors    thrown; it has ended, as the coordinator says.
    void commit() {
        require_open();
        const auto core = open_core();
        for (topic_lanes& topic : topics_) {
            for (lane& one : topic.lanes) {
                if (!one.body.empty()) {
                    append_or_abort(topic, one);
                }
            }
        }
        is_over_ = true;
        if (const failure why = core->transactions().commit(handle_, core->groups_here(), commits_, state_)) {
            why.raise();
        }
    }

    void abort() noexcept {
        if (!is_over_) {
            is_over_ = true;
            if (const auto core = core_.lock()) {
                core->abort(*handle_);
            }
        }
    }

private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    struct lane {
        storage::log* log = nullptr;
        std::int32_t partition = 0;
        std::size_t part = none;      // the coordinator's; none: nothing has been appended
        std::int64_t sequence = 0;    // of the next record to be appended
        batch_body body;
    };
    struct topic_lanes {
        embedded_topic topic;
        batch_compression compression;
        std::vector<lane> lanes;  // of partitions that it has sent to
    };

    [[nodiscard]] static broker_room::transaction_handle begin(broker_room::core& core, std::string_view id, std::chrono::nanoseconds timeout, compression type,
                                                               const std::optional<int>& level) {
        static_cast<void>(batch_compression::choose({}, type, level, name_of(id)));  // refused before it fences anybody
        return core.transactions().begin(id, timeout);
    }

    [[nodiscard]] static std::string name_of(std::string_view id) { return "transaction '" + std::string{id} + '\''; }

    static void merge(std::vector<broker_room::committed_position>& known, std::vector<broker_room::committed_position> later) {
        for (auto& position : later) {
            std::size_t i = 0;
            while (i < known.size() && !(known[i].topic == position.topic && known[i].partition == position.partition)) {
                ++i;
            }
            if (i == known.size()) {
                known.push_back(std::move(position));
            } else {
                known[i] = std::move(position);
            }
        }
    }

    void require_open() const {
        if (is_over_) {
            throw_error(errc::illegal_state, "transaction '" + transactional_id() + "': it has been committed or aborted; begin another");
        }
    }

    /// Errors    closed, forked.
    [[nodiscard]] std::shared_ptr<broker_room::core> open_core() const {
        auto core = core_.lock();
        if (!core || core->is_closed()) {
            throw_error(errc::closed, "transaction '" + transactional_id() + "': its broker is closed, and it is aborted");
        }
        core->require_open();
        return core;
    }

    /// Errors    unknown_topic_or_partition.
    [[nodiscard]] static lane& lane_of(topic_lanes& in, std::int32_t partition) {
        for (lane& one : in.lanes) {
            if (one.partition == partition) {
                return one;
            }
        }
        lane made;
        made.log = &in.topic.log(partition);
        made.partition = partition;
        in.lanes.push_back(std::move(made));
        return in.lanes.back();
    }

    /// Errors    illegal_state for a topic of another broker; unsupported_compression_type.
    [[nodiscard]] topic_lanes& lanes_of(const embedded_topic& topic) {
        for (topic_lanes& known : topics_) {
            if (known.topic.state() == topic.state()) {
                return known;
            }
        }
        if (topic.core() != core_.lock()) {
            throw_error(errc::illegal_state, "transaction '" + transactional_id() + "': topic '" + topic.name() + "' is another broker's, or its broker is closed");
        }
        topics_.push_back({topic,
                           batch_compression::choose(topic.state()->meta.compression_type, compression_type_, compression_level_,
                                                     name_of(transactional_id()) + ", topic '" + topic.name() + '\''),
                           {}});
        return topics_.back();
    }

    void append_or_abort(const topic_lanes& topic, lane& from) {
        if (const failure why = append(topic, from)) {
            if (why.code == errc::unknown_topic_or_partition) {  // deleted: as if it had been appended before
                static_cast<void>(from.body.clear());
                return;
            }
            abort();
            why.raise();
        }
    }

    [[nodiscard]] failure append(const topic_lanes& topic, lane& from) {
        const auto core = open_core();
        broker_room::transaction_coordinator& coordinator = core->transactions();
        if (from.part == none) {
            if (failure why = coordinator.join(*handle_, topic.topic.state(), from.partition, from.part)) {
                return why;
            }
        } else if (failure why = coordinator.check(*handle_)) {
            return why;
        }
        from.body.finish();
        appended done;
        failure why;
        std::uint64_t checksum = 0;
        const std::uint32_t count = from.body.count();
        const batch_origin origin{handle_->stamp(from.sequence), true, &checksum};
        const packed_body packed{from.body, topic.compression};
        if (!embedded_topic::append_batch(*from.log, packed.size(), count, from.body.extension(), from.body.base_timestamp(),
                                          [&](std::byte* to) { packed.write_to(to); }, done, why, &origin, packed.codec())) {
            return why;
        }
        coordinator.note_end(*handle_, from.part, done.at + count, checksum);
        from.sequence += count;
        static_cast<void>(from.body.clear());
        return {};
    }

    std::weak_ptr<broker_room::core> core_;
    compression compression_type_;
    std::optional<int> compression_level_;
    broker_room::transaction_handle handle_;
    std::vector<topic_lanes> topics_;
    std::vector<broker_room::group_commit> commits_;
    std::optional<std::string> state_;
    bool is_over_ = false;
};

}  // namespace brook::inline BROOK_ABI::engine
