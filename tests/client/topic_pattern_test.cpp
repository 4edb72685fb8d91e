#include <brook/client/topic_pattern.hpp>

#include <string>
#include <string_view>
#include <tuple>

#include "broker/outcome.hpp"
#include "support/catch.hpp"

namespace client_topic_pattern_test {

using brook::errc;
using brook::topic_pattern;
using brook::test::outcome_of;

TEST_CASE("a pattern matches topics level by level", "[client][topic_pattern]") {
    const auto [pattern, topic, is_match] = GENERATE(Catch::Generators::table<const char*, const char*, bool>({
        {"orders", "orders", true},  // without wildcards: that one, which may not be there yet
        {"orders", "order", false},
        {"orders", "orders.eu", false},
        {"orders.eu", "orders", false},
        {"sensors.*.temperature", "sensors.attic.temperature", true},
        {"sensors.*.temperature", "sensors..temperature", true},  // an empty level is one
        {"sensors.*.temperature", "sensors.temperature", false},
        {"sensors.*.temperature", "sensors.attic.north.temperature", false},
        {"sensors.*.temperature", "sensors.attic.humidity", false},
        {"sensors.*.temperature", "sensors.attic.temperature.raw", false},
        {"*", "orders", true},
        {"*", "orders.eu", false},
        {"*.*", "orders.eu", true},
        {"*.*", "orders", false},
        {"*.*", "orders.eu.north", false},
        {"sensors.*", "sensors", false},  // MQTT: sport/+ is sport/, and not sport
        {"sensors.*", "sensors.", true},
        {"sensors.#", "sensors", true},  // MQTT: sport/# is sport, too
        {"sensors.#", "sensors.", true},
        {"sensors.#", "sensors.attic", true},
        {"sensors.#", "sensors.attic.temperature", true},
        {"sensors.#", "sensorsattic", false},
        {"sensors.#", "actors.attic", false},
        {"*.attic.#", "sensors.attic", true},
        {"*.attic.#", "sensors.attic.temperature", true},
        {"*.attic.#", "sensors.cellar", false},
        {"*.#", "orders", true},
        {"*.#", "orders.eu", true},
        {"#", "orders", true},
        {"#", "orders.eu.north", true},
        {"a..b", "a..b", true},
        {"a..b", "a.b", false},
        {"#", "__consumer_offsets", false},
        {"*", "__consumer_offsets", false},
        {"#", "_orders", true},
        {"orders.*", "orders.__eu", true},  // names that begin with it
    }));
    CAPTURE(pattern, topic);
    CHECK(topic_pattern{pattern}.matches(topic) == is_match);
}

TEST_CASE("a pattern that is none is refused, and why is told", "[client][topic_pattern]") {
    const auto [pattern, why] = GENERATE(Catch::Generators::table<const char*, const char*>({
        {"", "empty"},
        {"sensors.#.temperature", "stands last"},
        {"#.sensors", "stands last"},
        {"sensors#", "stand for whole levels"},
        {"sensors.at*", "stand for whole levels"},
        {"**", "stand for whole levels"},
        {"sensors.*x", "stand for whole levels"},
        {"sensors/attic", "characters"},
        {"sensors.+", "characters"},
        {"__consumer_offsets", "the broker's own"},
        {"__.#", "the broker's own"},
    }));
    CAPTURE(pattern);
    const auto refused = outcome_of([&, text = std::string_view{pattern}] { topic_pattern{text}; });
    CHECK(refused.code == errc::invalid_topic);
    CHECK(refused.names(why));
    CHECK(refused.names(std::string{"'"} + pattern + '\''));
}

}  // namespace client_topic_pattern_test
