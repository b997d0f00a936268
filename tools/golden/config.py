#!/usr/bin/env python3
"""Goldens of config files: what mmengine makes of the configs in `tests/golden/config`.

    python tools/golden/config.py

Needs mmengine 0.10. Writes `tests/golden/config/golden/NAME.json` for each `.py`, `.json` and `.yaml` file there, as
JSON with keys in mmengine's order. What JSON lacks is written so that it can be told apart: a tuple as
`{"()": [items]}`, an integer key `0` as `int:0`, an infinite float as text.

`pkg::` bases are found by making `tests/golden/config/packages` a stand-in for site-packages. A file whose name begins
with `error_` must fail in mmengine too; no golden is written.
"""

import json
import math
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import mmengine.config.config as config_module
from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[2] / "tests" / "golden" / "config"


def exact_json(value):
    if isinstance(value, dict):
        return {key if isinstance(key, str) else f"int:{key}": exact_json(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {"()": [exact_json(item) for item in value]}
    if isinstance(value, list):
        return [exact_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def use_packages(folder):
    """Makes mmengine look for installed projects in `folder`."""
    config_module.is_installed = lambda package: (folder / package).is_dir()
    config_module.get_installed_path = lambda package: str(folder / package)

    def no_metafile(package_path, cfg_file):
        raise ValueError("bases have no metafile")

    config_module._get_external_cfg_path = no_metafile


def main():
    use_packages(CONFIGS / "packages")
    failed = False
    for path in sorted(path for path in CONFIGS.iterdir() if path.suffix in (".py", ".json", ".yaml", ".yml")):
        try:
            value = Config.fromfile(str(path), import_custom_modules=False).to_dict()
        except BaseException as error:  # whatever mmengine raises; a base that builds on itself exhausts the stack
            failed |= not path.name.startswith("error_")
            print(f"{path.name}: {type(error).__name__}: {str(error)[:200]}")
            continue
        if path.name.startswith("error_"):
            print(f"{path.name}: should fail")
            failed = True
            continue
        golden = CONFIGS / "golden" / (path.name + ".json")
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(exact_json(value), indent=1, ensure_ascii=False) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
