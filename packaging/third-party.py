#!/usr/bin/env python3
"""What the program contains of others, from `cargo metadata` and Cargo.lock.

    third-party.py licences MACHINE   the crates, their licences, and the texts of those
    third-party.py sbom MACHINE       the same as a CycloneDX 1.5 document, with checksums and dependencies

MACHINE is what the program runs on, as `uname -m` has it: some crates are for one machine only.
Crates of tests and of the build itself are left out: nothing of them is in the program. The same
sources give the same bytes.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import uuid

# Beginnings of the names of files that hold a licence, or what a licence wants to be passed on.
LICENCE_FILES = ("licen", "copying", "copyright", "notice", "unlicense")


def metadata(machine):
    cargo = os.environ.get("CARGO", "cargo")
    command = [cargo, "metadata", "--locked", "--format-version", "1", "--filter-platform"]
    command.append(f"{machine}-unknown-linux-gnu")
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def linked(graph):
    """The package of ours, and by id what it links with: {id: [ids that it needs]}."""
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    # A macro's code is part of the compiler's run only.
    macros = {
        package["id"]
        for package in graph["packages"]
        if any("proc-macro" in target["kind"] for target in package["targets"])
    }
    root, needs = graph["resolve"]["root"], {}
    todo = [root]
    while todo:
        current = todo.pop()
        if current in needs:
            continue
        normal = [
            dependency["pkg"]
            for dependency in nodes[current]["deps"]
            if dependency["pkg"] not in macros
            and any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        needs[current] = sorted(set(normal))
        todo += normal
    return root, needs


def licence_texts(package):
    """Name and text of each licence file, also of C and C++ sources that a crate brings along."""
    directory = pathlib.Path(package["manifest_path"]).parent
    for path in sorted(directory.rglob("*")):
        within = path.relative_to(directory)
        if len(within.parts) > 5 or not path.is_file() or path.suffix in (".rs", ".py", ".c", ".sh"):
            continue
        if path.name.lower().startswith(LICENCE_FILES) and path.stat().st_size < 100_000:
            yield str(within), path.read_text(encoding="utf-8", errors="replace").strip()


def licences(packages):
    print("interlink-cri contains these libraries, under these licences. Their texts follow.\n")
    print("Of its C++ compiler it contains parts of LLVM's libc++, libc++abi, libunwind and compiler-rt")
    print("(Apache-2.0 WITH LLVM-exception), or, where it was not built to be portable, of GNU's libstdc++")
    print("and libgcc (GPL-3.0-or-later WITH GCC-exception-3.1), which want nothing passed on.\n")
    texts = {}
    for package in packages:
        print(f"{package['name']} {package['version']}: {package['license'] or 'see its text'}")
        for name, text in licence_texts(package):
            owner = f"{package['name']} {package['version']}, {name}"
            texts.setdefault(text, []).append(owner)
    for text, owners in texts.items():
        print("\n" + "=" * 80)
        print("\n".join(owners))
        print("-" * 80 + "\n" + text)


def checksums():
    """{(name, version): SHA-256 of the crate}; Python has no TOML before 3.11."""
    sums = {}
    for entry in pathlib.Path("Cargo.lock").read_text(encoding="utf-8").split("[[package]]"):
        values = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', entry, re.MULTILINE))
        if "checksum" in values:
            sums[values["name"], values["version"]] = values["checksum"]
    return sums


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, kind, sums):
    result = {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["description"]:
        result["description"] = " ".join(package["description"].split())
    if package["license"]:
        # Cargo allowed `/` where SPDX has `OR`.
        result["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        result["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return result


def sbom(root, packages, needs, by_id):
    sums = checksums()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root, "application", sums)},
        "components": [component(package, "library", sums) for package in packages],
        "dependencies": [
            {"ref": reference(by_id[one]), "dependsOn": [reference(by_id[other]) for other in others]}
            for one, others in sorted(needs.items())
        ],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    document["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
    print(json.dumps(document, indent=1))


def main():
    # Python 3.6 (RHEL 8, SLES 15) would write ASCII in the locale C, which packages are made in.
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    if len(sys.argv) != 3 or sys.argv[1] not in ("licences", "sbom"):
        sys.exit(__doc__)
    graph = metadata(sys.argv[2])
    by_id = {package["id"]: package for package in graph["packages"]}
    root, needs = linked(graph)
    others = (by_id[one] for one in needs if one != root)
    packages = sorted(others, key=lambda package: (package["name"], package["version"]))
    if sys.argv[1] == "licences":
        licences(packages)
    else:
        sbom(by_id[root], packages, needs, by_id)


if __name__ == "__main__":
    main()
