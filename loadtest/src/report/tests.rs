//! Reports by value, and a report for the tests of the files beside this one.

use super::*;
use crate::measured::Joining;
use crate::oracle::Findings;
use crate::pace::Interval;
use crate::score::Count;

/// A report of so many runs; in run `i` each copy took `latency_us + i` microseconds.
pub(crate) fn report(runs: u32, latency_us: u64, lost: u64, rate: Option<f64>) -> Report {
    let s = Scenario { server: "h:1".into(), ..Scenario::default() };
    let run = |i: u32| Run::new(&s, rate, &measured(latency_us + u64::from(i), lost), &sampled());
    let joining = Joining {
        participants: 3,
        seconds: 1.0,
        server_cpu_us: Some(300.0),
        rss_before: Some(1_000),
        rss_joined: Some(4_000),
        ..Joining::default()
    };
    Report::new(&s, Joined::of(&joining), (0..runs).map(run).collect())
}

/// Ten seconds of one thread that had half a core, in which each of a thousand copies took `latency_us`.
fn measured(latency_us: u64, lost: u64) -> Measured {
    let mut m = Measured::new(Interval { from: 0, to: 10_000_000_000 });
    m.meter.rooms = (0..3).map(|r| (r, Hist::new(crate::hist::Grain::Coarse))).collect();
    let due = |k: u64| k * 9_000_000;
    (0..1000).for_each(|k| m.meter.arrived(0, (k % 3) as u32, due(k), due(k) + latency_us * 1_000));
    m.findings = Findings { delivered: 1000, ..Findings::default() };
    m.kinds[0] = Count { sent: 500, delivered: 1000, lost };
    (m.threads, m.reads, m.idle_ns) = (1, 250, 5_000_000_000);
    (m.least_idle_ns, m.least_cpu_ns) = (Some(m.idle_ns), Some(5_000_000_000));
    m
}

fn sampled() -> Sampled {
    Sampled {
        server_ended: false,
        server: Some(CpuTime { user: 1_000, system: 3_000 }),
        harness: CpuTime { user: 4_000_000, system: 1_000_000 },
        sip_busy: 0.0,
        seconds: 10.0,
        slices: vec![Sample { cores: Some(0.5), rss: Some(4_000) }; 40],
    }
}

#[test]
fn one_thread_at_its_limit_is_told_however_little_the_others_do() {
    let s = Scenario::default();
    let mut m = measured(1_000, 0);
    let limited = |s: &Scenario, m: &Measured, sip_busy: f64| {
        let run = Run::new(s, None, m, &Sampled { sip_busy, ..sampled() });
        (run.harness_is_bottleneck, run.harness_disturbed)
    };
    (m.threads, m.idle_ns, m.least_idle_ns) = (4, 30_000_000_000, Some(10_000_000_000));
    m.least_cpu_ns = Some(9_990_000_000);
    assert_eq!(limited(&s, &m, 0.0), (false, false));
    m.least_idle_ns = Some(0);
    assert_eq!(limited(&s, &m, 0.0), (true, false));
    // One that did not get its core is told too, and so is the one that speaks SIP, if there is any to speak.
    (m.least_idle_ns, m.least_cpu_ns) = (Some(10_000_000_000), Some(8_000_000_000));
    assert_eq!(limited(&s, &m, 0.99), (false, true));
    m.least_cpu_ns = Some(9_990_000_000);
    assert_eq!(limited(&Scenario { visits: 5.0, ..s }, &m, 0.99), (true, false));
}

#[test]
fn coming_in_is_said_to_have_been_as_quick_as_the_harness_could_be() {
    let joined = |sip_busy: f64| {
        Joined::of(&Joining { participants: 3, seconds: 1.0, sip_busy, ..Joining::default() })
    };
    assert_eq!([0.5, 0.97].map(|busy| joined(busy).harness_is_bottleneck), [false, true]);
    let mut r = report(1, 1_000, 0, None);
    assert!(!text::text(&r).contains(text::JOINS_LIMITED));
    r.joined = joined(0.97);
    assert!(text::text(&r).contains(text::JOINS_LIMITED));
}

#[test]
fn the_json_has_the_promised_fields() {
    let json = serde_json::to_value(report(1, 2_000, 0, None)).unwrap();
    assert_eq!((&json["format"], &json["version"]), (&"openmsrp-loadtest".into(), &2.into()));
    let run = &json["runs"][0];
    for name in ["deliveries", "lost", "duplicates", "out_of_order", "foreign", "bad", "unanswered"] {
        assert!(run[name].is_u64(), "{name}");
    }
    assert_eq!(run["deliveries_per_s"], 100.0);
    for name in ["p50", "p90", "p99", "p999", "max"] {
        let us = run["latency_us"][name].as_f64().unwrap();
        assert!((1_990.0..2_010.0).contains(&us), "{name} {us}");
    }
    assert_eq!(run["server_cpu_us_per_delivery"], 4.0);
    assert_eq!(json["joined"]["server_rss_per_session"], 1000.0);
    assert_eq!(json["joined"]["server_cpu_us_per_join"], 100.0);
    assert_eq!(run["copies_per_read"], 4.0);
    assert_eq!((&run["harness_busy"], &run["harness_cpu_cores"]), (&0.5.into(), &0.5.into()));
    assert_eq!((&json["ok"], &run["harness_disturbed"]), (&true.into(), &true.into()));
    assert_eq!((&run["rooms"]["count"], run["over_time"].as_array().unwrap().len()), (&3.into(), 40));
    assert_eq!(run["over_time"][1]["server_cpu_cores"], 0.5);
    assert_eq!(run["classes"]["text"]["messages"], 500);
}

#[test]
fn a_report_reads_back_what_was_written() {
    let dir = std::env::temp_dir().join(format!("openmsrp-loadtest-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("report.json");
    let r = report(2, 2_000, 1, Some(5.0));
    r.write(&path).unwrap();
    let again = Report::read(&path).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&r).unwrap());
    let other = dir.join("other.json");
    report(2, 3_000, 1, Some(5.0)).write(&other).unwrap();
    let both = Report::pool(&[path.clone(), other.clone()]).unwrap();
    assert_eq!((both.runs.len(), both.ok), (4, false));
    // One test is one test, however often it is named, and under whatever name.
    let copy = dir.join("copy.json");
    std::fs::copy(&path, &copy).unwrap();
    distinct(&[path.clone(), other.clone()]).unwrap();
    for twice in [[&path, &path], [&copy, &path]] {
        let why = distinct(&twice.map(Clone::clone)).unwrap_err();
        assert!(why.contains("the same report"), "{why}");
    }
    save(&path, "{\"format\": \"openmsrp-loadtest\", \"version\": 1}").unwrap();
    assert!(Report::read(&path).unwrap_err().contains("version 2"));
    save(&path, "{\"format\": \"openmsrp-loadtest\", \"version\": 2}").unwrap();
    assert!(Report::read(&path).unwrap_err().contains("something is missing in it: missing field"));
    let names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "nothing is left beside what was written: {names:?}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_lost_copy_makes_a_failure() {
    assert!(report(2, 1_000, 0, None).ok);
    assert!(!report(2, 1_000, 1, None).ok);
}

#[test]
fn a_quantile_is_read_off_the_histogram() {
    let mut run = report(1, 1_000, 0, None).runs.remove(0);
    run.latency_histogram = vec![(1.0, 90), (2.0, 9), (3.0, 1)];
    assert_eq!([0.5, 0.9, 0.91, 0.99, 0.999].map(|q| run.quantile(q)), [1.0, 1.0, 2.0, 2.0, 3.0].map(Some));
    run.latency_histogram.clear();
    assert_eq!(run.quantile(0.5), None);
}

#[test]
fn the_worst_rooms_come_first() {
    let hist = |us: u64| {
        let mut h = Hist::new(crate::hist::Grain::Coarse);
        h.record(us * 1_000);
        h
    };
    let rooms = Rooms::of(&[
        (7, hist(100)),
        (8, hist(9_000)),
        (9, hist(500)),
        (10, Hist::new(crate::hist::Grain::Coarse)),
    ]);
    assert_eq!((rooms.count, rooms.worst[0].0, rooms.worst[2].0), (3, 8, 7));
    assert!(rooms.p99_best < rooms.p99_middle && rooms.p99_middle < rooms.p99_worst);
}

#[test]
fn the_median_is_in_the_middle() {
    assert_eq!((median(vec![]), median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0])), (0.0, 2.0, 2.5));
}
