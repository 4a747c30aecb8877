//! The one map of the rooms. `ARCHITECTURE.md` and `src/lib.rs` show it, and are checked against it.

/// A room of the crate: a top-level module.
pub struct Room {
    pub floor: Floor,
    pub name: &'static str,
    /// What the room is for, as `ARCHITECTURE.md` and `src/lib.rs` say it.
    pub purpose: &'static str,
}

/// How high a room lies. A room may import from lower floors only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Floor {
    Number(u8),
    /// Sees everything.
    Top,
}

impl std::fmt::Display for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Top => f.pad("top"),
            Self::Number(number) => f.pad(&number.to_string()),
        }
    }
}

const fn room(floor: u8, name: &'static str, purpose: &'static str) -> Room {
    Room {
        floor: Floor::Number(floor),
        name,
        purpose,
    }
}

const fn top(name: &'static str, purpose: &'static str) -> Room {
    Room {
        floor: Floor::Top,
        name,
        purpose,
    }
}

/// Every room, from the top down.
pub const ROOMS: &[Room] = &[
    top("cli", "commands and flags"),
    top("daemon", "builds the rooms, ends the threads in order"),
    room(
        5,
        "cri",
        "the gRPC services: validate, change the store, answer; a file for each RPC",
    ),
    room(
        5,
        "worker",
        "carries out what pods are owed: submits, cancels, polls, follows logs",
    ),
    room(
        5,
        "plugin",
        "the local plugin and its HTTP server, behind a wall",
    ),
    room(5, "node_view", "what a kubelet sees of its machine's size"),
    room(
        5,
        "metrics",
        "the figures, and the listener that Prometheus asks for them",
    ),
    room(4, "store", "the only owner of state, in memory and on disk"),
    room(
        4,
        "interlink",
        "the HTTP client of the interLink API, and what follows from each error",
    ),
    room(
        4,
        "logs",
        "CRI log files: format, confinement, rotation, each remote line once",
    ),
    room(
        4,
        "host",
        "reads what the kubelet prepared on this node's disk",
    ),
    room(
        4,
        "kube",
        "the HTTP client of the Kubernetes API server: pods, events, a condition, the node",
    ),
    room(
        4,
        "identity",
        "whose jobs are, as the site has it now: its users, read again when their file changes",
    ),
    room(3, "convert", "CRI messages to Kubernetes pods (pure)"),
    room(
        3,
        "profile",
        "what is known of each plugin: what it says, what it understands (pure)",
    ),
    room(
        2,
        "kubelet",
        "what is known of a kubelet: its directory, what it makes of a pod (pure)",
    ),
    room(2, "plan", "state machines, schedules, decisions (pure)"),
    room(
        2,
        "audit",
        "a line for each submission and cancellation, in a file of its own",
    ),
    room(
        2,
        "traces",
        "OpenTelemetry spans of calls and jobs, and the way to their collector",
    ),
    room(1, "config", "keys, defaults, checks, the sample"),
    room(
        1,
        "net",
        "certificates, keys and tokens in files that are read again when they change",
    ),
    room(
        1,
        "confined",
        "ways through directories without a symlink on them",
    ),
    room(
        1,
        "disk",
        "calls to file systems that may never answer: threads of their own, a deadline",
    ),
    room(
        1,
        "daemon_log",
        "the daemon's own log: what its lines are about, and what they look like",
    ),
    room(0, "model", "records, ids, time"),
    room(0, "proto", "the generated CRI"),
    room(
        0,
        "threads",
        "the one way to start a thread, and what a panic does",
    ),
    room(0, "backoff", "how long to wait before the next try (pure)"),
    room(
        0,
        "bounded",
        "foreign texts read into large types, within a bound of memory (pure)",
    ),
    room(
        0,
        "json",
        "JSON that another machine wrote, read piece by piece (pure)",
    ),
    room(0, "quantity", "Kubernetes amounts, printed and read (pure)"),
    room(
        0,
        "endpoint",
        "where an HTTP server is: URLs, checked and taken apart",
    ),
    room(0, "owned", "whether others can change what is at a path"),
    room(
        0,
        "peer",
        "whose socket is at the other end of a connection within this machine",
    ),
    room(
        0,
        "text",
        "foreign texts made fit for a line, cut, told from DNS names (pure)",
    ),
    room(0, "telemetry", "metrics, health, limited log lines"),
    room(
        0,
        "memory",
        "gives memory that is not needed back to the system",
    ),
    room(0, "service", "what systemd hears of the daemon"),
];

/// Edges that are forbidden although they lead downwards.
///
/// `cri` must not be able to call a plugin or the API server: an answer to the kubelet never waits
/// for either.
pub const FORBIDDEN: &[(&str, &str)] = &[("cri", "interlink"), ("cri", "kube")];

/// Edges that are allowed although they do not lead downwards.
pub const ALLOWED: &[(&str, &str)] = &[("cli", "daemon")];

/// Rooms of pure functions: they touch no disk, network, process, thread or clock.
pub const PURE: &[&str] = &[
    "convert", "profile", "kubelet", "plan", "backoff", "bounded", "json", "quantity", "text",
];

/// What pure functions do without.
pub const EFFECTS: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "rustix",
    "ureq",
];

/// Rooms whose threads many pods share: they touch no path that a pod names, but through what runs on the
/// threads of `disk` (`host::PodMounts`, `logs::Registry`).
pub const SHARED_BY_PODS: &[&str] = &["cri", "worker"];

/// What touches disks on the thread that calls it.
pub const DISKS: &[&str] = &["std::fs", "rustix::fs", "confined", "host::MountReader"];

/// Files of those rooms that touch paths all the same, which no pod names.
pub const OWN_PATHS: &[(&str, &str)] = &[
    ("cri/server.rs", "the socket"),
    ("cri/image_fs.rs", "the state directory"),
    ("worker/node.rs", "the size of the machine, from /proc"),
];

/// Rooms behind a wall: all that they may name of other rooms, as path prefixes.
///
/// The local plugin speaks the same wire format as the client and starts its threads in the same way.
/// `bounded` and `json` read foreign texts, and `disk` touches what pods name. `text`, `confined`, `endpoint`, `owned` and `peer` are rules of Kubernetes, of file systems, of URLs and of sockets,
/// which any program has to keep. It shares nothing else with the daemon, as it would if it were a program of
/// its own.
pub const WALLED: &[(&str, &[&str])] = &[(
    "plugin",
    &[
        "interlink::wire",
        "bounded",
        "json",
        "threads",
        "text",
        "confined",
        "disk",
        "endpoint",
        "owned",
        "peer",
    ],
)];

/// Rooms that may name the SLURM plugin; all others know no plugin by name.
pub const KNOWS_PLUGINS: &[&str] = &["profile"];

/// Files that are still in circles, for each room. The figures shrink, and never grow.
pub const CIRCLES_LEFT: &[(&str, usize)] = &[];

/// Files that still mention SLURM outside its place, for each room. The figures shrink.
pub const SLURM_LEFT: &[(&str, usize)] = &[("config", 2), ("lib", 1)];

pub fn find(room: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|candidate| candidate.name == room)
}

/// What is left of a room in a list that shrinks.
pub fn left(list: &[(&str, usize)], room: &str) -> usize {
    let found = list.iter().find(|(name, _)| *name == room);
    found.map_or(0, |(_, left)| *left)
}

/// Whether a room may name another, its wall apart.
pub fn is_allowed(from: &str, to: &str) -> bool {
    if from == to || ALLOWED.contains(&(from, to)) {
        return true;
    }
    match (find(from), find(to)) {
        (Some(here), Some(there)) => there.floor < here.floor && !FORBIDDEN.contains(&(from, to)),
        _ => false,
    }
}

/// Whether a path is one of these, or leads into one of them.
pub fn is_within(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| {
        path.strip_prefix(*prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// Whether a room's wall lets a path through.
pub fn passes_wall(room: &str, path: &str) -> bool {
    let wall = WALLED.iter().find(|(walled, _)| *walled == room);
    wall.is_none_or(|(_, open)| is_within(path, open))
}

#[test]
fn the_map_can_refuse() {
    assert!(!is_allowed("model", "store"), "upwards");
    assert!(!is_allowed("store", "interlink"), "sideways");
    assert!(!is_allowed("cri", "interlink"), "forbidden");
    assert!(is_allowed("cri", "store") && is_allowed("store", "store"));
    assert!(is_allowed("cli", "daemon") && !is_allowed("daemon", "cli"));
    assert!(passes_wall("plugin", "interlink::wire::PodStatus"));
    assert!(!passes_wall("plugin", "interlink::wires"));
    assert!(!passes_wall("plugin", "interlink"), "the whole room");
    assert!(passes_wall("worker", "interlink"), "has no wall");
}
