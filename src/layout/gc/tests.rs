// SPDX-License-Identifier: Apache-2.0
//! What is kept, what goes, and what stops it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::ErrorKind;
use crate::layout::tests::{file_of, name, put_image, put_index, scratch};
use crate::oci::json::to_bytes;
use crate::oci::{Algorithm, Descriptor, Manifest, media_type};

fn collect(layout: &Layout) -> Result<GcReport> {
    collect_with(layout, &GcOptions::default())
}

fn collect_with(layout: &Layout, options: &GcOptions<'_>) -> Result<GcReport> {
    // What this process has let go of a child may still hold that another test is about to start.
    let layout = layout.clone().with_lock_limit(Duration::from_millis(500));
    collect_garbage(&layout, options)
}

fn removed(report: &GcReport) -> Vec<Digest> {
    report.removed.iter().map(|blob| blob.digest.clone()).collect()
}

/// Adds an entry without a name to the index.
fn push(writer: &LayoutWriter, entry: &Descriptor) {
    let add = |index: &mut Index| {
        index.manifests.push(entry.clone());
        Ok(())
    };
    writer.update_index(add).unwrap();
}

/// Stores a manifest that is about another one.
fn put_referrer(writer: &LayoutWriter, subject: &Descriptor, text: &str) -> Descriptor {
    let mut manifest = Manifest::new(writer.put(b"{}", media_type::EMPTY_JSON).unwrap());
    manifest.artifact_type = "application/vnd.example.signature".into();
    manifest.layers.push(writer.put(text.as_bytes(), "text/plain").unwrap());
    manifest.subject = Some(subject.clone());
    writer.put_document(&manifest).unwrap()
}

/// How many files there are in `blobs/sha256`.
fn count(layout: &Layout) -> usize {
    fs::read_dir(layout.path().join("blobs/sha256")).unwrap().count()
}

#[test]
fn keeps_all_that_can_be_reached() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let index = put_index(&writer, vec![put_image(&writer, b"nested")]);
    let untagged = put_image(&writer, b"untagged");
    writer.tag(&name("t"), put_index(&writer, vec![index])).unwrap();
    push(&writer, &untagged);
    let kept = count(&layout);
    let garbage = writer.put(b"garbage", "m").unwrap();
    put_image(&writer, b"garbage");
    drop(writer);
    let report = collect(&layout).unwrap();
    assert_eq!((report.removed.len(), count(&layout)), (3, kept));
    assert!(removed(&report).contains(&garbage.digest) && report.bytes() > 7);
    assert_eq!(collect(&layout).unwrap(), GcReport::default());
}

#[test]
fn keeps_what_is_layer_and_config_at_once_and_missing_layers_do_not_matter() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let config = writer.put(b"{}", media_type::IMAGE_CONFIG).unwrap();
    let mut manifest = Manifest::new(config.clone());
    manifest.layers.push(Descriptor::new(media_type::IMAGE_LAYER, config.digest, 2));
    let gone = writer.put(b"gone", media_type::IMAGE_LAYER).unwrap();
    fs::remove_file(file_of(&layout, &gone.digest)).unwrap();
    manifest.layers.push(gone);
    writer.tag(&name("t"), writer.put_document(&manifest).unwrap()).unwrap();
    drop(writer);
    assert!(collect(&layout).unwrap().removed.is_empty());
}

#[test]
fn stops_before_removing_anything_when_a_document_is_damaged() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let image = put_image(&writer, b"a");
    let manifest: Manifest = layout.document(&image).unwrap();
    let index = put_index(&writer, vec![image.clone()]);
    writer.tag(&name("t"), index.clone()).unwrap();
    writer.put(b"garbage", "m").unwrap();
    drop(writer);
    let before = count(&layout);
    for digest in [&index.digest, &image.digest, &manifest.config.digest] {
        let file = file_of(&layout, digest);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, [&bytes[..], b" "].concat()).unwrap();
        assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::Mismatch);
        fs::remove_file(&file).unwrap();
        assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(&file, bytes).unwrap();
        assert_eq!(count(&layout), before);
    }
    assert_eq!(collect(&layout).unwrap().removed.len(), 1);
}

#[test]
fn a_missing_subject_is_fine_but_a_present_one_stays() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    for gone in [true, false] {
        let subject = put_image(&writer, b"subject");
        let mut manifest = Manifest::new(writer.put(b"{}", media_type::IMAGE_CONFIG).unwrap());
        manifest.subject = Some(subject.clone());
        writer.tag(&name("t"), writer.put_document(&manifest).unwrap()).unwrap();
        if gone {
            fs::remove_file(file_of(&layout, &subject.digest)).unwrap();
        }
    }
    drop(writer);
    fs::remove_file(file_of(&layout, &Digest::of(Algorithm::Sha256, "subject"))).unwrap();
    assert!(collect(&layout).unwrap().removed.is_empty());
    // The same blob as an entry of the index has to be there.
    let writer = layout.writer().unwrap();
    let subject = put_image(&writer, b"subject");
    writer.tag(&name("s"), subject.clone()).unwrap();
    drop(writer);
    fs::remove_file(file_of(&layout, &subject.digest)).unwrap();
    assert!(collect(&layout).is_err());
}

#[test]
fn keeps_what_images_of_other_types_refer_to() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let config = writer.put(b"config", "c").unwrap().digest;
    let layer = writer.put(b"layer", "l").unwrap().digest;
    let docker = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let text = format!(
        "{{\"config\":{{\"mediaType\":\"c\",\"size\":6,\"digest\":\"{config}\"}},\
         \"fsLayers\":[{{\"blobSum\":\"{layer}\"}}]}}"
    );
    let manifest = writer.put(text.as_bytes(), docker).unwrap();
    let list = format!(
        "{{\"manifests\":[{{\"mediaType\":\"{docker}\",\"size\":{},\"digest\":\"{}\"}}]}}",
        manifest.size, manifest.digest
    );
    let list = writer
        .put(list.as_bytes(), "application/vnd.docker.distribution.manifest.list.v2+json")
        .unwrap();
    writer.tag(&name("docker"), list).unwrap();
    let opaque = writer.put(b"not JSON", "x/y").unwrap();
    writer.tag(&name("opaque"), opaque).unwrap();
    drop(writer);
    assert!(collect(&layout).unwrap().removed.is_empty());
    fs::remove_file(file_of(&layout, &manifest.digest)).unwrap();
    assert!(collect(&layout).is_err(), "a lost Docker image goes unnoticed");
}

#[test]
fn reads_the_documents_of_docker() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let mut manifest = Manifest::new(writer.put(b"{}", media_type::DOCKER_CONFIG).unwrap());
    manifest.media_type = media_type::DOCKER_MANIFEST.into();
    manifest.layers.push(writer.put(b"layer", media_type::DOCKER_LAYER).unwrap());
    let bytes = to_bytes(&manifest).unwrap();
    let manifest = writer.put(&bytes, media_type::DOCKER_MANIFEST).unwrap();
    let list = Index {
        media_type: media_type::DOCKER_MANIFEST_LIST.into(),
        manifests: vec![manifest.clone()],
        ..Index::default()
    };
    let list = writer.put(&to_bytes(&list).unwrap(), media_type::DOCKER_MANIFEST_LIST).unwrap();
    writer.tag(&name("docker"), list).unwrap();
    drop(writer);
    assert!(collect(&layout).unwrap().removed.is_empty());
    fs::remove_file(file_of(&layout, &manifest.digest)).unwrap();
    assert!(collect(&layout).is_err(), "a lost Docker image goes unnoticed");
}

#[test]
fn leaves_what_is_no_blob() {
    let (dir, layout) = scratch();
    let blobs = layout.path().join("blobs/sha256");
    let hex = |letter: &str| letter.repeat(64);
    fs::write(blobs.join("junk"), "").unwrap();
    fs::write(blobs.join(hex("A")), "").unwrap();
    fs::create_dir(blobs.join(hex("b"))).unwrap();
    symlink(dir.path(), blobs.join(hex("c"))).unwrap();
    fs::create_dir(blobs.join("dir")).unwrap();
    fs::write(blobs.join("dir").join(hex("d")), "").unwrap();
    fs::write(blobs.join(hex("e")), "e").unwrap();
    fs::write(layout.path().join("README"), "").unwrap();
    fs::create_dir(layout.path().join("blobs/sha512")).unwrap();
    fs::write(layout.path().join("blobs/sha512").join(hex("ff")), "").unwrap();
    let report = collect(&layout).unwrap();
    let hexes: Vec<_> = report.removed.iter().map(|blob| blob.digest.hex()).collect();
    assert_eq!(hexes, [hex("e"), hex("ff")]);
    assert_eq!(count(&layout), 5);
    assert!(layout.path().join("README").exists());
}

#[test]
fn removes_nothing_through_symbolic_links() {
    for link in ["blobs", "blobs/sha256", "blobs/sha512"] {
        let (dir, layout) = scratch();
        let outside = dir.path().join("outside");
        let (place, inside) = (layout.path().join(link), outside.join("sha256"));
        fs::create_dir_all(&inside).unwrap();
        let victims: [PathBuf; 2] = [&outside, &inside].map(|dir| dir.join("e".repeat(64)));
        for victim in &victims {
            fs::write(victim, "").unwrap();
        }
        let _ = fs::remove_dir_all(&place);
        symlink(&outside, &place).unwrap();
        assert!(collect(&layout).is_err(), "{link}");
        assert!(victims.iter().all(|victim| victim.exists()));
        if link != "blobs/sha512" {
            assert!(layout.writer().unwrap().put(b"x", "m").is_err(), "{link}");
        }
    }
}

#[test]
fn removes_what_killed_writers_left_and_waits_for_living_ones() {
    let (dir, layout) = scratch();
    let dead = layout.path().join(".umoci-1");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("blob-1"), "half").unwrap();
    fs::write(layout.path().join(".umoci-2"), "").unwrap();
    symlink(dir.path(), layout.path().join(".umoci-3")).unwrap();
    fs::create_dir_all(layout.path().join(".umoci-4/nested")).unwrap();
    let report = GcOptions { effect: Effect::Report, ..GcOptions::default() };
    assert_eq!(collect_with(&layout, &report).unwrap().temporary, 3);
    assert!(dead.exists());
    assert_eq!(collect(&layout).unwrap().temporary, 2);
    assert!(!dead.exists() && dir.path().exists());

    let garbage = layout.writer().unwrap().put(b"garbage", "m").unwrap();
    fs::create_dir(&dead).unwrap();
    let foreign = File::open(&dead).unwrap();
    foreign.lock().unwrap();
    assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::Busy);
    assert!(file_of(&layout, &garbage.digest).exists());
    drop(foreign);
    assert_eq!(removed(&collect(&layout).unwrap()), [garbage.digest]);

    let writer = layout.writer().unwrap();
    let garbage = writer.put(b"more", "m").unwrap();
    assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::Busy);
    assert!(file_of(&layout, &garbage.digest).exists());
}

#[test]
fn spares_a_blob_that_is_put_again_meanwhile() {
    let (_dir, layout) = scratch();
    let digest = layout.writer().unwrap().put(b"x", "m").unwrap().digest;
    let plan = Plan::make(&layout, &GcOptions::default()).unwrap().unwrap();
    let again = layout.path().join("again");
    fs::write(&again, "x").unwrap();
    fs::rename(again, file_of(&layout, &digest)).unwrap();
    let lock = BlobLock::of(sys::open_dir(&layout.dir, Path::new(".")).unwrap());
    assert!(plan.carry_out(&layout, &lock).unwrap().unwrap().removed.is_empty());
}

#[test]
fn many_ways_cost_no_time() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let mut top = put_image(&writer, b"a");
    for _ in 0..40 {
        top = put_index(&writer, vec![top.clone(), top]);
    }
    writer.tag(&name("t"), top.clone()).unwrap();
    drop(writer);
    assert!(collect(&layout).unwrap().removed.is_empty());
    let writer = layout.writer().unwrap();
    for _ in 0..80 {
        top = put_index(&writer, vec![top]);
    }
    writer.tag(&name("deep"), top).unwrap();
    drop(writer);
    assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::Limit);
}

/// A collector that waits for one long writer keeps the others waiting no more than a moment.
#[test]
fn does_not_hold_up_others_for_a_long_writer() {
    let (_dir, layout) = scratch();
    let long = layout.writer().unwrap();
    let patient = layout.clone().with_lock_limit(Duration::from_secs(10));
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| collect_garbage(&patient, &GcOptions::default()));
        std::thread::sleep(Duration::from_millis(100));
        let hurried = layout.clone().with_lock_limit(Duration::from_secs(5));
        drop(hurried.writer().unwrap());
        assert!(!collector.is_finished());
        drop(long);
        collector.join().unwrap().unwrap();
    });
}

/// Writers whose work overlaps never leave the layout alone by themselves.
#[test]
fn gets_its_turn_among_many_writers() {
    let (_dir, layout) = scratch();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let writer = layout.writer().unwrap();
                    std::thread::sleep(Duration::from_millis(20));
                    drop(writer);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        let patient = layout.clone().with_lock_limit(Duration::from_secs(60));
        let collected: Vec<_> =
            (0..5).map(|_| collect_garbage(&patient, &GcOptions::default())).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(collected.iter().all(Result::is_ok), "{collected:?}");
    });
}

const DROP: GcOptions<'_> =
    GcOptions { untagged: Untagged::Drop, policies: Vec::new(), effect: Effect::Remove };

/// The digests in the index.
fn entries(layout: &Layout) -> Vec<Digest> {
    layout.index().unwrap().manifests.into_iter().map(|entry| entry.digest).collect()
}

#[test]
fn drops_entries_without_a_name_but_for_what_is_referred_to() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let image = put_image(&writer, b"named");
    let signature = put_referrer(&writer, &image, "signature");
    let of_signature = put_referrer(&writer, &signature, "who signed, and when");
    let old = put_image(&writer, b"old");
    let of_old = put_referrer(&writer, &old, "signature of what goes");
    let part = put_image(&writer, b"part of an index");
    let shelved = put_image(&writer, b"kept by the subject of another");
    let about_shelved = put_referrer(&writer, &shelved, "a name of its own");
    let signed = put_image(&writer, b"kept by the name of another");
    // What refers to others may come first or last.
    for entry in [&of_signature, &old, &signature, &of_old, &part, &shelved, &signed] {
        push(&writer, entry);
    }
    writer.tag(&name("t"), image.clone()).unwrap();
    writer.tag(&name("all"), put_index(&writer, vec![part.clone()])).unwrap();
    writer.tag(&name("sbom"), about_shelved.clone()).unwrap();
    let tag = format!("sha256-{}.sig", signed.digest.hex());
    writer.tag(&name(&tag), put_image(&writer, b"signature by name")).unwrap();
    let index = writer.layout().index().unwrap();
    drop(writer);

    let before = count(&layout);
    let foretold = collect_with(&layout, &GcOptions { effect: Effect::Report, ..DROP }).unwrap();
    assert_eq!((layout.index().unwrap(), count(&layout)), (index, before));
    let report = collect_with(&layout, &DROP).unwrap();
    assert_eq!(foretold, report);
    let dropped: Vec<_> = report.dropped.iter().map(|entry| &entry.digest).collect();
    assert_eq!(dropped, [&old.digest, &of_old.digest]);
    let digests = removed(&report);
    assert!(digests.contains(&old.digest) && digests.contains(&of_old.digest));
    assert_eq!(digests.len(), 5, "with two layers and a configuration");
    let kept = entries(&layout);
    for entry in [&of_signature, &signature, &part, &shelved, &signed] {
        assert!(kept.contains(&entry.digest));
    }
    assert_eq!(collect_with(&layout, &DROP).unwrap(), GcReport::default());
}

#[test]
fn entries_without_a_name_go_with_their_blobs_missing_but_not_damaged() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let [missing, damaged] = [b"missing", b"damaged"].map(|layer| put_image(&writer, layer));
    push(&writer, &missing);
    fs::remove_file(file_of(&layout, &missing.digest)).unwrap();
    drop(writer);
    assert_eq!(collect(&layout).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(collect_with(&layout, &DROP).unwrap().dropped.len(), 1);
    let writer = layout.writer().unwrap();
    push(&writer, &damaged);
    drop(writer);
    fs::write(file_of(&layout, &damaged.digest), "x").unwrap();
    assert_eq!(collect_with(&layout, &DROP).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(entries(&layout), [damaged.digest]);
}

#[test]
fn policies_keep_blobs_and_what_these_refer_to() {
    let (_dir, layout) = scratch();
    let writer = layout.writer().unwrap();
    let image = put_image(&writer, b"layer of a young image");
    let dropped = put_image(&writer, b"dropped");
    push(&writer, &dropped);
    let old = writer.put(b"garbage", "m").unwrap();
    drop(writer);
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(layout.path().join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with(image.digest.hex()) && !path.ends_with(dropped.digest.hex()) {
            File::options().write(true).open(path).unwrap().set_modified(epoch).unwrap();
        }
    }
    let since = KeepSince(epoch + Duration::from_secs(1));
    let options = GcOptions { policies: vec![&since], ..DROP };
    let report = collect_with(&layout, &options).unwrap();
    assert_eq!(removed(&report), [old.digest]);
    assert_eq!((report.spared.len(), report.dropped.len()), (3, 0));
    assert!(file_of(&layout, &image.digest).exists());

    // All of them have to agree.
    let all = |_: &StoredBlob| true;
    let none = |_: &StoredBlob| false;
    let options = GcOptions { policies: vec![&none, &all], ..DROP };
    assert_eq!(collect_with(&layout, &options).unwrap().removed.len(), 0);
    let options = GcOptions { policies: vec![&none, &none], ..DROP };
    assert_eq!(collect_with(&layout, &options).unwrap().removed.len(), 6);
    assert_eq!(count(&layout), 0);
}

#[test]
fn what_a_policy_keeps_may_be_damaged() {
    let (_dir, layout) = scratch();
    let image = put_image(&layout.writer().unwrap(), b"layer");
    fs::write(file_of(&layout, &image.digest), "{}").unwrap();
    let manifest = |blob: &StoredBlob| blob.digest == image.digest;
    let options = GcOptions { policies: vec![&manifest], ..GcOptions::default() };
    assert_eq!(collect_with(&layout, &options).unwrap().removed.len(), 2);
    assert!(file_of(&layout, &image.digest).exists());
}
