//! Addresses below `/v1`.

use std::fmt::Write as _;

/// `/v1/users/jane%20doe` from `["users", "jane doe"]`: whatever a name holds, it stays one segment.
#[must_use]
pub fn path(segments: &[&str]) -> String {
    let mut path = String::from("/v1");
    for segment in segments {
        path.push('/');
        // `.` and `..` would be taken as steps; no name on the server is one, and this is not found there.
        escape(segment, matches!(*segment, "." | ".."), &mut path);
    }
    path
}

/// `?after=1&limit=2`, without what is `None`; nothing if all is.
#[must_use]
pub fn query(parameters: &[(&str, Option<String>)]) -> String {
    let mut query = String::new();
    for (name, value) in parameters {
        let Some(value) = value else { continue };
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        escape(value, false, &mut query);
    }
    query
}

/// RFC 3986 section 2.3: all but unreserved characters. An escaped dot is still a dot to URL parsers, so it is escaped
/// twice where it must not be a step.
fn escape(text: &str, dots: bool, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'.' if dots => into.push_str("%252E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => into.push(char::from(byte)),
            _ => drop(write!(into, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn absent_parameters_are_left_out() {
        assert_eq!(
            query(&[("after", None), ("limit", Some("2".into())), ("project", Some("a b&c".into()))]),
            "?limit=2&project=a%20b%26c"
        );
        assert_eq!(query(&[("after", None)]), "");
    }

    proptest! {
        #[test]
        fn any_name_stays_one_segment(name in "\\PC+|[./%?#]+") {
            let localhost = reqwest::Url::parse("https://localhost/").unwrap();
            let url = localhost.join(&path(&["users", &name, "tokens"])).unwrap();
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 4);
            prop_assert_eq!((segments[0], segments[1], segments[3]), ("v1", "users", "tokens"));
            prop_assert_eq!((url.query(), url.fragment()), (None, None));
        }
    }
}
