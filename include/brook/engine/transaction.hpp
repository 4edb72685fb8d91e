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
    void commit_offsets(broker_room::group_commit commit);

    void set_state(std::string state);

    /// Errors    thrown; it has ended, as the coordinator says.
    void commit();

    void abort() noexcept;

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
                                                               const std::optional<int>& level);

    [[nodiscard]] static std::string name_of(std::string_view id) { return "transaction '" + std::string{id} + '\''; }

    static void merge(std::vector<broker_room::committed_position>& known, std::vector<broker_room::committed_position> later);

    void require_open() const;

    /// Errors    closed, forked.
    [[nodiscard]] std::shared_ptr<broker_room::core> open_core() const;

    /// Errors    unknown_topic_or_partition.
    [[nodiscard]] static lane& lane_of(topic_lanes& in, std::int32_t partition);

    /// Errors    illegal_state for a topic of another broker; unsupported_compression_type.
    [[nodiscard]] topic_lanes& lanes_of(const embedded_topic& topic);

    void append_or_abort(const topic_lanes& topic, lane& from);

    [[nodiscard]] failure append(const topic_lanes& topic, lane& from);

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

#if !BROOK_SEPARATE_COMPILATION
#include <brook/engine/bodies/transaction.hpp>
#endif
