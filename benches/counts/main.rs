//! How many instructions things take: a number that is the same on a busy machine as on an idle one.
//!
//! Each case runs twice under `valgrind --tool=cachegrind` without its caches, so and so often and twice as often; the
//! difference belongs to the case alone. `benches/counts.tsv` holds what was counted last: a count that rises by more
//! than [`TOLERANCE`] fails. Counts depend on the compiler and a little on the processor, since searching and
//! copying pick their code by what it has; the tolerance covers that.
//!
//! ```text
//! cargo bench --bench counts                          count and compare
//! cargo bench --bench counts -- join                  only cases whose name holds a word
//! OPENMSRP_BLESS=1 cargo bench --bench counts         write the table
//! cargo bench --bench counts -- sizes                 the same things in ever larger worlds; a few minutes
//! ```
//!
//! Without `--bench` (`cargo test --bench counts`) every case is done a few times and nothing is counted.

#[path = "../common/mod.rs"]
mod common;

mod cases;

use cases::{CASES, Case, SIZES};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

/// How far a count may rise before it is a regression, in percent of what the table says. The same program counts up to
/// 11 % more without AVX2 (`GLIBC_TUNABLES`), and less than 1 % more or less from run to run, because hash tables
/// have seeds.
const TOLERANCE: u64 = 15;

/// The table, from the root of the project.
const TABLE: &str = "benches/counts.tsv";

/// Runs one case, for valgrind: `--run NAME TIMES`.
const RUN: &str = "--run";

/// The word that asks for [`SIZES`].
const WITH_SIZES: &str = "sizes";

fn main() -> ExitCode {
    let mut args: Vec<String> = env::args().skip(1).collect();
    if let [flag, name, times] = &args[..]
        && flag == RUN
    {
        run(name, times.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let counts = args.iter().any(|a| a == "--bench");
    args.retain(|a| !a.starts_with('-'));
    let chosen: Vec<&Case> = CASES
        .iter()
        .filter(|c| args.is_empty() || args.iter().any(|word| c.name.contains(&**word)))
        .collect();
    if !counts {
        chosen.iter().for_each(|case| run(case.name, 3));
        return ExitCode::SUCCESS;
    }
    let outcome = if args.iter().any(|word| word == WITH_SIZES) {
        count_all(&SIZES.iter().collect::<Vec<_>>()).map(|counted| show(&counted))
    } else {
        count_all(&chosen).and_then(|counted| judge(&counted))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, times: u64) {
    let case = CASES.iter().chain(SIZES).find(|c| c.name == name).expect("a case of this name");
    let mut act = (case.set_up)();
    (0..times).for_each(|_| act());
}

/// Instructions of one act of each case.
type Counts = BTreeMap<&'static str, u64>;

/// Counts on all processors: it takes no time of anybody else's count.
fn count_all(chosen: &[&Case]) -> Result<Counts, String> {
    let (next, counted) = (AtomicUsize::new(0), Mutex::new(Ok(Counts::new())));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = count(case);
                    let mut all = counted.lock().expect("no counter panicked");
                    match (one, &mut *all) {
                        (Ok(n), Ok(counts)) => drop(counts.insert(case.name, n)),
                        (Err(why), all) => *all = Err(why),
                        (Ok(_), Err(_)) => return,
                    }
                }
            });
        }
    });
    counted.into_inner().expect("no counter panicked")
}

/// Instructions of one act: of twice as many acts less of so many.
fn count(case: &Case) -> Result<u64, String> {
    let (once, twice) = (instructions(case, case.times)?, instructions(case, 2 * case.times)?);
    Ok(twice.saturating_sub(once) / case.times)
}

/// Instructions of a process that does it so often.
fn instructions(case: &Case, times: u64) -> Result<u64, String> {
    let program = env::current_exe().map_err(|e| format!("where am I? {e}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(program)
        .args([RUN, case.name, &times.to_string()])
        .output()
        .map_err(|e| format!("valgrind does not start ({e}); on Debian: apt-get install valgrind"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // ==4711== I   refs:      123,456,789
    let digits = |line: &str| line.rsplit(':').next().map(|n| n.trim().replace(',', ""));
    let refs = said.lines().filter(|l| l.contains("refs:")).find_map(digits).and_then(|n| n.parse().ok());
    match refs {
        Some(n) if output.status.success() => Ok(n),
        _ => Err(format!("{}: {}\n{said}", case.name, output.status)),
    }
}

fn show(counted: &Counts) {
    for name in SIZES.iter().map(|c| c.name) {
        println!("{name:<40} {:>12}", counted.get(name).copied().unwrap_or_default());
    }
}

/// Compares with the table, or writes it.
fn judge(counted: &Counts) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    let mut table = read_table(&path)?;
    let (mut risen, mut fallen) = (Vec::new(), false);
    println!("{:<40} {:>12} {:>12} {:>8}", "instructions", "before", "now", "");
    for name in CASES.iter().map(|c| c.name) {
        let Some(&now) = counted.get(name) else { continue };
        let before = table.insert(name.to_owned(), now);
        let change = before
            .map_or("new".into(), |b| format!("{:+.1} %", (now as f64 - b as f64) / b.max(1) as f64 * 100.0));
        println!("{name:<40} {:>12} {now:>12} {change:>8}", before.map_or("-".into(), |b| b.to_string()));
        match before {
            None => risen.push(format!("{name} is not in {TABLE}")),
            Some(b) if now * 100 > b * (100 + TOLERANCE) => {
                risen.push(format!("{name} takes {now} instructions, before {b}: {change}"));
            }
            Some(b) => fallen |= now * (100 + TOLERANCE) < b * 100,
        }
    }
    if env::var_os("OPENMSRP_BLESS").is_some() {
        return write_table(&path, &table);
    }
    let gone = table.keys().filter(|name| !CASES.iter().any(|c| c.name == name.as_str()));
    if fallen {
        println!("\nSome take much less: write the table anew, or they may rise again unseen.");
    }
    risen.extend(gone.map(|name| format!("{name} is in {TABLE}, but there is no such case")));
    if risen.is_empty() {
        return Ok(());
    }
    Err(format!(
        "\n{}\nMend it; if it must be so, say why in the commit, and write the table anew:\n    \
         OPENMSRP_BLESS=1 cargo bench --bench counts",
        risen.join("\n")
    ))
}

fn read_table(path: &Path) -> Result<BTreeMap<String, u64>, String> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(BTreeMap::new()) };
    let row = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    let rows = text.lines().filter(|l| !l.starts_with('#'));
    rows.map(|l| row(l).ok_or_else(|| format!("{TABLE}: no case and count: {l:?}"))).collect()
}

fn write_table(path: &Path, table: &BTreeMap<String, u64>) -> Result<(), String> {
    let mut text = String::from(
        "# Instructions of one act of each case of benches/counts; written by OPENMSRP_BLESS=1 cargo bench --bench counts\n",
    );
    // In the order of the cases; what is no case any more is left out.
    for case in CASES {
        if let Some(count) = table.get(case.name) {
            text.push_str(&format!("{}\t{count}\n", case.name));
        }
    }
    fs::write(path, text).map_err(|e| format!("{TABLE}: {e}"))
}
