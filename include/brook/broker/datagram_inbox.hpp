/// \file brook/broker/datagram_inbox.hpp
/// Datagrams that have come and were not looked at: copied by whoever brings them, so that nobody waits for the member's lock.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include <brook/broker/datagram.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// In the order in which they came. What is too much is dropped, as a network drops it: who sent it sends it again.
///
/// Threads   shared.
/// Cost      a copy of each; of each sender 64 MiB at most, so that one that sends much takes nothing from the others.
class datagram_inbox {
public:
    struct arrived {
        std::int32_t from;
        std::vector<std::byte> bytes;
    };

    /// `counted_as`: whose share of the room it takes: the sender's, where that is a peer; strangers have one together.
    /// Returns   what waits now, in bytes, of all senders; 0: it was dropped.
    [[nodiscard]] std::size_t put(std::int32_t from, bytes whole, std::int32_t counted_as) noexcept {
        if (whole.size() < datagram::header_size) {
            return 0;
        }
        try {
            std::vector<std::byte> copy(whole.begin(), whole.end());
            const std::scoped_lock guard{mutex_};
            std::size_t& size = size_of(counted_as);
            if (size + copy.size() > most_queued) {
                return 0;
            }
            arrived_.push_back({from, std::move(copy)});
            size += whole.size();
            std::size_t all = 0;
            for (const auto& [node, of_it] : sizes_) {
                all += of_it;
            }
            return all;
        } catch (const std::exception&) {
            return 0;  // no memory: as if it had been lost
        }
    }

    [[nodiscard]] std::vector<arrived> take() noexcept {
        const std::scoped_lock guard{mutex_};
        sizes_.clear();
        return std::exchange(arrived_, {});
    }

private:
    static constexpr std::size_t most_queued = 64 * mib;

    [[nodiscard]] std::size_t& size_of(std::int32_t whose) {
        for (auto& [node, size] : sizes_) {
            if (node == whose) {
                return size;
            }
        }
        sizes_.emplace_back(whose, std::size_t{0});
        return sizes_.back().second;
    }

    std::mutex mutex_;  // guards the rest
    std::vector<arrived> arrived_;
    std::vector<std::pair<std::int32_t, std::size_t>> sizes_;  // bytes of each sender's
};

}  // namespace brook::inline BROOK_ABI::broker_room
