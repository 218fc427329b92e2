//! Which layer a key leads to, as `BuildKit` writes it (`cache/remotecache/v1/types/spec.go`).

use std::collections::{BTreeMap, BTreeSet};

use berth_contract::Digest;
use berth_image::{Descriptor, Layer};
use serde::{Deserialize, Serialize};

use crate::build::cache::CachedStep;

/// A cache's document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::build) struct CacheConfig {
    /// The layers; in an image's own config the image has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<CacheLayer>,
    /// The keys.
    #[serde(default)]
    records: Vec<Record>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CacheLayer {
    blob: Digest,
    /// The layer below, -1 for none. Go leaves a 0 away.
    #[serde(default, skip_serializing_if = "is_zero")]
    parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotations {
    #[serde(default)]
    media_type: String,
    #[serde(rename = "diffID")]
    diff_id: Digest,
    #[serde(default)]
    size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    digest: Digest,
    #[serde(default)]
    layers: Vec<Reached>,
    /// What a step came to whose layer is left out; `BuildKit` takes no notice of it.
    #[serde(default, rename = "diffID", skip_serializing_if = "Option::is_none")]
    left_out: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reached {
    layer: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What a key leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) layer: Layer,
    pub(super) created: Option<String>,
    /// Whether the layer is only known by name.
    pub(super) is_left_out: bool,
}

impl CacheConfig {
    /// The document of these steps; `blobs` are their layers as they are written. Of the steps `left_out` it says only
    /// what they came to.
    pub(super) fn of_steps(
        steps: &[CachedStep],
        left_out: &[CachedStep],
        blobs: &BTreeMap<Digest, Descriptor>,
    ) -> Self {
        let mut config = Self::default();
        let mut positions: BTreeMap<Vec<Digest>, usize> = BTreeMap::new();
        // What is below comes first.
        let mut ordered: Vec<&CachedStep> = steps.iter().collect();
        ordered.sort_by_key(|step| (step.stack().len(), step.key.clone()));
        for step in ordered {
            let stack = diff_ids(&step.stack());
            let layer = step.layer();
            let position = *positions.entry(stack.clone()).or_insert_with(|| {
                config.layers.push(CacheLayer {
                    blob: layer.descriptor.digest.clone(),
                    parent: -1,
                    annotations: None,
                });
                config.layers.len() - 1
            });
            let blob = blobs.get(&layer.descriptor.digest);
            let blob = blob.unwrap_or(&layer.descriptor);
            let parent = positions.get(&stack[..stack.len().saturating_sub(1)]);
            config.layers[position] = CacheLayer {
                blob: blob.digest.clone(),
                parent: parent.map_or(-1, |parent| i64::try_from(*parent).unwrap_or(-1)),
                annotations: Some(Annotations {
                    media_type: blob.media_type.clone(),
                    diff_id: layer.diff_id,
                    size: blob.size,
                }),
            };
            config.records.push(Record::of(step, position));
        }
        config.records.extend(left_out.iter().map(Record::left_out));
        config
    }

    /// The document for an image's own config: its layers are those of the image.
    pub(in crate::build) fn of_image(steps: &[CachedStep], layers: &[Layer]) -> Self {
        let whole = diff_ids(layers);
        let named: BTreeSet<Vec<Digest>> = steps
            .iter()
            .filter(|step| step.by_name)
            .map(|step| diff_ids(&step.stack()))
            .collect();
        // Whoever takes a copy over by name does not know its other key: the same layers are to make the same image.
        let is_wanted =
            |step: &&CachedStep| step.by_name || !named.contains(&diff_ids(&step.stack()));
        let steps: Vec<&CachedStep> = steps.iter().filter(is_wanted).collect();
        let mut records: Vec<Record> = steps
            .iter()
            .filter_map(|step| {
                let stack = diff_ids(&step.stack());
                let last = stack.len().checked_sub(1)?;
                whole.starts_with(&stack).then(|| Record::of(step, last))
            })
            .collect();
        records.sort_by_key(|record| record.layers.first().map(|reached| reached.layer));
        let is_told = |step: &&&CachedStep| records.iter().any(|record| record.digest == step.key);
        let others: Vec<Record> = steps
            .iter()
            .filter(|step| !is_told(step))
            .map(|step| Record::left_out(step))
            .collect();
        records.extend(others);
        Self {
            layers: Vec::new(),
            records,
        }
    }

    /// As bytes.
    pub(in crate::build) fn to_bytes(&self) -> Vec<u8> {
        // These types cannot fail to become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Out of bytes; nothing when they are something else.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// What the keys lead to. Layers are the document's own, or those of the image around it.
    pub(super) fn known(self, image: &[Layer]) -> BTreeMap<Digest, Known> {
        let own: Vec<Option<Layer>> = if self.layers.is_empty() {
            image.iter().cloned().map(Some).collect()
        } else {
            let layer = |layer: CacheLayer| {
                let annotations = layer.annotations?;
                let kind = annotations.media_type.as_str();
                Some(Layer {
                    descriptor: Descriptor::new(kind, layer.blob, annotations.size),
                    diff_id: annotations.diff_id,
                })
            };
            self.layers.into_iter().map(layer).collect()
        };
        let records = self.records.into_iter();
        records
            .filter_map(|record| {
                let known = match record.left_out {
                    Some(diff_id) => Known {
                        layer: Layer {
                            descriptor: Descriptor::new("", diff_id.clone(), 0),
                            diff_id,
                        },
                        created: None,
                        is_left_out: true,
                    },
                    None => {
                        let reached = record.layers.into_iter().next()?;
                        Known {
                            layer: own.get(reached.layer)?.clone()?,
                            created: reached.created_at,
                            is_left_out: false,
                        }
                    }
                };
                Some((record.digest, known))
            })
            .collect()
    }
}

impl Record {
    fn of(step: &CachedStep, layer: usize) -> Self {
        Self {
            digest: step.key.clone(),
            layers: vec![Reached {
                layer,
                created_at: step.created.clone(),
            }],
            left_out: None,
        }
    }

    fn left_out(step: &CachedStep) -> Self {
        Self {
            digest: step.key.clone(),
            layers: Vec::new(),
            left_out: Some(step.layer().diff_id),
        }
    }
}

/// What a stack of layers holds.
pub(in crate::build) fn diff_ids(layers: &[Layer]) -> Vec<Digest> {
    layers.iter().map(|layer| layer.diff_id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        let sum = <sha2::Sha256 as sha2::Digest>::digest(text.as_bytes());
        Digest::sha256(sum.into())
    }

    fn layer(text: &str) -> Layer {
        Layer {
            descriptor: Descriptor::new("application/vnd.oci.image.layer.v1.tar", digest(text), 7),
            diff_id: digest(text),
        }
    }

    fn step(key: &str, stack: &[&str]) -> CachedStep {
        let stack: Vec<Layer> = stack.iter().map(|text| layer(text)).collect();
        let about = ("about", Some("2026-01-01T00:00:00Z".to_owned()));
        CachedStep::new(digest(key), &stack, about, None).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let steps = [
            step("k2", &["base", "one", "two"]),
            step("k1", &["base", "one"]),
            step("k3", &["base", "three"]),
        ];
        let gzip = Descriptor::new(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            digest("zip"),
            3,
        );
        let blobs = BTreeMap::from([(digest("two"), gzip.clone())]);
        let config = CacheConfig::of_steps(&steps, &[step("k4", &["base", "four"])], &blobs);
        let read = CacheConfig::parse(&config.to_bytes()).unwrap();
        assert_eq!(read, config);
        let parent = |blob: &Digest| {
            let found = config.layers.iter().find(|layer| layer.blob == *blob);
            found.unwrap().parent
        };
        assert_eq!((parent(&digest("one")), parent(&digest("three"))), (-1, -1));
        assert!(parent(&digest("zip")) >= 0);
        let known = read.known(&[]);
        assert_eq!(known.len(), 4);
        let four = &known[&digest("k4")];
        assert!(four.is_left_out && four.layer.diff_id == digest("four"));
        let two = &known[&digest("k2")];
        assert_eq!(
            (&two.layer.descriptor, &two.layer.diff_id),
            (&gzip, &digest("two"))
        );
        assert_eq!(two.created.as_deref(), Some("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn an_image_has_its_own_steps() {
        let steps = [step("k1", &["base", "one"]), step("k3", &["base", "three"])];
        let layers = [layer("base"), layer("one")];
        let config = CacheConfig::of_image(&steps, &layers);
        let known = CacheConfig::parse(&config.to_bytes())
            .unwrap()
            .known(&layers);
        assert_eq!(known[&digest("k1")].layer, layers[1]);
        let left_out = |key: &str| known[&digest(key)].is_left_out;
        assert!(known.len() == 2 && !left_out("k1") && left_out("k3"));
    }

    /// A document of `BuildKit`'s own, with what is not used here, and one that leads nowhere.
    #[test]
    fn foreign_documents_are_read_and_lead_nowhere() {
        let text = format!(
            r#"{{"layers":[{{"blob":"{0}","parent":-1,"annotations":{{"mediaType":"m","diffID":"{0}","size":3,"createdAt":"2026-01-01T00:00:00Z"}}}},{{"blob":"{0}"}}],
            "records":[{{"digest":"{0}","layers":[{{"layer":0}}],"inputs":[[{{"link":1,"selector":"x"}}]],"chains":[{{"layers":[0,1]}}]}},{{"digest":"{1}","layers":[{{"layer":9}}]}}]}}"#,
            digest("a"),
            digest("b")
        );
        let known = CacheConfig::parse(text.as_bytes()).unwrap().known(&[]);
        assert_eq!(known.keys().collect::<Vec<_>>(), [&digest("a")]);
        assert_eq!(CacheConfig::parse(b"[1]"), None);
    }
}
