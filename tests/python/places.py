"""Reads a GeoParquet file of places with three libraries, which must agree, and prints what they read as JSON.

python3 places.py FILE
"""

import json
import struct
import sys

import duckdb
import geopandas
import pyarrow.parquet

file = sys.argv[1]
table = pyarrow.parquet.read_table(file)
frame = geopandas.read_parquet(file)
rows = duckdb.sql(f"select * exclude (geometry) from '{file}'").fetchall()
names = [column for column in table.column_names if column != "geometry"]
within = duckdb.sql(
    f"select count(*) from '{file}' where bbox.xmin between 126.93 and 126.96 and bbox.ymin between 37.55 and 37.57"
).fetchall()[0][0]

assert [row[0] for row in rows] == table["place_id"].to_pylist() == list(frame["place_id"])
places = {}
for number, place in enumerate(table.to_pylist()):
    byte_order, kind, x, y = struct.unpack("<bIdd", place["geometry"])
    point = frame.geometry.iloc[number]
    assert (byte_order, kind) == (1, 1) and (point.x, point.y) == (x, y)
    assert place["bbox"] == {"xmin": x, "ymin": y, "xmax": x, "ymax": y}
    read = dict(zip(names, rows[number]))
    assert (read["name"], read["keywords"], read["lines"]) == (place["name"], place["keywords"], place["lines"])
    assert read["changed_at"] == place["changed_at"]
    places[place["place_id"]] = {
        key: place[key] for key in ("name", "phone", "keywords", "station", "region", "lines", "distance_m")
    } | {"x": x, "y": y, "is_closed": place["closed_at"] is not None}

metadata = pyarrow.parquet.read_metadata(file)
print(
    json.dumps(
        {
            "places": places,
            "within": within,
            "geo": json.loads(metadata.metadata[b"geo"]),
            "crs": frame.crs.to_string(),
            "compression": metadata.row_group(0).column(0).compression,
            "row_groups": [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)],
            "types": {field.name: str(field.type) for field in table.schema},
        }
    )
)
