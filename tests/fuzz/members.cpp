// What others on the network say to members that live: sequences of datagrams, well-formed, with hostile contents and in a hostile order, while
// users of the members write, read and commit. Input: a byte of options, then steps.
//
// Who speaks is a stranger, whose words must change nothing: no peer, or one of another cluster, or of what it says the checksum or the places do not fit. Or a
// member lies. Nothing is promised of what a cluster decides then, since brook does not take its own members for enemies. But nobody falls, throws, waits for
// ever or takes memory without an end; files stay whole and can be opened; and of what a member has shown to its readers nothing goes without a word.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/brook.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/lz4.hpp>
#include <brook/replication.hpp>
#include <brook/replication/message.hpp>
#include <brook/verify.hpp>
#include <brook/zstd.hpp>

#include "fuzz/frame_seeds.hpp"
#include "fuzz/member_world.hpp"
#include "fuzz/target.hpp"

extern "C" std::size_t __sanitizer_get_current_allocated_bytes() __attribute__((weak));  // of AddressSanitizer, where that is there

namespace brook::fuzz::members {

namespace {

using namespace std::chrono_literals;
using broker_room::answer_codec;
using broker_room::answer_status;
using broker_room::datagram;
using broker_room::group_call;
using broker_room::partition_id;
using broker_room::request_kind;
using replication::byte_reader;
using replication::byte_writer;
using replication::message;
using replication::message_kind;
using numbers = topic<no_key, std::string>;
using std::chrono::nanoseconds;

constexpr nanoseconds timeout = member_world::election_timeout;
constexpr std::size_t most_memory = std::size_t{64} << 20;

constexpr int nodes = member_world::nodes;

/// Who runs, and who may lie.
struct scene {
    int honest;  ///< the first so many of three; the others speak for the input, too
    int runs;    ///< the first so many are there
    [[nodiscard]] bool has_strangers_only() const noexcept { return honest == nodes; }
};
constexpr std::array<scene, 6> scenes{{{3, 3}, {3, 2}, {2, 3}, {2, 2}, {1, 1}, {1, 3}}};

/// A cluster that has a topic, some records and what a group has committed, closed.
struct beginning {
    std::vector<member_world::image> disks;
    partition_id records;
    partition_id commits;
    format::topic_id cluster{};
    std::map<offset, std::string> there{};
    static constexpr offset committed = 3;

    beginning() {
        member_world world;
        for (int id = 1; id <= nodes; ++id) {
            world.start(id);
        }
        static_cast<void>(world.run_until([&] { return world.core(1).cluster()->coordinates(); }, 20s));
        {
            const numbers made = world.broker(1).create_topic<no_key, std::string>("t", {.replication_factor = nodes, .segment_bytes = 4 * kib});
            producer<no_key, std::string> by{made};
            for (int i = 0; i < 5; ++i) {
                const std::string value = "begin" + std::to_string(i);
                there[by.send(value).get().offset] = value;
            }
            consumer<no_key, std::string> commits_by{made, {.group_id = "g"}};
            commits_by.assign({made.partition(0)});
            commits_by.commit(made.partition(0), committed);
            records = {brook::detail::access::engine(made).state()->meta.id, 0};
        }
        world.run_for(timeout * 4);
        for (const auto& one : world.core(1).replicated_topics()) {
            if (one->name == broker_room::offsets_topic) {
                commits = {one->meta.id, 0};
            }
        }
        world.on_sending([this](int, int, bytes whole) {
            cluster = datagram::read(whole)->cluster;
            return true;
        });
        world.run_for(timeout);
        for (int id = nodes; id >= 1; --id) {
            world.close(id);
        }
        for (int id = 1; id <= nodes; ++id) {
            disks.push_back(std::move(world.disk(id)));
        }
    }
};

[[nodiscard]] const beginning& begin_of_all() {
    static const beginning once;
    return once;
}

/// One input.
class play {
public:
    explicit play(bytes input) : in_{input}, options_{in_.take<std::uint8_t>()}, scene_{scenes[options_ % scenes.size()]}, begin_{begin_of_all()} {}

    void run() {
        const std::size_t before = memory();
        world_.on_sending([this](int from, int to, bytes whole) { return watch(from, to, whole); });
        world_.on_parting([this](int id) { life_of(id) = {}; });
        for (int id = 1; id <= nodes; ++id) {
            world_.disk(id) = std::make_unique<memory_platform>(*begin_.disks[static_cast<std::size_t>(id - 1)]);
        }
        for (int id = 1; id <= scene_.runs; ++id) {
            world_.start(id);
        }
        if (scene_.runs > 1) {
            static_cast<void>(world_.run_until([&] { return leader(begin_.records) > 0; }, timeout * 4));
        }
        const nanoseconds end = world_.now() + timeout * 12;
        for (int left = 40; left > 0 && !in_.is_empty() && world_.now() < end; --left) {
            step();
            demand(memory() < before + most_memory, "what others say takes no memory without an end");
        }
        if (scene_.has_strangers_only()) {
            go_on();
        }
        judge();
    }

private:
    struct life {
        std::unique_ptr<numbers> topic;
        std::unique_ptr<producer<no_key, std::string>> writer;
        std::unique_ptr<consumer<no_key, std::string>> reader;
        std::unique_ptr<consumer<no_key, std::string>> member;  // of a group
        std::map<offset, std::string> shown;
    };

    /// What a broker has said last of a replica: a question of its own is what an answer has to fit to.
    struct question {
        int from;
        partition_id of;
        message last;
    };
    struct caught {
        int from;
        int to;
        std::vector<std::byte> raw;
    };

    [[nodiscard]] static std::size_t memory() noexcept { return __sanitizer_get_current_allocated_bytes == nullptr ? 0 : __sanitizer_get_current_allocated_bytes(); }

    // ---- what the input says ----

    template <class Number>
    [[nodiscard]] Number near(Number base) {
        constexpr std::array<std::uint64_t, 8> extremes{0, 0x7f, 0xffff, 0x7fff'ffff, 0xffff'ffff, 0x7fff'ffff'ffff'ffff, 0xffff'ffff'ffff'ffff, static_cast<std::uint64_t>(largest_offset)};
        const auto by = [base](std::uint64_t more) { return static_cast<Number>(static_cast<std::uint64_t>(base) + more); };
        const auto how = in_.take<std::uint8_t>();
        switch (how % 8) {
            case 3: return by(std::uint64_t{how} / 8 + 1);
            case 4: return by(std::uint64_t{0} - (how / 8 + 1));
            case 5: return static_cast<Number>(how / 8);
            case 6: return static_cast<Number>(in_.take<std::uint64_t>());
            case 7: return static_cast<Number>(extremes[how / 8 % extremes.size()] - how / 64);
            default: return base;
        }
    }

    [[nodiscard]] std::string text() { return std::string{as_text(in_.take_bytes(in_.take<std::uint8_t>() % 64))}; }
    [[nodiscard]] std::string name_of_group() {
        constexpr std::array<std::string_view, 4> known{"g", "w", "", "h"};
        const std::size_t which = in_.take<std::uint8_t>() % 5u;
        return which < 4 ? std::string{known[which]} : text();
    }
    [[nodiscard]] int any_running() { return 1 + in_.take<std::uint8_t>() % scene_.runs; }

    [[nodiscard]] partition_id any_partition() {
        const auto which = in_.take<std::uint8_t>();
        switch (which % 8) {
            case 0: return {broker_room::metadata_topic_id, 0};
            case 1: return begin_.commits;
            case 2: return {begin_.records.topic, in_.take<std::int8_t>()};
            case 3: return {in_.take<format::topic_id>(), 0};
            default: return begin_.records;
        }
    }

    void damage(std::vector<std::byte>& raw, std::size_t from = 0) {
        const auto how = in_.take<std::uint8_t>();
        for (unsigned left = how < 192 ? 0 : how % 4; left > 0 && raw.size() > from; --left) {
            const std::size_t at = from + in_.take<std::uint16_t>() % (raw.size() - from);
            raw[at] ^= static_cast<std::byte>(in_.take<std::uint8_t>());
        }
        if (how >= 248 && raw.size() > from) {
            raw.resize(from + in_.take<std::uint16_t>() % (raw.size() - from));
        }
    }

    // ---- steps ----

    void step() {
        const auto what = in_.take<std::uint8_t>();
        switch (what % 16) {
            case 0:
            case 1: world_.run_for(timeout / 128 * (1 + in_.take<std::uint8_t>())); break;
            case 2: send(any_running()); break;
            case 3: in_.take<std::uint8_t>() % 4 == 0 ? join(any_running()) : read(any_running()); break;
            case 4: commit(any_running()); break;
            case 5: spoil_network(); break;
            case 6: say_again(); break;
            case 7:
            case 8:
            case 9: speak(datagram::part_kind::replica); break;
            case 10:
            case 11: speak(datagram::part_kind::request); break;
            case 12: speak(datagram::part_kind::answer); break;
            case 13: speak_noise(); break;
            case 14: restart(any_running()); break;
            default: administer(any_running()); break;
        }
    }

    [[nodiscard]] life& life_of(int id) { return lives_[static_cast<std::size_t>(id - 1)]; }

    /// Errors are an answer.
    template <class Work>
    void use_broker(int id, const Work& work) {
        if (world_.is_up(id)) {
            answer([&] { work(life_of(id)); });
            world_.touch(id);
        }
    }

    [[nodiscard]] numbers& topic_of(int id) {
        life& here = life_of(id);
        if (!here.topic) {
            here.topic = std::make_unique<numbers>(world_.broker(id).topic<no_key, std::string>("t"));
        }
        return *here.topic;
    }

    void send(int id) {
        const auto count = 1 + in_.take<std::uint8_t>() % 3;
        const std::size_t size = in_.take<std::uint8_t>();
        use_broker(id, [&](life& here) {
            if (!here.writer) {
                here.writer = std::make_unique<producer<no_key, std::string>>(topic_of(id), producer_options{.delivery_timeout = timeout * 40});
            }
            for (int left = count; left > 0; --left) {
                std::string value = "n" + std::to_string(sent_.size());
                value.resize(value.size() + size, '.');
                sent_.insert(value);
                flying_.emplace_back(value, here.writer->send(value));
            }
        });
    }

    void read(int id) {
        use_broker(id, [&](life& here) {
            if (!here.reader) {
                here.reader = std::make_unique<consumer<no_key, std::string>>(topic_of(id));
            }
            for (int left = 100; left > 0; --left) {
                const auto found = here.reader->poll(0ns);
                if (found.empty()) {
                    break;
                }
                for (const auto& one : found) {
                    show(here, one.offset(), std::string{one.value()});
                }
            }
        });
    }

    void show(life& here, offset at, std::string value) {
        if (scene_.has_strangers_only()) {
            demand(value.starts_with("begin") || sent_.contains(value), "nothing is read that nobody has sent");
            const auto [known, is_new] = truth_.emplace(at, value);
            demand(known->second == value, "an offset has one record, for all");
            const auto [where, is_first] = where_.emplace(value, at);
            demand(where->second == at, "a record is there once");
        }
        here.shown.insert_or_assign(at, std::move(value));
    }

    /// A member of a group, that polls.
    void join(int id) {
        use_broker(id, [&](life& here) {
            if (!here.member) {
                here.member = std::make_unique<consumer<no_key, std::string>>(topic_of(id), consumer_options{.group_id = "w", .session_timeout = timeout * 8});
            }
            use(here.member->poll(0ns).empty() ? 1u : 0u);
        });
    }

    void commit(int id) {
        const offset next = beginning::committed + 1 + in_.take<std::uint8_t>() % 4;
        use_broker(id, [&](life&) {
            consumer<no_key, std::string> by{topic_of(id), {.group_id = "g"}};
            by.assign({topic_of(id).partition(0)});
            attempted_.insert(next);
            by.commit(topic_of(id).partition(0), next);
            attempted_ = {next};
        });
    }

    void spoil_network() {
        const auto how = in_.take<std::uint8_t>();
        const int one = any_running();
        const int other = any_running();
        switch (how % 4) {
            case 0: cuts_.insert({one, other}); break;
            case 1:
                cuts_.insert({one, other});
                cuts_.insert({other, one});
                break;
            case 2: cuts_.clear(); break;
            default: lost_ += 1u + how / 32; break;
        }
    }

    void restart(int id) {
        const bool is_kill = in_.take<std::uint8_t>() % 2 == 0;
        if (restarts_++ < 2 && world_.is_up(id)) {
            is_kill ? world_.kill(id) : world_.close(id);
            world_.start(id);
        }
    }

    void administer(int id) {
        const auto what = in_.take<std::uint8_t>();
        use_broker(id, [&](life&) {
            switch (what % 8) {
                case 0: static_cast<void>(world_.core(id).cluster()->transfer(begin_.records, 1 + what / 8 % nodes)); break;
                case 1: static_cast<void>(world_.core(id).cluster()->transfer({broker_room::metadata_topic_id, 0}, 1 + what / 8 % nodes)); break;
                case 2:
                    made_.insert("made");
                    static_cast<void>(world_.broker(id).create_topic<no_key, std::string>("made", {.replication_factor = nodes, .segment_bytes = 4 * kib}));
                    break;
                case 3: world_.broker(id).delete_topic("made"); break;
                case 4:
                    for (const failure& why : world_.broker(id).health().errors) {
                        use(std::string_view{why.text});
                    }
                    break;
                case 5: static_cast<void>(world_.core(id).groups().names()); break;
                default: world_.maintain(id); break;
            }
        });
    }

    // ---- what is heard ----

    [[nodiscard]] bool watch(int from, int to, bytes whole) {
        const auto said = datagram::read(whole);
        demand(said && said->from == from && said->to == to, "a broker sends datagrams that are whole");
        bytes rest = whole.subspan(datagram::header_size);
        for (datagram::part one; datagram::next(rest, one);) {
            if (one.kind == datagram::part_kind::replica) {
                const auto told = message::decode(one.body);
                demand(told.has_value(), "a broker says what a broker understands");
                message kept = *told;
                kept.frames = {};
                note(from, one.partition, kept);
            } else if (one.kind == datagram::part_kind::request) {
                asked_[static_cast<std::size_t>(from)] = one.number;
                if (one.code == static_cast<std::uint32_t>(request_kind::group)) {
                    byte_reader call{one.body};
                    static_cast<void>(call.take<std::uint32_t>());
                    static_cast<void>(call.take_text());
                    member_ = call.take<std::uint64_t>();
                }
            }
        }
        if (caught_.size() >= 16) {
            caught_.pop_front();
        }
        caught_.push_back({from, to, {whole.begin(), whole.end()}});
        if (lost_ > 0) {
            --lost_;
            return false;
        }
        return !cuts_.contains({from, to});
    }

    void note(int from, const partition_id& of, const message& told) {
        for (question& one : questions_) {
            if (one.from == from && one.of == of && (one.last.kind == message_kind::fetch || one.last.kind == message_kind::vote) == (told.kind == message_kind::fetch || told.kind == message_kind::vote)) {
                one.last = told;
                return;
            }
        }
        questions_.push_back({from, of, told});
    }
    [[nodiscard]] message asked_by(int from, const partition_id& of) const {
        for (const question& one : questions_) {
            if (one.from == from && one.of == of && (one.last.kind == message_kind::fetch || one.last.kind == message_kind::vote)) {
                return one.last;
            }
        }
        return {};
    }

    [[nodiscard]] int leader(const partition_id& of) {
        for (int id = 1; id <= scene_.runs; ++id) {
            const auto seen = world_.is_up(id) ? world_.core(id).cluster()->state_of(of) : std::nullopt;
            if (seen && seen->leader > 0) {
                return seen->leader;
            }
        }
        return -1;
    }

    // ---- what is said ----

    /// Parts, as many as the input wants, then the datagram is on its way.
    void speak(datagram::part_kind kind) {
        const auto to = any_running();
        const auto way = in_.take<std::uint8_t>();
        if (open_.empty()) {
            datagram::begin(open_);
        }
        switch (kind) {
            case datagram::part_kind::replica: say_to_replica(to); break;
            case datagram::part_kind::request: ask(to); break;
            case datagram::part_kind::answer: answer_to(to); break;
        }
        if (way >= 224 && open_.size() < 16 * 1024) {
            return;  // another part goes with it
        }
        std::vector<std::byte> whole = std::exchange(open_, {});
        deliver(to, way, whole);
    }

    /// `way`: who speaks, and what is wrong with it.
    void deliver(int to, std::uint8_t way, std::vector<std::byte>& whole) {
        int from = scene_.honest + 1 + way / 8 % std::max(1, nodes - scene_.honest);
        std::int32_t said_from = from;
        std::int32_t said_to = to;
        format::topic_id cluster = begin_.cluster;
        bool is_finished = true;
        const auto torn = [&] {
            const std::size_t left = datagram::header_size + in_.take<std::uint16_t>() % std::max<std::size_t>(whole.size() - datagram::header_size, 1);
            whole.resize(std::min(whole.size(), left));
        };
        if (scene_.has_strangers_only()) {
            const int peer = 1 + to % nodes;
            from = said_from = peer;
            switch (way % 8) {
                case 0: from = said_from = 9; break;
                case 1: from = 9; break;
                case 2: cluster[0] ^= std::byte{1}; break;
                case 3: said_to = to + 1; break;
                case 4: said_from = to; break;
                case 5: from = said_from = way / 8 % 2 == 0 ? -1 : std::numeric_limits<int>::max(); break;
                case 6: from = said_from = to; break;
                default:
                    is_finished = false;
                    datagram::finish(whole, said_from, said_to, cluster);
                    whole[in_.take<std::uint16_t>() % whole.size()] ^= static_cast<std::byte>(1 + way / 8);
                    break;
            }
        } else {
            switch (way % 8) {
                case 5: cluster = {}; break;
                case 6: torn(); break;
                case 7:
                    is_finished = false;
                    datagram::finish(whole, said_from, said_to, cluster);
                    torn();
                    break;
                default: break;
            }
        }
        if (is_finished) {
            datagram::finish(whole, said_from, said_to, cluster);
        }
        world_.bring(from, to, whole);
    }

    [[nodiscard]] replication_state state(int id, const partition_id& of) {
        const auto seen = world_.is_up(id) ? world_.core(id).cluster()->state_of(of) : std::nullopt;
        return seen.value_or(replication_state{});
    }

    void say_to_replica(int to) {
        const partition_id of = any_partition();
        const replication_state seen = state(to, of);
        const message asked = asked_by(to, of);
        const auto what = in_.take<std::uint8_t>();
        message told{static_cast<message_kind>(1 + what % 6)};
        told.outcome = static_cast<replication::fetch_outcome>(what / 8 % 4);
        const auto flags = in_.take<std::uint8_t>();
        told.is_pre_vote = (flags & 1) != 0;
        told.is_granted = (flags & 2) != 0;
        told.is_suspect = (flags & 4) != 0;
        told.is_transfer = (flags & 8) != 0;
        told.is_blank = (flags & 16) != 0;
        told.is_empty = (flags & 32) != 0;
        told.is_confirmed = (flags & 64) != 0;
        told.is_full = (flags & 128) != 0;
        told.epoch = near(static_cast<std::uint32_t>(seen.leader_epoch));
        told.last_epoch = near(told.epoch);
        told.leader = near(seen.leader);
        told.session = near(asked.session);
        told.number = near(asked.number);
        told.fetch = {near(seen.log_end_offset), near(seen.high_watermark), near(seen.high_watermark), near(asked.fetch.round)};
        std::vector<std::byte> frames;
        if (told.kind == message_kind::fetch_answer) {
            if (told.outcome == replication::fetch_outcome::records) {
                frames = make_frames(told.fetch_answer.end, told.epoch);
            } else if (told.outcome == replication::fetch_outcome::below_start) {
                replication::voter_set voters{near(seen.log_end_offset), near(told.epoch), {}};
                for (auto left = in_.take<std::uint8_t>() % 6; left > 0; --left) {
                    voters.nodes.push_back(near(std::int32_t{left}));
                }
                voters.encode(frames);
            }
        }
        told.frames = frames;
        datagram::part part;
        part.partition = of;
        datagram::add(open_, part, [&](std::vector<std::byte>& into) {
            const std::size_t at = into.size();
            told.encode(into);
            damage(into, at);
        });
    }

    [[nodiscard]] std::vector<std::byte> make_frame() {
        const auto what = in_.take<std::uint8_t>();
        switch (what % 8) {
            case 0: return format::make_control(broker_room::control_record::open_epoch(near(std::int32_t{3})), 17);
            case 1: {
                std::vector<std::int32_t> named;
                for (auto left = in_.take<std::uint8_t>() % 6; left > 0; --left) {
                    named.push_back(near(std::int32_t{left}));
                }
                return format::make_control(broker_room::control_record::name_voters(named), 17);
            }
            case 2: {
                const auto all = frame_seeds();
                return all[what / 8 % all.size()];
            }
            case 3: return broker_room::cluster_metadata::make_record(text(), std::nullopt, 17);
            case 4: {
                const std::string value = text();
                return broker_room::cluster_metadata::make_record("c" + text(), as_bytes(value), 17);
            }
            case 5: {
                const std::string name = what / 8 % 2 == 0 ? "made" : what / 16 % 2 == 0 ? "t" : text();
                return broker_room::cluster_metadata::make_record("t" + name, as_bytes(make_meta(name)), 17);
            }
            case 6: return lone_seed(seed_records[what / 8 % seed_records.size()]);
            default: return batch_seed(format::codec_none, format::extension::detail | format::extension::producer);
        }
    }

    [[nodiscard]] std::string make_meta(const std::string& name) {
        std::string meta;
        answer([&] {
            format::topic_id id{};
            id[0] = static_cast<std::byte>(in_.take<std::uint8_t>());
            const topic_options options{.partitions = 1 + in_.take<std::uint8_t>() % 3, .segment_bytes = 4 * kib};
            broker_room::topic_meta made = broker_room::topic_meta::make(name, options, in_.take<std::uint8_t>() % 4 == 0 ? begin_.records.topic : id, {"brook.none", 0}, {"brook.string", 0});
            for (std::int32_t left = in_.take<std::uint8_t>() % 8 == 7 ? 0 : made.partitions; left > 0; --left) {
                std::vector<std::int32_t> replicas;
                for (auto more = in_.take<std::uint8_t>() % 72; more > 0; --more) {
                    replicas.push_back(near(std::int32_t{more}));
                }
                made.replicas.push_back(std::move(replicas));
            }
            meta = made.encode();
        });
        if (in_.take<std::uint8_t>() >= 224 && !meta.empty()) {
            const std::size_t at = in_.take<std::uint16_t>() % meta.size();
            meta.replace(at, std::min<std::size_t>(meta.size() - at, 1 + in_.take<std::uint8_t>() % 8), text());
        }
        return meta;
    }

    [[nodiscard]] std::vector<std::byte> make_frames(offset base, std::uint32_t epoch) {
        std::vector<std::byte> all;
        for (auto left = in_.take<std::uint8_t>() % 4; left > 0; --left) {
            std::vector<std::byte> frame = make_frame();
            format::frame_header header = format::load_header(frame.data());
            header.base_offset = near(base);
            header.leader_epoch = near(epoch);
            format::store_wire(frame.data(), header);
            const std::uint32_t taken = header.count < 1'000 && (header.attributes & format::attribute::lone) == 0 ? header.count : 1;
            base = static_cast<offset>(static_cast<std::uint64_t>(header.base_offset) + taken);
            damage(frame);
            put_bytes(all, frame);
        }
        return all;
    }

    void ask(int to) {
        const auto what = in_.take<std::uint8_t>();
        datagram::part part;
        part.kind = datagram::part_kind::request;
        part.number = near(last_number_);
        last_number_ = part.number + 1;
        constexpr std::array<std::uint32_t, 8> codes{1, 2, 3, 4, 5, 6, 64, 65};
        part.code = what < 248 ? codes[what % 8] : what;
        datagram::add(open_, part, [&](std::vector<std::byte>& into) {
            const std::size_t at = into.size();
            byte_writer body{into};
            write_request(static_cast<request_kind>(part.code), to, body);
            damage(into, at);
        });
    }

    void write_request(request_kind what, int to, byte_writer& body) {
        switch (what) {
            case request_kind::produce: {
                const partition_id of = any_partition();
                std::vector<std::byte> frame = make_frame();
                if (in_.take<std::uint8_t>() < 192) {
                    frame = batch_seed(format::codec_none, format::extension::producer);
                    format::store_stamp(frame.data() + format::frame_header_size, {near(std::int64_t{77}), near(std::uint16_t{0}), near(std::int64_t{0})});
                }
                format::store_wire(frame.data(), format::load_header(frame.data()));
                damage(frame);
                body.put(of.topic);
                body.put(of.number);
                body.put(static_cast<std::uint8_t>(near(std::uint8_t{1})));
                body.put(static_cast<std::uint8_t>(near(std::uint8_t{0})));
                body.put_bytes(frame);
                break;
            }
            case request_kind::create_topic: {
                const std::string name = in_.take<std::uint8_t>() % 2 == 0 ? "made" : text();
                body.put_text(name);
                body.put(near(std::uint32_t{1}));
                body.put(near(std::int32_t{1}));
                body.put_text(make_meta(name));
                break;
            }
            case request_kind::delete_topic:
                body.put_text(in_.take<std::uint8_t>() % 2 == 0 ? "made" : text());
                body.put(in_.take<std::uint8_t>() % 2 == 0 ? format::topic_id{} : begin_.records.topic);
                break;
            case request_kind::register_broker:
                body.put(near(std::int32_t{nodes}));
                body.put(in_.take<format::topic_id>());
                break;
            case request_kind::group: write_call(to, body); break;
            case request_kind::read: {
                const partition_id of = any_partition();
                body.put(of.topic);
                body.put(of.number);
                body.put(near(offset{0}));
                body.put(near(state(to, of).high_watermark));
                break;
            }
            case request_kind::raise_session: body.put(near(asked_by(to, begin_.records).session)); break;
            case request_kind::greet: {
                const auto count = near(std::uint32_t{3});
                body.put(count);
                for (std::uint32_t left = std::min(count, 64u); left > 0; --left) {
                    body.put(near(std::int32_t{1}));
                }
                break;
            }
            default: break;
        }
        body.put_bytes({});
    }

    void put_position(byte_writer& body, int to) {
        body.put(begin_.records.topic);
        body.put(near(std::int32_t{0}));
        body.put(near(state(to, begin_.records).high_watermark));
        body.put(near(std::int32_t{-1}));
        body.put_text(text());
    }

    void write_call(int to, byte_writer& body) {
        const auto what = static_cast<group_call>(1 + in_.take<std::uint8_t>() % 17);
        body.put(what);
        const auto count = [&] {
            const auto many = near(std::uint32_t{1});
            body.put(many);
            return std::min(many, 8u);
        };
        if (what == group_call::beat || what == group_call::depart) {
            for (std::uint32_t left = count(); left > 0; --left) {
                body.put_text(name_of_group());
                body.put(near(member_));
                if (what == group_call::beat) {
                    body.put(near(std::uint64_t{1}));
                }
            }
            return;
        }
        body.put_text(name_of_group());
        body.put(near(member_));
        const auto put_topics = [&] {
            for (std::uint32_t left = count(); left > 0; --left) {
                body.put(begin_.records.topic);
                body.put_text("t");
                body.put(near(std::int32_t{1}));
            }
        };
        switch (what) {
            case group_call::join:
                body.put_text(in_.take<std::uint8_t>() % 2 == 0 ? std::string{} : text());
                body.put(near(std::int64_t{1'000'000'000}));
                body.put(near(std::int64_t{1'000'000'000}));
                body.put_text(std::array<std::string_view, 4>{"range", "roundrobin", "cooperative-sticky", "own"}[in_.take<std::uint8_t>() % 4]);
                put_topics();
                break;
            case group_call::subscribe: put_topics(); break;
            case group_call::has_instance: body.put_text(text()); break;
            case group_call::release:
                for (std::uint32_t left = count(); left > 0; --left) {
                    body.put(begin_.records.topic);
                    body.put(near(std::int32_t{0}));
                }
                break;
            case group_call::commit:
            case group_call::reset:
                for (std::uint32_t left = count(); left > 0; --left) {
                    put_position(body, to);
                }
                body.put(near(static_cast<std::uint32_t>(state(to, begin_.commits).leader_epoch)));
                break;
            case group_call::remove: body.put(near(static_cast<std::uint32_t>(state(to, begin_.commits).leader_epoch))); break;
            case group_call::committed:
                body.put(begin_.records.topic);
                body.put(near(std::int32_t{0}));
                break;
            default: break;
        }
    }

    void answer_to(int to) {
        datagram::part part;
        part.kind = datagram::part_kind::answer;
        part.number = near(asked_[static_cast<std::size_t>(to)]);
        const auto status = in_.take<std::uint8_t>();
        part.code = status < 128 ? 0 : status % 4;
        datagram::add(open_, part, [&](std::vector<std::byte>& into) {
            const std::size_t at = into.size();
            failure why;
            if (const auto code = in_.take<std::uint8_t>(); code >= 128) {
                why = {static_cast<errc>(code - 128), text()};
            }
            answer_codec::put(into, why);
            byte_writer body{into};
            switch (in_.take<std::uint8_t>() % 5) {
                case 0: answer_codec::put_appended(into, near(state(to, begin_.records).log_end_offset), near(std::int64_t{17})); break;
                case 1: put_bytes(into, make_frames(near(offset{0}), near(std::uint32_t{1}))); break;
                case 2: body.put(begin_.records.topic); break;
                case 3:
                    body.put(near(std::uint32_t{1}));
                    put_position(body, to);
                    break;
                default: put_bytes(into, in_.take_bytes(in_.take<std::uint8_t>())); break;
            }
            damage(into, at);
        });
    }

    /// What was sent before comes again, as it was or not; a network may bring it twice, and late.
    void say_again() {
        const auto which = in_.take<std::uint8_t>();
        const auto way = in_.take<std::uint8_t>();
        if (caught_.empty()) {
            return;
        }
        const caught one = caught_[which % caught_.size()];
        if (way % 2 == 0 || one.from <= scene_.honest) {
            world_.bring(one.from, one.to, one.raw);
            if (way % 2 != 0) {
                std::vector<std::byte> torn = one.raw;
                torn.resize(in_.take<std::uint16_t>() % torn.size());
                world_.bring(one.from, one.to, torn);
            }
            return;
        }
        std::vector<std::byte> whole = one.raw;
        for (auto left = in_.take<std::uint8_t>() % 4; left > 0; --left) {
            const std::size_t at = datagram::header_size + in_.take<std::uint16_t>() % (whole.size() - datagram::header_size + 1);
            if (at < whole.size()) {
                whole[at] ^= static_cast<std::byte>(in_.take<std::uint8_t>());
            }
        }
        deliver(one.to, static_cast<std::uint8_t>(way & 0xf8), whole);
    }

    void speak_noise() {
        const int to = any_running();
        const auto way = in_.take<std::uint8_t>();
        const bytes raw = in_.take_bytes(in_.take<std::uint8_t>());
        if (way % 2 == 0) {
            world_.bring(way % 4 == 0 ? 9 : nodes, to, raw);
            return;
        }
        std::vector<std::byte> whole;
        datagram::begin(whole);
        put_bytes(whole, raw);
        deliver(to, way, whole);
    }

    // ---- what must be so ----

    /// Strangers have done nothing, so all goes on as soon as the network does.
    void go_on() {
        cuts_.clear();
        lost_ = 0;
        use_broker(one_of_all(), [&](life&) {
            producer<no_key, std::string> by{topic_of(one_of_all()), {.delivery_timeout = timeout * 60}};
            sent_.insert("last");
            std::error_code code;
            const offset at = by.send("last").get(code).offset;
            demand(!code, "a cluster goes on as if no stranger had spoken");
            acknowledged_[at] = "last";
        });
        for (auto& [value, told] : flying_) {
            std::error_code code;
            const offset at = told.get(code).offset;
            if (!code && at >= 0) {
                acknowledged_[at] = value;
            }
        }
        for (int id = 1; id <= scene_.runs; ++id) {
            const offset end = acknowledged_.rbegin()->first + 1;
            demand(world_.run_until([&] { return state(id, begin_.records).high_watermark >= end; }, timeout * 60), "what is acknowledged comes to all");
            life_of(id).reader.reset();
            life_of(id).shown.clear();
            read(id);
            for (const auto& [at, value] : acknowledged_) {
                demand(life_of(id).shown[at] == value, "what was acknowledged is where it was said to be, on every broker");
            }
            for (const auto& [at, value] : begin_.there) {
                demand(life_of(id).shown[at] == value, "what was there before is there");
            }
            for (const std::string& name : world_.broker(id).topics()) {
                demand(name == "t" || made_.contains(name), "there are the topics that users have made");
            }
        }
        ask_what_is_committed(one_of_all());
    }

    /// Errors are an answer: nobody coordinates, perhaps, as yet.
    void ask_what_is_committed(int id) {
        use_broker(id, [&](life&) {
            consumer<no_key, std::string> by{topic_of(id), {.group_id = "g"}};
            by.assign({topic_of(id).partition(0)});
            const auto found = by.committed(topic_of(id).partition(0));
            demand(found && (*found == beginning::committed || attempted_.contains(*found)), "what a group has committed is what its members have");
        });
    }

    [[nodiscard]] bool has_told_of_loss(int id) {
        return std::any_of(world_.told(id).begin(), world_.told(id).end(), [](const std::string& text) {
            return text.find("are cut") != std::string::npos || text.find("copied anew") != std::string::npos || text.find("stopped") != std::string::npos || text.find("lost") != std::string::npos;
        });
    }

    void judge() {
        for (int id = 1; id <= scene_.runs; ++id) {
            if (!world_.is_up(id)) {
                continue;
            }
            const std::map<offset, std::string> shown = life_of(id).shown;
            life_of(id).reader.reset();
            life_of(id).shown.clear();
            read(id);
            for (const auto& [at, value] : shown) {
                const auto& now = life_of(id).shown;
                const bool is_there = now.contains(at) && now.at(at) == value;
                const bool is_forgotten = now.empty() || at < now.begin()->first;
                demand(is_there || is_forgotten || has_told_of_loss(id) || world_.broker(id).topics().empty(), "what a broker has shown stays, or it says that it is gone");
            }
        }
        for (int id = scene_.runs; id >= 1; --id) {
            if (world_.is_up(id)) {
                world_.close(id);
            }
        }
        const int id = one_of_all();
        const verify_report found = verify("/d", {.platform = world_.disk(id).get()});
        if (!found.is_ok()) {
            std::fprintf(stderr, "broker %d: %s\n", id, found.text().c_str());
        }
        demand(found.is_ok(), "files stay whole, whatever others say");
        const std::size_t before = world_.told(id).size();
        world_.start(id);  // what is thrown ends the process
        for (std::size_t i = before; i < world_.told(id).size(); ++i) {
            demand(world_.told(id)[i].find("nobody knows what the replicas") == std::string::npos, "what was promised can be read again");
        }
        world_.run_for(timeout);
    }

    /// All are looked at, each by some of the inputs: it takes time.
    [[nodiscard]] int one_of_all() const noexcept { return 1 + options_ / static_cast<int>(scenes.size()) % scene_.runs; }

    input_reader in_;
    const std::uint8_t options_;
    const scene scene_;
    const beginning& begin_;
    std::set<std::pair<int, int>> cuts_;
    unsigned lost_ = 0;  // so many of the next datagrams
    std::deque<caught> caught_;
    std::vector<question> questions_;
    std::array<std::uint64_t, nodes + 1> asked_{};  // the number of its latest request
    std::uint64_t member_ = 0;
    std::uint64_t last_number_ = std::uint64_t{1} << 62;
    std::vector<std::byte> open_;  // a datagram that is being put together
    int restarts_ = 0;

    std::set<std::string> sent_;
    std::map<offset, std::string> truth_;
    std::map<std::string, offset> where_;
    std::map<offset, std::string> acknowledged_;
    std::set<offset> attempted_;
    std::set<std::string> made_;
    member_world world_;
    std::array<life, nodes> lives_;
    std::vector<std::pair<std::string, delivery>> flying_;
};

void run(bytes input) {
    play one{input};
    one.run();
}

/// What a member says to the first one that runs, step by step.
class liar {
public:
    explicit liar(std::uint8_t scene) { put(input_, scene); }

    void step(std::initializer_list<int> raw) {
        for (const int one : raw) {
            put(input_, static_cast<std::uint8_t>(one));
        }
    }
    /// It leads in the next epoch.
    void lead(int partition) { step({7, 0, 0, partition, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0}); }
    /// This comes next, and all of it is committed. `frames`: count, then each.
    void give(int partition, std::initializer_list<int> frames) {
        step({7, 0, 0, partition, 5, 0, 0, 0, 0, 0, 0, 0, 0, 59, 0});
        step(frames);
        step({0});
    }
    [[nodiscard]] std::vector<std::byte> take() { return std::move(input_); }

private:
    std::vector<std::byte> input_;
};

/// Lies that have once done harm, then sequences of everything that there is, drawn: any bytes are one.
void seeds(std::vector<std::vector<std::byte>>& inputs) {
    constexpr int metadata = 0;
    constexpr int records = 4;
    for (const int replicas : {7, 0}) {  // of the topic: no replicas at all; or so many that no ballot can name them
        liar one{3};
        one.lead(metadata);
        if (replicas == 7) {
            one.give(metadata, {1, 5, 9, 0, 1, 7, 0, 0, 0, 0});
        } else {
            one.step({7, 0, 0, metadata, 5, 0, 0, 0, 0, 0, 0, 0, 0, 59, 0, 1, 5, 9, 0, 1, 0, 71});
            for (int i = 0; i < 71; ++i) {
                one.step({0});
            }
            one.step({0, 0, 0, 0, 0});
        }
        one.step({15, 0, 6, 0, 64});
        inputs.push_back(one.take());
    }
    liar other{3};
    other.lead(records);
    other.give(records, {2, 6, 0, 0, 0, 6, 0, 0, 0});
    other.step({3, 1, 0, 0, 64, 14, 0, 0});
    inputs.push_back(other.take());

    std::uint64_t chance = 1;
    for (std::uint8_t scene = 0; scene < scenes.size(); ++scene) {
        for (const std::size_t size : {40u, 160u}) {
            std::vector<std::byte> input;
            put(input, scene);
            put(input, std::array<std::uint8_t, 6>{2, 0, 1, 4, 3, 1});  // something is sent, and read
            while (input.size() < size) {
                chance = chance * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
                const auto high = static_cast<std::uint8_t>(chance >> 56);
                put(input, static_cast<std::uint8_t>(chance >> 52 & 1) != 0 ? high : static_cast<std::uint8_t>(high % 4));
            }
            inputs.push_back(input);
        }
    }
}

const target members{"members", run, nullptr, seeds};

}  // namespace

}  // namespace brook::fuzz::members
