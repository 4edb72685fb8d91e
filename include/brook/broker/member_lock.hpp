/// \file brook/broker/member_lock.hpp
/// The one lock of a cluster's member, and the way in which everything under it is done.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <exception>
#include <mutex>

#include <brook/broker/departures.hpp>
#include <brook/core/config.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Guards all replicas of a member, what is known of the cluster, and the requests of its users: the parts of a member that say "under the
/// member's lock". Parts that wait, or that use the disk for long, do so without it, and come here for the steps in between.
///
/// Threads   shared. Not taken twice by one thread: nothing that is done under it may `work` or `hold`. It is the innermost of the broker's locks
///           but for those of logs: who holds the coordinator's or that of the topics may come here, and under it neither of them is taken.
class member_lock {
public:
    member_lock(const member_lock&) = delete;
    member_lock& operator=(const member_lock&) = delete;

    /// Does `act(now)` under the lock, and all that follows from it; then what leaves the lock is sent and told, by this thread.
    template <class Act>
    void work(const Act& act) {
        departures::load leaving;
        {
            const std::scoped_lock guard{mutex_};
            follow(act);
            leaving = take();
        }
        deliver(leaving);
    }

    /// The same, but what leaves is given to `keep`, still under the lock: the caller sends and tells it.
    template <class Act, class Keep>
    void work(const Act& act, const Keep& keep) {
        const std::scoped_lock guard{mutex_};
        follow(act);
        keep(take());
    }

    /// The same where nobody has the lock just now.
    /// Returns   false: somebody has it, and nothing was done.
    template <class Act, class Keep>
    [[nodiscard]] bool try_work(const Act& act, const Keep& keep) {
        const std::unique_lock guard{mutex_, std::try_to_lock};
        if (!guard) {
            return false;
        }
        follow(act);
        keep(take());
        return true;
    }

    /// The same for who has another lock, which those may want who are told or called: what leaves stays where it is, and whoever works next takes it along.
    /// Where the member has threads that is soon; else whoever maintains or waits.
    template <class Act>
    void work_quietly(const Act& act) {
        {
            const std::scoped_lock guard{mutex_};
            follow(act);
        }
        expect_delivery();
    }

    /// Does under the lock what nothing follows from: a look, a flag.
    template <class Look>
    auto hold(const Look& look) const {
        const std::scoped_lock guard{mutex_};
        return look();
    }

protected:
    explicit member_lock(os::platform& platform) noexcept : platform_{platform} {}
    ~member_lock() = default;

private:
    template <class Act>
    void follow(const Act& act) {
        const auto now = platform_.monotonic();
        try {
            prepare(now);
            act(now);
            settle(now);
        } catch (const std::exception&) {
            doubt();
            throw;
        }
    }

    /// Under the lock, before anything else: makes good what an earlier `doubt` has left.
    virtual void prepare(std::chrono::nanoseconds now) = 0;

    /// Under the lock: something was thrown in the middle, for want of memory.
    virtual void doubt() noexcept = 0;

    /// Under the lock: settles what was touched.
    virtual void settle(std::chrono::nanoseconds now) = 0;

    /// Under the lock: all that leaves.
    [[nodiscard]] virtual departures::load take() noexcept = 0;

    /// Without the lock: something is to be delivered, and somebody else does that.
    virtual void expect_delivery() noexcept = 0;

    /// Without the lock.
    virtual void deliver(departures::load& leaving) = 0;

    os::platform& platform_;
    mutable std::mutex mutex_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
