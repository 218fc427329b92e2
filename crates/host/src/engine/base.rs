//! What the builder asks of the engine beside running commands: base images, and who a name is.

use berth_contract::Result;
use berth_image::{Image, Merged};

use super::create::read_identity;
use super::in_use::LiveContainers;
use super::options::CreateOptions;
use super::{Engine, source};

impl Engine {
    /// An image of the store, pulled when the policy says so. The beginning of an id is none: a Dockerfile means
    /// the same wherever it is built.
    pub(crate) fn base_image(&self, name: &str, options: &CreateOptions<'_>) -> Result<Image> {
        let could_begin_an_id =
            name.len() < 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if could_begin_an_id {
            return source::image(&self.store(), &format!("{name}:latest"), options);
        }
        source::image(&self.store(), name, options)
    }

    /// The numbers of `user[:group]`, by the accounts of an image.
    pub(crate) fn owner(files: &Merged, text: &str) -> Result<(u32, u32)> {
        read_identity(files, text, &[]).map(|identity| (identity.uid, identity.gid))
    }

    /// Removes layers that nothing leads to any more; the bytes that frees.
    pub(crate) fn collect_unused_layers(&self) -> Result<u64> {
        self.store().collect(&LiveContainers::new(self.paths()))
    }

    /// Refuses what needs the rights of root.
    pub(crate) fn require_root_for_build(&self) -> Result<()> {
        self.require_root("cannot build an image")
    }
}
