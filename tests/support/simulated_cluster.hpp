/// \file support/simulated_cluster.hpp
/// Brokers of a cluster in one thread, each on a machine whose plug can be pulled, all in a time that passes when somebody waits.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include "support/failing_memory.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace brook::test {

class simulated_cluster;

namespace detail {

/// A broker's system: the files are its machine's, time and chance and sleep the world's.
class simulated_platform final : public os::platform {
public:
    simulated_platform(simulated_cluster& world, int node) noexcept : world_{world}, node_{node} {}

    /// The machine that is plugged in, to be replaced while nobody runs on it.
    void run_on(powerless_platform* machine) noexcept { machine_ = machine; }

    [[nodiscard]] std::unique_ptr<os::file> open(const std::string& path, os::open_mode mode, std::error_code& code) override {
        return machine_->open(path, mode, code);
    }
    [[nodiscard]] std::error_code rename_to_new(const std::string& from, const std::string& to) override { return machine_->rename_to_new(from, to); }
    [[nodiscard]] std::error_code rename_over(const std::string& from, const std::string& to) override { return machine_->rename_over(from, to); }
    [[nodiscard]] std::error_code remove(const std::string& path) override { return machine_->remove(path); }
    [[nodiscard]] std::error_code make_directory(const std::string& path) override { return machine_->make_directory(path); }
    [[nodiscard]] std::error_code remove_directory(const std::string& path) override { return machine_->remove_directory(path); }
    [[nodiscard]] std::error_code sync_directory(const std::string& path) override { return machine_->sync_directory(path); }
    /// By name: the machine's own order goes by what this process has seen before.
    [[nodiscard]] std::error_code list(const std::string& path, std::vector<os::directory_entry>& entries) override {
        const std::error_code code = machine_->list(path, entries);
        std::sort(entries.begin(), entries.end(), [](const auto& one, const auto& other) { return one.name < other.name; });
        return code;
    }
    [[nodiscard]] std::unique_ptr<os::lock> lock_file(const std::string& path, std::error_code& code) override { return machine_->lock_file(path, code); }
    [[nodiscard]] std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) override { return machine_->disk_bytes(path, bytes); }
    [[nodiscard]] std::error_code free_bytes(const std::string& path, std::uint64_t& bytes) override { return machine_->free_bytes(path, bytes); }
    [[nodiscard]] os::filesystem filesystem_of(const std::string& path) override { return machine_->filesystem_of(path); }
    [[nodiscard]] timestamp now() noexcept override;
    [[nodiscard]] std::chrono::nanoseconds monotonic() noexcept override;
    [[nodiscard]] std::uint64_t random() override;
    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<std::chrono::nanoseconds> timeout) noexcept override;
    void wake_all(std::atomic<std::uint32_t>& word) noexcept override;
    void yield() noexcept override {}
    [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override { return machine_->allocate_wiped_on_fork(size); }
    void release_wiped_on_fork(void* memory, std::size_t size) noexcept override { machine_->release_wiped_on_fork(memory, size); }

private:
    simulated_cluster& world_;
    const int node_;
    powerless_platform* machine_ = nullptr;
};

/// A place in the network that says nothing any more once its process is dead.
class simulated_transport final : public transport, private brook::transport::receiver {
public:
    /// `may_leave`: asked of each datagram before it goes.
    simulated_transport(std::shared_ptr<transport> real, std::function<void()> has_come, std::function<bool(int, bytes)> may_leave)
        : real_{std::move(real)}, has_come_{std::move(has_come)}, may_leave_{std::move(may_leave)} {}

    /// As if `from` had sent it.
    void bring(int from, bytes datagram) noexcept { receive(from, datagram); }

    void silence() noexcept { is_silent_ = true; }

    void start(transport::receiver& to) override {
        to_ = &to;
        real_->start(*this);
    }
    void stop() noexcept override { real_->stop(); }
    void send(int to, bytes datagram) noexcept override {
        if (!is_silent_ && may_leave_(to, datagram)) {
            real_->send(to, datagram);
        }
    }
    [[nodiscard]] std::size_t largest_datagram() const noexcept override { return real_->largest_datagram(); }

private:
    void receive(int from, bytes datagram) noexcept override {
        if (!is_silent_) {
            to_->receive(from, datagram);
            has_come_();
        }
    }

    std::shared_ptr<transport> real_;
    std::function<void()> has_come_;
    std::function<bool(int, bytes)> may_leave_;
    transport::receiver* to_ = nullptr;
    bool is_silent_ = false;
};

}  // namespace detail

/// What becomes of a broker's disk when the broker goes.
enum class parting : std::uint8_t {
    close,      ///< it says good-bye
    kill,       ///< the process dies, the page cache stays
    power,      ///< what was not synced may be gone
    disk,       ///< everything is gone
};

/// A cluster, its machines and its network, in one thread and a time of its own.
///
///     simulated_cluster world{{.seed = 7, .nodes = 3}};
///     for (int id = 1; id <= 3; ++id) { world.start(id); }
///     auto topic = world.broker(1).create_topic<std::uint64_t, std::string>("t", {.replication_factor = 3});
///     world.stop(2, parting::power);
///     world.run_for(1s);
///
/// Who waits, in any of the brokers, has time pass: everybody's datagrams come, everybody is looked after, events that were put in by `at`
/// happen, until what is waited for is there. So calls that wait return although there is one thread. Who waits while the world looks after
/// that very broker does so under a lock: that is a violation. In events, nothing that waits may be called.
///
/// A broker that is stopped inside of its own waiting call is dead to the world at once, and destroyed when that call has returned (with an error).
///
/// Threads   confined.
class simulated_cluster {
public:
    using nanoseconds = std::chrono::nanoseconds;

    struct options {
        std::uint64_t seed = 1;
        int nodes = 3;
        nanoseconds election_timeout = std::chrono::milliseconds{300};
        nanoseconds upkeep_interval = std::chrono::milliseconds{20};  ///< between two looks of a broker's owner at it
        nanoseconds largest_skew{};                                   ///< of clocks, both of them
        std::int64_t drift_ppm = 0;                                   ///< of the monotonic clocks, at most
        std::size_t largest_datagram = std::size_t{1} << 20;
    };

    explicit simulated_cluster(const options& given)
        : options_{given}, chance_{given.seed * 0x9e3779b97f4a7c15u + 1}, network_{{.seed = given.seed ^ 0x5bd1e995, .manual = true, .largest_datagram = given.largest_datagram}} {
        for (int id = 1; id <= options_.nodes; ++id) {
            nodes_.push_back(std::make_unique<node>(*this, id));
            node& made = *nodes_.back();
            const auto range = static_cast<std::uint64_t>(options_.largest_skew.count()) + 1;
            made.ahead = nanoseconds{std::chrono::seconds{1}} + nanoseconds{static_cast<std::int64_t>(chance_.below(range))};
            made.wall_ahead = nanoseconds{static_cast<std::int64_t>(chance_.below(range))};
            made.drift_ppm = options_.drift_ppm == 0 ? 0 : static_cast<std::int64_t>(chance_.below(static_cast<std::uint64_t>(2 * options_.drift_ppm + 1))) - options_.drift_ppm;
            made.disk = empty_disk();
        }
        network_.set_faults(calm());
    }
    simulated_cluster(const simulated_cluster&) = delete;
    simulated_cluster& operator=(const simulated_cluster&) = delete;
    ~simulated_cluster() {
        for (int id = 1; id <= options_.nodes; ++id) {
            if (is_up(id)) {
                stop(id, parting::kill);
            }
        }
    }

    // ---- time ----

    [[nodiscard]] nanoseconds now() const noexcept { return now_; }
    [[nodiscard]] std::uint64_t events() const noexcept { return steps_; }

    /// Not inside of a call that waits.
    void run_for(nanoseconds time) {
        const nanoseconds until = now_ + time;
        run([] { return false; }, until);
    }

    /// True when `is_there` became so, which is asked at every event.
    template <class Condition>
    bool run_until(const Condition& is_there, nanoseconds longest) {
        return run(is_there, now_ + longest);
    }

    void at(nanoseconds when, std::function<void()> what) {
        planned_.push_back({when < now_ ? now_ : when, next_event_++, std::move(what)});
        std::push_heap(planned_.begin(), planned_.end(), event::is_later);
    }
    void after(nanoseconds time, std::function<void()> what) { at(now_ + time, std::move(what)); }

    /// Chance of the world's own; what brokers draw comes from it as well.
    [[nodiscard]] seeded& chance() noexcept { return chance_; }

    // ---- brokers ----

    [[nodiscard]] int count() const noexcept { return options_.nodes; }
    [[nodiscard]] memory_network& network() noexcept { return network_; }

    [[nodiscard]] bool is_up(int id) const noexcept { return of(id).broker != nullptr && !of(id).is_dead; }
    [[nodiscard]] bool is_paused(int id) const noexcept { return of(id).is_paused; }
    /// It can be started: nothing of its last life is left.
    [[nodiscard]] bool is_down(int id) const noexcept { return of(id).broker == nullptr; }
    /// One of its users waits, further up the stack.
    [[nodiscard]] bool is_waiting(int id) const noexcept { return of(id).waiting > 0; }
    [[nodiscard]] brook::broker& broker(int id) { return *of(id).broker; }
    [[nodiscard]] broker_room::core& core(int id) { return *of(id).core; }
    [[nodiscard]] powerless_platform& machine(int id) { return *of(id).machine; }

    /// Called when a broker is about to be destroyed, or closed: its users let go of what they have of it.
    void on_parting(std::function<void(int)> told) { on_parting_ = std::move(told); }

    /// Asked of each datagram when a broker sends it, from whom, to whom; false: it is lost. Inside of it nothing may be called that waits.
    void on_sending(std::function<bool(int, int, bytes)> asked) { on_sending_ = std::move(asked); }

    /// As if `from` had sent it to `to`, and it comes now.
    void bring(int from, int to, bytes datagram) { of(to).transport->bring(from, datagram); }

    /// Of a broker that is down: what it finds when it starts.
    [[nodiscard]] disk_state& disk(int id) noexcept { return of(id).disk; }

    /// Errors    what opening the broker says.
    void start(int id) {
        node& one = of(id);
        one.machine = std::make_unique<powerless_platform>(std::move(one.disk));
        one.disk = disk_state{};
        one.machine->look_every(16);
        one.platform.run_on(one.machine.get());
        one.is_dead = false;
        one.transport = std::make_shared<detail::simulated_transport>(network_.join(id), [this, &one] { one.pump_at = std::min(one.pump_at, now_); },
                                                                    [this, id](int to, bytes datagram) { return !on_sending_ || on_sending_(id, to, datagram); });
        std::vector<int> all;
        for (int peer = 1; peer <= options_.nodes; ++peer) {
            all.push_back(peer);
        }
        const is_inside here{one};
        try {
            one.broker = std::make_unique<brook::broker>("/d/data", broker_options{.node_id = id, .peers = all, .transport = one.transport, .maintenance = maintenance::manual,
                                                                                   .election_timeout = options_.election_timeout, .platform = &one.platform});
        } catch (const std::exception&) {
            one.transport->silence();
            one.disk = one.machine->look();
            one.machine->unplug();
            throw;
        }
        one.core = brook::detail::access::core(*one.broker);
        one.pump_at = one.maintain_at = now_;
    }

    void stop(int id, parting how) {
        node& one = of(id);
        if (how == parting::close) {
            if (on_parting_) {
                on_parting_(id);
            }
            if (one.broker) {
                one.broker->close();
            }
        }
        one.transport->silence();
        one.disk = one.machine->look();
        if (const std::string misuse = one.machine->misuse(); !misuse.empty()) {
            violate("broker " + std::to_string(id) + ": " + misuse);
        }
        die(one, how);
    }

    /// At its k-th call of the system from now on that changes something, before that does anything.
    void stop_inside(int id, parting how, std::uint64_t k) {
        node& one = of(id);
        one.machine->on_call([&one, how, left = k](detail::machine& machine, const char*) mutable {
            if (left-- == 0) {
                machine.look();
                one.transport->silence();
                one.disk = machine.state();
                machine.is_unplugged = true;
                one.is_dead = true;
                one.parts = how;
                one.has_parted = true;
            }
        });
    }
    void forget_stop_inside(int id) { of(id).machine->on_call(nullptr); }

    void pause(int id) {
        of(id).is_paused = true;
        network_.pause(id);
    }
    void resume(int id) {
        of(id).is_paused = false;
        of(id).pump_at = std::min(of(id).pump_at, now_);
        network_.resume(id);
    }

    /// The k-th allocation fails that it makes from now on while it takes what has come and does what is due; 0: none does.
    void fail_allocation(int id, std::uint64_t k) noexcept { of(id).failing = k; }
    [[nodiscard]] bool has_failed_allocation(int id) const noexcept { return of(id).failing == 0; }

    void jump_wall(int id, nanoseconds by) noexcept { of(id).wall_ahead += by; }

    /// Somebody has asked something of it: it is looked after at once.
    void touch(int id) noexcept { of(id).pump_at = std::min(of(id).pump_at, now_); }

    /// A network without faults: some delay, and order.
    [[nodiscard]] static memory_network_faults calm() noexcept {
        memory_network_faults faults;
        faults.delay_min = std::chrono::microseconds{100};
        faults.delay_max = std::chrono::microseconds{600};
        return faults;
    }

    // ---- what must not be ----

    void violate(std::string what) {
        if (violations_.size() < 16) {
            violations_.push_back(std::move(what));
        }
    }
    [[nodiscard]] const std::vector<std::string>& violations() const noexcept { return violations_; }

    [[nodiscard]] static disk_state empty_disk() {
        powerless_platform empty{disk_state{}};
        if (empty.make_directory("/d") || empty.sync_directory("/")) {
            throw error{errc::invalid_config, "the simulated disk does not work"};
        }
        return empty.look();
    }

    /// One of the disks that a loss of power may leave; the more likely, the more extreme.
    [[nodiscard]] static disk_state lose_power(const disk_state& before, seeded& random) {
        const loss_of_power loss{before};
        crash_choice choice;
        const std::uint64_t much = random.below(5);
        for (const undecided& thing : loss.things()) {
            const bool arrives = random.below(4) < much;
            choice.options.push_back(!arrives ? std::uint16_t{0} : static_cast<std::uint16_t>(random.one_in(2) ? thing.options() - 1u : random.below(thing.options())));
        }
        if (random.one_in(3)) {
            choice.tear = random.next();
            choice.has_garbage = random.one_in(2);
        }
        return loss.decide(choice);
    }

private:
    friend class detail::simulated_platform;
    static constexpr nanoseconds never = nanoseconds::max();

    struct node {
        node(simulated_cluster& world, int number) : id{number}, platform{world, number} {}
        const int id;
        detail::simulated_platform platform;
        disk_state disk;  // while it is down
        std::unique_ptr<powerless_platform> machine;
        std::shared_ptr<detail::simulated_transport> transport;
        std::unique_ptr<brook::broker> broker;
        std::shared_ptr<broker_room::core> core;
        bool is_dead = false;  // and not destroyed as yet
        bool is_paused = false;
        bool has_parted = false;  // by stop_inside
        parting parts = parting::kill;
        int waiting = 0;
        std::uint64_t failing = 0;
        int inside = 0;  // the world is looking after it
        nanoseconds pump_at = never;
        nanoseconds maintain_at = never;
        nanoseconds maintained{};
        nanoseconds ahead{};
        nanoseconds wall_ahead{};
        std::int64_t drift_ppm = 0;
        std::int64_t looks_when_dead = 0;  // at the time
    };

    struct is_inside {
        explicit is_inside(node& of) noexcept : one{of} { ++one.inside; }
        is_inside(const is_inside&) = delete;
        is_inside& operator=(const is_inside&) = delete;
        ~is_inside() { --one.inside; }
        node& one;
    };

    struct counted_back {
        node& one;
        ~counted_back() { one.failing = allocations_left; }
    };

    struct event {
        nanoseconds when;
        std::uint64_t number;
        std::function<void()> what;
        [[nodiscard]] static bool is_later(const event& one, const event& other) noexcept { return one.when != other.when ? one.when > other.when : one.number > other.number; }
    };

    [[nodiscard]] node& of(int id) noexcept { return *nodes_[static_cast<std::size_t>(id - 1)]; }
    [[nodiscard]] const node& of(int id) const noexcept { return *nodes_[static_cast<std::size_t>(id - 1)]; }

    void die(node& one, parting how) {
        switch (how) {
            case parting::close:
            case parting::kill: break;
            case parting::power: one.disk = lose_power(one.disk, chance_); break;
            case parting::disk: one.disk = empty_disk(); break;
        }
        one.machine->unplug();
        one.is_dead = true;
        bury(one);
    }

    void bury(node& one) {
        if (!one.is_dead || one.broker == nullptr || one.waiting > 0 || one.inside > 0) {
            return;
        }
        if (std::exchange(one.has_parted, false)) {
            die(one, one.parts);
            return;
        }
        const is_inside here{one};
        one.broker->close();
        if (on_parting_) {
            on_parting_(one.id);
        }
        one.broker.reset();
        one.core.reset();
        one.pump_at = one.maintain_at = never;
        one.looks_when_dead = 0;
    }

    // ---- time ----

    [[nodiscard]] nanoseconds time_at(const node& one) const noexcept {
        // Who is dead and still in a call finds every deadline over, also one that it sets now.
        return one.is_dead ? nanoseconds{std::numeric_limits<std::int64_t>::max() / 4} + std::chrono::minutes{one.looks_when_dead} : one.ahead + now_ + now_ / 1'000'000 * one.drift_ppm;
    }
    /// When it is so late for that broker.
    [[nodiscard]] nanoseconds when(const node& one, nanoseconds its_time) const noexcept {
        if (its_time >= never / 4) {
            return never;
        }
        const nanoseconds left = its_time - time_at(one);
        return now_ + (left.count() <= 0 ? nanoseconds{0} : left - left / 1'000'000 * one.drift_ppm + nanoseconds{1'000});
    }

    template <class Condition>
    bool run(const Condition& is_there, nanoseconds until) {
        while (!is_there()) {
            if (!step(until)) {
                return is_there();
            }
        }
        return true;
    }

    /// What happens next. False: it is `until`, and nothing has happened before.
    bool step(nanoseconds until) {
        nanoseconds next = until;
        for (const auto& one : nodes_) {
            bury(*one);
            if (is_awake(*one)) {
                next = std::min({next, one->pump_at, one->maintain_at});
            }
        }
        if (const auto due = network_.next_due()) {
            next = std::min(next, *due);
        }
        if (!planned_.empty()) {
            next = std::min(next, planned_.front().when);
        }
        if (next >= until) {
            pass_to(until);
            return false;
        }
        pass_to(next);
        ++steps_;
        network_.deliver(now_);
        while (!planned_.empty() && planned_.front().when <= now_) {
            std::pop_heap(planned_.begin(), planned_.end(), event::is_later);
            const auto what = std::move(planned_.back().what);
            planned_.pop_back();
            what();
        }
        const std::size_t first = static_cast<std::size_t>(chance_.below(nodes_.size()));
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            look_after(*nodes_[(first + i) % nodes_.size()]);
        }
        return true;
    }

    [[nodiscard]] static bool is_awake(const node& one) noexcept { return one.broker != nullptr && !one.is_dead && !one.is_paused && one.inside == 0; }

    void look_after(node& one) {
        try {
            if (is_awake(one) && one.maintain_at <= now_) {
                const is_inside here{one};
                one.maintained = now_;
                one.maintain_at = now_ + options_.upkeep_interval;
                one.pump_at = std::min(one.pump_at, now_);
                one.broker->maintain();
            }
            if (is_awake(one) && one.pump_at <= now_) {
                const is_inside here{one};
                one.pump_at = never;
                nanoseconds next = never;
                broker_room::cluster& member = *one.core->cluster();
                if (one.failing == 0) {
                    next = member.pump();
                } else {
                    try {
                        const failing_memory armed{one.failing};
                        const counted_back back{one};
                        next = member.pump();
                    } catch (const std::bad_alloc&) {
                        next = time_at(one) + std::chrono::milliseconds{1};  // as the thread does that a broker has else
                    }
                }
                one.pump_at = std::min(one.pump_at, when(one, next));
            }
        } catch (const std::exception& why) {
            if (!one.is_dead) {
                violate("broker " + std::to_string(one.id) + " throws while it is looked after: " + why.what());
            }
        }
    }

    void pass_to(nanoseconds time) {
        now_ = std::max(now_, time);
        network_.set_time(now_);
    }

    void wait(node& one, const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<nanoseconds> timeout) noexcept {
        if (one.is_dead) {
            return;
        }
        if (one.inside > 0) {
            violate("broker " + std::to_string(one.id) + " waits while it is looked after");
            now_ += std::chrono::milliseconds{1};
            return;
        }
        ++one.waiting;
        try {
            const nanoseconds longest = timeout ? std::max(*timeout, nanoseconds{0}) : std::chrono::hours{1};
            const nanoseconds until = longest < std::chrono::hours{1} ? now_ + longest : now_ + std::chrono::hours{1};
            do {
                run([&] { return one.is_dead || (!one.is_paused && word.load() != expected); }, std::max(until, now_ + std::chrono::microseconds{1}));
            } while (one.is_paused && !one.is_dead);
        } catch (const std::exception& why) {
            violate(std::string{"while somebody waits: "} + why.what());
        }
        --one.waiting;
    }

    const options options_;
    seeded chance_;
    memory_network network_;
    nanoseconds now_{0};
    std::uint64_t steps_ = 0;
    std::vector<std::unique_ptr<node>> nodes_;
    std::vector<event> planned_;  // a heap
    std::uint64_t next_event_ = 0;
    std::function<void(int)> on_parting_;
    std::function<bool(int, int, bytes)> on_sending_;
    std::vector<std::string> violations_;
};

namespace detail {

inline timestamp simulated_platform::now() noexcept {
    return timestamp{std::chrono::nanoseconds{1'700'000'000'000'000'000} + world_.now_ + world_.of(node_).wall_ahead};
}
/// A little passes with every look, so that who looks again and again sees it pass.
inline std::chrono::nanoseconds simulated_platform::monotonic() noexcept {
    world_.now_ += std::chrono::nanoseconds{40};
    simulated_cluster::node& own = world_.of(node_);
    own.looks_when_dead += own.is_dead && own.looks_when_dead < 10'000'000 ? 1 : 0;
    return world_.time_at(own);
}
inline std::uint64_t simulated_platform::random() { return world_.chance_.next(); }
inline void simulated_platform::wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<std::chrono::nanoseconds> timeout) noexcept {
    world_.wait(world_.of(node_), word, expected, timeout);
}
/// Upkeep may be wanted: nobody else tells.
inline void simulated_platform::wake_all(std::atomic<std::uint32_t>&) noexcept {
    auto& one = world_.of(node_);
    one.maintain_at = std::min(one.maintain_at, std::max(world_.now_, one.maintained + std::chrono::milliseconds{2}));
}

}  // namespace detail

}  // namespace brook::test
