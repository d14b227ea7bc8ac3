//! Sins against the directory of modules: more in it than a host looks at, names that are too long.

use std::fs;

use super::arena::Arena;

/// The reason for which a file is not taken up.
async fn refusal_of(arena: &Arena, name: &str) -> Option<String> {
    let files = arena.database.store().host_files().await.expect("files");
    let file = files.into_iter().find(|(_, file)| file.file == name);
    file.and_then(|(_, file)| file.refusal)
}

#[tokio::test]
async fn more_modules_than_a_host_takes_are_refused_by_name() {
    let mut arena = Arena::open().await;
    // With the victim's own file that is one too many.
    for number in 0..1_000 {
        fs::write(arena.modules.file(&format!("z{number:03}.wasm")), b"").expect("written");
    }
    let refusal = arena
        .until_caught(async |arena| refusal_of(arena, "z999.wasm").await)
        .await;
    assert!(refusal.contains("1000 modules"), "{refusal}");
    assert!(refusal.contains("modules, which is fixed"), "{refusal}");
    arena.unharmed("a thousand modules", "modules").await;
}

#[tokio::test]
async fn a_directory_with_too_many_entries_changes_nothing() {
    let mut arena = Arena::open().await;
    for number in 0..10_001 {
        fs::write(arena.modules.file(&format!("{number}.txt")), b"").expect("written");
    }
    arena
        .until_caught(async |arena| {
            let said = arena.host.output();
            said.contains("directory-entries, which is fixed")
                .then_some(())
        })
        .await;
    arena
        .unharmed("ten thousand files", "directory-entries")
        .await;
}

#[tokio::test]
async fn a_file_whose_name_is_too_long_is_refused() {
    let mut arena = Arena::open().await;
    let name = format!("{}.wasm", "n".repeat(124));
    arena.modules.put(&name, "counts");
    let refusal = arena
        .until_caught(async |arena| {
            let files = arena.database.store().host_files().await.expect("files");
            files.into_iter().find_map(|(_, file)| file.refusal)
        })
        .await;
    assert!(
        refusal.contains("128 bytes (file-name-bytes, which is fixed)"),
        "{refusal}"
    );
    arena.unharmed("a long name", "file-name-bytes").await;
}
