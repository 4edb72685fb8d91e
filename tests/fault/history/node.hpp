/// \file fault/history/node.hpp
/// One process of a run: a broker, and producers, members of a group and readers who note all that they do.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>
#include <brook/tcp.hpp>
#ifdef BROOK_HISTORIES_OVER_TLS
#include <brook/tls.hpp>
#endif

#include "fault/history/control.hpp"
#include "fault/history/operation.hpp"
#include "fault/history/recorder.hpp"

namespace brook::test::history {

/// A record: who it is, and whether it is whole.
struct entry {
    std::uint64_t value;
    std::uint64_t proof;

    [[nodiscard]] static std::uint64_t prove(std::uint64_t value) noexcept { return (value ^ 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull; }
    [[nodiscard]] static entry of(std::uint64_t value) noexcept { return {value, prove(value)}; }
};

/// Threads   `run` starts its own.
class node_process {
public:
    node_process(int id, std::uint32_t life, const std::string& directory)
        : id_{id},
          life_{life},
          directory_{directory},
          page_{directory + "/control", 0, false},
          control_{*page_.data()},
          recorder_{history_file(directory, id, life)},
          random_{control_.seed * 1'000'003 + life * 31 + static_cast<std::uint64_t>(id)} {}

    int run() {
        std::optional<brook::broker> opening;
        open(opening);
        brook::broker& broker = *opening;
        const std::int64_t opened = now();
        topic_.emplace(find_topic(broker));
        std::fprintf(stderr, "%.6f broker %d, life %u: open after %.3f s, the topic is there after %.3f s\n", static_cast<double>(now()) / 1e9, id_, life_,
                     static_cast<double>(opened - begun_) / 1e9, static_cast<double>(now() - begun_) / 1e9);
        for (std::uint32_t i = 0; i < control_.producers; ++i) {
            start(producers_, [this](std::mt19937_64 random) { produce(random); });
        }
        for (std::uint32_t i = 0; i < control_.members; ++i) {
            start(readers_, [this](std::mt19937_64 random) { take_part(random); });
        }
        start(readers_, [this](std::mt19937_64 random) { follow(random); });
        mine().ready.store(life_);
        watch(phase::drain);
        producers_.clear();
        mine().drained.store(life_);
        watch(phase::audit);
        readers_.clear();
        const bool is_done = audit();
        mine().audited.store(life_);
        watch(phase::leave);
        return is_done ? 0 : 3;
    }

private:
    using topic_type = brook::topic<no_key, entry>;
    using consumer_type = brook::consumer<no_key, entry>;

    [[nodiscard]] control::node& mine() noexcept { return control_.nodes[static_cast<std::size_t>(id_)]; }
    [[nodiscard]] bool is_at(phase what) const noexcept { return control_.at.load() >= what; }
    [[nodiscard]] std::uint32_t new_actor() noexcept { return control_.next_actor.fetch_add(1); }

    [[nodiscard]] std::shared_ptr<brook::transport> make_transport() {
        const auto fill = [this](auto options) {
            const auto at = [](int port) { return "127.0.0.1:" + std::to_string(port); };
            options.node_id = id_;
            options.listen = at(listening_port(control_.base_port, id_));
            for (int other = 1; other <= static_cast<int>(node_count); ++other) {
                options.peers.push_back({other, at(other == id_ ? listening_port(control_.base_port, id_) : dialled_port(control_.base_port, id_, other))});
            }
            options.cluster_id = "histories";
            options.reconnect_backoff = std::chrono::milliseconds{10};  // connections break all the time here
            options.reconnect_backoff_max = std::chrono::milliseconds{100};
            options.keep_alive_interval = std::chrono::milliseconds{500};
            options.answer_timeout = std::chrono::seconds{2};
            options.handshake_timeout = std::chrono::seconds{2};
            return options;
        };
#ifdef BROOK_HISTORIES_OVER_TLS
        if (control_.is_encrypted) {
            tls_options options = fill(tls_options{});
            options.certificate_file = directory_ + "/node-" + std::to_string(id_) + ".pem";
            options.private_key_file = directory_ + "/node-" + std::to_string(id_) + ".key";
            options.ca_file = directory_ + "/ca.pem";
            return std::make_shared<tls_transport>(std::move(options));
        }
#endif
        return std::make_shared<tcp_transport>(fill(tcp_options{}));
    }

    /// Where the disk is full it is tried until it is not.
    void open(std::optional<brook::broker>& into) {
        for (; !into; std::this_thread::sleep_for(std::chrono::milliseconds{20})) {
            try {
                into.emplace(directory_ + "/disk-" + std::to_string(id_) + "/data",
                             broker_options{.node_id = id_,
                                            .peers = {1, 2, 3},
                                            .transport = make_transport(),
                                            .election_timeout = std::chrono::nanoseconds{control_.election_timeout},
                                            .on_error = [this](const failure& why) { tell(why.text + ": " + why.code.message()); }});
            } catch (const error& why) {
                if (why.code() != std::errc::no_space_on_device) {
                    throw;
                }
                tell(why.what());
            }
        }
    }

    [[nodiscard]] topic_type find_topic(brook::broker& broker) {
        for (;;) {
            try {
                const auto names = broker.topics();
                if (std::find(names.begin(), names.end(), "history") != names.end()) {
                    return broker.topic<no_key, entry>("history");
                }
                return broker.create_topic<no_key, entry>(
                    "history", {.partitions = static_cast<std::int32_t>(control_.partitions), .replication_factor = 3, .min_insync_replicas = 2, .segment_bytes = 1 << 20});
            } catch (const error& why) {
                if (why.code() != errc::timed_out && why.code() != errc::not_leader_or_follower && why.code() != errc::unknown_topic_or_partition) {
                    throw;
                }
                tell(why.what());
            }
        }
    }

    /// Of what nobody expects a line each, as long as they are few.
    void tell(const std::string& text) {
        if (told_.fetch_add(1) < 400) {
            std::fprintf(stderr, "%.6f broker %d, life %u: %s\n", static_cast<double>(now()) / 1e9, id_, life_, text.c_str());
        }
    }

    template <class Work>
    void start(std::vector<std::jthread>& among, const Work& work) {
        among.emplace_back([this, work, random = std::mt19937_64{random_()}] {
            try {
                work(random);
            } catch (const std::exception& why) {
                std::fprintf(stderr, "%.6f broker %d, life %u: a thread ends: %s\n", static_cast<double>(now()) / 1e9, id_, life_, why.what());
                std::_Exit(4);
            }
        });
    }

    /// Notes who leads what, until that phase has come.
    void watch(phase until) {
        const auto partitions = topic_->partitions();
        std::vector<replication_state> seen(partitions.size());
        for (; !is_at(until); std::this_thread::sleep_for(std::chrono::milliseconds{5})) {
            for (std::size_t i = 0; i < partitions.size(); ++i) {
                const replication_state state = partitions[i].replication();
                if (state.leader == seen[i].leader && state.leader_epoch == seen[i].leader_epoch) {
                    continue;
                }
                seen[i] = state;
                operation one;
                one.kind = operation_kind::lead;
                one.partition = static_cast<std::uint16_t>(i);
                one.actor = static_cast<std::uint32_t>(id_);
                one.invoke = one.complete = now();
                one.offset = state.leader_epoch;
                one.value = static_cast<std::uint64_t>(state.leader);
                recorder_.note(one);
                if (state.leader > 0) {
                    raise_to(control_.leader[i], std::uint64_t{state.leader_epoch} << 8 | static_cast<std::uint64_t>(state.leader));
                }
            }
        }
    }

    // ---- producers ----

    struct under_way {
        operation* noted;
        brook::delivery delivery;
        std::int32_t partition;
        std::uint32_t count;
    };

    /// What a failure says of the records: brook promises that the first four mean that nothing was written.
    [[nodiscard]] outcome outcome_of(const std::error_code& code) {
        if (!code) {
            return outcome::ok;
        }
        if (code == errc::not_leader_or_follower || code == errc::not_enough_replicas || code == errc::record_too_large || code == std::errc::no_space_on_device) {
            return outcome::fail;
        }
        if (code != errc::timed_out && code != errc::closed) {
            mine().surprises.fetch_add(1);
            tell("send: " + code.message());
        }
        return outcome::unknown;
    }

    void end(under_way& one) {
        std::error_code code;
        const record_metadata where = one.delivery.get(code);
        const outcome with = outcome_of(code);
        recorder::end(*one.noted, with, with == outcome::ok ? where.offset : -1);
        if (with == outcome::ok) {
            control_.acknowledged.fetch_add(one.count);
            raise_to(control_.acknowledged_end[static_cast<std::size_t>(one.partition)], static_cast<std::int64_t>(where.offset + one.count));
        }
    }

    /// One producer after the other, each with options and habits of its own.
    void produce(std::mt19937_64& random) {
        const double each = 1e9 * control_.producers * static_cast<double>(node_count) / std::max(1u, control_.rate);  // ns a record
        auto due = static_cast<double>(now());
        while (!is_at(phase::drain)) {
            const std::uint32_t actor = new_actor();
            const std::int64_t until = now() + static_cast<std::int64_t>(1 + random() % 10) * 1'000'000'000;
            brook::producer<no_key, entry> producer{
                *topic_, {.acks = acks::all,
                          .batch_size = 64 << 10,
                          .linger = std::chrono::milliseconds{random() % 4},
                          .delivery_timeout = std::chrono::nanoseconds{control_.election_timeout} * (3 + random() % 20),
                          .enable_idempotence = true}};
            const std::size_t window = 1 + random() % 24;
            const std::uint32_t largest = random() % 3 == 0 ? 400 : 100;
            std::deque<under_way> waiting;
            std::uint64_t number = 0;
            std::vector<entry> batch;
            while (!is_at(phase::drain) && now() < until) {
                const auto partition = static_cast<std::int32_t>(random() % control_.partitions);
                const bool is_gathered = random() % 16 == 0;  // sent one by one
                const auto count = static_cast<std::uint32_t>(1 + random() % (is_gathered ? 8 : largest));
                batch.clear();
                for (std::uint32_t i = 0; i < count; ++i) {
                    batch.push_back(entry::of(value_of(actor, number + i)));
                }
                operation one;
                one.kind = operation_kind::send;
                one.partition = static_cast<std::uint16_t>(partition);
                one.actor = actor;
                for (std::uint32_t i = 0; i < (is_gathered ? count : 1); ++i) {
                    one.value = value_of(actor, number);
                    one.count = is_gathered ? 1 : count;
                    number += one.count;
                    one.invoke = now();
                    operation& noted = recorder_.begin(one);
                    waiting.push_back({&noted, is_gathered ? producer.send({.value = batch[i], .partition = partition}) : producer.send_batch(partition, batch), partition, one.count});
                }
                while (waiting.size() > window) {
                    end(waiting.front());
                    waiting.pop_front();
                }
                due = std::max(due + each * count, static_cast<double>(now()) - 3e9);  // catches up on some seconds
                if (const double ahead = due - static_cast<double>(now()); ahead > 0) {
                    for (; !waiting.empty(); waiting.pop_front()) {
                        end(waiting.front());
                    }
                    std::this_thread::sleep_for(std::chrono::nanoseconds{static_cast<std::int64_t>(std::max(due - static_cast<double>(now()), 0.0))});
                }
            }
            for (; !waiting.empty(); waiting.pop_front()) {
                end(waiting.front());
            }
        }
    }

    // ---- readers ----

    /// A consumer, and what it is given.
    struct reader {
        std::uint32_t actor;
        std::uint32_t group;
        std::optional<consumer_type> consumer;
        std::int64_t polled = 0;  // when the last poll began
        std::vector<char> has_read;  // by partition: since its last commit, or since it was assigned it
    };

    void note_place(const reader& of, operation_kind kind, const partition& which, std::int64_t offset) {
        operation one;
        one.kind = kind;
        one.partition = static_cast<std::uint16_t>(which.number());
        one.actor = of.actor;
        one.group = of.group;
        one.invoke = of.polled;
        one.complete = now();
        one.offset = offset;
        recorder_.note(one);
    }

    /// Returns   how many records came.
    std::size_t poll(reader& of, std::chrono::milliseconds longest) {
        of.polled = now();
        const auto records = of.consumer->poll(longest);
        if (records.empty()) {
            return 0;
        }
        const std::int64_t came = now();
        std::vector<std::int64_t> limits(control_.partitions, -1);
        operation run;
        run.kind = operation_kind::read;
        run.actor = of.actor;
        run.group = of.group;
        run.invoke = of.polled;
        run.complete = came;
        for (const auto& record : records) {
            const entry value = record.value();
            const std::uint64_t shown = value.proof == entry::prove(value.value) ? value.value : no_value;
            const auto partition = static_cast<std::uint16_t>(record.partition());
            if (run.count > 0 && partition == run.partition && record.offset() == run.offset + run.count && shown == run.value + run.count && shown != no_value) {
                ++run.count;
                continue;
            }
            note_run(of, run, limits);
            run.partition = partition;
            run.offset = record.offset();
            run.value = shown;
            run.count = 1;
        }
        note_run(of, run, limits);
        return records.size();
    }

    void note_run(reader& of, operation& run, std::vector<std::int64_t>& limits) {
        if (run.count == 0) {
            return;
        }
        of.has_read[run.partition] = 1;
        std::int64_t& limit = limits[run.partition];
        if (limit < 0) {
            limit = topic_->partition(run.partition).log_end_offset();
        }
        run.limit = limit;
        recorder_.note(run);
        run.count = 0;
    }

    void commit(reader& of) {
        std::vector<operation*> noted;
        for (const partition& one : of.consumer->assignment()) {
            const offset next = position_of(of, one);
            const auto number = static_cast<std::size_t>(one.number());
            if (next < 0 || of.has_read[number] == 0) {
                continue;  // there is nothing to commit, and nobody is asked
            }
            operation begun;
            begun.kind = operation_kind::commit;
            begun.partition = static_cast<std::uint16_t>(number);
            begun.actor = of.actor;
            begun.group = of.group;
            begun.invoke = now();
            begun.offset = next;
            noted.push_back(&recorder_.begin(begun));
        }
        if (noted.empty()) {
            return;
        }
        outcome with = outcome::ok;
        try {
            of.consumer->commit();
        } catch (const error& why) {
            with = why.code() == errc::illegal_generation || why.code() == std::errc::no_space_on_device ? outcome::fail : outcome::unknown;
            if (with == outcome::unknown && why.code() != errc::coordinator_not_available && why.code() != errc::timed_out) {
                mine().surprises.fetch_add(1);
                tell(std::string{"commit: "} + why.what());
            }
        }
        for (operation* const one : noted) {
            recorder::end(*one, with, one->offset);
            if (with == outcome::ok) {
                of.has_read[one->partition] = 0;
                raise_to(control_.group_end[one->partition], one->offset);
            }
        }
    }

    [[nodiscard]] static offset position_of(reader& of, const partition& which) {
        try {
            return of.consumer->position(which);
        } catch (const error& why) {
            if (why.code() != errc::no_offset) {
                throw;
            }
            return -1;
        }
    }

    /// A member of the group, that leaves and comes back as another one now and then.
    void take_part(std::mt19937_64& random) {
        while (!is_at(phase::audit)) {
            reader me{new_actor(), 1, {}, 0, std::vector<char>(control_.partitions)};
            const bool commits_when_revoked = random() % 2 == 0;
            const std::int64_t until = now() + static_cast<std::int64_t>(2 + random() % 20) * 1'000'000'000;
            consumer_options options{.group_id = "readers", .max_poll_interval = std::chrono::nanoseconds{control_.session_timeout}, .session_timeout = std::chrono::nanoseconds{control_.session_timeout}};
            options.max_poll_records = 2'000;
            options.rebalance_listener.on_partitions_assigned = [&](const std::vector<partition>& came) {
                for (const partition& one : came) {
                    me.has_read[static_cast<std::size_t>(one.number())] = 0;
                    note_place(me, operation_kind::assign, one, position_of(me, one));
                }
            };
            options.rebalance_listener.on_partitions_revoked = [&](const std::vector<partition>& going) {
                if (commits_when_revoked) {
                    commit(me);
                }
                for (const partition& one : going) {
                    note_place(me, operation_kind::revoke, one, -1);
                }
            };
            options.rebalance_listener.on_partitions_lost = [&](const std::vector<partition>& gone) {
                for (const partition& one : gone) {
                    note_place(me, operation_kind::revoke, one, -1);
                }
            };
            me.consumer.emplace(*topic_, options);
            while (!is_at(phase::audit) && (now() < until || is_at(phase::drain))) {
                try {
                    poll(me, std::chrono::milliseconds{20});
                } catch (const error& why) {
                    mine().surprises.fetch_add(1);
                    tell(std::string{"poll: "} + why.what());
                    break;
                }
                if (random() % 3 == 0) {
                    commit(me);
                }
                if (random() % 32 == 0) {
                    ask_committed(me, random);
                }
            }
            if (random() % 2 == 0) {
                commit(me);
            }
        }
    }

    void ask_committed(reader& of, std::mt19937_64& random) {
        const auto number = static_cast<std::int32_t>(random() % control_.partitions);
        operation one;
        one.kind = operation_kind::committed;
        one.partition = static_cast<std::uint16_t>(number);
        one.actor = of.actor;
        one.group = of.group;
        one.invoke = now();
        try {
            one.offset = of.consumer->committed(topic_->partition(number)).value_or(0);
        } catch (const error& why) {
            if (why.code() != errc::coordinator_not_available && why.code() != errc::timed_out) {
                mine().surprises.fetch_add(1);
                tell(std::string{"committed: "} + why.what());
            }
            return;
        }
        one.complete = now();
        recorder_.note(one);
    }

    /// Reads the end of all partitions from this broker's copy, beginning somewhere before it now and then.
    void follow(std::mt19937_64& random) {
        while (!is_at(phase::audit)) {
            reader me{new_actor(), 0, consumer_type{*topic_, {.max_poll_records = 2'000}}, 0, std::vector<char>(control_.partitions)};
            me.consumer->assign(topic_->partitions());
            for (const partition& one : topic_->partitions()) {
                const offset end = one.log_end_offset();
                const offset from = end - std::min<offset>(end, static_cast<offset>(random() % 20'000));
                me.consumer->seek(one, from);
                note_place(me, operation_kind::assign, one, from);
            }
            for (const std::int64_t until = now() + static_cast<std::int64_t>(2 + random() % 20) * 1'000'000'000; now() < until && !is_at(phase::audit);) {
                poll(me, std::chrono::milliseconds{20});
            }
        }
    }

    /// This broker's copy, from its start to behind all that was acknowledged. False: that takes too long.
    [[nodiscard]] bool audit() {
        reader me{new_actor(), 0, consumer_type{*topic_, {.max_poll_records = 5'000}}, 0, std::vector<char>(control_.partitions)};
        me.consumer->assign(topic_->partitions());
        for (const partition& one : topic_->partitions()) {
            me.consumer->seek(one, 0);
            note_place(me, operation_kind::assign, one, 0);
        }
        for (const std::int64_t until = now() + std::int64_t{120} * 1'000'000'000; now() < until;) {
            const std::size_t came = poll(me, std::chrono::milliseconds{20});
            bool is_there = came == 0;
            for (const partition& one : topic_->partitions()) {
                is_there = is_there && me.consumer->position(one) >= control_.acknowledged_end[static_cast<std::size_t>(one.number())].load();
            }
            if (is_there) {
                for (const partition& one : topic_->partitions()) {
                    note_place(me, operation_kind::finish, one, me.consumer->position(one));
                }
                return true;
            }
        }
        tell("this copy does not come to the end of what was acknowledged");
        return false;
    }

    const std::int64_t begun_ = now();
    const int id_;
    const std::uint32_t life_;
    const std::string directory_;
    mapped_file<control> page_;
    control& control_;
    recorder recorder_;
    std::mt19937_64 random_;
    std::optional<topic_type> topic_;
    std::atomic<std::uint64_t> told_{0};
    std::vector<std::jthread> producers_;
    std::vector<std::jthread> readers_;
};

}  // namespace brook::test::history
