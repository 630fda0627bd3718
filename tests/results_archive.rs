//! The store as a store: labels, index, limits, archives; and archives that mean harm.

mod results_fixture;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use genie::event::Status;
use genie::results::digest::Digest;
use genie::results::store::archive::{self, ArchiveError};
use genie::results::store::labels::{self, LabelError};
use genie::results::store::retention::{self, Limits};
use genie::results::store::{Store, StoreError};
use genie::results::{Recorder, Run, RunId, reader};
use results_fixture as made;
use zip::write::SimpleFileOptions;

fn stored(results: &Path, id: &str) -> PathBuf {
    let plan = made::plan();
    let run = Run::new(
        id.parse().expect("it is there"),
        plan.clone(),
        made::environment(),
    );
    let mut recorder = Recorder::start(results, run);
    made::completed(&plan)
        .iter()
        .for_each(|event| recorder.record(event));
    assert_eq!(recorder.loss(), None);
    recorder.path().to_owned()
}

const ID: &str = "20261122-153254-k3v9x";

fn id() -> RunId {
    ID.parse().expect("it is there")
}

#[test]
fn every_bit_of_a_run_is_watched() {
    let results = tempfile::tempdir().unwrap();
    let folder = stored(results.path(), ID);
    assert_eq!(reader::verify(&folder).unwrap(), [""; 0]);
    let files = [
        "scenario.toml",
        "ops.csv",
        "iterations.csv",
        "ranks.csv",
        "links.csv",
        "events.jsonl",
    ];
    for name in files {
        let path = folder.join(name);
        let before = fs::read(&path).unwrap();
        let mut flipped = before.clone();
        let place = flipped.len() / 2;
        flipped[place] ^= 4;
        fs::write(&path, &flipped).unwrap();
        let found = reader::verify(&folder).unwrap();
        assert_eq!(
            found,
            [format!("{name} is not as it was written: its SHA-256 differs")]
        );
        fs::write(&path, &before[..place]).unwrap();
        assert!(reader::verify(&folder).unwrap()[0].contains("bytes instead of"));
        fs::write(&path, before).unwrap();
    }
    let manifest = folder.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("\"seed\": 7", "\"seed\": 5", 1)).unwrap();
    let why = "manifest.json is not as it was written: its SHA-256 differs";
    assert_eq!(reader::verify(&folder).unwrap(), [why]);
    let (_, run) = Store::new(results.path()).open("latest").unwrap();
    assert!(
        run.manifest.cautions.contains(&why.to_owned()),
        "the run is shown, with a caution"
    );
    let listing = Store::new(results.path()).listing().unwrap().verified();
    assert!(listing.entries[0].header.is_err());
}

#[test]
fn tags_name_runs_and_pins_keep_them() {
    let results = tempfile::tempdir().unwrap();
    let store = Store::new(results.path());
    let first = stored(results.path(), ID);
    stored(results.path(), "20261122-153255-a0000");
    labels::tag(store.root(), &id(), "good", false).unwrap();
    assert_eq!(store.find("good").unwrap(), first);
    let other: RunId = "20261122-153255-a0000".parse().unwrap();
    assert!(matches!(
        labels::tag(store.root(), &other, "good", false),
        Err(LabelError::Taken { .. })
    ));
    labels::tag(store.root(), &id(), "good", false).unwrap();
    labels::tag(store.root(), &other, "good", true).unwrap();
    assert_eq!(store.tags()["good"], other);
    assert!(matches!(
        labels::tag(store.root(), &id(), "../x", false),
        Err(LabelError::Name(_))
    ));
    labels::pin(store.root(), &id()).unwrap();
    let sets = retention::candidates(&store, jiff::Timestamp::now()).unwrap();
    assert!(sets.iter().all(|set| set.protected));
    assert!(sets[0].bytes > 10_000);
    labels::unpin(store.root(), &id()).unwrap();
    assert_eq!(labels::untag(store.root(), "good").unwrap(), other);
    let sets = retention::candidates(&store, jiff::Timestamp::now()).unwrap();
    let none = Limits {
        count: Some(1),
        ..Limits::default()
    };
    assert_eq!(retention::choose(&sets, none), [1], "the older one");
    labels::tag(store.root(), &id(), "gone", false).unwrap();
    assert!(
        retention::delete_set(&store, &[id()]).is_err(),
        "a tagged run stays"
    );
    assert_eq!(store.list().unwrap().len(), 2);
    // Somebody else may take it away all the same.
    fs::remove_dir_all(store.root().join(id().as_str())).unwrap();
    assert!(matches!(store.find("gone"), Err(StoreError::Dangling { .. })));
    assert!(matches!(store.find("gon"), Err(StoreError::Unknown { .. })));
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_link_in_the_store_is_not_followed_to_delete() {
    let (results, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(elsewhere.path().join("precious"), "x").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), results.path().join(ID)).unwrap();
    assert!(retention::delete_set(&Store::new(results.path()), &[id()]).is_err());
    assert!(elsewhere.path().join("precious").exists());
}

/// More runs than the index is used from on; then everything that can be wrong with an index.
#[test]
fn the_index_is_only_a_cache() {
    let results = tempfile::tempdir().unwrap();
    let store = Store::new(results.path());
    let template = stored(results.path(), ID);
    let manifest = fs::read_to_string(template.join("manifest.json")).unwrap();
    let name = |n: u32| format!("20261122-{:02}{:02}00-{n:05}", 10 + n / 60, n % 60);
    for n in 0..100 {
        let folder = results.path().join(name(n));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("manifest.json"), &manifest).unwrap();
    }
    let statuses = |store: &Store| -> Vec<bool> {
        let entries = store.list().unwrap();
        assert_eq!(entries.len(), 101);
        entries.iter().map(|entry| entry.header.is_ok()).collect()
    };
    assert!(statuses(&store).iter().all(|ok| *ok));
    let index = results.path().join(".store/index.json");
    assert!(index.exists());
    let scenarios = |store: &Store| -> usize {
        let entries = store.list().unwrap();
        let renamed =
            |entry: &&genie::results::store::Entry| entry.header.as_ref().unwrap().scenario == "renamed";
        entries.iter().filter(renamed).count()
    };
    assert_eq!(scenarios(&store), 0);
    let changed = manifest.replacen("\"scenario\": \"allreduce\"", "\"scenario\": \"renamed\"", 1);
    fs::write(results.path().join(name(7)).join("manifest.json"), changed).unwrap();
    assert_eq!(scenarios(&store), 1, "a manifest that changed is read again");
    for broken in ["", "{", "[]", "{\"version\": 99, \"runs\": []}", "\u{0}\u{1}"] {
        fs::write(&index, broken).unwrap();
        assert_eq!(scenarios(&store), 1, "{broken:?}");
    }
    fs::write(results.path().join(name(9)).join("manifest.json"), "{").unwrap();
    assert_eq!(statuses(&store).iter().filter(|ok| !**ok).count(), 1);
    fs::remove_dir_all(results.path().join(name(11))).unwrap();
    assert_eq!(store.list().unwrap().len(), 100);
    fs::remove_dir_all(results.path().join(".store")).unwrap();
    fs::write(results.path().join(".store"), "not a folder").unwrap();
    assert_eq!(
        store.list().unwrap().len(),
        100,
        "a store that cannot be written is listed"
    );
}

#[test]
fn exported_runs_are_imported_to_the_last_bit() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, file) = (stored(from.path(), ID), from.path().join("runs.zip"));
    let other = "20261122-153255-a0000";
    stored(from.path(), other);
    let ids = [id(), other.parse().unwrap()];
    archive::export(&Store::new(from.path()), &ids, &file).unwrap();
    assert!(matches!(
        archive::export(&Store::new(from.path()), &ids, &file),
        Err(ArchiveError::Exists(_))
    ));
    let store = Store::new(to.path().join("new"));
    let imported = archive::import(&store, &file).unwrap();
    assert!(imported.iter().all(|run| run.new) && imported.len() == 2);
    for entry in fs::read_dir(&first).unwrap().flatten() {
        let copy = store.root().join(ID).join(entry.file_name());
        assert_eq!(fs::read(entry.path()).unwrap(), fs::read(copy).unwrap());
    }
    assert!(archive::import(&store, &file).unwrap().iter().all(|run| !run.new));
    fs::write(store.root().join(ID).join("ops.csv"), "x").unwrap();
    assert!(matches!(
        archive::import(&store, &file),
        Err(ArchiveError::Differs(_))
    ));
    assert_eq!(
        fs::read_dir(store.root().join(".store")).unwrap().count(),
        0,
        "the desk is cleared"
    );
}

#[test]
fn damaged_and_running_runs_are_not_exported() {
    let results = tempfile::tempdir().unwrap();
    let folder = stored(results.path(), ID);
    fs::write(folder.join("ranks.csv"), "x").unwrap();
    let (store, file) = (Store::new(results.path()), results.path().join("x.zip"));
    let error = archive::export(&store, &[id()], &file).unwrap_err();
    assert!(
        error.to_string().contains("ranks.csv is not as it was written"),
        "{error}"
    );
    let running: RunId = "20261122-153255-a0000".parse().unwrap();
    let run = Run::new(running.clone(), made::plan(), made::environment());
    let mut recorder = Recorder::start(results.path(), run);
    assert!(matches!(
        archive::export(&store, std::slice::from_ref(&running), &file),
        Err(ArchiveError::Running(_))
    ));
    recorder.record(&made::finished(Status::Failed, None, 3));
    archive::export(&store, &[running], &file).unwrap();
}

/// An archive with this list (or one that fits the files) and these entries.
fn forged(list: Option<&str>, entries: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("it is there");
    let mut zip = zip::ZipWriter::new(file.reopen().expect("it is there"));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let mut files = serde_json::Map::new();
    for (name, bytes) in entries {
        let digest = serde_json::to_value(Digest::of(bytes)).expect("it is there");
        let name = name
            .rsplit_once(&format!("{ID}/"))
            .map_or(*name, |(_, name)| name);
        files.insert(name.into(), digest);
    }
    let fitting = serde_json::json!({"format": 1, "runs": {ID: files}}).to_string();
    zip.start_file("genie-runs.json", options).expect("it is there");
    zip.write_all(list.unwrap_or(&fitting).as_bytes())
        .expect("it is there");
    for (name, bytes) in entries {
        zip.start_file(*name, options).expect("it is there");
        zip.write_all(bytes).expect("it is there");
    }
    zip.finish().expect("it is there");
    file
}

/// What an import of it says; nothing may be left, in the store or beside it.
fn refused(archive: &Path) -> String {
    let around = tempfile::tempdir().expect("it is there");
    let store = Store::new(around.path().join("results"));
    let error = archive::import(&store, archive).expect_err("it is refused");
    assert!(store.list().expect("it is there").is_empty());
    assert!(
        fs::read_dir(around.path()).expect("it is there").count() <= 1,
        "nothing beside the store"
    );
    error.to_string()
}

#[test]
fn archives_that_mean_harm_are_refused() {
    let manifest = format!("{ID}/manifest.json");
    for (name, why) in [
        (format!("{ID}/../../evil"), "is not the name of a file of a run"),
        (format!("{ID}/.hidden"), "is not the name of a file of a run"),
        (format!("{ID}/a/b"), "is not the name of a file of a run"),
        ("/etc/evil".to_owned(), "is not the name of a file of a run"),
        ("stray".to_owned(), "is not in its list"),
    ] {
        let error = refused(forged(None, &[(&name, b"x")]).path());
        assert!(error.contains(why), "{name}: {error}");
    }
    let many = |format: u32, id: &str| format!("{{\"format\": {format}, \"runs\": {{\"{id}\": {{}}}}}}");
    for (list, why) in [
        (many(2, ID), "its format is 2"),
        (many(1, "../evil"), "is not a run id"),
        ("{".to_owned(), "genie-runs.json"),
        (
            many(1, ID).replace("{}", "{\"ops.csv\": {\"bytes\": 1, \"sha256\": \"00\"}}"),
            "files of its list are missing",
        ),
        (many(1, ID), "cannot read"),
    ] {
        let error = refused(forged(Some(&list), &[]).path());
        assert!(error.contains(why), "{list}: {error}");
    }
    let large = many(1, ID).replace(
        "{}",
        "{\"manifest.json\": {\"bytes\": 300000000, \"sha256\": \"00\"}}",
    );
    let error = refused(forged(Some(&large), &[(&manifest, b"x")]).path());
    assert!(error.contains("are not measurements"), "{error}");
    // A list that says less than there is.
    let short = many(1, ID).replace("{}", "{\"manifest.json\": {\"bytes\": 5, \"sha256\": \"00\"}}");
    let error = refused(forged(Some(&short), &[(&manifest, &vec![0; 1 << 20])]).path());
    assert!(error.contains("6 bytes instead of 5"), "it stops there: {error}");
    for text in ["", "PK\u{3}\u{4}", "plain text"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        assert!(refused(file.path()).contains("is not an archive of runs"));
    }
}

#[test]
fn an_archive_with_any_byte_changed_is_refused_or_the_same() {
    let from = tempfile::tempdir().unwrap();
    stored(from.path(), ID);
    let file = from.path().join("runs.zip");
    archive::export(&Store::new(from.path()), &[id()], &file).unwrap();
    let mut bytes = Vec::new();
    File::open(&file).unwrap().read_to_end(&mut bytes).unwrap();
    for place in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        fs::write(&file, &damaged).unwrap();
        let to = tempfile::tempdir().unwrap();
        let store = Store::new(to.path());
        if archive::import(&store, &file).is_ok() {
            let found = reader::verify(&to.path().join(ID)).unwrap();
            assert_eq!(found, [""; 0], "byte {place}");
        } else {
            assert!(store.list().unwrap().is_empty(), "byte {place}");
        }
        fs::write(&file, &bytes[..place]).unwrap();
        assert!(archive::import(&Store::new(to.path().join("cut")), &file).is_err());
    }
}
