//! Which cluster: a kubeconfig, one of its contexts, and the namespace that the context prefers.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::Cluster;
use super::connection::DIAL_TIMEOUT;
use crate::exit::{Exit, Failure};

/// What Kubernetes takes where a context names no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// What the flags say of the cluster.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// A file; else what KUBECONFIG lists, or ~/.kube/config.
    pub kubeconfig: Option<&'a Path>,
    /// One of its contexts; else the current one.
    pub context: Option<&'a str>,
    /// Where Berth is installed.
    pub berth_namespace: &'a str,
}

/// A cluster that was found in a kubeconfig; nothing is opened yet.
#[derive(Debug, Clone)]
pub struct Target {
    kubeconfig: Kubeconfig,
    context: String,
    namespace: String,
    berth_namespace: String,
}

impl Target {
    /// Reads the kubeconfig, and finds the context in it.
    pub fn choose(choice: Choice<'_>) -> Result<Self, Failure> {
        let kubeconfig = match choice.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        Self::of(kubeconfig.map_err(|error| unreadable(&error))?, choice)
    }

    fn of(kubeconfig: Kubeconfig, choice: Choice<'_>) -> Result<Self, Failure> {
        let wanted = choice.context.or(kubeconfig.current_context.as_deref()).filter(|name| !name.is_empty());
        let Some(name) = wanted else {
            return Err(usage(format!(
                "the kubeconfig has no current context: give --context, one of {}",
                contexts(&kubeconfig)
            )));
        };
        let named = kubeconfig.contexts.iter().find(|context| context.name == name);
        let Some(context) = named.and_then(|named| named.context.as_ref()) else {
            return Err(usage(format!(
                "the kubeconfig has no context {name}: it has {}",
                contexts(&kubeconfig)
            )));
        };
        let namespace = context.namespace.clone().filter(|namespace| !namespace.is_empty());
        Ok(Self {
            context: name.to_owned(),
            namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            berth_namespace: choice.berth_namespace.to_owned(),
            kubeconfig,
        })
    }

    /// The namespace that the context prefers.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The cluster's API server, dialled at the first question.
    pub async fn cluster(&self) -> Result<Cluster, Failure> {
        let options =
            KubeConfigOptions { context: Some(self.context.clone()), ..KubeConfigOptions::default() };
        let unusable = |error: &dyn std::error::Error| {
            Failure::new(
                Exit::Environment,
                format!("context {} cannot be used: {}", self.context, whole(error)),
            )
        };
        let mut config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options)
            .await
            .map_err(|error| unusable(&error))?;
        config.connect_timeout = Some(DIAL_TIMEOUT);
        // A forwarded port may be silent for long; each question has a limit of its own.
        config.read_timeout = None;
        config.write_timeout = None;
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        Ok(Cluster::new(client, &self.context, &self.berth_namespace))
    }
}

/// The names of all contexts, for somebody who mistyped one.
fn contexts(kubeconfig: &Kubeconfig) -> String {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn unreadable(error: &KubeconfigError) -> Failure {
    let file = |path: &PathBuf| path.display().to_string();
    match error {
        KubeconfigError::ReadConfig(why, path) => usage(format!(
            "cannot read the kubeconfig {} ({why}): give --kubeconfig; what asks an aggregator off Kubernetes takes --server",
            file(path)
        )),
        other => usage(format!("the kubeconfig cannot be used: {}", whole(other))),
    }
}

/// The error and its causes, on one line.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    // Many errors repeat their cause in their own text.
    causes.map(ToString::to_string).fold(error.to_string(), |line, cause| {
        if line.contains(&cause) { line } else { line + ": " + &cause }
    })
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {token: secret}}]
contexts:
- {name: test, context: {cluster: c, user: u}}
- {name: prod, context: {cluster: c, user: u, namespace: shop}}
";

    fn read(yaml: &str) -> Kubeconfig {
        Kubeconfig::from_yaml(yaml).unwrap()
    }

    fn choose(yaml: &str, context: Option<&str>) -> Result<Target, Failure> {
        Target::of(read(yaml), Choice { kubeconfig: None, context, berth_namespace: "berth-system" })
    }

    #[test]
    fn the_context_says_which_namespace_is_meant() {
        let namespaces = [None, Some("prod")].map(|context| choose(TWO, context).unwrap().namespace);
        assert_eq!(namespaces, ["default", "shop"]);
    }

    #[test]
    fn a_context_that_is_not_there_is_answered_with_those_that_are() {
        let refused = choose(TWO, Some("prd")).unwrap_err().to_string();
        assert_eq!(refused, "the kubeconfig has no context prd: it has test, prod");
        let none = choose(&TWO.replace("current-context: test", ""), None).unwrap_err().to_string();
        assert!(none.contains("no current context: give --context, one of test, prod"), "{none}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("absent");
        let choice = Choice { kubeconfig: Some(&file), context: None, berth_namespace: "berth-system" };
        let refused = Target::choose(choice).unwrap_err().to_string();
        assert!(
            refused.contains(&file.display().to_string()) && refused.contains("--kubeconfig"),
            "{refused}"
        );
    }
}
