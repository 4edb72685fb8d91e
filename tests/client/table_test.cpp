// The latest value of each key, beside a std::map that is told the same.
#include <brook/client/table.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
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
#include <brook/format/table_file.hpp>
#include <brook/verify.hpp>

#include "broker/child.hpp"
#include "broker/outcome.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/compressed.hpp"
#include "support/failing_memory.hpp"
#include "support/faulty_platform.hpp"
#include "support/rebooting_platform.hpp"
#include "support/temp_directory.hpp"

namespace client_table_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::tombstone;
using brook::test::code_of;
using brook::test::failing_memory;
using brook::test::operation;
using brook::test::outcome_of;
using brook::test::run_codec;

namespace {

using text_topic = brook::topic<std::string, std::string>;
using text_table = brook::table<std::string, std::string>;
using model = std::map<std::string, std::string>;
constexpr auto runs = static_cast<brook::compression>(run_codec::id);

struct world : brook::test::world {
    using brook::test::world::world;

    [[nodiscard]] text_topic topic(brook::topic_options options = {.segment_bytes = 4'096}) { return broker->create_topic<std::string, std::string>("texts", options); }
    [[nodiscard]] std::string file(const std::string& name, int partition = 0) const {
        return directory.path() + "/topics/texts/" + std::to_string(partition) + '/' + name;
    }
    [[nodiscard]] std::string index(int partition = 0) const { return file(std::string{brook::format::table_file_name}, partition); }
    void maintain(int times = 4) {
        for (int i = 0; i < times; ++i) {
            broker->maintain();
        }
    }
};

model contents(text_table& table) {
    model all;
    for (const auto& record : table) {
        CHECK(all.emplace(record.key(), record.value()).second);
    }
    return all;
}

/// Asks in every way.
void check_same(text_table& table, const model& expected, int keys) {
    for (int i = 0; i < keys; ++i) {
        const std::string key = "key " + std::to_string(i);
        const auto found = table.find(key);
        const auto wanted = expected.find(key);
        CAPTURE(key);
        REQUIRE(found.has_value() == (wanted != expected.end()));
        if (found) {
            CHECK(found->key() == key);
            CHECK(found->value() == wanted->second);
        }
    }
    CHECK(table.size() == expected.size());
    CHECK(contents(table) == expected);
}

std::string read_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

void write_file(const std::string& path, std::string_view text) {
    std::ofstream file{path, std::ios::binary | std::ios::trunc};
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
}

template <class Part>
Part part_at(const std::string& text, std::size_t at) {
    Part part;
    std::memcpy(&part, text.data() + at, sizeof part);
    return part;
}

/// What a table has written, taken apart.
struct parsed_file {
    brook::format::table_file_header header;
    std::vector<brook::format::table_file_segment> segments;
    std::vector<brook::format::table_file_entry> entries;

    explicit parsed_file(const std::string& path) {
        const std::string text = read_file(path);
        REQUIRE(text.size() >= sizeof header);
        header = part_at<brook::format::table_file_header>(text, 0);
        REQUIRE(text.size() == brook::format::table_file_size(header));
        std::size_t at = sizeof header;
        for (std::uint64_t i = 0; i < header.segments; ++i, at += sizeof segments[0]) {
            segments.push_back(part_at<brook::format::table_file_segment>(text, at));
        }
        for (std::uint64_t i = 0; i < header.entries; ++i, at += sizeof entries[0]) {
            entries.push_back(part_at<brook::format::table_file_entry>(text, at));
        }
    }

    /// With counts and checksums that are right.
    void write(const std::string& path) {
        header.segments = segments.size();
        header.entries = entries.size();
        std::string text;
        const auto put = [&text](const auto& part) { text.append(brook::as_text(std::as_bytes(std::span{&part, 1}))); };
        for (const auto& one : segments) {
            put(one);
        }
        for (const auto& one : entries) {
            put(one);
        }
        put(brook::format::hash(brook::as_bytes(text)));
        const auto sealed = brook::format::sealed(header);
        write_file(path, std::string{brook::as_text(std::as_bytes(std::span{&sealed, 1}))} + text);
    }
};

/// Rewrites a segment file as compaction does: another file under its name, with another seed; records at positions of their own;
/// those in front of `end` that are not wanted are fillers.
template <class IsWanted>
void compact(const std::string& path, const IsWanted& is_wanted) {
    using namespace brook;
    const std::string old = read_file(path);
    std::string text = old;
    auto* const to = as_writable_bytes(std::span{text}).data();
    const auto* const from = std::as_bytes(std::span{old}).data();
    const auto birth = load<format::segment_birth>(from);
    const auto made = format::make_birth(birth.seed + 1, birth.capacity, birth.topic, birth.partition);
    store(to, made);
    store(to + format::base_check_at, format::base_check(made.seed, load<std::uint64_t>(from + format::base_at)));
    std::memset(to + format::footer_at, 0, sizeof(format::segment_footer));
    std::memset(to + format::segment_header_size, 0, text.size() - format::segment_header_size);
    position at = format::segment_header_size;
    position out = at;
    bool is_sealed = false;
    while (!is_sealed) {
        format::frame_header header = format::load_header(from + at);
        const auto word = format::word_of(header);
        REQUIRE(word.is_published());
        is_sealed = word.kind() == format::frame_kind::seal;
        const auto length = word.length();
        bool is_kept = true;
        if (word.kind() == format::frame_kind::data) {
            format::record_walk records{header, from + at};
            format::record_slice record;
            is_kept = false;
            while (records.next(record)) {
                is_kept |= is_wanted(std::string{as_text(record.key())}, record.offset());
            }
        }
        if (is_kept) {
            std::memcpy(to + out, from + at, word.size());
        } else {
            header.count = format::offsets_taken(header, from + at);
            header.size = format::frame_header_size;
            header.attributes = format::attributes_of(format::frame_kind::filler);
            header.extension = 0;
        }
        header.checksum = 0;
        store(to + out, header);
        store(to + out + 8, format::checksum_of(made.seed, out, header, to + out));
        out += is_kept ? length : format::frame_header_size;
        at += length;
    }
    std::filesystem::remove(path);
    write_file(path, text);
    const std::string index = path.substr(0, path.size() - 4) + ".index";
    std::filesystem::remove(index);
}

/// The memory of a segment that somebody holds.
brook::storage::segment_pin pin_of(const text_topic& topic, brook::offset at, std::int32_t partition = 0) {
    auto reader = brook::detail::access::engine(topic).log(partition).reader();
    std::vector<brook::storage::record_range> ranges;
    reader.seek(at);
    REQUIRE_FALSE(reader.fetch(1, true, ranges));
    REQUIRE(ranges.size() == 1);
    return ranges.front().pin;
}

std::string base_name(brook::offset base) { return brook::storage::segment_name(base) + ".log"; }

}  // namespace

TEST_CASE("a table has the latest value of each key, and what was sent just now", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    producer.send("a", "1");
    text_table table{topic};
    REQUIRE(table.find("a"));
    CHECK(table.find("a")->value() == "1");
    CHECK_FALSE(table.find("b"));
    CHECK(table.size() == 1);

    producer.send("b", "2");
    producer.send("a", "3");
    CHECK(table.find("b")->value() == "2");
    CHECK(table.find(std::string_view{"a"})->value() == "3");
    CHECK(table.find("a")->offset() == 2);
    CHECK(table.contains(std::string{"a"}));
    CHECK(contents(table) == model{{"a", "3"}, {"b", "2"}});

    producer.send("a", tombstone);
    CHECK_FALSE(table.contains("a"));
    CHECK(table.size() == 1);
    producer.send("a", "");
    CHECK(table.find("a")->value().empty());
    CHECK(table.refresh() == 0);
    producer.send("", "no name");
    CHECK(table.refresh() == 1);
    CHECK(table.find("")->value() == "no name");
    CHECK_FALSE(table.empty());
}

TEST_CASE("a table's records have all that records have", "[client][table]") {
    world here;
    const auto topic = here.topic({.partitions = 2, .segment_bytes = 64 * brook::kib});
    const bool is_compressed = GENERATE(false, true);
    brook::producer producer{topic, {.linger = is_compressed ? 1s : 0s, .compression_type = is_compressed ? runs : brook::compression::none}};
    const brook::timestamp time{1'700'000'000s};
    brook::record<std::string, std::string> record{.key = "a", .value = std::string(300, 'x')};
    record.timestamp = time;
    record.headers = {{"trace", "7"}, {"none", std::nullopt}, {"trace", "8"}};
    record.partition = 1;
    producer.send(record);
    record.key = "b";
    record.headers = {};
    record.timestamp = time + 5s;
    producer.send(record);
    producer.flush();
    text_table table{topic};
    const auto found = table.find("a");
    REQUIRE(found);
    CHECK(found->value() == record.value);
    CHECK(found->timestamp() == time);
    CHECK(found->timestamp_type() == brook::timestamp_type::create_time);
    CHECK(found->partition() == 1);
    CHECK(found->topic() == "texts");
    CHECK(found->header("trace") == "8");
    CHECK(found->headers().size() == 3);
    CHECK_FALSE(found->header("none"));
    const auto other = table.find("b");
    REQUIRE(other);
    CHECK(other->timestamp() == time + 5s);
    CHECK(other->offset() == 1);
    CHECK(other->headers().empty());
}

TEST_CASE("a record without a key is in no table", "[client][table]") {
    world here;
    const auto topic = here.topic();
    auto& log = brook::detail::access::engine(topic).log(0);
    brook::engine::appended done;
    brook::failure why;
    const std::string value = "nobody's";
    REQUIRE(brook::engine::embedded_topic::append(
        log, {brook::format::null_size, 8, 0}, 0, [](std::byte*) {}, [&](std::byte* to) { std::memcpy(to, value.data(), 8); }, {}, done, why));
    brook::producer{topic}.send("a", "1");
    text_table table{topic};
    CHECK(contents(table) == model{{"a", "1"}});
    CHECK_FALSE(table.find(""));
}

TEST_CASE("keys of plain types, structs and own serdes are found", "[client][table]") {
    world here;
    struct place {
        std::int32_t row;
        std::int32_t column;
    };
    const auto places = here.broker->create_topic<place, double>("places");
    brook::producer{places}.send({1, 2}, 0.5);
    brook::table by_place{places};
    REQUIRE(by_place.find({1, 2}));
    CHECK(by_place.find({1, 2})->value() == 0.5);
    CHECK_FALSE(by_place.find({2, 1}));

    const auto numbers = here.broker->create_topic<std::uint64_t, place>("numbers");
    brook::producer producer{numbers};
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        producer.send(i, place{static_cast<std::int32_t>(i), 0});
    }
    brook::table by_number{numbers};
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        REQUIRE(by_number.find(i));
        CHECK(by_number.find(i)->value().row == static_cast<std::int32_t>(i));
    }
}

TEST_CASE("a find allocates nothing and asks the system nothing where nothing is new", "[client][table]") {
    world here;
    const auto topic = here.topic({.partitions = 3, .segment_bytes = 4'096});
    brook::producer producer{topic};
    for (int i = 0; i < 500; ++i) {
        producer.send("key " + std::to_string(i), "value");
    }
    text_table table{topic};
    const std::uint64_t before = here.platform.calls();
    int found = 0;
    {
        const failing_memory none{1};
        for (int i = 0; i < 50; ++i) {
            char key[16];
            std::snprintf(key, sizeof key, "key %d", i * 7);
            found += table.contains(key) ? 1 : 0;
        }
        CHECK_FALSE(failing_memory::has_failed());
    }
    CHECK(found == 50);
    CHECK(here.platform.calls() == before);
}

TEST_CASE("a table is what a map is that is told the same", "[client][table]") {
    const auto seed = GENERATE(range(0u, 12u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    const auto below = [&random](unsigned end) { return static_cast<int>(random() % end); };
    world here;
    const std::int32_t partitions = below(2) == 0 ? 1 : 3;
    auto topic = here.topic({.partitions = partitions, .segment_bytes = 4'096});
    const int keys = 5 + below(60);
    model expected;
    std::optional<text_table> table{std::in_place, topic};
    std::optional<text_table> without_file{std::in_place, topic, brook::table_options{.index_file = false}};
    for (int round = 0; round < 40; ++round) {
        const auto change = [&](const auto& send) {
            const std::string key = "key " + std::to_string(below(static_cast<unsigned>(keys)));
            std::optional<std::string> value;
            if (below(5) != 0) {
                value = std::string(static_cast<std::size_t>(below(120)), static_cast<char>('a' + below(26)));
            }
            send(key, value);
            return std::pair{key, value};
        };
        const auto note = [&](const std::pair<std::string, std::optional<std::string>>& one) {
            if (one.second) {
                expected[one.first] = *one.second;
            } else {
                expected.erase(one.first);
            }
        };
        const auto send_by = [](auto& to) {
            return [&to](const std::string& key, const std::optional<std::string>& value) {
                if (value) {
                    to.send(key, *value);
                } else {
                    to.send(key, tombstone);
                }
            };
        };
        switch (below(8)) {
            case 0:
            case 1: {
                brook::producer producer{topic};
                for (int i = below(30); i >= 0; --i) {
                    note(change(send_by(producer)));
                }
                break;
            }
            case 2:
            case 3: {
                brook::producer producer{topic, {.batch_size = 1'000, .linger = 1s, .compression_type = below(2) == 0 ? runs : brook::compression::none}};
                for (int i = below(60); i >= 0; --i) {
                    note(change(send_by(producer)));
                }
                producer.flush();
                break;
            }
            case 4: {
                const bool is_committed = below(2) == 0;
                std::vector<std::pair<std::string, std::optional<std::string>>> sent;
                auto tx = here.broker->begin_transaction({.transactional_id = "t"});
                for (int i = below(40); i >= 0; --i) {
                    sent.push_back(change([&](const std::string& key, const std::optional<std::string>& value) {
                        if (value) {
                            tx.send(topic, key, *value);
                        } else {
                            tx.send(topic, key, tombstone);
                        }
                    }));
                }
                if (below(2) == 0) {
                    check_same(*table, expected, keys);  // nothing of it as yet
                }
                if (is_committed) {
                    tx.commit();
                    for (const auto& one : sent) {
                        note(one);
                    }
                }
                break;
            }
            case 5: {
                topic.partition(below(static_cast<unsigned>(partitions))).roll();
                here.maintain();
                break;
            }
            case 6: {
                table.reset();  // which writes its file, if there is enough
                if (below(2) == 0) {
                    without_file.reset();
                    here.open();
                    topic = here.broker->topic<std::string, std::string>("texts");
                    without_file.emplace(topic, brook::table_options{.index_file = false});
                }
                table.emplace(topic);
                break;
            }
            case 7: table->save(); break;
        }
        if (below(3) == 0) {
            check_same(*table, expected, keys);
        }
    }
    check_same(*table, expected, keys);
    check_same(*without_file, expected, keys);
    table.reset();
    table.emplace(topic);
    check_same(*table, expected, keys);
}

TEST_CASE("keys of one hash are told apart by their bytes", "[client][table]") {
    std::map<std::uint32_t, std::string> hashes;
    std::string one;
    std::string other;
    for (int i = 0; one.empty(); ++i) {
        std::string key = "key " + std::to_string(i);
        const auto [there, is_new] = hashes.emplace(brook::engine::table_hash(brook::as_bytes(key)), key);
        if (!is_new) {
            one = there->second;
            other = key;
        }
    }
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    producer.send(one, "1");
    text_table table{topic};
    CHECK_FALSE(table.find(other));
    producer.send(other, "2");
    CHECK(table.find(one)->value() == "1");
    CHECK(table.find(other)->value() == "2");
    CHECK(table.size() == 2);
    table.save();
    text_table again{topic};
    CHECK(again.find(other)->value() == "2");
    CHECK(again.find(one)->value() == "1");
    text_table third{topic};
    producer.send(one, tombstone);
    CHECK(contents(third) == model{{other, "2"}});
    CHECK(contents(again) == model{{other, "2"}});
}

TEST_CASE("records of long batches are found, each in its place", "[client][table]") {
    world here;
    const auto topic = here.topic({.segment_bytes = brook::mib});
    const bool has_details = GENERATE(false, true);
    brook::producer producer{topic, {.batch_size = 400'000, .linger = 1s}};
    for (int i = 0; i < 3'000; ++i) {
        brook::record<std::string, std::string> record{.key = "key " + std::to_string(i), .value = std::to_string(i)};
        record.timestamp = brook::timestamp{std::chrono::seconds{has_details ? i : 1}};
        if (has_details) {
            record.headers = {{"number", std::to_string(i)}};
        }
        producer.send(record);
    }
    producer.flush();
    text_table table{topic};
    REQUIRE(table.size() == 3'000);
    for (int i = 0; i < 3'000; ++i) {
        const auto found = table.find("key " + std::to_string(i));
        REQUIRE(found);
        REQUIRE(found->value() == std::to_string(i));
        REQUIRE(found->offset() == i);
        REQUIRE(found->timestamp() == brook::timestamp{std::chrono::seconds{has_details ? i : 1}});
        REQUIRE(found->header("number").has_value() == has_details);
    }
}

TEST_CASE("what a transaction sends is in a table when it is committed, and never when it is aborted", "[client][table]") {
    world here;
    const auto topic = here.topic({.segment_bytes = 64 * brook::kib});
    brook::producer producer{topic};
    producer.send("a", "old");
    text_table table{topic};
    text_table everything{topic, {.index_file = false, .isolation_level = brook::isolation_level::read_uncommitted}};
    const std::string large(brook::mib / 16 - 1'000, 'x');
    {
        auto tx = here.broker->begin_transaction({.transactional_id = "t"});
        tx.send(topic, "a", "undecided");
        for (int i = 0; i < 20; ++i) {
            tx.send(topic, "large", large);  // more than waits in memory: it is in the log before it is decided
        }
        producer.send("b", "behind it");
        CHECK(everything.find("a")->value() == "undecided");
        CHECK(table.find("a")->value() == "old");
        CHECK_FALSE(table.find("b"));  // as a consumer that reads committed records waits in front of it
    }
    CHECK(table.find("a")->value() == "old");
    CHECK(table.find("b")->value() == "behind it");
    CHECK_FALSE(table.find("large"));
    auto tx = here.broker->begin_transaction({.transactional_id = "t"});
    tx.send(topic, "a", "new");
    tx.send(topic, "b", tombstone);
    CHECK(table.find("a")->value() == "old");
    tx.commit();
    CHECK(contents(table) == model{{"a", "new"}});
}

TEST_CASE("a key that is in several partitions is found where the partitioner puts it, else in the first that has it", "[client][table]") {
    world here;
    const auto topic = here.topic({.partitions = 3, .segment_bytes = 4'096});
    const std::int32_t own = brook::partition_for_key(brook::as_bytes("a"), 3);
    const std::int32_t other = (own + 1) % 3;
    const std::int32_t third = (own + 2) % 3;
    brook::producer producer{topic};
    const auto send = [&](const char* value, std::int32_t partition) { producer.send({.key = "a", .value = value, .partition = partition}); };
    text_table table{topic};
    send("astray", std::max(other, third));
    CHECK(table.find("a")->value() == "astray");
    send("first", std::min(other, third));
    CHECK(table.find("a")->value() == "first");
    send("at home", own);
    send("newer", other);
    CHECK(table.find("a")->value() == "at home");
    CHECK(table.find("a", topic.partition(other))->value() == "newer");
    CHECK(table.size() == 3);
    CHECK(code_of([&] { static_cast<void>(table.find("a", here.broker->create_topic<std::string, std::string>("other").partition(0))); }) ==
          errc::unknown_topic_or_partition);
    table.save();
    text_table again{topic};
    producer.send("a", tombstone);
    CHECK(again.find("a")->partition() == std::min(other, third));
    CHECK(again.size() == 2);
}

TEST_CASE("a view of a table that does not refresh by itself stays until it is told to", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic, {.compression_type = runs}};
    producer.send("a", std::string(600, 'a'));
    text_table table{topic, {.auto_refresh = false}};
    const auto before = table.find("a");
    REQUIRE(before);
    for (int i = 0; i < 200; ++i) {
        producer.send("a", std::string(600, 'b'));
        producer.send("b", "new");
        topic.partition(0).roll();
        here.maintain(1);
    }
    CHECK_FALSE(table.find("b"));
    CHECK(table.size() == 1);
    CHECK(before->value() == std::string(600, 'a'));
    CHECK(table.refresh() == 400);
    CHECK(table.find("a")->value() == std::string(600, 'b'));
    CHECK(table.find("b"));
}

TEST_CASE("a record that is kept outlives the table, its segment and the broker", "[client][table]") {
    world here;
    std::optional<text_topic> topic{here.topic()};
    std::optional<brook::kept_record<std::string, std::string>> kept;
    {
        brook::producer producer{*topic};
        producer.send({.key = "a", .value = "first", .headers = {{"h", "1"}}});
        text_table table{*topic};
        kept.emplace(table.keep(*table.find("a")));
        producer.send("a", "second");
        CHECK(table.find("a")->value() == "second");
    }
    topic->partition(0).delete_records(2);
    here.maintain();
    const auto copy = *kept;
    here.broker.reset();
    topic.reset();
    kept.reset();
    CHECK(copy->key() == "a");
    CHECK(copy->value() == "first");
    CHECK(copy->header("h") == "1");
    CHECK(copy->offset() == 0);
    CHECK(copy->topic() == "texts");
    CHECK((*copy).partition() == 0);
}

TEST_CASE("a table lets go of segments in which it has nothing left", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    producer.send("a", "1");
    producer.send("b", "1");
    text_table table{topic};
    const std::weak_ptr<brook::storage::mapped_segment> first = pin_of(topic, 0);
    topic.partition(0).roll();
    producer.send("a", "2");
    here.maintain();
    CHECK(table.find("a")->value() == "2");
    CHECK_FALSE(first.expired());
    producer.send("b", tombstone);
    CHECK_FALSE(table.contains("b"));
    CHECK(first.expired());
}

TEST_CASE("what retention has deleted leaves the table", "[client][table]") {
    world here;
    const auto topic = here.topic();
    const bool is_compressed = GENERATE(false, true);
    brook::producer producer{topic, {.compression_type = is_compressed ? runs : brook::compression::none}};
    model expected;
    for (int i = 0; i < 40; ++i) {
        producer.send("key " + std::to_string(i), std::string(600, 'x'));
    }
    text_table table{topic};
    CHECK(table.size() == 40);
    const brook::offset middle = 21;  // in the middle of a segment
    topic.partition(0).delete_records(middle);
    for (int i = static_cast<int>(middle); i < 40; ++i) {
        expected["key " + std::to_string(i)] = std::string(600, 'x');
    }
    check_same(table, expected, 40);
    table.save();
    topic.partition(0).delete_records(30);
    std::erase_if(expected, [](const auto& one) { return one.first < "key 30"; });
    text_table again{topic};
    check_same(again, expected, 40);
    topic.partition(0).delete_records(40);
    CHECK(again.empty());
    CHECK(table.empty());
}

TEST_CASE("a table whose place has been deleted goes on at the start", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    producer.send("a", "1");
    text_table table{topic, {.auto_refresh = false}};
    for (int i = 0; i < 40; ++i) {
        producer.send("key " + std::to_string(i), std::string(600, 'x'));
    }
    topic.partition(0).delete_records(35);
    here.maintain();
    table.refresh();
    CHECK(table.size() == 6);
    CHECK_FALSE(table.find("a"));
    CHECK(table.find("key 39"));
}

// ---- compaction ----

TEST_CASE("records of a file that compaction has replaced are looked up in the new one, and the old one is let go of", "[client][table]") {
    world here;
    const auto topic = here.topic({.segment_bytes = 16'384});
    const int batched = GENERATE(0, 1, 2);
    brook::producer producer{topic, {.batch_size = 1'000, .linger = batched > 0 ? 1s : 0s, .compression_type = batched == 2 ? runs : brook::compression::none}};
    model expected;
    const auto value_of = [](int i) { return std::string(200, 'v') + std::to_string(i); };
    for (int i = 0; i < 50; ++i) {
        expected["key " + std::to_string(i)] = value_of(i);
        producer.send("key " + std::to_string(i), value_of(i));
    }
    producer.flush();
    topic.partition(0).roll();
    brook::producer later{topic};
    for (int i = 0; i < 50; i += 3) {
        expected["key " + std::to_string(i)] = "new";
        later.send("key " + std::to_string(i), "new");
    }
    text_table table{topic, {.auto_refresh = false}};
    here.maintain();
    std::weak_ptr<brook::storage::mapped_segment> old = pin_of(topic, 0);
    REQUIRE((batched == 2) == old.expired());  // copies need no segment
    compact(here.file(base_name(0)), [&](const std::string& key, brook::offset) { return expected[key] != "new"; });
    if (const auto pin = old.lock()) {
        pin->is_gone = true;
    }
    CHECK(table.find("key 1")->value() == value_of(1));  // as it was
    CHECK(table.refresh() == 0);
    CHECK(old.expired());
    check_same(table, expected, 50);
}

TEST_CASE("a key whose record and tombstone compaction has taken before the table saw them is gone", "[client][table]") {
    world here;
    const auto topic = here.topic({.segment_bytes = 16'384});
    brook::producer producer{topic};
    producer.send("a", "1");
    producer.send("b", "1");
    text_table table{topic, {.auto_refresh = false}};
    topic.partition(0).roll();
    producer.send("a", tombstone);
    producer.send("c", "1");
    topic.partition(0).roll();
    producer.send("d", "1");
    here.maintain();
    const auto mark = [&] { pin_of(topic, 0)->is_gone = true; };
    mark();
    compact(here.file(base_name(0)), [](const std::string& key, brook::offset) { return key != "a"; });
    compact(here.file(base_name(2)), [](const std::string& key, brook::offset) { return key != "a"; });
    table.refresh();
    CHECK(contents(table) == model{{"b", "1"}, {"c", "1"}, {"d", "1"}});
}

TEST_CASE("a table as of a snapshot keeps what compaction takes afterwards", "[client][table]") {
    world here;
    const auto topic = here.topic({.segment_bytes = 16'384});
    brook::producer producer{topic};
    producer.send("a", "1");
    producer.send("b", "1");
    text_table table{topic};
    const auto then = table.snapshot();
    topic.partition(0).roll();
    producer.send("a", "2");
    here.maintain();
    text_table as_of{topic, {.until = then}};
    {
        const auto pin = pin_of(topic, 0);
        compact(here.file(base_name(0)), [](const std::string& key, brook::offset) { return key != "a"; });
        pin->is_gone = true;
    }
    const std::weak_ptr<brook::storage::mapped_segment> old = pin_of(topic, 0);
    as_of.refresh();
    table.refresh();
    CHECK(old.expired());
    CHECK(contents(table) == model{{"a", "2"}, {"b", "1"}});
    CHECK(contents(as_of) == model{{"a", "1"}, {"b", "1"}});
}

// ---- snapshots ----

TEST_CASE("a table as of a snapshot is what it was then, and stays", "[client][table]") {
    world here;
    const auto topic = here.topic({.partitions = 2, .segment_bytes = 4'096});
    brook::producer producer{topic};
    std::mt19937 random{7};
    model now;
    std::vector<std::pair<brook::table_snapshot, model>> history;
    text_table table{topic};
    for (int i = 0; i < 300; ++i) {
        const std::string key = "key " + std::to_string(random() % 20);
        if (random() % 4 == 0) {
            producer.send(key, tombstone);
            now.erase(key);
        } else {
            producer.send(key, std::to_string(i));
            now[key] = std::to_string(i);
        }
        if (i % 37 == 0) {
            table.refresh();
            history.emplace_back(table.snapshot(), now);
        }
    }
    table.save();
    for (const auto& [then, expected] : history) {
        text_table as_of{topic, {.until = then}};
        check_same(as_of, expected, 20);
        CHECK(as_of.snapshot() == then);
        producer.send("key 1", "later");
        check_same(as_of, expected, 20);
    }
    CHECK(table.find("key 1")->value() == "later");
    text_table none{topic, {.until = brook::table_snapshot{}}};
    CHECK(none.empty());
}

TEST_CASE("a snapshot that is not of this log is refused", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    for (int i = 0; i < 30; ++i) {
        producer.send("a", std::to_string(i));
    }
    const auto then = text_table{topic}.snapshot();
    REQUIRE(then.size() == 1);
    CHECK(then.front().next == 30);
    CHECK(then.front().leader_epoch == 0);
    const auto opened = [&](brook::table_position at) { return code_of([&] { text_table{topic, {.until = brook::table_snapshot{at}}}; }); };
    CHECK(opened({0, 30, 0}) == std::error_code{});
    CHECK(opened({0, 30, -1}) == std::error_code{});
    CHECK(opened({0, 31, 0}) == errc::offset_out_of_range);
    CHECK(opened({0, 30, 1}) == errc::offset_out_of_range);
    CHECK(opened({1, 0, 0}) == errc::invalid_config);
    CHECK(opened({-1, 0, 0}) == errc::invalid_config);
    CHECK(opened({0, -1, 0}) == errc::invalid_config);
    topic.partition(0).delete_records(10);
    CHECK(opened({0, 9, 0}) == errc::offset_out_of_range);
    CHECK(opened({0, 10, 0}) == std::error_code{});
    auto tx = here.broker->begin_transaction({.transactional_id = "t"});
    for (int i = 0; i < 1'000; ++i) {
        tx.send(topic, "b", std::string(2'000, 'b'));
    }
    CHECK(opened({0, topic.partition(0).log_end_offset(), -1}) == errc::offset_out_of_range);
}

// ---- the index file ----

TEST_CASE("opening a table does not read again what its file covers", "[client][table]") {
    world here;
    auto topic = here.topic();
    {
        brook::producer producer{topic};
        for (int i = 0; i < 40; ++i) {
            producer.send("key " + std::to_string(i), std::string(600, 'x'));
        }
        text_table{topic}.save();
        CHECK(std::filesystem::exists(here.index()));
        producer.send("key 40", "new");
    }
    here.maintain();
    here.broker.reset();
    {
        // The second record of the first segment is rotten: who reads it finds out.
        std::string text = read_file(here.file(base_name(0)));
        const auto at = text.find("key 1");
        REQUIRE(at != std::string::npos);
        text[at + 16] = 'y';
        write_file(here.file(base_name(0)), text);
    }
    here.open();
    topic = here.broker->topic<std::string, std::string>("texts");
    CHECK(code_of([&] { text_table{topic, {.index_file = false}}; }) == errc::corrupt_record);
    text_table table{topic};
    CHECK(table.size() == 41);
    CHECK(table.find("key 0"));
    CHECK(table.find("key 39"));
    CHECK(table.find("key 40")->value() == "new");
    const auto found = outcome_of([&] { static_cast<void>(table.find("key 1")); });
    CHECK(found.code == errc::corrupt_record);
    CHECK(found.names(base_name(0)));
    CHECK(found.names("offset 1"));
    CHECK(code_of([&] { static_cast<void>(table.begin()); }) == errc::corrupt_record);
    CHECK(table.find("key 2"));
}

TEST_CASE("a table writes its file when it goes, if much has come, and when it is told", "[client][table]") {
    world here;
    const auto topic = here.topic({.partitions = 2, .segment_bytes = 4'096});
    brook::producer producer{topic};
    for (int i = 0; i < 200; ++i) {
        producer.send("key " + std::to_string(i), "1");
    }
    { const text_table without{topic, {.index_file = false}}; }
    CHECK_FALSE(std::filesystem::exists(here.index()));
    { const text_table as_of{topic, {.until = text_table{topic, {.index_file = false}}.snapshot()}}; }
    CHECK_FALSE(std::filesystem::exists(here.index()));
    { const text_table first{topic}; }
    CHECK(std::filesystem::exists(here.index(0)));
    CHECK(std::filesystem::exists(here.index(1)));
    const auto covered = parsed_file{here.index()}.header.covered;
    CHECK(covered == topic.partition(0).log_end_offset());
    producer.send({.key = "key 0", .value = "2", .partition = 0});
    { const text_table second{topic}; }
    CHECK(parsed_file{here.index()}.header.covered == covered);  // one record is soon read again
    text_table third{topic};
    third.save();
    CHECK(parsed_file{here.index()}.header.covered == covered + 1);
    here.platform.inject({.on = operation::create, .path = here.index()});
    producer.send({.key = "key 0", .value = "3", .partition = 0});
    third.refresh();
    CHECK(outcome_of([&] { third.save(); }).names("table.index"));
    third.save();
    CHECK(parsed_file{here.index()}.header.covered == covered + 2);
    // Nothing is left beside it, and nobody wonders what it is.
    const auto report = brook::verify(here.directory.path());
    CHECK(report.is_ok());
    for (const auto& one : report.topics) {
        for (const auto& partition : one.partitions) {
            CHECK(partition.strangers.empty());
        }
    }
    for (const auto& entry : std::filesystem::directory_iterator{here.directory.path() + "/topics/texts/0"}) {
        CHECK(entry.path().extension() != ".tmp");
    }
}

TEST_CASE("a file that cannot be written when a table goes is told, and the next opening reads the topic", "[client][table]") {
    const auto on = GENERATE(operation::create, operation::write, operation::sync, operation::rename, operation::sync_directory);
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    for (int i = 0; i < 50; ++i) {
        producer.send("key " + std::to_string(i), "1");
    }
    {
        const text_table table{topic};
        here.platform.inject({.on = on, .lasting = true, .path = "topics/texts/0"});
    }
    here.platform.heal();
    const auto errors = here.broker->health().errors;
    REQUIRE(errors.size() == 1);
    CHECK(errors.front().text.find("partition 0") != std::string::npos);
    CHECK(text_table{topic}.size() == 50);
    CHECK(brook::verify(here.directory.path()).is_ok());
}

TEST_CASE("a table's file is no part of a broker that is closed", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer{topic}.send("a", "1");
    text_table table{topic};
    REQUIRE(table.find("a"));
    here.broker.reset();
    CHECK(code_of([&] { static_cast<void>(table.find("a")); }) == errc::closed);
    CHECK(code_of([&] { table.refresh(); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(table.size()); }) == errc::closed);
    CHECK(code_of([&] { text_table{topic}; }) == errc::closed);
    { const text_table gone = std::move(table); }
    CHECK_FALSE(std::filesystem::exists(here.index()));
}

TEST_CASE("a table's file that is damaged at any byte is not believed", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    model expected;
    for (int i = 0; i < 12; ++i) {
        producer.send("key " + std::to_string(i), std::string(500, 'x'));
        expected["key " + std::to_string(i)] = std::string(500, 'x');
    }
    text_table{topic}.save();
    const std::string whole = read_file(here.index());
    CHECK(parsed_file{here.index()}.segments.size() > 1);
    const auto opens = [&](const std::string& text) {
        write_file(here.index(), text);
        text_table table{topic};
        for (const auto& [key, value] : expected) {
            const auto found = table.find(key);
            REQUIRE(found);
            REQUIRE(found->value() == value);
        }
        REQUIRE(contents(table) == expected);
        std::filesystem::remove(here.index());
    };
    for (std::size_t at = 0; at < whole.size(); ++at) {
        CAPTURE(at);
        std::string text = whole;
        text[at] = static_cast<char>(text[at] ^ (1 << (at % 8)));
        opens(text);
    }
    for (std::size_t size = 0; size < whole.size(); size += 7) {
        opens(whole.substr(0, size));
    }
    opens(whole + whole);
    opens(whole + '\0');
}

TEST_CASE("a table's file of something else is not believed, however whole it is", "[client][table]") {
    world here;
    const auto topic = here.topic({.partitions = 2, .segment_bytes = 4'096});
    brook::producer producer{topic};
    model expected;
    for (int i = 0; i < 60; ++i) {
        producer.send("key " + std::to_string(i), std::string(100, 'x'));
        expected["key " + std::to_string(i)] = std::string(100, 'x');
    }
    text_table{topic}.save();
    parsed_file forged{here.index()};
    // Without a key that it had: who believes it does not find that one. It is the first segment's last entry.
    REQUIRE(forged.segments.front().count > 1);
    forged.entries.erase(forged.entries.begin() + static_cast<std::ptrdiff_t>(forged.segments.front().count) - 1);
    --forged.segments.front().count;
    const auto is_believed = [&](const parsed_file& one) {
        parsed_file copy = one;
        copy.write(here.index());
        text_table table{topic};
        const bool has_all = contents(table) == expected;
        return !has_all;
    };
    REQUIRE(is_believed(forged));
    const auto check_refused = [&](const auto& change) {
        parsed_file other = forged;
        change(other);
        CHECK_FALSE(is_believed(other));
    };
    check_refused([](parsed_file& one) { one.header.topic[3] ^= std::byte{1}; });
    check_refused([](parsed_file& one) { one.header.partition = 1; });
    check_refused([](parsed_file& one) { one.header.version = 2; });
    check_refused([](parsed_file& one) { one.header.magic[7] = 'x'; });
    check_refused([](parsed_file& one) { one.header.flags ^= brook::format::table_file_flag::uncommitted; });
    check_refused([](parsed_file& one) { one.header.flags |= 4; });
    check_refused([](parsed_file& one) { one.header.leader_epoch = 1; });                                  // another history
    check_refused([&](parsed_file& one) { one.header.covered = topic.partition(0).log_end_offset() + 1; });  // a longer one
    check_refused([](parsed_file& one) { one.header.covered = 1; });                                       // it knows what it cannot
    check_refused([](parsed_file& one) { one.header.covered = brook::largest_offset + 1; });
    check_refused([](parsed_file& one) { one.segments.front().first = -1; });
    check_refused([](parsed_file& one) { one.segments.front().first = one.header.covered; });
    check_refused([](parsed_file& one) { one.segments.front().count += 1; });
    check_refused([](parsed_file& one) { one.segments.front().count -= 1; });
    check_refused([](parsed_file& one) { one.segments.front().count = 0; });
    check_refused([](parsed_file& one) { one.segments.front().count = ~std::uint64_t{0}; });
    check_refused([](parsed_file& one) { one.entries.front().relative_offset = 1'000'000; });
}

TEST_CASE("a table's file of a history that the power has cut is not believed", "[client][table]") {
    const brook::test::temp_directory directory;
    brook::test::rebooting_platform machine;
    const brook::broker_options settings{.maintenance = brook::maintenance::manual, .platform = &machine};
    const std::string log = directory.path() + "/topics/texts/0/" + base_name(0);
    const bool is_regrown = GENERATE(true, false);
    {
        brook::broker broker{directory.path(), settings};
        const auto topic = broker.create_topic<std::string, std::string>("texts");
        brook::producer producer{topic};
        for (int i = 0; i < 50; ++i) {
            producer.send("key " + std::to_string(i), "lost, perhaps");
        }
        text_table table{topic};
        table.save();
    }
    {
        std::string text = read_file(log);
        const auto at = text.find("key 30");
        REQUIRE(at != std::string::npos);
        std::memset(text.data() + at - 40, 0, text.size() - at + 40);
        write_file(log, text);
    }
    machine.reboot();
    brook::broker broker{directory.path(), settings};
    const auto topic = broker.topic<std::string, std::string>("texts");
    REQUIRE(topic.partition(0).log_end_offset() == 30);
    if (is_regrown) {
        brook::producer producer{topic};
        for (int i = 0; i < 60; ++i) {
            producer.send("other " + std::to_string(i), "new");
        }
    }
    text_table table{topic};
    CHECK(table.size() == (is_regrown ? 90 : 30));
    CHECK(table.find("key 29"));
    CHECK_FALSE(table.find("key 30"));
    CHECK(table.find("other 0").has_value() == is_regrown);
}

TEST_CASE("a forked child's table leaves its parent's file alone", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    for (int i = 0; i < 50; ++i) {
        producer.send("key " + std::to_string(i), "1");
    }
    text_table table{topic};
    const int ended = brook::test::in_child([&]() -> int {
        {
            const text_table gone = std::move(table);
        }
        return std::filesystem::exists(here.index()) ? 1 : 0;
    });
    CHECK(ended == 0);
    CHECK_FALSE(std::filesystem::exists(here.index()));
}

TEST_CASE("a table follows writers that do not wait for it", "[client][table]") {
    world here{brook::maintenance::thread};
    const auto topic = here.topic({.partitions = 2, .segment_bytes = 4'096});
    text_table table{topic};
    constexpr std::uint64_t count = 20'000;
    std::atomic<bool> is_over{false};
    std::thread writer{[&] {
        brook::producer producer{topic};
        for (std::uint64_t i = 1; i <= count; ++i) {
            producer.send("key " + std::to_string(i % 100), std::to_string(i));
        }
        is_over = true;
    }};
    std::map<std::string, std::uint64_t> seen;
    bool is_behind = false;  // a value never goes back
    while (!is_over) {
        for (int i = 0; i < 100; ++i) {
            const std::string key = "key " + std::to_string(i);
            if (const auto found = table.find(key)) {
                const std::uint64_t now = std::stoull(std::string{found->value()});
                is_behind |= now < seen[key];
                seen[key] = now;
            }
        }
    }
    writer.join();
    CHECK_FALSE(is_behind);
    REQUIRE(table.size() == 100);
    for (std::uint64_t i = count - 99; i <= count; ++i) {
        CHECK(table.find("key " + std::to_string(i % 100))->value() == std::to_string(i));
    }
}

TEST_CASE("counts that a file does not have take no memory", "[client][table]") {
    world here;
    const auto topic = here.topic();
    brook::producer producer{topic};
    producer.send("a", "1");
    text_table{topic}.save();
    const parsed_file whole{here.index()};
    for (const std::uint64_t entries : {std::uint64_t{2}, std::uint64_t{1} << 40, std::uint64_t{1} << 61, ~std::uint64_t{0}}) {
        for (const std::uint64_t segments : {std::uint64_t{1}, entries}) {
            auto header = whole.header;
            header.entries = entries;
            header.segments = segments;
            header.covered = brook::largest_offset;
            header = brook::format::sealed(header);
            CHECK((!brook::format::verifies(header) || brook::format::table_file_size(header) > read_file(here.index()).size()));
            std::string text = read_file(here.index());
            std::memcpy(text.data(), &header, sizeof header);
            write_file(here.index(), text);
            text_table table{topic};
            CHECK(table.size() == 1);
        }
    }
}

TEST_CASE("a table's file that lies about a key is found out when the key is looked for", "[client][table]") {
    world here;
    const auto topic = here.topic({.segment_bytes = 16'384});
    brook::producer producer{topic};
    model expected;
    for (int i = 0; i < 30; ++i) {
        producer.send("key " + std::to_string(i), std::to_string(i));
        expected["key " + std::to_string(i)] = std::to_string(i);
    }
    producer.send("none", tombstone);
    text_table{topic}.save();
    parsed_file lying{here.index()};
    REQUIRE(lying.entries.size() == 30);
    std::swap(lying.entries[4].relative_offset, lying.entries[5].relative_offset);
    lying.write(here.index());
    {
        text_table table{topic};
        check_same(table, expected, 30);
    }
    lying.write(here.index());
    {
        text_table table{topic};
        CHECK(contents(table) == expected);  // all of them at once
    }
    lying.entries[4].relative_offset = 30;  // the tombstone
    lying.write(here.index());
    {
        text_table table{topic};
        check_same(table, expected, 30);
        table.save();
    }
    CHECK(parsed_file{here.index()}.entries.size() == 30);
    lying.write(here.index());
    text_table table{topic};
    for (int i = 0; i < 30; ++i) {
        producer.send("key " + std::to_string(i), "new");  // found out by what comes next
        expected["key " + std::to_string(i)] = "new";
    }
    check_same(table, expected, 30);
}

TEST_CASE("what compaction has taken since a file was written is not in the table", "[client][table]") {
    world here;
    auto topic = here.topic({.segment_bytes = 16'384});
    brook::producer producer{topic};
    model expected;
    for (int i = 0; i < 50; ++i) {
        producer.send("key " + std::to_string(i), "1");
        expected["key " + std::to_string(i)] = "1";
    }
    topic.partition(0).roll();
    producer.send("other", "1");
    text_table{topic}.save();
    producer.send("key 7", tombstone);  // and later that has gone, too
    topic.partition(0).roll();
    producer.send("key 8", "2");
    here.maintain();
    compact(here.file(base_name(0)), [](const std::string& key, brook::offset) { return key != "key 7" && key != "key 8"; });
    compact(here.file(base_name(50)), [](const std::string& key, brook::offset) { return key != "key 7"; });
    expected.erase("key 7");
    expected["key 8"] = "2";
    expected["other"] = "1";
    text_table table{topic};
    CHECK(table.size() == expected.size());  // without a look at any of them
    check_same(table, expected, 50);
}

TEST_CASE("memory that runs out while a table reads loses nothing", "[client][table]") {
    world here;
    const auto topic = here.topic({.partitions = 2, .segment_bytes = 4'096});
    const bool is_compressed = GENERATE(false, true);
    const bool has_file = GENERATE(false, true);
    brook::producer producer{topic, {.batch_size = 400, .linger = 1s, .compression_type = is_compressed ? runs : brook::compression::none}};
    model expected;
    const auto send = [&](int from, int to, const std::string& value) {
        for (int i = from; i < to; ++i) {
            producer.send("key " + std::to_string(i), value);
            expected["key " + std::to_string(i)] = value;
        }
        producer.flush();
    };
    send(0, 40, "1");
    if (has_file) {
        text_table{topic}.save();
    }
    send(20, 60, "2");
    for (std::uint64_t nth = 1;; ++nth) {
        CAPTURE(nth);
        std::optional<text_table> table;
        bool is_over = false;
        for (int attempt = 0; attempt < 2 && !table; ++attempt) {
            const failing_memory failing{attempt == 0 ? nth : 0};
            try {
                table.emplace(topic, brook::table_options{.index_file = has_file});
                is_over = !failing_memory::has_failed() && attempt == 0;
            } catch (const std::bad_alloc&) {
            }
        }
        REQUIRE(table);
        check_same(*table, expected, 60);
        send(static_cast<int>(nth % 60), static_cast<int>(nth % 60) + 3, std::to_string(nth));
        {
            const failing_memory failing{nth};
            try {
                table->refresh();
            } catch (const std::bad_alloc&) {
            }
        }
        check_same(*table, expected, 63);
        if (is_over) {
            break;
        }
    }
}

}  // namespace client_table_test
