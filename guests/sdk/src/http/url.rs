//! An address in its parts, as wasi:http wants them.

/// Scheme, host with port, path with query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub is_tls: bool,
    pub authority: &'a str,
    /// Empty where the address has none; it may begin with the query.
    pub path: &'a str,
}

/// The parts of `https://host:port/path?query`. A fragment never leaves the one who names it.
pub(super) fn parts(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let is_tls = match scheme {
        scheme if scheme.eq_ignore_ascii_case("https") => true,
        scheme if scheme.eq_ignore_ascii_case("http") => false,
        _ => return None,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (!authority.is_empty()).then_some(Parts {
        is_tls,
        authority,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::{Parts, parts};

    #[test]
    fn an_address_has_three_parts() {
        for (url, is_tls, authority, path) in [
            ("https://a.example", true, "a.example", ""),
            (
                "http://a.example:81/b?c=/d#e",
                false,
                "a.example:81",
                "/b?c=/d",
            ),
            ("HTTP://[::1]:81?x", false, "[::1]:81", "?x"),
        ] {
            let expected = Parts {
                is_tls,
                authority,
                path,
            };
            assert_eq!(parts(url), Some(expected), "{url}");
        }
        for url in [
            "",
            "a.example",
            "//a.example",
            "ftp://a.example",
            "https://",
            "https:///b",
        ] {
            assert_eq!(parts(url), None, "{url}");
        }
    }
}
