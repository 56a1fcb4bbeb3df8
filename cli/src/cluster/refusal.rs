//! What the API server would not do, in one line that says who can mend it.

use std::fmt;
use std::time::Duration;

use kube::client::UpgradeConnectionError;

use crate::exit::{Exit, Failure};
use crate::view::plain;

/// Until an answer: an API server answers in milliseconds, and one that takes longer is in trouble. A
/// credential plugin that the kubeconfig names counts too, and it may open a browser.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// HTTP's and the API server's "who are you?".
const UNAUTHORIZED: u16 = 401;

/// The API server's "RBAC does not allow it".
const FORBIDDEN: u16 = 403;

const NOT_FOUND: u16 = 404;

/// What was asked of the API server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) verb: &'a str,
    /// As RBAC writes it, subresource included.
    pub(super) resource: &'a str,
    /// Empty for all objects of the kind.
    pub(super) name: &'a str,
    /// Empty for the whole cluster.
    pub(super) namespace: &'a str,
}

impl fmt::Display for Wish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, name, namespace } = self;
        write!(f, "{verb} {resource}")?;
        if !name.is_empty() {
            write!(f, " {name}")?;
        }
        if namespace.is_empty() {
            write!(f, " in the whole cluster")
        } else {
            write!(f, " in namespace {namespace}")
        }
    }
}

impl Wish<'_> {
    /// The answer, or why there is none.
    pub(super) async fn granted<T>(
        &self,
        context: &str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        // Boxed, since many of these wait inside each other.
        match tokio::time::timeout(ANSWER_TIMEOUT, Box::pin(answer)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.refused(&error, context)),
            Err(_) => Err(environment(format!(
                "the API server of context {context} took more than {ANSWER_TIMEOUT:?} to {self}: try again"
            ))),
        }
    }

    /// The refused wish as a line.
    fn refused(&self, error: &kube::Error, context: &str) -> Failure {
        let (code, said) = match error {
            kube::Error::Api(status) => (status.code, status.message.clone()),
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => {
                (code.as_u16(), code.to_string())
            }
            other => {
                let why = root_cause(other);
                return environment(format!(
                    "cannot ask the API server of context {context} ({why}): does `kubectl get pods` work?"
                ));
            }
        };
        environment(match code {
            UNAUTHORIZED => {
                format!("the API server of context {context} does not know you: log in to the cluster again")
            }
            FORBIDDEN => {
                format!("you may not {self}: ask whoever manages context {context} for {}", self.permission())
            }
            NOT_FOUND => format!(
                "cannot {self}, it is not there: is Berth installed in context {context}? `kubectl apply -k deploy/` \
                 installs it, and --berth-namespace says where it is"
            ),
            _ => format!("cannot {self}: the API server of context {context} says {}", plain(&said)),
        })
    }

    /// What an administrator must grant.
    fn permission(&self) -> String {
        let Self { verb, resource, name, namespace } = self;
        let role = if *name == "berth-operator" { "berth-operator" } else { "berth-viewer" };
        if namespace.is_empty() {
            format!("a ClusterRole that allows {verb} on {resource}")
        } else {
            format!("a Role that allows {verb} on {resource}; the Role {role} that comes with Berth does")
        }
    }
}

fn environment(message: String) -> Failure {
    Failure::new(Exit::Environment, message)
}

/// The last of an error's sources says what happened.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    plain(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> String {
        let status = kube::core::Status { code, message: "no\u{1b}[2J".to_owned(), ..Default::default() };
        let wish = Wish {
            verb: "create",
            resource: "serviceaccounts/token",
            name: "berth-viewer",
            namespace: "berth-system",
        };
        wish.refused(&kube::Error::Api(Box::new(status)), "prod").to_string()
    }

    #[test]
    fn each_refusal_says_what_was_wanted_and_who_can_mend_it() {
        insta::assert_snapshot!([401, 403, 404, 500].map(refused).join("\n"));
    }
}
