//! What it costs to be looked at: the same calls to a daemon that has neither metrics nor traces, and to one
//! that has both, with a scraper and a collector at work, in turns within one run.
//!
//! Each call of a measurement makes a span, which none of a kubelet's does that is sampled less, and they come
//! faster than any kubelet asks: what the queue of spans does not hold is lost, and that is told.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};

use interlink_cri::plugin::http::{Limits, ListenAddress, Server};

use crate::{
    calls::{Connection, Pod, Reads},
    daemon::{self, Daemon},
    interlink::InterLink,
    line,
    measure::Times,
    messages::Names,
};

/// Pods of each daemon while reads are measured.
const PODS: usize = 100;
/// Pods that are made, started and removed at each daemon.
const MORE_PODS: usize = 200;
/// How often the figures are read: Prometheus does it every 15 s.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// Measures and prints; `calls` is how often each read is made at each daemon.
pub fn bench(image: &str, calls: usize) {
    let collector = Collector::start();
    let mut plain = Node::start("[metrics]\nlisten = 'off'\n", image);
    let port = free_port();
    let watched = format!(
        "[metrics]\nlisten = '127.0.0.1:{port}'\n[traces]\nendpoint = '{}'\nsampler = 'always_on'\n",
        collector.server.address()
    );
    let mut watched = Node::start(&watched, image);
    let scraper = Scraper::start(port);
    println!(
        "\n{:<20} {:>10} {:>10} {:>6} | {:>10} {:>10}",
        "looked at", "off p50", "on p50", "ratio", "off p99", "on p99"
    );
    for number in 0..plain.reads.0.len() {
        let name = plain.reads.0[number].name;
        let mut times = [Vec::new(), Vec::new()];
        // Call by call: what else the machine does falls on both.
        for _ in 0..calls {
            for (node, times) in [&plain, &watched].into_iter().zip(&mut times) {
                let read = &node.reads.0[number];
                let begun = Instant::now();
                node.connection.raw(&read.method, &read.request);
                times.push(begun.elapsed());
            }
        }
        row(name, times);
    }
    for _ in 0..MORE_PODS {
        plain.come_and_go(image);
        watched.come_and_go(image);
    }
    for name in ["RunPodSandbox", "CreateContainer", "StartContainer"] {
        row(name, [plain.times.of(name), watched.times.of(name)]);
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (requests, bytes) = (count(&collector.counts.0), count(&collector.counts.1));
    assert!(requests > 0, "no spans came");
    line(
        "requests with spans, bytes of them",
        format!("{requests}, {bytes}"),
    );
    line("scrapes, bytes of the last one", scraper.stop());
}

/// A line of the table.
fn row(name: &str, mut times: [Vec<Duration>; 2]) {
    times.iter_mut().for_each(|times| times.sort_unstable());
    let at = |times: &Vec<Duration>, part: usize| times[(times.len() - 1) * part / 100];
    let [off, on] = &times;
    let ratio = at(on, 50).as_secs_f64() / at(off, 50).as_secs_f64();
    println!(
        "{name:<20} {:>10.1?} {:>10.1?} {ratio:>6.3} | {:>10.1?} {:>10.1?}",
        at(off, 50),
        at(on, 50),
        at(off, 99),
        at(on, 99)
    );
}

/// A daemon with an interLink server and pods.
struct Node {
    directory: tempfile::TempDir,
    // Before the server, so that it goes first.
    _daemon: Daemon,
    _interlink: InterLink,
    connection: Connection,
    reads: Reads,
    times: Times,
    made: usize,
}

impl Node {
    fn start(settings: &str, image: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let interlink = InterLink::start();
        let file = directory.path().join("config.toml");
        fs::write(&file, settings).expect("a file");
        let file = file.display().to_string();
        let flags = ["--config", &file, "--interlink-url", &interlink.url()];
        let daemon = Daemon::start_with(directory.path(), &flags);
        let connection = Connection::open(&daemon::socket(directory.path()));
        let image = connection.pull(image);
        let run = |number| {
            run(
                &connection,
                directory.path(),
                &image,
                number,
                &mut Times::default(),
            )
        };
        let pods: Vec<_> = (0..PODS).map(run).collect();
        interlink.wait_for_jobs(PODS as u64);
        Self {
            reads: Reads::of(&connection, &pods[PODS / 2]),
            directory,
            _daemon: daemon,
            _interlink: interlink,
            connection,
            times: Times::default(),
            made: PODS,
        }
    }

    fn come_and_go(&mut self, image: &str) {
        let (directory, times) = (self.directory.path(), &mut self.times);
        let pod = run(&self.connection, directory, image, self.made, times);
        self.made += 1;
        self.connection.remove_pod(&pod, &mut Times::default());
    }
}

fn run(
    connection: &Connection,
    directory: &Path,
    image: &str,
    number: usize,
    times: &mut Times,
) -> Pod {
    connection.run_pod(&Names::new(directory, "bench", number), image, 1, times)
}

/// A collector that takes all spans and reads none.
struct Collector {
    server: Server,
    /// Requests, and bytes of their bodies.
    counts: Arc<(AtomicU64, AtomicU64)>,
}

impl Collector {
    fn start() -> Self {
        let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let shared = counts.clone();
        let address: ListenAddress = "http://127.0.0.1:0".parse().expect("an address");
        let server = Server::start(&address, Limits::default(), move |request, responder| {
            shared.0.fetch_add(1, Ordering::Relaxed);
            let bytes = request.body.len() as u64;
            shared.1.fetch_add(bytes, Ordering::Relaxed);
            // An empty `ExportTraceServiceResponse`. Whoever is gone needs no answer.
            let _ = responder.text(200, "");
        });
        Self {
            server: server.expect("a server"),
            counts,
        }
    }
}

/// Reads the figures as Prometheus does.
struct Scraper {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<(u64, usize)>,
}

impl Scraper {
    fn start(port: u16) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            let (mut scrapes, mut bytes) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the listener");
                let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
                stream.write_all(request).expect("asks");
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).expect("an answer");
                (scrapes, bytes) = (scrapes + 1, answer.len());
                thread::sleep(SCRAPE_EVERY);
            }
            (scrapes, bytes)
        });
        Self { is_over, thread }
    }

    fn stop(self) -> String {
        self.is_over.store(true, Ordering::Relaxed);
        let (scrapes, bytes) = self.thread.join().expect("no panic");
        format!("{scrapes}, {bytes}")
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
