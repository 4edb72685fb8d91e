#include <brook/broker/transaction_record.hpp>  // first, so that it must stand alone

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace broker_transaction_record_test {

using brook::broker_room::transaction_record;

namespace {

transaction_record example() {
    transaction_record told{-7, 300, {1, 2, 65'535}, {}, "the state", true};
    told.ends.push_back({{std::byte{1}, std::byte{2}}, 3, 4, 5'000'000'000, 0x1234'5678'9abc'def0});
    told.ends.push_back({{std::byte{9}}, 0, 0, 1, 1});
    return told;
}

struct encoded {
    std::vector<std::byte> key;
    std::vector<std::byte> value;

    explicit encoded(const transaction_record& told) : key(told.key_size("enricher")), value(told.value_size()) {
        told.write_key(key.data(), "enricher");
        told.write_value(value.data());
    }
};

}  // namespace

TEST_CASE("transaction_record comes back from its bytes", "[broker][transactions]") {
    const encoded raw{example()};
    std::string_view id;
    const auto read = transaction_record::decode(raw.key, raw.value, id);
    REQUIRE(read);
    CHECK(id == "enricher");
    CHECK(read->producer_id == -7);
    CHECK(read->epoch == 300);
    CHECK(read->aborted == std::vector<std::uint16_t>{1, 2, 65'535});
    REQUIRE(read->ends.size() == 2);
    CHECK(read->ends[0].partition == 3);
    CHECK(read->ends[0].leader_epoch == 4);
    CHECK(read->ends[0].end == 5'000'000'000);
    CHECK(read->ends[0].checksum == 0x1234'5678'9abc'def0);
    CHECK(read->ends[1].topic[0] == std::byte{9});
    CHECK(read->state == "the state");
    CHECK(read->is_judgement);
}

TEST_CASE("transaction_record reads nothing outside of bytes that nobody wrote", "[broker][transactions]") {
    const encoded raw{example()};
    std::string_view id;
    for (std::size_t size = 0; size < raw.value.size(); ++size) {
        const std::vector<std::byte> cut(raw.value.begin(), raw.value.begin() + static_cast<std::ptrdiff_t>(size));
        const auto read = transaction_record::decode(raw.key, cut, id);
        CHECK(read.has_value() == (size >= raw.value.size() - 9));  // only the state may be shorter
    }
    for (std::size_t size = 0; size < 8; ++size) {
        CHECK_FALSE(transaction_record::decode(brook::bytes{raw.key}.first(size), raw.value, id));
    }
    std::mt19937_64 random{1};
    for (int i = 0; i < 20'000; ++i) {
        std::vector<std::byte> wild{raw.value};
        for (int k = 0; k < 4; ++k) {
            wild[random() % wild.size()] = static_cast<std::byte>(random());
        }
        static_cast<void>(transaction_record::decode(raw.key, wild, id));
    }
}

}  // namespace broker_transaction_record_test
