/// \file brook/kafka/positions.hpp
/// How far a consumer has come in each partition.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/topic.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// How far a consumer has come in each partition that it reads, and where it was told to go in those that it may be given.
///
/// Threads   confined.
class positions {
public:
    /// One partition that is read.
    struct place {
        partition of;
        offset next = -1;              ///< of the next record that polls give; -1: not known yet
        std::optional<offset> wanted{};  ///< librdkafka has not been told to go there yet
        offset committed = -1;
        bool is_paused = false;
        bool is_at_end = false;  ///< it has said so, behind everything that was given
        bool is_untold = false;  ///< the listener does not know yet that it has come: nothing of it is given before
    };

    struct sought {
        partition of;
        offset next;
    };

    place& add(partition of) {
        places_.push_back({.of = std::move(of)});
        for (const auto& one : sought_) {
            if (one.of == places_.back().of) {
                places_.back().wanted = one.next;
                places_.back().next = one.next;
            }
        }
        last_ = nullptr;
        return places_.back();
    }

    [[nodiscard]] place* of(const partition& which) noexcept {
        for (auto& one : places_) {
            if (one.of == which) {
                return &one;
            }
        }
        return nullptr;
    }

    [[nodiscard]] place* of(std::string_view topic, std::int32_t number) noexcept {
        for (auto& one : places_) {
            if (one.of.number() == number && one.of.topic() == topic) {
                return &one;
            }
        }
        return nullptr;
    }

    /// Most messages come one after the other of one partition.
    [[nodiscard]] place* of(const rd_kafka_message_t& message) noexcept {
        if (last_ == nullptr || last_topic_ != message.rkt || last_number_ != message.partition) {
            last_ = of(rd_kafka_topic_name(message.rkt), message.partition);
            last_topic_ = message.rkt;
            last_number_ = message.partition;
        }
        return last_;
    }

    void remove(const partition& which) {
        last_ = nullptr;
        for (std::size_t i = places_.size(); i-- > 0;) {
            if (places_[i].of == which) {
                places_.erase(places_.begin() + static_cast<std::ptrdiff_t>(i));
            }
        }
    }

    void clear() noexcept {
        last_ = nullptr;
        places_.clear();
        sought_.clear();
    }

    [[nodiscard]] std::vector<place>& all() noexcept { return places_; }
    [[nodiscard]] const std::vector<place>& all() const noexcept { return places_; }

    // ---- before anything was assigned ----

    [[nodiscard]] const sought* sought_for(const partition& which) const noexcept {
        for (const auto& one : sought_) {
            if (one.of == which) {
                return &one;
            }
        }
        return nullptr;
    }

    void note_sought(const partition& which, offset next) {
        for (auto& one : sought_) {
            if (one.of == which) {
                one.next = next;
                return;
            }
        }
        sought_.push_back({which, next});
    }

    void forget_sought() noexcept { sought_.clear(); }

private:
    std::vector<place> places_;
    std::vector<sought> sought_;
    place* last_ = nullptr;  // whose message came last
    const rd_kafka_topic_t* last_topic_ = nullptr;
    std::int32_t last_number_ = -1;
};

}  // namespace brook::inline BROOK_ABI::kafka
