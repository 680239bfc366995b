//! Passwords of participants, for servers that ask for them (digest, RFC 3261 §22): a file of lines `USER:PASSWORD`. The
//! user of a participant is what stands before the `@` of its address; `*` stands for everybody without a line.
//!
//! Bounds: [`FILE_BYTES_MAX`]. No report holds a password, only the name of the file.

use openmsrp::client::call::Account;
use std::collections::HashMap;
use std::io::Read;

/// Octets of the file: a million users and more.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The user that stands for all others.
const OTHERS: &str = "*";

/// Who has which password.
pub(crate) struct Passwords(HashMap<String, String>);

impl Passwords {
    /// Reads a file; without one nobody has a password.
    ///
    /// # Errors
    /// The file, the line, and what it is to hold.
    pub(crate) fn read(file: &str) -> Result<Self, String> {
        if file.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let wrong = |e: std::io::Error| format!("cannot read the passwords in {file}: {e}");
        let mut text = String::new();
        let open = std::fs::File::open(file).map_err(wrong)?;
        open.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(wrong)?;
        Self::parse(&text).map_err(|why| format!("{file}: {why}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut known = HashMap::new();
        for (at, line) in text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
            let (user, password) = line
                .split_once(':')
                .filter(|(user, password)| !user.is_empty() && !password.is_empty())
                .ok_or_else(|| {
                    format!("line {} must be USER:PASSWORD, or *:PASSWORD for all others", at + 1)
                })?;
            if user != OTHERS {
                Account::new(user, password).map_err(|why| format!("line {}: {why}", at + 1))?;
            }
            if known.insert(user.to_owned(), password.to_owned()).is_some() {
                return Err(format!("line {}: {user} was there before", at + 1));
            }
        }
        if known.is_empty() {
            return Err("no line USER:PASSWORD".into());
        }
        Ok(Self(known))
    }

    /// The account of the participant with this address.
    ///
    /// # Errors
    /// What is wrong with the user or the password (RFC 8265).
    pub(crate) fn account(&self, address: &str) -> Result<Option<Account>, String> {
        let user = address.strip_prefix("sip:").and_then(|rest| rest.split('@').next()).unwrap_or_default();
        let password = self.0.get(user).or_else(|| self.0.get(OTHERS));
        password.map(|p| Account::new(user, p)).transpose().map_err(|why| format!("{user}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participant_has_the_password_of_its_line_or_that_of_all_others() {
        let passwords = Passwords::parse("# laboratory\nu1:se:cret\n\n*:common\n").unwrap();
        assert_eq!(passwords.0["u1"], "se:cret");
        assert_eq!(passwords.account("sip:u7@localhost").unwrap().unwrap().user(), "u7");
        assert!(Passwords::parse("u1:x\n").unwrap().account("sip:u2@localhost").unwrap().is_none());
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, why) in [
            ("u1:x\nnothing\n", "line 2 must be USER:PASSWORD"),
            (":x\n", "line 1 must be"),
            ("u1:\n", "line 1 must be"),
            ("u1:x\nu1:y\n", "line 2: u1 was there before"),
            ("# none\n", "no line"),
        ] {
            let said = Passwords::parse(text).err().unwrap();
            assert!(said.contains(why), "{said}");
        }
    }
}
