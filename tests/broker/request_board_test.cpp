#include <brook/broker/request_board.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/answers.hpp>

#include "support/catch.hpp"

namespace broker_request_board_test {

namespace {

using namespace brook;
using namespace brook::broker_room;
using namespace std::chrono_literals;

/// Takes 64 KiB at once, and nothing comes of it.
class narrow_network final : public transport {
public:
    void start(receiver&) override {}
    void stop() noexcept override {}
    void send(int, bytes) noexcept override {}
    [[nodiscard]] std::size_t largest_datagram() const noexcept override { return 64 * 1024; }
};

/// Broker 1, which knows one partition, led by whom the test says.
struct board final : private request_board::route {
    narrow_network network;
    departures out{network};
    request_board requests{1, 1s, out, *this};
    answers answered{1, out, requests};
    std::int32_t leader = 2;
    const partition_id to{{std::byte{1}}, 0};
    std::vector<std::pair<partition_id, std::int32_t>> doubted;

    struct ended {
        bool is_known = false;
        failure why;
    };
    [[nodiscard]] std::shared_ptr<ended> begin(std::vector<std::byte> body, std::chrono::nanoseconds deadline = 10s) {
        auto made = std::make_shared<ended>();
        request_board::request wanted;
        wanted.kind = request_kind::group;
        wanted.target = to;
        wanted.body = std::move(body);
        wanted.deadline = deadline;
        wanted.done = [made](const failure& why, bytes) { *made = {true, why}; };
        requests.begin(std::move(wanted), 0s);
        return made;
    }

    /// Tells who is to be told; what would have been sent.
    departures::load deliver() {
        departures::load leaving = out.take({});
        for (const departures::completion& one : leaving.told) {
            one.tell();
        }
        return leaving;
    }

    [[nodiscard]] std::int32_t leader_of(const partition_id&) const noexcept override { return leader; }
    [[nodiscard]] const std::string* deleted_topic_of(const partition_id&) const noexcept override { return nullptr; }
    [[nodiscard]] std::optional<offset> shown_here(const partition_id&) const noexcept override { return std::nullopt; }
    void doubt_leader(const partition_id& which, std::int32_t node, std::chrono::nanoseconds) override { doubted.emplace_back(which, node); }
    void note_late(const partition_id&, offset) noexcept override {}
    [[nodiscard]] std::string name_of(const partition_id&) const override { return "topic 'orders', partition 0"; }
    void append_own(const answer_to&, const partition_id&, replicated_acks, bool, std::vector<std::byte>&, std::chrono::nanoseconds) override {}
    void serve_own(const answer_to&, request_kind, bytes, std::chrono::nanoseconds) override {}
};

}  // namespace

TEST_CASE("request_board ends at once what begins when its broker has closed", "[broker][board]") {
    board at;
    const auto before = at.begin({});
    at.requests.end_all();
    const auto behind = at.begin({});
    at.deliver();
    CHECK(before->why.code == errc::closed);
    REQUIRE(behind->is_known);
    CHECK(behind->why.code == errc::closed);
    CHECK(behind->why.text.find("nothing was written") != std::string::npos);
}

TEST_CASE("request_board refuses what no datagram holds, and sends what one does", "[broker][board]") {
    board at;
    std::size_t largest = 64 * 1024;
    while (!at.out.fits(largest)) {
        --largest;
    }
    const auto fits = at.begin(std::vector<std::byte>(largest));
    const auto too_large = at.begin(std::vector<std::byte>(largest + 1));
    const departures::load sent = at.deliver();
    CHECK_FALSE(fits->is_known);
    REQUIRE(too_large->is_known);
    CHECK(too_large->why.code == errc::record_too_large);
    REQUIRE(sent.letters.size() == 1);
    CHECK(sent.letters[0].bytes.size() <= 64 * 1024);
}

TEST_CASE("answers says that an answer does not fit into a datagram, rather than nothing", "[broker][board]") {
    board at;
    at.answered.give({2, 7}, answer_status::done, std::vector<std::byte>(100'000), 0s);
    const departures::load sent = at.deliver();
    REQUIRE(sent.letters.size() == 1);
    bytes rest = bytes{sent.letters[0].bytes}.subspan(datagram::header_size);
    datagram::part part;
    REQUIRE(datagram::next(rest, part));
    CHECK(part.number == 7);
    CHECK(static_cast<answer_status>(part.code) == answer_status::done);
    replication::byte_reader from{part.body};
    CHECK(answer_codec::take(from).code == errc::record_too_large);
}

TEST_CASE("request_board says whom it was told not to lead, if that one was asked", "[broker][board]") {
    board at;
    static_cast<void>(at.begin({}));
    const departures::load sent = at.deliver();
    REQUIRE(sent.letters.size() == 1);
    bytes rest = bytes{sent.letters[0].bytes}.subspan(datagram::header_size);
    datagram::part asked;
    REQUIRE(datagram::next(rest, asked));
    at.requests.take_answer(asked.number, 3, answer_status::elsewhere, {}, 10ms);
    CHECK(at.doubted.empty());
    at.requests.take_answer(asked.number, 2, answer_status::elsewhere, {}, 10ms);
    CHECK(at.doubted == std::vector{std::pair{at.to, std::int32_t{2}}});
}

TEST_CASE("request_board asks whoever leads anew at once", "[broker][board]") {
    board at;
    const auto told = at.begin({});
    CHECK(at.deliver().letters.size() == 1);
    at.requests.try_due(100ms);
    CHECK(at.deliver().letters.empty());  // it waits for the answer
    at.leader = 3;
    at.requests.led_anew({{std::byte{2}}, 0}, 110ms);  // another partition
    at.requests.try_due(110ms);
    CHECK(at.deliver().letters.empty());
    at.requests.led_anew(at.to, 120ms);
    at.requests.try_due(120ms);
    const departures::load sent = at.deliver();
    REQUIRE(sent.letters.size() == 1);
    CHECK(sent.letters[0].to == 3);
    CHECK_FALSE(told->is_known);
}

TEST_CASE("request_board does not say of what was sent that it was not written", "[broker][board]") {
    board at;
    const auto told = at.begin({}, 10s);
    at.deliver();
    std::vector<std::byte> body;
    answer_codec::put(body, {errc::not_enough_replicas, "1 of its replicas are in sync"});
    at.requests.take_answer(1, 2, answer_status::not_now, body, 1s);
    at.requests.try_due(10s);
    at.deliver();
    REQUIRE(told->is_known);
    CHECK(told->why.code == errc::timed_out);
    CHECK(told->why.text.find("nothing was written") == std::string::npos);
    CHECK(told->why.text.find("1 of its replicas are in sync") != std::string::npos);
}

}  // namespace broker_request_board_test
