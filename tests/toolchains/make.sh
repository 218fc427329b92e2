#!/bin/bash
# Compiles the programs of this folder with the real toolchains: Rust for WASI preview 1, 2 and 3, Go for
# preview 1.   make.sh TARGET   leaves TARGET/{rust-p1,rust-p2,p2-command,p3-command,p3-service,go}.wasm
#
# The Rust toolchain here has no WASI standard library, so it is built from Debian's rust-src of the same
# version, against Debian's wasi-libc; Go comes from Debian too. Packages are unpacked, never installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$(realpath -m "${1:?usage: make.sh TARGET}")
mkdir -p "$target"
cd "$target"
made=1
for name in rust-p1 rust-p2 p2-command p3-command p3-service go; do [ -s $name.wasm ] || made=; done
[ -n "$made" ] && exit 0

# An apt of its own: other suites, nothing of the machine's state.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    awk '/^URIs:/ {print $2} /^deb / {for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) print $i}' | grep -v security | head -1 || true)
mkdir -p apt/lists/partial apt/cache/archives/partial
keys=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in trixie trixie-backports sid; do echo "deb [signed-by=$keys] $mirror $suite main"; done > apt/sources.list
apt() {
    apt-get -qq -o Dir::Etc::SourceList="$target/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$target/apt/lists" -o Dir::Cache="$target/apt/cache" -o APT::Sandbox::User=root "$@"
}
version=$(rustc --version | cut -d' ' -f2)
apt update
unpack() { # package, folder
    [ -d "$2" ] && return
    apt download "$1"
    mkdir -p "$2.partial"
    dpkg -x "${1%%[=/]*}"_*.deb "$2.partial"
    rm -f "${1%%[=/]*}"_*.deb
    mv "$2.partial" "$2"
}
exact=$(apt-cache -o Dir::Etc::SourceList="$target/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$target/apt/lists" -o Dir::Cache="$target/apt/cache" madison rust-src | awk -v v="$version+" '$3 ~ "^" v {print $3; exit}')
if [ -n "$exact" ]; then
    unpack "rust-src=$exact" rust-src
    unpack wasi-libc/sid wasi-libc
    export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$target/rust-src/usr/src/rustc-$version/library"
    lib=$target/wasi-libc/usr/lib
    # The start files are given to the last link alone, so that all programs share one standard library.
    rust() { # preview, folder, start file, what to build
        folder=$lib/wasm32-wasip$1
        [ -d "$folder" ] || folder=$lib/wasm32-wasi
        variable=CARGO_TARGET_WASM32_WASIP${1}_RUSTFLAGS
        export "$variable=-Clink-self-contained=no -Lnative=$folder"
        (cd "$here/$2" && cargo rustc --quiet --release -Zbuild-std=std,panic_abort --target "wasm32-wasip$1" \
            --target-dir "$target/build" $4 -- "-Clink-arg=$folder/$3")
    }
    for preview in 1 2; do
        rust $preview rust crt1-command.o "--bin guest"
        cp "build/wasm32-wasip$preview/release/guest.wasm" "rust-p$preview.wasm"
    done
    rust 2 p2 crt1-command.o "--bin command"
    cp build/wasm32-wasip2/release/command.wasm p2-command.wasm
    # Rust has no target of its own for preview 3 yet: the crate's interfaces beside a library for preview 2.
    rust 2 p3 crt1-reactor.o --lib
    cp build/wasm32-wasip2/release/p3.wasm p3-service.wasm
    rust 2 p3 crt1-reactor.o "--example command"
    cp build/wasm32-wasip2/release/examples/command.wasm p3-command.wasm
else
    echo "make.sh: Debian has no rust-src $version: the Rust programs are left out" >&2
fi
unpack golang-1.24-go/trixie go-bin
unpack golang-1.24-src/trixie go-src
if [ ! -d goroot ]; then
    # Debian splits Go's root in two, joined by links that point at installed paths.
    rm -rf goroot.partial && mkdir goroot.partial
    cp -r go-src/usr/share/go-1.24/. go-bin/usr/share/go-1.24/. goroot.partial/
    (cd go-bin/usr/lib/go-1.24 && find . -type f -exec cp --parents -t "$target/goroot.partial" {} +)
    mv goroot.partial goroot
fi
(cd "$here/go" && GOROOT=$target/goroot GOCACHE=$target/gocache GOPATH=$target/gopath GOTOOLCHAIN=local GOFLAGS=-mod=mod \
    GOOS=wasip1 GOARCH=wasm "$target/goroot/bin/go" build -o "$target/go.wasm" .)
