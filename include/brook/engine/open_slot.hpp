/// \file brook/engine/open_slot.hpp
/// A claim that a user holds open to write in place, or a buffer where the topic does not allow that.
/// Floor 5, engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/engine/embedded.hpp>
#include <brook/engine/sender.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::engine {

/// The value of a record to be. `commit` or the destructor ends it: as a record, or as a filler.
///
/// Threads   confined.
/// Lifetime  keeps the segment's memory; may outlive the broker, and then reaches nobody.
class open_slot {
public:
    /// Errors    thrown: what taking the claim said.
    open_slot(std::shared_ptr<embedded_sender> sender, std::int32_t partition, std::optional<bytes> key, std::uint32_t size)
        : sender_{std::move(sender)},
          partition_{partition},
          sizes_{key ? static_cast<std::uint32_t>(key->size()) : format::null_size, size, 0} {
        storage::log& log = this->log();
        if (format::lone_frame_size(sizes_) > log.largest_frame()) {
            throw_error(errc::record_too_large, log.name().text() + ": a slot of " + std::to_string(size) + " bytes, and a segment holds " +
                                                    std::to_string(log.largest_frame()) + " with their frame; raise the topic's segment_bytes or claim less");
        }
        if (log.options().flush_messages > 0 || log.options().is_append_time || log.options().is_replicated || sender_->is_idempotent()) {
            if (log.is_closed()) {
                log.refusal().raise();
            }
            buffer_.resize(std::size_t{size} + sizes_.key_bytes());
            value_ = mutable_bytes{buffer_}.first(size);
            copy_bytes(buffer_.data() + size, key ? key->data() : nullptr, sizes_.key_bytes());
            return;
        }
        sender_->close_gathered(partition_);  // what was gathered before goes before
        storage::claim taken;
        failure why;
        if (!log.take_open(embedded_topic::length_of(format::lone_frame_size(sizes_)), taken, pin_, id_, why)) {
            why.raise();
        }
        const format::lone_layout body = format::lay_out_lone(taken.data, sizes_);
        copy_bytes(body.key, key ? key->data() : nullptr, sizes_.key_bytes());
        value_ = {body.value, size};
    }

    open_slot(const open_slot&) = delete;
    open_slot& operator=(const open_slot&) = delete;

    ~open_slot() {
        if (pin_ && !is_committed_) {
            static_cast<void>(log().settle(id_, [&](const storage::claim& taken) { log().abandon(taken, 1); }));  // closed: recovery fills it
        }
    }

    [[nodiscard]] std::int32_t partition() const noexcept { return partition_; }
    [[nodiscard]] mutable_bytes value() const noexcept { return value_; }

    /// Once.
    [[nodiscard]] sent commit() {
        is_committed_ = true;
        return pin_ ? commit_in_place() : commit_buffer();
    }

private:
    [[nodiscard]] storage::log& log() const { return sender_->topic().log(partition_); }

    [[nodiscard]] sent commit_in_place() {
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(format::lone_frame_size(sizes_));
        header.attributes = format::lone_attributes(sizes_);
        header.base_timestamp = log().platform().now().time_since_epoch().count();
        header.count = sizes_.key;
        offset at = -1;
        const bool is_done = log().settle(id_, [&](const storage::claim& taken) {
            at = taken.first;
            log().publish(taken, header);
        });
        if (!is_done) {
            const errc code = sender_->topic().state()->is_deleted() ? errc::unknown_topic_or_partition : errc::closed;
            return sender_->fail(partition_, {code, log().name().text() + (code == errc::closed ? ": closed" : ": its topic was deleted") +
                                                        " while the slot was open; nothing was written"});
        }
        return sender_->acknowledge(partition_, {at, header.base_timestamp}, 1);
    }

    [[nodiscard]] sent commit_buffer() {
        const auto write = [](bytes from) { return [from](std::byte* to) { copy_bytes(to, from.data(), from.size()); }; };
        const bytes all{buffer_};
        return sender_->send(partition_, sizes_, std::nullopt, std::nullopt, write(all.subspan(value_.size())), write(all.first(value_.size())), {});
    }

    std::shared_ptr<embedded_sender> sender_;
    std::int32_t partition_;
    format::record_sizes sizes_;
    mutable_bytes value_;
    bool is_committed_ = false;
    storage::segment_pin pin_;          // in place: keeps the memory
    storage::open_claims::id id_ = 0;   // in place
    std::vector<std::byte> buffer_;     // else: the value, then the key
};

}  // namespace brook::inline BROOK_ABI::engine
