//! The naming rules: what is an event's name, what a command's, and which sentence says why something is neither.
//!
//! A rule here prevents the mistake that costs most later, since names are for ever: a state or a command that calls
//! itself an event.

/// Longest type name, as the envelope limits it.
const LONGEST: usize = 128;

/// Past forms that differ from the verb they come from.
const IRREGULAR: &[&str] = &[
    "arisen",
    "awoken",
    "became",
    "begun",
    "bent",
    "bitten",
    "blown",
    "borne",
    "bought",
    "bound",
    "broken",
    "brought",
    "built",
    "caught",
    "chosen",
    "dealt",
    "done",
    "drawn",
    "driven",
    "eaten",
    "fallen",
    "flown",
    "forbidden",
    "forgotten",
    "fought",
    "found",
    "frozen",
    "given",
    "gone",
    "gotten",
    "grown",
    "heard",
    "held",
    "hidden",
    "kept",
    "known",
    "laid",
    "learnt",
    "led",
    "left",
    "lent",
    "lost",
    "made",
    "meant",
    "met",
    "overdrawn",
    "overridden",
    "overtaken",
    "paid",
    "proven",
    "rebuilt",
    "repaid",
    "resent",
    "resold",
    "retaken",
    "rewritten",
    "ridden",
    "risen",
    "said",
    "seen",
    "sent",
    "shaken",
    "shown",
    "shrunk",
    "sold",
    "sought",
    "spent",
    "spoken",
    "spun",
    "stolen",
    "struck",
    "stuck",
    "sunk",
    "sworn",
    "swung",
    "taken",
    "taught",
    "thought",
    "thrown",
    "told",
    "torn",
    "undergone",
    "understood",
    "undertaken",
    "undone",
    "unfrozen",
    "unpaid",
    "unsold",
    "upheld",
    "withdrawn",
    "withheld",
    "woken",
    "won",
    "worn",
    "written",
];

/// Past forms that are also the verb itself: they can end an event's name and begin a command's.
const BOTH: &[&str] = &[
    "become", "bet", "bid", "burst", "cast", "come", "cost", "cut", "fit", "hit", "hurt", "let", "overcome", "offset",
    "overrun", "preset", "put", "quit", "read", "reread", "rerun", "reset", "rid", "run", "set", "shed", "shut",
    "split", "spread", "thrust", "upset",
];

/// Words on `-ed` that are no past form.
const NOT_PAST: &[&str] = &[
    "bed", "bleed", "breed", "deed", "embed", "exceed", "feed", "hundred", "indeed", "misdeed", "need", "newsfeed",
    "proceed", "red", "reseed", "sacred", "seed", "shed", "speed", "succeed", "unneed", "weed",
];

/// Words that may follow the verb: `released_for_shipping`, `checked_out`.
const PREPOSITIONS: &[&str] = &[
    "about", "above", "across", "after", "against", "along", "as", "aside", "at", "away", "back", "before", "behind",
    "below", "between", "by", "down", "during", "for", "forward", "from", "in", "into", "of", "off", "on", "onto",
    "out", "over", "past", "through", "to", "together", "under", "until", "up", "upon", "via", "with", "within",
    "without",
];

/// First words that name a state, with the event that leads to it, if one can be told.
const STATES: &[(&str, &str)] = &[
    ("active", "activated"),
    ("available", ""),
    ("awaiting", ""),
    ("idle", ""),
    ("inactive", "deactivated"),
    ("new", "created"),
    ("pending", ""),
    ("processing", "started"),
    ("ready", "released"),
    ("waiting", ""),
];

/// Says why `name` cannot be an event's type, and what to do about it.
pub fn check_event(name: &str) -> Result<(), String> {
    let (domain, fact) = split(name, "event", "order.created")?;
    let words: Vec<&str> = fact.split('_').collect();
    if words.last() == Some(&"requested") {
        return Err(format!(
            "`{name}` is a command dressed as an event: derive `Command` and name it by what it asks for, such as \
             `order.create`; an event says what has happened. Where the request itself is the fact, say what became of it, such as \
             `enrolment.received`."
        ));
    }
    if happened(&words) {
        return Ok(());
    }
    if let Some((state, verb)) = STATES.iter().find(|(state, _)| words.first() == Some(state)) {
        let instead = match *verb {
            "" => format!("`{domain}.created`"),
            verb => format!("`{domain}.{}`", fact.replacen(state, verb, 1)),
        };
        return Err(format!(
            "`{name}` is a state and not a fact: name the event by what has happened, such as {instead}, and keep the \
             state in a field."
        ));
    }
    Err(format!(
        "`{name}` is not in the past tense: name the event by what has happened, such as `order.created` or \
         `order.released_for_shipping`; if it asks for something, derive `Command`."
    ))
}

/// Says why `name` cannot be a command's type, and what to do about it.
pub fn check_command(name: &str) -> Result<(), String> {
    let (_, request) = split(name, "command", "order.create")?;
    // Only the first word counts: `order.mark_paid` asks, although it ends in a past form.
    let verb = request.split('_').next().unwrap_or(request);
    if is_past(verb) && !BOTH.contains(&verb) {
        return Err(format!(
            "`{name}` is in the past tense, which says what has happened: name the command by what it asks for, such \
             as `order.create`; if it is a fact, derive `Event`."
        ));
    }
    Ok(())
}

/// Says why `name` cannot be a type's name at all, whoever gave it.
pub fn check_adopted(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.len() <= LONGEST && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
        return Ok(());
    }
    Err(format!(
        "`{name}` cannot be stored as a name: a type's name has 1 to {LONGEST} printable ASCII characters, no space and \
         no `/`, also one that others gave."
    ))
}

/// Says what is wrong with a version that is not `major.minor.patch`.
pub fn check_version(version: &str) -> Result<(), String> {
    let number = |part: &str| {
        part.parse::<u32>().is_ok()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    if version.split('.').count() == 3 && version.split('.').all(number) {
        return Ok(());
    }
    Err(format!("`{version}` is not a version: write three numbers, major.minor.patch, such as `1.2.0`."))
}

/// Lower snake case: begins with a letter, single underscores between words.
pub fn is_snake(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && !word.ends_with('_')
        && !word.contains("__")
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A field's name as serde's camel case writes it.
pub fn camel_case(field: &str) -> String {
    let mut camel = String::with_capacity(field.len());
    let mut upper = false;
    for c in field.chars() {
        match c {
            '_' => upper = !camel.is_empty(),
            c if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            c if camel.is_empty() => camel.push(c.to_ascii_lowercase()),
            c => camel.push(c),
        }
    }
    camel
}

fn split<'a>(name: &'a str, noun: &str, example: &str) -> Result<(&'a str, &'a str), String> {
    if let Some((domain, rest)) = name.split_once('.')
        && is_snake(domain)
        && is_snake(rest)
    {
        if name.len() > LONGEST {
            return Err(format!("`{name}` is too long: name the {noun} in at most {LONGEST} characters."));
        }
        return Ok((domain, rest));
    }
    Err(format!(
        "`{name}` is not a type name: write the {noun} as `domain.name` in lower snake case with one dot, such as \
         `{example}`, or put `adopted` behind a name that others gave."
    ))
}

/// Some word is in the past tense, at the end or before a preposition.
fn happened(words: &[&str]) -> bool {
    words
        .iter()
        .enumerate()
        .any(|(at, word)| is_past(word) && words.get(at + 1).is_none_or(|next| PREPOSITIONS.contains(next)))
}

fn is_past(word: &str) -> bool {
    if IRREGULAR.contains(&word) || BOTH.contains(&word) {
        return true;
    }
    // Three letters are the shortest: `red` is none, `led` stands in the list.
    word.len() > 3 && word.ends_with("ed") && !NOT_PAST.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_events_of_the_shop() {
        for name in [
            "order.created",
            "order.released_for_shipping",
            "order.stock_reserved",
            "order.paid",
            "order.held",
            "order.hold_released",
            "cart.checked_out",
            "cart.item_added",
            "payment.capture_opened",
            "payment.voided",
            "inventory.stock_received",
            "inventory.low_stock_detected",
            "inventory.reservation_failed",
            "inventory.reorder_placed",
            "product.validation_completed",
            "fraud.transaction_checked",
            "customer.updated",
            "notification.sent",
            "loyalty.points_awarded",
            "analytics.customer_totals_updated",
            "user.logged_in",
            "price.set",
            "book.read",
            "case.shut_down",
            "stock.run_out",
            "v2_order.created",
        ] {
            assert_eq!(check_event(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn accepts_the_listed_irregular_forms() {
        for word in "sent paid held lost sold built left made done begun bought brought caught chosen come cut drawn \
                     driven fallen found given gone grown hidden hit kept known laid led let met put read run seen set \
                     shown shut spent split spread taken taught told thrown understood withdrawn won written"
            .split_whitespace()
        {
            assert_eq!(check_event(&format!("case.{word}")), Ok(()), "{word}");
        }
    }

    #[test]
    fn refuses_states_and_requests_as_events() {
        for (name, says) in [
            ("order.pending_validation", "such as `order.created`"),
            ("order.ready_for_shipping", "such as `order.released_for_shipping`"),
            ("order.ship", "past tense"),
            ("create.order", "past tense"),
            ("order.need", "past tense"),
            ("order.paid_shipping", "past tense"),
            ("order.create_requested", "command dressed as an event"),
            ("payment.requested", "command dressed as an event"),
        ] {
            let sentence = check_event(name).unwrap_err();
            assert!(sentence.contains(says), "{name}: {sentence}");
        }
    }

    #[test]
    fn accepts_commands_whose_first_word_asks() {
        for name in [
            "order.create",
            "order.mark_paid",
            "order.release_hold",
            "cart.check_out",
            "payment.process",
            "cart.set_quantity",
            "order.split",
            "inventory.feed",
            "shipping.record",
        ] {
            assert_eq!(check_command(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn refuses_commands_in_the_past_tense() {
        for name in ["order.created", "order.paid", "order.released_for_shipping", "mail.sent"] {
            assert!(check_command(name).unwrap_err().contains("past tense"), "{name}");
        }
    }

    #[test]
    fn refuses_what_is_not_domain_dot_name() {
        for name in [
            "",
            "created",
            "order.",
            ".created",
            "Order.created",
            "order.itemAdded",
            "order.item-added",
            "a.b.cded",
            "order._created",
            "order.created_",
            "order.item__added",
            "order created",
            "1.created",
        ] {
            assert!(check_event(name).unwrap_err().contains("domain.name"), "{name}");
            assert!(check_command(name).unwrap_err().contains("domain.name"), "{name}");
        }
        let long = format!("order.{}_added", "x".repeat(LONGEST));
        assert!(check_event(&long).unwrap_err().contains("too long"));
    }

    #[test]
    fn refuses_versions_that_are_not_three_numbers() {
        for version in ["1.0.0", "0.1.0", "10.20.30"] {
            assert_eq!(check_version(version), Ok(()));
        }
        for version in ["", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "01.0.0", "1.-1.0", "1.+1.0", "1..0"] {
            assert!(check_version(version).is_err(), "{version}");
        }
    }

    #[test]
    fn writes_camel_case_as_serde_does() {
        for (field, camel) in [("order_id", "orderId"), ("id", "id"), ("_id", "id"), ("line_2_total", "line2Total")] {
            assert_eq!(camel_case(field), camel);
        }
    }
}
