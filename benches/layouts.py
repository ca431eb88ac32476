# SPDX-License-Identifier: Apache-2.0
"""Image layouts of given layers."""

import hashlib
import json
import os
import subprocess

COMPRESSORS = {"gzip": ["pigz", "-6", "-n", "-c"], "zstd": ["zstd", "-q", "-T2", "-c"], "": ["cat"]}
SUFFIX = {"gzip": "+gzip", "zstd": "+zstd", "": ""}
REF = "org.opencontainers.image.ref.name"


def sha256(path):
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def put(layout, data):
    """Adds a small blob and gives what is said of it in a descriptor."""
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def compressed(tar, compression):
    """The path of a tar's compressed form, beside it."""
    return tar.with_name(tar.name + {"gzip": ".gz", "zstd": ".zst", "": ".plain"}[compression])


def compress(tar, compression):
    out = compressed(tar, compression)
    with open(out, "wb") as file:
        subprocess.run([*COMPRESSORS[compression], str(tar)], stdout=file, check=True)
    return out


def empty(layout):
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def layer(layout, tar, compression):
    """Adds a layer and gives its diff id and descriptor. The compressed file stays where it is for other programs."""
    blob = compress(tar, compression)
    digest = sha256(blob)
    os.link(blob, layout / "blobs/sha256" / digest.removeprefix("sha256:"))
    media_type = "application/vnd.oci.image.layer.v1.tar" + SUFFIX[compression]
    return sha256(tar), {"mediaType": media_type, "digest": digest, "size": blob.stat().st_size}


def image(layout, layers, note=""):
    """Adds an image of layers as `layer` gives them, and gives its descriptor."""
    diff_ids = [diff_id for diff_id, _ in layers]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    config = {"architecture": "amd64", "os": "linux", "config": {"Labels": {"note": note}}, "rootfs": rootfs}
    config = put(layout, json.dumps(config).encode())
    config["mediaType"] = "application/vnd.oci.image.config.v1+json"
    manifest = {"schemaVersion": 2, "config": config, "layers": [descriptor for _, descriptor in layers]}
    descriptor = put(layout, json.dumps(manifest).encode())
    return {"mediaType": "application/vnd.oci.image.manifest.v1+json", **descriptor}


def name(layout, images):
    """Writes the index: images by tag."""
    manifests = [{**descriptor, "annotations": {REF: tag}} for tag, descriptor in images.items()]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))


def make(bench, what, tars, compression="gzip"):
    """A layout with the tag `image` for each umoci. They share the blobs, which nobody writes to."""
    first, *others = [bench.path(what, tool.replace(" ", "-")) for tool in bench.umocis]
    empty(first)
    name(first, {"image": image(first, [layer(first, tar, compression) for tar in tars])})
    for other in others:
        subprocess.run(["cp", "-al", str(first), str(other)], check=True)
        # What is replaced in place must not be shared.
        (other / "index.json").unlink()
        (other / "index.json").write_bytes((first / "index.json").read_bytes())
    return dict(zip(bench.umocis, [first, *others]))


def top_layer_size(layout, tag):
    """The size of the last layer of a tag."""
    index = json.loads((layout / "index.json").read_text())
    found = next(entry for entry in index["manifests"] if entry.get("annotations", {}).get(REF) == tag)
    manifest = json.loads((layout / "blobs" / found["digest"].replace(":", "/")).read_text())
    return manifest["layers"][-1]["size"]


def of_many_blobs(layout, count):
    """A layout of `count` blobs that are in use, ten for each tag: a manifest, a configuration, and layers of 16 KiB."""
    empty(layout)
    images = {}
    for tag in range(count // 10):
        parts = []
        for part in range(8):
            data = f"{tag} {part}\n".encode() * 1400
            media_type = "application/vnd.oci.image.layer.v1.tar"
            descriptor = {"mediaType": media_type, **put(layout, data)}
            parts.append((descriptor["digest"], descriptor))
        images[f"tag{tag}"] = image(layout, parts, note=str(tag))
    name(layout, images)
    return layout
