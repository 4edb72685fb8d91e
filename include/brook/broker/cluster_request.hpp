/// \file brook/broker/cluster_request.hpp
/// What brokers of a cluster ask whoever leads a partition, and what they are answered, as bytes.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// What is asked, and what an answer that is done says behind its failure. `appended` is offset, i64 timestamp.
enum class request_kind : std::uint32_t {
    produce = 1,      ///< topic id, i32 partition, u8 acks, bytes frame -> appended
    create_topic,     ///< text name, u32 replication factor, i32 min_insync_replicas, text topic.meta with an id that is new -> id of the topic of that name, made now or before
    delete_topic,     ///< text name, topic id, zeros for whichever -> appended
    register_broker,  ///< i32 node, id of its directory -> appended
    group,            ///< a call, see group_call.hpp -> what that says
    read,             ///< topic id, i32 partition, offset first, offset last -> frames
    raise_session = 64,  ///< u64: others know of this session of who is asked, or of a later life -> nobody waits for an answer
    greet = 65,       ///< u32 count, i32 each: the peers that the sender was given -> nobody waits for an answer
};

enum class answer_status : std::uint32_t {
    done = 0,   ///< a failure, then what was asked for
    elsewhere,  ///< this one does not lead; nothing follows
    not_now,    ///< a failure: it may go later
};

/// Writes and reads what every answer has in front: i32 code, u32 whether it is one of brook's, text. Code 0: it went well.
struct answer_codec {
    static void put(std::vector<std::byte>& body, const failure& why) {
        replication::byte_writer to{body};
        const bool is_ours = why.code.category() == brook_category();
        to.put(static_cast<std::int32_t>(why.code.value()));
        to.put(std::uint32_t{is_ours ? 1u : 0u});
        to.put_text(why.text);
    }

    static void put_appended(std::vector<std::byte>& body, offset first, std::int64_t timestamp) {
        replication::byte_writer to{body};
        to.put(first);
        to.put(timestamp);
    }

    [[nodiscard]] static failure take(replication::byte_reader& from) {
        const auto code = from.take<std::int32_t>();
        const bool is_ours = from.take<std::uint32_t>() == 1;
        std::string text = from.take_text();
        if (code == 0) {
            return {};
        }
        return {is_ours ? make_error_code(static_cast<errc>(code)) : std::error_code{code, std::system_category()}, std::move(text)};
    }
};

}  // namespace brook::inline BROOK_ABI::broker_room
