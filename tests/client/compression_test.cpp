// Compression as a program sees it: asked for, forced, not worth it, missing.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/producer.hpp>
#include <brook/client/transaction.hpp>
#include <brook/format/checksum.hpp>
#include <brook/verify.hpp>

#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/compressed.hpp"

namespace client_compression_test {

using namespace std::chrono_literals;

using brook::compression;
using brook::errc;
using brook::no_key;
using brook::tombstone;
using brook::test::code_of;
using brook::test::outcome_of;
using brook::test::read_all;
using brook::test::consumed_record;
using brook::test::runs;
using brook::test::world;

namespace {

constexpr auto missing = static_cast<compression>(5);

std::string document(int number) {
    return R"({"id":)" + std::to_string(number) + R"(,"name":"customer )" + std::to_string(number % 37) + R"(","status":"ok","latency_ms":)" + std::to_string(number % 11) + "}";
}

std::string noise(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    std::string text(size, '\0');
    for (char& c : text) {
        c = static_cast<char>(random());
    }
    return text;
}

/// The codecs of the data frames of a partition, by their ids, and how many frames have them.
std::map<unsigned, int> codecs_of(const std::string& directory, const std::string& topic, std::int32_t partition = 0) {
    std::map<unsigned, int> found;
    static_cast<void>(brook::verify(directory, {.on_frame = [&](const brook::visited_frame& frame) {
        if (frame.topic == topic && frame.partition == partition && frame.kind() == brook::format::frame_kind::data) {
            ++found[brook::format::codec_of(frame.header.attributes)];
        }
        return true;
    }}));
    return found;
}

std::vector<std::string> values_of(const std::vector<consumed_record>& records) {
    std::vector<std::string> all;
    for (const auto& record : records) {
        all.push_back(record.value.value_or("null"));
    }
    return all;
}

}  // namespace

TEST_CASE("records that linger or come as a batch are compressed, and read as they were sent", "[client][compression]") {
    const auto type = GENERATE(compression::none, compression::lz4, compression::zstd, compression::user6);
    const std::string way = GENERATE(as<std::string>{}, "linger", "send_batch", "idempotent", "append time");
    CAPTURE(to_string(type), way);
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>(
        "texts", {.message_timestamp_type = way == "append time" ? std::optional{brook::timestamp_type::append_time} : std::nullopt});
    brook::producer producer{topic, {.batch_size = 4'096, .linger = way == "send_batch" ? 0s : 5s, .compression_type = type,
                                     .delivery_timeout = 10s, .enable_idempotence = way == "idempotent"}};
    std::vector<std::pair<std::string, std::string>> sent;
    for (int i = 0; i < 1'000; ++i) {
        sent.emplace_back("key " + std::to_string(i % 10), document(i) + std::string(80, 'x'));
    }
    if (way == "send_batch") {
        for (std::size_t i = 0; i < sent.size(); i += 100) {
            CHECK(producer.send_batch(0, std::vector(sent.begin() + static_cast<std::ptrdiff_t>(i), sent.begin() + static_cast<std::ptrdiff_t>(i) + 100)).get().offset ==
                  static_cast<brook::offset>(i));
        }
    } else {
        for (const auto& [key, value] : sent) {
            producer.send(key, value);
        }
        producer.flush();
    }
    const bool is_reopened = GENERATE(false, true);
    if (is_reopened) {
        producer.close();
        here.open();
        topic = here.broker->topic<std::string, std::string>("texts");
    }
    const auto read = read_all(topic);
    REQUIRE(read.size() == sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) {
        CAPTURE(i);
        REQUIRE(read[i].offset == static_cast<brook::offset>(i));
        REQUIRE(read[i].key == sent[i].first);
        REQUIRE(read[i].value == sent[i].second);
    }
    const auto codecs = codecs_of(here.directory.path(), "texts");
    REQUIRE(codecs.size() == 1);
    CHECK(codecs.begin()->first == static_cast<unsigned>(type));
    CHECK(brook::verify(here.directory.path()).is_ok());
    if (type == compression::lz4 || type == compression::zstd) {
        CHECK(topic.size_bytes() < 100'000);
    }
}

TEST_CASE("tombstones, keys that are none, headers and times come out of a compressed batch as they went in", "[client][compression]") {
    const auto type = GENERATE(compression::lz4, compression::zstd);
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("texts");
    brook::producer producer{topic, {.linger = 5s, .compression_type = type}};
    producer.send("first", std::string(300, 'a'));
    producer.send("first", tombstone);
    producer.send({.key = "second", .value = std::string(300, 'b'), .headers = {{"trace", "t1"}, {"null"}, {"trace", "t2"}}, .timestamp = brook::timestamp{7s}});
    producer.send("", "");
    producer.send({.key = "third", .value = "late", .timestamp = brook::timestamp{9'000'000s}});
    producer.flush();
    const auto read = read_all(topic);
    REQUIRE(read.size() == 5);
    CHECK(read[0].value == std::string(300, 'a'));
    CHECK(read[0].key == "first");
    CHECK_FALSE(read[1].value);
    CHECK(read[2].timestamp == brook::timestamp{7s});
    CHECK(read[2].headers == std::vector<std::pair<std::string, std::optional<std::string>>>{{"trace", "t1"}, {"null", std::nullopt}, {"trace", "t2"}});
    CHECK(read[3].key == "");
    CHECK(read[3].value == "");
    CHECK(read[4].timestamp == brook::timestamp{9'000'000s});
    CHECK(codecs_of(here.directory.path(), "texts") == std::map<unsigned, int>{{static_cast<unsigned>(type), 1}});
    CHECK(topic.partition(0).offset_for_time(brook::timestamp{8'000'000s}).has_value());
}

TEST_CASE("plain values are read in place in what was decoded, at addresses that suit them", "[client][compression]") {
    world here;
    struct tick {
        std::uint64_t id;
        double price;
    };
    auto topic = here.broker->create_topic<no_key, tick>("ticks");
    brook::producer producer{topic, {.linger = 5s, .compression_type = compression::lz4}};
    for (std::uint64_t i = 0; i < 2'000; ++i) {
        producer.send({i, 1.5});
    }
    producer.flush();
    brook::consumer consumer{topic};
    std::uint64_t next = 0;
    do {
        auto const records = consumer.poll(0s);
        for (auto const& record : records) {
            tick const& read = record.value();
            REQUIRE(read.id == next++);
            REQUIRE(read.price == 1.5);
        }
    } while (!consumer.caught_up());
    CHECK(next == 2'000);
    CHECK(codecs_of(here.directory.path(), "ticks").contains(1));
}

TEST_CASE("a consumer reads from any offset in the middle of compressed batches, of several partitions", "[client][compression]") {
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("texts", {.partitions = 3});
    brook::producer producer{topic, {.batch_size = 2'000, .linger = 5s, .compression_type = compression::zstd}};
    for (int i = 0; i < 900; ++i) {
        producer.send({.key = std::to_string(i), .value = document(i), .partition = i % 3});
    }
    producer.flush();
    const std::int32_t most = GENERATE(1, 7, 500);
    brook::consumer consumer{topic, {.max_poll_records = most}};
    consumer.assign({topic.partition(1)});
    for (brook::offset from = 0; from < 300; from += 13) {
        consumer.seek(topic.partition(1), from);
        brook::offset next = from;
        do {
            auto const records = consumer.poll(0s);
            CHECK(records.size() <= static_cast<std::size_t>(most));
            for (auto const& record : records) {
                REQUIRE(record.offset() == next);
                REQUIRE(record.value() == document(static_cast<int>(next) * 3 + 1));
                ++next;
            }
        } while (next < 300 && (most > 1 || next < from + 20));
    }
    CHECK(read_all(topic).size() == 900);
}

TEST_CASE("a poll decodes some MiB and leaves the rest to the next, whichever partitions have it", "[client][compression]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("texts", {.partitions = 4, .compression_type = compression::lz4});
    brook::producer producer{topic};
    for (std::int32_t partition = 0; partition < 4; ++partition) {
        producer.send({.value = std::string(10 << 20, 'x'), .partition = partition});
        producer.send({.value = "small", .partition = partition});
    }
    brook::consumer consumer{topic};
    std::size_t most = 0;
    std::size_t read = 0;
    do {
        auto const records = consumer.poll(0s);
        std::size_t bytes = 0;
        for (auto const& record : records) {
            bytes += record.value().size();
            ++read;
        }
        most = bytes > most ? bytes : most;
    } while (!consumer.caught_up());
    CHECK(read == 8);
    CHECK(most > (20u << 20));
    CHECK(most < (21u << 20));
}

TEST_CASE("many threads compress and read at once", "[client][compression]") {
    const auto type = GENERATE(compression::lz4, compression::zstd);
    constexpr int threads = 3;
    constexpr int each = 2'000;
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("texts", {.partitions = 2, .segment_bytes = 64 << 10});
    brook::producer producer{topic, {.batch_size = 2'000, .linger = 5s, .compression_type = type, .compression_level = 3}};
    std::vector<std::thread> running;
    for (int thread = 0; thread < threads; ++thread) {
        running.emplace_back([&, thread] {
            for (int i = 0; i < each; ++i) {
                producer.send({.key = std::to_string(thread), .value = document(i), .partition = i % 2});
                if (i % 500 == 0) {
                    producer.send({.key = "large", .value = std::string(3'000, 'l'), .partition = i % 2});
                }
            }
            producer.flush();
        });
    }
    std::map<std::string, int> next;
    std::size_t large = 0;
    brook::consumer consumer{topic};
    while (static_cast<int>(large) + next["0"] + next["1"] + next["2"] < threads * (each + 4)) {
        auto const records = consumer.poll(1s);
        for (auto const& record : records) {
            if (record.key() == "large") {
                ++large;
            } else {
                REQUIRE(record.value() == document(std::stoi(std::string{record.value().substr(6)})));
                ++next[std::string{record.key()}];
            }
        }
    }
    for (auto& thread : running) {
        thread.join();
    }
    CHECK(large == threads * 4);
    CHECK(next["1"] == each);
    CHECK(brook::verify(here.directory.path()).is_ok());
}

TEST_CASE("what was read stays, whatever becomes of consumer, producer and broker", "[client][compression]") {
    world here;
    std::optional<brook::records<std::string, std::string>> kept;
    {
        auto topic = here.broker->create_topic<std::string, std::string>("texts");
        brook::producer producer{topic, {.linger = 5s, .compression_type = compression::lz4}};
        for (int i = 0; i < 100; ++i) {
            producer.send("key", document(i));
        }
        producer.flush();
        brook::consumer consumer{topic};
        kept.emplace(consumer.poll(0s));
    }
    here.broker.reset();
    int next = 0;
    for (auto const& record : *kept) {
        CHECK(record.value() == document(next++));
        CHECK(record.topic() == "texts");
    }
    CHECK(next == 100);
}

TEST_CASE("a topic forces its codec on every producer, and keeps it", "[client][compression]") {
    const auto forced = GENERATE(compression::none, compression::lz4, compression::zstd);
    const auto asked = GENERATE(compression::none, compression::lz4, compression::zstd, missing);
    CAPTURE(to_string(forced), static_cast<int>(asked));
    world here;
    here.broker->create_topic<std::string, std::string>("texts", {.compression_type = forced});
    here.open();
    auto topic = here.broker->create_topic<std::string, std::string>("texts");
    brook::producer producer{topic, {.linger = 5s, .compression_type = asked}};
    for (int i = 0; i < 100; ++i) {
        producer.send("key", document(i));
    }
    producer.flush();
    CHECK(codecs_of(here.directory.path(), "texts") == std::map<unsigned, int>{{static_cast<unsigned>(forced), 1}});
    const auto other = forced == compression::lz4 ? compression::zstd : compression::lz4;
    const auto refused = outcome_of([&] { here.broker->create_topic<std::string, std::string>("texts", {.compression_type = other}); });
    CHECK(refused.code == errc::topic_already_exists);
    CHECK(refused.names("compression_type = " + std::string{to_string(forced)}));
    CHECK_FALSE(code_of([&] { here.broker->create_topic<std::string, std::string>("texts", {.compression_type = forced}); }));
    CHECK(code_of([&] { here.broker->create_topic<std::string, std::string>("others", {.compression_type = missing}); }) == errc::invalid_config);
}

TEST_CASE("what does not become smaller is sent as it is, whichever way it goes", "[client][compression]") {
    const auto type = GENERATE(compression::lz4, compression::zstd);
    const std::string way = GENERATE(as<std::string>{}, "linger", "send_batch", "alone");
    CAPTURE(to_string(type), way);
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("noise");
    brook::producer producer{topic, {.linger = way == "linger" ? 5s : 0s, .compression_type = type}};
    std::vector<std::string> sent;
    for (std::uint64_t i = 0; i < 5; ++i) {
        sent.push_back(noise(1'000, i));
    }
    if (way == "send_batch") {
        producer.send_batch(0, sent).get();
    } else {
        for (const auto& value : sent) {
            producer.send(value);
        }
        producer.flush();
    }
    CHECK(codecs_of(here.directory.path(), "noise") == std::map<unsigned, int>{{0, way == "alone" ? 5 : 1}});
    CHECK(values_of(read_all(topic)) == sent);
}

TEST_CASE("a record that is sent alone is compressed by itself where it is large enough to gain by it", "[client][compression]") {
    const auto type = GENERATE(compression::lz4, compression::zstd);
    const bool is_idempotent = GENERATE(false, true);
    CAPTURE(to_string(type), is_idempotent);
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("texts", {.segment_bytes = 64 << 10});
    brook::producer producer{topic, {.compression_type = type, .enable_idempotence = is_idempotent}};
    const std::string large(5'000, 'l');
    CHECK(producer.send("small", "alone").get().offset == 0);
    CHECK(producer.send("large", large).get().offset == 1);
    const brook::record_metadata where = producer.send({.key = "large", .value = large, .headers = {{"trace", "t1"}}, .timestamp = brook::timestamp{7s}}).get();
    CHECK(where.offset == 2);
    CHECK(where.timestamp == brook::timestamp{7s});
    CHECK(producer.send("small", tombstone).get().offset == 3);
    CHECK(producer.send("noise", noise(600, 1)).get().offset == 4);
    CHECK(producer.send({.key = "noise", .value = noise(600, 2), .headers = {{"trace", "t2"}}}).get().offset == 5);
    CHECK(codecs_of(here.directory.path(), "texts") == std::map<unsigned, int>{{0, 4}, {static_cast<unsigned>(type), 2}});
    const auto read = read_all(topic);
    CHECK(values_of(read) == std::vector<std::string>{"alone", large, large, "null", noise(600, 1), noise(600, 2)});
    CHECK(read[2].timestamp == brook::timestamp{7s});
    CHECK(read[2].key == "large");
    CHECK(read[2].headers.at(0).first == "trace");
    CHECK(read[5].headers.at(0).second == "t2");
    CHECK(code_of([&] { producer.send("large", std::string(70'000, 'l')).get(); }) == errc::record_too_large);  // though it would fit
    const std::vector<std::pair<std::string, std::string>> batch{{"a", std::string(70'000, 'l')}};
    CHECK(code_of([&] { producer.send_batch(0, batch).get(); }) == errc::record_too_large);
}

TEST_CASE("an idempotent producer's repetitions are known in compressed batches, in this life and the next", "[client][compression]") {
    world here;
    here.broker->create_topic<no_key, std::string>("texts");
    for (int life = 0; life < 3; ++life) {
        CAPTURE(life);
        here.open();
        auto topic = here.broker->topic<no_key, std::string>("texts");
        brook::producer producer{topic, {.batch_size = 1'000, .linger = 5s, .compression_type = compression::zstd, .name = "importer"}};
        CHECK(producer.last_sequence().value_or(-1) == (life == 0 ? -1 : 99 + (life - 1) * 10));
        for (int i = life == 0 ? 0 : 95 + (life - 1) * 10; i < 100 + life * 10; ++i) {
            producer.send({.value = document(i), .sequence = i});
        }
        producer.flush();
        CHECK(topic.partition(0).log_end_offset() == 100 + life * 10);
    }
    auto topic = here.broker->topic<no_key, std::string>("texts");
    const auto read = values_of(read_all(topic));
    for (int i = 0; i < 120; ++i) {
        REQUIRE(read.at(static_cast<std::size_t>(i)) == document(i));
    }
    CHECK(codecs_of(here.directory.path(), "texts").contains(2));
}

TEST_CASE("a transaction's batches are compressed, and count or do not as a whole", "[client][compression]") {
    const bool is_forced = GENERATE(false, true);
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("texts", {.partitions = 2, .compression_type = is_forced ? std::optional{compression::lz4} : std::nullopt});
    brook::transaction_options options{.transactional_id = "enricher"};
    if (!is_forced) {
        options.compression_type = compression::lz4;
        options.compression_level = 9;
    }
    for (int round = 0; round < 3; ++round) {
        auto tx = here.broker->begin_transaction(options);
        for (int i = 0; i < 100; ++i) {
            tx.send(topic, {.key = "key", .value = document(i), .partition = i % 2});
        }
        if (round != 1) {
            tx.commit();
        }
    }
    {
        auto tx = here.broker->begin_transaction(options);  // larger than what is kept in memory, and aborted
        for (int i = 0; i < 3'000; ++i) {
            tx.send(topic, {.key = "key", .value = document(i) + std::string(1'000, 'x'), .partition = 1});
        }
    }
    here.open();
    topic = here.broker->topic<std::string, std::string>("texts");
    const auto read = read_all(topic);
    CHECK(read.size() == 200);
    CHECK(codecs_of(here.directory.path(), "texts", 0) == std::map<unsigned, int>{{1, 2}});
    CHECK(codecs_of(here.directory.path(), "texts", 1).size() == 1);
    CHECK(brook::verify(here.directory.path()).is_ok());
}

TEST_CASE("a codec that this program lacks is refused when something is to be written with it", "[client][compression]") {
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("texts");
    const auto refused = outcome_of([&] { brook::producer{topic, {.compression_type = missing}}; });
    CHECK(refused.code == errc::unsupported_compression_type);
    CHECK(refused.names("producer of topic 'texts'"));
    CHECK(outcome_of([&] { brook::producer{topic, {.compression_level = 3}}; }).names("compression_level"));
    CHECK(outcome_of([&] { brook::producer{topic, {.compression_type = compression::zstd, .compression_level = 99}}; }).names("99"));
    CHECK(code_of([&] { static_cast<void>(here.broker->begin_transaction({.transactional_id = "t", .compression_type = missing})); }) == errc::unsupported_compression_type);

    auto forced = here.broker->create_topic<std::string, std::string>("forced", {.compression_type = compression::user7});  // made where the codec is
    CHECK(outcome_of([&] { brook::producer{forced}; }).names("by the topic's options"));
    auto tx = here.broker->begin_transaction({.transactional_id = "t"});
    tx.send(topic, "key", "value");
    CHECK(code_of([&] { tx.send(forced, "key", "value"); }) == errc::unsupported_compression_type);
    tx.commit();  // without that one
    CHECK(read_all(topic).size() == 1);
}

TEST_CASE("a user's codec is one like others, with its levels, once it is registered", "[client][compression]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("runs", {.compression_type = compression::user6});
    runs.last_level = 0;
    brook::producer producer{topic, {.linger = 5s, .compression_type = compression::user6, .compression_level = 2}};
    producer.send(std::string(1'000, 'r'));
    producer.flush();
    CHECK(runs.last_level == 2);
    CHECK(codecs_of(here.directory.path(), "runs") == std::map<unsigned, int>{{6, 1}});
    CHECK(values_of(read_all(topic)) == std::vector<std::string>{std::string(1'000, 'r')});
}

TEST_CASE("a program that lacks a codec says so at the batch, and can pass it", "[client][compression]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("texts");
    {
        brook::producer producer{topic, {.linger = 5s, .compression_type = compression::lz4}};
        producer.send("before");
        producer.flush();
        for (int i = 0; i < 50; ++i) {
            producer.send(document(i));
        }
        producer.flush();
        producer.send("behind");
        producer.flush();
        REQUIRE(topic.partition(0).log_end_offset() == 52);
    }
    here.broker.reset();
    // Another program's batch: the same with another codec in its attributes, and the checksum that it would have.
    const std::string path = here.directory.path() + "/topics/texts/0/00000000000000000000.log";
    std::string content;
    {
        std::ifstream file{path, std::ios::binary};
        content.assign(std::istreambuf_iterator<char>{file}, {});
    }
    auto* const bytes = reinterpret_cast<std::byte*>(content.data());
    const auto seed = brook::load<std::uint64_t>(bytes + 16);
    brook::position at = 256;
    while (brook::format::codec_of(brook::format::load_header(bytes + at).attributes) == 0) {
        at += brook::format::word_of(brook::format::load_header(bytes + at)).length();
    }
    auto header = brook::format::load_header(bytes + at);
    header.attributes = 5;
    brook::store(bytes + at, header);
    header.checksum = brook::format::checksum_of(seed, at, header, bytes + at);
    brook::store(bytes + at, header);
    {
        std::ofstream file{path, std::ios::binary | std::ios::trunc};
        file.write(content.data(), static_cast<std::streamsize>(content.size()));
    }
    here.open();
    topic = here.broker->topic<no_key, std::string>("texts");
    brook::consumer consumer{topic};
    CHECK(consumer.poll(0s).size() == 1);
    for (int again = 0; again < 2; ++again) {
        const auto refused = outcome_of([&] { static_cast<void>(consumer.poll(0s)); });
        CHECK(refused.code == errc::unsupported_compression_type);
        CHECK(refused.names("offset 1"));
    }
    consumer.seek(topic.partition(0), 51);
    const auto rest = consumer.poll(0s);
    REQUIRE(rest.size() == 1);
    CHECK(rest.front().value() == "behind");

    const auto report = brook::verify(here.directory.path());
    CAPTURE(report.text());
    CHECK(report.is_ok());
    CHECK(report.findings.count(brook::severity::note) == 1);
    CHECK(report.findings[0].text.find("no codec 5") != std::string::npos);
    CHECK(report.findings[0].begin == at);
    CHECK(report.topics.back().records() == 52);
}

TEST_CASE("batches that are compressed to almost nothing are written as they are beyond 1 MiB, since no reader believes them", "[client][compression]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("zeros");
    brook::producer producer{topic, {.compression_type = compression::zstd}};
    const std::string most(1'000'000, '\0');
    const std::string more(3 << 20, '\0');
    producer.send(most).get();
    producer.send(more).get();
    CHECK(codecs_of(here.directory.path(), "zeros") == std::map<unsigned, int>{{0, 1}, {2, 1}});
    CHECK(values_of(read_all(topic)) == std::vector<std::string>{most, more});
}

}  // namespace client_compression_test
