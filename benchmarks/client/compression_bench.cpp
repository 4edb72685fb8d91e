// How close do compressed batches come to the bare library? Batches of 100 JSON records, written and read, beside the library's
// own calls on the same bytes: what a batch's body is.
#include <brook/brook.hpp>
#include <brook/lz4.hpp>
#include <brook/zstd.hpp>

#include <lz4.h>
#include <zstd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t batch_count = 100;
constexpr std::size_t batches_made = 64;  // different ones, sent in turn

using batch = std::vector<std::string>;

std::vector<batch> json_batches() {
    std::vector<batch> made(batches_made);
    std::uint32_t word = seed;
    const auto next = [&word] { return word = word * 1'664'525u + 1'013'904'223u; };
    for (auto& one : made) {
        for (std::size_t i = 0; i < batch_count; ++i) {
            one.push_back(R"({"user":)" + std::to_string(next() >> 12) + R"(,"path":"/v1/items/)" + std::to_string(next() >> 20) +
                          R"(","status":)" + (next() % 16 == 0 ? "404" : "200") + R"(,"latency_us":)" + std::to_string(next() >> 18) + R"(,"region":"eu-west"})");
        }
    }
    return made;
}

/// A batch's body, as it is compressed.
std::vector<char> body_of(const batch& values) {
    std::vector<std::byte> body;
    for (const auto& value : values) {
        const brook::format::record_sizes sizes{brook::format::null_size, static_cast<std::uint32_t>(value.size()), 0};
        const std::size_t before = body.size();
        body.resize(before + static_cast<std::size_t>(brook::format::entry_bytes(sizes)));
        brook::copy_bytes(brook::format::lay_out_entry(body.data() + before, sizes).value, value.data(), value.size());
    }
    const auto* const text = reinterpret_cast<const char*>(body.data());
    return {text, text + body.size()};
}

/// The library alone.
class bare_codec {
public:
    explicit bare_codec(brook::compression type) : type_{type}, writer_{ZSTD_createCCtx()}, reader_{ZSTD_createDCtx()} {}

    [[nodiscard]] std::size_t bound(std::size_t size) const {
        return type_ == brook::compression::lz4 ? static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(size))) : ZSTD_compressBound(size);
    }
    [[nodiscard]] std::size_t compress(std::span<const char> from, std::span<char> to) const {
        return type_ == brook::compression::lz4
                   ? static_cast<std::size_t>(LZ4_compress_default(from.data(), to.data(), static_cast<int>(from.size()), static_cast<int>(to.size())))
                   : ZSTD_compressCCtx(writer_.get(), to.data(), to.size(), from.data(), from.size(), ZSTD_CLEVEL_DEFAULT);
    }
    [[nodiscard]] std::size_t decompress(std::span<const char> from, std::span<char> to) const {
        return type_ == brook::compression::lz4
                   ? static_cast<std::size_t>(LZ4_decompress_safe(from.data(), to.data(), static_cast<int>(from.size()), static_cast<int>(to.size())))
                   : ZSTD_decompressDCtx(reader_.get(), to.data(), to.size(), from.data(), from.size());
    }

private:
    struct deleter {
        void operator()(ZSTD_CCtx* one) const noexcept { ZSTD_freeCCtx(one); }
        void operator()(ZSTD_DCtx* one) const noexcept { ZSTD_freeDCtx(one); }
    };
    brook::compression type_;
    std::unique_ptr<ZSTD_CCtx, deleter> writer_;
    std::unique_ptr<ZSTD_DCtx, deleter> reader_;
};

enum class work { write, read };

outcome bare(run& bench, const std::vector<batch>& batches, brook::compression type, std::uint64_t count, work which) {
    const bare_codec codec{type};
    std::vector<std::vector<char>> bodies;
    std::vector<std::vector<char>> packed;
    for (const auto& one : batches) {
        bodies.push_back(body_of(one));
        packed.emplace_back(codec.bound(bodies.back().size()));
        packed.back().resize(codec.compress(bodies.back(), packed.back()));
    }
    std::vector<char> room(codec.bound(bodies.front().size() * 2));
    const pinned core{0};
    std::uint64_t bytes = 0;
    const double begin = seconds_now();
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::size_t pick = i % batches_made;
        bytes += which == work::write ? codec.compress(bodies[pick], room) : codec.decompress(packed[pick], room);
    }
    outcome done;
    done.seconds = seconds_now() - begin;
    done.count = count * batch_count;
    bench.expect(bytes > count, "the library did it");
    return done;
}

outcome through_brook(run& bench, const std::vector<batch>& batches, brook::compression type, std::uint64_t count, work which) {
    warm_memory(count * batch_count * 160);
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.create_topic<brook::no_key, std::string>("json", {.segment_bytes = std::int64_t{1} << 30});
    brook::producer producer{topic, {.compression_type = type}};
    producer.send_batch(0, batches.front());  // the first takes memory for the codec
    const pinned core{0};
    outcome done;
    double begin = seconds_now();
    for (std::uint64_t i = 0; i < count; ++i) {
        producer.send_batch(0, batches[i % batches_made]);
    }
    done.seconds = seconds_now() - begin;
    done.count = count * batch_count;
    if (which == work::write) {
        return done;
    }
    brook::consumer reader{topic, {.max_poll_records = static_cast<int>(batch_count)}};
    std::uint64_t read = 0;
    std::uint64_t bytes = 0;
    begin = seconds_now();
    do {
        const auto records = reader.poll(std::chrono::seconds{0});
        read += records.size();
        if (!records.empty()) {
            bytes += records.front().value().size();
        }
    } while (!reader.caught_up());
    done.seconds = seconds_now() - begin;
    bench.expect_equal(read, (count + 1) * batch_count, "records read");
    bench.expect(bytes > 0, "records looked at");
    done.count = read;
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "client/compression: batches of 100 JSON records beside the bare library", [](run& bench) {
        const std::uint64_t count = bench.parameter("batches", 100, 20'000);
        const std::uint64_t rounds = bench.parameter("rounds", 1, 7);
        bench.print_baselines();
        const auto batches = json_batches();
        for (const auto type : {brook::compression::lz4, brook::compression::zstd}) {
            for (const work which : {work::write, work::read}) {
                contest all{bench, std::string{to_string(type)} + (which == work::write ? ", written" : ", read")};
                const auto bound = all.add("the library alone", [&] { return bare(bench, batches, type, count, which); });
                const auto ours = all.add("brook", [&] { return through_brook(bench, batches, type, count, which); });
                all.go(rounds);
                all.at_least(ours, bound, 0.85);
            }
        }
    });
}
