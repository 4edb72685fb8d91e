/// \file peers/peer.hpp
/// What brook is set beside: one small interface for a store of records, and the work that all of them are given.
///
/// A program asks for the same work from each: the same values, the same number of writers, the same durability. A peer
/// does it by its own best documented use, and says what that is in `how`.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/bench.hpp"
#include "support/machine.hpp"

namespace brook::bench {

/// What is true of a batch, of one record or more, once its append has returned. A peer without such a level is left out.
enum class durability {
    visible,  ///< readers can have it; nothing is synced
    synced,   ///< it survives the loss of power; each batch has waited for a sync, its own or one shared with others who waited
};

/// One piece of work for a store.
struct workload {
    durability level = durability::visible;
    std::uint32_t value_bytes = 100;
    std::uint32_t batch = 1;          ///< records appended at once
    unsigned writers = 1;             ///< threads
    std::uint64_t records = 0;        ///< at most, in all
    double seconds = 0;               ///< at most
    bool is_timed = false;            ///< each append by itself
    const std::byte* values = nullptr;  ///< `most_batch` of them, one after the other

    static constexpr std::uint32_t most_batch = 100;
    static constexpr std::uint32_t turns = 64;  ///< lone records take the first so many values in turn; a batch holds the first `batch`

    [[nodiscard]] std::uint64_t records_each() const noexcept { return records / writers / batch * batch; }
    [[nodiscard]] std::uint64_t payload_bytes() const noexcept { return records * value_bytes; }

    /// Value `i` of the append that begins with the writer's record number `first`.
    [[nodiscard]] const std::byte* value(std::uint64_t first, std::uint32_t i) const noexcept {
        return values + (batch == 1 ? first % turns : i) * value_bytes;
    }

    /// What reading the first `count` records of one writer must sum up to.
    [[nodiscard]] std::uint64_t sum_of(std::uint64_t count) const noexcept {
        const std::uint32_t period = batch == 1 ? turns : batch;
        std::uint64_t sum = 0;
        for (std::uint32_t i = 0; i < period; ++i) {
            sum += std::to_integer<std::uint64_t>(values[std::size_t{i} * value_bytes]) * (count / period + (i < count % period ? 1 : 0));
        }
        return sum;
    }
};

/// The values of a workload, aligned for whoever stores them as structs. All programs, and the Java harness, make the same.
class value_store {
public:
    explicit value_store(std::uint32_t value_bytes) : words_(std::size_t{value_bytes} * workload::most_batch / 8 + 8) {
        std::uint32_t word = seed;
        auto* const data = reinterpret_cast<std::byte*>(words_.data());
        for (std::size_t at = 0; at < std::size_t{value_bytes} * workload::most_batch; at += sizeof word) {
            word = word * 1'664'525u + 1'013'904'223u;
            const std::uint32_t mixed = word ^ word >> 16;  // the low bits of such a generator repeat soon
            std::memcpy(data + at, &mixed, sizeof mixed);
        }
    }
    [[nodiscard]] const std::byte* data() const noexcept { return reinterpret_cast<const std::byte*>(words_.data()); }

private:
    std::vector<std::uint64_t> words_;
};

/// What one writer did, or all of them together.
struct appended {
    std::vector<std::uint64_t> records;  ///< by writer
    std::vector<std::uint64_t> times;    ///< ns of each append, where they were timed
    double seconds = 0;

    [[nodiscard]] std::uint64_t total() const noexcept {
        std::uint64_t sum = 0;
        for (const std::uint64_t one : records) {
            sum += one;
        }
        return sum;
    }
};

/// What reading everything found.
struct found {
    std::uint64_t records = 0;
    std::uint64_t sum = 0;  ///< of the first bytes of all values
    double seconds = 0;
};

/// One writer's results. Each on a line of its own, so that writers do not slow each other down.
struct alignas(128) share {
    std::uint64_t records = 0;
    std::vector<std::uint64_t> times;
};

/// Calls `append(first, count)` until the writer's part is done or its time is over. All in-process peers go through it.
template <class Append>
void write_share(const workload& what, share& mine, const Append& append) {
    const std::uint64_t most = what.records_each();
    const std::uint64_t end = nanoseconds_now() + static_cast<std::uint64_t>(what.seconds * 1e9);
    if (what.is_timed) {
        for (std::uint64_t before = nanoseconds_now(); mine.records < most;) {
            append(mine.records, what.batch);
            mine.records += what.batch;
            const std::uint64_t after = nanoseconds_now();
            mine.times.push_back(after - before);
            if (after >= end) {
                break;
            }
            before = after;
        }
        return;
    }
    std::uint64_t next = 0;
    for (const std::uint64_t stretch = what.batch == 1 ? 128 : what.batch; next < most;) {
        for (const std::uint64_t stop = std::min(most, next + stretch); next < stop; next += what.batch) {
            append(next, what.batch);
        }
        if (nanoseconds_now() >= end) {
            break;
        }
    }
    mine.records = next;
}

[[noreturn]] inline void fail(std::string_view who, std::string_view what) {
    throw std::runtime_error{std::string{who} + ": " + std::string{what}};
}

/// A store of records, in the process or behind a socket.
///
/// Errors    all are thrown; in a writer's thread they end the program.
/// Threads   `write` is called from the workload's threads at once, the rest from one.
class peer {
public:
    peer() = default;
    peer(const peer&) = delete;
    peer& operator=(const peer&) = delete;
    virtual ~peer() = default;

    [[nodiscard]] virtual std::string name() const = 0;
    [[nodiscard]] virtual std::string version() const = 0;

    /// Options, and what is asymmetric: no checksum, an index, a socket, memory only.
    [[nodiscard]] virtual std::string how() const = 0;

    /// Why it cannot do this work. Empty: it can.
    [[nodiscard]] virtual std::string why_not(const workload&) const { return {}; }

    /// Whether its lone records and its batches take different ways. Else its batches are lone records.
    [[nodiscard]] virtual bool has_batches() const { return true; }

    /// Whether all that was appended can be read back. Else what was acknowledged is all that is known.
    [[nodiscard]] virtual bool keeps_everything() const { return true; }

    /// An empty store in an empty directory, ready for that work.
    virtual void open(const std::string& directory, const workload& what) = 0;

    /// What was closed, as a new process would open it. False where nothing is kept.
    virtual bool reopen(const std::string& directory, const workload& what) = 0;

    /// What one writer does. Returns when all of it is as durable as the level says.
    virtual void write(unsigned number, const workload& what, share& mine) = 0;

    /// All writers at once, timed from when they are ready until the last is done.
    virtual appended append(const workload& what) {
        std::vector<share> shares(what.writers);
        appended done;
        for (auto& one : shares) {
            one.times.reserve(what.is_timed ? 1u << 16 : 0u);
        }
        const auto where = what.level == durability::synced ? threads_are::where_the_scheduler_likes : threads_are::on_cores_of_their_own;
        done.seconds = time_threads(what.writers, [&](unsigned number) { write(number, what, shares[number]); }, where);
        for (const auto& one : shares) {
            done.records.push_back(one.records);
            done.times.insert(done.times.end(), one.times.begin(), one.times.end());
        }
        return done;
    }

    /// Everything from the beginning, in order.
    virtual found read() = 0;

    /// How many records there are, as the last one says, whose value is looked at.
    virtual std::uint64_t count_by_last() { fail(name(), "it is not asked for its last record"); }

    /// The records a second that it hands over to a waiting reader without falling behind; 0: it has no such reader.
    [[nodiscard]] virtual double handover_rate() const { return 0; }

    /// One thread appends `records` at `rate` a second, by the clock; another waits for them.
    /// Returns   ns from when each was due until it was seen.
    virtual std::vector<std::uint64_t> hand_over(const workload&, std::uint64_t /*records*/, double /*rate*/) { fail(name(), "it hands nothing over"); }

    /// Lone records by one writer, with the gaps between two appends. Only for those that are asked for it.
    virtual appended sustain(std::uint64_t /*records*/, percentiles& /*gaps*/) { fail(name(), "it is not asked for gaps"); }

    virtual void close() = 0;
};

/// `send(due)` for each record on one thread, when it is due and not before; on another `receive(look)`, again and again, which calls
/// `look(value)` for each value that has come, as the one that begins with its due time.
/// Returns   ns from when each was due until it was looked at: what waited behind a stall counts from when it should have been sent.
template <class Send, class Receive>
[[nodiscard]] std::vector<std::uint64_t> pace(std::uint64_t records, double rate, const Send& send, const Receive& receive) {
    std::vector<std::uint64_t> seen;
    seen.reserve(records);
    const double interval = 1e9 / rate;
    const std::uint64_t begin = nanoseconds_now() + 20'000'000;
    const std::uint64_t give_up = begin + static_cast<std::uint64_t>(static_cast<double>(records) * interval) + 30'000'000'000;
    static_cast<void>(time_threads(2, [&](unsigned number) {
        if (number == 0) {
            for (std::uint64_t i = 0; i < records; ++i) {
                const std::uint64_t due = begin + static_cast<std::uint64_t>(static_cast<double>(i) * interval);
                while (nanoseconds_now() < due) {
                    relax();
                }
                send(due);
            }
            return;
        }
        while (seen.size() < records && nanoseconds_now() < give_up) {
            receive([&](const void* value) {
                std::uint64_t due = 0;
                std::memcpy(&due, value, sizeof due);
                seen.push_back(nanoseconds_now() - due);
            });
        }
    }));
    return seen;
}

/// Times `look(found&)`, on the first core.
template <class Look>
[[nodiscard]] found timed_read(const Look& look) {
    const pinned core{0};
    found all;
    const std::uint64_t begin = nanoseconds_now();
    look(all);
    all.seconds = static_cast<double>(nanoseconds_now() - begin) / 1e9;
    return all;
}

/// A value's first byte, as `found` sums it.
[[nodiscard]] inline std::uint64_t first_byte(const void* value) noexcept { return *static_cast<const unsigned char*>(value); }

/// Reads a value, or its beginning, where nothing else is done with it.
inline void look_at(const void* value) noexcept {
    const std::uint64_t first = first_byte(value);
    keep(&first);
}

/// A number as a key that sorts by its bytes.
[[nodiscard]] inline std::array<char, 8> sortable(std::uint64_t number) noexcept {
    const std::uint64_t turned = __builtin_bswap64(number);
    std::array<char, 8> key;
    std::memcpy(key.data(), &turned, sizeof turned);
    return key;
}

/// A peer that this build knows of: how to make it, or why it is not there.
struct known_peer {
    std::string name;
    std::string why_not;  ///< empty: it is there
    std::function<std::unique_ptr<peer>()> make;
    bool is_slow_to_start = false;
};

/// All of them but brook, in the order of the documents. What was found when the build was configured may be gone by now:
/// then `make` throws.
[[nodiscard]] std::vector<known_peer> known_peers();

}  // namespace brook::bench
