"""Makes the gRPC modules `historian.v1.*_pb2` of the .proto files, as a client would; with this module they can be imported."""

import atexit
import pathlib
import shutil
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

from lib import PROTOS

_folder = tempfile.mkdtemp(prefix="historian-stubs-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
_files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("historian/v1/*.proto"))
_well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
_made = protoc.main(["protoc", f"-I{PROTOS}", f"-I{_well_known}", f"--python_out={_folder}", f"--grpc_python_out={_folder}", *_files])
assert _files and _made == 0, f"protoc of {PROTOS}"
sys.path.insert(0, _folder)
