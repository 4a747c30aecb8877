//! What of the program is resident, once things are quiet.

use crate::support::{container, sandbox, wait_for, Daemon, Fake};

/// On a file system of this machine: the daemon lets go of nothing that another one has.
#[test]
fn what_is_not_used_of_the_program_is_let_go() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("used"));
    let id = cri.create(&pod, &container("main", &["true"]));
    let used = daemon.memory("RssFile");
    assert!(used > 0);
    wait_for("a third of it is let go", || {
        (daemon.memory("RssFile") < used / 3 * 2).then_some(())
    });
    // What is needed again is there.
    assert_eq!(cri.status(&id).id, id);
    cri.remove_sandbox(&pod);
}
