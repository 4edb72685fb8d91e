#include <brook/kafka.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "broker/outcome.hpp"
#include "kafka/worlds.hpp"
#include "support/catch.hpp"

namespace kafka_errors_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::test::code_of;
using brook::test::mock_world;
using brook::test::outcome_of;

namespace {

constexpr auto plenty = 20s;  // what is promised "in bounded time" is far below it

class stopwatch {
public:
    [[nodiscard]] auto passed() const { return std::chrono::steady_clock::now() - begin_; }

private:
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// So much more memory may be asked for.
class memory_limit {
public:
    explicit memory_limit(std::size_t more) {
        std::size_t pages = 0;
        std::ifstream{"/proc/self/statm"} >> pages;
        ::getrlimit(RLIMIT_AS, &before_);
        rlimit now = before_;
        now.rlim_cur = pages * static_cast<std::size_t>(::getpagesize()) + more;
        ::setrlimit(RLIMIT_AS, &now);
    }
    memory_limit(const memory_limit&) = delete;
    memory_limit& operator=(const memory_limit&) = delete;
    ~memory_limit() { ::setrlimit(RLIMIT_AS, &before_); }

private:
    rlimit before_{};
};

template <class Producer>
concept claims = requires(Producer& producer) { producer.claim(8); };
template <class Producer>
concept claims_with_key = requires(Producer& producer) { producer.claim("k", 8); };
template <class Partition>
concept is_a_log = requires(const Partition& partition) { partition.sync(); } || requires(const Partition& partition) { partition.durable_offset(); };
template <class Transaction>
concept keeps_state = requires(Transaction& transaction) { transaction.set_state("x"); };

}  // namespace

TEST_CASE("a cluster that cannot be reached is told in bounded time, by each call that needs it, and all say the same", "[kafka][errors]") {
    const stopwatch watch;
    brook::kafka::broker cluster{"127.0.0.1:1", {.default_api_timeout = 300ms}};
    const auto check = [](const auto& told, const char* what) {
        CAPTURE(told.text);
        CHECK(told.code == errc::timed_out);
        CHECK(told.names(what));
        CHECK(told.names("nobody answered at '127.0.0.1:1' for 300 ms"));
        CHECK(told.names("Connection refused"));
    };
    check(outcome_of([&] { static_cast<void>(cluster.topic<std::string, std::int64_t>("orders")); }), "topic 'orders'");
    check(outcome_of([&] { static_cast<void>(cluster.create_topic<std::string, std::int64_t>("orders")); }), "topic 'orders'");
    check(outcome_of([&] { cluster.delete_topic("orders"); }), "topic 'orders'");
    check(outcome_of([&] { static_cast<void>(cluster.topics()); }), "the list of topics");
    check(outcome_of([&] { static_cast<void>(cluster.groups()); }), "the list of groups");
    check(outcome_of([&] { static_cast<void>(cluster.group("billing")); }), "group 'billing'");
    check(outcome_of([&] { static_cast<void>(cluster.begin_transaction({.transactional_id = "t"})); }), "transaction 't'");
    CHECK_FALSE(cluster.health().is_ok());
    CHECK(watch.passed() < plenty);
}

TEST_CASE("a cluster that goes silent is told so by those who have its topic, and what was wrong before it answered is no reason", "[kafka][errors]") {
    auto options = mock_world::quick();
    options.default_api_timeout = 1'500ms;
    mock_world world{options};
    auto topic = world.topic<no_key, std::int64_t>("silent");
    brook::consumer consumer{topic, {.group_id = "silent"}};
    consumer.assign({topic.partition(0)});
    CHECK(consumer.poll(10ms).empty());
    world.cluster().answer_after(20s);
    const auto told = outcome_of([&] { consumer.commit(topic.partition(0), 0); });
    CAPTURE(told.text);
    CHECK(told.code == errc::timed_out);
    CHECK(told.names("for 1500 ms"));
    CHECK_FALSE(told.names("Connection refused"));
}

TEST_CASE("a cluster without an address is refused at once", "[kafka][errors]") {
    for (const char* const servers : {"", " ", ",", " , ,", ":9092", ",:9092"}) {
        CAPTURE(servers);
        const auto told = outcome_of([&] { brook::kafka::broker nowhere{servers}; });
        CHECK(told.code == errc::invalid_config);
        CHECK(told.names("no address"));
    }
    for (const char* const servers : {"host", "host:9092", ",host:9092", "one:1, two:2,"}) {
        CAPTURE(servers);
        CHECK(code_of([&] { brook::kafka::broker somewhere{servers}; }) == std::error_code{});
    }
}

TEST_CASE("a topic that is not there is no error of the network", "[kafka][errors]") {
    mock_world world;
    rd_kafka_mock_topic_set_error(world.cluster().get(), "nowhere", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    const auto refused = outcome_of([&] { static_cast<void>(world.broker().topic<std::string, std::int64_t>("nowhere")); });
    CHECK(refused.code == errc::unknown_topic_or_partition);
    CHECK(refused.names("create_topic makes one"));
}

TEST_CASE("settings that librdkafka does not know, or that are brook's, are refused by name", "[kafka][errors]") {
    const auto refused = [](brook::kafka::properties properties) {
        brook::kafka::broker cluster{"127.0.0.1:1", {.properties = std::move(properties), .default_api_timeout = 100ms}};
        return outcome_of([&] { static_cast<void>(cluster.topics()); });
    };
    CHECK(refused({{"no.such.setting", "1"}}).code == errc::invalid_config);
    CHECK(refused({{"no.such.setting", "1"}}).names("no.such.setting"));
    CHECK(refused({{"security.protocol", "telepathy"}}).code == errc::invalid_config);
    CHECK(refused({{"enable.auto.commit", "true"}}).names("brook sets this one itself"));
    CHECK(refused({{"metadata.broker.list", "127.0.0.1:2"}}).names("brook sets this one itself"));  // another name of bootstrap.servers
    CHECK(refused({{"client.id", "mine"}, {"socket.timeout.ms", "1000"}}).code != errc::invalid_config);
}

TEST_CASE("what has timed out while nobody is connected is seen within a second, unless one asks for less haste", "[kafka][errors]") {
    const auto backoff_of = [](const brook::kafka::properties& properties) {
        const brook::kafka::cluster somewhere{"host:9092", {}};
        brook::kafka::settings with{somewhere};
        with.set(properties);
        std::array<char, 32> text{};
        std::size_t size = text.size();
        REQUIRE(rd_kafka_conf_get(with.get(), "reconnect.backoff.max.ms", text.data(), &size) == RD_KAFKA_CONF_OK);
        return std::string{text.data()};
    };
    CHECK(backoff_of({}) == "1000");
    CHECK(backoff_of({{"reconnect.backoff.max.ms", "20000"}}) == "20000");
    CHECK(backoff_of({{"reconnect.backoff.ms", "100"}}) == "1000");
    CHECK(backoff_of({{"reconnect.backoff.ms", "5000"}}) == "5000");  // no less, or librdkafka refuses them
    CHECK(backoff_of({{"reconnect.backoff.ms", "5000"}, {"reconnect.backoff.max.ms", "6000"}}) == "6000");
}

TEST_CASE("a record that is too large is told with both sizes, and others go on", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::string>("large");
    brook::producer producer{topic};
    auto refused = producer.send(std::string(2'000'000, 'x'));
    const auto told = outcome_of([&] { refused.get(); });
    CHECK(told.code == errc::record_too_large);
    CHECK(told.names("2000000"));
    CHECK(told.names("message.max.bytes is 1000000"));
    CHECK(producer.send("small").get().offset == 0);
    world.cluster().fail(brook::test::produce_api, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});  // the cluster's own limit
    CHECK(code_of([&] { producer.send("too large for the topic").get(); }) == errc::record_too_large);
    producer.flush();
    const auto before = outcome_of([&] { producer.send(brook::record<no_key, std::string>{.value = "x", .timestamp = brook::timestamp{-1s}}).get(); });
    CHECK(before.code == errc::invalid_config);
    CHECK(before.names("before 1970"));
}

TEST_CASE("what the cluster refuses for now is sent again, and acknowledged once", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("again");
    brook::producer producer{topic};
    CHECK(producer.send(std::int64_t{0}).get().offset == 0);
    world.cluster().fail(brook::test::produce_api, {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR__TRANSPORT});
    for (std::int64_t i = 1; i < 10; ++i) {
        CHECK(producer.send(i).get().offset == i);
    }
}

TEST_CASE("what was never sent has failed, and nothing was written", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("unsent");
    brook::producer producer{topic, {.delivery_timeout = 700ms}};
    CHECK(producer.send(std::int64_t{0}).get().offset == 0);
    world.cluster().set_up(false);
    const stopwatch watch;
    auto unsent = producer.send(std::int64_t{1});
    const auto told = outcome_of([&] { unsent.get(); });
    CHECK(told.code == errc::not_leader_or_follower);
    CHECK(told.names("nothing was written"));
    CHECK(watch.passed() < plenty);
    world.cluster().set_up(true);
    brook::consumer consumer{topic};
    CHECK(brook::test::read_to_end(consumer).size() == 1);
}

TEST_CASE("what was sent and not answered is unknown, which is not failed", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("unanswered");
    std::atomic<int> acknowledged{0};
    std::atomic<int> failed{0};
    std::atomic<int> unknown{0};
    {
        brook::producer producer{topic, {.delivery_timeout = 1s, .on_delivery = [&](const brook::record_metadata&, std::error_code why) {
                                             ++(!why ? acknowledged : why == errc::timed_out ? unknown : failed);
                                         }}};
        CHECK(producer.send(std::int64_t{0}).get().offset == 0);
        world.cluster().answer_after(3s);
        auto unanswered = producer.send(std::int64_t{1});
        const auto told = outcome_of([&] { unanswered.get(); });
        CHECK(told.code == errc::timed_out);
        CHECK(told.names("may be there, or not"));
    }
    CHECK(acknowledged == 1);
    CHECK(unknown == 1);
    CHECK(failed == 0);
    world.cluster().answer_after(0s);
    brook::consumer consumer{topic};
    CHECK(brook::test::read_to_end(consumer).size() == 2);  // it was there, this time
}

TEST_CASE("an on_delivery that throws keeps nobody else's outcome back", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("thrown");
    std::atomic<int> told{0};
    brook::producer producer{topic, {.linger = 50ms, .on_delivery = [&](const brook::record_metadata&, std::error_code) {  // all of them in one event
                                         const int number = told++;
                                         if (number == 3) {
                                             throw std::runtime_error{"the fourth"};
                                         }
                                         if (number == 5) {
                                             throw number;
                                         }
                                     }}};
    std::vector<brook::delivery> all;
    for (std::int64_t i = 0; i < 20; ++i) {
        all.push_back(producer.send(i));
    }
    producer.flush();
    REQUIRE(told == 20);  // else a get waits for ever
    for (std::int64_t i = 0; i < 20; ++i) {
        CHECK(all[static_cast<std::size_t>(i)].get().offset == i);
    }
    const auto errors = world.broker().health().errors;
    REQUIRE(errors.size() == 2);
    CHECK(errors[0].text.find("the fourth") != std::string::npos);
}

TEST_CASE("an idempotent producer whose numbers the cluster does not follow stops, and says so", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("fenced");
    brook::producer producer{topic, {.delivery_timeout = 5s}};
    CHECK(producer.send(std::int64_t{0}).get().offset == 0);
    world.cluster().fail(brook::test::produce_api, std::vector<rd_kafka_resp_err_t>(8, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH));
    std::error_code why;
    producer.send(std::int64_t{1}).get(why);
    CHECK((why == errc::producer_fenced || why == errc::timed_out));
    rd_kafka_mock_clear_request_errors(world.cluster().get(), brook::test::produce_api);
    brook::producer another{topic};
    CHECK(another.send(std::int64_t{2}).get().offset >= 1);
}

TEST_CASE("a commit that the coordinator refuses is told, and the next one counts", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("commits");
    brook::producer producer{topic};
    producer.send(std::int64_t{0});
    producer.flush();
    brook::consumer consumer{topic, {.group_id = "refused", .max_poll_interval = brook::test::join_interval, .session_timeout = 6s}};  // it joins twice
    CHECK(brook::test::read_to_end(consumer).size() == 1);
    world.cluster().fail(brook::test::offset_commit_api, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
    CHECK(code_of([&] { consumer.commit(); }) == errc::illegal_generation);
    CHECK_FALSE(consumer.committed(topic.partition(0)));
    const auto is_committed = [&] {
        bool is_there = false;
        const std::error_code why = code_of([&] {
            consumer.commit();
            is_there = consumer.committed(topic.partition(0)).has_value();
        });
        CHECK((!why || why == errc::illegal_generation || why == errc::timed_out));  // what a join behind which it waits leads to
        return is_there;
    };
    const brook::test::patience left;
    do {
        static_cast<void>(consumer.poll(100ms));  // it may have to join again
        left.require_left([] { return std::string{"a commit that counts"}; });
    } while (!is_committed());
    CHECK(consumer.committed(topic.partition(0)) == 1);
}

TEST_CASE("a commit in the midst of a rebalance waits for its end, and no partition is lost", "[kafka][errors]") {
    const bool is_automatic = GENERATE(false, true);
    CAPTURE(is_automatic);
    std::atomic<int> joins{0};
    auto options = mock_world::quick();
    options.consumer_properties.push_back({"debug", "cgrp"});
    options.on_log = [&](int, std::string_view, std::string_view text) { joins += text.find("-> wait-join") != std::string_view::npos ? 1 : 0; };
    mock_world world{options};
    auto topic = world.topic<no_key, std::int64_t>("rebalanced");
    brook::producer producer{topic};
    producer.send(std::int64_t{0}).get();
    int lost = 0;
    brook::consumer consumer{topic,
                             {.group_id = "rebalanced",
                              .max_poll_interval = brook::test::join_interval,
                              .session_timeout = 6s,
                              .rebalance_listener = {.on_partitions_lost = [&](const auto&) { ++lost; }},
                              .enable_auto_commit = is_automatic}};
    CHECK(brook::test::read_to_end(consumer).size() == 1);
    const int before = joins;
    world.cluster().fail(brook::test::heartbeat_api, {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS});
    for (const brook::test::patience left; joins == before;) {
        CHECK(consumer.poll(20ms).empty());
        left.require_left([] { return std::string{"a join"}; });
    }
    producer.send(std::int64_t{1}).get();
    std::size_t count = 0;
    for (const brook::test::patience left; count == 0;) {  // it goes on reading meanwhile
        count += consumer.poll(20ms).size();
        left.require_left([] { return std::string{"a record"}; });
    }
    if (!is_automatic) {
        consumer.commit();
    }
    for (const brook::test::patience left; consumer.committed(topic.partition(0)) != 2;) {
        CHECK(consumer.poll(20ms).empty());
        left.require_left([] { return std::string{"a commit that counts"}; });
    }
    CHECK(lost == 0);
    CHECK(consumer.assignment().size() == 1);
    for (const auto& one : world.broker().health().errors) {
        FAIL_CHECK(one.text);
    }
}

TEST_CASE("who asks what was committed while a coordinator does not know it loses none of the records that have come", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("asked");
    brook::producer producer{topic, {.linger = 100ms}};  // all in one batch
    for (std::int64_t i = 0; i < 100; ++i) {
        producer.send(i);
    }
    producer.flush();
    brook::consumer consumer{topic, {.group_id = "asked", .max_poll_records = 1}};
    consumer.assign({topic.partition(0)});
    std::size_t count = 0;
    for (const brook::test::patience left; count == 0;) {
        count += consumer.poll(20ms).size();  // the others wait in librdkafka
        left.require_left([] { return std::string{"a record"}; });
    }
    world.cluster().fail(brook::test::offset_fetch_api, std::vector<rd_kafka_resp_err_t>(5, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE));
    CHECK_FALSE(consumer.committed(topic.partition(0)));
    CHECK(count + brook::test::read_to_end(consumer).size() == 100);
}

TEST_CASE("a commit that is refused because of a rebalance is asked for again", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("refused-once");
    brook::producer producer{topic};
    producer.send(std::int64_t{0}).get();
    brook::consumer consumer{topic, {.group_id = "refused-once", .max_poll_interval = brook::test::join_interval, .session_timeout = 6s}};
    CHECK(brook::test::read_to_end(consumer).size() == 1);
    world.cluster().fail(brook::test::offset_commit_api, {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS});
    consumer.commit();
    CHECK(consumer.committed(topic.partition(0)) == 1);
}

TEST_CASE("an auto-commit that the coordinator refuses is told, and tried again though nothing more is read", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("auto-refused");
    brook::producer producer{topic};
    for (std::int64_t i = 0; i < 10; ++i) {
        producer.send(i);
    }
    producer.flush();
    brook::consumer consumer{topic, {.group_id = "auto-refused", .max_poll_interval = brook::test::join_interval, .enable_auto_commit = true}};
    world.cluster().fail(brook::test::offset_commit_api, {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED});
    CHECK(brook::test::read_to_end(consumer).size() == 10);
    for (const brook::test::patience left; consumer.committed(topic.partition(0)) != 10;) {
        CHECK(consumer.poll(20ms).empty());
        left.require_left([] { return std::string{"a commit that counts"}; });
    }
    const auto errors = world.broker().health().errors;
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].code == errc::authentication_failed);
    CHECK(errors[0].text.find("auto-commit") != std::string::npos);
}

TEST_CASE("a member whose instance id another one has taken is told so by each poll", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("instance");
    brook::consumer consumer{topic, {.group_id = "instances", .group_instance_id = "one", .max_poll_interval = brook::test::join_interval, .session_timeout = 6s}};
    for (const brook::test::patience left; consumer.assignment().empty();) {
        CHECK(consumer.poll(20ms).empty());
        left.require_left([] { return std::string{"an assignment"}; });
    }
    world.cluster().fail(brook::test::heartbeat_api, std::vector<rd_kafka_resp_err_t>(100, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID));
    for (int i = 0; i < 3; ++i) {
        const auto told = outcome_of([&] {
            for (const brook::test::patience left;;) {
                static_cast<void>(consumer.poll(20ms));
                left.require_left([] { return std::string{"an error"}; });
            }
        });
        CHECK(told.code == errc::fenced_instance_id);
        CHECK(told.names("'instance'"));
    }
}

TEST_CASE("members that do not share out by the same strategy are told so", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("strategies");
    world.cluster().fail(brook::test::join_group_api, std::vector<rd_kafka_resp_err_t>(100, RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL));
    brook::consumer consumer{topic, {.group_id = "strategies", .max_poll_interval = brook::test::join_interval}};
    CHECK(code_of([&] {
              for (const brook::test::patience left;;) {
                  static_cast<void>(consumer.poll(20ms));
                  left.require_left([] { return std::string{"an error"}; });
              }
          }) == errc::inconsistent_group_protocol);
}

TEST_CASE("a member that its group has taken everything from has not caught up", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("taken");
    brook::producer producer{topic};
    producer.send(std::int64_t{1});
    producer.flush();
    brook::consumer consumer{topic,
                             {.group_id = "taken", .max_poll_interval = brook::test::join_interval, .session_timeout = 6s, .partition_assignment_strategy = brook::assignors::range()}};
    CHECK(brook::test::read_to_end(consumer).size() == 1);
    world.cluster().fail(brook::test::heartbeat_api, {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS});
    bool was_without = false;
    for (const brook::test::patience left; !was_without || consumer.assignment().empty();) {
        static_cast<void>(consumer.poll(20ms));
        if (consumer.assignment().empty()) {
            was_without = true;
            CHECK_FALSE(consumer.caught_up());
        }
        left.require_left([] { return std::string{"partitions taken away, and given again"}; });
    }
}

TEST_CASE("a member that leaves after its join was answered, and before it is given anything, is gone, and its process is not", "[kafka][errors]") {
    std::atomic<bool> has_joined{false};
    auto options = mock_world::quick();
    options.consumer_properties.push_back({"debug", "cgrp"});
    options.on_log = [&](int, std::string_view, std::string_view text) {
        if (text.find("elected leader") != std::string_view::npos) {
            has_joined = true;
        }
    };
    mock_world world{options};
    auto topic = world.topic<no_key, std::int64_t>("half-joined");
    world.cluster().fail(brook::test::sync_group_api, std::vector<rd_kafka_resp_err_t>(100, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS));
    {
        brook::consumer consumer{topic, {.group_id = "half-joined", .max_poll_interval = brook::test::join_interval}};
        for (const brook::test::patience left; !has_joined;) {
            CHECK(consumer.poll(20ms).empty());
            left.require_left([] { return std::string{"an answer to the join"}; });
        }
        CHECK(consumer.assignment().empty());
    }
    brook::producer producer{topic};
    CHECK(producer.send(std::int64_t{1}).get().offset == 0);
}

TEST_CASE("a record that does not fit its type is told when it is looked at, as locally", "[kafka][errors]") {
    mock_world world;
    auto numbers = world.topic<std::string, std::int64_t>("typed");
    brook::kafka::broker another{world.cluster().bootstrap_servers(), mock_world::quick()};  // it knows nothing of the types
    auto texts = another.topic<std::string, std::string>("typed");
    brook::producer producer{texts};
    producer.send("k", "three");
    producer.flush();
    brook::consumer consumer{numbers};
    bool is_found = false;
    const auto look_at = [&](const auto& record) {
        is_found = true;
        CHECK(record.key() == "k");
        CHECK(code_of([&] { static_cast<void>(record.value()); }) == errc::schema_read);
    };
    brook::test::take_until(consumer, look_at, [&] { return is_found; });
}

TEST_CASE("a consumer without a group needs no right to one", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("groupless");
    brook::producer producer{topic};
    producer.send(std::int64_t{1});
    producer.flush();
    world.cluster().fail(brook::test::find_coordinator_api, std::vector<rd_kafka_resp_err_t>(1'000, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED));
    brook::consumer consumer{topic};
    std::size_t count = 0;
    for (int i = 0; i < 100; ++i) {  // librdkafka asks again each half second
        count += consumer.poll(20ms).size();
    }
    CHECK(count == 1);
    brook::consumer member{topic, {.group_id = "guarded", .max_poll_interval = brook::test::join_interval}};
    CHECK(code_of([&] {
              for (const brook::test::patience left;;) {
                  static_cast<void>(member.poll(20ms));
                  left.require_left([] { return std::string{"an error"}; });
              }
          }) == errc::authentication_failed);
}

TEST_CASE("a poll makes room for the records that come, not for max_poll_records", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<no_key, std::int64_t>("without-limit");
    brook::producer producer{topic, {.linger = 10ms}};
    for (std::int64_t i = 0; i < 3'000; ++i) {
        producer.send(i);
    }
    producer.flush();
    brook::consumer consumer{topic, {.max_poll_records = std::numeric_limits<std::int32_t>::max()}};
    const memory_limit limit{std::size_t{4} << 30};  // a pointer for each of them takes 16 GiB
    CHECK(brook::test::read_to_end(consumer).size() == 3'000);
}

TEST_CASE("a transaction that another thread begins under an id waits for the commit that is under way", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<std::string, std::int64_t>("two-threads");
    auto older = world.broker().begin_transaction({.transactional_id = "shared"});
    older.send(topic, "older", std::int64_t{1});
    world.cluster().answer_after(300ms);
    std::atomic<bool> has_begun{false};
    std::error_code of_older{};
    std::thread commits{[&] {
        has_begun = true;
        of_older = code_of([&] { older.commit(); });
    }};
    while (!has_begun) {
        std::this_thread::yield();
    }
    auto newer = world.broker().begin_transaction({.transactional_id = "shared"});  // before the commit, or behind it; never in its midst
    newer.send(topic, "newer", std::int64_t{2});
    newer.commit();
    commits.join();
    CHECK((!of_older || of_older == errc::producer_fenced));
}

TEST_CASE("a commit of a transaction that is not answered in time is unknown, whatever was said last", "[kafka][errors]") {
    auto options = mock_world::quick();
    options.default_api_timeout = 2s;
    mock_world world{options};
    auto topic = world.topic<std::string, std::int64_t>("undecided");
    auto tx = world.broker().begin_transaction({.transactional_id = "undecided"});
    tx.send(topic, "k", std::int64_t{1});
    world.cluster().fail(brook::test::end_txn_api, std::vector<rd_kafka_resp_err_t>(10'000, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS));
    const auto told = outcome_of([&] { tx.commit(); });
    CHECK(told.code == errc::timed_out);
    CHECK(told.names("whether it counts shows later"));
    rd_kafka_mock_clear_request_errors(world.cluster().get(), brook::test::end_txn_api);
    auto next = world.broker().begin_transaction({.transactional_id = "undecided"});
    next.send(topic, "k", std::int64_t{2});
    next.commit();
}

TEST_CASE("a time that Kafka does not have is refused by a transaction, too, and the transaction goes on", "[kafka][errors]") {
    mock_world world;
    auto topic = world.topic<std::string, std::int64_t>("early");
    auto tx = world.broker().begin_transaction({.transactional_id = "early"});
    const auto told = outcome_of([&] { tx.send(topic, {.key = "k", .value = 1, .timestamp = brook::timestamp{-1s}}); });
    CHECK(told.code == errc::invalid_config);
    CHECK(told.names("before 1970"));
    tx.send(topic, "k", std::int64_t{1});
    tx.commit();
    CHECK(topic.partition(0).log_end_offset() >= 1);
}

TEST_CASE("what only an embedded broker can do does not compile", "[kafka][errors]") {
    CHECK(claims<brook::producer<no_key, brook::bytes>>);
    CHECK_FALSE(claims<brook::producer<no_key, brook::bytes, brook::kafka::broker>>);
    CHECK(claims_with_key<brook::producer<std::string, brook::bytes>>);
    CHECK_FALSE(claims_with_key<brook::producer<std::string, brook::bytes, brook::kafka::broker>>);
    CHECK(is_a_log<brook::partition>);
    CHECK_FALSE(is_a_log<brook::kafka::partition>);
    CHECK(keeps_state<brook::transaction>);
    CHECK_FALSE(keeps_state<brook::kafka::transaction>);
}

}  // namespace kafka_errors_test
