/// \file support/powerless_platform.hpp
/// A machine whose plug can be pulled: files are memory, and at any moment one can ask for what the disk would hold.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>

#include "support/failing_memory.hpp"
#include "support/page_memory.hpp"
#include "support/simulated_disk.hpp"

namespace brook::test {

namespace detail {

/// The page cache and the disk behind it. Outlives the platform while files are open.
class machine {
public:
    /// A page that is looked at again and again without a sync forgets some of what it was.
    static constexpr std::size_t most_versions = 12;

    explicit machine(disk_state from) : state_{std::move(from)}, open_(state_.nodes.size()) {}

    /// Called with the machine held, before each call of the platform.
    using hook = std::function<void(machine&, const char*)>;

    std::mutex mutex;
    hook on_call;
    bool is_unplugged = false;
    bool is_full = false;
    std::uint64_t calls = 0;
    std::uint64_t look_every = 1;                    ///< of so many calls at one all mapped pages are looked at: of the others fewer versions are known
    std::optional<std::uint64_t> failing_sync;       ///< this many more syncs of files go well
    std::optional<std::uint64_t> failing_directory;  ///< the same for directories
    std::uint64_t failed_syncs = 0;
    std::string misuse;                              ///< what no program may do to a file; empty: nothing
    std::vector<std::uint32_t> locked;

    /// Begins a call of the platform; the code is what it fails with.
    [[nodiscard]] std::error_code begin(const char* call) {
        if (is_unplugged) {
            return std::make_error_code(std::errc::io_error);
        }
        if (++calls % look_every == 0) {
            look();
        }
        if (on_call) {
            on_call(*this, call);
        }
        ++state_.time;
        return {};
    }

    /// Notes what mapped pages hold now: it may reach the disk from here on.
    void look() {
        for (std::uint32_t node = 0; node < open_.size(); ++node) {
            if (open_[node].memory) {
                look(node);
            }
        }
    }

    [[nodiscard]] disk_state& state() noexcept { return state_; }

    // ---- files ----

    [[nodiscard]] std::error_code read(std::uint32_t node, std::uint64_t position, mutable_bytes into) {
        if (position + into.size() > file(node).size) {
            return std::make_error_code(std::errc::io_error);
        }
        if (open_[node].memory) {
            std::memcpy(into.data(), open_[node].memory->data() + position, into.size());
            return {};
        }
        pieces(position, into.size(), [&](std::size_t page, std::size_t at, std::size_t size, std::size_t done) {
            std::memcpy(into.data() + done, page < file(node).pages.size() ? bytes_of(file(node).pages[page].last) + at : page_of_zeros.data(), size);
        });
        return {};
    }

    /// What is dirty is written back first, as a read past the page cache has it done.
    [[nodiscard]] std::error_code read_from_disk(std::uint32_t node, std::uint64_t position, mutable_bytes into) {
        if (position + into.size() > file(node).size) {
            return std::make_error_code(std::errc::io_error);
        }
        if (open_[node].memory) {
            look(node);
        }
        pieces(position, into.size(), [&](std::size_t number, std::size_t at, std::size_t size, std::size_t done) {
            const page_state& page = page_of(node, number);
            std::memcpy(into.data() + done, bytes_of(page.versions.empty() || page.is_stuck ? page.durable : page.last) + at, size);
        });
        return {};
    }

    /// nullptr: zeros.
    void write(std::uint32_t node, std::uint64_t position, const std::byte* from, std::size_t size) {
        extend(node, position + size);
        pieces(position, size, [&](std::size_t number, std::size_t at, std::size_t count, std::size_t done) {
            page_memory* const memory = open_[node].memory.get();
            page_state& page = page_of(node, number);
            std::array<std::byte, disk_page> whole;
            std::memcpy(whole.data(), memory != nullptr ? memory->page(number) : bytes_of(page.last), disk_page);
            from == nullptr ? std::memset(whole.data() + at, 0, count) : std::memcpy(whole.data() + at, from + done, count);
            if (memory != nullptr) {
                memory->stop_watching(number);
                std::memcpy(memory->page(number) + at, whole.data() + at, count);
                memory->use((number + 1) * disk_page);
            }
            page.is_lost = false;
            add_version(page, remember(whole.data()));
        });
    }

    void extend(std::uint32_t node, std::uint64_t end) {
        if (end > file(node).size) {
            file(node).size = end;
            file(node).sizes.push_back({end, state_.time});
            if (open_[node].memory) {
                open_[node].memory->use(static_cast<std::size_t>(end));
            }
        }
    }

    void punch(std::uint32_t node, std::uint64_t position, std::uint64_t size) {
        const std::uint64_t end = std::min(position + size, file(node).size);
        if (position < end) {
            write(node, position, nullptr, static_cast<std::size_t>(end - position));
        }
    }

    [[nodiscard]] std::error_code sync(std::uint32_t node) {
        if (look_every > 1 && open_[node].memory) {
            look(node);
        }
        disk_node& synced = file(node);
        if (!is_failing(failing_sync)) {
            for (page_state& page : synced.pages) {
                if (!page.versions.empty()) {
                    page.durable = page.is_stuck ? page.durable : page.last;
                    page.versions.clear();
                }
            }
            synced.durable_size = synced.size;
            synced.sizes.clear();
            return {};
        }
        // Some pages reach the disk, all pass for clean: the page cache goes on showing what is lost.
        seeded random{++state_.chance};
        for (std::size_t number = 0; number < synced.pages.size(); ++number) {
            page_state& page = synced.pages[number];
            if (page.versions.empty()) {
                continue;
            }
            if (random.one_in(2)) {
                page.durable = page.versions[static_cast<std::size_t>(random.below(page.versions.size()))].what;
            }
            page.versions.clear();
            if (hash_of(page.durable) != hash_of(page.last)) {
                page.is_lost = true;
                page.is_stuck = !page.durable;
                watch(node, number);
            }
        }
        if (random.one_in(2)) {
            synced.durable_size = synced.size;
            synced.sizes.clear();
        }
        return std::make_error_code(std::errc::io_error);
    }

    [[nodiscard]] std::shared_ptr<page_memory> map(std::uint32_t node, std::size_t size) {
        opened& open = open_[node];
        const std::size_t rounded = align_up(size, disk_page);
        if (!open.memory || (open.maps == 0 && open.memory->size() < rounded)) {
            open.memory = std::make_shared<page_memory>(rounded);
            open.memory->use(static_cast<std::size_t>(file(node).size));
            for (std::size_t number = 0; number < file(node).pages.size(); ++number) {
                if (const page_state& page = file(node).pages[number]; page.last && number * disk_page < rounded) {
                    std::memcpy(open.memory->page(number), page.last->raw.data(), disk_page);
                }
                if (file(node).pages[number].is_lost) {
                    watch(node, number);
                }
            }
        }
        if (open.memory->size() < rounded) {
            return nullptr;
        }
        ++open.maps;
        return open.memory;
    }

    void unmap(std::uint32_t node, const std::shared_ptr<page_memory>& memory) {
        opened& open = open_[node];
        if (open.memory != memory) {
            return;  // detached
        }
        if (--open.maps == 0) {
            look(node);
            open.memory.reset();
        }
    }

    /// The mapping keeps its memory, the file goes on without it.
    void detach(std::uint32_t node, const std::shared_ptr<page_memory>& memory) {
        if (open_[node].memory == memory) {
            look(node);
            open_[node] = {};
        }
    }

    // ---- directories ----

    struct place {
        std::uint32_t directory;
        std::uint32_t name;
        std::optional<std::uint32_t> node;
    };

    [[nodiscard]] std::optional<place> find(std::string_view path) {
        const std::size_t slash = path.rfind('/');
        const auto directory = state_.find(path.substr(0, slash == std::string_view::npos ? 0 : slash));
        if (!directory || !state_.nodes[*directory].is_directory) {
            return std::nullopt;
        }
        const std::uint32_t name = name_table::number_of(path.substr(slash == std::string_view::npos ? 0 : slash + 1));
        return place{*directory, name, state_.nodes[*directory].entries.find(name)};
    }

    std::uint32_t make(const place& where, bool is_directory) {
        const auto node = static_cast<std::uint32_t>(state_.nodes.size());
        state_.nodes.push_back({});
        state_.nodes.back().is_directory = is_directory;
        state_.nodes.back().is_made = !is_directory || where.directory == 0;  // in the root: where a disk is mounted
        state_.nodes.back().inode = state_.next_inode++;
        open_.push_back({});
        change(where.directory, {directory_change::kind::add, where.name, 0, node, state_.time});
        return node;
    }

    void change(std::uint32_t directory, const directory_change& made) {
        state_.nodes[directory].entries.apply(made);
        state_.nodes[directory].changes.push_back(made);
    }

    [[nodiscard]] std::error_code sync_directory(std::uint32_t node) {
        disk_node& synced = state_.nodes[node];
        if (!is_failing(failing_directory)) {
            synced.durable_entries = synced.entries;
            synced.changes.clear();
            synced.is_made = true;
            return {};
        }
        seeded random{++state_.chance};
        std::vector<directory_change> left;
        for (const auto& change : synced.changes) {  // an order is kept, so that nothing is done after what it undoes
            if (left.empty() && random.one_in(2)) {
                synced.durable_entries.apply(change);
            } else {
                left.push_back(change);
            }
        }
        synced.changes = std::move(left);
        return std::make_error_code(std::errc::io_error);
    }

private:
    struct opened {
        std::shared_ptr<page_memory> memory;
        std::uint32_t maps = 0;
    };

    [[nodiscard]] disk_node& file(std::uint32_t node) noexcept { return state_.nodes[node]; }

    [[nodiscard]] page_state& page_of(std::uint32_t node, std::size_t number) {
        auto& pages = file(node).pages;
        if (pages.size() <= number) {
            pages.resize(number + 1);
        }
        return pages[number];
    }

    template <class Piece>
    static void pieces(std::uint64_t position, std::size_t size, const Piece& piece) {
        for (std::size_t done = 0; done < size;) {
            const auto at = static_cast<std::size_t>((position + done) % disk_page);
            const std::size_t count = std::min(size - done, disk_page - at);
            piece(static_cast<std::size_t>((position + done) / disk_page), at, count, done);
            done += count;
        }
    }

    void look(std::uint32_t node) {
        page_memory& memory = *open_[node].memory;
        const std::size_t pages = std::min(static_cast<std::size_t>(align_up(file(node).size, std::uint64_t{disk_page})), memory.size()) / disk_page;
        static_cast<void>(page_of(node, pages == 0 ? 0 : pages - 1));
        for (std::size_t number = 0; number < pages; ++number) {
            page_state& page = file(node).pages[number];
            if (page.is_lost ? memory.is_untouched(number) : std::memcmp(memory.page(number), bytes_of(page.last), disk_page) == 0) {
                continue;
            }
            page.is_lost = false;
            add_version(page, remember(memory.page(number)));
        }
        if (pages * disk_page < memory.size() && std::memcmp(memory.page(pages), page_of_zeros.data(), disk_page) != 0) {
            misuse = "a store behind the end of a file, which is SIGBUS";
        }
    }

    void add_version(page_state& page, kept_page what) {
        if (page.versions.size() >= most_versions) {
            seeded random{++state_.chance};
            page.versions.erase(page.versions.begin() + static_cast<std::ptrdiff_t>(random.below(page.versions.size())));
        }
        page.last = what;
        page.versions.push_back({std::move(what), state_.time});
    }

    void watch(std::uint32_t node, std::size_t number) {
        if (open_[node].memory && number * disk_page < open_[node].memory->size()) {
            open_[node].memory->watch(number);
        }
    }

    [[nodiscard]] bool is_failing(std::optional<std::uint64_t>& planned) {
        if (!planned || (*planned)-- > 0) {
            return false;
        }
        planned.reset();
        ++failed_syncs;
        return true;
    }

    disk_state state_;
    std::vector<opened> open_;
};

class powerless_mapping final : public os::mapping {
public:
    powerless_mapping(std::shared_ptr<machine> on, std::uint32_t node, std::shared_ptr<page_memory> memory, std::size_t size)
        : mapping{memory->data(), size}, machine_{std::move(on)}, node_{node}, memory_{std::move(memory)} {}
    ~powerless_mapping() override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->unmap(node_, memory_);
    }
    std::error_code populate(std::size_t, std::size_t) noexcept override { return {}; }
    std::error_code detach() noexcept override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->detach(node_, memory_);
        return {};
    }

private:
    const std::shared_ptr<machine> machine_;
    const std::uint32_t node_;
    const std::shared_ptr<page_memory> memory_;
};

class powerless_file final : public os::file {
public:
    powerless_file(std::shared_ptr<machine> on, std::uint32_t node, bool is_read_only)
        : machine_{std::move(on)}, node_{node}, is_read_only_{is_read_only} {}

    [[nodiscard]] std::error_code size(std::uint64_t& bytes) const noexcept override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        bytes = machine_->state().nodes[node_].size;
        return {};
    }
    [[nodiscard]] std::error_code read_at(std::uint64_t position, mutable_bytes into) const noexcept override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        return machine_->read(node_, position, into);
    }
    [[nodiscard]] std::error_code read_from_disk(std::uint64_t position, std::uint64_t size, os::piece_reader& to) const noexcept override {
        const unfailing_memory own;
        std::vector<std::byte> found(size);
        {
            const std::scoped_lock guard{machine_->mutex};
            if (const auto code = machine_->read_from_disk(node_, position, found)) {
                return code;
            }
        }
        static_cast<void>(found.empty() || to.see(found));
        return {};
    }
    [[nodiscard]] std::error_code write_at(std::uint64_t position, bytes from) noexcept override {
        return changing("write", [&] {
            machine_->write(node_, position, from.data(), from.size());
            return std::error_code{};
        });
    }
    [[nodiscard]] std::error_code allocate(std::uint64_t begin, std::uint64_t size) noexcept override {
        return changing("allocate", [&] {
            if (machine_->is_full && begin + size > machine_->state().nodes[node_].size) {
                return std::make_error_code(std::errc::no_space_on_device);
            }
            machine_->extend(node_, begin + size);
            return std::error_code{};
        });
    }
    [[nodiscard]] std::error_code punch(std::uint64_t begin, std::uint64_t size) noexcept override {
        return changing("punch", [&] {
            machine_->punch(node_, begin, size);
            return std::error_code{};
        });
    }
    [[nodiscard]] std::error_code sync() noexcept override {
        return changing("sync", [&] { return machine_->sync(node_); });
    }
    void start_writeback(std::uint64_t, std::uint64_t) noexcept override {}
    [[nodiscard]] std::unique_ptr<os::mapping> map(std::size_t size, std::error_code& code) noexcept override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        auto memory = machine_->map(node_, size);
        code = memory ? std::error_code{} : std::make_error_code(std::errc::not_enough_memory);
        return memory ? std::make_unique<powerless_mapping>(machine_, node_, std::move(memory), size) : nullptr;
    }
    [[nodiscard]] std::error_code identity(os::file_identity& id) const noexcept override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        id = {};
        store(id.boot_id.data(), machine_->state().boot);
        id.device = 1;
        id.inode = machine_->state().nodes[node_].inode;
        return {};
    }

private:
    template <class Change>
    [[nodiscard]] std::error_code changing(const char* call, const Change& change) {
        if (is_read_only_) {
            return std::make_error_code(std::errc::bad_file_descriptor);
        }
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        const std::error_code code = machine_->begin(call);
        return code ? code : change();
    }

    const std::shared_ptr<machine> machine_;
    const std::uint32_t node_;
    const bool is_read_only_;
};

}  // namespace detail

/// An `os::platform` in this process's memory.
///
///     powerless_platform platform{disk_state{}};
///     ... the library works on it ...
///     disk_state at_this_moment = platform.look();
///     disk_state left = loss_of_power{at_this_moment}.decide(choice);    // the next boot finds this
///     powerless_platform after{left};
///
/// A `disk_state` that nobody decided about is what a kill leaves: the same boot, the page cache whole, and everything
/// that was undecided still so.
///
/// What may be lost: of each page any version since its last sync, as it was at any call of the platform and whenever
/// the test looked; sizes of files; each change of a directory that no sync of this directory has followed, whatever
/// became of the others; a directory that has not been synced itself, though its name was, as on an ext4 without a journal. A sync that fails leaves some pages behind and calls all of them clean; only another store,
/// were it of the same bytes, makes one dirty again. A page that had never been written before does not reach the disk in this file any more, as
/// it is with ext4, which takes its block for written by then: each sync says that it has, and the next boot finds zeros.
///
/// What is not modelled: the order in which journaling file systems commit (they do better than this), disks that lie
/// about a sync, sectors torn inside.
///
/// Threads   shared, and so its files; time does not pass by itself.
class powerless_platform final : public os::platform {
public:
    using machine = detail::machine;

    explicit powerless_platform(disk_state from) : machine_{std::make_shared<machine>(std::move(from))} {}

    /// The disk as it is now, with all that is undecided.
    [[nodiscard]] disk_state look() {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->look();
        ++machine_->state().time;
        return machine_->state();
    }

    /// What is called holds the machine: nothing else happens meanwhile.
    template <class Work>
    void hold(const Work& work) {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->look();
        ++machine_->state().time;
        work(*machine_);
    }

    /// All pages are looked at with one call of so many only: what a loss of power may leave is less exact then, and time is saved.
    void look_every(std::uint64_t calls) {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->look_every = calls;
    }

    /// Called before each call that changes something, with the machine held.
    void on_call(machine::hook told) {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->on_call = std::move(told);
    }

    /// From here on every call fails: the process is dead, and only the test does not know yet.
    void unplug() {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->is_unplugged = true;
        machine_->on_call = nullptr;
    }

    /// No file can be given more room.
    void fill(bool is_full) {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->is_full = is_full;
    }

    /// The k-th sync of a file from now fails, once; 0: none.
    void fail_sync(std::uint64_t k) {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->failing_sync = k == 0 ? std::nullopt : std::optional{k - 1};
    }
    void fail_directory_sync(std::uint64_t k) {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        machine_->failing_directory = k == 0 ? std::nullopt : std::optional{k - 1};
    }
    [[nodiscard]] std::uint64_t failed_syncs() {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        return machine_->failed_syncs;
    }
    [[nodiscard]] std::uint64_t calls() {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        return machine_->calls;
    }
    [[nodiscard]] std::string misuse() {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        return machine_->misuse;
    }

    // ---- os::platform ----

    [[nodiscard]] std::unique_ptr<os::file> open(const std::string& path, os::open_mode mode, std::error_code& code) override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        const auto where = machine_->find(path);
        code = !where ? std::make_error_code(std::errc::no_such_file_or_directory) : std::error_code{};
        if (!code && mode == os::open_mode::create) {
            code = where->node ? std::make_error_code(std::errc::file_exists) : machine_->begin("create");
            return code ? nullptr : std::make_unique<detail::powerless_file>(machine_, machine_->make(*where, false), false);
        }
        if (!code && machine_->is_unplugged) {
            code = std::make_error_code(std::errc::io_error);
        } else if (!code && !where->node) {
            code = std::make_error_code(std::errc::no_such_file_or_directory);
        } else if (!code && machine_->state().nodes[*where->node].is_directory) {
            code = std::make_error_code(std::errc::not_supported);
        }
        return code ? nullptr : std::make_unique<detail::powerless_file>(machine_, *where->node, mode == os::open_mode::read_only);
    }

    [[nodiscard]] std::error_code rename_to_new(const std::string& from, const std::string& to) override { return rename("rename", from, to, false); }
    [[nodiscard]] std::error_code rename_over(const std::string& from, const std::string& to) override { return rename("rename over", from, to, true); }

    [[nodiscard]] std::error_code remove(const std::string& path) override { return remove(path, false); }
    [[nodiscard]] std::error_code remove_directory(const std::string& path) override { return remove(path, true); }

    [[nodiscard]] std::error_code make_directory(const std::string& path) override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        const auto where = machine_->find(path);
        if (!where) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        if (where->node) {
            return std::make_error_code(std::errc::file_exists);
        }
        const std::error_code code = machine_->begin("make directory");
        if (!code) {
            machine_->make(*where, true);
        }
        return code;
    }

    [[nodiscard]] std::error_code sync_directory(const std::string& path) override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        const auto node = machine_->state().find(path);
        if (!node || !machine_->state().nodes[*node].is_directory) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        const std::error_code code = machine_->begin("sync directory");
        return code ? code : machine_->sync_directory(*node);
    }

    [[nodiscard]] std::error_code list(const std::string& path, std::vector<os::directory_entry>& entries) override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        entries.clear();
        const disk_state& state = machine_->state();
        const auto node = state.find(path);
        if (machine_->is_unplugged || !node || !state.nodes[*node].is_directory) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        for (const auto& entry : state.nodes[*node].entries.all()) {
            entries.push_back({name_table::name_of(entry.name), state.nodes[entry.node].is_directory ? os::entry_kind::directory : os::entry_kind::file});
        }
        return {};
    }

    [[nodiscard]] std::unique_ptr<os::lock> lock_file(const std::string& path, std::error_code& code) override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        auto where = machine_->find(path);
        code = !where ? std::make_error_code(std::errc::no_such_file_or_directory) : std::error_code{};
        if (!code && !where->node) {
            code = machine_->begin("create");
            if (!code) {
                where->node = machine_->make(*where, false);
            }
        }
        if (!code && std::count(machine_->locked.begin(), machine_->locked.end(), *where->node) != 0) {
            code = std::make_error_code(std::errc::resource_unavailable_try_again);
        }
        if (code) {
            return nullptr;
        }
        machine_->locked.push_back(*where->node);
        return std::make_unique<powerless_lock>(machine_, *where->node);
    }

    [[nodiscard]] std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        const auto node = machine_->state().find(path);
        if (!node) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        bytes = machine_->state().nodes[*node].size;  // as if it had no holes
        return {};
    }
    [[nodiscard]] std::error_code free_bytes(const std::string&, std::uint64_t& bytes) override {
        bytes = std::uint64_t{1} << 40;
        return {};
    }
    [[nodiscard]] os::filesystem filesystem_of(const std::string&) override { return os::filesystem::mapped_writes_promised; }

    [[nodiscard]] timestamp now() noexcept override { return timestamp{std::chrono::nanoseconds{1'700'000'000'000'000'000} + monotonic()}; }
    [[nodiscard]] std::chrono::nanoseconds monotonic() noexcept override { return std::chrono::nanoseconds{clock_.fetch_add(1'000)}; }
    void advance(std::chrono::nanoseconds by) noexcept { clock_.fetch_add(by.count()); }

    [[nodiscard]] std::uint64_t random() override {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        return seeded{++machine_->state().chance}.next();
    }
    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<std::chrono::nanoseconds> timeout) noexcept override {
        os::posix().wait(word, expected, timeout);
    }
    void wake_all(std::atomic<std::uint32_t>& word) noexcept override { os::posix().wake_all(word); }
    void yield() noexcept override { os::posix().yield(); }
    [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override {
        void* const memory = ::operator new(align_up(size, std::size_t{256}), std::align_val_t{256});
        std::memset(memory, 0, align_up(size, std::size_t{256}));
        return memory;
    }
    void release_wiped_on_fork(void* memory, std::size_t) noexcept override { ::operator delete(memory, std::align_val_t{256}); }

private:
    [[nodiscard]] std::error_code rename(const char* operation, const std::string& from, const std::string& to, bool may_replace) {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        const auto source = machine_->find(from);
        const auto target = machine_->find(to);
        if (!source || !source->node || !target) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        if (target->node && !may_replace) {
            return std::make_error_code(std::errc::file_exists);
        }
        if (source->directory != target->directory) {
            return std::make_error_code(std::errc::cross_device_link);  // nobody moves anything to another directory
        }
        const std::error_code code = machine_->begin(operation);
        if (!code) {
            machine_->change(source->directory, {directory_change::kind::move, source->name, target->name, *source->node, machine_->state().time});
        }
        return code;
    }

    class powerless_lock final : public os::lock {
    public:
        powerless_lock(std::shared_ptr<machine> on, std::uint32_t node) : machine_{std::move(on)}, node_{node} {}
        ~powerless_lock() override {
            const unfailing_memory own;
            const std::scoped_lock guard{machine_->mutex};
            machine_->locked.erase(std::remove(machine_->locked.begin(), machine_->locked.end(), node_), machine_->locked.end());
        }

    private:
        const std::shared_ptr<machine> machine_;
        const std::uint32_t node_;
    };

    [[nodiscard]] std::error_code remove(const std::string& path, bool is_directory) {
        const unfailing_memory own;
        const std::scoped_lock guard{machine_->mutex};
        const auto where = machine_->find(path);
        if (!where || !where->node) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        const disk_node& node = machine_->state().nodes[*where->node];
        if (node.is_directory != is_directory) {
            return std::make_error_code(is_directory ? std::errc::not_a_directory : std::errc::is_a_directory);
        }
        if (is_directory && !node.entries.all().empty()) {
            return std::make_error_code(std::errc::directory_not_empty);
        }
        const std::error_code code = machine_->begin("remove");
        if (!code) {
            machine_->change(where->directory, {directory_change::kind::remove, where->name, 0, *where->node, machine_->state().time});
        }
        return code;
    }

    const std::shared_ptr<machine> machine_;
    std::atomic<std::int64_t> clock_{1'000'000'000};
};

}  // namespace brook::test
