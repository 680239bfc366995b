//! The rules of the house as data: who may use whom, and where a thing may stand. Every allowance has
//! its reason beside it.

/// A part of the crate that has rules of its own.
pub(crate) struct Unit {
    /// What reports call it.
    pub(crate) name: &'static str,
    /// The modules that belong to it, each with those below it.
    pub(crate) modules: &'static [&'static str],
    /// What it may use besides itself, and why.
    pub(crate) may: &'static [(&'static str, &'static str)],
}

const WORDS: (&str, &str) = ("base", "words for everyone");
const PROTOCOLS: (&str, &str) = ("wire", "it speaks protocols");

/// Who may use whom. Arrows point down only.
pub(crate) const UNITS: &[Unit] = &[
    Unit { name: "base", modules: &["base"], may: &[] },
    Unit { name: "wire", modules: &["wire"], may: &[WORDS] },
    Unit { name: "session", modules: &["session"], may: &[WORDS, PROTOCOLS] },
    // Never wire: a room knows addresses, numbers and octets, not MSRP.
    Unit { name: "room", modules: &["room"], may: &[WORDS] },
    Unit {
        name: "shard, the machine",
        modules: &[
            "shard::audience",
            "shard::conns",
            "shard::core",
            "shard::message",
            "shard::queue",
            "shard::timers",
        ],
        may: &[WORDS, PROTOCOLS, ("session", "it owns sessions"), ("room", "it owns rooms")],
    },
    Unit {
        name: "shard, the runtime",
        modules: &["shard"],
        may: &[
            WORDS,
            ("shard::conns", "why a connection is closed"),
            ("shard::core", "it turns the core"),
            ("shard::message", "it carries what crosses threads"),
            ("shard::queue", "it writes batches of a queue"),
        ],
    },
    Unit {
        name: "focus",
        modules: &["focus"],
        may: &[
            WORDS,
            PROTOCOLS,
            ("room", "its commands and effects"),
            ("shard::message", "joins and leaves are commands to shards"),
        ],
    },
    Unit {
        name: "control",
        modules: &["control"],
        may: &[
            WORDS,
            PROTOCOLS,
            ("focus", "it drives the focus"),
            ("room", "the configuration says what rooms are like"),
            ("shard::message", "it carries what crosses threads"),
            ("shard::mesh", "its end of the rings"),
            ("shard::io::Bell", "shards wake it"),
        ],
    },
    Unit {
        name: "client",
        modules: &["client"],
        may: &[WORDS, PROTOCOLS, ("session", "a session has two ends")],
    },
    Unit {
        name: "sim",
        modules: &["sim"],
        may: &[
            WORDS,
            PROTOCOLS,
            ("room", "the policy of every room"),
            ("focus", "it turns a focus by value"),
            ("shard::conns", "why a connection is closed"),
            ("shard::core", "it turns several cores by value"),
            ("shard::message", "its rings carry what crosses threads"),
            ("shard::queue", "it writes batches of a queue"),
        ],
    },
    Unit {
        name: "server",
        modules: &["server"],
        may: &[
            WORDS,
            ("room", "the policy of every room"),
            ("shard", "it starts the shards"),
            ("control", "it starts the control plane"),
        ],
    },
    Unit {
        name: "cli",
        modules: &["cli"],
        may: &[
            ("client", "the chat command"),
            ("base", "the why command names roles, rules and addresses"),
            ("control::config", "the serve command reads a configuration"),
            ("control::values", "flags are values of the configuration"),
            ("room::rules", "the why command asks the rules of a room"),
            ("wire::digest", "the passwd command hashes passwords"),
            ("server", "the serve command"),
            ("shard::run::Driver", "the serve command says how shards wait"),
            ("sim", "the sim command"),
        ],
    },
    Unit {
        name: "fuzz",
        modules: &["fuzz"],
        may: &[
            WORDS,
            ("wire", "it feeds the readers and writers"),
            ("session", "it drives a session"),
            ("room", "it drives a room"),
            ("focus", "it feeds the reader of SIP, and drives a focus"),
            ("shard::core", "it drives shards"),
            ("shard::message", "it carries what crosses threads"),
            ("shard::queue", "it takes what shards write"),
        ],
    },
    Unit { name: "main", modules: &["main"], may: &[("cli", "it picks the subcommand, nothing else")] },
];

/// Crates that may be used in some modules only, and why there.
pub(crate) const CRATES: &[(&str, &[&str], &str)] = &[
    ("monoio", &["shard::run"], "the runtime of a shard"),
    ("io_uring", &["shard::run", "shard::io"], "the flags of the ring, and the ring that writes"),
    ("libc", &["shard::io"], "system calls"),
    ("rtrb", &["shard::mesh"], "the rings between threads"),
    ("socket2", &["server", "control::sip", "client::call"], "options that must be set before binding"),
    ("tokio", &["server", "control", "client", "cli"], "the runtime of everything that is not a shard"),
    ("tokio_util", &["control"], "cancelling the tasks of a connection"),
    ("rsipstack", &["control::sip", "client::sip"], "SIP messages and transactions"),
    ("crossterm", &["cli"], "the prompt"),
    ("unicode_width", &["cli"], "the prompt"),
    ("clap", &["cli"], "the command line"),
    ("tracing_subscriber", &["cli"], "the process decides where logs go"),
    ("toml", &["control::config"], "the configuration file"),
    (
        "serde",
        &["control::config", "control::flood", "control::rooms", "control::values"],
        "the configuration file",
    ),
    ("sdp_types", &["wire::sdp"], "session descriptions"),
    ("precis_profiles", &["wire::nickname", "wire::digest"], "nicknames, user names and passwords"),
    ("sha2", &["wire::digest"], "digest authentication"),
    ("md5", &["wire::digest"], "digest authentication"),
    ("unicode_security", &["wire::nickname"], "what looks alike"),
    ("rand", &["base::entropy"], "the only file that draws randomness"),
];

/// Crates that may be used everywhere: they hold data and do nothing by themselves.
pub(crate) const CRATES_FREE: &[&str] = &["bytes", "memchr", "smallvec", "ahash", "tracing"];

/// Words that may stand in some files only (prefixes of paths), and what to do instead.
pub(crate) const WORDS_IN_PLACE: &[(&[&str], &[&str], &str)] = &[
    (
        &["Instant", "SystemTime", "UNIX_EPOCH"],
        &["src/base/clock.rs"],
        "only base/clock.rs reads a clock: take a `Now` as argument, or call base::clock::now() at the edge",
    ),
    (
        &["rand::", "getrandom", "thread_rng", "/dev/urandom"],
        &["src/base/entropy.rs"],
        "only base/entropy.rs draws randomness: take an `Entropy` as argument",
    ),
    (
        &["TcpStream", "TcpListener", "TcpSocket", "UdpSocket", "UnixStream", "UnixListener", "UnixDatagram"],
        &[
            "src/shard/run",
            "src/shard/io.rs",
            "src/shard/mesh.rs",
            "src/control/sip",
            "src/control/shards.rs",
            "src/client/call",
            "src/client/chat",
            "src/server.rs",
        ],
        "sockets belong to the IO edge: pass octets and addresses instead",
    ),
    (&["unsafe"], &["src/shard/io.rs"], "unsafe code stands in shard/io.rs only, behind a safe function"),
    (
        &["println!", "print!", "eprintln!", "eprint!"],
        &["src/cli/"],
        "only the command line talks to a terminal: use `tracing`, or return a value",
    ),
];

/// Units that are machines: they neither wait nor share.
pub(crate) const MACHINES: &[&str] =
    &["base", "wire", "session", "room", "shard, the machine", "focus", "fuzz", "sim"];

/// Words that no machine holds.
pub(crate) const WORDS_NOT_IN_MACHINES: &[(&str, &str)] = &[
    ("async", "a machine never waits: give an effect, and let the runtime wait"),
    ("await", "a machine never waits: give an effect, and let the runtime wait"),
    ("sleep", "a machine never waits: give a deadline"),
    ("spawn", "a machine has no tasks: give an effect"),
    ("Mutex", "a machine owns its parts by value"),
    ("RwLock", "a machine owns its parts by value"),
    ("RefCell", "a machine owns its parts by value"),
    ("mpsc", "a machine has no channels: inputs are arguments, outputs are values"),
];

/// Words that nothing shipped holds, besides the lines of [`PROVED`].
pub(crate) const WORDS_NOWHERE: &[(&str, &str)] = &[
    (".unwrap()", "handle it, or prove it: `expect` with the invariant, and a line in tests/house/table.rs"),
    (".unwrap_err()", "handle it"),
    (
        ".expect(",
        "handle it, or prove it: say the invariant, and add a line to PROVED in tests/house/table.rs",
    ),
    (".expect_err(", "handle it"),
    ("panic!", "no panic can be reached from input: refuse instead"),
    ("unreachable!", "make it unreachable for the compiler, or refuse"),
    ("unwrap_unchecked", "handle it"),
];

/// Words that no Rust file of the project holds, tests included.
pub(crate) const WORDS_NEVER: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave it out"),
    ("unimplemented!", "finish it, or leave it out"),
    ("dbg!", "take it out"),
    ("#[ignore", "a test runs or does not exist"),
];

/// Lines that may hold a word of [`WORDS_NOWHERE`]: file, what the line holds, why.
pub(crate) const PROVED: &[(&str, &str, &str)] = &[(
    "src/shard/core/mod.rs",
    "expect(\"a bound session has a connection\")",
    "inside `check`, whose task is to panic when an invariant is broken",
)];

/// Uses of `unsafe` that are shipped. A ratchet: lower it when one goes, think twice before raising it.
pub(crate) const UNSAFE_MAX: usize = 15;
