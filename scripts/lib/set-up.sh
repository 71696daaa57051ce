# SPDX-License-Identifier: GPL-3.0-or-later
# What the scripts share: where the project is, system packages, the virtual environment.
# Sourced by them with `set -eu` in force; works in POSIX sh. A second run does almost nothing.

cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

# need_commands COMMAND:PACKAGE...  Install the Debian packages of commands that are missing.
need_commands() {
    missing=
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    [ -z "$missing" ] || install_packages $missing
}

install_packages() {
    line="apt-get install --no-install-recommends $*"
    command -v apt-get >/dev/null || die "These Debian packages, or their like, are needed: $*"
    [ "$(id -u)" = 0 ] || die "System packages are missing. Run: sudo $line"
    say "Installing $* ..."
    export DEBIAN_FRONTEND=noninteractive
    # One source that does not answer is no reason to stop: apt knows whether the rest suffices.
    apt-get update -qq >/dev/null 2>&1 || say "apt-get update had errors; going on."
    output=$($line -y -qq 2>&1 </dev/null) || die "$output" "Installing failed. Try: $line"
}

# need_environment  The virtual environment in .venv, with everything pinned.
need_environment() {
    need_commands python3:python3
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "Python 3.11 or later is needed; python3 here is $(python3 --version 2>&1)."
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
    stamp=$(cat requirements/dev.txt pyproject.toml | cksum)
    if [ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ] || ! .venv/bin/python -c ''; then
        say "Setting up .venv ..."
        .venv/bin/python -m pip --version >/dev/null 2>&1 || python3 -m venv --clear .venv
        export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
        .venv/bin/python -m pip install -qq --require-hashes -r requirements/dev.txt
        .venv/bin/python -m pip install -qq --no-deps --no-build-isolation -e .
        printf '%s\n' "$stamp" >.venv/stamp
    fi
}
