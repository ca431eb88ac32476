#!/bin/sh
# Installs what the tests, the demo and the benchmarks run beside this program, where that is
# possible without asking (root, with apt-get and cargo). Otherwise says what is missing and what is skipped for it.
set -u

# command (or file), Debian package, what is skipped without it
peers='
gcc        gcc             nothing builds (zstd is C)
make       make            nothing is checked
umoci      umoci           comparisons with the other implementation
skopeo     skopeo          copying to and from other image formats
buildah    buildah         validating what it makes
runc       runc            running an image
buildah    buildah         images for several platforms as others make them
mmdebstrap mmdebstrap      tests and benchmarks on a real root filesystem
bsdtar     libarchive-tools reading layers with libarchive
pigz       pigz            benchmarks of compression
zstd       zstd            reading zstd layers with its own tool
setfattr   attr            extended attributes
setcap     libcap2-bin     file capabilities
setfacl    acl             access control lists
strace     strace          killing and failing system calls
jq         jq              looking into JSON from scripts
newuidmap  uidmap          runs as an ordinary user
crun       crun            running an image as an ordinary user with another runtime
mkfs.ext4  e2fsprogs       filesystems with coarse times
bindfs     bindfs          filesystems that refuse owners
fuse-overlayfs fuse-overlayfs bundles in stacked directories
/usr/lib/python3/dist-packages/fusepy.py python3-fusepy filesystems that refuse what tests tell them to
linux.uml  user-mode-linux filesystems that take upper and lower case for the same
mkfs.xfs   xfsprogs        such a filesystem
jfs_mkfs   jfsutils        another one
man        man-db          showing the manual pages
mandoc     mandoc          a second opinion on the manual pages
zsh        zsh             its completions
fish       fish            its completions
python3    python3         benchmarks
time       time            benchmarks
'

missing() {
    echo "$peers" | while read -r command package skipped; do
        [ -n "$command" ] || continue
        [ -e "$command" ] || command -v "$command" >/dev/null 2>&1 || echo "$command $package $skipped"
    done
}

PATH=$PATH:/usr/sbin:/sbin
list=$(missing)
if [ -n "$list" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    packages=$(echo "$list" | while read -r _ package _; do echo "$package"; done)
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq -o Acquire::Retries=3
    # One by one, so that a package that this release does not have costs only itself.
    for package in $packages; do
        apt-get install -qq -y -o Acquire::Retries=3 --no-install-recommends "$package" >/dev/null 2>&1
    done
    list=$(missing)
fi
if [ -n "$list" ]; then
    echo "$list" | while read -r command package skipped; do
        echo "missing: $command (Debian package $package); skipped: $skipped"
    done
fi
command -v cargo >/dev/null 2>&1 || { echo "missing: cargo (see https://rustup.rs)"; exit 0; }

# It looks at the licences of the dependencies and at advisories. Without optimization it builds in one or
# two minutes instead of ten, and takes a second to run all the same.
deny=0.20.2
if ! cargo deny --version >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then cargo install -q --locked --debug --version "$deny" cargo-deny; fi
    cargo deny --version >/dev/null 2>&1 ||
        echo "missing: cargo-deny (cargo install --locked cargo-deny); skipped: licences and advisories of dependencies"
fi
