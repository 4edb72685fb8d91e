#include <brook/client/broker.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/client/consumer.hpp>
#include <brook/client/producer.hpp>

#include "broker/child.hpp"
#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace client_broker_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::in_child;
using brook::test::operation;
using brook::test::outcome_of;
using brook::test::read_numbers;
using brook::test::temp_directory;

namespace {

brook::broker_options by_hand() {
    brook::broker_options options;
    options.maintenance = brook::maintenance::manual;
    return options;
}

struct padded {
    std::uint64_t number;
    std::uint32_t small;
};

}  // namespace

TEST_CASE("a broker makes topics and finds them by type", "[client][broker]") {
    const temp_directory directory;
    brook::broker broker{directory.path(), by_hand()};
    CHECK(broker.topics().empty());
    static_cast<void>(broker.create_topic<std::string, std::uint64_t>("orders", {.partitions = 2}));
    static_cast<void>(broker.create_topic<no_key, padded>("a"));
    CHECK(broker.topics() == std::vector<std::string>{"a", "orders"});
    CHECK(broker.topic<std::string, std::uint64_t>("orders").partition_count() == 2);

    const auto as_text = outcome_of([&] { static_cast<void>(broker.topic<std::string, std::string>("orders")); });
    CHECK(as_text.code == errc::schema_mismatch);
    CHECK(as_text.names("orders"));
    CHECK(code_of([&] { static_cast<void>(broker.topic<std::string, std::int64_t>("orders")); }) == errc::schema_mismatch);
    CHECK(code_of([&] { static_cast<void>(broker.topic<std::string, std::uint32_t>("orders")); }) == errc::schema_mismatch);
    CHECK(code_of([&] { static_cast<void>(broker.topic<no_key, std::uint64_t>("orders")); }) == errc::schema_mismatch);
    CHECK(code_of([&] { static_cast<void>(broker.create_topic<std::uint64_t, std::uint64_t>("orders")); }) == errc::schema_mismatch);
    CHECK(code_of([&] { static_cast<void>(broker.topic<no_key, padded>("b")); }) == errc::unknown_topic_or_partition);
    CHECK(broker.health().is_ok());
}

TEST_CASE("a broker moves, and takes its topics along", "[client][broker]") {
    const temp_directory first_directory;
    const temp_directory second_directory;
    brook::broker first{first_directory.path(), by_hand()};
    const auto topic = first.create_topic<no_key, std::uint64_t>("numbers");
    brook::producer producer{topic};
    producer.send(1);

    brook::broker second{std::move(first)};
    CHECK(producer.send(2).get().offset == 1);
    CHECK(code_of([&] { static_cast<void>(first.topics()); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(first.create_topic<no_key, std::uint64_t>("x")); }) == errc::closed);
    CHECK(code_of([&] { first.maintain(); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(first.health()); }) == errc::closed);
    first.close();

    brook::broker third{second_directory.path(), by_hand()};
    const auto lost = third.create_topic<no_key, std::uint64_t>("numbers");
    third = std::move(second);  // closes the one it was
    CHECK(code_of([&] { static_cast<void>(lost.partition(0).log_end_offset()); }) == errc::closed);
    CHECK_FALSE(code_of([&] { brook::broker{second_directory.path(), by_hand()}; }));
    CHECK(producer.send(3).get().offset == 2);
    CHECK(third.topics() == std::vector<std::string>{"numbers"});
    auto& self = third;
    third = std::move(self);
    CHECK(producer.send(4).get().offset == 3);
    CHECK(code_of([&] { brook::broker{first_directory.path(), by_hand()}; }) == errc::directory_in_use);
}

TEST_CASE("closing waits for nobody and can be done while others work", "[client][broker]") {
    const temp_directory directory;
    std::optional<brook::broker> broker{std::in_place, directory.path()};
    const auto topic = broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2, .segment_bytes = 65'536});
    const auto durable = broker->create_topic<no_key, std::uint64_t>("durable", {.flush_messages = 1});
    std::atomic<int> started{0};
    std::atomic<std::uint64_t> acknowledged{0};
    std::atomic<std::uint64_t> acknowledged_durable{0};
    brook::producer producer{topic};
    brook::producer to_durable{durable};
    brook::consumer consumer{topic, {.group_id = "group"}};
    std::vector<std::jthread> threads;
    threads.emplace_back([&] {
        std::error_code code;
        for (std::uint64_t i = 0; !code; ++i) {
            static_cast<void>(producer.send({.value = i, .partition = 0}).get(code));
            acknowledged += code ? 0 : 1;
            ++started;
        }
        if (code != errc::closed) {
            std::abort();
        }
    });
    threads.emplace_back([&] {
        std::error_code code;
        for (std::uint64_t i = 0; !code; ++i) {
            static_cast<void>(to_durable.send(i).get(code));
            acknowledged_durable += code ? 0 : 1;
            ++started;
        }
    });
    threads.emplace_back([&] {
        const auto code = code_of([&] {
            for (;;) {
                auto records = consumer.poll();
                consumer.commit();
                ++started;
            }
        });
        if (code != errc::closed) {
            std::abort();
        }
    });
    while (started < 1'000) {
        std::this_thread::yield();
    }
    broker.reset();
    threads.clear();
    broker.emplace(directory.path(), by_hand());
    CHECK(broker->health().is_ok());
    const auto again = broker->topic<no_key, std::uint64_t>("numbers");
    const auto numbers = read_numbers(again);
    REQUIRE(numbers.size() >= acknowledged);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        REQUIRE(numbers[i] == i);
    }
    CHECK(read_numbers(broker->topic<no_key, std::uint64_t>("durable")).size() >= acknowledged_durable);
}

TEST_CASE("a broker can be closed while other threads ask it for topics", "[client][broker]") {
    const temp_directory directory;
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers");
    std::atomic<int> started{0};
    std::atomic<int> told{0};
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            const auto code = code_of([&] {
                for (;; ++started) {
                    static_cast<void>(broker.topic<no_key, std::uint64_t>("numbers"));
                    static_cast<void>(broker.topics());
                    static_cast<void>(broker.health());
                    static_cast<void>(brook::producer{topic});
                }
            });
            told += code == errc::closed ? 1 : 0;
        });
    }
    while (started < 100) {
        std::this_thread::yield();
    }
    broker.close();
    threads.clear();
    CHECK(told == 3);
    CHECK(code_of([&] { static_cast<void>(broker.health()); }) == errc::closed);
    CHECK(code_of([&] { brook::producer{topic}; }) == errc::closed);
    CHECK_FALSE(code_of([&] { brook::broker{directory.path(), by_hand()}; }));
}

TEST_CASE("a forked child is told that the broker is its parent's, and its end disturbs nobody", "[client][broker][fork]") {
    const temp_directory directory;
    brook::broker broker{directory.path(), by_hand()};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4'096});
    brook::producer producer{topic};
    brook::producer gathering{topic, {.linger = 1min}};
    brook::consumer consumer{topic, {.group_id = "group"}};
    producer.send(0);
    gathering.send(1);
    REQUIRE(consumer.poll(0s).size() == 1);
    const auto own = topic.partition(0);

    const int failed = in_child([&] {
        int line = 1;
        const auto is_forked = [&](const auto& act) { return code_of(act) == errc::forked; };
        if (!is_forked([&] { static_cast<void>(producer.send(7).get()); })) return line;
        ++line;
        if (!is_forked([&] { gathering.flush(); })) return line;
        ++line;
        if (!is_forked([&] { static_cast<void>(broker.create_topic<no_key, std::uint64_t>("mine")); })) return line;
        ++line;
        if (!is_forked([&] { static_cast<void>(broker.topic<no_key, std::uint64_t>("numbers")); })) return line;
        ++line;
        if (!is_forked([&] { broker.maintain(); })) return line;
        ++line;
        if (!is_forked([&] { consumer.commit(own, 0); })) return line;
        ++line;
        if (!is_forked([&] { static_cast<void>(consumer.poll()); })) return line;
        ++line;
        if (!is_forked([&] { static_cast<void>(brook::consumer{topic}.poll(0s)); })) return line;
        ++line;
        if (!is_forked([&] { own.roll(); })) return line;
        ++line;
        if (code_of([&] { brook::broker{directory.path(), by_hand()}; }) != errc::directory_in_use) return line;
        ++line;
        // It goes the way that a program does which forks and returns from main: everything is destroyed.
        {
            const auto gone_consumer = std::move(consumer);
            const auto gone_producer = std::move(gathering);
            const auto other_producer = std::move(producer);
            brook::broker gone{std::move(broker)};
        }
        return 0;
    });
    CHECK(failed == 0);

    CHECK(producer.send(2).get().offset == 1);
    gathering.flush();
    for (std::uint64_t i = 3; i < 500; ++i) {  // over some rolls
        producer.send(i);
    }
    broker.maintain();
    CHECK(read_numbers(topic).size() == 500);
    CHECK(read_numbers(topic)[2] == 1);
    CHECK(consumer.poll(0s).size() == 499);
    consumer.commit();
    CHECK(code_of([&] { brook::broker{directory.path(), by_hand()}; }) == errc::directory_in_use);
    CHECK(broker.health().is_ok());
    broker.close();
    brook::broker again{directory.path(), by_hand()};
    CHECK(again.health().is_ok());
    CHECK(read_numbers(again.topic<no_key, std::uint64_t>("numbers")).size() == 500);
}

TEST_CASE("a child that lives longer than its parent's broker does not keep the directory", "[client][broker][fork]") {
    const temp_directory directory;
    std::optional<brook::broker> broker{std::in_place, directory.path(), by_hand()};
    brook::test::shared_with_children<std::atomic<bool>> is_there;
    brook::test::child child{[&] {
        is_there->store(true);
        for (;;) {
            ::pause();
        }
        return 0;
    }};
    while (!is_there->load()) {
        std::this_thread::yield();
    }
    broker.reset();
    CHECK_FALSE(code_of([&] { brook::broker{directory.path(), by_hand()}; }));
}

TEST_CASE("a writer that makes room while its broker closes writes nothing into what the next broker owns", "[client][broker][close]") {
    const temp_directory directory;
    faulty_platform platform;
    std::atomic<std::thread::id> sender{};
    std::atomic<bool> is_in_the_middle{false};
    std::atomic<bool> may_go_on{false};
    platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::write && path.find(".log") != std::string::npos && std::this_thread::get_id() == sender.load() && !is_in_the_middle.exchange(true)) {
            while (!may_go_on) {
                std::this_thread::yield();
            }
        }
    });
    std::optional<brook::broker> first;
    first.emplace(directory.path(), brook::broker_options{.maintenance = brook::maintenance::manual, .platform = &platform});
    const auto topic = first->create_topic<no_key, std::string>("texts", {.segment_bytes = 1 << 20});
    std::jthread writer{[&] {
        sender = std::this_thread::get_id();
        brook::producer producer{topic};
        std::error_code code;
        for (int i = 0; i < 5'000 && !code; ++i) {
            static_cast<void>(producer.send(std::string(1'000, 'x')).get(code));
        }
    }};
    while (!is_in_the_middle) {
        std::this_thread::yield();
    }
    std::jthread closer{[&] { first.reset(); }};
    // The directory is free once the writer is through. Were it free before, what is sent now would be written over.
    std::uint64_t acknowledged = 0;
    for (int attempt = 0; attempt < 2'000 && acknowledged == 0; ++attempt) {
        try {
            brook::broker second{directory.path(), {.maintenance = brook::maintenance::manual}};
            const auto same = second.topic<no_key, std::string>("texts");
            brook::producer producer{same};
            for (; acknowledged < 100; ++acknowledged) {
                static_cast<void>(producer.send(std::string(1'000, 'y')).get());
            }
            may_go_on = true;
            writer.join();
        } catch (const brook::error& why) {
            REQUIRE(why.code() == errc::directory_in_use);
        }
    }
    may_go_on = true;
    closer.join();
    if (writer.joinable()) {
        writer.join();
    }
    brook::broker last{directory.path(), {.maintenance = brook::maintenance::manual}};
    std::uint64_t found = 0;
    brook::consumer consumer{last.topic<no_key, std::string>("texts")};
    while (!consumer.caught_up() || found == 0) {
        for (const auto records = consumer.poll(0s); const auto& record : records) {
            found += record.value().front() == 'y' ? 1u : 0u;
            static_cast<void>(record);
        }
        if (acknowledged == 0) {
            break;
        }
    }
    CHECK(found == acknowledged);
}

}  // namespace client_broker_test
