//! What the kernel tells about the server's process: CPU time and resident memory.
//!
//! CPU time is that of all threads, those that ended included, and comes from the process's own clock, to the nanosecond.
//! How it is split into user and system is what /proc/PID/stat says, which counts in ticks of (usually) 10 ms.

use crate::sys;
use std::fs;

/// What the CPU clocks of a process showed at one moment, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuClock {
    total: u64,
    /// Of it by ticks, so roughly.
    user: u64,
    system: u64,
}

impl CpuClock {
    /// What was used since `earlier`. Where no tick has passed it counts as the kernel's.
    pub(crate) fn since(self, earlier: Self) -> CpuTime {
        let total = self.total.saturating_sub(earlier.total);
        let user = self.user.saturating_sub(earlier.user);
        let ticks = (user + self.system.saturating_sub(earlier.system)).max(1);
        let user = (u128::from(total) * u128::from(user) / u128::from(ticks)) as u64;
        CpuTime { user, system: total - user }
    }
}

/// CPU time that was used, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct CpuTime {
    /// In the program itself.
    pub(crate) user: u64,
    /// In the kernel on the program's behalf.
    pub(crate) system: u64,
}

impl CpuTime {
    /// Both kinds together.
    pub(crate) fn total(self) -> u64 {
        self.user + self.system
    }
}

/// The CPU clocks of `pid`; an error says that there is no such process.
pub(crate) fn clock_of(pid: u32) -> Result<CpuClock, String> {
    let none = |e| format!("no process {pid} (--server-pid): {e}");
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(none)?;
    let total = sys::cpu_time(pid).map_err(none)?.as_micros() as u64;
    let (user, system) = parse_stat(&text, sys::ticks_per_second())
        .ok_or_else(|| format!("/proc/{pid}/stat cannot be read"))?;
    Ok(CpuClock { total, user, system })
}

/// Resident memory of `pid` in octets.
fn resident_of(pid: u32) -> Result<u64, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|e| format!("no process {pid} (--server-pid): {e}"))?;
    parse_resident(&text).ok_or_else(|| format!("/proc/{pid}/status names no VmRSS"))
}

/// CPU clocks and resident memory in octets.
pub(crate) type Look = (CpuClock, u64);

/// What `pid` has used and holds; an error once it has ended, whether or not anybody has taken note of that.
pub(crate) fn look_at(pid: u32) -> Result<Look, String> {
    Ok((clock_of(pid)?, resident_of(pid)?))
}

/// How many local ports the kernel hands out by itself for one source address.
pub(crate) fn ephemeral_ports() -> u32 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|t| {
            let mut numbers = t.split_whitespace().map(str::parse::<u32>);
            let (low, high) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            (high > low).then_some(high - low)
        })
        .unwrap_or(28_000)
}

/// What machine this is: name, processor, how many, kernel.
pub(crate) fn host() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let name = read("/proc/sys/kernel/hostname");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{}, {cores} cores of {}, Linux {}",
        name.trim(),
        model.trim_start_matches(['\t', ' ', ':']),
        kernel.trim()
    )
}

fn parse_stat(text: &str, ticks: u64) -> Option<(u64, u64)> {
    // The name in parentheses may hold anything, so count from its last parenthesis.
    let rest = &text[text.rfind(')')? + 1..];
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok().map(|n| n * 1_000_000 / ticks);
    Some((next()?, next()?))
}

fn parse_resident(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_hostile_process_name() {
        let text = "77 (a) 1 2 (b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(parse_stat(text, 100), Some((2_500_000, 500_000)));
        assert_eq!(parse_stat("77 nothing", 100), None);
    }

    #[test]
    fn what_was_used_is_known_finer_than_ticks_and_split_as_they_say() {
        let before = CpuClock { total: 1_000, user: 0, system: 0 };
        let used = |total, user, system| CpuClock { total, user, system }.since(before);
        assert_eq!(used(9_000, 0, 0), CpuTime { user: 0, system: 8_000 });
        assert_eq!(used(31_000, 20_000, 10_000), CpuTime { user: 20_000, system: 10_000 });
        assert_eq!(used(28_000, 20_000, 10_000), CpuTime { user: 18_000, system: 9_000 });
        let clock = || clock_of(std::process::id()).unwrap();
        let before = clock();
        while clock().since(before).total() == 0 {}
    }

    #[test]
    fn resident_memory_is_given_in_octets() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t  12 kB\n"), Some(12 * 1024));
        assert_eq!(parse_resident("Name:\tx\n"), None);
    }

    #[test]
    fn a_process_that_has_ended_is_seen_to_have_before_anybody_waits_for_it() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while look_at(child.id()).is_ok() {
            std::thread::yield_now();
        }
        assert!(clock_of(child.id()).is_ok(), "it is still in the table");
        child.wait().unwrap();
        assert!(look_at(child.id()).is_err());
    }

    #[test]
    fn the_own_process_has_memory_and_a_missing_one_is_an_error() {
        assert!(resident_of(std::process::id()).is_ok_and(|b| b > 0));
        assert!(clock_of(std::process::id()).is_ok());
        assert!(clock_of(u32::MAX).is_err_and(|e| e.contains("--server-pid")));
    }
}
