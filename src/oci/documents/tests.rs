// SPDX-License-Identifier: Apache-2.0

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::oci::{Algorithm, Descriptor, Digest, Members, Platform, Timestamp, media_type};

const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn text(document: &impl Document) -> String {
    String::from_utf8(document.to_bytes().unwrap()).unwrap()
}

fn digest(document: &impl Document) -> String {
    Digest::of(Algorithm::Sha256, document.to_bytes().unwrap()).hex().to_owned()
}

fn new_config() -> ImageConfig {
    ImageConfig {
        created: Some(Timestamp::from_epoch_seconds(1_700_000_000).unwrap()),
        ..ImageConfig::new("amd64", "linux")
    }
}

#[test]
fn a_new_image_has_the_known_digests() {
    let config = new_config();
    assert_eq!(
        text(&config),
        "{\"created\":\"2023-11-14T22:13:20Z\",\"architecture\":\"amd64\",\"os\":\"linux\",\
         \"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}\n"
    );
    let bytes = config.to_bytes().unwrap();
    assert_eq!(bytes.len(), 124);
    assert_eq!(digest(&config), "31874c9f48cb301a5abda778269041bbd98c692a987f80b52670c605eecfb55d");
    let descriptor =
        Descriptor::new(ImageConfig::MEDIA_TYPE, Digest::of(Algorithm::Sha256, &bytes), 124);
    let manifest = Manifest::new(descriptor);
    assert_eq!(manifest.to_bytes().unwrap().len(), 249);
    assert_eq!(
        digest(&manifest),
        "2212c76866e6efd523a244d9f298a8c051c4c0925af9b1eb1b660091b1c6ce7d"
    );
}

#[test]
fn a_new_index_has_the_known_digest() {
    assert_eq!(
        digest(&Index::default()),
        "3d60eec733f106e03a571223c6adb85a3dabd53590ae0d8339e8ea2de2d32c56"
    );
}

fn history_of(created: &str, created_by: &str, empty_layer: bool) -> History {
    History {
        created: Some(created.parse().unwrap()),
        created_by: created_by.into(),
        empty_layer,
        ..History::default()
    }
}

fn stored<D: Document>(document: &D) -> Descriptor {
    let bytes = document.to_bytes().unwrap();
    Descriptor::new(D::MEDIA_TYPE, Digest::of(Algorithm::Sha256, &bytes), bytes.len() as u64)
}

#[test]
fn an_image_with_plain_layers_has_the_known_digests() {
    const EPOCH: &str = "1970-01-01T00:00:00Z";
    let layers: [(Digest, u64); 2] = [
        ("sha256:52a9bb6b244e63c4448ae78d9786c22191fa7674e2a7f9ebd597295d698d19be", 1536),
        ("sha256:c8210dff53485502d04a18e64c6c58bc4867f57721615b3c4ed6d36846f2336c", 2048),
    ]
    .map(|(digest, size)| (digest.parse().unwrap(), size));
    let mut config = new_config();
    config.created = Some(EPOCH.parse().unwrap());
    config.history = vec![history_of(EPOCH, "umoci insert", false); 2];
    config.rootfs.diff_ids.extend(layers.iter().map(|(digest, _)| digest.clone()));
    let mut manifest = Manifest::new(stored(&config));
    manifest.layers.extend(
        layers.map(|(digest, size)| Descriptor::new(media_type::IMAGE_LAYER, digest, size)),
    );
    assert_eq!(config.to_bytes().unwrap().len(), 409);
    assert_eq!(digest(&config), "881b13328fc325f12f5cf4c89640853cb8d314ec426920442a638ae0403b1fee");
    assert_eq!(manifest.to_bytes().unwrap().len(), 548);
    assert_eq!(
        digest(&manifest),
        "ffc2441c00b1adad171aa9701db228cd187ed511de763f434fc3c94176ae9ccb"
    );
}

#[test]
fn a_repacked_image_has_the_known_digests() {
    const CREATED: &str = "1997-03-25T13:40:00+01:00";
    let mut config = new_config();
    config.created = Some(CREATED.parse().unwrap());
    config.config.user = "1000:100".into();
    config.config.cmd = vec!["/bin/sh".into()];
    let diff_id = "sha256:b30a031a2b1c4616735cf8dd5d08ddebcbbff91e1d6b9fc740a2fec18af57b27";
    config.rootfs.diff_ids.push(diff_id.parse().unwrap());
    config.history =
        vec![history_of(CREATED, "umoci repack", false), history_of(CREATED, "umoci config", true)];
    let blob = "sha256:e7013826daf8b5d68f82c5b790ca5e9de222a834f2cb3fe3532030161bd72083";
    let mut layer =
        Descriptor::new(format!("{}+gzip", media_type::IMAGE_LAYER), blob.parse().unwrap(), 335);
    layer.annotations.insert("ci.umo.uncompressed_blob_size".into(), "7680".into());
    let mut manifest = Manifest::new(stored(&config));
    manifest.layers.push(layer);
    let mut entry = stored(&manifest);
    entry.annotations.insert("org.opencontainers.image.ref.name".into(), "latest".into());
    let index = Index { manifests: vec![entry], ..Index::default() };
    assert_eq!(config.to_bytes().unwrap().len(), 404);
    assert_eq!(digest(&config), "f4a39a97d97aa834da7ad2d92940f9636a57e3d9b3cc7c53242451b02a6cea89");
    assert_eq!(
        digest(&manifest),
        "27bcd3b4f31740cc087346382aaba3fe1c01872d75ead1bd2b9f7053d2bb3231"
    );
    assert_eq!(digest(&index), "b780d08bfed4850ab807b7c308682fae6868ed9c09c0c842063c418ebe2a19fb");
}

#[test]
fn absent_and_null_lists_are_written_empty() {
    for members in ["", ",\"layers\":null,\"annotations\":null,\"subject\":null"] {
        let source = format!("{{\"config\":{{\"digest\":\"{EMPTY}\",\"size\":2}}{members}}}");
        assert_eq!(
            text(&Manifest::parse(source.as_bytes()).unwrap()),
            format!(
                "{{\"schemaVersion\":0,\"config\":{{\"mediaType\":\"\",\"digest\":\"{EMPTY}\",\
                 \"size\":2}},\"layers\":[]}}\n"
            )
        );
    }
    let empty = "{\"architecture\":\"\",\"os\":\"\",\"config\":{},\"rootfs\":{\"type\":\"\",\"diff_ids\":[]}}\n";
    for source in [
        "{}",
        r#"{"created":null,"config":null,"rootfs":null,"history":null,"os.features":null}"#,
        r#"{"config":{"User":null,"Env":null,"Volumes":null,"ArgsEscaped":null},"rootfs":{"diff_ids":null}}"#,
    ] {
        assert_eq!(text(&ImageConfig::parse(source.as_bytes()).unwrap()), empty, "{source}");
    }
    let index = Index::parse(b"{\"manifests\":null}").unwrap();
    assert_eq!(text(&index), "{\"schemaVersion\":0,\"manifests\":[]}\n");
}

#[test]
fn members_of_other_tools_survive_in_their_order() {
    let source = r#"{"z":{"y":[1.0,{"b":1,"a":2}]},"os":"linux","docker_version":"1","config":{"Healthcheck":
        {"Test":["NONE"],"Interval":30000000000},"User":"u","Hostname":"h"},"history":[{"x":null,"comment":"c"}],
        "container":"c","rootfs":{"base":18446744073709551616,"type":"layers"}}"#;
    assert_eq!(
        text(&ImageConfig::parse(source.as_bytes()).unwrap()),
        "{\"architecture\":\"\",\"os\":\"linux\",\"config\":{\"User\":\"u\",\"Healthcheck\":{\"Test\":\
         [\"NONE\"],\"Interval\":30000000000},\"Hostname\":\"h\"},\"rootfs\":{\"type\":\"layers\",\
         \"diff_ids\":[],\"base\":18446744073709551616},\"history\":[{\"comment\":\"c\",\"x\":null}],\
         \"z\":{\"y\":[1.0,{\"b\":1,\"a\":2}]},\"docker_version\":\"1\",\"container\":\"c\"}\n"
    );
}

#[test]
fn refuses_to_take_one_document_for_another() {
    let manifest = |member: &str| {
        let source = format!("{{\"config\":{{\"digest\":\"{EMPTY}\"}},{member}}}");
        Manifest::parse(source.as_bytes()).unwrap_err().to_string()
    };
    let index = |member: &str| {
        Index::parse(format!("{{\"manifests\":[],{member}}}").as_bytes()).unwrap_err().to_string()
    };
    let index_type = "\"mediaType\":\"application/vnd.oci.image.index.v1+json\"";
    assert!(manifest(index_type).contains(
        "malicious manifest detected: manifest contained incorrect mediaType: application/vnd.oci.image.index"
    ));
    let forbidden = "malicious manifest detected: manifest contained forbidden 'manifests' field";
    for value in ["null", "[]", "1"] {
        assert!(manifest(&format!("\"manifests\":{value}")).contains(forbidden));
        for name in ["config", "layers"] {
            let forbidden =
                format!("malicious image detected: index contained forbidden '{name}' field");
            assert!(index(&format!("\"{name}\":{value}")).contains(&forbidden));
        }
    }
    let incorrect = "malicious image detected: index contained incorrect mediaType: x";
    assert!(index("\"mediaType\":\"x\"").contains(incorrect));
}

#[test]
fn refuses_names_in_another_case() {
    let manifest = |member: &str, inner: &str| {
        let source = format!("{{\"config\":{{\"digest\":\"{EMPTY}\"{inner}}}{member}}}");
        Manifest::parse(source.as_bytes())
    };
    assert!(manifest("", "").is_ok());
    for member in
        [",\"LAYERS\":[]", ",\"Manifests\":[]", ",\"MediaType\":\"\"", ",\"layer\u{17f}\":[]"]
    {
        assert!(manifest(member, "").is_err(), "{member}");
    }
    assert!(manifest("", ",\"Digest\":\"\"").is_err());
    for source in ["{\"Layers\":1}", "{\"MANIFESTS\":[]}"] {
        assert!(Index::parse(source.as_bytes()).is_err(), "{source}");
    }
    assert!(Index::parse_top_level(b"{\"MANIFESTS\":[]}").is_err());
}

#[test]
fn index_json_is_known_by_its_name() {
    let source = b"{\"mediaType\":\"x\",\"config\":null,\"manifests\":[]}\n";
    assert_eq!(Index::parse_top_level(source).unwrap().media_type, "x");
    assert!(Index::parse_top_level(b"{} {}").is_err());
    assert!(Index::parse(b"{} {}").is_ok());
    assert!(Index::parse_top_level(b"").is_err());
    assert!(Index::parse_top_level(b"{\"manifests\":[").is_err());
    assert!(Index::parse_top_level(b"{\"manifests\":[],\"manifests\":[]}").is_err());
    let deep = format!("{{\"x\":{}", "{\"x\":".repeat(200_000));
    assert!(Index::parse_top_level(deep.as_bytes()).is_err());
}

#[test]
fn sets_are_objects() {
    let source = br#"{"config":{"Volumes":{"/b":{},"/a":null,"/b":{}},"ExposedPorts":{}}}"#;
    let config = ImageConfig::parse(source).unwrap();
    assert!(text(&config).contains("\"config\":{\"Volumes\":{\"/a\":{},\"/b\":{}}}"));
    assert!(ImageConfig::parse(br#"{"config":{"Volumes":["/a"]}}"#).is_err());
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z<&\"\\\\\u{2028}é\u{1}]{1,5}"]
}

fn words() -> impl Strategy<Value = Vec<String>> {
    vec(word(), 0..3)
}

fn other() -> impl Strategy<Value = Members> {
    let value = prop_oneof![
        Just(Value::Null),
        word().prop_map(Value::String),
        any::<i64>().prop_map(Value::from),
        words().prop_map(|words| json!({ "b": words, "a": { "z": 1, "y": true } })),
        prop_oneof![Just("1.0"), Just("1e+3"), Just("18446744073709551616"), Just("-0.10")]
            .prop_map(|number| serde_json::from_str(number).unwrap()),
    ];
    let name = "x-[a-z]{0,4}";
    vec((name, value), 0..3).prop_map(Members::from_iter)
}

fn any_digest() -> impl Strategy<Value = Digest> {
    (any::<u8>(), any::<bool>()).prop_map(|(byte, long)| {
        Digest::of(if long { Algorithm::Sha512 } else { Algorithm::Sha256 }, [byte])
    })
}

fn timestamp() -> impl Strategy<Value = Option<Timestamp>> {
    option::of((0..4_000_000_000_i64, 0..1_000_000_000_u32, -23..24_i32).prop_map(
        |(seconds, nanoseconds, hours)| {
            Timestamp::from_epoch(seconds, nanoseconds, hours * 3600).unwrap()
        },
    ))
}

prop_compose! {
    fn platform()(
        (architecture, os, os_version, variant) in (word(), word(), word(), word()),
        os_features in words(),
        other in other(),
    ) -> Platform {
        Platform { architecture, os, os_version, os_features, variant, other }
    }
}

prop_compose! {
    fn descriptor()(
        (media_type, digest, size) in (word(), any_digest(), 0..=i64::MAX as u64),
        urls in words(),
        annotations in btree_map(word(), word(), 0..3),
        data in option::of(vec(any::<u8>(), 1..4)),
        platform in option::of(platform()),
        artifact_type in word(),
        other in other(),
    ) -> Descriptor {
        Descriptor { media_type, digest, size, urls, annotations, data, platform, artifact_type, other }
    }
}

prop_compose! {
    fn manifest()(
        schema_version: i64,
        media_type in prop_oneof![Just(String::new()), Just(media_type::IMAGE_MANIFEST.to_owned())],
        artifact_type in word(),
        config in descriptor(),
        layers in vec(descriptor(), 0..3),
        subject in option::of(descriptor()),
        annotations in btree_map(word(), word(), 0..3),
        other in other(),
    ) -> Manifest {
        Manifest { schema_version, media_type, artifact_type, config, layers, subject, annotations, other }
    }
}

prop_compose! {
    fn execution()(
        (user, working_dir, stop_signal) in (word(), word(), word()),
        (env, entrypoint, cmd) in (words(), words(), words()),
        (exposed_ports, volumes) in (btree_set(word(), 0..3), btree_set(word(), 0..3)),
        labels in btree_map(word(), word(), 0..3),
        args_escaped: bool,
        other in other(),
    ) -> ExecutionConfig {
        ExecutionConfig {
            user, exposed_ports, env, entrypoint, cmd, volumes, working_dir, labels, stop_signal,
            args_escaped, other,
        }
    }
}

prop_compose! {
    fn history()(
        created in timestamp(),
        (created_by, author, comment) in (word(), word(), word()),
        empty_layer: bool,
        other in other(),
    ) -> History {
        History { created, created_by, author, comment, empty_layer, other }
    }
}

prop_compose! {
    fn config()(
        created in timestamp(),
        (author, platform) in (word(), platform()),
        config in execution(),
        (kind, diff_ids, rootfs_other) in (word(), vec(any_digest(), 0..3), other()),
        history in vec(history(), 0..3),
        other in other(),
    ) -> ImageConfig {
        let Platform { architecture, os, os_version, os_features, variant, .. } = platform;
        let rootfs = RootFs { kind, diff_ids, other: rootfs_other };
        ImageConfig {
            created, author, architecture, os, os_version, os_features, variant, config, rootfs,
            history, other,
        }
    }
}

proptest! {
    #[test]
    fn manifests_are_read_as_they_were_written(manifest in manifest()) {
        let bytes = manifest.to_bytes().unwrap();
        let read = Manifest::parse(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes().unwrap(), bytes);
        prop_assert_eq!(read, manifest);
    }

    #[test]
    fn configs_are_read_as_they_were_written(config in config()) {
        let bytes = config.to_bytes().unwrap();
        let read = ImageConfig::parse(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes().unwrap(), bytes);
        prop_assert_eq!(read, config);
    }

    #[test]
    fn indexes_are_read_as_they_were_written(
        manifests in vec(descriptor(), 0..3),
        subject in option::of(descriptor()),
        other in other(),
    ) {
        let index = Index { manifests, subject, other, ..Index::default() };
        let bytes = index.to_bytes().unwrap();
        prop_assert_eq!(Index::parse(&bytes).unwrap().to_bytes().unwrap(), bytes.clone());
        prop_assert_eq!(Index::parse_top_level(&bytes).unwrap(), index);
    }

    #[test]
    fn parsers_survive_anything(bytes: Vec<u8>) {
        let _ = Manifest::parse(&bytes);
        let _ = Index::parse(&bytes);
        let _ = ImageConfig::parse(&bytes);
        let _ = json::compact(&bytes);
    }
}

/// Another implementation of the specification reads what is written here.
#[test]
fn others_read_what_is_written() {
    let mut config = new_config();
    config.author = "a".into();
    config.os_features = vec!["f".into()];
    config.config.volumes.insert("/v".into());
    config.config.exposed_ports.insert("80/tcp".into());
    config.config.labels.insert("k".into(), "v".into());
    config.rootfs.diff_ids.push(EMPTY.parse().unwrap());
    config.history.push(History { comment: "c".into(), ..History::default() });
    let bytes = config.to_bytes().unwrap();
    let read = oci_spec::image::ImageConfiguration::from_reader(bytes.as_slice()).unwrap();
    assert_eq!(read.rootfs().diff_ids(), &[EMPTY]);
    assert_eq!(read.created().as_deref(), Some("2023-11-14T22:13:20Z"));
    assert_eq!(read.labels_of_config().unwrap()["k"], "v");

    let mut descriptor =
        Descriptor::new(ImageConfig::MEDIA_TYPE, EMPTY.parse().unwrap(), bytes.len() as u64);
    descriptor.platform =
        Some(Platform { architecture: "arm64".into(), os: "linux".into(), ..Platform::default() });
    descriptor.data = Some(b"{}".to_vec());
    let manifest = Manifest::new(descriptor.clone());
    let bytes = manifest.to_bytes().unwrap();
    let read = oci_spec::image::ImageManifest::from_reader(bytes.as_slice()).unwrap();
    assert_eq!(read.config().data().as_deref(), Some("e30="));
    let index = Index { manifests: vec![descriptor], ..Index::default() };
    let bytes = index.to_bytes().unwrap();
    let read = oci_spec::image::ImageIndex::from_reader(bytes.as_slice()).unwrap();
    assert_eq!(read.manifests().len(), 1);
}
