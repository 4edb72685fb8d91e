/// \file support/mailbox.hpp
/// A receiver that keeps what comes, and one life of a transport that tells it.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/replication/transport.hpp>

#include "support/catch.hpp"

namespace brook::test {

struct letter {
    int from;
    std::string text;

    bool operator==(const letter&) const = default;
};

/// Keeps what comes, and does what the test says with it.
class mailbox final : public transport::receiver {
public:
    explicit mailbox(std::function<void(int, bytes)> also = nullptr) : also_{std::move(also)} {}

    void receive(int from, bytes datagram) noexcept override {
        {
            const std::lock_guard lock{mutex_};
            letters_.push_back({from, std::string{as_text(datagram)}});
            places_.push_back(datagram.data());
            threads_.push_back(std::this_thread::get_id());
        }
        if (also_) {
            also_(from, datagram);
        }
        count_.fetch_add(1);
        count_.notify_all();
    }

    [[nodiscard]] std::size_t count() const { return count_.load(); }
    [[nodiscard]] std::vector<letter> letters() const {
        const std::lock_guard lock{mutex_};
        return letters_;
    }
    [[nodiscard]] std::vector<std::string> texts() const {
        std::vector<std::string> all;
        for (const letter& each : letters()) {
            all.push_back(each.text);
        }
        return all;
    }
    [[nodiscard]] const std::byte* place(std::size_t i) const { return places_.at(i); }
    [[nodiscard]] std::thread::id thread(std::size_t i) const { return threads_.at(i); }

    void wait_for(std::size_t wanted) const {
        for (std::size_t seen = count_.load(); seen < wanted; seen = count_.load()) {
            count_.wait(seen);
        }
    }

private:
    std::function<void(int, bytes)> also_;
    mutable std::mutex mutex_;
    std::vector<letter> letters_;
    std::vector<const std::byte*> places_;
    std::vector<std::thread::id> threads_;
    std::atomic<std::size_t> count_{0};
};

/// Starts the transport, waits until it has told so many datagrams, and stops it while others send: nobody is in the receiver then, which goes.
///
/// Returns   how many were told.
inline std::size_t start_and_stop(transport& line, std::size_t wanted) {
    std::atomic<int> inside{0};
    std::atomic<bool> is_stopping{false};
    auto mail = std::make_unique<mailbox>([&](int, bytes) {
        ++inside;
        for (int i = 0; i < 100 && is_stopping; ++i) {
            std::this_thread::yield();
        }
        --inside;
    });
    line.start(*mail);
    mail->wait_for(wanted);
    is_stopping = true;
    line.stop();
    CHECK(inside == 0);
    const std::size_t told = mail->count();
    mail.reset();  // with a sanitizer: nobody is in it
    return told;
}

}  // namespace brook::test
