/// \file brook/broker/bodies/ballot_file.hpp
/// The functions that ballot_file.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/ballot_file.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/os/platform.hpp>
#include <brook/replication/ballot.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void ballot_file::open() {
    std::vector<std::byte> all;
    if (!read(path_, all)) {
        static_cast<void>(read(path_ + ".new", all));  // the old one had gone already, or there was none
    }
    decode(all);
    const auto wall = static_cast<std::uint64_t>(platform_.now().time_since_epoch().count());
    session_ += session_step;
    session_ = session_ > wall ? session_ : wall;  // also above those of a directory that this one has taken the place of
    if (const failure why = begin_anew()) {
        why.raise();
    }
}

BROOK_INLINE void ballot_file::begin_session(std::uint64_t number) {
    add_entry(pending_, 1, [&](replication::byte_writer& to) { to.put(number); });
    session_ = number;
}

BROOK_INLINE auto ballot_file::find(const partition_id& id) const noexcept -> const kept* {
    const std::size_t i = place_of(id);
    return i < kept_.size() && kept_[i].id == id ? &kept_[i] : nullptr;
}

BROOK_INLINE void ballot_file::put(const partition_id& id, const replication::ballot& ballot) {
    add_ballot(pending_, id, ballot);
    find_or_add(id).ballot = ballot;
}

BROOK_INLINE void ballot_file::forget(const partition_id& id) {
    add_gone(pending_, id);
    erase(id);
}

BROOK_INLINE void ballot_file::put_whole(const partition_id& id, offset end) {
    add_entry(pending_, 3, [&](replication::byte_writer& to) {
        to.put(id.topic);
        to.put(id.number);
        to.put(end);
    });
}

BROOK_INLINE failure ballot_file::sync() {
    if (pending_.empty()) {
        return {};
    }
    std::error_code code = failed_;
    if (!code) {
        code = file_->write_at(size_, pending_);
    }
    if (!code) {
        code = file_->sync();
    }
    if (code) {
        failed_ = code;
        return {code, "cannot write " + path_ + "; the replicas of this broker promise nothing any more until it is opened again"};
    }
    size_ += pending_.size();
    pending_.clear();
    if (size_ > anew_above_) {
        anew_above_ = size_ * 2;                // where that fails the old one will do for a while
        static_cast<void>(begin_anew());
    }
    return {};
}

BROOK_INLINE std::size_t ballot_file::place_of(const partition_id& id) const noexcept {
    return count_before(kept_.size(), [&](std::size_t i) { return kept_[i].id < id; });
}

BROOK_INLINE auto ballot_file::find_or_add(const partition_id& id) -> kept& {
    const std::size_t i = place_of(id);
    if (i == kept_.size() || kept_[i].id != id) {
        insert_at(kept_, i, kept{id, {}, -1});
    }
    return kept_[i];
}

BROOK_INLINE bool ballot_file::read(const std::string& path, std::vector<std::byte>& into) {
    std::error_code code;
    const auto file = platform_.open(path, os::open_mode::read_write, code);
    if (code == std::errc::no_such_file_or_directory) {
        return false;
    }
    std::uint64_t size = 0;
    if (!code) {
        code = file->size(size);
    }
    if (!code && size > largest) {
        throw_error(errc::corrupt_record, path + ": " + std::to_string(size) + " bytes; such a file has a few thousand");
    }
    if (!code) {
        into.resize(static_cast<std::size_t>(size));
        code = file->read_at(0, into);
    }
    if (code) {
        throw_error(code, "cannot read " + path);
    }
    return true;
}

BROOK_INLINE void ballot_file::decode(bytes all) {
    std::size_t rotten = 0;  // bytes
    for (std::size_t at = 0; at < all.size();) {
        if (const std::size_t size = whole_at(all, at); size > 0) {
            apply(load<std::uint32_t>(all.data() + at + 12), all.subspan(at + 16, size - 16));
            at += size;
            continue;
        }
        std::size_t next = at + 1;
        while (next < all.size() && whole_at(all, next) == 0) {
            ++next;
        }
        if (next >= all.size()) {
            break;  // torn: the sync that it was written for did not return
        }
        rotten += next - at;
        at = next;
    }
    if (rotten > 0) {
        for (kept& one : kept_) {
            one.ballot.is_suspect = one.ballot.is_blank = true;
            one.whole_to = -1;
        }
        damage_ = {errc::corrupt_record, path_ + ": " + std::to_string(rotten) + " bytes are not what was written there, so nobody knows what the replicas of this broker have "
                                             "promised; their word counts again when they have caught up"};
    }
}

BROOK_INLINE std::size_t ballot_file::whole_at(bytes all, std::size_t at) noexcept {
    if (all.size() - at < 16) {
        return 0;
    }
    const bytes rest = all.subspan(at);
    const auto size = load<std::uint32_t>(rest.data() + 8);
    const auto kind = load<std::uint32_t>(rest.data() + 12);
    const bool may_be = kind >= 1 && kind <= latest_kind && size <= rest.size() - 16;
    return may_be && load<std::uint64_t>(rest.data()) == format::hash(rest.subspan(8, size + 8)) ? 16 + std::size_t{size} : 0;
}

BROOK_INLINE void ballot_file::apply(std::uint32_t kind, bytes body) {
    replication::byte_reader from{body};
    if (kind == 1) {
        if (const auto number = from.take<std::uint64_t>(); number <= largest_session) {  // else nobody has written it: no later life could have a larger one
            session_ = number;
        }
        for (kept& one : kept_) {
            one.whole_to = -1;
        }
        return;
    }
    partition_id id;
    id.topic = from.take<format::topic_id>();
    id.number = from.take<std::int32_t>();
    if (kind == 3) {
        if (const auto end = from.take<offset>(); from.is_done()) {
            find_or_add(id).whole_to = end;
        }
        return;
    }
    if (kind == 4) {
        if (from.is_done()) {
            erase(id);
        }
        return;
    }
    if (!from.is_whole()) {  // kind 2, a ballot: there are no others (whole_at)
        return;  // of no partition that is known
    }
    replication::ballot read;
    if (!decode_ballot(from, read)) {  // what was promised there is not known: it was not what had been promised before
        read = {};
        read.is_suspect = true;
        read.is_blank = true;
    }
    find_or_add(id).ballot = std::move(read);
}

BROOK_INLINE bool ballot_file::decode_ballot(replication::byte_reader& from, replication::ballot& read) {
    read.epoch = from.take<std::uint32_t>();
    read.voted_for = from.take<std::int32_t>();
    const auto doubts = from.take<std::uint32_t>();
    read.is_suspect = (doubts & 1) != 0;
    read.is_blank = (doubts & 2) != 0;
    const std::uint32_t sets = from.take_count(16);
    if (sets > replication::ballot::most_sets) {
        return false;
    }
    for (std::uint32_t i = 0; i < sets; ++i) {
        replication::voter_set one;
        one.at = from.take<offset>();
        one.epoch = from.take<std::uint32_t>();
        const std::uint32_t count = from.take_count(sizeof(std::int32_t));
        for (std::uint32_t k = 0; k < count && count <= replication::voter_set::most; ++k) {
            one.nodes.push_back(from.take<std::int32_t>());
        }
        if (!one.is_possible()) {
            return false;
        }
        read.voters.push_back(std::move(one));
    }
    return from.is_done() && !read.voters.empty() && read.epoch <= replication::message::largest_epoch && read.voted_for >= replication::no_node && doubts <= 3;
}

BROOK_INLINE void ballot_file::erase(const partition_id& id) {
    if (const std::size_t i = place_of(id); i < kept_.size() && kept_[i].id == id) {
        erase_at(kept_, i);
    }
}

BROOK_INLINE failure ballot_file::begin_anew() {
    std::vector<std::byte> all;
    for (const kept& one : kept_) {
        if (!one.ballot.voters.empty()) {
            add_ballot(all, one.id, one.ballot);
        }
    }
    add_entry(all, 1, [&](replication::byte_writer& to) { to.put(session_); });
    const std::string made = path_ + ".new";
    const auto fault = [&](std::error_code code, const char* what) { return failure{code, std::string{"cannot "} + what + ' ' + made}; };
    std::error_code code;
    if (auto left = platform_.open(path_, os::open_mode::read_write, code); left) {
        left.reset();
        static_cast<void>(platform_.remove(made));
    } else {
        // Only the new one is there, whole: it gets its name before another is made.
        if (code = platform_.rename_to_new(made, path_); code && code != std::errc::no_such_file_or_directory) {
            return fault(code, "rename");
        }
        if (code = platform_.sync_directory(directory_); code) {
            return fault(code, "name");
        }
    }
    std::unique_ptr<os::file> file = platform_.open(made, os::open_mode::create, code);
    if (code) {
        return fault(code, "create");
    }
    if (code = file->write_at(0, all); code) {
        return fault(code, "write");
    }
    if (code = file->sync(); code) {
        return fault(code, "sync");
    }
    if (code = platform_.sync_directory(directory_); code) {
        return fault(code, "name");
    }
    if (code = platform_.remove(path_); code && code != std::errc::no_such_file_or_directory) {
        return fault(code, "replace the older one by");
    }
    file_ = std::move(file);
    size_ = all.size();
    anew_above_ = size_ * 2 + may_grow;
    if (code = platform_.rename_to_new(made, path_); code) {
        return fault(code, "rename");
    }
    if (code = platform_.sync_directory(directory_); code) {
        return fault(code, "name");
    }
    return {};
}

BROOK_INLINE void ballot_file::add_gone(std::vector<std::byte>& all, const partition_id& id) {
    add_entry(all, 4, [&](replication::byte_writer& to) {
        to.put(id.topic);
        to.put(id.number);
    });
}

BROOK_INLINE void ballot_file::add_ballot(std::vector<std::byte>& all, const partition_id& id, const replication::ballot& ballot) {
    add_entry(all, 2, [&](replication::byte_writer& to) {
        to.put(id.topic);
        to.put(id.number);
        to.put(ballot.epoch);
        to.put(ballot.voted_for);
        to.put(std::uint32_t{(ballot.is_suspect ? 1u : 0u) | (ballot.is_blank ? 2u : 0u)});
        to.put(static_cast<std::uint32_t>(ballot.voters.size()));
        for (const replication::voter_set& one : ballot.voters) {
            to.put(one.at);
            to.put(one.epoch);
            to.put(static_cast<std::uint32_t>(one.nodes.size()));
            for (const std::int32_t node : one.nodes) {
                to.put(node);
            }
        }
    });
}

}  // namespace brook::inline BROOK_ABI::broker_room
