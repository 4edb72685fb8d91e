#include <brook/broker/cluster_metadata.hpp>  // first, so that it must stand alone

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <brook/format/wire_frame.hpp>

#include "support/catch.hpp"

namespace broker_cluster_metadata_test {

using brook::as_bytes;
using brook::bytes;
using brook::broker_room::cluster_metadata;
using brook::format::topic_id;
using namespace std::string_literals;

namespace {

[[nodiscard]] topic_id id(int which) {
    topic_id made{};
    made[15] = static_cast<std::byte>(which);
    return made;
}

/// What a broker makes of a decision once it stands in the log.
void apply(cluster_metadata& to, std::string_view key, const std::optional<std::string>& value, brook::offset at = 0) {
    std::vector<std::byte> frame = cluster_metadata::make_record(key, value ? std::optional{as_bytes(*value)} : std::nullopt, 17);
    brook::format::frame_header header = brook::format::load_header(frame.data());
    header.base_offset = at;
    brook::store(frame.data(), header);
    brook::format::record_walk records{header, frame.data()};
    brook::format::record_slice record;
    REQUIRE(records.next(record));
    CHECK(brook::as_text(record.key()) == key);
    CHECK(record.has_value() == value.has_value());
    to.apply(record);
    CHECK_FALSE(records.next(record));
}

[[nodiscard]] std::string raw(const topic_id& of) { return std::string{brook::as_text(bytes{of})}; }

}  // namespace

TEST_CASE("cluster_metadata is the sum of its records, the latest of a key counts", "[broker][metadata]") {
    cluster_metadata known;
    CHECK(known.cluster() == topic_id{});
    apply(known, "c", raw(id(1)));
    CHECK(known.cluster() == id(1));
    apply(known, "b7", raw(id(2)));
    apply(known, "b12", raw(id(3)));
    apply(known, "b7", raw(id(4)));
    CHECK(known.directory_of(7) == id(4));
    CHECK(known.directory_of(12) == id(3));
    CHECK_FALSE(known.directory_of(1).has_value());
    CHECK(known.brokers().size() == 2);
    apply(known, "torders", "first", 5);
    apply(known, "ta", "meta a", 6);
    apply(known, "torders", "second", 9);
    REQUIRE(known.topics().size() == 2);
    CHECK(known.topics()[0].name == "a");  // by name
    REQUIRE(known.find("orders") != nullptr);
    CHECK(known.find("orders")->meta == "second");
    CHECK(known.find("orders")->at == 9);
    CHECK(known.find("order") == nullptr);
    apply(known, "torders", std::nullopt, 10);
    apply(known, "torders", std::nullopt, 11);  // once more
    apply(known, "tnever", std::nullopt, 12);
    CHECK(known.find("orders") == nullptr);
    CHECK(known.topics().size() == 1);
    apply(known, "torders", "third", 13);
    CHECK(known.find("orders")->meta == "third");
}

TEST_CASE("cluster_metadata takes nothing from keys and values that no broker wrote", "[broker][metadata]") {
    cluster_metadata known;
    apply(known, "c", raw(id(1)));
    apply(known, "b7", raw(id(2)));
    apply(known, "torders", "meta");
    for (const std::string& key : {""s, "x"s, "t"s, "t../etc"s, "t."s, "ta/b"s, "t"s + std::string(300, 'x'), "t\0"s, "b"s, "b-1"s, "b99999999999"s, "b4294967303"s, "b7x"s, "b 7"s, "b+7"s}) {
        CAPTURE(key);
        apply(known, key, raw(id(9)));
        apply(known, key, std::nullopt);
    }
    for (const std::string& value : {""s, "short"s, std::string(17, 'x')}) {
        apply(known, "c", value);
        apply(known, "b7", value);
        apply(known, "b8", value);
    }
    apply(known, "c", std::nullopt);
    apply(known, "b7", std::nullopt);
    CHECK(known.cluster() == id(1));
    CHECK(known.brokers().size() == 1);
    CHECK(known.directory_of(7) == id(2));
    REQUIRE(known.topics().size() == 1);
    CHECK(known.topics()[0].meta == "meta");
}

TEST_CASE("cluster_metadata's records can be verified by whoever receives them", "[broker][metadata]") {
    for (const auto& value : {std::optional{"some meta"s}, std::optional{""s}, std::optional<std::string>{}}) {
        std::vector<std::byte> frame = cluster_metadata::make_record("torders", value ? std::optional{as_bytes(*value)} : std::nullopt, 17);
        brook::format::store_wire(frame.data(), brook::format::load_header(frame.data()));
        CHECK(brook::format::wire_fault(frame) == nullptr);
        CHECK(brook::format::offsets_taken(brook::format::load_header(frame.data()), frame.data()) == 1);
        frame[frame.size() / 2] ^= std::byte{1};
        CHECK(brook::format::wire_fault(frame) != nullptr);
    }
}

TEST_CASE("the metadata's topic is the same in every cluster", "[broker][metadata]") {
    CHECK(raw(brook::broker_room::metadata_topic_id) == "__cluster_metada");
}

}  // namespace broker_cluster_metadata_test
