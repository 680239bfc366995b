//! Names and proofs: digest headers, user names and passwords, nicknames.

use crate::wire::digest::{Algorithm, Params, same};
use crate::wire::nickname::{NICKNAME_BYTES_MAX, Wish};
use crate::wire::{digest, nickname};

/// What a digest header may say.
const PARAMS: [&str; 10] =
    ["username", "realm", "nonce", "uri", "response", "algorithm", "cnonce", "opaque", "qop", "nc"];

/// A digest header: what was read is read again once it is written with every value in quotation marks. A user
/// name and password, apart by NUL: prepared, they hold no control character. Reads 4 KiB.
pub fn digest(octets: &[u8]) {
    let text = String::from_utf8_lossy(&octets[..octets.len().min(4096)]).into_owned();
    for value in [text.clone(), format!("Digest {text}")] {
        let Some(params) = Params::parse(&value) else { continue };
        let known = PARAMS.map(|name| params.get(name).map(str::to_owned));
        let mut again = "Digest x=y, ".to_owned();
        for (name, value) in PARAMS.iter().zip(&known) {
            if let Some(value) = value {
                let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                again += &format!("{name}=\"{escaped}\", ");
            }
        }
        let read = Params::parse(&again);
        let read = read.map(|read| PARAMS.map(|name| read.get(name).map(str::to_owned)));
        assert_eq!(read, Some(known), "{again:?}");
        for algorithm in Algorithm::ALL {
            let nonce = params.get("nonce").unwrap_or("");
            let hash = algorithm.hash(&[nonce, &text]);
            assert_eq!((hash.len(), same(&hash, nonce)), (algorithm.digits(), hash == nonce));
        }
    }
    let (user, password) = text.split_once('\0').unwrap_or((&text, "secret"));
    if let Ok((user, password)) = digest::prepare(user, password) {
        assert!(!user.is_empty() && !password.is_empty());
        assert!(!user.chars().chain(password.chars()).any(char::is_control), "{user:?} {password:?}");
    }
}

/// Use-Nickname: what is shown is prepared already, is short enough, and means the same in quotation marks.
/// Reads 2 KiB.
pub fn nickname(octets: &[u8]) {
    let value = &octets[..octets.len().min(2048)];
    let text = String::from_utf8_lossy(value);
    let quoted = [b"\"", value, b"\""].concat();
    for wish in [nickname::parse(Some(value)), nickname::parse(Some(&quoted))] {
        let Ok(Wish::Reserve(nickname)) = wish else { continue };
        let shown = &*nickname.shown;
        assert!(!shown.is_empty() && shown.len() <= NICKNAME_BYTES_MAX, "{shown:?}");
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert_eq!(nickname::prepare(shown).as_ref(), Ok(&nickname), "of {text:?}");
        let escaped = shown.replace('\\', "\\\\").replace('"', "\\\"");
        let again = nickname::parse(Some(format!("\"{escaped}\"").as_bytes()));
        if escaped.len() <= NICKNAME_BYTES_MAX {
            assert_eq!(again, Ok(Wish::Reserve(nickname.clone())), "of {text:?}");
        }
        assert!(!nickname.looks.is_empty());
    }
}
