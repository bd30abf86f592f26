//! Rejections: code, kind and sentence of each form of variant.

use factum_core::rejection::{Refused, Rejection, RejectionKind};
use factum_macros::Rejection;

#[derive(Debug, Rejection)]
enum OrderRejection {
    #[rejection("too_late", "the order is {status}: ask for a return instead")]
    TooLate { status: &'static str, tried: u32 },
    #[rejection("bad_quantity", "{0} of {1:?} cannot be had, {0:>4} were asked for", invalid)]
    BadQuantity(i64, String),
    #[rejection("no_such_order", "there is no such order {{yet}}", missing)]
    NoSuchOrder,
    #[rejection("wrong_kind", "a {type} is no order", conflict)]
    WrongKind { r#type: char },
}

#[test]
fn says_code_kind_and_sentence() {
    let cases = [
        (
            OrderRejection::TooLate { status: "shipped", tried: 2 },
            ("too_late", RejectionKind::Conflict, "the order is shipped: ask for a return instead"),
        ),
        (
            OrderRejection::BadQuantity(-3, "A1".into()),
            ("bad_quantity", RejectionKind::Invalid, "-3 of \"A1\" cannot be had,   -3 were asked for"),
        ),
        (OrderRejection::NoSuchOrder, ("no_such_order", RejectionKind::Missing, "there is no such order {yet}")),
        (OrderRejection::WrongKind { r#type: 'x' }, ("wrong_kind", RejectionKind::Conflict, "a x is no order")),
    ];
    for (rejection, (code, kind, message)) in cases {
        assert_eq!((rejection.code(), rejection.kind(), rejection.message().as_str()), (code, kind, message));
        let refused = Refused::from(rejection);
        assert_eq!(refused, Refused { code: code.into(), kind, message: message.into() });
    }
    let OrderRejection::TooLate { tried, .. } = (OrderRejection::TooLate { status: "", tried: 2 }) else { return };
    assert_eq!(tried, 2);
}
