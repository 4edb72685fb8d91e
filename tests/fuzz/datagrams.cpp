// What another broker says, be it hostile: datagrams, the messages of replicas, requests and answers, calls about groups. Input: a byte of
// options, then a datagram.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <brook/broker/cluster_request.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/replication/ballot.hpp>
#include <brook/replication/message.hpp>

#include "fuzz/frame_seeds.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::datagrams {

namespace {

using broker_room::answer_codec;
using broker_room::datagram;
using broker_room::group_call;
using broker_room::group_codec;
using replication::byte_reader;
using replication::byte_writer;
using replication::message;

void read_message(bytes body) {
    const auto told = message::decode(body);
    if (!told) {
        return;
    }
    demand(told->epoch <= message::largest_epoch && told->last_epoch <= told->epoch, "no epoch is believed that everybody would have to follow");
    std::vector<std::byte> again;
    told->encode(again);
    demand(as_text(again) == as_text(body), "a message says the same when it is said again");
    if (told->kind == replication::message_kind::fetch_answer && told->outcome == replication::fetch_outcome::below_start) {
        static_cast<void>(replication::voter_set::decode(told->frames));
        return;
    }
    format::wire_walk frames{told->frames};
    for (bytes frame; frames.next(frame);) {
        use(format::wire_fault(frame) == nullptr ? 1u : 0u);
    }
}

/// The parts of which calls are made, in the order in which one of them has these.
void read_call(group_call what, byte_reader from) {
    failure why;
    use(from.take_text());
    use(from.take<std::uint64_t>());
    switch (what) {
        case group_call::join:
            use(static_cast<std::uint64_t>(group_codec::take_options(from, why).max_poll_interval.count()));
            use(group_codec::take_topics(from).size());
            break;
        case group_call::subscribe: use(group_codec::take_topics(from).size()); break;
        case group_call::release:
        case group_call::take: use(group_codec::take_places(from).size()); break;
        case group_call::commit:
        case group_call::reset:
            for (const auto& one : group_codec::take_positions(from)) {
                use(one.metadata);
            }
            break;
        case group_call::describe: use(group_codec::take_description(from).members.size()); break;
        case group_call::beat:
            for (std::uint32_t left = from.take_count(20); left > 0; --left) {
                use(from.take_text());
                use(from.take<std::uint64_t>() + from.take<std::uint64_t>());
            }
            break;
        default: break;
    }
    use(from.is_done() ? 1u : 0u);
}

/// What is read of a description is written, and read again, as the same.
void read_description(byte_reader from) {
    const auto told = group_codec::take_description(from);
    if (!from.is_done()) {
        return;
    }
    std::vector<std::byte> once;
    byte_writer to{once};
    group_codec::put(to, told);
    byte_reader again{once};
    std::vector<std::byte> twice;
    byte_writer further{twice};
    group_codec::put(further, group_codec::take_description(again));
    demand(again.is_done() && as_text(once) == as_text(twice), "a description is read as it was written");
}

void run(bytes input) {
    input_reader from{input};
    const auto options = from.take<std::uint8_t>();
    const exact_copy whole{from.rest()};
    const auto said = datagram::read(whole.view());
    if (!said) {
        return;
    }
    use(datagram::counts(*said, 1, 2, {}) ? 1u : 0u);
    bytes rest = whole.view().subspan(datagram::header_size);
    datagram::part part;
    for (std::size_t before = rest.size() + 1; datagram::next(rest, part); before = rest.size()) {
        demand(rest.size() < before, "each part takes something");
        const exact_copy body{part.body};
        if (part.kind == datagram::part_kind::replica) {
            read_message(body.view());
        } else if (part.kind == datagram::part_kind::request) {
            byte_reader call{body.view()};
            read_call(static_cast<group_call>(call.take<std::uint32_t>()), call);
        } else {
            byte_reader told{body.view()};
            const failure why = answer_codec::take(told);
            use(why.text);
            (options & 1) != 0 ? read_description(told) : read_call(group_call::take, told);
        }
    }
}

/// The parts' sizes as far as they go, and the checksum.
void repair(std::vector<std::byte>& input) {
    constexpr std::size_t front = 1;
    if (input.size() < front + datagram::header_size) {
        return;
    }
    for (std::size_t at = front + datagram::header_size; at + 32 <= input.size();) {
        auto size = load<std::uint32_t>(input.data() + at);
        const std::size_t room = input.size() - at - 8;
        size = size < 24 || size > room ? static_cast<std::uint32_t>(room) : size;
        store(input.data() + at, size);
        store(input.data() + at + 4, 1 + load<std::uint32_t>(input.data() + at + 4) % 3);
        if (load<std::uint32_t>(input.data() + at + 4) == 1 && size >= 24 + message::fixed_size) {
            std::byte* const head = input.data() + at + 32;
            store(head, static_cast<std::uint64_t>(1 + std::to_integer<unsigned>(head[0]) % 6) | static_cast<std::uint64_t>(head[1]) << 8 |
                            static_cast<std::uint64_t>(std::to_integer<unsigned>(head[2]) % 4) << 16);
            store(head + 20, std::uint32_t{0});
        }
        at += align_up(8 + std::size_t{size}, std::size_t{8});
    }
    const auto from = load<std::int32_t>(input.data() + front + 16);
    const auto to = load<std::int32_t>(input.data() + front + 20);
    const auto cluster = load<format::topic_id>(input.data() + front + 24);
    std::vector<std::byte> whole(input.begin() + front, input.end());
    datagram::finish(whole, from, to, cluster);
    input.resize(front);
    put_bytes(input, whole);
}

template <class Write>
void add_seed(std::vector<std::vector<std::byte>>& inputs, std::uint8_t options, datagram::part part, const Write& write) {
    std::vector<std::byte> whole;
    datagram::begin(whole);
    datagram::add(whole, part, write);
    datagram::finish(whole, 1, 2, {});
    std::vector<std::byte> input;
    put(input, options);
    put_bytes(input, whole);
    inputs.push_back(input);
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    const auto frame = lone_seed(seed_records[0]);
    for (const auto kind : {replication::message_kind::vote, replication::message_kind::fetch, replication::message_kind::fetch_answer}) {
        message told{kind};
        told.epoch = told.last_epoch = 5;
        told.session = 9;
        told.number = 3;
        told.fetch.end = 17;
        if (kind == replication::message_kind::fetch_answer) {
            told.frames = frame;
        }
        add_seed(inputs, 0, {}, [&](std::vector<std::byte>& to) { told.encode(to); });
    }
    message below{replication::message_kind::fetch_answer};
    below.outcome = replication::fetch_outcome::below_start;
    std::vector<std::byte> voters;
    replication::voter_set{4, 2, {1, 2, 3}}.encode(voters);
    below.epoch = 2;
    below.frames = voters;
    add_seed(inputs, 0, {}, [&](std::vector<std::byte>& to) { below.encode(to); });

    const auto call = [&](group_call what, const auto& write) {
        add_seed(inputs, 0, {.kind = datagram::part_kind::request, .number = 5, .code = 5}, [&](std::vector<std::byte>& into) {
            byte_writer to{into};
            to.put(static_cast<std::uint32_t>(what));
            to.put_text("group");
            to.put(std::uint64_t{77});
            write(to);
        });
    };
    call(group_call::join, [](byte_writer& to) {
        broker_room::member_options options;
        options.assignor = assignors::range();
        group_codec::put(to, options);
        group_codec::put(to, std::vector<broker_room::group_topic>{{{}, "topic", 3}});
    });
    call(group_call::commit, [](byte_writer& to) { group_codec::put(to, std::vector<broker_room::committed_position>{{{}, 2, 17, 3, "metadata"}}); });
    call(group_call::release, [](byte_writer& to) { group_codec::put(to, std::vector<broker_room::group_place>{{{}, 1}, {{}, 2}}); });

    add_seed(inputs, 1, {.kind = datagram::part_kind::answer, .number = 5}, [](std::vector<std::byte>& into) {
        answer_codec::put(into, {});
        byte_writer to{into};
        group_description told;
        told.group_id = "group";
        told.members.push_back({.id = "member", .group_instance_id = "", .is_away = false, .assignment = {{"topic", 1}}});
        told.partitions.push_back({.topic = "topic", .number = 1, .committed = 5, .metadata = "m", .log_end_offset = 9, .lag = 4});
        group_codec::put(to, told);
    });
}

const target datagrams{"datagrams", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::datagrams
