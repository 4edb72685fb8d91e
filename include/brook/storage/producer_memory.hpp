/// \file brook/storage/producer_memory.hpp
/// How a partition's producers are known again by whoever opens it next: written into the log from time to time, and read back.
/// Floor 2, storage. Source: Kafka's producer snapshots, which are files beside the log.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/producer_table.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>

namespace brook::inline BROOK_ABI::storage {

/// The table of producers, and the frames of the log that hold it. A frame is cut, copied and checked with the log that it
/// stands in, so it never tells of what is not there.
///
/// Threads   the table is shared; the rest belongs to whoever opens, looks after or closes the log.
class producer_memory {
public:
    explicit producer_memory(os::platform& on) noexcept : table_{on} {}

    [[nodiscard]] producer_table& table() noexcept { return table_; }

    /// From the newest frame that tells of them, and what stands behind it.
    /// Errors    what the disk said; what is damaged is passed over.
    /// Cost      reads the segments behind that frame, and the one that it is in.
    [[nodiscard]] failure recall(log_reader reader, const segment_chain& segments) {
        offset from = segments.first()->base;
        for (std::size_t i = segments.count(); i-- > 0 && home_ == nullptr;) {
            std::vector<std::byte> newest;
            failure why = reader.visit(segments.at(i)->base, false, [&](const frame_view& found) {
                const offset complete_to = found.header.base_timestamp;
                if (found.kind() == format::frame_kind::producers && complete_to >= 0 && complete_to <= found.header.base_offset) {
                    const bytes body{found.data + format::frame_header_size, found.end() - found.at - format::frame_header_size};
                    newest.assign(body.begin(), body.end());
                    home_ = segments.at(i);
                    written_ = home_;
                    written_at_ = found.header.base_offset;
                    complete_to_ = complete_to;
                    from = complete_to > from ? complete_to : from;
                }
            });
            if (is_serious(why)) {
                return why;
            }
            table_.decode(newest);
        }
        failure why = reader.visit(from, true, [&](const frame_view& found) {
            const bool is_numbered = (found.header.extension & format::extension::producer) != 0 && (found.header.attributes & format::attribute::transactional) == 0;
            if (found.kind() == format::frame_kind::data && is_numbered) {
                table_.note(format::load_stamp(found.data), found.offsets_taken(), found.header.base_offset);
            }
        });
        return is_serious(why) ? why : failure{};
    }

    /// The same once more: the log has been cut, and numbers of what was cut are forgotten.
    [[nodiscard]] failure recall_anew(log_reader reader, const segment_chain& segments) {
        table_.forget_batches();
        home_ = written_ = nullptr;
        complete_to_ = -1;
        written_at_ = 0;
        needed_before_ = 0;
        return recall(std::move(reader), segments);
    }

    /// Where the segment begins without which the next opening would not know the producers, also after a loss of power; behind
    /// everything where there are none.
    [[nodiscard]] offset needed_from(offset durable) const {
        if (table_.empty()) {
            return largest_offset;
        }
        return is_durable(durable) ? written_->base : needed_before_;
    }

    /// Forgets who has not been heard of, and writes the table once a segment.
    /// `durable`: as far as the log is on the disk.
    void look_after(std::chrono::nanoseconds now, std::chrono::nanoseconds expiration, const segment_chain& segments, appender& appends, offset durable) {
        if (now - seen_ >= expiration / 16) {
            table_.expire(now, expiration);
            seen_ = now;
        }
        if (segments.last() != home_) {
            write(segments, appends, durable);
        }
    }

    /// For the next opening. Not needed for anything that was promised: without room for it that one reads more.
    void write(const segment_chain& segments, appender& appends, offset durable) {
        segment* const home = segments.last();
        if (table_.empty()) {
            return;
        }
        // Whoever claims behind this is not in the table yet; who claimed before is, or will be when it lets go of its state.
        const offset complete_to = home->base + static_cast<offset>(tail_word{home->tail.load(std::memory_order_acquire)}.records());
        if ((home == home_ && complete_to == complete_to_) || complete_to == home->base) {
            return;  // nothing new; or no record as yet, in front of which no mark can stand
        }
        const std::vector<std::byte> all = table_.encode();
        const std::uint64_t size = format::frame_header_size + all.size();
        claim taken;
        home_ = home;  // one attempt a segment: if it does not fit, the next one's
        if (all.empty() || size > appends.largest_frame() / 4 || !appends.take_for_mark(format::frame_length(static_cast<std::uint32_t>(size)), taken)) {
            return;
        }
        needed_before_ = is_durable(durable) ? written_->base : needed_before_;
        written_ = home;
        written_at_ = taken.first;
        copy_bytes(taken.data + format::frame_header_size, all.data(), all.size());
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(size);
        header.attributes = format::attributes_of(format::frame_kind::producers);
        header.base_timestamp = complete_to;
        header.count = static_cast<std::uint32_t>(all.size() / producer_table::entry_bytes);
        appends.publish(taken, header);
        complete_to_ = complete_to;
    }

private:
    /// What was written last is on the disk with the first record behind it, or with the whole segment.
    [[nodiscard]] bool is_durable(offset durable) const noexcept {
        return written_ != nullptr && (durable > written_at_ || written_->is_synced.load(std::memory_order_acquire));
    }

    [[nodiscard]] static bool is_serious(const failure& why) {
        return why && why.code != errc::corrupt_record && why.code != errc::offset_out_of_range;
    }

    producer_table table_;
    const segment* home_ = nullptr;     // in which it was to be written last,
    offset complete_to_ = -1;           // complete for what is below
    const segment* written_ = nullptr;  // in which it was written last,
    offset written_at_ = 0;             // in front of this offset
    offset needed_before_ = 0;          // where that one begins in which it was before, and is on the disk
    std::chrono::nanoseconds seen_{};   // when those were looked for that have gone
};

}  // namespace brook::inline BROOK_ABI::storage
