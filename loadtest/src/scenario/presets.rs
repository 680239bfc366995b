//! Scenarios that come with the program; each is a file of `presets/`.

/// Name and text of each.
pub(crate) const PRESETS: &[(&str, &str)] = &[
    ("fanout", include_str!("../../presets/fanout.toml")),
    ("small", include_str!("../../presets/small.toml")),
    ("mid", include_str!("../../presets/mid.toml")),
    ("large", include_str!("../../presets/large.toml")),
    ("big-body", include_str!("../../presets/big-body.toml")),
    ("big-message", include_str!("../../presets/big-message.toml")),
    ("private", include_str!("../../presets/private.toml")),
    ("slow-receivers", include_str!("../../presets/slow-receivers.toml")),
    ("join-storm", include_str!("../../presets/join-storm.toml")),
    ("joins", include_str!("../../presets/joins.toml")),
    ("churn", include_str!("../../presets/churn.toml")),
    ("idle", include_str!("../../presets/idle.toml")),
    ("mixed-day", include_str!("../../presets/mixed-day.toml")),
];

/// The text of a preset.
///
/// # Errors
/// There is none of this name; the message lists those there are.
pub(crate) fn text(name: &str) -> Result<&'static str, String> {
    PRESETS.iter().find(|(n, _)| *n == name).map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<_> = PRESETS.iter().map(|(n, _)| *n).collect();
        format!("there is no preset {name}; the presets are {}", names.join(", "))
    })
}

/// All presets, each with its first line.
pub(crate) fn list() -> String {
    let line = |(name, text): &(&str, &str)| {
        format!("{name:<15} {}\n", text.lines().next().unwrap_or_default().trim_start_matches("# "))
    };
    PRESETS.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, read};

    #[test]
    fn every_preset_is_a_scenario_that_only_lacks_a_server() {
        for (name, text) in PRESETS {
            let mut s = Scenario::default();
            s.lay(read(text).unwrap_or_else(|e| panic!("{name}: {e}"))).unwrap();
            assert!(s.check().unwrap_err().why.starts_with("server is missing"), "{name}");
            s.server = "h:1".into();
            s.check().unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert!(text.starts_with("# ") && list().contains(name));
        }
    }

    #[test]
    fn a_preset_that_does_not_exist_is_answered_with_those_that_do() {
        assert!(text("huge").unwrap_err().ends_with("idle, mixed-day"));
    }
}
