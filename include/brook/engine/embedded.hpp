/// \file brook/engine/embedded.hpp
/// The engine that keeps records in this process: what the typed client room calls, and nothing typed.
/// Floor 5, engine.
///
/// An engine is a set of types that a broker names (`engine_of<Broker>`); the client room knows records by their bytes
/// and leaves the rest to it. Another engine has the same names where it can do the same, and lacks them where it
/// cannot, so that a program that asks for it does not compile.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/pending.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI {

class broker;

/// The engine of a broker type.
template <class Broker>
struct engine_of;

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::engine {

/// Who sends a batch, where that is to be told with it.
struct batch_origin {
    format::producer_stamp stamp;
    bool is_transactional = false;
    std::uint64_t* checksum = nullptr;  ///< where that of the frame is wanted
};

/// A topic's bytes, embedded. A handle: copies mean the same topic.
///
/// Threads   shared.
class embedded_topic {
public:
    embedded_topic(std::shared_ptr<broker_room::core> core, broker_room::topic_handle state) noexcept
        : core_{core}, state_{std::move(state)} {}

    [[nodiscard]] const std::string& name() const noexcept { return state_->name; }
    [[nodiscard]] std::int32_t partition_count() const noexcept { return state_->partition_count(); }
    [[nodiscard]] storage::log& log(std::int32_t partition) const { return state_->partition(partition); }
    [[nodiscard]] const broker_room::topic_handle& state() const noexcept { return state_; }
    [[nodiscard]] os::platform& platform() const noexcept { return state_->shared->platform; }
    [[nodiscard]] broker_room::shared_state& shared() const noexcept { return *state_->shared; }

    /// The broker, while it lives.
    [[nodiscard]] std::shared_ptr<broker_room::core> core() const noexcept { return core_.lock(); }

    /// Errors    closed, when the broker is closed or has gone; unknown_topic_or_partition, when the topic was deleted.
    [[nodiscard]] std::shared_ptr<broker_room::core> open_core() const {
        auto core = core_.lock();
        if (!core || core->is_closed()) {
            throw_error(errc::closed, "topic '" + name() + "': its broker is closed");
        }
        state_->require_there();
        return core;
    }

    /// Bytes to claim. What no segment can hold stays too large, instead of wrapping around.
    [[nodiscard]] static std::uint32_t length_of(std::uint64_t size) noexcept {
        return size < gib * 2u ? format::frame_length(static_cast<std::uint32_t>(size)) : gib * 2u;
    }

    /// Writes one record into a claim and publishes it. `write_key` and `write_value` put exactly the bytes that `sizes`
    /// says where they are told; what they throw passes through, and the claim becomes a filler.
    template <class WriteKey, class WriteValue>
    [[gnu::always_inline]] static void fill(storage::log& log, const storage::claim& taken, format::record_sizes sizes,
                                            std::uint16_t attributes, std::int64_t timestamp, const WriteKey& write_key,
                                            const WriteValue& write_value, bytes headers, const batch_origin* origin = nullptr) {
        const std::uint16_t extensions = origin == nullptr ? 0 : format::extension::producer;
        const format::lone_layout body = format::lay_out_lone(taken.data, sizes, extensions);
        try {
            write_key(body.key);
            write_value(body.value);
        } catch (...) {
            log.abandon(taken, 1);
            throw;
        }
        if (sizes.headers != 0) [[unlikely]] {
            copy_bytes(body.headers, headers.data(), headers.size());
        }
        if (origin != nullptr) {
            format::store_stamp(taken.data + format::frame_header_size, origin->stamp);
        }
        const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes, extensions));
        attributes = static_cast<std::uint16_t>(attributes | format::lone_attributes(sizes));
        log.publish(taken, format::frame_word::published(size, attributes, extensions), timestamp, sizes.key);
    }

    /// Appends one record, whatever that takes: disk space, a new segment, the order of append times.
    ///
    /// Returns   true, and `done` says where; false, and `why` as storage::appender::take.
    template <class WriteKey, class WriteValue>
    [[nodiscard]] static bool append(storage::log& log, format::record_sizes sizes, std::int64_t timestamp, const WriteKey& write_key,
                                     const WriteValue& write_value, bytes headers, appended& done, failure& why,
                                     const batch_origin* origin = nullptr) {
        return in_order(log, timestamp, [&](std::int64_t time, std::uint16_t attributes) {
            storage::claim taken;
            if (!log.take(length_of(format::lone_frame_size(sizes, origin == nullptr ? 0 : format::extension::producer)), 1, taken, why)) {
                return false;
            }
            fill(log, taken, sizes, attributes, time, write_key, write_value, headers, origin);
            done = {taken.first, time};
            return true;
        });
    }

    /// Appends a body of `count` records, laid out as one batch; all of it or nothing. `write_body` fills it. `codec`: what it is
    /// compressed by.
    template <class WriteBody>
    [[nodiscard]] static bool append_batch(storage::log& log, std::uint64_t body_size, std::uint32_t count, std::uint16_t extension,
                                           std::int64_t timestamp, const WriteBody& write_body, appended& done, failure& why,
                                           const batch_origin* origin = nullptr, std::uint16_t codec = 0) {
        return in_order(log, timestamp, [&](std::int64_t time, std::uint16_t attributes) {
            attributes = static_cast<std::uint16_t>(attributes | codec);
            storage::claim taken;
            const std::uint32_t stamp_bytes = origin == nullptr ? 0 : format::extension::bytes_each;
            const std::uint64_t size = format::frame_header_size + stamp_bytes + body_size;
            if (!log.take(length_of(size), count, taken, why)) {
                return false;
            }
            std::byte* const body = taken.data + format::frame_header_size;
            std::uint16_t extensions = extension;
            if (origin != nullptr) {
                format::store_stamp(body, origin->stamp);
                extensions = static_cast<std::uint16_t>(extensions | format::extension::producer);
                attributes = static_cast<std::uint16_t>(attributes | (origin->is_transactional ? format::attribute::transactional : 0));
            }
            try {
                write_body(body + stamp_bytes);
            } catch (...) {
                log.abandon(taken, count);
                throw;
            }
            const std::uint64_t checksum =
                log.publish(taken, format::frame_word::published(static_cast<std::uint32_t>(size), attributes, extensions), time, count);
            if (origin != nullptr && origin->checksum != nullptr) {
                *origin->checksum = checksum;
            }
            done = {taken.first, time};
            return true;
        });
    }

private:
    /// Where the log gives the time, it is held from the claim to the publication.
    template <class Append>
    [[nodiscard]] static bool in_order(storage::log& log, std::int64_t timestamp, const Append& append_at) {
        if (log.options().is_append_time) {
            const storage::log::ordered_section held{log, timestamp};
            return append_at(held.time, format::attribute::append_time);
        }
        return append_at(timestamp, 0);
    }

    std::weak_ptr<broker_room::core> core_;  // a handle does not keep a broker alive
    broker_room::topic_handle state_;
};

}  // namespace brook::inline BROOK_ABI::engine
