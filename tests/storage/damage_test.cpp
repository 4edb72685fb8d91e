// What rot, a lost file or a careless copy does to a log: the records come back exactly, or an error names the file.
// BROOK_FAULT_SECONDS=60 and more takes every bit instead of a sample.
#include <brook/storage/log.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_damage_test {

using namespace brook;
using namespace brook::test;
using brook::format::segment_header_size;

namespace {

constexpr std::int64_t record_count = 150;

storage::log_options tiny() { return {.segment_bytes = 4096}; }

bool is_thorough() {
    const char* const budget = std::getenv("BROOK_FAULT_SECONDS");
    return budget != nullptr && std::atoi(budget) >= 60;
}

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

/// Three segments, the last one open, closed in good order. Everything is on the disk if `is_synced`.
image small_log(partition& orders, bool is_synced) {
    orders.open();
    failure why;
    append_range(*orders.log, 0, 40);
    REQUIRE(append_batch(*orders.log, 10, 40, why) == 40);
    append_range(*orders.log, 50, record_count);
    if (is_synced) {
        REQUIRE_FALSE(orders.log->sync());
        orders.keep_up();
        orders.keep_up();
    }
    orders.close();
    image files = orders.files();
    REQUIRE(names_in(files, ".log").size() == 3);
    return files;
}

/// What the test's records look like: a batch's records have its first one's time.
const std::vector<read_record>& expected_records() {
    static const std::vector<read_record> records = [] {
        auto all = numbered(0, record_count);
        for (auto& record : all) {
            record.timestamp = record.offset >= 40 && record.offset < 50 ? time_of(40) : record.timestamp;
        }
        return all;
    }();
    return records;
}

struct outcome {
    std::string violation;  ///< of the promise; empty: it was kept
    bool is_refused = false;
    std::int64_t lost = 0;
};

/// Opens and reads everything. Kept: each offset is read exactly, or reading it, or opening, gives an error that names a
/// file of this partition. If `may_end_early`, a log that ends before is kept too.
outcome read_all_of(partition& orders, bool may_end_early) {
    outcome result;
    failure why;
    orders.close();
    orders.log = orders.try_open(why);
    if (!orders.log) {
        result.is_refused = true;
        if (why.code != errc::corrupt_record && why.code != errc::unsupported_version) {
            result.violation = "refused with " + why.code.message() + ": " + why.text;
        } else if (!names(why, orders.path())) {
            result.violation = "refused without naming a file: " + why.text;
        }
        return result;
    }
    const std::int64_t end = may_end_early ? std::min(record_count, orders.log->log_end_offset()) : record_count;
    if (orders.log->log_end_offset() < end) {
        result.violation = "the log ends at " + std::to_string(orders.log->log_end_offset());
        return result;
    }
    for (offset wanted = 0; wanted < end;) {
        const reading rest = read_from(*orders.log, wanted, 1'000);
        auto expected = expected_records().begin() + wanted;
        for (const auto& record : rest.records) {
            if (record.offset >= end) {
                break;
            }
            if (!(record == *expected)) {
                result.violation = "offset " + std::to_string(expected->offset) + " was read as offset " + std::to_string(record.offset) +
                                   " {" + record.value.value_or("null") + "}";
                return result;
            }
            ++expected;
            ++wanted;
        }
        if (wanted == end) {
            break;
        }
        if (rest.why.code != errc::corrupt_record || !names(rest.why, orders.path() + "/")) {
            result.violation = "offset " + std::to_string(wanted) + " is missing, and the reader says: " + (rest.why ? rest.why.text : "nothing");
            return result;
        }
        ++wanted;
        ++result.lost;
    }
    return result;
}

/// The promise, kept. Then the log must take appends, and give them back.
outcome check_kept(partition& orders, bool may_end_early = false) {
    outcome result = read_all_of(orders, may_end_early);
    CHECK(result.violation == "");
    if (result.violation.empty() && !result.is_refused) {
        failure why;
        const offset at = append(*orders.log, "key", "appended behind damage", 1, why);
        if (at < 0 || at < orders.log->log_end_offset() - 1 || (!may_end_early && at < record_count)) {
            CHECK(why.text == "");
            CHECK(at == record_count);
            return result;
        }
        orders.open();
        const reading last = read_from(*orders.log, at);
        if (last.records.size() != 1 || last.records.front().value != "appended behind damage") {
            CHECK(last.why.text == "");
            CHECK(last.records.size() == 1);
        }
    }
    return result;
}

struct sweep_counts {
    std::uint64_t tried = 0;
    std::uint64_t told = 0;
    std::uint64_t refused = 0;
};

/// Flips bits, one at a time, in every file of the log.
sweep_counts flip_every_bit(partition& orders, const image& files, bool reboots, bool may_end_early, std::size_t stride) {
    sweep_counts counts;
    orders.become(files);
    for (const auto& [name, content] : files) {
        std::size_t used = content.size();
        if (name.ends_with(".log")) {
            used = std::min(used, frames_end(content) + 64);
        } else if (name.ends_with(".index")) {
            used = std::min<std::size_t>(used, 32);
        }
        std::vector<std::size_t> bits;
        for (std::size_t bit = 0; bit < used * 8; bit += stride) {
            bits.push_back(bit);
        }
        if (name.ends_with(".log") && stride > 1) {
            for (const auto& frame : frames_of(content)) {
                for (const std::size_t bit : {4u, 31u}) {  // a wrong size, and a publication that looks like a claim
                    bits.push_back(frame.at * 8 + bit);
                }
            }
        }
        for (const std::size_t bit : bits) {
            image damaged = files;
            flip_bit(damaged.at(name), bit);
            if (reboots) {
                orders.wake_up_with(damaged);
            } else {
                orders.become(damaged);
            }
            const outcome result = read_all_of(orders, may_end_early);
            if (!result.violation.empty()) {
                CAPTURE(name, bit / 8, bit % 8, reboots);
                CHECK(result.violation == "");
            }
            ++counts.tried;
            counts.told += result.lost > 0 ? 1 : 0;
            counts.refused += result.is_refused ? 1 : 0;
        }
    }
    return counts;
}

}  // namespace

TEST_CASE("one flipped bit anywhere in a durable log gives the exact records or an error that names the file", "[storage][damage]") {
    partition orders{tiny()};
    const image files = small_log(orders, true);
    const bool reboots = GENERATE(false, true);
    const sweep_counts counts = flip_every_bit(orders, files, reboots, false, is_thorough() ? 1 : 13);
    CHECK(counts.tried > 4'000);
    CHECK(counts.told > counts.tried / 3);  // most of the bytes are records
    CHECK(counts.refused > 0);
}

TEST_CASE("one flipped bit in a log that was killed gives the exact records or an error that names the file", "[storage][damage]") {
    partition orders{tiny()};
    small_log(orders, false);
    orders.open();
    const image files = orders.kill();
    const sweep_counts counts = flip_every_bit(orders, files, false, false, is_thorough() ? 1 : 13);
    CHECK(counts.told > counts.tried / 3);
}

TEST_CASE("one flipped bit in a log that nothing vouches for cuts it there, and what is left is exact", "[storage][damage]") {
    partition orders{tiny()};
    const image files = small_log(orders, false);
    flip_every_bit(orders, files, true, true, is_thorough() ? 1 : 29);
}

TEST_CASE("a segment cut short at any length gives the exact records before, and an error where some are missing", "[storage][damage]") {
    partition orders{tiny()};
    const bool is_synced = GENERATE(true, false);
    const bool reboots = GENERATE(true, false);
    const image files = small_log(orders, is_synced);
    const auto logs = names_in(files, ".log");
    const std::size_t which = GENERATE(0u, 1u, 2u);
    const std::string& name = logs[which];
    const std::size_t end = frames_end(files.at(name));
    const std::size_t step = is_thorough() ? 8 : 24;
    for (std::size_t length = 0; length < end + 64; length += step) {
        CAPTURE(is_synced, reboots, name, length);
        image damaged = files;
        damaged.at(name).resize(std::min(length + (length % 16 == 0 ? 0 : 3), files.at(name).size()));
        if (reboots) {
            orders.wake_up_with(damaged);
        } else {
            orders.become(damaged);
        }
        check_kept(orders, !is_synced);
    }
}

TEST_CASE("sectors zeroed, overwritten, doubled or from another place are noticed", "[storage][damage]") {
    partition orders{tiny()};
    const image files = small_log(orders, true);
    const bool reboots = GENERATE(false, true);
    constexpr std::size_t sector = 512;
    for (const auto& [name, content] : files) {
        const std::size_t end = name.ends_with(".log") ? frames_end(content) : std::min<std::size_t>(content.size(), 1'024);
        for (std::size_t at = 0; at < end; at += sector) {
            for (int kind = 0; kind < 5; ++kind) {
                image damaged = files;
                std::string& bytes = damaged.at(name);
                const std::size_t size = std::min(sector, bytes.size() - at);
                const std::size_t other = (at + sector) % (content.size() - content.size() % sector);
                switch (kind) {
                    case 0: bytes.replace(at, size, size, '\0'); break;
                    case 1: bytes.replace(at, size, size, '\xff'); break;
                    case 2: bytes.replace(at, size, content, other, size); break;
                    case 3:
                        bytes.replace(at, size, content, other, size);
                        bytes.replace(other, size, content, at, size);
                        break;
                    default:
                        const std::string& stranger = files.at(name.ends_with(".log") ? names_in(files, ".log")[1] : name);
                        bytes.replace(at, size, stranger, at, size);
                }
                CAPTURE(name, at, kind, reboots);
                if (reboots) {
                    orders.wake_up_with(damaged);
                } else {
                    orders.become(damaged);
                }
                check_kept(orders);
            }
        }
    }
}

TEST_CASE("files of a log that are missing, exchanged or old are noticed", "[storage][damage]") {
    partition orders{tiny()};
    const image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    const bool reboots = GENERATE(false, true);
    const auto place = [&](const image& damaged) {
        if (reboots) {
            orders.wake_up_with(damaged);
        } else {
            orders.become(damaged);
        }
    };
    const auto base_of = [&](std::size_t i) { return *storage::parse_segment_name(logs[i], ".log"); };

    SECTION("any set of them missing") {
        std::vector<std::string> all;
        for (const auto& [name, content] : files) {
            all.push_back(name);
        }
        for (unsigned set = 1; set < 1u << all.size(); ++set) {
            image damaged = files;
            for (std::size_t i = 0; i < all.size(); ++i) {
                if ((set >> i & 1) != 0) {
                    damaged.erase(all[i]);
                }
            }
            const bool has_checkpoint = damaged.contains("checkpoint");
            const bool has_newest = damaged.contains(logs[2]);
            if (!has_checkpoint && !has_newest) {
                continue;  // nothing is left that tells of them: a shorter log, or a new one
            }
            CAPTURE(set, reboots);
            place(damaged);
            failure why;
            orders.log = orders.try_open(why);
            if (names_in(damaged, ".log").empty()) {
                CHECK(why.code == errc::corrupt_record);
                CHECK(names(why, orders.path()));
                continue;
            }
            REQUIRE(why.text == "");
            CHECK(orders.log->log_end_offset() == record_count);
            if (damaged.contains(logs[0])) {
                check_kept(orders);
            } else if (has_checkpoint) {
                REQUIRE_FALSE(orders.log->report().damages.empty());
                CHECK(orders.log->report().damages.front().first == 0);
            }
        }
    }
    SECTION("a segment in the middle") {
        image damaged = files;
        damaged.erase(logs[1]);
        damaged.erase("checkpoint");
        place(damaged);
        orders.open();
        REQUIRE(orders.log->report().damages.size() == 1);
        const damage& told = orders.log->report().damages.front();
        CHECK(told.file == orders.path() + "/" + logs[1]);
        CHECK(told.first == base_of(1));
        CHECK(told.last == base_of(2));
        check_kept(orders);
    }
    SECTION("the newest segment, of which the checkpoint knows") {
        image damaged = files;
        damaged.erase(logs[2]);
        place(damaged);
        orders.open();
        REQUIRE(orders.log->report().damages.size() == 1);
        CHECK(orders.log->report().damages.front().first == base_of(2));
        CHECK(orders.log->report().damages.front().last == record_count);
        CHECK(orders.log->log_end_offset() == record_count);
        CHECK(check_kept(orders).lost == record_count - base_of(2));
    }
    SECTION("all segments, of which the checkpoint knows") {
        image damaged;
        damaged["checkpoint"] = files.at("checkpoint");
        place(damaged);
        failure why;
        CHECK_FALSE(orders.try_open(why));
        CHECK(why.code == errc::corrupt_record);
        CHECK(names(why, orders.path()));
        CHECK(names(why, "topic 'orders', partition 3"));
    }
    SECTION("two exchanged") {
        for (const auto& [one, other] : {std::pair{0, 1}, std::pair{0, 2}, std::pair{1, 2}}) {
            for (const bool has_checkpoint : {true, false}) {
                image damaged = files;
                std::swap(damaged.at(logs[static_cast<std::size_t>(one)]), damaged.at(logs[static_cast<std::size_t>(other)]));
                if (!has_checkpoint) {
                    damaged.erase("checkpoint");
                }
                CAPTURE(one, other, has_checkpoint, reboots);
                place(damaged);
                check_kept(orders);
            }
        }
    }
    SECTION("a segment of another topic") {
        partition others{tiny()};
        others.name.topic_id[0] = std::byte{99};
        const image strangers = small_log(others, true);
        for (const auto& name : logs) {
            image damaged = files;
            REQUIRE(strangers.contains(name));
            damaged.at(name) = strangers.at(name);
            CAPTURE(name, reboots);
            place(damaged);
            const outcome result = check_kept(orders);
            CHECK((result.is_refused || result.lost > 0));  // its records are no records of ours, however alike
        }
    }
    SECTION("a segment of this topic with another life") {
        partition again{tiny()};
        const image others = small_log(again, true);
        for (std::size_t i = 0; i < logs.size(); ++i) {  // the bodies alone, under the right header
            image damaged = files;
            damaged.at(logs[i]).replace(segment_header_size, std::string::npos, others.at(logs[i]), segment_header_size, std::string::npos);
            CAPTURE(i, reboots);
            place(damaged);
            CHECK(check_kept(orders).lost > 0);
        }
    }
    SECTION("each restored from an older copy") {
        partition earlier{tiny()};
        earlier.open();
        append_range(*earlier.log, 0, 10);
        REQUIRE_FALSE(earlier.log->sync());
        const image old = earlier.files();
        append_range(*earlier.log, 10, 40);
        failure why;
        REQUIRE(append_batch(*earlier.log, 10, 40, why) == 40);
        append_range(*earlier.log, 50, 70);
        const image middle = earlier.files();
        append_range(*earlier.log, 70, record_count);
        REQUIRE_FALSE(earlier.log->sync());
        earlier.keep_up();
        earlier.close();
        const image newest = earlier.files();
        REQUIRE(newest.contains("checkpoint"));
        for (const image* const copy : {&old, &middle}) {
            for (const auto& [name, content] : *copy) {
                image damaged = newest;
                damaged[name] = content;
                CAPTURE(name, copy == &old, reboots);
                place(damaged);
                check_kept(orders);
            }
        }
    }
}

TEST_CASE("a segment whose header is damaged is lost between others, and refused at the end", "[storage][damage]") {
    partition orders{tiny()};
    const image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    const std::size_t at = GENERATE(0u, 8u, 16u, 24u, 28u, 32u, 56u, 64u, 72u);
    CAPTURE(at);
    image damaged = files;

    SECTION("between others") {
        damaged.erase("checkpoint");
        flip_bit(damaged.at(logs[1]), at * 8);
        orders.become(damaged);
        orders.open();
        REQUIRE(orders.log->report().damages.size() == 1);
        CHECK(orders.log->report().damages.front().file == orders.path() + "/" + logs[1]);
        CHECK(check_kept(orders).lost == orders.log->report().damages.front().last - orders.log->report().damages.front().first);
        CHECK(orders.files().at(logs[1]) == damaged.at(logs[1]));  // kept
    }
    SECTION("at the end") {
        flip_bit(damaged.at(logs[2]), at * 8);
        orders.become(damaged);
        failure why;
        CHECK_FALSE(orders.try_open(why));
        CHECK(why.code == errc::corrupt_record);
        CHECK(names(why, orders.path() + "/" + logs[2]));
        CHECK(names(why, "topic 'orders', partition 3"));
        CHECK(orders.files() == damaged);
    }
}

TEST_CASE("a segment of a newer format is refused by name", "[storage][damage]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    auto birth = peek<format::segment_birth>(files.at(logs[2]), 0);
    birth.version = format::format_version + 1;
    birth.checksum = format::detail::checksum_before_last(birth);
    poke(files.at(logs[2]), 0, birth);
    orders.become(files);
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == errc::unsupported_version);
    CHECK(names(why, logs[2]));
    CHECK(orders.files() == files);
}

}  // namespace storage_damage_test
