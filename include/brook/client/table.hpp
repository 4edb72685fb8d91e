/// \file brook/client/table.hpp
/// The latest value of each key of a topic, found and gone through in place.
/// Floor 6, client. Source: Kafka Streams' KTable and GlobalKTable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/client/codec.hpp>
#include <brook/client/consumer_options.hpp>
#include <brook/client/partitioner.hpp>
#include <brook/client/records.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/sender.hpp>
#include <brook/engine/table_index.hpp>
#include <brook/engine/table_partition.hpp>

namespace brook::inline BROOK_ABI {

/// How far a table has read a partition.
struct table_position {
    std::int32_t partition = 0;
    brook::offset next = 0;          ///< everything below it counts, and nothing else
    std::int32_t leader_epoch = -1;  ///< of the record in front of it, which tells this history from one that was cut; -1: not known

    bool operator==(const table_position&) const = default;
};

/// Names the state of a table: one position a partition.
using table_snapshot = std::vector<table_position>;

struct table_options {
    /// Reads up to there and stays: the table as of that snapshot. Partitions that it does not name are empty. Of a topic that has been
    /// compacted behind it, keys are missing whose records of that time have been superseded and removed since.
    std::optional<table_snapshot> until{};

    /// Each look takes in first what has been published since. Without it only `refresh` does: then views stay until then.
    bool auto_refresh = true;

    /// Keeps what it knows in a file for the next opening: read by the constructor, written by `save`, and by the destructor where
    /// much has come since. A few bytes a key.
    bool index_file = true;

    brook::isolation_level isolation_level = brook::isolation_level::read_committed;

    /// Verify checksums of what comes from the disk, at the first read since it was opened [check.crcs].
    bool check_crcs = true;
};

/// A record of a table in memory of its own: holds no segment, and outlives the table.
///
/// Threads   immutable; copies share the memory.
template <class Key, class Value, class Broker = broker>
class kept_record {
public:
    using view_type = record_view<Key, Value, Broker>;

    [[nodiscard]] const view_type& operator*() const noexcept { return view_; }
    [[nodiscard]] const view_type* operator->() const noexcept { return &view_; }

private:
    template <class, class, class>
    friend class table;

    kept_record(typename detail::engine_t<Broker>::topic of, std::shared_ptr<const std::uint64_t[]> memory, view_type view) noexcept
        : of_{std::move(of)}, memory_{std::move(memory)}, view_{view} {}

    typename detail::engine_t<Broker>::topic of_;  // whose name the view gives
    std::shared_ptr<const std::uint64_t[]> memory_;
    view_type view_;
};

/// The latest value of each key of a topic. What a tombstone has deleted is not in it, nor are records without a key.
///
///     brook::table stock{topic};
///     if (auto const found = stock.find("bolts")) std::printf("%d left\n", found->value().count);
///     for (auto const& record : stock) list(record.key(), record.value());
///
/// It is kept by reading the topic, as a consumer does: a look takes in first what has been published since the last one, so that
/// who has sent something finds it. Records stay where they are in the log, and are looked at there.
///
/// A key belongs to a partition, as its compaction does. Where records of one key are in several, since their sender chose the
/// partition, each partition has its own latest one: `find` gives that of the partition which the partitioner names, and where
/// there is none, of the first that has one; `size` and iteration count each. Partitions are read one after the other: going
/// through a table one may see a transaction's records in one partition and not yet those in another, never a part of those in one.
///
/// A table that is not looked at for as long as tombstones are kept may miss one that has been removed meanwhile, if the key's
/// record was in a compressed batch; as a consumer that has been away so long does.
///
/// Threads   confined.
/// Cost      22 to 43 bytes a key in memory. `find`: one look at a word of the key's partition, a miss of the cache for the index,
///           one for the record; no lock, allocation or system call where nothing is new and the key's serde has its bytes at hand.
///           A key that is not there costs a look at each partition; while a transaction is not decided in front of the table, each
///           look tries to read on.
///           The record of a compressed batch has been copied when it was read, into an allocation of its own. It holds the
///           segments that its records are in: their mappings, and two open files each. Opening reads the topic; with the file of
///           a table before, the file, a record of each segment that it names, what compaction has rewritten since, and what
///           has been sent since. Records that the file names are looked up when they are first asked for, some us each; all of
///           them when somebody goes through the table.
/// Lifetime  views stay until the next call that may change the table: any but `snapshot` and `save`; without auto_refresh, any but
///           `find`, `contains`, `size` and iteration, too. `keep` makes one that stays. Destroy it before its broker: then it has
///           written its file.
/// Errors    closed; what a consumer's poll throws. What has been taken in by then stays, and without auto_refresh can be asked.
template <class Key, class Value, class Broker = broker>
class table {
    static_assert(!std::is_same_v<Key, no_key>, "brook: a table is of topics with keys");
    static_assert(detail::check_storable_key<Key>() && detail::check_readable<Value>());

    using engine_type = detail::engine_t<Broker>;
    using engine_partition = typename engine_type::table_partition;
    using key_argument = typename detail::codec<Key>::argument_type;
    using topic_type = topic<Key, Value, Broker>;

public:
    using view_type = record_view<Key, Value, Broker>;
    using kept_type = kept_record<Key, Value, Broker>;

    /// Reads what there is.
    /// Errors    closed; invalid_config for a snapshot of another topic; offset_out_of_range for one that is below the log's
    ///           start, behind what can be read, or of a history that was cut.
    explicit table(const topic_type& of, table_options options = {}) : topic_{detail::access::engine(of)}, is_automatic_{options.auto_refresh} {
        static_cast<void>(topic_.open_core());
        const std::int32_t count = topic_.partition_count();
        engine::table_settings settings;
        settings.reads_committed = options.isolation_level == isolation_level::read_committed;
        settings.verifies = options.check_crcs;
        settings.has_file = options.index_file;
        settings.partition_count = count;
        settings.partition_for = count > 1 ? &partition_for_key : nullptr;
        const std::vector<table_position> ends = ends_of(options.until);
        for (std::int32_t number = 0; number < count; ++number) {
            settings.until = ends[static_cast<std::size_t>(number)].next;
            settings.until_epoch = ends[static_cast<std::size_t>(number)].leader_epoch;
            partitions_.push_back(std::make_unique<engine_partition>(topic_.log(number), settings));
        }
        refresh();
    }

    table(table&&) noexcept = default;
    table& operator=(table&& other) noexcept {
        if (this != &other) {
            save_quietly();
            partitions_ = std::move(other.partitions_);
            topic_ = std::move(other.topic_);
            is_automatic_ = other.is_automatic_;
        }
        return *this;
    }
    table(const table&) = delete;
    table& operator=(const table&) = delete;
    ~table() { save_quietly(); }

    /// The latest record of a key; nullopt: there is none, or a tombstone came last. A text key is looked for by anything that
    /// reads as a text.
    [[nodiscard]] std::optional<view_type> find(key_argument key) {
        const detail::serialized<Key> wanted{key};
        const bytes raw = wanted.view();
        const std::uint32_t hash = engine::table_hash(raw);
        const std::size_t own = partition_of(raw);
        format::record_slice found;
        engine_partition* where = partitions_[own].get();
        if (find_in(*where, raw, hash, found)) [[likely]] {
            return view_type{found, &where->name()};
        }
        where = find_astray(own, raw, hash, found);
        return where != nullptr ? std::optional{view_type{found, &where->name()}} : std::nullopt;
    }

    /// The same in one partition alone.
    /// Errors    unknown_topic_or_partition.
    [[nodiscard]] std::optional<view_type> find(key_argument key, const brook::partition& in) {
        if (detail::access::engine(in).state() != topic_.state()) {
            throw_error(errc::unknown_topic_or_partition, "table of topic '" + topic_.name() + "': that is a partition of another topic");
        }
        const detail::serialized<Key> wanted{key};
        const bytes raw = wanted.view();
        engine_partition& where = *partitions_[static_cast<std::size_t>(in.number())];
        format::record_slice found;
        return find_in(where, raw, engine::table_hash(raw), found) ? std::optional{view_type{found, &where.name()}} : std::nullopt;
    }

    [[nodiscard]] bool contains(key_argument key) { return find(key).has_value(); }

    /// How many keys have a value.
    [[nodiscard]] std::size_t size() {
        look();
        std::size_t all = 0;
        for (const auto& one : partitions_) {
            all += one->count();
        }
        return all;
    }
    [[nodiscard]] bool empty() { return size() == 0; }

    /// Takes in what has been published since, and lets go of files that have been deleted or rewritten.
    /// Returns   how many records that were.
    std::uint64_t refresh() {
        std::uint64_t taken = 0;
        for (const auto& one : partitions_) {
            taken += one->refresh(true);
        }
        return taken;
    }

    /// Yields views by value, partition by partition, in no order.
    class iterator {
    public:
        using iterator_concept = std::input_iterator_tag;
        using iterator_category = std::input_iterator_tag;  // it yields values, not references
        using value_type = view_type;
        using difference_type = std::ptrdiff_t;
        using reference = value_type;
        using pointer = void;

        iterator() noexcept = default;

        [[nodiscard]] value_type operator*() const noexcept {
            const engine_partition& here = *of_->partitions_[partition_];
            return {here.record_at(place_), &here.name()};
        }
        iterator& operator++() noexcept {
            ++place_;
            settle();
            return *this;
        }
        iterator operator++(int) noexcept {
            iterator before = *this;
            ++*this;
            return before;
        }
        [[nodiscard]] bool operator==(const iterator& other) const noexcept {
            return of_ == other.of_ && partition_ == other.partition_ && place_ == other.place_;
        }

    private:
        friend class table;

        explicit iterator(const table& of) noexcept : of_{&of} { settle(); }

        /// Goes on to a record; where there is none, to the end.
        void settle() noexcept {
            for (; partition_ < of_->partitions_.size(); ++partition_, place_ = 0) {
                const engine_partition& here = *of_->partitions_[partition_];
                for (; place_ < here.capacity(); ++place_) {
                    if (here.is_there(place_)) {
                        return;
                    }
                }
            }
            *this = {};
        }

        const table* of_ = nullptr;
        std::size_t partition_ = 0;
        std::size_t place_ = 0;
    };

    /// Of a table that has just been opened from a file, reads all records that the file names.
    [[nodiscard]] iterator begin() {
        look();
        for (const auto& one : partitions_) {
            one->place_all();
        }
        return iterator{*this};
    }
    [[nodiscard]] iterator end() const noexcept { return {}; }

    /// How far it has read, for `table_options::until`.
    [[nodiscard]] table_snapshot snapshot() const {
        table_snapshot all;
        for (const auto& one : partitions_) {
            const auto epoch = one->epoch();
            all.push_back({static_cast<std::int32_t>(one->name().number), one->position_offset(), epoch ? static_cast<std::int32_t>(*epoch) : -1});
        }
        return all;
    }

    /// A record that stays, whatever becomes of the table: a copy.
    ///
    /// Requires  a view that this table has given, and that is alive.
    [[nodiscard]] kept_type keep(const view_type& record) const {
        std::shared_ptr<const std::uint64_t[]> memory = engine::copy_of(record.slice_, 0);
        const auto& name = partitions_[static_cast<std::size_t>(record.partition())]->name();
        const auto copy = engine::look_at_copy(std::as_bytes(std::span{memory.get(), 1}).data());
        return {topic_, std::move(memory), view_type{copy, &name}};
    }

    /// Writes the file for the next opening, if there is something new. A table as of a snapshot writes none.
    /// Errors    what the disk said.
    /// Cost      looks at each record; some bytes a key are written and synced.
    void save() {
        for (const auto& one : partitions_) {
            if (const failure why = one->save()) {
                why.raise();
            }
        }
    }

private:
    /// As partition_for_key, without the division where there is none needed.
    [[nodiscard, gnu::always_inline]] std::size_t partition_of(bytes key) const noexcept {
        const std::size_t count = partitions_.size();
        if (count == 1) {
            return 0;
        }
        const auto hash = static_cast<std::size_t>(to_positive(murmur2(key)));
        return (count & (count - 1)) == 0 ? hash & (count - 1) : hash % count;
    }

    [[gnu::always_inline]] bool find_in(engine_partition& where, bytes key, std::uint32_t hash, format::record_slice& found) {
        if (is_automatic_ && where.has_news()) [[unlikely]] {
            where.refresh(false);
        }
        return where.find(key, hash, found);
    }

    /// In the partitions where it should not be.
    [[gnu::noinline]] engine_partition* find_astray(std::size_t own, bytes key, std::uint32_t hash, format::record_slice& found) {
        for (std::size_t i = 0; i < partitions_.size(); ++i) {
            engine_partition& where = *partitions_[i];
            if (i == own) {
                continue;
            }
            if (is_automatic_ && where.has_news()) {
                where.refresh(false);
            }
            if (where.has_strays() && where.find(key, hash, found)) {
                return &where;
            }
        }
        return nullptr;
    }

    void look() {
        for (const auto& one : partitions_) {
            if (is_automatic_ && one->has_news()) {
                one->refresh(false);
            }
        }
    }

    /// Where each partition is read to; -1: as far as it goes.
    [[nodiscard]] std::vector<table_position> ends_of(const std::optional<table_snapshot>& until) const {
        std::vector<table_position> ends;
        for (std::int32_t number = 0; number < topic_.partition_count(); ++number) {
            ends.push_back({number, until ? topic_.log(number).log_start_offset() : -1, -1});
        }
        for (const auto& one : until.value_or(table_snapshot{})) {
            if (one.partition < 0 || one.partition >= topic_.partition_count() || one.next < 0) {
                throw_error(errc::invalid_config, "table of topic '" + topic_.name() + "': a snapshot names partition " + std::to_string(one.partition) + " and offset " +
                                                      std::to_string(one.next) + "; there are partitions 0 to " + std::to_string(topic_.partition_count() - 1));
            }
            ends[static_cast<std::size_t>(one.partition)] = one;
        }
        return ends;
    }

    void save_quietly() noexcept {
        for (const auto& one : partitions_) {
            try {
                if (one->is_save_due()) {
                    if (const failure why = one->save()) {
                        topic_.shared().report(why);  // the next opening reads more
                    }
                }
            } catch (const std::exception&) {
                // No memory for it: the next opening reads more.
            }
        }
    }

    typename engine_type::topic topic_;
    std::vector<std::unique_ptr<engine_partition>> partitions_;
    bool is_automatic_;
};

template <class Key, class Value, class Broker>
table(const topic<Key, Value, Broker>&) -> table<Key, Value, Broker>;
template <class Key, class Value, class Broker>
table(const topic<Key, Value, Broker>&, table_options) -> table<Key, Value, Broker>;

}  // namespace brook::inline BROOK_ABI
