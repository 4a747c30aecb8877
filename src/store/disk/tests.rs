//! What is only added to has an end.

use super::*;

fn disk(directory: &std::path::Path) -> Disk {
    Disk::new(directory.join("state.redb"))
}

fn put(table: Table, number: usize, length: usize) -> Write {
    Write::put(table, &format!("{number:06}"), vec![7; length])
}

fn size(disk: &Disk) -> u64 {
    std::fs::metadata(&disk.path).expect("there").len()
}

/// A file with a few small rows, in which there were large ones.
fn bloated(directory: &std::path::Path) -> Disk {
    let disk = disk(directory);
    let large: Vec<_> = (0..40).map(|n| put(Table::Values, n, 1 << 20)).collect();
    disk.write(large.iter()).expect("written");
    let mut rest: Vec<_> = (0..40)
        .map(|n| Write::delete(Table::Values, &format!("{n:06}")))
        .collect();
    rest.push(put(Table::Images, 1, 100));
    rest.push(put(Table::SetAside, 2, 100));
    disk.write(rest.iter()).expect("written");
    disk
}

#[test]
fn a_file_that_is_mostly_free_is_written_anew_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = bloated(dir.path());
    let contents = disk.read().expect("reads");
    let before = size(&disk);
    assert!(before > 40 << 20, "{before}");
    disk.compact(before + 1, u64::MAX);
    assert_eq!(size(&disk), before, "it is small enough");
    disk.compact(1, 100);
    assert_eq!(size(&disk), before, "it would take too long");
    disk.compact(1, u64::MAX);
    assert!(size(&disk) < 4 << 20, "{}", size(&disk));
    assert_eq!(disk.read().expect("reads"), contents);
    let aside = stored_bytes(&disk.opened().expect("opens")).expect("counted");
    assert!(aside > 200, "what was set aside is there too: {aside}");
    disk.write([put(Table::Images, 3, 10)].iter())
        .expect("it goes on");
    let names = std::fs::read_dir(dir.path()).expect("a directory").count();
    assert_eq!(names, 1, "nothing is left beside it");
}

#[test]
fn a_file_that_cannot_be_written_anew_stays() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = bloated(dir.path());
    let before = size(&disk);
    // The new file's name is taken by something that cannot be removed as a file.
    std::fs::create_dir(dir.path().join("state.redb.new")).expect("made");
    disk.compact(1, u64::MAX);
    assert_eq!(size(&disk), before);
    disk.write([put(Table::Images, 3, 10)].iter())
        .expect("it goes on");
}

#[test]
fn rows_that_were_set_aside_have_an_end() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = disk(dir.path());
    disk.trim_set_aside().expect("nothing to do");
    let many: Vec<_> = (0..MAX_ASIDE_ROWS + 50)
        .map(|n| put(Table::SetAside, n, 10))
        .collect();
    disk.write(many.iter()).expect("written");
    let rows = |disk: &Disk| {
        disk.trim_set_aside().expect("trimmed");
        let transaction = disk.opened().expect("opens").begin_read().expect("reads");
        let table = transaction.open_table(Table::SetAside.definition());
        let table = table.expect("the table");
        let bytes = table
            .iter()
            .expect("rows")
            .map(|row| row.expect("a row").1.value().len());
        bytes.collect::<Vec<_>>()
    };
    assert_eq!(rows(&disk).len(), MAX_ASIDE_ROWS);
    let large: Vec<_> = (0..3)
        .map(|n| put(Table::SetAside, 100_000 + n, MAX_ASIDE_BYTES / 2 - 100))
        .collect();
    disk.write(large.iter()).expect("written");
    assert!(rows(&disk).iter().sum::<usize>() <= MAX_ASIDE_BYTES);
}

#[test]
fn single_rows_are_read_while_others_write() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = disk(dir.path());
    let keys = [(Table::Images, "000001"), (Table::Values, "nothing")];
    assert_eq!(
        disk.rows(&keys).expect("reads"),
        [None, None],
        "no table yet"
    );
    disk.write([put(Table::Images, 1, 3)].iter())
        .expect("written");
    let want = [Some(vec![7; 3]), None];
    let database = disk.opened().expect("opens");
    let transaction = database.begin_write().expect("begins");
    assert_eq!(disk.clone().rows(&keys).expect("reads"), want);
    transaction.abort().expect("ends");
    drop(database);
    disk.close();
    assert_eq!(disk.rows(&keys).expect("it is opened again"), want);
}
