//! Rows of an export.

/// The columns.
pub const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

/// A row of customer 7 in Ireland.
pub fn row(number: &str, code: &str, quantity: i64, price: &str) -> String {
    format!("{number},{code},{code} name,{quantity},2010-12-02 08:26:00,{price},7,EIRE")
}

/// The same on a day of December 2010.
pub fn row_on(day: u32, number: &str, code: &str, quantity: i64, price: &str) -> String {
    row(number, code, quantity, price).replace("2010-12-02", &format!("2010-12-{day:02}"))
}
