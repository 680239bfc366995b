//! The `[flood]` table of the configuration: how much of what may come in what time.
//!
//! A key is that of a [`Flood`], a value is text like `"10/s burst 20"`, or `"off"`. What is not said is as above: a
//! room's table goes over that of the server, and that over the defaults.

use crate::base::budget::Rate;
use crate::base::flood::{Flood, Limits};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// A table as the file gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawFloods(Vec<(Flood, Option<Rate>)>);

impl RawFloods {
    /// These limits over those that hold otherwise.
    #[must_use]
    pub fn over(&self, below: &Limits) -> Limits {
        let mut limits = below.clone();
        self.0.iter().for_each(|(flood, rate)| limits.set(*flood, *rate));
        limits
    }
}

/// The same for a room: nothing that is counted for the whole server.
#[derive(Clone, Debug, Default)]
pub struct RoomFloods(pub RawFloods);

impl<'de> Deserialize<'de> for RoomFloods {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let floods = RawFloods::deserialize(from)?;
        if let Some((flood, _)) = floods.0.iter().find(|(flood, _)| !flood.is_of_room()) {
            let why = format!("`{}` counts for the whole server; write it in [flood]", flood.key());
            return Err(D::Error::custom(why));
        }
        Ok(Self(floods))
    }
}

impl<'de> Deserialize<'de> for RawFloods {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = RawFloods;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of limits like messages = \"10/s burst 20\"")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawFloods, A::Error> {
                let mut floods = Vec::new();
                while let Some((Key(flood), Limit(rate))) = map.next_entry()? {
                    floods.push((flood, rate));
                }
                Ok(RawFloods(floods))
            }
        }
        from.deserialize_map(Table)
    }
}

struct Key(Flood);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let known = Flood::ALL.into_iter().find(|f| f.key() == text);
        let keys = || Flood::ALL.map(Flood::key).join(", ");
        known.map(Self).ok_or_else(|| D::Error::custom(format!("`{text}` is not one of {}", keys())))
    }
}

struct Limit(Option<Rate>);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.trim() == "off" {
            return Ok(Self(None));
        }
        let rate = Rate::parse(&text).map_err(|why| D::Error::custom(format!("{why}, and not `off`")))?;
        Ok(Self(Some(rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::Raw;

    fn check(text: &str) -> Result<Limits, String> {
        let raw: Raw = toml::from_str(text).map_err(|e| e.to_string())?;
        Ok(raw.check(1).map_err(|e| e.to_string())?.floods)
    }

    #[test]
    fn what_is_said_goes_over_the_defaults() {
        assert_eq!(check("").unwrap(), Limits::default());
        let limits = check("[flood]\nmessages = \"10/s burst 20\"\nnicknames = \"off\"").unwrap();
        let mut expected = Limits::default();
        expected.set(Flood::Messages, Rate::parse("10/s burst 20").ok());
        expected.set(Flood::Nicknames, None);
        assert_eq!(limits, expected);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let table = [
            ("octets = \"much\"", "`much` is not like 10/s, 5/10s, 100/min or 10/s burst 20, and not `off`"),
            ("mesages = \"10/s\"", "`mesages` is not one of messages, octets,"),
            ("messages = 10", "expected a string"),
        ];
        for (line, expected) in table {
            let why = check(&format!("[flood]\n{line}")).unwrap_err();
            assert!(why.contains(expected) && why.contains("line 2"), "{why}");
        }
    }
}
