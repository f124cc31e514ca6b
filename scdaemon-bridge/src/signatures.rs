//! What a server answered for the OpenPGP signatures in a file: the value that the record has the hash of.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use data_encoding::BASE64;
use sealcard_openpgp::frames;

/// Files with signatures are not longer.
const MAX_FILE: u64 = 16 << 20;

/// Signature packets (RFC 9580 section 5.2).
const SIGNATURE: u8 = 2;

/// More signatures in one file are not looked at.
const MAX_SIGNATURES: usize = 1000;

const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// Reads a file with signatures; `-` is standard input.
///
/// # Errors
/// If it can't be read, or is longer than such files are.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)?
    } else {
        fs::File::open(file)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?
    };
    if read as u64 > MAX_FILE {
        return Err(io::Error::other("it is too long for a file of signatures"));
    }
    Ok(bytes)
}

/// Each signature in a file, which is binary or holds armored signatures between any other text, as git's objects and
/// clear-signed texts do. OpenPGP cuts zeros off the beginning of numbers, so a signature has several forms that the
/// server may have answered.
#[must_use]
pub fn of(file: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for packets in packets(file) {
        let Ok(frames) = frames(&packets) else { continue };
        for frame in frames.iter().filter(|frame| frame.tag == SIGNATURE) {
            let forms = forms(frame.body).unwrap_or_default();
            if !forms.is_empty() && found.len() < MAX_SIGNATURES {
                found.push(forms);
            }
        }
    }
    found
}

/// The packets of a binary file, or of each armored signature.
fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(file) else {
        return vec![file.to_vec()];
    };
    // A commit has its signature in a header, whose lines begin with a blank.
    let text = text.replace("\r\n", "\n").replace("\n ", "\n");
    let mut packets = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once(BEGIN)
        && let Some((inside, after)) = after.split_once(END)
    {
        packets.extend(unarmored(inside));
        rest = after;
    }
    packets
}

/// What is between the lines around an armored block (RFC 9580 section 6.2): headers, an empty line, base64, and
/// perhaps a checksum, which is not looked at.
fn unarmored(inside: &str) -> Option<Vec<u8>> {
    let lines = inside.lines().skip(1).skip_while(|line| !line.trim().is_empty());
    let data = lines.map(str::trim).filter(|line| !line.starts_with('='));
    BASE64.decode(data.collect::<String>().as_bytes()).ok()
}

/// The forms of what a signature packet holds. None if it is none of the kinds that Sealcard makes.
fn forms(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (header, rest) = body.split_first_chunk::<4>()?;
    let [4, _, algorithm, _] = *header else { return None };
    // Two areas of subpackets, each after its length, and the beginning of the digest.
    let rest = area(area(rest)?)?.get(2..)?;
    match algorithm {
        1 | 3 => {
            let (number, rest) = number(rest)?;
            rest.is_empty().then(|| widths(&RSA_BYTES, number.len()).map(|width| padded(number, width)).collect())
        }
        19 | 22 => {
            let (r, rest) = number(rest)?;
            let (s, rest) = number(rest)?;
            let halves = |width| [padded(r, width), padded(s, width)].concat();
            rest.is_empty().then(|| widths(&HALF_BYTES, r.len().max(s.len())).map(halves).collect())
        }
        27 => Some(vec![rest.get(..64).filter(|_| rest.len() == 64)?.to_vec()]),
        _ => None,
    }
}

/// Bytes of RSA signatures, of keys of 2048, 3072 and 4096 bits.
const RSA_BYTES: [usize; 3] = [256, 384, 512];

/// Bytes of each half of a signature with the curves P-256 and Ed25519, P-384, and P-521.
const HALF_BYTES: [usize; 3] = [32, 48, 66];

/// The widths that a number of so many bytes may have had. One byte in 256 is zero, so that the narrowest is nearly
/// always it.
fn widths(all: &'static [usize], bytes: usize) -> impl Iterator<Item = usize> {
    all.iter().copied().filter(move |width| *width >= bytes)
}

fn area(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*length))..)
}

/// A multi-precision integer (RFC 9580 section 3.2): its bits, and its bytes without zeros at the beginning.
fn number(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))
}

fn padded(number: &[u8], width: usize) -> Vec<u8> {
    let mut bytes = vec![0; width.saturating_sub(number.len())];
    bytes.extend_from_slice(number);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mpi(bytes: &[u8]) -> Vec<u8> {
        let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let bits = bytes.first().map_or(0, |first| bytes.len() * 8 - first.leading_zeros() as usize);
        [u16::try_from(bits).unwrap().to_be_bytes().as_slice(), &bytes].concat()
    }

    fn packet(algorithm: u8, numbers: &[u8]) -> Vec<u8> {
        let body = [[4, 0, algorithm, 8, 0, 2, 1, 99, 0, 0, 0xab, 0xcd].as_slice(), numbers].concat();
        [[0x89].as_slice(), &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat()
    }

    fn armored(packet: &[u8]) -> String {
        let text = BASE64.encode(packet);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("{BEGIN}\nVersion: 1\n\n{}\n=abcd\n{END}\n", lines.join("\n"))
    }

    #[test]
    fn signatures_are_found_in_binary_armored_and_git_objects() {
        let raw: Vec<u8> = (0..64).collect();
        let packet = packet(22, &[mpi(&raw[..32]), mpi(&raw[32..])].concat());
        let armored = armored(&packet);
        let tag = format!("object 0\ntype commit\n\nv1\n{armored}");
        let commit = format!("tree 0\ngpgsig {}\n\nmessage\n", armored.trim_end().replace('\n', "\n "));
        let signed =
            format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\ntext\n{}", armored.replace('\n', "\r\n"));
        for file in [packet.clone(), armored.into_bytes(), tag.into_bytes(), commit.into_bytes(), signed.into_bytes()] {
            let found = of(&file);
            assert_eq!(found.len(), 1, "{}", String::from_utf8_lossy(&file));
            assert_eq!(found[0][0], raw, "{}", String::from_utf8_lossy(&file));
        }
        assert_eq!(of(&[packet.clone(), packet].concat()).len(), 2);
        assert!(of(b"no signature").is_empty() && of(b"").is_empty());
    }

    #[test]
    fn leading_zeros_are_put_back() {
        let mut raw = vec![0xff; 256];
        raw[..3].fill(0);
        let found = of(&packet(1, &mpi(&raw)));
        assert!(found[0].contains(&raw) && found[0].len() == 3);
    }

    proptest! {
        #[test]
        fn every_signature_has_its_form(
            raw in prop::collection::vec(any::<u8>(), 64),
            wide in prop::collection::vec(any::<u8>(), 512),
        ) {
            let ecdsa = packet(19, &[mpi(&raw[..32]), mpi(&raw[32..])].concat());
            prop_assert!(of(&ecdsa)[0].contains(&raw));
            prop_assert!(of(&packet(27, &raw))[0].contains(&raw));
            prop_assert!(of(&packet(1, &mpi(&wide)))[0].contains(&wide));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = of(&bytes);
            let _ = of(&packet(22, &body));
        }
    }
}
