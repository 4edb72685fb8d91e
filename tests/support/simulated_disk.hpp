/// \file support/simulated_disk.hpp
/// A disk and the page cache in front of it, so exactly that a test can ask for each state a loss of power may leave.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/format/checksum.hpp>

#include "support/page_memory.hpp"

namespace brook::test {

/// Small, fast, and the same everywhere: what a seed gives today it gives tomorrow. (Source: splitmix64.)
class seeded {
public:
    explicit seeded(std::uint64_t seed) noexcept : state_{seed} {}
    [[nodiscard]] std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15u;
        std::uint64_t word = state_;
        word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
        word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
        return word ^ (word >> 31);
    }
    [[nodiscard]] std::uint64_t below(std::uint64_t limit) noexcept { return next() % limit; }
    [[nodiscard]] bool one_in(std::uint64_t count) noexcept { return below(count) == 0; }

private:
    std::uint64_t state_;
};

/// Names of files, as numbers: a disk is copied for every state that is looked at.
class name_table {
public:
    [[nodiscard]] static std::uint32_t number_of(std::string_view name) {
        const std::scoped_lock guard{all().mutex};
        const auto found = all().numbers.find(std::string{name});
        if (found != all().numbers.end()) {
            return found->second;
        }
        all().names.push_back(std::make_unique<std::string>(name));
        return all().numbers[std::string{name}] = static_cast<std::uint32_t>(all().names.size() - 1);
    }
    [[nodiscard]] static const std::string& name_of(std::uint32_t number) {
        const std::scoped_lock guard{all().mutex};
        return *all().names[number];
    }

private:
    struct table {
        std::mutex mutex;
        std::vector<std::unique_ptr<std::string>> names;
        std::unordered_map<std::string, std::uint32_t> numbers;
    };
    [[nodiscard]] static table& all() {
        static auto* const one = new table;
        return *one;
    }
};

/// A page of a file: what is on the disk, what the page cache shows, and what it has shown since it was last clean.
struct page_state {
    struct version {
        kept_page what;
        std::uint64_t time;
    };
    kept_page durable;
    kept_page last;
    std::vector<version> versions;  ///< any of them may have reached the disk; empty: the page is clean
    bool is_lost = false;           ///< clean, and not what is on the disk: a sync has failed
    bool is_stuck = false;          ///< nothing of it gets to the disk any more, whatever a sync says
};

struct directory_change {
    enum class kind { add, remove, move };
    kind what;
    std::uint32_t name;
    std::uint32_t to;  ///< of a move
    std::uint32_t node;
    std::uint64_t time;
};

/// Files of a directory by name, in the order of the names' numbers.
class name_list {
public:
    struct entry {
        std::uint32_t name;
        std::uint32_t node;
    };
    [[nodiscard]] std::optional<std::uint32_t> find(std::uint32_t name) const noexcept {
        const auto at = place(name);
        return at != all_.end() && at->name == name ? std::optional{at->node} : std::nullopt;
    }
    void set(std::uint32_t name, std::uint32_t node) {
        const auto at = place(name);
        const auto index = at - all_.begin();
        if (at != all_.end() && at->name == name) {
            all_[static_cast<std::size_t>(index)].node = node;
        } else {
            all_.insert(at, {name, node});
        }
    }
    void erase(std::uint32_t name, std::uint32_t node) {
        const auto at = place(name);
        if (at != all_.end() && at->name == name && at->node == node) {
            all_.erase(at);
        }
    }
    void apply(const directory_change& change) {
        switch (change.what) {
            case directory_change::kind::add: set(change.name, change.node); break;
            case directory_change::kind::remove: erase(change.name, change.node); break;
            case directory_change::kind::move:
                erase(change.name, change.node);
                set(change.to, change.node);
                break;
        }
    }
    [[nodiscard]] const std::vector<entry>& all() const noexcept { return all_; }

private:
    [[nodiscard]] std::vector<entry>::const_iterator place(std::uint32_t name) const noexcept {
        return std::lower_bound(all_.begin(), all_.end(), name, [](const entry& one, std::uint32_t wanted) { return one.name < wanted; });
    }
    std::vector<entry> all_;
};

/// A file or a directory, on the disk and in memory.
struct disk_node {
    struct size_version {
        std::uint64_t size;
        std::uint64_t time;
    };
    bool is_directory = false;
    bool is_made = true;  ///< false: a directory that has not been synced itself; a name of it that was may lead nowhere
    std::uint64_t inode = 0;

    std::uint64_t size = 0;
    std::uint64_t durable_size = 0;
    std::vector<size_version> sizes;
    std::vector<page_state> pages;

    name_list entries;
    name_list durable_entries;
    std::vector<directory_change> changes;  ///< not synced: each done or not
};

/// Which of the states that are possible: an option for each thing that is undecided, none is the durable one.
struct crash_choice {
    std::vector<std::uint16_t> options;
    std::optional<std::uint64_t> tear;  ///< sectors of dirty pages mixed from all their versions, by this seed
    bool has_garbage = false;           ///< words that were being written hold anything
};

/// A disk at one moment, with all that is undecided about it. Cheap to copy: contents are shared.
struct disk_state {
    std::vector<disk_node> nodes;  ///< 0: the root
    std::uint64_t boot = 1;
    std::uint64_t next_inode = 1;
    std::uint64_t chance = 1;      ///< what `random` gives next
    std::uint64_t time = 1;

    disk_state() {
        nodes.push_back({});
        nodes.back().is_directory = true;
    }

    /// The node at an absolute path, as the page cache has it.
    [[nodiscard]] std::optional<std::uint32_t> find(std::string_view path) const {
        std::uint32_t node = 0;
        while (!path.empty()) {
            path.remove_prefix(path.front() == '/' ? 1 : 0);
            const std::string_view name = path.substr(0, path.find('/'));
            path.remove_prefix(name.size());
            if (name.empty()) {
                continue;
            }
            const auto next = nodes[node].is_directory ? nodes[node].entries.find(name_table::number_of(name)) : std::nullopt;
            if (!next) {
                return std::nullopt;
            }
            node = *next;
        }
        return node;
    }

    /// A file's bytes, as the page cache has them.
    [[nodiscard]] std::vector<std::byte> read(std::uint32_t node) const {
        const disk_node& file = nodes[node];
        std::vector<std::byte> raw(static_cast<std::size_t>(file.size));
        for (std::size_t page = 0; page < file.pages.size() && page * disk_page < raw.size(); ++page) {
            std::memcpy(raw.data() + page * disk_page, bytes_of(file.pages[page].last), std::min(disk_page, raw.size() - page * disk_page));
        }
        return raw;
    }

    /// Of what everything is made that anybody can see of it, names included.
    [[nodiscard]] std::uint64_t hash() const {
        std::uint64_t sum = boot;
        hash(0, sum);
        return sum;
    }

private:
    static void stir(std::uint64_t& sum, std::uint64_t word) noexcept {
        sum = format::detail::multiply_fold(sum ^ 0x9e3779b97f4a7c15u, word ^ 0xc2b2ae3d27d4eb4fu);
    }
    void hash(std::uint32_t node, std::uint64_t& sum) const {
        const disk_node& one = nodes[node];
        stir(sum, one.size * 2 + (one.is_directory ? 1 : 0));
        for (std::size_t page = 0; page < one.pages.size(); ++page) {
            if (one.pages[page].last) {
                stir(sum, page);
                stir(sum, one.pages[page].last->hash);
            }
        }
        for (const auto& entry : one.entries.all()) {
            stir(sum, entry.name);
            hash(entry.node, sum);
        }
    }
};

/// One thing about a disk that a loss of power decides: a page, a file's size, a change of a directory, a directory itself.
struct undecided {
    enum class kind { page, size, change, directory };
    kind what;
    std::uint32_t node;
    std::uint32_t index;               ///< of the page or the change
    std::vector<std::uint32_t> choices;  ///< indexes of versions; option k is choices[k - 1], option 0 what is durable
    std::vector<std::uint64_t> times;

    [[nodiscard]] std::uint16_t options() const noexcept { return static_cast<std::uint16_t>(choices.size() + 1); }
};

/// Everything undecided about a disk, and the disks that may come of it.
class loss_of_power {
public:
    explicit loss_of_power(const disk_state& before) : before_{before} { gather(); }

    [[nodiscard]] const std::vector<undecided>& things() const noexcept { return things_; }

    /// How many there are; the largest number when there are more.
    [[nodiscard]] std::uint64_t count() const noexcept {
        std::uint64_t product = 1;
        for (const auto& thing : things_) {
            if (product > std::numeric_limits<std::uint64_t>::max() / thing.options()) {
                return std::numeric_limits<std::uint64_t>::max();
            }
            product *= thing.options();
        }
        return product;
    }

    /// All of them, nothing first and everything last.
    template <class Visit>
    void for_each_choice(const Visit& visit) const {
        crash_choice choice;
        choice.options.assign(things_.size(), 0);
        for (std::size_t digit = 0; digit < things_.size() || things_.empty();) {
            visit(std::as_const(choice));
            for (digit = 0; digit < things_.size() && ++choice.options[digit] == things_[digit].options(); ++digit) {
                choice.options[digit] = 0;
            }
            if (things_.empty()) {
                return;
            }
        }
    }

    /// What was synced arrived, and nothing else.
    [[nodiscard]] disk_state decide_nothing() const { return decide({std::vector<std::uint16_t>(things_.size(), 0), {}, false}); }

    /// Everything arrived.
    [[nodiscard]] disk_state decide_everything() const {
        crash_choice choice;
        for (const auto& thing : things_) {
            choice.options.push_back(static_cast<std::uint16_t>(thing.options() - 1));
        }
        return decide(choice);
    }

    /// A few: nothing arrived, everything, each of it alone, and all but each.
    [[nodiscard]] std::vector<disk_state> decide_a_few() const {
        std::vector<disk_state> all{decide_nothing(), decide_everything()};
        for (std::size_t one = 0; one < things_.size(); ++one) {
            for (const bool is_alone : {true, false}) {
                crash_choice choice;
                for (std::size_t i = 0; i < things_.size(); ++i) {
                    choice.options.push_back((i == one) == is_alone ? static_cast<std::uint16_t>(things_[i].options() - 1) : std::uint16_t{0});
                }
                all.push_back(decide(choice));
            }
        }
        return all;
    }

    /// The disk as the next boot finds it.
    [[nodiscard]] disk_state decide(const crash_choice& choice) const {
        disk_state after;
        after.boot = before_.boot + 1;
        after.next_inode = before_.next_inode;
        after.chance = before_.chance;
        after.time = before_.time + 1;
        after.nodes.resize(before_.nodes.size());
        for (std::size_t node = 0; node < before_.nodes.size(); ++node) {
            const disk_node& old = before_.nodes[node];
            disk_node& now = after.nodes[node];
            now.is_directory = old.is_directory;
            now.inode = old.inode;
            now.size = now.durable_size = old.durable_size;
            now.pages.resize(old.pages.size());
            for (std::size_t page = 0; page < old.pages.size(); ++page) {
                now.pages[page].durable = now.pages[page].last = old.pages[page].durable;
            }
            now.durable_entries = old.durable_entries;
        }
        std::vector<bool> is_lost(after.nodes.size(), false);
        seeded random{choice.tear.value_or(0)};
        for (std::size_t i = 0; i < things_.size(); ++i) {
            const undecided& thing = things_[i];
            const std::uint16_t option = choice.options[i];
            const disk_node& old = before_.nodes[thing.node];
            disk_node& now = after.nodes[thing.node];
            switch (thing.what) {
                case undecided::kind::page: {
                    page_state& page = now.pages[thing.index];
                    page.durable = choice.tear && random.below(4) != 0 ? torn(old.pages[thing.index], choice.has_garbage, random)
                                   : option != 0 ? old.pages[thing.index].versions[thing.choices[option - 1u]].what : page.durable;
                    page.last = page.durable;
                    break;
                }
                case undecided::kind::size:
                    if (option != 0) {
                        now.size = now.durable_size = old.sizes[thing.choices[option - 1u]].size;
                    }
                    break;
                case undecided::kind::change:
                    if (option != 0) {
                        now.durable_entries.apply(old.changes[thing.index]);
                    }
                    break;
                case undecided::kind::directory: is_lost[thing.node] = option == 0; break;
            }
        }
        for (disk_node& now : after.nodes) {
            cut_to_size(now);
            now.entries = now.durable_entries;
            for (const auto& entry : now.durable_entries.all()) {
                if (is_lost[entry.node]) {
                    now.entries.erase(entry.name, entry.node);  // as e2fsck does
                }
            }
            now.durable_entries = now.entries;
        }
        return after;
    }

private:
    void gather() {
        std::vector<bool> is_reachable(before_.nodes.size(), false);
        reach(0, is_reachable);
        for (std::uint32_t node = 0; node < before_.nodes.size(); ++node) {
            const disk_node& one = before_.nodes[node];
            if (!is_reachable[node]) {
                continue;
            }
            for (std::uint32_t index = 0; index < one.changes.size(); ++index) {
                things_.push_back({undecided::kind::change, node, index, {0}, {one.changes[index].time}});
            }
            undecided sizes{undecided::kind::size, node, 0, {}, {}};
            for (std::uint32_t i = 0; i < one.sizes.size(); ++i) {
                if (one.sizes[i].size != one.durable_size) {
                    sizes.choices.push_back(i);
                    sizes.times.push_back(one.sizes[i].time);
                }
            }
            add(std::move(sizes));
            for (std::uint32_t index = 0; index < one.pages.size(); ++index) {
                const page_state& page = one.pages[index];
                if (page.is_stuck) {
                    continue;
                }
                undecided versions{undecided::kind::page, node, index, {}, {}};
                const auto is_known = [&](std::uint32_t i) {
                    const std::uint64_t hash = hash_of(page.versions[i].what);
                    return hash == hash_of(page.durable) || std::any_of(versions.choices.begin(), versions.choices.end(), [&](std::uint32_t other) {
                               return hash == hash_of(page.versions[other].what);
                           });
                };
                for (std::uint32_t i = 0; i < page.versions.size(); ++i) {
                    if (!is_known(i)) {
                        versions.choices.push_back(i);
                        versions.times.push_back(page.versions[i].time);
                    }
                }
                add(std::move(versions));
            }
        }
        for (std::uint32_t node = 0; node < before_.nodes.size(); ++node) {
            if (is_reachable[node] && !before_.nodes[node].is_made) {
                things_.push_back({undecided::kind::directory, node, 0, {0}, {before_.time}});
            }
        }
    }

    void reach(std::uint32_t node, std::vector<bool>& is_reachable) const {
        if (is_reachable[node]) {
            return;
        }
        is_reachable[node] = true;
        for (const auto& entry : before_.nodes[node].durable_entries.all()) {
            reach(entry.node, is_reachable);
        }
        for (const auto& change : before_.nodes[node].changes) {
            reach(change.node, is_reachable);
        }
    }

    void add(undecided thing) {
        if (!thing.choices.empty()) {
            things_.push_back(std::move(thing));
        }
    }

    /// Each sector of some version. Garbage only in words that differ between the disk and memory: what a disk is not
    /// asked to write it does not change, not even in the same sector ("powersafe overwrite").
    [[nodiscard]] static kept_page torn(const page_state& page, bool has_garbage, seeded& random) {
        std::array<std::byte, disk_page> mixed;
        const std::byte* const newest = bytes_of(page.versions.back().what);
        for (std::size_t at = 0; at < disk_page; at += disk_sector) {
            const std::size_t from = random.below(page.versions.size() + 1);
            const std::byte* const source = from == 0 ? bytes_of(page.durable) : bytes_of(page.versions[from - 1].what);
            std::memcpy(mixed.data() + at, source + at, disk_sector);
            if (has_garbage && random.one_in(3)) {
                for (std::size_t word = at; word < at + disk_sector; word += 8) {
                    const auto is_written = load<std::uint64_t>(newest + word) != load<std::uint64_t>(bytes_of(page.durable) + word);
                    if (is_written && !random.one_in(4)) {
                        store(mixed.data() + word, random.next());
                    }
                }
            }
        }
        return remember(mixed.data());
    }

    static void cut_to_size(disk_node& file) {
        const std::size_t whole = static_cast<std::size_t>((file.size + disk_page - 1) / disk_page);
        if (file.pages.size() > whole) {
            file.pages.resize(whole);
        }
        if (const std::size_t rest = file.size % disk_page; rest != 0 && file.pages.size() == whole && file.pages.back().last) {
            std::array<std::byte, disk_page> cut = file.pages.back().last->raw;
            std::fill(cut.begin() + static_cast<std::ptrdiff_t>(rest), cut.end(), std::byte{0});
            file.pages.back().durable = file.pages.back().last = remember(cut.data());
        }
    }

    const disk_state& before_;
    std::vector<undecided> things_;
};

}  // namespace brook::test
