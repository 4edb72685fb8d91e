// How many instructions does a record take? Unlike times, counts repeat: the same on a busy machine, in a virtual one,
// tomorrow. `sh benchmarks/instructions.sh` runs each piece of work below under callgrind, which counts only what
// happens inside `counted`. Run as it is, the program checks that each piece of work does what it says.
#include <brook/brook.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/bare.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

/// Callgrind begins to count when this is entered (--toggle-collect=counted).
extern "C" [[gnu::noinline]] void counted(const std::function<void()>& work);
void counted(const std::function<void()>& work) { work(); }

namespace {

constexpr std::uint64_t segment_bytes = std::uint64_t{8} << 20;
constexpr std::uint32_t batch_count = 100;
const std::string text_key = "customer-4711";

/// A populated file for the bare loop.
class bare_room {
public:
    explicit bare_room(const run& bench)
        : directory_{bench.directory()},
          file_{directory_ / "bare.log", segment_bytes, std::size_t{1} << 20},
          memory_{file_, bare_mapping::pages::populated} {}

    [[nodiscard]] std::byte* data() const noexcept { return memory_.data(); }

private:
    scratch_directory directory_;
    bare_file file_;
    bare_mapping memory_;
};

/// The stamp's clock measures itself at first; under callgrind, too, that must be over.
void warm_clock(const run& bench) {
    for (const std::uint64_t end = nanoseconds_now() + (bench.is_smoke() ? 1u : 150u) * 1'000'000u; nanoseconds_now() < end;) {
        static_cast<void>(stamp());
    }
}

template <std::size_t Bytes>
void bare_lone(run& bench, std::uint64_t count, std::string_view key, bool is_size_known) {
    const auto values = payloads<Bytes>();
    const bare_room room{bench};
    bare_log log{room.data()};
    const auto* const first = reinterpret_cast<const std::byte*>(values.data());
    const auto* const key_bytes = reinterpret_cast<const std::byte*>(key.data());
    const std::uint32_t value_size = hidden(Bytes);
    const std::uint32_t key_size = hidden(static_cast<std::uint32_t>(key.size()));
    warm_clock(bench);
    counted([&] {
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::int64_t time = stamp();
            if (is_size_known) {
                log.append(nullptr, 0, first + (i & 63) * Bytes, Bytes, time);
            } else {
                log.append(key_bytes, key_size, first + (i & 63) * Bytes, value_size, time);
            }
        }
    });
    const std::uint64_t found = bare_scan<true>(room.data(), count, [](std::int64_t, const std::byte*, const std::byte*, std::uint32_t) {});
    bench.expect_equal(found, count, "records in the bare log");
}

template <class Key, std::size_t Bytes, class Send>
void brook_lone(run& bench, std::uint64_t count, const brook::producer_options& options, const Send& send) {
    const auto values = payloads<Bytes>();
    prepared_topic<Key, payload<Bytes>> prepared{bench.directory(), segment_bytes};
    brook::producer producer{prepared.topic(), options};
    warm_clock(bench);
    counted([&] {
        for (std::uint64_t i = 0; i < count; ++i) {
            send(producer, values[i & 63]);
        }
    });
    producer.flush();
    std::uint64_t read = 0;
    bench.add_hash(prepared.read_back(read, [](const auto& record) { return looked_at(record.value()); }));
    bench.expect_equal(read, count, "records read back");
    bench.expect(prepared.has_not_rolled(), "it all fits in the prepared segment");
}

template <std::size_t Bytes>
void brook_lone(run& bench, std::uint64_t count) {
    brook_lone<brook::no_key, Bytes>(bench, count, {}, [](auto& producer, const auto& value) { producer.send(value); });
}

void bare_batches(run& bench, std::uint64_t count) {
    const auto values = payloads<100>(batch_count);
    const bare_room room{bench};
    bare_log log{room.data()};
    const std::uint32_t value_size = hidden(100);
    warm_clock(bench);
    counted([&] {
        for (std::uint64_t i = 0; i < count; i += batch_count) {
            const std::int64_t time = stamp();
            log.append_batch(reinterpret_cast<const std::byte*>(values.data()), value_size, batch_count, time);
        }
    });
    bench.expect_equal(log.records(), count, "records in the bare log");
}

void brook_batches(run& bench, std::uint64_t count, const brook::producer_options& options = {}) {
    const auto values = payloads<100>(batch_count);
    prepared_topic<brook::no_key, payload<100>> prepared{bench.directory(), segment_bytes};
    brook::producer producer{prepared.topic(), options};
    warm_clock(bench);
    counted([&] {
        for (std::uint64_t i = 0; i < count; i += batch_count) {
            producer.send_batch(0, std::span{values});
        }
    });
    std::uint64_t read = 0;
    bench.add_hash(prepared.read_back(read, [](const auto& record) { return looked_at(record.value()); }));
    bench.expect_equal(read, count, "records read back");
}

template <bool Verifies>
void bare_read(run& bench, std::uint64_t count) {
    const auto values = payloads<100>();
    const bare_room room{bench};
    bare_log log{room.data()};
    for (std::uint64_t i = 0; i < count; ++i) {
        log.append(nullptr, 0, reinterpret_cast<const std::byte*>(&values[i & 63]), hidden(100), 1);
    }
    std::uint64_t sum = 0;
    std::uint64_t found = 0;
    counted([&] {
        found = bare_scan<Verifies>(room.data(), count, [&](std::int64_t at, const std::byte*, const std::byte* value, std::uint32_t) {
            sum += looked_at(at, brook::object_at<payload<100>>(value));
        });
    });
    bench.add_hash(sum);
    bench.expect_equal(found, count, "records read");
}

enum class frames { lone, batches };

void brook_read(run& bench, std::uint64_t count, frames how, bool verifies) {
    const auto values = payloads<100>(how == frames::lone ? 64 : batch_count);
    const scratch_directory directory{bench.directory()};
    {
        brook::broker broker{directory / "brook"};
        const auto topic = broker.create_topic<brook::no_key, payload<100>>("read", {.segment_bytes = std::int64_t{segment_bytes}});
        brook::producer producer{topic};
        for (std::uint64_t i = 0; i < count; i += how == frames::lone ? 1 : batch_count) {
            if (how == frames::lone) {
                producer.send(values[i & 63]);
            } else {
                producer.send_batch(0, std::span{values});
            }
        }
        topic.partition(0).sync();
    }
    brook::broker broker{directory / "brook", {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.topic<brook::no_key, payload<100>>("read");
    brook::consumer reader{topic, {.check_crcs = verifies}};
    std::uint64_t sum = 0;
    std::uint64_t found = 0;
    counted([&] {
        while (found < count) {
            const auto batch = reader.poll(std::chrono::seconds{0});
            if (batch.empty()) {
                break;
            }
            for (const auto& record : batch) {
                sum += looked_at(record.offset(), record.value());
                ++found;
            }
        }
    });
    bench.add_hash(sum);
    bench.expect_equal(found, count, "records read");
}

enum class polls { of_nothing, of_one };

/// What a spinning reader does: polls that find nothing, or one record each, which is sent right before.
void brook_hand_over(run& bench, std::uint64_t count, polls what) {
    const auto values = payloads<100>();
    prepared_topic<brook::no_key, payload<100>> prepared{bench.directory(), segment_bytes};
    brook::producer producer{prepared.topic()};
    brook::consumer reader{prepared.topic()};
    reader.seek(prepared.partition(), prepared.begin());
    warm_clock(bench);
    std::uint64_t found = reader.poll(std::chrono::seconds{0}).size();
    counted([&] {
        for (std::uint64_t i = 0; i < count; ++i) {
            if (what == polls::of_one) {
                producer.send(values[i & 63]);
            }
            const auto batch = reader.poll(std::chrono::seconds{0});
            for (const auto& record : batch) {
                found += record.value().words == values[i & 63].words ? 1u : 0u;
            }
        }
    });
    bench.expect_equal(found, what == polls::of_one ? count : 0, "records handed over");
}

/// Transactions of 100 records each, to one partition.
void brook_transactions(run& bench, std::uint64_t count) {
    const auto values = payloads<100>(batch_count);
    prepared_topic<brook::no_key, payload<100>> prepared{bench.directory(), segment_bytes};
    const auto go = [&](std::uint64_t many) {
        for (std::uint64_t i = 0; i < many; i += batch_count) {
            auto tx = prepared.broker().begin_transaction({.transactional_id = "bench"});
            for (const auto& value : values) {
                tx.send(prepared.topic(), value);
            }
            tx.commit();
        }
    };
    go(batch_count);  // the first one makes a topic of the broker's own
    warm_clock(bench);
    counted([&] { go(count); });
    std::uint64_t read = 0;
    bench.add_hash(prepared.read_back(read, [](const auto& record) { return looked_at(record.value()); }));
    bench.expect_equal(read, count + batch_count, "records read back");
}

/// Slots of 100 B in place, filled and committed.
void brook_claims(run& bench, std::uint64_t count) {
    const auto values = payloads<100>();
    prepared_topic<brook::no_key, brook::bytes> prepared{bench.directory(), segment_bytes};
    brook::producer producer{prepared.topic()};
    warm_clock(bench);
    counted([&] {
        for (std::uint64_t i = 0; i < count; ++i) {
            auto slot = producer.claim(sizeof values[0]);
            std::memcpy(slot.data(), &values[i & 63], sizeof values[0]);
            slot.commit();
        }
    });
    std::uint64_t read = 0;
    bench.add_hash(prepared.read_back(read, [](const auto& record) { return looked_at(brook::load<payload<100>>(record.value().data())); }));
    bench.expect_equal(read, count, "records read back");
}

/// A group's position in one partition, committed again and again.
void brook_commits(run& bench, std::uint64_t count) {
    const auto values = payloads<100>();
    prepared_topic<brook::no_key, payload<100>> prepared{bench.directory(), segment_bytes};
    brook::producer producer{prepared.topic()};
    for (std::uint64_t i = 0; i < count; ++i) {
        producer.send(values[i & 63]);
    }
    brook::consumer reader{prepared.topic(), {.group_id = "bench"}};
    static_cast<void>(reader.poll(std::chrono::seconds{0}));
    reader.commit();  // the first one makes a topic of the broker's own
    warm_clock(bench);
    counted([&] {
        for (std::uint64_t i = 0; i < count; ++i) {
            reader.commit(prepared.partition(), prepared.begin() + static_cast<brook::offset>(i) + 1);
        }
    });
    bench.expect_equal(reader.committed(prepared.partition()).value_or(0) - prepared.begin(), count, "the position that is committed");
}

struct work {
    const char* name;
    std::function<void(run&, std::uint64_t)> go;
};

std::vector<work> all_work() {
    using brook::no_key;
    brook::producer_options lingering;
    lingering.linger = std::chrono::seconds{100};
    lingering.batch_size = batch_count * 112;
    return {
        {"append 32 B, bare", [](run& bench, std::uint64_t count) { bare_lone<32>(bench, count, {}, false); }},
        {"append 32 B, brook", [](run& bench, std::uint64_t count) { brook_lone<32>(bench, count); }},
        {"append 100 B, bare", [](run& bench, std::uint64_t count) { bare_lone<100>(bench, count, {}, false); }},
        {"append 100 B, bare, size known when compiled", [](run& bench, std::uint64_t count) { bare_lone<100>(bench, count, {}, true); }},
        {"append 100 B, brook", [](run& bench, std::uint64_t count) { brook_lone<100>(bench, count); }},
        {"append 1024 B, bare", [](run& bench, std::uint64_t count) { bare_lone<1024>(bench, count, {}, false); }},
        {"append 1024 B, brook", [](run& bench, std::uint64_t count) { brook_lone<1024>(bench, count); }},
        {"append 100 B, a text of 13 B as key, bare", [](run& bench, std::uint64_t count) { bare_lone<100>(bench, count, text_key, false); }},
        {"append 100 B, a text of 13 B as key, brook",
         [](run& bench, std::uint64_t count) {
             brook_lone<std::string, 100>(bench, count, {}, [](auto& producer, const auto& value) { producer.send(text_key, value); });
         }},
        {"append 100 B, 8 B key, brook",
         [](run& bench, std::uint64_t count) {
             brook_lone<std::uint64_t, 100>(bench, count, {}, [](auto& producer, const auto& value) { producer.send(std::uint64_t{4711}, value); });
         }},
        {"append batches of 100 x 100 B, bare", [](run& bench, std::uint64_t count) { bare_batches(bench, count); }},
        {"append batches of 100 x 100 B, brook", [](run& bench, std::uint64_t count) { brook_batches(bench, count); }},
        {"append 100 B with linger, brook",
         [lingering](run& bench, std::uint64_t count) {
             brook_lone<no_key, 100>(bench, count, lingering, [](auto& producer, const auto& value) { producer.send(value); });
         }},
        {"read 100 B, verified, bare", [](run& bench, std::uint64_t count) { bare_read<true>(bench, count); }},
        {"read 100 B, verified, brook", [](run& bench, std::uint64_t count) { brook_read(bench, count, frames::lone, true); }},
        {"read 100 B, unverified, bare", [](run& bench, std::uint64_t count) { bare_read<false>(bench, count); }},
        {"read 100 B, unverified, brook", [](run& bench, std::uint64_t count) { brook_read(bench, count, frames::lone, false); }},
        {"read batches of 100 x 100 B, verified, brook", [](run& bench, std::uint64_t count) { brook_read(bench, count, frames::batches, true); }},
        {"poll(0), nothing there, brook", [](run& bench, std::uint64_t count) { brook_hand_over(bench, count, polls::of_nothing); }},
        {"send, then poll(0) of the one record, brook", [](run& bench, std::uint64_t count) { brook_hand_over(bench, count, polls::of_one); }},
        {"read batches of 100 x 100 B, unverified, brook", [](run& bench, std::uint64_t count) { brook_read(bench, count, frames::batches, false); }},
        {"append 100 B, idempotent, brook",
         [](run& bench, std::uint64_t count) {
             brook_lone<no_key, 100>(bench, count, {.enable_idempotence = true}, [](auto& producer, const auto& value) { producer.send(value); });
         }},
        {"append batches of 100 x 100 B, idempotent, brook",
         [](run& bench, std::uint64_t count) { brook_batches(bench, count, {.enable_idempotence = true}); }},
        {"transactions of 100 x 100 B, brook", [](run& bench, std::uint64_t count) { brook_transactions(bench, count); }},
        {"claim 100 B in place and commit, brook", [](run& bench, std::uint64_t count) { brook_claims(bench, count); }},
        {"commit of a group's position, brook", [](run& bench, std::uint64_t count) { brook_commits(bench, count); }},
    };
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/instructions: what a record takes, counted by callgrind", [](run& bench) {
        const std::uint64_t count = bench.parameter("records", 400, 5'000) / batch_count * batch_count;
        const auto all = all_work();
        const std::uint64_t only = bench.parameter("work", all.size(), all.size());  // that many: all of them
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (only == i || only == all.size()) {
                std::printf("work %zu: %s\n", i, all[i].name);
                all[i].go(bench, count);
            }
        }
        bench.expect(only <= all.size(), "work is one of the numbers above");
    });
}
