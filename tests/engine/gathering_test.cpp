#include <brook/engine/gathering.hpp>

#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <brook/broker/core.hpp>

#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace engine_gathering_test {

using namespace std::chrono_literals;

using brook::broker_room::core;
using brook::engine::appended;
using brook::engine::embedded_topic;
using brook::engine::gathered_batch;
using brook::engine::gathering;
using brook::test::faulty_platform;
using brook::test::temp_directory;

namespace {

struct world {
    temp_directory directory;
    faulty_platform platform;
    std::shared_ptr<core> broker;
    std::optional<embedded_topic> topic;

    explicit world(const brook::topic_options& options = {}) {
        brook::broker_options how;
        how.maintenance = brook::maintenance::manual;
        how.platform = &platform;
        broker = std::make_shared<core>(directory.path(), how);
        topic.emplace(broker, broker->create_topic("texts", options, {"key", 1}, {"value", 2}));
        platform.set_monotonic(1s);
    }

    /// A record without a key, and a value of this many bytes.
    [[nodiscard]] gathering::added add(gathering& to, std::uint32_t size, gathering::filled& full, std::optional<std::int64_t> time = 7) {
        const auto write = [size](std::byte* at) { std::memset(at, 'x', size); };
        const auto make = [] { return std::make_shared<gathered_batch>(std::weak_ptr<brook::engine::batch_owner>{}, 0, nullptr); };
        return to.add({brook::format::null_size, size, 0}, time, std::nullopt, [](std::byte*) {}, write, {}, 5s, make, full, nullptr);
    }
};

}  // namespace

TEST_CASE("records are gathered until the next one would pass batch_size", "[engine][gathering]") {
    world here;
    gathering gathered{*here.topic, 0, 100};  // three entries of 8 + 24 bytes
    gathering::filled full;
    const auto first = here.add(gathered, 24, full);
    const auto second = here.add(gathered, 24, full);
    const auto third = here.add(gathered, 24, full);
    CHECK((!full[0] && !full[1]));
    CHECK((first.batch == second.batch && second.batch == third.batch));
    CHECK((first.index == 0 && second.index == 1 && third.index == 2));
    const auto fourth = here.add(gathered, 24, full);
    CHECK(full[0] == first.batch);
    CHECK_FALSE(full[1]);
    CHECK(fourth.batch != first.batch);
    CHECK(first.batch->is_known());
    CHECK(first.batch->count() == 3);
    CHECK(first.batch->record(2).at == 2);
    CHECK_FALSE(fourth.batch->is_known());
    full = {};
    const auto large = here.add(gathered, 1'000, full);  // larger than a batch: one of its own, at once
    CHECK(full[0] == fourth.batch);
    CHECK(full[1] == large.batch);
    CHECK(here.topic->log(0).log_end_offset() == 5);
}

TEST_CASE("a batch that exactly fills is appended with the record that fills it", "[engine][gathering]") {
    world here;
    gathering gathered{*here.topic, 0, 64};
    gathering::filled full;
    static_cast<void>(here.add(gathered, 24, full));
    CHECK_FALSE(full[1]);
    const auto second = here.add(gathered, 24, full);
    CHECK_FALSE(full[0]);
    CHECK(full[1] == second.batch);
}

TEST_CASE("a batch is closed by who asks for it, and when it is due", "[engine][gathering]") {
    world here;
    gathering gathered{*here.topic, 0, 1'000};
    gathering::filled full;
    CHECK_FALSE(gathered.close(nullptr));
    std::optional<std::chrono::nanoseconds> deadline;
    CHECK_FALSE(gathered.close_due(1h, deadline));
    CHECK_FALSE(deadline);

    const auto first = here.add(gathered, 8, full);
    here.platform.advance_monotonic(1s);
    static_cast<void>(here.add(gathered, 8, full));  // does not put it off
    CHECK_FALSE(gathered.close_due(6s - 1ns, deadline));
    CHECK(deadline == 6s);
    CHECK(gathered.close_due(6s, deadline) == first.batch);

    const auto second = here.add(gathered, 8, full);
    CHECK_FALSE(gathered.close(first.batch.get()));  // that one is through
    CHECK(gathered.close(second.batch.get()) == second.batch);
    appended done{gathered_batch::mark_of(0), 0};
    CHECK_FALSE(second.batch->wait(done));
    CHECK(done.at == 2);
    CHECK(done.timestamp == 7);
}

TEST_CASE("a writer that throws leaves the batch as it was, and what it pushed out is handed back", "[engine][gathering]") {
    world here;
    gathering gathered{*here.topic, 0, 64};
    gathering::filled full;
    const auto first = here.add(gathered, 40, full);
    const auto throwing = [](std::byte*) { throw 1; };
    const auto make = [] { return std::make_shared<gathered_batch>(std::weak_ptr<brook::engine::batch_owner>{}, 0, nullptr); };
    const auto add = [&] {
        static_cast<void>(gathered.add({brook::format::null_size, 40, 0}, 7, std::nullopt, [](std::byte*) {}, throwing, {}, 5s, make, full, nullptr));
    };
    CHECK_THROWS_AS(add(), int);
    CHECK(full[0] == first.batch);
    full = {};
    CHECK_THROWS_AS(add(), int);
    CHECK_FALSE(full[0]);
    const auto after = here.add(gathered, 8, full);
    CHECK(after.index == 0);
    static_cast<void>(gathered.close(nullptr));
    CHECK(here.topic->log(0).log_end_offset() == 2);
}

TEST_CASE("a batch whose owner has gone without appending it says closed", "[engine][gathering]") {
    gathered_batch batch{{}, 0, nullptr};
    appended done{gathered_batch::mark_of(0), 0};
    CHECK(batch.wait(done).code == brook::errc::closed);
}

}  // namespace engine_gathering_test
