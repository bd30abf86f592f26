//! Times and hours, at their edges.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn took(millis: &[i64]) -> Times {
    let mut times = Times::default();
    let start = Timestamp::default();
    millis.iter().for_each(|millis| times.take(start, start + jiff::SignedDuration::from_millis(*millis)));
    times
}

#[test]
fn a_time_belongs_to_the_hour_in_which_it_lies() {
    assert_eq!(hour_of(at("2010-12-01T08:59:59.999Z")), at("2010-12-01T08:00:00Z"));
    assert_eq!(hour_of(at("2010-12-01T08:00:00Z")), at("2010-12-01T08:00:00Z"));
    assert_eq!(hour_of(at("1969-12-31T23:30:00Z")), at("1969-12-31T23:00:00Z"));
}

#[test]
fn a_bucket_holds_its_upper_end_and_the_last_has_none() {
    let times = took(&[0, 1_000, 1_001, 60_000, 1_209_600_000, 1_209_600_001]);
    assert_eq!((times.count, times.sum_ms), (6, 2 * 1_209_600_000 + 62_002));
    assert_eq!(times.buckets, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    assert_eq!([1, 50, 66, 99].map(|percent| times.percentile(percent)), [Some(1), Some(10), Some(60), None]);
    assert_eq!(Times::default().percentile(50), None);
}

#[test]
fn what_ends_before_it_begins_took_no_time() {
    let times = took(&[-5]);
    assert_eq!((times.count, times.sum_ms, times.percentile(50)), (1, 0, Some(1)));
}

#[test]
fn a_sum_beyond_all_numbers_stays_at_the_largest() {
    let mut sum = pence(i64::MAX);
    add(&mut sum, pence(1));
    assert_eq!(sum, pence(i64::MAX));
}

#[test]
fn what_people_wrote_themselves_is_one_reason() {
    assert_eq!(["fraud", "changed my mind", ""].map(reason), ["fraud", "other", "other"]);
}
