/// \file fuzz/record_input.hpp
/// Records, as an input has them: 2 bytes with the key's size, 2 bytes with the value's (0xffff: null), key, value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "fuzz/target.hpp"

namespace brook::fuzz {

struct given_record {
    bytes key;
    std::optional<bytes> value;
};

[[nodiscard]] inline std::vector<given_record> records_of(bytes input) {
    constexpr std::size_t most = 64;
    input_reader from{input};
    std::vector<given_record> all;
    while (!from.is_empty() && all.size() < most) {
        const auto key = from.take<std::uint16_t>();
        const auto value = from.take<std::uint16_t>();
        given_record one;
        one.key = from.take_bytes(key);
        if (value != 0xffff) {
            one.value = from.take_bytes(value);
        }
        all.push_back(one);
    }
    return all;
}

inline void put_record(std::vector<std::byte>& to, bytes key, const std::optional<bytes>& value) {
    put(to, static_cast<std::uint16_t>(key.size()));
    put(to, value ? static_cast<std::uint16_t>(value->size()) : std::uint16_t{0xffff});
    put_bytes(to, key);
    put_bytes(to, value.value_or(bytes{}));
}

}  // namespace brook::fuzz
