// What becomes of everything that still has to do with a topic when it is deleted.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/verify.hpp>

#include "broker/outcome.hpp"
#include "broker/watched_platform.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace client_delete_topic_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::code_of;
using brook::test::operation;
using brook::test::outcome_of;
using brook::test::temp_directory;
using brook::test::values;
using brook::test::watched_platform;

namespace {

using numbers_topic = brook::topic<no_key, std::uint64_t>;
using numbers_consumer = brook::consumer<no_key, std::uint64_t>;

struct world : brook::test::world {
    using brook::test::world::world;

    [[nodiscard]] numbers_topic numbers(std::string_view name, std::int32_t partitions = 1, std::optional<std::int64_t> flush_messages = std::nullopt) {
        return broker->create_topic<no_key, std::uint64_t>(name, {.partitions = partitions, .segment_bytes = 65'536, .flush_messages = flush_messages});
    }
};

void send(const numbers_topic& topic, std::initializer_list<std::uint64_t> numbers) {
    brook::producer producer{topic};
    for (const std::uint64_t number : numbers) {
        producer.send({.value = number, .partition = static_cast<std::int32_t>(number % static_cast<std::uint64_t>(topic.partition_count()))});
    }
}

/// What some polls give, sorted.
std::vector<std::uint64_t> read(numbers_consumer& consumer) {
    std::vector<std::uint64_t> all;
    for (int round = 0; round < 8; ++round) {
        const auto records = consumer.poll(0s);
        for (const std::uint64_t value : values(records)) {
            all.push_back(value);
        }
    }
    std::sort(all.begin(), all.end());
    return all;
}

bool is_gone(const std::error_code& code) { return code == errc::unknown_topic_or_partition; }

using numbers = std::vector<std::uint64_t>;
using bytes_type = brook::bytes;

}  // namespace

// ---- handles ----

TEST_CASE("every handle to a topic that was deleted says so, and none reaches the next of its name", "[client][delete]") {
    world here;
    const auto topic = here.numbers("orders", 2);
    const auto partition = topic.partition(1);
    brook::producer producer{topic};
    brook::producer numbered{topic, {.enable_idempotence = true}};
    producer.send({.value = 7, .partition = 1});
    here.broker->delete_topic("orders");
    const bool is_made_again = GENERATE(false, true);
    if (is_made_again) {
        send(here.numbers("orders", 3), {1, 2, 3});
    }
    CAPTURE(is_made_again);

    CHECK(topic.name() == "orders");
    CHECK(topic.partition_count() == 2);
    CHECK(partition.number() == 1);
    const auto said = outcome_of([&] { static_cast<void>(partition.log_end_offset()); });
    CHECK(is_gone(said.code));
    CHECK(said.names("topic 'orders' was deleted"));
    CHECK(is_gone(code_of([&] { static_cast<void>(partition.log_start_offset()); })));
    CHECK(is_gone(code_of([&] { static_cast<void>(partition.last_stable_offset()); })));
    CHECK(is_gone(code_of([&] { static_cast<void>(partition.durable_offset()); })));
    CHECK(is_gone(code_of([&] { static_cast<void>(partition.offset_for_time(timestamp{})); })));
    CHECK(is_gone(code_of([&] { static_cast<void>(partition.disk_bytes()); })));
    CHECK(is_gone(code_of([&] { partition.sync(); })));
    CHECK(is_gone(code_of([&] { partition.roll(); })));
    CHECK(is_gone(code_of([&] { partition.delete_records(0); })));
    CHECK(is_gone(code_of([&] { static_cast<void>(topic.size_bytes()); })));
    CHECK(is_gone(code_of([&] { static_cast<void>(topic.disk_bytes()); })));
    CHECK(is_gone(code_of([&] { brook::producer{topic}; })));
    CHECK(is_gone(code_of([&] { brook::consumer{topic}; })));
    CHECK(is_gone(code_of([&] { here.broker->reset_group_offsets("group", topic, [](const brook::partition&) { return 0; }); })));

    std::error_code code;
    producer.send({.value = 8, .partition = 1}).get(code);
    CHECK(is_gone(code));
    numbered.send({.value = 8, .partition = 1}).get(code);
    CHECK(is_gone(code));
    producer.send({.value = 9, .partition = 1});
    CHECK(is_gone(code_of([&] { producer.flush(); })));
    CHECK_FALSE(code_of([&] { producer.flush(); }));
    CHECK_FALSE(code_of([&] { producer.close(); }));
    if (is_made_again) {
        CHECK(brook::test::read_all(here.broker->topic<no_key, std::uint64_t>("orders")).size() == 3);
    }
    CHECK(here.broker->health().is_ok());
}

TEST_CASE("records that were read outlive their topic", "[client][delete]") {
    world here;
    const auto topic = here.numbers("orders");
    send(topic, {1, 2, 3});
    numbers_consumer consumer{topic};
    const auto records = consumer.poll(0s);
    here.broker->delete_topic("orders");
    send(here.numbers("orders"), {4, 5, 6, 7});
    CHECK(values(records) == numbers{1, 2, 3});
}

TEST_CASE("slots that are open when their topic is deleted end as at a close", "[client][delete]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, bytes_type>("orders", {.flush_messages = GENERATE(std::optional<std::int64_t>{}, std::optional<std::int64_t>{1})});
    brook::producer producer{topic};
    auto slot = producer.claim(8);
    auto dropped = std::optional{producer.claim(8)};
    here.broker->delete_topic("orders");
    std::memset(slot.data(), 1, 8);
    dropped.reset();
    std::error_code code;
    slot.commit().get(code);
    CHECK(is_gone(code));
    CHECK(is_gone(code_of([&] { static_cast<void>(producer.claim(8)); })));
    CHECK_FALSE(std::filesystem::exists(here.directory / "topics/orders~"));
}

TEST_CASE("what lingers for a topic that is deleted fails", "[client][delete]") {
    world here;
    const auto topic = here.numbers("orders");
    std::vector<std::error_code> told;
    brook::producer producer{topic, {.linger = 1min, .on_delivery = [&](const record_metadata&, std::error_code why) { told.push_back(why); }}};
    auto asked = producer.send({.value = 1});
    producer.send({.value = 2});
    here.broker->delete_topic("orders");
    std::error_code code;
    asked.get(code);
    CHECK(is_gone(code));
    producer.send({.value = 3});
    CHECK(is_gone(code_of([&] { producer.flush(); })));
    REQUIRE(told.size() == 3);
    CHECK(std::all_of(told.begin(), told.end(), is_gone));
}

// ---- who waits ----

TEST_CASE("who waits for something of a topic that is deleted is woken", "[client][delete][wait]") {
    std::atomic<int> asleep{0};
    watched_platform platform{[&](auto) { ++asleep; }};
    broker_options options;
    options.maintenance = maintenance::manual;
    options.platform = &platform;
    const temp_directory scratch;
    brook::broker broker{scratch.path(), options};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("orders", {.flush_messages = std::nullopt});
    const auto durable = broker.create_topic<no_key, std::uint64_t>("durable", {.flush_messages = 1});
    std::error_code said;
    const auto deleted_when_asleep = [&](const char* name, const auto& wait) {
        std::thread waiter{[&] { said = code_of(wait); }};
        while (asleep == 0) {
            std::this_thread::yield();
        }
        broker.delete_topic(name);
        waiter.join();
    };
    SECTION("a poll") {
        numbers_consumer consumer{topic};
        deleted_when_asleep("orders", [&] { static_cast<void>(consumer.poll()); });
        CHECK(is_gone(said));
    }
    SECTION("a poll of partitions that were assigned") {
        numbers_consumer consumer{durable};
        consumer.assign({topic.partition(0)});
        deleted_when_asleep("orders", [&] { static_cast<void>(consumer.poll()); });
        CHECK(is_gone(said));
    }
    SECTION("a sync, in front of which a slot is open") {
        const auto slots = broker.create_topic<no_key, bytes_type>("slots");
        brook::producer producer{slots};
        auto slot = producer.claim(8);
        deleted_when_asleep("slots", [&] { detail::access::engine(slots).log(0).wait_durable(1).raise(); });
        CHECK(is_gone(said));
    }
}

// ---- consumers ----

TEST_CASE("a consumer of several topics goes on with those that are left, and takes the next of a name for a new one", "[client][delete]") {
    world here;
    const auto orders = here.numbers("orders", 2);
    const auto returns = here.numbers("returns");
    send(orders, {1, 2});
    send(returns, {10});
    const bool is_by_pattern = GENERATE(false, true);
    const bool is_of_a_group = GENERATE(false, true);
    CAPTURE(is_by_pattern, is_of_a_group);
    consumer_options options{.group_id = is_of_a_group ? "group" : "", .auto_offset_reset = offset_reset::earliest};
    std::optional<numbers_consumer> consumer;
    if (is_by_pattern) {
        consumer.emplace(*here.broker, topic_pattern{"*"}, options);
    } else {
        const std::vector<numbers_topic> both{orders, returns};
        consumer.emplace(both, options);
    }
    CHECK(read(*consumer) == numbers{1, 2, 10});
    send(orders, {3});
    here.broker->delete_topic("orders");
    send(returns, {11});
    CHECK(read(*consumer) == numbers{11});
    CHECK(consumer->assignment().size() == 1);
    CHECK(consumer->caught_up());
    CHECK(is_gone(code_of([&] { static_cast<void>(consumer->position(orders.partition(0))); })));
    CHECK(is_gone(code_of([&] { consumer->seek(orders.partition(0), 0); })));
    if (is_of_a_group) {
        CHECK_FALSE(code_of([&] { consumer->commit(); }));
        CHECK(consumer->committed(returns.partition(0)) == 2);
    }
    const auto made = here.numbers("orders", 3);
    send(made, {20, 21, 22});
    CHECK(read(*consumer) == numbers{20, 21, 22});
    CHECK(consumer->assignment().size() == 4);
    here.broker->delete_topic("orders");
    here.broker->delete_topic("returns");
    if (is_by_pattern) {
        CHECK(read(*consumer).empty());
    } else {
        const auto said = outcome_of([&] { static_cast<void>(consumer->poll(0s)); });
        CHECK(is_gone(said.code));
        CHECK(said.names("topics 'orders', 'returns' were deleted"));
        CHECK(is_gone(code_of([&] { static_cast<void>(consumer->poll(0s)); })));
    }
    CHECK_FALSE(here.broker->create_topic<std::string, std::string>("returns").partition(0).log_end_offset());  // of other types: not its own
    send(here.numbers("orders"), {30});
    CHECK(read(*consumer) == numbers{30});
}

TEST_CASE("who waits for the latest gets all of a topic that comes under a name that it has named", "[client][delete]") {
    world here;
    const auto topic = here.numbers("orders");
    send(topic, {1});
    numbers_consumer consumer{topic, {.auto_offset_reset = offset_reset::latest}};
    CHECK(read(consumer).empty());
    here.broker->delete_topic("orders");
    send(here.numbers("orders"), {2});
    CHECK(read(consumer) == numbers{2});
}

TEST_CASE("partitions that were assigned by hand say that they were deleted, and the others are read as before", "[client][delete]") {
    world here;
    const auto orders = here.numbers("orders");
    const auto returns = here.numbers("returns");
    numbers_consumer consumer{orders};
    consumer.assign({orders.partition(0), returns.partition(0)});
    send(returns, {1, 2});
    here.broker->delete_topic("orders");
    numbers all;
    bool has_said = false;
    for (int poll = 0; poll < 6; ++poll) {
        const auto code = code_of([&] {
            const auto records = consumer.poll(0s);
            for (const std::uint64_t value : values(records)) {
                all.push_back(value);
            }
        });
        has_said = has_said || is_gone(code);
    }
    CHECK(has_said);
    CHECK(is_gone(code_of([&] { consumer.assign({orders.partition(0)}); })));
    consumer.assign({returns.partition(0)});
    consumer.seek_to_beginning();
    CHECK(read(consumer) == numbers{1, 2});
}

// ---- groups ----

TEST_CASE("the members of a group settle without the topic, and what was committed for it goes", "[client][delete][group]") {
    world here;
    const auto orders = here.numbers("orders", 4);
    const auto returns = here.numbers("returns", 2);
    send(orders, {1, 2, 3, 4});
    send(returns, {10, 11});
    std::size_t lost = 0;
    consumer_options options{.group_id = "group"};
    options.rebalance_listener.on_partitions_lost = [&](const auto& partitions) { lost += partitions.size(); };
    const std::vector<numbers_topic> both{orders, returns};
    numbers_consumer one{both, options};
    numbers_consumer other{both, options};
    for (int round = 0; round < 4; ++round) {
        static_cast<void>(one.poll(0s));
        static_cast<void>(other.poll(0s));
    }
    one.commit();
    other.commit();
    {
        numbers_consumer third{orders, {.group_id = "orders alone"}};
        static_cast<void>(third.poll(0s));
        third.commit();
    }
    CHECK(here.broker->groups() == std::vector<std::string>{"group", "orders alone"});
    here.broker->delete_topic("orders");
    CHECK(here.broker->groups() == std::vector<std::string>{"group"});
    const auto made = here.numbers("orders");
    CHECK(here.broker->group("group").partitions.size() == 2);  // those of returns

    for (int round = 0; round < 4; ++round) {
        static_cast<void>(one.poll(0s));
        static_cast<void>(other.poll(0s));
    }
    CHECK(lost == 4);
    const auto settled = here.broker->group("group");
    CHECK(settled.state == group_state::stable);
    CHECK(settled.partitions.size() == 3);
    CHECK(one.assignment().size() + other.assignment().size() == 3);
    one.commit();
    other.commit();
    here.open();
    const auto after = here.broker->group("group");
    CHECK(after.partitions.size() == 3);
    CHECK(after.partitions.front().topic == "orders");  // the new one, of which nothing was read
    CHECK(after.partitions.front().committed == 0);
    CHECK(here.broker->groups() == std::vector<std::string>{"group"});
}

TEST_CASE("nothing can be committed for a topic that was deleted, and what auto commit has of the others is not lost", "[client][delete][group]") {
    world here;
    const auto orders = here.numbers("orders");
    const auto returns = here.numbers("returns");
    send(orders, {1});
    send(returns, {10});
    SECTION("a member") {
        const std::vector<numbers_topic> both{orders, returns};
        numbers_consumer consumer{both, {.group_id = "group", .enable_auto_commit = true}};
        do {
            static_cast<void>(consumer.poll(0s));
        } while (consumer.position(orders.partition(0)) + consumer.position(returns.partition(0)) < 2);
        here.broker->delete_topic("orders");
        static_cast<void>(consumer.poll(0s));
        CHECK(consumer.committed(returns.partition(0)) == 1);
        CHECK(is_gone(code_of([&] { consumer.commit(orders.partition(0), 1); })));
    }
    SECTION("who is assigned to") {
        numbers_consumer consumer{orders, {.group_id = "group"}};
        consumer.assign({orders.partition(0), returns.partition(0)});
        static_cast<void>(consumer.poll(0s));
        static_cast<void>(consumer.poll(0s));
        here.broker->delete_topic("orders");
        CHECK_FALSE(code_of([&] { consumer.commit(); }));
        CHECK(consumer.committed(returns.partition(0)) == 1);
    }
    CHECK(here.broker->group("group").partitions.size() == 1);
    here.open();
    CHECK(here.broker->group("group").partitions.size() == 1);
}

// ---- transactions ----

TEST_CASE("a transaction is committed for the topics that are left", "[client][delete][transaction]") {
    world here;
    const auto orders = here.numbers("orders", 1, GENERATE(std::optional<std::int64_t>{}, std::optional<std::int64_t>{1}));
    const auto returns = here.numbers("returns");
    const auto source = here.numbers("source");
    const bool is_appended = GENERATE(false, true);  // before the deletion; else it is in memory as yet
    CAPTURE(is_appended);
    send(source, {1});
    numbers_consumer reader{source, {.group_id = "group"}};
    REQUIRE(reader.poll(0s).size() == 1);
    auto transaction = here.broker->begin_transaction({.transactional_id = "id"});
    const std::uint64_t count = is_appended ? 60'000 : 1;
    for (std::uint64_t i = 0; i < count; ++i) {
        transaction.send(orders, {.value = i});
        transaction.send(returns, {.value = i});
    }
    transaction.commit_offsets(reader);
    here.broker->delete_topic(GENERATE("orders", "source"));
    const bool has_orders = here.broker->topics().front() == "orders";
    if (!has_orders) {
        CHECK(is_gone(code_of([&] { transaction.send(orders, {.value = 7}); })));
    }
    CHECK_FALSE(code_of([&] { transaction.commit(); }));
    CHECK(brook::test::read_all(returns).size() == count);
    CHECK(returns.partition(0).last_stable_offset() == returns.partition(0).log_end_offset());
    here.open();
    CHECK(here.broker->health().is_ok());
    CHECK(brook::test::read_all(here.broker->topic<no_key, std::uint64_t>("returns")).size() == count);
    if (has_orders) {
        CHECK(here.broker->groups().empty());  // all that it had read was in the other one
        CHECK(brook::test::read_all(here.broker->topic<no_key, std::uint64_t>("orders")).size() == count);
    } else {
        CHECK(here.broker->group("group").partitions.front().committed == 1);
    }
}

// ---- the disk ----

TEST_CASE("a deletion makes room at once where max_bytes was reached", "[client][delete]") {
    broker_options options;
    options.max_bytes = 4 << 20;
    world here{options};
    const auto kept = here.broker->create_topic<no_key, std::string>("kept", {.segment_bytes = 65'536});
    {
        const auto full = here.broker->create_topic<no_key, std::string>("full", {.segment_bytes = 1 << 20});
        brook::producer producer{full};
        std::error_code code;
        for (int i = 0; i < 10'000 && !code; ++i) {
            producer.send({.value = std::string(1'000, 'x')}).get(code);
        }
        REQUIRE(code == std::errc::no_space_on_device);
    }
    brook::producer producer{kept};
    std::error_code code;
    for (int i = 0; i < 10'000 && !code; ++i) {
        producer.send({.value = std::string(1'000, 'x')}).get(code);
    }
    REQUIRE(code == std::errc::no_space_on_device);
    here.broker->delete_topic("full");
    code = {};
    producer.send({.value = std::string(1'000, 'x')}).get(code);
    CHECK_FALSE(code);
}

TEST_CASE("verify finds nothing wrong with a topic that is deleted while it looks, nor with another that has come in its place", "[client][delete][verify]") {
    world here;
    send(here.numbers("orders"), {1, 2, 3});
    send(here.numbers("returns"), {1});
    const bool is_made_again = GENERATE(false, true);
    for (std::uint64_t call = 1;; ++call) {
        CAPTURE(is_made_again, call);
        brook::test::faulty_platform platform;
        std::uint64_t calls = 0;
        bool is_due = false;
        platform.on_call([&](operation, const std::string&) {
            if (++calls == call) {
                is_due = true;
                here.broker->delete_topic("orders");
                if (is_made_again) {
                    send(here.numbers("orders", 2), {1, 2});
                }
            }
        });
        verify_options options;
        options.platform = &platform;
        const auto report = verify(here.directory.path(), options);
        platform.on_call(nullptr);
        REQUIRE(report.text().find("DAMAGED") == std::string::npos);
        REQUIRE(report.is_ok());
        if (!is_due) {
            break;
        }
        REQUIRE(call < 1'000);
        if (!is_made_again) {
            send(here.numbers("orders"), {1, 2, 3});
        }
    }
}

// ---- all at once ----

TEST_CASE("a topic is deleted and made again while ten threads send, poll and commit", "[client][delete][stress]") {
    world here{maintenance::thread};
    const auto steady = here.numbers("steady", 2);
    static_cast<void>(here.numbers("volatile", 2, 10));
    std::atomic<bool> is_over{false};
    std::atomic<std::uint64_t> sent{0};
    std::atomic<std::uint64_t> seen{0};
    numbers_consumer all_of_steady{*here.broker, topic_pattern{"*"}};
    std::mutex unexpected_mutex;
    std::vector<std::string> unexpected;
    const auto attempt = [&](const auto& act) {
        const auto said = outcome_of(act);
        if (said.code && !is_gone(said.code) && said.code != errc::illegal_generation) {
            const std::scoped_lock guard{unexpected_mutex};
            unexpected.push_back(said.text);
        }
    };
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([&, i] {
                while (!is_over) {
                    attempt([&] {
                        const auto topic = here.broker->topic<no_key, std::uint64_t>("volatile");
                        brook::producer producer{topic, {.linger = i == 1 ? 1ms : 0ms, .enable_idempotence = i == 2}};
                        for (std::uint64_t k = 0; k < 3'000; ++k) {
                            auto delivery = producer.send({.value = k});
                            if (k % 50 == 0) {
                                delivery.get();
                            }
                        }
                        producer.close();
                    });
                }
            });
        }
        threads.emplace_back([&] {
            brook::producer producer{steady};
            for (std::uint64_t k = 0; !is_over; ++k) {
                attempt([&] { producer.send({.value = k}).get(); });
                ++sent;
                std::this_thread::yield();
            }
        });
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&, i] {
                numbers_consumer member{*here.broker, topic_pattern{"*"}, {.group_id = "group", .enable_auto_commit = i == 0}};
                numbers_consumer& consumer = i == 3 ? all_of_steady : member;
                while (!is_over) {
                    attempt([&] {
                        const auto records = consumer.poll(1ms);
                        for (const auto& record : records) {
                            seen += record.topic() == std::string_view{"steady"} && i == 3 ? 1u : 0u;
                        }
                        if (i == 1) {
                            consumer.commit();
                        }
                    });
                }
            });
        }
        threads.emplace_back([&] {
            while (!is_over) {
                attempt([&] {
                    const auto topic = here.broker->topic<no_key, std::uint64_t>("volatile");
                    auto transaction = here.broker->begin_transaction({.transactional_id = "id"});
                    transaction.send(topic, {.value = 1});
                    transaction.send(steady, {.value = 1});
                    transaction.commit();
                    ++sent;
                });
            }
        });
        threads.emplace_back([&] {
            for (int round = 0; round < 60; ++round) {
                attempt([&] { here.broker->delete_topic("volatile"); });
                attempt([&] { static_cast<void>(here.numbers("volatile", 1 + round % 3, 10)); });
                const auto topic = here.broker->topic<no_key, std::uint64_t>("volatile");
                for (int wait = 0; wait < 1'000 && topic.partition(0).log_end_offset() == 0; ++wait) {
                    std::this_thread::yield();
                }
            }
            is_over = true;
        });
    }
    do {
        const auto records = all_of_steady.poll(0s);
        for (const auto& record : records) {
            seen += record.topic() == std::string_view{"steady"} ? 1u : 0u;
        }
    } while (!all_of_steady.caught_up());
    CHECK(unexpected == std::vector<std::string>{});
    CHECK(seen == sent);
    std::vector<std::string> told;
    for (const auto& why : here.broker->health().errors) {
        if (!is_gone(why.code)) {  // a producer that dies tells of what it has not been asked about
            told.push_back(why.text);
        }
    }
    CHECK(told == std::vector<std::string>{});
}

}  // namespace client_delete_topic_test
