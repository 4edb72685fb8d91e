// Records of several topics and offsets that were read, all of it or nothing.
#include <brook/client/transaction.hpp>

#include <algorithm>
#include <cerrno>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/producer.hpp>

#include "broker/child.hpp"
#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace client_transaction_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::isolation_level;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::in_child;
using brook::test::operation;
using brook::test::temp_directory;

namespace {

using text_topic = brook::topic<brook::no_key, std::string>;
using number_topic = brook::topic<std::string, std::uint64_t>;

/// Two topics of different types, in segments so small that a few records of 1.5 KB do not fit in one.
struct world : brook::test::world {
    [[nodiscard]] text_topic texts(brook::topic_options options = {.segment_bytes = 4'096}) {
        return broker->create_topic<brook::no_key, std::string>("texts", options);
    }
    [[nodiscard]] number_topic numbers(brook::topic_options options = {.partitions = 3, .segment_bytes = 4'096}) {
        return broker->create_topic<std::string, std::uint64_t>("numbers", options);
    }
    [[nodiscard]] brook::transaction begin(std::string id = "enricher") const { return broker->begin_transaction({.transactional_id = std::move(id)}); }
};

std::string large(char fill) { return std::string(1'500, fill); }

/// Begins to append before it is committed: the first two records fill a segment.
void send_large(brook::transaction& to, const text_topic& topic, char fill) {
    for (int i = 0; i < 3; ++i) {
        to.send(topic, large(fill));
    }
}

/// The first letters of what can be read now.
std::string read(const text_topic& topic, isolation_level level = isolation_level::read_committed) {
    brook::consumer consumer{topic, {.isolation_level = level}};
    std::string all;
    do {
        const auto found = consumer.poll(0s);
        for (const auto& record : found) {
            all += record.value().front();
        }
    } while (!consumer.caught_up());
    return all;
}

std::vector<std::uint64_t> read(const number_topic& topic) {
    std::vector<std::uint64_t> all;
    brook::consumer consumer{topic};
    do {
        const auto found = consumer.poll(0s);
        for (const auto& record : found) {
            all.push_back(record.value());
        }
    } while (!consumer.caught_up());
    std::sort(all.begin(), all.end());
    return all;
}

}  // namespace

TEST_CASE("a transaction's records are seen together, when it is committed", "[client][transaction]") {
    world here;
    const auto texts = here.texts();
    const auto numbers = here.numbers();
    auto tx = here.begin();
    tx.send(texts, "a");
    tx.send(numbers, "one", 1);
    tx.send(numbers, {.key = "two", .value = 2, .headers = {{"trace", "t1"}}, .partition = 2});
    CHECK(read(texts).empty());
    CHECK(read(texts, isolation_level::read_uncommitted).empty());  // it is in memory
    CHECK(read(numbers).empty());
    tx.commit();
    CHECK(read(texts) == "a");
    CHECK(read(numbers) == std::vector<std::uint64_t>{1, 2});
    brook::consumer consumer{numbers};
    consumer.assign({numbers.partition(2)});
    bool is_there = false;
    const auto found = consumer.poll(0s);
    for (const auto& record : found) {
        is_there = is_there || (record.key() == "two" && record.header("trace") == "t1");
    }
    CHECK(is_there);
}

TEST_CASE("a transaction that is dropped or aborted leaves nothing", "[client][transaction]") {
    const int is_dropped = GENERATE(0, 1);
    world here;
    const auto texts = here.texts();
    {
        auto tx = here.begin();
        tx.send(texts, "a");
        if (is_dropped == 0) {
            tx.abort();
            CHECK(code_of([&] { tx.send(texts, "b"); }) == errc::illegal_state);
            CHECK(code_of([&] { tx.commit(); }) == errc::illegal_state);
            tx.abort();  // again: nothing happens
        }
    }
    CHECK(texts.partition(0).log_end_offset() == 0);
}

TEST_CASE("what is too large for memory is appended before, and readers of committed records wait in front of it", "[client][transaction]") {
    const int is_committed = GENERATE(0, 1);
    CAPTURE(is_committed);
    world here;
    const auto texts = here.texts();
    brook::producer others{texts};
    others.send("a").get();
    auto tx = here.begin();
    send_large(tx, texts, 'b');
    others.send("c").get();
    CHECK(texts.partition(0).last_stable_offset() == 1);
    CHECK(read(texts) == "a");
    CHECK(read(texts, isolation_level::read_uncommitted) == "abbc");
    brook::consumer behind{texts, {.auto_offset_reset = brook::offset_reset::latest}};
    CHECK(behind.poll(0s).empty());
    CHECK(behind.caught_up());
    is_committed != 0 ? tx.commit() : tx.abort();
    CHECK(texts.partition(0).last_stable_offset() == texts.partition(0).log_end_offset());
    CHECK(read(texts) == (is_committed != 0 ? "abbcb" : "ac"));
    CHECK(read(texts, isolation_level::read_uncommitted) == (is_committed != 0 ? "abbcb" : "abbc"));
    const auto rest = behind.poll(0s);
    CHECK(rest.size() == (is_committed != 0 ? 4u : 1u));  // it began at the last stable offset
    here.open();
    CHECK(read(here.texts()) == (is_committed != 0 ? "abbcb" : "ac"));
}

TEST_CASE("a poll that waits in front of a transaction is woken when it is decided", "[client][transaction]") {
    const int is_committed = GENERATE(0, 1);
    const int round = GENERATE(range(0, 8));  // in most of them the reader sleeps by the time of the decision
    CAPTURE(round);
    world here;
    const auto texts = here.texts();
    auto tx = here.begin();
    send_large(tx, texts, 'b');
    brook::producer{texts}.send("c").get();
    std::string seen;
    std::atomic<bool> is_about_to_poll{false};
    std::thread reader{[&] {
        brook::consumer consumer{texts};
        is_about_to_poll.store(true);
        while (seen.find('c') == std::string::npos) {
            const auto found = consumer.poll();
            for (const auto& record : found) {
                seen += record.value().front();
            }
        }
    }};
    while (!is_about_to_poll.load()) {
        std::this_thread::yield();
    }
    for (int i = 0; i < 1'000; ++i) {
        std::this_thread::yield();
    }
    is_committed != 0 ? tx.commit() : tx.abort();
    reader.join();
    CHECK(seen == (is_committed != 0 ? seen.substr(0, 2) + "c" + seen.substr(3) : "c"));
}

TEST_CASE("who begins under an id aborts what is open there, and fences who began it", "[client][transaction]") {
    world here;
    const auto texts = here.texts();
    auto older = here.begin();
    send_large(older, texts, 'a');
    auto other = here.begin("another");
    other.send(texts, "o");
    auto newer = here.begin();
    newer.send(texts, "b");
    CHECK(read(texts).empty());
    CHECK(texts.partition(0).last_stable_offset() == 2);  // nobody waits for it any more
    CHECK(code_of([&] { older.commit(); }) == errc::producer_fenced);
    newer.commit();
    other.commit();
    CHECK(read(texts) == "bo");
    here.open();
    CHECK(read(here.texts()) == "bo");
}

TEST_CASE("a transaction that holds readers up for too long is aborted", "[client][transaction]") {
    world here;
    here.platform.set_monotonic(100s);
    const auto texts = here.texts();
    auto slow = here.broker->begin_transaction({.transactional_id = "slow", .transaction_timeout = 10s});
    auto quiet = here.broker->begin_transaction({.transactional_id = "quiet", .transaction_timeout = 10s});
    send_large(slow, texts, 's');
    quiet.send(texts, "q");  // in memory: it holds nobody up
    brook::producer{texts}.send("c").get();
    here.platform.set_monotonic(109s);
    here.broker->maintain();
    CHECK(read(texts).empty());
    here.platform.set_monotonic(110s);
    here.broker->maintain();
    CHECK(read(texts) == "c");
    CHECK(code_of([&] { slow.commit(); }) == errc::transaction_aborted);
    quiet.commit();
    CHECK(read(texts) == "cq");
}

TEST_CASE("what a consumer has read is committed with a transaction, or is not", "[client][transaction]") {
    world here;
    const auto texts = here.texts();
    const auto numbers = here.numbers();
    brook::producer input{texts};
    for (int i = 0; i < 4; ++i) {
        input.send(std::string(1, static_cast<char>('a' + i))).get();
    }
    brook::consumer consumer{texts, {.group_id = "readers", .max_poll_records = 2}};
    {
        REQUIRE(consumer.poll().size() == 2);
        auto tx = here.begin();
        tx.send(numbers, "k", 1);
        tx.commit_offsets(consumer);
        CHECK_FALSE(consumer.committed(texts.partition(0)));
        tx.commit();
    }
    CHECK(consumer.committed(texts.partition(0)) == 2);
    {
        REQUIRE(consumer.poll().size() == 2);
        auto tx = here.begin();
        tx.send(numbers, "k", 2);
        tx.commit_offsets(consumer);
    }
    CHECK(consumer.committed(texts.partition(0)) == 2);
    consumer.seek_to_committed();
    CHECK(consumer.position(texts.partition(0)) == 2);
    {
        REQUIRE(consumer.poll().size() == 2);
        auto tx = here.begin();
        tx.commit_offsets(consumer);  // no record at all
        tx.commit();
    }
    here.open();
    CHECK(read(here.numbers()) == std::vector<std::uint64_t>{1});
    CHECK(here.broker->group("readers").partitions.front().committed == 4);
}

TEST_CASE("offsets of a consumer that its group has put out abort the transaction", "[client][transaction]") {
    world here;
    here.platform.set_monotonic(100s);
    const auto texts = here.texts();
    const auto numbers = here.numbers();
    brook::producer{texts}.send("a").get();
    brook::consumer consumer{texts, {.group_id = "readers", .max_poll_interval = 10s}};
    REQUIRE(consumer.poll().size() == 1);
    auto tx = here.begin();
    tx.send(numbers, "k", 1);
    tx.commit_offsets(consumer);
    here.broker->maintain();
    here.platform.set_monotonic(200s);
    here.broker->maintain();
    CHECK(code_of([&] { tx.commit(); }) == errc::illegal_generation);
    CHECK(read(numbers).empty());
    CHECK(code_of([&] { static_cast<void>(here.broker->group("readers")); }) == errc::group_id_not_found);
    brook::consumer alone{texts};
    auto next = here.begin();
    CHECK(code_of([&] { next.commit_offsets(alone); }) == errc::illegal_state);
    brook::consumer hasty{texts, {.group_id = "hasty", .enable_auto_commit = true}};
    CHECK(code_of([&] { next.commit_offsets(hasty); }) == errc::invalid_config);
}

TEST_CASE("a state that rides in a transaction is there for the next", "[client][transaction]") {
    world here;
    CHECK(here.broker->transaction_state("enricher").empty());
    {
        auto tx = here.begin();
        tx.set_state("one");
        tx.commit();
    }
    {
        auto tx = here.begin();
        tx.set_state("two");
    }
    CHECK(here.broker->transaction_state("enricher") == "one");
    {
        auto tx = here.begin();
        tx.send(here.texts(), "a");
        tx.commit();
    }
    here.open();
    CHECK(here.broker->transaction_state("enricher") == "one");
    CHECK(here.broker->transaction_state("another").empty());
    auto tx = here.begin();
    CHECK(code_of([&] { tx.set_state(std::string(2'000'000, 's')); }) == errc::record_too_large);
    tx.abort();
    CHECK(here.broker->transaction_state("enricher") == "one");
}

TEST_CASE("what a process leaves open that is killed is aborted, and what it committed stays", "[client][transaction]") {
    world here;
    static_cast<void>(here.texts());
    here.broker.reset();
    for (int life = 0; life < 3; ++life) {
        const int ended = in_child([&]() -> int {
            brook::broker broker{here.directory.path(), {.maintenance = brook::maintenance::manual}};
            const auto texts = broker.topic<brook::no_key, std::string>("texts");
            for (int i = 0; i < 3; ++i) {
                auto tx = broker.begin_transaction({.transactional_id = "enricher"});
                send_large(tx, texts, 'c');
                tx.commit();
                auto failed = broker.begin_transaction({.transactional_id = "enricher"});
                send_large(failed, texts, 'x');
            }
            auto open = broker.begin_transaction({.transactional_id = "enricher"});
            send_large(open, texts, 'o');
            ::_exit(7);  // as a kill, before any destructor
        });
        REQUIRE(ended == 7);
        here.open();
        CHECK(read(here.texts()) == std::string(static_cast<std::size_t>(9 * (life + 1)), 'c'));
        CHECK(read(here.texts(), isolation_level::read_uncommitted).size() > static_cast<std::size_t>(9 * (life + 1)));
        CHECK(here.texts().partition(0).last_stable_offset() == here.texts().partition(0).log_end_offset());
        here.broker.reset();
    }
}

TEST_CASE("an id may fail as often as it likes", "[client][transaction]") {
    world here;
    const auto texts = here.texts({.segment_bytes = 65'536});
    brook::producer others{texts};
    for (int i = 0; i < 1'100; ++i) {  // more than one producer id keeps
        auto tx = here.begin();
        for (int k = 0; k < 2; ++k) {
            tx.send(texts, {.value = "x", .timestamp = brook::timestamp{std::chrono::nanoseconds{k == 0 ? INT64_MIN : INT64_MAX}}});  // no batch spans that
        }
        if (i % 100 == 99) {
            tx.send(texts, "c");
            tx.commit();
        }
    }
    const std::string committed = read(texts);
    CHECK(std::count(committed.begin(), committed.end(), 'c') == 11);
    CHECK(committed.size() == 33);
    CHECK(read(texts, isolation_level::read_uncommitted).size() == 1'122);
    here.open();
    CHECK(read(here.texts({})) == committed);
}

TEST_CASE("a disk that is full aborts a transaction, and the next one goes on", "[client][transaction]") {
    const std::string where = GENERATE(as<std::string>{}, "/texts/", "/numbers/", "/__transaction_state/", "/__consumer_offsets/");
    CAPTURE(where);
    world here;
    const auto texts = here.texts({.segment_bytes = 131'072});
    const auto numbers = here.numbers({.segment_bytes = 131'072});
    brook::producer input{texts};
    input.send("i").get();
    brook::consumer consumer{texts, {.group_id = "readers"}};
    REQUIRE(consumer.poll().size() == 1);
    std::uint64_t committed = 0;
    here.platform.inject({.on = operation::allocate, .number = ENOSPC, .lasting = true, .path = where});
    std::error_code code;
    for (int i = 0; i < 20'000 && !code; ++i) {
        try {
            auto tx = here.begin();
            tx.send(texts, large('t'));
            for (int k = 0; k < 30; ++k) {
                tx.send(numbers, "a key", committed);
            }
            tx.set_state(large('s'));
            tx.commit_offsets(consumer);
            tx.commit();
            ++committed;
        } catch (const brook::error& why) {
            code = why.code();
        }
    }
    CHECK(code == std::errc::no_space_on_device);
    const auto check = [&] {
        CHECK(read(here.numbers({})).size() == committed * 30);
        CHECK(read(here.texts({})).size() == committed + 1);
    };
    check();
    here.platform.heal();
    auto tx = here.begin();
    tx.send(texts, large('t'));
    for (int k = 0; k < 30; ++k) {
        tx.send(numbers, "a key", committed);
    }
    tx.commit();
    ++committed;
    check();
    here.open();
    check();
}

TEST_CASE("a transaction's records are seen when its own record is there, and not before", "[client][transaction]") {
    world here;
    const auto texts = here.texts();
    std::size_t committed = 0;
    std::vector<std::size_t> seen_between;
    here.platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::allocate && path.find("/__transaction_state/") != std::string::npos) {  // room for that record
            seen_between.push_back(read(texts).size() - committed);
        }
    });
    for (int i = 0; i < 100 && seen_between.size() < 3; ++i) {
        auto tx = here.begin();
        send_large(tx, texts, 't');
        tx.set_state(std::string(100'000, 's'));
        tx.commit();
        committed += 3;
    }
    here.platform.on_call(nullptr);
    CHECK(seen_between == std::vector<std::size_t>(3, 0));
    CHECK(read(texts).size() == committed);
}

TEST_CASE("offsets of a transaction that failed behind them are not committed, by the next opening neither", "[client][transaction]") {
    world here;
    const auto texts = here.texts();
    brook::producer input{texts};
    input.send("a").get();
    brook::consumer consumer{texts, {.group_id = "readers"}};
    REQUIRE(consumer.poll().size() == 1);
    consumer.commit();
    input.send("b").get();
    REQUIRE(consumer.poll().size() == 1);
    const std::string state(100'000, 's');
    const auto committed = [&] { return here.broker->group("readers").partitions.front().committed; };
    const auto commit_state = [&](auto&... consumers) {
        auto tx = here.begin();
        tx.set_state(state);
        (tx.commit_offsets(consumers), ...);
        tx.commit();
    };
    commit_state();
    here.platform.inject({.on = operation::allocate, .number = ENOSPC, .lasting = true, .path = "/__transaction_state/"});
    std::error_code full;
    for (int i = 0; i < 1'000 && !full; ++i) {
        full = code_of([&] { commit_state(); });
    }
    CHECK(full == std::errc::no_space_on_device);
    CHECK(code_of([&] { commit_state(consumer); }) == std::errc::no_space_on_device);
    CHECK(committed() == 1);
    here.open();
    CHECK(committed() == 1);
    here.platform.heal();
    brook::consumer again{here.texts(), {.group_id = "readers"}};
    REQUIRE(again.poll(0s).size() == 1);
    commit_state(again);
    here.open();
    CHECK(committed() == 2);
}

TEST_CASE("a commit waits for the disk where a topic of it has flush_messages", "[client][transaction]") {
    const int is_promised = GENERATE(0, 1);
    world here;
    const auto texts = is_promised != 0 ? here.texts({.flush_messages = 1}) : here.texts();
    const auto numbers = here.numbers({.segment_bytes = 4'096});
    for (std::uint64_t i = 0; i < 2; ++i) {
        auto tx = here.begin();
        tx.send(texts, "a");
        tx.send(numbers, {.key = "k", .value = i, .partition = 0});
        here.platform.forget_calls();  // of the first: that there are transactions at all is written down, too
        tx.commit();
    }
    CHECK(texts.partition(0).durable_offset() == (is_promised != 0 ? 2 : 0));
    CHECK(numbers.partition(0).durable_offset() == (is_promised != 0 ? 2 : 0));  // or one would be there without the other
    CHECK(here.platform.calls(operation::sync) == (is_promised != 0 ? 3u : 0u));
}

TEST_CASE("what told of the transactions may be damaged: then nobody passes one off as aborted", "[client][transaction]") {
    world here;
    brook::producer others{here.texts()};
    others.send("a").get();
    {
        auto tx = here.begin();
        tx.send(here.texts(), "b");
        tx.commit();
    }
    others.send("c").get();
    others.close();
    here.broker.reset();
    std::error_code code;
    const auto file = here.platform.open(here.directory.path() + "/topics/__transaction_state/0/00000000000000000000.log", brook::os::open_mode::read_write, code);
    REQUIRE(file);
    code = file->write_at(256 + 60, brook::as_bytes(std::string{"damage"}));
    REQUIRE_FALSE(code);
    here.open();
    CHECK_FALSE(here.broker->health().is_ok());
    CHECK(code_of([&] { static_cast<void>(here.begin()); }) == errc::corrupt_record);
    brook::consumer consumer{here.texts()};
    CHECK(consumer.poll(0s).size() == 1);
    CHECK(code_of([&] { static_cast<void>(consumer.poll(0s)); }) == errc::corrupt_record);
    CHECK(read(here.texts(), isolation_level::read_uncommitted) == "abc");
}

TEST_CASE("without what told of the transactions nobody passes one off as aborted", "[client][transaction]") {
    world here;
    {
        auto tx = here.begin();
        tx.send(here.texts(), "b");
        tx.commit();
    }
    here.broker.reset();
    std::filesystem::remove_all(here.directory.path() + "/topics/__transaction_state");
    here.open();
    brook::consumer consumer{here.texts()};
    CHECK(code_of([&] { static_cast<void>(consumer.poll(0s)); }) == errc::corrupt_record);
    CHECK(code_of([&] { static_cast<void>(here.begin()); }) == errc::corrupt_record);  // or they would pass for aborted from then on
    CHECK(code_of([&] { static_cast<void>(here.broker->transaction_state("enricher")); }) == errc::corrupt_record);
    CHECK_FALSE(here.broker->health().is_ok());
}

TEST_CASE("asking for a state makes nothing", "[client][transaction]") {
    world here;
    CHECK(here.broker->transaction_state("enricher").empty());
    CHECK_FALSE(std::filesystem::exists(here.directory.path() + "/topics/__transaction_state"));
}

TEST_CASE("a topic that could not be opened this once leaves its transactions undecided", "[client][transaction]") {
    world here;
    {
        auto tx = here.begin();
        tx.send(here.texts(), "b");
        tx.send(here.numbers(), "k", 1);
        tx.commit();
    }
    here.broker.reset();
    here.platform.inject({.on = operation::list, .number = EIO, .lasting = true, .path = "/numbers/0"});
    here.open();
    {
        brook::consumer consumer{here.texts()};
        CHECK(code_of([&] { static_cast<void>(consumer.poll(0s)); }) == errc::corrupt_record);
    }
    here.platform.heal();
    here.open();
    CHECK(read(here.texts()) == "b");
    CHECK(read(here.numbers()) == std::vector<std::uint64_t>{1});
}

TEST_CASE("two assigned consumers of one group commit what each has read; one of another broker none", "[client][transaction]") {
    world here;
    const auto numbers = here.numbers({.partitions = 2});
    brook::producer input{numbers};
    input.send({.key = "k", .value = 1, .partition = 0}).get();
    input.send({.key = "k", .value = 2, .partition = 1}).get();
    brook::consumer one{numbers, {.group_id = "readers"}};
    brook::consumer other{numbers, {.group_id = "readers"}};
    one.assign({numbers.partition(0)});
    other.assign({numbers.partition(1)});
    REQUIRE(one.poll().size() == 1);
    REQUIRE(other.poll().size() == 1);
    auto tx = here.begin();
    tx.commit_offsets(one);
    tx.commit_offsets(other);
    tx.commit();
    CHECK(one.committed(numbers.partition(0)) == 1);
    CHECK(other.committed(numbers.partition(1)) == 1);

    temp_directory elsewhere;
    brook::broker strange{elsewhere.path(), {.maintenance = brook::maintenance::manual}};
    auto theirs = strange.begin_transaction({.transactional_id = "enricher"});
    CHECK(code_of([&] { theirs.commit_offsets(one); }) == errc::illegal_state);
}

TEST_CASE("misuse of transactions is refused, and loses nothing", "[client][transaction]") {
    world here;
    temp_directory elsewhere;
    brook::broker other{elsewhere.path(), {.maintenance = brook::maintenance::manual}};
    const auto strange = other.create_topic<brook::no_key, std::string>("texts");
    const auto texts = here.texts();
    CHECK(code_of([&] { static_cast<void>(here.begin("")); }) == errc::invalid_config);
    CHECK(code_of([&] { static_cast<void>(here.broker->begin_transaction({.transactional_id = "x", .transaction_timeout = 0s})); }) == errc::invalid_config);
    auto tx = here.begin();
    tx.send(texts, "a");
    CHECK(code_of([&] { tx.send(strange, "b"); }) == errc::illegal_state);
    CHECK(code_of([&] { tx.send(texts, std::string(5'000, 'l')); }) == errc::record_too_large);
    CHECK(code_of([&] { tx.send(texts, {.value = "b", .partition = 1}); }) == errc::unknown_topic_or_partition);
    CHECK(code_of([&] { tx.send(texts, {.value = "b", .sequence = 1}); }) == errc::invalid_config);
    auto moved = std::move(tx);
    CHECK(code_of([&] { tx.send(texts, "b"); }) == errc::illegal_state);  // NOLINT(bugprone-use-after-move): that is what it says
    moved.commit();
    CHECK(read(texts) == "a");
    auto late = here.begin();
    late.send(texts, "z");
    here.broker->close();
    CHECK(code_of([&] { late.commit(); }) == errc::closed);
    here.open();
    CHECK(read(here.texts()) == "a");
}

TEST_CASE("whatever transactions do beside each other, committed records are read once and in order, aborted ones never", "[client][transaction]") {
    constexpr int schedules = 20;
    for (int seed = 0; seed < schedules; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{static_cast<unsigned>(seed)};
        const auto below = [&random](int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); };
        world here;
        const brook::topic_options options{.partitions = 1 + below(3), .segment_bytes = below(2) == 0 ? 4'096 : 32'768};
        auto topic = here.broker->create_topic<std::string, std::string>("all", options);
        std::map<std::string, std::vector<std::string>> expected;  // by key
        std::map<std::string, std::vector<std::string>> seen;
        int next = 0;
        std::optional<brook::consumer<std::string, std::string>> reader;
        const auto read_some = [&] {
            const auto found = reader->poll(0s);
            for (const auto& record : found) {
                seen[std::string{record.key()}].push_back(std::string{record.value().substr(0, 8)});
            }
        };
        for (int life = 0; life < 3; ++life) {
            struct running {
                brook::transaction tx;
                std::vector<std::pair<std::string, std::string>> sent;
            };
            std::map<std::string, running> open;
            brook::producer plain{topic};
            reader.emplace(topic, brook::consumer_options{.group_id = "model", .max_poll_records = 1 + below(20)});
            for (int step = 0; step < 120; ++step) {
                const std::string id{static_cast<char>('A' + below(3))};
                std::string value = std::to_string(10'000'000 + next++) + std::string(static_cast<std::size_t>(below(1'200)), '.');
                const std::string key = id + std::to_string(below(2));  // who writes a key does so in order
                switch (below(8)) {
                    case 0:
                        plain.send("plain", value).get();
                        expected["plain"].push_back(value.substr(0, 8));
                        break;
                    case 1:
                        if (const auto found = open.find(id); found != open.end()) {
                            found->second.tx.commit();
                            for (const auto& [sent_key, sent_value] : found->second.sent) {
                                expected[sent_key].push_back(sent_value);
                            }
                            open.erase(found);
                        }
                        break;
                    case 2: open.erase(id); break;
                    case 3: read_some(); break;
                    case 4: here.broker->maintain(); break;
                    default: {
                        auto found = open.find(id);
                        if (found == open.end()) {
                            found = open.emplace(id, running{here.begin(id), {}}).first;
                        }
                        found->second.tx.send(topic, key, value);
                        found->second.sent.emplace_back(key, value.substr(0, 8));
                    }
                }
            }
            plain.close();
            if (below(2) == 0) {
                open.clear();
            }
            read_some();
            reader->commit();
            reader.reset();
            here.open();
            open.clear();
            topic = here.broker->topic<std::string, std::string>("all");
        }
        reader.emplace(topic, brook::consumer_options{.group_id = "model"});
        do {
            read_some();
        } while (!reader->caught_up());
        CHECK(seen == expected);
    }
}

}  // namespace client_transaction_test
