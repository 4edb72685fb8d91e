// What decompresses: a batch's body through each codec that comes with brook, and the bounds around them. Input: a byte that says which
// codec, an uncompressed size of 4 bytes, then what is to be decompressed.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/lz4.hpp>
#include <brook/zstd.hpp>

#include "fuzz/frame_seeds.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::codecs {

namespace {

constexpr std::uint32_t most = 4 << 20;
constexpr std::size_t front = 5;

[[nodiscard]] unsigned codec_in(std::uint8_t option) noexcept { return option % 2 == 0 ? format::codec_lz4 : format::codec_zstd; }

void run(bytes input) {
    input_reader from{input};
    const unsigned codec = codec_in(from.take<std::uint8_t>());
    const auto plain_size = from.take<std::uint32_t>();
    std::vector<std::byte> frame(format::frame_header_size);
    put(frame, std::uint64_t{plain_size});
    put_bytes(frame, from.rest());
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(frame.size());
    header.attributes = static_cast<std::uint16_t>(codec);
    header.count = 1;
    store(frame.data(), header);
    const exact_copy whole{frame};

    std::optional<exact_copy> plain;
    std::uint32_t room_taken = 0;
    const auto room = [&](std::uint32_t size) {
        demand(size <= most && format::is_within_ratio(size - format::frame_length(format::frame_header_size), whole.view().size()), "memory is taken within the bounds alone");
        room_taken = size;
        plain.emplace(bytes{std::vector<std::byte>(size)});
        return plain->data();
    };
    if (format::inflate(header, whole.data(), most, room) != format::inflation::done) {
        return;
    }
    const bytes content = plain->view().subspan(format::frame_header_size, plain_size);
    use(content);
    demand(format::frame_length(format::frame_header_size + plain_size) == room_taken, "what was decompressed has the size that was told");
    // What has been read can be written, and is then read as the same.
    if (content.size() >= format::least_deflated && content.size() <= 4096) {
        std::vector<std::byte> packed(format::find_codec(codec)->bound(content.size()));
        packed.resize(format::find_codec(codec)->compress(content, packed, std::nullopt));
        std::vector<std::byte> again(content.size());
        demand(!packed.empty() && format::find_codec(codec)->decompress(packed, again), "what was compressed is decompressed");
        demand(std::equal(again.begin(), again.end(), content.begin()), "and is what it was");
    }
}

/// Takes the input for what is to be compressed, where it is nothing that was: its bytes change in the plain, and it still decompresses.
void repair(std::vector<std::byte>& input) {
    if (input.size() < front + format::least_deflated) {
        return;
    }
    const compression_codec& codec = *format::find_codec(codec_in(std::to_integer<std::uint8_t>(input[0])));
    const std::uint32_t told = load<std::uint32_t>(input.data() + 1);
    std::vector<std::byte> plain(told <= 4096 ? told : 0);
    if (plain.empty() || !codec.decompress(bytes{input}.subspan(front), plain)) {
        plain.assign(input.begin() + static_cast<std::ptrdiff_t>(front), input.end());
    } else {
        plain[plain.size() / 2] ^= static_cast<std::byte>(1 + plain.size() % 7);
    }
    std::vector<std::byte> packed(codec.bound(plain.size()));
    packed.resize(codec.compress(plain, packed, std::nullopt));
    input.resize(front);
    store(input.data() + 1, static_cast<std::uint32_t>(plain.size()));
    put_bytes(input, packed);
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    for (std::uint8_t option = 0; option < 2; ++option) {
        std::vector<std::byte> input;
        put(input, option);
        put(input, std::uint32_t{0});
        for (int i = 0; i < 40; ++i) {
            put_bytes(input, as_bytes(i % 3 == 0 ? "a text that comes again" : "another, and "));
            put(input, static_cast<std::uint8_t>(i * 37));
        }
        repair(input);
        inputs.push_back(input);
    }
}

const target codecs{"codecs", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::codecs
