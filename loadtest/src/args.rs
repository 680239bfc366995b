//! The command line, and what of it can be wrong on its own.

use crate::score::Names;
use crate::stamp::{TEXT_BYTES_MAX, TEXT_BYTES_MIN};
use clap::{Args, Parser, Subcommand, ValueEnum};
use openmsrp::wire::msrp::head::FailureReport;
use std::path::PathBuf;

/// Participants of one test, at most: their number must fit the texts and the tables.
const PARTICIPANTS_MAX: u64 = 1_000_000;

/// Joins real participants to MSRP chat rooms and measures how the server serves them.
#[derive(Parser, Debug)]
#[command(name = "openmsrp-loadtest", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Send messages and check that every one reaches every other participant once, in one order.
    Fanout(Fanout),
    /// Join, wait, and tell what an idle participant costs the server.
    Idle(Idle),
}

/// Who joins where.
#[derive(Args, Clone, Debug)]
pub(crate) struct Party {
    /// SIP address of the server, as HOST:PORT
    #[arg(long)]
    pub(crate) server: String,
    /// Domain of the rooms: room N is sip:roomN@DOMAIN
    #[arg(long)]
    pub(crate) domain: String,
    /// Number of rooms
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rooms: u32,
    /// Participants of each room
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) participants: u32,
    /// How the INVITEs travel
    #[arg(long, value_enum, default_value_t = SipTransport::Udp)]
    pub(crate) transport: SipTransport,
    /// Participants joining at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) join_parallel: u32,
    /// What the user part of a room's address begins with
    #[arg(long, default_value = "room")]
    pub(crate) room_prefix: String,
    /// Process of the server on this machine: its CPU time and memory are measured
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    /// Threads of the harness; rooms are spread over them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,
    /// Cores of the harness, one thread is pinned to each (instead of --threads)
    #[arg(long, value_delimiter = ',')]
    pub(crate) cores: Vec<usize>,
    /// Write the result to this file as one JSON object
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `fanout`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fanout {
    #[command(flatten)]
    pub(crate) party: Party,
    /// Octets of each text
    #[arg(long, default_value_t = 200)]
    pub(crate) size: usize,
    /// Open loop: messages per room and second
    #[arg(long, conflicts_with = "saturate", required_unless_present = "saturate")]
    pub(crate) rate: Option<f64>,
    /// As much as the server takes
    #[arg(long)]
    pub(crate) saturate: bool,
    /// With --saturate: messages of a publisher that not everyone has yet
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) window: u32,
    /// Seconds that are measured
    #[arg(long, default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// Seconds of the same load before
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// Seconds in which the last copies may come
    #[arg(long, default_value_t = 5.0)]
    pub(crate) drain: f64,
    /// Participants of each room that send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) publishers: u32,
    /// Which answers the publishers ask for
    #[arg(long, value_enum, default_value_t = Report::Yes)]
    pub(crate) failure_report: Report,
    /// Sleep instead of polling (for machines with fewer cores than threads)
    #[arg(long)]
    pub(crate) sleep: bool,
}

/// Options of `idle`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) party: Party,
    /// Seconds to wait
    #[arg(long, default_value_t = 10.0)]
    pub(crate) duration: f64,
}

/// How SIP travels.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SipTransport {
    /// One socket, datagrams
    Udp,
    /// One connection
    Tcp,
}

/// Values of Failure-Report.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// All answers
    Yes,
    /// Refusals only
    Partial,
    /// None
    No,
}

impl From<Report> for FailureReport {
    fn from(r: Report) -> Self {
        match r {
            Report::Yes => Self::Yes,
            Report::Partial => Self::Partial,
            Report::No => Self::No,
        }
    }
}

impl Party {
    /// Participants of all rooms.
    pub(crate) fn total(&self) -> u64 {
        u64::from(self.rooms) * u64::from(self.participants)
    }

    /// How everybody is called.
    pub(crate) fn names(&self) -> Names {
        Names { room_prefix: self.room_prefix.clone(), domain: self.domain.clone() }
    }

    /// Threads, and the core of each if it has one.
    pub(crate) fn thread_cores(&self) -> Vec<Option<usize>> {
        let mut cores: Vec<_> = if self.cores.is_empty() {
            vec![None; self.threads as usize]
        } else {
            self.cores.iter().copied().map(Some).collect()
        };
        // A thread without rooms would only poll.
        cores.truncate(self.rooms as usize);
        cores
    }

    fn check(&self) -> Result<(), String> {
        if self.total() > PARTICIPANTS_MAX {
            return Err(format!("{} participants are too many: at most {PARTICIPANTS_MAX}", self.total()));
        }
        Ok(())
    }
}

impl Fanout {
    /// What clap cannot see.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.party.check()?;
        if !(TEXT_BYTES_MIN..=TEXT_BYTES_MAX).contains(&self.size) {
            return Err(format!("--size must lie between {TEXT_BYTES_MIN} and {TEXT_BYTES_MAX} octets"));
        }
        if self.publishers >= self.party.participants {
            return Err(format!(
                "--publishers {} leaves nobody to listen in a room of {}: at least one participant must not \
                 send, the others' order is compared with what it sees",
                self.publishers, self.party.participants
            ));
        }
        if self.rate.is_some_and(|r| !(r.is_finite() && r > 0.0 && r <= 1e7)) {
            return Err("--rate must be a number above 0 and at most 10,000,000".into());
        }
        seconds("--duration", self.duration, 0.1)?;
        seconds("--warmup", self.warmup, 0.0)?;
        seconds("--drain", self.drain, 0.0)
    }
}

impl Idle {
    /// What clap cannot see.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.party.check()?;
        seconds("--duration", self.duration, 0.1)
    }
}

fn seconds(name: &str, value: f64, least: f64) -> Result<(), String> {
    if value.is_finite() && (least..=86_400.0).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name} must lie between {least} and 86400 seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fanout(more: &str) -> Result<Fanout, String> {
        let line = format!("x fanout --server h:1 --domain d --rooms 2 --participants 3 {more}");
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())?;
        let Command::Fanout(f) = cli.command else { return Err("not fanout".into()) };
        f.check().map(|()| f)
    }

    #[test]
    fn a_rate_or_saturation_must_be_chosen_and_not_both() {
        assert!(fanout("").is_err());
        assert!(fanout("--saturate --rate 5").is_err());
        assert!(fanout("--saturate").is_ok_and(|f| f.window == 8));
        assert!(fanout("--rate 0.5").is_ok_and(|f| f.rate == Some(0.5)));
        assert!(fanout("--rate -1").is_err());
        assert!(fanout("--rate 0").is_err());
    }

    #[test]
    fn someone_must_listen() {
        assert!(fanout("--saturate --publishers 2").is_ok());
        assert!(fanout("--saturate --publishers 3").is_err_and(|e| e.contains("listen")));
    }

    #[test]
    fn a_text_too_short_for_its_stamp_is_refused() {
        assert!(fanout("--saturate --size 10").is_err_and(|e| e.contains("--size")));
    }

    #[test]
    fn no_more_threads_than_rooms() {
        let f = fanout("--saturate --cores 1,2,3").unwrap();
        assert_eq!(f.party.thread_cores(), [Some(1), Some(2)]);
    }
}
