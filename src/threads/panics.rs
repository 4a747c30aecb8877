//! What a panic does: it ends the process, or it is the answer of the call that it happened in.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    io::Write as _,
    panic::{catch_unwind, set_hook, AssertUnwindSafe, PanicHookInfo},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::pulse;

/// The exit code of a process one of whose threads has died: `EX_SOFTWARE` of sysexits.h, which no
/// other end of `serve` or `plugin` has.
pub const EXIT_CODE: i32 = 70;

/// The target of the line that says why the process ends: a logger may take none after it.
pub const LAST_LINE: &str = concat!(env!("CARGO_CRATE_NAME"), "::end");

/// A panic that was contained: its text, and where it happened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked {0}")]
pub struct Panic(String);

thread_local! {
    /// Whether a panic of this thread is somebody's answer.
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    /// What the hook made of the last contained panic.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    /// What this thread is working on, for people.
    static TASK: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Lets every panic that is not contained end the process, in whichever thread it happens.
///
/// It ends in the panic hook, before anything is unwound: no lock is given back over something that is
/// half changed, so no other thread can write that to disk.
pub fn end_process_on_panic() {
    set_hook(Box::new(|info| {
        let text = describe(info);
        if CONTAINED.get() {
            LAST.set(Some(text));
            return;
        }
        let current = thread::current();
        end_process(
            current.name().unwrap_or("without a name"),
            &format!("it panicked{} {text}", during()),
        );
    }));
}

/// Runs something whose panic is as good as an error, because whoever called it can answer with it.
///
/// # Errors
/// It panicked.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    let outside = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(outside);
    result.map_err(|payload| {
        let noted = LAST.take();
        Panic(noted.unwrap_or_else(|| format!("over: {}", text_of(&*payload))))
    })
}

/// Runs something after whose panic the process must not go on, also inside [`contain`]: what it
/// changes in memory would no longer agree with the disk.
pub fn all_or_end<T>(work: impl FnOnce() -> T) -> T {
    let outside = CONTAINED.replace(false);
    let result = work();
    CONTAINED.set(outside);
    result
}

/// Runs a piece of a thread's work. If that panics, the line about it says what it was: where one pod
/// brings the process down after each start, people must be able to find that pod.
pub fn working_on<T>(task: String, work: impl FnOnce() -> T) -> T {
    if let Some(pulse) = pulse::own() {
        *pulse.task.lock() = Some(task.clone());
    }
    TASK.set(Some(task));
    let result = work();
    TASK.set(None);
    if let Some(pulse) = pulse::own() {
        *pulse.task.lock() = None;
    }
    result
}

/// Ends the process because of a thread: says so in one line, and does nothing more. Not even what
/// `exit` would do, such as the destructors of the gRPC core, whose other threads still run.
pub(super) fn end_process(thread: &str, what: &str) -> ! {
    static IS_ENDING: AtomicBool = AtomicBool::new(false);
    if IS_ENDING.swap(true, Ordering::SeqCst) {
        // Another thread was first, and its line is the one to read.
        loop {
            thread::park();
        }
    }
    let line = format!(
        "thread `{thread}` has died: {what}; the process ends with code {EXIT_CODE} to be started \
         again; all that was acknowledged is on disk"
    );
    // Without a logger that takes it, this still has to be seen. `eprintln` would go to the output that
    // a test captures, which is lost with the process.
    if log::log_enabled!(target: LAST_LINE, log::Level::Error) {
        log::error!(target: LAST_LINE, "{line}");
    } else {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    log::logger().flush();
    signal_hook::low_level::exit(EXIT_CODE)
}

/// What the thread was working on, as a part of a sentence; nothing if it did not say.
pub(super) fn during() -> String {
    let task = TASK.with(|task| task.try_borrow().ok().and_then(|task| task.clone()));
    task.map(|task| format!(" while working on {task}"))
        .unwrap_or_default()
}

/// Where a panic happened, and its text in one line.
fn describe(info: &PanicHookInfo<'_>) -> String {
    let text = text_of(info.payload());
    match info.location() {
        Some(place) => format!("at {}:{}: {text}", place.file(), place.line()),
        None => format!("over: {text}"),
    }
}

/// The text of a panic, in one line.
pub(super) fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "something that is no text",
    };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_names_what_was_worked_on() {
        assert_eq!(during(), "");
        let inside = working_on("pod lab/train".to_owned(), during);
        assert_eq!(inside, " while working on pod lab/train");
        assert_eq!(during(), "");
    }

    #[test]
    fn what_panics_is_an_error_with_its_text() {
        assert_eq!(contain(|| 7), Ok(7));
        let two_lines = || -> () { panic!("not\n  {}", 8) };
        let outer = contain(|| contain(two_lines).unwrap_err().to_string());
        assert_eq!(outer.unwrap(), "panicked over: not; 8");
        assert!(!CONTAINED.get());
        let odd = contain(|| std::panic::panic_any(5)).unwrap_err();
        assert_eq!(odd.to_string(), "panicked over: something that is no text");
    }
}
