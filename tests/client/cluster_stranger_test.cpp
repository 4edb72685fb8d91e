// What brokers make of datagrams that look like a peer's, and that no broker has sent.
#include <brook/brook.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <brook/broker/cluster_request.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/replication.hpp>

#include "client/cluster_world.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"
#include "support/wire.hpp"

namespace client_cluster_stranger_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::broker_room::answer_codec;
using brook::broker_room::answer_status;
using brook::broker_room::datagram;
using brook::broker_room::group_call;
using brook::broker_room::partition_id;
using brook::broker_room::request_kind;
using brook::replication::byte_reader;
using brook::replication::byte_writer;
using brook::test::cluster_world;
using brook::test::numbers_to;
using brook::test::numbers_topic;
using brook::test::send_numbers;
using brook::test::wire_lone;

namespace {

/// Sits in the place of a broker that is not there.
class stranger final : transport::receiver {
public:
    stranger(memory_network& network, int id) : id_{id}, transport_{network.join(id)} { transport_->start(*this); }
    ~stranger() { transport_->stop(); }

    template <class Write>
    void send(int to, datagram::part part, const Write& write) {
        std::vector<std::byte> whole;
        datagram::begin(whole);
        datagram::add(whole, part, write);
        datagram::finish(whole, id_, to, {});
        transport_->send(to, whole);
    }

    struct answer {
        answer_status status = answer_status::done;
        std::vector<std::byte> body;
    };

    /// Asks all, with this number; what is answered by the one that does not send it elsewhere.
    [[nodiscard]] answer ask(request_kind what, std::uint64_t number, const std::vector<std::byte>& body, const std::vector<int>& whom) {
        std::optional<answer> found;
        CHECK(cluster_world::eventually([&] {
            for (const int one : whom) {
                tell(what, number, body, one);
            }
            for (int i = 0; i < 50 && !found; ++i) {
                const std::scoped_lock guard{mutex_};
                for (auto& [which, told] : answers_) {
                    if (which == number && told.status == answer_status::done) {
                        found = told;
                    }
                }
                if (!found) {
                    std::this_thread::sleep_for(1ms);
                }
            }
            return found.has_value();
        }));
        return found.value_or(answer{});
    }

    void tell(request_kind what, std::uint64_t number, const std::vector<std::byte>& body, int whom) {
        datagram::part part;
        part.kind = datagram::part_kind::request;
        part.number = number;
        part.code = static_cast<std::uint32_t>(what);
        send(whom, part, [&](std::vector<std::byte>& into) { into.insert(into.end(), body.begin(), body.end()); });
    }

private:
    void receive(int, bytes whole) noexcept override {
        const std::scoped_lock guard{mutex_};
        bytes rest = whole.subspan(datagram::header_size);
        for (datagram::part one; datagram::next(rest, one);) {
            if (one.kind == datagram::part_kind::answer) {
                answers_.emplace_back(one.number, answer{static_cast<answer_status>(one.code), {one.body.begin(), one.body.end()}});
            }
        }
    }

    int id_;
    std::shared_ptr<transport> transport_;
    std::mutex mutex_;
    std::vector<std::pair<std::uint64_t, answer>> answers_;
};

[[nodiscard]] failure failure_of(const stranger::answer& told) {
    byte_reader from{told.body};
    return answer_codec::take(from);
}

[[nodiscard]] std::vector<std::byte> produce(const partition_id& to, const std::vector<std::byte>& frame) {
    std::vector<std::byte> body;
    byte_writer writer{body};
    writer.put(to.topic);
    writer.put(to.number);
    writer.put(broker_room::replicated_acks::all);
    writer.put(std::uint8_t{0});  // it follows nothing
    writer.put_bytes(frame);
    return body;
}

[[nodiscard]] partition_id id_of(const numbers_topic& topic) { return {detail::access::engine(topic).state()->meta.id, 0}; }

[[nodiscard]] std::string value(std::uint64_t number) {
    std::string raw(sizeof number, '\0');
    std::memcpy(raw.data(), &number, sizeof number);
    return raw;
}

}  // namespace

TEST_CASE("a leader takes a batch once, and none that does not verify", "[client][cluster][stranger]") {
    cluster_world here;
    const partition_id to = id_of(here.numbers());
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    here.stop(3);
    stranger other{here.network, 3};
    const std::vector<std::byte> good = wire_lone(std::nullopt, value(0), 17, format::producer_stamp{4711, 0, 0});
    std::uint64_t number = std::uint64_t{1} << 62;
    for (std::size_t at = 0; at < good.size(); at += 3) {
        std::vector<std::byte> damaged = good;
        damaged[at] ^= std::byte{0x10};
        const failure why = failure_of(other.ask(request_kind::produce, ++number, produce(to, damaged), {1, 2}));
        CAPTURE(at);
        CHECK(why.code == errc::corrupt_record);
        CHECK(why.text.find("a batch is refused") != std::string::npos);
    }
    std::vector<std::byte> cut(good.begin(), good.end() - 8);
    CHECK(failure_of(other.ask(request_kind::produce, ++number, produce(to, cut), {1, 2})).code == errc::corrupt_record);
    CHECK(failure_of(other.ask(request_kind::produce, ++number, produce(to, {}), {1, 2})).code == errc::corrupt_record);
    const std::vector<std::byte> unnumbered = wire_lone(std::nullopt, value(0), 17);
    CHECK(failure_of(other.ask(request_kind::produce, ++number, produce(to, unnumbered), {1, 2})).code == errc::corrupt_record);
    const std::vector<std::byte> control = format::make_control(std::vector<std::byte>(8), 17);
    CHECK(failure_of(other.ask(request_kind::produce, ++number, produce(to, control), {1, 2})).code == errc::corrupt_record);

    std::vector<offset> where;
    for (int again = 0; again < 3; ++again) {
        const auto told = other.ask(request_kind::produce, ++number, produce(to, good), {1, 2});
        byte_reader from{told.body};
        CHECK_FALSE(answer_codec::take(from));
        where.push_back(from.take<offset>());
    }
    CHECK(where[0] >= 0);
    CHECK(where == std::vector<offset>(3, where[0]));
    const std::vector<std::byte> ahead = wire_lone(std::nullopt, value(9), 17, format::producer_stamp{4711, 0, 5});
    CHECK(failure_of(other.ask(request_kind::produce, ++number, produce(to, ahead), {1, 2})).code == errc::out_of_order_sequence_number);
    send_numbers(here.topic(1), 1, 3);
    CHECK(cluster_world::read_numbers(here.topic(2), 3) == numbers_to(3));
}

TEST_CASE("a coordinator carries no commit out that comes behind a later one of its member", "[client][cluster][stranger]") {
    cluster_world here;
    const auto topic = here.numbers();
    send_numbers(topic, 0, 20);
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    here.stop(3);
    stranger other{here.network, 3};
    std::uint32_t epoch = 0;
    REQUIRE(cluster_world::eventually([&] {
        for (const int id : {1, 2}) {
            const auto core = brook::detail::access::core(here[id]);
            for (const auto& one : core->replicated_topics()) {
                if (one->name == broker_room::offsets_topic && core->cluster()->coordinates()) {
                    epoch = core->cluster()->state_of({one->meta.id, 0})->leader_epoch;
                }
            }
        }
        return epoch != 0;
    }));
    const auto commit = [&](offset next) {
        std::vector<std::byte> body;
        byte_writer to{body};
        to.put(group_call::commit);
        to.put_text("loners");
        to.put(std::uint64_t{0});
        to.put(std::uint32_t{1});
        to.put(id_of(topic).topic);
        to.put(std::int32_t{0});
        to.put(next);
        to.put(std::int32_t{-1});
        to.put_text("");
        to.put(epoch);
        return body;
    };
    const std::uint64_t number = std::uint64_t{1} << 62;
    CHECK_FALSE(failure_of(other.ask(request_kind::group, number + 10, commit(15), {1, 2})));
    for (const int id : {1, 2}) {
        other.tell(request_kind::group, number + 9, commit(3), id);   // sent before, and held up
        other.tell(request_kind::group, number + 10, commit(15), id);  // sent twice
    }
    CHECK_FALSE(failure_of(other.ask(request_kind::group, number + 11, commit(16), {1, 2})));
    for (const int id : {1, 2}) {
        other.tell(request_kind::group, number + 10, commit(15), id);
        other.tell(request_kind::group, number + 9, commit(3), id);
    }
    std::vector<std::byte> names;
    byte_writer to{names};
    to.put(group_call::names);
    to.put_text("");
    to.put(std::uint64_t{0});
    CHECK_FALSE(failure_of(other.ask(request_kind::group, number + 12, names, {1, 2})));  // it has seen the others by now
    brook::consumer asking{here.topic(1), {.group_id = "loners"}};
    CHECK(asking.committed(here.topic(1).partition(0)) == 16);
}

TEST_CASE("a controller makes a topic once, also where it has been deleted again, and believes a broker about itself alone", "[client][cluster][stranger]") {
    cluster_world here;
    const auto topic = here.numbers();
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    here.stop(3);
    stranger other{here.network, 3};
    std::uint64_t number = std::uint64_t{1} << 62;
    const auto create = [&](const format::topic_id& as) {
        std::vector<std::byte> body;
        byte_writer to{body};
        to.put_text("late");
        to.put(std::uint32_t{1});
        to.put(std::int32_t{1});
        to.put_text(broker_room::topic_meta::make("late", {}, as, {"brook.internal", 0}, {"brook.internal", 0}).encode());
        return body;
    };
    const format::topic_id as{std::byte{17}};
    const std::uint64_t asked = ++number;
    CHECK_FALSE(failure_of(other.ask(request_kind::create_topic, asked, create(as), {1, 2})));
    CHECK_FALSE(failure_of(other.ask(request_kind::create_topic, ++number, create(as), {1, 2})));  // it is there
    REQUIRE(cluster_world::eventually([&] { return here.has(1, "late") && here.has(2, "late"); }));
    here[1].delete_topic("late");
    CHECK(failure_of(other.ask(request_kind::create_topic, ++number, create(as), {1, 2})).code == errc::unknown_topic_or_partition);
    for (const int id : {1, 2}) {
        other.tell(request_kind::create_topic, asked, create(as), id);                       // a copy that was held up
        other.tell(request_kind::create_topic, ++number, create(id_of(topic).topic), id);    // another one's id
        other.tell(request_kind::create_topic, ++number, create({}), id);                    // none
        std::vector<std::byte> register_other;
        byte_writer to{register_other};
        to.put(std::int32_t{1});
        to.put(as);
        other.tell(request_kind::register_broker, ++number, register_other, id);
    }
    std::vector<std::byte> register_own;
    byte_writer to{register_own};
    to.put(std::int32_t{3});
    to.put(as);
    CHECK_FALSE(failure_of(other.ask(request_kind::register_broker, ++number, register_own, {1, 2})));  // it has seen the others by now
    CHECK_FALSE(here.has(1, "late"));
    const auto made = here[1].create_topic<no_key, std::uint64_t>("probe", {.replication_factor = 2});
    const auto core = brook::detail::access::core(here[1]);
    for (const auto& one : core->replicated_topics()) {
        for (const auto& [node, directory] : one->meta.directories) {
            CHECK((one->name != "probe" || node != 1 || directory == core->directory_id()));
        }
    }
    CHECK(here[1].topics() == std::vector<std::string>{"numbers", "probe"});
}

TEST_CASE("whatever a peer says, brokers neither fall nor forget", "[client][cluster][stranger]") {
    cluster_world here;
    const auto topic = here.numbers();
    send_numbers(topic, 0, 20);
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    here.stop(3);
    stranger other{here.network, 3};
    const std::uint64_t seed = 20'261'127;
    CAPTURE(seed);
    std::mt19937_64 chance{seed};
    const auto noise = [&](std::vector<std::byte>& into) {
        for (std::size_t left = chance() % 120; left > 0; --left) {
            into.push_back(static_cast<std::byte>(chance() % 2 == 0 ? chance() % 4 : chance() % 256));
        }
    };
    for (int round = 0; round < 3'000; ++round) {
        const int to = 1 + round % 2;
        datagram::part part;
        part.number = chance() % 2 == 0 ? chance() % 1'000 : chance();
        switch (chance() % 4) {
            case 0: {  // nothing of it is legal
                part.kind = datagram::part_kind::replica;
                part.partition = chance() % 2 == 0 ? id_of(topic) : partition_id{broker_room::metadata_topic_id, static_cast<std::int32_t>(chance() % 2)};
                other.send(to, part, [&](std::vector<std::byte>& into) {
                    const std::size_t at = into.size();
                    noise(into);
                    if (into.size() > at) {
                        into[at] = static_cast<std::byte>(chance() % 2 == 0 ? 0 : 7);  // no kind of message: one that is well formed is an enemy's, and is believed
                    }
                });
                break;
            }
            case 1:
                part.kind = datagram::part_kind::request;
                part.code = static_cast<std::uint32_t>(chance() % 8);
                other.send(to, part, noise);
                break;
            case 2:
                part.kind = datagram::part_kind::answer;
                part.code = static_cast<std::uint32_t>(chance() % 4);
                other.send(to, part, noise);
                break;
            default:  // a call of a group that ends somewhere
                part.kind = datagram::part_kind::request;
                part.code = static_cast<std::uint32_t>(request_kind::group);
                other.send(to, part, [&](std::vector<std::byte>& into) {
                    byte_writer body{into};
                    body.put(static_cast<std::uint32_t>(chance() % 20));
                    body.put_text("strangers");
                    body.put(std::uint64_t{0});
                    noise(into);
                });
        }
    }
    send_numbers(here.topic(1), 20, 30);
    here.brokers[2].reset();
    for (const int id : {1, 2}) {
        CHECK(cluster_world::read_numbers(here.topic(id), 30) == numbers_to(30));
        CHECK(here[id].topics() == std::vector<std::string>{"numbers"});
    }
}

}  // namespace client_cluster_stranger_test
