//! `berth artifact add`: makes an artifact of files.

use std::path::PathBuf;

use berth_contract::{Class, Error};
use berth_image::{ArtifactWish, Reference};

use crate::cli::parse::annotations;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Add>(
    "add",
    Group::Images,
    "Make an artifact of files",
    "[OPTIONS] NAME[:TAG] FILE [FILE...]",
)
.examples(
    "berth artifact add registry.example.com/team/model:1 ./model.gguf\n\
     berth artifact add --append registry.example.com/team/model:1 ./README.md\n\
     berth artifact add --type application/vnd.example --annotation stage=test app:1 ./app.yaml",
);

/// The flags of `artifact add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The artifact's name
    #[arg(value_name = "NAME[:TAG]", required = true, hide = true)]
    name: String,
    /// The files
    #[arg(value_name = "FILE", required = true, hide = true)]
    files: Vec<PathBuf>,
    /// Annotate each of these files (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Add the files to an artifact that is here
    #[arg(short, long, conflicts_with_all = ["kind", "replace"])]
    append: bool,
    /// Take the media type of the files from here, not from their first bytes
    #[arg(long, value_name = "TYPE")]
    file_type: Option<String>,
    /// Take the name of an artifact that is here, and remove that
    #[arg(long)]
    replace: bool,
    /// The type of the artifact
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

impl Arguments for Add {
    fn run(self, context: &Context) -> Outcome {
        for kind in self.kind.iter().chain(&self.file_type) {
            if !is_media_type(kind) {
                return Err(
                    Error::new(Class::Invalid, format!("{kind:?} is no media type"))
                        .hint("write it as in application/vnd.example.thing"),
                );
            }
        }
        let wish = ArtifactWish {
            annotations: annotations(self.annotation)?,
            append: self.append,
            replace: self.replace,
            kind: self.kind,
            file_type: self.file_type,
            created: String::new(),
        };
        let name = Reference::parse(&self.name)?;
        let engine = context.engine()?;
        let digest = engine.add_artifact(&name, &self.files, wish)?;
        context.screen.data(&format!("{}\n", digest.hex()))?;
        Ok(0)
    }
}

/// RFC 6838, section 4.2: two names of letters, digits and a few marks; parameters may follow.
fn is_media_type(text: &str) -> bool {
    let plain = text.split(';').next().unwrap_or_default();
    let name = |name: &str| {
        let marks = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        name.len() <= 127
            && name.bytes().all(marks)
            && name
                .bytes()
                .next()
                .is_some_and(|first| first.is_ascii_alphanumeric())
    };
    let names = plain.trim_end().split_once('/');
    !text.contains(char::is_control) && names.is_some_and(|(kind, sub)| name(kind) && name(sub))
}

#[cfg(test)]
mod tests {
    use super::is_media_type;

    #[test]
    fn media_types_have_two_names() {
        for good in [
            "text/plain",
            "application/vnd.a+json",
            "text/plain; charset=utf-8",
        ] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["", "text", "/", "a/", "/b", "a b/c", "a/b/c", "a/b\n"] {
            assert!(!is_media_type(bad), "{bad:?}");
        }
    }
}
