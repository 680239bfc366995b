//! `openmsrp passwd`: users and their secrets.

use crate::wire::digest::{Algorithm, prepare, secret};
use clap::Args as ClapArgs;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Gives a user a password, in the file that `openmsrp serve --users` reads.
///
/// The password is read from standard input; the file keeps hashes of it only.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// The file; made if it does not exist.
    file: PathBuf,
    /// The user: alice@example.com.
    user: String,
    /// Takes the user out.
    #[arg(long)]
    remove: bool,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> ExitCode {
    match try_run(args) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("openmsrp: {why}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &Args) -> Result<String, String> {
    let name = args.user.strip_prefix("sip:").unwrap_or(&args.user);
    let (user, domain) = name
        .rsplit_once('@')
        .filter(|(u, d)| !u.is_empty() && !d.is_empty() && !name.contains(char::is_whitespace))
        .ok_or_else(|| format!("`{name}` is not like alice@example.com"))?;
    let domain = domain.to_ascii_lowercase();
    let before = match std::fs::read_to_string(&args.file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !args.remove => String::new(),
        Err(e) => return Err(format!("cannot read {}: {e}", args.file.display())),
    };
    if args.remove {
        let name = format!("{user}@{domain}");
        let after = without(&before, &name);
        if after == before {
            return Err(format!("{name} is not in {}", args.file.display()));
        }
        write(&args.file, &after)?;
        return Ok(format!("{name} taken out; a server reads the file when it starts"));
    }
    let (user, password) = prepare(user, &ask()?)?;
    let name = format!("{user}@{domain}");
    let mut text = without(&before, &name);
    text += &name;
    for algorithm in Algorithm::ALL {
        let secret = secret(algorithm, &user, &domain, &password);
        text += &format!(" {}:{secret}", algorithm.as_str());
    }
    text.push('\n');
    write(&args.file, &text)?;
    Ok(format!("{name} written; a server reads the file when it starts"))
}

/// The lines of a file but those of one user.
fn without(text: &str, name: &str) -> String {
    let others = text.lines().filter(|l| l.split_whitespace().next() != Some(name));
    others.map(|l| format!("{l}\n")).collect()
}

fn ask() -> Result<String, String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("password (it will be seen): ");
        // A prompt that cannot be shown is none.
        let _ = std::io::stderr().flush();
    }
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|e| format!("cannot read the password: {e}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("there is no password on standard input".into());
    }
    Ok(password.to_owned())
}

/// Writes the whole file or nothing, readable by its owner only.
fn write(file: &Path, text: &str) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt;
    let wrong = |e: std::io::Error| format!("cannot write {}: {e}", file.display());
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let mut options = std::fs::OpenOptions::new();
    let mut new = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(wrong)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(wrong)?;
    std::fs::rename(&beside, file).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_written_once_and_taken_out_alone() {
        let text = "# users\nalice@b SHA-256:00\nbob@b SHA-256:11\n";
        assert_eq!(without(text, "alice@b"), "# users\nbob@b SHA-256:11\n");
        assert_eq!(without(text, "carol@b"), text);
    }
}
