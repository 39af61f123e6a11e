//! Writes GeoParquet 1.1 (<https://geoparquet.org/releases/v1.1.0/>): the columns of the records, their position as WKB, and a
//! bounding box for readers that skip row groups.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Value, json};

use super::record::{Cell, Column, Kind, Record};

/// Rows that are collected before they are written as a row group.
const ROW_GROUP: usize = 10_000;

/// The fields of the bounding box of a row.
const BOX: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// A file that is being written.
pub(super) struct GeoParquet<W: Write + Send> {
    to: SerializedFileWriter<W>,
    columns: Vec<Values>,
    rows: usize,
    /// West, south, east and north of all positions so far.
    bounds: Option<[f64; 4]>,
}

/// The values of a leaf column that wait for their row group. A level says for each slot how much of the value is defined.
struct Values {
    data: Data,
    definition: Vec<i16>,
    /// 0 for the first text of a list, 1 for the others. Only lists have it.
    repetition: Vec<i16>,
}

enum Data {
    Bytes(Vec<ByteArray>),
    Numbers(Vec<i64>),
    Degrees(Vec<f64>),
    Flags(Vec<bool>),
}

impl<W: Write + Send> GeoParquet<W> {
    /// Starts a file of records with these columns.
    pub(super) fn begin(columns: &[Column], to: W) -> anyhow::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_created_by(format!("sanggwond {}", env!("CARGO_PKG_VERSION")))
            .build();
        let to = SerializedFileWriter::new(to, schema(columns)?, Arc::new(properties)).map_err(cause)?;
        let mut file = Self { to, columns: Vec::new(), rows: 0, bounds: None };
        file.columns = file.to.schema_descr().columns().iter().map(|leaf| Values::of(leaf.physical_type())).collect();
        Ok(file)
    }

    /// Adds a record.
    pub(super) fn add<R: Record>(&mut self, record: &R) -> anyhow::Result<()> {
        let position = record.position();
        let (cells, geometry) = (record.cells(), position.map(|(x, y)| well_known_binary(x, y)));
        let mut leaves = self.columns.iter_mut();
        for (cell, values) in cells.iter().zip(&mut leaves) {
            values.add(cell);
        }
        // The leaves after those of the cells: the geometry, and the four sides of its box.
        for (number, values) in leaves.enumerate() {
            match (number, position) {
                (0, _) => values.bytes(geometry.clone()),
                (1 | 3, Some((x, _))) => values.degrees(Some(x)),
                (2 | 4, Some((_, y))) => values.degrees(Some(y)),
                _ => values.degrees(None),
            }
        }
        if let Some((x, y)) = position {
            let [west, south, east, north] = self.bounds.unwrap_or([x, y, x, y]);
            self.bounds = Some([west.min(x), south.min(y), east.max(x), north.max(y)]);
        }
        self.rows += 1;
        if self.rows == ROW_GROUP { self.write() } else { Ok(()) }
    }

    /// Ends the file and flushes it.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        if self.rows > 0 {
            self.write()?;
        }
        let about = metadata(self.bounds).to_string();
        self.to.append_key_value_metadata(KeyValue::new("geo".to_owned(), about));
        self.to.finish().map_err(cause)?;
        Ok(())
    }

    /// Writes the rows that wait as a row group.
    fn write(&mut self) -> anyhow::Result<()> {
        let mut group = self.to.next_row_group().map_err(cause)?;
        for values in &mut self.columns {
            let Some(leaf) = group.next_column().map_err(cause)? else { break };
            values.write(leaf).map_err(cause)?;
        }
        group.close().map_err(cause)?;
        self.rows = 0;
        Ok(())
    }
}

/// The error of the destination, if that is what is wrong.
fn cause(error: ParquetError) -> anyhow::Error {
    let ParquetError::External(error) = error else { return error.into() };
    match error.downcast::<std::io::Error>() {
        Ok(error) => (*error).into(),
        Err(error) => anyhow::anyhow!(error),
    }
}

impl Values {
    fn of(kind: PhysicalType) -> Self {
        let data = match kind {
            PhysicalType::INT64 => Data::Numbers(Vec::new()),
            PhysicalType::DOUBLE => Data::Degrees(Vec::new()),
            PhysicalType::BOOLEAN => Data::Flags(Vec::new()),
            PhysicalType::BYTE_ARRAY
            | PhysicalType::FIXED_LEN_BYTE_ARRAY
            | PhysicalType::INT32
            | PhysicalType::INT96
            | PhysicalType::FLOAT => Data::Bytes(Vec::new()),
        };
        Self { data, definition: Vec::new(), repetition: Vec::new() }
    }

    fn add(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Text(text) => self.bytes(text.map(|text| text.as_bytes().to_vec())),
            Cell::Json(value) => self.bytes(value.map(|value| value.to_string().into_bytes())),
            Cell::Number(number) => self.number(*number),
            Cell::Instant(at) => self.number(at.map(|at| at.timestamp_micros())),
            Cell::Degrees(degrees) => self.degrees(*degrees),
            Cell::Flag(flag) => self.flag(*flag),
            Cell::Texts(texts) => self.texts(texts),
        }
    }

    fn bytes(&mut self, bytes: Option<Vec<u8>>) {
        self.definition.push(i16::from(bytes.is_some()));
        if let Data::Bytes(values) = &mut self.data {
            values.extend(bytes.map(ByteArray::from));
        }
    }

    fn number(&mut self, number: Option<i64>) {
        self.definition.push(i16::from(number.is_some()));
        if let Data::Numbers(values) = &mut self.data {
            values.extend(number);
        }
    }

    fn degrees(&mut self, degrees: Option<f64>) {
        self.definition.push(i16::from(degrees.is_some()));
        if let Data::Degrees(values) = &mut self.data {
            values.extend(degrees);
        }
    }

    fn flag(&mut self, flag: bool) {
        self.definition.push(1);
        if let Data::Flags(values) = &mut self.data {
            values.push(flag);
        }
    }

    /// A list, which may be empty (definition 0) but is never null.
    fn texts(&mut self, texts: &[String]) {
        if texts.is_empty() {
            self.definition.push(0);
            self.repetition.push(0);
        }
        for (number, text) in texts.iter().enumerate() {
            self.definition.push(1);
            self.repetition.push(i16::from(number > 0));
            if let Data::Bytes(values) = &mut self.data {
                values.push(text.as_str().into());
            }
        }
    }

    /// Writes the values as a column of a row group, and forgets them.
    fn write(&mut self, mut leaf: SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let definition = Some(&self.definition[..]);
        let repetition = (!self.repetition.is_empty()).then_some(&self.repetition[..]);
        match &mut self.data {
            Data::Bytes(values) => {
                leaf.typed::<ByteArrayType>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Data::Numbers(values) => {
                leaf.typed::<Int64Type>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Data::Degrees(values) => {
                leaf.typed::<DoubleType>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Data::Flags(values) => {
                leaf.typed::<BoolType>().write_batch(values, definition, repetition)?;
                values.clear();
            }
        }
        self.definition.clear();
        self.repetition.clear();
        leaf.close()
    }
}

/// A point in the little-endian form of WKB.
fn well_known_binary(x: f64, y: f64) -> Vec<u8> {
    let point = 1_u32;
    [&[1][..], &point.to_le_bytes(), &x.to_le_bytes(), &y.to_le_bytes()].concat()
}

/// The schema: a leaf for each column, then the geometry and its box.
fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let mut fields =
        columns.iter().map(|column| Ok(Arc::new(field(*column)?))).collect::<Result<Vec<_>, ParquetError>>()?;
    fields.push(Arc::new(Type::primitive_type_builder("geometry", PhysicalType::BYTE_ARRAY).build()?));
    let sides = BOX.map(|side| {
        Type::primitive_type_builder(side, PhysicalType::DOUBLE).with_repetition(Repetition::REQUIRED).build()
    });
    let sides = sides.into_iter().map(|side| side.map(Arc::new)).collect::<Result<_, _>>()?;
    let within = Type::group_type_builder("bbox").with_repetition(Repetition::OPTIONAL).with_fields(sides);
    fields.push(Arc::new(within.build()?));
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?))
}

fn field(column: Column) -> Result<Type, ParquetError> {
    let leaf = |name, kind| Type::primitive_type_builder(name, kind).with_repetition(Repetition::OPTIONAL);
    let text = |name| {
        Type::primitive_type_builder(name, PhysicalType::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::String))
            .with_converted_type(ConvertedType::UTF8)
    };
    match column.kind {
        Kind::Text | Kind::Json => text(column.name).with_repetition(Repetition::OPTIONAL).build(),
        Kind::Number => leaf(column.name, PhysicalType::INT64).build(),
        Kind::Degrees => leaf(column.name, PhysicalType::DOUBLE).build(),
        Kind::Flag => leaf(column.name, PhysicalType::BOOLEAN).build(),
        Kind::Instant => leaf(column.name, PhysicalType::INT64)
            .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
            .build(),
        Kind::Texts => {
            let element = text("element").with_repetition(Repetition::REQUIRED).build()?;
            let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
            let list = list.with_fields(vec![Arc::new(element)]).build()?;
            Type::group_type_builder(column.name)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::List))
                .with_converted_type(ConvertedType::LIST)
                .with_fields(vec![Arc::new(list)])
                .build()
        }
    }
}

/// The value of the key `geo`.
fn metadata(bounds: Option<[f64; 4]>) -> Value {
    let side = |side: &str| json!(["bbox", side]);
    let [west, south, east, north] = BOX.map(side);
    let mut geometry = json!({
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "crs": crs(),
        "covering": {"bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north}},
    });
    if let Some(bounds) = bounds {
        geometry["bbox"] = json!(bounds);
    }
    json!({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}})
}

/// OGC:CRS84 in PROJJSON: WGS 84 with the longitude first.
fn crs() -> Value {
    let axis = |name: &str, abbreviation: &str, direction: &str| json!({"name": name, "abbreviation": abbreviation, "direction": direction, "unit": "degree"});
    json!({
        "$schema": "https://proj.org/schemas/v0.7/projjson.schema.json",
        "type": "GeographicCRS",
        "name": "WGS 84 (CRS84)",
        "datum_ensemble": {
            "name": "World Geodetic System 1984 ensemble",
            "members": [
                {"name": "World Geodetic System 1984 (Transit)"},
                {"name": "World Geodetic System 1984 (G730)"},
                {"name": "World Geodetic System 1984 (G873)"},
                {"name": "World Geodetic System 1984 (G1150)"},
                {"name": "World Geodetic System 1984 (G1674)"},
                {"name": "World Geodetic System 1984 (G1762)"},
                {"name": "World Geodetic System 1984 (G2139)"},
            ],
            "ellipsoid": {"name": "WGS 84", "semi_major_axis": 6_378_137, "inverse_flattening": 298.257_223_563},
            "accuracy": "2.0",
            "id": {"authority": "EPSG", "code": 6326},
        },
        "coordinate_system": {
            "subtype": "ellipsoidal",
            "axis": [axis("Geodetic longitude", "Lon", "east"), axis("Geodetic latitude", "Lat", "north")],
        },
        "id": {"authority": "OGC", "code": "CRS84"},
    })
}
