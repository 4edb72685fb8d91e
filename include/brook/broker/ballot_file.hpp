/// \file brook/broker/ballot_file.hpp
/// What a broker's replicas have promised, on the disk: one file and one sync for all of them.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/os/platform.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/ballot.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// `<dir>/ballots`: entries, appended one behind the other; of each partition the last one counts. What is torn at the end was never
/// spoken of. Where a whole entry stands behind one that does not verify that one is rotten: any replica may have promised more than is left, so all are
/// suspect, and remember nothing. When it is opened, and when it has grown, it is written anew, without what does not count, beside the old one, which goes once
/// the new one is on the disk.
///
///     at  size  field
///      0    8   checksum   XXH3-64 of the rest
///      8    4   size       bytes of what follows
///     12    4   kind       1: a session has begun, 2: a ballot, 3: a partition's log was whole on the disk when its broker closed, 4: a partition is gone
///     16        session: u64 number, below 2^63. ballot: topic id, i32 partition, u32 epoch, i32 voted for, u32 doubts (1: suspect, 2: blank), u32 count of voter sets, each
///               i64 offset, u32 epoch, u32 count, i32 nodes. whole: topic id, i32 partition, i64 log end offset. gone: topic id, i32 partition
///
/// Threads   confined.
class ballot_file {
public:
    struct kept {
        partition_id id;
        replication::ballot ballot;  ///< without voters: there is none; where it is a suspect there was one that cannot be read
        offset whole_to = -1;  ///< where the log ended when its broker closed, all of it on the disk; -1: it did not close
    };

    ballot_file(os::platform& platform, std::string directory) : platform_{platform}, directory_{std::move(directory)}, path_{directory_ + "/ballots"} {}

    /// Reads what is there and begins a session.
    /// Errors    thrown: corrupt_record, the system's own.
    void open();

    /// What was not as it had been written when it was opened; success: nothing.
    [[nodiscard]] const failure& damage() const noexcept { return damage_; }

    static constexpr std::uint64_t largest_session = ~std::uint64_t{0} / 2;  ///< that is believed

    /// So far a session's number is from those before it, where the wall clock has gone back: what this life numbers from it on is above all that those did.
    static constexpr std::uint64_t session_step = std::uint64_t{1} << 32;

    /// Larger than in any life before.
    [[nodiscard]] std::uint64_t session() const noexcept { return session_; }

    /// Begins another one, with that number, with the next `sync`: others know of a later life than this.
    void begin_session(std::uint64_t number);

    [[nodiscard]] const kept* find(const partition_id& id) const noexcept;

    /// To be written with the next `sync`.
    void put(const partition_id& id, const replication::ballot& ballot);
    void forget(const partition_id& id);
    void put_whole(const partition_id& id, offset end);

    /// Everything that was put is on the disk when this succeeds. A failure is final: nothing may be promised any more.
    [[nodiscard]] failure sync();

private:
    static constexpr std::uint64_t largest = std::uint64_t{64} << 20;
    static constexpr std::uint32_t latest_kind = 4;
    static constexpr std::uint64_t may_grow = std::uint64_t{1} << 20;

    [[nodiscard]] std::size_t place_of(const partition_id& id) const noexcept;

    kept& find_or_add(const partition_id& id);

    [[nodiscard]] bool read(const std::string& path, std::vector<std::byte>& into);

    void decode(bytes all);

    /// The size of the entry there; 0: there is none that verifies.
    [[nodiscard]] static std::size_t whole_at(bytes all, std::size_t at) noexcept;

    void apply(std::uint32_t kind, bytes body);

    [[nodiscard]] static bool decode_ballot(replication::byte_reader& from, replication::ballot& read);

    void erase(const partition_id& id);

    /// Beside the old one; that goes first, since a name is taken only once, and until then the new one is called otherwise.
    /// Errors    the system's own. What is in use then has everything in any case: the old one, as long as it is there.
    [[nodiscard]] failure begin_anew();

    template <class Write>
    static void add_entry(std::vector<std::byte>& to, std::uint32_t kind, const Write& write) {
        const std::size_t at = to.size();
        to.resize(at + 16);
        replication::byte_writer body{to};
        write(body);
        store(to.data() + at + 8, static_cast<std::uint32_t>(to.size() - at - 16));
        store(to.data() + at + 12, kind);
        store(to.data() + at, format::hash(bytes{to}.subspan(at + 8)));
    }

    static void add_gone(std::vector<std::byte>& all, const partition_id& id);

    static void add_ballot(std::vector<std::byte>& all, const partition_id& id, const replication::ballot& ballot);

    os::platform& platform_;
    std::string directory_;
    std::string path_;
    std::unique_ptr<os::file> file_;
    std::uint64_t size_ = 0;
    std::uint64_t session_ = 0;
    std::uint64_t anew_above_ = 0;
    std::vector<kept> kept_;  // by id; ballots as they are now, with what was put, ends as they were when it was opened
    std::vector<std::byte> pending_;
    std::error_code failed_;
    failure damage_;
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/ballot_file.hpp>
#endif
