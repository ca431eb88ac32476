# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_umoci_global_optspecs
    string join \n quiet verbose log= v/version h/help
end

function __fish_umoci_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_umoci_global_optspecs) -- $cmd 2>/dev/null
    or return 0
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_umoci_using_subcommand
    set -l cmd (__fish_umoci_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c umoci -n "__fish_umoci_needs_command" -l log -d 'set the log level (debug, info, warn, error, fatal) (default: "warn")' -r -f -a "debug\t''
info\t''
warn\t''
warning\t''
error\t''
fatal\t''"
complete -c umoci -n "__fish_umoci_needs_command" -l quiet -d 'do not show how far long work has come, nor what gc has freed'
complete -c umoci -n "__fish_umoci_needs_command" -l verbose -d 'alias for --log=info'
complete -c umoci -n "__fish_umoci_needs_command" -s v -l version -d 'print the version'
complete -c umoci -n "__fish_umoci_needs_command" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "raw" -d 'advanced image tooling'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "config" -d 'change the configuration of an image'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "unpack" -d 'unpack an image into a runtime bundle'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "repack" -d 'make an image of a bundle and what was changed in it'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "new" -d 'create a blank image'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "tag" -d 'create a new tag for an image'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "remove" -d 'remove a tag from a layout'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "rm" -d 'remove a tag from a layout'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "stat" -d 'show the manifest, configuration and history of an image'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "insert" -d 'insert content into an image'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "index" -d 'make and change images for several platforms'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "convert" -d 'convert an image to the format of OCI or Docker'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "gc" -d 'delete the blobs of a layout that no image needs'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "init" -d 'create a new, empty image layout'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "list" -d 'list the tags in a layout'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "ls" -d 'list the tags in a layout'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "validate" -d 'check a layout, or an image in it, against the specification'
complete -c umoci -n "__fish_umoci_needs_command" -f -a "help" -d 'show a list of commands, or the help of one command'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and not __fish_seen_subcommand_from add-layer runtime-config config unpack help" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and not __fish_seen_subcommand_from add-layer runtime-config config unpack help" -f -a "add-layer" -d 'add a layer archive verbatim to an image'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and not __fish_seen_subcommand_from add-layer runtime-config config unpack help" -f -a "runtime-config" -d 'generate the runtime configuration of an image'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and not __fish_seen_subcommand_from add-layer runtime-config config unpack help" -f -a "config" -d 'generate the runtime configuration of an image'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and not __fish_seen_subcommand_from add-layer runtime-config config unpack help" -f -a "unpack" -d 'unpack an image into a root filesystem'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and not __fish_seen_subcommand_from add-layer runtime-config config unpack help" -f -a "help" -d 'show a list of commands, or the help of one command'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l media-type -d 'media type of the layer; the file is stored as it is unless that is one of tar archives' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l layer.annotation -d 'annotation of the new layer\'s descriptor (NAME=VALUE); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l annotation -d 'set an annotation ([OF:]NAME=VALUE); OF is manifest (if left out), index, descriptor or layer[N]; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l remove-annotation -d 'remove an annotation ([OF:]NAME), if it is there, before any is set; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l compress -d 'compression of the new layer: auto (as the image\'s other layers), gzip, zstd or none' -r -f -a "auto\t''
gzip\t''
zstd\t''
none\t''"
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l tag -d 'store the result under this tag, instead of that of --image' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l history.author -d 'author of the history entry' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l history.comment -d 'comment of the history entry' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l history.created -d 'time of the history entry (RFC 3339)' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l history.created_by -d 'command that the history entry names as its cause' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -l no-history -d 'do not add a history entry'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from add-layer" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l rootfs -d 'root filesystem to look up users and groups in' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l uid-map -d 'map a range of user ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l gid-map -d 'map a range of group ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -l rootless -d 'work without privileges: own every file, remember its owner in an attribute'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from runtime-config" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from config" -l rootfs -d 'root filesystem to look up users and groups in' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from config" -l uid-map -d 'map a range of user ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from config" -l gid-map -d 'map a range of group ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from config" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from config" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from config" -l rootless -d 'work without privileges: own every file, remember its owner in an attribute'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from config" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l uid-map -d 'map a range of user ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l gid-map -d 'map a range of group ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l max-unpacked-size -d 'refuse more bytes of decompressed layers (K, M, G, T; none; default: 64G or more, see the manual)' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l max-entries -d 'refuse more files, directories, links and whiteouts (default: 20000000)' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l max-path-depth -d 'refuse paths of more components (default: 1024)' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l keep-dirlinks -d 'keep a symlink to a directory where a layer has a directory'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l rootless -d 'work without privileges: own every file, remember its owner in an attribute'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l strict -d 'fail where something must be recorded or made up, instead of being set or read as it is'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -l no-space-check -d 'do not look beforehand whether there is as much space as the image says it needs'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from unpack" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "add-layer" -d 'add a layer archive verbatim to an image'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "runtime-config" -d 'generate the runtime configuration of an image'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "config" -d 'generate the runtime configuration of an image'
complete -c umoci -n "__fish_umoci_using_subcommand raw; and __fish_seen_subcommand_from help" -f -a "unpack" -d 'unpack an image into a root filesystem'
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.user -d 'user that the command runs as' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.exposedports -d 'add a port that the command serves' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.env -d 'set a variable of the environment (NAME=VALUE)' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.entrypoint -d 'first words of the command; all of them together replace the present ones' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.cmd -d 'further words of the command; all of them together replace the present ones' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.volume -d 'add a directory whose contents are data and no part of the image' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.label -d 'set a label (NAME=VALUE)' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.workingdir -d 'directory that the command starts in' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l config.stopsignal -d 'signal that stops the command' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l created -d 'time when the image was made (RFC 3339)' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l author -d 'who made the image' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l platform.os -l os -d 'operating system of the image' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l platform.arch -l architecture -d 'processor architecture of the image' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l platform.variant -d 'variant of the processor architecture' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l platform.os.version -l os-version -d 'version of the operating system' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l platform.os.feature -l os-feature -d 'add a feature that the operating system must have' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l remove-env -d 'remove a variable of the environment, if it is there' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l remove-label -d 'remove a label, if it is there' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l manifest.annotation -d 'set an annotation of the manifest (NAME=VALUE)' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l clear -d 'clear one of config.labels, manifest.annotations, config.exposedports, config.env, config.volume, config.cmd, config.entrypoint, platform.os.features' -r -f -a "config.labels\t''
manifest.annotations\t''
config.exposedports\t''
config.env\t''
config.volume\t''
config.cmd\t''
config.entrypoint\t''
platform.os.features\t''"
complete -c umoci -n "__fish_umoci_using_subcommand config" -l annotation -d 'set an annotation ([OF:]NAME=VALUE); OF is manifest (if left out), index, descriptor or layer[N]; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l remove-annotation -d 'remove an annotation ([OF:]NAME), if it is there, before any is set; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l tag -d 'store the result under this tag, instead of that of --image' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l history.author -d 'author of the history entry' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l history.comment -d 'comment of the history entry' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l history.created -d 'time of the history entry (RFC 3339)' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l history.created_by -d 'command that the history entry names as its cause' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand config" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand config" -l no-history -d 'do not add a history entry'
complete -c umoci -n "__fish_umoci_using_subcommand config" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l uid-map -d 'map a range of user ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l gid-map -d 'map a range of group ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l max-unpacked-size -d 'refuse more bytes of decompressed layers (K, M, G, T; none; default: 64G or more, see the manual)' -r
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l max-entries -d 'refuse more files, directories, links and whiteouts (default: 20000000)' -r
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l max-path-depth -d 'refuse paths of more components (default: 1024)' -r
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l keep-dirlinks -d 'keep a symlink to a directory where a layer has a directory'
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l rootless -d 'work without privileges: own every file, remember its owner in an attribute'
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l strict -d 'fail where something must be recorded or made up, instead of being set or read as it is'
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -l no-space-check -d 'do not look beforehand whether there is as much space as the image says it needs'
complete -c umoci -n "__fish_umoci_using_subcommand unpack" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l mask-path -d 'ignore changes to this path and below it; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l annotation -d 'set an annotation ([OF:]NAME=VALUE); OF is manifest (if left out), index, descriptor or layer[N]; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l remove-annotation -d 'remove an annotation ([OF:]NAME), if it is there, before any is set; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l compress -d 'compression of the new layer: auto (as the image\'s other layers), gzip, zstd or none' -r -f -a "auto\t''
gzip\t''
zstd\t''
none\t''"
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l history.author -d 'author of the history entry' -r
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l history.comment -d 'comment of the history entry' -r
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l history.created -d 'time of the history entry (RFC 3339)' -r
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l history.created_by -d 'command that the history entry names as its cause' -r
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l image -d 'tag that is made, replaced or removed in a layout, as \'path[:tag]\'; "latest" without ":tag"' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l platform -d 'platform that the bundle must be for, as \'os/arch[/variant]\'' -r
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l no-mask-volumes -d 'do not ignore changes below the image\'s volumes'
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l refresh-bundle -d 'let the bundle be one of the new image, so that it can be repacked again'
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l rehash -d 'read every file again, whatever its size and times say'
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l strict -d 'fail where something must be recorded or made up, instead of being set or read as it is'
complete -c umoci -n "__fish_umoci_using_subcommand repack" -l no-history -d 'do not add a history entry'
complete -c umoci -n "__fish_umoci_using_subcommand repack" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand new" -l image -d 'tag that is made, replaced or removed in a layout, as \'path[:tag]\'; "latest" without ":tag"' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand new" -l platform -d 'platform that the image is for, as \'os/arch[/variant]\'; that of this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand new" -l digest-algorithm -d 'algorithm of the image\'s digests, as \'sha256\', \'sha384\' or \'sha512\'' -r -f -a "sha256\t''
sha384\t''
sha512\t''"
complete -c umoci -n "__fish_umoci_using_subcommand new" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand tag" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand tag" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand tag" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand remove" -l image -d 'tag that is made, replaced or removed in a layout, as \'path[:tag]\'; "latest" without ":tag"' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand remove" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand rm" -l image -d 'tag that is made, replaced or removed in a layout, as \'path[:tag]\'; "latest" without ":tag"' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand rm" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand stat" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand stat" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand stat" -l json -d 'print JSON'
complete -c umoci -n "__fish_umoci_using_subcommand stat" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l annotation -d 'set an annotation ([OF:]NAME=VALUE); OF is manifest (if left out), index, descriptor or layer[N]; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l remove-annotation -d 'remove an annotation ([OF:]NAME), if it is there, before any is set; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l compress -d 'compression of the new layer: auto (as the image\'s other layers), gzip, zstd or none' -r -f -a "auto\t''
gzip\t''
zstd\t''
none\t''"
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l tag -d 'store the result under this tag, instead of that of --image' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l history.author -d 'author of the history entry' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l history.comment -d 'comment of the history entry' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l history.created -d 'time of the history entry (RFC 3339)' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l history.created_by -d 'command that the history entry names as its cause' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l uid-map -d 'map a range of user ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l gid-map -d 'map a range of group ids (CONTAINER:HOST[:SIZE]); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l platform -d 'which image of a tag that has several, as \'os/arch[/variant]\'; that for this machine if not given' -r
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l whiteout -d 'remove the target instead of inserting something'
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l opaque -d 'hide what the image has in the target directory'
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l no-history -d 'do not add a history entry'
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l rootless -d 'work without privileges: own every file, remember its owner in an attribute'
complete -c umoci -n "__fish_umoci_using_subcommand insert" -l strict -d 'fail where something must be recorded or made up, instead of being set or read as it is'
complete -c umoci -n "__fish_umoci_using_subcommand insert" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -f -a "create" -d 'make an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -f -a "add" -d 'add images to an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -f -a "remove" -d 'remove images from an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -f -a "rm" -d 'remove images from an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -f -a "list" -d 'list the images of an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -f -a "ls" -d 'list the images of an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -f -a "annotate" -d 'change annotations of an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and not __fish_seen_subcommand_from create add remove rm list ls annotate help" -f -a "help" -d 'show a list of commands, or the help of one command'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from create" -l annotation -d 'set an annotation of the index ([index:]NAME=VALUE); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from create" -l image -d 'tag that is made, replaced or removed in a layout, as \'path[:tag]\'; "latest" without ":tag"' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from create" -l flatten -d 'put in the place of nested indexes what is in them'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from add" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from add" -l flatten -d 'put in the place of nested indexes what is in them'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from remove" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from remove" -l stale -d 'remove the attestations about images that are neither in the index nor in one within'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from rm" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from rm" -l stale -d 'remove the attestations about images that are neither in the index nor in one within'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from list" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from list" -l json -d 'print JSON'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from ls" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from ls" -l json -d 'print JSON'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from annotate" -l entry -d 'platform (\'os/arch[/variant]\') or digest of an entry, to annotate that instead of the index' -r
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from annotate" -l annotation -d 'set an annotation ([OF:]NAME=VALUE); OF is index, or descriptor for what --entry names (meant if left out beside --entry); may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from annotate" -l remove-annotation -l remove -d 'remove an annotation ([OF:]NAME), if it is there, before any is set; may be repeated' -r
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from annotate" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from annotate" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "create" -d 'make an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "add" -d 'add images to an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "remove" -d 'remove images from an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "rm" -d 'remove images from an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "list" -d 'list the images of an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "ls" -d 'list the images of an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "annotate" -d 'change annotations of an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand convert" -l format -d 'wanted format: oci or docker (version 2, schema 2)' -r -f -a "oci\t''
docker\t''"
complete -c umoci -n "__fish_umoci_using_subcommand convert" -l max-unpacked-size -d 'refuse more bytes of decompressed layers (K, M, G, T; none; default: 64G or more, see the manual)' -r
complete -c umoci -n "__fish_umoci_using_subcommand convert" -l tag -d 'store the result under this tag, instead of that of --image' -r
complete -c umoci -n "__fish_umoci_using_subcommand convert" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand convert" -l lossy -d 'leave out what the format has no place for'
complete -c umoci -n "__fish_umoci_using_subcommand convert" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand gc" -l keep-younger-than -d 'keep what was stored less than this time ago, such as 90m, 12h or 3d' -r
complete -c umoci -n "__fish_umoci_using_subcommand gc" -l layout -d 'path to an image layout' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand gc" -l dry-run -d 'delete nothing; print what would be deleted'
complete -c umoci -n "__fish_umoci_using_subcommand gc" -l untagged -d 'drop entries of the index that have no name and that nothing refers to'
complete -c umoci -n "__fish_umoci_using_subcommand gc" -l json -d 'print what was deleted as JSON'
complete -c umoci -n "__fish_umoci_using_subcommand gc" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand init" -l layout -d 'path to an image layout' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand init" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand list" -l layout -d 'path to an image layout' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand list" -s l -l long -d 'show digest, platforms, size and age too'
complete -c umoci -n "__fish_umoci_using_subcommand list" -l json -d 'print JSON'
complete -c umoci -n "__fish_umoci_using_subcommand list" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand ls" -l layout -d 'path to an image layout' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand ls" -s l -l long -d 'show digest, platforms, size and age too'
complete -c umoci -n "__fish_umoci_using_subcommand ls" -l json -d 'print JSON'
complete -c umoci -n "__fish_umoci_using_subcommand ls" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand validate" -l image -d 'image in a layout, as \'path[:tag][@digest]\'; without both it is "latest", or the only one' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand validate" -l platform -d 'check only the image for this platform, as \'os/arch[/variant]\', of a tag that has several' -r
complete -c umoci -n "__fish_umoci_using_subcommand validate" -l layout -d 'path to an image layout' -r -f -a "(__fish_complete_directories)"
complete -c umoci -n "__fish_umoci_using_subcommand validate" -l max-unpacked-size -d 'refuse more bytes of decompressed layers (K, M, G, T; none; default: 64G or more, see the manual)' -r
complete -c umoci -n "__fish_umoci_using_subcommand validate" -l max-entries -d 'refuse more files, directories, links and whiteouts (default: 20000000)' -r
complete -c umoci -n "__fish_umoci_using_subcommand validate" -l max-path-depth -d 'refuse paths of more components (default: 1024)' -r
complete -c umoci -n "__fish_umoci_using_subcommand validate" -l json -d 'print JSON'
complete -c umoci -n "__fish_umoci_using_subcommand validate" -s h -l help -d 'Print help'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "raw" -d 'advanced image tooling'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "config" -d 'change the configuration of an image'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "unpack" -d 'unpack an image into a runtime bundle'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "repack" -d 'make an image of a bundle and what was changed in it'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "new" -d 'create a blank image'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "tag" -d 'create a new tag for an image'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "remove" -d 'remove a tag from a layout'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "rm" -d 'remove a tag from a layout'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "stat" -d 'show the manifest, configuration and history of an image'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "insert" -d 'insert content into an image'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "index" -d 'make and change images for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "convert" -d 'convert an image to the format of OCI or Docker'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "gc" -d 'delete the blobs of a layout that no image needs'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "init" -d 'create a new, empty image layout'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "list" -d 'list the tags in a layout'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "ls" -d 'list the tags in a layout'
complete -c umoci -n "__fish_umoci_using_subcommand help; and not __fish_seen_subcommand_from raw config unpack repack new tag remove rm stat insert index convert gc init list ls validate" -f -a "validate" -d 'check a layout, or an image in it, against the specification'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from raw" -f -a "add-layer" -d 'add a layer archive verbatim to an image'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from raw" -f -a "runtime-config" -d 'generate the runtime configuration of an image'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from raw" -f -a "config" -d 'generate the runtime configuration of an image'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from raw" -f -a "unpack" -d 'unpack an image into a root filesystem'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "create" -d 'make an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "add" -d 'add images to an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "remove" -d 'remove images from an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "rm" -d 'remove images from an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "list" -d 'list the images of an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "ls" -d 'list the images of an image for several platforms'
complete -c umoci -n "__fish_umoci_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "annotate" -d 'change annotations of an image for several platforms'
