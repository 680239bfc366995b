//! Reports that differ in one thing each, and what is said of it.

use super::*;
use crate::report::Attempt;
use crate::report::tests::report;

#[test]
fn chance_is_that_of_the_exact_test() {
    // Tables of the test: 3 and 3 fully apart 0.1, 4 and 4 0.0286, 5 and 5 0.0079.
    let near = |x: f64, y: f64| (x - y).abs() < 0.0005;
    assert!(near(chance(&[1., 2., 3.], &[4., 5., 6.]), 0.1));
    assert!(near(chance(&[1., 2., 3., 4.], &[5., 6., 7., 8.]), 0.0286));
    assert!(near(chance(&[6., 7., 8., 9., 10.], &[1., 2., 3., 4., 5.]), 0.0079));
    // One pair the other way round: U = 1 of 16, (1 + 1) * 2 / 70.
    assert!(near(chance(&[1., 2., 3., 5.], &[4., 6., 7., 8.]), 0.0571));
    assert!(near(chance(&[1., 1., 1., 1.], &[1., 1., 1., 1.]), 1.0));
    assert_eq!(ways(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
}

#[test]
fn a_change_counts_when_it_is_sure_and_large_enough() {
    let base = [100., 101., 102., 103., 104.];
    let times = |k: f64| base.map(|x| x * k);
    assert_eq!(judge(&base, &times(1.2), false).0, Change::Worse);
    assert_eq!(judge(&base, &times(1.2), true).0, Change::Better);
    assert_eq!(judge(&base, &times(0.8), false).0, Change::Better);
    assert_eq!(judge(&base, &times(1.01), false).0, Change::Same);
    // Sure, but too small to matter.
    assert_eq!(judge(&[100.0, 100.1, 100.2, 100.3, 100.4], &[101.0; 5], false).0, Change::Same);
    assert_eq!(judge(&base[..3], &times(9.0)[..3], false).0, Change::Unknown);
}

/// A report of an undisturbed harness.
fn quiet(runs: u32, latency_us: u64) -> Report {
    let mut r = report(runs, latency_us, 0, Some(1.0));
    r.runs.iter_mut().for_each(|r| r.harness_disturbed = false);
    r
}

#[test]
fn two_reports_of_the_same_are_the_same_and_slower_ones_are_worse() {
    let a = quiet(5, 1_000);
    let same = compare(&a, &quiet(5, 1_000)).unwrap();
    assert_eq!(same.verdict, Change::Same);
    let slower = quiet(5, 2_000);
    let c = compare(&a, &slower).unwrap();
    assert_eq!(c.verdict, Change::Worse);
    let text = text(&c, &a, &slower);
    assert!(text.contains("latency p99") && text.contains("WORSE (chance 0.008)"), "{text}");
    assert_eq!(compare(&slower, &a).unwrap().verdict, Change::Better);
    assert_eq!(
        compare(&report(1, 1_000, 0, None), &report(1, 9_000, 0, None)).unwrap().verdict,
        Change::Unknown
    );
}

#[test]
fn times_of_a_hindered_harness_are_not_laid_to_the_server() {
    let (a, mut b) = (quiet(5, 1_000), quiet(5, 2_000));
    b.runs[..2].iter_mut().for_each(|r| r.harness_disturbed = true);
    assert_eq!(compare(&a, &b).unwrap().verdict, Change::Doubtful);
    // Neither is B better for what else got better meanwhile.
    b.runs.iter_mut().for_each(|r| r.server_cpu_us_per_delivery = Some(1.0));
    assert_eq!(compare(&a, &b).unwrap().verdict, Change::Doubtful);
    // What the kernel counts of the server alone holds.
    b.runs.iter_mut().for_each(|r| r.server_cpu_us_per_delivery = Some(9.0));
    assert_eq!(compare(&a, &b).unwrap().verdict, Change::Worse);
}

#[test]
fn losing_what_was_not_lost_before_is_worse_whatever_the_numbers_say() {
    let c = compare(&report(1, 1_000, 0, None), &report(1, 1_000, 2, None)).unwrap();
    assert_eq!(c.verdict, Change::Worse);
    assert!(c.fault.is_some());
}

#[test]
fn tests_of_different_things_are_compared_with_caution() {
    let a = report(1, 1_000, 0, None);
    let mut b = a.clone();
    b.scenario.insert("rooms".into(), 99.into());
    b.scenario.insert("server".into(), "elsewhere:5060".into());
    b.host = "another".into();
    let cautions = compare(&a, &b).unwrap().cautions;
    assert!(cautions.contains(&"rooms is 10 in A and 99 in B".to_owned()), "{cautions:?}");
    assert!(cautions.iter().any(|c| c.contains("another")));
    assert!(!cautions.iter().any(|c| c.contains("elsewhere")));
}

#[test]
fn hindered_runs_are_left_out_if_enough_others_remain() {
    let (a, mut b) = (quiet(5, 1_000), quiet(5, 2_000));
    b.runs[3].harness_disturbed = true;
    let c = compare(&a, &b).unwrap();
    assert_eq!(c.verdict, Change::Worse);
    let p99 = c.lines.iter().find(|l| l.name == "latency p99").unwrap();
    assert_eq!((p99.a.len(), p99.b.len()), (5, 4));
    assert!(c.cautions.iter().any(|c| c.starts_with("B: ") && c.contains("left out")), "{:?}", c.cautions);
}

#[test]
fn losing_far_more_than_before_is_worse_and_losing_as_much_is_not() {
    let a = report(1, 1_000, 5, None);
    assert_eq!(compare(&a, &report(1, 1_000, 6, None)).unwrap().verdict, Change::Unknown);
    let c = compare(&a, &report(1, 1_000, 500, None)).unwrap();
    assert_eq!(c.verdict, Change::Worse);
    assert!(c.fault.unwrap().contains("went wrong in A"));
}

#[test]
fn a_test_that_ended_before_its_time_is_worse_unless_somebody_stopped_it() {
    let (a, mut b) = (quiet(5, 1_000), quiet(5, 1_000));
    (b.ok, b.cut_short) = (false, Some("INVITE of sip:u0@x: connection refused".into()));
    let c = compare(&a, &b).unwrap();
    assert_eq!(c.verdict, Change::Worse);
    assert!(c.fault.unwrap().contains("connection refused"));
    b.cut_short = Some(STOPPED.into());
    assert_eq!(compare(&a, &b).unwrap().verdict, Change::Same);
}

#[test]
fn of_searches_the_highest_rates_are_compared_as_far_as_they_are_known() {
    let searched = |best_rate: f64, too_high: Option<f64>| {
        let mut r = quiet(1, 1_000);
        r.search = Some(Search {
            objective_us: 1e4,
            objective_quantile: 0.99,
            best_rate,
            too_high,
            ended: String::new(),
            attempts: Vec::new(),
        });
        r
    };
    let verdict = |a: &Report, b: &Report| compare(a, b).unwrap().verdict;
    let a = searched(100.0, Some(105.0));
    assert_eq!(verdict(&a, &searched(103.0, Some(108.0))), Change::Same);
    assert_eq!(verdict(&a, &searched(90.0, Some(95.0))), Change::Worse);
    assert_eq!(verdict(&a, &searched(110.0, None)), Change::Better);
    assert!(compare(&a, &quiet(5, 1_000)).is_err());
    // Unless it was the harness that could do no more.
    let mut limited = searched(90.0, Some(95.0));
    limited.search.as_mut().unwrap().attempts.push(Attempt {
        rate: 95.0,
        deliveries_per_s: 1.0,
        quantile_us: None,
        lost: 0,
        met: false,
        harness_is_bottleneck: true,
    });
    assert_eq!(verdict(&a, &limited), Change::Doubtful);
    assert_eq!(verdict(&limited, &a), Change::Doubtful);
    assert_eq!(verdict(&limited, &searched(80.0, Some(85.0))), Change::Worse);
    let cautions = compare(&a, &limited).unwrap().cautions;
    assert!(cautions.iter().any(|c| c.starts_with("B: the harness itself")), "{cautions:?}");
}

#[test]
fn losses_of_b_count_whatever_else_was_wrong_with_a() {
    let mut a = report(1, 1_000, 0, None);
    (a.ok, a.runs[0].ok, a.runs[0].server_ended) = (false, false, true);
    let c = compare(&a, &report(1, 1_000, 50, None)).unwrap();
    assert_eq!(c.verdict, Change::Worse);
    assert!(c.fault.is_some());
}

#[test]
fn what_only_one_side_has_measured_is_named() {
    let (a, mut b) = (quiet(5, 1_000), quiet(5, 1_000));
    b.runs.iter_mut().for_each(|r| r.server_cpu_us_per_delivery = None);
    let cautions = compare(&a, &b).unwrap().cautions;
    assert!(
        cautions.iter().any(|c| c.starts_with("server CPU us per delivery: measured in A only")),
        "{cautions:?}"
    );
}

#[test]
fn how_quickly_people_came_in_is_not_laid_to_the_server_where_the_harness_was_at_its_limit() {
    let taking = |us: f64, limited: bool| {
        let mut r = quiet(5, 1_000);
        (r.joined.per_s, r.joined.server_cpu_us_per_join) = (1e6 / us, Some(us));
        r.joined.harness_is_bottleneck = limited;
        r.others_joined = vec![r.joined.clone(); 3];
        r
    };
    let change = |a: &Report, b: &Report, name: &str| {
        compare(a, b).unwrap().lines.iter().find(|l| l.name == name).unwrap().change
    };
    let (a, b) = (taking(100.0, false), taking(200.0, true));
    assert_eq!(change(&a, &b, "joins: came in per second"), Change::Doubtful);
    assert_eq!(change(&a, &b, "joins: server CPU us each"), Change::Worse);
    assert_eq!(change(&a, &taking(200.0, false), "joins: came in per second"), Change::Worse);
}

#[test]
fn runs_made_in_one_go_are_compared_with_caution() {
    let a = quiet(5, 1_000);
    let mut b = quiet(5, 2_000);
    let said = |c: &Comparison| c.cautions.iter().any(|c| c.contains("in one go"));
    assert!(said(&compare(&a, &b).unwrap()));
    b.others_joined = vec![b.joined.clone(); 3];
    assert!(!said(&compare(&a, &b).unwrap()));
}

#[test]
fn what_coming_in_took_is_compared_too_and_judged_where_there_are_several_of_each() {
    let taking = |files: usize, us: f64| {
        let mut r = quiet(5, 1_000);
        r.joined.server_cpu_us_per_join = Some(us);
        r.others_joined = vec![r.joined.clone(); files - 1];
        r
    };
    let of = |c: &Comparison| {
        let line = c.lines.iter().find(|l| l.name == "joins: server CPU us each").unwrap();
        (line.change, c.verdict)
    };
    assert_eq!(of(&compare(&taking(1, 100.0), &taking(1, 200.0)).unwrap()), (Change::Unknown, Change::Same));
    assert_eq!(of(&compare(&taking(4, 100.0), &taking(4, 200.0)).unwrap()), (Change::Worse, Change::Worse));
}
