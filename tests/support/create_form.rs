//! The forms in which plugins answer a submission.

use interlink_cri::plugin::http::Responder;
use serde_json::json;

/// How a submission is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreateForm {
    /// One object with the pod's UID and the job's id.
    #[default]
    Object,
    /// 201 with the words that an interLink server makes of a plugin's 201.
    Wrapped201,
    /// 201 with an object, as the plugin says it itself.
    Plain201,
    /// A list of one object.
    List,
    /// A list whose one entry has its id under `jobid`.
    JobIdInList,
    /// One object with an empty id.
    EmptyId,
}

impl CreateForm {
    /// Answers the submission of a pod that is now job `jid`.
    pub fn answer(self, uid: &str, jid: &str, responder: Responder) -> std::io::Result<()> {
        let (status, body) = self.say(uid, jid);
        responder.text(status, &body)
    }

    /// The status and the body of that answer.
    pub fn say(self, uid: &str, jid: &str) -> (u16, String) {
        let object = json!({ "PodUID": uid, "PodJID": jid });
        match self {
            Self::Object => (200, object.to_string()),
            Self::Plain201 => (201, object.to_string()),
            Self::List => (200, json!([object]).to_string()),
            Self::Wrapped201 => {
                let inner = object.to_string().replace('"', "&#34;");
                let before = "HTTP InterLink session 1:  call exit status: 500. Body: ";
                (201, format!("{before}{inner}"))
            }
            Self::JobIdInList => {
                let list = json!([{ "name": "p", "uid": uid, "jobid": jid }]);
                (200, list.to_string())
            }
            Self::EmptyId => (200, json!({ "PodUID": uid, "PodJID": "" }).to_string()),
        }
    }
}
