//! The signal that ends a container: `lifecycle.stopSignal` of a pod (the feature ContainerStopSignals,
//! alpha since Kubernetes 1.33 and on by default since 1.37) and the CRI's own enumeration of signals
//! (`Signal` in `staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`).

use protobuf::{Enum as _, EnumOrUnknown};

use crate::proto::Signal;

/// What the names of the enumeration begin with here, so that they are told from other ones.
const PREFIX: &str = "SIGNAL_";
/// The pod's words for distances from the first and the last real-time signal, and the CRI's:
/// `SIGRTMIN+1` is `SIGRTMINPLUS1`.
const SIGNS: [(&str, &str); 2] = [("+", "PLUS"), ("-", "MINUS")];

/// A signal as a pod names it; none where nothing was asked for, or what is no signal.
pub fn stop_signal_name(signal: EnumOrUnknown<Signal>) -> Option<String> {
    let signal = signal.enum_value().ok()?;
    if signal == Signal::SIGNAL_RUNTIME_DEFAULT {
        return None;
    }
    let name = format!("{signal:?}");
    let name = name.strip_prefix(PREFIX)?;
    Some(SIGNS.iter().fold(name.to_owned(), |name, (sign, word)| {
        name.replace(word, sign)
    }))
}

/// The CRI's signal for the name that a pod has for it; the default for what is none.
pub fn stop_signal(name: &str) -> Signal {
    let name = SIGNS.iter().fold(name.to_owned(), |name, (sign, word)| {
        name.replace(sign, word)
    });
    Signal::from_str(&format!("{PREFIX}{name}")).unwrap_or(Signal::SIGNAL_RUNTIME_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_go_both_ways() {
        for (signal, name) in [
            (Signal::SIGNAL_SIGTERM, "SIGTERM"),
            (Signal::SIGNAL_SIGUSR1, "SIGUSR1"),
            (Signal::SIGNAL_SIGRTMIN, "SIGRTMIN"),
            (Signal::SIGNAL_SIGRTMINPLUS15, "SIGRTMIN+15"),
            (Signal::SIGNAL_SIGRTMAXMINUS2, "SIGRTMAX-2"),
        ] {
            assert_eq!(stop_signal_name(signal.into()).as_deref(), Some(name));
            assert_eq!(stop_signal(name), signal, "{name}");
        }
        for signal in Signal::VALUES {
            let name = stop_signal_name((*signal).into());
            assert_eq!(
                name.map_or(Signal::SIGNAL_RUNTIME_DEFAULT, |n| stop_signal(&n)),
                *signal
            );
        }
    }

    #[test]
    fn what_is_no_signal_is_the_default() {
        for name in ["", "TERM", "SIGNAL_SIGTERM", "sigterm", "9"] {
            assert_eq!(stop_signal(name), Signal::SIGNAL_RUNTIME_DEFAULT, "{name}");
        }
        for none in [0, -1, 66, i32::MAX] {
            assert_eq!(
                stop_signal_name(EnumOrUnknown::from_i32(none)),
                None,
                "{none}"
            );
        }
    }
}
