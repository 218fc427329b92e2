//! The store as a registry sees it: repositories with tags, and manifests that only a digest leads to.
//!
//! A repository's manifests are the entries of the index that are named after it or came from it, and
//! what those entries list in turn.

use std::collections::{BTreeMap, BTreeSet};

use berth_contract::{Digest, Result};

use super::index::{
    REPOSITORY, add_pinned, fetched_tag, name_of, pinned_name_of, remove_fetched, remove_name,
    set_fetched, set_name,
};
use super::{Store, Transaction};
use crate::documents::{Descriptor, Document, Index};
use crate::reference::Reference;

impl Store {
    /// The names of all repositories as listings show them, sorted.
    pub(crate) fn repositories(&self) -> Result<Vec<String>> {
        let index = self.index()?;
        let names = index.manifests.iter().filter_map(pinned_name_of);
        let names: BTreeSet<String> = names.map(|name| name.familiar_name()).collect();
        Ok(names.into_iter().collect())
    }

    /// The tags of a repository, sorted; `None` if there is no such repository.
    pub(crate) fn tags_of(&self, repository: &Reference) -> Result<Option<Vec<String>>> {
        let entries = self.entries_of(repository)?;
        if entries.is_empty() {
            return Ok(None);
        }
        let tags = entries.iter().filter_map(|entry| {
            let own = name_of(entry).and_then(|name| name.tag().map(str::to_owned));
            own.or_else(|| fetched_tag(entry).map(str::to_owned))
        });
        let tags: BTreeSet<String> = tags.collect();
        Ok(Some(tags.into_iter().collect()))
    }

    /// What a tag leads to.
    pub(crate) fn tagged(&self, name: &Reference) -> Result<Option<Descriptor>> {
        let index = self.index()?;
        let full = name.to_string();
        let mut entries = index.manifests.into_iter();
        Ok(entries.find(|entry| super::index::is_named(entry, &full)))
    }

    /// A manifest of a repository by its digest, wherever in its indexes it is.
    pub(crate) fn pinned(
        &self,
        repository: &Reference,
        digest: &Digest,
    ) -> Result<Option<Descriptor>> {
        let mut all = self.manifests_of(repository)?.into_iter();
        Ok(all.find(|entry| entry.digest == *digest && self.has_blob(digest)))
    }

    /// Every manifest of a repository, each once.
    pub(crate) fn manifests_of(&self, repository: &Reference) -> Result<Vec<Descriptor>> {
        let mut pending = self.entries_of(repository)?;
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        while let Some(entry) = pending.pop() {
            if !seen.insert(entry.digest.clone()) {
                continue;
            }
            // A damaged index hides what only it leads to, and nothing else.
            if let Ok(Some(Document::Index(index))) = self.document(&entry) {
                pending.extend(index.manifests);
            }
            all.push(entry);
        }
        Ok(all)
    }

    fn entries_of(&self, repository: &Reference) -> Result<Vec<Descriptor>> {
        let name = repository.name();
        let entries = self.index()?.manifests.into_iter();
        let own =
            |entry: &Descriptor| pinned_name_of(entry).is_some_and(|pinned| pinned.name() == name);
        Ok(entries.filter(own).collect())
    }

    /// Makes a staged manifest part of a repository, under a tag if the name has one, and under further ones.
    pub(crate) fn put_manifest(
        &self,
        mut transaction: Transaction,
        (name, tagged): (&Reference, &[Reference]),
        target: &Descriptor,
    ) -> Result<()> {
        // It holds what it published until the index leads there.
        transaction.publish()?;
        self.change_index(|index| {
            let own = std::iter::once(name).filter(|name| name.tag().is_some());
            let mut names = own.chain(tagged).peekable();
            let unnamed = names.peek().is_none();
            keeping_manifests(index, |index| {
                for name in names {
                    set_name(index, name, target);
                }
            });
            if unnamed && self.pinned(name, &target.digest)?.is_none() {
                add_pinned(index, &name.name(), target);
            }
            Ok(())
        })?;
        self.adopt_entries(name, target)
    }

    /// What was fetched for others under a tag.
    pub(crate) fn fetched(&self, name: &Reference) -> Result<Option<Descriptor>> {
        let mut entries = self.entries_of(name)?.into_iter();
        Ok(entries.find(|entry| {
            let tag = fetched_tag(entry);
            tag.is_some() && tag == name.tag()
        }))
    }

    /// Keeps a staged manifest that was fetched for others: names of this machine go on leading where they did.
    pub(crate) fn put_fetched(
        &self,
        transaction: Transaction,
        name: &Reference,
        target: &Descriptor,
    ) -> Result<()> {
        let mut known = self.manifests_of(name)?.into_iter();
        let listed = known.any(|entry| entry.digest == target.digest);
        transaction.commit_unnamed()?;
        if listed && name.tag().is_none() {
            return Ok(());
        }
        self.change_index(|index| {
            set_fetched(index, name, target);
            Ok(())
        })
    }

    /// An index takes its entries in: what was pushed before it needs no entry of its own any more.
    fn adopt_entries(&self, name: &Reference, target: &Descriptor) -> Result<()> {
        let Some(Document::Index(inner)) = self.document(target)? else {
            return Ok(());
        };
        let repository = name.name();
        self.change_index(|index| {
            index.manifests.retain(|entry| {
                let came_from = entry.annotations.get(REPOSITORY);
                came_from != Some(&repository)
                    || inner
                        .manifests
                        .iter()
                        .all(|child| child.digest != entry.digest)
            });
            Ok(())
        })
    }

    /// Takes a tag away; the manifest stays, for its digest. Says whether there was one.
    pub(crate) fn delete_tag(&self, name: &Reference) -> Result<bool> {
        let full = name.to_string();
        self.change_index(|index| {
            Ok(keeping_manifests(index, |index| {
                let fetched = remove_fetched(index, name);
                remove_name(index, &full, true).is_some() || fetched
            }))
        })
    }

    /// Takes a manifest with all its tags out of a repository. Says whether there was one.
    pub(crate) fn delete_manifest(&self, repository: &Reference, digest: &Digest) -> Result<bool> {
        let name = repository.name();
        self.change_index(|index| {
            let before = index.manifests.len();
            index.manifests.retain(|entry| {
                entry.digest != *digest
                    || pinned_name_of(entry).is_none_or(|pinned| pinned.name() != name)
            });
            Ok(index.manifests.len() < before)
        })
    }
}

/// Changes names in a way that takes no manifest out of any repository: only who deletes one does that.
fn keeping_manifests<T>(index: &mut Index, change: impl FnOnce(&mut Index) -> T) -> T {
    let all = |index: &Index| -> BTreeMap<(String, Digest), Descriptor> {
        let entries = index.manifests.iter();
        let own = |entry: &Descriptor| Some((pinned_name_of(entry)?.name(), entry.digest.clone()));
        entries
            .filter_map(|entry| Some((own(entry)?, entry.clone())))
            .collect()
    };
    let before = all(index);
    let outcome = change(index);
    let after = all(index);
    let lost = before
        .into_iter()
        .filter(|(own, _)| !after.contains_key(own));
    for ((repository, _), target) in lost {
        add_pinned(index, &repository, &target);
    }
    outcome
}
