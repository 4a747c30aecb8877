//! What of the program is resident, once things are quiet.

use std::fs;

use crate::support::{container, sandbox, wait_for, Daemon, Fake};

/// Kilobytes of the program's code and constants that are resident.
fn program_kb(daemon: &Daemon) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{}/smaps", daemon.pid())).expect("it runs");
    let (mut of_program, mut kb) = (false, 0);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some(rss)) if of_program => kb += rss.parse::<u64>().expect("a number"),
            (Some(name), Some(permissions)) if !name.ends_with(':') => {
                of_program = line.ends_with("/interlink-cri") && permissions.starts_with('r');
                of_program &= !permissions.contains('w');
            }
            _ => {}
        }
    }
    kb
}

/// On a file system of this machine: the daemon lets go of nothing that another one has.
#[test]
fn what_is_not_used_of_the_program_is_let_go() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("used"));
    let id = cri.create(&pod, &container("main", &["true"]));
    let used = program_kb(&daemon);
    assert!(used > 0);
    wait_for("a third of it is let go", || {
        (program_kb(&daemon) < used / 3 * 2).then_some(())
    });
    // What is needed again is there.
    assert_eq!(cri.status(&id).id, id);
    cri.remove_sandbox(&pod);
}
