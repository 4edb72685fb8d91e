/// \file brook/kafka/consumer_settings.hpp
/// What a consumer was told, in librdkafka's words.
/// Edge of floor 6, kafka.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <brook/broker/assignor.hpp>
#include <brook/client/consumer_options.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/topic.hpp>
#include <brook/os/posix.hpp>

namespace brook::inline BROOK_ABI::kafka {

using consumer_options = basic_consumer_options<partition>;

/// Errors    invalid_config.
inline void require_legal(const consumer_options& options, const std::string& what) {
    const char* const wrong = options.max_poll_records < 1 ? "max_poll_records is 1 or more"
                              : options.max_poll_interval.count() <= 0 || options.session_timeout.count() < 0
                                  ? "max_poll_interval is more than 0, session_timeout not less"
                              : !options.partition_assignment_strategy ? "partition_assignment_strategy is missing"
                              : !options.group_instance_id.empty() && options.group_id.empty() ? "group_instance_id needs a group_id"
                              : options.enable_auto_commit && options.group_id.empty() ? "enable_auto_commit needs a group_id to commit for"
                                                                                         : nullptr;
    if (wrong != nullptr) {
        throw_error(errc::invalid_config, "consumer of " + what + ": " + wrong);
    }
    const std::string_view assignor = options.partition_assignment_strategy->name();
    if (assignor != "cooperative-sticky" && assignor != "range" && assignor != "roundrobin") {
        throw_error(errc::invalid_config, "consumer of " + what + ": on a Kafka cluster partition_assignment_strategy is cooperative-sticky, range or roundrobin, not " +
                                              std::string{assignor});
    }
}

/// Those of a handle that reads.
[[nodiscard]] inline settings settings_of(const cluster& of, const consumer_options& options) {
    settings with{of};
    with.set("group.id", !options.group_id.empty() ? options.group_id : "brook-alone-" + std::to_string(os::posix().random()));
    with.set("enable.auto.commit", "false");
    with.set("enable.auto.offset.store", "false");
    with.set("enable.partition.eof", "true");
    with.set("allow.auto.create.topics", "false");
    with.set("topic.blacklist", "^__.*");
    with.set("auto.offset.reset", options.auto_offset_reset == offset_reset::earliest ? "earliest" : options.auto_offset_reset == offset_reset::latest ? "latest" : "error");
    with.set("isolation.level", options.isolation_level == isolation_level::read_committed ? "read_committed" : "read_uncommitted");
    with.set("check.crcs", options.check_crcs ? "true" : "false");
    with.set("partition.assignment.strategy", std::string{options.partition_assignment_strategy->name()});
    const int interval = milliseconds_of(options.max_poll_interval);
    const int session = options.session_timeout.count() == 0 ? 60'000 : milliseconds_of(options.session_timeout);
    with.set("max.poll.interval.ms", interval < 86'400'000 ? interval : 86'400'000);
    with.set("session.timeout.ms", session < interval ? session : interval);
    with.set("heartbeat.interval.ms", (session < interval ? session : interval) / 3 < 3'000 ? (session < interval ? session : interval) / 3 + 1 : 3'000);
    if (!options.group_instance_id.empty()) {
        with.set("group.instance.id", options.group_instance_id);
    }
    with.set(of.options.properties);
    with.set(of.options.consumer_properties);
    return with;
}

/// brook's patterns as librdkafka takes them: POSIX extended, from ^ on.
[[nodiscard]] inline std::string expression_of(std::string_view pattern) {
    std::string expression = "^";
    while (!pattern.empty()) {
        const std::size_t end = pattern.find('.');
        const std::string_view level = pattern.substr(0, end);
        if (level == "#") {
            if (expression == "^") {
                return "^.*$";
            }
            expression.resize(expression.size() - 2);  // "\.": none is enough
            return expression + "(\\..*)?$";
        }
        expression += level == "*" ? std::string_view{"[^.]*"} : level;
        if (end == std::string_view::npos) {
            break;
        }
        expression += "\\.";
        pattern.remove_prefix(end + 1);
    }
    return expression + '$';
}

}  // namespace brook::inline BROOK_ABI::kafka
