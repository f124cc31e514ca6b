//! Percent coding of data and status lines.

/// Undoes `%XX` in the data of a `D` line. A `%` without two hexadecimal digits behind it stands for itself, as in
/// libassuan.
#[must_use]
pub fn unescape(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%'
            && let Some((&[high, low], behind)) = tail.split_first_chunk::<2>()
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            out.push(high << 4 | low);
            rest = behind;
        } else {
            out.push(byte);
        }
    }
    out
}

/// A status value as scdaemon writes it: a blank becomes `+`; `+`, `"`, `%` and control characters become `%XX`.
#[must_use]
pub fn escape_status(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            ' ' => out.push('+'),
            '+' | '"' | '%' | '\x7F' | '\0'..='\x1F' => {
                out.push('%');
                out.push_str(&hex_upper(&[u8::try_from(character).unwrap_or(b'?')]));
            }
            _ => out.push(character),
        }
    }
    out
}

/// Upper-case hexadecimal.
#[must_use]
pub fn hex_upper(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn status_values_are_written_as_scdaemon_does() {
        assert_eq!(escape_status("FFFE 10000001"), "FFFE+10000001");
        assert_eq!(escape_status("a+b \"c\" 100%\n"), "a%2Bb+%22c%22+100%25%0A");
        assert_eq!(escape_status("Rel<<Signer"), "Rel<<Signer");
    }

    #[test]
    fn broken_escapes_stand_for_themselves() {
        assert_eq!(unescape(b"%4"), b"%4");
        assert_eq!(unescape(b"%zz%41%"), b"%zzA%");
    }

    proptest! {
        #[test]
        fn any_bytes_are_unescaped_without_a_panic(data: Vec<u8>) {
            prop_assert!(unescape(&data).len() <= data.len());
        }
    }
}
