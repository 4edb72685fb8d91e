/// \file brook/transport/bodies/virtual_switch.hpp
/// The functions that virtual_switch.hpp declares.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>
#include <brook/os/thread.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/memory_network_options.hpp>
#include <brook/transport/virtual_switch.hpp>

namespace brook::inline BROOK_ABI::transport_room {

BROOK_INLINE std::uint64_t random_sequence::next() noexcept {
    state_ += 0x9E37'79B9'7F4A'7C15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58'476D'1CE4'E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D0'49BB'1331'11EB;
    return mixed ^ (mixed >> 31);
}

BROOK_INLINE bool random_sequence::happens(double rate) noexcept {
    return rate > 0 && static_cast<double>(next() >> 11) * 0x1p-53 < rate;
}

BROOK_INLINE virtual_switch::virtual_switch(const memory_network_options& options)
    : options_{options}, platform_{options.platform != nullptr ? *options.platform : os::posix()}, random_{options.seed} {
    check(options);
}

BROOK_INLINE std::shared_ptr<port> virtual_switch::join(int id) {
    auto made = std::make_shared<port>(id);
    const std::lock_guard lock{mutex_};
    node_of(id);
    return made;
}

BROOK_INLINE void virtual_switch::start(const std::shared_ptr<port>& at, transport::receiver& to) noexcept {
    const std::lock_guard lock{mutex_};
    BROOK_ASSERT(at->to == nullptr);
    at->to = &to;
    find_node(at->node)->at = at;
}

BROOK_INLINE void virtual_switch::stop(port& at) noexcept {
    std::unique_lock lock{mutex_};
    at.to = nullptr;
    if (node* const mine = find_node(at.node); mine->at.get() == &at) {
        mine->at = nullptr;
    }
    bool is_inside = false;
    for (telling* here = innermost(); here != nullptr; here = here->outer) {
        if (here->at == &at) {
            is_inside = true;
            if (!here->has_stopped) {
                here->has_stopped = true;
                ++at.stopped_inside;
                announce(at);  // others that are inside do not wait for this one
            }
        }
    }
    while (at.telling != (is_inside ? at.stopped_inside : 0)) {
        const std::uint32_t seen = at.told.load(std::memory_order_relaxed);
        ++at.waiting;
        lock.unlock();
        platform_.wait(at.told, seen, std::nullopt);
        lock.lock();
        --at.waiting;
    }
}

BROOK_INLINE void virtual_switch::send(const port& from, int to, bytes datagram) noexcept {
    std::unique_lock lock{mutex_};
    ++counts_.sent;
    if (datagram.size() > options_.largest_datagram) {
        ++counts_.oversized;
        return;
    }
    if (from.to == nullptr || to == from.node || find_node(to) == nullptr) {
        ++counts_.unreachable;
        return;
    }
    if (is_cut(from.node, to)) {
        ++counts_.cut;
        return;
    }
    const memory_network_faults faults = faults_of(from.node, to);
    if (random_.happens(faults.drop)) {
        ++counts_.dropped;
        return;
    }
    int copies = 1;
    if (random_.happens(faults.duplicate)) {
        ++counts_.duplicated;
        copies = 2;
    }
    for (; copies > 0; --copies) {
        try {
            dispatch(lock, from.node, to, datagram, faults);
        } catch (const std::exception&) {  // no memory, or no thread: lost, and counted, as what is too much
            ++counts_.overflowed;
        }
    }
}

BROOK_INLINE void virtual_switch::cut(int from, int to) {
    const std::lock_guard lock{mutex_};
    link_of(from, to).is_cut = true;
}

BROOK_INLINE void virtual_switch::isolate(int id) {
    const std::lock_guard lock{mutex_};
    node_of(id).is_isolated = true;
}

BROOK_INLINE void virtual_switch::pause(int id) {
    const std::lock_guard lock{mutex_};
    node_of(id).is_paused = true;
}

BROOK_INLINE void virtual_switch::resume(int id) {
    const std::lock_guard lock{mutex_};
    resume(node_of(id));
}

BROOK_INLINE void virtual_switch::set_faults(const memory_network_faults& faults) {
    check(faults);
    const std::lock_guard lock{mutex_};
    faults_ = faults;
}

BROOK_INLINE void virtual_switch::set_faults(int from, int to, const memory_network_faults& faults) {
    check(faults);
    const std::lock_guard lock{mutex_};
    link_of(from, to).faults = faults;
}

BROOK_INLINE void virtual_switch::heal_link(int from, int to) {
    const std::lock_guard lock{mutex_};
    heal(link_of(from, to));
}

BROOK_INLINE void virtual_switch::heal_node(int id) {
    const std::lock_guard lock{mutex_};
    node& healed = node_of(id);
    resume(healed);
    healed.is_isolated = false;
    for (link& each : links_) {
        if (each.from == id || each.to == id) {
            heal(each);
        }
    }
}

BROOK_INLINE void virtual_switch::heal() {
    const std::lock_guard lock{mutex_};
    for (node& each : nodes_) {
        resume(each);
        each.is_isolated = false;
    }
    for (link& each : links_) {
        heal(each);
    }
    faults_ = {};
}

BROOK_INLINE memory_network_statistics virtual_switch::statistics() const {
    const std::lock_guard lock{mutex_};
    return counts_;
}

BROOK_INLINE void virtual_switch::set_time(nanoseconds now) {
    require_manual();
    const std::lock_guard lock{mutex_};
    manual_now_ = std::max(manual_now_, now);
}

BROOK_INLINE std::size_t virtual_switch::deliver(nanoseconds now) {
    require_manual();
    std::unique_lock lock{mutex_};
    manual_now_ = std::max(manual_now_, now);
    const std::uint64_t end = next_number_;  // what is sent meanwhile comes with the next call: two that answer each other would keep us
    std::size_t count = 0;
    while (!queue_.empty() && queue_.front().due <= manual_now_ && queue_.front().number < end) {
        count += bring_first(lock) ? 1 : 0;
    }
    return count;
}

BROOK_INLINE auto virtual_switch::next_due() const -> std::optional<nanoseconds> {
    require_manual();
    const std::lock_guard lock{mutex_};
    return queue_.empty() ? std::nullopt : std::optional{queue_.front().due};
}

BROOK_INLINE void virtual_switch::end() noexcept {
    {
        const std::lock_guard lock{mutex_};
        is_ending_ = true;
        ring();
    }
    if (!thread_.is_running()) {
        return;
    }
    if (runner_.load(std::memory_order_relaxed) == os::this_thread()) {
        thread_.detach();  // the last transport went inside of a `receive` on that very thread, which holds the switch as long as it runs
    } else {
        thread_.join();
    }
}

BROOK_INLINE bool virtual_switch::parcel::is_later(const parcel& one, const parcel& other) noexcept {
    return one.due != other.due ? one.due > other.due : one.number > other.number;
}

BROOK_INLINE auto virtual_switch::innermost() noexcept -> telling*& {
    static thread_local telling* here = nullptr;
    return here;
}

BROOK_INLINE bool virtual_switch::is_telling_here() const noexcept {
    const telling* here = innermost();
    while (here != nullptr && here->by != this) {
        here = here->outer;
    }
    return here != nullptr;
}

BROOK_INLINE auto virtual_switch::find_node(int id) noexcept -> node* {
    const std::size_t place = node_place(id);
    return place < nodes_.size() && nodes_[place].id == id ? &nodes_[place] : nullptr;
}

BROOK_INLINE auto virtual_switch::node_of(int id) -> node& {
    const std::size_t place = node_place(id);
    if (place == nodes_.size() || nodes_[place].id != id) {
        insert_at(nodes_, place, node{.id = id});
    }
    return nodes_[place];
}

BROOK_INLINE std::size_t virtual_switch::node_place(int id) const noexcept {
    return count_before(nodes_.size(), [&](std::size_t i) { return nodes_[i].id < id; });
}

BROOK_INLINE auto virtual_switch::find_link(int from, int to) const noexcept -> const link* {
    const std::size_t place = link_place(from, to);
    return place < links_.size() && links_[place].from == from && links_[place].to == to ? &links_[place] : nullptr;
}

BROOK_INLINE auto virtual_switch::link_of(int from, int to) -> link& {
    const std::size_t place = link_place(from, to);
    if (place == links_.size() || links_[place].from != from || links_[place].to != to) {
        insert_at(links_, place, link{.from = from, .to = to});
    }
    return links_[place];
}

BROOK_INLINE std::size_t virtual_switch::link_place(int from, int to) const noexcept {
    return count_before(links_.size(), [&](std::size_t i) { return std::pair{links_[i].from, links_[i].to} < std::pair{from, to}; });
}

BROOK_INLINE bool virtual_switch::is_cut(int from, int to) noexcept {
    const link* const over = find_link(from, to);
    if (over != nullptr && over->is_cut) {
        return true;
    }
    for (const int end : {from, to}) {
        if (const node* const at = find_node(end); at != nullptr && at->is_isolated) {
            return true;
        }
    }
    return false;
}

BROOK_INLINE memory_network_faults virtual_switch::faults_of(int from, int to) const noexcept {
    const link* const over = find_link(from, to);
    return over != nullptr && over->faults ? *over->faults : faults_;
}

BROOK_INLINE void virtual_switch::heal(link& healed) noexcept {
    healed.is_cut = false;
    healed.faults.reset();
}

BROOK_INLINE auto virtual_switch::later(nanoseconds time, nanoseconds by) noexcept -> nanoseconds {
    return time > nanoseconds::max() - by ? nanoseconds::max() : time + by;
}

BROOK_INLINE void virtual_switch::dispatch(std::unique_lock<std::mutex>& lock, int from, int to, bytes datagram, const memory_network_faults& faults) {
    link& over = link_of(from, to);
    const nanoseconds sent = now();
    nanoseconds due = later(sent, delay(faults));
    const bool is_delayed = due > sent;
    const bool is_reordered = random_.happens(faults.reorder);
    if (is_reordered) {
        due = later(due, nanoseconds{1 + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(faults.reorder_within.count())))});
    } else if (over.queued > 0) {
        due = std::max(due, over.latest);
    }
    std::vector<std::byte> changed;
    const bool is_corrupted = !datagram.empty() && random_.happens(faults.corrupt);
    if (is_corrupted) {
        changed.assign(datagram.begin(), datagram.end());
        corrupt(changed);
        datagram = changed;
    }

    node& target = *find_node(to);
    const bool comes_now = !options_.manual && !is_reordered && due <= sent && over.queued == 0;
    const bool is_told_here = comes_now && !target.is_paused && !is_telling_here();
    if (!is_told_here) {
        if (target.count >= options_.queue_count || datagram.size() > options_.queue_bytes - target.size) {
            ++counts_.overflowed;
            return;
        }
        put_away(target, over, comes_now && target.is_paused,
                 {due, next_number_, from, to, !is_reordered, false, {datagram.begin(), datagram.end()}});
    }
    counts_.delayed += is_delayed ? 1 : 0;
    counts_.reordered += is_reordered ? 1 : 0;
    counts_.corrupted += is_corrupted ? 1 : 0;
    if (is_told_here) {
        tell(lock, from, to, datagram);
    }
}

BROOK_INLINE auto virtual_switch::delay(const memory_network_faults& faults) noexcept -> nanoseconds {
    const std::int64_t range = (faults.delay_max - faults.delay_min).count();
    return range == 0 ? faults.delay_min
                      : faults.delay_min + nanoseconds{static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(range) + 1))};
}

BROOK_INLINE void virtual_switch::corrupt(mutable_bytes contents) noexcept {
    const std::uint64_t most = std::min<std::uint64_t>(4, contents.size());
    const std::uint64_t count = 1 + random_.below(most);
    const std::uint64_t stride = contents.size() / count;  // each in a part of its own: no change undoes another
    for (std::uint64_t i = 0; i < count; ++i) {
        std::byte& changed = contents[static_cast<std::size_t>(i * stride + random_.below(stride))];
        changed ^= static_cast<std::byte>(1 + random_.below(255));
    }
}

BROOK_INLINE void virtual_switch::put_away(node& target, link& over, bool is_kept, parcel what) {
    const std::size_t size = what.contents.size();
    if (is_kept) {
        what.has_come = true;
        target.kept.push_back(std::move(what));
        ++counts_.kept;
    } else {
        need_thread();
        make_room(queue_, 1);
        enqueue(over, std::move(what));
    }
    ++next_number_;
    ++target.count;
    target.size += size;
    ++counts_.under_way;
}

BROOK_INLINE void virtual_switch::make_room(std::vector<parcel>& all, std::size_t count) {
    if (all.capacity() - all.size() < count) {
        all.reserve(std::max(all.size() + count, 2 * all.capacity()));
    }
}

BROOK_INLINE void virtual_switch::enqueue(link& over, parcel what) noexcept {
    if (what.keeps_order) {
        over.latest = over.queued == 0 ? what.due : std::max(over.latest, what.due);
        ++over.queued;
    }
    const std::uint64_t number = what.number;
    queue_.push_back(std::move(what));
    std::push_heap(queue_.begin(), queue_.end(), parcel::is_later);
    if (queue_.front().number == number) {
        ring();
    }
}

BROOK_INLINE bool virtual_switch::bring_first(std::unique_lock<std::mutex>& lock) noexcept {
    std::pop_heap(queue_.begin(), queue_.end(), parcel::is_later);
    parcel first = std::move(queue_.back());
    queue_.pop_back();
    node& target = *find_node(first.to);
    bool is_told = false;
    if (!first.has_come && is_cut(first.from, first.to)) {
        settle(target, first);
        ++counts_.cut;
    } else if (!target.is_paused) {
        settle(target, first);
        is_told = tell(lock, first.from, first.to, first.contents);
    } else if (keep(target, first)) {
        return false;
    } else {
        settle(target, first);
        ++counts_.overflowed;
    }
    leave_queue(first);  // not before it has been told: what follows on its link could overtake it
    return is_told;
}

BROOK_INLINE void virtual_switch::settle(node& target, const parcel& what) noexcept {
    --target.count;
    target.size -= what.contents.size();
    --counts_.under_way;
}

BROOK_INLINE bool virtual_switch::keep(node& target, parcel& what) noexcept {
    try {
        make_room(target.kept, 1);
    } catch (const std::exception&) {
        return false;
    }
    leave_queue(what);
    counts_.kept += what.has_come ? 0 : 1;
    what.has_come = true;
    target.kept.push_back(std::move(what));
    return true;
}

BROOK_INLINE void virtual_switch::leave_queue(const parcel& what) noexcept {
    if (what.keeps_order) {
        --links_[link_place(what.from, what.to)].queued;
    }
}

BROOK_INLINE void virtual_switch::resume(node& target) {
    if (!target.kept.empty()) {
        need_thread();
        make_room(queue_, target.kept.size());
        for (parcel& each : target.kept) {
            enqueue(links_[link_place(each.from, each.to)], std::move(each));
        }
        target.kept.clear();
    }
    target.is_paused = false;
}

BROOK_INLINE bool virtual_switch::tell(std::unique_lock<std::mutex>& lock, int from, int to, bytes datagram) noexcept {
    const std::shared_ptr<port> at = find_node(to)->at;
    if (at == nullptr) {
        ++counts_.unreachable;
        return false;
    }
    telling here{.by = this, .at = at.get(), .outer = innermost()};
    transport::receiver& receiver = *at->to;
    ++at->telling;
    ++counts_.delivered;
    innermost() = &here;
    lock.unlock();
    receiver.receive(from, datagram);
    lock.lock();
    innermost() = here.outer;
    --at->telling;
    at->stopped_inside -= here.has_stopped ? 1 : 0;
    announce(*at);
    return true;
}

BROOK_INLINE void virtual_switch::announce(port& at) noexcept {
    if (at.waiting > 0) {
        at.told.fetch_add(1, std::memory_order_relaxed);
        platform_.wake_all(at.told);
    }
}

BROOK_INLINE void virtual_switch::require_manual() const {
    if (!options_.manual) {
        throw_error(errc::illegal_state, "this network brings its datagrams by itself: make it with memory_network_options::manual");
    }
}

BROOK_INLINE void virtual_switch::need_thread() {
    if (!options_.manual && !thread_.is_running()) {
        thread_.start([](void* self) {
            const auto kept = static_cast<virtual_switch*>(self)->shared_from_this();  // see `end`
            kept->run();
        }, this);
    }
}

BROOK_INLINE void virtual_switch::run() noexcept {
    runner_.store(os::this_thread(), std::memory_order_relaxed);  // asked for by the thread itself, or by one that it is not
    std::unique_lock lock{mutex_};
    while (!is_ending_) {
        std::optional<nanoseconds> pause;
        if (!queue_.empty()) {
            pause = queue_.front().due - platform_.monotonic();
            if (*pause <= nanoseconds{0}) {
                bring_first(lock);
                continue;
            }
        }
        const std::uint32_t seen = bell_.load(std::memory_order_relaxed);
        is_asleep_ = true;
        lock.unlock();
        platform_.wait(bell_, seen, pause);
        lock.lock();
        is_asleep_ = false;
    }
}

BROOK_INLINE void virtual_switch::ring() noexcept {
    if (is_asleep_) {
        bell_.fetch_add(1, std::memory_order_relaxed);
        platform_.wake_all(bell_);
    }
}

}  // namespace brook::inline BROOK_ABI::transport_room
