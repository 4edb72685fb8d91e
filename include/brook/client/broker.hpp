/// \file brook/client/broker.hpp
/// The broker as users see it: a directory opened, topics made and found by type.
/// Floor 6, client.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/broker/options.hpp>
#include <brook/client/codec.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/topic.hpp>
#include <brook/client/transaction.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/engine/embedded.hpp>

namespace brook::inline BROOK_ABI {

/// Keeps topics in one directory, in this process: what Kafka's broker is to a cluster.
///
/// Its destructor stops everything, waits for no user, and frees the directory at once. Handles, records and slots may
/// outlive it; they say closed, and what was read stays readable. In a cluster it hands its leads over, and where its consumers are still
/// members of groups it tells the coordinator that they go, which it waits for, an election_timeout at most.
///
/// Threads   shared, but for moving it.
class broker {
public:
    /// Opens the directory, or makes it: one broker at a time. Every topic is recovered before this returns.
    ///
    /// Errors    directory_in_use, not_a_brook_directory, unsupported_version, unsafe_filesystem, invalid_config, or the
    ///           system's own. A damaged topic does not stop the others: asking for it throws, `health` has it too.
    /// Cost      reads what was appended since the last sync; then one thread, unless maintenance is manual.
    explicit broker(std::string directory, broker_options options = {})
        : core_{std::make_shared<broker_room::core>(std::move(directory), options)} {}

    broker(broker&&) noexcept = default;
    broker& operator=(broker&& other) noexcept {
        if (this != &other) {
            close();
            core_ = std::move(other.core_);
        }
        return *this;
    }
    broker(const broker&) = delete;
    broker& operator=(const broker&) = delete;
    ~broker() { close(); }

    /// Makes a topic of records with these types, or opens one that agrees.
    ///
    /// In a cluster whoever leads its metadata says which topic it is, also where one of the name is here: another broker may have made it anew. Where
    /// nobody says so in some election timeouts the one that is here is opened.
    ///
    /// Errors    invalid_topic, invalid_config; topic_already_exists when an option is given that it was not made with;
    ///           schema_mismatch when its types are others; closed. In a cluster, when default_api_timeout is over: timed_out, and
    ///           not_leader_or_follower where nothing can have come of it; the text says whom it takes.
    template <class Key, class Value>
    brook::topic<Key, Value, broker> create_topic(std::string_view name, topic_options options = {}) {
        if constexpr (std::is_same_v<Key, no_key>) {
            if (options.cleanup_policy.value_or(cleanup_policy::delete_) != cleanup_policy::delete_) {
                throw_error(errc::invalid_config, std::string{"topic '"} + std::string{name} + "': what has no key cannot be compacted; leave cleanup_policy out, or give it a key");
            }
        }
        return brook::topic<Key, Value, broker>{{open_core(), open_core()->create_topic(name, options, detail::schema_of<Key>(), detail::schema_of<Value>())}};
    }

    /// Opens a topic that exists: a typo creates nothing.
    ///
    /// Errors    unknown_topic_or_partition, schema_mismatch, corrupt_record, invalid_topic, closed.
    template <class Key, class Value>
    brook::topic<Key, Value, broker> topic(std::string_view name) const {
        return brook::topic<Key, Value, broker>{{open_core(), open_core()->topic(name, detail::schema_of<Key>(), detail::schema_of<Value>())}};
    }

    /// Deletes a topic, whatever is in it, at once: its files, and what groups have committed for it. One of the same name can be
    /// made then, with other types and options, and is another topic.
    ///
    /// Handles to it, and producers, throw unknown_topic_or_partition from then on, deliveries and slots that are open fail with it,
    /// and who waits is woken. Records that were read stay readable. Consumers of several topics, or of a pattern, go on with the
    /// others; a transaction that has sent to it is committed for the others.
    ///
    /// A topic that could not be opened, since it is damaged, can be deleted. The directory goes with all that is in it, also what a
    /// recovery has put aside there.
    ///
    /// Errors    unknown_topic_or_partition, invalid_topic, closed, forked; what the disk said: then the topic is there as before.
    ///           Files that cannot be removed are told to `health`, and removed by the next opening.
    /// Cost      some syncs, and a system call a file. Waits for appends that are under way.
    void delete_topic(std::string_view name) { open_core()->delete_topic(name); }

    /// The names of all topics, sorted.
    [[nodiscard]] std::vector<std::string> topics() const { return open_core()->topic_names(); }

    // ---- groups ----

    /// The names of all groups that have members, or have committed something, sorted.
    [[nodiscard]] std::vector<std::string> groups() const { return open_core()->groups().names(); }

    /// A group as it is now: its members, what each of them reads, how far it has committed, how far it is behind.
    ///
    ///     broker.group("billing").lag()
    ///
    /// Errors    group_id_not_found.
    [[nodiscard]] group_description group(std::string_view group_id) const { return open_core()->describe_group(group_id); }

    /// Forgets all that a group has committed.
    /// Errors    non_empty_group, group_id_not_found; no space.
    void delete_group(std::string_view group_id) { raise(open_core()->groups().remove(group_id)); }

    /// Has a group without members go on elsewhere in a topic: `to` is asked for each partition, and gives the next offset to
    /// read, which is brought into what the partition has.
    ///
    ///     broker.reset_group_offsets("billing", orders, [](brook::partition const& p) { return p.log_start_offset(); });
    ///
    /// Errors    non_empty_group; no space; what `to` throws.
    template <class Key, class Value, class To>
    void reset_group_offsets(std::string_view group_id, const brook::topic<Key, Value, broker>& topic, const To& to) {
        std::vector<broker_room::committed_position> positions;
        for (const brook::partition& one : topic.partitions()) {
            const offset wanted = to(one);
            const offset first = one.log_start_offset();
            const offset end = one.log_end_offset();
            const offset next = wanted < first ? first : wanted > end ? end : wanted;
            const auto epoch = detail::access::engine(topic).log(one.number()).epoch_before(next);
            positions.push_back({detail::access::engine(topic).state()->meta.id, one.number(), next, epoch ? static_cast<std::int32_t>(*epoch) : -1});
        }
        raise(open_core()->groups().reset(group_id, positions));
    }

    // ---- transactions ----

    /// Begins a transaction: records to any topics of this broker, and offsets that were read, all of it or nothing.
    ///
    ///     auto tx = broker.begin_transaction({.transactional_id = "enricher"});
    ///     tx.send(enriched, key, value);
    ///     tx.commit_offsets(consumer);
    ///     tx.commit();
    ///
    /// Errors    invalid_config without a transactional_id; corrupt_record when __transaction_state is damaged or missing; no space;
    ///           closed; forked.
    [[nodiscard]] transaction begin_transaction(const transaction_options& options) const {
        if (options.transactional_id.empty() || options.transactional_id.size() > longest_id) {
            throw_error(errc::invalid_config, "a transactional_id has 1 to " + std::to_string(longest_id) + " bytes, not " + std::to_string(options.transactional_id.size()));
        }
        if (options.transaction_timeout.count() <= 0) {
            throw_error(errc::invalid_config, "transaction '" + options.transactional_id + "': transaction_timeout is more than 0");
        }
        return transaction{std::make_unique<engine::embedded_transaction>(open_core(), options.transactional_id, options.transaction_timeout,
                                                                          options.compression_type, options.compression_level)};
    }

    /// What the last transaction of this id that was committed has left by `set_state`; empty when nothing.
    [[nodiscard]] std::string transaction_state(std::string_view transactional_id) const { return open_core()->transaction_state(transactional_id); }

    /// Does what upkeep has to do: with `.maintenance = manual` nothing else does it. Ends after the step that passes
    /// the budget; without one everything that is due is done.
    void maintain(std::optional<std::chrono::nanoseconds> budget = std::nullopt) { open_core()->maintain(budget); }

    /// What went wrong that no caller was told of.
    [[nodiscard]] broker_health health() const { return open_core()->health(); }

    /// What the destructor does. Every call after it throws closed. Not to be called by on_error or on_delivery: it waits
    /// for the thread that upkeep calls them on.
    void close() noexcept {
        if (core_) {
            core_->close();  // and stays, for other threads that are about to use it
        }
    }

private:
    friend struct detail::access;

    static constexpr std::size_t longest_id = 32 * kib;

    static void raise(const failure& why) {
        if (why) {
            why.raise();
        }
    }

    [[nodiscard]] const std::shared_ptr<broker_room::core>& open_core() const {
        if (!core_ || core_->is_closed()) {
            throw_error(errc::closed, "this broker is closed, or was moved from");
        }
        return core_;
    }

    std::shared_ptr<broker_room::core> core_;
};

}  // namespace brook::inline BROOK_ABI
