//! The address of `--listen`.

use std::net::{SocketAddr, ToSocketAddrs as _};

/// Reads `ADDRESS:PORT`, where the address may be a name of this machine.
///
/// # Errors
/// A sentence that shows the form.
pub(super) fn parse(text: &str) -> Result<SocketAddr, String> {
    const FORM: &str = "give an address and a port, such as 127.0.0.1:8443 (this machine only) or 0.0.0.0:8443 \
        (every network)";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
    if host.is_empty() || host.contains(':') || port.parse::<u16>().is_err() {
        return Err(FORM.to_owned());
    }
    // A name may have an address of each family: the older one is what other tools choose.
    let mut addresses: Vec<_> =
        text.to_socket_addrs().map_err(|error| format!("{host} is not a name of this machine: {error}"))?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.first().copied().ok_or_else(|| format!("{host} has no address"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_taken() {
        for (text, address) in
            [("0.0.0.0:8443", "0.0.0.0:8443"), ("[::]:1", "[::]:1"), ("localhost:8443", "127.0.0.1:8443")]
        {
            assert_eq!(parse(text).unwrap().to_string(), address);
        }
    }

    #[test]
    fn other_forms_are_refused_with_an_example() {
        for text in ["8443", "", ":8443", "localhost", "localhost:http", "::1:8443", "127.0.0.1:99999"] {
            assert!(parse(text).unwrap_err().contains("such as 127.0.0.1:8443"), "{text}");
        }
    }
}
