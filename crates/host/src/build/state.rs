//! What a stage has come to: its layers, its config, its history, and what variables mean now.

use std::collections::BTreeMap;

use berth_contract::Digest;
use berth_image::{
    Configuration, ContainerConfig, History, Image, Layer, Platform, urls_without_logins,
};

use super::adjustments::Adjustments;
use super::scope::{PATH, Scope};

/// The comment of every step in the history, which tools look for.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// A stage at one point.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) platform: Platform,
    /// Bottom first.
    pub(super) layers: Vec<Layer>,
    /// Whether all of them are here.
    pub(super) is_whole: bool,
    /// The stages that something of it comes from, and what each was made of: one that is built twice need not come to the
    /// same.
    pub(super) origins: BTreeMap<usize, Vec<Digest>>,
    /// How many of them are the base's.
    pub(super) inherited: usize,
    pub(super) config: ContainerConfig,
    pub(super) scope: Scope,
    pub(super) history: Vec<History>,
    pub(super) author: Option<String>,
    /// When the newest layer was made.
    pub(super) created: Option<String>,
    /// Whether the stage itself says `CMD`.
    pub(super) has_own_cmd: bool,
    /// The instructions that the base keeps for whoever is made from it.
    pub(super) triggers: Vec<String>,
}

impl State {
    /// Nothing.
    pub(super) fn scratch(platform: Platform) -> Self {
        let has_path = !platform.is_wasm() && platform.os != "windows";
        let config = ContainerConfig {
            env: has_path
                .then(|| format!("PATH={PATH}"))
                .into_iter()
                .collect(),
            working_dir: if platform.is_wasm() { "" } else { "/" }.to_owned(),
            ..ContainerConfig::default()
        };
        Self {
            scope: Scope::of_environment(&config.env),
            platform,
            layers: Vec::new(),
            is_whole: true,
            origins: BTreeMap::new(),
            inherited: 0,
            config,
            history: Vec::new(),
            author: None,
            created: None,
            has_own_cmd: false,
            triggers: Vec::new(),
        }
    }

    /// An image.
    pub(super) fn of_image(image: &Image) -> Self {
        let configuration = image.config();
        let mut config = configuration.config.clone();
        let triggers = std::mem::take(&mut config.on_build);
        let names_path = |pair: &String| pair.starts_with("PATH=");
        let has_path = !image.platform().is_wasm() && image.platform().os != "windows";
        if has_path && !config.env.iter().any(names_path) {
            config.env.push(format!("PATH={PATH}"));
        }
        let diff_ids = configuration.rootfs.diff_ids.iter();
        let layers: Vec<Layer> = image
            .blobs()
            .iter()
            .zip(diff_ids)
            .map(|(descriptor, diff_id)| Layer {
                descriptor: descriptor.clone(),
                diff_id: diff_id.clone(),
            })
            .collect();
        Self {
            scope: Scope::of_environment(&config.env),
            platform: image.platform().clone(),
            inherited: layers.len(),
            is_whole: true,
            origins: BTreeMap::new(),
            layers,
            config,
            history: configuration.history.clone(),
            author: configuration.author.clone(),
            created: configuration.created.clone(),
            has_own_cmd: false,
            triggers,
        }
    }

    /// The stage that another one begins with.
    pub(super) fn derived(&self) -> Self {
        let mut derived = self.clone();
        derived.inherited = derived.layers.len();
        derived.has_own_cmd = false;
        derived.triggers = std::mem::take(&mut derived.config.on_build);
        derived
    }

    /// Makes of a base what the request says of all: the variables they have, and the labels they pass on.
    pub(super) fn adjust_base(&mut self, adjustments: &Adjustments, is_stage: bool) {
        if !adjustments.inherits_labels {
            self.config.labels.clear();
        }
        // What a stage began with was adjusted, and it may have said something else since.
        if is_stage {
            return;
        }
        for name in &adjustments.unset_labels {
            self.config.labels.remove(name);
        }
        for (name, value) in &adjustments.environment {
            self.scope.set(name, value);
            self.config.env = self.scope.environment();
        }
    }

    /// Writes a step down that made no layer.
    pub(super) fn record(&mut self, created_by: String, created: Option<String>) {
        self.history.push(History {
            created,
            created_by: Some(urls_without_logins(&created_by)),
            comment: Some(COMMENT.to_owned()),
            empty_layer: true,
            ..History::default()
        });
    }

    /// Adds a step's layer.
    pub(super) fn add(&mut self, layer: Layer, created_by: String, created: Option<String>) {
        self.layers.push(layer);
        self.created.clone_from(&created);
        self.history.push(History {
            created,
            created_by: Some(urls_without_logins(&created_by)),
            comment: Some(COMMENT.to_owned()),
            ..History::default()
        });
    }

    /// The image's config.
    pub(super) fn configuration(&self, now: Option<&str>) -> Configuration {
        let created = self.created.clone().or_else(|| now.map(str::to_owned));
        let mut history = self.history.clone();
        // A step without a layer is as old as the one before it: the same file gives the same image.
        let mut last: Option<String> = None;
        for entry in &mut history {
            if entry.created.is_none() {
                entry.created = last.clone().or_else(|| created.clone());
            }
            last.clone_from(&entry.created);
        }
        Configuration {
            created,
            author: self.author.clone(),
            architecture: self.platform.architecture.clone(),
            os: self.platform.os.clone(),
            variant: self.platform.variant.clone(),
            config: self.config.clone(),
            history,
            ..Configuration::default()
        }
    }
}
