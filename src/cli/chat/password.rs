//! Passwords, one's own and that of a room: out of a file, the environment or the keyboard, never out of the command line, where everybody
//! who uses the machine could read it.
//!
//! Touches: the file named, the environment variables of [`VARIABLE`] and [`ROOM_VARIABLE`], the terminal. Bounds:
//! [`PASSWORD_BYTES_MAX`]. Proved by: the tests below; the keyboard by hand.

use super::terminal::Raw;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, read};
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

/// The environment variable that may hold one's own.
pub(super) const VARIABLE: &str = "OPENMSRP_PASSWORD";

/// The environment variable that may hold that of the room.
pub(super) const ROOM_VARIABLE: &str = "OPENMSRP_ROOM_PASSWORD";

/// Octets of a password. Beyond: the file is another one than was meant.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// The password that was given before anybody asked, if one was. The file goes before the environment.
pub(super) fn given(file: Option<&Path>, variable: Option<String>) -> Result<Option<String>, String> {
    let Some(file) = file else { return Ok(variable.filter(|v| !v.is_empty())) };
    let shown = file.display();
    let wrong = |e: io::Error| format!("cannot read the password in {shown}: {e}");
    let mut text = String::new();
    let open = std::fs::File::open(file).map_err(wrong)?;
    open.take(PASSWORD_BYTES_MAX + 1).read_to_string(&mut text).map_err(wrong)?;
    if text.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(format!("{shown} is longer than a password: it is to hold one line, and nothing else"));
    }
    let mut lines = text.lines();
    match (lines.next().unwrap_or_default(), lines.next()) {
        ("", _) => Err(format!("{shown} holds no password: it is to hold one line, the password")),
        (_, Some(_)) => Err(format!("{shown} has several lines: it is to hold one line, the password")),
        (password, None) => Ok(Some(password.to_string())),
    }
}

/// Asks at the terminal for the password of a user or a room, without showing what is typed; `None` if there is no
/// terminal or the answer is none.
pub(super) fn ask(of: &str) -> io::Result<Option<String>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let mut screen = io::stderr();
    write!(screen, "password of {of} (not shown): ")?;
    screen.flush()?;
    let typed = {
        let _raw = Raw::enter()?;
        let mut password = String::new();
        loop {
            if let Event::Key(key) = read()?
                && let Some(done) = take(&mut password, key)
            {
                break done.then_some(password);
            }
        }
    };
    writeln!(screen)?;
    Ok(typed.filter(|p| !p.is_empty()))
}

/// Takes a key; whether the password is finished, or given up.
fn take(password: &mut String, key: KeyEvent) -> Option<bool> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        _ if key.kind == KeyEventKind::Release => {}
        KeyCode::Enter => return Some(true),
        KeyCode::Char('c' | 'd') if control => return Some(false),
        KeyCode::Char('j') if control => return Some(true),
        KeyCode::Char('u') if control => password.clear(),
        KeyCode::Backspace => drop(password.pop()),
        KeyCode::Char(c) if !control && (password.len() as u64) < PASSWORD_BYTES_MAX => password.push(c),
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_one_line_of_a_file_or_else_the_variable() {
        let file = std::env::temp_dir().join(format!("openmsrp-password-{}", std::process::id()));
        let from = |text: &str| {
            std::fs::write(&file, text).unwrap();
            given(Some(&file), Some("other".to_string()))
        };
        for text in ["pass word", "pass word\n", "pass word\r\n"] {
            assert_eq!(from(text), Ok(Some("pass word".to_string())), "{text:?}");
        }
        assert!(from("").unwrap_err().contains("holds no password"));
        assert!(from("\n").unwrap_err().contains("holds no password"));
        assert!(from("a\nb\n").unwrap_err().contains("several lines"));
        assert!(from(&"x".repeat(1025)).unwrap_err().contains("longer than a password"));
        std::fs::remove_file(&file).unwrap();
        assert!(given(Some(&file), None).unwrap_err().starts_with("cannot read the password in "));
        assert_eq!(given(None, Some("x".to_string())), Ok(Some("x".to_string())));
        assert_eq!((given(None, Some(String::new())), given(None, None)), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_password_is_typed_key_by_key() {
        let mut password = String::new();
        let mut press = |code, modifiers| take(&mut password, KeyEvent::new(code, modifiers));
        let (plain, control) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
        for c in "xsé!".chars() {
            assert_eq!(press(KeyCode::Char(c), plain), None);
        }
        press(KeyCode::Backspace, plain);
        press(KeyCode::Tab, plain);
        assert_eq!(press(KeyCode::Enter, plain), Some(true));
        assert_eq!(press(KeyCode::Char('c'), control), Some(false));
        assert_eq!(password, "xsé");
        take(&mut password, KeyEvent::new(KeyCode::Char('u'), control));
        assert_eq!(password, "");
    }
}
