#include <brook/broker/ballot_file.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"
#include "support/temp_directory.hpp"

namespace broker_ballot_file_test {

using namespace std::chrono_literals;
using brook::broker_room::ballot_file;
using brook::broker_room::partition_id;
using brook::replication::ballot;
using brook::replication::voter_set;
using brook::test::code_of;
using brook::test::disk_state;
using brook::test::faulty_platform;
using brook::test::loss_of_power;
using brook::test::operation;
using brook::test::outcome_of;
using brook::test::powerless_platform;
using brook::test::temp_directory;

namespace {

[[nodiscard]] partition_id id(int topic, std::int32_t number = 0) {
    partition_id made;
    made.topic[0] = static_cast<std::byte>(topic);
    made.number = number;
    return made;
}

[[nodiscard]] ballot promise(std::uint32_t epoch, std::int32_t to, std::vector<std::int32_t> voters = {1, 2, 3}) {
    ballot made;
    made.epoch = epoch;
    made.voted_for = to;
    made.voters.push_back({-1, 0, std::move(voters)});
    return made;
}

/// A file that has been opened.
struct opened : ballot_file {
    opened(brook::os::platform& platform, const std::string& directory) : ballot_file{platform, directory} { open(); }

    [[nodiscard]] std::uint32_t epoch_of(const partition_id& which) const {
        const kept* const found = find(which);
        return found == nullptr ? 0 : found->ballot.epoch;
    }
};

[[nodiscard]] std::vector<char> read(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

void write(const std::string& path, const std::vector<char>& what) { std::ofstream{path, std::ios::binary}.write(what.data(), static_cast<std::streamsize>(what.size())); }

}  // namespace

TEST_CASE("ballot_file has what was synced when it is opened again, the latest of each partition", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    ballot told = promise(7, 2);
    told.is_suspect = true;
    told.is_blank = true;
    told.voters.push_back({12, 3, {1, 2, 3, 4}});
    {
        opened file{platform, directory.path()};
        CHECK(file.find(id(1)) == nullptr);
        file.put(id(1), promise(1, 1));
        file.put(id(1, 1), promise(2, -1));
        CHECK_FALSE(file.sync());
        file.put(id(1), told);
        CHECK_FALSE(file.sync());
        CHECK_FALSE(file.sync());  // nothing to do
        file.put(id(2), promise(9, 1));  // and not synced
    }
    for (int round = 0; round < 3; ++round) {
        opened file{platform, directory.path()};
        REQUIRE(file.find(id(1)) != nullptr);
        CHECK(file.find(id(1))->ballot == told);
        CHECK(file.find(id(1))->whole_to == -1);
        CHECK(file.epoch_of(id(1, 1)) == 2);
        CHECK(file.find(id(2)) == nullptr);
        CHECK(file.find(id(1, 2)) == nullptr);
    }
}

TEST_CASE("ballot_file forgets what was not synced at whichever byte it is torn, and nothing else", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    std::size_t synced = 0;
    {
        opened file{platform, directory.path()};
        file.put(id(1), promise(1, 1));
        REQUIRE_FALSE(file.sync());
        synced = read(directory / "ballots").size();
        file.put(id(1), promise(2, 3));
        file.put(id(2), promise(3, 3));
        REQUIRE_FALSE(file.sync());
    }
    const std::vector<char> all = read(directory / "ballots");
    for (std::size_t size = synced; size <= all.size(); ++size) {
        write(directory / "ballots", {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size)});
        opened file{platform, directory.path()};
        CAPTURE(size);
        const std::uint32_t found = file.epoch_of(id(1));
        CHECK((found == 1 || found == 2));
        CHECK((found == 2 || file.find(id(2)) == nullptr));
        CHECK((size < all.size() || (found == 2 && file.epoch_of(id(2)) == 3)));
    }
    for (std::size_t at = synced; at < all.size(); ++at) {  // or damaged
        std::vector<char> damaged = all;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
        write(directory / "ballots", damaged);
        opened file{platform, directory.path()};
        CAPTURE(at);
        CHECK((file.epoch_of(id(1)) == 1 || (file.epoch_of(id(1)) == 2 && file.find(id(2)) == nullptr)));
    }
}

TEST_CASE("ballot_file that has rotted in the middle believes none of its ballots, keeps the latest epochs, and says so", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    std::vector<std::size_t> ends;
    {
        opened file{platform, directory.path()};
        ends.push_back(read(directory / "ballots").size());
        for (const std::uint32_t epoch : {1u, 2u, 3u}) {
            file.put(id(1), promise(epoch, 1));
            REQUIRE_FALSE(file.sync());
            ends.push_back(read(directory / "ballots").size());
        }
        file.put_whole(id(1), 50);
        file.put(id(2), promise(7, 2));
        REQUIRE_FALSE(file.sync());
        CHECK_FALSE(file.damage());
    }
    const std::vector<char> all = read(directory / "ballots");
    const auto open_damaged = [&](std::size_t from, std::size_t to, const auto& look) {
        std::vector<char> damaged = all;
        for (std::size_t at = from; at < to; ++at) {
            damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
        }
        write(directory / "ballots", damaged);
        {
            const opened file{platform, directory.path()};
            look(file);
        }
        const opened again{platform, directory.path()};  // what was found out is kept
        REQUIRE(again.find(id(1)) != nullptr);
        CHECK(again.find(id(1))->ballot.is_blank);
        CHECK_FALSE(again.damage());
    };
    for (std::size_t at = ends[2]; at < ends[3]; ++at) {  // any byte of the latest promise of the first
        CAPTURE(at);
        open_damaged(at, at + 1, [](const opened& file) {
            CHECK(file.damage().code == brook::errc::corrupt_record);
            REQUIRE(file.find(id(1)) != nullptr);
            CHECK(file.find(id(1))->ballot.is_blank);
            CHECK(file.find(id(1))->ballot.is_suspect);
            CHECK(file.find(id(1))->whole_to == -1);
            REQUIRE(file.find(id(2)) != nullptr);
            CHECK(file.find(id(2))->ballot.epoch == 7);
            CHECK(file.find(id(2))->ballot.is_blank);
        });
    }
    open_damaged(ends[1], ends[3], [](const opened& file) { CHECK(file.epoch_of(id(1)) == 1); });
    open_damaged(0, ends[0], [](const opened& file) { CHECK(file.epoch_of(id(1)) == 3); });
}

TEST_CASE("ballot_file takes nothing from entries that no broker wrote", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    std::vector<std::byte> all;
    const auto add = [&](std::uint32_t kind, const std::function<void(brook::replication::byte_writer&)>& body) {
        const std::size_t at = all.size();
        all.resize(at + 16);
        brook::replication::byte_writer to{all};
        body(to);
        brook::store(all.data() + at + 8, static_cast<std::uint32_t>(all.size() - at - 16));
        brook::store(all.data() + at + 12, kind);
        brook::store(all.data() + at, brook::format::hash(brook::bytes{all}.subspan(at + 8)));
    };
    const auto begin = [](brook::replication::byte_writer& to, int topic) {
        to.put(id(topic).topic);
        to.put(std::int32_t{0});
        to.put(std::uint32_t{5});
        to.put(std::int32_t{1});
        to.put(std::uint32_t{0});
    };
    add(2, [&](auto& to) { begin(to, 1), to.put(std::uint32_t{0}); });                    // nobody votes
    add(2, [&](auto& to) { begin(to, 2), to.put(std::uint32_t{0xffff'ffff}); });         // more sets than bytes
    add(2, [&](auto& to) { begin(to, 3), to.put(std::uint32_t{1}), to.put(brook::offset{0}), to.put(std::uint32_t{0}), to.put(std::uint32_t{0xffff'ffff}); });
    add(2, [&](auto& to) { to.put(std::uint32_t{1}); });
    add(3, [&](auto&) {});
    add(4, [&](auto&) {});
    add(77, [&](auto& to) { begin(to, 4), to.put(std::uint32_t{1}), to.put(brook::offset{0}), to.put(std::uint32_t{0}), to.put(std::uint32_t{1}), to.put(std::int32_t{1}); });
    add(2, [&](auto& to) { begin(to, 5), to.put(std::uint32_t{1}), to.put(brook::offset{0}), to.put(std::uint32_t{0}), to.put(std::uint32_t{1}), to.put(std::int32_t{1}); });
    std::vector<char> raw(all.size());
    std::memcpy(raw.data(), all.data(), all.size());
    write(directory / "ballots", raw);
    opened file{platform, directory.path()};
    for (const int topic : {1, 2, 3, 4}) {
        const auto* const found = file.find(id(topic));
        CHECK((found == nullptr || found->ballot.voters.empty()));
    }
    CHECK(file.epoch_of(id(5)) == 5);
}

TEST_CASE("ballot_file has what it wrote of as many voters as there may be, and takes no older promise for one that it cannot read", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    std::vector<std::int32_t> voters(voter_set::most);
    std::iota(voters.begin(), voters.end(), 0);
    ballot told = promise(7, 2, voters);
    while (told.voters.size() < ballot::most_sets) {
        told.voters.push_back({told.voters.back().at + 1, 3, voters});
    }
    const auto bad = GENERATE(0, 1, 2, 3, 4, 5);
    {
        opened file{platform, directory.path()};
        file.put(id(1), told);
        REQUIRE_FALSE(file.sync());
    }
    {
        opened file{platform, directory.path()};
        REQUIRE(file.find(id(1)) != nullptr);
        CHECK(file.find(id(1))->ballot == told);
        switch (bad) {
            case 1: told.voters.back().nodes.push_back(64); break;
            case 2: told.voters.back().nodes.back() = 0; break;
            case 3: told.voters.back().nodes.back() = -1; break;
            case 4: told.voters.push_back({1'000, 3, voters}); break;
            case 5: told.voters.back().nodes.clear(); break;
            default: break;
        }
        told.epoch = 8;
        file.put(id(1), told);
        REQUIRE_FALSE(file.sync());
    }
    for (int round = 0; round < 2; ++round) {
        opened file{platform, directory.path()};
        const auto* const found = file.find(id(1));
        if (bad == 0) {
            REQUIRE(found != nullptr);
            CHECK(found->ballot == told);
        } else if (round == 0) {
            REQUIRE(found != nullptr);
            CHECK(found->ballot.is_suspect);
            CHECK(found->ballot.is_blank);
            CHECK(found->ballot.voters.empty());
        } else {
            CHECK(found == nullptr);  // as one that has never been written: its log is there without it
        }
    }
}

TEST_CASE("ballot_file refuses a file of a size that none has, before it takes memory", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    std::ofstream{directory / "ballots"}.put('x');
    std::filesystem::resize_file(directory / "ballots", std::uintmax_t{1} << 40);
    const auto told = outcome_of([&] { opened{platform, directory.path()}; });
    CHECK(told.code == brook::errc::corrupt_record);
    CHECK(told.names("ballots"));
}

TEST_CASE("ballot_file's sessions grow, also when the clock has gone back", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    platform.set_now(brook::timestamp{1'000s});
    std::uint64_t last = 0;
    for (const auto now : {1'000s, 2'000s, 1s, 1s, 3'000s, 0s}) {
        platform.set_now(brook::timestamp{now});
        opened file{platform, directory.path()};
        CHECK(file.session() >= last + ballot_file::session_step);
        CHECK(file.session() >= static_cast<std::uint64_t>(std::chrono::nanoseconds{now}.count()));  // above those of a directory that was lost
        last = file.session();
    }
}

TEST_CASE("ballot_file says where a log was whole only when its broker closed last time", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    {
        opened file{platform, directory.path()};
        file.put(id(1), promise(1, 1));
        file.put_whole(id(1), 17);
        file.put_whole(id(2), 3);  // of which nothing was promised
        REQUIRE_FALSE(file.sync());
    }
    {
        opened file{platform, directory.path()};
        REQUIRE(file.find(id(1)) != nullptr);
        CHECK(file.find(id(1))->whole_to == 17);
        REQUIRE(file.find(id(2)) != nullptr);
        CHECK(file.find(id(2))->whole_to == 3);
        CHECK(file.find(id(2))->ballot.voters.empty());
        file.put(id(1), promise(2, 1));
        REQUIRE_FALSE(file.sync());
        CHECK(file.find(id(1))->whole_to == 17);
    }  // killed
    opened file{platform, directory.path()};
    CHECK(file.find(id(1))->whole_to == -1);
}

TEST_CASE("ballot_file forgets a partition that is gone", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    {
        opened file{platform, directory.path()};
        file.put(id(1), promise(1, 1));
        file.put(id(2), promise(2, 1));
        REQUIRE_FALSE(file.sync());
        file.forget(id(1));
        CHECK(file.find(id(1)) == nullptr);
        REQUIRE_FALSE(file.sync());
    }
    opened file{platform, directory.path()};
    CHECK(file.find(id(1)) == nullptr);
    CHECK(file.epoch_of(id(2)) == 2);
}

TEST_CASE("ballot_file is written anew when it has grown, and has everything", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    const bool does_fail = GENERATE(false, true);
    {
        opened file{platform, directory.path()};
        std::uintmax_t largest = 0;
        std::uint32_t epoch = 0;
        bool has_shrunk = false;
        while (!has_shrunk && epoch < 200'000) {
            for (int i = 0; i < 100; ++i) {
                file.put(id(1), promise(++epoch, 1));
                file.put(id(2, 5), promise(epoch, 2));
            }
            platform.fail(operation::create, does_fail && largest < (1u << 20) + 100'000 ? 1 : 1'000'000);
            REQUIRE_FALSE(file.sync());
            const auto size = std::filesystem::file_size(directory / "ballots");
            has_shrunk = size < largest;
            largest = std::max(largest, size);
        }
        CHECK(has_shrunk);
        CHECK(largest < std::uintmax_t{8} << 20);
        file.put(id(3), promise(epoch, 3));
        REQUIRE_FALSE(file.sync());
        platform.heal();
        CHECK(file.epoch_of(id(1)) == epoch);
        opened again{platform, directory.path()};
        for (const auto& which : {id(1), id(2, 5), id(3)}) {
            CHECK(again.epoch_of(which) == epoch);
        }
    }
}

TEST_CASE("ballot_file promises nothing more after a sync that failed, and says so", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    opened file{platform, directory.path()};
    const auto what = GENERATE(operation::sync, operation::write);
    file.put(id(1), promise(1, 1));
    platform.fail(what);
    const auto first = file.sync();
    CHECK(first.code == std::errc::io_error);
    CHECK(first.text.find("ballots") != std::string::npos);
    platform.heal();
    CHECK(file.sync().code == std::errc::io_error);  // what did not reach the disk then may never reach it
    file.put(id(1), promise(2, 1));
    CHECK(file.sync().code == std::errc::io_error);
}

TEST_CASE("ballot_file that cannot be opened says why, and the next opening finds everything", "[broker][ballots]") {
    temp_directory directory;
    faulty_platform platform;
    {
        opened file{platform, directory.path()};
        file.put(id(1), promise(5, 1));
        REQUIRE_FALSE(file.sync());
    }
    const bool is_new_alone = GENERATE(false, true);  // its writer was killed before it had its name
    CAPTURE(is_new_alone);
    const std::vector<char> written = read(directory / "ballots");
    int failed = 0;
    for (std::uint64_t call = 1;; ++call) {
        if (is_new_alone) {
            std::filesystem::remove(directory / "ballots");
            write(directory / "ballots.new", written);
        }
        platform.forget_calls();
        platform.fail_any(call);
        const auto told = outcome_of([&] { opened{platform, directory.path()}; });
        platform.heal();
        const bool was_reached = platform.calls() >= call;
        opened file{platform, directory.path()};
        CAPTURE(call, told.text);
        CHECK(file.epoch_of(id(1)) == 5);
        failed += told.code ? 1 : 0;
        if (!was_reached) {
            CHECK_FALSE(told.code);
            break;
        }
        REQUIRE(call < 1'000);
    }
    CHECK(failed > 8);
}

TEST_CASE("ballot_file has all that was synced after a loss of power at any call, and after a kill", "[broker][ballots][power]") {
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/d"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    std::vector<std::pair<disk_state, std::pair<std::uint32_t, std::uint64_t>>> states;  // with the epoch and the session that had been promised by then
    std::uint32_t promised = 0;
    std::uint64_t session = 0;
    machine.on_call([&](auto& held, const char*) { states.push_back({held.state(), {promised, session}}); });
    std::uint32_t epoch = 0;
    for (int life = 0; life < 3; ++life) {
        opened file{machine, "/d"};
        session = file.session();
        CHECK(file.epoch_of(id(1)) == promised);
        for (int i = 0; i < 3; ++i) {
            file.put(id(1), promise(++epoch, 1));
            file.put(id(2), promise(epoch, 2));
            REQUIRE_FALSE(file.sync());
            promised = epoch;
        }
    }
    machine.on_call(nullptr);
    states.push_back({machine.look(), {promised, session}});
    int looked = 0;
    for (const auto& one : states) {
        const auto& told = one.second;
        const loss_of_power loss{one.first};
        const auto check = [&](disk_state left) {
            powerless_platform after{std::move(left)};
            opened file{after, "/d"};
            ++looked;
            REQUIRE(file.epoch_of(id(1)) >= told.first);
            REQUIRE(file.epoch_of(id(2)) >= told.first);
            REQUIRE(file.session() > told.second);
            file.put(id(1), promise(epoch + 1, 3));
            REQUIRE_FALSE(file.sync());
            opened again{after, "/d"};
            REQUIRE(again.epoch_of(id(1)) == epoch + 1);
        };
        if (loss.count() <= 64) {
            loss.for_each_choice([&](const auto& choice) { check(loss.decide(choice)); });
        } else {
            check(loss.decide_nothing());
        }
        check(loss.decide_everything());
    }
    CHECK(looked > 100);
}

}  // namespace broker_ballot_file_test
