// SPDX-License-Identifier: Apache-2.0

use super::*;
use crate::oci::media_type;

const CONFIG_DIGEST: &str =
    "sha256:d34401f8503ee218bab7b98d3de2599801516a3a2d4a09d105c87b4c76f99b57";
const LAYER_DIGEST: &str =
    "sha256:d89b7b3f44e6ce2f63724de671989cc4a777f2cbb977838f4be689286dab4196";
const MANIFEST_DIGEST: &str =
    "sha256:b6718e1d7fb08fbd008bc713e329342af1453946b8b10120fbd473bb2004c771";
const DIFF_ID: &str = "sha256:52a9bb6b244e63c4448ae78d9786c22191fa7674e2a7f9ebd597295d698d19be";

fn manifest() -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{CONFIG_DIGEST}","size":687}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{LAYER_DIGEST}","size":192,"annotations":{{"ci.umo.uncompressed_blob_size":"3584"}}}}],"annotations":{{"a":"b","c":"d=e"}}}}"#
    )
}

fn config() -> String {
    format!(
        r#"{{"created":"2026-11-21T16:58:37.693031805+09:00","author":"Me \u003cme@x\u003e","architecture":"arm64","os":"linux","config":{{"User":"x","ExposedPorts":{{"443/tcp":{{}},"80/tcp":{{}}}},"Env":["A=b c","PATH=/bin"],"Entrypoint":["/bin/sh"],"Cmd":["-c","echo \u003chi\u003e \u0026 bye"],"Volumes":{{"/data":{{}},"/x y":{{}}}},"WorkingDir":"/w","Labels":{{"a.b":"x,y","k":"v"}},"StopSignal":"SIGTERM"}},"rootfs":{{"type":"layers","diff_ids":["{DIFF_ID}"]}},"history":[{{"created":"2023-11-14T22:13:20Z","created_by":"umoci config","author":"Me \u003cme@x\u003e","empty_layer":true}},{{"created":"2023-11-14T22:13:20Z","created_by":"umoci insert"}}]}}"#
    )
}

fn descriptor() -> Descriptor {
    let mut descriptor =
        Descriptor::new(Manifest::MEDIA_TYPE, MANIFEST_DIGEST.parse().unwrap(), 491);
    descriptor.annotations.insert("org.opencontainers.image.ref.name".into(), "foo".into());
    descriptor
}

fn stat(manifest: &str, config: Option<&str>) -> Result<Stat> {
    let parsed = Manifest::parse(manifest.as_bytes())?;
    Stat::new(descriptor(), manifest.into(), parsed, config.map(Into::into))
}

fn json(stat: &Stat) -> String {
    String::from_utf8(stat.to_json().unwrap()).unwrap()
}

#[test]
fn text_is_as_scripts_know_it() {
    let text = stat(&manifest(), Some(&config())).unwrap().to_text();
    assert_eq!(text, include_str!("sample.txt"));
}

#[test]
fn json_has_the_documents_as_they_are_stored() {
    let (manifest, config) = (manifest(), config());
    let layer = format!(
        r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{LAYER_DIGEST}","size":192,"annotations":{{"ci.umo.uncompressed_blob_size":"3584"}}}}"#
    );
    let expected = format!(
        "{{\"manifest\":{{\"descriptor\":{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"digest\":\"{MANIFEST_DIGEST}\",\"size\":491,\"annotations\":\
         {{\"org.opencontainers.image.ref.name\":\"foo\"}}}},\"blob\":{manifest}}},\
         \"config\":{{\"descriptor\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\
         \"digest\":\"{CONFIG_DIGEST}\",\"size\":687}},\"blob\":{config}}},\
         \"history\":[{{\"layer\":null,\"diff_id\":\"\",\"created\":\"2023-11-14T22:13:20Z\",\
         \"created_by\":\"umoci config\",\"author\":\"Me \\u003cme@x\\u003e\",\"empty_layer\":true}},\
         {{\"layer\":{layer},\"diff_id\":\"{DIFF_ID}\",\"created\":\"2023-11-14T22:13:20Z\",\
         \"created_by\":\"umoci insert\"}}]}}\n"
    );
    assert_eq!(json(&stat(&manifest, Some(&config)).unwrap()), expected);
}

#[test]
fn json_keeps_unknown_members_and_the_text_of_numbers() {
    let source = " {\n\t\"z\" : [1.0, 1E3, 18446744073709551616], \"a\": \"<\\u0041\" }\n";
    let json = json(&stat(&manifest(), Some(source)).unwrap());
    let blob = r#""blob":{"z":[1.0,1E3,18446744073709551616],"a":"\u003c\u0041"}},"history":[]}"#;
    assert!(json.ends_with(&format!("{blob}\n")), "{json}");
}

#[test]
fn json_refuses_what_follows_a_document() {
    let stat = stat(&manifest(), Some("{} junk")).unwrap();
    assert!(stat.to_text().contains("== HISTORY ==\nLAYER"));
    let error = stat.to_json().unwrap_err().to_string();
    assert!(error.starts_with("encoding stat: blob sha256:d344"), "{error}");
}

#[test]
fn json_takes_no_layer_from_the_history() {
    let config = config().replace("\"empty_layer\":true", "\"empty_layer\":true,\"layer\":{}");
    let json = json(&stat(&manifest(), Some(&config)).unwrap());
    let (_, history) = json.rsplit_once("\"history\":").unwrap();
    assert!(!history.contains("\"layer\":{}"), "{history}");
}

#[test]
fn reads_from_a_layout() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("layout")).unwrap();
    let writer = layout.writer().unwrap();
    let manifest = crate::image::create(&writer, &ImageConfig::new("amd64", "linux")).unwrap();
    let stat = Stat::load(&layout, &manifest).unwrap();
    assert_eq!(stat.config().unwrap().architecture, "amd64");
    assert!(stat.history().unwrap().is_empty());
    let error = Stat::load(&layout, &stat.manifest().config).unwrap_err().to_string();
    assert!(error.contains("descriptor does not point to ispec.MediaTypeImageManifest"));

    let lost = Digest::of(crate::oci::Algorithm::Sha256, "lost");
    let mut document = Manifest::new(Descriptor::new(ImageConfig::MEDIA_TYPE, lost, 4));
    let missing = writer.put_document(&document).unwrap();
    let error = Stat::load(&layout, &missing).unwrap_err().to_string();
    assert!(error.starts_with("stat: open blob: "), "{error}");
    document.config.media_type = "x/y".into();
    let artifact = writer.put_document(&document).unwrap();
    assert!(Stat::load(&layout, &artifact).unwrap().config().is_none());
}

#[test]
fn artifacts_have_no_history() {
    let of_type = |media_type: &str| {
        manifest().replace("application/vnd.oci.image.config.v1+json", media_type)
    };
    let unknown = stat(&of_type("x/y"), None).unwrap();
    assert!(unknown.to_text().ends_with("\n\t\torg.opencontainers.image.ref.name: foo\n"));
    assert!(json(&unknown).ends_with("\"annotations\":{\"a\":\"b\",\"c\":\"d=e\"}}}}\n"));

    let empty = stat(&of_type(media_type::EMPTY_JSON), Some("{}")).unwrap();
    assert!(json(&empty).ends_with(",\"size\":687},\"blob\":{}}}\n"));
    assert!(empty.to_text().ends_with(&format!(
        "name: foo\n\n== CONFIG ==\nDescriptor:\n\tMedia Type: {}\n\tDigest: {CONFIG_DIGEST}\n\tSize: 687B\n",
        media_type::EMPTY_JSON
    )));
    let error = stat(&of_type(media_type::EMPTY_JSON), Some("{} ")).unwrap_err().to_string();
    assert!(error.contains("empty json blob is invalid"));
    assert!(stat(&of_type(media_type::IMAGE_INDEX), Some("{\"layers\":1}")).is_err());
    assert!(stat(&of_type(media_type::DESCRIPTOR), Some("{}")).is_err());
}

#[test]
fn a_history_without_times_is_shown() {
    let config = config().replace("\"created\":\"2023-11-14T22:13:20Z\",", "");
    let stat = stat(&manifest(), Some(&config)).unwrap();
    let text = stat.to_text();
    let (_, table) = text.split_once("== HISTORY ==\n").unwrap();
    let layer = "<none>".to_owned() + &" ".repeat(LAYER_DIGEST.len() - 6);
    let header = "LAYER".to_owned() + &" ".repeat(LAYER_DIGEST.len() - 5);
    assert_eq!(
        table,
        format!(
            "{header} CREATED CREATED BY   SIZE   COMMENT\n\
             {layer} <none>  umoci config <none> \n\
             {LAYER_DIGEST} <none>  umoci insert 192B   \n"
        )
    );
}

#[test]
fn a_history_with_too_many_layers_is_an_error() {
    let config = config().replace(",\"empty_layer\":true", "");
    let error = stat(&manifest(), Some(&config)).unwrap_err().to_string();
    assert_eq!(error, "history has 2 entries with a layer, but there are 1 layer and 1 diff id");
    let config = config.replace(DIFF_ID, "").replace("[\"\"]", "null");
    assert!(stat(&manifest(), Some(&config)).is_err());
}

#[test]
fn text_shows_everything_there_is() {
    let config = r#"{"architecture":"arm","variant":"v7","os":"windows","os.version":"10","os.features":["a","b,c"],"config":{"ArgsEscaped":true,"Entrypoint":["a"]}}"#;
    let manifest = format!(
        r#"{{"artifactType":"t","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{CONFIG_DIGEST}","size":1,"artifactType":"u","urls":["http://a","b c"],"data":"e30=","platform":{{"os":"linux","architecture":"arm","variant":"v7"}},"annotations":{{"a b":"c,d","":""}}}},"subject":{{"mediaType":"m","digest":"{LAYER_DIGEST}","size":1107}}}}"#
    );
    let text = stat(&manifest, Some(config)).unwrap().to_text();
    let blanks = " ".repeat(37);
    let expected = format!(
        "== MANIFEST ==\nSchema Version: 0\nMedia Type: \"\"\nArtifact Type: t\nConfig:\n\tDescriptor:\n\
         \t\tMedia Type: application/vnd.oci.image.config.v1+json\n\t\tArtifact Type: u\n\
         \t\tDigest: {CONFIG_DIGEST}\n\t\tSize: 1B\n\
         \t\tPlatform:\n\t\t\tOS: linux\n\t\t\tArchitecture: arm (v7)\n\
         \t\tURLs:\n\t\t\thttp://a\n\t\t\t\"b c\"\n\
         \t\tAnnotations:\n\t\t\t\"\": \"\"\n\t\t\t\"a b\": \"c,d\"\n\
         \t\tData: (2 bytes)\n\t\t\t0000: 7b7d{blanks}{{}}\n\
         Subject:\n\tDescriptor:\n\t\tMedia Type: m\n\t\tDigest: {LAYER_DIGEST}\n\t\tSize: 1.107kB\nDescriptor:\n"
    );
    assert!(text.starts_with(&expected), "{text}");
    let (_, text) = text.split_once("== CONFIG ==\n").unwrap();
    let expected = "Author: \"\"\nPlatform:\n\tOS: windows\n\tOS Version: 10\n\tOS Features: a, \"b,c\"\n\
                    \tArchitecture: arm (v7)\nImage Config:\n\tUser: \"\"\n\tEntrypoint (escaped):\n\t\ta\n\
                    \tCommand (escaped): (empty)\nDescriptor:\n";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn long_data_is_cut() {
    let data = "AAAA".repeat(100);
    let manifest = manifest().replace("\"size\":687", &format!("\"size\":300,\"data\":\"{data}\""));
    let text = stat(&manifest, None).unwrap().to_text();
    assert!(text.contains("\t\tData: (300 bytes)\n\t\t\t0000: 0000 0000"));
    assert!(text.contains("\t\t\t00f0: "));
    assert!(text.contains("\n\t\t\t....  (extra 44 bytes omitted)\n"));
    assert!(!text.contains("0100: "));
}

#[test]
fn nothing_steers_the_terminal() {
    let manifest = manifest().replace("d=e", "\\u001b[2J\\n\u{202e}");
    let config = config()
        .replace("\"created_by\":\"umoci insert\"", "\"comment\":\"\\u001b]0;x\\u0007\\t\"");
    let text = stat(&manifest, Some(&config)).unwrap().to_text();
    assert!(text.contains("\n\tc: \"\\x1b[2J\\n\\u202e\"\n"), "{text}");
    assert!(text.contains(" \"\\x1b]0;x\\a\\t\"\n"), "{text}");
    assert!(
        text.chars().all(|character| matches!(character, '\n' | '\t') || !character.is_control())
    );
}
