/// \file replication/desk.hpp
/// A replica that is driven by hand, with a log in memory, and what it has said on the desk to be looked at or passed on.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <brook/replication/replica.hpp>

#include "support/catch.hpp"

namespace brook::test {

struct desk_record {
    std::uint32_t epoch = 0;
    std::uint32_t voters = 0;  // a bit each; 0: it names none

    bool operator==(const desk_record&) const = default;
};

/// What it finds when it starts.
struct desk_found {
    replication::ballot saved{0, replication::no_node, false, false, {{-1, 0, {1, 2, 3}}}};
    std::vector<desk_record> log{};
    offset flushed = 0;
    offset high_watermark = 0;
    offset start = 0;
    std::uint64_t session = 1;
    bool is_unreadable = false;  // none of its records tells its epoch
};

/// One replica, of brokers 1, 2, 3 unless something else is said.
struct desk {
    using record = desk_record;
    using found = desk_found;
    struct letter {
        std::int32_t to;
        replication::message said;
    };
    explicit desk(std::int32_t self, found what = {}, std::size_t min_insync = 1, bool is_durable = false)
        : desk{options_of(self, what.session, min_insync, is_durable), std::move(what)} {}
    desk(replication::replica_options options, found what) : start{what.start}, log{what.log}, disk{what.saved}, machine{std::move(options), what.saved, log_of(what), now} { carry_out(); }

    static replication::replica_options options_of(std::int32_t self, std::uint64_t session, std::size_t min_insync, bool is_durable) {
        replication::replica_options options;
        options.self = self;
        options.session = session;
        options.min_insync = min_insync;
        options.is_durable = is_durable;
        return options;
    }
    static replication::replica_log log_of(const found& what) {
        replication::replica_log log;
        log.start = what.start;
        log.end = what.start + static_cast<offset>(what.log.size());
        log.flushed = what.flushed;
        log.high_watermark = what.high_watermark;
        for (std::size_t i = 0; i < what.log.size() && !what.is_unreadable; ++i) {
            log.epochs.note(what.log[i].epoch, what.start + static_cast<offset>(i));
        }
        return log;
    }

    [[nodiscard]] offset end() const { return start + static_cast<offset>(log.size()); }

    void carry_out() {
        for (auto actions = machine.take_actions(); !actions.empty(); actions = machine.take_actions()) {
            for (const replication::action& one : actions) {
                carry_out(one);
            }
        }
    }

    void carry_out(const replication::action& one) {
        using what = replication::action::what;
        switch (one.kind) {
            case what::save_ballot:
                disk = machine.ballot();
                did.push_back("save");
                break;
            case what::send:
                letters.push_back({one.to, keep(one.said, one.said.frames)});
                did.push_back("send");
                break;
            case what::serve: {
                const auto from = static_cast<std::size_t>(one.said.fetch_answer.end - start);
                const auto until = static_cast<std::size_t>(one.until - start);
                letters.push_back({one.to, keep(one.said, std::as_bytes(std::span{log}.subspan(from, until - from)))});
                did.push_back("send");
                break;
            }
            case what::open_epoch:
                did.push_back("open");
                append();
                break;
            case what::append_voters: {
                std::uint32_t bits = 0;
                for (const std::int32_t node : one.nodes) {
                    bits |= 1u << node;
                }
                static_cast<void>(machine.note_voters(end(), machine.epoch(), one.nodes));
                disk = machine.ballot();
                append(bits);
                break;
            }
            case what::copy: {
                const std::size_t count = one.said.frames.size() / sizeof(record);
                for (std::size_t i = 0; i < count; ++i) {
                    record next;
                    std::memcpy(&next, one.said.frames.data() + i * sizeof next, sizeof next);
                    if (next.voters != 0) {
                        std::vector<std::int32_t> nodes;
                        for (std::int32_t node = 0; node < 32; ++node) {
                            if ((next.voters >> node & 1) != 0) {
                                nodes.push_back(node);
                            }
                        }
                        static_cast<void>(machine.note_voters(end(), next.epoch, std::move(nodes)));
                    }
                    log.push_back(next);
                    machine.grown(next.epoch, end(), now);
                }
                machine.copied(one.said, true, now);
                break;
            }
            case what::cut:
                did.push_back("cut");
                depth = one.depth;
                log.resize(static_cast<std::size_t>(one.until - start));
                break;
            case what::begin_anew:
                did.push_back("anew");
                depth = one.depth;
                log.clear();
                start = one.until;
                break;
        }
    }

    /// As a leader.
    void append(std::uint32_t voters = 0) {
        log.push_back({machine.epoch(), voters});
        machine.grown(machine.epoch(), end(), now);
        carry_out();
    }

    void hear(std::int32_t from, const replication::message& said) {
        machine.receive(from, said, now);
        carry_out();
    }

    /// Time passes, and it is called when it wants to be.
    void pass(std::chrono::nanoseconds time) {
        const auto until = now + time;
        for (auto due = machine.next_due(); due && *due <= until; due = machine.next_due()) {
            now = std::max(now, *due);
            machine.run_due(now);
            carry_out();
        }
        now = until;
    }

    /// The latest of a kind that it said, and nothing of what it said before is left.
    [[nodiscard]] std::vector<letter> take(replication::message_kind kind) {
        std::vector<letter> found_letters;
        for (const letter& one : letters) {
            if (one.said.kind == kind) {
                found_letters.push_back(one);
            }
        }
        letters.clear();
        return found_letters;
    }

    /// Its election comes; `voters` vote for it, clean or not, in both rounds.
    void be_elected(std::initializer_list<std::int32_t> voters, bool is_suspect = false, bool is_blank = false) {
        for (int i = 0; i < 100 && machine.role() != replication::role::prospective; ++i) {
            pass(std::chrono::milliseconds{50});
        }
        for (const bool is_pre_vote : {true, false}) {
            for (const std::int32_t voter : voters) {
                const letter* asked = nullptr;
                for (const letter& one : letters) {
                    if (one.said.kind == replication::message_kind::vote && one.said.is_pre_vote == is_pre_vote && one.to == voter) {
                        asked = &one;
                    }
                }
                if (asked != nullptr) {
                    replication::message answer;
                    answer.kind = replication::message_kind::vote_answer;
                    answer.is_pre_vote = is_pre_vote;
                    answer.is_granted = true;
                    answer.is_suspect = is_suspect;
                    answer.is_blank = is_blank;
                    answer.epoch = asked->said.epoch;
                    answer.session = asked->said.session;
                    answer.number = asked->said.number;
                    hear(voter, answer);
                }
            }
        }
    }

    [[nodiscard]] replication::message keep(replication::message said, bytes frames) {
        kept.emplace_back(frames.begin(), frames.end());
        said.frames = kept.back();
        return said;
    }

    std::chrono::nanoseconds now = std::chrono::seconds{100};
    offset start;
    std::vector<record> log;
    replication::ballot disk;
    std::vector<letter> letters;
    std::vector<std::string> did;
    std::deque<std::vector<std::byte>> kept;
    replication::cut_depth depth = replication::cut_depth::uncommitted;  // of the latest cut
    replication::replica machine;
};

/// What brokers say to each other is passed on until nobody says anything.
inline void talk(std::initializer_list<std::pair<std::int32_t, desk*>> all) {
    for (bool is_quiet = false; !is_quiet;) {
        is_quiet = true;
        for (const auto& [from, speaker] : all) {
            for (const desk::letter& one : std::exchange(speaker->letters, {})) {
                for (const auto& [to, listener] : all) {
                    if (to == one.to) {
                        listener->hear(from, one.said);
                        is_quiet = false;
                    }
                }
            }
        }
    }
}

/// A vote that is asked for by a log that ends at `end` with a record of `last_epoch`.
[[nodiscard]] inline replication::message vote_for(std::uint32_t epoch, std::uint32_t last_epoch, offset end, bool is_pre_vote = false) {
    replication::message said;
    said.kind = replication::message_kind::vote;
    said.epoch = epoch;
    said.last_epoch = last_epoch;
    said.vote.end = end;
    said.is_pre_vote = is_pre_vote;
    return said;
}

[[nodiscard]] inline replication::message fetch_of(std::uint32_t epoch, std::uint32_t last_epoch, offset end, std::uint64_t number, std::uint64_t session = 1) {
    replication::message said;
    said.kind = replication::message_kind::fetch;
    said.epoch = epoch;
    said.last_epoch = last_epoch;
    said.fetch.end = end;
    said.fetch.held = end;
    said.is_empty = last_epoch == 0;
    said.number = number;
    said.session = session;
    return said;
}

[[nodiscard]] inline replication::message leads(std::uint32_t epoch) {
    replication::message said;
    said.kind = replication::message_kind::begin_epoch;
    said.epoch = epoch;
    return said;
}

[[nodiscard]] inline std::vector<desk::record> records(std::initializer_list<std::pair<int, std::uint32_t>> groups) {
    std::vector<desk::record> all;
    for (const auto& [count, epoch] : groups) {
        all.insert(all.end(), static_cast<std::size_t>(count), desk::record{epoch, 0});
    }
    return all;
}

/// What was promised and noted before the start.
[[nodiscard]] inline replication::ballot voted(std::uint32_t epoch, std::int32_t whom, bool is_suspect = false, std::vector<std::int32_t> voters = {1, 2, 3}) {
    return {epoch, whom, is_suspect, false, {{-1, 0, std::move(voters)}}};
}

/// Broker 1 leads in epoch 1 by the vote of broker 2, and has `count` records behind the one that opens the epoch.
[[nodiscard]] inline desk leader_of(std::vector<std::int32_t> voters, int count, std::size_t min_insync = 1, bool is_durable = false) {
    desk one{1, {.saved = voted(0, replication::no_node, false, std::move(voters))}, min_insync, is_durable};
    one.be_elected({2, 3});
    for (int i = 0; i < count; ++i) {
        one.append();
    }
    one.letters.clear();
    REQUIRE(one.machine.is_leader());
    return one;
}

/// It follows `leader` in epoch `epoch`, and has asked it for records: gives the question.
[[nodiscard]] inline replication::message followed(desk& one, std::int32_t leader, std::uint32_t epoch) {
    one.letters.clear();
    one.hear(leader, leads(epoch));
    REQUIRE(one.machine.leader() == leader);
    return one.letters.back().said;
}

[[nodiscard]] inline replication::message answered(const replication::message& question, replication::fetch_outcome outcome) {
    replication::message said;
    said.kind = replication::message_kind::fetch_answer;
    said.outcome = outcome;
    said.epoch = question.epoch;
    said.session = question.session;
    said.number = question.number;
    said.fetch_answer.end = question.fetch.end;
    return said;
}

}  // namespace brook::test
