# The mutants: where each goes, what it does there, and who catches it. README.md says it in words.
#
#   brook_mutant(NAME
#     FILE      the header, below include/brook
#     FIND      its text at one place, exactly: when that changes, configuring fails, and the list is mended with the code
#     REPLACE   the same with the bug in it, while BROOK_MUTANT(NAME)
#     CAUGHT_BY test|race|kafka HEADER "NAME OF THE TEST", or fault PROGRAM [ARGUMENT...]; see CMakeLists.txt
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
  CAUGHT_BY fault kill_every_instruction 10 1 append)

brook_mutant(size_published_first
  FILE storage/appender.hpp
  FIND [=[        format::store_behind_word(taken.data, checksum, taken.first, base_timestamp, leader_epoch, count);]=]
  REPLACE [=[        if (BROOK_MUTANT(size_published_first)) {
            atomic_at<std::uint64_t>(taken.data).store(word.raw(), std::memory_order_release);
        }
        format::store_behind_word(taken.data, checksum, taken.first, base_timestamp, leader_epoch, count);]=]
  CAUGHT_BY fault kill_every_instruction 10 1 append)

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
  FILE storage/bodies/appender.hpp
  FIND [=[    home.ready.store(last < home.limit ? last : home.limit, std::memory_order_release);]=]
  REPLACE [=[    home.limit = BROOK_MUTANT(records_beyond_the_limit) ? memory.capacity() : home.limit;
    home.ready.store(BROOK_MUTANT(records_beyond_the_limit) ? end : last < home.limit ? last : home.limit, std::memory_order_release);]=]
  CAUGHT_BY test storage/appender "a record that would leave the seal no room goes into the next segment")

brook_mutant(rolled_without_seal
  FILE storage/bodies/appender.hpp
  FIND [=[    if (!write_seal(home, tail.end(), base, why)) {]=]
  REPLACE [=[    if (BROOK_MUTANT(base_before_seal) && spare_) {
        segment_directory::set_base(*spare_->pin(), base);
    }
    if (!BROOK_MUTANT(rolled_without_seal) && !write_seal(home, tail.end(), base, why)) {]=]
  CAUGHT_BY test storage/appender "a segment ends with its seal, wherever the last record ends"
  HANGS)

brook_mutant(base_before_seal WITH rolled_without_seal
  CAUGHT_BY fault kill_every_instruction 10 1 roll)

brook_mutant(grown_without_disk_space
  FILE storage/bodies/appender.hpp
  FIND [=[        if (const auto code = memory.log_file().allocate(from, end - from)) {
            why = {code, files_.name().text() + ": cannot take disk space for " + memory.path() + " up to byte " + std::to_string(end)};
            return false;
        }
        if (end > begin) {
            if (!write_zeros(memory, begin, end, why)) {]=]
  REPLACE [=[        static constexpr std::byte nothing[8]{};  // as ftruncate(2) would grow it
        if (const auto code = BROOK_MUTANT(grown_without_disk_space) ? memory.log_file().write_at(end - 8, nothing) : memory.log_file().allocate(from, end - from)) {
            why = {code, files_.name().text() + ": cannot take disk space for " + memory.path() + " up to byte " + std::to_string(end)};
            return false;
        }
        if (end > begin) {
            if (!BROOK_MUTANT(grown_without_disk_space) && !write_zeros(memory, begin, end, why)) {]=]
  CAUGHT_BY fault full_disk)

brook_mutant(room_waited_for_by_turns
  FILE storage/bodies/appender.hpp
  FIND [=[        if (home.ready.load(std::memory_order_acquire) >= end) {
            return true;  // somebody else has
        }]=]
  REPLACE [=[        if (home.ready.load(std::memory_order_acquire) >= end && !BROOK_MUTANT(room_waited_for_by_turns)) {
            return true;  // somebody else has
        }]=]
  CAUGHT_BY test storage/appender "who needs room waits for a step of what upkeep makes, and not for all of it"
  HANGS)

brook_mutant(next_turn_waited_for
  FILE os/turn_lock.hpp
  FIND [=[        while (word_.load(std::memory_order_seq_cst) == seen) {]=]
  REPLACE [=[        while (word_.load(std::memory_order_seq_cst) == seen || (BROOK_MUTANT(next_turn_waited_for) && is_taken(seen = now()))) {]=]
  CAUGHT_BY test os/turn_lock "turn_lock tells who waits that a turn is over, also when the next has begun"
  HANGS)

brook_mutant(pages_kept_while_synced
  FILE storage/segment.hpp
  FIND [=[            log_->release_pages();]=]
  REPLACE [=[            if (!BROOK_MUTANT(pages_kept_while_synced)) {
                log_->release_pages();
            }]=]
  CAUGHT_BY test storage/durability "upkeep syncs sealed segments whatever the flush policy, and leaves the newest alone")

brook_mutant(sealed_synced_at_once
  FILE storage/segment.hpp
  FIND [=[            for (position at = 0; at < readable() && !code && !is_awaited(); at += mib) {
                code = log_file_->write_back(at, mib);
            }
            return code ? code : log_file_->sync();]=]
  REPLACE [=[            for (position at = 0; at < readable() && !code && (BROOK_MUTANT(pieces_though_somebody_waits) || !is_awaited()) && !BROOK_MUTANT(sealed_synced_at_once);
                 at += mib) {
                code = log_file_->write_back(at, mib);
                code = BROOK_MUTANT(error_of_a_piece_passed_over) ? std::error_code{} : code;
            }
            return code || BROOK_MUTANT(pieces_are_no_sync) ? code : log_file_->sync();]=]
  CAUGHT_BY test storage/durability "upkeep syncs sealed segments whatever the flush policy, and leaves the newest alone")

brook_mutant(pieces_though_somebody_waits WITH sealed_synced_at_once
  CAUGHT_BY test storage/durability "a sealed segment is synced in pieces until somebody waits")

brook_mutant(error_of_a_piece_passed_over WITH sealed_synced_at_once
  CAUGHT_BY test storage/durability "a sync of a sealed segment that fails is as final")

brook_mutant(pieces_are_no_sync WITH sealed_synced_at_once
  CAUGHT_BY test storage/durability "a sync of a sealed segment that fails is as final")

brook_mutant(no_pieces_taken_for_an_error
  FILE os/bodies/posix.hpp
  FIND [=[    return call(0) == 0 ? outcome(call(waiting)) : std::error_code{};]=]
  REPLACE [=[    return call(0) == 0 || BROOK_MUTANT(no_pieces_taken_for_an_error) ? outcome(call(waiting)) : std::error_code{};]=]
  CAUGHT_BY test os/posix "writing back changes nothing, and where there is no such call that is no error")

brook_mutant(sealed_prepared_on
  FILE storage/bodies/appender.hpp
  FIND [=[        if (home->ready.load(std::memory_order_relaxed) >= end || tail_word{home->tail.load(std::memory_order_acquire)}.is_sealed()) {]=]
  REPLACE [=[        if (home->ready.load(std::memory_order_relaxed) >= end ||
            (tail_word{home->tail.load(std::memory_order_acquire)}.is_sealed() && !BROOK_MUTANT(sealed_prepared_on))) {]=]
  CAUGHT_BY test storage/appender "what is sealed meanwhile is not prepared any further")

brook_mutant(spare_over_a_segment
  FILE storage/bodies/segment_directory.hpp
  FIND [=[    if (const auto code = platform_->rename_to_new(from + ".log", to + ".log")) {]=]
  REPLACE [=[    if (BROOK_MUTANT(spare_over_a_segment)) {
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

brook_mutant(claim_without_memory_left_open
  FILE storage/bodies/log.hpp
  FIND [=[        abandon(taken, 1);  // nobody else would, and all readers stop in front of it]=]
  REPLACE [=[        if (!BROOK_MUTANT(claim_without_memory_left_open)) abandon(taken, 1);]=]
  CAUGHT_BY test storage/log "a claim that there is no memory for holds up nobody"
  HANGS)

brook_mutant(durable_room_mapped
  FILE storage/bodies/appender.hpp
  FIND [=[            if (room_ != log_room::for_each_sync) {
                static_cast<void>(memory.log().populate]=]
  REPLACE [=[            if (BROOK_MUTANT(durable_room_mapped) || room_ != log_room::for_each_sync) {
                static_cast<void>(memory.log().populate]=]
  CAUGHT_BY test storage/appender "where appends wait for the disk room is made in smaller steps, and none of it is mapped before it is needed")

brook_mutant(durable_room_in_large_steps
  FILE storage/bodies/appender.hpp
  FIND [=[    const std::uint32_t longest = room_ == log_room::for_each_sync ?]=]
  REPLACE [=[    const std::uint32_t longest = room_ == log_room::for_each_sync && !BROOK_MUTANT(durable_room_in_large_steps) ?]=]
  CAUGHT_BY test storage/appender "where appends wait for the disk room is made in smaller steps, and none of it is mapped before it is needed")

brook_mutant(zeros_of_a_spare_not_synced
  FILE storage/bodies/appender.hpp
  FIND [=[    if (room_ == log_room::for_each_sync) {  // else the first record in it would wait for all of its zeros]=]
  REPLACE [=[    if (!BROOK_MUTANT(zeros_of_a_spare_not_synced) && room_ == log_room::for_each_sync) {]=]
  CAUGHT_BY test storage/appender "where appends wait for the disk the zeros of a spare are there before it is taken")

brook_mutant(durable_room_made_ahead
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[    if (parts_.options.flush_messages == 0) {
        if (failure why = parts_.appends.prepare]=]
  REPLACE [=[    if (BROOK_MUTANT(durable_room_made_ahead) || parts_.options.flush_messages == 0) {
        if (failure why = parts_.appends.prepare]=]
  CAUGHT_BY test storage/appender "where appends wait for the disk upkeep makes no room in the segment that they are in, and a spare all the same")

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
  FILE storage/bodies/segment_directory.hpp
  FIND [=[    if (code = made->log_file().sync(); code) {]=]
  REPLACE [=[    if (code = BROOK_MUTANT(segment_renamed_before_sync) ? std::error_code{} : made->log_file().sync(); code) {]=]
  CAUGHT_BY test storage/segment_directory "a new segment's header and name are on the disk before anything relies on it")

brook_mutant(segment_name_not_synced
  FILE storage/bodies/segment_directory.hpp
  FIND [=[    if (code = platform_->sync_directory(path_); code) {]=]
  REPLACE [=[    if (code = BROOK_MUTANT(segment_name_not_synced) ? std::error_code{} : platform_->sync_directory(path_); code) {]=]
  CAUGHT_BY test storage/segment_directory "a new segment's header and name are on the disk before anything relies on it")

brook_mutant(spare_name_not_synced
  FILE storage/bodies/segment_directory.hpp
  FIND [=[ + ".index to " + to + ".index"};
    }
    return sync_names();]=]
  REPLACE [=[ + ".index to " + to + ".index"};
    }
    return BROOK_MUTANT(spare_name_not_synced) ? failure{} : sync_names();]=]
  CAUGHT_BY test storage/appender "a prepared spare becomes the next segment, and upkeep gives it its name")

brook_mutant(checkpoint_not_synced
  FILE storage/checkpoint_file.hpp
  FIND [=[            code = file->sync();
        }
        if (is_new && !code) {]=]
  REPLACE [=[            code = BROOK_MUTANT(checkpoint_not_synced) ? std::error_code{} : file->sync();
        }
        if (is_new && !code) {]=]
  CAUGHT_BY test storage/power_loss "a checkpoint is on the disk when it has been written, the first one with its name")

brook_mutant(checkpoint_name_not_synced
  FILE storage/checkpoint_file.hpp
  FIND [=[            code = code ? code : files_.platform().sync_directory(files_.path());
        }
        if (is_new && code) {]=]
  REPLACE [=[            code = code || BROOK_MUTANT(checkpoint_name_not_synced) ? code : files_.platform().sync_directory(files_.path());
        }
        if (is_new && code && BROOK_MUTANT(unwritten_checkpoint_kept)) {
            static_cast<void>(files_.platform().rename_to_new(temporary, path_));
        } else if (is_new && code) {]=]
  CAUGHT_BY test storage/power_loss "a checkpoint is on the disk when it has been written, the first one with its name")

brook_mutant(unwritten_checkpoint_kept WITH checkpoint_name_not_synced
  CAUGHT_BY test storage/power_loss "a first checkpoint that could not be synced is made anew")

brook_mutant(checkpoint_over_the_last_one
  FILE storage/checkpoint_file.hpp
  FIND [=[            code = file->write_at(format::slot_position(slot.sequence), raw);]=]
  REPLACE [=[            code = file->write_at(BROOK_MUTANT(checkpoint_over_the_last_one) ? 0 : format::slot_position(slot.sequence), raw);]=]
  CAUGHT_BY test storage/checkpoint_file "a checkpoint is read back, and a torn write leaves the one before")

brook_mutant(checkpoint_of_a_stranger
  FILE storage/checkpoint_file.hpp
  FIND [=[return slot.topic == files_.name().topic_id && slot.partition == files_.name().number;]=]
  REPLACE [=[return BROOK_MUTANT(checkpoint_of_a_stranger) || (slot.topic == files_.name().topic_id && slot.partition == files_.name().number);]=]
  CAUGHT_BY test storage/checkpoint_file "a checkpoint is read back, and a torn write leaves the one before")

brook_mutant(newer_checkpoint_overwritten
  FILE storage/checkpoint_file.hpp
  FIND [=[        if (newest && newest->version > format::checkpoint_version) {]=]
  REPLACE [=[        if (newest && newest->version > format::checkpoint_version && !BROOK_MUTANT(newer_checkpoint_overwritten)) {]=]
  CAUGHT_BY test storage/recovery "a checkpoint of a newer version is refused, and stays")

brook_mutant(rotten_spare_put_aside
  FILE storage/bodies/segment_listing.hpp
  FIND [=[    if (failure why = look_into_spare(path, is_used)) {
        return why;
    }]=]
  REPLACE [=[    if (failure why = look_into_spare(path, is_used)) {
        return why;
    }
    is_used = is_used && !BROOK_MUTANT(rotten_spare_put_aside);]=]
  CAUGHT_BY test storage/recovery "a taken spare whose header rotted is no loss in silence")

brook_mutant(unreadable_checkpoint_is_none
  FILE storage/checkpoint_file.hpp
  FIND [=[            why = {code, files_.name().text() + ": cannot read " + path_ +]=]
  REPLACE [=[            if (BROOK_MUTANT(unreadable_checkpoint_is_none)) {
                return std::nullopt;
            }
            why = {code, files_.name().text() + ": cannot read " + path_ +]=]
  CAUGHT_BY test storage/recovery "what tells how much was durable and cannot be read makes opening fail, and nothing is cut")

brook_mutant(segment_of_a_stranger
  FILE storage/segment_summary.hpp
  FIND [=[    if (birth.topic != name.topic_id || birth.partition != name.number ||]=]
  REPLACE [=[    if ((!BROOK_MUTANT(segment_of_a_stranger) && (birth.topic != name.topic_id || birth.partition != name.number)) ||]=]
  CAUGHT_BY test storage/segment_directory "what is not this partition's segment is refused, and why is told")

brook_mutant(base_check_ignored
  FILE storage/segment_summary.hpp
  FIND [=[    if (is_offset && check == format::base_check(birth.seed, base_plus_one)) {]=]
  REPLACE [=[    if (is_offset && (BROOK_MUTANT(base_check_ignored) || check == format::base_check(birth.seed, base_plus_one))) {]=]
  CAUGHT_BY test storage/segment_directory "each piece of a header counts only when it verifies")

brook_mutant(old_index_kept
  FILE storage/bodies/segment_directory.hpp
  FIND [=[    discard(stem + ".log.tmp");
    discard(stem + ".index");  // an index without its log is nobody's]=]
  REPLACE [=[    discard(stem + ".log.tmp");
    if (!BROOK_MUTANT(old_index_kept)) {
        discard(stem + ".index");  // an index without its log is nobody's
    }]=]
  CAUGHT_BY test storage/recovery "a kill anywhere in a roll is finished by the next opening")

brook_mutant(identity_without_boot
  FILE storage/segment_summary.hpp
  FIND [=[    return summary.has_writer && !code && now == os::file_identity{last.boot_id, last.device, last.inode, last.birth_time_ns};]=]
  REPLACE [=[    return summary.has_writer && !code &&
           now == os::file_identity{BROOK_MUTANT(identity_without_boot) ? now.boot_id : last.boot_id, last.device,
                                    BROOK_MUTANT(identity_without_file) ? now.inode : last.inode,
                                    BROOK_MUTANT(identity_without_file) ? now.birth_time_ns : last.birth_time_ns};]=]
  CAUGHT_BY test storage/recovery "after a loss of power the log is a prefix with everything durable in it")

brook_mutant(identity_without_file WITH identity_without_boot
  CAUGHT_BY test storage/recovery "files that were copied are as after a loss of power, in the same boot: no gap is filled in them")

# ---- storage: durable ----

brook_mutant(acknowledged_before_sync
  FILE storage/bodies/durability.hpp
  FIND [=[            if (const auto code = sync(*pin)) {]=]
  REPLACE [=[            const bool is_retried = BROOK_MUTANT(failed_sync_retried) && sync(*pin);
            if (const auto code = BROOK_MUTANT(acknowledged_before_sync) || (BROOK_MUTANT(failed_sync_retried) && !is_retried)
                                      ? std::error_code{} : sync(*pin)) {]=]
  CAUGHT_BY test storage/durability "a sync makes durable what was published before it began, and not a record more")

brook_mutant(failed_sync_retried WITH acknowledged_before_sync
  CAUGHT_BY test storage/durability "a failed sync is final")

brook_mutant(durable_one_too_high
  FILE storage/bodies/durability.hpp
  FIND [=[        durable_.store(place.next, std::memory_order_release);
        write_evidence(place.next);]=]
  REPLACE [=[        durable_.store(place.next + (BROOK_MUTANT(durable_one_too_high) ? 1 : 0), std::memory_order_release);
        write_evidence(place.next + (BROOK_MUTANT(evidence_one_too_high) ? 1 : 0));]=]
  CAUGHT_BY test storage/durability "a sync makes durable what was published before it began, and not a record more")

brook_mutant(evidence_one_too_high WITH durable_one_too_high
  CAUGHT_BY test storage/durability "after a sync the log itself says how far it is durable")

brook_mutant(only_last_segment_synced
  FILE storage/bodies/durability.hpp
  FIND [=[    for (segment* home = synced_.home;; home = home->next.load(std::memory_order_acquire)) {]=]
  REPLACE [=[    for (segment* home = BROOK_MUTANT(only_last_segment_synced) ? place.home : synced_.home;; home = home->next.load(std::memory_order_acquire)) {]=]
  CAUGHT_BY test storage/durability "durable never passes into a segment whose predecessors are not on the disk")

brook_mutant(appends_go_on_after_failed_sync
  FILE storage/bodies/durability.hpp
  FIND [=[    appends_.stop(append_state::failed, std::move(why));]=]
  REPLACE [=[    if (!BROOK_MUTANT(appends_go_on_after_failed_sync)) {
        appends_.stop(append_state::failed, std::move(why));
    }]=]
  CAUGHT_BY test storage/durability "a failed sync is final")

brook_mutant(names_taken_for_durable
  FILE storage/bodies/durability.hpp
  FIND [=[    if (!names_are_synced_) {]=]
  REPLACE [=[    if (!names_are_synced_ && !BROOK_MUTANT(names_taken_for_durable)) {]=]
  CAUGHT_BY test storage/power_loss "what is durable after a kill stays, even if the dead process had not synced the segment's name")

brook_mutant(footer_end_one_too_high
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[format::make_footer(pin->seed(), end, tail.end(),]=]
  REPLACE [=[format::make_footer(pin->seed(), BROOK_MUTANT(footer_end_one_too_high) ? end + 1 : end, tail.end(),]=]
  CAUGHT_BY test storage/partition_scrub "a look at a log that was closed in good order counts what is in it and finds nothing")

brook_mutant(waiters_answered_too_early
  FILE storage/bodies/durability.hpp
  FIND [=[    while (durable_offset() < end) {]=]
  REPLACE [=[    while (durable_offset() < end - (BROOK_MUTANT(waiters_answered_too_early) ? 1 : 0)) {]=]
  CAUGHT_BY test storage/durability "a sync makes durable what was published before it began, and not a record more")

brook_mutant(failed_sync_forgotten
  FILE storage/bodies/durability.hpp
  FIND [=[    if (sync_failure() || (place.next <= durable_offset() && place.home == synced_.home)) {]=]
  REPLACE [=[    if ((sync_failure() && !BROOK_MUTANT(failed_sync_forgotten)) || (place.next <= durable_offset() && place.home == synced_.home)) {]=]
  CAUGHT_BY test storage/durability "a failed sync is final")

brook_mutant(prefix_read_before_leading
  FILE storage/bodies/durability.hpp
  FIND [=[    if (sync_failure() || syncing_.exchange(true, std::memory_order_acquire)) {
        return false;
    }
    return lead([&] {
        log_place published = prefix_.advance();]=]
  REPLACE [=[    log_place early = prefix_.advance();
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
  FILE storage/bodies/durability.hpp
  FIND [=[            published.at = format::segment_header_size;
            published.next = published.home->base;]=]
  REPLACE [=[            if (!BROOK_MUTANT(newest_segment_synced_too)) {
                published.at = format::segment_header_size;
                published.next = published.home->base;
            }]=]
  CAUGHT_BY test storage/durability "upkeep syncs sealed segments whatever the flush policy, and leaves the newest alone")

brook_mutant(one_more_unsynced_acknowledged
  FILE storage/log.hpp
  FIND [=[return at + 2 - parts_.options.flush_messages;]=]
  REPLACE [=[return at + (BROOK_MUTANT(one_more_unsynced_acknowledged) ? 1 : 2) - parts_.options.flush_messages;]=]
  CAUGHT_BY test storage/durability "flush_messages bounds the acknowledged records that are not synced")

brook_mutant(footer_before_sync
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[    for (; finished_ + 1 < parts_.segments.count() && parts_.segments.at(finished_)->is_synced.load(std::memory_order_acquire); ++finished_) {]=]
  REPLACE [=[    for (; finished_ + 1 < parts_.segments.count() && (BROOK_MUTANT(footer_before_sync) || parts_.segments.at(finished_)->is_synced.load(std::memory_order_acquire)); ++finished_) {]=]
  CAUGHT_BY test storage/durability "a sync of a sealed segment that fails is as final")

brook_mutant(checkpoint_one_too_high
  FILE storage/checkpoint_keeper.hpp
  FIND [=[            told.durable_offset = durable;]=]
  REPLACE [=[            told.durable_offset = durable + (BROOK_MUTANT(checkpoint_one_too_high) ? 1 : 0);]=]
  CAUGHT_BY test storage/partition_scrub "a look at a log that was closed in good order counts what is in it and finds nothing")

brook_mutant(append_time_goes_back
  FILE storage/log.hpp
  FIND [=[            of.parts_.last_append_time = now > of.parts_.last_append_time ? now : of.parts_.last_append_time;]=]
  REPLACE [=[            of.parts_.last_append_time = now > of.parts_.last_append_time || BROOK_MUTANT(append_time_goes_back) ? now : of.parts_.last_append_time;]=]
  CAUGHT_BY test storage/log "append time never goes back, whatever the clock does")

brook_mutant(space_given_back_too_soon
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[    const position from = align_up(end, page_size);]=]
  REPLACE [=[    const position from = align_up(end, page_size) - (BROOK_MUTANT(space_given_back_too_soon) ? page_size : 0);]=]
  CAUGHT_BY test storage/appender "a segment ends with its seal, wherever the last record ends")

# ---- storage: recovery ----

brook_mutant(erase_skipped
  FILE storage/bodies/recovery.hpp
  FIND [=[    erase_behind(memory, scan.at);]=]
  REPLACE [=[    if (!BROOK_MUTANT(erase_skipped)) {
        erase_behind(memory, scan.at);
    }]=]
  CAUGHT_BY test storage/recovery "what is cut after a loss of power is kept aside, and cannot come back")

brook_mutant(cut_believed_from_memory
  FILE storage/bodies/recovery.hpp
  FIND [=[    if (failure why = write_again(told)) {]=]
  REPLACE [=[    if (failure why = BROOK_MUTANT(cut_believed_from_memory) ? failure{} : write_again(told)) {]=]
  CAUGHT_BY test storage/truncation "a truncation that could not be written down for sure is written again before a segment goes by it")

brook_mutant(start_believed_from_memory
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[    not_removed_ = has_any ? parts_.kept.rewrite(]=]
  REPLACE [=[    not_removed_ = has_any && !BROOK_MUTANT(start_believed_from_memory) ? parts_.kept.rewrite(]=]
  CAUGHT_BY test storage/power_loss "a start that could not be written down for sure is written again before a file goes by it")

brook_mutant(doubt_ignored
  FILE storage/bodies/recovery.hpp
  FIND [=[    if (is_same && pin->doubt() != doubt::none) {]=]
  REPLACE [=[    if (is_same && pin->doubt() != doubt::none && !BROOK_MUTANT(doubt_ignored)) {]=]
  CAUGHT_BY test storage/power_loss "after a failed sync the log goes on in new files, and what is acknowledged from then on is on the disk")

brook_mutant(doubt_settled_by_a_sync
  FILE storage/bodies/segment_doubt.hpp
  FIND [=[if (pin->doubt() == doubt::is_syncing && is_on_disk()) {]=]
  REPLACE [=[if (pin->doubt() == doubt::is_syncing && (BROOK_MUTANT(doubt_settled_by_a_sync) ? !pin->log_file().sync() : is_on_disk())) {]=]
  CAUGHT_BY test storage/power_loss "killed before it hears that its sync has failed, a log is compared with the disk")

brook_mutant(doubt_only_after_failure
  FILE storage/segment.hpp
  FIND [=[        set_doubt(before > storage::doubt::is_syncing ? before : storage::doubt::is_syncing);]=]
  REPLACE [=[        if (!BROOK_MUTANT(doubt_only_after_failure)) {
            set_doubt(before > storage::doubt::is_syncing ? before : storage::doubt::is_syncing);
        }]=]
  CAUGHT_BY test storage/power_loss "killed before it hears that its sync has failed, a log is compared with the disk")

brook_mutant(doubt_taken_back_by_a_sync
  FILE storage/segment.hpp
  FIND [=[        set_doubt(code ? storage::doubt::has_failed : before);]=]
  REPLACE [=[        set_doubt(code ? storage::doubt::has_failed : BROOK_MUTANT(doubt_taken_back_by_a_sync) ? storage::doubt::none : before);]=]
  CAUGHT_BY test storage/segment "a sync that succeeds takes back its own doubt, and no other")

brook_mutant(copy_not_synced
  FILE storage/bodies/segment_doubt.hpp
  FIND [=[    code = copy->sync();]=]
  REPLACE [=[    code = BROOK_MUTANT(copy_not_synced) ? std::error_code{} : copy->sync();]=]
  CAUGHT_BY test storage/power_loss "killed while it moves to a new file, or without power, a log is what it was before or after")

brook_mutant(copy_without_its_identity
  FILE storage/bodies/segment_doubt.hpp
  FIND [=[    store(first.data() + format::writer_at, format::make_writer(id.boot_id, id.device, id.inode, id.birth_time_ns));]=]
  REPLACE [=[    if (!BROOK_MUTANT(copy_without_its_identity)) {
        store(first.data() + format::writer_at, format::make_writer(id.boot_id, id.device, id.inode, id.birth_time_ns));
    }]=]
  CAUGHT_BY test storage/power_loss "killed while it moves to a new file, or without power, a log is what it was before or after")

brook_mutant(lost_index_believed
  FILE storage/bodies/segment_directory.hpp
  FIND [=[    store(first.data(), doubt::is_syncing);]=]
  REPLACE [=[    store(first.data(), BROOK_MUTANT(lost_index_believed) ? doubt::none : doubt::is_syncing);]=]
  CAUGHT_BY test storage/segment_directory "an index that is made anew says that the segment is in doubt")

brook_mutant(appends_without_a_new_file
  FILE storage/bodies/log.hpp
  FIND [=[    if (found.not_moved) {]=]
  REPLACE [=[    if (found.not_moved && !BROOK_MUTANT(appends_without_a_new_file)) {]=]
  CAUGHT_BY test storage/durability "a log that cannot go on in a new file is read on, and takes no more appends until it can")

brook_mutant(erase_not_synced
  FILE storage/segment_erase.hpp
  FIND [=[    auto code = memory.sync();]=]
  REPLACE [=[    auto code = BROOK_MUTANT(erase_not_synced) ? std::error_code{} : memory.sync();]=]
  CAUGHT_BY test storage/power_loss "a tail that a killed recovery has erased does not come back behind new records")

brook_mutant(failed_erase_not_repeated
  FILE storage/segment_erase.hpp
  FIND [=[        for (position here = at; here < memory.readable();) {]=]
  REPLACE [=[        for (position here = at; here < memory.readable() && !BROOK_MUTANT(failed_erase_not_repeated);) {]=]
  CAUGHT_BY test storage/power_loss "a tail that recovery could not erase on the disk is erased by the next one")

brook_mutant(erased_tail_believed_from_memory
  FILE storage/segment_erase.hpp
  FIND [=[    if (!code && was_in_doubt && !disk_has(memory, at)) {]=]
  REPLACE [=[    if (!code && was_in_doubt && !BROOK_MUTANT(erased_tail_believed_from_memory) && !disk_has(memory, at)) {]=]
  CAUGHT_BY test storage/power_loss "killed before it hears that a tail could not be erased on the disk, a recovery is followed by one that does it")

brook_mutant(rot_is_cut
  FILE storage/bodies/recovery.hpp
  FIND [=[        if (log_->checkpoint.durable_offset <= scan.next) {
            return cut(scan);
        }]=]
  REPLACE [=[        if (BROOK_MUTANT(goes_on_past_a_gap) && log_->checkpoint.durable_offset <= scan.next) {
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
  FILE storage/bodies/recovery.hpp
  FIND [=[    offset durable = evidence_in(*scan.memory, scan.at + format::frame_alignment, scan.next);]=]
  REPLACE [=[    if (BROOK_MUTANT(evidence_beyond_ignored)) {
        return {};
    }
    offset durable = evidence_in(*scan.memory, scan.at + format::frame_alignment, scan.next);]=]
  CAUGHT_BY test storage/recovery "below the evidence of durability a bad record is rot: told, kept, never cut")

brook_mutant(epoch_not_raised
  FILE storage/bodies/recovery.hpp
  FIND [=[    log_->checkpoint.leader_epoch += is_replicated_ ? 0 : 1;]=]
  REPLACE [=[    log_->checkpoint.leader_epoch += is_replicated_ || BROOK_MUTANT(epoch_not_raised) ? 0 : 1;]=]
  CAUGHT_BY test storage/recovery "a recovery that cuts raises the epoch, even when it is killed before it has finished")

brook_mutant(later_segments_stay
  FILE storage/bodies/recovery.hpp
  FIND [=[    for (; i < bases_.size(); ++i) {]=]
  REPLACE [=[    for (; i < bases_.size() && !BROOK_MUTANT(later_segments_stay); ++i) {]=]
  CAUGHT_BY test storage/recovery "segments beyond a cut are put aside, never deleted")

brook_mutant(cut_not_kept_aside
  FILE storage/bodies/recovery.hpp
  FIND [=[    if (saved_end > scan.at) {]=]
  REPLACE [=[    if (saved_end > scan.at && !BROOK_MUTANT(cut_not_kept_aside)) {]=]
  CAUGHT_BY test storage/recovery "what is cut after a loss of power is kept aside, and cannot come back")

brook_mutant(damaged_mark_believed
  FILE storage/claim_gap.hpp
  FIND [=[        if (frame_view within; find_frame(]=]
  REPLACE [=[        if (frame_view within; !BROOK_MUTANT(damaged_mark_believed) && find_frame(]=]
  CAUGHT_BY test storage/recovery "records behind a claim whose length is not what was claimed are told of a gap, and neither filled nor erased")

brook_mutant(filler_one_too_many
  FILE storage/claim_gap.hpp
  FIND [=[    header.count = static_cast<std::uint32_t>(after - scan.next);]=]
  REPLACE [=[    header.count = static_cast<std::uint32_t>(after - scan.next) + (BROOK_MUTANT(filler_one_too_many) ? 1 : 0);]=]
  CAUGHT_BY test storage/recovery "a gap that a killed writer left becomes one filler, and its offsets are consumed")

brook_mutant(durable_gap_filled
  FILE storage/bodies/recovery.hpp
  FIND [=[const bool was_claimed = hole.is_whole && !was_relied_upon(scan);]=]
  REPLACE [=[const bool was_claimed = hole.is_whole && (BROOK_MUTANT(durable_gap_filled) || !was_relied_upon(scan));]=]
  CAUGHT_BY test storage/recovery "a hole among durable records is rot and no claim of a killed writer, in the same boot and at each opening")

brook_mutant(signed_before_the_cut
  FILE storage/bodies/recovery.hpp
  FIND [=[    start_at_checkpoint(scan, log_->checkpoint, is_cutting() ? cut_at_ : largest_offset);]=]
  REPLACE [=[    if (BROOK_MUTANT(signed_before_the_cut)) {
        static_cast<void>(segment_directory::sign(*pin, files_.name()));
    }
    start_at_checkpoint(scan, log_->checkpoint, is_cutting() ? cut_at_ : largest_offset);]=]
  CAUGHT_BY test storage/power_loss "a tail that a killed recovery has erased does not come back behind new records")

brook_mutant(checkpoint_place_trusted
  FILE storage/segment_scan.hpp
  FIND [=[    if (reached.at == at && reached.next == from.segment_offset) {]=]
  REPLACE [=[    if (BROOK_MUTANT(checkpoint_place_trusted) || (reached.at == at && reached.next == from.segment_offset)) {]=]
  CAUGHT_BY test storage/recovery "a checkpoint whose place is between two frames is not believed, and what has rotted in front of it is told")

brook_mutant(names_of_a_cut_not_synced
  FILE storage/bodies/recovery.hpp
  FIND [=[scan.is_cut ? files_.sync_names() : failure{}) {]=]
  REPLACE [=[scan.is_cut && !BROOK_MUTANT(names_of_a_cut_not_synced) ? files_.sync_names() : failure{}) {]=]
  CAUGHT_BY test storage/power_loss "a segment that a killed recovery has put aside does not come back under its name")

brook_mutant(named_spare_refused
  FILE storage/bodies/recovery.hpp
  FIND [=[        } else if (!summary.base && !is_same) {]=]
  REPLACE [=[        } else if (!summary.base && !is_same && !BROOK_MUTANT(named_spare_refused)) {]=]
  CAUGHT_BY test storage/power_loss "a spare that was taken and named opens, even if its base offset was not on the disk yet")

brook_mutant(taken_spare_forgotten
  FILE storage/bodies/segment_listing.hpp
  FIND [=[    if (file && summary.base && (bases_.empty() || bases_.back() < *summary.base)) {]=]
  REPLACE [=[    if (file && summary.base && !BROOK_MUTANT(taken_spare_forgotten) && (bases_.empty() || bases_.back() < *summary.base)) {]=]
  CAUGHT_BY test storage/recovery "a kill anywhere in a roll is finished by the next opening")

brook_mutant(unknown_identity_is_another
  FILE storage/bodies/recovery.hpp
  FIND [=[        if (unknown) {]=]
  REPLACE [=[        if (unknown && !BROOK_MUTANT(unknown_identity_is_another)) {]=]
  CAUGHT_BY test storage/recovery "a system that does not say who a file is makes opening fail, and cuts nothing")

brook_mutant(footer_is_no_evidence
  FILE storage/bodies/recovery.hpp
  FIND [=[    raise_evidence(summary.has_footer ? summary.footer.end_offset : 0);
    segment_scan scan]=]
  REPLACE [=[    raise_evidence(summary.has_footer && !BROOK_MUTANT(footer_is_no_evidence) ? summary.footer.end_offset : 0);
    segment_scan scan]=]
  CAUGHT_BY test storage/recovery "the footer of a segment is evidence of its own records, when no other is left")

brook_mutant(damage_not_told
  FILE storage/bodies/recovery.hpp
  FIND [=[    log_->report.damages.push_back({file, begin, end, first, last});]=]
  REPLACE [=[    if (!BROOK_MUTANT(damage_not_told)) {
        log_->report.damages.push_back({file, begin, end, first, last});
    }]=]
  CAUGHT_BY test storage/recovery "below the evidence of durability a bad record is rot: told, kept, never cut")

brook_mutant(seal_taken_back
  FILE storage/bodies/recovery.hpp
  FIND [=[    is_open_ = !scan.is_sealed && !scan.ends_in_damage;]=]
  REPLACE [=[    is_open_ = (!scan.is_sealed || BROOK_MUTANT(seal_taken_back)) && !scan.ends_in_damage;]=]
  CAUGHT_BY test storage/recovery "a kill anywhere in a roll is finished by the next opening")

brook_mutant(filler_without_mark
  FILE storage/claim_gap.hpp
  FIND [=[    word.store(format::frame_word::claimed(length).raw(), std::memory_order_seq_cst);
    format::frame_header header{};]=]
  REPLACE [=[    if (!BROOK_MUTANT(filler_without_mark)) {
        word.store(format::frame_word::claimed(length).raw(), std::memory_order_seq_cst);
    }
    format::frame_header header{};]=]
  CAUGHT_BY fault kill_every_instruction 10 1 holes)

brook_mutant(mark_erased_before_body
  FILE storage/claim_gap.hpp
  FIND [=[    word.store(format::frame_word::claimed(align_up(length, format::frame_alignment)).raw(), std::memory_order_seq_cst);]=]
  REPLACE [=[    word.store(BROOK_MUTANT(mark_erased_before_body) ? 0 : format::frame_word::claimed(align_up(length, format::frame_alignment)).raw(),
               std::memory_order_seq_cst);]=]
  CAUGHT_BY fault kill_every_instruction 10 1 claim)

brook_mutant(claims_not_stepped_over_whole
  FILE storage/claim_gap.hpp
  FIND [=[        at += length;
        hole.dirty_end]=]
  REPLACE [=[        at += BROOK_MUTANT(claims_not_stepped_over_whole) ? format::frame_alignment : length;
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

brook_mutant(cut_in_front_of_the_start
  FILE format/checkpoint.hpp
  FIND [=[&& slot.log_start_offset <= slot.cut_to())]=]
  REPLACE [=[&& (BROOK_MUTANT(cut_in_front_of_the_start) || slot.log_start_offset <= slot.cut_to()))]=]
  CAUGHT_BY test format/checkpoint "a slot does not count that cuts a log in front of its start")

brook_mutant(room_of_the_seal_is_anybodys
  FILE storage/frame_walk.hpp
  FIND [=[(!leaves_room_for_seal(segment.capacity(), at, word) ||]=]
  REPLACE [=[((!BROOK_MUTANT(room_of_the_seal_is_anybodys) && !leaves_room_for_seal(segment.capacity(), at, word)) ||]=]
  CAUGHT_BY test storage/recovery "what no writer could have written there is not taken for a record, though its checksum is right"
  HANGS)

brook_mutant(room_of_the_seal_is_read
  FILE storage/log_reader.hpp
  FIND [=[        const position end = records_end(segment);]=]
  REPLACE [=[        const position end = BROOK_MUTANT(room_of_the_seal_is_read) ? segment.readable() / format::frame_alignment * format::frame_alignment : records_end(segment);]=]
  CAUGHT_BY test storage/log_reader "what an opening has passed over is read as damage, though its checksum is right")

brook_mutant(room_of_the_seal_supersedes
  FILE storage/compaction_pass.hpp
  FIND [=[end_{records_end(memory)} {}]=]
  REPLACE [=[end_{BROOK_MUTANT(room_of_the_seal_supersedes) ? memory.readable() : records_end(memory)} {}]=]
  CAUGHT_BY test storage/compaction "what no writer has written supersedes no record, though its checksum is right")

brook_mutant(offsets_beyond_counting
  FILE storage/segment_scan.hpp
  FIND [=[    return seen != look::frame || is_counted ? seen : look::corrupt;]=]
  REPLACE [=[    return seen != look::frame || is_counted || BROOK_MUTANT(offsets_beyond_counting) ? seen : look::corrupt;]=]
  CAUGHT_BY test storage/recovery "what no writer could have written there is not taken for a record, though its checksum is right")

brook_mutant(end_of_a_cut_file_left
  FILE storage/segment_erase.hpp
  FIND [=[        if (*memory.frame(here) != std::byte{0}) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(end_of_a_cut_file_left) && *memory.frame(here) != std::byte{0}) {]=]
  CAUGHT_BY test storage/recovery "of a file that was cut anywhere nothing stands behind what is appended next")

brook_mutant(opened_without_offsets
  FILE storage/bodies/recovery.hpp
  FIND [=[    if (!bases_.empty() && bases_.back() > last_base) {]=]
  REPLACE [=[    if (!BROOK_MUTANT(opened_without_offsets) && !bases_.empty() && bases_.back() > last_base) {]=]
  CAUGHT_BY test storage/recovery "no segment begins where its offsets might pass the largest, and nothing that was appended in front of that is lost")

brook_mutant(rolled_without_offsets
  FILE storage/bodies/appender.hpp
  FIND [=[    if (base > last_base) {]=]
  REPLACE [=[    if (base > last_base && !BROOK_MUTANT(rolled_without_offsets)) {]=]
  CAUGHT_BY test storage/recovery "no segment begins where its offsets might pass the largest, and nothing that was appended in front of that is lost")

brook_mutant(offsets_claimed_uncounted
  FILE storage/appender.hpp
  FIND [=[        return offsets <= 1 || tail.records() == 0 || tail.records() + offsets <= most;]=]
  REPLACE [=[        return BROOK_MUTANT(offsets_claimed_uncounted) || offsets <= 1 || tail.records() == 0 || tail.records() + offsets <= most;]=]
  CAUGHT_BY test storage/appender "a segment takes no more offsets than are counted, however few bytes they need")

brook_mutant(frame_of_any_offsets
  FILE storage/frame_walk.hpp
  FIND [=[(how == trust::verify && found.offsets_taken() > format::most_offsets_taken)) {]=]
  REPLACE [=[(how == trust::verify && !BROOK_MUTANT(frame_of_any_offsets) && found.offsets_taken() > format::most_offsets_taken)) {]=]
  CAUGHT_BY test storage/recovery "what no writer could have written there is not taken for a record, though its checksum is right")

brook_mutant(read_beyond_counting
  FILE storage/log_reader.hpp
  FIND [=[at_ < from_disk && !is_within(*home_, found)) [[unlikely]] {]=]
  REPLACE [=[at_ < from_disk && !BROOK_MUTANT(read_beyond_counting) && !is_within(*home_, found)) [[unlikely]] {]=]
  CAUGHT_BY test storage/log_reader "what an opening has passed over is read as damage, though its checksum is right")

brook_mutant(lone_records_beyond_their_segment
  FILE storage/log_reader.hpp
  FIND [=[            stop = last_here < stop ? last_here : stop;]=]
  REPLACE [=[            stop = last_here < stop && !BROOK_MUTANT(lone_records_beyond_their_segment) ? last_here : stop;]=]
  CAUGHT_BY test storage/log_reader "what a segment has of the next one's offsets is read as damage, though its checksum is right")

brook_mutant(any_frame_believed_behind_damage
  FILE storage/frame_walk.hpp
  FIND [=[            !format::verifies(segment.seed(), at, segment.readable(), data)) {
            continue;]=]
  REPLACE [=[            (!BROOK_MUTANT(any_frame_believed_behind_damage) && !format::verifies(segment.seed(), at, segment.readable(), data))) {
            continue;]=]
  CAUGHT_BY test storage/frame_walk "behind damage the next intact frame is found, and no payload passes for one")

brook_mutant(nothing_where_a_record_was
  FILE storage/frame_walk.hpp
  FIND [=[    return seen == look::nothing && is_from_disk ? look::corrupt : seen;]=]
  REPLACE [=[    return seen == look::nothing && is_from_disk && !BROOK_MUTANT(nothing_where_a_record_was) ? look::corrupt : seen;]=]
  CAUGHT_BY test storage/recovery "a hole among durable records is rot and no claim of a killed writer, in the same boot and at each opening")

brook_mutant(lone_records_not_verified
  FILE storage/log_reader.hpp
  FIND [=[                (Verifies && !format::has_checksum(seed, here.at, word, frame))) {]=]
  REPLACE [=[                (Verifies && !BROOK_MUTANT(lone_records_not_verified) && !format::has_checksum(seed, here.at, word, frame))) {]=]
  CAUGHT_BY test storage/log_reader "what comes from the disk is verified before it is handed out, unless the reader forgoes it")

brook_mutant(like_records_not_verified
  FILE storage/log_reader.hpp
  FIND [=[ || (Verifies && !format]=]
  REPLACE [=[ || (Verifies && !BROOK_MUTANT(like_records_not_verified) && !format]=]
  CAUGHT_BY test storage/log_reader "a record among others of its length that is not as it should be ends a fetch")

brook_mutant(key_of_the_like_taken_for_granted
  FILE storage/log_reader.hpp
  FIND [=[load<std::uint32_t>(frame + 36) != key]=]
  REPLACE [=[(!BROOK_MUTANT(key_of_the_like_taken_for_granted) && load<std::uint32_t>(frame + 36) != key)]=]
  CAUGHT_BY test storage/log_reader "a record among others of its length that is not as it should be ends a fetch")

brook_mutant(first_length_for_all
  FILE storage/log_reader.hpp
  FIND [=[stride = stride == 0 || stride == length ? length : record_range::many_strides;]=]
  REPLACE [=[stride = stride == 0 || stride == length ? length : BROOK_MUTANT(first_length_for_all) ? stride : record_range::many_strides;]=]
  CAUGHT_BY test client/records "records of one length are read like those of several, wherever another one stands among them")

brook_mutant(more_than_were_counted
  FILE client/records.hpp
  FIND [=[                    here.entries_left = behind < here.left ? behind : here.left - 1;
                    here.left -= 1 + here.entries_left;]=]
  REPLACE [=[                    here.entries_left = BROOK_MUTANT(more_than_were_counted) || behind < here.left ? behind : here.left - 1;
                    here.left -= BROOK_MUTANT(more_than_were_counted) ? 0 : 1 + here.entries_left;]=]
  CAUGHT_BY test client/records "a batch whose records are not what it says of them gives no more than were counted")

brook_mutant(batches_not_verified
  FILE storage/log_reader.hpp
  FIND [=[        const bool is_due = verify && at_ >= verified_to;]=]
  REPLACE [=[        const bool is_due = verify && at_ >= verified_to && !BROOK_MUTANT(batches_not_verified);]=]
  CAUGHT_BY test storage/log_reader "a batch that comes from the disk is verified as a whole, wherever in it a reader begins")

brook_mutant(missing_segment_skipped
  FILE storage/bodies/log_reader.hpp
  FIND [=[    if (next->base != next_) {]=]
  REPLACE [=[    if (BROOK_MUTANT(missing_segment_skipped)) {
        next_ = wanted_ = next->base;
    }
    if (next->base != next_) {]=]
  CAUGHT_BY test storage/damage "files of a log that are missing, exchanged or old are noticed")

brook_mutant(offset_behind_the_end_accepted
  FILE storage/bodies/log_reader.hpp
  FIND [=[    if (seen == look::nothing && next_ < wanted_ &&]=]
  REPLACE [=[    if (!BROOK_MUTANT(offset_behind_the_end_accepted) && seen == look::nothing && next_ < wanted_ &&]=]
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
  FILE broker/bodies/core.hpp
  FIND [=[core::enter_topic(std::string_view name, const topic_meta& meta) {
    check(platform_.sync_directory(topics_path()), "cannot sync " + topics_path());]=]
  REPLACE [=[core::enter_topic(std::string_view name, const topic_meta& meta) {
    if (!BROOK_MUTANT(topic_name_not_synced)) {
        check(platform_.sync_directory(topics_path()), "cannot sync " + topics_path());
    }]=]
  CAUGHT_BY test broker/core "a directory that was made is synced into its parent, as are the topics in it")

brook_mutant(partitions_not_synced_before_rename
  FILE broker/bodies/core.hpp
  FIND [=[    check(platform_.sync_directory(unfinished), "cannot sync " + unfinished);]=]
  REPLACE [=[    if (!BROOK_MUTANT(partitions_not_synced_before_rename)) {
        check(platform_.sync_directory(unfinished), "cannot sync " + unfinished);
    }]=]
  CAUGHT_BY fault power_loss)

brook_mutant(partition_directory_not_synced
  FILE broker/bodies/core.hpp
  FIND [=[        check(platform_.sync_directory(partition), "cannot sync " + partition);]=]
  REPLACE [=[        check(BROOK_MUTANT(partition_directory_not_synced) ? std::error_code{} : platform_.sync_directory(partition), "cannot sync " + partition);]=]
  CAUGHT_BY test broker/core "a topic that was being made when the power went is there with all its partitions, or not at all")

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
  FILE broker/bodies/committed_offsets.hpp
  FIND [=[    failure why = append(group, positions, false);
    if (!why) {]=]
  REPLACE [=[    failure why = append(group, positions, false);
    if (!why || BROOK_MUTANT(failed_commit_remembered)) {]=]
  CAUGHT_BY test broker/committed_offsets "a commit that could not be appended has not happened")

brook_mutant(commits_one_by_one
  FILE broker/bodies/committed_offsets.hpp
  FIND [=[    const auto count = static_cast<std::uint32_t>(positions.size());]=]
  REPLACE [=[    const auto count = BROOK_MUTANT(commits_one_by_one) ? 1u : static_cast<std::uint32_t>(positions.size());]=]
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
  FILE broker/bodies/group.hpp
  FIND [=[return place.target == id && place.owner == nobody; });]=]
  REPLACE [=[return place.target == id && place.owner != id && (place.owner == nobody || BROOK_MUTANT(partition_taken_before_it_is_given_up)); });]=]
  CAUGHT_BY test broker/group "a partition goes from one to another only when that one has given it up")

brook_mutant(commit_by_who_was_put_out
  FILE broker/bodies/group_coordinator.hpp
  FIND [=[    if (member == 0 ? in != nullptr && in->has_members() : in == nullptr || in->find(member) == nullptr) {]=]
  REPLACE [=[    if (BROOK_MUTANT(commit_by_who_was_put_out)) {
        return {};
    }
    if (member == 0 ? in != nullptr && in->has_members() : in == nullptr || in->find(member) == nullptr) {]=]
  CAUGHT_BY test client/group "commits are for what is one's own, and for what is there")

brook_mutant(commit_of_a_cut_history_believed
  FILE client/consumer.hpp
  FIND [=[        if (committed_epoch >= 0) {]=]
  REPLACE [=[        if (committed_epoch >= 0 && !BROOK_MUTANT(commit_of_a_cut_history_believed)) {]=]
  CAUGHT_BY test client/group "a commit of what was cut is not believed, even where new records have taken the place")

brook_mutant(commit_beyond_the_end
  FILE client/consumer.hpp
  FIND [=[        const offset next = committed < end ? committed : end;]=]
  REPLACE [=[        const offset next = committed < end || BROOK_MUTANT(commit_beyond_the_end) ? committed : end;]=]
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
  CAUGHT_BY test client/topics "what is committed of one topic says nothing of another")

brook_mutant(empty_while_it_has_members
  FILE broker/bodies/group_coordinator.hpp
  FIND [=[        static_cast<void>(offsets_.note_members(name));]=]
  REPLACE [=[        if (!BROOK_MUTANT(empty_while_it_has_members)) {
            static_cast<void>(offsets_.note_members(name));
        }]=]
  CAUGHT_BY test client/group "a group that a broker left with its members is forgotten no sooner than it could have come back")

brook_mutant(forgotten_though_it_commits
  FILE broker/bodies/group_coordinator.hpp
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
  FILE storage/bodies/log.hpp
  FIND [=[    if ((saved.flags & format::checkpoint_flag::producers) != 0) {]=]
  REPLACE [=[    if ((saved.flags & format::checkpoint_flag::producers) != 0 && !BROOK_MUTANT(producers_forgotten_at_opening)) {]=]
  CAUGHT_BY test client/idempotence "a producer with a name goes on where it was, after a close or a kill")

brook_mutant(first_number_without_a_flag
  FILE storage/checkpoint_keeper.hpp
  FIND [=[changed.flags |= which; });]=]
  REPLACE [=[changed.flags |= BROOK_MUTANT(first_number_without_a_flag) ? 0 : which; });]=]
  CAUGHT_BY test client/idempotence "a producer with a name goes on where it was, after a close or a kill")

brook_mutant(lost_checkpoint_loses_producers
  FILE storage/bodies/recovery.hpp
  FIND [=[    if (!saved && !bases_.empty()) {]=]
  REPLACE [=[    if (!saved && !bases_.empty() && !BROOK_MUTANT(lost_checkpoint_loses_producers)) {]=]
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
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[        of.aborted.push_back(in.epoch_);]=]
  REPLACE [=[        if (!BROOK_MUTANT(failed_epoch_not_told)) {
            of.aborted.push_back(in.epoch_);
        }]=]
  CAUGHT_BY test client/transaction "what a process leaves open that is killed is aborted, and what it committed stays")

brook_mutant(decided_and_nobody_woken
  FILE storage/bodies/log.hpp
  FIND [=[    parts_.appends.wake();
}

BROOK_INLINE offset log::last_stable_offset() {]=]
  REPLACE [=[    if (!BROOK_MUTANT(decided_and_nobody_woken)) {
        parts_.appends.wake();
    }
}

BROOK_INLINE offset log::last_stable_offset() {]=]
  CAUGHT_BY test client/transaction "a poll that waits in front of a transaction is woken when it is decided"
  HANGS)

brook_mutant(fenced_transaction_commits
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[        case state::fenced:]=]
  REPLACE [=[        case state::fenced:
            if (BROOK_MUTANT(fenced_transaction_commits)) {
                return {};
            }]=]
  CAUGHT_BY test client/transaction "who begins under an id aborts what is open there, and fences who began it")

brook_mutant(transaction_acknowledged_before_its_record
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[    return log().sync();]=]
  REPLACE [=[    return BROOK_MUTANT(transaction_acknowledged_before_its_record) ? failure{} : log().sync();]=]
  CAUGHT_BY test client/transaction "a commit waits for the disk where a topic of it has flush_messages")

# ---- exactly once, when the process is killed or the power goes ----

brook_mutant(transaction_shown_before_its_record
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[        if (failure why = append(in.transactional_id_, told)) {]=]
  REPLACE [=[        if (BROOK_MUTANT(transaction_shown_before_its_record)) {
            shared_.transactions.commit(in.producer_id_, in.epoch_, std::vector<std::uint16_t>{of.aborted});
        }
        if (failure why = append(in.transactional_id_, told)) {]=]
  CAUGHT_BY test client/transaction "a transaction's records are seen when its own record is there, and not before")

brook_mutant(epoch_of_an_aborted_transaction_again
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[        of.last_epoch = in.epoch_;
        in.has_appended_ = true;]=]
  REPLACE [=[        of.last_epoch = BROOK_MUTANT(epoch_of_an_aborted_transaction_again) ? of.last_epoch : std::int32_t{in.epoch_};
        in.has_appended_ = true;]=]
  CAUGHT_BY fault kill_every_instruction 10 1 transactions:)

brook_mutant(ends_without_offsets
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[            if (part.end >= 0 && !part.is_gone()) {]=]
  REPLACE [=[            if (part.end >= 0 && !part.is_gone() && !(BROOK_MUTANT(ends_without_offsets) && part.topic == offsets_.topic())) {]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(ends_not_looked_at
  FILE broker/bodies/transaction_history.hpp
  FIND [=[        if (!is_durable && !log.has_frame(end.end, end.leader_epoch, end.checksum)) {]=]
  REPLACE [=[        if (!is_durable && !log.has_frame(end.end, end.leader_epoch, end.checksum) && !BROOK_MUTANT(ends_not_looked_at)) {]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(lost_transactions_judged_again
  FILE broker/bodies/transaction_history.hpp
  FIND [=[            of.lost -= erase(one.lost, epoch);]=]
  REPLACE [=[            of.lost -= BROOK_MUTANT(lost_transactions_judged_again) ? 0 : erase(one.lost, epoch);]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(lost_transactions_not_judged
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[        if (one.lost.empty()) {]=]
  REPLACE [=[        if (one.lost.empty() || BROOK_MUTANT(lost_transactions_not_judged)) {]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(survivor_behind_a_lost_transaction
  FILE broker/bodies/transaction_history.hpp
  FIND [=[        found = of.lost > 0 ? reach::lost : reached(*told, of);]=]
  REPLACE [=[        found = of.lost > 0 && !BROOK_MUTANT(survivor_behind_a_lost_transaction) ? reach::lost : reached(*told, of);]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(unsynced_of_a_dead_process_forgotten
  FILE broker/bodies/transaction_history.hpp
  FIND [=[            of.unsynced.note({topics_[i], end.partition, 0, end.end});]=]
  REPLACE [=[            if (!BROOK_MUTANT(unsynced_of_a_dead_process_forgotten)) {
                of.unsynced.note({topics_[i], end.partition, 0, end.end});
            }]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(parts_not_synced
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[        parts = holder_of(transactional_id).unsynced.all();]=]
  REPLACE [=[        parts = BROOK_MUTANT(parts_not_synced) ? std::vector<transaction_part>{} : holder_of(transactional_id).unsynced.all();]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(interval_syncs_the_record_alone
  FILE broker/bodies/transaction_coordinator.hpp
  FIND [=[                to_sync.insert(to_sync.end(), of.unsynced.all().begin(), of.unsynced.all().end());]=]
  REPLACE [=[                if (!BROOK_MUTANT(interval_syncs_the_record_alone)) {
                    to_sync.insert(to_sync.end(), of.unsynced.all().begin(), of.unsynced.all().end());
                }]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(interval_forgotten_at_opening
  FILE broker/bodies/transaction_history.hpp
  FIND [=[        note_interval(log.options().flush_interval);]=]
  REPLACE [=[        if (!BROOK_MUTANT(interval_forgotten_at_opening)) {
            note_interval(log.options().flush_interval);
        }]=]
  CAUGHT_BY fault power_loss transactions)

brook_mutant(offsets_of_the_aborted_committed
  FILE broker/topic_replay.hpp
  FIND [=[    reader.read_committed(true);]=]
  REPLACE [=[    reader.read_committed(!BROOK_MUTANT(offsets_of_the_aborted_committed));]=]
  CAUGHT_BY test client/transaction "offsets of a transaction that failed behind them are not committed, by the next opening neither")

brook_mutant(numbers_behind_the_table_forgotten
  FILE storage/producer_memory.hpp
  FIND [=[                table_.note(format::load_stamp(found.data), found.offsets_taken(), found.header.base_offset);]=]
  REPLACE [=[                if (!BROOK_MUTANT(numbers_behind_the_table_forgotten)) {
                    table_.note(format::load_stamp(found.data), found.offsets_taken(), found.header.base_offset);
                }]=]
  CAUGHT_BY test client/idempotence "a producer with a name goes on where it was, after a close or a kill")

brook_mutant(checkpoint_before_its_segment
  FILE storage/checkpoint_file.hpp
  FIND [=[            code = files_.platform().sync_directory(files_.path());
            file = code]=]
  REPLACE [=[            code = BROOK_MUTANT(checkpoint_before_its_segment) ? std::error_code{} : files_.platform().sync_directory(files_.path());
            file = code]=]
  CAUGHT_BY test storage/power_loss "a first checkpoint is never on the disk without the segment that a dead process has made")

# ---- what stays and what goes ----

brook_mutant(files_removed_before_the_start_is_written
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[        moved.log_start_offset = start;]=]
  REPLACE [=[        moved.log_start_offset = BROOK_MUTANT(files_removed_before_the_start_is_written) ? moved.log_start_offset : start;]=]
  CAUGHT_BY test storage/retention "a kill anywhere in a deletion leaves the log as it was, or shorter, and nothing missing")

brook_mutant(deleted_up_to_what_is_not_synced
  FILE storage/bodies/log.hpp
  FIND [=[    if (failure why = wait_durable(before)) {]=]
  REPLACE [=[    if (failure why = BROOK_MUTANT(deleted_up_to_what_is_not_synced) ? failure{} : wait_durable(before)) {]=]
  CAUGHT_BY test storage/retention "records are deleted up to any offset, and stay deleted")

brook_mutant(age_by_the_wall_clock
  FILE storage/retention.hpp
  FIND [=[steady(platform) - then >= age]=]
  REPLACE [=[(BROOK_MUTANT(age_by_the_wall_clock) || steady(platform) - then >= age)]=]
  CAUGHT_BY test storage/retention "a segment goes when both clocks say that it is old, and only what is sealed and on the disk")

brook_mutant(old_active_segment_stays
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[(parts_.options.retention.age && retention_.is_old(]=]
  REPLACE [=[(!BROOK_MUTANT(old_active_segment_stays) && parts_.options.retention.age && retention_.is_old(]=]
  CAUGHT_BY test storage/retention "a segment goes when both clocks say that it is old, and only what is sealed and on the disk")

brook_mutant(one_segment_too_many
  FILE storage/retention.hpp
  FIND [=[policy.bytes && left - used >= *policy.bytes]=]
  REPLACE [=[policy.bytes && left - (BROOK_MUTANT(one_segment_too_many) ? 0 : used) >= *policy.bytes]=]
  CAUGHT_BY test storage/retention "a log keeps as many bytes as its policy says, and no whole segment more")

brook_mutant(deleted_files_left_by_recovery
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[    not_removed_ = not_removed_ ? std::move(not_removed_) : drop_deleted();]=]
  REPLACE [=[    not_removed_ = not_removed_ || BROOK_MUTANT(deleted_files_left_by_recovery) ? std::move(not_removed_) : drop_deleted();]=]
  CAUGHT_BY test storage/retention "a file that cannot be removed is told, and goes at the next opening")

brook_mutant(deleted_records_read
  FILE storage/bodies/log_reader.hpp
  FIND [=[    if (must_be_there && wanted_ <]=]
  REPLACE [=[    if (!BROOK_MUTANT(deleted_records_read) && must_be_there && wanted_ <]=]
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
  FILE storage/bodies/appender.hpp
  FIND [=[        if (end > begin && !files_.admits(]=]
  REPLACE [=[        if (!BROOK_MUTANT(budget_not_asked) && end > begin && !files_.admits(]=]
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
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[        why = parts_.appends.roll(true);]=]
  REPLACE [=[        why = parts_.appends.roll(!BROOK_MUTANT(no_roll_at_the_limit));]=]
  CAUGHT_BY test client/retention "what is deleted makes room at the limit, also where it is in active segments")

brook_mutant(count_behind_the_loop
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[    finished_ -= all.size();
    for (segment* const gone : all) {
        const bool is_large]=]
  REPLACE [=[    finished_ -= BROOK_MUTANT(count_behind_the_loop) ? 0 : all.size();
    for (segment* const gone : all) {
        finished_ -= BROOK_MUTANT(count_behind_the_loop) ? 1 : 0;
        const bool is_large]=]
  CAUGHT_BY test storage/retention "memory that runs out in a deletion leaves a log that goes on")

brook_mutant(scrub_of_what_was_deleted
  FILE storage/bodies/partition_scrub.hpp
  FIND [=[    while (chain_.size() > 1 && begins_at_or_below(chain_[1])) {]=]
  REPLACE [=[    while (!BROOK_MUTANT(scrub_of_what_was_deleted) && chain_.size() > 1 && begins_at_or_below(chain_[1])) {]=]
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
  FILE broker/bodies/core.hpp
  FIND [=[next_log_ > first && now - begin > *budget) {]=]
  REPLACE [=[next_log_ > first && now - begin > *budget) {
            next_log_ = BROOK_MUTANT(small_slices_begin_again) ? 0 : next_log_;]=]
  CAUGHT_BY test client/retention "upkeep in small slices comes to the limits of the disk, too")

brook_mutant(new_segments_not_counted
  FILE storage/bodies/segment_directory.hpp
  FIND [=[        budget_->note(bytes);]=]
  REPLACE [=[        if (!BROOK_MUTANT(new_segments_not_counted)) {
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
  FILE storage/bodies/compaction_pass.hpp
  FIND [=[const std::uint32_t compacted_at = stamp != 0 || record.offset() >= dirty_.end() ? stamp : seconds_now();]=]
  REPLACE [=[const std::uint32_t compacted_at = (stamp != 0 && !BROOK_MUTANT(tombstones_grow_younger)) || record.offset() >= dirty_.end() ? stamp : seconds_now();]=]
  CAUGHT_BY test storage/compaction "a tombstone stays for delete_retention from when it was first compacted, however often it is compacted again")

brook_mutant(left_out_and_forgotten
  FILE storage/bodies/compaction_pass.hpp
  FIND [=[    compacted_to_ = base < compacted_to_ ? base : compacted_to_;
}]=]
  REPLACE [=[    compacted_to_ = base < compacted_to_ && !BROOK_MUTANT(left_out_and_forgotten) ? base : compacted_to_;
}]=]
  CAUGHT_BY test storage/compaction "what cannot be read stays as it is, and what it may hold is not brought back when it can be read again")

brook_mutant(rot_compacted
  FILE storage/bodies/compaction_pass.hpp
  FIND [=[        switch (look(trust::verify, found)) {  // rot may be another's key]=]
  REPLACE [=[        switch (look(BROOK_MUTANT(rot_compacted) ? trust::written_here : trust::verify, found)) {]=]
  CAUGHT_BY test storage/compaction "rot that makes another key of one takes no record along")

brook_mutant(aborted_keys_noted
  FILE storage/bodies/compaction_pass.hpp
  FIND [=[next_ + found.offsets_taken() <= dirty_.from() || source_.fate_of(found) != transaction_fate::committed]=]
  REPLACE [=[next_ + found.offsets_taken() <= dirty_.from() || (!BROOK_MUTANT(aborted_keys_noted) && source_.fate_of(found) != transaction_fate::committed)]=]
  CAUGHT_BY test client/compaction "what is not decided supersedes nothing, and what was aborted goes")

brook_mutant(undecided_compacted
  FILE broker/bodies/core.hpp
  FIND [=[    const offset stable = log.last_stable_offset();]=]
  REPLACE [=[    const offset stable = BROOK_MUTANT(undecided_compacted) ? log.log_end_offset() : log.last_stable_offset();]=]
  CAUGHT_BY test client/compaction "what is not decided supersedes nothing, and what was aborted goes")

brook_mutant(epochs_compacted_together
  FILE storage/bodies/compaction_output.hpp
  FIND [=[    if (epoch != epoch_) {]=]
  REPLACE [=[    if (epoch != epoch_ && !BROOK_MUTANT(epochs_compacted_together)) {]=]
  CAUGHT_BY test storage/compaction "positions keep their leader epoch, and times are found, in what has been compacted")

brook_mutant(compacted_before_the_sync
  FILE storage/bodies/compaction_output.hpp
  FIND [=[    if (!code) {
        code = file_->sync();
    }]=]
  REPLACE [=[    if (!code && !BROOK_MUTANT(compacted_before_the_sync)) {
        code = file_->sync();
    }]=]
  CAUGHT_BY test storage/compaction "whenever the power goes in a compaction, what was durable is there or superseded by what is")

brook_mutant(swap_counts_before_its_name
  FILE storage/bodies/compaction_output.hpp
  FIND [=[    if (const auto code = platform.sync_directory(files_.path())) {]=]
  REPLACE [=[    if (const auto code = BROOK_MUTANT(swap_counts_before_its_name) ? std::error_code{} : platform.sync_directory(files_.path())) {]=]
  CAUGHT_BY test storage/compaction "whenever the power goes in a compaction, what was durable is there or superseded by what is")

brook_mutant(renamed_before_removals
  FILE storage/bodies/segment_directory.hpp
  FIND [=[    if (failure why = sync_names()) {]=]
  REPLACE [=[    if (failure why = BROOK_MUTANT(renamed_before_removals) ? failure{} : sync_names()) {]=]
  CAUGHT_BY test storage/compaction "whenever the power goes in a compaction, what was durable is there or superseded by what is")

brook_mutant(given_up_swap_counts
  FILE storage/bodies/segment_listing.hpp
  FIND [=[stands = stands && !(of_it.has_footer && of_it.footer.end_offset > (is_within ? range.end : range.base));]=]
  REPLACE [=[stands = stands && (BROOK_MUTANT(given_up_swap_counts) || !(of_it.has_footer && of_it.footer.end_offset > (is_within ? range.end : range.base)));]=]
  CAUGHT_BY test storage/compaction "a result that was given up does not take the place of a later one")

brook_mutant(replaced_segment_followed
  FILE storage/bodies/log_reader.hpp
  FIND [=[    if (next->is_replaced.load(std::memory_order_acquire)) {  // behind the look]=]
  REPLACE [=[    if (next->is_replaced.load(std::memory_order_acquire) && !BROOK_MUTANT(replaced_segment_followed)) {  // behind the look]=]
  CAUGHT_BY test storage/compaction "a reader that was under way goes on in what is left, and misses nothing that counts")

brook_mutant(active_stays_uncompacted
  FILE storage/bodies/compaction.hpp
  FIND [=[    return is_worth_it || (policy.max_lag && ages_.is_old(active, *policy.max_lag)) ? verdict::roll : verdict::nothing;]=]
  REPLACE [=[    return !BROOK_MUTANT(active_stays_uncompacted) && (is_worth_it || (policy.max_lag && ages_.is_old(active, *policy.max_lag))) ? verdict::roll : verdict::nothing;]=]
  CAUGHT_BY test storage/compaction "a log is compacted by its ratio, by the lag at most, and not before the lag at least")

brook_mutant(two_compactions_at_once
  FILE storage/bodies/compaction.hpp
  FIND [=[nobody == who;
}]=]
  REPLACE [=[nobody == who || BROOK_MUTANT(two_compactions_at_once);
}]=]
  CAUGHT_BY test storage/compaction "a log is compacted by its ratio, by the lag at most, and not before the lag at least")

brook_mutant(transactions_compacted_unsynced
  FILE broker/bodies/core.hpp
  FIND [=[        if (log->has_transactions() && !is_synced(*log)) {]=]
  REPLACE [=[        if (log->has_transactions() && !BROOK_MUTANT(transactions_compacted_unsynced) && !is_synced(*log)) {]=]
  CAUGHT_BY test client/compaction "what was told of earlier transactions is compacted away once those that came later are on the disk")

brook_mutant(file_limit_stays
  FILE os/system_call.hpp
  FIND [=[    if (opened == -1 && errno == EMFILE &&]=]
  REPLACE [=[    if (opened == -1 && errno == EMFILE && !BROOK_MUTANT(file_limit_stays) &&]=]
  CAUGHT_BY test scenario/many_partitions "1,024 partitions and 10,000 segments open where a process may have 1,024 files open")

brook_mutant(reused_while_held
  FILE storage/bodies/log_reader.hpp
  FIND [=[    return !gone.pin() && files_.take_for_recycling(gone.base);]=]
  REPLACE [=[    return (!gone.pin() || BROOK_MUTANT(reused_while_held)) && files_.take_for_recycling(gone.base);]=]
  CAUGHT_BY test storage/retention "a segment that goes becomes the next one, cleared, unless somebody holds it")

brook_mutant(reused_uncleared
  FILE storage/bodies/segment_directory.hpp
  FIND [=[    for (std::uint64_t at = 0; !code && at < capacity;) {]=]
  REPLACE [=[    for (std::uint64_t at = BROOK_MUTANT(reused_uncleared) ? capacity : 0; !code && at < capacity;) {]=]
  CAUGHT_BY test storage/retention "a segment that goes becomes the next one, cleared, unless somebody holds it")

brook_mutant(deletion_not_synced
  FILE broker/bodies/core.hpp
  FIND [=[not_synced = not_renamed ? std::error_code{}]=]
  REPLACE [=[not_synced = not_renamed || BROOK_MUTANT(deletion_not_synced) ? std::error_code{}]=]
  CAUGHT_BY test broker/core "the power that goes in a deletion leaves the topic whole or gone, and in the making of the next one, too")

brook_mutant(left_behind_for_ever
  FILE broker/bodies/core.hpp
  FIND [=[    for (const std::string& path : paths) {
        finish_deletion(path, problems);]=]
  REPLACE [=[    for (const std::string& path : paths) {
        if (BROOK_MUTANT(left_behind_for_ever)) {
            continue;
        }
        finish_deletion(path, problems);]=]
  CAUGHT_BY test broker/core "a process killed while it deletes a topic leaves it whole or gone")

brook_mutant(commits_outlive_their_topic
  FILE broker/bodies/core.hpp
  FIND [=[    return groups_.knows(meta.id) ?]=]
  REPLACE [=[    return BROOK_MUTANT(commits_outlive_their_topic) || groups_.knows(meta.id) ?]=]
  CAUGHT_BY test client/delete_topic "the members of a group settle without the topic, and what was committed for it goes")

brook_mutant(committed_for_what_was_deleted
  FILE broker/bodies/group_coordinator.hpp
  FIND [=[        if (!is_known(position.topic)) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(committed_for_what_was_deleted) && !is_known(position.topic)) {]=]
  CAUGHT_BY test broker/core "a topic that was deleted has gone, and another one of its name can be made at once")

brook_mutant(deleted_files_stay_mapped
  FILE storage/bodies/log.hpp
  FIND [=[            parts_.let_go(*parts_.segments.at(i));
        }
        return;]=]
  REPLACE [=[            if (BROOK_MUTANT(deleted_files_stay_mapped)) {
                break;
            }
            parts_.let_go(*parts_.segments.at(i));
        }
        return;]=]
  CAUGHT_BY test broker/core "descriptors and mappings of a topic go with it")

brook_mutant(deleted_part_aborts_the_rest
  FILE engine/bodies/transaction.hpp
  FIND [=[        if (why.code == errc::unknown_topic_or_partition) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(deleted_part_aborts_the_rest) && why.code == errc::unknown_topic_or_partition) {]=]
  CAUGHT_BY test client/delete_topic "a transaction is committed for the topics that are left")

brook_mutant(deleted_is_damaged
  FILE broker/bodies/verify.hpp
  FIND [=[        if (now == presence::same ||]=]
  REPLACE [=[        if (BROOK_MUTANT(deleted_is_damaged) || now == presence::same ||]=]
  CAUGHT_BY test client/delete_topic "verify finds nothing wrong with a topic that is deleted while it looks, nor with another that has come in its place")

# ---- client: tables ----

brook_mutant(table_of_aborted_records
  FILE client/table.hpp
  FIND [=[        settings.reads_committed = options.isolation_level == isolation_level::read_committed;]=]
  REPLACE [=[        settings.reads_committed = !BROOK_MUTANT(table_of_aborted_records) && options.isolation_level == isolation_level::read_committed;]=]
  CAUGHT_BY test client/table "what a transaction sends is in a table when it is committed, and never when it is aborted")

brook_mutant(table_keeps_deleted_keys
  FILE engine/bodies/table_partition.hpp
  FIND [=[        if (table_entry* const entry = find_entry(key, hash)) {]=]
  REPLACE [=[        if (table_entry* const entry = find_entry(key, hash); entry != nullptr && !BROOK_MUTANT(table_keeps_deleted_keys)) {]=]
  CAUGHT_BY test client/table "a table has the latest value of each key, and what was sent just now")

brook_mutant(table_finds_by_hash_alone
  FILE engine/table_partition.hpp
  FIND [=[                return load<std::uint32_t>(frame + key_size_at) == key.size()]=]
  REPLACE [=[                return BROOK_MUTANT(table_finds_by_hash_alone) ? true : load<std::uint32_t>(frame + key_size_at) == key.size()]=]
  CAUGHT_BY test client/table "keys of one hash are told apart by their bytes")

brook_mutant(table_loses_what_memory_fails_for
  FILE engine/bodies/table_partition.hpp
  FIND [=[            reader_.seek(before);  // the next time takes them]=]
  REPLACE [=[            reader_.seek(BROOK_MUTANT(table_loses_what_memory_fails_for) ? reader_.position_offset() : before);  // the next time takes them]=]
  CAUGHT_BY test client/table "memory that runs out while a table reads loses nothing")

brook_mutant(table_below_the_start
  FILE engine/bodies/table_partition.hpp
  FIND [=[    if (start == start_) {]=]
  REPLACE [=[    if (start == start_ || BROOK_MUTANT(table_below_the_start)) {]=]
  CAUGHT_BY test client/table "what retention has deleted leaves the table")

brook_mutant(table_holds_replaced_files
  FILE engine/bodies/table_partition.hpp
  FIND [=[        if (one.is_stale || (one.pin && one.pin->is_gone.load(std::memory_order_acquire))) {]=]
  REPLACE [=[        if (one.is_stale || (!BROOK_MUTANT(table_holds_replaced_files) && one.pin && one.pin->is_gone.load(std::memory_order_acquire))) {]=]
  CAUGHT_BY test client/table "records of a file that compaction has replaced are looked up in the new one, and the old one is let go of")

brook_mutant(table_as_of_then_loses_what_goes
  FILE engine/bodies/table_partition.hpp
  FIND [=[        copy_out();  // what compaction]=]
  REPLACE [=[        if (!BROOK_MUTANT(table_as_of_then_loses_what_goes)) copy_out();  // what compaction]=]
  CAUGHT_BY test client/table "a table as of a snapshot keeps what compaction takes afterwards")

brook_mutant(table_as_of_then_takes_more
  FILE engine/bodies/table_partition.hpp
  FIND [=[    if (settings_.until >= 0 && one.record.offset() >= settings_.until) {]=]
  REPLACE [=[    if (!BROOK_MUTANT(table_as_of_then_takes_more) && settings_.until >= 0 && one.record.offset() >= settings_.until) {]=]
  CAUGHT_BY test client/table "a table as of a snapshot is what it was then, and stays")

brook_mutant(table_reads_all_when_it_opens
  FILE engine/bodies/table_partition.hpp
  FIND [=[    if (!settings_.has_file || !load_file()) {]=]
  REPLACE [=[    if (!settings_.has_file || !load_file() || BROOK_MUTANT(table_reads_all_when_it_opens)) {]=]
  CAUGHT_BY test client/table "opening a table does not read again what its file covers")

brook_mutant(table_file_without_checksum
  FILE engine/table_file.hpp
  FIND [=[found == hash_.value()]=]
  REPLACE [=[(found == hash_.value() || BROOK_MUTANT(table_file_without_checksum))]=]
  CAUGHT_BY test client/table "a table's file that is damaged at any byte is not believed")

brook_mutant(table_file_of_another_history
  FILE engine/bodies/table_partition.hpp
  FIND [=[        log_->epoch_before(header.covered) != header.leader_epoch || ]=]
  REPLACE [=[        (!BROOK_MUTANT(table_file_of_another_history) && log_->epoch_before(header.covered) != header.leader_epoch) || ]=]
  CAUGHT_BY test client/table "a table's file of something else is not believed, however whole it is")

brook_mutant(table_file_believed_about_rewritten_segments
  FILE engine/bodies/table_partition.hpp
  FIND [=[found.front().pin->seed() == one.seed]=]
  REPLACE [=[(found.front().pin->seed() == one.seed || BROOK_MUTANT(table_file_believed_about_rewritten_segments))]=]
  CAUGHT_BY test client/table "what compaction has taken since a file was written is not in the table")

brook_mutant(table_file_that_lies_is_kept
  FILE engine/bodies/table_partition.hpp
  FIND [=[    is_lying_ |= is_there;]=]
  REPLACE [=[    is_lying_ |= is_there && !BROOK_MUTANT(table_file_that_lies_is_kept);]=]
  CAUGHT_BY test client/table "a table's file that lies about a key is found out when the key is looked for")

brook_mutant(parts_compacted_before_the_decision
  FILE broker/bodies/core.hpp
  FIND [=[    if (told != nullptr && is_synced(*told)) {]=]
  REPLACE [=[    if (told != nullptr && (BROOK_MUTANT(parts_compacted_before_the_decision) || is_synced(*told))) {]=]
  CAUGHT_BY test client/compaction "a transaction is all or nothing with the power, also where compaction is quicker than what decides it")

# ---- storage: replicated logs ----

brook_mutant(sent_frames_not_verified
  FILE format/wire_frame.hpp
  FIND [=[    if (!verifies(wire_seed, wire_position, static_cast<position>(frame.size()), frame.data())) {]=]
  REPLACE [=[    if (!BROOK_MUTANT(sent_frames_not_verified) && !verifies(wire_seed, wire_position, static_cast<position>(frame.size()), frame.data())) {]=]
  CAUGHT_BY test format/wire_frame "no flipped bit of a frame that was received goes unseen, nor one of its padding")

brook_mutant(sent_records_not_walked
  FILE format/wire_frame.hpp
  FIND [=[    return is_data ? detail::fault_of_records(header, frame.data(), taken) : nullptr;]=]
  REPLACE [=[    return is_data && !BROOK_MUTANT(sent_records_not_walked) ? detail::fault_of_records(header, frame.data(), taken) : nullptr;]=]
  CAUGHT_BY test format/wire_frame "what contradicts itself is refused, however good its checksum")

brook_mutant(readers_pass_the_watermark
  FILE storage/log_reader.hpp
  FIND [=[limit_ = passes_limit_ ? std]=]
  REPLACE [=[limit_ = passes_limit_ || BROOK_MUTANT(readers_pass_the_watermark) ? std]=]
  CAUGHT_BY test storage/replicated_log "readers of a replicated log stop at its high watermark, wherever they begin")

brook_mutant(times_pass_the_watermark
  FILE storage/bodies/log.hpp
  FIND [=[    const offset until = parts_.source.limit();
    std::vector<segment*> all]=]
  REPLACE [=[    const offset until = BROOK_MUTANT(times_pass_the_watermark) ? largest_offset : parts_.source.limit();
    std::vector<segment*> all]=]
  CAUGHT_BY test storage/replicated_log "look-ups by time, deletions and retention know nothing behind the high watermark")

brook_mutant(retention_passes_the_watermark
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[    while (count > 0 && parts_.segments.at(count)->base > parts_.source.limit()) {]=]
  REPLACE [=[    while (!BROOK_MUTANT(retention_passes_the_watermark) && count > 0 && parts_.segments.at(count)->base > parts_.source.limit()) {]=]
  CAUGHT_BY test storage/replicated_log "look-ups by time, deletions and retention know nothing behind the high watermark")

brook_mutant(compaction_passes_the_watermark
  FILE storage/bodies/log_upkeep.hpp
  FIND [=[        const offset decided = told < watermark ? told : watermark;]=]
  REPLACE [=[        const offset decided = told < watermark || BROOK_MUTANT(compaction_passes_the_watermark) ? told : watermark;]=]
  CAUGHT_BY test storage/replicated_log "a follower takes of a compacted batch what it does not have")

brook_mutant(watermark_wakes_nobody
  FILE storage/bodies/log.hpp
  FIND [=[        parts_.source.raise_limit(to);
    }
    parts_.appends.wake();]=]
  REPLACE [=[        parts_.source.raise_limit(to);
    }
    if (!BROOK_MUTANT(watermark_wakes_nobody)) parts_.appends.wake();]=]
  CAUGHT_BY test storage/replicated_log "who sleeps is woken when the high watermark moves"
  HANGS)

brook_mutant(copies_leave_offsets_out
  FILE storage/bodies/wire_append.hpp
  FIND [=[        } else if (header.base_offset != end) {]=]
  REPLACE [=[        } else if (!BROOK_MUTANT(copies_leave_offsets_out) && header.base_offset != end) {]=]
  CAUGHT_BY test storage/replicated_log "a follower takes frames up to the first that is wrong, and says which")

brook_mutant(copies_go_back_in_epochs
  FILE storage/bodies/wire_append.hpp
  FIND [=[        if (header.leader_epoch < parts_.leader_epoch()) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(copies_go_back_in_epochs) && header.leader_epoch < parts_.leader_epoch()) {]=]
  CAUGHT_BY test storage/replicated_log "a follower takes frames up to the first that is wrong, and says which")

brook_mutant(cut_below_the_watermark
  FILE storage/bodies/log_cut.hpp
  FIND [=[        if (!why && ((is_committed && !gives_up) || to < start || to > end)) {]=]
  REPLACE [=[        if (!why && ((!BROOK_MUTANT(cut_below_the_watermark) && is_committed && !gives_up) || to < start || to > end)) {]=]
  CAUGHT_BY test storage/truncation "a log is not cut below its high watermark, behind its end, in a batch, or while claims are open")

brook_mutant(cut_without_intent
  FILE storage/bodies/log_cut.hpp
  FIND [=[        told.cut_plus_one = to + 1;
]=]
  REPLACE [=[        told.cut_plus_one = BROOK_MUTANT(cut_without_intent) ? 0 : to + 1;
]=]
  CAUGHT_BY test storage/truncation "a loss of power in a truncation leaves the log as it was, or cut, and nothing of the rest comes back")

brook_mutant(cut_ended_before_its_sync
  FILE storage/bodies/log_cut.hpp
  FIND [=[    if (why = sync_erased(parts_.files, *pin, place.at); !why) {]=]
  REPLACE [=[    if (BROOK_MUTANT(cut_ended_before_its_sync)) {
        static_cast<void>(parts_.kept.rewrite_of_cut([](format::checkpoint& told) { told.cut_plus_one = 0; }));
    }
    if (why = sync_erased(parts_.files, *pin, place.at); !why) {]=]
  CAUGHT_BY test storage/truncation "a loss of power in a truncation leaves the log as it was, or cut, and nothing of the rest comes back")

brook_mutant(cut_leaves_the_footer
  FILE storage/segment_erase.hpp
  FIND [=[    store(memory.data() + format::footer_at, std::array<std::byte, sizeof(format::segment_footer)>{});]=]
  REPLACE [=[    if (!BROOK_MUTANT(cut_leaves_the_footer)) store(memory.data() + format::footer_at, std::array<std::byte, sizeof(format::segment_footer)>{});]=]
  CAUGHT_BY test storage/truncation "killed before any call to the system, a truncation has been or has not been")

brook_mutant(cut_evidence_believed
  FILE storage/bodies/recovery.hpp
  FIND [=[    durable = is_cutting() && durable > cut_at_ ? cut_at_ : durable;]=]
  REPLACE [=[    durable = is_cutting() && durable > cut_at_ && !BROOK_MUTANT(cut_evidence_believed) ? cut_at_ : durable;]=]
  CAUGHT_BY test storage/truncation "killed before any call to the system, a truncation has been or has not been")

brook_mutant(cut_not_taken_up
  FILE storage/bodies/recovery.hpp
  FIND [=[    return is_cutting() && i + 1 == bases_.size() && scan.next >= cut_at_;]=]
  REPLACE [=[    return !BROOK_MUTANT(cut_not_taken_up) && is_cutting() && i + 1 == bases_.size() && scan.next >= cut_at_;]=]
  CAUGHT_BY test storage/truncation "killed before any call to the system, a truncation has been or has not been")

brook_mutant(cut_forgets_no_numbers
  FILE storage/producer_table.hpp
  FIND [=[            state->last_sequence_ = -1;
        }
    }]=]
  REPLACE [=[            state->last_sequence_ = BROOK_MUTANT(cut_forgets_no_numbers) ? state->last_sequence_ : -1;
        }
    }]=]
  CAUGHT_BY test storage/truncation "numbers of producers that were cut are forgotten, and those in front are known")

brook_mutant(cut_stays_durable
  FILE storage/bodies/log_cut.hpp
  FIND [=[    parts_.durable.cut(to, home);]=]
  REPLACE [=[    if (!BROOK_MUTANT(cut_stays_durable)) parts_.durable.cut(to, home);]=]
  CAUGHT_BY test storage/truncation "a log is cut where it is told, in whichever segment, and goes on there"
  HANGS)

brook_mutant(cut_moves_a_part
  FILE storage/bodies/log_cut.hpp
  FIND [=[    if (reached != to) {]=]
  REPLACE [=[    if (reached != to && !BROOK_MUTANT(cut_moves_a_part)) {]=]
  CAUGHT_BY test storage/truncation "what would have to be moved and is damaged keeps a log from being cut")

brook_mutant(epochs_not_told
  FILE storage/checkpoint_keeper.hpp
  FIND [=[        if (epochs_ != nullptr) {]=]
  REPLACE [=[        if (epochs_ != nullptr && !BROOK_MUTANT(epochs_not_told)) {]=]
  CAUGHT_BY test storage/log_epochs "whichever frame rots, the epochs that the checkpoint tells of are what they were")

brook_mutant(rotten_frames_of_the_earlier_epoch
  FILE storage/bodies/log_epochs.hpp
  FIND [=[return {low < high ? low : high, high};]=]
  REPLACE [=[return {low < high && !BROOK_MUTANT(rotten_frames_of_the_earlier_epoch) ? low : high, high};]=]
  CAUGHT_BY test storage/log_epochs "where nothing tells of them, no epoch is said to reach further than it does, and what is not known is said")

brook_mutant(replicated_gap_filled
  FILE storage/bodies/recovery.hpp
  FIND [=[                if (is_replicated_ && was_claimed && ]=]
  REPLACE [=[                if (!BROOK_MUTANT(replicated_gap_filled) && is_replicated_ && was_claimed && ]=]
  CAUGHT_BY test storage/replicated_log "a gap is no filler in a replicated log: it ends there, unless that was relied upon")

brook_mutant(damage_sent_on
  FILE storage/bodies/log_reader.hpp
  FIND [=[        frame_view found;
        const look seen = look_here(true, found);
        if (seen != look::frame) {
            if (seen == look::corrupt ||]=]
  REPLACE [=[        frame_view found;
        const look seen = look_here(!BROOK_MUTANT(damage_sent_on), found);
        if (seen != look::frame) {
            if (seen == look::corrupt ||]=]
  CAUGHT_BY test storage/replicated_log "a damaged frame is not sent on")
# ---- replication: elections, what is committed, what is cut ----

brook_mutant(vote_not_saved
  FILE replication/bodies/replica.hpp
  FIND [=[            voted_for_ = from;
            save();]=]
  REPLACE [=[            voted_for_ = from;
            if (!BROOK_MUTANT(vote_not_saved)) {
                save();
            }]=]
  CAUGHT_BY test replication/replica "a replica votes once an epoch, also when it has started again in between")

brook_mutant(vote_said_before_saved
  FILE replication/bodies/replica.hpp
  FIND [=[        answer.is_granted = true;
    }
    send(from, answer);]=]
  REPLACE [=[        answer.is_granted = true;
    }
    send(from, answer);
    if (BROOK_MUTANT(vote_said_before_saved) && answer.is_granted && !asked.is_pre_vote && actions_.size() > 1) {
        std::swap(actions_.back(), actions_[actions_.size() - 2]);
    }]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(two_votes_an_epoch
  FILE replication/bodies/replica.hpp
  FIND [=[               (voted_for_ == no_node || voted_for_ == from)) {]=]
  REPLACE [=[               (BROOK_MUTANT(two_votes_an_epoch) || voted_for_ == no_node || voted_for_ == from)) {]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(older_epochs_committed_by_counting
  FILE replication/bodies/replica.hpp
  FIND [=[epoch_first_ >= 0 && all_hold > epoch_first_) {]=]
  REPLACE [=[epoch_first_ >= 0 && (BROOK_MUTANT(older_epochs_committed_by_counting) || all_hold > epoch_first_)) {]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(cut_to_high_watermark
  FILE replication/bodies/replica.hpp
  FIND [=[    const offset to = std::min(answer.fetch_answer.end, mine.end);]=]
  REPLACE [=[    const offset to = BROOK_MUTANT(cut_to_high_watermark) ? high_watermark_ : std::min(answer.fetch_answer.end, mine.end);]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(suspects_vote
  FILE replication/vote_count.hpp
  FIND [=[            clean += one.is_granted && !one.is_suspect && voters.is_voter(one.node) ? 1u : 0u;]=]
  REPLACE [=[            clean += one.is_granted && (BROOK_MUTANT(suspects_vote) || !one.is_suspect) && voters.is_voter(one.node) ? 1u : 0u;]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(suspects_lead
  FILE replication/vote_count.hpp
  FIND [=[        if (clean >= voters.majority() && !who.is_suspect) {]=]
  REPLACE [=[        if (clean >= voters.majority() && (BROOK_MUTANT(suspects_lead) || !who.is_suspect)) {]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(committed_one_too_far
  FILE replication/bodies/replica.hpp
  FIND [=[        high_watermark_ = all_hold;]=]
  REPLACE [=[        high_watermark_ = BROOK_MUTANT(committed_one_too_far) ? std::min(all_hold + 1, end_) : all_hold;]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(epoch_of_fetch_not_checked
  FILE replication/bodies/replica.hpp
  FIND [=[    if (role_ != role::leader || asked.epoch < epoch_) {
        message other]=]
  REPLACE [=[    if (role_ != role::leader || (!BROOK_MUTANT(epoch_of_fetch_not_checked) && asked.epoch < epoch_)) {
        message other]=]
  CAUGHT_BY test replication/replica "a fetch of an earlier epoch is told of the later one, and does not count")

brook_mutant(no_pre_vote
  FILE replication/bodies/replica.hpp
  FIND [=[    role_ = role::prospective;
    begin_count();]=]
  REPLACE [=[    if (BROOK_MUTANT(no_pre_vote)) {
        campaign(now, election::ordinary);
        return;
    }
    role_ = role::prospective;
    begin_count();]=]
  CAUGHT_BY test replication/replica "a replica that nobody answers stays in its epoch, however long it asks (KIP-996)")

brook_mutant(fetch_of_another_life_counts
  FILE replication/bodies/follower_table.hpp
  FIND [=[    if (one == nullptr || asked.session < one->session || (asked.session == one->session && asked.number <= one->number)) {]=]
  REPLACE [=[    if (one == nullptr || (BROOK_MUTANT(late_fetch_counts) ? asked.session < one->session
        : BROOK_MUTANT(fetch_of_another_life_counts) ? asked.session == one->session && asked.number <= one->number
        : asked.session < one->session || (asked.session == one->session && asked.number <= one->number))) {]=]
  CAUGHT_BY test replication/replica "a fetch that comes late or twice, or of an earlier life, does not count")

brook_mutant(late_fetch_counts WITH fetch_of_another_life_counts
  CAUGHT_BY test replication/replica "a fetch that comes late or twice, or of an earlier life, does not count")

brook_mutant(minority_decides
  FILE replication/bodies/replica.hpp
  FIND [=[    const std::size_t majority = count / 2 + 1;
    return std::min]=]
  REPLACE [=[    const std::size_t majority = (count + (BROOK_MUTANT(minority_decides) ? 0u : 2u)) / 2;
    return std::min]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(learners_counted
  FILE replication/follower_table.hpp
  FIND [=[        const auto nth = held_.begin()]=]
  REPLACE [=[        if (BROOK_MUTANT(learners_counted)) {
            for (const follower_progress& one : all_) {
                if (std::find(nodes.begin(), nodes.end(), one.node) == nodes.end()) {
                    held_.push_back(one.held);
                }
            }
        }
        const auto nth = held_.begin()]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(voters_changed_two_at_once
  FILE replication/bodies/replica.hpp
  FIND [=[    if (added + removed != 1 || wanted.empty()) {]=]
  REPLACE [=[    if ((added + removed != 1 && !BROOK_MUTANT(voters_changed_two_at_once)) || wanted.empty()) {]=]
  CAUGHT_BY test replication/replica "one voter comes or goes at a time, and not before the last change is committed (thesis, 4.1)")

brook_mutant(voters_changed_before_the_last_change_counts
  FILE replication/bodies/replica.hpp
  FIND [=[    if (!knows_high_watermark() || voters_.latest().at >= high_watermark_) {]=]
  REPLACE [=[    if (!BROOK_MUTANT(voters_changed_before_the_last_change_counts) && (!knows_high_watermark() || voters_.latest().at >= high_watermark_)) {]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(handed_over_before_it_has_all
  FILE replication/bodies/replica.hpp
  FIND [=[    if (one != nullptr && one->fetched >= end_) {]=]
  REPLACE [=[    if (one != nullptr && (BROOK_MUTANT(handed_over_before_it_has_all) || one->fetched >= end_)) {]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(longer_log_before_later_epoch
  FILE replication/bodies/replica.hpp
  FIND [=[    bool is_complete = log_end{asked.last_epoch, asked.vote.end} >= tail();]=]
  REPLACE [=[    bool is_complete = BROOK_MUTANT(longer_log_before_later_epoch) ? asked.vote.end > end_ || (asked.vote.end == end_ && asked.last_epoch >= epochs_.last())
                                                                        : log_end{asked.last_epoch, asked.vote.end} >= tail();]=]
  CAUGHT_BY test replication/replica "nobody gets a vote whose log has less, by the last record's epoch first and by length second (Raft, 5.4.1)")

brook_mutant(unflushed_counts
  FILE replication/bodies/replica.hpp
  FIND [=[    question.fetch.held = std::min(flushed_, end_);]=]
  REPLACE [=[    question.fetch.held = BROOK_MUTANT(unflushed_counts) ? end_ : std::min(flushed_, end_);]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(leaders_unflushed_counts
  FILE replication/bodies/replica.hpp
  FIND [=[options_.self, flushed_, may_count));]=]
  REPLACE [=[options_.self, BROOK_MUTANT(leaders_unflushed_counts) ? end_ : flushed_, may_count));]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(another_lifes_held_stays
  FILE replication/bodies/follower_table.hpp
  FIND [=[    one->held = 0;
    one->confirmed]=]
  REPLACE [=[    one->held = BROOK_MUTANT(another_lifes_held_stays) ? one->held : 0;
    one->confirmed]=]
  CAUGHT_BY test replication/replica "what a replica held in an earlier life does not count once it is known to have begun again")

brook_mutant(another_lifes_answer_counts
  FILE replication/bodies/replica.hpp
  FIND [=[role_ == role::leader || answer.session != options_.session) {]=]
  REPLACE [=[role_ == role::leader || (!BROOK_MUTANT(another_lifes_answer_counts) && answer.session != options_.session)) {]=]
  CAUGHT_BY test replication/replica "a suspicion ends when all that is committed is there, of this epoch, too, and the leader knows that it leads")

brook_mutant(suspicion_ends_unconfirmed
  FILE replication/bodies/replica.hpp
  FIND [=[    if (is_suspect_ && answer.is_confirmed && has_all]=]
  REPLACE [=[    if (is_suspect_ && (answer.is_confirmed || BROOK_MUTANT(suspicion_ends_unconfirmed)) && has_all]=]
  CAUGHT_BY test replication/replica "a suspicion ends when all that is committed is there, of this epoch, too, and the leader knows that it leads")

brook_mutant(suspicion_ends_unflushed
  FILE replication/bodies/replica.hpp
  FIND [=[    const bool has_all = knows_all && std::min(flushed_, end_) >= answer.fetch_answer.high_watermark;]=]
  REPLACE [=[    const bool has_all = knows_all && (BROOK_MUTANT(suspicion_ends_unflushed) ? end_ : std::min(flushed_, end_)) >= answer.fetch_answer.high_watermark;]=]
  CAUGHT_BY test replication/replica "the suspicion of a replica whose log is to be on the disk does not end before it is")

brook_mutant(suspicion_ends_at_a_glance
  FILE replication/bodies/replica.hpp
  FIND [=[epochs_.last() == epoch_ && answer.fetch_answer.high_watermark > epochs_.starts().back().first;]=]
  REPLACE [=[(BROOK_MUTANT(suspicion_ends_at_a_glance) || (epochs_.last() == epoch_ && answer.fetch_answer.high_watermark > epochs_.starts().back().first));]=]
  CAUGHT_BY test replication/replica "a suspicion ends when all that is committed is there, of this epoch, too, and the leader knows that it leads")

brook_mutant(suspicion_not_saved
  FILE replication/bodies/replica.hpp
  FIND [=[        save();  // or the next start would not know]=]
  REPLACE [=[        if (!BROOK_MUTANT(suspicion_not_saved)) {
            save();
        }]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(begun_anew_and_trusted
  FILE replication/bodies/replica.hpp
  FIND [=[    is_suspect_ = true;
    voters_.begin_anew]=]
  REPLACE [=[    is_suspect_ = is_suspect_ || !BROOK_MUTANT(begun_anew_and_trusted);
    voters_.begin_anew]=]
  CAUGHT_BY test replication/replica "a follower that needs what the leader has let go of begins anew, and is a suspect until it has caught up")

brook_mutant(voters_not_told
  FILE replication/bodies/replica.hpp
  FIND [=[        answer.frames = voters_below_start();]=]
  REPLACE [=[        answer.frames = BROOK_MUTANT(voters_not_told) ? bytes{} : voters_below_start();]=]
  CAUGHT_BY test replication/replica "who begins anew is told the voters of there, since the record that named them has gone")

brook_mutant(old_vote_counts
  FILE replication/bodies/replica.hpp
  FIND [=[    if (!is_awaited || now >= election_at_ ||]=]
  REPLACE [=[    if (!is_awaited || (now >= election_at_ && !BROOK_MUTANT(old_vote_counts)) ||]=]
  CAUGHT_BY test replication/replica "a vote that comes when its election is over does not count, since whoever gave it may have lost its disk meanwhile")

brook_mutant(deaf_to_nobody
  FILE replication/bodies/replica.hpp
  FIND [=[    const bool is_deaf = has_leader && !asked.is_transfer;]=]
  REPLACE [=[    const bool is_deaf = has_leader && !asked.is_transfer && !BROOK_MUTANT(deaf_to_nobody);]=]
  CAUGHT_BY test replication/replica "who hears of its leader gives no vote, and does not take an epoch from who asks (thesis, 4.2.3)")

brook_mutant(leads_without_anybody
  FILE replication/bodies/replica.hpp
  FIND [=[        if (in_sync(now) < voters_.majority()) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(leads_without_anybody) && in_sync(now) < voters_.majority()) {]=]
  CAUGHT_BY test replication/replica "a leader that no majority fetches from leads no more (thesis, 6.2)")

brook_mutant(voted_out_and_silent
  FILE replication/bodies/voter_history.hpp
  FIND [=[        if (sets_[i].has(self)) {]=]
  REPLACE [=[        if (sets_[BROOK_MUTANT(voted_out_and_silent) ? sets_.size() - 1 : i].has(self)) {]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(voted_out_and_lost
  FILE replication/replica.hpp
  FIND [=[(role_ == role::follower || role_ == role::prospective); }]=]
  REPLACE [=[(role_ == role::follower || (role_ == role::prospective && !BROOK_MUTANT(voted_out_and_lost))); }]=]
  CAUGHT_BY test replication/replica "who was voted out and does not know asks around until it finds the leader")

brook_mutant(voted_out_and_leads_on
  FILE replication/bodies/replica.hpp
  FIND [=[        if (!is_voter(options_.self) && voters_.latest().at < high_watermark_) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(voted_out_and_leads_on) && !is_voter(options_.self) && voters_.latest().at < high_watermark_) {]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(lossy_epoch_in_line
  FILE replication/bodies/replica.hpp
  FIND [=[    const std::uint32_t next = is_lossy ?]=]
  REPLACE [=[    const std::uint32_t next = is_lossy && !BROOK_MUTANT(lossy_epoch_in_line) ?]=]
  CAUGHT_BY fault replica_simulation)

brook_mutant(cut_below_high_watermark
  FILE replication/bodies/replica.hpp
  FIND [=[    if (!is_of_older_line()) {]=]
  REPLACE [=[    if (!BROOK_MUTANT(cut_below_high_watermark) && !is_of_older_line()) {]=]
  CAUGHT_BY test replication/replica "what is committed is not cut: a replica whose leader lacks it stops, and says so")

brook_mutant(voters_forgotten_with_the_tail
  FILE replication/bodies/replica.hpp
  FIND [=[    if (!is_suspect_) {
        voters_.drop_ghosts();  // announced]=]
  REPLACE [=[    if (BROOK_MUTANT(voters_forgotten_with_the_tail) && is_suspect_) {
        voters_.drop_ghosts();
    }
    if (!is_suspect_) {
        voters_.drop_ghosts();  // announced]=]
  CAUGHT_BY test replication/replica "a suspect keeps to the voters that it knows of, although its log has lost the record")

brook_mutant(voters_of_a_lost_epoch_waited_for
  FILE replication/bodies/voter_history.hpp
  FIND [=[ || ghost()->epoch < epoch)]=]
  REPLACE [=[ || (!BROOK_MUTANT(voters_of_a_lost_epoch_waited_for) && ghost()->epoch < epoch))]=]
  CAUGHT_BY test replication/replica "a suspect lets go of voters that its log has no record of once it has one of a later epoch in front of there")

brook_mutant(all_are_the_latest_voters
  FILE replication/bodies/voter_history.hpp
  FIND [=[        if (log_end{set.epoch, set.at + 1} == committed) {]=]
  REPLACE [=[        if (BROOK_MUTANT(all_are_the_latest_voters) || log_end{set.epoch, set.at + 1} == committed) {]=]
  CAUGHT_BY test replication/replica "where all have to agree, those have to who are no voters by a record that is perhaps not committed")

brook_mutant(new_voters_alone_commit_the_change
  FILE replication/bodies/replica.hpp
  FIND [=[    for (std::size_t i = voters_.known(high_watermark_); i < voters_.sets().size(); ++i) {]=]
  REPLACE [=[    for (std::size_t i = BROOK_MUTANT(new_voters_alone_commit_the_change) ? voters_.sets().size() - 1 : voters_.known(high_watermark_); i < voters_.sets().size(); ++i) {]=]
  CAUGHT_BY test replication/replica "until a change of voters is committed nothing is without a majority of those before it")

brook_mutant(unreadable_taken_for_empty
  FILE replication/bodies/follower_table.hpp
  FIND [=[fetch.last_epoch == 0 && fetch.is_empty;]=]
  REPLACE [=[fetch.last_epoch == 0 && (BROOK_MUTANT(unreadable_taken_for_empty) || fetch.is_empty);]=]
  CAUGHT_BY test replication/replica "a log with records of which none tells its epoch does not pass for an empty one: it begins anew")

brook_mutant(lines_alike_modulo_32
  FILE replication/bodies/replica.hpp
  FIND [=[    const std::uint32_t who = number_in_lines();]=]
  REPLACE [=[    const std::uint32_t who = BROOK_MUTANT(lines_alike_modulo_32) ? static_cast<std::uint32_t>(options_.self) & 31u : number_in_lines();]=]
  CAUGHT_BY test replication/replica "two that are forced to lead do not come to one epoch, whatever their numbers are")

brook_mutant(full_line_runs_over
  FILE replication/bodies/replica.hpp
  FIND [=[: next_epoch(epoch_, who);]=]
  REPLACE [=[: BROOK_MUTANT(full_line_runs_over) ? epoch_ + 1 : next_epoch(epoch_, who);]=]
  CAUGHT_BY test replication/replica "a line of elections that is full goes on in the next generation, and not in somebody else's line")

brook_mutant(unreadable_ballot_skipped
  FILE broker/bodies/ballot_file.hpp
  FIND [=[    if (!decode_ballot(from, read)) {]=]
  REPLACE [=[    const bool is_read = decode_ballot(from, read);
    if (BROOK_MUTANT(unreadable_ballot_skipped) && !is_read) {
        return;
    }
    if (!is_read) {]=]
  CAUGHT_BY test broker/ballot_file "ballot_file has what it wrote of as many voters as there may be, and takes no older promise for one that it cannot read")

brook_mutant(voters_not_looked_at
  FILE broker/bodies/hosted_partition.hpp
  FIND [=[    if (!from.is_done() || !replication::voter_set::is_possible(nodes)) {]=]
  REPLACE [=[    if (!from.is_done() || (!BROOK_MUTANT(voters_not_looked_at) && !replication::voter_set::is_possible(nodes))) {]=]
  CAUGHT_BY test broker/replica_actions "voters that a leader's record names are taken, and voters that cannot be are a damaged record")

brook_mutant(announced_voters_stay
  FILE replication/bodies/voter_history.hpp
  FIND [=[    return latest.at >= from &&]=]
  REPLACE [=[    return !BROOK_MUTANT(announced_voters_stay) && latest.at >= from &&]=]
  CAUGHT_BY test replication/replica "voters that were announced do not count any more once another leader's records stand where theirs was to be")

brook_mutant(voters_stay_on_a_full_disk
  FILE broker/replica_actions.hpp
  FIND [=[            if (one.machine.forget_voters(one.machine.end()) && !save()) {]=]
  REPLACE [=[            if (!BROOK_MUTANT(voters_stay_on_a_full_disk) && one.machine.forget_voters(one.machine.end()) && !save()) {]=]
  CAUGHT_BY test broker/replica_actions "voters whose record finds no room are taken back, on the disk, too, and what was to follow is not done")

brook_mutant(cut_as_deep_as_asked
  FILE broker/replica_actions.hpp
  FIND [=[one.log.truncate(action.until, action.depth ==]=]
  REPLACE [=[one.log.truncate(action.until, BROOK_MUTANT(cut_as_deep_as_asked) || action.depth ==]=]
  CAUGHT_BY test broker/replica_actions "a log is cut below its high watermark only where its replica gives up what was committed")

brook_mutant(strangers_keep_followers_out
  FILE replication/bodies/follower_table.hpp
  FIND [=[            if (!voters.is_voter(one.node) && (place ==]=]
  REPLACE [=[            if (!BROOK_MUTANT(strangers_keep_followers_out) && !voters.is_voter(one.node) && (place ==]=]
  CAUGHT_BY test replication/replica "made-up numbers do not keep out who asks for records")

# ---- broker: what brokers of a cluster promise each other ----

brook_mutant(unsynced_of_a_former_life
  FILE broker/bodies/replica_host.hpp
  FIND [=[        made->wants_sync = options.is_durable && log]=]
  REPLACE [=[        made->wants_sync = !BROOK_MUTANT(unsynced_of_a_former_life) && options.is_durable && log]=]
  CAUGHT_BY test broker/cluster_promise "what a former life of a replica did not sync is synced by the next one, though nothing new comes")

brook_mutant(acknowledged_before_committed
  FILE broker/bodies/produce_server.hpp
  FIND [=[    if (acks == replicated_acks::leader) {]=]
  REPLACE [=[    if (acks == replicated_acks::leader || BROOK_MUTANT(acknowledged_before_committed)) {]=]
  CAUGHT_BY test broker/cluster_promise "nothing is acknowledged, nor shown to readers, before a majority has it")

brook_mutant(shown_before_committed
  FILE broker/bodies/replica_host.hpp
  FIND [=[    const bool has_committed = one.machine.high_watermark() > one.log.high_watermark();
    if (has_committed) {]=]
  REPLACE [=[    const bool has_committed = one.machine.high_watermark() > one.log.high_watermark();
    if (BROOK_MUTANT(shown_before_committed) && one.machine.end() > one.log.high_watermark()) {
        one.log.set_high_watermark(one.machine.end());
    } else if (has_committed) {]=]
  CAUGHT_BY test broker/cluster_promise "nothing is acknowledged, nor shown to readers, before a majority has it")

brook_mutant(batch_not_looked_up
  FILE broker/bodies/produce_server.hpp
  FIND [=[    switch (one.look_up(stamp, taken, follows_another, acks == replicated_acks::leader, first, why)) {]=]
  REPLACE [=[    switch (BROOK_MUTANT(batch_not_looked_up) ? hosted_partition::repetition::is_new : one.look_up(stamp, taken, follows_another, acks == replicated_acks::leader, first, why)) {]=]
  CAUGHT_BY test broker/cluster_promise "a batch whose answer was lost with its leader is there once")

brook_mutant(produced_frame_not_verified
  FILE broker/bodies/produce_server.hpp
  FIND [=[if (const char* const fault = format::wire_fault(given); fault]=]
  REPLACE [=[if (const char* const fault = BROOK_MUTANT(produced_frame_not_verified) ? nullptr : format::wire_fault(given); fault]=]
  CAUGHT_BY test client/cluster_stranger "a leader takes a batch once, and none that does not verify")

brook_mutant(min_insync_not_asked_for
  FILE broker/bodies/produce_server.hpp
  FIND [=[    if (acks == replicated_acks::all && has_too_few(one, to, now)) {
        return;
    }
    why =]=]
  REPLACE [=[    if (acks == replicated_acks::all && !BROOK_MUTANT(min_insync_not_asked_for) && has_too_few(one, to, now)) {
        return;
    }
    why =]=]
  CAUGHT_BY test broker/cluster_promise "without min_insync_replicas nothing is written to a log")

brook_mutant(min_insync_not_counted
  FILE replication/bodies/replica.hpp
  FIND [=[std::max(majority, options_.min_insync)]=]
  REPLACE [=[std::max(majority, BROOK_MUTANT(min_insync_not_counted) ? majority : options_.min_insync)]=]
  CAUGHT_BY test replication/replica "a record is committed when as many have it as are asked for, where that is more than a majority")

brook_mutant(datagram_checksum_ignored
  FILE broker/datagram.hpp
  FIND [=[            load<std::uint64_t>(whole.data()) != format::hash(whole.subspan(8))) {]=]
  REPLACE [=[            (!BROOK_MUTANT(datagram_checksum_ignored) && load<std::uint64_t>(whole.data()) != format::hash(whole.subspan(8)))) {]=]
  CAUGHT_BY test broker/datagram "datagram with any bit changed does not verify, nor does one that is cut")

brook_mutant(sender_not_checked
  FILE broker/datagram.hpp
  FIND [=[        return said.from == from && said.to == to &&]=]
  REPLACE [=[        return (BROOK_MUTANT(sender_not_checked) || said.from == from) && said.to == to &&]=]
  CAUGHT_BY test broker/datagram "datagram verifies for its sender, its receiver and its cluster alone")

brook_mutant(cluster_not_checked
  FILE broker/datagram.hpp
  FIND [=[(said.cluster == cluster ||]=]
  REPLACE [=[(BROOK_MUTANT(cluster_not_checked) || said.cluster == cluster ||]=]
  CAUGHT_BY test broker/datagram "datagram verifies for its sender, its receiver and its cluster alone")

brook_mutant(inbox_without_end
  FILE broker/datagram_inbox.hpp
  FIND [=[            if (size + copy.size() > most_queued) {]=]
  REPLACE [=[            if (size + copy.size() > most_queued && !BROOK_MUTANT(inbox_without_end)) {]=]
  CAUGHT_BY test broker/cluster_promise "what comes faster than it is taken is lost beyond 64 MiB, and takes no more memory")

brook_mutant(ballots_left_unsynced
  FILE broker/bodies/ballot_file.hpp
  FIND [=[        code = file_->sync();
    }
    if (code) {
        failed_]=]
  REPLACE [=[        code = BROOK_MUTANT(ballots_left_unsynced) ? std::error_code{} : file_->sync();
    }
    if (code) {
        failed_]=]
  CAUGHT_BY test broker/cluster_promise "a vote is written down before it is given")

brook_mutant(said_before_ballots
  FILE broker/bodies/replica_host.hpp
  FIND [=[        const bool is_saved = save_ballots();
        for (auto& [one, actions] : wanted) {]=]
  REPLACE [=[        const bool is_saved = BROOK_MUTANT(said_before_ballots) || save_ballots();
        for (auto& [one, actions] : wanted) {]=]
  CAUGHT_BY test broker/cluster_promise "a vote is written down before it is given")

brook_mutant(failed_ballots_ignored
  FILE broker/bodies/replica_host.hpp
  FIND [=[    if (!why) {
        return true;
    }
    if (!std::exchange(has_lost_ballots_, true)) {]=]
  REPLACE [=[    if (!why || BROOK_MUTANT(failed_ballots_ignored)) {
        return true;
    }
    if (!std::exchange(has_lost_ballots_, true)) {]=]
  CAUGHT_BY test broker/cluster_member "a broker that cannot write down what it promises promises nothing any more, and the others go on")

brook_mutant(torn_ballot_believed
  FILE broker/bodies/ballot_file.hpp
  FIND [=[    return may_be && load<std::uint64_t>(rest.data()) == format::hash(rest.subspan(8, size + 8)) ?]=]
  REPLACE [=[    return may_be && (BROOK_MUTANT(torn_ballot_believed) || load<std::uint64_t>(rest.data()) == format::hash(rest.subspan(8, size + 8))) ?]=]
  CAUGHT_BY test broker/ballot_file "ballot_file forgets what was not synced at whichever byte it is torn, and nothing else")

brook_mutant(older_ballots_removed_first
  FILE broker/bodies/ballot_file.hpp
  FIND [=[    std::unique_ptr<os::file> file = platform_.open(made, os::open_mode::create, code);]=]
  REPLACE [=[    if (BROOK_MUTANT(older_ballots_removed_first)) {
        static_cast<void>(platform_.remove(path_));
        static_cast<void>(platform_.sync_directory(directory_));
    }
    std::unique_ptr<os::file> file = platform_.open(made, os::open_mode::create, code);]=]
  CAUGHT_BY test broker/ballot_file "ballot_file has all that was synced after a loss of power at any call, and after a kill")

brook_mutant(killed_is_whole
  FILE broker/bodies/ballot_file.hpp
  FIND [=[    add_entry(all, 1, [&](replication::byte_writer& to) { to.put(session_); });]=]
  REPLACE [=[    add_entry(all, 1, [&](replication::byte_writer& to) { to.put(session_); });
    for (const kept& one : kept_) {
        if (BROOK_MUTANT(killed_is_whole) && one.whole_to >= 0) {
            add_entry(all, 3, [&](replication::byte_writer& to) {
                to.put(one.id.topic);
                to.put(one.id.number);
                to.put(one.whole_to);
            });
        }
    }]=]
  CAUGHT_BY test broker/ballot_file "ballot_file says where a log was whole only when its broker closed last time")

brook_mutant(session_by_the_count
  FILE broker/bodies/ballot_file.hpp
  FIND [=[    session_ = session_ > wall ? session_ : wall;]=]
  REPLACE [=[    session_ = BROOK_MUTANT(session_by_the_count) || session_ > wall ? session_ : wall;]=]
  CAUGHT_BY test broker/ballot_file "ballot_file's sessions grow, also when the clock has gone back")

brook_mutant(empty_directory_trusted
  FILE broker/bodies/replica_host.hpp
  FIND [=[            ballot.is_suspect = how != provenance::newly_made || (]=]
  REPLACE [=[            ballot.is_suspect = (how != provenance::newly_made && !BROOK_MUTANT(empty_directory_trusted)) || (]=]
  CAUGHT_BY test broker/cluster_promise "who may have lost what it had told of helps nobody to lead who has less")

brook_mutant(lost_power_trusted
  FILE broker/bodies/replica_host.hpp
  FIND [=[(log.report().power_may_have_gone && !is_whole);]=]
  REPLACE [=[(log.report().power_may_have_gone && !is_whole && !BROOK_MUTANT(lost_power_trusted));]=]
  CAUGHT_BY test broker/cluster_promise "who may have lost what it had told of helps nobody to lead who has less")

brook_mutant(former_life_heard
  FILE broker/peer_sessions.hpp
  FIND [=[        if (said.session < latest) {]=]
  REPLACE [=[        if (said.session < latest && !BROOK_MUTANT(former_life_heard)) {]=]
  CAUGHT_BY test broker/cluster_member "a broker whose directory is lost and whose clock is behind comes back")

brook_mutant(session_raised_by_anybody
  FILE broker/peer_sessions.hpp
  FIND [=[        return !std::exchange(has_raised_]=]
  REPLACE [=[        return BROOK_MUTANT(session_raised_by_anybody) || !std::exchange(has_raised_]=]
  CAUGHT_BY test broker/cluster_promise "a peer can have a broker begin another session once, and never the last one there is")

brook_mutant(last_session_there_is
  FILE broker/peer_sessions.hpp
  FIND [=[        if (known <= own || known > now + static_cast<std::uint64_t>(furthest.count())) {]=]
  REPLACE [=[        if (known <= own || known > (BROOK_MUTANT(last_session_there_is) ? ~std::uint64_t{0} - 1 : now + static_cast<std::uint64_t>(furthest.count()))) {]=]
  CAUGHT_BY test broker/cluster_promise "a peer can have a broker begin another session once, and never the last one there is")

brook_mutant(answer_of_a_former_life
  FILE broker/request_board.hpp
  FIND [=[    void number_from(std::uint64_t session) noexcept { last_number_ = std::max(last_number_, session); }]=]
  REPLACE [=[    void number_from(std::uint64_t session) noexcept { last_number_ = BROOK_MUTANT(answer_of_a_former_life) ? 0 : std::max(last_number_, session); }]=]
  CAUGHT_BY test broker/cluster_member "an answer to what a former life of a broker has asked for is nobody's")

brook_mutant(kept_fetches_dropped
  FILE replication/bodies/replica.hpp
  FIND [=[    if (has_led) {
        refuse_parked();]=]
  REPLACE [=[    if (has_led && !BROOK_MUTANT(kept_fetches_dropped)) {
        refuse_parked();]=]
  CAUGHT_BY test replication/replica_edge "a leader that goes refuses whose fetches it has kept, and nobody else")

brook_mutant(leader_not_doubted
  FILE broker/bodies/request_board.hpp
  FIND [=[            route_.doubt_leader(one.wanted.target, from, now);]=]
  REPLACE [=[            if (!BROOK_MUTANT(leader_not_doubted)) route_.doubt_leader(one.wanted.target, from, now);]=]
  CAUGHT_BY test broker/request_board "request_board says whom it was told not to lead, if that one was asked")

brook_mutant(doubted_leader_not_asked
  FILE replication/bodies/replica.hpp
  FIND [=[        fetch_again_at_ = std::min(fetch_again_at_, std::max(now, asked_last_at_ + heartbeat()));]=]
  REPLACE [=[        if (!BROOK_MUTANT(doubted_leader_not_asked)) fetch_again_at_ = std::min(fetch_again_at_, std::max(now, asked_last_at_ + heartbeat()));]=]
  CAUGHT_BY test replication/replica_edge "a leader that has told others that it leads no more is asked again, however slow it was")

brook_mutant(coordinator_awaited_of_the_closed
  FILE broker/bodies/cluster_groups.hpp
  FIND [=[    if (where == partition_id{} && !client_.is_running()) {]=]
  REPLACE [=[    if (BROOK_MUTANT(coordinator_awaited_of_the_closed)) {
        if (where == partition_id{}) {
            no_coordinator_yet().raise();
        }
    } else if (where == partition_id{} && !client_.is_running()) {]=]
  CAUGHT_BY test broker/cluster_member "who waits for a coordinator that nobody knows hears that the broker is closed")

brook_mutant(sessions_one_apart
  FILE broker/bodies/ballot_file.hpp
  FIND [=[    session_ += session_step;]=]
  REPLACE [=[    session_ += BROOK_MUTANT(sessions_one_apart) ? 1 : session_step;]=]
  CAUGHT_BY test broker/cluster_member "what answers a request of a life before answers none of this one, also where the clock has gone back")

brook_mutant(requests_numbered_by_chance
  FILE broker/bodies/cluster_member.hpp
  FIND [=[    board_.number_from(replicas_.session());
    const std::vector<topic_handle> here]=]
  REPLACE [=[    board_.number_from(BROOK_MUTANT(requests_numbered_by_chance) ? platform_.random() / 4 : replicas_.session());
    const std::vector<topic_handle> here]=]
  CAUGHT_BY test broker/cluster_member "what a broker asks for a group is no late copy of what it asked in a life before, also where the clock has gone back")

brook_mutant(silent_leader_followed
  FILE replication/bodies/replica.hpp
  FIND [=[    if (role_ == role::follower && awaits_answer_ && !voters_.may_campaign]=]
  REPLACE [=[    if (!BROOK_MUTANT(silent_leader_followed) && role_ == role::follower && awaits_answer_ && !voters_.may_campaign]=]
  CAUGHT_BY test replication/replica_edge "who has no vote asks others when its leader is silent, and follows whom they follow")

brook_mutant(topic_id_not_checked
  FILE broker/bodies/replica_host.hpp
  FIND [=[    hosted_partition* const home = find(of);
    if (home == nullptr) {
        return;
    }
    const auto said]=]
  REPLACE [=[    hosted_partition* home = find(of);
    for (const auto& one : partitions_) {
        home = BROOK_MUTANT(topic_id_not_checked) && home == nullptr && one->topic->name[0] != '_' && one->id.number == of.number ? one.get() : home;
    }
    if (home == nullptr) {
        return;
    }
    const auto said]=]
  CAUGHT_BY test broker/cluster_promise "what belongs to a deleted topic comes to nothing in another of its name")

brook_mutant(copied_frame_not_verified
  FILE storage/bodies/wire_append.hpp
  FIND [=[        if (const char* const fault = format::wire_fault(frame)) {
            return wrong(fault);]=]
  REPLACE [=[        if (const char* const fault = BROOK_MUTANT(copied_frame_not_verified) ? nullptr : format::wire_fault(frame)) {
            return wrong(fault);]=]
  CAUGHT_BY test broker/cluster_promise "a frame that does not verify is not copied, and the voters that it names are not believed")

brook_mutant(answer_of_an_epoch_that_has_passed
  FILE replication/bodies/replica.hpp
  FIND [=[    if (answer.epoch < epoch_ || ]=]
  REPLACE [=[    if ((!BROOK_MUTANT(answer_of_an_epoch_that_has_passed) && answer.epoch < epoch_) || ]=]
  CAUGHT_BY test replication/replica "an answer of an epoch that has passed is not taken, from the leader of today either")

brook_mutant(epoch_of_those_who_copy_again
  FILE replication/bodies/replica.hpp
  FIND [=[        if (votes != tally::lossy || !votes_.is_blank() ||]=]
  REPLACE [=[        if (BROOK_MUTANT(epoch_of_those_who_copy_again) || votes != tally::lossy || !votes_.is_blank() ||]=]
  CAUGHT_BY test replication/replica "where all voters have lost their disks again, none leads in an epoch that those who copy know of")

brook_mutant(voters_of_old_decide
  FILE replication/vote_count.hpp
  FIND [=[latest = voters.latest(); !is_forced && committed]=]
  REPLACE [=[latest = voters.latest(); !is_forced && !BROOK_MUTANT(voters_of_old_decide) && committed]=]
  CAUGHT_BY test replication/replica "a suspect that has lost the record that names the voters of today does not lead by the word of those of old")

brook_mutant(beginning_behind_voters_of_a_record
  FILE replication/bodies/replica.hpp
  FIND [=[end_ == 0 && voters_.are_first()]=]
  REPLACE [=[end_ == 0 && (voters_.are_first() || BROOK_MUTANT(beginning_behind_voters_of_a_record))]=]
  CAUGHT_BY test replication/replica "voters that know of a record that names them have lost what was committed, and do not take it for the beginning")

brook_mutant(blank_without_a_vote
  FILE replication/vote_count.hpp
  FIND [=[return one.is_blank && has_vote(one.node);]=]
  REPLACE [=[return one.is_blank && (BROOK_MUTANT(blank_without_a_vote) || has_vote(one.node));]=]
  CAUGHT_BY test replication/replica "who has no vote any more, by voters that somebody says are committed, does not count among those who remember nothing")

brook_mutant(group_commit_answered_before_committed
  FILE broker/bodies/cluster_groups.hpp
  FIND [=[    const offset end = is_ours ? core_]=]
  REPLACE [=[    const offset end = is_ours && !BROOK_MUTANT(group_commit_answered_before_committed) ? core_]=]
  CAUGHT_BY test broker/cluster_promise "a group's commit is not answered before a majority has it")

brook_mutant(older_commit_carried_out
  FILE broker/bodies/group_server.hpp
  FIND [=[    if (number < one.number || (number]=]
  REPLACE [=[    if ((number < one.number && !BROOK_MUTANT(older_commit_carried_out)) || (number]=]
  CAUGHT_BY test client/cluster_stranger "a coordinator carries no commit out that comes behind a later one of its member")

brook_mutant(repair_not_verified
  FILE storage/bodies/frame_repair.hpp
  FIND [=[        const char* const fault = format::wire_fault(frame);]=]
  REPLACE [=[        const char* const fault = BROOK_MUTANT(repair_not_verified) ? nullptr : format::wire_fault(frame);]=]
  CAUGHT_BY test storage/frame_repair "what does not cover a damaged range exactly mends nothing")

brook_mutant(cut_short_and_kept_up
  FILE storage/log_cut.hpp
  FIND [=[                upkeep_.give_up();
                parts_.durable.give_up(told);]=]
  REPLACE [=[                if (!BROOK_MUTANT(cut_short_and_kept_up)) {
                    upkeep_.give_up();
                    parts_.durable.give_up(told);
                }]=]
  CAUGHT_BY test storage/truncation "where the disk refuses in the middle of a truncation, the next opening brings it to its end")

brook_mutant(repair_left_unsynced
  FILE storage/bodies/log.hpp
  FIND [=[            if (const auto code = mended->sync()) {]=]
  REPLACE [=[            if (const auto code = BROOK_MUTANT(repair_left_unsynced) ? std::error_code{} : mended->sync()) {]=]
  CAUGHT_BY test storage/frame_repair "whoever dies in a repair, and however, leaves what was rotten rotten or mended, and nothing wrong")

brook_mutant(repair_in_front_of_recovery
  FILE storage/bodies/log.hpp
  FIND [=[        failure untold = parts_.kept.begin_at(one.base);
        return untold ? std::move(untold) : segment_directory::sign(memory, name());]=]
  REPLACE [=[        failure untold = BROOK_MUTANT(repair_in_front_of_recovery) ? failure{} : parts_.kept.begin_at(one.base);
        return untold || BROOK_MUTANT(repair_left_unsigned) ? std::move(untold) : segment_directory::sign(memory, name());]=]
  CAUGHT_BY test storage/frame_repair "what was mended, and could not be synced, is on the disk once the log has been opened again")

brook_mutant(repair_left_unsigned WITH repair_in_front_of_recovery
  CAUGHT_BY test storage/frame_repair "what was mended, and could not be synced, is on the disk once the log has been opened again")

brook_mutant(failed_repair_synced_again
  FILE storage/bodies/log.hpp
  FIND [=[                parts_.durable.give_up(told);
                parts_.durable.distrust(*home);
                parts_.appends.stop(append_state::failed, std::move(told));
            }
        });]=]
  REPLACE [=[                if (!BROOK_MUTANT(failed_repair_synced_again)) {
                    parts_.durable.give_up(told);
                }
                parts_.durable.distrust(*home);
                parts_.appends.stop(append_state::failed, std::move(told));
            }
        });]=]
  CAUGHT_BY test storage/frame_repair "whoever dies in a repair, and however, leaves what was rotten rotten or mended, and nothing wrong")

brook_mutant(cut_taken_for_damage
  FILE storage/bodies/partition_scrub.hpp
  FIND [=[found.count(severity::damage) > 0 && one.was_changed_meanwhile()) {]=]
  REPLACE [=[found.count(severity::damage) > 0 && !BROOK_MUTANT(cut_taken_for_damage) && one.was_changed_meanwhile()) {]=]
  CAUGHT_BY test storage/truncation "a look at the files beside a truncation takes nothing that it cuts for damage")

brook_mutant(topics_made_without_a_pause
  FILE broker/topic_reconciler.hpp
  FIND [=[        if (now.count() < again_at_.load(std::memory_order_relaxed) ||]=]
  REPLACE [=[        if ((!BROOK_MUTANT(topics_made_without_a_pause) && now.count() < again_at_.load(std::memory_order_relaxed)) ||]=]
  CAUGHT_BY test broker/cluster_promise "who cannot make a topic here tries again with pauses, while somebody waits for another"
  HANGS)
# ---- transport: connections ----

brook_mutant(frame_size_unchecked
  FILE transport/tcp_frame.hpp
  FIND [=[(size != ping_mark && size > largest_)) {]=]
  REPLACE [=[(!BROOK_MUTANT(frame_size_unchecked) && size != ping_mark && size > largest_)) {]=]
  CAUGHT_BY test transport/tcp_frame "a size beyond the largest, and a header that is none, end the stream before memory is taken")

brook_mutant(frame_check_ignored
  FILE transport/tcp_frame.hpp
  FIND [=[        if (load<std::uint32_t>(header + 4) != frame_check(size) ||]=]
  REPLACE [=[        if ((!BROOK_MUTANT(frame_check_ignored) && load<std::uint32_t>(header + 4) != frame_check(size)) ||]=]
  CAUGHT_BY test transport/tcp_frame "a size beyond the largest, and a header that is none, end the stream before memory is taken")

brook_mutant(memory_as_claimed
  FILE transport/tcp_frame.hpp
  FIND [=[std::max(first_room_, std::min(2 * capacity_, ]=]
  REPLACE [=[std::max(first_room_, std::min(BROOK_MUTANT(memory_as_claimed) && capacity_ > 0 ? needed() : 2 * capacity_, ]=]
  CAUGHT_BY test transport/tcp_frame "memory follows what has come, not what was claimed")

brook_mutant(plain_everywhere
  FILE transport/tcp_transport.hpp
  FIND [=[    if (options.allow_insecure) {]=]
  REPLACE [=[    if (BROOK_MUTANT(plain_everywhere) || options.allow_insecure) {]=]
  CAUGHT_BY test transport/tcp "plain TCP off loopback is refused unless it is asked for")

brook_mutant(misdialled_welcome
  FILE transport/accepted_connection.hpp
  FIND [=[        } else if (hello.to != own) {]=]
  REPLACE [=[        } else if (!BROOK_MUTANT(misdialled_welcome) && hello.to != own) {]=]
  CAUGHT_BY test transport/tcp "nodes that do not belong together refuse each other by name, on both sides")

brook_mutant(handshake_for_ever
  FILE transport/accepted_connection.hpp
  FIND [=[        } else if (now - begun_ >= this->hub_.options().handshake_timeout) {]=]
  REPLACE [=[        } else if (!BROOK_MUTANT(handshake_for_ever) && now - begun_ >= this->hub_.options().handshake_timeout) {]=]
  CAUGHT_BY test transport/tcp "who says nothing, or not enough, is given up at the handshake's deadline and not before")

brook_mutant(parts_keep_a_connection
  FILE transport/accepted_connection.hpp
  FIND [=[            bool is_any = false;
            for (frame_parser::frame each; (each = frames_.next())]=]
  REPLACE [=[            bool is_any = BROOK_MUTANT(parts_keep_a_connection);
            for (frame_parser::frame each; (each = frames_.next())]=]
  CAUGHT_BY test transport/tcp "a peer that vanishes, or dribbles, is given up at the idle deadline, and one that pings is not")

brook_mutant(pings_need_no_answer
  FILE transport/dialled_connection.hpp
  FIND [=[        } else if (asked_ && now - *asked_ >= limits.answer_timeout) {]=]
  REPLACE [=[        } else if (!BROOK_MUTANT(pings_need_no_answer) && asked_ && now - *asked_ >= limits.answer_timeout) {]=]
  CAUGHT_BY test transport/tcp "a peer that answers pings stays, and one that answers none is given up")

brook_mutant(write_for_ever
  FILE transport/dialled_connection.hpp
  FIND [=[        if (is_stuck_since_ && now]=]
  REPLACE [=[        if (!BROOK_MUTANT(write_for_ever) && is_stuck_since_ && now]=]
  CAUGHT_BY test transport/tcp "a peer that takes nothing more of what is to be written is given up")

brook_mutant(all_from_one_address
  FILE transport/connection_hub.hpp
  FIND [=[        if (static_cast<std::size_t>(same) >= options().max_connections_per_address) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(all_from_one_address) && static_cast<std::size_t>(same) >= options().max_connections_per_address) {]=]
  CAUGHT_BY test transport/tcp "connections beyond the limits are closed, and others have room when some have gone")

brook_mutant(flood_of_reports
  FILE transport/report_limiter.hpp
  FIND [=[        if (now - place->told < interval_) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(flood_of_reports) && now - place->told < interval_) {]=]
  CAUGHT_BY test transport/tcp "however many strangers come, few reports are made of them")

brook_mutant(told_after_stop
  FILE transport/hub_core.hpp
  FIND [=[        return !is_closed();]=]
  REPLACE [=[        return BROOK_MUTANT(told_after_stop) || !is_closed();]=]
  CAUGHT_BY test transport/socket_transport "stop inside of receive does not wait for itself, and one from outside waits for that call - tcp_world")

# ---- transport: TLS ----

brook_mutant(readable_key_taken
  FILE os/credential_file.hpp
  FIND [=[    if (is_secret && (status.st_mode]=]
  REPLACE [=[    if (!BROOK_MUTANT(readable_key_taken) && is_secret && (status.st_mode]=]
  CAUGHT_BY test transport/tls "a private key that others may read is refused")

brook_mutant(old_tls_taken
  FILE transport/tls_credentials.hpp
  FIND [=[SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION)]=]
  REPLACE [=[SSL_CTX_set_min_proto_version(made, BROOK_MUTANT(old_tls_taken) ? TLS1_2_VERSION : TLS1_3_VERSION)]=]
  CAUGHT_BY test transport/tls "TLS 1.2 is refused, also with a good certificate")

brook_mutant(any_authority
  FILE transport/tls_credentials.hpp
  FIND [=[    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);]=]
  REPLACE [=[    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, BROOK_MUTANT(any_authority) ? +[](int, X509_STORE_CTX*) { return 1; } : nullptr);]=]
  CAUGHT_BY test transport/tls "who dials with a certificate that is not good is refused by name")

brook_mutant(certificate_of_any_node_dialled
  FILE transport/dialled_connection.hpp
  FIND [=[vouched && *vouched != peer_.node) {]=]
  REPLACE [=[!BROOK_MUTANT(certificate_of_any_node_dialled) && vouched && *vouched != peer_.node) {]=]
  CAUGHT_BY test transport/tls "who answers with a certificate that is not good is refused by name, and told nothing")

brook_mutant(hello_of_any_node
  FILE transport/accepted_connection.hpp
  FIND [=[        } else if (vouched && *vouched != hello.from) {]=]
  REPLACE [=[        } else if (!BROOK_MUTANT(hello_of_any_node) && vouched && *vouched != hello.from) {]=]
  CAUGHT_BY test transport/tls "a good certificate of a node is good for that node alone")

brook_mutant(certificate_of_two_nodes
  FILE transport/tls_credentials.hpp
  FIND [=[        if (!is_number || found) {]=]
  REPLACE [=[        if (!is_number || (!BROOK_MUTANT(certificate_of_two_nodes) && found)) {]=]
  CAUGHT_BY test transport/tls "a node's own certificate is looked at as the others will, and refused by name")

brook_mutant(strangers_say_all_they_like
  FILE transport/tls_stream.hpp
  FIND [=[            if (unproved_ > unproved_max_ ||]=]
  REPLACE [=[            if ((!BROOK_MUTANT(strangers_say_all_they_like) && unproved_ > unproved_max_) ||]=]
  CAUGHT_BY test transport/tls "all that a stranger says is counted, whatever it is made of")

brook_mutant(claims_pass_the_gate
  FILE transport/tls_record_gate.hpp
  FIND [=[            if (left_ != message_header + message || message > largest_) {]=]
  REPLACE [=[            if (!BROOK_MUTANT(claims_pass_the_gate) && (left_ != message_header + message || message > largest_)) {]=]
  CAUGHT_BY test transport/tls "a stranger takes no more than 64 KiB, however long its certificates are")

brook_mutant(bad_files_reloaded
  FILE transport/tls_credentials.hpp
  FIND [=[        if (X509_verify_cert(verifying.get()) != 1) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(bad_files_reloaded) && X509_verify_cert(verifying.get()) != 1) {]=]
  CAUGHT_BY test transport/tls "files that are not good are refused by reload, and the old ones stay in use")
brook_mutant(behind_is_taken_for_cut
  FILE client/consumer.hpp
  FIND [=[        return next == committed || one.log->options().is_replicated ? std::nullopt]=]
  REPLACE [=[        return next == committed || (!BROOK_MUTANT(behind_is_taken_for_cut) && one.log->options().is_replicated) ? std::nullopt]=]
  CAUGHT_BY test client/cluster_group "a member whose broker is behind what its group has committed waits there, and reads nothing twice")

brook_mutant(forgotten_votes_hold
  FILE replication/bodies/replica.hpp
  FIND [=[return !one.is_blank || is_lossy_ || is_confirmed(one);]=]
  REPLACE [=[return !one.is_blank || is_lossy_ || BROOK_MUTANT(forgotten_votes_hold) || is_confirmed(one);]=]
  CAUGHT_BY test replication/replica "what a replica holds that remembers nothing does not commit before enough others have said that this is the latest epoch")

brook_mutant(confirmed_by_new_voters_alone
  FILE replication/bodies/follower_table.hpp
  FIND [=[    for (std::size_t i = known; i < voters.sets().size(); ++i) {]=]
  REPLACE [=[    for (std::size_t i = BROOK_MUTANT(confirmed_by_new_voters_alone) ? voters.sets().size() - 1 : known; i < voters.sets().size(); ++i) {]=]
  CAUGHT_BY test replication/replica "who may be a voter anew cannot vouch for the voters before it that nobody was elected in a later epoch")

brook_mutant(late_answer_thrown_away
  FILE replication/bodies/replica.hpp
  FIND [=[if (!awaits_answer_ || (answer.number != fetch_number_ && !is_late_copy)) {]=]
  REPLACE [=[if (!awaits_answer_ || (answer.number != fetch_number_ && (!is_late_copy || BROOK_MUTANT(late_answer_thrown_away)))) {]=]
  CAUGHT_BY test replication/replica "records that come after their question was asked again are taken, and questions become rarer")

brook_mutant(lost_with_the_power_is_beginning
  FILE replication/bodies/replica.hpp
  FIND [=[options_.may_be_beginning && options_.is_durable;]=]
  REPLACE [=[options_.may_be_beginning && (options_.is_durable || BROOK_MUTANT(lost_with_the_power_is_beginning));]=]
  CAUGHT_BY test replication/replica "where records need not be on a disk, that nobody has anything does not say that nobody had")

brook_mutant(early_batches_are_taken
  FILE broker/bodies/hosted_partition.hpp
  FIND [=[        return stamp.sequence > next && follows_another ? repetition::is_early]=]
  REPLACE [=[        return stamp.sequence > next && (follows_another && !BROOK_MUTANT(early_batches_are_taken)) ? repetition::is_early]=]
  CAUGHT_BY test broker/cluster_order "what follows a batch that its leader does not have is refused for now, also of a producer that is new there")

brook_mutant(told_as_they_come
  FILE engine/bodies/replicated_lane.hpp
  FIND [=[    is_telling_ = !in_flight_.empty() && in_flight_.front()->is_settled_;]=]
  REPLACE [=[    is_telling_ = !in_flight_.empty() && (in_flight_.front()->is_settled_ || BROOK_MUTANT(told_as_they_come));]=]
  CAUGHT_BY test broker/cluster_order "sixteen batches of a producer are on their way at once, and are told of in the order of the sends")

brook_mutant(failed_are_overtaken
  FILE engine/bodies/replicated_lane.hpp
  FIND [=[if (is_sending_ || failed_ || in_flight_]=]
  REPLACE [=[if (is_sending_ || (failed_ && !BROOK_MUTANT(failed_are_overtaken)) || in_flight_]=]
  CAUGHT_BY test broker/cluster_order "a producer that never pauses goes on after a failure")

brook_mutant(forgotten_is_committed
  FILE broker/bodies/produce_server.hpp
  FIND [=[        case hosted_partition::repetition::is_forgotten: acknowledge(one, acks, {to, -1, one.machine.end(), header.base_timestamp}, now); return;]=]
  REPLACE [=[        case hosted_partition::repetition::is_forgotten: acknowledge(one, BROOK_MUTANT(forgotten_is_committed) ? replicated_acks::leader : acks, {to, -1, one.machine.end(), header.base_timestamp}, now); return;]=]
  CAUGHT_BY test broker/cluster_order "a batch that is older than what is remembered of its producer is acknowledged when what is there is committed")

brook_mutant(told_on_the_transports_thread
  FILE broker/bodies/cluster_member.hpp
  FIND [=[        if (has_rest) {
            wake_round();
        }]=]
  REPLACE [=[        if (BROOK_MUTANT(told_on_the_transports_thread)) {
            deliver_rest();
        }
        if (has_rest) {
            wake_round();
        }]=]
  CAUGHT_BY test transport/socket_transport "inside of on_delivery one waits for what the network brings - tcp_world")

brook_mutant(questions_answered_at_once
  FILE broker/bodies/cluster_groups.hpp
  FIND [=[if (result && (asks || why) && why]=]
  REPLACE [=[if (!BROOK_MUTANT(questions_answered_at_once) && result && (asks || why) && why]=]
  CAUGHT_BY test broker/cluster_promise "a coordinator that has been replaced, and does not know it yet, answers no question")

brook_mutant(given_before_it_is_told
  FILE client/consumer.hpp
  FIND [=[            if (one.is_paused || one.is_untold || !one.has_position]=]
  REPLACE [=[            if (one.is_paused || (one.is_untold && !BROOK_MUTANT(given_before_it_is_told)) || !one.has_position]=]
  CAUGHT_BY test broker/cluster_member "nothing of a partition is given before the listener has been told that it has come")

brook_mutant(new_leader_not_asked
  FILE broker/bodies/request_board.hpp
  FIND [=[        if (one.wanted.target == which && !one.acknowledged) {
            try_again_at(one, now);]=]
  REPLACE [=[        if (!BROOK_MUTANT(new_leader_not_asked) && one.wanted.target == which && !one.acknowledged) {
            try_again_at(one, now);]=]
  CAUGHT_BY test broker/request_board "request_board asks whoever leads anew at once")

# ---- kafka: what a cluster is told, and what is told of it. Only where librdkafka is. ----

if(TARGET brook::kafka)

brook_mutant(committed_behind_a_join
  FILE kafka/join_watch.hpp
  FIND [=[        if (is_joining_ || is_expected_) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(committed_behind_a_join) && (is_joining_ || is_expected_)) {]=]
  CAUGHT_BY kafka kafka/join_watch "a member commits nothing from a join on until it has the new generation")

brook_mutant(answers_mean_nothing
  FILE kafka/join_watch.hpp
  FIND [=[        if (answers_ != settled_ &&]=]
  REPLACE [=[        if (!BROOK_MUTANT(answers_mean_nothing) && answers_ != settled_ &&]=]
  CAUGHT_BY kafka kafka/join_watch "what a heartbeat was answered is in doubt until it is seen what it leads to")

brook_mutant(joins_are_expected_for_ever
  FILE kafka/join_watch.hpp
  FIND [=[            is_expected_ = false;]=]
  REPLACE [=[            is_expected_ = BROOK_MUTANT(joins_are_expected_for_ever) && is_expected_;]=]
  CAUGHT_BY kafka kafka/join_watch "a join that is due holds commits back before it goes, and not for ever")

brook_mutant(refused_in_a_rebalance_for_good
  FILE kafka/commits.hpp
  FIND [=[            if (code != RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||]=]
  REPLACE [=[            if (BROOK_MUTANT(refused_in_a_rebalance_for_good) || code != RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||]=]
  CAUGHT_BY kafka kafka/errors "a commit that is refused because of a rebalance is asked for again")

brook_mutant(questions_take_records
  FILE kafka/administration.hpp
  FIND [=[            if (asked.owner() == nullptr) {]=]
  REPLACE [=[            if (BROOK_MUTANT(questions_take_records) || asked.owner() == nullptr) {]=]
  CAUGHT_BY kafka kafka/errors "who asks what was committed while a coordinator does not know it loses none of the records that have come")

brook_mutant(silence_as_it_comes
  FILE kafka/administration.hpp
  FIND [=[        return code_of(code) == errc::network_exception ||]=]
  REPLACE [=[        return (!BROOK_MUTANT(silence_as_it_comes) && code_of(code) == errc::network_exception) ||]=]
  CAUGHT_BY kafka kafka/errors "a cluster that cannot be reached is told in bounded time, by each call that needs it, and all say the same")

brook_mutant(no_address_is_one
  FILE kafka/connection.hpp
  FIND [=[        if (!has_address(bootstrap_servers)) {]=]
  REPLACE [=[        if (!BROOK_MUTANT(no_address_is_one) && !has_address(bootstrap_servers)) {]=]
  CAUGHT_BY kafka kafka/errors "a cluster without an address is refused at once")

brook_mutant(unknown_has_failed
  FILE kafka/sender.hpp
  FIND [=[            if (rd_kafka_message_status(&message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED) {]=]
  REPLACE [=[            if (!BROOK_MUTANT(unknown_has_failed) && rd_kafka_message_status(&message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED) {]=]
  CAUGHT_BY kafka kafka/errors "what was sent and not answered is unknown, which is not failed")

brook_mutant(unsent_is_unknown
  FILE kafka/sender.hpp
  FIND [=[            } else if (why.code == errc::timed_out) {]=]
  REPLACE [=[            } else if (!BROOK_MUTANT(unsent_is_unknown) && why.code == errc::timed_out) {]=]
  CAUGHT_BY kafka kafka/errors "what was never sent has failed, and nothing was written")

brook_mutant(one_throw_ends_an_event
  FILE kafka/sender.hpp
  FIND [=[            } catch (...) {  // what on_delivery throws of one record; the others of this event are told of theirs
                cluster_->report_caught();]=]
  REPLACE [=[            } catch (...) {  // what on_delivery throws of one record; the others of this event are told of theirs
                cluster_->report_caught();
                if (BROOK_MUTANT(one_throw_ends_an_event)) {
                    break;
                }]=]
  CAUGHT_BY kafka kafka/errors "an on_delivery that throws keeps nobody else's outcome back")

brook_mutant(own_progress_not_read
  FILE kafka/mirror_up.hpp
  FIND [=[            if (one >= 0) {
                return;
            }]=]
  REPLACE [=[            if (BROOK_MUTANT(own_progress_not_read) || one >= 0) {
                return;
            }]=]
  CAUGHT_BY kafka kafka/mirror "a mirror goes on by what the local broker has noted, where the cluster has forgotten")

brook_mutant(uneven_topics_taken
  FILE kafka/mirror_work.hpp
  FIND [=[    if (has != others) {]=]
  REPLACE [=[    if (!BROOK_MUTANT(uneven_topics_taken) && has != others) {]=]
  CAUGHT_BY kafka kafka/mirror "an outbox whose cluster has a topic of other partitions stops, and says so")

brook_mutant(outbox_deaf_in_an_outage
  FILE kafka/mirror_up.hpp
  FIND [=[to_->cluster->find(to_->name, {}, &stopping());]=]
  REPLACE [=[to_->cluster->find(to_->name, {}, BROOK_MUTANT(outbox_deaf_in_an_outage) ? nullptr : &stopping());]=]
  CAUGHT_BY kafka kafka/mirror "an outbox whose cluster never comes stops when it is told, and not when a call would have been over" HANGS)

endif()
