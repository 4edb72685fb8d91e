#include <brook/client/serde.hpp>  // first, so that it must stand alone
#include <brook/client/codec.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/client/record.hpp>

#include "support/catch.hpp"

namespace {

struct tick {
    std::uint64_t sequence;
    double price;
};
struct padded {
    char side;
    std::uint64_t id;
};
struct pair_key {
    std::uint32_t exchange, instrument;
};
enum class side : std::uint8_t { buy, sell };
enum class signed_side : std::int8_t { buy, sell };
struct alignas(32) wide {
    std::array<double, 4> lanes;
};
struct no_default {
    explicit no_default(int n) : number{n} {}
    int number;
};

// What no log can keep, however trivially it copies.
struct named {
    int number;
    const char* name;
};
struct holds_view {
    std::array<int, 3> numbers;
    std::string_view text;
};
struct holds_span {
    double number;
    std::span<const int> numbers;
};
struct holds_named {
    std::uint64_t id;
    named inner;
};
struct holds_late {
    no_default first, second;
    const char* name;
};
struct holds_function {
    void (*function)();
};

// What looks like it and is not.
struct takes_anything {
    takes_anything() = default;
    template <class T> takes_anything(T) {}
};
struct holds_takes_anything {
    int number;
    takes_anything other;
};
struct many_members {
    std::array<char, 100> text;
    std::chrono::nanoseconds time;
    std::optional<int> count;
    bool flag;
};

struct order {
    std::uint64_t id;
    std::string customer;
    std::vector<std::uint32_t> items;
    std::optional<std::string> note;
    bool operator==(const order&) const = default;
};
struct order_view {
    brook::bytes raw;
};
struct order_as_text {};
struct order_as_words {};
struct order_as_nothing {};
struct order_as_prefix {};

struct unfaithful {
    mutable std::size_t calls = 0;
    std::size_t first = 0;
    std::size_t second = 0;
};

struct named_tick {
    std::uint64_t sequence;
    double price;
};
struct tick_again {};

struct word {
    std::string_view text;
};

struct only_schema {
    std::string text;
};
struct only_read {
    std::string text;
};
struct no_serde {
    std::string text;
};
struct fixed_code {
    std::string text;
};

template <class T> struct boxed { std::vector<T> items; };

std::vector<std::byte> stored(const auto& prepared) {
    std::vector<std::byte> bytes(prepared.size());
    prepared.write_to(bytes.data());
    return bytes;
}

template <class T> std::vector<std::byte> stored_as(typename brook::detail::codec<T>::argument_type value) {
    return stored(brook::detail::codec<T>::prepare(value));
}

/// The error code that `call` throws; success when it throws nothing.
std::error_code error_of(const auto& call) {
    try {
        call();
    } catch (const brook::error& error) {
        return error.code();
    }
    return {};
}

std::string text_of_error(const auto& call) {
    try {
        call();
    } catch (const brook::error& error) {
        return error.what();
    }
    return {};
}

}  // namespace

template <> struct brook::serde<order> {
    static constexpr std::string_view schema = "test.order/1";
    static void write(const order& value, brook::writer& out) {
        out.put(value.id);
        out.put(std::string_view{value.customer});
        out.put(static_cast<std::uint32_t>(value.items.size()));
        for (const auto item : value.items) {
            out.put(item);
        }
        out.put(value.note.has_value());
        if (value.note) {
            out.put(std::string_view{*value.note});
        }
    }
    static order read(brook::bytes raw) {
        brook::reader in{raw};
        order value{.id = in.get<std::uint64_t>(), .customer = std::string{in.text()}, .items = {}, .note = {}};
        for (auto count = in.get<std::uint32_t>(); count > 0; --count) {
            value.items.push_back(in.get<std::uint32_t>());
        }
        if (in.get<bool>()) {
            value.note = in.text();
        }
        return value;
    }
};
template <> struct brook::serde<order_view> : brook::serde<order> {
    using value_type = order_view;
    static order_view read(brook::bytes raw) { return {raw}; }
};
template <> struct brook::serde<order_as_text> {
    using value_type = order;
    static constexpr std::string_view schema = "test.order.text/1";
    static std::string encode(const order& value) { return std::to_string(value.id) + ' ' + value.customer; }
    static order read(brook::bytes) { throw std::invalid_argument{"not an order"}; }
};
template <> struct brook::serde<order_as_words> : brook::serde<order_as_text> {
    static std::vector<std::uint32_t> encode(const order&) { return {}; }  // not bytes
};
template <> struct brook::serde<order_as_nothing> : brook::serde<order_as_text> {
    static void encode(const order&) {}
};
template <> struct brook::serde<order_as_prefix> : brook::serde<order_as_text> {
    static const std::string& encode(const order& value) { return value.customer; }  // nothing made, nothing copied
};
template <> struct brook::serde<unfaithful> {
    static constexpr std::string_view schema = "test.unfaithful/1";
    static void write(const unfaithful& value, brook::writer& out) {
        const std::size_t count = value.calls++ == 0 ? value.first : value.second;
        for (std::size_t i = 0; i < count; ++i) {
            out.put(std::uint8_t{7});
        }
    }
    static unfaithful read(brook::bytes) { return {}; }
};
template <> struct brook::serde<named_tick> : brook::plain_serde<named_tick> {
    static constexpr std::string_view schema = "test.tick/1";
};
template <> struct brook::serde<tick_again> : brook::serde<tick> { using value_type = tick; };
template <> struct brook::serde<only_schema> { static constexpr std::string_view schema = "test.only_schema/1"; };
template <> struct brook::serde<only_read> {
    static only_read read(brook::bytes) { return {}; }
};
template <> struct brook::serde<fixed_code> {
    static constexpr std::string_view schema = "test.fixed_code/1";
    static std::array<char, 4> encode(const fixed_code& value) {
        std::array<char, 4> code{};
        value.text.copy(code.data(), code.size());
        return code;
    }
    static fixed_code read(brook::bytes raw) { return {std::string{brook::as_text(raw)}}; }
};
template <class T> struct brook::serde<boxed<T>> {  // a partial specialisation: no built-in competes with it
    static constexpr std::string_view schema = "test.boxed/1";
    static void write(const boxed<T>& value, brook::writer& out) {
        for (const T& item : value.items) {
            out.put(item);
        }
    }
    static boxed<T> read(brook::bytes raw) {
        boxed<T> value;
        for (brook::reader in{raw}; in.remaining() > 0;) {
            value.items.push_back(in.get<T>());
        }
        return value;
    }
};
template <> struct brook::serde<word> {  // their own risk, their own serde
    static constexpr std::string_view schema = "test.word/1";
    static brook::bytes encode(word value) { return brook::as_bytes(value.text); }
    static word read(brook::bytes raw) { return {brook::as_text(raw)}; }
};

namespace {

using brook::detail::codec;

// ---- what can be stored; the first lines are contract/types.cpp's ----
static_assert(brook::storable<tick> && brook::storable<int> && brook::storable<std::string> &&
              brook::storable<brook::bytes>);
static_assert(!brook::storable<std::string_view> && !brook::storable<std::span<int>>);
static_assert(!brook::storable<const char*> && !brook::storable<std::unique_ptr<int>>);
static_assert(brook::storable_key<pair_key> && brook::storable_key<std::uint64_t> &&
              brook::storable_key<brook::no_key>);
static_assert(!brook::storable_key<padded> && !brook::storable_key<double> && !brook::storable_key<tick>);

static_assert(brook::storable<bool> && brook::storable<double> && brook::storable<side> && brook::storable<padded>);
static_assert(brook::storable<wide> && brook::storable<no_default> && brook::storable<std::vector<std::byte>>);
static_assert(brook::storable<std::array<int, 3>> && brook::storable<std::chrono::nanoseconds>);
static_assert(brook::storable<std::optional<int>> && brook::storable<many_members>);
static_assert(brook::storable<takes_anything> && brook::storable<holds_takes_anything>);
static_assert(brook::storable_key<bool> && brook::storable_key<side> && brook::storable_key<std::string>);
static_assert(brook::storable_key<brook::bytes> && brook::storable_key<no_default>);
static_assert(!brook::storable_key<many_members>);

static_assert(!brook::storable<const int> && !brook::storable<int&> && !brook::storable<void> &&
              !brook::storable<int[3]>);
static_assert(!brook::storable<std::nullptr_t> && !brook::storable<int tick::*> && !brook::storable<void (*)()>);
static_assert(!brook::storable<std::vector<int>> && !brook::storable<std::atomic<int>> && !brook::storable<no_serde>);
static_assert(!brook::storable<std::initializer_list<int>> && !brook::storable<std::vector<int>::iterator>);
static_assert(!brook::storable<std::array<const char*, 2>> && !brook::storable<std::optional<std::u8string_view>>);
static_assert(!brook::storable<brook::tombstone_t>);
static_assert(!brook::storable<named> && !brook::storable<holds_view> && !brook::storable<holds_span>);
static_assert(!brook::storable<holds_named> && !brook::storable<holds_function> && !brook::storable<holds_late>);

// ---- a serde of one's own is taken at its word ----
static_assert(brook::storable<word> && brook::storable_key<word>);
static_assert(brook::storable_key<order> && brook::storable_key<order_as_text> && brook::storable<boxed<int>>);
static_assert(brook::storable<order_as_prefix> && brook::storable<fixed_code> && brook::storable<unfaithful>);
static_assert(brook::storable<named_tick> && !brook::storable_key<named_tick>);  // a new name mends no bytes

// ---- and what it lacks has a name ----
static_assert(brook::readable<order_view> && !brook::storable<order_view> && !brook::has_write_or_encode<order_view>);
static_assert(brook::has_schema<only_schema> && !brook::has_read<only_schema> && !brook::readable<only_schema>);
static_assert(!brook::has_schema<only_read> && brook::has_read<only_read> && !brook::readable<only_read>);
static_assert(!brook::has_schema<no_serde> && !brook::has_read<no_serde> && !brook::has_write_or_encode<no_serde>);
static_assert(!brook::has_encode<order_as_words> && !brook::has_encode<order_as_nothing>);
static_assert(!brook::has_key_bytes<padded> && brook::has_key_bytes<pair_key>);
static_assert(brook::detail::check_storable_key<pair_key>() && brook::detail::check_storable<tick>());
static_assert(brook::detail::check_readable<order_view>() && brook::detail::check_key<order>());

// ---- what reading gives ----
static_assert(std::is_same_v<codec<tick>::view_type, const tick&> &&
              std::is_same_v<codec<pair_key>::view_type, const pair_key&>);
static_assert(std::is_same_v<codec<int>::view_type, int> && std::is_same_v<codec<side>::view_type, side>);
static_assert(std::is_same_v<codec<wide>::view_type, wide>);  // aligned beyond what a segment promises
static_assert(std::is_same_v<codec<std::string>::view_type, std::string_view>);
static_assert(std::is_same_v<codec<brook::bytes>::view_type, brook::bytes>);
static_assert(std::is_same_v<codec<std::vector<std::byte>>::view_type, brook::bytes>);
static_assert(std::is_same_v<codec<brook::no_key>::view_type, brook::no_key>);
static_assert(std::is_same_v<codec<order>::view_type, order> &&
              std::is_same_v<codec<order_view>::view_type, order_view>);
static_assert(std::is_same_v<codec<order_as_text>::value_type, order> &&
              std::is_same_v<codec<order_as_text>::argument_type, const order&>);

// ---- what is known of sizes before there is a value ----
static_assert(codec<tick>::fixed_size == 16 && codec<bool>::fixed_size == 1 && codec<brook::no_key>::fixed_size == 0);
static_assert(codec<fixed_code>::fixed_size == 4);
static_assert(!codec<std::string>::fixed_size && !codec<brook::bytes>::fixed_size && !codec<order>::fixed_size);
static_assert(codec<std::string>::has_view && codec<tick>::has_view && codec<order_as_text>::has_view &&
              !codec<order>::has_view);

// ---- what a writer takes ----
template <class T>
concept puts = requires(brook::writer& out, T value) {
    out.put(value);
};
static_assert(puts<int> && puts<bool> && puts<double> && puts<side> && puts<pair_key> && puts<const char*> &&
              puts<std::string>);
static_assert(puts<brook::bytes> && puts<std::vector<std::byte>> && puts<brook::mutable_bytes>);
static_assert(!puts<padded> && !puts<tick> && !puts<int*> && !puts<std::nullptr_t> && !puts<named> &&
              !puts<std::span<int>>);

// ---- what `send` takes: the producer's overloads, without a producer ----
template <class Key, class Value> struct mock_producer {
    static constexpr bool keyed = !std::is_same_v<Key, brook::no_key>;
    using key_argument = typename codec<Key>::argument_type;
    using value_argument = typename codec<Value>::argument_type;

    std::string last;

    void send(key_argument, value_argument) requires keyed { last = "key, value"; }
    void send(key_argument, brook::tombstone_t) requires keyed { last = "key, tombstone"; }
    void send(value_argument) requires(!keyed) { last = "value"; }
    void send(const brook::record<Key, Value>&) { last = "record"; }
    void send(const brook::record<Key, brook::tombstone_t>&) requires keyed { last = "tombstone record"; }
};

template <class P>
concept sends_null = requires(P& p) {
    p.send("key", nullptr);
};
template <class P>
concept sends_zero = requires(P& p) {
    p.send("key", 0);
};
template <class P>
concept zero_key = requires(P& p) {
    p.send(0, "value");
};
template <class P>
concept null_key = requires(P& p) {
    p.send(nullptr, "value");
};
template <class P>
concept nothing_at_all = requires(P& p) {
    p.send({}, {});
};
template <class P>
concept sends_empty_braces = requires(P& p) {
    p.send("key", {});
};
template <class P>
concept sends_text = requires(P& p, std::string s, std::string_view v, const char* c) {
    p.send(s, v);
    p.send(v, c);
    p.send("a", s);
};
template <class P>
concept sends_tombstone = requires(P& p) {
    p.send("key", brook::tombstone);
};
template <class P>
concept sends_braces = requires(P& p) {
    p.send("AAPL", {1, 2.0});
    p.send({.key = "AAPL", .value = {1, 2.0}, .partition = 1});
};
template <class P>
concept sends_text_for_bool = requires(P& p) {
    p.send("key", "value");
};
template <class P>
concept sends_number_for_bool = requires(P& p) {
    p.send("key", 1);
};
template <class P>
concept sends_bool = requires(P& p, std::vector<int> v) {
    p.send("key", true);
    p.send("key", v.empty());
};

using text_producer = mock_producer<std::string, std::string>;
using tick_producer = mock_producer<std::string, tick>;
using flag_producer = mock_producer<std::string, bool>;
using number_producer = mock_producer<std::uint64_t, std::string>;
static_assert(!sends_null<text_producer> && !sends_zero<text_producer> && !zero_key<text_producer>);
static_assert(!null_key<text_producer> && !nothing_at_all<text_producer>);
static_assert(sends_text<text_producer> && sends_tombstone<text_producer> && sends_tombstone<tick_producer> &&
              sends_braces<tick_producer>);
static_assert(!sends_null<tick_producer> && !sends_zero<tick_producer> && !zero_key<tick_producer>);
static_assert(sends_bool<flag_producer> && !sends_null<flag_producer> && !sends_text_for_bool<flag_producer> &&
              !sends_number_for_bool<flag_producer>);
static_assert(sends_empty_braces<tick_producer> && !sends_empty_braces<text_producer>);  // never a tombstone
static_assert(zero_key<number_producer> && !null_key<number_producer>);

TEST_CASE("send finds the overload that was meant", "[client][serde]") {
    SECTION("for a struct under a text") {
        tick_producer producer;
        producer.send("AAPL", {1, 2.0});
        CHECK(producer.last == "key, value");
        producer.send("AAPL", tick{1, 2.0});
        CHECK(producer.last == "key, value");
        producer.send({.key = "AAPL", .value = {1, 2.0}, .partition = 1});
        CHECK(producer.last == "record");
        producer.send("AAPL", brook::tombstone);
        CHECK(producer.last == "key, tombstone");
        producer.send({.key = "AAPL", .value = brook::tombstone, .headers = {{"why", "sold"}}});
        CHECK(producer.last == "tombstone record");
    }
    SECTION("for records without a key") {
        mock_producer<brook::no_key, tick> producer;
        producer.send({1, 2.0});
        CHECK(producer.last == "value");
        producer.send(tick{1, 2.0});
        CHECK(producer.last == "value");
        producer.send({.value = {1, 2.0}, .partition = 1});
        CHECK(producer.last == "record");

        mock_producer<brook::no_key, std::string> texts;
        texts.send("text");
        CHECK(texts.last == "value");
        texts.send({.value = "text"});
        CHECK(texts.last == "record");

        mock_producer<brook::no_key, brook::bytes> frames;
        frames.send(std::vector<std::byte>(3));
        CHECK(frames.last == "value");
    }
    SECTION("for a type of one's own, and its tag") {
        mock_producer<brook::no_key, order_as_text> producer;
        producer.send({.id = 9, .customer = "Bob", .items = {}, .note = {}});
        CHECK(producer.last == "value");
        const order made{};
        producer.send(made);
        CHECK(producer.last == "value");

        mock_producer<order, order> pairs;
        pairs.send(made, made);
        CHECK(pairs.last == "key, value");
        pairs.send({.key = made, .value = made, .headers = {{"retry", "1"}}, .partition = 2});
        CHECK(pairs.last == "record");
    }
    SECTION("for numbers") {
        mock_producer<std::uint64_t, std::string> producer;
        producer.send(1, "paid");
        CHECK(producer.last == "key, value");
        for (std::uint64_t i = 0; i < 1; ++i) {
            producer.send(i, "job " + std::to_string(i));
        }
        CHECK(producer.last == "key, value");
    }
}

TEST_CASE("a plain struct is stored as it is and read in place", "[client][serde]") {
    alignas(8) std::array<std::byte, 16> segment{};
    const tick sent{42, 1.5};
    const auto prepared = codec<tick>::prepare(sent);
    REQUIRE(prepared.size() == 16);
    CHECK(prepared.view().data() == static_cast<const void*>(&sent));  // hashed where it lies
    prepared.write_to(segment.data());

    const tick& read = codec<tick>::read(segment);
    CHECK(static_cast<const void*>(&read) == segment.data());
    CHECK(read.sequence == 42);
    CHECK(read.price == 1.5);
}

TEST_CASE("a plain type refuses bytes of another size, and says both sizes", "[client][serde]") {
    alignas(8) const std::array<std::byte, 24> segment{};
    const auto size = GENERATE(std::size_t{0}, std::size_t{8}, std::size_t{15}, std::size_t{17}, std::size_t{24});
    CAPTURE(size);
    const brook::bytes raw = brook::bytes{segment}.first(size);
    CHECK(error_of([&] { static_cast<void>(codec<tick>::read(raw)); }) == brook::errc::schema_read);
    CHECK(error_of([&] { static_cast<void>(codec<tick>::read_unaligned(raw)); }) == brook::errc::schema_read);
    CHECK(error_of([&] { static_cast<void>(codec<wide>::read(raw)); }) == brook::errc::schema_read);

    const std::string text = text_of_error([&] { static_cast<void>(codec<tick>::read(raw)); });
    CAPTURE(text);
    CHECK(text.find("16 bytes") != std::string::npos);
    CHECK(text.find("there are " + std::to_string(size)) != std::string::npos);
}

TEST_CASE("numbers, enums and texts come back as they were sent", "[client][serde]") {
    const auto read = [](auto tag, const std::vector<std::byte>& raw) {
        return codec<typename decltype(tag)::type>::read(raw);
    };

    CHECK(read(std::type_identity<int>{}, stored_as<int>(-7)) == -7);
    CHECK(read(std::type_identity<double>{}, stored_as<double>(0.1)) == 0.1);
    CHECK(read(std::type_identity<side>{}, stored_as<side>(side::sell)) == side::sell);
    CHECK(read(std::type_identity<bool>{}, stored_as<bool>(true)));
    CHECK_FALSE(read(std::type_identity<bool>{}, stored_as<bool>(false)));
    CHECK(read(std::type_identity<no_default>{}, stored_as<no_default>(no_default{3})).number == 3);
    const auto text = stored_as<std::string>("caf\xc3\xa9");
    CHECK(text.size() == 5);
    CHECK(codec<std::string>::read(text) == "caf\xc3\xa9");
    CHECK(stored_as<std::string>(std::string_view{}).empty());
    CHECK(stored_as<std::string>(std::string_view{"a\0b", 3}).size() == 3);
    CHECK(stored_as<brook::bytes>(text) == text);
    CHECK(stored_as<std::vector<std::byte>>(text) == text);
    CHECK(stored_as<brook::no_key>({}).empty());
    CHECK(stored_as<fixed_code>({"EUR"}).size() == 4);
}

TEST_CASE("integers are stored little-endian", "[client][serde]") {
    CHECK(stored_as<std::uint32_t>(0x01020304u) == std::vector{std::byte{4}, std::byte{3}, std::byte{2}, std::byte{1}});
}

TEST_CASE("a bool stored as neither 0 nor 1 is an error, not undefined behaviour", "[client][serde]") {
    const std::array raw{std::byte{2}};
    CHECK(error_of([&] { static_cast<void>(codec<bool>::read(raw)); }) == brook::errc::schema_read);
    CHECK(error_of([&] { brook::reader{raw}.get<bool>(); }) == brook::errc::schema_read);
}

TEST_CASE("a type that wants more alignment than a segment has is copied out", "[client][serde]") {
    alignas(32) std::array<std::byte, sizeof(wide) + 8> memory{};
    const wide sent{{1, 2, 3, 4}};
    const auto prepared = codec<wide>::prepare(sent);
    prepared.write_to(memory.data() + 8);
    const brook::bytes raw = brook::bytes{memory}.subspan(8);  // 8-aligned, not 32-aligned
    CHECK(codec<wide>::read(raw).lanes == sent.lanes);
}

TEST_CASE("memory that nobody aligned is read by copy", "[client][serde]") {
    alignas(8) std::array<std::byte, 17> memory{};
    const tick sent{42, 1.5};
    codec<tick>::prepare(sent).write_to(memory.data() + 1);
    CHECK(codec<tick>::read_unaligned(brook::bytes{memory}.subspan(1)).sequence == 42);
    CHECK(codec<std::string>::read_unaligned(brook::as_bytes("text")) == "text");
}

TEST_CASE("a serde that writes is asked twice: for the size, then for the bytes", "[client][serde]") {
    const order sent{.id = 7, .customer = "Ada", .items = {1, 2, 3}, .note = "gift"};
    const auto prepared = codec<order>::prepare(sent);
    CHECK(prepared.size() == 8 + 4 + 3 + 4 + 3 * 4 + 1 + 4 + 4);
    CHECK(codec<order>::read(stored(prepared)) == sent);
}

TEST_CASE("a serde that gives other bytes than it counted is caught before anything is overrun", "[client][serde]") {
    const auto [first, second] = GENERATE(Catch::Generators::table<std::size_t, std::size_t>({
        {4, 5},  // would overrun
        {4, 3},  // would leave garbage
        {0, 1},
        {1, 0},
    }));
    CAPTURE(first, second);
    const unfaithful value{.first = first, .second = second};
    const auto prepared = codec<unfaithful>::prepare(value);
    REQUIRE(prepared.size() == first);

    std::array<std::byte, 8> memory{};
    CHECK(error_of([&] { prepared.write_to(memory.data()); }) == brook::errc::illegal_state);
    for (std::size_t i = first; i < memory.size(); ++i) {
        CHECK(memory[i] == std::byte{0});
    }
}

TEST_CASE("a serde that encodes keeps its buffer until the bytes are in place", "[client][serde]") {
    const order sent{.id = 7, .customer = std::string(100, 'A'), .items = {}, .note = {}};
    CHECK(brook::as_text(stored(codec<order_as_text>::prepare(sent))) == "7 " + sent.customer);

    const auto in_place = codec<order_as_prefix>::prepare(sent);
    CHECK(in_place.view().data() == static_cast<const void*>(sent.customer.data()));  // a reference is not copied
}

TEST_CASE("what a user's read throws passes through unchanged", "[client][serde]") {
    CHECK_THROWS_AS(codec<order_as_text>::read({}), std::invalid_argument);
}

TEST_CASE("a serde for a whole template is never ambiguous with a built-in", "[client][serde]") {
    const boxed<std::uint16_t> sent{{1, 2, 3}};
    CHECK(codec<boxed<std::uint16_t>>::read(stored(codec<boxed<std::uint16_t>>::prepare(sent))).items == sent.items);
    const auto raw = stored_as<word>({"abc"});
    CHECK(codec<word>::read(raw).text == "abc");
}

TEST_CASE("a key's bytes are at hand before there is a place for them", "[client][serde]") {
    SECTION("in place, where they exist already") {
        const std::string text(1'000, 'x');
        const brook::detail::serialized<std::string> key{text};
        CHECK(key.view().data() == static_cast<const void*>(text.data()));
        CHECK(key.size() == text.size());

        const pair_key pair{1, 2};
        CHECK(brook::detail::serialized<pair_key>{pair}.view().data() == static_cast<const void*>(&pair));
    }
    SECTION("written once, whether they are few or many") {
        const auto count = GENERATE(std::size_t{0}, std::size_t{59}, std::size_t{60}, std::size_t{10'000});
        CAPTURE(count);
        const order sent{
            .id = 1, .customer = "Ada", .items = std::vector<std::uint32_t>(count, 0x07070707), .note = {}};
        const brook::detail::serialized<order> key{sent};
        CHECK(key.size() == 20 + count * 4);
        CHECK(codec<order>::read(key.view()) == sent);

        std::vector<std::byte> copy(key.size());
        key.write_to(copy.data());
        CHECK(codec<order>::read(copy) == sent);
    }
}

TEST_CASE("fingerprints tell kinds, sizes, alignments and schemas apart, and nothing else", "[client][serde]") {
    constexpr auto of = [](auto tag) { return codec<typename decltype(tag)::type>::fingerprint(); };
    const std::vector all{
        of(std::type_identity<std::int32_t>{}), of(std::type_identity<std::uint32_t>{}),
        of(std::type_identity<std::int64_t>{}), of(std::type_identity<float>{}),
        of(std::type_identity<double>{}),       of(std::type_identity<bool>{}),
        of(std::type_identity<side>{}),         of(std::type_identity<signed_side>{}),
        of(std::type_identity<tick>{}),         of(std::type_identity<pair_key>{}),
        of(std::type_identity<wide>{}),         of(std::type_identity<std::string>{}),
        of(std::type_identity<brook::bytes>{}), of(std::type_identity<brook::no_key>{}),
        of(std::type_identity<order>{}),        of(std::type_identity<order_as_text>{}),
        of(std::type_identity<named_tick>{}),
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            CAPTURE(i, j);
            CHECK(all[i] != all[j]);
        }
    }

    struct tick_by_another_name {
        double price;
        std::uint64_t sequence;
    };
    struct alignas(4) half_aligned {
        std::array<std::uint32_t, 4> words;
    };
    CHECK(of(std::type_identity<tick>{}) == of(std::type_identity<tick_by_another_name>{}));
    CHECK(of(std::type_identity<tick>{}) != of(std::type_identity<half_aligned>{}));
    CHECK(of(std::type_identity<tick>{}) == of(std::type_identity<tick_again>{}));
    CHECK(of(std::type_identity<order>{}) == of(std::type_identity<order_view>{}));
    CHECK(of(std::type_identity<order_as_text>{}) == of(std::type_identity<order_as_prefix>{}));
    CHECK(of(std::type_identity<brook::bytes>{}) == of(std::type_identity<std::vector<std::byte>>{}));
    CHECK(of(std::type_identity<long>{}) == of(std::type_identity<long long>{}));
}

TEST_CASE("fingerprints stay what they were: they are on disk", "[client][serde]") {
    static_assert(codec<std::string>::fingerprint() != 0);  // known to the compiler
    CHECK(codec<std::string>::fingerprint() == 0x08831070062d2c8bu);
    CHECK(codec<brook::bytes>::fingerprint() == 0x03ce042c5f941a31u);
    CHECK(codec<brook::no_key>::fingerprint() == 0x6cda900219d22b6au);
    CHECK(codec<std::uint64_t>::fingerprint() == 0x18e8906138045c83u);
    CHECK(codec<tick>::fingerprint() == 0xb32a101952cb70efu);
    CHECK(codec<order>::fingerprint() == 0x72d81c6461021defu);
}

TEST_CASE("a writer counts what it would write", "[client][serde]") {
    const auto write = [](brook::writer& out) {
        out.put(std::uint8_t{1});
        out.put(std::uint64_t{2});
        out.put(true);
        out.put(side::sell);
        out.put(pair_key{3, 4});
        out.put(0.5);
        out.put("text");
        out.put(std::string{"string"});
        out.put(std::vector(3, std::byte{9}));
        out.raw(brook::as_bytes("raw"));
        out.raw({});
    };
    brook::writer count;
    write(count);
    REQUIRE(count.size() == 1 + 8 + 1 + 1 + 8 + 8 + (4 + 4) + (4 + 6) + (4 + 3) + 3);

    std::vector<std::byte> memory(count.size());
    brook::writer out{memory};
    write(out);
    CHECK(out.size() == count.size());

    brook::reader in{memory};
    CHECK(in.get<std::uint8_t>() == 1);
    CHECK(in.get<std::uint64_t>() == 2);  // at byte 1: alignment does not matter
    CHECK(in.get<bool>());
    CHECK(in.get<side>() == side::sell);
    CHECK(in.get<pair_key>().instrument == 4);
    CHECK(in.get<double>() == 0.5);
    CHECK(in.text() == "text");
    CHECK(in.text() == "string");
    CHECK(in.blob().size() == 3);
    CHECK(in.remaining() == 3);
    CHECK(brook::as_text(in.raw(2)) == "ra");
    CHECK(brook::as_text(in.rest()) == "w");
    CHECK(in.remaining() == 0);
    CHECK(in.rest().empty());
}

TEST_CASE("a writer never writes past what was claimed", "[client][serde]") {
    std::array<std::byte, 8> memory{};
    brook::writer out{brook::mutable_bytes{memory}.first(6)};
    out.put(std::uint32_t{~0u});
    CHECK(error_of([&] { out.put(std::uint32_t{~0u}); }) == brook::errc::illegal_state);
    CHECK(error_of([&] { out.put("text"); }) == brook::errc::illegal_state);
    CHECK(memory[4] == std::byte{0});
    CHECK(memory[6] == std::byte{0});
    const std::string text = text_of_error([&] { out.put(std::uint32_t{0}); });
    CAPTURE(text);
    CHECK(text.find("4 more at byte 4 of 6") != std::string::npos);

    brook::writer nowhere{brook::mutable_bytes{}};
    nowhere.raw({});
    CHECK(error_of([&] { nowhere.put(std::uint8_t{1}); }) == brook::errc::illegal_state);
}

TEST_CASE("a text whose length does not fit 32 bits is too large", "[client][serde]") {
    const brook::bytes huge{static_cast<const std::byte*>(nullptr), std::size_t{1} << 32};  // counted, never touched
    brook::writer count;
    CHECK(error_of([&] { count.put(huge); }) == brook::errc::record_too_large);
    count.put(huge.first(huge.size() - 1));
    CHECK(count.size() == 4 + huge.size() - 1);
}

TEST_CASE("a reader says where the bytes end early", "[client][serde]") {
    const order sent{.id = 7, .customer = "Ada", .items = {1, 2}, .note = "gift"};
    const std::vector<std::byte> whole = stored_as<order>(sent);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(size);
        const std::vector<std::byte> torn(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(error_of([&] { static_cast<void>(codec<order>::read(torn)); }) == brook::errc::schema_read);
    }
    brook::reader in{brook::bytes{whole}.first(12)};
    in.get<std::uint64_t>();
    const std::string text = text_of_error([&] { in.text(); });
    CAPTURE(text);
    CHECK(text.find("3 wanted at byte 12 of 12") != std::string::npos);
}

TEST_CASE("a length from a corrupt record cannot make a reader run away", "[client][serde]") {
    std::array<std::byte, 8> raw{};
    brook::store(raw.data(), std::numeric_limits<std::uint32_t>::max());
    CHECK(error_of([&] { brook::reader{raw}.text(); }) == brook::errc::schema_read);
    brook::reader in{raw};
    in.get<std::uint32_t>();
    CHECK(error_of([&] { in.raw(std::numeric_limits<std::size_t>::max()); }) == brook::errc::schema_read);
}

}  // namespace
