/// \file brook/engine/batch_body.hpp
/// Records on their way into one batch, laid out as they will lie in the log.
/// Floor 5, engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>

namespace brook::inline BROOK_ABI::engine {

/// The body of a batch to be. Records that give no timestamp get the batch's; the first that gives another one, or headers,
/// gives every record a detail.
///
/// Threads   confined.
class batch_body {
public:
    static constexpr std::uint32_t most_records = (1u << 24) - 1;  // what one claim takes

    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
    [[nodiscard]] std::size_t record_bytes() const noexcept { return records_.size(); }
    [[nodiscard]] std::int64_t base_timestamp() const noexcept { return base_timestamp_; }
    void set_base_timestamp(std::int64_t time) noexcept { base_timestamp_ = time; }

    /// Bytes of the frame with one more record of this size, at most: not every batch has details, or a producer.
    [[nodiscard]] std::uint64_t frame_bytes_with(std::uint64_t record) const noexcept {
        return frame_bytes_of(record) + std::uint64_t{count_} * sizeof(format::record_detail) + records_.size();
    }

    /// The same of one that has no other.
    [[nodiscard]] static constexpr std::uint64_t frame_bytes_of(std::uint64_t record) noexcept {
        return format::frame_header_size + 2 * format::extension::bytes_each + sizeof(format::record_detail) + record;
    }

    /// Whether a record of this time can be told from the batch's: the number between them may be too large.
    [[nodiscard]] bool spans(const std::optional<std::int64_t>& timestamp) const noexcept { return delta_of(timestamp).has_value(); }

    void reserve(std::size_t record_bytes) { records_.reserve(record_bytes); }

    /// Adds a record; `begin_batch` is called in front of the first and gives the batch's time. Where any of them throws
    /// nothing is added.
    ///
    /// Requires  spans(timestamp), but for the first.
    template <class WriteKey, class WriteValue, class BeginBatch>
    void add(const format::record_sizes& sizes, const std::optional<std::int64_t>& timestamp, const WriteKey& write_key, const WriteValue& write_value,
             bytes headers, const BeginBatch& begin_batch) {
        const std::size_t before = records_.size();
        records_.resize(before + static_cast<std::size_t>(format::entry_bytes(sizes)));
        const format::entry_layout layout = format::lay_out_entry(records_.data() + before, sizes);
        try {
            write_key(layout.key);
            write_value(layout.value);
            if (count_ == 0) {
                base_timestamp_ = begin_batch();
                if (!spans(timestamp)) {
                    base_timestamp_ = timestamp.value_or(base_timestamp_);  // centuries away
                }
            }
            note_detail(timestamp, sizes.headers);
        } catch (...) {
            records_.resize(before);
            throw;
        }
        copy_bytes(layout.headers, headers.data(), headers.size());
        ++count_;
    }

    /// Gives every record its detail, if one of them has needed it. To be called once, when the last one has been added.
    void finish() {
        if (!details_.empty()) {
            fill_details(count_);
        }
    }

    // ---- once it is finished ----

    [[nodiscard]] std::uint16_t extension() const noexcept { return details_.empty() ? std::uint16_t{0} : format::extension::detail; }
    [[nodiscard]] std::size_t size() const noexcept { return detail_bytes() + records_.size(); }

    /// The records alone, as they will lie there.
    [[nodiscard]] bytes records() const noexcept { return records_; }

    /// Writes size() bytes.
    void write_to(std::byte* to) const noexcept {
        if (!details_.empty()) {
            store(to, std::uint64_t{count_ - 1});
            store(to + sizeof(std::uint64_t), largest_delta());
            copy_bytes(to + format::extension::bytes_each, details_.data(), details_.size() * sizeof(format::record_detail));
        }
        copy_bytes(to + detail_bytes(), records_.data(), records_.size());
    }

    /// Empties it; gives the details, or none.
    std::vector<format::record_detail> clear() noexcept {
        records_.clear();
        count_ = 0;
        return std::exchange(details_, {});
    }

private:
    [[nodiscard]] std::optional<std::int64_t> delta_of(const std::optional<std::int64_t>& timestamp) const noexcept {
        std::int64_t delta = 0;
        const bool is_too_far = __builtin_sub_overflow(timestamp.value_or(base_timestamp_), base_timestamp_, &delta);
        return is_too_far ? std::nullopt : std::optional{delta};
    }

    void note_detail(const std::optional<std::int64_t>& timestamp, std::uint32_t headers) {
        const std::int64_t delta = *delta_of(timestamp);
        if (details_.empty() && delta == 0 && headers == 0) {
            return;
        }
        add_detail(delta, headers);
    }

    [[gnu::noinline]] void add_detail(std::int64_t delta, std::uint32_t headers) {
        fill_details(count_);
        details_.push_back({delta, count_, headers});
    }

    void fill_details(std::uint32_t count) {
        while (details_.size() < count) {
            details_.push_back({0, static_cast<std::uint32_t>(details_.size()), 0});
        }
    }

    [[nodiscard]] std::size_t detail_bytes() const noexcept {
        return details_.empty() ? 0 : format::extension::bytes_each + details_.size() * sizeof(format::record_detail);
    }

    [[nodiscard]] std::int64_t largest_delta() const noexcept {
        std::int64_t largest = details_.front().time_delta;
        for (const auto& detail : details_) {
            largest = detail.time_delta > largest ? detail.time_delta : largest;
        }
        return largest;
    }

    std::vector<std::byte> records_;
    std::vector<format::record_detail> details_;  // empty, or one for each record so far
    std::uint32_t count_ = 0;
    std::int64_t base_timestamp_ = 0;
};

}  // namespace brook::inline BROOK_ABI::engine
