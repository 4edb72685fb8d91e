/// \file brook/transport/send_queue.hpp
/// Datagrams that wait for one node, as the bytes that will go over its connection.
/// Edge of floor 3, transport.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/transport/tcp_frame.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Many threads put in, one takes out: everything that has gathered at once, so that many datagrams are one write.
///
/// Open as long as there is a connection, or one is being made. What is in it when it is closed is lost.
///
/// Threads   shared; `open`, `take` and `has_written` are the transport's thread's.
/// Cost      `push`: one lock that is held for a copy. Memory stays from one use to the next, as long as there is no pause.
class send_queue {
public:
    enum class outcome {
        taken,
        taken_first,  ///< and nobody has been told yet that there is something to write: the caller does that
        closed,
        full,
    };

    explicit send_queue(std::size_t limit) noexcept : limit_{limit} {}

    void open() noexcept {
        const std::lock_guard lock{mutex_};
        is_open_ = true;
        is_told_ = false;
    }

    void close() noexcept {
        const std::lock_guard lock{mutex_};
        is_open_ = false;
        is_told_ = false;
        on_its_way_ = 0;
        waiting_ = {};
    }

    [[nodiscard]] outcome push(bytes datagram) noexcept {
        const std::size_t size = frame_header_size + datagram.size();
        const std::lock_guard lock{mutex_};
        if (!is_open_) {
            return outcome::closed;
        }
        const std::size_t used = waiting_.size() + on_its_way_;
        if (used > limit_ || limit_ - used < size) {
            return outcome::full;
        }
        try {
            if (waiting_.capacity() - waiting_.size() < size) {
                waiting_.reserve(std::max(waiting_.size() + size, 2 * waiting_.capacity()));
            }
        } catch (const std::exception&) {
            return outcome::full;
        }
        std::byte header[frame_header_size];
        store_frame_header(header, static_cast<std::uint32_t>(datagram.size()));
        waiting_.insert(waiting_.end(), header, header + frame_header_size);
        waiting_.insert(waiting_.end(), datagram.begin(), datagram.end());
        return std::exchange(is_told_, true) ? outcome::taken : outcome::taken_first;
    }

    /// What has gathered, in exchange for memory that is needed no more: `written` has been, whole.
    ///
    /// Returns   false: nothing; the next `push` says `taken_first` again.
    [[nodiscard]] bool take(std::vector<std::byte>& written) noexcept {
        written.clear();
        const std::lock_guard lock{mutex_};
        on_its_way_ = 0;
        if (waiting_.empty()) {
            is_told_ = false;
            release_if_large(waiting_);
            release_if_large(written);
            return false;
        }
        waiting_.swap(written);
        on_its_way_ = written.size();
        return true;
    }

    /// So many bytes of what was taken are gone.
    void has_written(std::size_t count) noexcept {
        const std::lock_guard lock{mutex_};
        on_its_way_ -= std::min(count, on_its_way_);
    }

    /// Nobody could be told after all: the next `push` shall say `taken_first`.
    void forget_told() noexcept {
        const std::lock_guard lock{mutex_};
        is_told_ = false;
    }

private:
    /// After a burst: what a quiet connection keeps is bounded by this.
    static void release_if_large(std::vector<std::byte>& idle) noexcept {
        if (idle.capacity() > std::size_t{1} << 20) {
            idle = {};
        }
    }

    const std::size_t limit_;
    std::mutex mutex_;  // guards everything below
    bool is_open_ = false;
    bool is_told_ = false;
    std::size_t on_its_way_ = 0;  // bytes that the last `take` has taken and that were not written yet
    std::vector<std::byte> waiting_;
};

}  // namespace brook::inline BROOK_ABI::transport_room
