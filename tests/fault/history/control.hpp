/// \file fault/history/control.hpp
/// What the processes of a run tell each other: one page that all of them map.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace brook::test::history {

inline constexpr std::size_t most_partitions = 8;
inline constexpr std::size_t node_count = 3;

/// Broker n listens at base + n, and is dialled by m at base + 10 * m + n, where the proxy is.
[[nodiscard]] constexpr std::uint16_t listening_port(std::uint16_t base, int node) noexcept { return static_cast<std::uint16_t>(base + node); }
[[nodiscard]] constexpr std::uint16_t dialled_port(std::uint16_t base, int from, int to) noexcept { return static_cast<std::uint16_t>(base + 10 * from + to); }
inline constexpr int last_port = 10 * static_cast<int>(node_count) + static_cast<int>(node_count) - 1;  ///< from base

enum class phase : std::uint32_t {
    running,  ///< everybody works, and anything may fail
    drain,    ///< nothing fails any more; producers end, groups come to the end of what there is
    audit,    ///< members leave; each broker's copy is read from its start to its end
    leave,    ///< everybody goes
};

/// Threads   shared by all processes: what is atomic at any time; the rest is set before the first of them starts.
struct control {
    // How it is run.
    std::uint64_t seed = 0;
    std::int64_t election_timeout = 0;  ///< in ns
    std::int64_t session_timeout = 0;
    std::uint32_t rate = 0;             ///< records a second, of all producers together
    std::uint32_t partitions = 0;
    std::uint32_t producers = 0;        ///< of each process
    std::uint32_t members = 0;
    std::uint16_t base_port = 0;
    bool is_encrypted = false;

    // How far it is.
    std::atomic<phase> at{phase::running};
    std::atomic<std::uint32_t> next_actor{1};
    std::atomic<std::uint64_t> acknowledged{0};
    std::array<std::atomic<std::int64_t>, most_partitions> acknowledged_end{};  ///< behind the last record that was
    std::array<std::atomic<std::int64_t>, most_partitions> group_end{};         ///< how far the group has committed
    std::array<std::atomic<std::uint64_t>, most_partitions> leader{};           ///< epoch, and in the lowest byte who

    struct node {
        std::atomic<std::uint32_t> ready{0};    ///< the life in which it last came up; the first is 1
        std::atomic<std::uint32_t> drained{0};
        std::atomic<std::uint32_t> audited{0};
        std::atomic<std::uint64_t> surprises{0};  ///< failures that say neither that nothing was done, nor that it is unknown
    };
    std::array<node, node_count + 1> nodes{};  // by number
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::is_trivially_destructible_v<control>);

/// Raises it to at least that.
template <class T>
void raise_to(std::atomic<T>& what, T at_least) noexcept {
    for (T seen = what.load(); seen < at_least && !what.compare_exchange_weak(seen, at_least);) {
    }
}

[[nodiscard]] inline std::string history_file(const std::string& directory, int node, std::uint32_t life) {
    return directory + "/history-" + std::to_string(node) + '-' + std::to_string(life);
}

}  // namespace brook::test::history
