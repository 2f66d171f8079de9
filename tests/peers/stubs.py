"""Makes the gRPC modules `historian.v1.*_pb2` of the .proto files, as a client would, and lets them be imported."""

import pathlib
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc


def generate(protos):
    folder = tempfile.mkdtemp(prefix="historian-stubs-")
    well_known = str(pathlib.Path(grpc_tools.__file__).parent / "_proto")
    files = sorted(str(path.relative_to(protos)) for path in pathlib.Path(protos).glob("historian/v1/*.proto"))
    made = protoc.main(["protoc", f"-I{protos}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files])
    assert files and made == 0, f"protoc of {protos}"
    sys.path.insert(0, folder)
