"""Writes what mmengine makes of the configs in tests/configs to tests/configs/*.json.

    python golden.py

Run with a Python that has mmengine. `pkg::` bases are found by making tests/configs/packages a
stand-in for site-packages. A config whose name begins with `error_` must fail; no file is written.
"""

import json
import math
import sys
from pathlib import Path

import mmengine.config.config as config_module
from mmengine.config import Config

CONFIGS = Path(__file__).parent.parent / "configs"


def load(path):
    """The config at `path`, as mmengine reads it."""
    return Config.fromfile(str(path), import_custom_modules=False)._cfg_dict.to_dict()


def as_json(value):
    """As JSON has it: tuples as lists, keys as strings, no infinite numbers."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
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
    for path in sorted([*CONFIGS.glob("*.py"), *CONFIGS.glob("*_base.json")]):
        try:
            value = load(path)
        except Exception as error:  # whatever mmengine raises
            print(f"{path.name}: {type(error).__name__}: {error}")
            failed |= not path.name.startswith("error_")
            continue
        if path.name.startswith("error_"):
            print(f"{path.name}: should fail")
            failed = True
            continue
        golden = path.parent / "golden" / (path.name + ".json")
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(as_json(value), indent=1, ensure_ascii=False) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
