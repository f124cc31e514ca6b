//! Networks of the configuration: `10.0.0.0/8`, or one address.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

/// An address or a network of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is no [`Network`]. Retrying helps after it was corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Neither address nor network.
    #[error("write an address such as 192.0.2.1 or a network such as 192.0.2.0/24")]
    Form,
    /// Bits behind the prefix.
    #[error("the address has bits behind the network's prefix: write a network's first address, or one address alone")]
    HostBits,
    /// All addresses there are.
    #[error("a network must not be every address")]
    Everything,
    /// IPv4 addresses in the form of IPv6.
    #[error("write an IPv4 address as 192.0.2.1, not in the form of IPv6")]
    Mapped,
}

impl Network {
    /// Whether the address is in it. An IPv4 address in the form of IPv6 is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| NetworkError::Form)?,
        };
        if network.trunc() != network {
            return Err(NetworkError::HostBits);
        }
        if network.prefix_len() == 0 {
            return Err(NetworkError::Everything);
        }
        if network.addr().to_canonical() != network.addr() {
            return Err(NetworkError::Mapped);
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format!("{text:?} is no network: {error}")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_that_could_be_mistakes_are_refused() {
        for (text, error) in [
            ("", NetworkError::Form),
            ("proxy.example.org", NetworkError::Form),
            ("192.0.2.1/33", NetworkError::Form),
            ("192.0.2.1:8443", NetworkError::Form),
            ("192.0.2.1/24", NetworkError::HostBits),
            ("0.0.0.0/0", NetworkError::Everything),
            ("::/0", NetworkError::Everything),
            ("::ffff:192.0.2.1", NetworkError::Mapped),
            ("::ffff:192.0.2.0/120", NetworkError::Mapped),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }

    #[test]
    fn network_has_its_addresses_and_no_others() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        for (address, contained) in
            [("10.1.255.1", true), ("::ffff:10.1.2.3", true), ("10.2.0.0", false), ("::10.1.0.1", false)]
        {
            assert_eq!(network.contains(address.parse().unwrap()), contained, "{address}");
        }
    }

    proptest! {
        #[test]
        fn network_is_written_as_it_is_read(address: IpAddr, length in 1_u8..=128) {
            let length = if address.is_ipv4() { length.min(32) } else { length };
            let network = IpNet::new(address, length).unwrap().trunc().to_string();
            if let Ok(network) = network.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = text.parse::<Network>();
        }
    }
}
