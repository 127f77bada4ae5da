# What the scripts share: how they speak, and which Rust the workspace asks for. Sourced, from the root of the tree.
# shellcheck shell=bash

say() { printf '==> %s\n' "$*"; }

stop() {
  printf 'stopped: %s\n' "$*" >&2
  exit 1
}

rust_wanted="$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)"
# Used by the scripts that source this.
export rust_wanted

# A shell without a login may lack what rustup puts into PATH.
if ! command -v cargo >/dev/null 2>&1 && [ -d "$HOME/.cargo/bin" ]; then
  PATH="$HOME/.cargo/bin:$PATH"
fi
