/// \file brook/storage/bodies/compaction_output.hpp
/// The functions that compaction_output.hpp declares.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/compaction_output.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE compaction_output::~compaction_output() {
    if (file_) {
        discard();
    }
}

BROOK_INLINE failure compaction_output::create() {
    discard();  // left by a process that died here
    std::error_code code;
    file_ = files_.platform().open(log_temporary_, os::open_mode::create, code);
    if (!file_) {
        return refuse(code, "cannot create " + log_temporary_);
    }
    seed_ = files_.platform().random();
    buffer_.reserve(write_size + first_room);
    buffer_.assign(format::segment_header_size, std::byte{0});
    covered_ = reached_ = base_;
    return {};
}

BROOK_INLINE failure compaction_output::begin_frame(offset at, std::uint32_t epoch) {
    BROOK_ASSERT(at == reached_);
    if (epoch != epoch_) {
        if (failure why = close_batch(at)) {
            return why;
        }
        epoch_ = epoch;
    }
    return {};
}

BROOK_INLINE failure compaction_output::keep(const format::record_slice& record, const origin& from, std::uint32_t compacted_at) {
    const format::record_sizes sizes{record.has_key() ? size_of(record.key()) : format::null_size, record.has_value() ? size_of(record.value()) : format::null_size,
                                     size_of(record.headers())};
    const bool is_tombstone = !record.has_value();
    const std::uint64_t entry = format::entry_bytes(sizes);
    std::int64_t delta = 0;
    const bool is_other = !details_.empty() && (from.is_append_time != origin_.is_append_time || from.codec != origin_.codec ||
                                                __builtin_sub_overflow(record.timestamp(), base_timestamp_, &delta) ||
                                                (is_tombstone && has_tombstone_ && compacted_at_ != compacted_at));
    const std::size_t most = from.codec == format::codec_none ? batch_size : from.batch_bytes > compressed_batch_size ? from.batch_bytes : compressed_batch_size;
    if (is_other || (!details_.empty() && entries_.size() + entry > most)) {
        if (failure why = close_batch(record.offset())) {
            return why;
        }
    }
    if (details_.empty()) {
        origin_ = from;
        base_timestamp_ = record.timestamp();
        delta = 0;
    }
    if (is_tombstone) {
        has_tombstone_ = true;
        compacted_at_ = compacted_at;
        note_tombstones(compacted_at);
    }
    largest_delta_ = details_.empty() || delta > largest_delta_ ? delta : largest_delta_;
    const std::size_t before = entries_.size();
    entries_.resize(before + static_cast<std::size_t>(entry));
    const format::entry_layout to = format::lay_out_entry(entries_.data() + before, sizes);
    copy_bytes(to.key, record.key().data(), record.key().size());
    copy_bytes(to.value, record.value().data(), record.value().size());
    copy_bytes(to.headers, record.headers().data(), sizes.headers);
    details_.push_back({delta, static_cast<std::uint32_t>(record.offset() - covered_), sizes.headers});
    return {};
}

BROOK_INLINE failure compaction_output::keep_whole(const frame_view& frame, std::uint32_t uncompressed) {
    if (failure why = close_batch(frame.header.base_offset)) {
        return why;
    }
    most_uncompressed_ = uncompressed > most_uncompressed_ ? uncompressed : most_uncompressed_;
    format::frame_header header = frame.header;
    std::byte* const to = take(static_cast<std::uint32_t>(header.size));
    copy_bytes(to + format::frame_header_size, frame.data + format::frame_header_size, static_cast<std::size_t>(header.size) - format::frame_header_size);
    covered_ = frame.header.base_offset + frame.offsets_taken();
    return put(to, header);
}

BROOK_INLINE void compaction_output::note_tombstones(std::uint32_t compacted_at) noexcept {
    if (compacted_at != 0 && (oldest_tombstones_ == 0 || compacted_at < oldest_tombstones_)) {
        oldest_tombstones_ = compacted_at;
    }
}

BROOK_INLINE failure compaction_output::set_mark(mark& here) {
    failure why = close_batch(reached_);
    here = {flushed_ + buffer_.size(), reached_, epoch_, most_uncompressed_, oldest_tombstones_};
    return why;
}

BROOK_INLINE void compaction_output::return_to(const mark& there) noexcept {
    forget_batch();
    if (flushed_ > highest_) {
        highest_ = flushed_;
    }
    if (there.end >= flushed_) {
        buffer_.resize(static_cast<std::size_t>(there.end - flushed_));
    } else {
        flushed_ = there.end;
        buffer_.clear();
    }
    const auto slots = static_cast<std::size_t>((there.end + index_interval - 1) / index_interval);
    slots_.resize(slots_.size() < slots ? slots_.size() : slots);
    covered_ = reached_ = there.reached;
    epoch_ = there.epoch;
    most_uncompressed_ = there.most_uncompressed;
    oldest_tombstones_ = there.oldest_tombstones;
}

BROOK_INLINE std::unique_ptr<segment> compaction_output::commit(std::int64_t sealed_at, failure& why, bool& is_unsure) {
    const offset end = reached_;
    if (why = close_batch(end); why) {
        return nullptr;
    }
    const auto seal = static_cast<position>(flushed_ + buffer_.size());
    if (why = write_seal(end); why) {
        return nullptr;
    }
    const auto used = static_cast<position>(flushed_ + buffer_.size());
    if (why = write_rest(used, seal, end, sealed_at); why) {
        return nullptr;
    }
    write_index(used);
    const swap_range range{base_, end};
    const std::string path = files_.swap_path(range);
    const std::string path_of_index = path + ".index";
    os::platform& platform = files_.platform();
    files_.discard(path_of_index);
    static_cast<void>(platform.rename_to_new(index_temporary_, path_of_index));  // derived
    auto made = std::make_unique<segment>(base_);
    if (const auto code = platform.rename_to_new(log_temporary_, path)) {
        why = refuse(code, "cannot rename " + log_temporary_ + " to " + path);
        files_.discard(path_of_index);
        return nullptr;
    }
    file_.reset();
    segment_pin pin;
    try {
        if (const auto code = platform.sync_directory(files_.path())) {
            why = refuse(code, "cannot sync " + files_.path());
        }
        pin = why ? nullptr : files_.open(path, path_of_index, why);
    } catch (...) {
        is_unsure = !take_back(path, path_of_index);
        throw;
    }
    if (!pin) {
        is_unsure = !take_back(path, path_of_index);
        return nullptr;
    }
    made->adopt(std::move(pin));
    made->tail.store(tail_word{static_cast<std::uint64_t>(end - base_), seal}.sealed().raw(), std::memory_order_relaxed);
    made->is_synced.store(true, std::memory_order_relaxed);
    made->used.store(used, std::memory_order_relaxed);
    made->sealed_at.store(sealed_at, std::memory_order_relaxed);
    made->tombstones_since.store(tombstones_since(), std::memory_order_relaxed);
    return made;
}

BROOK_INLINE void compaction_output::discard() noexcept {
    file_.reset();
    files_.discard(log_temporary_);
    files_.discard(index_temporary_);
}

BROOK_INLINE bool compaction_output::take_back(const std::string& path, const std::string& path_of_index) noexcept {
    os::platform& platform = files_.platform();
    files_.discard(path_of_index);
    try {
        return !platform.remove(path) && !platform.sync_directory(files_.path());
    } catch (const std::bad_alloc&) {
        return false;
    }
}

BROOK_INLINE void compaction_output::forget_batch() noexcept {
    details_.clear();
    entries_.clear();
    has_tombstone_ = false;
    compacted_at_ = 0;
}

BROOK_INLINE failure compaction_output::close_batch(offset end) {
    if (end == covered_) {
        return {};
    }
    format::frame_header header{};
    header.base_offset = covered_;
    header.leader_epoch = epoch_;
    const auto taken = static_cast<std::uint32_t>(end - covered_);
    covered_ = end;
    if (details_.empty()) {
        header.size = static_cast<std::int32_t>(format::frame_header_size);
        header.attributes = format::attributes_of(format::frame_kind::filler);
        header.count = taken;
        return put(take(format::frame_header_size), header);
    }
    header.base_timestamp = base_timestamp_;
    header.count = static_cast<std::uint32_t>(details_.size());
    header.extension = format::extension::detail;
    header.attributes = origin_.is_append_time ? format::attribute::append_time : std::uint16_t{0};
    const format::batch_detail detail{taken - 1, compacted_at_, largest_delta_};
    const std::size_t detail_bytes = details_.size() * sizeof(format::record_detail);
    constexpr std::size_t front = format::frame_header_size + format::extension::bytes_each;
    const std::size_t content = detail_bytes + entries_.size();
    std::byte* const to = take(static_cast<std::uint32_t>(front + content));
    store(to + format::frame_header_size, detail);
    copy_bytes(to + front, details_.data(), detail_bytes);
    copy_bytes(to + front + detail_bytes, entries_.data(), entries_.size());
    header.size = static_cast<std::int32_t>(front + content);
    if (origin_.codec != format::codec_none) {
        compress(to + front, content, header);
    }
    forget_batch();
    return put(to, header);
}

BROOK_INLINE void compaction_output::compress(std::byte* content, std::size_t size, format::frame_header& header) {
    const compression_codec* const codec = format::find_codec(origin_.codec);
    if (codec == nullptr) {
        return;  // it was there when the batch was decoded, and codecs do not go
    }
    packed_.resize(codec->bound(size));
    const std::size_t made = format::deflate(*codec, {content, size}, packed_, std::nullopt);
    if (made == 0) {
        return;
    }
    const auto whole = static_cast<std::uint32_t>(header.size);
    most_uncompressed_ = whole > most_uncompressed_ ? whole : most_uncompressed_;
    store(content, std::uint64_t{size});
    copy_bytes(content + format::compressed_prefix, packed_.data(), made);
    const std::uint32_t stored = whole - static_cast<std::uint32_t>(size) + format::compressed_prefix + static_cast<std::uint32_t>(made);
    buffer_.resize(buffer_.size() - format::frame_length(whole) + format::frame_length(stored));
    std::memset(content + format::compressed_prefix + made, 0, format::frame_length(stored) - stored);
    header.size = static_cast<std::int32_t>(stored);
    header.attributes = static_cast<std::uint16_t>(header.attributes | origin_.codec);
}

BROOK_INLINE failure compaction_output::write_seal(offset end) {
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(format::frame_header_size);
    header.attributes = format::attributes_of(format::frame_kind::seal);
    header.base_offset = end;
    return put(take(format::frame_header_size), header);
}

BROOK_INLINE std::byte* compaction_output::take(std::uint32_t size) {
    const std::size_t before = buffer_.size();
    buffer_.resize(before + format::frame_length(size));
    return buffer_.data() + before;
}

BROOK_INLINE failure compaction_output::put(std::byte* frame, format::frame_header header) {
    const std::uint64_t at = flushed_ + static_cast<std::uint64_t>(frame - buffer_.data());
    if (at + format::frame_length(static_cast<std::uint32_t>(header.size)) > largest_file) {
        return refuse(std::make_error_code(std::errc::file_too_large), "what is left of " + files_.log_path(base_) + " does not fit into a segment");
    }
    header.checksum = format::checksum_of(seed_, static_cast<position>(at), header, frame);
    store(frame, header);
    const std::uint64_t length = format::frame_length(static_cast<std::uint32_t>(header.size));
    for (std::uint64_t k = (at + index_interval - 1) / index_interval; k < (at + length + index_interval - 1) / index_interval; ++k) {
        slots_.resize(static_cast<std::size_t>(k) + 1);
        slots_.back() = {static_cast<std::uint32_t>(header.base_offset - base_), static_cast<std::uint32_t>(at)};
    }
    return buffer_.size() < write_size ? failure{} : flush();
}

BROOK_INLINE failure compaction_output::flush() {
    if (failure why; !files_.admits(buffer_.size(), log_temporary_, why, false)) {
        return why;
    }
    if (const auto code = file_->write_at(flushed_, buffer_)) {
        return refuse(code, "cannot write " + log_temporary_);
    }
    file_->start_writeback(flushed_, buffer_.size());
    flushed_ += buffer_.size();
    buffer_.clear();
    return {};
}

BROOK_INLINE failure compaction_output::write_rest(position used, position seal, offset end, std::int64_t sealed_at) {
    failure why = flush();
    for (static constexpr std::array<std::byte, 32 * kib> zeros{}; !why && flushed_ < highest_;) {
        const std::uint64_t left = highest_ - flushed_;
        const auto size = static_cast<std::size_t>(left < zeros.size() ? left : zeros.size());
        if (const auto code = file_->write_at(flushed_, bytes{zeros}.first(size))) {
            why = refuse(code, "cannot write " + log_temporary_);
        }
        flushed_ += size;
    }
    os::file_identity id;
    if (const auto code = why ? std::error_code{} : file_->identity(id)) {
        why = refuse(code, "cannot read the identity of " + log_temporary_);
    }
    if (why) {
        return why;
    }
    const std::uint64_t wanted = std::uint64_t{most_uncompressed_} + format::segment_header_size + format::frame_header_size;
    const std::uint64_t capacity = align_up(wanted > used ? wanted : used, std::uint64_t{4096});
    std::array<std::byte, format::segment_header_size> raw{};
    store(raw.data(), format::make_birth(seed_, static_cast<std::uint32_t>(capacity), files_.name().topic_id, files_.name().number, format::segment_flag::compacted));
    const auto plus_one = static_cast<std::uint64_t>(base_) + 1;
    store(raw.data() + format::base_at, plus_one);
    store(raw.data() + format::base_check_at, format::base_check(seed_, plus_one));
    store(raw.data() + format::tombstones_at, tombstones_since());
    store(raw.data() + format::tombstones_check_at, format::tombstones_check(seed_, tombstones_since()));
    store(raw.data() + format::writer_at, format::make_writer(id.boot_id, id.device, id.inode, id.birth_time_ns));
    store(raw.data() + format::footer_at, format::make_footer(seed_, end, seal, sealed_at));
    std::error_code code = file_->write_at(0, raw);
    if (!code) {
        code = file_->sync();
    }
    return code ? refuse(code, "cannot write " + log_temporary_) : failure{};
}

BROOK_INLINE void compaction_output::write_index(position used) {
    slots_.resize(static_cast<std::size_t>(index_slots(used)));
    std::error_code code;
    const auto index = files_.platform().open(index_temporary_, os::open_mode::create, code);
    if (index && index->write_at(0, {reinterpret_cast<const std::byte*>(slots_.data()), slots_.size() * sizeof(index_slot)})) {
        files_.discard(index_temporary_);
    }
}

}  // namespace brook::inline BROOK_ABI::storage
