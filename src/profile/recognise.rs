//! Which plugin stands behind a server, told from what it says. Only what no other plugin says counts:
//! a wrong guess is worse than none.
//!
//! | what is seen | taken for | because |
//! |---|---|---|
//! | a ping that says "HTCondor sidecar" | `htcondor` | handles.py:719-721 |
//! | an answer to /create that the server has wrapped as a failure | `htcondor` | handles.py:655: no other plugin answers 201 |
//! | an answer to /create with `jobid` in the place of `PodJID` | `unicore` | src/handles.py:553-568 |
//! | a job id `local-` and 8 hexadecimal digits | `local` | `interlink_cri::plugin` |
//! | a job id that is a number | `slurm` | `slurm::is_job_id`; HTCondor's are numbers too, but it is recognised by its ping, which comes first |

use super::slurm;
use crate::config::schema::Plugin;

/// A plugin that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Which one.
    pub plugin: Plugin,
    /// By what, for people.
    pub by: &'static str,
}

const fn recognised(plugin: Plugin, by: &'static str) -> Option<Recognised> {
    Some(Recognised { plugin, by })
}

/// By the answer to a ping.
pub fn by_ping(text: &str) -> Option<Recognised> {
    match text.to_lowercase().contains("htcondor sidecar") {
        true => recognised(Plugin::HtCondor, "its answer to pings"),
        false => None,
    }
}

/// By the form of the answer to a submission.
pub fn by_answer(is_wrapped: bool, has_jobid: bool) -> Option<Recognised> {
    match (is_wrapped, has_jobid) {
        (true, _) => recognised(Plugin::HtCondor, "its answering 201 to a submission"),
        (_, true) => recognised(Plugin::Unicore, "the form of its answer to a submission"),
        _ => None,
    }
}

/// By a job's id.
pub fn by_job_id(id: &str) -> Option<Recognised> {
    if slurm::is_job_id(id) {
        return recognised(Plugin::Slurm, "job ids that are numbers");
    }
    let rest = id.strip_prefix("local-")?;
    let is_local = rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_local.then_some(Recognised {
        plugin: Plugin::Local,
        by: "job ids that begin with `local-`",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_other_plugin_says_counts() {
        let ping = r#"{"message": "HTCondor sidecar is alive", "status": "healthy"}"#;
        let plugin = |found: Option<Recognised>| found.map(|found| found.plugin);
        assert_eq!(plugin(by_ping(ping)), Some(Plugin::HtCondor));
        for text in ["", "[]", "null", r#"{"status":"ok"}"#, "pong"] {
            assert_eq!(by_ping(text), None, "{text}");
        }
        assert_eq!(plugin(by_job_id("4711")), Some(Plugin::Slurm));
        assert_eq!(plugin(by_job_id("local-0f6e1c1a")), Some(Plugin::Local));
        for id in ["", "local-1f", "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10"] {
            assert_eq!(by_job_id(id), None, "{id}");
        }
        assert_eq!(plugin(by_answer(true, false)), Some(Plugin::HtCondor));
        assert_eq!(plugin(by_answer(false, true)), Some(Plugin::Unicore));
        assert_eq!(by_answer(false, false), None);
    }
}
