//! Where a unit's store is: the URL of a database, with the unit's schema in it.

use factum_core::error::StoreError;
use percent_encoding::percent_decode_str;

use super::tls::Tls;

/// The schema if none is named.
const SCHEMA: &str = "factum";
/// Longer names leave no room for what is named after them: the database cuts names behind 63 bytes.
const LONGEST: usize = 48;

/// A URL, taken apart.
pub(super) struct Address {
    /// As the client takes it.
    pub(super) url: String,
    /// The unit's schema.
    pub(super) schema: String,
    /// What the client knows only half of.
    pub(super) tls: Tls,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let (base, parameters) = text.split_once('?').unwrap_or((text, ""));
        let (mut schema, mut rest, mut tls) = (SCHEMA, Vec::new(), Tls::default());
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("schema", name)) => schema = name,
                Some((name, value)) if tls.take(name, &percent_decode_str(value).decode_utf8_lossy())? => {}
                _ => rest.push(parameter),
            }
        }
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = schema.starts_with(|first: char| first.is_ascii_lowercase());
        if !begins || schema.len() > LONGEST || !schema.bytes().all(is_plain) || schema.starts_with("pg_") {
            return Err(StoreError::Permanent(format!(
                "`{}` is no name of a schema: use small letters, digits and `_`, a letter first, {LONGEST} at most, and not \
                 `pg_…`, which is the database's own",
                schema.escape_debug()
            )));
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        Ok(Self { url, schema: schema.to_owned(), tls })
    }
}

/// The URL as people may see it: without the password.
pub fn shown(url: &str) -> String {
    let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
    let mut text = match base.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((user, host)) => format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or_default()),
            None => base.to_owned(),
        },
        None => base.to_owned(),
    };
    let open = parameters.split('&').filter(|parameter| !parameter.is_empty() && !parameter.starts_with("password="));
    for (index, parameter) in open.enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(parameter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_taken_out_of_the_url_and_the_rest_stays() {
        let parsed = |text: &str| Address::parse(text).map(|address| (address.url, address.schema)).ok();
        let of = |url: &str, schema: &str| Some((url.to_owned(), schema.to_owned()));
        assert_eq!(parsed("postgres://u:p@h/d"), of("postgres://u:p@h/d", "factum"));
        assert_eq!(parsed("postgres://u@h/d?schema=shop"), of("postgres://u@h/d", "shop"));
        assert_eq!(
            parsed("postgres://u@h/d?connect_timeout=3&schema=shop_2&sslmode=disable&sslrootcert=a%20b&keepalives=1"),
            of("postgres://u@h/d?connect_timeout=3&keepalives=1", "shop_2")
        );
        assert_eq!(parsed("postgres://u@h/d?sslmode=maybe"), None);
        let long = "x".repeat(49);
        for wrong in ["", "Shop", "1shop", "pg_shop", "sh-op", "a\"b", "shöp", long.as_str()] {
            assert_eq!(parsed(&format!("postgres://h/d?schema={wrong}")), None, "{wrong}");
        }
    }

    #[test]
    fn nobody_sees_the_password() {
        for (url, seen) in [
            ("postgres://shop:p@ss:word@db:5432/shop", "postgres://shop@db:5432/shop"),
            ("postgres://shop@db/shop?schema=unit", "postgres://shop@db/shop?schema=unit"),
            ("postgres://db/shop?password=secret&user=shop", "postgres://db/shop?user=shop"),
            ("postgres:nonsense", "postgres:nonsense"),
        ] {
            assert_eq!(shown(url), seen);
        }
    }
}
