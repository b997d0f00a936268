"""Writes crates/graph/src/onnx/schemas.rs: which attributes and how many inputs ONNX's operators have in each version.

    python tools/onnx_schemas.py        # needs the package `onnx`
"""

import re
from pathlib import Path

import onnx.defs

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "crates/graph/src/onnx"


def known() -> set[str]:
    """Names of operators that the crate has a `Def` of."""
    return {name for path in FOLDER.glob("*.rs") for name in re.findall(r'"([A-Z]\w+)"', path.read_text())}


def main() -> None:
    names = known()
    entries: dict[str, list[tuple[int, int, tuple[str, ...]]]] = {}
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and not s.deprecated]
    for s in sorted(schemas, key=lambda s: (s.name, s.since_version)):
        if s.name not in names:
            continue
        entry = (min(s.max_input, 255), tuple(sorted(s.attributes)))
        versions = entries.setdefault(s.name, [])
        if not versions or versions[-1][1:] != entry:
            versions.append((s.since_version, *entry))
    lines = [
        "//! Attributes and inputs of ONNX's operators by version. Made by `tools/onnx_schemas.py`; do not edit.",
        "",
        "use super::signature::Signature;",
        "",
        "/// By name and first version, in this order.",
        "#[rustfmt::skip]",
        "pub(super) const SIGNATURES: &[Signature] = &[",
    ]
    for name, versions in sorted(entries.items()):
        for since, inputs, attributes in versions:
            lines.append(f'    Signature::new("{name}", {since}, {inputs}, "{" ".join(attributes)}"),')
    lines.append("];")
    (FOLDER / "schemas.rs").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
