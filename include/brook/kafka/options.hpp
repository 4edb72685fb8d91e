/// \file brook/kafka/options.hpp
/// What the way to a cluster can be told.
/// Edge of floor 6, kafka.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// librdkafka's settings by their own names: `{{"security.protocol", "SASL_SSL"}, {"sasl.mechanism", "PLAIN"}}`. Its CONFIGURATION.md lists them.
using properties = std::vector<std::pair<std::string, std::string>>;

struct broker_options {
    /// For all connections: TLS, SASL, timeouts of sockets, whatever librdkafka has. They overrule what brook's own options say, but for a
    /// few, by which brook does what it promises (enable.auto.commit, enable.auto.offset.store, enable.partition.eof,
    /// allow.auto.create.topics, group.id, transactional.id, bootstrap.servers): those are refused.
    kafka::properties properties{};
    kafka::properties producer_properties{};  ///< the same, for producers and transactions alone
    kafka::properties consumer_properties{};  ///< the same, for consumers alone

    /// Longest wait for an answer of the cluster: to make, find or delete a topic, for offsets, commits, ends of transactions [default.api.timeout.ms].
    std::chrono::nanoseconds default_api_timeout = std::chrono::minutes{1};

    std::string client_id = "brook";  ///< shown in the cluster's logs and quotas [client.id]

    /// Told of what went wrong that no call was told of: connections lost, messages from librdkafka. On one of its threads, or in a
    /// consumer's poll. `broker.health()` keeps it too.
    callback<void(const failure&)> on_error{};

    /// librdkafka's log: level as syslog(3) has them, facility, text. Not given: nothing is written anywhere.
    callback<void(int, std::string_view, std::string_view)> on_log{};
};

}  // namespace brook::inline BROOK_ABI::kafka
