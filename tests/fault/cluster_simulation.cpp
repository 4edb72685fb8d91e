// T11, one floor up: does a cluster of real brokers keep its promises, whatever befalls its network, its disks and its processes?
//
// Brokers, logs, ballots, producers and consumers, as users have them, run in one thread and in a time of its own, on disks and a network that
// are memory (support/simulated_cluster.hpp). A seed draws the cluster, its topics, and which faults there are; one seed is one run.
//
// What is held against it: what was acknowledged with acks::all is read on every broker, at the offset that was told, once, and in the order of
// its producer's sends; an offset has one value, on all brokers and at all times; what was refused for sure is never read; brokers agree on
// topics; an epoch has one leader; once the faults end all of it comes to rest in bounded time, and takes new records. Where all brokers lose
// power at once, a topic with flush_messages 1 loses nothing, another one an end that health() tells of, and then all have one history. What a
// group has committed does not go back, whoever coordinates and goes, and is what all brokers are told.
//
// Not in it: members that share out partitions, retention, compaction, rot, voters that change, and reads of what was given up by an operator.
//
// usage: brook_fault cluster_simulation [--seeds N] [--first S] [--seconds BUDGET] [--verbose]
//        By default it runs for BROOK_FAULT_SECONDS, or 20 s, from seed 1 on.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include "fault/program.hpp"
#include "support/simulated_cluster.hpp"

namespace fault_cluster_simulation {

namespace {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using real_clock = std::chrono::steady_clock;
using test_topic = topic<std::uint64_t, std::string>;
using test_producer = producer<std::uint64_t, std::string>;
using test_consumer = consumer<std::uint64_t, std::string>;

enum class fault : std::uint8_t { cut, one_way, isolate, rates, kill, kill_inside, power, power_inside, disk, pause, restart, create, remove, transfer, wall, sync, count };
constexpr std::array<const char*, static_cast<std::size_t>(fault::count)> fault_names{
    "cuts", "one-way cuts", "isolations", "rates", "kills", "kills inside a call", "losses of power", "losses of power inside a call", "losses of a disk", "pauses", "restarts",
    "topics made", "topics deleted", "transfers", "jumps of the wall clock", "failed syncs"};

struct figures {
    std::uint64_t runs = 0;
    std::uint64_t events = 0;
    double virtual_seconds = 0;
    std::array<std::uint64_t, static_cast<std::size_t>(fault::count)> faults{};
    std::uint64_t all_power = 0;
    std::uint64_t sent = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t refused = 0;
    std::uint64_t unknown = 0;
    std::uint64_t read = 0;
    std::uint64_t lost_told = 0;
    std::uint64_t commits = 0;          ///< of groups, acknowledged
    std::uint64_t commits_unknown = 0;
    std::uint64_t commits_read = 0;
    std::uint64_t leader_changes = 0;
    std::uint64_t datagrams = 0;
    std::uint64_t violations = 0;
    double slowest_rest = 0;  ///< virtual seconds until everything was at rest
};

/// What one run is like.
struct plan {
    explicit plan(std::uint64_t seed) : random{seed * 0x9e3779b97f4a7c15u ^ 0xc1a57e5} {
        nodes = random.one_in(3) ? 5 : 3;
        constexpr std::array<int, 4> timeouts{100, 200, 300, 1000};
        election_timeout = std::chrono::milliseconds{timeouts[random.below(timeouts.size())]};
        skew = random.one_in(2) ? nanoseconds{0} : nanoseconds{std::chrono::seconds{1 + random.below(100)}};
        drift_ppm = random.one_in(2) ? 0 : 20'000;
        length = std::chrono::milliseconds{2'000 + random.below(10'000)};
        for (std::size_t i = 0; i < rates.size(); ++i) {
            constexpr std::array<int, 4> pauses{300, 1'000, 3'000, 6'000};
            rates[i] = random.one_in(2) ? nanoseconds{0} : nanoseconds{std::chrono::milliseconds{pauses[random.below(pauses.size())]}};
        }
        loses_all_power = random.one_in(4);
        has_groups = random.one_in(2);
        send_pause = std::chrono::milliseconds{1 + random.below(40)};
    }
    seeded random;
    int nodes;
    nanoseconds election_timeout;
    nanoseconds skew;
    std::int64_t drift_ppm;
    nanoseconds length;
    std::array<nanoseconds, static_cast<std::size_t>(fault::count)> rates;  ///< 0: never
    bool loses_all_power;
    bool has_groups;
    nanoseconds send_pause;
};

struct partition_truth {
    std::map<offset, std::uint64_t> history;      ///< what was read, by anybody
    std::map<offset, std::uint64_t> before;       ///< until all brokers lost their power
    std::unordered_map<std::uint64_t, offset> where;
    std::vector<std::int32_t> replicas;
    std::size_t needed = 1;                       ///< replicas that have what is acknowledged
    std::map<int, offset> impaired;               ///< brokers that may lack what others rely on, until they have come so far
    offset told_end = 0;                          ///< behind what was acknowledged or read
    std::map<std::uint32_t, int> leaders;
    bool is_unsettled = false;                    ///< all have lost their power: some show more than will be left
    bool is_lawless = false;                      ///< its only replica has lost what it had
};

struct topic_truth {
    std::string name;
    std::string id;
    std::int64_t flush_messages = 0;
    std::vector<partition_truth> partitions;
    bool is_metadata = false;
};

/// What a group has committed for a partition: one register, written and read by one at a time.
struct commit_truth {
    std::shared_ptr<topic_truth> of;
    offset acknowledged = 0;  ///< it has as much at least: nothing that was acknowledged or read goes back
    offset attempted = 0;     ///< and no more than that
};

enum class fate : std::uint8_t { flying, acknowledged, led, refused, unknown };

struct sent_record {
    std::uint64_t key = 0;
    topic_truth* of = nullptr;
    std::int32_t partition = 0;
    fate what = fate::flying;
    offset at = -1;
    std::uint32_t age = 0;
    std::size_t epochs = 0;  ///< of which leaders were known when it was told
    std::string why{};
};

[[nodiscard]] std::string value_of(std::uint64_t key) {
    seeded random{key};
    const std::uint64_t size = random.one_in(12) ? 300 + random.below(900) : random.below(80);
    std::string value(static_cast<std::size_t>(size), 'a');
    for (char& letter : value) {
        letter = static_cast<char>('a' + random.below(26));
    }
    return value;
}

class run {
public:
    run(std::uint64_t seed, figures& sums, bool is_verbose)
        : seed_{seed}, plan_{seed}, figures_{sums}, is_verbose_{is_verbose},
          world_{{.seed = seed, .nodes = plan_.nodes, .election_timeout = plan_.election_timeout, .largest_skew = plan_.skew, .drift_ppm = plan_.drift_ppm}},
          users_(static_cast<std::size_t>(plan_.nodes)) {}

    bool play() {
        try {
            live();
        } catch (const std::exception& why) {
            world_.violate(std::string{"thrown: "} + why.what());
        }
        world_.on_parting(nullptr);
        for (auto& one : users_) {
            one = {};
        }
        ++figures_.runs;
        figures_.events += world_.events();
        figures_.datagrams += world_.network().statistics().sent;
        figures_.virtual_seconds += seconds(world_.now());
        figures_.violations += world_.violations().size();
        for (const std::string& what : world_.violations()) {
            std::printf("BAD  seed %llu: %s\n", static_cast<unsigned long long>(seed_), what.c_str());
        }
        return world_.violations().empty();
    }

private:
    struct writer {
        std::shared_ptr<topic_truth> of;
        std::uint64_t id = 0;
        std::uint64_t next = 0;
        bool is_all = true;
        std::vector<std::deque<std::uint64_t>> flying;
        std::unique_ptr<test_producer> producer;
    };
    struct reader {
        std::shared_ptr<topic_truth> of;
        std::unique_ptr<test_topic> topic;
        std::unique_ptr<test_consumer> consumer;
        std::vector<offset> next;
    };
    struct user {
        std::vector<std::shared_ptr<writer>> writers;
        std::vector<std::unique_ptr<reader>> readers;
        std::uint32_t life = 0;
    };

    [[nodiscard]] static double seconds(nanoseconds time) { return static_cast<double>(time.count()) / 1e9; }
    [[nodiscard]] seeded& random() noexcept { return plan_.random; }
    [[nodiscard]] int any_node() noexcept { return 1 + static_cast<int>(random().below(static_cast<std::uint64_t>(plan_.nodes))); }
    [[nodiscard]] user& user_of(int node) noexcept { return users_[static_cast<std::size_t>(node - 1)]; }

    template <class... Args>
    void tell(const char* format, Args... args) {
        if (is_verbose_) {
            std::printf("%9.4f  ", seconds(world_.now()));
            std::printf(format, args...);
            std::printf("\n");
        }
    }

    // ---- the course of it ----

    void live() {
        metadata_.name = "__cluster_metadata";
        metadata_.is_metadata = true;
        metadata_.flush_messages = 1;
        metadata_.partitions.resize(1);
        for (int id = 1; id <= plan_.nodes; ++id) {
            metadata_.partitions[0].replicas.push_back(id);
        }
        metadata_.partitions[0].needed = static_cast<std::size_t>(plan_.nodes / 2 + 1);
        world_.on_parting([this](int id) { part(id); });
        for (int id = 1; id <= plan_.nodes; ++id) {
            start(id);
        }
        create(any_node());
        for (std::uint64_t left = random().below(3); left > 0; --left) {
            wanted_.push_back({fault::create, any_node()});
        }
        world_.after(0ms, [this] { work(); });
        world_.after(50ms, [this] { watch(); });
        for (std::size_t i = 0; i < plan_.rates.size(); ++i) {
            plan_fault(static_cast<fault>(i));
        }
        const nanoseconds end = world_.now() + plan_.length;
        world_.at(end, [this] { has_faults_ = false; });  // also where somebody waits for what cannot be had
        while (world_.now() < end && world_.violations().empty()) {
            world_.run_for(std::min<nanoseconds>(10ms, end - world_.now()));
            while (!wanted_.empty()) {
                const auto [what, node] = wanted_.front();
                wanted_.pop_front();
                if (world_.is_up(node)) {
                    what == fault::create ? create(node) : remove(node);
                }
            }
            if (plan_.has_groups && random().one_in(6)) {
                commit(any_node(), random().one_in(3));
            }
        }
        has_faults_ = false;
        if (plan_.loses_all_power && world_.violations().empty()) {
            lose_all_power();
        }
        rest();
    }

    void plan_fault(fault which) {
        const nanoseconds mean = plan_.rates[static_cast<std::size_t>(which)];
        if (mean.count() == 0) {
            return;
        }
        world_.after(nanoseconds{static_cast<std::int64_t>(random().below(static_cast<std::uint64_t>(2 * mean.count())))}, [this, which] {
            if (has_faults_) {
                befall(which);
                plan_fault(which);
            }
        });
    }

    [[nodiscard]] nanoseconds a_while() {
        const auto timeout = static_cast<std::uint64_t>(plan_.election_timeout.count());
        return nanoseconds{static_cast<std::int64_t>(random().below(random().one_in(3) ? timeout / 4 : timeout * 5))};
    }

    void befall(fault which) {
        const int node = any_node();
        const int other = any_node();
        bool has_happened = true;
        switch (which) {
            case fault::cut:
            case fault::one_way:
                if (has_happened = node != other; has_happened) {
                    which == fault::cut ? world_.network().cut(node, other) : world_.network().cut_one_way(node, other);
                    world_.after(a_while(), [this, node, other] { world_.network().heal(node, other); });
                }
                break;
            case fault::isolate:
                world_.network().isolate(node);
                world_.after(a_while(), [this, node] {
                    if (!world_.is_paused(node)) {
                        world_.network().heal(node);
                    }
                });
                break;
            case fault::rates: set_rates(); break;
            case fault::kill: has_happened = stop(node, parting::kill); break;
            case fault::power: has_happened = stop(node, parting::power); break;
            case fault::disk: has_happened = stop(node, parting::disk); break;
            case fault::restart: has_happened = stop(node, parting::close); break;
            case fault::kill_inside: has_happened = stop_inside(node, parting::kill); break;
            case fault::power_inside: has_happened = stop_inside(node, parting::power); break;
            case fault::pause:
                if (has_happened = world_.is_up(node) && !world_.is_paused(node); has_happened) {
                    world_.pause(node);
                    world_.after(a_while(), [this, node] { world_.resume(node); });
                }
                break;
            case fault::create:
            case fault::remove: wanted_.push_back({which, node}); return;  // counted when it is done
            case fault::transfer: has_happened = transfer(node, other); break;
            case fault::wall: world_.jump_wall(node, std::chrono::seconds{static_cast<std::int64_t>(random().below(7'200)) - 3'600}); break;
            case fault::sync:
                if (has_happened = world_.is_up(node) && !sick_.contains(node) && sick_.size() + 1 <= static_cast<std::size_t>(plan_.nodes / 2); has_happened) {
                    sick_.insert(node);
                    world_.machine(node).fail_sync(1 + random().below(20));
                    world_.after(a_while() * 2, [this, node] { static_cast<void>(sick_.contains(node) && stop(node, parting::kill)); });  // somebody has seen to the disk
                }
                break;
            case fault::count: break;
        }
        if (has_happened) {
            ++figures_.faults[static_cast<std::size_t>(which)];
            tell("%s: broker %d (%d)", fault_names[static_cast<std::size_t>(which)], node, other);
        }
    }

    void set_rates() {
        memory_network_faults faults = simulated_cluster::calm();
        constexpr std::array<double, 4> shares{0, 0.01, 0.05, 0.2};
        faults.drop = shares[random().below(4)];
        faults.duplicate = shares[random().below(4)];
        faults.reorder = shares[random().below(4)];
        faults.corrupt = shares[random().below(3)];
        faults.reorder_within = plan_.election_timeout / (1 + static_cast<std::int64_t>(random().below(10)));
        if (random().one_in(3)) {
            faults.delay_max = plan_.election_timeout / (1 + static_cast<std::int64_t>(random().below(8)));
        }
        world_.network().set_faults(faults);
        world_.after(a_while() * 2, [this] { world_.network().set_faults(simulated_cluster::calm()); });
    }

    // ---- brokers come and go ----

    void start(int id) {
        if (!world_.is_down(id)) {
            return;
        }
        sick_.erase(id);
        try {
            world_.start(id);
            ++user_of(id).life;
            tell("broker %d starts", id);
        } catch (const error& why) {
            world_.violate("broker " + std::to_string(id) + " does not open: " + why.what());
        }
    }

    void start_later(int id) {
        world_.after(a_while(), [this, id] {
            if (has_faults_ && !world_.is_up(id)) {
                world_.is_down(id) ? start(id) : start_later(id);
            }
        });
    }

    [[nodiscard]] static bool loses(const topic_truth& of, parting how) { return how == parting::disk || (how == parting::power && of.flush_messages != 1); }

    /// Every partition of which this broker is a replica, and may lose something of.
    template <class Visit>
    void for_each_losing(int id, parting how, const Visit& visit) {
        const auto look = [&](topic_truth& of) {
            for (partition_truth& one : of.partitions) {
                if (loses(of, how) && std::find(one.replicas.begin(), one.replicas.end(), id) != one.replicas.end()) {
                    visit(one);
                }
            }
        };
        look(metadata_);
        look(offsets_);
        for (auto& [key, of] : topics_) {
            look(*of);
        }
    }

    /// Of what is acknowledged one replica at least has to keep it.
    [[nodiscard]] bool may_lose(int id, parting how) {
        if (how == parting::disk && (creating_ > 0 || offsets_.partitions.empty())) {
            return false;  // of a topic that is being made nothing is known here as yet
        }
        bool may = true;
        for_each_losing(id, how, [&](const partition_truth& one) {
            const std::size_t count = one.impaired.size() + (one.impaired.contains(id) ? 0u : 1u);
            may = may && (one.needed == 1 || count < one.needed);
        });
        return may;
    }
    void impair(int id, parting how) {
        for_each_losing(id, how, [&](partition_truth& one) {
            one.is_lawless = one.is_lawless || one.needed == 1;
            one.impaired[id] = std::max(one.impaired[id], one.told_end);
        });
    }

    [[nodiscard]] bool stop(int id, parting how) {
        if (!world_.is_up(id) || world_.is_paused(id) || armed_.contains(id) || !may_lose(id, how)) {
            return false;
        }
        watch_states();
        impair(id, how);
        world_.stop(id, how);
        start_later(id);
        return true;
    }

    [[nodiscard]] bool stop_inside(int id, parting how) {
        if (!world_.is_up(id) || world_.is_paused(id) || armed_.contains(id) || !may_lose(id, how)) {
            return false;
        }
        watch_states();
        impair(id, how);
        armed_[id] = how;
        world_.stop_inside(id, how, random().below(60));
        return true;
    }

    /// A broker goes: its users go with it, or before.
    void part(int id) {
        if (const auto armed = armed_.find(id); armed != armed_.end()) {
            impair(id, armed->second);
            armed_.erase(armed);
            start_later(id);
        }
        look_at_health(id);
        user gone = std::move(user_of(id));
        user_of(id) = {};
        user_of(id).life = gone.life;
        gone.readers.clear();
        for (const auto& one : gone.writers) {
            one->producer.reset();
            for (const auto& left : one->flying) {
                if (!left.empty()) {
                    world_.violate("a producer is gone, and of " + std::to_string(left.size()) + " records nobody was told what became of them");
                }
            }
        }
    }

    void look_at_health(int id) {
        if (!world_.is_down(id)) {
            for (const failure& why : world_.core(id).health().errors) {
                note_health(id, why);
            }
        }
    }
    void note_health(int id, const failure& why) {
        has_told_of_loss_ = has_told_of_loss_ || why.text.find("may all have lost") != std::string::npos;
        if (why.text.find("this replica has stopped") != std::string::npos || (why.code == errc::partition_failed && why.text.find("leads in epoch") == std::string::npos && why.text.find("are cut") == std::string::npos && !armed_.contains(id) && !sick_.contains(id) && world_.is_up(id))) {
            world_.violate("broker " + std::to_string(id) + ": " + why.text);
        }
        if (is_verbose_ && told_health_.insert(std::to_string(id) + why.text).second) {
            tell("health of broker %d: %s", id, why.text.c_str());
        }
    }

    void lose_all_power() {
        tell("all brokers lose their power%s", "");
        ++figures_.all_power;
        watch_states();
        for (int id = 1; id <= plan_.nodes; ++id) {
            armed_.erase(id);
            if (world_.is_up(id)) {
                world_.forget_stop_inside(id);
                world_.stop(id, parting::power);
            }
        }
        ++age_;
        committed_ = {};
        for (auto& [key, of] : topics_) {
            if (of->flush_messages != 1) {
                for (partition_truth& one : of->partitions) {
                    one.before = std::exchange(one.history, {});
                    one.told_end = 0;
                    one.is_unsettled = true;
                }
            }
        }
    }

    bool transfer(int node, int to) {
        if (!world_.is_up(node)) {
            return false;
        }
        for (auto& one : user_of(node).readers) {
            for (const partition& each : one->topic->partitions()) {
                try {
                    if (each.replication().is_leader && node != to) {
                        each.transfer_leadership(to);
                        world_.touch(node);
                        return true;
                    }
                } catch (const error&) {
                    // It is no replica, does not follow, or the topic is being deleted.
                }
            }
        }
        return false;
    }

    // ---- topics ----

    void create(int node) {
        topic_options options;
        options.partitions = 1 + static_cast<std::int32_t>(random().below(3));
        options.replication_factor = random().one_in(4) ? 1 + static_cast<std::int32_t>(random().below(static_cast<std::uint64_t>(plan_.nodes))) : plan_.nodes == 3 || random().one_in(2) ? 3 : 5;
        options.min_insync_replicas = random().one_in(2) ? 1 : 1 + static_cast<std::int32_t>(random().below(static_cast<std::uint64_t>(*options.replication_factor)));
        constexpr std::array<std::int64_t, 4> sizes{4 * kib, 8 * kib, 16 * kib, 64 * kib};
        options.segment_bytes = sizes[random().below(sizes.size())];
        if (random().one_in(2)) {
            options.flush_messages = 1;
        }
        if (random().one_in(4)) {
            options.message_timestamp_type = timestamp_type::append_time;
        }
        const bool is_old_name = random().one_in(3) && !deleted_names_.empty();
        const std::string name = is_old_name ? *std::next(deleted_names_.begin(), static_cast<std::ptrdiff_t>(random().below(deleted_names_.size()))) : "t" + std::to_string(++topic_count_);
        ++creating_;
        deleted_names_.erase(name);
        const std::uint32_t life = user_of(node).life;
        try {
            const test_topic made = world_.broker(node).create_topic<std::uint64_t, std::string>(name, options);
            if (world_.is_up(node) && user_of(node).life == life) {
                learn(made);
                there_.insert(name);
                maybe_.erase(name);
            } else {
                maybe_.insert(name);
            }
            ++figures_.faults[static_cast<std::size_t>(fault::create)];
            tell("topic %s is made by broker %d: %d partitions, %d replicas, %d in sync, flush %d", name.c_str(), node, *options.partitions, *options.replication_factor,
                 *options.min_insync_replicas, static_cast<int>(options.flush_messages.value_or(0)));
        } catch (const error& why) {
            maybe_.insert(name);
            tell("topic %s is not made by broker %d: %s", name.c_str(), node, why.what());
            if (why.code() != errc::timed_out && why.code() != errc::closed && why.code() != errc::not_leader_or_follower && world_.is_up(node) && !is_old_name && user_of(node).life == life) {
                world_.violate("topic " + name + " is not made by broker " + std::to_string(node) + ": " + why.what());
            }
        }
        --creating_;
    }

    void remove(int node) {
        if (there_.size() < 2) {
            return;
        }
        const std::string name = *std::next(there_.begin(), static_cast<std::ptrdiff_t>(random().below(there_.size())));
        there_.erase(name);
        maybe_.insert(name);
        const std::uint32_t life = user_of(node).life;
        try {
            world_.broker(node).delete_topic(name);
            if (world_.is_up(node) && user_of(node).life == life) {
                maybe_.erase(name);
                deleted_names_.insert(name);
            }
            ++figures_.faults[static_cast<std::size_t>(fault::remove)];
            tell("topic %s is deleted by broker %d", name.c_str(), node);
        } catch (const error& why) {
            tell("topic %s is not deleted by broker %d: %s", name.c_str(), node, why.what());
        }
    }

    std::shared_ptr<topic_truth> learn(const test_topic& made) {
        const auto& state = *brook::detail::access::engine(made).state();
        const std::string id{as_text(bytes{state.meta.id})};
        auto& found = topics_[id];
        if (!found) {
            found = std::make_shared<topic_truth>();
            found->name = made.name();
            found->id = id;
            found->flush_messages = state.meta.log.flush_messages;
            found->partitions.resize(static_cast<std::size_t>(made.partition_count()));
            for (std::size_t i = 0; i < found->partitions.size(); ++i) {
                partition_truth& one = found->partitions[i];
                one.replicas = state.meta.replicas[i];
                one.needed = std::max(one.replicas.size() / 2 + 1, static_cast<std::size_t>(state.meta.min_insync_replicas));
            }
        }
        return found;
    }

    // ---- groups ----

    /// One of a group commits, or asks what is committed; whoever coordinates may go meanwhile.
    void commit(int node, bool is_question) {
        if (!world_.is_up(node) || world_.is_paused(node) || offsets_.partitions.empty()) {
            return;
        }
        const auto& readers = user_of(node).readers;
        const auto which = std::find_if(readers.begin(), readers.end(), [&](const auto& one) {
            return one->of->partitions[0].needed > 1 && (committed_.of == nullptr || one->of == committed_.of || !there_.contains(committed_.of->name));
        });
        if (which == readers.end()) {
            return;
        }
        if (committed_.of != (*which)->of) {
            committed_ = {(*which)->of, 0, 0};
        }
        try {
            const test_topic topic = *(*which)->topic;
            test_consumer by{topic, {.group_id = "group"}};
            by.assign({topic.partition(0)});
            const offset end = topic.partition(0).log_end_offset();
            if (is_question || end <= committed_.attempted) {
                ask_what_is_committed(node, by, topic);
                return;
            }
            committed_.attempted = committed_.attempted + 1 + static_cast<offset>(random().below(static_cast<std::uint64_t>(end - committed_.attempted)));
            const std::shared_ptr<topic_truth> of = committed_.of;
            const offset next = committed_.attempted;
            ++figures_.commits_unknown;
            by.commit(topic.partition(0), next);
            if (world_.is_up(node) && committed_.of == of) {
                committed_.acknowledged = next;
                --figures_.commits_unknown;
                ++figures_.commits;
                tell("broker %d commits %lld", node, static_cast<long long>(next));
            }
        } catch (const error& why) {
            tell("broker %d does not commit: %s", node, why.what());
        }
    }

    void ask_what_is_committed(int node, const test_consumer& by, const test_topic& topic) {
        const std::shared_ptr<topic_truth> of = committed_.of;
        const offset found = by.committed(topic.partition(0)).value_or(0);
        if (!world_.is_up(node) || committed_.of != of || !there_.contains(of->name)) {
            return;
        }
        ++figures_.commits_read;
        if (found < committed_.acknowledged || found > committed_.attempted) {
            world_.violate("broker " + std::to_string(node) + " is told that " + std::to_string(found) + " is committed for " + of->name + ", of which " +
                           std::to_string(committed_.acknowledged) + " was acknowledged or told before, and " + std::to_string(committed_.attempted) + " tried last");
        }
        committed_.acknowledged = std::max(committed_.acknowledged, found);
    }

    /// Everybody is told the same once all is at rest.
    void judge_commits() {
        if (!plan_.has_groups || committed_.of == nullptr || !there_.contains(committed_.of->name)) {
            return;
        }
        for (int id = 1; id <= plan_.nodes; ++id) {
            for (const auto& one : user_of(id).readers) {
                if (one->of == committed_.of) {
                    const test_topic topic = *one->topic;
                    try {
                        test_consumer by{topic, {.group_id = "group"}};
                        by.assign({topic.partition(0)});
                        ask_what_is_committed(id, by, topic);
                    } catch (const error& why) {
                        world_.violate("after the faults broker " + std::to_string(id) + " is not told what is committed: " + why.what());
                    }
                    break;
                }
            }
        }
    }

    /// Where groups commit is a topic as any other, that nobody here has made.
    void look_for_offsets(int id) {
        if (!offsets_.partitions.empty()) {
            return;
        }
        for (const auto& one : world_.core(id).replicated_topics()) {
            if (one->name == broker_room::offsets_topic) {
                offsets_.name = one->name;
                offsets_.id = std::string{as_text(bytes{one->meta.id})};
                offsets_.partitions.resize(1);
                offsets_.partitions[0].replicas = one->meta.replicas.front();
                offsets_.partitions[0].needed = one->meta.replicas.front().size() / 2 + 1;
            }
        }
    }

    // ---- users ----

    /// Every broker's users poll, send, and look for topics. Nothing here waits.
    void work() {
        for (int id = 1; id <= plan_.nodes; ++id) {
            if (world_.is_up(id) && !world_.is_paused(id)) {
                look_for_topics(id);
                poll(id);
                if (has_faults_ && random().one_in(2)) {
                    send(id);
                }
            }
        }
        world_.after(plan_.send_pause, [this] { work(); });
    }

    void look_for_topics(int id) {
        user& here = user_of(id);
        for (const std::string& name : world_.broker(id).topics()) {
            const bool is_known = std::any_of(here.readers.begin(), here.readers.end(), [&](const auto& one) { return one->of->name == name; });
            if (is_known) {
                continue;
            }
            try {
                auto made = std::make_unique<reader>();
                made->topic = std::make_unique<test_topic>(world_.broker(id).topic<std::uint64_t, std::string>(name));
                made->of = learn(*made->topic);
                made->consumer = std::make_unique<test_consumer>(*made->topic);
                made->next.assign(static_cast<std::size_t>(made->topic->partition_count()), 0);
                here.readers.push_back(std::move(made));
            } catch (const error& why) {
                if (world_.is_up(id) && why.code() != errc::unknown_topic_or_partition) {
                    world_.violate("topic " + name + " cannot be read by broker " + std::to_string(id) + ": " + why.what());
                }
            }
        }
    }

    void poll(int id) {
        auto& readers = user_of(id).readers;
        for (std::size_t i = 0; i < readers.size();) {
            try {
                if (learn(world_.broker(id).topic<std::uint64_t, std::string>(readers[i]->of->name)) != readers[i]->of) {  // it was deleted, and made again
                    readers.erase(readers.begin() + static_cast<std::ptrdiff_t>(i));
                    continue;
                }
                for (int left = 10; left > 0; --left) {
                    const auto found = readers[i]->consumer->poll(0ms);
                    if (found.empty()) {
                        break;
                    }
                    for (const auto& record : found) {
                        take(id, *readers[i], record.partition(), record.offset(), record.key(), record.value());
                    }
                }
                ++i;
            } catch (const error& why) {
                if (world_.is_up(id) && why.code() != errc::unknown_topic_or_partition && why.code() != errc::closed) {
                    world_.violate("broker " + std::to_string(id) + " cannot read " + readers[i]->of->name + ": " + why.what());
                }
                readers.erase(readers.begin() + static_cast<std::ptrdiff_t>(i));
            }
        }
    }

    template <class Text>
    void take(int id, reader& by, std::int32_t number, offset at, std::uint64_t key, const Text& value) {
        ++figures_.read;
        partition_truth& truth = by.of->partitions[static_cast<std::size_t>(number)];
        const auto place = [&] { return by.of->name + "/" + std::to_string(number) + " offset " + std::to_string(at) + ", read by broker " + std::to_string(id); };
        const auto known = records_.find(key);
        if (known == records_.end() || value_of(key) != std::string_view{value} || known->second.of != by.of.get() || known->second.partition != number) {
            world_.violate(place() + ": nobody has sent that there");
            return;
        }
        if (truth.is_lawless || truth.is_unsettled) {
            return;
        }
        if (at < by.next[static_cast<std::size_t>(number)]) {
            world_.violate(place() + ": it was read before by the same consumer");
        }
        by.next[static_cast<std::size_t>(number)] = at + 1;
        if (known->second.what == fate::refused) {
            world_.violate(place() + ": it was refused: " + known->second.why);
        }
        const auto [slot, is_new] = truth.history.emplace(at, key);
        if (slot->second != key) {
            world_.violate(place() + ": another record was read there before, " + std::to_string(slot->second) + " and now " + std::to_string(key));
        }
        const auto [first, is_first] = truth.where.emplace(key, at);
        if (first->second != at) {
            world_.violate(place() + ": it was read before at offset " + std::to_string(first->second));
        }
        truth.told_end = std::max(truth.told_end, at + 1);
    }

    void send(int id) {
        user& here = user_of(id);
        if (here.readers.empty()) {
            return;
        }
        if (here.writers.empty() || random().one_in(40)) {
            const reader& to = *here.readers[random().below(here.readers.size())];
            auto made = std::make_shared<writer>();
            made->of = to.of;
            made->id = ++writer_count_;
            made->is_all = !random().one_in(4);
            made->flying.resize(to.of->partitions.size());
            producer_options options;
            options.acks = made->is_all ? acks::all : acks::leader;
            options.delivery_timeout = plan_.election_timeout * static_cast<std::int64_t>(1 + random().below(20));
            options.linger = random().one_in(3) ? nanoseconds{5ms} : nanoseconds{0};
            options.delivery_timeout = std::max(options.delivery_timeout, options.linger);
            options.batch_size = random().one_in(2) ? 400 : 2'000;
            options.on_delivery = [this, id, raw = made.get()](const record_metadata& where, std::error_code code) { deliver(id, *raw, where, code); };
            try {
                made->producer = std::make_unique<test_producer>(*to.topic, options);
            } catch (const error&) {
                return;  // deleted
            }
            here.writers.push_back(std::move(made));
        }
        writer& by = *here.writers[random().below(here.writers.size())];
        for (std::uint64_t left = 1 + random().below(6); left > 0; --left) {
            const auto number = static_cast<std::int32_t>(random().below(by.flying.size()));
            const std::uint64_t key = by.id << 24 | ++by.next;
            sent_record& made = records_[key];
            made.key = key;
            made.of = by.of.get();
            made.partition = number;
            by.flying[static_cast<std::size_t>(number)].push_back(key);
            ++figures_.sent;
            try {
                record<std::uint64_t, std::string> what;
                what.key = key;
                what.value = value_of(key);
                what.partition = number;
                static_cast<void>(by.producer->send(what));
            } catch (const error& why) {
                auto& flying = by.flying[static_cast<std::size_t>(number)];
                if (!flying.empty() && flying.back() == key) {
                    flying.pop_back();
                }
                made.what = fate::refused;
                made.why = why.what();
            }
        }
        world_.touch(id);
    }

    void deliver(int id, writer& by, const record_metadata& where, std::error_code code) {
        auto& flying = by.flying[static_cast<std::size_t>(where.partition >= 0 ? where.partition : 0)];
        if (where.partition < 0 || flying.empty()) {
            world_.violate("a producer is told of a record that it has not sent");
            return;
        }
        sent_record& of = records_[flying.front()];
        flying.pop_front();
        partition_truth& truth = by.of->partitions[static_cast<std::size_t>(where.partition)];
        of.age = age_;
        of.at = where.offset;
        of.epochs = truth.leaders.size();
        of.why = code.message();
        tell("record %llu to %s/%d by broker %d: offset %lld %s", static_cast<unsigned long long>(of.key), by.of->name.c_str(), where.partition, id, static_cast<long long>(where.offset), code.message().c_str());
        if (!world_.is_up(id)) {
            of.what = fate::unknown;  // nobody hears it any more
        } else if (!code) {
            of.what = by.is_all ? fate::acknowledged : fate::led;
            ++figures_.acknowledged;
            if (by.is_all && where.offset >= 0) {
                truth.told_end = std::max(truth.told_end, where.offset + 1);
            }
        } else if (code == errc::not_leader_or_follower || code == errc::not_enough_replicas || code == errc::record_too_large) {
            of.what = fate::refused;
            ++figures_.refused;
        } else {
            of.what = fate::unknown;
            ++figures_.unknown;
            if (code != errc::timed_out && code != errc::closed && code != errc::unknown_topic_or_partition && code != errc::out_of_order_sequence_number) {
                tell("record %llu: %s", static_cast<unsigned long long>(of.key), code.message().c_str());
                other_codes_.insert(code.message());
            }
        }
    }

    // ---- what one sees from outside ----

    void watch() {
        watch_states();
        world_.after(20ms, [this] { watch(); });
    }

    void watch_states() {
        for (int id = 1; id <= plan_.nodes; ++id) {
            if (!world_.is_up(id) || world_.core(id).is_closed()) {
                continue;
            }
            look_at_health(id);
            broker_room::cluster& member = *world_.core(id).cluster();
            if (const auto state = member.state_of({broker_room::metadata_topic_id, 0})) {
                note_state(id, metadata_, 0, *state);
            }
            look_for_offsets(id);
            if (!offsets_.partitions.empty()) {
                if (const auto state = member.state_of({load<format::topic_id>(as_bytes(offsets_.id).data()), 0})) {
                    note_state(id, offsets_, 0, *state);
                }
            }
            for (auto& [key, of] : topics_) {
                for (std::size_t i = 0; i < of->partitions.size(); ++i) {
                    broker_room::partition_id which;
                    which.topic = load<format::topic_id>(as_bytes(of->id).data());
                    which.number = static_cast<std::int32_t>(i);
                    if (const auto state = member.state_of(which)) {
                        note_state(id, *of, i, *state);
                    }
                }
            }
        }
    }

    void note_state(int id, const topic_truth& of, std::size_t number, const replication_state& state) {
        partition_truth& truth = const_cast<partition_truth&>(of.partitions[number]);
        if (state.is_leader) {
            const auto [leader, is_new] = truth.leaders.emplace(state.leader_epoch, id);
            if (is_new) {
                tell("%s/%d: broker %d leads in epoch %u from %lld, high watermark %lld", of.name.c_str(), static_cast<int>(number), id, state.leader_epoch, static_cast<long long>(state.log_end_offset),
                     static_cast<long long>(state.high_watermark));
            }
            figures_.leader_changes += is_new ? 1 : 0;
            if (leader->second != id) {
                world_.violate(of.name + "/" + std::to_string(number) + ": epoch " + std::to_string(state.leader_epoch) + " has two leaders, brokers " + std::to_string(leader->second) +
                               " and " + std::to_string(id));
            }
        }
        static const char* const watched = std::getenv("BROOK_WATCH");
        if (watched != nullptr && of.name + "/" + std::to_string(number) == watched) {
            tell("    %s on %d: leader %d epoch %u hw %lld end %lld", watched, id, state.leader, state.leader_epoch, (long long)state.high_watermark, (long long)state.log_end_offset);
        }
        truth.told_end = std::max(truth.told_end, state.high_watermark);
        if (const auto impaired = truth.impaired.find(id); impaired != truth.impaired.end() && !armed_.contains(id) && state.high_watermark >= impaired->second) {
            truth.impaired.erase(impaired);
        }
    }

    // ---- at the end ----

    void rest() {
        tell("the faults end%s", "");
        for (int id = 1; id <= plan_.nodes; ++id) {
            if (world_.is_paused(id)) {
                world_.resume(id);
            }
            if (armed_.contains(id) && world_.is_up(id)) {
                world_.forget_stop_inside(id);
                armed_.erase(id);
            }
        }
        world_.network().heal();
        world_.network().set_faults(simulated_cluster::calm());
        world_.run_for(1ms);  // who was stopped inside of something goes
        for (int id = 1; id <= plan_.nodes; ++id) {
            if (sick_.contains(id) && world_.is_up(id)) {
                world_.stop(id, parting::kill);
            }
        }
        for (int id = 1; id <= plan_.nodes; ++id) {
            start(id);
        }
        if (!world_.violations().empty()) {
            return;
        }
        const nanoseconds begin = world_.now();
        if (!world_.run_until([this] { return !world_.violations().empty() || is_at_rest(nullptr); }, 120s)) {
            std::string what;
            static_cast<void>(is_at_rest(&what));
            world_.violate("120 s after the faults have ended: " + what);
        }
        if (!world_.violations().empty()) {
            return;
        }
        figures_.slowest_rest = std::max(figures_.slowest_rest, seconds(world_.now() - begin));
        tell("at rest%s", "");
        for (auto& [key, of] : topics_) {
            for (partition_truth& one : of->partitions) {
                one.is_unsettled = false;
            }
        }
        for (user& one : users_) {
            one.readers.clear();  // from the beginning
        }
        send_anew();
        if (!world_.violations().empty()) {
            return;
        }
        if (!world_.run_until([this] { return !world_.violations().empty() || is_at_rest(nullptr); }, 60s)) {
            std::string what;
            static_cast<void>(is_at_rest(&what));
            world_.violate("60 s after the last record: " + what);
        }
        if (world_.violations().empty()) {
            judge();
        }
    }

    /// All brokers say the same, and wait for nothing.
    [[nodiscard]] bool is_at_rest(std::string* why) {
        const auto no = [&](const std::string& what) {
            if (why != nullptr) {
                *why = what;
            }
            return false;
        };
        if (why == nullptr && world_.now() < next_look_) {
            return false;
        }
        next_look_ = world_.now() + 50ms;
        std::vector<std::string> names;
        for (int id = 1; id <= plan_.nodes; ++id) {
            if (!world_.is_up(id)) {
                return no("broker " + std::to_string(id) + " is not there");
            }
        }
        std::string metadata;
        bool is_same = true;
        for (int id = 1; id <= plan_.nodes; ++id) {
            const auto here = world_.core(id).cluster()->state_of({broker_room::metadata_topic_id, 0});
            const auto first = world_.core(1).cluster()->state_of({broker_room::metadata_topic_id, 0});
            is_same = is_same && here->leader >= 0 && here->leader == first->leader && here->log_end_offset == first->log_end_offset && here->high_watermark == first->log_end_offset;
            metadata += " broker " + std::to_string(id) + ": leader " + std::to_string(here->leader) + " of epoch " + std::to_string(here->leader_epoch) + ", end " +
                        std::to_string(here->log_end_offset) + ", high watermark " + std::to_string(here->high_watermark) + ";";
        }
        if (!is_same) {
            return no("the metadata is not the same everywhere:" + metadata);
        }
        for (int id = 1; id <= plan_.nodes; ++id) {
            const auto here = world_.broker(id).topics();
            if (id > 1 && here != names) {
                return no("broker " + std::to_string(id) + " knows " + std::to_string(here.size()) + " topics, broker 1 " + std::to_string(names.size()));
            }
            names = here;
            for (const auto& one : user_of(id).writers) {
                for (const auto& left : one->flying) {
                    if (!left.empty()) {
                        return no("of " + std::to_string(left.size()) + " records to " + one->of->name + " broker " + std::to_string(id) + " has not told what became of them");
                    }
                }
            }
        }
        for (const std::string& name : names) {
            std::vector<replication_state> first;
            std::string first_id;
            for (int id = 1; id <= plan_.nodes; ++id) {
                try {
                    const auto here = world_.broker(id).topic<std::uint64_t, std::string>(name);
                    const std::string topic_id{as_text(bytes{brook::detail::access::engine(here).state()->meta.id})};
                    std::vector<replication_state> all;
                    for (const partition& one : here.partitions()) {
                        all.push_back(one.replication());
                        const replication_state& state = all.back();
                        const std::string place = name + "/" + std::to_string(one.number()) + " on broker " + std::to_string(id);
                        if (state.leader < 0 || state.log_end_offset != state.high_watermark || one.log_end_offset() != state.high_watermark) {
                            return no(place + ": leader " + std::to_string(state.leader) + ", epoch " + std::to_string(state.leader_epoch) + ", end " + std::to_string(state.log_end_offset) + ", high watermark " +
                                      std::to_string(state.high_watermark) + ", readable " + std::to_string(one.log_end_offset()));
                        }
                    }
                    if (id == 1) {
                        first = all;
                        first_id = topic_id;
                    }
                    if (topic_id != first_id) {
                        return no(name + " is one topic on broker 1, and another on broker " + std::to_string(id));
                    }
                    for (std::size_t i = 0; i < all.size(); ++i) {
                        if (all[i].leader != first[i].leader || all[i].leader_epoch != first[i].leader_epoch || all[i].log_end_offset != first[i].log_end_offset) {
                            return no(name + "/" + std::to_string(i) + " on broker " + std::to_string(id) + ": leader " + std::to_string(all[i].leader) + " of epoch " + std::to_string(all[i].leader_epoch) + ", end " +
                                      std::to_string(all[i].log_end_offset) + "; on broker 1: " + std::to_string(first[i].leader) + ", " + std::to_string(first[i].leader_epoch) + ", " +
                                      std::to_string(first[i].log_end_offset));
                        }
                    }
                } catch (const error& what) {
                    return no(name + " on broker " + std::to_string(id) + ": " + what.what());
                }
            }
        }
        return true;
    }

    /// Every partition takes a record, from every broker.
    void send_anew() {
        for (int id = 1; id <= plan_.nodes; ++id) {
            look_for_topics(id);
            for (const auto& to : user_of(id).readers) {
                auto made = std::make_shared<writer>();
                made->of = to->of;
                made->id = ++writer_count_;
                made->flying.resize(to->of->partitions.size());
                test_producer producer{*to->topic, {.delivery_timeout = 20s}};
                for (std::size_t number = 0; number < made->flying.size(); ++number) {
                    const std::uint64_t key = made->id << 24 | ++made->next;
                    sent_record& sent = records_[key];
                    sent.key = key;
                    sent.of = made->of.get();
                    sent.partition = static_cast<std::int32_t>(number);
                    record<std::uint64_t, std::string> what;
                    what.key = key;
                    what.value = value_of(key);
                    what.partition = sent.partition;
                    try {
                        sent.at = producer.send(what).get().offset;
                        sent.what = fate::acknowledged;
                        sent.age = age_;
                    } catch (const error& why) {
                        world_.violate("after the faults " + made->of->name + "/" + std::to_string(number) + " takes nothing from broker " + std::to_string(id) + ": " + why.what());
                        return;
                    }
                }
            }
        }
    }

    void judge() {
        // Everything from the beginning, by everybody.
        for (int id = 1; id <= plan_.nodes; ++id) {
            user_of(id).readers.clear();
            look_for_topics(id);
            for (int i = 0; i < 30; ++i) {
                poll(id);
            }
            look_at_health(id);
        }
        judge_commits();
        const auto names = world_.broker(1).topics();
        for (const std::string& name : there_) {
            if (std::find(names.begin(), names.end(), name) == names.end()) {
                world_.violate("topic " + name + " was made, and is not there");
            }
        }
        for (const std::string& name : names) {
            if (!there_.contains(name) && !maybe_.contains(name)) {
                world_.violate("topic " + name + " was deleted, and is there");
            }
        }
        std::map<std::pair<std::uint64_t, std::int32_t>, offset> last;  // by producer and partition
        std::vector<const sent_record*> all;
        for (const auto& [key, one] : records_) {
            all.push_back(&one);
        }
        std::sort(all.begin(), all.end(), [](const sent_record* one, const sent_record* other) { return one->key < other->key; });
        bool has_lost = false;
        for (const sent_record* const one : all) {
            const partition_truth& truth = one->of->partitions[static_cast<std::size_t>(one->partition)];
            if (std::find(names.begin(), names.end(), one->of->name) == names.end() || truth.is_lawless || !is_current(*one->of)) {
                continue;
            }
            const auto found = truth.history.find(one->at);
            const bool is_there = found != truth.history.end() && found->second == one->key;
            const std::string place = one->of->name + "/" + std::to_string(one->partition) + ": record " + std::to_string(one->key);
            if (one->what == fate::acknowledged && one->at >= 0 && !is_there) {
                if (one->age == age_ || one->of->flush_messages == 1) {
                    world_.violate(place + " was acknowledged at offset " + std::to_string(one->at) + ", and is not there");
                } else {
                    has_lost = true;
                    ++figures_.lost_told;
                }
            }
            if (one->what == fate::acknowledged && one->at >= 0) {
                offset& before = last.try_emplace({one->key >> 24, one->partition}, -1).first->second;
                if (one->at <= before) {
                    world_.violate(place + " stands at offset " + std::to_string(one->at) + ", in front of what its producer sent before it, at " + std::to_string(before));
                }
                before = one->at;
            }
            // Where its leader has gone since, the same batch may have come back at the place that a leader before had given it.
            if (one->what == fate::led && one->at >= 0 && truth.leaders.size() == one->epochs) {
                if (const auto where = truth.where.find(one->key); where != truth.where.end() && where->second != one->at && truth.history.contains(where->second) && truth.history.at(where->second) == one->key) {
                    world_.violate(place + " was acknowledged by its leader at offset " + std::to_string(one->at) + ", and is at " + std::to_string(where->second));
                }
            }
        }
        if (has_lost && !has_told_of_loss_) {
            world_.violate("acknowledged records were lost with the power of all brokers, and health() of none says so");
        }
        for (auto& [key, of] : topics_) {
            for (std::size_t number = 0; number < of->partitions.size(); ++number) {
                judge_loss(*of, number);
            }
        }
    }

    [[nodiscard]] bool is_current(const topic_truth& of) {
        const auto& readers = user_of(1).readers;
        return std::any_of(readers.begin(), readers.end(), [&](const auto& one) { return one->of->id == of.id; });
    }

    /// What was lost with everybody's power is an end of what there was.
    void judge_loss(const topic_truth& of, std::size_t number) {
        const partition_truth& truth = of.partitions[number];
        if (truth.before.empty() || truth.is_lawless || !is_current(of)) {
            return;
        }
        bool is_over = false;
        for (const auto& [at, key] : truth.before) {
            const auto found = truth.history.find(at);
            const bool is_there = found != truth.history.end() && found->second == key;
            if (is_there && is_over) {
                world_.violate(of.name + "/" + std::to_string(number) + ": offset " + std::to_string(at) + " was kept when all lost their power, and something in front of it was not");
                return;
            }
            is_over = is_over || !is_there;
        }
    }

    const std::uint64_t seed_;
    plan plan_;
    figures& figures_;
    const bool is_verbose_;
    std::map<std::string, std::shared_ptr<topic_truth>> topics_;  // by id
    topic_truth metadata_;
    topic_truth offsets_;      // none of its partitions: not known as yet
    commit_truth committed_;
    std::unordered_map<std::uint64_t, sent_record> records_;
    simulated_cluster world_;
    std::vector<user> users_;
    std::map<int, parting> armed_;
    std::set<int> sick_;  // a sync has failed there, or is about to
    std::deque<std::pair<fault, int>> wanted_;
    std::set<std::string> there_;
    std::set<std::string> maybe_;
    std::set<std::string> deleted_names_;
    std::set<std::string> told_health_;
    std::set<std::string> other_codes_;
    std::uint64_t topic_count_ = 0;
    std::uint64_t writer_count_ = 0;
    std::uint32_t age_ = 0;
    int creating_ = 0;
    bool has_faults_ = true;
    bool has_told_of_loss_ = false;
    nanoseconds next_look_{};
};

constexpr unsigned longest_run = 120;  // seconds of this machine's
volatile std::uint64_t under_way = 0;

const fault_program cluster_simulation{"cluster_simulation", [](int count, char** arguments) {
    double budget = seconds_to_run(20);
    std::uint64_t seeds = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t first = 1;
    bool is_verbose = false;
    for (int i = 1; i < count; ++i) {
        const std::string_view what{arguments[i]};
        const bool has_more = i + 1 < count;
        if (what == "--verbose") {
            is_verbose = true;
        } else if (what == "--seeds" && has_more) {
            seeds = std::strtoull(arguments[++i], nullptr, 0);
            budget = 1e9;
        } else if (what == "--first" && has_more) {
            first = std::strtoull(arguments[++i], nullptr, 0);
        } else if (what == "--seconds" && has_more) {
            budget = std::atof(arguments[++i]);
        } else {
            std::fputs("usage: brook_fault cluster_simulation [--seeds N] [--first S] [--seconds BUDGET] [--verbose]\n", stderr);
            return 64;
        }
    }
    figures all;
    const auto begin = real_clock::now();
    const auto elapsed = [&] { return std::chrono::duration<double>(real_clock::now() - begin).count(); };
    std::vector<std::uint64_t> bad;
    ::signal(SIGALRM, [](int) {
        std::fprintf(stderr, "BAD  seed %llu has no end\n", static_cast<unsigned long long>(under_way));
        std::abort();
    });
    for (std::uint64_t i = 0; i < seeds && elapsed() < budget && bad.size() < 10; ++i) {
        under_way = first + i;
        ::alarm(longest_run);
        if (!std::make_unique<run>(first + i, all, is_verbose)->play()) {
            bad.push_back(first + i);
        }
    }
    ::alarm(0);
    const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf("cluster simulation: seeds %llu to %llu, %.0f virtual seconds, %.0f a second, %llu events, %llu datagrams; faults:", n(first), n(first + all.runs - 1), all.virtual_seconds,
                all.virtual_seconds / elapsed(), n(all.events), n(all.datagrams));
    for (std::size_t i = 0; i < all.faults.size(); ++i) {
        std::printf(" %s %llu,", fault_names[i], n(all.faults[i]));
    }
    std::printf(" losses of everybody's power %llu; leaders %llu; records sent %llu, acknowledged %llu, refused %llu, unknown %llu, read %llu, commits acknowledged %llu, unknown %llu, read %llu, lost with everybody's power and told %llu; "
                "at rest after %.1f s at most; bad %llu; %.1f s\n",
                n(all.all_power), n(all.leader_changes), n(all.sent), n(all.acknowledged), n(all.refused), n(all.unknown), n(all.read), n(all.commits), n(all.commits_unknown), n(all.commits_read), n(all.lost_told), all.slowest_rest, n(all.violations), elapsed());
    return bad.empty() ? 0 : 1;
}};

}  // namespace

}  // namespace fault_cluster_simulation
