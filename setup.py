"""Two steps before an ordinary build: the contract (protoc) and the compiled parts (cythonize)."""

import os
import sys
from pathlib import Path

import grpc_tools
from Cython.Build import cythonize
from google.rpc import status_pb2
from grpc_tools import protoc
from setuptools import Extension, setup

ROOT = Path(__file__).parent
DEBUG = bool(os.environ.get("SWITCH_DEBUG"))  # line tracing and the annotated HTML


def compile_contract() -> None:
    """proto/bayswitch/v1/*.proto -> Python modules beside them (git-ignored)."""
    os.chdir(ROOT)
    sources = sorted(str(path) for path in Path("proto").rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).with_name("_proto")
    rich_errors = Path(status_pb2.__file__).parents[2]  # the folder that holds google/rpc/status.proto
    include = [f"-I{path}" for path in ("proto", well_known, rich_errors)]
    if protoc.main(["protoc", *include, "--python_out=proto", "--pyi_out=proto", "--grpc_python_out=proto", *sources]):
        sys.exit("protoc failed")


def compiled_parts() -> list[Extension]:
    """One extension per .pyx; they share by cimport, never by include."""
    sources = sorted(path for top in ("switch", "adapters") for path in Path(top).rglob("*.pyx"))
    extensions = [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            extra_compile_args=["-O2", "-Wall"],
            define_macros=[("CYTHON_TRACE", "1")] if DEBUG else [],
        )
        for path in sources
    ]
    return cythonize(
        extensions,
        annotate=DEBUG,
        compiler_directives={
            "language_level": "3",
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "linetrace": DEBUG,
        },
    )


compile_contract()
setup(ext_modules=compiled_parts(), options={"build_ext": {"parallel": os.cpu_count()}})
