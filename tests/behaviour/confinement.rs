//! The daemon often runs as root, and pods choose names: log files cannot lead it elsewhere, not even
//! when somebody changes the log directory while it runs.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use crate::support::{
    container, log_text, options, sandbox, wait_for, Cri, Daemon, Fake, JobState,
};
use interlink_cri::proto::ReopenContainerLogRequest;

struct Scene {
    daemon: Daemon,
    fake: Fake,
    cri: Cri,
    pod: String,
    logs: PathBuf,
    outside: PathBuf,
}

fn scene() -> Scene {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let outside = daemon.path("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("0.log"), "precious").expect("written");
    let pod = cri.run(&sandbox("links"));
    let logs = daemon.path("logs").join("links");
    Scene {
        daemon,
        fake,
        cri,
        pod,
        logs,
        outside,
    }
}

impl Scene {
    fn nothing_happened_outside(&self) {
        let entries = fs::read_dir(&self.outside).expect("lists").count();
        assert_eq!(entries, 1);
        let text = fs::read_to_string(self.outside.join("0.log")).expect("read");
        assert_eq!(text, "precious");
    }
}

/// What somebody puts where a log file should be, and how.
type Trap = (&'static str, Box<dyn Fn()>);

/// What may lie where a log file should be.
#[test]
fn a_log_path_that_leads_elsewhere_is_not_followed() {
    let scene = scene();
    let main = scene.logs.join("main");
    let (outside, file) = (scene.outside.clone(), scene.outside.join("0.log"));
    let plant: [Trap; 4] = [
        ("a link in the directory's place", {
            let main = main.clone();
            Box::new(move || symlink(&outside, &main).expect("a link"))
        }),
        ("a link in the file's place", {
            let main = main.clone();
            Box::new(move || {
                fs::create_dir(&main).expect("made");
                symlink(&file, main.join("0.log")).expect("a link");
            })
        }),
        ("a directory in the file's place", {
            let main = main.clone();
            Box::new(move || fs::create_dir_all(main.join("0.log")).expect("made"))
        }),
        ("a pipe in the file's place", {
            let main = main.clone();
            Box::new(move || {
                fs::create_dir(&main).expect("made");
                let made = std::process::Command::new("mkfifo")
                    .arg(main.join("0.log"))
                    .status();
                assert!(made.expect("mkfifo runs").success());
            })
        }),
    ];
    for (attempt, (name, plant)) in (0..).zip(&plant) {
        // Links are removed, not what they lead to.
        let _ = fs::remove_file(&main);
        let _ = fs::remove_dir_all(&main);
        plant();
        let mut config = container("main", &["true"]);
        config.metadata.mut_or_insert_default().attempt = attempt;
        let id = scene.cri.create(&scene.pod, &config);
        let error = scene.cri.try_start(&id).expect_err(name).to_string();
        assert!(error.contains("0.log"), "{name}: {error}");
        scene.nothing_happened_outside();
        assert_eq!(scene.cri.status(&id).reason, "StartError", "{name}");
    }
}

#[test]
fn a_log_directory_that_is_swapped_for_a_link_is_not_followed() {
    let scene = scene();
    let id = scene.cri.launch(&scene.pod, &container("main", &["true"]));
    scene.fake.wait_for_requests("/create", 1);
    scene.fake.set_log("main", "one\n");
    scene.fake.set_all(&JobState::Running);
    let (main, kept) = (scene.logs.join("main"), scene.logs.join("kept"));
    wait_for("the log is written", || {
        (log_text(&main.join("0.log")) == "one\n").then_some(())
    });
    fs::rename(&main, &kept).expect("renamed");
    symlink(&scene.outside, &main).expect("a link");
    let request = ReopenContainerLogRequest {
        container_id: id.clone(),
        ..Default::default()
    };
    let reopened = scene.cri.runtime.reopen_container_log(&request, options());
    assert!(reopened.is_err());
    scene.fake.set_log("main", "one\ntwo\n");
    scene.fake.set_all(&JobState::exited(0));
    wait_for("its end shows, or is held back", || {
        let log = scene.daemon.log();
        let held_back = log.contains("cannot fetch the rest of its log, and tries again");
        (held_back || scene.cri.status(&id).finished_at > 0).then_some(())
    });
    scene.nothing_happened_outside();
}
