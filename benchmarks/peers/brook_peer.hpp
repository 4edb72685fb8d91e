/// \file peers/brook_peer.hpp
/// brook, behind the interface of its peers: the same calls as in storage/append_bench and storage/durable_bench.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <brook/brook.hpp>

#include "peers/peer.hpp"
#include "support/topics.hpp"

namespace brook::bench {

/// A topic of one partition with values of `Bytes`.
///
/// Visible: into one segment that was prepared before, as upkeep does it for a busy topic; no upkeep runs beside it.
/// Synced: `flush_messages = 1`, upkeep on its own thread.
template <std::size_t Bytes>
class brook_peer final : public peer {
public:
    using value_type = payload<Bytes>;

    explicit brook_peer(std::uint64_t segment_bytes) : segment_bytes_{segment_bytes} {}

    [[nodiscard]] std::string name() const override { return "brook"; }
    [[nodiscard]] std::string version() const override {
        return std::to_string(BROOK_VERSION_MAJOR) + "." + std::to_string(BROOK_VERSION_MINOR) + "." + std::to_string(BROOK_VERSION_PATCH);
    }
    [[nodiscard]] std::string how() const override {
        return "send, or send_batch, of trivially copyable values; visible: into a prepared segment; synced: flush_messages = 1, and get() after each. "
               "It checksums (XXH3), stamps the time and keeps a sparse index; what this process has written it does not verify again when it reads";
    }

    /// Records that fit in a prepared segment, whether alone or in batches, for up to two writers.
    [[nodiscard]] static std::uint64_t room(std::uint64_t segment_bytes) noexcept {
        const std::uint64_t lone = prepared_topic<no_key, value_type>::room(segment_bytes, frame_bytes(0, Bytes));
        const std::uint64_t batch = frame_bytes(0, 0) + workload::most_batch * std::uint64_t{8 + (Bytes + 7) / 8 * 8};
        const std::uint64_t batched = prepared_topic<no_key, value_type>::room(segment_bytes, batch) * workload::most_batch;
        constexpr std::uint64_t step = std::uint64_t{2} * workload::most_batch;
        return std::min(lone, batched) / step * step;
    }

    void open(const std::string& directory, const workload& what) override {
        if (what.level == durability::visible) {
            prepared_ = std::make_unique<prepared_topic<no_key, value_type>>(directory, segment_bytes_);
            topic_.emplace(prepared_->topic());
            begin_ = prepared_->begin();
        } else {
            broker_ = std::make_unique<brook::broker>(directory + "/brook");
            topic_.emplace(broker_->create_topic<no_key, value_type>("measured", {.flush_messages = 1}));
            begin_ = 0;
        }
        producer_.emplace(*topic_);
    }

    bool reopen(const std::string& directory, const workload& what) override {
        if (what.level == durability::visible) {
            return false;  // the prepared segment goes with its directory
        }
        broker_ = std::make_unique<brook::broker>(directory + "/brook");
        topic_.emplace(broker_->topic<no_key, value_type>("measured"));
        begin_ = 0;
        return true;
    }

    void write(unsigned, const workload& what, share& mine) override {
        auto& sender = *producer_;
        if (what.level == durability::synced) {
            write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
                static_cast<void>(count == 1 ? sender.send(value(what, first)).get() : sender.send_batch(0, batch_of(what)).get());
            });
        } else if (what.batch == 1) {
            write_share(what, mine, [&](std::uint64_t first, std::uint32_t) { sender.send(value(what, first)); });
        } else {
            write_share(what, mine, [&](std::uint64_t, std::uint32_t) { sender.send_batch(0, batch_of(what)); });
        }
    }

    found read() override {
        consumer reader{*topic_};
        reader.seek(topic_->partition(0), begin_);
        return timed_read([&](found& all) {
            for (offset next = begin_; !reader.caught_up();) {
                for (const auto batch = reader.poll(std::chrono::seconds{0}); const auto& record : batch) {
                    if (record.offset() != next++) {
                        fail("brook", "offsets are not dense");
                    }
                    all.sum += first_byte(&record.value());
                    ++all.records;
                }
            }
        });
    }

    void close() override {
        if (prepared_ != nullptr && !prepared_->has_not_rolled()) {
            fail("brook", "it did not fit in the prepared segment");
        }
        producer_.reset();
        topic_.reset();
        prepared_.reset();
        broker_.reset();
    }

private:
    [[nodiscard]] static const value_type& value(const workload& what, std::uint64_t first) noexcept {
        return *reinterpret_cast<const value_type*>(what.value(first, 0));
    }
    [[nodiscard]] static std::span<const value_type> batch_of(const workload& what) noexcept {
        return {reinterpret_cast<const value_type*>(what.values), what.batch};
    }

    std::uint64_t segment_bytes_;
    std::unique_ptr<prepared_topic<no_key, value_type>> prepared_;
    std::unique_ptr<brook::broker> broker_;
    std::optional<brook::topic<no_key, value_type>> topic_;
    std::optional<brook::producer<no_key, value_type>> producer_;
    offset begin_ = 0;
};

}  // namespace brook::bench
