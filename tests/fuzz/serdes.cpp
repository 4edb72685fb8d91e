// What makes values of bytes: the reader that users' serdes use, driven by the input's own script, and each serde that comes with brook.
// Input: a byte that says which; for the reader a byte with the number of steps and the steps; then what is read.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <brook/client/codec.hpp>
#include <brook/client/reader_writer.hpp>
#include <brook/client/serde.hpp>

#include "fuzz/target.hpp"

namespace brook::fuzz::serdes {

namespace {

struct tick {
    std::uint64_t id;
    std::uint32_t price;
    std::uint16_t size;
    std::uint16_t side;
    bool operator==(const tick&) const = default;
};
enum class colour : std::uint16_t { red, green };

template <class T, class Same>
void read_as(bytes raw, const Same& same) {
    answer([&] {
        using codec = detail::codec<T>;
        const auto value = codec::read_unaligned(raw);
        const auto written = codec::prepare(value);
        std::vector<std::byte> again(written.size());
        written.write_to(again.data());
        demand(same(bytes{again}, raw), "what was read is written as it was");
    });
}

void step(std::uint8_t what, reader& from) {
    const std::size_t before = from.remaining();
    switch (what % 11) {
        case 0: use(from.get<std::uint8_t>()); break;
        case 1: use(static_cast<std::uint64_t>(from.get<std::int16_t>())); break;
        case 2: use(from.get<std::uint32_t>()); break;
        case 3: use(from.get<std::uint64_t>()); break;
        case 4: use(from.get<bool>() ? 1u : 0u); break;
        case 5: use(from.get<tick>().price); break;
        case 6: use(static_cast<std::uint64_t>(from.get<colour>())); break;
        case 7: use(from.text()); break;
        case 8: use(from.blob()); break;
        case 9: use(from.raw(what / 11u)); break;
        default: use(from.rest()); break;
    }
    demand(from.remaining() <= before, "a reader only goes forward");
}

void run(bytes input) {
    input_reader script{input};
    const auto which = script.take<std::uint8_t>() % 12;
    const bytes steps = which == 0 ? script.take_bytes(script.take<std::uint8_t>() % 32) : bytes{};
    const exact_copy raw{script.rest()};
    const auto same = [](bytes a, bytes b) { return as_text(a) == as_text(b); };
    switch (which) {
        case 0:
            return answer([&] {
                reader from{raw.view()};
                for (const std::byte one : steps) {
                    step(std::to_integer<std::uint8_t>(one), from);
                }
            });
        case 1: return read_as<std::string>(raw.view(), same);
        case 2: return read_as<std::vector<std::byte>>(raw.view(), same);
        case 3: return read_as<bool>(raw.view(), same);
        case 4: return read_as<std::int8_t>(raw.view(), same);
        case 5: return read_as<std::uint32_t>(raw.view(), same);
        case 6: return read_as<std::int64_t>(raw.view(), same);
        case 7: return read_as<tick>(raw.view(), same);
        case 8: return read_as<colour>(raw.view(), same);
        case 9: return read_as<std::array<std::uint16_t, 3>>(raw.view(), same);
        case 10: return answer([&] { use(detail::codec<double>::read_unaligned(raw.view()) > 0 ? 1u : 0u); });
        default: return answer([&] { use(detail::codec<tick>::read(raw.view()).id); });
    }
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    std::vector<std::byte> input;
    constexpr std::array<std::uint8_t, 8> script{0, 4, 2, 7, 5, 8, 6, 10};
    put(input, std::uint8_t{0});
    put(input, static_cast<std::uint8_t>(script.size()));
    for (const std::uint8_t one : script) {
        put(input, one);
    }
    put(input, std::uint8_t{1});
    put(input, std::uint8_t{1});
    put(input, std::uint32_t{77});
    put(input, std::uint32_t{4});
    put_bytes(input, as_bytes("text"));
    put(input, tick{1, 2, 3, 4});
    put(input, std::uint32_t{2});
    put_bytes(input, as_bytes("by"));
    put(input, colour::green);
    put_bytes(input, as_bytes("the rest"));
    inputs.push_back(input);
    std::vector<std::byte> one;
    put(one, std::uint8_t{7});
    put(one, tick{5, 6, 7, 8});
    inputs.push_back(one);
}

const target serdes{"serdes", run, nullptr, seeds};

}  // namespace

}  // namespace brook::fuzz::serdes
