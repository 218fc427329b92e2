//! The flags of `build` about what the image has and its Dockerfile does not say, Podman's.

use berth_host::build::{Adjustments, Squash};
use berth_image::DocumentStyle;
use clap::{ArgAction, Args};

use crate::cli::Environment;
use crate::cli::parse::environment::{Entry, entry};
use crate::cli::registry::document_style;

/// What the image has, whatever its Dockerfile says.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(next_help_heading = "Image")]
pub(super) struct ImageFlags {
    /// Join the image's own layers into one
    #[arg(long)]
    squash: bool,

    /// Join all of the image's layers into one
    #[arg(long)]
    squash_all: bool,

    /// Set a variable for the commands and in the image, unless ENV sets it: NAME=VALUE, or NAME (can be repeated)
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = entry)]
    env: Vec<Entry>,

    /// Leave a variable out of the image (can be repeated)
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<String>,

    /// Do not take this label from base images (can be repeated)
    #[arg(long, value_name = "NAME")]
    unsetlabel: Vec<String>,

    /// Take the labels of base images and stages
    #[arg(long, action = ArgAction::SetFalse)]
    inherit_labels: bool,

    /// Whose documents describe the image: oci or docker
    #[arg(long, value_name = "FORMAT", value_parser = format, default_value = "oci", hide_default_value = true)]
    format: DocumentStyle,

    /// Leave out how the image was made
    #[arg(long)]
    omit_history: bool,
}

impl ImageFlags {
    pub(super) fn documents(&self) -> DocumentStyle {
        self.format
    }

    pub(super) fn squash(&self) -> Squash {
        match (self.squash_all, self.squash) {
            (true, _) => Squash::All,
            (false, true) => Squash::Own,
            (false, false) => Squash::Nothing,
        }
    }

    /// What is said of the image; a variable that is not set here is not set there.
    pub(super) fn adjustments(self, environment: &Environment) -> Adjustments {
        let variables = self.env.into_iter().filter_map(|(name, value)| {
            let value = value.or_else(|| environment.owned(&name))?;
            Some((name, value))
        });
        Adjustments {
            environment: variables.collect(),
            unset_variables: self.unsetenv,
            unset_labels: self.unsetlabel,
            inherits_labels: self.inherit_labels,
            omits_history: self.omit_history,
        }
    }
}

fn format(text: &str) -> Result<DocumentStyle, String> {
    document_style(text).ok_or_else(|| "use oci or docker".to_owned())
}
