"""The kernels for processors that this machine does not have, by the tests of those that it has.

ARM's run in an emulator. AVX-VNNI's one instruction of its own is in AVX-512 under another encoding: with that, what
was compiled for it runs on a CPU that has AVX-512, so all but the encoding is seen.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.native import library
from tests.models.native.builds import FLAGS, HERE, KERNELS, SOURCES, compile_, run_tests

EMULATED = HERE / "emulated"
NEEDED = ("aarch64-linux-gnu-g++", "qemu-aarch64", "g++")
PACKAGES = ("g++-aarch64-linux-gnu", "qemu-user", "g++")
MISSING = [name for name in NEEDED if shutil.which(name) is None]


@pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (g++-aarch64-linux-gnu, qemu-user, g++)"
)
def test_the_kernels_for_arm_do_all_that_the_others_do(tmp_path: Path) -> None:
    guest, host = tmp_path / "guest", tmp_path / "host.so"
    compile_(NEEDED[0], *FLAGS, "-static", str(EMULATED / "guest.cpp"), *SOURCES, "-o", str(guest))
    compile_("g++", *FLAGS, "-shared", "-fPIC", str(EMULATED / "host.cpp"), "-o", str(host))
    environment = {library.BUILD: str(host), "TRIPTYCH_EMULATOR": f"exec qemu-aarch64 {guest}"}
    run_tests(environment, instruction_set="NEON with dot products")


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ on this machine")
@pytest.mark.skipif(
    "AVX512-VNNI" not in library.instruction_sets(), reason="this CPU has no AVX512-VNNI, or no kernels"
)
def test_the_kernels_for_avx_vnni_do_all_that_the_others_do(tmp_path: Path) -> None:
    assembly, built = tmp_path / "avxvnni.s", tmp_path / "avxvnni.so"
    compile_("g++", *FLAGS, "-fPIC", "-S", str(KERNELS / "avxvnni.cpp"), "-o", str(assembly))
    text = assembly.read_text("ascii")
    assert "{vex} vpdpbusd" in text
    assembly.write_text(text.replace("{vex} vpdpbusd", "{evex} vpdpbusd"), "ascii")
    rest = (str(HERE / "one_set.cpp"), str(KERNELS / "team.cpp"))
    compile_("g++", *FLAGS, "-shared", "-fPIC", str(assembly), *rest, "-o", str(built))
    run_tests({library.BUILD: str(built)}, instruction_set="AVX-VNNI")
