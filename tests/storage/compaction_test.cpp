// Compaction against a model that keeps, of everything below where it has come to, the last record of each key.
#include <brook/storage/compaction.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <brook/format/checkpoint.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/partition_scrub.hpp>

#include "support/catch.hpp"
#include "support/compressed.hpp"
#include "support/failing_memory.hpp"
#include "support/partition.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace storage_compaction_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;

namespace {

const timestamp day{std::chrono::hours{24 * 365 * 50}};

storage::compaction_policy eager() { return {.is_on = true, .min_dirty_ratio = 0, .delete_retention = 1h}; }

/// A partition that is compacted, and all that was ever appended to it.
class compacted {
public:
    explicit compacted(storage::compaction_policy policy = eager(), std::size_t memory = mib, std::uint32_t segment_bytes = 4 * kib)
        : turn{memory}, orders{{.segment_bytes = segment_bytes, .compaction = policy, .turn = &turn}} {
        orders.platform.set_now(day);
        orders.platform.set_monotonic(10h);
        orders.open();
    }

    [[nodiscard]] storage::log& log() const { return *orders.log; }

    void append(const std::optional<std::string>& key, const std::optional<std::string>& value) {
        failure why;
        const auto n = static_cast<std::int64_t>(history.size());
        const offset at = brook::test::append(log(), key, value, time_of(n), why);
        INFO(why.text);
        REQUIRE(at == n);
        history.push_back({at, time_of(n), key, value});
    }

    /// A batch of records, as a producer gathers them: one in `compressed_by`, if that is not 0.
    void append_batch(const std::vector<std::pair<std::string, std::optional<std::string>>>& records, std::uint16_t compressed_by = 0) {
        std::vector<std::byte> body;
        for (const auto& [key, value] : records) {
            const format::record_sizes sizes{static_cast<std::uint32_t>(key.size()), value ? static_cast<std::uint32_t>(value->size()) : format::null_size, 0};
            const std::size_t before = body.size();
            body.resize(before + static_cast<std::size_t>(format::entry_bytes(sizes)));
            const auto layout = format::lay_out_entry(body.data() + before, sizes);
            copy_bytes(layout.key, key.data(), key.size());
            copy_bytes(layout.value, value ? value->data() : nullptr, sizes.value_bytes());
        }
        format::frame_header header{};
        std::vector<std::byte> packed(body.size());
        std::size_t made = 0;
        if (compressed_by != 0) {
            made = format::deflate(*format::find_codec(compressed_by), body, packed, std::nullopt);
        }
        std::vector<std::byte> frame(format::frame_header_size);
        if (made != 0) {
            header.attributes = compressed_by;
            frame.resize(frame.size() + format::compressed_prefix);
            store(frame.data() + format::frame_header_size, std::uint64_t{body.size()});
            frame.insert(frame.end(), packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(made));
        } else {
            frame.insert(frame.end(), body.begin(), body.end());
        }
        const auto n = static_cast<std::int64_t>(history.size());
        header.size = static_cast<std::int32_t>(frame.size());
        header.count = static_cast<std::uint32_t>(records.size());
        header.base_timestamp = time_of(n);
        store(frame.data(), header);
        failure why;
        const offset at = append_frame(log(), frame, why);
        INFO(why.text);
        REQUIRE(at == n);
        for (const auto& [key, value] : records) {
            history.push_back({static_cast<offset>(history.size()), time_of(n), key, value});
        }
    }

    void roll() { REQUIRE(log().roll().text == ""); }

    /// Upkeep until nothing is left to do.
    void keep_up() {
        for (int i = 0; i < 1'000; ++i) {
            const auto result = orders.keep_up();
            INFO(result.why.text);
            REQUIRE_FALSE(result.why);
            if (!result.has_more) {
                return;
            }
        }
        FAIL("it does not come to an end");
    }

    void reopen() { orders.open(); }

    void pass(std::chrono::nanoseconds time) {
        orders.platform.advance_now(time);
        orders.platform.advance_monotonic(time);
    }

    /// How far it has been compacted, as its checkpoint says.
    [[nodiscard]] offset compacted_to() const {
        failure why;
        storage::segment_directory files{const_cast<compacted*>(this)->orders.platform, orders.path(), orders.name};
        const auto saved = storage::checkpoint_file{files}.read(why);
        return saved ? saved->compacted_offset : 0;
    }

    /// What has to be there: of everything below `end` the last record of each key, and all that comes behind.
    [[nodiscard]] std::vector<read_record> expected(offset end) const {
        std::map<std::string, offset> last;
        for (const auto& record : history) {
            if (record.offset < end && record.key) {
                last[*record.key] = record.offset;
            }
        }
        std::vector<read_record> kept;
        for (const auto& record : history) {
            if (record.offset >= end || !record.key || last[*record.key] == record.offset) {
                kept.push_back(record);
            }
        }
        return kept;
    }

    /// Tells what is wrong with what can be read; empty: nothing. What has to be there is there, in order, and as it was appended;
    /// what need not be there may be, unless `is_exact`: then no pass is under way. `tombstones_may_go`: some may be old enough.
    [[nodiscard]] std::string problem(bool tombstones_may_go = false, bool is_exact = false) const {
        const reading all = read_from(log(), log().log_start_offset());
        if (all.why) {
            return all.why.text;
        }
        const offset end = is_exact ? compacted_to() : static_cast<offset>(history.size());  // a pass that is under way has gone further
        std::size_t i = 0;
        std::map<std::string, std::optional<std::string>> state;
        for (const auto& record : expected(end)) {
            for (; i < all.records.size() && all.records[i].offset < record.offset; ++i) {
                if (is_exact) {
                    return "offset " + std::to_string(all.records[i].offset) + " is superseded, and there";
                }
                if (all.records[i] != history[static_cast<std::size_t>(all.records[i].offset)]) {
                    return "offset " + std::to_string(all.records[i].offset) + " is not what was appended";
                }
            }
            const bool is_there = i < all.records.size() && all.records[i] == record;
            if (!is_there && !(tombstones_may_go && !record.value && record.offset < end)) {
                return "offset " + std::to_string(record.offset) + " {" + record.key.value_or("no key") + "} is missing, compacted to " + std::to_string(end);
            }
            i += is_there ? 1 : 0;
        }
        if (i != all.records.size()) {
            return "there is more than was appended";
        }
        // Who reads it from its start knows of each key what was said of it last.
        for (const auto& record : all.records) {
            if (record.key) {
                state[*record.key] = record.value;
            }
        }
        for (const auto& record : history) {
            if (record.key) {
                state.try_emplace(*record.key, std::nullopt);
            }
        }
        std::map<std::string, std::optional<std::string>> wanted;
        for (const auto& record : history) {
            if (record.key) {
                wanted[*record.key] = record.value;
            }
        }
        return state == wanted ? "" : "a key has another value than the last that was appended";
    }

    /// What a look at the files says is damaged.
    [[nodiscard]] std::string damage() {
        finding_list found;
        partition_report report;
        storage::scrub_rules rules;
        storage::partition_scrub scrub{orders.platform, orders.path(), orders.name, true, rules, found};
        scrub.run(report);
        std::string text;
        for (const auto& one : found) {
            if (one.severity == severity::damage) {
                text += one.file + ' ' + one.text + '\n';
            }
        }
        return text;
    }

    /// What is said meanwhile is sealed, and not compacted.
    template <class Say>
    void append_uncompacted(const Say& say) {
        const int somebody_else = 0;
        REQUIRE(turn.take(&somebody_else));
        say();
        roll();
        static_cast<void>(orders.keep_up());
        turn.give(&somebody_else);
    }

    /// A bit of the first segment turns while nobody has it open. Returns its name.
    std::string rot(std::size_t byte) {
        orders.close();
        image files = orders.files();
        const std::string name = names_in(files, ".log").front();
        flip_bit(files[name], byte * 8);
        orders.become(files);
        reopen();
        return name;
    }

    [[nodiscard]] std::size_t segments() const { return names_in(orders.files(), ".log").size(); }

    storage::compaction_turn turn;
    test::partition orders;
    std::vector<read_record> history;
};

std::string key(std::uint64_t n) { return "key " + std::to_string(n); }

/// What has arrived, at random; pages that were on their way torn, perhaps.
crash_choice any_of(const loss_of_power& loss, seeded& chance) {
    crash_choice choice;
    for (const auto& thing : loss.things()) {
        choice.options.push_back(static_cast<std::uint16_t>(chance.below(thing.options())));
    }
    if (chance.one_in(3)) {
        choice.tear = chance.next();
        choice.has_garbage = chance.one_in(2);
    }
    return choice;
}

/// Random records of so many keys: lone, in batches, compressed; tombstones among them.
void append_some(compacted& to, seeded& chance, std::uint64_t count, std::uint64_t keys) {
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto value = [&]() -> std::optional<std::string> {
            return chance.one_in(9) ? std::nullopt : std::optional{value_of(static_cast<std::int64_t>(to.history.size() + chance.below(5)))};
        };
        switch (chance.below(12)) {
            case 0: {
                std::vector<std::pair<std::string, std::optional<std::string>>> batch;
                for (std::uint64_t k = 1 + chance.below(12); k > 0; --k) {
                    batch.emplace_back(key(chance.below(keys)), value());
                }
                to.append_batch(batch, static_cast<std::uint16_t>(chance.below(3)));
                break;
            }
            case 1:
                if (chance.one_in(20)) {
                    to.append(std::nullopt, value());  // the broker lets none in; what is there all the same stays
                    break;
                }
                [[fallthrough]];
            default: to.append(key(chance.below(keys)), value()); break;
        }
    }
}

}  // namespace

TEST_CASE("of each key the last record stays, with its offset, its time and its place in the order", "[storage][compaction]") {
    compacted topic;
    for (int i = 0; i < 3'000; ++i) {
        topic.append(key(static_cast<std::uint64_t>(i % 10)), value_of(i));
    }
    topic.roll();
    const std::size_t before = topic.segments();
    failure why;
    const std::uint64_t size = topic.log().size_bytes(why);
    topic.keep_up();
    CHECK(topic.compacted_to() == 3'000);
    CHECK(topic.problem(false, true) == "");
    CHECK(read_from(topic.log(), 0).records.size() == 10);
    CHECK(read_from(topic.log(), 2'990).records.size() == 10);
    CHECK(before > 50);
    CHECK(topic.segments() == 2);
    CHECK(topic.log().size_bytes(why) < size / 50);
    CHECK(topic.log().log_start_offset() == 0);
    CHECK(topic.log().log_end_offset() == 3'000);
    CHECK(topic.damage() == "");
    for (const auto& [name, content] : topic.orders.files()) {
        CHECK_FALSE(name.ends_with(".swap"));
        CHECK_FALSE(name.ends_with(".tmp"));
    }
    topic.reopen();
    CHECK(topic.log().report().damages.empty());
    CHECK(topic.problem(false, true) == "");
}

TEST_CASE("compaction is what a model of it says, on random histories", "[storage][compaction]") {
    const char* const budget = std::getenv("BROOK_FAULT_SECONDS");
    const std::uint64_t rounds = budget != nullptr && std::atoi(budget) >= 60 ? 400 : 40;
    for (std::uint64_t seed = 1; seed <= rounds; ++seed) {
        CAPTURE(seed);
        seeded chance{seed};
        const std::size_t memory = chance.one_in(3) ? 2 * kib : mib;  // 99 keys, or all
        compacted topic{eager(), memory, chance.one_in(2) ? 4 * kib : 16 * kib};
        const std::uint64_t keys = 1 + chance.below(chance.one_in(2) ? 20 : 400);
        bool may_go = false;
        for (std::uint64_t step = 0; step < 12; ++step) {
            append_some(topic, chance, 20 + chance.below(200), keys);
            if (chance.one_in(2)) {
                topic.roll();
            }
            if (chance.one_in(4)) {
                topic.pass(chance.one_in(2) ? 1h : 10min);
                may_go = true;
            }
            if (chance.one_in(3)) {  // some slices, or none
                static_cast<void>(topic.orders.keep_up());
            } else {
                topic.keep_up();
                REQUIRE((may_go || topic.problem(false, true) == ""));
            }
            REQUIRE(topic.problem(may_go) == "");
            if (chance.one_in(3)) {
                chance.one_in(2) ? static_cast<void>(topic.orders.kill()) : topic.orders.close();
                topic.reopen();
                REQUIRE(topic.log().report().damages.empty());
                REQUIRE(topic.problem(may_go) == "");
            }
        }
        topic.roll();
        topic.keep_up();
        REQUIRE(topic.compacted_to() == topic.log().log_end_offset());
        REQUIRE(topic.problem(may_go) == "");
        REQUIRE(topic.damage() == "");
        if (!may_go) {
            REQUIRE(topic.problem(false, true) == "");
        }
    }
}

TEST_CASE("killed before any call to the system, a compaction has been, or has not been", "[storage][compaction]") {
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
        compacted topic{eager(), 2 * kib};
        seeded chance{seed};
        append_some(topic, chance, 150, 30);
        topic.roll();
        topic.keep_up();
        append_some(topic, chance, 400, 60);
        topic.roll();
        std::vector<image> left;
        topic.orders.platform.on_call([&](operation, const std::string&) {
            if (image now = topic.orders.files(); left.empty() || left.back() != now) {
                left.push_back(std::move(now));
            }
        });
        topic.keep_up();
        topic.orders.platform.on_call(nullptr);
        CHECK(topic.problem(false, true) == "");
        CHECK(left.size() > 30);
        bool has_swap = false;
        for (const image& files : left) {
            topic.orders.become(files);
            has_swap |= !names_in(files, ".swap").empty();
            REQUIRE(topic.damage() == "");
            topic.reopen();
            REQUIRE(topic.log().report().damages.empty());
            REQUIRE(topic.log().report().quarantined.empty());
            REQUIRE(topic.log().log_end_offset() == static_cast<offset>(topic.history.size()));
            REQUIRE(topic.problem() == "");
            REQUIRE(names_in(topic.orders.files(), ".swap").empty());
            REQUIRE(names_in(topic.orders.files(), ".tmp").empty());
            REQUIRE(names_in(topic.orders.files(), ".swap.index").empty());
            topic.keep_up();  // and goes on
            REQUIRE(topic.problem(false, true) == "");
        }
        CHECK(has_swap);
    }
}

TEST_CASE("whatever call fails in a compaction, nothing is lost, and it is done once it can be", "[storage][compaction]") {
    for (std::uint64_t nth = 1;; ++nth) {
        CAPTURE(nth);
        compacted topic;
        seeded chance{7};
        append_some(topic, chance, 300, 30);
        topic.roll();
        topic.orders.platform.fail_any(nth, nth % 2 == 0 ? ENOSPC : EIO);
        bool has_failed = false;
        for (int i = 0; i < 20; ++i) {
            has_failed |= static_cast<bool>(topic.orders.keep_up().why);
            REQUIRE(topic.problem() == "");
        }
        topic.orders.platform.heal();
        topic.pass(1min);
        topic.orders.now += 1min;
        const bool has_broken = topic.orders.keep_up().why.code == errc::partition_failed;  // a sync that failed is final
        if (has_broken) {
            topic.reopen();
        }
        topic.orders.now += 1min;
        topic.keep_up();
        REQUIRE(topic.problem() == "");
        topic.reopen();
        REQUIRE(topic.problem() == "");
        topic.orders.now += 1min;
        topic.keep_up();
        REQUIRE(topic.problem(false, true) == "");
        if (!has_failed && nth > 200) {
            break;
        }
    }
}

TEST_CASE("a reader that was under way goes on in what is left, and misses nothing that counts", "[storage][compaction]") {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        compacted topic;
        seeded chance{seed};
        append_some(topic, chance, 400, 40);
        if (chance.one_in(2)) {
            topic.roll();
            topic.keep_up();
            append_some(topic, chance, 200, 60);
        }
        topic.roll();
        std::vector<storage::log_reader> readers;
        std::vector<std::vector<read_record>> seen(30);
        std::vector<offset> from;
        const auto read_on = [&](std::size_t i, std::uint32_t most) {
            std::vector<storage::record_range> ranges;
            const failure why = readers[i].fetch(most, true, ranges);
            INFO(why.text);
            REQUIRE_FALSE(why);
            for (const auto& range : ranges) {
                copy_out(range, seen[i]);
            }
            return !ranges.empty();
        };
        for (std::size_t i = 0; i < seen.size(); ++i) {
            readers.push_back(topic.log().reader());
            from.push_back(static_cast<offset>(chance.below(topic.history.size())));
            readers[i].seek(from[i]);
            if (!chance.one_in(4)) {
                read_on(i, 1 + static_cast<std::uint32_t>(chance.below(200)));
            }
        }
        for (int slices = 0; topic.orders.keep_up().has_more || slices < 3; ++slices) {
            read_on(chance.below(readers.size()), 1 + static_cast<std::uint32_t>(chance.below(50)));
            if (slices == 1) {
                append_some(topic, chance, 100, 40);
                topic.roll();
            }
        }
        for (std::size_t i = 0; i < readers.size(); ++i) {
            while (read_on(i, 1 + static_cast<std::uint32_t>(chance.below(100)))) {
            }
            CHECK(readers[i].at_end(true));
            offset before = -1;
            std::map<std::string, std::optional<std::string>> known;
            for (const auto& record : seen[i]) {
                REQUIRE(record.offset > before);
                REQUIRE(record == topic.history[static_cast<std::size_t>(record.offset)]);
                before = record.offset;
                if (record.key) {
                    known[*record.key] = record.value;
                }
            }
            std::map<std::string, std::optional<std::string>> wanted;
            for (const auto& record : topic.history) {
                if (record.key && record.offset >= from[i]) {
                    wanted[*record.key] = record.value;
                }
            }
            REQUIRE(known == wanted);
        }
    }
}

TEST_CASE("a tombstone stays for delete_retention from when it was first compacted, however often it is compacted again", "[storage][compaction]") {
    compacted topic;
    const auto has = [&](const std::string& wanted) {
        const auto all = read_from(topic.log(), 0).records;
        return std::any_of(all.begin(), all.end(), [&](const read_record& record) { return record.key == wanted; });
    };
    topic.append("gone", "1");
    topic.append("stays", "1");
    topic.append("gone", std::nullopt);
    topic.roll();
    topic.pass(5h);  // that it is old is not what counts
    topic.keep_up();
    CHECK(topic.problem(false, true) == "");
    CHECK(read_from(topic.log(), 0).records.size() == 2);
    for (int i = 0; i < 5; ++i) {
        topic.pass(11min);
        topic.append("later", std::nullopt);
        topic.append("other " + std::to_string(i), value_of(i));
        topic.roll();
        topic.keep_up();
        CHECK(has("gone"));
    }
    if (GENERATE(false, true)) {
        topic.reopen();
    }
    topic.pass(4min);
    topic.keep_up();
    CHECK(has("gone"));
    topic.pass(1min + 1s);
    topic.keep_up();  // nothing came since: its time is enough
    CHECK_FALSE(has("gone"));
    CHECK(has("later"));
    CHECK(has("stays"));
    topic.pass(58min);
    topic.keep_up();
    CHECK_FALSE(has("later"));
    CHECK(topic.problem(true) == "");
    CHECK(topic.damage() == "");
}

TEST_CASE("a log is compacted by its ratio, by the lag at most, and not before the lag at least", "[storage][compaction]") {
    const auto fill = [](compacted& topic, int count, int keys) {
        for (int i = 0; i < count; ++i) {
            topic.append(key(static_cast<std::uint64_t>(i % keys)), value_of(i));
        }
    };
    SECTION("the ratio") {
        compacted topic{{.is_on = true, .min_dirty_ratio = 0.5}, mib, 16 * kib};
        fill(topic, 1'000, 1'000);
        topic.roll();
        topic.keep_up();
        CHECK(topic.compacted_to() == 1'000);
        fill(topic, 500, 500);
        topic.roll();
        topic.keep_up();
        CHECK(topic.compacted_to() == 1'000);
        fill(topic, 700, 700);
        topic.roll();
        topic.keep_up();
        CHECK(topic.compacted_to() == 2'200);
        CHECK(topic.problem(false, true) == "");
    }
    SECTION("what is active is sealed for it when that is worth it") {
        compacted topic{{.is_on = true, .min_dirty_ratio = 0.5}, mib, mib};
        fill(topic, 100, 1);
        topic.keep_up();
        CHECK(topic.segments() == 1);
        CHECK(topic.compacted_to() == 0);
        fill(topic, 900, 1);  // more than 64 KiB
        topic.keep_up();
        CHECK(topic.compacted_to() == 1'000);
        CHECK(topic.problem(false, true) == "");
        CHECK(read_from(topic.log(), 0).records.size() == 1);
    }
    SECTION("the lag at most, also of what is active") {
        compacted topic{{.is_on = true, .min_dirty_ratio = 1, .max_lag = 1h}, mib, mib};
        topic.orders.platform.use_real_now();  // files have the time of birth that the system gives them
        topic.reopen();
        fill(topic, 100, 100);
        topic.roll();
        topic.keep_up();
        CHECK(topic.compacted_to() == 100);
        fill(topic, 10, 1);
        topic.keep_up();
        CHECK(topic.compacted_to() == 100);
        topic.orders.platform.set_now(os::posix().now() + 61min);
        topic.orders.platform.advance_monotonic(61min);
        topic.keep_up();
        CHECK(topic.compacted_to() == 110);
    }
    SECTION("the lag at least") {
        compacted topic{{.is_on = true, .min_dirty_ratio = 0, .min_lag = 1h}};
        fill(topic, 500, 5);
        topic.roll();
        topic.keep_up();
        topic.pass(59min);
        fill(topic, 500, 5);
        topic.roll();
        topic.keep_up();
        CHECK(topic.compacted_to() == 0);
        topic.pass(1min);
        topic.keep_up();
        CHECK(topic.compacted_to() == 500);
        CHECK(topic.problem(false, true) == "");
    }
    SECTION("one of a broker's logs at a time") {
        compacted one;
        compacted other;
        fill(one, 500, 5);
        one.roll();
        int mine = 0;
        CHECK(one.turn.take(&mine));
        CHECK_FALSE(one.turn.take(&one));
        one.keep_up();
        CHECK(one.compacted_to() == 0);
        one.turn.give(&mine);
        one.keep_up();
        CHECK(one.compacted_to() == 500);
        CHECK(one.turn.take(&mine));  // it has given it back
    }
}

TEST_CASE("what cannot be read stays as it is, and what it may hold is not brought back when it can be read again", "[storage][compaction]") {
    compacted topic{{.is_on = true, .min_dirty_ratio = 0, .delete_retention = 0h}};
    topic.append_uncompacted([&] {
        topic.append("gone", "was here");
        for (int i = 0; i < 200; ++i) {
            topic.append(key(static_cast<std::uint64_t>(i % 50)), value_of(i));
        }
    });
    const image whole = topic.orders.files();
    const std::string first = topic.rot(300);
    topic.append("gone", std::nullopt);
    for (int i = 0; i < 200; ++i) {
        topic.append(key(static_cast<std::uint64_t>(i % 50)), value_of(1'000 + i));
    }
    topic.roll();
    std::string told;
    for (int i = 0; i < 20; ++i) {
        if (const auto result = topic.orders.keep_up(); result.why) {
            told = result.why.text;
        }
    }
    CHECK(told.find(first) != std::string::npos);
    CHECK(told.find("compaction leaves the segment as it is") != std::string::npos);
    CHECK(topic.compacted_to() == 0);
    const auto behind = read_from(topic.log(), 201).records;
    CHECK(behind.size() <= 60);
    CHECK(std::any_of(behind.begin(), behind.end(), [](const read_record& record) { return record.key == "gone" && !record.value; }));
    topic.orders.close();
    image files = topic.orders.files();
    files[first] = whole.at(first);  // from a copy
    topic.orders.become(files);
    topic.reopen();
    topic.append("new", "1");
    topic.roll();
    topic.pass(1h);
    topic.keep_up();
    topic.keep_up();
    CHECK(topic.compacted_to() == topic.log().log_end_offset());
    CHECK(topic.problem(true) == "");
    for (const auto& record : read_from(topic.log(), 0).records) {
        CHECK_FALSE((record.key == "gone" && record.value));
    }
}

TEST_CASE("what cannot be read does not keep the rest from being compacted, in as many passes as that takes", "[storage][compaction]") {
    compacted topic{eager(), 2 * kib};  // 99 keys
    topic.append_uncompacted([&] {
        for (int i = 0; i < 2'000; ++i) {
            topic.append(key(static_cast<std::uint64_t>(i % 400)), value_of(i));
        }
    });
    topic.rot(300);
    int told = 0;
    int rounds = 0;
    for (bool has_more = true; has_more && rounds < 1'000; ++rounds) {
        const auto result = topic.orders.keep_up();
        told += result.why ? 1 : 0;
        has_more = result.has_more || result.why;
    }
    CHECK(rounds < 1'000);
    CHECK(told > 0);
    CHECK(topic.compacted_to() == 0);
    CHECK(read_from(topic.log(), 200).records.size() == 400);
}

TEST_CASE("rot is not copied into what would vouch for it", "[storage][compaction]") {
    compacted topic;
    for (int i = 0; i < 60; ++i) {
        topic.append(key(static_cast<std::uint64_t>(i)), value_of(i));
    }
    topic.roll();
    topic.keep_up();
    const std::string name = topic.rot(1'000);
    const image files = topic.orders.files();
    topic.append(key(59), "new");
    topic.roll();
    std::string told;
    for (int i = 0; i < 10; ++i) {
        if (const auto result = topic.orders.keep_up(); result.why) {
            told = result.why.text;
        }
    }
    CHECK(told.find(name) != std::string::npos);
    CHECK(topic.orders.files().at(name) == files.at(name));
    const reading all = read_from(topic.log(), 0);
    CHECK(all.why.code == errc::corrupt_record);
    CHECK(topic.damage() != "");
}

TEST_CASE("positions keep their leader epoch, and times are found, in what has been compacted", "[storage][compaction]") {
    compacted topic;
    seeded chance{3};
    append_some(topic, chance, 25, 10);
    topic.append("torn", "by a loss of power");  // which cuts it, and so raises the epoch
    image files = topic.orders.files();
    std::string& log = files[names_in(files, ".log").back()];
    flip_bit(log, (frames_of(log).back().at + format::frame_header_size) * 8);
    topic.orders.wake_up_with(files);
    topic.history.pop_back();
    topic.reopen();
    REQUIRE(topic.log().leader_epoch() == 1);
    REQUIRE(topic.log().log_end_offset() == static_cast<offset>(topic.history.size()));
    append_some(topic, chance, 200, 10);
    const std::uint32_t epoch = topic.log().leader_epoch();
    topic.roll();
    std::vector<std::optional<std::uint32_t>> before;
    for (offset at = 1; at <= topic.log().log_end_offset(); ++at) {
        before.push_back(topic.log().epoch_before(at));
    }
    topic.keep_up();
    CHECK(topic.problem(false, true) == "");
    for (offset at = 1; at <= topic.log().log_end_offset(); ++at) {
        CHECK(topic.log().epoch_before(at) == before[static_cast<std::size_t>(at) - 1]);
    }
    CHECK(topic.log().end_of_epoch(epoch) == topic.log().log_end_offset());
    const auto left = read_from(topic.log(), 0).records;
    for (const auto& record : topic.history) {
        failure why;
        const auto found = topic.log().offset_for_time(record.timestamp, why);
        const auto next = std::find_if(left.begin(), left.end(), [&](const read_record& one) { return one.timestamp >= record.timestamp; });
        CHECK_FALSE(why);
        CHECK(found == (next == left.end() ? std::nullopt : std::optional{next->offset}));
    }
}

TEST_CASE("positions keep their leader epoch however often the log is compacted", "[storage][compaction]") {
    compacted topic;
    topic.append("a", "1");
    topic.append("b", "1");
    topic.append("torn", "by a loss of power");
    image files = topic.orders.files();
    std::string& log = files[names_in(files, ".log").back()];
    flip_bit(log, (frames_of(log).back().at + format::frame_header_size) * 8);
    topic.orders.wake_up_with(files);
    topic.history.pop_back();
    topic.reopen();
    REQUIRE(topic.log().leader_epoch() == 1);
    for (int i = 0; i < 5; ++i) {
        topic.append("c", "1");
    }
    storage::claim dropped;  // its offset is of this epoch, too
    failure why;
    REQUIRE(topic.log().take(64, 1, dropped, why));
    topic.log().abandon(dropped, 1);
    topic.history.push_back({7, 0, std::nullopt, std::nullopt});
    topic.roll();
    std::vector<std::optional<std::uint32_t>> before;
    for (offset at = 1; at <= 8; ++at) {
        before.push_back(topic.log().epoch_before(at));
    }
    CHECK(before.back() == 1);
    for (int round = 0; round < 3; ++round) {
        topic.append(round == 1 ? "a" : "c", "2");
        topic.roll();
        topic.keep_up();
        for (offset at = 1; at <= 8; ++at) {
            CAPTURE(round, at);
            CHECK(topic.log().epoch_before(at) == before[static_cast<std::size_t>(at) - 1]);
            CHECK(topic.log().has_frame(at, *before[static_cast<std::size_t>(at) - 1], 0));  // as an opening asks for the end of a transaction
        }
    }
}

TEST_CASE("what was put in its place stays there when the rest of that fails and is tried again", "[storage][compaction]") {
    compacted topic;
    for (int i = 0; i < 300; ++i) {
        topic.append(key(static_cast<std::uint64_t>(i % 30)), value_of(i));
    }
    topic.roll();
    bool had_swap = false;
    bool has_failed = false;
    topic.orders.platform.on_call([&](operation which, const std::string&) {
        const bool has_swap = which == operation::sync_directory && !names_in(topic.orders.files(), ".swap").empty();
        if (which == operation::sync_directory && had_swap && !has_swap && !has_failed) {  // behind the last rename
            has_failed = true;
            topic.orders.platform.inject({.on = operation::sync_directory});
            topic.orders.platform.inject({.on = operation::disk_bytes, .path = ".swap"});
        }
        had_swap |= has_swap;
    });
    for (int i = 0; i < 10; ++i) {
        static_cast<void>(topic.orders.keep_up());
    }
    topic.orders.platform.on_call(nullptr);
    CHECK(has_failed);
    CHECK(topic.problem() == "");
    topic.reopen();
    CHECK(topic.problem() == "");
}

TEST_CASE("rot that makes another key of one takes no record along", "[storage][compaction]") {
    compacted topic{eager(), mib, 64 * kib};
    topic.append("user-1", "all that is known of user-1");
    topic.roll();
    topic.keep_up();
    topic.append("x", "y");
    topic.orders.close();
    image files = topic.orders.files();
    const std::string name = names_in(files, ".log").front();
    const auto at = files[name].find("user-1");
    REQUIRE(at != std::string::npos);
    flip_bit(files[name], (at + 5) * 8 + 1);  // '1' becomes '3'
    topic.orders.become(files);
    topic.reopen();
    topic.append("user-3", "new");
    topic.roll();
    std::string told;
    for (int i = 0; i < 20; ++i) {
        if (const auto result = topic.orders.keep_up(); result.why) {
            told = result.why.text;
        }
    }
    CHECK(told.find(name) != std::string::npos);
    CHECK(topic.damage() != "");
}

TEST_CASE("what no writer has written supersedes no record, though its checksum is right", "[storage][compaction]") {
    compacted topic;
    topic.append_uncompacted([&] {
        topic.append("key", "all that is known");
        topic.roll();
        topic.append("another", "is intact");
        topic.append("key", "is forged");
    });
    topic.orders.close();
    image files = topic.orders.files();
    std::string& content = files.at("00000000000000000001.log");
    const frame_place bad = frame_with(content, 2);
    format::frame_header header = bad.header;
    header.size = static_cast<std::int32_t>(content.size() - bad.at);  // into the room of the seal
    const auto seed = peek<format::segment_birth>(content, 0).seed;
    header.checksum = format::checksum_of(seed, static_cast<position>(bad.at), header, reinterpret_cast<const std::byte*>(content.data()) + bad.at);
    poke(content, bad.at, header);
    topic.orders.become(files);
    topic.reopen();
    std::string told;
    for (int i = 0; i < 20; ++i) {
        if (const auto result = topic.orders.keep_up(); result.why) {
            told = result.why.text;
        }
    }
    CHECK(told.find("00000000000000000001.log") != std::string::npos);
    const reading all = read_from(topic.log(), 0);
    CHECK(all.why.code == errc::corrupt_record);
    topic.history.pop_back();
    CHECK(difference(all.records, topic.history) == "");
}

TEST_CASE("what holds compaction back, and tombstones behind it, are no work without end", "[storage][compaction]") {
    compacted topic{{.is_on = true, .min_dirty_ratio = 0.5, .delete_retention = 0h}};
    topic.append_uncompacted([&] {
        for (int i = 0; i < 100; ++i) {
            topic.append(key(static_cast<std::uint64_t>(i)), value_of(i));
        }
        topic.append("gone", std::nullopt);
    });
    topic.rot(300);
    for (int i = 0; i < 50; ++i) {
        static_cast<void>(topic.orders.keep_up());
    }
    int renames = 0;
    topic.orders.platform.on_call([&](operation which, const std::string&) { renames += which == operation::rename ? 1 : 0; });
    for (int i = 0; i < 50; ++i) {
        CHECK_FALSE(topic.orders.keep_up().has_more);
    }
    topic.orders.platform.on_call(nullptr);
    CHECK(renames == 0);
}

TEST_CASE("a log whose upkeep fails gives its turn to the next", "[storage][compaction]") {
    compacted one{{.is_on = true, .min_dirty_ratio = 0}, mib, 256 * kib};
    for (int i = 0; i < 20'000; ++i) {
        one.append(key(static_cast<std::uint64_t>(i)), value_of(i));
    }
    one.roll();
    int mine = 0;
    for (int i = 0; i < 20 && one.turn.take(&mine); ++i) {
        one.turn.give(&mine);
        static_cast<void>(one.orders.keep_up());
    }
    REQUIRE_FALSE(one.turn.take(&mine));  // a pass is under way
    one.append("a", "b");
    one.roll();
    one.orders.platform.fail_syncs();
    CHECK(one.log().sync());
    static_cast<void>(one.orders.keep_up());
    static_cast<void>(one.orders.keep_up());
    one.orders.platform.heal();
    CHECK((one.turn.take(&mine) || one.compacted_to() > 0));
}

TEST_CASE("a result that was given up does not take the place of a later one", "[storage][compaction]") {
    compacted topic;
    seeded chance{5};
    append_some(topic, chance, 300, 20);
    topic.roll();
    image swap;  // as the first compaction leaves it in the middle
    topic.orders.platform.on_call([&](operation, const std::string&) {
        for (const auto& [name, content] : topic.orders.files()) {
            if (name.ends_with(".swap")) {
                swap[name] = content;
            }
        }
    });
    topic.keep_up();
    topic.orders.platform.on_call(nullptr);
    REQUIRE(swap.size() == 1);
    append_some(topic, chance, 300, 20);
    topic.roll();
    topic.keep_up();
    topic.orders.close();
    image files = topic.orders.files();
    files.insert(*swap.begin());
    topic.orders.become(files);
    CHECK(topic.damage() == "");
    topic.reopen();
    CHECK(topic.log().report().damages.empty());
    CHECK(topic.log().report().quarantined.size() == 1);
    CHECK(topic.problem(false, true) == "");
}

TEST_CASE("nor of one that reaches in from in front", "[storage][compaction]") {
    compacted topic;
    image swaps;
    topic.orders.platform.on_call([&](operation, const std::string&) {
        for (const auto& [name, content] : topic.orders.files()) {
            if (name.ends_with(".swap")) {
                swaps[name] = content;
            }
        }
    });
    for (int i = 0; i < 120; ++i) {
        topic.append(key(static_cast<std::uint64_t>(i)), value_of(i));
    }
    topic.roll();
    topic.keep_up();
    topic.orders.platform.on_call(nullptr);
    REQUIRE(swaps.size() > 1);
    for (int i = 0; i < 120; ++i) {
        topic.append(key(static_cast<std::uint64_t>(i)), value_of(1'000 + i));
    }
    topic.roll();
    topic.keep_up();
    topic.orders.close();
    const image files = topic.orders.files();
    for (const auto& [name, content] : swaps) {
        CAPTURE(name);
        image with = files;
        with[name] = content;
        topic.orders.become(with);
        CHECK(topic.damage() == "");
        topic.reopen();
        CHECK(topic.problem(false, true) == "");
    }
}

TEST_CASE("whenever the power goes in a compaction, what was durable is there or superseded by what is", "[storage][compaction][power]") {
    const char* const budget = std::getenv("BROOK_FAULT_SECONDS");
    const std::uint64_t most = budget != nullptr && std::atoi(budget) >= 60 ? 100 : 6;
    std::size_t judged = 0;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        powerless_platform machine{disk_state{}};
        REQUIRE_FALSE(machine.make_directory("/p"));
        REQUIRE_FALSE(machine.sync_directory("/"));
        storage::compaction_turn turn{mib};
        const auto open_on = [&](powerless_platform& where, storage::event_count& events, failure& why) {
            const storage::log_options options{.segment_bytes = 4 * kib, .compaction = {.is_on = true, .min_dirty_ratio = 0}, .turn = &turn};
            return storage::log::open({where, "/p", {"t", {}, 0}}, options, events, events, why);
        };
        storage::event_count events{machine};
        failure why;
        auto log = open_on(machine, events, why);
        REQUIRE(log);
        seeded chance{seed};
        std::vector<read_record> history;
        const auto append_many = [&](int count) {
            for (int i = 0; i < count; ++i) {
                const std::string its = key(chance.below(15));
                const std::string value = value_of(static_cast<std::int64_t>(history.size()));
                REQUIRE(append(*log, its, value, 0, why) == static_cast<offset>(history.size()));
                history.push_back({static_cast<offset>(history.size()), 0, its, value});
            }
            REQUIRE_FALSE(log->roll());
        };
        std::chrono::nanoseconds now{1s};
        for (int i = 0; i < 2; ++i) {  // the first is compacted as a whole, and of the second all states are looked at
            append_many(150);
            REQUIRE_FALSE(log->sync());
            if (i == 0) {
                while (log->upkeep(now += 1s).has_more) {
                }
            }
        }
        append_many(20);  // and some that are not durable
        const offset durable = log->durable_offset();
        REQUIRE(durable >= 300);
        std::vector<disk_state> states;
        machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
        while (log->upkeep(now += 1s).has_more) {
        }
        machine.on_call(nullptr);
        states.push_back(machine.look());
        CHECK(machine.misuse() == "");
        machine.unplug();
        for (const disk_state& state : states) {
            const loss_of_power loss{state};
            for (std::uint64_t n = 0; n < most + 2; ++n) {
                powerless_platform later{n == 0 ? loss.decide_nothing() : n == 1 ? loss.decide_everything() : loss.decide(any_of(loss, chance))};
                storage::event_count later_events{later};
                std::optional<disk_state> inside;
                later.on_call([&inside, left = chance.below(12)](auto& held, const char*) mutable {
                    if (left-- == 0) {
                        inside = held.state();
                    }
                });
                const auto judge = [&](powerless_platform& where, storage::event_count& its_events) {
                    ++judged;
                    failure refused;
                    const auto found = open_on(where, its_events, refused);
                    INFO(refused.text);
                    REQUIRE(found);
                    REQUIRE(found->report().damages.empty());
                    REQUIRE(found->log_end_offset() >= durable);
                    const reading all = read_from(*found, 0);
                    REQUIRE(all.why.text == "");
                    std::map<std::string, std::string> known;
                    for (const auto& record : all.records) {
                        REQUIRE(record == history[static_cast<std::size_t>(record.offset)]);
                        known[*record.key] = *record.value;
                    }
                    std::map<std::string, std::string> wanted;
                    for (offset at = 0; at < found->log_end_offset(); ++at) {
                        wanted[*history[static_cast<std::size_t>(at)].key] = *history[static_cast<std::size_t>(at)].value;
                    }
                    REQUIRE(known == wanted);
                    where.unplug();
                };
                judge(later, later_events);
                if (inside) {  // and again, in the middle of the recovery
                    powerless_platform last{chance.one_in(2) ? *inside : loss_of_power{*inside}.decide(any_of(loss_of_power{*inside}, chance))};
                    storage::event_count last_events{last};
                    judge(last, last_events);
                }
            }
        }
    }
    CHECK(judged > 500);
}

TEST_CASE("memory that runs out in a compaction costs the pass and nothing else", "[storage][compaction]") {
    for (std::uint64_t nth = 1; nth < 300; nth += 3) {
        CAPTURE(nth);
        compacted topic;
        seeded chance{nth};
        append_some(topic, chance, 200, 20);
        topic.roll();
        bool has_failed = false;
        for (int i = 0; i < 6; ++i) {
            try {
                const failing_memory scarce{nth};
                static_cast<void>(topic.orders.keep_up());
            } catch (const std::bad_alloc&) {
                has_failed = true;
            }
        }
        static_cast<void>(has_failed);
        REQUIRE(topic.problem() == "");
        topic.pass(1min);
        topic.orders.now += 1min;
        topic.keep_up();
        REQUIRE(topic.problem(false, true) == "");
        REQUIRE(topic.compacted_to() == topic.log().log_end_offset());
        topic.reopen();
        REQUIRE(topic.problem(false, true) == "");
    }
}

TEST_CASE("a look-up finds its way by the index of what was compacted", "[storage][compaction]") {
    compacted topic{eager(), mib, 256 * kib};
    for (int i = 0; i < 20'000; ++i) {
        topic.append(key(static_cast<std::uint64_t>(i % 5 == 0 ? 0 : i)), value_of(i));
    }
    topic.roll();
    topic.keep_up();
    CHECK(topic.problem(false, true) == "");
    finding_list found;
    partition_report report;
    const storage::scrub_rules rules;
    storage::partition_scrub scrub{topic.orders.platform, topic.orders.path(), topic.orders.name, true, rules, found};
    scrub.run(report);
    std::uint64_t slots = 0;
    for (const auto& segment : report.segments) {
        CHECK(segment.has_index);
        CHECK(segment.wrong_index_slots == 0);
        slots += segment.index_slots;
    }
    CHECK(slots > 300);
    CHECK(found.count(severity::note) + found.count(severity::damage) == 0);
}

}  // namespace storage_compaction_test
