/// \file fuzz/member_world.hpp
/// Brokers of a cluster whose system is memory, in one thread and a time of their own, made anew so quickly that a fuzzer has hundreds of clusters a second.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include "fuzz/memory_platform.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz {

/// A cluster's machines and network.
///
/// As test::simulated_cluster, without anything that a loss of power needs: no page of a file is looked at twice. Who waits has time pass.
/// Whatever must not be ends the process.
///
/// Threads   confined.
class member_world {
public:
    using nanoseconds = std::chrono::nanoseconds;
    static constexpr int nodes = 3;
    static constexpr nanoseconds election_timeout = std::chrono::milliseconds{80};
    static constexpr nanoseconds tick = std::chrono::milliseconds{2};  ///< what is due within one is done together: fewer looks at each broker
    static constexpr std::uint64_t most_steps = 100'000;  ///< of one input: time must pass

    /// What brokers leave behind, to begin with.
    using image = std::unique_ptr<memory_platform>;
    using watcher = std::function<bool(int from, int to, bytes)>;  ///< of each datagram that is sent; false: it is lost

    member_world() {
        for (int id = 1; id <= nodes; ++id) {
            nodes_.push_back(std::make_unique<node>(*this, id));
        }
    }
    member_world(const member_world&) = delete;
    member_world& operator=(const member_world&) = delete;
    ~member_world() {
        for (int id = 1; id <= nodes; ++id) {
            if (is_up(id)) {
                kill(id);
            }
        }
    }

    [[nodiscard]] bool is_up(int id) const noexcept { return id >= 1 && id <= nodes && nodes_[static_cast<std::size_t>(id - 1)]->broker != nullptr; }
    [[nodiscard]] brook::broker& broker(int id) { return *of(id).broker; }
    [[nodiscard]] broker_room::core& core(int id) { return *of(id).core; }
    [[nodiscard]] nanoseconds now() const noexcept { return now_; }
    /// Of a broker that is down: its disk.
    [[nodiscard]] image& disk(int id) noexcept { return of(id).files; }
    /// What it has told in its lives here that nobody asked for.
    [[nodiscard]] const std::vector<std::string>& told(int id) { return of(id).told; }

    void on_sending(watcher asked) { asked_ = std::move(asked); }
    void on_parting(std::function<void(int)> told) { on_parting_ = std::move(told); }

    /// Errors    what opening the broker says.
    void start(int id) {
        node& one = of(id);
        if (!one.files) {
            one.files = std::make_unique<memory_platform>();
        }
        one.is_dead = false;
        one.place = std::make_shared<port>(*this, id);
        std::vector<int> peers;
        for (int peer = 1; peer <= nodes; ++peer) {
            peers.push_back(peer);
        }
        const is_inside here{one};
        one.broker = std::make_unique<brook::broker>("/d", broker_options{.node_id = id, .peers = peers, .transport = one.place, .maintenance = maintenance::manual,
                                                                          .election_timeout = election_timeout, .default_api_timeout = election_timeout * 2,
                                                                          .on_error = [&one](const failure& why) { one.told.push_back(why.text); }, .platform = &one.platform});
        one.core = brook::detail::access::core(*one.broker);
        one.pump_at = one.maintain_at = now_;
    }

    /// It says good-bye.
    void close(int id) {
        node& one = of(id);
        one.broker->close();
        go(one);
    }

    /// The process dies, and its disk is as it is.
    void kill(int id) {
        node& one = of(id);
        auto left = std::make_unique<memory_platform>(*one.files);
        one.is_dead = true;
        one.broker->close();
        go(one);
        one.files = std::move(left);
    }

    void run_for(nanoseconds time) {
        const nanoseconds until = now_ + time;
        while (step(until)) {
        }
    }

    template <class Condition>
    bool run_until(const Condition& is_there, nanoseconds longest) {
        const nanoseconds until = now_ + longest;
        while (!is_there()) {
            if (!step(until)) {
                return is_there();
            }
        }
        return true;
    }

    /// As if the transport had brought it from `from`, now.
    void bring(int from, int to, bytes datagram) {
        if (is_up(to)) {
            hand_over(of(to), from, datagram);
            look_after(of(to));
        }
    }

    /// On its way: it comes after the network's delay.
    void put(int from, int to, bytes datagram) { on_their_way_.push_back({tick_after(now_), from, to, {datagram.begin(), datagram.end()}}); }

    /// Somebody has asked something of it.
    void touch(int id) noexcept { of(id).pump_at = std::min(of(id).pump_at, now_); }
    void maintain(int id) noexcept { of(id).maintain_at = now_; }

private:
    static constexpr nanoseconds never = nanoseconds::max();

    /// A broker's system: its machine's files, the world's time.
    class system final : public os::platform {
    public:
        system(member_world& world, int id) noexcept : world_{world}, id_{id} {}

        [[nodiscard]] std::unique_ptr<os::file> open(const std::string& path, os::open_mode mode, std::error_code& code) override { return files().open(path, mode, code); }
        [[nodiscard]] std::error_code rename_to_new(const std::string& from, const std::string& to) override { return files().rename_to_new(from, to); }
        [[nodiscard]] std::error_code rename_over(const std::string& from, const std::string& to) override { return files().rename_over(from, to); }
        [[nodiscard]] std::error_code remove(const std::string& path) override { return files().remove(path); }
        [[nodiscard]] std::error_code make_directory(const std::string& path) override { return files().make_directory(path); }
        [[nodiscard]] std::error_code remove_directory(const std::string& path) override { return files().remove_directory(path); }
        [[nodiscard]] std::error_code sync_directory(const std::string& path) override { return files().sync_directory(path); }
        [[nodiscard]] std::error_code list(const std::string& path, std::vector<os::directory_entry>& entries) override { return files().list(path, entries); }
        [[nodiscard]] std::unique_ptr<os::lock> lock_file(const std::string& path, std::error_code& code) override { return files().lock_file(path, code); }
        [[nodiscard]] std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) override { return files().disk_bytes(path, bytes); }
        [[nodiscard]] std::error_code free_bytes(const std::string& path, std::uint64_t& bytes) override { return files().free_bytes(path, bytes); }
        [[nodiscard]] os::filesystem filesystem_of(const std::string& path) override { return files().filesystem_of(path); }
        [[nodiscard]] timestamp now() noexcept override { return timestamp{nanoseconds{1'700'000'000'000'000'000} + world_.now_}; }
        /// A little passes with every look, so that who looks again and again sees it pass.
        [[nodiscard]] nanoseconds monotonic() noexcept override {
            world_.now_ += nanoseconds{40};
            return world_.time_of(world_.of(id_));
        }
        [[nodiscard]] std::uint64_t random() override { return files().random() ^ static_cast<std::uint64_t>(id_) << 40; }
        void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<nanoseconds> timeout) noexcept override {
            world_.wait(world_.of(id_), word, expected, timeout);
        }
        /// Upkeep may be wanted: nobody else tells.
        void wake_all(std::atomic<std::uint32_t>&) noexcept override {
            node& one = world_.of(id_);
            one.maintain_at = std::min(one.maintain_at, std::max(world_.now_, one.maintained + std::chrono::milliseconds{2}));
        }
        void yield() noexcept override {}
        [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override { return files().allocate_wiped_on_fork(size); }
        void release_wiped_on_fork(void* memory, std::size_t size) noexcept override { files().release_wiped_on_fork(memory, size); }

    private:
        [[nodiscard]] memory_platform& files() noexcept { return *world_.of(id_).files; }
        member_world& world_;
        const int id_;
    };

    class port final : public transport {
    public:
        port(member_world& world, int id) noexcept : world_{world}, id_{id} {}
        void start(receiver& to) override { to_ = &to; }
        void stop() noexcept override { to_ = nullptr; }
        void send(int to, bytes datagram) noexcept override {
            demand(to != id_ && datagram.size() <= largest_datagram(), "a broker sends what the network takes, and nothing to itself");
            if (to_ != nullptr && !world_.of(id_).is_dead && (!world_.asked_ || world_.asked_(id_, to, datagram))) {
                world_.put(id_, to, datagram);
            }
        }
        [[nodiscard]] std::size_t largest_datagram() const noexcept override { return 64 * 1024; }
        [[nodiscard]] receiver* told() const noexcept { return to_; }

    private:
        member_world& world_;
        const int id_;
        receiver* to_ = nullptr;
    };

    struct node {
        node(member_world& world, int number) : id{number}, platform{world, number} {}
        const int id;
        system platform;
        image files;
        std::shared_ptr<port> place;
        std::unique_ptr<brook::broker> broker;
        std::shared_ptr<broker_room::core> core;
        std::vector<std::string> told;
        bool is_dead = false;
        int inside = 0;  // the world is looking after it
        nanoseconds pump_at = never;
        nanoseconds maintain_at = never;
        nanoseconds maintained{};
    };

    struct is_inside {
        explicit is_inside(node& of) noexcept : one{of} { ++one.inside; }
        is_inside(const is_inside&) = delete;
        is_inside& operator=(const is_inside&) = delete;
        ~is_inside() { --one.inside; }
        node& one;
    };

    struct letter {
        nanoseconds due;
        int from;
        int to;
        std::vector<std::byte> raw;
    };

    [[nodiscard]] node& of(int id) noexcept { return *nodes_[static_cast<std::size_t>(id - 1)]; }
    [[nodiscard]] static nanoseconds tick_after(nanoseconds time) noexcept { return time > never / 2 ? time : (time / tick + 1) * tick; }
    [[nodiscard]] nanoseconds time_of(const node& one) const noexcept { return now_ + std::chrono::seconds{one.id}; }

    void go(node& one) {
        const is_inside here{one};
        if (on_parting_) {
            on_parting_(one.id);
        }
        one.core.reset();
        one.broker.reset();
        one.place.reset();
        one.pump_at = one.maintain_at = never;
    }

    [[nodiscard]] static bool is_awake(const node& one) noexcept { return one.broker != nullptr && !one.is_dead && one.inside == 0; }

    static void hand_over(node& to, int from, bytes datagram) {
        if (to.place->told() != nullptr) {
            const exact_copy whole{datagram};
            to.place->told()->receive(from, whole.view());
            to.pump_at = {};
        }
    }

    /// What happens next. False: it is `until`, and nothing has happened before.
    bool step(nanoseconds until) {
        nanoseconds next = until;
        for (const auto& one : nodes_) {
            if (is_awake(*one)) {
                next = std::min({next, one->pump_at, one->maintain_at});
            }
        }
        if (!on_their_way_.empty()) {
            next = std::min(next, on_their_way_.front().due);
        }
        now_ = std::max(now_, std::min(next, until));
        if (next >= until) {
            return false;
        }
        demand(++steps_ < most_steps, "what brokers do takes time");
        while (!on_their_way_.empty() && on_their_way_.front().due <= now_) {
            const letter one = std::move(on_their_way_.front());
            on_their_way_.pop_front();
            if (is_up(one.to) && !of(one.to).is_dead) {
                hand_over(of(one.to), one.from, one.raw);
            }
        }
        for (const auto& one : nodes_) {
            look_after(*one);
        }
        return true;
    }

    void look_after(node& one) {
        try {
            if (is_awake(one) && one.maintain_at <= now_) {
                const is_inside here{one};
                one.maintained = now_;
                one.maintain_at = now_ + election_timeout;
                one.pump_at = now_;
                if (!one.core->is_closed()) {  // it may be just closing, and wait for others
                    one.broker->maintain();
                }
            }
            if (is_awake(one) && one.pump_at <= now_) {
                const is_inside here{one};
                one.pump_at = never;
                const nanoseconds due = one.core->cluster()->pump();
                const nanoseconds left = due >= never / 2 ? never / 4 * 3 : due - time_of(one);
                one.pump_at = std::min(one.pump_at, left <= nanoseconds{0} ? now_ + nanoseconds{1'000} : tick_after(now_ + left));
            }
        } catch (const std::exception& why) {
            std::fprintf(stderr, "broker %d: %s\n", one.id, why.what());
            demand(false, "nothing is thrown at who looks after a broker");
        }
    }

    void wait(node& one, const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<nanoseconds> timeout) noexcept {
        if (one.is_dead) {
            now_ += std::chrono::milliseconds{1};
            return;
        }
        demand(one.inside == 0, "nobody waits while a broker is looked after");
        const nanoseconds longest = timeout ? std::clamp(*timeout, nanoseconds{1'000}, nanoseconds{std::chrono::minutes{1}}) : nanoseconds{std::chrono::minutes{1}};
        static_cast<void>(run_until([&] { return word.load() != expected; }, longest));
    }

    nanoseconds now_{};
    std::uint64_t steps_ = 0;
    std::vector<std::unique_ptr<node>> nodes_;
    std::deque<letter> on_their_way_;  // by when they are due: at the next tick
    watcher asked_;
    std::function<void(int)> on_parting_;
};

}  // namespace brook::fuzz
