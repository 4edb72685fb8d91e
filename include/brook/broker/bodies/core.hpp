/// \file brook/broker/bodies/core.hpp
/// The functions that core.hpp declares.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/core.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/small_file.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/broker/transaction_coordinator.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/format/properties.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>
#include <brook/os/thread.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/retention.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE core::core(std::string directory, const broker_options& options)
    : platform_{options.platform == nullptr ? os::posix() : *options.platform},
      directory_{platform_, std::move(directory)},
      node_id_{options.node_id},
      shared_{std::make_shared<shared_state>(platform_, options.on_error)},
      producer_id_expiration_{options.producer_id_expiration},
      disk_{*shared_, directory_.path(), options.min_free_bytes, options.max_bytes},
      compaction_turn_{memory_for_keys(options)},
      offsets_retention_{options.offsets_retention} {
    refuse_illegal(options);
    directory_.enter(options.allow_unsafe_filesystem, options.peers.size() > 1 ? std::optional{options.node_id} : std::nullopt);
    clock_.start(platform_);
    const std::vector<std::string> left_behind = open_topics();
    if (options.peers.size() > 1) {
        cluster_ = cluster_factory_in_use().load(std::memory_order_acquire)(*this, options);
    } else {
        open_transactions();
        open_offsets();
    }
    remove_left_behind(left_behind);
    disk_.start(open_logs().all);
    if (cluster_) {
        cluster_->start();
    }
    if (options.maintenance == maintenance::thread) {
        upkeep_thread_.start([](void* self) { static_cast<core*>(self)->keep_up(); }, this);
    }
}

BROOK_INLINE void core::close() noexcept {
    if (is_forked()) {
        upkeep_thread_.forget();
        static_cast<void>(cluster_.release());  // its threads are the parent's; a child lets go of nothing
        return;
    }
    if (is_closing_.exchange(true)) {
        return;
    }
    shared_->upkeep.notify();
    if (upkeep_thread_.is_running()) {
        upkeep_thread_.join();
    }
    if (cluster_) {
        cluster_->stop();
    }
    transactions_.close();
    { const std::scoped_lock guard{making_mutex_, topics_mutex_}; }  // who was making or deleting a topic is through; from here on nobody begins
    for (const auto& topic : topics_) {
        topic->close();
    }
    shared_->readers.notify();
    directory_.leave();
}

BROOK_INLINE broker_health core::health() const {
    broker_health now{shared_->errors()};
    if (cluster_ && !is_closed() && !is_forked()) {
        for (failure& why : cluster_->conditions()) {
            now.errors.push_back(std::move(why));
        }
    }
    return now;
}

BROOK_INLINE void core::require_open() const {
    if (is_closed()) {
        throw_error(errc::closed, "the broker on " + directory_.path() + " is closed");
    }
    if (is_forked()) {
        throw_error(errc::forked, "the broker on " + directory_.path() + " belongs to the parent of this process; open one of your own");
    }
}

BROOK_INLINE topic_handle core::create_topic(std::string_view name, const topic_options& options, const schema& key, const schema& value) {
    require_users_topic(name);
    require_open();
    if (!cluster_) {
        require_alone(name, "replication_factor", options.replication_factor);
        require_alone(name, "min_insync_replicas", options.min_insync_replicas);
    }
    if (cluster_) {
        return cluster_->create_topic(name, options, key, value);
    }
    if (topic_handle topic = find_agreeing(name, options, key, value)) {
        return topic;  // while another one is made, or deleted
    }
    const std::scoped_lock one_at_a_time{making_mutex_};
    if (topic_handle topic = find_agreeing(name, options, key, value)) {
        return topic;  // another thread has made it
    }
    const std::scoped_lock guard{topics_mutex_};
    require_open();
    const topic_meta meta = topic_meta::make(name, options, topic_meta::new_id(platform_), key, value);
    if (topic_meta left; find_left_behind(name, left)) {
        left.require_types(name, key, value);
        left.require_agreement(name, options);
        return enter_topic(name, left);
    }
    make_directories(name, meta);
    return enter_topic(name, meta);
}

BROOK_INLINE void core::delete_topic(std::string_view name) {
    require_users_topic(name);
    require_open();
    if (cluster_) {
        cluster_->delete_topic(name);
        return;
    }
    const std::vector<failure> problems = delete_here(name);
    recount();
    for (const failure& why : problems) {  // not under the lock: what is told may make topics
        shared_->report(why);
    }
}

BROOK_INLINE bool core::has_topic(std::string_view name) const {
    const std::scoped_lock guard{topics_mutex_};
    return find_topic(name) != nullptr;
}

BROOK_INLINE bool core::has_topic(std::string_view name, const format::topic_id& id) const {
    const std::scoped_lock guard{topics_mutex_};
    const topic_handle found = find_topic(name);
    return found && found->meta.id == id;
}

BROOK_INLINE std::vector<topic_handle> core::replicated_topics() const {
    const std::scoped_lock guard{topics_mutex_};
    std::vector<topic_handle> all;
    for (const auto& topic : topics_) {
        if (!topic->why && topic->meta.is_replicated()) {
            all.push_back(topic);
        }
    }
    return all;
}

BROOK_INLINE topic_handle core::open_replicated(std::string_view name, const topic_meta& meta) {
    const std::scoped_lock one_at_a_time{making_mutex_};
    const std::scoped_lock guard{topics_mutex_};
    require_open();
    topic_handle topic = find_topic(name);
    topic_meta left;
    if (!topic && find_left_behind(name, left) && left.id == meta.id) {
        topic = enter_topic(name, left);
    }
    if (topic) {
        require_whole(*topic);
        if (topic->meta.id != meta.id) {
            throw_error(errc::illegal_state, std::string{"topic '"} + std::string{name} + "' is here with another id than the cluster's");
        }
        return topic;
    }
    make_directories(name, meta);
    return enter_topic(name, meta);
}

BROOK_INLINE void core::drop_replicated(std::string_view name, const format::topic_id& id) {
    {
        const std::scoped_lock guard{topics_mutex_};
        const topic_handle topic = find_topic(name);
        if (!topic || topic->meta.id != id) {
            return;
        }
    }
    for (const failure& why : delete_here(name)) {
        shared_->report(why);
    }
}

BROOK_INLINE topic_handle core::find_agreeing(std::string_view name, const topic_options& options, const schema& key, const schema& value,
                                              const std::optional<format::topic_id>& wanted) const {
    const std::scoped_lock guard{topics_mutex_};
    require_open();
    topic_handle topic = find_topic(name);
    if (topic && wanted && topic->meta.id != *wanted) {
        return nullptr;
    }
    if (topic) {
        require_whole(*topic);
        topic->meta.require_types(name, key, value);
        topic->meta.require_agreement(name, options);
    }
    return topic;
}

BROOK_INLINE topic_handle core::topic(std::string_view name, const schema& key, const schema& value) const {
    require_valid_topic_name(name);
    require_open();
    topic_handle topic;
    {
        const std::scoped_lock guard{topics_mutex_};
        topic = find_topic(name);
    }
    if (!topic || is_internal_topic(name)) {
        throw_error(errc::unknown_topic_or_partition, std::string{"there is no topic '"} + std::string{name} + "' in " + directory_.path() +
                                                          "; " + (cluster_ ? cluster_->why_unknown(name) : std::string{"make it by create_topic"}));
    }
    require_whole(*topic);
    topic->meta.require_types(name, key, value);
    return topic;
}

BROOK_INLINE std::vector<std::string> core::topic_names() const {
    std::vector<std::string> names;
    for (const auto& topic : topics()) {
        names.push_back(topic->name);
    }
    return names;
}

BROOK_INLINE std::vector<topic_handle> core::topics() const {
    require_open();
    const std::scoped_lock guard{topics_mutex_};
    std::vector<topic_handle> all;
    for (const auto& topic : topics_) {
        if (!is_internal_topic(topic->name)) {
            all.push_back(topic);
        }
    }
    return all;
}

BROOK_INLINE group_service& core::groups() {
    require_open();
    if (cluster_) {
        return cluster_->groups();
    }
    static_cast<void>(offsets());
    return groups_;
}

BROOK_INLINE group_description core::describe_group(std::string_view name) {
    const auto all = topics();
    return groups().describe(name, all);
}

BROOK_INLINE void core::leave(const std::string& group, group::member_id member) noexcept {
    if (!is_forked()) {  // else it is the parent's member
        try {
            if (cluster_) {
                cluster_->groups().leave(group, member);
            } else {
                groups_.leave(group, member);
            }
        } catch (const std::exception&) {
            // No memory to share out by, or no coordinator to be found: it is put out for not polling.
        }
    }
}

BROOK_INLINE committed_offsets& core::offsets() {
    if (offsets_failure_) {
        offsets_failure_.raise();
    }
    return offsets_;
}

BROOK_INLINE transaction_coordinator& core::transactions() {
    require_open();
    if (cluster_) {
        throw_error(errc::invalid_config, "this version has no transactions in a cluster: send what belongs together in one send_batch, or keep the topics of transactions in a broker of their own");
    }
    if (transactions_failure_) {
        transactions_failure_.raise();
    }
    if (!transactions_.is_open()) {
        static_cast<void>(offsets());  // it may be a part of some
        transactions_.open(internal_topic(transaction_topic), {});
    }
    return transactions_;
}

BROOK_INLINE std::string core::transaction_state(std::string_view transactional_id) const {
    require_open();
    if (transactions_failure_) {
        transactions_failure_.raise();
    }
    return transactions_.state_of(transactional_id);
}

BROOK_INLINE void core::abort(coordinated_transaction& open) noexcept {
    if (!is_forked()) {  // else it is the parent's
        transactions_.abort(open);
    }
}

BROOK_INLINE void core::attach(const std::weak_ptr<timed_work>& work) {
    {
        const std::scoped_lock guard{work_mutex_};
        work_.push_back(work);
    }
    shared_->upkeep.notify();
}

BROOK_INLINE void core::maintain(std::optional<std::chrono::nanoseconds> budget) {
    require_open();
    static_cast<void>(look_after(budget, true));
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> core::look_after(std::optional<std::chrono::nanoseconds> budget, bool is_asked) {
    const std::scoped_lock one_at_a_time{upkeep_mutex_};
    const auto begin = platform_.monotonic();
    static_cast<void>(run_timed_work());  // first what lingers, so that it is there to be synced
    std::optional<std::chrono::nanoseconds> next;
    if (cluster_) {
        next = sooner(next, cluster_->look_after(begin));
        if (is_asked) {
            static_cast<void>(cluster_->pump());
        }
    }
    const kept_logs kept = open_logs();
    const std::vector<storage::log*>& logs = kept.all;
    release_transactions();
    for (const std::size_t first = next_log_; next_log_ < logs.size(); ++next_log_) {
        if (const auto now = platform_.monotonic(); budget && next_log_ > first && now - begin > *budget) {
            return now;
        }
        const auto begun = platform_.monotonic();
        const auto is_over = [&](std::chrono::nanoseconds now) { return is_asked ? budget && now - begin > *budget : now - begun > turn_of_a_log; };
        next = sooner(next, look_after(*logs[next_log_], is_over));
    }
    next_log_ = 0;
    next = sooner(next, disk_.keep(logs, is_asked));
    watch_clock(logs);
    next = sooner(next, run_timed_work());  // and who waits for a sync is told
    const bool are_groups_here = !cluster_ || cluster_->coordinates();
    if (are_groups_here) {
        next = sooner(next, groups_.expire());
    }
    if (are_groups_here && offsets_retention_ && !offsets_failure_) {
        next = sooner(next, groups_.forget_idle(*offsets_retention_));
    }
    failure why;
    next = sooner(next, transactions_.run_due(platform_.monotonic(), why));
    if (why && why.code != errc::closed) {
        shared_->report(why);
    }
    if (const auto now = platform_.monotonic(); now - last_busy_ < stays_alert) {
        next = sooner(next, now + busy_pause);
    }
    return next;
}

BROOK_INLINE std::size_t core::memory_for_keys(const broker_options& options) noexcept {
    return static_cast<std::size_t>(options.log_cleaner_dedupe_buffer_size < least_memory_for_keys ? least_memory_for_keys : options.log_cleaner_dedupe_buffer_size);
}

BROOK_INLINE void core::refuse_illegal(const broker_options& options) {
    require_membership(options);
    if (options.producer_id_expiration.count() <= 0) {
        throw_error(errc::invalid_config, "producer_id_expiration is more than 0");
    }
    if (options.default_api_timeout.count() <= 0) {
        throw_error(errc::invalid_config, "default_api_timeout is more than 0");
    }
    if (options.offsets_retention && options.offsets_retention->count() <= 0) {
        throw_error(errc::invalid_config, "offsets_retention is more than 0; nullopt keeps committed offsets for ever");
    }
    if (options.log_cleaner_dedupe_buffer_size < least_memory_for_keys || options.log_cleaner_dedupe_buffer_size > most_memory_for_keys) {
        throw_error(errc::invalid_config, "log_cleaner_dedupe_buffer_size is 1 MiB to 64 GiB");
    }
    if (options.min_free_bytes.value_or(1) < 1 || options.max_bytes.value_or(1) < 1) {
        throw_error(errc::invalid_config, "min_free_bytes and max_bytes are 1 or more; leave them out for no limit");
    }
}

BROOK_INLINE void core::require_alone(std::string_view topic, const char* option, const std::optional<std::int32_t>& given) {
    if (given.value_or(1) != 1) {
        throw_error(errc::invalid_config, std::string{"topic '"} + std::string{topic} + "': " + option + " is 1 where a broker is alone; more takes a cluster: give the broker peers and a transport");
    }
}

BROOK_INLINE void core::require_membership(const broker_options& options) {
    const auto require = [](bool condition, const char* rule) {
        if (!condition) {
            throw_error(errc::invalid_config, rule);
        }
    };
    std::size_t own = 0;
    require(options.peers.size() <= 64, "peers are 64 at most");  // replication::voter_set::most: all of them keep what the cluster knows
    for (std::size_t i = 0; i < options.peers.size(); ++i) {
        own += options.peers[i] == options.node_id ? 1u : 0u;
        require(options.peers[i] >= 0, "peers are the numbers of brokers, 0 or more");
        for (std::size_t k = 0; k < i; ++k) {
            require(options.peers[i] != options.peers[k], "peers names each broker once");
        }
    }
    require(options.peers.empty() || own == 1, "peers names all brokers of the cluster, this one (node_id) among them");
    const bool is_alone = options.peers.size() <= 1;
    require(is_alone || options.transport, "peers go with a transport, such as memory_network::join(node_id)");
    require(options.peers.size() != 1 || !options.transport,
            "peers names this broker alone: a cluster of one has nobody to reach, and takes no transport; leave the transport out, or name all brokers of the cluster in peers");
    require(!is_alone || !options.transport, "a transport goes with peers: name all brokers of the cluster");
    require(is_alone || cluster_factory_in_use().load(std::memory_order_acquire) != nullptr, "a broker with peers takes #include <brook/replication.hpp>");
    require(options.election_timeout >= std::chrono::milliseconds{10}, "election_timeout is 10 ms or more");
}

BROOK_INLINE void core::require_users_topic(std::string_view name) {
    require_valid_topic_name(name);
    if (is_internal_topic(name)) {
        throw_error(errc::invalid_topic, std::string{"topic '"} + std::string{name} + "': names that begin with __ are the broker's own");
    }
}

BROOK_INLINE std::vector<std::string> core::open_topics() {
    if (const auto code = platform_.make_directory(topics_path()); code && code != std::errc::file_exists) {
        throw_error(code, "cannot create " + topics_path());
    }
    // Whoever made them may have died before they were durable, and records in them are about to be.
    check(platform_.sync_directory(directory_.path()), "cannot sync " + directory_.path());
    check(platform_.sync_directory(topics_path()), "cannot sync " + topics_path());
    std::vector<os::directory_entry> entries;
    check(platform_.list(topics_path(), entries), "cannot list " + topics_path());
    std::vector<std::string> left_behind;
    for (const auto& entry : entries) {
        if (entry.kind != os::entry_kind::directory) {
            continue;
        }
        if (entry.name.ends_with('~')) {
            if (is_valid_topic_name(std::string_view{entry.name}.substr(0, entry.name.size() - 1))) {
                left_behind.push_back(topics_path() + '/' + entry.name);
            }
            continue;
        }
        topic_handle topic;
        topic_meta meta;
        try {
            require_valid_topic_name(entry.name);
            const std::string path = topics_path() + '/' + entry.name + "/topic.meta";
            meta = topic_meta::decode(read_small_file(platform_, path), path);
            topic = open_topic(entry.name, meta);
        } catch (const error& why) {
            topic = std::make_shared<topic_state>();
            topic->name = entry.name;
            topic->meta = meta;
            topic->why = failure{why};  // the others are none the worse; asking for this one says so
            shared_->report(topic->why);
        }
        insert(topic);
    }
    return left_behind;
}

BROOK_INLINE topic_handle core::open_topic(std::string_view name, topic_meta meta) {
    auto topic = std::make_shared<topic_state>();
    topic->shared = shared_;
    topic->name = name;
    topic->meta = std::move(meta);
    storage::log_options settings = topic->meta.log;
    settings.producer_id_expiration = producer_id_expiration_;
    settings.turn = &compaction_turn_;
    settings.compaction.is_on |= is_internal_topic(name) && name != metadata_topic;  // what they said before goes
    settings.awaits_compaction_limit = name == transaction_topic;  // release_transactions says how far
    settings.budget = disk_.budget();
    settings.heeds_budget = !is_internal_topic(name);  // what those tell is needed all the more when the others are full
    for (std::int32_t number = 0; number < topic->meta.partitions; ++number) {
        const std::string path = topics_path() + '/' + topic->name + '/' + std::to_string(number);
        storage::segment_directory files{platform_, path, {topic->name, topic->meta.id, static_cast<std::uint32_t>(number)}};
        failure why;
        auto log = storage::log::open(std::move(files), settings, shared_->readers, shared_->upkeep, why, &shared_->transactions);
        if (!log) {
            why.raise();
        }
        report_losses(*log);
        topic->partitions.push_back(std::move(log));
    }
    return topic;
}

BROOK_INLINE storage::log* core::log_of_transactions() const {
    if (!transactions_.is_open()) {
        return nullptr;
    }
    const std::scoped_lock guard{topics_mutex_};
    for (const auto& one : topics_) {
        if (one->why) {
            return nullptr;
        }
    }
    return find_topic(transaction_topic)->partitions.front().get();  // it stays: nobody deletes it
}

BROOK_INLINE bool core::is_synced(storage::log& log) {
    const offset claimed = log.claimed_end_offset();
    return !log.sync() && log.durable_offset() >= claimed;
}

BROOK_INLINE void core::release_transactions() {
    storage::log* const told = log_of_transactions();
    if (told == nullptr || told->compaction_limit() >= told->active_base()) {
        return;
    }
    const offset end = told->log_end_offset();
    const kept_logs logs = open_logs();  // behind that: all are here that it tells of
    for (storage::log* const log : logs.all) {
        if (log->has_transactions() && !is_synced(*log)) {
            return;
        }
    }
    told->limit_compaction(end);
}

BROOK_INLINE void core::release_parts(storage::log& log) {
    if (!log.options().compaction.is_on || !log.has_transactions()) {
        return;
    }
    const offset stable = log.last_stable_offset();
    storage::log* const told = stable > log.compaction_limit() && log.compaction_limit() < log.active_base() ? log_of_transactions() : nullptr;
    if (told != nullptr && is_synced(*told)) {
        log.limit_compaction(stable);
    }
}

BROOK_INLINE void core::report_losses(const storage::log& log) {
    for (const damage& lost : log.report().damages) {
        shared_->report({errc::corrupt_record, log.name().text() + ": " + lost.file + ", bytes " + std::to_string(lost.begin) + " to " +
                                                   std::to_string(lost.end) + ": " +
                                                   (lost.last > lost.first ? "offsets " + std::to_string(lost.first) + " to " + std::to_string(lost.last - 1) + " were there and cannot be read"
                                                                           : "not what was written; no record is missing, the log goes on at offset " + std::to_string(lost.first))});
    }
}

BROOK_INLINE bool core::find_left_behind(std::string_view name, topic_meta& left) {
    const std::string path = topics_path() + '/' + std::string{name};
    std::vector<os::directory_entry> entries;
    if (platform_.list(path, entries)) {
        return false;
    }
    left = topic_meta::decode(read_small_file(platform_, path + "/topic.meta"), path + "/topic.meta");
    return true;
}

BROOK_INLINE topic_handle core::enter_topic(std::string_view name, const topic_meta& meta) {
    check(platform_.sync_directory(topics_path()), "cannot sync " + topics_path());
    topic_handle topic = open_topic(name, meta);
    insert(topic);
    shared_->topics.fetch_add(1, std::memory_order_seq_cst);  // who sees it grown finds the topic
    shared_->readers.notify();
    return topic;
}

BROOK_INLINE void core::make_directories(std::string_view name, const topic_meta& meta) {
    const std::string path = topic_path(name);
    const std::string unfinished = unfinished_path(name);
    remove_unfinished(unfinished);
    check(platform_.make_directory(unfinished), "cannot create " + unfinished);
    write_small_file(platform_, unfinished + "/topic.meta", meta.encode());
    for (std::int32_t number = 0; number < meta.partitions; ++number) {
        const std::string partition = unfinished + '/' + std::to_string(number);
        check(platform_.make_directory(partition), "cannot create " + partition);
    }
    for (std::int32_t number = 0; number < meta.partitions; ++number) {  // without a journal its name may be there, and it not
        const std::string partition = unfinished + '/' + std::to_string(number);
        check(platform_.sync_directory(partition), "cannot sync " + partition);
    }
    check(platform_.sync_directory(unfinished), "cannot sync " + unfinished);
    check(platform_.rename_to_new(unfinished, path), "cannot rename " + unfinished + " to " + path);
}

BROOK_INLINE void core::remove_unfinished(const std::string& path) {
    std::vector<os::directory_entry> entries;
    const std::error_code code = platform_.list(path, entries);
    if (code == std::errc::no_such_file_or_directory) {
        return;
    }
    check(code, "cannot list " + path);
    check(platform_.sync_directory(topics_path()), "cannot sync " + topics_path());  // no power brings back under its name what is half removed
    std::vector<failure> problems;
    finish_deletion(path, problems);
    if (!problems.empty()) {
        problems.front().raise();
    }
}

BROOK_INLINE std::vector<failure> core::delete_here(std::string_view name) {
    std::vector<failure> problems;
    const std::scoped_lock one_at_a_time{making_mutex_};
    require_open();
    const bool is_safe = rename_away(name, problems);
    end_topic(name, problems);
    if (is_safe) {
        finish_deletion(unfinished_path(name), problems);
    }
    return problems;
}

BROOK_INLINE bool core::rename_away(std::string_view name, std::vector<failure>& problems) {
    const std::string path = topic_path(name);
    const std::string away = unfinished_path(name);
    topic_handle topic;
    {
        const std::scoped_lock guard{topics_mutex_};
        topic = find_topic(name);
    }
    if (std::vector<os::directory_entry> entries; !topic && platform_.list(path, entries)) {  // else making it has failed at the last moment
        throw_error(errc::unknown_topic_or_partition, std::string{"there is no topic '"} + std::string{name} + "' in " + directory_.path());
    }
    remove_unfinished(away);
    const std::string topics = topics_path();
    if (topic) {
        topic->expect_deletion(true);  // who asks for its files from here on may not find them
    }
    const std::error_code not_renamed = platform_.rename_to_new(path, away);
    const std::error_code not_synced = not_renamed ? std::error_code{} : platform_.sync_directory(topics);
    if (!not_renamed && !not_synced) {
        return true;
    }
    if (not_synced && platform_.rename_to_new(away, path)) {
        problems.push_back({not_synced, "topic '" + std::string{name} + "' is deleted, and its files are in " + away + " as yet: cannot sync " + topics});
        return false;
    }
    if (topic) {
        topic->expect_deletion(false);
    }
    throw_error(not_renamed ? not_renamed : not_synced, "topic '" + std::string{name} + "' is not deleted: " +
                                                            (not_renamed ? "cannot rename " + path + " to " + away : "cannot sync " + topics));
}

BROOK_INLINE void core::end_topic(std::string_view name, std::vector<failure>& problems) {
    topic_handle gone;
    {
        const std::scoped_lock guard{topics_mutex_};
        if (const std::size_t i = place_of(name); i < topics_.size() && topics_[i]->name == name) {
            gone = topics_[i];
            erase_at(topics_, i);
        }
    }
    if (!gone) {
        return;
    }
    gone->was_deleted.store(true, std::memory_order_release);
    shared_->topics.fetch_add(1, std::memory_order_seq_cst);
    shared_->readers.notify();
    gone->end_deleted();
    shared_->readers.notify();
    if (!gone->why) {
        for (failure& why : groups_.remove_topic(gone->meta.id)) {
            problems.push_back(std::move(why));
        }
    }
    transactions_.forget_deleted();
}

BROOK_INLINE void core::finish_deletion(const std::string& path, std::vector<failure>& problems) {
    const std::string meta_path = path + "/topic.meta";
    failure why = remove_inside(path, "topic.meta");
    if (!why) {
        why = forget_offsets(meta_path);
    }
    if (!why) {
        why = remove_if_there(meta_path, false);
    }
    if (!why) {
        why = remove_if_there(path, true);
    }
    if (why) {
        why.text += "; the next opening of the broker tries again";
        problems.push_back(std::move(why));
    }
}

BROOK_INLINE failure core::remove_inside(const std::string& path, std::string_view but) {
    std::vector<os::directory_entry> entries;
    if (const auto code = platform_.list(path, entries)) {
        return code == std::errc::no_such_file_or_directory ? failure{} : failure{code, "cannot list " + path};
    }
    failure first;
    for (const auto& entry : entries) {
        if (entry.name == but) {
            continue;
        }
        const std::string inside = path + '/' + entry.name;
        const bool is_directory = entry.kind == os::entry_kind::directory;
        failure why = is_directory ? remove_inside(inside) : failure{};  // ends: a path can only be so long
        if (!why) {
            why = remove_if_there(inside, is_directory);
        }
        if (why && !first) {
            first = std::move(why);
        }
    }
    return first;
}

BROOK_INLINE failure core::remove_if_there(const std::string& path, bool is_directory) {
    const auto code = is_directory ? platform_.remove_directory(path) : platform_.remove(path);
    return !code || code == std::errc::no_such_file_or_directory ? failure{} : failure{code, "cannot remove " + path};
}

BROOK_INLINE failure core::forget_offsets(const std::string& meta_path) {
    if (offsets_failure_ || (cluster_ && !cluster_->coordinates())) {
        return {};  // nobody can use them, or they are another broker's to forget
    }
    topic_meta meta;
    try {
        meta = topic_meta::decode(read_small_file(platform_, meta_path), meta_path);
    } catch (const error& why) {
        const bool is_for_good = why.code() == errc::corrupt_record || why.code() == errc::unsupported_version ||
                                 why.code() == std::errc::no_such_file_or_directory;
        return is_for_good ? failure{} : failure{why};  // else another look may tell
    }
    return groups_.knows(meta.id) ? failure{} : offsets_.forget_topic(meta.id);  // a copy that somebody has made is not the topic
}

BROOK_INLINE void core::remove_left_behind(const std::vector<std::string>& paths) {
    std::vector<failure> problems;
    for (const std::string& path : paths) {
        finish_deletion(path, problems);
    }
    for (const failure& why : problems) {
        shared_->report(why);
    }
}

BROOK_INLINE void core::recount() {
    if (is_closed()) {
        return;
    }
    if (const std::unique_lock guard{upkeep_mutex_, std::try_to_lock}) {  // else it is looking after them, and looks again
        disk_.start(open_logs().all);
    }
    shared_->upkeep.notify();
}

BROOK_INLINE void core::open_transactions() {
    if (!find_topic(transaction_topic)) {
        shared_->transactions.set_readable(false);  // a part of one that turns up all the same is nothing to pass over
        for (const storage::log* const log : open_logs().all) {
            if (log->has_transactions()) {
                transactions_failure_ = {errc::corrupt_record, log->name().text() + " has parts of transactions, and topics/" + std::string{transaction_topic} +
                                                                   ", which says how they ended, is missing; restore it from a copy"};
                shared_->report(transactions_failure_);
                return;
            }
        }
        return;
    }
    try {
        transactions_.open(internal_topic(transaction_topic), topics_);
    } catch (const error& why) {
        transactions_failure_ = failure{why};
        shared_->transactions.set_readable(false);
        shared_->report(transactions_failure_);
    }
}

BROOK_INLINE void core::open_offsets() {
    const bool is_new = !find_topic(offsets_topic);
    try {
        offsets_.open(internal_topic(offsets_topic));
    } catch (const error& why) {
        if (is_new) {
            throw;
        }
        offsets_failure_ = failure{why};
        shared_->report(offsets_failure_);
    }
}

BROOK_INLINE topic_handle core::internal_topic(std::string_view name) {
    const std::scoped_lock guard{topics_mutex_};
    if (topic_handle topic = find_topic(name)) {
        require_whole(*topic);
        return topic;
    }
    if (topic_meta left; find_left_behind(name, left)) {
        return enter_topic(name, left);
    }
    topic_options options;
    options.segment_bytes = std::int64_t{mib};
    const topic_meta meta = topic_meta::make(name, options, topic_meta::new_id(platform_), {"brook.internal", 0}, {"brook.internal", 0});
    make_directories(name, meta);
    return enter_topic(name, meta);
}

BROOK_INLINE std::size_t core::place_of(std::string_view name) const noexcept {
    return count_before(topics_.size(), [&](std::size_t i) { return std::string_view{topics_[i]->name} < name; });
}

BROOK_INLINE topic_handle core::find_topic(std::string_view name) const noexcept {
    const std::size_t i = place_of(name);
    return i < topics_.size() && topics_[i]->name == name ? topics_[i] : nullptr;
}

BROOK_INLINE void core::insert(const topic_handle& topic) {
    if (!topic->why) {
        groups_.add_topic(topic->meta.id);
    }
    insert_at(topics_, place_of(topic->name), topic);
}

BROOK_INLINE void core::require_whole(const topic_state& topic) {
    if (topic.why) {
        topic.why.raise();
    }
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> core::run_timed_work() {
    std::optional<std::chrono::nanoseconds> next;
    for (std::size_t i = 0; const auto work = next_work(i); ++i) {
        next = sooner(next, work->run_due(platform_.monotonic()));
    }
    return next;
}

BROOK_INLINE std::shared_ptr<timed_work> core::next_work(std::size_t i) {
    const std::scoped_lock guard{work_mutex_};
    while (i < work_.size()) {
        if (auto alive = work_[i].lock()) {
            return alive;
        }
        work_[i].swap(work_.back());
        work_.pop_back();
    }
    return nullptr;
}

BROOK_INLINE void core::watch_clock(const std::vector<storage::log*>& logs) {
    const auto jump = clock_.jump(platform_);
    const bool has_jumped = jump > large_jump || jump < -large_jump;
    if (!has_jumped || std::exchange(has_told_of_clock_, true)) {
        return;
    }
    for (const storage::log* const log : logs) {
        if (log->options().retention.age) {
            shared_->report({errc::illegal_state, "the wall clock has jumped by " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(jump).count()) +
                                                      " s since this broker was opened; until it is opened again segments age by what has passed since, "
                                                      "and are kept longer rather than shorter"});
            return;
        }
    }
    has_told_of_clock_ = false;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> core::sooner(std::optional<std::chrono::nanoseconds> one,
                                                                  std::optional<std::chrono::nanoseconds> other) noexcept {
    return one && other ? std::optional{*one < *other ? *one : *other} : one ? one : other;
}

BROOK_INLINE auto core::open_logs() const -> kept_logs {
    const std::scoped_lock guard{topics_mutex_};
    kept_logs open{topics_, {}};
    for (const auto& topic : topics_) {
        for (const auto& log : topic->partitions) {
            open.all.push_back(log.get());
        }
    }
    return open;
}

BROOK_INLINE bool core::may_rest() {
    const std::scoped_lock one_at_a_time{upkeep_mutex_};
    shared_->rest();
    shared_->upkeep.fence();  // the flag stands before the look, to those, too, who publish without a barrier
    const kept_logs kept = open_logs();
    for (storage::log* const log : kept.all) {
        if (log->options().promises_durability() && log->log_end_offset() != log->notes().end) {
            return false;
        }
    }
    return true;
}

BROOK_INLINE void core::keep_up() {
    while (!is_closing_.load(std::memory_order_acquire)) {
        const auto ticket = shared_->upkeep.prepare();
        std::optional<std::chrono::nanoseconds> next;
        try {
            next = look_after(std::nullopt, false);
            if (!next && !may_rest()) {
                next = platform_.monotonic();
            }
        } catch (const std::exception& why) {  // for want of memory, or by who was told: tried again, and told
            shared_->report(failure_of(why));
            next = platform_.monotonic() + stays_alert;
        }
        if (!is_closing_.load(std::memory_order_acquire)) {
            shared_->upkeep.wait(ticket, next ? std::optional{*next - platform_.monotonic()} : std::nullopt);
        }
    }
}

BROOK_INLINE core::life_sign::life_sign(os::platform& platform)
    : platform_{platform}, word_{static_cast<std::uint32_t*>(platform.allocate_wiped_on_fork(sizeof(std::uint32_t)))} {
    *word_ = 1;
}

}  // namespace brook::inline BROOK_ABI::broker_room
