//! Tests that need more than a shell: another kernel, mounts, namespaces. Root only; what the machine
//! lacks is said and listed.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod archives;
mod cgroup2;
mod chroot;
mod debian;
mod interrupted;
mod logins;
mod reflinks;
mod registry;
