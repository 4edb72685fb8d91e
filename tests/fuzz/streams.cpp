// What a stranger may say on a connection before he is known, and after: the hello, frames in pieces of any size, what is let through to
// TLS. Input: a byte of options, a byte that draws the pieces, then what comes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <brook/transport/tcp_frame.hpp>
#include <brook/transport/tcp_hello.hpp>
#include <brook/transport/tls_record_gate.hpp>

#include "fuzz/target.hpp"

namespace brook::fuzz::streams {

namespace {

using namespace transport_room;

constexpr std::size_t largest = 16 * 1024;
constexpr std::size_t read_at_once = 64;

/// The next piece of what comes.
[[nodiscard]] std::size_t piece_of(std::size_t left, std::uint32_t& draw) noexcept {
    draw = draw * 1'664'525 + 1'013'904'223;
    return std::min<std::size_t>(left, 1 + (draw >> 24) % 97);
}

void read_frames(bytes all, std::uint32_t draw) {
    frame_parser parser{largest, read_at_once};
    std::size_t come = 0;
    std::size_t told = 0;
    for (bool is_broken = false; come < all.size() && !is_broken;) {
        const mutable_bytes room = parser.room();
        demand(!room.empty(), "there is always room");
        const std::size_t size = std::min(room.size(), piece_of(all.size() - come, draw));
        copy_bytes(room.data(), all.data() + come, size);
        parser.filled(size);
        come += size;
        demand(parser.capacity() <= std::max<std::size_t>(2 * come + read_at_once, read_at_once), "no more memory than twice what has come");
        for (frame_parser::frame one; (one = parser.next()).kind != frame_parser::kind::none;) {
            if (one.kind == frame_parser::kind::broken) {
                demand(parser.next().kind == frame_parser::kind::broken, "what is broken stays so");
                is_broken = true;
                break;
            }
            told += frame_header_size + one.datagram.size();
            demand(one.datagram.size() <= largest && told <= come, "no frame is larger than allowed, or than what has come");
            use(one.datagram);
        }
    }
}

void read_hello(bytes all) {
    if (all.empty()) {
        return;
    }
    const auto why = look_at_beginning(all);
    if (why || all.size() < tcp_hello::size) {
        return;
    }
    const tcp_hello hello = decode_hello(all);
    demand(hello.cluster_id.size() <= tcp_hello::cluster_id_max, "a cluster's name has its limit");
    const auto again = decode_hello(encode(hello));
    demand(again.from == hello.from && again.to == hello.to && again.frame_bytes == hello.frame_bytes && again.incarnation == hello.incarnation && again.cluster_id == hello.cluster_id,
           "a hello says the same when it is said again");
    use(printable(hello.cluster_id));
}

void pass_gate(bytes all, std::uint32_t draw) {
    tls_record_gate gate{largest};
    bool is_good = true;
    for (std::size_t at = 0; at < all.size();) {
        const std::size_t size = piece_of(all.size() - at, draw);
        const bool is_let_in = gate.admit(all.subspan(at, size));
        demand(is_good || !is_let_in, "who was refused stays so");
        is_good = is_let_in;
        at += size;
    }
    tls_record_gate at_once{largest};
    demand(at_once.admit(all) == is_good, "it does not matter in which pieces it comes");
}

void run(bytes input) {
    input_reader from{input};
    const auto options = from.take<std::uint8_t>();
    const std::uint32_t draw = from.take<std::uint8_t>();
    const exact_copy all{from.rest()};
    switch (options % 3) {
        case 0: return read_frames(all.view(), draw);
        case 1: return read_hello(all.view());
        default: return pass_gate(all.view(), draw);
    }
}

void repair(std::vector<std::byte>& input) {
    if (input.size() < 2 + frame_header_size) {
        return;
    }
    const unsigned what = std::to_integer<unsigned>(input[0]) % 3;
    if (what == 1) {
        input.resize(2 + tcp_hello::size);
        store(input.data() + 2, tcp_hello::magic);
        return;
    }
    for (std::size_t at = 2; what == 0 && at + frame_header_size <= input.size();) {
        const auto size = load<std::uint32_t>(input.data() + at) % (input.size() - at);
        store_frame_header(input.data() + at, static_cast<std::uint32_t>(size));
        at += frame_header_size + size;
    }
    for (std::size_t at = 2; what == 2 && at + 9 <= input.size();) {
        const std::size_t size = std::to_integer<std::size_t>(input[at + 8]) % (input.size() - at - 8);
        input[at + 3] = std::byte{0};
        input[at + 4] = static_cast<std::byte>(4 + size);
        input[at + 6] = input[at + 7] = std::byte{0};
        input[at + 8] = static_cast<std::byte>(size);
        at += 9 + size;
    }
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    std::vector<std::byte> frames;
    put(frames, std::uint16_t{0});
    for (const std::string_view text : {"", "datagram", "another datagram"}) {
        frames.resize(frames.size() + frame_header_size);
        store_frame_header(frames.data() + frames.size() - frame_header_size, static_cast<std::uint32_t>(text.size()));
        put_bytes(frames, as_bytes(text));
    }
    frames.resize(frames.size() + frame_header_size);
    store_frame_header(frames.data() + frames.size() - frame_header_size, ping_mark);
    inputs.push_back(frames);

    std::vector<std::byte> hello;
    put(hello, std::uint16_t{1});
    put(hello, encode(tcp_hello{.from = 1, .to = 2, .frame_bytes = 1 << 20, .incarnation = 77, .cluster_id = "c1"}));
    inputs.push_back(hello);

    std::vector<std::byte> client;  // the beginning of a ClientHello
    put(client, std::uint16_t{2});
    for (const unsigned one : {22u, 3u, 1u, 0u, 8u, 1u, 0u, 0u, 4u, 3u, 3u, 9u, 9u, 23u, 3u, 3u, 0u, 2u, 1u, 1u}) {
        put(client, static_cast<std::byte>(one));
    }
    inputs.push_back(client);
}

const target streams{"streams", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::streams
