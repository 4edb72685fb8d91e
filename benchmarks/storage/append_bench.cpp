// How close do appends come to the bare loop: header, copy, XXH3, time stamp, into populated mapped memory of a file?
//
// Fair means here: both write into a file of the same size on the same disk, whose space is taken, whose pages hold
// zeros written 1 MiB at a time, and which is mapped and populated before the clock starts. For brook that is what its
// upkeep gives a busy topic; it is brought about before the measurement, and no upkeep runs beside it (support/topics.hpp).
// What brook does and the loop does not: it claims by compare-exchange, marks the claim, binds the checksum to position
// and segment, keeps the index, looks whether a reader sleeps, and gives a delivery.
// Beside both: the same frames by `pwrite`, one call a record or a batch, for those who would write a log that way.
#include <brook/brook.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "support/bare.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::uint32_t batch_count = 100;

struct sizes {
    std::uint64_t segment_bytes;
    std::uint64_t rounds;
};

enum class shape { lone, batches };

/// Records that fill all but the last stretch of a segment, the same number for everyone.
template <std::size_t Bytes>
std::uint64_t records_for(const sizes& size, shape how) {
    const std::uint64_t lone = prepared_topic<brook::no_key, payload<Bytes>>::room(size.segment_bytes, frame_bytes(0, Bytes));
    const std::uint64_t batch = 40 + batch_count * std::uint64_t{8 + padded(Bytes)};
    const std::uint64_t batches = prepared_topic<brook::no_key, payload<Bytes>>::room(size.segment_bytes, batch);
    return how == shape::lone ? lone / 2 * 2 : batches / 2 * 2 * batch_count;  // for two threads alike
}

template <std::size_t Bytes>
outcome bare(const run& bench, const sizes& size, shape how, unsigned threads) {
    const auto values = payloads<Bytes>(how == shape::lone ? 64 : batch_count);
    const std::uint64_t count = records_for<Bytes>(size, how);
    const scratch_directory directory{bench.directory()};
    warm_memory(size.segment_bytes);
    const bare_file file{directory / "bare.log", size.segment_bytes, std::size_t{1} << 20};
    const bare_mapping memory{file, bare_mapping::pages::populated};
    bare_shared_log shared{memory.data()};
    const std::uint32_t value_bytes = hidden(Bytes);  // as brook, it does not know the size when it is compiled
    outcome done;
    done.seconds = time_threads(threads, [&](unsigned) {
        const auto* const first = reinterpret_cast<const std::byte*>(values.data());
        if (how == shape::lone && threads == 1) {
            for (std::uint64_t i = 0; i < count; ++i) {
                const std::int64_t time = stamp();
                shared.log().append(nullptr, 0, first + (i & 63) * Bytes, value_bytes, time);
            }
        } else if (how == shape::lone) {
            for (std::uint64_t i = 0; i < count / threads; ++i) {
                const std::int64_t time = stamp();
                shared.append(first + (i & 63) * Bytes, value_bytes, time);
            }
        } else if (threads == 1) {
            for (std::uint64_t i = 0; i < count; i += batch_count) {
                const std::int64_t time = stamp();
                shared.log().append_batch(first, value_bytes, batch_count, time);
            }
        } else {
            for (std::uint64_t i = 0; i < count / threads; i += batch_count) {
                const std::int64_t time = stamp();
                shared.append_batch(first, value_bytes, batch_count, time);
            }
        }
    });
    done.count = count;
    done.has_hash = how == shape::lone;
    if (how == shape::lone) {
        static_cast<void>(bare_scan<true>(memory.data(), count, [&](std::int64_t, const std::byte*, const std::byte* value, std::uint32_t) {
            done.hash += looked_at(brook::load<payload<Bytes>>(value));
        }));
    }
    keep(memory.data());
    return done;
}

/// The same frames by one `pwrite` each, into a file that is prepared for that: an eighth of them, which takes long enough.
template <std::size_t Bytes>
outcome bare_pwrite(run& bench, const sizes& size, shape how) {
    const std::uint32_t batch = how == shape::lone ? 1 : batch_count;
    const auto values = payloads<Bytes>(how == shape::lone ? 64 : batch_count);
    const std::uint64_t count = (records_for<Bytes>(size, how) / 8 + batch - 1) / batch * batch;
    const scratch_directory directory{bench.directory()};
    warm_memory(size.segment_bytes);
    const std::size_t frame = how == shape::lone ? bare_writer::frame_bytes(Bytes) : bare_writer::frame_bytes(Bytes, batch);
    const bare_file file{directory / "bare.log", size.segment_bytes, bare_writer::best_chunk(frame)};
    std::atomic<std::uint64_t> end{0};
    bare_writer writer{file, end, frame};
    const std::uint32_t value_bytes = hidden(Bytes);
    outcome done;
    done.seconds = time_threads(1, [&](unsigned) {
        const auto* const first = reinterpret_cast<const std::byte*>(values.data());
        if (how == shape::lone) {
            for (std::uint64_t i = 0; i < count; ++i) {
                writer.append(first + (i & 63) * Bytes, value_bytes, stamp());
            }
        } else {
            for (std::uint64_t i = 0; i < count; i += batch) {
                writer.append_batch(first, value_bytes, batch, stamp());
            }
        }
    });
    done.count = count;
    const bare_mapping memory{file, bare_mapping::pages::as_they_are};
    std::uint64_t strangers = 0;
    std::uint64_t at = 0;
    const std::uint64_t frames = bare_scan<true>(memory.data(), count / batch + 1, [&](std::int64_t, const std::byte*, const std::byte* body, std::uint32_t) {
        for (std::uint32_t i = 0; i < batch; ++i, ++at) {
            const std::byte* const value = how == shape::lone ? body : body + i * std::size_t{8 + padded(Bytes)} + 8;
            strangers += std::memcmp(value, &values[at % values.size()], Bytes) == 0 ? 0u : 1u;
        }
    });
    bench.expect_equal(frames * batch, count, "pwrite: records read back");
    bench.expect_equal(strangers, 0, "pwrite: records that nobody wrote");
    return done;
}

enum class way { send, send_batch, linger };

/// What a batch of values adds to the result is the same for everyone who sends the same values.
template <std::size_t Bytes>
outcome through_brook(run& bench, const sizes& size, shape how, way by, unsigned threads) {
    const auto values = payloads<Bytes>(how == shape::lone ? 64 : batch_count);
    const std::uint64_t count = records_for<Bytes>(size, how);
    warm_memory(size.segment_bytes);
    prepared_topic<brook::no_key, payload<Bytes>> prepared{bench.directory(), size.segment_bytes};
    brook::producer_options options;
    if (by == way::linger) {
        options.linger = std::chrono::seconds{100};  // what fills a batch closes it, nothing else
        options.delivery_timeout = std::chrono::seconds{200};
        options.batch_size = batch_count * std::int64_t{8 + padded(Bytes)};
    }
    brook::producer producer{prepared.topic(), options};
    outcome done;
    done.seconds = time_threads(threads, [&](unsigned) {
        const std::uint64_t mine = count / threads;
        if (by == way::send_batch) {
            const std::span<const payload<Bytes>> batch{values};
            for (std::uint64_t i = 0; i < mine; i += batch_count) {
                producer.send_batch(0, batch);
            }
        } else if (how == shape::lone) {
            for (std::uint64_t i = 0; i < mine; ++i) {
                producer.send(values[i & 63]);
            }
        } else {
            for (std::uint64_t i = 0; i < mine; i += batch_count) {
                for (const auto& value : values) {
                    producer.send(value);
                }
            }
        }
    });
    producer.flush();
    bench.expect(prepared.has_not_rolled(), "it all fits in the prepared segment");
    std::uint64_t read = 0;
    done.hash = prepared.read_back(read, [](const auto& record) { return looked_at(record.value()); });
    done.count = count;
    done.has_hash = how == shape::lone;
    bench.expect_equal(read, count, "records read back");
    if (how == shape::batches) {
        std::uint64_t one = 0;
        for (const auto& value : values) {
            one += looked_at(value);
        }
        bench.expect(done.hash == one * (count / batch_count), "batches read back are the ones that were sent");
    }
    return done;
}

template <std::size_t Bytes>
void lone_records(run& bench, const sizes& size, double aim) {
    contest lone{bench, "lone records of " + std::to_string(Bytes) + " B, one thread"};
    const auto loop = lone.add("the bare loop", [&] { return bare<Bytes>(bench, size, shape::lone, 1); });
    const auto sent = lone.add("brook send", [&] { return through_brook<Bytes>(bench, size, shape::lone, way::send, 1); });
    const auto written = lone.add("the same frames, one pwrite each", [&] { return bare_pwrite<Bytes>(bench, size, shape::lone); });
    lone.go(size.rounds);
    lone.show(sent, written);
    aim > 0 ? lone.at_least(sent, loop, aim) : lone.show(sent, loop);
    for (const auto& [contender, series] : {std::pair{loop, "the bare loop"}, std::pair{sent, "brook send"}, std::pair{written, "bare pwrite"}}) {
        bench.point("Lone appends by record size", "bytes a record", "records/s", series, static_cast<double>(Bytes), lone.rate(contender));
    }
}

void two_threads(run& bench, const sizes& size) {
    contest lone{bench, "lone records of 100 B, two threads on one partition"};
    const auto loop = lone.add("a mutex around the bare loop, 2 threads", [&] { return bare<100>(bench, size, shape::lone, 2); });
    const auto sent = lone.add("brook send, 2 threads", [&] { return through_brook<100>(bench, size, shape::lone, way::send, 2); });
    lone.go(size.rounds);
    lone.at_least(sent, loop, 1.1);
}

void batches(run& bench, const sizes& size) {
    contest batch{bench, "batches of 100 x 100 B"};
    const auto loop = batch.add("the bare batch loop", [&] { return bare<100>(bench, size, shape::batches, 1); });
    const auto one = batch.add("brook send_batch", [&] { return through_brook<100>(bench, size, shape::batches, way::send_batch, 1); });
    const auto loop_2 = batch.add("a mutex around the bare batch loop, 2 threads", [&] { return bare<100>(bench, size, shape::batches, 2); });
    const auto two = batch.add("brook send_batch, 2 threads", [&] { return through_brook<100>(bench, size, shape::batches, way::send_batch, 2); });
    const auto linger = batch.add("brook send with linger", [&] { return through_brook<100>(bench, size, shape::batches, way::linger, 1); });
    const auto written = batch.add("the same frames, one pwrite a batch", [&] { return bare_pwrite<100>(bench, size, shape::batches); });
    batch.go(size.rounds);
    batch.at_least(one, loop, 0.9);
    batch.at_least(two, one, 1.2);
    batch.show(two, loop_2);
    batch.show(linger, one);
    batch.show(one, written);
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/append: appends beside the bare loop", [](run& bench) {
        sizes size{};
        size.segment_bytes = bench.parameter("segment_mib", 2, 256) << 20;
        size.rounds = bench.parameter("rounds", 2, 9);
        bench.print_baselines();
        lone_records<100>(bench, size, 0.8);
        lone_records<32>(bench, size, 0);
        lone_records<1024>(bench, size, 0);
        lone_records<65536>(bench, size, 0);
        two_threads(bench, size);
        batches(bench, size);
    });
}
