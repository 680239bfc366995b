//! What a line about sidebars asks for: the same at a terminal and in a pipe.
//!
//! Touches: nothing. Bounds: the line's. Proved by: the tests below.

use super::wish::{listed, names};

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Aside<'a> {
    /// To open one and ask these, who are named as for `/msg`.
    Open(Vec<String>),
    /// To enter the one of this number.
    Enter(u32),
    /// To say something in it.
    Say(u32, &'a str),
    /// To ask more people to it.
    Ask(u32, Vec<String>),
    /// To leave it.
    Leave(u32),
    /// To be told which there are.
    List,
}

impl<'a> Aside<'a> {
    /// Reads the word that a line begins with and the rest of the line. `None`: nothing about sidebars, or not so.
    pub(super) fn read(word: &str, rest: &'a str) -> Option<Self> {
        let (number, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let number = || number.parse().ok();
        let alone = || number().filter(|_| after.is_empty());
        let after = after.trim();
        match word {
            "/sidebar" => names(rest).map(Self::Open),
            "/sidebars" => rest.is_empty().then_some(Self::List),
            "/join" => alone().map(Self::Enter),
            "/leave" => alone().map(Self::Leave),
            "/in" if !after.is_empty() => number().map(|n| Self::Say(n, after)),
            "/ask" => {
                let (all, rest) = listed(after)?;
                number().filter(|_| rest.is_empty()).map(|n| Self::Ask(n, all))
            }
            _ => None,
        }
    }

    /// Who is meant, as typed.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Open(names) | Self::Ask(_, names) => names,
            _ => &[],
        }
    }

    /// The sidebar that is meant.
    pub(super) fn number(&self) -> Option<u32> {
        match self {
            Self::Enter(n) | Self::Say(n, _) | Self::Ask(n, _) | Self::Leave(n) => Some(*n),
            Self::Open(_) | Self::List => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidebar_is_named_by_its_number() {
        let people = |all: &[&str]| all.iter().map(|n| (*n).to_string()).collect();
        let table = [
            ("/sidebar", "bob,\"White Rabbit\"", Some(Aside::Open(people(&["bob", "White Rabbit"])))),
            ("/sidebars", "", Some(Aside::List)),
            ("/join", "1", Some(Aside::Enter(1))),
            ("/in", "12 psst  you", Some(Aside::Say(12, "psst  you"))),
            ("/ask", "1 bob,c@x", Some(Aside::Ask(1, people(&["bob", "c@x"])))),
            ("/leave", "3", Some(Aside::Leave(3))),
        ];
        for (word, rest, aside) in table {
            assert_eq!(Aside::read(word, rest), aside, "{word} {rest}");
        }
    }

    #[test]
    fn what_may_be_said_to_the_wrong_people_is_said_to_nobody() {
        for (word, rest) in [
            ("/sidebar", ""),
            ("/sidebar", "bob, carol"),
            ("/sidebar", "bob psst"),
            ("/sidebars", "1"),
            ("/join", ""),
            ("/join", "one"),
            ("/join", "1 2"),
            ("/in", "1"),
            ("/in", "psst 1"),
            ("/in", "-1 psst"),
            ("/ask", "bob"),
            ("/ask", "1"),
            ("/ask", "1 bob, carol"),
            ("/leave", ""),
            ("/say", "1"),
        ] {
            assert_eq!(Aside::read(word, rest), None, "{word} {rest}");
        }
    }
}
