/// \file kafka/worlds.hpp
/// A broker for one test, of whichever engine: embedded, librdkafka's mock cluster, or a real one.
#pragma once

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <brook/kafka.hpp>

#include "support/temp_directory.hpp"

namespace brook::test {

/// librdkafka's own stand-in for a cluster, in this process: brokers on loopback, and errors to order. It makes no topics by the
/// protocol, has no markers of transactions, looks nothing up by time, and keeps no offsets of transactions. Its groups lose members
/// that join: see join_interval.
class mock_cluster {
public:
    explicit mock_cluster(int brokers = 1) {
        std::array<char, 512> text{};
        rd_kafka_conf_t* const conf = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(conf, nullptr);
        handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text.data(), text.size());
        if (handle_ == nullptr) {
            throw std::runtime_error{text.data()};
        }
        cluster_ = rd_kafka_mock_cluster_new(handle_, brokers);
    }
    mock_cluster(const mock_cluster&) = delete;
    mock_cluster& operator=(const mock_cluster&) = delete;
    ~mock_cluster() {
        rd_kafka_mock_cluster_destroy(cluster_);
        rd_kafka_destroy(handle_);
    }

    [[nodiscard]] std::string bootstrap_servers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
    [[nodiscard]] int port() const {
        const std::string servers = bootstrap_servers();
        return std::stoi(servers.substr(servers.rfind(':') + 1));
    }
    [[nodiscard]] rd_kafka_mock_cluster_t* get() const noexcept { return cluster_; }
    void make_topic(const std::string& name, std::int32_t partitions) { rd_kafka_mock_topic_create(cluster_, name.c_str(), partitions, 1); }

    /// The next requests of that kind are answered so. -1: by a connection that breaks.
    void fail(std::int16_t api, const std::vector<rd_kafka_resp_err_t>& with) {
        rd_kafka_mock_push_request_errors_array(cluster_, api, with.size(), with.data());
    }
    void set_up(bool is_up) {
        for (std::int32_t id = 1; id <= 1; ++id) {
            static_cast<void>(is_up ? rd_kafka_mock_broker_set_up(cluster_, id) : rd_kafka_mock_broker_set_down(cluster_, id));
        }
    }
    void answer_after(std::chrono::milliseconds time) { static_cast<void>(rd_kafka_mock_broker_set_rtt(cluster_, 1, static_cast<int>(time.count()))); }

private:
    rd_kafka_t* handle_ = nullptr;
    rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

/// The max_poll_interval of members of groups. A join waits at the mock cluster until others may have come: 3 s in an empty group, the
/// session_timeout less 1 s where a member has just left. If this process stands still meanwhile, till the session_timeout is over, the
/// mock puts the waiting member out, neither answers its join nor reads its connection again, and all that the member sees is silence.
/// librdkafka joins anew 3 s after max_poll_interval: by default in five minutes. A session_timeout that is not given is as long as this.
inline constexpr std::chrono::seconds join_interval{20};

inline constexpr std::int16_t produce_api = 0;
inline constexpr std::int16_t fetch_api = 1;
inline constexpr std::int16_t offset_commit_api = 8;
inline constexpr std::int16_t offset_fetch_api = 9;
inline constexpr std::int16_t find_coordinator_api = 10;
inline constexpr std::int16_t join_group_api = 11;
inline constexpr std::int16_t heartbeat_api = 12;
inline constexpr std::int16_t sync_group_api = 14;
inline constexpr std::int16_t init_producer_id_api = 22;
inline constexpr std::int16_t end_txn_api = 26;

class embedded_world {
public:
    static constexpr bool stamps_deliveries = false;
    using broker_type = brook::broker;

    [[nodiscard]] brook::broker& broker() noexcept { return broker_; }

    template <class Key, class Value>
    [[nodiscard]] auto topic(const std::string& name, std::int32_t partitions = 1) {
        return broker_.create_topic<Key, Value>(name, {.partitions = partitions});
    }

private:
    temp_directory directory_;
    brook::broker broker_{directory_ / "data"};
};

class mock_world {
public:
    static constexpr bool stamps_deliveries = true;  ///< it answers with times of its own
    using broker_type = brook::kafka::broker;

    explicit mock_world(brook::kafka::broker_options options = quick()) : broker_{cluster_.bootstrap_servers(), std::move(options)} {}

    [[nodiscard]] static brook::kafka::broker_options quick() {
        brook::kafka::broker_options options;
        options.default_api_timeout = std::chrono::seconds{10};
        options.properties = {{"reconnect.backoff.ms", "10"}, {"reconnect.backoff.max.ms", "100"}, {"topic.metadata.refresh.fast.interval.ms", "20"}};
        options.producer_properties = {{"retry.backoff.ms", "10"}};
        options.consumer_properties = {{"fetch.wait.max.ms", "50"}, {"fetch.error.backoff.ms", "10"}};
        return options;
    }

    [[nodiscard]] brook::kafka::broker& broker() noexcept { return broker_; }
    [[nodiscard]] mock_cluster& cluster() noexcept { return cluster_; }

    template <class Key, class Value>
    [[nodiscard]] auto topic(const std::string& name, std::int32_t partitions = 1) {
        cluster_.make_topic(name, partitions);
        return broker_.create_topic<Key, Value>(name, {.partitions = partitions});
    }

private:
    mock_cluster cluster_;
    brook::kafka::broker broker_;
};

/// How long a loop waits for something new before it fails with a text. More than a join that has to be made anew.
class patience {
public:
    void renew() { end_ = std::chrono::steady_clock::now() + longest; }

    /// `missing` gives what has not come.
    template <class Missing>
    void require_left(const Missing& missing) const {
        if (std::chrono::steady_clock::now() >= end_) {
            throw std::runtime_error{"nothing new in " + std::to_string(longest.count()) + " s: " + missing()};
        }
    }

private:
    static constexpr std::chrono::seconds longest{60};
    std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::now() + longest;
};

/// Polls once more, and hands over what came.
template <class Consumer, class Take>
void poll_patiently(Consumer& consumer, patience& left, std::size_t& count, const Take& take) {
    auto records = consumer.poll(std::chrono::milliseconds{100});
    for (const auto& record : records) {
        take(record);
        ++count;
        left.renew();
    }
    left.require_left([&] {
        return std::to_string(count) + " records have come, the consumer has " + std::to_string(consumer.assignment().size()) + " partitions, and is not at their ends";
    });
}

/// Everything that a consumer finds until it has caught up.
template <class Consumer, class Take>
void take_to_end(Consumer& consumer, const Take& take) {
    patience left;
    std::size_t count = 0;
    do {
        poll_patiently(consumer, left, count, take);
    } while (!consumer.caught_up());
}

/// Until `is_enough`.
template <class Consumer, class Take, class Enough>
void take_until(Consumer& consumer, const Take& take, const Enough& is_enough) {
    patience left;
    std::size_t count = 0;
    while (!is_enough()) {
        poll_patiently(consumer, left, count, take);
    }
}

/// What a consumer was given.
struct seen_record {
    std::int32_t partition = 0;
    brook::offset offset = 0;
    std::string key;
    std::string value;
    bool has_key = false;
    bool is_tombstone = false;
    std::int64_t time_ms = 0;
    std::vector<std::pair<std::string, std::string>> headers;  ///< a null value is "(null)"

    bool operator==(const seen_record&) const = default;
};

template <class Record>
[[nodiscard]] seen_record seen(const Record& record) {
    seen_record one;
    one.partition = record.partition();
    one.offset = record.offset();
    one.key = std::string{brook::as_text(record.key_bytes())};
    one.value = std::string{brook::as_text(record.value_bytes())};
    one.has_key = record.has_key();
    one.is_tombstone = record.is_tombstone();
    one.time_ms = std::chrono::floor<std::chrono::milliseconds>(record.timestamp().time_since_epoch()).count();
    for (const auto& header : record.headers()) {
        one.headers.emplace_back(header.name, header.value ? std::string{brook::as_text(*header.value)} : "(null)");
    }
    return one;
}

/// All that comes until it has caught up, by partition and offset.
template <class Consumer>
[[nodiscard]] std::vector<seen_record> read_to_end(Consumer& consumer) {
    std::map<std::pair<std::int32_t, brook::offset>, seen_record> all;
    take_to_end(consumer, [&](const auto& record) {
        const seen_record one = seen(record);
        if (!all.emplace(std::pair{one.partition, one.offset}, one).second) {
            throw std::runtime_error{"a record was given twice"};
        }
    });
    std::vector<seen_record> in_order;
    for (auto& [place, one] : all) {
        in_order.push_back(std::move(one));
    }
    return in_order;
}

}  // namespace brook::test
