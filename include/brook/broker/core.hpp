/// \file brook/broker/core.hpp
/// The broker: one directory, its topics, its groups, its upkeep. What is typed stands in the client room.
/// Floor 4, broker.
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

#include <brook/broker/broker_directory.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/disk_keeper.hpp>
#include <brook/broker/group_coordinator.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/broker/transaction_coordinator.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/thread.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/log_life.hpp>
#include <brook/storage/retention.hpp>

namespace brook::inline BROOK_ABI {

/// How a broker is, for a health check: what went wrong that no caller was told of.
struct broker_health {
    std::vector<failure> errors;  ///< the latest 64, oldest first; behind them what is wrong with its cluster just now, which goes when that is over
    [[nodiscard]] bool is_ok() const noexcept { return errors.empty(); }
};

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::broker_room {

/// Somebody who has work at certain times: a producer with lingering batches.
class timed_work {
public:
    virtual ~timed_work() = default;

    /// Does what is due, and says when there is more: nullopt while there is nothing.
    /// Threads   upkeep's, or whoever calls broker.maintain().
    virtual std::optional<std::chrono::nanoseconds> run_due(std::chrono::nanoseconds now) = 0;
};

/// A directory with topics, held by this process alone.
///
///     <dir>/broker.lock      held while it is open
///     <dir>/broker.meta      what the directory is
///     <dir>/topics/<topic>/topic.meta
///     <dir>/topics/<topic>/<partition>/...
///
/// A topic is made under a name that no topic can have ("orders~") and renamed when it is whole. It is deleted by the same way back:
/// what its renaming leaves is removed, by this process or by the next one that opens the directory.
///
/// Threads   shared.
class core {
public:
    /// Errors    directory_in_use, not_a_brook_directory, unsupported_version, unsafe_filesystem, invalid_config,
    ///           corrupt_record, or the system's own.
    core(std::string directory, const broker_options& options);

    core(const core&) = delete;
    core& operator=(const core&) = delete;

    ~core() { close(); }

    /// Everything stops, and the directory is free for the next one. Handles that remain say closed.
    void close() noexcept;

    [[nodiscard]] const std::shared_ptr<shared_state>& shared() const noexcept { return shared_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_.path(); }
    [[nodiscard]] broker_health health() const;

    [[nodiscard]] bool is_closed() const noexcept { return is_closing_.load(std::memory_order_acquire); }

    /// Asked before a lock is taken, since another thread of a forked child's parent may have held it, and again under the
    /// lock where something is about to be made.
    /// Errors    closed, forked.
    void require_open() const;

    // ---- topics ----

    [[nodiscard]] topic_handle create_topic(std::string_view name, const topic_options& options, const schema& key, const schema& value);

    /// Deletes a topic: all of it or, where this throws, nothing of it. The whole directory goes, whatever is in it: what a recovery
    /// has put aside, and files of others; of a link the link alone. So do the offsets that groups have committed for it, and who
    /// was sharing it settles without it. Handles that remain say that it was deleted; records that were read stay.
    ///
    /// What happened once the topic was gone, and files that could not be removed, are told to the broker's health; the next opening
    /// removes them, and so does whoever makes a topic of this name.
    ///
    /// Errors    unknown_topic_or_partition; invalid_topic; closed; forked; what the disk said: then it is there as before.
    /// Cost      two or three syncs, and a system call a file. May wait for a topic that is being made or deleted.
    /// Source    Kafka's DeleteTopics.
    void delete_topic(std::string_view name);

    // ---- for its cluster ----

    [[nodiscard]] brook::broker_room::cluster* cluster() const noexcept { return cluster_.get(); }

    [[nodiscard]] int node_id() const noexcept { return node_id_; }

    [[nodiscard]] const format::topic_id& directory_id() const noexcept { return directory_.id(); }

    [[nodiscard]] bool has_topic(std::string_view name) const;
    [[nodiscard]] bool has_topic(std::string_view name, const format::topic_id& id) const;

    /// Those that are here, also the cluster's own.
    [[nodiscard]] std::vector<topic_handle> replicated_topics() const;

    /// The topic that the cluster has made, here too; the one that is here where it is.
    /// Errors    thrown: illegal_state when another one of this name is here; what the disk said.
    [[nodiscard]] topic_handle open_replicated(std::string_view name, const topic_meta& meta);

    /// Deletes the topic that the cluster has deleted; one of its name and another id stays.
    /// Errors    thrown: what the disk said.
    void drop_replicated(std::string_view name, const format::topic_id& id);

    /// Null: there is none, or another one than is wanted. Errors    as create_topic.
    [[nodiscard]] topic_handle find_agreeing(std::string_view name, const topic_options& options, const schema& key, const schema& value,
                                             const std::optional<format::topic_id>& wanted = std::nullopt) const;

    [[nodiscard]] topic_handle topic(std::string_view name, const schema& key, const schema& value) const;

    [[nodiscard]] std::vector<std::string> topic_names() const;

    /// All but the broker's own, by name; those, too, that could not be opened.
    [[nodiscard]] std::vector<topic_handle> topics() const;

    // ---- groups ----

    /// Errors    as `offsets`, and closed, forked.
    [[nodiscard]] group_service& groups();

    /// Those that are kept here: of a broker that is alone, or that coordinates for its cluster.
    [[nodiscard]] group_coordinator& groups_here() noexcept { return groups_; }
    [[nodiscard]] committed_offsets& offsets_here() noexcept { return offsets_; }

    [[nodiscard]] group_description describe_group(std::string_view name);

    void leave(const std::string& group, group::member_id member) noexcept;

    /// Errors    what opening them said, if they are damaged: groups cannot go on then, and everything else can.
    [[nodiscard]] committed_offsets& offsets();

    // ---- transactions ----

    /// Errors    closed, forked; what opening what was told of them said; no space.
    [[nodiscard]] transaction_coordinator& transactions();

    /// What the last transaction of an id has left; makes nothing.
    /// Errors    as `transactions`.
    [[nodiscard]] std::string transaction_state(std::string_view transactional_id) const;

    void abort(coordinated_transaction& open) noexcept;

    // ---- upkeep ----

    void attach(const std::weak_ptr<timed_work>& work);

    /// One pass over everything, at most `budget` long: it ends after the step that passes it, and the next one goes on there.
    /// Errors    closed, forked.
    void maintain(std::optional<std::chrono::nanoseconds> budget);

private:
    /// Returns   when to look again: nullopt when nothing is expected.
    std::optional<std::chrono::nanoseconds> look_after(std::optional<std::chrono::nanoseconds> budget, bool is_asked);
    static constexpr std::chrono::milliseconds busy_pause{1};       // while appends come in
    static constexpr std::chrono::milliseconds stays_alert{50};     // after the last one
    static constexpr std::chrono::milliseconds turn_of_a_log{10};   // then the next one's, also where more is to be done
    static constexpr std::chrono::minutes large_jump{10};           // of the wall clock; less is corrected as a matter of course
    static constexpr std::chrono::minutes retention_check{5};       // longest time between two looks at the age of segments
    static constexpr std::int64_t least_memory_for_keys = mib;
    static constexpr std::int64_t most_memory_for_keys = std::int64_t{64} << 30;
    static constexpr std::chrono::milliseconds unwaited_flush{100};  // records of flush_messages topics that nobody waits for

    // ---- options ----

    /// What is illegal is refused later, with words.
    [[nodiscard]] static std::size_t memory_for_keys(const broker_options& options) noexcept;

    static void refuse_illegal(const broker_options& options);

    static void require_alone(std::string_view topic, const char* option, const std::optional<std::int32_t>& given);

    static void require_membership(const broker_options& options);

    [[nodiscard]] std::string topics_path() const { return directory_.path() + "/topics"; }
    [[nodiscard]] std::string topic_path(std::string_view name) const { return topics_path() + '/' + std::string{name}; }
    [[nodiscard]] std::string unfinished_path(std::string_view name) const { return topic_path(name) + '~'; }

    /// Errors    invalid_topic.
    static void require_users_topic(std::string_view name);

    // ---- opening and making topics ----

    /// Returns   what a process has left behind that made topics, or deleted them.
    [[nodiscard]] std::vector<std::string> open_topics();

    [[nodiscard]] topic_handle open_topic(std::string_view name, topic_meta meta);

    /// The log that tells of transactions; null while nobody has begun one, or what it tells cannot be held against all topics.
    [[nodiscard]] storage::log* log_of_transactions() const;

    /// Everything that was claimed by now is on the disk when this is true. Else its own upkeep tells why, or somebody is about to
    /// publish, and the next pass asks again.
    [[nodiscard]] static bool is_synced(storage::log& log);

    /// What is told of a transaction may be compacted when a later one of its id has been told of, and all that was committed is on
    /// the disk: a loss of power would take the later one back, else, and nothing would be known of both.
    void release_transactions();

    /// And what a transaction has in a log when that is on the disk which decides it: compaction makes plain records of it, and a loss
    /// of power would leave them committed, else, and take the other parts back.
    void release_parts(storage::log& log);

    void report_losses(const storage::log& log);

    /// A topic that was made whole, and then something failed: creating it threw, and yet there it is.
    [[nodiscard]] bool find_left_behind(std::string_view name, topic_meta& left);

    [[nodiscard]] topic_handle enter_topic(std::string_view name, const topic_meta& meta);

    void make_directories(std::string_view name, const topic_meta& meta);

    /// In front of a use of that name: what was left of a topic in the making, or of one that was deleted.
    void remove_unfinished(const std::string& path);

    // ---- deleting topics ----

    /// Returns   what is to be told when no lock is held.
    [[nodiscard]] std::vector<failure> delete_here(std::string_view name);

    /// Its directory gets the name from which no topic comes back, and has it on the disk.
    ///
    /// Errors    thrown: it is as it was.
    /// Returns   false: it is gone, and whether for good the disk did not say; its files stay.
    [[nodiscard]] bool rename_away(std::string_view name, std::vector<failure>& problems);

    /// In this order: nobody finds it; who finds its logs ended knows why; its partitions are nobody's.
    void end_topic(std::string_view name, std::vector<failure>& problems);

    /// Removes a directory that has its last name, and what was committed for the topic: topic.meta goes last, which tells whose that
    /// is. Begun by one process it is finished by the next.
    void finish_deletion(const std::string& path, std::vector<failure>& problems);

    /// All but what has this name. What cannot be removed does not keep the rest.
    [[nodiscard]] failure remove_inside(const std::string& path, std::string_view but = {});

    [[nodiscard]] failure remove_if_there(const std::string& path, bool is_directory);

    /// What was committed for the topic of which this is all that is left; of one in the making there is nothing.
    [[nodiscard]] failure forget_offsets(const std::string& meta_path);

    void remove_left_behind(const std::vector<std::string>& paths);

    /// There is room now for who was refused.
    void recount();

    /// Before the offsets, some of which are parts of them. Who has never begun one has no topic for them.
    void open_transactions();

    void open_offsets();

    [[nodiscard]] topic_handle internal_topic(std::string_view name);

    [[nodiscard]] std::size_t place_of(std::string_view name) const noexcept;

    /// Null where there is none.
    [[nodiscard]] topic_handle find_topic(std::string_view name) const noexcept;

    void insert(const topic_handle& topic);

    static void require_whole(const topic_state& topic);

    [[nodiscard]] bool is_forked() const noexcept { return !lives_here_.is_alive(); }

    // ---- upkeep ----

    [[nodiscard]] std::optional<std::chrono::nanoseconds> run_timed_work();

    /// The work at `i`, in place of what has gone; null when there is no more.
    [[nodiscard]] std::shared_ptr<timed_work> next_work(std::size_t i);

    /// `is_over(now)`: it is enough for this time.
    template <class IsOver>
    [[nodiscard]] std::optional<std::chrono::nanoseconds> look_after(storage::log& log, const IsOver& is_over) {
        storage::log::upkeep_notes& known = log.notes();
        auto now = platform_.monotonic();
        release_parts(log);
        const offset end = log.options().compaction.is_on ? log.log_end_offset() : 0;  // what comes behind it meanwhile is not due as yet
        auto result = log.upkeep(now, end);
        while (result.has_more && !is_over(platform_.monotonic())) {
            now = platform_.monotonic();
            result = log.upkeep(now, end);
        }
        if (result.why && !storage::says_ended(result.why) && result.why.text != known.told) {
            shared_->report(result.why);
        }
        known.told = result.why.text;
        if (result.is_busy) {
            last_busy_ = now;
        }
        std::optional<std::chrono::nanoseconds> next;
        if (result.has_more) {
            next = now;
        } else if (const auto wanted = log.shortest_age()) {
            const std::chrono::nanoseconds pause = *wanted / 8 < retention_check ? *wanted / 8 : retention_check;
            next = now + (pause > busy_pause ? pause : busy_pause);
        }
        if (!log.options().promises_durability()) {
            return next;
        }
        const bool has_moved = std::exchange(known.end, log.log_end_offset()) != known.end;
        const bool is_timed = log.options().flush_interval.count() > 0;
        if (result.why.code != errc::partition_failed && (has_moved || (is_timed && log.durable_offset() < known.end))) {
            return sooner(next, now + (is_timed ? log.options().flush_interval / 2 : unwaited_flush));
        }
        return next;
    }

    /// Says so, once, when segments age by another time than the wall clock's.
    void watch_clock(const std::vector<storage::log*>& logs);

    [[nodiscard]] static std::optional<std::chrono::nanoseconds> sooner(std::optional<std::chrono::nanoseconds> one,
                                                                        std::optional<std::chrono::nanoseconds> other) noexcept;

    /// Logs, and what keeps them: a topic that is deleted meanwhile has ended ones.
    struct kept_logs {
        std::vector<topic_handle> topics;
        std::vector<storage::log*> all;
    };
    [[nodiscard]] kept_logs open_logs() const;

    /// Nothing is due. From here on who appends to a topic that promises durability wakes upkeep, unless somebody has
    /// since it looked.
    [[nodiscard]] bool may_rest();

    void keep_up();

    /// A word that a forked child reads as zero.
    class life_sign {
    public:
        explicit life_sign(os::platform& platform);
        life_sign(const life_sign&) = delete;
        life_sign& operator=(const life_sign&) = delete;
        ~life_sign() { platform_.release_wiped_on_fork(word_, sizeof(std::uint32_t)); }
        [[nodiscard]] bool is_alive() const noexcept { return *word_ != 0; }

    private:
        os::platform& platform_;
        std::uint32_t* word_;
    };

    os::platform& platform_;
    broker_directory directory_;
    int node_id_;
    life_sign lives_here_{platform_};
    std::shared_ptr<shared_state> shared_;
    std::chrono::nanoseconds producer_id_expiration_;
    disk_keeper disk_;
    storage::compaction_turn compaction_turn_;
    storage::retention_clock clock_;
    std::optional<std::chrono::nanoseconds> offsets_retention_;
    std::atomic<bool> is_closing_{false};

    std::mutex making_mutex_;          // one topic of users is made or deleted at a time; taken before the next
    mutable std::mutex topics_mutex_;  // guards the topics
    std::vector<topic_handle> topics_;  // by name
    committed_offsets offsets_;
    failure offsets_failure_;  // why they could not be opened
    group_coordinator groups_{*shared_, offsets_};
    transaction_coordinator transactions_{*shared_, offsets_};
    std::unique_ptr<brook::broker_room::cluster> cluster_;  // null: it is alone
    failure transactions_failure_;  // why what was told of them could not be read

    std::mutex work_mutex_;  // guards the timed work
    std::vector<std::weak_ptr<timed_work>> work_;

    std::mutex upkeep_mutex_;  // one pass at a time; guards what follows, and the notes of each log
    std::size_t next_log_ = 0;  // where the pass goes on that a budget has ended
    std::chrono::nanoseconds last_busy_{std::chrono::nanoseconds::min() / 2};
    bool has_told_of_clock_ = false;
    os::thread upkeep_thread_;
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/core.hpp>
#endif
