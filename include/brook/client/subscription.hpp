/// \file brook/client/subscription.hpp
/// Which topics a consumer reads: those that it has named, or those that match a pattern, as they come and go.
/// Floor 6, client.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/broker/group.hpp>
#include <brook/client/topic_pattern.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/engine/embedded.hpp>

namespace brook::inline BROOK_ABI::detail {

/// The types of a consumer's keys and values.
struct schemas {
    broker_room::schema key;
    broker_room::schema value;

    /// Why a topic has others; success when it has these.
    [[nodiscard]] failure refuse(const broker_room::topic_state& topic) const { return topic.meta.refuse_types(topic.name, key, value); }
};

/// Threads   confined.
class subscription {
public:
    struct entry {
        engine::embedded_topic of;
        bool is_late;  ///< was made after the consumer had subscribed
    };

    /// To nothing: the consumer is assigned its partitions.
    subscription() noexcept = default;

    /// `seen`: shared_state::topics before anybody looked whether these are there.
    explicit subscription(const std::vector<engine::embedded_topic>& named, std::uint64_t seen = 0) : is_there_{true}, seen_{seen} {
        for (const auto& one : named) {
            add({one, false});
            if (const std::size_t at = place_of(one.name()); at == names_.size() || names_[at] != one.name()) {
                insert_at(names_, at, one.name());
            }
        }
    }

    explicit subscription(topic_pattern pattern) : is_there_{true}, pattern_{std::move(pattern)} {}

    [[nodiscard]] bool is_there() const noexcept { return is_there_; }
    [[nodiscard]] bool has_pattern() const noexcept { return pattern_.has_value(); }

    /// By name, each once.
    [[nodiscard]] const std::vector<entry>& topics() const noexcept { return topics_; }

    /// Grows when they become others.
    [[nodiscard]] std::uint64_t changes() const noexcept { return changes_; }

    [[nodiscard]] bool has_several_names() const noexcept { return names_.size() > 1; }

    /// All that were named have been deleted, and no others of their names have come.
    [[nodiscard]] bool has_lost_all() const noexcept { return !names_.empty() && topics_.empty(); }

    /// Null: it is none of them.
    [[nodiscard]] const entry* find(const format::topic_id& id) const noexcept {
        for (const auto& one : topics_) {
            if (one.of.state()->meta.id == id) {
                return &one;
            }
        }
        return nullptr;
    }

    /// One of them, or will be at the next look.
    [[nodiscard]] bool covers(const broker_room::topic_state& topic, const schemas& types) const {
        return pattern_ ? pattern_->matches(topic.name) && !types.refuse(topic) : find(topic.meta.id) != nullptr;
    }

    /// Topics have come or gone since the last look.
    [[nodiscard]] bool has_news(const broker_room::shared_state& shared) const noexcept {
        return is_there_ && shared.topics.load(std::memory_order_acquire) != seen_;
    }

    /// Leaves out what was deleted, takes in what has come and matches the pattern, or has the name of one that was named and
    /// deleted, and gives each of those to `use`. What has other types is told to the broker's health, once.
    template <class Use>
    void look(const std::shared_ptr<broker_room::core>& core, const schemas& types, const Use& use) {
        const bool is_late = seen_ != 0;
        broker_room::shared_state& shared = *core->shared();
        const std::uint64_t count = shared.topics.load(std::memory_order_acquire);  // before the look: what comes from here on is seen next time
        for (std::size_t i = topics_.size(); i-- > 0;) {
            if (topics_[i].of.state()->is_deleted()) {
                erase_at(topics_, i);
                ++changes_;
            }
        }
        if (!pattern_ && topics_.size() == names_.size()) {
            seen_ = count;
            return;
        }
        for (auto& state : core->topics()) {
            if (state->why || !matches(state->name) || state->is_deleted() || find(state->meta.id) != nullptr) {
                continue;
            }
            if (failure why = types.refuse(*state)) {
                leave_out(shared, *state, std::move(why));
                continue;
            }
            const engine::embedded_topic found{core, std::move(state)};
            add({found, is_late});
            use(found);
        }
        seen_ = count;
    }

    /// As a group is told of them.
    [[nodiscard]] std::vector<broker_room::group_topic> for_group() const {
        std::vector<broker_room::group_topic> all;
        for (const auto& one : topics_) {
            all.push_back({one.of.state()->meta.id, one.of.name(), one.of.partition_count()});
        }
        return all;
    }

    /// For messages: "topic 'orders'", "pattern 'sensors.#'", ...
    [[nodiscard]] std::string text() const {
        if (pattern_) {
            return "pattern '" + pattern_->text() + '\'';
        }
        if (!is_there_) {
            return "assigned partitions";
        }
        std::string names = names_.size() == 1 ? "topic " : "topics ";
        for (const auto& one : names_) {
            names += (&one == names_.data() ? "'" : ", '") + one + '\'';
        }
        return names;
    }

private:
    void add(entry one) {
        const std::size_t at = count_before(topics_.size(), [&](std::size_t i) { return topics_[i].of.name() < one.of.name(); });
        if (at == topics_.size() || topics_[at].of.state() != one.of.state()) {
            insert_at(topics_, at, std::move(one));
            ++changes_;
        }
    }

    [[nodiscard]] std::size_t place_of(const std::string& name) const noexcept {
        return count_before(names_.size(), [&](std::size_t i) { return names_[i] < name; });
    }

    [[nodiscard]] bool matches(const std::string& name) const {
        if (pattern_) {
            return pattern_->matches(name);
        }
        const std::size_t at = place_of(name);
        return at < names_.size() && names_[at] == name;
    }

    void leave_out(broker_room::shared_state& shared, const broker_room::topic_state& topic, failure why) {
        for (const auto& known : left_out_) {
            if (known == topic.meta.id) {
                return;
            }
        }
        left_out_.push_back(topic.meta.id);
        why.text += "; the consumer of " + text() + " does without it";
        shared.report(why);
    }

    bool is_there_ = false;
    std::vector<entry> topics_;
    std::uint64_t changes_ = 0;
    std::vector<std::string> names_;          // that they have, or had; sorted
    std::optional<topic_pattern> pattern_;    // that they match, instead
    std::vector<format::topic_id> left_out_;  // they match, and have other types
    std::uint64_t seen_ = 0;                  // shared_state::topics at the last look; 0: there was none
};

}  // namespace brook::inline BROOK_ABI::detail
