//! `berth image tree` and `image diff`: the layers of an image, and what they change.

use std::path::{Path, PathBuf};

use berth_host::format::human;
use berth_image::{Image, Merged, Reference, layer_size};

use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const TREE: Verb = Verb::new::<Tree>(
    "tree",
    Group::Images,
    "Print the layers of an image, or what stands on them",
    "[OPTIONS] IMAGE",
);

pub(crate) const DIFF: Verb = Verb::new::<Diff>(
    "diff",
    Group::Images,
    "Print what the last layer of an image changes, or what differs between two images",
    "IMAGE [IMAGE]",
)
.examples("berth image diff app:2\nberth image diff app:2 app:1");

/// The argument of `image tree`.
#[derive(Debug, clap::Args)]
pub(crate) struct Tree {
    /// The image, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    name: String,
    /// Print the layers that other images have above it
    #[arg(long)]
    whatrequires: bool,
}

impl Arguments for Tree {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let image = engine.find_image(&self.name, None)?;
        let names = tags(&image);
        let mut text = format!(
            "Image ID: {}\nTags:     {names}\nSize:     {}\nImage Layers\n",
            image.id().short(),
            human::size(image.size()),
        );
        let mut layers = image.layers();
        layers.reverse();
        if self.whatrequires {
            let images = engine.store().list()?.images;
            let stacks = images.iter().map(|image| {
                let mut layers = image.layers();
                layers.reverse();
                (layers, tags(image))
            });
            above(&stacks.collect::<Vec<_>>(), &layers, "", &mut text);
        } else {
            for (position, layer) in layers.iter().enumerate() {
                let last = position + 1 == layers.len();
                text.push_str(&line(layer, last, last.then_some(&names)));
            }
        }
        context.screen.data(&text)?;
        Ok(0)
    }
}

fn tags(image: &Image) -> String {
    let names: Vec<String> = image.names().iter().map(Reference::familiar).collect();
    format!("[{}]", names.join(" "))
}

fn line(layer: &Path, last: bool, top_of: Option<&String>) -> String {
    let chain = layer.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "{} ID: {} Size: {}{}\n",
        if last { "└──" } else { "├──" },
        chain.get(..12).unwrap_or(&chain),
        human::size(layer_size(layer)),
        top_of.map_or_else(String::new, |names| format!(" Top Layer of: {names}")),
    )
}

/// The layers right above a stack, each with what is above it in turn.
fn above(stacks: &[(Vec<PathBuf>, String)], base: &[PathBuf], indent: &str, text: &mut String) {
    let standing = stacks.iter().filter(|(layers, _)| layers.starts_with(base));
    let mut next: Vec<&PathBuf> = standing
        .filter_map(|(layers, _)| layers.get(base.len()))
        .collect();
    next.sort();
    next.dedup();
    for (position, layer) in next.iter().enumerate() {
        let last = position + 1 == next.len();
        let mut stack = base.to_vec();
        stack.push((*layer).clone());
        let tops = stacks.iter().filter(|(layers, _)| *layers == stack);
        let tops: Vec<&str> = tops.map(|(_, names)| names.as_str()).collect();
        let tops = (!tops.is_empty()).then(|| tops.join(" "));
        text.push_str(indent);
        text.push_str(&line(layer, last, tops.as_ref()));
        let deeper = format!("{indent}{}", if last { "    " } else { "│   " });
        above(stacks, &stack, &deeper, text);
    }
}

/// The arguments of `image diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The image, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    name: String,
    /// What it is compared with, in place of its own layers below the last
    #[arg(value_name = "IMAGE", hide = true)]
    other: Option<String>,
    /// Print as json
    #[arg(long, value_name = "FORMAT", value_parser = ["json"])]
    format: Option<String>,
}

impl Arguments for Diff {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let image = engine.find_image(&self.name, None)?;
        let older = match &self.other {
            Some(other) => engine.find_image(other, None)?.files()?,
            None => below(&image)?,
        };
        let changes = berth_image::diff(&older, &image.files()?)?;
        let text = if self.format.is_some() {
            let of = |wanted: char| {
                let paths = changes
                    .iter()
                    .filter(|(_, change)| change.letter() == wanted);
                let paths = paths.map(|(path, _)| path.display().to_string());
                paths.collect::<Vec<_>>()
            };
            let document =
                serde_json::json!({ "changed": of('C'), "added": of('A'), "deleted": of('D') });
            format!("{document}\n")
        } else {
            let line = |(path, change): &(PathBuf, berth_image::Change)| {
                format!("{} {}\n", change.letter(), path.display())
            };
            changes.iter().map(line).collect()
        };
        context.screen.data(&text)?;
        Ok(0)
    }
}

/// The files of an image without its last layer.
fn below(image: &Image) -> berth_contract::Result<Merged> {
    let layers = image.layers();
    match layers.get(1..) {
        Some(below) if !below.is_empty() => Merged::open(below),
        _ => Merged::open(&[image.empty_layer()]),
    }
}
