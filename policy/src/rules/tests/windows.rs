use proptest::prelude::*;

use super::*;

fn at(hours: &str, moment: &str) -> bool {
    let rules = compiled(&format!("[rule.a]\nhours = {hours}\n"));
    let mut facts = facts();
    facts.now = moment.parse().unwrap();
    facts.grant.issued = facts.now;
    facts.grant.expires = Timestamp::from_unix(facts.now.unix() + 1);
    sign(&rules, &facts).allowed()
}

const NIGHT: &str = "{ days = \"fri\", from = \"22:00\", to = \"06:00\", zone = \"Europe/Berlin\" }";

#[test]
fn window_over_midnight_belongs_to_the_day_when_it_begins() {
    for (moment, open) in [
        ("2026-11-27T21:59:59+01:00", false),
        ("2026-11-27T22:00:00+01:00", true),
        ("2026-11-28T05:59:59+01:00", true),
        ("2026-11-28T06:00:00+01:00", false),
        ("2026-11-28T22:30:00+01:00", false),
        // The early hours of Friday belong to Thursday.
        ("2026-11-27T05:00:00+01:00", false),
    ] {
        assert_eq!(at(NIGHT, moment), open, "{moment}");
    }
}

#[test]
fn windows_follow_the_clock_on_the_wall_when_it_changes() {
    let two_to_three = "{ from = \"02:00\", to = \"03:00\", zone = \"Europe/Berlin\" }";
    // On 2026-03-29 the clock goes from 02:00 to 03:00: the window is not there.
    assert!(!at(two_to_three, "2026-03-29T00:59:59Z"));
    assert!(!at(two_to_three, "2026-03-29T01:00:00Z"));
    // On 2026-10-25 it goes from 03:00 back to 02:00: the window is there twice.
    for (moment, open) in [
        ("2026-10-24T23:59:59Z", false),
        ("2026-10-25T00:00:00Z", true),
        ("2026-10-25T01:59:59Z", true),
        ("2026-10-25T02:00:00Z", false),
    ] {
        assert_eq!(at(two_to_three, moment), open, "{moment}");
    }
    let morning = "{ from = \"06:00\", to = \"20:00\", zone = \"Europe/Berlin\" }";
    assert!(at(morning, "2026-03-29T04:00:00Z") && !at(morning, "2026-03-29T03:59:59Z"));
    assert!(at(morning, "2026-03-28T05:00:00Z") && !at(morning, "2026-03-28T04:59:59Z"));
}

#[test]
fn days_are_ranges_and_lists() {
    for (days, open) in [("mon", true), ("tue-sun", false), ("sat-mon", true), ("sun,mon", true), ("mon-sun", true)] {
        let hours = format!("{{ days = \"{days}\", zone = \"UTC\" }}");
        assert_eq!(at(&hours, "2026-11-30T00:00:00Z"), open, "{days}");
        assert_eq!(at(&hours, "2026-11-30T23:59:59Z"), open, "{days}");
    }
    for bad in ["", "mo", "mon-", "mon;tue"] {
        assert!(
            Document::parse(&format!("[rule.a]\nhours = {{ days = \"{bad}\", zone = \"UTC\" }}")).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn several_windows_are_alternatives() {
    let lunch_and_night =
        "[{ from = \"12:00\", to = \"13:00\", zone = \"UTC\" }, { from = \"23:00\", zone = \"UTC\" }]";
    assert!(at(lunch_and_night, "2026-11-30T12:30:00Z") && at(lunch_and_night, "2026-11-30T23:30:00Z"));
    assert!(!at(lunch_and_night, "2026-11-30T22:30:00Z"));
}

proptest! {
    /// Walks from minute to minute by another way: adds the zone's offset, as a table has it, and looks at the digits.
    #[test]
    fn windows_equal_arithmetic_with_offsets(
        minutes in 0_i64..366 * 1440, from in 0_i64..1440, length in 1_i64..1440, days in 1_u8..128,
    ) {
        // 2026-01-01T00:00:00Z, a Thursday; Berlin is at +01:00, and at +02:00 between these moments of 2026.
        const START: i64 = 1_767_225_600;
        const SUMMER: std::ops::Range<i64> = 1_774_746_000..1_792_890_000;
        let to = (from + length) % 1440;
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let listed: Vec<&str> = (0..7).filter(|day| days & (1 << day) != 0).map(|day| names[day]).collect();
        let clock = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let hours = format!(
            "{{ days = \"{}\", from = \"{}\", to = \"{}\", zone = \"Europe/Berlin\" }}",
            listed.join(","), clock(from), clock(to)
        );
        let unix = START + minutes * 60;
        let local = unix + if SUMMER.contains(&unix) { 7200 } else { 3600 };
        let (day, minute) = (local.div_euclid(86_400), local.rem_euclid(86_400) / 60);
        // 1970-01-01 was a Thursday.
        let on = |day: i64| days & (1 << (day + 3).rem_euclid(7)) != 0;
        let open = if from < to {
            on(day) && (from..to).contains(&minute)
        } else {
            (on(day) && minute >= from) || (on(day - 1) && minute < to)
        };
        prop_assert_eq!(at(&hours, &Timestamp::from_unix(unix).to_string()), open, "{}", hours);
    }
}
