//! The command line: one file per subcommand, one table of them here.

pub mod chat;
pub mod passwd;
pub mod serve;
pub mod sim;
pub mod why;

use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Multi-party MSRP chat rooms for SIP.
#[derive(Parser, Debug)]
#[command(name = "openmsrp", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the chat-room server.
    Serve(Box<serve::Args>),
    /// Join a room from the terminal.
    Chat(chat::Args),
    /// Give a user a password.
    Passwd(passwd::Args),
    /// Say whether somebody may do something in a room, and why.
    Why(why::Args),
    /// Run the deterministic simulator.
    Sim(sim::Args),
}

/// Reads the arguments of the process and runs the subcommand they name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // A chat owns the screen: only what must not be missed is logged there.
    let default = if matches!(cli.command, Command::Serve(_)) { "info" } else { "error" };
    start_log(default);
    match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Chat(args) => chat::run(args),
        Command::Passwd(args) => passwd::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Sim(args) => sim::run(args),
    }
}

/// Logs go to standard error; `OPENMSRP_LOG` overrides what is logged. The SIP library logs whole messages
/// at info, people's words among them: warnings only, unless it is asked for by its name.
fn start_log(default: &str) {
    let wanted = std::env::var("OPENMSRP_LOG").unwrap_or_else(|_| default.to_owned());
    let quiet = |directives: &str| format!("rsipstack=warn,{directives}");
    let directives = if wanted.contains("rsipstack") { wanted } else { quiet(&wanted) };
    let filter = EnvFilter::try_new(&directives).unwrap_or_else(|e| {
        eprintln!("openmsrp: OPENMSRP_LOG is not understood ({e}); logging at {default}");
        EnvFilter::new(quiet(default))
    });
    // A file or a journal gets no colours.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_target(false).with_ansi(colours).init();
}
