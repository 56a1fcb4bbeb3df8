//! Roles that are known without being told: what well-known model servers and scanners look like.
//!
//! Each preset is a list of selectors as a person could write them, by the labels that an operator
//! puts on its pods, or by the image where nothing else is certain. A selector of the configuration
//! comes first, so a person can always say otherwise. Deliberately absent: guesses by name, which
//! are only ever suggested.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Selector;
use crate::who::Role;

/// A well-known way to run models, or to scan them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Pods of an `InferenceService`.
    Kserve,
    /// Pods of a `SeldonDeployment` (version 1) or of a `Server` (version 2).
    Seldon,
    /// NVIDIA's inference server.
    Triton,
    /// Pods of a `RayService` that serve.
    RayServe,
    /// The `OpenAI`-compatible server of vLLM.
    Vllm,
    /// Cortex Certifai: models in its containers, and its scans.
    Certifai,
}

/// A label, or an image.
type Sign = (Role, Option<(&'static str, &'static str)>, Option<&'static str>);

const fn label(role: Role, name: &'static str, value: &'static str) -> Sign {
    (role, Some((name, value)), None)
}

const fn image(role: Role, pattern: &'static str) -> Sign {
    (role, None, Some(pattern))
}

impl Preset {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Kserve, Self::Seldon, Self::Triton, Self::RayServe, Self::Vllm, Self::Certifai];

    /// As the configuration spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kserve => "kserve",
            Self::Seldon => "seldon",
            Self::Triton => "triton",
            Self::RayServe => "ray-serve",
            Self::Vllm => "vllm",
            Self::Certifai => "certifai",
        }
    }

    /// The labels are those of the operators' own sources: `InferenceServicePodLabelKey` in `KServe`,
    /// `ServerLabelNameKey` in Seldon Core 2, `RayClusterServingServiceLabelKey` in `KubeRay`.
    const fn signs(self) -> &'static [Sign] {
        match self {
            Self::Kserve => const { &[label(Role::Model, "serving.kserve.io/inferenceservice", "*")] },
            Self::Seldon => {
                const {
                    &[
                        label(Role::Model, "seldon-deployment-id", "*"),
                        label(Role::Model, "seldon-server-name", "*"),
                    ]
                }
            }
            Self::Triton => const { &[image(Role::Model, "**tritonserver*")] },
            Self::RayServe => const { &[label(Role::Model, "ray.io/serve", "true")] },
            Self::Vllm => const { &[image(Role::Model, "**vllm/vllm-openai*")] },
            Self::Certifai => {
                const {
                    &[
                        image(Role::Model, "**c12e/cortex-certifai-model-*"),
                        image(Role::Model, "**c12e/cortex-certifai-reference-model-server*"),
                        image(Role::Scanner, "**c12e/cortex-certifai-scan*"),
                    ]
                }
            }
        }
    }

    pub(super) fn selectors(self) -> impl Iterator<Item = (Self, Selector)> {
        self.signs().iter().map(move |(role, label, image)| {
            let labels = label.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let labels: BTreeMap<String, String> = labels.collect();
            (self, Selector { role: *role, namespace: None, labels, image: image.map(str::to_owned) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::{Given, Roster, RosterConfig};

    fn given(roster: &Roster, labels: &[(&str, &str)], image: &str) -> Option<(Role, String)> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let given = roster.selected("shop", &labels, &["docker.io/istio/proxyv2:1.20", image]);
        given.map(|Given { role, reason }| (role, reason.to_string()))
    }

    #[test]
    fn well_known_servers_and_scanners_are_recognised() {
        let roster = Roster::new(RosterConfig::default()).unwrap();
        let plain = "registry.example/app:1";
        let models = [
            (Some(("serving.kserve.io/inferenceservice", "fraud")), plain, "kserve"),
            (Some(("seldon-deployment-id", "fraud")), plain, "seldon"),
            (Some(("seldon-server-name", "mlserver")), plain, "seldon"),
            (None, "nvcr.io/nvidia/tritonserver:25.01-py3", "triton"),
            (Some(("ray.io/serve", "true")), plain, "ray-serve"),
            (None, "vllm/vllm-openai:v0.9.0", "vllm"),
            (None, "c12e/cortex-certifai-reference-model-server:1.3.3", "certifai"),
            (None, "quay.io/c12e/cortex-certifai-model-scikit@sha256:00", "certifai"),
        ];
        for (label, image, preset) in models {
            let labels: Vec<_> = label.into_iter().collect();
            let expected = Some((Role::Model, format!("preset {preset}")));
            assert_eq!(given(&roster, &labels, image), expected, "{labels:?} {image}");
        }
        let scan = given(&roster, &[], "c12e/cortex-certifai-scanner:1.3.14");
        assert_eq!(scan, Some((Role::Scanner, "preset certifai".to_owned())));
        assert_eq!(given(&roster, &[("ray.io/serve", "false")], plain), None);
    }

    #[test]
    fn the_configuration_chooses_presets_and_its_own_selectors_come_first() {
        let config = r#"{"presets": ["triton", "ray-serve"], "roles": [{"role": "other", "image": "**tritonserver:22*"}]}"#;
        let roster = Roster::new(serde_json::from_str(config).unwrap()).unwrap();
        let own = given(&roster, &[], "nvcr.io/nvidia/tritonserver:22.01-py3");
        assert_eq!(own, Some((Role::Other, "selector 1 of the configuration".to_owned())));
        let preset = given(&roster, &[], "nvcr.io/nvidia/tritonserver:25.01-py3");
        assert_eq!(preset, Some((Role::Model, "preset triton".to_owned())));
        assert_eq!(given(&roster, &[], "vllm/vllm-openai:v0.9.0"), None);
        let unknown = serde_json::from_str::<RosterConfig>(r#"{"presets": ["bert"]}"#).unwrap_err();
        assert!(unknown.to_string().contains("expected one of `kserve`"), "{unknown}");
    }
}
