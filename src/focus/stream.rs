//! Cuts a SIP stream into messages by Content-Length (RFC 3261 §18.3).
//!
//! Looks at the octets received so far and says what to do with the front of them; keeps no state and
//! no copy. What stands in a message is judged by `strict.rs`.
//!
//! Bounds: a message longer than `limits::SIP_MESSAGE_BYTES_MAX` breaks the stream before its body is
//! read. Proof: each sample below is cut at every octet.

use crate::base::limits;

/// What to do with the front of the received octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// More octets are needed.
    Wait,
    /// Drop so many octets: a line end before a start line (RFC 3261 §7.5).
    Skip(usize),
    /// Drop so many octets, a ping, and answer with one CRLF (RFC 5626 §3.5.1).
    Ping(usize),
    /// So many octets are one message.
    Message(usize),
    /// The stream cannot be understood any further. So many octets at the front are the head that
    /// broke it: worth an answer before the connection closes; 0 if there is none.
    Broken(&'static str, usize),
}

/// Looks at the front of `received`.
#[must_use]
pub fn step(received: &[u8]) -> Step {
    match received {
        [b'\r', b'\n', b'\r', b'\n', ..] => return Step::Ping(4),
        [b'\r', b'\n', b'\r'] | [b'\r', b'\n'] | [b'\r'] | [] => return Step::Wait,
        [b'\r', b'\n', ..] => return Step::Skip(2),
        [b'\n', ..] => return Step::Skip(1),
        [first, ..] if !first.is_ascii_graphic() => return Step::Broken("no start line", 0),
        _ => {}
    }
    let bound = received.len().min(limits::SIP_MESSAGE_BYTES_MAX);
    let Some(end) = memchr::memmem::find(&received[..bound], b"\r\n\r\n") else {
        return if bound == limits::SIP_MESSAGE_BYTES_MAX {
            Step::Broken("headers too long", 0)
        } else {
            Step::Wait
        };
    };
    let head = end + 4;
    match content_length(&received[..end + 2]) {
        Ok(length) if head + length > limits::SIP_MESSAGE_BYTES_MAX => Step::Broken("message too long", head),
        Ok(length) if head + length > received.len() => Step::Wait,
        Ok(length) => Step::Message(head + length),
        Err(why) => Step::Broken(why, head),
    }
}

/// The one Content-Length of a head.
fn content_length(head: &[u8]) -> Result<usize, &'static str> {
    let mut found = None;
    for line in head.split(|&b| b == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = line[..colon].trim_ascii_end();
        if !name.eq_ignore_ascii_case(b"Content-Length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = line[colon + 1..].trim_ascii();
        let digits = !value.is_empty() && value.len() <= 9 && value.iter().all(u8::is_ascii_digit);
        if !digits {
            return Err("bad Content-Length");
        }
        if found.is_some() {
            return Err("two Content-Length");
        }
        found = Some(value.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0')));
    }
    found.ok_or("no Content-Length")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `octets` in pieces that end at each of `cuts` and collects what came out.
    fn run(octets: &[u8], cuts: &[usize]) -> Vec<String> {
        let (mut buffer, mut events, mut from) = (Vec::new(), Vec::new(), 0);
        for &to in cuts.iter().chain([&octets.len()]) {
            buffer.extend_from_slice(&octets[from..to]);
            from = to;
            loop {
                let used = match step(&buffer) {
                    Step::Wait => break,
                    Step::Skip(n) => n,
                    Step::Ping(n) => {
                        events.push("ping".into());
                        n
                    }
                    Step::Message(n) => {
                        events.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
                        n
                    }
                    Step::Broken(why, _) => {
                        events.push(why.into());
                        return events;
                    }
                };
                buffer.drain(..used);
            }
        }
        events
    }

    #[test]
    fn a_stream_means_the_same_however_it_is_cut() {
        // SIP-TRANS-01, SIP-TRANS-03
        let one = "OPTIONS sip:a SIP/2.0\r\nVia: x\r\nContent-Length: 4\r\n\r\nbody";
        let two = "BYE sip:b SIP/2.0\r\nl :  0 \r\nVia: y\r\n\r\n";
        let stream = format!("\r\n\r\n{one}{two}\r\n{two}\r\n\r\n\n{one}");
        let whole = run(stream.as_bytes(), &[]);
        assert_eq!(whole, ["ping", one, two, two, "ping", one]);
        for cut in 1..stream.len() {
            assert_eq!(run(stream.as_bytes(), &[cut]), whole, "cut at {cut}");
        }
        let every: Vec<_> = (1..stream.len()).collect();
        assert_eq!(run(stream.as_bytes(), &every), whole);
    }

    #[test]
    fn a_stream_without_one_sane_length_is_broken() {
        // SIP-PARSE-02 (ncl), SIP-PARSE-03 (mcl01)
        let long = format!("Content-Length: {}", limits::SIP_MESSAGE_BYTES_MAX);
        for lines in [
            "Content-Length: -999",
            "Content-Length: 8\r\nl: 8",
            "To: x",
            "l: 1a",
            "l:",
            &long,
            "l: 9999999999",
        ] {
            let text = format!("INVITE sip:a SIP/2.0\r\n{lines}\r\n\r\n");
            assert!(matches!(step(text.as_bytes()), Step::Broken(_, n) if n == text.len()), "{lines}");
        }
        assert!(matches!(step(b"\0\0\0"), Step::Broken(_, 0)));
        let endless = vec![b'a'; limits::SIP_MESSAGE_BYTES_MAX];
        assert_eq!(step(&endless), Step::Broken("headers too long", 0));
        assert_eq!(step(&endless[1..]), Step::Wait);
    }
}
