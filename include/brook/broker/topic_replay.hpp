/// \file brook/broker/topic_replay.hpp
/// Reading one of the broker's own topics whole, when it opens.
/// Floor 4, broker.
#pragma once

#include <cstdint>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Gives `use` each record from the log's start to its end, but for those of transactions that do not count.
///
/// Errors    corrupt_record, or what the disk said, once everything in front has been given.
template <class Use>
[[nodiscard]] failure replay_records(storage::log& log, const Use& use) {
    constexpr std::uint32_t at_a_time = 10'000;
    storage::log_reader reader = log.reader();
    reader.read_committed(true);
    reader.seek(log.log_start_offset());
    for (std::vector<storage::record_range> ranges;; ranges.clear()) {
        if (failure why = reader.fetch(at_a_time, true, ranges); why || ranges.empty()) {
            return why;
        }
        for (const auto& range : ranges) {
            for (position at = range.begin; at < range.end;) {
                const format::frame_header header = format::load_header(range.frame(at));
                if (format::word_of(header).kind() == format::frame_kind::data) {
                    format::record_walk records{header, range.frame(at)};
                    for (format::record_slice record; records.next(record);) {
                        use(record);
                    }
                }
                at += format::word_of(header).length();
            }
        }
    }
}

}  // namespace brook::inline BROOK_ABI::broker_room
