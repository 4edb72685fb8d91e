/// \file broker/three_brokers.hpp
/// A simulated cluster of three with a topic `orders`, and what tests do with it again and again.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include "support/catch.hpp"
#include "support/simulated_cluster.hpp"

namespace brook::test {

/// Three brokers that have begun.
struct three_brokers {
    using test_topic = topic<std::uint64_t, std::string>;

    three_brokers() {
        for (int id = 1; id <= 3; ++id) {
            world.start(id);
        }
    }
    three_brokers(const three_brokers&) = delete;
    three_brokers& operator=(const three_brokers&) = delete;
    ~three_brokers() { CHECK(world.violations() == std::vector<std::string>{}); }

    test_topic make(const topic_options& options, int by = 1) { return world.broker(by).create_topic<std::uint64_t, std::string>("orders", options); }
    test_topic orders(int on) { return world.broker(on).topic<std::uint64_t, std::string>("orders"); }

    /// The topic, made and led, with one record that all have; which broker leads it.
    int make_and_lead(const topic_options& options) {
        static_cast<void>(make(options));
        send(1, 1);
        world.run_for(std::chrono::seconds{2});
        return leader();
    }

    /// Who leads it, as that broker knows; -1: nobody.
    int leader(int as_of = 1) { return orders(as_of).partition(0).leader(); }

    /// Which broker coordinates groups, once one does.
    int coordinator() {
        int found = 0;
        CHECK(world.run_until([&] {
            for (int id = 1; id <= 3; ++id) {
                found = world.core(id).cluster()->coordinates() ? id : found;
            }
            return found != 0;
        }, std::chrono::seconds{5}));
        return found;
    }

    /// Where the record is; -1 and the code where it is nowhere.
    offset send(int through, std::uint64_t key, std::error_code& code, std::chrono::nanoseconds timeout = std::chrono::seconds{10}, acks when = acks::all) {
        producer<std::uint64_t, std::string> to{orders(through), {.acks = when, .delivery_timeout = timeout}};
        return to.send(key, "value").get(code).offset;
    }
    offset send(int through, std::uint64_t key) {
        std::error_code code;
        const offset at = send(through, key, code);
        CHECK(code.message() == "Success");
        return at;
    }

    std::vector<std::uint64_t> read(int on) {
        std::vector<std::uint64_t> keys;
        consumer from{orders(on)};
        for (;;) {
            const auto found = from.poll(std::chrono::nanoseconds{0});
            if (found.empty()) {
                return keys;
            }
            for (const auto& record : found) {
                keys.push_back(record.key());
            }
        }
    }

    /// One poll of a member that has nothing to read.
    bool orders_consumer_poll(int on) {
        consumer<std::uint64_t, std::string> member{world.broker(on), topic_pattern{"#"}, {.group_id = "workers"}};
        return member.poll(std::chrono::nanoseconds{0}).empty();
    }

    bool has_told(int id, const std::string& what) { return tellings(id, what) > 0; }
    std::size_t tellings(int id, const std::string& what) {
        const auto health = world.broker(id).health();
        return static_cast<std::size_t>(std::count_if(health.errors.begin(), health.errors.end(), [&](const failure& why) { return why.text.find(what) != std::string::npos; }));
    }

    simulated_cluster world{{.seed = 5, .nodes = 3}};
};

}  // namespace brook::test
