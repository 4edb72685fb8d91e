#include <brook/os/posix.hpp>  // first, so that it must stand alone

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/from_disk.hpp"
#include "support/temp_directory.hpp"

namespace os_posix_test {

using namespace std::chrono_literals;
using brook::kib;
using brook::mib;
using brook::os::directory_entry;
using brook::os::entry_kind;
using brook::os::file;
using brook::os::file_identity;
using brook::os::filesystem;
using brook::os::mapping;
using brook::os::open_mode;
using brook::os::posix;
using brook::test::temp_directory;

namespace {

std::unique_ptr<file> create(const std::string& path) {
    std::error_code code;
    auto created = posix().open(path, open_mode::create, code);
    INFO(path << ": " << code.message());
    REQUIRE(created);
    return created;
}

std::unique_ptr<mapping> map(file& mapped, std::size_t size) {
    std::error_code code;
    auto result = mapped.map(size, code);
    INFO(code.message());
    REQUIRE(result);
    return result;
}

std::string text_of(const file& from, std::uint64_t position, std::size_t size) {
    std::string text(size, '?');
    REQUIRE_FALSE(from.read_at(position, std::as_writable_bytes(std::span{text})));
    return text;
}

std::string text_at(const mapping& mapped, std::size_t position, std::size_t size) {
    return std::string{brook::as_text({mapped.data() + position, size})};
}

void put(const mapping& mapped, std::size_t position, std::string_view text) {
    std::memcpy(mapped.data() + position, text.data(), text.size());
}

/// How many pages of [begin, end) are in the process' page tables, and how many are not; neither where that is not to be seen.
/// Not mincore(2): that would count what readahead brought into the page cache. proc(5), pagemap.
std::pair<std::size_t, std::size_t> pages_of(const mapping& mapped, std::size_t begin, std::size_t end) {
    const std::size_t page = brook::os::detail::page_size();
    const brook::os::detail::descriptor pagemap{::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
    std::pair<std::size_t, std::size_t> found{};
    for (std::size_t at = begin / page * page; at < end; at += page) {
        const std::uint64_t number = std::bit_cast<std::uintptr_t>(mapped.data() + at) / page;
        std::uint64_t entry = 0;
        if (::pread(pagemap.number(), &entry, sizeof entry, static_cast<off_t>(number * sizeof entry)) > 0) {
            ++(entry >> 63 != 0 ? found.first : found.second);
        }
    }
    return found;
}

struct stat status_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::lstat(path.c_str(), &status) == 0);
    return status;
}

std::uint64_t disk_space_of(const std::string& path) {
    return static_cast<std::uint64_t>(status_of(path).st_blocks) * 512;
}

/// Runs `body` in a forked process, and gives what it returned; 128 and more: the signal that ended it.
template <class Body>
int in_a_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(body());
    }
    REQUIRE(child > 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// A forked process that runs `body`, says so, and stays until it is told to go or is killed.
class staying_child {
public:
    template <class Body>
    explicit staying_child(Body body) {
        int ready[2];
        int leave[2];
        REQUIRE(::pipe(ready) == 0);
        REQUIRE(::pipe(leave) == 0);
        child_ = ::fork();
        if (child_ == 0) {
            ::close(leave[1]);
            [[maybe_unused]] const auto kept = body();
            char word = 'r';
            if (::write(ready[1], &word, 1) == 1 && ::read(leave[0], &word, 1) >= 0) {
                ::_exit(0);
            }
            ::_exit(1);
        }
        REQUIRE(child_ > 0);
        ::close(ready[1]);
        ::close(leave[0]);
        leave_ = leave[1];
        char word = 0;
        const bool is_ready = ::read(ready[0], &word, 1) == 1;
        ::close(ready[0]);
        REQUIRE(is_ready);
    }
    ~staying_child() { end(SIGKILL); }

    void kill() { end(SIGKILL); }

private:
    void end(int signal) {
        if (child_ > 0) {
            ::kill(child_, signal);
            ::waitpid(child_, nullptr, 0);
            ::close(leave_);
            child_ = -1;
        }
    }

    pid_t child_ = -1;
    int leave_ = -1;
};

/// A small tmpfs, mounted for one test; unmounted by the destructor. Needs root.
class small_disk {
public:
    small_disk(std::string directory, const char* options) : directory_{std::move(directory)} {
        is_mounted_ = ::mount("brook", directory_.c_str(), "tmpfs", 0, options) == 0;
        if (!is_mounted_) {
            WARN("skipped: no tmpfs can be mounted here: " << std::strerror(errno));
        }
    }
    small_disk(const small_disk&) = delete;
    small_disk& operator=(const small_disk&) = delete;
    ~small_disk() {
        if (is_mounted_) {
            ::umount2(directory_.c_str(), MNT_DETACH);
        }
    }

    explicit operator bool() const noexcept { return is_mounted_; }

private:
    std::string directory_;
    bool is_mounted_ = false;
};

/// Whether a thread of this process sleeps in the kernel.
bool sleeps(pid_t thread) {
    std::ifstream in{"/proc/self/task/" + std::to_string(thread) + "/stat"};
    std::string text;
    std::getline(in, text);
    const std::size_t name_end = text.rfind(')');
    return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] == 'S';
}

}  // namespace

// ---- files ----

TEST_CASE("posix opens regular files and nothing else", "[os][posix]") {
    const temp_directory directory;
    const std::string path = directory / "it";
    const auto [what, make] = GENERATE_COPY(Catch::Generators::table<std::string, int (*)(const std::string&)>({
        {"a symbolic link to a regular file",
         [](const std::string& at) {
             std::ofstream{at + ".target"} << "x";
             return ::symlink((at + ".target").c_str(), at.c_str());
         }},
        {"a symbolic link to nothing", [](const std::string& at) { return ::symlink("nothing", at.c_str()); }},
        {"a FIFO, on which an open would wait", [](const std::string& at) { return ::mkfifo(at.c_str(), 0600); }},
        {"a directory", [](const std::string& at) { return ::mkdir(at.c_str(), 0700); }},
        {"a socket", [](const std::string& at) { return ::mknod(at.c_str(), S_IFSOCK | 0600, 0); }},
    }));
    CAPTURE(what);
    REQUIRE(make(path) == 0);

    std::error_code code;
    CHECK_FALSE(posix().open(path, open_mode::read_write, code));
    CHECK(code == std::errc::not_supported);

    CHECK_FALSE(posix().open(path, open_mode::read_only, code));
    CHECK(code == std::errc::not_supported);

    CHECK_FALSE(posix().lock_file(path, code));
    CHECK(code == std::errc::not_supported);

    CHECK_FALSE(posix().open(path, open_mode::create, code));
    CHECK(code == std::errc::file_exists);
    CHECK(::access((directory / "nothing").c_str(), F_OK) == -1);  // made through no link
}

TEST_CASE("posix refuses a file that belongs to somebody else", "[os][posix]") {
    const temp_directory directory;
    const std::string path = directory / "theirs";
    create(path);
    if (::chown(path.c_str(), 65'534, 65'534) != 0) {
        WARN("skipped: only root can give a file away");
        return;
    }
    if (::geteuid() == 65'534) {
        WARN("skipped: we are the other user");
        return;
    }
    std::error_code code;
    CHECK_FALSE(posix().open(path, open_mode::read_write, code));
    CHECK(code == std::errc::operation_not_permitted);
    CHECK_FALSE(posix().lock_file(path, code));
    CHECK(code == std::errc::operation_not_permitted);
    CHECK(posix().open(path, open_mode::read_only, code));  // who may read may look
    CHECK_FALSE(code);
}

TEST_CASE("posix lets nobody change a file that was opened to be read", "[os][posix]") {
    const temp_directory directory;
    const std::string path = directory / "file";
    REQUIRE_FALSE(create(path)->write_at(0, brook::as_bytes("as it was")));

    std::error_code code;
    const auto opened = posix().open(path, open_mode::read_only, code);
    REQUIRE(opened);
    CHECK(text_of(*opened, 0, 9) == "as it was");
    CHECK(opened->write_at(0, brook::as_bytes("changed")));
    CHECK(opened->allocate(0, 8192));
    CHECK(opened->punch(0, 4096));
    CHECK_FALSE(opened->map(4096, code));
    CHECK(code == std::errc::permission_denied);
    CHECK(text_of(*opened, 0, 9) == "as it was");

    CHECK_FALSE(posix().open(directory / "missing", open_mode::read_only, code));
    CHECK(code == std::errc::no_such_file_or_directory);
    CHECK_FALSE(std::filesystem::exists(directory / "missing"));
}

TEST_CASE("posix creates what was not there, for its user alone", "[os][posix]") {
    const temp_directory directory;
    const mode_t before = ::umask(0);
    const auto created = create(directory / "new");
    const std::error_code made = posix().make_directory(directory / "inner");
    ::umask(before);
    REQUIRE_FALSE(made);

    CHECK((status_of(directory / "new").st_mode & 07777) == 0600);
    CHECK((status_of(directory / "inner").st_mode & 07777) == 0700);

    std::error_code code;
    CHECK_FALSE(posix().open(directory / "new", open_mode::create, code));
    CHECK(code == std::errc::file_exists);
    CHECK(posix().make_directory(directory / "inner") == std::errc::file_exists);
    CHECK(posix().make_directory(directory / "new") == std::errc::file_exists);

    CHECK(posix().open(directory / "new", open_mode::read_write, code));
    CHECK_FALSE(code);
    CHECK_FALSE(posix().open(directory / "missing", open_mode::read_write, code));
    CHECK(code == std::errc::no_such_file_or_directory);
}

TEST_CASE("posix leaks no descriptor into a program that is executed", "[os][posix]") {
    const temp_directory directory;
    std::error_code code;
    const auto opened = create(directory / "file");
    const auto locked = posix().lock_file(directory / "lock", code);
    REQUIRE(locked);

    int found = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code gone;  // the iterator's own is among them
        const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
        if (target == directory / "file" || target == directory / "lock") {
            ++found;
            CHECK((::fcntl(std::stoi(entry.path().filename().string()), F_GETFD) & FD_CLOEXEC) != 0);
        }
    }
    CHECK(found == 2);
}

TEST_CASE("posix reads back what it wrote, all of it or an error", "[os][posix]") {
    const temp_directory directory;
    const auto opened = create(directory / "file");
    REQUIRE_FALSE(opened->write_at(3, brook::as_bytes("brook")));
    REQUIRE_FALSE(opened->write_at(0, {}));

    std::uint64_t size = 0;
    REQUIRE_FALSE(opened->size(size));
    CHECK(size == 8);
    CHECK(text_of(*opened, 0, 8) == std::string("\0\0\0brook", 8));
    CHECK(text_of(*opened, 8, 0).empty());

    std::array<std::byte, 4> into{};
    CHECK(opened->read_at(5, into) == std::errc::io_error);  // it ends one byte too early
    CHECK(opened->read_at(100, into) == std::errc::io_error);
    CHECK_FALSE(opened->sync());
    opened->start_writeback(0, 8);
}

TEST_CASE("posix calls again when a signal interrupts, and only then", "[os][posix]") {
    int calls = 0;
    const int result = brook::os::detail::uninterrupted([&] {
        errno = ++calls < 3 ? EINTR : EIO;
        return -1;
    });
    CHECK(result == -1);
    CHECK(calls == 3);
}

TEST_CASE("posix takes disk space without touching what is there, and gives it back", "[os][posix]") {
    const temp_directory directory;
    const auto opened = create(directory / "file");
    REQUIRE_FALSE(opened->write_at(0, brook::as_bytes("brook")));

    REQUIRE_FALSE(opened->allocate(0, mib));
    std::uint64_t size = 0;
    REQUIRE_FALSE(opened->size(size));
    CHECK(size == mib);
    CHECK(disk_space_of(directory / "file") >= mib);
    CHECK(text_of(*opened, 0, 6) == std::string("brook\0", 6));
    CHECK(text_of(*opened, mib - 4, 4) == std::string(4, '\0'));

    REQUIRE_FALSE(opened->allocate(mib, 64 * kib));
    REQUIRE_FALSE(opened->size(size));
    CHECK(size == mib + 64 * kib);

    REQUIRE_FALSE(opened->write_at(512 * kib, brook::as_bytes("kept")));
    REQUIRE_FALSE(opened->punch(0, 512 * kib));
    REQUIRE_FALSE(opened->size(size));
    CHECK(size == mib + 64 * kib);
    CHECK(disk_space_of(directory / "file") <= mib);
    CHECK(text_of(*opened, 0, 5) == std::string(5, '\0'));
    CHECK(text_of(*opened, 512 * kib, 4) == "kept");
}

TEST_CASE("a full disk is an error of allocate, and the same file goes on when there is room", "[os][posix]") {
    const temp_directory directory;
    const small_disk disk{directory.path(), "size=1m"};
    if (!disk) {
        return;
    }
    const auto opened = create(directory / "file");
    REQUIRE_FALSE(opened->allocate(0, 256 * kib));
    const auto mapped = map(*opened, 4 * mib);
    put(*mapped, 0, "brook");

    const auto ballast = create(directory / "ballast");
    REQUIRE_FALSE(ballast->allocate(0, 512 * kib));

    CHECK(opened->allocate(256 * kib, 512 * kib) == std::errc::no_space_on_device);
    CHECK(text_at(*mapped, 0, 5) == "brook");
    if (const std::error_code code = mapped->populate(mib, mib); code != std::errc::invalid_argument) {
        CHECK(code == std::errc::bad_address);  // an error, where a store would have been a SIGBUS
    }

    REQUIRE_FALSE(posix().remove(directory / "ballast"));
    REQUIRE_FALSE(ballast->punch(0, 512 * kib));
    REQUIRE_FALSE(opened->allocate(256 * kib, 512 * kib));
    put(*mapped, 768 * kib - 5, "brook");
    CHECK(text_of(*opened, 768 * kib - 5, 5) == "brook");
}

// ---- mappings ----

TEST_CASE("a posix mapping is the file, and may reach past its end", "[os][posix]") {
    const temp_directory directory;
    auto opened = create(directory / "file");
    const auto mapped = map(*opened, 4 * mib);  // of an empty file
    CHECK(mapped->size() == 4 * mib);

    REQUIRE_FALSE(opened->allocate(0, 64 * kib));
    put(*mapped, 100, "stored");
    CHECK(text_of(*opened, 100, 6) == "stored");
    REQUIRE_FALSE(opened->write_at(200, brook::as_bytes("written")));
    CHECK(text_at(*mapped, 200, 7) == "written");

    REQUIRE_FALSE(opened->allocate(64 * kib, mib));
    put(*mapped, mib, "grown");
    CHECK(text_of(*opened, mib, 5) == "grown");

    opened.reset();
    put(*mapped, 100, "later!");  // the mapping needs no open file
    std::error_code code;
    opened = posix().open(directory / "file", open_mode::read_write, code);
    REQUIRE(opened);
    CHECK(text_of(*opened, 100, 6) == "later!");

    CHECK_FALSE(opened->map(0, code));
    CHECK(code == std::errc::invalid_argument);
}

TEST_CASE("populate brings whole pages into memory, and fails where no disk space was taken", "[os][posix]") {
    const temp_directory directory;
    const auto opened = create(directory / "file");
    const auto mapped = map(*opened, 2 * mib);
    REQUIRE_FALSE(opened->allocate(0, mib));

    const std::error_code code = mapped->populate(100'000, 200'000);
    if (code == std::errc::invalid_argument) {
        WARN("skipped: this kernel has no MADV_POPULATE_WRITE");
        return;
    }
    REQUIRE_FALSE(code);
    CHECK_FALSE(mapped->populate(0, 0));

    const auto [there, missing] = pages_of(*mapped, 100'000, 300'000);
    CHECK(missing == 0);
    if (there == 0) {
        WARN("skipped: no page tables to be seen here");
    }
    const std::size_t page = brook::os::detail::page_size();

    CHECK(mapped->populate(mib, page) == std::errc::bad_address);
    CHECK(text_at(*mapped, 100'000, 4) == std::string(4, '\0'));
}

TEST_CASE("pages that are released are in no page table, and keep what was stored", "[os][posix]") {
    const temp_directory directory;
    const auto opened = create(directory / "file");
    const auto mapped = map(*opened, 2 * mib);
    REQUIRE_FALSE(opened->allocate(0, mib));
    put(*mapped, 5, "before");
    put(*mapped, mib - 6, "at end");
    mapped->release_pages();
    const auto [there, missing] = pages_of(*mapped, 0, mib);
    CHECK(there == 0);
    if (missing == 0) {
        WARN("skipped: no page tables to be seen here");
    }
    CHECK(text_of(*opened, 5, 6) == "before");
    CHECK(text_at(*mapped, 5, 6) == "before");
    CHECK(text_at(*mapped, mib - 6, 6) == "at end");
    put(*mapped, 5, "behind");
    CHECK_FALSE(opened->write_back(0, mib));
    CHECK(text_of(*opened, 5, 6) == "behind");
}

TEST_CASE("writing back changes nothing, and where there is no such call that is no error", "[os][posix]") {
    const temp_directory directory;
    const auto opened = create(directory / "file");
    REQUIRE_FALSE(opened->allocate(0, 5 * mib));
    REQUIRE_FALSE(opened->write_at(5 * mib - 3, brook::as_bytes("end")));
    CHECK_FALSE(opened->write_back(0, 2 * mib));
    CHECK_FALSE(opened->write_back(4 * mib, 2 * mib));  // beyond the end, too
    CHECK(text_of(*opened, 5 * mib - 3, 3) == "end");
    using brook::os::detail::descriptor;
    brook::os::detail::posix_file device{std::make_shared<descriptor>(::open("/dev/null", O_RDWR | O_CLOEXEC))};
    CHECK_FALSE(device.write_back(0, mib));
}

TEST_CASE("a detached mapping keeps its contents, and its stores never reach the file", "[os][posix]") {
    const temp_directory directory;
    auto opened = create(directory / "file");
    REQUIRE_FALSE(opened->allocate(0, 64 * kib));
    const auto mapped = map(*opened, mib);
    const auto other = map(*opened, mib);
    put(*mapped, 0, "shared");
    const std::byte* const before = mapped->data();

    const bool is_file_open = GENERATE(true, false);
    CAPTURE(is_file_open);
    if (!is_file_open) {
        opened.reset();
    }
    REQUIRE_FALSE(mapped->detach());
    CHECK(mapped->data() == before);
    CHECK(text_at(*mapped, 0, 6) == "shared");

    put(*mapped, 0, "mine!!");
    put(*mapped, 32 * kib, "mine!!");
    CHECK(text_at(*mapped, 0, 6) == "mine!!");
    CHECK(text_at(*other, 0, 6) == "shared");
    CHECK(text_at(*other, 32 * kib, 6) == std::string(6, '\0'));

    put(*other, 0, "theirs");
    CHECK(text_at(*mapped, 0, 6) == "mine!!");

    CHECK_FALSE(mapped->detach());  // once more changes nothing
    CHECK(text_at(*mapped, 0, 6) == "mine!!");
}

TEST_CASE("a thread that stores while its mapping is detached notices nothing", "[os][posix]") {
    const temp_directory directory;
    const auto opened = create(directory / "file");
    REQUIRE_FALSE(opened->allocate(0, 64 * kib));
    for (int round = 0; round < 50; ++round) {
        const auto mapped = map(*opened, 64 * kib);
        std::atomic<std::uint32_t> stored{0};
        std::atomic<bool> stop{false};
        std::thread writer{[&] {
            while (!stop.load()) {
                for (std::size_t at = 0; at < 64 * kib; at += 4 * kib) {
                    brook::atomic_at<std::uint64_t>(mapped->data() + at).store(at + 1);
                }
                stored.fetch_add(1);
            }
        }};
        const auto wait_for_rounds = [&](std::uint32_t count) {
            for (const std::uint32_t before = stored.load(); stored.load() - before < count;) {
                posix().yield();
            }
        };
        wait_for_rounds(2);
        const std::error_code code = mapped->detach();
        wait_for_rounds(2);
        stop.store(true);
        writer.join();
        REQUIRE_FALSE(code);
        REQUIRE(brook::load<std::uint64_t>(mapped->data() + 60 * kib) == 60 * kib + 1);
    }
}

// ---- identity ----

TEST_CASE("an identity stays with the file, and no file put in its place has it", "[os][posix]") {
    const temp_directory directory;
    file_identity first;
    REQUIRE_FALSE(create(directory / "file")->identity(first));
    CHECK(first != file_identity{});
    CHECK(first.boot_id != std::array<std::byte, 16>{});

    SECTION("opened again, grown and renamed it is the same") {
        REQUIRE_FALSE(posix().rename_to_new(directory / "file", directory / "renamed"));
        std::error_code code;
        const auto opened = posix().open(directory / "renamed", open_mode::read_write, code);
        REQUIRE(opened);
        REQUIRE_FALSE(opened->allocate(0, 64 * kib));
        file_identity again;
        REQUIRE_FALSE(opened->identity(again));
        CHECK(again == first);
    }
    SECTION("a process forked from this one, with its own look at the boot, agrees") {
        CHECK(in_a_child([&] { return brook::os::detail::read_boot_id() == first.boot_id ? 0 : 1; }) == 0);
    }
    SECTION("another file has another") {
        file_identity other;
        REQUIRE_FALSE(create(directory / "other")->identity(other));
        CHECK(other != first);
    }
    SECTION("a file that replaces it has another, even on the same inode") {
        REQUIRE_FALSE(posix().remove(directory / "file"));
        // A birth time is the kernel's coarse clock at creation: let that move on before the file is made again.
        const auto coarse = [] { return brook::os::detail::kernel_nanoseconds(CLOCK_REALTIME_COARSE); };
        for (const std::int64_t before = coarse(); coarse() == before;) {
            posix().yield();
        }
        file_identity replaced;
        REQUIRE_FALSE(create(directory / "file")->identity(replaced));
        if (replaced.birth_time_ns == 0 && replaced.inode == first.inode) {
            WARN("skipped: this file system keeps no birth times");
        } else {
            CHECK(replaced != first);
        }
    }
}

// ---- directories ----

TEST_CASE("rename_to_new moves a file, and never onto another", "[os][posix]") {
    const temp_directory directory;
    REQUIRE_FALSE(create(directory / "from")->write_at(0, brook::as_bytes("from")));
    REQUIRE_FALSE(create(directory / "there")->write_at(0, brook::as_bytes("there")));

    CHECK(posix().rename_to_new(directory / "from", directory / "there") == std::errc::file_exists);
    CHECK(posix().rename_to_new(directory / "missing", directory / "to") == std::errc::no_such_file_or_directory);
    std::error_code code;
    CHECK(text_of(*posix().open(directory / "there", open_mode::read_write, code), 0, 5) == "there");

    REQUIRE_FALSE(posix().rename_to_new(directory / "from", directory / "to"));
    CHECK(text_of(*posix().open(directory / "to", open_mode::read_write, code), 0, 4) == "from");
    CHECK_FALSE(posix().open(directory / "from", open_mode::read_write, code));
    CHECK(code == std::errc::no_such_file_or_directory);
    CHECK_FALSE(posix().sync_directory(directory.path()));
}

TEST_CASE("rename_over takes the name from another file, which stays with who has it open", "[os][posix]") {
    const temp_directory directory;
    REQUIRE_FALSE(create(directory / "new")->write_at(0, brook::as_bytes("new")));
    const auto old = create(directory / "there");
    REQUIRE_FALSE(old->write_at(0, brook::as_bytes("old")));

    CHECK(posix().rename_over(directory / "missing", directory / "there") == std::errc::no_such_file_or_directory);
    REQUIRE_FALSE(posix().rename_over(directory / "new", directory / "there"));
    std::error_code code;
    CHECK(text_of(*posix().open(directory / "there", open_mode::read_write, code), 0, 3) == "new");
    CHECK_FALSE(posix().open(directory / "new", open_mode::read_write, code));
    CHECK(text_of(*old, 0, 3) == "old");
    REQUIRE_FALSE(posix().rename_over(directory / "there", directory / "free"));  // or nobody has it
    CHECK(text_of(*posix().open(directory / "free", open_mode::read_write, code), 0, 3) == "new");
}

TEST_CASE("posix reads what the disk has, past the page cache", "[os][posix]") {
    const temp_directory directory{GENERATE(std::string{"/tmp"}, std::string{"/dev/shm"})};
    CAPTURE(directory.path());
    const auto written = create(directory / "file");
    std::string text(300 * kib + 77, 'a');
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] = static_cast<char>('a' + i % 23);
    }
    REQUIRE_FALSE(written->write_at(0, brook::as_bytes(text)));
    REQUIRE_FALSE(written->sync());
    const auto read = [&](std::uint64_t position, std::size_t size) {
        std::string found(size, '?');
        const auto code = brook::test::read_from_disk(*written, position, std::as_writable_bytes(std::span{found}));
        return code ? code.message() : found;
    };
    std::array<std::byte, 1> one;
    if (brook::test::read_from_disk(*written, 0, one) == std::errc::not_supported) {
        WARN("skipped: this file system has only the page cache to read from");
        return;
    }
    CHECK(read(0, text.size()) == text);
    CHECK(read(4096, 5) == text.substr(4096, 5));
    CHECK(read(296 * kib, 4 * kib + 77) == text.substr(296 * kib));  // up to the end
    CHECK(brook::test::read_from_disk(*written, 300 * kib, std::as_writable_bytes(std::span{text})) == std::errc::io_error);  // and not beyond
    CHECK(read(0, 0) == "");
    const auto mapped = map(*written, 304 * kib);
    std::memset(mapped->data(), 'x', 8 * kib);
    REQUIRE_FALSE(written->sync());
    CHECK(read(4 * kib, 8 * kib) == std::string(4 * kib, 'x') + text.substr(8 * kib, 4 * kib));
}

TEST_CASE("posix removes files and empty directories", "[os][posix]") {
    const temp_directory directory;
    REQUIRE_FALSE(posix().make_directory(directory / "inner"));
    create(directory / "inner/file");

    CHECK(posix().remove_directory(directory / "inner") == std::errc::directory_not_empty);
    CHECK(posix().remove_directory(directory / "inner/file") == std::errc::not_a_directory);
    CHECK(posix().remove(directory / "inner") == std::errc::is_a_directory);
    CHECK_FALSE(posix().remove(directory / "inner/file"));
    CHECK(posix().remove(directory / "inner/file") == std::errc::no_such_file_or_directory);
    CHECK_FALSE(posix().remove_directory(directory / "inner"));
    CHECK(posix().sync_directory(directory / "inner") == std::errc::no_such_file_or_directory);
}

TEST_CASE("posix lists a directory by name and kind, and follows no link", "[os][posix]") {
    const temp_directory directory;
    create(directory / "file");
    REQUIRE_FALSE(posix().make_directory(directory / "inner"));
    REQUIRE(::symlink("inner", (directory / "link").c_str()) == 0);
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);

    std::vector<directory_entry> entries{{"from before", entry_kind::file}};
    REQUIRE_FALSE(posix().list(directory.path(), entries));
    std::set<std::pair<std::string, entry_kind>> found;
    for (const directory_entry& entry : entries) {
        found.emplace(entry.name, entry.kind);
    }
    CHECK(found == std::set<std::pair<std::string, entry_kind>>{{"fifo", entry_kind::other},
                                                                {"file", entry_kind::file},
                                                                {"inner", entry_kind::directory},
                                                                {"link", entry_kind::other}});
    CHECK(entries.size() == found.size());

    REQUIRE_FALSE(posix().list(directory / "inner", entries));
    CHECK(entries.empty());

    const std::string path = GENERATE(as<std::string>{}, "file", "link", "fifo");
    CAPTURE(path);
    CHECK(posix().list(directory / path, entries) == std::errc::not_a_directory);
    CHECK(posix().sync_directory(directory / path) == std::errc::not_a_directory);
    CHECK(posix().list(directory / "missing", entries) == std::errc::no_such_file_or_directory);
    CHECK_FALSE(posix().list(directory / "link/", entries));  // a slash allows the link
}

TEST_CASE("posix promises mapped writes where they are known to hold", "[os][posix]") {
    CHECK(posix().filesystem_of("/proc/self") == filesystem::unknown);
    CHECK(posix().filesystem_of("/nowhere/to/be/found") == filesystem::unknown);

    const temp_directory directory;
    if (const small_disk disk{directory.path(), "size=64k"}; disk) {
        CHECK(posix().filesystem_of(directory.path()) == filesystem::mapped_writes_promised);
    }
}

// ---- locks ----

TEST_CASE("a lock file has one holder, in this process and in any other", "[os][posix]") {
    const temp_directory directory;
    const std::string path = directory / "broker.lock";
    std::error_code code;
    auto held = posix().lock_file(path, code);
    REQUIRE(held);
    CHECK((status_of(path).st_mode & 07777) == 0600);

    const auto try_here = [&] {
        std::error_code refused;
        return posix().lock_file(path, refused) ? std::error_code{} : refused;
    };
    const auto try_in_a_child = [&] { return in_a_child([&] { return try_here().value(); }); };

    SECTION("a second try is refused and disturbs nothing") {
        CHECK(try_here() == std::errc::resource_unavailable_try_again);
        CHECK(try_here() == std::errc::resource_unavailable_try_again);
        CHECK(try_in_a_child() == EAGAIN);
    }
    SECTION("letting go frees it, a file left behind does not hold it") {
        held.reset();
        CHECK(try_in_a_child() == 0);
        CHECK_FALSE(try_here());
    }
    SECTION("a forked child that lets go of its copy does not free it") {
        CHECK(in_a_child([&] {
                  held.reset();
                  return 0;
              }) == 0);
        CHECK(try_here() == std::errc::resource_unavailable_try_again);
    }
    SECTION("a forked child that lives on does not keep it") {
        const staying_child child{[] { return 0; }};
        CHECK(try_here() == std::errc::resource_unavailable_try_again);
        held.reset();
        CHECK_FALSE(try_here());
    }
    SECTION("it names its holder, for people") {
        std::ifstream in{path};
        pid_t holder = 0;
        in >> holder;
        CHECK(holder == ::getpid());
    }
}

TEST_CASE("a lock is free as soon as its holder is dead", "[os][posix]") {
    const temp_directory directory;
    const std::string path = directory / "broker.lock";
    std::error_code code;
    staying_child holder{[&] {
        std::error_code in_child;
        return posix().lock_file(path, in_child);
    }};
    CHECK_FALSE(posix().lock_file(path, code));
    CHECK(code == std::errc::resource_unavailable_try_again);

    holder.kill();
    CHECK(posix().lock_file(path, code));
    CHECK_FALSE(code);
}

// ---- time and chance ----

TEST_CASE("posix tells the time of the kernel's clock, and within a thread it never goes back", "[os][posix]") {
    struct outcome {
        std::int64_t calls = 0;
        std::int64_t steps_back = 0;
        std::int64_t strays = 0;
        std::int64_t farthest_ns = 0;
    };
    // Between two looks at the kernel's clock, with a millisecond to spare on either side; long enough that the length
    // of a tick has been measured more than once.
    const auto watch = [] {
        outcome seen;
        const auto begin = posix().monotonic();
        std::int64_t last = 0;
        while (seen.calls < 200'000 || posix().monotonic() - begin < 300ms) {
            const std::int64_t before = brook::os::detail::kernel_nanoseconds(CLOCK_REALTIME);
            const std::int64_t told = posix().now().time_since_epoch().count();
            const std::int64_t after = brook::os::detail::kernel_nanoseconds(CLOCK_REALTIME);
            const std::int64_t outside = told < before ? before - told : told > after ? told - after : 0;
            seen.farthest_ns = outside > seen.farthest_ns ? outside : seen.farthest_ns;
            seen.strays += outside > 1'000'000 ? 1 : 0;
            seen.steps_back += told < last ? 1 : 0;
            last = told;
            ++seen.calls;
        }
        return seen;
    };

    std::array<outcome, 3> seen;
    std::thread first{[&] { seen[0] = watch(); }};
    std::thread second{[&] { seen[1] = watch(); }};
    seen[2] = watch();
    first.join();
    second.join();
    for (const outcome& each : seen) {
        CAPTURE(each.calls, each.farthest_ns);
        CHECK(each.strays == 0);
        CHECK(each.steps_back == 0);
    }
}

#if defined(__x86_64__)
TEST_CASE("posix time follows a clock that is set, and stands still for less than a millisecond", "[os][posix]") {
    using brook::os::detail::kernel_nanoseconds;
    constexpr std::int64_t second = 1'000'000'000;
    brook::os::detail::thread_clock clock;
    const std::int64_t real = kernel_nanoseconds(CLOCK_REALTIME);

    SECTION("set back by an hour") {
        clock.last_ns = real + 3'600 * second;
        CHECK(clock.now() < real + 1'800 * second);
    }
    SECTION("set forward by an hour") {
        clock.last_ns = real - 3'600 * second;
        CHECK(clock.now() >= real);
    }
    SECTION("set back by less: time stands until it is caught up with") {
        std::int64_t told = 0;
        do {  // again, should we have been interrupted for half a millisecond
            clock.last_ns = kernel_nanoseconds(CLOCK_REALTIME) + 500'000;
            told = clock.now();
        } while (kernel_nanoseconds(CLOCK_REALTIME) > clock.last_ns);
        CHECK(told == clock.last_ns);
    }
    SECTION("set while an anchor holds: shown when that ends") {
        if (!brook::os::detail::kernel_counts_ticks()) {
            WARN("skipped: the kernel's clock is not the processor's counter");
            return;
        }
        const auto deadline = posix().monotonic() + 20s;
        const auto is_late = [&] { return posix().monotonic() > deadline; };
        while (clock.window_ticks == 0 && !is_late()) {  // until the length of a tick is known
            static_cast<void>(clock.now());
        }
        REQUIRE(clock.window_ticks != 0);
        clock.anchor_ns += 3'600 * second;
        while (clock.now() > kernel_nanoseconds(CLOCK_REALTIME) + second && !is_late()) {
        }
        CHECK_FALSE(is_late());
    }
}
#endif

TEST_CASE("posix counts time that never goes back, and gives a different number each time", "[os][posix]") {
    auto last = posix().monotonic();
    std::int64_t steps_back = 0;
    std::set<std::uint64_t> drawn;
    for (int i = 0; i < 10'000; ++i) {
        const auto time = posix().monotonic();
        steps_back += time < last ? 1 : 0;
        last = time;
        drawn.insert(posix().random());
    }
    CHECK(steps_back == 0);
    CHECK(drawn.size() == 10'000);
}

// ---- sleeping ----

TEST_CASE("wait returns at once when there is nothing to wait for", "[os][posix]") {
    std::atomic<std::uint32_t> word{7};
    posix().wait(word, 6, std::nullopt);  // the word has changed already
    posix().wait(word, 7, 0ns);
    posix().wait(word, 7, -5s);
    posix().wait(word, 7, std::chrono::nanoseconds::min());
    posix().wake_all(word);  // nobody there
    CHECK(word.load() == 7);
}

TEST_CASE("wait gives up after its timeout and not before", "[os][posix]") {
    std::atomic<std::uint32_t> word{0};
    const auto begin = posix().monotonic();
    int returns = 0;
    while (posix().monotonic() - begin < 30ms) {
        posix().wait(word, 0, 30ms - (posix().monotonic() - begin));
        ++returns;
    }
    CHECK(returns < 100);  // it slept; waking without reason is allowed, but not all the time
}

TEST_CASE("wake_all wakes everyone who waits, however long they meant to", "[os][posix]") {
    std::atomic<std::uint32_t> word{0};
    std::array<std::atomic<pid_t>, 3> sleepers{};
    const std::array<std::optional<std::chrono::nanoseconds>, 3> timeouts{
        std::nullopt, std::chrono::nanoseconds::max(), std::chrono::hours{24 * 365 * 200}};

    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < sleepers.size(); ++i) {
        threads.emplace_back([&, i] {
            sleepers[i].store(::gettid());
            while (word.load() == 0) {
                posix().wait(word, 0, timeouts[i]);
            }
        });
    }
    const auto deadline = posix().monotonic() + 20s;
    std::size_t asleep = 0;
    for (; asleep < sleepers.size() && posix().monotonic() < deadline;) {
        const pid_t thread = sleepers[asleep].load();
        if (thread != 0 && sleeps(thread)) {
            ++asleep;
        } else {
            posix().yield();
        }
    }
    CHECK(asleep == sleepers.size());

    word.store(1);
    posix().wake_all(word);
    for (std::thread& thread : threads) {
        thread.join();
    }
}

// ---- fork ----

TEST_CASE("a forked child finds zeros where its parent wrote, and so finds out what it is", "[os][posix]") {
    const std::size_t size = GENERATE(8u, 4'096u, 10'000u);
    CAPTURE(size);
    auto* const memory = static_cast<unsigned char*>(posix().allocate_wiped_on_fork(size));
    REQUIRE(memory != nullptr);
    const auto all_are = [&](unsigned char value) {
        for (std::size_t i = 0; i < size; ++i) {
            if (memory[i] != value) {
                return false;
            }
        }
        return true;
    };
    CHECK(all_are(0));
    std::memset(memory, 42, size);
    CHECK(in_a_child([&] { return all_are(0) ? 0 : 1; }) == 0);
    CHECK(all_are(42));
    posix().release_wiped_on_fork(memory, size);
}

TEST_CASE("memory that cannot be had is std::bad_alloc", "[os][posix]") {
    CHECK_THROWS_AS(posix().allocate_wiped_on_fork(std::size_t{1} << 60), std::bad_alloc);
}

}  // namespace os_posix_test
