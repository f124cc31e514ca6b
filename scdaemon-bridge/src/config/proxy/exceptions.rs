//! Servers that are reached without the proxy, as `NO_PROXY` lists them.

use std::net::IpAddr;

/// A list of names, addresses and networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions(Vec<String>);

impl Exceptions {
    /// Reads a list with commas or blanks. `example.org` and `.example.org` mean the name and all below it,
    /// `10.0.0.0/8` a network, `host:8443` that port alone, `*` everything.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let entries = list.split([',', ' ', '\t', '\n', '\r']).filter(|entry| !entry.is_empty());
        Self(entries.map(str::to_lowercase).collect())
    }

    /// The entries as they were written, in lower case.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a server is on the list. `host` is a name or an address without brackets.
    #[must_use]
    pub fn cover(&self, host: &str, port: u16) -> bool {
        let host = host.to_lowercase();
        let host = host.trim_end_matches('.');
        let address = host.parse::<IpAddr>().ok();
        self.iter().any(|entry| covers(entry, host, port, address))
    }
}

fn covers(entry: &str, host: &str, port: u16, address: Option<IpAddr>) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some(address) = address {
        let (entry, only) = split_port(entry);
        return only.is_none_or(|only| only == port) && in_network(entry, address);
    }
    let (entry, only) = split_port(entry);
    let name = entry.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
    let below = host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.is_empty() && below && only.is_none_or(|only| only == port)
}

/// Takes `:8443` off, but nothing of an IPv6 address, which needs brackets before a port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((inner, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (inner, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn in_network(entry: &str, address: IpAddr) -> bool {
    let (base, length) = match entry.split_once('/') {
        Some((base, length)) => match length.parse::<u32>() {
            Ok(length) => (base, Some(length)),
            Err(_) => return false,
        },
        None => (entry, None),
    };
    match (base.parse(), address) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address)) => {
            let length = length.unwrap_or(32);
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
            length <= 32 && base.to_bits() & mask == address.to_bits() & mask
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address)) => {
            let length = length.unwrap_or(128);
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
            length <= 128 && base.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_cover_what_is_below_them_and_networks_what_is_in_them() {
        let list =
            Exceptions::parse("localhost,.example.org  10.0.0.0/8,192.168.1.7 fd00::/8 [2001:db8::1]:8443,near:8443");
        for (host, port) in [
            ("localhost", 1),
            ("example.org", 1),
            ("a.b.EXAMPLE.org.", 1),
            ("10.255.0.1", 1),
            ("192.168.1.7", 1),
            ("fd12::1", 1),
            ("2001:db8::1", 8443),
            ("near", 8443),
        ] {
            assert!(list.cover(host, port), "{host}");
        }
        for (host, port) in [
            ("notexample.org", 1),
            ("example.org.evil", 1),
            ("11.0.0.1", 1),
            ("192.168.1.8", 1),
            ("2001:db8::1", 443),
            ("near", 443),
            ("10.evil.example", 1),
        ] {
            assert!(!list.cover(host, port), "{host}");
        }
        assert!(Exceptions::parse("*").cover("any", 1) && !Exceptions::parse(" , ").cover("any", 1));
        assert!(
            Exceptions::parse("0.0.0.0/0").cover("8.8.8.8", 1) && !Exceptions::parse("1.1.1.1/99").cover("1.1.1.1", 1)
        );
    }

    proptest! {
        #[test]
        fn any_list_is_read_and_a_name_on_it_is_covered(list: String, name in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}") {
            let _ = Exceptions::parse(&list).cover("10.0.0.1", 443);
            let with = format!("{list},{name}");
            prop_assert!(Exceptions::parse(&with).cover(&name, 443));
        }
    }
}
