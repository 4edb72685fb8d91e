// Uses both networks, as far as one can without files and ports.
#include <brook/tcp.hpp>
#include <brook/tls.hpp>

int main() {
    brook::tcp_transport plain{brook::tcp_options{.node_id = 1, .listen = "127.0.0.1:9101", .peers = {{1, "127.0.0.1:9101"}, {2, "127.0.0.1:9102"}}}};
    try {
        brook::tls_transport secure{brook::tls_options{.node_id = 1, .listen = "127.0.0.1:9101", .certificate_file = "none", .private_key_file = "none", .ca_file = "none"}};
    } catch (brook::error const&) {
        return plain.largest_datagram() == (8u << 20) - 8 ? 0 : 1;
    }
    return 1;
}
