// T7: what happens when the disk is really full, at whichever allocation that is?
//
// File systems in memory of 64 KiB, 68 KiB, 72 KiB and so on, so that the space ends at each allocation once. On each a
// broker opens, and topics with small and with growing segments take lone records, batches, slots, lingering records and
// commits until nothing more can be appended. Then readers read everything. Then there is room again, because a file is
// removed or the file system grows, and the same objects go on; or the broker closes, or is killed, and is opened while
// the disk is still full, and once more when it is not. What was acknowledged is there throughout, what fails says that
// there is no space, and nothing ends in a signal.
//
// usage: brook_fault full_disk [seconds] [pages] [way]
//        seconds: 15 by default, BROOK_FAULT_SECONDS otherwise; as many sizes as there is time for, from 64 KiB up
//        pages, way: one run alone; ways: 0 a file is removed, 1 the file system grows, 2 closed and opened, 3 killed
// Returns 77 where mounting is not allowed.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/brook.hpp>

#include "fault/own_mounts.hpp"
#include "fault/program.hpp"
#include "support/directory_watch.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace fault_full_disk {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t page = 4096;
constexpr std::size_t topic_count = 3;
constexpr std::size_t most_records = 30'000;

enum class way { a_file_goes, it_grows, closed, killed };
constexpr std::array way_names{"a file is removed", "it grows", "closed and opened", "killed"};

struct violation {
    std::string text;
};

void require(bool condition, const std::string& text) {
    if (!condition) {
        throw violation{text};
    }
}

/// What the users of a topic were told, in memory that outlives a process. The value of a record is its number's.
struct told {
    struct one {
        offset at;
        std::uint32_t number;
    };
    std::array<std::atomic<std::uint32_t>, topic_count> count{};
    std::array<std::array<one, most_records>, topic_count> records{};
    std::atomic<std::uint32_t> next_number{0};
    std::atomic<offset> committed{-1};
    std::atomic<offset> committing{-1};
    std::atomic<std::uint64_t> refused{0};
    std::atomic<bool> was_full{false};
    std::array<char, 500> problem{};
};

[[nodiscard]] std::string value_of(std::uint32_t number) {
    std::string value = std::to_string(number) + ':';
    value.resize(20 + number * 2'654'435'761u % 900, static_cast<char>('a' + number % 26));
    return value;
}

/// A file system of a few pages.
class small_disk {
public:
    small_disk(std::string path, std::size_t pages) : path_{std::move(path)}, pages_{pages} { mount(0); }
    small_disk(const small_disk&) = delete;
    small_disk& operator=(const small_disk&) = delete;
    ~small_disk() { ::umount2(path_.c_str(), MNT_DETACH); }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    void grow(std::size_t pages) {
        pages_ += pages;
        mount(MS_REMOUNT);
    }

    /// Takes pages away from everybody else.
    void put_ballast(std::size_t pages) const {
        const int file = ::open(ballast().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        const bool is_there = file >= 0 && ::posix_fallocate(file, 0, static_cast<off_t>(pages * page)) == 0;
        ::close(file);
        require(is_there, "no ballast: " + system_text());
    }
    void drop_ballast() const { ::unlink(ballast().c_str()); }

private:
    [[nodiscard]] std::string ballast() const { return path_ + "/ballast"; }
    void mount(unsigned long flags) const {
        const std::string options = "mode=0700,size=" + std::to_string(pages_ * page);
        if (::mount("brook-test", path_.c_str(), "tmpfs", flags, options.c_str()) != 0) {
            throw std::system_error{errno, std::system_category(), "mount " + path_};
        }
    }

    const std::string path_;
    std::size_t pages_;
};

/// A broker and everybody who uses it, on a disk that has too little room.
class users {
public:
    users(const std::string& directory, brook::maintenance upkeep, told& said) : directory_{directory}, upkeep_{upkeep}, said_{said} {}

    /// True when all of it is there; false when there is no space.
    [[nodiscard]] bool open() {
        return attempt("opening", [&] {
            if (!broker_) {
                broker_.emplace(directory_, broker_options{.maintenance = upkeep_});
            }
            if (!broker_->health().is_ok() && !topics_[0]) {
                const failure why = broker_->health().errors.front();
                broker_.reset();  // what could not be opened stays so for the broker's life
                why.raise();
            }
            for (std::size_t i = 0; i < topic_count; ++i) {
                if (!topics_[i]) {
                    topics_[i] = broker_->create_topic<no_key, bytes>(names[i], options(i));
                }
                if (!writers_[i]) {
                    writers_[i].emplace(*topics_[i]);
                    lingering_[i].emplace(*topics_[i], producer_options{.linger = std::chrono::seconds{1}});
                }
            }
            if (!readers_) {
                readers_.emplace(*topics_[0], consumer_options{.group_id = "readers"});
            }
        });
    }

    /// Appends in every way until nothing goes any more, or there is plenty. True when the disk was full.
    bool fill(std::uint64_t most_bytes) {
        std::uint64_t bytes_before = bytes_;
        for (int without_success = 0; without_success < 3;) {
            if (bytes_ - bytes_before > most_bytes) {
                return false;
            }
            bool is_any = false;
            for (std::size_t i = 0; i < topic_count; ++i) {
                is_any |= use(i);
            }
            commit();
            if (upkeep_ == maintenance::manual) {
                broker_->maintain();
            }
            without_success = is_any ? 0 : without_success + 1;
        }
        return true;
    }

    /// There is room: everything goes.
    void go_on() {
        require(open(), "there is room, and opening finds none");
        for (std::size_t i = 0; i < topic_count; ++i) {
            require(send(i), std::string{names[i]} + ": there is room, and a record finds none");
            require(send_batch(i), std::string{names[i]} + ": there is room, and a batch finds none");
            require(use_slot(i), std::string{names[i]} + ": there is room, and a slot finds none");
            require(linger(i), std::string{names[i]} + ": there is room, and lingering records find none");
        }
        require(commit(), "there is room, and a commit finds none");
        broker_->maintain();
        for (std::size_t i = 0; i < topic_count; ++i) {
            topics_[i]->partition(0).sync();
        }
    }

    /// Everything acknowledged is read, in place.
    void read_all() {
        if (!topics_[0]) {
            return;
        }
        for (std::size_t i = 0; i < topic_count; ++i) {
            std::map<offset, std::uint32_t> expected;
            for (std::uint32_t k = 0; k < said_.count[i].load(); ++k) {
                expected.emplace(said_.records[i][k].at, said_.records[i][k].number);
            }
            brook::consumer reader{*topics_[i]};
            auto due = expected.begin();
            do {
                const auto records = reader.poll(std::chrono::milliseconds{0});
                for (const auto& record : records) {
                    if (due != expected.end() && record.offset() == due->first) {
                        require(as_text(record.value()) == value_of(due->second), std::string{names[i]} + ": offset " + std::to_string(record.offset()) + " is another record");
                        ++due;
                    } else {
                        require(due == expected.end() || record.offset() < due->first, std::string{names[i]} + ": offset " + std::to_string(due == expected.end() ? 0 : due->first) + " is lost");
                    }
                }
            } while (!reader.caught_up());
            require(due == expected.end(), std::string{names[i]} + ": offset " + std::to_string(due == expected.end() ? 0 : due->first) + " was acknowledged, and is lost");
        }
    }

    void check_commit() {
        const auto committed = readers_->committed(topics_[0]->partition(0)).value_or(-1);
        require(committed == said_.committed.load() || committed == said_.committing.load(), "the commit is another");
    }

    /// Why some of it could not be opened is no damage.
    void close() {
        readers_.reset();
        for (std::size_t i = 0; i < topic_count; ++i) {
            lingering_[i].reset();
            writers_[i].reset();
            topics_[i].reset();
        }
        broker_.reset();
    }

private:
    static constexpr std::array<const char*, topic_count> names{"small", "growing", "durable"};

    [[nodiscard]] static topic_options options(std::size_t which) {
        topic_options options{.segment_bytes = which == 1 ? 512 * 1024 : 12 * 1024};
        if (which == 2) {
            options.flush_messages = 1;
        }
        return options;
    }

    /// False when there was no space; anything else that fails is a finding.
    template <class Call>
    bool attempt(const char* what, const Call& call) {
        try {
            call();
            return true;
        } catch (const error& why) {
            require(why.code() == std::errc::no_space_on_device, std::string{what} + ": " + why.what());
            said_.was_full.store(true);
            ++said_.refused;
            return false;
        }
    }

    void note(std::size_t topic, offset at, std::uint32_t number) {
        const std::uint32_t k = said_.count[topic].load();
        require(k < most_records, "too many records");
        said_.records[topic][k] = {at, number};
        said_.count[topic].store(k + 1);
        bytes_ += value_of(number).size();
    }

    bool use(std::size_t i) {
        bool is_any = false;
        for (int k = 0; k < 3; ++k) {
            is_any |= send(i);
        }
        is_any |= send_batch(i);
        is_any |= use_slot(i);
        is_any |= linger(i);
        return is_any;
    }

    bool send(std::size_t i) {
        return attempt("sending", [&] {
            const std::uint32_t number = said_.next_number.fetch_add(1);
            const std::string value = value_of(number);
            note(i, writers_[i]->send(as_bytes(value)).get().offset, number);
        });
    }

    bool send_batch(std::size_t i) {
        return attempt("sending a batch", [&] {
            const std::uint32_t first = said_.next_number.fetch_add(4);
            std::vector<std::string> values;
            std::vector<bytes> raw;
            for (std::uint32_t k = 0; k < 4; ++k) {
                values.push_back(value_of(first + k));
            }
            for (const auto& value : values) {
                raw.push_back(as_bytes(value));
            }
            const offset at = writers_[i]->send_batch(0, raw).get().offset;
            for (std::uint32_t k = 0; k < 4; ++k) {
                note(i, at + k, first + k);
            }
        });
    }

    bool use_slot(std::size_t i) {
        return attempt("a slot", [&] {
            const std::uint32_t number = said_.next_number.fetch_add(1);
            const std::string value = value_of(number);
            if (number % 4 == 0) {
                static_cast<void>(writers_[i]->claim(value.size()));  // dropped
            }
            brook::slot slot = writers_[i]->claim(value.size());
            std::memcpy(slot.data(), value.data(), value.size());
            note(i, slot.commit().get().offset, number);
        });
    }

    bool linger(std::size_t i) {
        return attempt("lingering", [&] {
            const std::uint32_t first = said_.next_number.fetch_add(3);
            std::vector<delivery> sent;
            std::vector<std::string> values;
            for (std::uint32_t k = 0; k < 3; ++k) {
                values.push_back(value_of(first + k));
                sent.push_back(lingering_[i]->send(as_bytes(values.back())));
            }
            std::optional<error> failed;
            for (std::uint32_t k = 0; k < 3; ++k) {
                std::error_code code;
                const record_metadata where = sent[k].get(code);
                if (code) {
                    failed.emplace(code, "a lingering record");
                } else {
                    note(i, where.offset, first + k);
                }
            }
            if (failed) {
                throw *failed;
            }
        });
    }

    bool commit() {
        return attempt("a commit", [&] {
            while (!readers_->poll(std::chrono::milliseconds{0}).empty()) {
            }
            const auto partition = topics_[0]->partition(0);
            const offset next = readers_->position(partition);
            if (next == said_.committed.load()) {
                return;
            }
            said_.committing.store(next);
            readers_->commit(partition, next);
            said_.committed.store(next);
        });
    }

    const std::string directory_;
    const brook::maintenance upkeep_;
    told& said_;
    std::optional<brook::broker> broker_;
    std::array<std::optional<brook::topic<no_key, bytes>>, topic_count> topics_;
    std::array<std::optional<brook::producer<no_key, bytes>>, topic_count> writers_;
    std::array<std::optional<brook::producer<no_key, bytes>>, topic_count> lingering_;
    std::optional<brook::consumer<no_key, bytes>> readers_;
    std::uint64_t bytes_ = 0;
};

class campaign {
public:
    explicit campaign(double seconds) : seconds_{seconds} {}

    [[nodiscard]] bool run_all() {
        for (std::size_t pages = 64 * 1024 / page; pages < most_pages && bad_ < 20 && elapsed() < seconds_; ++pages) {
            bool is_full = false;
            for (std::size_t how = 0; how < way_names.size(); ++how) {
                is_full |= run_one(pages, static_cast<way>(how));
            }
            if (!is_full) {
                has_end_ = true;
                break;
            }
            largest_ = pages;
        }
        return report();
    }

    /// Returns   true when the disk became full.
    bool run_one(std::size_t pages, way how) {
        said_.reset();
        small_disk disk{root_.path(), pages + (how == way::a_file_goes ? spare_pages : 0)};
        if (how == way::a_file_goes) {
            disk.put_ballast(spare_pages);
        }
        const auto upkeep = pages % 2 == 0 ? maintenance::manual : maintenance::thread;
        in_child(pages, how, "filling", [&] {
            users all{disk.path() + "/store", upkeep, *said_};
            if (all.open()) {
                all.fill(most_bytes);
                all.read_all();
            }
            if (how == way::killed) {
                std::fflush(stdout);
                ::_exit(0);  // as it is: nothing is closed
            }
            if (how == way::closed) {
                return all.close();
            }
            how == way::a_file_goes ? disk.drop_ballast() : disk.grow(spare_pages);
            all.go_on();
            all.read_all();
            all.close();
        });
        const bool was_full = said_->was_full.load();
        if (how == way::closed || how == way::killed) {
            in_child(pages, how, "opening while it is full", [&] {
                users all{disk.path() + "/store", upkeep, *said_};
                if (all.open()) {
                    all.read_all();
                    all.fill(most_bytes);
                    all.read_all();
                }
                all.close();
            });
        }
        disk.grow(spare_pages);
        in_child(pages, how, "opening when there is room", [&] {
            users all{disk.path() + "/store", upkeep, *said_};
            require(all.open(), "there is room, and opening finds none");
            all.read_all();
            all.check_commit();
            all.go_on();
            all.read_all();
        });
        ++runs_;
        full_ += was_full ? 1 : 0;
        refused_ += said_->refused.load();
        for (const auto& count : said_->count) {
            acknowledged_ += count.load();
        }
        return was_full;
    }

    [[nodiscard]] bool report() const {
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("full disk: %llu disks from 64 to %llu KiB%s, %llu of them were full; %llu records acknowledged and read, %llu calls refused; signals %llu, hangs or aborts %llu, bad %llu; %.1f s\n",
                    n(runs_), n(largest_ * page / 1024), has_end_ ? ", the next had room for everything" : "", n(full_), n(acknowledged_), n(refused_), n(signals_), n(hangs_),
                    n(bad_), elapsed());
        return bad_ == 0;
    }

private:
    static constexpr std::size_t spare_pages = 512;  // upkeep may take 1 MiB ahead of a busy topic
    static constexpr std::size_t most_pages = 1'024;
    static constexpr std::uint64_t most_bytes = 300'000;

    template <class Work>
    void in_child(std::size_t pages, way how, const char* when, const Work& work) {
        said_->problem = {};
        const pid_t child = fork_child();
        if (child == 0) {
            die_with_parent();
            watchdog patience{30};
            patience.still_alive(when);
            try {
                work();
            } catch (const violation& what) {
                std::snprintf(said_->problem.data(), said_->problem.size(), "%s", what.text.c_str());
            } catch (const std::exception& what) {
                std::snprintf(said_->problem.data(), said_->problem.size(), "unexpected: %s", what.what());
            }
            ::_exit(0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        std::string problem = said_->problem.data();
        if (WIFSIGNALED(status)) {
            ++signals_;
            problem = std::string{"ends by a signal: "} + ::strsignal(WTERMSIG(status));
        } else if (WEXITSTATUS(status) != 0) {
            ++hangs_;
            problem = "exit status " + std::to_string(WEXITSTATUS(status));
        }
        if (!problem.empty()) {
            ++bad_;
            std::printf("BAD  %zu KiB, %s, %s: %s\n     repeat: brook_fault full_disk 1 %zu %zu\n", pages * page / 1024, way_names[static_cast<std::size_t>(how)], when, problem.c_str(), pages,
                        static_cast<std::size_t>(how));
            std::fflush(stdout);
        }
    }

    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }

    const clock_type::time_point begin_ = clock_type::now();
    const double seconds_;
    const temp_directory root_{memory_directory()};
    shared_object<told> said_;
    std::uint64_t runs_ = 0;
    std::uint64_t full_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t acknowledged_ = 0;
    std::uint64_t signals_ = 0;
    std::uint64_t hangs_ = 0;
    std::uint64_t bad_ = 0;
    std::size_t largest_ = 0;
    bool has_end_ = false;
};

int run(int count, char** arguments) {
    if (const std::string why = leave_for_own_mounts(); !why.empty()) {
        std::printf("full disk: not run, since mounting is not allowed here (%s)\n", why.c_str());
        return 77;
    }
    campaign all{count > 1 ? std::atof(arguments[1]) : seconds_to_run(15)};
    if (count > 3) {
        all.run_one(std::strtoul(arguments[2], nullptr, 0), static_cast<way>(std::strtoul(arguments[3], nullptr, 0) % way_names.size()));
        return all.report() ? 0 : 1;
    }
    return all.run_all() ? 0 : 1;
}

const fault_program full_disk{"full_disk", run};

}  // namespace

}  // namespace fault_full_disk
