//! The program as people use it, against a whole server over loopback.

mod common;

use common::{Files, Server, program, run, text};
use openmsrp::control::config::Raw;
use openmsrp::wire::digest::{self, Algorithm};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

#[test]
fn participants_with_passwords_come_in_where_they_are_asked_for() {
    let files = Files::new("passwords");
    let secret = |user: &str| {
        let hash = digest::secret(Algorithm::Sha256, user, "localhost", "common");
        format!("{user}@localhost SHA-256:{hash}\n")
    };
    std::fs::write(files.path("users"), (0..4).map(|n| secret(&format!("u{n}"))).collect::<String>())
        .unwrap();
    std::fs::write(files.path("passwords"), "*:common\n").unwrap();
    std::fs::write(files.path("wrong"), "u3:other\n*:common\n").unwrap();
    let server = Server::start_with(Raw { users: Some(files.path("users").into()), ..Raw::default() });
    let load =
        format!("run --server {} --rooms 2 --participants 2 --rate 5 --duration 0.2 --sleep", server.sip);
    let without = run(&load);
    assert!(!without.status.success() && text(&without).contains("--password-file"), "{}", text(&without));
    let wrong = run(&format!("{load} --password-file {}", files.path("wrong")));
    assert!(!wrong.status.success() && text(&wrong).contains("\"u3\""), "{}", text(&wrong));
    let with = run(&format!("{load} --password-file {}", files.path("passwords")));
    assert!(text(&with).contains("joined      4 participants"), "{}", text(&with));
}

/// Everything at once, so slow that any machine can do it; the last copies may take as long as they like.
const SCENARIO: &str = "\
rooms = 3
participants = 5
publishers = 2
slow_receivers = 1
idle_rooms = 2
idle_participants = 2
rate = 10
private_rate = 5
typing_rate = 5
long_rate = 2
long_size = 100000
visits = 5
visit_seconds = 0.3
warmup = 0.2
duration = 1
drain = 60
sleep = true
";

#[test]
fn a_scenario_of_everything_is_delivered_and_reported_in_every_form() {
    let (server, files) = (Server::start(), Files::new("whole"));
    let scenario = files.path("scenario.toml");
    std::fs::write(&scenario, SCENARIO).unwrap();
    let out = run(&format!(
        "run {scenario} --server {} --server-pid {} --runs 2 --json {} --csv {} --html {}",
        server.sip,
        std::process::id(),
        files.path("a.json"),
        files.path("a.csv"),
        files.path("a.html")
    ));
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(out.stderr.is_empty(), "not at a terminal it says nothing: {}", text(&out));
    let report = files.json("a.json");
    assert_eq!((&report["ok"], report["runs"].as_array().unwrap().len()), (&true.into(), 2));
    assert_eq!(report["joined"]["participants"], 3 * 5 + 2 * 2);
    for run in report["runs"].as_array().unwrap() {
        // 1.2 s of the rates, three rooms; four of the five read, one of these sent it.
        let classes = &run["classes"];
        for (kind, messages, copies) in [("text", 36, 3), ("private", 18, 1), ("typing", 18, 3)] {
            let sent = classes[kind]["messages"].as_u64().unwrap();
            assert_eq!(sent, messages, "{kind}");
            assert_eq!(classes[kind]["delivered"].as_u64(), Some(sent * copies), "{kind}");
        }
        assert!(classes["long"]["delivered"].as_u64().unwrap() >= 3 * 5);
        let visits = &run["visits"];
        assert_eq!((visits["entered"].as_u64(), visits["failed"].as_u64()), (Some(5), Some(0)), "{visits}");
        assert!(run["server_rss_max"].is_u64() && run["over_time"].as_array().unwrap().len() == 4);
    }
    assert_eq!(files.read("a.csv").lines().count(), 1 + 2 * 4);
    assert!(files.read("a.html").contains("Everything was delivered once, whole and in order"));
    // A report is not compared with itself, and two runs of each could not tell.
    let out = run(&format!("compare {0} {0}", files.path("a.json")));
    assert_eq!(out.status.code(), Some(2), "{}", text(&out));
    let again = files.read("a.json").replacen("\"note\":\"\"", "\"note\":\"again\"", 1);
    std::fs::write(files.path("b.json"), again).unwrap();
    let out = run(&format!("compare {} {}", files.path("a.json"), files.path("b.json")));
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert!(text(&out).contains("too few to tell"), "{}", text(&out));
}

#[test]
fn a_server_whose_process_ends_fails_the_run_and_what_was_measured_is_kept() {
    let (server, files) = (Server::start(), Files::new("ended"));
    // It stands for the server's process; nobody takes note of its end, as of that of a server without a supervisor.
    let mut process = Command::new("sleep").arg("1").spawn().unwrap();
    let out = run(&format!(
        "run --server {} --server-pid {} --rooms 1 --participants 3 --rate 5 --warmup 0 --duration 3 --sleep --json {}",
        server.sip,
        process.id(),
        files.path("a.json")
    ));
    process.wait().unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", text(&out));
    assert!(text(&out).contains("first fault the server's process ended"), "{}", text(&out));
    let run = &files.json("a.json")["runs"][0];
    assert_eq!((&run["server_ended"], &run["lost"]), (&true.into(), &0.into()), "{run}");
    assert!(run["deliveries"].as_u64().unwrap() > 0);
}

#[test]
fn a_core_that_does_not_exist_is_named_before_anybody_joins() {
    let out = run("run --server 127.0.0.1:9 --cores 1023");
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out).contains("there is no core 1023"), "{}", text(&out));
}

/// One that waits for two workers, at this address, and reports to `a.json`.
fn coordinator(server: &Server, files: &Files, more: &str) -> (SocketAddr, Child) {
    // Bound and let go: free a moment later.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let coordinator = program(&format!(
        "coordinate --workers 2 --listen {free} --server {} --drain 60 --sleep --json {} {more}",
        server.sip,
        files.path("a.json")
    ))
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    (free, coordinator)
}

#[test]
fn several_workers_share_the_rooms_and_their_numbers_add_up() {
    let (server, files) = (Server::start(), Files::new("workers"));
    let (free, coordinator) =
        coordinator(&server, &files, "--rooms 3 --participants 4 --rate 10 --warmup 0.2 --duration 1");
    let worker = || {
        std::thread::spawn(move || {
            // It comes too early as often as it must.
            (0..200).find_map(|_| {
                let out = run(&format!("worker {free}"));
                std::thread::sleep(std::time::Duration::from_millis(50));
                out.status.success().then_some(())
            })
        })
    };
    let workers = [worker(), worker()];
    let out = coordinator.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    for worker in workers {
        assert_eq!(worker.join().unwrap(), Some(()));
    }
    let report = files.json("a.json");
    let rooms: Vec<_> = report["workers"].as_array().unwrap().iter().map(|w| w["rooms"].as_u64()).collect();
    assert_eq!(rooms, [Some(2), Some(1)]);
    let text = &report["runs"][0]["classes"]["text"];
    assert_eq!(text["delivered"].as_u64(), text["messages"].as_u64().map(|n| n * 3));
    assert_eq!(
        (report["joined"]["participants"].as_u64(), &report["runs"][0]["rooms"]["count"]),
        (Some(12), &3.into())
    );
}

#[test]
fn a_search_that_finds_no_rate_says_so() {
    let (server, files) = (Server::start(), Files::new("search"));
    let out = run(&format!(
        "search --server {} --rooms 1 --participants 3 --duration 0.3 --warmup 0 --drain 60 --sleep --objective-ms 0.001 \
         --search-from 8 --json {}",
        server.sip,
        files.path("a.json")
    ));
    // Nothing is as quick as a microsecond.
    assert_eq!(out.status.code(), Some(1), "{}", text(&out));
    let search = &files.json("a.json")["search"];
    // At 8 and at 4; at 2 a message a second nothing would be sent.
    assert_eq!((&search["best_rate"], search["attempts"].as_array().unwrap().len()), (&0.0.into(), 2));
    assert!(search["ended"].as_str().unwrap().contains("raise duration"));
    assert!(text(&out).contains("highest     no rate had p99 within"), "{}", text(&out));
}

#[test]
fn without_a_server_there_is_no_result_and_the_reason_is_said() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let out = run(&format!("run --server {free} --transport tcp"));
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out).contains("connection refused; is the server running"), "{}", text(&out));
}

#[test]
fn a_wrong_file_is_answered_with_its_line() {
    let files = Files::new("wrong");
    let path = files.path("wrong.toml");
    std::fs::write(&path, "rooms = 3\n\nparticipant = 4\n").unwrap();
    let out = run(&format!("run {path} --server 127.0.0.1:1"));
    assert_eq!(out.status.code(), Some(2));
    assert!(
        text(&out).contains("wrong.toml: line 3: there is no key participant; did you mean participants?"),
        "{}",
        text(&out)
    );
}

#[test]
fn who_stops_a_test_gets_what_was_measured_until_then() {
    let (server, files) = (Server::start(), Files::new("stop"));
    let mut child = program(&format!(
        "run --server {} --rooms 2 --participants 3 --rate 50 --visits 10 --visit-seconds 0.5 --warmup 0 --duration 3600 \
         --drain 60 --runs 3 --sleep --json {} --html {}",
        server.sip,
        files.path("a.json"),
        files.path("a.html")
    ))
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    // Long enough for everybody to come in; how much is measured does not matter.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let out = child.wait_with_output().unwrap();
    assert!(text(&out).contains("cut short   stopped"), "{}", text(&out));
    let report = files.json("a.json");
    assert_eq!((&report["ok"], &report["cut_short"]), (&false.into(), &"stopped".into()));
    let runs = report["runs"].as_array().unwrap();
    let run = &runs[0];
    assert_eq!((runs.len(), &run["ok"], &run["visits"]["failed"]), (1, &true.into(), &0.into()), "{run}");
    let (seconds, slices) = (run["seconds"].as_f64().unwrap(), run["over_time"].as_array().unwrap().len());
    assert!(seconds > 0.0 && seconds < 3600.0 && slices > 0, "{seconds}");
    assert!(files.read("a.html").contains("before its time"));
}

#[test]
fn a_report_that_could_not_be_written_is_told_before_the_load() {
    // No server is there either: it is not asked.
    let out = run("run --server 127.0.0.1:1 --json /nowhere/a.json");
    assert!(out.status.code() == Some(2) && text(&out).contains("/nowhere/a.json: "), "{}", text(&out));
}

#[test]
fn a_coordinator_whose_worker_vanishes_reports_what_the_others_have_measured() {
    let (server, files) = (Server::start(), Files::new("vanish"));
    let (free, mut coordinator) = coordinator(
        &server,
        &files,
        "--rooms 2 --participants 3 --rate 50 --warmup 0 --duration 3600 --runs 2",
    );
    while std::net::TcpStream::connect(free).is_err() {
        assert!(
            coordinator.try_wait().unwrap().is_none(),
            "{}",
            text(&coordinator.wait_with_output().unwrap())
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let worker = || program(&format!("worker {free}")).stderr(Stdio::piped()).spawn().unwrap();
    let (stays, mut goes) = (worker(), worker());
    std::thread::sleep(std::time::Duration::from_secs(6));
    goes.kill().unwrap();
    goes.wait().unwrap();
    let out = coordinator.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", text(&out));
    let report = files.json("a.json");
    assert!(report["cut_short"].as_str().unwrap().ends_with("has gone"), "{}", report["cut_short"]);
    let runs = report["runs"].as_array().unwrap();
    let run = &runs[0];
    assert_eq!((runs.len(), &run["ok"]), (1, &true.into()), "{run}");
    let (copies, seconds) = (run["deliveries_judged"].as_u64().unwrap(), run["seconds"].as_f64().unwrap());
    assert!(copies > 0 && seconds > 0.0 && seconds < 3600.0, "{copies} in {seconds} s");
    // The other one is let go too.
    let _ = stays.wait_with_output().unwrap();
}
