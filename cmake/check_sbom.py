"""Check a wheel's SBOM against CycloneDX's schema, and that each project's licence is in the wheel.

    python cmake/check_sbom.py WHEEL

Needs cyclonedx-python-lib, which cmake/wheel_tools.py installs beside its other tools.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def faults(wheel: Path) -> list[str]:
    """Return what is wrong, as lines."""
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (sbom,) = [name for name in names if re.search(r"\.dist-info/sboms/[^/]+\.cdx\.json$", name)]
        text = files.read(sbom).decode()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        listed = {line[14:] for line in files.read(metadata).decode().splitlines() if line.startswith("License-File: ")}
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        return [f"the SBOM is not valid: {error}"]
    folder = sbom[: sbom.index("sboms/")] + "licenses/"
    held = {name.removeprefix(folder) for name in names if name.startswith(folder) and not name.endswith("/")}
    lines = [f"METADATA does not list the licence {name}" for name in sorted(held - listed)]
    lines += [f"METADATA lists {name}, which is not in the wheel" for name in sorted(listed - held)]
    for component in json.loads(text)["components"]:
        name = component["name"].replace(" ", "-")
        if "purl" in component and not any(file.startswith(f"{name}/") for file in held):
            lines.append(f"the licence of {component['name']} is not in the wheel")
    return lines


if __name__ == "__main__":
    found = faults(Path(sys.argv[1]))
    print(*found or ["the SBOM is valid, and all licences are there"], sep="\n")
    sys.exit(bool(found))
