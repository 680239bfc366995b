//! Messages on their way in: chunks of any size, in any order, overlapping (RFC 4975 §7.3.1).
//!
//! Octets are kept as the pieces that came and painted into one message when nothing is missing, so that no
//! memory follows from a number a peer sent.
//!
//! Touches: nothing. Bounds: `OPEN_MESSAGES_MAX` messages, each of `message_bytes_max` octets received and
//! [`PIECES_MAX`] pieces; without a further chunk it is forgotten after `CHUNK_WAIT`.
//! Proved by: the tests below.

use crate::base::chunk::Flag;
use crate::base::clock::Now;
use crate::base::limits::{CHUNK_WAIT, OPEN_MESSAGES_MAX};

/// Pieces of one unfinished message that do not follow on one another. A sender that cuts this often
/// cuts below every size RFC 4975 allows. Beyond: 413.
const PIECES_MAX: usize = 4096;

/// Ids of refused messages that are remembered, so that their later chunks are refused too.
const REFUSED_MAX: usize = 16;

/// Why a chunk is not taken; all are 413.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// The message is larger than we take, or says that it will be.
    TooLarge,
    /// Too many unfinished messages.
    TooManyOpen,
    /// A chunk of a message that was refused before.
    Already,
}

struct Piece {
    /// Position of the first octet, from 0.
    start: u64,
    octets: Vec<u8>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.octets.len() as u64
    }
}

struct Open {
    id: Box<[u8]>,
    /// In order of arrival: where two overlap the later one wins.
    pieces: Vec<Piece>,
    /// Octets received, overlaps counted each time.
    received: u64,
    /// Where the message ends, once its last chunk came.
    total: Option<u64>,
    touched: Now,
}

/// The unfinished messages of one session.
pub(super) struct Assembly {
    open: Vec<Open>,
    refused: Vec<Box<[u8]>>,
    message_bytes_max: u64,
}

impl Assembly {
    pub(super) fn new(message_bytes_max: u64) -> Self {
        Self { open: Vec::new(), refused: Vec::new(), message_bytes_max }
    }

    /// A chunk begins at `start` (from 1) and says how long the message will be.
    pub(super) fn begin(
        &mut self,
        now: Now,
        id: &[u8],
        start: u64,
        total: Option<u64>,
    ) -> Result<(), Refused> {
        if self.refused.iter().any(|r| **r == *id) {
            return Err(Refused::Already);
        }
        let known = self.open.iter().position(|o| *o.id == *id);
        let too_large = start.max(total.unwrap_or(0)) > self.message_bytes_max.saturating_add(1)
            || total.is_some_and(|t| t > self.message_bytes_max);
        if too_large {
            self.refuse(id);
            return Err(Refused::TooLarge);
        }
        let at = match known {
            Some(at) => at,
            None if self.open.len() >= OPEN_MESSAGES_MAX => {
                self.refuse(id);
                return Err(Refused::TooManyOpen);
            }
            None => {
                self.open.push(Open {
                    id: id.into(),
                    pieces: Vec::new(),
                    received: 0,
                    total: None,
                    touched: now,
                });
                self.open.len() - 1
            }
        };
        let open = &mut self.open[at];
        open.touched = now;
        let start = start.saturating_sub(1);
        let follows = open.pieces.last().is_some_and(|p| p.end() == start);
        if !follows {
            if open.pieces.len() >= PIECES_MAX {
                self.refuse(id);
                return Err(Refused::TooLarge);
            }
            open.pieces.push(Piece { start, octets: Vec::new() });
        }
        Ok(())
    }

    /// Octets of the chunk begun last.
    pub(super) fn add(&mut self, id: &[u8], octets: &[u8]) -> Result<(), Refused> {
        let max = self.message_bytes_max;
        let Some(open) = self.open.iter_mut().find(|o| *o.id == *id) else { return Err(Refused::Already) };
        open.received += octets.len() as u64;
        let Some(piece) = open.pieces.last_mut() else { return Ok(()) };
        if open.received > max || piece.end() + octets.len() as u64 > max {
            self.refuse(id);
            return Err(Refused::TooLarge);
        }
        piece.octets.extend_from_slice(octets);
        Ok(())
    }

    /// The chunk begun last ends. The message, if it is whole now.
    pub(super) fn end(&mut self, id: &[u8], flag: Flag) -> Option<Vec<u8>> {
        let at = self.open.iter().position(|o| *o.id == *id)?;
        let open = &mut self.open[at];
        match flag {
            Flag::Abort => {
                self.open.swap_remove(at);
                return None;
            }
            // The last chunk knows where the message ends, whatever total was claimed (MSRP-CHUNK-09).
            Flag::End => open.total = open.pieces.last().map(Piece::end),
            Flag::More => {}
        }
        open.is_whole().then(|| self.open.swap_remove(at).paint())
    }

    /// Forgets a message and refuses its further chunks.
    pub(super) fn refuse(&mut self, id: &[u8]) {
        self.open.retain(|o| *o.id != *id);
        if self.refused.len() >= REFUSED_MAX {
            self.refused.remove(0);
        }
        self.refused.push(id.into());
    }

    /// When the oldest unfinished message will be given up.
    pub(super) fn deadline(&self) -> Option<Now> {
        self.open.iter().map(|o| o.touched + CHUNK_WAIT).min()
    }

    /// Forgets what had no further chunk for too long (RFC 7701 §6.1).
    pub(super) fn wake(&mut self, now: Now) {
        self.open.retain(|o| o.touched + CHUNK_WAIT > now);
    }

    #[cfg(test)]
    fn octets_held(&self) -> usize {
        self.open.iter().flat_map(|o| &o.pieces).map(|p| p.octets.len()).sum()
    }
}

impl Open {
    fn is_whole(&self) -> bool {
        let Some(total) = self.total else { return false };
        let mut ranges: Vec<(u64, u64)> = self.pieces.iter().map(|p| (p.start, p.end())).collect();
        ranges.sort_unstable();
        let mut reached = 0;
        for (start, end) in ranges {
            if start > reached {
                break;
            }
            reached = reached.max(end);
        }
        reached >= total
    }

    /// The octets of a whole message.
    fn paint(self) -> Vec<u8> {
        let total = self.total.unwrap_or(0) as usize;
        let mut pieces = self.pieces;
        if pieces.len() == 1 {
            let mut only = pieces.swap_remove(0).octets;
            only.truncate(total);
            return only;
        }
        let mut message = vec![0; total];
        for piece in &pieces {
            let start = (piece.start as usize).min(total);
            let end = (piece.end() as usize).min(total);
            message[start..end].copy_from_slice(&piece.octets[..end - start]);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const T: Now = Now(0);

    fn chunk(a: &mut Assembly, start: u64, octets: &str, flag: Flag) -> Option<String> {
        a.begin(T, b"m1", start, None).unwrap();
        a.add(b"m1", octets.as_bytes()).unwrap();
        a.end(b"m1", flag).map(|m| String::from_utf8(m).unwrap())
    }

    #[test]
    fn chunks_may_come_in_any_order() {
        // MSRP-CHUNK-08, MSRP-CHUNK-09
        let chunks = [(1, "Hello", Flag::More), (6, ", ", Flag::More), (8, "room", Flag::End)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut a = Assembly::new(100);
            let got: Vec<_> = order
                .iter()
                .map(|&i| {
                    let (start, octets, flag) = chunks[i];
                    chunk(&mut a, start, octets, flag)
                })
                .collect();
            assert_eq!(got, [None, None, Some("Hello, room".to_string())], "{order:?}");
            assert_eq!(a.octets_held(), 0);
        }
    }

    #[test]
    fn where_chunks_overlap_the_last_arrived_wins() {
        // MSRP-CHUNK-08
        let mut a = Assembly::new(100);
        assert_eq!(chunk(&mut a, 1, "aaaaaa", Flag::More), None);
        assert_eq!(chunk(&mut a, 3, "bb", Flag::More), None);
        assert_eq!(chunk(&mut a, 6, "cccc", Flag::End).unwrap(), "aabbacccc");
        // A last chunk that ends before octets which came earlier: its end counts.
        assert_eq!(chunk(&mut a, 1, "aaaaaa", Flag::More), None);
        assert_eq!(chunk(&mut a, 2, "z", Flag::End).unwrap(), "az");
    }

    #[test]
    fn chunks_of_one_octet_make_a_message() {
        // MSRP-CHUNK-08
        let mut a = Assembly::new(100_000);
        let text: String = (0..10_000).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
        for (at, c) in text.chars().enumerate() {
            let last = at + 1 == text.len();
            let flag = if last { Flag::End } else { Flag::More };
            let whole = chunk(&mut a, at as u64 + 1, &c.to_string(), flag);
            assert_eq!(whole.as_deref(), last.then_some(text.as_str()));
        }
    }

    #[test]
    fn an_aborted_message_leaves_nothing() {
        // MSRP-CHUNK-10
        let mut a = Assembly::new(100);
        chunk(&mut a, 1, "Hello", Flag::More);
        assert_eq!(a.octets_held(), 5);
        assert_eq!(chunk(&mut a, 6, "x", Flag::Abort), None);
        assert_eq!(a.octets_held(), 0);
        assert_eq!(a.deadline(), None);
    }

    #[test]
    fn what_is_too_large_is_refused_at_once_and_stays_refused() {
        // MSRP-CHUNK-16, SEC-04
        let mut a = Assembly::new(10);
        assert_eq!(a.begin(T, b"m1", 1, Some(11)), Err(Refused::TooLarge));
        assert_eq!(a.begin(T, b"m1", 1, Some(5)), Err(Refused::Already));
        assert_eq!(a.begin(T, b"m2", 1 << 63, None), Err(Refused::TooLarge));
        a.begin(T, b"m3", 1, None).unwrap();
        a.add(b"m3", b"0123456789").unwrap();
        assert_eq!(a.add(b"m3", b"x"), Err(Refused::TooLarge));
        assert_eq!(a.octets_held(), 0);
        // The same ten octets again and again are more than ten octets.
        for start in [1, 1] {
            a.begin(T, b"m4", start, None).unwrap();
            let second = a.add(b"m4", b"012345");
            a.end(b"m4", Flag::More);
            assert_eq!(second.is_err(), a.octets_held() == 0);
        }
        assert_eq!(a.octets_held(), 0);
    }

    #[test]
    fn unfinished_messages_are_few_and_do_not_last() {
        // SEC-05
        let mut a = Assembly::new(10);
        for n in 0..OPEN_MESSAGES_MAX {
            a.begin(T, format!("id{n}").as_bytes(), 1, None).unwrap();
        }
        assert_eq!(a.begin(T, b"more", 1, None), Err(Refused::TooManyOpen));
        let later = a.deadline().unwrap();
        assert_eq!(later, T + CHUNK_WAIT);
        a.wake(Now(later.0 - 1));
        assert!(a.deadline().is_some());
        a.wake(later + Duration::from_nanos(1));
        assert_eq!(a.deadline(), None);
    }

    #[test]
    fn pieces_with_holes_between_them_are_bounded() {
        // SEC-05
        let mut a = Assembly::new(1_000_000);
        for n in 0..PIECES_MAX as u64 {
            assert_eq!(chunk(&mut a, 2 * n + 2, "x", Flag::More), None);
        }
        assert_eq!(a.begin(T, b"m1", 999_999, None), Err(Refused::TooLarge));
        assert_eq!(a.octets_held(), 0);
    }
}
