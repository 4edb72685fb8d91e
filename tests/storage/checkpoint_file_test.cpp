#include <brook/storage/checkpoint_file.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <string>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_checkpoint_file_test {

using namespace brook;
using namespace brook::test;

namespace {

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

struct fixture : partition {
    storage::segment_directory directory_of_segments{platform, path(), name};
    storage::checkpoint_file file{directory_of_segments};
    storage::checkpoint_file* operator->() { return &file; }
};

}  // namespace

TEST_CASE("a checkpoint is read back, and a torn write leaves the one before", "[storage][checkpoint_file]") {
    fixture files;
    failure why;
    CHECK_FALSE(files->read(why));
    CHECK_FALSE(why);
    format::checkpoint slot;
    for (std::uint64_t sequence = 1; sequence <= 5; ++sequence) {
        slot.sequence = sequence;
        slot.durable_offset = static_cast<std::int64_t>(sequence * 100);
        REQUIRE_FALSE(files->write(slot));
        REQUIRE(files->read(why));
        CHECK(files->read(why)->durable_offset == slot.durable_offset);
        CHECK(files->read(why)->partition == 3);
    }
    const std::string before = read_whole(files->path());
    slot.sequence = 6;
    slot.durable_offset = 600;
    REQUIRE_FALSE(files->write(slot));
    const std::string after = read_whole(files->path());
    for (std::size_t torn = 0; torn <= after.size(); ++torn) {
        write_whole(files->path(), after.substr(0, torn) + before.substr(torn));
        const auto read = files->read(why);
        if (!read || (read->durable_offset != 500 && read->durable_offset != 600)) {
            CAPTURE(torn);
            CHECK(read);
        }
    }
    SECTION("that cannot be read is an error, and not none") {
        const operation call = GENERATE(operation::open, operation::size, operation::read);
        files.platform.fail(call, 1, EMFILE);
        CHECK_FALSE(files->read(why));
        CHECK(why.code == std::errc::too_many_files_open);
        CHECK(names(why, files->path()));
    }
    SECTION("of another partition it is nobody's") {
        const auto read_as = [&](const storage::partition_name& name) {
            storage::segment_directory theirs{files.platform, files.path(), name};
            return storage::checkpoint_file{theirs}.read(why);
        };
        storage::partition_name stranger = files.name;
        stranger.number = 4;
        CHECK_FALSE(read_as(stranger));
        stranger = files.name;
        stranger.topic_id[0] = std::byte{0};
        CHECK_FALSE(read_as(stranger));
    }
    SECTION("of another partition, and newer, it does not hide this one's") {
        std::string content = after;
        auto theirs = peek<format::checkpoint>(content, format::slot_position(6));
        ++theirs.partition;
        theirs.sequence = 7;
        poke(content, format::slot_position(7), format::sealed(theirs));
        write_whole(files->path(), content);
        const auto read = files->read(why);
        REQUIRE(read);
        CHECK(read->sequence == 6);
    }
    SECTION("of a newer version it is not believed") {
        std::string content = after;
        auto newer = peek<format::checkpoint>(content, format::slot_position(6));
        newer.version = format::checkpoint_version + 1;
        newer.sequence = 7;
        poke(content, format::slot_position(7), format::sealed(newer));
        poke(content, format::slot_position(6), format::sealed(newer));
        write_whole(files->path(), content);
        CHECK_FALSE(files->read(why));
    }
}

TEST_CASE("a checkpoint whose first write failed half way is written by the next", "[storage][checkpoint_file][fault]") {
    for (std::uint64_t k = 1; k <= 8; ++k) {
        fixture files;
        CAPTURE(k);
        files.platform.fail_any(k, ENOSPC);
        format::checkpoint slot;
        slot.sequence = 1;
        slot.durable_offset = 11;
        failure why = files->write(slot);
        CHECK((!why || (why.code == std::errc::no_space_on_device && names(why, "checkpoint"))));
        files.platform.heal();
        slot.sequence = 2;
        slot.durable_offset = 22;
        REQUIRE_FALSE(files->write(slot));
        why = {};
        REQUIRE(files->read(why));
        CHECK(files->read(why)->durable_offset == 22);
    }
}

}  // namespace storage_checkpoint_file_test
