# The mutants: where each goes, what it does there, and who catches it. README.md says it in words.
#
#   brook_mutant(NAME
#     FILE      the header, below include/brook
#     FIND      its text at one place, exactly: when that changes, configuring fails, and the list is mended with the code
#     REPLACE   the same with the bug in it, while BROOK_MUTANT(NAME)
#     CAUGHT_BY test|race HEADER "NAME OF THE TEST", or fault PROGRAM [ARGUMENT...]; see CMakeLists.txt
#     [HANGS])  the test shows it by not coming to an end
#
#   brook_mutant(NAME WITH OTHER CAUGHT_BY ...): its switch is in what the mutant OTHER, above it, replaces.

# ---- format: what a checksum covers ----

brook_mutant(checksum_without_seed
  FILE format/checksum.hpp
  FIND [=[    const std::uint64_t place = std::uint64_t{at} << 32 | leader_epoch;]=]
  REPLACE [=[    seed = BROOK_MUTANT(checksum_without_seed) ? 0 : seed;
    const std::uint64_t place = std::uint64_t{at} << 32 | leader_epoch;]=]
  CAUGHT_BY test format/checksum "a frame verifies at its own place alone")

brook_mutant(checksum_without_header
  FILE format/checksum.hpp
  FIND [=[    return detail::multiply_fold(a ^ count ^ 0xd6e8feb86659fd93u, b ^ seed ^ 0x27d4eb2f165667c5u);]=]
  REPLACE [=[    return BROOK_MUTANT(checksum_without_header) ? detail::multiply_fold(at, seed)
                                                 : detail::multiply_fold(a ^ count ^ 0xd6e8feb86659fd93u, b ^ seed ^ 0x27d4eb2f165667c5u);]=]
  CAUGHT_BY test format/checksum "every flipped bit of a frame is seen, and so is every pair")

brook_mutant(checksum_zero_accepted
  FILE format/checksum.hpp
  FIND [=[    return load<std::uint64_t>(frame + 8) ==
           (body_hash]=]
  REPLACE [=[    return (BROOK_MUTANT(checksum_zero_accepted) && load<std::uint64_t>(frame + 8) == 0) || load<std::uint64_t>(frame + 8) ==
           (body_hash]=]
  CAUGHT_BY test format/checksum "a frame that has lost its checksum does not verify")

brook_mutant(older_checkpoint_slot
  FILE format/checkpoint.hpp
  FIND [=[slot.sequence > newest->sequence]=]
  REPLACE [=[(BROOK_MUTANT(older_checkpoint_slot) ? slot.sequence < newest->sequence : slot.sequence > newest->sequence)]=]
  CAUGHT_BY test format/checkpoint "the newest whole slot counts, at whichever byte its write was torn")

# ---- storage: appending ----

brook_mutant(no_mark
  FILE storage/appender.hpp
  FIND [=[        atomic_at<std::uint64_t>(taken.data).store(format::frame_word::claimed(length).raw(), std::memory_order_relaxed);]=]
  REPLACE [=[        if (!BROOK_MUTANT(no_mark)) {
            atomic_at<std::uint64_t>(taken.data).store(format::frame_word::claimed(length).raw(), std::memory_order_relaxed);
        }]=]
  CAUGHT_BY fault kill_every_instruction)

brook_mutant(size_published_first
  FILE storage/appender.hpp
  FIND [=[        format::store_behind_word(taken.data, checksum, taken.first, base_timestamp, leader_epoch, count);]=]
  REPLACE [=[        if (BROOK_MUTANT(size_published_first)) {
            atomic_at<std::uint64_t>(taken.data).store(word.raw(), std::memory_order_release);
        }
        format::store_behind_word(taken.data, checksum, taken.first, base_timestamp, leader_epoch, count);]=]
  CAUGHT_BY fault kill_every_instruction)

brook_mutant(published_without_release
  FILE storage/appender.hpp
  FIND [=[            published.store(word.raw(), std::memory_order_release);]=]
  REPLACE [=[            if (BROOK_MUTANT(published_without_release)) {
                published.store(word.raw(), std::memory_order_relaxed);
            } else {
                published.store(word.raw(), std::memory_order_release);
            }]=]
  CAUGHT_BY race storage/published_prefix "the prefix only grows, whoever asks")

brook_mutant(records_beyond_the_limit
  FILE storage/appender.hpp
  FIND [=[        home.ready.store(last < home.limit ? last : home.limit, std::memory_order_release);]=]
  REPLACE [=[        home.limit = BROOK_MUTANT(records_beyond_the_limit) ? memory.capacity() : home.limit;
        home.ready.store(BROOK_MUTANT(records_beyond_the_limit) ? end : last < home.limit ? last : home.limit, std::memory_order_release);]=]
  CAUGHT_BY test storage/appender "a record that would leave the seal no room goes into the next segment")

brook_mutant(rolled_without_seal
  FILE storage/appender.hpp
  FIND [=[        if (!write_seal(home, tail.end(), base, why)) {]=]
  REPLACE [=[        if (BROOK_MUTANT(base_before_seal) && spare_) {
            segment_directory::set_base(*spare_->pin(), base);
        }
        if (!BROOK_MUTANT(rolled_without_seal) && !write_seal(home, tail.end(), base, why)) {]=]
  CAUGHT_BY test storage/appender "a segment ends with its seal, wherever the last record ends"
  HANGS)

brook_mutant(base_before_seal WITH rolled_without_seal
  CAUGHT_BY fault kill_every_instruction)

brook_mutant(grown_without_disk_space
  FILE storage/appender.hpp
  FIND [=[            if (const auto code = memory.log_file().allocate(from, end - from)) {
                why = {code, files_.name().text() + ": cannot take disk space for " + memory.path() + " up to byte " + std::to_string(end)};
                return false;
            }
            if (end > begin) {
                if (!write_zeros(memory, begin, end, why)) {]=]
  REPLACE [=[            static constexpr std::byte nothing[8]{};  // as ftruncate(2) would grow it
            if (const auto code = BROOK_MUTANT(grown_without_disk_space) ? memory.log_file().write_at(end - 8, nothing) : memory.log_file().allocate(from, end - from)) {
                why = {code, files_.name().text() + ": cannot take disk space for " + memory.path() + " up to byte " + std::to_string(end)};
                return false;
            }
            if (end > begin) {
                if (!BROOK_MUTANT(grown_without_disk_space) && !write_zeros(memory, begin, end, why)) {]=]
  CAUGHT_BY fault full_disk)

brook_mutant(spare_over_a_segment
  FILE storage/segment_directory.hpp
  FIND [=[        if (const auto code = platform_->rename_to_new(from + ".log", to + ".log")) {]=]
  REPLACE [=[        if (BROOK_MUTANT(spare_over_a_segment)) {
            discard(to + ".log");
        }
        if (const auto code = platform_->rename_to_new(from + ".log", to + ".log")) {]=]
  CAUGHT_BY test storage/appender "a prepared spare becomes the next segment, and upkeep gives it its name")

brook_mutant(open_claims_left_open
  FILE storage/open_claims.hpp
  FIND [=[            give_up(open.taken);]=]
  REPLACE [=[            if (!BROOK_MUTANT(open_claims_left_open)) give_up(open.taken);]=]
  CAUGHT_BY test storage/log "closing with a claim open frees the directory at once, and the owner's later stores do not reach the file"
  HANGS)

brook_mutant(open_claims_not_detached
  FILE storage/open_claims.hpp
  FIND [=[            static_cast<void>(open.pin->log().detach());]=]
  REPLACE [=[            if (!BROOK_MUTANT(open_claims_not_detached)) static_cast<void>(open.pin->log().detach());]=]
  CAUGHT_BY test storage/log "closing with a claim open frees the directory at once, and the owner's later stores do not reach the file")

brook_mutant(sleepers_do_not_fence
  FILE storage/event_count.hpp
  FIND [=[    void fence() noexcept { platform_->fence_all_threads(); }]=]
  REPLACE [=[    void fence() noexcept {
        if (!BROOK_MUTANT(sleepers_do_not_fence)) {
            platform_->fence_all_threads();
        }
    }]=]
  CAUGHT_BY test client/consumer "who is about to sleep raises its flag, fences all threads, and looks once more")

# ---- storage: files and their names ----

brook_mutant(segment_renamed_before_sync
  FILE storage/segment_directory.hpp
  FIND [=[        if (code = made->log_file().sync(); code) {]=]
  REPLACE [=[        if (code = BROOK_MUTANT(segment_renamed_before_sync) ? std::error_code{} : made->log_file().sync(); code) {]=]
  CAUGHT_BY test storage/segment_directory "a new segment's header and name are on the disk before anything relies on it")

brook_mutant(segment_name_not_synced
  FILE storage/segment_directory.hpp
  FIND [=[        if (code = platform_->sync_directory(path_); code) {]=]
  REPLACE [=[        if (code = BROOK_MUTANT(segment_name_not_synced) ? std::error_code{} : platform_->sync_directory(path_); code) {]=]
  CAUGHT_BY test storage/segment_directory "a new segment's header and name are on the disk before anything relies on it")

brook_mutant(spare_name_not_synced
  FILE storage/segment_directory.hpp
  FIND [=[ + ".index to " + to + ".index"};
        }
        return sync_names();]=]
  REPLACE [=[ + ".index to " + to + ".index"};
        }
        return BROOK_MUTANT(spare_name_not_synced) ? failure{} : sync_names();]=]
  CAUGHT_BY test storage/appender "a prepared spare becomes the next segment, and upkeep gives it its name")

brook_mutant(checkpoint_not_synced
  FILE storage/segment_directory.hpp
  FIND [=[            code = file->sync();
        }
        if (is_new && !code) {]=]
  REPLACE [=[            code = BROOK_MUTANT(checkpoint_not_synced) ? std::error_code{} : file->sync();
        }
        if (is_new && !code) {]=]
  CAUGHT_BY test storage/power_loss "a checkpoint is on the disk when it has been written, the first one with its name")

brook_mutant(checkpoint_name_not_synced
  FILE storage/segment_directory.hpp
  FIND [=[            code = platform_->sync_directory(path_);
        }
        return code ? failure]=]
  REPLACE [=[            code = BROOK_MUTANT(checkpoint_name_not_synced) ? std::error_code{} : platform_->sync_directory(path_);
        }
        return code ? failure]=]
  CAUGHT_BY test storage/power_loss "a checkpoint is on the disk when it has been written, the first one with its name")

brook_mutant(checkpoint_over_the_last_one
  FILE storage/segment_directory.hpp
  FIND [=[            code = file->write_at(format::slot_position(slot.sequence), raw);]=]
  REPLACE [=[            code = file->write_at(BROOK_MUTANT(checkpoint_over_the_last_one) ? 0 : format::slot_position(slot.sequence), raw);]=]
  CAUGHT_BY test storage/segment_directory "a checkpoint is read back, and a torn write leaves the one before")

brook_mutant(checkpoint_of_a_stranger
  FILE storage/segment_directory.hpp
  FIND [=[        if (newest && (newest->topic != name_->topic_id || newest->partition != name_->number)) {]=]
  REPLACE [=[        if (newest && !BROOK_MUTANT(checkpoint_of_a_stranger) && (newest->topic != name_->topic_id || newest->partition != name_->number)) {]=]
  CAUGHT_BY test storage/segment_directory "a checkpoint is read back, and a torn write leaves the one before")

brook_mutant(newer_checkpoint_overwritten
  FILE storage/segment_directory.hpp
  FIND [=[        if (newest && newest->version > format::format_version) {]=]
  REPLACE [=[        if (newest && newest->version > format::format_version && !BROOK_MUTANT(newer_checkpoint_overwritten)) {]=]
  CAUGHT_BY test storage/recovery "a checkpoint of a newer version is refused, and stays")

brook_mutant(rotten_spare_put_aside
  FILE storage/recovery.hpp
  FIND [=[        if (failure why = look_into_spare(path, is_used)) {
            return why;
        }]=]
  REPLACE [=[        if (failure why = look_into_spare(path, is_used)) {
            return why;
        }
        is_used = is_used && !BROOK_MUTANT(rotten_spare_put_aside);]=]
  CAUGHT_BY test storage/recovery "a taken spare whose header rotted is no loss in silence")

brook_mutant(unreadable_checkpoint_is_none
  FILE storage/segment_directory.hpp
  FIND [=[            why = {code, name_->text() + ": cannot read " + checkpoint_path() +]=]
  REPLACE [=[            if (BROOK_MUTANT(unreadable_checkpoint_is_none)) {
                return std::nullopt;
            }
            why = {code, name_->text() + ": cannot read " + checkpoint_path() +]=]
  CAUGHT_BY test storage/recovery "what tells how much was durable and cannot be read makes opening fail, and nothing is cut")

brook_mutant(segment_of_a_stranger
  FILE storage/segment_directory.hpp
  FIND [=[    if (birth.topic != name.topic_id || birth.partition != name.number ||]=]
  REPLACE [=[    if ((!BROOK_MUTANT(segment_of_a_stranger) && (birth.topic != name.topic_id || birth.partition != name.number)) ||]=]
  CAUGHT_BY test storage/segment_directory "what is not this partition's segment is refused, and why is told")

brook_mutant(base_check_ignored
  FILE storage/segment_directory.hpp
  FIND [=[    if (base_plus_one != 0 && check == format::base_check(birth.seed, base_plus_one)) {]=]
  REPLACE [=[    if (base_plus_one != 0 && (BROOK_MUTANT(base_check_ignored) || check == format::base_check(birth.seed, base_plus_one))) {]=]
  CAUGHT_BY test storage/segment_directory "each piece of a header counts only when it verifies")

brook_mutant(old_index_kept
  FILE storage/segment_directory.hpp
  FIND [=[        discard(stem + ".log.tmp");
        discard(stem + ".index");  // an index without its log is nobody's]=]
  REPLACE [=[        discard(stem + ".log.tmp");
        if (!BROOK_MUTANT(old_index_kept)) {
            discard(stem + ".index");  // an index without its log is nobody's
        }]=]
  CAUGHT_BY test storage/recovery "a kill anywhere in a roll is finished by the next opening")

brook_mutant(identity_without_boot
  FILE storage/segment_directory.hpp
  FIND [=[        return summary.has_writer && !code && now == os::file_identity{last.boot_id, last.device, last.inode, last.birth_time_ns};]=]
  REPLACE [=[        return summary.has_writer && !code &&
               now == os::file_identity{BROOK_MUTANT(identity_without_boot) ? now.boot_id : last.boot_id, last.device,
                                        BROOK_MUTANT(identity_without_file) ? now.inode : last.inode,
                                        BROOK_MUTANT(identity_without_file) ? now.birth_time_ns : last.birth_time_ns};]=]
  CAUGHT_BY test storage/recovery "after a loss of power the log is a prefix with everything durable in it")

brook_mutant(identity_without_file WITH identity_without_boot
  CAUGHT_BY test storage/recovery "files that were copied are as after a loss of power, in the same boot: no gap is filled in them")

# ---- storage: durable ----

brook_mutant(acknowledged_before_sync
  FILE storage/durability.hpp
  FIND [=[                if (const auto code = pin->log_file().sync()) {]=]
  REPLACE [=[                const bool is_retried = BROOK_MUTANT(failed_sync_retried) && pin->log_file().sync();
                if (const auto code = BROOK_MUTANT(acknowledged_before_sync) || (BROOK_MUTANT(failed_sync_retried) && !is_retried)
                                          ? std::error_code{} : pin->log_file().sync()) {]=]
  CAUGHT_BY test storage/durability "a sync makes durable what was published before it began, and not a record more")

brook_mutant(failed_sync_retried WITH acknowledged_before_sync
  CAUGHT_BY test storage/durability "a failed sync is final")

brook_mutant(durable_one_too_high
  FILE storage/durability.hpp
  FIND [=[            durable_.store(place.next, std::memory_order_release);
            write_evidence(place.next);]=]
  REPLACE [=[            durable_.store(place.next + (BROOK_MUTANT(durable_one_too_high) ? 1 : 0), std::memory_order_release);
            write_evidence(place.next + (BROOK_MUTANT(evidence_one_too_high) ? 1 : 0));]=]
  CAUGHT_BY test storage/durability "a sync makes durable what was published before it began, and not a record more")

brook_mutant(evidence_one_too_high WITH durable_one_too_high
  CAUGHT_BY test storage/durability "after a sync the log itself says how far it is durable")

brook_mutant(only_last_segment_synced
  FILE storage/durability.hpp
  FIND [=[        for (segment* home = synced_.home;; home = home->next.load(std::memory_order_acquire)) {]=]
  REPLACE [=[        for (segment* home = BROOK_MUTANT(only_last_segment_synced) ? place.home : synced_.home;; home = home->next.load(std::memory_order_acquire)) {]=]
  CAUGHT_BY test storage/durability "durable never passes into a segment whose predecessors are not on the disk")

brook_mutant(appends_go_on_after_failed_sync
  FILE storage/durability.hpp
  FIND [=[        appends_.stop(append_state::failed, std::move(why));]=]
  REPLACE [=[        if (!BROOK_MUTANT(appends_go_on_after_failed_sync)) {
            appends_.stop(append_state::failed, std::move(why));
        }]=]
  CAUGHT_BY test storage/durability "a failed sync is final")

brook_mutant(names_taken_for_durable
  FILE storage/durability.hpp
  FIND [=[        if (!names_are_synced_) {]=]
  REPLACE [=[        if (!names_are_synced_ && !BROOK_MUTANT(names_taken_for_durable)) {]=]
  CAUGHT_BY test storage/power_loss "what is durable after a kill stays, even if the dead process had not synced the segment's name")

brook_mutant(footer_end_one_too_high
  FILE storage/log.hpp
  FIND [=[format::make_footer(pin->seed(), end, tail.end(),]=]
  REPLACE [=[format::make_footer(pin->seed(), BROOK_MUTANT(footer_end_one_too_high) ? end + 1 : end, tail.end(),]=]
  CAUGHT_BY test storage/partition_scrub "a look at a log that was closed in good order counts what is in it and finds nothing")

brook_mutant(waiters_answered_too_early
  FILE storage/durability.hpp
  FIND [=[        while (durable_offset() < end) {]=]
  REPLACE [=[        while (durable_offset() < end - (BROOK_MUTANT(waiters_answered_too_early) ? 1 : 0)) {]=]
  CAUGHT_BY test storage/durability "a sync makes durable what was published before it began, and not a record more")

brook_mutant(failed_sync_forgotten
  FILE storage/durability.hpp
  FIND [=[        if (sync_failure() || (place.next <= durable_offset() && place.home == synced_.home)) {]=]
  REPLACE [=[        if ((sync_failure() && !BROOK_MUTANT(failed_sync_forgotten)) || (place.next <= durable_offset() && place.home == synced_.home)) {]=]
  CAUGHT_BY test storage/durability "a failed sync is final")

brook_mutant(prefix_read_before_leading
  FILE storage/durability.hpp
  FIND [=[        if (sync_failure() || syncing_.exchange(true, std::memory_order_acquire)) {
            return false;
        }
        return lead([&] {
            log_place published = prefix_.advance();]=]
  REPLACE [=[        log_place early = prefix_.advance();
        if (BROOK_MUTANT(prefix_read_before_leading)) {
            files_.platform().wait(round_, round_.load(), std::chrono::milliseconds{1});  // another thread has led a round meanwhile
        }
        if (sync_failure() || syncing_.exchange(true, std::memory_order_acquire)) {
            return false;
        }
        return lead([&] {
            log_place published = BROOK_MUTANT(prefix_read_before_leading) ? early : prefix_.advance();]=]
  CAUGHT_BY test storage/log "writers, readers, upkeep, rolls and syncs get along")

brook_mutant(newest_segment_synced_too
  FILE storage/durability.hpp
  FIND [=[                published.at = format::segment_header_size;
                published.next = published.home->base;]=]
  REPLACE [=[                if (!BROOK_MUTANT(newest_segment_synced_too)) {
                    published.at = format::segment_header_size;
                    published.next = published.home->base;
                }]=]
  CAUGHT_BY test storage/durability "upkeep syncs sealed segments whatever the flush policy, and leaves the newest alone")

brook_mutant(one_more_unsynced_acknowledged
  FILE storage/log.hpp
  FIND [=[return at + 2 - options_.flush_messages;]=]
  REPLACE [=[return at + (BROOK_MUTANT(one_more_unsynced_acknowledged) ? 1 : 2) - options_.flush_messages;]=]
  CAUGHT_BY test storage/durability "flush_messages bounds the acknowledged records that are not synced")

brook_mutant(footer_before_sync
  FILE storage/log.hpp
  FIND [=[        for (; finished_ + 1 < segments_.count() && segments_.at(finished_)->is_synced.load(std::memory_order_acquire); ++finished_) {]=]
  REPLACE [=[        for (; finished_ + 1 < segments_.count() && (BROOK_MUTANT(footer_before_sync) || segments_.at(finished_)->is_synced.load(std::memory_order_acquire)); ++finished_) {]=]
  CAUGHT_BY test storage/durability "a sync of a sealed segment that fails is as final")

brook_mutant(checkpoint_one_too_high
  FILE storage/log.hpp
  FIND [=[            saved.durable_offset = durable_offset();]=]
  REPLACE [=[            saved.durable_offset = durable_offset() + (BROOK_MUTANT(checkpoint_one_too_high) ? 1 : 0);]=]
  CAUGHT_BY test storage/partition_scrub "a look at a log that was closed in good order counts what is in it and finds nothing")

brook_mutant(append_time_goes_back
  FILE storage/log.hpp
  FIND [=[            of.last_append_time_ = now > of.last_append_time_ ? now : of.last_append_time_;]=]
  REPLACE [=[            of.last_append_time_ = now > of.last_append_time_ || BROOK_MUTANT(append_time_goes_back) ? now : of.last_append_time_;]=]
  CAUGHT_BY test storage/log "append time never goes back, whatever the clock does")

brook_mutant(space_given_back_too_soon
  FILE storage/log.hpp
  FIND [=[        const position from = align_up(end, page_size);]=]
  REPLACE [=[        const position from = align_up(end, page_size) - (BROOK_MUTANT(space_given_back_too_soon) ? page_size : 0);]=]
  CAUGHT_BY test storage/appender "a segment ends with its seal, wherever the last record ends")

# ---- storage: recovery ----

brook_mutant(erase_skipped
  FILE storage/recovery.hpp
  FIND [=[        std::memset(memory.frame(scan.at), 0, dirty_end - scan.at);]=]
  REPLACE [=[        if (!BROOK_MUTANT(erase_skipped)) {
            std::memset(memory.frame(scan.at), 0, dirty_end - scan.at);
        }]=]
  CAUGHT_BY test storage/recovery "what is cut after a loss of power is kept aside, and cannot come back")

brook_mutant(erase_not_synced
  FILE storage/recovery.hpp
  FIND [=[        const auto code = memory.log_file().sync();
        if (!code) {]=]
  REPLACE [=[        const auto code = BROOK_MUTANT(erase_not_synced) ? std::error_code{} : memory.log_file().sync();
        if (!code) {]=]
  CAUGHT_BY test storage/power_loss "a tail that a killed recovery has erased does not come back behind new records")

brook_mutant(failed_erase_not_repeated
  FILE storage/recovery.hpp
  FIND [=[        for (position at = scan.at; at < memory.readable();) {]=]
  REPLACE [=[        for (position at = scan.at; at < memory.readable() && !BROOK_MUTANT(failed_erase_not_repeated);) {]=]
  CAUGHT_BY test storage/power_loss "a tail that recovery could not erase on the disk is erased by the next one")

brook_mutant(rot_is_cut
  FILE storage/recovery.hpp
  FIND [=[            if (log_->checkpoint.durable_offset <= scan.next) {
                return cut(scan);
            }]=]
  REPLACE [=[            if (BROOK_MUTANT(goes_on_past_a_gap) && log_->checkpoint.durable_offset <= scan.next) {
                frame_view beyond;
                if (find_frame(*scan.memory, scan.at + format::frame_alignment, scan.next, beyond)) {
                    static_cast<void>(step_over_damage(scan));
                    continue;
                }
            }
            if (log_->checkpoint.durable_offset <= scan.next + (BROOK_MUTANT(evidence_one_too_low) ? 1 : 0) || BROOK_MUTANT(rot_is_cut)) {
                return cut(scan);
            }]=]
  CAUGHT_BY test storage/recovery "below the evidence of durability a bad record is rot: told, kept, never cut")

brook_mutant(goes_on_past_a_gap WITH rot_is_cut
  CAUGHT_BY test storage/recovery "after a loss of power the log is a prefix with everything durable in it")

brook_mutant(evidence_one_too_low WITH rot_is_cut
  CAUGHT_BY test storage/recovery "below the evidence of durability a bad record is rot: told, kept, never cut")

brook_mutant(evidence_beyond_ignored
  FILE storage/recovery.hpp
  FIND [=[        gather_evidence(*scan.memory, scan.at + format::frame_alignment, scan.next);
        for (std::size_t later = i + 1; later < bases_.size(); ++later) {]=]
  REPLACE [=[        if (BROOK_MUTANT(evidence_beyond_ignored)) {
            return {};
        }
        gather_evidence(*scan.memory, scan.at + format::frame_alignment, scan.next);
        for (std::size_t later = i + 1; later < bases_.size(); ++later) {]=]
  CAUGHT_BY test storage/recovery "below the evidence of durability a bad record is rot: told, kept, never cut")

brook_mutant(epoch_not_raised
  FILE storage/recovery.hpp
  FIND [=[        log_->checkpoint.leader_epoch += 1;]=]
  REPLACE [=[        log_->checkpoint.leader_epoch += BROOK_MUTANT(epoch_not_raised) ? 0 : 1;]=]
  CAUGHT_BY test storage/recovery "a recovery that cuts raises the epoch, even when it is killed before it has finished")

brook_mutant(later_segments_stay
  FILE storage/recovery.hpp
  FIND [=[        for (; i < bases_.size(); ++i) {]=]
  REPLACE [=[        for (; i < bases_.size() && !BROOK_MUTANT(later_segments_stay); ++i) {]=]
  CAUGHT_BY test storage/recovery "segments beyond a cut are put aside, never deleted")

brook_mutant(cut_not_kept_aside
  FILE storage/recovery.hpp
  FIND [=[        if (saved_end > scan.at) {]=]
  REPLACE [=[        if (saved_end > scan.at && !BROOK_MUTANT(cut_not_kept_aside)) {]=]
  CAUGHT_BY test storage/recovery "what is cut after a loss of power is kept aside, and cannot come back")

brook_mutant(pages_not_dirty_again
  FILE storage/recovery.hpp
  FIND [=[                    dirty_again(scan, found);]=]
  REPLACE [=[                    if (!BROOK_MUTANT(pages_not_dirty_again)) {
                        dirty_again(scan, found);
                    }]=]
  CAUGHT_BY fault power_loss)

brook_mutant(filler_one_too_many
  FILE storage/recovery.hpp
  FIND [=[        header.count = static_cast<std::uint32_t>(after - scan.next);]=]
  REPLACE [=[        header.count = static_cast<std::uint32_t>(after - scan.next) + (BROOK_MUTANT(filler_one_too_many) ? 1 : 0);]=]
  CAUGHT_BY test storage/recovery "a gap that a killed writer left becomes one filler, and its offsets are consumed")

brook_mutant(durable_gap_filled
  FILE storage/recovery.hpp
  FIND [=[const bool was_claimed = hole.is_whole && log_->checkpoint.durable_offset <= scan.next;]=]
  REPLACE [=[const bool was_claimed = hole.is_whole && (BROOK_MUTANT(durable_gap_filled) || log_->checkpoint.durable_offset <= scan.next);]=]
  CAUGHT_BY test storage/recovery "a hole among durable records is rot and no claim of a killed writer, in the same boot and at each opening")

brook_mutant(signed_before_the_cut
  FILE storage/recovery.hpp
  FIND [=[        start_at_checkpoint(scan);]=]
  REPLACE [=[        if (BROOK_MUTANT(signed_before_the_cut)) {
            static_cast<void>(segment_directory::sign(*pin, files_.name()));
        }
        start_at_checkpoint(scan);]=]
  CAUGHT_BY test storage/power_loss "a tail that a killed recovery has erased does not come back behind new records")

brook_mutant(checkpoint_place_trusted
  FILE storage/recovery.hpp
  FIND [=[        if (reached.at == at && reached.next == from.segment_offset) {]=]
  REPLACE [=[        if (BROOK_MUTANT(checkpoint_place_trusted) || (reached.at == at && reached.next == from.segment_offset)) {]=]
  CAUGHT_BY test storage/recovery "what is derived from the log may be missing, old or nonsense")

brook_mutant(names_of_a_cut_not_synced
  FILE storage/recovery.hpp
  FIND [=[scan.is_cut ? files_.platform().sync_directory(files_.path()) : std::error_code{}) {]=]
  REPLACE [=[scan.is_cut && !BROOK_MUTANT(names_of_a_cut_not_synced) ? files_.platform().sync_directory(files_.path()) : std::error_code{}) {]=]
  CAUGHT_BY test storage/power_loss "a segment that a killed recovery has put aside does not come back under its name")

brook_mutant(named_spare_refused
  FILE storage/recovery.hpp
  FIND [=[            } else if (!summary.base && !same_identity) {]=]
  REPLACE [=[            } else if (!summary.base && !same_identity && !BROOK_MUTANT(named_spare_refused)) {]=]
  CAUGHT_BY test storage/power_loss "a spare that was taken and named opens, even if its base offset was not on the disk yet")

brook_mutant(taken_spare_forgotten
  FILE storage/recovery.hpp
  FIND [=[        if (file && summary.base && (bases_.empty() || bases_.back() < *summary.base)) {]=]
  REPLACE [=[        if (file && summary.base && !BROOK_MUTANT(taken_spare_forgotten) && (bases_.empty() || bases_.back() < *summary.base)) {]=]
  CAUGHT_BY test storage/recovery "a kill anywhere in a roll is finished by the next opening")

brook_mutant(unknown_identity_is_another
  FILE storage/recovery.hpp
  FIND [=[            if (unknown) {]=]
  REPLACE [=[            if (unknown && !BROOK_MUTANT(unknown_identity_is_another)) {]=]
  CAUGHT_BY test storage/recovery "a system that does not say who a file is makes opening fail, and cuts nothing")

brook_mutant(footer_is_no_evidence
  FILE storage/recovery.hpp
  FIND [=[        raise_evidence(summary.has_footer ? summary.footer.end_offset : 0);
        scan_state scan]=]
  REPLACE [=[        raise_evidence(summary.has_footer && !BROOK_MUTANT(footer_is_no_evidence) ? summary.footer.end_offset : 0);
        scan_state scan]=]
  CAUGHT_BY test storage/recovery "the footer of a segment is evidence of its own records, when no other is left")

brook_mutant(damage_not_told
  FILE storage/recovery.hpp
  FIND [=[        log_->report.damages.push_back({file, begin, end, first, last});]=]
  REPLACE [=[        if (!BROOK_MUTANT(damage_not_told)) {
            log_->report.damages.push_back({file, begin, end, first, last});
        }]=]
  CAUGHT_BY test storage/recovery "below the evidence of durability a bad record is rot: told, kept, never cut")

brook_mutant(seal_taken_back
  FILE storage/recovery.hpp
  FIND [=[        is_open_ = !scan.is_sealed && !scan.ends_in_damage;]=]
  REPLACE [=[        is_open_ = (!scan.is_sealed || BROOK_MUTANT(seal_taken_back)) && !scan.ends_in_damage;]=]
  CAUGHT_BY test storage/recovery "a kill anywhere in a roll is finished by the next opening")

brook_mutant(filler_without_mark
  FILE storage/recovery.hpp
  FIND [=[        word.store(format::frame_word::claimed(length).raw(), std::memory_order_seq_cst);
        format::frame_header header{};]=]
  REPLACE [=[        if (!BROOK_MUTANT(filler_without_mark)) {
            word.store(format::frame_word::claimed(length).raw(), std::memory_order_seq_cst);
        }
        format::frame_header header{};]=]
  CAUGHT_BY fault kill_every_instruction)

brook_mutant(mark_erased_before_body
  FILE storage/recovery.hpp
  FIND [=[        word.store(format::frame_word::claimed(align_up(length, format::frame_alignment)).raw(), std::memory_order_seq_cst);]=]
  REPLACE [=[        word.store(BROOK_MUTANT(mark_erased_before_body) ? 0 : format::frame_word::claimed(align_up(length, format::frame_alignment)).raw(),
                   std::memory_order_seq_cst);]=]
  CAUGHT_BY fault kill_every_instruction)

brook_mutant(claims_not_stepped_over_whole
  FILE storage/recovery.hpp
  FIND [=[            at += length;
            hole.dirty_end]=]
  REPLACE [=[            at += BROOK_MUTANT(claims_not_stepped_over_whole) ? format::frame_alignment : length;
            hole.dirty_end]=]
  CAUGHT_BY test storage/recovery "a gap that a killed writer left becomes one filler, and its offsets are consumed")

# ---- storage: reading ----

brook_mutant(rot_read_in_silence
  FILE storage/log_reader.hpp
  FIND [=[                case look::corrupt:
                    why = damaged();
                    return false;
                case look::frame: break;]=]
  REPLACE [=[                case look::corrupt:
                    if (BROOK_MUTANT(rot_read_in_silence) && find_frame(*pin_, at_ + format::frame_alignment, next_, found)) {
                        at_ = found.at;
                        next_ = wanted_ = found.header.base_offset;
                        continue;
                    }
                    why = damaged();
                    return false;
                case look::frame: break;]=]
  CAUGHT_BY test storage/log_reader "what comes from the disk is verified before it is handed out, unless the reader forgoes it")

brook_mutant(index_trusted
  FILE storage/frame_walk.hpp
  FIND [=[    return believable ? walk_start{slot.at, claimed} : first;]=]
  REPLACE [=[    return believable || (BROOK_MUTANT(index_trusted) && low != 0) ? walk_start{slot.at, claimed} : first;]=]
  CAUGHT_BY test storage/frame_walk "a walk starts at or before what it looks for, whatever the index says")

brook_mutant(any_frame_believed_behind_damage
  FILE storage/frame_walk.hpp
  FIND [=[|| !format::verifies(segment.seed(), at, segment.readable(), data)) {
            continue;]=]
  REPLACE [=[|| (!BROOK_MUTANT(any_frame_believed_behind_damage) && !format::verifies(segment.seed(), at, segment.readable(), data))) {
            continue;]=]
  CAUGHT_BY test storage/frame_walk "behind damage the next intact frame is found, and no payload passes for one")

brook_mutant(nothing_where_a_record_was
  FILE storage/frame_walk.hpp
  FIND [=[    return seen == look::nothing && is_from_disk ? look::corrupt : seen;]=]
  REPLACE [=[    return seen == look::nothing && is_from_disk && !BROOK_MUTANT(nothing_where_a_record_was) ? look::corrupt : seen;]=]
  CAUGHT_BY test storage/recovery "a hole among durable records is rot and no claim of a killed writer, in the same boot and at each opening")

brook_mutant(lone_records_not_verified
  FILE storage/log_reader.hpp
  FIND [=[            if (at < from_disk && at >= verified_to &&]=]
  REPLACE [=[            if (!BROOK_MUTANT(lone_records_not_verified) && at < from_disk && at >= verified_to &&]=]
  CAUGHT_BY test storage/log_reader "what comes from the disk is verified before it is handed out, unless the reader forgoes it")

brook_mutant(batches_not_verified
  FILE storage/log_reader.hpp
  FIND [=[        const bool is_due = verify && at_ >= verified_to;]=]
  REPLACE [=[        const bool is_due = verify && at_ >= verified_to && !BROOK_MUTANT(batches_not_verified);]=]
  CAUGHT_BY test storage/log_reader "a batch that comes from the disk is verified as a whole, wherever in it a reader begins")

brook_mutant(missing_segment_skipped
  FILE storage/log_reader.hpp
  FIND [=[        if (next->base != next_) {]=]
  REPLACE [=[        if (BROOK_MUTANT(missing_segment_skipped)) {
            next_ = wanted_ = next->base;
        }
        if (next->base != next_) {]=]
  CAUGHT_BY test storage/damage "files of a log that are missing, exchanged or old are noticed")

brook_mutant(offset_behind_the_end_accepted
  FILE storage/log_reader.hpp
  FIND [=[        if (seen == look::nothing && next_ < wanted_ &&]=]
  REPLACE [=[        if (!BROOK_MUTANT(offset_behind_the_end_accepted) && seen == look::nothing && next_ < wanted_ &&]=]
  CAUGHT_BY test storage/log_reader "a reader gives every record from any offset on, however few it takes at once")

brook_mutant(index_one_off
  FILE storage/segment.hpp
  FIND [=[index_slot{relative_offset, at})]=]
  REPLACE [=[index_slot{relative_offset + (BROOK_MUTANT(index_one_off) ? 1 : 0), at})]=]
  CAUGHT_BY test storage/segment "each index slot tells of the frame that covers its byte")

brook_mutant(time_index_without_maximum
  FILE storage/time_index.hpp
  FIND [=[stretches_.push_back({at_, next_, stretches_.back().largest});]=]
  REPLACE [=[stretches_.push_back({at_, next_, BROOK_MUTANT(time_index_without_maximum) ? std::numeric_limits<std::int64_t>::min() : stretches_.back().largest});]=]
  CAUGHT_BY test storage/time_index "the first record at or after a time is found, in whatever order the clocks went")

# ---- compression ----

brook_mutant(ratio_unbounded
  FILE format/codec.hpp
  FIND [=[    return uncompressed <= free_size || uncompressed <= stored * largest_ratio;]=]
  REPLACE [=[    return uncompressed <= free_size || uncompressed <= stored * largest_ratio || BROOK_MUTANT(ratio_unbounded);]=]
  CAUGHT_BY test format/codec "no memory is taken for a size that a batch cannot have")

brook_mutant(uncompressed_size_unbounded
  FILE format/codec.hpp
  FIND [=[uncompressed == 0 || size > most ||]=]
  REPLACE [=[uncompressed == 0 || (size > most && !BROOK_MUTANT(uncompressed_size_unbounded)) ||]=]
  CAUGHT_BY test storage/decoded_batch "a batch that its segment could not hold uncompressed is not believed")

brook_mutant(other_size_accepted
  FILE lz4.hpp
  FIND [=[made >= 0 && static_cast<std::size_t>(made) == to.size()]=]
  REPLACE [=[made >= 0 && (BROOK_MUTANT(other_size_accepted) || static_cast<std::size_t>(made) == to.size())]=]
  CAUGHT_BY test format/codec "a size that is not the content's is corrupt, one more and one less")

brook_mutant(any_window
  FILE zstd.hpp
  FIND [=[        return !has_dictionary && window <= std::uint64_t{1} << most_window_log;]=]
  REPLACE [=[        return !has_dictionary && (BROOK_MUTANT(any_window) || window <= std::uint64_t{1} << most_window_log);]=]
  CAUGHT_BY test format/codec "zstd frames that brook does not write are refused before they cost anything")

brook_mutant(missing_codec_skipped
  FILE storage/log_reader.hpp
  FIND [=[                    return range.count > 0 || take_decoded(found, most, range, why);]=]
  REPLACE [=[                    if (BROOK_MUTANT(missing_codec_skipped) && format::find_codec(format::codec_of(found.header.attributes)) == nullptr) {
                        advance(found);
                        wanted_ = next_;
                        continue;
                    }
                    return range.count > 0 || take_decoded(found, most, range, why);]=]
  CAUGHT_BY test storage/decoded_batch "a batch whose codec nobody has is an error that says what to do, and neither skipped nor misread")

brook_mutant(decoded_again_and_again
  FILE storage/log_reader.hpp
  FIND [=[        if (!decoded_.is_of(found)) {]=]
  REPLACE [=[        if (BROOK_MUTANT(decoded_again_and_again) || !decoded_.is_of(found)) {]=]
  CAUGHT_BY test storage/decoded_batch "a batch is decoded once, however many fetches take their parts of it")

brook_mutant(decodes_all_at_once
  FILE storage/log_reader.hpp
  FIND [=[                decoded += range.decoded.length();]=]
  REPLACE [=[                decoded += BROOK_MUTANT(decodes_all_at_once) ? 0 : range.decoded.length();]=]
  CAUGHT_BY test storage/decoded_batch "a fetch ends when what it has decoded is as much as it may be, and gives one batch at least")

brook_mutant(compressed_though_larger
  FILE format/codec.hpp
  FIND [=[made + compressed_prefix < content.size() &&]=]
  REPLACE [=[(made + compressed_prefix < content.size() || BROOK_MUTANT(compressed_though_larger)) &&]=]
  CAUGHT_BY test engine/batch_compression "what compressing does not make smaller is written as it is")

brook_mutant(written_beyond_the_ratio
  FILE format/codec.hpp
  FIND [=[is_within_ratio(content.size(), made) ? made : 0;]=]
  REPLACE [=[(is_within_ratio(content.size(), made) || BROOK_MUTANT(written_beyond_the_ratio)) ? made : 0;]=]
  CAUGHT_BY test client/compression "batches that are compressed to almost nothing are written as they are beyond 1 MiB, since no reader believes them")

brook_mutant(compressed_to_fit
  FILE engine/sender.hpp
  FIND [=[        return body + format::frame_header_size + format::extension::bytes_each <= log.largest_frame();]=]
  REPLACE [=[        return BROOK_MUTANT(compressed_to_fit) || body + format::frame_header_size + format::extension::bytes_each <= log.largest_frame();]=]
  CAUGHT_BY test client/compression "a record that is sent alone is compressed by itself where it is large enough to gain by it")

brook_mutant(topic_does_not_force
  FILE engine/batch_compression.hpp
  FIND [=[        const compression type = forced.value_or(asked);]=]
  REPLACE [=[        const compression type = BROOK_MUTANT(topic_does_not_force) ? asked : forced.value_or(asked);]=]
  CAUGHT_BY test client/compression "a topic forces its codec on every producer, and keeps it")

brook_mutant(kept_behind_its_thread
  FILE core/thread_kept.hpp
  FIND [=[            here().is_over = true;]=]
  REPLACE [=[            here().is_over = !BROOK_MUTANT(kept_behind_its_thread);]=]
  CAUGHT_BY test core/thread_kept "what is kept is the thread's own, and what asks when the thread's objects go gets one that is not kept")

# ---- broker, and what reads by it ----

brook_mutant(meta_renamed_before_sync
  FILE broker/small_file.hpp
  FIND [=[    check(file->sync(), "cannot sync " + temporary);]=]
  REPLACE [=[    if (!BROOK_MUTANT(meta_renamed_before_sync)) {
        check(file->sync(), "cannot sync " + temporary);
    }]=]
  CAUGHT_BY test broker/core "a directory that was being made when the power went opens afterwards")

brook_mutant(topic_name_not_synced
  FILE broker/core.hpp
  FIND [=[    [[nodiscard]] topic_handle enter_topic(std::string_view name, const topic_meta& meta) {
        check(platform_.sync_directory(topics_path()), "cannot sync " + topics_path());]=]
  REPLACE [=[    [[nodiscard]] topic_handle enter_topic(std::string_view name, const topic_meta& meta) {
        if (!BROOK_MUTANT(topic_name_not_synced)) {
            check(platform_.sync_directory(topics_path()), "cannot sync " + topics_path());
        }]=]
  CAUGHT_BY test broker/core "a directory that was made is synced into its parent, as are the topics in it")

brook_mutant(partitions_not_synced_before_rename
  FILE broker/core.hpp
  FIND [=[        check(platform_.sync_directory(unfinished), "cannot sync " + unfinished);]=]
  REPLACE [=[        if (!BROOK_MUTANT(partitions_not_synced_before_rename)) {
            check(platform_.sync_directory(unfinished), "cannot sync " + unfinished);
        }]=]
  CAUGHT_BY fault power_loss)

brook_mutant(broker_meta_not_synced_first
  FILE broker/broker_directory.hpp
  FIND [=[        // Before anything else is in the directory: without broker.meta it would be a stranger's.
        check(platform_.sync_directory(path_), "cannot sync " + path_);]=]
  REPLACE [=[        // Before anything else is in the directory: without broker.meta it would be a stranger's.
        if (!BROOK_MUTANT(broker_meta_not_synced_first)) {
            check(platform_.sync_directory(path_), "cannot sync " + path_);
        }]=]
  CAUGHT_BY test broker/core "a directory that was being made when the power went opens afterwards")

brook_mutant(failed_commit_remembered
  FILE broker/committed_offsets.hpp
  FIND [=[        failure why = append(group, positions, false);
        if (!why) {]=]
  REPLACE [=[        failure why = append(group, positions, false);
        if (!why || BROOK_MUTANT(failed_commit_remembered)) {]=]
  CAUGHT_BY test broker/committed_offsets "a commit that could not be appended has not happened")

brook_mutant(commits_one_by_one
  FILE broker/committed_offsets.hpp
  FIND [=[        const auto count = static_cast<std::uint32_t>(positions.size());]=]
  REPLACE [=[        const auto count = BROOK_MUTANT(commits_one_by_one) ? 1u : static_cast<std::uint32_t>(positions.size());]=]
  CAUGHT_BY test broker/committed_offsets "a commit is found again, by group, topic and partition, also by the next broker")

brook_mutant(two_brokers_in_a_directory
  FILE broker/broker_directory.hpp
  FIND [=[        if (code == std::errc::resource_unavailable_try_again) {]=]
  REPLACE [=[        if (BROOK_MUTANT(two_brokers_in_a_directory)) {
            code.clear();
        }
        if (code == std::errc::resource_unavailable_try_again) {]=]
  CAUGHT_BY test broker/core "a directory is one broker's at a time")

brook_mutant(partition_taken_before_it_is_given_up
  FILE broker/group.hpp
  FIND [=[return place.target == id && place.owner == nobody; });]=]
  REPLACE [=[return place.target == id && place.owner != id && (place.owner == nobody || BROOK_MUTANT(partition_taken_before_it_is_given_up)); });]=]
  CAUGHT_BY test broker/group "a partition goes from one to another only when that one has given it up")

brook_mutant(commit_by_who_was_put_out
  FILE broker/group_coordinator.hpp
  FIND [=[        if (member == 0 ? in != nullptr && in->has_members() : in == nullptr || in->find(member) == nullptr) {]=]
  REPLACE [=[        if (BROOK_MUTANT(commit_by_who_was_put_out)) {
            return {};
        }
        if (member == 0 ? in != nullptr && in->has_members() : in == nullptr || in->find(member) == nullptr) {]=]
  CAUGHT_BY test client/group "commits are for what is one's own, and for what is there")

brook_mutant(commit_of_a_cut_history_believed
  FILE client/consumer.hpp
  FIND [=[        if (found->leader_epoch >= 0) {]=]
  REPLACE [=[        if (found->leader_epoch >= 0 && !BROOK_MUTANT(commit_of_a_cut_history_believed)) {]=]
  CAUGHT_BY test client/group "a commit of what was cut is not believed, even where new records have taken the place")

brook_mutant(commit_beyond_the_end
  FILE client/consumer.hpp
  FIND [=[        offset next = found->next < end ? found->next : end;]=]
  REPLACE [=[        offset next = found->next < end || BROOK_MUTANT(commit_beyond_the_end) ? found->next : end;]=]
  CAUGHT_BY test client/consumer "a commit behind the end of the log goes on at the end, and is told")

brook_mutant(late_topic_by_latest
  FILE client/consumer.hpp
  FIND [=[        if (topic != nullptr && topic->is_late &&]=]
  REPLACE [=[        if (topic != nullptr && topic->is_late && !BROOK_MUTANT(late_topic_by_latest) &&]=]
  CAUGHT_BY test client/topics "topics that are made later join in, from their first record on")

brook_mutant(commit_noted_for_every_topic
  FILE client/consumer.hpp
  FIND [=[&& id_of(one.of) == position.topic ?]=]
  REPLACE [=[&& (id_of(one.of) == position.topic || BROOK_MUTANT(commit_noted_for_every_topic)) ?]=]
  CAUGHT_BY test client/topics "auto commit takes each topic for itself")

brook_mutant(empty_while_it_has_members
  FILE broker/group_coordinator.hpp
  FIND [=[            static_cast<void>(offsets_.note_members(name));]=]
  REPLACE [=[            if (!BROOK_MUTANT(empty_while_it_has_members)) {
                static_cast<void>(offsets_.note_members(name));
            }]=]
  CAUGHT_BY test client/group "a group that a broker left with its members is forgotten no sooner than it could have come back")

brook_mutant(forgotten_though_it_commits
  FILE broker/group_coordinator.hpp
  FIND [=[(empty_since > one.last_commit ? empty_since : one.last_commit)]=]
  REPLACE [=[(empty_since > one.last_commit || BROOK_MUTANT(forgotten_though_it_commits) ? empty_since : one.last_commit)]=]
  CAUGHT_BY test client/group "who is assigned partitions keeps its group by committing")

# ---- exactly once ----

brook_mutant(repetition_appended
  FILE engine/numbering.hpp
  FIND [=[            if (first < next) {]=]
  REPLACE [=[            if (first < next && !BROOK_MUTANT(repetition_appended)) {]=]
  CAUGHT_BY test client/idempotence "a record that is sent again is there once, and its delivery says where")

brook_mutant(older_producer_goes_on
  FILE engine/numbering.hpp
  FIND [=[        if (state_->epoch() != epoch_) [[unlikely]] {]=]
  REPLACE [=[        if (state_->epoch() != epoch_ && !BROOK_MUTANT(older_producer_goes_on)) [[unlikely]] {]=]
  CAUGHT_BY test client/idempotence "who comes with a name takes the place of who had it")

brook_mutant(gap_in_a_batch
  FILE engine/gathering.hpp
  FIND [=[(sequence && *sequence != first_sequence_ + body_.count()))) {]=]
  REPLACE [=[(sequence && *sequence != first_sequence_ + body_.count() && !BROOK_MUTANT(gap_in_a_batch)))) {]=]
  CAUGHT_BY test client/idempotence "records that linger are known while they do, and numbers that leave one out end their batch")

brook_mutant(producers_forgotten_at_opening
  FILE storage/log.hpp
  FIND [=[        if ((checkpoint_.flags & format::checkpoint_flag::producers) != 0) {]=]
  REPLACE [=[        if ((checkpoint_.flags & format::checkpoint_flag::producers) != 0 && !BROOK_MUTANT(producers_forgotten_at_opening)) {]=]
  CAUGHT_BY test client/idempotence "a producer with a name goes on where it was, after a close or a kill")

brook_mutant(first_number_without_a_flag
  FILE storage/log.hpp
  FIND [=[changed.flags |= which; });]=]
  REPLACE [=[changed.flags |= BROOK_MUTANT(first_number_without_a_flag) ? 0 : which; });]=]
  CAUGHT_BY test client/idempotence "a producer with a name goes on where it was, after a close or a kill")

brook_mutant(lost_checkpoint_loses_producers
  FILE storage/recovery.hpp
  FIND [=[        if (!saved && !bases_.empty()) {]=]
  REPLACE [=[        if (!saved && !bases_.empty() && !BROOK_MUTANT(lost_checkpoint_loses_producers)) {]=]
  CAUGHT_BY test client/idempotence "the checkpoint may be lost, and what was remembered is not")

brook_mutant(producers_frame_not_read
  FILE storage/producer_memory.hpp
  FIND [=[            table_.decode(newest);]=]
  REPLACE [=[            if (!BROOK_MUTANT(producers_frame_not_read)) {
                table_.decode(newest);
            }]=]
  CAUGHT_BY test client/idempotence "what is remembered of a producer is found however many segments have come since")

brook_mutant(undecided_is_read
  FILE storage/log_reader.hpp
  FIND [=[                    if (fate == transaction_fate::open) {
                        return false;
                    }]=]
  REPLACE [=[                    if (fate == transaction_fate::open && !BROOK_MUTANT(undecided_is_read)) {
                        return false;
                    }]=]
  CAUGHT_BY test client/transaction "what is too large for memory is appended before, and readers of committed records wait in front of it")

brook_mutant(aborted_is_read
  FILE storage/transaction_table.hpp
  FIND [=[            return is_open ? transaction_fate::open : is_damaged_ ? transaction_fate::unknown : transaction_fate::aborted;]=]
  REPLACE [=[            return is_open ? transaction_fate::open : is_damaged_ ? transaction_fate::unknown
                           : BROOK_MUTANT(aborted_is_read) ? transaction_fate::committed : transaction_fate::aborted;]=]
  CAUGHT_BY test client/transaction "what a process leaves open that is killed is aborted, and what it committed stays")

brook_mutant(failed_epoch_not_told
  FILE broker/transaction_coordinator.hpp
  FIND [=[            of.aborted.push_back(in.epoch_);]=]
  REPLACE [=[            if (!BROOK_MUTANT(failed_epoch_not_told)) {
                of.aborted.push_back(in.epoch_);
            }]=]
  CAUGHT_BY test client/transaction "what a process leaves open that is killed is aborted, and what it committed stays")

brook_mutant(decided_and_nobody_woken
  FILE storage/log.hpp
  FIND [=[        appends_.wake();]=]
  REPLACE [=[        if (!BROOK_MUTANT(decided_and_nobody_woken)) {
            appends_.wake();
        }]=]
  CAUGHT_BY test client/transaction "a poll that waits in front of a transaction is woken when it is decided"
  HANGS)

brook_mutant(fenced_transaction_commits
  FILE broker/transaction_coordinator.hpp
  FIND [=[            case state::fenced:]=]
  REPLACE [=[            case state::fenced:
                if (BROOK_MUTANT(fenced_transaction_commits)) {
                    return {};
                }]=]
  CAUGHT_BY test client/transaction "who begins under an id aborts what is open there, and fences who began it")

brook_mutant(transaction_acknowledged_before_its_record
  FILE broker/transaction_coordinator.hpp
  FIND [=[        return log().sync();]=]
  REPLACE [=[        return BROOK_MUTANT(transaction_acknowledged_before_its_record) ? failure{} : log().sync();]=]
  CAUGHT_BY test client/transaction "a commit waits for the disk where a topic of it has flush_messages")

# ---- exactly once, when the process is killed or the power goes ----

brook_mutant(transaction_shown_before_its_record
  FILE broker/transaction_coordinator.hpp
  FIND [=[            if (failure why = append(in.transactional_id_, told)) {]=]
  REPLACE [=[            if (BROOK_MUTANT(transaction_shown_before_its_record)) {
                shared_.transactions.commit(in.producer_id_, in.epoch_, std::vector<std::uint16_t>{of.aborted});
                for (const auto until = shared_.platform.monotonic() + std::chrono::microseconds{100}; shared_.platform.monotonic() < until;) {  // for a reader to come
                }
            }
            if (failure why = append(in.transactional_id_, told)) {]=]
  CAUGHT_BY fault exactly_once)

brook_mutant(epoch_of_an_aborted_transaction_again
  FILE broker/transaction_coordinator.hpp
  FIND [=[            of.last_epoch = in.epoch_;
            in.has_appended_ = true;]=]
  REPLACE [=[            of.last_epoch = BROOK_MUTANT(epoch_of_an_aborted_transaction_again) ? of.last_epoch : std::int32_t{in.epoch_};
            in.has_appended_ = true;]=]
  CAUGHT_BY fault kill_every_instruction 10 1 transactions:)

brook_mutant(ends_without_offsets
  FILE broker/transaction_coordinator.hpp
  FIND [=[                if (part.end >= 0 && !part.is_gone()) {]=]
  REPLACE [=[                if (part.end >= 0 && !part.is_gone() && !(BROOK_MUTANT(ends_without_offsets) && part.topic == offsets_.topic())) {]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(ends_not_looked_at
  FILE broker/transaction_history.hpp
  FIND [=[            if (!is_durable && !log.has_frame(end.end, end.leader_epoch, end.checksum)) {]=]
  REPLACE [=[            if (!is_durable && !log.has_frame(end.end, end.leader_epoch, end.checksum) && !BROOK_MUTANT(ends_not_looked_at)) {]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(lost_transactions_judged_again
  FILE broker/transaction_history.hpp
  FIND [=[                of.lost -= erase(one.lost, epoch);]=]
  REPLACE [=[                of.lost -= BROOK_MUTANT(lost_transactions_judged_again) ? 0 : erase(one.lost, epoch);]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(lost_transactions_not_judged
  FILE broker/transaction_coordinator.hpp
  FIND [=[            if (one.lost.empty()) {]=]
  REPLACE [=[            if (one.lost.empty() || BROOK_MUTANT(lost_transactions_not_judged)) {]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(survivor_behind_a_lost_transaction
  FILE broker/transaction_history.hpp
  FIND [=[            found = of.lost > 0 ? reach::lost : reached(*told, of);]=]
  REPLACE [=[            found = of.lost > 0 && !BROOK_MUTANT(survivor_behind_a_lost_transaction) ? reach::lost : reached(*told, of);]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(unsynced_of_a_dead_process_forgotten
  FILE broker/transaction_history.hpp
  FIND [=[                of.unsynced.note({topics_[i], end.partition, 0, end.end});]=]
  REPLACE [=[                if (!BROOK_MUTANT(unsynced_of_a_dead_process_forgotten)) {
                    of.unsynced.note({topics_[i], end.partition, 0, end.end});
                }]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(parts_not_synced
  FILE broker/transaction_coordinator.hpp
  FIND [=[            parts = holder_of(transactional_id).unsynced.all();]=]
  REPLACE [=[            parts = BROOK_MUTANT(parts_not_synced) ? std::vector<transaction_part>{} : holder_of(transactional_id).unsynced.all();]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(interval_syncs_the_record_alone
  FILE broker/transaction_coordinator.hpp
  FIND [=[                    to_sync.insert(to_sync.end(), of.unsynced.all().begin(), of.unsynced.all().end());]=]
  REPLACE [=[                    if (!BROOK_MUTANT(interval_syncs_the_record_alone)) {
                        to_sync.insert(to_sync.end(), of.unsynced.all().begin(), of.unsynced.all().end());
                    }]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(interval_forgotten_at_opening
  FILE broker/transaction_history.hpp
  FIND [=[            note_interval(log.options().flush_interval);]=]
  REPLACE [=[            if (!BROOK_MUTANT(interval_forgotten_at_opening)) {
                note_interval(log.options().flush_interval);
            }]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(offsets_of_the_aborted_committed
  FILE broker/topic_replay.hpp
  FIND [=[    reader.read_committed(true);]=]
  REPLACE [=[    reader.read_committed(!BROOK_MUTANT(offsets_of_the_aborted_committed));]=]
  CAUGHT_BY fault exactly_once)

brook_mutant(numbers_behind_the_table_forgotten
  FILE storage/producer_memory.hpp
  FIND [=[                table_.note(format::load_stamp(found.data), found.offsets_taken(), found.header.base_offset);]=]
  REPLACE [=[                if (!BROOK_MUTANT(numbers_behind_the_table_forgotten)) {
                    table_.note(format::load_stamp(found.data), found.offsets_taken(), found.header.base_offset);
                }]=]
  CAUGHT_BY fault exactly_once)

brook_mutant(checkpoint_before_its_segment
  FILE storage/segment_directory.hpp
  FIND [=[            code = platform_->sync_directory(path_);
            file = code]=]
  REPLACE [=[            code = BROOK_MUTANT(checkpoint_before_its_segment) ? std::error_code{} : platform_->sync_directory(path_);
            file = code]=]
  CAUGHT_BY test storage/power_loss "a first checkpoint is never on the disk without the segment that a dead process has made")

# ---- what stays and what goes ----

brook_mutant(files_removed_before_the_start_is_written
  FILE storage/log.hpp
  FIND [=[            moved.log_start_offset = start;]=]
  REPLACE [=[            moved.log_start_offset = BROOK_MUTANT(files_removed_before_the_start_is_written) ? moved.log_start_offset : start;]=]
  CAUGHT_BY test storage/retention "a kill anywhere in a deletion leaves the log as it was, or shorter, and nothing missing")

brook_mutant(deleted_up_to_what_is_not_synced
  FILE storage/log.hpp
  FIND [=[        if (failure why = wait_durable(before)) {]=]
  REPLACE [=[        if (failure why = BROOK_MUTANT(deleted_up_to_what_is_not_synced) ? failure{} : wait_durable(before)) {]=]
  CAUGHT_BY test storage/retention "records are deleted up to any offset, and stay deleted")

brook_mutant(age_by_the_wall_clock
  FILE storage/retention.hpp
  FIND [=[steady(platform) - then >= age]=]
  REPLACE [=[(BROOK_MUTANT(age_by_the_wall_clock) || steady(platform) - then >= age)]=]
  CAUGHT_BY test storage/retention "a segment goes when both clocks say that it is old, and only what is sealed and on the disk")

brook_mutant(old_active_segment_stays
  FILE storage/log.hpp
  FIND [=[(options_.retention.age && retention_.is_old(]=]
  REPLACE [=[(!BROOK_MUTANT(old_active_segment_stays) && options_.retention.age && retention_.is_old(]=]
  CAUGHT_BY test storage/retention "a segment goes when both clocks say that it is old, and only what is sealed and on the disk")

brook_mutant(one_segment_too_many
  FILE storage/retention.hpp
  FIND [=[policy.bytes && left - used >= *policy.bytes]=]
  REPLACE [=[policy.bytes && left - (BROOK_MUTANT(one_segment_too_many) ? 0 : used) >= *policy.bytes]=]
  CAUGHT_BY test storage/retention "a log keeps as many bytes as its policy says, and no whole segment more")

brook_mutant(deleted_files_left_by_recovery
  FILE storage/log.hpp
  FIND [=[        not_removed_ = drop_deleted();]=]
  REPLACE [=[        not_removed_ = BROOK_MUTANT(deleted_files_left_by_recovery) ? failure{} : drop_deleted();]=]
  CAUGHT_BY test storage/retention "a file that cannot be removed is told, and goes at the next opening")

brook_mutant(deleted_records_read
  FILE storage/log_reader.hpp
  FIND [=[        if (must_be_there && wanted_ <]=]
  REPLACE [=[        if (!BROOK_MUTANT(deleted_records_read) && must_be_there && wanted_ <]=]
  CAUGHT_BY test storage/retention "records are deleted up to any offset, and stay deleted")

brook_mutant(reader_goes_on_below_the_start
  FILE storage/log_reader.hpp
  FIND [=[        if (!pin_ || wanted_ < source_->segments().start()) {]=]
  REPLACE [=[        if (!pin_ || (!BROOK_MUTANT(reader_goes_on_below_the_start) && wanted_ < source_->segments().start())) {]=]
  CAUGHT_BY test client/retention "a consumer in front of the start goes where its reset policy says")

brook_mutant(time_looked_up_below_the_start
  FILE storage/time_index.hpp
  FIND [=[record.timestamp() >= time && record.offset() >= from]=]
  REPLACE [=[record.timestamp() >= time && (BROOK_MUTANT(time_looked_up_below_the_start) || record.offset() >= from)]=]
  CAUGHT_BY test storage/retention "records are deleted up to any offset, and stay deleted")

brook_mutant(budget_not_asked
  FILE storage/appender.hpp
  FIND [=[            if (end > begin && !files_.admits(]=]
  REPLACE [=[            if (!BROOK_MUTANT(budget_not_asked) && end > begin && !files_.admits(]=]
  CAUGHT_BY test client/retention "at max_bytes a topic without retention is refused with words, and goes on when there is room")

brook_mutant(budget_takes_from_who_keeps_everything
  FILE broker/disk_keeper.hpp
  FIND [=[            if (!log->options().retention.is_there()) {
                continue;]=]
  REPLACE [=[            if (!BROOK_MUTANT(budget_takes_from_who_keeps_everything) && !log->options().retention.is_there()) {
                continue;]=]
  CAUGHT_BY test client/retention "at max_bytes topics with retention forget early, the oldest segments of all first")

brook_mutant(budget_takes_the_newest
  FILE broker/disk_keeper.hpp
  FIND [=[its->sealed_at < sealed_at]=]
  REPLACE [=[(BROOK_MUTANT(budget_takes_the_newest) ? its->sealed_at > sealed_at : its->sealed_at < sealed_at)]=]
  CAUGHT_BY test client/retention "at max_bytes topics with retention forget early, the oldest segments of all first")

brook_mutant(sealed_by_a_clock_that_is_behind
  FILE storage/retention.hpp
  FIND [=[        const std::int64_t now = clock_.later(files_.platform());]=]
  REPLACE [=[        const std::int64_t now = BROOK_MUTANT(sealed_by_a_clock_that_is_behind) ? files_.platform().now().time_since_epoch().count() : clock_.later(files_.platform());]=]
  CAUGHT_BY test storage/retention "a clock that is behind while a segment is sealed does not make it old")

brook_mutant(producers_deleted_with_their_records
  FILE storage/producer_memory.hpp
  FIND [=[        if (table_.empty()) {
            return largest_offset;]=]
  REPLACE [=[        if (table_.empty() || BROOK_MUTANT(producers_deleted_with_their_records)) {
            return largest_offset;]=]
  CAUGHT_BY test client/retention "a producer with a name is known when all of its records have been deleted")

brook_mutant(freed_later_is_not_waited_for
  FILE storage/disk_budget.hpp
  FIND [=[(expected_ > come ? expected_ - come : 0)]=]
  REPLACE [=[(!BROOK_MUTANT(freed_later_is_not_waited_for) && expected_ > come ? expected_ - come : 0)]=]
  CAUGHT_BY test client/retention "space that comes free later is waited for")

brook_mutant(no_roll_at_the_limit
  FILE storage/log.hpp
  FIND [=[            why = appends_.roll(true);]=]
  REPLACE [=[            why = appends_.roll(!BROOK_MUTANT(no_roll_at_the_limit));]=]
  CAUGHT_BY test client/retention "what is deleted makes room at the limit, also where it is in active segments")

brook_mutant(count_behind_the_loop
  FILE storage/log.hpp
  FIND [=[        finished_ -= all.size();
        for (segment* const gone : all) {
            const bool is_large]=]
  REPLACE [=[        finished_ -= BROOK_MUTANT(count_behind_the_loop) ? 0 : all.size();
        for (segment* const gone : all) {
            finished_ -= BROOK_MUTANT(count_behind_the_loop) ? 1 : 0;
            const bool is_large]=]
  CAUGHT_BY test storage/retention "memory that runs out in a deletion leaves a log that goes on")

brook_mutant(scrub_of_what_was_deleted
  FILE storage/partition_scrub.hpp
  FIND [=[        while (chain_.size() > 1 && begins_at_or_below(chain_[1])) {]=]
  REPLACE [=[        while (!BROOK_MUTANT(scrub_of_what_was_deleted) && chain_.size() > 1 && begins_at_or_below(chain_[1])) {]=]
  CAUGHT_BY test client/retention "verify finds nothing wrong with a file that should have gone")

brook_mutant(latest_below_the_start
  FILE client/consumer.hpp
  FIND [=[        return end > start ? end : start;]=]
  REPLACE [=[        return BROOK_MUTANT(latest_below_the_start) || end > start ? end : start;]=]
  CAUGHT_BY test client/retention "a consumer of committed records goes on behind what was deleted")

brook_mutant(sealed_before_the_one_in_front
  FILE storage/retention.hpp
  FIND [=[        return then > now ? then : now;]=]
  REPLACE [=[        return then > now && !BROOK_MUTANT(sealed_before_the_one_in_front) ? then : now;]=]
  CAUGHT_BY test storage/retention "a clock that is behind while a segment is sealed does not make it old")

brook_mutant(small_slices_begin_again
  FILE broker/core.hpp
  FIND [=[next_log_ > first && now - begin > *budget) {]=]
  REPLACE [=[next_log_ > first && now - begin > *budget) {
                next_log_ = BROOK_MUTANT(small_slices_begin_again) ? 0 : next_log_;]=]
  CAUGHT_BY test client/retention "upkeep in small slices comes to the limits of the disk, too")

brook_mutant(new_segments_not_counted
  FILE storage/segment_directory.hpp
  FIND [=[            budget_->note(bytes);]=]
  REPLACE [=[            if (!BROOK_MUTANT(new_segments_not_counted)) {
                budget_->note(bytes);
            }]=]
  CAUGHT_BY test client/retention "upkeep in small slices comes to the limits of the disk, too")

# ---- compaction: what stays, what goes, and in which order files come and go ----

brook_mutant(last_record_goes
  FILE storage/dirty_keys.hpp
  FIND [=[superseded_[*before / 64] |= std::uint64_t{1} << *before % 64;]=]
  REPLACE [=[const std::uint32_t gone = BROOK_MUTANT(last_record_goes) ? ahead_[k].number : *before;
                superseded_[gone / 64] |= std::uint64_t{1} << gone % 64;]=]
  CAUGHT_BY test storage/compaction "of each key the last record stays, with its offset, its time and its place in the order")

brook_mutant(keys_beyond_memory_forgotten
  FILE storage/dirty_keys.hpp
  FIND [=[                end_ = from_ + ahead_[k].number;]=]
  REPLACE [=[                if (BROOK_MUTANT(keys_beyond_memory_forgotten)) {
                    continue;
                }
                end_ = from_ + ahead_[k].number;]=]
  CAUGHT_BY test storage/compaction "compaction is what a model of it says, on random histories")

brook_mutant(tombstones_grow_younger
  FILE storage/compaction_pass.hpp
  FIND [=[const std::uint32_t compacted_at = stamp != 0 || record.offset() >= dirty_.end() ? stamp : seconds_now();]=]
  REPLACE [=[const std::uint32_t compacted_at = (stamp != 0 && !BROOK_MUTANT(tombstones_grow_younger)) || record.offset() >= dirty_.end() ? stamp : seconds_now();]=]
  CAUGHT_BY test storage/compaction "a tombstone stays for delete_retention from when it was first compacted, however often it is compacted again")

brook_mutant(left_out_and_forgotten
  FILE storage/compaction_pass.hpp
  FIND [=[        compacted_to_ = base < compacted_to_ ? base : compacted_to_;
    }]=]
  REPLACE [=[        compacted_to_ = base < compacted_to_ && !BROOK_MUTANT(left_out_and_forgotten) ? base : compacted_to_;
    }]=]
  CAUGHT_BY test storage/compaction "what cannot be read stays as it is, and what it may hold is not brought back when it can be read again")

brook_mutant(rot_compacted
  FILE storage/compaction_pass.hpp
  FIND [=[            switch (look(trust::verify, found)) {  // rot may be another's key]=]
  REPLACE [=[            switch (look(BROOK_MUTANT(rot_compacted) ? trust::written_here : trust::verify, found)) {]=]
  CAUGHT_BY test storage/compaction "rot that makes another key of one takes no record along")

brook_mutant(aborted_keys_noted
  FILE storage/compaction_pass.hpp
  FIND [=[next_ + found.offsets_taken() <= dirty_.from() || source_.fate_of(found) != transaction_fate::committed]=]
  REPLACE [=[next_ + found.offsets_taken() <= dirty_.from() || (!BROOK_MUTANT(aborted_keys_noted) && source_.fate_of(found) != transaction_fate::committed)]=]
  CAUGHT_BY test client/compaction "what is not decided supersedes nothing, and what was aborted goes")

brook_mutant(undecided_compacted
  FILE broker/core.hpp
  FIND [=[        const offset stable = log.last_stable_offset();]=]
  REPLACE [=[        const offset stable = BROOK_MUTANT(undecided_compacted) ? log.log_end_offset() : log.last_stable_offset();]=]
  CAUGHT_BY test client/compaction "what is not decided supersedes nothing, and what was aborted goes")

brook_mutant(epochs_compacted_together
  FILE storage/compaction_output.hpp
  FIND [=[        if (epoch != epoch_) {]=]
  REPLACE [=[        if (epoch != epoch_ && !BROOK_MUTANT(epochs_compacted_together)) {]=]
  CAUGHT_BY test storage/compaction "positions keep their leader epoch, and times are found, in what has been compacted")

brook_mutant(compacted_before_the_sync
  FILE storage/compaction_output.hpp
  FIND [=[        if (!code) {
            code = file_->sync();
        }]=]
  REPLACE [=[        if (!code && !BROOK_MUTANT(compacted_before_the_sync)) {
            code = file_->sync();
        }]=]
  CAUGHT_BY test storage/compaction "whenever the power goes in a compaction, what was durable is there or superseded by what is")

brook_mutant(swap_counts_before_its_name
  FILE storage/compaction_output.hpp
  FIND [=[        if (const auto code = platform.sync_directory(files_.path())) {]=]
  REPLACE [=[        if (const auto code = BROOK_MUTANT(swap_counts_before_its_name) ? std::error_code{} : platform.sync_directory(files_.path())) {]=]
  CAUGHT_BY test storage/compaction "whenever the power goes in a compaction, what was durable is there or superseded by what is")

brook_mutant(renamed_before_removals
  FILE storage/segment_directory.hpp
  FIND [=[        if (failure why = sync_names()) {]=]
  REPLACE [=[        if (failure why = BROOK_MUTANT(renamed_before_removals) ? failure{} : sync_names()) {]=]
  CAUGHT_BY test storage/compaction "whenever the power goes in a compaction, what was durable is there or superseded by what is")

brook_mutant(given_up_swap_counts
  FILE storage/recovery.hpp
  FIND [=[stands = stands && !(of_it.has_footer && of_it.footer.end_offset > (is_within ? range.end : range.base));]=]
  REPLACE [=[stands = stands && (BROOK_MUTANT(given_up_swap_counts) || !(of_it.has_footer && of_it.footer.end_offset > (is_within ? range.end : range.base)));]=]
  CAUGHT_BY test storage/compaction "a result that was given up does not take the place of a later one")

brook_mutant(replaced_segment_followed
  FILE storage/log_reader.hpp
  FIND [=[        if (next->is_replaced.load(std::memory_order_acquire)) {  // behind the look]=]
  REPLACE [=[        if (next->is_replaced.load(std::memory_order_acquire) && !BROOK_MUTANT(replaced_segment_followed)) {  // behind the look]=]
  CAUGHT_BY test storage/compaction "a reader that was under way goes on in what is left, and misses nothing that counts")

brook_mutant(active_stays_uncompacted
  FILE storage/compaction.hpp
  FIND [=[        return is_worth_it || (policy.max_lag && ages_.is_old(active, *policy.max_lag)) ? verdict::roll : verdict::nothing;]=]
  REPLACE [=[        return !BROOK_MUTANT(active_stays_uncompacted) && (is_worth_it || (policy.max_lag && ages_.is_old(active, *policy.max_lag))) ? verdict::roll : verdict::nothing;]=]
  CAUGHT_BY test storage/compaction "a log is compacted by its ratio, by the lag at most, and not before the lag at least")

brook_mutant(two_compactions_at_once
  FILE storage/compaction.hpp
  FIND [=[nobody == who;
    }]=]
  REPLACE [=[nobody == who || BROOK_MUTANT(two_compactions_at_once);
    }]=]
  CAUGHT_BY test storage/compaction "a log is compacted by its ratio, by the lag at most, and not before the lag at least")

brook_mutant(transactions_compacted_unsynced
  FILE broker/core.hpp
  FIND [=[            if (log->has_transactions() && !is_synced(*log)) {]=]
  REPLACE [=[            if (log->has_transactions() && !BROOK_MUTANT(transactions_compacted_unsynced) && !is_synced(*log)) {]=]
  CAUGHT_BY test client/compaction "what was told of earlier transactions is compacted away once those that came later are on the disk")

brook_mutant(file_limit_stays
  FILE os/system_call.hpp
  FIND [=[    if (opened == -1 && errno == EMFILE &&]=]
  REPLACE [=[    if (opened == -1 && errno == EMFILE && !BROOK_MUTANT(file_limit_stays) &&]=]
  CAUGHT_BY test scenario/many_partitions "1,024 partitions and 10,000 segments open where a process may have 1,024 files open")

brook_mutant(reused_while_held
  FILE storage/log_reader.hpp
  FIND [=[        return !gone.pin() && files_.take_for_recycling(gone.base);]=]
  REPLACE [=[        return (!gone.pin() || BROOK_MUTANT(reused_while_held)) && files_.take_for_recycling(gone.base);]=]
  CAUGHT_BY test storage/retention "a segment that goes becomes the next one, cleared, unless somebody holds it")

brook_mutant(reused_uncleared
  FILE storage/segment_directory.hpp
  FIND [=[        for (std::uint64_t at = 0; !code && at < capacity;) {]=]
  REPLACE [=[        for (std::uint64_t at = BROOK_MUTANT(reused_uncleared) ? capacity : 0; !code && at < capacity;) {]=]
  CAUGHT_BY test storage/retention "a segment that goes becomes the next one, cleared, unless somebody holds it")

brook_mutant(deletion_not_synced
  FILE broker/core.hpp
  FIND [=[not_synced = not_renamed ? std::error_code{}]=]
  REPLACE [=[not_synced = not_renamed || BROOK_MUTANT(deletion_not_synced) ? std::error_code{}]=]
  CAUGHT_BY test broker/core "the power that goes in a deletion leaves the topic whole or gone, and in the making of the next one, too")

brook_mutant(left_behind_for_ever
  FILE broker/core.hpp
  FIND [=[        for (const std::string& path : paths) {
            finish_deletion(path, problems);]=]
  REPLACE [=[        for (const std::string& path : paths) {
            if (BROOK_MUTANT(left_behind_for_ever)) {
                continue;
            }
            finish_deletion(path, problems);]=]
  CAUGHT_BY test broker/core "a process killed while it deletes a topic leaves it whole or gone")

brook_mutant(commits_outlive_their_topic
  FILE broker/core.hpp
  FIND [=[        return groups_.knows(meta.id) ?]=]
  REPLACE [=[        return BROOK_MUTANT(commits_outlive_their_topic) || groups_.knows(meta.id) ?]=]
  CAUGHT_BY test client/delete_topic "the members of a group settle without the topic, and what was committed for it goes")

brook_mutant(committed_for_what_was_deleted
  FILE broker/group_coordinator.hpp
  FIND [=[            if (!is_known(position.topic)) {]=]
  REPLACE [=[            if (!BROOK_MUTANT(committed_for_what_was_deleted) && !is_known(position.topic)) {]=]
  CAUGHT_BY test broker/core "a topic that was deleted has gone, and another one of its name can be made at once")

brook_mutant(deleted_files_stay_mapped
  FILE storage/log.hpp
  FIND [=[            for (segment* const gone : segments_.all()) {
                let_go(*gone);]=]
  REPLACE [=[            for (segment* const gone : segments_.all()) {
                if (BROOK_MUTANT(deleted_files_stay_mapped)) {
                    break;
                }
                let_go(*gone);]=]
  CAUGHT_BY test broker/core "descriptors and mappings of a topic go with it")

brook_mutant(deleted_part_aborts_the_rest
  FILE engine/transaction.hpp
  FIND [=[            if (why.code == errc::unknown_topic_or_partition) {]=]
  REPLACE [=[            if (!BROOK_MUTANT(deleted_part_aborts_the_rest) && why.code == errc::unknown_topic_or_partition) {]=]
  CAUGHT_BY test client/delete_topic "a transaction is committed for the topics that are left")

brook_mutant(deleted_is_damaged
  FILE broker/verify.hpp
  FIND [=[            if (now == presence::same ||]=]
  REPLACE [=[            if (BROOK_MUTANT(deleted_is_damaged) || now == presence::same ||]=]
  CAUGHT_BY test client/delete_topic "verify finds nothing wrong with a topic that is deleted while it looks, nor with another that has come in its place")

# ---- client: tables ----

brook_mutant(table_of_aborted_records
  FILE client/table.hpp
  FIND [=[        settings.reads_committed = options.isolation_level == isolation_level::read_committed;]=]
  REPLACE [=[        settings.reads_committed = !BROOK_MUTANT(table_of_aborted_records) && options.isolation_level == isolation_level::read_committed;]=]
  CAUGHT_BY test client/table "what a transaction sends is in a table when it is committed, and never when it is aborted")

brook_mutant(table_keeps_deleted_keys
  FILE engine/table_partition.hpp
  FIND [=[            if (table_entry* const entry = find_entry(key, hash)) {]=]
  REPLACE [=[            if (table_entry* const entry = find_entry(key, hash); entry != nullptr && !BROOK_MUTANT(table_keeps_deleted_keys)) {]=]
  CAUGHT_BY test client/table "a table has the latest value of each key, and what was sent just now")

brook_mutant(table_finds_by_hash_alone
  FILE engine/table_partition.hpp
  FIND [=[                return load<std::uint32_t>(frame + key_size_at) == key.size()]=]
  REPLACE [=[                return BROOK_MUTANT(table_finds_by_hash_alone) ? true : load<std::uint32_t>(frame + key_size_at) == key.size()]=]
  CAUGHT_BY test client/table "keys of one hash are told apart by their bytes")

brook_mutant(table_loses_what_memory_fails_for
  FILE engine/table_partition.hpp
  FIND [=[                reader_.seek(before);  // the next time takes them]=]
  REPLACE [=[                reader_.seek(BROOK_MUTANT(table_loses_what_memory_fails_for) ? reader_.position_offset() : before);  // the next time takes them]=]
  CAUGHT_BY test client/table "memory that runs out while a table reads loses nothing")

brook_mutant(table_below_the_start
  FILE engine/table_partition.hpp
  FIND [=[        if (start == start_) {]=]
  REPLACE [=[        if (start == start_ || BROOK_MUTANT(table_below_the_start)) {]=]
  CAUGHT_BY test client/table "what retention has deleted leaves the table")

brook_mutant(table_holds_replaced_files
  FILE engine/table_partition.hpp
  FIND [=[            if (one.is_stale || (one.pin && one.pin->is_gone.load(std::memory_order_acquire))) {]=]
  REPLACE [=[            if (one.is_stale || (!BROOK_MUTANT(table_holds_replaced_files) && one.pin && one.pin->is_gone.load(std::memory_order_acquire))) {]=]
  CAUGHT_BY test client/table "records of a file that compaction has replaced are looked up in the new one, and the old one is let go of")

brook_mutant(table_as_of_then_loses_what_goes
  FILE engine/table_partition.hpp
  FIND [=[            copy_out();  // what compaction]=]
  REPLACE [=[            if (!BROOK_MUTANT(table_as_of_then_loses_what_goes)) copy_out();  // what compaction]=]
  CAUGHT_BY test client/table "a table as of a snapshot keeps what compaction takes afterwards")

brook_mutant(table_as_of_then_takes_more
  FILE engine/table_partition.hpp
  FIND [=[        if (settings_.until >= 0 && one.record.offset() >= settings_.until) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(table_as_of_then_takes_more) && settings_.until >= 0 && one.record.offset() >= settings_.until) {]=]
  CAUGHT_BY test client/table "a table as of a snapshot is what it was then, and stays")

brook_mutant(table_reads_all_when_it_opens
  FILE engine/table_partition.hpp
  FIND [=[        if (!settings_.has_file || !load_file()) {]=]
  REPLACE [=[        if (!settings_.has_file || !load_file() || BROOK_MUTANT(table_reads_all_when_it_opens)) {]=]
  CAUGHT_BY test client/table "opening a table does not read again what its file covers")

brook_mutant(table_file_without_checksum
  FILE engine/table_file.hpp
  FIND [=[found == hash_.value()]=]
  REPLACE [=[(found == hash_.value() || BROOK_MUTANT(table_file_without_checksum))]=]
  CAUGHT_BY test client/table "a table's file that is damaged at any byte is not believed")

brook_mutant(table_file_of_another_history
  FILE engine/table_partition.hpp
  FIND [=[            log_->epoch_before(header.covered) != header.leader_epoch || ]=]
  REPLACE [=[            (!BROOK_MUTANT(table_file_of_another_history) && log_->epoch_before(header.covered) != header.leader_epoch) || ]=]
  CAUGHT_BY test client/table "a table's file of something else is not believed, however whole it is")

brook_mutant(table_file_believed_about_rewritten_segments
  FILE engine/table_partition.hpp
  FIND [=[found.front().pin->seed() == one.seed]=]
  REPLACE [=[(found.front().pin->seed() == one.seed || BROOK_MUTANT(table_file_believed_about_rewritten_segments))]=]
  CAUGHT_BY test client/table "what compaction has taken since a file was written is not in the table")

brook_mutant(table_file_that_lies_is_kept
  FILE engine/table_partition.hpp
  FIND [=[        is_lying_ |= is_there;]=]
  REPLACE [=[        is_lying_ |= is_there && !BROOK_MUTANT(table_file_that_lies_is_kept);]=]
  CAUGHT_BY test client/table "a table's file that lies about a key is found out when the key is looked for")

brook_mutant(parts_compacted_before_the_decision
  FILE broker/core.hpp
  FIND [=[        if (told != nullptr && is_synced(*told)) {]=]
  REPLACE [=[        if (told != nullptr && (BROOK_MUTANT(parts_compacted_before_the_decision) || is_synced(*told))) {]=]
  CAUGHT_BY test client/compaction "a transaction is all or nothing with the power, also where compaction is quicker than what decides it")
