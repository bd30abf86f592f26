//! Counts as people say them.

/// So many of something that has a plural with `s`: `1 invoice`, `2 invoices`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(
            [counted(0, "row"), counted(1, "row"), counted(2, "open call")],
            ["0 rows", "1 row", "2 open calls"]
        );
    }
}
