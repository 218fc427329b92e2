//! `berth buildx imagetools create`: an image made in a registry, of images that are there.

use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{Composed, Composition, Descriptor, Platform, Reference, Source};
use serde_json::json;

use crate::cli::progress::{PullProgress, Style};
use crate::cli::registry::{RegistryFlags, access};
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Create>(
    "create",
    Group::Images,
    "Make an image in a registry, of images that are in registries",
    "[OPTIONS] [SOURCE...]",
)
.examples(
    "berth buildx imagetools create -t example.com/app:1 example.com/app:1-amd64 example.com/app:1-wasm\n\
     berth buildx imagetools create --append -t example.com/app:1 example.com/app:1-arm64\n\
     berth buildx imagetools create --dry-run -p linux/amd64 alpine",
);

/// The flags of `buildx imagetools create`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's flags")]
pub(crate) struct Create {
    /// Images, digests in the repository of the tag, or descriptors in JSON
    #[arg(value_name = "SOURCE", hide = true)]
    sources: Vec<String>,
    /// Annotate the index (index:KEY=VALUE) or its entries (manifest-descriptor:KEY=VALUE)
    #[arg(long, value_name = "[TYPE:]KEY=VALUE")]
    annotation: Vec<String>,
    /// Add to what the tag leads to now
    #[arg(long)]
    append: bool,
    /// Print the result and push nothing
    #[arg(long)]
    dry_run: bool,
    /// Read a source from this file (can be repeated)
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Write the result's descriptor to this file
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Take only what is for these platforms (can be repeated)
    #[arg(short, long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<String>,
    /// Make an index of a single image too (false: copy it)
    #[arg(long, action = clap::ArgAction::SetFalse)]
    prefer_index: bool,
    /// How to show the progress
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    progress: Style,
    /// The result's name (can be repeated)
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// For scripts: there is one builder
    #[arg(long, hide = true, value_name = "default", value_parser = crate::cli::build::builder)]
    builder: Option<()>,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Arguments for Create {
    fn run(self, context: &Context) -> Outcome {
        let tags = self.tag.iter().map(|tag| Reference::parse(tag));
        let tags = tags.collect::<Result<Vec<_>>>()?;
        if tags.is_empty() && !self.dry_run {
            return Err(
                Error::new(Class::Invalid, "cannot tell what to call the image")
                    .hint("add --tag NAME, or --dry-run to print it"),
            );
        }
        let sources = self.sources(&tags)?;
        let platforms = self.platform.iter().map(|text| text.parse());
        let platforms = platforms.collect::<Result<Vec<Platform>>>()?;
        let (annotations, entry_annotations) = annotations(&self.annotation)?;
        // A login is for where the image goes; without that, for where it comes from.
        let from = sources.iter().map(|source| &source.reference);
        let named: Vec<&Reference> = match tags.is_empty() {
            true => from.collect(),
            false => tags.iter().collect(),
        };
        let named = named.into_iter().map(ToString::to_string);
        let access = access(context, &self.registry, named)?;
        let composition = Composition {
            sources: &sources,
            platforms: &platforms,
            annotations: &annotations,
            entry_annotations: &entry_annotations,
            prefer_index: self.prefer_index,
            access: &access,
        };
        let targets = if self.dry_run { &[][..] } else { &tags };
        let progress = PullProgress::new(context.screen, self.progress);
        let composed = context.engine()?.compose(&composition, targets, &progress);
        progress.clear();
        let composed = composed?;
        if let Some(file) = &self.metadata_file {
            write_metadata(file, &composed, &tags)?;
        }
        if self.dry_run {
            let document: serde_json::Value = serde_json::from_slice(&composed.bytes)
                .map_err(|error| Error::new(Class::Internal, "cannot print it").caused_by(error))?;
            context.screen.data(&format!("{document:#}\n"))?;
            return Ok(0);
        }
        for tag in &tags {
            let digest = &composed.descriptor.digest;
            context.screen.say(&format!("pushed {digest} to {tag}"));
        }
        Ok(0)
    }
}

impl Create {
    fn sources(&self, tags: &[Reference]) -> Result<Vec<Source>> {
        let mut texts = Vec::new();
        if self.append {
            let [tag, ..] = tags else {
                return Err(Error::new(Class::Invalid, "cannot tell what to add to")
                    .hint("--tag names the image that --append adds to"));
            };
            texts.push(tag.to_string());
        }
        for file in &self.file {
            texts.push(std::fs::read_to_string(file).map_err(|error| {
                let message = format!("cannot read {}", file.display());
                Error::new(Class::Invalid, message).caused_by(error)
            })?);
        }
        texts.extend(self.sources.iter().cloned());
        if texts.is_empty() {
            return Err(
                Error::new(Class::Invalid, "there is nothing to make an image of")
                    .hint("name images that are in registries"),
            );
        }
        texts.iter().map(|text| source(text.trim(), tags)).collect()
    }
}

/// A descriptor in JSON, a digest, or an image.
fn source(text: &str, tags: &[Reference]) -> Result<Source> {
    // What names no repository is in the one of the result.
    let home = || {
        tags.first().cloned().ok_or_else(|| {
            let message = format!("cannot tell which repository {text} is in");
            Error::new(Class::Invalid, message).hint("name it: REPOSITORY@DIGEST")
        })
    };
    if text.starts_with('{') {
        let descriptor: Descriptor = serde_json::from_str(text).map_err(|error| {
            Error::new(Class::Invalid, "cannot use the descriptor").caused_by(error)
        })?;
        return Ok(Source {
            reference: home()?,
            descriptor: Some(descriptor),
        });
    }
    if let Ok(digest) = text.parse::<Digest>() {
        return Ok(Source {
            reference: home()?.at(&digest),
            descriptor: None,
        });
    }
    Ok(Source {
        reference: Reference::parse(text)?,
        descriptor: None,
    })
}

/// Notes on the index, and on its entries.
type Notes = (
    Vec<(String, String)>,
    Vec<(Option<Platform>, String, String)>,
);

/// `[index|manifest-descriptor[[platform]]:]KEY=VALUE`; without a kind it is the index's.
fn annotations(texts: &[String]) -> Result<Notes> {
    const HINT: &str = "write it as index:KEY=VALUE or manifest-descriptor[PLATFORM]:KEY=VALUE";
    let (mut index, mut entries) = (Vec::new(), Vec::new());
    for text in texts {
        let invalid = |reason: &str| {
            let error = Error::new(Class::Invalid, format!("invalid annotation {text:?}"));
            error.caused_by(reason.to_owned()).hint(HINT)
        };
        let (name, value) = text.split_once('=').ok_or_else(|| invalid("it has no ="))?;
        let (kind, key) = name.split_once(':').unwrap_or(("index", name));
        let (kind, platform) = match kind.split_once('[') {
            Some((kind, rest)) => (kind, rest.strip_suffix(']')),
            None => (kind, None),
        };
        let platform = platform.map(str::parse::<Platform>).transpose()?;
        if key.is_empty() {
            return Err(invalid("it has no key"));
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        match (kind, platform) {
            ("index", None) => index.push((key, value)),
            ("manifest-descriptor", platform) => entries.push((platform, key, value)),
            ("manifest" | "index-descriptor", _) => {
                return Err(invalid(
                    "only an index and its entries can be annotated here",
                ));
            }
            _ => return Err(invalid("it says of nothing what it annotates")),
        }
    }
    Ok((index, entries))
}

/// `BuildKit`'s keys.
fn write_metadata(file: &Path, composed: &Composed, tags: &[Reference]) -> Result<()> {
    let names: Vec<String> = tags.iter().map(ToString::to_string).collect();
    let document = json!({
        "containerimage.descriptor": composed.descriptor,
        "containerimage.digest": composed.descriptor.digest,
        "image.name": names.join(","),
    });
    std::fs::write(file, format!("{document:#}\n")).map_err(|error| {
        let message = format!("cannot write {}", file.display());
        Error::new(Class::Invalid, message).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_say_what_they_are_about() {
        let read = |text: &str| annotations(&[text.to_owned()]);
        let pair = || ("k".to_owned(), "v=w".to_owned());
        assert_eq!(read("k=v=w").unwrap().0, [pair()]);
        assert_eq!(read("index:k=v=w").unwrap().0, [pair()]);
        let wasm: Platform = "wasi/wasm".parse().unwrap();
        let of = |platform| (platform, "k".to_owned(), "v".to_owned());
        assert_eq!(read("manifest-descriptor:k=v").unwrap().1, [of(None)]);
        assert_eq!(
            read("manifest-descriptor[wasi/wasm]:k=v").unwrap().1,
            [of(Some(wasm))]
        );
        for bad in [
            "k",
            "manifest:k=v",
            "index-descriptor:k=v",
            "x:k=v",
            "index:=v",
            "=v",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_without_a_repository_is_in_the_results() {
        let tags = [Reference::parse("example.com/app:1").unwrap()];
        let digest = format!("sha256:{}", "a".repeat(64));
        let found = source(&digest, &tags).unwrap();
        assert_eq!(
            found.reference.to_string(),
            format!("example.com/app@{digest}")
        );
        let json = format!(r#"{{"mediaType":"x","digest":"{digest}","size":3}}"#);
        assert!(source(&json, &tags).unwrap().descriptor.is_some());
        assert!(source(&digest, &[]).is_err());
        assert!(source("{", &tags).is_err());
    }
}
