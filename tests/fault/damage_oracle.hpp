/// \file fault/damage_oracle.hpp
/// Opens a store whose files were damaged, uses it, and holds what it gives and what it says against what was in it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/brook.hpp>

#include "fault/small_store.hpp"
#include "support/rebooting_platform.hpp"

namespace brook::test {

/// How a damage ended, or how a promise was broken.
enum class verdict : std::size_t {
    harmless,  ///< nobody was the worse for it: bytes that mean nothing
    repaired,  ///< only what is derived was damaged, and everything is as it was
    cut,       ///< above the evidence the log ends earlier
    detected,  ///< an error or a report told of it; all else is exact
    wrong_data,
    silent_loss,
    broken_promise,  ///< any other
};
inline constexpr std::size_t verdict_count = static_cast<std::size_t>(verdict::broken_promise) + 1;

struct judgement {
    verdict result = verdict::harmless;
    std::string problem;  ///< of a broken promise
    bool is_damaged = true;  ///< false: the files are what they were, and nothing was looked at
};

/// Judges one damage at a time.
///
/// What must hold of each record that was in the store: it is read, exactly; or reading it, or opening, gives an error
/// that names file and position; or the report of the opening has it. Only above the surviving evidence may it be gone
/// without a word: where power may have gone, together with everything behind it, beginning with a frame that is not
/// whole; else where nothing is left of its frame. A frame that is whole is never lost, below the evidence nothing is
/// changed or cut, what is derived is made anew without a word, and what is appended afterwards stays.
///
/// Threads   confined.
class damage_oracle {
public:
    /// Requires  `directory`, on `disk`, holds nothing else.
    damage_oracle(os::platform& disk, std::string directory, const store_moment& base, bool reboots)
        : disk_{disk}, directory_{std::move(directory)}, base_{base}, reboots_{reboots} {}

    /// `turn` varies what is done besides.
    [[nodiscard]] judgement judge(const file_tree& damaged, std::uint64_t turn) {
        damaged_ = &damaged;
        turn_ = turn;
        is_told_ = false;
        is_cut_ = false;
        found_.assign(base_.partitions.size(), {});
        is_derived_only_ = compare_files();
        judgement result;
        if (changed_.empty()) {
            result.is_damaged = false;
            return result;
        }
        try {
            rebooting_platform machine{disk_};
            if (reboots_) {
                machine.reboot();
            }
            use(machine, false);
            if (!is_refused_) {
                check_nothing_cut();
                use(machine, true);
            }
            result.result = is_told_ ? verdict::detected : is_cut_ ? verdict::cut : is_derived_only_ ? verdict::repaired : verdict::harmless;
            if (is_told_ && is_derived_only_) {
                fail(verdict::broken_promise, "only what is derived was damaged, and somebody is told: " + told_);
            }
        } catch (const violation& what) {
            result = {what.kind, what.text + (is_told_ ? "; what it said last: " + told_ : "; it said nothing"), true};
        } catch (const std::exception& what) {
            result = {verdict::broken_promise, std::string{"unexpected: "} + what.what(), true};
        }
        return result;
    }

private:
    struct violation {
        verdict kind;
        std::string text;
    };

    [[noreturn]] static void fail(verdict kind, std::string text) { throw violation{kind, std::move(text)}; }
    static void require(bool condition, verdict kind, const std::string& text) {
        if (!condition) {
            fail(kind, text);
        }
    }

    /// What one partition gave.
    struct finding {
        bool is_refused = false;
        bool has_lost_power = false;
        std::vector<stored_record> records;
        std::vector<std::pair<offset, offset>> told;  ///< [first, last) of which an error or the report told
        std::vector<damage> damages;                  ///< the report's
        offset begin = 0;
        offset end = 0;
        offset appended = -1;
        std::string appended_value;
    };

    // ---- the files ----

    [[nodiscard]] const std::string* damaged(const std::string& path) const noexcept {
        const auto found = damaged_->find(path);
        return found == damaged_->end() ? nullptr : &found->second;
    }
    [[nodiscard]] const std::string& original(const std::string& path) const { return base_.files.at(path); }

    /// True when these bytes of a file are what they were.
    [[nodiscard]] bool is_intact(const std::string& path, std::size_t begin, std::size_t end) const {
        const std::string* const now = damaged(path);
        return now != nullptr && now->size() >= end && now->compare(begin, end - begin, original(path), begin, end - begin) == 0;
    }
    [[nodiscard]] bool has_header(const std::string& segment) const {
        return is_intact(segment, 0, 80) && damaged(segment)->size() >= format::segment_header_size;
    }
    /// What its checksum does not cover may be anything, and must be there.
    [[nodiscard]] bool is_intact(const frame_place& frame) const {
        return has_header(frame.file) && is_intact(frame.file, frame.begin, frame.begin + frame.size) &&
               damaged(frame.file)->size() >= frame.begin + frame.length;
    }

    /// True when a frame's place looks as if nothing had ever been published there.
    [[nodiscard]] bool is_blank(const frame_place& frame) const {
        const std::string* const now = damaged(frame.file);
        if (now == nullptr || now->size() < frame.begin + format::frame_header_size) {
            return true;
        }
        const auto word = load_at<format::frame_word>(*now, frame.begin);
        return word.is_empty() || (word.is_claimed() && word.raw() == format::frame_word::claimed(word.claimed_length()).raw());
    }

    [[nodiscard]] bool is_changed(const std::string& path) const {
        const std::string* const now = damaged(path);
        const auto before = base_.files.find(path);
        return (now == nullptr) != (before == base_.files.end()) || (now != nullptr && *now != before->second);
    }

    [[nodiscard]] static bool is_derived(std::string_view path) {
        return path.ends_with(".index") || path.ends_with("/checkpoint") || path.ends_with("broker.lock");
    }

    /// Returns   true when only what is derived is not as it was.
    bool compare_files() {
        changed_.clear();
        for (const auto& [path, content] : base_.files) {
            if (is_changed(path)) {
                changed_.push_back(path);
            }
        }
        for (const auto& [path, content] : *damaged_) {
            if (!base_.files.contains(path)) {
                changed_.push_back(path);
            }
        }
        return std::all_of(changed_.begin(), changed_.end(), is_derived);
    }

    [[nodiscard]] offset surviving_evidence(const partition_truth& truth) const {
        offset highest = 0;
        for (const auto& one : truth.evidence) {
            if (one.durable > highest && is_intact(one.file, one.begin, one.end) && (!is_segment(one.file) || has_header(one.file))) {
                highest = one.durable;
            }
        }
        return highest;
    }

    /// True where opening must take the partition for one that lost power.
    [[nodiscard]] bool may_lose_power(const partition_truth& truth) const {
        return reboots_ || std::any_of(changed_.begin(), changed_.end(), [&](const std::string& path) {
            return path.starts_with(truth.directory + '/') && is_segment(path) && (!base_.files.contains(path) || !is_intact(path, 0, 80) || !is_intact(path, 128, 176));  // between them is nothing
        });
    }

    /// True when a whole file of the partition is not what it was, down to its header: opening may refuse.
    [[nodiscard]] bool has_strange_file(const std::string& below) const {
        return std::any_of(changed_.begin(), changed_.end(), [&](const std::string& path) {
            return path.starts_with(below) && (path.ends_with("topic.meta") || (is_segment(path) && (!base_.files.contains(path) || !has_header(path))));
        });
    }

    /// True when there is one segment too many: its name takes the place of other segments' offsets, and only it is told of.
    [[nodiscard]] bool has_stray_segment(const partition_truth& truth) const {
        return std::any_of(changed_.begin(), changed_.end(), [&](const std::string& path) {
            return path.starts_with(truth.directory + '/') && is_segment(path) && !base_.files.contains(path);
        });
    }

    // ---- using it ----

    void use(os::platform& machine, bool is_again) {
        is_refused_ = false;
        std::optional<brook::broker> broker;
        try {
            broker.emplace(directory_, broker_options{.maintenance = maintenance::manual, .platform = &machine});
        } catch (const error& why) {
            require(!is_again, verdict::broken_promise, std::string{"the second opening is refused: "} + why.what());
            check_refusal(why, directory_, is_changed("broker.meta"), directory_);
            is_refused_ = true;
            return;
        }
        check_health(*broker, is_again);
        const auto ledger = open_topic<std::string, bytes>(*broker, ledger_name, is_again);
        const auto audit = open_topic<no_key, std::string>(*broker, audit_name, is_again);
        for (std::size_t i = 0; i + 1 < base_.partitions.size(); ++i) {
            const partition_truth& truth = base_.partitions[i];
            if (truth.topic == ledger_name) {
                use_partition(ledger, truth, found_[i], is_again);
            } else {
                use_partition(audit, truth, found_[i], is_again);
            }
        }
        if (ledger) {
            check_commits(*ledger, is_again);
        }
        if (turn_ % 3 == 0) {
            keep_up(*broker, ledger, audit);
        }
    }

    /// A refusal names what is damaged, and happens only where a whole file is not what it should be.
    void check_refusal(const error& why, const std::string& topic, bool is_justified, const std::string& must_name) {
        const bool is_known = why.code() == errc::corrupt_record || why.code() == errc::unsupported_version || why.code() == errc::not_a_brook_directory ||
                              why.code() == std::errc::no_such_file_or_directory;
        const std::string text = why.what();
        require(is_justified, verdict::broken_promise, topic + " is refused, and no whole file of it is damaged: " + text);
        require(is_known, verdict::broken_promise, topic + " is refused with a strange code: " + text);
        require(names(text, must_name), verdict::broken_promise, topic + " is refused without the name of a file: " + text);
        tell(text);
    }

    template <class Key, class Value>
    [[nodiscard]] std::optional<brook::topic<Key, Value>> open_topic(brook::broker& broker, const char* name, bool is_again) {
        const std::string below = std::string{"topics/"} + name + '/';
        try {
            return broker.topic<Key, Value>(name);
        } catch (const error& why) {
            require(!is_again || all_refused(name), verdict::broken_promise, std::string{"opened once, and then refused: "} + why.what());
            const bool is_unheard_of = why.code() == errc::unknown_topic_or_partition && !has_any_file(below);
            if (is_unheard_of || (why.code() == errc::schema_mismatch && has_meta_of_another(below))) {
                refuse_all(name);
                tell(why.what());
                return std::nullopt;
            }
            check_refusal(why, name, has_strange_file(below), directory_ + '/' + below);
            const auto health = broker.health().errors;
            require(std::any_of(health.begin(), health.end(), [&](const failure& one) { return names(one.text, directory_ + '/' + below); }),
                    verdict::broken_promise, std::string{"health does not tell that a topic is refused: "} + why.what());
        }
        refuse_all(name);
        return std::nullopt;
    }

    void refuse_all(std::string_view topic) {
        for (std::size_t i = 0; i < base_.partitions.size(); ++i) {
            found_[i].is_refused |= base_.partitions[i].topic == topic;
        }
    }

    /// It is a whole one, and says what the other's records are.
    [[nodiscard]] bool has_meta_of_another(const std::string& below) const {
        const std::string* const meta = damaged(below + "topic.meta");
        return meta != nullptr && std::any_of(base_.files.begin(), base_.files.end(), [&](const auto& one) {
            return one.first.ends_with("/topic.meta") && !one.first.starts_with(below) && one.second == *meta;
        });
    }

    /// Else nothing says that there ever was such a topic.
    [[nodiscard]] bool has_any_file(const std::string& below) const {
        const auto first = damaged_->lower_bound(below);
        return first != damaged_->end() && first->first.starts_with(below);
    }

    [[nodiscard]] bool all_refused(const std::string& topic) const {
        for (std::size_t i = 0; i < base_.partitions.size(); ++i) {
            if (base_.partitions[i].topic == topic && !found_[i].is_refused) {
                return false;
            }
        }
        return true;
    }

    void check_health(const brook::broker& broker, bool is_again) {
        for (const auto& one : broker.health().errors) {
            require(names(one.text, directory_ + '/'), verdict::broken_promise, "health names no file: " + one.text);
            if (!is_again) {
                tell(one.text);
            }
        }
    }

    static constexpr std::chrono::milliseconds no_wait{0};

    template <class Key, class Value>
    void use_partition(const std::optional<brook::topic<Key, Value>>& topic, const partition_truth& truth, finding& known, bool is_again) {
        if (!topic || known.is_refused) {
            return;
        }
        const brook::partition partition = topic->partition(truth.number);
        finding now;
        now.has_lost_power = partition.recovery().power_may_have_gone;
        now.damages = partition.recovery().damages;
        for (const auto& lost : now.damages) {
            require(names(lost.file, directory_ + '/' + truth.directory), verdict::broken_promise, "the report names another file: " + lost.file);
            now.told.emplace_back(lost.first, lost.last);
        }
        const std::size_t reported = now.told.size();
        read_all(*topic, partition, truth, now);
        for (std::size_t i = 0; i < reported; ++i) {
            for (const auto& one : now.records) {
                require(one.at < now.told[i].first || one.at >= now.told[i].second, verdict::broken_promise,
                        place(truth) + "the report has offsets " + text(now.told[i]) + " as lost, and " + std::to_string(one.at) + " is read");
            }
        }
        if (is_again) {
            compare_again(truth, known, now);
            return;
        }
        check_kept(truth, now);
        look_up(*topic, partition, truth, now);
        append(*topic, partition, truth, now);
        known = std::move(now);
    }

    /// Reads everything that there is. Where an error ends it, goes on where the error says, or one further.
    template <class Key, class Value>
    void read_all(const brook::topic<Key, Value>& topic, const brook::partition& partition, const partition_truth& truth, finding& now) {
        brook::consumer<Key, Value> reader{topic, {.auto_offset_reset = offset_reset::none}};
        reader.assign({partition});
        now.begin = partition.log_start_offset();
        now.end = partition.log_end_offset();
        reader.seek(partition, now.begin);
        offset retried = -1;
        for (int attempts = 0; attempts < 5'000; ++attempts) {
            const offset wanted = reader.position(partition);
            try {
                const auto records = reader.poll(no_wait);
                for (const auto& record : records) {
                    take(record, truth, now);
                }
                if (records.empty()) {
                    require(reader.caught_up(), verdict::broken_promise, place(truth) + "offset " + std::to_string(wanted) + " gives neither a record nor an error nor the end");
                    return;
                }
            } catch (const error& why) {
                check_read_error(truth, why);
                offset next = goes_on_at(why.what(), wanted, now.end);
                require(next >= wanted || has_stray_segment(truth), verdict::broken_promise, place(truth) + "an error at offset " + std::to_string(wanted) + " sends back: " + why.what());
                next = std::max(next, wanted);
                if (next == wanted && std::exchange(retried, wanted) == wanted) {
                    next = wanted + 1;
                }
                now.told.emplace_back(wanted, next);
                if (next >= now.end) {
                    return;
                }
                reader.seek(partition, next);
            }
        }
        fail(verdict::broken_promise, place(truth) + "reading does not come to an end");
    }

    /// Where an error says that reading can go on; the same offset where it does not say.
    [[nodiscard]] static offset goes_on_at(std::string_view text, offset wanted, offset end) {
        constexpr std::string_view promise = "intact again from offset ";
        if (const std::size_t at = text.find(promise); at != std::string_view::npos) {
            return std::strtoll(text.data() + at + promise.size(), nullptr, 10);
        }
        return text.find("nothing intact follows") != std::string_view::npos ? end : wanted;
    }

    void check_read_error(const partition_truth& truth, const error& why) {
        const std::string text = why.what();
        require(why.code() == errc::corrupt_record || why.code() == std::errc::no_such_file_or_directory, verdict::broken_promise, place(truth) + "a strange code: " + text);
        require(names(text, directory_ + '/' + truth.directory + '/'), verdict::broken_promise, place(truth) + "an error names no file: " + text);
        require(names(text, "position ") || has_strange_file(truth.directory + '/'), verdict::broken_promise, place(truth) + "an error names no position: " + text);
        tell(text);
    }

    template <class Record>
    [[nodiscard]] static stored_record copy_of(const Record& record) {
        stored_record copy{record.offset(), record.timestamp().time_since_epoch().count(), {}, {}, {}};
        if (record.has_key()) {
            copy.key = std::string{as_text(record.key_bytes())};
        }
        if (!record.is_tombstone()) {
            copy.value = std::string{as_text(record.value_bytes())};
        }
        for (const auto& one : record.headers()) {
            copy.headers.push_back({std::string{one.name}, one.value ? std::optional{std::string{as_text(*one.value)}} : std::nullopt});
        }
        return copy;
    }

    template <class Record>
    void take(const Record& record, const partition_truth& truth, finding& now) {
        stored_record copy = copy_of(record);
        require(now.records.empty() || now.records.back().at < copy.at, verdict::wrong_data, place(truth) + "offset " + std::to_string(copy.at) + " comes twice, or late");
        now.records.push_back(std::move(copy));
    }

    /// Every record that was there: read exactly, or told of, or gone as it may be.
    void check_kept(const partition_truth& truth, const finding& now) {
        for (const auto& one : now.records) {
            const stored_record* const expected = truth.find(one.at);
            require(expected != nullptr, verdict::wrong_data, place(truth) + "offset " + std::to_string(one.at) + " was never a record: {" + one.value.value_or("null") + "}");
            require(one == *expected, verdict::wrong_data, place(truth) + "offset " + std::to_string(one.at) + " is {" + one.value.value_or("null") + "}, it was {" + expected->value.value_or("null") + "}");
        }
        const offset evidence = surviving_evidence(truth);
        require(now.end >= evidence, verdict::silent_loss, place(truth) + "ends at " + std::to_string(now.end) + ", and " + std::to_string(evidence) + " is proved to be durable");
        if (now.has_lost_power && now.end < truth.end) {
            check_cut(truth, now);
        }
        auto read = now.records.begin();
        for (const auto& one : truth.records) {
            if (read != now.records.end() && read->at == one.at) {
                ++read;
                continue;
            }
            check_missing(truth, now, one.at, evidence);
        }
    }

    void check_missing(const partition_truth& truth, const finding& now, offset at, offset evidence) {
        const std::string where = place(truth) + "offset " + std::to_string(at);
        const bool is_told = std::any_of(now.told.begin(), now.told.end(), [at](const auto& range) { return range.first <= at && at < range.second; });
        const frame_place* const frame = truth.frame_of(at);
        const bool is_cut = now.has_lost_power && at >= now.end;
        require(frame == nullptr || !is_intact(*frame) || is_cut || (is_told && has_stray_segment(truth)), verdict::broken_promise,
                where + " is not read, and its frame is whole");
        if (is_told || (frame != nullptr && is_in_damage(*frame, now))) {
            return;
        }
        require(at >= evidence, verdict::silent_loss, where + " is missing without a word, and up to " + std::to_string(evidence) + " is proved to be durable");
        require(is_cut || (frame != nullptr && is_blank(*frame)), verdict::silent_loss, where + " is missing without a word");
        is_cut_ = true;
    }

    /// True when the report has the place of a frame as damaged. Where nothing intact follows, it cannot know how many
    /// offsets there were, and names bytes.
    [[nodiscard]] bool is_in_damage(const frame_place& frame, const finding& now) const {
        return std::any_of(now.damages.begin(), now.damages.end(), [&](const damage& one) {
            return one.last == now.end && one.file == directory_ + '/' + frame.file && one.begin <= frame.begin && frame.begin < one.end;
        });
    }

    /// A log is cut where a frame is not whole, or was never published.
    void check_cut(const partition_truth& truth, const finding& now) {
        require(may_lose_power(truth), verdict::broken_promise, place(truth) + "taken for one that lost power");
        const frame_place* const frame = truth.frame_of(now.end);
        require(frame == nullptr || !is_intact(*frame) || breaks_before(truth, now.end), verdict::broken_promise,
                place(truth) + "cut at offset " + std::to_string(now.end) + ", where a whole frame stands");
    }

    /// True where the log's own marks in front of an offset are not whole: then the log ends in front of them.
    [[nodiscard]] bool breaks_before(const partition_truth& truth, offset at) const {
        return std::any_of(truth.frames.begin(), truth.frames.end(), [&](const frame_place& one) { return one.first == at && one.last == at && !is_intact(one); }) ||
               has_strange_file(truth.directory + '/');
    }

    /// Single offsets, through the index, and times.
    template <class Key, class Value>
    void look_up(const brook::topic<Key, Value>& topic, const brook::partition& partition, const partition_truth& truth, const finding& now) {
        if (now.records.empty()) {
            return;
        }
        brook::consumer<Key, Value> reader{topic, {.max_poll_records = 1}};
        reader.assign({partition});
        for (std::uint64_t i = 0; i < 3; ++i) {
            const stored_record& wanted = now.records[(turn_ * 31 + i * 17) % now.records.size()];
            reader.seek(partition, wanted.at);
            try {
                const auto records = reader.poll(no_wait);
                require(!records.empty() && copy_of(records.front()) == wanted, verdict::wrong_data,
                        place(truth) + "a look-up of offset " + std::to_string(wanted.at) + " gives something else");
            } catch (const error& why) {
                check_read_error(truth, why);
                require(has_strange_file(truth.directory + '/'), verdict::broken_promise, place(truth) + "a look-up of offset " + std::to_string(wanted.at) + " fails: " + why.what());
            }
        }
        const stored_record& wanted = now.records[turn_ % now.records.size()];
        std::optional<offset> found;
        try {
            found = partition.offset_for_time(timestamp{std::chrono::nanoseconds{wanted.timestamp}});
        } catch (const error& why) {
            const std::string text = why.what();
            require(why.code() == errc::corrupt_record || why.code() == std::errc::no_such_file_or_directory, verdict::broken_promise, place(truth) + "a look-up by time fails strangely: " + text);
            require(names(text, directory_ + '/' + truth.directory + '/'), verdict::broken_promise, place(truth) + "a look-up by time names no file: " + text);
            tell(text);
            return;
        }
        const auto first = std::find_if(truth.records.begin(), truth.records.end(), [&](const auto& one) { return one.timestamp >= wanted.timestamp; });
        const bool is_first_there = std::any_of(now.records.begin(), now.records.end(), [&](const auto& one) { return one.at == first->at; });
        const stored_record* const given = found ? truth.find(*found) : nullptr;
        require(given != nullptr && given->timestamp >= wanted.timestamp && (!is_first_there || given == &*first), verdict::wrong_data,
                place(truth) + "a look-up of the time of offset " + std::to_string(wanted.at) + " gives " + (found ? std::to_string(*found) : "nothing"));
    }

    template <class Key, class Value>
    void append(const brook::topic<Key, Value>& topic, const brook::partition& partition, const partition_truth& truth, finding& now) {
        now.appended_value = "appended behind damage " + std::to_string(turn_);
        brook::producer<Key, Value> writer{topic};
        if constexpr (std::is_same_v<Key, no_key>) {
            now.appended = writer.send({.value = now.appended_value, .partition = truth.number}).get().offset;
        } else {
            now.appended = writer.send({.key = "new", .value = as_bytes(now.appended_value), .partition = truth.number}).get().offset;
        }
        require(now.appended == now.end && partition.log_end_offset() == now.end + 1, verdict::broken_promise,
                place(truth) + "appended at offset " + std::to_string(now.appended) + ", the log ended at " + std::to_string(now.end));
    }

    /// Opened a second time it gives the same, and what was appended.
    void compare_again(const partition_truth& truth, const finding& known, const finding& now) {
        const std::string where = place(truth) + "opened again: ";
        auto read = now.records.begin();
        for (const auto& one : known.records) {
            require(read != now.records.end() && *read == one, verdict::silent_loss, where + "offset " + std::to_string(one.at) + " is not what it was");
            ++read;
        }
        require(read != now.records.end() && read->at == known.appended && read->value == known.appended_value, verdict::silent_loss, where + "what was appended is not there");
        require(read + 1 == now.records.end(), verdict::wrong_data, where + "offset " + std::to_string((now.records.end() - 1)->at) + " was not there before");
        for (const auto& range : known.told) {
            for (offset at = std::max(range.first, now.begin); at < range.second; ++at) {
                const bool is_told = std::any_of(now.told.begin(), now.told.end(), [at](const auto& one) { return one.first <= at && at < one.second; });
                require(is_told || truth.find(at) == nullptr, verdict::silent_loss, where + "of offset " + std::to_string(at) + " nobody is told any more");
            }
        }
    }

    // ---- what the group has committed ----

    void check_commits(const brook::topic<std::string, bytes>& ledger, bool is_again) {
        const partition_truth& truth = base_.partitions.back();
        finding& log = found_.back();
        brook::consumer<std::string, bytes> readers{ledger, {.group_id = reader_group}};
        for (const auto& partition : ledger.partitions()) {
            std::optional<offset> now;
            try {
                now = readers.committed(partition);
            } catch (const error& why) {
                const std::string text = why.what();
                require(names(text, directory_ + '/' + truth.directory.substr(0, truth.directory.rfind('/'))), verdict::broken_promise, "the commits' error names no file: " + text);
                const bool is_damaged = std::any_of(changed_.begin(), changed_.end(), [](const std::string& path) {
                    return path.find(offsets_name) != std::string::npos && !is_derived(path);
                });
                require(is_damaged, verdict::broken_promise, "the commits are refused, and not damaged: " + text);
                const bool is_torn = may_lose_power(truth) && surviving_evidence(truth) == 0 && !has_strange_file(std::string{"topics/"} + offsets_name + '/');
                require(!is_torn, verdict::broken_promise, "a torn tail stops the groups: " + text);
                tell(text);
                log.is_refused = true;
                return;
            }
            require(!is_again || (!log.is_refused && now == committed_[partition.number()]), verdict::silent_loss, "opened again, the commits are others");
            committed_[partition.number()] = now;
            check_commit(truth, partition.number(), now);
        }
    }

    /// The last commit, or an earlier one where those behind it may be gone.
    void check_commit(const partition_truth& truth, std::int32_t partition, std::optional<offset> now) {
        const offset evidence = surviving_evidence(truth);
        for (auto commit = static_cast<offset>(base_.commits.size()) - 1; commit >= 0; --commit) {
            const commit_truth& one = base_.commits[static_cast<std::size_t>(commit)];
            if (one.partition != partition) {
                continue;
            }
            if (now == one.next) {
                return;
            }
            const std::string where = "commit " + std::to_string(commit) + " of " + offsets_name;
            const frame_place* const frame = truth.frame_of(commit);
            require(frame == nullptr || !is_intact(*frame) || may_lose_power(truth), verdict::silent_loss, where + " is gone, and its frame is whole");
            require(commit >= evidence, verdict::silent_loss, where + " is gone, and was durable");
            require(may_lose_power(truth) || (frame != nullptr && is_blank(*frame)), verdict::silent_loss, where + " is gone without a word");
            is_cut_ = true;
        }
        require(!now, verdict::wrong_data, "offset " + std::to_string(now.value_or(-1)) + " was never committed");
    }

    // ---- afterwards ----

    void keep_up(brook::broker& broker, const std::optional<brook::topic<std::string, bytes>>& ledger, const std::optional<brook::topic<no_key, std::string>>& audit) {
        if (ledger) {
            for (const auto& partition : ledger->partitions()) {
                partition.sync();
                partition.roll();
            }
        }
        if (audit) {
            audit->partition(0).sync();
        }
        broker.maintain();
        broker.maintain();
    }

    /// Below the evidence opening and appending have left every byte as it was: damage is never cut away. Zeros at a file's end may be: a segment
    /// in doubt, as one is whose index is missing, goes on in a new file, which ends where nothing but zeros follows.
    void check_nothing_cut() const {
        for (std::size_t i = 0; i + 1 < base_.partitions.size(); ++i) {
            const partition_truth& truth = base_.partitions[i];
            if (found_[i].is_refused) {
                continue;
            }
            const offset evidence = surviving_evidence(truth);
            std::string path;
            std::string now;
            for (const auto& frame : truth.frames) {
                const std::string* const before = damaged(frame.file);
                if (before == nullptr || frame.last > evidence || frame.first == frame.last || before->size() < frame.begin + frame.size) {
                    continue;
                }
                if (path != frame.file) {
                    path = frame.file;
                    now = content_of(directory_ + '/' + path);
                    now.resize(std::max(now.size(), before->size()));
                }
                require(now.compare(frame.begin, frame.size, *before, frame.begin, frame.size) == 0, verdict::silent_loss,
                        place(truth) + path + ", position " + std::to_string(frame.begin) + ": durable bytes were changed by opening");
            }
        }
    }

    /// Nothing where there is no such file.
    [[nodiscard]] std::string content_of(const std::string& path) const {
        std::error_code code;
        const auto file = disk_.open(path, os::open_mode::read_only, code);
        std::uint64_t size = 0;
        std::string content;
        if (file && !file->size(size)) {
            content.resize(size);
            if (file->read_at(0, mutable_bytes{reinterpret_cast<std::byte*>(content.data()), content.size()})) {
                content.clear();
            }
        }
        return content;
    }

    void tell(const std::string& what) {
        is_told_ = true;
        told_ = what;
    }

    [[nodiscard]] static bool names(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
    [[nodiscard]] static std::string place(const partition_truth& truth) { return truth.topic + '/' + std::to_string(truth.number) + ": "; }
    [[nodiscard]] static std::string text(const std::pair<offset, offset>& range) { return std::to_string(range.first) + " to " + std::to_string(range.second); }

    os::platform& disk_;
    const std::string directory_;
    const store_moment& base_;
    const bool reboots_;

    // of the damage at hand
    const file_tree* damaged_ = nullptr;
    std::uint64_t turn_ = 0;
    std::vector<std::string> changed_;
    bool is_derived_only_ = false;
    bool is_refused_ = false;
    bool is_told_ = false;
    bool is_cut_ = false;
    std::string told_;
    std::vector<finding> found_;
    std::map<std::int32_t, std::optional<offset>> committed_;
};

}  // namespace brook::test
