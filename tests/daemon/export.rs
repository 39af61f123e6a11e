//! `export`: GDAL, the library that QGIS reads files with, reads the files back, and no file is incomplete.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Stage;

/// Names with commas, quotes, backslashes and line breaks, which CSV and JSON must escape.
const ODD_NAMES: &str = r#"
    update place set name = E'a "quoted" name, with commas\nand lines' where place_id = '1';
    update place set name = E'ends with a quote"', phone = '  02  ' where place_id = '2';
    update place set name = E'\\ back\\slash; semicolon	tab' where place_id = '3';
    update place set name = '꽃집 ☕ 👨‍🍳', phone = null where place_id = '4';
    update place set name = '=1+1', longitude = 126.12345678912, latitude = 37.0000000004 where place_id = '5';
    update place set closed_at = now() where place_id = '6';
    update place_keyword set gone_at = now() where place_id in ('6', '21')"#;

async fn stage() -> Stage {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute(ODD_NAMES).await;
    stage
}

/// The features that GDAL reads from a file, by place.
fn read_by_gdal(file: &Path, options: &[&str]) -> BTreeMap<String, Value> {
    let read = Command::new("ogr2ogr")
        .args(["-f", "GeoJSONSeq", "-mapFieldType", "DateTime=String", "/vsistdout/"])
        .arg(file)
        .args(options)
        .output();
    let output = read.expect("ogr2ogr is installed (Debian: gdal-bin)");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let features = text.lines().map(|line| serde_json::from_str::<Value>(line.trim_start_matches('\u{1e}')).unwrap());
    features.map(|feature| (feature["properties"]["place_id"].as_str().unwrap().to_owned(), feature)).collect()
}

/// The places in the database: name, phone, longitude and latitude.
async fn stored(stage: &Stage) -> BTreeMap<String, (String, Option<String>, f64, f64)> {
    let rows: Vec<(String, String, Option<String>, f64, f64)> =
        sqlx::query_as("select place_id, name, phone, longitude, latitude from place")
            .fetch_all(stage.pool())
            .await
            .unwrap();
    rows.into_iter().map(|(id, name, phone, x, y)| (id, (name, phone, x, y))).collect()
}

#[tokio::test]
async fn gdal_reads_the_same_places_from_both_formats() {
    let stage = stage().await;
    let stored = stored(&stage).await;
    let open_as_points =
        ["-a_srs", "EPSG:4326", "-oo", "X_POSSIBLE_NAMES=longitude", "-oo", "Y_POSSIBLE_NAMES=latitude"];

    for (format, options) in [("csv", &open_as_points[..]), ("geojson", &[])] {
        let file = stage.folder.path().join(format!("places.{format}"));
        let arguments = ["export", "--format", format, "--output", file.to_str().unwrap()];
        let said = stage.program(&arguments).finish().await.expect_code(0).stdout;
        assert!(said.starts_with("26 places written to "), "{said}");

        let read = read_by_gdal(&file, options);

        assert_eq!(read.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>());
        for (id, (name, phone, x, y)) in &stored {
            let (feature, properties) = (&read[id], &read[id]["properties"]);
            assert_eq!(properties["name"], name.as_str(), "{format}");
            assert_eq!(
                properties["phone"].as_str().unwrap_or_default(),
                phone.as_deref().unwrap_or_default(),
                "{format}"
            );
            let degrees = |axis: usize| feature["geometry"]["coordinates"][axis].as_f64().unwrap();
            assert!((degrees(0) - x).abs() < 1e-7 && (degrees(1) - y).abs() < 1e-7, "{format}: {feature}");
        }
        let keywords = if format == "csv" { json!("공원;카페") } else { json!(["공원", "카페"]) };
        assert_eq!(read["21"]["properties"]["keywords"], keywords);
        assert_eq!(read["31"]["properties"]["station"], "서울역");
    }
}

#[tokio::test]
async fn the_files_conform_to_rfc_4180_and_rfc_7946() {
    let stage = stage().await;
    let export = async |format| stage.program(&["export", "--format", format]).finish().await.expect_code(0).stdout;

    let csv = export("csv").await;
    let geojson: Value = serde_json::from_str(&export("geojson").await).unwrap();

    assert!(csv.starts_with("place_id,name,category_name,") && csv.ends_with("\r\n"));
    assert!(csv.contains("1,\"a \"\"quoted\"\" name, with commas\nand lines\",음식점 > 카페,CE7,"), "{csv}");
    assert!(csv.contains(",37,126.1234568,"), "{csv}");
    assert_eq!(csv.matches("\r\n").count(), 27, "a header and 26 places");
    assert_eq!(geojson["type"], "FeatureCollection");
    let feature = &geojson["features"][0];
    assert_eq!((&feature["type"], &feature["id"]), (&"Feature".into(), &"1".into()));
    assert_eq!(feature["geometry"]["coordinates"][0], 126.937);
}

#[tokio::test]
async fn an_export_contains_the_selected_places() {
    let stage = stage().await;
    let exported = async |arguments: &[&str]| {
        let arguments = [&["export", "--format", "geojson"], arguments].concat();
        let geojson = stage.program(&arguments).finish().await.expect_code(0).stdout;
        serde_json::from_str::<Value>(&geojson).unwrap()["features"].as_array().unwrap().len()
    };

    assert_eq!(exported(&[]).await, 26);
    assert_eq!(exported(&["--open"]).await, 25);
    assert_eq!(exported(&["--station", "서울"]).await, 5);
    assert_eq!(exported(&["--keyword", "공원"]).await, 1);
    assert_eq!(exported(&["--keyword", "공원", "--station", "서울역"]).await, 0);
}

#[tokio::test]
async fn a_failed_export_does_not_change_the_file() {
    let stage = stage().await;
    let file = stage.folder.path().join("places.csv");
    let arguments = ["export", "--format", "csv", "--output", file.to_str().unwrap()];
    stage.program(&arguments).finish().await.expect_code(0);
    let whole = std::fs::read_to_string(&file).unwrap();
    let files = || std::fs::read_dir(stage.folder.path()).unwrap().count();
    let before = files();

    stage.execute("alter table place_keyword rename to hidden").await;
    stage.program(&arguments).finish().await.expect_code(1);
    stage.program(&["export", "--format", "csv"]).finish().await.expect_code(1);
    stage.execute("alter table hidden rename to place_keyword").await;
    let mut holder = stage.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table place in access exclusive mode").execute(&mut *holder).await.unwrap();
    let waiting = stage.program(&arguments).start();
    stage.blocked_by_a_lock().await;
    waiting.terminate().await.expect_code(4);
    holder.rollback().await.unwrap();

    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
    assert_eq!(files(), before, "no draft is left");
    let nowhere = stage.folder.path().join("nowhere/places.csv");
    let arguments = ["export", "--format", "csv", "--output", nowhere.to_str().unwrap()];
    let refused = stage.program(&arguments).finish().await.expect_code(1);
    assert!(
        refused.stderr.contains("could not write") && refused.stderr.contains("nowhere/places.csv"),
        "{}",
        refused.stderr
    );
}
