//! The file source on real folders.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tokio::time::Instant;
use weir_proto::model::Kind;

use super::proxy::NEVER;
use super::world::{Folder, World, backend, pool, weight};

#[tokio::test]
async fn every_manifest_below_the_folder_is_read() {
    let folder = Folder::new(&[("a.yaml", &(pool("a", 1) + &pool("b", 2))), ("readme.md", "no: manifest")]);
    fs::create_dir_all(folder.path("x/y")).unwrap();
    folder.write("x/c.yml", &pool("c", 3));
    let json =
        r#"{"apiVersion": "weir.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "d"}, "spec": {"weight": 4}}"#;
    folder.write("x/y/d.json", json);
    let world = World::start(&folder).await;
    let weights = ["a", "b", "c", "d"].map(|name| world.weight(name));
    assert_eq!(weights, [Some(1), Some(2), Some(3), Some(4)]);
    world.stop().await;
}

/// Best of five, as another test may have the processor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_live_within_100_ms() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let mut world = World::start(&folder).await;
    assert!(quickest(&mut world, 2..7, |weight| folder.write("a.yaml", &pool("a", weight))).await < LIVE_WITHIN);
}

/// Writes a weight with `write`, some times over, and says how long the quickest took to be live.
async fn quickest(world: &mut World, weights: std::ops::Range<u32>, mut write: impl FnMut(u32)) -> Duration {
    let mut best = Duration::MAX;
    for weight in weights {
        write(weight);
        best = best.min(world.becomes("a", Some(weight)).await);
    }
    best
}

const LIVE_WITHIN: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_deleted_and_made_again_is_watched_again() {
    let parent = Folder::new(&[]);
    let conf = parent.path("conf");
    fs::create_dir(&conf).unwrap();
    parent.write("conf/a.yaml", &pool("a", 1));
    let mut world = World::start_at(conf.clone()).await;
    let best = quickest(&mut world, 2..7, |weight| {
        fs::remove_dir_all(&conf).unwrap();
        fs::create_dir(&conf).unwrap();
        parent.write("conf/a.yaml", &pool("a", weight));
    });
    assert!(best.await < LIVE_WITHIN);
    assert!(quickest(&mut world, 7..12, |weight| parent.write("conf/a.yaml", &pool("a", weight))).await < LIVE_WITHIN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_link_leads_to_is_watched_wherever_it_is() {
    let (folder, outside) = (Folder::new(&[]), Folder::new(&[("target", &pool("a", 1))]));
    symlink(outside.path("target"), folder.path("a.yaml")).unwrap();
    let mut world = World::start(&folder).await;
    let best = quickest(&mut world, 2..7, |weight| outside.write("target", &pool("a", weight)));
    assert!(best.await < LIVE_WITHIN, "edited in place");
    let best = quickest(&mut world, 7..12, |weight| {
        outside.write("new", &pool("a", weight));
        fs::rename(outside.path("new"), outside.path("target")).unwrap();
    });
    assert!(best.await < LIVE_WITHIN, "replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linked_folder_is_watched_after_its_link_was_swapped() {
    let (folder, outside) = (Folder::new(&[]), Folder::new(&[]));
    for (name, weight) in [("v1", 1), ("v2", 2)] {
        fs::create_dir(outside.path(name)).unwrap();
        outside.write(&format!("{name}/a.yaml"), &pool("a", weight));
    }
    symlink(outside.path("v1"), folder.path("sub")).unwrap();
    let mut world = World::start(&folder).await;
    symlink(outside.path("v2"), folder.path("sub.new")).unwrap();
    fs::rename(folder.path("sub.new"), folder.path("sub")).unwrap();
    world.becomes("a", Some(2)).await;
    let best = quickest(&mut world, 3..8, |weight| outside.write("v2/a.yaml", &pool("a", weight)));
    assert!(best.await < LIVE_WITHIN);
}

/// As releases are switched: the folder that is watched is itself a link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_of_the_folder_itself_is_live_within_100_ms() {
    let parent = Folder::new(&[]);
    let release = |weight: u32| {
        let name = format!("release-{weight}");
        fs::create_dir(parent.path(&name)).unwrap();
        parent.write(&format!("{name}/a.yaml"), &pool("a", weight));
        symlink(name, parent.path("next")).unwrap();
        fs::rename(parent.path("next"), parent.path("current")).unwrap();
    };
    release(1);
    let mut world = World::start_at(parent.path("current")).await;
    assert!(quickest(&mut world, 2..7, release).await < LIVE_WITHIN);
    let best = quickest(&mut world, 7..12, |weight| parent.write("release-6/a.yaml", &pool("a", weight)));
    assert!(best.await < LIVE_WITHIN, "and what it leads to now is watched");
}

#[tokio::test]
async fn new_folders_and_deleted_files_are_noticed() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let mut world = World::start(&folder).await;
    fs::create_dir(folder.path("new")).unwrap();
    folder.write("new/b.yaml", &pool("b", 2));
    world.becomes("b", Some(2)).await;
    folder.write("new/b.yaml", &pool("b", 3));
    world.becomes("b", Some(3)).await;
    folder.delete("a.yaml");
    world.becomes("a", None).await;
    assert_eq!(world.weight("b"), Some(3));
}

/// As the kubelet does it: all files are links into `..data`, which is swapped for another folder at once.
#[tokio::test]
async fn a_symlink_swap_is_one_change() {
    let folder = Folder::new(&[]);
    let version = |name: &str, weight: u32| {
        fs::create_dir(folder.path(name)).unwrap();
        folder.write(&format!("{name}/web.yaml"), &(pool("a", weight) + &backend("x", "a", weight)));
    };
    version("..1", 1);
    symlink("..1", folder.path("..data")).unwrap();
    symlink("..data/web.yaml", folder.path("web.yaml")).unwrap();
    let mut world = World::start(&folder).await;
    assert_eq!(world.weight("a"), Some(1));
    let mut snapshots = world.snapshots();
    snapshots.mark_unchanged();
    for (name, new) in [("..2", 2), ("..3", 3)] {
        version(name, new);
        symlink(name, folder.path("..data_tmp")).unwrap();
        fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        world.becomes("x", Some(new)).await;
        assert_eq!(world.weight("a"), Some(new), "both at once");
        fs::remove_dir_all(folder.path(&format!("..{}", new - 1))).unwrap();
    }
    assert_eq!(world.json("/api/v1/resources").await["problems"].as_array().unwrap().len(), 0);
}

/// Whatever a writer does between truncating and closing, what the file held stays in force.
#[tokio::test]
async fn s1_a_file_being_rewritten_is_never_taken_for_a_deletion() {
    let text = pool("a", 2) + &pool("b", 2);
    let folder = Folder::new(&[("a.yaml", &(pool("a", 1) + &pool("b", 1)))]);
    let mut world = World::start(&folder).await;
    let mut file = File::create(folder.path("a.yaml")).unwrap();
    let mut snapshots = world.snapshots();
    snapshots.mark_unchanged();
    for part in text.as_bytes().chunks(text.len() / 2) {
        // The writer is slow: every limit of the source passes meanwhile.
        let changed = tokio::time::timeout(NEVER, snapshots.changed()).await;
        assert!(changed.is_err(), "half a file was taken for the whole");
        file.write_all(part).unwrap();
    }
    drop(file);
    world.becomes("b", Some(2)).await;
    assert_eq!(world.weight("a"), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_a_thousand_rewrites_never_lose_a_resource() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let mut world = World::start(&folder).await;
    let mut snapshots = world.snapshots();
    let watcher = tokio::spawn(async move {
        loop {
            let snapshot = snapshots.borrow_and_update().clone().unwrap();
            let now = weight(&snapshot, "a").expect("the resource was lost");
            if now == 1_000 || snapshots.changed().await.is_err() {
                return;
            }
        }
    });
    for weight in 2..=1_000 {
        if weight % 2 == 0 {
            folder.write("a.yaml", &pool("a", weight));
            continue;
        }
        // As editors do it: a new file takes the place of the old one.
        folder.write("a.yaml.new", &pool("a", weight));
        fs::rename(folder.path("a.yaml.new"), folder.path("a.yaml")).unwrap();
    }
    world.becomes("a", Some(1_000)).await;
    watcher.await.unwrap();
}

#[tokio::test]
async fn s1_a_broken_file_is_refused_alone_and_said_where() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1)), ("b.yaml", &pool("b", 1))]);
    let mut world = World::start(&folder).await;
    folder.write("a.yaml", &format!("{}---\nkind: [\n", pool("a", 2)));
    folder.write("b.yaml", &pool("b", 2));
    world.becomes("b", Some(2)).await;
    world.becomes("a", Some(2)).await;
    let shown = world.shows("/api/v1/resources", |shown| !shown["problems"][0].is_null()).await;
    assert_eq!(shown["problems"][0]["file"], folder.path("a.yaml").display().to_string());
    assert_eq!(shown["problems"][0]["line"], 8);
    folder.write("a.yaml", &pool("a", 3));
    world.becomes("a", Some(3)).await;
    world.shows("/api/v1/resources", |shown| shown["problems"][0].is_null()).await;
}

#[tokio::test]
async fn s1_a_file_that_is_nothing_but_broken_keeps_what_it_gave() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1))]);
    let world = World::start(&folder).await;
    folder.write("a.yaml", "kind: {{{\n");
    world.shows("/api/v1/resources", |shown| !shown["problems"][0].is_null()).await;
    assert_eq!(world.weight("a"), Some(1));
}

#[tokio::test]
async fn a_file_emptied_on_purpose_gives_nothing_any_more() {
    let folder = Folder::new(&[("a.yaml", &pool("a", 1)), ("b.yaml", &pool("b", 1))]);
    let mut world = World::start(&folder).await;
    folder.write("a.yaml", "");
    world.becomes("a", None).await;
    folder.write("b.yaml", "# nothing\n");
    world.becomes("b", None).await;
}

#[tokio::test]
async fn a_folder_below_may_be_moved_away() {
    let folder = Folder::new(&[]);
    fs::create_dir(folder.path("sub")).unwrap();
    folder.write("sub/a.yaml", &pool("a", 1));
    let mut world = World::start(&folder).await;
    let away = Folder::new(&[]);
    fs::rename(folder.path("sub"), away.path("sub")).unwrap();
    world.becomes("a", None).await;
}

#[tokio::test]
async fn a_duplicate_is_refused_until_the_first_is_gone() {
    let folder = Folder::new(&[("b.yaml", &pool("a", 1))]);
    let mut world = World::start(&folder).await;
    folder.write("a.yaml", &pool("a", 2));
    let shown = world.shows("/api/v1/resources", |shown| !shown["problems"][0].is_null()).await;
    let message = shown["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("b.yaml:2"), "{message}");
    assert_eq!(world.weight("a"), Some(1));
    folder.delete("b.yaml");
    world.becomes("a", Some(2)).await;
}

#[tokio::test]
async fn a_folder_that_goes_away_leaves_all_in_force_and_may_come_back() {
    let parent = Folder::new(&[]);
    fs::create_dir(parent.path("conf")).unwrap();
    parent.write("conf/a.yaml", &pool("a", 1));
    let mut world = World::start_at(parent.path("conf")).await;
    fs::rename(parent.path("conf"), parent.path("away")).unwrap();
    let lost = |shown: &serde_json::Value| shown["problems"].to_string().contains("keeping what it held");
    world.shows("/api/v1/resources", lost).await;
    assert_eq!(world.weight("a"), Some(1));
    parent.write("away/a.yaml", &pool("a", 2));
    fs::rename(parent.path("away"), parent.path("conf")).unwrap();
    world.becomes("a", Some(2)).await;
    parent.write("conf/a.yaml", &pool("a", 3));
    world.becomes("a", Some(3)).await;
}

#[tokio::test]
async fn a_thousand_files_load_and_one_of_them_changes() {
    let folder = Folder::new(&[]);
    for i in 0..1_000 {
        folder.write(
            &format!("{i}.yaml"),
            &(pool(&format!("p{i}"), 1) + &backend(&format!("b{i}"), &format!("p{i}"), 1)),
        );
    }
    let mut world = World::start(&folder).await;
    let snapshot = world.snapshot();
    assert_eq!((snapshot.count(Kind::Pool), snapshot.count(Kind::Backend)), (1_000, 1_000));
    let start = Instant::now();
    folder.write("500.yaml", &(pool("p500", 7) + &backend("b500", "p500", 7)));
    world.becomes("b500", Some(7)).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}
