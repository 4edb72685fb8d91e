/// \file fault/replica_world.hpp
/// A partition's replicas in a world that is made up: one thread, one queue of events, virtual time, and all chance from one seed.
/// The replicas are the real ones; network, disks, clocks, clients and operators are in here, and so is the checker.
/// Source: FoundationDB's simulation, TigerBeetle's VOPR.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/replication/epoch_line.hpp>
#include <brook/replication/replica.hpp>

namespace brook::test {

/// What was done, over all runs.
struct replica_figures {
    std::uint64_t seeds = 0;
    std::uint64_t events = 0;
    std::uint64_t messages = 0;
    std::uint64_t leaders = 0;
    std::uint64_t lossy_leaders = 0;
    std::uint64_t committed = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t lost = 0;  // committed, and gone, where that much was damaged
    std::uint64_t voter_changes = 0;
    std::uint64_t begun_anew = 0;
    std::uint64_t cuts = 0;
    std::uint64_t suspicions_ended = 0;
    std::int64_t virtual_ns = 0;
    std::int64_t longest_recovery_ns = 0;
    std::map<std::string, std::uint64_t> faults{};
};

/// What must never be was seen.
struct replica_violation {
    std::string what;
};

/// One run.
class replica_world {
public:
    replica_world(std::uint64_t seed, bool is_unlimited, replica_figures& figures, bool is_verbose)
        : random_{seed * 0x9e3779b97f4a7c15u + (is_unlimited ? 77u : 1u)}, is_unlimited_{is_unlimited}, is_verbose_{is_verbose}, figures_{figures} {}

    /// Throws `replica_violation`.
    void run() {
        try {
            go_on();
        } catch (const split_by_force&) {
            count_fault("split by force");
        }
        ++figures_.seeds;
        figures_.virtual_ns += now_;
        figures_.committed += committed_.size();
    }

private:
    /// Two that operators have forced to lead have each gone on with other voters, which replica::force_unclean warns of: they are two partitions.
    struct split_by_force {};

    void go_on() {
        set_up();
        const std::int64_t faults_until = (8 + below(20)) * second;
        while (!events_.empty() && events_.front().at < faults_until) {
            step();
        }
        heal();
        const std::int64_t healed = now_;
        const std::int64_t deadline = now_ + (is_unlimited_ ? 80 : 40) * second;  // an operator may have to force several, one after the other
        std::int64_t next_look = now_;
        while (!is_settled()) {
            next_look += 100 * millisecond;
            while (!events_.empty() && events_.front().at < next_look) {
                step();
            }
            now_ = std::max(now_, next_look);
            if (is_unlimited_ && now_ > healed + 15 * second && one_in(30)) {
                force_best();
            }
            if (now_ >= deadline && is_split_by_force()) {
                throw split_by_force{};
            }
            demand(now_ < deadline, "nothing is wrong any more, and they do not settle: %s", describe().c_str());
        }
        figures_.longest_recovery_ns = std::max(figures_.longest_recovery_ns, now_ - healed);
    }

    static constexpr std::int64_t millisecond = 1'000'000;
    static constexpr std::int64_t second = 1'000 * millisecond;
    static constexpr std::int64_t never = std::int64_t{1} << 62;

    // ---- chance ----

    [[nodiscard]] std::uint64_t any() noexcept {
        random_ += 0x9e3779b97f4a7c15u;  // splitmix64
        return mix(random_);
    }
    [[nodiscard]] static std::uint64_t mix(std::uint64_t value) noexcept {
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
        value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
        return value ^ (value >> 31);
    }
    [[nodiscard]] std::int64_t below(std::int64_t count) noexcept { return static_cast<std::int64_t>(any() % static_cast<std::uint64_t>(count)); }
    [[nodiscard]] std::int64_t between(std::int64_t least, std::int64_t most) noexcept { return least + below(most - least + 1); }
    [[nodiscard]] bool one_in(std::int64_t count) noexcept { return below(count) == 0; }

    // ---- what a log has ----

    enum class kind : std::uint16_t { opens_epoch, names_voters, value };

    /// One record, as it travels, too.
    struct record {
        std::uint32_t epoch = 0;
        kind what = kind::value;
        std::uint16_t producer = 0;
        std::uint64_t content = 0;  // a producer's sequence number, or voters, a bit each

        bool operator==(const record&) const = default;
    };
    static_assert(sizeof(record) == 16);

    /// With what identifies it together with all that is in front of it.
    struct chained {
        record held;
        std::uint64_t chain = 0;  // 0: not known, after losses
        std::uint32_t committed_in = 0;
    };
    [[nodiscard]] static bool is_same(std::uint64_t one, std::uint64_t other) noexcept { return one == other || one == 0 || other == 0; }
    /// Also where not all that is in front is known, the record itself is; epoch 0: not even that.
    [[nodiscard]] static bool is_same(const chained& one, const chained& other) noexcept {
        return is_same(one.chain, other.chain) && (one.held == other.held || one.held.epoch == 0 || other.held.epoch == 0);
    }

    [[nodiscard]] static std::uint64_t chain_on(std::uint64_t before, const record& next) noexcept {
        return mix(mix(before ^ next.epoch) + mix(next.content + (static_cast<std::uint64_t>(next.what) << 48) + (std::uint64_t{next.producer} << 32)));
    }

    struct simulated_log {
        offset start = 0;
        std::uint64_t chain_in_front = 0;
        std::vector<chained> records;
        offset synced = 0;

        [[nodiscard]] offset end() const noexcept { return start + static_cast<offset>(records.size()); }
        [[nodiscard]] const chained& at(offset wanted) const noexcept { return records[static_cast<std::size_t>(wanted - start)]; }
        [[nodiscard]] std::uint64_t chain_at(offset end) const noexcept { return end == start ? chain_in_front : at(end - 1).chain; }
        void append(const record& next) {
            const std::uint64_t before = chain_at(end());
            records.push_back({next, before == 0 && start > 0 ? 0 : chain_on(before, next), 0});
        }
        void cut(offset to) {
            records.resize(static_cast<std::size_t>(to - start));
            synced = std::min(synced, to);
        }
    };

    // ---- who is there ----

    enum class loss { none, power, disk };

    struct packet {
        std::int32_t from = -1;  // -1: a client
        std::vector<std::byte> raw{};
        std::uint16_t producer = 0;
        std::uint64_t first = 0;
        std::uint64_t count = 0;
        std::uint64_t request = 0;
    };

    struct waiting_ack {
        offset until;
        std::uint16_t producer;
        std::uint64_t end;  // of its sequence numbers
        std::uint64_t request;
    };

    struct node {
        std::int32_t id = 0;
        std::optional<replication::replica> machine;
        simulated_log log;
        // the disk
        std::optional<replication::ballot> ballot;
        offset saved_watermark = 0;
        bool is_damaged = false;  // it has lost what it had told of, and has not started since
        offset had = 0;           // how far its log went when it lost something, or began anew
        offset longest = 0;       // its log has ever been
        offset relied_on = 0;     // it held what was committed up to there when that was committed, or had told so
        bool is_disk_bad = false;
        // the process
        bool is_paused = false;
        bool has_missed_wake = false;
        bool is_closing = false;
        std::vector<std::size_t> inbox;
        std::uint64_t life = 0;
        std::uint64_t flushing = 0;
        std::int64_t wake_at = never;
        int spins = 0;
        int fuse = 0;  // actions until it ends in the middle of them
        loss fuse_ends_with = loss::none;
        std::int64_t clock_offset = 0;
        std::int64_t clock_rate = 1000;  // per mille
        std::int64_t flush_every = 20 * millisecond;
        std::int64_t slow_until = 0;
        // what the checker saw of this life
        offset watermark = 0;
        std::uint32_t led_in = 0;
        bool was_leader = false;
        bool was_suspect = false;
        std::vector<waiting_ack> waiting;
        std::vector<std::vector<offset>> sequences;  // of a leader: where each producer's numbers are
    };

    struct producer {
        std::uint64_t acknowledged = 0;  // numbers below are
        std::uint64_t count = 1;         // of the request that is under way
        std::uint64_t request = 0;
        std::int32_t leader = 0;  // as it thinks
        bool is_waiting = false;
    };

    enum class event_kind : std::uint8_t { deliver, wake, flush, restart, resume, close, produce, acknowledge, refuse, fault, background_sync };

    struct event {
        std::int64_t at;
        std::uint64_t order;
        event_kind what;
        std::int32_t whom;
        std::uint64_t detail;
        std::uint64_t more;
    };

    void schedule(std::int64_t at, event_kind what, std::int32_t whom, std::uint64_t detail = 0, std::uint64_t more = 0) {
        events_.push_back({at, event_number_++, what, whom, detail, more});
        std::push_heap(events_.begin(), events_.end(), is_later);
    }
    [[nodiscard]] static bool is_later(const event& one, const event& other) noexcept {
        return one.at != other.at ? one.at > other.at : one.order > other.order;
    }

    // ---- the beginning ----

    void set_up() {
        constexpr std::array<std::int32_t, 12> sizes{1, 3, 3, 3, 3, 3, 5, 5, 5, 2, 4, 3};
        voters_at_first_ = sizes[static_cast<std::size_t>(below(sizes.size()))];
        const auto learners = static_cast<std::int32_t>(below(3));
        is_durable_ = one_in(2);
        min_insync_ = static_cast<std::size_t>(between(1, voters_at_first_ / 2 + 2));
        features_ = any() & any();  // swarm: a quarter to a half of everything
        features_ |= any() & any() & any();
        if (one_in(4)) {
            features_ |= any();
        }
        for (std::int32_t i = 0; i < voters_at_first_; ++i) {
            first_voters_.push_back(i);
        }
        latest_voters_ = first_voters_;
        const bool is_from_nothing = one_in(2);
        nodes_.resize(static_cast<std::size_t>(voters_at_first_ + learners));
        cut_until_.assign(nodes_.size() * nodes_.size(), 0);
        clogged_until_.assign(nodes_.size(), 0);
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            node& one = nodes_[i];
            one.id = static_cast<std::int32_t>(i);
            one.clock_offset = below(1000) * second;
            one.clock_rate = has(clock_skew) ? between(950, 1050) : 1000;
            one.flush_every = between(1, 40) * millisecond;
            one.ballot = replication::ballot{0, replication::no_node, is_from_nothing, false, {{-1, 0, first_voters_}}};
            schedule(one_in(2) ? 0 : below(3 * second), event_kind::restart, one.id, 0);
        }
        producers_.resize(static_cast<std::size_t>(between(1, 3)));
        for (std::size_t i = 0; i < producers_.size(); ++i) {
            schedule(below(second), event_kind::produce, static_cast<std::int32_t>(i));
        }
        fault_pause_ = between(50, 1000) * millisecond;
        schedule(below(4 * second), event_kind::fault, -1);
    }

    // ---- going on ----

    void step() {
        std::pop_heap(events_.begin(), events_.end(), is_later);
        const event next = events_.back();
        events_.pop_back();
        now_ = std::max(now_, next.at);
        ++figures_.events;
        if (next.what == event_kind::produce) {
            produce(static_cast<std::uint16_t>(next.whom));
            return;
        }
        if (next.what == event_kind::acknowledge) {
            acknowledged(static_cast<std::uint16_t>(next.whom), next.detail, next.more);
            return;
        }
        if (next.what == event_kind::refuse) {
            refused(static_cast<std::uint16_t>(next.whom), next.detail, next.more);
            return;
        }
        if (next.what == event_kind::fault) {
            if (!is_healed_) {
                cause_fault();
                schedule(now_ + 1 + below(2 * fault_pause_), event_kind::fault, -1);
            }
            return;
        }
        node& whom = nodes_[static_cast<std::size_t>(next.whom)];
        switch (next.what) {
            case event_kind::deliver: deliver(whom, static_cast<std::size_t>(next.detail)); break;
            case event_kind::wake: wake(whom, next.at, next.detail); break;
            case event_kind::flush: flush(whom, next.detail, static_cast<offset>(next.more)); break;
            case event_kind::background_sync:
                if (whom.life == next.detail && whom.machine) {
                    whom.log.synced = whom.log.end();
                    whom.saved_watermark = whom.machine->high_watermark();
                    schedule(now_ + between(1, 8) * second, event_kind::background_sync, whom.id, whom.life);
                }
                break;
            case event_kind::restart:
                if (whom.life == next.detail && !whom.machine) {
                    start(whom);
                }
                break;
            case event_kind::resume:
                if (whom.life == next.detail && whom.is_paused) {
                    resume(whom);
                }
                break;
            case event_kind::close:
                if (whom.life == next.detail && whom.machine && whom.is_closing) {
                    close(whom);
                }
                break;
            default: break;
        }
    }

    [[nodiscard]] std::chrono::nanoseconds clock_of(const node& whom) const noexcept {
        return std::chrono::nanoseconds{whom.clock_offset + now_ * whom.clock_rate / 1000};
    }

    void start(node& whom) {
        note(whom, "starts%s", whom.is_damaged ? ", damaged" : "");
        ++whom.life;
        whom.is_disk_bad = false;
        whom.is_closing = false;
        whom.is_paused = false;
        whom.fuse = 0;
        replication::ballot found;
        if (whom.ballot) {
            found = *whom.ballot;
        } else {
            found.voters.push_back({-1, 0, first_voters_});
            if (latest_voters_at_ >= 0) {
                found.voters.push_back({latest_voters_at_, latest_voters_epoch_, latest_voters_});
            }
        }
        found.is_suspect = found.is_suspect || whom.is_damaged || !whom.ballot;
        replication::replica_log log;
        log.start = whom.log.start;
        log.end = whom.log.end();
        log.flushed = whom.log.synced;
        log.high_watermark = one_in(3) ? 0 : whom.saved_watermark;
        for (std::size_t i = 0; i < whom.log.records.size(); ++i) {
            log.epochs.note(whom.log.records[i].held.epoch, whom.log.start + static_cast<offset>(i));
        }
        replication::replica_options options;
        options.self = whom.id;
        options.min_insync = min_insync_;
        options.is_durable = is_durable_;
        options.is_preferred = whom.id == 0;
        options.session = ++sessions_;
        options.seed = any();
        whom.was_suspect = found.is_suspect;
        whom.machine.emplace(options, std::move(found), std::move(log), clock_of(whom));
        whom.watermark = whom.machine->high_watermark();
        whom.was_leader = false;
        whom.wake_at = never;
        begin_flushing(whom);
        if (!is_durable_) {
            schedule(now_ + between(1, 8) * second, event_kind::background_sync, whom.id, whom.life);
        }
        settle(whom);
    }

    void wake(node& whom, std::int64_t at, std::uint64_t life) {
        if (life != whom.life || whom.wake_at != at || !whom.machine) {
            return;
        }
        whom.wake_at = never;
        if (whom.is_paused) {
            whom.has_missed_wake = true;
            return;
        }
        whom.machine->run_due(clock_of(whom));
        settle(whom);
    }

    void deliver(node& whom, std::size_t slot) {
        if (!whom.machine || whom.is_disk_bad) {
            free_packet(slot);
            return;
        }
        if (whom.is_paused) {
            if (whom.inbox.size() < 2000) {
                whom.inbox.push_back(slot);
            } else {
                free_packet(slot);
            }
            return;
        }
        packet got = std::move(packets_[slot]);
        if (got.from < 0) {
            take_request(whom, got);
        } else if (const auto said = replication::message::decode(got.raw)) {
            whom.machine->receive(got.from, *said, clock_of(whom));
            settle(whom);
        } else {
            demand(false, "what was encoded is not decoded");
        }
        packets_[slot] = std::move(got);
        free_packet(slot);
    }

    void resume(node& whom) {
        note(whom, "resumes");
        whom.is_paused = false;
        const std::vector<std::size_t> inbox = std::exchange(whom.inbox, {});
        const bool is_time_first = one_in(2);
        if (is_time_first && std::exchange(whom.has_missed_wake, false)) {
            whom.machine->run_due(clock_of(whom));
            settle(whom);
        }
        for (const std::size_t slot : inbox) {
            deliver(whom, slot);
        }
        if (whom.machine && std::exchange(whom.has_missed_wake, false)) {
            whom.machine->run_due(clock_of(whom));
            settle(whom);
        }
    }

    void flush(node& whom, std::uint64_t life, offset until) {
        if (life != whom.flushing || !whom.machine || !is_durable_) {
            return;
        }
        if (!whom.is_paused && !whom.is_disk_bad) {
            if (until > 0 && std::min(until, whom.log.end()) > whom.log.synced) {
                whom.log.synced = std::min(until, whom.log.end());
                whom.machine->flushed(whom.log.synced, clock_of(whom));
                settle(whom);
                if (!whom.machine || whom.flushing != life) {
                    return;
                }
            }
            if (one_in(8)) {
                whom.saved_watermark = whom.machine->high_watermark();
            }
        }
        const std::int64_t pause = now_ < whom.slow_until ? between(1, 3) * second : whom.flush_every;
        // What is there now is on the disk by then, unless it is cut meanwhile.
        const bool is_idle = whom.log.synced == whom.log.end();
        schedule(now_ + (is_idle ? std::max(pause, 5 * millisecond) : pause), event_kind::flush, whom.id, whom.flushing,
                 static_cast<std::uint64_t>(is_idle ? 0 : whom.log.end()));
    }

    void begin_flushing(node& whom) {
        whom.flushing = ++flushings_;
        if (is_durable_) {
            schedule(now_ + whom.flush_every, event_kind::flush, whom.id, whom.flushing);
        }
    }

    // ---- what a replica wants done ----

    enum class done { well, badly, and_gone };

    void settle(node& whom) {
        const std::uint64_t life = whom.life;
        while (whom.machine && whom.life == life) {
            hear_reports(whom);
            if (whom.was_leader) {
                check_watermark(whom);  // before it ends in the middle of what follows
            }
            const std::vector<replication::action> actions = whom.machine->take_actions();
            if (actions.empty()) {
                break;
            }
            for (const replication::action& one : actions) {
                const done how = carry_out(whom, one);
                if (how == done::and_gone) {
                    return;
                }
                if (how == done::badly) {
                    note(whom, "has a disk that fails");
                    whom.is_disk_bad = true;
                    whom.machine->fail();
                    break;
                }
            }
        }
        if (!whom.machine || whom.life != life) {
            return;
        }
        check(whom);
        if (whom.is_disk_bad) {
            end(whom, may_lose(whom) ? loss::power : loss::none, between(100, 3000) * millisecond);
            return;
        }
        if (const auto due = whom.machine->next_due()) {
            const std::int64_t wait = due->count() - whom.clock_offset;
            std::int64_t at = wait <= 0 ? now_ : (wait * 1000 + whom.clock_rate - 1) / whom.clock_rate;
            whom.spins = at <= now_ ? whom.spins + 1 : 0;
            demand(whom.spins < 1000, "node %d wants to be called again and again at the same time", whom.id);
            at = std::max(at, now_);
            if (at < whom.wake_at) {
                whom.wake_at = at;
                schedule(at, event_kind::wake, whom.id, whom.life);
            }
        }
    }

    [[nodiscard]] done carry_out(node& whom, const replication::action& wanted) {
        if (whom.fuse > 0 && --whom.fuse == 0) {
            end(whom, whom.fuse_ends_with != loss::none && may_lose(whom) ? whom.fuse_ends_with : loss::none, between(50, 3000) * millisecond);
            return done::and_gone;
        }
        using what = replication::action::what;
        switch (wanted.kind) {
            case what::save_ballot: return save(whom);
            case what::send: say(whom, wanted.to, wanted.said); return done::well;
            case what::serve: {
                replication::message said = wanted.said;
                const offset from = said.fetch_answer.end;
                const offset until = std::min(wanted.until, from + between(1, 40));
                demand(from >= whom.log.start && until <= whom.log.end(), "node %d is to serve what it does not have", whom.id);
                frames_.clear();
                for (offset at = from; at < until; ++at) {
                    const record& next = whom.log.at(at).held;
                    const std::size_t size = frames_.size();
                    frames_.resize(size + sizeof next);
                    std::memcpy(frames_.data() + size, &next, sizeof next);
                }
                said.frames = frames_;
                say(whom, wanted.to, said);
                return done::well;
            }
            case what::open_epoch:
                begin_to_lead(whom);
                return append(whom, {whom.machine->epoch(), kind::opens_epoch, 0, 0});
            case what::append_voters: {
                std::uint64_t bits = 0;
                for (const std::int32_t one : wanted.nodes) {
                    bits |= std::uint64_t{1} << one;
                }
                ++figures_.voter_changes;
                return append(whom, {whom.machine->epoch(), kind::names_voters, 0, bits});
            }
            case what::copy: return copy(whom, wanted.said);
            case what::cut:
                note(whom, "is cut from %lld to %lld, epoch %u", static_cast<long long>(whom.log.end()), static_cast<long long>(wanted.until), whom.machine->epochs().last());
                ++figures_.cuts;
                demand(wanted.until >= whom.log.start && wanted.until < whom.log.end(), "node %d is to be cut where it does not reach", whom.id);
                demand(wanted.until >= whom.watermark || lossy_leaders_ > 0, "node %d is cut at %lld, below its high watermark %lld", whom.id,
                       static_cast<long long>(wanted.until), static_cast<long long>(whom.watermark));
                demand(wanted.until >= whom.watermark || wanted.depth == replication::cut_depth::committed, "node %d cuts what is committed, and does not say so", whom.id);
                whom.log.cut(wanted.until);
                begin_flushing(whom);  // what is under way does not count
                return done::well;
            case what::begin_anew:
                note(whom, "begins anew at %lld", static_cast<long long>(wanted.until));
                ++figures_.begun_anew;
                demand(wanted.until <= static_cast<offset>(committed_.size()) || lossy_leaders_ > 0, "node %d begins anew where nothing is committed", whom.id);
                whom.had = std::max(whom.had, whom.log.end());
                whom.log.records.clear();
                whom.log.start = wanted.until;
                whom.log.synced = wanted.until;
                whom.log.chain_in_front = chain_in_front_of(wanted.until);
                whom.saved_watermark = wanted.until;
                begin_flushing(whom);
                return done::well;
        }
        return done::badly;
    }

    /// Of everything below `until`, for a log that begins there. Where it is not known any more, after losses, it is not compared.
    [[nodiscard]] std::uint64_t chain_in_front_of(offset until) const noexcept {
        return until == 0 || until > static_cast<offset>(committed_.size()) ? 0 : committed_[static_cast<std::size_t>(until - 1)].chain;
    }

    [[nodiscard]] done save(node& whom) {
        if (has(failing_saves) && !is_healed_ && one_in(300) && may_lose(whom)) {
            count_fault("failing save");
            return done::badly;
        }
        const replication::ballot& now = whom.machine->ballot();
        if (whom.ballot) {
            demand(now.epoch >= whom.ballot->epoch, "node %d goes back to epoch %u from %u", whom.id, now.epoch, whom.ballot->epoch);
            demand(now.epoch > whom.ballot->epoch || whom.ballot->voted_for == replication::no_node || now.voted_for == whom.ballot->voted_for,
                   "node %d changes its vote in epoch %u", whom.id, now.epoch);
        }
        demand(!now.voters.empty(), "node %d forgets all voters", whom.id);
        whom.ballot = now;
        whom.is_damaged = false;  // the ballot says so by now, or had it that it is no suspect any more
        return done::well;
    }

    [[nodiscard]] done append(node& whom, record next) {
        if (has(failing_disks) && !is_healed_ && one_in(2000) && may_lose(whom)) {
            count_fault("failing append");
            return done::badly;
        }
        if (next.what == kind::names_voters) {
            note(whom, "appends voters %llx", static_cast<unsigned long long>(next.content));
            std::uint64_t before = 0;
            for (const std::int32_t one : whom.machine->voters()) {
                before |= std::uint64_t{1} << one;
            }
            const bool is_said_anew = !whom.log.records.empty() && whom.log.records.back().held.what == kind::opens_epoch;
            if (before != next.content && !is_said_anew) {
                demand(std::has_single_bit(before ^ next.content), "more than one voter comes or goes");
                demand(whom.machine->voter_sets().back().at < whom.machine->high_watermark() && whom.machine->knows_high_watermark(),
                       "node %d changes the voters, and what was before is not committed", whom.id);
            }
            if (const done how = announce(whom, whom.log.end(), next); how != done::well) {
                return how;
            }
        }
        push(whom, next);
        whom.machine->grown(next.epoch, whom.log.end(), clock_of(whom));
        return done::well;
    }

    [[nodiscard]] done announce(node& whom, offset at, const record& next) {
        std::vector<std::int32_t> named;
        for (std::int32_t i = 0; i < 64; ++i) {
            if ((next.content >> i & 1) != 0) {
                named.push_back(i);
            }
        }
        demand(whom.machine->note_voters(at, next.epoch, std::move(named)), "node %d cannot note voters", whom.id);
        for (const replication::action& one : whom.machine->take_actions()) {
            if (const done how = carry_out(whom, one); how != done::well) {
                return how;
            }
        }
        return done::well;
    }

    /// Log Matching: what one epoch has at one offset is the same everywhere, with all that is in front of it.
    void push(node& whom, const record& next) {
        const offset at = whom.log.end();
        if (whom.log.records.empty() && lossy_leaders_ > 0 && is_unlimited_) {
            whom.log.chain_in_front = 0;  // what was in front, and has gone, may have been another history's
        }
        whom.log.append(next);
        whom.longest = std::max(whom.longest, whom.log.end());
        const std::uint64_t chain = whom.log.records.back().chain;
        if (chain == 0) {
            return;
        }
        epoch_content& of_epoch = content_[next.epoch];
        if (of_epoch.chains.empty()) {
            of_epoch.first = at;
        }
        const offset index = at - of_epoch.first;
        if (index < 0 || index > static_cast<offset>(of_epoch.chains.size())) {
            return;  // it begins in the middle of the epoch
        }
        if (index == static_cast<offset>(of_epoch.chains.size())) {
            of_epoch.chains.push_back(chain);
            return;
        }
        demand(of_epoch.chains[static_cast<std::size_t>(index)] == chain, "node %d has another record at offset %lld of epoch %u than somebody else", whom.id,
               static_cast<long long>(at), next.epoch);
    }

    [[nodiscard]] done copy(node& whom, const replication::message& said) {
        std::size_t count = said.frames.size() / sizeof(record);
        bool is_whole = true;
        if (has(corruption) && !is_healed_ && one_in(50)) {
            count_fault("damaged frames");
            count = static_cast<std::size_t>(below(static_cast<std::int64_t>(count)));
            is_whole = false;
        }
        if (has(failing_disks) && !is_healed_ && one_in(2000) && may_lose(whom)) {
            count_fault("failing append");
            return done::badly;
        }
        demand(said.fetch_answer.end == whom.log.end(), "node %d is to copy what does not follow", whom.id);
        std::uint32_t epoch = 0;
        for (std::size_t i = 0; i < count; ++i) {
            record next;
            std::memcpy(&next, said.frames.data() + i * sizeof next, sizeof next);
            if (i > 0 && next.epoch != epoch) {
                whom.machine->grown(epoch, whom.log.end(), clock_of(whom));
            }
            epoch = next.epoch;
            if (next.what == kind::names_voters) {
                if (i > 0 && whom.machine->end() < whom.log.end()) {
                    whom.machine->grown(epoch, whom.log.end(), clock_of(whom));
                }
                if (const done how = announce(whom, whom.log.end(), next); how != done::well) {
                    return how;
                }
            }
            push(whom, next);
        }
        if (count > 0) {
            whom.machine->grown(epoch, whom.log.end(), clock_of(whom));
        }
        whom.machine->copied(said, is_whole, clock_of(whom));
        return done::well;
    }

    // ---- the network ----

    /// What is said is on the speaker's disk.
    void say(node& whom, std::int32_t to, const replication::message& said) {
        using replication::message_kind;
        const bool is_saved = whom.ballot && (whom.ballot->epoch >= said.epoch || said.is_pre_vote);
        demand(is_saved, "node %d says epoch %u before it is saved", whom.id, said.epoch);
        if (said.kind == message_kind::vote && !said.is_pre_vote) {
            demand(whom.ballot->epoch > said.epoch || whom.ballot->voted_for == whom.id, "node %d asks for votes before its own is saved", whom.id);
            grant(said.epoch, whom.id, whom.id, said.is_suspect);
        }
        if (said.kind == message_kind::vote_answer && !said.is_pre_vote && said.is_granted) {
            demand(whom.ballot->epoch > said.epoch || whom.ballot->voted_for == to, "node %d gives a vote before it is saved", whom.id);
            demand(said.is_suspect || !whom.ballot->is_suspect, "node %d is a suspect and gives a clean vote", whom.id);
            grant(said.epoch, whom.id, to, said.is_suspect);
        }
        if (said.kind == message_kind::end_epoch && whom.machine->is_leader()) {
            const node& next = nodes_[static_cast<std::size_t>(to)];
            demand(next.longest >= whom.log.end(), "node %d hands over to %d, which does not have all", whom.id, to);
        }
        raw_.clear();
        said.encode(raw_);
        if (to < 0 || static_cast<std::size_t>(to) >= nodes_.size()) {
            return;
        }
        ++figures_.messages;
        if (has(corruption) && !is_healed_ && one_in(100)) {  // the transport's checksums tell; the decoder has to live with it all the same
            count_fault("corrupt message");
            std::vector<std::byte> bad = raw_;
            for (std::int64_t i = between(1, 4); i > 0; --i) {
                bad[static_cast<std::size_t>(below(static_cast<std::int64_t>(bad.size())))] ^= static_cast<std::byte>(1u << below(8));
            }
            if (one_in(2)) {
                bad.resize(static_cast<std::size_t>(below(static_cast<std::int64_t>(bad.size()))));
            }
            static_cast<void>(replication::message::decode(bad));
            static_cast<void>(replication::voter_set::decode(bad));
            return;
        }
        travel(whom.id, to, {whom.id, raw_, 0, 0, 0, 0});
    }

    void travel(std::int32_t from, std::int32_t to, packet what) {
        std::int64_t delay = between(100'000, 3 * millisecond);
        if (!is_healed_) {
            if (has(drops) && one_in(drop_rate_)) {
                count_fault("dropped message");
                return;
            }
            if (has(delays) && one_in(20)) {
                count_fault("late message");
                delay += one_in(10) ? between(1, 6) * second : between(1, 200) * millisecond;
            }
            if (from >= 0) {
                if (cut_until_[link(from, to)] > now_) {
                    return;
                }
                const std::int64_t clogged = std::max(clogged_until_[static_cast<std::size_t>(from)], clogged_until_[static_cast<std::size_t>(to)]);
                delay += std::max<std::int64_t>(0, clogged - now_);
                if (has(duplicates) && one_in(20)) {
                    count_fault("message twice");
                    schedule(now_ + delay + below(one_in(5) ? 3 * second : 20 * millisecond), event_kind::deliver, to, keep_packet(what));
                }
            }
        }
        schedule(now_ + delay, event_kind::deliver, to, keep_packet(std::move(what)));
    }

    [[nodiscard]] std::size_t link(std::int32_t from, std::int32_t to) const noexcept { return static_cast<std::size_t>(from) * nodes_.size() + static_cast<std::size_t>(to); }

    [[nodiscard]] std::size_t keep_packet(packet what) {
        if (free_packets_.empty()) {
            packets_.push_back(std::move(what));
            return packets_.size() - 1;
        }
        const std::size_t slot = free_packets_.back();
        free_packets_.pop_back();
        packets_[slot] = std::move(what);
        return slot;
    }
    void free_packet(std::size_t slot) { free_packets_.push_back(slot); }

    // ---- clients: each numbers what it sends, and sends it until it is acknowledged ----

    void produce(std::uint16_t who) {
        producer& one = producers_[who];
        if (are_clients_done_ && !one.is_waiting) {
            return;
        }
        if (one.is_waiting) {  // nobody has answered
            one.leader = static_cast<std::int32_t>(below(static_cast<std::int64_t>(nodes_.size())));
        } else {
            one.count = static_cast<std::uint64_t>(between(1, 5));
            one.is_waiting = true;
        }
        ++one.request;
        send_request(who);
        schedule(now_ + between(300, 1200) * millisecond, event_kind::produce, who);
    }

    void send_request(std::uint16_t who) {
        const producer& one = producers_[who];
        packet what;
        what.producer = who;
        what.first = one.acknowledged;
        what.count = one.count;
        what.request = one.request;
        travel(-1, one.leader, std::move(what));
    }

    void acknowledged(std::uint16_t who, std::uint64_t request, std::uint64_t end) {
        producer& one = producers_[who];
        if (!one.is_waiting || request > one.request || end != one.acknowledged + one.count) {
            return;
        }
        if (is_verbose_) {
            std::printf("%12.6f producer %d acknowledged up to %llu\n", static_cast<double>(now_) / 1e9, int{who}, static_cast<unsigned long long>(end));
        }
        one.acknowledged = end;
        one.is_waiting = false;
        ++acknowledged_;
        ++figures_.acknowledged;
    }

    void refused(std::uint16_t who, std::uint64_t request, std::uint64_t leader) {
        producer& one = producers_[who];
        if (!one.is_waiting || request != one.request) {
            return;
        }
        if (leader >= 1000) {  // acknowledged, and lost: it goes on behind that
            one.acknowledged = std::min(one.acknowledged, leader - 1000);
            return;
        }
        if (leader < nodes_.size() && one.leader != static_cast<std::int32_t>(leader)) {
            one.leader = static_cast<std::int32_t>(leader);
            if (!one_in(4)) {  // two may name each other
                send_request(who);
            }
        }
    }

    void refuse(const packet& asked, std::uint64_t leader) { schedule(now_ + millisecond, event_kind::refuse, asked.producer, asked.request, leader); }

    void take_request(node& whom, const packet& asked) {
        replication::replica& machine = *whom.machine;
        if (!machine.accepts_appends()) {
            refuse(asked, machine.leader() == replication::no_node || machine.leader() == whom.id ? 999 : static_cast<std::uint64_t>(machine.leader()));
            return;
        }
        std::vector<offset>& places = whom.sequences[asked.producer];
        note(whom, "is asked for %llu of producer %d, and has %zu", static_cast<unsigned long long>(asked.first), int{asked.producer}, places.size());
        if (asked.first > places.size()) {  // it lacks something: it leads no more, or that was lost
            if (lossy_leaders_ > 0 && machine.knows_high_watermark()) {
                refuse(asked, 1000 + places.size());
            }
            return;
        }
        const offset before = whom.log.end();
        for (std::uint64_t sequence = asked.first; sequence < asked.first + asked.count; ++sequence) {
            if (sequence == places.size()) {
                places.push_back(whom.log.end());
                push(whom, {machine.epoch(), kind::value, asked.producer, sequence});
            }
        }
        const std::uint64_t end = asked.first + asked.count;
        whom.waiting.push_back({places[static_cast<std::size_t>(end - 1)], asked.producer, end, asked.request});
        if (whom.log.end() > before) {
            machine.grown(machine.epoch(), whom.log.end(), clock_of(whom));
        }
        settle(whom);
    }

    void find_sequences(node& whom) {
        whom.sequences.assign(producers_.size(), {});
        const auto take = [&](const record& one, offset at) {
            if (one.what != kind::value) {
                return;
            }
            std::vector<offset>& places = whom.sequences[one.producer];
            if (one.content == places.size()) {
                places.push_back(at);
            } else if (lossy_leaders_ > 0) {  // of what was lost numbers are missing, or come again
                places.resize(std::max(places.size(), static_cast<std::size_t>(one.content + 1)), at);
            } else {
                demand(false, "producer %d has number %llu behind %zu, in the log of node %d", int{one.producer},
                       static_cast<unsigned long long>(one.content), places.size(), whom.id);
            }
        };
        for (offset at = 0; at < whom.log.start && at < static_cast<offset>(committed_.size()); ++at) {
            take(committed_[static_cast<std::size_t>(at)].held, at);
        }
        for (std::size_t i = 0; i < whom.log.records.size(); ++i) {
            take(whom.log.records[i].held, whom.log.start + static_cast<offset>(i));
        }
    }

    // ---- the checker ----

    struct epoch_content {
        offset first = 0;
        std::vector<std::uint64_t> chains;
    };
    struct seen_to_lead {
        std::int32_t id;
        std::vector<std::int32_t> voters;
    };
    struct granted {
        std::int32_t voter;
        std::int32_t candidate;
        bool is_suspect;
    };

    void grant(std::uint32_t epoch, std::int32_t voter, std::int32_t candidate, bool is_suspect) {
        std::vector<granted>& all = votes_[epoch];
        for (granted& one : all) {
            if (one.voter == voter && one.candidate == candidate) {
                one.is_suspect = one.is_suspect && is_suspect;
                return;
            }
            demand(one.voter != voter || is_suspect || one.is_suspect, "node %d votes for %d and for %d in epoch %u", voter, one.candidate, candidate, epoch);
        }
        all.push_back({voter, candidate, is_suspect});
    }

    [[nodiscard]] static std::uint32_t line_of(std::uint32_t epoch) noexcept { return replication::line_of(epoch); }

    void hear_reports(node& whom) {
        for (const std::string& one : whom.machine->take_reports()) {
            note(whom, "reports: %s", one.c_str());
            demand(one.find("has stopped") == std::string::npos, "node %d: %s", whom.id, one.c_str());
            has_reported_ = has_reported_ || one.find("are cut") != std::string::npos || one.find("leads in epoch") != std::string::npos;
        }
    }

    void check(node& whom) {
        replication::replica& machine = *whom.machine;
        hear_reports(whom);
        if (whom.is_disk_bad) {
            whom.waiting.clear();
            return;
        }
        demand(machine.end() == whom.log.end(), "node %d thinks that its log ends at %lld, and it ends at %lld", whom.id, static_cast<long long>(machine.end()),
               static_cast<long long>(whom.log.end()));
        if (whom.was_suspect && !machine.is_suspect()) {
            note(whom, "is no suspect any more");
            ++figures_.suspicions_ended;
        }
        whom.was_suspect = machine.is_suspect();
        demand(whom.was_suspect || is_unlimited_ || (is_durable_ ? whom.log.synced : whom.log.end()) >= whom.relied_on || whom.is_damaged,
               "node %d is no suspect, has %lld, and has lost what was committed with it up to %lld", whom.id,
               static_cast<long long>(is_durable_ ? whom.log.synced : whom.log.end()), static_cast<long long>(whom.relied_on));
        demand(!machine.is_leader() || machine.is_voter(whom.id) || machine.voter_sets().back().at >= machine.high_watermark(), "node %d is voted out, and leads on", whom.id);
        demand(!machine.is_leader() || (whom.was_leader && whom.led_in == machine.epoch()), "node %d leads, and has not opened its epoch", whom.id);
        check_watermark(whom);
        if (!machine.is_leader() && whom.was_leader) {
            note(whom, "leads no more");
            whom.was_leader = false;
            whom.waiting.clear();
        }
        if (machine.is_leader()) {
            acknowledge(whom);
        }
    }

    void begin_to_lead(node& whom) {
        const std::uint32_t epoch = whom.machine->epoch();
        note(whom, "leads in epoch %u", epoch);
        ++figures_.leaders;
        whom.was_leader = true;
        whom.led_in = epoch;
        whom.waiting.clear();
        const std::vector<std::int32_t>& voters = whom.machine->voters();
        const auto [led_by, is_first] = leaders_.try_emplace(epoch, seen_to_lead{whom.id, voters});
        if (!is_first && is_forced_ && std::none_of(voters.begin(), voters.end(), [&before = led_by->second](auto id) { return replication::contains(before.voters, id); })) {
            throw split_by_force{};
        }
        demand(is_first, "epoch %u has two leaders, %d and %d", epoch, led_by->second.id, whom.id);
        // By a majority whose word counts, or by all, or by an operator.
        std::size_t clean = 0;
        std::size_t all = 0;
        for (const granted& one : votes_[epoch]) {
            if (one.candidate == whom.id && std::find(voters.begin(), voters.end(), one.voter) != voters.end()) {
                ++all;
                clean += one.is_suspect ? 0u : 1u;
            }
        }
        if (voters.size() == 1) {
            all = 1;
        }
        const bool is_clean = clean >= voters.size() / 2 + 1 && !whom.machine->is_suspect();
        for (const granted& one : votes_[epoch]) {
            note(nodes_[static_cast<std::size_t>(one.voter)], "voted for %d%s", one.candidate, one.is_suspect ? ", as a suspect" : "");
        }
        if (is_verbose_) {
            std::printf("%s\n", describe().c_str());
        }
        demand(is_clean || all == voters.size() || is_forced_, "node %d leads in epoch %u by %zu votes, %zu of them clean, of %zu", whom.id, epoch, all, clean, voters.size());
        // It has what is committed.
        const bool is_late = leaders_.rbegin()->first > epoch;  // it counts votes of long ago
        const bool is_lossy = !is_clean && line_of(epoch) > 0;
        if ((is_late && is_lossy) || is_lossy_late_) {  // what others cut for its sake is lost when the next one leads
            is_lossy_late_ = true;
            ++lossy_leaders_;
            lossy_epoch_ = replication::message::largest_epoch;  // two go on at once: what is committed is known no more, before they meet
            find_sequences(whom);
            return;
        }
        offset all_before = static_cast<offset>(committed_.size());
        while (all_before > 0 && committed_[static_cast<std::size_t>(all_before - 1)].committed_in > epoch) {
            --all_before;
        }
        offset same = std::min(whom.log.end(), all_before);
        while (same > whom.log.start && !is_same(committed_[static_cast<std::size_t>(same - 1)], whom.log.at(same - 1))) {
            --same;
        }
        if (same < all_before) {
            demand((is_lossy || is_forced_) && is_unlimited_, "node %d leads in epoch %u up to %lld, and lacks what is committed up to %lld from offset %lld on", whom.id, epoch,
                   static_cast<long long>(whom.log.end()), static_cast<long long>(all_before), static_cast<long long>(same));
            figures_.lost += static_cast<std::uint64_t>(all_before - same);
            demand(has_reported_, "what was committed is lost, and nobody says so");
            committed_.resize(static_cast<std::size_t>(same));
            lossy_epoch_ = epoch;
        }
        if (is_lossy) {
            lossy_epoch_ = epoch;
        }
        if (is_lossy) {
            ++figures_.lossy_leaders;
            ++lossy_leaders_;
        }
        find_sequences(whom);
    }

    void check_watermark(node& whom) {
        replication::replica& machine = *whom.machine;
        const offset now = machine.high_watermark();
        if (now == whom.watermark) {
            return;
        }
        if (now < whom.watermark) {
            demand(lossy_leaders_ > 0, "node %d takes its high watermark back from %lld to %lld", whom.id, static_cast<long long>(whom.watermark), static_cast<long long>(now));
            whom.watermark = now;
            return;
        }
        demand(now <= whom.log.end(), "the high watermark %lld of node %d is above its end %lld", static_cast<long long>(now), whom.id, static_cast<long long>(whom.log.end()));
        whom.watermark = now;
        if (machine.epoch() < lossy_epoch_) {
            return;  // it does not know yet that what it holds may be lost
        }
        const auto known = static_cast<offset>(committed_.size());
        if (now <= known) {
            demand(now <= whom.log.start || is_same(whom.log.chain_at(now), committed_[static_cast<std::size_t>(now - 1)].chain),
                   "what node %d has for committed up to %lld is not what was", whom.id, static_cast<long long>(now));
            return;
        }
        const bool has_led = machine.is_leader() || (whom.was_leader && whom.led_in == machine.epoch());
        demand(has_led || lossy_leaders_ > 0, "node %d follows, and knows of a high watermark %lld that no leader has", whom.id, static_cast<long long>(now));
        if (!has_led) {
            return;
        }
        demand(known == 0 || known <= whom.log.start || is_same(whom.log.chain_at(known), committed_[static_cast<std::size_t>(known - 1)].chain),
               "node %d commits another history than was committed", whom.id);
        demand(whom.log.at(now - 1).held.epoch == machine.epoch(), "node %d commits offset %lld, of epoch %u, in epoch %u", whom.id, static_cast<long long>(now - 1),
               whom.log.at(now - 1).held.epoch, machine.epoch());
        // Enough hold it, or did before they were damaged.
        std::size_t holders = 0;
        std::size_t former = 0;
        const std::vector<std::int32_t> voters = machine.voters();
        for (const std::int32_t id : voters) {
            node& one = nodes_[static_cast<std::size_t>(id)];
            const offset held = is_durable_ ? one.log.synced : one.log.end();
            const bool has_it = held >= now && (now <= one.log.start || is_same(one.log.chain_at(now), whom.log.chain_at(now)));
            if (has_it) {
                one.relied_on = std::max(one.relied_on, now);
            }
            holders += has_it ? 1u : 0u;
            former += !has_it && one.had >= now ? 1u : 0u;
        }
        const std::size_t needed = std::min(std::max(voters.size() / 2 + 1, min_insync_), voters.size());
        demand(holders + former >= needed, "node %d commits up to %lld, and %zu of %zu hold that", whom.id, static_cast<long long>(now), holders, needed);
        for (const std::int32_t id : voters) {
            node& one = nodes_[static_cast<std::size_t>(id)];
            one.relied_on = holders < needed && one.had >= now ? std::max(one.relied_on, now) : one.relied_on;
        }
        if (known < whom.log.start) {
            demand(lossy_leaders_ > 0, "node %d leads, and has let go of what nobody has committed", whom.id);
            committed_.resize(static_cast<std::size_t>(whom.log.start), chained{{0, kind::opens_epoch, 0, 0}, 0, 0});
        }
        for (offset at = std::max(known, whom.log.start); at < now; ++at) {
            committed_.push_back(whom.log.at(at));
            committed_.back().committed_in = machine.epoch();
            const record& one = whom.log.at(at).held;
            if (one.what == kind::names_voters) {
                latest_voters_.clear();
                latest_voters_at_ = at;
                latest_voters_epoch_ = one.epoch;
                for (std::int32_t i = 0; i < 64; ++i) {
                    if ((one.content >> i & 1) != 0) {
                        latest_voters_.push_back(i);
                    }
                }
            }
        }
    }

    void acknowledge(node& whom) {
        for (std::size_t i = 0; i < whom.waiting.size();) {
            const waiting_ack& one = whom.waiting[i];
            if (one.until >= whom.machine->high_watermark()) {
                ++i;
                continue;
            }
            if (lossy_leaders_ == 0 || !is_unlimited_) {
                const auto at = static_cast<std::size_t>(one.until);
                demand(at < committed_.size() && committed_[at].held.producer == one.producer && committed_[at].held.content == one.end - 1,
                       "node %d acknowledges what is not committed", whom.id);
            }
            schedule(now_ + millisecond, event_kind::acknowledge, one.producer, one.request, one.end);
            whom.waiting[i] = whom.waiting.back();
            whom.waiting.pop_back();
        }
    }

    // ---- faults ----

    enum feature : unsigned {
        drops, duplicates, delays, cuts, flapping, swizzle, corruption, kills, power_losses, disk_losses, failing_disks, failing_saves, slow_disks, pauses, clock_skew, retention,
        membership, transfers, closes, ends_in_the_middle, all_powers
    };
    [[nodiscard]] bool has(feature which) const noexcept { return (features_ >> which & 1) != 0; }
    void count_fault(const char* name) { ++figures_.faults[name]; }

    /// Whether what is promised holds although `whom` loses something, too: of every majority somebody is left who has not.
    [[nodiscard]] bool may_lose(const node& whom) const {
        if (is_unlimited_) {
            return true;
        }
        const auto is_hurt = [&](std::int32_t id) {
            const node& one = nodes_[static_cast<std::size_t>(id)];
            return id == whom.id || one.is_damaged || !one.ballot || one.ballot->is_suspect;
        };
        const auto bears = [&](const std::vector<std::int32_t>& voters) {
            const auto hurt = static_cast<std::size_t>(std::count_if(voters.begin(), voters.end(), is_hurt));
            return std::find(voters.begin(), voters.end(), whom.id) == voters.end() || hurt <= voters.size() / 2;
        };
        if (!bears(latest_voters_)) {
            return false;
        }
        for (const node& one : nodes_) {
            if (one.ballot) {
                for (const replication::voter_set& set : one.ballot->voters) {
                    if (!bears(set.nodes)) {
                        return false;
                    }
                }
            }
        }
        return true;
    }

    /// A process ends: killed, or with the power, or with its disk. It starts again after `pause`.
    void end(node& whom, loss what, std::int64_t pause) {
        note(whom, "ends%s", what == loss::power ? " with the power" : what == loss::disk ? " with its disk" : "");
        whom.machine.reset();
        whom.is_paused = false;
        whom.has_missed_wake = false;
        for (const std::size_t slot : whom.inbox) {
            free_packet(slot);
        }
        whom.inbox.clear();
        whom.waiting.clear();
        whom.was_leader = false;
        whom.wake_at = never;
        ++whom.life;
        whom.flushing = 0;
        if (what == loss::power && whom.log.synced < whom.log.end()) {
            whom.had = std::max(whom.had, is_durable_ ? whom.had : whom.log.end());
            whom.log.cut(between(whom.log.synced, whom.log.end()));
            whom.log.synced = whom.log.end();
        }
        whom.is_damaged = whom.is_damaged || (what == loss::power && !is_durable_) || what == loss::disk;
        if (what == loss::disk) {
            whom.had = std::max(whom.had, whom.log.end());
            whom.ballot.reset();
            whom.log = {};
            whom.saved_watermark = 0;
        }
        schedule(now_ + pause, event_kind::restart, whom.id, whom.life);
    }

    /// In order: it resigns, brings everything to the disk, and is no suspect when it starts again.
    void close(node& whom) {
        whom.log.synced = whom.log.end();
        if (is_durable_) {
            whom.machine->flushed(whom.log.synced, clock_of(whom));
            settle(whom);
        }
        if (whom.machine) {
            whom.saved_watermark = whom.machine->high_watermark();
            end(whom, loss::none, between(100, 3000) * millisecond);
        }
    }

    void cause_fault() {
        auto which = static_cast<feature>(below(all_powers + 1));
        for (int i = 0; i < 20 && !has(which); ++i) {
            which = static_cast<feature>(below(all_powers + 1));
        }
        if (!has(which)) {
            return;
        }
        node& whom = nodes_[static_cast<std::size_t>(below(static_cast<std::int64_t>(nodes_.size())))];
        node* leading = nullptr;
        for (node& one : nodes_) {
            if (one.machine && one.machine->is_leader() && !one.is_paused) {
                leading = &one;
            }
        }
        node& target = leading != nullptr && one_in(3) ? *leading : whom;  // who leads is hit more often
        const std::int64_t pause = one_in(3) ? between(10, 200) * millisecond : between(100, 6000) * millisecond;
        switch (which) {
            case drops: drop_rate_ = between(2, 50); break;
            case cuts:
                count_fault("cut");
                for (std::size_t i = 0; i < nodes_.size(); ++i) {
                    const auto other = static_cast<std::int32_t>(i);
                    if (other == target.id) {
                        continue;
                    }
                    const std::int64_t way = below(4);  // in, out, both, or not to this one
                    if (way == 0 || way == 2) {
                        cut_until_[link(other, target.id)] = now_ + pause;
                    }
                    if (way == 1 || way == 2) {
                        cut_until_[link(target.id, other)] = now_ + pause;
                    }
                }
                break;
            case flapping:
                count_fault("flap");
                for (std::int64_t& one : cut_until_) {
                    if (one_in(4)) {
                        one = now_ + between(1, 150) * millisecond;
                    }
                }
                break;
            case swizzle: {
                count_fault("swizzle");
                for (std::size_t i = 0; i < nodes_.size(); ++i) {
                    clogged_until_[i] = now_ + between(100, 4000) * millisecond;
                }
                break;
            }
            case kills:
                if (target.machine) {
                    count_fault("kill");
                    end(target, loss::none, pause);
                }
                break;
            case power_losses:
                if (target.machine && (is_durable_ || may_lose(target))) {
                    count_fault("power loss");
                    end(target, loss::power, pause);
                }
                break;
            case all_powers:
                if (is_durable_ || is_unlimited_) {
                    count_fault("all powers lost");
                    for (node& one : nodes_) {
                        if (one.machine) {
                            end(one, loss::power, between(10, 3000) * millisecond);
                        }
                    }
                }
                break;
            case disk_losses:
                if (target.machine && one_in(3) && may_lose(target) && (!is_unlimited_ || somebody_else_remembers(target))) {
                    count_fault("disk lost");
                    end(target, loss::disk, pause);
                }
                break;
            case failing_disks:
                if (target.machine && !target.is_paused && may_lose(target)) {
                    count_fault("disk failure");
                    target.machine->fail();
                    target.is_disk_bad = true;
                    settle(target);
                }
                break;
            case slow_disks:
                count_fault("slow disk");
                target.slow_until = now_ + 4 * pause;
                break;
            case pauses:
                if (target.machine && !target.is_paused && !target.is_closing) {
                    count_fault("pause");
                    note(target, "pauses");
                    target.is_paused = true;
                    schedule(now_ + pause, event_kind::resume, target.id, target.life);
                }
                break;
            case retention:
                if (target.machine && target.log.end() > target.log.start + 1) {
                    const offset most = std::min(target.machine->high_watermark(), target.log.end() - 1);
                    if (most > target.log.start && target.machine->epoch() >= lossy_epoch_) {
                        count_fault("retention");
                        const offset to = target.log.start + 1 + below(most - target.log.start);
                        target.log.chain_in_front = target.log.chain_at(to);
                        target.log.records.erase(target.log.records.begin(), target.log.records.begin() + static_cast<std::ptrdiff_t>(to - target.log.start));
                        target.log.start = to;
                        target.log.synced = std::max(target.log.synced, to);
                        target.machine->started_at(to);
                    }
                }
                break;
            case membership:
                for (std::int64_t i = between(1, 3); i > 0 && leading != nullptr && leading->machine && leading->machine->is_leader(); --i) {
                    change_voters(*leading);
                }
                break;
            case transfers:
                if (leading != nullptr && leading->machine->transfer(whom.id, clock_of(*leading))) {
                    count_fault("transfer");
                    settle(*leading);
                }
                break;
            case closes:
                if (target.machine && !target.is_paused && !target.is_closing && !target.is_disk_bad) {
                    count_fault("close");
                    note(target, "closes");
                    target.is_closing = true;
                    target.machine->resign(clock_of(target));
                    schedule(now_ + between(1, 100) * millisecond, event_kind::close, target.id, target.life);
                    settle(target);
                }
                break;
            case ends_in_the_middle:
                if (target.machine) {
                    count_fault("end in the middle");
                    target.fuse = static_cast<int>(between(1, 30));
                    target.fuse_ends_with = one_in(2) ? loss::none : loss::power;
                }
                break;
            default: break;
        }
        if (is_unlimited_ && one_in(6) && whom.machine && !whom.is_paused && !whom.is_disk_bad && !whom.machine->ballot().is_blank) {
            count_fault("forced");
            note(whom, "is forced to lead");
            is_forced_ = true;
            whom.machine->force_unclean(clock_of(whom));
            settle(whom);
        }
    }

    /// Where every voter has lost its disk this is another partition.
    [[nodiscard]] bool somebody_else_remembers(const node& whom) const {
        return std::any_of(latest_voters_.begin(), latest_voters_.end(), [&](std::int32_t id) {
            const node& one = nodes_[static_cast<std::size_t>(id)];
            return id != whom.id && one.ballot && !one.ballot->is_suspect && one.log.end() > 0;
        });
    }

    void change_voters(node& leading) {
        std::vector<std::int32_t> wanted = leading.machine->voters();
        const auto whom = static_cast<std::int32_t>(below(static_cast<std::int64_t>(nodes_.size())));
        const auto at = std::find(wanted.begin(), wanted.end(), whom);
        if (at == wanted.end()) {
            wanted.push_back(whom);
        } else {
            wanted.erase(at);
        }
        if (leading.machine->change_voters(wanted, clock_of(leading)).empty()) {
            count_fault("voters changed");
            if (one_in(2)) {  // two at once are refused
                wanted.push_back(wanted.front());
                for (std::int32_t i = 0; i < static_cast<std::int32_t>(nodes_.size()); ++i) {
                    if (std::find(wanted.begin(), wanted.end(), i) == wanted.end()) {
                        wanted.back() = i;
                        demand(!leading.machine->change_voters(wanted, clock_of(leading)).empty(), "two changes of voters are under way");
                        break;
                    }
                }
            }
            settle(leading);
        }
    }

    // ---- in the end nothing is wrong any more ----

    void heal() {
        if (is_verbose_) {
            std::printf("%12.6f everything is healed\n", static_cast<double>(now_) / 1e9);
        }
        is_healed_ = true;
        std::fill(cut_until_.begin(), cut_until_.end(), 0);
        std::fill(clogged_until_.begin(), clogged_until_.end(), 0);
        for (node& one : nodes_) {
            one.slow_until = 0;
            one.fuse = 0;
            if (one.is_paused) {
                schedule(now_ + below(10) * millisecond, event_kind::resume, one.id, one.life);
            }
            if (!one.machine) {
                schedule(now_ + below(100) * millisecond, event_kind::restart, one.id, one.life);
            }
        }
        acknowledged_at_heal_ = acknowledged_;
    }

    /// Operators have forced two to lead while voters were changed, and each has gone on with voters that do not know of the other's.
    [[nodiscard]] bool is_split_by_force() const {
        std::vector<std::int32_t> taken;
        int leaders = 0;
        for (const node& one : nodes_) {
            if (one.machine && one.machine->is_leader()) {
                ++leaders;
                for (const std::int32_t id : one.machine->voters()) {
                    if (std::find(taken.begin(), taken.end(), id) != taken.end()) {
                        return false;
                    }
                    taken.push_back(id);
                }
            }
        }
        return is_forced_ && leaders > 1;
    }

    /// An operator's last resort, where it takes somebody who has lost everything.
    void force_best() {
        node* best = nullptr;
        for (node& one : nodes_) {
            if (!one.machine || one.machine->is_leader()) {
                return;
            }
            if (best == nullptr || std::pair{one.machine->epochs().last(), one.log.end()} > std::pair{best->machine->epochs().last(), best->log.end()}) {
                best = &one;
            }
        }
        count_fault("forced in the end");
        is_forced_ = true;
        best->machine->force_unclean(clock_of(*best));
        settle(*best);
    }

    /// One leads, all have the same, nobody is a suspect, and something new has been acknowledged.
    [[nodiscard]] bool is_settled() {
        const node* leading = nullptr;
        for (const node& one : nodes_) {
            if (!one.machine) {
                return false;
            }
            if (one.machine->is_leader()) {
                if (leading != nullptr) {
                    return false;
                }
                leading = &one;
            }
        }
        if (leading == nullptr || acknowledged_ < acknowledged_at_heal_ + 2 * producers_.size()) {
            return false;
        }
        are_clients_done_ = true;
        return std::all_of(nodes_.begin(), nodes_.end(), [&](const node& one) {
            return one.machine->epoch() == leading->machine->epoch() && one.log.end() == leading->log.end() && one.machine->high_watermark() == one.log.end() &&
                   !one.machine->is_suspect() && is_same(one.log.chain_at(one.log.end()), leading->log.chain_at(leading->log.end())) &&
                   one.machine->voters() == leading->machine->voters();
        });
    }

    [[nodiscard]] std::string describe() const {
        std::string text;
        for (const node& one : nodes_) {
            char line[200];
            if (one.machine) {
                std::snprintf(line, sizeof line, "[%d %s%s epoch %u log %lld-%lld (%u) hw %lld leader %d voters %zu] ", one.id, replication::to_string(one.machine->role()),
                              one.machine->is_suspect() ? " suspect" : "", one.machine->epoch(), static_cast<long long>(one.log.start),
                              static_cast<long long>(one.log.end()), one.machine->epochs().last(), static_cast<long long>(one.machine->high_watermark()), one.machine->leader(),
                              one.machine->voters().size());
            } else {
                std::snprintf(line, sizeof line, "[%d down] ", one.id);
            }
            text += line;
            if (one.machine) {
                for (const replication::voter_set& set : one.machine->voter_sets()) {
                    text += "{" + std::to_string(set.at) + ":";
                    for (const std::int32_t id : set.nodes) {
                        text += " " + std::to_string(id);
                    }
                    text += "} ";
                }
            }
        }
        return text;
    }

    // ---- telling ----

    [[gnu::format(printf, 3, 4)]] void note(const node& whom, const char* format, ...) const {
        if (!is_verbose_) {
            return;
        }
        std::printf("%12.6f node %d ", static_cast<double>(now_) / 1e9, whom.id);
        std::va_list arguments;
        va_start(arguments, format);
        std::vprintf(format, arguments);
        va_end(arguments);
        std::putchar('\n');
    }

    [[gnu::format(printf, 2, 3)]] static void demand(bool is_so, const char* format, ...) {
        if (is_so) {
            return;
        }
        char text[3000];
        std::va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        throw replica_violation{text};
    }

    std::uint64_t random_;
    bool is_unlimited_;
    bool is_verbose_;
    replica_figures& figures_;

    // the partition
    std::int32_t voters_at_first_ = 0;
    std::vector<std::int32_t> first_voters_;
    std::vector<std::int32_t> latest_voters_;  // that are committed
    offset latest_voters_at_ = -1;
    std::uint32_t latest_voters_epoch_ = 0;
    bool is_durable_ = false;
    std::size_t min_insync_ = 1;
    std::uint64_t sessions_ = 0;
    std::uint64_t flushings_ = 0;
    std::vector<node> nodes_;
    std::vector<producer> producers_;

    // time
    std::int64_t now_ = 0;
    std::vector<event> events_;
    std::uint64_t event_number_ = 0;
    std::vector<packet> packets_;
    std::vector<std::size_t> free_packets_;
    std::vector<std::byte> raw_;
    std::vector<std::byte> frames_;

    // faults
    std::uint64_t features_ = 0;
    std::int64_t fault_pause_ = second;
    std::int64_t drop_rate_ = 20;
    std::vector<std::int64_t> cut_until_;
    std::vector<std::int64_t> clogged_until_;
    bool is_healed_ = false;

    // the checker
    std::vector<chained> committed_;
    std::map<std::uint32_t, epoch_content> content_;
    std::map<std::uint32_t, seen_to_lead> leaders_;
    std::map<std::uint32_t, std::vector<granted>> votes_;
    std::uint32_t lossy_epoch_ = 0;  // the latest whose leader may have lacked something
    std::uint64_t lossy_leaders_ = 0;
    bool is_forced_ = false;
    bool is_lossy_late_ = false;
    bool has_reported_ = false;
    bool are_clients_done_ = false;
    std::uint64_t acknowledged_ = 0;
    std::uint64_t acknowledged_at_heal_ = 0;
};

}  // namespace brook::test
