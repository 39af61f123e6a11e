"""Checks the Django model of a document, and prints how many rows its query finds: python3 model.py DOCUMENT URL."""

import pathlib
import sys
import tempfile

import django
from django.conf import settings
from django.core.management import call_command
from psycopg.conninfo import conninfo_to_dict

document, url = sys.argv[1:]
_, section = pathlib.Path(document).read_text().split("\n## Django\n")
code = section.split("```python\n")[1].split("```")[0]
model, query = code.rstrip().rsplit("\n", 1)

folder = tempfile.TemporaryDirectory()
app = pathlib.Path(folder.name, "shop")
app.mkdir()
(app / "__init__.py").touch()
(app / "models.py").write_text(model)
sys.path.insert(0, folder.name)

server = conninfo_to_dict(url)
settings.configure(
    INSTALLED_APPS=["shop"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": server["host"],
            "PORT": server.get("port", ""),
            "USER": server["user"],
            "PASSWORD": server.get("password", ""),
            "NAME": server["dbname"],
            "OPTIONS": {"options": "-c search_path=public,sanggwond"},
        }
    },
    USE_TZ=True,
)
django.setup()
call_command("check", databases=["default"], fail_level="WARNING")
from shop.models import LocalInfo  # noqa: E402: the app is there only now

print(len(eval(query.replace("강남역", "신촌역"))))
