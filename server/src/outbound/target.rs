//! Which addresses a webhook may connect to. A name is resolved once, its addresses are judged, and the connection goes
//! to one of those, so that no second answer of the name service can lead it elsewhere.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::{net::lookup_host, sync::Semaphore, time::timeout};

use crate::limits;

/// Networks of IPv4 that are not the public internet.
const PRIVATE_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The public internet of IPv6.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Networks in it that are not: protocols' own, documentation, and those that hold an IPv4 address.
const PRIVATE_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// IPv4 addresses as networks with IPv6 alone write them.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether the address is one of the public internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let within = |&(network, bits): &(Ipv4Addr, u8)| Ipv4Net::new_assert(network, bits).contains(&address);
    !PRIVATE_V4.iter().any(within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |&(network, bits): &(Ipv6Addr, u8)| Ipv6Net::new_assert(network, bits).contains(&address);
    if within(&NAT64) {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    within(&PUBLIC_V6) && !PRIVATE_V6.iter().any(within)
}

/// The receiver has no address that may be used. Retrying helps after its name or the configuration was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrivateAddress(IpAddr);

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a public address, and allow-private-networks is not set", self.0)
    }
}

impl std::error::Error for PrivateAddress {}

/// Expects that an address that stands in the URL itself may be used: it is not resolved.
pub(crate) fn check_literal(url: &Url, allow_private: bool) -> Result<(), PrivateAddress> {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    literal.map_or(Ok(()), |address| check_address(address, allow_private))
}

/// Whether the URL is one of plain HTTP to this machine, whose address needs no name service. Others need TLS.
pub(crate) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    url.scheme() == "http" && literal.is_ok_and(|address| address.is_loopback())
}

/// Expects that an address may be used.
pub(crate) fn check_address(address: IpAddr, allow_private: bool) -> Result<(), PrivateAddress> {
    if allow_private || is_public(address) { Ok(()) } else { Err(PrivateAddress(address)) }
}

/// Resolves names to addresses that may be used.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    allow_private: bool,
    /// Each look-up occupies a thread until the system gives it up. Those threads also check passwords.
    lookups: Arc<Semaphore>,
}

impl Resolver {
    pub(crate) const fn new(allow_private: bool, lookups: Arc<Semaphore>) -> Self {
        Self { allow_private, lookups }
    }

    /// The addresses of a name, with port 0.
    pub(crate) async fn addresses(
        self,
        host: String,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let permit = self.lookups.acquire_owned().await?;
        // It goes on when nobody waits for it any more, and keeps its permit.
        let looking = tokio::spawn(async move {
            let found: std::io::Result<Vec<SocketAddr>> =
                lookup_host((host, 0)).await.map(|addresses| addresses.collect());
            drop(permit);
            found
        });
        let found = timeout(limits::NOTICE_LOOKUP, looking).await???;
        let (usable, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.allow_private || is_public(address.ip()));
        match refused.first() {
            Some(refused) if usable.is_empty() => Err(PrivateAddress(refused.ip()).into()),
            _ => Ok(usable),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (this, host) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let usable = this.addresses(host).await?;
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

/// Look-ups of all channels at once.
pub(crate) fn lookups() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits::NOTICE_LOOKUPS))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_own_networks_are_not_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in
            ["8.8.8.8", "100.63.0.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00::1", "64:ff9b::808:808"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn address_in_the_url_is_judged_however_it_is_written() {
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]:8443/a",
            "https://169.254.169.254/latest/meta-data",
        ] {
            let url = Url::parse(url).unwrap();
            assert!(check_literal(&url, false).is_err(), "{url}");
            assert!(check_literal(&url, true).is_ok(), "{url}");
        }
        assert!(check_literal(&Url::parse("https://hooks.example.org/").unwrap(), false).is_ok());
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for (url, local) in [
            ("http://127.0.0.1:4318/", true),
            ("http://[::1]:4318/", true),
            ("http://localhost:4318/", false),
            ("http://192.0.2.1/", false),
            ("https://127.0.0.1/", false),
        ] {
            assert_eq!(is_local(&Url::parse(url).unwrap()), local, "{url}");
        }
    }

    #[tokio::test]
    async fn name_with_private_addresses_alone_is_refused() {
        let name = || "localhost".parse::<Name>().unwrap();
        let strict = Resolver::new(false, lookups());
        let error = strict.resolve(name()).await.err().unwrap();
        assert!(error.downcast_ref::<PrivateAddress>().is_some(), "{error}");
        let lax = Resolver::new(true, lookups());
        assert!(lax.resolve(name()).await.unwrap().all(|address| address.ip().is_loopback()));
    }

    proptest! {
        #[test]
        fn mapped_and_translated_addresses_are_as_public_as_their_ipv4(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = v4.octets().map(u16::from);
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
            prop_assert!(!is_public(v4.to_ipv6_mapped().into()));
            prop_assert_eq!(is_public(nat64.into()), is_public(v4.into()));
        }
    }
}
