// Texts that somebody else chose: names of topics and files, patterns, addresses, numbers. Input: a byte that says what it is
// taken for, then the text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/topic_meta.hpp>
#include <brook/client/topic_pattern.hpp>
#include <brook/format/properties.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/transport/tcp_address.hpp>

#include "fuzz/target.hpp"

namespace brook::fuzz::names {

namespace {

void read_topic(std::string_view text) {
    if (broker_room::is_valid_topic_name(text)) {
        demand(text.size() <= 249 && text.find_first_of(std::string_view{"/\\\0", 3}) == text.npos && text != "." && text != "..", "no topic's name leads out of its directory");
    }
}

void read_pattern(std::string_view text) {
    const topic_pattern pattern{text};
    use(pattern.matches("a.b.c") ? 1u : 0u);
    use(pattern.matches(text) ? 1u : 0u);
    demand(!pattern.matches("__consumer_offsets"), "no pattern matches what is the broker's own");
    demand(text.find_first_of("*#") != text.npos || pattern.matches(text), "a name matches itself");
}

void read_address(std::string_view text) {
    const auto address = transport_room::parse_address(text, "listen");
    demand(address.port != 0 && !address.host.empty(), "an address has a host and a port");
}

void read_file_name(std::string_view text) {
    for (const std::string_view suffix : {".log", ".index", ""}) {
        if (const auto base = storage::parse_segment_name(text, suffix)) {
            demand(*base >= 0 && *base <= largest_offset && storage::segment_name(*base) + std::string{suffix} == text, "a segment has one name");
        }
    }
    if (const auto range = storage::parse_swap_name(text)) {
        demand(range->base < range->end && storage::swap_name(*range) == text, "what a compaction has written has one name");
    }
}

void run(bytes input) {
    input_reader from{input};
    const auto which = from.take<std::uint8_t>() % 5;
    const exact_copy raw{from.rest()};
    const std::string_view text = as_text(raw.view());
    answer([&] {
        switch (which) {
            case 0: return read_topic(text);
            case 1: return read_pattern(text);
            case 2: return read_address(text);
            case 3: return read_file_name(text);
            default:
                use(format::properties::parse(text, 10).value_or(7));
                use(format::properties::parse(text, 16).value_or(7));
                return;
        }
    });
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    const std::pair<std::uint8_t, std::string_view> all[] = {
        {0, "__consumer_offsets"}, {0, ".."}, {1, "sensors.*.temperature"}, {1, "sensors.#"}, {2, "[::1]:9101"}, {2, "broker-2.example:9101"},
        {3, "00000000000000000042.log"}, {3, "00000000000000000000-00000000000000004711.swap"}, {4, "18446744073709551615"}};
    for (const auto& [which, text] : all) {
        std::vector<std::byte> input;
        put(input, which);
        put_bytes(input, as_bytes(text));
        inputs.push_back(input);
    }
}

const target names{"names", run, nullptr, seeds};

}  // namespace

}  // namespace brook::fuzz::names
