//! Answers of something in front of interLink: a proxy that wants a login, an ingress that has lost its
//! way. They are an outage: no pod fails of them, and nothing that they say is believed.

use crate::support::{
    container, log_text, options, sandbox, wait_for, Daemon, Fake, Fault, JobState,
};
use interlink_cri::proto::{ContainerState, StatusRequest};

const HTML: &str = "text/html";
const PLAIN: &str = "text/plain";
const LOGIN: &str =
    "<!DOCTYPE html><html><head><title>Sign In</title></head><body>Sign in with your \
                     account</body></html>";
/// A login page that a proxy sends as if all were well.
const LOGIN_200: Fault = Fault::Says(200, HTML, "<!DOCTYPE html><html>Sign in</html>");
/// The ingress has no route.
const NO_ROUTE: Fault = Fault::Says(404, PLAIN, "404 page not found\n");

/// Refusals that have nothing to do with what was asked.
fn refusals() -> Vec<Fault> {
    vec![
        Fault::Says(403, HTML, LOGIN),
        NO_ROUTE,
        Fault::Says(
            404,
            HTML,
            "<html><head><title>404 Not Found</title></head></html>",
        ),
        Fault::Says(
            400,
            HTML,
            "<html><head><title>400 The SSL certificate error</title></head></html>",
        ),
        Fault::Says(
            400,
            PLAIN,
            "Client sent an HTTP request to an HTTPS server.\n",
        ),
        Fault::Says(403, "application/json", r#"{"message":"Forbidden"}"#),
        Fault::Says(302, HTML, ""),
        Fault::Says(401, PLAIN, "Unauthorized"),
    ]
}

#[test]
fn a_submission_that_a_front_end_refuses_waits() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[interlink]\nserver_error_retries = 1");
    let cri = daemon.cri();
    let refusals = refusals();
    fake.faults("/create", &refusals);
    let pod = cri.run(&sandbox("waits"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", refusals.len() + 1);
    fake.set_all(&JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
    assert_eq!(fake.requests("/create").len(), refusals.len() + 1);
}

/// A plugin that is spoken to directly says no more than what is wrong.
#[test]
fn a_refusal_of_unknown_origin_is_settled_by_a_ping() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let refusal = Fault::Status(400, "no such flavour: `gpux`");
    fake.always("/create", Some(refusal.clone()));
    fake.always("/pinglink", Some(refusal));
    let pod = cri.run(&sandbox("settled"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 4);
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
    fake.always("/pinglink", None);
    cri.wait_for_refusal(&id, "`gpux`");
}

#[test]
fn only_the_plugins_own_word_confirms_a_deletion() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let mut answers = refusals();
    answers.extend([
        LOGIN_200,
        Fault::Says(200, PLAIN, ""),
        Fault::Says(200, "application/json", "{}"),
        Fault::Says(
            200,
            "application/json",
            r#"{"error":"deleted sessions cannot be used"}"#,
        ),
        Fault::Says(200, PLAIN, "OK"),
        Fault::Says(410, PLAIN, "Gone"),
    ]);
    fake.faults("/delete", &answers);
    let pod = cri.run(&sandbox("owed"));
    cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    cri.remove_sandbox(&pod);
    wait_for("the job is gone", || fake.jobs().is_empty().then_some(()));
    assert_eq!(fake.requests("/delete").len(), answers.len() + 1);
    wait_for("nothing is owed any more", || {
        (daemon.owed_cancellations() == 0).then_some(())
    });
}

#[test]
fn a_deletion_in_unknown_words_is_believed_when_the_plugin_denies_the_job() {
    for answer in [
        Fault::Answer("OK"),
        Fault::Answer(""),
        Fault::Status(404, "not here"),
        NO_ROUTE,
    ] {
        let fake = Fake::start();
        let daemon = Daemon::with(&fake);
        let cri = daemon.cri();
        let pod = cri.run(&sandbox("unknown"));
        cri.launch(&pod, &container("main", &["true"]));
        fake.wait_for_requests("/create", 1);
        fake.set_all(&JobState::Running);
        fake.always("/delete", Some(answer.clone()));
        cri.remove_sandbox(&pod);
        let asked = fake.requests("/delete").len();
        fake.wait_for_requests("/delete", asked + 4);
        assert_eq!(daemon.owed_cancellations(), 1, "{answer:?}: it is there");
        fake.forget_jobs();
        wait_for("nothing is owed any more", || {
            (daemon.owed_cancellations() == 0).then_some(())
        });
    }
}

#[test]
fn a_login_page_is_no_log() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    fake.set_log("main", "step 1\n");
    fake.always("/getLogs", Some(LOGIN_200));
    let pod = cri.run(&sandbox("log"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    fake.wait_for_requests("/getLogs", 2);
    fake.set_all(&JobState::exited(0));
    let asked = fake.requests("/getLogs").len();
    fake.wait_for_requests("/getLogs", asked + 1);
    fake.always("/getLogs", Some(NO_ROUTE));
    let asked = fake.requests("/getLogs").len();
    fake.wait_for_requests("/getLogs", asked + 1);
    assert_eq!(
        cri.state(&id),
        ContainerState::CONTAINER_RUNNING,
        "no such answer is the end of its log"
    );
    fake.always("/getLogs", None);
    let status = cri.wait_for_exit(&id);
    assert_eq!(log_text(status.log_path.as_ref()), "step 1\n");
}

#[test]
fn what_a_front_end_says_to_a_question_loses_no_job() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("kept"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    for answer in [
        LOGIN_200,
        NO_ROUTE,
        Fault::Says(403, HTML, LOGIN),
        Fault::Answer("{}"),
        Fault::Answer(r#"{"error":"unauthorized"}"#),
    ] {
        fake.always("/status", Some(answer));
        let polls = fake.requests("/status").len();
        fake.wait_for_requests("/status", polls + 6);
    }
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
    fake.always("/status", None);
    fake.set_all(&JobState::exited(3));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 3);
}

#[test]
fn the_condition_says_that_a_front_end_answers() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let condition = || {
        let status = cri
            .runtime
            .status(&StatusRequest::default(), options())
            .expect("a status");
        let mut conditions = status.status.conditions.clone().into_iter();
        let ours = conditions.find(|condition| condition.type_ == "InterLinkReady");
        ours.expect("a condition")
    };
    for (answer, words) in [
        (LOGIN_200, "something in front of interLink answered 200"),
        (
            Fault::Says(403, HTML, LOGIN),
            "403 from something in front of interLink: Sign In: is the token valid?",
        ),
    ] {
        fake.always("/pinglink", Some(answer));
        wait_for(words, || {
            let it = condition();
            (!it.status && it.message.contains(words)).then_some(())
        });
    }
    fake.always("/pinglink", None);
    wait_for("it is ready", || condition().status.then_some(()));
}
