/// \file kafka/network_cut.hpp
/// Records sent and read through a network that is cut several times, and what became of each.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/kafka.hpp>

#include "kafka/tcp_proxy.hpp"
#include "kafka/worlds.hpp"
#include "support/catch.hpp"

namespace brook::test {

struct after_cuts {
    std::size_t sent = 0;
    std::size_t told = 0;  ///< by on_delivery
    std::size_t acknowledged = 0;
    std::size_t failed = 0;
    std::size_t unknown = 0;
    std::size_t lost = 0;               ///< acknowledged, and not there
    std::size_t there_though_failed = 0;
    std::size_t twice = 0;              ///< there more than once
    std::size_t read_twice = 0;         ///< one place in the topic, given by polls more than once
};

/// Cuts the network three times, while one thread sends and this one reads; both go through `proxy`.
[[nodiscard]] inline after_cuts send_and_read_through_cuts(tcp_proxy& proxy, const brook::topic<brook::no_key, std::int64_t, brook::kafka::broker>& topic,
                                                           std::chrono::milliseconds outage, std::chrono::milliseconds delivery_timeout) {
    constexpr std::size_t window = 100;
    constexpr std::size_t between_cuts = 500;
    std::atomic<std::size_t> told{0};
    std::atomic<std::size_t> acknowledged{0};
    std::atomic<bool> is_enough{false};
    std::vector<std::error_code> outcomes;  // of each record, by its value
    std::thread sends{[&] {
        brook::producer producer{topic, {.linger = std::chrono::milliseconds{1}, .delivery_timeout = delivery_timeout, .on_delivery = [&](const brook::record_metadata&, std::error_code why) {
                                             ++told;
                                             acknowledged += why ? 0 : 1;
                                         }}};
        std::vector<brook::delivery> all;
        const auto ask = [&] {
            std::error_code why;
            static_cast<void>(all[outcomes.size()].get(why));
            outcomes.push_back(why);
        };
        while (!is_enough) {
            all.push_back(producer.send(static_cast<std::int64_t>(all.size())));
            if (all.size() > window) {
                ask();
            }
        }
        while (outcomes.size() < all.size()) {
            ask();
        }
        producer.close();  // none is left to be told of
    }};
    const struct ender {
        std::atomic<bool>& is_enough;
        std::thread& thread;
        ~ender() {
            is_enough = true;
            if (thread.joinable()) {
                thread.join();
            }
        }
    } end{is_enough, sends};

    after_cuts counts;
    std::map<std::int64_t, int> found;
    std::set<std::pair<std::int32_t, brook::offset>> places;
    brook::consumer consumer{topic};
    const auto read_some = [&] {
        auto records = consumer.poll(std::chrono::milliseconds{10});
        for (const auto& record : records) {
            ++found[record.value()];
            counts.read_twice += places.emplace(record.partition(), record.offset()).second ? 0 : 1;
        }
    };
    const auto read_until_more_are_acknowledged = [&] {
        const std::size_t wanted = acknowledged + between_cuts;
        for (const patience left; acknowledged < wanted;) {
            read_some();
            left.require_left([&] { return std::to_string(acknowledged) + " records are acknowledged, of " + std::to_string(told) + " that something is known of"; });
        }
    };
    for (int cuts = 0; cuts < 3; ++cuts) {
        read_until_more_are_acknowledged();
        CHECK(proxy.cut() >= 1);  // the producer's connection; the consumer may not have come back yet
        const auto mended_at = std::chrono::steady_clock::now() + outage;
        while (std::chrono::steady_clock::now() < mended_at) {
            read_some();
        }
        proxy.mend();
    }
    read_until_more_are_acknowledged();
    is_enough = true;
    sends.join();
    patience left;
    std::size_t before = found.size();
    do {
        read_some();
        if (std::exchange(before, found.size()) != found.size()) {
            left.renew();
        }
        left.require_left([&] { return std::to_string(found.size()) + " records were read, and the end is not reached"; });
    } while (!consumer.caught_up());

    counts.sent = outcomes.size();
    counts.told = told;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
        const bool is_there = found.count(static_cast<std::int64_t>(i)) != 0;
        if (!outcomes[i]) {
            ++counts.acknowledged;
            counts.lost += is_there ? 0 : 1;
        } else if (outcomes[i] == brook::errc::timed_out) {
            ++counts.unknown;
        } else {
            ++counts.failed;
            counts.there_though_failed += is_there ? 1 : 0;
        }
    }
    for (const auto& [value, often] : found) {
        counts.twice += often > 1 ? 1 : 0;
    }
    std::printf("network cut three times under load, delivery_timeout %lld ms: %zu acknowledged, %zu failed, %zu unknown; %zu lost, %zu there though failed, %zu twice\n",
                static_cast<long long>(delivery_timeout.count()), counts.acknowledged, counts.failed, counts.unknown, counts.lost, counts.there_though_failed, counts.twice);
    CHECK(counts.told == counts.sent);
    CHECK(counts.acknowledged == acknowledged);
    CHECK(counts.lost == 0);
    CHECK(counts.there_though_failed == 0);
    CHECK(counts.read_twice == 0);
    return counts;
}

}  // namespace brook::test
