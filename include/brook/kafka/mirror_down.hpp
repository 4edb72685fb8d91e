/// \file brook/kafka/mirror_down.hpp
/// A cluster's topic's records on their way into a local one.
/// Edge of floor 6, kafka. Source: Kafka's MirrorMaker 2 (KIP-382).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/sender.hpp>
#include <brook/format/record.hpp>
#include <brook/kafka/administration.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/mirror_options.hpp>
#include <brook/kafka/mirror_work.hpp>
#include <brook/kafka/reader.hpp>
#include <brook/kafka/records.hpp>
#include <brook/kafka/topic.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// Down: a cluster's topic's records, numbered by their offsets there: what is sent again is there already.
class mirror_down final : public mirror_work {
public:
    mirror_down(std::shared_ptr<const topic_state> from, brook::engine::embedded_topic to, mirror_options with)
        : mirror_work{std::move(with), from->partition_count}, from_{std::move(from)}, to_{std::move(to)} {}
    ~mirror_down() override { stop(); }

private:
    void begin() override {
        brook::engine::sender_options how;
        how.waits_for_sync = false;  // what goes with the power is carried again
        how.delivery_timeout = std::chrono::minutes{2};
        how.is_idempotent = true;
        how.name = "brook-mirror-" + options().name;
        sender_ = brook::engine::embedded_sender::make(to_, std::move(how));
        consumer_options reading;
        reading.max_poll_records = options().batch_records;
        reader_.emplace(from_->cluster, std::move(reading));
        std::vector<partition> all;
        for (std::int32_t number = 0; number < from_->partition_count; ++number) {
            all.emplace_back(from_, number);
        }
        reader_->assign(all);
        const auto numbers = numbers_of(all);
        const auto firsts = from_->cluster->offsets(from_->name, numbers, administration::at_beginning, true);
        const auto ends = ask_ends();
        for (const partition& one : all) {
            const offset next = sender_->last_sequence(one.number()) + 1;
            const offset first = firsts[static_cast<std::size_t>(one.number())];
            if (const offset end = ends[static_cast<std::size_t>(one.number())]; next > end) {  // its next records would pass for carried
                throw_error(errc::offset_out_of_range, "mirror '" + options().name + "': of the cluster's topic '" + from_->name + "', partition " + std::to_string(one.number()) +
                                                           ", offsets up to " + std::to_string(next) + " have been carried, and it ends at " + std::to_string(end) +
                                                           ": it is another topic, made anew perhaps; carry it into a new one, or under another name");
            }
            reader_->seek(one, next < first ? first : next);
            note([&](mirror_progress& now) {
                auto& of = now.partitions[static_cast<std::size_t>(one.number())];
                of.skipped += next > 0 && next < first ? first - next : 0;
                of.next = next < first ? first : next;
                of.end = ends[static_cast<std::size_t>(one.number())] > of.next ? ends[static_cast<std::size_t>(one.number())] : of.next;
            });
            expect(one.number(), next < first ? first : next);
        }
    }

    bool carry() override {
        const message_batch batch = reader_->poll(std::chrono::milliseconds{100});
        std::uint64_t size = 0;
        for (auto* const raw : batch.all()) {
            const message one{raw};
            look_for_gap(one.partition(), one.offset(), [&] { return reader_->log_start_seen({from_, one.partition()}); });
            send(one);
            size += one.key().size() + one.value().size();
        }
        if (const failure why = batch.all().empty() ? failure{} : sender_->flush()) {
            why.raise();
        }
        std::vector<offset> next;
        bool is_at_end = true;  // as far as it was seen: then it is looked again, before anybody is told that it has caught up
        const mirror_progress before = noted();
        for (const auto& one : reader_->assignment()) {
            next.push_back(reader_->position(one));
            is_at_end = is_at_end && next.back() >= before.partitions[static_cast<std::size_t>(one.number())].end;
        }
        idle_ = batch.all().empty() && before.is_caught_up() ? idle_ + 1 : 0;
        const std::vector<offset> ends = is_at_end && idle_ % 10 == 0 ? ask_ends() : std::vector<offset>{};
        note([&](mirror_progress& now) {
            now.records += batch.all().size();
            now.bytes += size;
            for (std::size_t i = 0; i < next.size(); ++i) {  // assigned in the order of their numbers
                auto& of = now.partitions[i];
                of.next = next[i];
                of.end = !ends.empty() && ends[i] > of.end ? ends[i] : of.end > next[i] ? of.end : next[i];
            }
        });
        note_skipped();
        return !batch.all().empty();
    }

    void end() noexcept override {
        reader_.reset();
        if (sender_) {
            try {
                if (const failure why = sender_->close()) {
                    to_.shared().report(why);
                }
            } catch (const std::exception&) {  // no memory to tell it: the next beginning finds out what is there
            }
            sender_.reset();
        }
    }

    /// In order, and never past one that failed.
    void send(const message& one) {
        headers_.clear();
        one.each_header([this](const format::header_slice& header) {
            const std::size_t before = headers_.size();
            headers_.resize(before + static_cast<std::size_t>(format::header_bytes(header.name.size(), header.value ? header.value->size() : 0)));
            static_cast<void>(format::write_header(headers_.data() + before, header.name, header.value));
        });
        const auto size_of = [](bool is_there, bytes data) { return is_there ? static_cast<std::uint32_t>(data.size()) : format::null_size; };
        const format::record_sizes sizes{size_of(one.has_key(), one.key()), size_of(one.has_value(), one.value()), static_cast<std::uint32_t>(headers_.size())};
        const auto put = [](bytes data) { return [data](std::byte* to) { copy_bytes(to, data.data(), data.size()); }; };
        brook::engine::sent sent = sender_->send(one.partition(), sizes, one.timestamp().time_since_epoch().count(), one.offset(), put(one.key()), put(one.value()), bytes{headers_});
        if (sent.pending) {
            if (const failure why = sent.pending->wait(sent.done)) {
                why.raise();
            }
        }
    }

    [[nodiscard]] std::vector<offset> ask_ends() const {
        std::vector<std::int32_t> numbers;
        for (std::int32_t number = 0; number < from_->partition_count; ++number) {
            numbers.push_back(number);
        }
        return from_->cluster->offsets(from_->name, numbers, administration::at_end, true);
    }

    [[nodiscard]] static std::vector<std::int32_t> numbers_of(const std::vector<partition>& all) {
        std::vector<std::int32_t> numbers;
        for (const auto& one : all) {
            numbers.push_back(one.number());
        }
        return numbers;
    }

    const std::shared_ptr<const topic_state> from_;
    const brook::engine::embedded_topic to_;
    std::shared_ptr<brook::engine::embedded_sender> sender_;
    std::optional<reader> reader_;
    std::vector<std::byte> headers_;  // reused
    unsigned idle_ = 0;               // polls that gave nothing, one after the other
};

}  // namespace brook::inline BROOK_ABI::kafka
