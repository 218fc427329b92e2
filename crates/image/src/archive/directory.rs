//! skopeo's `dir:`: the manifest as `manifest.json`, every blob by its digits, and a `version`.

use berth_contract::Result;

use super::files::Files;
use super::load::{Loader, Target};
use crate::documents::{Descriptor, Document, Index, MANIFEST_LIMIT};

/// The file that tells such a directory, and what it begins with (containers/image `directory_transport.go`).
pub(super) const VERSION_FILE: &str = "version";
pub(super) const VERSION: &str = "Directory Transport Version: 1.1\n";

impl Loader<'_> {
    /// `manifest.json` is a list in a docker-archive and the manifest itself in a `dir:`.
    pub(super) fn docker_or_directory(&mut self) -> Result<Vec<Target>> {
        let bytes = self.files.read("manifest.json", MANIFEST_LIMIT)?;
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return self.docker();
        }
        let document = Document::parse(&bytes, None)?;
        let (_, digest, size) = self.files.file("manifest.json")?;
        self.files
            .link(&Files::blob_name(&digest), "manifest.json")?;
        let entry = Descriptor::new(document.media_type(), digest, size);
        self.oci(&Index::new(vec![entry]))
    }
}
