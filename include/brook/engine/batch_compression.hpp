/// \file brook/engine/batch_compression.hpp
/// Batches compressed on their way into the log, where that makes them smaller.
/// Floor 5, engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include <brook/broker/options.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/thread_kept.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/batch_body.hpp>
#include <brook/format/codec.hpp>

namespace brook::inline BROOK_ABI::engine {

static_assert(static_cast<unsigned>(compression::none) == format::codec_none && static_cast<unsigned>(compression::lz4) == format::codec_lz4 &&
              static_cast<unsigned>(compression::zstd) == format::codec_zstd && static_cast<unsigned>(compression::user6) == format::codec_first_of_users);

/// By what a producer compresses what it sends to one topic.
struct batch_compression {
    const compression_codec* codec = nullptr;  ///< null: not at all
    std::uint16_t id = 0;
    std::optional<int> level;

    [[nodiscard]] explicit operator bool() const noexcept { return codec != nullptr; }

    /// What the topic forces, else what is asked for. A level goes with what is asked for, and with nothing else.
    ///
    /// Errors    invalid_config, unsupported_compression_type: begin with `who`.
    [[nodiscard]] static batch_compression choose(const std::optional<compression>& forced, compression asked, const std::optional<int>& level,
                                                  const std::string& who) {
        if (level && asked == compression::none) {
            throw_error(errc::invalid_config, who + ": compression_level goes with a compression_type");
        }
        const compression type = forced.value_or(asked);
        if (type == compression::none) {
            return {};
        }
        const compression_codec* const codec = format::find_codec(static_cast<unsigned>(type));
        if (codec == nullptr) {
            throw_error(errc::unsupported_compression_type, who + ": compression_type is " + std::string{to_string(type)} + (forced ? " by the topic's options" : "") + ", and " +
                                                                format::missing_codec_text(static_cast<unsigned>(type)));
        }
        if (level && type == asked && (*level < codec->least_level() || *level > codec->most_level())) {
            throw_error(errc::invalid_config, who + ": compression_level of " + std::string{codec->name()} + " is " + std::to_string(codec->least_level()) + " to " +
                                                  std::to_string(codec->most_level()) + ", not " + std::to_string(*level));
        }
        return {codec, static_cast<std::uint16_t>(type), type == asked ? level : std::nullopt};
    }
};

/// Memory whose content nobody needs when it is asked for again.
///
/// Threads   confined.
class scratch_memory {
public:
    /// Null: there is no more.
    [[nodiscard]] std::byte* room(std::size_t size) noexcept {
        if (size_ < size) {
            data_.reset();
            data_.reset(new (std::nothrow) std::byte[size]);
            size_ = data_ ? size : 0;
        }
        return data_.get();
    }

    /// Lets go of more than a thread should keep.
    void trim() noexcept {
        if (size_ > 2 * mib) {
            data_.reset();
            size_ = 0;
        }
    }

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_ = 0;
};

/// The body of a batch as it will be stored: compressed where that makes it smaller, else as it is.
///
/// Threads   confined.
/// Cost      the codec's, and one copy of what it made; where records have details, one of them all before.
/// Lifetime  must not outlive what it is made from.
class packed_body {
public:
    /// Of a finished body.
    packed_body(const batch_body& from, const batch_compression& how) noexcept : size_{from.size()}, body_{&from} {
        if (!how) {
            return;
        }
        begin();
        if (from.extension() == 0) {
            pack(how, from.records());
        } else if (std::byte* const whole = room(from.size())) {
            constexpr std::size_t front = format::extension::bytes_each;
            from.write_to(whole);
            copy_bytes(front_, whole, front);
            front_size_ = front;
            pack(how, {whole + front, from.size() - front});
        }
    }

    /// Of a body without details that `write_body` lays out in `size` bytes; what that throws passes through.
    template <class WriteBody>
    packed_body(std::size_t size, const WriteBody& write_body, const batch_compression& how) : size_{size} {
        begin();
        if (std::byte* const whole = room(size)) {
            write_body(whole);
            raw_ = whole;
            pack(how, {whole, size});
        }
    }

    packed_body(const packed_body&) = delete;
    packed_body& operator=(const packed_body&) = delete;
    ~packed_body() = default;

    /// False: there was no memory to lay it out in, and it must be written without.
    [[nodiscard]] bool is_there() const noexcept { return body_ != nullptr || raw_ != nullptr; }

    /// What goes into the frame's attributes; 0: it is not compressed.
    [[nodiscard]] std::uint16_t codec() const noexcept { return codec_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Writes size() bytes.
    void write_to(std::byte* to) const noexcept {
        if (codec_ == 0) {
            if (body_ != nullptr) {
                body_->write_to(to);
            } else {
                copy_bytes(to, raw_, size_);
            }
            return;
        }
        copy_bytes(to, front_, front_size_);
        to += front_size_;
        store(to, std::uint64_t{content_size_});
        copy_bytes(to + format::compressed_prefix, packed_, size_ - front_size_ - format::compressed_prefix);
    }

private:
    struct workspace {
        scratch_memory whole;
        scratch_memory packed;
    };
    class lent_workspace : public thread_kept<workspace> {
    public:
        ~lent_workspace() {
            if (*this) {
                get()->whole.trim();
                get()->packed.trim();
            }
        }
    };

    void begin() noexcept { kept_.emplace(); }

    [[nodiscard]] std::byte* room(std::size_t size) const noexcept { return *kept_ ? (*kept_)->whole.room(size) : nullptr; }

    void pack(const batch_compression& how, bytes content) noexcept {
        if (!*kept_ || content.size() < format::least_deflated) {
            return;
        }
        const std::size_t bound = how.codec->bound(content.size());
        std::byte* const to = (*kept_)->packed.room(bound);
        const std::size_t made = to == nullptr ? 0 : format::deflate(*how.codec, content, {to, bound}, how.level);
        if (made == 0) {
            return;
        }
        packed_ = to;
        content_size_ = static_cast<std::uint32_t>(content.size());
        codec_ = how.id;
        size_ = front_size_ + format::compressed_prefix + made;
    }

    std::optional<lent_workspace> kept_;  // none: nothing is to be compressed
    std::size_t size_;
    const batch_body* body_ = nullptr;
    const std::byte* raw_ = nullptr;
    const std::byte* packed_ = nullptr;
    std::uint32_t content_size_ = 0;
    std::uint16_t codec_ = 0;
    std::size_t front_size_ = 0;
    std::byte front_[format::extension::bytes_each]{};  // the detail extension, which is not compressed
};

}  // namespace brook::inline BROOK_ABI::engine
