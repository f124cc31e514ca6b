//! The header by which a proxy says whose connection it passes on: the PROXY protocol of HAProxy, version 2, and version
//! 1 for proxies that send no other.
//!
//! Stricter than the specification where it leaves a choice: a connection that the proxy passes on has the address of a
//! TCP client, or is refused. So no client is ever taken for the proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// What version 2 begins with.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// The longest header that is read. Proxies send fewer than 536 bytes, unless they add a client's certificate.
pub const MAX_HEADER: usize = 2048;

/// The longest line of version 1, its end included.
const MAX_TEXT: usize = 107;

/// The shortest header of either version: the line without addresses.
const MIN_HEADER: usize = 15;

/// The part of version 2 before the addresses.
const FIXED: usize = 16;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client's, with its canonical address.
    Client(SocketAddr),
    /// The proxy's own, such as a health check.
    Proxy,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A part of a header. There are at least so many bytes in all.
    Partial(usize),
    /// A header of this length.
    Header(Source, usize),
}

/// Why the first bytes are no header that is accepted. Retrying can't help: the proxy's configuration is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Something else, such as a TLS handshake.
    #[error("there is no header of the PROXY protocol: is the proxy configured to send it?")]
    Missing,
    /// Another version than 1 and 2.
    #[error("the header has a version that is not known")]
    Version,
    /// Neither LOCAL nor PROXY.
    #[error("the header has a command that is not known")]
    Command,
    /// The client is not connected by TCP over IPv4 or IPv6, or the proxy does not know how.
    #[error("the header does not have the address of a TCP client")]
    Family,
    /// Shorter than its addresses.
    #[error("the header is too short for its addresses")]
    TooShort,
    /// Longer than [`MAX_HEADER`], or a line without an end.
    #[error("the header is too long")]
    TooLong,
    /// A line whose addresses can't be read.
    #[error("the header's line is malformed")]
    Line,
}

/// Reads the header that `bytes` begin with. As long as it is [`Parsed::Partial`], a reader that reads no more than that
/// many bytes takes nothing that follows the header.
///
/// # Errors
/// See [`HeaderError`].
pub fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(found, expected)| found == expected);
    if !begins(&SIGNATURE) && !begins(TEXT) {
        return Err(HeaderError::Missing);
    }
    if bytes.len() < MIN_HEADER {
        return Ok(Parsed::Partial(MIN_HEADER));
    }
    if begins(TEXT) { line(bytes) } else { binary(bytes) }
}

/// Section 2.2 of the specification.
fn binary(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Ok(Parsed::Partial(FIXED)) };
    let [.., version_and_command, family, high, low] = *fixed;
    if version_and_command >> 4 != 2 {
        return Err(HeaderError::Version);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let end = FIXED + length;
    if end > MAX_HEADER {
        return Err(HeaderError::TooLong);
    }
    let is_proxys_own = match version_and_command & 0xf {
        0 => true,
        1 => false,
        _ => return Err(HeaderError::Command),
    };
    let addresses = match family {
        _ if is_proxys_own => 0,
        0x11 => 12,
        0x21 => 36,
        _ => return Err(HeaderError::Family),
    };
    if length < addresses {
        return Err(HeaderError::TooShort);
    }
    if rest.len() < length {
        return Ok(Parsed::Partial(end));
    }
    let source = match family {
        _ if is_proxys_own => Source::Proxy,
        0x11 => four(rest).ok_or(HeaderError::TooShort)?,
        _ => six(rest).ok_or(HeaderError::TooShort)?,
    };
    // What follows the addresses (TLVs) is not needed.
    Ok(Parsed::Header(source, end))
}

/// Source and destination address, then their ports.
fn four(bytes: &[u8]) -> Option<Source> {
    let (address, rest) = bytes.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (port, _) = rest.split_first_chunk::<2>()?;
    Some(client(Ipv4Addr::from(*address).into(), u16::from_be_bytes(*port)))
}

fn six(bytes: &[u8]) -> Option<Source> {
    let (address, rest) = bytes.split_first_chunk::<16>()?;
    let (_, rest) = rest.split_first_chunk::<16>()?;
    let (port, _) = rest.split_first_chunk::<2>()?;
    Some(client(Ipv6Addr::from(*address).into(), u16::from_be_bytes(*port)))
}

fn client(address: IpAddr, port: u16) -> Source {
    Source::Client(SocketAddr::new(address.to_canonical(), port))
}

/// Section 2.1 of the specification.
fn line(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let Some(end) = bytes.iter().take(MAX_TEXT).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_TEXT { Ok(Parsed::Partial(bytes.len() + 1)) } else { Err(HeaderError::TooLong) };
    };
    let text = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(HeaderError::Line)?;
    let text = str::from_utf8(text).map_err(|_| HeaderError::Line)?;
    let mut words = text.split(' ').skip(1);
    let family = words.next();
    if !matches!(family, Some("TCP4" | "TCP6")) {
        return Err(HeaderError::Family);
    }
    let mut address = || {
        let word = words.next()?;
        if family == Some("TCP4") { word.parse().map(IpAddr::V4).ok() } else { word.parse().map(IpAddr::V6).ok() }
    };
    let (source, _destination) = address().zip(address()).ok_or(HeaderError::Line)?;
    let (from, _to) = words.next().and_then(port).zip(words.next().and_then(port)).ok_or(HeaderError::Line)?;
    if words.next().is_some() {
        return Err(HeaderError::Line);
    }
    Ok(Parsed::Header(client(source, from), end + 1))
}

/// A port without a sign or leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of version 2 as proxies send it, with bytes of TLVs.
    fn header(source: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
        let (family, mut addresses) = match source.ip() {
            IpAddr::V4(ip) => (0x11, [ip.octets(), [192, 0, 2, 99]].concat()),
            IpAddr::V6(ip) => (0x21, [ip.octets(), Ipv6Addr::LOCALHOST.octets()].concat()),
        };
        addresses.extend([source.port().to_be_bytes(), 8443_u16.to_be_bytes()].concat());
        addresses.extend(tlvs);
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x21, family], &length, &addresses].concat()
    }

    fn line_of(source: SocketAddr) -> Vec<u8> {
        let (family, destination) = if source.is_ipv4() { ("TCP4", "192.0.2.99") } else { ("TCP6", "::1") };
        format!("PROXY {family} {} {destination} {} 8443\r\n", source.ip(), source.port()).into_bytes()
    }

    /// As a connection is read: never more than what the header needs. The header, and how many bytes were taken.
    fn read(bytes: &[u8]) -> Result<Option<(Source, usize)>, HeaderError> {
        let mut taken = 0;
        loop {
            match parse(&bytes[..taken])? {
                Parsed::Header(source, length) => return Ok(Some((source, length))),
                Parsed::Partial(needed) if needed > bytes.len() => return Ok(None),
                Parsed::Partial(needed) => {
                    assert!(needed > taken);
                    taken = needed;
                }
            }
        }
    }

    fn canonical(source: SocketAddr) -> Source {
        client(source.ip(), source.port())
    }

    #[test]
    fn own_connection_of_the_proxy_is_the_proxys() {
        for (family, addresses) in [(0, &[][..]), (0x11, &[1; 12]), (0x31, &[0; 216])] {
            let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
            let bytes = [&SIGNATURE[..], &[0x20, family], &length, addresses].concat();
            assert_eq!(parse(&bytes), Ok(Parsed::Header(Source::Proxy, bytes.len())), "{family:#x}");
        }
    }

    #[test]
    fn mapped_address_becomes_that_of_ipv4() {
        let bytes = header("[::ffff:192.0.2.7]:5".parse().unwrap(), &[]);
        assert_eq!(parse(&bytes), Ok(Parsed::Header(Source::Client("192.0.2.7:5".parse().unwrap()), bytes.len())));
    }

    #[test]
    fn clients_without_a_tcp_address_are_refused() {
        // Unspecified, UDP, Unix sockets, and what no specification has.
        for family in [0x00, 0x01, 0x10, 0x12, 0x20, 0x22, 0x30, 0x31, 0x32, 0x41, 0xff] {
            let bytes = [&SIGNATURE[..], &[0x21, family, 0, 216], &[0; 216]].concat();
            assert_eq!(parse(&bytes), Err(HeaderError::Family), "{family:#x}");
        }
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Err(HeaderError::Family));
        assert_eq!(parse(b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n"), Err(HeaderError::Family));
    }

    #[test]
    fn malformed_headers_are_refused() {
        let with = |place: usize, value: u8| {
            let mut bytes = header("192.0.2.7:5".parse().unwrap(), &[]);
            bytes[place] = value;
            parse(&bytes)
        };
        assert_eq!(with(0, 0x16), Err(HeaderError::Missing));
        assert_eq!(with(11, 0), Err(HeaderError::Missing));
        assert_eq!(with(12, 0x11), Err(HeaderError::Version));
        assert_eq!(with(12, 0x22), Err(HeaderError::Command));
        assert_eq!(with(14, 0xff), Err(HeaderError::TooLong));
        assert_eq!(with(15, 11), Err(HeaderError::TooShort));
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        ] {
            assert!(matches!(parse(line.as_bytes()), Err(HeaderError::Line | HeaderError::Family)), "{line:?}");
        }
        assert_eq!(parse(&[TEXT, &[b' '; 200]].concat()), Err(HeaderError::TooLong));
        // What a client sends that speaks TLS or HTTP at once.
        assert_eq!(parse(b"\x16\x03\x01\x02"), Err(HeaderError::Missing));
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n"), Err(HeaderError::Missing));
    }

    proptest! {
        #[test]
        fn address_comes_back_and_what_follows_is_left(
            source: SocketAddr,
            tlvs in proptest::collection::vec(any::<u8>(), 0..1000),
            rest: Vec<u8>,
        ) {
            for header in [header(source, &tlvs), line_of(source)] {
                let bytes = [header.as_slice(), &rest].concat();
                prop_assert_eq!(read(&bytes), Ok(Some((canonical(source), header.len()))));
                prop_assert_eq!(parse(&bytes), Ok(Parsed::Header(canonical(source), header.len())));
            }
        }

        #[test]
        fn no_part_of_a_header_is_a_header(source: SocketAddr, tlvs in proptest::collection::vec(any::<u8>(), 0..60)) {
            for header in [header(source, &tlvs), line_of(source)] {
                for end in 0..header.len() {
                    let parsed = parse(&header[..end]);
                    prop_assert!(
                        matches!(parsed, Ok(Parsed::Partial(needed)) if needed > end && needed <= header.len()),
                        "{parsed:?} of {end} bytes"
                    );
                }
            }
        }

        #[test]
        fn another_length_is_an_error_or_leaves_the_address(source: SocketAddr, length: u16, rest in any::<[u8; 64]>()) {
            let mut bytes = [header(source, &[]), rest.to_vec()].concat();
            bytes[14..16].copy_from_slice(&length.to_be_bytes());
            match parse(&bytes) {
                Ok(Parsed::Header(found, end)) => {
                    prop_assert_eq!((found, end), (canonical(source), FIXED + usize::from(length)));
                }
                Ok(Parsed::Partial(needed)) => prop_assert!(needed > bytes.len() && needed <= MAX_HEADER),
                Err(error) => prop_assert!(matches!(error, HeaderError::TooShort | HeaderError::TooLong)),
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic_nor_need_more_than_the_limit(bytes: Vec<u8>, head in 0_usize..3) {
            let head = [&SIGNATURE[..], TEXT, &[]][head];
            if let Ok(Parsed::Partial(needed)) = parse(&[head, &bytes].concat()) {
                prop_assert!(needed > head.len() + bytes.len() && needed <= MAX_HEADER);
            }
        }
    }
}
