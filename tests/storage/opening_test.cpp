#include <brook/storage/recovery.hpp>  // first, so that it must stand alone

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/storage/evidence.hpp>
#include <brook/storage/log.hpp>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/wire.hpp"

namespace storage_opening_test {

using namespace brook;
using namespace brook::test;
using brook::format::frame_header_size;
using brook::format::frame_word;
using brook::format::segment_header_size;

namespace {

constexpr const char* first_log = "00000000000000000000.log";
constexpr const char* first_index = "00000000000000000000.index";
constexpr const char* second_log = "00000000000000000020.log";
constexpr const char* second_index = "00000000000000000020.index";

storage::log_options tiny() { return {.segment_bytes = 4096}; }
storage::log_options tiny_replicated() {
    storage::log_options options = tiny();
    options.is_replicated = true;
    return options;
}

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

/// Files as a dead process, or a loss of power, has left them.
struct left_behind {
    image files;
    bool is_another_boot = false;
    void put(partition& orders) const { is_another_boot ? orders.wake_up_with(files) : orders.become(files); }
};

/// Two segments, of twenty records and of five, all of it on the disk; the second one was taken from the spare, which has not got its name yet.
image with_a_taken_spare(partition& orders) {
    orders.open();
    append_range(*orders.log, 0, 20);
    REQUIRE_FALSE(orders.log->roll());
    append_range(*orders.log, 20, 25);
    REQUIRE_FALSE(orders.log->sync());
    image left = orders.kill();
    left["spare.log"] = left.at(second_log);
    left["spare.index"] = left.at(second_index);
    left.erase(second_log);
    left.erase(second_index);
    return left;
}

partition& opened(partition& orders) {
    orders.open();
    return orders;
}

std::vector<read_record> all_of(partition& orders) {
    storage::log& log = *orders.log;
    if (orders.options.is_replicated) {
        log.set_high_watermark(log.log_end_offset());
    }
    const reading all = read_from(log, log.log_start_offset());
    CHECK(all.why.text == "");
    return all.records;
}

/// Whichever call of the system fails while it is opened: it says so, or does without, and the next opening finds what this one would have.
void fail_each_call(partition& orders, const left_behind& left) {
    left.put(orders);
    const auto expected = all_of(opened(orders));
    REQUIRE_FALSE(expected.empty());
    bool has_met = true;
    std::uint64_t refused = 0;
    for (std::uint64_t nth = 1; has_met; ++nth) {
        CAPTURE(nth);
        left.put(orders);
        orders.platform.forget_calls();
        orders.platform.fail_any(nth);
        failure why;
        try {
            orders.log = orders.try_open(why);
        } catch (const std::bad_alloc&) {
            why = {std::make_error_code(std::errc::io_error), orders.name.text() + orders.path()};  // the one call that has no other way to fail
        }
        has_met = orders.platform.calls() >= nth;
        if (!orders.log) {
            ++refused;
            CAPTURE(why.text);
            REQUIRE((why.code == std::errc::io_error || (why.code == std::errc::file_exists && names(why, "cannot create"))));  // what it could not remove
            REQUIRE(names(why, "topic 'orders', partition 3"));
            REQUIRE(names(why, orders.path()));
        }
        orders.platform.heal();
        orders.open();
        REQUIRE(difference(all_of(orders), expected) == "");
        REQUIRE(orders.log->report().damages.empty());
    }
    CHECK(refused > 3);
}

format::checkpoint checkpoint_in(const image& files) {
    const std::string& raw = files.at("checkpoint");
    const auto newest = format::newest_checkpoint({reinterpret_cast<const std::byte*>(raw.data()), raw.size()});
    REQUIRE(newest);
    return *newest;
}

/// Writes another checkpoint over both of them.
void put_checkpoint(image& files, format::checkpoint told) {
    for (int slot = 0; slot < 2; ++slot) {
        ++told.sequence;
        poke(files.at("checkpoint"), format::slot_position(told.sequence), format::sealed(told));
    }
}

/// As one who can count checksums puts a frame there.
void forge(std::string& content, std::size_t at, format::frame_header header, const std::string& body) {
    content.replace(at + frame_header_size, body.size(), body);
    auto* const data = reinterpret_cast<std::byte*>(content.data()) + at;
    header.size = static_cast<std::int32_t>(frame_header_size + body.size());
    store(data, header);
    header.checksum = format::checksum_of(peek<format::segment_birth>(content, 0).seed, static_cast<position>(at), header, data);
    store(data, header);
}

std::string body_of(const std::string& content, const frame_place& frame) {
    return content.substr(frame.at + frame_header_size, static_cast<std::size_t>(frame.header.size) - frame_header_size);
}

/// The files before each call to the system that `work` makes.
std::vector<image> images_of(partition& orders, const std::function<void()>& work) {
    std::vector<image> seen;
    orders.platform.on_call([&](operation, const std::string&) { seen.push_back(orders.files()); });
    work();
    orders.platform.on_call(nullptr);
    return seen;
}

/// A replicated log that was being cut at offset `to`: each state that a kill leaves.
std::vector<image> being_cut(partition& orders, offset to) {
    lead_range(orders.open(), 0, 100, 3);
    orders.log->set_high_watermark(10);
    REQUIRE_FALSE(orders.keep_up().why);
    std::vector<image> seen = images_of(orders, [&] { REQUIRE(orders.log->truncate(to).text == ""); });
    std::erase_if(seen, [](const image& files) { return !files.contains("checkpoint") || !checkpoint_in(files).is_cutting(); });
    REQUIRE(seen.size() > 2);
    return seen;
}

}  // namespace

// ---- whatever call fails ----

TEST_CASE("whichever call fails while a killed log is opened, the next opening finds all of it", "[storage][opening][fault]") {
    partition orders{tiny()};
    SECTION("with a gap, and a roll to finish") {
        orders.open();
        append_range(*orders.log, 0, 70);
        orders.hold(64);
        append_range(*orders.log, 71, 80);
        orders.hold(128);
        REQUIRE_FALSE(orders.log->roll());
        image left = orders.kill();
        left.erase("00000000000000000081.log");
        fail_each_call(orders, {left});
    }
    SECTION("with a gap in front of another segment") {
        orders.open();
        append_range(*orders.log, 0, 10);
        orders.hold(64);
        append_range(*orders.log, 11, 200);
        fail_each_call(orders, {orders.kill()});
    }
    SECTION("with an end to erase") {
        orders.open();
        append_range(*orders.log, 0, 10);
        orders.hold(128);
        fail_each_call(orders, {orders.kill()});
    }
    SECTION("with a spare that was not taken") {
        orders.open();
        append_range(*orders.log, 0, 20);
        failure why;
        image left = orders.kill();
        partition other{tiny()};
        REQUIRE(storage::segment_directory(other.platform, other.path(), other.name).create(std::nullopt, 4096, 4096, why));
        left["spare.log"] = other.files().at("spare.log");
        left["spare.index"] = other.files().at("spare.index");
        fail_each_call(orders, {left});
        CHECK_FALSE(orders.files().contains("spare.log"));
    }
    SECTION("with a spare that was taken") { fail_each_call(orders, {with_a_taken_spare(orders)}); }
    SECTION("with a spare that was taken, and does not say where it begins") {
        image left = with_a_taken_spare(orders);
        flip_bit(left.at("spare.log"), format::base_at * 8);
        fail_each_call(orders, {left, GENERATE(false, true)});
    }
    SECTION("in doubt, whether its last sync has failed or not") {
        orders.open();
        append_range(*orders.log, 0, 25);
        image left = orders.kill();
        poke(left.at(first_index), 0, GENERATE(storage::doubt::is_syncing, storage::doubt::has_failed));
        // Where the log cannot be moved it can be read, and no more: that is no error of opening.
        fail_each_call(orders, {left});
    }
}

TEST_CASE("whichever call fails while a log is opened after a loss of power, the next opening finds all that was durable", "[storage][opening][fault]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 100);
    image left = orders.kill();
    SECTION("with a tail to cut, something of it to keep, and segments to put aside") {
        for (const auto& name : names_in(left, ".log")) {
            if (const auto frames = frames_of(left.at(name)); frames.front().header.base_offset <= 50 && frames.back().header.base_offset >= 50) {
                flip_bit(left.at(name), (frame_with(left.at(name), 50).at + 41) * 8);
            }
        }
        SECTION("") { fail_each_call(orders, {left, true}); }
        SECTION("also where that was done by one who was killed then") {
            left_behind{left, true}.put(orders);
            for (const image& files : images_of(orders, [&] { orders.open(); })) {
                const auto kept = names_in(files, ".quarantine");
                if (!kept.empty() && !files.at(kept.front()).empty()) {
                    fail_each_call(orders, {files, true});
                    break;
                }
            }
        }
    }
    SECTION("with the last one named, and not said where it begins") {
        const std::string last = names_in(left, ".log").back();
        poke(left.at(last), format::base_at, std::uint64_t{0});
        fail_each_call(orders, {left, true});
    }
    SECTION("with spares that do not say where they begin, nor does what is in them") {
        const std::string last = names_in(left, ".log").back();
        left["spare.log"] = left.at(last);
        left.erase(last);
        flip_bit(left.at("spare.log"), format::base_check_at * 8);
        flip_bit(left.at("spare.log"), (segment_header_size + 44) * 8);
        fail_each_call(orders, {left, true});
    }
}

TEST_CASE("whichever call fails while a log is opened that was being cut, the next opening cuts it", "[storage][opening][fault]") {
    partition orders{tiny_replicated()};
    const std::vector<image> seen = being_cut(orders, 50);
    fail_each_call(orders, {seen.front(), GENERATE(false, true)});
    CHECK(orders.log->log_end_offset() == 50);
}

TEST_CASE("whichever call fails while a replicated log is opened whose end is no frame, the next opening cuts it there", "[storage][opening][fault]") {
    partition orders{tiny_replicated()};
    lead_range(orders.open(), 0, 25);
    image left = orders.kill();
    const std::string last = names_in(left, ".log").back();
    flip_bit(left.at(last), (frame_with(left.at(last), 24).at + 44) * 8);
    fail_each_call(orders, {left});
    CHECK(orders.log->log_end_offset() == 24);
}

// ---- what a compaction has made ----

namespace {

/// Thirty keys, written ten times, and what a compaction of that makes, before it has taken its place.
image with_a_swap(partition& orders, std::vector<read_record>& kept) {
    orders.open();
    for (int n = 0; n < 300; ++n) {
        failure why;
        REQUIRE(append(*orders.log, "key " + std::to_string(n % 30), value_of(n), time_of(n), why) == n);
    }
    REQUIRE_FALSE(orders.log->roll());
    for (const image& files : images_of(orders, [&] {
             for (int i = 0; i < 20; ++i) {
                 REQUIRE(orders.keep_up().why.text == "");
             }
         })) {
        if (names_in(files, ".swap").size() == 1) {
            orders.become(files);
            kept = all_of(opened(orders));
            return files;
        }
    }
    FAIL("there was no swap");
    return {};
}

storage::log_options compacted(storage::compaction_turn& turn) {
    return {.segment_bytes = 4096, .compaction = {.is_on = true, .min_dirty_ratio = 0}, .turn = &turn};
}

}  // namespace

TEST_CASE("whichever call fails while what a compaction has made is put in its place, the next opening does it", "[storage][opening][fault]") {
    storage::compaction_turn turn{mib};
    partition orders{compacted(turn)};
    orders.platform.set_now(timestamp{std::chrono::hours{24 * 365 * 50}});
    std::vector<read_record> kept;
    image left = with_a_swap(orders, kept);
    SECTION("") { fail_each_call(orders, {left, GENERATE(false, true)}); }
    SECTION("of a part of what it was made from") {
        left.erase(names_in(left, ".log")[0]);
        fail_each_call(orders, {left});
    }
    SECTION("beside an index that was made just before") {
        const std::string swap = names_in(left, ".swap").front();
        left[swap.substr(0, 20) + ".index"] = left[swap + ".index"] = left.at(names_in(left, ".index").front());
        fail_each_call(orders, {left});
    }
    CHECK(difference(all_of(orders), kept) == "");
    CHECK(names_in(orders.files(), ".swap").empty());
    CHECK(names_in(orders.files(), ".swap.index").empty());
}

TEST_CASE("what is not all that its name says takes no place of a compaction's result", "[storage][opening]") {
    storage::compaction_turn turn{mib};
    partition orders{compacted(turn)};
    std::vector<read_record> kept;
    image left = with_a_swap(orders, kept);
    const std::string swap = names_in(left, ".swap").front();
    const std::string content = left.at(swap);
    const offset base = *storage::parse_segment_name(swap.substr(0, 20), "");
    const offset end = *storage::parse_segment_name(swap.substr(21, 20), "");
    left.erase(swap);
    orders.become(left);
    const auto before = all_of(opened(orders));
    left = orders.kill();
    const auto name = [](offset from, offset to) { return storage::swap_name({from, to}); };
    std::string put = swap;
    left[swap] = content;
    SECTION("its header is not intact") { flip_bit(left.at(swap), 20 * 8); }
    SECTION("it is no compaction's") { left[swap] = left.at(first_log); }
    SECTION("it begins elsewhere") {
        left.erase(swap);
        left[put = name(base + 1, end)] = content;
    }
    SECTION("it has no footer") { poke(left.at(swap), format::footer_at, std::uint64_t{7}); }
    SECTION("it ends elsewhere") {
        left.erase(swap);
        left[put = name(base, end + GENERATE(-1, 1))] = content;
    }
    orders.become(left);
    CHECK(difference(all_of(opened(orders)), before) == "");
    CHECK(orders.log->report().damages.empty());
    REQUIRE(orders.log->report().quarantined.size() == 1);
    CHECK(orders.log->report().quarantined.front().find(put) != std::string::npos);
    fail_each_call(orders, {left});
}

// ---- the spare ----

TEST_CASE("a spare is part of the log by what is in it", "[storage][opening]") {
    partition orders{tiny()};
    image left = with_a_taken_spare(orders);
    std::string& spare = left.at("spare.log");
    offset end = 25;
    std::size_t put_aside = 0;
    offset lost_from = 0;
    offset lost = 0;
    SECTION("records, and a base offset that has become zero") {
        poke(spare, format::base_at, std::uint64_t{0});
    }
    SECTION("nothing, and a header that is not intact") {
        std::fill(spare.begin() + segment_header_size, spare.end(), '\0');
        flip_bit(spare, 20 * 8);
        end = 20;
        put_aside = 1;
    }
    SECTION("nothing, and a base offset that is not intact") {
        std::fill(spare.begin() + segment_header_size, spare.end(), '\0');
        flip_bit(spare, format::base_check_at * 8);
        end = 20;
        put_aside = 1;
    }
    SECTION("less than a header") {
        spare.resize(100);
        end = 20;
        put_aside = 1;
    }
    SECTION("the records of a segment that has its name") {
        left[second_log] = spare;
        left[second_index] = left.at("spare.index");
        put_aside = 1;
    }
    SECTION("all that is left") {
        left.erase(first_log);
        left.erase("checkpoint");
        lost = 20;
    }
    orders.become(left);
    orders.open();
    CHECK(orders.log->log_end_offset() == end);
    CHECK(orders.log->report().quarantined.size() == put_aside);
    REQUIRE(orders.log->report().damages.size() == (lost > 0 ? 1u : 0u));
    if (lost > 0) {
        CHECK(orders.log->report().damages.front().first == lost_from);
        CHECK(orders.log->report().damages.front().last == lost);
    }
    const reading all = read_from(*orders.log, lost);
    CHECK(all.why.text == "");
    CHECK(difference(all.records, numbered(lost, end)) == "");
}

TEST_CASE("a spare's first frame does not tell where it begins unless it is one, and can", "[storage][opening]") {
    partition orders{tiny()};
    image left = with_a_taken_spare(orders);
    std::string& spare = left.at("spare.log");
    flip_bit(spare, format::base_check_at * 8);
    const frame_place first = frame_with(spare, 20);
    const auto word = [&](std::uint32_t length) { poke(spare, segment_header_size, frame_word::published(length, first.header.attributes).raw()); };
    SECTION("smaller than its header") { word(16); }
    SECTION("larger than the segment") { word(8 * kib); }
    SECTION("larger than the file") {
        spare.resize(1'000);
        word(2'000);
    }
    SECTION("not whole, at the end of the file") { spare.resize(segment_header_size + 24); }
    SECTION("a claim") { poke(spare, segment_header_size, frame_word::claimed(48).raw()); }
    SECTION("of an offset that is none") {
        format::frame_header header = first.header;
        header.base_offset = GENERATE(offset{-5}, largest_offset + 1);
        forge(spare, segment_header_size, header, body_of(spare, first));
    }
    orders.become(left);
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == errc::corrupt_record);
    CHECK(names(why, "spare.log"));
    CHECK(orders.files().at("spare.log") == spare);
}

// ---- a killed process's gaps ----

TEST_CASE("a mark that no writer makes is a damaged frame, and is not filled", "[storage][opening]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 30);
    image left = orders.kill();
    std::string& content = left.at(first_log);
    const frame_place frame = frame_with(content, 10);
    const std::uint32_t length = GENERATE(std::uint32_t{44}, std::uint32_t{32}, std::uint32_t{0x7fff'fff8});
    CAPTURE(length);
    poke(content, frame.at, frame_word::claimed(length).raw());
    std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(frame.at) + 8, static_cast<std::size_t>(frame.header.size) - 8, '\0');
    orders.become(left);
    orders.open();
    CHECK(orders.log->report().filled_gaps == 0);
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().first == 10);
    CHECK(orders.log->report().damages.front().last == 11);
    CHECK(orders.log->log_end_offset() == 30);
}

TEST_CASE("a gap is not filled up to a frame that cannot follow it", "[storage][opening]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 30);
    image left = orders.kill();
    std::string& content = left.at(first_log);
    const frame_place gone = frame_with(content, 10);
    const frame_place behind = frame_with(content, 11);
    const std::string body = body_of(content, behind);
    std::fill(content.begin() + static_cast<std::ptrdiff_t>(gone.at), content.end(), '\0');
    format::frame_header header = behind.header;
    std::size_t at = behind.at;
    offset end = 12;
    SECTION("too near for a filler between them") {
        at = gone.at + 16;
    }
    SECTION("of an offset in front of it") {
        header.base_offset = 3;
        end = 11;  // one record was there, at least
    }
    SECTION("of more offsets than there is room for") {
        header.base_offset = 10 + 2 * offset{64 * kib};
        end = header.base_offset + 1;
    }
    SECTION("of an offset that no segment counts that begins here") {
        header.base_offset = storage::most_offsets_in_front + 5;
        end = 11;
    }
    forge(content, at, header, body);
    orders.become(left);
    orders.open();
    CHECK(orders.log->report().filled_gaps == 0);
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().first == 10);
    CHECK(orders.log->log_end_offset() == end);
}

TEST_CASE("a claim at the end that reaches behind the end of the file is erased as far as that goes", "[storage][opening]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    const storage::claim held = orders.hold(4'096);
    image left = orders.kill();
    left.at(first_log).resize(held.at + 1'000);
    left.at(first_log)[held.at + 999] = 'x';
    orders.become(left);
    orders.open();
    CHECK(orders.log->report().erased_bytes == 1'000);
    CHECK(orders.log->report().damages.empty());
    CHECK(frames_end(orders.files().at(first_log)) == held.at);
    CHECK(orders.files().at(first_log).find_first_not_of('\0', held.at) == std::string::npos);
    append_range(*orders.log, 10, 200);
    check_holds(*orders.log, 0, 200);
}

// ---- what is told of damage ----

TEST_CASE("the offsets of a batch that is damaged at the end are not given again, if it can have had so many", "[storage][opening]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    failure why;
    REQUIRE(append_batch(*orders.log, 5, 10, why) == 10);
    image left = orders.kill();
    std::string& content = left.at(first_log);
    const frame_place batch = frame_with(content, 10);
    offset end = 15;
    SECTION("it says five") { flip_bit(content, (batch.at + 50) * 8); }
    SECTION("it says more than it has bytes") {
        poke(content, batch.at + offsetof(format::frame_header, count), std::uint32_t{1'000'000});
        end = 11;
    }
    orders.become(left);
    orders.open();
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().first == 10);
    CHECK(orders.log->report().damages.front().last == end);
    CHECK(orders.log->log_end_offset() == end);
}

TEST_CASE("of a replicated log only the end is cut, and nothing that the disk or a majority had", "[storage][opening]") {
    partition orders{tiny_replicated()};
    lead_range(orders.open(), 0, 100);
    const bool is_durable = GENERATE(true, false);
    CAPTURE(is_durable);
    std::string where = first_log;
    offset bad = 5;
    offset end = 100;
    SECTION("in front of another segment") {}
    SECTION("at the end, durable or on a majority") {
        where = "last";
        bad = 99;
    }
    if (is_durable) {
        REQUIRE_FALSE(orders.log->sync());
    } else {
        orders.log->set_high_watermark(100);
    }
    REQUIRE_FALSE(orders.keep_up().why);  // the checkpoint
    image left = orders.kill();
    REQUIRE(checkpoint_in(left).high_watermark == (is_durable ? 0 : 100));
    std::string& content = left.at(where == "last" ? names_in(left, ".log").back() : where);
    flip_bit(content, (frame_with(content, bad).at + 44) * 8);
    if (bad == 99) {
        for (const auto& frame : frames_of(content)) {  // and no frame behind it
            if (frame.at > frame_with(content, bad).at) {
                std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(frame.at), frame.end() - frame.at, '\0');
            }
        }
    }
    if (checkpoint_in(left).segment_offset > bad) {
        format::checkpoint told = checkpoint_in(left);
        told.segment_base = told.segment_offset = 0;
        told.segment_position = segment_header_size;
        put_checkpoint(left, told);
    }
    orders.become(left);
    orders.open();
    CHECK(orders.log->report().cut_bytes == 0);
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().first == bad);
    CHECK(orders.log->report().damages.front().last == bad + 1);
    CHECK(orders.log->log_end_offset() == end);
}

TEST_CASE("a log that is being cut and is damaged in front of that ends where it was to be cut", "[storage][opening]") {
    partition orders{tiny_replicated()};
    image left = being_cut(orders, 50).front();
    std::string last;
    for (const auto& name : names_in(left, ".log")) {
        last = frames_of(left.at(name)).front().header.base_offset < 50 ? name : last;
    }
    for (const offset bad : {offset{48}, offset{49}, offset{50}}) {
        if (bad < 50 || frames_of(left.at(last)).back().header.base_offset >= bad) {
            flip_bit(left.at(last), (frame_with(left.at(last), bad).at + 44) * 8);
        }
    }
    format::checkpoint told = checkpoint_in(left);
    told.durable_offset = 49;  // so that there was a record, and how many there were nobody says
    put_checkpoint(left, told);
    orders.become(left);
    orders.open();
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().first == 48);
    CHECK(orders.log->report().damages.front().last == 50);
    CHECK(orders.log->log_end_offset() == 50);
    lead_range(*orders.log, 50, 60, 4);
}

TEST_CASE("damage in front of where a log is being cut is told, and what is behind it stays", "[storage][opening]") {
    partition orders{tiny_replicated()};
    image left = being_cut(orders, 50).front();
    std::string home;
    for (const auto& name : names_in(left, ".log")) {
        home = frames_of(left.at(name)).front().header.base_offset < 50 ? name : home;
    }
    const offset bad = frames_of(left.at(home)).front().header.base_offset + 1;
    REQUIRE(bad < 49);
    flip_bit(left.at(home), (frame_with(left.at(home), bad).at + 44) * 8);
    orders.become(left);
    orders.open();
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().first == bad);
    CHECK(orders.log->report().damages.front().last == bad + 1);
    CHECK(orders.log->log_end_offset() == 50);
    orders.log->set_high_watermark(50);
    CHECK(difference(read_from(*orders.log, bad + 1).records, numbered(bad + 1, 50)) == "");
}

TEST_CASE("a checkpoint that tells of a place that is not there is not believed", "[storage][opening]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 30);
    REQUIRE_FALSE(orders.log->sync());
    orders.close();
    image left = orders.files();
    format::checkpoint told = checkpoint_in(left);
    told.segment_base = 0;
    told.segment_position = frame_with(left.at(first_log), 20).at;
    told.segment_offset = 21;  // 20 stands there
    put_checkpoint(left, told);
    orders.become(left);
    orders.open();
    CHECK(orders.log->report().damages.empty());
    check_holds(*orders.log, 0, 30);
}

TEST_CASE("a checkpoint of a cut that tells of a place behind it is not gone by, and one in front is", "[storage][opening]") {
    partition orders{tiny_replicated()};
    image left = being_cut(orders, 50).front();
    format::checkpoint told = checkpoint_in(left);
    std::string home;
    for (const auto& name : names_in(left, ".log")) {
        home = frames_of(left.at(name)).front().header.base_offset < 49 ? name : home;
    }
    const offset place = GENERATE(49, 51);
    CAPTURE(place);
    told.segment_position = frame_with(left.at(home), place).at;
    told.segment_offset = place;
    told.segment_base = *storage::parse_segment_name(home, ".log");
    put_checkpoint(left, told);
    orders.become(left);
    orders.open();
    CHECK((orders.log->report().scanned_bytes > told.segment_position - segment_header_size) == (place == 49));
    CHECK(orders.log->log_end_offset() == 50);
    CHECK(orders.log->report().damages.empty());
    orders.log->set_high_watermark(50);
    CHECK(difference(read_from(*orders.log, 0).records, numbered(0, 50)) == "");
}

TEST_CASE("a log whose evidence leaves no offsets behind it is refused", "[storage][opening]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 30);
    orders.close();
    image left = orders.files();
    format::checkpoint told = checkpoint_in(left);
    told.durable_offset = storage::last_base + 1;
    put_checkpoint(left, told);
    orders.become(left);
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == errc::corrupt_record);
    CHECK(names(why, "there are no more"));
}

TEST_CASE("of several evidences the highest counts, and none that no log can have", "[storage][opening]") {
    partition orders;
    orders.open();
    for (offset first = 0; first < 15; first += 5) {
        append_range(*orders.log, first, first + 5);
        REQUIRE_FALSE(orders.log->sync());
    }
    image left = orders.kill();
    std::string& content = left.at(first_log);
    std::vector<frame_place> told;
    for (const frame_place& one : frames_of(content)) {
        if (one.kind() == format::frame_kind::evidence) {
            told.push_back(one);
        }
    }
    REQUIRE(told.size() == 3);
    const auto say = [&](const frame_place& one, offset durable) {
        format::frame_header header = one.header;
        header.base_timestamp = durable;
        header.checksum = format::checksum_of(peek<format::segment_birth>(content, 0).seed, static_cast<position>(one.at), header, reinterpret_cast<const std::byte*>(content.data()) + one.at);
        poke(content, one.at, header);
    };
    const auto highest = [&] {
        orders.become(left);
        storage::segment_directory files{orders.platform, orders.path(), orders.name};
        failure why;
        const storage::segment_pin pin = files.open(files.log_path(0), files.index_path(0), why);
        REQUIRE(pin);
        return storage::evidence_in(*pin, segment_header_size, 0);
    };
    CHECK(highest() == told[2].header.base_timestamp);
    say(told[2], 7);
    CHECK(highest() == told[1].header.base_timestamp);
    say(told[2], largest_offset + 1);
    CHECK(highest() == told[1].header.base_timestamp);
}

TEST_CASE("a segment that cannot be looked through is no evidence, and a damaged one is not in the way", "[storage][opening]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 10);
    orders.hold(64);
    append_range(*orders.log, 11, 200);
    image left = orders.kill();
    const auto logs = names_in(left, ".log");
    REQUIRE(logs.size() > 3);
    flip_bit(left.at(logs[1]), 20 * 8);
    orders.become(left);
    orders.open();
    CHECK(orders.log->report().filled_gaps == 1);
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().file.ends_with(logs[1]));
    CHECK(orders.log->log_end_offset() == 200);
}

TEST_CASE("epochs go on behind those that records were appended in, also where no checkpoint tells them", "[storage][opening]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 30);
    image left = orders.kill();
    poke(left.at(first_log), frame_with(left.at(first_log), 20).at, std::uint64_t{0});
    orders.wake_up_with(left);
    orders.open();
    append_range(*orders.log, 20, 25);
    left = orders.kill();
    const std::uint32_t epoch = frame_with(left.at(first_log), 24).header.leader_epoch;
    REQUIRE(epoch > 0);
    left.erase("checkpoint");
    orders.become(left);
    orders.open();
    append_range(*orders.log, 25, 26);
    CHECK(frame_with(orders.files().at(first_log), 25).header.leader_epoch == epoch);
}

// ---- what is put aside ----

TEST_CASE("where there are a thousand of what is put aside, nothing more is cut", "[storage][opening]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 60);
    image left = orders.kill();
    const auto logs = names_in(left, ".log");
    REQUIRE(logs.size() > 1);
    SECTION("what is left of a segment") {
        const frame_place torn = frame_with(left.at(first_log), 3);
        flip_bit(left.at(first_log), (torn.at + 44) * 8);
        const std::string stem = storage::segment_name(0) + '-' + std::to_string(torn.at);
        for (int n = 0; n < 1'000; ++n) {
            left[stem + (n == 0 ? "" : '.' + std::to_string(n)) + ".quarantine"] = "another";
        }
    }
    SECTION("segments") {
        flip_bit(left.at(first_log), (frame_with(left.at(first_log), 3).at + 44) * 8);
        for (int n = 0; n < 1'001; ++n) {
            left[logs[1] + (n == 0 ? "" : '.' + std::to_string(n)) + ".quarantine"] = "another";
        }
    }
    orders.wake_up_with(left);
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == std::errc::file_exists);
    CHECK(names(why, ".quarantine"));
    CHECK(orders.files().at(logs[1]) == left.at(logs[1]));
}

// ---- a sync that fails ----

TEST_CASE("zeros over a tail that cannot be brought to the disk are written again as far as the disk takes them", "[storage][opening][fault]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 200);
    image left = orders.kill();
    flip_bit(left.at(first_log), (frame_with(left.at(first_log), 20).at + 44) * 8);
    orders.wake_up_with(left);
    const bool is_full = GENERATE(false, true);
    CAPTURE(is_full);
    std::uint64_t writes = 0;
    orders.platform.on_call([&](operation which, const std::string& path) { writes += which == operation::write && path.ends_with(first_log) ? 1 : 0; });
    orders.platform.inject({.on = operation::sync, .lasting = true, .path = first_log});
    orders.platform.inject({.on = operation::write, .number = is_full ? ENOSPC : EIO, .lasting = true, .path = first_log});
    failure why;
    CHECK_FALSE(orders.try_open(why));
    orders.platform.on_call(nullptr);
    CHECK(why.code == std::errc::io_error);
    CHECK(names(why, "after cutting it"));
    CHECK((is_full ? writes > 2 : writes == 1));
    orders.platform.heal();
    orders.open();
    check_holds(*orders.log, 0, 20);
}

TEST_CASE("a tail whose erasing is in doubt, and which cannot be written again, keeps the log shut", "[storage][opening][fault]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 200);
    image left = orders.kill();
    flip_bit(left.at(first_log), (frame_with(left.at(first_log), 20).at + 44) * 8);
    poke(left.at(first_index), 0, storage::doubt::is_syncing);
    orders.wake_up_with(left);
    orders.platform.inject({.on = operation::read_from_disk, .lasting = true, .path = first_log});
    orders.platform.inject({.on = operation::write, .path = first_log});
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == std::errc::io_error);
    CHECK(names(why, "after cutting it"));
    orders.platform.heal();
    orders.open();
    check_holds(*orders.log, 0, 20);
}

namespace {

/// Two segments, and of a sync of each it is known that it has failed.
image with_failed_syncs(partition& orders) {
    orders.open();
    append_range(*orders.log, 0, 20);
    REQUIRE_FALSE(orders.log->roll());
    append_range(*orders.log, 20, 25);
    image left = orders.kill();
    left.erase("checkpoint");
    for (const char* const index : {first_index, second_index}) {
        poke(left.at(index), 0, storage::doubt::has_failed);
    }
    return left;
}

}  // namespace

TEST_CASE("a log of which no segment in doubt can be moved can be read, and tells of the first", "[storage][opening][fault]") {
    partition orders{tiny()};
    orders.become(with_failed_syncs(orders));
    orders.platform.inject({.on = operation::create, .number = EDQUOT, .lasting = true, .path = ".log.tmp"});
    orders.open();
    CHECK(orders.log->report().moved_segments == 0);
    check_holds(*orders.log, 0, 25);
    failure why;
    CHECK(append(*orders.log, std::nullopt, value_of(25), time_of(25), why) < 0);
    CAPTURE(why.text);
    CHECK(names(why, first_log));
    CHECK_FALSE(names(why, second_log));
    orders.close();
    orders.platform.heal();
    orders.open();
    CHECK(orders.log->report().moved_segments == 2);
    append_range(*orders.log, 25, 30);
    check_holds(*orders.log, 0, 30);
}

TEST_CASE("a segment in doubt whose file is less than a page is moved, too", "[storage][opening]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 5);
    image left = orders.kill();
    left.at(first_log).resize(frames_end(left.at(first_log)) + 8);
    REQUIRE(left.at(first_log).size() < 4096);
    poke(left.at(first_index), 0, storage::doubt::has_failed);
    orders.become(left);
    orders.open();
    CHECK(orders.log->report().moved_segments == 1);
    check_holds(*orders.log, 0, 5);
    append_range(*orders.log, 5, 200);
    check_holds(*orders.log, 0, 200);
}

TEST_CASE("a copy of a segment in doubt counts when the disk has it, or nobody can tell", "[storage][opening][fault]") {
    partition orders{tiny()};
    orders.become(with_failed_syncs(orders));
    SECTION("where the disk has something else in its place, it does not") {
        orders.platform.on_call([&](operation which, const std::string& path) {
            if (which == operation::read_from_disk && path.ends_with(".log.tmp")) {
                std::string content = read_whole(path);
                flip_bit(content, 300 * 8);
                write_whole(path, content);
            }
        });
        orders.open();
        orders.platform.on_call(nullptr);
        CHECK(orders.log->report().moved_segments == 0);
        failure why;
        CHECK(append(*orders.log, std::nullopt, value_of(25), time_of(25), why) < 0);
        CHECK(why.code);
    }
    SECTION("where the system cannot say, its sync does") {
        orders.platform.inject({.on = operation::read_from_disk, .number = EOPNOTSUPP, .lasting = true});
        orders.open();
        CHECK(orders.log->report().moved_segments == 2);
        append_range(*orders.log, 25, 30);
    }
    CHECK(names_in(orders.files(), ".tmp").empty());
    check_holds(*orders.log, 0, orders.log->log_end_offset());
}

}  // namespace storage_opening_test
