// The checker of histories, checked: what is put into a clean one is found, and called by its name.
#include "fault/history/checker.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace history_checker_test {

using namespace brook::test::history;

namespace {

constexpr std::uint32_t group = 1;
constexpr std::array<std::uint32_t, 3> producers{1, 2, 3};
constexpr std::array<std::uint32_t, 2> members{10, 11};
constexpr std::uint32_t tail = 20;
constexpr std::array<std::uint32_t, 3> auditors{30, 31, 32};  // read all of it in the end
constexpr std::uint16_t partitions = 2;

/// A run of a cluster that does everything right, and in which not every send is answered.
struct world {
    using lie = std::function<std::optional<std::uint64_t>(std::uint32_t reader, std::uint16_t partition, std::int64_t offset, std::uint64_t value)>;

    std::mt19937_64 random;
    std::int64_t now = 1'000;
    std::map<std::uint16_t, std::map<std::int64_t, std::uint64_t>> logs;
    std::map<std::uint16_t, std::int64_t> ends;
    std::map<std::uint32_t, std::uint64_t> numbers;
    std::vector<operation> all;

    explicit world(std::uint64_t seed = 1) : random{seed} {}

    std::int64_t tick() { return now += 1 + static_cast<std::int64_t>(random() % 9); }

    /// A send that has begun, and is not answered yet.
    operation begin(std::uint32_t actor, std::uint16_t partition, std::uint32_t count) {
        operation one;
        one.kind = operation_kind::send;
        one.partition = partition;
        one.actor = actor;
        one.invoke = tick();
        one.value = value_of(actor, numbers[actor]);
        one.count = count;
        numbers[actor] += count;
        return one;
    }
    void append(operation& one) {
        one.offset = ends[one.partition];
        for (std::uint32_t i = 0; i < one.count; ++i) {
            logs[one.partition][ends[one.partition]++] = one.value + i;
        }
    }
    void end(operation one, outcome with) {
        one.outcome = with;
        one.complete = with == outcome::unknown ? 0 : tick();
        one.offset = with == outcome::ok ? one.offset : -1;
        all.push_back(one);
    }
    /// Returns   where it is.
    std::int64_t send(std::uint32_t actor, std::uint16_t partition, std::uint32_t count, outcome with = outcome::ok, bool is_there = true) {
        operation one = begin(actor, partition, count);
        if (is_there) {
            append(one);
        }
        end(one, with);
        return one.offset;
    }

    void send_some(std::size_t sends) {
        for (std::size_t i = 0; i < sends; ++i) {
            const auto actor = producers[random() % producers.size()];
            const auto partition = static_cast<std::uint16_t>(random() % partitions);
            const auto count = static_cast<std::uint32_t>(1 + random() % 5);
            switch (random() % 12) {
                case 0: send(actor, partition, count, outcome::fail, false); break;
                case 1: send(actor, partition, count, outcome::unknown, false); break;
                case 2: send(actor, partition, count, outcome::unknown, true); break;
                case 3: ends[partition] += 1; [[fallthrough]];  // a leader's own record
                default: send(actor, partition, count); break;
            }
        }
    }

    void note(operation_kind kind, std::uint32_t actor, std::uint16_t partition, std::int64_t offset, std::uint32_t of_group = 0) {
        operation one;
        one.kind = kind;
        one.outcome = outcome::ok;
        one.partition = partition;
        one.actor = actor;
        one.invoke = tick();
        one.complete = tick();
        one.offset = offset;
        one.group = of_group;
        all.push_back(one);
    }

    /// Reads [from, to) as runs.
    void read(std::uint32_t actor, std::uint16_t partition, std::int64_t from, std::int64_t to, const lie& seen = {}, std::uint32_t of_group = 0) {
        operation run;
        run.kind = operation_kind::read;
        run.outcome = outcome::ok;
        run.actor = actor;
        run.partition = partition;
        run.group = of_group;
        run.invoke = tick();
        run.complete = tick();
        run.limit = ends[partition];
        for (std::int64_t offset = from; offset < to; ++offset) {
            std::optional<std::uint64_t> value;
            if (const auto found = logs[partition].find(offset); found != logs[partition].end()) {
                value = found->second;
            }
            if (seen) {
                value = seen(actor, partition, offset, value.value_or(no_value));
            }
            if (run.count > 0 && (!value || *value != run.value + run.count)) {
                all.push_back(run);
                run.count = 0;
            }
            if (value && run.count++ == 0) {
                run.offset = offset;
                run.value = *value;
            }
        }
        if (run.count > 0) {
            all.push_back(run);
        }
    }

    /// Members read what there is, commit, and change places; one more reads along.
    void read_by_groups(const lie& seen = {}) {
        std::map<std::uint16_t, std::int64_t> next;
        for (std::size_t turn = 0; turn < 2; ++turn) {
            for (std::uint16_t partition = 0; partition < partitions; ++partition) {
                const std::uint32_t member = members[(partition + turn) % members.size()];
                const std::int64_t end = turn == 0 ? ends[partition] / 2 : ends[partition];
                note(operation_kind::assign, member, partition, next[partition], group);
                for (std::int64_t at = next[partition]; at < end;) {
                    const std::int64_t to = std::min(end, at + 1 + static_cast<std::int64_t>(random() % 10));
                    read(member, partition, at, to, seen, group);
                    note(operation_kind::commit, member, partition, to, group);
                    at = to;
                }
                note(operation_kind::committed, member, partition, end, group);
                note(operation_kind::revoke, member, partition, -1, group);
                next[partition] = end;
            }
        }
        for (std::uint16_t partition = 0; partition < partitions; ++partition) {
            note(operation_kind::assign, tail, partition, ends[partition] / 3);
            read(tail, partition, ends[partition] / 3, ends[partition], seen);
        }
    }

    void audit(const lie& seen = {}) {
        for (const std::uint32_t auditor : auditors) {
            for (std::uint16_t partition = 0; partition < partitions; ++partition) {
                note(operation_kind::assign, auditor, partition, 0);
                read(auditor, partition, 0, ends[partition], seen);
                note(operation_kind::finish, auditor, partition, ends[partition]);
            }
        }
    }

    /// An offset in the middle whose record was acknowledged, or was not.
    [[nodiscard]] std::int64_t acknowledged(std::uint16_t partition) const {
        std::int64_t found = -1;
        for (const operation& one : all) {
            if (one.kind == operation_kind::send && one.partition == partition && one.outcome == outcome::ok && one.offset >= ends.at(partition) / 2 && found < 0) {
                found = one.offset;
            }
        }
        REQUIRE(found >= 0);
        return found;
    }

    [[nodiscard]] verdict check() const {
        checker judge;
        for (const operation& one : all) {
            judge.add(one);
        }
        return judge.check();
    }
};

/// What is wrong, and how often.
using wrongs = std::map<anomaly, std::uint64_t>;

[[nodiscard]] wrongs wrong_with(const world& seen) {
    const verdict found = seen.check();
    wrongs all;
    for (std::size_t i = 0; i < anomaly_count; ++i) {
        if (found.anomalies[i] != 0) {
            all[static_cast<anomaly>(i)] = found.anomalies[i];
        }
    }
    return all;
}

/// Nothing but that, once.
void check_only(const world& seen, anomaly kind, std::uint64_t times = 1) {
    std::string text;
    for (const std::string& one : seen.check().examples) {
        text += one + '\n';
    }
    INFO(text);
    CHECK(wrong_with(seen) == wrongs{{kind, times}});
}

}  // namespace

TEST_CASE("a history in which nothing is wrong has no anomaly, whatever was never answered", "[history][checker]") {
    const auto seed = GENERATE(range(1, 21));
    CAPTURE(seed);
    world here{static_cast<std::uint64_t>(seed)};
    here.send_some(200);
    here.read_by_groups();
    here.audit();
    const verdict found = here.check();
    for (const std::string& one : found.examples) {
        UNSCOPED_INFO(one);
    }
    CHECK(found.all() == 0);
    CHECK(found.full_readings == 6);
    CHECK(found.unknown_there > 0);
    CHECK(found.records == here.logs[0].size() + here.logs[1].size());
    CHECK(found.worst_lag > 0);
}

TEST_CASE("each anomaly that is put into a clean history is found, and nothing else", "[history][checker]") {
    world here{GENERATE(1u, 2u, 3u)};
    here.send_some(200);
    const auto put = [&here](auto&& more) {
        more();
        here.read_by_groups();
        here.audit();
    };
    using answer = std::optional<std::uint64_t>;
    const auto honest = [](std::uint64_t value) { return value == no_value ? std::nullopt : std::optional{value}; };

    SECTION("lost-write: acknowledged, and neither reader has it, although they have what is behind it") {
        const std::int64_t gone = here.acknowledged(0);
        const world::lie without = [=](std::uint32_t, std::uint16_t partition, std::int64_t offset, std::uint64_t value) {
            return partition == 0 && offset == gone ? answer{} : honest(value);
        };
        here.read_by_groups(without);
        here.audit(without);
        check_only(here, anomaly::lost_write);
    }
    SECTION("lost-write: read by many, and not there in the end") {
        const std::int64_t gone = here.acknowledged(0);
        here.read_by_groups();
        here.audit([=](std::uint32_t, std::uint16_t partition, std::int64_t offset, std::uint64_t value) { return partition == 0 && offset == gone ? answer{} : honest(value); });
        check_only(here, anomaly::lost_write);
    }
    SECTION("inconsistent-offsets: one replica has another record there") {
        const std::int64_t at = here.acknowledged(0);
        const std::uint64_t other = here.logs[1][here.acknowledged(1)];
        here.read_by_groups();
        here.audit([=](std::uint32_t reader, std::uint16_t partition, std::int64_t offset, std::uint64_t value) {
            return partition == 0 && offset == at && reader == auditors[1] ? answer{other} : honest(value);
        });
        check_only(here, anomaly::inconsistent_offsets);
    }
    SECTION("inconsistent-offsets: it was acknowledged for one, and all have another one there") {
        put([&] {
            const std::int64_t at = here.send(1, 0, 1);
            here.logs[0][at] = value_of(2, here.numbers[2]);
            operation late = here.begin(2, 0, 1);
            here.end(late, outcome::unknown);
        });
        CHECK(wrong_with(here)[anomaly::inconsistent_offsets] > 0);
    }
    SECTION("duplicate: a retry was appended once more") {
        put([&] {
            const std::uint64_t value = here.logs[0][here.acknowledged(0)];
            here.logs[0][here.ends[0]++] = value;
        });
        check_only(here, anomaly::duplicate);
    }
    SECTION("duplicate: in another partition") {
        put([&] {
            const std::uint64_t value = here.logs[0][here.acknowledged(0)];
            here.logs[1][here.ends[1]++] = value;
        });
        check_only(here, anomaly::duplicate);
    }
    SECTION("G1a: a send that has failed is there") {
        put([&] { here.send(3, 1, 1, outcome::fail, true); });
        check_only(here, anomaly::g1a);
    }
    SECTION("G1a: nobody has sent it") {
        put([&] { here.logs[0][here.ends[0]++] = value_of(7, 0); });
        check_only(here, anomaly::g1a, here.check().of(anomaly::g1a));
    }
    SECTION("poll-skip: one reader passes over what others have") {
        const std::int64_t at = here.acknowledged(1);
        here.read_by_groups([=](std::uint32_t reader, std::uint16_t partition, std::int64_t offset, std::uint64_t value) {
            return partition == 1 && offset == at && reader == tail ? answer{} : honest(value);
        });
        here.audit();
        check_only(here, anomaly::poll_skip);
    }
    SECTION("poll-skip: it begins behind where it was assigned") {
        here.read_by_groups();
        const std::int64_t first = here.logs[0].begin()->first;
        here.audit([=](std::uint32_t reader, std::uint16_t partition, std::int64_t offset, std::uint64_t value) {
            return partition == 0 && offset == first && reader == auditors[2] ? answer{} : honest(value);
        });
        check_only(here, anomaly::poll_skip);
    }
    SECTION("poll-skip: it ends before the end") {
        here.read_by_groups();
        const std::int64_t last = here.logs[0].rbegin()->first;
        here.audit([=](std::uint32_t reader, std::uint16_t partition, std::int64_t offset, std::uint64_t value) {
            return partition == 0 && offset == last && reader == auditors[0] ? answer{} : honest(value);
        });
        check_only(here, anomaly::poll_skip);
    }
    SECTION("poll-skip: a commit ran ahead of what the group was given") {
        put([&] {
            here.note(operation_kind::assign, 12, 0, 0, 2);
            here.read(12, 0, 0, 20, {}, 2);
            here.note(operation_kind::commit, 12, 0, 30, 2);
            here.note(operation_kind::revoke, 12, 0, -1, 2);
            here.note(operation_kind::assign, 13, 0, 30, 2);
            here.read(13, 0, 30, 40, {}, 2);
        });
        std::uint64_t passed = 0;
        for (std::int64_t offset = 20; offset < 30; ++offset) {
            passed += here.logs[0].count(offset);
        }
        check_only(here, anomaly::poll_skip, passed);
    }
    SECTION("nonmonotonic-poll: a reader is given something again") {
        put([&] {
            here.note(operation_kind::assign, tail + 1, 0, 0);
            here.read(tail + 1, 0, 0, 40);
            const std::int64_t at = here.logs[0].begin()->first;
            here.read(tail + 1, 0, at, at + 1);
            here.note(operation_kind::assign, tail + 1, 0, 0);  // it went back itself: that is no anomaly
            here.read(tail + 1, 0, 0, 40);
        });
        check_only(here, anomaly::nonmonotonic_poll);
    }
    SECTION("nonmonotonic-send: two that were on their way at once have changed places") {
        put([&] {
            operation first = here.begin(1, 0, 2);
            operation second = here.begin(1, 0, 1);
            here.append(second);
            here.append(first);
            here.end(first, outcome::ok);
            here.end(second, outcome::ok);
        });
        check_only(here, anomaly::nonmonotonic_send);
    }
    SECTION("nonmonotonic-send: within a batch that was never answered") {
        put([&] {
            operation one = here.begin(1, 0, 2);
            here.logs[0][here.ends[0]++] = one.value + 1;
            here.logs[0][here.ends[0]++] = one.value;
            here.end(one, outcome::unknown);
        });
        check_only(here, anomaly::nonmonotonic_send);
    }
    SECTION("what was never answered may come late") {
        put([&] {
            operation first = here.begin(1, 0, 2);
            here.end(first, outcome::unknown);
            here.send(1, 0, 1);
            here.append(first);
        });
        CHECK(wrong_with(here).empty());
    }
    SECTION("unseen: acknowledged, and nobody comes so far") {
        here.read_by_groups();
        here.audit();
        here.send(2, 1, 3);
        check_only(here, anomaly::unseen, 3);
    }
    SECTION("commit-regress: a member goes on before what was committed") {
        put([&] {
            here.note(operation_kind::assign, 12, 0, 0, 2);
            here.read(12, 0, 0, 40, {}, 2);
            here.note(operation_kind::commit, 12, 0, 40, 2);
            here.note(operation_kind::revoke, 12, 0, -1, 2);
            here.note(operation_kind::assign, 13, 0, 20, 2);
        });
        check_only(here, anomaly::commit_regress);
    }
    SECTION("commit-regress: an old commit is taken after a new one") {
        put([&] {
            here.note(operation_kind::assign, 12, 0, 0, 2);
            here.read(12, 0, 0, 40, {}, 2);
            here.note(operation_kind::commit, 12, 0, 40, 2);
            here.note(operation_kind::commit, 12, 0, 20, 2);
        });
        check_only(here, anomaly::commit_regress);
    }
    SECTION("commit-regress: it is forgotten") {
        put([&] {
            here.note(operation_kind::assign, 12, 0, 0, 2);
            here.read(12, 0, 0, 40, {}, 2);
            here.note(operation_kind::commit, 12, 0, 40, 2);
            here.note(operation_kind::committed, 12, 0, 0, 2);
        });
        check_only(here, anomaly::commit_regress);
    }
    SECTION("nothing: a reader that goes on stands behind a leader's own record") {
        put([&] {
            const std::int64_t own = here.ends[0]++;
            here.note(operation_kind::assign, 12, 0, 0, 2);
            here.read(12, 0, 0, own, {}, 2);
            here.note(operation_kind::commit, 12, 0, own, 2);
            here.note(operation_kind::assign, 13, 0, own + 1, 2);
            here.note(operation_kind::committed, 13, 0, own, 2);
        });
        CHECK(wrong_with(here).empty());
    }
    SECTION("commit-regress: it is told too low once, and known again") {
        put([&] {
            here.note(operation_kind::assign, 12, 0, 0, 2);
            here.read(12, 0, 0, 40, {}, 2);
            here.note(operation_kind::commit, 12, 0, 20, 2);
            here.note(operation_kind::commit, 12, 0, 40, 2);
            here.note(operation_kind::committed, 13, 0, 20, 2);
            here.note(operation_kind::committed, 13, 0, 40, 2);
        });
        check_only(here, anomaly::commit_regress);
    }
    SECTION("read-above-HW: more was given than is committed") {
        here.read_by_groups();
        here.audit();
        const auto last = std::find_if(here.all.rbegin(), here.all.rend(), [](const operation& one) { return one.kind == operation_kind::read && one.count > 0; });
        last->limit = last->offset + last->count - 1;
        check_only(here, anomaly::read_above_hw);
    }
    SECTION("read-above-HW: it was read, and is not there in the end") {
        operation lost = here.begin(1, 0, 1);
        here.end(lost, outcome::unknown);
        const std::int64_t at = here.ends[0]++;  // the next leader's own record came there
        here.send(2, 0, 1);
        here.read_by_groups([=](std::uint32_t reader, std::uint16_t partition, std::int64_t offset, std::uint64_t value) {
            return partition == 0 && offset == at && reader == tail ? answer{lost.value} : honest(value);
        });
        here.audit();
        check_only(here, anomaly::read_above_hw);
    }
    SECTION("realtime: sent after another was acknowledged, and stands before it") {
        put([&] {
            here.ends[0] += 1;
            here.send(1, 0, 1);
            operation late = here.begin(2, 0, 1);
            late.offset = here.ends[0] - 2;
            here.logs[0][late.offset] = late.value;
            here.end(late, outcome::ok);
        });
        check_only(here, anomaly::realtime, 1);
    }
    SECTION("realtime: also where it was never answered") {
        put([&] {
            here.ends[0] += 1;
            here.send(1, 0, 1);
            operation late = here.begin(2, 0, 1);
            here.logs[0][here.ends[0] - 2] = late.value;
            here.end(late, outcome::unknown);
        });
        check_only(here, anomaly::realtime, 1);
    }
    SECTION("realtime: read before it was sent") {
        here.ends[0] += 1;
        here.logs[0][here.ends[0] - 1] = value_of(9, 0);
        here.read_by_groups();
        here.audit();
        operation late = here.begin(9, 0, 1);
        late.offset = here.ends[0] - 1;
        here.end(late, outcome::ok);
        check_only(here, anomaly::realtime);
    }
}

TEST_CASE("an acknowledgement tells how long readers took at worst", "[history][checker]") {
    world here;
    here.send(1, 0, 1);
    const std::int64_t acknowledged = here.all.back().complete;
    here.now += 1'000'000;
    here.read_by_groups();
    here.audit();
    std::int64_t first = -1;
    for (const operation& one : here.all) {
        first = one.kind == operation_kind::read && first < 0 ? one.complete : first;
    }
    CHECK(here.check().worst_lag == first - acknowledged);
    CHECK(here.check().worst_lag > 1'000'000);
    CHECK(here.check().worst_reader_lag < 1'000);  // they came later themselves
    here.note(operation_kind::assign, tail + 1, 0, 1);
    here.send(1, 0, 1);
    here.now += 2'000'000;
    here.read(tail + 1, 0, 1, 2);
    CHECK(here.check().worst_reader_lag > 2'000'000);
    CHECK(here.check().worst_reader_lag < 2'001'000);
}

TEST_CASE("what is no history is refused", "[history][checker]") {
    checker judge;
    world here;
    here.send(1, 0, 5);
    here.send(1, 0, 5);
    judge.add(here.all[1]);
    CHECK_THROWS_AS(judge.add(here.all[0]), std::invalid_argument);  // numbers do not go back
    here.all[0].value = value_of(2, 100);
    CHECK_THROWS_AS(judge.add(here.all[0]), std::invalid_argument);  // nor are they another producer's
}

TEST_CASE("ten million records, four times read, are judged in seconds", "[.scale][history][checker]") {
    const auto begun = std::chrono::steady_clock::now();
    checker judge;
    std::int64_t now = 0;
    constexpr std::uint32_t each = 20;
    for (std::uint64_t run = 0; run < 500'000; ++run) {
        operation one;
        one.kind = operation_kind::send;
        one.outcome = outcome::ok;
        one.partition = static_cast<std::uint16_t>(run % 4);
        one.actor = 1 + static_cast<std::uint32_t>(run / 4 % 6);
        one.invoke = ++now;
        one.complete = ++now;
        one.value = value_of(one.actor, (run / 24 * 4 + run % 4) * each);
        one.count = each;
        one.offset = static_cast<std::int64_t>(run / 4 * each);
        judge.add(one);
        for (const std::uint32_t reader : {10u, 20u, 30u, 31u}) {
            operation read = one;
            read.kind = operation_kind::read;
            read.actor = reader;
            read.complete = ++now;
            if (run < 4) {
                read.kind = operation_kind::assign;
                judge.add(read);
                read.kind = operation_kind::read;
            }
            judge.add(read);
        }
    }
    const verdict found = judge.check();
    CHECK(found.all() == 0);
    CHECK(found.records == 10'000'000);
    WARN("judged in " << std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count() << " s");
}

}  // namespace history_checker_test
