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
    /// A list whose one entry has its id under `jobid`.
    JobIdInList,
    /// One object with an empty id.
    EmptyId,
}

impl CreateForm {
    /// Answers the submission of a pod that is now job `jid`.
    pub fn answer(self, uid: &str, jid: &str, responder: Responder) -> std::io::Result<()> {
        let object = json!({ "PodUID": uid, "PodJID": jid });
        match self {
            Self::Object => responder.json(200, &object),
            Self::Wrapped201 => {
                let inner = object.to_string().replace('"', "&#34;");
                let before = "HTTP InterLink session 1:  call exit status: 500. Body: ";
                responder.text(201, &format!("{before}{inner}"))
            }
            Self::JobIdInList => {
                responder.json(200, &json!([{ "name": "p", "uid": uid, "jobid": jid }]))
            }
            Self::EmptyId => responder.json(200, &json!({ "PodUID": uid, "PodJID": "" })),
        }
    }
}
