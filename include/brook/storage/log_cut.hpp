/// \file brook/storage/log_cut.hpp
/// Cutting a replicated log: a part of it, or all.
/// Floor 2, storage. The protocol is told in brook/storage/README.md.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/log_parts.hpp>
#include <brook/storage/log_upkeep.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/wire_append.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Cuts a replicated log, on the disk, so that whoever is killed or powered off in the middle comes to a log that has been cut, or has not been.
///
/// In this order, for a cut at `to`:
///
/// 1. The checkpoint says `to`. Before that is on the disk nothing is touched; from then on every opening finishes the cut, and nothing but
///    the cut writes the checkpoint (checkpoint_keeper).
/// 2. Appends are paused, nobody syncs, who reads behind the high watermark is waited for. Behind `to` everything becomes zero in memory.
/// 3. The segment is synced, later ones are removed, the newest first, the directory is synced.
/// 4. The checkpoint takes back what it said. Producers are recalled anew, appends go on.
///
/// Where the disk refuses from 1 on the log takes no more appends, and only an opening knows what it has. What had been on a majority is cut
/// by whole segments, since readers may hold views of them; what is to be left of one is appended again, and may be lost with it.
/// Beginning anew is a cut of everything, and a first segment made between 2 and 4.
///
/// Threads   shared: it takes the locks of the order, of upkeep and of the cut.
class log_cut {
public:
    log_cut(log_parts& parts, wire_append& appending, log_upkeep& upkeep) noexcept : parts_{parts}, appending_{appending}, upkeep_{upkeep} {}

    /// log::truncate.
    [[nodiscard]] failure truncate(offset to, bool gives_up = false);

    /// log::start_anew.
    [[nodiscard]] failure start_anew(offset at, std::uint32_t epoch = 0, bool gives_up = false);

private:
    [[nodiscard]] failure check_cut();

    /// Where the frame that ends at an offset ends, in the segment that goes on from there.
    [[nodiscard]] failure find_place(offset to, log_place& place);

    /// Has `work` cut the log while nobody syncs it. Once that is begun it must come to its end, or nothing may be appended any more: the
    /// checkpoint may say that the log is being cut, and the next opening then does so.
    template <class Work>
    [[nodiscard]] failure cut(const Work& work) {
        failure why;
        bool is_begun = false;
        const auto give_up = [&](const failure& cause) {
            if (is_begun) {
                failure told{errc::partition_failed, parts_.name().text() + ": was not cut to its end: " + cause.text + "; close the broker, see to the disk, open again"};
                upkeep_.give_up();
                parts_.durable.give_up(told);
                parts_.appends.stop(append_state::failed, std::move(told));
            }
        };
        parts_.durable.alone([&] {
            try {
                why = work(is_begun);
            } catch (const std::bad_alloc&) {
                give_up({errc::partition_failed, "no memory"});
                throw;
            }
            if (why) {
                give_up(why);
            }
        });
        parts_.appends.wake();
        return parts_.judged(std::move(why));
    }

    /// `is_committed`: readers may stand at the place.
    [[nodiscard]] failure cut_at(const log_place& place, const segment_pin& pin, bool is_committed, bool& is_begun);

    /// What was on a majority is cut, without a store into what readers may hold: whole segments go, and of the one that `to` is in what
    /// is left is put into `kept`.
    [[nodiscard]] failure cut_committed(offset to, log_place place, std::vector<std::byte>& kept);

    /// That what was copied is all of [from, to). Where the first frame begins in front of it, as the log's start may be in the middle of a
    /// batch, it is divided there: what was deleted does not come back.
    [[nodiscard]] failure check_kept(offset from, offset to, std::vector<std::byte>& kept) const;

    [[nodiscard]] failure begin_at(offset at, std::uint32_t epoch, bool& is_begun);

    [[nodiscard]] failure refuse(errc why, offset to, const std::string& what) const;

    /// The epoch of the record in front of an offset; 0 where there is none: what was in front of the start nobody knows any more, and what
    /// is going to be appended there may be older than what is cut.
    [[nodiscard]] std::uint32_t epoch_in_front_of(offset to);

    void let_go(const std::vector<segment*>& gone);

    /// The files of segments that are cut: the newest first, so that what is left is a beginning of what was there.
    [[nodiscard]] failure remove_files(const std::vector<segment*>& gone);

    /// Takes appends again: the log has been cut here.
    [[nodiscard]] failure go_on(const log_place& end, std::uint32_t epoch, std::size_t finished, bool& is_begun);

    static void lower(std::int64_t& value, std::int64_t most) noexcept { value = value < most ? value : most; }

    static void lower(std::atomic<position>& value, position most) noexcept;

    log_parts& parts_;
    wire_append& appending_;
    log_upkeep& upkeep_;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/log_cut.hpp>
#endif
