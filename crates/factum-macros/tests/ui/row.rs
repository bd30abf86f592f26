//! Rows without table or key, or with two keys.

use factum_macros::Row;

#[derive(Row, Clone)]
struct NoTable {
    #[key]
    id: String,
}

#[derive(Row, Clone)]
#[row("CustomerTotals")]
struct BadTable {
    #[key]
    id: String,
}

#[derive(Row, Clone)]
#[row]
struct BareTable {
    #[key]
    id: String,
}

#[derive(Row, Clone)]
#[row("orders")]
struct NoKey {
    id: String,
}

#[derive(Row, Clone)]
#[row("orders")]
struct TwoKeys {
    #[key]
    id: String,
    #[key]
    other: String,
}

#[derive(Row, Clone)]
#[row("orders")]
struct Tuple(String);

#[derive(Row, Clone)]
#[row("orders")]
enum NotAStruct {
    One,
}

fn main() {}
