//! Networks.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::fields::FieldError;

/// The bits before the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// Reads `10.20.0.0/16`, `2001:db8::/32` or a single address. IPv4-mapped networks become IPv4 networks.
pub(super) fn parse(text: &str) -> Result<IpNet, FieldError> {
    let wrong = || FieldError(format!("{text:?} is no network: write 10.20.0.0/16, 2001:db8::/32 or one address"));
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| wrong())?),
    };
    if net.addr() != net.network() {
        let right = net.trunc();
        return Err(FieldError(format!("{text:?} has bits behind the prefix: write {right} or one address")));
    }
    match net {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(MAPPED_BITS)) {
            (Some(v4), Some(bits)) => Ipv4Net::new(v4, bits).map(IpNet::V4).map_err(|_| wrong()),
            _ => Ok(IpNet::V6(v6)),
        },
        v4 @ IpNet::V4(_) => Ok(v4),
    }
}

/// Whether the address is in the network that the text names. None if it names none.
#[must_use]
pub fn network_contains(text: &str, address: IpAddr) -> Option<bool> {
    parse(text).ok().map(|net| contains(&net, address))
}

/// Whether the address is in the network. An IPv4-mapped address is an IPv4 address, and no IPv4 address is in a network
/// of IPv6, as Cedar has it.
pub(super) fn contains(net: &IpNet, address: IpAddr) -> bool {
    net.contains(&address.to_canonical())
}
