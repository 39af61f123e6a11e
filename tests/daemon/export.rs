//! `export`: GDAL, the library that QGIS reads files with, reads the files back, and no file is incomplete.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Stage;
use crate::support::python::python;

/// Names with commas, quotes, backslashes and line breaks, which CSV and JSON must escape.
const ODD_NAMES: &str = r#"
    update place set name = E'a "quoted" name, with commas\nand lines' where place_id = '1';
    update place set name = E'ends with a quote"', phone = '  02  ' where place_id = '2';
    update place set name = E'\\ back\\slash; semicolon	tab' where place_id = '3';
    update place set name = '꽃집 ☕ 👨‍🍳', phone = null where place_id = '4';
    update place set name = '=1+1', longitude = 126.12345678912, latitude = 37.0000000004 where place_id = '5';
    update place set closed_at = now() where place_id = '6';
    insert into place (place_id, name, latitude, longitude, first_seen_at, changed_at)
    values ('99', 'beside the circles', 37.6, 127.2, now(), now());
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
async fn gdal_reads_the_same_places_from_every_text_format() {
    let stage = stage().await;
    let stored = stored(&stage).await;
    let open_as_points =
        ["-a_srs", "EPSG:4326", "-oo", "X_POSSIBLE_NAMES=longitude", "-oo", "Y_POSSIBLE_NAMES=latitude"];

    for (format, options) in [("csv", &open_as_points[..]), ("geojson", &[]), ("ndjson", &[])] {
        let file = stage.folder.path().join(format!("places.{format}"));
        let arguments = ["export", "--all", "--format", format, "--output", file.to_str().unwrap()];
        let said = stage.program(&arguments).finish().await.expect_code(0).stdout;
        assert!(said.starts_with("27 places written to "), "{said}");

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
    assert_eq!(exported(&["--all"]).await, 27, "with the one beside the circles");
    assert_eq!(exported(&["--open"]).await, 25);
    assert_eq!(exported(&["--open", "--all"]).await, 26);
    assert_eq!(exported(&["--station", "서울"]).await, 5);
    assert_eq!(exported(&["--keyword", "공원"]).await, 1);
    assert_eq!(exported(&["--keyword", "공원", "--station", "서울역"]).await, 0);
}

/// The properties of the places in a GeoJSON export, by id.
async fn properties(stage: &Stage, arguments: &[&str]) -> BTreeMap<String, Value> {
    let arguments = [&["export", "--format", "ndjson"], arguments].concat();
    let lines = stage.program(&arguments).finish().await.expect_code(0).stdout;
    let features = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    features.map(|feature| (feature["id"].as_str().unwrap().to_owned(), feature["properties"].clone())).collect()
}

#[tokio::test]
async fn the_distance_is_that_to_the_station_that_was_asked_for() {
    let stage = stage().await;
    // Place 1 is near 신촌역 and, farther away, near another station.
    stage
        .execute(
            "insert into station (name, region, lines, latitude, longitude) values ('서강역', '수도권', '{경의중앙선,공항철도}', 37.55, 126.93);
             insert into listing (station_id, keyword_id, place_id, distance_m)
             select max(station_id), 1, '1', 900 from station",
        )
        .await;

    let (nearest, asked) = (properties(&stage, &[]).await, properties(&stage, &["--station", "서강"]).await);

    assert_eq!((&nearest["1"]["station"], &nearest["1"]["region"]), (&json!("신촌역"), &json!("수도권")));
    assert_eq!(nearest["1"]["lines"], json!(["2호선", "신안산선"]));
    assert_eq!(asked.keys().collect::<Vec<_>>(), ["1"]);
    assert_eq!((&asked["1"]["station"], &asked["1"]["distance_m"]), (&json!("서강역"), &json!(900)));
    assert_eq!(asked["1"]["lines"], json!(["경의중앙선", "공항철도"]));
    let refused =
        stage.program(&["export", "--format", "csv", "--all", "--station", "서강"]).finish().await.expect_code(2);
    assert!(refused.stderr.contains("--all") && refused.stderr.contains("--station"), "{}", refused.stderr);
}

#[tokio::test]
async fn an_export_shows_one_state_of_the_database() {
    let stage = stage().await;
    // More than fit into a pipe, so that the program waits for its reader in the middle.
    stage
        .execute(
            "insert into place (place_id, name, latitude, longitude, first_seen_at, changed_at)
             select 'x' || lpad(number::text, 5, '0'), repeat('이름', 60), 37.6, 127.2, now(), now() from generate_series(1, 9000) as number",
        )
        .await;
    let (mut from, to) = std::io::pipe().unwrap();
    let export = stage.program(&["export", "--format", "csv", "--all"]).start_into(to);
    let mut csv = vec![0; 1000];
    from.read_exact(&mut csv).unwrap();
    stage.execute("delete from place where place_id > 'x04000'").await;

    from.read_to_end(&mut csv).unwrap();

    export.finish().await.expect_code(0);
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.lines().filter(|line| line.starts_with('x')).count(), 9000);
}

#[tokio::test]
async fn flatgeobuf_is_made_from_ndjson() {
    let stage = stage().await;
    let (lines, binary) = (stage.folder.path().join("places.ndjson"), stage.folder.path().join("places.fgb"));
    stage.program(&["export", "--format", "ndjson", "--output", lines.to_str().unwrap()]).finish().await.expect_code(0);

    let made = Command::new("ogr2ogr")
        .args(["-f", "FlatGeobuf", "-mapFieldType", "StringList=String"])
        .arg(&binary)
        .arg(&lines)
        .output()
        .unwrap();

    assert!(made.status.success() && made.stderr.is_empty(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = read_by_gdal(&binary, &[]);
    assert_eq!((read.len(), &read["31"]["properties"]["station"]), (26, &json!("서울역")));
}

#[tokio::test]
async fn duckdb_pyarrow_and_geopandas_read_the_same_places_from_geoparquet() {
    let test = "duckdb_pyarrow_and_geopandas_read_the_same_places_from_geoparquet";
    let stage = stage().await;
    let stored = stored(&stage).await;
    let file = stage.folder.path().join("places.parquet");
    let arguments = ["export", "--format", "parquet", "--all", "--output", file.to_str().unwrap()];
    stage.program(&arguments).finish().await.expect_code(0);
    let Some(mut python) = python(test, "places.py") else { return };

    let output = python.arg(&file).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let places = read["places"].as_object().unwrap();
    assert_eq!(places.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>());
    for (id, (name, phone, x, y)) in &stored {
        let place = &places[id];
        assert_eq!((&place["name"], &place["phone"]), (&json!(name), &json!(phone)));
        let degrees = |axis: &str| place[axis].as_f64().unwrap();
        assert!((degrees("x") - x).abs() < 1e-7 && (degrees("y") - y).abs() < 1e-7, "{place}");
    }
    let (park, beside) = (&places["21"], &places["99"]);
    assert_eq!((&park["keywords"], &park["region"]), (&json!(["공원", "카페"]), &json!("수도권")));
    assert_eq!((&beside["keywords"], &beside["lines"], &beside["station"]), (&json!([]), &json!([]), &Value::Null));
    assert_eq!((&places["6"]["is_closed"], &park["is_closed"]), (&json!(true), &json!(false)));
    let geometry = &read["geo"]["columns"]["geometry"];
    assert_eq!((&read["geo"]["version"], &geometry["encoding"]), (&json!("1.1.0"), &json!("WKB")));
    assert_eq!(geometry["covering"]["bbox"]["xmax"], json!(["bbox", "xmax"]));
    assert_eq!((&geometry["bbox"][2], &read["compression"]), (&json!(127.2), &json!("ZSTD")));
    assert!(read["crs"].as_str().unwrap().contains("CRS84"), "{}", read["crs"]);
    assert_eq!((&read["within"], &read["row_groups"]), (&json!(20), &json!([27])));
    assert_eq!(read["types"]["first_seen_at"], "timestamp[us, tz=UTC]");
}

#[tokio::test]
async fn changes_are_exported_in_every_format() {
    let stage = stage().await;
    stage.execute("update place set phone = '02-1' where place_id = '1'").await;
    stage.crawl().await;
    let lines =
        stage.program(&["export", "changes", "--since", "1d", "--format", "ndjson"]).finish().await.expect_code(0);
    let geojson = stage.program(&["export", "changes", "--format", "geojson"]).finish().await.expect_code(0).stdout;
    let csv = stage.program(&["export", "changes", "--format", "csv"]).finish().await.expect_code(0).stdout;
    let shown = stage.program(&["changes", "--format", "csv"]).finish().await.expect_code(0).stdout;
    let excel =
        stage.program(&["export", "changes", "--format", "csv", "--excel"]).finish().await.expect_code(0).stdout;
    let file = stage.folder.path().join("changes.parquet");
    let arguments =
        ["export", "changes", "--kind", "changed", "--format", "parquet", "--output", file.to_str().unwrap()];
    let said = stage.program(&arguments).finish().await.expect_code(0).stdout;

    let of_one = lines.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_one = of_one.into_iter().find(|feature| feature["properties"]["place_id"] == "1").unwrap();
    assert_eq!(of_one["properties"]["kind"], "changed");
    assert_eq!(of_one["properties"]["before"]["phone"], "02-1");
    assert_eq!(of_one["geometry"]["coordinates"][0], 126.937);
    let collection: Value = serde_json::from_str(&geojson).unwrap();
    assert_eq!(collection["features"].as_array().unwrap().len(), lines.stdout.lines().count());
    assert_eq!(csv, shown, "the command changes writes the same CSV");
    assert!(excel.starts_with('\u{feff}'), "{excel}");
    assert!(said.contains("changes written to") && std::fs::read(&file).unwrap().starts_with(b"PAR1"), "{said}");
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
