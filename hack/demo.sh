#!/usr/bin/env bash
# Walks through the main job of this program, printing each command before it runs: an image from
# nothing whose payload is the program itself, unpacked, changed, repacked, looked at and run.
# Usage: hack/demo.sh PROGRAM (`make demo` builds it first). Everything happens in ./demo, made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:?usage: hack/demo.sh PROGRAM}")
PATH=$PATH:/usr/sbin:/sbin

say() { printf '\n# %s\n' "$*"; }
# Prints a command as a shell would read it.
show() {
    local word
    printf '$'
    for word in "$@"; do
        [[ $word =~ ^[[:alnum:]_./:=,@+-]+$ ]] || word=${word@Q}
        printf ' %s' "$word"
    done
    printf '\n'
}
run() {
    show "$@"
    "$@"
}
# For lines that a shell has to read: pipes, redirections.
run_line() {
    printf '$ %s\n' "$1"
    bash -c "$1"
}

rm -rf demo
mkdir demo
cp "$program" demo/program
umoci() {
    show umoci "$@"
    demo/program "$@"
}

say "Here umoci is demo/program, a copy of $program"
say "A layout, and in it an image of nothing"
umoci init --layout demo/layout
umoci new --image demo/layout:empty

say "Its payload: this very program, which needs nothing else"
umoci insert --image demo/layout:empty --tag first demo/program /bin/umoci
umoci config --image demo/layout:first --config.entrypoint /bin/umoci --config.cmd=--version

if [ "$(id -u)" = 0 ]; then
    say "Unpack it, change its root filesystem, and make a layer of what changed"
    umoci unpack --image demo/layout:first demo/bundle
    run ls demo/bundle demo/bundle/rootfs
    run_line 'mkdir -p demo/bundle/rootfs/etc && echo "Made by make demo." >demo/bundle/rootfs/etc/motd'
    umoci repack --image demo/layout:second demo/bundle
else
    say "Skipped, since it needs root: umoci unpack and umoci repack (sudo hack/demo.sh $program)"
    umoci insert --image demo/layout:first --tag second README.md /etc/motd
fi

say "Edit how it runs"
umoci config --image demo/layout:second --config.env GREETING=hello --config.label demo=yes --author "make demo"

say "Look at it"
umoci stat --image demo/layout:second
umoci ls --layout demo/layout

say "Forget the older images and collect what only they used"
umoci rm --image demo/layout:empty
umoci rm --image demo/layout:first
run_line 'ls demo/layout/blobs/sha256 | wc -l'
umoci gc --layout demo/layout
run_line 'ls demo/layout/blobs/sha256 | wc -l'

# Whether runc can run this program at all on this machine, tried without any image.
runc_works() {
    mkdir -p demo/probe/rootfs
    cp "$program" demo/probe/rootfs/program
    (
        cd demo/probe
        runc spec
        sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"\/program", "--version"/' config.json
        runc run "umoci-demo-probe-$$"
    ) >demo/probe/log 2>&1
}

if [ "$(id -u)" != 0 ]; then
    say "Skipped, since it needs root: running it with runc"
elif ! command -v runc >/dev/null; then
    say "Skipped: running it, since there is no runc (Debian: apt-get install runc)"
else
    say "Run it"
    umoci unpack --image demo/layout:second demo/run
    if runc_works; then
        run sed -i 's/"terminal": true/"terminal": false/' demo/run/config.json
        run_line "runc run --bundle demo/run umoci-demo-$$"
    else
        say "Skipped: runc cannot run this program on this machine ($(tail -n 1 demo/probe/log))"
    fi
    rm -rf demo/probe
fi

say "Done. It is all in ./demo; go on by hand, for example:"
cat <<'END'
umoci() { demo/program "$@"; }
umoci stat --json --image demo/layout:second
skopeo copy oci:demo/layout:second docker-archive:demo/second.tar:umoci-demo:latest
END
