//! The command line. Every key of a scenario is a flag; the flags are made from the table of keys.

use crate::scenario::keys::{Allowed, KEYS};
use crate::scenario::{Contradiction, Layer, Scenario, presets, read};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where results go besides the terminal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outputs {
    pub(crate) json: Option<PathBuf>,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
}

/// A scenario and what to do with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    pub(crate) scenario: Scenario,
    pub(crate) outputs: Outputs,
    /// What the report says about itself: what was tested, why.
    pub(crate) note: String,
    /// Only show the scenario.
    pub(crate) print: bool,
    /// Look for the highest rate instead of running one.
    pub(crate) search: bool,
    /// Where to wait for how many workers.
    pub(crate) workers: Option<(String, usize)>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Task {
    /// A test.
    Test(Box<Job>),
    /// Work for the coordinator at this address.
    Worker(String),
    /// Compare two reports, and write a page of it.
    Compare(Vec<PathBuf>, Vec<PathBuf>, Option<PathBuf>),
    /// Write the page of a report.
    Page(PathBuf, PathBuf),
    /// List the presets, or show one.
    Presets(Option<String>),
}

/// The command line as clap knows it.
pub(crate) fn command() -> Command {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").help(help).value_parser(value_parser!(PathBuf))
    };
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).value_name(name).required(true).help(help).value_parser(value_parser!(PathBuf))
    };
    Command::new("openmsrp-loadtest")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Joins real participants to MSRP chat rooms and measures how the server serves them")
        .after_help("Exit code 0: all is well; 1: something was lost, doubled, changed, reordered or got worse, or a search found no rate; 2: there is no result, or it could not be written; 3: a comparison can say nothing; 130: stopped by Ctrl-C or SIGTERM.")
        .subcommand_required(true)
        .subcommand(test("run", "Run a scenario, once or more often"))
        .subcommand(test("search", "Find the highest rate that meets the objective"))
        .subcommand(
            test("coordinate", "Run a scenario with several workers")
                .arg(
                    Arg::new("listen").long("listen").value_name("HOST:PORT").default_value("127.0.0.1:7400")
                        .help("Where workers come; nobody is asked who he is, so keep to a network of your own"),
                )
                .arg(
                    Arg::new("workers").long("workers").value_name("N").required(true)
                        .value_parser(value_parser!(u16).range(1..=64)).help("How many to wait for"),
                )
                .arg(
                    Arg::new("search").long("search").action(ArgAction::SetTrue)
                        .help("Find the highest rate that meets the objective"),
                ),
        )
        .subcommand(
            Command::new("worker").about("Make load for a coordinator").arg(
                Arg::new("COORDINATOR").required(true).help("Its address, as HOST:PORT"),
            ),
        )
        .subcommand(
            Command::new("compare").about("Say what changed between two reports, beyond the noise")
                .arg(file("A", "The JSON report to compare with; several of the same test, with commas between, count as one").value_delimiter(','))
                .arg(file("B", "The JSON report to compare, or several").value_delimiter(','))
                .arg(path("html", "Write the comparison to this file as one page")),
        )
        .subcommand(
            Command::new("html").about("Make a page of a report")
                .arg(file("REPORT", "A JSON report"))
                .arg(file("PAGE", "The file to write")),
        )
        .subcommand(
            Command::new("presets").about("List the scenarios that come with the program, or show one")
                .arg(Arg::new("NAME").help("Show this one")),
        )
        .subcommand(test("fanout", "The same as run --preset fanout"))
        .subcommand(test("idle", "The same as run --preset idle"))
}

fn test(name: &'static str, about: &'static str) -> Command {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").help(help).value_parser(value_parser!(PathBuf))
    };
    let mut command = Command::new(name)
        .about(about)
        .arg(
            Arg::new("SCENARIO")
                .help("A scenario as TOML")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with("preset"),
        )
        .arg(
            Arg::new("preset")
                .long("preset")
                .value_name("NAME")
                .help("A scenario that comes with the program"),
        )
        .arg(
            Arg::new("print-config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .help("Show the whole scenario and do nothing"),
        )
        .arg(
            Arg::new("note")
                .long("note")
                .value_name("TEXT")
                .help("Words for the report: what was tested, and why"),
        )
        .arg(path("json", "Write the report to this file as one JSON object"))
        .arg(path("csv", "Write latency and throughput over time to this file"))
        .arg(path("html", "Write the report to this file as one page"));
    let defaults = Scenario::default();
    for key in KEYS {
        let default = (key.get)(&defaults).map_or(String::new(), |v| format!(" [default: {v}]"));
        let arg = Arg::new(key.name)
            .long(key.flag())
            .help(format!("{}{default}", key.help))
            .help_heading(format!("Scenario: {}", key.group));
        let arg = match key.allowed {
            Allowed::Flag => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("true|false"),
            Allowed::Word(words) => arg.value_name(words.join("|")),
            Allowed::Text => arg.value_name("TEXT"),
            Allowed::List(_) => arg.value_name("N,N"),
            Allowed::Whole(..) | Allowed::Number(..) => arg.value_name("N"),
        };
        command = command.arg(arg.allow_negative_numbers(true));
    }
    command
}

/// What a command line asks for.
///
/// # Errors
/// What is wrong with the scenario: where, which key, what is allowed.
pub(crate) fn task(matches: &ArgMatches) -> Result<Task, String> {
    let Some((name, m)) = matches.subcommand() else { return Err("no command".into()) };
    let file = |name: &str| m.get_one::<PathBuf>(name).cloned();
    let given = |name: &str| file(name).unwrap_or_default();
    let several = |name: &str| m.get_many::<PathBuf>(name).into_iter().flatten().cloned().collect();
    Ok(match name {
        "worker" => Task::Worker(m.get_one::<String>("COORDINATOR").cloned().unwrap_or_default()),
        "compare" => Task::Compare(several("A"), several("B"), file("html")),
        "html" => Task::Page(given("REPORT"), given("PAGE")),
        "presets" => Task::Presets(m.get_one("NAME").cloned()),
        _ => {
            let named = m.get_one::<String>("preset").cloned();
            let own = matches!(name, "fanout" | "idle").then(|| name.to_owned());
            if own.is_some() && (named.is_some() || file("SCENARIO").is_some()) {
                return Err(format!(
                    "{name} is a preset itself; to run another scenario, write run instead of {name}"
                ));
            }
            let preset = named.or(own);
            let workers = (name == "coordinate").then(|| {
                let listen = m.get_one::<String>("listen").cloned().unwrap_or_default();
                (listen, m.get_one::<u16>("workers").copied().unwrap_or(1).into())
            });
            let print = m.get_flag("print-config");
            let search = name == "search" || name == "coordinate" && m.get_flag("search");
            let scenario = scenario(m, preset.as_deref(), file("SCENARIO").as_deref(), print, search)?;
            Task::Test(Box::new(Job {
                scenario,
                outputs: Outputs { json: file("json"), csv: file("csv"), html: file("html") },
                note: m.get_one::<String>("note").cloned().unwrap_or_default(),
                print,
                search,
                workers,
            }))
        }
    })
}

fn scenario(
    m: &ArgMatches,
    preset: Option<&str>,
    file: Option<&Path>,
    print: bool,
    search: bool,
) -> Result<Scenario, String> {
    let mut s = Scenario::default();
    let mut places = Places::new();
    if let Some(path) = file {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| at(&e))?;
        let layer = read(&text).map_err(|e| at(&e))?;
        places.extend(layer.iter().map(|(key, _, line)| (key.name, at(line))));
        s.lay(layer).map_err(|e| at(&e))?;
    } else if let Some(name) = preset {
        s.lay(read(presets::text(name)?)?)?;
    }
    let layer = flags(m)?;
    places.extend(layer.iter().map(|(key, _, flag)| (key.name, flag.clone())));
    s.lay(layer)?;
    // What is only shown may lack a server.
    if !print || !s.server.is_empty() {
        s.check().map_err(|c| placed(&c, &places))?;
    }
    if !print {
        let checked = if search { s.check_search() } else { s.check_run() };
        checked.map_err(|c| placed(&c, &places))?;
    }
    Ok(s)
}

/// Where each key was set last: `mine.toml: line 3` or `--rooms`. Presets have no places.
type Places = BTreeMap<&'static str, String>;

/// What goes wrong together, after the places where it was set.
fn placed(contradiction: &Contradiction, places: &Places) -> String {
    let set: Vec<_> = contradiction.keys.iter().filter_map(|k| places.get(k).cloned()).collect();
    if set.is_empty() {
        contradiction.why.clone()
    } else {
        format!("{}: {}", set.join(", "), contradiction.why)
    }
}

fn flags(m: &ArgMatches) -> Result<Layer, String> {
    let mut layer = Layer::new();
    for key in KEYS.iter().filter(|k| m.value_source(k.name) == Some(ValueSource::CommandLine)) {
        let text = m.get_one::<String>(key.name).map_or("", String::as_str);
        let value = key
            .allowed
            .read(text)
            .ok_or_else(|| format!("--{} must be {}, not {text}", key.flag(), key.allowed))?;
        layer.push((key, value, format!("--{}", key.flag())));
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Task, String> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        task(&command().try_get_matches_from(words).map_err(|e| e.to_string())?)
    }

    fn job(line: &str) -> Result<Job, String> {
        match asked(line)? {
            Task::Test(job) => Ok(*job),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_override_a_preset() {
        let s =
            job("run --preset large --server h:1 --participants 50 --sleep --cores 1,2").unwrap().scenario;
        assert_eq!((s.rooms, s.participants, s.saturate, s.window), (1, 50, true, 32));
        assert_eq!((s.sleep, s.cores), (true, vec![1, 2]));
        let s = job("run --preset large --server h:1 --rate 20").unwrap().scenario;
        assert_eq!((s.saturate, s.rate), (false, 20.0));
        let s = job("run --preset idle --server h:1 --sleep=false").unwrap().scenario;
        assert!(!s.sleep);
    }

    #[test]
    fn a_wrong_flag_is_named_with_what_is_allowed() {
        let why = job("run --server h:1 --rooms 0").unwrap_err();
        assert_eq!(why, "--rooms must be a whole number from 1 to 1000000, not 0");
        let why = job("run --server h:1 --transport ws").unwrap_err();
        assert_eq!(why, "--transport must be one of \"udp\", \"tcp\", \"tls\", not ws");
        assert!(job("run --server h:1 --rate -1").unwrap_err().starts_with("--rate must be a number from 0"));
        assert!(job("run --server h:1 --rate 1 --saturate").unwrap_err().contains("exclude each other"));
        assert!(job("run --preset huge").unwrap_err().contains("the presets are"));
        assert!(job("run --preset large").unwrap_err().starts_with("server is missing"));
    }

    #[test]
    fn values_that_contradict_each_other_are_named_with_all_their_places() {
        let path = std::env::temp_dir().join(format!("openmsrp-contradiction-{}.toml", std::process::id()));
        std::fs::write(&path, "# mine\nparticipants = 5\nrooms = 2\npublishers = 2\n").unwrap();
        let file = path.display();
        let why = job(&format!("run {file} --server h:1 --slow-receivers 3")).unwrap_err();
        let places = format!("{file}: line 2, {file}: line 4, --slow-receivers: publishers = 2 and slow_rec");
        assert!(why.starts_with(&places), "{why}");
        // Where it was set last counts; what a preset or nobody has set is nowhere.
        let why = job(&format!("run {file} --server h:1 --participants 2")).unwrap_err();
        assert!(why.starts_with(&format!("--participants, {file}: line 4: publishers")), "{why}");
        assert!(job("run --server h:1 --participants 2 --publishers 2").is_err());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn only_showing_a_scenario_needs_no_server() {
        assert!(job("run --preset churn --print-config").is_ok_and(|j| j.print));
    }

    #[test]
    fn a_search_needs_somebody_to_speak() {
        let why = job("search --preset idle --server h:1").unwrap_err();
        assert!(why.contains("nobody to speak"), "{why}");
        assert!(job("search --preset large --server h:1").is_ok_and(|j| j.search));
    }

    #[test]
    fn a_command_that_is_a_preset_takes_no_other() {
        assert!(
            job("fanout --preset idle --server h:1").unwrap_err().contains("write run instead of fanout")
        );
        assert!(job("idle file.toml --server h:1").unwrap_err().contains("write run instead of idle"));
    }

    #[test]
    fn short_commands_stand_for_presets() {
        assert_eq!(job("idle --server h:1").unwrap().scenario.publishers, 0);
        let s = job("fanout --server h:1 --domain d --rooms 2 --participants 3 --saturate").unwrap().scenario;
        assert_eq!((s.rooms, s.saturate, s.window), (2, true, 8));
    }

    #[test]
    fn reports_with_commas_between_are_one_side() {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        let task = asked("compare a1,a2 b1").unwrap();
        assert_eq!(task, Task::Compare(paths(&["a1", "a2"]), paths(&["b1"]), None));
    }

    #[test]
    fn a_coordinator_may_search_too() {
        let j = job("coordinate --workers 3 --search --server h:1").unwrap();
        assert_eq!((j.workers, j.search), (Some(("127.0.0.1:7400".into(), 3)), true));
    }
}
